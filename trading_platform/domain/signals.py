"""Signals: facts on the market that a strategy states. They know nothing of positions."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, IntFlag


class ExitReason(IntFlag):
    """What a step may say against holding, as bits on edges."""

    BELOW_VWAP = 1
    INVALIDATED = 2
    REVERSAL = 4
    CUSTOM = 8


class TriggerOn(IntEnum):
    """Whether a stop or target acts when the price touches it, or on a close at or beyond it."""

    TOUCH = 1
    CLOSE = 2


class TargetIn(IntEnum):
    """The unit of a scale-out's target: R (average fill less initial stop) or a share of the average fill."""

    R = 1
    PERCENT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """What a strategy said of one closed bar. Prices are float dollars, as the step gave them."""

    strategy: str
    symbol: str
    bar_time: datetime
    entry: bool
    exits: ExitReason
    setup: int
    valid_bars: int
    limit: float | None
    stop: float | None
    level1: float
    level2: float
