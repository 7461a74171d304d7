"""Opening range breakout, long: a strategy of a user's own, in one file.

The high and the low of the first 15 minutes make the opening range. The first close above its high, while the price is
over VWAP, is bought at the next bar's open. The stop lies under the range, a third is sold at 1R, a third at 2R, the
rest follows the highest close of the day at some distance, and everything is out by 15:30.

Check it, and trade it, as examples/README.md says.
"""

# ruff: noqa: ANN001, ANN201, ARG001, INP001 (records have no types that a checker knows; a folder of single files)

from dataclasses import dataclass
from datetime import time

import numpy as np

from trading_platform.domain.compiled import compiled
from trading_platform.domain.signals import ExitReason
from trading_platform.strategies.contract import ExitPlan, ScaleOut, Strategy, parameter


# 1. Every number that somebody may want to change, each with its unit and its bounds. The configuration can set them
#    (`parameters: {range_minutes: 30}`), and a value outside its bounds is refused there.
@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """The numbers of the entry."""

    range_minutes: int = parameter(15, unit="minutes of the opening range", low=1, high=120)
    last_entry: int = parameter(180, unit="minutes since the open", low=2, high=380)
    widest_range: float = parameter(4.0, unit="percent of the price", low=0.1, high=50)
    trail_percent: float = parameter(0.75, unit="percent under the highest close", low=0.05, high=20)


# 2. What the step remembers of one symbol. It is zeroed at the open. Nothing else may be remembered: a process that
#    starts in mid-session takes the session's bars again, and must come to the same state.
state_t = np.dtype(
    [
        ("range_high", "f8"),
        ("range_low", "f8"),  # 0: no bar of the range has come
        ("highest_close", "f8"),
        ("price_volume", "f8"),
        ("volume", "f8"),
        ("was_above", "i8"),  # whether the last close was above the range
        ("entries", "i8"),
    ],
    align=True,
)


# 3. A part of the step. Whatever the step calls stands in this file and is compiled too.
@compiled
def take_in(state, bar, params):
    """Remember this bar; gives VWAP, or nan if nothing has traded yet."""
    state.price_volume += (bar.high + bar.low + bar.close) / 3.0 * bar.volume
    state.volume += bar.volume
    state.highest_close = max(state.highest_close, bar.close)
    if bar.minute < params.range_minutes:
        state.range_high = max(state.range_high, bar.high)
        state.range_low = bar.low if state.range_low == 0.0 else min(state.range_low, bar.low)
    if state.volume > 0.0:
        return state.price_volume / state.volume
    return np.nan


# 4. The step: one symbol, one closed minute. It tells facts on the market and knows nothing of positions. A condition on
#    a value that is unknown (nan) is false, so that missing data never makes an entry.
@compiled
def step(state, bar, day, params, out):
    """Say what this bar means."""
    vwap = take_in(state, bar, params)
    out.level1 = vwap
    out.level2 = state.highest_close * (1.0 - params.trail_percent / 100.0)
    if bar.close < vwap:
        # Said on every such bar, not only on the first: an exit that a broker refuses is then tried again.
        out.exit = EXIT_BELOW_VWAP
    if bar.minute < params.range_minutes or state.range_low == 0.0:
        return
    is_above = bar.close > state.range_high
    is_narrow = state.range_high - state.range_low <= bar.close * params.widest_range / 100.0
    # An entry is said on the bar that crosses, not on those that follow it above the range.
    if is_above and state.was_above == 0 and is_narrow and bar.close > vwap and bar.minute <= params.last_entry:
        state.entries += 1
        out.entry = 1
        out.setup = state.entries
        out.valid_bars = 1
        out.stop = state.range_low
    state.was_above = 1 if is_above else 0


EXIT_BELOW_VWAP = int(ExitReason.BELOW_VWAP)

# 5. How its positions are left. The platform runs this: the stop rests at the broker from the moment of the fill,
#    everything else is decided on closed bars.
STRATEGY = Strategy(
    name="opening_range_breakout",
    parameters=Parameters(),
    state_t=state_t,
    step=step,
    exit_plan=ExitPlan(
        scale_outs=(ScaleOut(fraction=0.3333, target=1.0), ScaleOut(fraction=0.3333, target=2.0)),
        breakeven_after=1,
        trail_level=2,
        trail_after=1,
        exit_reasons=ExitReason.BELOW_VWAP,
        flat_by=time(15, 30),
        attempts=1,
    ),
    level1="VWAP",
    level2="under the highest close",
)

# 6. Sets of parameters with a name, if you want some.
PROFILES = {"patient": {"range_minutes": 30, "trail_percent": 1.5}}
