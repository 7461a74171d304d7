"""The cycle, and a session of cycles: the driver that needs no control room.

Dagster's job calls the same four stages one by one. Whoever drives, a session that is run again goes on at the bar
after the last recorded one, and nothing is decided or sent twice.
"""

from collections.abc import Callable, Iterator
from datetime import date

from trading_platform.calendars.sessions import ticks
from trading_platform.domain.clock import SimulatedClock
from trading_platform.domain.reports import CycleReport
from trading_platform.engine.stages import Stages
from trading_platform.ledger.ledger import Ledger
from trading_platform.orders.reconcile import Reconciled

RunCycle = Callable[[date, int], CycleReport]
"""Runs the cycle of one minute, by whatever means."""


def run_cycle(stages: Stages, day: date, minute: int) -> CycleReport:
    """Fetch, evaluate, decide, place: one minute of one book."""
    return stages.place(stages.decide(stages.evaluate(stages.fetch(day, minute))))


def next_minute(ledger: Ledger, stages: Stages, day: date) -> int:
    """The first minute of the session that is not recorded; the session's length if all are."""
    last = ledger.last_cycle(day)
    if last is None:
        return 0
    session = stages.parts.calendar.session(day)
    return int((last.bar_time - session.open).total_seconds()) // 60 + 1


def recover(stages: Stages, clock: SimulatedClock, day: date) -> Reconciled | None:
    """Finish what the last recorded cycle began, at its own moment: a start is a recovery.

    On a simulated clock the moment can be had again, so that what was committed and not sent goes out as if nothing
    had happened. Returns None for a session that has no cycle yet.
    """
    last = stages.parts.ledger.last_cycle(day)
    if last is None:
        return None
    clock.advance_to(max(clock.now(), last.decided_at))
    return stages.recover()


def simulate_session(stages: Stages, clock: SimulatedClock, day: date, run: RunCycle) -> Iterator[CycleReport]:
    """Run what is left of a session on a simulated clock, tick by tick, and give each cycle's report.

    Raises what the stages raise. What was done is recorded: run it again to go on.
    """
    session = stages.parts.calendar.session(day)
    moments = ticks(session)
    recover(stages, clock, day)
    for minute in range(next_minute(stages.parts.ledger, stages, day), session.minutes):
        clock.advance_to(moments[minute])
        yield run(day, minute)
    finish(stages, clock, day)


def finish(stages: Stages, clock: SimulatedClock, day: date) -> Reconciled:
    """After the last tick: book what the last bar filled, end what expired, and note that the session is over."""
    clock.advance_to(max(clock.now(), stages.parts.calendar.session(day).close))
    reconciled = stages.recover()
    stages.release()
    stages.parts.ledger.finish_session(day, clock.now())
    return reconciled
