"""What is added to the ledger: the statements that add rows (`rows` makes them).

Each function works inside a transaction that its caller opened and will end (`ledger`), so that what belongs together
is committed together. Reading is in `queries`. Nothing here changes or removes what is recorded, and the database
would refuse it.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from trading_platform.domain.decisions import Decision, DecisionKind
from trading_platform.domain.errors import Inconsistent
from trading_platform.domain.fills import Fill
from trading_platform.domain.lifecycle import can_follow, require_can_follow
from trading_platform.domain.orders import Execution, IntentKind, OrderEvent, OrderIntent, OrderState
from trading_platform.domain.reports import Acceptance
from trading_platform.ledger import rows, schema
from trading_platform.ledger.ownership import Ownership
from trading_platform.ledger.rows import CycleRecord

_LOCK_INTENTS: Final = sa.text("""
/* lock_intents: one at a time adds to the life of an order */
SELECT id FROM intents WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE
""")

_LAST_EVENTS: Final = sa.text("""
/* last_events: how far the life of each order has come */
SELECT DISTINCT ON (intent_id) intent_id, sequence, state FROM order_events
WHERE intent_id = ANY(:ids) ORDER BY intent_id, sequence DESC
""")

_NEXT_SEQUENCE: Final = sa.text("""
/* next_intent_sequence */
SELECT coalesce(max(sequence) + 1, 0) FROM intents WHERE book = :book AND bar_time = :bar_time
""")

_ORIGINS: Final = {
    IntentKind.ENTRY: DecisionKind.ENTER,
    IntentKind.EXIT: DecisionKind.EXIT,
    IntentKind.STOP: DecisionKind.PROTECT,
    IntentKind.TARGET: DecisionKind.PROTECT,
    IntentKind.REDUCE: DecisionKind.PROTECT,
    IntentKind.CANCEL: DecisionKind.CANCEL_ENTRY,
}
"""The kind of decision that an intent of a kind comes from; an attached stop comes with its entry."""

_Origin = tuple[datetime, str, str, DecisionKind, int]


def cycle(connection: sa.Connection, record: CycleRecord, ownership: Ownership) -> None:
    """Add a cycle with its signals and decisions. The caller has made sure of `ownership` (`ownership.hold`).

    Raises `Inconsistent` if the record was made by somebody else.
    """
    header = record.header
    if header.owner != ownership.owner:
        raise Inconsistent(f"a cycle of {header.owner} cannot be recorded by {ownership.owner}")
    connection.execute(insert(schema.cycles), rows.cycle_row(record, ownership.book))
    _insert(
        connection,
        schema.signals,
        [rows.signal_row(signal, ownership.book, place) for place, signal in enumerate(record.signals)],
    )
    _insert(
        connection, schema.decisions, [rows.decision_row(decision, ownership.book) for decision in record.decisions]
    )


def intents(
    connection: sa.Connection,
    wanted: Sequence[OrderIntent],
    ownership: Ownership,
    session: date,
    decisions: Iterable[Decision] = (),
) -> None:
    """Add intents in their order, each at the epoch of its symbol's shard and tied to the decision that it comes from.

    The caller has made sure of `ownership` (`ownership.hold`), which holds the first shard; the database's fence then
    looks again at each row. Raises `Inconsistent` for another book's intent.
    """
    if not wanted:
        return
    origins = {
        (decision.bar_time, decision.strategy, decision.symbol, decision.kind, decision.leg): decision.sequence
        for decision in decisions
    }
    following: dict[datetime, int] = {}
    added = []
    for intent in wanted:
        if intent.book != ownership.book:
            raise Inconsistent(f"intent {intent.id} is of book {intent.book}, not of {ownership.book}")
        if intent.bar_time not in following:
            found = connection.execute(_NEXT_SEQUENCE, {"book": intent.book, "bar_time": intent.bar_time})
            following[intent.bar_time] = found.scalar_one()
        sequence, decision = following[intent.bar_time], _origin(intent, origins)
        added.append(rows.intent_row(intent, ownership, session=session, sequence=sequence, decision=decision))
        following[intent.bar_time] += 1
    _insert(connection, schema.intents, added)


def events(connection: sa.Connection, steps: Sequence[OrderEvent], *, of_fills: bool = False) -> None:
    """Add steps to the lives of orders, in their order.

    Raises `Inconsistent` for an intent that is not there, and for a step that cannot follow what is recorded: whoever
    makes it believes something that is not so any more. A step that comes with a fill is left out instead: an execution
    is booked whatever has become of its order.
    """
    if not steps:
        return
    ids = sorted({step.intent_id for step in steps})
    known = set(connection.execute(_LOCK_INTENTS, {"ids": ids}).scalars())
    if len(known) != len(ids):
        raise Inconsistent(f"no intent has the id {', '.join(sorted(set(ids) - known))}")
    last = {row.intent_id: row for row in connection.execute(_LAST_EVENTS, {"ids": ids})}
    sequences = {name: row.sequence for name, row in last.items()}
    states = {name: OrderState(row.state) for name, row in last.items()}
    found = []
    for step in steps:
        state = states.get(step.intent_id, OrderState.INTENDED)
        if of_fills and not can_follow(state, step.state):
            continue
        require_can_follow(step.intent_id, state, step.state)
        states[step.intent_id] = step.state
        sequences[step.intent_id] = sequences.get(step.intent_id, 0) + 1
        found.append(rows.event_row(step, sequences[step.intent_id]))
    _insert(connection, schema.order_events, found)


def fills(connection: sa.Connection, book: str, wanted: Sequence[Fill], now: datetime) -> frozenset[str]:
    """Add fills that are not booked yet, and return the ids of their executions."""
    if not wanted:
        return frozenset()
    # What is booked of one order at the same time by another is counted too: more than was intended must be noted.
    connection.execute(_LOCK_INTENTS, {"ids": sorted({fill.intent_id for fill in wanted})})
    added = [rows.fill_row(fill, book, now) for fill in wanted]
    statement = insert(schema.fills).values(added).on_conflict_do_nothing().returning(schema.fills.c.execution_id)
    return frozenset(connection.execute(statement).scalars())


def voids(connection: sa.Connection, book: str, corrections: Sequence[Execution], now: datetime) -> frozenset[str]:
    """Note that fills do not stand any more, each once, and return the ids of their executions.

    What stands in their place is a fill of its own.
    """
    if not corrections:
        return frozenset()
    added = [rows.void_row(one, book, now) for one in corrections]
    statement = insert(schema.fill_voids).values(added).on_conflict_do_nothing()
    return frozenset(connection.execute(statement.returning(schema.fill_voids.c.execution_id)).scalars())


def acceptance(connection: sa.Connection, book: str, accepted: Acceptance) -> None:
    """Add a difference that a person has accepted."""
    connection.execute(sa.insert(schema.acceptances), [rows.acceptance_row(accepted, book)])


def _insert(connection: sa.Connection, table: sa.Table, added: list[rows.Row]) -> None:
    if added:
        connection.execute(sa.insert(table), added)


def _origin(intent: OrderIntent, origins: Mapping[_Origin, int]) -> int | None:
    """The sequence of the decision that an intent comes from; None where it comes from none of this cycle."""
    kind = DecisionKind.ENTER if intent.parent else _ORIGINS[intent.kind]
    for leg in (intent.leg, 0):
        sequence = origins.get((intent.bar_time, intent.strategy, intent.symbol, kind, leg))
        if sequence is not None:
            return sequence
    return None
