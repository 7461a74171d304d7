"""Made-up sessions on which a strategy is tried out: seeded, so that they are the same everywhere.

Between them they hold what a real day may bring to a step: minutes without a bar, a halt, bars without volume, a gap
up, a half day, a price that stands still, unknown values in the day record. They are no market: prices are a random
walk, and say nothing of what a strategy earns.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trading_platform.domain.records import SESSION_MINUTES, day_t, step_bar_t

HALF_DAY: Final = 210
_HALT: Final = slice(40, 55)
_STILL: Final = slice(80, 100)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MadeUp:
    """One session of one symbol: `step_bar_t` [minutes], where a bar came, and `day_t` [1]."""

    name: str
    bars: npt.NDArray[Any]
    present: npt.NDArray[np.bool_]
    day: npt.NDArray[Any]


def sessions() -> Iterator[MadeUp]:
    """The sessions, one after the other."""
    yield _session("a gap up that runs on", 1, gap=0.08, drift=0.002)
    yield _session("a gap up that fails", 2, gap=0.15, drift=-0.002)
    yield _session("a calm day with a halt", 3, halted=True)
    yield _session("a half day", 4, minutes=HALF_DAY, gap=0.05)
    yield _session("a day of which nothing is known", 5, known=False)
    yield _session("a cheap stock", 6, price=0.5, gap=0.3)


def _session(
    name: str,
    seed: int,
    *,
    minutes: int = SESSION_MINUTES,
    price: float = 20.0,
    gap: float = 0.0,
    drift: float = 0.0,
    halted: bool = False,
    known: bool = True,
) -> MadeUp:
    rng = np.random.default_rng(seed)
    # The drift is strongest at the open, and turns later: breaks of levels and returns to them both occur.
    moves = rng.normal(0.0, 0.003, minutes) + drift * np.cos(np.arange(minutes) / 25.0)
    moves[_STILL] = 0.0
    closes = np.round(price * (1.0 + gap) * np.exp(np.cumsum(moves)), 4)
    opens = np.concatenate([[round(price * (1.0 + gap), 4)], closes[:-1]])
    bars = np.zeros(minutes, step_bar_t)
    bars["minute"] = np.arange(minutes)
    bars["minutes_left"] = minutes - 1 - np.arange(minutes)
    bars["open"], bars["close"] = opens, closes
    bars["high"] = np.round(np.maximum(opens, closes) * (1.0 + rng.uniform(0.0, 0.002, minutes)), 4)
    bars["low"] = np.round(np.minimum(opens, closes) * (1.0 - rng.uniform(0.0, 0.002, minutes)), 4)
    bars["volume"] = np.floor(rng.lognormal(9.0, 1.0, minutes)) * (rng.random(minutes) > 0.05)
    present = rng.random(minutes) > 0.05
    present[0] = True
    if halted:
        present[_HALT] = False
    bars[~present] = np.zeros((), step_bar_t)
    return MadeUp(name=name, bars=bars, present=present, day=_day(price, gap, minutes, known=known))


def _day(price: float, gap: float, minutes: int, *, known: bool) -> npt.NDArray[Any]:
    day = np.zeros(1, day_t)
    day["prior_close"], day["gap"], day["atr"] = price, gap, price * 0.02
    day["average_daily_volume"] = 1_500_000.0
    day["premarket_low"], day["premarket_high"] = price, price * (1.0 + gap)
    day["premarket_last"], day["premarket_volume"] = price * (1.0 + gap), 200_000.0
    day["volume_share"] = np.minimum((np.arange(SESSION_MINUTES) + 1.0) / minutes, 1.0)
    if not known:
        for name in day_t.names or ():
            day[name] = np.nan
    return day
