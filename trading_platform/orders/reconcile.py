"""The first step of every cycle, and so of every start (Law 2): what the ledger believes against what the broker knows.

In this order: executions are booked, each once (Law 5); intents without an answer are looked up by their id; what the
broker has certainly never had is sent, if its time has not passed and it still fits what is held; orders that the
broker no longer works are ended; and orders, positions and cash are compared (`breaks`). What does not agree is a `Break`,
and no entry is made in its symbol, until a person accepts the difference. More orders or shares at the broker than were
intended are one as well (rule 13): what was sent twice, by whomever, shows here.

What is found out is recorded as it is found: whoever loses the book to a slow broker loses little of it, and its next
reconcile goes on from there.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from time import perf_counter
from typing import Final, TypeVar

from trading_platform.brokers.broker import Broker
from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.domain.clock import Clock
from trading_platform.domain.errors import DatabaseUnavailable, NotOwner, TemporaryError
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
from trading_platform.orders.breaks import (
    Acceptances,
    Comparison,
    VenueView,
    forgotten,
    not_ours,
    otherwise_filled,
    out_of_reach,
    stray,
)
from trading_platform.orders.day_orders import is_over
from trading_platform.orders.outbox import Outbox
from trading_platform.orders.routing import Key, Routes

_OVERLAP: Final = timedelta(days=1)
"""Executions are asked for again from so long before the newest one booked: a broker may report one late."""

_SLOW: Final = 1.0
"""After so many seconds of questions what was found out is recorded, and the lease renewed."""

_UNANSWERED: Final = (OrderState.INTENDED, OrderState.SENDING, OrderState.UNKNOWN)
_PENDING: Final = (OrderState.PENDING_CANCEL, OrderState.PENDING_REPLACE)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerView:
    """What the brokers showed at the end of a reconcile, together; what one that is away has is left out."""

    orders: Mapping[str, BrokerOrder]
    positions: Mapping[str, int]
    cash: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """The report, and the view that the cycle goes on with."""

    report: ReconcileReport
    view: BrokerView


class _Steps:
    """Steps in the lives of orders, recorded while they are found out.

    Raises `NotOwner` where the book was lost, though it may have been taken anew: then it is not known any more.
    """

    def __init__(self, ledger: Ledger, ownership: Ownership, hold: Callable[[], Ownership] | None) -> None:
        self._ledger, self._ownership, self._hold = ledger, ownership, hold
        self._waiting: list[OrderEvent] = []
        # A stopwatch, which tells no time.
        self._since = perf_counter()

    @property
    def ownership(self) -> Ownership:
        """What the book was taken at."""
        return self._ownership

    def add(self, *steps: OrderEvent) -> None:
        """Take steps in, and record them if questions have taken long."""
        self._waiting += steps
        if perf_counter() - self._since >= _SLOW:
            self.record()

    def record(self) -> None:
        """Record what was taken in, with a lease that lasts."""
        if self._hold is not None and perf_counter() - self._since >= _SLOW and self._hold() != self._ownership:
            raise NotOwner(f"the book {self._ownership.book} was lost while the brokers were asked")
        self._ledger.append_events(self._waiting, self._ownership)
        self._waiting = []
        self._since = perf_counter()


class Reconciler:
    """Brings the ledger and its brokers together.

    `cash_tolerance`: dollars by which a broker's cash may differ from the ledger's, for fees that it books by day.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        routes: Routes,
        clock: Clock,
        calendar: ExchangeCalendar,
        outbox: Outbox,
        cash_tolerance: Decimal = Decimal(0),
    ) -> None:
        self._ledger = ledger
        self._routes = routes
        self._clock = clock
        self._calendar = calendar
        self._outbox = outbox
        self._comparison = Comparison(ledger=ledger, routes=routes, cash_tolerance=cash_tolerance)
        self._away: dict[str, TemporaryError] = {}
        self._entering = True

    def run(
        self, ownership: Ownership, *, entering: bool = True, hold: Callable[[], Ownership] | None = None
    ) -> Reconciled:
        """Reconcile once. A broker that cannot be asked is left as it is believed to be, and told of.

        Args:
            ownership: Whoever reconciles owns the book.
            entering: Whether an entry that was committed and has never left may still be sent; otherwise it is ended.
            hold: Renews the lease where brokers are slow, and says what is owned.

        Raises:
            NotOwner: Something had to be sent or recorded, and the lease is lost.
            TemporaryError: No broker can be asked.
        """
        self._away = {}
        self._entering = entering
        # What was filled in the meantime is booked first: what is sent depends on what is held.
        booked, _ = self._book_executions()
        steps = _Steps(self._ledger, ownership, hold)
        looked_up, resent = self._settle_unanswered(steps)
        closed = 0
        views: dict[str, VenueView] = {}
        breaks: tuple[Break, ...] = ()
        # A fill that arrives between two questions looks like a break and is none when asked again.
        for _ in range(2):
            booked_now, strays = self._book_executions()
            views = {broker.name: view for broker in self._here() if (view := self._asked(broker, _look)) is not None}
            closed_now, lost = self._end_orders(views, steps)
            closed += closed_now
            booked += booked_now
            found = (*strays, *lost, *self._comparison.surplus(views), *self._comparison.differences(views))
            breaks = self._comparison.not_accepted(found, views, self._clock.now())
            if not breaks:
                break
        if not views:
            raise next(iter(self._away.values()))
        report = ReconcileReport(
            executions_booked=booked,
            looked_up=looked_up,
            resent=resent,
            closed=closed,
            breaks=breaks,
            away=tuple(self._away),
            oddities=tuple(dict.fromkeys((*_oddities(views), *self._told()))),
        )
        return Reconciled(report=report, view=_together(views))

    def _told(self) -> Iterator[str]:
        """What the brokers themselves say that a person should know of."""
        for broker in self._here():
            yield from broker.oddities

    def _here(self) -> tuple[Broker, ...]:
        """The brokers that could be asked so far."""
        return tuple(broker for broker in self._routes.brokers if broker.name not in self._away)

    def _asked(self, broker: Broker, ask: Callable[[Broker], _T]) -> _T | None:
        """The answer to a question; None from a broker that cannot be asked, which is not asked again in this run."""
        try:
            return ask(broker)
        except TemporaryError as error:
            if isinstance(error, DatabaseUnavailable):
                raise
            self._away[broker.name] = error
            return None

    def _settle_unanswered(self, steps: _Steps) -> tuple[int, int]:
        """Look up what has no answer, record what is found, and send what the broker has certainly never had."""
        open_orders = self._ledger.open_orders()
        waiting = [status for status in open_orders if status.state in _UNANSWERED]
        if not waiting:
            return 0, 0
        sellable = self._sellable(open_orders)
        sent = {status.intent.id: status for status in open_orders}
        newest = {_change(status.intent): status.intent.id for status in waiting}
        to_send: dict[str, OrderIntent] = {}
        doubtful: set[str] = set()
        looked_up = 0
        for status in waiting:
            intent = status.intent
            if intent.parent in to_send:
                then, detail = OrderState.INTENDED, ""
            else:
                venue = self._routes.venue(intent, sent, lambda: self._ledger.holdings().positions)
                if venue in self._away:
                    continue
                looked_up += intent.kind.is_order
                then, detail = self._fate(status, venue, sellable, is_newest=newest[_change(intent)] == intent.id)
                if intent.kind is IntentKind.EXIT and not then.is_final:
                    sellable[intent.strategy, intent.symbol] -= intent.quantity - status.filled
            if then is OrderState.INTENDED:
                to_send[intent.id] = intent
                may_arrive = (
                    status.state is OrderState.SENDING and intent.kind.is_order and self._may_still_arrive(status)
                )
                doubtful |= {intent.id} if may_arrive else set()
                steps.add(*([] if may_arrive else self._back_to_intended(status)))
            elif then is not status.state:
                at = self._clock.now()
                steps.add(step(intent.id, status.state, then, at=at, detail=detail, venue=venue))
        steps.record()
        return looked_up, self._outbox.resend(tuple(to_send.values()), steps.ownership, doubtful)

    def _back_to_intended(self, status: OrderStatus) -> list[OrderEvent]:
        """What was about to leave and has certainly not arrived is sent as if for the first time."""
        if status.state is not OrderState.SENDING:
            return []
        return [
            step(
                status.intent.id, status.state, OrderState.INTENDED, at=self._clock.now(), detail="it has never arrived"
            )
        ]

    def _sellable(self, open_orders: Sequence[OrderStatus]) -> Counter[Key]:
        """Shares held by strategy and symbol, less those that answered exits may still sell."""
        found: Counter[Key] = Counter()
        for one in self._ledger.held():
            found[one.strategy, one.symbol] += one.quantity
        for status in open_orders:
            if status.intent.kind is IntentKind.EXIT and status.state not in _UNANSWERED:
                key = (status.intent.strategy, status.intent.symbol)
                found[key] -= status.intent.quantity - status.filled
        return found

    def _fate(
        self, status: OrderStatus, venue: str, sellable: Mapping[Key, int], *, is_newest: bool
    ) -> tuple[OrderState, str]:
        """What becomes of an intent without an answer; INTENDED: it is to be sent."""
        intent, unsent = status.intent, status.state is not OrderState.UNKNOWN
        if not intent.kind.is_order:
            return self._fate_of_change(status, venue, is_newest=is_newest)
        if not self._routes.has(venue):
            # What has not left is held back where it would leave.
            return status.state, ""
        broker = self._routes.broker(venue)
        found = self._look_up(status, broker)
        if isinstance(found, Found):
            refused = found.order.state is OrderState.REJECTED
            return (OrderState.REJECTED if refused else OrderState.ACKNOWLEDGED), "found by its id"
        if isinstance(found, Unknown):
            # What was about to leave stays so: it may have left.
            return (status.state if unsent else OrderState.UNKNOWN), found.reason
        if self._is_over(intent) and broker.capabilities.forgets_overnight:
            # It was for a day that has ended. What it has executed unseen shows where holdings are compared.
            return OrderState.EXPIRED, "its session is over, and the broker tells nothing of it any more"
        fate = self._fate_of_absent(status, sellable)
        # Where an id is taken once only, the same order can be sent again though its first sending may still arrive.
        again = fate[0] is OrderState.INTENDED and broker.capabilities.refuses_repeated_ids
        if self._may_still_arrive(status) and not again:
            return status.state, ""
        return fate

    def _fate_of_change(self, status: OrderStatus, venue: str, *, is_newest: bool) -> tuple[OrderState, str]:
        """The same of a cancel or a reduction.

        To do it twice is to do it once, and what is still needed is decided anew from what is there.
        """
        if self._is_over(status.intent):
            return OrderState.EXPIRED, "its session is over"
        if status.state is OrderState.UNKNOWN or not self._routes.has(venue):
            return OrderState.REJECTED, "the outcome is not known"
        return (OrderState.INTENDED, "") if is_newest else (OrderState.EXPIRED, "a later one takes its place")

    def _fate_of_absent(self, status: OrderStatus, sellable: Mapping[Key, int]) -> tuple[OrderState, str]:
        """What becomes of an order that the broker has certainly never had; INTENDED: it is to be sent."""
        intent = status.intent
        if status.state is OrderState.UNKNOWN or intent.parent is not None:
            return OrderState.REJECTED, "the broker never had it"
        if self._is_over(intent):
            return OrderState.EXPIRED, "its session is over"
        if intent.kind is IntentKind.ENTRY and not self._entering:
            return OrderState.EXPIRED, "nothing is to be entered any more"
        if intent.valid_until is not None and self._clock.now() >= intent.valid_until:
            return OrderState.EXPIRED, "not sent in time"
        if intent.side is Side.SELL and intent.quantity > sellable.get((intent.strategy, intent.symbol), 0):
            return OrderState.EXPIRED, "more than is held by now"
        return OrderState.INTENDED, ""

    def _may_still_arrive(self, status: OrderStatus) -> bool:
        """Whether an order that is not there was about to leave, or left without an answer, a moment ago."""
        if status.state is OrderState.INTENDED or status.since is None or status.venue is None:
            return False
        return self._clock.now() < status.since + self._routes.broker(status.venue).capabilities.settle

    def _is_over(self, intent: OrderIntent) -> bool:
        """Whether the intent's own session has closed: it is not sent any more."""
        return is_over(intent, self._clock.now(), self._calendar)

    def _look_up(self, status: OrderStatus, broker: Broker) -> Found | Absent | Unknown:
        """Ask the broker for an order of this intent's id: the guard against a second one."""
        return broker.find(status.intent.id)

    def _book_executions(self) -> tuple[int, tuple[Break, ...]]:
        """Book what the ledger does not have yet. What nobody here intended, or is not as it was booked, is a break."""
        booked, breaks = 0, list[Break]()
        for broker in self._here():
            newest = self._ledger.newest_execution(broker.name)
            # Of what was traded in the account before the book was opened, nothing is the book's.
            since = (newest or min(self._ledger.opened_at(), self._clock.now())) - _OVERLAP
            reported = self._asked(broker, lambda one, since=since: one.executions(since))  # type: ignore[misc]
            if reported is not None:
                booked_now, strays = self._book(broker.name, reported)
                booked += booked_now
                breaks += strays
        return booked, tuple(breaks)

    def _book(self, venue: str, reported: Sequence[Execution]) -> tuple[int, Sequence[Break]]:
        fills = self._ledger.booked([one.execution_id for one in reported]) if reported else {}
        # What was corrected stands no more, and how it is told has no weight.
        corrected = {one.corrects for one in reported}
        breaks = [
            stray(one, venue, "is not as it was booked")
            for one in reported
            if one.execution_id in fills and one.execution_id not in corrected
            if not agrees(one, fills[one.execution_id])
        ]
        fresh = [one for one in reported if one.execution_id not in fills]
        if not fresh:
            return 0, breaks
        statuses = self._ledger.orders_by_id({one.intent_id for one in fresh})
        booking = self._ledger.book_executions(fresh, _fill_events(fresh, statuses), self._clock.now(), venue)
        breaks += [stray(one, venue, "fits no order of ours") for one in booking.unexplained]
        return len(booking.booked), breaks

    def _end_orders(self, views: Mapping[str, VenueView], steps: _Steps) -> tuple[int, tuple[Break, ...]]:
        """End the orders that a broker no longer works, once all their executions are booked.

        An order that only one side knows, or of which the two do not know the same, is a break.
        """
        ours = {status.intent.id: status for status in self._ledger.open_orders()}
        shown = [(venue, order) for venue, view in views.items() for order in view.orders]
        breaks = [not_ours(order, venue) for venue, order in shown if order.intent_id not in ours]
        changing = {status.intent.target for status in ours.values() if not status.intent.kind.is_order}
        working = {order.intent_id for _, order in shown}
        accepted = self._comparison.acceptances()
        ended = 0
        found: Break | OrderEvent | None
        for name, status in ours.items():
            venue = status.venue or self._routes.primary.name
            if not status.intent.kind.is_order or status.state is OrderState.INTENDED:
                continue
            if not self._routes.has(venue):
                found = self._given_up(status, out_of_reach(status, venue), accepted, "it is out of reach")
            elif venue not in views or status.state in _UNANSWERED:
                continue
            elif name in working:
                found = self._works_on(status) if status.state in _PENDING and name not in changing else None
            else:
                found = self._not_working(status, venue, accepted)
            if isinstance(found, Break):
                breaks.append(found)
            elif found is not None:
                ended += 1
            steps.add(*([found] if isinstance(found, OrderEvent) else []))
        steps.record()
        return ended, tuple(breaks)

    def _works_on(self, status: OrderStatus) -> OrderEvent:
        """An order that goes on working after a change of it."""
        then = OrderState.PARTIALLY_FILLED if status.filled else OrderState.ACKNOWLEDGED
        return step(status.intent.id, status.state, then, at=self._clock.now(), detail="it works on")

    def _not_working(self, status: OrderStatus, venue: str, accepted: Acceptances) -> Break | OrderEvent | None:
        """What has become of an order that its broker does not list any more; None: that cannot be said yet."""
        broker, name = self._routes.broker(venue), status.intent.id
        found = self._asked(broker, lambda one: one.find(name))
        if isinstance(found, Absent):
            if broker.capabilities.forgets_overnight and self._is_over(status.intent):
                return self._end(status, OrderState.EXPIRED, "the broker forgot it")
            return self._given_up(status, forgotten(status, venue), accepted, "the broker forgot it")
        if not isinstance(found, Found) or not found.order.state.is_final:
            return None
        if found.order.filled == status.filled:
            return self._ended(status, found.order.state)
        differing = otherwise_filled(status, found.order, venue)
        if not accepted.cover(differing):
            # Its executions may only be late: then it ends when they are booked.
            return None if self._may_still_arrive(status) else differing
        if found.order.state is OrderState.FILLED:
            # Here it is not, and will not be.
            return self._end(status, OrderState.CANCELLED, f"the broker says {found.order.state}")
        return self._ended(status, found.order.state)

    def _given_up(self, status: OrderStatus, found: Break, accepted: Acceptances, detail: str) -> Break | OrderEvent:
        """A break about an order that its broker says nothing of, or the order's end where a person has accepted that."""
        return self._end(status, OrderState.EXPIRED, detail) if accepted.cover(found) else found

    def _end(self, status: OrderStatus, then: OrderState, detail: str) -> OrderEvent:
        return step(status.intent.id, status.state, then, at=self._clock.now(), detail=detail)

    def _ended(self, status: OrderStatus, then: OrderState) -> OrderEvent:
        """The end that the broker tells of. One that cannot follow, as a refusal of what has filled, is a cancellation."""
        told = then if can_follow(status.state, then) else OrderState.CANCELLED
        return self._end(status, told, "" if told is then else f"the broker says {then}")


def _change(intent: OrderIntent) -> tuple[IntentKind, str]:
    """What a cancel or a reduction does, and to which order; two of the same are one. An order is only itself."""
    return intent.kind, intent.id if intent.target is None else intent.target


def _look(broker: Broker) -> VenueView:
    return VenueView(orders=broker.open_orders(), positions=broker.positions(), cash=broker.cash())


def _together(views: Mapping[str, VenueView]) -> BrokerView:
    positions: Counter[str] = Counter()
    for view in views.values():
        positions.update(view.positions)
    return BrokerView(
        orders={order.intent_id: order for view in views.values() for order in view.orders},
        positions=dict(positions),
        cash=sum((view.cash for view in views.values()), Decimal(0)),
    )


def _oddities(views: Mapping[str, VenueView]) -> Iterator[str]:
    """Statuses that no table has: kept, told, and nothing else is made of them."""
    for venue, view in views.items():
        for order in view.orders:
            if order.said:
                yield f"order {order.intent_id} has the status {order.said!r} at {venue}"


def _fill_events(executions: Sequence[Execution], statuses: Mapping[str, OrderStatus]) -> dict[str, OrderEvent]:
    """By execution, the step in its order's life. One that has ended keeps its end, though a late execution is booked."""
    filled = {intent: status.filled for intent, status in statuses.items()}
    states = {intent: status.state for intent, status in statuses.items()}
    events: dict[str, OrderEvent] = {}
    for execution in executions:
        name = execution.intent_id
        # A correction changes what was executed, and not how far its order has come.
        if name not in statuses or execution.corrects is not None:
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
