"""The first step of every cycle, and so of every start (Law 2): what the ledger believes against what the broker knows.

In this order: executions are booked, each once (Law 5); intents without an answer are looked up by their id; what the
broker has certainly never had is sent, if its time has not passed and it still fits what is held; orders that the
broker no longer works are ended; and orders, positions and cash are compared. What does not agree is a `Break`, and no
entry is made in its symbol. More orders or shares at the broker than were intended are one as well (rule 13): what was
sent twice, by whomever, shows here.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from trading_platform.brokers.broker import Broker
from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.domain.clock import Clock
from trading_platform.domain.fills import agrees
from trading_platform.domain.lifecycle import can_follow, step
from trading_platform.domain.orders import (
    Absent,
    BrokerOrder,
    Execution,
    Found,
    IntentKind,
    OrderEvent,
    OrderIntent,
    OrderState,
    OrderStatus,
    Side,
    Unknown,
)
from trading_platform.domain.reports import Break, ReconcileReport
from trading_platform.ledger.ledger import Ledger
from trading_platform.ledger.ownership import Ownership
from trading_platform.ledger.projections import holdings
from trading_platform.orders.day_orders import is_over
from trading_platform.orders.outbox import Outbox

_OVERLAP: Final = timedelta(days=1)
"""Executions are asked for again from so long before the newest one booked: a broker may report one late."""

_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
ACCOUNT: Final = "*"
"""Stands for the account as a whole where a break is not about one symbol."""

_UNANSWERED: Final = (OrderState.INTENDED, OrderState.UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerView:
    """What the broker showed at the end of a reconcile."""

    orders: Mapping[str, BrokerOrder]
    positions: Mapping[str, int]
    cash: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """The report, and the view that the cycle goes on with."""

    report: ReconcileReport
    view: BrokerView


class Reconciler:
    """Brings the ledger and one broker together."""

    def __init__(
        self, *, ledger: Ledger, broker: Broker, clock: Clock, calendar: ExchangeCalendar, outbox: Outbox
    ) -> None:
        self._ledger = ledger
        self._broker = broker
        self._clock = clock
        self._calendar = calendar
        self._outbox = outbox

    def run(self, ownership: Ownership) -> Reconciled:
        """Reconcile once. Raises `NotOwner` if something had to be sent and the lease is lost."""
        # What was filled in the meantime is booked first: what is sent depends on what is held.
        booked, _ = self._book_executions()
        looked_up, resent = self._settle_unanswered(ownership)
        closed = 0
        breaks: tuple[Break, ...] = ()
        # A fill that arrives between two questions looks like a break and is none when asked again.
        for _ in range(2):
            booked_now, strays = self._book_executions()
            working = self._broker.open_orders()
            view = BrokerView(
                orders={order.intent_id: order for order in working},
                positions=self._broker.positions(),
                cash=self._broker.cash(),
            )
            closed_now, lost = self._end_orders(view)
            closed += closed_now
            booked += booked_now
            breaks = strays + lost + tuple(self._surplus(working)) + self._compare(view)
            if not breaks:
                break
        report = ReconcileReport(
            executions_booked=booked, looked_up=looked_up, resent=resent, closed=closed, breaks=breaks
        )
        return Reconciled(report=report, view=view)

    def _settle_unanswered(self, ownership: Ownership) -> tuple[int, int]:
        """Look up what has no answer, record what is found, and send what the broker has certainly never had."""
        open_orders = self._ledger.open_orders()
        waiting = [status for status in open_orders if status.state in _UNANSWERED]
        if not waiting:
            return 0, 0
        sellable = self._sellable(open_orders)
        events: dict[str, OrderEvent] = {}
        to_send: dict[str, OrderIntent] = {}
        looked_up = 0
        for status in waiting:
            intent = status.intent
            if intent.parent in to_send:
                to_send[intent.id] = intent
                continue
            looked_up += intent.kind.is_order
            then, detail = self._fate(status, sellable)
            if then is OrderState.INTENDED:
                to_send[intent.id] = intent
            elif then is not status.state:
                events[intent.id] = step(intent.id, status.state, then, at=self._clock.now(), detail=detail)
        self._ledger.append_events(tuple(events.values()))
        return looked_up, self._outbox.send(tuple(to_send.values()), ownership)

    def _sellable(self, open_orders: Sequence[OrderStatus]) -> dict[tuple[str, str], int]:
        """Shares held by strategy and symbol, less those that answered exits may still sell."""
        found = {
            key: position.quantity
            for key, position in holdings(self._ledger.opening_cash(), self._ledger.fills()).positions.items()
        }
        for status in open_orders:
            if status.intent.kind is IntentKind.EXIT and status.state not in _UNANSWERED:
                key = (status.intent.strategy, status.intent.symbol)
                found[key] = found.get(key, 0) - (status.intent.quantity - status.filled)
        return found

    def _fate(self, status: OrderStatus, sellable: Mapping[tuple[str, str], int]) -> tuple[OrderState, str]:
        """What becomes of an intent without an answer; INTENDED: it is to be sent."""
        intent, unsent = status.intent, status.state is OrderState.INTENDED
        if not intent.kind.is_order:
            # To cancel or reduce twice is to do it once, and what is still needed is decided anew from what is there.
            if self._is_over(intent):
                return OrderState.EXPIRED, "its session is over"
            return (OrderState.INTENDED, "") if unsent else (OrderState.REJECTED, "the outcome is not known")
        found = self._look_up(status)
        if isinstance(found, Found):
            refused = found.order.state is OrderState.REJECTED
            return (OrderState.REJECTED if refused else OrderState.ACKNOWLEDGED), "found by its id"
        if isinstance(found, Unknown):
            return OrderState.UNKNOWN, found.reason
        if not unsent or intent.parent is not None:
            return OrderState.REJECTED, "the broker never had it"
        if self._is_over(intent):
            return OrderState.EXPIRED, "its session is over"
        if intent.valid_until is not None and self._clock.now() >= intent.valid_until:
            return OrderState.EXPIRED, "not sent in time"
        if intent.side is Side.SELL and intent.quantity > sellable.get((intent.strategy, intent.symbol), 0):
            return OrderState.EXPIRED, "more than is held by now"
        return OrderState.INTENDED, ""

    def _is_over(self, intent: OrderIntent) -> bool:
        """Whether the intent's own session has closed: it is not sent any more."""
        return is_over(intent, self._clock.now(), self._calendar)

    def _look_up(self, status: OrderStatus) -> Found | Absent | Unknown:
        """Ask the broker for an order of this intent's id: the guard against a second one."""
        return self._broker.find(status.intent.id)

    def _book_executions(self) -> tuple[int, tuple[Break, ...]]:
        """Book what the ledger does not have yet. What nobody here intended, or is not as it was booked, is a break."""
        fills = {fill.execution_id: fill for fill in self._ledger.fills()}
        since = max((fill.time for fill in fills.values()), default=_LONG_AGO + _OVERLAP) - _OVERLAP
        reported = self._broker.executions(since)
        breaks = [
            Break(symbol=one.symbol, what=f"execution {one.execution_id} is not as it was booked")
            for one in reported
            if one.execution_id in fills and not agrees(one, fills[one.execution_id])
        ]
        fresh = [one for one in reported if one.execution_id not in fills]
        if not fresh:
            return 0, tuple(breaks)
        statuses = self._ledger.orders_by_id({one.intent_id for one in fresh})
        booking = self._ledger.book_executions(fresh, _fill_events(fresh, statuses), self._clock.now())
        breaks += [
            Break(symbol=stray.symbol, what=f"execution {stray.execution_id} fits no order of ours")
            for stray in booking.unexplained
        ]
        return len(booking.booked), tuple(breaks)

    def _end_orders(self, view: BrokerView) -> tuple[int, tuple[Break, ...]]:
        """End the orders that the broker no longer works, once all their executions are booked.

        An order that only one side knows is a break.
        """
        ours = {status.intent.id: status for status in self._ledger.open_orders()}
        breaks = [
            Break(symbol=order.symbol, what=f"order {name} works at the broker and not in the ledger")
            for name, order in view.orders.items()
            if name not in ours
        ]
        events = []
        for name, status in ours.items():
            if status.state in _UNANSWERED or not status.intent.kind.is_order or name in view.orders:
                continue
            found = self._broker.find(name)
            if isinstance(found, Absent):
                breaks.append(
                    Break(symbol=status.intent.symbol, what=f"the broker does not know order {name} any more")
                )
            elif isinstance(found, Found) and found.order.state.is_final and found.order.filled == status.filled:
                events.append(step(name, status.state, found.order.state, at=self._clock.now()))
        self._ledger.append_events(events)
        return len(events), tuple(breaks)

    def _surplus(self, working: Sequence[BrokerOrder]) -> Iterator[Break]:
        """More at the broker than was intended: an order that works twice or is larger, or one that filled for more."""
        counts = Counter(order.intent_id for order in working)
        intended = self._ledger.orders_by_id(list(counts))
        for order in {one.intent_id: one for one in working}.values():
            if counts[order.intent_id] > 1:
                yield Break(
                    symbol=order.symbol,
                    what=f"order {order.intent_id} works {counts[order.intent_id]} times at the broker",
                )
        for order in working:
            ours = intended.get(order.intent_id)
            if ours is not None and order.quantity > ours.intent.quantity:
                yield Break(
                    symbol=order.symbol,
                    what=f"order {order.intent_id} is for {ours.intent.quantity} shares in the ledger and for "
                    f"{order.quantity} at the broker",
                )
        for one in self._ledger.overfilled():
            yield Break(
                symbol=one.symbol,
                what=f"{one.filled} shares of order {one.intent_id} were executed, {one.quantity} were intended",
            )

    def _compare(self, view: BrokerView) -> tuple[Break, ...]:
        """Positions and cash, the ledger's against the broker's."""
        ours = holdings(self._ledger.opening_cash(), self._ledger.fills())
        held: dict[str, int] = {}
        for (_, symbol), position in ours.positions.items():
            held[symbol] = held.get(symbol, 0) + position.quantity
        breaks = [
            Break(symbol=symbol, what=f"{held.get(symbol, 0)} shares in the ledger, {shares} at the broker")
            for symbol in sorted(held.keys() | view.positions.keys())
            if held.get(symbol, 0) != (shares := view.positions.get(symbol, 0))
        ]
        if ours.cash != view.cash:
            breaks.append(Break(symbol=ACCOUNT, what=f"{ours.cash} dollars in the ledger, {view.cash} at the broker"))
        return tuple(breaks)


def _fill_events(executions: Sequence[Execution], statuses: Mapping[str, OrderStatus]) -> dict[str, OrderEvent]:
    """By execution, the step in its order's life. An order that has ended keeps its end; its late execution is booked all the same."""
    filled = {intent: status.filled for intent, status in statuses.items()}
    states = {intent: status.state for intent, status in statuses.items()}
    events: dict[str, OrderEvent] = {}
    for execution in executions:
        name = execution.intent_id
        if name not in statuses:
            continue
        filled[name] += execution.quantity
        whole = filled[name] >= statuses[name].intent.quantity
        then = OrderState.FILLED if whole else OrderState.PARTIALLY_FILLED
        if can_follow(states[name], then):
            events[execution.execution_id] = step(
                name, states[name], then, at=execution.time, broker_order_id=execution.broker_order_id
            )
            states[name] = then
    return events
