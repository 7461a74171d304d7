"""Figures of returns: worked out by hand, and a second time with pandas over a long run."""

import math
from datetime import date

import numpy as np
import pandas as pd
import pytest

from trading_platform.performance.drawdown import deepest, underwater
from trading_platform.performance.returns import RelativeFigures, ReturnFigures
from trading_platform.performance.statistics import Statistics, cautions, statistics
from trading_platform.performance.track_record import Benchmark
from trading_platform_tests.factories.track_records import DOLLAR, long_record, record, sessions

# Returns of +2 %, -1 %, +2 %, -1 %.
CLOSES = (102_000, 100_980, 102_999.60, 101_969.604)
BASE = 50.0


def benchmark(*returns: float) -> Benchmark:
    return Benchmark(symbol="SPY", base=BASE, closes=BASE * np.cumprod(1 + np.array(returns)))


def test_ratios_worked_out_by_hand() -> None:
    found = statistics(record(CLOSES)).returns
    assert found.total_return == pytest.approx(0.01969604)
    # 4 sessions are 1/63 of 252.
    assert found.annual_return == pytest.approx(1.01969604**63 - 1)
    # Mean 0.5 %; each is 1.5 % from it: the variance is 4 x 0.000225 / 3 = 0.0003, so that Sharpe is
    # 0.005 / root of 0.0003 x root of 252 = root of 21.
    assert found.volatility == pytest.approx(math.sqrt(0.0003 * 252))
    assert found.sharpe == pytest.approx(math.sqrt(21))
    # Two falls of 1 % in four sessions: the downside variance is 0.00005.
    assert found.sortino == pytest.approx(0.005 / math.sqrt(0.00005) * math.sqrt(252))
    assert found.max_drawdown == pytest.approx(0.01)
    assert found.calmar == pytest.approx((1.01969604**63 - 1) / 0.01)
    assert found.best_session == pytest.approx(0.02)
    assert found.worst_session == pytest.approx(-0.01)


def test_the_deepest_drawdown_and_the_longest_are_told_apart() -> None:
    days = sessions(*(f"2024-06-{day:02d}" for day in (3, 4, 5, 6, 7, 10, 11)))
    found = statistics(record((110_000, 109_000, 109_500, 108_900, 110_000, 99_000, 104_500), days=days)).returns
    # 110,000 to 99,000, not recovered: 2 sessions from the 7th to the end. Before, 4 sessions from the 3rd to the 7th.
    assert found.max_drawdown == pytest.approx(0.1)
    assert (found.drawdown_peak, found.drawdown_trough) == (date(2024, 6, 7), date(2024, 6, 10))
    assert found.drawdown_recovered is None
    assert (found.drawdown_sessions, found.longest_drawdown_sessions) == (2, 4)


def test_a_drawdown_from_the_opening_has_no_session_of_its_peak_and_ends_where_it_recovers() -> None:
    found = statistics(record((95_000, 90_000, 100_000, 101_000))).returns
    assert found.max_drawdown == pytest.approx(0.1)
    assert found.drawdown_peak is None
    assert (found.drawdown_trough, found.drawdown_recovered) == (date(2024, 6, 4), date(2024, 6, 5))
    assert (found.drawdown_sessions, found.longest_drawdown_sessions) == (3, 3)


def test_within_a_session_an_account_falls_deeper_than_its_closes_say() -> None:
    run = record((100_000, 100_000))
    run.equity[100], run.equity[110] = 101_000 * DOLLAR, 98_980 * DOLLAR
    found = statistics(run)
    assert found.returns.max_drawdown == 0
    assert found.intraday_drawdown == pytest.approx(2_020 / 101_000)


def test_beside_a_benchmark() -> None:
    beside = statistics(record(CLOSES, benchmark=benchmark(0.01, -0.005, 0.01, -0.005))).benchmark
    assert beside is not None
    assert beside.symbol == "SPY"
    assert beside.relative.beta == pytest.approx(2)
    assert beside.relative.alpha == pytest.approx(0, abs=1e-9)
    assert beside.relative.correlation == pytest.approx(1)
    held = 1.01**2 * 0.995**2 - 1
    assert beside.returns.total_return == pytest.approx(held)
    assert beside.relative.excess_return == pytest.approx(0.01969604 - held)


def test_alpha_is_what_is_earned_each_session_over_beta_times_the_benchmark() -> None:
    market = np.array([0.01, -0.02, 0.03, 0.0])
    own = 0.001 + 0.5 * market
    found = statistics(record([*100_000 * np.cumprod(1 + own)], benchmark=benchmark(*market))).benchmark
    assert found is not None
    assert found.relative.beta == pytest.approx(0.5, rel=1e-6)
    assert found.relative.alpha == pytest.approx(1.001**252 - 1, rel=1e-5)


def test_where_the_benchmark_has_no_close_its_last_one_stands_and_a_reader_is_told() -> None:
    found = statistics(
        record(CLOSES, benchmark=Benchmark(symbol="IWM", base=50, closes=np.array([np.nan, 51, np.nan, 52])))
    )
    assert found.benchmark is not None
    assert found.benchmark.missing == 2
    assert found.benchmark.returns.total_return == pytest.approx(0.04)
    assert found.benchmark.returns.best_session == pytest.approx(0.02)
    assert any("IWM has no close in 2 sessions" in caution for caution in cautions(found))


def test_months_follow_from_the_last_close_before_them() -> None:
    days = sessions("2024-05-31", "2024-06-03", "2024-06-28", "2024-07-01")
    found = statistics(record((101_000, 90_000, 103_020, 102_000), days=days)).months
    assert [(one.year, one.month) for one in found] == [(2024, 5), (2024, 6), (2024, 7)]
    assert [one.total_return for one in found] == pytest.approx([0.01, 0.02, 102_000 / 103_020 - 1])


# What is not defined is None.


def test_one_session_has_a_return_and_no_ratios() -> None:
    found = statistics(record((101_000,), benchmark=benchmark(0.02)))
    assert found.returns.total_return == pytest.approx(0.01)
    assert undefined(found.returns) == {
        "annual_return", "volatility", "sharpe", "sortino", "calmar",
        "drawdown_peak", "drawdown_trough", "drawdown_recovered",
    }  # fmt: skip
    assert found.benchmark is not None
    assert undefined(found.benchmark.relative) == {"alpha", "beta", "correlation"}


def test_an_account_that_never_moves_has_no_ratios_and_no_drawdown() -> None:
    found = statistics(record((100_000, 100_000, 100_000), benchmark=benchmark(0.01, 0.02, -0.01)))
    assert (found.returns.total_return, found.returns.volatility, found.returns.max_drawdown) == (0, 0, 0)
    assert (found.returns.sharpe, found.returns.sortino, found.returns.calmar) == (None, None, None)
    assert (found.returns.drawdown_sessions, found.returns.longest_drawdown_sessions) == (0, 0)
    assert found.benchmark is not None
    assert (found.benchmark.relative.beta, found.benchmark.relative.correlation) == (0, None)


def test_a_benchmark_that_never_moves_has_nothing_beside_it() -> None:
    found = statistics(record(CLOSES, benchmark=benchmark(0.0, 0.0, 0.0, 0.0))).benchmark
    assert found is not None
    assert undefined(found.relative) == {"alpha", "beta", "correlation"}


def test_an_account_that_only_gains_has_no_sortino_and_no_calmar() -> None:
    found = statistics(record((101_000, 103_000, 104_000))).returns
    assert found.sharpe is not None
    assert (found.sortino, found.calmar) == (None, None)


def test_a_ruined_account_has_a_loss_and_no_ratios() -> None:
    found = statistics(record((50_000, -10_000, 20_000), benchmark=benchmark(0.01, 0.02, 0.03)))
    assert found.returns.total_return == pytest.approx(-0.8)
    assert found.returns.max_drawdown == pytest.approx(1.1)
    assert (found.returns.sharpe, found.returns.annual_return, found.returns.best_session) == (None, None, None)
    assert found.exposure.mean_exposure is None
    assert any("ruined" in caution for caution in cautions(found))
    assert found.months[0].total_return == pytest.approx(-0.8)


def test_a_growth_beyond_all_numbers_is_not_defined() -> None:
    found = statistics(record((100_000 * 50.0, 100_000 * 20_000.0))).returns
    assert found.annual_return is None
    assert found.sharpe is not None


def undefined(figures: ReturnFigures | RelativeFigures) -> set[str]:
    return {name for name in type(figures).__slots__ if getattr(figures, name) is None}


# The second way.


@pytest.fixture(scope="module")
def long() -> tuple[Statistics, "pd.Series[float]", "pd.Series[float]"]:
    run = long_record(250)
    days = pd.DatetimeIndex([session.day for session in run.sessions])
    assert run.benchmark is not None
    own = pd.Series(run.by_session[1:] / run.by_session[:-1] - 1, index=days)
    market = pd.Series(run.benchmark.closes, index=days).pct_change().fillna(run.benchmark.closes[0] / 450 - 1)
    return statistics(run), own, market


def test_ratios_as_pandas_has_them(long: tuple[Statistics, "pd.Series[float]", "pd.Series[float]"]) -> None:
    found, own, _ = long
    grown = (1 + own).prod()
    falls = 1 - (1 + own).cumprod() / np.maximum((1 + own).cumprod().cummax(), 1)
    assert found.returns.total_return == pytest.approx(grown - 1)
    assert found.returns.annual_return == pytest.approx(grown ** (252 / 250) - 1)
    assert found.returns.volatility == pytest.approx(own.std() * math.sqrt(252))
    assert found.returns.sharpe == pytest.approx(own.mean() / own.std() * math.sqrt(252))
    downside = math.sqrt((own.clip(upper=0) ** 2).mean())
    assert found.returns.sortino == pytest.approx(own.mean() / downside * math.sqrt(252))
    assert found.returns.max_drawdown == pytest.approx(falls.max())
    assert found.returns.drawdown_trough == falls.idxmax().date()
    assert found.returns.calmar == pytest.approx((grown ** (252 / 250) - 1) / falls.max())


def test_the_benchmark_as_pandas_has_it(long: tuple[Statistics, "pd.Series[float]", "pd.Series[float]"]) -> None:
    found, own, market = long
    assert found.benchmark is not None
    slope, _ = np.polyfit(market, own, 1)
    assert found.benchmark.relative.beta == pytest.approx(slope)
    assert found.benchmark.relative.alpha == pytest.approx((1 + (own - slope * market).mean()) ** 252 - 1)
    assert found.benchmark.relative.correlation == pytest.approx(own.corr(market))
    assert found.benchmark.returns.sharpe == pytest.approx(market.mean() / market.std() * math.sqrt(252))


def test_months_as_pandas_has_them(long: tuple[Statistics, "pd.Series[float]", "pd.Series[float]"]) -> None:
    found, own, _ = long
    monthly = (1 + own).groupby([own.index.year, own.index.month]).prod() - 1
    assert [(one.year, one.month) for one in found.months] == list(monthly.index)
    assert [one.total_return for one in found.months] == pytest.approx(monthly.to_list())


def test_drawdowns_as_a_walk_over_the_curve_has_them() -> None:
    draw = np.random.default_rng(7)
    for _ in range(200):
        curve = draw.integers(1, 12, draw.integers(1, 15)).astype(float)
        found = deepest(curve)
        falls = [1 - value / max(curve[: place + 1]) for place, value in enumerate(curve)]
        assert underwater(curve) == pytest.approx(falls)
        assert found.depth == pytest.approx(max(falls))
        assert found.longest == longest_walked(list(curve))


def longest_walked(curve: list[float]) -> int:
    longest, peak, under = 0, 0, False
    for place, value in enumerate(curve):
        if value >= curve[peak]:
            longest = max(longest, place - peak if under else 0)
            peak, under = place, False
        else:
            under = True
    return max(longest, len(curve) - 1 - peak if under else 0)
