"""Values as rows and rows as values: what the ledger's columns hold, in both directions and in one place.

A value that is recorded and read back is equal to itself. Statements stay out: `append` writes these rows, `queries`
reads them. NumPy's numbers come from the kernel and the driver knows only Python's: hence int() and float().
"""

import hashlib
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa

from trading_platform.domain.decisions import Decision, DecisionKind, ExitCause, Rule, TradingMode, Verdict
from trading_platform.domain.fills import Fill
from trading_platform.domain.ids import shard_of
from trading_platform.domain.orders import (
    Execution,
    IntentKind,
    OrderEvent,
    OrderIntent,
    OrderState,
    OrderStatus,
    OrderType,
    Side,
)
from trading_platform.domain.reports import Acceptance, DataProblem, Subject
from trading_platform.domain.signals import ExitReason, Signal
from trading_platform.ledger.ownership import Ownership

Row = dict[str, Any]
"""Columns by name, as they are inserted."""

Found = sa.Row[Any]
"""Columns by name, as they are read."""

SELECT_FILL: Final = """
SELECT execution_id, fills.intent_id, fills.strategy, fills.symbol, fills.side, fills.quantity, price, fee, executed_at,
       fills.venue
"""
"""The columns of a fill in the order in which `fill_of` takes them."""

_SIDES: Final = {side.value: side for side in Side}


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleHeader:
    """One decided bar, without what was seen and said. Amounts in dollars; `decided_at` by the cycle's own clock."""

    bar_time: datetime
    session: date
    bars: int
    problems: tuple[DataProblem, ...]
    owner: str
    release: str
    mode: TradingMode
    equity: Decimal
    peak_equity: Decimal
    cash: Decimal
    open_equity: Decimal
    decided_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleRecord:
    """One decided bar: what was seen (`inputs`, compressed by the caller), what was said and what was decided."""

    header: CycleHeader
    inputs: bytes
    signals: tuple[Signal, ...]
    decisions: tuple[Decision, ...]


def cycle_row(record: CycleRecord, book: str) -> Row:
    """The row of `cycles`."""
    header = record.header
    return {
        "book": book,
        "bar_time": header.bar_time,
        "session": header.session,
        "inputs": record.inputs,
        "inputs_sha256": hashlib.sha256(record.inputs).hexdigest(),
        "bars": int(header.bars),
        "problems": [{"symbol": it.symbol, "what": it.what, "count": int(it.count)} for it in header.problems],
        "owner": header.owner,
        "release": header.release,
        "mode": int(header.mode),
        "equity": header.equity,
        "peak_equity": header.peak_equity,
        "cash": header.cash,
        "open_equity": header.open_equity,
        "decided_at": header.decided_at,
    }


def signal_row(signal: Signal, book: str, sequence: int) -> Row:
    """The row of `signals`."""
    return {
        "book": book,
        "bar_time": signal.bar_time,
        "strategy": signal.strategy,
        "symbol": signal.symbol,
        "sequence": sequence,
        "entry": bool(signal.entry),
        "exits": int(signal.exits),
        "setup": int(signal.setup),
        "valid_bars": int(signal.valid_bars),
        "limit_price": None if signal.limit is None else float(signal.limit),
        "stop_price": None if signal.stop is None else float(signal.stop),
        "level1": float(signal.level1),
        "level2": float(signal.level2),
    }


def decision_row(decision: Decision, book: str) -> Row:
    """The row of `decisions`."""
    return {
        "book": book,
        "bar_time": decision.bar_time,
        "sequence": int(decision.sequence),
        "strategy": decision.strategy,
        "symbol": decision.symbol,
        "kind": int(decision.kind),
        "leg": int(decision.leg),
        "cause": None if decision.cause is None else int(decision.cause),
        "verdict": int(decision.verdict),
        "rule": int(decision.rule),
        "measure": int(decision.measure),
        "limit_value": int(decision.limit),
        "quantity": int(decision.quantity),
        "price": decision.price,
        "limit_price": decision.limit_price,
        "stop_price": decision.stop_price,
        "valid_until": decision.valid_until,
        "setup": int(decision.setup),
    }


def intent_row(intent: OrderIntent, ownership: Ownership, *, session: date, sequence: int, decision: int | None) -> Row:
    """The row of `intents`, at the epoch at which its symbol's shard was taken. Raises `NotOwner` if it was not."""
    shard = shard_of(intent.symbol)
    return {
        "id": intent.id,
        "book": intent.book,
        "session": session,
        "bar_time": intent.bar_time,
        "sequence": sequence,
        "strategy": intent.strategy,
        "symbol": intent.symbol,
        "kind": intent.kind.value,
        "leg": int(intent.leg),
        "attempt": int(intent.attempt),
        "side": intent.side.value,
        "type": intent.type.value,
        "quantity": int(intent.quantity),
        "limit_price": intent.limit_price,
        "stop_price": intent.stop_price,
        "parent": intent.parent,
        "target": intent.target,
        "valid_until": intent.valid_until,
        "setup": int(intent.setup),
        "shard": shard,
        "epoch": ownership.epoch(shard),
        "owner": ownership.owner,
        "decision_sequence": decision,
    }


def fill_row(fill: Fill, book: str, now: datetime) -> Row:
    """The row of `fills`, booked at `now`."""
    return {
        "book": book,
        "execution_id": fill.execution_id,
        "intent_id": fill.intent_id,
        "strategy": fill.strategy,
        "symbol": fill.symbol,
        "side": fill.side.value,
        "quantity": int(fill.quantity),
        "price": fill.price,
        "fee": fill.fee,
        "executed_at": fill.time,
        "booked_at": now,
        "venue": fill.venue,
    }


def void_row(correction: Execution, book: str, now: datetime) -> Row:
    """The row of `fill_voids` for the execution that `correction` names."""
    return {
        "book": book,
        "execution_id": correction.corrects,
        "voided_by": correction.execution_id,
        "busted": correction.quantity == 0,
        "noted_at": now,
    }


def acceptance_row(accepted: Acceptance, book: str) -> Row:
    """The row of `acceptances`."""
    return {
        "book": book,
        "at": accepted.at,
        "who": accepted.who,
        "reason": accepted.reason,
        "venue": accepted.venue,
        "subject": accepted.subject.value,
        "name": accepted.name,
        "difference": accepted.difference,
    }


def acceptance_of(row: Found) -> Acceptance:
    """The acceptance in a row of `acceptances`."""
    return Acceptance(
        venue=row.venue,
        subject=Subject(row.subject),
        name=row.name,
        difference=row.difference,
        who=row.who,
        reason=row.reason,
        at=row.at,
    )


def event_row(event: OrderEvent, sequence: int) -> Row:
    """The row of `order_events`."""
    return {
        "intent_id": event.intent_id,
        "sequence": sequence,
        "state": event.state.value,
        "broker_order_id": event.broker_order_id,
        "detail": event.detail,
        "at": event.at,
        "venue": event.venue,
    }


def header_of(row: Found) -> CycleHeader:
    """The cycle that a row of `cycles` heads."""
    return CycleHeader(
        bar_time=row.bar_time,
        session=row.session,
        bars=row.bars,
        problems=tuple(DataProblem(**problem) for problem in row.problems),
        owner=row.owner,
        release=row.release,
        mode=TradingMode(row.mode),
        equity=row.equity,
        peak_equity=row.peak_equity,
        cash=row.cash,
        open_equity=row.open_equity,
        decided_at=row.decided_at,
    )


def signal_of(row: Found) -> Signal:
    """The signal in a row of `signals`."""
    return Signal(
        strategy=row.strategy,
        symbol=row.symbol,
        bar_time=row.bar_time,
        entry=row.entry,
        exits=ExitReason(row.exits),
        setup=row.setup,
        valid_bars=row.valid_bars,
        limit=row.limit_price,
        stop=row.stop_price,
        level1=row.level1,
        level2=row.level2,
    )


def decision_of(row: Found) -> Decision:
    """The decision in a row of `decisions`."""
    return Decision(
        sequence=row.sequence,
        strategy=row.strategy,
        symbol=row.symbol,
        bar_time=row.bar_time,
        kind=DecisionKind(row.kind),
        leg=row.leg,
        cause=None if row.cause is None else ExitCause(row.cause),
        verdict=Verdict(row.verdict),
        rule=Rule(row.rule),
        measure=row.measure,
        limit=row.limit_value,
        quantity=row.quantity,
        price=row.price,
        limit_price=row.limit_price,
        stop_price=row.stop_price,
        valid_until=row.valid_until,
        setup=row.setup,
    )


def intent_of(row: Found) -> OrderIntent:
    """The intent in a row of `intents`."""
    return OrderIntent(
        id=row.id,
        book=row.book,
        strategy=row.strategy,
        symbol=row.symbol,
        bar_time=row.bar_time,
        kind=IntentKind(row.kind),
        leg=row.leg,
        attempt=row.attempt,
        side=Side(row.side),
        type=OrderType(row.type),
        quantity=row.quantity,
        limit_price=row.limit_price,
        stop_price=row.stop_price,
        parent=row.parent,
        target=row.target,
        valid_until=row.valid_until,
        setup=row.setup,
    )


def status_of(row: Found) -> OrderStatus:
    """The intent in a row of `intents`, with the state, shares and broker's id that were joined to it."""
    return OrderStatus(
        intent=intent_of(row),
        state=OrderState(row.state),
        filled=row.filled,
        broker_order_id=row.broker_order_id,
        venue=row.venue,
        since=row.since,
    )


def event_of(row: Found) -> OrderEvent:
    """The step in a row of `order_events`."""
    return OrderEvent(
        intent_id=row.intent_id,
        state=OrderState(row.state),
        at=row.at,
        broker_order_id=row.broker_order_id,
        detail=row.detail,
        venue=row.venue,
    )


def fill_of(row: Found) -> Fill:
    """The fill in columns of `fills`, as `SELECT_FILL` orders them: a book's fills are many, and places are fast."""
    execution_id, intent_id, strategy, symbol, side, quantity, price, fee, executed_at, venue = row
    return Fill(
        execution_id=execution_id,
        intent_id=intent_id,
        strategy=strategy,
        symbol=symbol,
        side=_SIDES[side],
        quantity=quantity,
        price=price,
        fee=fee,
        time=executed_at,
        venue=venue,
    )
