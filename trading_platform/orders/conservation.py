"""Conservation (rule 13): what leaves is never more, and nothing else, than what was decided. A breach is a hard stop.

It is looked at twice. Before the commit the intents of one minute are held against its decisions; just before the call
what goes out is held against the intent as the ledger has it, so that no fault in between can make it grow, repeat or
turn it round. The kernel holds decisions within the limits; here nothing is weighed, only compared.

What is compared is worked out here anew, and not by the functions that make intents and orders: a fault in them would
otherwise agree with itself.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from trading_platform.domain.decisions import Decision, DecisionKind, Verdict
from trading_platform.domain.errors import ConservationBroken
from trading_platform.domain.orders import IntentKind, Order, OrderIntent, OrderState, OrderStatus, Side, TimeInForce
from trading_platform.orders.intents import SessionOrders

_DECIDED_BY: Final = {
    IntentKind.ENTRY: DecisionKind.ENTER,
    IntentKind.EXIT: DecisionKind.EXIT,
    IntentKind.STOP: DecisionKind.PROTECT,
    IntentKind.TARGET: DecisionKind.PROTECT,
    IntentKind.REDUCE: DecisionKind.PROTECT,
    IntentKind.CANCEL: DecisionKind.CANCEL_ENTRY,
}
_SIDES: Final = {
    IntentKind.ENTRY: Side.BUY,
    IntentKind.EXIT: Side.SELL,
    IntentKind.STOP: Side.SELL,
    IntentKind.TARGET: Side.SELL,
    IntentKind.REDUCE: Side.SELL,
    IntentKind.CANCEL: Side.BUY,
}
"""Long only: what is entered is bought, what leaves or protects is sold; a change has the side of what it changes."""

_ATTACHED: Final = (IntentKind.STOP, IntentKind.TARGET)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A call that changes an order at the broker: `quantity` shares of `target` are left open; none, if it cancels."""

    intent_id: str
    target: str
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class _Decided:
    """What a decision is about. Only exits have legs of their own: they are sold one by one."""

    bar_time: datetime
    strategy: str
    symbol: str
    kind: DecisionKind
    leg: int

    def __str__(self) -> str:
        leg = f" leg {self.leg}" if self.leg else ""
        return f"{self.kind.name.lower()} {self.strategy} {self.symbol}{leg} on the bar of {self.bar_time.isoformat()}"


def require_decided(decisions: Sequence[Decision], intents: Sequence[OrderIntent], working: SessionOrders) -> None:
    """Hold the intents of one minute against its decisions, before they are committed.

    Entries together are at most what was decided, in however many orders they leave; exits are, leg by leg; the stops
    that will rest are at most what was to be protected; and what is attached to an entry is one stop and one target at
    most, each at most as large as that entry. Each intent has the side of its kind and a decision that was not refused,
    and a change acts on an order of that decision's.

    Args:
        decisions: What was decided, refused decisions among them.
        intents: What would be committed, and sent.
        working: The orders that the decisions were made on.

    Raises `ConservationBroken`, which says what was decided and what would have gone out.
    """
    approved = [decision for decision in decisions if decision.verdict is not Verdict.REFUSED]
    allowed: Counter[_Decided] = Counter()
    for decision in approved:
        allowed[_decided(decision, decision.kind, decision.leg)] += decision.quantity
    leaving: dict[_Decided, list[OrderIntent]] = {origin: [] for origin in allowed}
    for intent in intents:
        _require_side(intent)
        if intent.parent is not None:
            continue
        if intent.kind is IntentKind.TARGET:
            raise ConservationBroken(f"{_named(intent)} would go out by itself: a target is attached to an entry")
        origin = _decided(intent, _DECIDED_BY[intent.kind], intent.leg)
        if origin not in leaving:
            raise ConservationBroken(f"{_named(intent)} would go out, and nothing of the kind was decided: {origin}")
        leaving[origin].append(intent)
    for decision in approved:
        origin = _decided(decision, decision.kind, decision.leg)
        left = _after(decision, leaving[origin], working)
        if left > allowed[origin]:
            raise ConservationBroken(f"{allowed[origin]} shares were decided and {left} would go out: {origin}")
    _require_attached(intents)


def _after(decision: Decision, intents: Sequence[OrderIntent], working: SessionOrders) -> int:
    """Shares of the orders that a decision stands for, once its intents are sent: cancelling sends none."""
    if decision.kind is DecisionKind.CANCEL_ENTRY:
        _require_own(intents, {one.intent.id for one in working.open_of(decision, IntentKind.ENTRY)})
        return 0
    if decision.kind is not DecisionKind.PROTECT:
        return sum(intent.quantity for intent in intents)
    stops = {one.intent.id: working.open_quantity(one) for one in working.open_of(decision, IntentKind.STOP)}
    reductions = [intent for intent in intents if intent.kind is IntentKind.REDUCE]
    _require_own(reductions, stops.keys())
    for intent in reductions:
        if intent.target is not None:
            stops[intent.target] = min(stops[intent.target], intent.quantity)
    return sum(stops.values()) + sum(intent.quantity for intent in intents if intent.kind is IntentKind.STOP)


def _require_side(intent: OrderIntent) -> None:
    if intent.side is not _SIDES[intent.kind]:
        raise ConservationBroken(
            f"{_named(intent)} would {intent.side}: a {intent.kind} can only {_SIDES[intent.kind]}"
        )


def _require_own(changes: Sequence[OrderIntent], own: Collection[str]) -> None:
    for intent in changes:
        if intent.target not in own:
            raise ConservationBroken(f"{_named(intent)} would change {intent.target}, which is not what was decided on")


def _require_attached(intents: Sequence[OrderIntent]) -> None:
    """An attached stop, and a target beside it, are for an entry that goes out with them, and no more than that."""
    entries = {intent.id: intent for intent in intents if intent.kind is IntentKind.ENTRY}
    attached: Counter[tuple[str, IntentKind]] = Counter()
    for intent in intents:
        if intent.parent is None:
            continue
        entry = entries.get(intent.parent)
        if entry is None or (entry.strategy, entry.symbol) != (intent.strategy, intent.symbol):
            raise ConservationBroken(
                f"{_named(intent)} is attached to no entry of its strategy and symbol that goes out"
            )
        if intent.kind not in _ATTACHED:
            raise ConservationBroken(
                f"{_named(intent)} would be attached to {_named(entry)}: only a stop or a target can"
            )
        attached[entry.id, intent.kind] += intent.quantity
        shares = attached[entry.id, intent.kind]
        if shares > entry.quantity:
            raise ConservationBroken(
                f"{entry.quantity} shares were decided and {intent.kind}s of {shares} would be attached: {_named(entry)}"
            )
    for name, kind in attached:
        if kind is IntentKind.TARGET and (name, IntentKind.STOP) not in attached:
            raise ConservationBroken(f"a target would be attached to {_named(entries[name])}, and no stop beside it")


def require_committed(
    calls: Sequence[Order | Change], committed: Mapping[str, OrderStatus], doubtful: Collection[str] = ()
) -> None:
    """Hold the calls that are about to be made against their intents as the ledger has them.

    Each call is of a committed intent that has not been answered yet, and of each there is one. It has not left either,
    unless it is among the `doubtful`, whose broker takes an id once only. An order has that
    intent's symbol, side, type and prices, is for the day, and has at most its quantity; its attached stop and target are
    committed as this entry's, at their prices, and are at most as large. A change acts on the order that was named, and
    leaves at most as much of it.

    Raises `ConservationBroken`, which says what was committed and what would have gone out.
    """
    leaving: Counter[str] = Counter()
    for call in calls:
        leaving.update(_ids(call))
        for name in _ids(call):
            status = committed.get(name)
            if status is None:
                raise ConservationBroken(f"intent {name} would go out, and the ledger has none of this id")
            if status.state is not (OrderState.SENDING if name in doubtful else OrderState.INTENDED):
                raise ConservationBroken(f"{_named(status.intent)} would go out again: it is {status.state}")
            if leaving[name] > 1:
                raise ConservationBroken(f"{_named(status.intent)} would go out twice")
        if isinstance(call, Order):
            _require_order(call, committed)
        else:
            _require_change(call, committed[call.intent_id].intent)


def _ids(call: Order | Change) -> tuple[str, ...]:
    """The intents that a call is of. An attached order needs an intent of its own, too."""
    if isinstance(call, Change):
        return (call.intent_id,)
    attached = (call.attached_stop, call.attached_target)
    return (call.intent_id, *(one.intent_id for one in attached if one is not None))


def _require_order(order: Order, committed: Mapping[str, OrderStatus]) -> None:
    intent = committed[order.intent_id].intent
    trigger = intent.stop_price if intent.kind is IntentKind.STOP else None
    for what, known, shown in (
        ("symbol", intent.symbol, order.symbol),
        ("side", intent.side, order.side),
        ("type", intent.type, order.type),
        ("limit price", intent.limit_price, order.limit_price),
        ("stop price", trigger, order.stop_price),
        ("time in force", TimeInForce.DAY, order.time_in_force),
    ):
        if known != shown:
            raise ConservationBroken(
                f"{_named(intent)} was committed with the {what} {known} and would go out with {shown}"
            )
    if not intent.kind.is_order or intent.kind is IntentKind.TARGET or intent.parent is not None:
        raise ConservationBroken(f"{_named(intent)} would go out as an order of its own")
    if order.quantity > intent.quantity:
        raise ConservationBroken(
            f"{intent.quantity} shares were committed and {order.quantity} would go out: {_named(intent)}"
        )
    stop, target = order.attached_stop, order.attached_target
    if stop is not None:
        _require_leg(committed[stop.intent_id].intent, IntentKind.STOP, None, stop.stop_price, intent)
    if target is not None:
        _require_leg(committed[target.intent_id].intent, IntentKind.TARGET, target.limit_price, None, intent)


def _require_leg(
    leg: OrderIntent, kind: IntentKind, limit: Decimal | None, stop: Decimal | None, entry: OrderIntent
) -> None:
    """What would be attached to an entry was committed as this entry's, of this kind and at these prices."""
    if (leg.kind, leg.parent, leg.limit_price, leg.stop_price) != (kind, entry.id, limit, stop):
        raise ConservationBroken(f"{_named(leg)} was not committed as what would be attached to {_named(entry)}")
    if leg.quantity > entry.quantity:
        raise ConservationBroken(
            f"a {kind} of {leg.quantity} shares would be attached to an entry of {entry.quantity}: {_named(entry)}"
        )


def _require_change(change: Change, intent: OrderIntent) -> None:
    if intent.kind.is_order or change.target != intent.target:
        raise ConservationBroken(f"{_named(intent)} was committed for {intent.target} and would change {change.target}")
    left = intent.quantity if intent.kind is IntentKind.REDUCE else 0
    if change.quantity > left:
        raise ConservationBroken(f"{_named(intent)} was to leave {left} shares and would leave {change.quantity}")


def _decided(one: Decision | OrderIntent, kind: DecisionKind, leg: int) -> _Decided:
    leg = leg if kind is DecisionKind.EXIT else 0
    return _Decided(bar_time=one.bar_time, strategy=one.strategy, symbol=one.symbol, kind=kind, leg=leg)


def _named(intent: OrderIntent) -> str:
    return f"the {intent.kind} {intent.id} of {intent.strategy} for {intent.quantity} {intent.symbol}"
