"""Every control of the gate from both sides of its boundary, through the kernel; and each taken out as its control.

Run as a script, uncompiled, this file prints what is decided without each guard.
"""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from trading_platform.domain.decisions import Rule, TradingMode
from trading_platform.risk.rules import UNITS
from trading_platform_tests.factories.guards import Guard, decide_without, without_guards
from trading_platform_tests.factories.minutes import Scene, Values, decided

FIXED: dict[str, Any] = {"fixed_quantity": 100}
ANOTHER: dict[str, Any] = {"holdings": ({"symbol": 1},)}


def entry(values: Values | None = None, *, plan: Values | None = None, **more: Any) -> Scene:
    return Scene(entries=(values or {},), plans=(plan or {},), **more)


def gate(source: str) -> Guard:
    return Guard(module="risk.gate", source=source, without="if False:")


def sizing(function: str) -> Guard:
    return Guard(module="portfolio.sizing", source=f"cap = {function}", without=f"cap = quantity  # {function}")


def kernel(source: str, without: str) -> Guard:
    return Guard(module="portfolio.kernel", source=source, without=without)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`allowed` and `refused` lie on the two sides of a boundary; `then` is what is decided without the guards.

    `by_gate`: what is decided without the first guard only, which is sizing's, so that the gate has to speak.
    """

    allowed: Scene
    says: str
    refused: Scene
    objects: str
    guards: tuple[Guard, ...]
    then: str
    by_gate: str = ""


MODE_BY_LOSSES = kernel("book.mode = mode_by_losses(book, book.limits)", "book.mode = book.mode")
HELD = kernel("if held > 0:", "if False:")
STOP_SIDE = kernel("if needs_stop and risk_per_share(price, entry.stop, plan) <= 0:", "if False:")
WINDOW = gate("if _minutes_to_close(book) <= limits.closing_minutes:")
REFERENCE = gate("if _reference_is_unusable(entry.price, entry.age, limits):")
ORDER_SIZE = (
    sizing("shares_by_order_size(price, limits)"),
    gate("if quantity > _shares_by_order_size(price, limits):"),
)
POSITION_SIZE = (
    sizing("shares_by_position_size(price, symbol_value, book, limits)"),
    gate("if quantity > _shares_by_position_size(price, symbol_value, book, limits):"),
)
BUYING_POWER = (
    sizing("shares_by_buying_power(price, book, limits)"),
    gate("if quantity > _shares_by_buying_power(price, book, limits):"),
)
FEW_DOLLARS = {"cash": "5263.15", "open_equity": "5263.15", "peak_equity": "5263.15"}
JUST_ENOUGH = {"cash": "5263.16", "open_equity": "5263.16", "peak_equity": "5263.16"}
HALF: Values = {"legs": 2, "leg_fraction": (5000, 5000), "leg_target": (10_000, 20_000)}

CASES = {
    "2 a bar of 90 seconds": Case(
        allowed=entry({"age": 90}),
        says="enter 500",
        refused=entry({"age": 91}),
        objects="enter 0 refused REFERENCE 91/90",
        guards=(REFERENCE,),
        then="enter 500",
    ),
    "2 an age before the bar's end": Case(
        allowed=entry({"age": 0}),
        says="enter 500",
        refused=entry({"age": -1}),
        objects="enter 0 refused REFERENCE -1/90",
        guards=(REFERENCE,),
        then="enter 500",
    ),
    "2 no price": Case(
        allowed=entry({"price": 1, "limit": "10.00"}, plan=FIXED),
        says="enter 100",
        refused=entry({"price": 0, "limit": "10.00"}, plan=FIXED),
        objects="enter 0 refused REFERENCE 0/90",
        guards=(REFERENCE,),
        then="enter 100",
    ),
    "3 shares": Case(
        allowed=entry(limits={"order_shares": 500}),
        says="enter 500",
        refused=entry(limits={"order_shares": 499}),
        objects="enter 499 resized ORDER_SIZE 500/499",
        by_gate="enter 0 refused ORDER_SIZE 500/499",
        guards=ORDER_SIZE,
        then="enter 500",
    ),
    "3 dollars": Case(
        allowed=entry(limits={"order_notional": "5000.00"}),
        says="enter 500",
        refused=entry(limits={"order_notional": "4999.99"}),
        objects="enter 499 resized ORDER_SIZE 500/499",
        by_gate="enter 0 refused ORDER_SIZE 500/499",
        guards=ORDER_SIZE,
        then="enter 500",
    ),
    "5 position size": Case(
        allowed=entry(limits={"position_size": 500}),
        says="enter 500",
        refused=entry(limits={"position_size": 499}),
        objects="enter 499 resized POSITION_SIZE 500/499",
        by_gate="enter 0 refused POSITION_SIZE 500/499",
        guards=POSITION_SIZE,
        then="enter 500",
    ),
    "7 buying power": Case(
        allowed=entry(plan={"fixed_quantity": 500}, book=JUST_ENOUGH, limits={"position_size": 10_000}),
        says="enter 500",
        refused=entry(plan={"fixed_quantity": 500}, book=FEW_DOLLARS, limits={"position_size": 10_000}),
        objects="enter 499 resized BUYING_POWER 500/499",
        by_gate="enter 0 refused BUYING_POWER 500/499",
        guards=BUYING_POWER,
        then="enter 500",
    ),
    "8 the account's daily loss": Case(
        allowed=entry(plan=FIXED, book={"cash": "95000.0001"}, limits={"drawdown": 10_000}),
        says="enter 100",
        refused=entry(plan=FIXED, book={"cash": "95000"}, limits={"drawdown": 10_000}),
        objects="enter 0 refused LOSS_LIMIT 50000000/50000000",
        guards=(MODE_BY_LOSSES,),
        then="enter 100",
    ),
    "8 the account's drawdown": Case(
        allowed=entry(plan=FIXED, book={"cash": "95000.0001", "open_equity": "95000"}),
        says="enter 100",
        refused=entry(plan=FIXED, book={"cash": "95000", "open_equity": "95000"}),
        objects="enter 0 refused LOSS_LIMIT 50000000/50000000",
        guards=(MODE_BY_LOSSES,),
        then="enter 100",
    ),
    "8 the strategy's daily loss": Case(
        allowed=entry(plan=FIXED, strategies=({"day_pnl": "-999.9999"},)),
        says="enter 100",
        refused=entry(plan=FIXED, strategies=({"day_pnl": "-1000"},)),
        objects="enter 0 refused LOSS_LIMIT 10000000/10000000",
        guards=(gate("if -strategy.day_pnl >= _strategy_loss_limit(book, limits):"),),
        then="enter 100",
    ),
    "8 a mode from earlier in the session": Case(
        allowed=entry(plan=FIXED, **ANOTHER),
        says="enter 100",
        refused=entry(plan=FIXED, book={"mode": TradingMode.REDUCING_ONLY, "cash": "99000"}, **ANOTHER),
        objects="enter 0 refused LOSS_LIMIT 0/50000000",
        guards=(gate("if book.mode != _NORMAL:"),),
        then="enter 100",
    ),
    "16 the last minutes": Case(
        allowed=entry(plan=FIXED, book={"minute": 373}),
        says="enter 100",
        refused=entry(plan=FIXED, book={"minute": 374}),
        objects="enter 0 refused SESSION_WINDOW 15/15",
        guards=(WINDOW,),
        then="enter 100",
    ),
    "16 the last minutes of a half day": Case(
        allowed=entry(plan=FIXED, book={"minute": 193, "session_minutes": 210}),
        says="enter 100",
        refused=entry(plan=FIXED, book={"minute": 194, "session_minutes": 210}),
        objects="enter 0 refused SESSION_WINDOW 15/15",
        guards=(WINDOW,),
        then="enter 100",
    ),
    "16 the session's last tick": Case(
        allowed=entry(plan=FIXED | {"flat_from": 400}, book={"minute": 388}, limits={"closing_minutes": 0}),
        says="enter 100",
        refused=entry(plan=FIXED | {"flat_from": 400}, book={"minute": 389}, limits={"closing_minutes": 0}),
        objects="enter 0 refused SESSION_WINDOW 0/0",
        guards=(WINDOW,),
        then="enter 100",
    ),
    "16 the plan's own end": Case(
        allowed=entry(plan=FIXED | {"flat_from": 61}),
        says="enter 100",
        refused=entry(plan=FIXED | {"flat_from": 60}),
        objects="enter 0 refused SESSION_WINDOW 60/60",
        guards=(kernel("if book.minute >= plan.flat_from:", "if False:"),),
        then="enter 100",
    ),
    "18 an exit of more than is held": Case(
        allowed=Scene(plans=(HALF,), holdings=({"quantity": 50, "resting_stop": 0},), seen=({"close": "11.00"},)),
        says="exit 50 TARGET leg 1",
        refused=Scene(plans=(HALF,), holdings=({"quantity": 40, "resting_stop": 0},), seen=({"close": "11.00"},)),
        objects="exit 40 TARGET leg 1 resized REDUCE_ONLY 50/40",
        guards=(
            kernel("quantity = reducing_quantity(wanted, position.quantity, position.exiting)", "quantity = wanted"),
        ),
        then="exit 50 TARGET leg 1",
    ),
    "18 with an exit on its way": Case(
        allowed=Scene(plans=(HALF,), holdings=({"exiting": 50, "resting_stop": 0},), seen=({"close": "11.00"},)),
        says="exit 50 TARGET leg 1",
        refused=Scene(plans=(HALF,), holdings=({"exiting": 51, "resting_stop": 0},), seen=({"close": "11.00"},)),
        objects="exit 49 TARGET leg 1 resized REDUCE_ONLY 50/49",
        guards=(
            Guard(
                module="risk.rules",
                source="max(0, min(wanted, held - exiting))",
                without="max(0, min(wanted, held))",
            ),
        ),
        then="exit 50 TARGET leg 1",
    ),
    "23 books that do not agree": Case(
        allowed=entry(plan=FIXED),
        says="enter 100",
        refused=entry({"frozen": 1}, plan=FIXED),
        objects="enter 0 refused RECONCILIATION 1/0",
        guards=(gate("if entry.frozen != 0:"),),
        then="enter 100",
    ),
    "30 positions": Case(
        allowed=entry(plan=FIXED, holdings=tuple({"symbol": n} for n in range(1, 5))),
        says="enter 100",
        refused=entry(plan=FIXED, holdings=tuple({"symbol": n} for n in range(1, 6))),
        objects="enter 0 refused POSITIONS 5/5",
        guards=(gate("if book.holdings >= limits.positions:"),),
        then="enter 100",
    ),
    "101 risk per trade below one lot": Case(
        allowed=entry(plan={"risk": 1}, limits={"lot": 10}),
        says="enter 10",
        refused=entry(plan={"risk": 1}, limits={"lot": 11}),
        objects="enter 0 refused RISK_PER_TRADE 10/10",
        guards=(Guard(module="portfolio.sizing", source="if quantity < limits.lot:", without="if False:"),),
        then="enter 0",
    ),
    "102 attempts": Case(
        allowed=entry({"attempts": 1}, plan=FIXED | {"attempts": 2}),
        says="enter 100",
        refused=entry({"attempts": 2}, plan=FIXED | {"attempts": 2}),
        objects="enter 0 refused ATTEMPTS 2/2",
        guards=(kernel("if plan.attempts > 0 and entry.attempts >= plan.attempts:", "if False:"),),
        then="enter 100",
    ),
    "103 held already": Case(
        allowed=entry(plan=FIXED, holdings=({"symbol": 1},)),
        says="enter 100",
        refused=entry(plan=FIXED, holdings=({"quantity": 1, "resting_stop": 1},)),
        objects="enter 0 refused ALREADY_HELD 1/0",
        guards=(HELD,),
        then="enter 100",
    ),
    "103 on order already": Case(
        allowed=entry(plan=FIXED, holdings=({"symbol": 1, "quantity": 0, "resting_stop": 0},)),
        says="enter 100",
        refused=entry(plan=FIXED, holdings=({"quantity": 0, "resting_stop": 0, "entering": 7, "valid_until": 61},)),
        objects="enter 0 refused ALREADY_HELD 7/0",
        guards=(HELD,),
        then="enter 100",
    ),
    "103 an exit that may still fill": Case(
        allowed=entry(plan=FIXED, holdings=({"symbol": 1, "quantity": 0, "resting_stop": 0, "exiting": 7},)),
        says="enter 100",
        refused=entry(plan=FIXED, holdings=({"quantity": 0, "resting_stop": 0, "exiting": 7},)),
        objects="enter 0 refused ALREADY_HELD 7/0",
        guards=(
            kernel(
                "max(positions[k].quantity + positions[k].entering, positions[k].exiting)",
                "positions[k].quantity + positions[k].entering",
            ),
        ),
        then="enter 100",
    ),
    "104 the stop's side": Case(
        allowed=entry({"stop": "9.99"}, plan=FIXED),
        says="enter 100",
        refused=entry({"stop": "10.00"}, plan=FIXED),
        objects="enter 0 refused STOP_SIDE 100000/100000",
        guards=(STOP_SIDE,),
        then="enter 100",
    ),
    "104 the stop against the limit price": Case(
        allowed=entry({"stop": "9.49", "limit": "9.50"}, plan=FIXED),
        says="enter 100",
        refused=entry({"stop": "9.50", "limit": "9.50"}, plan=FIXED),
        objects="enter 0 refused STOP_SIDE 95000/95000",
        guards=(STOP_SIDE,),
        then="enter 100",
    ),
    "104 no stop": Case(
        allowed=entry({"stop": 1}, plan=FIXED),
        says="enter 100",
        refused=entry({"stop": 0}, plan=FIXED),
        objects="enter 0 refused STOP_SIDE 0/100000",
        guards=(STOP_SIDE,),
        then="enter 100",
    ),
    "105 set aside": Case(
        allowed=entry(plan=FIXED),
        says="enter 100",
        refused=entry(plan=FIXED, strategies=({"set_aside": 1},)),
        objects="enter 0 refused SET_ASIDE 1/0",
        guards=(gate("if strategy.set_aside != 0:"),),
        then="enter 100",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_rule_speaks_on_one_side_of_its_boundary_and_is_silent_on_the_other(name: str) -> None:
    case = CASES[name]
    assert decided(case.allowed).lines[-1] == case.says
    assert decided(case.refused).lines[-1] == case.objects


@pytest.fixture(scope="module")
def unguarded() -> dict[str, Any]:
    return without_guards(__file__)


@pytest.mark.parametrize("name", CASES)
def test_control_without_the_rule_it_goes_through(name: str, unguarded: dict[str, Any]) -> None:
    assert unguarded["all"][name] == CASES[name].then


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.by_gate])
def test_the_gate_refuses_what_sizing_let_through(name: str, unguarded: dict[str, Any]) -> None:
    assert unguarded["first"][name] == CASES[name].by_gate


def test_every_rule_has_a_unit_and_every_rule_of_an_entry_has_a_case() -> None:
    assert set(UNITS) == set(Rule)
    spoken = {case.objects.split()[-2] for case in CASES.values()}
    assert spoken == {rule.name for rule in Rule} - {"NONE"}


def test_no_rule_keeps_a_holding_in() -> None:
    # Halted by losses, set aside, no bar, and five positions: it still leaves by the clock.
    scene = Scene(
        plans=({"flat_from": 60},),
        book={"mode": TradingMode.HALTED, "cash": "1000"},
        strategies=({"set_aside": 1, "day_pnl": "-50000"},),
        holdings=tuple({"symbol": n} for n in range(6)),
        seen=({"present": 0},) * 6,
    )
    assert decided(scene).lines == ["protect 0 at 9.00", "exit 100 FLAT_BY"] * 6


@pytest.mark.parametrize(
    ("start", "cash", "holdings", "mode"),
    [
        (TradingMode.NORMAL, "94000.0001", 1, TradingMode.NORMAL),
        (TradingMode.NORMAL, "94000", 1, TradingMode.REDUCING_ONLY),
        (TradingMode.NORMAL, "95000", 0, TradingMode.HALTED),
        (TradingMode.REDUCING_ONLY, "100000", 1, TradingMode.REDUCING_ONLY),
        (TradingMode.REDUCING_ONLY, "100000", 0, TradingMode.HALTED),
        (TradingMode.HALTED, "100000", 1, TradingMode.HALTED),
    ],
)
def test_a_loss_first_reduces_then_halts_and_is_not_let_go_again(
    start: TradingMode, cash: str, holdings: int, mode: TradingMode
) -> None:
    scene = Scene(book={"mode": start, "cash": cash}, holdings=({},) * holdings)
    assert decided(scene).mode is mode


def test_the_drawdown_is_what_is_told_where_it_alone_is_over() -> None:
    # From 110,000 to 104,000: a fall of 6,000 (limit 5,500), while the day has gained 4,000.
    scene = entry(book={"cash": "104000", "peak_equity": "110000"})
    assert decided(scene).lines == ["enter 0 refused LOSS_LIMIT 60000000/55000000"]


if __name__ == "__main__":
    print(  # noqa: T201 (read by the controls above)
        json.dumps(
            {
                "all": {
                    name: decided(case.refused, decide_without(*case.guards)).lines[-1] for name, case in CASES.items()
                },
                "first": {
                    name: decided(case.refused, decide_without(case.guards[0])).lines[-1]
                    for name, case in CASES.items()
                    if case.by_gate
                },
            }
        )
    )
