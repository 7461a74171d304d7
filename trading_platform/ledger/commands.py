"""Commands of persons, and the counts that rules 9 and 12 go by: what has been ordered, and since which command.

Here are the statements, as in `append` and `queries`; the transaction belongs to the caller (`ledger`). Limits are
given by the caller as well: nothing here decides.

When an order was decided is told by its cycle's clock, which may be simulated; that one order came after a command is
told by the database's, which both have in common.
"""

from collections.abc import Collection, Mapping
from datetime import date, datetime
from typing import Final

import sqlalchemy as sa

from trading_platform.domain.commands import Command, CommandAction
from trading_platform.domain.errors import TemporaryError
from trading_platform.ledger.rows import Found

Key = tuple[str, str]
"""Strategy and symbol."""

_APPEND: Final = sa.text("""
/* append_command */
INSERT INTO commands (book, at, who, action, strategy, symbol, session, reason)
VALUES (:book, :at, :who, :action, :strategy, :symbol, :session, :reason) RETURNING *
""")

_LOCK_TO_COMMAND: Final = sa.text("""
/* lock_to_command: a cycle that is being committed is there before the command, or is told of it */
SELECT FROM books WHERE book = :book FOR NO KEY UPDATE
""")

_LOCK_OUT_COMMANDS: Final = sa.text("""
/* lock_out_commands: none is added before the transaction's end */
SELECT FROM books WHERE book = :book FOR SHARE
""")

_NEWEST: Final = sa.text("""
/* newest_command: its number, 0 where there is none */
SELECT coalesce(max(id), 0) FROM commands WHERE book = :book
""")

_COMMANDS: Final = sa.text("""
/* commands: all of a book, or those that name one session, in the order in which they were recorded */
SELECT * FROM commands WHERE book = :book AND (CAST(:session AS date) IS NULL OR session = :session) ORDER BY id
""")

_FLATTEN_WANTED: Final = sa.text("""
/* flatten_wanted: whether a person wants a session to end flat now */
SELECT EXISTS (SELECT FROM commands WHERE book = :book AND action = 'flatten' AND session = :session)
""")

_HALTED: Final = sa.text("""
/* halted: whether the last word of a person on entries is to halt */
SELECT coalesce((SELECT action = 'halt' FROM commands WHERE book = :book AND action IN ('halt', 'resume')
                 ORDER BY id DESC LIMIT 1), false)
""")

_COUNTED_ENTRIES: Final = """
WITH enabled AS (
    SELECT strategy, symbol, max(recorded_at) AS since FROM commands
    WHERE book = :book AND action = 'enable' GROUP BY strategy, symbol
)
SELECT intents.strategy, intents.symbol, session, count(*) AS entries
FROM intents LEFT JOIN enabled ON (enabled.strategy, enabled.symbol) = (intents.strategy, intents.symbol)
WHERE book = :book AND kind = 'entry' AND leg = 0 AND (since IS NULL OR created_at > since)
"""

_OF_PAIRS: Final = """
AND (intents.strategy, intents.symbol) IN (
    SELECT * FROM unnest(CAST(:strategies AS text[]), CAST(:symbols AS text[]))
)
"""

_TOO_MANY: Final = "GROUP BY intents.strategy, intents.symbol, session HAVING count(*) >= :limit"

_DISABLED: Final = sa.text(f"""
/* disabled: strategies and symbols with too many entries in any one session since they were last enabled */
{_COUNTED_ENTRIES} {_TOO_MANY}
""")

_DISABLED_OF: Final = sa.text(f"""
/* disabled_of: the same of some strategies and symbols, so that the others' entries are not counted each minute */
{_COUNTED_ENTRIES} {_OF_PAIRS} {_TOO_MANY}
""")

_ENTRIES_SENT: Final = sa.text(f"""
/* entries_sent: in one session, since a strategy and symbol were last enabled */
{_COUNTED_ENTRIES} AND session = :session GROUP BY intents.strategy, intents.symbol, session
""")

# An order that no cycle decided has the moment of the command that it comes from, by the same clock.
_ORDERS_SENT: Final = sa.text("""
/* orders_sent: intents of a session that make a call of their own, decided after a moment, by strategy */
SELECT strategy, count(*) AS orders
FROM intents LEFT JOIN cycles ON cycles.book = intents.book AND cycles.bar_time = intents.bar_time
WHERE intents.book = :book AND intents.session = :session AND parent IS NULL
  AND (CAST(:since AS timestamptz) IS NULL OR coalesce(decided_at, intents.bar_time) > :since)
GROUP BY strategy
""")


class Overtaken(TemporaryError):
    """A person has given a command since the account was looked at: nothing is recorded, decide anew."""


def append(
    connection: sa.Connection,
    book: str,
    *,
    at: datetime,
    who: str,
    action: CommandAction,
    reason: str,
    strategy: str | None,
    symbol: str | None,
    session: date | None,
) -> Command:
    """Add a command, and return it as it was recorded."""
    connection.execute(_LOCK_TO_COMMAND, {"book": book})
    row = {"book": book, "at": at, "who": who, "action": action.value, "reason": reason}
    named = {"strategy": strategy, "symbol": symbol, "session": session}
    return _command_of(connection.execute(_APPEND, row | named).one())


def newest(connection: sa.Connection, book: str) -> int:
    """The number of the newest command of a book; 0 where there is none."""
    return int(connection.execute(_NEWEST, {"book": book}).scalar_one())


def require_newest(connection: sa.Connection, book: str, told: int) -> None:
    """See to it that no command follows the one of number `told` before the transaction ends. Raises `Overtaken`."""
    connection.execute(_LOCK_OUT_COMMANDS, {"book": book})
    found = newest(connection, book)
    if found != told:
        raise Overtaken(f"command {found} of book {book} was given while the minute was being decided")


def commands(connection: sa.Connection, book: str, session: date | None) -> tuple[Command, ...]:
    """All commands of a book, or those that name one session, in the order in which they were recorded."""
    return tuple(map(_command_of, connection.execute(_COMMANDS, {"book": book, "session": session})))


def flatten_wanted(connection: sa.Connection, book: str, session: date) -> bool:
    """Whether a person has told the platform to flatten in this session."""
    return bool(connection.execute(_FLATTEN_WANTED, {"book": book, "session": session}).scalar_one())


def halted(connection: sa.Connection, book: str) -> bool:
    """Whether a person has halted entries, and not resumed them since."""
    return bool(connection.execute(_HALTED, {"book": book}).scalar_one())


def disabled(connection: sa.Connection, book: str, limit: int, pairs: Collection[Key] | None) -> frozenset[Key]:
    """Strategies and symbols with at least `limit` entries in any one session since they were last enabled.

    Of all, or of `pairs` alone.
    """
    given = {"book": book, "limit": limit}
    if pairs is None:
        found = connection.execute(_DISABLED, given)
    else:
        strategies, symbols = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        found = connection.execute(_DISABLED_OF, given | {"strategies": strategies, "symbols": symbols})
    return frozenset((row.strategy, row.symbol) for row in found)


def entries_sent(connection: sa.Connection, book: str, session: date) -> Mapping[Key, int]:
    """Entries committed in a session since each strategy and symbol were last enabled; those without one left out."""
    found = connection.execute(_ENTRIES_SENT, {"book": book, "session": session})
    return {(row.strategy, row.symbol): row.entries for row in found}


def orders_sent(connection: sa.Connection, book: str, session: date, since: datetime | None) -> Mapping[str, int]:
    """Intents of a session that make a broker call, decided after `since`, by strategy; those without one left out."""
    found = connection.execute(_ORDERS_SENT, {"book": book, "session": session, "since": since})
    return {row.strategy: row.orders for row in found}


def _command_of(row: Found) -> Command:
    return Command(
        id=row.id,
        book=row.book,
        at=row.at,
        recorded_at=row.recorded_at,
        who=row.who,
        action=CommandAction(row.action),
        strategy=row.strategy,
        symbol=row.symbol,
        session=row.session,
        reason=row.reason,
    )
