"""Strategies for tests that do what a step must not: look at the next day, or remember something outside their state.

Each does so only where its parameters say so, so that the same step is its own control.
"""

from dataclasses import dataclass
from typing import Any, Final

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic
from numba.np.numpy_support import carray

from trading_platform.domain.compiled import compiled
from trading_platform.domain.records import SESSION_MINUTES
from trading_platform.strategies.contract import ExitPlan, Sizing, Strategy, parameter

NEXT_DAY: Final = SESSION_MINUTES
"""The index past the end of `volume_share` at which the prior close of the next day record lies: today's close."""

MEMORY: Final = np.zeros(1)
"""What a step with `address` counts its bars in."""

state_t: Final[np.dtype[Any]] = np.dtype([("bars", "i8")], align=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    place: int = parameter(0, unit="index of the volume profile", low=0, high=2 * SESSION_MINUTES)
    address: int = parameter(0, unit="where numbers of its own lie; 0: nowhere", low=0, high=2**62)


@intrinsic
def _numbers_at(typing: Any, address: Any) -> Any:
    del typing

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.inttoptr(values[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.float64)(address), generate  # type: ignore[no-untyped-call]  # it has no types


@numba.njit(boundscheck=False, error_model="numpy")
def _beyond(values: Any, place: int) -> Any:
    return values[place]


@compiled
def step(state: Any, bar: Any, day: Any, params: Any, out: Any) -> None:
    state.bars += 1
    if params.address != 0:
        memory = carray(_numbers_at(params.address), (1,))  # type: ignore[call-arg]  # numba gives the first
        memory[0] += 1.0
        if memory[0] % 7.0 == 0.0:
            out.level1 = memory[0]
            out.exit = 1
    # The last day of all has no next one: there its record says nothing of the range.
    seen = _beyond(day.volume_share, params.place) if day.atr > 0.0 else 0.0
    if state.bars % 30 == 0 and seen > bar.close * 1.001:
        out.entry = 1
        out.setup = 1
        out.valid_bars = 1
        out.stop = bar.close - 0.5


PEEKING: Final = Strategy(
    name="peeking",
    parameters=Parameters(),
    state_t=state_t,
    step=step,
    exit_plan=ExitPlan(),
    sizing=Sizing(fixed_quantity=100),
    level1="count",
    level2="none",
)
"""Looks at nothing that it should not, as long as its parameters are left as they are."""
