"""What `status` says of open orders: what is left of each, as the exchange's own book has it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from trading_platform.bootstrap import Platform
from trading_platform.cli import commands
from trading_platform.domain.clock import SystemClock
from trading_platform.domain.orders import IntentKind, OrderState, OrderStatus
from trading_platform.terminal.status import read_status
from trading_platform_tests.sessions.books import Book, go_on_until, run_until
from trading_platform_tests.sessions.resting import resting, write_minutes
from trading_platform_tests.sessions.tape import LAST_MINUTE, TAPE, write_tape


@pytest.fixture
def book(tmp_path: Path, fresh_database: Callable[[], str]) -> Book:
    bars = write_tape(tmp_path / "bars", TAPE)
    return Book(name="tape", database_url=fresh_database(), data_folder=tmp_path / "data", bars=bars)


def told(book: Book) -> dict[str, int]:
    found = read_status(book.settings, SystemClock(), book="tape").book
    assert found is not None
    return dict(found.left)


def at_the_exchange(platform: Platform) -> dict[str, int]:
    shares = {one.intent_id: one.quantity - one.filled for one in platform.broker.open_orders()}
    return {name: left for name, left in shares.items() if left}


def compare(book: Book, platform: Platform, minute: int) -> set[IntentKind]:
    """Run the session to a minute and compare; returns the kinds of which less is left than was ordered and not filled."""
    go_on_until(platform, minute)
    left = told(book)
    orders = {one.intent.id: one for one in platform.ledger.open_orders() if one.intent.kind.is_order}
    # What was just cancelled, or reduced to nothing, is known to have ended from the next minute on.
    working = {
        name: shares for name, shares in left.items() if shares and orders[name].state is not OrderState.PENDING_CANCEL
    }
    assert left.keys() == orders.keys()
    assert working == at_the_exchange(platform), minute
    return {orders[name].intent.kind for name, shares in left.items() if shares < unfilled(orders[name])}


def unfilled(status: OrderStatus) -> int:
    return status.intent.quantity - status.filled


def test_in_every_minute_it_is_what_the_exchange_has(book: Book) -> None:
    with book.open() as platform:
        run_until(platform, 0)
        found = [compare(book, platform, minute) for minute in range(1, LAST_MINUTE + 1)]
    # The control: less than was ordered was left of stops.
    assert {IntentKind.STOP} in found


def test_a_stop_and_its_target_are_told_as_the_exchange_has_them(
    tmp_path: Path, fresh_database: Callable[[], str]
) -> None:
    # The first target is sold in two pieces; at minute 5 the step gives a reason to sell the rest.
    bars = {4: "50.90 51.20 50.80 51.10 100", 5: "51.00 51.30 50.90 51.10 10000"}
    folder = write_minutes(tmp_path / "bars", bars, 8)
    book = Book(
        name="tape", database_url=fresh_database(), data_folder=tmp_path / "data", bars=folder, symbols=("AAA",)
    )
    strategy = resting(quantity=100, leave=5)
    with book.open(strategies=(strategy,)) as platform:
        run_until(platform, 0)
        found = [compare(book, platform, minute) for minute in range(1, 8)]
    assert any(IntentKind.STOP in kinds for kinds in found)


def test_a_reduced_stop_does_not_read_as_more_than_is_held(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", book.database_url)
    monkeypatch.setenv("TRADING_PLATFORM_DATA", str(book.data_folder))
    with book.open() as platform:
        # A scale-out of AAA has been sold, and its stop was reduced by as much.
        run_until(platform, 8)
        said = CliRunner().invoke(commands, ["status", "--book", "tape"], catch_exceptions=False).output
        shown = CliRunner().invoke(commands, ["status", "--book", "tape", "--json"], catch_exceptions=False).output
        (exchange,) = at_the_exchange(platform).values()
        held = {one.symbol: one.quantity for one in platform.ledger.holdings().positions.values()}
    (stop,) = json.loads(shown)["book"]["open_orders"]
    assert (stop["kind"], stop["quantity"], stop["left"], held) == ("stop", 320, exchange, {"AAA": exchange, "BBB": 0})
    assert f"open orders stop sell {exchange} (of 320) AAA (timed_entry): acknowledged, 0 filled" in said
