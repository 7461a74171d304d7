"""Which book a demo trades: the one that it left unfinished, or a fresh one. The ledger keeps all of them.

`state.json` in the demo's folder names the latest demo's book, its session and configuration, and whether it was
finished. A fresh book's number is one that neither that file, nor the paper exchange, nor the ledger knows.
"""

import errno
import fcntl
import json
import os
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

from trading_platform.config.settings import Settings
from trading_platform.domain.errors import InvalidInput, TemporaryError

_BOOK: Final = re.compile(r"demo-(\d+)")
_BROKER: Final = "broker"
"""In the configuration of a demo: where it trades, if that is not the paper exchange."""
_FIELDS: Final = ("number", "session", "sessions", "configuration", "finished")


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoState:
    """The latest demo. `session` is the first of its `sessions`, which follow each other."""

    number: int
    session: str
    configuration: dict[str, Any]
    finished: bool
    sessions: int = 1

    @property
    def book(self) -> str:
        """Its book in the ledger, at the paper exchange and in Dagster's tags."""
        return f"demo-{self.number}"

    @property
    def can_go_on(self) -> bool:
        """Whether it is to be finished. A broker other than the paper exchange kept its orders in memory."""
        return not self.finished and _BROKER not in self.configuration


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
        return _state(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise InvalidInput(
            f"it cannot be read: {error}", where=str(path), mend="Start anew with --reset (make demo RESET=1)"
        ) from error


def _state(found: Any) -> DemoState:
    """What `write_state` wrote. Raises ValueError for anything else."""
    kinds = {"number": int, "session": str, "configuration": dict, "finished": bool}
    if not isinstance(found, dict) or not all(isinstance(found.get(name), kind) for name, kind in kinds.items()):
        raise ValueError("it is not what a demo has written")
    if not isinstance(found.get("sessions", 1), int) or not set(found) <= set(_FIELDS):
        raise ValueError("it is not what a demo has written")
    return DemoState(**found)


def write_state(data_folder: Path, state: DemoState) -> None:
    """Replace the file in one step, so that a kill leaves the old or the new one."""
    folder = demo_folder(data_folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fields = {name: getattr(state, name) for name in _FIELDS}
        new = folder / "state.json.new"
        new.write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")
        new.replace(folder / "state.json")
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> InvalidInput:
    return InvalidInput(
        f"it cannot be written: {'it is no folder' if error.errno == errno.EEXIST else error.strerror}",
        where=str(folder),
        mend="Make room, or name another data folder with TRADING_PLATFORM_DATA",
    )


def recorded_books(settings: Settings) -> tuple[str, ...]:
    """The names of all books in the ledger. A database that was never made has none, and is not made for the question.

    Raises:
        InvalidInput: The database's address cannot be read, or the local server cannot be started.
        DatabaseUnavailable: The database does not answer.
    """
    if settings.database_url is None and not (settings.data_folder / "db").exists():
        return ()
    from trading_platform.bootstrap import open_ledger

    ledger = open_ledger(settings)
    try:
        return ledger.books()
    finally:
        ledger.engine.dispose()


def left_without_its_broker(data_folder: Path) -> DemoState | None:
    """The latest demo, if it was broken off and can never be finished; None where that cannot be read either."""
    try:
        last = read_state(data_folder)
    except InvalidInput:
        return None
    return last if last is not None and not last.finished and not last.can_go_on else None


def choose(
    settings: Settings,
    configuration: dict[str, Any],
    session: date,
    *,
    reset: bool,
    sessions: int = 1,
    books: Callable[[Settings], Collection[str]] = recorded_books,
) -> DemoState:
    """The demo to run: an unfinished one with the same configuration goes on, else a fresh one begins.

    `books` is asked for the books in the ledger, and only where a fresh one begins.

    Raises:
        InvalidInput: An unfinished demo with another configuration is there, and `reset` is not given; or what
            `books` raises.
        DatabaseUnavailable: What `books` raises.
    """
    try:
        last = read_state(settings.data_folder)
    except InvalidInput:
        if not reset:
            raise
        last = None
    day = session.isoformat()
    if reset or last is None or not last.can_go_on:
        return DemoState(
            number=_next_number(settings.data_folder, last, books(settings)),
            session=day,
            configuration=configuration,
            finished=False,
            sessions=sessions,
        )
    if (last.session, last.sessions, last.configuration) == (day, sessions, configuration):
        return last
    changed = sorted(
        name for name in configuration | last.configuration if configuration.get(name) != last.configuration.get(name)
    )
    changed = [*["session"] * (last.session != day), *["sessions"] * (last.sessions != sessions), *changed]
    raise InvalidInput(
        f"the demo of {last.session} is not finished, and this one differs in {', '.join(changed)}",
        where=str(demo_folder(settings.data_folder)),
        mend=f"Run it with what it began with ({began_with(last)}) to finish it, or start anew with --reset "
        "(make demo RESET=1)",
    )


def began_with(state: DemoState) -> str:
    """The command that goes on with a demo, as far as the options of `make demo` decide it."""
    market = state.configuration.get("market_data", {})
    strategies = state.configuration.get("active_strategies", [])
    words = [f"SESSION={state.session}"]
    if state.sessions > 1:
        words.append(f"SESSIONS={state.sessions}")
    if market.get("folder"):
        words.append(f"DATA={market.get('provider')}:{market.get('folder')}")
    if market.get("symbols"):
        words.append(f"SYMBOLS={','.join(market['symbols'])}")
    words.extend(f"PROFILE={one['profile']}" for one in strategies if one.get("profile"))
    return f"make demo {' '.join(words)}"


def _next_number(data_folder: Path, last: DemoState | None, recorded: Collection[str]) -> int:
    """A number over every book's: the latest demo's, those with a file at the paper exchange, and the ledger's."""
    names = [*recorded, *(path.stem for path in (data_folder / "paper").glob("demo-*.sqlite"))]
    taken = [int(found[1]) for found in map(_BOOK.fullmatch, names) if found]
    return max([*taken, last.number if last is not None else 0]) + 1
