"""The broker port: what every venue can do, in the platform's words.

Adapters wrap their vendor's errors: a method that sends answers with a value, and 'unknown' is one of them (Law 4).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol

from trading_platform.domain.orders import (
    Absent,
    Answer,
    BrokerOrder,
    Execution,
    Found,
    Order,
    OrderType,
    TimeInForce,
    Unknown,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a venue can do.

    `attached_stops`: an entry may carry its protective stop. `brackets`: and a target beside it, of which the one that
    sells takes from the other. `order_types` and `times_in_force`: every one of the first may have every one of the
    second. `lot`: quantities are whole multiples of so many shares. The tick is that of US equities everywhere
    (`domain.rounding.tick`).
    `legs_follow_fills`: what is attached to an entry works from the entry's first fill on, for as much as it has filled.
    Elsewhere it waits until the entry has filled whole, and offers nothing until then; cancelling the entry is what
    protects the part that was filled.
    """

    refuses_repeated_ids: bool
    attached_stops: bool
    brackets: bool
    order_types: frozenset[OrderType]
    times_in_force: frozenset[TimeInForce]
    extended_hours: bool
    fractions: bool
    lot: int
    legs_follow_fills: bool = True
    settle: timedelta = timedelta(0)
    """How long what was sent without an answer may still arrive: until then nobody may call it absent."""
    forgets_overnight: bool = False
    """Whether it tells nothing of the ended orders and the executions of earlier days."""


class Broker(Protocol):
    """A venue that takes orders. Every order is known by its intent's id."""

    @property
    def name(self) -> str:
        """The venue's name in the configuration and in records."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        ...

    @property
    def oddities(self) -> tuple[str, ...]:
        """What a person should know of, a sentence each, until it is mended: what no table has, protection that is lost."""
        ...

    def submit(self, order: Order, deadline: datetime) -> Answer:
        """Place an order. No answer by `deadline` is `Unknown`; where nothing has left for certain, `NotSent`.

        A venue that refuses repeated ids answers a repeated one with the order that has it, `Accepted`: it is there.
        """
        ...

    def cancel(self, intent_id: str, deadline: datetime) -> Answer:
        """Cancel what is left of an order. `Rejected` if nothing is left or it is not known.

        What is attached to a cancelled entry goes on protecting what the entry has filled, wherever it waited before.
        Of a bracket's stop and target, cancelling one cancels the other.
        """
        ...

    def reduce(self, intent_id: str, quantity: int, deadline: datetime) -> Answer:
        """Leave at most `quantity` shares of an order open; 0 cancels it. It never increases an order.

        A bracket's stop and target are for the same shares: reducing one reduces the other.
        """
        ...

    def find(self, intent_id: str) -> Found | Absent | Unknown:
        """Look for an order by its intent's id, among open and ended ones."""
        ...

    def open_orders(self) -> tuple[BrokerOrder, ...]:
        """Every order that may still fill, what is attached and waits for its entry included."""
        ...

    def executions(self, since: datetime) -> tuple[Execution, ...]:
        """Executions at or after `since`, oldest first."""
        ...

    def positions(self) -> Mapping[str, int]:
        """Shares held by symbol; symbols without a holding are left out."""
        ...

    def cash(self) -> Decimal:
        """The account's cash in dollars."""
        ...
