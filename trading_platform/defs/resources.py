"""What the ops work on: the platform, built once per process from the environment."""

import os
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from trading_platform.bootstrap import Platform
    from trading_platform.engine.cycle import SimulatedSession


class TradingDesk:
    """The platform on a simulated clock, and the session that it is in."""

    def __init__(self, platform: "Platform", session: "SimulatedSession | None" = None) -> None:
        self.platform = platform
        self._session = session

    def session(self, day: date | None) -> "SimulatedSession":
        """The session of `day`, opened; without a day the configured one, or the next if that is fully recorded."""
        session = self._session_of(day or self._default_day())
        if day is None and session.next_minute() is None:
            session = self._session_of(self.platform.calendar.next(session.day).day)
        session.open()
        self._session = session
        return session

    def settle(self, minute: int) -> None:
        """After a cycle: the job owns the book only while it runs; and after its last minute a session is over."""
        session = self._session
        if session is not None and minute == session.session.minutes - 1:
            session.finish()
        self.platform.stages.release()

    def _session_of(self, day: date) -> "SimulatedSession":
        if self._session is not None and self._session.day == day:
            return self._session
        return self.platform.simulated_session(day)

    def _default_day(self) -> date:
        """The configured session, or the one that the book has come to, whichever is later."""
        if self._session is not None:
            return self._session.day
        configured = self.platform.settings.market_data.session
        last = self.platform.ledger.last_cycle()
        known = [day for day in (configured, last.session if last is not None else None) if day is not None]
        if known:
            return max(known)
        from trading_platform.domain.clock import SystemClock

        return self.platform.calendar.previous(SystemClock().now().date()).day


@dg.resource
def trading_desk() -> Iterator[TradingDesk]:
    """The desk that the environment describes."""
    from trading_platform.bootstrap import build
    from trading_platform.calendars.exchange import FIRST_DAY
    from trading_platform.config.load import load
    from trading_platform.domain.clock import SimulatedClock

    # The session that the run is for sets the clock; until then it stands before all of them.
    platform = build(load(os.environ), SimulatedClock(datetime.combine(FIRST_DAY, time(), UTC)))
    try:
        yield TradingDesk(platform)
    finally:
        platform.close()
