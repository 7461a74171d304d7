"""The read side of fills: all of them, parts of them, what is known of some, and what they add up to.

Whatever adds fills up reads the view `standing_fills`, in which corrected and busted ones are left out. The rest of the
read side is in `queries`, and how fills come in is `booking`.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Final

import sqlalchemy as sa

from trading_platform.domain.fills import Fill
from trading_platform.ledger import rows

_AS_THEY_HAPPENED: Final = "ORDER BY executed_at, fills.side, serial"
"""The order of a fold, as `queries` has it too. A broker may tell whole seconds: of one moment, what was bought could be sold, not the reverse."""

_FILLS: Final = sa.text(f"""
/* fills: all of a book, as they happened; those of one moment purchases first, then in the order of their booking */
{rows.SELECT_FILL} FROM standing_fills AS fills WHERE book = :book {_AS_THEY_HAPPENED}
""")

_SESSION_FILLS: Final = sa.text(f"""
/* session_fills: those of a session's intents, as they happened */
{rows.SELECT_FILL} FROM standing_fills AS fills JOIN intents ON intents.id = fills.intent_id
WHERE fills.book = :book AND intents.session = :session {_AS_THEY_HAPPENED}
""")

_FILLS_BEFORE: Final = sa.text(f"""
/* fills_before: those of a book's past, as they happened */
{rows.SELECT_FILL} FROM standing_fills AS fills WHERE book = :book AND executed_at < :moment
{_AS_THEY_HAPPENED}
""")

_FILLS_SINCE: Final = sa.text(f"""
/* fills_since: the later ones, as they happened */
{rows.SELECT_FILL} FROM standing_fills AS fills WHERE book = :book AND executed_at >= :moment
{_AS_THEY_HAPPENED}
""")

_COUNT_BEFORE: Final = sa.text("""
/* count_before: how many fills there are of a book's past, and how many of all were undone */
SELECT (SELECT count(*) FROM fills WHERE book = :book AND executed_at < :moment) AS fills,
       (SELECT count(*) FROM fill_voids WHERE book = :book) AS undone
""")

_FILLS_BY_ID: Final = sa.text(f"""
/* fills_by_execution: what is booked already of what a broker reports */
{rows.SELECT_FILL} FROM fills WHERE book = :book AND execution_id = ANY(:ids)
""")

_NEWEST_EXECUTION: Final = sa.text("""
/* newest_execution: when a broker last executed something that is booked */
SELECT executed_at FROM fills WHERE book = :book AND venue = :venue ORDER BY executed_at DESC LIMIT 1
""")

_HELD: Final = sa.text("""
/* held: shares, and what they have cost or brought in dollars, by broker, strategy and symbol; flat ones included */
SELECT venue, strategy, symbol,
       sum(CASE side WHEN 'buy' THEN quantity ELSE -quantity END)::bigint AS quantity,
       sum(CASE side WHEN 'buy' THEN -quantity ELSE quantity END * price - fee) AS cash
FROM standing_fills WHERE book = :book GROUP BY venue, strategy, symbol ORDER BY venue, strategy, symbol
""")

_VOIDS: Final = sa.text("""
/* voids: which of these executions do not stand any more, and by what */
SELECT execution_id, voided_by FROM fill_voids WHERE book = :book AND execution_id = ANY(:ids)
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What one strategy holds of one symbol at one broker, and the dollars that its fills have moved, fees included."""

    venue: str
    strategy: str
    symbol: str
    quantity: int
    cash: Decimal


def fills(connection: sa.Connection, book: str, session: date | None) -> tuple[Fill, ...]:
    """The fills of a session's intents, or of all, as they happened."""
    if session is None:
        found = connection.execute(_FILLS, {"book": book})
    else:
        found = connection.execute(_SESSION_FILLS, {"book": book, "session": session})
    return tuple(map(rows.fill_of, found))


def fills_before(connection: sa.Connection, book: str, moment: datetime) -> tuple[Fill, ...]:
    """The fills of a book before `moment`, as they happened."""
    return tuple(map(rows.fill_of, connection.execute(_FILLS_BEFORE, {"book": book, "moment": moment})))


def fills_since(connection: sa.Connection, book: str, moment: datetime) -> tuple[Fill, ...]:
    """The fills of a book at or after `moment`, as they happened."""
    return tuple(map(rows.fill_of, connection.execute(_FILLS_SINCE, {"book": book, "moment": moment})))


def count_before(connection: sa.Connection, book: str, moment: datetime) -> tuple[int, int]:
    """How many fills a book has before `moment`, and how many of all were corrected or busted."""
    found = connection.execute(_COUNT_BEFORE, {"book": book, "moment": moment}).one()
    return found.fills, found.undone


def fills_by_execution(connection: sa.Connection, book: str, ids: Collection[str]) -> dict[str, Fill]:
    """What is booked of these executions, by the execution's id."""
    found = connection.execute(_FILLS_BY_ID, {"book": book, "ids": list(ids)})
    return {row.execution_id: rows.fill_of(row) for row in found}


def newest_execution(connection: sa.Connection, book: str, venue: str) -> datetime | None:
    """When a broker last executed something that is booked; None if it never has."""
    found: datetime | None = connection.execute(_NEWEST_EXECUTION, {"book": book, "venue": venue}).scalar()
    return found


def held(connection: sa.Connection, book: str) -> tuple[Held, ...]:
    """Shares and cash moved, by broker, strategy and symbol, added up by the database."""
    return tuple(Held(**row) for row in connection.execute(_HELD, {"book": book}).mappings())


def voids(connection: sa.Connection, book: str, ids: Collection[str]) -> dict[str, str]:
    """Of these executions those that were corrected or busted, each with the id of what did it."""
    found = connection.execute(_VOIDS, {"book": book, "ids": list(ids)})
    return {row.execution_id: row.voided_by for row in found}
