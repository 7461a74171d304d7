"""What TWS shows, in the platform's words: looking up an order, what works, what was executed.

Nothing here changes anything. Every answer is pulled anew, and completed from memory with what TWS has forgotten. Runs
on the connection's loop.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from trading_platform.brokers.ibkr_executions import TwsExecution, told
from trading_platform.brokers.ibkr_link import Link
from trading_platform.brokers.ibkr_orders import CANCELLED, TwsOrder, reported
from trading_platform.domain.orders import Absent, BrokerOrder, Execution, Found, Unknown

_NO_FEE: Final = Decimal(0)


class Views:
    """Looks over one link.

    Args:
        link: the connection.
        settle: an id that TWS does not show is absent only once the connection has stood, and the id's own message has
            been away, for so long: what went out over a connection that broke may arrive after its successor. Whoever
            asks may know when it meant to send, and not when a process that died in between has sent.
    """

    def __init__(self, link: Link, *, settle: timedelta) -> None:
        self._link, self._heard, self._settle = link, link.heard, settle
        self._sent_at: dict[str, datetime] = {}

    def note_sent(self, order_ref: str) -> None:
        """An order with this id is about to be written."""
        now = self._link.clock.now()
        self._sent_at = {name: at for name, at in self._sent_at.items() if now - at < self._settle}
        self._sent_at[order_ref] = now

    async def find(self, intent_id: str, limit: float) -> Found | Absent | Unknown:
        """Look for an order among open and ended ones and executions: the oldest one of this id.

        Absent is only what TWS shows nowhere over a connection that is sound and has settled.
        """
        link = self._link
        link.require_ready()
        await link.pull(limit)
        listed = link.open_now | link.completed_now
        named = [one for one in self._orders_and_orphans() if one.order_ref == intent_id]
        # TWS can give an order a second permId when it restarts: what it does not list any more, and never saw end, is
        # the same order under the first.
        shown = [one for one in named if one.perm_id in listed or one.has_ended]
        if shown:
            return Found(order=self.shown(self._standing(shown)))
        if named:
            return Unknown(reason="TWS knew this order, and does not list it any more")
        now = link.clock.now()
        since = max(link.ready_since, self._sent_at.get(intent_id, link.ready_since))
        if now - since < self._settle:
            return Unknown(reason=f"not seen yet, {(now - since).total_seconds():.1f} seconds after it could be sent")
        if not link.is_healthy:
            return Unknown(reason=link.why_not)
        return Absent()

    def _orders_and_orphans(self) -> list[TwsOrder]:
        """Every order that was heard of, and those of which only executions are known."""
        heard = self._heard
        orphans: dict[int, TwsOrder] = {}
        for done in heard.executions.values():
            if done.perm_id in heard.orders or self._is_renumbered(done.perm_id, done.order_ref):
                continue
            known = orphans.get(done.perm_id)
            filled = done.shares + (known.filled if known else 0)
            orphans[done.perm_id] = TwsOrder(
                perm_id=done.perm_id,
                client_id=done.client_id,
                order_id=done.order_id,
                parent_id=0,
                oca_group="",
                order_ref=done.order_ref,
                symbol=done.symbol,
                action="BUY" if done.side == "BOT" else "SELL",
                order_type="MKT",
                tif="DAY",
                limit=0.0,
                stop=0.0,
                total=filled,
                filled=filled,
                status="Filled",
                contract=None,
            )
        return [*heard.orders.values(), *orphans.values()]

    def _is_renumbered(self, perm_id: int, order_ref: str) -> bool:
        """Whether the order of these executions is listed under another permId."""
        listed = self._link.open_now | self._link.completed_now
        return any(
            one.order_ref == order_ref and one.perm_id != perm_id and one.perm_id in listed
            for one in self._heard.orders.values()
        )

    async def open_orders(self, limit: float) -> tuple[BrokerOrder, ...]:
        """Every order of the account that works, by permId."""
        await self._link.pull_working(limit)
        working = [self._heard.orders[perm_id] for perm_id in sorted(self._link.open_now)]
        return tuple(self.shown(one) for one in working if not one.has_ended)

    def shown(self, order: TwsOrder) -> BrokerOrder:
        """An order as the port shows it."""
        listed_open = order.perm_id in self._link.open_now
        executed = self._heard.executed(order)
        known = replace(order, filled=max(order.filled, executed))
        left = self.open_quantity(known)
        if self._heard.is_corrected(order):
            # TWS counts what the order did; what counts here is what stands of it.
            known = replace(known, filled=executed)
        return self._with_earlier(reported(known, left, listed_open=listed_open), order)

    def _standing(self, shown: Sequence[TwsOrder]) -> TwsOrder:
        """The oldest that works, or else that did not end by a cancel; what was placed anew stands for what was."""
        working = [one for one in shown if one.perm_id in self._link.open_now and not one.has_ended]
        kept = [one for one in shown if one.status not in CANCELLED]
        return min(working or kept, key=_by_perm_id) if working or kept else max(shown, key=_by_perm_id)

    def _with_earlier(self, shown: BrokerOrder, order: TwsOrder) -> BrokerOrder:
        """An order that was placed anew, with what it had filled before it was cancelled."""
        before = sum(
            max(one.filled, self._heard.executed(one))
            for one in self._heard.named(order.order_ref)
            if order.order_ref and one.perm_id < order.perm_id and one.status in CANCELLED
        )
        return replace(shown, filled=shown.filled + before, quantity=shown.quantity + before) if before else shown

    def open_quantity(self, order: TwsOrder) -> int:
        """Shares that an order may still fill. A leg's are at most those that its entry bought and no leg sold."""
        left = max(order.total - order.filled, 0)
        bought = self._bought_by_parent(order)
        if bought is None:
            return left
        sold = sum(max(one.filled, self._heard.executed(one)) for one in self._heard.legs_beside(order))
        return max(min(left, bought - sold), 0)

    def _bought_by_parent(self, leg: TwsOrder) -> int | None:
        """What the entry of a leg has filled; None for an order that is no leg, or whose entry is not known any more."""
        if leg.parent_id == 0:
            return None
        executed = self._heard.executed_by_id(leg.client_id, leg.parent_id, leg.symbol)
        parent = self._heard.newest(leg.client_id, leg.parent_id, leg.symbol)
        return max(parent.filled, executed) if parent is not None else executed or None

    async def executions(self, patience: timedelta, limit: float) -> tuple[Execution, ...]:
        """Every execution that was heard of, by time, with what corrects it.

        TWS tells whole seconds: of one second the purchases come first, for there is nothing to sell before them.

        One whose commission has not come is held back: booked with another fee it would never agree with TWS again.
        Held back for longer than `patience`, it is shown without a fee: an execution must not be lost for its fee. If
        TWS still tells the commission after that, the execution is shown with it, and differs from what was booked: a
        person has to see that the book is short of a fee.
        """
        link, heard = self._link, self._heard
        await link.pull_executions(limit)
        now = link.clock.now()

        def fee_of(word: TwsExecution) -> Decimal | None:
            fee = heard.commissions.get(word.execution_id)
            if fee is None and (word.shares == 0 or now - word.heard_at >= patience):
                return _NO_FEE
            return fee

        def all_priced() -> bool | None:
            return all(fee_of(one) is not None for one in heard.executions.values()) or None

        wait = link.patience.commissions.total_seconds()
        with contextlib.suppress(TimeoutError):
            await link.until(all_priced, min(limit, asyncio.get_running_loop().time() + wait))
        shown = [one for words in heard.words.values() for one in told(words, fee_of)]
        return tuple(sorted(shown, key=lambda one: (one.time, one.side, one.execution_id)))


def _by_perm_id(order: TwsOrder) -> int:
    return order.perm_id
