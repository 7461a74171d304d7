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

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import time
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trading_platform.domain.errors import InvalidInput
from trading_platform.strategies.exit_plan import ExitPlan, ScaleOut, Sizing
from trading_platform.strategies.mistakes import place_of, source_of
from trading_platform.strategies.parameters import changed, check, parameter, record_type, to_record

__all__ = ["ExitPlan", "ScaleOut", "Sizing", "Step", "Strategy", "parameter", "record_type", "to_record"]

Step = Callable[[Any, Any, Any, Any, Any], None]
"""`step(state, bar, day, params, out)`."""

_PARTS: Final = ("exit_plan", "sizing")
_BY_RISK: Final = Sizing()
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.\-]{0,39}")
_STEP_ARGUMENTS: Final = ("state", "bar", "day", "params", "out")
_NUMBERS: Final = "iufb"
"""Kinds of numbers, as NumPy names them, that compiled code reads and writes in a record."""


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
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise InvalidInput(
                f"{self.name!r} cannot be a strategy's name",
                where="strategy",
                mend="Begin with a letter, then letters, digits, _, . and -, at most 40",
            )
        where = f"strategy {self.name}"
        _check_step(self.step, where)
        _check_state(self.state_t, where)
        _check_parts(self, where)
        check(self.parameters, where=where)

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
        own = by_part.pop("parameters", {})
        parts = {part: changed(getattr(self, part), some, where=f"{where}, {part}") for part, some in by_part.items()}
        if own:
            others = ", ".join(f"{part}.NAME" for part in _PARTS)
            parts["parameters"] = changed(self.parameters, own, where=where, others=others)
        return replace(self, **parts)


def _check_step(step: Any, where: str) -> None:
    """A step that takes other arguments would fail at its first bar, inside compiled code."""
    code = getattr(source_of(step), "__code__", None)
    wanted = f"Write it as `def step({', '.join(_STEP_ARGUMENTS)})`"
    if code is None:
        raise InvalidInput(f"its step is {step!r}, which is no function", where=where, mend=wanted)
    takes_more = code.co_flags & 0x0C  # *args, **kwargs
    if code.co_argcount != len(_STEP_ARGUMENTS) or code.co_kwonlyargcount or takes_more:
        given = ", ".join(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])
        raise InvalidInput(f"its step takes ({given})", where=f"{where}, {place_of(step)}", mend=wanted)


def _check_state(state_t: Any, where: str) -> None:
    mend = 'Give a record of numbers, as np.dtype([("bars", "i8"), ("lows", "f8", (20,))], align=True)'
    if not isinstance(state_t, np.dtype) or not state_t.names:
        raise InvalidInput(f"its state_t is {state_t!r}, which is no record type", where=where, mend=mend)
    for name in state_t.names:
        kind = state_t[name].base
        if kind.names is None and kind.kind not in _NUMBERS:
            raise InvalidInput(
                f"its state_t has the field {name!r} of {kind}, which compiled code does not keep",
                where=where,
                mend=mend,
            )


def _check_parts(strategy: Strategy, where: str) -> None:
    if not is_dataclass(strategy.parameters) or isinstance(strategy.parameters, type):
        raise InvalidInput(
            f"its parameters are {strategy.parameters!r}, which is no dataclass with values",
            where=where,
            mend="Give Parameters(), a frozen dataclass of fields that are declared with `parameter`",
        )
    if not fields(strategy.parameters):
        raise InvalidInput("its parameters have no field", where=where, mend="Declare at least one with `parameter`")
    record_type(type(strategy.parameters))
    for name, kind in (("exit_plan", ExitPlan), ("sizing", Sizing)):
        if not isinstance(getattr(strategy, name), kind):
            raise InvalidInput(
                f"its {name} is {getattr(strategy, name)!r}", where=where, mend=f"Give one as {kind.__name__}(...)"
            )
