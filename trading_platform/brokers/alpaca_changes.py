"""What changes something at Alpaca: orders sent, cancelled, reduced, and what stands in place of a leg.

Here belongs the sending half of the adapter. Each request leaves once; an answer is accepted, refused, or raised as
`NoAnswer`, and nobody here sends again what may have been done.

**Legs.** Alpaca activates the legs of an order when its entry is filled whole, refuses a stop of its own while the entry
still works (a potential wash trade), cancels a whole group with one of its orders, and changes no leg's quantity. So:

- Cancelling a partly filled entry is what protects it: once the rest is cancelled for certain, what it filled gets a
  stop of its own, or a pair of stop and target, under the legs' ids. Until then it is unprotected.
- Reducing a leg cancels its group, and what is left gets a stop or a pair anew. A pair that is refused, as where the
  price is beyond the stop already, becomes the stop alone. Where an entry in the symbol works, a stop is not reduced.
- Where that stop or pair is refused or in doubt, the change itself still stands: the leg shows as cancelled, and whoever
  compares protection with positions sees it. Until somebody looks it is tried again after each further cancellation:
  another entry in the symbol that still works is a reason to refuse it, and goes next.
- A process may die between a cancellation and the protection of what was filled. Whoever cancels that entry again finds
  it ended, and places what is missing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from trading_platform.brokers.alpaca_line import AlpacaLine, NoAnswer, Refusal, Until
from trading_platform.brokers.alpaca_orders import (
    HELD,
    REPLACED,
    STATES,
    UNTOLD,
    AlpacaOrder,
    Unreadable,
    order_body,
    order_name,
    pair_body,
    stop_body,
)
from trading_platform.brokers.alpaca_view import AlpacaView
from trading_platform.domain.orders import Accepted, Answer, Order, OrderState, OrderType, Rejected

_TAKEN: Final = "must be unique"
_NOT_AVAILABLE: Final = 40310000
_WASH_TRADE: Final = "wash trade"
_CANCELLING: Final = "pending_cancel"
_REPLACEMENTS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Protection:
    """What shall stand in place of a group's legs. `names` are the intents: of the entry, the stop, the target."""

    names: tuple[str, ...]
    group: AlpacaOrder
    quantity: int


class AlpacaChanges:
    """Sends, cancels and reduces. Raises `Refusal`, `NoAnswer` and `Unreadable` besides its answers."""

    def __init__(self, line: AlpacaLine, view: AlpacaView) -> None:
        self._line, self._view = line, view
        self._missing: dict[str, _Protection] = {}
        self._unprotected: dict[str, str] = {}

    @property
    def unprotected(self) -> Mapping[str, str]:
        """Entries, or legs, whose shares lost their protection here, and why."""
        return dict(self._unprotected)

    def give_up_protection(self) -> None:
        """What could not be placed is not tried again: somebody looks now, and will decide on what is missing."""
        self._missing.clear()

    def place(self, order: Order, until: Until) -> Answer:
        """Send an order. A name that Alpaca has already is the same order, sent before: it is looked up."""
        body = order_body(order)
        try:
            said = self._line.call("post", "/orders", body, until=until)
        except Refusal as refusal:
            if _TAKEN not in refusal.message:
                raise
            return self._sent_before(order, until)
        return _taken(self._view.note(said))

    def leave(self, intent_id: str, quantity: int, until: Until) -> Answer:
        """Leave at most `quantity` shares of an order open; 0 cancels it."""
        if quantity < 0:
            return Rejected(reason=f"{quantity} shares cannot be left open")
        if until.seconds <= 0:
            raise NoAnswer("the deadline had passed, nothing was sent")
        order, group = self._working(intent_id, until)
        if order is None:
            return Rejected(reason=f"no order {intent_id} is known")
        if order.is_over:
            self._protect_what_was_left(order, until)
            return Rejected(reason=f"nothing is left of order {intent_id}: it is {order.status}")
        if order.status == HELD:
            return Rejected(reason=f"{intent_id} waits for its entry: at Alpaca the entry would be cancelled with it")
        if quantity and quantity >= order.open_quantity:
            return Accepted(broker_order_id=order.id)
        if group is not None:
            return self._leave_of_group(group, order, quantity, until)
        if not order.legs:
            return self._replace(order, quantity, until) if quantity else self._cancelled(order, until)
        if quantity:
            return Rejected(reason=f"Alpaca changes no quantity of an order with legs, as {intent_id} is: cancel it")
        return self._cancel_entry(order, until)

    def _working(self, intent_id: str, until: Until) -> tuple[AlpacaOrder | None, AlpacaOrder | None]:
        """The order that counts now, and the group that it belongs to. A refused question is no refused change."""
        try:
            versions = self._view.versions(intent_id, until)
            if not versions:
                return None, None
            order = versions[-1]
            return order, order if order.kind == "oco" and order.legs else self._view.parent_of(order.id, until)
        except Refusal as refusal:
            raise NoAnswer(f"Alpaca does not show order {intent_id}: {refusal}") from None

    def _sent_before(self, order: Order, until: Until) -> Answer:
        try:
            found = self._view.named(order_name(order), until)
        except Refusal as refusal:
            raise NoAnswer(f"Alpaca has this id already and does not show its order: {refusal}") from None
        if found is None:
            raise NoAnswer("Alpaca has this id already and does not show its order")
        if (found.symbol, found.side) != (order.symbol, order.side):
            return Rejected(reason=f"another order, {found.id}, has this id")
        return _taken(found)

    def _cancelled(self, order: AlpacaOrder, until: Until) -> Answer:
        """Cancel an order, and say so once it is certain."""
        doubt = None
        try:
            self._line.call("delete", f"/orders/{order.id}", until=until)
        except Refusal:
            # It may have ended since it was looked at, or be about to: what became of it is the answer.
            now = self._shown(order.id, until)
            if not now.is_over and now.status != _CANCELLING:
                raise
        except NoAnswer as error:
            if not until.may_have_left:
                raise
            # Whether it was done shows in the order itself.
            doubt = error
        ended = self._settled(order.id, until, doubt)
        if STATES[ended.status] in (OrderState.CANCELLED, OrderState.EXPIRED):
            return Accepted(broker_order_id=ended.id)
        return Rejected(reason=f"order {order.id} was {ended.status} before it could be cancelled")

    def _cancel_entry(self, entry: AlpacaOrder, until: Until) -> Answer:
        """Cancel an entry with legs, which end with it, and protect what it has filled."""
        answer = self._cancelled(entry, until)
        ended = self._settled(entry.id, until)
        # One that was filled after all has legs of its own at work, and stands in nobody's way any more.
        bought = ended.filled if isinstance(answer, Accepted) else 0
        self._protect(_Protection(names=_names_of(ended), group=ended, quantity=bought), until)
        return answer

    def _protect_what_was_left(self, entry: AlpacaOrder, until: Until) -> None:
        """Place what should stand in place of a cancelled entry's legs, if nothing ever did."""
        stop = entry.leg(stop=True)
        if entry.kind not in ("oto", "bracket") or stop is None or not entry.filled:
            return
        if STATES.get(entry.status) is not OrderState.CANCELLED:
            return
        names = _names_of(entry)
        if [order.id for order in self._view.versions(names[1], until)] == [stop.id]:
            self._protect(_Protection(names=names, group=entry, quantity=entry.filled), until)

    def _leave_of_group(self, group: AlpacaOrder, leg: AlpacaOrder, left: int, until: Until) -> Answer:
        """Cancel a leg, and its group with it, and put what shall be left in its place."""
        if left and group.kind == "oto":
            entry = self._view.entry_at_work(group.symbol, until)
            if entry is not None:
                return Rejected(
                    reason=f"beside the working entry {entry.client_id} Alpaca takes no stop: cancel it first"
                )
        answer = self._cancelled(leg, until)
        if not left or not isinstance(answer, Accepted):
            return answer
        legs = [self._settled(one.id, until) for one in _legs_of(group)]
        quantity = min(left, *(one.quantity - one.filled for one in legs))
        self._protect(_Protection(names=_names_of(group), group=group, quantity=quantity), until)
        return answer

    def _protect(self, wanted: _Protection, until: Until) -> None:
        """Put a stop, or a pair of stop and target, in place of a group's legs, and whatever is missing elsewhere."""
        if wanted.quantity > 0:
            self._missing[wanted.group.id] = wanted
        for group, missing in list(self._missing.items()):
            try:
                self._place_protection(missing, until)
            except (Refusal, NoAnswer, Unreadable) as error:
                self._unprotected[group] = str(error)
            else:
                self._missing.pop(group, None)
                self._unprotected.pop(group, None)

    def _place_protection(self, wanted: _Protection, until: Until) -> None:
        stop, target = _legs_wanted(wanted)
        if target is not None:
            try:
                pair = (wanted.names[1], wanted.names[2])
                return self._place_when_free(pair_body(pair, stop, target, wanted.quantity), until)
            except Refusal as refusal:
                if refusal.code == _NOT_AVAILABLE:
                    raise
        return self._place_when_free(stop_body(wanted.names[1], stop, wanted.quantity), until)

    def _place_when_free(self, body: Mapping[str, Any], until: Until) -> None:
        """Send what protects. Shares that a cancelled order held may take a moment to be free."""
        while True:
            try:
                self._view.note(self._line.call("post", "/orders", body, until=until))
            except Refusal as refusal:
                if _TAKEN in refusal.message:
                    self._view.named(str(body["client_order_id"]), until)
                    return
                waits = refusal.code == _NOT_AVAILABLE and _WASH_TRADE not in refusal.message
                if not waits or not until.pause():
                    raise
            else:
                return

    def _replace(self, order: AlpacaOrder, left: int, until: Until) -> Answer:
        """Replace an order by one with `left` shares open.

        Whether a replacement's quantity counts what was filled before is not said. What is open afterwards is: where
        that is still too much, it is replaced once more.
        """
        for _ in range(_REPLACEMENTS):
            surplus = order.open_quantity - left
            if surplus <= 0:
                return Accepted(broker_order_id=order.id)
            body = _changed(order, order.quantity - surplus)
            replacement = self._view.note(self._line.call("patch", f"/orders/{order.id}", body, until=until))
            before = self._settled(order.id, until)
            if before.status != REPLACED:
                return Rejected(reason=f"order {order.id} was {before.status} before it could be reduced")
            order = self._shown(before.replaced_by or replacement.id, until)
        raise NoAnswer(f"order {order.id} still has {order.open_quantity} shares open")

    def _shown(self, order_id: str, until: Until) -> AlpacaOrder:
        try:
            return self._view.order(order_id, until)
        except Refusal as refusal:
            # That a question was refused says nothing of what was sent before.
            raise NoAnswer(f"Alpaca took the change, and does not show order {order_id}: {refusal}") from None

    def _settled(self, order_id: str, until: Until, doubt: NoAnswer | None = None) -> AlpacaOrder:
        """The order once it has ended: 200 and 204 only say that Alpaca will try. `doubt`: or did not even say that."""
        while True:
            try:
                order = self._shown(order_id, until)
                if order.is_over:
                    return order
                error = doubt or NoAnswer(f"Alpaca took the change, and order {order_id} is still {order.status}")
            except NoAnswer as unanswered:
                error = unanswered
            if not until.pause():
                raise error


def _legs_of(group: AlpacaOrder) -> list[AlpacaOrder]:
    """The orders for the same shares: a pair's first is the group's own order."""
    found = [group.leg(stop=True), group if group.kind == "oco" else group.leg(stop=False)]
    return [leg for leg in found if leg is not None]


def _names_of(group: AlpacaOrder) -> tuple[str, ...]:
    """The group's intents: of the entry, the stop, and the target if there is one. A pair's entry is not named."""
    return ("", *reversed(group.names[:2])) if group.kind == "oco" else group.names


def _legs_wanted(wanted: _Protection) -> tuple[AlpacaOrder, AlpacaOrder | None]:
    """The stop, and the target if there is one, whose prices the new ones shall have."""
    group = wanted.group
    stop = group.leg(stop=True)
    target = group if group.kind == "oco" else group.leg(stop=False)
    if stop is None or len(wanted.names) <= 1 + (target is not None):
        raise Unreadable(f"Alpaca's order {group.id} shows no stop that is ours")
    return stop, target


def _changed(order: AlpacaOrder, quantity: int) -> dict[str, str]:
    body = {"qty": str(quantity), "time_in_force": order.time_in_force.value}
    if order.type in (OrderType.LIMIT, OrderType.STOP_LIMIT) and order.limit_price is not None:
        body["limit_price"] = f"{order.limit_price:f}"
    if order.type in (OrderType.STOP, OrderType.STOP_LIMIT) and order.stop_price is not None:
        body["stop_price"] = f"{order.stop_price:f}"
    return body


def _taken(order: AlpacaOrder) -> Accepted | Rejected:
    if order.status == UNTOLD:
        raise NoAnswer(f"Alpaca does not say how order {order.id} stands")
    if order.status == "rejected":
        return Rejected(reason=f"Alpaca rejected order {order.id}")
    return Accepted(broker_order_id=order.id)
