"""The one judge of bars, whatever their provider: what is malformed is refused, counted and never traded on.

A provider hands on what its source says. An unparsable number arrives here as what no market makes: a price of 0, a
volume of -1. A bar is refused for the first rule that it breaks, so the counts add up to the bars refused.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trading_platform.calendars.sessions import Session
from trading_platform.domain.reports import DataProblem
from trading_platform.marketdata.bars import join

Bars = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

MINUTE_RANGE_PERCENT: Final = 150
"""A one-minute bar whose high is more than this much of its low is refused.

The exchanges halt a stock of tier 2 above $3 that leaves a band of 10 % within five minutes (20 % around the open and
close), so trading does not make such a bar. One that mixes the prices from before and after a split does: 2:1 gives
200 %. Cheap stocks before the open can move so far within a minute; refusing them only costs a trade.
"""

DAILY_RANGE_PERCENT: Final = 1_000
"""The same for a daily bar: cheap stocks do multiply within a day, and ten times is beyond them."""

_MINUTE: Final = 60
_REFUSED: Final = ("bar ", "daily bar ")


def judge(symbol: str, bars: Bars, session: Session) -> tuple[Bars, tuple[DataProblem, ...]]:
    """Refuse the malformed bars of one symbol and day.

    Args:
        symbol: whose bars they are.
        bars: records of `bar_t` in the source's order.
        session: the day that they should belong to, from 04:00 to 20:00.

    Returns:
        The bars that stand, in rising order of time, and what was refused.
    """
    (clean,), problems = judge_all((symbol,), (bars,), session)
    return clean, problems


def judge_all(
    symbols: Sequence[str], bars: Sequence[Bars], session: Session
) -> tuple[tuple[Bars, ...], tuple[DataProblem, ...]]:
    """Refuse the malformed bars of many symbols in one pass. As `judge`, which says what is taken and given."""
    counts = np.array([len(some) for some in bars], np.int64)
    if not counts.sum():
        return tuple(bars), ()
    together = join(bars)
    owner = np.repeat(np.arange(len(symbols)), counts)
    refused, problems = _refuse(symbols, owner, _minute_rules(together, session), together["time"])
    if not problems:
        return tuple(bars), ()
    ends = np.cumsum(counts)[:-1]
    pairs = zip(np.split(together, ends), np.split(refused, ends), strict=True)
    return tuple(some[~bad] for some, bad in pairs), problems


def judge_daily(symbol: str, bars: Bars) -> tuple[Bars, tuple[DataProblem, ...]]:
    """Refuse the malformed daily bars of one symbol: records of `daily_t`; as `judge`."""
    owner = np.zeros(len(bars), np.int64)
    rules = ((f"daily bar with {what}", bad) for what, bad in _price_rules(bars, DAILY_RANGE_PERCENT))
    refused, problems = _refuse((symbol,), owner, rules, bars["day"])
    return bars[~refused], problems


def is_refusal(problem: DataProblem) -> bool:
    """Whether the problem is a bar that was refused here, and not something that is missing."""
    return problem.what.startswith(_REFUSED)


def _minute_rules(bars: Bars, session: Session) -> Iterator[tuple[str, Mask]]:
    for what, bad in _price_rules(bars, MINUTE_RANGE_PERCENT):
        yield f"bar with {what}", bad
    times = bars["time"]
    yield "bar off the minute", times % _MINUTE != 0
    first, end = int(session.premarket_open.timestamp()), int(session.after_hours_close.timestamp())
    yield "bar outside the day", (times < first) | (times >= end)


def _price_rules(bars: Bars, range_percent: int) -> Iterator[tuple[str, Mask]]:
    opens, highs, lows, closes = (np.ascontiguousarray(bars[name]) for name in ("open", "high", "low", "close"))
    lowest = np.minimum(np.minimum(opens, closes), np.minimum(highs, lows))
    highest = np.maximum(np.maximum(opens, closes), np.maximum(highs, lows))
    yield "a price that is zero, negative or no number", lowest <= 0
    yield "crossed prices", (lowest != lows) | (highest != highs)
    yield f"a high over {range_percent} % of its low", highs * 100 > lows * range_percent
    yield "a volume that is negative or no number", bars["volume"] < 0


def _refuse(
    symbols: Sequence[str], owner: npt.NDArray[np.int64], rules: Iterator[tuple[str, Mask]], times: npt.NDArray[Any]
) -> tuple[Mask, tuple[DataProblem, ...]]:
    refused = np.zeros(len(owner), np.bool_)
    problems: list[DataProblem] = []

    def apply(what: str, bad: Mask) -> None:
        fresh = bad & ~refused
        if fresh.any():
            numbers, counts = np.unique(owner[fresh], return_counts=True)
            problems.extend(
                DataProblem(symbol=symbols[number], what=what, count=int(count))
                for number, count in zip(numbers, counts, strict=True)
            )
            refused[fresh] = True

    for what, bad in rules:
        apply(what, bad)
    standing = np.flatnonzero(~refused)
    if not _rises(owner[standing], times[standing]):
        for what, places in _disorder(owner, times, standing):
            bad = np.zeros(len(owner), np.bool_)
            bad[places] = True
            apply(what, bad)
    return refused, tuple(sorted(problems, key=lambda problem: (problem.symbol, problem.what)))


def _rises(owner: npt.NDArray[np.int64], times: npt.NDArray[Any]) -> bool:
    return bool(np.all((owner[1:] != owner[:-1]) | (times[1:] > times[:-1])))


def _disorder(
    owner: npt.NDArray[np.int64], times: npt.NDArray[Any], standing: npt.NDArray[Any]
) -> Iterator[tuple[str, list[int]]]:
    """The places of repeated and of late bars: the first to come for a minute stands, and time does not go back."""
    repeated: list[int] = []
    late: list[int] = []
    seen: set[tuple[int, int]] = set()
    newest: dict[int, int] = {}
    for place in standing.tolist():
        symbol, moment = int(owner[place]), int(times[place])
        if (symbol, moment) in seen:
            repeated.append(place)
        elif moment < newest.get(symbol, moment):
            late.append(place)
        else:
            newest[symbol] = moment
        seen.add((symbol, moment))
    yield "bar with a repeated time", repeated
    yield "bar out of order", late
