"""The desk that the environment describes, as a run in a process of its own builds it."""

import json
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.defs.build import build_defs
from trading_platform.defs.jobs import market_session
from trading_platform.domain.clock import SystemClock
from trading_platform.domain.errors import InvalidInput
from trading_platform.ledger.ledger import Ledger
from trading_platform_tests.sessions.console import HALF_DAY


@pytest.fixture
def database(tmp_path: Path, fresh_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a ledger, in an environment that names it, a data folder and nothing else."""
    url = fresh_database(empty=True)
    for name in ("TRADING_PLATFORM_CONFIG", "TRADING_PLATFORM_BOOK", "TRADING_PLATFORM_SESSION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("TRADING_PLATFORM_DATA", str(tmp_path / "data"))
    return url


def run(*, fails: bool = False) -> dg.ExecuteInProcessResult:
    job = build_defs().resolve_job_def(market_session.name)
    with dg.DagsterInstance.ephemeral() as instance:
        return job.execute_in_process(instance=instance, raise_on_error=not fails)


def recorded(database: str, book: str = "paper") -> list[str]:
    """The recorded bars of the last session, and its day, in UTC."""
    ledger = Ledger(database, book=book)
    last = ledger.last_cycle()
    bars = [] if last is None else [f"{cycle.bar_time:%Y-%m-%d %H:%M}" for cycle in ledger.cycles(last.session)]
    ledger.engine.dispose()
    return bars


def test_each_run_builds_its_own_desk_and_goes_on_where_the_last_one_stopped(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRADING_PLATFORM_SESSION", HALF_DAY.isoformat())
    for _ in range(3):
        assert run().success
    assert recorded(database) == ["2024-07-03 13:30", "2024-07-03 13:31", "2024-07-03 13:32"]


def test_without_a_session_it_is_the_last_one_that_is_over(database: str) -> None:
    assert run().success
    today = SystemClock().now().date()
    (bar,) = recorded(database)
    assert bar.startswith(ExchangeCalendar().previous(today).day.isoformat())


def test_the_file_of_settings_names_book_and_session(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"account": {"book": "mine"}, "market_data": {"session": HALF_DAY.isoformat()}}))
    monkeypatch.setenv("TRADING_PLATFORM_CONFIG", str(path))
    assert run().success
    assert recorded(database, "mine") == ["2024-07-03 13:30"]
    assert recorded(database) == []


def test_settings_that_cannot_be_met_are_told_before_anything_is_defined(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRADING_PLATFORM_SESSION", "soon")
    with pytest.raises(InvalidInput, match=r"market_data\.session"):
        build_defs()
    assert recorded_nothing(database)


def test_what_cannot_be_built_fails_the_run_with_its_sentence(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADING_PLATFORM__MARKET_DATA__PROVIDER", "polygon")
    result = run(fails=True)
    assert not result.success
    told = " ".join(str(event.event_specific_data) for event in result.all_events if event.is_failure)
    assert "polygon" in told
    assert recorded_nothing(database)


def recorded_nothing(database: str) -> bool:
    from sqlalchemy import create_engine, inspect

    engine = create_engine(database)
    try:
        return not inspect(engine).get_table_names()
    finally:
        engine.dispose()
