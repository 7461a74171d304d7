"""What the outbox holds back, and what it sends a second time: orders in doubt, exits behind stops, a broker that is gone."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from trading_platform.domain.clock import SimulatedClock
from trading_platform.domain.errors import Inconsistent, NotOwner
from trading_platform.domain.lifecycle import step
from trading_platform.domain.orders import (
    Absent,
    Answer,
    Found,
    IntentKind,
    Order,
    OrderEvent,
    OrderIntent,
    OrderState,
    OrderType,
    Side,
    Unknown,
)
from trading_platform.ledger import ownership
from trading_platform.orders.routing import Routes
from trading_platform_tests.sessions.books import Book, exchange_orders, pass_time
from trading_platform_tests.sessions.desk import SOON, Desk
from trading_platform_tests.sessions.line import Line
from trading_platform_tests.sessions.pair import BACKUP, backup_exchange, backup_file
from trading_platform_tests.sessions.tape import DAY, TAPE, write_tape

BUY, SELL = Side.BUY, Side.SELL
SENDING = OrderState.SENDING


@pytest.fixture
def book(tmp_path: Path, fresh_database: Callable[[], str]) -> Book:
    bars = write_tape(tmp_path / "bars", TAPE)
    return Book(name="tape", database_url=fresh_database(), data_folder=tmp_path / "data", bars=bars)


@pytest.fixture
def desk(book: Book) -> Iterator[Desk]:
    with book.open() as platform:
        session = platform.simulated_session(DAY)
        session.open()
        pass_time(platform, 1)
        with platform.ledger.take("job/local") as lease:
            yield Desk(platform, lease)


@pytest.fixture
def backup(desk: Desk, book: Book) -> Iterator[Line]:
    with backup_exchange(desk.platform, book) as made:
        yield made


# A broker that is not configured any more.


def test_what_belongs_to_a_broker_that_is_not_configured_is_held_back_and_the_rest_leaves(
    desk: Desk, book: Book, backup: Line
) -> None:
    entry = desk.intent(IntentKind.ENTRY, BUY)
    desk.send(entry, broker=Line(broker=desk.broker, down=True), backup=backup)
    cancel = desk.intent(IntentKind.CANCEL, BUY, target=entry.id)
    other = desk.intent(IntentKind.ENTRY, BUY, "BBB")
    assert desk.send(cancel, other) == 1
    assert desk.life(cancel) == [OrderState.REJECTED]
    assert desk.last(cancel).detail == f"withheld: it belongs to the broker {BACKUP}, which is not configured"
    # Nothing waits for what is not made.
    assert desk.life(entry)[-1] is OrderState.ACKNOWLEDGED
    assert [row[0] for row in exchange_orders(book.exchange_file)] == [other.id]
    assert len(exchange_orders(backup_file(book))) == 1


def test_without_that_it_would_be_noted_as_leaving_and_stop_every_reconcile(
    desk: Desk, backup: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = desk.intent(IntentKind.ENTRY, BUY)
    desk.send(entry, broker=Line(broker=desk.broker, down=True), backup=backup)
    monkeypatch.setattr(Routes, "has", lambda _self, _venue: True)
    cancel = desk.intent(IntentKind.CANCEL, BUY, target=entry.id)
    with pytest.raises(Inconsistent, match=f"at the broker {BACKUP}, and only paper is configured"):
        desk.send(cancel)
    assert desk.life(cancel) == [SENDING]


def test_an_exit_stays_with_its_stop_at_a_broker_that_is_not_configured(desk: Desk, book: Book, backup: Line) -> None:
    entry, stop = held_with_a_stop(desk, backup, Line(broker=desk.broker, down=True))
    less = desk.intent(IntentKind.REDUCE, SELL, quantity=0, target=stop.id)
    sale = desk.intent(IntentKind.EXIT, SELL)
    assert desk.send(less, sale) == 0
    assert desk.life(less) == desk.life(sale) == [OrderState.REJECTED]
    assert exchange_orders(book.exchange_file) == []
    assert desk.ledger.orders_by_id([entry.id])[entry.id].filled == 10


# What was sent before, and may still arrive.


def left_in_doubt(desk: Desk, *intents: OrderIntent, venue: str = "paper") -> None:
    """Commit them, and that they are about to leave, as a process does that then dies."""
    desk.commit(*intents)
    now = desk.platform.clock.now()
    events = [step(one.id, OrderState.INTENDED, SENDING, at=now, venue=venue) for one in intents]
    desk.ledger.note_sending(events, desk.lease.ownership)


def resend(
    desk: Desk, *intents: OrderIntent, doubtful: bool = True, broker: Line | None = None, backup: Line | None = None
) -> int:
    names = [one.id for one in intents] if doubtful else []
    return desk.outbox(broker, backup=backup).resend(intents, desk.lease.ownership, names)


@pytest.mark.parametrize("doubtful", [True, False])
def test_what_may_still_arrive_at_the_primary_does_not_go_to_the_backup(
    desk: Desk, book: Book, backup: Line, *, doubtful: bool
) -> None:
    entry = desk.intent(IntentKind.ENTRY, BUY)
    stop = desk.intent(IntentKind.STOP, SELL, type=OrderType.STOP, stop_price=Decimal(49), parent=entry.id)
    left_in_doubt(desk, entry, stop)
    if not doubtful:
        now = desk.platform.clock.now()
        desk.ledger.append_events([step(one.id, SENDING, OrderState.INTENDED, at=now) for one in (entry, stop)])
    down = Line(broker=desk.broker, down=True)
    sent = resend(desk, entry, stop, doubtful=doubtful, broker=down, backup=backup)
    # The control: what has certainly not arrived goes to the backup. If the first request arrives then, both have it.
    at_backup = [] if doubtful else [entry.id, stop.id]
    assert (sent, [row[0] for row in exchange_orders(backup_file(book))]) == (len(at_backup) // 2, at_backup)
    then = OrderState.UNKNOWN if doubtful else OrderState.ACKNOWLEDGED
    assert desk.life(entry)[-1] is desk.life(stop)[-1] is then


def test_it_does_not_come_to_stand_as_never_sent(desk: Desk) -> None:
    entry = desk.intent(IntentKind.ENTRY, BUY)
    left_in_doubt(desk, entry)

    class Looking(Line):
        def submit(self, order: Order, deadline: datetime) -> Answer:
            lives.append(desk.life(entry))
            return super().submit(order, deadline)

    lives: list[list[OrderState]] = []
    assert resend(desk, entry, broker=Looking(broker=desk.broker)) == 1
    # In one commit: a process that dies here leaves it as sent a moment ago.
    assert lives == [[SENDING, OrderState.INTENDED, SENDING]]
    assert desk.life(entry)[-1] is OrderState.ACKNOWLEDGED


def test_a_refusal_of_the_second_sending_says_nothing_of_the_first(desk: Desk) -> None:
    entry = desk.intent(IntentKind.ENTRY, BUY, quantity=10_000_000)
    left_in_doubt(desk, entry)
    assert resend(desk, entry) == 1
    assert desk.life(entry)[-1] is OrderState.UNKNOWN


def test_it_goes_to_the_broker_that_may_have_it(desk: Desk, book: Book, backup: Line) -> None:
    entry = desk.intent(IntentKind.ENTRY, BUY)
    left_in_doubt(desk, entry, venue=BACKUP)
    assert resend(desk, entry, backup=backup) == 1
    assert exchange_orders(book.exchange_file) == []
    assert [row[0] for row in exchange_orders(backup_file(book))] == [entry.id]


def test_what_is_held_back_at_its_second_sending_may_have_left_all_the_same(desk: Desk) -> None:
    entry = desk.intent(IntentKind.ENTRY, BUY)
    left_in_doubt(desk, entry)
    at(desk, 300)
    assert resend(desk, entry) == 0
    assert desk.life(entry) == [SENDING, OrderState.UNKNOWN]


# An exit and the stop in front of it.


def held_with_a_stop(desk: Desk, backup: Line | None = None, broker: Line | None = None) -> tuple[OrderIntent, ...]:
    """Ten shares that are booked, and the stop that protects them."""
    entry = desk.intent(IntentKind.ENTRY, BUY)
    stop = desk.intent(IntentKind.STOP, SELL, type=OrderType.STOP, stop_price=Decimal(1), parent=entry.id)
    desk.send(entry, stop, broker=broker, backup=backup)
    pass_time(desk.platform, 3)
    there = backup or desk.broker
    fills = there.executions(desk.platform.calendar.session(DAY).open)
    desk.ledger.book_executions(fills, {}, desk.platform.clock.now(), there.name)
    return entry, stop


@pytest.mark.parametrize("loses", ["refusal", "answer", "nothing has left"])
def test_an_exit_that_is_kept_back_is_so_from_the_commit_of_the_reason_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, loses: str
) -> None:
    _, stop = held_with_a_stop(desk)
    less = desk.intent(IntentKind.REDUCE, SELL, quantity=0, target=stop.id)
    sale = desk.intent(IntentKind.EXIT, SELL)
    line = Line(broker=desk.broker, keeps_stops=loses == "refusal", down=loses == "nothing has left")
    record, commits = desk.ledger.append_events, list[tuple[OrderState, ...]]()

    def recording(events: Sequence[OrderEvent], ownership: ownership.Ownership | None = None) -> None:
        record(events, ownership)
        if events:
            commits.append(tuple(one.state for one in events if one.intent_id in (less.id, sale.id)))

    monkeypatch.setattr(desk.ledger, "append_events", recording)
    desk.send(less, sale, broker=line, deadline=-SOON if loses == "answer" else SOON)
    then = {
        "refusal": OrderState.REJECTED,
        "answer": OrderState.UNKNOWN,
        "nothing has left": OrderState.INTENDED,
    }[loses]
    # In one commit: a process that dies between two would leave the exit to be sent alone.
    assert commits == [(then, OrderState.REJECTED)]
    assert desk.last(sale).detail == "withheld: the resting stop could not be reduced"


@pytest.mark.parametrize(
    ("outcome", "sent"), [(OrderState.REJECTED, 0), (OrderState.UNKNOWN, 0), (OrderState.APPLIED, 1)]
)
def test_an_exit_is_not_sent_alone_by_another_process_where_its_stop_was_not_reduced(
    desk: Desk, outcome: OrderState, sent: int
) -> None:
    _, stop = held_with_a_stop(desk)
    less = desk.intent(IntentKind.REDUCE, SELL, quantity=0, target=stop.id)
    lines = {OrderState.REJECTED: Line(broker=desk.broker, keeps_stops=True), OrderState.APPLIED: None}
    desk.send(less, broker=lines.get(outcome), deadline=-SOON if outcome is OrderState.UNKNOWN else SOON)
    assert desk.life(less)[-1] is outcome
    sale = desk.intent(IntentKind.EXIT, SELL)
    desk.commit(sale)
    assert resend(desk, sale, doubtful=False) == sent
    assert desk.life(sale)[-1] is (OrderState.ACKNOWLEDGED if sent else OrderState.REJECTED)
    # The stop, or the sale in its place.
    assert len(desk.broker.open_orders()) == 1


def test_the_last_attempt_at_a_reduction_counts(desk: Desk) -> None:
    _, stop = held_with_a_stop(desk)
    first = desk.intent(IntentKind.REDUCE, SELL, quantity=0, target=stop.id)
    then = replace(first, id="tp-again", attempt=1)
    sale = desk.intent(IntentKind.EXIT, SELL)
    left_in_doubt(desk, first, then, sale)
    now = desk.platform.clock.now()
    ends = [(first, OrderState.REJECTED), (then, OrderState.APPLIED), (sale, OrderState.INTENDED)]
    desk.ledger.append_events([step(one.id, SENDING, state, at=now) for one, state in ends])
    assert resend(desk, sale, doubtful=False) == 1


@pytest.mark.parametrize("booked", [True, False])
def test_an_exit_is_not_sent_alone_where_its_stop_has_sold_what_is_not_booked(desk: Desk, *, booked: bool) -> None:
    _, stop = held_with_a_stop(desk)
    less = desk.intent(IntentKind.REDUCE, SELL, quantity=0, target=stop.id)
    sale = desk.intent(IntentKind.EXIT, SELL)
    left_in_doubt(desk, less, sale)
    now = desk.platform.clock.now()
    desk.ledger.append_events(
        [step(less.id, SENDING, OrderState.APPLIED, at=now), step(sale.id, SENDING, OrderState.INTENDED, at=now)]
    )

    class Sold(Line):
        def find(self, intent_id: str) -> Found | Absent | Unknown:
            found = super().find(intent_id)
            assert isinstance(found, Found)
            return Found(order=replace(found.order, filled=0 if booked else 3))

    assert resend(desk, sale, doubtful=False, broker=Sold(broker=desk.broker)) == booked
    if not booked:
        assert desk.last(sale).detail == "withheld: what protected it may have sold in the meantime"


# What is told to an owner that is not one any more.


@pytest.mark.parametrize("accepted", [True, False])
def test_that_nothing_is_known_is_recorded_by_the_owner_alone(desk: Desk, *, accepted: bool) -> None:
    entry = desk.intent(IntentKind.ENTRY, BUY)

    class Losing(Line):
        def submit(self, order: Order, deadline: datetime) -> Answer:
            desk.lease.release()
            return super().submit(order, deadline)

    line = Losing(broker=desk.broker, loses=None if accepted else "answer")
    if accepted:
        # That the broker has it stays true, whoever owns the book.
        desk.send(entry, broker=line)
    else:
        with pytest.raises(NotOwner):
            desk.send(entry, broker=line)
    assert desk.life(entry) == [SENDING, *([OrderState.ACKNOWLEDGED] if accepted else [])]


def at(desk: Desk, after_close: int) -> None:
    assert isinstance(desk.platform.clock, SimulatedClock)
    desk.platform.clock.advance_to(desk.platform.calendar.session(DAY).close + timedelta(seconds=after_close))
