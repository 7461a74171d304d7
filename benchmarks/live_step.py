"""The live step of the whole market with its decisions, on one thread: beside plain NumPy, and a cycle beside its commit.

    python benchmarks/live_step.py [--minutes 390] [--cycles 120]

First the part that is compiled: one call steps 11,000 symbols by one minute, and one call of the decision kernel, with
the risk gate in it, decides on what is held and on the minute's entries. Beside it, minute by minute, the same strategy
in plain NumPy across all symbols, without any decision; both must give the same signals, and both find the minute's bars
where a feed has just written them. A minute in which something else took the core says nothing of the code, so the
percentiles are told by the thread's own clock too.

Then whole cycles of a simulated market: reconciled, fetched, evaluated, decided, recorded and sent. Beside each the bare
commit of one row on the same server, and how much of the cycle was the ledger's own commit.

Goal: the 99th percentile of step and kernel is below 250 microseconds.
"""

import argparse
import os
import statistics
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from compared import market
from compared.bars import columns_of
from compared.ours import LIMITED, Conditions
from compared.reclaim import STRATEGY

from trading_platform.config.settings import Limits
from trading_platform.domain.compiled import empty_records
from trading_platform.domain.decisions import DecisionKind, OrderShape, Verdict
from trading_platform.domain.money import units_from_dollars
from trading_platform.domain.records import book_t, decision_t, entry_t, position_t, step_bar_t
from trading_platform.portfolio.kernel import DECISIONS_PER_HOLDING, decide
from trading_platform.risk.limits import to_record
from trading_platform.strategies.scan import SessionFold

GOAL = 250
DAY = date(2024, 6, 12)
WINDOW, CLOSES_BELOW, MULTIPLE = 20, 5, 1.5


class Whole:
    """The strategy across all symbols with whole arrays: what a careful hand writes without a compiler."""

    def __init__(self, symbols: int) -> None:
        self.price_volume, self.volume, self.window = (np.zeros(symbols) for _ in range(3))
        self.below = np.zeros(symbols, np.int64)
        self.volumes = np.zeros((WINDOW, symbols))
        self.minute = 0

    def step(self, high: Any, low: Any, close: Any, volume: Any) -> Any:
        """The symbols to enter."""
        self.price_volume += (high + low + close) / 3.0 * volume
        self.volume += volume
        vwap = self.price_volume / self.volume
        entries = (close > vwap) & (self.below >= CLOSES_BELOW) & (volume * WINDOW > MULTIPLE * self.window)
        if not WINDOW <= self.minute < market.MINUTES - 2:
            entries[:] = False
        self.below += 1
        self.below[close >= vwap] = 0
        self.window += volume - self.volumes[self.minute % WINDOW]
        self.volumes[self.minute % WINDOW] = volume
        self.minute += 1
        return np.flatnonzero(entries)


class Kernel:
    """The decision kernel over one session: what it approves is held from the next minute on, at the decided price."""

    def __init__(self, conditions: Conditions, opens: Any) -> None:
        self._limits: Limits = conditions.limits
        self._plans = STRATEGY.plan_record(session_minutes=market.MINUTES, opens=opens)
        self._book = empty_records(1, book_t)
        self._book["session_minutes"] = market.MINUTES
        self._book["cash"] = self._book["open_equity"] = self._book["peak_equity"] = units_from_dollars(conditions.cash)
        self._book["limits"] = to_record(conditions.limits, OrderShape(~0))[0]
        self._held = empty_records(0, position_t)

    def minute(self, minute: int, outs: Any, bars: Any) -> Any:
        """The minute's decisions."""
        rows = np.flatnonzero(outs["entry"])
        entries = empty_records(rows.size, entry_t)
        entries["symbol"] = rows
        entries["price"] = np.rint(bars["close"][rows] * 10_000)
        entries["setup"] = outs["setup"][rows]
        entries["average_volume"], entries["bar_volume"] = 10**9, bars["volume"][rows]
        held = self._held.size
        positions = empty_records(held + rows.size, position_t)
        positions[:held] = self._held
        book = self._book
        book["minute"], book["now"], book["holdings"] = minute, 60 * minute, held
        book["orders_second"] = book["orders_minute"] = book["linked"] = 0
        self._see(positions[:held], outs, bars)
        decisions = empty_records(DECISIONS_PER_HOLDING * (held + 1) + rows.size, decision_t)
        return decisions[: decide(book, positions, entries, self._plans, decisions)]

    def _see(self, positions: Any, outs: Any, bars: Any) -> None:
        symbols = positions["symbol"]
        closes = np.rint(bars["close"][symbols] * 10_000).astype(np.int64)
        positions["seen"]["present"] = 1
        positions["seen"]["close"] = positions["mark"] = closes
        positions["seen"]["exit"] = outs["exit"][symbols]

    def fill(self, minute: int, decisions: Any) -> None:
        """Bring what was decided about, which a venue would do."""
        exits = decisions[decisions["kind"] == DecisionKind.EXIT]
        self._held = self._held[~np.isin(self._held["symbol"], exits["symbol"])]
        taken = (decisions["kind"] == DecisionKind.ENTER) & (decisions["verdict"] != Verdict.REFUSED)
        new = empty_records(int(taken.sum()), position_t)
        for name in ("symbol", "setup", "quantity"):
            new[name] = decisions[name][taken]
        new["entry_quantity"], new["mark"] = new["quantity"], decisions["price"][taken]
        new["entry_cost"] = new["quantity"] * new["mark"]
        new["filled_minute"], new["valid_until"], new["highest_close"] = minute + 1, minute + 1, new["mark"]
        self._held = np.concatenate([self._held, new])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=int, default=market.MINUTES)
    parser.add_argument("--cycles", type=int, default=120, help="0: none")
    given = parser.parse_args()
    compiled_part(given.minutes)
    if given.cycles:
        whole_cycles(given.cycles)


def compiled_part(minutes: int) -> None:
    made = market.make("d")
    columns = columns_of(made)
    symbols = len(columns.symbols)
    by_minute = minute_bars(made)
    present = np.ones(symbols, np.bool_)
    names = ("step", "kernel", "step and kernel", "plain NumPy, signals alone")
    by_wall: dict[str, list[float]] = {name: [] for name in names}
    by_thread: dict[str, list[float]] = {name: [] for name in names}
    bars = np.zeros(symbols, step_bar_t)
    decided = 0
    for session in range(2):
        # The first is for the compiler.
        fold, whole = SessionFold(STRATEGY, columns.days[:, 0].copy()), Whole(symbols)
        kernel = Kernel(LIMITED, columns.sessions[0].open.time())
        for minute in range(minutes):
            row = [np.ascontiguousarray(by_minute[minute][name]) for name in ("high", "low", "close", "volume")]
            bars[:] = by_minute[minute]
            moments = [clocks()]
            outs = fold.step(bars, present)
            moments.append(clocks())
            decisions = kernel.minute(minute, outs, bars)
            moments.append(clocks())
            entries = whole.step(*row)
            moments.append(clocks())
            assert np.array_equal(entries, np.flatnonzero(outs["entry"])), "other signals"
            kernel.fill(minute, decisions)
            if session == 1:
                decided += decisions.size
                for took, (begun, stepped, ended, plain) in zip(
                    (by_wall, by_thread), zip(*moments, strict=True), strict=True
                ):
                    seconds = (stepped - begun, ended - stepped, ended - begun, plain - ended)
                    for name, one in zip(names, seconds, strict=True):
                        took[name].append(one)
    print(f"{symbols:,} symbols, {minutes} minutes, {decided:,} decisions")
    for clock, took in (("by the wall", by_wall), ("by the thread's clock", by_thread)):
        print(clock)
        for name, seconds in took.items():
            tell(name, seconds, 1e6, "us")
        p99 = percentile(took["step and kernel"], 99) * 1e6
        print(
            f"  99th percentile of step and kernel: {p99:.0f} us (goal {GOAL}: {'reached' if p99 < GOAL else 'MISSED'})"
        )


def clocks() -> tuple[float, float]:
    """The wall's and the thread's own, in seconds."""
    return time.perf_counter(), time.thread_time()


def minute_bars(made: dict[str, np.ndarray]) -> Any:
    """`step_bar_t` [minutes, symbols]."""
    symbols = made["close"].shape[0]
    bars = np.zeros((market.MINUTES, symbols), step_bar_t)
    for name, column in made.items():
        bars[name] = column[:, 0].T
    bars["minute"] = np.arange(market.MINUTES)[:, np.newaxis]
    bars["minutes_left"] = market.MINUTES - 1 - bars["minute"]
    return bars


def percentile(seconds: list[float], percent: int) -> float:
    return float(np.percentile(seconds, percent))


def tell(name: str, seconds: list[float], scale: float, unit: str) -> None:
    marks = ", ".join(f"p{percent} {percentile(seconds, percent) * scale:8.1f}" for percent in (50, 99))
    print(f"  {name:28} {marks}, most {max(seconds) * scale:8.1f} {unit}")


def whole_cycles(count: int) -> None:
    """Cycles of a simulated session on a server of its own with fsync, and a bare commit beside each."""
    import sqlalchemy as sa

    from trading_platform.bootstrap import build
    from trading_platform.calendars.exchange import ExchangeCalendar
    from trading_platform.config.load import load
    from trading_platform.domain.clock import SimulatedClock
    from trading_platform.engine.cycle import run_cycle
    from trading_platform.ledger.embedded import LocalServer

    with tempfile.TemporaryDirectory() as folder:
        os.environ["TRADING_PLATFORM_DATA"] = folder
        opens = ExchangeCalendar().session(DAY).open
        try:
            settings = load({}, {"data_folder": folder, "account": {"book": "live-step"}})
            platform = build(settings, SimulatedClock(opens))
            session = platform.simulated_session(DAY)
            session.open()
            committed = timed_commits(platform.stages.parts.ledger)
            engine = sa.create_engine(LocalServer(Path(folder) / "db").url("postgres"))
            cycles, bare, own = [], [], []
            with engine.connect() as connection:
                connection.execute(sa.text("CREATE TABLE bare (id bigserial PRIMARY KEY, written text)"))
                connection.commit()
                for minute in range(count):
                    session.tick(minute)
                    begun = time.perf_counter()
                    run_cycle(platform.stages, DAY, minute)
                    cycles.append(time.perf_counter() - begun)
                    own.append(sum(committed))
                    committed.clear()
                    begun = time.perf_counter()
                    connection.execute(sa.text("INSERT INTO bare (written) VALUES ('one row')"))
                    connection.commit()
                    bare.append(time.perf_counter() - begun)
            engine.dispose()
            platform.close()
        finally:
            LocalServer(Path(folder) / "db").stop()
    print(f"{count} cycles of {len(settings.market_data.symbols) or 'all simulated'} symbols")
    for name, seconds in (("whole cycle", cycles), ("  its ledger's commit", own), ("bare commit of a row", bare)):
        tell(name, seconds[1:], 1e3, "ms")
    print(f"whole cycle over bare commit: {statistics.median(cycles[1:]) / statistics.median(bare[1:]):.1f} times")


def timed_commits(ledger: Any) -> list[float]:
    """Seconds of each `record_cycle` from now on, appended as they come."""
    seconds: list[float] = []
    record_cycle = ledger.record_cycle

    def timed(*given: Any) -> None:
        begun = time.perf_counter()
        record_cycle(*given)
        seconds.append(time.perf_counter() - begun)

    ledger.record_cycle = timed
    return seconds


if __name__ == "__main__":
    main()
