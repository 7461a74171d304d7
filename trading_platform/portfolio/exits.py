"""Exit plans, decided on closed bars: what makes a holding leave, wholly or in part.

Targets that rest at the broker (`target_on` touch, see `legs`) are not decided here at all: what they have sold is read
from the fills, and break-even, trailing and the rest go on from there.

R is the average fill less the initial stop. Everything is compared as whole numbers: with Q shares bought for C in
total, 'the close has reached k R' reads (close x Q - C) x 10,000 >= (C - stop x Q) x k, and nothing is rounded.
"""

from typing import Final

from trading_platform.domain.compiled import compiled
from trading_platform.domain.decisions import ExitCause
from trading_platform.domain.money import BASIS_POINTS
from trading_platform.domain.records import Record
from trading_platform.domain.rounding import float_from_price, share_down
from trading_platform.domain.signals import ExitReason, TargetIn, TriggerOn

_STEP: Final = int(ExitCause.STEP)
_STOP: Final = int(ExitCause.STOP)
_BREAK_EVEN: Final = int(ExitCause.BREAK_EVEN)
_TRAIL: Final = int(ExitCause.TRAIL)
_TIME_STOP: Final = int(ExitCause.TIME_STOP)
_FLAT_BY: Final = int(ExitCause.FLAT_BY)
_INVALIDATED: Final = int(ExitReason.INVALIDATED)
_IN_R: Final = int(TargetIn.R)
_ON_CLOSE: Final = int(TriggerOn.CLOSE)


@compiled
def risked(position: Record, plan: Record) -> int:
    """What the whole entry risked down to its initial stop, in units: R times the entry's quantity."""
    if plan.stop_percent > 0:
        return share_down(position.entry_cost, plan.stop_percent, BASIS_POINTS)
    return position.entry_cost - position.stop * position.entry_quantity


@compiled
def gain_reached(close: int, multiple: int, position: Record, plan: Record) -> bool:
    """Whether `close` lies at least `multiple`/10,000 R above the average fill. Never, where R is not positive."""
    risk = risked(position, plan)
    gain = close * position.entry_quantity - position.entry_cost
    return risk > 0 and gain * BASIS_POINTS >= risk * multiple


@compiled
def target_reached(close: int, leg: int, position: Record, plan: Record) -> bool:
    """Whether `close` has reached the target of scale-out `leg`, from 0."""
    if plan.target_in == _IN_R:
        return gain_reached(close, plan.leg_target[leg], position, plan)
    gain = close * position.entry_quantity - position.entry_cost
    return gain * BASIS_POINTS >= position.entry_cost * plan.leg_target[leg]


@compiled
def leg_quantity(leg: int, position: Record, plan: Record, left: int) -> int:
    """Shares of scale-out `leg`, from 0: its fraction of the entry, at least one; the last of a plan takes the rest."""
    total = 0
    for i in range(leg + 1):
        total += plan.leg_fraction[i]
    if total >= BASIS_POINTS:
        return left
    return max(1, share_down(position.entry_quantity, plan.leg_fraction[leg], BASIS_POINTS))


@compiled
def cause_by_clock(minute: int, position: Record, plan: Record) -> int:
    """Why everything must leave by the clock alone, whether a bar came or not; 0: no reason."""
    if minute >= plan.flat_from:
        return _FLAT_BY
    if (
        plan.time_stop > 0
        and minute - position.filled_minute >= plan.time_stop
        and not gain_reached(position.highest_close, plan.time_stop_progress, position, plan)
    ):
        return _TIME_STOP
    return 0


@compiled
def cause_by_bar(seen: Record, position: Record, plan: Record) -> int:
    """Why everything must leave by what the decided bar showed; 0: no reason."""
    value = seen.close * position.entry_quantity
    if plan.stop_on == _ON_CLOSE and position.entry_cost - value >= risked(position, plan):
        return _STOP
    if plan.breakeven_after >= 0 and position.legs_done >= plan.breakeven_after and value <= position.entry_cost:
        return _BREAK_EVEN
    if plan.trail_level != 0 and position.legs_done >= plan.trail_after:
        level = seen.level1 if plan.trail_level == 1 else seen.level2
        if float_from_price(seen.close) < level:
            return _TRAIL
    reasons = seen.exit & plan.exit_mask
    if reasons & _INVALIDATED and seen.invalidates != position.setup:
        reasons -= _INVALIDATED
    if reasons != 0:
        return _STEP
    return 0
