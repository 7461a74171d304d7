"""The equity curve: cash and holdings at their last known prices, minute by minute, from fills and bars alone."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from trading_platform.domain.fills import Fill
from trading_platform.domain.orders import Side

Point = tuple[datetime, Decimal]
"""The end of a minute, and the equity in dollars then."""


def equity_curve(
    opening_cash: Decimal, fills: Iterable[Fill], closes: Sequence[tuple[datetime, Mapping[str, Decimal]]]
) -> tuple[Point, ...]:
    """The equity at the end of each minute.

    Args:
        opening_cash: Dollars before the first fill.
        fills: Oldest first.
        closes: For each minute its end, and the closes in dollars of the symbols that had a bar in it, oldest first.

    Returns:
        A point for each minute. A holding is valued at its symbol's last close, before the first one at its last fill.
    """
    waiting = list(fills)
    cash, held, marks = opening_cash, dict[str, int](), dict[str, Decimal]()
    points: list[Point] = []
    for end, minute in closes:
        while waiting and waiting[0].time < end:
            fill = waiting.pop(0)
            bought = fill.quantity if fill.side is Side.BUY else -fill.quantity
            cash -= bought * fill.price + fill.fee
            held[fill.symbol] = held.get(fill.symbol, 0) + bought
            marks.setdefault(fill.symbol, fill.price)
        marks.update(minute)
        points.append((end, cash + sum((shares * marks[one] for one, shares in held.items() if shares), Decimal(0))))
    return tuple(points)
