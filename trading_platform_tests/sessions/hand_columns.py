"""Columns of bars by hand, for backtests whose every cent can be worked out on paper: sessions of a few minutes."""

from collections.abc import Mapping, Sequence
from datetime import date, time, timedelta
from typing import Final

import numpy as np

from trading_platform.calendars.sessions import Session, exchange_moment
from trading_platform.domain.records import SESSION_MINUTES, day_t
from trading_platform.marketdata.columns import BarColumns
from trading_platform.strategies.column_scan import Signals, scan_columns
from trading_platform.strategies.contract import Strategy

MINUTES: Final = 20
FIRST: Final = date(2024, 6, 3)

Bars = Mapping[int, str]
"""By minute: open, high, low, close (dollars) and volume, as text."""


def sessions(count: int, minutes: int = MINUTES, first: date = FIRST) -> tuple[Session, ...]:
    """So many sessions on days that follow each other."""
    days = [first + timedelta(days=number) for number in range(count)]
    opens = [exchange_moment(day, time(9, 30)) for day in days]
    return tuple(
        Session(day=day, open=opened, close=opened + timedelta(minutes=minutes))
        for day, opened in zip(days, opens, strict=True)
    )


def hand_columns(
    bars: Mapping[str, Sequence[Bars]], minutes: int = MINUTES, first: date = FIRST, volume: float = 1e7
) -> BarColumns:
    """Columns of these symbols: for each its bars, session by session. `volume` is that of a usual day."""
    symbols = tuple(sorted(bars))
    count = len(bars[symbols[0]])
    shape = len(symbols), count, SESSION_MINUTES
    columns = {name: np.full(shape, np.nan) for name in ("open", "high", "low", "close")}
    columns["volume"] = np.zeros(shape)
    for row, symbol in enumerate(symbols):
        for place, session in enumerate(bars[symbol]):
            for minute, text in session.items():
                for name, number in zip(("open", "high", "low", "close", "volume"), text.split(), strict=True):
                    columns[name][row, place, minute] = float(number)
    days = np.zeros(shape[:2], day_t)
    days["average_daily_volume"] = volume
    return BarColumns(sessions=sessions(count, minutes, first), symbols=symbols, days=days, **columns)


def said_of(strategy: Strategy, columns: BarColumns) -> Signals:
    """What a strategy says of them."""
    return scan_columns(
        strategy,
        columns.open,
        columns.high,
        columns.low,
        columns.close,
        columns.volume,
        columns.days,
        np.array([session.minutes for session in columns.sessions], np.int64),
        keep_levels=strategy.exit_plan.trail_level != 0,
        threads=1,
    )
