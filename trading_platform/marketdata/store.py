"""Bars kept by session: what a session traded on, so that it can be looked at and traded again.

    minute/<yyyy-mm-dd>.parquet  the judged minute bars of every symbol, up to the close; pre-market included
    daily/<yyyy-mm-dd>.parquet   the daily bars that its day records were made of, in that session's scale

The folder is itself a data folder: `providers.parquet_files.ParquetFiles` reads it, and finds the same day records. For
that a session brings the earlier sessions of its volume profile with it, where they are not stored yet. Bars of one
source alone are in a store. What is stored is never silently written over: the same bars again change nothing, other
bars are refused unless a replacement is asked for, and symbols that were not there are added.

How a file looks inside is `session_files`'.
"""

import fcntl
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy.typing as npt

from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.calendars.sessions import Session
from trading_platform.domain.errors import InvalidInput
from trading_platform.marketdata.day import DAILY_HISTORY, PROFILE_SESSIONS
from trading_platform.marketdata.fetch import full_sessions_before
from trading_platform.marketdata.provider import Provider, Source
from trading_platform.marketdata.providers.file_access import is_file, names_in
from trading_platform.marketdata.providers.symbol_files import as_day
from trading_platform.marketdata.quality import judge, judge_daily
from trading_platform.marketdata.session_files import (
    DAILY,
    MINUTE,
    SUFFIX,
    Contents,
    Header,
    Kind,
    contents,
    digest,
    read_all,
    write,
)

Bars = npt.NDArray[Any]
_LOCK: Final = ".lock"
_NOT_IN_A_NAME: Final = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSession:
    """What `store_session` left in the store.

    `symbols` have bars, `silent` have none; `refused` counts bars that were malformed. `sha256` is the digest of the
    session's minute bars in the store; `changed` says whether its files were written; `earlier` are the sessions before
    it that were stored with it.
    """

    session: date
    path: Path
    symbols: tuple[str, ...]
    silent: tuple[str, ...]
    bars: int
    refused: int
    sha256: str
    changed: bool
    earlier: tuple[date, ...]


class BarStore:
    """The sessions in one folder, which is made at the first writing.

    Args:
        root: the folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known = lru_cache(10_000)(self._read_contents)

    def path(self, session: date, kind: Kind = MINUTE) -> Path:
        """Where a session's bars lie, stored or not."""
        return self.root / kind.name / f"{session}{SUFFIX}"

    def sessions(self) -> tuple[date, ...]:
        """The sessions of which minute bars are stored, oldest first."""
        names = (name.removesuffix(SUFFIX) for name in names_in(self.root / MINUTE.name) if name.endswith(SUFFIX))
        return tuple(sorted(day for day in map(as_day, names) if day is not None))

    def contents(self, session: date, kind: Kind = MINUTE) -> Contents | None:
        """What is stored of a session, or None. Raises `InvalidInput` for a file that cannot be read."""
        path = self.path(session, kind)
        return self._known(kind, session, path.stat().st_mtime_ns) if is_file(path) else None

    def read(self, session: date, symbols: Sequence[str] | None = None, kind: Kind = MINUTE) -> dict[str, Bars]:
        """The stored bars of `symbols` (or of all) by symbol: `bar_t`, or `daily_t`. Who has none is left out.

        Raises `InvalidInput` for a file that cannot be read.
        """
        within = self.contents(session, kind)
        return {} if within is None else read_all(self.path(session, kind), kind, within, symbols)

    def write(
        self,
        session: date,
        bars: Mapping[str, Bars],
        *,
        source: Source,
        calendar: str,
        kind: Kind = MINUTE,
        replace: bool = False,
    ) -> bool:
        """Store the bars of a session, by symbol; the symbols that are stored already stay.

        Args:
            session: the day.
            bars: judged bars by symbol, `bar_t` or `daily_t`; a symbol without bars is left out.
            source: what they come from: the store's.
            calendar: whose session it is.
            kind: of a minute or of a day.
            replace: whether other bars of a symbol may take the place of those that are stored.

        Returns:
            Whether anything was written: False where the same bars are stored already.

        Raises:
            InvalidInput: Other bars are stored, the store holds those of another source, or it cannot be written.
        """
        given = {symbol: some for symbol, some in bars.items() if len(some)}
        with self._exclusive():
            stored = self.read(session, kind=kind)
            fresh = {symbol for symbol, some in given.items() if not _same(stored.get(symbol), some)}
            if not fresh:
                return False
            self._require_source(source, calendar)
            other = sorted(fresh & stored.keys())
            if other and not replace:
                raise InvalidInput(
                    f"other bars of {', '.join(other[:5])}{' and others' if len(other) > 5 else ''} are stored "
                    f"({_difference(stored[other[0]], given[other[0]], kind)})",
                    where=str(self.path(session, kind)),
                    mend="Keep what is stored, or ask for its replacement",
                )
            together = stored | given
            header = Header(kind=kind.name, session=session, source=source, calendar=calendar, sha256=digest(together))
            write(self.path(session, kind), kind, header, together)
            return True

    def _require_source(self, source: Source, calendar: str) -> None:
        """Raise `InvalidInput` if what is stored comes from elsewhere: feeds are never mixed."""
        for day in reversed(self.sessions()):
            found = self.contents(day)
            if found is None or found.header is None:
                raise InvalidInput(
                    "does not say what its bars come from: it was not written by the bar store",
                    where=str(self.path(day)),
                    mend="Store sessions in a folder of their own",
                )
            if found.header.source != source or found.header.calendar != calendar:
                raise InvalidInput(
                    f"holds bars of {_said(found.header.source, found.header.calendar)}, and these are of "
                    f"{_said(source, calendar)}: they are not mixed",
                    where=str(self.root),
                    mend="Give each source a store of its own",
                )
            return

    def _read_contents(self, kind: Kind, session: date, _stamp: int) -> Contents:
        return contents(self.path(session, kind), kind, session)

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """One writer at a time: each reads what is stored and writes it back with its own."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = (self.root / _LOCK).open("w")
        except OSError as error:
            raise InvalidInput(
                f"the store cannot be written: {error.strerror}",
                where=str(self.root),
                mend="Give this account the right to write there, or name another folder",
            ) from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def store_name(source: Source) -> str:
    """A folder's name for the store of one source, such as `simulated-seed-7`: a store holds bars of one alone."""
    return _NOT_IN_A_NAME.sub("-", f"{source.provider} {source.feed}".lower()).strip("-")


def store_session(
    provider: Provider,
    calendar: ExchangeCalendar,
    symbols: Sequence[str],
    session: Session,
    store: BarStore,
    *,
    replace: bool = False,
) -> StoredSession:
    """Store what `session` traded on: its judged bars up to the close, its daily bars, and its profile's sessions.

    Called after the close. Called again with the same bars it changes nothing.

    Args:
        provider: the session's own.
        calendar: the session's own.
        symbols: what was traded.
        session: the day.
        store: where to.
        replace: whether other bars may take the place of those that are stored.

    Raises:
        InvalidInput: The provider's source cannot be used, or the store refuses (see `BarStore.write`).
    """
    earlier = _store_earlier(provider, calendar, symbols, session, store)
    judged = {
        symbol: judge(symbol, provider.minute_bars(symbol, session.day, session.close), session) for symbol in symbols
    }
    daily = {
        symbol: judge_daily(symbol, provider.daily_bars(symbol, session.day, DAILY_HISTORY))[0] for symbol in symbols
    }
    bars = {symbol: clean for symbol, (clean, _) in judged.items()}
    changed = store.write(
        session.day, daily, kind=DAILY, source=provider.source, calendar=calendar.exchange, replace=replace
    )
    changed |= store.write(session.day, bars, source=provider.source, calendar=calendar.exchange, replace=replace)
    stored = store.contents(session.day)
    return StoredSession(
        session=session.day,
        path=store.path(session.day),
        symbols=tuple(symbol for symbol in symbols if len(bars[symbol])),
        silent=tuple(symbol for symbol in symbols if not len(bars[symbol])),
        bars=sum(map(len, bars.values())),
        refused=sum(problem.count for _, problems in judged.values() for problem in problems),
        sha256=stored.header.sha256 if stored is not None and stored.header is not None else digest({}),
        changed=changed,
        earlier=earlier,
    )


def _store_earlier(
    provider: Provider,
    calendar: ExchangeCalendar,
    symbols: Sequence[str],
    session: Session,
    store: BarStore,
) -> tuple[date, ...]:
    """Store the earlier sessions of the volume profile that are not there yet, one by one, oldest first."""
    lacking: dict[date, list[str]] = {}
    for symbol in symbols:
        for day in _profile_days(provider, calendar, symbol, session, store):
            lacking.setdefault(day, []).append(symbol)
    for day in sorted(lacking):
        past = calendar.session(day)
        bars = {
            symbol: judge(symbol, provider.minute_bars(symbol, day, past.close), past)[0] for symbol in lacking[day]
        }
        store.write(day, bars, source=provider.source, calendar=calendar.exchange)
    return tuple(sorted(lacking))


def _profile_days(
    provider: Provider, calendar: ExchangeCalendar, symbol: str, session: Session, store: BarStore
) -> Iterator[date]:
    """The sessions of one symbol's volume profile that the store lacks, newest first: as the day record takes them."""
    count = 0
    for past in full_sessions_before(provider, calendar, symbol, session):
        if count == PROFILE_SESSIONS:
            return
        stored = store.contents(past.day)
        if stored is not None and stored.has(symbol):
            count += 1
        elif len(judge(symbol, provider.minute_bars(symbol, past.day, past.close), past)[0]):
            count += 1
            yield past.day


def _same(stored: Bars | None, given: Bars) -> bool:
    return stored is not None and len(stored) == len(given) and bool((stored == given).all())


def _difference(stored: Bars, given: Bars, kind: Kind) -> str:
    """The first bar that is not the same, in words."""
    common = min(len(stored), len(given))
    places = (stored[:common] != given[:common]).nonzero()[0]
    if not len(places):
        return f"{len(stored)} bars, not {len(given)}"
    value = int(stored[places[0]][kind.field])
    when = datetime.fromtimestamp(value if kind is MINUTE else value * 86_400, UTC)
    return f"the first that differs is of {when:%Y-%m-%d %H:%M} UTC" if kind is MINUTE else f"that of {when:%Y-%m-%d}"


def _said(source: Source, calendar: str) -> str:
    return f"{source.provider} {source.feed}, adjustment {source.adjustment}, calendar {calendar}"
