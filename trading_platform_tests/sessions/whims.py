"""A strategy for tests that says whatever comes to its mind: entries, limits, stops, reasons, levels and faults at random.

What it says depends on its seed and the bars alone, so it says the same wherever it runs. A rule of thumb for its numbers:
chances are out of 1,000 a bar.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from trading_platform.domain.compiled import compiled
from trading_platform.domain.signals import ExitReason, TargetIn, TriggerOn
from trading_platform.strategies.contract import ExitPlan, ScaleOut, Sizing, Strategy, parameter

_MODULUS: Final = 2**31


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    seed: int = parameter(1, unit="any number", low=0, high=10**6)
    entries: int = parameter(150, unit="chances of 1,000", low=0, high=1000)
    limits: int = parameter(300, unit="chances of 1,000 that an entry has a limit", low=0, high=1000)
    exits: int = parameter(30, unit="chances of 1,000", low=0, high=1000)
    faults: int = parameter(0, unit="chances of 1,000", low=0, high=1000)
    stop_cents: int = parameter(20, unit="cents under the close, at most", low=1, high=1000)


state_t: Final[np.dtype[Any]] = np.dtype([("number", "i8")], align=True)


@compiled
def _draw(state: Any, below: int) -> int:
    state.number = (state.number * 1103515245 + 12345) % _MODULUS
    drawn: int = state.number // 65536 % below
    return drawn


@compiled
def step(state: Any, bar: Any, day: Any, params: Any, out: Any) -> None:  # noqa: ARG001 (a step takes these)
    state.number = (state.number + params.seed * 7919 + int(bar.close * 100.0 + 0.5) * 31 + bar.minute) % _MODULUS
    _draw(state, 2)
    out.level1 = bar.close + (_draw(state, 21) - 12) * 0.01
    out.level2 = bar.close + (_draw(state, 21) - 14) * 0.01
    if _draw(state, 1000) < params.faults:
        out.fault = 7
    if _draw(state, 1000) < params.exits:
        out.exit = 1 + _draw(state, 15)
        out.invalidates = 1 + _draw(state, 3)
    if _draw(state, 1000) < params.entries:
        out.entry = 1
        out.valid_bars = _draw(state, 5)
        out.setup = 1 + _draw(state, 3)
        out.stop = bar.close - 0.01 * (_draw(state, params.stop_cents + 2) - 1)
        if _draw(state, 1000) < params.limits:
            out.limit = bar.close - 0.01 * (_draw(state, 12) - 4)


def whim(name: str, plan: ExitPlan, sizing: Sizing, **parameters: int) -> Strategy:
    """A strategy of this name and plan."""
    return Strategy(
        name=name,
        parameters=replace(Parameters(), **parameters),
        state_t=state_t,
        step=step,
        exit_plan=plan,
        sizing=sizing,
        level1="near the close",
        level2="near the close",
    )


def random_plan(rng: np.random.Generator) -> ExitPlan:
    """Any plan that can be declared, more often than not with something in it."""
    on_touch = bool(rng.random() < 0.6)
    legs = int(rng.integers(0, 4))
    target_in = TargetIn.R if rng.random() < 0.7 else TargetIn.PERCENT
    step_up = 0.4 if target_in is TargetIn.R else 0.15
    whole = bool(rng.random() < 0.5)
    scale_outs = tuple(
        ScaleOut(fraction=_fraction(n, legs, whole=whole), target=round(step_up * (n + 1), 2)) for n in range(legs)
    )
    trail = int(rng.integers(0, 3)) if rng.random() < 0.6 else 0
    return ExitPlan(
        stop_on=TriggerOn.TOUCH if on_touch else TriggerOn.CLOSE,
        stop_percent=0.0 if on_touch or rng.random() < 0.5 else 0.2,
        scale_outs=scale_outs,
        target_in=target_in,
        target_on=TriggerOn.TOUCH if on_touch and rng.random() < 0.6 else TriggerOn.CLOSE,
        breakeven_after=int(rng.integers(0, legs + 1)),
        trail_level=trail,
        trail_after=int(rng.integers(0, legs + 1)),
        exit_reasons=ExitReason(int(rng.integers(0, 16))),
        time_stop=int(rng.integers(1, 12)) if rng.random() < 0.4 else 0,
        time_stop_progress=0.5,
        flat_by=int(rng.integers(0, 8)),
        attempts=int(rng.integers(0, 4)),
    )


def random_sizing(rng: np.random.Generator) -> Sizing:
    """A fixed quantity, or by risk."""
    if rng.random() < 0.6:
        return Sizing(fixed_quantity=int(rng.integers(1, 600)))
    return Sizing(risk_percent=float(rng.integers(1, 80)) / 100)


def _fraction(number: int, legs: int, *, whole: bool) -> float:
    even = round(1 / legs, 4) if whole else 0.2
    return round(1 - even * (legs - 1), 4) if whole and number == legs - 1 else even
