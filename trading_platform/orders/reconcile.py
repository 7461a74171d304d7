"""The first step of every cycle, and so of every start (Law 2): what the ledger believes against what the broker knows.

In this order: executions are booked, each once (Law 5); intents without an answer are looked up by their id; what the
broker has certainly never had is sent, if its time has not passed and it still fits what is held; orders that the
broker no longer works are ended; and orders, positions and cash are compared. What does not agree is a `Break`, and no
entry is made in its symbol, until a person accepts the difference. More orders or shares at the broker than were
intended are one as well (rule 13): what was sent twice, by whomever, shows here.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, TypeVar

from trading_platform.brokers.broker import Broker
from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.domain.clock import Clock
from trading_platform.domain.errors import DatabaseUnavailable, TemporaryError
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
from trading_platform.domain.reports import Break, ReconcileReport, Subject
from trading_platform.ledger.ledger import Ledger
from trading_platform.ledger.ownership import Ownership
from trading_platform.orders.day_orders import is_over
from trading_platform.orders.outbox import Outbox
from trading_platform.orders.routing import Key, Routes

_OVERLAP: Final = timedelta(days=1)
"""Executions are asked for again from so long before the newest one booked: a broker may report one late."""

_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
ACCOUNT: Final = "*"
"""Stands for the account as a whole where a break is not about one symbol."""

_UNANSWERED: Final = (OrderState.INTENDED, OrderState.SENDING, OrderState.UNKNOWN)
_PENDING: Final = (OrderState.PENDING_CANCEL, OrderState.PENDING_REPLACE)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueView:
    """What one broker showed."""

    orders: tuple[BrokerOrder, ...]
    positions: Mapping[str, int]
    cash: Decimal


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
        self._cash_tolerance = cash_tolerance
        self._away: dict[str, TemporaryError] = {}
        self._entering = True

    def run(self, ownership: Ownership, *, entering: bool = True) -> Reconciled:
        """Reconcile once. A broker that cannot be asked is left as it is believed to be, and told of.

        Args:
            ownership: Whoever reconciles owns the book.
            entering: Whether an entry that was committed and has never left may still be sent; otherwise it is ended.

        Raises:
            NotOwner: Something had to be sent or recorded, and the lease is lost.
            TemporaryError: No broker can be asked.
        """
        self._away = {}
        self._entering = entering
        # What was filled in the meantime is booked first: what is sent depends on what is held.
        booked, _ = self._book_executions()
        looked_up, resent = self._settle_unanswered(ownership)
        closed = 0
        views: dict[str, VenueView] = {}
        breaks: tuple[Break, ...] = ()
        # A fill that arrives between two questions looks like a break and is none when asked again.
        for _ in range(2):
            booked_now, strays = self._book_executions()
            views = {broker.name: view for broker in self._here() if (view := self._asked(broker, _look)) is not None}
            closed_now, lost = self._end_orders(views, ownership)
            closed += closed_now
            booked += booked_now
            found = (*strays, *lost, *self._surplus(views), *self._compare(views))
            breaks = self._not_accepted(found)
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

    def _settle_unanswered(self, ownership: Ownership) -> tuple[int, int]:
        """Look up what has no answer, record what is found, and send what the broker has certainly never had."""
        open_orders = self._ledger.open_orders()
        waiting = [status for status in open_orders if status.state in _UNANSWERED]
        if not waiting:
            return 0, 0
        sellable = self._sellable(open_orders)
        sent = {status.intent.id: status for status in open_orders}
        events: list[OrderEvent] = []
        to_send: dict[str, OrderIntent] = {}
        looked_up = 0
        for status in waiting:
            intent = status.intent
            if intent.parent in to_send:
                to_send[intent.id] = intent
                events += self._back_to_intended(status)
                continue
            broker = self._routes.broker(self._routes.venue(intent, sent, lambda: self._ledger.holdings().positions))
            if broker.name in self._away:
                continue
            looked_up += intent.kind.is_order
            then, detail = self._fate(status, broker, sellable)
            if then is OrderState.INTENDED:
                to_send[intent.id] = intent
                events += self._back_to_intended(status)
            elif then is not status.state:
                events.append(
                    step(intent.id, status.state, then, at=self._clock.now(), detail=detail, venue=broker.name)
                )
        self._ledger.append_events(events, ownership)
        return looked_up, self._outbox.send(tuple(to_send.values()), ownership)

    def _back_to_intended(self, status: OrderStatus) -> list[OrderEvent]:
        """What was about to leave and has certainly not arrived is sent as if for the first time."""
        if status.state is not OrderState.SENDING:
            return []
        return [
            step(
                status.intent.id, status.state, OrderState.INTENDED, at=self._clock.now(), detail="it has never arrived"
            )
        ]

    def _sellable(self, open_orders: Sequence[OrderStatus]) -> dict[Key, int]:
        """Shares held by strategy and symbol, less those that answered exits may still sell."""
        found: Counter[Key] = Counter()
        for one in self._ledger.held():
            found[one.strategy, one.symbol] += one.quantity
        for status in open_orders:
            if status.intent.kind is IntentKind.EXIT and status.state not in _UNANSWERED:
                key = (status.intent.strategy, status.intent.symbol)
                found[key] -= status.intent.quantity - status.filled
        return found

    def _fate(self, status: OrderStatus, broker: Broker, sellable: Mapping[Key, int]) -> tuple[OrderState, str]:
        """What becomes of an intent without an answer; INTENDED: it is to be sent."""
        intent, unsent = status.intent, status.state is not OrderState.UNKNOWN
        if not intent.kind.is_order:
            # To cancel or reduce twice is to do it once, and what is still needed is decided anew from what is there.
            if self._is_over(intent):
                return OrderState.EXPIRED, "its session is over"
            return (OrderState.INTENDED, "") if unsent else (OrderState.REJECTED, "the outcome is not known")
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
        if self._may_still_arrive(status, broker) and not again:
            return status.state, ""
        return fate

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

    def _may_still_arrive(self, status: OrderStatus, broker: Broker) -> bool:
        """Whether an order that is not there was about to leave, or left without an answer, a moment ago."""
        if status.state is OrderState.INTENDED or status.since is None:
            return False
        return self._clock.now() < status.since + broker.capabilities.settle

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
            since = newest - _OVERLAP if newest is not None else _LONG_AGO
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
            _stray(one, venue, "is not as it was booked")
            for one in reported
            if one.execution_id in fills and one.execution_id not in corrected
            if not agrees(one, fills[one.execution_id])
        ]
        fresh = [one for one in reported if one.execution_id not in fills]
        if not fresh:
            return 0, breaks
        statuses = self._ledger.orders_by_id({one.intent_id for one in fresh})
        booking = self._ledger.book_executions(fresh, _fill_events(fresh, statuses), self._clock.now(), venue)
        breaks += [_stray(one, venue, "fits no order of ours") for one in booking.unexplained]
        return len(booking.booked), breaks

    def _end_orders(self, views: Mapping[str, VenueView], ownership: Ownership) -> tuple[int, tuple[Break, ...]]:
        """End the orders that a broker no longer works, once all their executions are booked.

        An order that only one side knows is a break.
        """
        ours = {status.intent.id: status for status in self._ledger.open_orders()}
        breaks = [
            Break(
                symbol=order.symbol,
                what=f"order {order.intent_id} works at the broker and not in the ledger",
                venue=venue,
                name=order.intent_id,
            )
            for venue, view in views.items()
            for order in view.orders
            if order.intent_id not in ours
        ]
        changing = {status.intent.target for status in ours.values() if not status.intent.kind.is_order}
        working = {order.intent_id for view in views.values() for order in view.orders}
        events = []
        accepted = {(one.venue, one.name) for one in self._ledger.acceptances() if one.subject is Subject.ORDER}
        for name, status in ours.items():
            venue = status.venue or self._routes.primary.name
            if status.state in _UNANSWERED or not status.intent.kind.is_order or venue not in views:
                continue
            if name in working:
                if status.state in _PENDING and name not in changing:
                    then = OrderState.PARTIALLY_FILLED if status.filled else OrderState.ACKNOWLEDGED
                    events.append(step(name, status.state, then, at=self._clock.now(), detail="it works on"))
                continue
            found = self._asked(self._routes.broker(venue), lambda one, name=name: one.find(name))  # type: ignore[misc]
            if isinstance(found, Absent):
                if (venue, name) in accepted or (
                    self._routes.broker(venue).capabilities.forgets_overnight and self._is_over(status.intent)
                ):
                    events.append(
                        step(
                            name, status.state, OrderState.EXPIRED, at=self._clock.now(), detail="the broker forgot it"
                        )
                    )
                    continue
                breaks.append(
                    Break(
                        symbol=status.intent.symbol,
                        what=f"the broker does not know order {name} any more",
                        venue=venue,
                        name=name,
                    )
                )
            elif isinstance(found, Found) and found.order.state.is_final and found.order.filled == status.filled:
                events.append(self._ended(status, found.order.state))
        self._ledger.append_events(events, ownership)
        return len(events), tuple(breaks)

    def _ended(self, status: OrderStatus, then: OrderState) -> OrderEvent:
        """The end that the broker tells of. One that cannot follow, as a refusal of what has filled, is a cancellation."""
        told = then if can_follow(status.state, then) else OrderState.CANCELLED
        detail = "" if told is then else f"the broker says {then}"
        return step(status.intent.id, status.state, told, at=self._clock.now(), detail=detail)

    def _surplus(self, views: Mapping[str, VenueView]) -> Iterator[Break]:
        """More at the broker than was intended: an order that works twice or is larger, or one that filled for more."""
        working = [(venue, order) for venue, view in views.items() for order in view.orders]
        counts = Counter(order.intent_id for _, order in working)
        intended = self._ledger.orders_by_id(list(counts))
        for name, (venue, order) in {one.intent_id: (venue, one) for venue, one in working}.items():
            if counts[name] > 1:
                yield Break(
                    symbol=order.symbol,
                    what=f"order {name} works {counts[name]} times at the broker",
                    venue=venue,
                    name=name,
                    difference=Decimal(counts[name]),
                )
        for venue, order in working:
            ours = intended.get(order.intent_id)
            if ours is not None and order.quantity > ours.intent.quantity:
                yield Break(
                    symbol=order.symbol,
                    what=f"order {order.intent_id} is for {ours.intent.quantity} shares in the ledger and for "
                    f"{order.quantity} at the broker",
                    venue=venue,
                    name=order.intent_id,
                    difference=Decimal(order.quantity - ours.intent.quantity),
                )
        for one in self._ledger.overfilled():
            yield Break(
                symbol=one.symbol,
                what=f"{one.filled} shares of order {one.intent_id} were executed, {one.quantity} were intended",
                venue=self._routes.primary.name,
                name=one.intent_id,
                difference=Decimal(one.filled - one.quantity),
            )

    def _compare(self, views: Mapping[str, VenueView]) -> Iterator[Break]:
        """Positions and cash, the ledger's against each broker's."""
        booked = self._ledger.held()
        for venue, view in views.items():
            held: Counter[str] = Counter()
            ours = self._ledger.opening_cash() if venue == self._routes.primary.name else Decimal(0)
            for one in booked:
                if one.venue == venue:
                    held[one.symbol] += one.quantity
                    ours += one.cash
            for symbol in sorted(held.keys() | view.positions.keys()):
                shares = view.positions.get(symbol, 0)
                if held[symbol] != shares:
                    yield Break(
                        symbol=symbol,
                        what=f"{held[symbol]} shares in the ledger, {shares} at the broker",
                        venue=venue,
                        subject=Subject.POSITION,
                        name=symbol,
                        difference=Decimal(shares - held[symbol]),
                    )
            if abs(ours - view.cash) > self._cash_tolerance:
                yield Break(
                    symbol=ACCOUNT,
                    what=f"{ours} dollars in the ledger, {view.cash} at the broker",
                    venue=venue,
                    subject=Subject.CASH,
                    name=ACCOUNT,
                    difference=view.cash - ours,
                )

    def _not_accepted(self, breaks: Iterable[Break]) -> tuple[Break, ...]:
        """The breaks whose difference nobody has accepted."""
        found = tuple(breaks)
        if not found:
            return ()
        accepted = {(one.venue, one.subject, one.name): one.difference for one in self._ledger.acceptances()}
        return tuple(one for one in found if not self._is_accepted(one, accepted))

    def _is_accepted(self, found: Break, accepted: Mapping[tuple[str, Subject, str], Decimal | None]) -> bool:
        key = (found.venue, found.subject, found.name)
        if key not in accepted:
            return False
        known = accepted[key]
        if found.difference is None or known is None:
            return found.difference is known
        slack = self._cash_tolerance if found.subject is Subject.CASH else Decimal(0)
        return abs(found.difference - known) <= slack


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


def _stray(execution: Execution, venue: str, what: str) -> Break:
    return Break(
        symbol=execution.symbol,
        what=f"execution {execution.execution_id} {what}",
        venue=venue,
        subject=Subject.EXECUTION,
        name=execution.execution_id,
    )


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
