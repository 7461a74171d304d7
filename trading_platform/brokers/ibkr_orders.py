"""Orders and executions in TWS's words and in the platform's: the translation, both ways, and nothing that is sent.

**Attached legs** are TWS's child orders. TWS shows a child with its whole quantity from the start, though it works no
more than its parent has filled. The port's quantity of a leg is what is protected: what the entry has filled so far,
less what either leg sold, and at most what is left of the child.

**Ids.** `orderRef` is the intent's id. `permId` is the account's id of an order, and the port's `broker_order_id`;
`orderId` is what a client calls it, and can be given again after TWS was restarted.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

from trading_platform.calendars.sessions import EXCHANGE_ZONE
from trading_platform.domain.orders import BrokerOrder, Order, OrderState, OrderType, Side, TimeInForce

_log = logging.getLogger("trading_platform.brokers.ibkr")

ORDER_TYPES: Final[Mapping[OrderType, str]] = MappingProxyType(
    {OrderType.MARKET: "MKT", OrderType.LIMIT: "LMT", OrderType.STOP: "STP", OrderType.STOP_LIMIT: "STP LMT"}
)
_TYPE_OF: Final = MappingProxyType({word: one for one, word in ORDER_TYPES.items()})

REDUCE_WITH_BLOCK: Final = 2
"""OCA: what one leg fills is taken from the others, and only one of them is at the exchange at a time."""

CANCELLED: Final = frozenset({"Cancelled", "ApiCancelled"})
ENDED: Final = CANCELLED | {"Filled"}
WAITING: Final = frozenset({"Inactive", "ApiPending", "", "Unknown"})
"""Says neither that an order is live nor that it has ended."""

_WORDS: Final = ENDED | WAITING
LIVE: Final = frozenset({"PendingSubmit", "PendingCancel", "PreSubmitted", "Submitted"})
_CLOSE: Final = time(16, 0)
_FOUR_PLACES: Final = Decimal("0.0001")


@dataclass(frozen=True, slots=True, kw_only=True)
class TwsOrder:
    """One order as TWS has told of it. `total` is 0 where it did not say; `refusal` and `ended_by` are its words."""

    perm_id: int
    client_id: int
    order_id: int
    parent_id: int
    oca_group: str
    order_ref: str
    symbol: str
    action: str
    order_type: str
    tif: str
    limit: float
    stop: float
    total: int
    filled: int
    status: str
    contract: Any
    refusal: str = ""
    ended_by: str = ""
    ended_at: datetime | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it can fill any more."""
        return self.status in ENDED

    @property
    def name(self) -> str:
        """The intent's id; a name of its own for an order that was not placed by this platform."""
        return self.order_ref or f"ibkr-{self.perm_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """One order to be written: the id that it gets, and the vendor's value."""

    order_id: int
    order_ref: str
    order: Any


def placements_of(order: Order, first_id: int, account: str) -> tuple[Placement, ...]:
    """The vendor's orders for `order`, the entry first, the stop last: the last one alone lets TWS send them.

    What is attached gets the ids after `first_id`. A stop and a target are one OCA group.
    """
    common = {
        "account": account,
        "tif": order.time_in_force.upper(),
        "totalQuantity": float(order.quantity),
    }
    entry = {
        "action": order.side.upper(),
        "orderType": ORDER_TYPES[order.type],
        **_prices(order.limit_price, order.stop_price),
    }
    wanted: list[tuple[str, dict[str, Any]]] = [(order.intent_id, entry)]
    leg: dict[str, Any] = {"action": "SELL", "parentId": first_id}
    stop, target = order.attached_stop, order.attached_target
    if stop is not None and target is not None:
        leg |= {"ocaGroup": f"{order.intent_id}-oca", "ocaType": REDUCE_WITH_BLOCK}
    if target is not None:
        wanted.append((target.intent_id, {**leg, "orderType": "LMT", **_prices(target.limit_price, None)}))
    if stop is not None:
        wanted.append((stop.intent_id, {**leg, "orderType": "STP", **_prices(None, stop.stop_price)}))
    return tuple(
        _placement(first_id + number, ref, common | fields | {"transmit": number == len(wanted) - 1})
        for number, (ref, fields) in enumerate(wanted)
    )


def resized(order: TwsOrder, total: int, account: str) -> Placement:
    """The vendor's order that changes `order` to `total` shares and leaves everything else as it is."""
    return _placement(order.order_id, order.order_ref, _as_it_is(order, total, account))


def placed_anew(order: TwsOrder, order_id: int, total: int, account: str) -> Placement:
    """The vendor's order for what `order` was, for `total` shares and without its parent; legs share a new group."""
    fields = _as_it_is(order, total, account) | {"parentId": 0}
    if order.oca_group:
        # A group of which an order was cancelled takes no more.
        fields["ocaGroup"] = f"{order.oca_group}-{order.parent_id}"
    return _placement(order_id, order.order_ref, fields)


def _as_it_is(order: TwsOrder, total: int, account: str) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "account": account,
        "tif": order.tif,
        "totalQuantity": float(total),
        "action": order.action,
        "orderType": order.order_type,
        "parentId": order.parent_id,
        "transmit": True,
    }
    if order.order_type in ("LMT", "STP LMT"):
        fields["lmtPrice"] = order.limit
    if order.order_type in ("STP", "STP LMT"):
        fields["auxPrice"] = order.stop
    if order.oca_group:
        fields |= {"ocaGroup": order.oca_group, "ocaType": REDUCE_WITH_BLOCK}
    return fields


def _placement(order_id: int, ref: str, fields: Mapping[str, Any]) -> Placement:
    from ib_insync.order import Order as VendorOrder

    return Placement(order_id=order_id, order_ref=ref, order=VendorOrder(orderId=order_id, orderRef=ref, **fields))


def _prices(limit: Decimal | None, stop: Decimal | None) -> dict[str, float]:
    prices = {"lmtPrice": limit, "auxPrice": stop}
    return {name: float(price) for name, price in prices.items() if price is not None}


def vendor_symbol(symbol: str) -> str:
    """TWS parts a class of shares by a blank: `BRK B`."""
    return symbol.replace(".", " ")


def platform_symbol(symbol: str) -> str:
    """The platform parts it by a point: `BRK.B`."""
    return symbol.replace(" ", ".")


def dollars(value: float) -> Decimal:
    """A price or an amount of TWS, which sends doubles, in dollars with four decimal places."""
    return Decimal(repr(value)).quantize(_FOUR_PLACES)


def state_of(order: TwsOrder, *, listed_open: bool = False) -> OrderState:
    """Where an order stands in the platform's words. A status that is not known is a live order, and is logged."""
    if order.status == "Filled" or 0 < order.total <= order.filled:
        return OrderState.FILLED
    if order.status in CANCELLED:
        return OrderState.EXPIRED if _expired(order) else OrderState.CANCELLED
    if order.status == "Inactive" and order.filled == 0 and (order.refusal or not listed_open):
        return OrderState.REJECTED
    if order.status not in LIVE | WAITING:
        _log.warning("order %s of %s has the status %r: taken as live", order.name, order.symbol, order.status)
    return OrderState.PARTIALLY_FILLED if order.filled else OrderState.ACKNOWLEDGED


def _expired(order: TwsOrder) -> bool:
    """TWS has one status for an end by hand and by the clock: a day order that ends at or after the close expired."""
    if order.tif != "DAY" or order.ended_at is None:
        return False
    return "expire" in order.ended_by.lower() or order.ended_at.astimezone(EXCHANGE_ZONE).time() >= _CLOSE


def reported(order: TwsOrder, open_quantity: int, *, listed_open: bool) -> BrokerOrder:
    """The order as the port shows it, with so many shares still to fill."""
    state = state_of(order, listed_open=listed_open)
    whole = max(order.total, order.filled) if state.is_final else order.filled + open_quantity
    return BrokerOrder(
        intent_id=order.name,
        broker_order_id=str(order.perm_id),
        symbol=order.symbol,
        side=Side.BUY if order.action == "BUY" else Side.SELL,
        type=_type_of(order),
        time_in_force=TimeInForce.GTC if order.tif == "GTC" else TimeInForce.DAY,
        quantity=whole,
        filled=order.filled,
        state=state,
        said="" if order.status in _WORDS | LIVE else order.status,
    )


def _type_of(order: TwsOrder) -> OrderType:
    known = _TYPE_OF.get(order.order_type)
    if known is None:
        _log.warning("order %s of %s has the type %r: shown as market", order.name, order.symbol, order.order_type)
        return OrderType.MARKET
    return known
