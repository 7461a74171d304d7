"""A backtest from arrays to trades: beside the sum of the same arrays, and beside other engines where they are installed.

    python benchmarks/backtest.py [--sizes abcd] [--rounds 9] [--peers FOLDER]

One strategy over a made-up market (`compared/`), in four sizes: 1 symbol x 250 sessions, 100 x 20, 1,000 x 5 and 11,000 x
1. Every engine must give the trades of a plain loop, to the cent. All that is compared alternates within one run, and
what is told are medians, so that whatever else the machine does falls on all. Peers are virtual environments in one
folder, of vectorbt with vectorbt-rust and of nautilus_trader; they are no dependencies, and one that is not there is left
out with a line that says so. What builds a peer's own objects is not counted against it. Each runs twice in a row, and the
second run counts: the one before it has filled the caches with its own. Beside that stands the first run of a process of its
own, whose memory comes from the system: what somebody sees who runs one backtest.

Goals: with limits at least 25 % of the rate at which the arrays can be summed on all cores (b, c, d); 5, 15, 30 and 25
times vectorbt's Rust engine (a, b, c, d); a sweep of 100 settings 15 times it, in a quarter of its memory.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numba
import numpy as np
from compared import market
from compared.bars import columns_of
from compared.ours import LIMITED, PARTS, WIDE_OPEN, Conditions, Ran, as_trades, run, swept_parts
from compared.peers import Peer, python_with
from compared.reference import Trade, cents, trades

OF_MEMORY = {"b": 0.25, "c": 0.25, "d": 0.25}
TIMES_VECTORBT = {"a": 5, "b": 15, "c": 30, "d": 25}
TIMES_SWEEP, OF_ITS_MEMORY = 15, 0.25
EVENT_DRIVEN_SIZES = "a"
"""The event-driven engine takes minutes for the others."""

STOPS = ",".join(f"{0.4 + 0.2 * step:.1f}" for step in range(10))
TARGETS = ",".join(f"{0.6 + 0.4 * step:.1f}" for step in range(10))
FIRST_RUNS = 3
CHUNKS = 32
TIDYING_SECONDS = 0.1


@numba.njit(fastmath=True, nogil=True)
def summed(opens, highs, lows, closes, volumes):  # noqa: ANN001, ANN201
    """The five arrays read once, side by side; the order of additions is the compiler's."""
    total = 0.0
    for place in range(closes.size):
        total += opens[place] + highs[place] + lows[place] + closes[place] + volumes[place]
    return total


class Memory:
    """The sum of the arrays, on so many threads."""

    def __init__(self, made: dict[str, np.ndarray], threads: int) -> None:
        flat = [made[name].ravel() for name in market.COLUMNS]
        cuts = np.linspace(0, flat[0].size, CHUNKS * threads + 1 if threads > 1 else 2).astype(int)
        self._parts = [[column[start:end] for column in flat] for start, end in pairwise(cuts)]
        self._pool = ThreadPoolExecutor(threads)
        self._threads = threads

    def __call__(self) -> float:
        begun = time.perf_counter()
        if self._threads == 1:
            summed(*self._parts[0])
        else:
            list(self._pool.map(lambda part: summed(*part), self._parts))
        return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", default="abcd", help="which of a, b, c and d")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--peers", type=Path, default=os.environ.get("PEERS"), help="a folder of virtual environments")
    given = parser.parse_args()
    pythons = {name: python_with(name, given.peers) for name in ("vectorbt_rust", "nautilus_trader")}
    for name, python in pythons.items():
        if python is None:
            print(f"{name} is left out: no environment that has it (--peers FOLDER)")
    for size in given.sizes:
        measure(size, given.rounds, pythons)
    sweeps(min(given.rounds, 5), pythons["vectorbt_rust"])


def measure(size: str, rounds: int, pythons: dict[str, Path | None]) -> None:
    made = market.make(size)
    bars = made["close"].size
    columns = columns_of(made)
    expected, by_floats = sorted(trades(made)), sorted(trades(made, by_floats=True))
    print(f"\n{size}: {len(columns.symbols):,} symbols x {len(columns.sessions):,} sessions, {bars:,} bars; ", end="")
    print(f"{len(expected):,} trades, {cents(expected) / 100:+,.2f} dollars")
    if by_floats != expected:
        others = len(set(by_floats) - set(expected))
        print(
            f"  {others} of them otherwise where floats are compared ({cents(by_floats) / 100:+,.2f} dollars): exact ties"
        )
    ran: dict[str, Ran] = {}
    parts: dict[str, list[tuple[float, ...]]] = {"wide open": [], "limits, fees": []}
    cores = os.cpu_count() or 1
    with TemporaryDirectory() as folder:
        market.save(made, Path(folder))
        peers = started(size, Path(folder), pythons)

        def ours(name: str, conditions: Conditions) -> float:
            # An earlier result would keep its memory from this one.
            ran.pop(name, None)
            ran[name] = run(columns, conditions)
            parts[name].append(ran[name].parts)
            return ran[name].seconds

        work: dict[str, Callable[[], float]] = {
            "sum of the arrays, 1 thread": Memory(made, 1),
            f"sum of the arrays, {cores} threads": Memory(made, cores),
            "this platform, wide open": lambda: ours("wide open", WIDE_OPEN),
            "this platform, limits, fees": lambda: ours("limits, fees", LIMITED),
        }
        work |= {peer.name: (lambda peer=peer: answered(peer, by_floats)) for peer in peers}
        seconds = alternated(work, rounds)
        for peer in peers:
            peer.close()
        rust = pythons["vectorbt_rust"]
        first = first_runs(Path(folder), rust, min(rounds, FIRST_RUNS)) if rust is not None else None
    assert as_trades(ran["wide open"].trades) == expected, "trades differ from the plain loop's"
    tell(size, bars, seconds, ran, {name: np.median(some[3::2], axis=0) for name, some in parts.items()})
    if first is not None:
        ours_first, theirs_first = first
        print(
            f"  each in the first run of a process: {ours_first * 1e3:.1f} and {theirs_first * 1e3:.1f} ms, "
            f"{theirs_first / ours_first:.1f} times"
        )


def first_runs(folder: Path, rust: Path, rounds: int) -> tuple[float, float]:
    """Median seconds of this platform's first run in a process and of vectorbt's, alternating."""
    starts = [(Path(sys.executable), "ours.py"), (rust, "vectorbt_peer.py")]
    seconds: list[list[float]] = [[], []]
    for _ in range(rounds):
        for (python, script), some in zip(starts, seconds, strict=True):
            peer = Peer(python, script, str(folder))
            some.append(peer.run().seconds)
            peer.close()
    ours, theirs = map(statistics.median, seconds)
    return ours, theirs


def started(size: str, folder: Path, pythons: dict[str, Path | None]) -> list[Peer]:
    wanted = [("vectorbt_rust", "vectorbt_peer.py")]
    if size in EVENT_DRIVEN_SIZES:
        wanted.append(("nautilus_trader", "nautilus_peer.py"))
    return [Peer(python, script, str(folder)) for name, script in wanted if (python := pythons[name]) is not None]


def answered(peer: Peer, expected: list[Trade]) -> float:
    """One run of a peer, whose trades must come to the same."""
    one = peer.run()
    # It tidies up after its answer, and would take a core from what comes next.
    time.sleep(TIDYING_SECONDS)
    assert (one.trades, one.cents) == (len(expected), cents(expected)), f"{peer.name} made other trades: {one}"
    return one.seconds


def alternated(work: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """The seconds of each by round; the first round, in which things are compiled and filled, is left out."""
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for number in range(rounds + 1):
        for name, once in work.items():
            once()
            took = once()
            if number > 0:
                seconds[name].append(took)
    return seconds


def tell(
    size: str, bars: int, seconds: dict[str, list[float]], ran: dict[str, Ran], parts: dict[str, np.ndarray]
) -> None:
    medians = {name: statistics.median(some) for name, some in seconds.items()}
    limit = min(medians[name] for name in medians if name.startswith("sum"))
    open_, limited = medians["this platform, wide open"], medians["this platform, limits, fees"]
    for name, median in medians.items():
        mine = "" if name.startswith(("sum", "this")) else f"   {median / open_:7.1f} times this platform's time"
        print(f"  {name:40} {median * 1e3:10.3f} ms {bars / median / 1e6:9.1f} M bars/s{mine}")
    for name, last in ran.items():
        took = dict(zip(PARTS, parts[name], strict=True))
        told = ", ".join(f"{part} {seconds * 1e3:.3f}" for part, seconds in took.items())
        decisions = len(last.result.decisions)
        print(f"    {name}: {told} ms; {len(last.trades):,} trades, {decisions:,} decisions")
        print(
            f"      {took['scan'] / bars * 1e9:.1f} ns a bar to scan, {took['pass'] / decisions * 1e9:.0f} ns a decision "
            "with all that follows from it"
        )
    if size in OF_MEMORY:
        for name, median in (("wide open", open_), ("with limits", limited)):
            goal(f"share of the memory rate, {name}", limit / median, OF_MEMORY[size])
    rust = [name for name in medians if name.startswith("vectorbt")]
    if rust:
        goal("times vectorbt with its Rust engine", medians[rust[0]] / open_, TIMES_VECTORBT[size])


def goal(name: str, reached: float, wanted: float) -> None:
    print(f"  {name}: {reached:.2f} (goal {wanted}: {'reached' if reached >= wanted else 'MISSED'})")


def sweeps(rounds: int, python: Path | None) -> None:
    """100 pairs of stop and target over size a, each engine in a process of its own."""
    with TemporaryDirectory() as folder:
        market.save(market.make("a"), Path(folder))
        peers = [Peer(Path(sys.executable), "ours.py", folder, STOPS, TARGETS)]
        if python is not None:
            peers.append(Peer(python, "vectorbt_peer.py", folder, STOPS, TARGETS))
        runs = [[peer.run() for peer in peers] for _ in range(rounds)]
        for peer in peers:
            peer.close()
    evaluations = 100 * market.SIZES["a"][1] * market.MINUTES
    print(f"\nsweep of 100 settings, {evaluations:,} evaluations of a bar")
    medians = [statistics.median(some[place].seconds for some in runs) for place in range(len(peers))]
    for peer, median, last in zip(peers, medians, runs[-1], strict=True):
        rate = evaluations / median / 1e6
        print(f"  {peer.name:44} {median * 1e3:8.1f} ms {rate:8.1f} M/s {last.peak_mb:8.0f} MB; {last.trades:,} trades")
    if len(peers) > 1:
        assert (runs[-1][0].trades, runs[-1][0].cents) == (runs[-1][1].trades, runs[-1][1].cents), "other trades"
        goal("times vectorbt with its Rust engine", medians[1] / medians[0], TIMES_SWEEP)
        goal("its memory over ours", runs[-1][1].peak_mb / runs[-1][0].peak_mb, 1 / OF_ITS_MEMORY)
    print("  where it goes, of 100 settings: ", end="")
    print(", ".join(f"{name} {seconds * 1e3:.1f} ms" for name, seconds in swept_parts(STOPS, TARGETS).items()))


if __name__ == "__main__":
    main()
