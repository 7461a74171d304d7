"""Addresses of PostgreSQL databases: reading, rewriting and probing them.

An address holds a password, so no message here repeats one: faults name the host, the port and the database. Starting
a server belongs to `embedded`, and pooled connections to whoever uses the database.
"""

import re
import time
from typing import Final
from urllib.parse import SplitResult, urlsplit, urlunsplit

from trading_platform.domain.errors import DatabaseUnavailable, InvalidInput

_SCHEMES: Final = ("postgresql", "postgres", "postgresql+psycopg2")
_DATABASE_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_CONNECT_SECONDS: Final = 5
_PAUSE_SECONDS: Final = 0.1
_FORM: Final = "Write it as postgresql://user:password@host:port/ledger"
_NOT_LET_IN: Final = re.compile(
    r"password authentication failed|no password supplied|no pg_hba\.conf entry|(database|role) \".*\" does not exist"
)
_UNREADABLE: Final = re.compile(r"invalid dsn|invalid connection option|invalid URI|invalid (integer|\w+) value")


def sqlalchemy_url(url: str, *, where: str) -> str:
    """`url` in the form that SQLAlchemy reads, `postgresql+psycopg2://...`.

    Args:
        url: An address with any of PostgreSQL's usual schemes, a host and a database.
        where: What to call its origin in a fault, such as an environment variable.

    Raises:
        InvalidInput: It is not the address of a PostgreSQL database.
    """
    parts = _parsed(url, where)
    return urlunsplit(parts._replace(scheme="postgresql+psycopg2"))


def with_database(url: str, name: str) -> str:
    """The same server and account, another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{checked_name(name)}"))


def driver_url(url: str) -> str:
    """The form that psycopg2 itself reads, which knows nothing of SQLAlchemy's drivers."""
    return urlunsplit(urlsplit(url)._replace(scheme="postgresql"))


def checked_name(name: str) -> str:
    """`name` if it can stand in SQL unquoted. Raises `InvalidInput` otherwise."""
    if _DATABASE_NAME.fullmatch(name) is None:
        raise InvalidInput(
            f"{name!r} cannot name a database",
            mend="Use small letters, digits and underscores, 63 at most, a letter first",
        )
    return name


def spoken(url: str) -> str:
    """An address as people may read it, without account and password: `host:port/database`."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or 5432}{parts.path}"


def fault(url: str, *, sure_of_scram: bool = False) -> str | None:
    """Why a session on `url` cannot be opened, in one line without the password; None if it can.

    Args:
        url: The database's address.
        sure_of_scram: Refuse a server that asks for the password in any form but SCRAM. It is set where a foreign
            process could be listening on the port, which must not be told the password.
    """
    import psycopg2

    options = {"require_auth": "scram-sha-256"} if sure_of_scram else {}
    try:
        psycopg2.connect(driver_url(url), connect_timeout=_CONNECT_SECONDS, **options).close()
    except psycopg2.Error as error:
        return _without_password(" ".join(str(error).split()) or type(error).__name__, url)
    return None


def refusal(said: str, where: str) -> InvalidInput | None:
    """The refusal that waiting does not mend, if what the driver said of a session that it could not open is one.

    The driver gives it no code, so it is told by its words; of a server that speaks another language it is not known.

    Args:
        said: The driver's words, without the password.
        where: Where the database is, as people may read it.
    """
    if _NOT_LET_IN.search(said):
        return InvalidInput(
            f"the server opens no session: {said.rpartition('FATAL:')[2].strip()}",
            where=f"the database at {where}",
            mend="Mend the user, the password or the name of the database (DATABASE_URL), or make them on that server",
        )
    if _UNREADABLE.search(said):
        return InvalidInput(f"the address cannot be used: {said}", where="DATABASE_URL", mend=_FORM)
    return None


def ping(url: str) -> bool:
    """Whether a session on `url` can be opened now."""
    return fault(url) is None


def wait_until_ready(url: str, *, seconds: float = 30.0) -> None:
    """Wait until a session on `url` can be opened.

    Raises:
        InvalidInput: The server answers, and does not know the user, the password or the database.
        DatabaseUnavailable: Nothing answered for about `seconds`; the last fault is in its text.
    """
    last = fault(url)
    for _ in range(int(seconds / _PAUSE_SECONDS)):
        if last is None:
            return
        refused = refusal(last, spoken(url))
        if refused is not None:
            raise refused
        time.sleep(_PAUSE_SECONDS)
        last = fault(url)
    if last is not None:
        raise DatabaseUnavailable(f"the database at {spoken(url)} does not answer: {last}")


def _parsed(url: str, where: str) -> SplitResult:
    try:
        parts = urlsplit(url.strip())
        readable = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        # The parser's own message can hold a piece of the password, so it is not chained.
        readable = False
    if not readable:
        raise InvalidInput("this is not the address of a PostgreSQL server", where=where, mend=_FORM) from None
    if not parts.path.strip("/"):
        raise InvalidInput("the address names no database", where=where, mend=_FORM)
    return parts


def _without_password(text: str, url: str) -> str:
    password = urlsplit(url).password
    return text.replace(password, "***") if password else text
