"""Minute bars of many symbols over many sessions, by column: what backtests read.

Here belongs the value. How it is made of a provider's bars is `column_maker`; how it lies on disk is `column_store`.
"""

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from trading_platform.calendars.sessions import Session

Column = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BarColumns:
    """The regular sessions' judged bars of `symbols` over `sessions`, which follow each other in time.

    Each column is float64 [symbols, sessions, 390], contiguous, read-only, and may be mapped from a file. Prices are
    dollars, the nearest double to units / 10,000, as `bars.step_bars` gives them, so that units can be had back exactly.
    Where no bar came, and after a half day's close, prices are nan and the volume is 0.

    Attributes:
        sessions: The days, oldest first.
        symbols: The rows, in rising order.
        open: Dollars.
        high: Dollars.
        low: Dollars.
        close: Dollars.
        volume: Shares.
        days: `day_t` [symbols, sessions], as a live session makes them at its open.
    """

    sessions: tuple[Session, ...]
    symbols: tuple[str, ...]
    open: Column
    high: Column
    low: Column
    close: Column
    volume: Column
    days: Column
