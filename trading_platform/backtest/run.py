"""A whole backtest: bars block by block, what strategies say of them, and what the portfolio makes of it.

Here belong the order of these, the reckoning of memory before the first, and what is kept of each block. The decisions
are made by `portfolio_pass`, and where bars come from is `bar_sources`. What a run came to is `outcome`; its files are
written by `report`.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np

from trading_platform.backtest.bar_sources import BarBlock, BarSource, blocks_with_bars
from trading_platform.backtest.doubts import DataDoubts
from trading_platform.backtest.memory import require
from trading_platform.backtest.outcome import BacktestResult, SetAside, Tally
from trading_platform.backtest.portfolio_pass import CorporateAction, PaperVenue, PortfolioPass
from trading_platform.backtest.results import PassResult
from trading_platform.backtest.scans import entries_of
from trading_platform.backtest.trades import round_trips
from trading_platform.calendars.sessions import Session
from trading_platform.config.settings import Execution, Limits, Settings
from trading_platform.domain.money import units_from_dollars
from trading_platform.domain.records import SESSION_MINUTES, day_t
from trading_platform.marketdata import actions as market_actions
from trading_platform.marketdata.columns import BarColumns
from trading_platform.strategies.column_scan import Entries, scan_entries
from trading_platform.strategies.contract import Strategy

Progress = Callable[[int, int], None]
"""Is told how many sessions of how many are done."""

Taker = Callable[[PassResult, tuple[Session, ...]], None]
"""Is given all that is known of a block and its sessions, before most of it is let go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is traded by, and under what.

    Attributes:
        strategies: In the order in which their entries are considered.
        limits: The risk limits.
        opening_cash: Dollars.
        venue: Where orders go.
    """

    strategies: tuple[Strategy, ...]
    limits: Limits
    opening_cash: Decimal
    venue: PaperVenue


def venue_of(execution: Execution) -> PaperVenue:
    """The venue that the settings of the paper exchange describe."""
    return PaperVenue(
        slippage=execution.slippage_bps, volume_share=int(execution.volume_share_pct * 100), fees=execution.fees
    )


def terms_of(strategies: Sequence[Strategy], settings: Settings) -> Terms:
    """What these strategies trade by under the settings."""
    return Terms(
        strategies=tuple(strategies),
        limits=settings.limits,
        opening_cash=settings.account.size,
        venue=venue_of(settings.execution),
    )


def run_backtest(
    source: BarSource,
    terms: Terms,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
    take: Taker | None = None,
    memory: int | None = None,
) -> BacktestResult:
    """Trade all sessions of a source.

    Of a block are kept: the account by minute (6 kB a session), its executions, and the orders and decisions that led to
    them (about 300 bytes an execution). Refused decisions and orders that never filled are counted, and let go.

    Args:
        source: The bars.
        terms: What is traded by, and under what.
        threads: How many may look for signals at once; as many as the machine has cores if None.
        progress: See `Progress`.
        take: See `Taker`.
        memory: Bytes that the run may take; what is free if None.

    Raises:
        InvalidInput: The run would take too much memory, a strategy does not compile or raised, or a block is broken.
    """
    require(source, terms.strategies, memory)
    account = PortfolioPass(
        terms.strategies,
        terms.limits,
        opening_cash=terms.opening_cash,
        symbols=source.symbols,
        venue=terms.venue,
    )
    for strategy in terms.strategies:
        _compile(strategy)
    course = _Course(source, terms)
    after: date | None = None
    for block in blocks_with_bars(source):
        said = [entries_of(strategy, block.columns, threads) for strategy in terms.strategies]
        actions = actions_of_block(source.actions, block.columns, after)
        after = block.columns.sessions[-1].day
        result = account.run(block.columns, said, actions)
        course.add(block, said, result)
        if take is not None:
            take(result, block.columns.sessions)
        if progress is not None:
            progress(course.done, len(source.sessions))
    return course.result(account)


class _Course:
    """What is kept of the blocks that are done."""

    def __init__(self, source: BarSource, terms: Terms) -> None:
        self._source, self._terms = source, terms
        self._kept: list[PassResult] = []
        self._doubts = DataDoubts(source)
        self._tally = Tally()
        self._set_aside: list[SetAside] = []
        self.done = 0

    def add(self, block: BarBlock, said: Iterable[Entries], result: PassResult) -> None:
        """One more block."""
        self._doubts.see(block)
        self._tally.count(result)
        for strategy, one in zip(self._terms.strategies, said, strict=True):
            for fault in one.signals.faults:
                session, minute = divmod(fault.bar, SESSION_MINUTES)
                self._set_aside.append(
                    SetAside(
                        strategy=strategy.name,
                        symbol=self._source.symbols[fault.symbol],
                        session=block.columns.sessions[session].day,
                        minute=minute,
                        what=fault.what,
                    )
                )
        self._kept.append(without_idle_records(result))
        self.done += len(block.columns.sessions)

    def result(self, account: PortfolioPass) -> BacktestResult:
        """What the run came to."""
        strategies, symbols = self._terms.strategies, self._source.symbols
        return BacktestResult(
            strategies=tuple(strategy.name for strategy in strategies),
            symbols=symbols,
            sessions=self._source.sessions,
            opening=units_from_dollars(self._terms.opening_cash),
            equity=np.concatenate([one.equity for one in self._kept]),
            cash=np.concatenate([one.cash for one in self._kept]),
            trades=round_trips(self._kept, strategies=len(strategies), symbols=len(symbols)),
            holdings=account.holdings(),
            tally=replace(self._tally, bars=self._doubts.bars),
            set_aside=tuple(self._set_aside),
            doubts=self._doubts.said(),
            left_out=self._doubts.left_out,
        )


def without_idle_records(result: PassResult) -> PassResult:
    """The same block with those orders and decisions alone that led to an execution, numbered anew.

    Nothing of the rooms in which the pass worked is held on to.
    """
    executions = np.array(result.executions)
    orders, order_of = np.unique(executions["sent"] - result.first_sent, return_inverse=True)
    sent = np.array(result.sent[orders])
    decided, decision_of = np.unique(sent["decision"] - result.first_decision, return_inverse=True)
    executions["sent"], sent["decision"] = order_of, decision_of
    kept: dict[str, Any] = {
        name: np.array(getattr(result, name)) for name in ("adjustments", "modes", "equity", "cash")
    }
    return replace(
        result,
        executions=executions,
        sent=sent,
        decisions=np.array(result.decisions[decided]),
        decision_bars=np.array(result.decision_bars[decided]),
        first_sent=0,
        first_decision=0,
        **kept,
    )


def _compile(strategy: Strategy) -> None:
    """Compile a step, or read it from the cache: one that does not compile is told before a bar is read."""
    nothing = np.zeros((0, 0, SESSION_MINUTES))
    days, minutes = np.zeros((0, 0), day_t), np.zeros(0, np.int64)
    scan_entries(strategy, nothing, nothing, nothing, nothing, nothing, days, minutes, keep_levels=True, threads=1)


def actions_of_block(
    actions: Sequence[market_actions.CorporateAction], columns: BarColumns, after: date | None
) -> list[CorporateAction]:
    """The actions since the block before, by places; one of a day that is not there is made at the next that is."""
    days = [session.day for session in columns.sessions]
    rows = {symbol: row for row, symbol in enumerate(columns.symbols)}
    return [
        CorporateAction(
            session=bisect_left(days, one.session),
            symbol=rows[one.symbol],
            numerator=one.split.numerator,
            denominator=one.split.denominator,
            dividend=one.dividend,
        )
        for one in actions
        if (after is None or one.session > after) and one.session <= days[-1]
    ]
