"""Between the platform's orders and Alpaca's: bodies of requests, orders as Alpaca shows them, names and statuses.

Here belongs what can be said without asking Alpaca. Who asks is `alpaca`; who remembers which order is whose is
`alpaca_names`.

**Names.** A plain order's client_order_id is its intent's id. Alpaca itself names the legs of an order and tells a leg
nothing of its parent, so an order with legs carries their intents' ids in its own, joined by `~`: entry~stop for an OTO,
entry~stop~target for a bracket, target~stop~quantity for an OCO. It is a function of the intents alone: whoever sends
them makes the same name, and Alpaca takes a name once. 128 characters hold three ids.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_UP, Decimal, InvalidOperation
from typing import Any, Final

from trading_platform.brokers.order_checks import Refused
from trading_platform.domain.orders import Order, OrderState, OrderType, Side, TimeInForce

JOINT: Final = "~"
_LONGEST_NAME: Final = 128

STATES: Final[Mapping[str, OrderState]] = {
    **dict.fromkeys(
        (
            "new",
            "partially_filled",
            "done_for_day",
            "pending_cancel",
            "pending_replace",
            "accepted",
            "pending_new",
            "accepted_for_bidding",
            "stopped",
            "suspended",
            "calculated",
            "held",
            "pending_review",
        ),
        OrderState.ACKNOWLEDGED,
    ),
    "filled": OrderState.FILLED,
    "canceled": OrderState.CANCELLED,
    "replaced": OrderState.CANCELLED,
    "expired": OrderState.EXPIRED,
    "rejected": OrderState.REJECTED,
}
"""Alpaca's statuses. One that is not listed means an order that may still fill: only what is known to end one does."""

HELD: Final = "held"
"""The status of a leg that waits for its entry to fill."""

REPLACED: Final = "replaced"

UNTOLD: Final = "(none told)"
"""Stands for a status that is missing."""

_STOPS: Final = frozenset({OrderType.STOP, OrderType.STOP_LIMIT})


class Unreadable(ValueError):
    """An answer lacks what cannot be done without, or holds what cannot be understood."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlpacaOrder:
    """An order as Alpaca shows it. `kind` is its order class: simple, oto, bracket or oco."""

    id: str
    client_id: str
    symbol: str
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    kind: str
    quantity: int
    filled: int
    status: str
    submitted_at: datetime
    limit_price: Decimal | None
    stop_price: Decimal | None
    replaced_by: str | None
    replaces: str | None
    legs: "tuple[AlpacaOrder, ...]"

    @property
    def is_listed(self) -> bool:
        """Whether its status is one that the platform knows."""
        return self.status in STATES

    @property
    def is_over(self) -> bool:
        """Whether nothing more can happen to it."""
        return STATES.get(self.status, OrderState.ACKNOWLEDGED).is_final

    @property
    def is_working(self) -> bool:
        """Whether it may fill now."""
        return not self.is_over and self.status != HELD

    @property
    def open_quantity(self) -> int:
        """Shares that it may fill now."""
        return self.quantity - self.filled if self.is_working else 0

    @property
    def names(self) -> tuple[str, ...]:
        """The intents' ids that its client_order_id holds."""
        return tuple(self.client_id.split(JOINT))

    def leg(self, *, stop: bool) -> "AlpacaOrder | None":
        """Its newest stop leg, or its newest target leg."""
        found = [leg for leg in self.legs if (leg.type in _STOPS) == stop]
        return next((leg for leg in found if leg.replaced_by is None), found[-1] if found else None)


def order_name(order: Order) -> str:
    """The client_order_id of an order. Raises `Refused` if Alpaca would not take it."""
    names = [order.intent_id]
    if order.attached_stop is not None:
        names.append(order.attached_stop.intent_id)
    if order.attached_target is not None:
        names.append(order.attached_target.intent_id)
    if any(JOINT in name or not name for name in names):
        raise Refused(f"the id {JOINT.join(names)!r} cannot be a name at Alpaca: an id is empty or holds {JOINT!r}")
    name = JOINT.join(names)
    if len(name) > _LONGEST_NAME:
        raise Refused(f"the name {name!r} is longer than Alpaca's {_LONGEST_NAME} characters")
    return name


def order_body(order: Order) -> dict[str, Any]:
    """The request for an order: an OTO with an attached stop, a bracket with a target beside it. Prices are exact."""
    body: dict[str, Any] = {
        "client_order_id": order_name(order),
        "symbol": order.symbol,
        "side": order.side.value,
        "type": order.type.value,
        "qty": str(order.quantity),
        "time_in_force": order.time_in_force.value,
        "extended_hours": False,
    }
    if order.limit_price is not None:
        body["limit_price"] = _price(order.limit_price)
    if order.stop_price is not None:
        body["stop_price"] = _price(order.stop_price)
    if order.attached_stop is not None:
        body["order_class"] = "oto" if order.attached_target is None else "bracket"
        body["stop_loss"] = {"stop_price": _price(order.attached_stop.stop_price)}
    if order.attached_target is not None:
        body["take_profit"] = {"limit_price": _price(order.attached_target.limit_price)}
    return body


def stop_body(name: str, stop: AlpacaOrder, quantity: int) -> dict[str, Any]:
    """The request for a stop of its own in place of a leg."""
    if stop.stop_price is None:
        raise Unreadable(f"the stop {stop.id} shows no price")
    return {
        "client_order_id": name,
        "symbol": stop.symbol,
        "side": stop.side.value,
        "type": OrderType.STOP.value,
        "qty": str(quantity),
        "time_in_force": stop.time_in_force.value,
        "stop_price": _price(stop.stop_price),
    }


def pair_body(names: tuple[str, str], stop: AlpacaOrder, target: AlpacaOrder, quantity: int) -> dict[str, Any]:
    """The request for an OCO in place of a bracket's two legs. `names`: of the stop's intent and of the target's."""
    if stop.stop_price is None or target.limit_price is None:
        raise Unreadable(f"the legs {stop.id} and {target.id} show no prices")
    # Each reduction leaves less, so that the quantity tells one from the next, and a second sending from a new pair.
    return {
        "client_order_id": JOINT.join((names[1], names[0], str(quantity))),
        "symbol": stop.symbol,
        "side": stop.side.value,
        "type": OrderType.LIMIT.value,
        "qty": str(quantity),
        "time_in_force": stop.time_in_force.value,
        "order_class": "oco",
        "take_profit": {"limit_price": _price(target.limit_price)},
        "stop_loss": {"stop_price": _price(stop.stop_price)},
    }


def is_traded_here(said: Any) -> bool:
    """Whether an order is of a kind that the platform could have sent, so that it must be understood.

    Orders of several option contracts in one have neither symbol nor side. A person may have them in the same account.
    """
    return not isinstance(said, Mapping) or said.get("order_class") != "mleg"


def read_order(said: Any) -> AlpacaOrder:
    """An order from Alpaca's JSON. Fields that are new are passed over. Raises `Unreadable`.

    What a change or a count needs must be there. A status that is missing is one that the platform does not know.
    """
    if not isinstance(said, Mapping):
        raise Unreadable(f"an order was expected, not {type(said).__name__}")
    try:
        return AlpacaOrder(
            id=str(said["id"]),
            client_id=str(said.get("client_order_id") or said["id"]),
            symbol=str(said["symbol"]),
            side=Side(said["side"]),
            type=_type(said),
            time_in_force=TimeInForce.GTC if said.get("time_in_force") == TimeInForce.GTC else TimeInForce.DAY,
            kind=str(said.get("order_class") or "simple"),
            quantity=shares(said.get("qty") or said["filled_qty"]),
            filled=shares(said["filled_qty"]),
            status=str(said.get("status") or UNTOLD),
            submitted_at=moment(said.get("submitted_at") or said["created_at"]),
            limit_price=_decimal(said.get("limit_price")),
            stop_price=_decimal(said.get("stop_price")),
            replaced_by=said.get("replaced_by"),
            replaces=said.get("replaces"),
            legs=tuple(read_order(leg) for leg in said.get("legs") or ()),
        )
    except KeyError as error:
        raise Unreadable(f"Alpaca's order {said.get('id')} has no {error.args[0]}") from None
    except (ValueError, TypeError, InvalidOperation) as error:
        raise Unreadable(f"Alpaca's order {said.get('id')} cannot be read: {error}") from None


def shares(said: Any) -> int:
    """A quantity as whole shares. A fraction is made up to a whole share, so that it shows as what was not expected."""
    return int(Decimal(str(said)).to_integral_value(rounding=ROUND_UP))


def moment(said: Any) -> datetime:
    """A moment from Alpaca's text; what it has beyond microseconds is cut off. Raises ValueError."""
    found = datetime.fromisoformat(str(said))
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _type(said: Mapping[str, Any]) -> OrderType:
    """The order's type. One that the platform does not have, or that is not told, shows as the type that it acts as."""
    named = str(said.get("type") or said.get("order_type") or "")
    if named in set(OrderType):
        return OrderType(named)
    if "stop" in named or said.get("stop_price") is not None:
        return OrderType.STOP if said.get("limit_price") is None else OrderType.STOP_LIMIT
    return OrderType.MARKET if said.get("limit_price") is None else OrderType.LIMIT


def _decimal(said: Any) -> Decimal | None:
    return None if said is None else Decimal(str(said))


def _price(price: Decimal) -> str:
    return f"{price.normalize():f}"
