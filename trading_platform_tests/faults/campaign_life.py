"""One life of a trading process in the fault campaign: it is forked from a warm one, trades, and may leave at a point.

Here belongs all that runs in the forked process: the platform's parts, put together as `bootstrap` does; the points at
which it leaves, freezes, or loses the database's answer; and which guard a control takes out. It leaves without any clean-up, as a process does that is killed. It tells its parent
in lines of JSON, and waits for the answer where time passes.
"""

import contextlib
import json
import logging
import os
import socket
import time
import traceback
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, cast

from trading_platform.brokers.broker import Broker
from trading_platform.brokers.fees import fee_schedule
from trading_platform.brokers.paper import PaperExchange
from trading_platform.config.settings import Limits
from trading_platform.domain.clock import Clock, SimulatedClock
from trading_platform.domain.errors import (
    ConservationBroken,
    DatabaseUnavailable,
    Inconsistent,
    NotOwner,
    TemporaryError,
)
from trading_platform.domain.orders import (
    Absent,
)
from trading_platform.domain.reports import CycleReport
from trading_platform.domain.signals import TriggerOn
from trading_platform.engine.cycle import run_cycle
from trading_platform.engine.session import PresentSession
from trading_platform.engine.stages import Stages
from trading_platform.engine.values import Parts
from trading_platform.ledger import ownership
from trading_platform.ledger.connection import open_engine
from trading_platform.ledger.ledger import Ledger
from trading_platform.ledger.ownership import LeaseTimes
from trading_platform.marketdata.providers.lean_files import LeanFiles
from trading_platform.orders.reconcile import Reconciled, Reconciler
from trading_platform.orders.routing import Routes
from trading_platform.strategies.contract import Strategy
from trading_platform_tests.faults.campaign_brokers import ChanceIds, FaultyLine, Shown, UnknownIsRejected
from trading_platform_tests.faults.campaign_schedule import PRICES, Crash, Schedule, Wish, calendar
from trading_platform_tests.faults.campaign_worlds import CASH, PATIENCE, World
from trading_platform_tests.faults.killed_session import Points, WatchedBroker, WatchedLedger
from trading_platform_tests.sessions.scripted import scripted
from trading_platform_tests.sessions.tape import DAY

AGAIN: Final = timedelta(seconds=15)
"""After a cycle that could not be finished the next is tried so much later."""

TRIES: Final = 12
"""How often a cycle, a start or an end is tried again."""

FLEETING: Final = LeaseTimes(
    lease=timedelta(seconds=0.5),
    renewal=timedelta(seconds=0.1),
    margin=timedelta(seconds=0.1),
    quarantine=timedelta(seconds=0.1),
    predecessor=timedelta(seconds=0.1),
)
"""The lease of a process that will freeze: who comes after it need not wait long."""


class Weakness(StrEnum):
    """A guard that a control takes out, to see what it holds back."""

    NO_FENCE = "no fence"
    """Nobody looks who owns the book, neither the database's trigger nor the platform."""
    CHANCE_IDS = "ids by chance"
    """An order goes out under an id that only the process that sends it knows."""
    UNKNOWN_IS_REJECTED = "unknown is rejected"
    """What was sent and not answered is taken to be refused."""
    NO_LOOK_UP = "no look-up"
    """What was not answered is not looked for."""
    NO_RECONCILE = "no reconcile"
    """Nobody asks the broker what has become of orders."""


class Gone(Exception):
    """This life is over: another owns the book."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a life is given."""

    schedule: Schedule
    database_url: str
    folder: Path
    number: int
    crash: Crash | None
    freezes: bool
    follows: bool
    weakness: Weakness | None

    @property
    def instance(self) -> str:
        return "second" if self.follows else "first"


class Line:
    """The line to the parent: what is asked is answered before this process goes on."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lines = sock.makefile("r")

    def tell(self, **what: Any) -> None:
        self._sock.sendall(json.dumps(what, default=str).encode() + b"\n")

    def ask(self, **what: Any) -> dict[str, Any]:
        self.tell(**what)
        said = self._lines.readline()
        if not said:
            os._exit(1)
        found: dict[str, Any] = json.loads(said)
        return found


class WorldClock(SimulatedClock):
    """The session's clock: it moves with the venue's, which has traded by then."""

    def __init__(self, start: datetime, line: Line) -> None:
        super().__init__(start)
        self._line = line

    def advance_to(self, moment: datetime) -> None:
        self._line.ask(advance=moment.isoformat())
        super().advance_to(moment)

    def wake(self, moment: datetime) -> None:
        """Find that time has passed meanwhile."""
        super().advance_to(max(moment, self.now()))


class Chaos(Points):
    """The points of a life, and what happens at one of them."""

    def __init__(self, told: Told, line: Line, clock: WorldClock) -> None:
        super().__init__()
        self.told, self._line, self._clock = told, line, clock
        self.frozen = False

    def _pass(self, point: str) -> None:
        self.passings[point] += 1
        crash, stall = self.told.crash, self.told.schedule.stall
        if self.told.freezes and stall is not None and not self.frozen:
            if (point, self.passings[point]) == (stall.point, stall.passing):
                self._freeze()
        elif crash is not None and self._is_here(crash, point):
            self._leave(crash, point)

    def _is_here(self, crash: Crash, point: str) -> bool:
        passing = sum(self.passings.values()) if crash.point is None else self.passings[point]
        return crash.point in (None, point) and passing == crash.passing

    def _leave(self, crash: Crash, point: str) -> None:
        if crash.loses_answer and not point.endswith(" send"):
            self._line.tell(lost=point)
            raise DatabaseUnavailable("the database's answer is lost")
        self._line.tell(crashed=point)
        os._exit(0)

    def _freeze(self) -> None:
        self.frozen = True
        self._clock.wake(datetime.fromisoformat(self._line.ask(frozen=True)["now"]))


def strategy_of(wish: Wish) -> Strategy:
    """The strategy that trades one symbol, which it knows by its price."""
    price = PRICES[wish.symbol]
    made = scripted(
        f"of_{wish.symbol.lower()}",
        quantity=wish.quantity,
        half_at=wish.half_at,
        minute=wish.minute,
        again=wish.again,
        leave=wish.leave,
        valid_bars=wish.valid_bars,
        below=wish.below,
        stop_distance=wish.stop_distance,
        cheapest=0.6 * price,
        dearest=1.5 * price,
    )
    rests = wish.rests and wish.half_at > 0
    target_on = TriggerOn.TOUCH if rests else TriggerOn.CLOSE
    return replace(made, exit_plan=replace(made.exit_plan, flat_by=1, target_on=target_on))


def live(told: Told, world: World, sock: socket.socket) -> None:
    """Trade until the schedule's session is over and reconciled, or until something ends this process."""
    line = Line(sock)
    try:
        logging.disable(logging.CRITICAL)
        _take_out(told.weakness)
        line.tell(ended=trade(told, world, line))
    except Gone:
        line.tell(gone=True)
    except (TemporaryError, NotOwner) as error:
        line.tell(away=str(error))
    except BaseException:  # noqa: BLE001 (it is told, whatever it is)
        line.tell(failed=traceback.format_exc())


def trade(told: Told, world: World, line: Line) -> dict[str, Any]:
    """The same, where nothing ends this process. Returns the breaks that are left, and figures."""
    clock = WorldClock(world.now, line)
    chaos = Chaos(told, line, clock)
    stages = Stages(_parts(told, world, line, clock, chaos))
    session = PresentSession(stages, DAY, {"schedule": told.schedule.name})
    breaks, ticks = 0, 0
    _start(session, clock, wait=told.follows)
    while (following := session.next_tick()) is not None:
        minute, due = following
        clock.advance_to(max(due, clock.now()))
        for _ in range(TRIES):
            report = _tried(session, stages, minute, chaos) if session.next_minute() == minute else None
            breaks += len(report.reconciled.breaks) if report is not None else 0
            if report is not None or session.next_minute() != minute:
                break
            clock.advance_to(clock.now() + AGAIN)
        ticks += 1
        if told.follows and told.schedule.stall is not None and ticks == told.schedule.stall.minutes:
            line.ask(wake_the_other=True)
    found = _end(session, stages, clock)
    stages.release()
    stages.parts.ledger.engine.dispose()
    return {
        "breaks": [f"{one.symbol}: {one.what}" for one in found.report.breaks],
        "breaks_on_the_way": breaks,
        "passings": sum(chaos.passings.values()),
    }


def _tried(session: PresentSession, stages: Stages, minute: int, chaos: Chaos) -> CycleReport | None:
    """The cycle of a minute; None where it must be tried again. Raises `Gone` for an owner that was frozen."""
    try:
        session.tick(minute)
        report = run_cycle(stages, DAY, minute)
    except (TemporaryError, NotOwner):
        report = None
    except Inconsistent:
        # What a frozen owner still knows, its successor has found out.
        if not chaos.frozen:
            raise
    except ConservationBroken:
        # Without the fence the last look before the call is all that is left.
        if not chaos.frozen or chaos.told.weakness is not Weakness.NO_FENCE:
            raise
    if chaos.frozen:
        raise Gone
    return report


def _start(session: PresentSession, clock: WorldClock, *, wait: bool) -> None:
    """Open the session. Who comes after a frozen process waits for its lease to end, by the database's real clock."""
    clock.advance_to(max(clock.now(), session.session.open))
    for tries in range(100):
        try:
            session.open()
        except NotOwner:
            if not wait or tries == 99:
                raise
            time.sleep(0.05)
        else:
            return


def _end(session: PresentSession, stages: Stages, clock: WorldClock) -> Reconciled:
    """Finish the session, and reconcile until nothing is open: what is in doubt is found out in these minutes."""
    clock.advance_to(max(session.session.close, clock.now()))
    found = None
    for _ in range(TRIES):
        with contextlib.suppress(TemporaryError, NotOwner):
            session.finish()
            found = stages.recover()
            if not found.report.breaks and not stages.parts.ledger.open_orders():
                break
        clock.advance_to(clock.now() + 2 * AGAIN)
    if found is None:
        raise TemporaryError("the session could not be finished")
    return found


def _parts(told: Told, world: World, line: Line, clock: WorldClock, chaos: Chaos) -> Parts:
    schedule = told.schedule
    provider = LeanFiles(told.folder / "bars")
    hours = calendar(schedule)

    def exchange(clock: Clock) -> Broker:
        return PaperExchange(
            told.folder / "paper.sqlite",
            clock=clock,
            bars=provider.minute_bars,
            session_of=hours.session,
            fees=fee_schedule("ibkr_fixed"),
            opening_cash=CASH,
            slippage=1,
            volume_share=1000,
        )

    broker = world.broker(clock, exchange)
    if schedule.broker == "paper":
        broker = cast("Broker", FaultyLine(cast("Broker", Shown(broker, lambda: line.ask(look=True))), schedule, clock))
    broker = _weakened(broker, told.weakness)
    engine = open_engine(told.database_url)
    # A third of a session's time goes into asking whether the database is still there, which it is.
    engine.pool._pre_ping = False
    ledger = Ledger(engine, book=schedule.name)
    return Parts(
        ledger=WatchedLedger(ledger, chaos),
        routes=Routes(brokers=(cast("Broker", WatchedBroker(broker, chaos)),)),
        provider=provider,
        calendar=hours,
        clock=clock,
        strategies=tuple(strategy_of(wish) for wish in schedule.wishes),
        symbols=tuple(PRICES),
        limits=Limits(
            closing_minutes=1,
            max_minute_volume_pct=Decimal(10_000),
            max_orders_per_second=1000,
            max_orders_per_minute=10_000,
            max_entries_per_day=100,
        ),
        opening_cash=CASH,
        owner=f"job/{told.instance}",
        release="campaign",
        lease=FLEETING if told.freezes else LeaseTimes(quarantine=FLEETING.quarantine),
        call_deadline=PATIENCE,
    )


def _weakened(broker: Broker, weakness: Weakness | None) -> Broker:
    if weakness is Weakness.CHANCE_IDS:
        return cast("Broker", ChanceIds(broker))
    if weakness is Weakness.UNKNOWN_IS_REJECTED:
        return cast("Broker", UnknownIsRejected(broker))
    return broker


def _take_out(weakness: Weakness | None) -> None:
    if weakness is Weakness.NO_FENCE:
        # The trigger is dropped from the campaign's database.
        ownership._compare = lambda *_: None
    elif weakness is Weakness.NO_LOOK_UP:
        Reconciler._look_up = lambda *_: Absent()  # type: ignore[method-assign]
    elif weakness is Weakness.NO_RECONCILE:
        Reconciler._book_executions = lambda *_: (0, ())  # type: ignore[method-assign]
        Reconciler._settle_unanswered = lambda *_: (0, 0)  # type: ignore[method-assign]
