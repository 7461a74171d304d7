"""The Dagster UI in a real browser, after some minutes of a session: runs, their ops, lineage, and a launch.

The UI is served as the demo serves it, on a checkout of the test's own. What is looked at is what a person sees: text
and links on pages, never Dagster's own markup. Each page is kept as a picture in the test's folder.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from trading_platform_tests.sessions.console import HALF_DAY, Checkout, new_checkout, until

JOB: Final = "/locations/trading_platform/jobs/market_session"
OPS: Final = ("fetch_market_data", "evaluate_strategies", "validate_risk", "place_orders")
ASSETS: Final = ("bars", "signals", "decisions", "orders", "fills", "positions", "pnl")
MINUTES: Final = 42
# A page of Dagster's asks several times for what it shows; on a busy machine it takes a while.
PATIENCE: Final = 60_000

pytestmark = pytest.mark.timeout(300)

# The first minutes, in the last of which a position is entered and left, each a run of the job, as the demo runs them.
TRADE: Final = f"""
import os
from datetime import date
from pathlib import Path
from trading_platform.bootstrap import build, databases
from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.config.load import load
from trading_platform.domain.clock import SimulatedClock
from trading_platform.terminal.job_runs import JobRuns, open_instance

settings = load(os.environ)
day = date({HALF_DAY.year}, {HALF_DAY.month}, {HALF_DAY.day})
platform = build(settings, SimulatedClock(ExchangeCalendar().session(day).open))
with open_instance(Path.cwd()) as instance:
    runs = JobRuns(platform, instance, databases(settings).dagster)
    session = platform.simulated_session(day)
    session.open()
    for minute in range({MINUTES}):
        session.tick(minute)
        runs(day, minute)
    last = instance.get_runs(limit=1)[0].run_id
platform.close()
print(last)
"""
SERVE: Final = """if True:
    import signal, sys
    from pathlib import Path
    from trading_platform.terminal.dagster_ui import serve
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(serve(Path.cwd(), int(sys.argv[1]), Path(sys.argv[2])))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ui:
    """A UI that runs: its address, its checkout, and the last run of the session so far."""

    address: str
    checkout: Checkout
    run_id: str


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    checkout = new_checkout(tmp_path_factory.mktemp("checkout"))
    try:
        traded = python(checkout, TRADE)
        assert traded.returncode == 0, traded.stderr
        with served(checkout) as address:
            yield Ui(address=address, checkout=checkout, run_id=traded.stdout.split()[-1])
    finally:
        checkout.server.stop()


def python(checkout: Checkout, code: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=checkout.folder,
        env=checkout.environment(TRADING_PLATFORM_SESSION=HALF_DAY.isoformat()),
        capture_output=True,
        text=True,
        check=False,
    )


class served:  # noqa: N801 (used as a function)
    """`dagster_ui.serve` in a process of its own, until it answers; ended by Ctrl-C, which must be clean."""

    def __init__(self, checkout: Checkout) -> None:
        self._checkout = checkout
        settings = checkout.folder / "settings.json"
        told = {"data_folder": str(checkout.data), "market_data": {"session": HALF_DAY.isoformat()}}
        settings.write_text(json.dumps(told))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        self.address = f"http://127.0.0.1:{port}"
        self._log = checkout.folder / "dagster.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", SERVE, str(port), str(settings)],
                cwd=checkout.folder,
                env=checkout.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def __enter__(self) -> str:
        try:
            until(lambda: self._answers() or self._process.poll() is not None, seconds=120, what="answer of the UI")
            assert self._process.poll() is None, self._log.read_text()[-3000:]
        except BaseException:
            self._process.kill()
            raise
        return self.address

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGINT)
        try:
            assert self._process.wait(60) == 0
        finally:
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
        assert not self._answers()
        printed = self._log.read_text()
        # The one launched run tells of itself; besides, a terminal hears only of what is wrong.
        assert "Traceback" not in printed
        assert "Warning" not in printed

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/server_info", timeout=5):
                return True
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    options = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(chromium), args=list(options))
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 1500, "height": 950})
    opened.set_default_timeout(PATIENCE)
    yield opened
    opened.close()


def visible(page: Page, text: "str | re.Pattern[str]") -> None:
    expect(page.get_by_text(text).first).to_be_visible(timeout=PATIENCE)


def keep(page: Page, folder: Path, name: str) -> None:
    page.wait_for_timeout(1500)
    page.screenshot(path=folder / f"{name}.png")


def test_a_run_shows_its_four_ops_on_the_timeline(ui: Ui, page: Page, tmp_path: Path) -> None:
    page.goto(f"{ui.address}/runs/{ui.run_id}")
    for op in OPS:
        visible(page, re.compile(f"^{op}$"))
    visible(page, "Success")
    keep(page, tmp_path, "run")


def test_the_jobs_page_lists_the_runs(ui: Ui, page: Page, tmp_path: Path) -> None:
    page.goto(f"{ui.address}{JOB}/runs")
    expect(page.locator(f'a[href*="/runs/{ui.run_id}"]').first).to_be_visible(timeout=PATIENCE)
    links = page.locator('a[href*="/runs/"]').evaluate_all("found => found.map(one => one.getAttribute('href'))")
    runs = {match.group() for link in links if (match := re.search(r"/runs/[0-9a-f]{8}-[0-9a-f-]{27}", link))}
    # The page renders as many of the newest as fit.
    assert len(runs) >= 9
    # Each says which bar it decided.
    visible(page, re.compile(f"bar: {HALF_DAY} 10:11$"))
    keep(page, tmp_path, "runs")


def test_the_lineage_leads_from_bars_to_pnl(ui: Ui, page: Page, tmp_path: Path) -> None:
    page.goto(f"{ui.address}/asset-groups/default/lineage")
    for asset in ASSETS:
        visible(page, re.compile(f"^{asset}$"))
    # An arrow for each dependency: six in a chain, and one from the bars straight to the profit.
    keep(page, tmp_path, "lineage")
    arrows = page.locator("svg path[marker-end], svg path[stroke]").evaluate_all("all => all.map(one => one.outerHTML)")
    assert len(arrows) == len(ASSETS), arrows


def test_an_asset_shows_its_numbers(ui: Ui, page: Page, tmp_path: Path) -> None:
    page.goto(f"{ui.address}/assets/pnl?view=events")
    for name in ("realised", "unrealised", "fees", "equity"):
        visible(page, re.compile(f"^{name}$"))
    keep(page, tmp_path, "pnl")


def test_a_run_launched_from_the_launchpad_goes_on_with_the_next_minute(ui: Ui, page: Page, tmp_path: Path) -> None:
    page.goto(f"{ui.address}{JOB}/playground")
    launch = page.get_by_role("button", name="Launch run")
    expect(launch).to_be_enabled(timeout=PATIENCE)
    keep(page, tmp_path, "launchpad")
    before = ui.checkout.cycles("paper")
    launch.click()
    until(lambda: ui.checkout.cycles("paper") > before, seconds=120, what="cycle of the launched run")
    assert ui.checkout.cycles("paper") == before + 1
    page.wait_for_url(re.compile("/runs/[0-9a-f-]{36}"))
    visible(page, "Success")
    keep(page, tmp_path, "launched")


def test_the_browser_is_told_of_a_page_that_is_not_there(ui: Ui, page: Page) -> None:
    # The control of the tests above: what is not on a page is not seen.
    page.goto(f"{ui.address}/runs/{ui.run_id}")
    visible(page, re.compile(f"^{OPS[0]}$"))
    answers: Any = page.get_by_text(re.compile("^no_such_op$"))
    assert answers.count() == 0
