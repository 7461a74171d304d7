"""Conservation (rule 13): what leaves is never more, and nothing else, than what was decided and committed.

Each breach has its control: without the guard it reaches the exchange.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from trading_platform.bootstrap import Platform
from trading_platform.domain.clock import SimulatedClock
from trading_platform.domain.errors import ConservationBroken, Inconsistent
from trading_platform.domain.orders import (
    Accepted,
    AttachedStop,
    AttachedTarget,
    IntentKind,
    Order,
    OrderIntent,
    OrderState,
    OrderType,
    Side,
    TimeInForce,
)
from trading_platform.domain.reports import CycleReport
from trading_platform.ledger.ledger import Ledger
from trading_platform.orders import intents as making
from trading_platform.orders import outbox as sending
from trading_platform.orders.breaks import Comparison
from trading_platform_tests.sessions.books import Book, exchange_orders, go_on_until, pass_time, run_until
from trading_platform_tests.sessions.desk import SOON, Desk
from trading_platform_tests.sessions.tape import DAY, TAPE, write_tape

BUY, SELL = Side.BUY, Side.SELL
STOP = Decimal("49.0000")

Alter = Callable[[Any], Any]


@pytest.fixture
def book(tmp_path: Path, fresh_database: Callable[[], str]) -> Book:
    bars = write_tape(tmp_path / "bars", TAPE)
    return Book(name="tape", database_url=fresh_database(), data_folder=tmp_path / "data", bars=bars)


@pytest.fixture
def platform(book: Book) -> Iterator[Platform]:
    with book.open() as made:
        yield made


@pytest.fixture
def desk(platform: Platform) -> Iterator[Desk]:
    platform.simulated_session(DAY).open()
    pass_time(platform, 1)
    with platform.ledger.take("job/local") as lease:
        yield Desk(platform, lease)


class Recorder:
    """Takes every call and makes none: what would have left."""

    name = "paper"

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def submit(self, order: Order, _deadline: Any) -> Accepted:
        return self._taken("submit", order)

    def cancel(self, intent_id: str, _deadline: Any) -> Accepted:
        return self._taken("cancel", intent_id)

    def reduce(self, intent_id: str, quantity: int, _deadline: Any) -> Accepted:
        return self._taken("reduce", intent_id, quantity)

    def _taken(self, *call: Any) -> Accepted:
        self.calls.append(call)
        return Accepted(broker_order_id="b")


def altered(monkeypatch: pytest.MonkeyPatch, name: str, alter: Alter) -> None:
    """A fault of the platform between the commit and the call."""
    whole = getattr(sending, name)
    monkeypatch.setattr(sending, name, lambda *given: alter(whole(*given)))


def entry_with_stop(desk: Desk, symbol: str = "AAA") -> tuple[OrderIntent, OrderIntent]:
    entry = desk.intent(IntentKind.ENTRY, BUY, symbol)
    stop = desk.intent(IntentKind.STOP, SELL, symbol, type=OrderType.STOP, stop_price=STOP, parent=entry.id)
    return entry, stop


# Between the commit and the call.


ORDERS: dict[str, tuple[Alter, str]] = {
    "doubled": (lambda order: replace(order, quantity=20), "10 shares were committed and 20 would go out"),
    "one more": (lambda order: replace(order, quantity=11), "10 shares were committed and 11 would go out"),
    "side": (lambda order: replace(order, side=SELL), "committed with the side buy and would go out with sell"),
    "symbol": (lambda order: replace(order, symbol="BBB"), "with the symbol AAA and would go out with BBB"),
    "type": (lambda order: replace(order, type=OrderType.LIMIT), "with the type market and would go out with limit"),
    "limit": (lambda order: replace(order, limit_price=Decimal(99)), "the limit price None and would go out with 99"),
    "trigger": (lambda order: replace(order, stop_price=Decimal(99)), "the stop price None and would go out with 99"),
    "time": (
        lambda order: replace(order, time_in_force=TimeInForce.GTC),
        "the time in force day and would go out with gtc",
    ),
    "target": (
        lambda order: replace(
            order, attached_target=AttachedTarget(intent_id="tp-none", limit_price=Decimal("99.0000"))
        ),
        "the ledger has none of this id",
    ),
    "stop": (
        lambda order: replace(order, attached_stop=replace(order.attached_stop, stop_price=Decimal(1))),
        "was not committed as what would be attached",
    ),
    "stranger": (
        lambda order: replace(order, attached_stop=AttachedStop(intent_id="tp-none", stop_price=STOP)),
        "intent tp-none would go out, and the ledger has none of this id",
    ),
    "another's id": (lambda order: replace(order, intent_id="tp-none"), "the ledger has none of this id"),
    "the stop's id": (
        lambda order: replace(order, intent_id=order.attached_stop.intent_id, attached_stop=None),
        "would go out with buy",
    ),
}


@pytest.mark.parametrize("what", ORDERS)
def test_an_order_that_is_not_as_it_was_committed_does_not_leave(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    alter, said = ORDERS[what]
    entry, stop = entry_with_stop(desk)
    desk.commit(entry, stop)
    whole = sending._order(entry, [stop])
    altered(monkeypatch, "_order", alter)
    broker = Recorder()
    with pytest.raises(ConservationBroken, match=said):
        desk.outbox(broker).send([entry, stop], desk.lease.ownership)
    assert broker.calls == []
    assert desk.life(entry) == desk.life(stop) == []
    # The control: without the guard it leaves.
    monkeypatch.setattr(sending, "require_committed", lambda *_: None)
    desk.outbox(broker).send([entry, stop], desk.lease.ownership)
    assert broker.calls == [("submit", alter(whole))]


def test_without_the_guard_a_doubled_quantity_reaches_the_exchange(
    desk: Desk, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = desk.intent(IntentKind.ENTRY, BUY)
    desk.commit(entry)
    altered(monkeypatch, "_order", lambda order: replace(order, quantity=2 * order.quantity))
    with pytest.raises(ConservationBroken):
        desk.outbox().send([entry], desk.lease.ownership)
    assert exchange_orders(book.exchange_file) == []
    monkeypatch.setattr(sending, "require_committed", lambda *_: None)
    desk.outbox().send([entry], desk.lease.ownership)
    assert [(row[0], row[3]) for row in exchange_orders(book.exchange_file)] == [(entry.id, 20)]


CHANGES: dict[str, tuple[Alter, str]] = {
    "more left": (lambda change: replace(change, quantity=5), "was to leave 4 shares and would leave 5"),
    "another's": (lambda change: replace(change, target="tp-none"), "would change tp-none"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_that_is_not_as_it_was_committed_does_not_leave(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    alter, said = CHANGES[what]
    change = desk.intent(IntentKind.REDUCE, SELL, quantity=4, target="tp-stop")
    desk.commit(change)
    altered(monkeypatch, "_change_of", alter)
    broker = Recorder()
    with pytest.raises(ConservationBroken, match=said):
        desk.outbox(broker).send([change], desk.lease.ownership)
    assert broker.calls == []
    monkeypatch.setattr(sending, "require_committed", lambda *_: None)
    desk.outbox(broker).send([change], desk.lease.ownership)
    assert len(broker.calls) == 1


def test_nothing_of_a_cycle_leaves_where_one_order_is_wrong(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    right, wrong = (desk.intent(IntentKind.ENTRY, BUY, symbol) for symbol in ("AAA", "BBB"))
    desk.commit(right, wrong)
    altered(monkeypatch, "_order", lambda order: replace(order, quantity=11 if order.symbol == "BBB" else 10))
    broker = Recorder()
    with pytest.raises(ConservationBroken, match="BBB"):
        desk.outbox(broker).send([right, wrong], desk.lease.ownership)
    assert broker.calls == []


def test_what_was_sent_is_not_sent_again(desk: Desk, book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = desk.intent(IntentKind.ENTRY, BUY)
    desk.commit(entry)
    with pytest.raises(ConservationBroken, match="would go out twice"):
        desk.outbox().send([entry, entry], desk.lease.ownership)
    assert exchange_orders(book.exchange_file) == []
    desk.outbox().send([entry], desk.lease.ownership)
    with pytest.raises(ConservationBroken, match="would go out again: it is acknowledged"):
        desk.outbox().send([entry], desk.lease.ownership)
    assert len(exchange_orders(book.exchange_file)) == 1
    # The control: without the guard the ledger does not note it as leaving; without that, the exchange takes it again.
    monkeypatch.setattr(sending, "require_committed", lambda *_: None)
    with pytest.raises(Inconsistent, match="cannot become sending"):
        desk.outbox().send([entry], desk.lease.ownership)
    assert len(exchange_orders(book.exchange_file)) == 1
    monkeypatch.setattr(Ledger, "note_sending", lambda *_: None)
    with pytest.raises(Inconsistent, match="cannot become"):
        desk.outbox().send([entry], desk.lease.ownership)
    assert len(exchange_orders(book.exchange_file)) == 2


def test_what_was_not_committed_is_not_sent(desk: Desk, book: Book) -> None:
    entry = desk.intent(IntentKind.ENTRY, BUY)
    with pytest.raises(ConservationBroken, match="the ledger has none of this id"):
        desk.outbox().send([entry], desk.lease.ownership)
    # What was committed as ten is not sent as twelve, whoever hands it on.
    desk.commit(entry)
    with pytest.raises(ConservationBroken, match="10 shares were committed and 12 would go out"):
        desk.outbox().send([replace(entry, quantity=12)], desk.lease.ownership)
    assert exchange_orders(book.exchange_file) == []
    assert desk.outbox().send([entry], desk.lease.ownership) == 1


# Between the decision and the commit.


def doubling(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of the platform between the kernel and the commit."""

    def make(*given: Any) -> tuple[OrderIntent, ...]:
        return tuple(replace(intent, quantity=2 * intent.quantity) for intent in making.make_intents(*given))

    monkeypatch.setattr("trading_platform.engine.stages.make_intents", make)


def test_a_cycle_that_would_send_more_than_it_decided_records_and_sends_nothing(
    platform: Platform, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_until(platform, 0)
    doubling(monkeypatch)
    with pytest.raises(ConservationBroken, match="320 shares were decided and 640 would go out: enter timed_entry AAA"):
        go_on_until(platform, 1)
    assert len(platform.ledger.cycles(DAY)) == 1
    assert platform.ledger.orders() == ()
    assert exchange_orders(book.exchange_file) == []
    # The minute is not lost: without the fault it is decided as it would have been.
    monkeypatch.undo()
    go_on_until(platform, 1)
    assert [row[3] for row in exchange_orders(book.exchange_file) if row[2] == BUY] == [320, 320]


def test_without_the_guard_the_doubled_orders_reach_the_exchange(
    platform: Platform, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_until(platform, 0)
    doubling(monkeypatch)
    monkeypatch.setattr("trading_platform.engine.stages.require_decided", lambda *_: None)
    go_on_until(platform, 1)
    assert [row[3] for row in exchange_orders(book.exchange_file) if row[2] == BUY] == [640, 640]


# At the broker: what was sent by whomever, against what was intended.


def breaks(report: CycleReport) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in report.reconciled.breaks:
        found.setdefault(one.symbol, []).append(one.what)
    return found


def entered(platform: Platform, symbol: str) -> OrderIntent:
    return next(
        one.intent
        for one in platform.ledger.orders(DAY)
        if one.intent.symbol == symbol and one.intent.kind is IntentKind.ENTRY
    )


def send_behind_the_ledger(platform: Platform, intent: OrderIntent, quantity: int) -> None:
    order = Order(intent_id=intent.id, symbol=intent.symbol, side=intent.side, type=OrderType.MARKET, quantity=quantity)
    assert isinstance(platform.broker.submit(order, platform.clock.now() + SOON), Accepted)


def test_an_order_that_left_twice_is_a_break_while_it_works_and_after_it_has_filled(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_until(platform, 1)
    # AAA's order trickles in over several bars, BBB's fills at once: 320 shares each, and as many again.
    aaa, bbb = entered(platform, "AAA"), entered(platform, "BBB")
    for intent in (aaa, bbb):
        send_behind_the_ledger(platform, intent, 320)
    (report,) = go_on_until(platform, 2)
    assert breaks(report) == {
        "AAA": [f"order {aaa.id} works 2 times at the broker"],
        "BBB": [f"640 shares of order {bbb.id} were executed, 320 were intended"],
    }
    # It is one for as long as it is so.
    (report,) = go_on_until(platform, 3)
    assert "BBB" in breaks(report)
    # The control: positions, cash and ids agree, so nothing else sees it.
    monkeypatch.setattr(Comparison, "surplus", lambda _self, _views: ())
    (report,) = go_on_until(platform, 4)
    assert breaks(report) == {}


def test_an_order_that_is_larger_at_the_broker_is_a_break(
    platform: Platform, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_until(platform, 0)
    monkeypatch.setattr(sending, "require_committed", lambda *_: None)
    altered(monkeypatch, "_order", lambda order: replace(order, quantity=order.quantity + 80))
    go_on_until(platform, 1)
    aaa = entered(platform, "AAA")
    assert ("AAA", "buy", 400) in {row[1:4] for row in exchange_orders(book.exchange_file)}
    (report,) = go_on_until(platform, 2)
    assert f"order {aaa.id} is for 320 shares in the ledger and for 400 at the broker" in breaks(report)["AAA"]


def test_in_a_session_as_many_orders_leave_as_were_committed(platform: Platform, book: Book) -> None:
    run_until(platform, 13)
    intended = {one.intent.id: one for one in platform.ledger.orders(DAY) if one.intent.kind.is_order}
    rejected = {name for name, one in intended.items() if one.state is OrderState.REJECTED}
    at_exchange = [row[0] for row in exchange_orders(book.exchange_file)]
    assert sorted(at_exchange) == sorted(intended.keys() - rejected)
    assert sum(platform.ledger.orders_sent(DAY).values()) == sum(
        one.intent.parent is None for one in platform.ledger.orders(DAY)
    )


def test_an_order_is_overfilled_by_one_share_and_not_by_its_last(platform: Platform) -> None:
    run_until(platform, 2)
    assert platform.ledger.overfilled() == ()
    send_behind_the_ledger(platform, entered(platform, "BBB"), 1)
    go_on_until(platform, 3)
    (found,) = platform.ledger.overfilled()
    assert (found.symbol, found.quantity, found.filled) == ("BBB", 320, 321)


def test_more_than_was_intended_stays_a_break_over_days(platform: Platform) -> None:
    run_until(platform, 2)
    send_behind_the_ledger(platform, entered(platform, "BBB"), 1)
    (report,) = go_on_until(platform, 3)
    seen = breaks(report)
    assert list(seen) == ["BBB"]
    assert isinstance(platform.clock, SimulatedClock)
    # Nobody has looked at it, and no night, weekend or month ends it.
    for days in (1, 4, 30):
        platform.clock.advance_to(platform.calendar.session(DAY).close + timedelta(days=days))
        assert [one.what for one in platform.stages.recover().report.breaks] == seen["BBB"]


def test_without_the_databases_note_more_than_was_intended_is_not_seen(platform: Platform) -> None:
    run_until(platform, 2)
    with platform.ledger.engine.begin() as connection:
        connection.execute(sa.text("DROP TRIGGER fills_note_overfill ON fills"))
    send_behind_the_ledger(platform, entered(platform, "BBB"), 1)
    (report,) = go_on_until(platform, 3)
    assert breaks(report) == {}
