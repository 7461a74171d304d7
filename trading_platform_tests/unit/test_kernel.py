"""The kernel's one call: order, marks, what it writes into its records, and the room that it needs."""

from trading_platform.domain.decisions import TradingMode
from trading_platform.domain.signals import TriggerOn
from trading_platform.portfolio.kernel import DECISIONS_PER_HOLDING
from trading_platform_tests.factories.minutes import Scene, Values, decided, records

LEGS: Values = {"legs": 4, "leg_fraction": (2000,) * 4, "leg_target": (1000, 2000, 3000, 4000)}


def test_holdings_are_decided_before_entries_and_both_in_the_order_given() -> None:
    scene = Scene(
        plans=({"flat_from": 60}, {"fixed_quantity": 10}),
        limits={"orders_second": 100},
        holdings=({"symbol": 3}, {"symbol": 1}),
        entries=({"strategy": 1, "symbol": 2}, {"strategy": 1, "symbol": 0}),
    )
    told = decided(scene)
    assert told.lines == ["protect 0 at 9.00", "exit 100 FLAT_BY"] * 2 + ["enter 10"] * 2
    assert told.decisions["symbol"].tolist() == [3, 3, 1, 1, 2, 0]


def test_an_exit_frees_neither_slot_nor_cash_for_an_entry_of_its_minute() -> None:
    scene = Scene(
        plans=({"flat_from": 60}, {"fixed_quantity": 10}),
        limits={"positions": 1},
        holdings=({"symbol": 1},),
        entries=({"strategy": 1},),
    )
    assert decided(scene).lines[-1] == "enter 0 refused POSITIONS 1/1"


def test_a_cancel_frees_neither_slot_nor_cash_for_an_entry_of_its_minute() -> None:
    working: Values = {"symbol": 1, "quantity": 0, "resting_stop": 0, "entering": 5000, "valid_until": 60}
    limits: Values = {"position_size": 10_000, "order_notional": "100000"}
    scene = Scene(plans=({"fixed_quantity": 5000},), limits=limits, holdings=(working,), entries=({},))
    assert decided(scene).lines == ["cancel_entry 5000", "enter 4750 resized BUYING_POWER 5000/4750"]


def test_equity_is_cash_and_every_holding_at_its_mark_and_its_highest_is_kept() -> None:
    scene = Scene(
        book={"cash": "98000", "peak_equity": "99000"}, holdings=({"symbol": 1}, {"symbol": 2, "mark": "12.34"})
    )
    book = decided(scene).book
    assert (book["equity"], book["peak_equity"]) == (1_002_340_000, 1_002_340_000)
    lower = decided(Scene(book={"cash": "97000", "peak_equity": "99000"}, holdings=({"symbol": 1},))).book
    assert (lower["equity"], lower["peak_equity"]) == (980_000_000, 990_000_000)


def test_working_entries_reserve_their_limit_or_else_their_mark() -> None:
    half: Values = {"quantity": 50, "resting_stop": 50, "entering": 50, "valid_until": 99}
    told = decided(Scene(holdings=(half, {**half, "symbol": 1, "entry_limit": "10.50"})))
    assert told.positions["entry_reserved"].tolist() == [50 * 100_000, 50 * 105_000]
    assert told.book["reserved"] == 50 * 205_000


def test_an_approved_entry_stands_in_the_records_as_a_working_one() -> None:
    told = decided(Scene(plans=({"fixed_quantity": 10},), entries=({"symbol": 4, "limit": "9.90", "valid_bars": 3},)))
    position = told.positions[0]
    assert (position["symbol"], position["quantity"], position["entering"]) == (4, 0, 10)
    assert (position["filled_minute"], position["valid_until"]) == (-1, 63)
    assert (position["stop"], position["entry_limit"], position["entry_reserved"]) == (90_000, 99_000, 10 * 99_000)
    decision = told.decisions[0]
    assert (decision["price"], decision["limit_price"], decision["stop_price"]) == (100_000, 99_000, 90_000)
    assert (decision["valid_until"], decision["setup"]) == (63, 1)


def test_an_entry_is_good_for_one_bar_where_the_step_does_not_say() -> None:
    told = decided(Scene(plans=({"fixed_quantity": 10},), entries=({"valid_bars": 0},)))
    assert told.decisions["valid_until"].tolist() == [61]


def test_an_entry_that_has_not_filled_is_kept_until_its_last_bar_and_then_cancelled() -> None:
    scene = records(Scene(plans=({"fixed_quantity": 10},), entries=({"valid_bars": 2},)))
    assert scene.decide().lines == ["enter 10"]
    book = scene.book[0]
    for minute, lines in ((61, []), (62, ["cancel_entry 10"])):
        book["minute"] = minute
        told = records(Scene(holdings=({},)))
        told.book[0], told.positions[0] = scene.book[0], scene.positions[0]
        assert told.decide().lines == lines


def test_the_most_that_one_holding_can_decide_fits_its_room() -> None:
    holding: Values = {"resting_stop": 0, "entering": 1, "valid_until": 60}
    told = decided(Scene(plans=(LEGS,), holdings=(holding,), seen=({"close": "20.00"},)))
    assert told.lines == ["cancel_entry 1", "protect 20 at 9.00", *(f"exit 20 TARGET leg {n}" for n in range(1, 5))]
    assert len(told.lines) <= DECISIONS_PER_HOLDING


def test_several_holdings_that_decide_all_they_can_do_not_write_over_each_other() -> None:
    holding: Values = {"resting_stop": 0, "entering": 1, "valid_until": 60}
    holdings = tuple({**holding, "symbol": n} for n in range(5))
    told = decided(Scene(plans=(LEGS,), holdings=holdings, seen=({"close": "20.00"},) * 5))
    assert told.decisions["symbol"].tolist() == [n for n in range(5) for _ in range(6)]
    assert told.decisions["kind"].tolist() == [4, 3, 2, 2, 2, 2] * 5


def test_what_a_minute_has_decided_it_does_not_decide_again_in_the_next() -> None:
    scene = records(Scene(holdings=({"resting_stop": 0},)))
    assert scene.decide().lines == ["protect 100 at 9.00"]
    assert scene.decide().lines == []


def test_the_last_tick_decides_nothing_on_holdings_and_refuses_entries() -> None:
    scene = Scene(
        book={"minute": 209, "session_minutes": 210},
        plans=({"flat_from": 100},),
        holdings=({"symbol": 1, "entering": 5, "resting_stop": 0},),
        entries=({},),
    )
    assert decided(scene).lines == ["enter 0 refused SESSION_WINDOW 0/15"]


def test_an_empty_account_without_signals_decides_nothing() -> None:
    told = decided(Scene())
    assert (told.lines, told.mode) == ([], TradingMode.NORMAL)


def test_each_holding_is_run_by_the_plan_of_its_own_strategy() -> None:
    scene = Scene(
        plans=({"flat_from": 60}, {"stop_on": TriggerOn.CLOSE}, {}),
        holdings=({"strategy": 2}, {"strategy": 0}, {"strategy": 1}),
        seen=({"close": "9.00"},) * 3,
    )
    told = decided(scene)
    assert told.lines == ["protect 0 at 9.00", "exit 100 FLAT_BY", "exit 100 STOP"]
    assert told.decisions["strategy"].tolist() == [0, 0, 1]
