"""Bars that no market makes, bars that are missing, days that are none: refused, counted, and never traded on.

`timed_entry` buys each symbol on minute 1. A symbol whose bar of that minute is bad has none, and so no entry; the
other symbols of the same cycle trade on.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from trading_platform.bootstrap import Platform
from trading_platform.calendars.sessions import Session
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.reports import CycleReport, DataProblem
from trading_platform.engine.cycle import run_cycle
from trading_platform.engine.inputs import unpack
from trading_platform.marketdata import fetch
from trading_platform.marketdata.provider import Provider
from trading_platform_tests.sessions.books import Book, exchange_orders, go_on_until, pass_time, run_until, with_parts
from trading_platform_tests.sessions.tape import DAY, TAPE, write_rows, write_tape

GOOD = "50.00 50.10 49.90 50.00 10000"
# The bar of minute 1 as it should not be, and what is said of it.
BAD = {
    "NAN": ("nan 50.10 49.90 50.00 10000", "bar with a price that is zero, negative or no number"),
    "ZERO": ("50.00 50.10 0 50.00 10000", "bar with a price that is zero, negative or no number"),
    "MINUS": ("50.00 50.10 49.90 -50.00 10000", "bar with a price that is zero, negative or no number"),
    "HIGH": ("50.00 49.80 49.90 50.00 10000", "bar with crossed prices"),
    "LOW": ("50.00 50.10 50.05 50.00 10000", "bar with crossed prices"),
    "SPLIT": ("50.00 150.00 49.90 50.00 10000", "bar with a high over 150 % of its low"),
    "VOLUME": ("50.00 50.10 49.90 50.00 -1", "bar with a volume that is negative or no number"),
    "NANVOL": ("50.00 50.10 49.90 50.00 nan", "bar with a volume that is negative or no number"),
}
TIMES = [34_200_000, 34_260_000, 34_320_000]


@pytest.fixture
def book_of(tmp_path: Path, fresh_database: Callable[[], str]) -> Callable[..., Book]:
    """Makes a book that trades `symbols` on the bars in the test's own folder."""

    def make(*symbols: str) -> Book:
        return Book(
            name="tape",
            database_url=fresh_database(),
            data_folder=tmp_path / "data",
            bars=tmp_path / "bars",
            symbols=symbols,
        )

    return make


def tape(bars: Mapping[str, str]) -> str:
    """Three minutes of each symbol, all good but minute 1, which is given."""
    return "\n".join(
        f"{symbol} {minute} {bar if minute == 1 else GOOD}" for symbol, bar in bars.items() for minute in range(3)
    )


def entered(report: CycleReport) -> set[str]:
    return {one.symbol for one in report.decisions}


def test_a_malformed_bar_is_refused_counted_and_not_traded_on(book_of: Callable[..., Book], tmp_path: Path) -> None:
    write_tape(tmp_path / "bars", tape({"GOOD": GOOD} | {symbol: bar for symbol, (bar, _) in BAD.items()}))
    book = book_of("GOOD", *BAD)
    with book.open() as platform:
        report = run_until(platform, 1)[-1]
        assert set(report.problems) == {DataProblem(symbol=symbol, what=what) for symbol, (_, what) in BAD.items()}
        assert report.bars == 1
        assert entered(report) == {"GOOD"}
        assert {row[1] for row in exchange_orders(book.exchange_file)} == {"GOOD"}
        # What was refused stands in the ledger too.
        recorded = platform.ledger.cycles(DAY)[1]
        assert recorded.problems == report.problems


def test_without_the_judge_they_would_be_traded_on(
    book_of: Callable[..., Book], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def believe(symbols: Any, bars: Any, session: Session) -> Any:  # noqa: ARG001 (stands for the judge)
        return tuple(bars), ()

    write_tape(tmp_path / "bars", tape({"HIGH": BAD["HIGH"][0], "SPLIT": BAD["SPLIT"][0]}))
    book = book_of("HIGH", "SPLIT")
    monkeypatch.setattr(fetch, "judge_all", believe)
    with book.open() as platform:
        assert entered(run_until(platform, 1)[-1]) == {"HIGH", "SPLIT"}


def test_a_refused_bar_fills_nothing(book_of: Callable[..., Book], tmp_path: Path) -> None:
    # Minute 2 of AAA, which would fill 100 shares, is no bar: the order waits for minute 3.
    write_tape(tmp_path / "bars", TAPE.replace("AAA  2  50.00 50.15 49.95 50.10", "AAA  2  50.00 50.15 49.95   nan"))
    with book_of("AAA", "BBB").open() as platform:
        reports = run_until(platform, 3)
        fills = [(fill.symbol, fill.quantity) for fill in platform.ledger.fills()]
    assert fills == [("BBB", 320), ("AAA", 150)]
    # Each cycle takes all of the session's bars so far, and says what is newly wrong with them.
    assert [sum(problem.count for problem in report.problems) for report in reports[1:]] == [0, 1, 0]


def test_of_bars_with_one_time_the_first_stands(book_of: Callable[..., Book], tmp_path: Path) -> None:
    wild = "AAA 1 70.00 70.00 70.00 70.00 10000"
    write_tape(tmp_path / "bars", f"AAA 0 {GOOD}\nAAA 1 {GOOD}\n{wild}\nAAA 2 {GOOD}")
    with book_of("AAA").open() as platform:
        report = run_until(platform, 1)[-1]
    assert report.problems == (DataProblem(symbol="AAA", what="bar with a repeated time"),)
    (decision,) = report.decisions
    assert str(decision.price) == "50.0000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shuffled:
    """A source that hands the bars of its first minutes on in another order."""

    provider: Provider

    def __getattr__(self, name: str) -> Any:
        return getattr(self.provider, name)

    def minute_bars(self, symbol: str, session: date, until: datetime) -> npt.NDArray[Any]:
        bars = self.provider.minute_bars(symbol, session, until)
        return bars[np.array([0, 2, 1], np.int64)] if symbol == "AAA" and len(bars) == 3 else bars


def test_a_bar_out_of_order_is_refused(book_of: Callable[..., Book], tmp_path: Path) -> None:
    write_tape(tmp_path / "bars", f"AAA 0 {GOOD}\nAAA 1 {GOOD}\nAAA 2 {GOOD}\nBBB 0 {GOOD}\nBBB 1 {GOOD}")
    with book_of("AAA", "BBB").open() as platform:
        shuffled: Any = Shuffled(provider=platform.provider)
        seen = with_parts(platform, provider=shuffled, strategies=platform.stages.parts.strategies)
        session = seen.simulated_session(DAY)
        session.open()
        pass_time(platform, 2)
        fetched = seen.stages.fetch(DAY, 2)
        seen.stages.release()
    assert fetched.problems == (DataProblem(symbol="AAA", what="bar out of order"),)
    assert [int(count) for count in (fetched.bars.bars["time"][:, :3] != 0).sum(axis=1)] == [2, 2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """A source that has AAA's bar of minute 1 only with that of minute 2."""

    provider: Provider

    def __getattr__(self, name: str) -> Any:
        return getattr(self.provider, name)

    def minute_bars(self, symbol: str, session: date, until: datetime) -> npt.NDArray[Any]:
        bars = self.provider.minute_bars(symbol, session, until)
        return bars[:1] if symbol == "AAA" and len(bars) == 2 else bars


def test_a_bar_that_comes_late_is_recorded_with_the_minute_that_saw_it(
    book_of: Callable[..., Book], tmp_path: Path
) -> None:
    write_tape(tmp_path / "bars", TAPE)
    with book_of("AAA", "BBB").open() as platform:
        late: Any = Late(provider=platform.provider)
        seen = with_parts(platform, provider=late, strategies=platform.stages.parts.strategies)
        reports = run_until(seen, 3)
        records = [platform.ledger.cycle(report.bar_time) for report in reports]
        seen.stages.release()
    inputs = [unpack(record.inputs) for record in records if record is not None]
    assert [plain["first_minute"] for plain, _ in inputs] == [0, 1, 1, 3]
    assert [arrays["bars"].shape for _, arrays in inputs] == [(2, 1), (2, 1), (2, 2), (2, 1)]
    assert [int(bar["time"] != 0) for _, arrays in inputs for bar in arrays["bars"][0]] == [1, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([f"{TIMES[1]},1,1,1,1,1", f"{TIMES[0]},1,1,1,1,1"], r"row 2, column time: is before the row above it"),
        ([f"{TIMES[0]},1,1,1,1,1", f"{TIMES[1]},1,1,abc,1,1"], r"row 2, column low: 'abc' is not a price"),
        ([f"{TIMES[0]},1,1,1,1"], r"row 1: has 5 cells, not 6"),
        (["09:30,1,1,1,1,1"], r"row 1, column time: '09:30' is not a time in milliseconds"),
    ],
)
def test_a_malformed_file_stops_the_cycle_and_names_the_row(
    book_of: Callable[..., Book], tmp_path: Path, lines: list[str], said: str
) -> None:
    write_tape(tmp_path / "bars", TAPE)
    path = write_rows(tmp_path / "bars", "AAA", lines)
    book = book_of("AAA", "BBB")
    with book.open() as platform:
        with pytest.raises(InvalidInput, match=said) as caught:
            run_until(platform, 1)
        assert str(path) in str(caught.value)
        assert platform.ledger.cycles(DAY) == ()
        assert exchange_orders(book.exchange_file) == []


def test_a_symbol_without_bars_is_reported_and_has_no_entry(book_of: Callable[..., Book], tmp_path: Path) -> None:
    write_tape(tmp_path / "bars", TAPE)
    with book_of("BBB", "NONE").open() as platform:
        reports = run_until(platform, 1)
    silent = DataProblem(symbol="NONE", what="no bar in the session")
    assert [silent in report.problems for report in reports] == [True, False]
    assert entered(reports[1]) == {"BBB"}


def test_a_symbol_whose_bars_stop_is_still_let_out_by_the_clock(book_of: Callable[..., Book], tmp_path: Path) -> None:
    # BBB is bought on minute 2 and shows no bar after that: its exit is decided all the same, on the plan's minute.
    write_tape(tmp_path / "bars", "\n".join(f"BBB {minute} 20.00 20.05 19.95 20.00 50000" for minute in range(3)))
    with book_of("BBB").open() as platform:
        flat = platform.stages.parts.strategies[0].with_values({"exit_plan.flat_by": 380})
        seen = with_parts(platform, strategies=(flat,))
        reports = run_until(seen, 8)
        seen.stages.release()
    # flat_by 380 minutes before the close of 390: decided on minute 8.
    assert [(report.bar_time.minute - 30, entered(report)) for report in reports if report.decisions] == [
        (1, {"BBB"}),
        (8, {"BBB"}),
    ]


@pytest.fixture
def platform(book_of: Callable[..., Book], tmp_path: Path) -> Any:
    write_tape(tmp_path / "bars", TAPE)
    with book_of("AAA", "BBB").open() as made:
        yield made


@pytest.mark.parametrize(("day", "called"), [(date(2013, 10, 12), "2013-10-12"), (date(2013, 12, 25), "2013-12-25")])
def test_a_day_that_is_no_session_is_refused(platform: Platform, day: date, called: str) -> None:
    with pytest.raises(InvalidInput, match=called):
        platform.simulated_session(day)
    with pytest.raises(InvalidInput, match=called):
        run_cycle(platform.stages, day, 0)
    assert platform.ledger.last_cycle() is None


def test_a_bar_that_has_not_closed_yet_is_not_decided(platform: Platform) -> None:
    run_until(platform, 0)
    with pytest.raises(InvalidInput, match=r"the bar of 2013-10-09T13:31:00\+00:00 closes at .* wait for it"):
        run_cycle(platform.stages, DAY, 1)
    session = platform.simulated_session(DAY)
    with pytest.raises(InvalidInput, match="minute 390 of the session 2013-10-09 is not its turn"):
        session.tick(390)
    with pytest.raises(InvalidInput, match="minute 390 is not in the session"):
        run_cycle(platform.stages, DAY, 390)
    assert len(platform.ledger.cycles(DAY)) == 1
    # A second before it closes it still has not; then it has.
    closes = session.session.open + timedelta(minutes=2)
    platform.clock.advance_to(closes - timedelta(seconds=1))  # type: ignore[attr-defined]  # a simulated clock
    with pytest.raises(InvalidInput, match="wait for it"):
        run_cycle(platform.stages, DAY, 1)
    assert entered(go_on_until(platform, 1)[0]) == {"AAA", "BBB"}


def test_the_provider_never_shows_a_bar_before_its_end(platform: Platform) -> None:
    reports = run_until(platform, 5)
    assert [report.bars for report in reports] == [2] * 6
    fetched = platform.stages.fetch(DAY, 3)
    newest = int(fetched.bars.bars["time"].max())
    assert newest == int((platform.calendar.session(DAY).open + timedelta(minutes=3)).timestamp())
