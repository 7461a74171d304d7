"""The paper exchange's own book: one SQLite file, from which alone every cent can be worked out again.

Here belong the file's tables and the statements on them, each with its name. Who runs them is `paper_book`.

    account     one row: name, opening_cash, cash, and matched_until: the start, in seconds since 1970, of the first
                minute that was not matched yet when anything else in the book last changed
    orders      a row for each order taken, attached legs included, in order of arrival (`id`). A refused order leaves
                no row. `intent_id` is the client's and may repeat. `parent` is the entry that an attached stop or
                target belongs to; the two with one parent are for the same shares. `quantity` is the whole order,
                reductions applied; of an attached leg what its entry has filled so far, less reductions and what the
                other leg sold. `value` is price x quantity over its executions; `reference` the price at which an open
                buy holds buying power; `session` the first that it works in; `eligible` the first minute that may fill
                it; `triggered` the minute that reached its stop, 0 if none did (both as seconds since 1970)
    executions  a row for each fill, in the order of `sequence`: order, symbol, side, quantity, price, fee, time
    holdings    shares by symbol

Money is decimal text in dollars, times are text in UTC. `cash`, `holdings`, `filled` and `value` are sums over
`executions`, kept for speed and compared with them each time that the file is opened: cash is opening_cash plus sales
less purchases less fees. SQLite's own log (files ending in -wal and -shm) belongs to the book.

Version 1 had neither stop-limit orders nor times in force: `MIGRATION_FROM_1` brings such a book to this version.
"""

from typing import Final

APPLICATION_ID: Final = 0x74705042
"""Marks a SQLite file as a paper book."""

SCHEMA_VERSION: Final = 2

_ORDERS: Final = """
CREATE TABLE orders (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    intent_id TEXT NOT NULL,
    parent INTEGER REFERENCES orders (id),
    symbol TEXT NOT NULL,
    side TEXT NOT NULL CHECK (side IN ('buy', 'sell')),
    type TEXT NOT NULL CHECK (type IN ('market', 'limit', 'stop', 'stop_limit')),
    time_in_force TEXT NOT NULL CHECK (time_in_force IN ('day', 'gtc')),
    quantity INTEGER NOT NULL CHECK (quantity >= 0),
    filled INTEGER NOT NULL CHECK (filled BETWEEN 0 AND quantity),
    value TEXT NOT NULL,
    limit_price TEXT,
    stop_price TEXT,
    reference TEXT NOT NULL,
    triggered INTEGER NOT NULL,
    state TEXT NOT NULL,
    session TEXT NOT NULL,
    eligible INTEGER NOT NULL,
    accepted_at TEXT NOT NULL
) STRICT"""

_INDEXES_OF_ORDERS: Final = (
    "CREATE INDEX orders_by_intent ON orders (intent_id)",
    "CREATE INDEX orders_open ON orders (eligible) WHERE state IN ('acknowledged', 'partially_filled')",
)

SCHEMA: Final = (
    """
CREATE TABLE account (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    name TEXT NOT NULL,
    opening_cash TEXT NOT NULL,
    cash TEXT NOT NULL,
    matched_until INTEGER NOT NULL
) STRICT""",
    _ORDERS,
    *_INDEXES_OF_ORDERS,
    """
CREATE TABLE executions (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    order_id INTEGER NOT NULL REFERENCES orders (id),
    symbol TEXT NOT NULL,
    side TEXT NOT NULL,
    quantity INTEGER NOT NULL CHECK (quantity > 0),
    price TEXT NOT NULL,
    fee TEXT NOT NULL,
    time TEXT NOT NULL
) STRICT""",
    "CREATE INDEX executions_by_time ON executions (time)",
    """
CREATE TABLE holdings (
    symbol TEXT PRIMARY KEY,
    quantity INTEGER NOT NULL CHECK (quantity >= 0)
) STRICT""",
)

# A check of a column cannot be changed in place: the orders move into a new table, which then takes the old one's name.
# Foreign keys must not be enforced meanwhile.
MIGRATION_FROM_1: Final = (
    _ORDERS.replace("CREATE TABLE orders", "CREATE TABLE orders_of_2"),
    """
    INSERT INTO orders_of_2 (id, intent_id, parent, symbol, side, type, time_in_force, quantity, filled, value,
                             limit_price, stop_price, reference, triggered, state, session, eligible, accepted_at)
    SELECT id, intent_id, parent, symbol, side, type, 'day', quantity, filled, value,
           limit_price, stop_price, reference, triggered, state, session, eligible, accepted_at
    FROM orders ORDER BY id
    """,
    "DROP TABLE orders",
    "ALTER TABLE orders_of_2 RENAME TO orders",
    *_INDEXES_OF_ORDERS,
)

ORDER: Final = """
    SELECT id, intent_id, parent, symbol, side, type, time_in_force, quantity, filled, value, limit_price, stop_price,
           reference, triggered, state, session, eligible
    FROM orders
"""

# Every order that may still fill, in order of arrival.
OPEN_ORDERS: Final = ORDER + "WHERE state IN ('acknowledged', 'partially_filled') ORDER BY id"

# Every order that was placed under one client id, oldest first.
ORDERS_OF_INTENT: Final = ORDER + "WHERE intent_id = ? ORDER BY id"

# The first minute that an open order waits for; NULL without one. The index `orders_open` answers it alone.
NEXT_MINUTE: Final = """
    SELECT max((SELECT matched_until FROM account), min(eligible))
    FROM orders
    WHERE state IN ('acknowledged', 'partially_filled')
"""

INSERT_ORDER: Final = """
    INSERT INTO orders (intent_id, parent, symbol, side, type, time_in_force, quantity, filled, value, limit_price,
                        stop_price, reference, triggered, state, session, eligible, accepted_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, 0, '0.0000', ?, ?, ?, 0, 'acknowledged', ?, ?, ?)
"""

# What fills, reductions and ends change in an order; the rest of it never changes.
UPDATE_ORDER: Final = "UPDATE orders SET quantity = ?, filled = ?, value = ?, triggered = ?, state = ? WHERE id = ?"

INSERT_EXECUTION: Final = """
    INSERT INTO executions (order_id, symbol, side, quantity, price, fee, time) VALUES (?, ?, ?, ?, ?, ?, ?)
"""

# Executions from a moment on, with their client's id, in the order in which they happened.
EXECUTIONS_SINCE: Final = """
    SELECT e.sequence, e.order_id, o.intent_id, e.symbol, e.side, e.quantity, e.price, e.fee, e.time
    FROM executions AS e JOIN orders AS o ON o.id = e.order_id
    WHERE e.time >= ?
    ORDER BY e.sequence
"""

# A symbol that has not been held yet gets its row, so that the change of its quantity is one statement.
ADD_HOLDING: Final = "INSERT INTO holdings (symbol, quantity) VALUES (?, 0) ON CONFLICT DO NOTHING"

CHANGE_HOLDING: Final = "UPDATE holdings SET quantity = quantity + ? WHERE symbol = ?"
