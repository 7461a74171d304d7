"""A strategy scanned over bars as a backtest holds them.

`strategies` knows nothing of columns, which are `marketdata`'s; here, where both are known, the one is handed to the other.
How a scan goes is `strategies.column_scan`; in which order things are scanned is said by those who ask.
"""

from typing import Any

import numpy as np

from trading_platform.marketdata.columns import BarColumns
from trading_platform.strategies.column_scan import Entries, Signals, scan_columns, scan_entries
from trading_platform.strategies.contract import Strategy


def entries_of(strategy: Strategy, columns: BarColumns, threads: int | None) -> Entries:
    """What the strategy says of these bars, with the levels that its plan trails, as `scan_entries` gives it."""
    return scan_entries(strategy, *_bars(columns), keep_levels=True, threads=threads)


def signals_of(strategy: Strategy, columns: BarColumns) -> Signals:
    """All that it says of them, with its levels, on one thread, as `scan_columns` gives it."""
    return scan_columns(strategy, *_bars(columns), keep_levels=True, threads=1)


def _bars(columns: BarColumns) -> tuple[Any, ...]:
    """What a scan is given of bars, in its order."""
    minutes = np.array([session.minutes for session in columns.sessions], np.int64)
    return (columns.open, columns.high, columns.low, columns.close, columns.volume, columns.days, minutes)
