"""The folder that a backtest leaves: figures, rows, the tear sheet, and what it was given.

The same run writes the same bytes: no file holds a time of the machine, nor where it lies. Here belong which files there
are and what `summary.json` says; rows are `tables`, figures and pages `performance`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from trading_platform.backtest.files import write_json
from trading_platform.backtest.outcome import BacktestResult
from trading_platform.backtest.tables import Recorder, write_tables
from trading_platform.domain.money import dollars_to_the_cent
from trading_platform.performance.picture import write_picture
from trading_platform.performance.statistics import Statistics, as_json, statistics
from trading_platform.performance.tearsheet import About, write_tear_sheet
from trading_platform.performance.track_record import Benchmark
from trading_platform.performance.wording import counted

SUMMARY: Final = "summary.json"
CONFIGURATION: Final = "configuration.json"
TEAR_SHEET: Final = "tearsheet.html"
PICTURE: Final = "equity.png"

_NAMED: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What a run is called and was given, for whoever reads or repeats it.

    Attributes:
        title: A line.
        command: The words that run it again.
        data: What the bars come from, by names of its parts.
        strategies: By name, every value of each.
        settings: The configuration, as a file of settings has it.
    """

    title: str
    command: Sequence[str]
    data: Mapping[str, Any]
    strategies: Mapping[str, Mapping[str, Any]]
    settings: Mapping[str, Any] = field(default_factory=dict)


def summary(
    result: BacktestResult, figures: Statistics, described: Described, warnings: Sequence[str]
) -> dict[str, Any]:
    """What `summary.json` says: plain values, dollars to the cent.

    `profit` is what equity has gained; `realised` is the net of the finished trades. `symbols` are those that had bars;
    `orders` and `order_changes` together are the rows of orders.csv.
    """
    tally = result.tally
    return {
        "title": described.title,
        "command": list(described.command),
        "data": dict(described.data),
        "strategies": {name: dict(values) for name, values in described.strategies.items()},
        "symbols": len(result.traded_symbols),
        "left_out": list(result.left_out),
        "sessions": len(result.sessions),
        "first": result.sessions[0].day.isoformat(),
        "last": result.sessions[-1].day.isoformat(),
        "bars": tally.bars,
        "opening": dollars_to_the_cent(result.opening),
        "closing": dollars_to_the_cent(result.closing),
        "profit": dollars_to_the_cent(result.closing - result.opening),
        "realised": dollars_to_the_cent(int(result.net.sum())),
        "fees": dollars_to_the_cent(tally.fees),
        "traded": dollars_to_the_cent(tally.traded),
        "trades": int(result.trades.finished.size),
        "decisions": tally.decisions,
        "entries": tally.entries,
        "resized": tally.resized,
        "refused": {rule.name.lower(): count for rule, count in sorted(tally.refused.items())},
        "orders": tally.orders,
        "order_changes": tally.changes,
        "not_taken": tally.not_taken,
        "fills": tally.executions,
        "held": [_held(result, place) for place in range(len(result.holdings))],
        "warnings": list(warnings),
        "statistics": as_json(figures),
    }


def warnings_of(result: BacktestResult) -> tuple[str, ...]:
    """What a reader must know before trusting a run, in sentences: its data, its strategies, what is left open."""
    return (*result.doubts, *_set_aside(result), *_left_open(result))


def write_report(
    folder: Path,
    result: BacktestResult,
    recorder: Recorder,
    described: Described,
    benchmark: Benchmark | None = None,
) -> dict[str, Any]:
    """Write every file of the report, and give what `summary.json` says.

    Raises:
        InvalidInput: Something cannot be written.
    """
    record = result.record(benchmark)
    figures, warnings = statistics(record), warnings_of(result)
    told = summary(result, figures, described, warnings)
    write_json(folder / SUMMARY, told)
    write_json(folder / CONFIGURATION, described.settings)
    write_tables(folder, result, recorder)
    about = About(title=described.title, settings=_settings(described), warnings=warnings)
    write_tear_sheet(folder / TEAR_SHEET, record, figures, about)
    write_picture(folder / PICTURE, record, figures, title=described.title)
    return told


def _settings(described: Described) -> dict[str, dict[str, Any]]:
    """What the tear sheet shows of what the run was given."""
    groups = {name: dict(values) for name, values in described.settings.items() if isinstance(values, Mapping)}
    strategies = {f"Strategy {name}": dict(values) for name, values in described.strategies.items()}
    return {"Data": dict(described.data), **strategies, **{name.capitalize(): one for name, one in groups.items()}}


def _held(result: BacktestResult, place: int) -> dict[str, Any]:
    one = result.holdings[place]
    return {
        "strategy": result.strategies[one.strategy],
        "symbol": result.symbols[one.symbol],
        "quantity": one.quantity,
        "cost": dollars_to_the_cent(one.cost),
        "value": dollars_to_the_cent(one.quantity * one.mark),
    }


def _set_aside(result: BacktestResult) -> list[str]:
    said = [
        f"{one.strategy} said nothing more of {one.symbol} on {one.session} from minute {one.minute} on: {one.what}."
        for one in result.set_aside[:_NAMED]
    ]
    count = len(result.set_aside)
    if count == len(said):
        return said
    # The sentence that ends such a run counts all of them too.
    return [*said, f"A strategy was set aside {count:,} times in all; the first {_NAMED} are told here."]


def _left_open(result: BacktestResult) -> list[str]:
    if not result.holdings:
        return []
    return [f"{counted(len(result.holdings), 'position')} still held at the end: no trade of the figures."]
