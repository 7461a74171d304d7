"""What holds for whatever the kernel is given: its own bits, caps, sales, losses and modes.

Run as a script, this file prints digests of what random minutes decided: of the whole kernel, and, where it runs
uncompiled, of the kernel with a guard taken out, which must be seen to differ.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading_platform.domain.compiled import UNCOMPILED, empty_records
from trading_platform.domain.decisions import DecisionKind, ExitCause, OrderShape, Rule, TradingMode, Verdict
from trading_platform.domain.records import book_t, entry_t, limits_t, plan_t, position_t, seen_t, strategy_t
from trading_platform.portfolio.kernel import decide as kernel_decide
from trading_platform.portfolio.legs import leg_shares, orders_of
from trading_platform_tests.factories.guards import Guard, decide_without
from trading_platform_tests.factories.minutes import SHAPES, Decide, Decided, Records

SYMBOLS: Final = 5
SCENES: Final = 400
MINUTE: Final = 200
NOW: Final = 1_381_337_460
_CENT: Final = 100

seeds = st.integers(0, 2**32 - 1)

GUARDS = {
    "only reduces": Guard(module="risk.rules", source="max(0, min(wanted, held - exiting))", without="wanted"),
    "order size": Guard(
        module="portfolio.sizing", source="cap = shares_by_order_size(price, limits)", without="cap = quantity"
    ),
    "at least one share": Guard(module="portfolio.exits", source="max(1, share_down(", without="max(0, share_down("),
    "loss": Guard(module="portfolio.kernel", source="book.mode = mode_by_losses(book, book.limits)", without="pass"),
    "progress": Guard(module="portfolio.exits", source="return risk > 0 and", without="return"),
    "exposure": Guard(module="portfolio.kernel", source="book.gross += position.entry_reserved", without="pass"),
    "half a tick": Guard(
        module="portfolio.exits",
        source="if float_from_price(seen.close) < level:",
        without="if float_from_price(seen.close) <= level:",
    ),
}


def whole(rng: np.random.Generator, low: int, high: int) -> int:
    """A whole number in [low, high]."""
    return int(rng.integers(low, high + 1))


def plans_and_days(rng: np.random.Generator, count: int) -> tuple[Any, Any]:
    plans, days = empty_records(count, plan_t), empty_records(count, strategy_t)
    for plan, day in zip(plans, days, strict=True):
        plan["stop_on"] = whole(rng, 1, 2)
        plan["stop_percent"] = whole(rng, 0, 1) * whole(rng, 1, 800) if plan["stop_on"] == 2 else 0
        plan["legs"] = whole(rng, 0, 4)
        shares = rng.multinomial(10_000 if rng.random() < 0.7 else 8_000, [0.25] * 4)
        plan["leg_fraction"] = shares if plan["legs"] == 4 else [10_000 // max(1, int(plan["legs"]))] * 4
        plan["target_in"] = whole(rng, 1, 2)
        plan["leg_target"] = np.cumsum(rng.integers(1, 4_000 if plan["target_in"] == 1 else 200, 4))
        plan["target_on"] = 1 if plan["stop_on"] == 1 and rng.random() < 0.5 else 2
        plan["breakeven_after"] = whole(rng, -1, int(plan["legs"]))
        plan["trail_level"], plan["trail_after"] = whole(rng, 0, 2), whole(rng, 0, int(plan["legs"]))
        plan["exit_mask"] = whole(rng, 0, 15)
        plan["time_stop"], plan["time_stop_progress"] = whole(rng, 0, 1) * 60, whole(rng, 0, 8_000)
        plan["flat_from"] = MINUTE if rng.random() < 0.1 else 388
        plan["attempts"] = whole(rng, 0, 2)
        plan["fixed_quantity"] = whole(rng, 0, 1) * (100 if rng.random() < 0.6 else whole(rng, 1, 3_000))
        plan["risk"] = 50 if rng.random() < 0.4 else whole(rng, 1, 200)
        day["day_pnl"] = whole(rng, -12_000_000, 12_000_000)
        day["set_aside"] = int(rng.random() < 0.05)
        day["orders"] = whole(rng, 90, 105) if rng.random() < 0.1 else whole(rng, 0, 50)
    return plans, days


def holding(rng: np.random.Generator, position: Any, seen: Any, strategy: int, symbol: int) -> None:
    """What may stand there after any history: partly filled, partly sold, its stops out of step."""
    price = whole(rng, 500, 5_000) * _CENT
    entered = whole(rng, 1, 300) if rng.random() < 0.8 else whole(rng, 1, 3)
    held = entered if rng.random() < 0.6 else whole(rng, 0, entered)
    position["strategy"], position["symbol"] = strategy, symbol
    position["quantity"], position["entry_quantity"] = held, entered
    position["entry_cost"] = entered * price + whole(rng, 0, entered)
    position["stop"] = 0 if rng.random() < 0.1 else price - whole(rng, -3, 60) * _CENT
    position["exiting"] = 0 if rng.random() < 0.7 else whole(rng, 0, held + 5)
    left = max(0, held - int(position["exiting"]))
    position["resting_stop"] = left if rng.random() < 0.7 else whole(rng, 0, 300)
    position["entering"] = 0 if rng.random() < 0.6 else whole(rng, 1, 300)
    position["filled_minute"], position["valid_until"] = MINUTE - whole(rng, 0, 120), MINUTE + whole(rng, -5, 5)
    position["legs_done"] = whole(rng, 0, 2)
    position["setup"] = whole(rng, 1, 3)
    close = price + whole(rng, -100, 200) * _CENT
    position["highest_close"] = max(close, price) if rng.random() < 0.5 else 0
    position["mark"] = close
    position["entry_limit"] = whole(rng, 0, 1) * price
    position["ordered"], position["entered_at"] = entered, NOW - whole(rng, 0, 70 * 60)
    position["entry_orders"] = int(position["entering"] > 0)
    position["exit_orders"] = int(position["exiting"] > 0)
    position["stop_orders"] = whole(rng, 1, 3) if position["resting_stop"] else 0
    if rng.random() < 0.6:
        position["target_orders"], position["target"] = whole(rng, 1, 3), price + whole(rng, -5, 60) * _CENT
        position["resting_target"] = whole(rng, 1, 300)
    position["withheld"] = int(rng.random() < 0.05)
    if position["entering"] and rng.random() < 0.1:
        position["unprotected"] = whole(rng, 1, 300)
    seen["present"] = int(rng.random() < 0.85)
    seen["close"] = close
    seen["exit"] = whole(rng, 0, 15) if rng.random() < 0.3 else 0
    seen["invalidates"] = whole(rng, 1, 3)
    seen["level1"] = np.nan if rng.random() < 0.1 else (close + whole(rng, -3, 3) * _CENT) / 10_000
    seen["level2"] = close / 10_000


def proposal(rng: np.random.Generator, entry: Any, strategies: int) -> None:
    price = whole(rng, 500, 5_000) * _CENT
    entry["strategy"], entry["symbol"] = whole(rng, 0, strategies - 1), whole(rng, 0, SYMBOLS - 1)
    entry["price"] = 0 if rng.random() < 0.02 else price
    entry["age"] = 0 if rng.random() < 0.8 else whole(rng, -1, 120)
    entry["limit"] = 0 if rng.random() < 0.6 else price - whole(rng, -5, 20) * _CENT
    entry["stop"] = 0 if rng.random() < 0.1 else price - whole(rng, -10, 120) * _CENT
    entry["valid_bars"], entry["setup"] = whole(rng, 0, 5), whole(rng, 1, 3)
    entry["attempts"], entry["frozen"] = whole(rng, 0, 3) // 2, int(rng.random() < 0.05)
    entry["barred"], entry["disabled"] = whole(rng, 1, 2) * int(rng.random() < 0.05), int(rng.random() < 0.02)
    entry["entered"] = 10 if rng.random() < 0.02 else whole(rng, 0, 9)
    entry["average_volume"] = 0 if rng.random() < 0.02 else whole(rng, 10_000, 1_000_000)
    entry["bar_volume"] = 0 if rng.random() < 0.02 else whole(rng, 1_000, 100_000)
    if rng.random() < 0.04:
        entry["limit"] = price + whole(rng, 0, 1) * price // 4 // _CENT * _CENT + _CENT // 2


def minute(seed: int) -> Records:
    """One random minute of a random account."""
    rng = np.random.default_rng(seed)
    strategies = whole(rng, 1, 3)
    plans, days = plans_and_days(rng, strategies)
    keys = [(strategy, symbol) for strategy in range(strategies) for symbol in range(SYMBOLS)]
    taken = sorted(rng.choice(len(keys), size=whole(rng, 0, 4), replace=False))
    wanted = whole(rng, 0, 6)
    positions, seen = empty_records(len(taken) + wanted, position_t), empty_records(len(taken), seen_t)
    for place, key in enumerate(taken):
        holding(rng, positions[place], seen[place], *keys[key])
    entries = empty_records(wanted, entry_t)
    for place, entry in enumerate(entries):
        proposal(rng, entry, strategies)
        if place and rng.random() < 0.5:
            # What another strategy has just asked for.
            asked = entries[place - 1]
            for name in ("symbol", "price", "limit", "stop"):
                entry[name] = asked[name]
            entry["strategy"] = (asked["strategy"] + 1) % strategies
    book, limits = empty_records(1, book_t), empty_records(1, limits_t)
    row = book[0]
    row["minute"], row["now"] = MINUTE if rng.random() < 0.9 else whole(rng, 370, 389), NOW
    busy = rng.random() < 0.1
    row["orders_second"] = whole(rng, 3, 19) if busy else 0
    row["orders_minute"], row["orders_day"] = whole(rng, 0, 31 if busy else 9), whole(rng, 0, 210 if busy else 180)
    row["open_orders"] = whole(rng, 0, 24 if busy else 12)
    row["clock_skew"] = 501 if rng.random() < 0.02 else whole(rng, 0, 500)
    row["session_minutes"], row["holdings"] = 390, len(taken)
    row["cash"] = whole(rng, 1_000, 200_000) * 10_000
    worth = int(row["cash"]) + sum(int(one["quantity"] * one["mark"]) for one in positions)
    row["open_equity"] = worth + whole(rng, -8, 4) * worth // 100
    row["peak_equity"] = max(int(row["open_equity"]), worth + whole(rng, 0, 6) * worth // 100)
    row["mode"] = whole(rng, 0, 2) if rng.random() < 0.2 else 0
    limit = limits[0]
    limit["reference_age"], limit["closing_minutes"], limit["positions"] = 90, 15, whole(rng, 3, 8)
    limit["order_shares"], limit["order_notional"] = whole(rng, 100, 5_000), whole(rng, 5_000, 50_000) * 10_000
    limit["position_size"], limit["buying_power"] = whole(rng, 100, 5_000), whole(rng, 100, 4_000)
    limit["daily_loss"], limit["strategy_daily_loss"], limit["drawdown"] = 500, 100, 500
    limit["lot"] = (1, 1, 10, 100, 500)[whole(rng, 0, 4)]
    limit["collar"], limit["collar_mid"], limit["collar_low"] = 500, 1_000, 2_000
    limit["day_volume"], limit["minute_volume"] = 100, 1_000
    limit["gross"], limit["net"], limit["leverage"] = whole(rng, 1_000, 10_000), whole(rng, 1_000, 10_000), 10_000
    limit["orders_second"], limit["orders_minute"], limit["orders_day"] = 20, 30, 210
    limit["strategy_orders_day"], limit["duplicate_window"], limit["entries_day"] = 105, 1_800, 10
    limit["open_orders"], limit["side_orders"], limit["order_age"], limit["clock_skew"] = 25, 4, 60, 500
    limit["shapes"] = SHAPES if rng.random() < 0.1 else SHAPES | OrderShape.BRACKET
    return Records(
        book=book, positions=positions, seen=seen, entries=entries, plans=plans, strategies=days, limits=limits
    )


def digest(decide: Decide) -> str:
    """A digest of every decision and every record that was written, over many minutes."""
    told = hashlib.sha256()
    for seed in range(SCENES):
        scene = minute(seed)
        decided = scene.decide(decide)
        for array in (decided.decisions, scene.positions, scene.book):
            told.update(array.tobytes())
    return told.hexdigest()


# ---- its own bits -------------------------------------------------------------------------------------------------


def digests_elsewhere(*, uncompiled: bool) -> dict[str, Any]:
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1" if uncompiled else "0", "PYTHONPATH": str(root)}
    run = subprocess.run([sys.executable, __file__], check=False, capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr
    told: dict[str, Any] = json.loads(run.stdout)
    return told


@pytest.fixture(scope="module")
def uncompiled() -> dict[str, Any]:
    return digests_elsewhere(uncompiled=True)


def test_compiled_and_uncompiled_decide_the_same_bits(uncompiled: dict[str, Any]) -> None:
    assert digests_elsewhere(uncompiled=False) == {"whole": uncompiled["whole"]}


@pytest.mark.parametrize("name", GUARDS)
def test_control_a_kernel_that_is_changed_a_little_gives_other_bits(name: str, uncompiled: dict[str, Any]) -> None:
    assert uncompiled[name] != uncompiled["whole"]


def test_the_same_minute_is_decided_the_same_way_twice() -> None:
    assert digest(kernel_decide) == digest(kernel_decide)


def test_the_random_minutes_show_the_kernel_all_that_it_can_say() -> None:
    told: Counter[Any] = Counter()

    def count(*said: Any) -> None:
        # As text: members of two enumerations that have the same number are equal.
        told.update([repr(one) for one in said])

    for seed in range(2_000):
        decided = minute(seed).decide()
        count(decided.mode)
        for one in decided.decisions:
            kind = DecisionKind(int(one["kind"]))
            count(kind, (kind, Verdict(int(one["verdict"]))), Rule(int(one["rule"])))
            if kind is DecisionKind.EXIT:
                count(ExitCause(int(one["reason"])))
            if kind is DecisionKind.CANCEL_ENTRY:
                count((kind, Rule(int(one["rule"]))))
    expected = [*DecisionKind, *Rule, *ExitCause, *TradingMode, *((DecisionKind.ENTER, verdict) for verdict in Verdict)]
    expected += [(DecisionKind.CANCEL_ENTRY, rule) for rule in (Rule.NONE, Rule.SELF_TRADE, Rule.OPEN_ORDERS)]
    assert [one for one in expected if told[repr(one)] < 10] == []


# ---- what always holds --------------------------------------------------------------------------------------------


def of_kind(decided: Decided, *kinds: DecisionKind) -> list[Any]:
    return [one for one in decided.decisions if one["kind"] in kinds]


def copies(scene: Records) -> tuple[Any, Any]:
    return scene.book.copy(), scene.positions.copy()


def check_sales(seed: int, decide: Decide = kernel_decide) -> None:
    scene = minute(seed)
    book, before = copies(scene)
    sold: Counter[tuple[int, int]] = Counter()
    for one in of_kind(scene.decide(decide), DecisionKind.EXIT):
        assert one["quantity"] > 0
        sold[int(one["strategy"]), int(one["symbol"])] += int(one["quantity"])
    for one in before[: book[0]["holdings"]]:
        key = int(one["strategy"]), int(one["symbol"])
        assert sold.pop(key, 0) <= max(0, int(one["quantity"] - one["exiting"]))
    assert not sold


@settings(deadline=None, max_examples=300)
@given(seeds)
def test_never_more_is_sold_than_is_held_and_not_yet_on_its_way(seed: int) -> None:
    check_sales(seed)


def check_stops(seed: int, decide: Decide = kernel_decide) -> None:
    scene = minute(seed)
    book, before = copies(scene)
    decided = scene.decide(decide)
    if book[0]["minute"] == 389:
        assert not of_kind(decided, DecisionKind.EXIT, DecisionKind.PROTECT, DecisionKind.CANCEL_ENTRY)
        return
    protected = {
        (int(one["strategy"]), int(one["symbol"])): int(one["quantity"])
        for one in of_kind(decided, DecisionKind.PROTECT)
    }
    leaving: Counter[tuple[int, int]] = Counter()
    for one in of_kind(decided, DecisionKind.EXIT):
        leaving[int(one["strategy"]), int(one["symbol"])] += int(one["quantity"])
    for one in before[: book[0]["holdings"]]:
        key = int(one["strategy"]), int(one["symbol"])
        if scene.plans[one["strategy"]]["stop_on"] == 1:
            stays = max(0, int(one["quantity"] - one["exiting"]) - leaving[key])
            resting = protected.get(key, int(one["resting_stop"]))
            if one["unprotected"] and one["entering"]:
                # The cancel puts up what is missing; the exit of the same minute is held back.
                assert resting <= stays + leaving[key]
                assert any(int(other["symbol"]) == key[1] for other in of_kind(decided, DecisionKind.CANCEL_ENTRY))
                continue
            assert resting <= stays
            assert resting == stays or one["stop"] <= 0


@settings(deadline=None, max_examples=300)
@given(seeds)
def test_stops_never_protect_more_than_stays(seed: int) -> None:
    check_stops(seed)


def check_caps(seed: int, decide: Decide = kernel_decide) -> None:
    scene = minute(seed)
    book, before = copies(scene)
    limit, held = scene.limits[0], int(book[0]["holdings"])
    decided = scene.decide(decide)
    equity, cash = int(decided.book["equity"]), int(book[0]["cash"])
    reserved = sum(int(one["entering"] * (one["entry_limit"] or one["mark"])) for one in before[:held])
    at_symbol: Counter[int] = Counter()
    for one in before[:held]:
        at_symbol[int(one["symbol"])] += int(one["entering"] * (one["entry_limit"] or one["mark"]))
    slots = held
    worth = reserved + sum(int(one["quantity"] * one["mark"]) for one in before[:held])
    for one in of_kind(decided, DecisionKind.ENTER):
        quantity, price = int(one["quantity"]), int(one["limit_price"] or one["price"])
        if one["verdict"] == Verdict.REFUSED:
            assert quantity == 0
            continue
        symbol = int(one["symbol"])
        shares = sum(int(other["quantity"]) for other in before[:held] if other["symbol"] == symbol)
        slots += 1
        # The last order that may be sent leaves the account only reducing.
        assert decided.mode is TradingMode.NORMAL or decided.book["orders_day"] >= limit["orders_day"]
        assert 390 - book[0]["minute"] - 1 > limit["closing_minutes"]
        assert slots <= limit["positions"]
        assert quantity >= limit["lot"]
        assert quantity % limit["lot"] == 0
        assert quantity <= limit["order_shares"]
        assert quantity * price <= limit["order_notional"]
        assert (shares + quantity) * price + at_symbol[symbol] <= equity * int(limit["position_size"]) // 10_000
        assert quantity * price <= (cash - reserved) * int(limit["buying_power"]) // 10_000
        reserved += quantity * price
        at_symbol[symbol] += quantity * price
        worth += quantity * price
        bars = scene.entries[(scene.entries["strategy"] == one["strategy"]) & (scene.entries["symbol"] == symbol)]
        assert quantity <= max(int(bar["average_volume"]) for bar in bars) * int(limit["day_volume"]) // 10_000
        assert quantity <= max(int(bar["bar_volume"]) for bar in bars) * int(limit["minute_volume"]) // 10_000
        assert worth <= equity * int(min(limit["gross"], limit["net"], limit["leverage"])) // 10_000
    assert decided.book["gross"] == decided.book["net"] == worth
    assert decided.book["reserved"] == reserved
    assert decided.book["holdings"] == slots


@settings(deadline=None, max_examples=300)
@given(seeds)
def test_an_entry_that_is_let_in_exceeds_no_cap(seed: int) -> None:
    check_caps(seed)


def check_order_rates(seed: int, decide: Decide = kernel_decide) -> None:
    scene = minute(seed)
    book, limit = scene.book[0].copy(), scene.limits[0]
    decided = scene.decide(decide)
    let_in = [one for one in of_kind(decided, DecisionKind.ENTER) if one["verdict"] != Verdict.REFUSED]
    others = len(of_kind(decided, DecisionKind.EXIT, DecisionKind.CANCEL_ENTRY, DecisionKind.PROTECT))
    lot = int(limit["lot"])
    legs = [int(orders_of(one["quantity"], scene.plans[one["strategy"]], lot)) for one in let_in]
    if let_in:
        sent = sum(legs) + others
        assert book["orders_second"] + sent <= limit["orders_second"]
        assert book["orders_minute"] + sent <= limit["orders_minute"]
        assert book["orders_day"] + sent <= limit["orders_day"]
        assert decided.book["open_orders"] <= limit["open_orders"]
    assert decided.book["orders_day"] >= book["orders_day"] + sum(legs) + others
    assert (decided.mode is not TradingMode.NORMAL) or decided.book["orders_day"] < limit["orders_day"]


@settings(deadline=None, max_examples=300)
@given(seeds)
def test_no_entry_is_let_in_over_a_rate_of_orders_with_all_that_its_minute_sends(seed: int) -> None:
    check_order_rates(seed)


def check_crossing(seed: int, decide: Decide = kernel_decide) -> None:
    scene = minute(seed)
    decided = scene.decide(decide)
    if int(decided.book["minute"]) == 389:
        return
    for buyer in decided.positions:
        if buyer["entering"] == 0 or buyer["cancelled"]:
            continue
        price = int(buyer["entry_limit"] or buyer["mark"])
        for seller in decided.positions:
            if seller["symbol"] == buyer["symbol"] and seller["strategy"] != buyer["strategy"]:
                assert seller["exiting"] == 0
                assert seller["resting_stop"] == 0 or seller["stop"] < price
                assert seller["resting_target"] == 0 or seller["target"] > price or seller["target_orders"] == 0


@settings(deadline=None, max_examples=300)
@given(seeds)
def test_no_entry_is_left_working_that_a_sale_of_our_own_could_meet(seed: int) -> None:
    check_crossing(seed)


def check_legs(seed: int, decide: Decide = kernel_decide) -> None:
    scene = minute(seed)
    lot = int(scene.limits[0]["lot"])
    for one in of_kind(scene.decide(decide), DecisionKind.ENTER):
        plan, quantity = scene.plans[one["strategy"]], int(one["quantity"])
        if one["verdict"] == Verdict.REFUSED:
            continue
        shares = [int(leg_shares(leg, quantity, plan, lot)) for leg in range(int(orders_of(quantity, plan, lot)))]
        assert sum(shares) == quantity
        assert all(part > 0 and part % lot == 0 for part in shares)
        assert plan["target_on"] == 1 or len(shares) == 1
        if plan["target_on"] == 1:
            wanted = scene.limits[0]["shapes"] & OrderShape.BRACKET
            assert wanted or not plan["legs"]


@settings(deadline=None, max_examples=300)
@given(seeds)
def test_an_entry_that_is_let_in_is_its_legs_and_nothing_more(seed: int) -> None:
    check_legs(seed)


def check_resting_targets(seed: int, decide: Decide = kernel_decide) -> None:
    scene = minute(seed)
    for one in of_kind(scene.decide(decide), DecisionKind.EXIT):
        assert one["reason"] != ExitCause.TARGET or scene.plans[one["strategy"]]["target_on"] != 1


@settings(deadline=None, max_examples=300)
@given(seeds)
def test_a_target_that_rests_is_never_sold_by_a_decision(seed: int) -> None:
    check_resting_targets(seed)


def check_room_for_legs(seed: int, decide: Decide = kernel_decide) -> None:
    scene = minute(seed)
    book, limit = scene.book[0], scene.limits[0]
    book["orders_second"], book["orders_minute"], book["orders_day"] = 17, 0, 0
    limit["shapes"] |= OrderShape.BRACKET
    decided = scene.decide(decide)
    if any(one["verdict"] != Verdict.REFUSED for one in of_kind(decided, DecisionKind.ENTER)):
        assert decided.book["orders_second"] <= limit["orders_second"]


@settings(deadline=None, max_examples=300)
@given(seeds)
def test_an_entry_is_let_in_only_with_room_for_all_its_legs(seed: int) -> None:
    check_room_for_legs(seed)


def check_targets_of_others(seed: int, decide: Decide = kernel_decide) -> None:
    scene = minute(seed)
    held = scene.positions[: scene.book[0]["holdings"]]
    held["symbol"], held["target_orders"], held["target"], held["resting_target"] = 0, 1, 1, 5
    held["resting_stop"] = held["stop_orders"] = held["entering"] = held["exiting"] = 0
    scene.entries["symbol"] = 0
    for one in of_kind(scene.decide(decide), DecisionKind.ENTER):
        others = [other for other in held if other["strategy"] != one["strategy"]]
        assert one["verdict"] == Verdict.REFUSED or not others


@settings(deadline=None, max_examples=300)
@given(seeds)
def test_no_entry_is_let_in_that_could_buy_from_anothers_target(seed: int) -> None:
    check_targets_of_others(seed)


def check_losses(seed: int, mode: TradingMode = TradingMode.HALTED, decide: Decide = kernel_decide) -> None:
    calm, lost = minute(seed), minute(seed)
    calm.book[0]["open_equity"] = calm.book[0]["peak_equity"] = calm.book[0]["mode"] = 0
    lost.book[0]["open_equity"] = lost.book[0]["peak_equity"] = 10**13
    lost.book[0]["mode"] = mode
    lost.strategies["day_pnl"] = -(10**12)
    kinds = (DecisionKind.EXIT, DecisionKind.PROTECT)
    assert [bytes(one) for one in of_kind(lost.decide(decide), *kinds)] == [
        bytes(one) for one in of_kind(calm.decide(decide), *kinds)
    ]


@settings(deadline=None, max_examples=300)
@given(seeds, st.sampled_from(TradingMode))
def test_no_loss_keeps_a_holding_in(seed: int, mode: TradingMode) -> None:
    check_losses(seed, mode)


def check_mode(seed: int, decide: Decide = kernel_decide) -> None:
    scene = minute(seed)
    before = int(scene.book[0]["mode"])
    decided = scene.decide(decide)
    assert decided.mode >= before
    # A better price the minute after lets go of nothing.
    later = minute(seed)
    later.book[0]["mode"] = decided.mode
    later.book[0]["cash"] *= 2
    assert later.decide(decide).mode >= decided.mode


@settings(deadline=None, max_examples=300)
@given(seeds)
def test_the_mode_never_gets_looser(seed: int) -> None:
    check_mode(seed)


def cap(rule: str, in_gate: str) -> tuple[Guard, ...]:
    return (
        Guard(module="portfolio.sizing", source=f"cap = {rule}", without="cap = quantity"),
        Guard(module="risk.gate", source=f"if quantity > _{in_gate}:", without="if False:"),
    )


BROKEN: dict[str, tuple[Callable[..., None], tuple[Guard, ...]]] = {
    "sales": (check_sales, (GUARDS["only reduces"],)),
    "stops": (
        check_stops,
        (
            Guard(
                module="portfolio.kernel",
                source="misfits = position.resting_stop > protected or",
                without="misfits =",
            ),
        ),
    ),
    "order size": (check_caps, cap(*["shares_by_order_size(price, limits)"] * 2)),
    "position size": (check_caps, cap(*["shares_by_position_size(price, symbol_value, book, limits)"] * 2)),
    "buying power": (check_caps, cap(*["shares_by_buying_power(price, book, limits)"] * 2)),
    "liquidity": (check_caps, cap(*["shares_by_liquidity(entry, limits)"] * 2)),
    "exposure": (check_caps, cap(*["shares_by_exposure(price, book, limits)"] * 2)),
    "orders that are sent": (
        check_order_rates,
        (Guard(module="portfolio.kernel", source="_count_orders(book, plan, position.entry_orders)", without="pass"),),
    ),
    "legs that no venue takes": (
        check_legs,
        (Guard(module="risk.rules", source="shape |= _BRACKET", without="pass"),),
    ),
    "targets that rest": (
        check_resting_targets,
        (
            Guard(
                module="portfolio.kernel",
                source="    if plan.target_on == _ON_TOUCH:\n        return count\n",
                without="",
            ),
        ),
    ),
    "room for every leg": (
        check_room_for_legs,
        (Guard(module="portfolio.kernel", source="if decision.rule == 0 and targets > 0:", without="if False:"),),
    ),
    "targets of others": (
        check_targets_of_others,
        (
            Guard(
                module="portfolio.in_symbol",
                source="if other.target_orders > 0 and other.target <= price:",
                without="if False:",
            ),
        ),
    ),
    "sales to ourselves": (
        check_crossing,
        (Guard(module="risk.gate", source="if crossing > 0:", without="if False:"),),
    ),
    "entries that meet a sale": (
        check_crossing,
        (Guard(module="portfolio.kernel", source="if managed > 1:", without="if False:"),),
    ),
    "reservation": (
        check_caps,
        (Guard(module="portfolio.kernel", source="book.reserved += position.entry_reserved", without="pass"),),
    ),
    "slots": (
        check_caps,
        (Guard(module="risk.gate", source="if book.holdings >= limits.positions:", without="if False:"),),
    ),
    "losses": (
        check_losses,
        (
            Guard(
                module="portfolio.kernel",
                source="managed = listed(book) if minutes_to_close(book) > 0 else 0",
                without="managed = listed(book) if book.mode == 0 else 0",
            ),
        ),
    ),
    "mode": (
        check_mode,
        (Guard(module="risk.rules", source="    mode = book.mode\n", without="    mode = _NORMAL\n"),),
    ),
}


def is_seen(check: Callable[..., None], guards: tuple[Guard, ...]) -> bool:
    """Whether `check` fails on one of many minutes without the guards."""
    decide = decide_without(*guards)
    try:
        for seed in range(SCENES):
            check(seed, decide=decide)
    except AssertionError:
        return True
    return False


@pytest.mark.parametrize("name", BROKEN)
def test_control_without_its_guard_a_property_is_seen_to_be_broken(name: str, uncompiled: dict[str, Any]) -> None:
    assert uncompiled["seen"][name]


if __name__ == "__main__":
    told_digests: dict[str, Any] = {"whole": digest(kernel_decide)}
    if UNCOMPILED:
        told_digests |= {name: digest(decide_without(guard)) for name, guard in GUARDS.items()}
        told_digests["seen"] = {name: is_seen(*broken) for name, broken in BROKEN.items()}
    print(json.dumps(told_digests))  # noqa: T201 (read by the tests above)
