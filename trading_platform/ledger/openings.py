"""How a book and its sessions come into the ledger, and that a session is over.

Each function works inside a transaction that its caller opened and will end (`ledger`). What trades in a session is in
`append`.
"""

import json
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.ids import SHARDS
from trading_platform.ledger import queries, schema

# Idle shards have no lease; the epoch's beginning is as good an end as any.
_OPEN_SHARDS: Final = sa.text("""
/* open_shards: all of a book's, idle */
INSERT INTO shards (book, shard, epoch, owner, state, lease_until, lease_margin)
SELECT :book, shard, 0, NULL, 'idle', to_timestamp(0), interval '0' FROM generate_series(0, :last) AS shard
ON CONFLICT DO NOTHING
""")


def open_book(connection: sa.Connection, book: str, opening_cash: Decimal, now: datetime) -> None:
    """Make a book with its cash and shards, if it is not there. Raises `InvalidInput` if it has other cash."""
    row = {"book": book, "opening_cash": opening_cash, "opened_at": now}
    connection.execute(insert(schema.books).on_conflict_do_nothing(), row)
    connection.execute(_OPEN_SHARDS, {"book": book, "last": SHARDS - 1})
    found = queries.opening_cash(connection, book)
    if found != opening_cash:
        raise InvalidInput(
            f"the book {book!r} was opened with {found} dollars, not with {opening_cash}",
            where="ledger",
            mend="Use that amount, or another name for the book",
        )


def open_session(
    connection: sa.Connection, book: str, session: date, configuration: Mapping[str, Any], now: datetime
) -> None:
    """Make a session, if it is not there. Raises `InvalidInput` if it has another configuration, or that is no JSON."""
    plain = _plain_json(configuration)
    row = {"book": book, "session": session, "configuration": plain, "opened_at": now}
    connection.execute(insert(schema.sessions).on_conflict_do_nothing(), row)
    found = queries.configuration(connection, book, session)
    if found != plain:
        raise InvalidInput(
            f"the session {session} of book {book!r} runs with another configuration",
            where=", ".join(_differing(found or {}, plain)),
            mend="Go on with the session's own configuration, or wait for the next session",
        )


def finish_session(connection: sa.Connection, book: str, session: date, now: datetime) -> None:
    """Note that a session is over, if that is not noted. Raises `InvalidInput` if it never began."""
    sessions = schema.sessions.c
    here = (sessions.book == book) & (sessions.session == session)
    first = sa.func.coalesce(sessions.finished_at, now)
    found = connection.execute(sa.update(schema.sessions).where(here).values(finished_at=first))
    if found.rowcount == 0:
        raise InvalidInput(f"the session {session} of book {book!r} was not opened", where="ledger")


def _plain_json(configuration: Mapping[str, Any]) -> dict[str, Any]:
    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(configuration), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InvalidInput(
            f"a session's configuration cannot be recorded: {error}",
            where="configuration",
            mend="give plain JSON values",
        ) from error
    return plain


def _differing(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    return sorted(key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key))
