"""Orders: what is intended, what is sent, what a broker answers, and the states between.

An `OrderIntent` exists before anything is sent, and is committed first (Law 3). A broker's answer is one of a few
typed results, so that 'unknown' cannot be mistaken for 'rejected' (Law 4).
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final


class Side(StrEnum):
    """Buy or sell."""

    BUY = "buy"
    SELL = "sell"


class OrderType(StrEnum):
    """How an order is priced.

    A STOP waits for its stop price and is a market order from then on; a STOP_LIMIT is a limit order from then on.
    """

    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"
    STOP_LIMIT = "stop_limit"


class TimeInForce(StrEnum):
    """How long an order works: until its session closes, or until it is filled or cancelled, over any number of them."""

    DAY = "day"
    GTC = "gtc"


class IntentKind(StrEnum):
    """What an intent is for. CANCEL and REDUCE act on another order, named by `target`.

    A TARGET is a limit sale that rests at the broker beside a STOP, for the same shares.
    """

    ENTRY = "entry"
    EXIT = "exit"
    STOP = "stop"
    TARGET = "target"
    CANCEL = "cancel"
    REDUCE = "reduce"

    @property
    def is_order(self) -> bool:
        """Whether it makes an order of its own at the broker."""
        return self not in (IntentKind.CANCEL, IntentKind.REDUCE)


class OrderState(StrEnum):
    """Where an intent stands. The permitted steps are in `lifecycle`.

    SENDING is noted before the call, so that what stands as INTENDED has certainly never left. PENDING_CANCEL and
    PENDING_REPLACE are of the order that a CANCEL or REDUCE acts on, from that one's sending until its outcome shows.
    REPLACED ends an order in whose place somebody else has put another. APPLIED ends a CANCEL or REDUCE: the broker has
    made the change.
    """

    INTENDED = "intended"
    SENDING = "sending"
    ACKNOWLEDGED = "acknowledged"
    PARTIALLY_FILLED = "partially_filled"
    PENDING_CANCEL = "pending_cancel"
    PENDING_REPLACE = "pending_replace"
    UNKNOWN = "unknown"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REPLACED = "replaced"
    EXPIRED = "expired"
    REJECTED = "rejected"
    APPLIED = "applied"

    @property
    def is_final(self) -> bool:
        """Whether nothing more can happen to it."""
        return self in _FINAL


_FINAL: Final = frozenset(
    {
        OrderState.FILLED,
        OrderState.CANCELLED,
        OrderState.REPLACED,
        OrderState.EXPIRED,
        OrderState.REJECTED,
        OrderState.APPLIED,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderIntent:
    """An order, or a change to one, that the platform has decided to send. Day orders only.

    `stop_price` is the trigger of a STOP order, and for an ENTRY the initial stop that its exit plan starts from;
    `setup` is the set-up that the entry belongs to. `parent` names the entry that an attached stop protects: it is sent
    with that entry, as one order, and becomes active with the entry's fills. `target` is the order that a CANCEL or
    REDUCE acts on, and `quantity` of a REDUCE is what the target shall have left open.
    `valid_until` is the end of the last bar on which an entry may fill.
    """

    id: str
    book: str
    strategy: str
    symbol: str
    bar_time: datetime
    kind: IntentKind
    leg: int
    attempt: int
    side: Side
    type: OrderType
    quantity: int
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    parent: str | None = None
    target: str | None = None
    valid_until: datetime | None = None
    setup: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachedStop:
    """A protective stop that rests at the broker from the moment of its entry's fill."""

    intent_id: str
    stop_price: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachedTarget:
    """A limit sale beside an attached stop, for the same shares: what one of the two sells, the other no longer does."""

    intent_id: str
    limit_price: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What goes to a broker, with the intent's id as the client's id.

    With an attached stop and an attached target it is a bracket. What is attached has the order's time in force.
    """

    intent_id: str
    symbol: str
    side: Side
    type: OrderType
    quantity: int
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.DAY
    attached_stop: AttachedStop | None = None
    attached_target: AttachedTarget | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerOrder:
    """An order as a broker reports it. `quantity` is the whole of it, reductions applied.

    `said` is the broker's own word for its status where the platform does not know that word; `state` is then what can
    be told from the rest: an order with an unknown status is taken to work.
    """

    intent_id: str
    broker_order_id: str
    symbol: str
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    quantity: int
    filled: int
    state: OrderState
    said: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One fill as a broker reports it. `fee` is what this execution adds to the order's fee.

    `corrects` names an earlier execution in whose place this one stands; with a `quantity` of 0 that one was busted:
    the trade was undone, and nothing stands in its place.
    """

    execution_id: str
    broker_order_id: str
    intent_id: str
    symbol: str
    side: Side
    quantity: int
    price: Decimal
    fee: Decimal
    time: datetime
    corrects: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The broker has it: the order is live, or the change is made."""

    broker_order_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """The broker refused it for certain."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotSent:
    """Nothing has left for the broker, for certain: it may be sent later, or an entry to another broker."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """The outcome is not known: only `Broker.find` may end the doubt."""

    reason: str


Answer = Accepted | Rejected | NotSent | Unknown
"""What a broker answers to an order, or to a change of one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The broker has an order with this intent's id."""

    order: BrokerOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """The broker has certainly never had an order with this intent's id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderEvent:
    """One step of an intent's life, as the ledger keeps it: the state that it came to, and what is known of why.

    `venue` is the broker that it is about to be sent to, or that has answered.
    """

    intent_id: str
    state: OrderState
    at: datetime
    broker_order_id: str | None = None
    detail: str = ""
    venue: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderStatus:
    """Where an intent stands now: its last event's state, and the shares of its booked executions.

    `venue` is the broker that it was last sent to, None before that. `since` is when it came to its state, by the clock
    of whoever noted it; None while nothing but the intent is recorded.
    """

    intent: OrderIntent
    state: OrderState
    filled: int
    broker_order_id: str | None
    venue: str | None = None
    since: datetime | None = None
