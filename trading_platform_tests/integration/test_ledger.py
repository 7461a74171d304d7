"""The ledger: what is recorded reads back equal, executions are booked once, and faults say what to do."""

import pickle
import random
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import sqlalchemy as sa

from trading_platform.domain.commands import CommandAction
from trading_platform.domain.decisions import DecisionKind, ExitCause, Rule, TradingMode, Verdict
from trading_platform.domain.errors import DatabaseUnavailable, Inconsistent, InvalidInput, NotOwner
from trading_platform.domain.ids import SHARDS
from trading_platform.domain.lifecycle import can_follow
from trading_platform.domain.orders import (
    Execution,
    IntentKind,
    OrderEvent,
    OrderIntent,
    OrderState,
    OrderStatus,
    OrderType,
    Side,
)
from trading_platform.domain.reports import Acceptance, Subject
from trading_platform.ledger import fill_queries, migrate, ownership, queries
from trading_platform.ledger.connection import open_engine
from trading_platform.ledger.embedded import LocalServer
from trading_platform.ledger.ledger import Ledger
from trading_platform.ledger.queries import SessionTimes

if TYPE_CHECKING:
    from trading_platform_tests.integration.conftest import LedgerValues

NOW = datetime(2013, 10, 9, 13, 31, tzinfo=UTC)
SESSION = date(2013, 10, 9)


def event(intent: OrderIntent, state: OrderState, **more: str) -> OrderEvent:
    return OrderEvent(intent_id=intent.id, state=state, at=NOW, **more)


def record_intents(ledger: Ledger, *intents: OrderIntent) -> None:
    with ledger.take("job") as lease:
        ledger.record_intents(SESSION, intents, lease.ownership)


# Books and sessions.


def test_a_book_opens_once(ledger: Ledger) -> None:
    ledger.open_book(Decimal("100000.0000"), NOW)
    assert ledger.opening_cash() == Decimal(100_000)


def test_a_book_keeps_its_opening_cash(ledger: Ledger) -> None:
    with pytest.raises(InvalidInput, match=r"opened with 100000\.0000 dollars, not with 5"):
        ledger.open_book(Decimal(5), NOW)


def test_a_book_that_was_not_opened_is_named(ledger: Ledger) -> None:
    other = Ledger(ledger.engine, book="live")
    with pytest.raises(InvalidInput, match="'live'"):
        other.opening_cash()
    with pytest.raises(InvalidInput, match="'live'"):
        other.take("job")


def test_a_session_keeps_its_configuration(ledger: Ledger) -> None:
    configuration = {"risk": 0.005, "max_positions": 5}
    ledger.open_session(SESSION, configuration, NOW)
    assert ledger.session_configuration(SESSION) == configuration
    with pytest.raises(InvalidInput, match=r"max_positions.*another configuration"):
        ledger.open_session(SESSION, {"risk": 0.005, "max_positions": 6}, NOW)
    with pytest.raises(InvalidInput, match="configuration"):
        ledger.open_session(SESSION + timedelta(days=1), {"risk": float("nan")}, NOW)


def test_a_session_finishes_once(ledger: Ledger) -> None:
    ledger.finish_session(SESSION, NOW)
    ledger.finish_session(SESSION, NOW + timedelta(hours=1))
    with ledger.engine.connect() as connection:
        assert connection.execute(sa.text("SELECT finished_at FROM sessions")).scalar_one() == NOW
    with pytest.raises(InvalidInput, match="2013-10-10"):
        ledger.finish_session(date(2013, 10, 10), NOW)
    assert ledger.session_configuration(date(2013, 10, 10)) is None


def test_the_latest_session_is_told_with_its_times(ledger: Ledger) -> None:
    later = SESSION + timedelta(days=1)
    ledger.open_session(later, {}, NOW)
    ledger.finish_session(SESSION, NOW)
    assert ledger.last_session() == SessionTimes(session=later, opened_at=NOW, finished_at=None)
    ledger.finish_session(later, NOW + timedelta(hours=1))
    assert ledger.last_session() == SessionTimes(session=later, opened_at=NOW, finished_at=NOW + timedelta(hours=1))
    assert Ledger(ledger.engine, book="live").last_session() is None


def test_who_owns_the_book_is_told_until_it_is_given_back(ledger: Ledger) -> None:
    assert ledger.owners() == ()
    with ledger.take("job") as lease:
        (owner,) = ledger.owners()
        assert (owner.owner, owner.shards, owner.leased) == ("job", SHARDS, True)
        assert owner.lease_until <= lease.renew()
    assert ledger.owners() == ()


# Cycles.


def test_a_cycle_reads_back_equal(ledger: Ledger, values: "LedgerValues") -> None:
    refused = values.decision(
        0,
        1,
        "AIG",
        kind=DecisionKind.EXIT,
        leg=2,
        cause=ExitCause.TRAIL,
        verdict=Verdict.REFUSED,
        rule=Rule.LOSS_LIMIT,
        measure=-(2**62),
        limit_price=None,
        stop_price=None,
        valid_until=None,
        price=Decimal("0.0001"),
    )
    record = values.cycle(
        0,
        signals=(values.signal(0, "SPY"), values.signal(0, "IBM", limit=None, stop=1 / 3)),
        decisions=(values.decision(0), refused),
        mode=TradingMode.REDUCING_ONLY,
        equity=Decimal("9999999999999999.9999"),
    )
    entry = values.intent(0, "SPY", limit_price=Decimal("168.25"), setup=3, valid_until=values.bar(3))
    stop = values.intent(0, kind=IntentKind.STOP, type=OrderType.STOP, stop_price=Decimal("0.0001"), parent=entry.id)
    with ledger.take("job") as lease:
        ledger.record_cycle(record, [entry, stop], lease.ownership)
    assert ledger.cycle(values.bar(0)) == record
    assert ledger.intents(values.bar(0)) == (entry, stop)
    assert ledger.last_cycle() == ledger.last_cycle(SESSION) == record.header
    assert ledger.cycles(SESSION) == (record.header,)
    assert ledger.decisions(SESSION) == record.decisions
    assert ledger.cycle(values.bar(1)) is None
    assert ledger.last_cycle(date(2013, 10, 8)) is None


def test_numbers_of_the_kernel_are_recorded(ledger: Ledger, values: "LedgerValues") -> None:
    signal = values.signal(0, level1=np.float64(0.1), setup=np.int64(2), entry=np.int64(1))
    decision = values.decision(0, quantity=np.int64(7), measure=np.int64(-3))
    with ledger.take("job") as lease:
        ledger.record_cycle(values.cycle(0, signals=(signal,), decisions=(decision,)), [], lease.ownership)
    found = ledger.cycle(values.bar(0))
    assert found is not None
    assert (found.signals, found.decisions) == ((signal,), (decision,))


def test_the_same_cycle_twice_is_refused_and_changes_nothing(ledger: Ledger, values: "LedgerValues") -> None:
    record = values.cycle(0, decisions=(values.decision(0),))
    with ledger.take("job") as lease:
        ledger.record_cycle(record, [values.intent(0)], lease.ownership)
        with pytest.raises(Inconsistent, match="pk_cycles"):
            ledger.record_cycle(values.cycle(0, bars=9), [values.intent(0, "SPY")], lease.ownership)
    assert ledger.cycle(values.bar(0)) == record
    assert len(ledger.orders()) == 1


def test_a_cycle_is_recorded_whole_or_not_at_all(ledger: Ledger, values: "LedgerValues") -> None:
    with ledger.take("job") as lease:
        ledger.record_cycle(values.cycle(0), [values.intent(0)], lease.ownership)
        with pytest.raises(Inconsistent, match="pk_intents"):
            ledger.record_cycle(values.cycle(1), [values.intent(1), values.intent(0)], lease.ownership)
    assert ledger.cycle(values.bar(1)) is None
    assert ledger.intents(values.bar(1)) == ()


def test_only_the_owner_records(ledger: Ledger, values: "LedgerValues") -> None:
    with ledger.take("job") as lease:
        ownership = lease.ownership
        with pytest.raises(Inconsistent, match="somebody"):
            ledger.record_cycle(values.cycle(0, owner="somebody"), [], ownership)
        with pytest.raises(Inconsistent, match="book live"):
            ledger.record_cycle(values.cycle(0), [], replace(ownership, book="live"))
        with pytest.raises(Inconsistent, match="book live"):
            ledger.record_intents(SESSION, [values.intent(0, book="live")], ownership)
    with pytest.raises(NotOwner):
        ledger.record_cycle(values.cycle(0), [], ownership)
    assert ledger.last_cycle() is None


def test_what_was_seen_must_match_its_hash(ledger: Ledger, values: "LedgerValues") -> None:
    from trading_platform.ledger import rows, schema

    row = rows.cycle_row(values.cycle(0), "paper")
    with ledger.engine.connect() as connection:
        with pytest.raises(sa.exc.IntegrityError, match="ck_cycles_inputs_sha256"), connection.begin():
            connection.execute(sa.insert(schema.cycles), row | {"inputs": b"other"})
        with connection.begin():
            connection.execute(sa.insert(schema.cycles), row)


def test_extremes_of_a_session(ledger: Ledger, values: "LedgerValues") -> None:
    assert ledger.extremes(SESSION).worst_mode is TradingMode.NORMAL
    assert ledger.extremes(SESSION).peak_equity is None
    modes = (TradingMode.NORMAL, TradingMode.HALTED, TradingMode.REDUCING_ONLY)
    with ledger.take("job") as lease:
        for minute, mode in enumerate(modes):
            record = values.cycle(minute, mode=mode, peak_equity=Decimal(100 - minute))
            ledger.record_cycle(record, [], lease.ownership)
    assert ledger.extremes(SESSION).worst_mode is TradingMode.HALTED
    assert ledger.extremes(SESSION).peak_equity == Decimal(100)
    assert ledger.extremes(date(2013, 10, 10)).worst_mode is TradingMode.NORMAL


def test_money_that_cannot_be_held_exactly_is_refused(ledger: Ledger, values: "LedgerValues") -> None:
    with ledger.take("job") as lease:
        for amount in ("1.00001", "NaN", "Infinity"):
            with pytest.raises(InvalidInput, match="recorded exactly"):
                ledger.record_cycle(values.cycle(0, cash=Decimal(amount)), [], lease.ownership)
        ledger.record_cycle(values.cycle(0, cash=Decimal("1.00010")), [], lease.ownership)


# Orders.


def test_an_order_goes_through_its_life(ledger: Ledger, values: "LedgerValues") -> None:
    entry = values.intent(0)
    record_intents(ledger, entry)
    assert ledger.open_orders() == (
        OrderStatus(intent=entry, state=OrderState.INTENDED, filled=0, broker_order_id=None),
    )
    ledger.append_events([event(entry, OrderState.UNKNOWN, detail="timed out")])
    ledger.append_events(
        [
            event(entry, OrderState.ACKNOWLEDGED, broker_order_id="b-1"),
            event(entry, OrderState.CANCELLED, detail="by a person"),
        ]
    )
    assert ledger.open_orders() == ()
    assert ledger.orders(SESSION) == ledger.orders()
    assert ledger.order(entry.id) == OrderStatus(
        intent=entry, state=OrderState.CANCELLED, filled=0, broker_order_id="b-1", since=NOW
    )
    assert [step.state for step in ledger.events(entry.id)] == [
        OrderState.UNKNOWN,
        OrderState.ACKNOWLEDGED,
        OrderState.CANCELLED,
    ]
    assert ledger.order("tp-none") is None
    assert ledger.orders(date(2013, 10, 10)) == ()


def test_orders_are_found_by_their_ids(ledger: Ledger, values: "LedgerValues") -> None:
    first, second = values.intent(0), values.intent(1)
    record_intents(ledger, first, second)
    ledger.append_events([event(second, OrderState.UNKNOWN)])
    found = ledger.orders_by_id([second.id, "tp-none"])
    assert found == {second.id: ledger.order(second.id)}
    assert Ledger(ledger.engine, book="live").orders_by_id([first.id]) == {}


def test_a_step_that_cannot_follow_what_is_recorded_is_refused(ledger: Ledger, values: "LedgerValues") -> None:
    record_intents(ledger, values.intent(0))
    ledger.append_events([event(values.intent(0), OrderState.CANCELLED)])
    with pytest.raises(Inconsistent, match="is cancelled and cannot become acknowledged"):
        ledger.append_events([event(values.intent(0), OrderState.ACKNOWLEDGED)])
    assert [step.state for step in ledger.events(values.intent(0).id)] == [OrderState.CANCELLED]


@pytest.mark.parametrize("state", [state for state in OrderState if state is not OrderState.INTENDED])
def test_an_order_is_open_until_it_has_ended(ledger: Ledger, values: "LedgerValues", state: OrderState) -> None:
    record_intents(ledger, values.intent(0))
    # What waits for a change has been acknowledged before.
    before = () if can_follow(OrderState.INTENDED, state) else (OrderState.ACKNOWLEDGED,)
    ledger.append_events([event(values.intent(0), one) for one in (*before, state)])
    assert bool(ledger.open_orders()) is not state.is_final


def test_an_event_of_no_intent_is_refused(ledger: Ledger, values: "LedgerValues") -> None:
    record_intents(ledger, values.intent(0))
    with pytest.raises(Inconsistent, match=values.intent(1).id):
        ledger.append_events(
            [event(values.intent(0), OrderState.ACKNOWLEDGED), event(values.intent(1), OrderState.ACKNOWLEDGED)]
        )
    assert ledger.events(values.intent(0).id) == ()


def test_filled_entries_count_intents_not_fills(ledger: Ledger, values: "LedgerValues") -> None:
    entries = [values.intent(0), values.intent(1), values.intent(2), values.intent(0, "SPY")]
    leaving = values.intent(3, kind=IntentKind.EXIT)
    record_intents(ledger, *entries, leaving)
    fills = [values.execution(entries[0], "a", 40, "10"), values.execution(entries[0], "b", 60, "10")]
    fills += [values.execution(entries[1], "c", 1, "10"), values.execution(leaving, "d", 50, "11")]
    ledger.book_executions(fills, {}, NOW)
    assert ledger.filled_entries(SESSION) == {("gap_and_go", "IBM"): 2}
    assert ledger.filled_entries(date(2013, 10, 10)) == {}


# Fills.


def test_an_execution_is_booked_once(ledger: Ledger, values: "LedgerValues") -> None:
    entry = values.intent(0, strategy="vwap_reclaim")
    record_intents(ledger, entry)
    first, second = values.execution(entry, "e1", 60, "182.0401"), values.execution(entry, "e2", 40, "182.05")
    events = {
        "e1": event(entry, OrderState.PARTIALLY_FILLED, broker_order_id="b-9"),
        "e2": event(entry, OrderState.FILLED),
    }
    booking = ledger.book_executions([first], events, NOW)
    assert [(fill.execution_id, fill.strategy, fill.price) for fill in booking.booked] == [
        ("e1", "vwap_reclaim", Decimal("182.0401"))
    ]
    again = ledger.book_executions([first, first, second, second], events, NOW)
    assert [fill.execution_id for fill in again.booked] == ["e2"]
    assert ledger.book_executions([second, first], events, NOW).booked == ()
    assert ledger.fills() == ledger.fills(SESSION) == (*booking.booked, *again.booked)
    assert ledger.order(entry.id) == OrderStatus(
        intent=entry, state=OrderState.FILLED, filled=100, broker_order_id="b-9", since=NOW, venue="paper"
    )
    assert len(ledger.events(entry.id)) == 2


def test_an_execution_without_an_explanation_is_handed_back(ledger: Ledger, values: "LedgerValues") -> None:
    entry, cancel = values.intent(0), values.intent(1, kind=IntentKind.CANCEL)
    record_intents(ledger, entry, cancel)
    good = values.execution(entry, "good", 10, "10")
    ledger.book_executions([good], {}, NOW)
    strange: list[Execution] = [
        values.execution(values.intent(7), "stranger", 10, "10"),
        values.execution(entry, "symbol", 10, "10", symbol="SPY"),
        values.execution(entry, "side", 10, "10", side=Side.SELL),
        values.execution(entry, "nothing", 0, "10"),
        values.execution(cancel, "cancel", 10, "10"),
        replace(good, price=Decimal("10.01")),
    ]
    booking = ledger.book_executions([*strange, values.execution(entry, "new", 10, "10")], {}, NOW)
    assert [fill.execution_id for fill in booking.booked] == ["new"]
    assert set(booking.unexplained) == set(strange)
    assert len(ledger.fills()) == 2


def test_fills_and_their_events_are_booked_together(ledger: Ledger, values: "LedgerValues") -> None:
    entry = values.intent(0)
    record_intents(ledger, entry)
    with pytest.raises(Inconsistent, match="no intent"):
        ledger.book_executions(
            [values.execution(entry, "e1", 10, "10")], {"e1": event(values.intent(9), OrderState.FILLED)}, NOW
        )
    assert ledger.fills() == ()


def test_executions_are_booked_once_by_several_at_once(ledger: Ledger, values: "LedgerValues") -> None:
    entry = values.intent(0)
    record_intents(ledger, entry)
    executions = [values.execution(entry, f"e{n}", 1, "10") for n in range(20)]
    events = {it.execution_id: event(entry, OrderState.PARTIALLY_FILLED) for it in executions}
    together = threading.Barrier(4)

    def book() -> int:
        together.wait(10)
        return len(ledger.book_executions(executions, events, NOW).booked)

    with ThreadPoolExecutor(4) as pool:
        booked = [future.result() for future in [pool.submit(book) for _ in range(4)]]
    assert sum(booked) == len(ledger.fills()) == len(ledger.events(entry.id)) == 20


# Corrections and busts.


def bought(ledger: Ledger, values: "LedgerValues", *executions: tuple[str, int, str]) -> OrderIntent:
    """An entry of 100 shares with these executions booked: id, shares, price."""
    entry = values.intent(0)
    record_intents(ledger, entry)
    ledger.book_executions([values.execution(entry, *one) for one in executions], {}, NOW)
    return entry


def in_sql_and_in_the_fold(ledger: Ledger) -> tuple[int, Decimal]:
    """Shares held and cash, which the fold and the statement must agree on."""
    holdings, table = ledger.holdings(), ledger.pnl()
    held = sum(one.quantity for one in holdings.positions.values())
    assert held == sum(row.bought_quantity - row.sold_quantity for row in table)
    assert holdings.cash == Decimal(100_000) - sum(row.bought - row.sold + row.fees for row in table)
    assert {key: one.cost for key, one in holdings.positions.items()} == {
        (row.strategy, row.symbol): row.cost for row in table
    }
    return held, holdings.cash


def test_a_correction_takes_the_place_of_what_it_corrects_once(ledger: Ledger, values: "LedgerValues") -> None:
    entry = bought(ledger, values, ("e1", 60, "10"), ("e2", 40, "10"))
    assert in_sql_and_in_the_fold(ledger) == (100, Decimal(98_998))
    corrected = values.execution(entry, "e1c", 50, "10.10", corrects="e1", time=NOW + timedelta(hours=2))
    report = [values.execution(entry, "e1", 60, "10"), corrected, values.execution(entry, "e2", 40, "10")]
    booking = ledger.book_executions(report, {}, NOW)
    assert ([fill.execution_id for fill in booking.booked], booking.unexplained) == (["e1c"], ())
    assert in_sql_and_in_the_fold(ledger) == (90, Decimal(100_000) - 505 - 400 - 2)
    assert (ledger.orders()[0].filled, ledger.filled_entries(SESSION)) == (90, {("gap_and_go", "IBM"): 1})
    # It stands where the first one stood. Once is enough.
    assert {fill.execution_id: fill.time for fill in ledger.fills()}["e1c"] == entry.bar_time + timedelta(minutes=1)
    again = ledger.book_executions(report, {}, NOW)
    assert (again.booked, again.unexplained) == ((), ())
    assert in_sql_and_in_the_fold(ledger)[0] == 90


def test_a_bust_leaves_nothing(ledger: Ledger, values: "LedgerValues") -> None:
    entry = bought(ledger, values, ("e1", 60, "10"), ("e2", 40, "10"))
    bust = values.execution(entry, "e2b", 0, "0", corrects="e2")
    for _ in range(2):
        booking = ledger.book_executions([bust], {}, NOW)
        assert (booking.booked, booking.unexplained) == ((), ())
        assert in_sql_and_in_the_fold(ledger) == (60, Decimal(100_000) - 600 - 1)
    # What was booked stays recorded.
    with ledger.engine.connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM fills")).scalar_one() == 2
    everything = ledger.book_executions([values.execution(entry, "e1b", 0, "0", corrects="e1")], {}, NOW)
    assert everything.unexplained == ()
    assert (ledger.fills(), ledger.pnl(), ledger.filled_entries(SESSION)) == ((), (), {})
    assert ledger.orders()[0].filled == 0


@pytest.mark.parametrize("backwards", [False, True])
def test_a_correction_of_a_correction_in_one_report(ledger: Ledger, values: "LedgerValues", *, backwards: bool) -> None:
    entry = bought(ledger, values)
    report = [
        values.execution(entry, "e1", 60, "10"),
        values.execution(entry, "e2", 50, "10", corrects="e1"),
        values.execution(entry, "e3", 40, "10", corrects="e2"),
    ]
    booking = ledger.book_executions(report[::-1] if backwards else report, {}, NOW)
    assert ([fill.execution_id for fill in booking.booked], booking.unexplained) == (["e1", "e2", "e3"], ())
    assert [fill.execution_id for fill in ledger.fills()] == ["e3"]
    assert in_sql_and_in_the_fold(ledger)[0] == 40


def test_what_is_corrected_after_it_was_sold_was_still_bought_before(ledger: Ledger, values: "LedgerValues") -> None:
    entry, leaving = values.intent(0), values.intent(1, kind=IntentKind.EXIT)
    record_intents(ledger, entry, leaving)
    ledger.book_executions(
        [values.execution(entry, "e1", 100, "10"), values.execution(leaving, "e2", 100, "11")], {}, NOW
    )
    later = values.execution(entry, "e1c", 100, "10.50", corrects="e1", time=NOW + timedelta(hours=2))
    ledger.book_executions([later], {}, NOW)
    assert in_sql_and_in_the_fold(ledger) == (0, Decimal(100_000) + 50 - 2)


def test_what_corrects_nothing_of_its_own_order_is_handed_back_and_undoes_nothing(
    ledger: Ledger, values: "LedgerValues"
) -> None:
    entry, other = values.intent(0), values.intent(1)
    record_intents(ledger, entry, other)
    ledger.book_executions([values.execution(entry, "e1", 60, "10")], {}, NOW)
    ledger.book_executions([values.execution(entry, "e1c", 50, "10", corrects="e1")], {}, NOW)
    strange = [
        values.execution(entry, "of nothing", 10, "10", corrects="e9"),
        values.execution(entry, "again", 0, "0", corrects="e1"),
        values.execution(other, "of another order", 0, "0", corrects="e1c"),
        values.execution(values.intent(7), "of a stranger", 0, "0", corrects="e1c"),
        values.execution(entry, "one", 10, "10", corrects="other"),
        values.execution(entry, "other", 10, "10", corrects="one"),
    ]
    booking = ledger.book_executions(strange, {}, NOW)
    assert booking.booked == ()
    assert set(booking.unexplained) == set(strange)
    assert [(fill.execution_id, fill.quantity) for fill in ledger.fills()] == [("e1c", 50)]


def test_what_several_correct_at_once_is_undone_once(ledger: Ledger, values: "LedgerValues") -> None:
    entry = bought(ledger, values, ("e1", 60, "10"))
    together = threading.Barrier(4)

    def correct(number: int) -> int:
        together.wait(10)
        one = values.execution(entry, f"c{number}", number, "10", corrects="e1")
        return len(ledger.book_executions([one], {}, NOW).booked)

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(correct, (10, 20, 30, 40))) == 1
    assert len(ledger.fills()) == 1


def test_only_standing_fills_count_as_too_many(ledger: Ledger, values: "LedgerValues") -> None:
    entry = bought(ledger, values, ("e1", 100, "10"))
    # Corrected and larger together it would be 190 shares of 100.
    ledger.book_executions([values.execution(entry, "e1c", 90, "10", corrects="e1")], {}, NOW)
    assert ledger.overfilled() == ()
    ledger.book_executions([values.execution(entry, "e2", 20, "10")], {}, NOW)
    assert [(one.intent_id, one.filled) for one in ledger.overfilled()] == [(entry.id, 110)]
    ledger.book_executions([values.execution(entry, "e2b", 0, "0", corrects="e2")], {}, NOW)
    assert ledger.overfilled() == ()
    ledger.book_executions([values.execution(entry, "e1b", 0, "0", corrects="e1c")], {}, NOW)
    assert ledger.overfilled() == ()


def test_a_fill_says_which_broker_has_it(ledger: Ledger, values: "LedgerValues") -> None:
    entry = values.intent(0)
    record_intents(ledger, entry)
    ledger.book_executions([values.execution(entry, "e1", 10, "10")], {}, NOW, "ibkr")
    assert [fill.venue for fill in ledger.fills()] == ["ibkr"]
    assert [one.venue for one in ledger.holdings().positions.values()] == ["ibkr"]


# What is about to leave.


def test_what_is_about_to_leave_is_noted_with_its_broker_and_since_when(ledger: Ledger, values: "LedgerValues") -> None:
    entry = values.intent(0)
    with ledger.take("job") as lease:
        ledger.record_intents(SESSION, [entry], lease.ownership)
        ledger.note_sending([event(entry, OrderState.SENDING, venue="alpaca")], lease.ownership)
    found = ledger.order(entry.id)
    assert found is not None
    assert (found.state, found.venue, found.since) == (OrderState.SENDING, "alpaca", NOW)
    # A step without a broker does not take it away.
    ledger.append_events([event(entry, OrderState.UNKNOWN)])
    found = ledger.order(entry.id)
    assert found is not None
    assert (found.state, found.venue) == (OrderState.UNKNOWN, "alpaca")


def test_who_has_lost_the_book_notes_nothing(
    ledger: Ledger, values: "LedgerValues", monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = values.intent(0)
    with ledger.take("job") as lease:
        ledger.record_intents(SESSION, [entry], lease.ownership)
    leaving = [event(entry, OrderState.SENDING, venue="paper")]
    with pytest.raises(NotOwner):
        ledger.note_sending(leaving, lease.ownership)
    with pytest.raises(Inconsistent, match="book live"):
        ledger.note_sending(leaving, replace(lease.ownership, book="live"))
    assert ledger.events(entry.id) == ()
    # The control: without the look at the shards it would stand as about to leave.
    monkeypatch.setattr(ownership, "hold", lambda _connection, _ownership: None)
    ledger.note_sending(leaving, lease.ownership)
    assert [step.state for step in ledger.events(entry.id)] == [OrderState.SENDING]


# Differences that a person has accepted, and what a person halts.


def test_acceptances_read_back_in_their_order(ledger: Ledger) -> None:
    first = Acceptance(
        venue="alpaca",
        subject=Subject.POSITION,
        name="IBM",
        difference=Decimal(7),
        who="ada",
        reason="bought by hand",
        at=NOW,
    )
    second = replace(first, subject=Subject.EXECUTION, name="e9", difference=None)
    for one in (first, second):
        ledger.accept(one)
    assert ledger.acceptances() == (first, second)
    assert Ledger(ledger.engine, book="live").acceptances() == ()
    for nobody in (replace(first, who=""), replace(first, reason="")):
        with pytest.raises(Inconsistent, match="ck_acceptances_said"):
            ledger.accept(nobody)


def test_entries_are_halted_until_they_are_resumed(ledger: Ledger) -> None:
    assert not ledger.halted()
    said = []
    for action in (CommandAction.RESUME, CommandAction.HALT, CommandAction.HALT, CommandAction.RESUME):
        ledger.append_command(action, at=NOW, who="ada", reason="news")
        said.append(ledger.halted())
    assert said == [False, True, True, False]


def test_books_do_not_see_each_other(ledger: Ledger, values: "LedgerValues") -> None:
    record_intents(ledger, values.intent(0))
    ledger.book_executions([values.execution(values.intent(0), "e1", 10, "10")], {}, NOW)
    other = Ledger(ledger.engine, book="live")
    other.open_book(Decimal(1), NOW)
    assert (other.orders(), other.fills(), other.last_cycle(), other.pnl()) == ((), (), None, ())
    booking = other.book_executions([values.execution(values.intent(0), "e1", 10, "10")], {}, NOW)
    assert len(booking.unexplained) == 1


def test_profit_in_sql_equals_the_fold(ledger: Ledger, values: "LedgerValues") -> None:
    draw = random.Random(11)
    held: dict[tuple[str, str], int] = {}
    executions: list[Execution] = []
    intents: list[OrderIntent] = []
    for minute in range(120):
        strategy, symbol = draw.choice(["gap_and_go", "vwap_reclaim"]), draw.choice(["IBM", "SPY"])
        have = held.get((strategy, symbol), 0)
        selling = have > 0 and draw.random() < 0.6
        quantity = draw.choice([have, draw.randint(1, have)]) if selling else draw.randint(1, 300)
        kind = IntentKind.EXIT if selling else IntentKind.ENTRY
        intent = values.intent(minute, symbol, strategy=strategy, kind=kind, quantity=quantity)
        price = str(Decimal(draw.randint(90_0000, 110_0000)) / 10_000)
        intents.append(intent)
        executions.append(values.execution(intent, f"e{minute}", quantity, price, fee=Decimal(minute % 7) / 100))
        held[strategy, symbol] = have + (-quantity if selling else quantity)
    record_intents(ledger, *intents)
    draw.shuffle(executions)
    ledger.book_executions(executions, {}, NOW)
    holdings = ledger.holdings()
    table = ledger.pnl()
    assert {(row.strategy, row.symbol): (row.realised, row.fees, row.cost) for row in table} == {
        key: (position.realised, position.fees, position.cost) for key, position in holdings.positions.items()
    }
    assert any(row.cost > 0 for row in table)
    spent = sum(row.bought - row.sold + row.fees for row in table)
    assert holdings.cash == Decimal(100_000) - spent
    assert ledger.pnl(values.bar(0)) == ()


def sale_before_its_purchase(ledger: Ledger, values: "LedgerValues", *, sold: int = 100) -> OrderIntent:
    """An entry of 100 shares and its stop in one second, as a broker tells them that tells whole seconds."""
    entry, stop = values.intent(0), values.intent(0, kind=IntentKind.STOP, parent=values.intent(0).id)
    record_intents(ledger, entry, stop)
    report = [values.execution(stop, "1", sold, "9"), values.execution(entry, "2", 100, "10")]
    ledger.book_executions(report, {}, NOW)
    return entry


@pytest.mark.parametrize("sold", [100, 40])
def test_of_one_moment_what_was_bought_comes_before_what_was_sold(
    ledger: Ledger, values: "LedgerValues", sold: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale_before_its_purchase(ledger, values, sold=sold)
    later, now = values.bar(9), values.bar(0)
    for found in (ledger.fills(), ledger.fills(SESSION), ledger.fills_before(later), ledger.fills_since(now)):
        assert [fill.execution_id for fill in found] == ["2", "1"]
    assert [one.execution_id for one in ledger.lineage(SESSION)] == ["2", "1"]
    assert in_sql_and_in_the_fold(ledger) == (100 - sold, Decimal(100_000) - 1000 + 9 * sold - 2)
    # The control: in the order of their booking the statement finds no cost for what is left.
    booked = str(queries._PNL).replace("fills.side, serial", "serial")
    monkeypatch.setattr(queries, "_PNL", sa.text(booked))
    assert len(ledger.pnl()) == (sold == 100)


def test_a_sale_of_more_than_was_held_stops_no_other_holding(ledger: Ledger, values: "LedgerValues") -> None:
    entry = sale_before_its_purchase(ledger, values)
    other = values.intent(1, "SPY")
    record_intents(ledger, other)
    report = [values.execution(entry, "bust", 0, "0", corrects="2"), values.execution(other, "3", 7, "20")]
    ledger.book_executions(report, {}, NOW)
    found = ledger.holdings()
    assert {key[1]: one.quantity for key, one in found.positions.items()} == {"IBM": 0, "SPY": 7}
    assert [(one.execution_id, one.quantity) for one in found.uncovered] == [("1", 100)]
    # What it cost is not known, and the statement says nothing of it.
    assert [row.symbol for row in ledger.pnl()] == ["SPY"]
    assert {one.symbol: one.quantity for one in ledger.held()} == {"IBM": -100, "SPY": 7}


def never_held(name: str, shares: int) -> Acceptance:
    return Acceptance(
        venue="paper",
        subject=Subject.SALE,
        name=name,
        difference=Decimal(-shares),
        who="ada",
        reason="bought back by hand",
        at=NOW,
    )


def test_whoever_accepts_a_sale_of_more_than_was_held_takes_it_out_of_the_book(
    ledger: Ledger, values: "LedgerValues"
) -> None:
    entry = sale_before_its_purchase(ledger, values)
    corrected = values.execution(entry, "less", 30, "10", corrects="2")
    ledger.book_executions([corrected], {}, NOW)
    assert [one.quantity for one in ledger.holdings().uncovered] == [70]
    ledger.accept(never_held("1", 70))
    assert ledger.holdings().uncovered == ()
    # 30 were bought and sold; the cash of the 70 is the difference that is left to accept.
    assert in_sql_and_in_the_fold(ledger) == (0, Decimal(100_000) - 300 + 270 - 2)
    assert ledger.held()[0].quantity == 0
    # The broker tells it as before, and it is booked; what is bought from now on is held.
    stop = values.intent(0, kind=IntentKind.STOP, parent=entry.id)
    again = ledger.book_executions([values.execution(stop, "1", 100, "9")], {}, NOW)
    assert (again.booked, again.unexplained) == ((), ())
    later = values.intent(5)
    record_intents(ledger, later)
    ledger.book_executions([values.execution(later, "5", 10, "10")], {}, NOW)
    assert in_sql_and_in_the_fold(ledger)[0] == 10


@pytest.mark.parametrize(("name", "shares"), [("1", 70), ("1", -100), ("2", 100), ("none", 100)])
def test_what_is_not_so_any_more_cannot_be_taken_out_of_the_book(
    ledger: Ledger, values: "LedgerValues", name: str, shares: int
) -> None:
    entry = sale_before_its_purchase(ledger, values)
    ledger.book_executions([values.execution(entry, "bust", 0, "0", corrects="2")], {}, NOW)
    before = ledger.holdings()
    with pytest.raises(InvalidInput, match=f"execution {name} has not sold"):
        ledger.accept(never_held(name, shares))
    assert (ledger.acceptances(), ledger.holdings()) == ((), before)


def test_when_a_broker_last_executed_something_is_found_without_a_look_at_the_others_fills(
    ledger: Ledger, values: "LedgerValues"
) -> None:
    bought(ledger, values, *((f"e{number}", 1, "10") for number in range(50)))
    asked = fill_queries._NEWEST_EXECUTION.bindparams(book="paper", venue="backup")
    with ledger.engine.begin() as connection:
        connection.execute(sa.text("SET LOCAL enable_seqscan = off"))
        connection.execute(sa.text("ANALYZE fills"))
        plan = connection.execute(
            sa.text(
                f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {asked.compile(connection, compile_kwargs={'literal_binds': True})}"
            )
        )
        told = " ".join(plan.scalars())
    assert "ix_fills_book_venue_executed_at" in told
    assert "Removed by Filter" not in told


def test_a_flat_book_made_what_it_sold_less_what_it_bought(ledger: Ledger, values: "LedgerValues") -> None:
    entry, leaving = values.intent(0), values.intent(1, kind=IntentKind.EXIT)
    record_intents(ledger, entry, leaving)
    ledger.book_executions(
        [
            values.execution(entry, "1", 3, "10.0001"),
            values.execution(leaving, "2", 1, "10.01"),
            values.execution(leaving, "3", 2, "9.99"),
        ],
        {},
        NOW,
    )
    (row,) = ledger.pnl()
    assert (row.realised, row.cost, row.fees) == (Decimal("-0.0103"), Decimal(0), Decimal("3.0000"))


def test_a_fill_leads_back_to_its_bar(ledger: Ledger, values: "LedgerValues") -> None:
    entry = values.intent(0)
    record = values.cycle(0, decisions=(values.decision(0, 0, "SPY"), values.decision(0, 1)))
    with ledger.take("job") as lease:
        ledger.record_cycle(record, [entry], lease.ownership)
    ledger.book_executions([values.execution(entry, "e1", 10, "10")], {}, NOW)
    (line,) = ledger.lineage(SESSION)
    assert (line.intent_id, line.bar_time, line.decision_sequence, line.release) == (
        entry.id,
        values.bar(0),
        1,
        "0.1.0",
    )


# Faults.


def test_a_database_that_is_not_there_says_where_and_what_to_do() -> None:
    ledger = Ledger("postgresql://trader:hunter2-secret@127.0.0.1:1/ledger", book="paper")
    with pytest.raises(DatabaseUnavailable) as caught:
        ledger.fills()
    told = "".join(traceback.format_exception(caught.value))
    assert "127.0.0.1:1/ledger" in told
    assert "trading-platform db start" in told
    assert "hunter2-secret" not in told
    assert "hunter2-secret" not in repr(ledger.engine)


def test_a_wrong_password_is_never_shown(fresh_database: Callable[[], str]) -> None:
    url = sa.make_url(fresh_database()).set(password="wrong-hunter2")
    engine = open_engine(url)
    with pytest.raises(InvalidInput, match="password authentication failed") as caught:
        migrate.upgrade(engine)
    assert "wrong-hunter2" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("url", ["mysql://trader:hunter2@h/d", "hunter2", "postgresql://trader:hunter2@h:port/d"])
def test_an_address_that_cannot_be_used_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="DATABASE_URL") as caught:
        open_engine(url)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_a_database_without_a_ledger_is_named(fresh_database: Callable[..., str]) -> None:
    ledger = Ledger(fresh_database(empty=True), book="paper")
    with pytest.raises(InvalidInput, match="no ledger in this database"):
        ledger.fills()
    ledger.engine.dispose()


def test_the_ledger_works_again_after_the_server_does(tmp_path: Path, values: "LedgerValues") -> None:
    server = LocalServer(tmp_path / "db", fsync=False)
    server.start()
    try:
        ledger = Ledger(server.url("ledger"), book="paper")
        migrate.upgrade(ledger.engine)
        ledger.open_book(Decimal(100_000), NOW)
        ledger.open_session(SESSION, {}, NOW)
        lease = ledger.take("job")
        ledger.record_cycle(values.cycle(0), [values.intent(0)], lease.ownership)
        server.stop()
        with pytest.raises(DatabaseUnavailable, match="does not answer"):
            ledger.record_cycle(values.cycle(1), [], lease.ownership)
        with pytest.raises(DatabaseUnavailable):
            lease.renew()
        server.start()
        assert ledger.last_cycle() == values.cycle(0).header
        # The connection that showed that this owner lives is gone, and is not replaced in silence.
        with pytest.raises(NotOwner, match="taken again"):
            lease.renew()
        with ledger.take("job") as again:
            ledger.record_cycle(values.cycle(1), [values.intent(1)], again.ownership)
        ledger.engine.dispose()
    finally:
        server.stop()


def test_an_ownership_travels_between_processes(ledger: Ledger, values: "LedgerValues") -> None:
    with ledger.take("job") as lease:
        travelled = pickle.loads(pickle.dumps(lease.ownership))
        assert travelled == lease.ownership
        ledger.record_intents(SESSION, [values.intent(0)], travelled)
