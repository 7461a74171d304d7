"""How much of a result depends on what nobody controls: the slippage of its fills, and how late its entries come.

A strategy that earns only at the price of the signal itself, or only with one basis point of slippage, earns nothing.

Belongs here: the delay of entries, and the one pass over the bars in which all of these accounts trade. Parameters that
somebody does control are `sweep`'s.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trading_platform.backtest.bar_sources import BarSource, blocks_with_bars
from trading_platform.backtest.memory import require
from trading_platform.backtest.portfolio_pass import PaperVenue, PortfolioPass
from trading_platform.backtest.run import Progress, actions_of_block
from trading_platform.backtest.scans import entries_of
from trading_platform.backtest.sweep_figures import Figures, Tally
from trading_platform.config.settings import Limits
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.money import units_from_dollars
from trading_platform.domain.records import SESSION_MINUTES
from trading_platform.strategies.column_scan import Entries, Signals
from trading_platform.strategies.contract import Strategy

SLIPPAGES: Final = (0, 1, 2, 5, 10)
"""Basis points."""

DELAYS: Final = (0, 1, 2)
"""Bars."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """What a run came to with so many basis points of slippage and entries that come so many bars late."""

    slippage: int
    delay: int
    figures: Figures


def sensitivity(
    strategy: Strategy,
    source: BarSource,
    *,
    limits: Limits,
    opening_cash: Decimal,
    venue: PaperVenue | None = None,
    slippages: Sequence[int] = SLIPPAGES,
    delays: Sequence[int] = DELAYS,
    threads: int | None = None,
    progress: Progress | None = None,
    memory: int | None = None,
) -> tuple[Sensitivity, ...]:
    """The same run at each slippage with each delay, by delay, then slippage. The bars are read and scanned once.

    Args:
        strategy: What trades.
        source: The bars.
        limits: The risk limits of each account.
        opening_cash: Dollars of each.
        venue: Where each trades, but for its slippage; as a paper session does if None.
        slippages: Basis points on market and stop fills.
        delays: Bars by which each entry comes later than it was said; its stop stays where it was.
        threads: How many may look for signals at once; as many as the machine has cores if None.
        progress: Is told how many sessions of how many are done.
        memory: Bytes that the run may take; what is free if None.

    Raises:
        InvalidInput: A slippage or delay is out of its bounds, the run would take too much memory, the strategy does not
            compile or raised, or a block is broken.
    """
    venue = venue if venue is not None else PaperVenue()
    wanted = [(slippage, delay) for delay in _delays(delays) for slippage in dict.fromkeys(slippages)]
    venues = {slippage: replace(venue, slippage=slippage) for slippage in slippages}
    require(source, [strategy], memory)
    accounts = [
        PortfolioPass([strategy], limits, opening_cash=opening_cash, symbols=source.symbols, venue=venues[slippage])
        for slippage, _ in wanted
    ]
    tallies = [Tally(units_from_dollars(opening_cash), len(source.symbols)) for _ in wanted]
    after: date | None = None
    done = 0
    for block in blocks_with_bars(source):
        columns = block.columns
        actions = actions_of_block(source.actions, columns, after)
        after = columns.sessions[-1].day
        said = entries_of(strategy, columns, threads)
        late = {delay: delayed(said, columns.close, delay) for _, delay in wanted}
        for (_, delay), account, tally in zip(wanted, accounts, tallies, strict=True):
            tally.add(account.run(columns, [late[delay]], actions), len(said.signals.faults))
        done += len(columns.sessions)
        if progress is not None:
            progress(done, len(source.sessions))
    return tuple(
        Sensitivity(slippage=slippage, delay=delay, figures=tally.figures())
        for (slippage, delay), tally in zip(wanted, tallies, strict=True)
    )


def delayed(entries: Entries, closes: npt.NDArray[Any], bars: int) -> Entries:
    """The same with each entry so many bars of its symbol later; one with no such bar in its session is left out.

    Stop, limit and set-up stay those of the bar on which it was said. `closes` are [symbols, sessions, 390], nan where
    no bar came.
    """
    if bars == 0:
        return entries
    signals = entries.signals
    following = _next_bars(closes)
    sessions, minutes = np.divmod(signals.bars, SESSION_MINUTES)
    for _ in range(bars):
        minutes = following[signals.symbols, sessions, minutes].astype(np.int64)
    moved = sessions * SESSION_MINUTES + minutes
    kept = minutes < SESSION_MINUTES
    for fault in signals.faults:
        # From there on the strategy says nothing of that symbol.
        same = (signals.symbols == fault.symbol) & (sessions == fault.bar // SESSION_MINUTES)
        kept &= ~(same & (moved >= fault.bar))
    order = np.flatnonzero(kept)
    order = order[np.lexsort((signals.symbols[order], moved[order]))]
    later = Signals(bars=moved[order], symbols=signals.symbols[order], outs=signals.outs[order], faults=signals.faults)
    return replace(entries, signals=later)


def _delays(delays: Sequence[int]) -> tuple[int, ...]:
    for delay in delays:
        if not 0 <= delay < SESSION_MINUTES:
            raise InvalidInput(
                f"entries are delayed by {delay} bars", where="sensitivity", mend=f"Give 0 to {SESSION_MINUTES - 1}"
            )
    return tuple(dict.fromkeys(delays))


def _next_bars(closes: npt.NDArray[Any]) -> npt.NDArray[np.int16]:
    """Int16 [symbols, sessions, 391]: the minute of the next bar after each minute; 390 where there is none."""
    minutes = np.where(np.isnan(closes), SESSION_MINUTES, np.arange(SESSION_MINUTES)).astype(np.int16)
    from_here = np.minimum.accumulate(minutes[..., ::-1], axis=-1)[..., ::-1]
    none = np.full((*closes.shape[:2], 2), SESSION_MINUTES, np.int16)
    return np.concatenate((from_here[..., 1:], none), axis=-1)
