"""What the ops and assets work on: the platform, built once per process from the environment, and the clock."""

import os
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Final

import dagster as dg

from trading_platform.calendars.exchange import FIRST_DAY
from trading_platform.calendars.sessions import exchange_day
from trading_platform.domain.clock import Clock, SimulatedClock, SystemClock
from trading_platform.domain.errors import InvalidInput

if TYPE_CHECKING:
    from trading_platform.bootstrap import Platform
    from trading_platform.config.settings import Settings
    from trading_platform.domain.reports import SessionClose
    from trading_platform.engine.session import BookSession


DESK: Final = "desk"
"""The resource that ops and assets need."""

CLOCK: Final = "clock"
"""The resource that schedules need."""


class TradingDesk:
    """The platform, and the session that it is in."""

    def __init__(self, platform: "Platform", session: "BookSession | None" = None) -> None:
        self.platform = platform
        self._session = session

    def session(self, day: date | None) -> "BookSession":
        """The session of `day`, or the one that is due, opened."""
        session = self.due(day)
        session.open()
        return session

    def due(self, day: date | None) -> "BookSession":
        """The session of `day`, not opened.

        Without a day: the present one on the machine's clock; on a simulated clock the configured one, or the next if
        that is fully recorded.
        """
        session = self.latest(day)
        if day is None and self.platform.settings.clock == "simulated" and session.next_minute() is None:
            session = self._session_of(self.platform.calendar.next(session.day).day)
        return session

    def latest(self, day: date | None) -> "BookSession":
        """The session of `day`, or without a day the one that the book has come to, not opened."""
        return self._session_of(day or self._default_day())

    def close(self, day: date) -> "SessionClose":
        """Close the session of `day`.

        Raises:
            InvalidInput: It is not over, or it was never opened.
        """
        session = self._session_of(day)
        if self.platform.ledger.session_configuration(day) is None:
            raise InvalidInput(
                f"the book {self.platform.ledger.book!r} has not opened the session {day}",
                where="session",
                mend="Close a session that was opened; trading-platform status says which was the last",
            )
        try:
            return session.close()
        finally:
            self.platform.stages.release()

    def settle(self, minute: int) -> None:
        """After a cycle: the job owns the book only while it runs; and after its last minute a session is over."""
        session = self._session
        if session is not None and minute == session.session.minutes - 1:
            session.finish()
        self.platform.stages.release()

    def _session_of(self, day: date) -> "BookSession":
        if self._session is None or self._session.day != day:
            self._session = self.platform.session(day)
        return self._session

    def _default_day(self) -> date:
        """The configured session, or the one that the book has come to, whichever is later."""
        if self._session is not None:
            return self._session.day
        if self.platform.settings.clock == "system":
            return exchange_day(self.platform.clock.now())
        configured = self.platform.settings.market_data.session
        last = self.platform.ledger.last_cycle()
        known = [day for day in (configured, last.session if last is not None else None) if day is not None]
        if known:
            return max(known)
        return self.platform.calendar.previous(SystemClock().now().date()).day


def clock_of(settings: "Settings") -> Clock:
    """The clock that sessions run on. A simulated one stands before all sessions, until one of them sets it."""
    if settings.clock == "system":
        return SystemClock()
    return SimulatedClock(datetime.combine(FIRST_DAY, time(), UTC))


@dg.resource
def trading_desk() -> Iterator[TradingDesk]:
    """The desk that the environment describes."""
    from trading_platform.bootstrap import build
    from trading_platform.config.load import load
    from trading_platform.config.logs import set_up_logging

    settings = load(os.environ)
    logger = set_up_logging(settings.log_level)
    # One strategy that does not load must not end a session in which the others trade, and positions are held.
    platform = build(settings, clock_of(settings), strict=False)
    logger.debug("desk of book %s on the clock %s", settings.account.book, settings.clock)
    for said in platform.stages.parts.unloaded:
        logger.warning("%s", said)
    try:
        yield TradingDesk(platform)
    finally:
        platform.close()


@dg.resource
def system_clock() -> SystemClock:
    """The machine's clock, by which schedules tell a tick that comes late."""
    return SystemClock()
