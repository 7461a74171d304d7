"""The catalogue of a folder of bar columns: what is in it, from what source, and what is missing.

Here belong its values, its file (`columns.json`) and what can be said without reading a bar. How the bars of a month
lie on disk is `column_blocks`'; what may be written over what is `column_import`'s.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.calendars.sessions import Hours, Session
from trading_platform.domain.errors import InvalidInput
from trading_platform.marketdata.actions import CorporateAction
from trading_platform.marketdata.provider import Source
from trading_platform.marketdata.providers.file_access import is_file, unreadable

CATALOGUE: Final = "columns.json"
MEND_STORE: Final = "Import its bars again into a new folder"
_VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSession:
    """A session of a block.

    Attributes:
        session: The day.
        symbols: How many symbols were imported for it.
        silent: How many of them have no bar in it.
        bars: The bars of the others.
        holes: Their minutes without one.
        sha256: The digest of all that is stored of it: the same for the same bars and day records of the same symbols.
    """

    session: Session
    symbols: int
    silent: int
    bars: int
    holes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The sessions of one calendar month: its columns lie in the subfolder `folder`, [symbols, sessions, 390]."""

    month: str
    folder: str
    symbols: tuple[str, ...]
    sessions: tuple[StoredSession, ...]

    @property
    def days(self) -> tuple[date, ...]:
        """The days of its sessions, oldest first."""
        return tuple(one.session.day for one in self.sessions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """All that a folder of columns says of itself.

    Attributes:
        source: What every bar in it comes from.
        exchange: Whose sessions they are.
        hours: The hours of that calendar.
        blocks: The months, oldest first.
        actions: Splits and dividends, by session and symbol.
    """

    source: Source
    exchange: str
    hours: Hours
    blocks: tuple[Block, ...]
    actions: tuple[CorporateAction, ...]

    @property
    def symbols(self) -> tuple[str, ...]:
        """Those of any block, in order."""
        distinct = {block.symbols for block in self.blocks}
        return tuple(sorted(set().union(*distinct)))

    @property
    def sessions(self) -> tuple[StoredSession, ...]:
        """Those of all blocks, oldest first."""
        return tuple(one for block in self.blocks for one in block.sessions)

    @property
    def half_days(self) -> tuple[date, ...]:
        """The stored sessions that close early."""
        return tuple(one.session.day for one in self.sessions if one.session.is_half_day)

    def missing(self, calendar: ExchangeCalendar) -> tuple[date, ...]:
        """The calendar's sessions between the first and the last that are stored, and are not there."""
        stored = {one.session.day for one in self.sessions}
        return tuple(day for day in calendar.days(min(stored), max(stored)) if day not in stored) if stored else ()


def read_catalogue(folder: Path) -> Catalogue:
    """The catalogue of a folder. Raises `InvalidInput` if it is none, or its catalogue cannot be read."""
    found = find_catalogue(folder)
    if found is None:
        raise InvalidInput(
            f"is not a folder of bar columns: it holds no {CATALOGUE}",
            where=str(folder),
            mend="Name a folder that bars were imported to, or import them first",
        )
    return found


def find_catalogue(folder: Path) -> Catalogue | None:
    """As `read_catalogue`, but None where there is none."""
    path = folder / CATALOGUE
    if not is_file(path):
        return None
    try:
        return _catalogue(path, json.loads(path.read_bytes()))
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
        raise InvalidInput("the catalogue cannot be read", where=str(path), mend=MEND_STORE) from error


def write_catalogue(folder: Path, catalogue: Catalogue) -> None:
    """Put the catalogue in the place of the one before, in one step. Raises OSError if it cannot be written."""
    path, new = folder / CATALOGUE, folder / f".{CATALOGUE}.new"
    with new.open("w", encoding="utf-8") as file:
        json.dump(_as_json(catalogue), file, separators=(",", ":"))
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Have a folder's entries written down: else a crash of the machine can lose what was just renamed in it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _as_json(catalogue: Catalogue) -> dict[str, Any]:
    source, hours, symbols = catalogue.source, catalogue.hours, catalogue.symbols
    return {
        "version": _VERSION,
        "source": {"provider": source.provider, "feed": source.feed, "adjustment": source.adjustment},
        "exchange": catalogue.exchange,
        "hours": [at.isoformat() for at in (hours.open, hours.close, hours.premarket, hours.after_hours)],
        "symbols": symbols,
        "blocks": [
            {
                "month": block.month,
                "folder": block.folder,
                # The list of a whole market is long, and most blocks share it.
                "symbols": None if block.symbols == symbols else block.symbols,
                "sessions": [_session_as_json(one) for one in block.sessions],
            }
            for block in catalogue.blocks
        ],
        "actions": [
            [one.symbol, one.session.isoformat(), str(one.split), str(one.dividend)] for one in catalogue.actions
        ],
    }


def _session_as_json(one: StoredSession) -> dict[str, Any]:
    session = one.session
    return {
        "day": session.day.isoformat(),
        "open": int(session.open.timestamp()),
        "close": int(session.close.timestamp()),
        "symbols": one.symbols,
        "silent": one.silent,
        "bars": one.bars,
        "holes": one.holes,
        "sha256": one.sha256,
    }


def _catalogue(path: Path, said: Mapping[str, Any]) -> Catalogue:
    version = said["version"]
    if version != _VERSION:
        raise InvalidInput(
            f"is a catalogue of version {version}, and this release reads version {_VERSION}",
            where=str(path),
            mend="Use the release that wrote it, or import the bars again",
        )
    opens, closes, premarket, after_hours = map(time.fromisoformat, said["hours"])
    hours = Hours(open=opens, close=closes, premarket=premarket, after_hours=after_hours)
    return Catalogue(
        source=Source(**said["source"]),
        exchange=said["exchange"],
        hours=hours,
        blocks=tuple(_blocks(said, hours)),
        actions=tuple(
            CorporateAction(
                symbol=symbol,
                session=date.fromisoformat(day),
                split=Fraction(split),
                dividend=Decimal(dividend),
            )
            for symbol, day, split, dividend in said["actions"]
        ),
    )


def _blocks(said: Mapping[str, Any], hours: Hours) -> Iterator[Block]:
    everything = tuple(said["symbols"])
    for block in said["blocks"]:
        yield Block(
            month=block["month"],
            folder=block["folder"],
            symbols=everything if block["symbols"] is None else tuple(block["symbols"]),
            sessions=tuple(_session(one, hours) for one in block["sessions"]),
        )


def _session(said: Mapping[str, Any], hours: Hours) -> StoredSession:
    return StoredSession(
        session=Session(
            day=date.fromisoformat(said["day"]),
            open=datetime.fromtimestamp(said["open"], UTC),
            close=datetime.fromtimestamp(said["close"], UTC),
            premarket=hours.premarket,
            after_hours=hours.after_hours,
        ),
        symbols=said["symbols"],
        silent=said["silent"],
        bars=said["bars"],
        holes=said["holes"],
        sha256=said["sha256"],
    )
