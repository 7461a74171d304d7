"""What a person learns of recorded bars before trading on them, and that a stored session trades again to the cent."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from trading_platform.bootstrap import Platform, build
from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.cli import commands
from trading_platform.config.load import load
from trading_platform.domain.clock import SimulatedClock
from trading_platform.domain.errors import InvalidInput
from trading_platform.engine.cycle import run_cycle
from trading_platform.marketdata.store import BarStore, store_session
from trading_platform_tests.sessions.books import traded
from trading_platform_tests.sessions.console import HALF_DAY, Checkout

CALENDAR = ExchangeCalendar()
DAY = date(2024, 6, 12)
DAYS = CALENDAR.days(date(2024, 5, 1), DAY)
HEADER = "open,high,low,close,volume"


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    (tmp_path / "checkout").mkdir()
    return Checkout(tmp_path / "checkout")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs `trading-platform data` in this process, as its entry point does but for the message of an `InvalidInput`."""
    monkeypatch.setenv("TRADING_PLATFORM_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(commands, ["data", *arguments], standalone_mode=False)

    return invoke


def minutes(*, skip: int = 0, price: str = "10") -> list[str]:
    """A session's regular bars, the first `skip` of them left out, and pre-market bars."""
    clock = ["08:00", "09:00"] + [f"{minute // 60:02}:{minute % 60:02}" for minute in range(570 + skip, 960)]
    return [f"{time},{price},{price},{price},{price},1000" for time in clock]


def csv_folder(root: Path, symbol: str, bars: dict[date, list[str]], daily: list[str] | None = None) -> Path:
    """A user's CSV files of one symbol. `daily`: rows; left out, ten dollars on every day of `DAYS`."""
    rows = {
        "minute": [f"time,{HEADER}", *(f"{day} {bar}" for day, some in bars.items() for bar in some)],
        "daily": [f"date,{HEADER}", *([f"{day},10,10,10,10,1000000" for day in DAYS] if daily is None else daily)],
        "splits": ["date,ratio"],
    }
    for folder, lines in rows.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / f"{symbol}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def whole(root: Path, symbol: str = "XYZ", **changes: Any) -> Path:
    return csv_folder(root, symbol, {DAYS[-2]: minutes(), DAY: minutes(**changes)})


def checked(result: Result) -> list[dict[str, Any]]:
    assert result.exception is None, result.exception
    return list(json.loads(result.stdout))


def test_a_session_that_lacks_nothing_is_ready(run: Callable[..., Result], tmp_path: Path) -> None:
    data = ("--data", f"csv:{whole(tmp_path)}")
    result = run("check", *data, "--session", str(DAY))
    assert result.return_value == 0
    assert "1 session of 1 symbol on 1 day: 1 can be traded, 0 lack something or are doubtful" in result.stdout
    (found,) = checked(run("check", *data, "--session", str(DAY), "--json"))
    assert found == {
        "symbol": "XYZ",
        "session": "2024-06-12",
        "bars": 390,
        "missing": 0,
        "premarket": 2,
        "refused": [],
        "lacks": [],
        "doubts": [],
        "error": None,
        "state": "ready",
    }


def test_what_is_missing_or_doubtful_is_named(run: Callable[..., Result], tmp_path: Path) -> None:
    whole(tmp_path)
    whole(tmp_path, "HOLES", skip=40)
    csv_folder(tmp_path, "NEW", {DAY: [*minutes()[2:], "16:00,nan,1,1,1,1"]}, daily=[f"{DAYS[-2]},10,10,10,10,5"])
    csv_folder(tmp_path, "BAD", {DAYS[-2]: minutes(), DAY: [*minutes()[:-1], "15:59,10,9,10,10,1"]})
    result = run("check", "--data", f"csv:{tmp_path}", "--session", str(DAY))
    assert result.return_value == 1
    for said in (
        "HOLES 2024-06-12: 40 of 390 minutes have no bar",
        "NEW 2024-06-12: fewer than 20 daily bars up to the previous session for the volume",
        "NEW 2024-06-12: no pre-market bars",
        "NEW 2024-06-12: no earlier minute session for the volume profile",
        "BAD 2024-06-12: refused: bar with crossed prices (1)",
        "4 sessions of 4 symbols on 1 day: 1 can be traded, 3 lack something or are doubtful, 0 cannot be used.",
    ):
        assert said in result.stdout, said


def test_a_few_silent_minutes_are_no_doubt(run: Callable[..., Result], tmp_path: Path) -> None:
    data = ("--data", f"csv:{whole(tmp_path, skip=39)}", "--session", str(DAY), "--json")
    (found,) = checked(run("check", *data))
    assert (found["missing"], found["doubts"]) == (39, [])


def test_a_session_without_a_file_is_missing(run: Callable[..., Result], tmp_path: Path) -> None:
    data = ("--data", f"csv:{whole(tmp_path)}")
    result = run("check", *data, "--from", "2024-06-10", "--to", "2024-06-12")
    assert result.return_value == 1
    assert "XYZ 2024-06-10: no bar in the session" in result.stdout
    # Without dates the recorded sessions are looked at.
    assert [one["session"] for one in checked(run("check", *data, "--json"))] == ["2024-06-11", "2024-06-12"]


@pytest.mark.parametrize(
    ("price", "said"),
    [
        ("5.05", "from 10.00 to 5.05 on 2024-06-12 looks like a split of 2:1 that the data do not know of"),
        ("12.5", "from 10.00 to 12.50 on 2024-06-12 looks like a split of 4:5 that the data do not know of"),
        ("98", "looks like a split of 1:10"),
        ("11.9", None),
        ("9.1", None),
        ("5.6", None),
    ],
)
def test_an_overnight_move_like_a_split_is_doubtful(
    run: Callable[..., Result], tmp_path: Path, price: str, said: str | None
) -> None:
    whole(tmp_path, price=price)
    data = ("--data", f"csv:{tmp_path}", "--session", str(DAY))
    result = run("check", *data)
    assert (result.return_value, said is None or said in result.stdout) == (0 if said is None else 1, True)


def test_a_split_that_the_data_know_is_none(run: Callable[..., Result], tmp_path: Path) -> None:
    whole(tmp_path, price="5.05")
    (tmp_path / "splits" / "XYZ.csv").write_text("date,ratio\n2024-06-12,2:1\n", encoding="utf-8")
    assert run("check", "--data", f"csv:{tmp_path}", "--session", str(DAY)).return_value == 0


def test_a_split_in_the_daily_bars_is_found(run: Callable[..., Result], tmp_path: Path) -> None:
    rows = [f"{day},{30 if day < DAYS[9] else 10},31,9,{30 if day < DAYS[9] else 10},1000000" for day in DAYS]
    csv_folder(tmp_path, "XYZ", {DAYS[-2]: minutes(), DAY: minutes()}, daily=rows)
    result = run("check", "--data", f"csv:{tmp_path}", "--session", str(DAY))
    assert f"from 30.00 to 10.00 on {DAYS[9]} looks like a split of 3:1" in result.stdout


def test_sessions_in_a_row_of_which_the_same_is_said_are_one_line(run: Callable[..., Result], tmp_path: Path) -> None:
    days = DAYS[-12:]
    # There on the second and on the last day: a run before, and a long one between.
    csv_folder(tmp_path / "csv", "XYZ", {days[1]: minutes(), days[-1]: minutes()})
    span = ("--from", str(days[0]), "--to", str(days[-1]))
    columns = str(tmp_path / "columns")
    for _ in range(2):
        imported = run("import", f"csv:{tmp_path / 'csv'}", columns, *span)
        assert imported.return_value == 1, imported.exception
        first, second, summary = imported.stdout.splitlines()
        assert first == f"{days[0]}: the source has no bar of any symbol."
        assert second == f"{days[2]} to {days[-2]}: the source has no bar of any symbol in 9 sessions."
        assert "10 missing" in summary
    assert json.loads(run("import", f"csv:{tmp_path / 'csv'}", columns, *span, "--json").stdout)["missing"] == [
        str(day) for day in days if day not in (days[1], days[-1])
    ]
    result = run("check", "--data", f"columns:{columns}")
    assert result.return_value == 1
    assert result.stdout.splitlines()[0] == f"{days[2]} to {days[-2]}: the session is not there in 9 sessions."

    found = run("check", "--data", f"csv:{tmp_path / 'csv'}", *span).stdout
    said = [line for line in found.splitlines() if "no bar in the session" in line]
    assert said == [
        f"XYZ {days[0]}: no bar in the session",
        f"XYZ {days[2]} to {days[-2]}, 9 sessions: no bar in the session",
    ]


def test_every_file_that_cannot_be_used_is_named_at_once(run: Callable[..., Result], tmp_path: Path) -> None:
    whole(tmp_path)
    whole(tmp_path, "ONE")
    (tmp_path / "splits" / "ONE.csv").unlink()
    csv_folder(tmp_path, "TWO", {DAY: ["09:30,1,1,x,1,1"]})
    result = run("check", "--data", f"csv:{tmp_path}")
    assert result.return_value == 2
    assert "ONE.csv: there is no file of splits" in result.stdout
    assert "TWO.csv, row 2, column low: 'x' is not a price" in result.stdout
    assert "2 can be traded" not in result.stdout
    assert "cannot be used." in result.stdout
    assert checked(run("check", "--data", f"csv:{tmp_path}", "--symbols", "TWO", "--json"))[0]["state"] == "unusable"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--session", "2024-06-15"), "2024-06-15 .Saturday. is not a session"),
        (("--session", "12.6.2024"), "--session: '12.6.2024' is no date"),
        (("--from", "x", "--to", "2024-06-12"), "--from: 'x' is no date"),
        (("--from", "2024-06-12"), "--to: only one end of the sessions is named"),
        (("--from", "2024-06-12", "--to", "2024-06-10"), "2024-06-10 is before 2024-06-12"),
        (("--from", "2024-06-15", "--to", "2024-06-16"), "there is no session from 2024-06-15 to 2024-06-16"),
        (("--session", "2024-06-12", "--to", "2024-06-12"), "both one session and several are named"),
        ((), "no session is named. Give it as --session"),
    ],
)
def test_dates_that_cannot_be_meant_are_refused(
    run: Callable[..., Result], arguments: tuple[str, ...], said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        raise run("check", *arguments).exception or AssertionError("nothing was refused")


def test_the_exit_code_reaches_the_shell(checkout: Checkout, tmp_path: Path) -> None:
    whole(tmp_path)
    whole(tmp_path, "HOLES", skip=40)
    data = ("data", "check", "--data", f"csv:{tmp_path}", "--session", str(DAY), "--symbols")
    assert checkout.run(*data, "XYZ").returncode == 0
    assert checkout.run(*data, "XYZ,HOLES").returncode == 1
    (tmp_path / "minute" / "XYZ.csv").write_text("spoilt", encoding="utf-8")
    done = checkout.run(*data, "XYZ")
    assert (done.returncode, done.stderr) == (2, "")
    assert "the column time, open, high, low, close, volume is missing; the header is spoilt" in done.stdout


def test_the_symbols_and_sessions_of_a_folder(run: Callable[..., Result], tmp_path: Path) -> None:
    whole(tmp_path)
    csv_folder(tmp_path, "ABC", {DAY: minutes()})
    result = run("list", "--data", f"csv:{tmp_path}", "--json")
    assert json.loads(result.stdout) == {
        "source": {"provider": "files", "feed": "csv", "adjustment": "split"},
        "symbols": [
            {"symbol": "ABC", "sessions": 1, "first": "2024-06-12", "last": "2024-06-12"},
            {"symbol": "XYZ", "sessions": 2, "first": "2024-06-11", "last": "2024-06-12"},
        ],
    }
    table = run("list", "--data", f"csv:{tmp_path}").stdout
    assert "Minute bars of files, csv" in table
    assert "2024-06-11" in table
    (tmp_path / "none" / "minute").mkdir(parents=True)
    assert run("list", "--data", f"csv:{tmp_path / 'none'}").stdout == "There are no minute bars.\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Trades the half day on some source of bars, each time in a book of its own."""

    fresh_database: Callable[[], str]
    folder: Path

    def trade(self, name: str, **market: Any) -> tuple[Platform, list[Any]]:
        settings = load(
            {},
            {
                "data_folder": self.folder / name,
                "database_url": self.fresh_database(),
                "account": {"book": "again"},
                "market_data": {"symbols": ("SIMA", "SIMB", "SIMC", "SIMD"), **market},
                "active_strategies": [{"name": "vwap_reclaim"}],
            },
        )
        platform = build(settings, SimulatedClock(CALENDAR.session(HALF_DAY).open))
        try:
            session = platform.simulated_session(HALF_DAY)
            for _ in session.run(lambda day, minute: run_cycle(platform.stages, day, minute)):
                pass
            return platform, traded(platform.ledger)
        finally:
            platform.close()


@pytest.fixture
def desk(fresh_database: Callable[[], str], tmp_path: Path) -> Desk:
    return Desk(fresh_database=fresh_database, folder=tmp_path / "desk")


def test_a_stored_session_trades_again_to_the_cent(desk: Desk, run: Callable[..., Result], tmp_path: Path) -> None:
    platform, fills = desk.trade("first", provider="simulated")
    assert len(fills) >= 4
    root = tmp_path / "bars"
    session = CALENDAR.session(HALF_DAY)
    store_session(platform.provider, platform.calendar, platform.symbols, session, BarStore(root))

    _, fills_again = desk.trade("second", provider="parquet", folder=root)
    assert fills_again == fills

    result = run("check", "--data", f"parquet:{root}", "--session", str(HALF_DAY))
    assert (result.return_value, result.exception) == (0, None), result.stdout
    listed = json.loads(run("list", "--data", f"parquet:{root}", "--json").stdout)
    assert listed["source"]["provider"] == "simulated"
    assert [one["symbol"] for one in listed["symbols"]] == ["SIMA", "SIMB", "SIMC", "SIMD"]


def test_a_users_csv_files_are_traded(desk: Desk, tmp_path: Path) -> None:
    """The same session, written out as a user's own CSV files, gives the same trades."""
    platform, fills = desk.trade("first", provider="simulated")
    provider, root = platform.provider, tmp_path / "csv"
    for symbol in platform.symbols:
        days = [*provider.minute_sessions(symbol, HALF_DAY)[-25:], HALF_DAY]
        rows = [
            f"{_utc(bar['time'])},{','.join(_dollars(bar[name]) for name in ('open', 'high', 'low', 'close'))},{bar['volume']}"
            for day in days
            for bar in provider.minute_bars(symbol, day, CALENDAR.session(day).close)
        ]
        daily = [
            f"{date.fromordinal(719_163 + int(bar['day']))},"
            f"{','.join(_dollars(bar[name]) for name in ('open', 'high', 'low', 'close'))},{bar['volume']}"
            for bar in provider.daily_bars(symbol, HALF_DAY, 60)
        ]
        csv_folder(root, symbol, {}, daily=daily)
        (root / "minute" / f"{symbol}.csv").write_text("\n".join([f"time,{HEADER}", *rows]) + "\n", encoding="utf-8")
    _, fills_again = desk.trade("second", provider="csv", folder=root)
    assert fills_again == fills


def _utc(seconds: int) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).isoformat()


def _dollars(units: int) -> str:
    return f"{int(units) / 10_000:.4f}"
