"""The partitions: one for each session of the calendar, and none for a holiday; for backtests of a long range, months.

Symbols are inside a partition: a key for each of both would be far more than Dagster is made for.
"""

from datetime import date, datetime, time, timedelta
from typing import Final

import dagster as dg

from trading_platform.calendars.exchange import EVERY_DAY, LAST_DAY, ExchangeCalendar
from trading_platform.calendars.sessions import EXCHANGE_ZONE
from trading_platform.domain.errors import InvalidInput

FIRST_PARTITION: Final = date(2010, 1, 4)
"""Earlier sessions can be traded, but have no partition: a list of all since 1990 would be mostly empty."""

MONTHS: Final = dg.MonthlyPartitionsDefinition(start_date="1990-01-01", timezone=EXCHANGE_ZONE.key, end_offset=1)
"""The months of a backtest that is shared out, the present one included."""

_SATURDAY: Final = 5


def sessions_partitions(calendar: ExchangeCalendar) -> dg.TimeWindowPartitionsDefinition:
    """A partition for each session from 2010 to today, with the session's day as its key."""
    # The last one is today's, whose window has not ended when its session has.
    return dg.TimeWindowPartitionsDefinition(
        start=datetime.combine(FIRST_PARTITION, time()),
        fmt="%Y-%m-%d",
        cron_schedule="0 0 * * *" if calendar.exchange == EVERY_DAY else "0 0 * * 1-5",
        timezone=EXCHANGE_ZONE.key,
        exclusions=_holidays(calendar),
        end_offset=1,
    )


def days_of_month(key: str) -> tuple[date, date]:
    """The first and last day of a partition of `MONTHS`."""
    window = MONTHS.time_window_for_partition_key(key)
    return window.start.date(), window.end.date() - timedelta(days=1)


def partition_of(day: date, *, today: date) -> str:
    """The key of a session's partition. Raises `InvalidInput` for a session that has none: of long ago, or to come."""
    if day > today:
        raise InvalidInput(
            f"the session {day} is still to come",
            where="session",
            mend=f"Name one up to {today}; trading-platform session run trades later ones of the simulated market",
        )
    if day < FIRST_PARTITION:
        raise InvalidInput(
            f"the session {day} has no partition",
            where="session",
            mend=f"Partitions begin with {FIRST_PARTITION}; trading-platform session run trades earlier sessions",
        )
    return day.isoformat()


def _holidays(calendar: ExchangeCalendar) -> list[datetime] | None:
    if calendar.exchange == EVERY_DAY:
        return None
    sessions = set(calendar.days(FIRST_PARTITION, LAST_DAY))
    days = (FIRST_PARTITION + timedelta(days=number) for number in range((LAST_DAY - FIRST_PARTITION).days + 1))
    return [datetime.combine(day, time()) for day in days if day.weekday() < _SATURDAY and day not in sessions]
