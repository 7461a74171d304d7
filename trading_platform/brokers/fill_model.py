"""What one bar gives the orders of one symbol: called by the paper exchange and by the backtest's loop (Law 1).

Here belongs matching alone, over flat records. Whether an order may be placed is the venue's; what its fills cost is
`fees`; what they do to a book is `accounting`.

Order within a bar: sales at the open (market orders, and the rest of stops that an earlier bar triggered), then stops,
then limit sells, then buys as they stand in the array, then the attached stops of buys that filled in this very bar.
A stop and a target that are both touched therefore give the stop; cancels and reductions were applied before.

Prices: a market order fills at the open. A limit order fills at the open where that is at the limit or better, else at
the limit once the bar touches it. A stop fills at the open where that is beyond the stop (a gap), else at the stop;
from then on its rest is a market order. Market and stop fills pay slippage and are rounded to the tick against the
trader; limit fills pay none. All fills of a bar together take at most a share of its volume, in whole shares.
A missing bar or one without volume fills and triggers nothing.

Attached stops sell (positions are long). Their quantity grows with their entry's fills and is for exactly those.
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

    Changes the orders (filled, triggered, the quantity of attached stops) and writes to `fills` in the order in which
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
            reference = _reference(bar, order)
            if reference == 0:
                continue
            if order.type == STOP and order.triggered == 0:
                order.triggered = bar.time
            quantity = min(left, order.quantity - order.filled)
            if quantity > 0:
                left -= quantity
                _fill(fills[written], index, order, quantity, reference, slippage, bar.open)
                written += 1
    return _match_attached(bar, orders, count, slippage, left, fills, first_buy, written)


@compiled
def _match_attached(
    bar: Any, orders: Any, count: int, slippage: int, left: int, fills: Any, first_buy: int, written: int
) -> int:
    """Let attached stops grow by the buys among `fills`, from `first_buy` on, and sell where the bar reached them."""
    for place in range(first_buy, written):
        bought = fills[place]
        for index in range(count):
            stop = orders[index]
            if stop.parent != bought.order + 1:
                continue
            stop.quantity += bought.quantity
            reference = _reference_after_buy(bar, stop, bought)
            if reference == 0:
                continue
            if stop.triggered == 0:
                stop.triggered = bar.time
            quantity = min(left, bought.quantity)
            if quantity > 0:
                left -= quantity
                _fill(fills[written], index, stop, quantity, reference, slippage, bar.open)
                written += 1
    return written


@compiled
def _fill(fill: Any, index: int, order: Any, quantity: int, reference: int, slippage: int, open_price: int) -> None:
    order.filled += quantity
    fill.order = index
    fill.quantity = quantity
    fill.price = reference if order.type == LIMIT else slipped(reference, order.side, slippage)
    fill.at_open = 1 if reference == open_price else 0


@compiled
def _turn(order: Any) -> int:
    if order.side == BUY:
        return _BUYS
    if order.type == LIMIT:
        return _TARGETS
    if order.type == STOP and order.triggered == 0:
        return _STOPS
    return _SALES_AT_OPEN


@compiled
def _reference(bar: Any, order: Any) -> int:
    """The price, before slippage, at which the bar reaches the order; 0 if it does not."""
    opening: int = bar.open
    if order.type == MARKET or order.triggered != 0:
        return opening
    # A buy limit and a sell stop wait for lower prices, a sell limit and a buy stop for higher ones.
    price: int = order.limit if order.type == LIMIT else order.stop
    if (order.type == LIMIT) == (order.side == BUY):
        if opening <= price:
            return opening
        return price if bar.low <= price else 0
    if opening >= price:
        return opening
    return price if bar.high >= price else 0


@compiled
def _reference_after_buy(bar: Any, stop: Any, bought: Any) -> int:
    """As `_reference`, for a stop whose shares were bought in this bar: no price from before the purchase.

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
