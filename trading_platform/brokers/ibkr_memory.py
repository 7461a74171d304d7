"""What is known of orders, executions and commissions, and kept while TWS forgets: the adapter's own memory.

Here belong the values and how they are found again. Which message changes what is `ibkr_messages`'s. An order is kept
by its permId. Within one connection TWS also names it by client and orderId; these can be given anew after TWS was
restarted, so that half of the memory ends with its connection.

The vendor's own memory of orders (its class `IB`) is not used: it is empty after a dropped socket, calls an order
cancelled at any error that it does not know, and shows states that TWS never sent.
"""

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from trading_platform.brokers.ibkr_codes import Meaning, meaning_of
from trading_platform.brokers.ibkr_executions import TwsExecution
from trading_platform.brokers.ibkr_orders import TwsOrder, platform_symbol
from trading_platform.domain.clock import Clock

_KEPT: Final = timedelta(days=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An error message about one order."""

    code: int
    text: str

    @property
    def meaning(self) -> Meaning:
        """What its number means."""
        return meaning_of(self.code)

    def __str__(self) -> str:
        return f"{self.text} (TWS {self.code})"


class Memory:
    """Orders by permId, executions by identity, commissions by TWS's whole id of an execution.

    Of an execution `executions` has the last word, and `words` every one that was heard, in their order.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.orders: dict[int, TwsOrder] = {}
        self.executions: dict[str, TwsExecution] = {}
        self.words: dict[str, list[TwsExecution]] = {}
        self._corrected: set[int] = set()
        self.commissions: dict[str, Decimal] = {}
        self._shares: Counter[Hashable] = Counter()
        self._families: dict[tuple[int, int, str], set[int]] = {}
        self._named: dict[str, set[int]] = {}
        self._newest: dict[tuple[int, int, str], int] = {}
        self.forget_connection()

    def forget_connection(self) -> None:
        """Forget the ids and errors of the last connection, and what ended days ago."""
        self._forget_old()
        self.perm_ids: dict[tuple[int, int], int] = {}
        self.errors: dict[int, list[Told]] = {}
        self.highest_id = 0

    def order_of(self, client_id: int, order_id: int) -> TwsOrder | None:
        """The order that this connection knows by these ids."""
        return self.orders.get(self.perm_ids.get((client_id, order_id), 0))

    def executed(self, order: TwsOrder) -> int:
        """Shares of an order's executions, as far as they were heard of."""
        return self._shares[order.perm_id]

    def is_corrected(self, order: TwsOrder) -> bool:
        """Whether an execution of an order was corrected: what TWS counts as filled may be from before that."""
        return order.perm_id in self._corrected

    def executed_by_id(self, client_id: int, order_id: int, symbol: str) -> int:
        """The same for an order of which only its client's id is known."""
        return self._shares[(client_id, order_id, symbol)]

    def legs_of(self, entry: TwsOrder) -> list[TwsOrder]:
        """Every leg of an entry."""
        family = self._families.get((entry.client_id, entry.order_id, entry.symbol), set()) if entry.order_id else set()
        return [self.orders[perm_id] for perm_id in sorted(family)]

    def newest(self, client_id: int, order_id: int, symbol: str) -> TwsOrder | None:
        """The order of these ids: of several, the newest, to which TWS has given an id anew."""
        return self.orders.get(self._newest.get((client_id, order_id, symbol), 0))

    def named(self, order_ref: str) -> list[TwsOrder]:
        """Every order with this id, by permId."""
        return [self.orders[perm_id] for perm_id in sorted(self._named.get(order_ref, ()))]

    def legs_beside(self, order: TwsOrder) -> list[TwsOrder]:
        """Every leg of the entry that `order` is a leg of, itself included."""
        family = self._families.get((order.client_id, order.parent_id, order.symbol), set())
        return [self.orders[perm_id] for perm_id in family]

    def keep(self, order: TwsOrder) -> None:
        """What TWS now says of an order."""
        if order.has_ended and order.ended_at is None:
            order = replace(order, ended_at=self._clock.now())
        self.orders[order.perm_id] = order
        self._named.setdefault(order.order_ref, set()).add(order.perm_id)
        if order.order_id:
            ids = (order.client_id, order.order_id, order.symbol)
            self._newest[ids] = max(self._newest.get(ids, 0), order.perm_id)
        if order.parent_id:
            self._families.setdefault((order.client_id, order.parent_id, order.symbol), set()).add(order.perm_id)

    def keep_execution(self, done: TwsExecution) -> None:
        """A word on an execution, in place of what was said of it before. A late one changes nothing any more."""
        known = self.executions.get(done.identity)
        if known is not None and known.number >= done.number:
            return
        self.executions[done.identity] = done
        self.words.setdefault(done.identity, []).append(done)
        if done.number > 1:
            self._corrected.add(done.perm_id)
        if known is not None:
            self._count(known, -1)
        self._count(done, 1)

    def _count(self, done: TwsExecution, sign: int) -> None:
        for key in (done.perm_id, (done.client_id, done.order_id, done.symbol)):
            self._shares[key] += sign * done.shares

    def _forget_old(self) -> None:
        """A process that runs for weeks does not keep all their orders: TWS itself keeps one day's."""
        before = self._clock.now() - _KEPT
        for order in [one for one in self.orders.values() if one.ended_at is not None and one.ended_at < before]:
            del self.orders[order.perm_id]
            ids = (order.client_id, order.order_id, order.symbol)
            if self._newest.get(ids) == order.perm_id:
                del self._newest[ids]
            self._named[order.order_ref].discard(order.perm_id)
            if not self._named[order.order_ref]:
                del self._named[order.order_ref]
            self._families.get((order.client_id, order.parent_id, order.symbol), set()).discard(order.perm_id)
        for done in [one for one in self.executions.values() if one.time < before]:
            del self.executions[done.identity]
            for word in self.words.pop(done.identity):
                self.commissions.pop(word.execution_id, None)
            self._corrected.discard(done.perm_id)
            self._count(done, -1)


def order_from(contract: Any, order: Any, order_id: int) -> TwsOrder:
    """The vendor's order, before anything is known of its fills and status."""
    return TwsOrder(
        perm_id=order.permId,
        client_id=order.clientId,
        order_id=order_id,
        parent_id=order.parentId,
        oca_group=order.ocaGroup,
        order_ref=order.orderRef,
        symbol=platform_symbol(contract.symbol if contract.secType == "STK" else contract.localSymbol),
        action=order.action,
        order_type=order.orderType,
        tif=order.tif,
        limit=order.lmtPrice,
        stop=order.auxPrice,
        total=int(order.totalQuantity),
        filled=0,
        status="",
        contract=contract,
    )
