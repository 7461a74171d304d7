"""The risk limits as the record that compiled rules read."""

from decimal import Decimal
from math import lcm
from typing import Any, Final

import numpy.typing as npt

from trading_platform.config.settings import Limits
from trading_platform.domain.compiled import empty_records
from trading_platform.domain.decisions import OrderShape
from trading_platform.domain.money import BASIS_POINTS, units_from_dollars
from trading_platform.domain.records import limits_t

_PERCENT: Final = {
    "position_size": "max_position_size_pct",
    "buying_power": "buying_power_pct",
    "daily_loss": "max_daily_loss_pct",
    "strategy_daily_loss": "max_strategy_daily_loss_pct",
    "drawdown": "max_drawdown_pct",
    "collar": "price_collar_pct",
    "collar_mid": "price_collar_mid_pct",
    "collar_low": "price_collar_low_pct",
    "day_volume": "max_adv_share_pct",
    "minute_volume": "max_minute_volume_pct",
    "gross": "max_gross_exposure_pct",
    "net": "max_net_exposure_pct",
}
"""Fields in basis points, and the settings in percent that they come from."""

_WHOLE: Final = {
    "reference_age": "reference_age_seconds",
    "order_shares": "max_order_shares",
    "closing_minutes": "closing_minutes",
    "positions": "max_positions",
    "orders_second": "max_orders_per_second",
    "orders_minute": "max_orders_per_minute",
    "orders_day": "max_orders_per_day",
    "strategy_orders_day": "max_strategy_orders_per_day",
    "duplicate_window": "duplicate_window_seconds",
    "entries_day": "max_entries_per_day",
    "open_orders": "max_open_orders",
    "side_orders": "max_open_orders_per_side",
    "order_age": "max_order_age_minutes",
    "clock_skew": "max_clock_skew_ms",
}
"""Fields that are the setting as it is."""


def to_record(limits: Limits, shapes: OrderShape, venue_lot: int = 1) -> npt.NDArray[Any]:
    """One record of `limits_t`. Percentages become basis points, dollars become units.

    Args:
        limits: What a person has set. The list of restricted symbols is not in the record: it is a fact on a symbol.
        shapes: What the venue takes.
        venue_lot: Shares in the venue's own lot: a quantity is in whole lots of both.
    """
    record = empty_records(1, limits_t)
    row = record[0]
    for field, setting in _PERCENT.items():
        row[field] = _basis_points(getattr(limits, setting))
    for field, setting in _WHOLE.items():
        row[field] = getattr(limits, setting)
    row["order_notional"] = units_from_dollars(limits.max_order_notional)
    row["leverage"] = int(limits.max_leverage * BASIS_POINTS)
    row["shapes"] = shapes
    row["lot"] = lcm(limits.lot, venue_lot)
    return record


def _basis_points(percent: Decimal) -> int:
    return int(percent * 100)
