"""Clearing: cancels what is open and sells what is held, as a person's commands want it, until nothing is left.

What is still to be done is worked out anew each time (`standing`); here it is done, a pass after the other, each with a
reconcile behind it: orders that certainly never left are ended, open ones are cancelled, entries before what is attached
to them, and a holding is sold at the market once no other order in its symbol is open at its broker. A cycle and a command of a person
go through the same lines, so that either can go on where the other was broken off.

**Never twice.** An intent's name has the command's row id in the place of the bar's time, and the oldest command that is
not done gives it: two persons who want the same at the same moment make one order. What an open sale may still sell, an
order without an answer included, is not sold again; and never more than the broker itself shows as held. What the broker
holds and the ledger does not know is a break, for a person to see: it is not sold.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.calendars.sessions import exchange_day
from trading_platform.domain.clock import Clock
from trading_platform.domain.commands import Command
from trading_platform.domain.errors import DatabaseUnavailable, TemporaryError
from trading_platform.domain.fills import Position
from trading_platform.domain.ids import command_intent_id
from trading_platform.domain.lifecycle import step
from trading_platform.domain.orders import (
    BrokerOrder,
    IntentKind,
    OrderIntent,
    OrderState,
    OrderStatus,
    OrderType,
    Side,
)
from trading_platform.ledger.ledger import Ledger
from trading_platform.ledger.ownership import Ownership
from trading_platform.orders.outbox import Outbox
from trading_platform.orders.reconcile import Reconciled, Reconciler
from trading_platform.orders.routing import Routes
from trading_platform.orders.standing import Standing, is_sale, standing

ATTEMPTS: Final = 5
"""How often one command has the same done again after a broker has refused it."""

_PASSES: Final = 5
"""Cancel entries, cancel what they leave, sell, sell a remainder, look."""

_DOUBTFUL: Final = (OrderState.SENDING, OrderState.UNKNOWN)
_PENDING: Final = (OrderState.PENDING_CANCEL, OrderState.PENDING_REPLACE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """How far it has come. `commands` are those that are not done; `left` says what is left of them, a sentence each.

    `out_of_reach`: all that is left is at brokers that are not configured, so that no time helps.
    """

    reconciled: Reconciled
    commands: tuple[Command, ...]
    left: tuple[str, ...]
    out_of_reach: bool


class Clearing:
    """Carries out what `standing` finds.

    Args:
        ledger: The book.
        routes: Its brokers.
        clock: The time.
        calendar: Its sessions: nothing is sold outside of them.
        outbox: The way to the brokers.
        reconciler: Looks at them after each pass.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        routes: Routes,
        clock: Clock,
        calendar: ExchangeCalendar,
        outbox: Outbox,
        reconciler: Reconciler,
    ) -> None:
        self._ledger, self._routes, self._clock, self._calendar = ledger, routes, clock, calendar
        self._outbox, self._reconciler = outbox, reconciler
        self._why: dict[str, str] = {}
        self._unreachable: set[str] = set()
        self._tried: set[str] = set()

    def obey(self, day: date, hold: Callable[[], Ownership], reconciled: Reconciled) -> Cleared:
        """Do what can be done now for the commands of the session `day`.

        Args:
            day: The session.
            hold: Renews the lease, and says what is owned.
            reconciled: What was found a moment ago.

        Raises what a reconcile and the outbox raise: it is gone on with from wherever it was broken off.
        """
        found = standing(self._ledger, day)
        self._tried = set()
        for _ in range(_PASSES):
            self._why, self._unreachable = {}, set()
            if not found.commands or not self._pass(found, hold, reconciled):
                break
            reconciled = _together(reconciled, self._reconciler.run(hold(), entering=False, hold=hold))
            found = standing(self._ledger, day)
        left = dict(self._left(found))
        return Cleared(
            reconciled=reconciled,
            commands=found.commands,
            left=tuple(left.values()),
            out_of_reach=bool(left) and left.keys() <= self._unreachable,
        )

    def _pass(self, found: Standing, hold: Callable[[], Ownership], reconciled: Reconciled) -> bool:
        """One pass. Returns whether anything has been done, so that it is worth looking again at once."""
        ended = self._end_unsent(found, hold)
        made = [*self._cancels(found, reconciled), *self._sales(found, reconciled)]
        for one in made:
            # Each on a renewed lease: a few slow answers take longer than one lasts.
            ownership = hold()
            self._ledger.record_intents(one.session, [one.intent], ownership)
            self._outbox.send([one.intent], ownership)
        return ended or bool(made)

    def _end_unsent(self, found: Standing, hold: Callable[[], Ownership]) -> bool:
        """End orders that have certainly never left, before anybody sends them."""
        unsent = [one for one in found.orders if one.state is OrderState.INTENDED and found.cancelling(one)]
        now = self._clock.now()
        events = [
            step(one.intent.id, one.state, OrderState.CANCELLED, at=now, detail="cancelled before it was sent")
            for one in unsent
        ]
        if events:
            # Only its owner may send it, so that nobody can have sent it in the meantime.
            self._ledger.note_sending(events, hold())
        return bool(events)

    def _cancels(self, found: Standing, reconciled: Reconciled) -> Iterator["_Made"]:
        """A cancel for each order that works; what is attached to an open entry waits for the entry's end."""
        entries = {one.intent.id for one in found.orders if one.intent.kind is IntentKind.ENTRY}
        for order in found.orders:
            intent, commands = order.intent, found.cancelling(order)
            if not commands or order.state is OrderState.INTENDED:
                continue
            venue = self._venue(order, found)
            if not self._routes.has(venue):
                self._why[intent.id] = f"{venue} is not configured"
                self._unreachable.add(intent.id)
            elif order.state in _DOUBTFUL:
                self._why[intent.id] = "its outcome is not known yet"
            elif intent.parent in entries:
                self._why[intent.id] = "the entry that it protects is still open"
            else:
                shown = reconciled.view.orders.get(intent.id)
                left = intent.quantity - order.filled if shown is None else shown.quantity - shown.filled
                pending = order.state in _PENDING
                made = self._next(commands, intent, IntentKind.CANCEL, left, pending=pending)
                if made is not None:
                    yield made

    def _sales(self, found: Standing, reconciled: Reconciled) -> Iterator["_Made"]:
        """A sale for each holding in whose symbol nothing else is open at its broker."""
        wanted = [one for one in found.held if found.selling(one) and one.quantity > found.exiting(one)]
        if not wanted:
            return
        if not self._market_is_open():
            self._why |= {_key(one): "the market is closed" for one in wanted}
            return
        at: dict[str, list[Position]] = {}
        for position in wanted:
            at.setdefault(position.venue or self._routes.primary.name, []).append(position)
        for venue, there in at.items():
            yield from self._sales_at(venue, there, found, reconciled)

    def _sales_at(
        self, venue: str, wanted: Sequence[Position], found: Standing, reconciled: Reconciled
    ) -> Iterator["_Made"]:
        configured = self._routes.has(venue)
        shown = self._shown(venue) if configured and venue not in reconciled.report.away else None
        if shown is None:
            why = f"{venue} does not answer" if configured else f"{venue} is not configured"
            self._why |= {_key(one): why for one in wanted}
            if not configured:
                self._unreachable |= {_key(one) for one in wanted}
            return
        orders = [one for one in found.orders if self._venue(one, found) == venue]
        free = {one.symbol: shown.held[one.symbol] - _on_sale(orders, one.symbol) for one in wanted}
        for position in wanted:
            why = _blocked(position, orders, shown)
            if why:
                self._why[_key(position)] = why
                continue
            quantity = min(position.quantity - found.exiting(position), free[position.symbol])
            if quantity <= 0:
                self._why[_key(position)] = f"{venue} shows nothing more of it to sell"
                continue
            made = self._next(found.selling(position), position, IntentKind.EXIT, quantity)
            if made is not None:
                free[position.symbol] -= quantity
                yield made

    def _venue(self, order: OrderStatus, found: Standing) -> str:
        """The broker that an order is at, or goes to."""
        if order.venue is not None:
            return order.venue
        mine = (order.intent.strategy, order.intent.symbol)
        held = (one.venue for one in found.held if (one.strategy, one.symbol) == mine)
        return next(held, None) or self._routes.primary.name

    def _shown(self, venue: str) -> "_Shown | None":
        """What a broker shows as held and working; None: it cannot be asked."""
        broker = self._routes.broker(venue)
        try:
            return _Shown(held=Counter(broker.positions()), working=broker.open_orders())
        except DatabaseUnavailable:
            raise
        except TemporaryError:
            return None

    def _market_is_open(self) -> bool:
        now = self._clock.now()
        day = exchange_day(now)
        if not self._calendar.is_session(day):
            return False
        session = self._calendar.session(day)
        return session.open <= now < session.close

    def _next(
        self,
        commands: Sequence[Command],
        of: OrderIntent | Position,
        kind: IntentKind,
        quantity: int,
        *,
        pending: bool = False,
    ) -> "_Made | None":
        """The next intent of this kind for an order or a holding; None while one is on its way, or none helps any more.

        After a sale that was filled whole comes the next leg, after what ended with quantity to do the next attempt
        (Law 3); so after a cancel that the broker took, once the order is no longer `pending` and works on. Where one
        command has tried often enough, a newer one tries again.
        """
        target = of.id if isinstance(of, OrderIntent) else ""
        subject, said = target or _key(of), ""
        for command in commands:
            leg = attempt = 0
            while attempt < ATTEMPTS:
                name = command_intent_id(
                    book=self._ledger.book,
                    command=command.id,
                    strategy=of.strategy,
                    symbol=of.symbol,
                    kind=kind.value,
                    leg=leg,
                    attempt=attempt,
                    target=target,
                )
                known = self._ledger.order(name)
                if known is None:
                    self._why[subject] = said
                    if attempt and subject in self._tried:
                        # What was refused a moment ago is not tried again before time has passed.
                        return None
                    self._tried.add(subject)
                    intent = self._intent(name, command, of, kind, quantity, leg=leg, attempt=attempt)
                    return _Made(intent=intent, session=self._session_of(command))
                if not known.state.is_final or (known.state is OrderState.APPLIED and pending):
                    return None
                if known.state is OrderState.APPLIED:
                    said = "the broker has taken its cancel, and it works on"
                    attempt += 1
                elif known.filled >= known.intent.quantity:
                    leg, attempt = leg + 1, 0
                else:
                    said = f"the broker refuses: {self._ledger.events(name)[-1].detail or known.state.value}"
                    attempt += 1
        self._why[subject] = said
        return None

    def _intent(
        self,
        name: str,
        command: Command,
        of: OrderIntent | Position,
        kind: IntentKind,
        quantity: int,
        *,
        leg: int,
        attempt: int,
    ) -> OrderIntent:
        changed = of if isinstance(of, OrderIntent) else None
        return OrderIntent(
            id=name,
            book=self._ledger.book,
            strategy=of.strategy,
            symbol=of.symbol,
            bar_time=command.at,
            kind=kind,
            leg=leg,
            attempt=attempt,
            side=changed.side if changed is not None else Side.SELL,
            type=changed.type if changed is not None else OrderType.MARKET,
            quantity=quantity,
            target=changed.id if changed is not None else None,
        )

    def _session_of(self, command: Command) -> date:
        """The session that a command's intents are recorded in: its own, or where that was not opened the latest."""
        if command.session is not None and self._ledger.session_configuration(command.session) is not None:
            return command.session
        last = self._ledger.last_session()
        return last.session if last is not None else exchange_day(command.at)

    def _left(self, found: Standing) -> Iterator[tuple[str, str]]:
        """What is left, an order's id or a holding's key, and a sentence on it."""
        for order in found.orders:
            intent = order.intent
            if found.cancelling(order):
                left = intent.quantity - order.filled
                said = f"the {intent.kind} {intent.id} of {intent.strategy} for {left} {intent.symbol} is {order.state}"
                yield intent.id, _because(said, self._why.get(intent.id, ""))
        for position in found.held:
            if found.selling(position):
                on_sale = found.exiting(position)
                why = f"{on_sale} of them are on sale" if on_sale else self._why.get(_key(position), "")
                said = f"{position.strategy} holds {position.quantity} {position.symbol}"
                yield _key(position), _because(said, why)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """An intent, and the session that it is recorded in."""

    intent: OrderIntent
    session: date


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """What a broker shows at one moment."""

    held: Counter[str]
    working: tuple[BrokerOrder, ...]


def _key(position: OrderIntent | Position) -> str:
    return f"{position.strategy} {position.symbol}"


def _blocked(position: Position, orders: Sequence[OrderStatus], shown: _Shown) -> str:
    """Why a holding cannot be sold at this moment, by the open orders at its broker; empty: it can."""
    if any(one.intent.symbol == position.symbol and not is_sale(one) for one in orders):
        return "an order in it is still open"
    ours = {one.intent.id for one in orders}
    working = (one for one in shown.working if one.symbol == position.symbol)
    stray = next((one.intent_id for one in working if one.intent_id not in ours), None)
    if stray is not None:
        return f"the order {stray} works in it at the broker and not in the ledger: cancel it there"
    return ""


def _on_sale(orders: Sequence[OrderStatus], symbol: str) -> int:
    """Shares of a symbol that open sales of any strategy may still sell, among these orders."""
    return sum(one.intent.quantity - one.filled for one in orders if is_sale(one) and one.intent.symbol == symbol)


def _because(said: str, why: str) -> str:
    return f"{said} ({why})" if why else said


def _together(first: Reconciled, then: Reconciled) -> Reconciled:
    """One reconcile after another as one: what both did, and what the later one found."""
    before, after = first.report, then.report
    report = replace(
        after,
        executions_booked=before.executions_booked + after.executions_booked,
        looked_up=before.looked_up + after.looked_up,
        resent=before.resent + after.resent,
        closed=before.closed + after.closed,
    )
    return Reconciled(report=report, view=then.view)
