"""Which days are sessions: the exchange's, with holidays, half days and the changes of the clock, or every day.

The one home of the package exchange_calendars. It is slow to import and brings pandas, and every process needs a
calendar; so what is kept of it is a plain table, made once for each of its versions and read from a file after that.
The table's first and last day are pinned: the package's own window moves with today's date, and a list of sessions
must not.
"""

import functools
import json
import os
import warnings
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Final

from trading_platform.calendars.sessions import REGULAR_HOURS, Hours, Session, exchange_moment
from trading_platform.config.settings import MarketHours
from trading_platform.domain.cache_folder import cache_folder
from trading_platform.domain.errors import InvalidInput

FIRST_DAY: Final = date(1990, 1, 1)
LAST_DAY: Final = date(2050, 12, 31)
EVERY_DAY: Final = "every_day"
"""The calendar on which each day of the week is a session, for trying things out at any time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    days: tuple[date, ...]
    opens: tuple[int, ...]
    closes: tuple[int, ...]


@functools.cache
def _every_day(hours: Hours) -> _Table:
    days = tuple(FIRST_DAY + timedelta(days=number) for number in range((LAST_DAY - FIRST_DAY).days + 1))
    return _Table(
        days=days,
        opens=tuple(int(exchange_moment(day, hours.open).timestamp()) for day in days),
        closes=tuple(int(exchange_moment(day, hours.close).timestamp()) for day in days),
    )


@functools.cache
def _table(exchange: str) -> _Table:
    folder = cache_folder("calendars") if exchange.isalnum() else None
    if folder is None:
        return _made(exchange)
    path = folder / f"{exchange}-{version('exchange-calendars')}-{FIRST_DAY}-{LAST_DAY}.json"
    kept = _read(path)
    if kept is None:
        kept = _made(exchange)
        _keep(path, kept)
    return kept


def _read(path: Path) -> _Table | None:
    """The table that was kept; None where there is none, or what is there is not whole."""
    try:
        days, opens, closes = json.loads(path.read_text(encoding="utf-8"))
        table = _Table(days=tuple(map(date.fromisoformat, days)), opens=tuple(opens), closes=tuple(closes))
    except (OSError, ValueError, TypeError):
        return None
    return table if len(table.days) == len(table.opens) == len(table.closes) > 0 else None


def _keep(path: Path, table: _Table) -> None:
    """Keep the table, whole or not at all; without room for it, it is made again the next time."""
    new = path.with_suffix(f".{os.getpid()}")
    try:
        new.write_text(
            json.dumps([[day.isoformat() for day in table.days], table.opens, table.closes]), encoding="utf-8"
        )
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)


def _made(exchange: str) -> _Table:
    import exchange_calendars

    with warnings.catch_warnings():
        # The package warns of its own use of pandas, which a caller cannot mend.
        warnings.simplefilter("ignore")
        try:
            schedule = exchange_calendars.get_calendar(
                exchange, start=FIRST_DAY.isoformat(), end=LAST_DAY.isoformat()
            ).schedule
        except exchange_calendars.errors.InvalidCalendarName as error:
            raise InvalidInput(f"there is no exchange called {exchange!r}", mend="US equities are XNYS") from error
        return _Table(
            days=tuple(stamp.date() for stamp in schedule.index),
            opens=tuple(int(stamp.timestamp()) for stamp in schedule["open"]),
            closes=tuple(int(stamp.timestamp()) for stamp in schedule["close"]),
        )


class ExchangeCalendar:
    """The sessions of one exchange from 1990 to 2050. Those to come follow the rules that are known today.

    Args:
        exchange: Its code, or `EVERY_DAY`.
        hours: When its sessions begin and end in exchange time. An exchange has an open and a close of its own.
    """

    def __init__(self, exchange: str = "XNYS", hours: Hours = REGULAR_HOURS) -> None:
        self._table = _every_day(hours) if exchange == EVERY_DAY else _table(exchange)
        self.exchange = exchange
        self.hours = hours

    def is_session(self, day: date) -> bool:
        """Whether the exchange opens on `day`."""
        place = bisect_left(self._table.days, day)
        return place < len(self._table.days) and self._table.days[place] == day

    def session(self, day: date) -> Session:
        """The session of `day`. Raises `InvalidInput`, naming the sessions around it, if there is none."""
        return self._at(self.index(day))

    def index(self, day: date) -> int:
        """The number of the session of `day`, counted from the calendar's first. Raises `InvalidInput` if none."""
        place = bisect_left(self._table.days, day)
        if not self.is_session(day):
            around = [str(self._table.days[at]) for at in (place - 1, place) if 0 <= at < len(self._table.days)]
            raise InvalidInput(
                f"{day} ({day:%A}) is not a session of {self.exchange}",
                mend=f"The nearest session{'s are' if len(around) > 1 else ' is'} {' and '.join(around)}",
            )
        return place

    def days(self, first: date, last: date) -> tuple[date, ...]:
        """The days of the sessions from `first` to `last`, both included."""
        return self._table.days[bisect_left(self._table.days, first) : bisect_right(self._table.days, last)]

    def sessions(self, first: date, last: date) -> tuple[Session, ...]:
        """The sessions from `first` to `last`, both included. Raises `InvalidInput` if `last` is before `first`."""
        if last < first:
            raise InvalidInput(f"{last} is before {first}", mend="Give the first day, then the last")
        start = bisect_left(self._table.days, first)
        return tuple(self._at(start + offset) for offset in range(len(self.days(first, last))))

    def previous(self, day: date, count: int = 1) -> Session:
        """The session that is `count` sessions before `day`, which need not be a session itself."""
        return self._at(bisect_left(self._table.days, day) - self._counted(count))

    def next(self, day: date, count: int = 1) -> Session:
        """The session that is `count` sessions after `day`, which need not be a session itself."""
        return self._at(bisect_right(self._table.days, day) - 1 + self._counted(count))

    def _counted(self, count: int) -> int:
        if count < 1:
            raise InvalidInput(f"{count} sessions away is no other session", mend="Count from 1")
        return count

    def _at(self, place: int) -> Session:
        if not 0 <= place < len(self._table.days):
            raise InvalidInput(
                f"the calendar holds the sessions from {self._table.days[0]} to {self._table.days[-1]}",
                mend="Ask for a day within",
            )
        return Session(
            day=self._table.days[place],
            open=datetime.fromtimestamp(self._table.opens[place], UTC),
            close=datetime.fromtimestamp(self._table.closes[place], UTC),
            premarket=self.hours.premarket,
            after_hours=self.hours.after_hours,
        )


def calendar_of(wanted: MarketHours) -> ExchangeCalendar:
    """The calendar that the settings name. Raises `InvalidInput` for market hours that cannot be."""
    hours = Hours(open=wanted.open, close=wanted.close, premarket=wanted.premarket, after_hours=wanted.after_hours)
    return ExchangeCalendar(wanted.calendar, hours)
