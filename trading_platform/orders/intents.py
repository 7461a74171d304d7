"""From decisions to order intents: what exactly shall be sent, under which deterministic id (Law 3)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from trading_platform.domain.decisions import Decision, DecisionKind, Verdict
from trading_platform.domain.ids import intent_id
from trading_platform.domain.orders import (
    BrokerOrder,
    IntentKind,
    OrderIntent,
    OrderState,
    OrderStatus,
    OrderType,
    Side,
)
from trading_platform.portfolio.account import open_quantity, still_held
from trading_platform.portfolio.legs import EntryLeg

Legs = Callable[[Decision], Sequence[EntryLeg]]
"""The orders that an approved entry is sent as."""


def in_one_order(decision: Decision) -> tuple[EntryLeg, ...]:
    """The legs of an entry without resting targets."""
    return (EntryLeg(quantity=decision.quantity),)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOrders:
    """This session's intents with their states, and what the broker shows of the open ones, by intent id."""

    statuses: tuple[OrderStatus, ...]
    at_broker: Mapping[str, BrokerOrder]

    def open_of(self, decision: Decision, kind: IntentKind) -> tuple[OrderStatus, ...]:
        """The orders of a kind that may still fill, of the decision's strategy and symbol, oldest first."""
        return tuple(
            status
            for status in self.statuses
            if status.intent.kind is kind
            and not status.state.is_final
            and (status.intent.strategy, status.intent.symbol) == (decision.strategy, decision.symbol)
        )

    def is_being_cancelled(self, status: OrderStatus) -> bool:
        """Whether a cancel of an order has been decided and not been answered yet: another would be the same again."""
        return any(
            one.intent.kind is IntentKind.CANCEL and one.intent.target == status.intent.id and not one.state.is_final
            for one in self.statuses
        )

    def open_quantity(self, status: OrderStatus) -> int:
        """Shares of an order that may still fill: what the kernel was told of it, too."""
        return open_quantity(status, self.at_broker.get(status.intent.id), still_held(self.statuses))

    def ended_attempts(self, decision: Decision, kind: IntentKind, leg: int) -> int:
        """Earlier intents of this key that ended with quantity still to do. A filled one never counts."""
        return sum(
            1
            for status in self.statuses
            if (status.intent.strategy, status.intent.symbol) == (decision.strategy, decision.symbol)
            and (status.intent.bar_time, status.intent.kind, status.intent.leg) == (decision.bar_time, kind, leg)
            and status.state in (OrderState.REJECTED, OrderState.CANCELLED, OrderState.EXPIRED)
            and status.filled < status.intent.quantity
        )


def make_intents(
    book: str,
    decisions: Sequence[Decision],
    working: SessionOrders,
    resting_stops: Callable[[str], bool],
    legs: Legs = in_one_order,
) -> tuple[OrderIntent, ...]:
    """What the decisions of one minute send, in the order in which it is sent.

    An entry with resting targets goes out leg by leg, each an order with its own stop and target; it is still one
    decision. To reduce a leg's stop reduces its target, so that only stops are looked at where a holding's protection
    is made to fit. A stop that is put in place of one that was lost has no target beside it: what it protects leaves
    by the plan's other exits.

    Args:
        book: The account's name.
        decisions: As the kernel gave them; refused ones send nothing.
        working: The orders that they act on.
        resting_stops: Whether a strategy's stops rest at the broker (its plan's `stop_on` is touch).
        legs: The orders of an entry; by default it is one.
    """
    maker = _Maker(book, working, resting_stops, legs)
    return tuple(
        intent
        for decision in decisions
        if decision.verdict is not Verdict.REFUSED
        for intent in maker.intents(decision)
    )


class _Maker:
    def __init__(self, book: str, working: SessionOrders, resting_stops: Callable[[str], bool], legs: Legs) -> None:
        self._book = book
        self._working = working
        self._resting_stops = resting_stops
        self._legs = legs

    def intents(self, decision: Decision) -> Iterator[OrderIntent]:
        if decision.kind is DecisionKind.ENTER:
            yield from self._enter(decision)
        elif decision.kind is DecisionKind.EXIT:
            yield self._make(decision, IntentKind.EXIT, OrderType.MARKET, decision.quantity, leg=decision.leg)
        elif decision.kind is DecisionKind.CANCEL_ENTRY:
            for leg, entry in enumerate(self._working.open_of(decision, IntentKind.ENTRY)):
                if self._working.is_being_cancelled(entry):
                    continue
                quantity = self._working.open_quantity(entry)
                yield self._make(decision, IntentKind.CANCEL, entry.intent.type, quantity, leg=leg, on=entry)
        else:
            yield from self._protect(decision)

    def _enter(self, decision: Decision) -> Iterator[OrderIntent]:
        kind = OrderType.MARKET if decision.limit_price is None else OrderType.LIMIT
        limit, stop = decision.limit_price, decision.stop_price
        rests = stop is not None and self._resting_stops(decision.strategy)
        for leg, part in enumerate(self._legs(decision)):
            shares = part.quantity
            entry = self._make(decision, IntentKind.ENTRY, kind, shares, leg=leg, limit=limit, stop=stop)
            yield entry
            if not rests:
                continue
            yield self._make(decision, IntentKind.STOP, OrderType.STOP, shares, leg=leg, stop=stop, parent=entry.id)
            if (target := part.target) is not None:
                yield self._make(
                    decision, IntentKind.TARGET, OrderType.LIMIT, shares, leg=leg, limit=target, parent=entry.id
                )

    def _protect(self, decision: Decision) -> Iterator[OrderIntent]:
        """Make the resting stops of a holding add up to the decided quantity: the newest give way first."""
        stops = self._working.open_of(decision, IntentKind.STOP)
        surplus = sum(self._working.open_quantity(stop) for stop in stops) - decision.quantity
        for leg, stop in enumerate(reversed(stops)):
            less = min(surplus, self._working.open_quantity(stop))
            if less > 0:
                left = self._working.open_quantity(stop) - less
                yield self._make(decision, IntentKind.REDUCE, stop.intent.type, left, leg=leg, on=stop)
                surplus -= less
        if surplus < 0:
            yield self._make(decision, IntentKind.STOP, OrderType.STOP, -surplus, stop=decision.stop_price)

    def _make(
        self,
        decision: Decision,
        kind: IntentKind,
        order_type: OrderType,
        quantity: int,
        *,
        leg: int = 0,
        limit: Decimal | None = None,
        stop: Decimal | None = None,
        parent: str | None = None,
        on: OrderStatus | None = None,
    ) -> OrderIntent:
        # An entry is decided once a minute; a second one would be a double. What is attached to it follows it.
        retried = kind is not IntentKind.ENTRY and parent is None
        attempt = self._working.ended_attempts(decision, kind, leg) if retried else 0
        entering = kind is IntentKind.ENTRY
        return OrderIntent(
            id=intent_id(
                book=self._book,
                strategy=decision.strategy,
                symbol=decision.symbol,
                bar_time=decision.bar_time,
                kind=kind.value,
                leg=leg,
                attempt=attempt,
            ),
            book=self._book,
            strategy=decision.strategy,
            symbol=decision.symbol,
            bar_time=decision.bar_time,
            kind=kind,
            leg=leg,
            attempt=attempt,
            side=_side(kind, on),
            type=order_type,
            quantity=quantity,
            limit_price=limit,
            stop_price=stop,
            parent=parent,
            target=on.intent.id if on is not None else None,
            valid_until=decision.valid_until if entering or parent is not None else None,
            setup=decision.setup,
        )


def _side(kind: IntentKind, on: OrderStatus | None) -> Side:
    """Long only: entries buy, everything else sells; a change has the side of the order that it acts on."""
    if on is not None:
        return on.intent.side
    return Side.BUY if kind is IntentKind.ENTRY else Side.SELL
