"""One session of the exchange, and the arithmetic of its minutes.

A bar is named by its start: minute 0 is the bar that starts at the open. It is decided one minute later, when it has
closed. Which days are sessions is said by `exchange`; nothing here needs a calendar or asks for the time.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.records import SESSION_MINUTES

EXCHANGE_ZONE: Final = ZoneInfo("America/New_York")
_MINUTE: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """When a day's trading begins and ends, by the exchange's clock.

    Raises `InvalidInput` where they do not follow each other, or the regular session is longer than 390 minutes.
    """

    open: time = time(9, 30)
    close: time = time(16, 0)
    premarket: time = time(4, 0)
    after_hours: time = time(20, 0)

    def __post_init__(self) -> None:
        if not self.premarket <= self.open < self.close <= self.after_hours:
            raise InvalidInput(
                f"pre-market {self.premarket}, open {self.open}, close {self.close} and after-hours {self.after_hours} "
                "do not follow each other",
                where="market hours",
                mend="Give them in this order within one day",
            )
        length = datetime.combine(date.min, self.close) - datetime.combine(date.min, self.open)
        if length > SESSION_MINUTES * _MINUTE:
            raise InvalidInput(
                f"from {self.open} to {self.close} is longer than {SESSION_MINUTES} minutes",
                where="market hours",
                mend=f"Give a session of at most {SESSION_MINUTES} minutes",
            )


REGULAR_HOURS: Final = Hours()
"""Those of the US exchanges."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A trading day: its date, and the open and close of its regular session, timezone-aware in UTC.

    `premarket` and `after_hours` are exchange clock times.
    """

    day: date
    open: datetime
    close: datetime
    premarket: time = REGULAR_HOURS.premarket
    after_hours: time = REGULAR_HOURS.after_hours

    @property
    def premarket_open(self) -> datetime:
        """The pre-market's open, 04:00 exchange time unless it is set otherwise, in UTC."""
        return exchange_moment(self.day, self.premarket)

    @property
    def after_hours_close(self) -> datetime:
        """The end of after-hours trading, 20:00 exchange time unless it is set otherwise, on half days as well, in UTC."""
        return exchange_moment(self.day, self.after_hours)

    @property
    def minutes(self) -> int:
        """Bars of the regular session: 390, or 210 on a half day that closes at 13:00."""
        return (self.close - self.open) // _MINUTE

    @property
    def is_half_day(self) -> bool:
        """Whether it closes early."""
        return self.minutes < SESSION_MINUTES


def exchange_moment(day: date, at: time) -> datetime:
    """A wall-clock time at the exchange as a moment in UTC."""
    return datetime.combine(day, at, EXCHANGE_ZONE).astimezone(UTC)


def exchange_day(moment: datetime) -> date:
    """The date at the exchange at `moment`. Raises `InvalidInput` for a moment without a time zone."""
    return _aware(moment).astimezone(EXCHANGE_ZONE).date()


def bar_time(session: Session, minute: int) -> datetime:
    """The start of bar `minute`. Raises `InvalidInput` outside the session."""
    if not 0 <= minute < session.minutes:
        raise InvalidInput(
            f"minute {minute} is not in the session {session.day}",
            mend=f"Its bars are numbered 0 to {session.minutes - 1}",
        )
    return session.open + minute * _MINUTE


def ticks(session: Session) -> tuple[datetime, ...]:
    """The decision moments, one for each bar: its start plus one minute, so 09:31 to 16:00 on a full day."""
    return tuple(session.open + (minute + 1) * _MINUTE for minute in range(session.minutes))


def minute_decided_at(session: Session, moment: datetime) -> int | None:
    """The bar that is decided at the tick of `moment`'s minute; None where that is no tick of the session."""
    minute = (_aware(moment) - session.open) // _MINUTE - 1
    return minute if 0 <= minute < session.minutes else None


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise InvalidInput(f"{moment.isoformat()} has no time zone", mend="Give it in UTC")
    return moment
