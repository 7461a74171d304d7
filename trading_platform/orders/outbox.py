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
from trading_platform.domain.errors import ConservationBroken, Inconsistent
from trading_platform.domain.fills import Position
from trading_platform.domain.ids import intent_id
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

_NOT_TAKEN: Final = (OrderState.INTENDED, OrderState.SENDING, OrderState.REJECTED)
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
        names |= {name for call in calls for name in _earlier_legs(call.intent)}
        self.statuses: Mapping[str, OrderStatus] = ledger.orders_by_id(sorted(names))
        self.pending: dict[str, OrderState] = {}
        """Orders that wait for a change of theirs, and how that is called."""
        self._homes: dict[str, str] = {}

    def note_home(self, entry: OrderIntent, venue: str) -> None:
        """Note that a broker has an entry, or may have it."""
        self._homes[entry.id] = venue

    def home(self, entry: OrderIntent) -> str | None:
        """The broker that has an earlier leg of the same entry, or may have it: one holding is at one broker."""
        for name in _earlier_legs(entry):
            status = self.statuses.get(name)
            taken = status is not None and status.state not in _NOT_TAKEN
            home = self._homes.get(name) or (status.venue if status is not None and taken else None)
            if home is not None:
                return home
        return None

    def target_beside(self, stop: OrderIntent) -> OrderStatus | None:
        """The target that is attached to the same entry as a stop, if there is one."""
        if stop.parent is None:
            return None
        name = _name_of(stop, IntentKind.TARGET, stop.leg)
        return self._ledger.orders_by_id([name]).get(name)

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
        it could not be reduced, or if that stop, or the target beside it, has sold what the ledger does not know yet: they
        may have sold the same shares. Nor does it in the minute in which its entry is cancelled at a venue where that puts
        up what protects its fills. The next minute decides anew. No order goes out once its session has closed: the venue
        would keep it for the next one.

        Raises:
            NotOwner: The lease is lost or too short; what was not sent is found absent by its owner's reconcile.
            ConservationBroken: Something in it is not as it was committed, or was sent before; nothing was sent.
        """
        calls = tuple(_calls(intents))
        if not calls:
            return 0
        sending = _Sending(self._ledger, calls)
        try:
            require_committed([call.goes_out for call in calls], sending.statuses)
        except ConservationBroken:
            # Who has lost the book finds that its successor has sent them: that is no breach.
            self._ledger.ensure_owner(ownership)
            raise
        over = [call for call in calls if self._is_over(call.intent)]
        leaving = [
            (call, self._routes.venue(call.intent, sending.statuses, lambda: sending.positions))
            for call in calls
            if not self._is_over(call.intent)
        ]
        self._refuse(over, "withheld: its session has closed, and the order would wait for the next one", ownership)
        self._note_leaving(leaving, sending, ownership)
        sent = 0
        not_free: dict[Key, str] = {}
        reduced: dict[Key, list[OrderStatus]] = {}
        for call, venue in leaving:
            intent = call.intent
            key = (intent.strategy, intent.symbol)
            if intent.kind is IntentKind.EXIT and key in not_free:
                self._refuse([call], not_free[key], ownership, OrderState.SENDING)
                continue
            if intent.kind is IntentKind.EXIT and not self._are_booked(reduced.get(key, ()), venue, sending):
                said = "withheld: what protected it may have sold in the meantime"
                self._refuse([call], said, ownership, OrderState.SENDING)
                continue
            self._ledger.ensure_owner(ownership)
            answer = self._send(call, venue, sending, ownership)
            sent += not isinstance(answer, NotSent)
            if intent.kind is IntentKind.REDUCE and not isinstance(answer, Accepted):
                not_free.setdefault(key, "withheld: the resting stop could not be reduced")
            elif intent.kind is IntentKind.CANCEL and self._puts_up_protection(call, venue, sending):
                not_free.setdefault(key, "withheld: to cancel its entry puts up what protects the same shares")
            elif intent.kind is IntentKind.REDUCE and (stop := _changed(call, sending)) is not None:
                reduced.setdefault(key, []).append(stop)
            # That the broker has it stays true. That it has not may be of an earlier sending than the successor's.
            fenced = ownership if isinstance(answer, Rejected | NotSent) else None
            self._ledger.append_events(self._outcome(call, answer, sending), fenced)
        return sent

    def _puts_up_protection(self, call: _Call, venue: str, sending: _Sending) -> bool:
        """Whether what a cancelled entry has filled gets its stop by the cancel, for as many shares as it is."""
        entry = _changed(call, sending)
        follows = self._routes.broker(venue).capabilities.legs_follow_fills
        return entry is not None and entry.filled > 0 and not follows

    def _are_booked(self, stops: Sequence[OrderStatus], venue: str, sending: _Sending) -> bool:
        """Whether reduced stops, and the targets beside them, have certainly sold no more than is booked."""
        targets = (sending.target_beside(stop.intent) for stop in stops)
        for one in (*stops, *(target for target in targets if target is not None)):
            found = self._routes.broker(venue).find(one.intent.id)
            if not isinstance(found, Found) or found.order.filled > one.filled:
                return False
        return True

    def _is_over(self, intent: OrderIntent) -> bool:
        """Whether an order is not sent at all any more. To cancel or reduce never waits for another day."""
        return intent.kind.is_order and is_over(intent, self._clock.now(), self._calendar)

    def _refuse(
        self, calls: Sequence[_Call], reason: str, ownership: Ownership, state: OrderState = OrderState.INTENDED
    ) -> None:
        """Record what is held back for good."""
        now = self._clock.now()
        self._ledger.append_events(
            [step(one.id, state, OrderState.REJECTED, at=now, detail=reason) for call in calls for one in call.intents],
            ownership,
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

    def _send(self, call: _Call, venue: str, sending: _Sending, ownership: Ownership) -> Answer:
        """Send an entry to where its earlier legs are, else to the primary or then its backup; the rest to `venue`."""
        if call.intent.kind is not IntentKind.ENTRY:
            return self._call(self._routes.broker(venue), call)
        home, backup = sending.home(call.intent), self._routes.backup
        if home is not None and home != venue:
            venue = home
            answer = self._send_elsewhere(call, f"another order of its entry is at {home}", venue, ownership)
        else:
            answer = self._call(self._routes.broker(venue), call)
            fails_over = home is None and venue == self._routes.primary.name
            if isinstance(answer, NotSent) and backup is not None and fails_over:
                venue = backup.name
                answer = self._send_elsewhere(call, answer.reason, venue, ownership)
        if not isinstance(answer, NotSent | Rejected):
            sending.note_home(call.intent, venue)
        return answer

    def _send_elsewhere(self, call: _Call, reason: str, venue: str, ownership: Ownership) -> Answer:
        """What has certainly not been taken goes, as the same intent and under the same id, to another broker."""
        now = self._clock.now()
        self._ledger.note_sending(
            [
                event
                for one in call.intents
                for event in (
                    step(one.id, OrderState.SENDING, OrderState.INTENDED, at=now, detail=reason),
                    step(one.id, OrderState.INTENDED, OrderState.SENDING, at=now, venue=venue),
                )
            ],
            ownership,
        )
        self._ledger.ensure_owner(ownership)
        return self._call(self._routes.broker(venue), call)

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


def _earlier_legs(intent: OrderIntent) -> list[str]:
    """The names of the orders of the same entry that leave before this one."""
    return [_name_of(intent, intent.kind, leg) for leg in range(intent.leg)] if intent.kind is IntentKind.ENTRY else []


def _name_of(intent: OrderIntent, kind: IntentKind, leg: int) -> str:
    """The name of an order of the same decision that is never tried again."""
    return intent_id(
        book=intent.book,
        strategy=intent.strategy,
        symbol=intent.symbol,
        bar_time=intent.bar_time,
        kind=kind.value,
        leg=leg,
        attempt=0,
    )


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
