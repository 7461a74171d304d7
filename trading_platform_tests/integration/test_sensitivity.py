"""Sensitivity to slippage and delay: the same run each time, but for what is asked about."""

from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from trading_platform.backtest.bar_sources import ProvidedBars
from trading_platform.backtest.portfolio_pass import PaperVenue
from trading_platform.backtest.run import Terms, run_backtest
from trading_platform.backtest.sensitivity import delayed, sensitivity
from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.config.settings import Limits
from trading_platform.domain.errors import InvalidInput
from trading_platform.marketdata.providers.simulated import SimulatedMarket
from trading_platform.strategies.column_scan import scan_entries
from trading_platform_tests.factories.random_columns import random_columns
from trading_platform_tests.sessions.timed_entry import TIMED_ENTRY
from trading_platform_tests.sessions.whims import whim

CALENDAR = ExchangeCalendar()
CASH = Decimal(100_000)


@pytest.fixture(scope="module")
def source() -> ProvidedBars:
    market = SimulatedMarket(7, CALENDAR, 8)
    return ProvidedBars(market, CALENDAR, ("SIMA", "SIMB", "SIMC"), date(2024, 6, 26), date(2024, 7, 3))


def alone(source: ProvidedBars, minute: int = 1, slippage: int = 1) -> int:
    strategy = TIMED_ENTRY.with_values({"minute": minute})
    venue = PaperVenue(slippage=slippage)
    run = run_backtest(source, Terms(strategies=(strategy,), limits=Limits(), opening_cash=CASH, venue=venue))
    return run.closing - run.opening


def test_each_row_is_the_run_that_it_names(source: ProvidedBars) -> None:
    rows = sensitivity(TIMED_ENTRY, source, limits=Limits(), opening_cash=CASH, slippages=(0, 10), delays=(0, 2))
    assert [(row.delay, row.slippage) for row in rows] == [(0, 0), (0, 10), (2, 0), (2, 10)]
    profits = [row.figures.profit for row in rows]
    assert profits[:2] == [alone(source, slippage=0), alone(source, slippage=10)]
    # Slippage costs; a later entry is another one.
    assert profits[0] > profits[1]
    assert profits[2] > profits[3]
    assert len(set(profits)) == 4


def test_entries_come_later_by_bars_of_their_own_symbol() -> None:
    made = random_columns(11)
    strategy = whim("late", TIMED_ENTRY.exit_plan, TIMED_ENTRY.sizing, entries=500, faults=2)
    entries = scan_entries(strategy, *made.arguments, keep_levels=True)
    closes = made.columns[3]
    assert delayed(entries, closes, 0) is entries
    expected = []
    faults = {(one.symbol, one.bar // 390): one.bar for one in entries.signals.faults}
    assert faults
    for bar, symbol, out in zip(entries.signals.bars, entries.signals.symbols, entries.signals.outs, strict=True):
        session, minute = divmod(int(bar), 390)
        came = np.flatnonzero(~np.isnan(closes[symbol, session]))
        place = int(np.searchsorted(came, minute)) + 2
        if place < came.size:
            moved = session * 390 + int(came[place])
            if moved < faults.get((int(symbol), session), moved + 1):
                expected.append((moved, int(symbol), out.tobytes()))
    late = delayed(entries, closes, 2)
    said = late.signals
    found = [
        (int(bar), int(symbol), out.tobytes())
        for bar, symbol, out in zip(said.bars, said.symbols, said.outs, strict=True)
    ]
    assert found == sorted(expected)
    assert 0 < len(found) < entries.signals.bars.size
    assert late.exits is entries.exits


def test_an_entry_after_the_last_bar_is_none(source: ProvidedBars) -> None:
    (row,) = sensitivity(
        TIMED_ENTRY.with_values({"minute": 386}),
        source,
        limits=Limits(),
        opening_cash=CASH,
        slippages=(1,),
        delays=(20,),
    )
    assert (row.figures.trades, row.figures.profit) == (0, 0)


def test_what_is_out_of_bounds_is_said(source: ProvidedBars) -> None:
    given: Any = {"limits": Limits(), "opening_cash": CASH}
    with pytest.raises(InvalidInput, match="entries are delayed by -1 bars"):
        sensitivity(TIMED_ENTRY, source, delays=(-1,), **given)
    with pytest.raises(InvalidInput, match="the slippage is -1 basis points"):
        sensitivity(TIMED_ENTRY, source, slippages=(-1,), **given)
    with pytest.raises(InvalidInput, match="of memory"):
        sensitivity(TIMED_ENTRY, source, memory=1, **given)
