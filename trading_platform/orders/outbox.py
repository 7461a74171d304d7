"""Sends committed intents to the brokers, and records each answer before the next is sent.

What may be sent is only what the ledger holds, and as it holds it (`conservation`). Where it goes is `routing`. That it
is about to leave is committed first, so that what stands as INTENDED has certainly never left. Between the commit and
the socket the owner looks at its lease once more: who has lost it sends nothing, and its new owner's reconcile finds out
what has arrived. What is held back for good (`day_orders`, an exit behind a stop) is recorded as rejected, with the
reason; what has certainly not left stands as INTENDED again, and an entry is given to the backup.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final

from trading_platform.brokers.broker import Broker
from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.domain.clock import Clock
from trading_platform.domain.errors import Inconsistent
from trading_platform.domain.fills import Position
from trading_platform.domain.lifecycle import can_follow, step
from trading_platform.domain.orders import (
    Accepted,
    Answer,
    AttachedStop,
    AttachedTarget,
    Found,
    IntentKind,
    NotSent,
    Order,
    OrderEvent,
    OrderIntent,
    OrderState,
    OrderStatus,
    Rejected,
)
from trading_platform.ledger.ledger import Ledger
from trading_platform.ledger.ownership import Ownership
from trading_platform.orders.conservation import Change, require_committed
from trading_platform.orders.day_orders import is_over
from trading_platform.orders.routing import Key, Routes

_PENDING: Final = {IntentKind.CANCEL: OrderState.PENDING_CANCEL, IntentKind.REDUCE: OrderState.PENDING_REPLACE}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """One call to a broker: the intents that its answer is about, what is attached last, and what goes out."""

    intents: tuple[OrderIntent, ...]
    goes_out: Order | Change

    @property
    def intent(self) -> OrderIntent:
        return self.intents[0]


class _Sending:
    """What is known of the intents that are being sent, and of what they act on."""

    def __init__(self, ledger: Ledger, calls: Sequence[_Call]) -> None:
        self._ledger = ledger
        names = {one.id for call in calls for one in call.intents}
        names |= {call.goes_out.target for call in calls if isinstance(call.goes_out, Change)}
        self.statuses: Mapping[str, OrderStatus] = ledger.orders_by_id(sorted(names))
        self.pending: dict[str, OrderState] = {}
        """Orders that wait for a change of theirs, and how that is called."""

    @cached_property
    def positions(self) -> Mapping[Key, Position]:
        return self._ledger.holdings().positions


class Outbox:
    """The one way to the brokers' order books."""

    def __init__(
        self, *, ledger: Ledger, routes: Routes, clock: Clock, calendar: ExchangeCalendar, deadline: timedelta
    ) -> None:
        self._ledger = ledger
        self._routes = routes
        self._clock = clock
        self._calendar = calendar
        self._deadline = deadline

    def send(self, intents: Sequence[OrderIntent], ownership: Ownership) -> int:
        """Send committed intents that stand as INTENDED, in their order. Returns how many calls the brokers got.

        What is attached goes out with its entry, in one order. An exit does not go out if the resting stop in front of
        it could not be reduced: that stop may just have sold the same shares. The next minute decides anew. No order
        goes out once its session has closed: the venue would keep it for the next one.

        Raises:
            NotOwner: The lease is lost or too short; what was not sent is found absent by its owner's reconcile.
            ConservationBroken: Something in it is not as it was committed, or was sent before; nothing was sent.
        """
        calls = tuple(_calls(intents))
        if not calls:
            return 0
        sending = _Sending(self._ledger, calls)
        require_committed([call.goes_out for call in calls], sending.statuses)
        over = [call for call in calls if self._is_over(call.intent)]
        leaving = [
            (call, self._routes.venue(call.intent, sending.statuses, lambda: sending.positions))
            for call in calls
            if not self._is_over(call.intent)
        ]
        self._refuse(over, "withheld: its session has closed, and the order would wait for the next one")
        self._note_leaving(leaving, sending, ownership)
        sent = 0
        not_free: set[Key] = set()
        for call, venue in leaving:
            intent = call.intent
            key = (intent.strategy, intent.symbol)
            if intent.kind is IntentKind.EXIT and key in not_free:
                self._refuse([call], "withheld: the resting stop could not be reduced", OrderState.SENDING)
                continue
            self._ledger.ensure_owner(ownership)
            answer = self._send(call, venue, ownership)
            sent += not isinstance(answer, NotSent)
            if intent.kind is IntentKind.REDUCE and not isinstance(answer, Accepted):
                not_free.add(key)
            self._ledger.append_events(self._outcome(call, answer, sending))
        return sent

    def _is_over(self, intent: OrderIntent) -> bool:
        """Whether an order is not sent at all any more. To cancel or reduce never waits for another day."""
        return intent.kind.is_order and is_over(intent, self._clock.now(), self._calendar)

    def _refuse(self, calls: Sequence[_Call], reason: str, state: OrderState = OrderState.INTENDED) -> None:
        """Record what is held back for good."""
        now = self._clock.now()
        self._ledger.append_events(
            [step(one.id, state, OrderState.REJECTED, at=now, detail=reason) for call in calls for one in call.intents]
        )

    def _note_leaving(self, leaving: Sequence[tuple[_Call, str]], sending: _Sending, ownership: Ownership) -> None:
        """Commit that these are about to leave, and that the orders that they change wait for that."""
        if not leaving:
            return
        now, events = self._clock.now(), []
        for call, venue in leaving:
            events += [
                step(one.id, OrderState.INTENDED, OrderState.SENDING, at=now, venue=venue) for one in call.intents
            ]
            changed = _changed(call, sending)
            if changed is None or changed.intent.id in sending.pending:
                continue
            pending = _PENDING[call.intent.kind]
            if can_follow(changed.state, pending):
                events.append(step(changed.intent.id, changed.state, pending, at=now))
                sending.pending[changed.intent.id] = pending
        self._ledger.note_sending(events, ownership)

    def _send(self, call: _Call, venue: str, ownership: Ownership) -> Answer:
        answer = self._call(self._routes.broker(venue), call)
        backup = self._routes.backup
        if not isinstance(answer, NotSent) or backup is None or call.intent.kind is not IntentKind.ENTRY:
            return answer
        if venue != self._routes.primary.name:
            return answer
        # The primary has certainly not taken it: the same intent, under the same id, goes to the backup.
        now = self._clock.now()
        self._ledger.note_sending(
            [
                event
                for one in call.intents
                for event in (
                    step(one.id, OrderState.SENDING, OrderState.INTENDED, at=now, detail=answer.reason),
                    step(one.id, OrderState.INTENDED, OrderState.SENDING, at=now, venue=backup.name),
                )
            ],
            ownership,
        )
        self._ledger.ensure_owner(ownership)
        return self._call(backup, call)

    def _call(self, broker: Broker, call: _Call) -> Answer:
        deadline = self._clock.now() + self._deadline
        if isinstance(call.goes_out, Order):
            return broker.submit(call.goes_out, deadline)
        return _change(broker, call.intent.kind, call.goes_out, deadline)

    def _outcome(self, call: _Call, answer: Answer, sending: _Sending) -> list[OrderEvent]:
        """What an answer means for the intents that were sent, and for the order that they change."""
        now = self._clock.now()
        events = [_event(one, answer, now) for one in call.intents]
        changed = _changed(call, sending)
        # A cancelled order ends when it is seen ended; of a change that is not known, too, the order itself will tell.
        settled = isinstance(answer, Rejected | NotSent) or (
            isinstance(answer, Accepted) and call.intent.kind is IntentKind.REDUCE
        )
        if changed is not None and settled and changed.intent.id in sending.pending:
            working = OrderState.PARTIALLY_FILLED if changed.filled else OrderState.ACKNOWLEDGED
            events.append(step(changed.intent.id, sending.pending.pop(changed.intent.id), working, at=now))
        return events


def _changed(call: _Call, sending: _Sending) -> OrderStatus | None:
    """The order that a call changes, as it stood before; None for a new order."""
    return sending.statuses.get(call.goes_out.target) if isinstance(call.goes_out, Change) else None


def _change(broker: Broker, kind: IntentKind, change: Change, deadline: datetime) -> Answer:
    """Cancel or reduce. An order that has ended without being filled has nothing left to give way: that is done.

    It is what a change meets that was made before, and whose answer was lost with its process.
    """
    if kind is IntentKind.CANCEL:
        answer = broker.cancel(change.target, deadline)
    else:
        answer = broker.reduce(change.target, change.quantity, deadline)
    if isinstance(answer, Rejected):
        found = broker.find(change.target)
        if isinstance(found, Found) and found.order.state in (OrderState.CANCELLED, OrderState.EXPIRED):
            return Accepted(broker_order_id=found.order.broker_order_id)
    return answer


def _calls(intents: Sequence[OrderIntent]) -> Iterator[_Call]:
    """What the intents come to at a broker, in their order. Raises `Inconsistent` for one that cannot be sent."""
    attached: dict[str, list[OrderIntent]] = {}
    for intent in intents:
        if intent.parent is not None:
            attached.setdefault(intent.parent, []).append(intent)
    for intent in intents:
        if intent.parent is not None:
            continue
        if intent.kind.is_order:
            legs = tuple(attached.get(intent.id, ()))
            yield _Call(intents=(intent, *legs), goes_out=_order(intent, legs))
        else:
            yield _Call(intents=(intent,), goes_out=_change_of(intent))


def _change_of(intent: OrderIntent) -> Change:
    if intent.target is None:
        raise Inconsistent(f"{intent.kind} {intent.id} does not say which order it acts on")
    left = intent.quantity if intent.kind is IntentKind.REDUCE else 0
    return Change(intent_id=intent.id, target=intent.target, quantity=left)


def _order(intent: OrderIntent, legs: Sequence[OrderIntent]) -> Order:
    stop, target = None, None
    for leg in legs:
        if leg.kind is IntentKind.TARGET and leg.limit_price is not None:
            target = AttachedTarget(intent_id=leg.id, limit_price=leg.limit_price)
        elif leg.kind is IntentKind.STOP and leg.stop_price is not None:
            stop = AttachedStop(intent_id=leg.id, stop_price=leg.stop_price)
        else:
            raise Inconsistent(f"the {leg.kind} {leg.id} has no price")
    return Order(
        intent_id=intent.id,
        symbol=intent.symbol,
        side=intent.side,
        type=intent.type,
        quantity=intent.quantity,
        limit_price=intent.limit_price,
        stop_price=intent.stop_price if intent.kind is IntentKind.STOP else None,
        attached_stop=stop,
        attached_target=target,
    )


def _event(intent: OrderIntent, answer: Answer, at: datetime) -> OrderEvent:
    state = OrderState.SENDING
    if isinstance(answer, Accepted):
        then = OrderState.ACKNOWLEDGED if intent.kind.is_order else OrderState.APPLIED
        own = answer.broker_order_id if intent.parent is None else None
        return step(intent.id, state, then, at=at, broker_order_id=own)
    if isinstance(answer, Rejected):
        return step(intent.id, state, OrderState.REJECTED, at=at, detail=answer.reason)
    then = OrderState.INTENDED if isinstance(answer, NotSent) else OrderState.UNKNOWN
    return step(intent.id, state, then, at=at, detail=answer.reason)
