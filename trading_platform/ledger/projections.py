"""Positions and cash: folds of a book's fills, never stored.

How a fill changes a book is `accounting`'s; this only hands it the ledger's fills in the order in which they happened.
The compiler comes with `accounting`, so import this module where a fold is made.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from trading_platform.accounting import average_cost
from trading_platform.domain.fills import Fill, Position

if TYPE_CHECKING:
    from trading_platform.ledger.ledger import Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """A book at one moment: positions by strategy and symbol (flat ones included), and cash in dollars."""

    positions: dict[tuple[str, str], Position]
    cash: Decimal


def holdings(opening_cash: Decimal, fills: Iterable[Fill]) -> Holdings:
    """Fold `fills`, oldest first, into positions and cash. Raises `Inconsistent` where more is sold than held."""
    booked = tuple(fills)
    return Holdings(positions=average_cost.fold(booked), cash=average_cost.cash(opening_cash, booked))


class CarriedHoldings:
    """A book's holdings before a moment and now, without reading its whole past each time.

    What came before the moment is folded once. It is folded anew when a fill of that time has come to it, or one of the
    book has been undone: records are only added, so that equal counts are the same fills.
    """

    def __init__(self, ledger: "Ledger") -> None:
        self._ledger = ledger
        self._known: tuple[datetime, tuple[int, int]] | None = None
        self._before = Holdings(positions={}, cash=Decimal(0))

    def at(self, moment: datetime) -> tuple[Holdings, Holdings]:
        """The holdings by fills before `moment`, and by all. Raises as `Ledger.holdings` does."""
        # Counted first: what comes between the two makes the next count another one.
        known = (moment, self._ledger.count_before(moment))
        if known != self._known:
            self._before = holdings(self._ledger.opening_cash(), self._ledger.fills_before(moment))
            self._known = known
        since = self._ledger.fills_since(moment)
        now = Holdings(
            positions=average_cost.fold(since, self._before.positions), cash=average_cost.cash(self._before.cash, since)
        )
        return self._before, now
