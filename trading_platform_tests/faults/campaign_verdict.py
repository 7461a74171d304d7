"""What must hold when a schedule of the fault campaign is over: the ledger against the venue's own book.

Here belongs the comparison. What must hold at every moment is looked at by the venue itself (`campaign_worlds`).
"""

import re
from collections import Counter
from collections.abc import Iterator

from trading_platform.domain.orders import IntentKind, OrderState, Side
from trading_platform.ledger.ledger import Ledger
from trading_platform_tests.faults.campaign_worlds import CASH, Deal, World


def violations(ledger: Ledger, world: World, breaks: list[str]) -> list[str]:
    """Everything that is not as it must be, in sentences; nothing is the verdict that the campaign wants."""
    return [
        *world.violations,
        *_of_orders(ledger, world),
        *_of_deals(ledger, world),
        *(f"break: {one}" for one in breaks),
    ]


def _of_orders(ledger: Ledger, world: World) -> Iterator[str]:
    book = world.book()
    orders = ledger.orders()
    entries = {one.intent.id for one in orders if one.intent.kind is IntentKind.ENTRY}
    for name, count in book.entries.items():
        if count > 1:
            yield f"the venue took {count} orders {name}"
        if name not in entries:
            yield f"the venue took an order {name}, which no decision made"
    for one in orders:
        if not one.state.is_final:
            yield f"the {one.intent.kind} {one.intent.id} of {one.intent.symbol} has no end: it is {one.state}"
        if one.state is OrderState.REJECTED and one.filled:
            yield f"the {one.intent.kind} {one.intent.id} was called rejected and filled {one.filled} shares"
    for over in ledger.overfilled():
        yield f"{over.filled} shares of order {over.intent_id} were executed, {over.quantity} were intended"


def _of_deals(ledger: Ledger, world: World) -> Iterator[str]:
    book, fills = world.book(), ledger.fills()
    booked: Counter[Deal] = Counter((one.symbol, one.side.value, one.quantity, one.price) for one in fills)
    for what, deals in (("was not booked", book.deals - booked), ("was booked and never was", booked - book.deals)):
        for (symbol, side, shares, price), count in deals.items():
            yield f"a {side} of {shares} {symbol} at {price} {what} ({count} times)"
    held: Counter[str] = Counter()
    for one in fills:
        held[one.symbol] += one.quantity if one.side is Side.BUY else -one.quantity
    here = {symbol: shares for symbol, shares in held.items() if shares}
    if here != book.positions:
        yield f"held: {here} in the ledger, {book.positions} at the venue"
    cash = CASH + sum((one.quantity * one.price * (1 if one.side is Side.SELL else -1) - one.fee) for one in fills)
    if cash != book.cash:
        yield f"cash: {cash} in the ledger, {book.cash} at the venue"


def is_double_or_loss(violation: str) -> bool:
    """Whether more was taken or bought than was wanted, or the ledger lacks an execution, shares or dollars."""
    if re.search(r"the venue took \d+ orders", violation):
        return True
    doubles = ("were ever wanted", "were intended")
    losses = ("was not booked", "held: ", "cash: ", "called rejected and filled")
    return any(sign in violation for sign in (*doubles, *losses))
