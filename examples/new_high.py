"""New high, long: a stock that has rested for a while makes a new high of the day on volume, and is bought.

The strategy of docs/strategies.md, in one file.
"""

# ruff: noqa: ANN001, ANN201, INP001 (records have no types that a checker knows; a folder of single files)

from dataclasses import dataclass

import numpy as np

from trading_platform.domain.compiled import compiled
from trading_platform.strategies.contract import ExitPlan, ScaleOut, Strategy, parameter


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """The numbers of the entry."""

    rest_minutes: int = parameter(15, unit="minutes since the last new high, at least", low=1, high=389)
    volume_multiple: float = parameter(1.0, unit="times the mean volume of a bar, at least", low=0, high=100)
    stop_percent: float = parameter(0.5, unit="percent under the close", low=0.1, high=20)
    last_entry: int = parameter(330, unit="minutes since the open", low=1, high=389)


state_t = np.dtype([("high", "f8"), ("high_at", "i8"), ("volume", "f8"), ("bars", "i8")], align=True)


@compiled
def step(state, bar, day, params, out):
    """Say what this bar means: one symbol, one closed minute. `state` is zeroed at the open."""
    rested = bar.minute - state.high_at >= params.rest_minutes
    on_volume = state.bars > 0 and bar.volume >= params.volume_multiple * state.volume / state.bars
    is_new_high = bar.high > state.high
    # A gap that is not known is nan, and no comparison with it is true: without the day before there is no entry.
    if is_new_high and rested and on_volume and day.gap > -1.0 and bar.minute <= params.last_entry:
        out.entry = 1
        out.setup = 1
        out.valid_bars = 1
        out.stop = bar.close * (1.0 - params.stop_percent / 100.0)
    if is_new_high:
        state.high = bar.high
        state.high_at = bar.minute
    state.volume += bar.volume
    state.bars += 1
    out.level1 = state.high


STRATEGY = Strategy(
    name="new_high",
    parameters=Parameters(),
    state_t=state_t,
    step=step,
    exit_plan=ExitPlan(
        scale_outs=(ScaleOut(fraction=0.5, target=1.0),),
        breakeven_after=1,
        time_stop=45,
        flat_by=5,
        attempts=2,
    ),
    level1="high of the day",
    level2="none",
)
