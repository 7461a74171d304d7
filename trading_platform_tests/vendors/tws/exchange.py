"""The venue behind the local TWS: an order book, an account, and prices that a test sets.

It knows no sockets. It takes orders by the client's own ids as TWS does (the same id again changes an order), lets
children work as much as their parent has filled, and keeps groups of which one cancels the other. Each `print` is a
trade in the market, and fills what it can, sales first, in order of arrival.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from trading_platform.domain.clock import Clock

ENDED = ("Filled", "Cancelled", "Inactive")


@dataclass(slots=True, kw_only=True)
class WorkingOrder:
    perm_id: int
    client_id: int
    order_id: int
    parent_id: int
    ref: str
    symbol: str
    action: str
    total: int
    kind: str
    limit: Decimal | None
    stop: Decimal | None
    tif: str
    oca_group: str
    oca_type: int
    transmitted: bool
    status: str = "PreSubmitted"
    filled: int = 0
    value: Decimal = Decimal(0)
    last_price: Decimal = Decimal(0)
    triggered: bool = False
    ended_at: datetime | None = None
    ended_by: str = ""

    @property
    def is_open(self) -> bool:
        return self.status not in ENDED

    @property
    def average(self) -> Decimal:
        return self.value / self.filled if self.filled else Decimal(0)


@dataclass(slots=True, kw_only=True)
class Execution:
    execution_id: str
    perm_id: int
    client_id: int
    order_id: int
    ref: str
    symbol: str
    action: str
    shares: int
    price: Decimal
    cumulative: int
    commission: Decimal
    time: datetime


class Refusal(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


@dataclass(slots=True)
class Listeners:
    """What the server does when something happens in the book."""

    changed: Callable[[WorkingOrder], None] = lambda _: None
    executed: Callable[[WorkingOrder, Execution], None] = lambda _order, _done: None


@dataclass(slots=True)
class Exchange:
    clock: Clock
    cash: Decimal = Decimal(100_000)
    prices: dict[str, Decimal] = field(default_factory=lambda: {"SPY": Decimal(10), "IBM": Decimal(10)})
    listeners: Listeners = field(default_factory=Listeners)
    orders: list[WorkingOrder] = field(default_factory=list)
    executions: list[Execution] = field(default_factory=list)
    positions: dict[str, int] = field(default_factory=dict)
    completed_today: list[WorkingOrder] = field(default_factory=list)
    executed_today: list[Execution] = field(default_factory=list)
    used_ids: set[tuple[int, int]] = field(default_factory=set)
    last_perm_id: int = 1_000_000
    latest: dict[tuple[int, int, str], WorkingOrder] = field(default_factory=dict)
    """By client, its id and symbol, the last order of these."""
    children: dict[int, list[WorkingOrder]] = field(default_factory=dict)
    """By the identity of a parent."""
    legs_go_with_entry: bool = False
    """Whether cancelling an entry cancels its children, whatever it has bought."""

    def conid(self, symbol: str) -> int:
        return 1000 + sorted(self.prices).index(symbol)

    def of(self, ref: str) -> list[WorkingOrder]:
        return [order for order in self.orders if order.ref == ref]

    def live(self, client_id: int, order_id: int) -> WorkingOrder | None:
        same = [one for one in self.orders if (one.client_id, one.order_id) == (client_id, order_id) and one.is_open]
        return same[-1] if same else None

    @property
    def open_orders(self) -> list[WorkingOrder]:
        return [order for order in self.orders if order.is_open]

    def next_perm_id(self) -> int:
        self.last_perm_id += 1
        return self.last_perm_id

    def place(self, wanted: WorkingOrder) -> WorkingOrder:
        """A new order, or a change to the one that has its id."""
        key = (wanted.client_id, wanted.order_id)
        known = self.live(*key)
        if known is not None:
            return self._modify(known, wanted)
        if key in self.used_ids:
            raise Refusal(103, "Duplicate order id")
        self._check(wanted)
        self.used_ids.add(key)
        wanted.perm_id = self.next_perm_id()
        self.orders.append(wanted)
        self.latest[(*key, wanted.symbol)] = wanted
        parent = self.parent_of(wanted)
        if parent is not None:
            self.children.setdefault(id(parent), []).append(wanted)
        if wanted.transmitted:
            self._transmit(wanted)
        return wanted

    def _modify(self, known: WorkingOrder, wanted: WorkingOrder) -> WorkingOrder:
        if (known.symbol, known.action, known.kind) != (wanted.symbol, wanted.action, wanted.kind):
            raise Refusal(105, "Order being modified does not match original order")
        if wanted.total <= known.filled:
            raise Refusal(201, "Order rejected - reason:the quantity is filled already")
        known.total, known.limit, known.stop, known.ref = wanted.total, wanted.limit, wanted.stop, wanted.ref
        return known

    def _check(self, wanted: WorkingOrder) -> None:
        if wanted.total <= 0:
            raise Refusal(434, "The order size cannot be zero")
        if wanted.parent_id:
            if self.live(wanted.client_id, wanted.parent_id) is None:
                raise Refusal(201, "Order rejected - reason:the parent order is not known")
        elif wanted.action == "BUY":
            price = wanted.limit or max(wanted.stop or Decimal(0), self.prices[wanted.symbol])
            if wanted.total * price > self.cash - self._reserved():
                raise Refusal(201, "Order rejected - reason:insufficient buying power")
        elif wanted.total > self.positions.get(wanted.symbol, 0) - self.on_offer(
            wanted.symbol, besides=wanted.oca_group
        ):
            raise Refusal(201, "Order rejected - reason:The contract is not available for short sale.")

    def _reserved(self) -> Decimal:
        buys = [one for one in self.open_orders if one.action == "BUY"]
        return sum(
            ((one.total - one.filled) * (one.limit or self.prices[one.symbol]) for one in buys), start=Decimal(0)
        )

    def on_offer(self, symbol: str, *, besides: str = "") -> int:
        """Shares of a symbol that are for sale: of a group, what one of it may still sell. `besides` a group."""
        groups: dict[str, int] = {}
        for one in self.open_orders:
            if one.symbol == symbol and one.action == "SELL" and not (besides and one.oca_group == besides):
                group = one.oca_group or str(one.perm_id)
                groups[group] = max(groups.get(group, 0), self.workable(one))
        return sum(groups.values())

    def _transmit(self, last: WorkingOrder) -> None:
        """The last of a family that says so sends the whole family."""
        for one in self.open_orders:
            same = one.client_id == last.client_id
            if one is last or (same and last.parent_id and last.parent_id in (one.order_id, one.parent_id)):
                one.transmitted = True
                one.status = "PreSubmitted" if one.parent_id or one.stop is not None else "Submitted"
                self.listeners.changed(one)

    def parent_of(self, order: WorkingOrder) -> WorkingOrder | None:
        if not order.parent_id:
            return None
        return self.latest.get((order.client_id, order.parent_id, order.symbol))

    def workable(self, order: WorkingOrder) -> int:
        """Shares that it may fill now: a child no more than its parent bought and the children have not sold."""
        left = order.total - order.filled if order.is_open else 0
        parent = self.parent_of(order)
        if parent is None:
            return left
        return max(min(left, parent.filled - sum(one.filled for one in self.children[id(parent)])), 0)

    def cancel(self, order: WorkingOrder, why: str = "Cancelled by Trader") -> None:
        self._end(order, "Cancelled", why)
        for one in self.open_orders:
            if order.oca_group and one.oca_group == order.oca_group and one.client_id == order.client_id:
                self._end(one, "Cancelled", "the other order of its group was cancelled")
        for one in self.open_orders:
            if self.legs_go_with_entry and self.parent_of(one) is order:
                self._end(one, "Cancelled", "its parent was cancelled")
        self._settle_children(order)

    def _end(self, order: WorkingOrder, status: str, why: str) -> None:
        order.status, order.ended_at, order.ended_by = status, self.clock.now(), why
        self.completed_today.append(order)
        self.listeners.changed(order)

    def _settle_children(self, parent: WorkingOrder) -> None:
        """Children of an order that ended without a fill go with it, and so do those that sold all it had bought."""
        if parent.is_open:
            return
        for one in self.open_orders:
            if self.parent_of(one) is parent and self.workable(one) == 0:
                self._end(one, "Cancelled", "nothing is left to protect")

    def print(self, symbol: str, price: Decimal, volume: int) -> None:
        """A trade in the market: `volume` shares of it are for the orders in this book."""
        self.prices[symbol] = price
        for order in sorted(self.open_orders, key=lambda one: one.action != "SELL"):
            if order.symbol != symbol or not order.transmitted or not order.is_open:
                continue
            shares = min(volume, self.workable(order))
            if shares > 0 and self._takes(order, price):
                volume -= shares
                self.fill(order, shares, price)

    def _takes(self, order: WorkingOrder, price: Decimal) -> bool:
        buys = order.action == "BUY"
        if order.stop is not None and not order.triggered:
            order.triggered = price >= order.stop if buys else price <= order.stop
            if not order.triggered:
                return False
        return order.limit is None or (price <= order.limit if buys else price >= order.limit)

    def fill(self, order: WorkingOrder, shares: int, price: Decimal) -> Execution:
        """Fill `shares` of an order, whatever the market does."""
        sign = 1 if order.action == "BUY" else -1
        before = self._commission(order.filled)
        order.filled += shares
        order.value += shares * price
        order.last_price = price
        done = Execution(
            execution_id=f"0000e0d5.{len(self.executions) + 1:08x}.01.01",
            perm_id=order.perm_id,
            client_id=order.client_id,
            order_id=order.order_id,
            ref=order.ref,
            symbol=order.symbol,
            action=order.action,
            shares=shares,
            price=price,
            cumulative=order.filled,
            commission=self._commission(order.filled) - before,
            time=self.clock.now(),
        )
        self.executions.append(done)
        self.executed_today.append(done)
        self.cash -= sign * shares * price + done.commission
        self.positions[order.symbol] = self.positions.get(order.symbol, 0) + sign * shares
        self.listeners.executed(order, done)
        self._take_from_group(order, shares)
        if order.filled == order.total:
            self._end(order, "Filled", "")
        else:
            self.listeners.changed(order)
        for one in (order, self.parent_of(order)):
            if one is not None:
                self._settle_children(one)
        return done

    def correct(self, done: Execution, **changes: Any) -> Execution:
        """Another word on an execution, in the place of the last one; no `shares`: the trade is undone.

        Orders stay as they were.
        """
        head, _, number = done.execution_id.rpartition(".")
        word = replace(done, execution_id=f"{head}.{int(number) + 1:02d}", **changes)
        sign = 1 if done.action == "BUY" else -1
        self.cash += sign * (done.shares * done.price - word.shares * word.price) + done.commission - word.commission
        self.positions[done.symbol] += sign * (word.shares - done.shares)
        for told in (self.executions, self.executed_today):
            told[:] = [word if one is done else one for one in told]
        return word

    def _take_from_group(self, order: WorkingOrder, shares: int) -> None:
        for one in self.open_orders:
            if order.oca_group and one.oca_group == order.oca_group and one is not order:
                one.total -= shares
                if one.total <= one.filled:
                    self._end(one, "Cancelled", "the other order of its group was filled")
                else:
                    self.listeners.changed(one)

    def _commission(self, shares: int) -> Decimal:
        """0.005 dollars a share, at least a dollar, for an order that filled so many shares."""
        return max(Decimal(1), shares * Decimal("0.005")) if shares else Decimal(0)

    def end_of_day(self) -> None:
        """Day orders end; what ended today is told no more from the next day on."""
        for order in [one for one in self.open_orders if one.tif != "GTC"]:
            if order.is_open:
                self._end(order, "Cancelled", "")
                self._settle_children(order)

    def night(self) -> None:
        """TWS tells of the new day alone."""
        self.completed_today.clear()
        self.executed_today.clear()
