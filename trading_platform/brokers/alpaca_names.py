"""Which of Alpaca's orders belongs to which intent: a memory that can be lost, as Alpaca holds all of it.

Here belongs what follows from orders that were seen. It is learnt from them alone, so that a fresh process, or another
host, knows after one look what this one knows. Who looks is `alpaca`.

An intent can have several orders in the course of time: a replacement is a new order at Alpaca, and so is what stands in
place of a leg.
"""

import threading

from trading_platform.brokers.alpaca_orders import AlpacaOrder


class OrderNames:
    """Intents by order, and orders by intent. May be used by several threads."""

    def __init__(self) -> None:
        self._orders: dict[str, list[str]] = {}
        self._intents: dict[str, str] = {}
        self._legs: set[str] = set()
        self._parents: dict[str, str] = {}
        self._ended: dict[str, AlpacaOrder] = {}
        self._lock = threading.Lock()

    def learn(self, order: AlpacaOrder) -> None:
        """Remember whose an order and its legs are."""
        with self._lock:
            names = order.names
            # A replacement has a name of Alpaca's own, and so has a leg: one that is known keeps its intent.
            own = self._intents.get(order.id) or self._intents.get(order.replaces or "") or names[0]
            self._add(order, own)
            stop_at, target_at = (1, 0) if order.kind == "oco" else (1, 2)
            for leg, place in ((order.leg(stop=True), stop_at), (order.leg(stop=False), target_at)):
                if leg is not None and place < len(names):
                    self._add(leg, names[place])
                    self._legs.add(names[place])
                    self._parents[leg.id] = order.id
            if order.kind == "oco":
                self._legs.add(own)

    def orders_of(self, intent_id: str) -> tuple[str, ...]:
        """The ids of the orders that an intent is known to have had."""
        with self._lock:
            return tuple(self._orders.get(intent_id, ()))

    def intent_of(self, order_id: str) -> str | None:
        """The intent that an order belongs to, if that is known."""
        with self._lock:
            return self._intents.get(order_id)

    def parent_of(self, order_id: str) -> str | None:
        """The order that a leg belongs to, if it is known to be one."""
        with self._lock:
            return self._parents.get(order_id)

    def is_leg(self, intent_id: str) -> bool:
        """Whether the intent is known to be an attached stop or target."""
        with self._lock:
            return intent_id in self._legs

    def ended(self, order_id: str) -> AlpacaOrder | None:
        """The order as it ended, if it is known to have: it does not change any more."""
        with self._lock:
            return self._ended.get(order_id)

    def _add(self, order: AlpacaOrder, intent_id: str) -> None:
        if order.id not in self._intents:
            self._intents[order.id] = intent_id
            self._orders.setdefault(intent_id, []).append(order.id)
        # A replaced order that does not say by what it was replaced will yet.
        if order.is_over and not order.legs and (order.status != "replaced" or order.replaced_by is not None):
            self._ended[order.id] = order
