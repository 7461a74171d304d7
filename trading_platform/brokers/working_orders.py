"""The open orders of one symbol at the paper exchange, as the fill model needs them, while minutes are matched.

Here belong the way from rows of the book to flat records and back, and what their numbers say of an order's state.
What fills is `fill_model`; when a minute is matched is `paper`.
"""

from dataclasses import replace
from datetime import date
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trading_platform.brokers.fill_model import BUY, FILLS_PER_ORDER, LIMIT, MARKET, SELL, STOP, STOP_LIMIT
from trading_platform.brokers.paper_book import BookedOrder
from trading_platform.domain.compiled import as_records, empty_records
from trading_platform.domain.orders import OrderState, OrderType, Side, TimeInForce
from trading_platform.domain.records import fill_t, venue_order_t

_SIDES: Final = {Side.BUY: BUY, Side.SELL: SELL}
_TYPES: Final = {
    OrderType.MARKET: MARKET,
    OrderType.LIMIT: LIMIT,
    OrderType.STOP: STOP,
    OrderType.STOP_LIMIT: STOP_LIMIT,
}

_BOTH_LEGS: Final = 2


class WorkingOrders:
    """The open orders of one symbol and its bars, while minutes are matched. `done` is (shares, value) by order."""

    def __init__(self, orders: list[BookedOrder], bars: npt.NDArray[Any]) -> None:
        self.before = orders
        self.bars = as_records(bars)
        self.fills = empty_records(FILLS_PER_ORDER * len(orders), fill_t)
        self.records = empty_records(len(orders), venue_order_t)
        self.done = [(order.filled, order.value) for order in orders]
        self._times = np.asarray(bars["time"])
        places = {order.id: place for place, order in enumerate(orders, start=1)}
        legs: dict[int, list[int]] = {}
        for place, order in enumerate(orders, start=1):
            if order.parent is not None:
                legs.setdefault(order.parent, []).append(place)
        for record, order in zip(self.records, orders, strict=True):
            record["side"], record["type"] = _SIDES[order.side], _TYPES[order.type]
            record["quantity"], record["filled"] = order.quantity, order.filled
            record["limit"], record["stop"] = order.limit, order.stop
            record["triggered"], record["eligible"] = order.triggered, order.eligible
            record["parent"] = 0 if order.parent is None else places.get(order.parent, 0)
        for own in legs.values():
            if len(own) == _BOTH_LEGS:
                stop, target = own
                self.records[stop - 1]["pair"], self.records[target - 1]["pair"] = target, stop

    def row(self, minute: int) -> int | None:
        """Where the bar of `minute` is, None if it did not come."""
        row = int(np.searchsorted(self._times, minute))
        return row if row < len(self._times) and self._times[row] == minute else None

    def lacks(self, minute: int) -> bool:
        """Whether an order could fill in `minute`, had its bar come."""
        if self.row(minute) is not None:
            return False
        return any(record["eligible"] <= minute and record["filled"] < record["quantity"] for record in self.records)

    def after(self, *, ended: date | None) -> list[BookedOrder]:
        """The orders as matching has left them; at the end of the session `ended` its day orders expire."""
        orders: list[BookedOrder] = []
        open_ids: set[int] = set()
        for order, record, (filled, value) in zip(self.before, self.records, self.done, strict=True):
            changed = replace(
                order,
                quantity=int(record["quantity"]),
                filled=filled,
                value=value,
                triggered=int(record["triggered"]),
            )
            expired = ended is not None and order.time_in_force is TimeInForce.DAY and order.session <= ended
            # An entry stands before its attached legs.
            state = state_of(changed, growing=order.parent in open_ids, expired=expired)
            if not state.is_final:
                open_ids.add(order.id)
            orders.append(replace(changed, state=state))
        return orders


def state_of(order: BookedOrder, *, growing: bool, expired: bool) -> OrderState:
    """The state that an open order's numbers mean. `growing`: it is attached to an entry that may still fill."""
    if order.filled == order.quantity and not growing:
        if order.filled:
            return OrderState.FILLED
        return OrderState.EXPIRED if expired else OrderState.CANCELLED
    if expired:
        return OrderState.EXPIRED
    return OrderState.PARTIALLY_FILLED if order.filled else OrderState.ACKNOWLEDGED
