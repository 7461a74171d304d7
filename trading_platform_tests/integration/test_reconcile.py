"""The first step of every cycle: what the ledger believes against what the broker knows, on a real ledger and venue.

The tape of test_hand_worked_tape.py: two entries are decided on minute 1, and the whole session makes 469.00 dollars.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from trading_platform.bootstrap import Platform
from trading_platform.calendars.sessions import bar_time, exchange_day
from trading_platform.domain.clock import SimulatedClock
from trading_platform.domain.decisions import Rule, Verdict
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.orders import Accepted, IntentKind, Order, OrderState, OrderType, Side
from trading_platform.domain.reports import Break, CycleReport, Subject
from trading_platform.engine.cycle import run_cycle
from trading_platform.orders.breaks import ACCOUNT, Comparison
from trading_platform.orders.day_orders import is_over
from trading_platform.orders.reconcile import Reconciler
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
from trading_platform_tests.sessions.scripted import scripted
from trading_platform_tests.sessions.tape import DAY, LAST_MINUTE, TAPE, write_tape

RESULT = Decimal("469.00")


@pytest.fixture
def book(tmp_path: Path, fresh_database: Callable[[], str]) -> Book:
    bars = write_tape(tmp_path / "bars", TAPE)
    return Book(name="tape", database_url=fresh_database(), data_folder=tmp_path / "data", bars=bars)


@pytest.fixture
def platform(book: Book) -> Iterator[Platform]:
    with book.open() as made:
        yield made


def behind(platform: Platform, **line: Any) -> tuple[Platform, Line]:
    """The platform with a line between it and its broker."""
    made = Line(broker=platform.broker, **line)
    return with_parts(platform, broker=made), made


def states(platform: Platform) -> dict[tuple[str, IntentKind], OrderState]:
    return {(one.intent.symbol, one.intent.kind): one.state for one in platform.ledger.orders(DAY)}


class ProcessDied(Exception):
    """Stands for the end of the process."""


def die_before_sending(platform: Platform) -> None:
    def die() -> None:
        raise ProcessDied

    with watched(platform, Points("before send", 1, die)) as seen, pytest.raises(ProcessDied):
        run_until(seen, 1)


# Intents without an answer.


def test_an_order_whose_answer_got_lost_is_found_by_its_id(platform: Platform, book: Book) -> None:
    seen, line = behind(platform, loses="answer")
    run_until(seen, 1)
    assert set(states(platform).values()) == {OrderState.UNKNOWN}
    assert len(exchange_orders(book.exchange_file)) == 4

    line.loses = None
    (report,) = go_on_until(seen, 2)
    # The entries' fills are an answer; their stops are looked up.
    assert (report.reconciled.looked_up, report.reconciled.resent) == (2, 0)
    go_on_until(seen, LAST_MINUTE)
    assert exchange_result(book.exchange_file) == RESULT
    assert repeated_orders(book.exchange_file) == []


def test_an_order_that_never_arrived_is_rejected_and_not_sent_again(platform: Platform, book: Book) -> None:
    seen, line = behind(platform, loses="request")
    run_until(seen, 1)
    line.loses = None
    (report,) = go_on_until(seen, 2)
    assert (report.reconciled.looked_up, report.reconciled.resent) == (4, 0)
    assert set(states(platform).values()) == {OrderState.REJECTED}
    entry = next(one.intent for one in platform.ledger.orders(DAY) if one.intent.kind is IntentKind.ENTRY)
    assert platform.ledger.events(entry.id)[-1].detail == "the broker never had it"
    go_on_until(seen, LAST_MINUTE)
    assert exchange_orders(book.exchange_file) == []


def test_while_the_outcome_is_unknown_nothing_is_sent_and_the_risk_stays_reserved(
    platform: Platform, book: Book
) -> None:
    seen, line = behind(platform, loses="request", blind=True)
    run_until(seen, 1)
    line.loses = None
    pass_time(seen, 2)

    def entering() -> list[int]:
        stages = seen.stages
        planned = stages.decide(stages.evaluate(stages.fetch(DAY, 2)))
        return [int(shares) for shares in planned.decided.seen["positions"]["entering"]]

    assert entering() == [320, 320]
    assert set(states(platform).values()) == {OrderState.UNKNOWN}
    assert exchange_orders(book.exchange_file) == []
    # The control: with the broker's word that it never had them, nothing is reserved any more.
    line.blind = False
    assert entering() == []


@pytest.mark.parametrize(
    ("minute", "entry", "sent"),
    [(1, OrderState.ACKNOWLEDGED, 2), (3, OrderState.ACKNOWLEDGED, 2), (4, OrderState.EXPIRED, 0)],
)
def test_an_entry_that_was_committed_and_not_sent_goes_out_in_its_time_or_never(
    platform: Platform, book: Book, minute: int, entry: OrderState, sent: int
) -> None:
    die_before_sending(platform)
    assert set(states(platform).values()) == {OrderState.SENDING}
    pass_time(platform, minute)
    report = platform.stages.recover().report
    # The entries are valid to the end of minute 4, which is the tick of minute 4. A stop goes out with its entry.
    assert (report.looked_up, report.resent) == (2 if sent else 4, sent)
    stop = OrderState.ACKNOWLEDGED if sent else OrderState.REJECTED
    assert states(platform) == {
        ("AAA", IntentKind.ENTRY): entry,
        ("AAA", IntentKind.STOP): stop,
        ("BBB", IntentKind.ENTRY): entry,
        ("BBB", IntentKind.STOP): stop,
    }
    assert len(exchange_orders(book.exchange_file)) == 2 * sent
    assert platform.stages.recover().report.resent == 0
    assert repeated_orders(book.exchange_file) == []


# Executions.


def test_fills_that_were_missed_are_booked_once(platform: Platform) -> None:
    run_until(platform, 1)
    pass_time(platform, 4)
    assert platform.stages.recover().report.executions_booked == 4
    booked = platform.ledger.fills()
    assert [(fill.symbol, fill.quantity) for fill in booked] == [("AAA", 100), ("BBB", 320), ("AAA", 150), ("AAA", 50)]
    assert platform.stages.recover().report.executions_booked == 0
    assert platform.ledger.fills() == booked


def test_a_fill_that_arrives_between_two_questions_is_no_break(platform: Platform) -> None:
    seen, line = behind(platform)
    run_until(seen, 1)
    line.stale = 1
    (report,) = go_on_until(seen, 2)
    assert (report.reconciled.executions_booked, report.reconciled.breaks) == (2, ())
    # The control: executions that stay away are one.
    line.stale = 3
    (report,) = go_on_until(seen, 3)
    assert [found.symbol for found in report.reconciled.breaks] == ["AAA", ACCOUNT]


def test_an_order_is_not_ended_before_its_executions_are_booked(platform: Platform) -> None:
    seen, line = behind(platform)
    run_until(seen, 1)
    # The venue has filled BBB's entry whole, and does not show its executions yet.
    line.stale = 3
    go_on_until(seen, 2)
    assert states(platform)["BBB", IntentKind.ENTRY] is OrderState.ACKNOWLEDGED
    go_on_until(seen, 3)
    assert states(platform)["BBB", IntentKind.ENTRY] is OrderState.FILLED
    assert platform.ledger.holdings().positions["timed_entry", "BBB"].quantity == 320


def test_an_order_that_ended_at_the_broker_ends_in_the_ledger(platform: Platform) -> None:
    run_until(platform, 2)
    entry = next(
        one.intent
        for one in platform.ledger.orders(DAY)
        if (one.intent.symbol, one.intent.kind) == ("AAA", IntentKind.ENTRY)
    )
    # Somebody cancels it at the venue: 100 of its 320 shares are bought.
    answer = platform.broker.cancel(entry.id, platform.clock.now() + timedelta(seconds=1))
    assert isinstance(answer, Accepted)
    (report,) = go_on_until(platform, 3)
    assert report.reconciled.closed >= 1
    assert states(platform)["AAA", IntentKind.ENTRY] is OrderState.CANCELLED
    assert platform.ledger.holdings().positions["timed_entry", "AAA"].quantity == 100
    # Its attached stop protects what was bought.
    shown = {order.symbol: order.quantity for order in platform.broker.open_orders() if order.type is OrderType.STOP}
    assert shown["AAA"] == 100


# Breaks.


def entries(report: CycleReport) -> dict[str, tuple[Verdict, Rule]]:
    return {one.symbol: (one.verdict, one.rule) for one in report.decisions}


FROZEN = (Verdict.REFUSED, Rule.RECONCILIATION)
ENTERED = (Verdict.APPROVED, Rule.NONE)


def test_a_position_that_differs_freezes_the_entries_of_its_symbol(platform: Platform) -> None:
    seen, _ = behind(platform, more={"AAA": 7})
    report = run_until(seen, 1)[-1]
    assert report.reconciled.breaks == (
        Break(
            symbol="AAA",
            what="0 shares in the ledger, 7 at the broker",
            venue="paper",
            subject=Subject.POSITION,
            name="AAA",
            difference=Decimal(7),
        ),
    )
    assert entries(report) == {"AAA": FROZEN, "BBB": ENTERED}


def test_without_the_comparison_the_entry_would_have_been_made(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Comparison, "differences", lambda _self, _views: ())
    seen, _ = behind(platform, more={"AAA": 7})
    assert entries(run_until(seen, 1)[-1]) == {"AAA": ENTERED, "BBB": ENTERED}


def test_cash_that_differs_freezes_every_entry(platform: Platform) -> None:
    seen, line = behind(platform, extra=Decimal("0.01"))
    report = run_until(seen, 1)[-1]
    assert [found.symbol for found in report.reconciled.breaks] == [ACCOUNT]
    assert "100000.0100 at the broker" in report.reconciled.breaks[0].what
    assert entries(report) == {"AAA": FROZEN, "BBB": FROZEN}
    # The freeze ends with its cause.
    line.extra = Decimal(0)
    (report,) = go_on_until(seen, 2)
    assert report.reconciled.breaks == ()


def test_an_execution_that_nobody_intended_is_a_break_and_is_not_booked(platform: Platform) -> None:
    run_until(platform, 0)
    stranger = Order(intent_id="by-hand", symbol="BBB", side=Side.BUY, type=OrderType.MARKET, quantity=10)
    deadline = bar_time(platform.calendar.session(DAY), 5)
    assert isinstance(platform.broker.submit(stranger, deadline), Accepted)
    (report,) = go_on_until(platform, 1)
    said = {found.symbol: found.what for found in report.reconciled.breaks}
    assert sorted(said) == [ACCOUNT, "BBB"]
    assert any("fits no order of ours" in found.what for found in report.reconciled.breaks)
    assert platform.ledger.fills() == ()
    assert entries(report) == {"AAA": FROZEN, "BBB": FROZEN}


def test_what_is_held_is_let_out_although_entries_are_frozen(platform: Platform, book: Book) -> None:
    seen, line = behind(platform)
    run_until(seen, 2)
    line.more, line.extra = {"AAA": 7}, Decimal(1)
    reports = go_on_until(seen, LAST_MINUTE)
    assert all(report.reconciled.breaks for report in reports)
    assert exchange_result(book.exchange_file) == RESULT


def breaks(report: CycleReport) -> dict[str, str]:
    return {found.symbol: found.what for found in report.reconciled.breaks}


def test_an_order_that_the_broker_does_not_know_any_more_is_a_break(platform: Platform) -> None:
    seen, line = behind(platform)
    run_until(seen, 3)
    line.forgets = frozenset({"AAA"})
    (report,) = go_on_until(seen, 4)
    assert "the broker does not know order tp-" in breaks(report)["AAA"]
    line.forgets = frozenset()
    (report,) = go_on_until(seen, 5)
    assert breaks(report) == {}


def test_an_order_that_works_at_the_broker_and_not_here_is_a_break(platform: Platform) -> None:
    run_until(platform, 0)
    deadline = bar_time(platform.calendar.session(DAY), 5)
    stranger = Order(
        intent_id="by-hand", symbol="BBB", side=Side.BUY, type=OrderType.LIMIT, quantity=10, limit_price=Decimal("1.00")
    )
    assert isinstance(platform.broker.submit(stranger, deadline), Accepted)
    (report,) = go_on_until(platform, 1)
    assert breaks(report) == {"BBB": "order by-hand works at the broker and not in the ledger"}
    assert entries(report) == {"AAA": ENTERED, "BBB": FROZEN}


def test_an_execution_that_is_not_as_it_was_booked_is_a_break(platform: Platform) -> None:
    seen, line = behind(platform)
    run_until(seen, 2)
    booked = platform.ledger.fills()
    line.dearer = Decimal("0.01")
    (report,) = go_on_until(seen, 3)
    assert "is not as it was booked" in breaks(report)["BBB"]
    assert platform.ledger.fills()[: len(booked)] == booked


# What is sent late.


def intents_left_unsent(platform: Platform, kind: IntentKind, number: int) -> None:
    """Run until the process dies before the sending of the `number`-th call, which is one of `kind`."""

    def die() -> None:
        raise ProcessDied

    with watched(platform, Points("before send", number, die)) as seen, pytest.raises(ProcessDied):
        run_until(seen, LAST_MINUTE)
    left = [one.intent.kind for one in platform.ledger.open_orders() if one.state is OrderState.SENDING]
    assert kind in left


def test_an_exit_that_was_not_sent_is_not_sent_in_a_later_session(platform: Platform, book: Book) -> None:
    # Calls 1 and 2 are the entries, 3 the reduction of BBB's stop, 4 its exit.
    intents_left_unsent(platform, IntentKind.EXIT, 4)
    before = exchange_orders(book.exchange_file)
    clock = platform.clock
    assert isinstance(clock, SimulatedClock)
    clock.advance_to(platform.calendar.next(DAY).open)
    report = platform.stages.recover().report
    assert report.resent == 0
    late = [one for one in platform.ledger.orders(DAY) if one.intent.kind is IntentKind.EXIT]
    assert [one.state for one in late] == [OrderState.EXPIRED]
    assert platform.ledger.events(late[0].intent.id)[-1].detail == "its session is over"
    assert [row[0] for row in exchange_orders(book.exchange_file)] == [row[0] for row in before]


def test_in_its_own_session_it_is_sent(platform: Platform) -> None:
    intents_left_unsent(platform, IntentKind.EXIT, 4)
    assert platform.stages.recover().report.resent == 1


UNSENT_AT_1559 = (REDUCED, SOLD) = (IntentKind.REDUCE, IntentKind.EXIT)
OLD_BARS = "\n".join(f"AAA {minute} 50.00 50.00 50.00 50.00 10000" for minute in range(360, 390))


@pytest.fixture
def late_book(tmp_path: Path, fresh_database: Callable[[], str]) -> Book:
    """Of a strategy that enters at 15:41 and is let out by the clock, in the cycle of 15:59."""
    bars = write_tape(tmp_path / "late", OLD_BARS)
    return Book(
        name="late",
        database_url=fresh_database(),
        data_folder=tmp_path / "late_data",
        bars=bars,
        symbols=("AAA",),
        timed_entry=False,
    )


@pytest.fixture
def unsent_at_1559(late_book: Book) -> Iterator[Platform]:
    """A process died in the cycle of 15:59, before the reduction and the sale that it had committed were sent."""

    def die() -> None:
        raise ProcessDied

    with late_book.open(strategies=(scripted(minute=370),)) as platform:
        with watched(platform, Points("before send", 2, die)) as seen:
            seen.simulated_session(DAY).open()
            for minute in (370, 371):
                pass_time(seen, minute)
                run_cycle(seen.stages, DAY, minute)
            pass_time(seen, 388)
            with pytest.raises(ProcessDied):
                run_cycle(seen.stages, DAY, 388)
        left = [one.intent.kind for one in platform.ledger.open_orders() if one.state is OrderState.SENDING]
        assert tuple(left) == UNSENT_AT_1559
        yield platform


def recover_at(platform: Platform, after_close: timedelta) -> dict[IntentKind, str]:
    """Start at that time from the close; what became of what was unsent, and why."""
    assert isinstance(platform.clock, SimulatedClock)
    platform.clock.advance_to(platform.calendar.session(DAY).close + after_close)
    platform.stages.recover()
    last = {
        one.intent.kind: platform.ledger.events(one.intent.id)[-1]
        for one in platform.ledger.orders(DAY)
        if one.intent.kind in UNSENT_AT_1559
    }
    return {kind: f"{event.state} {event.detail}".strip() for kind, event in last.items()}


OVER = "expired its session is over"


@pytest.mark.parametrize(
    ("after_close", "reduced", "sold"),
    [
        (timedelta(seconds=-55), "applied", "acknowledged"),
        # The broker's own word, in the last moment of the session: too late for any minute.
        (timedelta(microseconds=-1), "applied", "rejected no minute of the session is left to fill a day order"),
        (timedelta(0), OVER, OVER),
        (timedelta(seconds=1), OVER, OVER),
        (timedelta(minutes=5), OVER, OVER),
    ],
)
def test_what_was_left_unsent_goes_out_before_its_sessions_close_or_never(
    unsent_at_1559: Platform, late_book: Book, after_close: timedelta, reduced: str, sold: str
) -> None:
    assert recover_at(unsent_at_1559, after_close) == {REDUCED: reduced, SOLD: sold}
    at_exchange = [row[2] for row in exchange_orders(late_book.exchange_file)]
    assert at_exchange == ["buy", "sell", "sell"] if sold == "acknowledged" else ["buy", "sell"]


def test_a_session_that_ends_early_is_over_at_its_own_close(unsent_at_1559: Platform) -> None:
    calendar = unsent_at_1559.calendar
    half, whole = date(2013, 11, 29), date(2013, 12, 2)
    entry = next(one.intent for one in unsent_at_1559.ledger.orders(DAY) if one.intent.kind is IntentKind.ENTRY)
    late = replace(entry, bar_time=calendar.session(half).open)
    close = calendar.session(half).close
    assert [is_over(late, close + timedelta(seconds=more), calendar) for more in (-1, 0, 60)] == [False, True, True]
    usual = replace(entry, bar_time=calendar.session(whole).open)
    assert not is_over(usual, close + (whole - half), calendar)
    # A day that this calendar does not know, as after a change of the calendar: nothing of it goes out.
    assert is_over(replace(entry, bar_time=calendar.session(DAY).open + timedelta(days=3)), close, calendar)


def day_alone(intent: Any, now: Any, _calendar: Any) -> bool:
    """The guard as it would be without the close: what a venue that queues orders overnight makes a trap."""
    return exchange_day(intent.bar_time) != exchange_day(now)


def test_without_the_close_the_sale_would_be_the_next_days_order(
    unsent_at_1559: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trading_platform.orders.reconcile.is_over", day_alone)
    monkeypatch.setattr("trading_platform.orders.outbox.is_over", day_alone)
    assert recover_at(unsent_at_1559, timedelta(minutes=5))[SOLD] == "acknowledged"
    (left,) = unsent_at_1559.broker.open_orders()
    assert (left.side, left.quantity, left.filled) == (Side.SELL, 100, 0)


def test_what_the_reconcile_lets_through_the_outbox_holds_back(
    unsent_at_1559: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trading_platform.orders.reconcile.is_over", day_alone)
    told = recover_at(unsent_at_1559, timedelta(minutes=5))[SOLD]
    assert told == "rejected withheld: its session has closed, and the order would wait for the next one"
    assert unsent_at_1559.broker.open_orders() == ()


def test_an_exit_that_does_not_fit_what_is_held_any_more_is_not_sent(
    platform: Platform, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    intents_left_unsent(platform, IntentKind.EXIT, 4)
    before = exchange_orders(book.exchange_file)
    monkeypatch.setattr(Reconciler, "_sellable", lambda _self, _orders: {("timed_entry", "BBB"): 159})
    assert platform.stages.recover().report.resent == 0
    (late,) = (one for one in platform.ledger.orders(DAY) if one.intent.kind is IntentKind.EXIT)
    assert (late.state, late.intent.quantity) == (OrderState.EXPIRED, 160)
    assert exchange_orders(book.exchange_file) == before


def test_an_exit_is_withheld_while_its_stop_cannot_be_reduced(platform: Platform, book: Book) -> None:
    seen, _ = behind(platform, keeps_stops=True)
    run_until(seen, LAST_MINUTE)
    exits = [one for one in platform.ledger.orders(DAY) if one.intent.kind is IntentKind.EXIT]
    assert exits
    assert {one.state for one in exits} == {OrderState.REJECTED}
    assert {platform.ledger.events(one.intent.id)[-1].detail for one in exits} == {
        "withheld: the resting stop could not be reduced"
    }
    # What has been sold was sold by the stops.
    assert all(fill.side is Side.BUY or fill.symbol == "AAA" for fill in platform.ledger.fills())
    assert repeated_orders(book.exchange_file) == []


def test_a_book_goes_forward_in_time(platform: Platform) -> None:
    run_until(platform, 0)
    with pytest.raises(InvalidInput, match=r"has traded the session 2013-10-09, which is later than 2013-10-08"):
        platform.simulated_session(date(2013, 10, 8)).open()


def test_a_minute_is_not_skipped(platform: Platform) -> None:
    run_until(platform, 3)
    session = platform.simulated_session(DAY)
    for minute in (5, 2, 390, -1):
        with pytest.raises(InvalidInput, match=f"minute {minute} of the session 2013-10-09 is not its turn"):
            session.tick(minute)
    session.tick(3)
    session.tick(4)
