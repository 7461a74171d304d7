"""Sends committed intents to the broker, and records each answer before the next is sent.

What may be sent is only what the ledger holds, and as it holds it (`conservation`). Between the commit and the socket
the owner looks at its lease once more: who has lost it sends nothing, and the intent waits for its new owner's
reconcile. What is held back for good (`day_orders`, an exit behind a stop) is recorded as rejected, with the reason.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from trading_platform.brokers.broker import Broker
from trading_platform.calendars.exchange import ExchangeCalendar
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
from trading_platform.orders.conservation import Change, require_committed
from trading_platform.orders.day_orders import is_over

Answer = Accepted | Rejected | Unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """One call to the broker: the intents that its answer is about, the attached stop last, and what goes out."""

    intents: tuple[OrderIntent, ...]
    goes_out: Order | Change

    @property
    def intent(self) -> OrderIntent:
        return self.intents[0]


class Outbox:
    """The one way to a broker's order book."""

    def __init__(
        self, *, ledger: Ledger, broker: Broker, clock: Clock, calendar: ExchangeCalendar, deadline: timedelta
    ) -> None:
        self._ledger = ledger
        self._broker = broker
        self._clock = clock
        self._calendar = calendar
        self._deadline = deadline

    def send(self, intents: Sequence[OrderIntent], ownership: Ownership) -> int:
        """Send committed intents that stand as INTENDED, in their order. Returns how many calls the broker got.

        An attached stop goes out with its entry, in one order. An exit does not go out if the resting stop in front of
        it could not be reduced: that stop may just have sold the same shares. The next minute decides anew. No order
        goes out once its session has closed: the venue would keep it for the next one.

        Raises:
            NotOwner: The lease is lost or too short; what was not sent stays INTENDED.
            ConservationBroken: Something in it is not as it was committed, or was sent before; nothing was sent.
        """
        calls = tuple(_calls(intents))
        if not calls:
            return 0
        committed = self._ledger.orders_by_id([one.id for call in calls for one in call.intents])
        require_committed([call.goes_out for call in calls], committed)
        sent = 0
        not_free: set[tuple[str, str]] = set()
        for call in calls:
            intent = call.intent
            key = (intent.strategy, intent.symbol)
            withheld = self._withheld(intent, behind_a_stop=key in not_free)
            if withheld is not None:
                self._ledger.append_events([_event(one, withheld, self._clock.now()) for one in call.intents])
                continue
            self._ledger.ensure_owner(ownership)
            answer = self._call(call)
            sent += 1
            if intent.kind is IntentKind.REDUCE and not isinstance(answer, Accepted):
                not_free.add(key)
            self._ledger.append_events([_event(one, answer, self._clock.now()) for one in call.intents])
        return sent

    def _withheld(self, intent: OrderIntent, *, behind_a_stop: bool) -> Rejected | None:
        """Why an order is not sent at all, or None. To cancel or reduce never waits for another day."""
        if intent.kind.is_order and is_over(intent, self._clock.now(), self._calendar):
            return Rejected(reason="withheld: its session has closed, and the order would wait for the next one")
        if intent.kind is IntentKind.EXIT and behind_a_stop:
            return Rejected(reason="withheld: the resting stop could not be reduced")
        return None

    def _call(self, call: _Call) -> Answer:
        deadline = self._clock.now() + self._deadline
        if isinstance(call.goes_out, Order):
            return self._broker.submit(call.goes_out, deadline)
        return self._change(call.intent.kind, call.goes_out, deadline)

    def _change(self, kind: IntentKind, change: Change, deadline: datetime) -> Answer:
        """Cancel or reduce. An order that has ended without being filled has nothing left to give way: that is done.

        It is what a change meets that was made before, and whose answer was lost with its process.
        """
        if kind is IntentKind.CANCEL:
            answer = self._broker.cancel(change.target, deadline)
        else:
            answer = self._broker.reduce(change.target, change.quantity, deadline)
        if isinstance(answer, Rejected):
            found = self._broker.find(change.target)
            if isinstance(found, Found) and found.order.state in (OrderState.CANCELLED, OrderState.EXPIRED):
                return Accepted(broker_order_id=found.order.broker_order_id)
        return answer


def _calls(intents: Sequence[OrderIntent]) -> Iterator[_Call]:
    """What the intents come to at the broker, in their order. Raises `Inconsistent` for one that cannot be sent."""
    stops = {intent.parent: intent for intent in intents if intent.parent is not None}
    for intent in intents:
        if intent.parent is not None:
            continue
        if intent.kind.is_order:
            attached = stops.get(intent.id)
            both = (intent,) if attached is None else (intent, attached)
            yield _Call(intents=both, goes_out=_order(intent, attached))
        else:
            yield _Call(intents=(intent,), goes_out=_change_of(intent))


def _change_of(intent: OrderIntent) -> Change:
    if intent.target is None:
        raise Inconsistent(f"{intent.kind} {intent.id} does not say which order it acts on")
    left = intent.quantity if intent.kind is IntentKind.REDUCE else 0
    return Change(intent_id=intent.id, target=intent.target, quantity=left)


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
