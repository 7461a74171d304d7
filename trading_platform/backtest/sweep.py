"""Parameter sweeps: one strategy under every combination of some values, over one pass of the bars.

Bars are read once, block by block. What a strategy says does not depend on its position, so settings that differ in exit
plan or sizing alone share one scan; each setting has an account of its own, and of a block is kept only what its figures
need. So memory grows with the number of settings, not with the length of the run.

Belongs here: the combinations, who shares a scan, and the order of the work. What a setting came to is `sweep_figures`;
one whole backtest is `run`.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from functools import partial
from itertools import product
from typing import Any, Final

import numpy as np

from trading_platform.backtest.bar_sources import BarSource, blocks_with_bars
from trading_platform.backtest.memory import available, require
from trading_platform.backtest.portfolio_pass import CorporateAction, PaperVenue, PortfolioPass
from trading_platform.backtest.run import Progress, actions_of_block
from trading_platform.backtest.scans import entries_of
from trading_platform.backtest.sweep_figures import Figures, Tally, ranked
from trading_platform.config.settings import Limits
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.money import units_from_dollars
from trading_platform.marketdata.columns import BarColumns
from trading_platform.strategies.column_scan import Entries
from trading_platform.strategies.contract import Strategy

MOST_SETTINGS: Final = 100_000

SILENT: Final = ("exit_plan.", "sizing.")
"""How names of a grid begin that change nothing of what a strategy says."""

_EXAMINED: Final = 16
_ACCOUNT_BYTES: Final = 2**20
_SYMBOL_BYTES: Final = 1024
"""What the account of one setting takes, about."""

_BARS_A_THREAD: Final = 400_000
"""On fewer, an account is so soon done that threads would wait for the interpreter more than they gain."""

_SCALE_OUT: Final = re.compile(r"exit_plan\.scale_outs\.([1-9]\d*)\.(fraction|target)")


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRow:
    """One setting, and what it came to.

    Attributes:
        values: What was set, by the names of the grid.
        figures: What it came to.
    """

    values: Mapping[str, Any]
    figures: Figures


def sweep(
    strategy: Strategy,
    grid: Mapping[str, Sequence[Any]],
    source: BarSource,
    *,
    limits: Limits,
    opening_cash: Decimal,
    venue: PaperVenue | None = None,
    rank_by: str = "profit",
    threads: int | None = None,
    progress: Progress | None = None,
    memory: int | None = None,
) -> tuple[SweepRow, ...]:
    """Trade every combination of the grid's values, each on an account of its own.

    Args:
        strategy: What is changed.
        grid: Values by name, as `Strategy.with_values` takes them; and `exit_plan.scale_outs.1.target` or `.fraction` of
            its first scale-out, and so on.
        source: The bars.
        limits: The risk limits of each account.
        opening_cash: Dollars of each.
        venue: Where each trades; as a paper session does if None.
        rank_by: The figure by which rows are ordered, the best first; one of `sweep_figures.RANKS`.
        threads: How many to use at most; as many as the machine has cores if None.
        progress: Is told how many sessions of how many are done.
        memory: Bytes that the sweep may take; what is free if None.

    Returns:
        A row for each combination; equal ones in the order of the grid.

    Raises:
        InvalidInput: A name or value is refused, the sweep would take too much memory, the strategy does not compile or
            raised, or a block is broken.
    """
    ranked([], rank_by)
    settings = [_Setting(values=values, strategy=one) for values, one in variants(strategy, grid)]
    _require_memory(source, strategy, len(settings), memory)
    opening = units_from_dollars(opening_cash)
    for setting in settings:
        setting.account = PortfolioPass(
            [setting.strategy], limits, opening_cash=opening_cash, symbols=source.symbols, venue=venue
        )
        setting.tally = Tally(opening, len(source.symbols))
    _trade(settings, source, threads, progress)
    rows = [SweepRow(values=setting.values, figures=setting.tally.figures()) for setting in settings]
    return tuple(ranked(rows, rank_by))


def combinations(grid: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every combination of the values; the last name's change fastest.

    Raises:
        InvalidInput: There is nothing to combine, a value stands twice, or there are too many.
    """
    if not grid:
        raise InvalidInput("nothing is to be varied", where="grid", mend="Give at least one name with its values")
    for name, values in grid.items():
        if not values or len(set(values)) < len(values):
            raise InvalidInput(
                f"the values of {name} are {', '.join(map(str, values)) or 'none'}",
                where="grid",
                mend="Give at least one, and each once",
            )
    count = int(np.prod([float(len(values)) for values in grid.values()]))
    if count > MOST_SETTINGS:
        raise InvalidInput(
            f"it has {count:,} combinations",
            where="grid",
            mend=f"Give fewer values: at most {MOST_SETTINGS:,} combinations",
        )
    return [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]


def variants(strategy: Strategy, grid: Mapping[str, Sequence[Any]]) -> list[tuple[dict[str, Any], Strategy]]:
    """Every combination with the strategy that has these values. Raises `InvalidInput` for a grid that cannot be swept."""
    return [(values, strategy_at(strategy, values)) for values in combinations(grid)]


def to_examine(strategy: Strategy, grid: Mapping[str, Sequence[Any]]) -> tuple[Strategy, ...]:
    """The strategy, and some of the combinations that make it say something else, the first and the last among them.

    What a step sees may depend on its parameters: one that looks at nothing it should not as it is configured, may do so at
    the end of a range. All of them would take longer to look at than to trade. Raises `InvalidInput` as `variants`.
    """
    spoken = [name for name in grid if not name.startswith(SILENT)]
    heard = {tuple(values[name] for name in spoken): values for values in combinations(grid)} if spoken else {}
    some = np.unique(np.linspace(0, len(heard) - 1, min(len(heard), _EXAMINED)).astype(int)).tolist() if heard else []
    every = list(heard.values())
    return (strategy, *(strategy_at(strategy, every[place]) for place in some))


@dataclass(slots=True, kw_only=True)
class _Setting:
    """One combination, its account, and what is kept of what it did."""

    values: dict[str, Any]
    strategy: Strategy
    account: PortfolioPass = field(init=False)
    tally: Tally = field(init=False)

    def trade(self, columns: BarColumns, said: Entries, actions: Sequence[CorporateAction]) -> None:
        """Its next block."""
        self.tally.add(self.account.run(columns, [said], actions), len(said.signals.faults))


def strategy_at(strategy: Strategy, values: Mapping[str, Any]) -> Strategy:
    """The strategy with these values of a grid. Raises `InvalidInput`, which says of which combination it is."""
    plain = {name: value for name, value in values.items() if not _SCALE_OUT.fullmatch(name)}
    try:
        changed = strategy.with_values(plain) if plain else strategy
        legs = list(changed.exit_plan.scale_outs)
        for name in values.keys() - plain.keys():
            number, part = _leg(name, len(legs))
            legs[number] = replace(legs[number], **{part: values[name]})
        return replace(changed, exit_plan=replace(changed.exit_plan, scale_outs=tuple(legs)))
    except InvalidInput as error:
        told = ", ".join(f"{name} {value}" for name, value in values.items())
        raise InvalidInput(error.what, where=f"grid at {told}: {error.where}", mend=error.mend) from error


def _leg(name: str, legs: int) -> tuple[int, str]:
    found = _SCALE_OUT.fullmatch(name)
    assert found is not None
    number = int(found[1])
    if number > legs:
        raise InvalidInput(
            f"there is no scale-out {number}",
            where=name,
            mend=f"The plan has {legs}, counted from 1: vary one of these" if legs else "The plan has none",
        )
    return number - 1, found[2]


def _require_memory(source: BarSource, strategy: Strategy, settings: int, memory: int | None) -> None:
    free = available() if memory is None else memory
    if free is not None:
        accounts = settings * (_ACCOUNT_BYTES + len(source.symbols) * _SYMBOL_BYTES)
        require(source, [strategy], max(0, free - accounts))


def _trade(settings: Sequence[_Setting], source: BarSource, threads: int | None, progress: Progress | None) -> None:
    if threads is not None and threads < 1:
        raise InvalidInput(f"{threads} threads", where="sweep", mend="Give at least 1")
    workers = threads or os.cpu_count() or 1
    shared = list(_by_scan(settings))
    after: date | None = None
    done = 0
    with ThreadPoolExecutor(workers) as pool:
        for block in blocks_with_bars(source):
            actions = actions_of_block(source.actions, block.columns, after)
            after = block.columns.sessions[-1].day
            _Block(columns=block.columns, actions=actions).trade(shared, pool, workers)
            done += len(block.columns.sessions)
            if progress is not None:
                progress(done, len(source.sessions))


def _by_scan(settings: Sequence[_Setting]) -> Iterator[list[_Setting]]:
    """The settings of which a strategy says the same."""
    groups: dict[tuple[bytes, int], list[_Setting]] = {}
    for setting in settings:
        plan = setting.strategy.exit_plan
        key = setting.strategy.parameter_record().tobytes(), plan.trail_level
        groups.setdefault(key, []).append(setting)
    yield from groups.values()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    columns: BarColumns
    actions: Sequence[CorporateAction]

    def trade(self, shared: Sequence[list[_Setting]], pool: ThreadPoolExecutor, workers: int) -> None:
        """Trade it by all settings, the threads at work on several scans, or else on several accounts."""
        if len(shared) >= workers:
            list(pool.map(self._alone, shared))
            return
        for group in shared:
            said = entries_of(group[0].strategy, self.columns, workers)
            if self.columns.close.size < _BARS_A_THREAD:
                for setting in group:
                    self._trade(setting, said)
            else:
                list(pool.map(partial(self._trade, said=said), group))

    def _alone(self, group: Sequence[_Setting]) -> None:
        said = entries_of(group[0].strategy, self.columns, 1)
        for setting in group:
            self._trade(setting, said)

    def _trade(self, setting: _Setting, said: Entries) -> None:
        setting.trade(self.columns, said, self.actions)
