"""What the whole book has in one symbol, of all strategies: its value, and the orders that an entry would meet.

The position records of one symbol stand in a ring, entries that were approved earlier in the same minute among them,
so that a book of many symbols costs no more to look at than one of few. What is forbidden by it is `risk`'s to say.
"""

from trading_platform.domain.compiled import compiled
from trading_platform.domain.records import Record


@compiled
def link(book: Record, positions: Record, entries: Record) -> None:
    """Put the position records of each symbol into a ring, and tell each proposed entry where its symbol's is.

    The records stand by strategy, and a strategy has one in a symbol.
    """
    count = book.holdings - book.quiet
    for k in range(count):
        positions[k].next = k + 1
        for earlier in range(k):
            if positions[earlier].strategy == positions[k].strategy:
                break
            if positions[earlier].symbol == positions[k].symbol:
                join(earlier + 1, k + 1, positions)
                break
    for j in range(entries.size):
        entries[j].held = 0
        for k in range(count):
            if positions[k].symbol == entries[j].symbol:
                entries[j].held = k + 1
                break


@compiled
def join(member: int, place: int, positions: Record) -> None:
    """Put the record at `place` into the ring of the one at `member`; both are places, from 1."""
    positions[place - 1].next = positions[member - 1].next
    positions[member - 1].next = place


@compiled
def join_entered(number: int, place: int, book: Record, positions: Record, entries: Record) -> None:
    """Put the record of an entry that was approved into its symbol's ring, for the entries that come after it.

    `number` is the entry's, from 0, `place` the record's, from 1.
    """
    entry = entries[number]
    if entry.held != 0:
        join(entry.held, place, positions)
        return
    positions[place - 1].next = place
    if book.linked != 0:
        later = entry.next
        while later != 0:
            entries[later - 1].held = place
            later = entries[later - 1].next
        return
    for j in range(number + 1, entries.size):
        if entries[j].symbol == entry.symbol:
            entries[j].held = place


@compiled
def value(entry: Record, price: int, positions: Record) -> int:
    """What all strategies hold of the entry's symbol, and have on order for it, in units."""
    total = 0
    k = entry.held
    while k != 0:
        other = positions[k - 1]
        total += other.quantity * price + other.entry_reserved
        k = other.next if other.next != entry.held else 0
    return total


@compiled
def held(entry: Record, positions: Record) -> int:
    """Shares that the entry's strategy holds of its symbol, or has on order.

    An exit of more than is held counts too: what is left of it would sell what the new entry buys.
    """
    k = entry.held
    while k != 0:
        other = positions[k - 1]
        if other.strategy == entry.strategy:
            return max(other.quantity + other.entering, other.exiting)
        k = other.next if other.next != entry.held else 0
    return 0


@compiled
def crossing(strategy: int, first: int, price: int, positions: Record) -> int:
    """Shares that other strategies sell, and that a buy of `strategy` at `price` could meet.

    Those of exits, which go out at the market, those of stops that trigger before the price comes down to that of the
    buy, and those of targets at or below it: what rests, and what is attached to entries that may still fill. `first`
    is the place, from 1, of a record of the symbol; 0 where there is none.
    """
    total = 0
    k = first
    while k != 0:
        other = positions[k - 1]
        if other.strategy != strategy:
            total += other.exiting
            if other.stop_orders > 0 and other.stop >= price:
                total += other.resting_stop + other.entering
            if other.target_orders > 0 and other.target <= price:
                total += other.resting_target
        k = other.next if other.next != first else 0
    return total


@compiled
def bought_below(entry: Record, positions: Record) -> int:
    """Shares that other strategies' entries could buy from the stop that is attached to this one.

    Those of entries that may still fill at a price which is reached only after the stop has triggered: at or below it.
    """
    total = 0
    k = entry.held
    while k != 0:
        other = positions[k - 1]
        if other.strategy != entry.strategy and other.entering > 0:
            price = other.entry_limit if other.entry_limit > 0 else other.mark
            if price <= entry.stop:
                total += other.entering
        k = other.next if other.next != entry.held else 0
    return total


@compiled
def bought_above(entry: Record, target: int, positions: Record) -> int:
    """Shares that other strategies' entries could buy from a target at this price, which is attached to this one."""
    total = 0
    k = entry.held
    while k != 0:
        other = positions[k - 1]
        if other.strategy != entry.strategy and other.entering > 0:
            price = other.entry_limit if other.entry_limit > 0 else other.mark
            if price >= target:
                total += other.entering
        k = other.next if other.next != entry.held else 0
    return total


@compiled
def open_on_fuller_side(entry: Record, buys: int, sales: int, positions: Record) -> int:
    """Open orders of the entry's symbol on the side that has more of them, with so many more of each."""
    k = entry.held
    while k != 0:
        other = positions[k - 1]
        buys += other.entry_orders
        sales += other.exit_orders + other.stop_orders + other.target_orders
        k = other.next if other.next != entry.held else 0
    return max(buys, sales)


@compiled
def twin_age(entry: Record, quantity: int, now: int, positions: Record) -> int:
    """Seconds since the newest entry of the same symbol, quantity and limit was decided; -1: there is none.

    Looked at are entries that work, or whose holding is still there. Entries all buy, so the side is the same.
    """
    newest = 0
    k = entry.held
    while k != 0:
        other = positions[k - 1]
        if other.ordered == quantity and other.entry_limit == entry.limit:
            newest = max(newest, other.entered_at)
        k = other.next if other.next != entry.held else 0
    return now - newest if newest > 0 else -1
