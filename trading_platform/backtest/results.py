"""What a backtest has come to, block by block: records of decisions, orders and executions, and the account by minute."""

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

Records = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PassResult:
    """One block of sessions. Bars are counted from the first session of the whole run: session x 390 + minute.

    Strategies and symbols are given by their places. Money is in units of 1/10,000 dollar. Arrays are read-only.

    Attributes:
        first_session: How many sessions came before the block.
        decisions: `decision_t`, refused ones among them, in the order in which they were made.
        decision_bars: Int64 [decisions], the bar of each.
        sent: `sent_t`: what was sent for them, refused by the venue or not.
        executions: `execution_t`, in the order in which they happened.
        adjustments: `adjustment_t`: what corporate actions did to holdings.
        modes: `mode_change_t`: each bar from which on the account was in another mode.
        equity: Int64 [sessions x 390], as it was decided on in each minute; after a half day's close, its last.
        cash: Int64, the same.
        open_equity: Int64 [sessions], at the first decision of each.
        close_equity: Int64 [sessions], at the last.
        first_decision: How many decisions came before the block; `sent.decision` counts from the run's first.
        first_sent: How many orders and changes came before the block; `executions.sent` counts from the run's first.
    """

    first_session: int
    decisions: Records
    decision_bars: npt.NDArray[Any]
    sent: Records
    executions: Records
    adjustments: Records
    modes: Records
    equity: npt.NDArray[Any]
    cash: npt.NDArray[Any]
    open_equity: npt.NDArray[Any]
    close_equity: npt.NDArray[Any]
    first_decision: int
    first_sent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenHolding:
    """What is held after the last block. `cost` is of the shares that are held, in units; `mark` their last price."""

    strategy: int
    symbol: int
    quantity: int
    cost: int
    mark: int
    entry_bar: int
