"""The job `session_open`: what it looks at, what it opens, and how it says that a session is not ready."""

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from trading_platform.bootstrap import Platform
from trading_platform.engine.preflight import preflight, universe
from trading_platform_tests.sessions.books import with_parts
from trading_platform_tests.sessions.short import Short, failures, short_session
from trading_platform_tests.sessions.tape import DAY

OPEN = "session_open"
CHECKS = ("session", "database", "clock", "broker", "market data", "strategies")


@pytest.fixture
def short(tmp_path: Path, fresh_database: Callable[[], str]) -> Iterator[Short]:
    with short_session(tmp_path, fresh_database()) as made:
        yield made


def of(day: date) -> dict[str, Any]:
    return {"ops": {"list_universe": {"config": {"session": day.isoformat()}}}}


def test_it_opens_book_and_session_and_gives_the_book_back(short: Short) -> None:
    result = short.run(OPEN, **of(DAY))
    assert result.success, failures(result)
    ledger = short.platform.ledger
    assert ledger.opening_cash() == short.platform.settings.account.size
    assert ledger.session_configuration(DAY) is not None
    # Nobody is kept out until the first minute.
    ledger.take("somebody/else").release()
    short.run_minutes(upto=3)


def test_launched_twice_it_opens_once(short: Short) -> None:
    assert short.run(OPEN, **of(DAY)).success
    short.run_minutes(upto=2)
    again = short.run(OPEN, **of(DAY))
    assert again.success, failures(again)
    short.run_minutes(upto=4)
    assert len(short.platform.ledger.cycles(DAY)) == 4


def test_a_run_that_names_nothing_is_found_by_book_session_and_bar(short: Short) -> None:
    short.run(OPEN)
    short.run("market_session")
    opened, minute = (short.instance.get_runs(dg.RunsFilter(job_name=job))[0] for job in (OPEN, "market_session"))
    named = {"trading_platform/book": "short", "trading_platform/session": DAY.isoformat()}
    assert named.items() <= opened.tags.items()
    assert (named | {"trading_platform/bar": f"{DAY} 09:30"}).items() <= minute.tags.items()


def test_a_minute_that_comes_first_opens_the_session_by_itself(short: Short) -> None:
    # A daemon that was down in the morning must not cost the day.
    result = short.run("market_session", ops={"fetch_market_data": {"config": {"session": DAY.isoformat()}}})
    assert result.success, failures(result)


def test_each_check_says_what_it_found(short: Short) -> None:
    parts = short.platform.stages.parts
    short.platform.ledger.open_book(parts.opening_cash, parts.clock.now())
    session = parts.calendar.session(DAY)
    found = preflight(parts, session, universe(parts, session))
    assert tuple(one.name for one in found) == CHECKS
    assert all(one.passed for one in found), found
    assert found[0].detail == "2013-10-09 is a half day of 24 minutes"


def broken(platform: Platform, **parts: object) -> dict[str, str]:
    """What the checks that do not pass say of a platform with some of its parts replaced."""
    made = with_parts(platform, **parts).stages.parts
    session = made.calendar.session(DAY)
    return {one.name: one.detail for one in preflight(made, session, universe(made, session)) if not one.passed}


def test_each_check_fails_for_what_it_is_for(short: Short) -> None:
    platform, parts = short.platform, short.platform.stages.parts
    platform.ledger.open_book(parts.opening_cash, parts.clock.now())
    assert broken(platform) == {}
    assert broken(platform, clock_skew_ms=lambda: 500) == {}
    assert broken(platform, clock_skew_ms=lambda: -501) == {
        "clock": "-501 ms from the database's clock, 500 ms are allowed: set this machine's clock (NTP)"
    }
    assert broken(platform, unloaded=("mine: no such file",)) == {"strategies": "mine: no such file"}
    restricted = parts.limits.model_copy(update={"restricted_symbols": ("AAA", "BBB")})
    assert broken(platform, limits=restricted) == {
        "market data": "no symbol can be traded; AAA: it is on the restricted list"
    }


def test_all_that_is_wrong_is_said_at_once(short: Short) -> None:
    restricted = short.platform.settings.limits.model_copy(update={"restricted_symbols": ("AAA", "BBB")})
    wrong = Short(with_parts(short.platform, limits=restricted, clock_skew_ms=lambda: 2_000), short.instance)
    result = wrong.run(OPEN, **of(DAY))
    said = failures(result)["preflight"]
    assert said.startswith(f"the session {DAY} is not ready. clock: 2000 ms")
    assert "market data: no symbol can be traded" in said
    assert "reconcile_and_open" not in {event.step_key for event in result.all_events if event.is_step_start}


def test_a_day_without_a_session_is_named_with_its_neighbours(
    tmp_path: Path, fresh_database: Callable[[], str]
) -> None:
    hours = {"calendar": "XNYS"}
    with short_session(tmp_path, fresh_database(), market_hours=hours) as short:
        result = short.run(OPEN, **of(date(2013, 11, 28)))
        assert failures(result) == {
            "list_universe": "2013-11-28 (Thursday) is not a session of XNYS. The nearest sessions are 2013-11-27 and "
            "2013-11-29."
        }


def test_a_word_that_is_no_date_is_refused(short: Short) -> None:
    result = short.run(OPEN, ops={"list_universe": {"config": {"session": "tomorrow"}}})
    assert failures(result) == {"list_universe": "session: 'tomorrow' is no date. Write it as 2013-10-09."}


def test_the_universe_names_what_each_symbol_lacks(short: Short) -> None:
    result = short.run(OPEN, **of(DAY))
    (listed,) = [one for one in result.all_events if one.is_successful_output and one.step_key == "list_universe"]
    metadata = {name: value.value for name, value in listed.step_output_data.metadata.items()}
    assert metadata == {"session": DAY.isoformat(), "symbols": 2, "tradable": 2}


def test_dagster_sees_the_three_ops() -> None:
    from trading_platform.defs.jobs import session_open

    assert isinstance(session_open, dg.JobDefinition)
    names = [node.name for node in session_open.nodes_in_topological_order]
    assert names == ["list_universe", "preflight", "reconcile_and_open"]
