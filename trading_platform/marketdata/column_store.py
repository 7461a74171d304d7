"""Bar columns from a folder, read at nearly the speed of memory: what a backtest opens.

A folder holds a block of files for each calendar month and a catalogue. Blocks come one after the other, mapped and not
copied where all of a block is wanted, so that a market of any length is read in the memory of one month. What a folder
holds is said by `column_catalogue`, how a block lies on disk by `column_blocks`, and how bars come into it by
`column_import`.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trading_platform.calendars.sessions import Session
from trading_platform.config.names import did_you_mean, plain_name
from trading_platform.domain.errors import InvalidInput
from trading_platform.marketdata.column_blocks import NOT_ASKED, Cells, damaged_cells, map_block, map_counts
from trading_platform.marketdata.column_catalogue import Block, Catalogue, read_catalogue
from trading_platform.marketdata.column_maker import bar_columns, unknown_cells
from trading_platform.marketdata.columns import BarColumns

Rows = npt.NDArray[np.intp]

_ABSENT: Final = -1
_NAMED: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSymbol:
    """What there is of one symbol in a folder.

    Attributes:
        symbol: Whose it is.
        first: The first session with a bar; None where there is none.
        last: The last.
        sessions: The sessions with a bar.
        silent: Imported sessions without one.
        not_imported: Sessions that are stored for other symbols alone.
        bars: Its bars.
        holes: The minutes without one in sessions that have some.
    """

    symbol: str
    first: date | None
    last: date | None
    sessions: int
    silent: int
    not_imported: int
    bars: int
    holes: int


def open_columns(
    folder: Path, symbols: Sequence[str] | None = None, first: date | None = None, last: date | None = None
) -> Iterator[BarColumns]:
    """The columns of a folder, block by block, oldest first.

    Each block is mapped when it is its turn and let go when the caller lets go of it. What is wanted whole, or is a
    run of neighbouring symbols over all sessions of a block, is not copied; other choices are copied, for the wanted
    rows alone. A symbol without bars in a block has nan there, so that all blocks have the same symbols.

    Args:
        folder: what bars were imported to.
        symbols: those wanted, in any order; all if left out.
        first: the first day, or the folder's own.
        last: the last day, or the folder's own.

    Raises:
        InvalidInput: The folder is none, a symbol is not in it, no session lies within, or, when its turn comes, a
            block cannot be read.
    """
    catalogue = read_catalogue(folder)
    wanted = catalogue.symbols if symbols is None else tuple(sorted(set(symbols)))
    _require_symbols(folder, catalogue, wanted)
    blocks = [(block, _within(block, first, last)) for block in catalogue.blocks]
    chosen = [(block, places) for block, places in blocks if len(places)]
    if not chosen:
        raise _nothing_there(folder, catalogue, first, last)
    return (_open_block(folder, block, wanted, places) for block, places in chosen)


def stored_symbols(folder: Path) -> tuple[StoredSymbol, ...]:
    """What there is of each symbol, from the counts alone. Raises `InvalidInput` as `open_columns`."""
    catalogue = read_catalogue(folder)
    days = np.array([one.session.day for one in catalogue.sessions], object)
    minutes = np.array([one.session.minutes for one in catalogue.sessions], np.int64)
    counts = bar_counts(folder, catalogue)
    return tuple(_stored(symbol, row, days, minutes) for symbol, row in zip(catalogue.symbols, counts, strict=True))


def bar_counts(folder: Path, catalogue: Catalogue) -> npt.NDArray[np.int16]:
    """Bars by symbol and session: int16 [symbols, sessions] of the whole catalogue; -1 where none was imported.

    Raises `InvalidInput` if a block cannot be read.
    """
    places = {symbol: row for row, symbol in enumerate(catalogue.symbols)}
    counts = np.full((len(places), len(catalogue.sessions)), NOT_ASKED, np.int16)
    start = 0
    for block in catalogue.blocks:
        end = start + len(block.sessions)
        counts[[places[symbol] for symbol in block.symbols], start:end] = map_counts(
            folder / block.folder, (len(block.symbols), len(block.sessions))
        )
        start = end
    return counts


def verify_columns(folder: Path, progress: Callable[[int, int], None] | None = None) -> Iterator[str]:
    """Read every bar again and say what is not as it was written, a sentence each: a disk, too, makes mistakes.

    `progress` is told how many blocks of how many are done. Raises `InvalidInput` if the folder is none.
    """
    catalogue = read_catalogue(folder)
    for number, block in enumerate(catalogue.blocks, start=1):
        try:
            cells = map_block(folder / block.folder, (len(block.symbols), len(block.sessions)))
        except InvalidInput as error:
            yield str(error)
            continue
        for row, place in damaged_cells(cells):
            day = block.sessions[place].session.day
            yield f"{folder / block.folder}: {block.symbols[row]} on {day} is not as it was written."
        if progress is not None:
            progress(number, len(catalogue.blocks))


def _within(block: Block, first: date | None, last: date | None) -> range:
    """The places of the sessions that are wanted."""
    days = block.days
    start = 0 if first is None else bisect_left(days, first)
    return range(start, len(days) if last is None else bisect_right(days, last))


def _open_block(folder: Path, block: Block, wanted: tuple[str, ...], places: range) -> BarColumns:
    shape = len(block.symbols), len(block.sessions)
    cells = map_block(folder / block.folder, shape)
    sessions = [block.sessions[place].session for place in places]
    own = {symbol: row for row, symbol in enumerate(block.symbols)}
    rows = np.array([own.get(symbol, _ABSENT) for symbol in wanted], np.intp)
    within = slice(places.start, places.stop)
    if (rows == _ABSENT).any():
        return _with_gaps(cells, wanted, sessions, rows, within)
    chosen = slice(int(rows[0]), int(rows[-1]) + 1) if rows[-1] - rows[0] == len(rows) - 1 else rows
    # A run of whole rows stays mapped; what is not contiguous is copied.
    arrays = {name: np.ascontiguousarray(column[chosen, within]) for name, column in cells.columns.items()}
    return bar_columns(wanted, sessions, arrays, np.ascontiguousarray(cells.days[chosen, within]))


def _with_gaps(
    cells: Cells, wanted: tuple[str, ...], sessions: Sequence[Session], rows: Rows, within: slice
) -> BarColumns:
    """Columns of which the block lacks some symbols."""
    arrays, days = unknown_cells((len(wanted), len(sessions)))
    there = rows != _ABSENT
    for name, array in arrays.items():
        array[there] = cells.columns[name][rows[there], within]
    days[there] = cells.days[rows[there], within]
    return bar_columns(wanted, sessions, arrays, days)


def _require_symbols(folder: Path, catalogue: Catalogue, wanted: tuple[str, ...]) -> None:
    if not wanted:
        raise InvalidInput("no symbol is wanted", where=str(folder), mend="Name one, or leave the symbols out for all")
    known = set(catalogue.symbols)
    unknown = [symbol for symbol in wanted if symbol not in known]
    if unknown:
        named = ", ".join(map(plain_name, unknown[:_NAMED]))
        more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
        raise InvalidInput(
            f"there is no {named}{more} among its {len(known):,} symbols.{did_you_mean(unknown[0], known)}",
            where=str(folder),
            mend="Name symbols that it holds, or import these first",
        )


def _nothing_there(folder: Path, catalogue: Catalogue, first: date | None, last: date | None) -> InvalidInput:
    days = [one.session.day for one in catalogue.sessions]
    span = " ".join(f"{word} {day}" for word, day in (("from", first), ("to", last)) if day is not None)
    return InvalidInput(
        f"holds no session {span}".rstrip(),
        where=str(folder),
        mend=f"Its sessions are from {days[0]} to {days[-1]}" if days else "Import bars first",
    )


def _stored(
    symbol: str, counts: npt.NDArray[np.int16], days: npt.NDArray[Any], minutes: npt.NDArray[np.int64]
) -> StoredSymbol:
    traded = counts > 0
    own = days[traded]
    return StoredSymbol(
        symbol=symbol,
        first=own[0] if len(own) else None,
        last=own[-1] if len(own) else None,
        sessions=len(own),
        silent=int((counts == 0).sum()),
        not_imported=int((counts == NOT_ASKED).sum()),
        bars=int(counts[traded].sum(dtype=np.int64)),
        holes=int((minutes[traded] - counts[traded]).sum()),
    )
