"""The deepest fall of an account's equity by minute, carried from block to block.

Belongs here: the compiled loop. A sweep looks at every minute of every setting, and whole arrays would be written for each.
"""

from trading_platform.backtest.loop.arrays import Array
from trading_platform.domain.compiled import compiled_for_threads


@compiled_for_threads
def follow_equity(equity: Array, highest: int, deepest: float) -> tuple[int, float]:
    """Follow the equity on, from its highest point and its deepest fall so far; gives both after it.

    Args:
        equity: Int64, units, by minute.
        highest: Units, positive.
        deepest: A share of the highest point before it.
    """
    for place in range(equity.size):
        value = equity[place]
        if value > highest:
            highest = value
        elif highest - value > deepest * highest:
            deepest = (highest - value) / highest
    return highest, deepest
