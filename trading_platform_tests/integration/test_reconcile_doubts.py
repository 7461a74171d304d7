"""What the first step of a cycle makes of doubt: what may still arrive, what has not left, who is away, what is undone.

The tape, its two entries of minute 1 and its 469.00 dollars are those of test_hand_worked_tape.py.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from trading_platform.bootstrap import Platform
from trading_platform.calendars.sessions import bar_time
from trading_platform.domain.clock import SimulatedClock
from trading_platform.domain.decisions import Rule, Verdict
from trading_platform.domain.errors import TemporaryError
from trading_platform.domain.lifecycle import step
from trading_platform.domain.orders import (
    Answer,
    Execution,
    IntentKind,
    NotSent,
    Order,
    OrderState,
    OrderStatus,
    OrderType,
    Side,
    Unknown,
)
from trading_platform.domain.reports import Acceptance, Break, CycleReport, Subject
from trading_platform.engine.values import Planned
from trading_platform.orders.breaks import ACCOUNT, Comparison
from trading_platform.orders.routing import Routes
from trading_platform_tests.faults.killed_session import Points, watched
from trading_platform_tests.sessions.books import (
    Book,
    exchange_orders,
    exchange_result,
    go_on_until,
    pass_time,
    repeated_orders,
    run_until,
    with_parts,
)
from trading_platform_tests.sessions.line import Line
from trading_platform_tests.sessions.pair import BACKUP, backup_exchange, backup_file
from trading_platform_tests.sessions.tape import DAY, LAST_MINUTE, TAPE, write_tape

RESULT = Decimal("469.00")
TWO_MINUTES = timedelta(minutes=2)


@pytest.fixture
def book(tmp_path: Path, fresh_database: Any) -> Book:
    bars = write_tape(tmp_path / "bars", TAPE)
    return Book(name="tape", database_url=fresh_database(), data_folder=tmp_path / "data", bars=bars)


@pytest.fixture
def platform(book: Book) -> Iterator[Platform]:
    with book.open() as made:
        yield made


def behind(platform: Platform, **line: Any) -> tuple[Platform, Line]:
    made = Line(broker=platform.broker, **line)
    return with_parts(platform, broker=made), made


def order(platform: Platform, symbol: str, kind: IntentKind = IntentKind.ENTRY) -> OrderStatus:
    return next(one for one in platform.ledger.orders(DAY) if (one.intent.symbol, one.intent.kind) == (symbol, kind))


def state(platform: Platform, symbol: str, kind: IntentKind = IntentKind.ENTRY) -> OrderState:
    return order(platform, symbol, kind).state


def said_last(platform: Platform, symbol: str) -> str:
    return platform.ledger.events(order(platform, symbol).intent.id)[-1].detail


def planned(platform: Platform, minute: int) -> Planned:
    """The minute as far as its decisions."""
    pass_time(platform, minute)
    stages = platform.stages
    return stages.decide(stages.evaluate(stages.fetch(DAY, minute)))


# What may still arrive.


class ProcessDied(Exception):
    """Stands for the end of the process."""


def die_before_sending(platform: Platform) -> None:
    def die() -> None:
        raise ProcessDied

    with watched(platform, Points("before send", 1, die)) as seen, pytest.raises(ProcessDied):
        run_until(seen, 1)


def test_what_was_about_to_leave_is_sent_again_once_it_cannot_arrive_any_more(platform: Platform, book: Book) -> None:
    seen, _ = behind(platform, can={"settle": TWO_MINUTES})
    die_before_sending(seen)
    for minute, sent in ((1, 0), (2, 0), (3, 2)):
        pass_time(platform, minute)
        assert seen.stages.recover().report.resent == sent
        assert state(platform, "AAA") is (OrderState.ACKNOWLEDGED if sent else OrderState.SENDING)
    assert [one.state for one in platform.ledger.events(order(platform, "AAA").intent.id)] == [
        OrderState.SENDING,
        OrderState.INTENDED,
        OrderState.SENDING,
        OrderState.ACKNOWLEDGED,
    ]
    assert len(exchange_orders(book.exchange_file)) == 4
    assert repeated_orders(book.exchange_file) == []


def test_an_entry_whose_time_passes_while_it_may_still_arrive_is_not_sent_again(platform: Platform, book: Book) -> None:
    seen, _ = behind(platform, can={"settle": timedelta(minutes=3)})
    die_before_sending(seen)
    # It was to fill by the end of minute 4, which is that minute's tick, and not after it.
    pass_time(platform, 4)
    assert seen.stages.recover().report.resent == 0
    assert (state(platform, "AAA"), said_last(platform, "AAA")) == (OrderState.EXPIRED, "not sent in time")
    assert exchange_orders(book.exchange_file) == []


@dataclass(kw_only=True)
class Slow(Line):
    """Orders are on their way until they arrive, all at once: nothing is answered meanwhile."""

    arrived: bool = False
    under_way: list[Order] = field(default_factory=list)

    def submit(self, order: Order, deadline: datetime) -> Answer:
        if self.arrived:
            return super().submit(order, deadline)
        self.under_way.append(order)
        return Unknown(reason=f"no answer by {deadline.isoformat()}")

    def arrive(self) -> None:
        self.arrived = True
        for one in self.under_way:
            self.broker.submit(one, datetime.max.replace(tzinfo=UTC))


@pytest.mark.parametrize("settle", [TWO_MINUTES, timedelta(0)])
def test_an_order_that_arrives_late_is_found_and_without_patience_it_would_be_lost(
    platform: Platform, book: Book, settle: timedelta
) -> None:
    line = Slow(broker=platform.broker, can={"settle": settle})
    seen = with_parts(platform, broker=line)
    run_until(seen, 1)
    # Absent for the moment: that says nothing yet.
    seen.stages.recover()
    assert state(platform, "AAA") is (OrderState.UNKNOWN if settle else OrderState.REJECTED)
    line.arrive()
    (report,) = go_on_until(seen, 2)
    if settle:
        assert (state(platform, "BBB"), report.reconciled.breaks) == (OrderState.FILLED, ())
        go_on_until(seen, LAST_MINUTE)
        assert exchange_result(book.exchange_file) == RESULT
    else:
        # The control: the ledger has given up what the broker works and fills.
        assert {found.symbol for found in report.reconciled.breaks} >= {"AAA", "BBB"}


def test_an_unknown_outcome_ends_on_absence_only_after_what_was_sent_has_settled(platform: Platform) -> None:
    seen, line = behind(platform, can={"settle": TWO_MINUTES}, loses="request")
    run_until(seen, 1)
    line.loses = None
    for minute, then in ((1, OrderState.UNKNOWN), (2, OrderState.UNKNOWN), (3, OrderState.REJECTED)):
        pass_time(platform, minute)
        seen.stages.recover()
        assert state(platform, "AAA") is then
    assert said_last(platform, "AAA") == "the broker never had it"


# What has certainly not left.


def test_what_has_certainly_not_left_is_sent_by_the_next_reconcile(platform: Platform, book: Book) -> None:
    seen, line = behind(platform)
    run_until(seen, 0)
    decided = planned(seen, 1)
    line.down = True
    with pytest.raises(TemporaryError, match="not sent: entry AAA: not connected; entry BBB: not connected"):
        seen.stages.place(decided)
    assert {state(platform, one) for one in ("AAA", "BBB")} == {OrderState.INTENDED}
    line.down = False
    assert seen.stages.recover().report.resent == 2
    go_on_until(seen, LAST_MINUTE)
    assert exchange_result(book.exchange_file) == RESULT
    assert repeated_orders(book.exchange_file) == []


def test_an_entry_that_could_not_leave_in_its_time_never_does(platform: Platform, book: Book) -> None:
    seen, line = behind(platform)
    run_until(seen, 0)
    decided = planned(seen, 1)
    line.down = True
    with pytest.raises(TemporaryError, match="not sent"):
        seen.stages.place(decided)
    with pytest.raises(TemporaryError, match="paper does not answer"):
        seen.stages.recover()
    line.down = False
    pass_time(platform, 4)
    assert seen.stages.recover().report.resent == 0
    assert (state(platform, "AAA"), said_last(platform, "AAA")) == (OrderState.EXPIRED, "not sent in time")
    assert exchange_orders(book.exchange_file) == []


# A second broker, and brokers that are away.


@dataclass(kw_only=True)
class Choosy(Line):
    """Orders of these symbols do not leave."""

    keeps_in: frozenset[str] = frozenset()

    def submit(self, order: Order, deadline: datetime) -> Answer:
        return NotSent(reason="not connected") if order.symbol in self.keeps_in else super().submit(order, deadline)


@contextmanager
def two_brokers(platform: Platform, book: Book) -> Iterator[tuple[Platform, Line, Line]]:
    """A book whose entry in AAA the primary does not take; a person has accepted the backup's own cash."""
    primary = Choosy(broker=platform.broker, keeps_in=frozenset({"AAA"}))
    with backup_exchange(platform, book) as backup:
        seen = with_parts(platform, routes=Routes(brokers=(primary, backup)))
        (report,) = run_until(seen, 0)
        (found,) = report.reconciled.breaks
        assert (found.venue, found.subject, found.difference) == (BACKUP, Subject.CASH, Decimal(100_000))
        accept(platform, found)
        yield seen, primary, backup


def accept(platform: Platform, found: Break) -> None:
    platform.ledger.accept(
        Acceptance(
            venue=found.venue,
            subject=found.subject,
            name=found.name,
            difference=found.difference,
            who="ada",
            reason="known",
            at=platform.clock.now(),
        )
    )


def test_a_book_of_two_brokers_makes_what_it_would_have_made_at_one(platform: Platform, book: Book) -> None:
    with two_brokers(platform, book) as (seen, _, _):
        reports = go_on_until(seen, LAST_MINUTE)
        assert [report.reconciled.breaks for report in reports] == [()] * len(reports)
        sold = [[row[1] for row in exchange_orders(path)] for path in (book.exchange_file, backup_file(book))]
        assert (set(sold[0]), set(sold[1])) == ({"BBB"}, {"AAA"})
        results = [exchange_result(path) for path in (book.exchange_file, backup_file(book))]
        assert sum(results) == RESULT
        assert seen.ledger.holdings().cash == Decimal(100_000) + RESULT
        assert {(fill.symbol, fill.venue) for fill in seen.ledger.fills()} == {("AAA", BACKUP), ("BBB", "paper")}


@pytest.mark.parametrize(("away", "frozen"), [(BACKUP, {"AAA"}), ("paper", {"BBB"})])
def test_what_is_at_a_broker_that_is_away_is_frozen_and_the_rest_trades(
    platform: Platform, book: Book, away: str, frozen: set[str]
) -> None:
    with two_brokers(platform, book) as (seen, primary, backup):
        go_on_until(seen, 2)
        believed = {one.intent.id: one.state for one in platform.ledger.orders(DAY)}
        (backup if away == BACKUP else primary).down = True
        decided = planned(seen, 3)
        assert decided.evaluated.fetched.reconciled.report.away == (away,)
        assert decided.account.frozen == frozen
        # Of what is there nothing is made: it stands as it was believed to.
        still = {one.intent.id: one.state for one in platform.ledger.orders(DAY) if one.intent.symbol in frozen}
        assert still == {name: believed[name] for name in still}
        seen.stages.place(decided)
        (backup if away == BACKUP else primary).down = False
        assert planned(seen, 4).account.frozen == frozenset()


def test_with_both_away_nothing_is_decided(platform: Platform, book: Book) -> None:
    with two_brokers(platform, book) as (seen, primary, backup):
        primary.down = backup.down = True
        with pytest.raises(TemporaryError, match="does not answer"):
            go_on_until(seen, 1)
        assert platform.ledger.orders(DAY) == ()
        primary.down = backup.down = False
        (report,) = go_on_until(seen, 1)
        assert report.orders_sent == 2


# Differences that a person has accepted.


def entries(report: CycleReport) -> dict[str, tuple[Verdict, Rule]]:
    return {one.symbol: (one.verdict, one.rule) for one in report.decisions}


FROZEN = (Verdict.REFUSED, Rule.RECONCILIATION)
ENTERED = (Verdict.APPROVED, Rule.NONE)


@pytest.mark.parametrize(("shares", "aaa"), [(7, ENTERED), (8, FROZEN)])
def test_a_position_that_was_accepted_is_no_break_and_another_difference_is_a_new_one(
    platform: Platform, shares: int, aaa: tuple[Verdict, Rule]
) -> None:
    seen, line = behind(platform, more={"AAA": 7})
    (report,) = run_until(seen, 0)
    (found,) = report.reconciled.breaks
    accept(platform, found)
    line.more = {"AAA": shares}
    (report,) = go_on_until(seen, 1)
    assert entries(report) == {"AAA": aaa, "BBB": ENTERED}


@pytest.mark.parametrize(
    ("accepted", "extra", "broken"),
    [("0", "0.05", False), ("0", "0.06", True), ("1", "1.05", False), ("1", "0.94", True), ("1", "0.95", False)],
)
def test_cash_may_differ_by_the_tolerance_from_what_was_accepted(
    platform: Platform, accepted: str, extra: str, *, broken: bool
) -> None:
    line = Line(broker=platform.broker, extra=Decimal(accepted))
    seen = with_parts(platform, broker=line, cash_tolerance=Decimal("0.05"))
    (report,) = run_until(seen, 0)
    for found in report.reconciled.breaks:
        accept(platform, found)
    line.extra = Decimal(extra)
    (report,) = go_on_until(seen, 1)
    assert bool(report.reconciled.breaks) is broken
    assert entries(report)["AAA"] == (FROZEN if broken else ENTERED)


def test_the_last_acceptance_of_a_difference_holds(platform: Platform) -> None:
    seen, line = behind(platform)
    run_until(seen, 0)
    for shares in (7, 8):
        line.more = {"AAA": shares}
        (found,) = seen.stages.recover().report.breaks
        accept(platform, found)
    assert seen.stages.recover().report.breaks == ()
    line.more = {"AAA": 7}
    assert len(seen.stages.recover().report.breaks) == 1


def test_an_order_that_the_broker_has_forgotten_ends_when_a_person_accepts_it(platform: Platform) -> None:
    seen, line = behind(platform)
    run_until(seen, 3)
    line.forgets = frozenset({"AAA"})
    report = seen.stages.recover().report
    assert report.breaks
    for found in report.breaks:
        assert found.subject is Subject.ORDER
        accept(platform, found)
    assert seen.stages.recover().report.breaks == ()
    assert (state(platform, "AAA"), said_last(platform, "AAA")) == (OrderState.EXPIRED, "the broker forgot it")


def test_an_execution_of_nobody_here_is_accepted_with_what_it_has_moved(platform: Platform) -> None:
    run_until(platform, 0)
    stranger = Order(intent_id="by-hand", symbol="BBB", side=Side.BUY, type=OrderType.MARKET, quantity=10)
    platform.broker.submit(stranger, bar_time(platform.calendar.session(DAY), 5))
    (report,) = go_on_until(platform, 1)
    told = {(found.subject, found.symbol) for found in report.reconciled.breaks}
    assert told == {(Subject.EXECUTION, "BBB"), (Subject.POSITION, "BBB"), (Subject.CASH, ACCOUNT)}
    for found in report.reconciled.breaks:
        accept(platform, found)
    (report,) = go_on_until(platform, 2)
    assert report.reconciled.breaks == ()
    assert platform.ledger.fills() == ()


# What brokers say.


def test_a_status_that_no_table_has_is_told_and_nothing_is_held_back(platform: Platform, book: Book) -> None:
    seen, _ = behind(platform, says={"AAA": "held_for_review"})
    report = run_until(seen, 2)[-1]
    entry = order(platform, "AAA")
    assert f"order {entry.intent.id} has the status 'held_for_review' at paper" in report.reconciled.oddities
    assert (entry.state.is_final, report.reconciled.breaks) == (False, ())
    go_on_until(seen, LAST_MINUTE)
    assert exchange_result(book.exchange_file) == RESULT


@pytest.mark.parametrize(
    ("shown", "then", "detail"),
    [
        (OrderState.REPLACED, OrderState.REPLACED, ""),
        (OrderState.EXPIRED, OrderState.EXPIRED, ""),
        # A hundred shares are bought: what the broker calls a refusal is of the rest.
        (OrderState.REJECTED, OrderState.CANCELLED, "the broker says rejected"),
    ],
)
def test_an_order_ends_as_the_broker_says_that_it_has(
    platform: Platform, shown: OrderState, then: OrderState, detail: str
) -> None:
    seen, line = behind(platform)
    run_until(seen, 2)
    assert state(platform, "AAA") is OrderState.PARTIALLY_FILLED
    line.ends = {"AAA": shown}
    assert seen.stages.recover().report.closed >= 1
    assert (state(platform, "AAA"), said_last(platform, "AAA")) == (then, detail)


def test_an_order_that_goes_on_working_after_a_change_of_it_works_on(platform: Platform) -> None:
    run_until(platform, 2)
    status = order(platform, "AAA")
    at = platform.clock.now()
    platform.ledger.append_events([step(status.intent.id, status.state, OrderState.PENDING_CANCEL, at=at)])
    platform.stages.recover()
    assert (state(platform, "AAA"), said_last(platform, "AAA")) == (OrderState.PARTIALLY_FILLED, "it works on")


@pytest.mark.parametrize("forgets", [True, False])
def test_a_broker_that_forgets_overnight_leaves_no_order_without_an_end(platform: Platform, *, forgets: bool) -> None:
    seen, line = behind(platform, can={"forgets_overnight": forgets})
    run_until(seen, 3)
    assert isinstance(platform.clock, SimulatedClock)
    platform.clock.advance_to(platform.calendar.next(DAY).open)
    # Nothing touches its stop on that day.
    line.forgets = frozenset({"BBB"})
    report = seen.stages.recover().report
    assert state(platform, "BBB", IntentKind.STOP) is (OrderState.EXPIRED if forgets else OrderState.ACKNOWLEDGED)
    # The control: of a broker that remembers, it is a break.
    assert bool([found for found in report.breaks if found.subject is Subject.ORDER]) is not forgets


@pytest.mark.parametrize("unsent", [True, False])
def test_what_a_broker_forgot_overnight_is_not_sent_on_the_next_day(
    platform: Platform, book: Book, *, unsent: bool
) -> None:
    seen, line = behind(platform, can={"forgets_overnight": True}, loses=None if unsent else "request")
    if unsent:
        die_before_sending(seen)
    else:
        run_until(seen, 1)
    line.loses = None
    assert isinstance(platform.clock, SimulatedClock)
    platform.clock.advance_to(platform.calendar.next(DAY).open)
    assert seen.stages.recover().report.resent == 0
    assert state(platform, "AAA") is OrderState.EXPIRED
    assert said_last(platform, "AAA") == "its session is over, and the broker tells nothing of it any more"
    assert exchange_orders(book.exchange_file) == []


# What is undone.


def first_execution(platform: Platform, symbol: str) -> Execution:
    since = platform.calendar.session(DAY).open
    return next(one for one in platform.broker.executions(since) if one.symbol == symbol)


def test_a_bust_is_booked_once_and_both_sides_agree_afterwards(platform: Platform) -> None:
    seen, line = behind(platform)
    run_until(seen, 2)
    one = first_execution(platform, "AAA")
    line.reports = (replace(one, execution_id="bust", quantity=0, corrects=one.execution_id),)
    line.more = {"AAA": -one.quantity}
    line.extra = one.quantity * one.price + one.fee
    for _ in range(2):
        report = seen.stages.recover().report
        assert (report.executions_booked, report.breaks) == (0, ())
        assert [fill.symbol for fill in platform.ledger.fills()] == ["BBB"]
    # The control: a bust that is not told shows as a difference.
    line.reports, line.more = (), {"AAA": -one.quantity - 1}
    assert [found.symbol for found in seen.stages.recover().report.breaks] == ["AAA"]


def test_a_correction_takes_its_place_and_both_sides_agree_afterwards(platform: Platform) -> None:
    seen, line = behind(platform)
    run_until(seen, 2)
    one = first_execution(platform, "AAA")
    line.reports = (
        replace(one, execution_id="again", quantity=90, corrects=one.execution_id, time=platform.clock.now()),
    )
    line.more = {"AAA": 90 - one.quantity}
    line.extra = (one.quantity - 90) * one.price
    for booked in (1, 0):
        report = seen.stages.recover().report
        assert (report.executions_booked, report.breaks) == (booked, ())
    assert {fill.execution_id: fill.quantity for fill in platform.ledger.fills() if fill.symbol == "AAA"} == {
        "again": 90
    }
    assert order(platform, "AAA").filled == 90


def test_what_the_database_adds_up_is_what_the_fold_comes_to(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []
    compare = Comparison.differences

    def comparing(self: Comparison, views: Any) -> Iterator[Break]:
        folded, held = platform.ledger.holdings(), platform.ledger.held()
        shares = {(one.strategy, one.symbol): one.quantity for one in held}
        assert shares == {key: one.quantity for key, one in folded.positions.items()}
        assert platform.ledger.opening_cash() + sum(one.cash for one in held) == folded.cash
        looked.append(sum(shares.values()))
        return compare(self, views)

    monkeypatch.setattr(Comparison, "differences", comparing)
    run_until(platform, LAST_MINUTE)
    assert max(looked) > 0
