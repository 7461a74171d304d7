"""The outbox and reconcile on Interactive Brokers: doubts, corrections, fees that stay away, and nights in between."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from trading_platform.brokers import ibkr_views
from trading_platform.brokers.ibkr import IbkrBroker
from trading_platform.brokers.ibkr_budget import MessageBudget
from trading_platform.brokers.ibkr_executions import TwsExecution, told
from trading_platform.domain.clock import SimulatedClock
from trading_platform.domain.orders import Execution, IntentKind, OrderIntent, OrderState, OrderType, Side
from trading_platform.domain.reports import Acceptance, Break, ReconcileReport, Subject
from trading_platform.orders.breaks import ACCOUNT as WHOLE_ACCOUNT
from trading_platform.orders.reconcile import Reconciler
from trading_platform.orders.routing import Routes
from trading_platform_tests.sessions.books import Book, pass_time
from trading_platform_tests.sessions.desk import Desk
from trading_platform_tests.sessions.tape import DAY, TAPE, write_tape
from trading_platform_tests.vendors.tws.server import ACCOUNT, Kind, LocalTws
from trading_platform_tests.vendors.tws.venue import CLIENT, QUICK

SETTLE = timedelta(seconds=5)
SOON = timedelta(seconds=0.3)


class Room:
    """A desk whose only broker is a local TWS, and the process that stands between them."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.ledger = desk, desk.ledger
        assert isinstance(desk.platform.clock, SimulatedClock)
        self.clock = desk.platform.clock
        self.tws = LocalTws(self.clock)
        self.tws.exchange.cash = desk.ledger.opening_cash()
        self.tws.exchange.prices["AAA"] = Decimal(50)
        self.broker = self.opened()

    def opened(self) -> IbkrBroker:
        return IbkrBroker(
            host="127.0.0.1",
            port=self.tws.port,
            client_id=CLIENT,
            account=ACCOUNT,
            paper=True,
            clock=self.clock,
            patience=QUICK,
            budget=MessageBudget(most=100_000, for_questions=100_000),
            settle=SETTLE,
        )

    def restart(self) -> None:
        self.broker.close()
        self.broker = self.opened()

    def entering(self, leg: int = 0, *, target: str | None = None) -> tuple[OrderIntent, ...]:
        entry = self.desk.intent(IntentKind.ENTRY, Side.BUY, leg=leg)
        stop = self.desk.intent(
            IntentKind.STOP, Side.SELL, leg=leg, type=OrderType.STOP, stop_price=Decimal(49), parent=entry.id
        )
        if target is None:
            return entry, stop
        sale = self.desk.intent(
            IntentKind.TARGET, Side.SELL, leg=leg, type=OrderType.LIMIT, limit_price=Decimal(target), parent=entry.id
        )
        return entry, stop, sale

    def send(self, *intents: OrderIntent, deadline: timedelta = timedelta(seconds=4)) -> None:
        self.desk.send(*intents, broker=self.broker, deadline=deadline)

    def reconcile(self) -> ReconcileReport:
        reconciler = Reconciler(
            ledger=self.ledger,
            routes=Routes(brokers=(self.broker,)),
            clock=self.clock,
            calendar=self.desk.platform.calendar,
            outbox=self.desk.outbox(self.broker),
        )
        return reconciler.run(self.desk.lease.ownership).report

    def breaks(self) -> tuple[Break, ...]:
        return self.reconcile().breaks

    def accept(self, found: Break) -> None:
        self.ledger.accept(
            Acceptance(
                venue=found.venue,
                subject=found.subject,
                name=found.name,
                difference=found.difference,
                who="a person",
                reason="looked it up",
                at=self.clock.now(),
            )
        )

    def trade(self, price: str, volume: int = 1000) -> None:
        self.tws.trade("AAA", price, volume)

    def correct(self, **changes: Any) -> None:
        with self.tws.lock:
            word = self.tws.exchange.correct(self.tws.exchange.executions[-1], **changes)
        self.tws.tell_again(word)

    def wait(self, passed: timedelta) -> None:
        self.clock.advance_to(self.clock.now() + passed)

    def night(self) -> None:
        """The process ends, and the session after it; TWS forgets the day, and a new process comes."""
        self.broker.close()
        with self.tws.lock:
            self.tws.exchange.end_of_day()
            self.tws.exchange.night()
        self.clock.advance_to(self.desk.platform.calendar.session(DAY).open + timedelta(days=1, minutes=1))
        self.tws.requests.clear()
        self.broker = self.opened()
        self.wait(SETTLE)

    @property
    def held(self) -> int:
        return sum(fill.quantity if fill.side is Side.BUY else -fill.quantity for fill in self.ledger.fills())


@pytest.fixture
def room(tmp_path: Path, fresh_database: Callable[[], str]) -> Iterator[Room]:
    bars = write_tape(tmp_path / "bars", TAPE)
    book = Book(name="tape", database_url=fresh_database(), data_folder=tmp_path / "data", bars=bars)
    with book.open() as platform:
        platform.simulated_session(DAY).open()
        pass_time(platform, 1)
        with platform.ledger.take("job/local") as lease:
            made = Room(Desk(platform, lease))
            yield made
            made.broker.close()
            made.tws.close()


# In doubt.


@pytest.mark.parametrize("kind", [Kind.SILENT, Kind.DROP_AFTER, Kind.HELD])
def test_an_entry_in_doubt_is_found_with_its_legs_and_booked_once(room: Room, kind: Kind) -> None:
    intents = room.entering(target="51")
    room.tws.fault("place", kind, ref=intents[1].id)
    room.send(*intents, deadline=SOON)
    assert {room.desk.life(one)[-1] for one in intents} == {OrderState.UNKNOWN}
    room.restart()
    assert room.breaks() == ()
    assert {room.desk.life(one)[-1] for one in intents} == {OrderState.ACKNOWLEDGED}
    room.trade("50", 4)
    assert (room.reconcile().executions_booked, room.held) == (1, 4)
    room.trade("50")
    room.trade("51")
    assert (room.breaks(), room.held) == ((), 0)
    assert [room.desk.life(one)[-1] for one in intents] == [OrderState.FILLED, OrderState.CANCELLED, OrderState.FILLED]
    assert len(room.tws.exchange.orders) == 3


def test_an_entry_that_never_arrived_ends_only_once_it_cannot_arrive_any_more(room: Room) -> None:
    entry, stop = room.entering()
    room.tws.fault("place", Kind.LATE_EFFECT, ref=entry.id)
    room.send(entry, stop, deadline=SOON)
    room.restart()
    assert room.breaks() == ()
    assert room.desk.life(entry)[-1] is room.desk.life(stop)[-1] is OrderState.UNKNOWN
    room.wait(SETTLE)
    assert room.breaks() == ()
    assert room.desk.life(entry)[-1] is room.desk.life(stop)[-1] is OrderState.REJECTED
    assert room.tws.exchange.orders == []


def test_an_entry_whose_stop_never_arrived_buys_nothing_and_can_be_cancelled(room: Room) -> None:
    entry, stop = room.entering()
    room.tws.fault("place", Kind.DROP_BEFORE, ref=stop.id)
    room.send(entry, stop, deadline=SOON)
    room.restart()
    room.wait(SETTLE)
    room.trade("50")
    assert room.breaks() == ()
    assert (room.desk.life(entry)[-1], room.desk.life(stop)[-1]) == (OrderState.ACKNOWLEDGED, OrderState.REJECTED)
    room.send(room.desk.intent(IntentKind.CANCEL, Side.BUY, target=entry.id))
    assert (room.breaks(), room.held) == ((), 0)
    assert room.desk.life(entry)[-1] is OrderState.CANCELLED
    assert room.tws.exchange.open_orders == []


def test_while_tws_is_away_an_order_stands_as_committed_and_goes_out_once_when_it_is_back(room: Room) -> None:
    entry, stop = room.entering()
    room.tws.say(1100, "Connectivity has been lost")
    while room.broker.is_connected:
        time.sleep(0.005)
    room.send(entry, stop)
    assert room.desk.life(entry)[-1] is OrderState.INTENDED
    assert room.desk.last(entry).detail == "TWS has lost its link to the venue"
    assert room.tws.exchange.orders == []
    room.restart()
    room.wait(SETTLE)
    assert room.reconcile().resent == 1
    assert room.reconcile().resent == 0
    assert len(room.tws.exchange.of(entry.id)) == 1


def test_a_status_that_no_table_has_is_told_and_holds_nothing_back(room: Room) -> None:
    entry, stop = room.entering()
    room.send(entry, stop)
    with room.tws.lock:
        room.tws.exchange.of(entry.id)[0].status = "Pondering"
    report = room.reconcile()
    assert report.breaks == ()
    assert report.oddities == (f"order {entry.id} has the status 'Pondering' at ibkr",)


# Corrections.

CORRECTED = {
    "seen at once": ["fill", "book", "correct", "book"],
    "seen by the next process": ["fill", "book", "correct", "restart", "book"],
    "before anything is booked": ["fill", "correct", "restart", "book"],
    "twice at once": ["fill", "book", "correct", "correct", "book"],
    "twice, and only the last is heard": ["fill", "book", "correct", "correct", "restart", "book"],
    "twice, and nothing was booked before": ["fill", "correct", "correct", "restart", "book"],
    "twice, in two processes": ["fill", "book", "correct", "book", "correct", "restart", "book"],
    "undone": ["fill", "book", "bust", "book"],
    "undone before anything is booked": ["fill", "bust", "restart", "book"],
    "corrected and undone": ["fill", "book", "correct", "bust", "restart", "book"],
    "undone and brought back": ["fill", "book", "bust", "book", "correct", "book"],
}


@pytest.mark.parametrize("steps", CORRECTED.values(), ids=CORRECTED.keys())
def test_what_tws_corrects_is_booked_as_it_stands(room: Room, steps: list[str]) -> None:
    entry, stop = room.entering()
    room.send(entry, stop)
    price, shares = Decimal(50), 10
    for step in [*steps, "book", "restart", "book"]:
        if step == "fill":
            room.trade("50")
        elif step == "correct":
            price, shares = price + Decimal("0.01"), 10
            room.correct(price=price, shares=shares)
        elif step == "bust":
            shares = 0
            room.correct(shares=shares, commission=Decimal(0))
        elif step == "restart":
            room.restart()
        elif step == "book":
            assert [one for one in room.breaks() if one.subject is not Subject.CASH] == []
            assert room.held == room.tws.exchange.positions["AAA"]
    assert [(fill.quantity, fill.price) for fill in room.ledger.fills()] == ([(shares, price)] if shares else [])
    assert len(room.tws.exchange.of(entry.id)) == 1


def test_a_correction_that_is_told_as_one_more_execution_is_held_twice(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    def alone(words: Sequence[TwsExecution], fee_of: Callable[[TwsExecution], Decimal | None]) -> list[Execution]:
        return [replace(one, corrects=None) for one in told(words, fee_of)][-1:]

    monkeypatch.setattr(ibkr_views, "told", alone)
    entry, stop = room.entering()
    room.send(entry, stop)
    room.trade("50")
    room.breaks()
    room.correct(price=Decimal("50.01"))
    assert [one.what for one in room.breaks() if one.subject is Subject.POSITION] == [
        "20 shares in the ledger, 10 at the broker"
    ]


# In which order.


def test_what_was_bought_and_stopped_out_within_a_second_is_flat(room: Room) -> None:
    entry, stop = room.entering()
    room.send(entry, stop)
    room.broker.close()
    room.trade("50")
    room.trade("48")
    exchange = room.tws.exchange
    purchase, sale = exchange.executions
    assert (purchase.action, sale.action, sale.time) == ("BUY", "SELL", purchase.time)
    # TWS's ids of executions do not rise with time.
    for listed in (exchange.executions, exchange.executed_today):
        listed[:] = [
            replace(purchase, execution_id=sale.execution_id),
            replace(sale, execution_id=purchase.execution_id),
        ]
    room.restart()
    assert [one.side for one in room.broker.executions(room.clock.now() - timedelta(days=1))] == [Side.BUY, Side.SELL]
    assert room.breaks() == ()
    assert [fill.side for fill in room.ledger.fills()] == [Side.BUY, Side.SELL]
    assert {one.quantity for one in room.ledger.holdings().positions.values()} == {0}
    assert room.ledger.holdings().uncovered == ()


def test_part_of_a_share_freezes_its_symbol_and_stops_nothing_else(room: Room) -> None:
    entry, stop = room.entering()
    room.send(entry, stop)
    room.trade("50")
    room.tws.exchange.positions["AAA"] = Decimal("10.5")  # type: ignore[assignment]
    report = room.reconcile()
    assert [(one.symbol, one.subject, one.difference) for one in report.breaks] == [
        ("AAA", Subject.POSITION, Decimal(1))
    ]
    assert report.oddities == ("the account at TWS holds 10.5 AAA, shown here as 11: parts of shares are not traded",)


# Fees.


def test_an_execution_whose_fee_never_comes_is_booked_without_it_and_the_cash_shows_it(room: Room) -> None:
    entry, stop = room.entering()
    room.send(entry, stop)
    room.tws.holds_commissions = True
    room.trade("50")
    (waiting,) = [one for one in room.breaks() if one.subject is Subject.POSITION]
    assert (waiting.what, room.held) == ("0 shares in the ledger, 10 at the broker", 0)
    room.wait(timedelta(minutes=1))
    (short,) = room.breaks()
    assert (short.subject, short.name, short.difference) == (Subject.CASH, WHOLE_ACCOUNT, Decimal(-1))
    assert room.held == 10
    room.accept(short)
    assert room.breaks() == ()


def test_a_fee_that_comes_after_the_booking_is_a_break_until_a_person_accepts_it(room: Room) -> None:
    entry, stop = room.entering()
    room.send(entry, stop)
    room.tws.holds_commissions = True
    room.trade("50")
    room.breaks()
    room.wait(timedelta(minutes=1))
    room.breaks()
    room.tws.release_commissions()
    found = room.breaks()
    assert {one.subject for one in found} == {Subject.EXECUTION, Subject.CASH}
    assert [one.what for one in found if one.subject is Subject.EXECUTION] == [
        f"execution {room.ledger.fills()[0].execution_id} is not as it was booked"
    ]
    for one in found:
        room.accept(one)
    assert room.breaks() == ()


# A later day.


def positions_and_cash(found: tuple[Break, ...]) -> dict[Subject, Break]:
    return {one.subject: one for one in found}


def test_what_an_order_in_doubt_filled_on_an_earlier_day_freezes_its_symbol_until_a_person_accepts(room: Room) -> None:
    entry, stop = room.entering()
    room.tws.fault("place", Kind.SILENT, ref=stop.id)
    room.send(entry, stop, deadline=SOON)
    assert room.desk.life(entry)[-1] is OrderState.UNKNOWN
    room.broker.close()
    room.trade("50")
    room.night()
    found = positions_and_cash(room.breaks())
    assert (found[Subject.POSITION].symbol, found[Subject.POSITION].what, found[Subject.POSITION].difference) == (
        "AAA",
        "0 shares in the ledger, 10 at the broker",
        Decimal(10),
    )
    assert found[Subject.CASH].difference == Decimal(-501)
    assert room.desk.life(entry)[-1] is room.desk.life(stop)[-1] is OrderState.EXPIRED
    assert room.desk.last(entry).detail == "its session is over, and the broker tells nothing of it any more"
    assert {one.subject for one in room.breaks()} == {Subject.POSITION, Subject.CASH}
    for one in found.values():
        room.accept(one)
    assert room.breaks() == ()
    assert "place" not in room.tws.requests
    # What was accepted is this difference alone.
    with room.tws.lock:
        room.tws.exchange.positions["AAA"] = 11
    assert [one.subject for one in room.breaks()] == [Subject.POSITION]


def test_what_an_open_order_filled_while_nobody_looked_is_a_break_on_the_next_day(room: Room) -> None:
    entry, stop = room.entering()
    room.send(entry, stop)
    room.trade("50", 4)
    assert (room.breaks(), room.held) == ((), 4)
    room.broker.close()
    room.trade("50", 3)
    room.night()
    found = positions_and_cash(room.breaks())
    assert found[Subject.POSITION].what == "4 shares in the ledger, 7 at the broker"
    assert room.desk.life(entry)[-1] is room.desk.life(stop)[-1] is OrderState.EXPIRED
    for one in found.values():
        room.accept(one)
    assert room.breaks() == ()
    assert "place" not in room.tws.requests


def test_an_open_order_that_did_nothing_overnight_ends_without_a_break(room: Room) -> None:
    entry, stop = room.entering()
    room.send(entry, stop)
    room.night()
    assert room.breaks() == ()
    assert room.desk.life(entry)[-1] is room.desk.life(stop)[-1] is OrderState.EXPIRED
    assert "place" not in room.tws.requests


def test_what_was_committed_on_an_earlier_day_is_not_sent(room: Room) -> None:
    entry, stop = room.entering()
    room.desk.commit(entry, stop)
    room.night()
    report = room.reconcile()
    assert (report.resent, report.breaks) == (0, ())
    assert room.desk.life(entry)[-1] is room.desk.life(stop)[-1] is OrderState.EXPIRED
    assert "place" not in room.tws.requests


# Two brackets of one symbol.


def test_legs_that_tws_lets_go_with_their_entry_protect_on_as_the_same_orders(room: Room) -> None:
    room.tws.exchange.legs_go_with_entry = True
    entry, stop, target = room.entering(target="51")
    room.send(entry, stop, target)
    room.trade("50", 6)
    assert (room.breaks(), room.held) == ((), 6)
    room.send(room.desk.intent(IntentKind.CANCEL, Side.BUY, target=entry.id))
    room.restart()
    assert room.breaks() == ()
    assert [room.desk.life(one)[-1] for one in (entry, stop, target)] == [
        OrderState.CANCELLED,
        OrderState.ACKNOWLEDGED,
        OrderState.ACKNOWLEDGED,
    ]
    room.trade("51", 2)
    assert (room.breaks(), room.held, room.tws.exchange.on_offer("AAA")) == ((), 4, 4)
    room.trade("49")
    assert (room.breaks(), room.held, room.tws.exchange.open_orders) == ((), 0, [])


def test_legs_that_went_unseen_are_not_believed_to_protect(room: Room) -> None:
    """The next cycle protects what is held anew: it sees that nothing does."""
    room.tws.exchange.legs_go_with_entry = True
    entry, stop = room.entering()
    room.send(entry, stop)
    room.trade("50", 6)
    room.breaks()
    room.tws.fault("cancel", Kind.DROP_AFTER)
    room.send(room.desk.intent(IntentKind.CANCEL, Side.BUY, target=entry.id))
    room.restart()
    assert room.breaks() == ()
    assert room.desk.life(entry)[-1] is room.desk.life(stop)[-1] is OrderState.CANCELLED
    assert room.tws.exchange.on_offer("AAA") == 0


def test_two_brackets_in_doubt_are_each_found_with_what_they_filled(room: Room) -> None:
    near, far = room.entering(0, target="51"), room.entering(1, target="52")
    room.send(*near)
    room.tws.fault("place", Kind.DROP_AFTER, ref=far[1].id)
    room.send(*far, deadline=SOON)
    assert room.desk.life(far[0])[-1] is OrderState.UNKNOWN
    room.restart()
    assert room.breaks() == ()
    for price, volume, held in (("50", 15, 15), ("51", 4, 11), ("50", 5, 16), ("51", 6, 10), ("49", 3, 7)):
        room.trade(price, volume)
        room.restart()
        assert (room.breaks(), room.held) == ((), held)
        assert room.tws.exchange.on_offer("AAA") == held
    room.trade("49")
    assert (room.breaks(), room.held, room.tws.exchange.open_orders) == ((), 0, [])
    assert len(room.tws.exchange.orders) == 6
