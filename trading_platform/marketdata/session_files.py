"""The file of one session: the bars of many symbols in one Parquet file, with what they come from.

Here belong its columns, its header and how it is read in parts; which files there are, and what may be written over
what, is `store`'s. Rows are ordered by symbol, then time, and a symbol lies whole within one row group, so that a few
symbols of a whole market can be read without the rest. A file of the same columns that another program wrote is read as
well: it has no header, and may lie in any order as long as each symbol's times do not go back.

Columns: symbol; time (UTC) or, for daily bars, date; open, high, low, close in dollars (decimal, exact); volume.
"""

import hashlib
import json
import os
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.ids import is_symbol
from trading_platform.domain.records import bar_t, daily_t
from trading_platform.marketdata.bars import join
from trading_platform.marketdata.provider import Source
from trading_platform.marketdata.providers.file_access import MEND_ROW, frozen, refuse_rows
from trading_platform.marketdata.providers.parquet_columns import (
    MEND_FILE,
    PRICES,
    dates,
    moments,
    names_of,
    opened,
    prices,
    volumes,
)

if TYPE_CHECKING:
    import pyarrow as pa

Bars = npt.NDArray[Any]

SUFFIX: Final = ".parquet"
SYMBOLS_IN_A_GROUP: Final = 64
_VERSION: Final = 1
_KEY: Final = b"trading_platform"
_PRICE_DIGITS: Final = 18
_MILLISECONDS: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What the rows of a file are: bars of a minute or of a day."""

    name: str
    when: str
    field: str
    dtype: np.dtype[Any]


MINUTE: Final = Kind(name="minute", when="time", field="time", dtype=bar_t)
DAILY: Final = Kind(name="daily", when="date", field="day", dtype=daily_t)


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a file says of itself. `sha256` is the digest of its bars, whatever wrote them."""

    kind: str
    session: date
    source: Source
    calendar: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """A file's header, if it has one, its symbols in order, and the first and last symbol of each of its row groups."""

    header: Header | None
    symbols: tuple[str, ...]
    groups: tuple[tuple[str, str], ...]

    def has(self, symbol: str) -> bool:
        """Whether the file has bars of `symbol`."""
        place = bisect_left(self.symbols, symbol)
        return place < len(self.symbols) and self.symbols[place] == symbol

    def groups_of(self, symbol: str) -> tuple[int, ...]:
        """The row groups that may hold `symbol`."""
        return tuple(number for number, (first, last) in enumerate(self.groups) if first <= symbol <= last)


def digest(bars: Mapping[str, Bars]) -> str:
    """The sha256 of the bars by symbol, as hexadecimal text: the same for the same bars, wherever they are."""
    found = hashlib.sha256()
    for symbol in sorted(bars):
        found.update(f"{symbol} {len(bars[symbol])}\n".encode())
        found.update(np.ascontiguousarray(bars[symbol]).tobytes())
    return found.hexdigest()


def write(path: Path, kind: Kind, header: Header, bars: Mapping[str, Bars]) -> None:
    """Write a session's file, whole or not at all: what stood there is replaced in one step.

    Raises `InvalidInput` if it cannot be written.
    """
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f".{path.name}.*"):
            # A writer that was killed left it; two do not write at the same time.
            left.unlink(missing_ok=True)
        with new.open("wb") as file:
            _write_groups(file, kind, header, bars)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            new.unlink()
        raise InvalidInput(
            f"it cannot be written: {error.strerror or error}",
            where=str(path),
            mend="Make room and give this account the right to write there, or name another folder",
        ) from error


def contents(path: Path, kind: Kind, session: date) -> Contents:
    """What is in a file. Raises `InvalidInput` if it cannot be read, or says that it is another kind's or session's."""
    with opened(path) as file:
        said = (file.schema_arrow.metadata or {}).get(_KEY)
        header = None if said is None else _header(path, said)
        name = names_of(path, file.schema_arrow.names, ("symbol",))["symbol"]
        groups = [_symbols(path, file.read_row_group(at, [name])[name])[0] for at in range(file.num_row_groups)]
    if header is not None and (header.kind, header.session) != (kind.name, session):
        raise InvalidInput(
            f"says that it holds the {header.kind} bars of {header.session}",
            where=str(path),
            mend=f"Give it back the name {header.kind}/{header.session}{SUFFIX}",
        )
    return Contents(
        header=header,
        symbols=tuple(sorted({symbol for group in groups for symbol in group})),
        groups=tuple((min(group), max(group)) if group else ("", "") for group in groups),
    )


def read_group(path: Path, kind: Kind, number: int) -> dict[str, Bars]:
    """The bars of one row group by symbol, read-only. Raises `InvalidInput` naming file, row and column."""
    with opened(path) as file:
        names = names_of(path, file.schema_arrow.names, ("symbol", kind.when, *PRICES, "volume"))
        before = sum(file.metadata.row_group(at).num_rows for at in range(number))
        table = file.read_row_group(number, list(names.values()))
        return _by_symbol(path, kind, names, table, first_row=before + 1)


def read_all(path: Path, kind: Kind, within: Contents, symbols: Sequence[str] | None = None) -> dict[str, Bars]:
    """The bars of `symbols`, or of all, by symbol; those that the file does not have are left out."""
    wanted = [symbol for symbol in (within.symbols if symbols is None else symbols) if within.has(symbol)]
    numbers = sorted({number for symbol in wanted for number in within.groups_of(symbol)})
    groups = [read_group(path, kind, number) for number in numbers]
    return {symbol: joined([group[symbol] for group in groups if symbol in group]) for symbol in wanted}


def joined(parts: Sequence[Bars]) -> Bars:
    """The parts of one symbol's bars, which may lie in several row groups, as one."""
    return parts[0] if len(parts) == 1 else frozen(join(parts))


def _write_groups(file: Any, kind: Kind, header: Header, bars: Mapping[str, Bars]) -> None:
    import pyarrow.parquet as pq

    schema = _schema(kind).with_metadata({_KEY: _as_json(header)})
    symbols = sorted(bars)
    with pq.ParquetWriter(
        file,
        schema,
        compression="zstd",
        use_dictionary=["symbol"],
        store_decimal_as_integer=True,
        write_page_checksum=True,
    ) as writer:
        for start in range(0, len(symbols), SYMBOLS_IN_A_GROUP):
            some = symbols[start : start + SYMBOLS_IN_A_GROUP]
            writer.write_table(_table(kind, schema, {symbol: bars[symbol] for symbol in some}))


def _schema(kind: Kind) -> "pa.Schema":
    import pyarrow as pa

    price = pa.decimal128(_PRICE_DIGITS, 4)
    when = pa.timestamp("ms", tz="UTC") if kind is MINUTE else pa.date32()
    fields = [("symbol", pa.string()), (kind.when, when), *((name, price) for name in PRICES), ("volume", pa.int64())]
    return pa.schema([pa.field(name, type_, nullable=False) for name, type_ in fields])


def _table(kind: Kind, schema: "pa.Schema", bars: Mapping[str, Bars]) -> "pa.Table":
    import pyarrow as pa

    together = join(list(bars.values()))
    codes = np.repeat(np.arange(len(bars), dtype=np.int32), [len(some) for some in bars.values()])
    symbols = pa.DictionaryArray.from_arrays(codes, list(bars)).cast(pa.string())
    when = np.ascontiguousarray(together[kind.field])
    times = pa.array(when * _MILLISECONDS if kind is MINUTE else when.astype(np.int32))
    columns = [symbols, times.cast(schema.field(kind.when).type)]
    columns += [_as_decimals(np.ascontiguousarray(together[name])) for name in PRICES]
    columns.append(pa.array(np.ascontiguousarray(together["volume"])))
    return pa.Table.from_arrays(columns, schema=schema)


def _as_decimals(units: npt.NDArray[np.int64]) -> "pa.Array":
    """Units of 1/10,000 dollar as decimals with four places, exactly: a decimal is a whole number of 128 bits."""
    import pyarrow as pa

    words = np.stack([units, units >> 63], axis=1)
    return pa.Array.from_buffers(pa.decimal128(_PRICE_DIGITS, 4), len(units), [None, pa.py_buffer(words)])


def _by_symbol(path: Path, kind: Kind, names: Mapping[str, str], table: "pa.Table", first_row: int) -> dict[str, Bars]:
    listed, codes = _symbols(path, table[names["symbol"]], first_row)
    bars = np.zeros(len(codes), kind.dtype)
    read = moments if kind is MINUTE else dates
    bars[kind.field] = read(path, names[kind.when], table[names[kind.when]], first_row)
    for name in PRICES:
        bars[name] = prices(path, names[name], table[names[name]], first_row)
    bars["volume"] = volumes(path, names["volume"], table[names["volume"]], first_row)
    rows = np.arange(first_row, first_row + len(codes))
    if (np.diff(codes) < 0).any():
        order = np.argsort(codes, kind="stable")
        codes, bars, rows = codes[order], bars[order], rows[order]
    same = np.diff(codes, prepend=-1) == 0
    back = same & (np.diff(bars[kind.field], prepend=0) < 0)
    refuse_rows(path, names[kind.when], back, "is before the symbol's row above it: the file is not sorted", rows)
    bounds = np.searchsorted(codes, np.arange(len(listed) + 1))
    frozen(bars)
    return {symbol: bars[bounds[code] : bounds[code + 1]] for code, symbol in enumerate(listed)}


def _symbols(path: Path, column: "pa.ChunkedArray", first_row: int = 1) -> tuple[list[str], npt.NDArray[np.int64]]:
    """The symbols that occur, and for each row the place of its own among them."""
    import pyarrow as pa

    where = f"{path}, column symbol"
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type) or _is_dictionary(column.type)):
        raise InvalidInput(f"holds {column.type}, not text", where=where, mend=MEND_ROW.replace("row", "column"))
    if column.null_count:
        empty = column.is_null().to_numpy(zero_copy_only=False)
        refuse_rows(path, "symbol", empty, "is empty", range(first_row, first_row + len(empty)))
    # Decoded first: a dictionary may name what no row holds.
    encoded = column.cast(pa.string()).combine_chunks().dictionary_encode()
    listed = encoded.dictionary.to_pylist()
    codes = np.array(encoded.indices.to_numpy(zero_copy_only=False), np.int64)
    wrong = np.array([not is_symbol(symbol) for symbol in listed], np.bool_)
    if wrong.any():
        first = int(np.flatnonzero(wrong[codes])[0])
        refuse_rows(
            path,
            "symbol",
            wrong[codes],
            f"{listed[codes[first]]!r} is not a symbol",
            range(first_row, first_row + len(codes)),
        )
    return listed, codes


def _is_dictionary(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    return bool(pa.types.is_dictionary(kind) and pa.types.is_string(kind.value_type))


def _as_json(header: Header) -> bytes:
    source = header.source
    said = {
        "version": _VERSION,
        "kind": header.kind,
        "session": header.session.isoformat(),
        "provider": source.provider,
        "feed": source.feed,
        "adjustment": source.adjustment,
        "calendar": header.calendar,
        "sha256": header.sha256,
    }
    return json.dumps(said).encode()


def _header(path: Path, said: bytes) -> Header:
    try:
        values = json.loads(said)
        version = values["version"]
        if version != _VERSION:
            raise InvalidInput(
                f"is a session's file of version {version}, and this release reads version {_VERSION}",
                where=str(path),
                mend="Use the release that wrote it, or a newer one",
            )
        return Header(
            kind=values["kind"],
            session=date.fromisoformat(values["session"]),
            source=Source(provider=values["provider"], feed=values["feed"], adjustment=values["adjustment"]),
            calendar=values["calendar"],
            sha256=values["sha256"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInput("its header cannot be read", where=str(path), mend=MEND_FILE) from error


def _sync_folder(folder: Path) -> None:
    """Have the folder's new entry written down too: else a crash of the machine can lose it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
