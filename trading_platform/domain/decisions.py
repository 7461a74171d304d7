"""Decisions are data (Law 7): what was approved, resized or refused, by which rule, what it measured and its limit."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import IntEnum, IntFlag


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
    PRICE_COLLAR = 1
    REFERENCE = 2
    ORDER_SIZE = 3
    LIQUIDITY = 4
    POSITION_SIZE = 5
    EXPOSURE = 6
    BUYING_POWER = 7
    LOSS_LIMIT = 8
    ORDER_RATE = 9
    DUPLICATE = 11
    REPEATED_ENTRY = 12
    SELF_TRADE = 14
    BARRED = 15
    SESSION_WINDOW = 16
    ORDER_SHAPE = 17
    REDUCE_ONLY = 18
    OPEN_ORDERS = 19
    RECONCILIATION = 23
    CLOCK_SKEW = 28
    POSITIONS = 30
    RISK_PER_TRADE = 101
    ATTEMPTS = 102
    ALREADY_HELD = 103
    STOP_SIDE = 104
    SET_ASIDE = 105


class Barred(IntEnum):
    """Why a symbol must not be entered (rule 15). Exits go on."""

    NO = 0
    RESTRICTED = 1
    HALTED = 2


class OrderShape(IntFlag):
    """What an order is to a venue (rule 17): its type, its time in force, and what comes with it.

    No venue takes the last two: a quantity that is not in whole lots, and a price between two ticks.
    """

    MARKET = 1
    LIMIT = 2
    STOP = 4
    STOP_LIMIT = 8
    DAY = 16
    GTC = 32
    ATTACHED_STOP = 64
    BRACKET = 128
    ODD_LOT = 256
    OFF_TICK = 512


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
