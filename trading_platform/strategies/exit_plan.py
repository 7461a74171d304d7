"""Exit plans and sizing: what a strategy declares of its positions, for the portfolio's kernel to run.

Belongs here: the declaration in a trader's units, its validation, and its translation into the kernel's record for one
session. Running a plan (stops, trailing, scale-outs) and working out a quantity belong to `portfolio`.
"""

from dataclasses import dataclass
from datetime import time
from itertools import pairwise
from typing import Any, Final

import numpy.typing as npt

from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.money import BASIS_POINTS
from trading_platform.domain.records import MAX_LEGS, SESSION_MINUTES, plan_t
from trading_platform.domain.signals import ExitReason, TargetIn, TriggerOn
from trading_platform.strategies.parameters import check, parameter

_PER_PERCENT: Final = BASIS_POINTS // 100
_NEVER: Final = -1
_NO_REASON: Final = ExitReason(0)

_FILL_LEAD: Final = 2
"""Minutes from the start of a decided bar to the end of the bar at whose open its order fills."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleOut:
    """One leg of an exit: the share of the filled entry that is sold once the price has come so far."""

    fraction: float = parameter(0.5, unit="share of the filled entry quantity, at most 4 decimals", low=0.0001, high=1)
    target: float = parameter(1.0, unit="R or percent of the average fill, as the plan says", low=0.01, high=1000)

    def __post_init__(self) -> None:
        check(self, where="scale-out")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizing:
    """How many shares an entry asks for, before the limits: by the risk to its stop, or a fixed number.

    Attributes:
        risk_percent: Share of equity that is lost if the stop is hit, in percent; whole basis points.
        fixed_quantity: Shares; 0 means by risk.
    """

    risk_percent: float = parameter(0.5, unit="percent of equity a trade", low=0.01, high=10)
    fixed_quantity: int = parameter(0, unit="shares; 0: by risk", low=0, high=1_000_000)

    def __post_init__(self) -> None:
        check(self, where="sizing")
        _whole(self.risk_percent * _PER_PERCENT, "risk_percent", "sizing")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitPlan:
    """How a position is left. R is the average fill less the initial stop.

    Attributes:
        stop_on: TOUCH: the stop rests at the broker. CLOSE: it acts on a close at or below it.
        stop_percent: Distance of the stop under the average fill in percent, [0, 50]; 0 means the step's own stop.
            Only with `stop_on` CLOSE, because a stop that rests must have its price before the fill is known.
        scale_outs: Legs in the order in which they are taken, at most 4, with rising targets; fractions sum to 1
            at most.
        target_in: The unit of the targets: R, or percent of the average fill.
        target_on: CLOSE: a target is reached by a close, and its leg leaves at the next open. TOUCH: each leg rests at
            the broker as a limit sale beside its share of the stop, from the entry's first fill on. Only with `stop_on`
            TOUCH, and measured from the price that the entry was decided at: it leaves with the entry, before the
            average fill is known.
        breakeven_after: Legs taken after which the stop moves to the average fill, [1, legs]; 0 means never.
        trail_level: Which of the step's two levels the rest trails (out on a close below it); 0 means none.
        trail_after: Legs taken from which the trailing begins, [0, legs].
        exit_reasons: The step's exit reasons that are obeyed.
        time_stop: Minutes since the first fill after which a position without progress is sold, [0, 390]; 0: none.
        time_stop_progress: What the highest close since the fill must have reached by then, in R, [0, 100].
        flat_by: An exchange clock time, or whole minutes before the close, [0, 380]. The exit is decided on the bar
            that starts two minutes earlier and fills at the open of the bar after that one.
        attempts: Filled entries per symbol and session, [0, 100]; 0 means no limit.
    """

    stop_on: TriggerOn = TriggerOn.TOUCH
    stop_percent: float = parameter(0.0, unit="percent of the average fill; 0: the step's stop", low=0, high=50)
    scale_outs: tuple[ScaleOut, ...] = ()
    target_in: TargetIn = TargetIn.R
    target_on: TriggerOn = TriggerOn.CLOSE
    breakeven_after: int = parameter(0, unit="legs taken; 0: never", low=0, high=MAX_LEGS)
    trail_level: int = parameter(0, unit="number of the step's level; 0: none", low=0, high=2)
    trail_after: int = parameter(0, unit="legs taken", low=0, high=MAX_LEGS)
    exit_reasons: ExitReason = _NO_REASON
    time_stop: int = parameter(0, unit="minutes since the fill; 0: none", low=0, high=SESSION_MINUTES)
    time_stop_progress: float = parameter(0.0, unit="R", low=0, high=100)
    flat_by: time | int = 1
    attempts: int = parameter(0, unit="filled entries a session; 0: no limit", low=0, high=100)

    def __post_init__(self) -> None:
        check(self, where="exit plan")
        self._check_kinds()
        self._check_stop_and_targets()
        self._check_legs()
        _whole(self.time_stop_progress * BASIS_POINTS, "time_stop_progress", "exit plan")
        self._check_flat_by()

    def to_record(self, *, session_minutes: int, opens: time, sizing: Sizing) -> npt.NDArray[Any]:
        """The plan as one `plan_t` for a session.

        Args:
            session_minutes: Bars of the session (390; fewer on a half day).
            opens: Exchange clock time of the session's open.
            sizing: Sizing, which the kernel reads from the same record.

        Raises:
            InvalidInput: The session is so short, or `flat_by` so early, that no position could be held.
        """
        from trading_platform.domain.compiled import empty_records

        plan = empty_records(1, plan_t)
        plan["stop_on"] = self.stop_on
        plan["stop_percent"] = round(self.stop_percent * _PER_PERCENT)
        plan["legs"] = len(self.scale_outs)
        for number, leg in enumerate(self.scale_outs):
            plan["leg_fraction"][0, number] = round(leg.fraction * BASIS_POINTS)
            plan["leg_target"][0, number] = round(leg.target * self._target_scale())
        plan["target_in"] = self.target_in
        plan["target_on"] = self.target_on
        plan["breakeven_after"] = self.breakeven_after or _NEVER
        plan["trail_level"] = self.trail_level
        plan["trail_after"] = self.trail_after
        plan["exit_mask"] = self.exit_reasons
        plan["time_stop"] = self.time_stop
        plan["time_stop_progress"] = round(self.time_stop_progress * BASIS_POINTS)
        plan["flat_from"] = self.flat_from(session_minutes=session_minutes, opens=opens)
        plan["attempts"] = self.attempts
        plan["fixed_quantity"] = sizing.fixed_quantity
        plan["risk"] = round(sizing.risk_percent * _PER_PERCENT)
        return plan

    def flat_from(self, *, session_minutes: int, opens: time) -> int:
        """The first minute of the session whose cycle sells everything.

        A clock time after the close of a half day counts as one minute before that close, so that one bar stays in
        reserve. Raises `InvalidInput` where that leaves no bar to enter on.
        """
        if isinstance(self.flat_by, time):
            minute = min(_minutes(self.flat_by) - _minutes(opens), session_minutes - 1)
        else:
            minute = session_minutes - self.flat_by
        first = minute - _FILL_LEAD
        if first < 1:
            raise InvalidInput(
                f"flat_by {self.flat_by} leaves no time to trade in a session of {session_minutes} minutes from {opens}",
                where="exit plan",
                mend="Give a time at least 3 minutes after the open",
            )
        return first

    def _target_scale(self) -> int:
        return BASIS_POINTS if self.target_in is TargetIn.R else _PER_PERCENT

    def _check_kinds(self) -> None:
        kinds = {"stop_on": TriggerOn, "target_in": TargetIn, "target_on": TriggerOn, "exit_reasons": ExitReason}
        for name, kind in kinds.items():
            if not isinstance(getattr(self, name), kind):
                raise InvalidInput(
                    f"{name} is {getattr(self, name)!r}",
                    where="exit plan",
                    mend=f"Give one of {', '.join(f'{kind.__name__}.{item.name}' for item in kind)}",
                )

    def _check_stop_and_targets(self) -> None:
        if self.stop_percent and self.stop_on is not TriggerOn.CLOSE:
            raise InvalidInput(
                f"stop_percent is {self.stop_percent} with stop_on touch",
                where="exit plan",
                mend="Set stop_on to close, or stop_percent to 0 and let the step give the stop",
            )
        _whole(self.stop_percent * _PER_PERCENT, "stop_percent", "exit plan")
        if self.target_on is TriggerOn.TOUCH and self.stop_on is not TriggerOn.TOUCH:
            raise InvalidInput(
                "target_on is touch with stop_on close: a target that rests at the broker stands beside a stop that does",
                where="exit plan",
                mend="Set stop_on to touch, or target_on to close",
            )

    def _check_legs(self) -> None:
        legs = self.scale_outs
        if len(legs) > MAX_LEGS:
            raise InvalidInput(f"scale_outs has {len(legs)} legs", where="exit plan", mend=f"Give at most {MAX_LEGS}")
        for leg in legs:
            _whole(leg.fraction * BASIS_POINTS, "fraction", "scale-out")
            _whole(leg.target * self._target_scale(), "target", "scale-out")
        if sum(round(leg.fraction * BASIS_POINTS) for leg in legs) > BASIS_POINTS:
            raise InvalidInput(
                "the fractions of scale_outs sum to more than 1", where="exit plan", mend="Give fractions of the entry"
            )
        if any(later.target <= earlier.target for earlier, later in pairwise(legs)):
            raise InvalidInput(
                "the targets of scale_outs do not rise", where="exit plan", mend="Order the legs by target"
            )
        for name in ("breakeven_after", "trail_after"):
            if getattr(self, name) > len(legs):
                raise InvalidInput(
                    f"{name} is {getattr(self, name)}, outside [0, {len(legs)}]: the plan has {len(legs)} legs",
                    where="exit plan",
                    mend="Add legs to scale_outs, or lower it",
                )

    def _check_flat_by(self) -> None:
        flat_by: object = self.flat_by
        if isinstance(flat_by, time):
            if flat_by.second or flat_by.microsecond or flat_by.tzinfo is not None:
                raise InvalidInput(
                    f"flat_by is {flat_by}", where="exit plan", mend="Give whole minutes of exchange time, no time zone"
                )
        elif isinstance(flat_by, bool) or not isinstance(flat_by, int) or not 0 <= flat_by <= SESSION_MINUTES - 10:
            raise InvalidInput(
                f"flat_by is {flat_by!r}, outside [0, {SESSION_MINUTES - 10}]",
                where="exit plan",
                mend="Give an exchange clock time, or whole minutes before the close",
            )


def _minutes(clock: time) -> int:
    return clock.hour * 60 + clock.minute


def _whole(scaled: float, name: str, where: str) -> None:
    """Refuse a number that the kernel's whole units cannot hold: rounding it would trade something else."""
    if abs(scaled - round(scaled)) > 1e-6:
        raise InvalidInput(f"{name} has too many decimals", where=where, mend="Give at most 4 decimals, 2 in percent")
