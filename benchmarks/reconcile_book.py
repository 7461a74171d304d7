"""One reconcile of a book with a past: 10,000 ended orders with their fills, and 200 that work, beside plain reads.

The book is on a PostgreSQL server of its own with fsync. The broker answers from memory, so that what is timed is the
platform's part: it shows 200 open orders and the last day's executions, and agrees with the ledger to the cent. The
plain read fetches the book's intents, events and fills once, without making anything of them; what the past costs is
told by the same reconcile of a book with the same 200 orders and none. The three alternate.

    python benchmarks/reconcile_book.py [--orders 10000] [--rounds 30]
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import sqlalchemy as sa

from trading_platform.brokers.broker import Capabilities
from trading_platform.brokers.paper import CAPABILITIES
from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.domain.clock import SimulatedClock
from trading_platform.domain.ids import intent_id
from trading_platform.domain.lifecycle import step
from trading_platform.domain.orders import (
    Absent,
    BrokerOrder,
    Execution,
    Found,
    IntentKind,
    OrderEvent,
    OrderIntent,
    OrderState,
    OrderType,
    Side,
    TimeInForce,
)
from trading_platform.ledger.embedded import LocalServer
from trading_platform.ledger.ledger import Ledger
from trading_platform.ledger.migrate import upgrade
from trading_platform.ledger.ownership import Lease
from trading_platform.orders.outbox import Outbox
from trading_platform.orders.reconcile import Reconciler
from trading_platform.orders.routing import Routes

LAST_DAY = date(2024, 6, 12)
A_DAYS_ORDERS, WORKING, SYMBOLS = 500, 200, 50
CASH, FEE = Decimal(10_000_000), Decimal("1.00")
PLAIN = (
    "SELECT * FROM intents WHERE book = '{book}'",
    "SELECT order_events.* FROM order_events JOIN intents ON intents.id = intent_id WHERE book = '{book}'",
    "SELECT * FROM fills WHERE book = '{book}'",
)


class Venue:
    """A broker that knows what it was told, and answers from memory."""

    name = "paper"
    oddities = ()

    def __init__(self) -> None:
        self.working: dict[str, BrokerOrder] = {}
        self.executed: list[Execution] = []
        self.money = CASH

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    def open_orders(self) -> tuple[BrokerOrder, ...]:
        return tuple(self.working.values())

    def executions(self, since: datetime) -> tuple[Execution, ...]:
        return tuple(one for one in self.executed if one.time >= since)

    def positions(self) -> Mapping[str, int]:
        return {}

    def cash(self) -> Decimal:
        return self.money

    def find(self, intent_id: str) -> Found | Absent:
        return Found(order=self.working[intent_id]) if intent_id in self.working else Absent()


class Book:
    """A book with so many ended orders, half of them entries and half their exits, and those that work."""

    def __init__(self, url: str, name: str, ended: int) -> None:
        self.ledger = Ledger(url, book=name)
        self.calendar = ExchangeCalendar()
        self.venue = Venue()
        self.ledger.open_book(CASH, self.calendar.session(LAST_DAY).open)
        days = [LAST_DAY]
        while len(days) * A_DAYS_ORDERS < ended:
            days.append(self.calendar.previous(days[-1]).day)
        with self.ledger.take("job/bench") as lease:
            for day in reversed(days):
                self.ledger.open_session(day, {}, self.calendar.session(day).open)
                if ended:
                    self._trade(day, lease)
            self._work(lease)
        self.ownership = lease.ownership
        clock = SimulatedClock(self.calendar.session(LAST_DAY).close - timedelta(minutes=1))
        routes = Routes(brokers=(self.venue,))  # type: ignore[arg-type]  # nothing is sent here
        outbox = Outbox(
            ledger=self.ledger, routes=routes, clock=clock, calendar=self.calendar, deadline=timedelta(seconds=4)
        )
        self.reconciler = Reconciler(
            ledger=self.ledger, routes=routes, clock=clock, calendar=self.calendar, outbox=outbox
        )

    def reconcile(self) -> None:
        report = self.reconciler.run(self.ownership).report
        assert (report.breaks, report.closed, report.executions_booked) == ((), 0, 0), report

    def plain(self) -> None:
        with self.ledger.engine.connect() as connection:
            cursor = connection.connection.cursor()
            for statement in PLAIN:
                cursor.execute(statement.format(book=self.ledger.book))
                cursor.fetchall()

    def _trade(self, day: date, lease: Lease) -> None:
        lease.renew()
        opens = self.calendar.session(day).open
        for start in range(0, A_DAYS_ORDERS // 2, SYMBOLS):
            entries = [self._intent(opens, start // SYMBOLS, n, IntentKind.ENTRY) for n in range(SYMBOLS)]
            exits = [self._intent(opens, start // SYMBOLS, n, IntentKind.EXIT) for n in range(SYMBOLS)]
            self.ledger.record_intents(day, [*entries, *exits], lease.ownership)
            made = [self._execution(one, f"{day}-{one.id}") for one in (*entries, *exits)]
            events = [
                OrderEvent(intent_id=one.id, state=state, at=opens, venue=venue)
                for one in (*entries, *exits)
                for state, venue in ((OrderState.SENDING, "paper"), (OrderState.ACKNOWLEDGED, None))
            ]
            self.ledger.append_events(events)
            filled = {
                one.execution_id: step(one.intent_id, OrderState.ACKNOWLEDGED, OrderState.FILLED, at=one.time)
                for one in made
            }
            self.ledger.book_executions(made, filled, opens)
            self.venue.executed += made
            self.venue.money -= len(made) * FEE

    def _work(self, lease: Lease) -> None:
        opens = self.calendar.session(LAST_DAY).open
        intents = [self._intent(opens, 100 + n // SYMBOLS, n % SYMBOLS, IntentKind.ENTRY) for n in range(WORKING)]
        self.ledger.record_intents(LAST_DAY, intents, lease.ownership)
        for state, venue in ((OrderState.SENDING, "paper"), (OrderState.ACKNOWLEDGED, None)):
            self.ledger.append_events(
                [OrderEvent(intent_id=one.id, state=state, at=opens, venue=venue) for one in intents]
            )
        self.venue.working = {
            one.id: BrokerOrder(
                intent_id=one.id,
                broker_order_id=one.id,
                symbol=one.symbol,
                side=one.side,
                type=one.type,
                time_in_force=TimeInForce.DAY,
                quantity=one.quantity,
                filled=0,
                state=OrderState.ACKNOWLEDGED,
            )
            for one in intents
        }

    def _intent(self, opens: datetime, minute: int, number: int, kind: IntentKind) -> OrderIntent:
        start = opens + timedelta(minutes=minute)
        symbol = f"SYM{number}"
        entering = kind is IntentKind.ENTRY
        return OrderIntent(
            id=intent_id(
                book=self.ledger.book, strategy="s", symbol=symbol, bar_time=start, kind=kind, leg=0, attempt=0
            ),
            book=self.ledger.book,
            strategy="s",
            symbol=symbol,
            bar_time=start,
            kind=kind,
            leg=0,
            attempt=0,
            side=Side.BUY if entering else Side.SELL,
            type=OrderType.MARKET,
            quantity=100,
        )

    def _execution(self, intent: OrderIntent, name: str) -> Execution:
        # The exit a moment after the entry of its minute.
        later = timedelta(seconds=60 if intent.side is Side.BUY else 90)
        return Execution(
            execution_id=name,
            broker_order_id=name,
            intent_id=intent.id,
            symbol=intent.symbol,
            side=intent.side,
            quantity=100,
            price=Decimal("50.00"),
            fee=FEE,
            time=intent.bar_time + later,
        )


def milliseconds(work: Callable[[], None]) -> float:
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1e3


def line(name: str, taken: Sequence[float]) -> None:
    print(f"{name:52} median {statistics.median(taken):8.1f} ms   worst {max(taken):8.1f} ms")


def statements(engine: sa.Engine, work: Callable[[], None]) -> int:
    """How many statements `work` sends."""
    sent: list[str] = []

    def note(_connection, _cursor, statement: str, *_rest) -> None:  # noqa: ANN001, ANN002
        sent.append(statement)

    sa.event.listen(engine, "before_cursor_execute", note)
    work()
    sa.event.remove(engine, "before_cursor_execute", note)
    return len(sent)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--orders", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=30)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = LocalServer(Path(folder) / "db")
        server.start()
        try:
            measure(server.url("ledger"), given.orders, given.rounds)
        finally:
            server.stop()


def measure(url: str, orders: int, rounds: int) -> None:
    upgrade(Ledger(url, book="old").engine)
    old, young = Book(url, "old", orders), Book(url, "young", 0)
    with old.ledger.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(sa.text("VACUUM ANALYZE"))
    works = {
        f"reconcile, {orders:,} ended orders and {WORKING} that work": old.reconcile,
        f"reconcile, {WORKING} orders that work alone": young.reconcile,
        "plain read of the same book": old.plain,
    }
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds + 1):
        for name, work in works.items():
            taken[name].append(milliseconds(work))
    # What is planned or connected for the first time belongs to neither.
    for name, times in taken.items():
        line(name, times[1:])
    print(f"statements of one reconcile: {statements(old.ledger.engine, old.reconcile)}")


if __name__ == "__main__":
    main()
