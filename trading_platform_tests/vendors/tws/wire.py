"""The socket protocol of TWS at server version 176: frames, and the fields of each message that the server sends.

Layouts only. Which message is sent when is the server's; what orders are is the exchange's.
"""

import socket
import struct
from typing import Any

from trading_platform_tests.vendors.tws.exchange import Execution, WorkingOrder

SERVER_VERSION = 176
ACCOUNT_CURRENCY = "USD"
ZONE = "America/New_York"


class Gone(Exception):
    """The other side has closed the socket."""


def read_exactly(sock: socket.socket, count: int) -> bytes:
    got = b""
    while len(got) < count:
        try:
            more = sock.recv(count - len(got))
        except OSError:
            raise Gone from None
        if not more:
            raise Gone
        got += more
    return got


def read_frame(sock: socket.socket) -> list[str]:
    (length,) = struct.unpack(">I", read_exactly(sock, 4))
    return read_exactly(sock, length).decode().split("\0")[:-1]


def fields_of(message: bytes) -> list[str]:
    return message[4:].decode().split("\0")[:-1]


def read_greeting(sock: socket.socket) -> tuple[int, int]:
    """The range of versions that the client offers."""
    assert read_exactly(sock, 4) == b"API\0"
    (length,) = struct.unpack(">I", read_exactly(sock, 4))
    low, high = read_exactly(sock, length).decode().removeprefix("v").split(" ")[0].split("..")
    return int(low), int(high)


def frame(*fields: Any) -> bytes:
    body = "".join(f"{_text(field)}\0" for field in fields).encode()
    return struct.pack(">I", len(body)) + body


def _text(field: Any) -> str:
    if isinstance(field, bool):
        return "1" if field else "0"
    return str(field)


def stock(order: Any, conid: int) -> list[Any]:
    """conId to tradingClass, as openOrder, position and execDetails have them."""
    return [conid, order, "STK", "", 0, "", "", "SMART", "USD", order, "NMS"]


def error(request: int, code: int, text: str) -> bytes:
    return frame(4, 2, request, code, text, "")


def order_status(order: WorkingOrder) -> bytes:
    return frame(
        3,
        order.order_id,
        order.status,
        order.filled,
        order.total - order.filled,
        float(order.average),
        order.perm_id,
        order.parent_id,
        float(order.last_price),
        order.client_id,
        "",
        0,
    )


def open_order(order: WorkingOrder, conid: int, account: str) -> bytes:
    head = [
        *(5, order.order_id, *stock(order.symbol, conid)),
        *(order.action, order.total, order.kind, _price(order.limit), _price(order.stop), order.tif, order.oca_group),
        *(account, "O", 0, order.ref, order.client_id, order.perm_id, 0, 0, 0, "", ""),
    ]
    advisor = [""] * 5  # group to model
    routing = ["", "", "", "", 0, "", -1, 0, "", "", "", "", "", 0, 0, 0, 0, ""]  # good till date to minimum quantity
    oca = [order.oca_type, 0, 0, "", order.parent_id, 0]
    volatility = ["", "", "", "", 0, "", "", "", "", "", ""]  # to the description of combination legs
    legs = [0, 0, 0, "", "", ""]  # no legs, no parameters, no scale
    clearing = ["", 0, "", "IB", 0, 0, ""]  # hedge to algorithm
    state = [0, 0, order.status, *[""] * 9, "", "", "", "", "", 0, 0, 0]
    tail = [*[""] * 7, 0, "", "", "", "", 0, 0, 0, 0, "", "", 0, "", "", "", "", ""]
    return frame(*head, *advisor, *routing, *oca, *volatility, *legs, *clearing, *state, *tail)


def completed_order(order: WorkingOrder, conid: int, account: str) -> bytes:
    """Without the client's ids, and without a filled order's quantity: as TWS does."""
    total = 0 if order.status == "Filled" else order.total
    ended = order.ended_at.astimezone(_zone()).strftime(f"%Y%m%d %H:%M:%S {ZONE}") if order.ended_at else ""
    return frame(
        *(101, *stock(order.symbol, conid)),
        *(order.action, total, order.kind, _price(order.limit), _price(order.stop), order.tif, order.oca_group),
        *(account, "O", 0, order.ref, order.perm_id, 0, 0, 0, ""),
        *[""] * 5,  # group to model
        *("", "", "", "", 0, "", -1, "", "", "", "", "", 0, 0, 0, ""),  # good till date to minimum quantity
        *(order.oca_type, 0, "", "", "", ""),
        *(0, "", "", "", ""),  # continuous update to the description of legs
        *(0, 0, 0, "", "", ""),
        *("", "", "IB", 0, 0, ""),  # hedge to algorithm
        *(0, order.status, 0, 0, 0),
        *("", "", "", 0, 0, "", order.filled, "", 0, "", 0, 0, 0, ended, order.ended_by),
        *("", "", "", "", ""),
    )


def execution(done: Execution, conid: int, account: str, request: int) -> bytes:
    at = done.time.astimezone(_zone()).strftime(f"%Y%m%d %H:%M:%S {ZONE}")
    return frame(
        *(11, request, done.order_id, *stock(done.symbol, conid), done.execution_id, at, account, "ISLAND"),
        *("BOT" if done.action == "BUY" else "SLD", done.shares, float(done.price), done.perm_id, done.client_id),
        *(0, done.cumulative, float(done.price), done.ref, "", "", "", 2),
    )


def commission(done: Execution) -> bytes:
    return frame(59, 1, done.execution_id, float(done.commission), "USD", "", "", "")


def contract_details(request: int, symbol: str, conid: int) -> bytes:
    return frame(
        *(10, request, symbol, "STK", "", 0, "", "SMART", "USD", symbol, "NMS", "NMS", conid, 0.01, ""),
        *("LMT,MKT,STP,STPLMT", "SMART,NYSE", 1, 0, symbol, "NYSE", "", "", "", "", ZONE, "", "", "", ""),
        *(0, 1, "", "", "26", "", "COMMON", 1, 1, 100),
    )


def position(symbol: str, conid: int, account: str, shares: int) -> bytes:
    return frame(61, 3, account, *stock(symbol, conid), shares, 10.0)


def _price(price: Any) -> Any:
    return "" if price is None else float(price)


def _zone() -> Any:
    from zoneinfo import ZoneInfo

    return ZoneInfo(ZONE)
