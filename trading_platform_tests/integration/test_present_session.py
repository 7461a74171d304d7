"""A session on a clock that nobody sets: missed minutes, late runs, and selling everything while time goes on."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from trading_platform.bootstrap import Platform, build
from trading_platform.calendars.sessions import ticks
from trading_platform.domain.commands import CommandAction
from trading_platform.domain.errors import InvalidInput, NotOwner
from trading_platform.engine.cycle import run_cycle
from trading_platform.engine.session import PresentSession
from trading_platform.engine.session_result import session_result
from trading_platform.terminal.trading_day import sell_all
from trading_platform_tests.sessions.books import with_parts
from trading_platform_tests.sessions.short import short_settings
from trading_platform_tests.sessions.tape import DAY, TAPE, write_tape
from trading_platform_tests.sessions.timed_entry import TIMED_ENTRY


class Wall:
    """A clock that goes on by itself as far as the platform can tell: it takes no orders from a session."""

    def __init__(self, start: datetime) -> None:
        self.moment = start

    def now(self) -> datetime:
        return self.moment

    def pass_by(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


class Present:
    """The tape's session as it happens."""

    def __init__(self, platform: Platform, wall: Wall) -> None:
        self.platform, self.wall = platform, wall
        self.ticks = ticks(platform.calendar.session(DAY))

    @property
    def session(self) -> PresentSession:
        found = self.platform.session(DAY)
        assert isinstance(found, PresentSession)
        return found

    def run(self, minute: int, *, late: float = 0.5) -> None:
        """A run of its own, at the tick of a minute: it opens the session, as the job does."""
        self.wall.moment = self.ticks[minute] + timedelta(seconds=late)
        session = self.session
        session.open()
        due = session.due_minute()
        session.tick(due)
        run_cycle(self.platform.stages, DAY, due)
        self.platform.stages.release()

    def minutes(self) -> list[int]:
        opens = self.platform.calendar.session(DAY).open
        return [int((one.bar_time - opens).total_seconds()) // 60 for one in self.platform.ledger.cycles(DAY)]


@contextmanager
def present_session(folder: Path, database_url: str) -> Iterator[Present]:
    write_tape(folder / "bars", TAPE)
    settings = short_settings(folder, database_url)
    wall = Wall(build_calendar_open(settings))
    platform = build(settings, wall)
    # Its clock is no machine's: the database's is another, and nothing is told by the distance.
    platform = with_parts(platform, strategies=(TIMED_ENTRY,), clock_skew_ms=lambda: 0)
    try:
        yield Present(replace(platform, clock=wall), wall)
    finally:
        platform.close()


def build_calendar_open(settings: object) -> datetime:
    from trading_platform.calendars.exchange import calendar_of
    from trading_platform.config.settings import Settings

    assert isinstance(settings, Settings)
    return calendar_of(settings.market_hours).session(DAY).premarket_open


@pytest.fixture
def present(tmp_path: Path, fresh_database: Callable[[], str]) -> Iterator[Present]:
    with present_session(tmp_path, fresh_database()) as made:
        yield made


def test_minutes_that_are_missed_are_gone_and_the_session_goes_on(present: Present) -> None:
    for minute in (0, 1, 2, 6, 7):
        present.run(minute)
    assert present.minutes() == [0, 1, 2, 6, 7]
    # What was entered before the gap filled in it, and was booked after it.
    held = {one.symbol for one in present.platform.ledger.holdings().positions.values() if one.quantity}
    assert held
    result = session_result(present.platform.stages.parts, DAY)
    assert result.equity_curve[-1][0] == present.ticks[7]


def test_the_same_minute_launched_twice_is_decided_once(present: Present) -> None:
    for minute in (0, 1, 1, 1, 2):
        present.run(minute, late=0.5 if minute != 1 else 20)
    assert present.minutes() == [0, 1, 2]
    entries = [one for one in present.platform.ledger.orders(DAY) if one.intent.kind.value == "entry"]
    assert len(entries) == 2


@pytest.mark.parametrize(
    ("at", "minute", "said"),
    [
        (timedelta(minutes=5, seconds=10), 5, "the bar of minute 5 closes at"),
        (timedelta(minutes=65), 4, r"the tick of .* is 3600 s old"),
        (timedelta(minutes=5), 24, "minute 24 is not in the session"),
        (timedelta(minutes=5), -1, "minute -1 is not in the session"),
    ],
)
def test_a_minute_that_is_not_its_turn_is_refused(present: Present, at: timedelta, minute: int, said: str) -> None:
    session = present.session
    present.wall.moment = present.platform.calendar.session(DAY).open + at
    session.open()
    with pytest.raises(InvalidInput, match=said):
        session.tick(minute)


def test_outside_its_hours_nothing_is_due(present: Present) -> None:
    session, opens = present.session, present.platform.calendar.session(DAY).open
    present.wall.moment = opens - timedelta(minutes=5)
    session.open()
    for moment in (opens - timedelta(minutes=5), opens + timedelta(seconds=30), opens + timedelta(minutes=26)):
        present.wall.moment = moment
        assert session.next_minute() is None
        with pytest.raises(InvalidInput, match="no bar of the session 2013-10-09 has just closed"):
            session.due_minute()


def test_it_is_not_opened_before_its_day_and_not_closed_before_its_end(present: Present) -> None:
    opens = present.platform.calendar.session(DAY).open
    present.wall.moment = opens - timedelta(days=1)
    with pytest.raises(InvalidInput, match="the session 2013-10-09 has not begun"):
        present.session.open()
    present.run(0)
    session = present.session
    with pytest.raises(InvalidInput, match="the session 2013-10-09 closes at"):
        session.close()
    present.wall.moment = opens + timedelta(minutes=24)
    assert session.close().unresolved == ()


def screen() -> Console:
    return Console(file=io.StringIO(), width=200)


def flatten(present: Present) -> None:
    present.platform.ledger.append_command(
        CommandAction.FLATTEN, at=present.wall.now(), who="somebody", reason="a test", session=DAY
    )


def test_selling_waits_for_the_next_minute_and_goes_on_until_nothing_is_left(present: Present) -> None:
    for minute in range(5):
        present.run(minute)
    # Half a minute after minute 4 was decided, as a person types.
    present.wall.pass_by(30)
    flatten(present)
    session, console = present.session, screen()
    session.open()
    sell_all(present.platform, session, console, wait=present.wall.pass_by)
    ledger = present.platform.ledger
    assert not [one for one in ledger.holdings().positions.values() if one.quantity]
    assert ledger.open_orders() == ()
    assert present.minutes()[:6] == [0, 1, 2, 3, 4, 5]
    assert present.wall.now() < present.platform.calendar.session(DAY).close


def test_the_command_holds_while_another_process_owns_the_book(present: Present) -> None:
    for minute in range(5):
        present.run(minute)
    other = present.platform.ledger.take("somebody/else")
    present.wall.pass_by(30)
    flatten(present)
    session = present.session
    with pytest.raises(NotOwner):
        session.open()
    other.release()
    # Whoever runs the next minute obeys.
    present.run(5)
    present.run(6)
    held = [one for one in present.platform.ledger.orders(DAY) if one.intent.kind.value == "exit"]
    assert {one.intent.symbol for one in held} == {"AAA", "BBB"}
