"""A strategy for tests: it buys every symbol on one minute of the session, so that a tape decides all the rest."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from trading_platform.domain.compiled import compiled
from trading_platform.domain.records import SESSION_MINUTES
from trading_platform.strategies.contract import ExitPlan, ScaleOut, Sizing, Strategy, parameter


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    minute: int = parameter(1, unit="minute of the entry", low=0, high=SESSION_MINUTES)
    valid_bars: int = parameter(3, unit="bars on which the entry may fill", low=1, high=SESSION_MINUTES)
    stop_distance: float = parameter(1.0, unit="dollars under the close", low=0.01, high=1000)


state_t: Final[np.dtype[Any]] = np.dtype([("bars", "i8")], align=True)


@compiled
def step(state: Any, bar: Any, day: Any, params: Any, out: Any) -> None:  # noqa: ARG001 (a step takes these)
    state.bars += 1
    out.level1 = bar.close
    out.level2 = bar.close
    if bar.minute == params.minute:
        out.entry = 1
        out.setup = 1
        out.valid_bars = params.valid_bars
        out.stop = bar.close - params.stop_distance


TIMED_ENTRY: Final = Strategy(
    name="timed_entry",
    parameters=Parameters(),
    state_t=state_t,
    step=step,
    exit_plan=ExitPlan(scale_outs=(ScaleOut(fraction=0.5, target=1.0), ScaleOut(fraction=0.5, target=2.0))),
    sizing=Sizing(fixed_quantity=320),
    level1="close",
    level2="close",
)
