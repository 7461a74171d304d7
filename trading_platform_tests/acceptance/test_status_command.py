"""`trading-platform status` and `enable`, as a person types them, on books that stand in every state."""

import json
import os
import pwd
import subprocess
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from trading_platform.bootstrap import Platform
from trading_platform.domain.clock import SystemClock
from trading_platform.domain.commands import CommandAction
from trading_platform.ledger import migrate
from trading_platform.ledger.connection import open_engine
from trading_platform.ledger.ledger import Ledger
from trading_platform.terminal.demo_book import DemoState, write_state
from trading_platform_tests.sessions.books import Book, run_until, with_parts
from trading_platform_tests.sessions.console import new_checkout
from trading_platform_tests.sessions.line import Line
from trading_platform_tests.sessions.tape import DAY, TAPE, write_tape

Done = subprocess.CompletedProcess[str]


@pytest.fixture
def book(tmp_path: Path, fresh_database: Callable[..., str]) -> Book:
    bars = write_tape(tmp_path / "bars", TAPE)
    return Book(name="tape", database_url=fresh_database(empty=True), data_folder=tmp_path / "data", bars=bars)


@pytest.fixture
def platform(book: Book) -> Iterator[Platform]:
    with book.open() as made:
        yield made


@pytest.fixture
def typed(tmp_path: Path, book: Book) -> Callable[..., Done]:
    """What a person types, on the server on which the book is."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    checkout = new_checkout(folder)

    def run(*arguments: str, **variables: str) -> Done:
        return checkout.run(*arguments, seconds=120, **{"DATABASE_URL": book.database_url} | variables)

    return run


def status(typed: Callable[..., Done], *arguments: str, **variables: str) -> dict[str, Any]:
    done = typed("status", "--book", "tape", "--json", *arguments, **variables)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


# Without a database, and without a book.


def test_a_database_that_is_down_is_said_and_nothing_is_started(tmp_path: Path) -> None:
    checkout = new_checkout(tmp_path)
    done = checkout.run("status")
    assert done.returncode == 1
    assert "does not answer" in done.stdout
    assert "trading-platform db start" in done.stdout
    assert not checkout.data.exists()
    found = json.loads(checkout.run("status", "--json").stdout)
    assert (found["database"]["running"], found["book"], found["environment"]) == (False, None, "dev")


def test_a_named_database_that_is_down_is_said_without_its_password(typed: Callable[..., Done]) -> None:
    done = typed("status", DATABASE_URL="postgresql://me:hunter2@127.0.0.1:1/ledger")
    assert done.returncode == 1
    assert "127.0.0.1:1/ledger" in done.stdout
    assert "hunter2" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_new_database_and_a_book_that_was_never_traded_are_no_fault(typed: Callable[..., Done], book: Book) -> None:
    done = typed("status")
    assert done.returncode == 0, done.stderr
    assert "revision none" in done.stdout
    assert "paper: it has not been traded yet" in done.stdout
    engine = open_engine(book.database_url)
    assert migrate.current_revision(engine) is None
    migrate.upgrade(engine)
    engine.dispose()
    found = status(typed)
    assert (found["database"]["revision"], found["named_book"], found["book"]) == (
        migrate.HEAD,
        "tape",
        None,
    )


def test_tables_of_an_earlier_version_are_named_and_left_alone(typed: Callable[..., Done], book: Book) -> None:
    engine = open_engine(book.database_url)
    migrate.upgrade(engine, "0001")
    done = typed("status")
    assert done.returncode == 1
    assert "at revision 0001 and this version needs" in done.stdout
    assert "trading-platform db migrate" in done.stdout
    assert migrate.current_revision(engine) == "0001"
    engine.dispose()


def test_left_out_the_book_is_the_latest_demos(tmp_path: Path, book: Book) -> None:
    checkout = new_checkout(tmp_path)
    state = DemoState(number=3, session=DAY.isoformat(), configuration={}, finished=True)
    write_state(checkout.data, state)
    engine = open_engine(book.database_url)
    migrate.upgrade(engine)
    now = SystemClock().now()

    def shown() -> str:
        named: str = json.loads(checkout.run("status", "--json", DATABASE_URL=book.database_url).stdout)["named_book"]
        return named

    Ledger(engine, book="demo-3").open_book(Decimal(1), now)
    assert shown() == "demo-3"
    # The configured one comes first, once there is one.
    Ledger(engine, book="paper").open_book(Decimal(1), now)
    assert shown() == "paper"
    engine.dispose()


# A book that trades.


def test_a_book_in_mid_session(platform: Platform, typed: Callable[..., Done]) -> None:
    run_until(platform, 2)
    found = status(typed)
    of_book = found["book"]
    assert found["database"]["running"] is True
    assert (found["clock"], found["strategies"]) == ("simulated", ["gap_and_go", "vwap_reclaim"])
    assert (of_book["session"]["session"], of_book["session"]["finished_at"]) == (DAY.isoformat(), None)
    last = of_book["last"]
    assert (last["minute"], last["bar_time"], last["mode"]) == (2, "2013-10-09T13:32:00+00:00", "normal")
    header = platform.ledger.last_cycle()
    assert header is not None
    assert (last["equity"], last["day_pnl"]) == (str(header.equity), str(header.equity - header.open_equity))
    # A tenth of the bar's volume: 100 shares of AAA, and all 320 of BBB.
    held = [(one["symbol"], one["quantity"]) for one in of_book["holdings"]]
    assert held == [("AAA", 100), ("BBB", 320)]
    working = {(one["symbol"], one["kind"], one["state"], one["filled"]) for one in of_book["open_orders"]}
    assert ("AAA", "entry", "partially_filled", 100) in working
    assert ("BBB", "stop", "acknowledged", 0) in working
    (owner,) = of_book["owners"]
    assert (owner["owner"], owner["shards"], owner["leased"]) == ("job/local", 64, True)
    assert (of_book["unknown_orders"], of_book["breaks"], of_book["disabled"]) == ([], [], [])
    said = typed("status", "--book", "tape").stdout
    for words in (
        "session     2013-10-09, open",
        "minute 2 (the bar of 09:32), decided at 09:33:00",
        "positions   100 AAA (timed_entry)",
        "owner       job/local: 64 shards, lease until",
        "disabled    none",
    ):
        assert words in said


def test_a_finished_session_is_open_no_more_and_owned_by_nobody(platform: Platform, typed: Callable[..., Done]) -> None:
    run_until(platform, 1)
    platform.ledger.append_command(
        CommandAction.FLATTEN, at=platform.clock.now(), who="ada", reason="news", session=DAY
    )
    platform.stages.release()
    platform.ledger.finish_session(DAY, platform.clock.now())
    found = status(typed)["book"]
    assert found["session"]["finished_at"] is not None
    assert (found["owners"], found["flatten_wanted"]) == ([], True)
    said = typed("status", "--book", "tape").stdout
    assert "session     2013-10-09, finished" in said
    assert "owner       none" in said
    assert "flatten     wanted" in said


def test_orders_whose_outcome_is_unknown_and_breaks_are_named(platform: Platform, typed: Callable[..., Done]) -> None:
    seen = with_parts(platform, broker=Line(broker=platform.broker, loses="request", more={"AAA": 5}))
    run_until(seen, 1)
    found = status(typed)["book"]
    assert sorted(found["unknown_orders"]) == sorted(one.intent.id for one in platform.ledger.orders())
    (difference,) = found["breaks"]
    assert (difference["venue"], difference["subject"], difference["name"]) == ("paper", "position", "AAA")
    assert (difference["what"], difference["difference"]) == ("0 shares in the ledger, 5 at the broker", "5")
    assert (found["away"], found["oddities"], found["halted"], found["unfinished"]) == ([], [], None, [])
    assert "breaks      AAA: 0 shares in the ledger, 5 at the broker" in typed("status", "--book", "tape").stdout


# Rule 12: only a person enables again.

LIMIT = {"TRADING_PLATFORM__LIMITS__MAX_ENTRIES_PER_DAY": "1"}
ENABLE = ("enable", "timed_entry", "AAA", "--book", "tape", "--reason")


def test_a_person_enables_what_was_disabled(platform: Platform, typed: Callable[..., Done]) -> None:
    run_until(platform, 1)
    disabled = status(typed, **LIMIT)["book"]["disabled"]
    assert disabled == [{"strategy": "timed_entry", "symbol": symbol} for symbol in ("AAA", "BBB")]
    done = typed(*ENABLE, "the feed is mended", LOGNAME="somebody-else", **LIMIT)
    assert done.returncode == 0, done.stderr
    assert "timed_entry may enter AAA again in book tape" in done.stdout
    (command,) = platform.ledger.commands()
    # The environment cannot say that it was somebody else.
    assert command.who == pwd.getpwuid(os.geteuid()).pw_name
    assert (command.action, command.strategy, command.symbol, command.reason) == (
        CommandAction.ENABLE,
        "timed_entry",
        "AAA",
        "the feed is mended",
    )
    assert [one["symbol"] for one in status(typed, **LIMIT)["book"]["disabled"]] == ["BBB"]
    again = typed(*ENABLE, "once more", **LIMIT)
    assert again.returncode == 2
    assert "timed_entry AAA is not disabled. Disabled are: timed_entry BBB" in again.stderr
    assert len(platform.ledger.commands()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("enable", "timed_entry", "AAA", "--book", "tape"), "Missing option '--reason'"),
        ((*ENABLE, " "), "--reason: no reason is given. Say why, for the record."),
        ((*ENABLE, "why"), "timed_entry AAA is not disabled. Nothing is: there is nothing to enable."),
        (("enable", "nobody", "AAA", "--book", "tape", "--reason", "why"), "nobody AAA is not disabled"),
        (("enable", "timed_entry", "AAA", "--book", "none", "--reason", "why"), "there is no book 'none'"),
    ],
)
def test_what_cannot_be_enabled_is_refused_in_a_sentence(
    platform: Platform, typed: Callable[..., Done], arguments: tuple[str, ...], said: str
) -> None:
    run_until(platform, 0)
    done = typed(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert platform.ledger.commands() == ()
