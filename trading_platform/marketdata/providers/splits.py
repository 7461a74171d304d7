"""Splits of one symbol, and daily bars put into the scale of a session with them.

Where the ratios come from is known to each format. Minute bars are in their own session's scale and are left alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trading_platform.domain.errors import InvalidInput
from trading_platform.marketdata.providers.file_access import MEND_ROW

_EPOCH: Final = date(1970, 1, 1)
_PRICES: Final = ("open", "high", "low", "close")
_LARGEST_RATIO: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Splits:
    """`ratios[n]` new shares came for each old one on `days[n]`, the first day that traded in the new scale."""

    days: tuple[date, ...]
    ratios: tuple[Fraction, ...]

    def ratio(self, day: date, session: date) -> Fraction:
        """What a price of `day` is multiplied by to be in the scale of a later `session`; a volume is divided by it."""
        found = Fraction(1)
        for split, ratio in zip(self.days, self.ratios, strict=True):
            if day < split <= session:
                found /= ratio
        return found


def checked_splits(path: Path, days: Sequence[date], ratios: Sequence[Fraction], rows: Sequence[int]) -> Splits:
    """Splits as a file has them, with the rows that they stand in.

    Raises `InvalidInput` where the days do not rise or a ratio is none.
    """
    for row, (earlier, later) in zip(rows[1:], pairwise(days), strict=True):
        if later <= earlier:
            raise InvalidInput(
                "is not after the row above it: the file is not sorted",
                where=f"{path}, row {row}, column date",
                mend="Sort the rows by date, one for each split",
            )
    for row, ratio in zip(rows, ratios, strict=True):
        if not Fraction(1, _LARGEST_RATIO) <= ratio <= _LARGEST_RATIO:
            raise InvalidInput(
                f"{float(ratio):g} new shares for an old one are no split",
                where=f"{path}, row {row}, column ratio",
                mend=MEND_ROW,
            )
    return Splits(days=tuple(days), ratios=tuple(ratios))


def to_scale_of(session: date, bars: npt.NDArray[Any], ratio: Callable[[date, date], Fraction]) -> npt.NDArray[Any]:
    """Daily bars (`daily_t`) in the scale of `session`, as a new array: half up to the unit and to the share.

    `ratio(day, session)` is what a price of `day` is multiplied by.
    """
    adjusted = bars.copy()
    ratios = [ratio(_EPOCH + timedelta(days=day), session) for day in bars["day"].tolist()]
    if all(one == 1 for one in ratios):
        return adjusted
    up = np.array([one.numerator for one in ratios], object)
    down = np.array([one.denominator for one in ratios], object)
    for name in _PRICES:
        adjusted[name] = _scaled(bars[name], up, down)
    adjusted["volume"] = _scaled(bars["volume"], down, up)
    return adjusted


def _scaled(values: npt.NDArray[Any], up: npt.NDArray[Any], down: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Multiply by `up` / `down`, half up, in Python's integers: a product may pass 64 bits."""
    return np.asarray((2 * values.astype(object) * up + down) // (2 * down), np.int64)
