"""A real session, traded on paper cycle by cycle, and again by the portfolio pass: the same decisions, fills and cents."""

from pathlib import Path
from typing import TYPE_CHECKING

from trading_platform.strategies.registry import load_all
from trading_platform_tests.sessions.backtests import Trial, by_pass, left_by
from trading_platform_tests.sessions.books import REAL_SYMBOLS
from trading_platform_tests.sessions.tape import DAY

if TYPE_CHECKING:
    from trading_platform_tests.acceptance.conftest import RanSession


def test_a_backtest_of_real_bars_does_what_the_paper_session_did(cycle_session: "RanSession", lean_data: Path) -> None:
    trial = Trial(
        bars=lean_data,
        symbols=tuple(sorted(REAL_SYMBOLS)),
        days=(DAY,),
        strategies=load_all(cycle_session.book.settings.active_strategies).strategies,
    )
    paper = left_by(trial, cycle_session.ledger, cycle_session.book.exchange_file)
    backtest = by_pass(trial)
    assert len(backtest.executions) > 1
    # The book names its symbols in another order, and holdings are decided on in that order; nothing hangs on it.
    assert sorted(backtest.decisions) == sorted(paper.decisions)
    assert sorted(backtest.orders) == sorted(paper.orders)
    assert backtest.executions == paper.executions
    assert backtest.minutes == paper.minutes
