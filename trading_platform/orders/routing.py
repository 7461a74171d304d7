"""Which broker an order goes to (Law 6): entries to the primary, everything else to where the holding or the order is.

An entry goes to the backup only when the primary has certainly not taken it; that is `outbox`'s to see. Here nothing is
sent, and nothing is asked of a broker.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from trading_platform.brokers.broker import Broker
from trading_platform.domain.errors import Inconsistent
from trading_platform.domain.fills import Position
from trading_platform.domain.orders import IntentKind, OrderIntent, OrderState, OrderStatus

Key = tuple[str, str]
"""Strategy and symbol."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """The brokers of a book: the first is the primary, the second, if there is one, its backup."""

    brokers: tuple[Broker, ...]

    @property
    def primary(self) -> Broker:
        """Where entries go."""
        return self.brokers[0]

    @property
    def backup(self) -> Broker | None:
        """Where entries go that the primary has certainly not taken."""
        return self.brokers[1] if len(self.brokers) > 1 else None

    def has(self, venue: str) -> bool:
        """Whether a broker of this name is one of the book's."""
        return any(broker.name == venue for broker in self.brokers)

    def broker(self, venue: str) -> Broker:
        """The broker of this name. Raises `Inconsistent` if it is none of the book's."""
        for broker in self.brokers:
            if broker.name == venue:
                return broker
        raise Inconsistent(
            f"orders or holdings are at the broker {venue}, and only {', '.join(one.name for one in self.brokers)} is "
            "configured: name it as primary or backup until nothing is left there"
        )

    def venue(
        self, intent: OrderIntent, sent: Mapping[str, OrderStatus], positions: Callable[[], Mapping[Key, Position]]
    ) -> str:
        """The name of the broker that an intent goes to.

        Args:
            intent: What is to be sent.
            sent: Where orders stand, by id: the one that it changes, and its own if it has been sent before.
            positions: The book's holdings; asked only where they decide.
        """
        for name in (intent.id, intent.target):
            status = sent.get(name) if name is not None else None
            # What stands as INTENDED is at no broker, wherever it was to go before.
            if status is not None and status.venue is not None and status.state is not OrderState.INTENDED:
                return status.venue
        # With one broker there is no choice, and what is held need not be read.
        if len(self.brokers) == 1 or intent.kind is IntentKind.ENTRY or intent.parent is not None:
            return self.primary.name
        held = positions().get((intent.strategy, intent.symbol))
        return held.venue if held is not None and held.venue is not None else self.primary.name
