"""What a venue refuses at first sight: orders that no book could work, whatever it holds.

Here belong checks of the order alone, and the refusal that carries their reason. What needs the account or the time,
such as buying power and hours, is the venue's own (`paper`).
"""

from decimal import Decimal

from trading_platform.domain.ids import is_symbol
from trading_platform.domain.money import units_from_dollars
from trading_platform.domain.orders import Order, OrderType, Side
from trading_platform.domain.rounding import tick


class Refused(Exception):
    """The venue's answer on its way out of a transaction: the port turns it into `Rejected`. Not a fault."""


def require_well_formed(order: Order) -> None:
    """Refuse what no venue could work: the wrong prices for the type, or a price or quantity that cannot be."""
    if not is_symbol(order.symbol):
        raise Refused(f"{order.symbol!r} is no symbol")
    if order.quantity <= 0:
        raise Refused(f"a quantity of {order.quantity}")
    if (order.limit_price is not None) != (order.type is OrderType.LIMIT):
        raise Refused("a limit order has a limit price, and no other order has one")
    if (order.stop_price is not None) != (order.type is OrderType.STOP):
        raise Refused("a stop order has a stop price, and no other order has one")
    prices = [order.limit_price, order.stop_price]
    if order.attached_stop is not None:
        if order.side is not Side.BUY:
            raise Refused("an attached stop protects a buy")
        prices.append(order.attached_stop.stop_price)
    for price in prices:
        if price is not None:
            _on_tick(price)


def _on_tick(price: Decimal) -> None:
    try:
        units = units_from_dollars(price)
    except ValueError as error:
        raise Refused(str(error)) from error
    if units <= 0 or units % tick(units):
        raise Refused(f"the price {price} is not on the tick: whole cents from a dollar on, 1/100 cent below")
