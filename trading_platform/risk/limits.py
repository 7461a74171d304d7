"""The risk limits as the record that compiled rules read."""

from decimal import Decimal
from typing import Any

import numpy.typing as npt

from trading_platform.config.settings import Limits
from trading_platform.domain.compiled import empty_records
from trading_platform.domain.money import units_from_dollars
from trading_platform.domain.records import limits_t


def to_record(limits: Limits) -> npt.NDArray[Any]:
    """One record of `limits_t`. Percentages become basis points, dollars become units."""
    record = empty_records(1, limits_t)
    row = record[0]
    row["reference_age"] = limits.reference_age_seconds
    row["order_shares"] = limits.max_order_shares
    row["order_notional"] = units_from_dollars(limits.max_order_notional)
    row["position_size"] = _basis_points(limits.max_position_size_pct)
    row["buying_power"] = _basis_points(limits.buying_power_pct)
    row["daily_loss"] = _basis_points(limits.max_daily_loss_pct)
    row["strategy_daily_loss"] = _basis_points(limits.max_strategy_daily_loss_pct)
    row["drawdown"] = _basis_points(limits.max_drawdown_pct)
    row["closing_minutes"] = limits.closing_minutes
    row["positions"] = limits.max_positions
    row["lot"] = limits.lot
    return record


def _basis_points(percent: Decimal) -> int:
    return int(percent * 100)
