"""A long curve by few of its points, so that a plot shows what all of them would.

Which points are kept is said here; what is drawn with them is `plots` and `picture`.
"""

from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

POINTS: Final = 2_000
"""More than a screen has columns, few enough for a page to draw at once."""


def thinned(values: npt.NDArray[Any], points: int = POINTS) -> npt.NDArray[np.intp]:
    """The places of the points to draw, in rising order, about `points` of them at most.

    The first and the last are always kept, and of each of equal stretches between them the lowest and the highest: no
    peak or fall is lost. A curve that is short enough keeps all.
    """
    if values.size <= points:
        return np.arange(values.size)
    edges = np.linspace(0, values.size, points // 2, dtype=np.intp)
    kept = [np.array([0, values.size - 1], np.intp)]
    for begin, end in pairwise(edges.tolist()):
        stretch = values[begin:end]
        kept.append(begin + np.array([stretch.argmin(), stretch.argmax()], np.intp))
    return np.unique(np.concatenate(kept))
