"""Every flat record that compiled code reads or writes. One place, so that the kernel's vocabulary can be read at once.

Units: a price or amount in an int64 field is in 1/10,000 dollar (`money`); a float64 price is in dollars, and only
steps and their outputs have it. `minute` is the bar's index in the session, 0 for the bar that starts at the open.
Records are aligned, and created by `compiled.empty_records`.
"""

from typing import Any, Final, TypeAlias

import numpy as np

Record: TypeAlias = Any
"""One element of a record array. Compiled code reads its fields by name; no checker knows them."""

MAX_LEGS: Final = 4
"""Scale-outs that an exit plan can declare."""

SESSION_MINUTES: Final = 390
"""Bars of a full regular session: the length of the volume profile."""

bar_t: Final[np.dtype[Any]] = np.dtype(
    [
        ("time", "i8"),  # start of the minute, seconds since 1970 in UTC; 0: no bar came for this minute
        ("open", "i8"),
        ("high", "i8"),
        ("low", "i8"),
        ("close", "i8"),
        ("volume", "i8"),  # shares
    ],
    align=True,
)
"""A one-minute bar as received."""

daily_t: Final[np.dtype[Any]] = np.dtype(
    [
        ("day", "i8"),  # days since 1970
        ("open", "i8"),
        ("high", "i8"),
        ("low", "i8"),
        ("close", "i8"),
        ("volume", "i8"),
    ],
    align=True,
)
"""A daily bar."""

step_bar_t: Final[np.dtype[Any]] = np.dtype(
    [
        ("minute", "i8"),
        ("minutes_left", "i8"),  # bars of the session after this one: 0 for its last
        ("open", "f8"),
        ("high", "f8"),
        ("low", "f8"),
        ("close", "f8"),
        ("volume", "f8"),
    ],
    align=True,
)
"""A closed one-minute bar of the regular session, as a step sees it."""

day_t: Final[np.dtype[Any]] = np.dtype(
    [
        ("prior_close", "f8"),
        ("average_daily_volume", "f8"),  # shares, mean of 20 sessions
        ("atr", "f8"),  # Wilder, 14 daily bars
        ("premarket_high", "f8"),
        ("premarket_low", "f8"),
        ("premarket_last", "f8"),
        ("premarket_volume", "f8"),
        ("gap", "f8"),  # the session's first price over the prior close, less 1
        ("volume_share", "f8", (SESSION_MINUTES,)),  # share of a day's volume that is done by the end of minute m
    ],
    align=True,
)
"""What is known of a symbol at the open, split-adjusted as of the session. Unknown values are nan."""

out_t: Final[np.dtype[Any]] = np.dtype(
    [
        ("entry", "i8"),  # 1 on the edge, never latched
        ("valid_bars", "i8"),  # bars on which the entry may fill; 0 means 1
        ("setup", "i8"),  # names the set-up that the entry belongs to; from 1
        ("exit", "i8"),  # ExitReason bits, on edges
        ("invalidates", "i8"),  # the set-up that the bit INVALIDATED speaks of
        ("fault", "i8"),  # not 0: the step gives up on this symbol; the number is the strategy's own
        ("limit", "f8"),  # 0: a market order
        ("stop", "f8"),  # the initial stop
        ("level1", "f8"),
        ("level2", "f8"),
    ],
    align=True,
)
"""What a step says of one bar. Zeroed before each step."""

strategy_t: Final[np.dtype[Any]] = np.dtype(
    [
        ("day_pnl", "i8"),  # realised and unrealised since the open, after fees
        ("set_aside", "i8"),  # not 0: its entries are refused
        ("orders", "i8"),  # sent in this session; the kernel adds those that it decides
    ],
    align=True,
)
"""The day of one strategy."""

plan_t: Final[np.dtype[Any]] = np.dtype(
    [
        ("stop_on", "i8"),  # TriggerOn
        ("stop_percent", "i8"),  # basis points under the average fill; 0: the step's own stop
        ("legs", "i8"),  # how many of the next two are used
        ("leg_fraction", "i8", (MAX_LEGS,)),  # basis points of the filled entry quantity
        ("leg_target", "i8", (MAX_LEGS,)),  # R or share of the fill, x 10,000
        ("target_in", "i8"),  # TargetIn
        ("target_on", "i8"),  # TriggerOn; TOUCH: each scale-out rests at the broker as a target of its own
        ("breakeven_after", "i8"),  # legs taken; -1: never
        ("trail_level", "i8"),  # 1 or 2: which of the step's levels; 0: none
        ("trail_after", "i8"),  # legs taken
        ("exit_mask", "i8"),  # ExitReason bits that are obeyed
        ("time_stop", "i8"),  # minutes since the fill; 0: none
        ("time_stop_progress", "i8"),  # R x 10,000 that the highest close must have reached by then
        ("flat_from", "i8"),  # the first minute whose cycle sells everything
        ("attempts", "i8"),  # filled entries a session; 0: no limit
        ("fixed_quantity", "i8"),  # shares; 0: by risk
        ("risk", "i8"),  # basis points of equity risked on the distance to the stop
        ("day", strategy_t),
    ],
    align=True,
)
"""An exit plan and the sizing of one strategy for one session, and how its day has gone."""

seen_t: Final[np.dtype[Any]] = np.dtype(
    [
        ("present", "i8"),  # 0: no bar came for this minute; then the rest is not looked at
        ("close", "i8"),
        ("exit", "i8"),  # ExitReason bits of the step
        ("invalidates", "i8"),
        ("level1", "f8"),
        ("level2", "f8"),
    ],
    align=True,
)
"""What the decided bar showed of one held symbol."""

position_t: Final[np.dtype[Any]] = np.dtype(
    [
        ("strategy", "i8"),  # index in the configuration's order
        ("symbol", "i8"),  # index in the session's list
        ("quantity", "i8"),  # shares held
        ("entry_quantity", "i8"),  # shares that the entry has bought
        ("entry_cost", "i8"),  # what they cost
        ("stop", "i8"),  # the initial stop, on the tick
        ("resting_stop", "i8"),  # shares that stop orders at the broker protect
        ("entering", "i8"),  # shares of the entry that may still fill
        ("exiting", "i8"),  # shares of exit orders that may still fill
        ("filled_minute", "i8"),  # bar of the first fill; -1: none yet
        ("valid_until", "i8"),  # last bar on which the entry may fill
        ("legs_done", "i8"),  # scale-outs decided, or sold by the targets that rest for them
        ("setup", "i8"),
        ("highest_close", "i8"),  # since the fill
        ("mark", "i8"),  # last known price; 0: none
        ("entry_limit", "i8"),  # of the working entry; 0: a market order
        ("entry_reserved", "i8"),  # buying power that the working entry holds; the kernel works it out
        ("ordered", "i8"),  # shares of the entry order that it came from, or that works
        ("entered_at", "i8"),  # when that entry was decided, seconds since 1970; 0: there is none
        ("entry_orders", "i8"),  # open orders that enter
        ("exit_orders", "i8"),  # open orders that exit
        ("stop_orders", "i8"),  # open stop orders
        ("target_orders", "i8"),  # open target orders
        ("resting_target", "i8"),  # shares that they sell, or will once their entries have filled
        ("target", "i8"),  # the lowest of their prices; 0: none
        ("unprotected", "i8"),  # shares of a working entry's fills that nothing protects until it has filled whole
        ("withheld", "i8"),  # 1: the last exit of everything may have been held back, and has sold less than that
        ("cancelled", "i8"),  # 1: the kernel has decided to cancel what is left of the entry
        ("next", "i8"),  # place, from 1, of the next record of the same symbol; they stand in a ring
        ("seen", seen_t),
    ],
    align=True,
)
"""A holding or a working entry of one strategy in one symbol, as the kernel sees it."""

entry_t: Final[np.dtype[Any]] = np.dtype(
    [
        ("strategy", "i8"),
        ("symbol", "i8"),
        ("price", "i8"),  # the reference: the last close
        ("age", "i8"),  # seconds since the end of the reference bar
        ("limit", "i8"),  # on the tick; 0: a market order
        ("stop", "i8"),  # on the tick; 0: none
        ("valid_bars", "i8"),
        ("setup", "i8"),
        ("attempts", "i8"),  # filled entries of this strategy and symbol in this session
        ("frozen", "i8"),  # not 0: the symbol's books do not agree with the broker's
        ("barred", "i8"),  # Barred
        ("entered", "i8"),  # entries of this strategy and symbol sent in this session
        ("disabled", "i8"),  # not 0: a person must enable this strategy in this symbol again
        ("average_volume", "i8"),  # shares a day, mean of 20 sessions; 0: not known
        ("bar_volume", "i8"),  # shares of the decided bar; 0: no bar came
        ("held", "i8"),  # place, from 1, of a position record of its symbol; 0: there is none
        (
            "next",
            "i8",
        ),  # where they are linked, the place, from 1, of its symbol's next proposed entry; 0: there is none
    ],
    align=True,
)
"""A proposed entry: a signal with what the gate must know of its symbol."""

limits_t: Final[np.dtype[Any]] = np.dtype(
    [
        ("reference_age", "i8"),  # seconds
        ("order_shares", "i8"),
        ("order_notional", "i8"),
        ("position_size", "i8"),  # basis points of equity
        ("buying_power", "i8"),  # basis points of what is available
        ("daily_loss", "i8"),  # basis points of the equity at the open
        ("strategy_daily_loss", "i8"),  # basis points of the equity at the open
        ("drawdown", "i8"),  # basis points of the highest equity
        ("closing_minutes", "i8"),  # no entries in the last so many minutes
        ("positions", "i8"),
        ("lot", "i8"),  # shares
        ("collar", "i8"),  # basis points of the reference, at 25 dollars and above
        ("collar_mid", "i8"),  # basis points, from 3 dollars
        ("collar_low", "i8"),  # basis points, below 3 dollars
        ("day_volume", "i8"),  # basis points of the average daily volume
        ("minute_volume", "i8"),  # basis points of the decided bar's volume
        ("gross", "i8"),  # basis points of equity: holdings and working entries
        ("net", "i8"),  # basis points of equity: long less short
        ("leverage", "i8"),  # gross over equity, x 10,000
        ("orders_second", "i8"),
        ("orders_minute", "i8"),
        ("orders_day", "i8"),
        ("strategy_orders_day", "i8"),
        ("duplicate_window", "i8"),  # seconds
        ("entries_day", "i8"),  # of one strategy in one symbol
        ("open_orders", "i8"),
        ("side_orders", "i8"),  # open orders of one symbol and side
        ("order_age", "i8"),  # minutes that an entry may work
        ("clock_skew", "i8"),  # milliseconds
        ("shapes", "i8"),  # OrderShape bits that the venue takes
    ],
    align=True,
)
"""The risk limits, and what the venue takes."""

book_t: Final[np.dtype[Any]] = np.dtype(
    [
        ("minute", "i8"),  # the decided bar
        ("now", "i8"),  # the moment of the decision, seconds since 1970
        ("session_minutes", "i8"),  # bars of this session
        ("cash", "i8"),
        ("elsewhere", "i8"),  # cost of holdings that this session does not trade
        ("reserved", "i8"),  # buying power held by entries that may still fill
        ("equity", "i8"),  # cash and holdings at their marks, those elsewhere at cost
        ("open_equity", "i8"),  # at the session's open
        ("peak_equity", "i8"),  # highest so far
        ("mode", "i8"),  # TradingMode
        ("holdings", "i8"),  # holdings and working entries, each of one strategy in one symbol
        ("quiet", "i8"),  # how many of them have no position record: nothing can be decided on them in this minute
        ("quiet_worth", "i8"),  # what those are worth at their marks
        ("linked", "i8"),  # not 0: positions and entries of one symbol are linked already; otherwise the kernel does it
        ("gross", "i8"),  # holdings and working entries at their marks, whatever their side; the kernel works it out
        ("net", "i8"),  # the same, long less short
        ("orders_second", "i8"),  # sent within the last second; the kernel adds those that it decides, here and below
        ("orders_minute", "i8"),  # within the last 60 seconds
        ("orders_day", "i8"),  # in this session
        ("open_orders", "i8"),  # orders that may still fill, attached stops included
        ("clock_skew", "i8"),  # milliseconds between this machine's clock and the database's, whichever is ahead
        ("limits", limits_t),
    ],
    align=True,
)
"""The account at one moment, and its limits. One record: every array that is passed to compiled code costs time."""

decision_t: Final[np.dtype[Any]] = np.dtype(
    [
        ("strategy", "i8"),
        ("symbol", "i8"),
        ("kind", "i8"),  # DecisionKind
        ("leg", "i8"),  # scale-out number from 1; 0 otherwise
        ("reason", "i8"),  # ExitReason bit or ExitCause of an exit
        ("verdict", "i8"),  # Verdict
        ("rule", "i8"),  # Rule that refused or bound it; 0: none
        ("measure", "i8"),  # what the rule measured
        ("limit", "i8"),  # its limit, in the same unit
        ("quantity", "i8"),  # shares; PROTECT: the quantity that stops must protect
        ("price", "i8"),  # the reference
        ("limit_price", "i8"),  # 0: a market order
        ("stop_price", "i8"),  # 0: no stop
        ("valid_until", "i8"),  # last bar on which an entry may fill
        ("setup", "i8"),
    ],
    align=True,
)
"""What the kernel decided, as numbers."""

venue_order_t: Final[np.dtype[Any]] = np.dtype(
    [
        ("side", "i8"),  # 1: buys, -1: sells
        ("type", "i8"),  # 1: market, 2: limit, 3: stop, 4: stop-limit
        ("quantity", "i8"),  # the whole of it, reductions applied; of an attached leg what its entry has filled
        ("filled", "i8"),
        ("limit", "i8"),  # 0: none
        ("stop", "i8"),  # 0: none
        ("triggered", "i8"),  # start of the minute that reached the stop, seconds since 1970; 0: not yet
        ("parent", "i8"),  # place, from 1, of the open entry that an attached leg belongs to; 0: none
        ("pair", "i8"),  # place, from 1, of the other leg of its bracket; 0: none
        ("eligible", "i8"),  # start of the first minute that may fill it, seconds since 1970 in UTC
    ],
    align=True,
)
"""An order at a venue, as the fill model sees and changes it."""

fill_t: Final[np.dtype[Any]] = np.dtype(
    [
        ("order", "i8"),  # index of its order, from 0
        ("quantity", "i8"),
        ("price", "i8"),
        ("at_open", "i8"),  # 1: at the bar's open, before slippage; 0: later in the minute
    ],
    align=True,
)
"""What one bar gives one order."""

fee_schedule_t: Final[np.dtype[Any]] = np.dtype(
    [
        ("per_share", "i8"),
        ("minimum", "i8"),  # an order
        ("maximum", "i8"),  # an order, in basis points of its value; it wins over the minimum
    ],
    align=True,
)
"""What a venue charges for an order."""

holding_t: Final[np.dtype[Any]] = np.dtype(
    [
        ("quantity", "i8"),
        ("cost", "i8"),  # total cost of the quantity
        ("realised", "i8"),  # before fees
        ("fees", "i8"),
        ("entry_quantity", "i8"),  # bought since the position was last flat
        ("entry_cost", "i8"),
        ("round_trips", "i8"),  # times that it came back to flat
    ],
    align=True,
)
"""A position at average cost: the state that `accounting` folds fills into."""

signal_source_t: Final[np.dtype[Any]] = np.dtype(
    [
        ("next", "i8"),  # the first of its entries that is not looked at yet
        ("end", "i8"),  # behind its last
        ("exits", "i8"),  # which of the grids of exit reasons is its own; -1: its plan obeys none
        ("invalidates", "i8"),  # which of those of set-ups that are invalidated; -1: its plan obeys none
        ("levels", "i8"),  # which of those of levels; -1: its plan trails none
        ("set_aside", "i8"),  # the minute of the session from which it is set aside whole
        ("muted", "i8"),  # not 0: its plan does not fit the session, and nothing that it says counts
        ("net", "i8"),  # realised since the open, after fees
        ("quiet_cost", "i8"),  # what its holdings have cost that no minute looks at
        ("gain", "i8"),  # of those that this minute looks at: worth at their marks less cost
        ("orders", "i8"),  # sent in this session
    ],
    align=True,
)
"""One strategy in a backtest: where its signals stand, and how its session has gone."""

pair_t: Final[np.dtype[Any]] = np.dtype(
    [
        ("session", "i8"),  # the session, from 1, that the next two speak of
        ("entered", "i8"),  # entries sent
        ("attempts", "i8"),  # entries that have filled at least in part
        ("disabled", "i8"),  # not 0: an earlier session had as many entries as rule 12 allows
    ],
    align=True,
)
"""The counts of one strategy in one symbol in a backtest."""

life_t: Final[np.dtype[Any]] = np.dtype(
    [
        ("strategy", "i8"),
        ("symbol", "i8"),
        ("next", "i8"),  # place, from 1, of another of the same symbol; 0: there is none
        ("holding", holding_t),
        ("setup", "i8"),
        ("stop", "i8"),  # the initial stop, on the tick
        ("entry_limit", "i8"),  # 0: a market order
        ("ordered", "i8"),  # shares of all orders of the entry
        ("entered_at", "i8"),  # when the entry was decided, seconds since 1970
        ("entry_bar", "i8"),  # the bar on which it was
        ("valid_until", "i8"),  # last minute on which it may fill
        ("opened_at", "i8"),  # the first fill of the present holding, seconds since 1970
        ("filled_minute", "i8"),  # its minute of the session; -1: none yet
        ("filled", "i8"),  # 1: something of the entry has filled
        ("legs_sold", "i8"),  # the highest scale-out of which something has been sold
        ("withheld", "i8"),  # 1: the venue refused the last exit of everything
        ("highest_close", "i8"),  # since the first fill, in this session
        ("record", "i8"),  # place, from 1, of its position record in the minute that looked at it last
        ("levels_session", "i8"),  # the session, from 1, whose levels were given from the open on
    ],
    align=True,
)
"""What a backtest keeps of one holding or working entry: what `position_t` is worked out from."""

listing_t: Final[np.dtype[Any]] = np.dtype(
    [
        ("life", "i8"),  # place, from 1, of the first of its lives; 0: nothing is held or on order
        ("order", "i8"),  # place, from 1, of the first of its open orders, in order of arrival
        ("last_order", "i8"),
        ("mark", "i8"),  # last close of this session; 0: none yet
        ("prior_mark", "i8"),  # last close of an earlier session, while something is held
        ("barred", "i8"),  # Barred
        ("looked_at", "i8"),  # the last bar, from 1, that was looked at
        ("record", "i8"),  # place, from 1, of its newest position record of the present minute
        ("entry", "i8"),  # place, from 1, of its newest proposed entry of the present minute
        ("quiet_from", "i8"),  # the minutes that need not be looked at: the first
        ("quiet_until", "i8"),  # and the minute after the last; 0: every minute is looked at
        ("quiet_mark", "i8"),  # the last close before the latter
        ("quiet_high", "i8"),  # the highest close between the two; 0: no bar came
        ("before", "i8"),  # neighbours, from 1, among those to be looked at again in one minute
        ("after", "i8"),
    ],
    align=True,
)
"""One symbol in a backtest."""

working_t: Final[np.dtype[Any]] = np.dtype(
    [
        ("kind", "i8"),  # 1: entry, 2: exit, 3: stop, 4: target
        ("life", "i8"),  # place, from 1
        ("leg", "i8"),
        ("next", "i8"),  # place, from 1, of the symbol's next order, in order of arrival
        ("open", "i8"),  # 1: it may still fill, or grow
        ("side", "i8"),  # this and the rest as in `venue_order_t`, but places are those of these records
        ("type", "i8"),
        ("quantity", "i8"),
        ("filled", "i8"),
        ("limit", "i8"),
        ("stop", "i8"),
        ("triggered", "i8"),
        ("parent", "i8"),
        ("pair", "i8"),
        ("eligible", "i8"),
        ("value", "i8"),  # price x quantity over its executions
        ("reference", "i8"),  # at which an open buy holds buying power
        ("place", "i8"),  # among the orders that are matched together
        ("sent", "i8"),  # which of all that was sent it is, from 0
    ],
    align=True,
)
"""An open order at the venue of a backtest."""

sent_t: Final[np.dtype[Any]] = np.dtype(
    [
        ("bar", "i8"),  # on which it was decided
        ("decision", "i8"),  # which of all decisions it comes from, from 0
        ("strategy", "i8"),
        ("symbol", "i8"),
        ("kind", "i8"),  # 1: entry, 2: exit, 3: stop, 4: target, 5: cancel, 6: reduce
        ("leg", "i8"),
        ("side", "i8"),  # 1: buys, -1: sells
        ("type", "i8"),  # as in `venue_order_t`
        ("quantity", "i8"),
        ("limit", "i8"),  # 0: none
        ("stop", "i8"),  # 0: none
        ("attached", "i8"),  # 1: it goes out with the entry before it
        ("refused", "i8"),  # 1: the venue did not take it
    ],
    align=True,
)
"""What a backtest has sent: an order, or a change to one."""

execution_t: Final[np.dtype[Any]] = np.dtype(
    [
        ("bar", "i8"),  # that filled it
        ("sent", "i8"),  # which of all that was sent it fills, from 0
        ("strategy", "i8"),
        ("symbol", "i8"),
        ("side", "i8"),  # 1: buys, -1: sells
        ("kind", "i8"),  # of its order, as in `sent_t`
        ("leg", "i8"),
        ("quantity", "i8"),
        ("price", "i8"),
        ("fee", "i8"),
        ("entry_bar", "i8"),  # on which the entry was decided that it belongs to
    ],
    align=True,
)
"""An execution in a backtest."""

corporate_action_t: Final[np.dtype[Any]] = np.dtype(
    [
        ("session", "i8"),  # at whose open it takes effect
        ("symbol", "i8"),
        ("numerator", "i8"),  # of a split: so many shares
        ("denominator", "i8"),  # for so many; both 1: no split
        ("dividend", "i8"),  # units a share that was held before the split
    ],
    align=True,
)
"""A split or dividend, or both."""

adjustment_t: Final[np.dtype[Any]] = np.dtype(
    [
        ("bar", "i8"),  # before which it was made
        ("strategy", "i8"),
        ("symbol", "i8"),
        ("before", "i8"),  # shares held
        ("after", "i8"),
        ("dividend", "i8"),  # cash paid, in units
        ("fraction", "i8"),  # cash paid for what is no whole share
        ("entry_bar", "i8"),  # on which the entry was decided that it belongs to
    ],
    align=True,
)
"""What a corporate action did to a holding in a backtest."""

mode_change_t: Final[np.dtype[Any]] = np.dtype([("bar", "i8"), ("mode", "i8")], align=True)
"""From which bar on the account is in a TradingMode."""

pass_t: Final[np.dtype[Any]] = np.dtype(
    [
        ("sessions", "i8"),  # of the block
        ("session", "i8"),  # the present one
        ("minute", "i8"),  # the next one; -1: the session is not open yet
        ("minutes", "i8"),  # of the session
        ("opens", "i8"),  # its open, seconds since 1970
        ("plans", "i8"),  # which set of plans it has
        ("earlier", "i8"),  # sessions before the block
        ("action", "i8"),  # the next corporate action
        ("active", "i8"),  # symbols that the next minute looks at
        ("lives", "i8"),
        ("lives_used", "i8"),
        ("free_life", "i8"),  # places, from 1
        ("open_orders", "i8"),
        ("orders_used", "i8"),
        ("free_order", "i8"),
        ("reserved", "i8"),  # buying power that the venue holds for open buys
        ("decisions", "i8"),  # written so far in this block, here and below
        ("sent", "i8"),
        ("executions", "i8"),
        ("adjustments", "i8"),
        ("changes", "i8"),
        ("decided", "i8"),  # before this block, here and below
        ("sent_before", "i8"),
        ("asked", "i8"),  # place, from 1, of the life whose levels are asked for
        ("worst_equity", "i8"),  # the lowest since the highest, for which the mode was worked out
        ("slippage", "i8"),  # basis points
        ("volume_share", "i8"),  # basis points
    ],
    align=True,
)
"""Where a backtest stands."""
