"""Positions and cash: folds of a book's fills, never stored.

How a fill changes a book is `accounting`'s; this only hands it the ledger's fills in the order in which they happened.
The compiler comes with `accounting`, so import this module where a fold is made.
"""

from collections.abc import Iterable, Mapping
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
    """A book at one moment: positions by strategy and symbol (flat ones included), and cash in dollars.

    `uncovered` is what was sold and never held, as after a purchase that was busted (`accounting.average_cost`): nothing
    is held there, and `cash` has what it was sold for. It is a break until a person accepts it (`Ledger.accept`).
    """

    positions: Mapping[tuple[str, str], Position]
    cash: Decimal
    uncovered: tuple[Fill, ...] = ()


def holdings(opening_cash: Decimal, fills: Iterable[Fill]) -> Holdings:
    """Fold `fills`, oldest first, into positions and cash."""
    return _go_on(Holdings(positions={}, cash=opening_cash), fills)


def _go_on(before: Holdings, fills: Iterable[Fill]) -> Holdings:
    booked = tuple(fills)
    found = average_cost.fold_covered(
        booked, average_cost.Folded(positions=before.positions, uncovered=before.uncovered)
    )
    return Holdings(positions=found.positions, cash=average_cost.cash(before.cash, booked), uncovered=found.uncovered)


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
        return self._before, _go_on(self._before, self._ledger.fills_since(moment))
