"""A backtest as a whole process, from the shell to its trades, and how time and memory grow with the bars.

    python benchmarks/backtest_process.py [--rounds 5]

Columns of the comparison's made-up market are stored in a folder, and the command is run over it:

- 11,000 symbols over one session, 4.29 million bars, with the machine code that an earlier run left; and the same with a
  strategy that was never run before, compiled on the way;
- 1,000 symbols over 20 and over 200 sessions: ten times the bars should take ten times the work, and memory should stay
  what a block takes, which holds one month. (On 5 sessions a third of the work is what every run takes.)

Goals: a second from shell to trades, 3 with a new strategy; ten times the bars with 8 to 12 times the work.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

from compared import market
from compared.bars import columns_of
from compared.market import MINUTES
from compared.ours import LIMITED
from compared.reclaim import STRATEGY

from trading_platform.backtest.bar_sources import StoredBars
from trading_platform.backtest.run import Terms, run_backtest
from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.marketdata.column_writer import writing
from trading_platform.marketdata.columns import BarColumns
from trading_platform.marketdata.provider import Source

COMMAND = Path(sys.executable).parent / "trading-platform"
WRITTEN = Path(__file__).resolve().parent / "compared" / "reclaim.py"
SOURCE = Source(provider="made up", feed="none", adjustment="raw")
WARM, NEW = 1.0, 3.0
LINEAR = (8.0, 12.0)
FEW = 4
"""How often the made-up sessions come in the shorter of the two histories."""
TERMS = Terms(strategies=(STRATEGY,), limits=LIMITED.limits, opening_cash=LIMITED.cash, venue=LIMITED.venue)
MEASURE = """
import resource, subprocess, sys, time
begun = time.perf_counter()
ended = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(ended)
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with TemporaryDirectory() as folder:
        place = Path(folder)
        os.environ["TRADING_PLATFORM_DATA"] = str(place / "data")
        strategy = shutil.copy(WRITTEN, place / "reclaim.py")
        cold_process(place, strategy, rounds)
        growth(place, strategy, rounds)


def cold_process(place: Path, strategy: Path, rounds: int) -> None:
    store(columns_of(market.make("d")), place / "d")
    ran(place / "d", strategy)
    warm = [ran(place / "d", strategy) for _ in range(rounds)]
    fresh = [ran(place / "d", new_strategy(place, number)) for number in range(min(rounds, 3))]
    bare = [timed([sys.executable, "-c", "pass"]) for _ in range(rounds)]
    print(f"11,000 symbols x 1 session, {11_000 * MINUTES:,} bars, shell to trades")
    for name, runs, most in (("machine code is there", warm, WARM), ("a new strategy", fresh, NEW)):
        seconds = statistics.median(took for took, _ in runs)
        told = "reached" if seconds <= most else "MISSED"
        print(f"  {name:24} {seconds:6.2f} s, {runs[-1][1]:6.0f} MB (goal {most} s: {told})")
    print(f"  {'python that does nothing':24} {statistics.median(took for took, _ in bare):6.2f} s")


def growth(place: Path, strategy: Path, rounds: int) -> None:
    """The same made-up sessions, once and ten times over: read, scanned and traded in this process, by turns."""
    made = market.make("c")
    sessions = market.SIZES["c"][1]
    for number in range(10 * FEW):
        store(columns_of(made, number * sessions), place / "many")
        if number < FEW:
            store(columns_of(made, number * sessions), place / "few")
    seconds: dict[str, list[float]] = {"few": [], "many": []}
    for number in range(rounds + 1):
        for name, some in seconds.items():
            begun = time.process_time()
            run_backtest(StoredBars(place / name), TERMS)
            if number > 0:
                some.append(time.process_time() - begun)
    few, many = (statistics.median(some) for some in seconds.values())
    peaks = [ran(place / name, strategy)[1] for name in seconds]
    bars = FEW * made["close"].size
    print("1,000 symbols, seconds of the processor's work on all threads")
    print(f"  {bars:12,} bars {few * 1e3:8.1f} ms {peaks[0]:6.0f} MB at the height of a process of its own")
    print(f"  {10 * bars:12,} bars {many * 1e3:8.1f} ms {peaks[1]:6.0f} MB, of it the mapped pages of one month")
    told = "reached" if LINEAR[0] <= many / few <= LINEAR[1] else "MISSED"
    print(f"  ten times the bars take {many / few:.1f} times the work (goal {LINEAR[0]} to {LINEAR[1]}: {told})")


def store(columns: BarColumns, folder: Path) -> None:
    """Write columns into a folder, a month at a time."""
    folder.mkdir(exist_ok=True)
    places = {session: place for place, session in enumerate(columns.sessions)}

    def make(symbols, sessions):  # noqa: ANN001, ANN202
        rows = slice(columns.symbols.index(symbols[0]), columns.symbols.index(symbols[-1]) + 1)
        days = slice(places[sessions[0]], places[sessions[-1]] + 1)
        names = ("open", "high", "low", "close", "volume", "days")
        parts = {name: getattr(columns, name)[rows, days] for name in names}
        return BarColumns(sessions=tuple(sessions), symbols=tuple(symbols), **parts)

    with writing(folder, SOURCE, ExchangeCalendar(), replace_others=False, memory=2**30) as writer:
        for month, sessions in groupby(columns.sessions, key=lambda session: f"{session.day:%Y-%m}"):
            writer.take(month, columns.symbols, list(sessions), make)


def new_strategy(place: Path, number: int) -> Path:
    """A strategy that no process has ever seen: its window is another one."""
    text = WRITTEN.read_text(encoding="utf-8").replace("_WINDOW: Final = 20", f"_WINDOW: Final = {21 + number}")
    path = place / f"new{number}_{os.getpid()}.py"
    path.write_text(text, encoding="utf-8")
    return path


def ran(data: Path, strategy: Path, symbols: str = "all") -> tuple[float, float]:
    """Seconds from the shell to the end, and the peak of memory in MB."""
    return timed(
        [
            str(COMMAND),
            "backtest",
            str(strategy),
            "--data",
            f"columns:{data}",
            "--symbols",
            symbols,
            "--cash",
            "1000000",
        ]
    )


def timed(command: list[str]) -> tuple[float, float]:
    """Through a small process: a child's peak counts what its parent held when it was made."""
    done = subprocess.run([sys.executable, "-c", MEASURE, *command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\nended with {done.returncode}\n{done.stderr}")
    seconds, kilobytes = done.stdout.split()
    return float(seconds), int(kilobytes) / 1024


if __name__ == "__main__":
    main()
