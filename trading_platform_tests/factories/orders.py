"""Decisions, intents and their states from the few values that a test is about."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from trading_platform.domain.decisions import Decision, DecisionKind, ExitCause, Rule, Verdict
from trading_platform.domain.orders import BrokerOrder, OrderIntent, OrderState, OrderStatus, TimeInForce

OPEN: Final = datetime(2013, 10, 9, 13, 30, tzinfo=UTC)
"""The open of a session."""

BAR: Final = OPEN + timedelta(minutes=60)
"""The start of the decided bar."""


def decision(kind: DecisionKind, quantity: int, **more: Any) -> Decision:
    """An approved decision of strategy `s` on SPY, on `BAR`."""
    values: dict[str, Any] = {
        "sequence": 0,
        "strategy": "s",
        "symbol": "SPY",
        "bar_time": BAR,
        "leg": 0,
        "cause": ExitCause.TARGET if kind is DecisionKind.EXIT else None,
        "verdict": Verdict.APPROVED,
        "rule": Rule.NONE,
        "measure": 0,
        "limit": 0,
        "price": Decimal("10.0000"),
        "limit_price": None,
        "stop_price": None,
        "valid_until": BAR + timedelta(minutes=2) if kind is DecisionKind.ENTER else None,
        "setup": 1,
    }
    return Decision(kind=kind, quantity=quantity, **(values | more))


def status(
    intent: OrderIntent, state: OrderState = OrderState.ACKNOWLEDGED, *, filled: int = 0, broker_id: str | None = "b"
) -> OrderStatus:
    """An intent and where it stands."""
    return OrderStatus(intent=intent, state=state, filled=filled, broker_order_id=broker_id)


def at_broker(intent: OrderIntent, quantity: int, *, filled: int = 0) -> dict[str, BrokerOrder]:
    """The broker's word on an intent's order: so many shares in whole, reductions applied."""
    shown = BrokerOrder(
        intent_id=intent.id,
        broker_order_id="b",
        symbol=intent.symbol,
        side=intent.side,
        type=intent.type,
        time_in_force=TimeInForce.DAY,
        quantity=quantity,
        filled=filled,
        state=OrderState.ACKNOWLEDGED,
    )
    return {intent.id: shown}
