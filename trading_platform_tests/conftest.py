"""What every room's tests share: a database server, real bars, a browser, and the rule on skipped tests.

Fixtures are factories where a test may want several. Nothing heavy is imported before a test asks for it.
"""

import itertools
import os
import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import sqlalchemy as sa

    from trading_platform.ledger.embedded import LocalServer
    from trading_platform_tests.sessions.served_five import Ui

# A test with one of these may be skipped anywhere: what it needs is not the machine's to give.
MAY_BE_SKIPPED = ("internet", "broker_account")
# What takes a minute or two to run is run once for all modules that look at it, in this order.
SHARED = (
    ("test_backtest_of_a_real_session.py", "test_job_equals_cycle.py", "test_real_session.py"),
    ("test_five_sessions.py", "test_dagster_ui.py"),
)
SHARING = {module: (group, place) for group, some in enumerate(SHARED) for place, module in enumerate(some)}
WITH_A_LEDGER = "with_a_ledger"
LONGEST_FIRST = ("browser", "acceptance", "faults", "integration")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator["LocalServer"]:
    """One database server for the whole run of tests."""
    from trading_platform.ledger.embedded import LocalServer

    server = LocalServer(tmp_path_factory.mktemp("postgres"), fsync=False)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def _maintenance(postgres_server: "LocalServer") -> Iterator["sa.Connection"]:
    """A connection that makes databases, with one to copy that has the ledger's tables already."""
    import sqlalchemy as sa

    from trading_platform.ledger.connection import open_engine
    from trading_platform.ledger.migrate import upgrade

    template = open_engine(postgres_server.create_database(WITH_A_LEDGER))
    upgrade(template)
    template.dispose()
    engine = sa.create_engine(postgres_server.url("postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@pytest.fixture(scope="session")
def _database_numbers() -> Iterator[int]:
    return itertools.count(1)


@pytest.fixture
def fresh_database(
    postgres_server: "LocalServer", _maintenance: "sa.Connection", _database_numbers: Iterator[int]
) -> Iterator[Callable[..., str]]:
    """Makes a new database at each call and gives its SQLAlchemy URL; all are dropped after the test.

    It has the ledger's tables, as after a migration, and nothing in them; with `empty=True` it has none.
    """
    import sqlalchemy as sa

    made: list[str] = []

    def make(*, empty: bool = False) -> str:
        name = f"test_{next(_database_numbers)}"
        copied = "template1" if empty else WITH_A_LEDGER
        _maintenance.execute(sa.text(f"CREATE DATABASE {name} TEMPLATE {copied}"))
        made.append(name)
        return postgres_server.url(name)

    yield make
    for name in made:
        _maintenance.execute(sa.text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))


@pytest.fixture(scope="session")
def lean_data() -> Path:
    """The folder of recorded bars that LEAN_DATA names."""
    named = os.environ.get("LEAN_DATA")
    if not named:
        pytest.skip("LEAN_DATA does not name a folder of recorded bars")
    folder = Path(named)
    if not (folder / "equity" / "usa").is_dir():
        pytest.fail(f"LEAN_DATA names {folder}, which holds no equity/usa")
    return folder


@pytest.fixture(scope="session")
def five_sessions(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Ui"]:
    """The demo of five sessions, with its UI."""
    from trading_platform_tests.sessions.console import new_checkout
    from trading_platform_tests.sessions.served_five import five_sessions_served

    checkout = new_checkout(tmp_path_factory.mktemp("checkout"))
    try:
        with five_sessions_served(checkout) as served:
            yield served
    finally:
        checkout.server.stop()


@pytest.fixture(scope="session")
def chromium() -> Path:
    """A Chromium that Playwright can drive: the system's, or the one that Playwright has downloaded."""
    for name in BROWSERS:
        found = shutil.which(name)
        if found:
            return Path(found)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        bundled = Path(playwright.chromium.executable_path)
    if not bundled.exists():
        pytest.skip("no Chromium here: install the package chromium, or run `playwright install chromium`")
    return bundled


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """How the tests share out among several processes: a module stays whole, and so do those that share a fixture."""
    from xdist.scheduler import LoadScopeScheduling

    class ByModule(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
        def _split_scope(self, nodeid: str) -> str:
            module = nodeid.partition("::")[0].rpartition("/")[2]
            return f"shared {SHARING[module][0]}" if module in SHARING else module

    return ByModule(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What waits for the clock on the wall comes first, then what takes longest.

    So no process is left with a long module when the others have nothing to do any more.
    """
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> tuple[bool, tuple[int, int], int]:
    folder = item.path.parent.name
    rank = LONGEST_FIRST.index(folder) if folder in LONGEST_FIRST else len(LONGEST_FIRST)
    return item.get_closest_marker("waits") is None, SHARING.get(item.path.name, (len(SHARED), 0)), rank


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where CI is set, a test that was skipped for want of something has failed: nothing goes unlooked at there."""
    report = yield
    names = MAY_BE_SKIPPED if os.geteuid() == 0 else (*MAY_BE_SKIPPED, "root")
    excused = any(item.get_closest_marker(name) for name in names)
    if report.skipped and not excused and not hasattr(report, "wasxfail"):
        _refuse_in_ci(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a module that skips itself whole."""
    report = yield
    if report.skipped:
        _refuse_in_ci(report)
    return report


def _refuse_in_ci(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not os.environ.get("CI"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
    report.outcome = "failed"
    report.longrepr = f"not to be skipped in CI. {reason}"
