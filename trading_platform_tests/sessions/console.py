"""A checkout of a test's own and the installed commands in it: what a person types, in processes of their own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

from trading_platform.domain.errors import TradingPlatformError
from trading_platform.ledger.embedded import LEDGER, LocalServer
from trading_platform.ledger.ledger import Ledger

SOURCES: Final = Path(__file__).resolve().parents[2]
COMMAND: Final = Path(sys.executable).parent / "trading-platform"
HALF_DAY: Final = date(2024, 7, 3)
"""A session of 210 minutes, in which the simulated market is traded from bar 38 on."""
HALF_DAY_MINUTES: Final = 210

# Tests may run in the background, where a shell makes children deaf to Ctrl-C.
_HEED_INTERRUPTS: Final = """if True:
    import os, signal, sys
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execv(sys.argv[1], sys.argv[1:])
"""
_UNSET: Final = ("DAGSTER_HOME", "DATABASE_URL", "PYTHONWARNINGS", "COLUMNS")


@dataclass(frozen=True, slots=True)
class Checkout:
    """A folder with the checkout's dagster.yaml and workspace.yaml, and a data folder with a server of its own."""

    folder: Path

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def server(self) -> LocalServer:
        return LocalServer(self.data / "db")

    @property
    def state(self) -> dict[str, Any]:
        """What the demo keeps of its latest book."""
        return dict(json.loads((self.data / "demo" / "state.json").read_text()))

    @property
    def summary(self) -> dict[str, Any]:
        return dict(json.loads((self.data / "demo" / "summary.json").read_text()))

    def environment(self, **changes: str) -> dict[str, str]:
        """The environment of a user who has named a data folder and nothing else, with `changes`."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if name not in _UNSET and not name.startswith("TRADING_PLATFORM")
        }
        return kept | {"TRADING_PLATFORM_DATA": str(self.data), "NO_COLOR": "1"} | changes

    def run(self, *arguments: str, seconds: int = 300, **changes: str) -> "subprocess.CompletedProcess[str]":
        """Run the command `trading-platform` to its end."""
        return subprocess.run(
            [str(COMMAND), *arguments],
            cwd=self.folder,
            env=self.environment(**changes),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    @contextmanager
    def started(self, *arguments: str, **changes: str) -> Iterator["subprocess.Popen[str]"]:
        """The command while it runs, as from a shell; at the end it is killed if it still runs."""
        process = subprocess.Popen(
            [sys.executable, "-c", _HEED_INTERRUPTS, str(COMMAND), *arguments],
            cwd=self.folder,
            env=self.environment(**changes),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

    def cycles(self, book: str, day: date = HALF_DAY) -> int:
        """How many cycles of the book are recorded; 0 while there is no book, or no database."""
        try:
            ledger = Ledger(self.server.url(LEDGER), book=book)
        except TradingPlatformError:
            return 0
        try:
            return len(ledger.cycles(day))
        except TradingPlatformError:
            return 0
        finally:
            ledger.engine.dispose()

    def wait_for_cycles(self, book: str, count: int, process: "subprocess.Popen[str]") -> None:
        """Wait until so many cycles of the book are recorded by `process`."""
        seen: list[tuple[float, int]] = []

        def enough() -> bool:
            seen.append((round(time.monotonic(), 1), self.cycles(book)))
            return seen[-1][1] >= count

        until(lambda: process.poll() is not None or enough(), seconds=120, what=f"{count} cycles of {book}")
        assert process.poll() is None, process.communicate()[0]
        # Who looks too late would break off a session that is over.
        assert seen[-1][1] < count + 30, seen


def new_checkout(folder: Path) -> Checkout:
    """Make `folder` a checkout. Whoever makes one stops its server."""
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(SOURCES / name, folder)
    return Checkout(folder)


def until(found: Callable[[], Any], *, seconds: int, what: str) -> Any:
    """Ask until there is an answer that is true, and return it."""
    for _ in range(seconds * 5):
        answer = found()
        if answer:
            return answer
        time.sleep(0.2)
    raise AssertionError(f"no {what} within {seconds} s")
