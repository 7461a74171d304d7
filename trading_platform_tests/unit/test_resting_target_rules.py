"""Resting targets in the kernel: each rule from both sides of its boundary, and each taken out as its control.

Run as a script, uncompiled, this file prints what is decided without each guard.
"""

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from trading_platform.domain.compiled import empty_records
from trading_platform.domain.decisions import OrderShape, TradingMode
from trading_platform.domain.records import plan_t
from trading_platform.domain.signals import ExitReason, TargetIn, TriggerOn
from trading_platform.portfolio import legs
from trading_platform_tests.factories.guards import Guard, decide_without, without_guards
from trading_platform_tests.factories.minutes import SHAPES, Scene, Values, decided, put, records

# A quarter at 1 R, half at 2 R, the rest: three orders, five sales beside them.
TOUCH: Values = {
    "legs": 2,
    "leg_fraction": (2500, 5000),
    "leg_target": (10_000, 20_000),
    "target_on": TriggerOn.TOUCH,
    "fixed_quantity": 100,
}
# The same by closes: one order and its stop.
ON_CLOSE: Values = TOUCH | {"target_on": TriggerOn.CLOSE}
BRACKETS: Values = {"shapes": int(SHAPES | OrderShape.BRACKET)}
VWAP: Values = {"exit_mask": ExitReason.BELOW_VWAP}
BELOW: Values = {"exit": ExitReason.BELOW_VWAP}
WAITS: Values = {"quantity": 30, "entry_quantity": 30, "entry_cost": "300", "entering": 70, "valid_until": 99}
OTHER: Values = {"strategy": 1}
"""Of the second strategy, whose plan enters 100 shares in one order."""

FIXED: Values = {"fixed_quantity": 100}


def kernel(source: str, without: str) -> Guard:
    return Guard(module="portfolio.kernel", source=source, without=without)


def gate(source: str) -> Guard:
    return Guard(module="risk.gate", source=source, without="if False:")


def entering(plan: Values = TOUCH, *, entry: Values | None = None, limits: Values | None = None, **more: Any) -> Scene:
    """An entry of a plan, at a venue that takes brackets, with room for many orders."""
    room: Values = BRACKETS | {"orders_second": 100} | (limits or {})
    return Scene(plans=(plan,), entries=(entry or {},), limits=room, **more)


def holding(plan: Values = TOUCH, values: Values | None = None, *, seen: Values | None = None, **book: Any) -> Scene:
    """A holding of a plan, at a venue that takes brackets."""
    return Scene(plans=(plan,), holdings=(values or {},), seen=(seen or {},), limits=BRACKETS, book=book)


def beside(held: Values, entry: Values, *, plan: Values = FIXED) -> Scene:
    """An entry of the second strategy in a symbol that the first, whose targets rest, has orders in."""
    return Scene(
        plans=(TOUCH, plan), holdings=(held,), entries=(OTHER | entry,), limits=BRACKETS | {"orders_second": 100}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A boundary: what is decided on each side of it. Without the guard one of them differs."""

    this_side: Scene
    says: list[str]
    other_side: Scene
    then: list[str]
    guard: Guard


CASES = {
    "9 orders of the second": Case(
        this_side=entering(limits={"orders_second": 3}),
        says=["enter 100"],
        other_side=entering(limits={"orders_second": 2}),
        then=["enter 0 refused ORDER_RATE 3/2"],
        guard=gate("if book.orders_second + orders > limits.orders_second:"),
    ),
    "9 orders of the minute": Case(
        this_side=entering(book={"orders_minute": 57}),
        says=["enter 100"],
        other_side=entering(book={"orders_minute": 58}),
        then=["enter 0 refused ORDER_RATE 61/60"],
        guard=gate("if book.orders_minute + orders > limits.orders_minute:"),
    ),
    "9 orders of the session": Case(
        this_side=entering(book={"orders_day": 497}),
        says=["enter 100"],
        other_side=entering(book={"orders_day": 498}),
        then=["enter 0 refused ORDER_RATE 501/500"],
        guard=gate("if book.orders_day + orders > limits.orders_day:"),
    ),
    "9 orders of one strategy": Case(
        this_side=entering(strategies=({"orders": 497},)),
        says=["enter 100"],
        other_side=entering(strategies=({"orders": 498},)),
        then=["enter 0 refused ORDER_RATE 501/500"],
        guard=gate("if strategy.orders + orders > limits.strategy_orders_day:"),
    ),
    "9 by closes there is one order": Case(
        this_side=entering(ON_CLOSE, limits={"orders_second": 1}),
        says=["enter 100"],
        other_side=entering(limits={"orders_second": 1}),
        then=["enter 0 refused ORDER_RATE 3/1"],
        guard=kernel("if decision.rule == 0 and targets > 0:", "if False:"),
    ),
    "9 a cancel of three orders is three calls": Case(
        this_side=Scene(
            plans=(TOUCH, FIXED),
            holdings=({"entering": 50, "entry_orders": 3, "valid_until": 60},),
            entries=(OTHER | {"symbol": 1},),
            limits=BRACKETS | {"orders_second": 4},
        ),
        says=["cancel_entry 50", "enter 100"],
        other_side=Scene(
            plans=(TOUCH, FIXED),
            holdings=({"entering": 50, "entry_orders": 3, "valid_until": 60},),
            entries=(OTHER | {"symbol": 1},),
            limits=BRACKETS | {"orders_second": 3},
        ),
        then=["cancel_entry 50", "enter 0 refused ORDER_RATE 3/3"],
        guard=kernel("        calls += max(1, position.entry_orders)\n", "        calls += 1\n"),
    ),
    "17 a venue without brackets": Case(
        this_side=entering(),
        says=["enter 100"],
        other_side=entering(limits={"shapes": int(SHAPES)}),
        then=[
            f"enter 0 refused ORDER_SHAPE {int(OrderShape.MARKET | OrderShape.DAY | OrderShape.ATTACHED_STOP | OrderShape.BRACKET)}/{int(SHAPES)}"
        ],
        guard=Guard(module="risk.rules", source="shape |= _BRACKET", without="pass"),
    ),
    "19 open orders": Case(
        this_side=entering(book={"open_orders": 42}),
        says=["enter 100"],
        other_side=entering(book={"open_orders": 43}),
        then=["enter 0 refused OPEN_ORDERS 51/50"],
        guard=kernel("sales = attached * buys + resting_targets(plan)", "sales = attached"),
    ),
    "19 open orders on one side": Case(
        this_side=entering(limits={"side_orders": 5}),
        says=["enter 100"],
        other_side=entering(limits={"side_orders": 4}),
        then=["enter 0 refused OPEN_ORDERS 5/4"],
        guard=kernel("sales = attached * buys + resting_targets(plan)", "sales = attached * buys"),
    ),
    "19 the targets of another strategy": Case(
        this_side=Scene(
            plans=(TOUCH, FIXED),
            holdings=({"stop_orders": 3, "target_orders": 1, "target": "11.00"},),
            entries=(OTHER,),
            limits={"side_orders": 5},
        ),
        says=["enter 100"],
        other_side=Scene(
            plans=(TOUCH, FIXED),
            holdings=({"stop_orders": 3, "target_orders": 2, "target": "11.00"},),
            entries=(OTHER,),
            limits={"side_orders": 5},
        ),
        then=["enter 0 refused OPEN_ORDERS 6/5"],
        guard=Guard(
            module="portfolio.in_symbol",
            source="sales += other.exit_orders + other.stop_orders + other.target_orders",
            without="sales += other.exit_orders + other.stop_orders",
        ),
    ),
    "14 another's entry at a target that rests": Case(
        this_side=beside({"target_orders": 1, "resting_target": 25, "target": "10.02"}, {"limit": "10.01"}),
        says=["enter 100"],
        other_side=beside({"target_orders": 1, "resting_target": 25, "target": "10.01"}, {"limit": "10.01"}),
        then=["enter 0 refused SELF_TRADE 25/0"],
        guard=Guard(
            module="portfolio.in_symbol",
            source="if other.target_orders > 0 and other.target <= price:",
            without="if False:",
        ),
    ),
    "14 a target at another's entry": Case(
        this_side=beside(
            WAITS | {"entry_limit": "10.99", "resting_stop": 30}, {"stop": "9.00", "limit": "10.00"}, plan=TOUCH
        ),
        says=["enter 100"],
        other_side=beside(
            WAITS | {"entry_limit": "10.99", "resting_stop": 30}, {"stop": "8.99", "limit": "9.99"}, plan=TOUCH
        ),
        then=["enter 0 refused SELF_TRADE 70/0"],
        guard=kernel("met += bought_above(entry, target_price(0, price, entry.stop, plan), positions)", "pass"),
    ),
    "a target that is closed above": Case(
        this_side=holding(ON_CLOSE, seen={"close": "11.00"}),
        says=["protect 75 at 9.00", "exit 25 TARGET leg 1"],
        other_side=holding(seen={"close": "12.00"}),
        then=[],
        guard=kernel("    if plan.target_on == _ON_TOUCH:\n        return count\n", ""),
    ),
    "break-even goes by what was sold": Case(
        this_side=holding(TOUCH | {"breakeven_after": 1}, seen={"close": "9.99"}),
        says=[],
        other_side=holding(
            TOUCH | {"breakeven_after": 1}, {"legs_done": 1, "quantity": 75, "resting_stop": 75}, seen={"close": "9.99"}
        ),
        then=["protect 0 at 9.00", "exit 75 BREAK_EVEN"],
        guard=Guard(module="portfolio.exits", source="position.legs_done >= plan.breakeven_after", without="True"),
    ),
    "a part that nothing protects ends its entry": Case(
        this_side=holding(TOUCH, WAITS | {"resting_stop": 30}),
        says=[],
        other_side=holding(TOUCH, WAITS | {"resting_stop": 0, "unprotected": 30}),
        then=["cancel_entry 70"],
        guard=kernel("or book.minute >= position.valid_until or waits", "or book.minute >= position.valid_until"),
    ),
    "so it does with targets by closes": Case(
        this_side=holding({}, WAITS | {"resting_stop": 30}),
        says=[],
        other_side=holding({}, WAITS | {"resting_stop": 0, "unprotected": 30}),
        then=["cancel_entry 70"],
        guard=kernel("or book.minute >= position.valid_until or waits", "or book.minute >= position.valid_until"),
    ),
    "stops on the close wait for nothing": Case(
        this_side=holding({"stop_on": TriggerOn.CLOSE}, WAITS | {"resting_stop": 0, "unprotected": 30}),
        says=[],
        other_side=holding({}, WAITS | {"resting_stop": 0, "unprotected": 30}),
        then=["cancel_entry 70"],
        guard=kernel("waits = plan.stop_on == _ON_TOUCH and", "waits ="),
    ),
    "the cancel protects, and no second stop does": Case(
        this_side=holding(TOUCH, WAITS | {"resting_stop": 0}),
        says=["protect 30 at 9.00"],
        other_side=holding(TOUCH, WAITS | {"resting_stop": 0, "unprotected": 30}),
        then=["cancel_entry 70"],
        guard=kernel("    if waits:\n", "    if False:\n"),
    ),
    "more than is held gives way all the same": Case(
        this_side=holding(TOUCH, WAITS | {"resting_stop": 30, "unprotected": 30}),
        says=["cancel_entry 70"],
        other_side=holding(TOUCH, WAITS | {"resting_stop": 31, "unprotected": 30}),
        then=["cancel_entry 70", "protect 30 at 9.00"],
        guard=kernel("protects = position.resting_stop > protected", "protects = False"),
    ),
    "an exit frees nothing in the minute of the cancel that protects": Case(
        this_side=holding(TOUCH | VWAP, WAITS | {"resting_stop": 25}, seen=BELOW),
        says=["cancel_entry 70", "protect 0 at 9.00", "exit 30 STEP"],
        other_side=holding(TOUCH | VWAP, WAITS | {"resting_stop": 25, "unprotected": 5}, seen=BELOW),
        then=["cancel_entry 70", "exit 30 STEP"],
        guard=kernel("protected = max(0, left)", "pass"),
    ),
    "an exit that was withheld is decided again": Case(
        this_side=holding(),
        says=[],
        other_side=holding(TOUCH, {"withheld": 1}),
        then=["protect 0 at 9.00", "exit 100 STEP"],
        guard=kernel("if cause == 0 and position.withheld != 0:", "if False:"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_side_of_a_boundary(name: str) -> None:
    case = CASES[name]
    assert decided(case.this_side).lines == case.says
    assert decided(case.other_side).lines == case.then


@pytest.fixture(scope="module")
def unguarded() -> dict[str, Any]:
    return without_guards(__file__)


@pytest.mark.parametrize("name", CASES)
def test_control_without_the_guard_something_else_is_decided(name: str, unguarded: dict[str, Any]) -> None:
    assert unguarded[name] != [CASES[name].says, CASES[name].then]


def test_an_approved_entry_stands_in_the_records_with_all_its_orders() -> None:
    told = decided(entering())
    position = told.positions[0]
    assert (position["entry_orders"], position["stop_orders"], position["target_orders"]) == (3, 3, 2)
    assert (position["resting_target"], position["target"]) == (75, 110_000)
    assert (told.book["open_orders"], told.book["orders_second"], told.book["orders_day"]) == (8, 3, 3)
    alone = decided(entering(ON_CLOSE)).positions[0]
    assert (alone["entry_orders"], alone["stop_orders"], alone["target_orders"], alone["target"]) == (1, 1, 0, 0)


def test_orders_are_counted_as_the_quantity_has_them_and_not_as_the_plan_could() -> None:
    told = decided(entering(TOUCH | {"fixed_quantity": 1}))
    assert (told.book["open_orders"], told.book["orders_second"]) == (3, 1)


def test_what_everything_leaving_frees_is_no_targets_any_more() -> None:
    held: Values = {"target_orders": 2, "resting_target": 75, "target": "11.00"}
    told = records(holding(TOUCH | VWAP, held, seen=BELOW)).decide()
    assert told.lines == ["protect 0 at 9.00", "exit 100 STEP"]
    assert told.positions[0]["resting_target"] == 0


def test_no_loss_and_no_mode_keeps_targets_from_being_freed() -> None:
    lost = holding(TOUCH | VWAP, seen=BELOW, mode=TradingMode.HALTED, open_equity="900000")
    assert decided(lost).lines == ["protect 0 at 9.00", "exit 100 STEP"]


# ---- how an entry is split ----------------------------------------------------------------------------------------


def plan(**values: Any) -> Any:
    made = empty_records(1, plan_t)
    put(made[0], {"target_in": TargetIn.R}, TOUCH, values)
    return made[0]


def split(quantity: int, lot: int = 1, **values: Any) -> list[int]:
    one = plan(**values)
    return [int(legs.leg_shares(leg, quantity, one, lot)) for leg in range(int(legs.orders_of(quantity, one, lot)))]


@pytest.mark.parametrize(
    ("quantity", "shares"),
    [(100, [25, 50, 25]), (7, [1, 3, 3]), (4, [1, 2, 1]), (3, [1, 1, 1]), (2, [1, 1]), (1, [1])],
)
def test_each_leg_is_its_fraction_rounded_down_and_the_last_the_rest(quantity: int, shares: list[int]) -> None:
    assert split(quantity) == shares


@pytest.mark.parametrize(
    ("quantity", "shares"), [(400, [100, 200, 100]), (700, [100, 300, 300]), (200, [100, 100]), (100, [100])]
)
def test_each_leg_is_in_whole_lots(quantity: int, shares: list[int]) -> None:
    assert split(quantity, 100) == shares


def test_scale_outs_of_everything_leave_no_rest() -> None:
    assert split(101, leg_fraction=(5000, 5000)) == [50, 51]
    assert split(100, leg_fraction=(3333, 6666)) == [33, 66, 1]


def test_a_plan_by_closes_or_without_scale_outs_has_one_leg() -> None:
    assert split(100, target_on=TriggerOn.CLOSE) == split(100, target_on=0) == split(100, legs=0) == [100]


@pytest.mark.parametrize("fractions", [(2500, 5000), (5000, 5000), (1, 1), (9999, 1), (10_000, 0)])
@pytest.mark.parametrize("lot", [1, 10])
def test_the_legs_are_the_whole_and_never_more_orders_than_were_made_room_for(
    fractions: tuple[int, int], lot: int
) -> None:
    for lots in range(1, 60):
        shares = split(lots * lot, lot, leg_fraction=fractions)
        assert sum(shares) == lots * lot
        assert min(shares) >= lot
        assert len(shares) <= legs.most_orders(plan(leg_fraction=fractions))


@pytest.mark.parametrize(
    ("reference", "stop", "values", "prices"),
    [
        ("50.00", "49.00", {}, ["51.00", "52.00"]),
        ("50.00", "49.33", {"leg_target": (15_000, 20_000)}, ["51.01", "51.34"]),
        ("50.00", "49.99", {"leg_target": (100, 200)}, ["50.01", "50.01"]),
        ("0.9500", "0.9433", {"leg_target": (15_000, 20_000)}, ["0.9601", "0.9634"]),
        ("0.9990", "0.9900", {}, ["1.01", "1.02"]),
        ("50.00", "49.00", {"target_in": TargetIn.PERCENT, "leg_target": (101, 200)}, ["50.51", "51.00"]),
        ("33.33", "30.00", {"target_in": TargetIn.PERCENT, "leg_target": (1, 100)}, ["33.34", "33.67"]),
    ],
)
def test_a_target_is_measured_from_the_decision_and_rounded_up_to_the_tick(
    reference: str, stop: str, values: Values, prices: list[str]
) -> None:
    one = plan(**values)
    at, below = (int(Decimal(price) * 10_000) for price in (reference, stop))
    wanted = [int(Decimal(price) * 10_000) for price in prices]
    assert [int(legs.target_price(leg, at, below, one)) for leg in range(2)] == wanted


if __name__ == "__main__":
    print(  # noqa: T201 (read by the controls above)
        json.dumps(
            {
                name: [decided(scene, decide_without(case.guard)).lines for scene in (case.this_side, case.other_side)]
                for name, case in CASES.items()
            }
        )
    )
