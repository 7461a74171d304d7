"""What is committed is sent in order, each answer is recorded before the next is sent, and only by the owner."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from trading_platform.domain.clock import SimulatedClock
from trading_platform.domain.errors import Inconsistent, NotOwner
from trading_platform.domain.orders import (
    Accepted,
    IntentKind,
    Order,
    OrderState,
    OrderType,
    Rejected,
    Side,
    Unknown,
)
from trading_platform.ledger.ledger import Ledger
from trading_platform.orders import outbox as sending
from trading_platform_tests.sessions.books import Book, exchange_orders, pass_time
from trading_platform_tests.sessions.desk import SOON, Desk
from trading_platform_tests.sessions.line import Line
from trading_platform_tests.sessions.tape import DAY, TAPE, write_tape

BUY, SELL = Side.BUY, Side.SELL


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
    assert desk.life(entry) == desk.life(stop) == [OrderState.ACKNOWLEDGED]
    assert desk.last(entry).broker_order_id == "tape-o1"
    # The venue names the stop itself; what it answered was the entry's name.
    assert desk.last(stop).broker_order_id is None


def test_each_answer_is_recorded_before_the_next_is_sent(desk: Desk) -> None:
    first, second = (desk.intent(IntentKind.ENTRY, BUY, symbol) for symbol in ("AAA", "BBB"))

    class Looking(Line):
        def submit(self, order: Order, deadline: Any) -> Accepted | Rejected | Unknown:
            lives.append((desk.life(first), desk.life(second)))
            return super().submit(order, deadline)

    lives: list[tuple[list[OrderState], list[OrderState]]] = []
    assert desk.send(first, second, broker=Looking(broker=desk.broker)) == 2
    assert lives == [([], []), ([OrderState.ACKNOWLEDGED], [])]


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
        (-60, [OrderState.ACKNOWLEDGED], ""),
        (-1, [OrderState.REJECTED], "no minute of the session is left to fill a day order"),
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
    assert desk.life(less) == desk.life(none) == [OrderState.APPLIED]
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
    # The control: without the look at the lease it would have been sent.
    monkeypatch.setattr(Ledger, "ensure_owner", lambda _self, _ownership: None)
    desk.outbox().send([entry], held)
    assert len(exchange_orders(book.exchange_file)) == 1


def test_the_book_is_looked_at_before_each_order(desk: Desk, book: Book) -> None:
    first, second = (desk.intent(IntentKind.ENTRY, BUY, symbol) for symbol in ("AAA", "BBB"))

    class Losing(Line):
        def submit(self, order: Order, deadline: Any) -> Accepted | Rejected | Unknown:
            desk.lease.release()
            return super().submit(order, deadline)

    with pytest.raises(NotOwner):
        desk.send(first, second, broker=Losing(broker=desk.broker))
    assert [row[0] for row in exchange_orders(book.exchange_file)] == [first.id]
    # The answer to what was sent is recorded all the same: it is a fact.
    assert (desk.life(first), desk.life(second)) == ([OrderState.ACKNOWLEDGED], [])
