"""What stands in the place of an active strategy that did not load: it says nothing, and looks after what is held.

The plan of the strategy itself is not known then. So a holding keeps its resting stop, and is sold before the session
ends: the most careful plan that needs no word of the step.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from trading_platform.domain.compiled import compiled
from trading_platform.strategies.contract import ExitPlan, Strategy, parameter

STATE_T: Final[np.dtype[Any]] = np.dtype([("bars", "i8")], align=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """A record needs a field; nothing reads it."""

    unused: int = parameter(0, unit="none", low=0, high=0)


@compiled
def step(state: Any, bar: Any, day: Any, params: Any, out: Any) -> None:  # noqa: ARG001 (a step takes these)
    """Say nothing."""
    state.bars += 1


def stand_in(name: str) -> Strategy:
    """The stand-in of the strategy of that name."""
    return Strategy(
        name=name,
        parameters=Parameters(),
        state_t=STATE_T,
        step=step,
        exit_plan=ExitPlan(),
        level1="none",
        level2="none",
    )
