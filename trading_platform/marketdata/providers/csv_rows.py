"""Rows of whole numbers in a CSV file, alone or in a zip: a fast path, and a slow one that names the culprit.

It knows what a cell may be, not what a bar is: `lean_files` gives the columns their names and meaning.
"""

import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from trading_platform.domain.errors import InvalidInput
from trading_platform.marketdata.providers.file_access import MEND_ROW, unreadable

Rows = npt.NDArray[np.int64]
_WHOLE_NUMBERS: Final = b"0123456789-,\n"
_LARGEST: Final = 10**15


def read_zip(path: Path) -> bytes:
    """The one CSV file in a zip. Raises `InvalidInput` if the zip cannot be read or does not hold exactly one."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if len(names) != 1:
                raise InvalidInput(
                    f"holds {len(names)} files, not one CSV file", where=str(path), mend="Fetch the file again"
                )
            return archive.read(names[0])
    except PermissionError as error:
        raise unreadable(path, error) from error
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise InvalidInput(
            f"cannot be read as a zip file ({error})", where=str(path), mend="Fetch the file again"
        ) from error


def parse_rows(data: bytes, columns: Sequence[str], path: Path, cell: Callable[[str, str], int]) -> Rows:
    """The cells of `data` as whole numbers: int64 of shape [rows, columns].

    Args:
        data: lines of comma-separated cells.
        columns: the names of the columns, for messages.
        path: where the data comes from, for messages.
        cell: (column, text) -> number, for rows that are not plain whole numbers; raises ValueError saying what the
            text is not.

    Raises:
        InvalidInput: naming the file, row and column.
    """
    data = data.replace(b"\r\n", b"\n").strip(b"\n")
    if not data:
        return np.zeros((0, len(columns)), np.int64)
    fast = _plain(data, len(columns))
    return _by_row(data, columns, path, cell) if fast is None else fast


def _plain(data: bytes, width: int) -> Rows | None:
    if data.translate(None, _WHOLE_NUMBERS):
        return None
    lines = data.count(b"\n") + 1
    cells = data.replace(b"\n", b",").split(b",")
    if len(cells) != lines * width or any(line.count(b",") != width - 1 for line in data.split(b"\n")):
        return None
    try:
        rows = np.array(list(map(int, cells)), np.int64).reshape(lines, width)
    except (ValueError, OverflowError):
        return None
    return rows if np.abs(rows).max() <= _LARGEST else None


def _by_row(data: bytes, columns: Sequence[str], path: Path, cell: Callable[[str, str], int]) -> Rows:
    rows: list[list[int]] = []
    for number, line in enumerate(data.decode("utf-8", "replace").split("\n"), start=1):
        cells = line.split(",")
        if len(cells) != len(columns):
            raise InvalidInput(
                f"has {len(cells)} cells, not {len(columns)} ({', '.join(columns)})",
                where=f"{path}, row {number}",
                mend=MEND_ROW,
            )
        row = []
        for column, text in zip(columns, cells, strict=True):
            try:
                value = cell(column, text)
            except ValueError as error:
                raise InvalidInput(
                    f"{text!r} is not {error}", where=f"{path}, row {number}, column {column}", mend=MEND_ROW
                ) from error
            if abs(value) > _LARGEST:
                raise InvalidInput(
                    f"{text!r} is too large", where=f"{path}, row {number}, column {column}", mend=MEND_ROW
                )
            row.append(value)
        rows.append(row)
    return np.array(rows, np.int64)
