"""A real daemon on a market that is open now: which minutes it runs while it lives, and which while it is dead.

It takes six minutes of the wall's clock, because a daemon's own clock cannot be set.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import dagster as dg
import pytest
import yaml

from trading_platform.calendars.sessions import EXCHANGE_ZONE
from trading_platform.ledger.embedded import LEDGER
from trading_platform.ledger.ledger import Ledger
from trading_platform_tests.sessions.console import Checkout, new_checkout

pytestmark = [pytest.mark.timeout(900), pytest.mark.waits]

MINUTE: Final = timedelta(minutes=1)
SUCCESS: Final = dg.DagsterRunStatus.SUCCESS


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    made = new_checkout(tmp_path_factory.mktemp("checkout"))
    yield made
    made.server.stop()


def exchange_now() -> datetime:
    return datetime.now(UTC).astimezone(EXCHANGE_ZONE)


def wait_until(moment: datetime) -> None:
    while (left := (moment - exchange_now()).total_seconds()) > 0:
        time.sleep(min(left, 5))


def open_market(checkout: Checkout) -> dict[str, str]:
    """The environment of a platform whose market has been open for half an hour. It must not close at midnight."""
    now = exchange_now()
    if (now + timedelta(minutes=40)).date() != now.date():
        wait_until(datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), EXCHANGE_ZONE))
        now = exchange_now()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    opens = max(midnight, now.replace(second=0, microsecond=0) - timedelta(minutes=30))
    closes = min(opens + timedelta(minutes=300), midnight + timedelta(hours=23, minutes=59))
    told = {
        "clock": "system",
        "market_hours": {
            "calendar": "every_day",
            "premarket": "00:00",
            "open": f"{opens:%H:%M}",
            "close": f"{closes:%H:%M}",
            "after_hours": "23:59",
        },
        "market_data": {"symbols": ["SIMA", "SIMB"]},
    }
    path = checkout.folder / "settings.yaml"
    path.write_text(yaml.safe_dump(told))
    return checkout.environment(TRADING_PLATFORM_CONFIG=str(path), DAGSTER_HOME=str(checkout.folder))


@contextmanager
def daemon(checkout: Checkout, environment: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    """Dagster's daemon, until it is killed with all of its processes, as by a machine that dies."""
    with (checkout.folder / "daemon.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "dagster._daemon", "run", "-w", "workspace.yaml"],
            cwd=checkout.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
        assert process.poll() is None, (checkout.folder / "daemon.log").read_text()[-3000:]
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def runs(checkout: Checkout, environment: dict[str, str]) -> list[dg.DagsterRun]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.chdir(checkout.folder)
        with dg.DagsterInstance.from_config(str(checkout.folder)) as instance:
            found = instance.get_runs(dg.RunsFilter(job_name="market_session"))
    return sorted(found, key=lambda run: run.tags["dagster/run_key"])


def first_run(checkout: Checkout, environment: dict[str, str], process: "subprocess.Popen[bytes]") -> datetime:
    """The tick of the first run that a fresh daemon makes."""
    for _ in range(60):
        time.sleep(2)
        assert process.poll() is None, (checkout.folder / "daemon.log").read_text()[-3000:]
        if not checkout.server.status().running:
            continue
        for run in runs(checkout, environment):
            return tick(run)
    raise AssertionError("the daemon has made no run: " + (checkout.folder / "daemon.log").read_text()[-3000:])


def tick(run: dg.DagsterRun) -> datetime:
    return datetime.strptime(run.tags["trading_platform/bar"], "%Y-%m-%d %H:%M").replace(tzinfo=EXCHANGE_ZONE) + MINUTE


def test_a_daemon_runs_the_minutes_that_it_sees_and_none_of_those_that_it_missed(checkout: Checkout) -> None:
    environment = open_market(checkout)
    with daemon(checkout, environment) as process:
        first = first_run(checkout, environment, process)
        wait_until(first + MINUTE + timedelta(seconds=45))
    # It is dead over two ticks, and up again just after a third.
    back = first + 4 * MINUTE
    wait_until(back + timedelta(seconds=2))
    with daemon(checkout, environment):
        wait_until(back + MINUTE + timedelta(seconds=45))
    made = runs(checkout, environment)
    expected = [first, first + MINUTE, back, back + MINUTE]
    assert [run.tags["dagster/run_key"] for run in made] == [
        f"paper {moment:%Y-%m-%d} {moment:%H:%M}" for moment in expected
    ]
    assert [tick(run) for run in made] == expected
    assert [run.status for run in made] == [SUCCESS] * 4
    # Each of them has decided its bar, and there is no trace of the others.
    ledger = Ledger(checkout.server.url(LEDGER), book="paper")
    recorded: list[Any] = [cycle.bar_time + MINUTE for cycle in ledger.cycles(first.date())]
    ledger.engine.dispose()
    assert recorded == [moment.astimezone(UTC) for moment in expected]
