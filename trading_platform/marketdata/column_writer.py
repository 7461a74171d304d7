"""The one writer of a folder of bar columns: a month's new cells joined with what is there, and put in its place.

A month's block is written beside the old one, and the catalogue is changed to name it when it is whole: a reader sees
one or the other, and a writer that is killed loses the month that it was at. The same bars again change nothing, other
bars are refused unless they were asked to take the place of those that are there, symbols and sessions that were not
there are added, and bars of two sources are not mixed. What the new cells are made of is the caller's.
"""

import fcntl
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.calendars.sessions import Session
from trading_platform.domain.errors import InvalidInput
from trading_platform.marketdata.actions import CorporateAction
from trading_platform.marketdata.column_blocks import (
    NOT_ASKED,
    BlockWriter,
    Cells,
    count_bars,
    digest_cells,
)
from trading_platform.marketdata.column_catalogue import (
    CATALOGUE,
    Block,
    Catalogue,
    find_catalogue,
    sync_folder,
    write_catalogue,
)
from trading_platform.marketdata.column_maker import CELL_BYTES
from trading_platform.marketdata.column_month import Month, Tally, differing, plan_month, replaces_all
from trading_platform.marketdata.columns import BarColumns
from trading_platform.marketdata.provider import Source
from trading_platform.marketdata.providers.file_access import names_in

Make = Callable[[Sequence[str], Sequence[Session]], BarColumns]
"""The columns of some symbols, in rising order, over some sessions, oldest first."""

_LOCK: Final = ".lock"
_OWN: Final = re.compile(r"\d{4}-\d\d\.[0-9a-f]{16}(-again)?|\.\d{4}-\d\d\.new|\.columns\.json\.new")
_COPIES: Final = 4  # what was there, what is made, both joined, and what is compared or goes to the file


class ColumnWriter:
    """Writes into one folder; made by `writing`.

    Args:
        folder: where to.
        catalogue: what is there.
        replace_others: whether other bars may take the place of those that are there.
        memory: bytes that the rows in hand may take, at least those of one symbol.
    """

    def __init__(self, folder: Path, catalogue: Catalogue, *, replace_others: bool, memory: int) -> None:
        self.catalogue = catalogue
        self._folder, self._replace, self._memory = folder, replace_others, memory

    def take(self, month: str, symbols: Sequence[str], sessions: Sequence[Session], make: Make) -> tuple[date, ...]:
        """Store a month's sessions of `symbols`, and give the days that were not there as they are now.

        Args:
            month: as 2013-10.
            symbols: in rising order.
            sessions: of that month, oldest first.
            make: called once for each group of symbols.

        Raises:
            InvalidInput: Other bars are there, or the folder cannot be written.
        """
        found = [block for block in self.catalogue.blocks if block.month == month]
        old = found[0] if found else None
        try:
            plan = plan_month(self._folder, month, symbols, sessions, old)
        except InvalidInput:
            if old is None or not self._replace or not replaces_all(old, symbols, sessions):
                raise
            plan = plan_month(self._folder, month, symbols, sessions, None)
        tally, changed = Tally(plan), np.zeros(len(plan.sessions), np.bool_)
        writer: BlockWriter | None = None
        new = self._folder / f".{month}.new"
        size = max(1, self._memory // (_COPIES * len(plan.sessions) * CELL_BYTES))
        try:
            for start in range(0, len(plan.symbols), size):
                cells, differs = self._cells(plan, start, min(start + size, len(plan.symbols)), make)
                changed |= differs
                tally.add(start, cells)
                with self._writes():
                    if writer is None and (plan.is_new or changed.any()):
                        writer = BlockWriter(new, (len(plan.symbols), len(plan.sessions)))
                        _copy_rows(plan, writer, start, size)
                    if writer is not None:
                        writer.append(cells)
            if writer is not None:
                with self._writes():
                    writer.finish()
                    self._put(new, tally.block(), old)
        finally:
            if writer is not None:
                writer.close()
            shutil.rmtree(new, ignore_errors=True)
        return tuple(plan.sessions[place].day for place in np.flatnonzero(changed))

    def put_actions(self, actions: Sequence[CorporateAction], symbols: Sequence[str], first: date, last: date) -> None:
        """Have the catalogue say that these are the actions of `symbols` from `first` to `last`."""
        known = frozenset(symbols)
        others = [one for one in self.catalogue.actions if one.symbol not in known or not first <= one.session <= last]
        together = tuple(sorted([*others, *actions], key=lambda one: (one.session, one.symbol)))
        if together != self.catalogue.actions:
            self._change(replace(self.catalogue, actions=together))

    def _cells(self, plan: Month, start: int, end: int, make: Make) -> tuple[Cells, npt.NDArray[np.bool_]]:
        """The rows from `start` to `end` of the new block, and in which sessions they are not as they were."""
        before = plan.stored(start, end)
        rows, symbols = plan.group(start, end)
        if not symbols:
            return before, np.zeros(len(plan.sessions), np.bool_)
        made = make(symbols, [plan.sessions[place] for place in plan.asked])
        columns = {name: getattr(made, name) for name in before.columns}
        new = Cells(
            columns=columns, days=made.days, counts=count_bars(columns), digests=digest_cells(columns, made.days)
        )
        cells = plan.with_new(before, new, rows)
        other = (cells.digests != before.digests).any(axis=2)
        clash = other & (before.counts != NOT_ASKED)
        if clash.any() and not self._replace:
            row, place = np.argwhere(clash)[0].tolist()
            raise InvalidInput(
                f"other bars, or another day record, of {plan.symbols[start + row]} on {plan.sessions[place].day} are "
                f"stored ({before.counts[row, place]} bars, and now {cells.counts[row, place]})",
                where=str(self._folder),
                mend="Keep what is stored, or ask for its replacement",
            )
        # With the same digest and other bits it is the disk that has changed them: that is mended without a question.
        differs: npt.NDArray[np.bool_] = (other | (cells.counts != before.counts) | differing(cells, before)).any(
            axis=0
        )
        return cells, differs

    def _put(self, new: Path, block: Block, old: Block | None) -> None:
        """Give the written block its name, name it in the catalogue, and remove the one before."""
        if old is not None and old.folder == block.folder:
            # The same bars in the place of a damaged block.
            block = replace(block, folder=f"{block.folder}-again")
        new.rename(self._folder / block.folder)
        sync_folder(self._folder)
        others = [one for one in self.catalogue.blocks if one.month != block.month]
        blocks = tuple(sorted([*others, block], key=lambda one: one.month))
        self._change(replace(self.catalogue, blocks=blocks))
        if old is not None:
            shutil.rmtree(self._folder / old.folder, ignore_errors=True)

    def _change(self, catalogue: Catalogue) -> None:
        with self._writes():
            write_catalogue(self._folder, catalogue)
        self.catalogue = catalogue

    @contextmanager
    def _writes(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise _unwritable(self._folder, error) from error


@contextmanager
def writing(
    folder: Path, source: Source, calendar: ExchangeCalendar, *, replace_others: bool, memory: int
) -> Iterator[ColumnWriter]:
    """The writer of a folder, which is made if it is not there; another one waits.

    Raises:
        InvalidInput: The folder holds something else or another source's bars, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        strange = [name for name in names_in(folder) if name not in (_LOCK, CATALOGUE) and not _OWN.fullmatch(name)]
        if strange and find_catalogue(folder) is None:
            raise InvalidInput(
                f"holds {strange[0]} and no bar columns",
                where=str(folder),
                mend="Name a folder for bar columns alone; it is made if it is not there",
            )
        lock = (folder / _LOCK).open("w")
    except OSError as error:
        raise _unwritable(folder, error) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = find_catalogue(folder)
        if found is not None:
            _require_same(folder, found, source, calendar)
        catalogue = found or Catalogue(
            source=source, exchange=calendar.exchange, hours=calendar.hours, blocks=(), actions=()
        )
        _remove_left(folder, catalogue)
        yield ColumnWriter(folder, catalogue, replace_others=replace_others, memory=memory)


def _copy_rows(plan: Month, writer: BlockWriter, end: int, size: int) -> None:
    """The rows up to `end`, which are as they were."""
    for start in range(0, end, size):
        writer.append(plan.stored(start, min(start + size, end)))


def _require_same(folder: Path, found: Catalogue, source: Source, calendar: ExchangeCalendar) -> None:
    if found.source == source and (found.exchange, found.hours) == (calendar.exchange, calendar.hours):
        return
    raise InvalidInput(
        f"holds bars of {_said(found.source, found.exchange)}, and these are of {_said(source, calendar.exchange)}"
        f"{', in other hours' if found.source == source and found.exchange == calendar.exchange else ''}: "
        "they are not mixed",
        where=str(folder),
        mend="Give each source a folder of its own",
    )


def _remove_left(folder: Path, catalogue: Catalogue) -> None:
    """Remove what a writer that was killed has left: what has a block's name, and the catalogue does not name it."""
    named = {block.folder for block in catalogue.blocks}
    for name in names_in(folder):
        if _OWN.fullmatch(name) and name not in named and (folder / name).is_dir():
            shutil.rmtree(folder / name, ignore_errors=True)


def _said(source: Source, exchange: str) -> str:
    return f"{source.provider} {source.feed}, adjustment {source.adjustment}, calendar {exchange}"


def _unwritable(folder: Path, error: OSError) -> InvalidInput:
    return InvalidInput(
        f"it cannot be written: {error.strerror or error}",
        where=str(folder),
        mend="Make room and give this account the right to write there, or name another folder",
    )
