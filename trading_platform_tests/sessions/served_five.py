"""The demo of five sessions with its UI, in a process of its own as a person starts it, ended by Ctrl-C."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trading_platform_tests.sessions.console import COMMAND, Checkout, until
from trading_platform_tests.sessions.five import DEMO, write_settings

_PATIENCE: Final = 240
# Below those that the system gives to connections: five sessions pass between the choice of the port and its use.
_LOWEST_PORT: Final = 20_000
_PORTS: Final = 10_000
# Tests may run in the background, where a shell makes children deaf to Ctrl-C.
_START: Final = """if True:
    import os, signal, sys
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execv(sys.argv[1], sys.argv[1:])
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ui:
    """A UI that runs: its address and its checkout."""

    address: str
    checkout: Checkout

    @property
    def book(self) -> str:
        """The book that the demo traded, with which the UI goes on."""
        return str(self.checkout.summary["book"])

    def job(self, name: str, page: str = "") -> str:
        """The address of a job's page."""
        return f"{self.address}/locations/trading_platform/jobs/{name}{page}"


@contextmanager
def five_sessions_served(checkout: Checkout) -> Iterator[Ui]:
    """`demo --sessions 5` until its UI answers. Ctrl-C ends it, which must leave nothing behind."""
    port = free_port()
    ui = Ui(address=f"http://127.0.0.1:{port}", checkout=checkout)
    log = checkout.folder / "terminal.log"
    settings = write_settings(checkout)
    with log.open("w") as terminal:
        process = subprocess.Popen(
            [sys.executable, "-c", _START, str(COMMAND), *DEMO, "--port", str(port)],
            cwd=checkout.folder,
            env=checkout.environment(TRADING_PLATFORM_CONFIG=str(settings)),
            stdin=subprocess.DEVNULL,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
        )
    try:
        until(lambda: answers(ui) or process.poll() is not None, seconds=_PATIENCE, what="answer of the UI")
        assert process.poll() is None, log.read_text()[-3000:]
        served_from = log.stat().st_size
        yield ui
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0, log.read_text()[-3000:]
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert not answers(ui)
    told(log, served_from)


def told(log: Path, served_from: int) -> None:
    """What the terminal heard: no fault in what the demo did itself, and no warning from anybody."""
    printed = log.read_bytes()
    assert b"Traceback" not in printed
    assert b"Stack Trace" not in printed[:served_from]
    assert b"Warning" not in printed


def free_port() -> int:
    """A port on which nothing listens."""
    for offset in range(_PORTS):
        port = _LOWEST_PORT + (os.getpid() + time.monotonic_ns() + offset) % _PORTS
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")


def answers(ui: Ui) -> bool:
    """Whether the UI is there."""
    try:
        with urllib.request.urlopen(f"{ui.address}/server_info", timeout=5):
            return True
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False
