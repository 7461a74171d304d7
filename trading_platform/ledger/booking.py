"""How what a broker reports is booked: each execution once, and corrected or busted ones no more.

What corrects an earlier execution stands in its place, at its time, so that the fold of the fills stays what it would
have been; what busts one leaves nothing there. The earlier fill stays recorded and stands no more (`fill_voids`). Here
is decided what of a report is new and fits, and what a person's acceptance takes out of the book; the statements are in `append` and `fill_queries`, and what a report means for
the life of its order is its caller's to say.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.fills import Fill, agrees
from trading_platform.domain.orders import Execution, OrderEvent, OrderIntent
from trading_platform.domain.reports import Acceptance, Subject
from trading_platform.ledger import append, fill_queries, queries
from trading_platform.ledger.connection import reading, transaction

COVERED: Final = "/covered"
"""Ends the name of what is left of a sale, after shares that were never held were taken out of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Booking:
    """What became of reported executions.

    `booked` are the fills that are new. `unexplained` are executions that could not be booked, because no intent of
    the book has their id, because intent or booked fill say otherwise than they do, or because what they correct is
    not there, or was corrected by another: breaks, for a person to see. Executions that were booked before are in
    neither.
    """

    booked: tuple[Fill, ...]
    unexplained: tuple[Execution, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What the ledger has of the executions that a report names, and of the intents that it is about."""

    fills: Mapping[str, Fill]
    voids: Mapping[str, str]
    intents: Mapping[str, OrderIntent]


_Turn = list[tuple[Execution, Fill | None]]
"""Executions that can be booked together, each with its fill; a bust has none."""


def book(
    engine: sa.Engine,
    name: str,
    executions: Sequence[Execution],
    events: Mapping[str, OrderEvent],
    now: datetime,
    venue: str,
) -> Booking:
    """Book what a broker reports into the book `name`, all in one transaction (`Ledger.book_executions`)."""
    unique = {execution.execution_id: execution for execution in executions}
    known = _read(engine, name, unique.values())
    turns, fitting = _turns(unique, known, venue)
    booked: list[Fill] = []
    if any(turns):
        with transaction(engine) as connection:
            for turn in turns:
                booked += _book_turn(connection, name, turn, now)
            steps = [events[fill.execution_id] for fill in booked if fill.execution_id in events]
            append.events(connection, steps, of_fills=True)
    corrected = {*known.voids, *(one.corrects for one in executions if one.execution_id in fitting)}
    unexplained = [one for one in executions if not _explained(one, known, fitting, corrected)]
    return Booking(booked=tuple(booked), unexplained=tuple(dict.fromkeys(unexplained)))


def accept(connection: sa.Connection, book: str, accepted: Acceptance) -> None:
    """Record what a person accepts; shares that were sold and never held are taken out of their sale (`Ledger.accept`)."""
    if accepted.subject is Subject.SALE:
        _take_out(connection, book, accepted)
    append.acceptance(connection, book, accepted)


def _take_out(connection: sa.Connection, book: str, accepted: Acceptance) -> None:
    from trading_platform.accounting.average_cost import fold_covered

    # As it is now: a purchase that was reported late may have covered them since the break was found.
    uncovered = fold_covered(fill_queries.fills(connection, book, None)).uncovered
    shares = next((-one.quantity for one in uncovered if one.execution_id == accepted.name), 0)
    if not shares or shares != accepted.difference:
        raise InvalidInput(
            f"execution {accepted.name} has not sold {accepted.difference} shares that were never held",
            where=f"book {book}",
            mend="Reconcile again, and look at what is told then",
        )
    sale = fill_queries.fills_by_execution(connection, book, [accepted.name])[accepted.name]
    covered = replace(sale, execution_id=f"{accepted.name}{COVERED}", quantity=sale.quantity + shares)
    if append.voids(connection, book, [_correction(covered, accepted.name)], accepted.at) and covered.quantity:
        append.fills(connection, book, [covered], accepted.at)


def _correction(fill: Fill, corrects: str) -> Execution:
    return Execution(
        execution_id=fill.execution_id,
        broker_order_id="",
        intent_id=fill.intent_id,
        symbol=fill.symbol,
        side=fill.side,
        quantity=fill.quantity,
        price=fill.price,
        fee=fill.fee,
        time=fill.time,
        corrects=corrects,
    )


def _read(engine: sa.Engine, book: str, executions: Collection[Execution]) -> _Known:
    corrected = {one.corrects for one in executions if one.corrects is not None}
    with reading(engine) as connection:
        fills = fill_queries.fills_by_execution(
            connection, book, {*(one.execution_id for one in executions), *corrected}
        )
        new = {one.intent_id for one in executions if one.execution_id not in fills}
        asked = corrected | {one.execution_id for one in executions if one.execution_id in fills}
        return _Known(
            fills=fills,
            voids=fill_queries.voids(connection, book, asked) if asked else {},
            intents=queries.intents_by_id(connection, book, new) if new else {},
        )


def _turns(unique: Mapping[str, Execution], known: _Known, venue: str) -> tuple[list[_Turn], set[str]]:
    """What is to be booked, in turns: what corrects something comes after it. And the ids of all that fit.

    Within a report one may correct another, and a third that one.
    """
    waiting = [
        one for key, one in unique.items() if key not in known.fills and _belongs(one, known.intents.get(one.intent_id))
    ]
    standing = dict(known.fills)
    undone = dict(known.voids)
    fitting: set[str] = set()
    turns: list[_Turn] = []
    while True:
        ready = [one for one in waiting if one.corrects is None or one.corrects in standing]
        if not ready:
            # Of what was never booked there is nothing to undo.
            return turns, fitting | {one.execution_id for one in waiting if one.quantity == 0}
        taken = {one.execution_id for one in ready}
        waiting = [one for one in waiting if one.execution_id not in taken]
        turn: _Turn = []
        for one in ready:
            if one.corrects is not None and not _takes_its_place(one, standing[one.corrects], undone):
                continue
            fitting.add(one.execution_id)
            if one.corrects is not None and known.voids.get(one.corrects) == one.execution_id:
                continue
            fill = _fill(one, known.intents[one.intent_id], venue, standing) if one.quantity else None
            if fill is not None:
                standing[one.execution_id] = fill
            if one.corrects is not None:
                undone[one.corrects] = one.execution_id
            turn.append((one, fill))
        turns.append(turn)


def _book_turn(connection: sa.Connection, book: str, turn: _Turn, now: datetime) -> list[Fill]:
    """Note what is undone, then book. What another process has undone in the meantime is left to the next report."""
    corrections = [one for one, _ in turn if one.corrects is not None]
    noted = append.voids(connection, book, corrections, now)
    fills = [fill for one, fill in turn if fill is not None and (one.corrects is None or one.corrects in noted)]
    added = append.fills(connection, book, fills, now)
    return [fill for fill in fills if fill.execution_id in added]


def _explained(
    execution: Execution, known: _Known, fitting: Collection[str], corrected: Collection[str | None]
) -> bool:
    """Whether it was booked, or can be. How a corrected one is told has no weight any more."""
    fill = known.fills.get(execution.execution_id)
    if fill is not None and execution.execution_id in corrected:
        return True
    return agrees(execution, fill) if fill is not None else execution.execution_id in fitting


def _belongs(execution: Execution, intent: OrderIntent | None) -> bool:
    return (
        intent is not None
        and intent.kind.is_order
        and (execution.symbol, execution.side) == (intent.symbol, intent.side)
        and (execution.quantity > 0 or (execution.quantity == 0 and execution.corrects is not None))
    )


def _takes_its_place(correction: Execution, fill: Fill, undone: Mapping[str, str]) -> bool:
    """Whether the fill that it names is of the same order, and has not been undone by another."""
    by = undone.get(fill.execution_id, correction.execution_id)
    return correction.intent_id == fill.intent_id and by == correction.execution_id


def _fill(execution: Execution, intent: OrderIntent, venue: str, standing: Mapping[str, Fill]) -> Fill:
    return Fill(
        execution_id=execution.execution_id,
        intent_id=execution.intent_id,
        strategy=intent.strategy,
        symbol=execution.symbol,
        side=execution.side,
        quantity=execution.quantity,
        price=execution.price,
        fee=execution.fee,
        # A correction that came later would otherwise let what was sold in between be sold before it was bought.
        time=execution.time if execution.corrects is None else standing[execution.corrects].time,
        venue=venue,
    )
