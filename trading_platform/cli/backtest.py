"""The command that trades a strategy over history, with the decisions that paper and live make."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from trading_platform.cli.options import (
    EVERYTHING,
    OPTIONS,
    columns_folder,
    date_of,
    json_option,
    overrides_of,
    print_json,
)
from trading_platform.domain.errors import InvalidInput

if TYPE_CHECKING:
    from trading_platform.backtest.outcome import SetAside
    from trading_platform.config.settings import ActiveStrategy, Settings
    from trading_platform.terminal.backtest import Chosen, Wanted

_NONSENSE: Final = 2
_MEGABYTE: Final = 10**6


@click.command()
@click.argument("named", nargs=-1, metavar="[STRATEGY|FILE ...]")
@click.option(
    "--data",
    help="columns:FOLDER, lean:FOLDER, csv:FOLDER, parquet:FOLDER or simulated[:SEED]; left out, as configured.",
)
@click.option("--symbols", help="A,B or @FILE or all; left out, the configured ones or all.")
@click.option("--from", "first", help="The first day, as 2013-10-07; left out, the data's own.")
@click.option("--to", "last", help="The last day.")
@click.option("--cash", help="Opening cash, dollars; left out, account.size.")
@click.option("--set", "changes", multiple=True, metavar="[STRATEGY.]NAME=VALUE", help="A parameter; may be repeated.")
@click.option("--profile", help="The profile of the strategies' parameters, such as quiet.")
@click.option("--benchmark", metavar="SYMBOL", help="What the run is compared with, of the same data.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Where the report's files are written.")
@click.option("--threads", type=click.IntRange(min=1), help="How many to use; left out, as many as there are cores.")
@click.option(
    "--memory", type=click.IntRange(min=1), metavar="MB", help="How much the run may take; left out, what is free."
)
@json_option
def backtest(
    *,
    named: tuple[str, ...],
    data: str | None,
    symbols: str | None,
    first: str | None,
    last: str | None,
    cash: str | None,
    changes: tuple[str, ...],
    profile: str | None,
    benchmark: str | None,
    out: Path | None,
    threads: int | None,
    memory: int | None,
    as_json: bool,
) -> int:
    """Trade strategies over recorded bars, with the decisions, fills and cents of a paper session.

    Without a STRATEGY the active ones trade. Limits, fees and slippage are those of the configuration. With --out a
    folder holds trades, orders, decisions, fills and equity as CSV, tearsheet.html, equity.png, summary.json with the
    figures and the command, and configuration.json with the settings that it ran under, for TRADING_PLATFORM_CONFIG.

    Exit code 2 if something that was given cannot be used; also if a step gave what is no price, after all was shown.
    """
    from trading_platform.terminal.backtest import run

    settings, wanted = wanted_of(
        named=named,
        data=data,
        symbols=symbols,
        first=first,
        last=last,
        cash=cash,
        changes=changes,
        profile=profile,
        out=out,
        threads=threads,
        memory=memory,
    )
    wanted = replace(
        wanted,
        benchmark=benchmark.strip().upper() if benchmark is not None else None,
        command=_command(
            named,
            {
                "--data": [data],
                "--symbols": [symbols],
                "--from": [first],
                "--to": [last],
                "--cash": [cash],
                "--set": changes,
                "--profile": [profile],
                "--benchmark": [benchmark],
            },
        ),
    )
    done = run(settings, wanted, lambda text: click.echo(text, err=as_json), figures=as_json)
    if as_json:
        assert done.figures is not None
        print_json(done.figures)
    return _judged(done.result.set_aside)


def wanted_of(
    *,
    named: Sequence[str],
    data: str | None,
    symbols: str | None,
    first: str | None,
    last: str | None,
    cash: str | None,
    changes: Sequence[str],
    profile: str | None,
    out: Path | None,
    threads: int | None,
    memory: int | None,
) -> "tuple[Settings, Wanted]":
    """What the options that a backtest and research share come to: the settings, and what is asked for beside them."""
    from trading_platform.terminal.backtest import Wanted

    folder = columns_folder(data)
    everything = symbols == EVERYTHING
    settings = _settings_with_cash(
        {"data": None if folder is not None else data, "symbols": None if everything else symbols}, cash=cash
    )
    wanted = Wanted(
        strategies=_chosen_strategies(named, profile, changes, settings),
        columns=folder,
        every_symbol=everything,
        first=date_of(first, "--from"),
        last=date_of(last, "--to"),
        out=out,
        threads=threads,
        memory=memory * _MEGABYTE if memory is not None else None,
    )
    return settings, wanted


def _settings_with_cash(market: Mapping[str, str | None], *, cash: str | None) -> "Settings":
    """The settings, with what the options say on top."""
    from trading_platform.config.load import read
    from trading_platform.config.logs import set_up_logging

    overrides = overrides_of(market)
    if cash is not None:
        overrides["account"] = {"size": cash}
    settings = read(os.environ, overrides, {**OPTIONS, "account.size": "--cash"}).settings
    set_up_logging(settings.log_level)
    return settings


def _chosen_strategies(
    named: Sequence[str], profile: str | None, changes: Sequence[str], settings: "Settings"
) -> "tuple[Chosen, ...]":
    """The strategies that are named, or the active ones, each as it is configured, with the changes of the options."""
    from trading_platform.config.settings import ActiveStrategy
    from trading_platform.strategies import registry
    from trading_platform.terminal.backtest import Chosen

    active = {one.name: one for one in settings.active_strategies}
    meant = [_meant(one, active) for one in named] if named else list(settings.active_strategies)
    if not meant:
        raise InvalidInput("no strategy is active", where="active_strategies", mend="Name one, or a file")
    by_strategy = _by_strategy(changes, [one.name for one in meant])
    chosen = []
    for one in meant:
        values = {**one.parameters, **by_strategy[one.name]}
        which = profile if profile is not None else one.profile
        strategy = registry.load(one.name, which, values, one.file)
        chosen.append(Chosen(strategy=strategy, file=one.file, profile=which, changes=values))
    assert all(isinstance(one, ActiveStrategy) for one in meant)
    return tuple(chosen)


def _meant(named: str, active: "Mapping[str, ActiveStrategy]") -> "ActiveStrategy":
    """The strategy of a name or file, as the configuration has it if it has it."""
    from trading_platform.cli.strategies import names_a_file
    from trading_platform.config.settings import ActiveStrategy
    from trading_platform.strategies import registry

    if named in active:
        return active[named]
    if names_a_file(named):
        file = Path(named)
        return ActiveStrategy(name=registry.offer_of_file(file).strategy.name, file=file)
    # It says which names are known.
    return ActiveStrategy(name=registry.offer(named).strategy.name)


def _by_strategy(changes: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, float]]:
    """The values of `--set` for each strategy; one without a strategy's name is for all of them.

    Raises `InvalidInput` for what sets nothing, is no number, or is set twice: which of the two is meant is not known.
    """
    found: dict[str, dict[str, float]] = {name: {} for name in names}
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals or not name.strip():
            raise InvalidInput(f"{change!r} sets nothing", where="--set", mend="Write it as name=value")
        name = name.strip()
        own = [one for one in names if name.startswith(f"{one}.")]
        for one in own or names:
            plain = name.removeprefix(f"{one}.") if own else name
            if plain in found[one]:
                raise InvalidInput(f"{plain} is given twice", where="--set", mend="Give it once")
            found[one][plain] = number_of(name, text.strip())
    return found


def require_apart(varied: Iterable[str], changes: Sequence[str], strategy: str) -> None:
    """Raise `InvalidInput` where a name of `--grid` is given by `--set` too: its value would count for nothing."""
    fixed = _by_strategy(changes, (strategy,))[strategy]
    for name in varied:
        if name in fixed:
            raise InvalidInput(
                f"{name} is both varied and set", where="--grid, --set", mend="Give it to one of the two"
            )


def number_of(name: str, text: str) -> float:
    """The number that an option gives for `name`. Raises `InvalidInput` for what is none."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    raise InvalidInput(f"{name} is {text!r}, which is no number", where="--set", mend=f"Write it as {name}=1.5")


def _command(named: Sequence[str], options: Mapping[str, Sequence[Any]]) -> tuple[str, ...]:
    """The words that run it again."""
    given = [(option, str(value)) for option, values in options.items() for value in values if value is not None]
    return ("trading-platform", "backtest", *named, *(word for pair in given for word in pair))


def _judged(set_aside: "Sequence[SetAside]") -> int:
    """The exit code: what is no price is a mistake of the step, and not of the market."""
    wrong = [one for one in set_aside if one.is_mistake]
    if not wrong:
        return 0
    first = wrong[0]
    more = f"; {len(wrong):,} such mistakes in all" if len(wrong) > 1 else ""
    click.echo(
        f"Error: strategy {first.strategy}: {first.what}; first in {first.symbol} on {first.session}, minute "
        f"{first.minute}{more}. From there to the session's end it said nothing of that symbol. Mend the step; "
        "trading-platform strategies check names the line.",
        err=True,
    )
    return _NONSENSE
