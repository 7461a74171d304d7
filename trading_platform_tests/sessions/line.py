"""The line to a broker, which a test can make lose, hide or alter things; the broker behind it is real."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from trading_platform.brokers.broker import Broker
from trading_platform.domain.orders import Absent, Accepted, BrokerOrder, Execution, Found, Order, Rejected, Unknown


@dataclass(kw_only=True)
class Line:
    """A broker behind a line. Everything that is not named here goes straight through.

    `loses`: submissions get no answer, because the request or the answer is lost. `blind`: look-ups get no answer.
    `stale`: so many times still, executions are not shown. `more` shares and `extra` dollars are shown that the
    account does not have. `dearer`: executions are shown so many dollars dearer. `forgets`: of orders of these symbols
    nothing is known. `keeps_stops`: no order is reduced.
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

    def __getattr__(self, name: str) -> Any:
        return getattr(self.broker, name)

    def submit(self, order: Order, deadline: datetime) -> Accepted | Rejected | Unknown:
        if self.loses == "request":
            return Unknown(reason="the request got lost")
        answer = self.broker.submit(order, deadline)
        return Unknown(reason="the answer got lost") if self.loses == "answer" else answer

    def find(self, intent_id: str) -> Found | Absent | Unknown:
        if self.blind:
            return Unknown(reason="no answer")
        found = self.broker.find(intent_id)
        return Absent() if isinstance(found, Found) and found.order.symbol in self.forgets else found

    def open_orders(self) -> tuple[BrokerOrder, ...]:
        return tuple(order for order in self.broker.open_orders() if order.symbol not in self.forgets)

    def reduce(self, intent_id: str, quantity: int, deadline: datetime) -> Accepted | Rejected | Unknown:
        if self.keeps_stops:
            return Rejected(reason="nothing is left of it")
        return self.broker.reduce(intent_id, quantity, deadline)

    def executions(self, since: datetime) -> tuple[Execution, ...]:
        if self.stale > 0:
            self.stale -= 1
            return ()
        return tuple(replace(one, price=one.price + self.dearer) for one in self.broker.executions(since))

    def positions(self) -> Mapping[str, int]:
        shown = dict(self.broker.positions())
        for symbol, shares in self.more.items():
            shown[symbol] = shown.get(symbol, 0) + shares
        return shown

    def cash(self) -> Decimal:
        return self.broker.cash() + self.extra
