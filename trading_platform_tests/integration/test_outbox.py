"""What is committed is sent in order, each answer is recorded before the next is sent, and only by the owner."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Literal

import pytest

from trading_platform.domain.clock import SimulatedClock
from trading_platform.domain.errors import Inconsistent, NotOwner
from trading_platform.domain.lifecycle import step
from trading_platform.domain.orders import (
    Answer,
    Found,
    IntentKind,
    NotSent,
    Order,
    OrderState,
    OrderType,
    Side,
    Unknown,
)
from trading_platform.ledger import ownership
from trading_platform.orders import outbox as sending
from trading_platform_tests.sessions.books import Book, exchange_orders, pass_time
from trading_platform_tests.sessions.desk import SOON, Desk
from trading_platform_tests.sessions.line import Line
from trading_platform_tests.sessions.pair import BACKUP, backup_exchange, backup_file
from trading_platform_tests.sessions.tape import DAY, TAPE, write_tape

BUY, SELL = Side.BUY, Side.SELL
SENDING = OrderState.SENDING
PENDING = {IntentKind.CANCEL: OrderState.PENDING_CANCEL, IntentKind.REDUCE: OrderState.PENDING_REPLACE}


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


def test_an_entry_and_its_attached_stop_are_one_call(desk: Desk, book: Book) -> None:
    entry = desk.intent(IntentKind.ENTRY, BUY)
    stop = desk.intent(IntentKind.STOP, SELL, type=OrderType.STOP, stop_price=Decimal(49), parent=entry.id)
    assert desk.send(entry, stop) == 1
    assert [(row[0], row[2]) for row in exchange_orders(book.exchange_file)] == [(entry.id, "buy"), (stop.id, "sell")]
    assert desk.life(entry) == desk.life(stop) == [SENDING, OrderState.ACKNOWLEDGED]
    assert {event.venue for event in desk.ledger.events(entry.id)[:1]} == {"paper"}
    assert desk.last(entry).broker_order_id == "tape-o1"
    # The venue names the stop itself; what it answered was the entry's name.
    assert desk.last(stop).broker_order_id is None


def test_each_answer_is_recorded_before_the_next_is_sent(desk: Desk) -> None:
    first, second = (desk.intent(IntentKind.ENTRY, BUY, symbol) for symbol in ("AAA", "BBB"))

    class Looking(Line):
        def submit(self, order: Order, deadline: datetime) -> Answer:
            lives.append((desk.life(first), desk.life(second)))
            return super().submit(order, deadline)

    lives: list[tuple[list[OrderState], list[OrderState]]] = []
    assert desk.send(first, second, broker=Looking(broker=desk.broker)) == 2
    # That they are about to leave is committed for both before the first call.
    assert lives == [([SENDING], [SENDING]), ([SENDING, OrderState.ACKNOWLEDGED], [SENDING])]


def test_a_refusal_is_recorded_with_its_reason(desk: Desk) -> None:
    sale = desk.intent(IntentKind.EXIT, SELL)
    desk.send(sale)
    assert desk.last(sale).state is OrderState.REJECTED
    assert "no short sales" in desk.last(sale).detail


def test_no_answer_in_time_is_unknown_and_not_rejected(desk: Desk, book: Book) -> None:
    entry = desk.intent(IntentKind.ENTRY, BUY)
    desk.send(entry, deadline=-SOON)
    assert desk.last(entry).state is OrderState.UNKNOWN
    assert "deadline" in desk.last(entry).detail
    assert exchange_orders(book.exchange_file) == []


@pytest.mark.parametrize(
    ("seconds", "life", "said"),
    [
        (-60, [SENDING, OrderState.ACKNOWLEDGED], ""),
        (-1, [SENDING, OrderState.REJECTED], "no minute of the session is left to fill a day order"),
        (0, [OrderState.REJECTED], "withheld: its session has closed, and the order would wait for the next one"),
        (300, [OrderState.REJECTED], "withheld: its session has closed, and the order would wait for the next one"),
    ],
)
def test_an_order_does_not_go_out_once_its_session_has_closed(
    desk: Desk, book: Book, seconds: int, life: list[OrderState], said: str
) -> None:
    at(desk, seconds)
    entry = desk.intent(IntentKind.ENTRY, BUY)
    stop = desk.intent(IntentKind.STOP, SELL, type=OrderType.STOP, stop_price=Decimal(49), parent=entry.id)
    # What is withheld is no call.
    assert desk.send(entry, stop) == (seconds < 0)
    assert desk.life(entry) == desk.life(stop) == life
    assert desk.last(entry).detail == desk.last(stop).detail == said
    assert len(exchange_orders(book.exchange_file)) == (2 if seconds == -60 else 0)


def test_without_the_close_an_order_would_be_the_next_days(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    at(desk, 300)
    monkeypatch.setattr(sending, "is_over", lambda _intent, _now, _calendar: False)
    entry = desk.intent(IntentKind.ENTRY, BUY)
    assert desk.send(entry) == 1
    assert [order.intent_id for order in desk.broker.open_orders()] == [entry.id]


def test_a_cancel_goes_out_at_any_time(desk: Desk) -> None:
    entry = desk.intent(IntentKind.ENTRY, BUY)
    desk.send(entry)
    at(desk, 300)
    cancel = desk.intent(IntentKind.CANCEL, BUY, target=entry.id)
    assert desk.send(cancel) == 1


def at(desk: Desk, after_close: int) -> None:
    assert isinstance(desk.platform.clock, SimulatedClock)
    desk.platform.clock.advance_to(desk.platform.calendar.session(DAY).close + timedelta(seconds=after_close))


def test_a_cancel_and_a_reduce_are_applied_to_their_target(desk: Desk) -> None:
    first, second = (desk.intent(IntentKind.ENTRY, BUY, symbol) for symbol in ("AAA", "BBB"))
    desk.send(first, second)
    less = desk.intent(IntentKind.REDUCE, BUY, "AAA", 4, target=first.id)
    none = desk.intent(IntentKind.CANCEL, BUY, "BBB", target=second.id)
    assert desk.send(less, none) == 2
    assert desk.life(less) == desk.life(none) == [SENDING, OrderState.APPLIED]
    # A reduced order works on; a cancelled one waits until it is seen to have ended.
    answered = [SENDING, OrderState.ACKNOWLEDGED]
    assert desk.life(first) == [*answered, OrderState.PENDING_REPLACE, OrderState.ACKNOWLEDGED]
    assert desk.life(second) == [*answered, OrderState.PENDING_CANCEL]
    assert [(order.symbol, order.quantity) for order in desk.broker.open_orders()] == [("AAA", 4)]
    # To cancel twice is to do it once: the second one finds it done. What was never there cannot be changed.
    again = desk.intent(IntentKind.CANCEL, BUY, "BBB", target=second.id, leg=1)
    never = desk.intent(IntentKind.CANCEL, BUY, "BBB", target="tp-never", leg=2)
    desk.send(again, never)
    assert desk.last(again).state is OrderState.APPLIED
    assert desk.last(never).state is OrderState.REJECTED


def test_a_change_without_a_target_is_not_sent(desk: Desk) -> None:
    lost = desk.intent(IntentKind.CANCEL, BUY)
    with pytest.raises(Inconsistent, match="does not say which order it acts on"):
        desk.send(lost)
    assert desk.life(lost) == []


def test_who_has_lost_the_book_sends_nothing(desk: Desk, book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = desk.intent(IntentKind.ENTRY, BUY)
    held = desk.lease.ownership
    desk.ledger.record_intents(DAY, [entry], held)
    desk.lease.release()
    with pytest.raises(NotOwner):
        desk.outbox().send([entry], held)
    assert exchange_orders(book.exchange_file) == []
    status = desk.ledger.order(entry.id)
    assert status is not None
    assert status.state is OrderState.INTENDED
    # The control: without the looks at the shards it would have been sent.
    monkeypatch.setattr(ownership, "hold", lambda _connection, _ownership: None)
    with pytest.raises(NotOwner):
        desk.outbox().send([entry], held)
    assert exchange_orders(book.exchange_file) == []
    monkeypatch.setattr(ownership, "ensure_current", lambda _engine, _ownership: None)
    desk.ledger.append_events([step(entry.id, SENDING, OrderState.INTENDED, at=desk.platform.clock.now())])
    desk.outbox().send([entry], held)
    assert len(exchange_orders(book.exchange_file)) == 1


def test_the_book_is_looked_at_before_each_order(desk: Desk, book: Book) -> None:
    first, second = (desk.intent(IntentKind.ENTRY, BUY, symbol) for symbol in ("AAA", "BBB"))

    class Losing(Line):
        def submit(self, order: Order, deadline: datetime) -> Answer:
            desk.lease.release()
            return super().submit(order, deadline)

    with pytest.raises(NotOwner):
        desk.send(first, second, broker=Losing(broker=desk.broker))
    assert [row[0] for row in exchange_orders(book.exchange_file)] == [first.id]
    # The answer to what was sent is recorded all the same: it is a fact.
    assert (desk.life(first), desk.life(second)) == ([SENDING, OrderState.ACKNOWLEDGED], [SENDING])


# What certainly has not left.


def test_what_has_certainly_not_left_stands_as_intended_again(desk: Desk, book: Book) -> None:
    entry = desk.intent(IntentKind.ENTRY, BUY)
    stop = desk.intent(IntentKind.STOP, SELL, type=OrderType.STOP, stop_price=Decimal(49), parent=entry.id)
    down = Line(broker=desk.broker, down=True)
    # What has not left is no call.
    assert desk.send(entry, stop, broker=down) == 0
    assert desk.life(entry) == desk.life(stop) == [SENDING, OrderState.INTENDED]
    assert desk.last(entry).detail == "not connected"
    # It can be sent as if for the first time, under the same id.
    assert desk.outbox().send((entry, stop), desk.lease.ownership) == 1
    assert [row[0] for row in exchange_orders(book.exchange_file)] == [entry.id, stop.id]


@pytest.mark.parametrize("kind", [IntentKind.CANCEL, IntentKind.REDUCE])
def test_a_change_that_has_not_left_leaves_its_order_as_it_was(desk: Desk, kind: IntentKind) -> None:
    entry = desk.intent(IntentKind.ENTRY, BUY)
    desk.send(entry)
    change = desk.intent(kind, BUY, quantity=4, target=entry.id)
    assert desk.send(change, broker=Line(broker=desk.broker, down=True)) == 0
    assert desk.life(change) == [SENDING, OrderState.INTENDED]
    assert desk.life(entry)[2:] == [PENDING[kind], OrderState.ACKNOWLEDGED]


def test_of_a_change_that_is_not_known_its_order_itself_will_tell(desk: Desk) -> None:
    entry = desk.intent(IntentKind.ENTRY, BUY)
    desk.send(entry)
    less = desk.intent(IntentKind.REDUCE, BUY, quantity=4, target=entry.id)
    desk.send(less, deadline=-SOON)
    assert desk.life(less) == [SENDING, OrderState.UNKNOWN]
    assert desk.life(entry)[2:] == [OrderState.PENDING_REPLACE]
    found = desk.broker.find(entry.id)
    assert isinstance(found, Found)
    assert found.order.quantity == 10


def test_two_changes_of_one_order_are_one_wait(desk: Desk) -> None:
    entry = desk.intent(IntentKind.ENTRY, BUY)
    desk.send(entry)
    changes = [desk.intent(IntentKind.REDUCE, BUY, quantity=less, target=entry.id, leg=less) for less in (8, 4)]
    assert desk.send(*changes) == 2
    assert [desk.life(one)[-1] for one in changes] == [OrderState.APPLIED] * 2
    assert desk.life(entry)[2:] == [OrderState.PENDING_REPLACE, OrderState.ACKNOWLEDGED]


# A second broker.


@pytest.fixture
def backup(desk: Desk, book: Book) -> Iterator[Line]:
    with backup_exchange(desk.platform, book) as made:
        yield made


def test_an_entry_goes_to_the_backup_when_it_has_certainly_not_left_for_the_primary(
    desk: Desk, book: Book, backup: Line
) -> None:
    entry = desk.intent(IntentKind.ENTRY, BUY)
    stop = desk.intent(IntentKind.STOP, SELL, type=OrderType.STOP, stop_price=Decimal(49), parent=entry.id)
    assert desk.send(entry, stop, broker=Line(broker=desk.broker, down=True), backup=backup) == 1
    assert exchange_orders(book.exchange_file) == []
    assert [row[0] for row in exchange_orders(backup_file(book))] == [entry.id, stop.id]
    lives = [[(event.state, event.venue) for event in desk.ledger.events(one.id)[:3]] for one in (entry, stop)]
    assert lives[0] == lives[1] == [(SENDING, "paper"), (OrderState.INTENDED, None), (SENDING, BACKUP)]
    # What changes it goes to where it is, whatever the primary could do.
    cancel = desk.intent(IntentKind.CANCEL, BUY, target=entry.id)
    assert desk.send(cancel, backup=backup) == 1
    assert desk.life(cancel) == [SENDING, OrderState.APPLIED]
    assert backup.open_orders() == ()


def test_what_neither_broker_has_taken_stands_as_intended_and_tries_the_primary_first_again(
    desk: Desk, book: Book, backup: Line
) -> None:
    entry = desk.intent(IntentKind.ENTRY, BUY)
    backup.down = True
    assert desk.send(entry, broker=Line(broker=desk.broker, down=True), backup=backup) == 0
    assert desk.life(entry)[-1] is OrderState.INTENDED
    backup.down = False
    assert desk.outbox(backup=backup).send([entry], desk.lease.ownership) == 1
    assert [row[0] for row in exchange_orders(book.exchange_file)] == [entry.id]
    assert backup.open_orders() == ()


@pytest.mark.parametrize("state", [OrderState.UNKNOWN, OrderState.REJECTED])
def test_what_the_primary_may_have_taken_or_has_refused_goes_to_nobody_else(
    desk: Desk, book: Book, backup: Line, state: OrderState
) -> None:
    loses: Literal["answer"] | None = "answer" if state is OrderState.UNKNOWN else None
    entry = desk.intent(IntentKind.ENTRY, BUY, quantity=10 if loses else 10_000_000)
    assert desk.send(entry, broker=Line(broker=desk.broker, loses=loses), backup=backup) == 1
    assert desk.life(entry) == [SENDING, state]
    assert exchange_orders(backup_file(book)) == []


def test_failing_over_on_an_unknown_outcome_would_make_a_double(
    desk: Desk, book: Book, backup: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "NotSent", NotSent | Unknown)
    entry = desk.intent(IntentKind.ENTRY, BUY)
    desk.send(entry, broker=Line(broker=desk.broker, loses="answer"), backup=backup)
    at_both = [row[0] for path in (book.exchange_file, backup_file(book)) for row in exchange_orders(path)]
    assert at_both == [entry.id, entry.id]


def test_the_owner_is_looked_at_before_the_backup_is_called(desk: Desk, book: Book, backup: Line) -> None:
    entry = desk.intent(IntentKind.ENTRY, BUY)

    class Losing(Line):
        def submit(self, order: Order, deadline: datetime) -> Answer:
            desk.lease.release()
            return super().submit(order, deadline)

    with pytest.raises(NotOwner):
        desk.send(entry, broker=Losing(broker=desk.broker, down=True), backup=backup)
    assert exchange_orders(backup_file(book)) == []


def test_an_exit_goes_to_where_the_holding_is_and_nowhere_else(desk: Desk, book: Book, backup: Line) -> None:
    entry = desk.intent(IntentKind.ENTRY, BUY)
    desk.send(entry, broker=Line(broker=desk.broker, down=True), backup=backup)
    pass_time(desk.platform, 3)
    fills = backup.executions(desk.platform.calendar.session(DAY).open)
    desk.ledger.book_executions(fills, {}, desk.platform.clock.now(), BACKUP)
    # The primary is there again, and the backup is not: the exit waits, and is not sold short elsewhere.
    backup.down = True
    sale = desk.intent(IntentKind.EXIT, SELL)
    assert desk.send(sale, backup=backup) == 0
    assert desk.life(sale) == [SENDING, OrderState.INTENDED]
    backup.down = False
    assert desk.outbox(backup=backup).send([sale], desk.lease.ownership) == 1
    assert exchange_orders(book.exchange_file) == []
    assert [row[2] for row in exchange_orders(backup_file(book))] == ["buy", "sell"]
