"""Quiet stretches: minutes in which nothing can be decided on a symbol and nothing of it can fill.

Once a holding's orders have settled, it is known beforehand what would make the kernel speak: a close at a stop, at
break-even or at a target, a bar that touches an order, the clock, or its strategy. So a symbol is put to rest: its bars
are looked through for the next of these, what it is worth in the minutes before goes into the account's marks at once,
and it is looked at again in that minute, or earlier where its strategy speaks. What is looked at needlessly decides
nothing: the kernel says what a bar means, here it is only guessed what cannot mean anything.

A stretch is at most `STRETCH` minutes long, so that little is done in vain where one is broken off.
"""

from typing import Final

from trading_platform.backtest.loop.arrays import Said
from trading_platform.backtest.loop.kinds import ENTRY, EXIT, STOP
from trading_platform.domain.compiled import compiled_into_callers as compiled
from trading_platform.domain.money import BASIS_POINTS
from trading_platform.domain.records import SESSION_MINUTES, Record
from trading_platform.domain.rounding import float_from_price, price_from_float
from trading_platform.domain.signals import TargetIn, TriggerOn
from trading_platform.portfolio.exits import risked

STRETCH: Final = 64

_ON_TOUCH: Final = int(TriggerOn.TOUCH)
_ON_CLOSE: Final = int(TriggerOn.CLOSE)
_IN_R: Final = int(TargetIn.R)
_NEVER: Final = 1 << 60
_LOWEST: Final = -(1 << 60)


@compiled
def trails(life: Record, plan: Record) -> bool:
    """Whether a close below one of its strategy's levels lets a holding out."""
    found: bool = plan.trail_level != 0 and life.legs_sold >= plan.trail_after
    return found


@compiled
def rest(
    symbol: int,
    state: Record,
    listings: Record,
    lives: Record,
    positions: Record,
    orders: Record,
    plans: Record,
    sources: Record,
    worth: Record,
    buckets: Record,
    closes: Record,
    lows: Record,
    highs: Record,
    said: Said,
) -> bool:
    """Put a symbol to rest until the next minute that may bring a decision; False where that is the next one."""
    listing = listings[symbol]
    if listing.mark == 0:
        return False
    start = state.minute + 1
    until = min(start + STRETCH, state.minutes)
    low, high = _LOWEST, _NEVER
    place = listing.life
    while place != 0:
        life = lives[place - 1]
        plan = plans[life.strategy]
        if not _is_settled(state.minute, place, life, plan, listing, orders):
            return False
        position = positions[life.record - 1]
        until = min(until, _next_by_clock(state.minute, life, plan))
        low = max(low, _lets_out_at(life, position, plan))
        high = min(high, _reaches_target_at(life, position, plan))
        place = life.next
    first = state.session * SESSION_MINUTES
    until = _pass_closes(first + start, first + until, low, high, closes[symbol]) - first
    if listing.order != 0:
        until = _pass_orders(first + start, first + until, listing, orders, lows[symbol], highs[symbol]) - first
    place = listing.life
    while place != 0:
        life = lives[place - 1]
        source, plan = sources[life.strategy], plans[life.strategy]
        if source.muted == 0 and source.exits >= 0:
            row = said.exits[source.exits, symbol]
            until = _pass_reasons(first + start, first + until, plan.exit_mask, row) - first
        if source.muted == 0 and source.levels >= 0 and trails(life, plan):
            row = said.levels[source.levels, symbol]
            until = _pass_levels(first + start, first + until, closes[symbol], row) - first
        place = life.next
    if until <= start:
        return False
    listing.quiet_from = start
    listing.quiet_until = until
    place = listing.life
    while place != 0:
        life = lives[place - 1]
        source = sources[life.strategy]
        source.quiet_cost += life.holding.cost
        _add_worth(start, until, life.holding.quantity, listing, first, closes[symbol], worth[life.strategy])
        place = life.next
    _enlist(symbol, until, listings, buckets)
    return True


@compiled
def wake(
    symbol: int,
    state: Record,
    listings: Record,
    lives: Record,
    sources: Record,
    worth: Record,
    buckets: Record,
    closes: Record,
) -> None:
    """Look at a symbol again from this minute on, as if it had been looked at all the while."""
    listing = listings[symbol]
    first = state.session * SESSION_MINUTES
    until = listing.quiet_until
    row = closes[symbol]
    if state.minute < until:
        _come_to(state.minute, listing, first, row)
    place = listing.life
    while place != 0:
        life = lives[place - 1]
        source = sources[life.strategy]
        source.quiet_cost -= life.holding.cost
        life.highest_close = max(life.highest_close, listing.quiet_high)
        shares = life.holding.quantity
        _take_worth(state.minute, until, shares, listing.quiet_mark, first, row, worth[life.strategy])
        place = life.next
    listing.mark = listing.quiet_mark
    _strike_off(symbol, until, listings, buckets)
    listing.quiet_until = 0


@compiled
def _is_settled(minute: int, place: int, life: Record, plan: Record, listing: Record, orders: Record) -> bool:
    """Whether only a price, the clock or a signal can bring on a decision on a life, or a fill of its orders."""
    if life.holding.quantity <= 0 or life.withheld != 0 or minute + 1 >= plan.flat_from:
        return False
    resting = 0
    number = listing.order
    while number != 0:
        order = orders[number - 1]
        number = order.next
        if order.life != place:
            continue
        if order.kind in (ENTRY, EXIT) or order.triggered != 0:
            return False
        if order.kind == STOP:
            resting += order.quantity - order.filled
    quantity: int = life.holding.quantity
    return plan.stop_on != _ON_TOUCH or resting == quantity or (resting < quantity and life.stop <= 0)


@compiled
def _next_by_clock(minute: int, life: Record, plan: Record) -> int:
    """The next minute in which the clock may let a holding out."""
    until: int = plan.flat_from
    due = life.filled_minute + plan.time_stop
    # Later than that it has been asked already: progress that was made is not lost.
    if plan.time_stop > 0 and due > minute:
        until = min(until, due)
    return until


@compiled
def _lets_out_at(life: Record, position: Record, plan: Record) -> int:
    """The highest close, in units, at which the plan lets a holding out by its price."""
    price = _LOWEST
    if plan.stop_on == _ON_CLOSE:
        price = (position.entry_cost - risked(position, plan)) // position.entry_quantity
    if plan.breakeven_after >= 0 and life.legs_sold >= plan.breakeven_after:
        price = max(price, position.entry_cost // position.entry_quantity)
    return price


@compiled
def _reaches_target_at(life: Record, position: Record, plan: Record) -> int:
    """The lowest close, in units, that reaches the next target which the kernel decides on."""
    if plan.target_on == _ON_TOUCH or life.legs_sold >= plan.legs:
        return _NEVER
    unit = risked(position, plan) if plan.target_in == _IN_R else position.entry_cost
    gain = -(-unit * plan.leg_target[life.legs_sold] // BASIS_POINTS)
    price: int = -(-(position.entry_cost + gain) // position.entry_quantity)
    return price


@compiled
def _pass_closes(bar: int, until: int, low: int, high: int, closes: Record) -> int:
    """The first bar from `bar` on whose close, in units, is at most `low` or at least `high`; `until` without one."""
    bottom, top = float_from_price(low), float_from_price(high)
    # A minute without a bar has no number here, and compares with nothing.
    while bar < until and not (closes[bar] <= bottom or closes[bar] >= top):
        bar += 1
    return bar


@compiled
def _pass_orders(bar: int, until: int, listing: Record, orders: Record, lows: Record, highs: Record) -> int:
    """The first bar from `bar` on that touches a stop or target which rests; `until` without one."""
    stop, target = _LOWEST, _NEVER
    place = listing.order
    while place != 0:
        order = orders[place - 1]
        if order.kind == STOP:
            stop = max(stop, order.stop)
        else:
            target = min(target, order.limit)
        place = order.next
    bottom, top = float_from_price(stop), float_from_price(target)
    while bar < until and not (lows[bar] <= bottom or highs[bar] >= top):
        bar += 1
    return bar


@compiled
def _pass_reasons(bar: int, until: int, mask: int, exits: Record) -> int:
    """The first bar from `bar` on with a reason against holding that the plan obeys; `until` without one."""
    while bar < until and exits[bar] & mask == 0:
        bar += 1
    return bar


@compiled
def _pass_levels(bar: int, until: int, closes: Record, levels: Record) -> int:
    """The first bar from `bar` on that closes below the level that is trailed; `until` without one."""
    while bar < until and not closes[bar] < levels[bar]:
        bar += 1
    return bar


@compiled
def _add_worth(start: int, until: int, shares: int, listing: Record, first: int, closes: Record, worth: Record) -> None:
    """Add what so many shares are worth in each minute, and note the last and the highest close."""
    mark = listing.mark
    highest = 0
    for minute in range(start, until):
        close = closes[first + minute]
        if close > 0.0:
            mark = price_from_float(close)
            highest = max(highest, mark)
        worth[minute] += shares * mark
    listing.quiet_mark = mark
    listing.quiet_high = highest


@compiled
def _take_worth(start: int, until: int, shares: int, mark: int, first: int, closes: Record, worth: Record) -> None:
    """Take it back from minute `start` on; `mark` is the last close before it."""
    for minute in range(start, until):
        close = closes[first + minute]
        if close > 0.0:
            mark = price_from_float(close)
        worth[minute] -= shares * mark


@compiled
def _come_to(minute: int, listing: Record, first: int, closes: Record) -> None:
    """Work out the last and the highest close before `minute`, where a stretch is broken off."""
    listing.quiet_mark = listing.mark
    listing.quiet_high = 0
    for earlier in range(listing.quiet_from, minute):
        close = closes[first + earlier]
        if close > 0.0:
            listing.quiet_mark = price_from_float(close)
            listing.quiet_high = max(listing.quiet_high, listing.quiet_mark)


@compiled
def _enlist(symbol: int, minute: int, listings: Record, buckets: Record) -> None:
    """Note that a symbol is to be looked at in a minute."""
    listing = listings[symbol]
    listing.before = 0
    listing.after = buckets[minute]
    if listing.after != 0:
        listings[listing.after - 1].before = symbol + 1
    buckets[minute] = symbol + 1


@compiled
def _strike_off(symbol: int, minute: int, listings: Record, buckets: Record) -> None:
    listing = listings[symbol]
    if listing.before != 0:
        listings[listing.before - 1].after = listing.after
    else:
        buckets[minute] = listing.after
    if listing.after != 0:
        listings[listing.after - 1].before = listing.before
