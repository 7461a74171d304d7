"""Splits of one symbol, from its LEAN factor file. Dividends, which the file holds too, are left out on purpose.

A strategy compares today's prices with those of the days before, as a trader saw them: a split changes the scale, a
dividend does not. Adjusting for later splits would put prices into a scale that nobody had seen yet.
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

_MEND: Final = "A row is date, price factor, split factor, reference price, such as 20501231,1,1,0"
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
        place = bisect_left(self.days, day)
        if place == len(self.days):
            raise InvalidInput(f"has no row for {day} or later", where=str(self.path), mend="Add 20501231,1,1,0")
        return self.factors[place]

    def ratio(self, day: date, session: date) -> Fraction:
        """What a price of `day` is multiplied by to be in the scale of `session`; a volume is divided by it.

        The file's factors are rounded to eight places, so the ratio of two of them is taken for the simple fraction
        that it stands for: 0.0357143 / 0.25 is 1/7.
        """
        raw = self.factor(day) / self.factor(session)
        simple = raw.limit_denominator(_LARGEST_DENOMINATOR)
        return simple if simple > 0 and abs(simple / raw - 1) < _TOLERANCE else raw


def read_factor_file(path: Path) -> SplitFactors:
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
        raise InvalidInput(f"cannot be read ({error})", where=str(path), mend=_MEND) from error
    rows = [_row(path, number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    days = tuple(day for day, _ in rows)
    if any(later <= earlier for earlier, later in pairwise(days)):
        raise InvalidInput("the dates do not rise", where=str(path), mend="Sort the rows by date")
    return SplitFactors(path=path, days=days, factors=tuple(factor for _, factor in rows))


def _row(path: Path, number: int, line: str) -> tuple[date, Fraction]:
    cells = line.strip().split(",")
    where = f"{path}, row {number}"
    if len(cells) < 3:
        raise InvalidInput(f"has {len(cells)} cells", where=where, mend=_MEND)
    try:
        day = datetime.strptime(cells[0], "%Y%m%d").date()  # noqa: DTZ007 -- a date has no time zone
    except ValueError:
        raise InvalidInput(f"{cells[0]!r} is not a date", where=f"{where}, column date", mend=_MEND) from None
    try:
        factor = Fraction(cells[2])
    except (ValueError, ZeroDivisionError):
        factor = Fraction(0)
    if factor <= 0:
        raise InvalidInput(f"{cells[2]!r} is not a positive factor", where=f"{where}, column split factor", mend=_MEND)
    return day, factor
