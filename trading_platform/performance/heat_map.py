"""The returns of the months as a map of colours, a row for each year: for the page and for the picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from math import prod
from typing import Final

from trading_platform.performance import wording
from trading_platform.performance.returns import MonthlyReturn

MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_FULL: Final = 0.10
_GREEN: Final = (46, 160, 98)
_RED: Final = (214, 84, 70)
_WHITE: Final = 255
# Less than 1: small returns are to be told apart. And never so full that black text on it is hard to read.
_CURVE: Final = 0.6
_FULLEST: Final = 0.75


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A month's or a year's return in words, and its colour as #rrggbb."""

    text: str
    colour: str


def heat_map(months: Sequence[MonthlyReturn]) -> tuple[tuple[str, tuple[Cell, ...]], ...]:
    """For each year its name and 13 cells: its months, empty where the run has none, and what they came to together.

    Args:
        months: In the order of time.
    """
    rows = []
    for year, of_year in groupby(months, key=lambda one: one.year):
        found = {one.month: one.total_return for one in of_year}
        known = [value for value in found.values() if value is not None]
        whole = prod(1 + value for value in known) - 1 if len(known) == len(found) else None
        cells = [_cell(found[month]) if month in found else _EMPTY for month in range(1, len(MONTHS) + 1)]
        rows.append((str(year), (*cells, _cell(whole))))
    return tuple(rows)


def colour(share: float) -> str:
    """Green above 0, red below, the fuller the further, fullest from 10 % on; #rrggbb."""
    full = _GREEN if share > 0 else _RED
    weight = min(abs(share) / _FULL, 1.0) ** _CURVE * _FULLEST
    return "#" + "".join(f"{round(_WHITE + (part - _WHITE) * weight):02x}" for part in full)


def _cell(share: float | None) -> Cell:
    if share is None:
        return Cell(text=wording.UNDEFINED, colour="#ffffff")
    return Cell(text=wording.percent(share, 1), colour=colour(share))


_EMPTY: Final = Cell(text="", colour="#ffffff")
