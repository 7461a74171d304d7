"""When TWS is expected to be away: its restart each night, and the login by hand each week. A function of the time.

Around these moments no new order is sent: what was just taken may be lost to sight until TWS is back, and its ids can
go back. Orders that rest at the venue are not touched by it. Whether TWS is connected is `ibkr_link`'s to know.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from trading_platform.calendars.sessions import EXCHANGE_ZONE

_SUNDAY: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarts:
    """When TWS restarts, and how long around it is quiet.

    `nightly` is by the clock of the host that TWS runs on, in `zone`; it is set in TWS, 23:45 by default. From Sunday
    at `weekly`, exchange time, on, a login by hand is asked for.
    """

    nightly: time = time(23, 45)
    zone: ZoneInfo = EXCHANGE_ZONE
    weekly: time = time(1, 0)
    before: timedelta = timedelta(minutes=5)
    after: timedelta = timedelta(minutes=10)
    after_weekly: timedelta = timedelta(hours=1)


def quiet_until(moment: datetime, restarts: Restarts) -> datetime | None:
    """The end, in UTC, of the quiet window that `moment` lies in; None outside of one. The later end where two meet."""
    ends = [*_nightly(moment, restarts), *_weekly(moment, restarts)]
    return max(ends, default=None)


def _nightly(moment: datetime, restarts: Restarts) -> list[datetime]:
    here = moment.astimezone(restarts.zone)
    days = [here.date() + timedelta(days=offset) for offset in (-1, 0, 1)]
    at = [datetime.combine(day, restarts.nightly, restarts.zone).astimezone(UTC) for day in days]
    return [one + restarts.after for one in at if one - restarts.before <= moment < one + restarts.after]


def _weekly(moment: datetime, restarts: Restarts) -> list[datetime]:
    here = moment.astimezone(EXCHANGE_ZONE)
    days = [here.date() + timedelta(days=offset) for offset in (-1, 0, 1)]
    at = [
        datetime.combine(day, restarts.weekly, EXCHANGE_ZONE).astimezone(UTC)
        for day in days
        if day.weekday() == _SUNDAY
    ]
    return [one + restarts.after_weekly for one in at if one - restarts.before <= moment < one + restarts.after_weekly]
