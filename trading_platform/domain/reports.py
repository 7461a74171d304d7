"""What a cycle says of itself. The engine returns it, and its caller hands it on: nobody imports monitoring to emit."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """Ledger and broker do not agree on something."""

    symbol: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileReport:
    """What the first step of a cycle found and did."""

    executions_booked: int
    looked_up: int
    resent: int
    closed: int
    breaks: tuple[Break, ...] = ()


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
