"""The platform's own PostgreSQL server, for a machine that has none.

It listens on 127.0.0.1 only, with a password of its own, and belongs to a folder:

    cluster/      PostgreSQL's data, and its log `server.log`
    password      mode 0600
    server.json   the port it likes to use
    lock          held while somebody starts or stops it

It outlives the process that starts it, and any process may stop it. What is stored in it is not known here.
"""

import contextlib
import errno
import fcntl
import json
import os
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from trading_platform.domain.errors import DatabaseUnavailable, InvalidInput
from trading_platform.ledger.addresses import (
    checked_name,
    driver_url,
    fault,
    spoken,
    sqlalchemy_url,
    wait_until_ready,
    with_database,
)
from trading_platform.ledger.server_programs import ServerPrograms, command_line, find_programs, give_to_server

LEDGER: Final = "ledger"
DAGSTER: Final = "dagster"

_HOST: Final = "127.0.0.1"
_USER: Final = "trading_platform"
_MAINTENANCE: Final = "postgres"
_START_ATTEMPTS: Final = 20
_PAUSE_SECONDS: Final = 0.5
_LITTLE_ROOM: Final = 100 * 1024 * 1024
_NO_ROOM: Final = "No space left on device"
# Children of a server that was killed hold its shared memory for a moment.
_PASSING: Final = ("pre-existing shared memory block", "Address already in use")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatus:
    """How the local server stands. `pid` and `port` are None while it is down."""

    folder: Path
    initialised: bool
    running: bool
    pid: int | None
    port: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseUrls:
    """Where the two databases are, in SQLAlchemy's form. The addresses hold a password and are not shown."""

    ledger: str = field(repr=False)
    dagster: str = field(repr=False)


def database_urls(data_folder: Path, database_url: str | None) -> DatabaseUrls:
    """The databases to work on: those of `database_url`'s server, or the local server's, started if need be.

    Args:
        data_folder: The platform's data folder; the local server lives in `db` under it.
        database_url: The address of the ledger on a server of the user's own. Dagster's database is the one named
            `dagster` beside it.

    Raises:
        InvalidInput: The address cannot be read, or the local server cannot be started.
    """
    if database_url:
        ledger = sqlalchemy_url(database_url, where="DATABASE_URL")
        return DatabaseUrls(ledger=ledger, dagster=with_database(ledger, DAGSTER))
    server = LocalServer(data_folder / "db")
    server.ensure_running()
    return DatabaseUrls(ledger=server.url(LEDGER), dagster=server.url(DAGSTER))


class LocalServer:
    """One PostgreSQL server and its folder.

    Args:
        folder: Where it lives; made at the first start.
        fsync: False loses data in a power failure (not when processes are killed) and is for tests only.
    """

    def __init__(self, folder: Path, *, fsync: bool = True) -> None:
        self._folder = folder.resolve()
        self._cluster = self._folder / "cluster"
        self._fsync = fsync

    def ensure_running(self) -> None:
        """Start the server unless it runs already; about 10 ms if it does. Raises what `start` raises."""
        # Dagster's database is the last that a first start makes.
        if self._answers(DAGSTER):
            return
        self.start()

    def start(self) -> None:
        """Start the server, at the first time with a new, empty cluster and its databases.

        Raises:
            InvalidInput: The folder cannot be used, the disk is full, or PostgreSQL is not there.
            DatabaseUnavailable: The server did not come up; the text says what it printed.
        """
        with self._explained():
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._locked():
                if not (self._cluster / "PG_VERSION").exists():
                    self._initialise()
                if self._postmaster() is None:
                    self._launch(self._programs())
                wait_until_ready(self.url(_MAINTENANCE))
                for name in (LEDGER, DAGSTER):
                    self._create_if_missing(name)

    def stop(self) -> None:
        """Stop the server: sessions are ended, what is committed is kept. Nothing happens if it is down.

        Raises:
            DatabaseUnavailable: It did not stop within a minute.
        """
        if not self._cluster.exists():
            return
        with self._explained(), self._locked():
            if self._postmaster() is None:
                return
            outcome = self._programs().run("pg_ctl", "stop", "-s", "-w", "-t", "60", "-m", "fast", "-D", self._data)
        if not outcome.ok:
            raise DatabaseUnavailable(f"the local database server did not stop: {outcome.output.strip()}")

    def is_running(self) -> bool:
        """Whether it takes sessions now."""
        return self._answers(_MAINTENANCE)

    def status(self) -> ServerStatus:
        """How it stands, without changing anything."""
        postmaster = self._postmaster()
        return ServerStatus(
            folder=self._folder,
            initialised=(self._cluster / "PG_VERSION").exists(),
            running=self.is_running(),
            pid=postmaster[0] if postmaster else None,
            port=postmaster[1] if postmaster else None,
        )

    def url(self, database: str) -> str:
        """The address of `database` in SQLAlchemy's form. It holds the password.

        Raises:
            DatabaseUnavailable: The server is down.
            InvalidInput: The password's file is gone.
        """
        postmaster = self._postmaster()
        if postmaster is None:
            raise DatabaseUnavailable(f"the local database server in {self._folder} is not running")
        return f"postgresql+psycopg2://{_USER}:{self._password()}@{_HOST}:{postmaster[1]}/{checked_name(database)}"

    def create_database(self, name: str) -> str:
        """Make an empty database and return its address. Raises `InvalidInput` if it is there already."""
        if name in self._databases():
            raise InvalidInput(f"the database {name} exists already", where=str(self._folder))
        self._execute(f"CREATE DATABASE {checked_name(name)}")
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Remove a database, ending the sessions on it. Nothing happens if it is not there."""
        self._execute(f"DROP DATABASE IF EXISTS {checked_name(name)} WITH (FORCE)")

    # The folder and its files.

    @property
    def _data(self) -> str:
        return str(self._cluster)

    @property
    def _log(self) -> Path:
        return self._cluster / "server.log"

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Say a fault of the file system as something that a person can mend."""
        try:
            yield
        except OSError as error:
            raise InvalidInput(_spoken_fault(error), where=str(self._folder), mend=_mend(error)) from error

    def _password(self) -> str:
        try:
            return (self._folder / "password").read_text().strip()
        except OSError as error:
            raise InvalidInput(
                f"the password of the local database server cannot be read ({error.strerror})",
                where=str(self._folder / "password"),
                mend="Put the file back from a backup, and work as the user who made it",
            ) from error

    def _programs(self) -> ServerPrograms:
        return find_programs(int((self._cluster / "PG_VERSION").read_text()))

    def _postmaster(self) -> tuple[int, int] | None:
        """The running server's pid and port, or None.

        The pid file outlives a server that was killed, and its pid may be another process's by now: only a process
        that was started on this cluster counts.
        """
        try:
            lines = (self._cluster / "postmaster.pid").read_text().splitlines()
            pid, port = int(lines[0]), int(lines[3])
        except (OSError, ValueError, IndexError):
            return None
        return (pid, port) if self._serves_this(pid) else None

    def _serves_this(self, pid: int) -> bool:
        return f"postgres -D {self._data} " in command_line(pid)

    def _answers(self, database: str) -> bool:
        try:
            address = self.url(database)
        except DatabaseUnavailable:
            return False
        return fault(address, sure_of_scram=True) is None

    # Starting.

    def _initialise(self) -> None:
        """Make the cluster beside its place and move it there when it is whole."""
        growing = self._folder / "cluster.new"
        shutil.rmtree(growing, ignore_errors=True)
        try:
            self._write_password()
            growing.mkdir(mode=0o700)
            give_to_server(growing)
            outcome = find_programs().run("initdb", *self._initdb_options(growing))
            if not outcome.ok:
                raise self._not_started("could not be set up", outcome.output)
            growing.rename(self._cluster)
        finally:
            shutil.rmtree(growing, ignore_errors=True)

    def _initdb_options(self, cluster: Path) -> list[str]:
        options = ["-D", str(cluster), "-U", _USER, f"--pwfile={self._folder / 'password'}", "--auth=scram-sha-256"]
        # The C locale is the only one that is the same on every machine.
        options += ["--encoding=UTF8", "--locale=C", "--no-instructions"]
        # Iterations slow down the guessing of a password that a person made up. This one has 256 random bits, and
        # Dagster opens a connection for each event.
        options += ["-c", "scram_iterations=1"]
        return options if self._fsync else [*options, "--no-sync"]

    def _write_password(self) -> None:
        file = os.open(self._folder / "password", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(file, "w") as target:
            target.write(secrets.token_urlsafe(32))

    def _launch(self, programs: ServerPrograms) -> None:
        # What is left of a server that was killed. Should its children still run, its shared memory shows it.
        (self._cluster / "postmaster.pid").unlink(missing_ok=True)
        printed = ""
        for _ in range(_START_ATTEMPTS):
            if self._log.exists():
                self._log.replace(self._log.with_suffix(".log.1"))
            port = self._choose_port()
            outcome = programs.run("pg_ctl", *self._start_options(port))
            if outcome.ok:
                self._remember_port(port)
                return
            printed = self._log.read_text(errors="replace") if self._log.exists() else outcome.output
            if not any(sign in printed for sign in _PASSING):
                break
            time.sleep(_PAUSE_SECONDS)
        raise self._not_started("did not start", printed)

    def _start_options(self, port: int) -> list[str]:
        settings = {
            "listen_addresses": _HOST,
            "unix_socket_directories": "",
            "port": str(port),
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_checkpoints": "off",
        }
        if not self._fsync:
            # Commits are still handed to the kernel one by one: only the power may not fail, a process may be killed.
            settings |= {"fsync": "off", "full_page_writes": "off"}
        spelled = " ".join(f"-c {name}={value}" for name, value in settings.items())
        return ["start", "-s", "-w", "-t", "60", "-D", self._data, "-l", str(self._log), "-o", spelled]

    def _choose_port(self) -> int:
        """The port of last time if it is free, else one that is."""
        try:
            preferred = int(json.loads((self._folder / "server.json").read_text())["port"])
        except (OSError, ValueError, KeyError, TypeError):
            preferred = 0
        return _free_port(preferred) or _free_port(0)

    def _remember_port(self, port: int) -> None:
        draft = self._folder / "server.json.new"
        draft.write_text(json.dumps({"port": port}))
        draft.replace(self._folder / "server.json")

    def _not_started(self, what: str, printed: str) -> Exception:
        if _NO_ROOM in printed or shutil.disk_usage(self._folder).free < _LITTLE_ROOM:
            full = OSError(errno.ENOSPC, _NO_ROOM)
            return InvalidInput(_spoken_fault(full), where=str(self._folder), mend=_mend(full))
        tail = " / ".join(line.strip() for line in printed.splitlines()[-4:])
        return DatabaseUnavailable(f"the local database server in {self._folder} {what}: {tail}")

    # Databases.

    def _create_if_missing(self, name: str) -> None:
        if name not in self._databases():
            self._execute(f"CREATE DATABASE {name}")

    def _databases(self) -> set[str]:
        return {str(row[0]) for row in self._execute("SELECT datname FROM pg_database")}

    def _execute(self, statement: str) -> list[tuple[object, ...]]:
        """Run one statement outside a transaction, as databases are made and dropped."""
        import psycopg2

        url = self.url(_MAINTENANCE)
        try:
            with contextlib.closing(psycopg2.connect(driver_url(url))) as connection:
                connection.autocommit = True
                with connection.cursor() as cursor:
                    cursor.execute(statement)
                    return list(cursor.fetchall()) if cursor.description else []
        except psycopg2.OperationalError as error:
            if _NO_ROOM in str(error):
                raise self._not_started("has no room", str(error)) from error
            raise DatabaseUnavailable(
                f"the database at {spoken(url)} failed: {' '.join(str(error).split())}"
            ) from error


def _free_port(port: int) -> int:
    """`port` if it can be listened on (0: any that can), else 0."""
    with socket.socket() as probe:
        # As PostgreSQL does: connections that linger after a stop do not make a port taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except (OSError, OverflowError):
            return 0
        return int(probe.getsockname()[1])


def _spoken_fault(error: OSError) -> str:
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return "there is no room for the local database"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return "there is no right to write here, where the local database belongs"
        case errno.ENOTDIR | errno.EEXIST:
            return "a file stands where the folder of the local database belongs"
        case _:
            return f"the folder of the local database cannot be used ({error.strerror or error})"


def _mend(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "Free about 200 MB, or name another data folder in TRADING_PLATFORM_DATA"
    return "Name another data folder in TRADING_PLATFORM_DATA, or set DATABASE_URL to a server of your own"
