"""A user's own Parquet files: the types that a column may have, and what is said of a broken file."""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.domain.errors import InvalidInput
from trading_platform.marketdata.providers.parquet_files import ParquetFiles
from trading_platform.marketdata.quality import judge

DAY = date(2013, 10, 9)
CALENDAR = ExchangeCalendar()
SESSION = CALENDAR.session(DAY)
CLOSED = SESSION.after_hours_close
OPEN = int(SESSION.open.timestamp())
MINUTE = timedelta(minutes=1)
BAR = {"open": [179.52, 179.32], "high": [179.52, 179.5], "low": [179.1, 179.15], "close": [179.24, 179.44]}
COLUMNS: dict[str, Any] = {"time": [SESSION.open, SESSION.open + MINUTE], **BAR, "volume": [91604, 16093]}
BARS = [
    (OPEN, 1795200, 1795200, 1791000, 1792400, 91604),
    (OPEN + 60, 1793200, 1795000, 1791500, 1794400, 16093),
]
NEVER = pa.table({"date": pa.array([], pa.date32()), "ratio": pa.array([], pa.float64())})
DAILY = pa.table(
    {
        "date": [date(2013, 10, 7), date(2013, 10, 8)],
        "open": [100, 50],
        "high": [101.0, 50.5],
        "low": [99.0, 49.5],
        "close": pa.array([Decimal("100.0001"), Decimal(50)], pa.decimal128(12, 4)),
        "volume": [700, 1400],
    }
)


def write(path: Path, table: pa.Table) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path


def folder(root: Path, name: str = "XYZ", **changes: Any) -> ParquetFiles:
    write(root / "minute" / f"{name}.parquet", pa.table({**COLUMNS, **changes}))
    return ParquetFiles(root)


def said_of(files: ParquetFiles) -> str:
    with pytest.raises(InvalidInput) as error:
        files.minute_bars("XYZ", DAY, CLOSED)
    assert error.value.mend
    return str(error.value)


def test_a_symbols_own_file(tmp_path: Path) -> None:
    files = folder(tmp_path)
    assert files.minute_bars("XYZ", DAY, CLOSED).tolist() == BARS
    assert files.minute_sessions("XYZ", date(2014, 1, 1)) == (DAY,)
    assert files.symbols == ("XYZ",)
    assert len(files.minute_bars("ABC", DAY, CLOSED)) == 0


def test_a_sessions_file_of_another_program(tmp_path: Path) -> None:
    # Not ordered by symbol, and in several row groups; each symbol's times rise.
    both = {name: [values[0], values[0], values[1], values[1]] for name, values in COLUMNS.items()}
    path = tmp_path / "minute" / "2013-10-09.parquet"
    path.parent.mkdir()
    pq.write_table(pa.table({"symbol": ["XYZ", "ABC", "ABC", "XYZ"], **both}), path, row_group_size=2)
    files = ParquetFiles(tmp_path)
    assert files.minute_bars("XYZ", DAY, CLOSED).tolist() == BARS
    assert files.minute_bars("ABC", DAY, CLOSED).tolist() == BARS
    assert files.symbols == ("ABC", "XYZ")
    assert files.minute_sessions("ABC", date(2014, 1, 1)) == (DAY,)


@pytest.mark.parametrize(
    "prices",
    [
        lambda values: pa.array(values, pa.float64()),
        lambda values: pa.array([Decimal(str(value)) for value in values], pa.decimal128(9, 2)),
        lambda values: pa.array([Decimal(str(value)) for value in values], pa.decimal128(38, 4)),
        lambda values: pa.array([Decimal(str(value)) for value in values], pa.decimal128(30, 9)),
        lambda values: pa.array([Decimal(str(value)) for value in values], pa.decimal256(60, 6)),
    ],
)
def test_prices_are_dollars_of_any_type(tmp_path: Path, prices: Callable[[list[float]], pa.Array]) -> None:
    changed = {name: prices(values) for name, values in BAR.items()}
    assert folder(tmp_path, **changed).minute_bars("XYZ", DAY, CLOSED).tolist() == BARS


def test_whole_prices_are_dollars_too(tmp_path: Path) -> None:
    whole = folder(tmp_path, close=pa.array([180, 181], pa.uint32())).minute_bars("XYZ", DAY, CLOSED)
    assert whole["close"].tolist() == [1800000, 1810000]


def test_a_finer_price_is_rounded_half_up_to_the_unit(tmp_path: Path) -> None:
    decimals = pa.array([Decimal("1.00005"), Decimal("1.000049")], pa.decimal128(20, 6))
    assert folder(tmp_path / "decimal", open=decimals).minute_bars("XYZ", DAY, CLOSED)["open"].tolist() == [
        10001,
        10000,
    ]
    floats = [50.1299991607666, 50.12996]
    assert folder(tmp_path / "float", open=floats).minute_bars("XYZ", DAY, CLOSED)["open"].tolist() == [501300, 501300]


@pytest.mark.parametrize(
    "times",
    [
        pa.array([SESSION.open, SESSION.open + MINUTE], pa.timestamp("ns", tz="America/New_York")),
        pa.array([SESSION.open, SESSION.open + MINUTE], pa.timestamp("s", tz="UTC")),
        pa.array([datetime(2013, 10, 9, 9, 30), datetime(2013, 10, 9, 9, 31)], pa.timestamp("us")),  # noqa: DTZ001
        pa.array([datetime(2013, 10, 9, 9, 30), datetime(2013, 10, 9, 9, 31)], pa.timestamp("ms")),  # noqa: DTZ001
    ],
)
def test_a_time_has_a_zone_or_is_the_exchanges(tmp_path: Path, times: pa.Array) -> None:
    assert folder(tmp_path, time=times).minute_bars("XYZ", DAY, CLOSED)["time"].tolist() == [OPEN, OPEN + 60]


def test_columns_come_in_any_order_and_case_and_others_are_ignored(tmp_path: Path) -> None:
    table = pa.table({name.title(): values for name, values in reversed({**COLUMNS, "vwap": [1, 2]}.items())})
    write(tmp_path / "minute" / "XYZ.parquet", table)
    assert ParquetFiles(tmp_path).minute_bars("XYZ", DAY, CLOSED).tolist() == BARS


LOCAL = pa.array([datetime(2013, 11, 3, 1, 30), datetime(2013, 11, 3, 2, 30)], pa.timestamp("us"))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"close": ["1", "2"]}, "column close: holds string, not prices in dollars"),
        ({"volume": ["1", "2"]}, "column volume: holds string, not whole numbers of shares"),
        ({"time": ["09:30", "09:31"]}, "column time: holds string, not timestamps"),
        ({"time": [1, 2]}, "column time: holds int64, not timestamps"),
        ({"time": [SESSION.open, None]}, "row 2, column time: is empty"),
        ({"time": [SESSION.open, SESSION.open - MINUTE]}, "row 2, column time: is before the row above it"),
        ({"time": [SESSION.open, SESSION.open + MINUTE / 120]}, "row 2, column time: is not a whole second"),
        ({"time": [datetime(1, 1, 1, tzinfo=UTC), SESSION.open]}, "row 1, column time: is not between the years 1970"),
        ({"time": LOCAL}, "row 1, column time: is left out or comes twice where the exchange's clock is changed"),
        ({"low": [1.0, float("inf")]}, "row 2, column low: is too large"),
        ({"low": [1, 10**12]}, "row 2, column low: is too large"),
        ({"low": pa.array([1, 2**64 - 1], pa.uint64())}, "row 2, column low: is too large"),
        ({"low": pa.array([Decimal(1), Decimal(10**20)], pa.decimal128(38, 4))}, "row 2, column low: is too large"),
        ({"low": pa.array([Decimal(1), Decimal(10**20)], pa.decimal128(38, 8))}, "row 2, column low: is too large"),
        ({"volume": [1.0, 1.5]}, "row 2, column volume: is not a whole number of shares"),
        ({"volume": [1, 10**16]}, "row 2, column volume: is too large"),
    ],
)
def test_a_malformed_column_is_named(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    found = said_of(folder(tmp_path, **changes))
    assert "minute/XYZ.parquet, " in found
    assert said in found


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"symbol": ["XYZ", None]}, "row 2, column symbol: is empty"),
        ({"symbol": ["XYZ", "xyz!"]}, "row 2, column symbol: 'xyz!' is not a symbol"),
        ({"symbol": [1, 2]}, "column symbol: holds int64, not text"),
        ({"symbol": ["XYZ", "XYZ"], "time": [SESSION.open, SESSION.premarket_open]}, "row 2, column time: is before"),
        ({}, "the column symbol is missing; the file has time, open, high, low, close, volume"),
    ],
)
def test_a_malformed_sessions_file_is_named(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    found = said_of(folder(tmp_path, "2013-10-09", **changes))
    assert "minute/2013-10-09.parquet" in found
    assert said in found


def test_missing_columns_are_named(tmp_path: Path) -> None:
    write(tmp_path / "minute" / "XYZ.parquet", pa.table({"time": COLUMNS["time"], "open": BAR["open"]}))
    found = said_of(ParquetFiles(tmp_path))
    assert "XYZ.parquet: the column high, low, close, volume is missing; the file has time, open" in found


@pytest.mark.parametrize("whole", [0, 4, 300])
@pytest.mark.parametrize("name", ["XYZ", "2013-10-09"])
def test_a_truncated_file_is_named(tmp_path: Path, name: str, whole: int) -> None:
    files = folder(tmp_path, name, symbol=["XYZ", "XYZ"])
    path = tmp_path / "minute" / f"{name}.parquet"
    path.write_bytes(path.read_bytes()[:whole])
    assert f"minute/{name}.parquet: cannot be read as a Parquet file" in said_of(files)


def test_what_no_market_makes_is_left_to_the_judge(tmp_path: Path) -> None:
    files = folder(tmp_path, open=[None, 179.32], volume=pa.array([5, None], pa.int32()))
    assert [row[1] for row in files.minute_bars("XYZ", DAY, CLOSED).tolist()] == [0, 1793200]
    clean, problems = judge("XYZ", files.minute_bars("XYZ", DAY, CLOSED), SESSION)
    assert len(clean) == 0
    assert [problem.what for problem in problems] == [
        "bar with a price that is zero, negative or no number",
        "bar with a volume that is negative or no number",
    ]
    nans = folder(tmp_path / "nan", close=[float("nan"), 179.44], volume=[float("nan"), 7.0])
    assert nans.minute_bars("XYZ", DAY, CLOSED)["close"].tolist() == [0, 1794400]
    assert nans.minute_bars("XYZ", DAY, CLOSED)["volume"].tolist() == [-1, 7]
    missing = pa.array([None, Decimal("179.44")], pa.decimal128(9, 2))
    decimals = folder(tmp_path / "decimal", close=missing).minute_bars("XYZ", DAY, CLOSED)
    assert decimals["close"].tolist() == [0, 1794400]


@pytest.mark.parametrize("day", [pa.date32(), pa.date64(), pa.timestamp("ns")])
@pytest.mark.parametrize("ratio", [pa.float64(), pa.int8(), pa.decimal128(30, 2)])
def test_daily_bars_are_in_the_scale_of_the_session(tmp_path: Path, day: pa.DataType, ratio: pa.DataType) -> None:
    files = folder(tmp_path)
    write(tmp_path / "daily" / "XYZ.parquet", DAILY.set_column(0, "date", DAILY["date"].cast(day)))
    splits = pa.table({"date": pa.array([date(2013, 10, 8)]).cast(day), "ratio": pa.array([2]).cast(ratio)})
    write(tmp_path / "splits" / "XYZ.parquet", splits)
    assert [row[1:] for row in files.daily_bars("XYZ", DAY, 5).tolist()] == [
        (500000, 505000, 495000, 500001, 1400),
        (500000, 505000, 495000, 500000, 1400),
    ]


def test_a_third_is_read_as_a_third(tmp_path: Path) -> None:
    files = folder(tmp_path)
    write(tmp_path / "daily" / "XYZ.parquet", DAILY)
    write(tmp_path / "splits" / "XYZ.parquet", pa.table({"date": [date(2013, 10, 8)], "ratio": [0.33333333]}))
    assert files.daily_bars("XYZ", DAY, 5)["close"].tolist() == [3000003, 500000]


@pytest.mark.parametrize(
    ("splits", "said"),
    [
        (None, "there is no file of splits"),
        (pa.table({"date": [date(2013, 10, 8)], "ratio": ["4:1"]}), "column ratio: holds string, not numbers"),
        (pa.table({"date": [date(2013, 10, 8)], "ratio": [0.0]}), "row 1, column ratio: 0 new shares for an old one"),
        (
            pa.table({"date": [date(2013, 10, 8)] * 2, "ratio": [2, 2]}),
            "row 2, column date: is not after the row above",
        ),
        (pa.table({"date": [date(2013, 10, 8)]}), "the column ratio is missing"),
    ],
)
def test_splits_that_are_missing_or_malformed_are_named(tmp_path: Path, splits: pa.Table | None, said: str) -> None:
    files = folder(tmp_path)
    write(tmp_path / "daily" / "XYZ.parquet", DAILY)
    if splits is not None:
        write(tmp_path / "splits" / "XYZ.parquet", splits)
    with pytest.raises(InvalidInput) as error:
        files.daily_bars("XYZ", DAY, 5)
    assert "splits/XYZ.parquet" in str(error.value)
    assert said in str(error.value)


def test_without_rows_there_was_no_split(tmp_path: Path) -> None:
    files = folder(tmp_path)
    write(tmp_path / "daily" / "XYZ.parquet", DAILY)
    write(tmp_path / "splits" / "XYZ.parquet", NEVER)
    assert files.daily_bars("XYZ", DAY, 5)["close"].tolist() == [1000001, 500000]


def test_a_folder_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is not a folder of Parquet files: it holds no folder minute"):
        ParquetFiles(tmp_path)


AS_AN_ORDINARY_ACCOUNT = """if True:
    import os, sys
    from datetime import date
    from pathlib import Path
    from trading_platform.calendars.exchange import ExchangeCalendar
    from trading_platform.domain.errors import InvalidInput
    from trading_platform.marketdata.providers.csv_files import CsvFiles
    from trading_platform.marketdata.providers.parquet_files import ParquetFiles

    root, kind, symbol = Path(sys.argv[1]), {"csv": CsvFiles, "parquet": ParquetFiles}[sys.argv[2]], sys.argv[3]
    day = date(2013, 10, 9)
    until = ExchangeCalendar().session(day).after_hours_close
    def look():
        files = kind(root)
        return len(files.minute_bars(symbol, day, until)) + len(files.minute_sessions(symbol, day))
    if os.geteuid() == 0:
        # Whatever Python itself still has to read, it reads while it may.
        try:
            look()
        except InvalidInput:
            pass
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    try:
        print(look())
    except InvalidInput as error:
        assert error.mend, error
        print(str(error))
"""


@pytest.mark.parametrize(
    ("kind", "symbol", "closed"),
    [
        ("csv", "XYZ", "minute"),
        ("csv", "XYZ", "minute/XYZ.csv"),
        ("parquet", "XYZ", "minute"),
        ("parquet", "XYZ", "minute/XYZ.parquet"),
        ("parquet", "ABC", "minute/2013-10-09.parquet"),
    ],
)
def test_what_may_not_be_read_is_named(kind: str, symbol: str, closed: str) -> None:
    # Not in pytest's own folder, which no other account may enter.
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        folder(root)
        folder(root, "2013-10-09", symbol=["ABC", "ABC"])
        (root / "minute" / "XYZ.csv").write_text("time,open,high,low,close,volume\n2013-10-09 09:30,1,1,1,1,1\n")

        def told() -> str:
            done = subprocess.run(
                [sys.executable, "-c", AS_AN_ORDINARY_ACCOUNT, str(root), kind, symbol],
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            return done.stdout.strip()

        assert told() in {"1", "2"}
        rights = (root / closed).stat().st_mode
        (root / closed).chmod(0)
        said = told()
        (root / closed).chmod(rights)
    assert f"{root}/minute" in said
    assert "it cannot be read: Permission denied" in said
