"""Fills as the ledger holds them, and positions, which are nothing but folds of fills."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from trading_platform.domain.orders import Execution, Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """One booked execution, with the strategy that its intent belongs to. Prices and fees in dollars.

    `venue` is the broker that reported it, and holds what was bought.
    """

    execution_id: str
    intent_id: str
    strategy: str
    symbol: str
    side: Side
    quantity: int
    price: Decimal
    fee: Decimal
    time: datetime
    venue: str = "paper"


def agrees(execution: Execution, fill: Fill) -> bool:
    """Whether a reported execution is as it was booked."""
    return (
        execution.intent_id,
        execution.symbol,
        execution.side,
        execution.quantity,
        execution.price,
        execution.fee,
    ) == (fill.intent_id, fill.symbol, fill.side, fill.quantity, fill.price, fill.fee)


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """What one strategy holds of one symbol, and what it has made on it so far.

    `cost` is the total cost of `quantity` (average cost is cost / quantity). `realised` is before fees.
    `entry_quantity` and `entry_cost` are what was bought since the position was last flat, `opened_at` when.
    """

    strategy: str
    symbol: str
    quantity: int
    cost: Decimal
    realised: Decimal
    fees: Decimal
    entry_quantity: int
    entry_cost: Decimal
    round_trips: int
    opened_at: datetime | None
    opened_by: str | None
    venue: str | None = None
    """The broker that holds it: where it was opened."""
