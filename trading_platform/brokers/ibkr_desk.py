"""What is done with orders at TWS: placing, cancelling, reducing, looking up. Runs on the connection's loop.

**What counts.** An order is taken when TWS shows it, by order, status or execution. It is refused when TWS says so
with a number that the table lists as certain. Everything else, after something was written, is not known: silence, a
lost connection, a number that is not listed, and 103, which TWS also sends for an order that it works.

**A leg that is refused** leaves no entry without its protection: the entry is cancelled.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from trading_platform.brokers.ibkr_codes import Meaning
from trading_platform.brokers.ibkr_link import Link, NotSent
from trading_platform.brokers.ibkr_messages import RequestRefused, Told
from trading_platform.brokers.ibkr_orders import (
    LIVE,
    WAITING,
    Placement,
    TwsOrder,
    placements_of,
    reported,
    resized,
    vendor_symbol,
)
from trading_platform.brokers.order_checks import Refused
from trading_platform.domain.orders import (
    Absent,
    Accepted,
    BrokerOrder,
    Execution,
    Found,
    Order,
    Rejected,
    Side,
    Unknown,
)

_NO_FEE: Final = Decimal(0)
_COMMISSION_WAIT: Final = 1.0
"""Seconds that a call waits for commissions: they come right after their executions, as a rule."""
Answer = Accepted | Rejected | Unknown


class Desk:
    """Works orders over one link.

    Args:
        link: the connection.
        settle: an id that TWS does not show is absent only once the connection has stood, and the id's own message has
            been away, for so long: what went out over a connection that broke may arrive after its successor.
    """

    def __init__(self, link: Link, *, settle: timedelta) -> None:
        self._link, self._heard, self._settle = link, link.heard, settle
        self._contracts: dict[str, Any] = {}
        self._sent_at: dict[str, datetime] = {}

    async def submit(self, order: Order, limit: float) -> Answer:
        """Place an order with its legs. Raises `NotSent` or `Refused` where nothing was written."""
        link = self._link
        link.require_ready()
        contract = await self._contract(order.symbol, limit)
        legs = (order.attached_target, order.attached_stop)
        count = 1 + sum(leg is not None for leg in legs)
        await link.allow(count, limit, urgent=True)
        placements = placements_of(order, link.take_ids(count), link.address.account)
        for one in placements:
            self._sent_at[one.order_ref] = link.clock.now()
        link.place(contract, placements, limit)
        return await self._answer_to(placements, limit)

    async def _answer_to(self, placements: Sequence[Placement], limit: float) -> Answer:
        entry, *legs = placements
        try:
            await self._link.until(lambda: self._all_said(placements), limit)
        except (TimeoutError, OSError) as error:
            return Unknown(reason=f"sent, and then {error or 'no answer before the deadline'}")
        if any(self._refusal(one) is not None and self._taken(one) for one in placements):
            # TWS said both: what it lists decides.
            with contextlib.suppress(TimeoutError, OSError, NotSent, RequestRefused):
                await self._link.pull(limit)
        if (refusal := self._refusal(entry)) is not None:
            return Rejected(reason=str(refusal))
        refused = next((said for leg in legs if (said := self._refusal(leg)) is not None), None)
        if refused is not None:
            return await self._take_back(entry, refused, limit)
        if all(self._taken(one) for one in placements):
            return Accepted(broker_order_id=str(self._taken(entry)))
        return await self._look_again(placements, limit)

    def _all_said(self, placements: Sequence[Placement]) -> bool | None:
        """Whether there is a word on every order, or on one that it is refused; None: not yet."""
        if any(self._refusal(one) is not None for one in placements):
            return True
        return all(self._taken(one) or self._errors(one.order_id) for one in placements) or None

    def _taken(self, one: Placement) -> int:
        """The permId of an order that TWS has shown to have; 0 where it has not."""
        client_id = self._link.address.client_id
        order = self._heard.order_of(client_id, one.order_id)
        if order is not None and order.order_ref == one.order_ref and order.status not in WAITING:
            return order.perm_id
        filled = (
            done.perm_id
            for done in self._heard.executions.values()
            if (done.client_id, done.order_id, done.order_ref) == (client_id, one.order_id, one.order_ref)
        )
        return next(filled, 0)

    def _refusal(self, one: Placement) -> Told | None:
        """The certain refusal of an order that TWS does not list as working, and that has not filled in any part."""
        order = self._heard.order_of(self._link.address.client_id, one.order_id)
        if order is not None and order.order_ref == one.order_ref:
            works = order.status in LIVE and order.perm_id in self._link.open_now
            if works or order.filled or self._heard.executed(order):
                return None
        return next((told for told in self._errors(one.order_id) if told.meaning is Meaning.REFUSED), None)

    def _errors(self, order_id: int, since: int = 0) -> list[Told]:
        """What was said against an order, notes left out."""
        return [told for told in self._heard.errors.get(order_id, [])[since:] if told.meaning is not Meaning.NOTE]

    async def _take_back(self, entry: Placement, refused: Told, limit: float) -> Answer:
        """Cancel an entry of which a leg was refused. TWS may have it, or wait with it for its last leg."""
        why = f"what protects it was refused: {refused}"
        before = len(self._heard.errors.get(entry.order_id, []))

        def ended() -> bool | None:
            order = self._heard.order_of(self._link.address.client_id, entry.order_id)
            return order.has_ended if order is not None else bool(self._errors(entry.order_id, before))

        try:
            await self._link.allow(1, limit, urgent=True)
            self._link.cancel([entry.order_id], limit)
            await self._link.until(lambda: ended() or None, limit)
        except (TimeoutError, OSError, NotSent) as error:
            return Unknown(reason=f"{why}; whether the entry is cancelled is not known: {error or 'no answer'}")
        order = self._heard.order_of(self._link.address.client_id, entry.order_id)
        if order is not None and (order.filled or self._heard.executed(order)):
            return Unknown(reason=f"{why}; the entry filled in part before it was cancelled")
        return Rejected(reason=why)

    async def _look_again(self, placements: Sequence[Placement], limit: float) -> Answer:
        """An error that is not certain: the order itself tells, if TWS shows it."""
        said = "; ".join(str(told) for one in placements for told in self._errors(one.order_id))
        try:
            # TWS tells anew from which id on all are free.
            await self._link.tell(lambda client: client.reqIds(1), limit)
            await self._link.pull(limit)
        except (TimeoutError, OSError, NotSent, RequestRefused):
            return Unknown(reason=said)
        if all(self._taken(one) for one in placements):
            return Accepted(broker_order_id=str(self._taken(placements[0])))
        return Unknown(reason=said)

    async def leave(self, intent_id: str, quantity: int, limit: float) -> Answer:
        """Leave at most `quantity` shares of an order open, and of the other leg of its bracket; 0 cancels them.

        Raises `NotSent` or `Refused` where nothing was written.
        """
        if quantity < 0:
            raise Refused(f"{quantity} shares cannot be left open")
        link = self._link
        link.require_ready()
        try:
            await link.pull_open(limit)
            await link.pull_executions(limit)
        except (TimeoutError, OSError, RequestRefused) as error:
            raise NotSent(f"TWS did not tell its orders: {error or 'no answer before the deadline'}") from error
        order = self._oldest_open(intent_id)
        if order.client_id != link.address.client_id:
            raise Refused(f"order {intent_id} belongs to the client id {order.client_id} of TWS")
        group = (order, *self._other_legs(order))
        if quantity == 0:
            return await self._cancel(group, limit)
        larger = [one for one in group if self.open_quantity(one) > quantity]
        if not larger:
            return Accepted(broker_order_id=str(order.perm_id))
        return await self._resize(larger, quantity, limit)

    def _oldest_open(self, intent_id: str) -> TwsOrder:
        named = [one for one in self._heard.orders.values() if one.order_ref == intent_id]
        still = [one for one in named if one.perm_id in self._link.open_now and not one.has_ended]
        if still:
            return min(still, key=lambda one: one.perm_id)
        if named:
            raise Refused(f"nothing is left of order {intent_id}: it is {self._shown(named[-1]).state}")
        raise Refused(f"no order {intent_id} is known")

    def _other_legs(self, order: TwsOrder) -> list[TwsOrder]:
        """The other open orders of a leg's OCA group."""
        if not order.oca_group:
            return []
        return [
            one
            for one in self._heard.orders.values()
            if one.oca_group == order.oca_group
            and one.client_id == order.client_id
            and one.perm_id != order.perm_id
            and one.perm_id in self._link.open_now
            and not one.has_ended
        ]

    async def _cancel(self, orders: Sequence[TwsOrder], limit: float) -> Answer:
        """Cancel orders; the answer is about the first, and all must have ended for it."""
        before = self._counts(orders)
        await self._link.allow(len(orders), limit, urgent=True)
        self._link.cancel([one.order_id for one in orders], limit)

        def ended() -> bool | None:
            return all(self._now(one).has_ended or self._refused_since(one, before) for one in orders) or None

        def answer() -> Answer:
            first = self._now(orders[0])
            if first.status == "Filled":
                return Rejected(reason=f"it was filled before it could be cancelled: {first.filled} shares")
            if not first.has_ended:
                return Rejected(reason=str(self._refused_since(orders[0], before)))
            if all(self._now(one).has_ended for one in orders):
                return Accepted(broker_order_id=str(first.perm_id))
            return Unknown(reason="the other leg of its bracket could not be cancelled")

        return await self._changed(ended, answer, limit)

    async def _resize(self, orders: Sequence[TwsOrder], quantity: int, limit: float) -> Answer:
        """Change the totals of orders, so that `quantity` shares are left of each."""
        before = self._counts(orders)
        totals = {one.perm_id: one.filled + quantity for one in orders}
        await self._link.allow(len(orders), limit, urgent=True)
        changed = [resized(one, totals[one.perm_id], self._link.address.account) for one in orders]
        self._link.place(orders[0].contract, changed, limit)

        def is_done(one: TwsOrder) -> bool:
            now = self._now(one)
            return now.has_ended or now.total <= totals[one.perm_id]

        def said() -> bool | None:
            return all(is_done(one) or self._refused_since(one, before) for one in orders) or None

        def answer() -> Answer:
            refused = next(
                (why for one in orders if not is_done(one) and (why := self._refused_since(one, before))), None
            )
            if refused is not None and refused.meaning is Meaning.LOOK_UP:
                return Unknown(reason=str(refused))
            if refused is not None:
                return Rejected(reason=str(refused))
            if all(self._now(one).has_ended for one in orders):
                return Rejected(reason="nothing is left of it")
            return Accepted(broker_order_id=str(orders[0].perm_id))

        return await self._changed(said, answer, limit)

    async def _changed(self, said: Callable[[], bool | None], answer: Callable[[], Answer], limit: float) -> Answer:
        try:
            await self._link.until(said, limit)
        except (TimeoutError, OSError) as error:
            return Unknown(reason=f"sent, and then {error or 'no answer before the deadline'}")
        return answer()

    def _counts(self, orders: Sequence[TwsOrder]) -> dict[int, int]:
        return {one.order_id: len(self._heard.errors.get(one.order_id, [])) for one in orders}

    def _refused_since(self, order: TwsOrder, before: dict[int, int]) -> Told | None:
        new = self._errors(order.order_id, before[order.order_id])
        return next((told for told in new if told.meaning is not Meaning.CANCELLED), None)

    def _now(self, order: TwsOrder) -> TwsOrder:
        return self._heard.orders.get(order.perm_id, order)

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
            return Found(order=self._shown(min(shown, key=lambda one: one.perm_id)))
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
        await self._link.pull_open(limit)
        await self._link.pull_executions(limit)
        working = [self._heard.orders[perm_id] for perm_id in sorted(self._link.open_now)]
        return tuple(self._shown(one) for one in working if not one.has_ended)

    def _shown(self, order: TwsOrder) -> BrokerOrder:
        listed_open = order.perm_id in self._link.open_now
        known = replace(order, filled=max(order.filled, self._heard.executed(order)))
        return reported(known, self.open_quantity(known), listed_open=listed_open)

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
        key = (leg.client_id, leg.parent_id, leg.symbol)
        parents = [one for one in self._heard.orders.values() if (one.client_id, one.order_id, one.symbol) == key]
        if parents:
            # An id that was given anew belongs to the newer order.
            return max(max(parents, key=lambda one: one.perm_id).filled, executed)
        return executed or None

    async def executions(self, patience: timedelta, limit: float) -> tuple[Execution, ...]:
        """Every execution that was heard of, by time, in its last correction.

        One whose commission has not come is held back: booked with another fee it would never agree with TWS again.
        Held back for longer than `patience`, it is shown without a fee: an execution must not be lost for its fee.
        """
        link, heard = self._link, self._heard
        await link.pull_executions(limit)

        def all_priced() -> bool | None:
            return all(one.execution_id in heard.commissions for one in heard.executions.values()) or None

        with contextlib.suppress(TimeoutError):
            await link.until(all_priced, min(limit, asyncio.get_running_loop().time() + _COMMISSION_WAIT))
        now = link.clock.now()
        shown = [
            Execution(
                execution_id=one.identity,
                broker_order_id=str(one.perm_id),
                intent_id=one.order_ref or f"ibkr-{one.perm_id}",
                symbol=one.symbol,
                side=Side.BUY if one.side == "BOT" else Side.SELL,
                quantity=one.shares,
                price=one.price,
                fee=heard.commissions.get(one.execution_id, _NO_FEE),
                time=one.time,
            )
            for one in heard.executions.values()
            # A bust leaves an execution of no shares.
            if one.shares > 0 and (one.execution_id in heard.commissions or now - one.first_heard >= patience)
        ]
        return tuple(sorted(shown, key=lambda one: (one.time, one.execution_id)))

    async def _contract(self, symbol: str, limit: float) -> Any:
        """TWS's own contract of a US stock. Raises `Refused` if it has none, `NotSent` if it does not say."""
        known = self._contracts.get(symbol)
        if known is not None:
            return known
        from ib_insync.contract import Stock

        wanted = Stock(vendor_symbol(symbol), "SMART", "USD")
        try:
            found = await self._link.ask(None, lambda client, number: client.reqContractDetails(number, wanted), limit)
        except RequestRefused as refused:
            raise Refused(f"{symbol}: {refused}") from refused
        except (TimeoutError, OSError) as error:
            raise NotSent(f"TWS did not tell its contract of {symbol}: {error or 'no answer in time'}") from error
        if len(found) != 1:
            raise Refused(f"{symbol} is {len(found)} contracts at TWS, not one")
        contract = found[0].contract
        contract.exchange = "SMART"
        self._contracts[symbol] = contract
        return contract
