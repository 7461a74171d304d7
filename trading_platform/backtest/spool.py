"""Records of a run that grow with its length, kept while it runs: in memory while they are few, then in a file.

Here belong the keeping and the giving back, in parts of bounded size. What the records are is not known here.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trading_platform.backtest.files import unwritable

Records = npt.NDArray[Any]

_IN_MEMORY: Final = 32 * 2**20
_PART: Final = 100_000


class Spool:
    """Records of one type, in the order in which they are added.

    Args:
        dtype: Their type.
        folder: Where the file is made, if there must be one. It goes when the spool does.
    """

    def __init__(self, dtype: np.dtype[Any], folder: Path) -> None:
        self._dtype, self._folder = dtype, folder
        # It is closed by `close`.
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY, dir=str(folder))  # noqa: SIM115
        self.count = 0

    def add(self, records: Records) -> None:
        """Add records. Raises `InvalidInput` where the disk has no room."""
        try:
            self._file.write(np.ascontiguousarray(records).view(np.ndarray).tobytes())
        except OSError as error:
            raise unwritable(self._folder, error) from error
        self.count += records.size

    def parts(self) -> Iterator[tuple[int, Records]]:
        """All that was added, in parts, each with the number of its first record; at least one, which may be empty."""
        first = 0
        self._file.seek(0)
        while chunk := self._file.read(_PART * self._dtype.itemsize):
            yield first, np.frombuffer(chunk, self._dtype)
            first += len(chunk) // self._dtype.itemsize
        if not first:
            yield 0, np.zeros(0, self._dtype)

    def close(self) -> None:
        """Let go of it all."""
        self._file.close()
