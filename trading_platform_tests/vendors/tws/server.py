"""A local TWS for tests: it speaks the vendor's socket protocol, and fails on command.

Threads, blocking sockets, one lock around everything. `exchange` is the venue behind it, with a book of its own that
tests compare with what the adapter says. `restart` does to sockets and ids what TWS does at night; orders stay.
"""

import contextlib
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, auto
from typing import Any

from trading_platform.domain.clock import Clock
from trading_platform_tests.vendors.tws import wire
from trading_platform_tests.vendors.tws.exchange import Exchange, Execution, Refusal, WorkingOrder

ACCOUNT = "DU1234567"


class Kind(Enum):
    """What goes wrong with one request."""

    DROP_BEFORE = auto()
    """The socket is dropped, and the request has no effect."""
    DROP_AFTER = auto()
    """It has its effect, and the socket is dropped before an answer."""
    LATE_EFFECT = auto()
    """The socket is dropped, and the request has its effect at `release`."""
    LOST = auto()
    """It has no effect and no answer."""
    SILENT = auto()
    """It has its effect and no answer."""
    HELD = auto()
    """It has its effect; the answer comes at `release`."""
    TWICE = auto()
    """Every message of the answer comes twice."""
    REVERSED = auto()
    """The messages of the answer come in the reverse order."""
    ERROR_AND_LIVE = auto()
    """It has its effect, and the answer is an error."""
    ERROR_AND_ANSWER = auto()
    """It has its effect; an error comes, and then the answer."""
    REFUSED = auto()
    """It has no effect, and the answer is an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """For the next request of a name; of orders, only for the one with this reference, if it is given."""

    request: str
    kind: Kind
    ref: str = ""
    code: int = 0
    text: str = ""


REQUESTS = {
    3: "place", 4: "cancel", 5: "open orders", 6: "account updates", 7: "executions", 8: "ids", 9: "contract",
    15: "auto open", 16: "all open orders", 49: "time", 58: "global cancel", 61: "positions", 62: "summary",
    63: "end summary", 64: "end positions", 71: "start", 76: "updates multi", 99: "completed orders",
}  # fmt: skip


class Session:
    """One client's socket."""

    def __init__(self, sock: socket.socket, spoil: Callable[[bytes], bytes]) -> None:
        self.sock, self._spoil = sock, spoil
        self.client_id = -1
        self._kept: list[bytes] | None = None

    def send(self, *messages: bytes) -> None:
        messages = tuple(self._spoil(message) for message in messages)
        if self._kept is not None:
            self._kept.extend(messages)
            return
        with contextlib.suppress(OSError):
            self.sock.sendall(b"".join(messages))

    @contextlib.contextmanager
    def keeping(self) -> Iterator[list[bytes]]:
        """What is sent meanwhile is kept instead."""
        kept: list[bytes] = []
        self._kept = kept
        try:
            yield kept
        finally:
            self._kept = None

    def drop(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


class LocalTws:
    """Listens on a free port of this machine from the moment it is made until `close`."""

    def __init__(self, clock: Clock, *, accounts: tuple[str, ...] = (ACCOUNT,)) -> None:
        self.lock = threading.RLock()
        self.accounts = accounts
        self.exchange = Exchange(clock)
        self.exchange.listeners.changed = self._changed
        self.exchange.listeners.executed = self._executed
        self.next_id = 1
        self.faults: deque[Fault] = deque()
        self.requests: list[str] = []
        self.mute = False
        self.holds_commissions = False
        self.spoiled: dict[int, Callable[[list[str]], list[str]]] = {}
        """By the number of a message: what becomes of its fields."""
        self._commissions: list[tuple[int, bytes]] = []
        self._late: list[Callable[[], None]] = []
        self._sessions: list[Session] = []
        self._threads: list[threading.Thread] = []
        self._listener = self._listening(0)
        self.port = int(self._listener.getsockname()[1])

    # What a test commands.

    def fault(self, request: str, kind: Kind, *, ref: str = "", code: int = 0, text: str = "") -> None:
        with self.lock:
            self.faults.append(Fault(request=request, kind=kind, ref=ref, code=code, text=text))

    def release(self) -> None:
        """What was held goes out, and what was late has its effect."""
        with self.lock:
            late, self._late = self._late, []
            for act in late:
                act()

    def release_commissions(self) -> None:
        with self.lock:
            self.holds_commissions = False
            for client_id, message in self._commissions:
                self._to(client_id, message)
            self._commissions.clear()

    def trade(self, symbol: str, price: str | Decimal, volume: int) -> None:
        with self.lock:
            self.exchange.print(symbol, Decimal(price), volume)

    def say(self, code: int, text: str) -> None:
        """A message about the link, to every client."""
        with self.lock:
            for session in self._sessions:
                session.send(wire.error(-1, code, text))

    def tell(self, *fields: Any) -> None:
        """A message of these fields, to every client."""
        with self.lock:
            for session in self._sessions:
                session.send(wire.frame(*fields))

    def _spoil(self, message: bytes) -> bytes:
        fields = wire.fields_of(message)
        change = self.spoiled.get(int(fields[0]))
        return wire.frame(*change(fields)) if change is not None else message

    def drop(self) -> None:
        """Every socket is dropped; new ones are taken."""
        with self.lock:
            for session in self._sessions:
                session.drop()
            self._sessions.clear()

    def stop(self) -> None:
        """As `drop`, and nobody listens any more."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop()

    def restart(self, *, next_id: int | None = None) -> None:
        """Listen again, on the same port; with `next_id` the ids go back, and used ones are forgotten."""
        self.stop()
        with self.lock:
            if next_id is not None:
                self.next_id = next_id
                self.exchange.used_ids.clear()
            self._listener = self._listening(self.port)

    def close(self) -> None:
        self.stop()
        for thread in self._threads:
            thread.join(5)

    # Sockets.

    def _listening(self, port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        listener.settimeout(0.1)
        self._start(self._accept, listener)
        return listener

    def _start(self, target: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            sock.setblocking(True)  # noqa: FBT003 - the standard library's own
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            session = Session(sock, self._spoil)
            with self.lock:
                self._sessions.append(session)
            self._start(self._serve, session)

    def _serve(self, session: Session) -> None:
        try:
            low, high = wire.read_greeting(session.sock)
            assert low <= wire.SERVER_VERSION <= high, "the layouts are of one version"
            session.send(wire.frame(wire.SERVER_VERSION, "20131009 09:30:00 EST"))
            while True:
                fields = wire.read_frame(session.sock)
                with self.lock:
                    self._receive(session, fields)
        except wire.Gone:
            pass
        finally:
            with self.lock:
                if session in self._sessions:
                    self._sessions.remove(session)
            session.drop()

    def _to(self, client_id: int, *messages: bytes) -> None:
        for session in self._sessions:
            if session.client_id == client_id and not self.mute:
                session.send(*messages)

    # Requests, and what goes wrong with them.

    def _receive(self, session: Session, fields: list[str]) -> None:
        name = REQUESTS[int(fields[0])]
        self.requests.append(name)
        if self.mute:
            return
        fault = self._fault_for(name, fields)
        if fault is None:
            self._handle(session, name, fields)
            return
        if fault.kind is Kind.LATE_EFFECT:
            self._late.append(lambda: self._handle(session, name, fields))
        if fault.kind in (Kind.LATE_EFFECT, Kind.DROP_BEFORE):
            session.drop()
        elif fault.kind is Kind.REFUSED:
            session.send(_refusal(fault, name, fields))
        elif fault.kind is not Kind.LOST:
            with session.keeping() as answer:
                self._handle(session, name, fields)
            self._answer(session, fault, answer, _refusal(fault, name, fields))

    def _answer(self, session: Session, fault: Fault, answer: list[bytes], refusal: bytes) -> None:
        """What becomes of the answer to a request that had its effect."""
        if fault.kind is Kind.DROP_AFTER:
            session.drop()
        elif fault.kind is Kind.HELD:
            self._late.append(lambda: session.send(*answer))
        elif fault.kind is Kind.TWICE:
            session.send(*(one for message in answer for one in (message, message)))
        elif fault.kind is Kind.REVERSED:
            session.send(*reversed(answer))
        elif fault.kind is Kind.ERROR_AND_LIVE:
            session.send(refusal)
        elif fault.kind is Kind.ERROR_AND_ANSWER:
            session.send(refusal, *answer)

    def _fault_for(self, name: str, fields: list[str]) -> Fault | None:
        for fault in self.faults:
            if fault.request == name and (not fault.ref or name != "place" or fields[26] == fault.ref):
                self.faults.remove(fault)
                return fault
        return None

    def _handle(self, session: Session, name: str, fields: list[str]) -> None:
        answers: dict[str, Callable[[Session, list[str]], None]] = {
            "start": self._on_start,
            "place": self._on_place,
            "cancel": self._on_cancel,
            "open orders": self._on_open_orders,
            "all open orders": self._on_open_orders,
            "completed orders": self._on_completed,
            "executions": self._on_executions,
            "positions": self._on_positions,
            "summary": self._on_summary,
            "contract": self._on_contract,
            "global cancel": self._on_global_cancel,
            "ids": lambda one, _: one.send(wire.frame(9, 1, self.next_id)),
            "time": lambda one, _: one.send(wire.frame(49, 1, int(self.exchange.clock.now().timestamp()))),
            "account updates": lambda one, got: one.send(wire.frame(54, 1, got[3])),
            "updates multi": lambda one, got: one.send(wire.frame(74, 1, got[2])),
        }
        if name in answers:
            answers[name](session, fields)

    def _on_start(self, session: Session, fields: list[str]) -> None:
        client_id = int(fields[2])
        if any(one.client_id == client_id for one in self._sessions):
            session.send(wire.error(-1, 326, "Unable to connect as the client id is already in use."))
            session.drop()
            return
        session.client_id = client_id
        session.send(wire.frame(15, 1, ",".join(self.accounts)), wire.frame(9, 1, self.next_id))

    def _on_place(self, session: Session, fields: list[str]) -> None:
        order_id = int(fields[1])
        self.next_id = max(self.next_id, order_id + 1)
        if fields[3] not in self.exchange.prices:
            session.send(wire.error(order_id, 200, "No security definition has been found for the request"))
            return
        try:
            order = self.exchange.place(_order_of(session.client_id, fields))
        except Refusal as refusal:
            session.send(wire.error(order_id, refusal.code, refusal.text))
            return
        if not order.transmitted:
            return
        for one in self._family(order):
            self._to(session.client_id, self._open(one), wire.order_status(one))

    def _family(self, order: WorkingOrder) -> list[WorkingOrder]:
        parent = self.exchange.parent_of(order)
        if parent is None:
            return [order]
        return [parent, *self.exchange.children[id(parent)]]

    def _on_cancel(self, session: Session, fields: list[str]) -> None:
        order_id = int(fields[2])
        order = self.exchange.live(session.client_id, order_id)
        if order is None:
            session.send(wire.error(order_id, 10147, f"OrderId {order_id} that needs to be cancelled is not found."))
            return
        self.exchange.cancel(order)
        session.send(wire.error(order_id, 202, "Order Canceled - reason:"))

    def _on_global_cancel(self, _session: Session, _fields: list[str]) -> None:
        for order in self.exchange.open_orders:
            if order.is_open:
                self.exchange.cancel(order)

    def _on_open_orders(self, session: Session, fields: list[str]) -> None:
        own = fields[0] == "5"
        for order in self.exchange.open_orders:
            if order.client_id == session.client_id or not own:
                session.send(self._open(order), wire.order_status(order))
        session.send(wire.frame(53, 1))

    def _on_completed(self, session: Session, _: list[str]) -> None:
        for order in self.exchange.completed_today:
            session.send(wire.completed_order(order, self.exchange.conid(order.symbol), self.accounts[0]))
        session.send(wire.frame(102))

    def _on_executions(self, session: Session, fields: list[str]) -> None:
        request = int(fields[2])
        done = list(self.exchange.executed_today)
        session.send(*(self._execution(one, request) for one in done))
        if not self.holds_commissions:
            session.send(*(wire.commission(one) for one in done))
        session.send(wire.frame(55, 1, request))

    def _on_positions(self, session: Session, _: list[str]) -> None:
        for symbol, shares in self.exchange.positions.items():
            session.send(wire.position(symbol, self.exchange.conid(symbol), self.accounts[0], shares))
        session.send(wire.frame(62, 1))

    def _on_summary(self, session: Session, fields: list[str]) -> None:
        request = int(fields[2])
        session.send(wire.frame(63, 1, request, self.accounts[0], "TotalCashValue", self.exchange.cash, "USD"))
        session.send(wire.frame(64, 1, request))

    def _on_contract(self, session: Session, fields: list[str]) -> None:
        request, symbol = int(fields[2]), fields[4]
        if symbol not in self.exchange.prices:
            session.send(wire.error(request, 200, "No security definition has been found for the request"))
            return
        session.send(wire.contract_details(request, symbol, self.exchange.conid(symbol)), wire.frame(52, 1, request))

    # What happens in the book.

    def _changed(self, order: WorkingOrder) -> None:
        self._to(order.client_id, self._open(order), wire.order_status(order))

    def _executed(self, order: WorkingOrder, done: Execution) -> None:
        self._to(order.client_id, self._execution(done, -1))
        if self.holds_commissions:
            self._commissions.append((order.client_id, wire.commission(done)))
        else:
            self._to(order.client_id, wire.commission(done))

    def tell_again(self, done: Execution) -> None:
        """The execution, as it now is, to its client."""
        with self.lock:
            self._to(done.client_id, self._execution(done, -1), wire.commission(done))

    def tell_status(self, order: WorkingOrder, status: str) -> None:
        """A status that is late: the order has gone on since."""
        with self.lock:
            now, order.status = order.status, status
            self._to(order.client_id, wire.order_status(order))
            order.status = now

    def _open(self, order: WorkingOrder) -> bytes:
        return wire.open_order(order, self.exchange.conid(order.symbol), self.accounts[0])

    def _execution(self, done: Execution, request: int) -> bytes:
        return wire.execution(done, self.exchange.conid(done.symbol), self.accounts[0], request)


def _refusal(fault: Fault, name: str, fields: list[str]) -> bytes:
    number = fields[1] if name == "place" else next(iter(fields[2:]), "-1")
    return wire.error(int(number), fault.code, fault.text)


def _order_of(client_id: int, fields: list[str]) -> WorkingOrder:
    """The fields of a placeOrder, in the vendor's order."""
    return WorkingOrder(
        perm_id=0,
        client_id=client_id,
        order_id=int(fields[1]),
        symbol=fields[3],
        action=fields[16],
        total=int(float(fields[17])),
        kind=fields[18],
        limit=_decimal(fields[19]) if "LMT" in fields[18] else None,
        stop=_decimal(fields[20]) if "STP" in fields[18] else None,
        tif=fields[21],
        oca_group=fields[22],
        ref=fields[26],
        transmitted=fields[27] == "1",
        parent_id=int(fields[28]),
        oca_type=int(fields[47] or 0),
    )


def _decimal(text: str) -> Decimal | None:
    return Decimal(text) if text else None
