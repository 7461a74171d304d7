"""Sessions, half days, changes of the clock, and the minutes of a session."""

import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta

import pytest

from trading_platform.calendars import exchange
from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.calendars.sessions import (
    bar_time,
    exchange_day,
    exchange_moment,
    ticks,
)
from trading_platform.domain.errors import InvalidInput

FULL = date(2013, 10, 9)


@pytest.fixture(scope="module")
def calendar() -> ExchangeCalendar:
    return ExchangeCalendar()


def test_a_full_session_runs_from_0930_to_1600_exchange_time(calendar: ExchangeCalendar) -> None:
    session = calendar.session(FULL)
    assert session.open == datetime(2013, 10, 9, 13, 30, tzinfo=UTC)
    assert session.close == datetime(2013, 10, 9, 20, 0, tzinfo=UTC)
    assert session.premarket_open == datetime(2013, 10, 9, 8, 0, tzinfo=UTC)
    assert session.after_hours_close == datetime(2013, 10, 10, 0, 0, tzinfo=UTC)
    assert (session.minutes, session.is_half_day) == (390, False)


@pytest.mark.parametrize("day", [date(2013, 11, 29), date(2015, 12, 24)])
def test_a_half_day_closes_at_1300(calendar: ExchangeCalendar, day: date) -> None:
    session = calendar.session(day)
    assert session.close == datetime(day.year, day.month, day.day, 18, 0, tzinfo=UTC)
    assert (session.minutes, session.is_half_day) == (210, True)
    assert ticks(session)[-1] == session.close


@pytest.mark.parametrize(
    ("day", "hour"),
    [(date(2014, 3, 7), 14), (date(2014, 3, 10), 13), (date(2013, 11, 1), 13), (date(2013, 11, 4), 14)],
)
def test_the_open_follows_the_change_of_the_clock(calendar: ExchangeCalendar, day: date, hour: int) -> None:
    session = calendar.session(day)
    assert session.open == datetime(day.year, day.month, day.day, hour, 30, tzinfo=UTC)
    assert session.open - session.premarket_open == timedelta(hours=5, minutes=30)


def test_columbus_day_is_a_session_and_thanksgiving_is_none(calendar: ExchangeCalendar) -> None:
    assert calendar.is_session(date(2013, 10, 14))
    assert not calendar.is_session(date(2013, 11, 28))


@pytest.mark.parametrize(
    ("day", "before", "after"),
    [
        (date(2013, 11, 28), "2013-11-27", "2013-11-29"),
        (date(2013, 10, 12), "2013-10-11", "2013-10-14"),
    ],
)
def test_a_day_without_a_session_is_answered_with_its_neighbours(
    calendar: ExchangeCalendar, day: date, before: str, after: str
) -> None:
    with pytest.raises(InvalidInput, match=f"{day}.*{before} and {after}"):
        calendar.session(day)


@pytest.mark.parametrize(("day", "named"), [(date(1989, 12, 29), "1990-01-02"), (date(2051, 1, 3), "2050-12-30")])
def test_a_day_outside_the_calendar_is_answered_with_its_edge(
    calendar: ExchangeCalendar, day: date, named: str
) -> None:
    with pytest.raises(InvalidInput, match=named):
        calendar.session(day)


def test_the_first_session_stays_where_it_is(calendar: ExchangeCalendar) -> None:
    assert calendar.days(date.min, date(1990, 1, 3)) == (date(1990, 1, 2), date(1990, 1, 3))
    assert (calendar.index(date(1990, 1, 2)), calendar.index(date(2024, 1, 2))) == (0, 8565)


def test_sessions_of_a_week_with_a_holiday(calendar: ExchangeCalendar) -> None:
    found = calendar.sessions(date(2013, 11, 25), date(2013, 12, 1))
    assert [session.day.day for session in found] == [25, 26, 27, 29]
    assert [session.is_half_day for session in found] == [False, False, False, True]
    assert calendar.sessions(date(2013, 10, 12), date(2013, 10, 13)) == ()
    with pytest.raises(InvalidInput, match="is before"):
        calendar.sessions(date(2013, 10, 13), date(2013, 10, 12))


def test_previous_and_next_count_sessions_from_any_day(calendar: ExchangeCalendar) -> None:
    assert calendar.previous(date(2013, 12, 2)).day == date(2013, 11, 29)
    assert calendar.previous(date(2013, 12, 2), 2).day == date(2013, 11, 27)
    assert calendar.previous(date(2013, 12, 1)).day == date(2013, 11, 29)
    assert calendar.next(date(2013, 11, 27)).day == date(2013, 11, 29)
    assert calendar.next(date(2013, 11, 28)).day == date(2013, 11, 29)
    assert calendar.next(date(2013, 11, 27), 2).day == date(2013, 12, 2)


def test_counting_sessions_has_bounds(calendar: ExchangeCalendar) -> None:
    with pytest.raises(InvalidInput, match="Count from 1"):
        calendar.previous(FULL, 0)
    with pytest.raises(InvalidInput, match="1990-01-02 to 2050-12-30"):
        calendar.previous(date(1990, 1, 3), 5)
    with pytest.raises(InvalidInput, match="1990-01-02 to 2050-12-30"):
        calendar.next(date(2050, 12, 30))


def test_an_unknown_exchange_is_named() -> None:
    with pytest.raises(InvalidInput, match="'XNOWHERE'"):
        ExchangeCalendar("XNOWHERE")


def test_a_bar_is_stamped_by_its_start_and_decided_a_minute_later(calendar: ExchangeCalendar) -> None:
    session = calendar.session(FULL)
    assert bar_time(session, 0) == session.open
    assert bar_time(session, 389) == session.close - timedelta(minutes=1)
    moments = ticks(session)
    assert (len(moments), moments[0], moments[-1]) == (390, session.open + timedelta(minutes=1), session.close)
    assert moments[0] == exchange_moment(FULL, time(9, 31))


@pytest.mark.parametrize("minute", [-1, 390])
def test_a_minute_outside_the_session_is_refused(calendar: ExchangeCalendar, minute: int) -> None:
    with pytest.raises(InvalidInput, match="0 to 389"):
        bar_time(calendar.session(FULL), minute)


def test_a_moment_without_a_time_zone_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no time zone"):
        exchange_day(datetime(2013, 10, 9, 14, 0))  # noqa: DTZ001


def test_the_exchange_has_its_own_date() -> None:
    assert exchange_day(datetime(2013, 10, 10, 2, 0, tzinfo=UTC)) == FULL


def test_importing_the_room_does_not_import_the_slow_package() -> None:
    code = f"import sys, {exchange.__name__}; print('exchange_calendars' in sys.modules, 'pandas' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["False", "False"]
