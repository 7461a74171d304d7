"""The schedules of a trading day, asked at every tick that Dagster's own cron gives them."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

import dagster as dg
import pytest
from dagster._utils.schedules import schedule_execution_time_iterator

from trading_platform.config.load import load
from trading_platform.config.settings import Settings
from trading_platform.defs.build import build_defs
from trading_platform.defs.jobs import market_session
from trading_platform.defs.said import BAR_TAG, BOOK_TAG
from trading_platform.defs.schedules import minute_crons
from trading_platform.domain.clock import SimulatedClock

# Exchange time is five hours behind UTC in all of these: the clocks went back on 3 November.
AFTER_THE_CHANGE: Final = date(2024, 11, 4)
THANKSGIVING_WEEK: Final = date(2024, 11, 25)
BEHIND_UTC: Final = timedelta(hours=5)
FULL: Final = 390
HALF: Final = 210
PROMPT: Final = timedelta(milliseconds=80)

SESSIONS: Final = {
    **dict.fromkeys((date(2024, 11, day) for day in (4, 5, 6, 7, 8)), FULL),
    **dict.fromkeys((date(2024, 11, day) for day in (25, 26, 27)), FULL),
    date(2024, 11, 29): HALF,
}
"""The sessions of the two weeks with their minutes. Thanksgiving is on the 28th."""


def settings(**changes: Any) -> Settings:
    return load({}, {"clock": "system", **changes})


def schedule(name: str, **changes: Any) -> dg.ScheduleDefinition:
    found = definitions(**changes).resolve_schedule_def(name)
    assert isinstance(found, dg.ScheduleDefinition)
    return found


def definitions(**changes: Any) -> dg.Definitions:
    return build_defs(settings=settings(**changes))


REPOSITORY: Final = definitions().get_repository_def()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    # One with storage of its own: a schedule is handed a reference to it.
    with dg.instance_for_test() as made:
        yield made


def ticks(found: dg.ScheduleDefinition, first: date, days: int) -> Iterator[datetime]:
    """The moments at which Dagster asks, from the first day's midnight at the exchange."""
    begins = datetime.combine(first, time(), UTC) + BEHIND_UTC
    crons = list(found.cron_schedule) if not isinstance(found.cron_schedule, str) else [found.cron_schedule]
    # What the daemon itself counts its ticks by.
    for tick in schedule_execution_time_iterator(begins.timestamp(), crons, found.execution_timezone):
        if tick >= begins + timedelta(days=days):
            return
        yield tick.astimezone(UTC)


def ask(
    found: dg.ScheduleDefinition, tick: datetime, instance: dg.DagsterInstance, *, late: timedelta = PROMPT
) -> list[dg.RunRequest]:
    return answer(found, tick, instance, late=late).run_requests or []


def answer(
    found: dg.ScheduleDefinition, tick: datetime, instance: dg.DagsterInstance, *, late: timedelta = PROMPT
) -> Any:
    with dg.build_schedule_context(
        instance=instance,
        scheduled_execution_time=tick,
        resources={"clock": SimulatedClock(tick + late)},
        repository_def=REPOSITORY,
    ) as context:
        # The daemon's context opens the instance anew at each tick, which takes as long as a hundred of these.
        context._instance = instance  # type: ignore[assignment]
        return found.evaluate_tick(context)


def test_every_minute_of_two_weeks_is_asked_for_once_and_no_other(instance: dg.DagsterInstance) -> None:
    minutes = schedule("market_session_schedule")
    asked: list[tuple[date, int]] = []
    keys: list[str | None] = []
    for week in (AFTER_THE_CHANGE, THANKSGIVING_WEEK):
        for tick in ticks(minutes, week, 7):
            for request in ask(minutes, tick, instance):
                tick_config = request.run_config["ops"]["fetch_market_data"]["config"]
                day, minute = date.fromisoformat(tick_config["session"]), tick_config["minute"]
                # The bar of minute 0 starts at 14:30 UTC and is decided a minute later.
                opens = datetime.combine(day, time(14, 30), UTC)
                assert tick == opens + timedelta(minutes=minute + 1)
                bar = opens + timedelta(minutes=minute) - BEHIND_UTC
                assert request.tags[BAR_TAG] == f"{bar:%Y-%m-%d %H:%M}"
                asked.append((day, minute))
                keys.append(request.run_key)
    assert asked == [(day, minute) for day, count in SESSIONS.items() for minute in range(count)]
    assert len(set(keys)) == len(keys) == 8 * FULL + HALF


def test_summer_time_moves_the_ticks_with_the_exchange(instance: dg.DagsterInstance) -> None:
    minutes = schedule("market_session_schedule")
    # The Friday before the clocks went forward on 10 March, and the Monday after it.
    for day, first, last in ((date(2024, 3, 8), time(14, 31), time(21)), (date(2024, 3, 11), time(13, 31), time(20))):
        asked = [tick.time() for tick in ticks(minutes, day, 1) if ask(minutes, tick, instance)]
        assert (asked[0], asked[-1], len(asked)) == (first, last, FULL)


def test_a_session_is_opened_five_minutes_before_and_closed_five_minutes_after(instance: dg.DagsterInstance) -> None:
    opening, closing = schedule("session_open_schedule"), schedule("session_close_schedule")
    opened = {
        tick - BEHIND_UTC: request.run_config["ops"]["list_universe"]["config"]["session"]
        for week in (AFTER_THE_CHANGE, THANKSGIVING_WEEK)
        for tick in ticks(opening, week, 7)
        for request in ask(opening, tick, instance)
    }
    assert opened == {datetime.combine(day, time(9, 25), UTC): day.isoformat() for day in SESSIONS}
    closed: dict[str, datetime] = {}
    for week in (AFTER_THE_CHANGE, THANKSGIVING_WEEK):
        for tick in ticks(closing, week, 7):
            for request in ask(closing, tick, instance):
                # The daemon makes one run of a key: the first tick that asks for a session closes it.
                assert request.partition_key is not None
                assert request.run_key == f"paper {request.partition_key} close"
                closed.setdefault(request.partition_key, tick - BEHIND_UTC)
    ends = {FULL: time(16, 5), HALF: time(13, 5)}
    expected = {day.isoformat(): datetime.combine(day, ends[count], UTC) for day, count in SESSIONS.items()}
    assert {day: closed[day] for day in expected} == expected
    # Each week's first tick asks for the session before it: had its own been missed, it would be closed now.
    assert set(closed) - set(expected) == {"2024-11-01", "2024-11-22"}


@pytest.mark.parametrize(
    ("tick", "session"),
    [
        # The half day's own tick was missed: the later one of the same day closes it.
        (datetime(2024, 11, 29, 21, 5, tzinfo=UTC), "2024-11-29"),
        # A whole evening was missed: the next day's first tick closes the day before.
        (datetime(2024, 11, 27, 18, 5, tzinfo=UTC), "2024-11-26"),
        (datetime(2024, 11, 28, 18, 5, tzinfo=UTC), "2024-11-27"),
        (datetime(2024, 11, 27, 21, 5, tzinfo=UTC), "2024-11-27"),
    ],
)
def test_a_close_that_was_missed_is_made_up_for(instance: dg.DagsterInstance, tick: datetime, session: str) -> None:
    (request,) = ask(schedule("session_close_schedule"), tick, instance)
    assert request.partition_key == session


@pytest.mark.parametrize(
    ("name", "tick", "said"),
    [
        ("market_session_schedule", (28, 15, 0), "2024-11-28 (Thursday) is not a session of XNYS"),
        ("session_open_schedule", (28, 14, 25), "2024-11-28 (Thursday) is not a session of XNYS"),
        ("market_session_schedule", (29, 18, 1), "the session 2024-11-29 is from 09:30 to 13:00"),
    ],
)
def test_a_tick_that_is_none_is_skipped_with_its_reason(
    instance: dg.DagsterInstance, name: str, tick: tuple[int, int, int], said: str
) -> None:
    day, hour, minute = tick
    result = answer(schedule(name), datetime(2024, 11, day, hour, minute, tzinfo=UTC), instance)
    assert not result.run_requests
    assert result.skip_message == said


TICK: Final = datetime(2024, 11, 27, 15, 0, tzinfo=UTC)


def test_a_tick_that_comes_late_is_skipped(instance: dg.DagsterInstance) -> None:
    minutes = schedule("market_session_schedule")
    assert ask(minutes, TICK, instance, late=timedelta(seconds=59))
    late = answer(minutes, TICK, instance, late=timedelta(seconds=60))
    assert not late.run_requests
    assert late.skip_message == "the tick of 10:00 came 60 s late: its bar is stale"
    assert answer(minutes, TICK, instance, late=timedelta(hours=1)).skip_message == (
        "the tick of 10:00 came 3600 s late: its bar is stale"
    )


def test_an_opening_that_comes_late_still_opens_but_not_after_the_close(instance: dg.DagsterInstance) -> None:
    opening = schedule("session_open_schedule")
    tick = datetime(2024, 11, 27, 14, 25, tzinfo=UTC)
    assert ask(opening, tick, instance, late=timedelta(hours=1))
    over = answer(opening, tick, instance, late=timedelta(hours=6, minutes=35))
    assert over.skip_message == "the session 2024-11-27 is over"


def test_while_a_cycle_runs_the_next_minute_is_skipped_and_not_queued(instance: dg.DagsterInstance) -> None:
    minutes = schedule("market_session_schedule")

    def run(status: dg.DagsterRunStatus, *, book: str | None = "paper") -> dg.DagsterRun:
        tags = {BOOK_TAG: book, BAR_TAG: "2024-11-27 09:58"} if book is not None else {}
        return instance.create_run_for_job(market_session, tags=tags, status=status)

    # Those of another book, and those that have ended, are nothing to it.
    run(dg.DagsterRunStatus.STARTED, book="another")
    run(dg.DagsterRunStatus.SUCCESS)
    run(dg.DagsterRunStatus.FAILURE)
    assert ask(minutes, TICK, instance)
    for status in (dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTED):
        busy = run(status)
        result = answer(minutes, TICK, instance)
        assert not result.run_requests
        assert result.skip_message == (
            "the cycle of the bar 2024-11-27 09:58 is still running: 10:00 is skipped, not queued"
        )
        instance.delete_run(busy.run_id)
    assert ask(minutes, TICK, instance)
    # One from the launchpad names no book.
    run(dg.DagsterRunStatus.STARTED, book=None)
    assert "the cycle that was launched by hand is still running" in str(answer(minutes, TICK, instance).skip_message)


def test_a_dead_run_holds_back_no_tick_for_long(instance: dg.DagsterInstance) -> None:
    minutes = schedule("market_session_schedule")
    # It was made now, and the tick is asked for in years to come: it is long dead.
    instance.create_run_for_job(market_session, tags={BOOK_TAG: "paper"}, status=dg.DagsterRunStatus.STARTED)
    assert ask(minutes, datetime(2030, 11, 27, 15, 0, tzinfo=UTC), instance)


def test_on_a_simulated_clock_schedules_stand_still_and_say_why(instance: dg.DagsterInstance) -> None:
    minutes = schedule("market_session_schedule", clock="simulated")
    assert minutes.default_status is dg.DefaultScheduleStatus.STOPPED
    assert answer(minutes, TICK, instance).skip_message == (
        "sessions run on a simulated clock here: set clock to system to trade the present one"
    )
    assert schedule("market_session_schedule").default_status is dg.DefaultScheduleStatus.RUNNING


def test_every_day_has_its_ticks_where_the_calendar_says_so(instance: dg.DagsterInstance) -> None:
    hours = {"calendar": "every_day", "open": "12:00", "close": "12:45"}
    minutes = schedule("market_session_schedule", market_hours=hours)
    asked = [tick for tick in ticks(minutes, THANKSGIVING_WEEK, 7) if ask(minutes, tick, instance)]
    assert len(asked) == 7 * 45
    assert asked[0] == datetime(2024, 11, 25, 17, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("opens", "closes", "crons"),
    [
        (time(9, 30), time(16), ["31-59 9 * * *", "* 10-15 * * *", "0 16 * * *"]),
        (time(9, 30), time(13), ["31-59 9 * * *", "* 10-12 * * *", "0 13 * * *"]),
        (time(12), time(12, 45), ["1-45 12 * * *"]),
        (time(11, 30), time(12, 15), ["31-59 11 * * *", "0-15 12 * * *"]),
        (time(11, 59), time(12, 15), ["0-15 12 * * *"]),
    ],
)
def test_crons_cover_a_session_from_its_first_tick_to_its_close(opens: time, closes: time, crons: list[str]) -> None:
    assert minute_crons(opens, closes, "*") == crons
