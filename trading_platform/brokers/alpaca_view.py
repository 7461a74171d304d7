"""What Alpaca shows of its orders and executions, in the platform's words: the reading half of the adapter.

Here belongs every question about orders, and how several of Alpaca's orders make one of the platform's. What changes
something is `alpaca_changes`. Every question may be asked again, so nothing here is ever in doubt: it is answered, or
`Refusal`, `NoAnswer` or `Unreadable` is raised.

An order is found by its client_order_id, the intent's id. One that was sent with legs has a longer name, and a leg has
one of Alpaca's own: those are looked for in the list of all orders, from `look_back` ago at first, and from then on only
in what came since. A replacement is followed to the order that is working now.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from trading_platform.brokers.alpaca_fills import AlpacaFills, text
from trading_platform.brokers.alpaca_line import AlpacaLine, Refusal, Until
from trading_platform.brokers.alpaca_names import OrderNames
from trading_platform.brokers.alpaca_orders import (
    HELD,
    REPLACED,
    STATES,
    AlpacaOrder,
    Unreadable,
    is_traded_here,
    read_order,
)
from trading_platform.domain.orders import BrokerOrder, Execution, OrderState, Side

_NOT_FOUND: Final = 404
_ORDERS_A_PAGE: Final = 500
_OVERLAP: Final = timedelta(minutes=5)
"""Orders are listed again from so long before the newest that is known: the list may lag."""

_INSTANT: Final = timedelta(milliseconds=1)


class AlpacaView:
    """Alpaca's orders and executions by intent. Orders with legs are looked for among those `since` a moment."""

    def __init__(self, line: AlpacaLine, names: OrderNames, fills: AlpacaFills, since: datetime) -> None:
        self._line, self._names, self._fills = line, names, fills
        self._listed_until = since
        self._unlisted: dict[str, str] = {}

    @property
    def unlisted(self) -> Mapping[str, str]:
        """The orders, by Alpaca's id, that were seen in a status that the platform does not know."""
        return dict(self._unlisted)

    def note(self, said: Any) -> AlpacaOrder:
        """Read an order and remember whose it is."""
        order = self._seen(said)
        self._names.learn(order)
        return order

    def order(self, order_id: str, until: Until) -> AlpacaOrder:
        """One of Alpaca's orders with its legs, by Alpaca's id."""
        ended = self._names.ended(order_id)
        if ended is not None:
            return ended
        return self.note(self._line.call("get", f"/orders/{order_id}", {"nested": "true"}, until=until))

    def parent_of(self, order_id: str, until: Until) -> AlpacaOrder | None:
        """The order that this one is a leg of, None if it is no leg."""
        parent = self._names.parent_of(order_id)
        return None if parent is None else self.order(parent, until)

    def named(self, client_id: str, until: Until) -> AlpacaOrder | None:
        """The order with this client_order_id; None if Alpaca knows none."""
        try:
            return self.note(
                self._line.call("get", "/orders:by_client_order_id", {"client_order_id": client_id}, until=until)
            )
        except Refusal as refusal:
            if refusal.status == _NOT_FOUND:
                return None
            raise

    def entry_at_work(self, symbol: str, until: Until) -> AlpacaOrder | None:
        """A purchase of a symbol that may fill now: beside it Alpaca takes no stop of its own. None: there is none."""
        working = self._listed({"status": "open", "nested": "false", "symbols": symbol}, None, until)
        return next((one for one in working if one.symbol == symbol and one.side is Side.BUY and one.is_working), None)

    def versions(self, intent_id: str, until: Until) -> list[AlpacaOrder]:
        """Every order that the intent has had, the one that counts now last; empty: Alpaca has never had one."""
        if not self._names.orders_of(intent_id):
            self.named(intent_id, until)
        if not self._names.orders_of(intent_id):
            self._look_for_new(until)
        found = self._known(intent_id, until)
        # What stands in place of a leg may have been sent by another process.
        if found and self._names.is_leg(intent_id) and found[-1].is_over:
            self.named(intent_id, until)
            self._look_for_new(until)
            found = self._known(intent_id, until)
        return found

    def reported(self, intent_id: str, versions: list[AlpacaOrder], until: Until) -> BrokerOrder:
        """An intent's order as the port shows it.

        A leg offers nothing while it waits for its entry, and nothing more once it has ended: its quantity is then what
        it has filled. Of any other order it is the whole, reductions applied.
        """
        newest = versions[-1]
        filled = self._filled(versions, until)
        if newest.status == HELD or (newest.is_over and self._names.is_leg(intent_id)):
            quantity = filled
        else:
            quantity = filled + newest.quantity - newest.filled
        state = STATES.get(newest.status, OrderState.ACKNOWLEDGED)
        if not state.is_final and filled:
            state = OrderState.PARTIALLY_FILLED
        return BrokerOrder(
            intent_id=intent_id,
            broker_order_id=newest.id,
            symbol=newest.symbol,
            side=newest.side,
            type=newest.type,
            time_in_force=newest.time_in_force,
            quantity=quantity,
            filled=filled,
            state=state,
            said="" if newest.is_listed else newest.status,
        )

    def open_orders(self, until: Until) -> tuple[BrokerOrder, ...]:
        """Every order that may still fill, waiting legs included, in order of arrival. A double shows twice."""
        shown = list(self._listed({"status": "open", "nested": "false"}, None, until))
        # Until a replacement has reached the exchange both are shown, and only one of them can fill.
        giving_way = {order.replaces for order in shown}
        found = []
        for order in shown:
            if order.id not in giving_way and not order.is_over:
                intent_id = self._whose(order.id, until)
                found.append(self.reported(intent_id, self._with_earlier(intent_id, order, until), until))
        return tuple(found)

    def executions(self, since: datetime, until: Until) -> tuple[Execution, ...]:
        """Executions at or after `since`, oldest first, each once, and what has become of them."""
        return tuple(
            Execution(
                execution_id=fill.id,
                broker_order_id=fill.order_id,
                intent_id=self._whose(fill.order_id, until),
                symbol=fill.symbol,
                side=fill.side,
                quantity=fill.quantity,
                price=fill.price,
                fee=Decimal(0),
                time=fill.time,
                corrects=fill.corrects,
            )
            for fill in self._fills.since(since - _INSTANT, until)
            if fill.time >= since
        )

    def _seen(self, said: Any) -> AlpacaOrder:
        order = read_order(said)
        for one in (order, *order.legs):
            if not one.is_listed:
                self._unlisted[one.id] = one.status
        return order

    def _with_earlier(self, intent_id: str, order: AlpacaOrder, until: Until) -> list[AlpacaOrder]:
        """An open order after those that it stands in place of."""
        if order.replaces is None and len(self._names.orders_of(intent_id)) <= 1:
            return [order]
        return [*(one for one in self._known(intent_id, until) if one.id != order.id and one.is_over), order]

    def _known(self, intent_id: str, until: Until) -> list[AlpacaOrder]:
        """The orders that the intent is known to have had, as they are now, replacements followed."""
        found: dict[str, AlpacaOrder] = {}
        waiting = list(self._names.orders_of(intent_id))
        while waiting:
            order = self.order(waiting.pop(0), until)
            found[order.id] = order
            if order.replaced_by is not None and order.replaced_by not in found:
                waiting.append(order.replaced_by)
        # A replacement that came too late is rejected, and the order that it was for is what counts.
        counting = [order for order in found.values() if order.status != "rejected" or len(found) == 1]
        return sorted(counting, key=lambda order: (order.submitted_at, not order.is_over))

    def _filled(self, versions: list[AlpacaOrder], until: Until) -> int:
        """Shares filled over all versions.

        Whether a replacement's count begins anew is not said, nor whether a busted fill is taken off a count: there the
        fills are counted.
        """
        ours = {order.id for order in versions}
        replaced = any(order.status == REPLACED and order.filled for order in versions)
        if not replaced and ours.isdisjoint(self._fills.amended):
            return sum(order.filled for order in versions)
        begun = min(order.submitted_at for order in versions)
        return self._fills.shares_of(ours, begun - _OVERLAP, until)

    def _whose(self, order_id: str, until: Until) -> str:
        """The intent that an order belongs to; of an order that is not ours, its client_order_id."""
        known = self._names.intent_of(order_id)
        if known is None:
            self._look_for_new(until)
            known = self._names.intent_of(order_id)
        if known is None:
            order = self.order(order_id, until)
            if order.replaces is not None:
                self._whose(order.replaces, until)
                self._names.learn(order)
            known = self._names.intent_of(order_id)
        return known or order_id

    def _look_for_new(self, until: Until) -> None:
        """Learn whose the orders are that came since the last look."""
        after = self._listed_until - _OVERLAP
        newest = max(
            (order.submitted_at for order in self._listed({"status": "all", "nested": "true"}, after, until)),
            default=self._listed_until,
        )
        # Only a list that was read to its end says that there is nothing else before.
        self._listed_until = max(newest, self._listed_until)

    def _listed(self, asked: Mapping[str, str], after: datetime | None, until: Until) -> Iterator[AlpacaOrder]:
        """Orders, oldest first, page by page."""
        seen: set[str] = set()
        while True:
            page = {**asked, "limit": str(_ORDERS_A_PAGE), "direction": "asc"}
            if after is not None:
                page["after"] = text(after)
            said = _list(self._line.call("get", "/orders", page, until=until))
            # Listed flat, a leg would be taken for an order with a name of its own.
            read = self.note if asked["nested"] == "true" else self._seen
            orders = [read(one) for one in said if is_traded_here(one)]
            fresh = [order for order in orders if order.id not in seen]
            yield from fresh
            seen.update(order.id for order in fresh)
            if len(said) < _ORDERS_A_PAGE or not fresh:
                return
            # Several orders can have one moment, and the list begins after the moment that it is given.
            after = max(order.submitted_at for order in orders) - _INSTANT


def _list(said: Any) -> list[Any]:
    if not isinstance(said, list):
        raise Unreadable(f"a list was expected, not {type(said).__name__}")
    return said
