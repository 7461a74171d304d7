"""The LEAN factor file of one symbol: its rows, and the scale of its prices, which its splits make.

Dividends, which the file holds too, are left out of the scale on purpose. A strategy compares today's prices with those
of the days before, as a trader saw them: a split changes the scale, a dividend does not. Adjusting for later splits
would put prices into a scale that nobody had seen yet. What both are as events is said by `lean_actions`.
"""

from bisect import bisect_left
from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Final

from trading_platform.domain.errors import InvalidInput
from trading_platform.marketdata.providers.file_access import unreadable

MEND_FACTOR_ROW: Final = "A row is date, price factor, split factor, reference price, such as 20501231,1,1,0"
_LARGEST_DENOMINATOR: Final = 1_000
_TOLERANCE: Final = Fraction(1, 100_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitFactors:
    """The split factor up to and including each day: a day's factor is that of the first row not before it."""

    path: Path
    days: tuple[date, ...]
    factors: tuple[Fraction, ...]

    def factor(self, day: date) -> Fraction:
        """The factor that holds on `day`. Raises `InvalidInput` if the file ends before it."""
        return self.factors[self._place(day)]

    def ratio(self, day: date, session: date) -> Fraction:
        """What a price of `day` is multiplied by to be in the scale of `session`; a volume is divided by it.

        The file's factors are rounded to eight places, so the ratio of two of them is taken for the simple fraction
        that it stands for: 0.0357143 / 0.25 is 1/7.
        """
        before, after = self._place(day), self._place(session)
        if before == after:
            return Fraction(1)
        raw = self.factors[before] / self.factors[after]
        simple = raw.limit_denominator(_LARGEST_DENOMINATOR)
        return simple if simple > 0 and abs(simple / raw - 1) < _TOLERANCE else raw

    def _place(self, day: date) -> int:
        place = bisect_left(self.days, day)
        if place == len(self.days):
            raise InvalidInput(f"has no row for {day} or later", where=str(self.path), mend="Add 20501231,1,1,0")
        return place


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorRow:
    """One row: its number in the file, its day, its split factor, and its cells as they stand there."""

    number: int
    day: date
    split_factor: Fraction
    cells: tuple[str, ...]


def read_factor_file(path: Path) -> SplitFactors:
    """The splits in a factor file. Raises `InvalidInput` as `read_factor_rows`."""
    rows = read_factor_rows(path)
    return SplitFactors(path=path, days=tuple(row.day for row in rows), factors=tuple(row.split_factor for row in rows))


def read_factor_rows(path: Path) -> tuple[FactorRow, ...]:
    """Read a factor file. Raises `InvalidInput` naming file, row and column if it is missing or malformed."""
    try:
        text = path.read_text(encoding="ascii")
    except FileNotFoundError:
        raise InvalidInput(
            "there is no factor file, so splits are not known",
            where=str(path),
            mend="For a symbol that has never split, one row will do: 20501231,1,1,0",
        ) from None
    except OSError as error:
        raise unreadable(path, error) from error
    except ValueError as error:
        raise InvalidInput(f"cannot be read ({error})", where=str(path), mend=MEND_FACTOR_ROW) from error
    rows = tuple(_row(path, number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip())
    if any(later.day <= earlier.day for earlier, later in pairwise(rows)):
        raise InvalidInput("the dates do not rise", where=str(path), mend="Sort the rows by date")
    return rows


def positive_factor(path: Path, number: int, column: str, text: str) -> Fraction:
    """A cell that is a positive number. Raises `InvalidInput` naming file, row and column."""
    try:
        factor = Fraction(text)
    except (ValueError, ZeroDivisionError):
        factor = Fraction(0)
    if factor <= 0:
        raise InvalidInput(
            f"{text!r} is not a positive factor", where=f"{path}, row {number}, column {column}", mend=MEND_FACTOR_ROW
        )
    return factor


def _row(path: Path, number: int, line: str) -> FactorRow:
    cells = line.strip().split(",")
    where = f"{path}, row {number}"
    if len(cells) < 3:
        raise InvalidInput(f"has {len(cells)} cells", where=where, mend=MEND_FACTOR_ROW)
    try:
        day = datetime.strptime(cells[0], "%Y%m%d").date()  # noqa: DTZ007 -- a date has no time zone
    except ValueError:
        raise InvalidInput(f"{cells[0]!r} is not a date", where=f"{where}, column date", mend=MEND_FACTOR_ROW) from None
    factor = positive_factor(path, number, "split factor", cells[2])
    return FactorRow(number=number, day=day, split_factor=factor, cells=tuple(cells))
