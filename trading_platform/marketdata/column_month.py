"""One month of bar columns as it will be: what is stored of it joined with what is new, and what is said of it.

Here belong the places of rows and sessions, and the sums and digests of what lies in them. When a month is written, and
whether it may be, is `column_writer`'s; how it lies on disk is `column_blocks`'.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from trading_platform.calendars.sessions import Session
from trading_platform.marketdata.column_blocks import DIGEST, NOT_ASKED, Cells, map_block
from trading_platform.marketdata.column_catalogue import Block, StoredSession
from trading_platform.marketdata.column_maker import unknown_cells

Places = npt.NDArray[np.intp]

_ABSENT: Final = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """A month's block as it will be, and where each of its rows and sessions is in the old one (`_ABSENT`: nowhere)."""

    name: str
    symbols: tuple[str, ...]
    sessions: tuple[Session, ...]
    asked_symbols: frozenset[str]
    asked: Places
    old: Cells | None
    old_rows: Places
    old_places: Places
    is_new: bool

    def group(self, start: int, end: int) -> tuple[Places, tuple[str, ...]]:
        """The rows from `start` to `end` that are asked for, counted from `start`, and their symbols."""
        rows = [row for row in range(start, end) if self.symbols[row] in self.asked_symbols]
        return np.array(rows, np.intp) - start, tuple(self.symbols[row] for row in rows)

    def stored(self, start: int, end: int) -> Cells:
        """What the old block has of the rows from `start` to `end`, in the new block's shape."""
        columns, days = unknown_cells((end - start, len(self.sessions)))
        before = Cells(
            columns=columns,
            days=days,
            counts=np.full(days.shape, NOT_ASKED, np.int16),
            digests=np.zeros((*days.shape, DIGEST), np.uint8),
        )
        rows = np.flatnonzero(self.old_rows[start:end] != _ABSENT)
        places = np.flatnonzero(self.old_places != _ABSENT)
        if self.old is None or not len(rows):
            return before
        old = np.ix_(self.old_rows[start:end][rows], self.old_places[places])
        part = Cells(
            columns={name: column[old] for name, column in self.old.columns.items()},
            days=self.old.days[old],
            counts=self.old.counts[old],
            digests=self.old.digests[old],
        )
        _put(before, part, np.ix_(rows, places))
        return before

    def with_new(self, before: Cells, new: Cells, rows: Places) -> Cells:
        """`before`, as `stored` gives it, with what is new for `rows` of it and the sessions that are asked for."""
        if new.days.shape == before.days.shape:
            return new
        together = Cells(
            columns={name: column.copy() for name, column in before.columns.items()},
            days=before.days.copy(),
            counts=before.counts.copy(),
            digests=before.digests.copy(),
        )
        _put(together, new, np.ix_(rows, self.asked))
        return together


class Tally:
    """What a block's catalogue entry says of its sessions, worked out as the rows come."""

    def __init__(self, month: Month) -> None:
        self._month = month
        self._digests = [hashlib.sha256() for _ in month.sessions]
        self._counts = np.zeros((4, len(month.sessions)), np.int64)
        self._minutes = np.array([session.minutes for session in month.sessions], np.int64)

    def add(self, start: int, cells: Cells) -> None:
        """Count the rows from `start` on, which come in order."""
        counts, traded = cells.counts.astype(np.int64), cells.counts > 0
        self._counts[0] += (counts != NOT_ASKED).sum(axis=0)
        self._counts[1] += (counts == 0).sum(axis=0)
        self._counts[2] += np.where(traded, counts, 0).sum(axis=0)
        self._counts[3] += np.where(traded, self._minutes - counts, 0).sum(axis=0)
        for row, place in np.argwhere(counts != NOT_ASKED).tolist():
            self._digests[place].update(f"{self._month.symbols[start + row]} ".encode())
            self._digests[place].update(cells.digests[row, place].tobytes())

    def block(self) -> Block:
        """The entry, once all rows have come."""
        sessions = tuple(
            StoredSession(
                session=session,
                symbols=int(counts[0]),
                silent=int(counts[1]),
                bars=int(counts[2]),
                holes=int(counts[3]),
                sha256=digest.hexdigest(),
            )
            for session, counts, digest in zip(self._month.sessions, self._counts.T, self._digests, strict=True)
        )
        whole = hashlib.sha256("".join(f"{one.session.day} {one.sha256}\n" for one in sessions).encode())
        return Block(
            month=self._month.name,
            folder=f"{self._month.name}.{whole.hexdigest()[:16]}",
            symbols=self._month.symbols,
            sessions=sessions,
        )


def plan_month(
    folder: Path, month: str, symbols: Sequence[str], sessions: Sequence[Session], old: Block | None
) -> Month:
    """The block of a month once `symbols` over `sessions` have been put into the `old` one, which lies in `folder`.

    Raises `InvalidInput` if the old one cannot be read.
    """
    before = () if old is None else tuple(one.session for one in old.sessions)
    rows = {} if old is None else {symbol: row for row, symbol in enumerate(old.symbols)}
    places = {session.day: place for place, session in enumerate(before)}
    days = {session.day: session for session in (*before, *sessions)}
    all_symbols = tuple(sorted({*rows, *symbols}))
    all_sessions = tuple(days[day] for day in sorted(days))
    asked = {session.day for session in sessions}
    return Month(
        name=month,
        symbols=all_symbols,
        sessions=all_sessions,
        asked_symbols=frozenset(symbols),
        asked=np.array([at for at, session in enumerate(all_sessions) if session.day in asked], np.intp),
        old=None if old is None else map_block(folder / old.folder, (len(rows), len(places))),
        old_rows=np.array([rows.get(symbol, _ABSENT) for symbol in all_symbols], np.intp),
        old_places=np.array([places.get(session.day, _ABSENT) for session in all_sessions], np.intp),
        is_new=len(all_symbols) != len(rows) or len(all_sessions) != len(places),
    )


def replaces_all(old: Block, symbols: Sequence[str], sessions: Sequence[Session]) -> bool:
    """Whether nothing of the old block would be left."""
    return set(old.symbols) <= set(symbols) and set(old.days) <= {session.day for session in sessions}


def differing(one: Cells, other: Cells) -> npt.NDArray[np.bool_]:
    """Which cells have other bits, whatever their digests say: [symbols, sessions]."""
    differs = one.days.view(np.int64) != other.days.view(np.int64)
    found: npt.NDArray[np.bool_] = differs.reshape(*one.days.shape, -1).any(axis=2)
    for name, column in one.columns.items():
        found |= (column.view(np.int64) != other.columns[name].view(np.int64)).any(axis=2)
    return found


def _put(cells: Cells, part: Cells, at: tuple[Places, ...]) -> None:
    """Put `part` into `cells` at `at`."""
    for name, column in cells.columns.items():
        column[at] = part.columns[name]
    cells.days[at] = part.days
    cells.counts[at] = part.counts
    cells.digests[at] = part.digests
