"""The columns of a Parquet file as arrays, whatever types their writer chose: the one reader of other people's Parquet.

A price is a number of dollars (decimal, floating point or whole) and becomes units of 1/10,000 dollar, half up. A time
is a timestamp: a moment if it has a time zone, else as the exchange's clock shows it. A missing or not-a-number price
becomes 0 and such a volume -1, which `quality` refuses and counts; every other fault is refused here, naming file,
column and row. The one home of pyarrow together with `session_files`, and imported only where a file is read.
"""

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.money import UNITS_PER_DOLLAR
from trading_platform.marketdata.providers.exchange_times import (
    FIRST_YEAR,
    LAST_YEAR,
    from_exchange_time,
)
from trading_platform.marketdata.providers.file_access import MEND_ROW, column_fault, refuse_rows, unreadable

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

PRICES: Final = ("open", "high", "low", "close")
MEND_FILE: Final = "Write the file again, or fetch it again from where it came"
_LARGEST: Final = 10**15
_PRICE_PLACES: Final = 4
_SECONDS: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_DAY: Final = 86_400
_LARGEST_DENOMINATOR: Final = 1_000
_TOLERANCE: Final = 1e-6
_EARLIEST, _LATEST = (int(np.datetime64(f"{year}-01-01", "s").astype(np.int64)) for year in (FIRST_YEAR, LAST_YEAR + 1))


@contextmanager
def opened(path: Path) -> Iterator["pq.ParquetFile"]:
    """A Parquet file, to be read in the block; whatever pyarrow cannot read of it becomes `InvalidInput`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            yield file
    except (pa.ArrowException, OSError, EOFError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise unreadable(path, OSError(error.errno, os.strerror(error.errno))) from error
        first_line = str(error).split("\n", 1)[0]
        raise InvalidInput(
            f"cannot be read as a Parquet file ({first_line})", where=str(path), mend=MEND_FILE
        ) from error


def names_of(path: Path, there: Sequence[str], wanted: Sequence[str]) -> dict[str, str]:
    """What each wanted column is called in the file, upper or lower case. Raises `InvalidInput` naming what is missing."""
    found: dict[str, list[str]] = {name: [one for one in there if one.strip().lower() == name] for name in wanted}
    missing = [name for name, names in found.items() if not names]
    twice = [name for name, names in found.items() if len(names) > 1]
    if missing or twice:
        raise InvalidInput(
            f"{column_fault(missing, twice)}; the file has {', '.join(there) or 'none'}",
            where=str(path),
            mend=f"Write the columns {', '.join(wanted)}",
        )
    return {name: names[0] for name, names in found.items()}


def prices(path: Path, name: str, column: "pa.ChunkedArray", first_row: int = 1) -> npt.NDArray[np.int64]:
    """Prices in units; 0 where there is none."""
    from pyarrow import types

    kind = column.type
    if types.is_decimal(kind):
        values = _decimals(column)
    elif types.is_floating(kind):
        values = _floats(path, name, column, first_row)
    elif types.is_integer(kind):
        values = _integers(path, name, column, first_row)
        refuse_rows(path, name, np.abs(values) > _LARGEST // UNITS_PER_DOLLAR, "is too large", _rows(values, first_row))
        values = values * UNITS_PER_DOLLAR
    else:
        raise _wrong_type(path, name, kind, "prices in dollars: decimal, floating point or whole numbers")
    refuse_rows(path, name, np.abs(values) > _LARGEST, "is too large", _rows(values, first_row))
    values[_nulls(column)] = 0
    return values


def volumes(path: Path, name: str, column: "pa.ChunkedArray", first_row: int = 1) -> npt.NDArray[np.int64]:
    """Volumes in shares; -1 where there is none."""
    from pyarrow import types

    kind = column.type
    if types.is_integer(kind):
        values = _integers(path, name, column, first_row)
        lacking = _nulls(column)
    elif types.is_floating(kind) or types.is_decimal(kind):
        floats = column.cast("float64").to_numpy(zero_copy_only=False)
        lacking = np.isnan(floats)
        floats = np.where(lacking, 0, floats)
        bad = (floats != np.floor(floats)) | (np.abs(floats) > _LARGEST)
        refuse_rows(path, name, bad, "is not a whole number of shares", _rows(floats, first_row))
        values = floats.astype(np.int64)
    else:
        raise _wrong_type(path, name, kind, "whole numbers of shares")
    refuse_rows(path, name, np.abs(values) > _LARGEST, "is too large", _rows(values, first_row))
    values[lacking] = -1
    return values


def ratios(path: Path, name: str, column: "pa.ChunkedArray") -> list[Fraction]:
    """Ratios of splits; 0 where there is none. 0.33333333 stands for a third, as in the files of LEAN."""
    from pyarrow import types

    kind = column.type
    if not (types.is_decimal(kind) or types.is_floating(kind) or types.is_integer(kind)):
        raise _wrong_type(path, name, kind, "numbers of new shares for an old one")
    values = column.cast("float64").fill_null(0.0).to_numpy(zero_copy_only=False)
    return [_simple(value) if math.isfinite(value) else Fraction(0) for value in values.tolist()]


def moments(path: Path, name: str, column: "pa.ChunkedArray", first_row: int = 1) -> npt.NDArray[np.int64]:
    """Moments in seconds since 1970 in UTC."""
    from pyarrow import types

    kind = column.type
    if not types.is_timestamp(kind):
        raise _wrong_type(path, name, kind, "timestamps, with a time zone or in exchange time")
    _refuse_nulls(path, name, column, first_row)
    ticks = _as_int64(column.cast("int64"))
    per_second = _SECONDS[kind.unit]
    rows = _rows(ticks, first_row)
    refuse_rows(path, name, ticks % per_second != 0, "is not a whole second", rows)
    seconds = ticks // per_second
    within = (seconds >= _EARLIEST) & (seconds < _LATEST)
    refuse_rows(path, name, ~within, f"is not between the years {FIRST_YEAR} and {LAST_YEAR}", rows)
    if kind.tz is not None:
        return seconds
    found, unclear = from_exchange_time(seconds)
    refuse_rows(path, name, unclear, "is left out or comes twice where the exchange's clock is changed", rows)
    return found


def dates(path: Path, name: str, column: "pa.ChunkedArray", first_row: int = 1) -> npt.NDArray[np.int64]:
    """Dates as days since 1970; a timestamp without a zone will do if it is a midnight."""
    from pyarrow import types

    kind = column.type
    if types.is_date(kind):
        _refuse_nulls(path, name, column, first_row)
        days = _as_int64(column.cast("date32").cast("int32").cast("int64"))
    elif types.is_timestamp(kind) and kind.tz is None:
        _refuse_nulls(path, name, column, first_row)
        ticks = _as_int64(column.cast("int64"))
        a_day = _SECONDS[kind.unit] * _DAY
        refuse_rows(path, name, ticks % a_day != 0, "is a time and not a date", _rows(ticks, first_row))
        days = ticks // a_day
    else:
        raise _wrong_type(path, name, kind, "dates")
    within = (days * _DAY >= _EARLIEST) & (days * _DAY < _LATEST)
    what = f"is not between the years {FIRST_YEAR} and {LAST_YEAR}"
    refuse_rows(path, name, ~within, what, _rows(days, first_row))
    return days


def _simple(value: float) -> Fraction:
    simple = Fraction(value).limit_denominator(_LARGEST_DENOMINATOR)
    return simple if abs(simple - Fraction(value)) <= abs(value) * _TOLERANCE else Fraction(value)


def _decimals(column: "pa.ChunkedArray") -> npt.NDArray[np.int64]:
    import pyarrow as pa

    scale = column.type.scale
    if scale > _PRICE_PLACES:
        rounded = [
            int((Decimal(value or 0) * UNITS_PER_DOLLAR).to_integral_value(ROUND_HALF_UP))
            for value in column.to_pylist()
        ]
        return np.array([max(-_LARGEST - 1, min(_LARGEST + 1, value)) for value in rounded], np.int64)
    wide = column.cast(pa.decimal128(38, _PRICE_PLACES)).combine_chunks()
    if not len(wide):
        return np.zeros(0, np.int64)
    # Two words of 64 bits, the low one first: a price that fits into the low one has only its sign in the high one.
    words = np.frombuffer(wide.buffers()[1], np.int64).reshape(-1, 2)[wide.offset : wide.offset + len(wide)]
    present = ~_nulls(column)
    fits = words[:, 1] == words[:, 0] >> 63
    return np.where(fits | ~present, words[:, 0], _LARGEST + 1)


def _floats(path: Path, name: str, column: "pa.ChunkedArray", first_row: int) -> npt.NDArray[np.int64]:
    dollars = column.cast("float64").to_numpy(zero_copy_only=False)
    dollars = np.where(np.isnan(dollars), 0.0, dollars)
    too_large = np.abs(dollars) > _LARGEST / UNITS_PER_DOLLAR
    refuse_rows(path, name, too_large, "is too large", _rows(dollars, first_row))
    return np.floor(dollars * UNITS_PER_DOLLAR + 0.5).astype(np.int64)


def _integers(path: Path, name: str, column: "pa.ChunkedArray", first_row: int) -> npt.NDArray[np.int64]:
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.type == pa.uint64():
        over = pc.greater(column, pa.scalar(_LARGEST, pa.uint64())).fill_null(fill_value=False)
        refuse_rows(path, name, over.to_numpy(zero_copy_only=False), "is too large", _rows(over, first_row))
    return _as_int64(column.cast("int64"))


def _as_int64(column: "pa.ChunkedArray") -> npt.NDArray[np.int64]:
    """A column of int64 as an array of its own; 0 where there is nothing."""
    return np.array(column.fill_null(0).to_numpy(zero_copy_only=False), np.int64)


def _nulls(column: "pa.ChunkedArray") -> npt.NDArray[np.bool_]:
    return np.asarray(column.is_null().to_numpy(zero_copy_only=False), np.bool_)


def _refuse_nulls(path: Path, name: str, column: "pa.ChunkedArray", first_row: int) -> None:
    if column.null_count:
        refuse_rows(path, name, _nulls(column), "is empty", _rows(column, first_row))


def _rows(values: Any, first_row: int) -> npt.NDArray[np.int64]:
    return np.arange(first_row, first_row + len(values))


def _wrong_type(path: Path, name: str, kind: "pa.DataType", wanted: str) -> InvalidInput:
    return InvalidInput(
        f"holds {kind}, not {wanted}", where=f"{path}, column {name}", mend=MEND_ROW.replace("row", "column")
    )
