"""What holds a person's command up and must not end it: a lease that runs out, an owner that was killed, a broker that
takes a cancel without effect, another broker that does not answer. And a command that comes while a minute is decided.
"""

import io
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest
import sqlalchemy as sa
from rich.console import Console

from trading_platform.bootstrap import build
from trading_platform.domain.clock import SimulatedClock
from trading_platform.domain.commands import CommandAction
from trading_platform.domain.decisions import DecisionKind, Rule
from trading_platform.domain.errors import InvalidInput, PermanentError
from trading_platform.domain.orders import IntentKind, Order, OrderState, OrderType, Side
from trading_platform.engine import emergencies
from trading_platform.engine.preflight import preflight
from trading_platform.ledger import commands
from trading_platform.ledger.connection import transaction
from trading_platform.ledger.ledger import Ledger
from trading_platform.ledger.ownership import LeaseTimes
from trading_platform.orders.routing import Routes
from trading_platform.terminal.emergencies import SECONDS, pause_of
from trading_platform_tests.sessions.books import go_on_until, pass_time, run_until, with_parts
from trading_platform_tests.sessions.desk import Desk as Hand
from trading_platform_tests.sessions.emergency import HELD, Desk, desks
from trading_platform_tests.sessions.line import Line
from trading_platform_tests.sessions.pair import BACKUP, backup_exchange
from trading_platform_tests.sessions.scripted import scripted
from trading_platform_tests.sessions.tape import DAY

BRIEF: Final = LeaseTimes(
    lease=timedelta(seconds=1), renewal=timedelta(seconds=0.1), margin=timedelta(0), quarantine=timedelta(seconds=0.2)
)


@pytest.fixture
def traded(tmp_path: Path, fresh_database: Callable[[], str]) -> Iterator[Callable[[int], Desk]]:
    """Makes the desk of a book that has traded the tape up to a minute."""
    with desks(tmp_path, fresh_database()) as make:
        yield make


@pytest.fixture
def desk(traded: Callable[[int], Desk]) -> Desk:
    return traded(3)


# Leases.


def shorten(ledger: Ledger, seconds: float) -> None:
    """So much of the lease passes."""
    with ledger.engine.begin() as connection:
        connection.execute(
            sa.text("UPDATE shards SET lease_until = lease_until - :less WHERE book = :book"),
            {"less": timedelta(seconds=seconds), "book": ledger.book},
        )


def test_slow_answers_together_may_take_longer_than_a_lease_lasts(desk: Desk) -> None:
    ledger = desk.platform.ledger
    desk.line.meanwhile = lambda: shorten(ledger, 7)
    outcome = emergencies.cancel_all(desk.platform.stages, who="ada", reason="fire", pause=lambda _: False)
    assert outcome.obeyed_by is None
    assert desk.platform.broker.open_orders() == ()


def test_a_lease_that_runs_out_in_the_middle_is_taken_anew_and_nobody_else_is_said_to_obey(desk: Desk) -> None:
    ledger = desk.platform.ledger
    said: list[str] = []
    desk.line.refused = 1
    # What is refused after that is recorded by nobody who is not sure of the book.
    desk.line.meanwhile = lambda: shorten(ledger, 20) if not said else None

    def pause(left: tuple[str, ...]) -> bool:
        said.extend(left)
        return desk.minutes(left)

    assert desk.close_all(pause=pause).obeyed_by is None
    assert "the lease of job/local" in said[0]
    desk.require_flat()


def test_an_owner_that_was_killed_is_waited_for_and_then_the_command_is_done(desk: Desk) -> None:
    desk.platform.ledger.take("job/elsewhere", BRIEF).abandon()
    again = desk.restarted(lease=BRIEF)
    looks: list[str] = []

    def pause(left: tuple[str, ...]) -> bool:
        looks.extend(left)
        if "job/elsewhere" not in left[0]:
            return again.minutes(left)
        time.sleep(0.1)
        return len(looks) < 100

    assert again.close_all(pause=pause).obeyed_by is None
    assert "belongs to job/elsewhere" in looks[0]
    again.require_flat()


def test_an_owner_that_lives_is_known_by_its_connection(desk: Desk) -> None:
    ledger = desk.platform.ledger
    lease = ledger.take("job/elsewhere")
    assert ledger.lives("job/elsewhere")
    assert not ledger.lives("job/local")
    assert desk.close_all().obeyed_by == "job/elsewhere"
    lease.abandon()
    until = time.monotonic() + 10
    while ledger.lives("job/elsewhere") and time.monotonic() < until:
        time.sleep(0.01)
    assert not ledger.lives("job/elsewhere")
    assert [one.leased for one in ledger.owners()] == [True]


def test_on_a_simulated_clock_the_machines_time_passes_while_somebody_else_has_the_book(desk: Desk) -> None:
    waited: list[float] = []
    pause = pause_of(desk.platform, Console(file=io.StringIO()), wait=waited.append)
    with desk.platform.ledger.take("job/elsewhere"):
        assert pause(("something",))
    assert waited == [SECONDS]
    before = desk.platform.simulated_session(DAY).next_minute()
    assert pause(("something",))
    assert (waited, desk.platform.simulated_session(DAY).next_minute()) == ([SECONDS], (before or 0) + 1)


# Cancels.


def test_a_cancel_that_was_taken_without_effect_is_made_again(desk: Desk) -> None:
    desk.line.deaf = 1
    desk.close_all()
    desk.require_flat()


def test_what_is_cancelled_without_effect_for_good_is_said(desk: Desk) -> None:
    desk.line.deaf = 1000
    left = iter(range(10))
    with pytest.raises(PermanentError, match="the broker has taken its cancel, and it works on"):
        desk.close_all(pause=lambda _: next(left, None) is not None)


def test_a_cancel_is_not_repeated_while_its_order_waits_for_it(desk: Desk) -> None:
    desk.line.deaf, desk.line.blind, desk.line.ends = 1000, True, {"AAA": OrderState.CANCELLED}
    left = iter(range(6))
    with pytest.raises(PermanentError):
        desk.close_all(pause=lambda _: next(left, None) is not None)
    cancels = [one.intent for one in desk.platform.ledger.orders() if one.intent.kind is IntentKind.CANCEL]
    assert len([one for one in cancels if one.symbol == "AAA"]) == 1
    assert len([one for one in cancels if one.symbol == "BBB"]) > 1


# Two brokers.


@pytest.fixture
def pair(desk: Desk) -> Iterator[tuple[Desk, Line]]:
    """The desk with a backup, at which another strategy holds 10 of AAA with a stop of its own."""
    with backup_exchange(desk.platform, desk.book) as backup:
        platform = with_parts(desk.platform, routes=Routes(brokers=(desk.line, backup)))
        two = replace(desk, platform=platform)
        desk.line.down = True
        with platform.ledger.take("job/local") as lease:
            hand = Hand(platform, lease)
            entry = hand.intent(IntentKind.ENTRY, Side.BUY)
            stop = hand.intent(IntentKind.STOP, Side.SELL, type=OrderType.STOP, stop_price=Decimal(9), parent=entry.id)
            hand.send(entry, stop, broker=desk.line, backup=backup)
        desk.line.down = False
        two.cycle()
        platform.stages.release()
        assert dict(backup.positions()) == {"AAA": 10}
        yield two, backup


def test_the_other_broker_does_not_hold_up_the_sale_at_this_one(pair: tuple[Desk, Line]) -> None:
    desk, backup = pair
    held, few = dict(desk.platform.broker.positions()), iter(range(4))
    backup.down = True
    with pytest.raises(PermanentError, match=f"s holds 10 AAA .{BACKUP} does not answer"):
        desk.close_all(pause=lambda left: next(few, None) is not None and desk.minutes(left))
    assert desk.sold["AAA"] == held["AAA"]
    assert dict(desk.platform.broker.positions()) == {}
    backup.down = False
    desk.close_all()
    assert desk.held == {}


def test_an_order_that_only_the_other_broker_works_does_not_hold_up_the_sale_at_this_one(
    pair: tuple[Desk, Line],
) -> None:
    desk, backup = pair
    held = dict(desk.platform.broker.positions())
    now = desk.platform.clock.now()
    stray = Order(
        intent_id="stray", symbol="AAA", side=Side.BUY, type=OrderType.LIMIT, quantity=1, limit_price=Decimal(1)
    )
    backup.submit(stray, now)
    with pytest.raises(PermanentError, match="the order stray works in it"):
        desk.close_all(pause=lambda _: False)
    assert desk.sold["AAA"] == held["AAA"]


def test_what_is_on_sale_at_the_other_broker_is_not_taken_from_what_is_held_at_this_one(
    pair: tuple[Desk, Line],
) -> None:
    desk, backup = pair
    held = dict(desk.platform.broker.positions())
    with desk.platform.ledger.take("job/local") as lease:
        hand = Hand(desk.platform, lease)
        hand.commit(hand.intent(IntentKind.EXIT, Side.SELL))
        backup.loses, backup.blind = "request", True
        hand.outbox(desk.line, backup=backup).send([hand.intent(IntentKind.EXIT, Side.SELL)], lease.ownership)
    with pytest.raises(PermanentError):
        desk.close_all(pause=lambda _: False)
    assert desk.sold["AAA"] == held["AAA"]


# A broker that is not configured any more.


def test_a_broker_with_holdings_that_is_not_configured_any_more_is_said_and_the_rest_is_sold(
    pair: tuple[Desk, Line],
) -> None:
    desk, _ = pair
    platform = with_parts(desk.platform, broker=desk.line)
    said = (
        f"the book 'tape' has 1 open orders at {BACKUP} and holds AAA there, and {BACKUP} is not configured: name it "
        "as brokers.backup until nothing is left there"
    )
    session = platform.calendar.session(DAY)
    both = preflight(desk.platform.stages.parts, session, ())
    assert [one.passed for one in both if one.name == "broker"] == [True]
    (found,) = [one for one in preflight(platform.stages.parts, session, ()) if one.name == "broker"]
    assert (found.passed, said in found.detail) == (False, True)
    clock = SimulatedClock(platform.clock.now())
    with pytest.raises(InvalidInput) as told:
        build(desk.book.settings, clock)
    assert str(told.value) == f"brokers: {said}."
    build(desk.book.settings, clock, strict=False).close()
    with pytest.raises(PermanentError, match=f"s holds 10 AAA .{BACKUP} is not configured"):
        replace(desk, platform=platform).close_all()
    assert dict(platform.broker.positions()) == {}
    # Nothing is tried that could not be sent.
    assert {one.intent.kind for one in platform.ledger.orders() if one.intent.strategy == "s"} == {
        IntentKind.ENTRY,
        IntentKind.STOP,
    }


def test_no_time_is_passed_for_what_is_at_a_broker_that_is_not_configured(pair: tuple[Desk, Line]) -> None:
    desk, _ = pair
    alone = replace(desk, platform=with_parts(desk.platform, broker=desk.line))
    told: list[tuple[str, ...]] = []

    def pause(left: tuple[str, ...]) -> bool:
        told.append(left)
        return alone.minutes(left)

    with pytest.raises(PermanentError, match=f"{BACKUP} is not configured"):
        alone.close_all(pause=pause)
    # The control: for what is at the configured broker time does pass.
    assert told
    assert all(any(BACKUP not in one for one in left) for left in told)


def elsewhere(desk: Desk) -> Desk:
    """The desk with settings that name another broker alone than the one where everything is."""
    other = Line(broker=desk.platform.broker, called=BACKUP)
    return replace(desk, platform=with_parts(desk.platform, broker=other))


@pytest.mark.parametrize("act", ["cancel_all", "close_all", "reconcile"])
def test_a_book_that_is_all_elsewhere_and_that_nobody_trades_is_left_alone(desk: Desk, act: str) -> None:
    lost, before = elsewhere(desk), desk.platform.ledger.orders()
    pass_real_time(desk)
    with pytest.raises(InvalidInput, match="it has 4 open orders at paper and holds AAA, BBB there, and paper is not"):
        emergencies.reconcile(lost.platform.stages) if act == "reconcile" else getattr(lost, act)()
    ledger = desk.platform.ledger
    assert (ledger.commands(), ledger.orders(), ledger.owners()) == ((), before, ())
    found = emergencies.reconnect(lost.platform.stages.parts)
    assert [(one.venue, one.answers) for one in found] == [(BACKUP, True), ("paper", False)]


def test_a_book_that_is_all_elsewhere_is_obeyed_for_by_whoever_has_just_had_it(desk: Desk) -> None:
    lost = elsewhere(desk)
    outcome = lost.close_all(pause=lambda _: pytest.fail("there is nothing to wait for here"))
    assert outcome.obeyed_by is not None
    assert "paper" in outcome.obeyed_by
    assert emergencies.reconcile(lost.platform.stages).owned_by is not None
    # Nothing was touched; the next cycle of the one that trades it obeys.
    assert desk.held == HELD
    go_on_until(desk.platform, 8)
    desk.require_flat()


def pass_real_time(desk: Desk) -> None:
    """Let the book have been given back a while ago, by the database's clock."""
    with desk.platform.ledger.engine.begin() as connection:
        connection.execute(sa.text("UPDATE shards SET lease_until = lease_until - interval '1 minute'"))


# Minutes that a command runs.


@pytest.mark.parametrize("entering", [False, True], ids=["a command's", "control: a session's"])
def test_the_minutes_that_a_command_runs_enter_nothing(desk: Desk, *, entering: bool) -> None:
    eager = desk.restarted(
        strategies=(scripted("eager", minute=4, again=1, cheapest=30, stop_distance=20),), entering=entering
    )
    run_until(eager.platform, 5)
    bought = [one for one in eager.line.submitted if one.side is Side.BUY]
    assert bool(bought) is entering


def test_a_halt_before_a_close_in_a_closed_market_is_not_recorded(desk: Desk) -> None:
    pass_time(desk.platform, 389)
    for halting in (False, True):
        with pytest.raises(InvalidInput, match="the market is closed"):
            emergencies.close_all(desk.platform.stages, who="ada", reason="fire", pause=lambda _: True, halting=halting)
    assert desk.platform.ledger.commands() == ()


def test_a_halt_before_a_close_stands_after_it(desk: Desk) -> None:
    emergencies.close_all(desk.platform.stages, who="ada", reason="fire", pause=desk.minutes, halting=True)
    desk.require_flat()
    assert desk.platform.ledger.halted()


# A command that comes while a minute is decided.


@pytest.mark.parametrize("action", [CommandAction.HALT, CommandAction.CLOSE_ALL, CommandAction.FLATTEN])
def test_no_entry_goes_out_for_what_was_decided_before_a_command_came(desk: Desk, action: CommandAction) -> None:
    planned, eager = decided(desk)
    assert {one.kind for one in planned.intents} >= {IntentKind.ENTRY}
    eager.record(action)
    report = eager.platform.stages.place(planned)
    assert {one.rule for one in report.decisions if one.kind is DecisionKind.ENTER} == {Rule.SESSION_WINDOW}
    assert not [one for one in eager.line.submitted if one.side is Side.BUY]
    recorded = eager.platform.ledger.cycle(planned.evaluated.fetched.bar_time)
    assert recorded is not None
    assert recorded.decisions == report.decisions


def test_without_a_command_what_was_decided_goes_out(desk: Desk) -> None:
    # The control.
    planned, eager = decided(desk)
    report = eager.platform.stages.place(planned)
    assert report.decisions == planned.decisions
    assert [one.side for one in eager.line.submitted] == [Side.BUY]


def decided(desk: Desk) -> tuple[Any, Desk]:
    """A minute that is decided and not recorded, with an entry in it."""
    eager = desk.restarted(strategies=(scripted("eager", minute=4, again=1, cheapest=30, stop_distance=20),))
    stages, session = eager.platform.stages, eager.platform.simulated_session(DAY)
    session.open()
    session.tick(4)
    return stages.decide(stages.evaluate(stages.fetch(DAY, 4))), eager


def test_a_command_waits_for_the_cycle_that_is_being_committed_and_comes_after_it(desk: Desk) -> None:
    ledger = desk.platform.ledger
    given = threading.Thread(target=desk.record, args=(CommandAction.CLOSE_ALL,))
    with transaction(ledger.engine) as connection:
        commands.require_newest(connection, ledger.book, ledger.newest_command())
        given.start()
        given.join(0.5)
        assert given.is_alive()
        committed = connection.execute(sa.text("SELECT clock_timestamp()")).scalar_one()
    given.join(10)
    (command,) = ledger.commands()
    assert command.recorded_at > committed
    assert ledger.newest_command() == command.id
