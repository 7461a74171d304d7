"""LEAN folders of random bars with holes, half days, pre-market bars, and now and then a bar that no market makes."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.marketdata.bars import step_bars
from trading_platform.marketdata.column_maker import COLUMNS
from trading_platform.marketdata.columns import BarColumns
from trading_platform.marketdata.fetch import fetch_bars, open_session
from trading_platform.marketdata.provider import Provider
from trading_platform_tests.sessions.tape import write_rows

AROUND_A_HALF_DAY: Final = (*(date(2013, 11, day) for day in (25, 26, 27, 29)), date(2013, 12, 2))
"""Sessions of two months; that of the 29th closes at 13:00."""

_MINUTE: Final = 60_000
_OPENS: Final = 570


def write_random_days(root: Path, symbols: Sequence[str], days: Sequence[date], seed: int) -> Path:
    """Write the days of `symbols` into the LEAN folder `root`; some symbols miss some days."""
    rng = np.random.default_rng(seed)
    calendar = ExchangeCalendar()
    for number, symbol in enumerate(symbols):
        for day in days:
            if number and rng.random() < 0.2:
                continue
            write_rows(root, symbol, _rows(rng, calendar.session(day).minutes), day)
    return root


def require_as_live(columns: BarColumns, provider: Provider) -> None:
    """Fail unless the columns are, bit for bit, what a live session sees: at its open, on the way and at its close."""
    calendar = ExchangeCalendar()
    for place, session in enumerate(columns.sessions):
        days, _ = open_session(provider, calendar, columns.symbols, session)
        assert columns.days[:, place].tobytes() == days.tobytes(), f"day records of {session.day}"
        for minutes in (1, session.minutes // 2, session.minutes):
            until = session.open + minutes * (session.close - session.open) / session.minutes
            live = fetch_bars(provider, columns.symbols, session, until)[0].bars
            came, steps = live["time"] != 0, step_bars(session, live)
            for name in COLUMNS:
                seen = getattr(columns, name)[:, place]
                absent = 0.0 if name == "volume" else np.nan
                expected = np.where(came, steps[name], absent)
                np.testing.assert_array_equal(seen[:, :minutes], expected[:, :minutes], err_msg=f"{name} {session.day}")
                np.testing.assert_array_equal(seen[:, session.minutes :], absent)


def same_bits(one: BarColumns, other: BarColumns) -> bool:
    """Whether two columns are of the same symbols and sessions and hold the same bits."""
    return (one.symbols, one.sessions) == (other.symbols, other.sessions) and all(
        getattr(one, name).tobytes() == getattr(other, name).tobytes() for name in (*COLUMNS, "days")
    )


def _rows(rng: np.random.Generator, minutes: int) -> list[str]:
    before = np.arange(_OPENS - 30, _OPENS)[rng.random(30) < 0.3]
    regular = _OPENS + np.arange(minutes)[rng.random(minutes) < 0.9]
    after = np.arange(_OPENS + minutes, _OPENS + minutes + 5)
    times = np.concatenate([before, regular, after])
    closes = 500_000 + 100 * rng.integers(-20, 20, len(times)).cumsum()
    return [_row(rng, int(time), int(close)) for time, close in zip(times, closes, strict=True)]


def _row(rng: np.random.Generator, time: int, close: int) -> str:
    prices: npt.NDArray[Any] = np.array([close - 100, close + 300, close - 200, close])
    if rng.random() < 0.01:
        # A high under the low: it is refused.
        prices[1] = close - 5_000
    return ",".join(str(cell) for cell in (time * _MINUTE, *prices.tolist(), int(rng.integers(1, 10_000))))
