"""The cycle, and a session of cycles on a simulated clock.

Dagster's job calls the same four stages one by one. Whoever drives, a session that is run again goes on at the bar
after the last recorded one, and nothing is decided or sent twice.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from typing import Any

from trading_platform.calendars.sessions import ticks
from trading_platform.domain.clock import SimulatedClock
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.reports import CycleReport
from trading_platform.engine.stages import Stages

RunCycle = Callable[[date, int], CycleReport]
"""Runs the cycle of one minute of a session, by whatever means."""


def run_cycle(stages: Stages, day: date, minute: int) -> CycleReport:
    """Fetch, evaluate, decide, place: one minute of one book."""
    return stages.place(stages.decide(stages.evaluate(stages.fetch(day, minute))))


class SimulatedSession:
    """One session of one book on recorded or made-up bars: as fast as the machine, in the order of time.

    Args:
        stages: The book's stages, on `clock`.
        clock: The clock that is set, tick by tick.
        day: The session. Raises `InvalidInput` if it is none.
        configuration: What its decisions depend on, as plain JSON values.
    """

    def __init__(self, stages: Stages, clock: SimulatedClock, day: date, configuration: Mapping[str, Any]) -> None:
        self.day = day
        self.session = stages.parts.calendar.session(day)
        self._stages = stages
        self._clock = clock
        self._ticks = ticks(self.session)
        self._configuration = configuration
        self._is_open = False
        self._is_finished = False

    def open(self) -> None:
        """Open book and session in the ledger, and finish what the last recorded cycle began: a start is a recovery.

        The clock is set to that cycle's own moment, so that what was committed and not sent goes out as if nothing
        had happened. Once it has been opened here, nothing more happens.

        Raises:
            InvalidInput: The book was opened with other cash, the session runs with another configuration, or the book
                has traded a later session.
        """
        if self._is_open:
            return
        ledger = self._stages.parts.ledger
        newest = ledger.last_cycle()
        if newest is not None and newest.session > self.day:
            raise InvalidInput(
                f"the book {ledger.book!r} has traded the session {newest.session}, which is later than {self.day}",
                where="session",
                mend="A book goes forward in time: name a later session, or another book",
            )
        self._set(self.session.open)
        ledger.open_book(self._stages.parts.opening_cash, self._clock.now())
        ledger.open_session(self.day, self._configuration, self._clock.now())
        last = ledger.last_cycle(self.day)
        if last is not None:
            self._set(last.decided_at)
            self._stages.recover()
        self._is_open = True

    def next_minute(self) -> int | None:
        """The first minute that is not recorded; None if all are."""
        last = self._stages.parts.ledger.last_cycle(self.day)
        minute = 0 if last is None else int((last.bar_time - self.session.open).total_seconds()) // 60 + 1
        return minute if minute < self.session.minutes else None

    def tick(self, minute: int) -> None:
        """Set the clock to the moment at which bar `minute` is decided.

        Raises `InvalidInput` for a minute that is neither the next nor the last recorded one: who skips minutes skips
        exits, and what is recorded is not decided again.
        """
        following = self.next_minute()
        following = self.session.minutes if following is None else following
        if minute not in (following - 1, following) or not 0 <= minute < self.session.minutes:
            raise InvalidInput(
                f"minute {minute} of the session {self.day} is not its turn: {following} minutes are recorded",
                where="minute",
                mend="A session runs forward, minute by minute; leave the minute out to go on with the next",
            )
        self._set(self._ticks[minute])

    def run(self, cycle: RunCycle) -> Iterator[CycleReport]:
        """Run what is left, tick by tick, and give each cycle's report; then finish. Raises what the stages raise."""
        self.open()
        first = self.next_minute()
        for minute in range(self.session.minutes if first is None else first, self.session.minutes):
            self.tick(minute)
            yield cycle(self.day, minute)
        self.finish()

    def finish(self) -> None:
        """After the last tick: book what the last bar filled, end what expired, and note that the session is over.

        Once it has been finished here, nothing more happens.
        """
        if self._is_finished:
            return
        self._set(self.session.close)
        self._stages.recover()
        self._stages.release()
        self._stages.parts.ledger.finish_session(self.day, self._clock.now())
        self._is_finished = True

    def _set(self, moment: datetime) -> None:
        if moment > self._clock.now():
            self._clock.advance_to(moment)
