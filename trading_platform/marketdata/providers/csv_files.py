"""A user's own CSV files: a header, then rows with decimal prices.

A file of minute bars has the columns time, open, high, low, close, volume; one of daily bars has date instead of time;
one of splits date and ratio. They come in any order, upper or lower case; others are ignored. A time is ISO 8601, with
an offset from UTC or, without one, as the exchange's clock shows it: one or the other within a file. A ratio is written
as 4, 4:1, 1:10 or 0.1: new shares for an old one.

Prices become units of 1/10,000 dollar, half up: files that went through floating point have more decimals than a price
has. What is malformed is refused with file, row (the header is row 1) and column; nan is left for `quality` to count.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.money import UNITS_PER_DOLLAR
from trading_platform.domain.records import bar_t, daily_t
from trading_platform.marketdata.provider import Source
from trading_platform.marketdata.providers.exchange_times import (
    FIRST_YEAR,
    LAST_YEAR,
    day_number,
    from_day_number,
    from_exchange_time,
)
from trading_platform.marketdata.providers.file_access import MEND_ROW, column_fault, read_text, refuse_rows
from trading_platform.marketdata.providers.splits import Splits, checked_splits
from trading_platform.marketdata.providers.symbol_files import (
    SymbolFiles,
    closed_by,
    require_data_folder,
    require_order,
)

_BAR: Final = ("open", "high", "low", "close", "volume")
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,2})?", re.ASCII)
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.0+)?)?(?P<offset>Z|[+-]\d\d:?\d\d)?", re.ASCII)
_DATE: Final = re.compile(r"(\d{4}-\d\d-\d\d)([T ]00:00(:00(\.0+)?)?(Z|[+-]\d\d:?\d\d)?)?", re.ASCII)
_RATIO: Final = re.compile(r"(\d+(?:\.\d+)?)(?:\s*[:/]\s*(\d+(?:\.\d+)?))?", re.ASCII)
_LARGEST: Final = 10**15
_LOCAL_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 (exchange time, without an offset)


class CsvFiles:
    """A folder of a user's own CSV files as a provider; `symbol_files` says where each lies.

    Args:
        root: the folder that holds `minute`. Raises `InvalidInput` if it does not.
        kept: how many parsed files are kept.
    """

    def __init__(self, root: Path, *, kept: int = 12_000) -> None:
        require_data_folder(root, "CSV")
        self._files = SymbolFiles(root, CsvFormat(), kept=kept)

    @property
    def source(self) -> Source:
        """A user's files, adjusted for splits as of the session."""
        return Source(provider="files", feed="csv", adjustment="split")

    @property
    def symbols(self) -> tuple[str, ...]:
        """Those that have minute bars, in order."""
        return tuple(sorted(self._files.symbols()))

    def minute_bars(self, symbol: str, session: date, until: datetime) -> npt.NDArray[Any]:
        """See `Provider.minute_bars`. Raises `InvalidInput` if the file is malformed or its times go back."""
        return closed_by(self._files.minute_bars(symbol, session), until)

    def daily_bars(self, symbol: str, session: date, count: int) -> npt.NDArray[Any]:
        """See `Provider.daily_bars`. Raises `InvalidInput` for a malformed file, or where splits are not known."""
        return self._files.daily_bars(symbol, session, count)

    def minute_sessions(self, symbol: str, before: date) -> tuple[date, ...]:
        """See `Provider.minute_sessions`. Raises `InvalidInput` as the others."""
        return tuple(sorted(day for day in self._files.minute_sessions(symbol) if day < before))

    def splits(self, symbol: str) -> tuple[tuple[date, Fraction], ...]:
        """See `actions.KnowsSplits`. Raises `InvalidInput` if the file of splits is malformed."""
        return self._files.splits_of(symbol)

    def halted(self, symbol: str, session: date, at: datetime) -> bool:  # noqa: ARG002 (the port's)
        """See `Provider.halted`: never, for the files do not say. A halted symbol has no bars there."""
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """The wanted columns of a file, each a list of texts, and the number of each row in the file."""

    path: Path
    columns: Mapping[str, Sequence[str]]
    rows: npt.NDArray[np.int64]

    def read(self, column: str, cell: Callable[[str], int]) -> npt.NDArray[np.int64]:
        """A column's cells as whole numbers. `cell` raises ValueError saying what a text is not."""
        known: dict[str, int] = {}
        found = np.empty(len(self.rows), np.int64)
        for place, text in enumerate(self.columns[column]):
            value = known.get(text)
            if value is None:
                try:
                    value = known[text] = cell(text.strip())
                except ValueError as error:
                    raise self.refusal(place, column, f"{text!r} is not {error}") from error
                if abs(value) > _LARGEST:
                    raise self.refusal(place, column, f"{text!r} is too large")
            found[place] = value
        return found

    def refusal(self, place: int, column: str, what: str) -> InvalidInput:
        return InvalidInput(what, where=f"{self.path}, row {self.rows[place]}, column {column}", mend=MEND_ROW)


@dataclass(frozen=True, slots=True)
class CsvFormat:
    """How the files are read; see `symbol_files.Format`."""

    suffix: str = field(default=".csv", init=False)

    def minutes(self, path: Path) -> npt.NDArray[Any]:
        """Minute bars. Raises `InvalidInput` naming file, row and column."""
        table = _read(path, ("time", *_BAR))
        bars = np.zeros(len(table.rows), bar_t)
        bars["time"] = _times(table)
        require_order(path, "time", bars["time"], table.rows)
        return _with_bars(bars, table)

    def daily(self, path: Path) -> npt.NDArray[Any]:
        """Daily bars. Raises `InvalidInput` naming file, row and column."""
        table = _read(path, ("date", *_BAR))
        bars = np.zeros(len(table.rows), daily_t)
        bars["day"] = table.read("date", lambda text: day_number(_date(text)))
        require_order(path, "date", bars["day"], table.rows)
        return _with_bars(bars, table)

    def splits(self, path: Path) -> Splits:
        """Splits; none where the file has no rows. Raises `InvalidInput` naming file, row and column."""
        table = _read(path, ("date", "ratio"), may_be_empty=True)
        days = table.read("date", lambda text: day_number(_date(text))).tolist()
        ratios: list[Fraction] = []
        for place, text in enumerate(table.columns["ratio"]):
            try:
                ratios.append(_ratio(text.strip()))
            except ValueError as error:
                raise table.refusal(place, "ratio", f"{text!r} is not {error}") from error
        return checked_splits(path, [from_day_number(day) for day in days], ratios, table.rows.tolist())


def _read(path: Path, wanted: tuple[str, ...], *, may_be_empty: bool = False) -> _Table:
    """The wanted columns of a CSV file, as text."""
    lines = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    cells: list[list[str]] = []
    rows: list[int] = []
    try:
        header = next(lines, [])
        if not header and may_be_empty:
            return _Table(path=path, columns=dict.fromkeys(wanted, ()), rows=np.zeros(0, np.int64))
        places = _places(path, header, wanted)
        for row in _full_rows(path, lines, len(header)):
            cells.append(row)
            rows.append(lines.line_num)
    except csv.Error as error:
        raise InvalidInput(
            f"it is not a row of cells ({error})", where=f"{path}, row {lines.line_num}", mend=MEND_ROW
        ) from error
    columns = {name: [row[place] for row in cells] for name, place in places.items()}
    return _Table(path=path, columns=columns, rows=np.array(rows, np.int64))


def _full_rows(path: Path, lines: Any, width: int) -> Iterator[list[str]]:
    """The rows that are not blank. Raises `InvalidInput` for one with more or fewer cells than the header."""
    for row in lines:
        if not row:
            continue
        if len(row) != width:
            raise InvalidInput(
                f"has {len(row)} cells, and the header has {width}",
                where=f"{path}, row {lines.line_num}",
                mend=MEND_ROW,
            )
        yield row


def _places(path: Path, header: Sequence[str], wanted: tuple[str, ...]) -> dict[str, int]:
    """Where each wanted column stands."""
    names = [name.strip().lower() for name in header]
    twice = sorted({name for name in wanted if names.count(name) > 1})
    missing = [name for name in wanted if name not in names]
    if missing or twice:
        raise InvalidInput(
            f"{column_fault(missing, twice)}; the header is {','.join(header) or 'empty'}",
            where=f"{path}, row 1",
            mend=f"The first row names the columns, separated by commas: {','.join(wanted)}",
        )
    return {name: names.index(name) for name in wanted}


def _with_bars(bars: npt.NDArray[Any], table: _Table) -> npt.NDArray[Any]:
    for name in _BAR:
        bars[name] = table.read(name, _shares if name == "volume" else _units)
    return bars


def _times(table: _Table) -> npt.NDArray[np.int64]:
    """Moments in UTC, whichever of the two ways the file writes them."""
    texts = [text.strip() for text in table.columns["time"]]
    forms = [_TIME.fullmatch(text) for text in texts]
    offset = [form is not None and form["offset"] is not None for form in forms]
    for place, form in enumerate(forms):
        if form is None:
            raise table.refusal(
                place, "time", f"{texts[place]!r} is not a time to the second, such as 2013-10-09 09:30"
            )
        if offset[place] != offset[0]:
            raise table.refusal(
                place,
                "time",
                f"{texts[place]!r} has {'an' if offset[place] else 'no'} offset from UTC, unlike the rows above it",
            )
    values = table.read("time", _seconds)
    if not offset or offset[0]:
        return values
    moments, unclear = from_exchange_time(values)
    refuse_rows(
        table.path, "time", unclear, "is left out or comes twice where the exchange's clock is changed", table.rows
    )
    return moments


def _seconds(text: str) -> int:
    """Seconds since 1970: in UTC where the time has an offset, else as the clock shows it."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("a time, such as 2013-10-09 09:30") from None
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError(f"a time between the years {FIRST_YEAR} and {LAST_YEAR}")
    if moment.tzinfo is None:
        return int((moment - _LOCAL_EPOCH).total_seconds())
    return int(moment.astimezone(UTC).timestamp())


def _date(text: str) -> date:
    form = _DATE.fullmatch(text)
    try:
        return date.fromisoformat(form[1] if form is not None else "")
    except ValueError:
        raise ValueError("a date, such as 2013-10-09") from None


def _ratio(text: str) -> Fraction:
    form = _RATIO.fullmatch(text)
    if form is None or (form[2] is not None and not Fraction(form[2])):
        raise ValueError("a ratio of new shares to old ones, such as 4:1")
    return Fraction(form[1]) / Fraction(form[2] or 1)


def _units(text: str) -> int:
    if text.lower() == "nan":
        return 0
    if _NUMBER.fullmatch(text) is None:
        raise ValueError("a price")
    return int((Decimal(text) * UNITS_PER_DOLLAR).to_integral_value(ROUND_HALF_UP))


def _shares(text: str) -> int:
    if text.lower() == "nan":
        return -1
    value = Decimal(text) if _NUMBER.fullmatch(text) is not None else None
    if value is None or value != value.to_integral_value():
        raise ValueError("a whole number of shares")
    return int(value)
