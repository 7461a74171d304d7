"""The strategy of the comparison as this platform writes it: a step that knows no position, and an exit plan."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from trading_platform.domain.compiled import compiled
from trading_platform.domain.signals import ExitReason, TargetIn, TriggerOn
from trading_platform.strategies.contract import ExitPlan, ScaleOut, Sizing, Strategy, parameter

_WINDOW: Final = 20
_BELOW_VWAP: Final = int(ExitReason.BELOW_VWAP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    closes_below: int = parameter(5, unit="closes below VWAP in a row, at least", low=1, high=390)
    volume_multiple: float = parameter(1.5, unit="times the mean volume, more than", low=0, high=100)


state_t: Final[np.dtype[Any]] = np.dtype(
    [
        ("price_volume", "f8"),
        ("volume", "f8"),
        ("below", "i8"),  # closes below VWAP in a row
        ("window", "f8"),  # sum of the ring
        ("slot", "i8"),
        ("volumes", "f8", (_WINDOW,)),  # ring
    ],
    align=True,
)


@compiled
def step(state: Any, bar: Any, day: Any, params: Any, out: Any) -> None:  # noqa: ARG001 (a step takes these)
    state.price_volume += (bar.high + bar.low + bar.close) / 3.0 * bar.volume
    state.volume += bar.volume
    vwap = state.price_volume / state.volume
    if bar.close < vwap:
        out.exit = _BELOW_VWAP
        state.below += 1
    else:
        if (
            bar.close > vwap
            and state.below >= params.closes_below
            and bar.minute >= _WINDOW
            and bar.minutes_left > 1
            and bar.volume * _WINDOW > params.volume_multiple * state.window
        ):
            out.entry = 1
            out.setup = 1
        state.below = 0
    state.window += bar.volume - state.volumes[state.slot]
    state.volumes[state.slot] = bar.volume
    state.slot = state.slot + 1 if state.slot < _WINDOW - 1 else 0


def exit_plan(stop_percent: float = 1.0, target_percent: float = 2.0) -> ExitPlan:
    return ExitPlan(
        stop_on=TriggerOn.CLOSE,
        stop_percent=stop_percent,
        scale_outs=(ScaleOut(fraction=1, target=target_percent),),
        target_in=TargetIn.PERCENT,
        exit_reasons=ExitReason.BELOW_VWAP,
        flat_by=0,
    )


STRATEGY: Final = Strategy(
    name="reclaim",
    parameters=Parameters(),
    state_t=state_t,
    step=step,
    exit_plan=exit_plan(),
    sizing=Sizing(fixed_quantity=100),
    level1="none",
    level2="none",
)
