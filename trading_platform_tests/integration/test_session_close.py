"""The job `session_close`: what it makes of a session, and what its checks stop."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from trading_platform.bootstrap import Platform, paper_book
from trading_platform.defs import checks
from trading_platform.defs.jobs import SESSION_CLOSE
from trading_platform.engine.session_result import session_result
from trading_platform.ledger.connection import open_engine
from trading_platform_tests.sessions.short import MINUTES, Short, failures, short_session
from trading_platform_tests.sessions.tape import DAY, TAPE, write_tape

ASSETS = ("reconciliation", "bars", "signals", "decisions", "orders", "fills", "positions", "pnl", "performance")
CHECKS = {
    "no_breaks": "reconciliation",
    "bars_stored": "bars",
    "no_order_unresolved": "orders",
    "ledger_equals_broker": "fills",
    "positions_equal_fills": "positions",
    "cash_adds_up": "positions",
    "profit_adds_up": "pnl",
    "nothing_held_overnight": "positions",
}


@pytest.fixture
def short(tmp_path: Path, fresh_database: Callable[[], str]) -> Iterator[Short]:
    with short_session(tmp_path, fresh_database()) as made:
        yield made


@pytest.fixture
def traded(short: Short) -> Short:
    short.run_minutes()
    return short


def made(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    """The metadata of every asset that a run has materialized."""
    return {
        event.asset_key.to_user_string(): {
            name: value.value for name, value in event.step_materialization_data.materialization.metadata.items()
        }
        for event in result.get_asset_materialization_events()
        if event.asset_key is not None
    }


def checked(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {one.check_name: one.passed for one in result.get_asset_check_evaluations()}


def test_a_closed_session_becomes_assets_of_its_partition(traded: Short) -> None:
    result = traded.run(SESSION_CLOSE, partition=DAY)
    assert result.success
    told = made(result)
    assert tuple(told) == ASSETS
    assert checked(result) == dict.fromkeys(CHECKS, True)
    partitions = {event.partition for event in result.get_asset_materialization_events()}
    assert partitions == {DAY.isoformat()}
    # The tape is worked out by hand in test_hand_worked_tape.
    assert told["signals"]["entries"] == 2
    assert told["decisions"]["approved"] + told["decisions"]["resized"] > 2
    assert told["positions"]["positions"] == 0
    assert told["pnl"]["net"] == 469.0
    assert told["pnl"]["equity"] == told["reconciliation"]["cash"] == told["positions"]["cash"] == 100_469.0
    assert (told["performance"]["trades"], told["performance"]["winners"]) == (2, 1)
    assert told["bars"]["symbols"] == 2
    assert traded.platform.bar_store.sessions() == (DAY,)


def test_it_comes_to_the_same_when_it_is_launched_twice(traded: Short) -> None:
    first = made(traded.run(SESSION_CLOSE, partition=DAY))
    again = traded.run(SESSION_CLOSE, partition=DAY)
    assert again.success
    assert made(again) == first


def test_a_close_looks_anew_though_the_last_minute_has_looked(traded: Short) -> None:
    session = traded.platform.simulated_session(DAY)
    assert session.finish().reconciled.breaks == ()
    the_exchange_holds_more(traded)
    # What was found before is not repeated as if it were of now.
    assert session.finish().reconciled.breaks == ()
    assert [one.symbol for one in session.close().reconciled.breaks] == ["AAA"]


def test_each_step_comes_after_what_it_leans_on(traded: Short) -> None:
    result = traded.run(SESSION_CLOSE, partition=DAY)
    order = [event.step_key for event in result.all_events if event.is_step_success]
    assert order == list(ASSETS)


def test_a_session_that_is_not_over_is_not_closed(short: Short) -> None:
    short.run_minutes(upto=5)
    result = short.run(SESSION_CLOSE, partition=DAY)
    assert failures(result) == {
        "reconciliation": f"session: {MINUTES - 5} minutes of the session {DAY} are not run. Run them first, or sell "
        "everything now with trading-platform session close --flatten REASON."
    }
    assert made(result) == {}


def test_a_session_that_was_never_traded_is_not_closed(short: Short) -> None:
    short.run_minutes(upto=1)
    result = short.run(SESSION_CLOSE, partition=date(2013, 10, 8))
    assert failures(result) == {
        "reconciliation": "session: the book 'short' has not opened the session 2013-10-08. Close a session that "
        "was opened; trading-platform status says which was the last."
    }


def test_a_partition_that_is_none_is_refused_by_name(traded: Short) -> None:
    with pytest.raises(dg.DagsterUnknownPartitionError, match="2009-01-01"):
        traded.run(SESSION_CLOSE, partition=date(2009, 1, 1))


def test_profit_that_two_computations_do_not_share_is_seen(traded: Short) -> None:
    traded.platform.simulated_session(DAY).close()
    result = session_result(traded.platform.stages.parts, DAY)
    figures = traded.platform.ledger.session_figures(traded.platform.calendar.session(DAY))
    assert checks.profit_adds_up(result, figures).passed
    first, *others = result.results
    wrong = replace(result, results=(replace(first, fees=first.fees + Decimal("0.01")), *others))
    found = checks.profit_adds_up(wrong, figures)
    assert not found.passed
    assert first.symbol in str(found.metadata["differing"].value)


def test_other_bars_than_those_that_were_stored_stop_nothing(traded: Short, tmp_path: Path) -> None:
    assert traded.run(SESSION_CLOSE, partition=DAY).success
    # The file is mended after the close: what was traded on stays in the store.
    write_tape(tmp_path / "bars", TAPE.replace("AAA 13  49.30", "AAA 13  49.28"))
    traded.platform.provider.__init__(traded.platform.settings.market_data.folder)  # type: ignore[misc]
    again = traded.run(SESSION_CLOSE, partition=DAY)
    assert again.success
    assert checked(again) == {**dict.fromkeys(CHECKS, True), "bars_stored": False}
    assert set(made(again)) == set(ASSETS)


NEXT = DAY + timedelta(days=1)
# AAA stays at 50 after the first day's bars, which end before anything is sold; BBB comes to 21.
OVERNIGHT = """
AAA  0  50.00 50.00 50.00 50.00  50000
AAA  1  50.00 50.00 50.00 50.00  50000
AAA  2  49.90 49.90 49.90 49.90  50000
BBB  0  21.00 21.00 21.00 21.00  50000
BBB  1  21.00 21.00 21.00 21.00  50000
BBB  2  20.90 20.90 20.90 20.90  50000
"""


def test_the_nets_of_sessions_add_up_over_a_night_and_over_missed_minutes(
    tmp_path: Path, fresh_database: Callable[[], str]
) -> None:
    with short_session(tmp_path, fresh_database(), tape=upto_minute(5)) as short:
        write_tape(tmp_path / "bars", OVERNIGHT, NEXT)
        parts, nets = short.platform.stages.parts, []
        for day in (DAY, NEXT):
            short.run_minutes(day=day)
            assert short.run(SESSION_CLOSE, partition=day).success
            result = session_result(parts, day)
            nets.append(result.net)
            assert result.equity == 100_000 + sum(nets)
            assert result.equity_curve[-1][0] == short.platform.calendar.session(day).close
        # Something was held over the night, and its profit is not counted again.
        assert result.brought != 0
        assert nets[1] == result.totals.net - result.brought


# What makes each check fail, done to the books behind the platform's back.


def at_the_exchange(short: Short, *statements: str) -> None:
    with closing(sqlite3.connect(paper_book(short.platform.settings))) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def in_the_ledger(short: Short, *statements: str) -> None:
    """As a superuser whom no trigger holds back."""
    named = short.platform.settings.database_url
    assert named is not None
    engine = open_engine(named.reveal())
    with engine.begin() as connection:
        connection.execute(sa.text("SET session_replication_role = replica"))
        for statement in statements:
            connection.execute(sa.text(statement))
    engine.dispose()


def an_execution_is_gone(short: Short) -> None:
    """The last one: without an earlier one its sale would be refused before any check looks."""
    newest = "SELECT execution_id FROM fills ORDER BY serial DESC LIMIT 1"
    in_the_ledger(short, f"DELETE FROM fills WHERE execution_id = ({newest})")


def a_price_was_changed(short: Short) -> None:
    at_the_exchange(short, "UPDATE executions SET price = '49.0000' WHERE sequence = 1")


def an_order_stays_open(short: Short) -> None:
    in_the_ledger(
        short,
        "DELETE FROM order_events WHERE intent_id = (SELECT min(intent_id) FROM order_events) "
        "AND state NOT IN ('intended', 'acknowledged')",
    )


def the_exchange_holds_more(short: Short) -> None:
    at_the_exchange(short, "UPDATE holdings SET quantity = quantity + 7 WHERE symbol = 'AAA'")


def the_exchange_has_less_cash(short: Short) -> None:
    at_the_exchange(short, "UPDATE account SET cash = '100468.9900'")


@pytest.mark.parametrize("harm", [the_exchange_holds_more, the_exchange_has_less_cash])
def test_books_that_do_not_agree_stop_everything_that_comes_after(traded: Short, harm: Callable[[Short], None]) -> None:
    harm(traded)
    result = traded.run(SESSION_CLOSE, partition=DAY)
    assert not result.success
    assert checked(result) == {"no_breaks": False}
    assert set(made(result)) == {"reconciliation"}


def test_what_is_held_over_the_night_is_a_warning_that_stops_nothing(
    tmp_path: Path, fresh_database: Callable[[], str]
) -> None:
    # The tape ends while both are held: no bar comes any more on which an exit could fill.
    with short_session(tmp_path, fresh_database(), tape=upto_minute(5)) as short:
        short.run_minutes()
        result = short.run(SESSION_CLOSE, partition=DAY)
        assert result.success
        assert checked(result) == {**dict.fromkeys(CHECKS, True), "nothing_held_overnight": False}
        assert set(made(result)) == set(ASSETS)
        assert made(result)["reconciliation"]["held"] == 2


def upto_minute(last: int) -> str:
    return "\n".join(line for line in TAPE.splitlines() if line.strip() and int(line.split()[1]) <= last)


def test_every_check_of_the_books_blocks() -> None:
    specs = {name: checks.spec(name) for name in checks.SPECS}
    assert {name: spec.asset_key.to_user_string() for name, spec in specs.items()} == CHECKS
    assert {name for name, spec in specs.items() if not spec.blocking} == {"bars_stored", "nothing_held_overnight"}


LOOK: dict[str, Callable[[Platform], dg.AssetCheckResult]] = {
    "no_order_unresolved": lambda platform: checks.orders_resolved(platform, DAY),
    "ledger_equals_broker": lambda platform: checks.ledger_equals_broker(platform, DAY),
    "positions_equal_fills": checks.positions_equal_fills,
    "cash_adds_up": lambda platform: checks.cash_adds_up(
        platform, platform.ledger.session_figures(platform.calendar.session(DAY))
    ),
}


@pytest.mark.parametrize(
    ("check", "harm", "said"),
    [
        ("no_order_unresolved", an_order_stays_open, "acknowledged"),
        ("ledger_equals_broker", an_execution_is_gone, "short-"),
        ("ledger_equals_broker", a_price_was_changed, "short-"),
        ("positions_equal_fills", the_exchange_holds_more, "AAA: fold 0, sum 0, broker 7"),
        ("positions_equal_fills", an_execution_is_gone, "AAA: fold"),
        ("cash_adds_up", the_exchange_has_less_cash, "100468.99"),
        ("cash_adds_up", an_execution_is_gone, "100469"),
    ],
)
def test_each_check_sees_what_it_is_for(traded: Short, check: str, harm: Callable[[Short], None], said: str) -> None:
    look = LOOK[check]
    traded.platform.simulated_session(DAY).close()
    assert look(traded.platform).passed
    harm(traded)
    found = look(traded.platform)
    assert not found.passed
    assert said in str({name: value.value for name, value in found.metadata.items()})
