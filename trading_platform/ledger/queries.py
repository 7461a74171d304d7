"""The read side: each statement with its name and what it is for, and the values that its rows become.

Functions take a connection and give frozen values. Fills are read in `fill_queries`. Folds of fills (positions, cash)
are in `projections`; the statement `pnl` is their independent check in SQL, and is for reports.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa

from trading_platform.domain.decisions import Decision, TradingMode
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.orders import OrderEvent, OrderIntent, OrderStatus
from trading_platform.domain.reports import Acceptance
from trading_platform.ledger import rows
from trading_platform.ledger.rows import CycleHeader, CycleRecord

_BOOK: Final = sa.text("""
/* book: its opening cash */
SELECT opening_cash FROM books WHERE book = :book
""")

_OPENED_AT: Final = sa.text("""
/* opened_at: when a book was opened */
SELECT opened_at FROM books WHERE book = :book
""")

_BOOKS: Final = sa.text("""
/* books: the names of all */
SELECT book FROM books ORDER BY book
""")

_SESSION: Final = sa.text("""
/* session: the configuration in force */
SELECT configuration FROM sessions WHERE book = :book AND session = :session
""")

_HEADER: Final = """
SELECT bar_time, session, bars, problems, owner, release, mode, equity, peak_equity, cash, open_equity, decided_at
"""

_LAST_SESSION: Final = sa.text("""
/* last_session: the latest that was opened */
SELECT session, opened_at, finished_at FROM sessions WHERE book = :book ORDER BY session DESC LIMIT 1
""")

_OWNERS: Final = sa.text("""
/* owners: who has taken how many shards, and whether the lease lasts */
SELECT owner, count(*) AS shards, min(lease_until) AS lease_until, min(lease_until) > clock_timestamp() AS leased
FROM shards WHERE book = :book AND owner IS NOT NULL GROUP BY owner ORDER BY owner
""")

_IDLE: Final = sa.text("""
/* idle: how long ago a lease on the book has ended, or was given back */
SELECT clock_timestamp() - max(lease_until) AS idle FROM shards WHERE book = :book
""")

_CLOCK: Final = sa.text("/* clock: the database's, now */ SELECT clock_timestamp()")

_CYCLE: Final = sa.text(f"""
/* cycle: one decided bar, with what it saw */
{_HEADER}, inputs FROM cycles WHERE book = :book AND bar_time = :bar_time
""")

_LAST_CYCLE: Final = sa.text(f"""
/* last_cycle: of a session, or of all */
{_HEADER} FROM cycles WHERE book = :book AND (CAST(:session AS date) IS NULL OR session = :session)
ORDER BY bar_time DESC LIMIT 1
""")

_CYCLES: Final = sa.text(f"""
/* cycles: of a session, in order */
{_HEADER} FROM cycles WHERE book = :book AND session = :session ORDER BY bar_time
""")

_SIGNALS: Final = sa.text("""
/* signals: of one bar, in the order in which they were recorded */
SELECT * FROM signals WHERE book = :book AND bar_time = :bar_time ORDER BY sequence
""")

_DECISIONS: Final = sa.text("""
/* decisions: of one bar, in order */
SELECT * FROM decisions WHERE book = :book AND bar_time = :bar_time ORDER BY sequence
""")

_SESSION_DECISIONS: Final = sa.text("""
/* session_decisions: of all bars of a session, in order */
SELECT decisions.* FROM cycles JOIN decisions USING (book, bar_time)
WHERE cycles.book = :book AND cycles.session = :session ORDER BY bar_time, decisions.sequence
""")

_INTENTS: Final = sa.text("""
/* intents: of one bar, in order */
SELECT * FROM intents WHERE book = :book AND bar_time = :bar_time ORDER BY sequence
""")

# What was sent before there were several venues is at the only one that there was.
_STATUS: Final = """
SELECT intents.*, coalesce(last.state, 'intended') AS state, last.at AS since, known.broker_order_id,
       coalesce(sent.venue, CASE WHEN last.state IN (
           'acknowledged', 'partially_filled', 'pending_cancel', 'pending_replace', 'unknown', 'filled'
       ) THEN 'paper' END) AS venue,
       (SELECT coalesce(sum(quantity), 0)::bigint FROM standing_fills WHERE intent_id = intents.id) AS filled
FROM intents
LEFT JOIN LATERAL (SELECT state, at FROM order_events WHERE intent_id = intents.id
                   ORDER BY sequence DESC LIMIT 1) AS last ON true
LEFT JOIN LATERAL (SELECT broker_order_id FROM order_events
                   WHERE intent_id = intents.id AND broker_order_id IS NOT NULL
                   ORDER BY sequence DESC LIMIT 1) AS known ON true
LEFT JOIN LATERAL (SELECT venue FROM order_events WHERE intent_id = intents.id AND venue IS NOT NULL
                   ORDER BY sequence DESC LIMIT 1) AS sent ON true
"""

# A value in place of NOT EXISTS, which becomes a join over all pairs as long as the tables have no statistics.
_NOT_ENDED: Final = """
AND (SELECT ends.state FROM order_events AS ends
     WHERE ends.intent_id = intents.id
       AND ends.state IN ('filled', 'cancelled', 'replaced', 'expired', 'rejected', 'applied')
     LIMIT 1) IS NULL
"""

_ORDERS: Final = sa.text(f"""
/* orders: all of a book, or of one session, with where they stand */
{_STATUS} WHERE intents.book = :book AND (CAST(:session AS date) IS NULL OR intents.session = :session)
ORDER BY intents.bar_time, intents.sequence
""")

_OPEN_ORDERS: Final = sa.text(f"""
/* open_orders: those without an end, of whatever session: an unknown order stays open until there is evidence */
{_STATUS} WHERE intents.book = :book AND (CAST(:session AS date) IS NULL OR intents.session = :session)
{_NOT_ENDED} ORDER BY intents.bar_time, intents.sequence
""")

_ORDER: Final = sa.text(f"""
/* order: one, with where it stands */
{_STATUS} WHERE intents.book = :book AND intents.id = :id
""")

_ORDERS_BY_ID: Final = sa.text(f"""
/* orders_by_id: those that are about to be sent, or that executions name */
{_STATUS} WHERE intents.book = :book AND intents.id = ANY(:ids)
""")

_COMMITTED_AT: Final = sa.text("""
/* committed_at: when intents were committed, by the database's clock, as commands are */
SELECT id, created_at FROM intents WHERE book = :book AND id = ANY(:ids)
""")

# The oldest opener is the bound: of what was decided before it nothing is looked at.
_SINCE_OPENED: Final = """
AND intents.bar_time >= (SELECT min(bar_time) FROM intents WHERE book = :book AND id = ANY(:openers))
AND EXISTS (SELECT FROM intents AS opener WHERE opener.id = ANY(:openers) AND opener.bar_time <= intents.bar_time
            AND (opener.strategy, opener.symbol) = (intents.strategy, intents.symbol))
"""

_ORDERS_OF_HOLDINGS: Final = sa.text(f"""
/* orders_of_holdings: of each opener's strategy and symbol, all since it was decided, with where they stand */
{_STATUS} WHERE intents.book = :book {_SINCE_OPENED} ORDER BY intents.bar_time, intents.sequence
""")

# The database notes them as they are booked, so that no other fill has to be looked at.
_OVERFILLED: Final = sa.text("""
/* overfilled: orders of which more shares were executed than were intended; busted ones were not executed */
SELECT intents.id, intents.symbol, intents.quantity, executed.filled
FROM overfills JOIN intents ON intents.id = overfills.intent_id
CROSS JOIN LATERAL (SELECT sum(quantity)::bigint AS filled FROM standing_fills WHERE intent_id = intents.id) AS executed
WHERE overfills.book = :book AND executed.filled > intents.quantity ORDER BY intents.bar_time, intents.sequence
""")

_EVENTS: Final = sa.text("""
/* order_events: the life of one order */
SELECT order_events.* FROM order_events JOIN intents ON intents.id = intent_id
WHERE book = :book AND intent_id = :id ORDER BY order_events.sequence
""")

_INTENTS_BY_ID: Final = sa.text("""
/* intents_by_id: whose strategy an execution belongs to */
SELECT * FROM intents WHERE book = :book AND id = ANY(:ids)
""")

_FILLED_ENTRIES: Final = sa.text("""
/* filled_entries: entries of a session with at least one fill, by strategy and symbol; the legs of one are one */
SELECT strategy, symbol, count(DISTINCT bar_time) AS entries FROM intents
WHERE book = :book AND session = :session AND kind = 'entry'
  AND EXISTS (SELECT FROM standing_fills WHERE intent_id = intents.id)
GROUP BY strategy, symbol
""")

_EXTREMES: Final = sa.text("""
/* extremes: the worst mode and the highest equity of a session */
SELECT max(mode) AS worst_mode, max(peak_equity) AS peak_equity FROM cycles WHERE book = :book AND session = :session
""")

_PNL: Final = sa.text("""
/* pnl: realised profit before fees, and fees, by strategy and symbol, of executions before a moment.

   realised = what was sold for - what was bought for + cost of what is held. When nothing is held this needs no rule
   of cost. The cost of what is held is at average cost, a partial close taking floor(cost x quantity / held) in
   1/10,000 dollar; it is worked out over the fills since the holding was last flat. Where one of these sells more than
   is held then, it has no value here, and the pair is left out. */
WITH RECURSIVE booked AS (
    SELECT strategy, symbol, side, quantity, price, fee,
           row_number() OVER pair AS n,
           sum(CASE side WHEN 'buy' THEN quantity ELSE -quantity END) OVER pair AS held
    FROM standing_fills AS fills
    WHERE book = :book AND (CAST(:until AS timestamptz) IS NULL OR executed_at < :until)
    WINDOW pair AS (PARTITION BY strategy, symbol ORDER BY executed_at, fills.side, serial)
), totals AS (
    SELECT strategy, symbol,
           coalesce(sum(quantity) FILTER (WHERE side = 'buy'), 0)::bigint AS bought_quantity,
           coalesce(sum(quantity) FILTER (WHERE side = 'sell'), 0)::bigint AS sold_quantity,
           coalesce(sum(quantity * price) FILTER (WHERE side = 'buy'), 0) AS bought,
           coalesce(sum(quantity * price) FILTER (WHERE side = 'sell'), 0) AS sold,
           sum(fee) AS fees, max(n) AS last_n, coalesce(max(n) FILTER (WHERE held = 0), 0) AS flat_n
    FROM booked GROUP BY strategy, symbol
), holding AS (
    SELECT strategy, symbol, flat_n AS n, last_n, 0::numeric AS held, 0::numeric AS cost FROM totals
    UNION ALL
    SELECT holding.strategy, holding.symbol, booked.n, holding.last_n, booked.held,
           CASE booked.side
               WHEN 'buy' THEN holding.cost + booked.quantity * booked.price * 10000
               ELSE CASE WHEN booked.held >= 0
                    THEN holding.cost - div(holding.cost * booked.quantity, holding.held) END
           END
    FROM holding JOIN booked USING (strategy, symbol) WHERE booked.n = holding.n + 1
)
SELECT totals.strategy, totals.symbol, bought_quantity, sold_quantity, bought, sold, fees,
       round(cost / 10000, 4) AS cost, round(sold - bought + cost / 10000, 4) AS realised
FROM totals JOIN holding USING (strategy, symbol) WHERE holding.n = totals.last_n AND cost IS NOT NULL
ORDER BY totals.strategy, totals.symbol
""")

_ACCEPTANCES: Final = sa.text("""
/* acceptances: every difference that a person has accepted, oldest first */
SELECT * FROM acceptances WHERE book = :book ORDER BY id
""")

_LINEAGE: Final = sa.text("""
/* lineage: from each fill of a session back to the order, the decision, the bar and the release that made it */
SELECT fills.execution_id, fills.intent_id, fills.strategy, fills.symbol, intents.bar_time,
       intents.decision_sequence, cycles.inputs_sha256, cycles.release
FROM standing_fills AS fills JOIN intents ON intents.id = fills.intent_id
LEFT JOIN cycles ON cycles.book = intents.book AND cycles.bar_time = intents.bar_time
WHERE fills.book = :book AND intents.session = :session ORDER BY executed_at, fills.side, serial
""")


_SESSION_BEFORE: Final = sa.text("""
/* session_before */
SELECT session FROM cycles WHERE book = :book AND session < :session ORDER BY session DESC LIMIT 1
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionTimes:
    """A session that a book has opened, by the platform's clock; `finished_at` is None while it is not over."""

    session: date
    opened_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who has taken a book's shards. The lease is by the database's clock; `leased`: it has not run out."""

    owner: str
    shards: int
    lease_until: datetime
    leased: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Overfilled:
    """An order of which more shares were executed than were intended."""

    intent_id: str
    symbol: str
    quantity: int
    filled: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Extremes:
    """The worst trading mode of a session so far, and its highest equity in dollars; None before any cycle."""

    worst_mode: TradingMode
    peak_equity: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfitAndLoss:
    """What one strategy made on one symbol. Amounts in dollars; `realised` before fees, `cost` of what is held."""

    strategy: str
    symbol: str
    bought_quantity: int
    sold_quantity: int
    bought: Decimal
    sold: Decimal
    cost: Decimal
    realised: Decimal
    fees: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """Where a fill comes from. What a cycle recorded is None for an order that no cycle decided."""

    execution_id: str
    intent_id: str
    strategy: str
    symbol: str
    bar_time: datetime
    decision_sequence: int | None
    inputs_sha256: str | None
    release: str | None


def opening_cash(connection: sa.Connection, book: str) -> Decimal | None:
    """The cash in dollars that a book was opened with; None if it was not."""
    return connection.execute(_BOOK, {"book": book}).scalar()


def opened_at(connection: sa.Connection, book: str) -> datetime:
    """When a book was opened. Raises `InvalidInput` if it was not."""
    found: datetime | None = connection.execute(_OPENED_AT, {"book": book}).scalar()
    if found is None:
        raise InvalidInput(f"there is no book {book!r}", where="ledger", mend="Open it first")
    return found


def books(connection: sa.Connection) -> tuple[str, ...]:
    """The names of all books that were opened, in the order of the alphabet."""
    return tuple(connection.execute(_BOOKS).scalars())


def configuration(connection: sa.Connection, book: str, session: date) -> dict[str, Any] | None:
    """The configuration of a session; None if it was not opened."""
    return connection.execute(_SESSION, {"book": book, "session": session}).scalar()


def last_session(connection: sa.Connection, book: str) -> SessionTimes | None:
    """The latest session that was opened."""
    found = connection.execute(_LAST_SESSION, {"book": book}).mappings().one_or_none()
    return None if found is None else SessionTimes(**found)


def owners(connection: sa.Connection, book: str) -> tuple[Owner, ...]:
    """Who has taken shards; idle ones are left out."""
    return tuple(Owner(**row) for row in connection.execute(_OWNERS, {"book": book}).mappings())


def idle(connection: sa.Connection, book: str) -> timedelta:
    """How long ago the latest lease on the book has ended; negative while it lasts."""
    found: timedelta = connection.execute(_IDLE, {"book": book}).scalar_one()
    return found


def clock(connection: sa.Connection) -> datetime:
    """The database's real time."""
    now: datetime = connection.execute(_CLOCK).scalar_one()
    return now


def cycle(connection: sa.Connection, book: str, bar_time: datetime) -> CycleRecord | None:
    """All that is recorded of one decided bar."""
    key = {"book": book, "bar_time": bar_time}
    found = connection.execute(_CYCLE, key).one_or_none()
    if found is None:
        return None
    return CycleRecord(
        header=rows.header_of(found),
        inputs=bytes(found.inputs),
        signals=tuple(rows.signal_of(row) for row in connection.execute(_SIGNALS, key)),
        decisions=tuple(rows.decision_of(row) for row in connection.execute(_DECISIONS, key)),
    )


def last_cycle(connection: sa.Connection, book: str, session: date | None) -> CycleHeader | None:
    """The latest decided bar, of one session or of all."""
    found = connection.execute(_LAST_CYCLE, {"book": book, "session": session}).one_or_none()
    return None if found is None else rows.header_of(found)


def session_before(connection: sa.Connection, book: str, session: date) -> date | None:
    """The latest session before `session` with a cycle."""
    found: date | None = connection.execute(_SESSION_BEFORE, {"book": book, "session": session}).scalar_one_or_none()
    return found


def cycles(connection: sa.Connection, book: str, session: date) -> tuple[CycleHeader, ...]:
    """The decided bars of a session, oldest first."""
    return tuple(map(rows.header_of, connection.execute(_CYCLES, {"book": book, "session": session})))


def decisions(connection: sa.Connection, book: str, session: date) -> tuple[Decision, ...]:
    """The decisions of a session, oldest first."""
    return tuple(map(rows.decision_of, connection.execute(_SESSION_DECISIONS, {"book": book, "session": session})))


def intents(connection: sa.Connection, book: str, bar_time: datetime) -> tuple[OrderIntent, ...]:
    """The intents of one bar, in the order in which they were recorded."""
    return tuple(map(rows.intent_of, connection.execute(_INTENTS, {"book": book, "bar_time": bar_time})))


def orders(connection: sa.Connection, book: str, session: date | None) -> tuple[OrderStatus, ...]:
    """Every intent with where it stands, of one session or of all, oldest first."""
    return tuple(map(rows.status_of, connection.execute(_ORDERS, {"book": book, "session": session})))


def open_orders(connection: sa.Connection, book: str, session: date | None) -> tuple[OrderStatus, ...]:
    """The intents whose life has not ended, of one session or of all, oldest first."""
    return tuple(map(rows.status_of, connection.execute(_OPEN_ORDERS, {"book": book, "session": session})))


def order(connection: sa.Connection, book: str, intent_id: str) -> OrderStatus | None:
    """One intent with where it stands."""
    found = connection.execute(_ORDER, {"book": book, "id": intent_id}).one_or_none()
    return None if found is None else rows.status_of(found)


def orders_by_id(connection: sa.Connection, book: str, ids: Collection[str]) -> dict[str, OrderStatus]:
    """Those of these intents that the book has, with where they stand, by id."""
    found = connection.execute(_ORDERS_BY_ID, {"book": book, "ids": list(ids)})
    return {row.id: rows.status_of(row) for row in found}


def committed_at(connection: sa.Connection, book: str, ids: Collection[str]) -> dict[str, datetime]:
    """When those of these intents that the book has were committed, by the database's clock."""
    found = connection.execute(_COMMITTED_AT, {"book": book, "ids": list(ids)})
    return {row.id: row.created_at for row in found}


def orders_of_holdings(connection: sa.Connection, book: str, openers: Collection[str]) -> tuple[OrderStatus, ...]:
    """All intents of each opener's strategy and symbol since it was decided, oldest first."""
    found = connection.execute(_ORDERS_OF_HOLDINGS, {"book": book, "openers": list(openers)})
    return tuple(map(rows.status_of, found))


def overfilled(connection: sa.Connection, book: str) -> tuple[Overfilled, ...]:
    """Orders of which more was executed than was intended."""
    found = connection.execute(_OVERFILLED, {"book": book})
    return tuple(
        Overfilled(intent_id=row.id, symbol=row.symbol, quantity=row.quantity, filled=row.filled) for row in found
    )


def events(connection: sa.Connection, book: str, intent_id: str) -> tuple[OrderEvent, ...]:
    """The life of one order, oldest step first."""
    return tuple(map(rows.event_of, connection.execute(_EVENTS, {"book": book, "id": intent_id})))


def intents_by_id(connection: sa.Connection, book: str, ids: Collection[str]) -> dict[str, OrderIntent]:
    """Those of these intents that the book has."""
    found = connection.execute(_INTENTS_BY_ID, {"book": book, "ids": list(ids)})
    return {row.id: rows.intent_of(row) for row in found}


def filled_entries(connection: sa.Connection, book: str, session: date) -> dict[tuple[str, str], int]:
    """How many entries of a session have a fill, by strategy and symbol; pairs without one are left out."""
    found = connection.execute(_FILLED_ENTRIES, {"book": book, "session": session})
    return {(row.strategy, row.symbol): row.entries for row in found}


def extremes(connection: sa.Connection, book: str, session: date) -> Extremes:
    """The worst mode of a session so far and the highest equity of the book."""
    found = connection.execute(_EXTREMES, {"book": book, "session": session}).one()
    return Extremes(worst_mode=TradingMode(found.worst_mode or 0), peak_equity=found.peak_equity)


def pnl(connection: sa.Connection, book: str, until: datetime | None) -> tuple[ProfitAndLoss, ...]:
    """What each strategy made on each symbol by executions before `until`, worked out by the database alone.

    A pair of which more was sold than it held since it was last flat is left out: its cost is not known.
    """
    found = connection.execute(_PNL, {"book": book, "until": until})
    return tuple(ProfitAndLoss(**row) for row in found.mappings())


def lineage(connection: sa.Connection, book: str, session: date) -> tuple[Lineage, ...]:
    """Where each fill of a session's intents comes from, in the order in which they happened."""
    found = connection.execute(_LINEAGE, {"book": book, "session": session})
    return tuple(Lineage(**row) for row in found.mappings())


def acceptances(connection: sa.Connection, book: str) -> tuple[Acceptance, ...]:
    """The differences that a person has accepted, oldest first."""
    return tuple(map(rows.acceptance_of, connection.execute(_ACCEPTANCES, {"book": book})))
