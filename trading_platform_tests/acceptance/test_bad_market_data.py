"""Bars that no market makes, bars that are missing, days that are none: refused, counted, and never traded on.

`timed_entry` buys each symbol on minute 1. A symbol whose bar of that minute is bad has none, and so no entry; the
other symbols of the same cycle trade on.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from trading_platform.bootstrap import Platform
from trading_platform.calendars.sessions import Session
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.records import bar_t
from trading_platform.domain.reports import CycleReport, DataProblem
from trading_platform.engine.cycle import run_cycle
from trading_platform.engine.inputs import unpack
from trading_platform.engine.session_state import SessionState
from trading_platform.marketdata import fetch
from trading_platform.marketdata.provider import Provider
from trading_platform.marketdata.providers.lean_files import LeanFiles
from trading_platform_tests.sessions.books import (
    Book,
    exchange_orders,
    go_on_until,
    pass_time,
    run_until,
    traded,
    with_parts,
)
from trading_platform_tests.sessions.tape import DAY, LAST_MINUTE, TAPE, write_rows, write_tape

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
def test_a_malformed_file_stops_its_symbol_and_names_the_row(
    book_of: Callable[..., Book], tmp_path: Path, lines: list[str], said: str
) -> None:
    write_tape(tmp_path / "bars", TAPE)
    path = write_rows(tmp_path / "bars", "AAA", lines)
    book = book_of("AAA", "BBB")
    with book.open() as platform:
        reports = run_until(platform, 1)
        for report in reports:
            (problem,) = [one for one in report.problems if one.what.startswith(fetch.UNUSABLE)]
            assert (problem.symbol, problem.count) == ("AAA", 1)
            assert f"{path}, {said}" in problem.what.replace("\\", "")
        assert entered(reports[1]) == {"BBB"}
        assert {row[1] for row in exchange_orders(book.exchange_file)} == {"BBB"}


def flat_by_minute_8(platform: Platform, provider: Provider | None = None) -> Platform:
    """The platform with a plan that sells on minute 8; `provider` is the platform's own view, and not the venue's."""
    flat = platform.stages.parts.strategies[0].with_values({"exit_plan.flat_by": 380})
    return with_parts(platform, strategies=(flat,), provider=provider or platform.provider)


def told(reports: list[CycleReport]) -> list[tuple[Any, ...]]:
    return [(report.cash, report.equity, report.problems, report.decisions) for report in reports]


@pytest.fixture
def spoilt_view(book_of: Callable[..., Book], tmp_path: Path) -> Callable[..., tuple[list[CycleReport], list[Any]]]:
    """Trades the tape while the platform's own file of AAA is spoilt after minute 4; the venue has its own bars.

    `restarted`: a new process goes on after it. Gives the reports from minute 5 on, and what was traded.
    """

    def trade(name: str, *, spoilt: bool, restarted: bool = False) -> tuple[list[CycleReport], list[Any]]:
        write_tape(tmp_path / "bars", TAPE)
        view = write_tape(tmp_path / name, TAPE)
        with replace(book_of("AAA", "BBB"), data_folder=tmp_path / f"data {name}").open() as platform:
            seen = flat_by_minute_8(platform, LeanFiles(view, kept=0))
            run_until(seen, 4)
            if spoilt:
                write_rows(view, "AAA", [f"{TIMES[0]},1,1,abc,1,1"])
            if restarted:
                seen.stages.release()
                seen = flat_by_minute_8(platform, LeanFiles(view, kept=0))
            reports = go_on_until(seen, LAST_MINUTE)
            seen.stages.release()
            return reports, traded(platform.ledger)

    return trade


def of(symbol: str, fills: list[Any]) -> list[Any]:
    return [fill for fill in fills if fill[0] == symbol]


def test_a_file_that_is_spoilt_in_mid_session_holds_up_no_exit_and_no_other_symbol(
    spoilt_view: Callable[..., tuple[list[CycleReport], list[Any]]],
) -> None:
    _, whole = spoilt_view("whole", spoilt=False)
    reports, fills = spoilt_view("spoilt", spoilt=True)
    assert of("BBB", fills) == of("BBB", whole)
    # 100, 150 and 50 shares of AAA were bought by then. Minute 8 decides to be flat: minute 9 opens at 50.50, where a
    # tenth of its volume is 200, and minute 10 at 49.50, each less a basis point, down to the cent.
    sold = [(fill[1], fill[2], str(fill[3])) for fill in of("AAA", fills)[3:]]
    assert sold == [("sell", 200, "50.4900"), ("sell", 100, "49.4900")]
    unusable = [[one for one in report.problems if one.what.startswith(fetch.UNUSABLE)] for report in reports]
    assert [(len(found), found[0].symbol, found[0].count) for found in unusable] == [(1, "AAA", 1)] * len(reports)
    # What AAA is worth stays what the last good bar said, 50.20 at minute 4, and not what it cost. Half of BBB is left.
    first = reports[0]
    assert first.equity - first.cash == 300 * Decimal("50.20") + 160 * Decimal("21.50")


def test_a_process_that_is_started_after_it_decides_the_same(
    spoilt_view: Callable[..., tuple[list[CycleReport], list[Any]]],
) -> None:
    reports, fills = spoilt_view("one", spoilt=True)
    again, fills_again = spoilt_view("two", spoilt=True, restarted=True)
    assert fills_again == fills
    assert [row[:2] for row in told(again)] == [row[:2] for row in told(reports)]


def test_without_what_was_seen_before_the_equity_would_jump(
    spoilt_view: Callable[..., tuple[list[CycleReport], list[Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SessionState, "seen", lambda _self, _symbol: np.zeros(0, bar_t))
    reports, _ = spoilt_view("unseen", spoilt=True)
    assert reports[0].equity - reports[0].cash != 300 * Decimal("50.20") + 160 * Decimal("21.50")


def test_were_it_not_kept_to_its_symbol_it_would_stop_the_cycle(
    spoilt_view: Callable[..., tuple[list[CycleReport], list[Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def receive(provider: Provider, symbols: Any, session: Session, until: datetime, _seen: Any) -> Any:
        return [provider.minute_bars(symbol, session.day, until) for symbol in symbols], ()

    monkeypatch.setattr(fetch, "_receive", receive)
    with pytest.raises(InvalidInput, match="row 1, column low: 'abc' is not a price"):
        spoilt_view("stopped", spoilt=True)


def test_where_the_paper_exchange_reads_the_spoilt_file_too_the_exit_waits_for_its_bars(
    book_of: Callable[..., Book], tmp_path: Path
) -> None:
    write_tape(tmp_path / "bars", TAPE)
    book = book_of("AAA", "BBB")
    with book.open() as platform:
        whole = flat_by_minute_8(platform)
        run_until(whole, 4)
        whole.stages.release()
    write_rows(tmp_path / "bars", "AAA", [f"{TIMES[0]},1,1,abc,1,1"])
    with book.open() as platform:
        spoilt = flat_by_minute_8(platform)
        spoilt.simulated_session(DAY).open()
        reports = go_on_until(spoilt, 10)
        spoilt.stages.release()
        assert {one.symbol for report in reports for one in report.decisions} == {"AAA", "BBB"}
        held = {position.symbol: position.quantity for position in platform.ledger.holdings().positions.values()}
        assert held == {"AAA": 300, "BBB": 0}
    write_tape(tmp_path / "bars", TAPE)
    with book.open() as platform:
        mended = flat_by_minute_8(platform)
        mended.simulated_session(DAY).open()
        go_on_until(mended, LAST_MINUTE)
        mended.stages.release()
        held = {position.symbol: position.quantity for position in platform.ledger.holdings().positions.values()}
        assert held == {"AAA": 0, "BBB": 0}


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
