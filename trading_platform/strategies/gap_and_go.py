"""gap_and_go: a stock that opens far above the prior close, holds its pre-market strength and breaks out is bought.

Every word of the definition, as it is read here:

- *Gap*: as the day record has it, the session's first price over the split-adjusted prior close.
- *Price*: the session's first price, the open of the bar of minute 0, because the filter is frozen at the open. Without
  that bar there is no price, no gap, and no entry.
- *Pre-market strength*: the last pre-market price lies in the top share of the range from pre-market low to high.
- *Bounds* of the gap, of the pre-market range and of the stop are met where prices in cents meet them exactly: what a
  division in binary leaves over is allowed for.
- *Bars* are those that came: a minute without a bar is in no mean, count or window.
- *First five minutes*: the bars that start within five minutes of the open.
- *Break*: a close above both the pre-market high and the high of the first five minutes.
- *VWAP* and *relative volume*: as in vwap_reclaim, the current bar included.
- *Volume mean*: over the `volume_bars` bars before the current one. With fewer there is no entry.
- *Window*: the bar lies wholly in [from, until), in minutes since the open, and after the first five minutes.
- *Edge*: an entry is said on a bar on which every condition of the entry holds, and on the bar before at least one did
  not. So one break is said once, and not again on each bar of the rise; but a break that came on thin volume is said as
  soon as the volume is there, and after an entry that was refused, or a position that was left, the next bar on which
  the conditions come together again is said like the first. Nothing is latched.
- *Stop*: the low of the first five minutes. No entry where it is more than `stop_percent` under the close.
- *Set-up*: each entry is one, with a number of its own. It is invalid once one of the two bars after the entry's bar
  closes below the pre-market high. That names no other set-up, so a position of an earlier break is not touched by a
  later one that fails.

BELOW_VWAP is stated on every close below VWAP, and INVALIDATED on every bar from the one that fails on until the next
entry: said once only, an exit that a broker refused would never be tried again.

Levels: 1 is VWAP (nan until a share has traded), 2 the EMA of closes, begun at the first close.
"""

from dataclasses import dataclass
from datetime import time
from typing import Any, Final

import numpy as np

from trading_platform.domain.compiled import compiled
from trading_platform.domain.records import SESSION_MINUTES
from trading_platform.domain.signals import ExitReason, TargetIn, TriggerOn
from trading_platform.strategies.contract import ExitPlan, ScaleOut, Strategy, parameter
from trading_platform.strategies.parameters import check_order

_BELOW_VWAP: Final = int(ExitReason.BELOW_VWAP)
_INVALIDATED: Final = int(ExitReason.INVALIDATED)
_MOST_VOLUMES: Final = 60
_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """The numbers of the day filter and of the entry."""

    gap_from: float = parameter(4.0, unit="percent over the prior close, at least", low=-100, high=10_000)
    gap_to: float = parameter(50.0, unit="percent over the prior close, at most", low=-100, high=10_000)
    premarket_volume: float = parameter(50_000.0, unit="shares before the open, at least", low=0, high=1e12)
    premarket_top: float = parameter(30.0, unit="percent of the pre-market range, from its high", low=0, high=100)
    price_from: float = parameter(2.0, unit="dollars at the open, at least", low=0, high=1e6)
    price_to: float = parameter(100.0, unit="dollars at the open, at most", low=0, high=1e6)
    daily_volume: float = parameter(500_000.0, unit="shares a day on average, more than", low=0, high=1e12)
    relative_volume: float = parameter(2.0, unit="times the usual volume by this minute, at least", low=0, high=100)
    volume_multiple: float = parameter(1.5, unit="times the mean volume, at least", low=0, high=100)
    volume_bars: int = parameter(5, unit="bars of the volume mean", low=1, high=_MOST_VOLUMES)
    opening_minutes: int = parameter(5, unit="minutes of the opening range", low=1, high=SESSION_MINUTES)
    entry_from: int = parameter(5, unit="minutes since the open", low=0, high=SESSION_MINUTES)
    entry_until: int = parameter(60, unit="minutes since the open", low=0, high=SESSION_MINUTES)
    stop_percent: float = parameter(5.0, unit="percent under the close, at most", low=0.1, high=50)
    trial_bars: int = parameter(2, unit="bars after the entry's that may invalidate it", low=0, high=SESSION_MINUTES)
    ema_bars: int = parameter(9, unit="bars of the EMA of closes", low=1, high=SESSION_MINUTES)

    def __post_init__(self) -> None:
        check_order(self, ("gap_from", "gap_to"), ("price_from", "price_to"), ("entry_from", "entry_until"))


state_t: Final[np.dtype[Any]] = np.dtype(
    [
        ("bars", "i8"),  # bars so far
        ("price_volume", "f8"),  # sum of typical price x volume
        ("volume", "f8"),
        ("ema", "f8"),
        ("opening_price", "f8"),  # open of minute 0; 0: it has not come
        ("opening_high", "f8"),  # of the first minutes
        ("opening_low", "f8"),  # the same; 0: none of them has come
        ("met", "i8"),  # whether the last bar met every condition of the entry
        ("setups", "i8"),  # entries so far: the number of the last one
        ("trial_left", "i8"),  # bars that may still invalidate it
        ("invalid", "i8"),  # whether it is invalid
        ("volumes", "f8", (_MOST_VOLUMES,)),  # ring
    ],
    align=True,
)
"""What the step remembers of one symbol's session."""


@compiled
def _at_least(value: float, bound: float) -> bool:
    """Whether `value` reaches `bound`, but for what rounding in binary takes; never where one is unknown."""
    return bool(value >= bound - _ROUNDING)


@compiled
def _mean_volume(state: Any, count: int) -> float:
    total = 0.0
    for back in range(1, count + 1):
        total += state.volumes[(state.bars - back) % _MOST_VOLUMES]
    return total / count


@compiled
def _in_play(state: Any, day: Any, params: Any) -> bool:
    """The day filter: whether this stock, as it opened, may be traded at all."""
    if not (_at_least(100.0 * day.gap, params.gap_from) and _at_least(params.gap_to, 100.0 * day.gap)):
        return False
    if not params.price_from <= state.opening_price <= params.price_to:
        return False
    if not (day.premarket_volume >= params.premarket_volume and day.average_daily_volume > params.daily_volume):
        return False
    depth = (day.premarket_high - day.premarket_low) * params.premarket_top / 100.0
    return bool(_at_least(day.premarket_last, day.premarket_high - depth))


@compiled
def _breaks_out(state: Any, bar: Any, day: Any, params: Any, vwap: float) -> bool:
    """Whether this bar, in a stock that is in play, meets every condition of an entry."""
    if not (params.entry_from <= bar.minute < params.entry_until and bar.minute >= params.opening_minutes):
        return False
    if not (bar.close > day.premarket_high and bar.close > state.opening_high and bar.close > vwap):
        return False
    usual = day.average_daily_volume * day.volume_share[bar.minute]
    if not (usual > 0.0 and state.volume / usual >= params.relative_volume):
        return False
    if state.bars < params.volume_bars or bar.volume <= 0.0:
        return False
    if not bar.volume >= params.volume_multiple * _mean_volume(state, params.volume_bars):
        return False
    lowest_stop = bar.close * (1.0 - params.stop_percent / 100.0)
    return bool(state.opening_low > 0.0 and _at_least(state.opening_low, lowest_stop))


@compiled
def _take_in(state: Any, bar: Any, params: Any) -> float:
    """Remember what is known of the session by this bar, but for its volume; returns VWAP, nan if nothing traded."""
    state.price_volume += (bar.high + bar.low + bar.close) / 3.0 * bar.volume
    state.volume += bar.volume
    if state.bars == 0:
        state.ema = bar.close
    else:
        state.ema += 2.0 / (params.ema_bars + 1.0) * (bar.close - state.ema)
    if bar.minute == 0:
        state.opening_price = bar.open
    if bar.minute < params.opening_minutes:
        state.opening_high = max(state.opening_high, bar.high)
        state.opening_low = bar.low if state.opening_low == 0.0 else min(state.opening_low, bar.low)
    if state.volume > 0.0:
        return float(state.price_volume / state.volume)
    return np.nan


@compiled
def _try_setup(state: Any, bar: Any, day: Any) -> None:
    """Let this bar count against the last entry, if it is one of those that may."""
    if state.trial_left > 0:
        state.trial_left -= 1
        if bar.close < day.premarket_high:
            state.invalid = 1


@compiled
def step(state: Any, bar: Any, day: Any, params: Any, out: Any) -> None:
    """One closed bar of one symbol."""
    vwap = _take_in(state, bar, params)
    out.level1 = vwap
    out.level2 = state.ema
    _try_setup(state, bar, day)
    met = _in_play(state, day, params) and _breaks_out(state, bar, day, params, vwap)
    if met and state.met == 0:
        state.setups += 1
        state.trial_left = params.trial_bars
        state.invalid = 0
        out.entry = 1
        out.setup = state.setups
        out.valid_bars = 1
        out.stop = state.opening_low
    if bar.close < vwap:
        out.exit = _BELOW_VWAP
    if state.invalid != 0:
        out.exit |= _INVALIDATED
        out.invalidates = state.setups
    state.met = 1 if met else 0
    state.volumes[state.bars % _MOST_VOLUMES] = bar.volume
    state.bars += 1


STRATEGY: Final = Strategy(
    name="gap_and_go",
    parameters=Parameters(),
    state_t=state_t,
    step=step,
    exit_plan=ExitPlan(
        stop_on=TriggerOn.TOUCH,
        scale_outs=(ScaleOut(fraction=0.5, target=2.0),),
        target_in=TargetIn.R,
        breakeven_after=1,
        trail_level=2,
        trail_after=1,
        exit_reasons=ExitReason.BELOW_VWAP | ExitReason.INVALIDATED,
        flat_by=time(11, 0),
        attempts=2,
    ),
    level1="VWAP",
    level2="EMA of closes",
)
"""The strategy with its defaults."""

PROFILES: Final[dict[str, dict[str, Any]]] = {
    "quiet": {
        "gap_from": 0.5,
        "premarket_volume": 1_000.0,
        "premarket_top": 100.0,
        "price_to": 1_000.0,
        "relative_volume": 0.5,
        "volume_multiple": 1.0,
    },
}
"""`quiet`: for calm days, in which the defaults find nothing."""
