"""The line to a broker, which a test can make lose, hide or alter things; the broker behind it is real."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from trading_platform.brokers.broker import Broker
from trading_platform.domain.orders import Absent, Accepted, Execution, Found, Order, Rejected, Unknown


@dataclass(kw_only=True)
class Line:
    """A broker behind a line. Everything that is not named here goes straight through.

    `loses`: submissions get no answer, because the request or the answer is lost. `blind`: look-ups get no answer.
    `stale`: so many times still, executions are not shown. `more` shares and `extra` dollars are shown that the
    account does not have.
    """

    broker: Broker
    loses: Literal["request", "answer"] | None = None
    blind: bool = False
    stale: int = 0
    more: Mapping[str, int] = field(default_factory=dict)
    extra: Decimal = Decimal(0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.broker, name)

    def submit(self, order: Order, deadline: datetime) -> Accepted | Rejected | Unknown:
        if self.loses == "request":
            return Unknown(reason="the request got lost")
        answer = self.broker.submit(order, deadline)
        return Unknown(reason="the answer got lost") if self.loses == "answer" else answer

    def find(self, intent_id: str) -> Found | Absent | Unknown:
        return Unknown(reason="no answer") if self.blind else self.broker.find(intent_id)

    def executions(self, since: datetime) -> tuple[Execution, ...]:
        if self.stale > 0:
            self.stale -= 1
            return ()
        return self.broker.executions(since)

    def positions(self) -> Mapping[str, int]:
        shown = dict(self.broker.positions())
        for symbol, shares in self.more.items():
            shown[symbol] = shown.get(symbol, 0) + shares
        return shown

    def cash(self) -> Decimal:
        return self.broker.cash() + self.extra
