"""Round trips: executions folded into trades, each from a strategy's first purchase of a symbol to flat again.

Belongs here: the compiled fold, over records of whatever type that has a trade's fields. Of the fills of one bar purchases
come first, as everywhere. What a finished trade is called is `trades`.
"""

from typing import Final

from trading_platform.backtest.loop.arrays import Array
from trading_platform.brokers.fill_model import BUY
from trading_platform.domain.compiled import compiled_into_callers as compiled
from trading_platform.domain.records import Record

BY_CORPORATE_ACTION: Final = 100
"""The reason of a trade of which a split left less than one share."""


@compiled
def fold_round_trips(
    executions: Array, causes: Array, adjustments: Array, places: Array, trades: Array, held: Array
) -> int:
    """Fold executions into trades, in the order in which they begin. Returns how many there are.

    Args:
        executions: `execution_t`, as they happened.
        causes: Int64, why each sale was made.
        adjustments: `adjustment_t`, in the order of bars.
        places: Int64 [strategies, symbols], zeros; written: the place, from 1, of the trade that is open.
        trades: Room for one trade for each execution.
        held: Int64, room for as many: written: shares of each trade that are still held.
    """
    count = 0
    adjusted = 0
    start = 0
    while start < executions.size:
        first = executions[start]
        while adjusted < adjustments.size and adjustments[adjusted].bar <= first.bar:
            _adjust(adjustments[adjusted], places, trades, held)
            adjusted += 1
        end = start
        while end < executions.size and executions[end].bar == first.bar and executions[end].symbol == first.symbol:
            execution = executions[end]
            if execution.side == BUY:
                count = _buy(execution, places, trades, held, count)
            end += 1
        for place in range(start, end):
            if executions[place].side != BUY:
                _sell(executions[place], causes[place], places, trades, held)
        start = end
    while adjusted < adjustments.size:
        _adjust(adjustments[adjusted], places, trades, held)
        adjusted += 1
    return count


@compiled
def _buy(execution: Record, places: Array, trades: Array, held: Array, count: int) -> int:
    place = places[execution.strategy, execution.symbol]
    if place == 0:
        count += 1
        place = count
        places[execution.strategy, execution.symbol] = place
        trade = trades[place - 1]
        trade.strategy = execution.strategy
        trade.symbol = execution.symbol
        trade.entered = execution.bar
        trade.left = -1
        trade.quantity = 0
        trade.cost = 0
        trade.proceeds = 0
        trade.fees = 0
        trade.reason = 0
        held[place - 1] = 0
    trade = trades[place - 1]
    trade.quantity += execution.quantity
    trade.cost += execution.quantity * execution.price
    trade.fees += execution.fee
    held[place - 1] += execution.quantity
    return count


@compiled
def _sell(execution: Record, cause: int, places: Array, trades: Array, held: Array) -> None:
    place = places[execution.strategy, execution.symbol]
    trade = trades[place - 1]
    trade.proceeds += execution.quantity * execution.price
    trade.fees += execution.fee
    held[place - 1] -= execution.quantity
    if held[place - 1] == 0:
        trade.left = execution.bar
        trade.reason = cause
        places[execution.strategy, execution.symbol] = 0


@compiled
def _adjust(adjustment: Record, places: Array, trades: Array, held: Array) -> None:
    place = places[adjustment.strategy, adjustment.symbol]
    trade = trades[place - 1]
    trade.proceeds += adjustment.dividend + adjustment.fraction
    held[place - 1] = adjustment.after
    if adjustment.after == 0:
        trade.left = adjustment.bar
        trade.reason = BY_CORPORATE_ACTION
        places[adjustment.strategy, adjustment.symbol] = 0
