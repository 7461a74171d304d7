"""Decisions are data (Law 7): what was approved, resized or refused, by which rule, what it measured and its limit."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import IntEnum


class TradingMode(IntEnum):
    """How much the account may do. A loss limit never lets go again in the same session."""

    NORMAL = 0
    REDUCING_ONLY = 1
    HALTED = 2


class DecisionKind(IntEnum):
    """What a decision is about."""

    ENTER = 1
    EXIT = 2
    PROTECT = 3
    CANCEL_ENTRY = 4


class Verdict(IntEnum):
    """The gate's answer."""

    APPROVED = 1
    RESIZED = 2
    REFUSED = 3


class Rule(IntEnum):
    """Why a decision was refused or bound. Numbers below 100 are those of the risk table, others the portfolio's own."""

    NONE = 0
    REFERENCE = 2
    ORDER_SIZE = 3
    POSITION_SIZE = 5
    BUYING_POWER = 7
    LOSS_LIMIT = 8
    SESSION_WINDOW = 16
    REDUCE_ONLY = 18
    RECONCILIATION = 23
    POSITIONS = 30
    RISK_PER_TRADE = 101
    ATTEMPTS = 102
    ALREADY_HELD = 103
    STOP_SIDE = 104
    SET_ASIDE = 105


class ExitCause(IntEnum):
    """Why an exit was decided."""

    STEP = 1
    STOP = 2
    BREAK_EVEN = 3
    TRAIL = 4
    TARGET = 5
    TIME_STOP = 6
    FLAT_BY = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One decision of the kernel, for people and for the ledger.

    `measure` and `limit` are in the rule's own unit (`risk.rules.UNITS`). `sequence` is its place in the cycle.
    """

    sequence: int
    strategy: str
    symbol: str
    bar_time: datetime
    kind: DecisionKind
    leg: int
    cause: ExitCause | None
    verdict: Verdict
    rule: Rule
    measure: int
    limit: int
    quantity: int
    price: Decimal
    limit_price: Decimal | None
    stop_price: Decimal | None
    valid_until: datetime | None
    setup: int
