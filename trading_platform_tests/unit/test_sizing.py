"""How many shares an entry gets: by risk or fixed, each cap, the lot, and what entries of one minute leave each other."""

import pytest

from trading_platform.domain.signals import TriggerOn
from trading_platform_tests.factories.minutes import Scene, Values, decided

WIDE: Values = {
    "position_size": 10_000,
    "order_shares": 1_000_000,
    "order_notional": "1000000",
    "gross": 100_000,
    "net": 100_000,
    "leverage": 100_000,
    "collar": 10_000,
    "collar_mid": 10_000,
}
FIXED: Values = {"fixed_quantity": 300}


def sized(
    entry: Values | None = None,
    plan: Values | None = None,
    limits: Values | None = None,
    *,
    cash: str = "100000",
    others: tuple[Values, ...] = (),
) -> str:
    """What the one entry gets; `others` are holdings of a second strategy."""
    book = {"cash": cash, "open_equity": "0", "peak_equity": "0"}
    holdings = tuple({"strategy": 1, **other} for other in others)
    limits = WIDE | {"daily_loss": 10_000, "positions": 100} | (limits or {})
    scene = Scene(entries=(entry or {},), plans=(plan or {}, {}), limits=limits, book=book, holdings=holdings)
    # Without a loss limit in the way: the open is worth what there is now.
    equity = decided(scene).book["equity"]
    scene = Scene(
        entries=scene.entries,
        plans=scene.plans,
        limits=limits,
        holdings=holdings,
        book=book | {"open_equity": int(equity), "peak_equity": int(equity)},
    )
    return decided(scene).lines[-1]


@pytest.mark.parametrize(
    ("entry", "plan", "told"),
    [
        # 0.5 % of 100,000 dollars is 500 dollars; over 1.00 a share.
        ({}, {}, "enter 500"),
        ({"stop": "9.50"}, {}, "enter 1000"),
        # 500 / 0.93 is 537.6: rounded down.
        ({"stop": "9.07"}, {}, "enter 537"),
        ({}, {"risk": 1}, "enter 10"),
        # From the limit price where there is one, not from the last close.
        ({"limit": "9.50"}, {}, "enter 1000"),
        # By percent of the price: 5 % of 10.00 is 0.50 a share.
        ({"stop": 0}, {"stop_percent": 500, "stop_on": TriggerOn.CLOSE}, "enter 1000"),
        ({}, FIXED, "enter 300"),
        ({"stop": 0}, {**FIXED, "stop_on": TriggerOn.CLOSE}, "enter 300"),
    ],
)
def test_the_quantity_before_any_cap(entry: Values, plan: Values, told: str) -> None:
    assert sized(entry, plan) == told


def test_by_risk_without_a_distance_there_is_no_quantity() -> None:
    # A hundredth of a percent of 0.50 dollars is less than the smallest unit of money.
    plan = {"stop_percent": 1, "stop_on": TriggerOn.CLOSE}
    assert sized({"price": "0.50", "stop": 0}, plan) == "enter 0 refused STOP_SIDE 0/5000"
    assert sized({"price": "1.00", "stop": 0}, plan).startswith("enter")


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({"order_shares": 300}, "enter 300"),
        ({"order_shares": 299}, "enter 299 resized ORDER_SIZE 300/299"),
        ({"order_notional": "3000"}, "enter 300"),
        ({"order_notional": "2999.9999"}, "enter 299 resized ORDER_SIZE 300/299"),
        ({"position_size": 300}, "enter 300"),
        ({"position_size": 299}, "enter 299 resized POSITION_SIZE 300/299"),
        # 300 shares of 95 % of 100,000 dollars.
        ({"buying_power": 300}, "enter 300"),
        ({"buying_power": 299}, "enter 299 resized BUYING_POWER 300/299"),
        # The tightest is the one that is named; of equals the first.
        ({"order_shares": 200, "position_size": 150, "buying_power": 100}, "enter 100 resized BUYING_POWER 300/100"),
        ({"order_shares": 100, "position_size": 150, "buying_power": 200}, "enter 100 resized ORDER_SIZE 300/100"),
        ({"order_shares": 100, "position_size": 100, "buying_power": 100}, "enter 100 resized ORDER_SIZE 300/100"),
    ],
)
def test_each_cap_binds_and_is_named(limits: Values, told: str) -> None:
    assert sized(plan=FIXED, limits=limits) == told


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({"lot": 100}, "enter 300"),
        # Floored to the lot, which no limit has bound.
        ({"lot": 200}, "enter 200"),
        ({"lot": 300}, "enter 300"),
        ({"lot": 301}, "enter 0 refused RISK_PER_TRADE 300/300"),
        # Bound by a limit, and then floored.
        ({"lot": 100, "order_shares": 299}, "enter 200 resized ORDER_SIZE 300/299"),
        ({"lot": 100, "order_shares": 100}, "enter 100 resized ORDER_SIZE 300/100"),
        ({"lot": 100, "order_shares": 99}, "enter 0 refused ORDER_SIZE 300/99"),
    ],
)
def test_quantities_are_whole_lots_and_below_one_lot_refused_by_the_rule_that_bound(limits: Values, told: str) -> None:
    assert sized(plan=FIXED, limits=limits) == told


def test_below_one_share_it_is_refused() -> None:
    assert sized(plan={"risk": 1}, cash="9999.99") == "enter 0 refused RISK_PER_TRADE 0/0"
    assert sized(plan={"risk": 1}, cash="10000") == "enter 1"


def test_what_another_strategy_holds_of_the_symbol_counts_for_the_position() -> None:
    # 10 % of 101,000 dollars is 10,100; 1,000 of it is held: 910 shares are left. In another symbol it is 1,010.
    plan = {"fixed_quantity": 2000}
    limits = {"position_size": 1000}
    assert sized(plan=plan, limits=limits, others=({},)) == "enter 910 resized POSITION_SIZE 2000/910"
    assert sized(plan=plan, limits=limits, others=({"symbol": 1},)) == "enter 1010 resized POSITION_SIZE 2000/1010"


def test_what_is_on_order_for_the_symbol_counts_at_its_limit_or_else_its_mark() -> None:
    working: Values = {"quantity": 0, "resting_stop": 0, "entering": 100, "valid_until": 99}
    limits = {"position_size": 1000}
    plan = {"fixed_quantity": 2000}
    at_mark = sized(plan=plan, limits=limits, others=(working,))
    at_limit = sized(plan=plan, limits=limits, others=({**working, "entry_limit": "20.00"},))
    assert (at_mark, at_limit) == (
        "enter 900 resized POSITION_SIZE 2000/900",
        "enter 800 resized POSITION_SIZE 2000/800",
    )


def test_what_is_on_order_anywhere_takes_buying_power() -> None:
    working: Values = {"symbol": 1, "quantity": 0, "resting_stop": 0, "entering": 1000, "valid_until": 99}
    plan = {"fixed_quantity": 20_000}
    # 95 % of 100,000, and of 100,000 less 10,000.
    assert sized(plan=plan) == "enter 9500 resized BUYING_POWER 20000/9500"
    assert sized(plan=plan, others=(working,)) == "enter 8550 resized BUYING_POWER 20000/8550"


def test_more_on_order_than_cash_leaves_nothing() -> None:
    working: Values = {"symbol": 1, "quantity": 0, "resting_stop": 0, "entering": 10_001, "valid_until": 99}
    assert sized(plan=FIXED, others=(working,)) == "enter 0 refused BUYING_POWER 300/0"


def test_two_entries_in_one_minute_share_the_slots() -> None:
    scene = Scene(
        plans=(FIXED,),
        limits={"positions": 2},
        holdings=({"symbol": 9},),
        entries=({"symbol": 1}, {"symbol": 2}),
    )
    assert decided(scene).lines == ["enter 300", "enter 0 refused POSITIONS 2/2"]


def test_two_entries_in_one_minute_share_the_buying_power() -> None:
    scene = Scene(
        plans=({"fixed_quantity": 5000},),
        limits=WIDE,
        entries=({"symbol": 1}, {"symbol": 2}, {"symbol": 3, "limit": "5.00", "stop": "4.00"}),
    )
    # Of 100,000: 50,000 are reserved, then 95 % of the rest is 47,500; 95 % of the last 2,500 buys 475 at 5.00.
    assert decided(scene).lines == [
        "enter 5000",
        "enter 4750 resized BUYING_POWER 5000/4750",
        "enter 475 resized BUYING_POWER 5000/475",
    ]


def test_two_strategies_in_one_minute_share_the_room_in_a_symbol() -> None:
    scene = Scene(
        plans=({"fixed_quantity": 1500}, {"fixed_quantity": 1500}),
        entries=({"strategy": 0}, {"strategy": 1}),
    )
    assert decided(scene).lines == ["enter 1500", "enter 500 resized POSITION_SIZE 1500/500"]


def test_the_same_strategy_does_not_enter_a_symbol_twice_in_one_minute() -> None:
    scene = Scene(plans=(FIXED,), entries=({}, {}))
    assert decided(scene).lines == ["enter 300", "enter 0 refused ALREADY_HELD 300/0"]


def test_a_refused_entry_takes_nothing() -> None:
    scene = Scene(plans=(FIXED,), limits={"positions": 1}, entries=({"symbol": 1, "stop": "11.00"}, {"symbol": 2}))
    told = decided(scene)
    assert told.lines == ["enter 0 refused STOP_SIDE 110000/100000", "enter 300"]
    assert (told.book["holdings"], told.book["reserved"]) == (1, 300 * 100_000)
