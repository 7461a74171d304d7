"""The equity curve: cash and holdings at their last known prices, minute by minute, from fills and bars alone.

A curve begins with the cash and the holdings of its first minute: for a book's first session nothing is held then.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from trading_platform.domain.fills import Fill, Position
from trading_platform.domain.orders import Side

Point = tuple[datetime, Decimal]
"""The end of a minute, and the equity in dollars then."""


def equity_curve(
    opening_cash: Decimal,
    fills: Iterable[Fill],
    closes: Sequence[tuple[datetime, Mapping[str, Decimal]]],
    *,
    held: Iterable[Position] = (),
) -> tuple[Point, ...]:
    """The equity at the end of each minute.

    Args:
        opening_cash: Dollars before the first fill.
        fills: Oldest first.
        closes: For each minute its end, and the closes in dollars of the symbols that had a bar in it, oldest first.
        held: What is held before the first fill.

    Returns:
        A point for each minute. A holding is valued at its symbol's last close; before the first one at its first
        fill here, and before that at its cost.
    """
    waiting = list(fills)
    cash, marks = opening_cash, dict[str, Decimal]()
    shares, costs = _held(held)
    points: list[Point] = []
    for end, minute in closes:
        while waiting and waiting[0].time < end:
            fill = waiting.pop(0)
            bought = fill.quantity if fill.side is Side.BUY else -fill.quantity
            cash -= bought * fill.price + fill.fee
            shares[fill.symbol] = shares.get(fill.symbol, 0) + bought
            marks.setdefault(fill.symbol, fill.price)
        marks.update(minute)
        values = (count * marks[one] if one in marks else costs[one] for one, count in shares.items() if count)
        points.append((end, cash + sum(values, Decimal(0))))
    return tuple(points)


def _held(positions: Iterable[Position]) -> tuple[dict[str, int], dict[str, Decimal]]:
    """Shares and their total cost by symbol: several strategies may hold the same one."""
    shares, costs = dict[str, int](), dict[str, Decimal]()
    for one in positions:
        if one.quantity:
            shares[one.symbol] = shares.get(one.symbol, 0) + one.quantity
            costs[one.symbol] = costs.get(one.symbol, Decimal(0)) + one.cost
    return shares, costs
