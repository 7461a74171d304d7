"""Drawdowns: how deep a curve fell below its highest point so far, from when to when.

The curve may be of sessions or of minutes; dates and returns are others' business.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Curve = npt.NDArray[Any]
"""Values of one account or price, oldest first, the first one positive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawdown:
    """The deepest fall of a curve, by places in it.

    Attributes:
        depth: Share of the peak, not negative; above 1 where an account lost more than it had. 0: it never fell.
        peak: The place of the highest point before it, the last such.
        trough: The place of its lowest point, the first such.
        recovered: The place at which the peak was reached again; None if it was not.
        longest: The most points in a row, of any fall, from a peak until it was reached again or the curve ended.
    """

    depth: float
    peak: int
    trough: int
    recovered: int | None
    longest: int


def underwater(curve: Curve) -> npt.NDArray[np.float64]:
    """The fall below the highest point so far at each point, as a share of it: float64, not negative."""
    highest = np.maximum.accumulate(curve)
    return np.asarray((highest - curve) / highest, np.float64)


def deepest(curve: Curve) -> Drawdown:
    """The deepest of a curve's drawdowns, the first of equal ones."""
    falls = underwater(curve)
    # From the values themselves: a share may round to 0.
    is_peak = curve == np.maximum.accumulate(curve)
    peaks = np.flatnonzero(is_peak)
    trough = int(np.argmax(falls))
    after = peaks[peaks > trough]
    return Drawdown(
        depth=float(falls[trough]),
        peak=int(peaks[peaks <= trough][-1]),
        trough=trough,
        recovered=int(after[0]) if after.size and falls[trough] > 0 else None,
        longest=_longest(peaks, curve.size - 1),
    )


def _longest(peaks: npt.NDArray[np.intp], last: int) -> int:
    """From one peak to the next there is no fall if they follow each other."""
    gaps = np.diff(peaks)
    recovered = int(gaps.max()) if gaps.size else 1
    return max(recovered if recovered > 1 else 0, last - int(peaks[-1]))
