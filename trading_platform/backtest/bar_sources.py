"""Where the bars of a backtest come from: a folder of columns, or any provider, in blocks that follow each other in time.

Here belong the port and its two adapters: what is there is known before the first bar is read, so that the memory that a
run takes and the time that it will need can be told. How columns are made and stored is `marketdata`'s; what is doubtful
of what came is said by `doubts`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.calendars.sessions import Session
from trading_platform.config.names import did_you_mean
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.reports import DataProblem
from trading_platform.marketdata.actions import CorporateAction, actions_of
from trading_platform.marketdata.column_blocks import count_bars
from trading_platform.marketdata.column_catalogue import Block, read_catalogue
from trading_platform.marketdata.column_maker import CELL_BYTES, COLUMNS, VOLUMES_KEPT, ColumnMaker
from trading_platform.marketdata.column_store import bar_counts, open_columns
from trading_platform.marketdata.columns import BarColumns
from trading_platform.marketdata.day import PROFILE_SESSIONS
from trading_platform.marketdata.fetch import UNUSABLE
from trading_platform.marketdata.provider import Provider, Source

Counts = npt.NDArray[np.int16]

BLOCK_BYTES: Final = 256 * 2**20
"""Columns that are made of a provider's bars are made so many bytes at a time, and at least a session."""

NO_BARS: Final = "no minute bars in the range"
"""How the problem of a symbol begins of which nothing is recorded."""

_VOLUME_BYTES: Final = 4_000  # of a symbol's session that the maker keeps
_NAMED: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BarBlock:
    """Some sessions' bars.

    Attributes:
        columns: The bars of all the source's symbols.
        counts: Int16 [symbols, sessions]: bars of each; below 1 there is none.
        problems: Bars that were refused and sources that could not be used.
    """

    columns: BarColumns
    counts: Counts
    problems: tuple[DataProblem, ...]


class BarSource(Protocol):
    """Bars of some symbols over some sessions."""

    @property
    def source(self) -> Source:
        """What every bar comes from."""
        ...

    @property
    def symbols(self) -> tuple[str, ...]:
        """Those of every block, in rising order."""
        ...

    @property
    def sessions(self) -> tuple[Session, ...]:
        """Those of all blocks, oldest first; at least one."""
        ...

    @property
    def missing(self) -> tuple[date, ...]:
        """Sessions of the exchange between the first and the last of which there is nothing."""
        ...

    @property
    def actions(self) -> tuple[CorporateAction, ...]:
        """The splits and dividends of the symbols over the sessions."""
        ...

    @property
    def problems(self) -> tuple[DataProblem, ...]:
        """What was wrong before a bar was read: symbols of which there is nothing, sources that cannot be used."""
        ...

    @property
    def own_bytes(self) -> int:
        """The memory that the largest block takes; none where it is mapped from files."""
        ...

    @property
    def longest(self) -> int:
        """The most sessions of a block."""
        ...

    def blocks(self) -> Iterator[BarBlock]:
        """The blocks, oldest first, each made or opened when it is its turn. Raises `InvalidInput` for a broken one."""
        ...

    def only(self, symbol: str) -> "BarSource":
        """The same for one symbol, which need not be among `symbols`. Raises `InvalidInput` if there is none of it."""
        ...


class StoredBars:
    """A folder of columns.

    Args:
        folder: What bars were imported to.
        symbols: Those wanted, in any order; all if left out.
        first: The first day, or the folder's own.
        last: The last day, or the folder's own.

    Raises:
        InvalidInput: The folder is none, a symbol is not in it, or there is no bar of them within these days.
    """

    def __init__(
        self,
        folder: Path,
        symbols: Sequence[str] | None = None,
        first: date | None = None,
        last: date | None = None,
    ) -> None:
        self._folder, self._first, self._last = folder, first, last
        self._catalogue = catalogue = read_catalogue(folder)
        _require_range(first, last)
        # Symbols and days that are not there are refused here, before a block is opened.
        open_columns(folder, symbols, first, last)
        self.symbols = catalogue.symbols if symbols is None else tuple(sorted(set(symbols)))
        within = [place for place, one in enumerate(catalogue.sessions) if self._wants(one.session.day)]
        self.sessions = tuple(catalogue.sessions[place].session for place in within)
        places = {symbol: row for row, symbol in enumerate(catalogue.symbols)}
        rows = [places[symbol] for symbol in self.symbols]
        self._counts = bar_counts(folder, catalogue)[rows, within[0] : within[-1] + 1]
        if self._counts.max(initial=0) < 1:
            raise _nothing(str(folder), self.symbols, first, last)

    @property
    def source(self) -> Source:
        """See `BarSource`."""
        return self._catalogue.source

    @property
    def missing(self) -> tuple[date, ...]:
        """See `BarSource`."""
        calendar = ExchangeCalendar(self._catalogue.exchange, self._catalogue.hours)
        return tuple(day for day in self._catalogue.missing(calendar) if self._wants(day))

    @property
    def actions(self) -> tuple[CorporateAction, ...]:
        """See `BarSource`."""
        own = set(self.symbols)
        return tuple(one for one in self._catalogue.actions if one.symbol in own and self._wants(one.session))

    @property
    def problems(self) -> tuple[DataProblem, ...]:
        """None: what was wrong with the bars was told when they were imported."""
        return ()

    @property
    def own_bytes(self) -> int:
        """See `BarSource`: the sessions of the largest block that must be copied."""
        copied = (self._wanted(block) for block in self._catalogue.blocks if not self._is_mapped(block))
        return max(copied, default=0) * len(self.symbols) * CELL_BYTES

    @property
    def longest(self) -> int:
        """See `BarSource`."""
        return max(self._wanted(block) for block in self._catalogue.blocks)

    def blocks(self) -> Iterator[BarBlock]:
        """See `BarSource.blocks`."""
        start = 0
        for columns in open_columns(self._folder, self.symbols, self._first, self._last):
            end = start + len(columns.sessions)
            yield BarBlock(columns=columns, counts=self._counts[:, start:end], problems=())
            start = end

    def only(self, symbol: str) -> BarSource:
        """See `BarSource.only`."""
        return StoredBars(self._folder, (symbol,), self._first, self._last)

    def _wants(self, day: date) -> bool:
        return (self._first is None or day >= self._first) and (self._last is None or day <= self._last)

    def _wanted(self, block: Block) -> int:
        """How many of a block's sessions are wanted."""
        return sum(self._wants(day) for day in block.days)

    def _is_mapped(self, block: Block) -> bool:
        """Whether a block is read where it lies: all its sessions, and a run of neighbouring symbols of it."""
        if self._wanted(block) < len(block.sessions) or self.symbols[0] not in block.symbols:
            return not self._wanted(block)
        start = block.symbols.index(self.symbols[0])
        return block.symbols[start : start + len(self.symbols)] == self.symbols


class ProvidedBars:
    """A provider's bars, made into columns a part of a month at a time.

    Args:
        provider: Where they come from.
        calendar: Whose sessions they are.
        symbols: Those wanted, in any order.
        first: The first day, or the first that is recorded of any of the symbols.
        last: The last day, or the last that is recorded.

    Raises:
        InvalidInput: There is no bar of any of the symbols within these days.
    """

    def __init__(
        self,
        provider: Provider,
        calendar: ExchangeCalendar,
        symbols: Sequence[str],
        first: date | None = None,
        last: date | None = None,
    ) -> None:
        _require_range(first, last)
        self._provider, self._calendar, self._first, self._last = provider, calendar, first, last
        self.symbols = tuple(sorted(set(symbols)))
        self.source = provider.source
        if not self.symbols:
            raise InvalidInput("there is no symbol", where="symbols", mend="Name symbols that the data hold")
        recorded, problems = self._look()
        within = calendar.sessions(min(recorded), max(recorded)) if recorded else ()
        self.sessions = tuple(session for session in within if session.day in recorded)
        if not self.sessions:
            raise _nothing(_name(self.source), self.symbols, first, last, problems)
        self.missing = tuple(session.day for session in within if session.day not in recorded)
        self.actions = tuple(self._find_actions(problems))
        self.problems = tuple(problems)

    @property
    def longest(self) -> int:
        """See `BarSource`."""
        return max(1, min(BLOCK_BYTES // (len(self.symbols) * CELL_BYTES), 23, len(self.sessions)))

    @property
    def own_bytes(self) -> int:
        """See `BarSource`: the columns, and the volumes of earlier sessions that are kept for the profile."""
        return self.longest * len(self.symbols) * CELL_BYTES + self._volumes_kept * _VOLUME_BYTES

    def blocks(self) -> Iterator[BarBlock]:
        """See `BarSource.blocks`."""
        last = self.sessions[-1].day
        maker = ColumnMaker(self._provider, self._calendar, last, volumes_kept=self._volumes_kept)
        for _, group in groupby(self.sessions, key=lambda session: (session.day.year, session.day.month)):
            month = tuple(group)
            for start in range(0, len(month), self.longest):
                made = maker.make(self.symbols, month[start : start + self.longest])
                columns: dict[str, Any] = {name: getattr(made.columns, name) for name in COLUMNS}
                yield BarBlock(columns=made.columns, counts=count_bars(columns), problems=made.problems)

    def only(self, symbol: str) -> BarSource:
        """See `BarSource.only`."""
        return ProvidedBars(self._provider, self._calendar, (symbol,), self.sessions[0].day, self.sessions[-1].day)

    @property
    def _volumes_kept(self) -> int:
        return min(VOLUMES_KEPT, (PROFILE_SESSIONS + 5) * len(self.symbols))

    def _look(self) -> tuple[set[date], list[DataProblem]]:
        """The days that are recorded of any symbol within the range, and what is wrong with the others."""
        before = date.max if self._last is None else self._last + timedelta(days=1)
        recorded: set[date] = set()
        problems: list[DataProblem] = []
        for symbol in self.symbols:
            try:
                days = self._provider.minute_sessions(symbol, before)
            except InvalidInput as error:
                problems.append(DataProblem(symbol=symbol, what=f"{UNUSABLE}: {error}"))
                continue
            own = {day for day in days if self._first is None or day >= self._first}
            recorded |= own
            if not own:
                known = getattr(self._provider, "symbols", ())
                guess = did_you_mean(symbol, known) if symbol not in known else ""
                problems.append(DataProblem(symbol=symbol, what=f"{NO_BARS}{guess and '.' + guess}"))
        return recorded, problems

    def _find_actions(self, problems: list[DataProblem]) -> Iterator[CorporateAction]:
        """The actions of the symbols that have bars. What cannot be read is added to the problems."""
        first, last = self.sessions[0].day, self.sessions[-1].day
        silent = {one.symbol for one in problems}
        for symbol in self.symbols:
            if symbol in silent:
                continue
            try:
                yield from actions_of(self._provider, self._calendar, symbol, first, last)
            except InvalidInput as error:
                problems.append(DataProblem(symbol=symbol, what=f"{UNUSABLE}: {error}"))


def blocks_with_bars(source: BarSource) -> Iterator[BarBlock]:
    """The blocks of a source. Raises `InvalidInput` after the last where none had a bar: figures would be of nothing."""
    came, problems = False, list(source.problems)
    for block in source.blocks():
        came = came or bool((block.counts > 0).any())
        problems += block.problems
        yield block
    if not came:
        days = source.sessions[0].day, source.sessions[-1].day
        raise _nothing(_name(source.source), source.symbols, *days, problems)


def _name(source: Source) -> str:
    return f"{source.provider} {source.feed}"


def _require_range(first: date | None, last: date | None) -> None:
    if first is not None and last is not None and last < first:
        raise InvalidInput(f"{last} is before {first}", where="--from, --to", mend="Give the first day, then the last")


def _nothing(
    where: str,
    symbols: Sequence[str],
    first: date | None,
    last: date | None,
    problems: Sequence[DataProblem] = (),
) -> InvalidInput:
    told = f" ({problems[0].symbol}: {problems[0].what.rstrip('.')})" if problems else ""
    named = ", ".join(symbols[:_NAMED]) + (f" and {len(symbols) - _NAMED:,} more" if len(symbols) > _NAMED else "")
    span = "".join(f" {word} {day}" for word, day in (("from", first), ("to", last)) if day is not None)
    return InvalidInput(
        f"there is no bar of {named} in a session{span}{told}",
        where=where,
        mend="Name symbols and days that it has; trading-platform data list shows them",
    )
