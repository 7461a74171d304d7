"""Sends committed intents to the broker, and records each answer before the next is sent.

What may be sent is only what the ledger holds. Between the commit and the socket the owner looks at its lease once
more: who has lost it sends nothing, and the intent waits for its new owner's reconcile.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from trading_platform.brokers.broker import Broker
from trading_platform.domain.clock import Clock
from trading_platform.domain.errors import Inconsistent
from trading_platform.domain.lifecycle import step
from trading_platform.domain.orders import (
    Accepted,
    AttachedStop,
    Found,
    IntentKind,
    Order,
    OrderEvent,
    OrderIntent,
    OrderState,
    Rejected,
    Unknown,
)
from trading_platform.ledger.ledger import Ledger
from trading_platform.ledger.ownership import Ownership

Answer = Accepted | Rejected | Unknown


class Outbox:
    """The one way to a broker's order book."""

    def __init__(self, *, ledger: Ledger, broker: Broker, clock: Clock, deadline: timedelta) -> None:
        self._ledger = ledger
        self._broker = broker
        self._clock = clock
        self._deadline = deadline

    def send(self, intents: Sequence[OrderIntent], ownership: Ownership) -> int:
        """Send committed intents that stand as INTENDED, in their order. Returns how many calls the broker got.

        An attached stop goes out with its entry, in one order. An exit does not go out if the resting stop in front of
        it could not be reduced: that stop may just have sold the same shares. The next minute decides anew.

        Raises:
            NotOwner: The lease is lost or too short; what was not sent stays INTENDED.
        """
        stops = {intent.parent: intent for intent in intents if intent.parent is not None}
        sent = 0
        not_free: set[tuple[str, str]] = set()
        for intent in intents:
            if intent.parent is not None:
                continue
            key = (intent.strategy, intent.symbol)
            if intent.kind is IntentKind.EXIT and key in not_free:
                withheld = Rejected(reason="withheld: the resting stop could not be reduced")
                self._ledger.append_events([_event(intent, withheld, self._clock.now())])
                continue
            self._ledger.ensure_owner(ownership)
            attached = stops.get(intent.id)
            answer = self._call(intent, attached)
            sent += 1
            if intent.kind is IntentKind.REDUCE and not isinstance(answer, Accepted):
                not_free.add(key)
            both = [intent] if attached is None else [intent, attached]
            self._ledger.append_events([_event(one, answer, self._clock.now()) for one in both])
        return sent

    def _call(self, intent: OrderIntent, attached: OrderIntent | None) -> Answer:
        deadline = self._clock.now() + self._deadline
        if not intent.kind.is_order:
            return self._change(intent, deadline)
        return self._broker.submit(_order(intent, attached), deadline)

    def _change(self, intent: OrderIntent, deadline: datetime) -> Answer:
        """Cancel or reduce. An order that has ended without being filled has nothing left to give way: that is done.

        It is what a change meets that was made before, and whose answer was lost with its process.
        """
        if intent.target is None:
            raise Inconsistent(f"{intent.kind} {intent.id} does not say which order it acts on")
        if intent.kind is IntentKind.CANCEL:
            answer = self._broker.cancel(intent.target, deadline)
        else:
            answer = self._broker.reduce(intent.target, intent.quantity, deadline)
        if isinstance(answer, Rejected):
            found = self._broker.find(intent.target)
            if isinstance(found, Found) and found.order.state in (OrderState.CANCELLED, OrderState.EXPIRED):
                return Accepted(broker_order_id=found.order.broker_order_id)
        return answer


def _order(intent: OrderIntent, attached: OrderIntent | None) -> Order:
    stop = None
    if attached is not None:
        if attached.stop_price is None:
            raise Inconsistent(f"the stop {attached.id} has no price")
        stop = AttachedStop(intent_id=attached.id, stop_price=attached.stop_price)
    return Order(
        intent_id=intent.id,
        symbol=intent.symbol,
        side=intent.side,
        type=intent.type,
        quantity=intent.quantity,
        limit_price=intent.limit_price,
        stop_price=intent.stop_price if intent.kind is IntentKind.STOP else None,
        attached_stop=stop,
    )


def _event(intent: OrderIntent, answer: Answer, at: datetime) -> OrderEvent:
    state = OrderState.INTENDED
    if isinstance(answer, Accepted):
        then = OrderState.ACKNOWLEDGED if intent.kind.is_order else OrderState.APPLIED
        own = answer.broker_order_id if intent.parent is None else None
        return step(intent.id, state, then, at=at, broker_order_id=own)
    if isinstance(answer, Rejected):
        return step(intent.id, state, OrderState.REJECTED, at=at, detail=answer.reason)
    return step(intent.id, state, OrderState.UNKNOWN, at=at, detail=answer.reason)
