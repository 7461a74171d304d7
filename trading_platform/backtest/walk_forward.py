"""Walk-forward: parameters are chosen on some sessions, and traded on those that follow, again and again.

Only the tests count. They make one track record, as if somebody had chosen anew every so often, with nothing but what was
known by then. The parts that trade are opened by their own range of days, so a choice is made before a bar of its test
is read.

Belongs here: the windows, the choice and the chain. How all combinations are tried on one range is `sweep`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np

from trading_platform.backtest.bar_sources import BarSource
from trading_platform.backtest.outcome import BacktestResult
from trading_platform.backtest.run import Terms, run_backtest
from trading_platform.backtest.sweep import strategy_at, sweep, variants
from trading_platform.backtest.sweep_figures import RANKS, Figures, ranked
from trading_platform.backtest.trades import REASONS
from trading_platform.calendars.sessions import Session
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.money import dollars_from_units
from trading_platform.domain.records import SESSION_MINUTES
from trading_platform.performance.track_record import TrackRecord

OpenBars = Callable[[date, date], BarSource]
"""The bars from one day to another."""

WindowDone = Callable[[int, int], None]
"""Is told how many windows of how many are done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Sessions of each part. `step` is how far the next window lies from the one before; None: the length of a test."""

    train: int
    test: int
    step: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The first and the last day of the sessions to choose on, and of those that follow them."""

    train: tuple[date, date]
    test: tuple[date, date]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One window: what was chosen, and what came of it.

    Attributes:
        window: Its days.
        chosen: The values of the grid.
        figure: What they were chosen by, on the sessions to choose on; None: it was not defined for any.
        trained: All figures there.
        profit: Units that the test has brought.
        trades: Finished ones of the test.
        left_open: Positions that the test ended with. They count at their last prices, and are not carried on.
    """

    window: Window
    chosen: Mapping[str, Any]
    figure: float | None
    trained: Figures
    profit: int
    trades: int
    left_open: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WalkForward:
    """All windows, and the one track record that their tests make."""

    steps: tuple[Step, ...]
    record: TrackRecord


def windows(sessions: Sequence[Session], lengths: Lengths) -> tuple[Window, ...]:
    """The windows that fit into these sessions, oldest first; sessions at the end that fill no test are left out.

    Raises:
        InvalidInput: A length is below 1, tests would overlap, or not even one window fits.
    """
    step = lengths.test if lengths.step is None else lengths.step
    for name, value in (("train", lengths.train), ("test", lengths.test), ("step", step)):
        if value < 1:
            raise InvalidInput(f"{name} is {value} sessions", where="walk-forward", mend="Give at least 1")
    if step < lengths.test:
        raise InvalidInput(
            f"each test has {lengths.test} sessions and begins {step} after the last: days would count twice",
            where="walk-forward",
            mend=f"Give a step of at least {lengths.test}",
        )
    days = [session.day for session in sessions]
    last = len(days) - lengths.train - lengths.test
    if last < 0:
        raise InvalidInput(
            f"there are {len(days):,} sessions, and one window takes {lengths.train + lengths.test:,}",
            where="walk-forward",
            mend="Give a longer range of days, or shorter parts",
        )
    found = []
    for first in range(0, last + 1, step):
        cut, end = first + lengths.train, first + lengths.train + lengths.test
        found.append(Window(train=(days[first], days[cut - 1]), test=(days[cut], days[end - 1])))
    return tuple(found)


def walk_forward(
    open_bars: OpenBars,
    sessions: Sequence[Session],
    terms: Terms,
    grid: Mapping[str, Sequence[Any]],
    lengths: Lengths,
    *,
    by: str = "sharpe",
    threads: int | None = None,
    progress: WindowDone | None = None,
    memory: int | None = None,
) -> WalkForward:
    """Choose on each window's first part, trade its second, and chain these.

    Args:
        open_bars: Gives the bars from one day to another, of the same symbols each time.
        sessions: The whole range.
        terms: What is traded by: one strategy. Each test opens with what the one before has left.
        grid: The values to choose from, as `sweep` takes them.
        lengths: Of the parts.
        by: One of `sweep_figures.RANKS`. Of equals the first of the grid is taken, and so it is where none is defined.
        threads: See `sweep`.
        progress: See `WindowDone`.
        memory: See `sweep`.

    Raises:
        InvalidInput: There is not one strategy, the account is ruined, or as `windows`, `sweep` and `run_backtest`.
    """
    if len(terms.strategies) != 1:
        raise InvalidInput(
            f"{len(terms.strategies)} strategies", where="walk-forward", mend="Give one: its parameters are chosen"
        )
    (strategy,) = terms.strategies
    # All that was given is looked at before a bar is read.
    ranked([], by)
    variants(strategy, grid)
    found = windows(sessions, lengths)
    steps, tests = list[Step](), list[BacktestResult]()
    cash = terms.opening_cash
    for place, window in enumerate(found):
        if cash <= 0:
            raise InvalidInput(f"the account is ruined by {found[place - 1].test[1]}", where="walk-forward")
        best = sweep(
            strategy,
            grid,
            open_bars(*window.train),
            limits=terms.limits,
            opening_cash=cash,
            venue=terms.venue,
            rank_by=by,
            threads=threads,
            memory=memory,
        )[0]
        chosen = replace(terms, strategies=(strategy_at(strategy, best.values),), opening_cash=cash)
        tested = run_backtest(open_bars(*window.test), chosen, threads=threads, memory=memory)
        cash = dollars_from_units(tested.closing)
        tests.append(tested)
        steps.append(
            Step(
                window=window,
                chosen=best.values,
                figure=RANKS[by](best.figures),
                trained=best.figures,
                profit=tested.closing - tested.opening,
                trades=int(tested.trades.finished.size),
                left_open=len(tested.holdings),
            )
        )
        if progress is not None:
            progress(place + 1, len(found))
    return WalkForward(steps=tuple(steps), record=chained(tests))


def chained(results: Sequence[BacktestResult]) -> TrackRecord:
    """One record of runs that follow each other, each of which opened with what the one before had left.

    Raises:
        InvalidInput: They are of other symbols or strategies, overlap, or one opened with another amount.
    """
    first = results[0]
    trades, before = [], 0
    for place, one in enumerate(results):
        if (one.symbols, one.strategies) != (first.symbols, first.strategies):
            raise InvalidInput("the runs are of other symbols or strategies", where="walk-forward")
        if place and one.opening != results[place - 1].closing:
            raise InvalidInput("a run did not open with what the one before had left", where="walk-forward")
        own = one.trades.finished.copy()
        own["entered"] += before
        own["left"] += before
        trades.append(own)
        before += len(one.sessions) * SESSION_MINUTES
    return TrackRecord(
        sessions=tuple(session for one in results for session in one.sessions),
        opening=first.opening,
        equity=np.concatenate([one.equity for one in results]),
        gross=np.concatenate([one.equity - one.cash for one in results]),
        trades=np.concatenate(trades),
        strategies=first.strategies,
        symbols=first.symbols,
        traded=sum(one.tally.traded for one in results),
        fees=sum(one.tally.fees for one in results),
        reasons=REASONS,
    )
