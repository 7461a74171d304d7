"""From a decision to the first byte of its order, beside the bare commit of one row, alternating in the same run.

The clock starts when a minute's decisions and intents are in hand, and stops where the order is written to a socket.
In between is all that the platform does for safety: the cycle and its intents are committed under the fence, that they
are about to leave is committed, and the lease is looked at once more. Everything is real: a PostgreSQL server of its
own with fsync, a venue at the other end of a socket. The bare commit is one INSERT of one row and its COMMIT, on a
connection of its own to the same server.

Of 50 orders at once, the first is timed as one alone is; each of the others from the byte before it, the answer to
which is committed before the next one leaves.

    python benchmarks/order_latency.py [--rounds 400]

Goal: at the 99th percentile one order takes at most three times the bare commit.
"""

import argparse
import contextlib
import itertools
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from trading_platform.brokers.broker import Capabilities
from trading_platform.brokers.paper import CAPABILITIES
from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.domain.clock import SimulatedClock
from trading_platform.domain.decisions import Decision, DecisionKind, Rule, TradingMode, Verdict
from trading_platform.domain.ids import intent_id
from trading_platform.domain.orders import Accepted, Answer, IntentKind, Order, OrderIntent, OrderType, Side
from trading_platform.ledger.embedded import LocalServer
from trading_platform.ledger.ledger import Ledger
from trading_platform.ledger.migrate import upgrade
from trading_platform.ledger.rows import CycleHeader, CycleRecord
from trading_platform.orders.outbox import Outbox
from trading_platform.orders.routing import Routes

DAY = date(2024, 6, 12)
BOOK, OWNER = "bench", "job/bench"
MANY = 50
INPUTS = bytes(range(256)) * 64
"""As much as a cycle of some dozen symbols records of what it saw."""


class Venue:
    """The part of a broker that takes orders: a line to the other end of a socket, which answers each with a line."""

    name = "paper"

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self.left: list[float] = []

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    def submit(self, order: Order, deadline: datetime) -> Answer:
        del deadline
        told = f"{order.intent_id} {order.side} {order.quantity} {order.symbol}\n".encode()
        self.left.append(time.perf_counter())
        self._line.sendall(told)
        return Accepted(broker_order_id=self._line.recv(64).decode())


@contextlib.contextmanager
def venue() -> Iterator[Venue]:
    ours, theirs = socket.socketpair()

    def answer() -> None:
        while theirs.recv(256):
            theirs.sendall(b"b-1")

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    try:
        yield Venue(ours)
    finally:
        ours.close()
        thread.join()
        theirs.close()


class Bench:
    """A book on a server of its own, and how one minute of it is decided and sent."""

    def __init__(self, url: str, line: Venue) -> None:
        self.ledger = Ledger(url, book=BOOK)
        upgrade(self.ledger.engine)
        calendar = ExchangeCalendar()
        self.open = calendar.session(DAY).open
        self.ledger.open_book(Decimal(10_000_000), self.open)
        self.ledger.open_session(DAY, {}, self.open)
        self.venue = line
        self.outbox = Outbox(
            ledger=self.ledger,
            routes=Routes(brokers=(line,)),  # type: ignore[arg-type]  # only what sends is asked for
            clock=SimulatedClock(self.open + timedelta(minutes=1)),
            calendar=calendar,
            deadline=timedelta(seconds=4),
        )
        self.lease = self.ledger.take(OWNER)
        self.bar_time = self.open
        self.strategy = ""

    def order(self, orders: int) -> list[float]:
        """Decide and send so many entries, each with its stop; seconds to each one's first byte from what went before."""
        # An intent's id knows minutes: another strategy each time, so that all stay within the session's day.
        self.bar_time += timedelta(seconds=1)
        self.strategy = f"strategy{self.bar_time - self.open}"
        record, intents = self.minute(orders)
        self.venue.left.clear()
        begun = time.perf_counter()
        self.lease.renew_if_due()
        self.ledger.record_cycle(record, intents, self.lease.ownership)
        self.outbox.send(intents, self.lease.ownership)
        moments = [begun, *self.venue.left]
        return [after - before for before, after in itertools.pairwise(moments)]

    def minute(self, orders: int) -> tuple[CycleRecord, list[OrderIntent]]:
        decisions = tuple(self.decision(n) for n in range(orders))
        header = CycleHeader(
            bar_time=self.bar_time,
            session=DAY,
            bars=MANY,
            problems=(),
            owner=OWNER,
            release="bench",
            mode=TradingMode.NORMAL,
            equity=Decimal(10_000_000),
            peak_equity=Decimal(10_000_000),
            cash=Decimal(10_000_000),
            open_equity=Decimal(10_000_000),
            decided_at=self.bar_time,
        )
        intents = [one for decision in decisions for one in self.intents(decision)]
        return CycleRecord(header=header, inputs=INPUTS, signals=(), decisions=decisions), intents

    def decision(self, number: int) -> Decision:
        return Decision(
            sequence=number,
            strategy=self.strategy,
            symbol=f"SYM{number}",
            bar_time=self.bar_time,
            kind=DecisionKind.ENTER,
            leg=0,
            cause=None,
            verdict=Verdict.APPROVED,
            rule=Rule.NONE,
            measure=0,
            limit=0,
            quantity=100,
            price=Decimal(50),
            limit_price=Decimal(50),
            stop_price=Decimal(49),
            valid_until=None,
            setup=1,
        )

    def intents(self, decision: Decision) -> tuple[OrderIntent, OrderIntent]:
        entry = self.intent(decision, IntentKind.ENTRY, type=OrderType.LIMIT, limit_price=Decimal(50))
        stop = self.intent(
            decision, IntentKind.STOP, type=OrderType.STOP, stop_price=Decimal(49), side=Side.SELL, parent=entry.id
        )
        return entry, stop

    def intent(self, decision: Decision, kind: IntentKind, **more: Any) -> OrderIntent:
        key = {
            "book": BOOK,
            "strategy": self.strategy,
            "symbol": decision.symbol,
            "bar_time": self.bar_time,
            "kind": kind,
        }
        return OrderIntent(
            id=intent_id(**key, leg=0, attempt=0),
            **key,
            leg=0,
            attempt=0,
            side=more.pop("side", Side.BUY),
            quantity=decision.quantity,
            **more,
        )


class BareCommit:
    """One INSERT of one row, and its COMMIT."""

    def __init__(self, engine: sa.Engine) -> None:
        connection = engine.connect()
        connection.detach()
        self._raw = connection.connection.dbapi_connection
        assert self._raw is not None
        self._cursor = self._raw.cursor()
        self._cursor.execute("CREATE TABLE bare (id bigint GENERATED ALWAYS AS IDENTITY, said text)")
        self._raw.commit()

    def __call__(self) -> float:
        begun = time.perf_counter()
        self._cursor.execute("INSERT INTO bare (said) VALUES ('one row')")
        assert self._raw is not None
        self._raw.commit()
        return time.perf_counter() - begun


def percentile(seconds: Sequence[float], share: float) -> float:
    return sorted(seconds)[min(len(seconds) - 1, int(len(seconds) * share))]


def line(name: str, seconds: Sequence[float]) -> None:
    print(
        f"{name:42} p50 {statistics.median(seconds) * 1e3:7.2f} ms   p99 {percentile(seconds, 0.99) * 1e3:7.2f} ms"
        f"   of {len(seconds)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=400)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder, venue() as made:
        server = LocalServer(Path(folder) / "db")
        server.start()
        try:
            report(Bench(server.url("ledger"), made), rounds)
        finally:
            server.stop()


def report(bench: Bench, rounds: int) -> None:
    bare = BareCommit(bench.ledger.engine)
    commits, single, first, following = [], [], [], list[float]()
    # What is planned, compiled or connected for the first time belongs to neither.
    for measured in (False, True):
        for number in range(rounds if measured else 20):
            commit, one = bare(), bench.order(1)
            if measured:
                commits.append(commit)
                single += one
            if number % 10 == 0:
                many = bench.order(MANY)
                if measured:
                    first.append(many[0])
                    following += many[1:]
    line("bare commit of one row", commits)
    line("one order, decision to first byte", single)
    line(f"{MANY} orders, decision to the first's first", first)
    line(f"{MANY} orders, each after the one before", following)
    for share in (0.5, 0.99):
        ratio = percentile(single, share) / percentile(commits, share)
        goal = " (goal: at most 3)" if share > 0.5 else ""
        print(f"one order / bare commit at p{share * 100:.0f}: {ratio:.2f}{goal}")
    bench.lease.release()
    bench.ledger.engine.dispose()


if __name__ == "__main__":
    main()
