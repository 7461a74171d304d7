"""Random columns of bars with everything that a market leaves out: holes, halts, half days, bars without volume.

The same bars are had as columns, and as the records that a session is folded on.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trading_platform.domain.compiled import empty_records
from trading_platform.domain.records import SESSION_MINUTES, day_t, step_bar_t

HALF_DAY = 210


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomColumns:
    """Columns [symbols, sessions, SESSION_MINUTES] in the order opens, highs, lows, closes, volumes."""

    columns: tuple[npt.NDArray[np.float64], ...]
    days: npt.NDArray[Any]
    session_minutes: npt.NDArray[np.int64]

    @property
    def arguments(self) -> tuple[Any, ...]:
        """What a scan takes after its strategy."""
        return (*self.columns, self.days, self.session_minutes)

    def session(self, symbol: int, session: int) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_], npt.NDArray[Any]]:
        """Bars [minutes], where one came, and the day record of one session."""
        minutes = int(self.session_minutes[session])
        bars = empty_records(minutes, step_bar_t)
        bars["minute"] = np.arange(minutes)
        bars["minutes_left"] = minutes - 1 - np.arange(minutes)
        for name, column in zip(("open", "high", "low", "close", "volume"), self.columns, strict=True):
            bars[name] = column[symbol, session, :minutes]
        day = empty_records(1, day_t)
        day[0] = self.days[symbol, session]
        return bars, ~np.isnan(bars["close"]), day


def random_columns(seed: int, symbols: int = 4, sessions: int = 3) -> RandomColumns:
    """Columns of a walk in cents; a symbol of which the day before is not known, and one that lacks a whole session."""
    rng = np.random.default_rng(seed)
    shape = (symbols, sessions, SESSION_MINUTES)
    closes = np.round(50.0 + np.cumsum(rng.integers(-5, 6, shape) * 0.01, axis=2), 2)
    opens = np.asarray(np.round(closes + rng.integers(-3, 4, shape) * 0.01, 2), np.float64)
    highs, lows = np.maximum(opens, closes) + 0.01, np.minimum(opens, closes) - 0.01
    volumes = rng.integers(0, 5000, shape) * (rng.random(shape) > 0.02).astype(float)
    session_minutes = rng.choice([SESSION_MINUTES, SESSION_MINUTES, HALF_DAY, SESSION_MINUTES - 1], sessions)
    days = np.zeros((symbols, sessions), day_t)
    days["prior_close"] = closes[:, :, 0]
    days["average_daily_volume"] = rng.uniform(5e5, 2e6, (symbols, sessions))
    days["volume_share"] = np.arange(1, SESSION_MINUTES + 1) / SESSION_MINUTES
    days["gap"], days["premarket_volume"], days["premarket_low"] = 0.05, 1e6, 40.0
    days["premarket_high"] = days["premarket_last"] = closes[:, :, 0] + 0.05
    days["average_daily_volume"][-1] = np.nan
    missing = rng.random(shape) < rng.uniform(0.0, 0.2)
    halt = int(rng.integers(20, 150))
    missing[0, :, halt : halt + 15] = True
    missing[rng.integers(symbols), rng.integers(sessions)] = True
    missing |= np.arange(SESSION_MINUTES) >= session_minutes[:, np.newaxis]
    for prices in (opens, highs, lows, closes):
        prices[missing] = np.nan
    volumes[missing] = 0.0
    columns = (opens, highs, lows, closes, volumes)
    for array in (*columns, days):
        array.flags.writeable = False
    return RandomColumns(columns=columns, days=days, session_minutes=session_minutes.astype(np.int64))
