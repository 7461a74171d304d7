"""Exit plans, run by the kernel: each rule from both sides of its boundary, and each taken out as its control.

Run as a script, uncompiled, this file prints what is decided without each guard.
"""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from trading_platform.domain.decisions import TradingMode
from trading_platform.domain.signals import ExitReason, TargetIn, TriggerOn
from trading_platform_tests.factories.guards import Guard, decide_without, without_guards
from trading_platform_tests.factories.minutes import Scene, Values, decided, put, records

HALVES: Values = {"legs": 2, "leg_fraction": (5000, 5000), "leg_target": (10_000, 20_000)}
PERCENT: Values = {"legs": 1, "leg_fraction": (5000,), "leg_target": (200,), "target_in": TargetIn.PERCENT}
QUARTER: Values = {"legs": 1, "leg_fraction": (2500,), "leg_target": (10_000,)}
BREAK_EVEN: Values = HALVES | {"breakeven_after": 1}
TRAIL: Values = HALVES | {"trail_level": 1, "trail_after": 1}
VWAP: Values = {"exit_mask": ExitReason.BELOW_VWAP | ExitReason.INVALIDATED}
TIME_STOP: Values = {"time_stop": 30, "time_stop_progress": 5000}
ON_CLOSE: Values = {"stop_on": TriggerOn.CLOSE}
ONE_LEG_TAKEN: Values = {"legs_done": 1, "quantity": 50, "resting_stop": 50}
# Filled at 10.10 on average, so that R is 1.10; and three shares for 30.01, so that R is 1.00333...
AT_10_10: Values = {"entry_cost": "1010"}
THREE: Values = {"quantity": 3, "entry_quantity": 3, "entry_cost": "30.01", "resting_stop": 3}
AT_ITS_STOP: Values = {"entry_cost": "900"}
BELOW_ITS_STOP: Values = {"entry_cost": "890"}


def held(
    plan: Values | None = None, holding: Values | None = None, *, seen: Values | None = None, **book: Any
) -> Scene:
    return Scene(plans=(plan or {},), holdings=(holding or {},), seen=(seen or {},), book=book)


def close(price: str, **more: Any) -> Values:
    return {"close": price, **more}


def exits(source: str, without: str) -> Guard:
    return Guard(module="portfolio.exits", source=source, without=without)


def kernel(source: str, without: str) -> Guard:
    return Guard(module="portfolio.kernel", source=source, without=without)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A boundary: nothing is decided in `before`, and `lines` in `reached`. Without the guard one of them differs."""

    before: Scene
    reached: Scene
    lines: list[str]
    guard: Guard


def out(cause: str) -> list[str]:
    return ["protect 0 at 9.00", f"exit 100 {cause}"]


R_MULTIPLE = exits("gain * BASIS_POINTS >= risk * multiple", "gain * BASIS_POINTS > risk * multiple")
AVERAGE_FILL = exits(
    "return position.entry_cost - position.stop * position.entry_quantity",
    "return (position.mark - position.stop) * position.entry_quantity",
)
BREAK_EVEN_GUARD = exits("if plan.breakeven_after >= 0 and", "if False and")
TRAIL_GUARD = exits("if plan.trail_level != 0 and position.legs_done >= plan.trail_after:", "if plan.trail_level != 0:")
TIME_STOP_GUARD = exits("minute - position.filled_minute >= plan.time_stop", "minute >= 0")
PROGRESS_GUARD = exits(
    "and not gain_reached(position.highest_close, plan.time_stop_progress, position, plan)", "and True"
)
STOP_GUARD = exits("plan.stop_on == _ON_CLOSE and", "False and")

CASES = {
    "a scale-out at 1 R": Case(
        before=held(HALVES, seen=close("10.9999")),
        reached=held(HALVES, seen=close("11.00")),
        lines=["protect 50 at 9.00", "exit 50 TARGET leg 1"],
        guard=R_MULTIPLE,
    ),
    "R is counted from the average fill": Case(
        before=held(HALVES, AT_10_10, seen=close("11.1999")),
        reached=held(HALVES, AT_10_10, seen=close("11.20")),
        lines=["protect 50 at 9.00", "exit 50 TARGET leg 1"],
        guard=AVERAGE_FILL,
    ),
    "R of an average that is no whole unit is not rounded": Case(
        before=held(HALVES, THREE, seen=close("11.0066")),
        reached=held(HALVES, THREE, seen=close("11.0067")),
        lines=["protect 2 at 9.00", "exit 1 TARGET leg 1"],
        guard=AVERAGE_FILL,
    ),
    "a scale-out in percent of the average fill": Case(
        before=held(PERCENT, AT_10_10, seen=close("10.3019")),
        reached=held(PERCENT, AT_10_10, seen=close("10.3020")),
        lines=["protect 50 at 9.00", "exit 50 TARGET leg 1"],
        guard=exits("if plan.target_in == _IN_R:", "if True:"),
    ),
    "percent is reached at a fill at the stop, R never": Case(
        before=held(HALVES, AT_ITS_STOP, seen=close("99.00")),
        reached=held(PERCENT, AT_ITS_STOP, seen=close("9.18")),
        lines=["protect 50 at 9.00", "exit 50 TARGET leg 1"],
        guard=exits("return risk > 0 and", "return"),
    ),
    "two targets in one minute": Case(
        before=held(HALVES, seen=close("10.99")),
        reached=held(HALVES, seen=close("12.00")),
        lines=["protect 0 at 9.00", "exit 50 TARGET leg 1", "exit 50 TARGET leg 2"],
        guard=kernel("position.legs_done += 1", "position.legs_done += 2"),
    ),
    "the last leg of the whole takes the rest": Case(
        before=held(
            HALVES,
            {"quantity": 51, "entry_quantity": 101, "entry_cost": "1010", "legs_done": 1} | {"resting_stop": 51},
            seen=close("11.99"),
        ),
        reached=held(
            HALVES,
            {"quantity": 51, "entry_quantity": 101, "entry_cost": "1010", "legs_done": 1} | {"resting_stop": 51},
            seen=close("12.00"),
        ),
        lines=["protect 0 at 9.00", "exit 51 TARGET leg 2"],
        guard=exits("if total >= BASIS_POINTS:", "if False:"),
    ),
    "a leg is rounded down": Case(
        before=held(
            QUARTER,
            {"quantity": 3, "entry_quantity": 7, "entry_cost": "70", "legs_done": 1} | {"resting_stop": 3},
            seen=close("99.00"),
        ),
        reached=held(
            QUARTER, {"quantity": 7, "entry_quantity": 7, "entry_cost": "70", "resting_stop": 7}, seen=close("11.00")
        ),
        lines=["protect 6 at 9.00", "exit 1 TARGET leg 1"],
        guard=kernel("and position.legs_done < plan.legs", "and position.legs_done < 4"),
    ),
    "one share is sold by the first leg": Case(
        before=held(
            HALVES, {"quantity": 1, "entry_quantity": 1, "entry_cost": "10", "resting_stop": 1}, seen=close("10.99")
        ),
        reached=held(
            HALVES, {"quantity": 1, "entry_quantity": 1, "entry_cost": "10", "resting_stop": 1}, seen=close("12.00")
        ),
        lines=["protect 0 at 9.00", "exit 1 TARGET leg 1"],
        guard=exits("max(1, share_down(", "max(0, share_down("),
    ),
    "break-even after one leg": Case(
        before=held(BREAK_EVEN, ONE_LEG_TAKEN, seen=close("10.0001")),
        reached=held(BREAK_EVEN, ONE_LEG_TAKEN, seen=close("10.00")),
        lines=["protect 0 at 9.00", "exit 50 BREAK_EVEN"],
        guard=BREAK_EVEN_GUARD,
    ),
    "break-even not before its leg": Case(
        before=held(BREAK_EVEN, seen=close("9.99")),
        reached=held(BREAK_EVEN | {"breakeven_after": 0}, seen=close("9.99")),
        lines=out("BREAK_EVEN"),
        guard=exits("position.legs_done >= plan.breakeven_after", "True"),
    ),
    "no break-even": Case(
        before=held(HALVES, ONE_LEG_TAKEN, seen=close("9.99")),
        reached=held(BREAK_EVEN, ONE_LEG_TAKEN, seen=close("9.99")),
        lines=["protect 0 at 9.00", "exit 50 BREAK_EVEN"],
        guard=exits("if plan.breakeven_after >= 0 and", "if"),
    ),
    "the trail": Case(
        before=held(TRAIL, ONE_LEG_TAKEN, seen=close("10.50", level1=10.5, level2=99.0)),
        reached=held(TRAIL, ONE_LEG_TAKEN, seen=close("10.4999", level1=10.5)),
        lines=["protect 0 at 9.00", "exit 50 TRAIL"],
        guard=exits("level = seen.level1 if plan.trail_level == 1 else seen.level2", "level = seen.level2"),
    ),
    "the trail on the second level": Case(
        before=held(TRAIL | {"trail_level": 2}, ONE_LEG_TAKEN, seen=close("10.50", level1=99.0, level2=10.5)),
        reached=held(TRAIL | {"trail_level": 2}, ONE_LEG_TAKEN, seen=close("10.4999", level2=10.5)),
        lines=["protect 0 at 9.00", "exit 50 TRAIL"],
        guard=exits("level = seen.level1 if plan.trail_level == 1 else seen.level2", "level = seen.level1"),
    ),
    "the trail not before its leg": Case(
        before=held(TRAIL, seen=close("10.49", level1=10.5)),
        reached=held(TRAIL | {"trail_after": 0}, seen=close("10.49", level1=10.5)),
        lines=out("TRAIL"),
        guard=TRAIL_GUARD,
    ),
    "a level that is not known yet trails nothing": Case(
        before=held(TRAIL, ONE_LEG_TAKEN, seen=close("10.49", level1=float("nan"))),
        reached=held(TRAIL, ONE_LEG_TAKEN, seen=close("10.49", level1=10.5)),
        lines=["protect 0 at 9.00", "exit 50 TRAIL"],
        guard=exits("if float_from_price(seen.close) < level:", "if not float_from_price(seen.close) >= level:"),
    ),
    "an exit reason of the step": Case(
        before=held({"exit_mask": ExitReason.REVERSAL}, seen={"exit": ExitReason.BELOW_VWAP}),
        reached=held(VWAP, seen={"exit": ExitReason.BELOW_VWAP}),
        lines=out("STEP"),
        guard=exits("reasons = seen.exit & plan.exit_mask", "reasons = seen.exit"),
    ),
    "the invalidation of its own set-up": Case(
        before=held(VWAP, seen={"exit": ExitReason.INVALIDATED, "invalidates": 2}),
        reached=held(VWAP, seen={"exit": ExitReason.INVALIDATED, "invalidates": 1}),
        lines=out("STEP"),
        guard=exits("if reasons & _INVALIDATED and seen.invalidates != position.setup:", "if False:"),
    ),
    "another set-up's invalidation hides no other reason": Case(
        before=held(VWAP, seen={"exit": ExitReason.INVALIDATED, "invalidates": 2}),
        reached=held(VWAP, seen={"exit": ExitReason.INVALIDATED | ExitReason.BELOW_VWAP, "invalidates": 2}),
        lines=out("STEP"),
        guard=exits("reasons -= _INVALIDATED", "reasons = 0"),
    ),
    "the time stop at its minute": Case(
        before=held(TIME_STOP, minute=59),
        reached=held(TIME_STOP, minute=60),
        lines=out("TIME_STOP"),
        guard=TIME_STOP_GUARD,
    ),
    "the time stop without progress": Case(
        before=held(TIME_STOP, {"highest_close": "10.50"}),
        reached=held(TIME_STOP, {"highest_close": "10.4999"}),
        lines=out("TIME_STOP"),
        guard=PROGRESS_GUARD,
    ),
    "the decided bar's close is progress": Case(
        before=held(TIME_STOP, seen=close("10.50")),
        reached=held(TIME_STOP, seen=close("10.4999")),
        lines=out("TIME_STOP"),
        guard=kernel(
            "position.highest_close = max(position.highest_close, seen.close)",
            "position.highest_close = position.highest_close",
        ),
    ),
    "the time stop of a fill below its stop": Case(
        before=held(TIME_STOP, BELOW_ITS_STOP | {"highest_close": "99.00"}, minute=59),
        reached=held(TIME_STOP, BELOW_ITS_STOP | {"highest_close": "99.00"}),
        lines=out("TIME_STOP"),
        guard=exits("return risk > 0 and", "return"),
    ),
    "no time stop": Case(
        before=held(holding={"highest_close": 0}, seen=close("9.90"), minute=387),
        reached=held(TIME_STOP, {"highest_close": 0}, seen=close("9.90"), minute=387),
        lines=out("TIME_STOP"),
        guard=exits("plan.time_stop > 0\n", "True\n"),
    ),
    "flat by its minute": Case(
        before=held({"flat_from": 61}),
        reached=held({"flat_from": 60}),
        lines=out("FLAT_BY"),
        guard=exits("if minute >= plan.flat_from:", "if minute > plan.flat_from:"),
    ),
    "flat by its minute, without a bar": Case(
        before=held({"flat_from": 61}, seen={"present": 0}),
        reached=held({"flat_from": 60}, seen={"present": 0}),
        lines=out("FLAT_BY"),
        guard=kernel(
            "cause = cause_by_clock(book.minute, position, plan)",
            "cause = cause_by_clock(book.minute, position, plan) if seen.present != 0 else 0",
        ),
    ),
    "what a minute without a bar would have shown": Case(
        before=held(VWAP | HALVES, seen=close("12.00", present=0, exit=ExitReason.BELOW_VWAP)),
        reached=held(VWAP | HALVES, seen=close("12.00", exit=ExitReason.BELOW_VWAP)),
        lines=out("STEP"),
        guard=kernel("if cause == 0 and seen.present != 0:", "if cause == 0:"),
    ),
    "a target that a minute without a bar would have shown": Case(
        before=held(HALVES, seen=close("11.00", present=0)),
        reached=held(HALVES, seen=close("11.00")),
        lines=["protect 50 at 9.00", "exit 50 TARGET leg 1"],
        guard=kernel("        seen.present != 0\n        and left > 0", "        left > 0"),
    ),
    "a stop on the close": Case(
        before=held(ON_CLOSE, seen=close("9.0001")),
        reached=held(ON_CLOSE, seen=close("9.00")),
        lines=["exit 100 STOP"],
        guard=STOP_GUARD,
    ),
    "a stop on the close after a fill below it": Case(
        before=held(ON_CLOSE, BELOW_ITS_STOP, seen=close("9.0001")),
        reached=held(ON_CLOSE, BELOW_ITS_STOP, seen=close("9.00")),
        lines=["exit 100 STOP"],
        guard=STOP_GUARD,
    ),
    "a stop in percent of the average fill": Case(
        before=held(ON_CLOSE | {"stop_percent": 500}, AT_10_10, seen=close("9.5951")),
        reached=held(ON_CLOSE | {"stop_percent": 500}, AT_10_10, seen=close("9.5950")),
        lines=["exit 100 STOP"],
        guard=exits("if plan.stop_percent > 0:", "if False:"),
    ),
    "a stop that rests is not acted on": Case(
        before=held(seen=close("5.00")),
        reached=held(ON_CLOSE, seen=close("5.00")),
        lines=["exit 100 STOP"],
        guard=exits("plan.stop_on == _ON_CLOSE and", "True and"),
    ),
    "the resting stop is restored": Case(
        before=held(),
        reached=held(holding={"resting_stop": 60}),
        lines=["protect 100 at 9.00"],
        guard=kernel("(position.resting_stop < protected and position.stop > 0)", "False"),
    ),
    "a resting stop of too much": Case(
        before=held(),
        reached=held(holding={"resting_stop": 101}),
        lines=["protect 100 at 9.00"],
        guard=kernel("misfits = position.resting_stop > protected or", "misfits ="),
    ),
    "a stop that outlived its position": Case(
        before=held(holding={"quantity": 0, "resting_stop": 0, "stop": 0, "exiting": 1}),
        reached=held(holding={"quantity": 0, "resting_stop": 100, "stop": 0}),
        lines=["protect 0"],
        guard=kernel("misfits = position.resting_stop > protected or", "misfits = position.stop > 0 and"),
    ),
    "more on its way out than is held": Case(
        before=held(holding={"quantity": 50, "resting_stop": 0, "exiting": 100}),
        reached=held(holding={"quantity": 50, "resting_stop": 50, "exiting": 100}),
        lines=["protect 0 at 9.00"],
        guard=kernel(
            "protected = max(0, position.quantity - position.exiting)",
            "protected = position.quantity - position.exiting",
        ),
    ),
    "stops on the close rest nowhere": Case(
        before=held(ON_CLOSE, {"resting_stop": 0}),
        reached=held(holding={"resting_stop": 0}),
        lines=["protect 100 at 9.00"],
        guard=kernel("protects = plan.stop_on == _ON_TOUCH and misfits", "protects = misfits"),
    ),
    "the rest of an entry after its last bar": Case(
        before=held(holding={"entering": 40, "valid_until": 61}),
        reached=held(holding={"entering": 40, "valid_until": 60}),
        lines=["cancel_entry 40"],
        guard=kernel("or book.minute >= position.valid_until", ""),
    ),
    "the rest of an entry when the account only reduces": Case(
        before=held(holding={"entering": 40, "valid_until": 61}),
        reached=held(holding={"entering": 40, "valid_until": 61}, mode=TradingMode.REDUCING_ONLY),
        lines=["cancel_entry 40"],
        guard=kernel("or book.mode != _NORMAL", ""),
    ),
    "the rest of an entry when the holding leaves": Case(
        before=held({"flat_from": 61}, {"entering": 40, "valid_until": 99}),
        reached=held({"flat_from": 60}, {"entering": 40, "valid_until": 99}),
        lines=["cancel_entry 40", "protect 0 at 9.00", "exit 100 FLAT_BY"],
        guard=kernel("leaving = exits > 0 or", "leaving ="),
    ),
    "what is on its way out already is not sold again": Case(
        before=held({"flat_from": 60}, {"exiting": 100, "resting_stop": 0}),
        reached=held({"flat_from": 60}, {"exiting": 30, "resting_stop": 70}),
        lines=["protect 0 at 9.00", "exit 70 FLAT_BY"],
        guard=Guard(
            module="risk.rules", source="max(0, min(wanted, held - exiting))", without="max(0, min(wanted, held) - 1)"
        ),
    ),
    "the session's last tick": Case(
        before=held({"flat_from": 300}, {"resting_stop": 0, "entering": 1}, minute=389),
        reached=held({"flat_from": 300}, minute=388),
        lines=out("FLAT_BY"),
        guard=kernel("listed(book) if minutes_to_close(book) > 0 else 0", "listed(book)"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_an_exit_is_decided_from_its_boundary_on(name: str) -> None:
    case = CASES[name]
    assert decided(case.before).lines == []
    assert decided(case.reached).lines == case.lines


@pytest.fixture(scope="module")
def unguarded() -> dict[str, Any]:
    return without_guards(__file__)


@pytest.mark.parametrize("name", CASES)
def test_control_without_the_guard_something_else_is_decided(name: str, unguarded: dict[str, Any]) -> None:
    assert unguarded[name] != [[], CASES[name].lines]


def test_the_clock_speaks_before_the_bar_and_the_stop_before_the_targets() -> None:
    plan = HALVES | VWAP | {"stop_percent": 500, "stop_on": TriggerOn.CLOSE}
    below = close("9.50", exit=ExitReason.BELOW_VWAP)
    assert decided(held(plan | {"flat_from": 60}, seen=below)).lines == ["exit 100 FLAT_BY"]
    assert decided(held(plan, seen=below)).lines == ["exit 100 STOP"]
    assert decided(held(plan, seen=close("12.00", exit=ExitReason.BELOW_VWAP))).lines == ["exit 100 STEP"]


def test_a_plan_is_run_over_its_minutes_and_each_exit_is_decided_once() -> None:
    """Half at 2 R, then break-even, and the rest trails; the caller keeps the records and books what fills."""
    plan = {"legs": 1, "leg_fraction": (5000,), "leg_target": (20_000,), "breakeven_after": 1}
    scene = records(
        held(
            plan | {"trail_level": 2, "trail_after": 1},
            {"quantity": 101, "entry_quantity": 101} | {"entry_cost": "1010", "resting_stop": 101},
        )
    )
    tape = """
        11.99 under 11.50:
        12.00 under 11.60: protect 51 at 9.00, exit 50 TARGET leg 1
        12.10 under 11.70:
        11.80 under 11.80:
        11.79 under 11.80: protect 0 at 9.00, exit 51 TRAIL
        11.00 under 11.70:
    """
    position, book = scene.positions[0], scene.book[0]
    for text in tape.strip().splitlines():
        told, _, expected = text.strip().partition(":")
        price, _, level = told.split()
        put(scene.seen[0], {"close": price, "level2": float(level)})
        assert ", ".join(scene.decide().lines) == expected.strip(), text
        book["cash"] += position["exiting"] * 120_000
        position["quantity"] -= position["exiting"]
        position["exiting"] = 0
        book["minute"] += 1
    assert position["quantity"] == 0


def test_an_exit_that_has_not_filled_is_not_decided_again() -> None:
    scene = records(held(HALVES, seen=close("11.00")))
    assert scene.decide().lines == ["protect 50 at 9.00", "exit 50 TARGET leg 1"]
    assert scene.decide().lines == []


if __name__ == "__main__":
    print(  # noqa: T201 (read by the controls above)
        json.dumps(
            {
                name: [decided(scene, decide_without(case.guard)).lines for scene in (case.before, case.reached)]
                for name, case in CASES.items()
            }
        )
    )
