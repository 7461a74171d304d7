"""A strategy for tests that does what it is told: enters at a minute, at the market or at a limit, and leaves at another.

Several of them, by name, make a book of several strategies. Which symbols one enters is told by their price.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from trading_platform.domain.compiled import compiled
from trading_platform.domain.records import SESSION_MINUTES
from trading_platform.domain.signals import ExitReason
from trading_platform.strategies.contract import ExitPlan, ScaleOut, Sizing, Strategy, parameter

_CUSTOM: Final = int(ExitReason.CUSTOM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    minute: int = parameter(1, unit="minute of the entry", low=0, high=SESSION_MINUTES)
    again: int = parameter(0, unit="minutes from one entry to the next; 0: one entry", low=0, high=SESSION_MINUTES)
    leave: int = parameter(-1, unit="minute of the exit; -1: none", low=-1, high=SESSION_MINUTES)
    valid_bars: int = parameter(1, unit="bars on which the entry may fill", low=1, high=SESSION_MINUTES)
    below: float = parameter(0.0, unit="dollars of the limit under the close; 0: at the market", low=0, high=1000)
    stop_distance: float = parameter(2.0, unit="dollars under the close", low=0.01, high=1000)
    cheapest: float = parameter(0.0, unit="dollars: what closes below is not entered", low=0, high=1000)
    dearest: float = parameter(1000.0, unit="dollars: what closes above is not entered", low=0, high=1000)


state_t: Final[np.dtype[Any]] = np.dtype([("bars", "i8")], align=True)


@compiled
def step(state: Any, bar: Any, day: Any, params: Any, out: Any) -> None:  # noqa: ARG001 (a step takes these)
    state.bars += 1
    out.level1 = bar.close
    out.level2 = bar.close
    since = bar.minute - params.minute
    repeats = params.again > 0 and since > 0 and since % params.again == 0
    if (since == 0 or repeats) and params.cheapest <= bar.close <= params.dearest:
        out.entry = 1
        out.setup = 1
        out.valid_bars = params.valid_bars
        out.stop = bar.close - params.stop_distance
        if params.below > 0:
            out.limit = bar.close - params.below
    if bar.minute == params.leave:
        out.exit = _CUSTOM


def scripted(name: str = "first", *, quantity: int = 100, half_at: float = 0.0, **parameters: float) -> Strategy:
    """A strategy of this name that enters so many shares; half of them leave at `half_at` R, where that is set."""
    half = (ScaleOut(fraction=0.5, target=half_at),) if half_at else ()
    return Strategy(
        name=name,
        parameters=Parameters(**parameters),  # type: ignore[arg-type]  # whole numbers where whole numbers belong
        state_t=state_t,
        step=step,
        exit_plan=ExitPlan(exit_reasons=ExitReason.CUSTOM, scale_outs=half),
        sizing=Sizing(fixed_quantity=quantity),
        level1="close",
        level2="close",
    )
