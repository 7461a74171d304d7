"""What is left of a book's open orders, from the ledger alone: a person reads how much each can still buy or sell.

The cycle asks the broker (`portfolio.account`). Here nobody is asked, so that it can be told while all brokers are away.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Final

from trading_platform.domain.fills import Fill
from trading_platform.domain.orders import IntentKind, OrderIntent, OrderState, OrderStatus
from trading_platform.portfolio.account import still_held

_MINUTE: Final = timedelta(minutes=1)


def shares_left(
    open_orders: Iterable[OrderStatus], known: Sequence[OrderStatus], fills: Sequence[Fill]
) -> dict[str, int]:
    """By its intent's id, the shares of each open order that it may still buy or sell.

    What is attached to an entry sells no more than the entry has bought, and what a stop sells the target beside it no
    longer does; so a reduction of the one is a reduction of the other.

    Args:
        open_orders: What is looked at. A cancel or a reduction has nothing that is left, and is not among the answers.
        known: The orders and changes of their sessions.
        fills: The executions of the same sessions.
    """
    by_id = {one.intent.id: one for one in known}
    unsold = still_held(known)
    return {one.intent.id: _left(one, by_id, unsold, known, fills) for one in open_orders if one.intent.kind.is_order}


def _left(
    order: OrderStatus,
    by_id: Mapping[str, OrderStatus],
    unsold: Mapping[str, int],
    known: Sequence[OrderStatus],
    fills: Sequence[Fill],
) -> int:
    intent = order.intent
    legs = {intent.id} | {
        one.intent.id for one in known if intent.parent is not None and one.intent.parent == intent.parent
    }
    sold = sum(by_id[leg].filled for leg in legs if leg in by_id and leg != intent.id) + order.filled
    most = [intent.quantity - sold]
    if intent.parent is not None and intent.parent in by_id:
        most.append(unsold[intent.parent])
    most += [
        one.intent.quantity - _filled_since(one.intent, legs, fills)
        for one in known
        if one.intent.kind is IntentKind.REDUCE and one.intent.target in legs and one.state is OrderState.APPLIED
    ]
    return max(0, min(most))


def _filled_since(change: OrderIntent, legs: set[str], fills: Sequence[Fill]) -> int:
    """Shares that were filled after a reduction was decided: it says what was to be left at that moment."""
    decided = change.bar_time + _MINUTE
    return sum(one.quantity for one in fills if one.intent_id in legs and one.time >= decided)
