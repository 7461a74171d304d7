"""What the whole book has in one symbol, of all strategies: its value, and the orders that an entry would meet.

Compiled loops over the position records, entries that were approved earlier in the same minute among them. What is
forbidden by it is `risk`'s to say.
"""

from trading_platform.domain.compiled import compiled
from trading_platform.domain.records import Record


@compiled
def value(symbol: int, price: int, book: Record, positions: Record) -> int:
    """What all strategies hold of a symbol, and have on order for it, in units."""
    total = 0
    for k in range(book.holdings):
        if positions[k].symbol == symbol:
            total += positions[k].quantity * price + positions[k].entry_reserved
    return total


@compiled
def held(entry: Record, book: Record, positions: Record) -> int:
    """Shares that the entry's strategy holds of its symbol, or has on order.

    An exit of more than is held counts too: what is left of it would sell what the new entry buys.
    """
    for k in range(book.holdings):
        if positions[k].symbol == entry.symbol and positions[k].strategy == entry.strategy:
            return max(positions[k].quantity + positions[k].entering, positions[k].exiting)
    return 0


@compiled
def crossing(strategy: int, symbol: int, price: int, book: Record, positions: Record) -> int:
    """Shares that other strategies sell, and that a buy of `strategy` at `price` could meet.

    Those of exits, which go out at the market, those of stops that trigger before the price comes down to that of the
    buy, and those of targets at or below it: what rests, and what is attached to entries that may still fill.
    """
    total = 0
    for k in range(book.holdings):
        other = positions[k]
        if other.symbol == symbol and other.strategy != strategy:
            total += other.exiting
            if other.stop_orders > 0 and other.stop >= price:
                total += other.resting_stop + other.entering
            if other.target_orders > 0 and other.target <= price:
                total += other.resting_target
    return total


@compiled
def bought_below(entry: Record, book: Record, positions: Record) -> int:
    """Shares that other strategies' entries could buy from the stop that is attached to this one.

    Those of entries that may still fill at a price which is reached only after the stop has triggered: at or below it.
    """
    total = 0
    for k in range(book.holdings):
        other = positions[k]
        if other.symbol == entry.symbol and other.strategy != entry.strategy and other.entering > 0:
            price = other.entry_limit if other.entry_limit > 0 else other.mark
            if price <= entry.stop:
                total += other.entering
    return total


@compiled
def bought_above(entry: Record, target: int, book: Record, positions: Record) -> int:
    """Shares that other strategies' entries could buy from a target at this price, which is attached to this one."""
    total = 0
    for k in range(book.holdings):
        other = positions[k]
        if other.symbol == entry.symbol and other.strategy != entry.strategy and other.entering > 0:
            price = other.entry_limit if other.entry_limit > 0 else other.mark
            if price >= target:
                total += other.entering
    return total


@compiled
def open_on_fuller_side(symbol: int, buys: int, sales: int, book: Record, positions: Record) -> int:
    """Open orders of a symbol on the side that has more of them, with so many more of each."""
    for k in range(book.holdings):
        if positions[k].symbol == symbol:
            buys += positions[k].entry_orders
            sales += positions[k].exit_orders + positions[k].stop_orders + positions[k].target_orders
    return max(buys, sales)


@compiled
def twin_age(entry: Record, quantity: int, book: Record, positions: Record) -> int:
    """Seconds since the newest entry of the same symbol, quantity and limit was decided; -1: there is none.

    Looked at are entries that work, or whose holding is still there. Entries all buy, so the side is the same.
    """
    newest = 0
    for k in range(book.holdings):
        other = positions[k]
        if other.symbol == entry.symbol and other.ordered == quantity and other.entry_limit == entry.limit:
            newest = max(newest, other.entered_at)
    return book.now - newest if newest > 0 else -1
