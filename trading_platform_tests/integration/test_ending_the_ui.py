"""What the demo starts: how it is ended, by signals, to a real process with a child of its own; and what it trades by."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trading_platform.config.load import load
from trading_platform.domain.errors import InvalidInput
from trading_platform.terminal import demo
from trading_platform.terminal.dagster_ui import told_by_file
from trading_platform_tests.sessions.console import SOURCES, until

# Deaf to Ctrl-C if it is told so; its own child is deaf to all that can be ignored.
CHILD = """if True:
    import pathlib, signal, subprocess, sys, time
    if sys.argv[2] == "deaf":
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    grandchild = "import signal, time; [signal.signal(s, signal.SIG_IGN) for s in (1, 2, 15)]; time.sleep(600)"
    other = subprocess.Popen([sys.executable, "-c", grandchild])
    time.sleep(0.5)
    pathlib.Path(sys.argv[1]).write_text(f"{__import__('os').getpid()} {other.pid}")
    if sys.argv[2] == "dies":
        sys.exit(7)
    time.sleep(600)
"""
SERVE = """if True:
    import os, signal, sys
    from pathlib import Path
    from trading_platform.terminal.dagster_ui import run_until_told
    # In the background a shell makes both so: Ctrl-C by itself, the other by what Dagster does when it is imported.
    ignored = os.environ.get("IN_THE_BACKGROUND") is not None
    signal.signal(signal.SIGINT, signal.SIG_IGN if ignored else signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_IGN if ignored else signal.SIG_DFL)
    folder = Path.cwd()
    code = run_until_told([sys.executable, *sys.argv[1:]], folder=folder, environment=dict(os.environ))
    print("went on with", code)
"""


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Callable[[str], tuple["subprocess.Popen[str]", list[int]]]]:
    """Serves a child of one kind; gives the process that serves, and those that it must not leave."""
    started: list[subprocess.Popen[str]] = []
    seen: list[int] = []

    def start(kind: str) -> tuple["subprocess.Popen[str]", list[int]]:
        note = tmp_path / "pids"
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, "-c", CHILD, str(note), kind],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(SOURCES)},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        until(lambda: note.exists() and note.read_text(), seconds=30, what="child")
        seen.extend(map(int, note.read_text().split()))
        return process, seen

    yield start
    for process in started:
        process.kill()
    # Before anything is read: they hold the pipe open.
    for pid in filter(runs, seen):
        os.kill(pid, signal.SIGKILL)
    for process in started:
        process.communicate()


def runs(pid: int) -> bool:
    """Whether a process does more than wait to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def none_left(pids: list[int]) -> bool:
    until(lambda: not any(map(runs, pids)), seconds=10, what="end of every process")
    return True


def test_ctrl_c_ends_the_child_and_goes_on(serving: Callable[[str], Any]) -> None:
    process, pids = serving("plain")
    # The control: they run until then.
    assert all(map(runs, pids))
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert (process.returncode, output) == (0, "went on with 0\n")
    assert none_left(pids)


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGHUP])
def test_told_to_end_it_ends_the_child_first(serving: Callable[[str], Any], sign: signal.Signals) -> None:
    process, pids = serving("plain")
    process.send_signal(sign)
    output, _ = process.communicate(timeout=30)
    assert (process.returncode, output) == (-sign, "")
    assert none_left(pids)


def test_in_the_background_it_is_deaf_to_ctrl_c_and_can_be_terminated(
    serving: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IN_THE_BACKGROUND", "yes")
    process, pids = serving("plain")
    process.send_signal(signal.SIGINT)
    time.sleep(1)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=30)
    assert (process.returncode, output) == (-signal.SIGTERM, "")
    assert none_left(pids)


def test_a_second_ctrl_c_ends_a_child_that_does_not_listen(serving: Callable[[str], Any]) -> None:
    process, pids = serving("deaf")
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    time.sleep(1)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert (process.returncode, output) == (0, "went on with 0\n")
    assert none_left(pids)
    assert time.monotonic() - begun < 10


def test_a_child_that_ends_by_itself_leaves_none_of_its_own(serving: Callable[[str], Any]) -> None:
    process, pids = serving("dies")
    output, _ = process.communicate(timeout=30)
    assert (process.returncode, output) == (0, "went on with 7\n")
    assert none_left(pids)


@pytest.mark.parametrize("address", [None, "postgresql://me:hunter2@db:5432/ledger"])
def test_what_it_trades_by_is_the_file_whatever_the_environment_says(tmp_path: Path, address: str | None) -> None:
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"account": {"book": "demo-1"}, "data_folder": "demo's"}))
    mine = {
        "HOME": "/home/me",
        "DATABASE_URL": "postgresql://me:secret@elsewhere/ledger",
        "TRADING_PLATFORM_BOOK": "mine",
        "TRADING_PLATFORM_CONFIG": "/home/me/settings.json",
        "TRADING_PLATFORM_DATA": "/home/me/data",
        "TRADING_PLATFORM_SESSION": "2013-10-09",
    }
    told = told_by_file(mine, file, {"DATABASE_URL": address} if address is not None else {})
    settings = load(told)
    assert told["HOME"] == "/home/me"
    assert (settings.account.book, str(settings.data_folder), settings.market_data.session) == (
        "demo-1",
        "demo's",
        None,
    )
    named = settings.database_url
    assert (named.reveal() if named is not None else None) == address


def test_the_file_holds_no_address_and_one_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    settings = load({"DATABASE_URL": "postgresql://me:hunter2@db:5432/ledger"}, {"account": {"book": "demo-1"}})
    assert demo._secrets(settings) == {"DATABASE_URL": "postgresql://me:hunter2@db:5432/ledger"}
    file = tmp_path / "settings.json"
    demo._write_settings(file, settings)
    assert "hunter2" not in file.read_text()
    assert load(told_by_file({}, file, {})).account.book == "demo-1"
    assert load(told_by_file({}, file, demo._secrets(settings))).database_url == settings.database_url
    file.unlink()
    file.mkdir()
    with pytest.raises(InvalidInput, match="it cannot be written: Is a directory") as refused:
        demo._write_settings(file, settings)
    assert refused.value.where == str(file)
    assert refused.value.mend
