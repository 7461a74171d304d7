"""Which days are sessions of the exchange: holidays, half days and the changes of the clock.

The one home of the package exchange_calendars. It is slow to import and brings pandas, so it is imported when the
first calendar is made, and what is kept of it is a plain table. The table's first and last day are pinned: the
package's own window moves with today's date, and a list of sessions must not.
"""

import functools
import warnings
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

from trading_platform.calendars.sessions import Session
from trading_platform.domain.errors import InvalidInput

FIRST_DAY: Final = date(1990, 1, 1)
LAST_DAY: Final = date(2050, 12, 31)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    days: tuple[date, ...]
    opens: tuple[int, ...]
    closes: tuple[int, ...]


@functools.cache
def _table(exchange: str) -> _Table:
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
    """The sessions of one exchange from 1990 to 2050. Those to come follow the rules that are known today."""

    def __init__(self, exchange: str = "XNYS") -> None:
        self._table = _table(exchange)
        self.exchange = exchange

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
                mend=f"The nearest sessions are {' and '.join(around)}",
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
        )
