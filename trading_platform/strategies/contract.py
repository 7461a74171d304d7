"""What a strategy is: parameters, a state record for each symbol, one step, an exit plan and a sizing.

The step is `step(state, bar, day, params, out)`: one symbol, one closed one-minute bar of the regular session.

- `state`: a record of the strategy's own dtype, zeroed at the open. Everything that the step remembers is in it.
- `bar`: a `step_bar_t`. A minute without a bar is left out: the step is not called.
- `day`: a `day_t`, frozen at the open. Unknown values are nan; with one of them missing there is no entry.
- `params`: the parameters as a record (`parameters.to_record`).
- `out`: an `out_t`, zeroed before each step. `entry` stands on the edge only. Prices are finite and not negative;
  a level may be nan until it is defined, but not on the bar of an entry.

A step is decorated with `domain.compiled.compiled`, stands at the top of its module, and calls only compiled functions
of the same file (the compiler's cache looks at that file alone). It never raises, and does no more than arithmetic,
sqrt, abs and comparisons, so that it gives the same bits compiled and uncompiled, and on every machine. It knows
nothing of positions.

Belongs here: the value. What stays out: running the step (`scan`), the names (`registry`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import time
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trading_platform.domain.errors import InvalidInput
from trading_platform.strategies.exit_plan import ExitPlan, ScaleOut, Sizing
from trading_platform.strategies.parameters import changed, check, parameter, record_type, to_record

__all__ = ["ExitPlan", "ScaleOut", "Sizing", "Step", "Strategy", "parameter", "record_type", "to_record"]

Step = Callable[[Any, Any, Any, Any, Any], None]
"""`step(state, bar, day, params, out)`."""

_PARTS: Final = ("exit_plan", "sizing")
_BY_RISK: Final = Sizing()


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """One strategy with its parameters set.

    Attributes:
        name: Its name in the configuration, in signals and in the ledger.
        parameters: A frozen dataclass of numbers, each declared with `parameter`.
        state_t: The record that the step keeps for each symbol.
        step: The compiled step.
        exit_plan: How its positions are left.
        sizing: How large its entries are.
        level1: What the step's first level is, for people.
        level2: What its second level is.
    """

    name: str
    parameters: Any
    state_t: np.dtype[Any]
    step: Step
    exit_plan: ExitPlan
    sizing: Sizing = _BY_RISK
    level1: str
    level2: str

    def __post_init__(self) -> None:
        record_type(type(self.parameters))
        check(self.parameters, where=f"strategy {self.name}")

    def parameter_record(self) -> npt.NDArray[Any]:
        """The parameters in the form that the step reads: one element."""
        return to_record(self.parameters)

    def plan_record(self, *, session_minutes: int, opens: time) -> npt.NDArray[Any]:
        """The exit plan and sizing as one `plan_t` for a session of so many bars from `opens` (exchange clock).

        Raises:
            InvalidInput: The plan leaves no time to trade in that session.
        """
        return self.exit_plan.to_record(session_minutes=session_minutes, opens=opens, sizing=self.sizing)

    def with_values(self, values: Mapping[str, Any]) -> "Strategy":
        """The same strategy with some values changed.

        Args:
            values: By name: a parameter's own (`relative_volume`), or a part's with the part before it
                (`exit_plan.time_stop`, `sizing.risk_percent`).

        Raises:
            InvalidInput: A name is not known, or a value is refused.
        """
        where = f"strategy {self.name}"
        by_part: dict[str, dict[str, Any]] = {}
        for name, value in values.items():
            part, point, rest = name.partition(".")
            if point and part not in _PARTS:
                raise InvalidInput(
                    f"there is no part {part!r} to hold {name!r}", where=where, mend=f"Known: {', '.join(_PARTS)}"
                )
            by_part.setdefault(part if point else "parameters", {})[rest if point else name] = value
        parts = {
            part: changed(getattr(self, part), changes, where=where if part == "parameters" else f"{where}, {part}")
            for part, changes in by_part.items()
        }
        return replace(self, **parts)
