"""A session that kills itself at a named point: the child program of test_kill_and_resume.py.

Run with a request (JSON) as argument, it runs one session and prints a reply (JSON). Run without, it is a fork server:
it reads a request a line, runs each in a child forked from itself, with everything imported and compiled, and prints
the reply. A request says which book, how far, and where the process shall send itself SIGKILL: at the n-th passing of
a point, or after so many seconds. The points are made here, around the ledger and the broker; the platform knows
nothing of them.
"""

import json
import os
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final, cast

from trading_platform.bootstrap import Platform
from trading_platform.brokers.broker import Broker
from trading_platform.domain.orders import (
    Absent,
    Answer,
    Execution,
    Order,
    OrderEvent,
    OrderIntent,
    OrderStatus,
)
from trading_platform.ledger.booking import Booking
from trading_platform.ledger.ledger import Ledger
from trading_platform.ledger.ownership import Ownership
from trading_platform.ledger.rows import CycleRecord
from trading_platform.orders.reconcile import Reconciler
from trading_platform_tests.sessions.books import Book, run_until, with_parts
from trading_platform_tests.sessions.tape import DAY

ACTS: Final = ("intent commit", "sending commit", "send", "acknowledgement", "booking")
POINTS: Final = tuple(f"{when} {act}" for act in ACTS for when in ("before", "after"))


class Points:
    """Counts the passings of the named points, and calls `act` at one of them."""

    def __init__(self, point: str | None = None, passing: int = 1, act: Callable[[], None] | None = None) -> None:
        self.passings: Counter[str] = Counter()
        self._target = (point, passing)
        self._act = act or _kill_this_process

    @contextmanager
    def around(self, act: str) -> Iterator[None]:
        self._pass(f"before {act}")
        yield
        self._pass(f"after {act}")

    def _pass(self, point: str) -> None:
        self.passings[point] += 1
        if (point, self.passings[point]) == self._target:
            self._act()


class WatchedLedger(Ledger):
    """The ledger, with points around what it commits."""

    def __init__(self, ledger: Ledger, points: Points) -> None:
        super().__init__(ledger.engine, book=ledger.book)
        self._points = points

    def record_cycle(
        self, record: CycleRecord, intents: Sequence[OrderIntent], ownership: Ownership, told: int | None = None
    ) -> None:
        if not intents:
            super().record_cycle(record, intents, ownership, told)
            return
        with self._points.around("intent commit"):
            super().record_cycle(record, intents, ownership, told)

    def note_sending(self, events: Sequence[OrderEvent], ownership: Ownership) -> None:
        with self._points.around("sending commit"):
            super().note_sending(events, ownership)

    def append_events(self, events: Sequence[OrderEvent], ownership: Ownership | None = None) -> None:
        if not events:
            return
        with self._points.around("acknowledgement"):
            super().append_events(events, ownership)

    def book_executions(
        self, executions: Sequence[Execution], events: Mapping[str, OrderEvent], now: datetime, venue: str = "paper"
    ) -> Booking:
        with self._points.around("booking"):
            return super().book_executions(executions, events, now, venue)


class WatchedBroker:
    """A broker, with points around what it is sent."""

    def __init__(self, broker: Broker, points: Points) -> None:
        self._broker = broker
        self._points = points

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    def submit(self, order: Order, deadline: datetime) -> Answer:
        with self._points.around("send"):
            return self._broker.submit(order, deadline)

    def cancel(self, intent_id: str, deadline: datetime) -> Answer:
        with self._points.around("send"):
            return self._broker.cancel(intent_id, deadline)

    def reduce(self, intent_id: str, quantity: int, deadline: datetime) -> Answer:
        with self._points.around("send"):
            return self._broker.reduce(intent_id, quantity, deadline)


@contextmanager
def watched(platform: Platform, points: Points) -> Iterator[Platform]:
    """The platform, with points around its ledger and its broker; at the end it gives the book back."""
    parts = platform.stages.parts
    seen = with_parts(
        platform,
        ledger=WatchedLedger(parts.ledger, points),
        broker=cast("Broker", WatchedBroker(parts.routes.primary, points)),
    )
    try:
        yield seen
    finally:
        seen.stages.release()


def run(request: Mapping[str, Any]) -> dict[str, Any]:
    """Run, or go on with, the session that `request` describes, to its end."""
    told = dict(request["book"])
    book = Book(
        **told
        | {"data_folder": Path(told["data_folder"]), "bars": Path(told["bars"]), "symbols": tuple(told["symbols"])}
    )
    if request.get("without_lookup"):
        Reconciler._look_up = _nothing_found  # type: ignore[method-assign]
    points = Points(request.get("point"), request.get("passing", 1))
    if request.get("kill_after") is not None:
        threading.Thread(target=_kill_after, args=(float(request["kill_after"]),), daemon=True).start()
    with book.open() as platform, watched(platform, points) as seen:
        run_until(seen, request["last_minute"])
        seen.simulated_session(DAY).finish()
    return {"ended": True, "passings": dict(points.passings)}


def _nothing_found(self: Reconciler, status: OrderStatus, broker: Broker) -> Absent:  # noqa: ARG001 (a method)
    return Absent()


def _kill_this_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _kill_after(seconds: float) -> None:
    time.sleep(seconds)
    _kill_this_process()


def serve() -> None:
    """Answer requests from standard input until it ends; the first, which warms this process up, runs in it."""
    warm = False
    for line in sys.stdin:
        request = json.loads(line)
        reply = _forked(request) if warm else run(request)
        warm = True
        print(json.dumps(reply), flush=True)  # noqa: T201 (the reply)


def _forked(request: Mapping[str, Any]) -> dict[str, Any]:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reading)
            os.write(writing, json.dumps(run(request)).encode())
            code = 0
        except BaseException:  # noqa: BLE001 (it leaves no other trace)
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return {"ended": False, "signal": os.WTERMSIG(status)}
    if os.WEXITSTATUS(status):
        return {"ended": False, "failed": os.WEXITSTATUS(status)}
    return dict(json.loads(said))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(run(json.loads(sys.argv[1]))))  # noqa: T201 (the reply)
    else:
        serve()
