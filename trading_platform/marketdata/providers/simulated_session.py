"""How one session of the simulated market moves: prices, volumes and the minutes without a trade.

Whole numbers throughout: prices in 1/10,000 dollar, always on the cent, deviations in parts per million. A quiet
session is a random walk. One in play is steered around its own VWAP by a script of phases, because what a day trader
watches there (how long below, how the reclaim comes, whether it holds) is told relative to VWAP.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trading_platform.calendars.sessions import Session
from trading_platform.domain.money import UNITS_PER_CENT
from trading_platform.domain.records import SESSION_MINUTES, bar_t

_PPM: Final = 1_000_000
_BLOCK: Final = 4_096
_FLOOR: Final = 10_000  # no price under a dollar
_PREMARKET_MINUTES: Final = 330
_TRADES_BEFORE: Final = 6  # one pre-market minute in so many has a trade
_TRADES_BEFORE_IN_PLAY: Final = 2
_MISSING: Final = 120  # one minute in so many has no trade
_FOLLOWED_THROUGH: Final = 40  # percent of the reclaims
_SURGE: Final = 3  # times the volume on a reclaim


class Draws:
    """A stream of whole numbers from the raw output of PCG64."""

    def __init__(self, seed: int) -> None:
        self._generator = np.random.PCG64(seed)
        self._block: list[int] = []

    def below(self, bound: int) -> int:
        """A number from 0 to `bound` - 1."""
        if not self._block:
            self._block = (self._generator.random_raw(_BLOCK) >> np.uint64(33)).tolist()
        return self._block.pop() % bound

    def within(self, bound: int) -> int:
        """A number from -`bound` to `bound`, more often near 0."""
        return self.below(bound + 1) - self.below(bound + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPlan:
    """What is given of a symbol's day: its opening price in units, the usual shares a minute, and whether in play."""

    session: Session
    opening: int
    volume: int
    in_play: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Phase:
    """A stretch of minutes: the deviation from VWAP at its end, and the volume of its first bar against the usual."""

    minutes: int
    target: int
    surge: int = 1


def make_session(plan: SessionPlan, draws: Draws) -> npt.NDArray[Any]:
    """The bars of a day, pre-market and regular: records of `bar_t` in rising order of time."""
    rows = _premarket(plan, draws)
    before = rows[-1][4] if rows else _on_cent(plan.opening)
    regular = _in_play(plan, draws, before) if plan.in_play else _quiet(plan, draws, before)
    last = len(regular) - 1
    rows += [row for minute, row in enumerate(regular) if minute in (0, last) or draws.below(_MISSING)]
    return np.array(rows, bar_t)


_Row = tuple[int, int, int, int, int, int]


def _premarket(plan: SessionPlan, draws: Draws) -> list[_Row]:
    start = int(plan.session.premarket_open.timestamp())
    every = _TRADES_BEFORE_IN_PLAY if plan.in_play else _TRADES_BEFORE
    price = _on_cent(plan.opening)
    rows = []
    for minute in range(_PREMARKET_MINUTES):
        if draws.below(every):
            continue
        close = _moved(price, draws.within(400))
        rows.append(_bar(start + 60 * minute, price, close, 1 + plan.volume * (50 + draws.below(100)) // 2_000, draws))
        price = close
    return rows


def _quiet(plan: SessionPlan, draws: Draws, price: int) -> list[_Row]:
    start = int(plan.session.open.timestamp())
    rows = []
    for minute in range(plan.session.minutes):
        close = _moved(price, draws.within(700))
        rows.append(_bar(start + 60 * minute, price, close, _volume(plan, minute, draws), draws))
        price = close
    return rows


def _in_play(plan: SessionPlan, draws: Draws, price: int) -> list[_Row]:
    """Each close is set at a distance from the VWAP of the bars before it, as the script of phases says."""
    start = int(plan.session.open.timestamp())
    turnover, shares = 3 * price, 1
    rows = []
    for minute, (deviation, surge) in enumerate(_script(plan.session.minutes, draws)):
        close = _on_cent(turnover * (_PPM + deviation) // (3 * shares * _PPM))
        volume = surge * _volume(plan, minute, draws)
        row = _bar(start + 60 * minute, price, close, volume, draws)
        turnover += (row[2] + row[3] + row[4]) * volume
        shares += volume
        rows.append(row)
        price = close
    return rows


def _script(minutes: int, draws: Draws) -> list[tuple[int, int]]:
    """For each minute the deviation of its close from VWAP, in parts per million, and the surge of its volume."""
    script: list[tuple[int, int]] = []
    at = 0
    phases = [_Phase(minutes=4 + draws.below(8), target=1_500 + draws.below(2_500))]
    while len(script) < minutes:
        if not phases:
            phases = _reclaim(draws)
        phase = phases.pop(0)
        for step in range(1, phase.minutes + 1):
            deviation = at + (phase.target - at) * step // phase.minutes
            wander = draws.within(500)
            # Noise may not carry a close across VWAP: the script alone says when it crosses.
            deviation = min(deviation + wander, -900) if deviation < 0 else max(deviation + wander, 900)
            script.append((deviation, phase.surge if step == 1 else 1))
        at = phase.target
    return script[:minutes]


def _reclaim(draws: Draws) -> list[_Phase]:
    """A sell-off below VWAP, the reclaim on volume, and what comes of it."""
    depth = -6_000 - draws.below(8_000)
    below = [
        _Phase(minutes=5 + draws.below(8), target=depth),
        _Phase(minutes=12 + draws.below(20), target=depth // 2),
        _Phase(minutes=4, target=-1_500),
        _Phase(minutes=1, target=1_800 + draws.below(1_800), surge=_SURGE),
    ]
    if draws.below(100) < _FOLLOWED_THROUGH:
        return [
            *below,
            _Phase(minutes=8 + draws.below(14), target=9_000 + draws.below(24_000)),
            _Phase(minutes=5 + draws.below(10), target=2_000),
        ]
    return [*below, _Phase(minutes=1 + draws.below(5), target=1_500 + draws.below(2_000))]


def _volume(plan: SessionPlan, minute: int, draws: Draws) -> int:
    """Shares of a bar: a U over the full session (half the mean at noon, two and a half times at the ends), and noise."""
    from_noon = 2 * minute - (SESSION_MINUTES - 1)
    share = 50 + 150 * from_noon * from_noon // (SESSION_MINUTES - 1) ** 2
    return 1 + plan.volume * share * (70 + draws.below(61)) // 10_000


def _bar(time: int, opened: int, close: int, volume: int, draws: Draws) -> _Row:
    opened = max(_FLOOR, opened + UNITS_PER_CENT * draws.within(1))
    high = max(opened, close) + UNITS_PER_CENT * draws.below(3)
    low = max(_FLOOR, min(opened, close) - UNITS_PER_CENT * draws.below(3))
    return time, opened, high, low, close, volume


def _moved(price: int, by: int) -> int:
    return _on_cent(price * (_PPM + by) // _PPM)


def _on_cent(price: int) -> int:
    return max(_FLOOR, (price + UNITS_PER_CENT // 2) // UNITS_PER_CENT * UNITS_PER_CENT)
