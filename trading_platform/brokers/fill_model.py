"""What one bar gives the orders of one symbol: called by the paper exchange and by the backtest's loop (Law 1).

Here belongs matching alone, over flat records. Whether an order may be placed is the venue's; what its fills cost is
`fees`; what they do to a book is `accounting`.

**Order within a bar**: sales at the open (market orders, and the rest of stops that an earlier bar triggered), then
stops and stop-limits, then limit sales (and stop-limits that an earlier bar triggered), then buys as they stand in the
array, then the attached stops of buys that filled in this very bar. A stop and a target that are both touched therefore
give the stop; cancels and reductions were applied before.

**Prices.** A market order fills at the open. A limit order fills at the open where that is at the limit or better, else
at the limit once the bar touches it. A stop fills at the open where that is beyond the stop (a gap), else at the stop;
from then on its rest is a market order. Market and stop fills pay slippage and are rounded to the tick against the
trader; limit fills pay none. All fills of a bar together take at most a share of its volume, in whole shares.
A missing bar or one without volume fills and triggers nothing.

**A stop-limit** is triggered as a stop is, and fills as that stop would where the price after slippage is at its limit
or better. Where it is not, the order rests at its limit, and this bar fills it there only if it certainly traded there
after the trigger. Where the bar opened beyond stop and limit (a gap), all of it came after: it fills if the bar comes
back to the limit. Where the stop was reached later, or slippage alone carried the price past the limit, only the close
is known to come after: it fills if the close is at the limit or better. From the next bar on it is a limit order.

**Attached legs** sell (positions are long): a stop, and with a bracket a target, which is a limit sale, beside it. Their
quantity grows with their entry's fills and is for exactly those. The two of a bracket are for the same shares: what one
sells is taken off the other in the same bar, so that both always have as much open. What an entry buys in a bar its
target cannot sell in that bar; its stop can.
"""

from typing import Any, Final

from trading_platform.domain.compiled import compiled
from trading_platform.domain.money import BASIS_POINTS
from trading_platform.domain.rounding import basis_points_down, tick_down, tick_up

BUY: Final = 1
SELL: Final = -1

MARKET: Final = 1
LIMIT: Final = 2
STOP: Final = 3
STOP_LIMIT: Final = 4

FILLS_PER_ORDER: Final = 2
"""The most that one bar gives one order: an attached stop may sell old shares, and then those just bought."""

TOO_FEW_FILLS: Final = -1
"""There is no room for what the bar may give: nothing was matched."""

_SALES_AT_OPEN: Final = 0
_STOPS: Final = 1
_TARGETS: Final = 2
_BUYS: Final = 3
_TURNS: Final = 4


@compiled
def match_bar(bar: Any, orders: Any, count: int, slippage: int, volume_share: int, fills: Any) -> int:
    """Match one bar of a symbol against the first `count` of its orders, which stand in order of arrival.

    Changes the orders (filled, triggered, the quantity of attached legs) and writes to `fills` in the order in which
    the venue gives them.

    Args:
        bar: a `bar_t`.
        orders: `venue_order_t`, open ones; those without open quantity or not yet eligible are passed over.
        count: how many of `orders` are used.
        slippage: basis points on market and stop fills.
        volume_share: basis points of the bar's volume that its fills may take together.
        fills: `fill_t`, room for `FILLS_PER_ORDER` x `count`.

    Returns:
        How many fills were written, or `TOO_FEW_FILLS`.
    """
    if len(fills) < FILLS_PER_ORDER * count:
        return TOO_FEW_FILLS
    if bar.time == 0 or bar.volume <= 0:
        return 0
    left = basis_points_down(bar.volume, volume_share)
    written = 0
    first_buy = 0
    for turn in range(_TURNS):
        first_buy = written
        for index in range(count):
            order = orders[index]
            if order.eligible > bar.time or order.filled >= order.quantity or _turn(order) != turn:
                continue
            _trigger(bar, order)
            price, at_open = _price(bar, order, slippage)
            quantity = min(left, order.quantity - order.filled)
            if price != 0 and quantity > 0:
                left -= quantity
                _fill(orders, index, quantity, price, at_open, fills[written])
                written += 1
    return _match_attached(bar, orders, count, slippage, left, fills, first_buy, written)


@compiled
def _match_attached(
    bar: Any, orders: Any, count: int, slippage: int, left: int, fills: Any, first_buy: int, written: int
) -> int:
    """Let attached legs grow by the buys among `fills`, from `first_buy` on; stops sell where the bar reached them."""
    for place in range(first_buy, written):
        bought = fills[place]
        for index in range(count):
            if orders[index].parent == bought.order + 1:
                orders[index].quantity += bought.quantity
        # A target has no stop price, and so is not reached here.
        for index in range(count):
            stop = orders[index]
            if stop.parent != bought.order + 1:
                continue
            reference = _reference_after_buy(bar, stop, bought)
            if reference == 0:
                continue
            if stop.triggered == 0:
                stop.triggered = bar.time
            quantity = min(left, bought.quantity)
            if quantity > 0:
                left -= quantity
                price = slipped(reference, stop.side, slippage)
                _fill(orders, index, quantity, price, 1 if reference == bar.open else 0, fills[written])
                written += 1
    return written


@compiled
def _fill(orders: Any, index: int, quantity: int, price: int, at_open: int, fill: Any) -> None:
    order = orders[index]
    order.filled += quantity
    if order.pair != 0:
        orders[order.pair - 1].quantity -= quantity
    fill.order = index
    fill.quantity = quantity
    fill.price = price
    fill.at_open = at_open


@compiled
def _turn(order: Any) -> int:
    if order.side == BUY:
        return _BUYS
    if order.type in (STOP, STOP_LIMIT) and order.triggered == 0:
        return _STOPS
    return _TARGETS if order.type in (LIMIT, STOP_LIMIT) else _SALES_AT_OPEN


@compiled
def _trigger(bar: Any, order: Any) -> None:
    if order.type in (STOP, STOP_LIMIT) and order.triggered == 0 and _stop_reference(bar, order) != 0:
        order.triggered = bar.time


@compiled
def _price(bar: Any, order: Any, slippage: int) -> tuple[int, int]:
    """What the order fills at in this bar, slippage included, and 1 if that is at the open; (0, 0) if it does not."""
    earlier = 0 < order.triggered < bar.time
    if order.type == MARKET or (order.type == STOP and earlier):
        return slipped(bar.open, order.side, slippage), 1
    if order.type == LIMIT or (order.type == STOP_LIMIT and earlier):
        price = _limit_price(bar, order)
        return price, 1 if price == bar.open else 0
    if order.triggered == 0:
        return 0, 0
    reference = _stop_reference(bar, order)
    price = slipped(reference, order.side, slippage)
    if order.type == STOP_LIMIT and not _within_limit(price, order):
        return _limit_price_after_trigger(bar, order), 0
    return price, 1 if reference == bar.open else 0


@compiled
def _within_limit(price: int, order: Any) -> bool:
    within: bool = order.side * price <= order.side * order.limit
    return within


@compiled
def _limit_price(bar: Any, order: Any) -> int:
    """The price at which the bar reaches the order's limit; 0 if it does not."""
    opening: int = bar.open
    limit: int = order.limit
    if _within_limit(opening, order):
        return opening
    # The best that the bar offers to a buyer is its low, to a seller its high.
    return limit if _within_limit(bar.low if order.side == BUY else bar.high, order) else 0


@compiled
def _stop_reference(bar: Any, order: Any) -> int:
    """The price, before slippage, at which the bar reaches the order's stop; 0 if it does not."""
    opening: int = bar.open
    stop: int = order.stop
    # A buy stop waits for higher prices, a sell stop for lower ones.
    if order.side * opening >= order.side * stop:
        return opening
    farthest = bar.high if order.side == BUY else bar.low
    return stop if order.side * farthest >= order.side * stop else 0


@compiled
def _limit_price_after_trigger(bar: Any, order: Any) -> int:
    """The limit of a stop-limit that this bar has triggered, if it certainly traded there afterwards; else 0."""
    limit: int = order.limit
    if _stop_reference(bar, order) == bar.open and not _within_limit(bar.open, order):
        return _limit_price(bar, order)
    return limit if _within_limit(bar.close, order) else 0


@compiled
def _reference_after_buy(bar: Any, stop: Any, bought: Any) -> int:
    """As `_stop_reference`, for a stop whose shares were bought in this bar: no price from before the purchase.

    Whether the low came before or after the purchase is not known: the worse is taken.
    """
    opening: int = bar.open
    paid: int = bought.price
    # A stop that this very bar has triggered, for shares bought before, was not a market order yet at the open.
    market = 0 < stop.triggered < bar.time
    if bought.at_open != 0 and (market or opening <= stop.stop):
        return opening
    if market:
        return paid
    return min(stop.stop, paid) if bar.low <= stop.stop else 0


@compiled
def slipped(reference: int, side: int, slippage: int) -> int:
    """`reference` moved against the trader by `slippage` basis points and put on the tick, also against the trader.

    A sale brings at least one unit.
    """
    if side == BUY:
        return tick_up(-(-reference * (BASIS_POINTS + slippage) // BASIS_POINTS))
    return max(tick_down(reference * (BASIS_POINTS - slippage) // BASIS_POINTS), 1)
