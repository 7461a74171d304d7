"""The orders that an entry is sent as: one, or with resting targets (`target_on` touch) one for each leg of its plan.

An entry of Q shares goes out in legs. Legs 0 to n - 1 are the plan's scale-outs, of floor(Q x fraction) shares each, in
whole lots and of at least one; the last leg is the rest. Each is an entry of its own with its own attached stop, and
each scale-out with its own attached target: a bracket. So every target and its stop are for exactly the leg's shares,
at every broker and from the first fill on, and what one of them sells the other no longer does.

A target is measured from the price that the entry was decided at, its limit or else the last close, and stays where it
is: it leaves with the entry, before the average fill is known.

Here belong how many legs there are, their shares and their prices. What becomes of them is `kernel` and `exits`; as
intents they are `orders`.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from trading_platform.domain.compiled import compiled
from trading_platform.domain.money import BASIS_POINTS
from trading_platform.domain.records import Record
from trading_platform.domain.rounding import share_down, tick_up
from trading_platform.domain.signals import TargetIn, TriggerOn

_IN_R: Final = int(TargetIn.R)
_ON_TOUCH: Final = int(TriggerOn.TOUCH)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryLeg:
    """One order of an entry: its shares, and the price in dollars of the target beside its stop, None without one."""

    quantity: int
    target: Decimal | None = None


@compiled
def resting_targets(plan: Record) -> int:
    """The most targets that an entry of this plan leaves at the broker."""
    return plan.legs if plan.target_on == _ON_TOUCH else 0


@compiled
def most_orders(plan: Record) -> int:
    """The most orders that an entry of this plan is sent as, whatever its quantity."""
    targets = resting_targets(plan)
    total = 0
    for i in range(targets):
        total += plan.leg_fraction[i]
    return targets + 1 if total < BASIS_POINTS else targets


@compiled
def leg_shares(leg: int, quantity: int, plan: Record, lot: int) -> int:
    """Shares of order `leg`, from 0, of an entry of `quantity` shares; 0: it has no such order.

    `quantity` is in whole lots, and so is every leg. A scale-out whose fractions have come to 1 takes what is left.
    """
    left = quantity
    total = 0
    targets = resting_targets(plan)
    for i in range(targets):
        total += plan.leg_fraction[i]
        shares = left
        if total < BASIS_POINTS:
            part = share_down(quantity, plan.leg_fraction[i], BASIS_POINTS)
            shares = min(left, max(lot, part - part % lot))
        if i == leg:
            return shares
        left -= shares
    return left if leg == targets else 0


@compiled
def orders_of(quantity: int, plan: Record, lot: int) -> int:
    """How many orders an entry of `quantity` shares is sent as: an order without shares is none."""
    count = 0
    while leg_shares(count, quantity, plan, lot) > 0:
        count += 1
    return count


@compiled
def target_price(leg: int, reference: int, stop: int, plan: Record) -> int:
    """Where the target of scale-out `leg` rests, in units, for an entry at `reference` with its initial stop.

    As sell limits are, it is rounded up to the tick, and so lies above the reference by at least one.
    """
    unit = reference - stop if plan.target_in == _IN_R else reference
    return tick_up(reference - (-unit * plan.leg_target[leg]) // BASIS_POINTS)
