"""What a venue charges, in the subset of Python that compiles: called by the paper exchange and by the backtest's loop.

Here belong fee schedules and the arithmetic of one order's fee. Minimum and maximum are per order, so an execution
pays what the order owes with it less what the order owed before it (Law 9). What a fee does to a book is
`accounting`.
"""

from typing import Any, Final

from trading_platform.domain.compiled import compiled, empty_records
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.money import BASIS_POINTS
from trading_platform.domain.records import fee_schedule_t
from trading_platform.domain.rounding import cents_half_up

_SCHEDULES: Final = {
    # Interactive Brokers, US equities, fixed pricing: 0.005 dollars a share, at least 1 dollar, at most 1 %.
    "ibkr_fixed": (50, 10_000, 100),
    # Alpaca, US equities: no commission.
    "alpaca": (0, 0, 0),
}


def fee_schedule(name: str) -> Any:
    """The `fee_schedule_t` of that name: `ibkr_fixed` or `alpaca`.

    Raises:
        InvalidInput: there is none of that name.
    """
    try:
        per_share, minimum, maximum = _SCHEDULES[name]
    except KeyError:
        raise InvalidInput(
            f"no fee schedule is named {name!r}", where="fees", mend=f"Choose one of: {', '.join(sorted(_SCHEDULES))}"
        ) from None
    schedule = empty_records(1, fee_schedule_t)[0]
    schedule["per_share"], schedule["minimum"], schedule["maximum"] = per_share, minimum, maximum
    return schedule


@compiled
def order_fee(schedule: Any, quantity: int, value: int) -> int:
    """What an order owes once `quantity` shares worth `value` units have filled: units, whole cents, half up.

    The maximum wins over the minimum: 100 shares at 10 cents cost 10 cents, not a dollar. Nothing filled owes nothing.
    """
    by_share = max(quantity * schedule.per_share, schedule.minimum)
    return cents_half_up(min(by_share * BASIS_POINTS, value * schedule.maximum), BASIS_POINTS)


@compiled
def execution_fee(schedule: Any, quantity_before: int, value_before: int, quantity: int, value: int) -> int:
    """What an execution of `quantity` shares worth `value` units adds to its order's fee, in units; never negative.

    `quantity_before` and `value_before` are what the order's earlier executions sum to.
    """
    owed = order_fee(schedule, quantity_before + quantity, value_before + value)
    return owed - order_fee(schedule, quantity_before, value_before)
