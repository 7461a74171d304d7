"""The places that a person named for what a run leaves: whether they can be written is known before it begins.

Here belong the looks at a place, how a folder, a plain table and an object are written, and the sentences about what
cannot be written. What stands in the files is `report`'s and `tables`'.
"""

import csv
import errno
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trading_platform.domain.errors import InvalidInput


def make_folder(folder: Path) -> Path:
    """Make the folder of a report before the run. Raises `InvalidInput` if it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _no_folder(folder, error) from error
    return folder


def require_folder(folder: Path) -> None:
    """Raise `InvalidInput` if a folder cannot be made or written there. Nothing is made: the run may yet be refused."""
    try:
        if folder.exists() and not folder.is_dir():
            raise _fault(errno.EEXIST)
        _require_within(folder)
    except OSError as error:
        raise _no_folder(folder, error) from error


def require_file(path: Path) -> None:
    """Raise `InvalidInput` if a file cannot be written there. Nothing is made: the run may yet be refused."""
    try:
        if path.is_dir():
            raise _fault(errno.EISDIR)
        _require_within(path)
    except OSError as error:
        raise unwritable(path, error) from error


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows, of which there is at least one, as CSV, and make the folder. Raises `InvalidInput` if that fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise unwritable(path, error) from error


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write an object of plain values. Raises `InvalidInput` if that fails."""
    try:
        path.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> InvalidInput:
    """That something cannot be written."""
    return InvalidInput(
        f"it cannot be written: {error.strerror}", where=str(path), mend="Make room, or name another with --out"
    )


def _require_within(path: Path) -> None:
    """Raise OSError if neither the path nor the nearest folder above it that is there may be written."""
    path = path.absolute()
    there = next(place for place in (path, *path.parents) if place.exists())
    if there != path and not there.is_dir():
        raise _fault(errno.ENOTDIR)
    if not os.access(there, os.W_OK):
        raise _fault(errno.EACCES)


def _fault(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def _no_folder(folder: Path, error: OSError) -> InvalidInput:
    return InvalidInput(
        f"the folder cannot be made: {error.strerror}", where=str(folder), mend="Name another with --out"
    )
