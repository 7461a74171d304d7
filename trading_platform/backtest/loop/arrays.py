"""The arrays that the compiled pass works on, grouped by what they are for.

Here belong their names, shapes and units alone; who makes them is `buffers`. Compiled code takes each group as one
argument.
"""

from typing import Any, NamedTuple

import numpy.typing as npt

Array = npt.NDArray[Any]


class Market(NamedTuple):
    """What happened. Bars are counted session by session, 390 each, from the block's first."""

    opens: Array  # float64 [symbols, bars], dollars; nan: no bar came. So the next three
    highs: Array
    lows: Array
    closes: Array
    volumes: Array  # float64 [symbols, bars], shares
    days: Array  # day_t [symbols, sessions]
    minutes: Array  # int64 [sessions], bars of each
    session_opens: Array  # int64 [sessions], seconds since 1970
    plan_sets: Array  # int64 [sessions], which set of plans is for it
    actions: Array  # corporate_action_t, by session


class Said(NamedTuple):
    """What the strategies said: entries one strategy after the other, each by bar, then symbol; all else in grids."""

    bars: Array  # int64
    symbols: Array  # int64
    outs: Array  # out_t
    exits: Array  # uint8 [grids, symbols, bars], ExitReason bits
    invalidates: Array  # int16 [grids, symbols, bars], the set-up that the bit INVALIDATED speaks of
    levels: Array  # float64 [grids, symbols, bars], dollars, the level that the plan trails


class Account(NamedTuple):
    """What is held and on order, and what the limits and plans are."""

    states: Array  # pass_t [1]
    books: Array  # book_t [1]
    sources: Array  # signal_source_t [strategies]
    pairs: Array  # pair_t [strategies, symbols]
    lives: Array  # life_t
    orders: Array  # working_t
    listings: Array  # listing_t [symbols]
    plans: Array  # plan_t [sets, strategies]
    muted: Array  # int64 [sets, strategies]; 1: the plan does not fit such a session
    asides: Array  # int64 [strategies, sessions], the minute from which each is set aside
    worth: Array  # int64 [strategies, 390], of holdings that rest, in each minute of the session
    buckets: Array  # int64 [391], the first symbol, from 1, that is to be looked at again in each minute
    active: Array  # int64 [symbols], those that the next minute looks at
    fees: Array  # fee_schedule_t [1]


class Desk(NamedTuple):
    """Room for one minute's work."""

    bars: Array  # bar_t [1]
    positions: Array  # position_t
    entries: Array  # entry_t
    matched: Array  # venue_order_t
    places: Array  # int64
    fills: Array  # fill_t
    touched: Array  # float64 [2], of no meaning


class Told(NamedTuple):
    """What is told of the block."""

    decisions: Array  # decision_t
    decision_bars: Array  # int64
    sent: Array  # sent_t
    executions: Array  # execution_t
    adjustments: Array  # adjustment_t
    changes: Array  # mode_change_t
    equity: Array  # int64 [bars]
    cash: Array  # int64 [bars]
    opened: Array  # int64 [sessions], the equity at the first decision
