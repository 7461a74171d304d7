"""What a reader must know of the bars that a backtest ran on: what was missing, refused or unknown, in sentences.

Nothing is entered where no bar came, for no step is called there; so nothing here stops a run. Whether a folder of bars
can be traded at all is told before, by `marketdata.coverage`.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import date
from typing import Final

import numpy as np
import numpy.typing as npt

from trading_platform.backtest.bar_sources import NO_BARS, BarBlock, BarSource, Counts
from trading_platform.calendars.sessions import Session
from trading_platform.domain.reports import DataProblem
from trading_platform.marketdata.fetch import UNUSABLE
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
        self._before = tuple(source.problems)
        self._problems: Counter[tuple[str, str]] = Counter()
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

    @property
    def left_out(self) -> tuple[str, ...]:
        """The symbols of which not one bar came: nothing of them was traded."""
        return tuple(_of(self._symbols, np.logical_not((self._counts > 0).any(axis=1))))

    def said(self) -> tuple[str, ...]:
        """Everything that a reader must know, the gravest first."""
        unusable = dict(self._unusable())
        refused = Counter({name: count for name, count in self._problems.items() if not _is_unusable(name[1])})
        refused.update({(one.symbol, one.what): one.count for one in self._before if not _is_unusable(one.what)})
        return (
            *_listed(list(unusable.values()), [1] * len(unusable), list(unusable)),
            *_refusals(refused),
            *_silent([one for one in self.left_out if one not in unusable], {symbol for symbol, _ in refused}),
            *_coverage(self._symbols, self._sessions, self._counts),
            *_holes(self._symbols, self._sessions, self._counts),
            *_missing(self._missing),
            *self._unknown_volumes(),
        )

    def _unusable(self) -> Iterator[tuple[str, str]]:
        """Of each symbol whose data cannot be used, or are not there, one sentence: those that are left out first.

        A malformed file is met anew in every session; what is wrong is told once, at its first place.
        """
        away = set(self.left_out)
        found = {one.symbol: one.what for one in reversed(self._before) if _is_unusable(one.what)}
        sessions: Counter[str] = Counter()
        for (symbol, what), count in sorted(self._problems.items()):
            if _is_unusable(what):
                found.setdefault(symbol, what)
                sessions[symbol] += count
        for symbol in sorted(found, key=lambda one: (one not in away, one)):
            # Two files of a symbol may be wrong in one session.
            more = min(sessions[symbol], len(self._sessions)) - 1
            also = f" Its data cannot be used on {counted(more, 'more session')}." if more > 0 else ""
            named = f"{symbol} is left out" if symbol in away else symbol
            yield symbol, f"{named}: {_ended(found[symbol])}{also}"

    def _unknown_volumes(self) -> Iterator[str]:
        if self._unknown:
            yield (
                f"In {counted(self._unknown, 'session')} of a symbol the average daily volume is not known, for the data "
                "hold no 20 days before them: nothing is entered there."
            )


def _ended(what: str) -> str:
    """A sentence with its end; one that asks has it."""
    return what if what.endswith("?") else f"{what.rstrip('.')}."


def _is_unusable(what: str) -> bool:
    return what.startswith((UNUSABLE, NO_BARS))


def _refusals(problems: Counter[tuple[str, str]]) -> Iterator[str]:
    found = [DataProblem(symbol=symbol, what=what, count=count) for (symbol, what), count in sorted(problems.items())]
    said = []
    for one in found:
        times = f" ({one.count:,} times)" if one.count > 1 else ""
        said.append(f"{one.symbol}: {one.what.rstrip('.')}{times}.")
    yield from _listed(said, [one.count for one in found], [one.symbol for one in found])


def _listed(said: Sequence[str], counts: Sequence[int], symbols: Sequence[str]) -> Iterator[str]:
    """The first of many sentences, and how many problems the others are, of how many symbols."""
    most = 2 * NAMED
    yield from said[:most]
    if said[most:]:
        rest = counted(sum(counts[most:]), "more such problem")
        yield f"There {'is' if sum(counts[most:]) == 1 else 'are'} {rest}, in {counted(len(set(symbols[most:])), 'symbol')}."


def _silent(symbols: Sequence[str], refused: Collection[str]) -> Iterator[str]:
    """Symbols without a bar: those that had none, and those all of whose bars were refused."""
    none = [one for one in symbols if one not in refused]
    yield from _named("has no bar in the range", "have no bar in the range", none)
    every = [one for one in symbols if one in refused]
    yield from _named("has no bar that can be used", "have no bar that can be used", every)


def _coverage(symbols: Sequence[str], sessions: Sequence[Session], counts: Counts) -> Iterator[str]:
    """Symbols whose bars begin late, end early, or are away in between."""
    traded = counts > 0
    ever = np.asarray(traded.any(axis=1))
    first = traded.argmax(axis=1)
    last = traded.shape[1] - 1 - traded[:, ::-1].argmax(axis=1)
    days = [session.day for session in sessions]
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
