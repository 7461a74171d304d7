"""Where ledger and brokers do not agree, and what of that a person has accepted.

Here belong the comparisons of what the brokers showed with what is booked, and the weighing of what was found against the
acceptances that are recorded. Nothing is asked of a broker and no order is changed (`reconcile`).

An acceptance is of one difference. Of a position or of cash the newest counts, and it ends with its difference: once the
two sides agree again, that is noted, so that the same difference is a new break when it comes again. Of an order or an
execution each counts for itself: several breaks can be about one.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from trading_platform.domain.fills import Fill
from trading_platform.domain.orders import BrokerOrder, Execution, OrderStatus
from trading_platform.domain.reports import Acceptance, Break, Subject
from trading_platform.ledger.fill_queries import Held
from trading_platform.ledger.ledger import Ledger
from trading_platform.orders.routing import Key, Routes

ACCOUNT: Final = "*"
"""Stands for the account as a whole where a break is not about one symbol."""

_LASTING: Final = (Subject.POSITION, Subject.CASH)
"""What has one difference at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueView:
    """What one broker showed."""

    orders: tuple[BrokerOrder, ...]
    positions: Mapping[str, int]
    cash: Decimal


class Acceptances:
    """The differences that persons have accepted, as they are recorded now.

    Args:
        recorded: All of them, oldest first.
        cash_tolerance: dollars by which cash may differ from what was accepted.
    """

    def __init__(self, recorded: Iterable[Acceptance], cash_tolerance: Decimal) -> None:
        self._cash_tolerance = cash_tolerance
        self._of: dict[tuple[str, Subject, str], list[Acceptance]] = {}
        for one in recorded:
            self._of.setdefault((one.venue, one.subject, one.name), []).append(one)

    def cover(self, found: Break) -> bool:
        """Whether a person has accepted exactly this difference."""
        accepted = self._of.get((found.venue, found.subject, found.name), [])
        counting = accepted[-1:] if found.subject in _LASTING else accepted
        return any(self._is(found, one.difference) for one in counting)

    def ended(self, found: Collection[Break], venues: Collection[str]) -> Iterator[Acceptance]:
        """The newest acceptances of positions and cash whose difference is not there any more, at these brokers."""
        differing = {(one.venue, one.subject, one.name) for one in found}
        for key, accepted in self._of.items():
            venue, subject, _ = key
            if subject in _LASTING and venue in venues and key not in differing and accepted[-1].difference:
                yield accepted[-1]

    def _is(self, found: Break, accepted: Decimal | None) -> bool:
        if found.difference is None or accepted is None:
            return found.difference is accepted
        slack = self._cash_tolerance if found.subject is Subject.CASH else Decimal(0)
        return abs(found.difference - accepted) <= slack


class Comparison:
    """Holds what the brokers showed against the ledger.

    Args:
        ledger: The book.
        routes: Its brokers.
        cash_tolerance: dollars by which a broker's cash may differ, for fees that it books by day.
    """

    def __init__(self, *, ledger: Ledger, routes: Routes, cash_tolerance: Decimal) -> None:
        self._ledger = ledger
        self._routes = routes
        self._cash_tolerance = cash_tolerance

    def acceptances(self) -> Acceptances:
        """What is accepted now."""
        return Acceptances(self._ledger.acceptances(), self._cash_tolerance)

    def not_accepted(self, found: Iterable[Break], views: Mapping[str, VenueView], now: datetime) -> tuple[Break, ...]:
        """The breaks whose difference nobody has accepted. Of accepted ones that have ended it is noted that they have.

        Args:
            found: All that was found at the brokers of `views`.
            views: What they showed.
            now: The time.
        """
        known, breaks = self.acceptances(), tuple(found)
        for one in known.ended(breaks, views.keys()):
            self._ledger.accept(
                Acceptance(
                    venue=one.venue,
                    subject=one.subject,
                    name=one.name,
                    difference=Decimal(0),
                    who="reconcile",
                    reason="ledger and broker agree again",
                    at=now,
                )
            )
        return tuple(one for one in breaks if not known.cover(one))

    def surplus(self, views: Mapping[str, VenueView]) -> Iterator[Break]:
        """More at the broker than was intended: an order that works twice or is larger, or one that filled for more."""
        working = [(venue, order) for venue, view in views.items() for order in view.orders]
        counts = Counter(order.intent_id for _, order in working)
        intended = self._ledger.orders_by_id(list(counts))
        for name, (venue, order) in {one.intent_id: (venue, one) for venue, one in working}.items():
            if counts[name] > 1:
                yield _about(name, order.symbol, venue, f"works {counts[name]} times at the broker", counts[name])
        for venue, order in working:
            ours = intended.get(order.intent_id)
            if ours is not None and order.quantity > ours.intent.quantity:
                what = f"is for {ours.intent.quantity} shares in the ledger and for {order.quantity} at the broker"
                yield _about(order.intent_id, order.symbol, venue, what, order.quantity - ours.intent.quantity)
        for one in self._ledger.overfilled():
            yield Break(
                symbol=one.symbol,
                what=f"{one.filled} shares of order {one.intent_id} were executed, {one.quantity} were intended",
                venue=self._routes.primary.name,
                name=one.intent_id,
                difference=Decimal(one.filled - one.quantity),
            )

    def differences(self, views: Mapping[str, VenueView]) -> Iterator[Break]:
        """Positions and cash, the ledger's against each broker's, and what was sold and never held."""
        booked = self._ledger.held()
        never_held = self._never_held(booked)
        yield from map(_uncovered, never_held)
        for venue, view in views.items():
            held = Counter[str]()
            for one in booked:
                held[one.symbol] += one.quantity if one.venue == venue else 0
            # Of what was never held the ledger has nothing: the broker is short of it until it is bought back.
            for sale in never_held:
                held[sale.symbol] += sale.quantity if sale.venue == venue else 0
            for symbol in sorted(held.keys() | view.positions.keys()):
                shares = view.positions.get(symbol, 0)
                if held[symbol] != shares:
                    what = f"{held[symbol]} shares in the ledger, {shares} at the broker"
                    yield _held(symbol, venue, what, shares - held[symbol])
            yield from self._cash(venue, view, booked)
        yield from self._out_of_reach(booked)

    def _cash(self, venue: str, view: VenueView, booked: Iterable[Held]) -> Iterator[Break]:
        ours = self._ledger.opening_cash() if venue == self._routes.primary.name else Decimal(0)
        ours += sum((one.cash for one in booked if one.venue == venue), Decimal(0))
        if abs(ours - view.cash) > self._cash_tolerance:
            yield Break(
                symbol=ACCOUNT,
                what=f"{ours} dollars in the ledger, {view.cash} at the broker",
                venue=venue,
                subject=Subject.CASH,
                name=ACCOUNT,
                difference=view.cash - ours,
            )

    def _out_of_reach(self, booked: Iterable[Held]) -> Iterator[Break]:
        """What is held at a broker that the book does not have any more."""
        held = Counter[tuple[str, str]]()
        for one in booked:
            if not self._routes.has(one.venue):
                held[one.venue, one.symbol] += one.quantity
        for (venue, symbol), shares in held.items():
            if shares:
                yield _held(symbol, venue, f"{shares} shares in the ledger, {_not_configured(venue)}", -shares)

    def _never_held(self, booked: Iterable[Held]) -> tuple[Fill, ...]:
        """What was sold and never held: the sums show whether there is any, the fold which."""
        net: Counter[Key] = Counter()
        for one in booked:
            net[one.strategy, one.symbol] += one.quantity
        return self._ledger.holdings().uncovered if min(net.values(), default=0) < 0 else ()


def not_ours(order: BrokerOrder, venue: str) -> Break:
    """An order that works at a broker and is not open in the ledger."""
    return _about(order.intent_id, order.symbol, venue, "works at the broker and not in the ledger")


def forgotten(status: OrderStatus, venue: str) -> Break:
    """An order that is open in the ledger and that its broker has never had."""
    return Break(
        symbol=status.intent.symbol,
        what=f"the broker does not know order {status.intent.id} any more",
        venue=venue,
        name=status.intent.id,
    )


def out_of_reach(status: OrderStatus, venue: str) -> Break:
    """An order at a broker that the book does not have any more."""
    return _about(status.intent.id, status.intent.symbol, venue, f"is {status.state}, {_not_configured(venue)}")


def otherwise_filled(status: OrderStatus, shown: BrokerOrder, venue: str) -> Break:
    """An order that has ended at the broker with another number of shares than is booked."""
    what = f"has ended at the broker with {shown.filled} shares executed, {status.filled} are booked"
    return _about(status.intent.id, status.intent.symbol, venue, what, shown.filled - status.filled)


def stray(execution: Execution, venue: str, what: str) -> Break:
    """An execution that cannot be booked, or is not as it was booked."""
    return Break(
        symbol=execution.symbol,
        what=f"execution {execution.execution_id} {what}",
        venue=venue,
        subject=Subject.EXECUTION,
        name=execution.execution_id,
    )


def _uncovered(sale: Fill) -> Break:
    return Break(
        symbol=sale.symbol,
        what=f"execution {sale.execution_id} sold {sale.quantity} shares that {sale.strategy} never held: what the "
        "account is short of has to be bought back at the broker",
        venue=sale.venue,
        subject=Subject.SALE,
        name=sale.execution_id,
        difference=Decimal(-sale.quantity),
    )


def _about(name: str, symbol: str, venue: str, what: str, difference: int | None = None) -> Break:
    return Break(
        symbol=symbol,
        what=f"order {name} {what}",
        venue=venue,
        name=name,
        difference=None if difference is None else Decimal(difference),
    )


def _held(symbol: str, venue: str, what: str, difference: int) -> Break:
    return Break(
        symbol=symbol,
        what=what,
        venue=venue,
        subject=Subject.POSITION,
        name=symbol,
        difference=Decimal(difference),
    )


def _not_configured(venue: str) -> str:
    return f"at the broker {venue}, which is not configured: name it as primary or backup until nothing is left there"
