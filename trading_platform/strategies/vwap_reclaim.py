"""vwap_reclaim: a stock in play that has long traded under its VWAP closes above it on volume, and is bought.

Every word of the definition, as it is read here:

- *VWAP*: sum(typical price x volume) / sum(volume) since the open, the current bar included; typical price is
  (high + low + close) / 3.
- *Bars* are those that came: a minute without a bar is in no mean, count or window.
- *Consecutive closes below*: closes strictly below the VWAP of their bar, directly before the trigger bar.
- *Cross*: the close is on the other side of VWAP than it last was. A close equal to VWAP keeps the side. Counted over
  the `cross_bars` bars before the trigger bar, which is always a cross itself.
- *Volume mean*: over the `volume_bars` bars before the trigger bar. With fewer there is no entry.
- *Relative volume*: volume since the open / (average daily volume x share of a day that is normally done by the end of
  this minute). Unknown (nan) in the day record: no entry.
- *Windows*: the bar lies wholly in [from, until), both in minutes since the open; none lies in one that is empty.
- *Stop*: the lower of the trigger bar's low and the lowest low of the `stop_bars` bars before it. No entry where it is
  more than `stop_percent` under the trigger bar's close, not under it at all, or has fewer bars to go by.

The exit reason BELOW_VWAP is stated on every close below VWAP, not only on the first: an entry that fills late, or an
exit that a broker refused, would otherwise miss the one bar on which the reason stood, and be held under VWAP.

Levels: 1 is VWAP (nan until a share has traded), 2 the 9-bar EMA of closes, begun at the first close.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from trading_platform.domain.compiled import compiled
from trading_platform.domain.records import SESSION_MINUTES
from trading_platform.domain.signals import ExitReason, TargetIn, TriggerOn
from trading_platform.strategies.contract import ExitPlan, ScaleOut, Strategy, parameter
from trading_platform.strategies.parameters import check_order

_BELOW_VWAP: Final = int(ExitReason.BELOW_VWAP)
_MOST_CROSSES: Final = 16
_MOST_VOLUMES: Final = 60
_MOST_LOWS: Final = 30
_EMA_WEIGHT: Final = 2.0 / (9.0 + 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """The numbers of the entry."""

    relative_volume: float = parameter(2.0, unit="times the usual volume by this minute, at least", low=0, high=100)
    closes_below: int = parameter(15, unit="consecutive closes below VWAP, at least", low=1, high=SESSION_MINUTES)
    crosses: int = parameter(4, unit="crosses of VWAP, fewer than", low=1, high=_MOST_CROSSES)
    cross_bars: int = parameter(60, unit="bars in which crosses are counted", low=1, high=SESSION_MINUTES)
    volume_multiple: float = parameter(1.5, unit="times the mean volume, at least", low=0, high=100)
    volume_bars: int = parameter(20, unit="bars of the volume mean", low=1, high=_MOST_VOLUMES)
    stop_bars: int = parameter(5, unit="bars whose lowest low bounds the stop", low=1, high=_MOST_LOWS)
    stop_percent: float = parameter(3.0, unit="percent under the close, at most", low=0.1, high=50)
    morning_from: int = parameter(20, unit="minutes since the open", low=0, high=SESSION_MINUTES)
    morning_until: int = parameter(120, unit="minutes since the open", low=0, high=SESSION_MINUTES)
    afternoon_from: int = parameter(240, unit="minutes since the open", low=0, high=SESSION_MINUTES)
    afternoon_until: int = parameter(360, unit="minutes since the open", low=0, high=SESSION_MINUTES)

    def __post_init__(self) -> None:
        check_order(self, ("morning_from", "morning_until"), ("afternoon_from", "afternoon_until"))


state_t: Final[np.dtype[Any]] = np.dtype(
    [
        ("bars", "i8"),  # bars so far
        ("price_volume", "f8"),  # sum of typical price x volume
        ("volume", "f8"),
        ("ema", "f8"),
        ("closes_below", "i8"),  # in a row, up to the last bar
        ("side", "i8"),  # of VWAP on which the price last closed: -1, 1; 0: none yet
        ("crosses", "i8"),  # so far
        ("cross_at", "i8", (_MOST_CROSSES,)),  # ring: numbers of the bars of the last crosses
        ("volumes", "f8", (_MOST_VOLUMES,)),  # ring
        ("lows", "f8", (_MOST_LOWS,)),  # ring
    ],
    align=True,
)
"""What the step remembers of one symbol's session."""


@compiled
def _mean_volume(state: Any, count: int) -> float:
    total = 0.0
    for back in range(1, count + 1):
        total += state.volumes[(state.bars - back) % _MOST_VOLUMES]
    return total / count


@compiled
def _lowest_low(state: Any, count: int, lowest: float) -> float:
    """The lower of `lowest` and the lows of the last `count` bars; a bar that has not come counts as 0: no stop."""
    for back in range(1, count + 1):
        low = state.lows[(state.bars - back) % _MOST_LOWS]
        lowest = min(lowest, low)
    return lowest


@compiled
def _crosses_within(state: Any, count: int) -> int:
    """Crosses on the last `count` bars, at most the length of the ring."""
    found = 0
    for back in range(1, min(state.crosses, _MOST_CROSSES) + 1):
        if state.cross_at[(state.crosses - back) % _MOST_CROSSES] >= state.bars - count:
            found += 1
    return found


@compiled
def _in_window(minute: int, params: Any) -> bool:
    morning = params.morning_from <= minute < params.morning_until
    afternoon = params.afternoon_from <= minute < params.afternoon_until
    return bool(morning or afternoon)


@compiled
def _in_context(state: Any, bar: Any, day: Any, params: Any) -> bool:
    """Whether the bars before this one make a set-up, in a stock with the volume that is asked for."""
    if state.closes_below < params.closes_below or state.bars < params.volume_bars:
        return False
    usual = day.average_daily_volume * day.volume_share[bar.minute]
    if not (usual > 0.0 and state.volume / usual >= params.relative_volume):
        return False
    return bool(_crosses_within(state, params.cross_bars) < params.crosses)


@compiled
def _remember(state: Any, bar: Any, vwap: float) -> None:
    state.volumes[state.bars % _MOST_VOLUMES] = bar.volume
    state.lows[state.bars % _MOST_LOWS] = bar.low
    side = state.side
    if bar.close < vwap:
        side = -1
        state.closes_below += 1
    else:
        state.closes_below = 0
        if bar.close > vwap:
            side = 1
    if state.side not in (0, side):
        state.cross_at[state.crosses % _MOST_CROSSES] = state.bars
        state.crosses += 1
    state.side = side
    state.bars += 1


@compiled
def step(state: Any, bar: Any, day: Any, params: Any, out: Any) -> None:
    """One closed bar of one symbol."""
    state.price_volume += (bar.high + bar.low + bar.close) / 3.0 * bar.volume
    state.volume += bar.volume
    vwap = np.nan
    if state.volume > 0.0:
        vwap = state.price_volume / state.volume
    if state.bars == 0:
        state.ema = bar.close
    else:
        state.ema += _EMA_WEIGHT * (bar.close - state.ema)
    out.level1 = vwap
    out.level2 = state.ema
    if bar.close < vwap:
        out.exit = _BELOW_VWAP
    elif bar.close > vwap and bar.volume > 0.0 and _in_window(bar.minute, params):
        in_context = _in_context(state, bar, day, params)
        if in_context and bar.volume >= params.volume_multiple * _mean_volume(state, params.volume_bars):
            stop = _lowest_low(state, params.stop_bars, bar.low)
            if bar.close * (1.0 - params.stop_percent / 100.0) <= stop < bar.close:
                out.entry = 1
                out.setup = 1
                out.valid_bars = 1
                out.stop = stop
    _remember(state, bar, vwap)


STRATEGY: Final = Strategy(
    name="vwap_reclaim",
    parameters=Parameters(),
    state_t=state_t,
    step=step,
    exit_plan=ExitPlan(
        stop_on=TriggerOn.TOUCH,
        scale_outs=(ScaleOut(fraction=0.5, target=1.0), ScaleOut(fraction=0.5, target=2.0)),
        target_in=TargetIn.R,
        breakeven_after=1,
        exit_reasons=ExitReason.BELOW_VWAP,
        time_stop=60,
        time_stop_progress=0.5,
        flat_by=1,
        attempts=2,
    ),
    level1="VWAP",
    level2="9-bar EMA of closes",
)
"""The strategy with its defaults."""

PROFILES: Final[dict[str, dict[str, Any]]] = {
    "quiet": {"relative_volume": 0.5, "closes_below": 5, "crosses": 10, "volume_multiple": 1.0},
}
"""`quiet`: for calm days, in which the defaults find nothing."""
