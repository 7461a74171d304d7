"""This platform on the market of the comparison: one backtest in parts that can be timed, and the sweep.

    python ours.py FOLDER [STOPS TARGETS]

runs as the peers do: once for each line, with stops and targets a sweep over all pairs, and answers with seconds, trades,
cents and peak memory.
"""

import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from compared import market
from compared.bars import columns_of
from compared.reclaim import STRATEGY
from compared.reference import SHARES, Trade

from trading_platform.backtest import portfolio_pass, sweep_figures
from trading_platform.backtest import sweep as sweep_module
from trading_platform.backtest.bar_sources import BarBlock
from trading_platform.backtest.portfolio_pass import PaperVenue, PortfolioPass
from trading_platform.backtest.results import PassResult
from trading_platform.backtest.trades import round_trips
from trading_platform.config.settings import Limits
from trading_platform.marketdata.columns import BarColumns
from trading_platform.strategies.column_scan import scan_entries

PARTS = ("scan", "account", "pass", "trades")


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """Under what the strategy trades."""

    limits: Limits
    venue: PaperVenue
    cash: Decimal


WIDE_OPEN = Conditions(
    limits=Limits(
        max_positions=1_000,
        max_position_size_pct=Decimal(100),
        max_daily_loss_pct=Decimal(100),
        max_strategy_daily_loss_pct=Decimal(100),
        max_drawdown_pct=Decimal(100),
        max_order_shares=1_000_000,
        max_order_notional=Decimal(10**8),
        buying_power_pct=Decimal(100),
        closing_minutes=1,
        price_collar_pct=Decimal(100),
        price_collar_mid_pct=Decimal(100),
        price_collar_low_pct=Decimal(100),
        max_adv_share_pct=Decimal(100),
        max_minute_volume_pct=Decimal(10_000),
        max_gross_exposure_pct=Decimal(1_000),
        max_net_exposure_pct=Decimal(1_000),
        max_leverage=Decimal(10),
        max_orders_per_second=1_000,
        max_orders_per_minute=10_000,
        max_orders_per_day=100_000,
        max_strategy_orders_per_day=100_000,
        duplicate_window_seconds=1,
        max_entries_per_day=1_000,
        max_open_orders=10_000,
        max_open_orders_per_side=1_000,
        max_order_age_minutes=390,
    ),
    venue=PaperVenue(slippage=0, volume_share=10_000, fees="alpaca"),
    cash=Decimal(10**9),
)
"""Every signal is traded, at the open, for nothing."""

LIMITED = Conditions(
    limits=Limits(max_positions=50, max_position_size_pct=Decimal(5), max_daily_loss_pct=Decimal(2)),
    venue=PaperVenue(),
    cash=Decimal(500_000),
)
"""The platform's own limits, but for those that a large account would widen; slippage, shares of volume and fees."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ran:
    """One run: its result, its finished trades (`trade_t`), and the seconds of each of `PARTS`."""

    result: PassResult
    trades: Any
    parts: tuple[float, ...]

    @property
    def seconds(self) -> float:
        return sum(self.parts)


def run(columns: BarColumns, conditions: Conditions, threads: int | None = None) -> Ran:
    """From arrays to trades."""
    moments = [time.perf_counter()]
    minutes = np.array([session.minutes for session in columns.sessions], np.int64)
    bars = (columns.open, columns.high, columns.low, columns.close, columns.volume)
    said = scan_entries(STRATEGY, *bars, columns.days, minutes, keep_levels=True, threads=threads)
    moments.append(time.perf_counter())
    account = PortfolioPass(
        [STRATEGY],
        conditions.limits,
        opening_cash=conditions.cash,
        symbols=columns.symbols,
        venue=conditions.venue,
    )
    moments.append(time.perf_counter())
    result = account.run(columns, [said])
    moments.append(time.perf_counter())
    trades = round_trips([result], strategies=1, symbols=len(columns.symbols)).finished
    moments.append(time.perf_counter())
    return Ran(result=result, trades=trades, parts=tuple(np.diff(moments)))


def as_trades(found: Any) -> list[Trade]:
    """`trade_t` as the reference writes trades."""
    names = ("symbol", "entered", "left", "cost", "proceeds")
    columns = [found[name].tolist() for name in names]
    cent = 100 * SHARES
    rows = [
        (symbol, entered, left, cost // cent, got // cent)
        for symbol, entered, left, cost, got in zip(*columns, strict=True)
    ]
    return sorted(rows)


class InMemory:
    """Columns as the source of a backtest's bars."""

    missing = actions = problems = ()
    own_bytes = 0

    def __init__(self, columns: BarColumns) -> None:
        self._columns = columns
        self.symbols, self.sessions = columns.symbols, columns.sessions
        self.longest = len(columns.sessions)

    def blocks(self) -> Iterator[BarBlock]:
        counts = np.full(self._columns.days.shape, market.MINUTES, np.int16)
        yield BarBlock(columns=self._columns, counts=counts, problems=())


def pairs(stops: str, targets: str) -> dict[str, list[float]]:
    """The grid of all pairs of a stop and a target, each given as numbers with commas."""
    values = [[float(number) for number in text.split(",")] for text in (stops, targets)]
    return dict(zip(("exit_plan.stop_percent", "exit_plan.scale_outs.1.target"), values, strict=True))


def swept(source: Any, grid: dict[str, list[float]]) -> list[Any]:
    """A row for each setting."""
    return list(
        sweep_module.sweep(
            STRATEGY,
            grid,
            source,
            limits=WIDE_OPEN.limits,
            opening_cash=WIDE_OPEN.cash,
            venue=WIDE_OPEN.venue,
        )
    )


def swept_parts(stops: str, targets: str) -> dict[str, float]:
    """The seconds of a sweep of size a by part: the compiled ones, each timed where it is called, and all else."""
    source, grid = InMemory(columns_of(market.make("a"))), pairs(stops, targets)
    swept(source, grid)
    seconds: dict[str, float] = {}
    places = (
        ("scan", sweep_module, "entries_of"),
        ("portfolio pass", portfolio_pass, "run"),
        ("fall of the equity", sweep_figures, "follow_equity"),
        ("round trips", sweep_figures, "fold_round_trips"),
    )
    own = [(module, name, getattr(module, name)) for _, module, name in places]
    for (part, module, name), (_, _, function) in zip(places, own, strict=True):
        setattr(module, name, timed(function, seconds, part))
    try:
        begun = time.perf_counter()
        swept(source, grid)
        whole = time.perf_counter() - begun
    finally:
        for module, name, function in own:
            setattr(module, name, function)
    return {**seconds, "Python for settings, accounts and figures": whole - sum(seconds.values())}


def timed(function: Callable[..., Any], seconds: dict[str, float], part: str) -> Callable[..., Any]:
    """The function, whose time is added up under the name of a part."""

    def call(*given: Any, **named: Any) -> Any:
        begun = time.perf_counter()
        try:
            return function(*given, **named)
        finally:
            seconds[part] = seconds.get(part, 0.0) + time.perf_counter() - begun

    return call


def main() -> None:
    made = market.load(Path(sys.argv[1]))
    work = once(made) if len(sys.argv) == 2 else over_and_over(made, pairs(*sys.argv[2:4]))
    print("ready trading_platform", flush=True)
    for _ in sys.stdin:
        seconds, trades, cents = work()
        print(seconds, trades, cents, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, flush=True)


def once(made: dict[str, np.ndarray]) -> Callable[[], tuple[float, int, int]]:
    """One backtest. Its machine code is there, as the others' is."""
    run(columns_of({name: column[:2, :1].copy() for name, column in made.items()}), WIDE_OPEN)
    columns = columns_of(made)

    def work() -> tuple[float, int, int]:
        ran = run(columns, WIDE_OPEN)
        return ran.seconds, len(ran.trades), int((ran.trades["proceeds"] - ran.trades["cost"]).sum()) // 100

    return work


def over_and_over(made: dict[str, np.ndarray], grid: dict[str, list[float]]) -> Callable[[], tuple[float, int, int]]:
    """One sweep."""
    source = InMemory(columns_of(made))
    swept(source, grid)

    def work() -> tuple[float, int, int]:
        begun = time.perf_counter()
        figures = [row.figures for row in swept(source, grid)]
        trades, cents = sum(one.trades for one in figures), sum(one.profit for one in figures) // 100
        return time.perf_counter() - begun, trades, cents

    return work


if __name__ == "__main__":
    main()
