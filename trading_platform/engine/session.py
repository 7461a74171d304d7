"""One session of one book, from its opening to its close, on a simulated clock or on the machine's own.

A session that is run again goes on after the last recorded bar, and nothing is decided or sent twice. On a simulated
clock every minute is run, in order. In the present a minute that was missed is gone: its bars are folded by the next
cycle, its decisions are never made late.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Any, Final

from trading_platform.calendars.sessions import exchange_day, minute_decided_at, ticks
from trading_platform.domain.clock import SimulatedClock
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.reports import CycleReport, SessionClose
from trading_platform.engine.cycle import RunCycle
from trading_platform.engine.stages import Stages
from trading_platform.ledger.rows import CycleHeader
from trading_platform.orders.reconcile import Reconciled

STALE: Final = timedelta(minutes=1)
"""A tick that is so late is not run any more: the next one is due."""


class BookSession(ABC):
    """What is common to sessions on every clock.

    Args:
        stages: The book's stages.
        day: The session. Raises `InvalidInput` if it is none.
        configuration: What its decisions depend on, as plain JSON values.
    """

    def __init__(self, stages: Stages, day: date, configuration: Mapping[str, Any]) -> None:
        self.day = day
        self.session = stages.parts.calendar.session(day)
        self._stages = stages
        self._ticks = ticks(self.session)
        self._configuration = configuration
        self._is_open = False
        self._closed: SessionClose | None = None

    def open(self) -> Reconciled | None:
        """Open book and session in the ledger, and finish what the last recorded cycle began: a start is a recovery.

        Returns what the reconcile found; None where there was nothing to reconcile, or it was open here already.

        Raises:
            InvalidInput: The book was opened with other cash, the session runs with another configuration, the book
                has traded a later session, or it is not the time for it.
        """
        if self._is_open:
            return None
        ledger = self._stages.parts.ledger
        newest = ledger.last_cycle()
        if newest is not None and newest.session > self.day:
            raise InvalidInput(
                f"the book {ledger.book!r} has traded the session {newest.session}, which is later than {self.day}",
                where="session",
                mend="A book goes forward in time: name a later session, or another book",
            )
        self._reach_open()
        now = self._stages.parts.clock.now()
        ledger.open_book(self._stages.parts.opening_cash, now)
        ledger.open_session(self.day, self._configuration, now)
        found = self._recover(ledger.last_cycle(self.day))
        self._is_open = True
        return found

    @abstractmethod
    def next_minute(self) -> int | None:
        """The minute whose cycle is next; None if there is none."""

    @abstractmethod
    def due_minute(self) -> int:
        """`next_minute`. Raises `InvalidInput`, saying why, if there is none."""

    @abstractmethod
    def tick(self, minute: int) -> None:
        """Come to the moment at which bar `minute` is decided. Raises `InvalidInput` if it is not its turn."""

    def close(self) -> SessionClose:
        """`finish` a session that is over, and compare ledger and broker anew where it was finished before.

        Raises `InvalidInput` if it is not over, or some of its minutes are still to be run.
        """
        self._require_over()
        self._open_to_close()
        self._closed = None
        return self.finish()

    def finish(self) -> SessionClose:
        """After the last tick: book what the last bar filled, end what expired, and note that the session is over.

        Once it has been finished here, nothing more happens.

        Raises:
            InvalidInput: It is not over yet.
        """
        if self._closed is None:
            self._reach_close()
            found = self._stages.recover()
            self._stages.release()
            ledger = self._stages.parts.ledger
            ledger.finish_session(self.day, self._stages.parts.clock.now())
            book = ledger.holdings()
            self._closed = SessionClose(
                reconciled=found.report,
                held=tuple(one for one in book.positions.values() if one.quantity),
                unresolved=tuple(one for one in ledger.orders(self.day) if not one.state.is_final),
                ledger_cash=book.cash,
                broker_cash=found.view.cash,
            )
        return self._closed

    def recorded(self) -> int:
        """How many minutes lie up to the last recorded one, itself included."""
        last = self._stages.parts.ledger.last_cycle(self.day)
        return 0 if last is None else int((last.bar_time - self.session.open).total_seconds()) // 60 + 1

    def _open_to_close(self) -> None:
        """Come to where it can be finished. On a simulated clock that is where its last cycle left it."""
        self.open()

    @abstractmethod
    def _reach_open(self) -> None:
        """Come to a moment at which the session may be opened."""

    @abstractmethod
    def _reach_close(self) -> None:
        """Come to the session's close."""

    @abstractmethod
    def is_over(self) -> bool:
        """Whether nothing of it is still to be run."""

    @abstractmethod
    def _require_over(self) -> None:
        """Raise `InvalidInput`, saying what to do, if it is not over."""

    @abstractmethod
    def _recover(self, last: CycleHeader | None) -> Reconciled | None:
        """Finish what the last recorded cycle began."""


class SimulatedSession(BookSession):
    """A session on recorded or made-up bars: as fast as the machine, in the order of time. It sets the clock."""

    def __init__(self, stages: Stages, clock: SimulatedClock, day: date, configuration: Mapping[str, Any]) -> None:
        super().__init__(stages, day, configuration)
        self._clock = clock

    def next_minute(self) -> int | None:
        """The first minute that is not recorded; None if all are."""
        following = self.recorded()
        return following if following < self.session.minutes else None

    def due_minute(self) -> int:
        """The first minute that is not recorded. Raises `InvalidInput` if all are."""
        minute = self.next_minute()
        if minute is None:
            raise InvalidInput(
                f"every minute of the session {self.day} is recorded", mend="Name another session, or leave it out"
            )
        return minute

    def tick(self, minute: int) -> None:
        """Set the clock to the moment at which bar `minute` is decided.

        Raises `InvalidInput` for a minute that is neither the next nor the last recorded one: who skips minutes skips
        exits, and what is recorded is not decided again.
        """
        following = self.recorded()
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
        for minute in range(self.recorded(), self.session.minutes):
            self.tick(minute)
            yield cycle(self.day, minute)
        self.finish()

    def _reach_open(self) -> None:
        self._set(self.session.open)

    def _reach_close(self) -> None:
        self._set(self.session.close)

    def is_over(self) -> bool:
        """Whether every minute is recorded."""
        return self.recorded() >= self.session.minutes

    def _require_over(self) -> None:
        if not self.is_over():
            raise InvalidInput(
                f"{self.session.minutes - self.recorded()} minutes of the session {self.day} are not run",
                where="session",
                mend="Run them first, or sell everything now with trading-platform session close --flatten REASON",
            )

    def _recover(self, last: CycleHeader | None) -> Reconciled | None:
        """At that cycle's own moment, so that what was committed and not sent goes out as if nothing had happened."""
        if last is None:
            return None
        self._set(last.decided_at)
        return self._stages.recover()

    def _set(self, moment: datetime) -> None:
        if moment > self._clock.now():
            self._clock.advance_to(moment)


class PresentSession(BookSession):
    """A session of today, minute by minute as they pass, on a clock that nobody sets."""

    def next_minute(self) -> int | None:
        """The minute whose bar has closed last; None before the first, and from a minute after the close."""
        return minute_decided_at(self.session, self._now())

    def next_tick(self) -> tuple[int, datetime] | None:
        """The next minute that is not decided, and when it is due, which may be now; None if none is to come."""
        due = self.next_minute()
        minute = max(0 if due is None else due, self.recorded())
        if minute >= self.session.minutes or (due is None and self._now() > self._ticks[-1]):
            return None
        return minute, self._ticks[minute]

    def due_minute(self) -> int:
        """The minute whose bar has closed last. Raises `InvalidInput` outside the session's ticks."""
        minute = self.next_minute()
        if minute is None:
            raise InvalidInput(
                f"it is {self._now().isoformat(timespec='seconds')}, and no bar of the session {self.day} has just closed",
                where="minute",
                mend=f"Its bars are decided from {self._ticks[0].isoformat()} to {self._ticks[-1].isoformat()}",
            )
        return minute

    def tick(self, minute: int) -> None:
        """See to it that the clock stands at the tick of bar `minute`.

        Raises `InvalidInput` for a minute that has not closed, whose tick is stale, or that lies before one that is
        recorded: what was not decided in its time is never decided.
        """
        if not 0 <= minute < self.session.minutes:
            raise InvalidInput(
                f"minute {minute} is not in the session {self.day}",
                where="minute",
                mend=f"Its bars are numbered 0 to {self.session.minutes - 1}",
            )
        due, now = self._ticks[minute], self._now()
        if now < due:
            raise InvalidInput(f"the bar of minute {minute} closes at {due.isoformat()}", where="minute", mend="Wait")
        if now - due >= STALE:
            raise InvalidInput(
                f"the tick of {due.isoformat()} is {int((now - due).total_seconds())} s old",
                where="minute",
                mend="A stale minute is not decided any more; leave the minute out to take the present one",
            )
        if minute < self.recorded() - 1:
            raise InvalidInput(
                f"minute {minute} of the session {self.day} lies before the last recorded one", where="minute"
            )

    def _now(self) -> datetime:
        return self._stages.parts.clock.now()

    def _reach_open(self) -> None:
        today = exchange_day(self._now())
        if today < self.day or self._now() < self.session.premarket_open:
            raise InvalidInput(
                f"the session {self.day} has not begun",
                where="session",
                mend=f"It can be opened from {self.session.premarket_open.isoformat()}; it is {self._now().isoformat()}",
            )

    def _open_to_close(self) -> None:
        # It may be made up for when the book has gone on to a later session: the reconcile is of the whole book.
        pass

    def _reach_close(self) -> None:
        self._require_over()

    def is_over(self) -> bool:
        """Whether its close has passed; what was missed of it is gone."""
        return self._now() >= self.session.close

    def _require_over(self) -> None:
        if not self.is_over():
            raise InvalidInput(
                f"the session {self.day} closes at {self.session.close.isoformat()}",
                where="session",
                mend="Wait for its close, or sell everything now with trading-platform session close --flatten REASON",
            )

    def _recover(self, last: CycleHeader | None) -> Reconciled | None:
        del last
        return self._stages.recover()
