"""Runs a backtest for a person: finds the bars, trades them, shows what it came to, and leaves a folder of files.

Nothing heavy is imported before the trades are shown, unless it is needed for them: whoever tries a strategy out looks at
those first. What is shown is `backtest_screen`.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

from trading_platform.backtest.bar_sources import BarSource, StoredBars
from trading_platform.backtest.look_ahead import ExaminedBars
from trading_platform.backtest.outcome import BacktestResult
from trading_platform.backtest.run import run_backtest, terms_of
from trading_platform.config.settings import Settings
from trading_platform.strategies.contract import Strategy
from trading_platform.terminal.backtest_screen import Bar, figures_said, headline, symbols_said

_KEPT: Final = ("limits", "execution", "market_hours")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A strategy as it was asked for, and as it trades."""

    strategy: Strategy
    file: Path | None = None
    profile: str | None = None
    changes: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a person asked for beside the settings.

    Attributes:
        strategies: In the order in which their entries are considered.
        columns: The folder of columns; None: the market of the settings.
        every_symbol: All that the data hold, whatever the settings name.
        first: The first day, or the data's own.
        last: The last day, or the data's own.
        benchmark: What the run is compared with.
        out: Where files are written; None: nowhere.
        threads: How many may look for signals at once.
        memory: Bytes that the run may take; None: what is free.
        command: The words that run it again.
    """

    strategies: tuple[Chosen, ...]
    columns: Path | None = None
    every_symbol: bool = False
    first: date | None = None
    last: date | None = None
    benchmark: str | None = None
    out: Path | None = None
    threads: int | None = None
    memory: int | None = None
    command: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What was done. `figures` is what `summary.json` says; None where they were not asked for."""

    result: BacktestResult
    figures: dict[str, Any] | None


def run(settings: Settings, wanted: Wanted, say: Callable[[str], None], *, figures: bool) -> Done:
    """Run a backtest and say what it came to.

    Args:
        settings: The account, its limits, the venue, and the market unless a folder of columns is wanted.
        wanted: What else was asked for.
        say: Is given each text that a person sees.
        figures: Whether the statistics are wanted, though nothing is written.

    Raises:
        InvalidInput: There are no such bars, they would take too much memory, a strategy does not compile or raised, or
            the folder cannot be written.
    """
    source = source_of(settings, wanted)
    if wanted.benchmark is not None:
        # A benchmark that is not there is told before years are traded.
        source.only(wanted.benchmark)
    strategies = tuple(one.strategy for one in wanted.strategies)
    terms = terms_of(strategies, settings)
    with ExitStack() as stack:
        take = None
        if wanted.out is not None:
            from trading_platform.backtest.files import make_folder
            from trading_platform.backtest.tables import Recorder

            recorder = stack.enter_context(Recorder(make_folder(wanted.out)))
            take = recorder.take
        with Bar() as bar:
            result = run_backtest(
                ExaminedBars(source, strategies),
                terms,
                threads=wanted.threads,
                progress=bar.show,
                take=take,
                memory=wanted.memory,
            )
        say(headline(result, _title(wanted, result)))
        told = None
        if wanted.out is not None:
            told = _written(settings, wanted, source, result, recorder)
        elif figures or wanted.benchmark is not None:
            told = _figured(settings, wanted, source, result)
    return _told(result, told, wanted, say)


def source_of(settings: Settings, wanted: Wanted) -> BarSource:
    """The bars that are meant. Raises `InvalidInput` where there are none."""
    named = () if wanted.every_symbol else settings.market_data.symbols
    if wanted.columns is not None:
        return StoredBars(wanted.columns, named or None, wanted.first, wanted.last)
    # A folder of columns needs none of what building a market imports.
    from trading_platform.bootstrap.bars import provided_bars

    return provided_bars(settings, named, wanted.first, wanted.last)


def _written(
    settings: Settings, wanted: Wanted, source: BarSource, result: BacktestResult, recorder: Any
) -> dict[str, Any]:
    from trading_platform.backtest.benchmark import benchmark_of
    from trading_platform.backtest.report import write_report

    benchmark = benchmark_of(source, wanted.benchmark, result.sessions) if wanted.benchmark is not None else None
    assert wanted.out is not None
    return write_report(wanted.out, result, recorder, _described(settings, wanted, source, result), benchmark)


def _figured(settings: Settings, wanted: Wanted, source: BarSource, result: BacktestResult) -> dict[str, Any]:
    from trading_platform.backtest.benchmark import benchmark_of
    from trading_platform.backtest.report import summary, warnings_of
    from trading_platform.performance.statistics import statistics

    benchmark = benchmark_of(source, wanted.benchmark, result.sessions) if wanted.benchmark is not None else None
    figures = statistics(result.record(benchmark))
    return summary(result, figures, _described(settings, wanted, source, result), warnings_of(result))


def _told(result: BacktestResult, told: dict[str, Any] | None, wanted: Wanted, say: Callable[[str], None]) -> Done:
    from trading_platform.backtest.report import warnings_of

    if told is not None:
        say(figures_said(told["statistics"]))
    cautions = told["statistics"]["cautions"] if told is not None else ()
    for warning in (*warnings_of(result), *cautions):
        say(f"Note: {warning}")
    if wanted.out is not None:
        say(f"The report is in {wanted.out}; look at tearsheet.html first.")
    return Done(result=result, figures=told)


def _title(wanted: Wanted, result: BacktestResult) -> str:
    names = ", ".join(one.strategy.name for one in wanted.strategies)
    traded, away = result.traded_symbols, result.left_out
    without = f"; left out: {symbols_said(away)};" if away else ","
    span = f"{result.sessions[0].day} to {result.sessions[-1].day}"
    return f"{names} on {symbols_said(traded)}{without} {span}"


def _described(settings: Settings, wanted: Wanted, source: BarSource, result: BacktestResult) -> Any:
    from dataclasses import asdict

    from trading_platform.backtest.report import Described

    tree = settings.model_dump(mode="json", include=set(_KEPT))
    tree["account"] = {"size": str(settings.account.size)}
    if wanted.columns is None:
        tree["market_data"] = settings.market_data.model_dump(mode="json", exclude={"session"})
        # A list of a whole market is told by the command.
        tree["market_data"]["symbols"] = [] if wanted.every_symbol else list(settings.market_data.symbols)
    tree["active_strategies"] = [
        {
            "name": one.strategy.name,
            "file": str(one.file.expanduser().absolute()) if one.file is not None else None,
            "profile": one.profile,
            "parameters": dict(one.changes),
        }
        for one in wanted.strategies
    ]
    came = source.source
    return Described(
        title=_title(wanted, result),
        command=wanted.command,
        data={
            "provider": came.provider,
            "feed": came.feed,
            "adjustment": came.adjustment,
            "symbols": len(result.traded_symbols),
            "symbols left out": len(result.left_out),
            "sessions": len(source.sessions),
            "missing sessions": len(source.missing),
            "splits and dividends": len(source.actions),
        },
        strategies={one.strategy.name: asdict(one.strategy.parameters) for one in wanted.strategies},
        settings=tree,
    )
