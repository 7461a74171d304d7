"""A folder of a user's own bars with files for each symbol, whatever their format.

    minute/<SYMBOL>.<suffix>               all days of a symbol, or
    minute/<SYMBOL>/<yyyy-mm-dd>.<suffix>  one file for each day
    daily/<SYMBOL>.<suffix>                daily bars, as they traded: not adjusted for splits
    splits/<SYMBOL>.<suffix>               date and ratio, new shares for an old one; without rows if it never split

Which columns a file has, and how they are read, is the format's. Minute bars are in the scale of their own session.
Where there are daily bars there must be a file of splits: without one nobody knows whether an overnight move was one.
"""

from datetime import date, datetime
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.ids import is_symbol
from trading_platform.domain.records import bar_t, daily_t
from trading_platform.marketdata.providers.exchange_times import day_number, exchange_days, from_day_number
from trading_platform.marketdata.providers.file_access import (
    checked_symbol,
    frozen,
    is_file,
    is_folder,
    names_in,
    refuse_rows,
)
from trading_platform.marketdata.providers.splits import Splits, to_scale_of

NEVER_SPLIT: Final = "For a symbol that has never split, write the file without rows"


class Format(Protocol):
    """How one kind of file is read. Each method raises `InvalidInput` naming file, row and column."""

    @property
    def suffix(self) -> str:
        """How the files' names end, such as `.csv`."""
        ...

    def minutes(self, path: Path) -> npt.NDArray[Any]:
        """Minute bars, records of `bar_t` in the file's order, times that do not go back."""
        ...

    def daily(self, path: Path) -> npt.NDArray[Any]:
        """Daily bars, records of `daily_t` in the file's order, days that do not go back."""
        ...

    def splits(self, path: Path) -> Splits:
        """The splits of one symbol."""
        ...


class SymbolFiles:
    """The files below one folder, by symbol. What is parsed is kept: a file is read once.

    Args:
        root: the folder that holds `minute`.
        form: how its files are read.
        kept: how many files are kept.
    """

    def __init__(self, root: Path, form: Format, *, kept: int = 12_000) -> None:
        self._root, self._form = root, form
        self._minutes = lru_cache(kept)(self._read_minutes)
        self._days = lru_cache(kept)(self._read_days)
        self._daily = lru_cache(kept)(self._read_daily)
        self._splits = lru_cache(kept)(form.splits)

    def symbols(self) -> set[str]:
        """Those that have minute bars."""
        names = (name.removesuffix(self._form.suffix) for name in names_in(self._root / "minute"))
        return {name for name in names if is_symbol(name) and as_day(name) is None}

    def minute_bars(self, symbol: str, session: date) -> npt.NDArray[Any]:
        """The bars of one symbol and exchange day. Raises `InvalidInput` if the file is malformed."""
        path = self._minute_file(symbol)
        if path is None:
            one = self._root / "minute" / symbol / f"{session}{self._form.suffix}"
            return self._minutes(one)
        days = self._days(path)
        number = day_number(session)
        bars: npt.NDArray[Any] = self._minutes(path)[
            np.searchsorted(days, number) : np.searchsorted(days, number, side="right")
        ]
        return bars

    def daily_bars(self, symbol: str, session: date, count: int) -> npt.NDArray[Any]:
        """At most `count` daily bars before `session`, in its scale. Raises `InvalidInput` without a file of splits."""
        bars = self._daily(self._root / "daily" / f"{checked_symbol(symbol)}{self._form.suffix}")
        end = int(np.searchsorted(bars["day"], day_number(session)))
        chosen: npt.NDArray[Any] = bars[max(0, end - count) : end]
        if not len(chosen):
            return chosen.copy()
        path = self._splits_file(symbol)
        if not is_file(path):
            raise InvalidInput("there is no file of splits, so they are not known", where=str(path), mend=NEVER_SPLIT)
        return to_scale_of(session, chosen, self._splits(path).ratio)

    def splits_of(self, symbol: str) -> tuple[tuple[date, Fraction], ...]:
        """The days of a symbol's splits with new shares for each old one, oldest first; none without a file of them.

        Raises `InvalidInput` if the file is malformed.
        """
        path = self._splits_file(checked_symbol(symbol))
        if not is_file(path):
            return ()
        found = self._splits(path)
        return tuple(zip(found.days, found.ratios, strict=True))

    def minute_sessions(self, symbol: str) -> set[date]:
        """The exchange days for which there are minute bars."""
        path = self._minute_file(symbol)
        if path is not None:
            return {from_day_number(number) for number in np.unique(self._days(path)).tolist()}
        names = names_in(self._root / "minute" / symbol)
        found = (as_day(name.removesuffix(self._form.suffix)) for name in names if name.endswith(self._form.suffix))
        return {day for day in found if day is not None}

    def _splits_file(self, symbol: str) -> Path:
        return self._root / "splits" / f"{symbol}{self._form.suffix}"

    def _minute_file(self, symbol: str) -> Path | None:
        """The file of all days of `symbol`, if it has one. Raises `InvalidInput` if there are files by day as well."""
        folder = self._root / "minute" / checked_symbol(symbol)
        path = folder.with_name(f"{symbol}{self._form.suffix}")
        if not is_file(path):
            return None
        if is_folder(folder):
            raise InvalidInput(
                f"{symbol} has a file of all its days and a folder of days, and it is not clear which one holds",
                where=str(path),
                mend=f"Remove the file, or the folder {folder}",
            )
        return path

    def _read_minutes(self, path: Path) -> npt.NDArray[Any]:
        return frozen(self._form.minutes(path) if is_file(path) else np.zeros(0, bar_t))

    def _read_days(self, path: Path) -> npt.NDArray[np.int64]:
        return exchange_days(self._minutes(path)["time"])

    def _read_daily(self, path: Path) -> npt.NDArray[Any]:
        return frozen(self._form.daily(path) if is_file(path) else np.zeros(0, daily_t))


def require_data_folder(root: Path, kind: str) -> None:
    """Raise `InvalidInput` if `root` does not hold the folder `minute`."""
    if not is_folder(root / "minute"):
        raise InvalidInput(
            f"is not a folder of {kind} files: it holds no folder minute",
            where=str(root),
            mend="Name the folder that contains minute",
        )


def closed_by(bars: npt.NDArray[Any], until: datetime) -> npt.NDArray[Any]:
    """Those of `bars`, in order of time, whose minute had ended by `until`."""
    closed: npt.NDArray[Any] = bars[: np.searchsorted(bars["time"], int(until.timestamp()) - 60, side="right")]
    return closed


def as_day(text: str) -> date | None:
    """The date that a file's name is, or None."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if day.isoformat() == text else None


def require_order(path: Path, column: str, values: npt.NDArray[Any], rows: npt.NDArray[np.int64]) -> None:
    """Raise `InvalidInput` for the first row that lies before the one above it. `rows`: their numbers in the file."""
    back = np.diff(values, prepend=values[:1]) < 0
    refuse_rows(path, column, back, "is before the row above it: the file is not sorted", rows)
