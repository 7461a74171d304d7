"""Alpaca's order book and account as the tests have them: orders, groups, positions, cash, fills, by Alpaca's rules.

Nothing moves by itself: orders fill when the test sets a price, at that price, in order of arrival, and as many shares
as it gives. The clock is the test's. Every answer is in the form of the REST API, and every step is told to `listeners`
in the form of the stream of trade updates.
"""

import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

OVER = frozenset({"filled", "canceled", "expired", "rejected", "replaced"})
NAMESPACE = uuid.UUID("7c1c1a9e-3b1f-4df4-9d55-0f3a8b0f5a10")


class Refusal(Exception):
    """An answer that is no 2xx."""

    def __init__(self, status: int, code: int, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status, self.body = status, {"code": code, "message": message, **more}


@dataclass(kw_only=True)
class VenueOrder:
    """An order in the venue's own book."""

    id: str
    client_id: str
    symbol: str
    side: str
    type: str
    time_in_force: str
    kind: str
    quantity: int
    status: str
    at: datetime
    limit: Decimal | None = None
    stop: Decimal | None = None
    filled: int = 0
    value: Decimal = Decimal(0)
    triggered: bool = False
    parent: "VenueOrder | None" = None
    legs: "list[VenueOrder]" = field(default_factory=list)
    replaced_by: str | None = None
    replaces: str | None = None

    @property
    def is_open(self) -> bool:
        return self.status not in OVER

    @property
    def left(self) -> int:
        return self.quantity - self.filled if self.is_open else 0

    @property
    def group(self) -> "list[VenueOrder]":
        """Every order that ends with this one."""
        top = self.parent or self
        return [top, *top.legs]

    @property
    def exits(self) -> "list[VenueOrder]":
        """The orders of a group that are for the same shares, this one among them; itself alone without a group."""
        if self.kind == "oco":
            return self.group
        return self.parent.legs if self.parent is not None else [self]

    def shown(self, *, nested: bool = False) -> dict[str, Any]:
        """As the REST API shows it."""
        at = text(self.at)
        return {
            "id": self.id,
            "client_order_id": self.client_id,
            "created_at": at,
            "updated_at": at,
            "submitted_at": at,
            "filled_at": None,
            "expired_at": None,
            "canceled_at": None,
            "failed_at": None,
            "replaced_at": None,
            "replaced_by": self.replaced_by,
            "replaces": self.replaces,
            "asset_id": str(uuid.uuid5(NAMESPACE, self.symbol)),
            "symbol": self.symbol,
            "asset_class": "us_equity",
            "notional": None,
            "qty": str(self.quantity),
            "filled_qty": str(self.filled),
            "filled_avg_price": str(self.value / self.filled) if self.filled else None,
            "order_class": "" if self.kind == "simple" else self.kind,
            "order_type": self.type,
            "type": self.type,
            "side": self.side,
            "time_in_force": self.time_in_force,
            "limit_price": None if self.limit is None else str(self.limit),
            "stop_price": None if self.stop is None else str(self.stop),
            "status": self.status,
            "extended_hours": False,
            "legs": [leg.shown() for leg in self.legs] if nested and self.legs else None,
        }


class AlpacaBook:
    """The venue. `carries_fills`: a replacement goes on counting what was filled before it."""

    def __init__(
        self,
        now: Callable[[], datetime],
        *,
        cash: Decimal = Decimal(100_000),
        account_number: str = "PA3TEST0001",
        carries_fills: bool = True,
        prices: dict[str, Decimal] | None = None,
    ) -> None:
        self.now, self.cash, self.account_number = now, cash, account_number
        self.carries_fills = carries_fills
        self.prices = dict(prices or {})
        self.orders: dict[str, VenueOrder] = {}
        self.fills: list[dict[str, Any]] = []
        self.held: dict[str, int] = {}
        self.blocks: dict[str, bool] = {}
        self.listeners: list[Callable[[dict[str, Any]], None]] = []
        self.lock = threading.RLock()
        self._count = 0
        self._last = now() - timedelta(days=1)

    # What tests look at.

    def named(self, intent_id: str) -> list[VenueOrder]:
        """The orders that a client has sent with this id in their names, legs and replacements not among them."""
        with self.lock:
            return [order for order in self.orders.values() if intent_id in order.client_id.split("~")]

    def live(self, symbol: str | None = None) -> list[VenueOrder]:
        """The orders that may still fill."""
        with self.lock:
            return [order for order in self.orders.values() if order.is_open and symbol in (None, order.symbol)]

    # What tests do.

    def set_price(self, symbol: str, price: Decimal | str, shares: int | None = None) -> None:
        """Trade at a price: whatever may fill at it does, until `shares` are gone (None: there are enough)."""
        with self.lock:
            self.prices[symbol] = Decimal(price)
            left = shares
            for order in [one for one in self.orders.values() if one.symbol == symbol and one.status != "held"]:
                if left == 0:
                    return
                quantity = min(order.left, order.left if left is None else left)
                if quantity and self._fills_at(order, self.prices[symbol]):
                    self.fill(order, quantity, self.prices[symbol])
                    left = None if left is None else left - quantity

    def fill(self, order: VenueOrder, quantity: int, price: Decimal) -> None:
        """Fill an order by so much."""
        order.filled += quantity
        order.value += quantity * price
        whole = order.filled == order.quantity
        order.status = "filled" if whole else "partially_filled"
        sign = 1 if order.side == "buy" else -1
        self.cash -= sign * quantity * price
        self.held[order.symbol] = self.held.get(order.symbol, 0) + sign * quantity
        at = self.moment()
        execution = self.new_id("execution")
        self.fills.append(
            {
                "activity_type": "FILL",
                "id": f"{at:%Y%m%d%H%M%S}{at.microsecond // 1000:03}{len(self.fills):06}::{execution}",
                "order_id": order.id,
                "symbol": order.symbol,
                "side": order.side,
                "qty": str(quantity),
                "price": str(price),
                "cum_qty": str(order.filled),
                "leaves_qty": str(order.quantity - order.filled),
                "transaction_time": text(at),
                "type": "fill" if whole else "partial_fill",
            }
        )
        self.tell(
            "fill" if whole else "partial_fill", order, execution_id=execution, price=str(price), qty=str(quantity)
        )
        self._follow(order, quantity, whole=whole)

    def end_day(self) -> None:
        """Expire what is for the day."""
        with self.lock:
            for order in self.live():
                if order.time_in_force == "day":
                    order.status = "expired"
                    self.tell("expired", order)

    # What the REST API does.

    def place(self, body: dict[str, Any]) -> VenueOrder:
        with self.lock:
            client_id = body.get("client_order_id") or self.new_id("client")
            if any(order.client_id == client_id for order in self.orders.values()):
                raise Refusal(422, 40010001, "client_order_id must be unique")
            self._check(body)
            order = self._order(body, client_id, body.get("order_class") or "simple")
            waiting = "new" if order.kind == "oco" else "held"
            wanted = {"client_order_id": self.new_id("leg"), "type": "stop"}
            if order.kind == "oco":
                order.limit = Decimal(body["take_profit"]["limit_price"])
            elif "take_profit" in body:
                self._leg(order, body, {**wanted, **body["take_profit"], "type": "limit"}, waiting)
            if "stop_loss" in body:
                self._leg(order, body, {**wanted, "client_order_id": self.new_id("leg"), **body["stop_loss"]}, waiting)
            for one in (order, *order.legs):
                self.orders[one.id] = one
            self.tell("new", order)
            return order

    def cancel(self, order_id: str) -> None:
        with self.lock:
            order = self.known(order_id)
            if not order.is_open:
                raise Refusal(422, 42210000, f'order is already in "{order.status}" state')
            for one in order.group:
                if one.is_open:
                    one.status = "canceled"
                    self.tell("canceled", one)

    def replace(self, order_id: str, body: dict[str, Any]) -> VenueOrder:
        with self.lock:
            old = self.known(order_id)
            if not old.is_open or old.status in ("accepted", "pending_new", "held"):
                raise Refusal(422, 42210000, f'cannot replace order in "{old.status}" state')
            if "qty" in body and old.kind != "simple":
                raise Refusal(422, 42210000, "qty of an advanced order cannot be replaced")
            new = self._order(
                {
                    "symbol": old.symbol,
                    "side": old.side,
                    "type": old.type,
                    "qty": body.get("qty", str(old.quantity)),
                    "time_in_force": old.time_in_force,
                    "limit_price": body.get("limit_price", old.limit),
                    "stop_price": body.get("stop_price", old.stop),
                },
                body.get("client_order_id") or self.new_id("client"),
                old.kind,
            )
            if self.carries_fills:
                if new.quantity <= old.filled:
                    raise Refusal(422, 42210000, "qty must be more than what is filled")
                new.filled, new.value = old.filled, old.value
            new.replaces, old.replaced_by, old.status = old.id, new.id, "replaced"
            new.triggered = old.triggered
            self.orders[new.id] = new
            self.tell("replaced", old)
            return new

    def known(self, order_id: str) -> VenueOrder:
        found = self.orders.get(order_id)
        if found is None:
            raise Refusal(404, 40410000, f"order not found for {order_id}")
        return found

    def called(self, client_id: str) -> VenueOrder:
        found = next((order for order in self.orders.values() if order.client_id == client_id), None)
        if found is None:
            raise Refusal(404, 40410000, f"order not found for {client_id}")
        return found

    def listed(self, asked: dict[str, str]) -> list[dict[str, Any]]:
        """GET /v2/orders."""
        with self.lock:
            nested = asked.get("nested") == "true"
            status = asked.get("status", "open")
            found = [
                order
                for order in self.orders.values()
                if (status == "all" or order.is_open == (status == "open"))
                and not (nested and order.parent is not None)
                and order.symbol in asked.get("symbols", order.symbol).split(",")
                and ("after" not in asked or order.at > datetime.fromisoformat(asked["after"]))
                and ("until" not in asked or order.at < datetime.fromisoformat(asked["until"]))
            ]
            found.sort(key=lambda order: order.at, reverse=asked.get("direction", "desc") == "desc")
            return [order.shown(nested=nested) for order in found[: min(500, int(asked.get("limit", 50)))]]

    def activities(self, asked: dict[str, str]) -> list[dict[str, Any]]:
        """GET /v2/account/activities/FILL."""
        with self.lock:
            after = datetime.fromisoformat(asked["after"]) if "after" in asked else None
            found = [
                one
                for one in self.fills
                if (after is None or datetime.fromisoformat(one["transaction_time"]) > after)
                and asked.get("order_id") in (None, one["order_id"])
                and ("page_token" not in asked or one["id"] > asked["page_token"])
            ]
            if asked.get("direction", "desc") == "desc":
                found.reverse()
            return found[: min(100, int(asked.get("page_size", 100)))]

    def account(self) -> dict[str, Any]:
        """GET /v2/account, without the fields on day trades that went away."""
        with self.lock:
            return {
                "id": str(uuid.uuid5(NAMESPACE, self.account_number)),
                "account_number": self.account_number,
                "status": "ACTIVE",
                "currency": "USD",
                "cash": str(self.cash),
                "buying_power": str(self.buying_power()),
                "trading_blocked": False,
                "account_blocked": False,
                "trade_suspended_by_user": False,
                "shorting_enabled": False,
                **self.blocks,
            }

    def positions(self) -> list[dict[str, Any]]:
        """GET /v2/positions."""
        with self.lock:
            return [
                {"symbol": symbol, "qty": str(quantity), "side": "long", "exchange": "NYSE"}
                for symbol, quantity in self.held.items()
                if quantity
            ]

    def buying_power(self) -> Decimal:
        return self.cash - sum(
            (one.left * (one.limit or one.stop or self.prices[one.symbol]) for one in self.live() if one.side == "buy"),
            Decimal(0),
        )

    def on_offer(self, symbol: str) -> int:
        """Shares that open sales hold; the exits of a group are for the same ones, and none while they wait."""
        found: dict[str, int] = {}
        for one in self.live(symbol):
            if one.side == "sell" and one.status != "held":
                group = one.exits[0].id
                found[group] = max(found.get(group, 0), one.left)
        return sum(found.values())

    # The rules.

    def _check(self, body: dict[str, Any]) -> None:
        symbol, quantity = body.get("symbol", ""), Decimal(body.get("qty", 0))
        if symbol not in self.prices:
            raise Refusal(422, 42210000, f'asset "{symbol}" not found')
        if quantity <= 0:
            raise Refusal(422, 40010001, "qty must be > 0")
        for name, price in _prices(body):
            if price <= 0 or price != round(price, 2 if price >= 1 else 4):
                raise Refusal(
                    422,
                    42210000,
                    f"invalid {name} {price}. sub-penny increment does not fulfill minimum pricing criteria",
                )
        self._check_legs(body)
        if body["side"] == "buy":
            price = Decimal(body.get("limit_price") or body.get("stop_price") or self.prices[symbol])
            if quantity * price > self.buying_power():
                raise Refusal(403, 40310000, "insufficient buying power", buying_power=str(self.buying_power()))
        else:
            offered = self.on_offer(symbol)
            if quantity > self.held.get(symbol, 0) - offered:
                raise Refusal(
                    403,
                    40310000,
                    f"insufficient qty available for order (requested: {quantity})",
                    held_for_orders=str(offered),
                )
        if body.get("order_class", "simple") in ("", "simple"):
            self._check_wash(body)

    def _check_legs(self, body: dict[str, Any]) -> None:
        stop = body.get("stop_loss", {}).get("stop_price")
        target = body.get("take_profit", {}).get("limit_price")
        kind = body.get("order_class", "simple")
        if kind in ("bracket", "oco") and (stop is None or target is None):
            raise Refusal(422, 40010001, f"{kind} orders require take_profit and stop_loss")
        if stop is None:
            return
        bases = [self.prices[body["symbol"]]]
        if kind == "oco":
            bases.append(Decimal(target))
        elif body["type"] == "limit":
            bases.append(Decimal(body["limit_price"]))
        if Decimal(stop) > min(bases) - Decimal("0.01"):
            raise Refusal(
                422, 42210000, "stop_loss.stop_price must be <= base_price - 0.01", base_price=str(min(bases))
            )
        if target is not None and kind == "bracket" and Decimal(target) < max(bases) + Decimal("0.01"):
            raise Refusal(422, 42210000, "take_profit.limit_price must be >= base_price + 0.01")

    def _check_wash(self, body: dict[str, Any]) -> None:
        """Two limit orders may face each other where they do not cross; anything else is refused."""
        for one in self.live(body["symbol"]):
            if one.side == body["side"] or one.status == "held":
                continue
            both_limits = one.type == body["type"] == "limit"
            buy, sell = (
                (one.limit, body.get("limit_price")) if one.side == "buy" else (body.get("limit_price"), one.limit)
            )
            if not both_limits or Decimal(buy or 0) >= Decimal(sell or 0):
                raise Refusal(
                    403, 40310000, "potential wash trade detected. use complex orders", existing_order_id=one.id
                )

    def _fills_at(self, order: VenueOrder, price: Decimal) -> bool:
        buys = order.side == "buy"
        if order.type in ("stop", "stop_limit") and order.stop is not None:
            order.triggered = order.triggered or (price >= order.stop if buys else price <= order.stop)
            if not order.triggered:
                return False
        if order.type in ("limit", "stop_limit") and order.limit is not None:
            return price <= order.limit if buys else price >= order.limit
        return True

    def _follow(self, order: VenueOrder, quantity: int, *, whole: bool) -> None:
        """What a fill does to the rest of its group."""
        if whole and order.legs and order.kind != "oco":
            for leg in order.legs:
                leg.status = "new"
                self.tell("new", leg)
        if order not in order.exits or len(order.exits) == 1:
            return
        for other in order.exits:
            if other is not order and other.is_open:
                if whole:
                    other.status = "canceled"
                    self.tell("canceled", other)
                else:
                    other.quantity -= quantity

    def _order(self, body: dict[str, Any], client_id: str, kind: str) -> VenueOrder:
        return VenueOrder(
            id=self.new_id("order"),
            client_id=client_id,
            symbol=body["symbol"],
            side=body["side"],
            type=body["type"],
            time_in_force=body.get("time_in_force", "day"),
            kind=kind,
            quantity=int(body["qty"]),
            status="new",
            at=self.moment(),
            limit=_decimal(body.get("limit_price")),
            stop=_decimal(body.get("stop_price")),
        )

    def _leg(self, order: VenueOrder, body: dict[str, Any], own: dict[str, Any], status: str) -> None:
        other = "sell" if order.side == "buy" and order.kind != "oco" else order.side
        said = {name: body[name] for name in ("symbol", "qty", "time_in_force")} | {"side": other} | own
        leg = self._order(said, own["client_order_id"], order.kind)
        leg.parent, leg.status, leg.at = order, status, order.at
        order.legs.append(leg)

    # What the venue's other parts do.

    def moment(self) -> datetime:
        """The clock's time, made to differ from the one before: a book has an order."""
        self._last = max(self.now(), self._last + timedelta(microseconds=1))
        return self._last

    def new_id(self, what: str) -> str:
        self._count += 1
        return str(uuid.uuid5(NAMESPACE, f"{what} {self._count}"))

    def tell(self, event: str, order: VenueOrder, **more: Any) -> None:
        data = {"event": event, "timestamp": text(self._last), "order": order.shown(), **more}
        for listener in self.listeners:
            listener(data)


def text(when: datetime) -> str:
    """With nine decimals of a second, as Alpaca writes them."""
    return f"{when:%Y-%m-%dT%H:%M:%S}.{when.microsecond:06}000Z"


def _prices(body: dict[str, Any]) -> Iterator[tuple[str, Decimal]]:
    for name in ("limit_price", "stop_price"):
        if body.get(name) is not None:
            yield name, Decimal(body[name])
    for part, name in (("stop_loss", "stop_price"), ("take_profit", "limit_price")):
        if part in body:
            yield f"{part}.{name}", Decimal(body[part][name])


def _decimal(said: Any) -> Decimal | None:
    return None if said is None else Decimal(said)
