"""The files provider: LEAN's layout, its units, splits as of the session, and what it says of a broken file."""

import subprocess
import sys
import tempfile
import zipfile
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.domain.errors import InvalidInput
from trading_platform.marketdata.fetch import fetch_bars
from trading_platform.marketdata.providers.lean_files import LeanFiles
from trading_platform.marketdata.quality import judge

DAY = date(2013, 10, 9)
FIRST = "34200000,1795200,1795200,1791000,1792400,91604"
SECOND = "34260000,1793200,1795000,1791500,1794400,16093"
DAILY = "20131007 00:00,1000000,1010000,990000,1000001,700\n20131008 00:00,500000,505000,495000,500000,1400\n"
CALENDAR = ExchangeCalendar()
CLOSED = CALENDAR.session(DAY).after_hours_close


def zipped(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("bars.csv", text)


def lean_folder(
    root: Path, minutes: str = f"{FIRST}\n{SECOND}\n", daily: str = DAILY, factors: str | None = None
) -> LeanFiles:
    home = root / "equity" / "usa"
    zipped(home / "minute" / "xyz" / "20131009_trade.zip", minutes)
    zipped(home / "daily" / "xyz.zip", daily)
    (home / "factor_files").mkdir()
    if factors is not None:
        (home / "factor_files" / "xyz.csv").write_text(factors)
    return LeanFiles(root)


def test_prices_are_taken_as_they_are_and_times_are_exchange_times(tmp_path: Path) -> None:
    bars = lean_folder(tmp_path).minute_bars("XYZ", DAY, CLOSED)
    start = int(CALENDAR.session(DAY).open.timestamp())
    assert bars.tolist() == [
        (start, 1795200, 1795200, 1791000, 1792400, 91604),
        (start + 60, 1793200, 1795000, 1791500, 1794400, 16093),
    ]


def test_a_symbol_without_a_file_has_no_bars_and_no_session(tmp_path: Path) -> None:
    files = lean_folder(tmp_path)
    assert len(files.minute_bars("ABC", DAY, CLOSED)) == 0
    assert len(files.minute_bars("XYZ", date(2013, 10, 10), CLOSED)) == 0
    assert len(files.daily_bars("ABC", DAY, 5)) == 0
    assert files.minute_sessions("ABC", DAY) == ()
    assert files.minute_sessions("XYZ", date(2013, 10, 10)) == (DAY,)
    assert files.minute_sessions("XYZ", DAY) == ()


def test_a_symbol_without_bars_is_reported(tmp_path: Path) -> None:
    session = CALENDAR.session(DAY)
    _, problems = fetch_bars(lean_folder(tmp_path), ("XYZ", "ABC"), session, session.open + timedelta(minutes=1))
    assert [(problem.symbol, problem.what) for problem in problems] == [("ABC", "no bar in the session")]
    _, problems = fetch_bars(lean_folder(tmp_path / "again"), ("XYZ", "ABC"), session, session.open)
    assert problems == ()


def test_a_name_that_is_no_symbol_does_not_reach_the_file_system(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"'\.\./XYZ' is not a symbol"):
        lean_folder(tmp_path).minute_bars("../XYZ", DAY, CLOSED)


def test_a_file_is_read_once(tmp_path: Path) -> None:
    files = lean_folder(tmp_path)
    before = files.minute_bars("XYZ", DAY, CLOSED)
    (tmp_path / "equity/usa/minute/xyz/20131009_trade.zip").unlink()
    assert files.minute_bars("XYZ", DAY, CLOSED).tolist() == before.tolist()


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (f"{FIRST}\n34260000,1,1,1,abc,1", "row 2, column close: 'abc' is not a price"),
        (f"{FIRST}\n34260000,1,1,1.5,1,1", "row 2, column low: '1.5' is not a price"),
        (f"{FIRST}\n34260000,,1,1,1,1", "row 2, column open: '' is not a price"),
        ("34200000,1,1,1,1,many", "row 1, column volume: 'many' is not a number of shares"),
        ("09:30,1,1,1,1,1", "row 1, column time: '09:30' is not a time in milliseconds"),
        (f"{FIRST}\n34260000,1,1,1,1", "row 2: has 5 cells, not 6"),
        (f"{FIRST}\n34260000,1,1,1,1\n34320000,1,1,1,1,1,1", "row 2: has 5 cells, not 6"),
        (f"{FIRST}\n\n{SECOND}", "row 2: has 1 cells, not 6"),
        ("34200000,1,1,9999999999999999999999,1,1", "row 1, column low: '9999999999999999999999' is too large"),
        ("34200000,1,1,1,1,2000000000000000", "row 1, column volume: '2000000000000000' is too large"),
        ("34200000,1,1,1,1-,1", "row 1, column close: '1-' is not a price"),
        (f"{FIRST}\n34200500,1,1,1,1,1", "row 2, column time: is not a whole second"),
        ("86400000,1,1,1,1,1", "row 1, column time: is not a whole second"),
        (f"{SECOND}\n{FIRST}", "row 2, column time: is before the row above it"),
    ],
)
def test_a_malformed_minute_file_is_named_with_row_and_column(tmp_path: Path, rows: str, said: str) -> None:
    files = lean_folder(tmp_path, minutes=rows)
    with pytest.raises(InvalidInput) as error:
        files.minute_bars("XYZ", DAY, CLOSED)
    assert f"xyz/20131009_trade.zip, {said}" in str(error.value)
    assert error.value.mend


def test_a_number_that_says_that_there_is_none_is_left_to_the_judge(tmp_path: Path) -> None:
    files = lean_folder(tmp_path, minutes=f"{FIRST}\n34260000,1,1,NaN,1,1\n34320000,1,1,1,1,nan")
    clean, problems = judge("XYZ", files.minute_bars("XYZ", DAY, CLOSED), CALENDAR.session(DAY))
    assert len(clean) == 1
    assert [(problem.what, problem.count) for problem in problems] == [
        ("bar with a price that is zero, negative or no number", 1),
        ("bar with a volume that is negative or no number", 1),
    ]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("20131007 00:00,1,1,1,x,1", "row 1, column close: 'x' is not a price"),
        ("2013-10-07,1,1,1,1,1", "row 1, column date: '2013-10-07' is not a date"),
        ("20131007 09:30,1,1,1,1,1", "row 1, column date: '20131007 09:30' is not a date"),
        ("20130230 00:00,1,1,1,1,1", "row 1, column date: is not a date"),
        ("20131307 00:00,1,1,1,1,1", "row 1, column date: is not a date"),
        ("20131008 00:00,1,1,1,1,1\n20131007 00:00,1,1,1,1,1", "row 2, column date: is before the row above it"),
    ],
)
def test_a_malformed_daily_file_is_named_with_row_and_column(tmp_path: Path, rows: str, said: str) -> None:
    files = lean_folder(tmp_path, daily=rows)
    with pytest.raises(InvalidInput) as error:
        files.daily_bars("XYZ", DAY, 5)
    assert f"daily/xyz.zip, {said}" in str(error.value)


def test_a_corrupt_zip_is_named(tmp_path: Path) -> None:
    files = lean_folder(tmp_path)
    path = tmp_path / "equity/usa/minute/xyz/20131009_trade.zip"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(InvalidInput, match=r"20131009_trade\.zip: cannot be read as a zip file"):
        files.minute_bars("XYZ", DAY, CLOSED)


def test_a_zip_of_two_files_is_named(tmp_path: Path) -> None:
    files = lean_folder(tmp_path)
    with zipfile.ZipFile(tmp_path / "equity/usa/daily/xyz.zip", "a") as archive:
        archive.writestr("more.csv", DAILY)
    with pytest.raises(InvalidInput, match=r"xyz\.zip: holds 2 files"):
        files.daily_bars("XYZ", DAY, 5)


def test_an_empty_file_has_no_bars(tmp_path: Path) -> None:
    assert len(lean_folder(tmp_path, minutes="").minute_bars("XYZ", DAY, CLOSED)) == 0


def test_a_folder_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is not a LEAN data folder"):
        LeanFiles(tmp_path)


def test_daily_bars_are_in_the_scale_of_the_session(tmp_path: Path) -> None:
    split = "20131007,0.9,0.25,100\n20501231,1,0.5,0\n"
    bars = lean_folder(tmp_path, factors=split).daily_bars("XYZ", DAY, 5)
    assert [row[1:] for row in bars.tolist()] == [
        (500000, 505000, 495000, 500001, 1400),
        (500000, 505000, 495000, 500000, 1400),
    ]


def test_only_days_before_the_session_are_given_and_only_so_many(tmp_path: Path) -> None:
    files = lean_folder(tmp_path, factors="20501231,1,1,0")
    assert files.daily_bars("XYZ", DAY, 5)["close"].tolist() == [1000001, 500000]
    assert files.daily_bars("XYZ", DAY, 1)["close"].tolist() == [500000]
    assert files.daily_bars("XYZ", date(2013, 10, 8), 5)["close"].tolist() == [1000001]


@pytest.mark.parametrize(
    ("factors", "said"),
    [
        (None, "there is no factor file"),
        ("2013,1,1,0", "row 1, column date: '2013' is not a date"),
        ("20131007,1,0,0", "row 1, column split factor: '0' is not a positive factor"),
        ("20131007,1,x,0", "row 1, column split factor: 'x' is not a positive factor"),
        ("20131007,1", "row 1: has 2 cells"),
        ("20501231,1,1,0\n20131007,1,1,0", "the dates do not rise"),
        ("20131007,1,1,0", "has no row for 2013-10-"),
    ],
)
def test_a_malformed_factor_file_is_named(tmp_path: Path, factors: str | None, said: str) -> None:
    files = lean_folder(tmp_path, factors=factors)
    with pytest.raises(InvalidInput) as error:
        files.daily_bars("XYZ", DAY, 5)
    assert "factor_files/xyz.csv" in str(error.value)
    assert said in str(error.value)


def test_a_split_is_applied_as_of_the_session_and_later_ones_are_not(lean_data: Path) -> None:
    files = LeanFiles(lean_data)
    after = files.daily_bars("AAPL", date(2014, 6, 9), 1)
    before = files.daily_bars("AAPL", date(2014, 6, 6), 1)
    assert after["close"].tolist() == [922243]
    assert before["close"].tolist() == [6473500]
    assert after["volume"].tolist() == [12116671 * 7]


def test_the_recorded_sessions_are_whole(lean_data: Path) -> None:
    files = LeanFiles(lean_data)
    for symbol in ("AAPL", "AIG", "BAC", "IBM", "SPY"):
        for day in files.minute_sessions(symbol, date(2021, 1, 1)):
            session = CALENDAR.session(day)
            bars, _ = fetch_bars(files, (symbol,), session, session.close)
            assert 389 <= len(bars.came(symbol)) <= 390
    assert files.minute_sessions("IBM", date(2013, 10, 10))[-1] == DAY


def test_a_bar_of_two_scales_is_refused(lean_data: Path) -> None:
    session = CALENDAR.session(date(2014, 6, 9))
    bars = LeanFiles(lean_data).minute_bars("AAPL", session.day, session.open)
    clean, problems = judge("AAPL", bars, session)
    assert (bars["high"].max(), clean["high"].max()) == (6455700, 936700)
    assert [(problem.what, problem.count) for problem in problems] == [("bar with a high over 150 % of its low", 1)]


def test_until_is_a_moment(tmp_path: Path) -> None:
    moment: datetime = CALENDAR.session(DAY).open + timedelta(seconds=119)
    assert len(lean_folder(tmp_path).minute_bars("XYZ", DAY, moment)) == 1


AS_AN_ORDINARY_ACCOUNT = """if True:
    import os, sys
    from datetime import date, timedelta
    from pathlib import Path
    from trading_platform.calendars.exchange import ExchangeCalendar
    from trading_platform.domain.errors import InvalidInput
    from trading_platform.marketdata.providers.lean_files import LeanFiles

    root, way = Path(sys.argv[1]), sys.argv[2]
    day = date(2013, 10, 9)
    until = ExchangeCalendar().session(day).after_hours_close
    ways = {
        "root": lambda files: None,
        "minutes": lambda files: files.minute_bars("XYZ", day, until),
        "sessions": lambda files: files.minute_sessions("XYZ", day + timedelta(days=1)),
        "daily": lambda files: files.daily_bars("XYZ", day, 5),
    }
    if os.geteuid() == 0:
        # Whatever Python itself still has to read, it reads while it may.
        ways[way](LeanFiles(root))
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    try:
        ways[way](LeanFiles(root))
    except InvalidInput as error:
        assert error.mend, error
        print(str(error))
    else:
        print("read")
"""


@pytest.mark.parametrize(
    ("way", "closed"),
    [
        ("root", "equity"),
        ("root", "equity/usa"),
        ("minutes", "equity/usa/minute"),
        ("minutes", "equity/usa/minute/xyz"),
        ("minutes", "equity/usa/minute/xyz/20131009_trade.zip"),
        ("sessions", "equity/usa/minute/xyz"),
        ("daily", "equity/usa/daily"),
        ("daily", "equity/usa/daily/xyz.zip"),
        ("daily", "equity/usa/factor_files"),
        ("daily", "equity/usa/factor_files/xyz.csv"),
    ],
)
def test_what_may_not_be_read_is_named(way: str, closed: str) -> None:
    # Not in pytest's own folder, which no other account may enter.
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)
        lean_folder(root, factors="20501231,1,1,0\n")

        def told() -> str:
            done = subprocess.run(
                [sys.executable, "-c", AS_AN_ORDINARY_ACCOUNT, str(root), way],
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            return done.stdout.strip()

        assert told() == "read"
        rights = (root / closed).stat().st_mode
        (root / closed).chmod(0)
        said = told()
        (root / closed).chmod(rights)
    assert f"{root}/equity/usa" in said
    assert "it cannot be read: Permission denied" in said
    assert "name another data folder" in said
