"""Positions and cash: folds of a book's fills, never stored.

How a fill changes a book is `accounting`'s; this only hands it the ledger's fills in the order in which they happened.
The compiler comes with `accounting`, so import this module where a fold is made.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from trading_platform.accounting import average_cost
from trading_platform.domain.fills import Fill, Position


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """A book at one moment: positions by strategy and symbol (flat ones included), and cash in dollars."""

    positions: dict[tuple[str, str], Position]
    cash: Decimal


def holdings(opening_cash: Decimal, fills: Iterable[Fill]) -> Holdings:
    """Fold `fills`, oldest first, into positions and cash. Raises `Inconsistent` where more is sold than held."""
    booked = tuple(fills)
    return Holdings(positions=average_cost.fold(booked), cash=average_cost.cash(opening_cash, booked))
