"""Sends committed intents to the brokers, and records each answer before the next is sent.

What may be sent is only what the ledger holds, and as it holds it (`conservation`). Where it goes is `routing`. That it
is about to leave is committed first, so that what stands as INTENDED has certainly never left. Between the commit and
the socket the owner looks at its lease once more: who has lost it sends nothing, and its new owner's reconcile finds out
what has arrived. What is held back for good (`day_orders`, an exit behind a stop) is recorded as rejected, with the
reason; what has certainly not left stands as INTENDED again, and an entry is given to the backup.

**What is sent a second time** (`Outbox.resend`) may be doubtful: its first sending may still arrive. Such an order goes to
the broker that may have it and to no other, and it never comes to stand as INTENDED, REJECTED or anything else that says
that it is nowhere.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from trading_platform.brokers.broker import Broker
from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.domain.clock import Clock
from trading_platform.domain.errors import ConservationBroken, Inconsistent
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
    Unknown,
)
from trading_platform.ledger.ledger import Ledger
from trading_platform.ledger.ownership import Ownership
from trading_platform.orders.batch import Batch, Call, changed_by, exits_after, reduced_before
from trading_platform.orders.conservation import Change, require_committed
from trading_platform.orders.day_orders import is_over
from trading_platform.orders.routing import Key, Routes

_NOT_REDUCED: Final = "withheld: the resting stop could not be reduced"
_AGAIN: Final = "it has not arrived yet"
_PENDING: Final = {IntentKind.CANCEL: OrderState.PENDING_CANCEL, IntentKind.REDUCE: OrderState.PENDING_REPLACE}


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

    def resend(self, intents: Sequence[OrderIntent], ownership: Ownership, doubtful: Collection[str]) -> int:
        """Send what an earlier run has committed. Returns how many calls the brokers got.

        What was decided together may not be sent together any more: an exit does not go out unless every reduction that
        was decided with it has been made. Raises as `send` does.

        Args:
            intents: They stand as INTENDED, or are among the doubtful.
            ownership: Whoever sends owns the book.
            doubtful: The ids of those that stand as SENDING and may have left: their broker takes an id once only.
        """
        return self._send_all(intents, ownership, frozenset(doubtful), again=True)

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
        return self._send_all(intents, ownership, frozenset(), again=False)

    def _send_all(
        self, intents: Sequence[OrderIntent], ownership: Ownership, doubtful: frozenset[str], *, again: bool
    ) -> int:
        calls = tuple(_calls(intents))
        if not calls:
            return 0
        batch = Batch(self._ledger, calls, doubtful, self._decided_with(calls, again=again))
        try:
            require_committed([call.goes_out for call in calls], batch.statuses, doubtful)
        except ConservationBroken:
            # Who has lost the book finds that its successor has sent them: that is no breach.
            self._ledger.ensure_owner(ownership)
            raise
        leaving = self._leaving(calls, batch, ownership)
        protecting = reduced_before(leaving, batch)
        self._note_leaving(leaving, batch, ownership)
        sent = 0
        for place, (call, venue) in enumerate(leaving):
            if call.intent.id in batch.withheld:
                continue
            stops = protecting.setdefault(call.key, [])
            if call.intent.kind is IntentKind.EXIT and not self._are_booked(stops, venue, batch):
                said = "withheld: what protected it may have sold in the meantime"
                self._ledger.append_events(self._held_back([call], said, batch), ownership)
                continue
            self._ledger.ensure_owner(ownership)
            answer = self._send(call, venue, batch, ownership)
            sent += not isinstance(answer, NotSent)
            if call.intent.kind is IntentKind.REDUCE and (stop := changed_by(call, batch)) is not None:
                stops.append(stop)
            # With the outcome is recorded what it keeps back: who comes after this process must not send that alone.
            why = self._keeps_exits_back(call, answer, venue, batch)
            kept = exits_after(leaving[place + 1 :], call, batch) if why else []
            events = [*self._outcome(call, answer, batch), *self._held_back(kept, why, batch)]
            # That the broker has it stays true. All else may be of an earlier sending than the successor's.
            fenced = None if isinstance(answer, Accepted) and not kept else ownership
            self._ledger.append_events(events, fenced)
        return sent

    def _decided_with(self, calls: Sequence[Call], *, again: bool) -> Iterator[OrderIntent]:
        """What was decided with the intents that are sent, where that has a weight: an entry's legs, an exit's changes."""
        wanted = {IntentKind.ENTRY} if self._routes.backup is not None else set[IntentKind]()
        if again:
            wanted.add(IntentKind.EXIT)
        for bar_time in sorted({call.intent.bar_time for call in calls if call.intent.kind in wanted}):
            yield from self._ledger.intents(bar_time)

    def _leaving(self, calls: Sequence[Call], batch: Batch, ownership: Ownership) -> list[tuple[Call, str]]:
        """The calls that are to be made, each with its broker. What cannot be made is recorded as held back."""
        leaving: list[tuple[Call, str]] = []
        held_back: list[OrderEvent] = []
        stranded: set[Key] = set()
        for call in calls:
            venue = self._venue(call, batch)
            why = ""
            if self._is_over(call.intent):
                why = "withheld: its session has closed, and the order would wait for the next one"
            elif not self._routes.has(venue):
                why = f"withheld: it belongs to the broker {venue}, which is not configured"
                if call.intent.kind is IntentKind.REDUCE:
                    stranded.add(call.key)
            elif call.intent.kind is IntentKind.EXIT and (
                call.key in stranded
                or any(one.state is not OrderState.APPLIED for one in batch.reductions(call.intent))
            ):
                why = _NOT_REDUCED
            if why:
                held_back += self._held_back([call], why, batch, OrderState.INTENDED)
            else:
                leaving.append((call, venue))
        self._ledger.append_events(held_back, ownership)
        return leaving

    def _venue(self, call: Call, batch: Batch) -> str:
        """The name of the broker that a call goes to first."""
        entering = call.intent.kind is IntentKind.ENTRY and call.intent.id not in batch.doubtful
        home = batch.home(call.intent) if entering else None
        return home or self._routes.venue(call.intent, batch.statuses, lambda: batch.positions)

    def _keeps_exits_back(self, call: Call, answer: Answer, venue: str, batch: Batch) -> str:
        """Why no exit of the same strategy and symbol goes out after this call; empty: it may."""
        if call.intent.kind is IntentKind.REDUCE and not isinstance(answer, Accepted):
            return _NOT_REDUCED
        if call.intent.kind is IntentKind.CANCEL and self._puts_up_protection(call, venue, batch):
            return "withheld: to cancel its entry puts up what protects the same shares"
        return ""

    def _puts_up_protection(self, call: Call, venue: str, batch: Batch) -> bool:
        """Whether what a cancelled entry has filled gets its stop by the cancel, for as many shares as it is."""
        entry = changed_by(call, batch)
        follows = self._routes.broker(venue).capabilities.legs_follow_fills
        return entry is not None and entry.filled > 0 and not follows

    def _are_booked(self, stops: Sequence[OrderStatus], venue: str, batch: Batch) -> bool:
        """Whether reduced stops, and the targets beside them, have certainly sold no more than is booked."""
        targets = (batch.target_beside(stop.intent) for stop in stops)
        for one in (*stops, *(target for target in targets if target is not None)):
            found = self._routes.broker(venue).find(one.intent.id)
            if not isinstance(found, Found) or found.order.filled > one.filled:
                return False
        return True

    def _is_over(self, intent: OrderIntent) -> bool:
        """Whether an order is not sent at all any more. To cancel or reduce never waits for another day."""
        return intent.kind.is_order and is_over(intent, self._clock.now(), self._calendar)

    def _held_back(
        self, calls: Sequence[Call], reason: str, batch: Batch, state: OrderState = OrderState.SENDING
    ) -> list[OrderEvent]:
        """The end of what does not go out. What may have left before does not end by that: its outcome is not known."""
        now, events = self._clock.now(), list[OrderEvent]()
        for call in calls:
            batch.withheld.add(call.intent.id)
            for one in call.intents:
                doubtful = one.id in batch.doubtful
                then = OrderState.UNKNOWN if doubtful else OrderState.REJECTED
                events.append(step(one.id, OrderState.SENDING if doubtful else state, then, at=now, detail=reason))
        return events

    def _note_leaving(self, leaving: Sequence[tuple[Call, str]], batch: Batch, ownership: Ownership) -> None:
        """Commit that these are about to leave, and that the orders that they change wait for that."""
        if not leaving:
            return
        now, events = self._clock.now(), []
        for call, venue in leaving:
            for one in call.intents:
                if one.id in batch.doubtful:
                    # In the one commit: how long it may still arrive counts from its latest batch.
                    events.append(step(one.id, OrderState.SENDING, OrderState.INTENDED, at=now, detail=_AGAIN))
                events.append(step(one.id, OrderState.INTENDED, OrderState.SENDING, at=now, venue=venue))
            changed = changed_by(call, batch)
            if changed is None or changed.intent.id in batch.pending:
                continue
            pending = _PENDING[call.intent.kind]
            if can_follow(changed.state, pending):
                events.append(step(changed.intent.id, changed.state, pending, at=now))
                batch.pending[changed.intent.id] = pending
        self._ledger.note_sending(events, ownership)

    def _send(self, call: Call, venue: str, batch: Batch, ownership: Ownership) -> Answer:
        """Send an entry to where its other legs are, else to the primary or then its backup; the rest to `venue`.

        What may have left before goes nowhere else, whatever `venue` says to it now.
        """
        if call.intent.kind is not IntentKind.ENTRY or call.intent.id in batch.doubtful:
            return self._call(self._routes.broker(venue), call)
        home, backup = batch.home(call.intent), self._routes.backup
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
            batch.note_home(call.intent, venue)
        return answer

    def _send_elsewhere(self, call: Call, reason: str, venue: str, ownership: Ownership) -> Answer:
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

    def _call(self, broker: Broker, call: Call) -> Answer:
        deadline = self._clock.now() + self._deadline
        if isinstance(call.goes_out, Order):
            return broker.submit(call.goes_out, deadline)
        return _change(broker, call.intent.kind, call.goes_out, deadline)

    def _outcome(self, call: Call, answer: Answer, batch: Batch) -> list[OrderEvent]:
        """What an answer means for the intents that were sent, and for the order that they change."""
        now = self._clock.now()
        events = [_event(one, answer, now, doubtful=one.id in batch.doubtful) for one in call.intents]
        changed = changed_by(call, batch)
        # A cancelled order ends when it is seen ended; of a change that is not known, too, the order itself will tell.
        settled = isinstance(answer, Rejected | NotSent) or (
            isinstance(answer, Accepted) and call.intent.kind is IntentKind.REDUCE
        )
        if changed is not None and settled and changed.intent.id in batch.pending:
            working = OrderState.PARTIALLY_FILLED if changed.filled else OrderState.ACKNOWLEDGED
            events.append(step(changed.intent.id, batch.pending.pop(changed.intent.id), working, at=now))
        return events


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


def _calls(intents: Sequence[OrderIntent]) -> Iterator[Call]:
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
            yield Call(intents=(intent, *legs), goes_out=_order(intent, legs))
        else:
            yield Call(intents=(intent,), goes_out=_change_of(intent))


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


def _event(intent: OrderIntent, answer: Answer, at: datetime, *, doubtful: bool) -> OrderEvent:
    state = OrderState.SENDING
    if isinstance(answer, Accepted):
        then = OrderState.ACKNOWLEDGED if intent.kind.is_order else OrderState.APPLIED
        own = answer.broker_order_id if intent.parent is None else None
        return step(intent.id, state, then, at=at, broker_order_id=own)
    # What is said of a second sending says nothing of the first.
    if isinstance(answer, Unknown) or doubtful:
        return step(intent.id, state, OrderState.UNKNOWN, at=at, detail=answer.reason)
    then = OrderState.REJECTED if isinstance(answer, Rejected) else OrderState.INTENDED
    return step(intent.id, state, then, at=at, detail=answer.reason)
