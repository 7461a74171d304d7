"""The day record: what is known of a symbol at the open, split-adjusted as of the session.

A pure function of judged bars; `fetch` gets them. The gap is the market's own: the first price of the regular session
over the prior close. It is known when the first bar has closed, which is before the first decision. What cannot be
known is nan and reported, and a strategy makes no signal on nan. Daily bars that end before the previous session tell
of another time: then all that is made of them is unknown. Volumes are shares, prices float dollars.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trading_platform.calendars.sessions import Session
from trading_platform.domain.money import UNITS_PER_DOLLAR
from trading_platform.domain.records import SESSION_MINUTES, day_t
from trading_platform.domain.reports import DataProblem
from trading_platform.marketdata.bars import SessionBars

VOLUME_SESSIONS: Final = 20
"""Daily bars in the average daily volume."""

PROFILE_SESSIONS: Final = 20
"""Earlier minute sessions in the volume profile, at most."""

ATR_BARS: Final = 14
"""Wilder's period."""

DAILY_HISTORY: Final = 60
"""Daily bars asked for: by then the seed of Wilder's average weighs 0.9259^45, 3 %."""

_EPOCH: Final = date(1970, 1, 1)


def make_day(
    symbol: str,
    session: Session,
    *,
    previous: Session,
    morning: npt.NDArray[Any],
    daily: npt.NDArray[Any],
    earlier: Sequence[SessionBars],
) -> tuple[npt.NDArray[Any], tuple[DataProblem, ...]]:
    """The day record of one symbol.

    Args:
        symbol: whose record it is.
        session: the session that opens.
        previous: the session before; daily bars whose newest is of any other day do not count.
        morning: judged bars of the session, `bar_t`, up to the first of the regular session; later ones do not count.
        daily: judged daily bars before the session, `daily_t`, oldest first, adjusted as of the session.
        earlier: bars of the symbol in earlier full sessions, each with this symbol alone; empty ones do not count.

    Returns:
        A record of `day_t`, shape [], and what is missing from it.
    """
    day = np.zeros((), day_t)
    missing: list[str] = []

    def fill(name: str, value: float | npt.NDArray[np.float64] | None, what: str) -> None:
        day[name] = np.nan if value is None else value
        if value is None:
            missing.append(what)

    opens = int(session.open.timestamp())
    fresh = daily if ends_before(daily, previous) else daily[:0]
    before, first = morning[morning["time"] < opens], morning[morning["time"] == opens]
    prior = int(fresh["close"][-1]) / UNITS_PER_DOLLAR if len(fresh) else None
    last = int(before["close"][-1]) / UNITS_PER_DOLLAR if len(before) else None
    opening = int(first["open"][0]) / UNITS_PER_DOLLAR if len(first) else None
    fill("prior_close", prior, "no close of the previous session")
    bars = "daily bars up to the previous session"
    fill("average_daily_volume", _average_volume(fresh), f"fewer than {VOLUME_SESSIONS} {bars} for the volume")
    fill("atr", wilder_atr(fresh), f"fewer than {ATR_BARS + 1} {bars} for the ATR")
    fill("premarket_last", last, "no pre-market bars")
    day["premarket_high"] = int(before["high"].max()) / UNITS_PER_DOLLAR if len(before) else np.nan
    day["premarket_low"] = int(before["low"].min()) / UNITS_PER_DOLLAR if len(before) else np.nan
    day["premarket_volume"] = int(before["volume"].sum()) if len(before) else np.nan
    fill("gap", opening / prior - 1 if opening is not None and prior is not None else None, "no gap to the prior close")
    fill("volume_share", volume_profile(earlier), "no earlier minute session for the volume profile")
    return day, tuple(DataProblem(symbol=symbol, what=what) for what in missing)


def ends_before(daily: npt.NDArray[Any], previous: Session) -> bool:
    """Whether the newest daily bar is that of the previous session."""
    return len(daily) > 0 and int(daily["day"][-1]) == (previous.day - _EPOCH).days


def _average_volume(daily: npt.NDArray[Any]) -> float | None:
    """Of 20 daily bars or none: a mean of fewer would make a new listing look busy or idle by chance.

    A mean of 0 is no measure either: relative volume divides by it.
    """
    if len(daily) < VOLUME_SESSIONS:
        return None
    return int(daily["volume"][-VOLUME_SESSIONS:].sum()) / VOLUME_SESSIONS or None


def wilder_atr(daily: npt.NDArray[Any], period: int = ATR_BARS) -> float | None:
    """Wilder's average true range in dollars, or None with fewer than `period` + 1 bars.

    J. W. Wilder, New Concepts in Technical Trading Systems (1978): the true range reaches from the bar to the close
    before; the first average is the mean of `period` ranges, and each later range moves it by 1 / `period`.
    """
    if len(daily) <= period:
        return None
    before = daily["close"][:-1]
    ranges = np.maximum(daily["high"][1:], before) - np.minimum(daily["low"][1:], before)
    average = int(ranges[:period].sum()) / period
    for true_range in ranges[period:].tolist():
        average += (true_range - average) / period
    return average / UNITS_PER_DOLLAR


def volume_profile(earlier: Sequence[SessionBars]) -> npt.NDArray[np.float64] | None:
    """The share of a session's volume that is done by the end of each minute: shape [390], or None.

    The mean of the shares of the full sessions that traded, at most the newest 20. Half days are left out: their day
    ends at minute 210.
    """
    volumes = [bars.bars["volume"][0] for bars in earlier if not bars.session.is_half_day]
    traded = [volume for volume in volumes if volume.sum() > 0][-PROFILE_SESSIONS:]
    if not traded:
        return None
    total = np.zeros(SESSION_MINUTES)
    for volume in traded:
        total += volume.cumsum() / volume.sum()
    return total / len(traded)
