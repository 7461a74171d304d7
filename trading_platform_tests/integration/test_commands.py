"""Commands of persons, and the counts that rules 9 and 12 go by, on a real ledger."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from trading_platform.domain.clock import SystemClock
from trading_platform.domain.commands import Command, CommandAction
from trading_platform.domain.errors import DatabaseUnavailable, Inconsistent
from trading_platform.domain.orders import IntentKind, OrderIntent, OrderType
from trading_platform.ledger import commands
from trading_platform.ledger.connection import reading
from trading_platform.ledger.ledger import Ledger

if TYPE_CHECKING:
    from trading_platform_tests.integration.conftest import LedgerValues

NOW = datetime(2013, 10, 9, 13, 31, tzinfo=UTC)
SESSION = date(2013, 10, 9)
NEXT_SESSION = date(2013, 10, 10)
IBM = ("gap_and_go", "IBM")


def enable(ledger: Ledger, strategy: str = "gap_and_go", symbol: str = "IBM") -> Command:
    return ledger.append_command(
        CommandAction.ENABLE, at=NOW, who="ada", reason="the feed is mended", strategy=strategy, symbol=symbol
    )


def flatten(ledger: Ledger, session: date = SESSION) -> Command:
    return ledger.append_command(CommandAction.FLATTEN, at=NOW, who="ada", reason="news", session=session)


def enter(ledger: Ledger, *intents: OrderIntent, session: date = SESSION) -> None:
    with ledger.take("job") as lease:
        ledger.record_intents(session, intents, lease.ownership)


def entries(values: "LedgerValues", minutes: range, symbol: str = "IBM", **more: str) -> list[OrderIntent]:
    return [values.intent(minute, symbol, **more) for minute in minutes]


# What is recorded.


def test_a_command_reads_back_as_it_was_given(ledger: Ledger) -> None:
    given = enable(ledger)
    assert (given.who, given.action, given.strategy, given.symbol) == ("ada", CommandAction.ENABLE, "gap_and_go", "IBM")
    assert (given.book, given.session, given.reason, given.at) == ("paper", None, "the feed is mended", NOW)
    # The database's own clock is the real one.
    assert abs(SystemClock().now() - given.recorded_at) < timedelta(minutes=1)
    sale = flatten(ledger)
    assert sale.id > given.id
    assert ledger.commands() == (given, sale)
    assert ledger.commands(SESSION) == (sale,)
    assert ledger.commands(NEXT_SESSION) == ()


@pytest.mark.parametrize(
    ("action", "named", "constraint"),
    [
        (CommandAction.ENABLE, {"strategy": "gap_and_go"}, "ck_commands_enable"),
        (CommandAction.ENABLE, {"symbol": "IBM"}, "ck_commands_enable"),
        (CommandAction.ENABLE, {"strategy": "s", "symbol": "IBM", "session": SESSION}, "ck_commands_enable"),
        (CommandAction.FLATTEN, {}, "ck_commands_flatten"),
        (CommandAction.FLATTEN, {"session": SESSION, "symbol": "IBM"}, "ck_commands_flatten"),
    ],
)
def test_a_command_names_what_its_action_takes(
    ledger: Ledger, action: CommandAction, named: dict[str, str | date], constraint: str
) -> None:
    with pytest.raises(Inconsistent, match=constraint):
        ledger.append_command(action, at=NOW, who="ada", reason="why", **named)  # type: ignore[arg-type]
    assert ledger.commands() == ()


@pytest.mark.parametrize(("who", "reason"), [("", "why"), ("ada", " "), (" ", "why")])
def test_a_command_says_who_and_why(ledger: Ledger, who: str, reason: str) -> None:
    with pytest.raises(Inconsistent, match="ck_commands_said"):
        ledger.append_command(CommandAction.FLATTEN, at=NOW, who=who, reason=reason, session=SESSION)


def test_commands_belong_to_their_book(ledger: Ledger, values: "LedgerValues") -> None:
    enter(ledger, *entries(values, range(2)))
    other = Ledger(ledger.engine, book="live")
    with pytest.raises(Inconsistent, match="fk_commands_books"):
        flatten(other)
    other.open_book(Decimal(1), NOW)
    other.open_session(SESSION, {}, NOW)
    flatten(other)
    enable(other)
    assert ledger.commands() == ()
    assert not ledger.flatten_wanted(SESSION)
    assert ledger.disabled(2) == {IBM}
    assert other.disabled(1) == frozenset()
    assert (other.entries_sent(SESSION), other.orders_sent(SESSION)) == ({}, {})


def test_a_flattening_is_for_its_session_alone(ledger: Ledger) -> None:
    assert not ledger.flatten_wanted(SESSION)
    flatten(ledger)
    assert ledger.flatten_wanted(SESSION)
    assert not ledger.flatten_wanted(NEXT_SESSION)


# Rule 12.


def test_a_pair_is_disabled_at_the_limit_and_not_before(ledger: Ledger, values: "LedgerValues") -> None:
    enter(ledger, *entries(values, range(3)), *entries(values, range(2), "SPY"))
    enter(ledger, *entries(values, range(1), strategy="vwap_reclaim"))
    assert ledger.entries_sent(SESSION) == {IBM: 3, ("gap_and_go", "SPY"): 2, ("vwap_reclaim", "IBM"): 1}
    assert ledger.disabled(4) == frozenset()
    assert ledger.disabled(3) == {IBM}
    assert ledger.disabled(2) == {IBM, ("gap_and_go", "SPY")}


def test_only_entries_count(ledger: Ledger, values: "LedgerValues") -> None:
    entry = values.intent(0)
    stop = values.intent(0, kind=IntentKind.STOP, type=OrderType.STOP, stop_price=Decimal(9), parent=entry.id)
    enter(ledger, entry, stop, values.intent(1, kind=IntentKind.EXIT))
    assert ledger.entries_sent(SESSION) == {IBM: 1}
    assert ledger.disabled(2) == frozenset()


def test_entries_of_different_sessions_do_not_add_up(ledger: Ledger, values: "LedgerValues") -> None:
    ledger.open_session(NEXT_SESSION, {}, NOW)
    enter(ledger, *entries(values, range(2)))
    enter(ledger, *entries(values, range(1440, 1442)), session=NEXT_SESSION)
    assert ledger.disabled(3) == frozenset()
    assert ledger.entries_sent(NEXT_SESSION) == {IBM: 2}


def test_a_disabled_pair_stays_so_over_sessions_until_it_is_enabled(ledger: Ledger, values: "LedgerValues") -> None:
    ledger.open_session(NEXT_SESSION, {}, NOW)
    enter(ledger, *entries(values, range(3)), *entries(values, range(3), "SPY"))
    enter(ledger, *entries(values, range(1440, 1441)), session=NEXT_SESSION)
    assert ledger.disabled(3) == {IBM, ("gap_and_go", "SPY")}
    enable(ledger)
    assert ledger.disabled(3) == {("gap_and_go", "SPY")}
    # In the same session it counts from nothing again.
    assert ledger.entries_sent(NEXT_SESSION) == {}
    enter(ledger, *entries(values, range(1441, 1443)), session=NEXT_SESSION)
    assert IBM not in ledger.disabled(3)
    enter(ledger, *entries(values, range(1443, 1444)), session=NEXT_SESSION)
    assert IBM in ledger.disabled(3)
    assert ledger.entries_sent(NEXT_SESSION) == {IBM: 3}


def test_those_that_are_asked_for_are_looked_at_and_no_others(ledger: Ledger, values: "LedgerValues") -> None:
    enter(ledger, *entries(values, range(3)), *entries(values, range(3), "SPY"))
    enter(ledger, *entries(values, range(1), strategy="vwap_reclaim"))
    assert ledger.disabled(3, [IBM]) == {IBM}
    assert ledger.disabled(3, [IBM, ("vwap_reclaim", "IBM"), ("gap_and_go", "XYZ")]) == {IBM}
    assert ledger.disabled(1, [("vwap_reclaim", "IBM")]) == {("vwap_reclaim", "IBM")}
    # A strategy and a symbol are asked for together: two pairs are not four.
    assert ledger.disabled(3, [("gap_and_go", "XYZ"), ("vwap_reclaim", "SPY")]) == frozenset()
    assert ledger.disabled(1, []) == frozenset()
    enable(ledger)
    assert ledger.disabled(3, [IBM, ("gap_and_go", "SPY")]) == {("gap_and_go", "SPY")}


def test_of_those_that_are_asked_for_the_index_gives_only_their_entries(ledger: Ledger, values: "LedgerValues") -> None:
    enter(ledger, *entries(values, range(2)), *(values.intent(0, f"S{number}") for number in range(300)))
    with ledger.engine.begin() as connection:
        connection.execute(sa.text("ANALYZE intents"))
        found = connection.execute(
            sa.text(f"EXPLAIN (ANALYZE, FORMAT JSON) {commands._DISABLED_OF.text.partition('*/')[2]}"),
            {"book": "paper", "limit": 2, "strategies": ["gap_and_go"], "symbols": ["IBM"]},
        ).scalar_one()
    read = [one for one in nodes(found[0]["Plan"]) if one.get("Relation Name") == "intents"]
    assert [one["Actual Rows"] + one.get("Rows Removed by Filter", 0) for one in read] == [2]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


def test_the_entries_of_a_year_are_counted_out_of_the_index(ledger: Ledger) -> None:
    with ledger.engine.connect() as connection:
        connection.execute(sa.text("SET enable_seqscan = off"))
        plan = connection.execute(
            sa.text(f"EXPLAIN {commands._DISABLED.text.partition('*/')[2]}"), {"book": "paper", "limit": 10}
        ).scalars()
        assert "ix_intents_entries" in " ".join(plan)


# Rule 9.


def test_orders_are_counted_by_strategy_since_a_moment_of_their_cycles_clock(
    ledger: Ledger, values: "LedgerValues"
) -> None:
    first, second = values.intent(0), values.intent(1, strategy="vwap_reclaim")
    stop = values.intent(0, kind=IntentKind.STOP, type=OrderType.STOP, stop_price=Decimal(9), parent=first.id)
    changes = [values.intent(1, kind=IntentKind.CANCEL, target=first.id), values.intent(1, kind=IntentKind.EXIT)]
    with ledger.take("job") as lease:
        ledger.record_cycle(values.cycle(0), [first, stop], lease.ownership)
        ledger.record_cycle(values.cycle(1), [second, *changes], lease.ownership)
    assert ledger.orders_sent(SESSION) == {"gap_and_go": 3, "vwap_reclaim": 1}
    # The second cycle was decided at the end of its bar. A moment itself is not after itself.
    end = values.bar(2)
    assert ledger.orders_sent(SESSION, end - timedelta(microseconds=1)) == {"gap_and_go": 2, "vwap_reclaim": 1}
    assert ledger.orders_sent(SESSION, end) == {}
    assert ledger.orders_sent(SESSION, end - timedelta(minutes=1)) == {"gap_and_go": 2, "vwap_reclaim": 1}
    assert ledger.orders_sent(NEXT_SESSION) == {}


def test_an_order_of_no_cycle_counts_from_its_commands_moment(ledger: Ledger, values: "LedgerValues") -> None:
    exit_order = values.intent(0, kind=IntentKind.EXIT)
    enter(ledger, exit_order)
    assert ledger.orders_sent(SESSION, exit_order.bar_time - timedelta(seconds=1)) == {"gap_and_go": 1}
    assert ledger.orders_sent(SESSION, exit_order.bar_time) == {}


# Rule 11, first half: the same intent id ever.


def test_an_intent_is_committed_once_for_ever(ledger: Ledger, values: "LedgerValues") -> None:
    ledger.open_session(NEXT_SESSION, {}, NOW)
    entry = values.intent(0)
    enter(ledger, entry)
    for again in (entry, replace(entry, quantity=7)):
        with pytest.raises(Inconsistent, match="pk_intents"):
            enter(ledger, again)
        with pytest.raises(Inconsistent, match="pk_intents"):
            enter(ledger, again, session=NEXT_SESSION)
    assert [status.intent for status in ledger.orders()] == [entry]
    # The control: without the constraint it would be there twice.
    with ledger.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE intents DROP CONSTRAINT pk_intents CASCADE"))
    enter(ledger, entry)
    assert [status.intent for status in ledger.orders()] == [entry, entry]


# Rule 28.


@pytest.mark.parametrize("ahead", [timedelta(), timedelta(seconds=-3), timedelta(hours=1)])
def test_the_skew_of_a_clock_is_what_the_databases_clock_is_ahead_of_it(ledger: Ledger, ahead: timedelta) -> None:
    ledger.is_open()
    skew = ledger.clock_skew(SystemClock().now() - ahead)
    assert abs(skew - ahead) < timedelta(milliseconds=200)


def test_the_way_to_the_database_is_no_skew(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def slow(engine: sa.Engine) -> Iterator[sa.Connection]:
        time.sleep(0.7)
        with reading(engine) as connection:
            yield connection

    module = "trading_platform.ledger.ledger"
    monkeypatch.setattr(f"{module}.reading", slow)
    assert abs(ledger.clock_skew(SystemClock().now())) < timedelta(milliseconds=200)
    # The control: without the stopwatch the time that it took to get there is taken for a skew.
    monkeypatch.setattr(f"{module}.perf_counter", lambda: 0.0)
    assert ledger.clock_skew(SystemClock().now()) > timedelta(milliseconds=600)


def test_a_command_that_cannot_be_recorded_says_so() -> None:
    ledger = Ledger("postgresql://me@127.0.0.1:1/ledger", book="paper")
    with pytest.raises(DatabaseUnavailable, match="does not answer"):
        flatten(ledger)
