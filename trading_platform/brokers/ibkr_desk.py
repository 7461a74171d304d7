"""What is done with orders at TWS: placing, cancelling, reducing. Runs on the connection's loop.

**What counts.** An order is taken when TWS shows it, by order, status or execution. It is refused when TWS says so
with a number that the table lists as certain. Everything else, after something was written, is not known: silence, a
lost connection, a number that is not listed, and 103, which TWS also sends for an order that it works.

**A leg that is refused** leaves no entry without its protection: the entry is cancelled. **Legs that go with a
cancelled entry** leave what it bought without theirs: they are placed anew, under the same ids.
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from trading_platform.brokers.ibkr_codes import Meaning
from trading_platform.brokers.ibkr_link import Link, NotWritten
from trading_platform.brokers.ibkr_memory import Told
from trading_platform.brokers.ibkr_messages import NoAnswer, RequestRefused
from trading_platform.brokers.ibkr_orders import (
    LIVE,
    WAITING,
    Placement,
    TwsOrder,
    placed_anew,
    placements_of,
    resized,
    vendor_symbol,
)
from trading_platform.brokers.ibkr_views import Views
from trading_platform.brokers.order_checks import Refused
from trading_platform.domain.orders import Accepted, Answer, Order, Rejected, Unknown


class Desk:
    """Works orders over one link; `views` is of the same."""

    def __init__(self, link: Link, views: Views) -> None:
        self._link, self._heard, self._views = link, link.heard, views
        self._contracts: dict[str, Any] = {}

    async def submit(self, order: Order, limit: float) -> Answer:
        """Place an order with its legs. Raises `NotWritten` or `Refused` where nothing was written."""
        link = self._link
        link.require_ready()
        contract = await self._contract(order.symbol, limit)
        legs = (order.attached_target, order.attached_stop)
        count = 1 + sum(leg is not None for leg in legs)
        await link.allow(count, limit, urgent=True)
        placements = placements_of(order, link.take_ids(count), link.address.account)
        for one in placements:
            self._views.note_sent(one.order_ref)
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
            with contextlib.suppress(TimeoutError, OSError, NotWritten, NoAnswer):
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
        except (TimeoutError, OSError, NotWritten) as error:
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
        except (TimeoutError, OSError, NotWritten, NoAnswer):
            return Unknown(reason=said)
        if all(self._taken(one) for one in placements):
            return Accepted(broker_order_id=str(self._taken(placements[0])))
        return Unknown(reason=said)

    async def leave(self, intent_id: str, quantity: int, limit: float) -> Answer:
        """Leave at most `quantity` shares of an order open, and of the other leg of its bracket; 0 cancels them.

        Raises `NotWritten` or `Refused` where nothing was written.
        """
        if quantity < 0:
            raise Refused(f"{quantity} shares cannot be left open")
        link = self._link
        link.require_ready()
        try:
            await link.pull_working(limit)
        except (TimeoutError, OSError, NoAnswer) as error:
            raise NotWritten(f"TWS did not tell its orders: {error or 'no answer before the deadline'}") from error
        order = self._oldest_open(intent_id)
        if order.client_id != link.address.client_id:
            raise Refused(f"order {intent_id} belongs to the client id {order.client_id} of TWS")
        group = (order, *self._other_legs(order))
        if quantity == 0:
            legs = [one for one in self._heard.legs_of(order) if not one.has_ended]
            answer = await self._cancel(group, limit)
            return await self._protect(order, legs, limit) if legs and isinstance(answer, Accepted) else answer
        larger = [one for one in group if self._views.open_quantity(one) > quantity]
        if not larger:
            return Accepted(broker_order_id=str(order.perm_id))
        return await self._resize(larger, quantity, limit)

    def _oldest_open(self, intent_id: str) -> TwsOrder:
        named = [one for one in self._heard.orders.values() if one.order_ref == intent_id]
        still = [one for one in named if one.perm_id in self._link.open_now and not one.has_ended]
        if still:
            return min(still, key=lambda one: one.perm_id)
        if named:
            raise Refused(f"nothing is left of order {intent_id}: it is {self._views.shown(named[-1]).state}")
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

    async def _protect(self, entry: TwsOrder, legs: Sequence[TwsOrder], limit: float) -> Answer:
        """Place anew the legs of a cancelled entry that bought something, if TWS has let them go with it."""
        link = self._link
        try:
            await link.pull_working(limit)
            held = max(self._now(entry).filled, self._heard.executed(entry)) - sum(
                max(self._now(one).filled, self._heard.executed(one)) for one in self._heard.legs_of(entry)
            )
            gone = [one for one in legs if one.perm_id not in link.open_now or self._now(one).has_ended]
            if held > 0 and len(gone) == len(legs):
                await link.allow(len(gone), limit, urgent=True)
                first, account = link.take_ids(len(gone)), link.address.account
                anew = [placed_anew(one, first + place, held, account) for place, one in enumerate(gone)]
                link.place(entry.contract, anew, limit)
                await link.until(lambda: self._all_said(anew), limit)
                if refused := next((said for one in anew if (said := self._refusal(one)) is not None), None):
                    return Unknown(reason=f"it is cancelled, and what protects what it bought was refused: {refused}")
        except (TimeoutError, OSError, NotWritten, NoAnswer) as error:
            why = str(error) or "no answer before the deadline"
            return Unknown(reason=f"it is cancelled; whether what it bought is protected is not known: {why}")
        return Accepted(broker_order_id=str(entry.perm_id))

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

    async def _contract(self, symbol: str, limit: float) -> Any:
        """TWS's own contract of a US stock. Raises `Refused` if it has none, `NotWritten` if it does not say."""
        known = self._contracts.get(symbol)
        if known is not None:
            return known
        from ib_insync.contract import Stock

        wanted = Stock(vendor_symbol(symbol), "SMART", "USD")
        try:
            found = await self._link.ask(None, lambda client, number: client.reqContractDetails(number, wanted), limit)
        except RequestRefused as refused:
            if refused.meaning is not Meaning.REFUSED:
                raise NotWritten(f"TWS did not tell its contract of {symbol}: {refused}") from refused
            raise Refused(f"{symbol} cannot be traded at TWS: {refused}") from refused
        except (TimeoutError, OSError, NoAnswer) as error:
            raise NotWritten(f"TWS did not tell its contract of {symbol}: {error or 'no answer in time'}") from error
        if len(found) != 1:
            raise Refused(f"{symbol} is {len(found)} contracts at TWS, not one: look the symbol up there")
        contract = found[0].contract
        contract.exchange = "SMART"
        self._contracts[symbol] = contract
        return contract
