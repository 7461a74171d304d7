"""What the file providers share: which files are there, what a symbol's file is called, and how a failure is said.

What is in a file is known to its format's own module.
"""

import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.ids import is_symbol

MEND_ROW: Final = "Mend the row, or fetch the file again from where it came"


def is_file(path: Path) -> bool:
    """Whether a file is there. Raises `InvalidInput` where that cannot be seen."""
    return _stands(path, stat.S_ISREG)


def is_folder(path: Path) -> bool:
    """Whether a folder is there. Raises `InvalidInput` where that cannot be seen."""
    return _stands(path, stat.S_ISDIR)


def names_in(folder: Path) -> list[str]:
    """What is in a folder; nothing where there is none. Raises `InvalidInput` for one that cannot be read."""
    try:
        return [entry.name for entry in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise unreadable(folder, error) from error


def read_text(path: Path) -> str:
    """A file's text. Raises `InvalidInput` if it cannot be read, or is no UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise unreadable(path, error) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise InvalidInput("it is not text in UTF-8", where=f"{path}, line {line}", mend=MEND_ROW) from error


def unreadable(path: Path, error: OSError) -> InvalidInput:
    """What is raised for a file or folder that the operating system does not give."""
    return InvalidInput(
        f"it cannot be read: {error.strerror}",
        where=str(path),
        mend="Give this account the right to read it and the folders above it, or name another data folder",
    )


def checked_symbol(symbol: str) -> str:
    """`symbol`, which will be part of a path. Raises `InvalidInput` if it is none."""
    if not is_symbol(symbol):
        raise InvalidInput(f"{symbol!r} is not a symbol", mend="A symbol is capitals and digits, such as IBM or BRK.B")
    return symbol


def frozen(bars: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """`bars`, which nobody can change any more: they are kept, and given to many."""
    bars.flags.writeable = False
    return bars


def refuse_rows(
    path: Path, column: str, bad: npt.NDArray[Any], what: str, rows: Sequence[int] | npt.NDArray[Any] | None = None
) -> None:
    """Raise `InvalidInput` for the first row that is `bad`, if any. `rows` are their numbers in the file; else from 1."""
    places = np.flatnonzero(bad)
    if len(places):
        row = int(places[0]) + 1 if rows is None else int(rows[int(places[0])])
        raise InvalidInput(what, where=f"{path}, row {row}, column {column}", mend=MEND_ROW)


def _stands(path: Path, kind: Callable[[int], bool]) -> bool:
    try:
        return kind(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise unreadable(path, error) from error


def column_fault(missing: Sequence[str], twice: Sequence[str]) -> str:
    """What is wrong with the columns of a file: some are missing, or stand there twice."""
    return f"the column {', '.join(missing)} is missing" if missing else f"the column {', '.join(twice)} is there twice"
