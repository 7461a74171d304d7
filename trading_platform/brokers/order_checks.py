"""What a venue refuses at first sight: orders that no book could work, whatever it holds.

Here belong checks of the order alone, and the refusal that carries their reason. What needs the account, the market or
the time, such as buying power and hours, is the venue's own (`order_entry`).
"""

from decimal import Decimal

from trading_platform.brokers.broker import Capabilities
from trading_platform.domain.ids import is_symbol
from trading_platform.domain.money import units_from_dollars
from trading_platform.domain.orders import Order, OrderType, Side, TimeInForce
from trading_platform.domain.rounding import tick


class Refused(Exception):
    """The venue's answer on its way out of a transaction: the port turns it into `Rejected`. Not a fault."""


def require_well_formed(order: Order, offered: Capabilities) -> None:
    """Refuse what a venue that offers so much could not work.

    That is an order of a kind that it does not have, with the wrong prices for its type, with a price or quantity that
    cannot be, or with legs that contradict each other.
    """
    if not is_symbol(order.symbol):
        raise Refused(f"{order.symbol!r} is no symbol")
    _require_offered(order, offered)
    _require_prices(order)
    _require_legs(order, offered)


def require_bracket_around(order: Order, low: Decimal, high: Decimal) -> None:
    """Refuse a bracket that does not lie around the prices, from `low` to `high`, that its entry may be bought at."""
    stop, target = order.attached_stop, order.attached_target
    if stop is None or target is None:
        return
    if stop.stop_price >= low:
        raise Refused(f"the bracket's stop, {stop.stop_price}, is not below the entry's price, {low}")
    if target.limit_price <= high:
        raise Refused(f"the bracket's target, {target.limit_price}, is not above the entry's price, {high}")


def _require_offered(order: Order, offered: Capabilities) -> None:
    if order.type not in offered.order_types:
        raise Refused(f"{order.type} orders are not taken here, only {_names(offered.order_types)}")
    if order.time_in_force not in offered.times_in_force:
        raise Refused(f"the time in force {order.time_in_force} is unknown here, only {_names(offered.times_in_force)}")
    if order.quantity <= 0:
        raise Refused(f"a quantity of {order.quantity}")
    if order.quantity % offered.lot:
        raise Refused(f"{order.quantity} shares are no whole lots of {offered.lot}")


def _require_prices(order: Order) -> None:
    if (order.limit_price is not None) != (order.type in (OrderType.LIMIT, OrderType.STOP_LIMIT)):
        raise Refused("a limit or stop-limit order has a limit price, and no other order has one")
    if (order.stop_price is not None) != (order.type in (OrderType.STOP, OrderType.STOP_LIMIT)):
        raise Refused("a stop or stop-limit order has a stop price, and no other order has one")
    for price in (order.limit_price, order.stop_price):
        if price is not None:
            _require_on_tick(price)


def _require_legs(order: Order, offered: Capabilities) -> None:
    stop, target = order.attached_stop, order.attached_target
    if stop is None and target is None:
        return
    if not offered.attached_stops:
        raise Refused("an order with an attached stop is not taken here")
    if target is not None and not offered.brackets:
        raise Refused("brackets are not taken here")
    if order.side is not Side.BUY:
        raise Refused("an attached stop or target protects a buy")
    if stop is None:
        raise Refused("an attached target stands beside an attached stop: a bracket has both")
    _require_on_tick(stop.stop_price)
    if target is None:
        return
    _require_on_tick(target.limit_price)
    prices = [price for price in (order.limit_price, order.stop_price) if price is not None]
    if prices:
        require_bracket_around(order, min(prices), max(prices))


def _require_on_tick(price: Decimal) -> None:
    try:
        units = units_from_dollars(price)
    except ValueError as error:
        raise Refused(str(error)) from error
    if units <= 0 or units % tick(units):
        raise Refused(f"the price {price} is not on the tick: whole cents from a dollar on, 1/100 cent below")


def _names(words: frozenset[OrderType] | frozenset[TimeInForce]) -> str:
    return ", ".join(sorted(words))
