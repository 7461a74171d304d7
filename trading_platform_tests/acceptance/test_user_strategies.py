"""Strategies of a user's own through the cycle: the example trades, and one that fails never touches the others.

AAA and BBB are the bars of `sessions.tape`; `steady` trades them alone. CCC stands at 80 dollars and falls through 79
on minute 10; `mine` buys 100 shares of it on minute 2, with its stop at 79.00, and then fails in one way or another.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest

from trading_platform.bootstrap import Platform, build
from trading_platform.calendars.sessions import exchange_moment
from trading_platform.config.load import load
from trading_platform.domain.clock import SimulatedClock
from trading_platform.domain.compiled import UNCOMPILED
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.reports import CycleReport
from trading_platform.engine import session_state
from trading_platform.engine.cycle import run_cycle
from trading_platform.performance.pnl import trades
from trading_platform.strategies.scan import SessionFold
from trading_platform_tests.factories.strategy_files import ENTER, line_of, source, write
from trading_platform_tests.sessions.books import go_on_until, run_until
from trading_platform_tests.sessions.console import HALF_DAY
from trading_platform_tests.sessions.tape import DAY, LAST_MINUTE, TAPE, write_tape

EXAMPLE: Final = Path(__file__).resolve().parents[2] / "examples" / "opening_range_breakout.py"

BARS: Final = (
    TAPE
    + "\n".join(f"CCC {minute} 80.00 80.10 79.90 80.00 50000" for minute in range(10))
    + "\nCCC 10 79.50 79.60 78.50 78.80 50000\n"
    + "\n".join(f"CCC {minute} 78.80 78.90 78.70 78.80 50000" for minute in range(11, 14))
)
STEADY: Final = source(
    ENTER.replace("> 60.0", "< 60.0"),
    name="steady",
    plan="scale_outs=(ScaleOut(fraction=0.5, target=1.0),), flat_by=time(9, 42)",
)
BOUGHT: Final = (2, "buy", 100, "80.01")  # 80.00 + 1 bp = 80.008
STOPPED: Final = (10, "sell", 100, "78.99")  # 79.00 - 1 bp = 78.9921
BY_CLOCK: Final = (9, "sell", 100, "79.99")  # 80.00 - 1 bp = 79.992

Active = Sequence[Mapping[str, Any]]
Fills = list[tuple[int, str, int, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a book of a test lives."""

    url: str
    folder: Path

    def file(self, name: str, text: str) -> dict[str, Any]:
        """A strategy's file, as the configuration names it."""
        return {"name": name, "file": write(self.folder / f"{name}.py", text)}

    @contextmanager
    def platform(self, active: Active, *, strict: bool = False, day: date = DAY, **market: Any) -> Iterator[Platform]:
        bars = {"provider": "lean", "folder": self.folder / "bars", "symbols": ("AAA", "BBB", "CCC")}
        settings = load(
            {},
            {
                "data_folder": self.folder / "data",
                "database_url": self.url,
                "account": {"book": "users"},
                "market_data": market or bars,
                "active_strategies": list(active),
            },
        )
        made = build(settings, SimulatedClock(exchange_moment(day, time())), strict=strict)
        try:
            yield made
        finally:
            made.close()


@pytest.fixture
def place(tmp_path: Path, fresh_database: Callable[[], str]) -> Place:
    write_tape(tmp_path / "bars", BARS)
    return Place(url=fresh_database(), folder=tmp_path)


def fills_of(platform: Platform, strategy: str) -> Fills:
    opens = platform.calendar.session(DAY).open
    return [
        ((fill.time - opens).seconds // 60, fill.side.value, fill.quantity, f"{fill.price:.2f}")
        for fill in platform.ledger.fills()
        if fill.strategy == strategy
    ]


def result_of(platform: Platform, strategy: str) -> list[tuple[str, Decimal, Decimal]]:
    rows = [row for row in platform.ledger.pnl() if row.strategy == strategy]
    return [(row.symbol, row.realised, row.fees) for row in rows]


# AAA: 100 shares for 50.01 on minute 2, half at 1R, 51.02: decided on minute 6, sold on 7; the rest meets its stop.
# BBB: 100 shares for 20.01, half at 21.02: decided on minute 3; the rest goes by the clock, on minute 11.
STEADY_FILLS: Final = [
    (2, "buy", 100, "50.01"),
    (2, "buy", 100, "20.01"),
    (4, "sell", 50, "20.99"),
    (7, "sell", 50, "51.19"),
    (10, "sell", 50, "48.99"),
    (11, "sell", 50, "21.99"),
]
# 50 x 51.19 + 50 x 48.99 - 100 x 50.01, and 50 x 20.99 + 50 x 21.99 - 100 x 20.01; an order costs at least a dollar.
STEADY_RESULT: Final = [
    ("AAA", Decimal("8.00"), Decimal("3.00")),
    ("BBB", Decimal("148.00"), Decimal("3.00")),
]


def steady_is_untouched(platform: Platform) -> bool:
    assert fills_of(platform, "steady") == STEADY_FILLS
    assert result_of(platform, "steady") == STEADY_RESULT
    return True


def said_of_mine(report: CycleReport) -> list[str]:
    return [fault for fault in report.faults if fault.startswith("mine")]


def test_a_strategy_alone_is_the_measure(place: Place) -> None:
    with place.platform([place.file("steady", STEADY)], strict=True) as platform:
        reports = run_until(platform, LAST_MINUTE)
        assert steady_is_untouched(platform)
        assert not any(report.faults for report in reports)


RAISES: Final = ENTER + "    if bar.minute >= 3:\n        raise ValueError('no more')\n"
GIVES_UP: Final = ENTER + "    if bar.minute == 3:\n        out.fault = 7\n"
MISSPELT: Final = ENTER + "    out.level1 = bar.closing\n"


@pytest.mark.parametrize(("plan", "left"), [("", STOPPED), ("flat_by=time(9, 40)", BY_CLOCK)])
def test_a_step_that_raises_is_set_aside_and_what_it_holds_is_looked_after(
    place: Place, plan: str, left: tuple[int, str, int, str]
) -> None:
    text = source(RAISES, plan=plan)
    active = [place.file("mine", text), place.file("steady", STEADY)]
    with place.platform(active, strict=True) as platform:
        reports = run_until(platform, LAST_MINUTE)
        assert steady_is_untouched(platform)
        assert fills_of(platform, "mine") == [BOUGHT, left]
    assert not any(report.faults for report in reports[:3])
    for report in reports[3:]:
        (said,) = said_of_mine(report)
        assert said.startswith(f"mine is set aside for this session: {place.folder / 'mine.py'}")
        assert "the step raised ValueError: no more" in said


def test_a_step_that_fails_on_three_symbols_is_set_aside_whole(place: Place) -> None:
    active = [place.file("mine", source(GIVES_UP)), place.file("steady", STEADY)]
    with place.platform(active, strict=True) as platform:
        reports = run_until(platform, LAST_MINUTE)
        assert steady_is_untouched(platform)
        assert fills_of(platform, "mine") == [BOUGHT, STOPPED]
    assert not any(report.faults for report in reports[:3])
    for report in reports[3:]:
        said = said_of_mine(report)
        assert said[:3] == [
            f"mine on {one} from minute 3: the step gave up with number 7" for one in ("AAA", "BBB", "CCC")
        ]
        assert said[3:] == ["mine enters no more in this session: it has failed on 3 symbols"]


@pytest.mark.skipif(UNCOMPILED, reason="the compiler is off")
def test_a_step_that_does_not_compile_is_set_aside_and_reported_each_minute(place: Place) -> None:
    text = source(MISSPELT)
    active = [place.file("mine", text), place.file("steady", STEADY)]
    with place.platform(active) as platform:
        reports = run_until(platform, LAST_MINUTE)
        assert steady_is_untouched(platform)
        assert fills_of(platform, "mine") == []
    for report in reports:
        (said,) = said_of_mine(report)
        assert f"mine.py, line {line_of(text, 'bar.closing')}: the step does not compile" in said


def test_a_file_that_does_not_load_leaves_the_others_trading(place: Place) -> None:
    active = [place.file("mine", "import nowhere_at_all\n"), place.file("steady", STEADY)]
    with place.platform(active) as platform:
        reports = run_until(platform, LAST_MINUTE)
        assert steady_is_untouched(platform)
    for report in reports:
        (said,) = said_of_mine(report)
        assert said.startswith("mine is set aside, because it does not load: ")
        assert "mine.py, line 1: it does not import: ModuleNotFoundError" in said


def test_a_file_that_breaks_in_mid_session_leaves_the_others_trading_and_its_holding_protected(place: Place) -> None:
    active = [place.file("mine", source()), place.file("steady", STEADY)]
    with place.platform(active, strict=True) as platform:
        reports = run_until(platform, 4)
        assert not any(report.faults for report in reports)
    place.file("mine", source().replace("def step(", "def step(("))
    with place.platform(active) as platform:
        platform.simulated_session(DAY).open()
        later = go_on_until(platform, LAST_MINUTE)
        assert steady_is_untouched(platform)
        assert fills_of(platform, "mine") == [BOUGHT, STOPPED]
        assert not platform.broker.positions()
    assert len(later) == LAST_MINUTE - 4
    for report in later:
        (said,) = said_of_mine(report)
        assert "mine.py, line" in said
        assert "it is not Python" in said


def test_a_plan_that_does_not_fit_a_half_day_sets_aside_its_strategy_alone(place: Place) -> None:
    active = [place.file("mine", source(plan="flat_by=380")), place.file("steady", STEADY)]
    with place.platform(active, strict=True, day=HALF_DAY, provider="simulated") as platform:
        session = platform.simulated_session(HALF_DAY)
        session.open()
        session.tick(0)
        report = run_cycle(platform.stages, HALF_DAY, 0)
        (said,) = report.faults
        assert said.startswith("mine is set aside for this session: ")
        assert "flat_by 380 leaves no time to trade in a session of 210 minutes" in said


class Unguarded:
    """The fold as it is without the guard."""

    broken = None

    def __init__(self, strategy: Any, days: Any) -> None:
        self._fold = SessionFold(strategy, days)

    @property
    def faults(self) -> Any:
        return self._fold.faults

    def take(self, bars: Any, present: Any, *, next_only: bool) -> Any:  # noqa: ARG002
        return self._fold.catch_up(bars, present).copy()


def test_without_the_guard_one_that_raises_stops_them_all(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_state, "GuardedFold", Unguarded)
    active = [place.file("mine", source(RAISES)), place.file("steady", STEADY)]
    with place.platform(active, strict=True) as platform, pytest.raises(ValueError, match="no more"):
        run_until(platform, LAST_MINUTE)


# ---- who starts it by hand is told before anything runs ------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import nowhere_at_all\n", "it does not import: ModuleNotFoundError"),
        pytest.param(
            source(MISSPELT),
            "the step does not compile",
            marks=pytest.mark.skipif(UNCOMPILED, reason="the compiler is off"),
        ),
    ],
)
def test_a_strict_start_is_refused_with_the_first_failure(place: Place, text: str, says: str) -> None:
    active = [place.file("steady", STEADY), place.file("mine", text)]
    with pytest.raises(InvalidInput, match=says), place.platform(active, strict=True):
        pass
    assert not (place.folder / "data").exists()


def test_where_no_strategy_loads_nothing_runs(place: Place) -> None:
    with pytest.raises(InvalidInput, match="no such file"), place.platform([{"name": "mine", "file": "nowhere.py"}]):
        pass


# ---- the example -------------------------------------------------------------------------------------------------


def test_the_example_trades_a_session_of_the_simulated_market(place: Place) -> None:
    active = [{"name": "opening_range_breakout", "file": EXAMPLE}]
    with place.platform(active, strict=True, day=HALF_DAY, provider="simulated") as platform:
        session = platform.simulated_session(HALF_DAY)
        reports = list(session.run(lambda day, minute: run_cycle(platform.stages, day, minute)))
        assert len(reports) == session.session.minutes
        assert not any(report.faults for report in reports)
        done = trades(platform.ledger.fills())
        assert len(done) >= 1
        assert {trade.strategy for trade in done} == {"opening_range_breakout"}
        assert not platform.broker.positions()
