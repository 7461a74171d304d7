"""A broker that could not be reached when it was to be made: asked for again with each question, until it answers.

Here belongs what the port says while there is no adapter yet: nothing has been sent, and nothing is known. So a book
with two brokers starts with the other one, and what it holds or works here stays as it is believed to be.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, Protocol

from trading_platform.brokers.broker import Broker, Capabilities
from trading_platform.domain.clock import Clock
from trading_platform.domain.errors import InvalidInput, TemporaryError
from trading_platform.domain.orders import Absent, Answer, BrokerOrder, Execution, Found, NotSent, Order, Unknown

_PAUSE: Final = timedelta(seconds=20)
"""So long after an attempt no new one is made: each may take as long as a question."""


class OpenBroker(Broker, Protocol):
    """A broker that holds something open."""

    def close(self) -> None:
        """Give back what is held open. Orders stay as they are."""
        ...


class DeferredBroker:
    """Stands for a broker until it can be made, and from then on hands everything to it.

    Args:
        name: the broker's.
        capabilities: what it can do, as far as that is known without it.
        make: makes it. Raises `TemporaryError` while it does not answer, `InvalidInput` if it may not be used.
        clock: the time.
        why: what the first attempt said.
    """

    def __init__(
        self,
        name: str,
        capabilities: Capabilities,
        make: Callable[[], OpenBroker],
        clock: Clock,
        why: TemporaryError,
    ) -> None:
        self._name, self._capabilities, self._make, self._clock = name, capabilities, make, clock
        self._made: OpenBroker | None = None
        self._why, self._tried = str(why), clock.now()

    @property
    def name(self) -> str:
        """The broker's name."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """What the broker can do."""
        return self._capabilities if self._made is None else self._made.capabilities

    @property
    def oddities(self) -> tuple[str, ...]:
        """What the broker tells, once it is there."""
        return () if self._made is None else self._made.oddities

    def close(self) -> None:
        """Close the broker, if there is one."""
        if self._made is not None:
            self._made.close()

    def submit(self, order: Order, deadline: datetime) -> Answer:
        """`NotSent` while there is no broker."""
        return self._sent(lambda broker: broker.submit(order, deadline))

    def cancel(self, intent_id: str, deadline: datetime) -> Answer:
        """`NotSent` while there is no broker."""
        return self._sent(lambda broker: broker.cancel(intent_id, deadline))

    def reduce(self, intent_id: str, quantity: int, deadline: datetime) -> Answer:
        """`NotSent` while there is no broker."""
        return self._sent(lambda broker: broker.reduce(intent_id, quantity, deadline))

    def find(self, intent_id: str) -> Found | Absent | Unknown:
        """`Unknown` while there is no broker."""
        try:
            return self._broker().find(intent_id)
        except TemporaryError as error:
            return Unknown(reason=str(error))

    def open_orders(self) -> tuple[BrokerOrder, ...]:
        """Raises `TemporaryError` while there is no broker."""
        return self._broker().open_orders()

    def executions(self, since: datetime) -> tuple[Execution, ...]:
        """Raises `TemporaryError` while there is no broker."""
        return self._broker().executions(since)

    def positions(self) -> Mapping[str, int]:
        """Raises `TemporaryError` while there is no broker."""
        return self._broker().positions()

    def cash(self) -> Decimal:
        """Raises `TemporaryError` while there is no broker."""
        return self._broker().cash()

    def _sent(self, send: Callable[[Broker], Answer]) -> Answer:
        try:
            broker = self._broker()
        except TemporaryError as error:
            return NotSent(reason=str(error))
        return send(broker)

    def _broker(self) -> OpenBroker:
        if self._made is not None:
            return self._made
        if self._clock.now() - self._tried < _PAUSE:
            raise TemporaryError(self._why)
        self._tried = self._clock.now()
        try:
            self._made = self._make()
        except (TemporaryError, InvalidInput) as error:
            # One that may not be used, such as an account of another kind, is not used; the other broker trades on.
            self._why = str(error)
            raise TemporaryError(self._why) from None
        return self._made
