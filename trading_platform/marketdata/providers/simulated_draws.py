"""Where the simulated market's chance comes from: whole numbers that are the same on every machine.

They are drawn from the raw stream of PCG64, which NumPy promises to keep, seeded by a hash of what they are drawn for.
No float and no function of the machine's mathematics library takes part, here or in what is made of them. What the
numbers mean is not known here.
"""

import hashlib
from typing import Final

import numpy as np
import numpy.typing as npt

Whole = npt.NDArray[np.int64]

PPM: Final = 1_000_000
"""Moves, gaps and distances are in parts per million."""


class Draws:
    """A stream of whole numbers, named by what it is drawn for: the same name is the same stream."""

    def __init__(self, *of: object) -> None:
        digest = hashlib.sha256("\x1f".join(map(str, of)).encode()).digest()
        self._generator = np.random.PCG64(int.from_bytes(digest[:16], "big"))

    def below(self, bound: int) -> int:
        """A number from 0 to `bound` - 1."""
        return int(self.many_below(bound, 1)[0])

    def within(self, bound: int) -> int:
        """A number from -`bound` to `bound`, more often near 0."""
        return int(self.many_within(bound, 1)[0])

    def many_below(self, bound: int, count: int) -> Whole:
        """As `below`, of shape [count]."""
        return (self._generator.random_raw(count) >> np.uint64(33)).astype(np.int64) % bound

    def many_within(self, bound: int, count: int) -> Whole:
        """As `within`, of shape [count]."""
        both = self.many_below(bound + 1, 2 * count)
        return both[:count] - both[count:]

    def walk(self, bound: int, count: int, end: int) -> Whole:
        """The sums of `count` numbers `within` the bound, drawn straight so that the last of them is `end`."""
        walk = self.many_within(bound, count).cumsum()
        if count:
            walk -= (walk[-1] - end) * np.arange(1, count + 1) // count
        return walk
