"""How long what is intended may go out: every order is for the day, and its day ends at its own session's close.

A venue keeps an order that arrives after the close for the next open. So what was decided in a session, and could not
be sent in it, never goes out: the next session decides anew, on its own bars. What is asked of the broker to find out
is in `reconcile` and `outbox`.
"""

from datetime import datetime

from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.calendars.sessions import exchange_day
from trading_platform.domain.orders import OrderIntent


def is_over(intent: OrderIntent, now: datetime, calendar: ExchangeCalendar) -> bool:
    """Whether the intent's own session has closed by `now`. A day that the calendar does not trade is over."""
    day = exchange_day(intent.bar_time)
    return not calendar.is_session(day) or now >= calendar.session(day).close
