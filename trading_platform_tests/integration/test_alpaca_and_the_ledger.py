"""The outbox and reconcile on Alpaca: what was in doubt is settled by what Alpaca shows, and nothing is sent twice."""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from trading_platform.brokers.alpaca import AlpacaBroker
from trading_platform.brokers.alpaca_changes import AlpacaChanges
from trading_platform.brokers.alpaca_fills import AlpacaFills
from trading_platform.config.secrets import Secret
from trading_platform.domain.errors import TemporaryError
from trading_platform.domain.orders import IntentKind, OrderIntent, OrderState, OrderType, Side
from trading_platform.domain.reports import Acceptance, Break, ReconcileReport, Subject
from trading_platform.orders.reconcile import Reconciler
from trading_platform.orders.routing import Routes
from trading_platform_tests.sessions.books import Book, pass_time
from trading_platform_tests.sessions.desk import Desk
from trading_platform_tests.sessions.tape import DAY, TAPE, write_tape
from trading_platform_tests.vendors.alpaca.alpaca_amendments import amend
from trading_platform_tests.vendors.alpaca.alpaca_server import KEY, SECRET, Fault, Kind, LocalAlpaca, local_alpaca


@pytest.fixture
def desk(tmp_path: Path, fresh_database: Callable[[], str]) -> Iterator[Desk]:
    bars = write_tape(tmp_path / "bars", TAPE)
    book = Book(name="tape", database_url=fresh_database(), data_folder=tmp_path / "data", bars=bars)
    with book.open() as platform:
        platform.simulated_session(DAY).open()
        pass_time(platform, 1)
        with platform.ledger.take("job/local") as lease:
            yield Desk(platform, lease)


@pytest.fixture
def server(desk: Desk) -> Iterator[LocalAlpaca]:
    with local_alpaca(desk.platform.clock.now, cash=desk.ledger.opening_cash()) as server:
        server.book.prices["AAA"] = Decimal(50)
        yield server


@pytest.fixture
def connect(desk: Desk, server: LocalAlpaca) -> Iterator[Callable[..., AlpacaBroker]]:
    """Makes an adapter at each call, as a process that starts does; all are closed after the test."""
    made: list[AlpacaBroker] = []

    def make(**changes: Any) -> AlpacaBroker:
        options: dict[str, Any] = {"key": Secret(KEY), "secret": Secret(SECRET), "paper": True}
        made.append(AlpacaBroker(clock=desk.platform.clock, base_url=server.url, **(options | changes)))
        return made[-1]

    yield make
    for broker in made:
        broker.close()


@pytest.fixture
def broker(connect: Callable[..., AlpacaBroker]) -> AlpacaBroker:
    return connect()


def entering(desk: Desk) -> tuple[OrderIntent, OrderIntent]:
    entry = desk.intent(IntentKind.ENTRY, Side.BUY)
    stop = desk.intent(IntentKind.STOP, Side.SELL, type=OrderType.STOP, stop_price=Decimal(49), parent=entry.id)
    return entry, stop


def reconcile(desk: Desk, broker: AlpacaBroker) -> ReconcileReport:
    outbox = desk.outbox(broker, timedelta(seconds=4))
    reconciler = Reconciler(
        ledger=desk.ledger,
        routes=Routes(brokers=(broker,)),
        clock=desk.platform.clock,
        calendar=desk.platform.calendar,
        outbox=outbox,
    )
    return reconciler.run(desk.lease.ownership).report


@pytest.mark.parametrize("kind", [Kind.ACCEPT_THEN_STATUS, Kind.ACCEPT_THEN_DROP, Kind.ACCEPT_THEN_BABBLE])
def test_an_entry_in_doubt_is_found_with_its_stop_and_booked_once(
    desk: Desk, server: LocalAlpaca, broker: AlpacaBroker, kind: Kind
) -> None:
    entry, stop = entering(desk)
    server.arm(Fault(kind=kind))
    desk.send(entry, stop, broker=broker)
    assert desk.life(entry)[-1] is desk.life(stop)[-1] is OrderState.UNKNOWN
    assert reconcile(desk, broker).breaks == ()
    assert desk.life(entry)[-1] is desk.life(stop)[-1] is OrderState.ACKNOWLEDGED
    server.book.set_price("AAA", "50")
    assert reconcile(desk, broker).executions_booked == 1
    server.book.set_price("AAA", "48")
    again = reconcile(desk, broker)
    assert (again.executions_booked, again.breaks) == (1, ())
    assert reconcile(desk, broker).executions_booked == 0
    assert desk.life(entry)[-1] is desk.life(stop)[-1] is OrderState.FILLED
    assert (server.count("POST"), len(server.book.named(entry.id))) == (1, 1)


def test_an_entry_that_never_arrived_ends_with_its_stop(desk: Desk, server: LocalAlpaca, broker: AlpacaBroker) -> None:
    entry, stop = entering(desk)
    server.arm(Fault(kind=Kind.DROP))
    desk.send(entry, stop, broker=broker)
    assert reconcile(desk, broker).breaks == ()
    assert desk.life(entry)[-1] is desk.life(stop)[-1] is OrderState.UNKNOWN
    pass_time(desk.platform, 2)
    assert reconcile(desk, broker).breaks == ()
    assert desk.life(entry)[-1] is desk.life(stop)[-1] is OrderState.REJECTED
    assert server.book.orders == {}


def test_a_committed_entry_that_was_sent_before_the_process_died_is_not_sent_again(
    desk: Desk, server: LocalAlpaca, broker: AlpacaBroker
) -> None:
    entry, stop = entering(desk)
    desk.commit(entry, stop)
    server.book.place(
        {
            "client_order_id": f"{entry.id}~{stop.id}",
            "symbol": "AAA",
            "side": "buy",
            "type": "market",
            "qty": "10",
            "time_in_force": "day",
            "order_class": "oto",
            "stop_loss": {"stop_price": "49"},
        }
    )
    report = reconcile(desk, broker)
    assert (report.resent, report.breaks) == (0, ())
    assert desk.life(entry)[-1] is desk.life(stop)[-1] is OrderState.ACKNOWLEDGED
    assert server.count("POST") == 0


def test_a_committed_entry_that_was_never_sent_is_sent_once(
    desk: Desk, server: LocalAlpaca, broker: AlpacaBroker
) -> None:
    entry, stop = entering(desk)
    desk.commit(entry, stop)
    assert reconcile(desk, broker).resent == 1
    assert reconcile(desk, broker).resent == 0
    assert len(server.book.named(entry.id)) == 1


def test_what_a_partly_filled_entry_bought_is_protected_by_its_cancellation(
    desk: Desk, server: LocalAlpaca, broker: AlpacaBroker
) -> None:
    entry, stop = entering(desk)
    desk.send(entry, stop, broker=broker)
    server.book.set_price("AAA", "50", shares=4)
    assert reconcile(desk, broker).executions_booked == 1
    cancel = desk.intent(IntentKind.CANCEL, Side.BUY, target=entry.id)
    desk.send(cancel, broker=broker)
    assert desk.life(cancel)[-1] is OrderState.APPLIED
    assert reconcile(desk, broker).breaks == ()
    assert (desk.life(entry)[-1], desk.life(stop)[-1]) == (OrderState.CANCELLED, OrderState.ACKNOWLEDGED)
    assert server.book.on_offer("AAA") == 4
    server.book.set_price("AAA", "48")
    assert reconcile(desk, broker).breaks == ()
    assert server.book.held == {"AAA": 0}


@pytest.mark.parametrize("waits", [True, False], ids=["as it is", "control: absent is believed at once"])
def test_an_order_that_arrives_late_is_not_given_up_before(
    desk: Desk, server: LocalAlpaca, connect: Callable[..., AlpacaBroker], *, waits: bool
) -> None:
    broker = connect() if waits else connect(in_flight=timedelta(0))
    entry, stop = entering(desk)
    server.arm(Fault(kind=Kind.ARRIVE_LATE, seconds=0.8))
    desk.commit(entry, stop)
    desk.outbox(broker, timedelta(seconds=0.2)).send((entry, stop), desk.lease.ownership)
    assert desk.life(entry)[-1] is OrderState.UNKNOWN
    reconcile(desk, broker)
    assert desk.life(entry)[-1] is desk.life(stop)[-1] is (OrderState.UNKNOWN if waits else OrderState.REJECTED)
    time.sleep(1.0)
    report = reconcile(desk, broker)
    assert len(server.book.named(entry.id)) == 1
    # Given up, it would work at the broker as nobody's.
    assert bool(report.breaks) != waits
    assert desk.life(entry)[-1] is (OrderState.ACKNOWLEDGED if waits else OrderState.REJECTED)


# Two entries in one symbol, each with a stop and a target of its own.


def bracket(desk: Desk, leg: int, target: str) -> tuple[OrderIntent, OrderIntent, OrderIntent]:
    entry = desk.intent(IntentKind.ENTRY, Side.BUY, leg=leg)
    stop = desk.intent(
        IntentKind.STOP, Side.SELL, leg=leg, type=OrderType.STOP, stop_price=Decimal(49), parent=entry.id
    )
    limit = desk.intent(
        IntentKind.TARGET, Side.SELL, leg=leg, type=OrderType.LIMIT, limit_price=Decimal(target), parent=entry.id
    )
    return entry, stop, limit


def test_two_brackets_live_through_partial_fills_and_leave_nothing_open(
    desk: Desk, server: LocalAlpaca, broker: AlpacaBroker
) -> None:
    first, second = bracket(desk, 0, "51"), bracket(desk, 1, "52")
    desk.send(*first, *second, broker=broker)
    for price, shares, held, offered in (
        ("50", 14, 14, 10),
        ("50", 6, 20, 20),
        ("51", 4, 16, 16),
        ("51", 6, 10, 10),
        ("48.5", 3, 7, 7),
        ("48.5", 7, 0, 0),
    ):
        server.book.set_price("AAA", price, shares=shares)
        assert reconcile(desk, broker).breaks == ()
        assert (server.book.held["AAA"], server.book.on_offer("AAA")) == (held, offered)
    assert [desk.life(one)[-1] for one in (*first, *second)] == [
        OrderState.FILLED,
        OrderState.CANCELLED,
        OrderState.FILLED,
        OrderState.FILLED,
        OrderState.FILLED,
        OrderState.CANCELLED,
    ]
    assert desk.ledger.open_orders() == ()
    assert desk.ledger.holdings().cash == server.book.cash


class ProcessDied(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("heals", [True, False], ids=["as it is", "control: an ended entry is left as it is"])
def test_protection_that_a_crash_kept_from_being_placed_stands_after_the_next_start(
    desk: Desk,
    server: LocalAlpaca,
    connect: Callable[..., AlpacaBroker],
    monkeypatch: pytest.MonkeyPatch,
    *,
    heals: bool,
) -> None:
    if not heals:
        monkeypatch.setattr(AlpacaChanges, "_protect_what_was_left", lambda *_: None)
    dying = connect()
    first, second = bracket(desk, 0, "51"), bracket(desk, 1, "52")
    desk.send(*first, *second, broker=dying)
    server.book.set_price("AAA", "50", shares=14)
    reconcile(desk, dying)
    call = dying._line.call

    def die(method: str, *request: Any, **how: Any) -> Any:
        if method == "post":
            raise ProcessDied
        return call(method, *request, **how)  # type: ignore[arg-type]

    dying._line.call = die  # type: ignore[method-assign]
    cancel = desk.intent(IntentKind.CANCEL, Side.BUY, target=second[0].id)
    with pytest.raises(ProcessDied):
        desk.send(cancel, broker=dying)
    assert (server.book.held, server.book.on_offer("AAA")) == ({"AAA": 14}, 10)
    fresh = connect()
    assert reconcile(desk, fresh).breaks == ()
    assert desk.life(cancel)[-1] is OrderState.APPLIED
    assert desk.life(second[0])[-1] is OrderState.CANCELLED
    assert server.book.on_offer("AAA") == (14 if heals else 10)
    assert desk.life(second[1])[-1] is (OrderState.ACKNOWLEDGED if heals else OrderState.CANCELLED)
    server.book.set_price("AAA", "48")
    assert reconcile(desk, fresh).breaks == ()
    assert server.book.held == {"AAA": 0 if heals else 4}


# Trades that are corrected or busted afterwards.

TOLD = [
    pytest.param({"named": named, "word": word, "lowers_count": lowers}, id=f"{named}, {word}, {lowers}")
    for named in ("previous_id", "previous_execution_id")
    for word in ("type", "execution_type")
    for lowers in (True, False)
]


def agree(desk: Desk, server: LocalAlpaca) -> bool:
    """Whether ledger and venue have the same shares and the same cash."""
    held = {symbol: shares for symbol, shares in server.book.held.items() if shares}
    return (held, server.book.cash) == (
        {key[1]: one.quantity for key, one in desk.ledger.holdings().positions.items() if one.quantity},
        desk.ledger.holdings().cash,
    )


@pytest.mark.parametrize("told", TOLD)
def test_a_missed_fill_its_correction_and_its_bust_are_each_booked_once(
    desk: Desk, server: LocalAlpaca, connect: Callable[..., AlpacaBroker], told: dict[str, Any]
) -> None:
    entry = desk.intent(IntentKind.ENTRY, Side.BUY)
    desk.send(entry, broker=connect())
    server.book.set_price("AAA", "50")
    for booked in (1, 0):
        report = reconcile(desk, connect())
        assert (report.executions_booked, report.breaks) == (booked, ())
    corrected = amend(server.book, server.book.fills[0], quantity=8, price="49.50", **told)
    assert not agree(desk, server)
    for booked in (1, 0):
        report = reconcile(desk, connect())
        assert (report.executions_booked, report.breaks) == (booked, ())
        assert agree(desk, server)
    assert [(fill.quantity, fill.price) for fill in desk.ledger.fills()] == [(8, Decimal("49.50"))]
    amend(server.book, corrected, **told)
    for _ in range(2):
        report = reconcile(desk, connect())
        assert (report.executions_booked, report.breaks) == (0, ())
        assert agree(desk, server)
    assert (desk.ledger.fills(), server.book.cash) == ((), desk.ledger.opening_cash())


def test_a_fill_that_was_corrected_twice_and_busted_before_anybody_looked_leaves_nothing(
    desk: Desk, server: LocalAlpaca, broker: AlpacaBroker
) -> None:
    entry = desk.intent(IntentKind.ENTRY, Side.BUY)
    desk.send(entry, broker=broker)
    server.book.set_price("AAA", "50", shares=4)
    once = amend(server.book, server.book.fills[0], quantity=4, price="49")
    amend(server.book, amend(server.book, once, quantity=3))
    server.book.set_price("AAA", "50")
    for _ in range(2):
        assert reconcile(desk, broker).breaks == ()
        assert agree(desk, server)
    assert [fill.quantity for fill in desk.ledger.fills()] == [6]


@pytest.mark.parametrize("counts", [True, False], ids=["as it is", "control: the order's own count is believed"])
@pytest.mark.parametrize("lowers", [True, False], ids=["its count is lowered", "its count stays"])
def test_an_order_whose_fill_was_busted_ends_when_it_is_cancelled(
    desk: Desk,
    server: LocalAlpaca,
    broker: AlpacaBroker,
    monkeypatch: pytest.MonkeyPatch,
    *,
    lowers: bool,
    counts: bool,
) -> None:
    if not counts:
        monkeypatch.setattr(AlpacaFills, "amended", property(lambda _: frozenset()))
    entry = desk.intent(IntentKind.ENTRY, Side.BUY)
    desk.send(entry, broker=broker)
    server.book.set_price("AAA", "50", shares=4)
    reconcile(desk, broker)
    amend(server.book, server.book.fills[0], lowers_count=lowers)
    desk.send(desk.intent(IntentKind.CANCEL, Side.BUY, target=entry.id), broker=broker)
    assert reconcile(desk, broker).breaks == ()
    ended = desk.life(entry)[-1] is OrderState.CANCELLED
    assert ended == (counts or lowers)


def test_a_bust_that_does_not_say_of_what_is_a_break(desk: Desk, server: LocalAlpaca, broker: AlpacaBroker) -> None:
    entry = desk.intent(IntentKind.ENTRY, Side.BUY)
    desk.send(entry, broker=broker)
    server.book.set_price("AAA", "50")
    reconcile(desk, broker)
    amend(server.book, server.book.fills[0], named="")
    assert {one.symbol for one in reconcile(desk, broker).breaks} >= {"AAA", "*"}
    assert [fill.quantity for fill in desk.ledger.fills()] == [10]


def test_a_price_finer_than_can_be_recorded_is_booked_rounded(
    desk: Desk, server: LocalAlpaca, broker: AlpacaBroker
) -> None:
    entry = desk.intent(IntentKind.ENTRY, Side.BUY)
    desk.send(entry, broker=broker)
    server.book.set_price("AAA", "50.00005001")
    assert reconcile(desk, broker).executions_booked == 1
    (fill,) = desk.ledger.fills()
    assert (fill.quantity, fill.price) == (10, Decimal("50.0001"))
    # It agrees with what is told the next time, and the rest of the price is cash.
    (short,) = reconcile(desk, broker).breaks
    assert (short.subject, short.difference) == (Subject.CASH, Decimal("0.0004999"))


@pytest.mark.parametrize("price", ["NaN", "Infinity", "much"])
def test_a_price_that_is_no_number_is_no_answer(
    desk: Desk, server: LocalAlpaca, broker: AlpacaBroker, price: str
) -> None:
    entry = desk.intent(IntentKind.ENTRY, Side.BUY)
    desk.send(entry, broker=broker)
    server.book.set_price("AAA", "50")
    server.book.fills[0]["price"] = price
    with pytest.raises(TemporaryError, match="cannot be read"):
        reconcile(desk, broker)
    assert desk.ledger.fills() == ()


def test_a_busted_purchase_that_was_sold_since_is_a_break_until_a_person_accepts_it(
    desk: Desk, server: LocalAlpaca, broker: AlpacaBroker
) -> None:
    entry, stop = entering(desk)
    desk.send(entry, stop, broker=broker)
    server.book.set_price("AAA", "50")
    server.book.set_price("AAA", "48")
    assert reconcile(desk, broker).breaks == ()
    amend(server.book, server.book.fills[0])
    found = {one.subject: one for one in reconcile(desk, broker).breaks}
    sale = desk.ledger.fills()[0].execution_id
    assert {one.symbol for one in found.values()} == {"AAA"}
    assert (found[Subject.SALE].name, found[Subject.SALE].difference) == (sale, Decimal(-10))
    # The account is short, and the book holds nothing.
    assert (found[Subject.POSITION].difference, server.book.held["AAA"]) == (Decimal(-10), -10)
    # A person buys them back, at Alpaca, and accepts the rest.
    server.book.held["AAA"] = 0
    server.book.cash -= Decimal(490)
    found = {one.subject: one for one in reconcile(desk, broker).breaks}
    assert found.keys() == {Subject.SALE, Subject.CASH}
    accept(desk, found[Subject.SALE])
    (cash,) = reconcile(desk, broker).breaks
    assert (cash.subject, cash.difference) == (Subject.CASH, Decimal(-10))
    accept(desk, cash)
    assert reconcile(desk, broker).breaks == ()
    assert desk.ledger.fills() == ()


def accept(desk: Desk, found: Break) -> None:
    now = desk.platform.clock.now()
    desk.ledger.accept(
        Acceptance(
            venue=found.venue,
            subject=found.subject,
            name=found.name,
            difference=found.difference,
            who="ada",
            reason="bought back",
            at=now,
        )
    )


def test_a_trade_that_is_undone_without_a_word_is_a_break(
    desk: Desk, server: LocalAlpaca, broker: AlpacaBroker
) -> None:
    entry = desk.intent(IntentKind.ENTRY, Side.BUY)
    desk.send(entry, broker=broker)
    server.book.set_price("AAA", "50")
    reconcile(desk, broker)
    amend(server.book, server.book.fills[0])
    server.book.fills.pop()
    assert {one.symbol for one in reconcile(desk, broker).breaks} == {"AAA", "*"}
