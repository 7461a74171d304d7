"""Lives: what a backtest keeps of a holding or working entry, from the decision on its entry until nothing is left.

The ledger's rows are folded anew in every minute of a paper session (`portfolio.account`); here the same facts are kept
as they come about. Of the fills of one bar purchases are booked before sales, as the ledger folds them. What a fill does
to a holding is `accounting`; which orders there are is `venue`.
"""

from trading_platform.accounting.average_cost import BOOKED, buy, sell
from trading_platform.backtest.loop.kinds import ENTRY, EXIT, STOP, TARGET
from trading_platform.brokers.fees import execution_fee
from trading_platform.brokers.fill_model import BUY
from trading_platform.domain.compiled import compiled_into_callers as compiled
from trading_platform.domain.records import Record

_EXECUTION_SECOND = 59
"""Within the minute that fills it."""


@compiled
def life_of(strategy: int, listing: Record, lives: Record) -> int:
    """The place, from 1, of a strategy's life in a symbol; 0: there is none."""
    place: int = listing.life
    while place != 0 and lives[place - 1].strategy != strategy:
        place = lives[place - 1].next
    return place


@compiled
def add_life(strategy: int, symbol: int, state: Record, listing: Record, lives: Record) -> int:
    """Begin a life, and return its place, from 1. The caller says what its entry is."""
    place: int = state.free_life
    if place != 0:
        state.free_life = lives[place - 1].next
    else:
        state.lives_used += 1
        place = state.lives_used
    life = lives[place - 1]
    life.strategy = strategy
    life.symbol = symbol
    life.holding.quantity = 0
    life.holding.cost = 0
    life.holding.realised = 0
    life.holding.fees = 0
    life.opened_at = 0
    life.filled_minute = -1
    life.filled = 0
    life.legs_sold = 0
    life.withheld = 0
    life.highest_close = 0
    life.levels_session = 0
    life.record = 0
    life.next = listing.life
    listing.life = place
    state.lives += 1
    return place


@compiled
def end_lives(state: Record, listing: Record, lives: Record, orders: Record) -> None:
    """End the lives of a symbol that hold nothing and have nothing on order."""
    before = 0
    place = listing.life
    while place != 0:
        life = lives[place - 1]
        after = life.next
        if life.holding.quantity != 0 or _has_orders(place, listing, orders):
            before = place
        else:
            if before == 0:
                listing.life = after
            else:
                lives[before - 1].next = after
            life.next = state.free_life
            state.free_life = place
            state.lives -= 1
        place = after


@compiled
def _has_orders(life: int, listing: Record, orders: Record) -> bool:
    place = listing.order
    while place != 0:
        if orders[place - 1].life == life and orders[place - 1].open != 0:
            return True
        place = orders[place - 1].next
    return False


@compiled
def book_fills(
    written: int,
    bar: Record,
    bar_number: int,
    state: Record,
    book: Record,
    fees: Record,
    orders: Record,
    lives: Record,
    sources: Record,
    pairs: Record,
    places: Record,
    fills: Record,
    executions: Record,
) -> bool:
    """Book what one bar filled of one symbol's orders; False where more is sold than is held, which cannot be."""
    for k in range(written):
        fill = fills[k]
        order = orders[places[fill.order] - 1]
        life = lives[order.life - 1]
        value = fill.quantity * fill.price
        fee = execution_fee(fees, order.filled, order.value, fill.quantity, value)
        order.filled += fill.quantity
        order.value += value
        if order.side == BUY:
            state.reserved -= fill.quantity * order.reference
        book.cash -= order.side * value + fee
        sources[life.strategy].net -= fee
        _note(executions[state.executions], fill, fee, bar_number, order, life)
        state.executions += 1
        if order.side != BUY:
            continue
        if life.holding.quantity == 0:
            life.opened_at = bar.time + _EXECUTION_SECOND
            life.filled_minute = state.minute
            life.highest_close = 0
        buy(life.holding, fill.quantity, fill.price, 0)
        if life.filled == 0:
            life.filled = 1
            pairs[life.strategy, life.symbol].attempts += 1
    for k in range(written):
        order = orders[places[fills[k].order] - 1]
        if order.side != BUY and not _book_sale(fills[k], order, lives, sources):
            return False
    return True


@compiled
def _book_sale(fill: Record, order: Record, lives: Record, sources: Record) -> bool:
    life = lives[order.life - 1]
    before = life.holding.realised
    if sell(life.holding, fill.quantity, fill.price, 0) != BOOKED:
        return False
    sources[life.strategy].net += life.holding.realised - before
    if order.kind == EXIT:
        life.legs_sold = max(life.legs_sold, order.leg)
    elif order.kind == TARGET:
        life.legs_sold = max(life.legs_sold, order.leg + 1)
    return True


@compiled
def _note(execution: Record, fill: Record, fee: int, bar_number: int, order: Record, life: Record) -> None:
    execution.bar = bar_number
    execution.sent = order.sent
    execution.strategy = life.strategy
    execution.symbol = life.symbol
    execution.side = order.side
    execution.kind = order.kind
    execution.leg = order.leg
    execution.quantity = fill.quantity
    execution.price = fill.price
    execution.fee = fee
    execution.entry_bar = life.entry_bar


@compiled
def mark_of(life: Record, listing: Record) -> int:
    """What a share of a holding counts for: the last close of the session, before that what it has cost; 0: neither."""
    price: int = listing.mark
    if price == 0 and life.holding.quantity > 0:
        price = life.holding.entry_cost // life.holding.entry_quantity
    return price


@compiled
def write_position(position: Record, place: int, life: Record, listing: Record, orders: Record) -> None:
    """Write the record that the kernel decides on, but for what the bar showed."""
    held = life.holding.quantity > 0
    position.strategy = life.strategy
    position.symbol = life.symbol
    position.quantity = life.holding.quantity
    position.entry_quantity = life.holding.entry_quantity if held else 0
    position.entry_cost = life.holding.entry_cost if held else 0
    position.stop = life.stop
    position.filled_minute = life.filled_minute if held else -1
    position.valid_until = life.valid_until
    position.setup = life.setup
    position.highest_close = life.highest_close if held else 0
    position.mark = mark_of(life, listing)
    position.entry_limit = life.entry_limit
    position.entry_reserved = 0
    position.ordered = life.ordered
    position.entered_at = life.entered_at
    position.unprotected = 0
    position.withheld = life.withheld
    position.cancelled = 0
    position.legs_done = life.legs_sold
    _write_orders(position, place, listing, orders)


@compiled
def _write_orders(position: Record, life: int, listing: Record, orders: Record) -> None:
    position.entering = 0
    position.entry_orders = 0
    position.exiting = 0
    position.exit_orders = 0
    position.resting_stop = 0
    position.stop_orders = 0
    position.resting_target = 0
    position.target_orders = 0
    position.target = 0
    place = listing.order
    while place != 0:
        order = orders[place - 1]
        if order.life == life and order.open != 0:
            left = order.quantity - order.filled
            if order.kind == ENTRY:
                position.entering += left
                position.entry_orders += 1
            elif order.kind == EXIT:
                position.exiting += left
                position.exit_orders += 1
                position.legs_done = max(position.legs_done, order.leg)
            elif order.kind == STOP:
                position.resting_stop += left
                position.stop_orders += 1
            else:
                position.resting_target += left
                position.target_orders += 1
                if order.parent != 0:
                    entry = orders[order.parent - 1]
                    position.resting_target += entry.quantity - entry.filled
                if position.target == 0 or order.limit < position.target:
                    position.target = order.limit
        place = order.next
