"""The made-up market as the columns that a backtest reads: with sessions, and with the day records that limits ask for."""

from datetime import date, timedelta
from typing import Any, Final

import numpy as np
from compared.market import MINUTES

from trading_platform.calendars.sessions import REGULAR_HOURS, Session, exchange_moment
from trading_platform.domain.records import day_t
from trading_platform.marketdata.columns import BarColumns

_FIRST: Final = date(2022, 1, 3)
_USUAL_VOLUME: Final = 1e9
"""More than any share of it that a limit allows could bind."""


def columns_of(made: dict[str, np.ndarray], first_session: int = 0) -> BarColumns:
    """Read-only, as a store's are. Sessions are weekdays in a row, from the `first_session`th on."""
    symbols, count, _ = made["close"].shape
    given: dict[str, Any] = {name: column.view() for name, column in made.items()}
    days = np.zeros((symbols, count), day_t)
    days["average_daily_volume"] = _USUAL_VOLUME
    days["prior_close"] = made["open"][:, :, 0]
    days["volume_share"] = np.arange(1, MINUTES + 1) / MINUTES
    for array in (*given.values(), days):
        array.flags.writeable = False
    return BarColumns(
        sessions=tuple(_weekdays(first_session, count)),
        symbols=tuple(f"S{number:05}" for number in range(symbols)),
        days=days,
        **given,
    )


def _weekdays(start: int, count: int) -> list[Session]:
    found: list[Session] = []
    for number in range(start, start + count):
        weeks, weekday = divmod(number, 5)
        day = _FIRST + timedelta(days=7 * weeks + weekday)
        opens, closes = (exchange_moment(day, clock) for clock in (REGULAR_HOURS.open, REGULAR_HOURS.close))
        found.append(Session(day=day, open=opens, close=closes))
    return found
