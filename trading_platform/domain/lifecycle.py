"""The life of an order as a table of the steps that can happen. Every other step is refused.

An intent starts as INTENDED, the moment it is committed. UNKNOWN ends only on evidence from the broker: there is no
step from it to a new sending under another id. An order that has ended stays ended.
"""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final

from trading_platform.domain.errors import Inconsistent
from trading_platform.domain.orders import OrderEvent, OrderState

_ENDINGS: Final = frozenset(
    {OrderState.FILLED, OrderState.CANCELLED, OrderState.REPLACED, OrderState.EXPIRED, OrderState.REJECTED}
)
_FIRST_ANSWERS: Final = frozenset({OrderState.ACKNOWLEDGED, OrderState.PARTIALLY_FILLED, OrderState.APPLIED})
_PENDING: Final = frozenset({OrderState.PENDING_CANCEL, OrderState.PENDING_REPLACE})
_WORKING: Final = frozenset({OrderState.ACKNOWLEDGED, OrderState.PARTIALLY_FILLED})

STEPS: Final[Mapping[OrderState, frozenset[OrderState]]] = MappingProxyType(
    {
        # What is found at the broker, or is withheld, needs no sending. So it is with what an older version has sent.
        OrderState.INTENDED: _FIRST_ANSWERS | _ENDINGS | {OrderState.SENDING, OrderState.UNKNOWN},
        # Back to INTENDED: it has certainly not left.
        OrderState.SENDING: _FIRST_ANSWERS | _ENDINGS | {OrderState.INTENDED, OrderState.UNKNOWN},
        OrderState.UNKNOWN: _FIRST_ANSWERS | _ENDINGS,
        OrderState.ACKNOWLEDGED: _ENDINGS | _PENDING | {OrderState.PARTIALLY_FILLED},
        OrderState.PARTIALLY_FILLED: _ENDINGS - {OrderState.REJECTED} | _PENDING | {OrderState.PARTIALLY_FILLED},
        # An exchange may refuse what its broker has taken, though a change of it is under way.
        OrderState.PENDING_CANCEL: _ENDINGS | _WORKING | _PENDING,
        OrderState.PENDING_REPLACE: _ENDINGS | _WORKING | _PENDING,
        OrderState.FILLED: frozenset(),
        OrderState.CANCELLED: frozenset(),
        OrderState.REPLACED: frozenset(),
        OrderState.EXPIRED: frozenset(),
        OrderState.REJECTED: frozenset(),
        OrderState.APPLIED: frozenset(),
    }
)
"""From each state, the states that can follow."""


def can_follow(state: OrderState, then: OrderState) -> bool:
    """Whether an order in `state` can come to `then`."""
    return then in STEPS[state]


def require_can_follow(intent_id: str, state: OrderState, then: OrderState) -> None:
    """Raise `Inconsistent` if an order in `state` cannot come to `then`."""
    if not can_follow(state, then):
        raise Inconsistent(f"order {intent_id} is {state} and cannot become {then}")


def step(
    intent_id: str,
    state: OrderState,
    then: OrderState,
    *,
    at: datetime,
    broker_order_id: str | None = None,
    detail: str = "",
    venue: str | None = None,
) -> OrderEvent:
    """The event that takes an order from `state` to `then`. Raises `Inconsistent` if that cannot happen."""
    require_can_follow(intent_id, state, then)
    return OrderEvent(
        intent_id=intent_id, state=then, at=at, broker_order_id=broker_order_id, detail=detail, venue=venue
    )
