"""A local Alpaca: the REST API over HTTP and the stream over a websocket, before a book of its own, faults on command.

The real client libraries talk to it. A fault is armed for the next request that it fits, and used up by it.
"""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import ceil
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from trading_platform_tests.vendors.alpaca.alpaca_book import AlpacaBook, Refusal, text
from trading_platform_tests.vendors.alpaca.alpaca_websocket import StreamServer

KEY, SECRET = "PKLOCALKEY", "local-secret-of-the-tests"


class Kind(Enum):
    """What happens to a request. ACCEPT: it is done, whatever is answered. All others but ARRIVE_LATE do not do it."""

    ACCEPT_THEN_STATUS = auto()
    ACCEPT_THEN_DROP = auto()
    ACCEPT_THEN_ANSWER_LATE = auto()
    ACCEPT_THEN_TRICKLE = auto()
    ACCEPT_THEN_BABBLE = auto()
    ACCEPT_THEN_EDIT = auto()
    STATUS = auto()
    DROP = auto()
    REFUSE = auto()
    ARRIVE_LATE = auto()


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault for the next request of this method whose path begins with `path`.

    `bare`: the status comes without a code, as from something on the way to Alpaca.
    """

    kind: Kind
    method: str = "POST"
    path: str = "/v2/orders"
    status: int = 504
    bare: bool = False
    seconds: float = 0.0
    refusal: Refusal | None = None
    edit: Callable[[Any], Any] = lambda said: said
    headers: tuple[tuple[str, str], ...] = ()


class LocalAlpaca:
    """The server, running until `close`. `requests` are all that came, as (method, path).

    `limit` requests may come a minute of the book's clock. If `limits`, what is more is answered 429 and not done;
    otherwise a new minute's budget begins where one is used up, as a clock that stands still would never give one.
    """

    def __init__(self, book: AlpacaBook, *, limit: int = 200, limits: bool = False) -> None:
        self.book = book
        self.requests: list[tuple[str, str]] = []
        self.limit, self.remaining, self.limits = limit, limit, limits
        self._resets_at = book.now() + timedelta(minutes=1)
        self._faults: list[Fault] = []
        self._released = threading.Event()
        self._lock = threading.Lock()
        self.stream = StreamServer(KEY, SECRET)
        book.listeners.append(self.stream.tell)
        self._http = _Server(("127.0.0.1", 0), _Handler)
        self._http.local = self
        self._thread = threading.Thread(target=lambda: self._http.serve_forever(0.02), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def close(self) -> None:
        self._released.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()
        self.stream.close()

    def arm(self, *faults: Fault) -> None:
        """Have these faults happen to the next requests that they fit, each once."""
        with self._lock:
            self._faults.extend(faults)

    def count(self, method: str, path: str = "/v2/orders") -> int:
        """How many requests of this method came whose path begins with `path`."""
        return sum(1 for one in self.requests if one[0] == method and one[1].startswith(path))

    def fault_for(self, method: str, path: str) -> Fault | None:
        with self._lock:
            self.requests.append((method, path))
            for fault in self._faults:
                if fault.method == method and path.startswith(fault.path):
                    self._faults.remove(fault)
                    return fault
        return None

    def hold(self, seconds: float) -> None:
        """Wait, but not longer than the server lives."""
        self._released.wait(seconds)

    def require_budget(self) -> None:
        """Count a request. Raises `Refusal` for one too many."""
        with self._lock:
            if self.book.now() >= self._resets_at or (self.remaining <= 1 and not self.limits):
                self.remaining, self._resets_at = self.limit, self.book.now() + timedelta(minutes=1)
            if self.remaining <= 0:
                raise Refusal(429, 42910000, "rate limit exceeded")
            self.remaining -= 1

    def budget(self) -> tuple[tuple[str, str], ...]:
        with self._lock:
            return (
                ("X-RateLimit-Limit", str(self.limit)),
                ("X-RateLimit-Remaining", str(self.remaining)),
                ("X-RateLimit-Reset", str(ceil(self._resets_at.timestamp()))),
            )


@contextmanager
def local_alpaca(now: Callable[[], datetime], **account: Any) -> Iterator[LocalAlpaca]:
    """A local Alpaca in which SPY and IBM cost 10.00 dollars."""
    server = LocalAlpaca(AlpacaBook(now, prices={"SPY": Decimal(10), "IBM": Decimal(10)}, **account))
    try:
        yield server
    finally:
        server.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    local: LocalAlpaca

    def handle_error(self, *_: Any) -> None:
        """A client that has gone is no error of the test's."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *_: Any) -> None:
        """Nothing is written: a test looks at `requests`."""

    def do_GET(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def do_PATCH(self) -> None:
        self._handle()

    def do_DELETE(self) -> None:
        self._handle()

    def _handle(self) -> None:
        local = self.server.local
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        split = urlsplit(self.path)
        fault = local.fault_for(self.command, split.path)
        if fault is not None and fault.kind is Kind.DROP:
            return self._drop()
        if fault is not None and fault.kind is Kind.STATUS:
            return self._send(fault.status, _status_body(fault), fault.headers)
        if fault is not None and fault.kind is Kind.ARRIVE_LATE:
            local.hold(fault.seconds)
        try:
            if fault is not None and fault.kind is Kind.REFUSE and fault.refusal is not None:
                raise fault.refusal
            local.require_budget()
            self._require_keys()
            status, said = _answer(local.book, self.command, split.path, dict(parse_qsl(split.query)), raw)
        except Refusal as refusal:
            status, said = refusal.status, refusal.body
        return self._send(status, said) if fault is None else self._fail(fault, status, said)

    def _fail(self, fault: Fault, status: int, said: Any) -> None:
        if fault.kind is Kind.ACCEPT_THEN_STATUS:
            self._send(fault.status, _status_body(fault), fault.headers)
        elif fault.kind is Kind.ACCEPT_THEN_DROP:
            self._drop()
        elif fault.kind is Kind.ACCEPT_THEN_ANSWER_LATE:
            self.server.local.hold(fault.seconds)
            self._send(status, said)
        elif fault.kind is Kind.ACCEPT_THEN_BABBLE:
            self._write(status, b"<html>", ())
        elif fault.kind is Kind.ACCEPT_THEN_TRICKLE:
            self._trickle(status, said, fault.seconds)
        elif fault.kind is Kind.ACCEPT_THEN_EDIT:
            self._send(status, fault.edit(said))
        else:
            self._send(status, said)

    def _require_keys(self) -> None:
        if (self.headers.get("APCA-API-KEY-ID"), self.headers.get("APCA-API-SECRET-KEY")) != (KEY, SECRET):
            raise Refusal(401, 40110000, "request is not authorized")

    def _send(self, status: int, said: Any, headers: tuple[tuple[str, str], ...] = ()) -> None:
        self._write(status, b"" if status == 204 else json.dumps(said).encode(), headers)

    def _write(self, status: int, body: bytes, headers: tuple[tuple[str, str], ...]) -> None:
        self.send_response(status)
        for name, value in (*self.server.local.budget(), *headers):
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _trickle(self, status: int, said: Any, seconds: float) -> None:
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        for byte in body:
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            time.sleep(seconds)

    def _drop(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


def _status_body(fault: Fault) -> dict[str, Any]:
    return {"message": "not now"} | ({} if fault.bare else {"code": fault.status * 100_000})


def _answer(book: AlpacaBook, method: str, path: str, asked: dict[str, str], raw: bytes) -> tuple[int, Any]:
    called = (method, *path.removeprefix("/v2/").split("/"))
    found = _of_orders(book, called, asked, json.loads(raw) if raw else {}) or _of_the_account(book, called, asked)
    if found is None:
        raise Refusal(404, 40410000, "endpoint not found")
    return found


def _of_orders(
    book: AlpacaBook, called: tuple[str, ...], asked: dict[str, str], body: dict[str, Any]
) -> tuple[int, Any] | None:
    match called:
        case ("POST", "orders"):
            return 200, book.place(body).shown(nested=True)
        case ("GET", "orders"):
            return 200, book.listed(asked)
        case ("GET", "orders:by_client_order_id"):
            return 200, book.called(asked["client_order_id"]).shown()
        case ("GET", "orders", order_id):
            return 200, book.known(order_id).shown(nested=asked.get("nested") == "true")
        case ("PATCH", "orders", order_id):
            return 200, book.replace(order_id, body).shown()
        case ("DELETE", "orders", order_id):
            book.cancel(order_id)
            return 204, None
        case ("DELETE", "orders"):
            return 207, _cancel_all(book)
    return None


def _of_the_account(book: AlpacaBook, called: tuple[str, ...], asked: dict[str, str]) -> tuple[int, Any] | None:
    match called:
        case ("DELETE", "positions"):
            if asked.get("cancel_orders") == "true":
                _cancel_all(book)
            return 207, _close_all(book)
        case ("GET", "positions"):
            return 200, book.positions()
        case ("GET", "account"):
            return 200, book.account()
        case ("GET", "account", "activities", "FILL"):
            return 200, book.activities(asked)
        case ("GET", "clock"):
            now = book.now()
            return 200, {"timestamp": text(now), "is_open": True, "next_open": text(now), "next_close": text(now)}
        case ("GET", "assets", symbol) if symbol in book.prices:
            return 200, {"symbol": symbol, "tradable": True, "fractionable": False, "shortable": False}
    return None


def _cancel_all(book: AlpacaBook) -> list[dict[str, Any]]:
    found = []
    for order in book.live():
        if order.is_open:
            book.cancel(order.id)
        found.append({"id": order.id, "status": 200})
    return found


def _close_all(book: AlpacaBook) -> list[dict[str, Any]]:
    found = []
    for one in book.positions():
        sale = {"symbol": one["symbol"], "qty": one["qty"], "side": "sell", "type": "market", "time_in_force": "day"}
        try:
            found.append({"symbol": one["symbol"], "status": 200, "body": book.place(sale).shown()})
        except Refusal as refusal:
            found.append({"symbol": one["symbol"], "status": refusal.status, "body": refusal.body})
    return found
