"""The look-ahead check: who sees the next day, or remembers outside the state, is found and named; who does not, passes."""

from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest

from trading_platform.backtest.look_ahead import days_look_ahead, look_ahead, require_no_look_ahead, sample
from trading_platform.backtest.scans import signals_of
from trading_platform.bootstrap import market_of
from trading_platform.calendars.exchange import ExchangeCalendar, calendar_of
from trading_platform.config.settings import MarketData, MarketHours
from trading_platform.domain.compiled import UNCOMPILED
from trading_platform.domain.errors import InvalidInput
from trading_platform.marketdata.column_maker import COLUMNS, bar_columns, make_columns
from trading_platform.marketdata.columns import BarColumns
from trading_platform.marketdata.provider import Market
from trading_platform.strategies.contract import Strategy
from trading_platform.strategies.registry import load
from trading_platform_tests.factories.random_columns import random_columns
from trading_platform_tests.sessions.peeking import MEMORY, NEXT_DAY, PEEKING

compiling = pytest.mark.skipif(UNCOMPILED, reason="uncompiled code refuses an index past the end")
DAYS = (date(2024, 7, 2), date(2024, 7, 3), date(2024, 7, 5))


@pytest.fixture(scope="module")
def calendar() -> ExchangeCalendar:
    return calendar_of(MarketHours())


@pytest.fixture(scope="module")
def market(calendar: ExchangeCalendar) -> Market:
    return market_of(MarketData(provider="simulated"), calendar)


@pytest.fixture(scope="module")
def simulated(market: Market, calendar: ExchangeCalendar) -> BarColumns:
    return make_columns(market, calendar, market.symbols[:3], [calendar.session(day) for day in DAYS]).columns


@pytest.fixture
def columns(calendar: ExchangeCalendar) -> BarColumns:
    """Random bars; the day records tell each day's prior close as the close of the day before."""
    made = random_columns(7)
    sessions = tuple(
        replace(
            session,
            close=session.open
            + int(minutes) * (calendar.session(DAYS[0]).close - calendar.session(DAYS[0]).open) / 390,
        )
        for session, minutes in zip((calendar.session(day) for day in DAYS), made.session_minutes, strict=True)
    )
    days = made.days.copy()
    days["atr"] = 1.0
    days["atr"][-1, -1] = np.nan
    opens, highs, lows, closes, volumes = made.columns
    return BarColumns(
        sessions=sessions,
        symbols=("AAA", "BBB", "CCC", "DDD"),
        open=opens,
        high=highs,
        low=lows,
        close=closes,
        volume=volumes,
        days=days,
    )


def with_values(**values: Any) -> Strategy:
    return PEEKING.with_values(values)


@pytest.mark.parametrize(
    ("name", "profile"), [("gap_and_go", "quiet"), ("vwap_reclaim", "quiet"), ("vwap_reclaim", None)]
)
def test_the_strategies_of_the_platform_pass(simulated: BarColumns, name: str, profile: str | None) -> None:
    assert look_ahead(load(name, profile), simulated) is None


def test_a_step_that_keeps_to_its_records_passes(columns: BarColumns) -> None:
    assert look_ahead(PEEKING, columns) is None
    require_no_look_ahead((PEEKING,), columns)


@compiling
def test_an_index_into_the_next_day_is_found_with_the_bar(columns: BarColumns) -> None:
    leak = look_ahead(with_values(place=NEXT_DAY), columns)
    assert leak is not None
    assert leak.strategy == "peeking"
    assert "it looks beyond its session: it says" in leak.what
    assert "entry 1, valid_bars 1, setup 1, stop" in leak.what
    assert str(leak).endswith(f"first in {leak.symbol} on {leak.session}, minute {leak.minute}")
    with pytest.raises(InvalidInput, match="strategy peeking: it looks beyond its session"):
        require_no_look_ahead((PEEKING, with_values(place=NEXT_DAY)), columns)


@compiling
def test_one_session_alone_shows_what_lies_in_the_next_row(columns: BarColumns) -> None:
    """The next record in memory is another symbol's then; it moves with the order of the symbols."""
    arrays = {name: np.ascontiguousarray(getattr(columns, name)[:, :1]) for name in COLUMNS}
    days = np.ascontiguousarray(columns.days[:, :1])
    days["atr"][-1] = np.nan
    # Those in the middle have other neighbours when they are turned round; beyond the last record lies anything.
    days["prior_close"] = np.array([[90.0], [1.0], [1.0], [90.0]])
    one = bar_columns(columns.symbols, columns.sessions[:1], arrays, days)
    leak = look_ahead(with_values(place=NEXT_DAY), one)
    assert leak is not None
    assert "with the symbols in another order" in leak.what


@compiling
def test_memory_outside_the_state_is_found(columns: BarColumns) -> None:
    leak = look_ahead(with_values(address=int(MEMORY.ctypes.data)), columns)
    assert leak is not None
    assert "it remembers something outside its state: at first it says" in leak.what
    with pytest.raises(InvalidInput, match="no index past the end"):
        require_no_look_ahead((with_values(address=int(MEMORY.ctypes.data)),), columns)


def test_a_day_record_that_knows_the_day_is_found(
    simulated: BarColumns, market: Market, calendar: ExchangeCalendar
) -> None:
    assert days_look_ahead(simulated, market, calendar) is None
    days = simulated.days.copy()
    days["premarket_high"][1, 2] = np.nanmax(simulated.high[1, 2])
    leak = days_look_ahead(replace(simulated, days=days), market, calendar)
    assert leak is not None
    assert (leak.symbol, leak.session) == (simulated.symbols[1], DAYS[2])
    assert "premarket_high of the day record is not what was known" in leak.what


def test_a_sample_takes_those_that_trade(columns: BarColumns) -> None:
    closes = columns.close.copy()
    closes[1] = np.nan
    few = sample(replace(columns, close=closes), symbols=3, sessions=2)
    assert few.symbols == ("AAA", "CCC", "DDD")
    assert few.sessions == (columns.sessions[0], columns.sessions[2])
    assert few.close.shape == (3, 2, 390)
    assert few.close[2, 1].tobytes() == columns.close[3, 2].tobytes()


# ---- what the check is made of: each way finds what no other does --------------------------------------------------------


class Told:
    """Stands where the scan is called: a strategy that sees all bars at once, as no step can be written to."""

    def __init__(self, scan: Any) -> None:
        self.scan = scan

    def __call__(self, strategy: Strategy, columns: BarColumns) -> Any:
        said = self.scan(strategy, columns)
        closes = np.append(columns.close[:, :, 1:], columns.close[:, :, -1:], axis=2).reshape(len(columns.symbols), -1)
        outs = said.outs.copy()
        # The close of the bar after each signal: what a shift by one in the wrong direction lets through.
        outs["level2"] = closes[said.symbols, said.bars]
        return replace(said, outs=outs)


@pytest.fixture
def seeing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trading_platform.backtest.look_ahead.signals_of", Told(signals_of))


@pytest.mark.usefixtures("seeing")
def test_one_bar_ahead_is_found_within_a_session(simulated: BarColumns) -> None:
    leak = look_ahead(load("vwap_reclaim", "quiet"), simulated)
    assert leak is not None
    assert "it looks ahead: it says level2" in leak.what
    assert "without bars after minute" in leak.what
