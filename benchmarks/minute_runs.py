"""A session through Dagster beside the same number of runs of four empty ops, executed the same way; and the cycle alone.

Both kinds of runs alternate, minute by minute, on one instance in one process, so that whatever else the machine does
falls on both. Everything is real: a PostgreSQL server of its own with fsync, the simulated market, the paper exchange.

    python benchmarks/minute_runs.py [--minutes 390]

Goal: a minute of the market session costs at most 1.7 times an empty run.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import dagster as dg

from trading_platform.bootstrap import build, databases
from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.config.load import load
from trading_platform.domain.clock import SimulatedClock
from trading_platform.engine.cycle import run_cycle
from trading_platform.ledger.embedded import LocalServer
from trading_platform.terminal.job_runs import JobRuns, open_instance

DAY = date(2024, 6, 12)
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dg.op
def first() -> int:
    return 1


@dg.op
def second(value: int) -> int:
    return value


@dg.op
def third(value: int) -> int:
    return value


@dg.op
def fourth(value: int) -> int:
    return value


@dg.job(executor_def=dg.in_process_executor)
def four_empty_ops() -> None:
    fourth(third(second(first())))


def timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def line(name: str, seconds: list[float]) -> None:
    rest = sorted(seconds)
    print(
        f"{name:32} total {sum(rest):7.1f} s   median {statistics.median(rest) * 1e3:7.1f} ms   "
        f"p99 {rest[int(len(rest) * 0.99)] * 1e3:7.1f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=int, default=390)
    minutes = parser.parse_args().minutes
    checkout = Path(__file__).resolve().parent.parent
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TRADING_PLATFORM_DATA"] = folder
        os.chdir(folder)
        opens = ExchangeCalendar().session(DAY).open
        try:
            through_dagster, empty = alternate(checkout, folder, opens, minutes)
            alone = cycles(folder, opens, minutes)
        finally:
            LocalServer(Path(folder) / "db").stop()
    # What is compiled or read for the first time belongs to neither.
    line("minute of the market session", through_dagster[1:])
    line("run of four empty ops", empty[1:])
    line("cycle without Dagster", alone[1:])
    ratio = sum(through_dagster[1:]) / sum(empty[1:])
    print(f"market session / empty runs: {ratio:.2f} (goal: at most 1.7)")


def alternate(checkout: Path, folder: str, opens, minutes: int) -> tuple[list[float], list[float]]:  # noqa: ANN001
    platform = build(load({}, {"data_folder": folder, "account": {"book": "through-dagster"}}), SimulatedClock(opens))
    session = platform.simulated_session(DAY)
    through, empty = [], []
    with open_instance(checkout) as instance:
        runs = JobRuns(platform, instance, databases(platform.settings).dagster)
        session.open()
        for minute in range(minutes):
            session.tick(minute)
            through.append(timed(lambda minute=minute: runs(DAY, minute)))
            empty.append(timed(lambda: four_empty_ops.execute_in_process(instance=instance, run_config=QUIET)))
    platform.close()
    return through, empty


def cycles(folder: str, opens, minutes: int) -> list[float]:  # noqa: ANN001
    platform = build(load({}, {"data_folder": folder, "account": {"book": "alone"}}), SimulatedClock(opens))
    session = platform.simulated_session(DAY)
    session.open()
    seconds = []
    for minute in range(minutes):
        session.tick(minute)
        seconds.append(timed(lambda minute=minute: run_cycle(platform.stages, DAY, minute)))
    platform.close()
    return seconds


if __name__ == "__main__":
    main()
