"""The way to the database: the one place that makes an engine, and the one that translates the driver's errors.

Every transaction and every read of the ledger passes `transaction` or `reading`, so that no caller sees an error of
SQLAlchemy or psycopg2 that it would have to know. Messages name host, port and database, never the password.
Statements stay out: they are in `append`, `ownership` and `queries`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url

from trading_platform.domain.errors import (
    DatabaseUnavailable,
    Inconsistent,
    InvalidInput,
    NotOwner,
    TradingPlatformError,
)
from trading_platform.ledger.addresses import refusal
from trading_platform.ledger.schema import APPEND_ONLY, NOT_CURRENT, SHARD_RULE

_NO_TABLE: Final = "42P01"
_NO_RIGHT: Final = "42501"
_OTHER_TABLES: Final = frozenset({"42703", "42P07", "42710"})
"""A column that is missing, a table or another thing that is there already: something else lives in this database."""
_RESOURCES: Final = "53"
"""SQLSTATE's class of a server that lacks disk, memory or connections."""
_TEMPORARY_STATES: Final = frozenset(
    {
        "25P03",  # idle in a transaction for too long
        "40001",  # serialization failure
        "40P01",  # deadlock
        "53300",  # too many connections
        "55P03",  # lock not available in time
        "57014",  # statement timed out
        "57P01",  # the server is shut down
        "57P02",  # the server crashed
        "57P03",  # the server is starting or stopping
    }
)
_USED: Final = "used"
_FRESH_SECONDS: Final = 0.5
"""A connection that was used so short a time ago is not looked at before it is used again."""

_SESSION: Final = {
    "timezone": "UTC",
    # Compiling a statement takes longer than any statement of the ledger.
    "jit": "off",
    # A process that freezes inside a transaction would hold its shards' rows, and with them a take-over, for ever.
    "idle_in_transaction_session_timeout": "10s",
    "lock_timeout": "10s",
    # The server must notice soon that a machine is gone, because its advisory lock shows that it is there.
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}


def open_engine(
    url: str | URL, *, pool_size: int = 10, recycle_seconds: int = 3600, connect_timeout: int = 5
) -> sa.Engine:
    """An engine on PostgreSQL whose connections are pooled, checked before use after a pause, and recycled.

    Nothing is connected yet. `connect_timeout` is in seconds. Raises `InvalidInput` for an address that is not one
    of PostgreSQL.
    """
    engine = sa.create_engine(
        _address(url),
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=connect_timeout,
        pool_recycle=recycle_seconds,
        hide_parameters=True,
        connect_args={
            "connect_timeout": connect_timeout,
            "application_name": "trading_platform",
            "options": " ".join(f"-c {name}={value}" for name, value in _SESSION.items()),
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
        },
    )
    sa.event.listen(engine, "checkin", _note_use)
    sa.event.listen(engine, "checkout", _look_at_idle)
    return engine


def _note_use(_connection: Any, record: sa.pool.ConnectionPoolEntry) -> None:
    record.info[_USED] = perf_counter()


def _look_at_idle(connection: Any, record: sa.pool.ConnectionPoolEntry, _proxy: Any) -> None:
    """Make sure that a connection lives which has not been used for a while: a new one takes its place if not.

    To look at each costs as much as a statement, and a minute's orders take several, one right after the other.
    """
    used = record.info.get(_USED)
    if used is None or perf_counter() - used < _FRESH_SECONDS:
        return
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        connection.rollback()
    except Exception as error:
        raise sa.exc.DisconnectionError from error


def place(url: URL) -> str:
    """Where the database is, for people: host, port and name, without user and password."""
    return f"{url.host or 'local socket'}:{url.port or 5432}/{url.database}"


@contextmanager
def transaction(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction: committed at the end, rolled back by an exception; errors are translated."""
    with translated(engine.url), engine.begin() as connection:
        yield connection


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection for single statements, each on its own snapshot and without BEGIN and COMMIT on the wire."""
    with translated(engine.url), engine.connect() as connection:
        # By the driver itself: SQLAlchemy's own way names an isolation level, which goes over the wire each time.
        driver: Any = connection.connection.dbapi_connection
        driver.autocommit = True
        try:
            yield connection
        finally:
            if not driver.closed:
                driver.autocommit = False


@contextmanager
def translated(url: URL) -> Iterator[None]:
    """Turn the driver's errors into the platform's.

    Raises:
        DatabaseUnavailable: the server cannot be reached, went away, is too busy, or lacks disk or memory.
        NotOwner: the fence refused an intent.
        Inconsistent: a constraint refused a row: it is there already, or what it belongs to is not.
        InvalidInput: the database has no ledger in it, or something else, or does not let this account in.
    """
    try:
        yield
    except sa.exc.TimeoutError as error:
        raise _unavailable(url, "all its connections are in use") from error
    except sa.exc.DBAPIError as error:
        translation = _translation(url, error)
        if translation is None:
            raise
        raise translation from (None if _tells_password(url, error) else error)
    except sa.exc.StatementError as error:
        # A column's own check refused the value before it was sent (`schema.Money`).
        if isinstance(error.orig, TradingPlatformError):
            raise error.orig from error.orig.__cause__
        raise
    except Exception as error:
        # What the driver raises while a connection is being set up, SQLAlchemy hands on as it is.
        import psycopg2

        if not isinstance(error, psycopg2.Error):
            raise
        said = str(error).strip().partition("\n")[0]
        raise _unavailable(url, said) from (None if _tells_password(url, error) else error)


def _translation(url: URL, error: sa.exc.DBAPIError) -> Exception | None:
    state = getattr(error.orig, "pgcode", None)
    said = str(error.orig).strip().partition("\n")[0]
    if state == NOT_CURRENT:
        return NotOwner(said)
    if state in (APPEND_ONLY, SHARD_RULE):
        return Inconsistent(said)
    refused = _refusal(url, state, said)
    if refused is not None:
        return refused
    if (state or "").startswith(_RESOURCES) and state not in _TEMPORARY_STATES:
        return _exhausted(url, said)
    if state in _TEMPORARY_STATES or (state or "").startswith("08") or error.connection_invalidated:
        return _unavailable(url, said)
    if isinstance(error, sa.exc.IntegrityError):
        return Inconsistent(f"the ledger refused a record: {said}")
    if state is None and isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError):
        return _unavailable(url, said)
    return None


def _refusal(url: URL, state: str | None, said: str) -> InvalidInput | None:
    """What a person must mend before the database can be used: its address, its account, or what lives in it."""
    if state is None:
        return refusal(_shown(url, said), place(url))
    if state == _NO_TABLE:
        return InvalidInput(
            "there is no ledger in this database",
            where=place(url),
            mend="Bring its tables up to date with `trading-platform db migrate`",
        )
    if state in _OTHER_TABLES:
        return not_the_ledgers(url, said)
    if state == _NO_RIGHT:
        return InvalidInput(
            f"this account lacks a right that the ledger needs: {said}",
            where=f"the database at {place(url)}",
            mend="Make it the owner of that database, or name another account in DATABASE_URL",
        )
    return None


def not_the_ledgers(url: URL, said: str) -> InvalidInput:
    """What is said of a database in which something else lives."""
    return InvalidInput(
        f"something else than this version's ledger lives in this database: {said}",
        where=f"the database at {place(url)}",
        mend="Name another database in DATABASE_URL, or install the version that made it; nothing was changed in it",
    )


def _unavailable(url: URL, said: str) -> DatabaseUnavailable:
    return DatabaseUnavailable(
        f"the database at {place(url)} does not answer: {_shown(url, said)}. "
        "Start it (a local one: `trading-platform db start`) and go on."
    )


def _exhausted(url: URL, said: str) -> DatabaseUnavailable:
    return DatabaseUnavailable(
        f"the database at {place(url)} has no room to work in: {_shown(url, said)}. "
        "Give it room (disk, memory) and go on."
    )


def _shown(url: URL, said: str) -> str:
    """What the driver said, unless it repeats the password."""
    return "it gave no reason that can be shown" if url.password and url.password in said else said


def _tells_password(url: URL, error: Exception) -> bool:
    return bool(url.password) and str(url.password) in str(error)


def _address(url: str | URL) -> URL:
    mend = "Give it as postgresql://user:password@host:port/database"
    try:
        # SQLAlchemy does not know the older spelling of the scheme, which hosting providers still hand out.
        parsed = make_url(url.replace("postgres://", "postgresql://", 1) if isinstance(url, str) else url)
    except (sa.exc.ArgumentError, ValueError):
        # Not chained: the cause repeats the address with its password.
        raise InvalidInput("the address of the database cannot be read", where="DATABASE_URL", mend=mend) from None
    if parsed.get_backend_name() != "postgresql":
        raise InvalidInput(
            f"{parsed.get_backend_name()} is not a database that the ledger can live in",
            where="DATABASE_URL",
            mend=mend,
        )
    return parsed.set(drivername="postgresql+psycopg2")
