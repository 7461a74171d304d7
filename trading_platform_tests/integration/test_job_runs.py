"""Runs of the jobs in this process: a dead database is told in a sentence, and a Ctrl-C is never lost."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trading_platform.bootstrap import build
from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.config.load import load
from trading_platform.domain.clock import SimulatedClock
from trading_platform.domain.errors import DatabaseUnavailable, InvalidInput
from trading_platform.ledger.embedded import DAGSTER, LocalServer
from trading_platform.terminal.job_runs import JobRuns, explained, interrupts_are_heard, open_instance
from trading_platform_tests.sessions.console import HALF_DAY, Checkout, new_checkout


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Checkout]:
    made = new_checkout(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in ("DATABASE_URL", "TRADING_PLATFORM_CONFIG", "TRADING_PLATFORM_BOOK", "TRADING_PLATFORM_SESSION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TRADING_PLATFORM_DATA", str(made.data))
    yield made
    made.server.stop()


def test_each_question_to_a_dead_database_says_how_to_go_on(
    checkout: Checkout, fresh_database: Callable[[], str]
) -> None:
    # The ledger is on another server, so that Dagster's database alone dies.
    wanted = load({}, {"data_folder": checkout.data, "database_url": fresh_database()})
    platform = build(wanted, SimulatedClock(ExchangeCalendar().session(HALF_DAY).open))
    server = LocalServer(checkout.data / "db", fsync=False)
    server.start()
    database = server.url(DAGSTER)
    with explained(database), open_instance(checkout.folder) as instance:
        runs = JobRuns(platform, instance, database)
        # The control: while it answers, nothing is said.
        runs.end_abandoned()
        assert runs.finished(HALF_DAY) == 0
        server.stop()
        for ask in (
            runs.end_abandoned,
            lambda: runs.finished(HALF_DAY),
            lambda: runs.is_closed(HALF_DAY),
            lambda: runs.open(HALF_DAY),
            lambda: runs(HALF_DAY, 0),
            lambda: runs.close(HALF_DAY),
        ):
            with pytest.raises(DatabaseUnavailable, match="trading-platform db start"):
                ask()
    platform.close()


def test_only_a_dead_database_is_blamed(fresh_database: Callable[[], str]) -> None:
    alive = fresh_database()
    dead = "postgresql://me:hunter2@127.0.0.1:1/dagster"
    with pytest.raises(KeyError), explained(alive):
        raise KeyError("a fault of another kind")
    with pytest.raises(InvalidInput, match="a sentence of the platform's own"), explained(dead):
        raise InvalidInput("a sentence of the platform's own")
    with pytest.raises(DatabaseUnavailable, match=r"127\.0\.0\.1:1/dagster") as told, explained(dead):
        raise KeyError("what a driver says")
    assert "hunter2" not in str(told.value)


def test_a_ctrl_c_that_dagster_forgets_is_raised_at_the_end() -> None:
    from dagster._utils.interrupts import capture_interrupts

    # Outside of a test a Ctrl-C raises; pytest may have been started where it is ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with capture_interrupts():
            signal.raise_signal(signal.SIGINT)
        # The control: it was forgotten.
        with pytest.raises(KeyboardInterrupt), interrupts_are_heard(), capture_interrupts():
            signal.raise_signal(signal.SIGINT)
        with interrupts_are_heard():
            pass
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with interrupts_are_heard(), capture_interrupts():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
