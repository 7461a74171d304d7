"""`trading-platform session open` and `session close`, as a person types them, and what --flatten does to a session."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from trading_platform.domain.commands import CommandAction
from trading_platform.domain.decisions import DecisionKind, ExitCause, Rule, Verdict
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.orders import IntentKind
from trading_platform_tests.sessions.console import Checkout, new_checkout
from trading_platform_tests.sessions.five import EXAMPLE, FIRST, MINUTES
from trading_platform_tests.sessions.short import MINUTES as TAPE_MINUTES
from trading_platform_tests.sessions.short import Short, short_session
from trading_platform_tests.sessions.tape import DAY


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    made = new_checkout(tmp_path_factory.mktemp("checkout"))
    told = {
        "market_hours": {"calendar": "every_day", "open": "09:30", "close": "09:54"},
        "limits": {"closing_minutes": 1},
        "active_strategies": [
            {
                "name": "opening_range_breakout",
                "file": str(EXAMPLE),
                "parameters": {"range_minutes": 2, "last_entry": 20},
            }
        ],
    }
    (made.folder / "settings.yaml").write_text(yaml.safe_dump(told))
    yield made
    made.server.stop()


def command(checkout: Checkout, *words: str, book: str, code: int = 0) -> Any:
    done = checkout.run(
        "session", *words, "--session", FIRST.isoformat(), "--book", book, TRADING_PLATFORM_CONFIG="settings.yaml"
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout) if "--json" in words else done.stdout + done.stderr


def test_a_session_is_opened_run_and_closed(checkout: Checkout) -> None:
    opened = command(checkout, "open", "--json", book="day")
    assert (opened["book"], opened["session"], len(opened["tradable"])) == ("day", FIRST.isoformat(), 8)
    assert set(opened["checks"]) == {"session", "database", "clock", "broker", "market data", "strategies"}
    assert "is open" in command(checkout, "open", book="day")
    command(checkout, "run", book="day")
    closed = command(checkout, "close", "--json", book="day")
    assert (closed["closed"], closed["held"], closed["breaks"], closed["unresolved"]) == (True, {}, [], [])
    assert command(checkout, "close", "--json", book="day") == closed


def test_a_session_that_is_not_over_is_not_closed_without_a_word(checkout: Checkout) -> None:
    said = command(checkout, "close", book="never", code=2)
    assert "the book 'never' has not opened the session 2024-06-10" in said
    command(checkout, "open", book="begun")
    said = command(checkout, "close", book="begun", code=2)
    assert "24 minutes of the session 2024-06-10 are not run" in said


def test_a_session_with_minutes_to_come_is_not_closed(held: Short) -> None:
    with pytest.raises(InvalidInput, match=r"19 minutes .* are not run\. Run them first, or sell everything now"):
        held.platform.simulated_session(DAY).close()


def test_a_day_without_a_session_is_refused(checkout: Checkout) -> None:
    done = checkout.run("session", "open", "--session", "2024-11-28")
    assert done.returncode == 2
    assert "2024-11-28 (Thursday) is not a session of XNYS. The nearest sessions are 2024-11-27 and 2024-11-29." in (
        done.stderr
    )


def test_what_is_not_ready_says_all_of_it(checkout: Checkout) -> None:
    config = checkout.folder / "restricted.yaml"
    told = yaml.safe_load((checkout.folder / "settings.yaml").read_text())
    told["limits"]["restricted_symbols"] = ["SIMA"]
    told["market_data"] = {"symbols": ["SIMA"]}
    config.write_text(yaml.safe_dump(told))
    done = checkout.run(
        "session", "open", "--session", FIRST.isoformat(), "--book", "none", TRADING_PLATFORM_CONFIG=str(config)
    )
    assert done.returncode == 1
    assert "the session 2024-06-10 is not ready: market data" in done.stderr
    assert "SIMA: it is on the restricted list" in done.stdout


def test_flatten_sells_everything_at_once_and_the_session_ends_flat(checkout: Checkout) -> None:
    closed = command(checkout, "close", "--flatten", "going home", "--json", book="flat")
    assert (closed["closed"], closed["held"]) == (True, {})
    orders = checkout.run("orders", "--book", "flat", "--json", TRADING_PLATFORM_CONFIG="settings.yaml")
    # It was flat from the first minute on, so that nothing was ever entered.
    assert json.loads(orders.stdout) == []
    assert MINUTES == TAPE_MINUTES


# What the command does to a session in which something is held, minute by minute.


@pytest.fixture
def held(tmp_path: Path, fresh_database: Callable[[], str]) -> Iterator[Short]:
    """After minute 4 of the tape, in which BBB is held whole and AAA has come in pieces."""
    with short_session(tmp_path, fresh_database()) as made:
        made.run_minutes(upto=5)
        assert {one.symbol for one in made.platform.ledger.holdings().positions.values() if one.quantity} == {
            "AAA",
            "BBB",
        }
        yield made


def flatten(short: Short) -> None:
    now = short.platform.clock.now()
    short.platform.ledger.append_command(CommandAction.FLATTEN, at=now, who="somebody", reason="a test", session=DAY)


def test_the_next_cycle_sells_all_that_is_held(held: Short) -> None:
    flatten(held)
    held.run_minutes(upto=6)
    ledger, opens = held.platform.ledger, held.platform.calendar.session(DAY).open
    decided = [one for one in ledger.decisions(DAY) if (one.bar_time - opens).total_seconds() == 5 * 60]
    exits = {one.symbol: one for one in decided if one.kind is DecisionKind.EXIT}
    quantities = {one.symbol: one.quantity for one in ledger.holdings().positions.values()}
    assert {symbol: one.cause for symbol, one in exits.items()} == dict.fromkeys(("AAA", "BBB"), ExitCause.FLAT_BY)
    assert {symbol: one.quantity for symbol, one in exits.items()} == quantities
    held.run_minutes(upto=16)
    assert not [one for one in ledger.holdings().positions.values() if one.quantity]
    # Resting stops have gone with it: nothing is left that could sell short.
    assert ledger.open_orders(DAY) == ()


def test_without_the_command_the_same_minute_goes_on_as_planned(held: Short) -> None:
    # The control: what is seen above comes from the command alone.
    held.run_minutes(upto=6)
    opens = held.platform.calendar.session(DAY).open
    decided = [one for one in held.platform.ledger.decisions(DAY) if (one.bar_time - opens).total_seconds() == 5 * 60]
    assert ExitCause.FLAT_BY not in {one.cause for one in decided}


def test_no_entry_is_made_after_it(tmp_path: Path, fresh_database: Callable[[], str]) -> None:
    with short_session(tmp_path, fresh_database()) as short:
        short.run_minutes(upto=1)
        flatten(short)
        short.run_minutes()
        ledger = short.platform.ledger
        entries = [one for one in ledger.decisions(DAY) if one.kind is DecisionKind.ENTER]
        assert [(one.verdict, one.rule) for one in entries] == [(Verdict.REFUSED, Rule.SESSION_WINDOW)] * 2
        assert not [one for one in ledger.orders(DAY) if one.intent.kind is IntentKind.ENTRY]


def test_a_working_entry_is_cancelled(tmp_path: Path, fresh_database: Callable[[], str]) -> None:
    with short_session(tmp_path, fresh_database()) as short:
        # AAA comes in over three bars; two of them have filled.
        short.run_minutes(upto=3)
        flatten(short)
        short.run_minutes(upto=4)
        kinds = {(one.intent.kind, one.intent.symbol) for one in short.platform.ledger.orders(DAY)}
        assert (IntentKind.CANCEL, "AAA") in kinds
