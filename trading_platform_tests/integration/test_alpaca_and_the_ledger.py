"""The outbox and reconcile on Alpaca: what was in doubt is settled by what Alpaca shows, and nothing is sent twice."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from trading_platform.brokers.alpaca import AlpacaBroker
from trading_platform.config.secrets import Secret
from trading_platform.domain.orders import IntentKind, OrderIntent, OrderState, OrderType, Side
from trading_platform.domain.reports import ReconcileReport
from trading_platform.orders.reconcile import Reconciler
from trading_platform.orders.routing import Routes
from trading_platform_tests.sessions.books import Book, pass_time
from trading_platform_tests.sessions.desk import Desk
from trading_platform_tests.sessions.tape import DAY, TAPE, write_tape
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
def broker(desk: Desk, server: LocalAlpaca) -> Iterator[AlpacaBroker]:
    broker = AlpacaBroker(
        key=Secret(KEY), secret=Secret(SECRET), clock=desk.platform.clock, paper=True, base_url=server.url
    )
    yield broker
    broker.close()


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
