"""What a broker says that it can do, as the bits that the kernel reads (rule 17)."""

from typing import Final

from trading_platform.brokers.broker import Capabilities
from trading_platform.domain.decisions import OrderShape
from trading_platform.domain.orders import OrderType, TimeInForce

_TYPES: Final = {
    OrderType.MARKET: OrderShape.MARKET,
    OrderType.LIMIT: OrderShape.LIMIT,
    OrderType.STOP: OrderShape.STOP,
    OrderType.STOP_LIMIT: OrderShape.STOP_LIMIT,
}
_TIMES: Final = {TimeInForce.DAY: OrderShape.DAY, TimeInForce.GTC: OrderShape.GTC}


def shapes_taken(venue: Capabilities) -> OrderShape:
    """The shapes of orders that a venue takes. Odd lots and prices off the tick are never among them."""
    taken = OrderShape(0)
    for order_type in venue.order_types:
        taken |= _TYPES[order_type]
    for time_in_force in venue.times_in_force:
        taken |= _TIMES[time_in_force]
    if venue.attached_stops:
        taken |= OrderShape.ATTACHED_STOP
    if venue.brackets:
        taken |= OrderShape.BRACKET
    return taken
