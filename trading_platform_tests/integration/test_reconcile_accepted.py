"""Breaks about orders and brokers: each is one until it is gone or a person accepts exactly it, and orders end by that.

The tape, its two entries of minute 1 and the partial fills of AAA are those of test_hand_worked_tape.py.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from trading_platform.bootstrap import Platform
from trading_platform.domain.orders import Execution, IntentKind, NotSent, OrderEvent, OrderState, OrderStatus
from trading_platform.domain.reports import Acceptance, Break, Subject
from trading_platform.engine import emergencies
from trading_platform.orders.breaks import Acceptances
from trading_platform.orders.routing import Routes
from trading_platform_tests.sessions.books import Book, go_on_until, run_until, with_parts
from trading_platform_tests.sessions.line import Line
from trading_platform_tests.sessions.pair import BACKUP, backup_exchange
from trading_platform_tests.sessions.tape import DAY, TAPE, write_tape


@pytest.fixture
def book(tmp_path: Path, fresh_database: Callable[[], str]) -> Book:
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


def accept(platform: Platform, *breaks: Break) -> None:
    for found in breaks:
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


# An order whose executions never come.


@pytest.mark.parametrize(
    ("shown", "then", "detail"),
    [
        (OrderState.EXPIRED, OrderState.EXPIRED, ""),
        # 100 of 320 shares are booked: it is not filled, whatever it is there.
        (OrderState.FILLED, OrderState.CANCELLED, "the broker says filled"),
    ],
)
def test_an_order_that_ended_with_other_shares_than_are_booked_is_a_break_until_it_is_accepted(
    platform: Platform, shown: OrderState, then: OrderState, detail: str
) -> None:
    seen, line = behind(platform)
    run_until(seen, 2)
    entry = order(platform, "AAA")
    line.ends, line.overstated = {"AAA": shown}, {"AAA": 50}
    for _ in range(2):
        found = {one.name: one for one in seen.stages.recover().report.breaks}
        assert found[entry.intent.id] == Break(
            symbol="AAA",
            what=f"order {entry.intent.id} has ended at the broker with 150 shares executed, 100 are booked",
            venue="paper",
            subject=Subject.ORDER,
            name=entry.intent.id,
            difference=Decimal(50),
        )
        assert order(platform, "AAA").state is OrderState.PARTIALLY_FILLED
    accept(platform, *found.values())
    assert seen.stages.recover().report.breaks == ()
    assert (order(platform, "AAA").state, platform.ledger.events(entry.intent.id)[-1].detail) == (then, detail)


def test_its_executions_may_be_late_for_as_long_as_an_order_may(platform: Platform) -> None:
    seen, line = behind(platform, can={"settle": timedelta(minutes=10)})
    run_until(seen, 2)
    line.ends, line.overstated = {"AAA": OrderState.EXPIRED}, {"AAA": 50}
    assert seen.stages.recover().report.breaks == ()
    assert order(platform, "AAA").state is OrderState.PARTIALLY_FILLED


# What an acceptance is of.


def test_an_accepted_break_about_an_order_is_no_word_on_another_about_it(platform: Platform) -> None:
    seen, line = behind(platform)
    run_until(seen, 2)
    entry = order(platform, "AAA")
    other = Break(symbol="AAA", what="", name=entry.intent.id, difference=Decimal(2))
    accept(platform, other)
    line.forgets = frozenset({"AAA"})
    found = {one.name for one in seen.stages.recover().report.breaks}
    assert entry.intent.id in found
    assert order(platform, "AAA").state is OrderState.PARTIALLY_FILLED


def test_a_person_accepts_every_break_about_an_order_by_its_name(platform: Platform) -> None:
    run_until(platform, 0)
    both = [Break(symbol="AAA", what="", name="tp-x", difference=Decimal(more)) for more in (2, 80)]
    said = emergencies.accept(platform.ledger, platform.clock, both, what=["tp-x"], who="ada", reason="known")
    assert said == 2
    known = Acceptances(platform.ledger.acceptances(), Decimal(0))
    assert all(known.cover(one) for one in both)


@pytest.mark.parametrize("noted", [True, False])
def test_a_difference_that_was_accepted_and_went_is_a_new_break_when_it_comes_again(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, *, noted: bool
) -> None:
    if not noted:
        # The control: an acceptance that lasts for ever.
        monkeypatch.setattr(Acceptances, "ended", lambda _self, _found, _venues: ())
    seen, line = behind(platform)
    run_until(seen, 0)
    line.more = {"AAA": 7}
    accept(platform, *seen.stages.recover().report.breaks)
    for shares, breaks in ((7, 0), (0, 0), (7, 1 if noted else 0)):
        line.more = {"AAA": shares}
        assert len(seen.stages.recover().report.breaks) == breaks
    told = [(one.who, one.difference) for one in platform.ledger.acceptances()]
    assert told == [("ada", Decimal(7)), *([("reconcile", Decimal(0))] if noted else [])]


# A broker that is not configured any more.


@dataclass(kw_only=True)
class Choosy(Line):
    """Orders of these symbols do not leave."""

    keeps_in: frozenset[str] = frozenset({"AAA"})

    def submit(self, order: Any, deadline: datetime) -> Any:
        return NotSent(reason="not connected") if order.symbol in self.keeps_in else super().submit(order, deadline)


@pytest.fixture
def alone(platform: Platform, book: Book) -> Platform:
    """The book with its primary alone, after AAA was bought at the backup: nothing is wrong but that."""
    primary = Choosy(broker=platform.broker)
    with backup_exchange(platform, book) as backup:
        seen = with_parts(platform, routes=Routes(brokers=(primary, backup)))
        accept(platform, *run_until(seen, 0)[0].reconciled.breaks)
        go_on_until(seen, 2)
        seen.stages.release()
    return with_parts(platform, broker=platform.broker)


def test_what_is_at_a_broker_that_is_not_configured_is_a_break_and_the_rest_trades(alone: Platform) -> None:
    reports = go_on_until(alone, 4)
    for report in reports:
        found = report.reconciled.breaks
        assert {(one.venue, one.symbol) for one in found} == {(BACKUP, "AAA")}
        assert {one.subject for one in found} == {Subject.ORDER, Subject.POSITION}
        assert all("which is not configured: name it as primary or backup" in one.what for one in found)
    assert {fill.symbol for fill in alone.ledger.fills() if fill.side.value == "sell"} == {"BBB"}


def test_its_orders_end_when_a_person_accepts_that(alone: Platform) -> None:
    accept(alone, *alone.stages.recover().report.breaks)
    assert alone.stages.recover().report.breaks == ()
    stop = order(alone, "AAA", IntentKind.STOP)
    assert (stop.state, alone.ledger.events(stop.intent.id)[-1].detail) == (OrderState.EXPIRED, "it is out of reach")


@pytest.mark.parametrize("state", [OrderState.SENDING, OrderState.UNKNOWN])
def test_what_has_no_answer_from_it_is_a_break_and_not_the_end_of_every_reconcile(
    alone: Platform, state: OrderState
) -> None:
    another = replace(order(alone, "BBB").intent, id="tp-there", leg=1)
    with alone.ledger.take("job/local") as lease:
        alone.ledger.record_intents(DAY, [another], lease.ownership)
    at = alone.clock.now()
    events = [OrderEvent(intent_id="tp-there", state=OrderState.SENDING, at=at, venue=BACKUP)]
    if state is OrderState.UNKNOWN:
        events.append(OrderEvent(intent_id="tp-there", state=state, at=at))
    alone.ledger.append_events(events)
    found = alone.stages.recover().report
    assert "tp-there" in {one.name for one in found.breaks}
    status = alone.ledger.order("tp-there")
    assert status is not None
    assert (status.state, found.resent) == (state, 0)


# What was sent before there were several brokers.


@pytest.mark.parametrize(
    ("states", "venue"),
    [
        ([], None),
        ([OrderState.REJECTED], None),
        ([OrderState.ACKNOWLEDGED], "paper"),
        ([OrderState.UNKNOWN], "paper"),
        ([OrderState.ACKNOWLEDGED, OrderState.PENDING_CANCEL], "paper"),
        ([OrderState.ACKNOWLEDGED, OrderState.PARTIALLY_FILLED], "paper"),
    ],
)
def test_an_order_without_a_venue_is_at_the_paper_exchange(
    platform: Platform, states: list[OrderState], venue: str | None
) -> None:
    run_until(platform, 1)
    platform.stages.release()
    another = replace(order(platform, "AAA").intent, id="tp-old", leg=1)
    with platform.ledger.take("job/local") as lease:
        platform.ledger.record_intents(DAY, [another], lease.ownership)
    at = platform.clock.now()
    platform.ledger.append_events([OrderEvent(intent_id="tp-old", state=state, at=at) for state in states])
    status = platform.ledger.order("tp-old")
    assert status is not None
    assert status.venue == venue


# The first look at an account.


@dataclass(kw_only=True)
class Asked(Line):
    """Remembers from when on executions were asked for."""

    since: list[datetime] = field(default_factory=list)

    def executions(self, since: datetime) -> tuple[Execution, ...]:
        self.since.append(since)
        return super().executions(since)


@pytest.mark.parametrize("later", [timedelta(0), timedelta(days=400)])
def test_of_an_account_nothing_is_asked_from_before_the_book_was_opened(platform: Platform, later: timedelta) -> None:
    line = Asked(broker=platform.broker)
    seen = with_parts(platform, broker=line)
    # A book that was opened by another clock, after the session that it trades first, misses none of it.
    opened = platform.clock.now() + later
    platform.ledger.open_book(seen.stages.parts.opening_cash, opened)
    run_until(seen, 0)
    day = timedelta(days=1)
    assert opened == platform.ledger.opened_at()
    assert all(since >= platform.calendar.session(DAY).open - 2 * day for since in line.since)
    assert all(since <= platform.calendar.session(DAY).open - day / 2 for since in line.since)
