"""The fault campaign: many short sessions in which processes die and venues misbehave, and what is left of each.

A schedule is one session at one venue (`campaign_schedule`). Its venue lives here; each process that trades is forked
from this one, which has everything imported and compiled, and leaves without clean-up where the schedule says so; the
next one goes on. When the session is over, the ledger is held against the venue's own book (`campaign_verdict`).

Run as a program it is what `make faults` runs: `--seed`, `--schedules`, `--first` to run one
again, `--workers`. It
exits with 1 if anything was violated.
"""

import argparse
import json
import os
import queue
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from shutil import rmtree
from typing import Any, Final

import sqlalchemy as sa

from trading_platform.ledger.connection import open_engine
from trading_platform.ledger.embedded import LocalServer
from trading_platform.ledger.ledger import Ledger
from trading_platform.ledger.migrate import upgrade
from trading_platform_tests.faults.campaign_life import Told, Weakness, live
from trading_platform_tests.faults.campaign_report import told_of
from trading_platform_tests.faults.campaign_schedule import BROKERS, Crash, Schedule, calendar, draw
from trading_platform_tests.faults.campaign_verdict import is_double_or_loss, violations
from trading_platform_tests.faults.campaign_warmth import warm
from trading_platform_tests.faults.campaign_worlds import CASH, World, world_of
from trading_platform_tests.sessions.tape import DAY, write_tape

LIVES: Final = 30
"""More starts than this are a violation: something never ends."""

SCHEDULES: Final = 2_000
WORKERS: Final = 3
"""One more than there are cores: half of a schedule's time is waiting for answers that do not come."""
DATABASE: Final = "FAULTS_DATABASE_URL"
"""Where this is set, the program is a worker on that database, and tells its results in lines of JSON."""


@dataclass(kw_only=True)
class Result:
    """What became of one schedule."""

    schedule: Schedule
    violations: list[str] = field(default_factory=list)
    crashes: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    lives: int = 0
    fills: int = 0
    orders: int = 0
    breaks_on_the_way: int = 0
    stalls: int = 0
    seconds: float = 0.0

    def plain(self) -> dict[str, Any]:
        """As JSON can have it."""
        told = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "schedule"}
        return {"number": self.schedule.number, "broker": self.schedule.broker, **told}


class Life:
    """A forked process that trades, seen from its parent."""

    def __init__(self, told: Told, world: World) -> None:
        ours, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                ours.close()
                live(told, world, theirs)
                code = 0
            finally:
                os._exit(code)
        theirs.close()
        self._sock, self._lines = ours, ours.makefile("r")

    def heard(self) -> Iterator[dict[str, Any]]:
        """What it says, until it has ended."""
        for line in self._lines:
            yield json.loads(line)
        os.waitpid(self.pid, 0)
        self._sock.close()

    def answer(self, **what: Any) -> None:
        """Answer what it asked. It may have died since."""
        try:
            self._sock.sendall(json.dumps(what, default=str).encode() + b"\n")
        except BrokenPipeError:
            return


class Run:
    """One schedule from its beginning to its verdict."""

    def __init__(self, schedule: Schedule, database_url: str, folder: Path, weakness: Weakness | None) -> None:
        self._schedule, self._url, self._folder, self._weakness = schedule, database_url, folder, weakness
        self.result = Result(schedule=schedule)
        self._ended: dict[str, Any] | None = None
        self._frozen: Life | None = None
        self._aways: list[str] = []
        self._crashes = list(schedule.crashes)

    def run(self) -> Result:
        """Run it."""
        began = time.monotonic()
        write_tape(self._folder / "bars", self._schedule.bars)
        world = world_of(self._schedule, calendar(self._schedule).session(DAY), self._folder)
        engine = open_engine(self._url)
        ledger = Ledger(engine, book=self._schedule.name)
        try:
            ledger.open_book(CASH, world.now)
            engine.dispose()
            self._live_on(world)
            found = violations(ledger, world, self._breaks())
            self.result.violations += found
            self.result.fills, self.result.orders = len(ledger.fills()), len(ledger.orders())
            self.result.faults = world.struck
        finally:
            engine.dispose()
            world.close()
        self.result.seconds = time.monotonic() - began
        return self.result

    def _breaks(self) -> list[str]:
        if self._ended is None:
            return [f"it never ended: {self._aways[-1] if self._aways else 'nothing was said'}"]
        found: list[str] = self._ended["breaks"]
        return found

    def _live_on(self, world: World) -> None:
        follows = False
        while self._ended is None and self.result.lives < LIVES:
            crash = self._crashes[0] if self._crashes else None
            freezes = self._schedule.stall is not None and self.result.lives == 0
            how = self._one_life(world, crash, freezes=freezes, follows=follows)
            follows = follows or how == "frozen"
            if how == "crashed" and crash is not None:
                world.advance(world.now + crash.downtime * timedelta(minutes=1))
            elif how == "frozen":
                world.advance(world.now + timedelta(minutes=1))
            elif how == "away":
                world.advance(world.now + timedelta(seconds=30))
        if self._frozen is not None:
            self._wake(world)

    def _one_life(self, world: World, crash: Crash | None, *, freezes: bool, follows: bool) -> str:
        self.result.lives += 1
        told = Told(
            schedule=self._schedule,
            database_url=self._url,
            folder=self._folder,
            number=self.result.lives,
            crash=crash,
            freezes=freezes,
            follows=follows,
            weakness=self._weakness,
        )
        life = Life(told, world)
        how = "died"
        for said in life.heard():
            if "frozen" in said:
                self._frozen = life
                self.result.stalls += 1
                return "frozen"
            how = self._take(said, life, world) or how
        world.disconnect()
        return how

    def _take(self, said: dict[str, Any], life: Life, world: World) -> str:
        """Do what a life asks, or note what it tells; returns how it has ended, if it says so."""
        if "advance" in said:
            world.advance(datetime.fromisoformat(said["advance"]))
            life.answer(done=True)
        elif "look" in said:
            world.look()
            life.answer(done=True)
        elif "wake_the_other" in said:
            self._wake(world)
            life.answer(done=True)
        elif "crashed" in said or "lost" in said:
            how = next(iter(said))
            self._crashes.pop(0)
            self.result.crashes[said[how] if how == "crashed" else f"{said[how]}, its answer lost"] += 1
            return how
        elif "ended" in said:
            self._ended = said["ended"]
            self.result.breaks_on_the_way += said["ended"]["breaks_on_the_way"]
            return "ended"
        elif "failed" in said:
            self.result.violations.append(f"a process failed: {said['failed'][-1500:]}")
            return "failed"
        elif "away" in said:
            self._aways.append(said["away"])
            return "away"
        return ""

    def _wake(self, world: World) -> None:
        """Let the frozen process go on, and see it end."""
        life, self._frozen = self._frozen, None
        if life is None:
            return
        life.answer(now=world.now.isoformat())
        for said in life.heard():
            self._take(said, life, world)


class Worker:
    """Runs schedules one after the other in this process, which is warm, on a database of its own."""

    def __init__(self, database_url: str, folder: Path, weakness: Weakness | None = None) -> None:
        self._url, self._folder, self._weakness = database_url, folder, weakness
        engine = open_engine(database_url)
        upgrade(engine)
        engine.dispose()
        warm(database_url, folder / "warm")
        if weakness is Weakness.NO_FENCE:
            with engine.begin() as connection:
                connection.execute(sa.text("DROP TRIGGER IF EXISTS intents_fence ON intents"))
        engine.dispose()

    def run(self, schedule: Schedule) -> Result:
        """Run one schedule."""
        folder = self._folder / schedule.name
        folder.mkdir(parents=True)
        try:
            return Run(schedule, self._url, folder, self._weakness).run()
        finally:
            rmtree(folder, ignore_errors=True)


def run_numbers(worker: Worker, seed: int, numbers: Sequence[int]) -> Iterator[Result]:
    """Run the schedules of these numbers."""
    for number in numbers:
        yield worker.run(draw(seed, number))


@contextmanager
def database(folder: Path) -> Iterator[LocalServer]:
    """A server for the campaign, which may lose its data with the machine's power."""
    server = LocalServer(folder / "db", fsync=False)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def main() -> int:
    """`make faults`."""
    told = _arguments()
    if DATABASE in os.environ:
        return _work(told, os.environ[DATABASE])
    # Who ends it by a signal ends its database server, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    seed = told.seed if told.seed is not None else random.SystemRandom().randrange(10**6)
    _say(f"SEED={seed} SCHEDULES={told.schedules}")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="faults-", dir=_fast_folder()) as name, database(Path(name)) as server:
        found = list(_in_processes(told, seed, Path(name), server))
    lines = told_of(seed, found, time.monotonic() - began)
    missing = len(_numbers(told)) - len(found)
    _say("\n".join([*lines, f"{missing} schedules were not run: a worker has failed"] if missing else lines))
    return 1 if missing or any(one["violations"] for one in found) else 0


def _work(told: argparse.Namespace, database_url: str) -> int:
    """Be a worker: a line of JSON for each schedule of its share."""
    worker = Worker(database_url, told.folder, told.weakness)
    for result in run_numbers(worker, told.seed, _share_of(told)):
        _say(json.dumps(result.plain()))
        if told.stop and any(is_double_or_loss(one) for one in result.violations):
            break
    return 0


def _numbers(told: argparse.Namespace) -> list[int]:
    every = range(told.first, told.first + told.schedules)
    found = [number for number in every if told.broker in (None, BROKERS[number % len(BROKERS)])]
    return [number for number in found if not told.frozen or draw(told.seed, number).stall is not None]


def _share_of(told: argparse.Namespace) -> list[int]:
    return _numbers(told)[told.share :: told.workers]


def _in_processes(told: argparse.Namespace, seed: int, folder: Path, server: LocalServer) -> Iterator[dict[str, Any]]:
    """What the workers tell of each schedule, as they go."""
    running = []
    for share in range(told.workers):
        command = [sys.executable, "-W", "ignore", "-m", __spec__.name if __spec__ else "campaign"]
        command += ["--seed", str(seed), "--schedules", str(told.schedules), "--first", str(told.first)]
        command += ["--workers", str(told.workers), "--share", str(share), "--folder", str(folder / f"w{share}")]
        command += [f"--{name}={value}" for name in ("broker", "weakness") if (value := getattr(told, name))]
        command += [f"--{name}" for name in ("frozen", "stop") if getattr(told, name)]
        environment = os.environ | {DATABASE: server.create_database(f"campaign_{share}")}
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment))
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    for process in running:
        threading.Thread(target=_hear, args=(process, lines), daemon=True).start()
    try:
        for _ in running:
            for line in iter(lines.get, None):
                found = json.loads(line)
                _say_at_once(seed, found)
                yield found
    finally:
        for process in running:
            process.terminate()
            process.wait()


def _hear(process: subprocess.Popen[str], lines: "queue.SimpleQueue[str | None]") -> None:
    """Pass on what a worker says, and None at its end. Who is not heard stops when its pipe is full."""
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line)
    lines.put(None)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _say_at_once(seed: int, found: dict[str, Any]) -> None:
    for violation in found["violations"]:
        _say(f"{found['broker']} {found['number']}: {violation}")
    if found["violations"]:
        _say(f"  again: make faults SEED={seed} FIRST={found['number']} SCHEDULES=1")


def _fast_folder() -> str | None:
    """A folder in memory, where there is one: what is asked of the disk is no part of this."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and os.access(memory, os.W_OK) else None


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Crash and fault schedules over the three brokers.")
    parser.add_argument("--seed", type=int, help="what the schedules are drawn from; by chance without it")
    parser.add_argument("--schedules", type=int, default=SCHEDULES, help="how many are run")
    parser.add_argument("--first", type=int, default=0, help="the number of the first")
    parser.add_argument("--workers", type=int, default=WORKERS, help="processes")
    parser.add_argument("--broker", choices=BROKERS, help="only this one's")
    parser.add_argument("--frozen", action="store_true", help="only those in which an owner freezes")
    parser.add_argument("--weakness", type=Weakness, help="take this guard out")
    parser.add_argument("--stop", action="store_true", help="a worker stops at the first double or loss")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--share", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
