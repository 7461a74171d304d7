"""Bars from files in the layout of QuantConnect's LEAN: zips of CSV under `equity/usa`.

Prices there are in 1/10,000 dollar, as in the kernel, so nothing is rounded but the split adjustment of daily bars.
Minute bars are in their own session's scale already. A file that is not what it should be stops the caller, with the
file, row and column named, and so does one that cannot be read; a number that says that there is none (nan) is left for
`quality` to refuse and count.
Ticker changes (map_files) are not followed: a symbol is its file's name.
"""

from datetime import date, datetime, timedelta
from datetime import time as clock_time
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.calendars.sessions import exchange_moment
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.ids import is_symbol
from trading_platform.domain.records import bar_t, daily_t
from trading_platform.marketdata.actions import CorporateAction
from trading_platform.marketdata.provider import Source
from trading_platform.marketdata.providers.csv_rows import parse_rows, read_zip
from trading_platform.marketdata.providers.factor_file import read_factor_file
from trading_platform.marketdata.providers.file_access import (
    checked_symbol,
    frozen,
    is_file,
    is_folder,
    names_in,
    refuse_rows,
)
from trading_platform.marketdata.providers.lean_actions import read_actions
from trading_platform.marketdata.providers.splits import to_scale_of

_MINUTE_COLUMNS: Final = ("time", "open", "high", "low", "close", "volume")
_DAILY_COLUMNS: Final = ("date", *_MINUTE_COLUMNS[1:])
_PRICES: Final = _MINUTE_COLUMNS[1:5]
_MILLISECONDS: Final = 86_400_000
_EPOCH: Final = date(1970, 1, 1)
_TRADE: Final = "_trade.zip"


class LeanFiles:
    """A LEAN data folder as a provider. Parsed files are kept: a file is read once by a process.

    Args:
        root: the folder that holds `equity/usa`.
        kept: how many symbol days are kept; the default holds the whole market's session.
    """

    def __init__(self, root: Path, *, kept: int = 12_000) -> None:
        self._home = root / "equity" / "usa"
        if not is_folder(self._home / "minute"):
            raise InvalidInput(
                "is not a LEAN data folder: it holds no equity/usa/minute",
                where=str(root),
                mend="Name the folder that contains equity",
            )
        self._minutes = lru_cache(kept)(self._read_minutes)
        self._daily = lru_cache(kept)(self._read_daily)
        self._factors = lru_cache(kept)(read_factor_file)

    @property
    def source(self) -> Source:
        """LEAN's files: consolidated trades, adjusted for splits as of the session."""
        return Source(provider="files", feed="lean", adjustment="split")

    @property
    def symbols(self) -> tuple[str, ...]:
        """Those for which there is a folder of minute bars, in order."""
        names = (name.upper() for name in names_in(self._home / "minute"))
        return tuple(sorted(name for name in names if is_symbol(name)))

    def minute_bars(self, symbol: str, session: date, until: datetime) -> npt.NDArray[Any]:
        """See `Provider.minute_bars`. Raises `InvalidInput` if the file is malformed or its times do not rise."""
        bars = self._minutes(_file_name(symbol), session)
        closed: npt.NDArray[Any] = bars[: np.searchsorted(bars["time"], int(until.timestamp()) - 60, side="right")]
        return closed

    def daily_bars(self, symbol: str, session: date, count: int) -> npt.NDArray[Any]:
        """See `Provider.daily_bars`. Raises `InvalidInput` for a malformed file or a missing factor file."""
        bars = self._daily(_file_name(symbol))
        end = int(np.searchsorted(bars["day"], (session - _EPOCH).days))
        chosen: npt.NDArray[Any] = bars[max(0, end - count) : end]
        if not len(chosen):
            return chosen.copy()
        factors = self._factors(self._factor_file(symbol))
        return to_scale_of(session, chosen, factors.ratio)

    def minute_sessions(self, symbol: str, before: date) -> tuple[date, ...]:
        """See `Provider.minute_sessions`: the days for which there is a file. Raises `InvalidInput` as the others."""
        folder = self._home / "minute" / _file_name(symbol)
        stamps = (name.removesuffix(_TRADE) for name in names_in(folder) if name.endswith(_TRADE))
        days = (_day(int(stamp)) for stamp in stamps if stamp.isascii() and stamp.isdigit())
        return tuple(sorted(day for day in days if day is not None and day < before))

    def halted(self, symbol: str, session: date, at: datetime) -> bool:  # noqa: ARG002 (the port's)
        """See `Provider.halted`: never, for the files do not say. A halted symbol has no bars there."""
        return False

    def corporate_actions(
        self, symbol: str, calendar: ExchangeCalendar, first: date, last: date
    ) -> tuple[CorporateAction, ...]:
        """See `actions.KnowsActions`. Raises `InvalidInput` for a malformed or a missing factor file."""
        return read_actions(symbol, self._factor_file(symbol), calendar, first, last)

    def _factor_file(self, symbol: str) -> Path:
        return self._home / "factor_files" / f"{_file_name(symbol)}.csv"

    def _read_minutes(self, name: str, session: date) -> npt.NDArray[Any]:
        path = self._home / "minute" / name / f"{session:%Y%m%d}{_TRADE}"
        if not is_file(path):
            return frozen(np.zeros(0, bar_t))
        rows = parse_rows(read_zip(path), _MINUTE_COLUMNS, path, _cell)
        times = rows[:, 0]
        refuse_rows(
            path,
            "time",
            (times < 0) | (times >= _MILLISECONDS) | (times % 1000 != 0),
            "is not a whole second of the day, in milliseconds",
        )
        refuse_rows(path, "time", np.diff(times, prepend=0) < 0, "is before the row above it: the file is not sorted")
        bars = np.zeros(len(rows), bar_t)
        bars["time"] = times // 1000 + int(exchange_moment(session, clock_time()).timestamp())
        return frozen(_named(bars, rows))

    def _read_daily(self, name: str) -> npt.NDArray[Any]:
        path = self._home / "daily" / f"{name}.zip"
        if not is_file(path):
            return frozen(np.zeros(0, daily_t))
        rows = parse_rows(read_zip(path).replace(b" 00:00,", b","), _DAILY_COLUMNS, path, _cell)
        stamps = rows[:, 0]
        days = _days(stamps)
        refuse_rows(path, "date", days < 0, "is not a date, such as 20131009 00:00")
        refuse_rows(path, "date", np.diff(days, prepend=-1) < 0, "is before the row above it: the file is not sorted")
        bars = np.zeros(len(rows), daily_t)
        bars["day"] = days
        return frozen(_named(bars, rows))


def _file_name(symbol: str) -> str:
    return checked_symbol(symbol).lower()


def _cell(column: str, text: str) -> int:
    """A cell as a whole number; nan becomes what `quality` refuses. Raises ValueError saying what it is not."""
    bare = text.strip()
    if column in _PRICES and bare.lower() == "nan":
        return 0
    if column == "volume" and bare.lower() == "nan":
        return -1
    if bare.isascii() and bare.removeprefix("-").isdigit():
        return int(bare)
    kinds = {"time": "a time in milliseconds", "date": "a date", "volume": "a number of shares"}
    raise ValueError(kinds.get(column, "a price"))


def _named(bars: npt.NDArray[Any], rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    for column, name in enumerate((*_PRICES, "volume"), start=1):
        bars[name] = rows[:, column]
    return bars


def _day(stamp: int) -> date | None:
    days = int(_days(np.array([stamp]))[0])
    return _EPOCH + timedelta(days=days) if days >= 0 else None


def _days(stamps: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Dates written as the number yyyymmdd, as days since 1970; -1 where the number is no date."""
    within = (stamps >= 19_700_101) & (stamps <= 22_001_231)
    safe = np.where(within, stamps, 19_700_101)
    months = ((safe // 10_000 - 1970) * 12 + safe // 100 % 100 - 1).astype("datetime64[M]")
    days = months.astype("datetime64[D]") + (safe % 100 - 1)
    month_is_real = (safe // 100 % 100 >= 1) & (safe // 100 % 100 <= 12)
    day_is_real = (safe % 100 >= 1) & (days.astype("datetime64[M]") == months)
    return np.where(within & month_is_real & day_is_real, days.astype(np.int64), -1)
