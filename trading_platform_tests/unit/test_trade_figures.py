"""Figures of trades, exposure and fees: worked out by hand, and a second time with pandas over a long run."""

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.records import SESSION_MINUTES
from trading_platform.performance.round_trips import Row, TradeFigures
from trading_platform.performance.statistics import as_json, cautions, statistics
from trading_platform.performance.track_record import Benchmark, TrackRecord, trade_t
from trading_platform_tests.factories.track_records import DOLLAR, long_record, record, sessions, trades

# A half day (Wednesday, 210 minutes), and the Friday after a holiday.
DAYS = sessions("2024-07-03", "2024-07-05")
FRIDAY = SESSION_MINUTES
FIRST = {"strategy": 0, "symbol": 0, "entered": 5, "left": 25, "cost": 1_000, "proceeds": 1_103, "fees": 3, "reason": 5}
SECOND = {
    "strategy": 1,
    "symbol": 2,
    "entered": 35,
    "left": 35,
    "cost": 2_000,
    "proceeds": 1_960.5,
    "fees": 2,
    "reason": 2,
}
# Entered 10 minutes before the half day's close, left after 20 minutes of the next session.
THIRD = {
    "strategy": 0,
    "symbol": 2,
    "entered": 200,
    "left": FRIDAY + 20,
    "cost": 500,
    "proceeds": 552,
    "fees": 2,
    "reason": 6,
}
FOURTH = {
    "strategy": 0, "symbol": 0, "entered": FRIDAY + 31, "left": FRIDAY + 40, "cost": 700, "proceeds": 700, "fees": 0,
    "reason": 91,
}  # fmt: skip


def run(*rows: dict[str, Any], **changes: Any) -> TrackRecord:
    return record((100_050, 100_106.5), days=DAYS, finished=trades(*rows), **changes)


@pytest.fixture
def traded() -> TrackRecord:
    return run(FIRST, SECOND, THIRD, FOURTH)


def test_trades_worked_out_by_hand(traded: TrackRecord) -> None:
    # +100.00, -41.50, +50.00 and 0.00 after fees.
    assert statistics(traded).trades == TradeFigures(
        trades=4,
        winners=2,
        losers=1,
        hit_rate=0.5,
        net=Decimal("108.50"),
        fees=Decimal("7.00"),
        profit_factor=150 / 41.5,
        average_win=Decimal("75.00"),
        average_loss=Decimal("-41.50"),
        expectancy=Decimal("27.125"),
        largest_win=Decimal("100.00"),
        largest_loss=Decimal("-41.50"),
        # 20, 0, 10 + 20 and 9 minutes.
        average_minutes=14.75,
    )


def test_what_no_finished_trade_made_is_told_apart(traded: TrackRecord) -> None:
    found = statistics(traded)
    assert (found.opening_equity, found.closing_equity) == (Decimal(100_000), Decimal("100106.50"))
    assert found.profit == Decimal("106.50")
    assert found.unfinished == Decimal("-2.00")


def nets(rows: Sequence[Row]) -> list[tuple[str, int, float]]:
    return [(row.name, row.figures.trades, float(row.figures.net)) for row in rows]


def test_tables_worked_out_by_hand(traded: TrackRecord) -> None:
    found = statistics(traded)
    assert nets(found.by_strategy) == [("gap_and_go", 3, 150.0), ("vwap_reclaim", 1, -41.5)]
    assert nets(found.by_symbol) == [("AAPL", 2, 100.0), ("SPY", 2, 8.5)]
    assert nets(found.by_weekday) == [("Wednesday", 3, 108.5), ("Friday", 1, 0.0)]
    # 09:35, 10:05, 12:50 and 10:01 by the exchange's clock.
    assert nets(found.by_hour) == [("09:00", 1, 100.0), ("10:00", 2, -41.5), ("12:00", 1, 50.0)]
    assert nets(found.by_month) == [("2024-07", 4, 108.5)]
    assert nets(found.by_reason) == [
        ("reason 91", 1, 0.0), ("stop", 1, -41.5), ("target", 1, 100.0), ("time stop", 1, 50.0),
    ]  # fmt: skip


def test_a_trade_belongs_to_the_month_in_which_it_ended() -> None:
    days = sessions("2024-05-31", "2024-06-03")
    carried = trades({**FIRST, "left": SESSION_MINUTES + 3})
    found = statistics(record((100_000, 100_100), days=days, finished=carried))
    assert nets(found.by_month) == [("2024-05", 0, 0.0), ("2024-06", 1, 100.0)]


def test_reasons_have_the_names_that_the_run_gives_them() -> None:
    found = statistics(run(FOURTH, reasons={91: "resting stop"}))
    assert [row.name for row in found.by_reason] == ["resting stop"]


def test_hours_follow_the_exchange_through_the_change_of_its_clock() -> None:
    days = sessions("2024-03-08", "2024-03-11")
    entered = trades({**FIRST, "entered": 31, "left": 32}, {**FIRST, "entered": FRIDAY + 31, "left": FRIDAY + 32})
    assert nets(statistics(record((100_000, 100_000), days=days, finished=entered)).by_hour) == [("10:00", 2, 200.0)]


# Exposure.


def test_exposure_worked_out_by_hand() -> None:
    gross = np.zeros(2 * SESSION_MINUTES, np.int64)
    gross[0:60] = 20_000 * DOLLAR
    gross[FRIDAY : FRIDAY + 60] = 50_000 * DOLLAR
    closes = (100_000, 100_000)
    found = statistics(record(closes, days=DAYS, gross=gross, traded=140_000 * DOLLAR, fees=21 * DOLLAR)).exposure
    # 210 and 390 minutes.
    assert found.time_in_market == pytest.approx(120 / 600)
    assert found.mean_exposure == pytest.approx((60 * 0.2 + 60 * 0.5) / 600)
    assert found.max_exposure == pytest.approx(0.5)
    assert (found.turnover, found.turnover_a_session) == (1.4, 0.7)
    assert (found.traded, found.fees) == (Decimal(140_000), Decimal(21))
    assert found.fees_basis_points == pytest.approx(1.5)


def test_minutes_after_a_half_days_close_do_not_count() -> None:
    gross = np.zeros(2 * SESSION_MINUTES, np.int64)
    gross[210:FRIDAY] = 90_000 * DOLLAR
    found = statistics(record((100_000, 100_000), days=DAYS, gross=gross)).exposure
    assert (found.time_in_market, found.max_exposure) == (0, 0)


# What is not defined is None.


def test_without_trades_nothing_is_said_of_them() -> None:
    found = statistics(run())
    undefined = {name for name in TradeFigures.__slots__ if getattr(found.trades, name) is None}
    assert undefined == {
        "hit_rate", "profit_factor", "average_win", "average_loss", "expectancy", "largest_win", "largest_loss",
        "average_minutes",
    }  # fmt: skip
    assert (found.trades.trades, found.trades.net) == (0, Decimal(0))
    assert [row.figures.trades for row in found.by_strategy] == [0, 0]
    assert (found.by_symbol, found.by_weekday, found.by_hour, found.by_reason) == ((), (), (), ())
    assert found.exposure.fees_basis_points is None
    assert found.exposure.turnover == 0


def test_where_nothing_was_lost_there_is_no_profit_factor() -> None:
    found = statistics(run(FIRST, THIRD)).trades
    assert (found.profit_factor, found.average_loss, found.largest_loss) == (None, None, None)
    assert found.hit_rate == 1


def test_where_nothing_was_won_the_profit_factor_is_0() -> None:
    found = statistics(run(SECOND)).trades
    assert (found.profit_factor, found.average_win, found.hit_rate) == (0, None, 0)


# The second way.


def test_tables_as_pandas_has_them() -> None:
    long = long_record(120, trades_a_session=9)
    frame = pd.DataFrame({name: long.trades[name] for name in trade_t.names or ()})
    frame["net"] = frame.proceeds - frame.cost - frame.fees
    starts = [session.open for session in long.sessions]
    entered = pd.DatetimeIndex(
        [starts[bar // SESSION_MINUTES] + pd.Timedelta(minutes=bar % SESSION_MINUTES) for bar in frame.entered]
    ).tz_convert("America/New_York")
    found = statistics(long)
    tables = {
        "by_symbol": frame.symbol.map(dict(enumerate(long.symbols))),
        "by_strategy": frame.strategy.map(dict(enumerate(long.strategies))),
        "by_hour": entered.strftime("%H:00"),
        "by_weekday": entered.day_name(),
    }
    for name, keys in tables.items():
        rows = {row.name: row.figures for row in getattr(found, name)}
        groups = frame.groupby(keys)
        assert set(rows) == set(groups.groups)
        for key, group in groups:
            figures = rows[str(key)]
            assert figures.net * DOLLAR == int(group.net.sum())
            assert (figures.trades, figures.winners) == (len(group), (group.net > 0).sum())
            assert figures.profit_factor == pytest.approx(
                group.net.clip(lower=0).sum() / -group.net.clip(upper=0).sum()
            )
            assert float(figures.expectancy or 0) == pytest.approx(group.net.mean() / DOLLAR)
            assert float(figures.largest_loss or 0) == group.net.min() / DOLLAR
            assert figures.average_minutes == pytest.approx((group.left - group.entered).mean())
    assert sum(row.figures.net for row in found.by_month) == found.trades.net


def test_a_market_of_symbols_is_one_pass_over_the_trades() -> None:
    count = 11_000
    finished = np.zeros(count, trade_t)
    finished["symbol"] = np.arange(count)[::-1]
    finished["proceeds"] = np.arange(count) * DOLLAR
    names = tuple(f"S{number:05d}" for number in range(count))
    found = statistics(record((100_000,), finished=finished, symbols=names)).by_symbol
    assert [row.name for row in found] == list(names)
    assert [row.figures.net for row in found] == list(range(count))[::-1]


# JSON, and what a reader must know.


def test_the_figures_as_json(traded: TrackRecord) -> None:
    told = json.loads(json.dumps(as_json(statistics(traded)), allow_nan=False))
    assert (told["first"], told["last"], told["sessions"]) == ("2024-07-03", "2024-07-05", 2)
    assert (told["profit"], told["closing_equity"]) == (106.5, 100_106.5)
    assert told["returns"]["total_return"] == pytest.approx(0.001065)
    assert told["trades"]["expectancy"] == 27.13
    assert told["benchmark"] is None
    assert told["by_symbol"][1]["name"] == "SPY"
    assert told["by_symbol"][1]["net"] == 8.5
    assert told["months"] == [{"year": 2024, "month": 7, "total_return": pytest.approx(0.001065)}]
    assert len(told["cautions"]) == 2


def test_every_figure_of_a_poor_run_is_json_too() -> None:
    text = json.dumps(as_json(statistics(record((-5.0,)))), allow_nan=False)
    assert "ruined" in text


def test_a_long_run_needs_no_cautions() -> None:
    assert cautions(statistics(long_record(60, trades_a_session=1))) == ()
    (said,) = cautions(statistics(long_record(59, trades_a_session=1)))
    assert said.startswith("59 sessions: ")
    (said,) = cautions(statistics(record((100_000,) * 60, finished=trades(*[FIRST] * 29))))
    assert said.startswith("29 finished trades: ")


# Records that do not fit.


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sessions": ()}, "it has no session. Take a range with at least one trading day."),
        ({"opening": 0}, "it opens with 0.00 dollars. Give the account a positive amount."),
        ({"equity": np.zeros(390, np.int64)}, "2 sessions have 780 minutes, its equity (390,)"),
        ({"gross": np.zeros((2, 390), np.int64)}, "gross exposure (2, 390)"),
        ({"strategies": ("one",)}, "the strategy of a trade is not within 0 to 0."),
        ({"symbols": ("AAPL", "IBM")}, "the symbol of a trade is not within 0 to 1."),
        ({"trades": trades({"left": 780})}, "the left of a trade is not within 0 to 779."),
        ({"trades": trades({"entered": 4, "left": 3})}, "a trade ends before it begins."),
        (
            {"benchmark": Benchmark(symbol="SPY", base=1.0, closes=np.ones(3))},
            "2 sessions, and the benchmark's closes are (3,)",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_words(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        record((100_000, 100_000), **{"days": DAYS, "finished": trades(FIRST, SECOND), **changes})
    assert said.rstrip(".") in str(refused.value)
    assert "the record of the run" in str(refused.value)


@pytest.mark.parametrize(("base", "close"), [(0.0, 1.0), (float("nan"), 1.0), (1.0, -1.0), (1.0, float("inf"))])
def test_a_benchmark_without_prices_is_refused(base: float, close: float) -> None:
    with pytest.raises(InvalidInput, match="the benchmark SPY: its prices are not all positive numbers"):
        Benchmark(symbol="SPY", base=base, closes=np.array([close]))
