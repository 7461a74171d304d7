"""Which book a demo trades: the one that it left unfinished, or a fresh one. The ledger keeps all of them.

`state.json` in the demo's folder names the latest demo's book, its session and configuration, and whether it was
finished.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from trading_platform.config.settings import Settings
from trading_platform.domain.errors import InvalidInput, TemporaryError


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoState:
    """The latest demo."""

    number: int
    session: str
    configuration: dict[str, Any]
    finished: bool

    @property
    def book(self) -> str:
        """Its book in the ledger, at the paper exchange and in Dagster's tags."""
        return f"demo-{self.number}"


def demo_folder(data_folder: Path) -> Path:
    """Where the demo keeps its state and its summary."""
    return data_folder / "demo"


@contextmanager
def exclusive(data_folder: Path) -> Iterator[None]:
    """Hold the demo's lock. It goes with the process, however that ends.

    Raises:
        TemporaryError: Another demo is running in this data folder.
        InvalidInput: The folder cannot be written.
    """
    try:
        data_folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(data_folder / "demo.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise _unwritable(data_folder, error) from error
    try:
        _lock(lock, data_folder)
        yield
    finally:
        os.close(lock)


def _lock(lock: int, data_folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise TemporaryError(
            f"another demo is running in {data_folder}. Wait for its end, or name another data folder with "
            "TRADING_PLATFORM_DATA"
        ) from None


def read_state(data_folder: Path) -> DemoState | None:
    """The latest demo, or None. Raises `InvalidInput` for a file that cannot be read."""
    path = demo_folder(data_folder) / "state.json"
    try:
        return DemoState(**json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError) as error:
        raise InvalidInput(
            f"it cannot be read: {error}", where=str(path), mend="Start anew with --reset (make demo RESET=1)"
        ) from error


def write_state(data_folder: Path, state: DemoState) -> None:
    """Replace the file in one step, so that a kill leaves the old or the new one."""
    folder = demo_folder(data_folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fields = {name: getattr(state, name) for name in ("number", "session", "configuration", "finished")}
        new = folder / "state.json.new"
        new.write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")
        new.replace(folder / "state.json")
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> InvalidInput:
    return InvalidInput(
        f"it cannot be written: {error.strerror}",
        where=str(folder),
        mend="Make room, or name another data folder with TRADING_PLATFORM_DATA",
    )


def choose(settings: Settings, configuration: dict[str, Any], session: date, *, reset: bool) -> DemoState:
    """The demo to run: an unfinished one with the same configuration goes on, after a finished one a fresh one begins.

    Raises:
        InvalidInput: An unfinished demo with another configuration is there, and `reset` is not given.
    """
    try:
        last = read_state(settings.data_folder)
    except InvalidInput:
        if not reset:
            raise
        last = None
    fresh = DemoState(
        number=_next_number(settings.data_folder, last),
        session=session.isoformat(),
        configuration=configuration,
        finished=False,
    )
    if reset or last is None or last.finished:
        return fresh
    if (last.session, last.configuration) == (fresh.session, fresh.configuration):
        return last
    changed = sorted(
        name for name in configuration | last.configuration if configuration.get(name) != last.configuration.get(name)
    )
    raise InvalidInput(
        f"the demo of {last.session} is not finished, and this one differs in "
        f"{', '.join(changed if last.session == fresh.session else ['session', *changed])}",
        where=str(demo_folder(settings.data_folder)),
        mend="Run it with what it began with to finish it, or start anew with --reset (make demo RESET=1)",
    )


def _next_number(data_folder: Path, last: DemoState | None) -> int:
    """A number that no book has: neither the latest demo's nor one whose file is at the paper exchange."""
    taken = [int(path.stem.removeprefix("demo-")) for path in (data_folder / "paper").glob("demo-[0-9]*.sqlite")]
    return max([*taken, last.number if last is not None else 0], default=0) + 1
