"""Trades that the local Alpaca corrects or busts afterwards, on command.

An activity of its own says so, under the words and names that a test chooses, as Alpaca's list of fills is not
documented to have any. The account's shares and cash are what they would be had the trade been so from the beginning.
"""

from decimal import Decimal
from typing import Any

from trading_platform_tests.vendors.alpaca.alpaca_book import AlpacaBook, text


def amend(
    book: AlpacaBook,
    fill: dict[str, Any],
    *,
    quantity: int = 0,
    price: str | None = None,
    named: str = "previous_id",
    word: str = "type",
    lowers_count: bool = False,
) -> dict[str, Any]:
    """Correct a fill of `book.fills`, or bust it if `quantity` is 0, and return the new activity.

    Args:
        book: where it was filled.
        fill: one of its fills.
        quantity: what was executed in truth.
        price: at what price; the same one if it is None.
        named: the field that names the fill: `previous_id` holds its whole id, `previous_execution_id` the execution's.
            "" leaves it out.
        word: the field that says what it is.
        lowers_count: whether the order's own count of filled shares changes, too.
    """
    with book.lock:
        sign = 1 if fill["side"] == "buy" else -1
        before, after = int(fill["qty"]), quantity
        was, now = Decimal(fill["price"]), Decimal(price or fill["price"])
        book.held[fill["symbol"]] += sign * (after - before)
        book.cash += sign * (before * was - after * now)
        order = book.known(fill["order_id"])
        if lowers_count:
            order.filled += after - before
            order.value += after * now - before * was
        at, execution = book.moment(), book.new_id("execution")
        kind = "trade_correct" if quantity else "trade_bust"
        told = {
            **fill,
            "id": f"{at:%Y%m%d%H%M%S}{at.microsecond // 1000:03}{len(book.fills):06}::{execution}",
            "qty": str(quantity or before),
            "price": str(now),
            "transaction_time": text(at),
            word: kind,
        }
        earlier = str(fill["id"])
        if named:
            told[named] = earlier if named == "previous_id" else earlier.rsplit("::", 1)[1]
        book.fills.append(told)
        book.tell(kind, order, execution_id=execution, previous_execution_id=earlier.rsplit("::", 1)[1])
        return told
