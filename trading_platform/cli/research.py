"""Commands for research: what parameters come to, whether a choice of them holds, and what slippage and delay cost."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from trading_platform.cli.backtest import number_of, require_apart, wanted_of
from trading_platform.cli.options import json_option, print_json
from trading_platform.domain.errors import InvalidInput

if TYPE_CHECKING:
    from trading_platform.terminal.backtest import Wanted

_MOST_VALUES: Final = 100_000
_LARGEST: Final = 1e15
"""Of a range; also what is infinite or no number is not within it."""
_GRID: Final = "Write it as name=1,2,3 or name=1:9:2, from 1 to 9 by 2"


def _common_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Which strategy and which bars, as `backtest` takes them."""
    for option in (
        json_option,
        click.option("--memory", type=click.IntRange(min=1), metavar="MB", help="How much it may take."),
        click.option("--threads", type=click.IntRange(min=1), help="How many to use; left out, all cores."),
        click.option("--profile", help="The profile of the strategy's parameters, such as quiet."),
        click.option("--set", "changes", multiple=True, metavar="NAME=VALUE", help="A parameter that stays as it is."),
        click.option("--cash", help="Opening cash, dollars; left out, account.size."),
        click.option("--to", "last", help="The last day."),
        click.option("--from", "first", help="The first day, as 2013-10-07; left out, the data's own."),
        click.option("--symbols", help="A,B or @FILE or all; left out, the configured ones or all."),
        click.option("--data", help="columns:FOLDER, lean:, csv:, parquet:FOLDER or simulated[:SEED]."),
        click.argument("named", nargs=-1, metavar="STRATEGY|FILE"),
    ):
        command = option(command)
    return command


def _grid_option(command: Callable[..., Any]) -> Callable[..., Any]:
    said = "The values of a parameter, or of a part of the plan: stop_bars=3,5,8 or exit_plan.time_stop=20:60:10."
    return click.option("--grid", multiple=True, metavar="NAME=VALUES", help=said)(command)


@click.command()
@_common_options
@_grid_option
@click.option("--rank-by", default="profit", show_default=True, help="The figure by which combinations are ordered.")
@click.option("--top", default=20, show_default=True, type=click.IntRange(min=1), help="How many are shown.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Where all of them are written, as CSV.")
def sweep(*, grid: tuple[str, ...], rank_by: str, top: int, out: Path | None, as_json: bool, **common: Any) -> None:
    """Trade a strategy under every combination of some values, each on an account of its own, in one pass of the bars.

    The best of many is the luckiest of many: see walk-forward before you believe it.
    """
    from trading_platform.terminal.research import run_sweep

    settings, wanted = wanted_of(**common, out=out)
    figure = _figure(rank_by, "--rank-by")
    varied = _varied(grid, common["changes"], wanted)
    rows = run_sweep(settings, wanted, varied, figure, top, _say(as_json=as_json))
    if as_json:
        print_json(rows)


@click.command("walk-forward")
@_common_options
@_grid_option
@click.option("--train", required=True, type=int, help="Sessions on which values are chosen.")
@click.option("--test", required=True, type=int, help="Sessions after them on which the chosen ones trade.")
@click.option("--step", type=int, help="Sessions from one window to the next; left out, as many as --test.")
@click.option("--by", default="sharpe", show_default=True, help="The figure by which values are chosen.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Where the report's files are written.")
def walk_forward(
    *,
    grid: tuple[str, ...],
    train: int,
    test: int,
    step: int | None,
    by: str,
    out: Path | None,
    as_json: bool,
    **common: Any,
) -> None:
    """Choose values on some sessions, trade them on those that follow, again and again; the tests make one record.

    Positions that a test ends with count at their last prices. With --out a folder holds summary.json, steps.csv,
    tearsheet.html and equity.png.
    """
    from trading_platform.terminal.research import Chosen, run_walk_forward

    settings, wanted = wanted_of(**common, out=out)
    chosen = Chosen(train=train, test=test, step=step, by=_figure(by, "--by"))
    varied = _varied(grid, common["changes"], wanted)
    found = run_walk_forward(settings, wanted, varied, chosen, _say(as_json=as_json))
    if as_json:
        print_json(found)


@click.command()
@_common_options
@click.option("--slippage", default="0,1,2,5,10", show_default=True, help="Basis points.")
@click.option("--delay", default="0,1,2", show_default=True, help="Bars by which entries come later.")
def sensitivity(*, slippage: str, delay: str, as_json: bool, **common: Any) -> None:
    """Trade the same at several slippages, and with entries that come some bars late: what is left of the profit."""
    from trading_platform.terminal.research import run_sensitivity

    settings, wanted = wanted_of(**common, out=None)
    slippages, delays = _whole(slippage, "--slippage"), _whole(delay, "--delay")
    rows = run_sensitivity(settings, wanted, slippages, delays, _say(as_json=as_json))
    if as_json:
        print_json(rows)


def _varied(texts: Sequence[str], changes: Sequence[str], wanted: "Wanted") -> dict[str, list[float]]:
    """The values of `--grid`, none of which `--set` gives too."""
    found = _grid(texts)
    for one in wanted.strategies:
        require_apart(found, changes, one.strategy.name)
    return found


def _grid(texts: Sequence[str]) -> dict[str, list[float]]:
    """Values by name, as `--grid` gives them."""
    if not texts:
        raise InvalidInput("nothing is to be varied", where="--grid", mend=_GRID)
    found: dict[str, list[float]] = {}
    for text in texts:
        name, equals, values = (part.strip() for part in text.partition("="))
        if not equals or not name or not values:
            raise InvalidInput(f"{text!r} names no values", where="--grid", mend=_GRID)
        if name in found:
            raise InvalidInput(f"{name} is given twice", where="--grid", mend="Give all its values at once")
        parts = values.split(":")
        numbers = [_number(name, part) for part in (parts if len(parts) > 1 else values.split(","))]
        found[name] = _range(text, numbers) if len(parts) > 1 else numbers
    return found


def _number(name: str, text: str) -> float:
    try:
        return number_of(name, text.strip())
    except InvalidInput as error:
        raise InvalidInput(error.what, where="--grid", mend=_GRID) from error


def _range(text: str, numbers: Sequence[float]) -> list[float]:
    """From the first to the second by the third; both ends count."""
    if len(numbers) != 3 or not all(abs(one) <= _LARGEST for one in numbers):
        raise InvalidInput(f"{text!r} is no range", where="--grid", mend=_GRID)
    first, last, step = numbers
    if step <= 0 or last < first:
        raise InvalidInput(f"{text!r} does not rise", where="--grid", mend=_GRID)
    if last - first >= step * _MOST_VALUES:
        raise InvalidInput(f"{text!r} has more than {_MOST_VALUES:,} values", where="--grid", mend="Give a larger step")
    # A last value that only rounding puts beyond the end counts.
    count = int((last - first) / step + 1e-9) + 1
    values = [first + number * step for number in range(count)]
    return values if all(isinstance(one, int) for one in numbers) else [round(value, 9) for value in values]


def _figure(named: str, option: str) -> str:
    """The figure that an option names. Raises `InvalidInput` for one that there is not."""
    from trading_platform.backtest.sweep_figures import ranked

    try:
        ranked([], named)
    except InvalidInput as error:
        raise InvalidInput(error.what, where=option, mend=error.mend) from error
    return named


def _whole(text: str, option: str) -> list[int]:
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        raise InvalidInput(f"{text!r} is no list of whole numbers", where=option, mend="Write them as 0,1,2") from None
    for place, value in enumerate(found):
        if value in found[:place]:
            raise InvalidInput(f"{value} is given twice", where=option, mend="Give each value once")
    return found


def _say(*, as_json: bool) -> Callable[[str], None]:
    return lambda text: click.echo(text, err=as_json)
