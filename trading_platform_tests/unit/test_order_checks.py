"""What a venue of less than everything refuses at first sight, and in which words."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from trading_platform.brokers.order_checks import Refused, require_well_formed
from trading_platform.brokers.paper import CAPABILITIES
from trading_platform.domain.orders import AttachedStop, AttachedTarget, Order, OrderType, Side, TimeInForce

STOP = AttachedStop(intent_id="s", stop_price=Decimal("9.50"))
TARGET = AttachedTarget(intent_id="t", limit_price=Decimal("10.50"))


def order(**more: Any) -> Order:
    values: dict[str, Any] = {"side": Side.BUY, "type": OrderType.MARKET, "quantity": 100, **more}
    return Order(intent_id="a", symbol="IBM", **values)


@pytest.mark.parametrize(
    ("lacks", "wanted", "why"),
    [
        ({"lot": 100}, order(quantity=150), "150 shares are no whole lots of 100"),
        (
            {"order_types": frozenset({OrderType.MARKET, OrderType.LIMIT})},
            order(type=OrderType.STOP, stop_price=Decimal("10.50")),
            "stop orders are not taken here, only limit, market",
        ),
        (
            {"times_in_force": frozenset({TimeInForce.DAY})},
            order(time_in_force=TimeInForce.GTC),
            "the time in force gtc is unknown here, only day",
        ),
        ({"attached_stops": False}, order(attached_stop=STOP), "an attached stop is not taken here"),
        ({"brackets": False}, order(attached_stop=STOP, attached_target=TARGET), "brackets are not taken here"),
    ],
    ids=["lot", "type", "time in force", "attached stop", "bracket"],
)
def test_what_a_venue_does_not_offer_is_refused(lacks: dict[str, Any], wanted: Order, why: str) -> None:
    with pytest.raises(Refused, match=why):
        require_well_formed(wanted, replace(CAPABILITIES, **lacks))
    # The control: a venue that offers it takes it.
    require_well_formed(wanted, CAPABILITIES)


def test_a_bracket_is_no_attached_stop_alone() -> None:
    require_well_formed(order(attached_stop=STOP), replace(CAPABILITIES, brackets=False))


def test_whole_lots_are_taken() -> None:
    require_well_formed(order(quantity=200), replace(CAPABILITIES, lot=100))
