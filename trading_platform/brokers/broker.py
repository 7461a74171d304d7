"""The broker port: what every venue can do, in the platform's words.

Adapters wrap their vendor's errors: a method that sends answers with a value, and 'unknown' is one of them (Law 4).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from trading_platform.domain.orders import (
    Absent,
    Accepted,
    BrokerOrder,
    Execution,
    Found,
    Order,
    Rejected,
    Unknown,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a venue can do."""

    refuses_repeated_ids: bool
    attached_stops: bool
    extended_hours: bool
    fractions: bool


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

    def submit(self, order: Order, deadline: datetime) -> Accepted | Rejected | Unknown:
        """Place an order. No answer by `deadline` is `Unknown`."""
        ...

    def cancel(self, intent_id: str, deadline: datetime) -> Accepted | Rejected | Unknown:
        """Cancel what is left of an order. `Rejected` if nothing is left or it is not known."""
        ...

    def reduce(self, intent_id: str, quantity: int, deadline: datetime) -> Accepted | Rejected | Unknown:
        """Leave at most `quantity` shares of an order open; 0 cancels it. It never increases an order."""
        ...

    def find(self, intent_id: str) -> Found | Absent | Unknown:
        """Look for an order by its intent's id, among open and ended ones."""
        ...

    def open_orders(self) -> tuple[BrokerOrder, ...]:
        """Every order that may still fill, attached stops that wait for their entry included."""
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
