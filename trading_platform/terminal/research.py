"""Runs sweeps, walk-forwards and the trials of sensitivity for a person, and shows what they came to as tables.

Belongs here: what is shown and written. The research itself is `backtest`'s; the bars are found as for a backtest.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Final

from trading_platform.backtest.bar_sources import BarSource
from trading_platform.backtest.files import make_folder, require_file, require_folder, write_json, write_rows
from trading_platform.backtest.look_ahead import ExaminedBars
from trading_platform.backtest.run import terms_of, venue_of
from trading_platform.backtest.sweep_figures import Figures, plain
from trading_platform.config.settings import Settings
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.money import dollars_to_the_cent
from trading_platform.strategies.contract import Strategy
from trading_platform.terminal.backtest import Wanted, source_of
from trading_platform.terminal.backtest_screen import Bar, aligned, falls_said, figures_said, money, symbols_said

Say = Callable[[str], None]
Rows = list[dict[str, Any]]

TABLE: Final = "steps.csv"
_DASH: Final = "-"
_FIGURES: Final = ("profit", "return", "deepest fall", "Sharpe", "trades", "won", "profit factor", "fees")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """How a walk-forward goes: the sessions of its parts, and the figure by which it chooses."""

    train: int
    test: int
    step: int | None
    by: str


def run_sweep(
    settings: Settings, wanted: Wanted, grid: Mapping[str, Sequence[float]], by: str, top: int, say: Say
) -> Rows:
    """Trade every combination, show the best, write all of them to `wanted.out`, a file; gives all, the best first.

    Raises:
        InvalidInput: A value is refused, the strategy looks ahead, there are no such bars, or as `sweep`.
    """
    from trading_platform.backtest.sweep import sweep, to_examine

    strategy = _only(wanted)
    source = ExaminedBars(source_of(settings, wanted), to_examine(strategy, grid))
    if wanted.out is not None:
        require_file(wanted.out)
    with Bar() as bar:
        found = sweep(
            strategy,
            grid,
            source,
            limits=settings.limits,
            opening_cash=settings.account.size,
            venue=venue_of(settings.execution),
            rank_by=by,
            threads=wanted.threads,
            progress=bar.show,
            memory=wanted.memory,
        )
    rows = [{**row.values, **plain(row.figures)} for row in found]
    names = list(grid)
    shown = [[*(f"{row.values[name]}" for name in names), *_spoken(row.figures)] for row in found[:top]]
    say("\n".join([_title(strategy, source, f"{len(found):,} combinations, by {by}"), ""]))
    say("\n".join(aligned((*names, *_FIGURES), shown)))
    if len(found) > top:
        say(f"{len(found) - top:,} more are not shown.")
    if wanted.out is not None:
        write_rows(wanted.out, rows)
        say(f"All of them are in {wanted.out}.")
    return rows


def run_sensitivity(
    settings: Settings, wanted: Wanted, slippages: Sequence[int], delays: Sequence[int], say: Say
) -> Rows:
    """Trade at each slippage with each delay and show the table; gives its rows.

    Raises:
        InvalidInput: As `run_sweep`.
    """
    from trading_platform.backtest.sensitivity import sensitivity

    strategy = _only(wanted)
    source = ExaminedBars(source_of(settings, wanted), (strategy,))
    with Bar() as bar:
        found = sensitivity(
            strategy,
            source,
            limits=settings.limits,
            opening_cash=settings.account.size,
            venue=venue_of(settings.execution),
            slippages=slippages,
            delays=delays,
            threads=wanted.threads,
            progress=bar.show,
            memory=wanted.memory,
        )
    rows = [{"delay": one.delay, "slippage": one.slippage, **plain(one.figures)} for one in found]
    shown = [[f"{one.delay}", f"{one.slippage}", *_spoken(one.figures)] for one in found]
    say(_title(strategy, source, "entries late by bars, slippage in basis points") + "\n")
    say("\n".join(aligned(("bars late", "slippage", *_FIGURES), shown)))
    return rows


def run_walk_forward(
    settings: Settings, wanted: Wanted, grid: Mapping[str, Sequence[float]], chosen: Chosen, say: Say
) -> dict[str, Any]:
    """Choose and test window by window, show each and the figures of all tests together; gives both.

    Raises:
        InvalidInput: As `run_sweep`, or the range is too short.
    """
    from trading_platform.backtest.sweep import to_examine
    from trading_platform.backtest.walk_forward import Lengths, walk_forward
    from trading_platform.performance.statistics import as_json, statistics

    strategy = _only(wanted)
    whole = source_of(settings, wanted)
    if wanted.out is not None:
        require_folder(wanted.out)

    examined = to_examine(strategy, grid)

    def open_bars(first: date, last: date) -> BarSource:
        # The first window shows what there is to see; in the others a look at the strategy itself is enough.
        looked_at = examined if first == whole.sessions[0].day else (strategy,)
        return ExaminedBars(source_of(settings, replace(wanted, first=first, last=last)), looked_at)

    terms = terms_of((strategy,), settings)
    lengths = Lengths(train=chosen.train, test=chosen.test, step=chosen.step)
    with ExitStack() as stack:
        progress = _windows_shown(stack)
        walked = walk_forward(
            open_bars,
            whole.sessions,
            terms,
            grid,
            lengths,
            by=chosen.by,
            threads=wanted.threads,
            progress=progress,
            memory=wanted.memory,
        )
    figures = statistics(walked.record)
    rows = [
        {
            "trained from": str(one.window.train[0]),
            "tested from": str(one.window.test[0]),
            "tested to": str(one.window.test[1]),
            **one.chosen,
            "trained profit": dollars_to_the_cent(one.trained.profit),
            "tested profit": dollars_to_the_cent(one.profit),
            "trades": one.trades,
            "left open": one.left_open,
        }
        for one in walked.steps
    ]
    title = _title(strategy, whole, f"chosen on {chosen.train}, tested on {chosen.test} sessions, by {chosen.by}")
    say(title + "\n")
    say("\n".join(aligned(tuple(rows[0]), [[f"{value}" for value in row.values()] for row in rows])))
    told_figures = as_json(figures)
    opening, closing = walked.record.opening, int(walked.record.equity[-1])
    fell = falls_said(figures.intraday_drawdown, figures.returns.max_drawdown)
    say(f"\nAll tests: equity {money(opening)} to {money(closing)}, {money(closing - opening)}; {fell}")
    say(figures_said(told_figures))
    for caution in told_figures["cautions"]:
        say(f"Note: {caution}")
    found = {"title": title, "steps": rows, "statistics": told_figures}
    if wanted.out is not None:
        _write_walk(wanted.out, found, walked.record, figures, strategy)
        say(f"The report is in {wanted.out}; look at tearsheet.html first.")
    return found


def _only(wanted: Wanted) -> Strategy:
    if len(wanted.strategies) != 1:
        raise InvalidInput(
            f"{len(wanted.strategies)} strategies are named or active",
            where="STRATEGY",
            mend="Name one",
        )
    return wanted.strategies[0].strategy


def _windows_shown(stack: ExitStack) -> Callable[[int, int], None] | None:
    import sys

    if not sys.stderr.isatty():
        return None
    from trading_platform.terminal.counting import counting

    return stack.enter_context(counting("windows"))


def _write_walk(folder: Path, found: Mapping[str, Any], record: Any, figures: Any, strategy: Strategy) -> None:
    from trading_platform.backtest.report import PICTURE, SUMMARY, TEAR_SHEET
    from trading_platform.performance.picture import write_picture
    from trading_platform.performance.tearsheet import About, write_tear_sheet

    title = str(found["title"])
    write_json(make_folder(folder) / SUMMARY, found)
    write_rows(folder / TABLE, found["steps"])
    about = About(title=title, settings={f"Strategy {strategy.name}": asdict(strategy.parameters)}, warnings=())
    write_tear_sheet(folder / TEAR_SHEET, record, figures, about)
    write_picture(folder / PICTURE, record, figures, title=title)


def _title(strategy: Strategy, source: BarSource, how: str) -> str:
    return f"{strategy.name} on {symbols_said(source.symbols)}, {source.sessions[0].day} to {source.sessions[-1].day}: {how}"


def _spoken(one: Figures) -> tuple[str, ...]:
    return (
        money(one.profit),
        f"{one.total_return:.2%}",
        f"{one.max_drawdown:.2%}",
        _ratio(one.sharpe),
        f"{one.trades:,}",
        _DASH if one.hit_rate is None else f"{one.hit_rate:.1%}",
        _ratio(one.profit_factor),
        money(one.fees),
    )


def _ratio(value: float | None) -> str:
    return _DASH if value is None else f"{value:,.2f}"
