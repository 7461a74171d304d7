"""`halt`, `resume`, `orders cancel`, `positions close`, `reconnect` and `reconcile`, as a person types them."""

import json
import os
import pwd
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from trading_platform.bootstrap import Platform
from trading_platform.domain.commands import CommandAction
from trading_platform_tests.sessions.books import Book, go_on_until, run_until, with_parts
from trading_platform_tests.sessions.console import Checkout, new_checkout
from trading_platform_tests.sessions.line import Line
from trading_platform_tests.sessions.tape import DAY, TAPE, write_tape

Done = subprocess.CompletedProcess[str]
ME = pwd.getpwuid(os.geteuid()).pw_name

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def book(tmp_path: Path, fresh_database: Callable[[], str]) -> Book:
    bars = write_tape(tmp_path / "bars", TAPE)
    return Book(name="tape", database_url=fresh_database(), data_folder=tmp_path / "data", bars=bars, timed_entry=True)


@pytest.fixture
def checkout(tmp_path: Path, book: Book) -> Checkout:
    """A folder with the settings of the book, on its own database and data."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    told = {
        "account": {"book": book.name},
        "market_data": {"provider": "lean", "folder": str(book.bars), "symbols": list(book.symbols)},
        "active_strategies": [{"name": "vwap_reclaim", "profile": "quiet"}],
    }
    (folder / "settings.yaml").write_text(yaml.safe_dump(told))
    return new_checkout(folder)


@pytest.fixture
def typed(book: Book, checkout: Checkout) -> Callable[..., Done]:
    def run(*arguments: str, code: int = 0) -> Done:
        done = checkout.run(
            *arguments,
            seconds=200,
            COLUMNS="1000",
            DATABASE_URL=book.database_url,
            TRADING_PLATFORM_CONFIG="settings.yaml",
            TRADING_PLATFORM_DATA=str(book.data_folder),
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


@contextmanager
def trading(book: Book, minute: int, **shown: Any) -> Iterator[Platform]:
    """The book in mid-session, its shards given back."""
    with book.open() as platform:
        made = with_parts(platform, broker=Line(broker=platform.broker, **shown)) if shown else platform
        run_until(made, minute)
        made.stages.release()
        yield made
        made.stages.release()


def told(typed: Callable[..., Done], *arguments: str, code: int = 0) -> Any:
    return json.loads(typed(*arguments, "--json", code=code).stdout)


def test_a_halt_stands_until_it_is_resumed(book: Book, typed: Callable[..., Done]) -> None:
    with trading(book, 0) as platform:
        said = typed("halt", "--reason", "the feed lags").stdout
        assert f"Entries are halted in book tape (command 1, by {ME}: the feed lags)" in said
        # A second one is told of the first.
        again = typed("halt", "--reason", "again").stdout
        assert f"Entries were halted already in book tape (command 1, by {ME}: the feed lags)" in again
        assert told(typed, "halt", "--reason", "again")["id"] == 1
        assert f"halted      by {ME}: the feed lags" in typed("status").stdout
        assert told(typed, "status")["book"]["halted"]["reason"] == "the feed lags"
        go_on_until(platform, 2)
        assert platform.ledger.orders() == ()
        platform.stages.release()
        assert "may enter again from its next minute on" in typed("resume", "--reason", "mended").stdout
        assert told(typed, "status")["book"]["halted"] is None
        assert "nothing is halted. There is nothing to resume" in typed("resume", "--reason", "x", code=2).stderr
        assert [one.action for one in platform.ledger.commands()] == [CommandAction.HALT, CommandAction.RESUME]


def test_all_positions_are_closed_when_nothing_else_runs(book: Book, typed: Callable[..., Done]) -> None:
    with trading(book, 3) as platform:
        found = told(typed, "positions", "close", "--all", "--halt", "--reason", "fire")
        assert (found["book"], found["action"], found["done"], found["obeyed_by"]) == ("tape", "close_all", True, None)
        assert (found["held"], found["open_orders"], found["breaks"], found["away"]) == ([], [], [], [])
        assert [one.action for one in platform.ledger.commands()] == [CommandAction.HALT, CommandAction.CLOSE_ALL]
        assert dict(platform.broker.positions()) == {}
        assert told(typed, "positions") == []
        # Nothing is left to do, and it can be said again.
        again = typed("positions", "close", "--all", "--reason", "fire").stdout
        assert "Nothing was held, and no order was open (command 3). Entries are halted; to end that:" in again


def test_all_orders_are_cancelled_and_what_is_held_stays(book: Book, typed: Callable[..., Done]) -> None:
    with trading(book, 3) as platform:
        said = typed("orders", "cancel", "--all", "--reason", "fire").stdout
        assert "No order is open any more (command 1). The next cycle protects what is held again." in said
        assert platform.broker.open_orders() == ()
        assert {one["symbol"] for one in told(typed, "positions")} == {"AAA", "BBB"}
        # The reading commands are as they were.
        assert {one["kind"] for one in told(typed, "orders", "--session", str(DAY))} >= {"entry", "stop", "cancel"}


def test_where_another_process_has_the_book_it_obeys(book: Book, typed: Callable[..., Done]) -> None:
    with trading(book, 3) as platform, platform.ledger.take("job/elsewhere"):
        said = typed("positions", "close", "--all", "--reason", "fire").stdout
        assert "Recorded as command 1. Another process has the book, and obeys from its next cycle on" in said
        assert "job/elsewhere" in said
        status = typed("status").stdout
        assert f"not done    close all (command 1, by {ME}: fire)" in status
        assert [one["id"] for one in told(typed, "status")["book"]["unfinished"]] == [1]


def test_breaks_are_shown_and_accepted(book: Book, typed: Callable[..., Done]) -> None:
    with trading(book, 1) as platform:
        assert "Ledger and brokers agree in book tape." in typed("reconcile").stdout
        assert "paper answers: 100000" in typed("reconnect").stdout
        # Somebody buys at the exchange, and the ledger knows nothing of it.
        buy_by_hand(platform)
        go_on_until(platform, 3)
        platform.stages.release()
    said = typed("reconcile", code=1).stdout
    assert "paper, BBB: execution" in said
    found = told(typed, "reconcile", code=1)
    assert {one["subject"] for one in found["breaks"]} == {"execution", "position", "cash"}
    assert all(one["venue"] == "paper" for one in found["breaks"])
    position = next(one for one in found["breaks"] if one["subject"] == "position")
    assert (position["name"], position["difference"]) == ("BBB", "7")
    unknown = typed("reconcile", "--accept", "ZZZ", "--reason", "x", code=2).stderr
    assert "--accept: no break is about 'ZZZ'. Breaks are about: BBB, cash" in unknown
    assert "--reason: no reason is given" in typed("reconcile", "--accept", "all", code=2).stderr
    left = told(typed, "reconcile", "--accept", "cash", "--reason", "bought by hand", code=1)
    assert left["accepted"] == 1
    assert {one["subject"] for one in left["breaks"]} == {"execution", "position"}
    accepted = typed("reconcile", "--accept", "all", "--reason", "bought by hand").stdout
    assert "Accepted: paper, BBB" in accepted
    assert "agree in book tape" in typed("reconcile").stdout


def buy_by_hand(platform: Platform) -> None:
    from trading_platform.domain.orders import Order, OrderType, Side

    order = Order(intent_id="by-hand", symbol="BBB", side=Side.BUY, type=OrderType.MARKET, quantity=7)
    platform.broker.submit(order, platform.clock.now())


CANNOT_BE_DONE = (
    (("orders", "cancel", "--reason", "x"), "--all: it is not said which orders are meant"),
    (("positions", "close", "--reason", "x"), "--all: it is not said which positions are meant"),
    (("positions", "close", "--all"), "Missing option '--reason'"),
    (("positions", "close", "--all", "--halt", "--reason", " "), "--reason: no reason is given"),
    (("orders", "--book", "tape", "cancel", "--all", "--reason", "x"), "an option stands in front of"),
    (("positions", "close", "--all", "--reason", "x", "--book", "none"), "there is no book 'none'"),
    (("halt", "--reason", ""), "--reason: no reason is given"),
)


def test_what_cannot_be_done_is_said_and_nothing_is_recorded(book: Book, typed: Callable[..., Done]) -> None:
    with trading(book, 0) as platform:
        for arguments, said in CANNOT_BE_DONE:
            assert said in typed(*arguments, code=2).stderr
        assert platform.ledger.commands() == ()


def test_a_session_that_is_over_sells_nothing(book: Book, typed: Callable[..., Done]) -> None:
    with trading(book, 389) as platform:
        done = typed("positions", "close", "--all", "--reason", "fire", code=2)
        assert "the market is closed" in done.stderr
        assert "It opens at 2013-10-10 09:30 New York time" in done.stderr
        assert platform.ledger.commands() == ()
