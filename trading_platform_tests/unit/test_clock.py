from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from trading_platform.domain.clock import SimulatedClock, SystemClock

T0 = datetime(2013, 10, 9, 13, 30, tzinfo=UTC)


def test_a_simulated_clock_stands_until_it_is_set() -> None:
    clock = SimulatedClock(T0)
    assert clock.now() == clock.now() == T0
    clock.advance_to(T0 + timedelta(minutes=1))
    assert clock.now() == T0 + timedelta(minutes=1)


def test_a_simulated_clock_may_be_set_to_where_it_stands_and_never_back() -> None:
    clock = SimulatedClock(T0)
    clock.advance_to(T0)
    with pytest.raises(ValueError, match="cannot go back"):
        clock.advance_to(T0 - timedelta(microseconds=1))
    assert clock.now() == T0


def test_clocks_speak_utc() -> None:
    clock = SimulatedClock(T0.astimezone(ZoneInfo("America/New_York")))
    assert (clock.now(), clock.now().tzinfo) == (T0, UTC)
    clock.advance_to((T0 + timedelta(hours=1)).astimezone(ZoneInfo("Asia/Tokyo")))
    assert clock.now().tzinfo is UTC
    assert SystemClock().now().tzinfo is UTC


def test_a_moment_without_a_time_zone_is_refused() -> None:
    naive = datetime(2013, 10, 9, 9, 30)  # noqa: DTZ001 (what is refused)
    with pytest.raises(ValueError, match="has no time zone"):
        SimulatedClock(naive)
    with pytest.raises(ValueError, match="has no time zone"):
        SimulatedClock(T0).advance_to(naive)


def test_the_machine_s_clock_goes_on() -> None:
    clock = SystemClock()
    assert clock.now() <= clock.now()
