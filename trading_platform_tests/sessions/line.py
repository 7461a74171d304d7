"""The line to a broker, which a test can make lose, hide or alter things; the broker behind it is real."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from trading_platform.brokers.broker import Broker, Capabilities
from trading_platform.domain.errors import TemporaryError
from trading_platform.domain.orders import (
    Absent,
    Answer,
    BrokerOrder,
    Execution,
    Found,
    NotSent,
    Order,
    OrderState,
    Rejected,
    Unknown,
)


@dataclass(kw_only=True)
class Line:
    """A broker behind a line. Everything that is not named here goes straight through.

    `loses`: submissions get no answer, because the request or the answer is lost. `blind`: look-ups get no answer.
    `stale`: so many times still, executions are not shown. `more` shares and `extra` dollars are shown that the
    account does not have. `dearer`: executions are shown so many dollars dearer. `forgets`: of orders of these symbols
    nothing is known. `keeps_stops`: no order is reduced. `down`: nothing leaves, and nothing can be asked. `called`: its
    name. `can`: capabilities that differ. `says`: of orders of these symbols the broker has this word for the status.
    `ends`: orders of these symbols are shown as ended so; `overstated`: with so many more shares executed. `reports` are executions that are shown beside the others.
    """

    broker: Broker
    loses: Literal["request", "answer"] | None = None
    blind: bool = False
    stale: int = 0
    more: Mapping[str, int] = field(default_factory=dict)
    extra: Decimal = Decimal(0)
    dearer: Decimal = Decimal(0)
    forgets: frozenset[str] = frozenset()
    keeps_stops: bool = False
    down: bool = False
    called: str | None = None
    can: Mapping[str, Any] = field(default_factory=dict)
    says: Mapping[str, str] = field(default_factory=dict)
    ends: Mapping[str, OrderState] = field(default_factory=dict)
    overstated: Mapping[str, int] = field(default_factory=dict)
    reports: tuple[Execution, ...] = ()

    @property
    def name(self) -> str:
        return self.called or self.broker.name

    @property
    def capabilities(self) -> Capabilities:
        return replace(self.broker.capabilities, **self.can)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.broker, name)

    def submit(self, order: Order, deadline: datetime) -> Answer:
        if self.down:
            return NotSent(reason="not connected")
        if self.loses == "request":
            return Unknown(reason="the request got lost")
        answer = self.broker.submit(order, deadline)
        return Unknown(reason="the answer got lost") if self.loses == "answer" else answer

    def find(self, intent_id: str) -> Found | Absent | Unknown:
        if self.blind or self.down:
            return Unknown(reason="no answer")
        found = self.broker.find(intent_id)
        if not isinstance(found, Found):
            return found
        symbol = found.order.symbol
        if symbol in self.forgets:
            return Absent()
        filled = found.order.filled + self.overstated.get(symbol, 0)
        return Found(order=replace(found.order, state=self.ends.get(symbol, found.order.state), filled=filled))

    def open_orders(self) -> tuple[BrokerOrder, ...]:
        self._ask()
        hidden = self.forgets | self.ends.keys()
        return tuple(
            replace(order, said=self.says.get(order.symbol, ""))
            for order in self.broker.open_orders()
            if order.symbol not in hidden
        )

    def cancel(self, intent_id: str, deadline: datetime) -> Answer:
        return NotSent(reason="not connected") if self.down else self.broker.cancel(intent_id, deadline)

    def reduce(self, intent_id: str, quantity: int, deadline: datetime) -> Answer:
        if self.down:
            return NotSent(reason="not connected")
        if self.keeps_stops:
            return Rejected(reason="nothing is left of it")
        return self.broker.reduce(intent_id, quantity, deadline)

    def executions(self, since: datetime) -> tuple[Execution, ...]:
        self._ask()
        if self.stale > 0:
            self.stale -= 1
            return ()
        shown = (replace(one, price=one.price + self.dearer) for one in self.broker.executions(since))
        return (*shown, *self.reports)

    def positions(self) -> Mapping[str, int]:
        self._ask()
        shown = dict(self.broker.positions())
        for symbol, shares in self.more.items():
            shown[symbol] = shown.get(symbol, 0) + shares
        return shown

    def cash(self) -> Decimal:
        self._ask()
        return self.broker.cash() + self.extra

    def _ask(self) -> None:
        if self.down:
            raise TemporaryError(f"{self.name} does not answer")
