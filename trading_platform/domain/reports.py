"""What a cycle says of itself. The engine returns it, and its caller hands it on: nobody imports monitoring to emit."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from trading_platform.domain.decisions import Decision, TradingMode
from trading_platform.domain.fills import Position
from trading_platform.domain.orders import OrderStatus
from trading_platform.domain.signals import Signal


@dataclass(frozen=True, slots=True, kw_only=True)
class DataProblem:
    """A bar that was refused, or data that a symbol lacks: counted, reported, never traded on."""

    symbol: str
    what: str
    count: int = 1


class Subject(StrEnum):
    """What a break is about."""

    POSITION = "position"
    CASH = "cash"
    ORDER = "order"
    EXECUTION = "execution"
    SALE = "sale"
    """Shares that an execution sold and that were never held: whoever accepts it takes them out of the book."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """Ledger and broker do not agree on something.

    `name` is the order or execution that it is about, the symbol of a position, and * for cash. `difference` is what
    the broker has more than the ledger, in shares or dollars, where that can be said: who accepts a break accepts this
    difference, and another one is a new break.
    """

    symbol: str
    what: str
    venue: str = "paper"
    subject: Subject = Subject.ORDER
    name: str = ""
    difference: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """A difference that a person has accepted: it stays, and is no break any more."""

    venue: str
    subject: Subject
    name: str
    difference: Decimal | None
    who: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileReport:
    """What the first step of a cycle found and did.

    `away` are the brokers that could not be asked; what is held or works there is as it was believed before. `oddities`
    is what a person should know of and nothing is held back for, such as a status that no table has.
    """

    executions_booked: int
    looked_up: int
    resent: int
    closed: int
    breaks: tuple[Break, ...] = ()
    away: tuple[str, ...] = ()
    oddities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleReport:
    """One cycle, as numbers and values."""

    cycle_id: str
    book: str
    session: str
    bar_time: datetime
    bars: int
    problems: tuple[DataProblem, ...]
    reconciled: ReconcileReport
    signals: tuple[Signal, ...]
    decisions: tuple[Decision, ...]
    refused: int
    orders_sent: int
    positions: int
    cash: Decimal
    equity: Decimal
    realised: Decimal
    unrealised: Decimal
    fees: Decimal
    mode: TradingMode
    read_back: bool
    faults: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class PreflightCheck:
    """One thing that a session needs, looked at before it opens. `detail` says what was found, or what to mend."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A symbol of a session's universe: what forbids entries in it, and what some strategies may miss of its history."""

    symbol: str
    lacks: tuple[str, ...]
    misses: tuple[str, ...] = ()

    @property
    def tradable(self) -> bool:
        """Whether nothing forbids an entry."""
        return not self.lacks


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionClose:
    """What the last reconcile of a session found: what is still held, and the session's orders without an end."""

    reconciled: ReconcileReport
    held: tuple[Position, ...]
    unresolved: tuple[OrderStatus, ...]
    ledger_cash: Decimal
    broker_cash: Decimal
