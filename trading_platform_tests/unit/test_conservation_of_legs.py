"""What is attached to an entry, held against its decision before the commit: each breach beside what passes."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest

from trading_platform.domain.decisions import DecisionKind
from trading_platform.domain.errors import ConservationBroken
from trading_platform.domain.orders import IntentKind, OrderIntent
from trading_platform.orders.conservation import require_decided
from trading_platform.orders.intents import SessionOrders, make_intents
from trading_platform.portfolio.legs import EntryLeg
from trading_platform_tests.factories.orders import decision

Intents = list[OrderIntent]

ENTER = decision(DecisionKind.ENTER, 100, stop_price=Decimal("9.0000"))
NOTHING = SessionOrders(statuses=(), at_broker={})
LEGS = (EntryLeg(quantity=60, target=Decimal("11.0000")), EntryLeg(quantity=40))


def made() -> Intents:
    """Entry, stop and target of the first leg; entry and stop of the second."""
    return list(make_intents("paper", [ENTER], NOTHING, lambda _: True, lambda _: LEGS))


def changed(place: int, **values: object) -> Callable[[Intents], Intents]:
    return lambda legs: [replace(one, **values) if n == place else one for n, one in enumerate(legs)]  # type: ignore[arg-type]


def again(place: int) -> Callable[[Intents], Intents]:
    return lambda legs: [*legs, replace(legs[place], id="tp-again", quantity=1)]


BREACHES: dict[str, tuple[Callable[[Intents], Intents], str]] = {
    "legs of more than was decided": (changed(3, quantity=41), "100 shares were decided and 101 would go out"),
    "another leg": (again(0), "100 shares were decided and 101 would go out"),
    "a larger stop": (changed(1, quantity=61), "60 shares were decided and stops of 61 would be attached"),
    "a larger target": (changed(2, quantity=61), "60 shares were decided and targets of 61 would be attached"),
    "a second stop": (again(1), "60 shares were decided and stops of 61 would be attached"),
    "a second target": (again(2), "60 shares were decided and targets of 61 would be attached"),
    "a target alone": (lambda legs: [*legs[:1], *legs[2:]], "and no stop beside it"),
    "a sale that waits for nothing": (changed(2, kind=IntentKind.EXIT), "only a stop or a target can"),
    "a target of another's entry": (changed(2, symbol="QQQ"), "attached to no entry of its strategy and symbol"),
    "a target by itself": (changed(2, parent=None), "a target is attached to an entry"),
    "a target that buys": (changed(2, side="buy"), "a target can only sell"),
}


def test_legs_that_are_what_was_decided_pass() -> None:
    assert len(made()) == 5
    require_decided([ENTER], made(), NOTHING)


@pytest.mark.parametrize("what", BREACHES)
def test_anything_more_or_else_does_not(what: str) -> None:
    alter, said = BREACHES[what]
    with pytest.raises(ConservationBroken, match=said):
        require_decided([ENTER], alter(made()), NOTHING)
