"""The arrays of a backtest made, and made larger: the compiled pass asks for room and never takes any itself.

Belongs here: sizes and copies. What the arrays are for is `loop.arrays`.
"""

from typing import Any, Final

import numpy as np

from trading_platform.backtest.loop.arrays import Account, Array, Desk, Told
from trading_platform.brokers.fill_model import FILLS_PER_ORDER
from trading_platform.domain.compiled import as_records, empty_records
from trading_platform.domain.records import (
    SESSION_MINUTES,
    adjustment_t,
    bar_t,
    book_t,
    decision_t,
    entry_t,
    execution_t,
    fill_t,
    life_t,
    listing_t,
    mode_change_t,
    pair_t,
    pass_t,
    position_t,
    sent_t,
    signal_source_t,
    venue_order_t,
    working_t,
)

_FIRST_ROOM: Final = 32
"""Little, for a sweep has hundreds of accounts: the pass says where it lacks, and there it is doubled."""
_SYMBOLS_A_LIFE: Final = 4
_ORDERS_A_LIFE: Final = 16
_TOLD_A_LIFE: Final = 8


def new_account(symbols: int, plans: Array, muted: Array, asides: Array, fees: Array) -> Account:
    """An account that holds nothing. `plans` and `muted` are [sets, strategies], `asides` [strategies, sessions]."""
    strategies = plans.shape[1]
    lives = _FIRST_ROOM + symbols // _SYMBOLS_A_LIFE
    return Account(
        states=empty_records(1, pass_t),
        books=empty_records(1, book_t),
        sources=empty_records(strategies, signal_source_t),
        pairs=empty_records((strategies, symbols), pair_t),
        lives=empty_records(lives, life_t),
        orders=empty_records(_ORDERS_A_LIFE * lives, working_t),
        listings=empty_records(symbols, listing_t),
        plans=plans,
        muted=muted,
        asides=asides,
        worth=np.zeros((strategies, SESSION_MINUTES), np.int64),
        buckets=np.zeros(SESSION_MINUTES + 1, np.int64),
        active=np.zeros(symbols, np.int64),
        fees=fees,
    )


def new_desk(symbols: int) -> Desk:
    """Room for a minute's work on so many symbols, most of which rest."""
    return _desk(_FIRST_ROOM + symbols // _SYMBOLS_A_LIFE)


def _desk(room: int) -> Desk:
    return Desk(
        bars=empty_records(1, bar_t),
        positions=_unwritten(room, position_t),
        entries=_unwritten(room, entry_t),
        matched=_unwritten(room, venue_order_t),
        places=np.empty(room, np.int64),
        fills=_unwritten(room * FILLS_PER_ORDER, fill_t),
        touched=np.zeros(2, np.float64),
    )


def new_told(sessions: int, entries: int) -> Told:
    """Room for what is told of so many sessions with so many proposed entries, if not much comes of each."""
    bars = sessions * SESSION_MINUTES
    room = _TOLD_A_LIFE * (entries + _FIRST_ROOM)
    return Told(
        decisions=_unwritten(room, decision_t),
        decision_bars=np.empty(room, np.int64),
        sent=_unwritten(room, sent_t),
        executions=_unwritten(room, execution_t),
        adjustments=_unwritten(_FIRST_ROOM, adjustment_t),
        changes=_unwritten(_FIRST_ROOM + 4 * sessions, mode_change_t),
        equity=np.empty(bars, np.int64),
        cash=np.empty(bars, np.int64),
        opened=np.empty(sessions, np.int64),
    )


def roomier_account(account: Account) -> Account:
    """The same account with twice the room for lives and orders."""
    return account._replace(lives=_twice(account.lives), orders=_twice(account.orders))


def roomier_desk(desk: Desk) -> Desk:
    """An empty one with twice the room."""
    return _desk(2 * desk.places.size)


def roomier_told(told: Told) -> Told:
    """The same with twice the room for everything that is not counted by bars or sessions."""
    return told._replace(
        decisions=_twice(told.decisions),
        decision_bars=_twice(told.decision_bars),
        sent=_twice(told.sent),
        executions=_twice(told.executions),
        adjustments=_twice(told.adjustments),
        changes=_twice(told.changes),
    )


def _twice(array: Array) -> Array:
    larger = np.zeros(2 * array.size, array.dtype)
    larger[: array.size] = array
    return as_records(larger) if array.dtype.names else larger


def _unwritten(count: int, dtype: np.dtype[Any]) -> Array:
    return as_records(np.empty(count, dtype))
