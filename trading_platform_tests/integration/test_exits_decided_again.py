"""An exit whose reason a step says once, on one bar, and that does not leave in that minute: the next one decides it again.

AAA is bought on minute 1 with a resting stop far below. The step's reason against holding comes on minute 4.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trading_platform.bootstrap import Platform
from trading_platform.domain.decisions import DecisionKind, ExitCause
from trading_platform.domain.orders import IntentKind, OrderState
from trading_platform.domain.reports import CycleReport
from trading_platform_tests.sessions.books import Book, go_on_until, run_until, with_parts
from trading_platform_tests.sessions.line import Line
from trading_platform_tests.sessions.scripted import scripted
from trading_platform_tests.sessions.tape import write_tape

REASON = 4
BARS = "\n".join(f"AAA {minute} 50.00 50.10 49.90 50.00 100000" for minute in range(12))


@pytest.fixture
def trading(tmp_path: Path, fresh_database: Callable[[], str]) -> Iterator[tuple[Platform, Line]]:
    """The book in front of the minute with the reason, behind a line."""
    bars = write_tape(tmp_path / "bars", BARS)
    book = Book(name="tape", database_url=fresh_database(), data_folder=tmp_path / "data", bars=bars, symbols=("AAA",))
    with book.open(strategies=(scripted(minute=1, leave=REASON, stop_distance=20),)) as platform:
        line = Line(broker=platform.broker)
        made = with_parts(platform, broker=line)
        run_until(made, REASON - 1)
        yield made, line


def exits(reports: list[CycleReport]) -> list[tuple[ExitCause | None, int]]:
    (report,) = reports
    return [(one.cause, one.quantity) for one in report.decisions if one.kind is DecisionKind.EXIT]


def lives(platform: Platform) -> list[OrderState]:
    return [one.state for one in platform.ledger.orders() if one.intent.kind is IntentKind.EXIT]


def test_an_exit_that_was_held_back_is_decided_again_without_targets(trading: tuple[Platform, Line]) -> None:
    platform, line = trading
    line.keeps_stops = True
    assert exits(go_on_until(platform, REASON)) == [(ExitCause.STEP, 100)]
    assert lives(platform) == [OrderState.REJECTED]
    line.keeps_stops = False
    assert exits(go_on_until(platform, REASON + 1)) == [(ExitCause.STEP, 100)]
    # Once it has left, it is not decided again.
    assert exits(go_on_until(platform, REASON + 2)) == []
    assert lives(platform) == [OrderState.REJECTED, OrderState.FILLED]
    assert dict(platform.broker.positions()) == {}


def test_an_exit_that_never_arrived_is_decided_again(trading: tuple[Platform, Line]) -> None:
    platform, line = trading
    line.loses = "request"
    go_on_until(platform, REASON)
    assert lives(platform) == [OrderState.UNKNOWN]
    line.loses = None
    assert exits(go_on_until(platform, REASON + 1)) == [(ExitCause.STEP, 100)]
    go_on_until(platform, REASON + 2)
    assert lives(platform) == [OrderState.REJECTED, OrderState.FILLED]


def test_an_exit_that_left_is_decided_once(trading: tuple[Platform, Line]) -> None:
    # The control.
    platform, _ = trading
    assert exits(go_on_until(platform, REASON)) == [(ExitCause.STEP, 100)]
    assert exits(go_on_until(platform, REASON + 1)) == []
    assert lives(platform) == [OrderState.FILLED]
