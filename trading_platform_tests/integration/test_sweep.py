"""Sweeps: each row is the backtest of its own, whatever is shared, in blocks, on any number of threads."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from trading_platform.backtest import sweep_figures
from trading_platform.backtest.bar_sources import BarBlock, ProvidedBars
from trading_platform.backtest.outcome import BacktestResult
from trading_platform.backtest.portfolio_pass import PaperVenue
from trading_platform.backtest.run import Terms, run_backtest
from trading_platform.backtest.sweep import SweepRow, combinations, strategy_at, sweep
from trading_platform.backtest.sweep_figures import RANKS, Figures, ranked
from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.config.settings import Limits
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.signals import ExitReason, TargetIn, TriggerOn
from trading_platform.performance.statistics import statistics
from trading_platform.strategies.column_scan import scan_entries
from trading_platform.strategies.contract import ExitPlan, ScaleOut, Sizing, Strategy
from trading_platform_tests.sessions.timed_entry import TIMED_ENTRY
from trading_platform_tests.sessions.whims import whim

CALENDAR = ExchangeCalendar()
CASH = Decimal(50_000)
LIMITS = Limits(max_positions=20, max_orders_per_second=100, max_orders_per_minute=1_000, closing_minutes=1)
VENUE = PaperVenue(slippage=2, volume_share=10_000)
PLAN = ExitPlan(
    stop_on=TriggerOn.CLOSE,
    stop_percent=1.0,
    scale_outs=(ScaleOut(fraction=0.5, target=0.3), ScaleOut(fraction=0.5, target=0.8)),
    target_in=TargetIn.PERCENT,
    exit_reasons=ExitReason.REVERSAL,
    flat_by=0,
)
# An exit that is decided on the last bar but one fills on the last, where that comes: some are held overnight.
WHIM = whim("whim", PLAN, Sizing(fixed_quantity=60), entries=60, exits=10, faults=0)
GRID: dict[str, tuple[Any, ...]] = {
    "seed": (1, 2),
    "exit_plan.stop_percent": (0.2, 2.0),
    "exit_plan.scale_outs.2.target": (0.6, 1.2),
}


class Holed:
    """Bars of a simulated market with holes, among them the last minutes of sessions, in two blocks."""

    def __init__(self) -> None:
        from trading_platform.marketdata.providers.simulated import SimulatedMarket

        market = SimulatedMarket(7, CALENDAR, 8)
        self._whole = ProvidedBars(market, CALENDAR, ("SIMA", "SIMB", "SIMC"), date(2024, 6, 26), date(2024, 7, 3))
        self._made = list(self._whole.blocks())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)

    def blocks(self) -> Iterator[BarBlock]:
        from dataclasses import replace

        for block in self._made:
            rng = np.random.default_rng(len(block.columns.sessions))
            gone = rng.random(block.columns.close.shape) < 0.02
            gone[rng.random(gone.shape[:2]) < 0.5, -12:] = True
            columns: dict[str, Any] = {
                name: np.where(gone, np.nan, getattr(block.columns, name)) for name in ("open", "high", "low", "close")
            }
            columns["volume"] = np.where(gone, 0.0, block.columns.volume)
            yield replace(block, columns=replace(block.columns, **columns))


@pytest.fixture(scope="module")
def source() -> Any:
    return Holed()


def swept(source: Any, strategy: Strategy = WHIM, grid: Any = None, **given: Any) -> tuple[SweepRow, ...]:
    given = {"limits": LIMITS, "opening_cash": CASH, "venue": VENUE, **given}
    return sweep(strategy, GRID if grid is None else grid, source, **given)


def alone(source: Any, strategy: Strategy) -> BacktestResult:
    return run_backtest(source, Terms(strategies=(strategy,), limits=LIMITS, opening_cash=CASH, venue=VENUE))


def test_each_row_is_the_backtest_of_its_own(source: Any) -> None:
    rows = swept(source)
    assert len(rows) == 8
    assert len({row.figures.profit for row in rows}) > 4
    for row in rows:
        run = alone(source, strategy_at(WHIM, row.values))
        told = statistics(run.record())
        figures = row.figures
        assert figures.profit == run.closing - run.opening
        assert figures.trades == run.trades.finished.size > 0
        assert (figures.traded, figures.fees) == (run.tally.traded, run.tally.fees)
        assert figures.max_drawdown == pytest.approx(run.deepest_fall, rel=1e-12)
        assert figures.total_return == pytest.approx(told.returns.total_return)
        assert figures.sharpe == pytest.approx(told.returns.sharpe)
        assert figures.hit_rate == told.trades.hit_rate
        assert figures.profit_factor == pytest.approx(told.trades.profit_factor)


def test_control_a_trade_over_two_blocks_is_lost_where_its_beginning_is(
    source: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    trades = alone(source, strategy_at(WHIM, {"exit_plan.stop_percent": 2.0})).trades.finished
    sessions = len(next(source.blocks()).columns.sessions)
    assert np.any((trades["entered"] // 390 < sessions) & (trades["left"] // 390 >= sessions))
    whole = swept(source)
    monkeypatch.setattr(sweep_figures, "_still_open", lambda records, _: records[:0])
    assert swept(source) != whole


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_any_number_of_threads_gives_the_same(source: Any, threads: int) -> None:
    assert swept(source, threads=threads) == swept(source)


def test_settings_of_one_step_share_a_scan(source: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    scanned = []

    def counted(strategy: Strategy, *given: Any, **options: Any) -> Any:
        scanned.append(strategy.parameters.seed)
        return scan_entries(strategy, *given, **options)

    monkeypatch.setattr("trading_platform.backtest.scans.scan_entries", counted)
    swept(source)
    blocks = sum(1 for _ in source.blocks())
    assert sorted(scanned) == [1] * blocks + [2] * blocks


def test_plans_that_trail_other_levels_are_told_apart(source: Any) -> None:
    rows = swept(source, grid={"exit_plan.trail_level": (0, 1, 2)}, rank_by="trades")
    for row in rows:
        run = alone(source, strategy_at(WHIM, row.values))
        assert row.figures.profit == run.closing - run.opening
    assert len({row.figures.profit for row in rows}) == 3


def test_faults_are_counted(source: Any) -> None:
    faulty = WHIM.with_values({"faults": 20})
    rows = swept(source, faulty, {"exit_plan.stop_percent": (0.2, 2.0)})
    assert {row.figures.set_aside for row in rows} == {len(alone(source, faulty).set_aside)} != {0}


def test_rows_are_ranked(source: Any) -> None:
    profits = [row.figures.profit for row in swept(source)]
    assert profits == sorted(profits, reverse=True)
    drawdowns = [row.figures.max_drawdown for row in swept(source, rank_by="max_drawdown")]
    assert drawdowns == sorted(drawdowns)


def test_a_row_without_the_figure_is_last(source: Any) -> None:
    grid = {"minute": (1, 390)}
    rows = swept(source, TIMED_ENTRY, grid, rank_by="hit_rate")
    assert [row.values["minute"] for row in rows] == [1, 390]
    assert rows[1].figures.hit_rate is None
    assert rows[1].figures.profit_factor is None
    assert rows[1].figures.sharpe is None


def test_equal_rows_stay_in_the_order_of_the_grid(source: Any) -> None:
    rows = swept(source, TIMED_ENTRY, {"minute": (390, 389)})
    assert [row.values["minute"] for row in rows] == [390, 389]


def test_progress_is_told_by_block(source: Any) -> None:
    told = []
    swept(source, progress=lambda done, whole: told.append((done, whole)))
    assert told == [(3, 6), (6, 6)]


def test_the_last_name_changes_fastest() -> None:
    assert combinations({"a": (1, 2), "b": (3, 4)}) == [
        {"a": 1, "b": 3},
        {"a": 1, "b": 4},
        {"a": 2, "b": 3},
        {"a": 2, "b": 4},
    ]


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        ({}, "nothing is to be varied"),
        ({"seed": ()}, "the values of seed are none"),
        ({"seed": (1, 1)}, "the values of seed are 1, 1"),
        ({"sed": (1,)}, "there is no parameter 'sed'"),
        ({"seed": (1, -1)}, "seed is -1"),
        ({"exit_plan.scale_outs.3.target": (1.0,)}, "there is no scale-out 3"),
        ({"exit_plan.scale_outs.1.target": (0.0,)}, "target is 0.0"),
        ({"exit_plan.scale_outs.1.target": (0.9,)}, "do not rise"),
        ({"seed": range(1000), "entries": range(1000)}, "1,000,000 combinations"),
    ],
)
def test_a_grid_that_cannot_be_swept_is_refused(source: Any, grid: Any, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        swept(source, grid=grid)


def test_a_refusal_names_the_combination(source: Any) -> None:
    with pytest.raises(InvalidInput, match=r"grid at seed 2, exit_plan\.scale_outs\.1\.target 0\.9"):
        swept(source, grid={"seed": (2,), "exit_plan.scale_outs.1.target": (0.9,)})


def test_a_figure_that_is_none_is_refused_before_anything_is_traded(source: Any) -> None:
    with pytest.raises(InvalidInput, match="cannot be ranked by 'sharp'"):
        swept(source, rank_by="sharp", progress=lambda *_: pytest.fail("it was traded"))


def test_no_thread_is_refused(source: Any) -> None:
    with pytest.raises(InvalidInput, match="0 threads"):
        swept(source, threads=0)


def test_memory_is_bounded_before_it_starts(source: Any) -> None:
    room = 200 * 2**20
    swept(source, memory=room)
    with pytest.raises(InvalidInput, match="of memory"):
        swept(source, grid={"seed": range(1, 200)}, memory=room)


def test_every_rank_prefers_the_better() -> None:
    plain = Figures(
        profit=1,
        total_return=0.1,
        max_drawdown=0.1,
        sharpe=1.0,
        trades=10,
        hit_rate=0.5,
        profit_factor=1.5,
        traded=1,
        fees=1,
        set_aside=0,
    )
    better = Figures(
        profit=2,
        total_return=0.2,
        max_drawdown=0.05,
        sharpe=2.0,
        trades=20,
        hit_rate=0.6,
        profit_factor=2.5,
        traded=1,
        fees=1,
        set_aside=0,
    )
    rows = [SweepRow(values={"which": "plain"}, figures=plain), SweepRow(values={"which": "better"}, figures=better)]
    for name in RANKS:
        assert [row.values["which"] for row in ranked(rows, name)] == ["better", "plain"]
