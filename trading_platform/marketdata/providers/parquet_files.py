"""Parquet files as a provider: sessions as the bar store keeps them, and a user's own files for each symbol.

    minute/<yyyy-mm-dd>.parquet  a session's bars of many symbols: symbol, time, open, high, low, close, volume
    daily/<yyyy-mm-dd>.parquet   the daily bars known on that session's morning, in its scale: symbol, date, ...

or, without the column symbol, the layout of `symbol_files`. Where a symbol has files of its own, they hold. Prices are
dollars, whatever their type; `parquet_columns` says what else a column may be. A session's file has the daily bars in
its own scale already, so it needs no splits.
"""

from dataclasses import dataclass, field
from datetime import date, datetime
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trading_platform.domain.records import bar_t
from trading_platform.marketdata.provider import Source
from trading_platform.marketdata.providers.exchange_times import from_day_number
from trading_platform.marketdata.providers.file_access import checked_symbol, frozen, is_file, names_in, unreadable
from trading_platform.marketdata.providers.parquet_columns import (
    PRICES,
    dates,
    moments,
    names_of,
    opened,
    prices,
    ratios,
    volumes,
)
from trading_platform.marketdata.providers.splits import Splits, checked_splits
from trading_platform.marketdata.providers.symbol_files import (
    SymbolFiles,
    as_day,
    closed_by,
    require_data_folder,
    require_order,
)
from trading_platform.marketdata.session_files import (
    DAILY,
    MINUTE,
    SUFFIX,
    SYMBOLS_IN_A_GROUP,
    Contents,
    Kind,
    contents,
    joined,
    read_group,
)


class ParquetFiles:
    """A folder of Parquet files, such as a `store.BarStore`, as a provider. What is read is kept.

    What is stored while a process runs is seen as a new session; a file that was read is not read again.

    Args:
        root: the folder that holds `minute`. Raises `InvalidInput` if it does not.
        kept: how many symbol days are kept; the default holds the whole market's session.
    """

    def __init__(self, root: Path, *, kept: int = 12_000) -> None:
        require_data_folder(root, "Parquet")
        self._root = root
        self._own = SymbolFiles(root, ParquetFormat(), kept=kept)
        self._contents = lru_cache(10_000)(self._read_contents)
        self._group = lru_cache(max(1, 2 * kept // SYMBOLS_IN_A_GROUP))(self._read_group)
        self._bars = lru_cache(2 * kept)(self._collect)
        self._listed: tuple[int, tuple[date, ...], frozenset[str]] | None = None

    @property
    def source(self) -> Source:
        """What the stored bars came from; of a user's own files, that they are such."""
        for day in reversed(self._listing()[0]):
            header = self._contents(MINUTE, day).header
            if header is not None:
                return header.source
        return Source(provider="files", feed="parquet", adjustment="split")

    @property
    def symbols(self) -> tuple[str, ...]:
        """Those that have minute bars, in order."""
        days, own = self._listing()
        return tuple(sorted(own.union(*(self._contents(MINUTE, day).symbols for day in days))))

    def minute_bars(self, symbol: str, session: date, until: datetime) -> npt.NDArray[Any]:
        """See `Provider.minute_bars`. Raises `InvalidInput` if the file is malformed or its times go back."""
        days, own = self._listing()
        if checked_symbol(symbol) in own:
            return closed_by(self._own.minute_bars(symbol, session), until)
        return closed_by(self._bars(MINUTE, session, symbol) if session in days else np.zeros(0, bar_t), until)

    def daily_bars(self, symbol: str, session: date, count: int) -> npt.NDArray[Any]:
        """See `Provider.daily_bars`. Raises `InvalidInput` for a malformed file, or where splits are not known."""
        if checked_symbol(symbol) in self._listing()[1] or not is_file(self._path(DAILY, session)):
            return self._own.daily_bars(symbol, session, count)
        bars = self._bars(DAILY, session, symbol)
        return bars[max(0, len(bars) - max(0, count)) :].copy()

    def minute_sessions(self, symbol: str, before: date) -> tuple[date, ...]:
        """See `Provider.minute_sessions`. Raises `InvalidInput` as the others."""
        days, own = self._listing()
        if checked_symbol(symbol) in own:
            return tuple(sorted(day for day in self._own.minute_sessions(symbol) if day < before))
        return tuple(day for day in days if day < before and self._contents(MINUTE, day).has(symbol))

    def splits(self, symbol: str) -> tuple[tuple[date, Fraction], ...]:
        """See `actions.KnowsSplits`; none of a symbol that lies in sessions' files, which do not tell of any.

        Raises `InvalidInput` if the file of splits is malformed.
        """
        return self._own.splits_of(symbol)

    def halted(self, symbol: str, session: date, at: datetime) -> bool:  # noqa: ARG002 (the port's)
        """See `Provider.halted`: never, for the files do not say. A halted symbol has no bars there."""
        return False

    def _path(self, kind: Kind, day: date) -> Path:
        return self._root / kind.name / f"{day}{SUFFIX}"

    def _listing(self) -> tuple[tuple[date, ...], frozenset[str]]:
        """The days that have a session's file, and the symbols that have files of their own.

        The folder is asked for at every bar; it is listed again where something was put into it or taken out.
        """
        folder = self._root / "minute"
        try:
            stamp = folder.stat().st_mtime_ns
        except OSError as error:
            raise unreadable(folder, error) from error
        if self._listed is None or self._listed[0] != stamp:
            names = [name.removesuffix(SUFFIX) for name in names_in(folder) if name.endswith(SUFFIX)]
            days = sorted(day for day in map(as_day, names) if day is not None)
            self._listed = stamp, tuple(days), frozenset(self._own.symbols())
        return self._listed[1:]

    def _read_contents(self, kind: Kind, day: date) -> Contents:
        return contents(self._path(kind, day), kind, day)

    def _read_group(self, kind: Kind, day: date, number: int) -> dict[str, npt.NDArray[Any]]:
        return read_group(self._path(kind, day), kind, number)

    def _collect(self, kind: Kind, day: date, symbol: str) -> npt.NDArray[Any]:
        within = self._contents(kind, day)
        if not within.has(symbol):
            return frozen(np.zeros(0, kind.dtype))
        groups = (self._group(kind, day, number) for number in within.groups_of(symbol))
        bars = joined([group[symbol] for group in groups if symbol in group])
        require_order(self._path(kind, day), kind.when, bars[kind.field], np.arange(1, len(bars) + 1))
        return bars


@dataclass(frozen=True, slots=True)
class ParquetFormat:
    """How a symbol's own Parquet files are read; see `symbol_files.Format`."""

    suffix: str = field(default=SUFFIX, init=False)

    def minutes(self, path: Path) -> npt.NDArray[Any]:
        """Minute bars. Raises `InvalidInput` naming file, row and column."""
        return _bars(path, MINUTE)

    def daily(self, path: Path) -> npt.NDArray[Any]:
        """Daily bars. Raises `InvalidInput` naming file, row and column."""
        return _bars(path, DAILY)

    def splits(self, path: Path) -> Splits:
        """Splits; none where the file has no rows. Raises `InvalidInput` naming file, row and column."""
        with opened(path) as file:
            names = names_of(path, file.schema_arrow.names, ("date", "ratio"))
            table = file.read(list(names.values()))
            days = dates(path, names["date"], table[names["date"]])
            found = ratios(path, names["ratio"], table[names["ratio"]])
        rows = range(1, len(found) + 1)
        return checked_splits(path, [from_day_number(day) for day in days.tolist()], found, rows)


def _bars(path: Path, kind: Kind) -> npt.NDArray[Any]:
    read = moments if kind is MINUTE else dates
    with opened(path) as file:
        names = names_of(path, file.schema_arrow.names, (kind.when, *PRICES, "volume"))
        table = file.read(list(names.values()))
        bars = np.zeros(table.num_rows, kind.dtype)
        bars[kind.field] = read(path, names[kind.when], table[names[kind.when]])
        for name in PRICES:
            bars[name] = prices(path, names[name], table[names[name]])
        bars["volume"] = volumes(path, names["volume"], table[names["volume"]])
    require_order(path, names[kind.when], bars[kind.field], np.arange(1, len(bars) + 1))
    return bars
