"""The venue of a backtest: the open orders of each symbol, what a bar fills of them, and how they end.

The rules are those of the paper exchange, over flat records: which orders it takes (`brokers.order_entry`), when one has
ended (`brokers.working_orders`). What a bar fills is its own function, `brokers.fill_model.match_bar`. What a fill does to
a holding is `lives`; what is sent is `dispatch`.

The orders of a symbol stand in a chain, in order of arrival. One that has ended stays there until the minute is over, so
that everything of that minute sees the same orders, and is taken out by `clear_ended`.
"""

from trading_platform.backtest.loop.kinds import TARGET
from trading_platform.brokers.fill_model import BUY, SELL, match_bar
from trading_platform.domain.compiled import compiled_into_callers as compiled
from trading_platform.domain.records import Record


@compiled
def add_order(state: Record, listing: Record, orders: Record) -> int:
    """Take a free record for an order that arrives now, and return its place, from 1. The caller says what it is."""
    place: int = state.free_order
    if place != 0:
        state.free_order = orders[place - 1].next
    else:
        state.orders_used += 1
        place = state.orders_used
    order = orders[place - 1]
    order.next = 0
    order.open = 1
    order.filled = 0
    order.limit = 0
    order.stop = 0
    order.triggered = 0
    order.parent = 0
    order.pair = 0
    order.value = 0
    order.reference = 0
    if listing.last_order == 0:
        listing.order = place
    else:
        orders[listing.last_order - 1].next = place
    listing.last_order = place
    state.open_orders += 1
    return place


@compiled
def can_afford(quantity: int, reference: int, book: Record, state: Record) -> bool:
    """Whether the buying power for a buy is there: cash, less what open buys hold at their references."""
    enough: bool = quantity * reference <= book.cash - state.reserved
    return enough


@compiled
def owns(quantity: int, listing: Record, lives: Record, orders: Record) -> bool:
    """Whether so many shares are held that are not on offer already; a bracket's stop and target count once."""
    free = 0
    place = listing.life
    while place != 0:
        free += lives[place - 1].holding.quantity
        place = lives[place - 1].next
    place = listing.order
    while place != 0:
        order = orders[place - 1]
        if order.open != 0 and order.side == SELL and order.kind != TARGET:
            free -= order.quantity - order.filled
        place = order.next
    return quantity <= free


@compiled
def end_order(place: int, state: Record, listing: Record, orders: Record) -> None:
    """End an order. What is attached to it stays with what was filled, and goes with it if that is nothing."""
    order = orders[place - 1]
    _close(order, state, orders)
    if order.side != BUY:
        return
    leg = listing.order
    while leg != 0:
        attached = orders[leg - 1]
        if attached.parent == place:
            attached.parent = 0
            if attached.open != 0 and attached.filled == attached.quantity:
                _close(attached, state, orders)
        leg = attached.next


@compiled
def _close(order: Record, state: Record, orders: Record) -> None:
    order.open = 0
    state.open_orders -= 1
    if order.side == BUY:
        state.reserved -= (order.quantity - order.filled) * order.reference
    if order.pair != 0:
        orders[order.pair - 1].pair = 0
        order.pair = 0


@compiled
def leave(place: int, left: int, state: Record, listing: Record, orders: Record) -> None:
    """Leave at most `left` shares of an order open, and of the other leg of its bracket; 0 ends them."""
    other = orders[place - 1].pair
    _leave_one(place, left, state, listing, orders)
    if other != 0:
        _leave_one(other, left, state, listing, orders)


@compiled
def _leave_one(place: int, left: int, state: Record, listing: Record, orders: Record) -> None:
    order = orders[place - 1]
    if order.open == 0:
        return
    if left == 0:
        end_order(place, state, listing, orders)
    elif left < order.quantity - order.filled:
        order.quantity = order.filled + left


@compiled
def clear_ended(state: Record, listing: Record, orders: Record) -> None:
    """Take what has ended out of a symbol's chain."""
    before = 0
    place = listing.order
    while place != 0:
        order = orders[place - 1]
        after = order.next
        if order.open != 0:
            before = place
        else:
            if before == 0:
                listing.order = after
            else:
                orders[before - 1].next = after
            order.next = state.free_order
            state.free_order = place
        place = after
    listing.last_order = before


@compiled
def expire_all(state: Record, listing: Record, orders: Record) -> None:
    """End all of a symbol's orders: every order is for the day."""
    place = listing.order
    while place != 0:
        if orders[place - 1].open != 0:
            end_order(place, state, listing, orders)
        place = orders[place - 1].next


@compiled
def match(
    bar: Record, state: Record, listing: Record, orders: Record, matched: Record, places: Record, fills: Record
) -> int:
    """Match a bar against a symbol's open orders, in order of arrival; returns how many of `fills` were written.

    The orders have their new quantities and triggers then; how much of each is filled is for whoever books the fills.

    Args:
        bar: a `bar_t`.
        state: the `pass_t`.
        listing: the symbol's.
        orders: all `working_t`.
        matched: room for the symbol's orders as `venue_order_t`.
        places: written: the place, from 1, of the order that each of `matched` is.
        fills: room for `FILLS_PER_ORDER` each.
    """
    count = 0
    place = listing.order
    while place != 0:
        order = orders[place - 1]
        count += 1
        order.place = count
        places[count - 1] = place
        place = order.next
    for k in range(count):
        order, record = orders[places[k] - 1], matched[k]
        record.side = order.side
        record.type = order.type
        record.quantity = order.quantity
        record.filled = order.filled
        record.limit = order.limit
        record.stop = order.stop
        record.triggered = order.triggered
        record.eligible = order.eligible
        record.parent = orders[order.parent - 1].place if order.parent != 0 else 0
        record.pair = orders[order.pair - 1].place if order.pair != 0 else 0
    written = match_bar(bar, matched, count, state.slippage, state.volume_share, fills)
    for k in range(count):
        order = orders[places[k] - 1]
        order.quantity = matched[k].quantity
        order.triggered = matched[k].triggered
    return written


@compiled
def end_filled(state: Record, listing: Record, orders: Record) -> None:
    """End the orders that have nothing left, and are attached to nothing that may still fill."""
    place = listing.order
    while place != 0:
        order = orders[place - 1]
        if order.open != 0 and order.filled == order.quantity and order.parent == 0:
            end_order(place, state, listing, orders)
        place = order.next
