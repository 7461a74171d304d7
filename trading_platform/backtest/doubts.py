"""What a reader must know of the bars that a backtest ran on: what was missing, refused or unknown, in sentences.

Nothing is entered where no bar came, for no step is called there; so nothing here stops a run. Whether a folder of bars
can be traded at all is told before, by `marketdata.coverage`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from typing import Final

import numpy as np
import numpy.typing as npt

from trading_platform.backtest.bar_sources import BarBlock, BarSource, Counts
from trading_platform.calendars.sessions import Session
from trading_platform.domain.reports import DataProblem
from trading_platform.performance.wording import counted

NAMED: Final = 5
"""So many symbols, days or problems are named in one sentence; of more it is told how many."""
SPARSE_PERCENT: Final = 10
"""A session in which more of its minutes have no bar is told of."""


class DataDoubts:
    """Collects what is doubtful while the blocks of a source go by; `said` puts it in words.

    Args:
        source: Where the bars come from.
    """

    def __init__(self, source: BarSource) -> None:
        self._symbols, self._sessions, self._missing = source.symbols, source.sessions, source.missing
        self._counts = np.zeros((len(source.symbols), len(source.sessions)), np.int16)
        self._problems = Counter({(one.symbol, one.what): one.count for one in source.problems})
        self._unknown = 0
        self._seen = 0

    def see(self, block: BarBlock) -> None:
        """Note the counts, the problems and the unknown day records of the next block."""
        end = self._seen + len(block.columns.sessions)
        self._counts[:, self._seen : end] = np.maximum(block.counts, 0)
        self._seen = end
        self._problems.update({(one.symbol, one.what): one.count for one in block.problems})
        self._unknown += int(np.isnan(block.columns.days["average_daily_volume"])[block.counts > 0].sum())

    @property
    def bars(self) -> int:
        """The bars of all blocks."""
        return int(self._counts.sum(dtype=np.int64))

    def said(self) -> tuple[str, ...]:
        """Everything that a reader must know, the gravest first."""
        return (
            *_problems(self._problems, within=self._symbols),
            *_coverage(self._symbols, self._sessions, self._counts),
            *_holes(self._symbols, self._sessions, self._counts),
            *_missing(self._missing),
            *self._unknown_volumes(),
        )

    def _unknown_volumes(self) -> Iterator[str]:
        if self._unknown:
            yield (
                f"In {counted(self._unknown, 'session')} of a symbol the average daily volume is not known, for the data "
                "hold no 20 days before them: nothing is entered there."
            )


def _problems(problems: Counter[tuple[str, str]], within: Sequence[str]) -> Iterator[str]:
    found = [DataProblem(symbol=symbol, what=what, count=count) for (symbol, what), count in sorted(problems.items())]
    for one in found[: 2 * NAMED]:
        times = f" ({one.count:,} times)" if one.count > 1 else ""
        yield f"{one.symbol}: {one.what.rstrip('.')}{times}."
    rest = found[2 * NAMED :]
    if rest:
        symbols = len({one.symbol for one in rest} & set(within))
        yield f"So it is {sum(one.count for one in rest):,} times more, in {counted(symbols, 'symbol')}."


def _coverage(symbols: Sequence[str], sessions: Sequence[Session], counts: Counts) -> Iterator[str]:
    """Symbols without a bar, and those whose bars begin late, end early, or are away in between."""
    traded = counts > 0
    ever = np.asarray(traded.any(axis=1))
    first = traded.argmax(axis=1)
    last = traded.shape[1] - 1 - traded[:, ::-1].argmax(axis=1)
    days = [session.day for session in sessions]
    yield from _named("has no bar in the range", "have no bar in the range", _of(symbols, np.logical_not(ever)))
    late = np.flatnonzero(ever & (first > 0))
    yield from _named("begins within the range", "begin within the range", _dated(symbols, late, first, days))
    early = np.flatnonzero(ever & (last < len(days) - 1))
    yield from _named("ends within the range", "end within the range", _dated(symbols, early, last, days))
    silent = (last - first + 1) - traded.sum(axis=1)
    away = np.flatnonzero(ever & (silent > 0))
    lacking = [f"{symbols[row]} ({counted(int(silent[row]), 'session')})" for row in away.tolist()]
    yield from _named("has sessions without a bar in between", "have sessions without a bar in between", lacking)


def _holes(symbols: Sequence[str], sessions: Sequence[Session], counts: Counts) -> Iterator[str]:
    minutes = np.array([session.minutes for session in sessions], np.int64)
    sparse = (counts > 0) & ((minutes - counts) * 100 > minutes * SPARSE_PERCENT)
    per_symbol = sparse.sum(axis=1)
    found = np.flatnonzero(per_symbol)
    worst = found[np.argsort(-per_symbol[found], kind="stable")]
    named = [f"{symbols[row]} ({counted(int(per_symbol[row]), 'session')})" for row in worst.tolist()]
    what = f"minutes without a bar, more than {SPARSE_PERCENT} % of a session"
    yield from _named(f"has {what}", f"have {what}", named)


def _missing(days: Sequence[date]) -> Iterator[str]:
    named = [str(day) for day in days]
    yield from _named(
        "is a session of which the data have nothing", "are sessions of which the data have nothing", named
    )


def _of(symbols: Sequence[str], marks: npt.NDArray[np.bool_]) -> list[str]:
    return [symbols[row] for row in np.flatnonzero(marks).tolist()]


def _dated(
    symbols: Sequence[str], rows: Iterable[int], places: npt.NDArray[np.int64], days: Sequence[date]
) -> list[str]:
    return [f"{symbols[row]} ({days[places[row]]})" for row in rows]


def _named(one: str, several: str, names: Sequence[str]) -> Iterator[str]:
    """A sentence on the first of many names; none where there is no name."""
    if names:
        more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
        yield f"{', '.join(names[:NAMED])}{more} {one if len(names) == 1 else several}."
