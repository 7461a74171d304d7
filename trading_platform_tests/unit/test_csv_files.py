"""A user's own CSV files: where they lie, what a row may be, splits, and what is said of a broken one."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.domain.errors import InvalidInput
from trading_platform.marketdata.fetch import open_symbol
from trading_platform.marketdata.providers.csv_files import CsvFiles
from trading_platform.marketdata.quality import judge

DAY = date(2013, 10, 9)
CALENDAR = ExchangeCalendar()
SESSION = CALENDAR.session(DAY)
CLOSED = SESSION.after_hours_close
OPEN = int(SESSION.open.timestamp())
HEADER = "time,open,high,low,close,volume"
FIRST = "2013-10-09 09:30,179.52,179.52,179.10,179.24,91604"
SECOND = "2013-10-09 09:31,179.32,179.50,179.15,179.44,16093"
DAILY = "date,open,high,low,close,volume\n2013-10-07,100,101,99,100.0001,700\n2013-10-08,50,50.5,49.5,50,1400\n"


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def folder(root: Path, *rows: str, header: str = HEADER, daily: str = DAILY, splits: str | None = "") -> CsvFiles:
    write(root / "minute" / "XYZ.csv", header, *(rows or (FIRST, SECOND)))
    write(root / "daily" / "XYZ.csv", daily.strip())
    if splits is not None:
        write(root / "splits" / "XYZ.csv", splits)
    return CsvFiles(root)


def said_of(files: CsvFiles) -> str:
    with pytest.raises(InvalidInput) as error:
        files.minute_bars("XYZ", DAY, CLOSED)
    assert error.value.mend
    return str(error.value)


def test_dollars_become_units_and_times_are_exchange_times(tmp_path: Path) -> None:
    assert folder(tmp_path).minute_bars("XYZ", DAY, CLOSED).tolist() == [
        (OPEN, 1795200, 1795200, 1791000, 1792400, 91604),
        (OPEN + 60, 1793200, 1795000, 1791500, 1794400, 16093),
    ]


def test_columns_come_in_any_order_and_case_and_others_are_ignored(tmp_path: Path) -> None:
    files = folder(tmp_path, "7,2,1.5,x,2013-10-09 09:30,1,1.7", header="Volume,HIGH,Low,vwap,Time,Open, close")
    assert files.minute_bars("XYZ", DAY, CLOSED).tolist() == [(OPEN, 10000, 20000, 15000, 17000, 7)]


@pytest.mark.parametrize(
    "time",
    [
        "2013-10-09T09:30:00-04:00",
        "2013-10-09 13:30:00+00:00",
        "2013-10-09T13:30Z",
        "2013-10-09 22:30:00+0900",
        "2013-10-09 09:30:00",
        "2013-10-09T09:30",
        "2013-10-09 09:30:00.000",
    ],
)
def test_a_time_has_an_offset_or_is_the_exchanges(tmp_path: Path, time: str) -> None:
    assert folder(tmp_path, f"{time},1,1,1,1,1").minute_bars("XYZ", DAY, CLOSED)["time"].tolist() == [OPEN]


@pytest.mark.parametrize(
    ("price", "units"),
    [("50.12345", 501235), ("50.12344999", 501234), ("50.1299991607666", 501300), ("5e1", 500000), ("+.5", 5000)],
)
def test_a_finer_price_is_rounded_half_up_to_the_unit(tmp_path: Path, price: str, units: int) -> None:
    bars = folder(tmp_path, f"2013-10-09 09:30,{price},99,0.1,50,1").minute_bars("XYZ", DAY, CLOSED)
    assert bars["open"].tolist() == [units]


def test_all_days_of_a_symbol_in_one_file(tmp_path: Path) -> None:
    day_before = "2013-10-08 19:59,3,3,3,3,3"
    files = folder(tmp_path, day_before, FIRST, SECOND, "2013-10-10 04:00,4,4,4,4,4")
    assert len(files.minute_bars("XYZ", DAY, CLOSED)) == 2
    assert files.minute_bars("XYZ", date(2013, 10, 8), CLOSED)["open"].tolist() == [30000]
    assert files.minute_sessions("XYZ", date(2014, 1, 1)) == (date(2013, 10, 8), DAY, date(2013, 10, 10))
    assert files.minute_sessions("XYZ", DAY) == (date(2013, 10, 8),)
    assert files.symbols == ("XYZ",)


def test_one_file_for_each_day(tmp_path: Path) -> None:
    write(tmp_path / "minute" / "XYZ" / "2013-10-09.csv", HEADER, FIRST)
    write(tmp_path / "minute" / "XYZ" / "notes.csv", "not bars")
    write(tmp_path / "minute" / "XYZ" / "2013-10-08.csv", HEADER, "2013-10-08 09:30,3,3,3,3,3")
    files = CsvFiles(tmp_path)
    assert files.minute_bars("XYZ", DAY, CLOSED)["volume"].tolist() == [91604]
    assert len(files.minute_bars("XYZ", date(2013, 10, 7), CLOSED)) == 0
    assert files.minute_sessions("XYZ", date(2014, 1, 1)) == (date(2013, 10, 8), DAY)


def test_both_at_once_are_refused(tmp_path: Path) -> None:
    files = folder(tmp_path)
    write(tmp_path / "minute" / "XYZ" / "2013-10-09.csv", HEADER, FIRST)
    assert "XYZ has a file of all its days and a folder of days" in said_of(files)


def test_a_file_is_read_once(tmp_path: Path) -> None:
    write(tmp_path / "minute" / "XYZ" / "2013-10-09.csv", HEADER, FIRST)
    files = CsvFiles(tmp_path)
    before = files.minute_bars("XYZ", DAY, CLOSED).tolist()
    (tmp_path / "minute" / "XYZ" / "2013-10-09.csv").write_text("spoilt")
    assert files.minute_bars("XYZ", DAY, CLOSED).tolist() == before
    assert "column time" in said_of(CsvFiles(tmp_path))


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([FIRST, "2013-10-09 09:31,1,1,1,abc,1"], "row 3, column close: 'abc' is not a price"),
        ([FIRST, "2013-10-09 09:31,,1,1,1,1"], "row 3, column open: '' is not a price"),
        ([FIRST, "2013-10-09 09:31,1,1,1_0,1,1"], "row 3, column low: '1_0' is not a price"),
        (["2013-10-09 09:30,1,inf,1,1,1"], "row 2, column high: 'inf' is not a price"),
        (["2013-10-09 09:30,1,1e90,1,1,1"], "row 2, column high: '1e90' is too large"),
        (["2013-10-09 09:30,1,1,1,1,many"], "row 2, column volume: 'many' is not a whole number of shares"),
        (["2013-10-09 09:30,1,1,1,1,1.5"], "row 2, column volume: '1.5' is not a whole number of shares"),
        (["2013-10-09 09:30,1,1,1,1,2000000000000000"], "row 2, column volume: '2000000000000000' is too large"),
        (["34200000,1,1,1,1,1"], "row 2, column time: '34200000' is not a time to the second"),
        (["2013-10-09,1,1,1,1,1"], "row 2, column time: '2013-10-09' is not a time to the second"),
        (["2013-10-09 09:30:00.5,1,1,1,1,1"], "row 2, column time: '2013-10-09 09:30:00.5' is not a time"),
        (["2013-10-09 25:00,1,1,1,1,1"], "row 2, column time: '2013-10-09 25:00' is not a time, such as"),
        (["0013-10-09 09:30,1,1,1,1,1"], "'0013-10-09 09:30' is not a time between the years 1970 and 2200"),
        ([FIRST, "2013-10-09T09:31-04:00,1,1,1,1,1"], "row 3, column time: '2013-10-09T09:31-04:00' has an offset"),
        (["2013-10-09T09:30Z,1,1,1,1,1", SECOND], "row 3, column time: '2013-10-09 09:31' has no offset"),
        ([FIRST, "2013-10-09 09:31,1,1,1,1"], "row 3: has 5 cells, and the header has 6"),
        ([SECOND, "", FIRST], "row 4, column time: is before the row above it: the file is not sorted"),
        (["2013-11-03 01:30,1,1,1,1,1"], "row 2, column time: is left out or comes twice"),
        (["2013-03-10 02:30,1,1,1,1,1"], "row 2, column time: is left out or comes twice"),
        (['2013-10-09 09:30,"1"2,1,1,1,1'], "row 2: it is not a row of cells"),
    ],
)
def test_a_malformed_row_is_named_with_its_column(tmp_path: Path, rows: list[str], said: str) -> None:
    found = said_of(folder(tmp_path, *rows))
    assert "minute/XYZ.csv, row" in found
    assert said in found


def test_the_hours_around_a_change_of_the_clock_are_taken(tmp_path: Path) -> None:
    # The clock goes from 02:00 to 03:00 on 2013-03-10, and from 02:00 back to 01:00 on 2013-11-03.
    spring = folder(tmp_path / "spring", "2013-03-10 01:59,1,1,1,1,1", "2013-03-10 03:00,1,1,1,1,1")
    autumn = folder(tmp_path / "autumn", "2013-11-03 00:59,1,1,1,1,1", "2013-11-03 02:00,1,1,1,1,1")
    late = CLOSED + timedelta(days=60)
    assert (spring.minute_bars("XYZ", date(2013, 3, 10), late)["time"] % 86400).tolist() == [25140, 25200]
    assert (autumn.minute_bars("XYZ", date(2013, 11, 3), late)["time"] % 86400).tolist() == [17940, 25200]


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("time,open,high,low,volume", "row 1: the column close is missing; the header is time,open,high,low,volume"),
        ("time;open;high;low;close;volume", "row 1: the column time, open, high, low, close, volume is missing"),
        ("time,open,open,high,low,close,volume", "row 1: the column open is there twice"),
        ("", "row 1: the column time, open, high, low, close, volume is missing; the header is empty"),
    ],
)
def test_a_malformed_header_is_named(tmp_path: Path, header: str, said: str) -> None:
    found = said_of(folder(tmp_path, header=header))
    assert said in found
    assert "The first row names the columns, separated by commas: time,open,high,low,close,volume" in found


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    files = folder(tmp_path)
    (tmp_path / "minute" / "XYZ.csv").write_bytes(f"{HEADER}\n{FIRST}\n".encode() + b"\xff\xfe\n")
    assert "XYZ.csv, line 3: it is not text in UTF-8" in said_of(files)


def test_a_byte_order_mark_and_windows_line_ends_are_taken(tmp_path: Path) -> None:
    files = folder(tmp_path)
    (tmp_path / "minute" / "XYZ.csv").write_bytes(f"\ufeff{HEADER}\r\n{FIRST}\r\n".encode())
    assert len(files.minute_bars("XYZ", DAY, CLOSED)) == 1


def test_what_no_market_makes_is_left_to_the_judge(tmp_path: Path) -> None:
    files = folder(
        tmp_path,
        FIRST,
        "2013-10-09 09:31,1,1,NaN,1,1",
        "2013-10-09 09:32,0,1,1,1,1",
        "2013-10-09 09:33,-1,1,1,1,1",
        "2013-10-09 09:34,1,1,2,1,1",
        "2013-10-09 09:35,1,1,1,1,nan",
        "2013-10-09 09:35,1,1,1,1,1",
        "2013-10-09 09:35,1,1,1,1,1",
        "2013-10-09 09:36:30,1,1,1,1,1",
    )
    clean, problems = judge("XYZ", files.minute_bars("XYZ", DAY, CLOSED), SESSION)
    assert len(clean) == 2
    assert {problem.what: problem.count for problem in problems} == {
        "bar with a price that is zero, negative or no number": 3,
        "bar with crossed prices": 1,
        "bar with a volume that is negative or no number": 1,
        "bar with a repeated time": 1,
        "bar off the minute": 1,
    }


@pytest.mark.parametrize("ratio", ["2", "2:1", "2/1", "2.0", "4 : 2"])
def test_daily_bars_are_in_the_scale_of_the_session(tmp_path: Path, ratio: str) -> None:
    files = folder(tmp_path, splits=f"date,ratio\n2013-10-08,{ratio}")
    assert [row[1:] for row in files.daily_bars("XYZ", DAY, 5).tolist()] == [
        (500000, 505000, 495000, 500001, 1400),
        (500000, 505000, 495000, 500000, 1400),
    ]
    # The split's own morning is in the new scale already.
    assert files.daily_bars("XYZ", date(2013, 10, 8), 5)["close"].tolist() == [500001]


def test_a_reverse_split_makes_prices_larger(tmp_path: Path) -> None:
    files = folder(tmp_path, splits="date,ratio\n2013-10-08,1:3\n2013-10-10,10")
    assert files.daily_bars("XYZ", DAY, 5)["close"].tolist() == [3000003, 500000]
    assert files.daily_bars("XYZ", DAY, 5)["volume"].tolist() == [233, 1400]


@pytest.mark.parametrize("text", ["", "date,ratio"])
def test_a_file_without_rows_says_that_there_was_no_split(tmp_path: Path, text: str) -> None:
    files = folder(tmp_path, splits=text)
    assert files.daily_bars("XYZ", DAY, 5)["close"].tolist() == [1000001, 500000]
    assert files.daily_bars("XYZ", DAY, 1)["close"].tolist() == [500000]


@pytest.mark.parametrize(
    ("splits", "said"),
    [
        (None, "there is no file of splits, so they are not known. For a symbol that has never split, write the file"),
        ("date,ratio\n2013,4", "row 2, column date: '2013' is not a date"),
        ("date,ratio\n2013-10-08,four", "row 2, column ratio: 'four' is not a ratio"),
        ("date,ratio\n2013-10-08,0", "row 2, column ratio: 0 new shares for an old one are no split"),
        ("date,ratio\n2013-10-08,4:0", "row 2, column ratio: '4:0' is not a ratio"),
        ("date,ratio\n2013-10-08,-4", "row 2, column ratio: '-4' is not a ratio"),
        ("date,ratio\n2013-10-08,2\n2013-10-07,2", "row 3, column date: is not after the row above it"),
        ("day,ratio\n2013-10-08,2", "row 1: the column date is missing"),
    ],
)
def test_splits_that_are_missing_or_malformed_are_named(tmp_path: Path, splits: str | None, said: str) -> None:
    files = folder(tmp_path, splits=splits)
    with pytest.raises(InvalidInput) as error:
        files.daily_bars("XYZ", DAY, 5)
    assert "splits/XYZ.csv" in str(error.value)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("2013-10-07,1,1,1,x,1", "row 2, column close: 'x' is not a price"),
        ("20131007,1,1,1,1,1", "row 2, column date: '20131007' is not a date, such as 2013-10-09"),
        ("2013-10-07 09:30,1,1,1,1,1", "row 2, column date: '2013-10-07 09:30' is not a date"),
        ("2013-02-30,1,1,1,1,1", "row 2, column date: '2013-02-30' is not a date"),
        ("2013-10-08,1,1,1,1,1\n2013-10-07,1,1,1,1,1", "row 3, column date: is before the row above it"),
    ],
)
def test_a_malformed_daily_file_is_named(tmp_path: Path, rows: str, said: str) -> None:
    files = folder(tmp_path, daily=f"date,open,high,low,close,volume\n{rows}")
    with pytest.raises(InvalidInput) as error:
        files.daily_bars("XYZ", DAY, 5)
    assert f"daily/XYZ.csv, {said}" in str(error.value)


def test_a_date_may_be_written_as_a_midnight(tmp_path: Path) -> None:
    files = folder(tmp_path, daily="Date,Open,High,Low,Close,Volume\n2013-10-08 00:00:00-04:00,1,1,1,1,1")
    assert files.daily_bars("XYZ", DAY, 5)["day"].tolist() == [(date(2013, 10, 8) - date(1970, 1, 1)).days]


def test_a_day_record_is_made_of_them(tmp_path: Path) -> None:
    days = [session.day for session in CALENDAR.sessions(date(2013, 8, 1), date(2013, 10, 8))]
    daily = "\n".join(f"{day},10,10.5,9.5,10,600000" for day in days)
    minutes = [f"{days[-1]} 09:{minute},10,10,10,10,100" for minute in range(30, 60)]
    files = folder(
        tmp_path,
        *minutes,
        f"{DAY} 08:00,11.9,12,11.8,11.9,50000",
        f"{DAY} 09:30,12,12,12,12,9",
        daily=f"date,open,high,low,close,volume\n{daily}",
    )
    record, missing = open_symbol(files, CALENDAR, "XYZ", SESSION)
    assert missing == ()
    known = [float(record[name]) for name in ("prior_close", "average_daily_volume", "premarket_high")]
    assert known == [10.0, 600_000.0, 12.0]
    assert record["gap"] == 12 / 10 - 1
    assert record["volume_share"][14] == pytest.approx(0.5)


def test_a_symbol_without_files_has_no_bars(tmp_path: Path) -> None:
    files = folder(tmp_path)
    assert len(files.minute_bars("ABC", DAY, CLOSED)) == 0
    assert len(files.daily_bars("ABC", DAY, 5)) == 0
    assert files.minute_sessions("ABC", DAY) == ()


def test_a_name_that_is_no_symbol_does_not_reach_the_file_system(tmp_path: Path) -> None:
    files = folder(tmp_path)
    with pytest.raises(InvalidInput, match=r"'\.\./XYZ' is not a symbol"):
        files.minute_bars("../XYZ", DAY, CLOSED)
    with pytest.raises(InvalidInput, match=r"'\.\./XYZ' is not a symbol"):
        files.daily_bars("../XYZ", DAY, 5)
    with pytest.raises(InvalidInput, match=r"'\.\./XYZ' is not a symbol"):
        files.minute_sessions("../XYZ", DAY)


def test_a_folder_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is not a folder of CSV files: it holds no folder minute"):
        CsvFiles(tmp_path)
