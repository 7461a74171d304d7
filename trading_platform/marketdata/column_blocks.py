"""One month of bar columns on disk: a file a column, written once and read by mapping it into memory.

    open.npy, high.npy, low.npy, close.npy, volume.npy  float64 [symbols, sessions, 390]
    days.npy                                            day_t [symbols, sessions]
    counts.npy                                          int16 [symbols, sessions]: bars; -1 where none was asked for
    digests.npy                                         uint8 [symbols, sessions, 16]: BLAKE2b of a cell

A cell is one symbol's session: its row in each column and its day record. The files are NumPy's own, so that other
programs can read them. Rows are appended group by group, so that a month of a whole market is never in memory. Which
blocks there are is `column_catalogue`'s.
"""

import hashlib
import math
import mmap
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt

from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.records import SESSION_MINUTES, day_t
from trading_platform.marketdata.column_maker import COLUMNS
from trading_platform.marketdata.columns import Column
from trading_platform.marketdata.providers.file_access import unreadable

NOT_ASKED: Final = -1
"""The count of a cell that no import asked for: a symbol that was added for other sessions only."""

MEND_BLOCK: Final = "Import all symbols and sessions of its month again, as a replacement, or all into a new folder"
DIGEST: Final = 16
_DAYS: Final = "days"
_COUNTS: Final = "counts"
_DIGESTS: Final = "digests"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cells:
    """Rows of a block, in memory or mapped: the columns by name, and the rest as the module's docstring says."""

    columns: dict[str, Column]
    days: Column
    counts: npt.NDArray[np.int16]
    digests: npt.NDArray[np.uint8]


class BlockWriter:
    """Writes a block into a folder that nobody reads yet, some rows at a time, in the symbols' order.

    Args:
        folder: is made; it must not be there.
        shape: symbols and sessions of the whole block.

    Methods raise OSError where the disk does not take it.
    """

    def __init__(self, folder: Path, shape: tuple[int, int]) -> None:
        folder.mkdir()
        self._open = ExitStack()
        self._files = {
            name: _begin(self._open.enter_context((folder / f"{name}.npy").open("wb")), dtype, (*shape, *more))
            for name, (dtype, more) in _layout().items()
        }

    def append(self, cells: Cells) -> None:
        """Add the rows of the next symbols."""
        for name, array in _by_file(cells).items():
            self._files[name].write(np.ascontiguousarray(array).view(np.uint8).data)

    def finish(self) -> None:
        """Have all of it written down."""
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())
        self._open.close()

    def close(self) -> None:
        """Close the files, whatever is in them."""
        self._open.close()


def map_block(folder: Path, shape: tuple[int, int]) -> Cells:
    """The cells of a block, mapped: nothing is read before it is looked at, and nothing can be changed.

    Args:
        folder: the block's.
        shape: its symbols and sessions, as the catalogue says.

    Raises:
        InvalidInput: A file is missing, cut short, or not what the catalogue says.
    """
    found = {name: _mapped(folder / f"{name}.npy", dtype, (*shape, *more)) for name, (dtype, more) in _layout().items()}
    return Cells(
        columns={name: found[name] for name in COLUMNS},
        days=found[_DAYS],
        counts=found[_COUNTS],
        digests=found[_DIGESTS],
    )


def map_counts(folder: Path, shape: tuple[int, int]) -> npt.NDArray[np.int16]:
    """The counts of a block alone. Raises as `map_block`."""
    dtype, _ = _layout()[_COUNTS]
    return _mapped(folder / f"{_COUNTS}.npy", dtype, shape)


def count_bars(columns: dict[str, Column]) -> npt.NDArray[np.int16]:
    """The bars of each cell: int16 [symbols, sessions]."""
    return np.asarray((~np.isnan(columns["close"])).sum(axis=2), np.int16)


def digest_cells(columns: dict[str, Column], days: Column) -> npt.NDArray[np.uint8]:
    """The digest of each cell: uint8 [symbols, sessions, 16]."""
    digests = np.zeros((*days.shape, DIGEST), np.uint8)
    for cell in np.ndindex(days.shape):
        found = hashlib.blake2b(digest_size=DIGEST)
        for name in COLUMNS:
            found.update(np.ascontiguousarray(columns[name][cell]).data)
        found.update(days[cell].tobytes())
        digests[cell] = np.frombuffer(found.digest(), np.uint8)
    return digests


def _layout() -> dict[str, tuple[np.dtype[Any], tuple[int, ...]]]:
    """The files of a block by name: what they hold, and the shape of a cell of them."""
    return {
        **{name: (np.dtype("<f8"), (SESSION_MINUTES,)) for name in COLUMNS},
        _DAYS: (day_t, ()),
        _COUNTS: (np.dtype("<i2"), ()),
        _DIGESTS: (np.dtype("u1"), (DIGEST,)),
    }


def _by_file(cells: Cells) -> dict[str, npt.NDArray[Any]]:
    return {**cells.columns, _DAYS: cells.days, _COUNTS: cells.counts, _DIGESTS: cells.digests}


def _begin(file: BinaryIO, dtype: np.dtype[Any], shape: tuple[int, ...]) -> BinaryIO:
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file


def _mapped(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    try:
        with path.open("rb") as file:
            start = _start(path, file, dtype, shape)
            size = start + math.prod(shape) * dtype.itemsize
            if os.fstat(file.fileno()).st_size != size:
                raise _damaged(path, f"has {os.fstat(file.fileno()).st_size:,} bytes, not {size:,}: it is cut short")
            # Asking for all pages at once (MAP_POPULATE) was tried: reading then took half as long again.
            pages = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        raise _damaged(path, "is not there, or not any more: another import may just have replaced it") from None
    except OSError as error:
        raise unreadable(path, error) from error
    return np.frombuffer(pages, dtype, math.prod(shape), start).reshape(shape)


def _start(path: Path, file: BinaryIO, dtype: np.dtype[Any], shape: tuple[int, ...]) -> int:
    """Where the numbers begin. Raises `InvalidInput` if the header is not that of such an array."""
    try:
        np.lib.format.read_magic(file)
        found = np.lib.format.read_array_header_1_0(file)
    except ValueError as error:
        raise _damaged(path, "cannot be read as a NumPy file") from error
    if found != (shape, False, np.lib.format.descr_to_dtype(np.lib.format.dtype_to_descr(dtype))):
        raise _damaged(path, f"holds an array of {found[0]}, and the catalogue says {shape}")
    return file.tell()


def _damaged(path: Path, what: str) -> InvalidInput:
    return InvalidInput(what, where=str(path), mend=MEND_BLOCK)


def damaged_cells(cells: Cells) -> Iterator[tuple[int, int]]:
    """The cells, as row and session, whose bars are not those that were written."""
    for row in range(len(cells.days)):
        own = {name: column[row : row + 1] for name, column in cells.columns.items()}
        found = digest_cells(own, cells.days[row : row + 1])[0]
        for place in np.flatnonzero((found != cells.digests[row]).any(axis=1)).tolist():
            yield row, place
