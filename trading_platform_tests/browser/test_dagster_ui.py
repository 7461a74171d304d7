"""The Dagster UI in a real browser after five sessions: runs, lineage, plots, checks, schedules, launches and mistakes.

Sessions and UI are the demo's, as a person starts it. What is looked at is what a person sees: text, links and charts on
pages, never Dagster's own markup. Each page is kept as a picture in the test's folder.
"""

import re
from datetime import date
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Page, Response, expect

from trading_platform.defs.checks import SPECS
from trading_platform_tests.browser.dagster_pages import (
    PATIENCE,
    Point,
    ask,
    ended,
    events_of,
    keep,
    launch,
    missing,
    plotted,
    run_of,
    runs_listed,
    visible,
)
from trading_platform_tests.sessions.five import DAYS, MINUTES
from trading_platform_tests.sessions.served_five import Ui

OPS: Final = ("fetch_market_data", "evaluate_strategies", "validate_risk", "place_orders")
MINUTE_ASSETS: Final = ("bars", "signals", "decisions", "orders", "fills", "positions", "pnl", "equity")
SESSION_ASSETS: Final = ("reconciliation", *MINUTE_ASSETS[:-1], "performance")
# To the assets of a minute: a chain of seven, and from the bars straight to the profit. To those of a session: a chain of
# seven from its bars, which follow the reconciliation as the orders do, from the bars straight to the profit, and six
# from the minutes (of their orders to the reconciliation, bars, signals, decisions, fills, equity).
ARROWS: Final = (7 + 1) + (7 + 2 + 1 + 6)
CHECKS: Final = {
    asset.to_user_string(): sorted(name for name, (one, _) in SPECS.items() if one == asset)
    for asset, _ in SPECS.values()
}
NEXT: Final = date(2024, 6, 15)
NEVER_TRADED: Final = "2024-05-20"
PLOTTED_EVENTS: Final = 100
SIMULATED: Final = "sessions run on a simulated clock here: set clock to system to trade the present one"

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def ui(five_sessions: Ui) -> Ui:
    return five_sessions


def test_the_run_of_a_minute_shows_its_four_ops(ui: Ui, page: Page, tmp_path: Path) -> None:
    page.goto(f"{ui.address}/runs/{run_of(page, ui, 'market_session', DAYS[-1].isoformat())}")
    for op in OPS:
        visible(page, re.compile(f"^{op}$"))
    assert ended(page) == "Success"
    visible(page, "Succeeded (4)")
    keep(page, tmp_path, "market_session_run")


def test_the_run_of_a_close_shows_its_assets_made_and_checked(ui: Ui, page: Page, tmp_path: Path) -> None:
    page.goto(f"{ui.address}/runs/{run_of(page, ui, 'session_close', DAYS[0].isoformat())}")
    visible(page, f"Succeeded ({len(SESSION_ASSETS)})")
    assert ended(page) == "Success"
    keep(page, tmp_path, "session_close_run")


@pytest.mark.parametrize(
    ("job", "least", "last"),
    [
        ("session_open", len(DAYS), f"session: {DAYS[0]}"),
        # The page renders as many of the newest as fit; each says which bar it decided.
        ("market_session", 8, f"bar: {DAYS[-1]} 09:53"),
        ("session_close", len(DAYS), f"session: {DAYS[0]}"),
    ],
)
def test_each_jobs_page_lists_its_runs(ui: Ui, page: Page, tmp_path: Path, job: str, least: int, last: str) -> None:
    page.goto(ui.job(job, "/runs"))
    visible(page, re.compile(f"{last}$"))
    assert len(runs_listed(page)) >= least
    keep(page, tmp_path, job)


def test_the_lineage_leads_from_the_bars_of_the_minutes_to_the_performance(ui: Ui, page: Page, tmp_path: Path) -> None:
    page.goto(f"{ui.address}/assets/performance?view=lineage&lineageScope=upstream&lineageDepth=10")
    for asset in {*MINUTE_ASSETS, *SESSION_ASSETS}:
        both = asset in MINUTE_ASSETS and asset in SESSION_ASSETS
        shown = page.locator("foreignObject, svg").get_by_text(re.compile(f"^{asset}$"))
        expect(shown.nth(1 if both else 0)).to_be_visible(timeout=PATIENCE)
    keep(page, tmp_path, "lineage")
    assert page.locator("svg path[marker-end], svg path[stroke]").count() == ARROWS


def test_a_sessions_assets_stand_in_a_group_of_their_own(ui: Ui, page: Page, tmp_path: Path) -> None:
    page.goto(f"{ui.address}/locations/trading_platform/asset-groups/session/lineage")
    for asset in SESSION_ASSETS:
        visible(page, re.compile(f"^{asset}$"))
    keep(page, tmp_path, "session_group")


def plots(page: Page, *buttons: str) -> list[tuple[float, str | None, dict[str, float]]]:
    """Open the plots of the asset that the page shows; returns what the page was given for them, oldest first."""

    def is_theirs(answer: Response) -> bool:
        limit = f'"limit":{PLOTTED_EVENTS}'
        return "RecentAssetEventsQuery" in answer.url and limit in (answer.request.post_data or "").replace(" ", "")

    with page.expect_response(is_theirs) as answered:
        for name in buttons:
            page.get_by_role("button", name=name).click()
    return sorted(events_of(answered.value))


def test_the_profit_of_the_five_sessions_is_plotted(ui: Ui, page: Page, tmp_path: Path) -> None:
    page.goto(f"{ui.address}/assets/pnl")
    # Where to find the plot is said on the page.
    visible(page, "Plots, then Events")
    given = plots(page, "Plots", "Events")
    figures = ui.checkout.summary["sessions"]
    assert [partition for _, partition, _ in given] == [one["session"] for one in figures]
    assert [numbers["net"] for *_, numbers in given] == [one["realised_pnl"] for one in figures]
    assert [numbers["equity"] for *_, numbers in given] == [one["equity"] for one in figures]
    for label in ("net", "equity"):
        points: list[Point] = [(time, numbers[label]) for time, _, numbers in given]
        assert len(points) == len(DAYS)
        ink = plotted(page, label)
        assert missing(points, ink) == []
        # The control: a point that is not on the line is seen to be missing.
        values = [value for _, value in points]
        off = (points[2][0], points[2][1] + (max(values) - min(values)) / 4)
        assert missing([*points[:2], off, *points[3:]], ink) == [off]
    keep(page, tmp_path, "pnl")


def test_the_equity_of_the_minutes_is_plotted(ui: Ui, page: Page, tmp_path: Path) -> None:
    page.goto(f"{ui.address}/assets/intraday/equity")
    given = plots(page, "Plots")
    points: list[Point] = [(time, numbers["equity"]) for time, _, numbers in given]
    assert len(points) == PLOTTED_EVENTS
    assert points[-1][1] == ui.checkout.summary["equity"]
    assert missing(points, plotted(page, "equity")) == []
    keep(page, tmp_path, "equity")


def test_a_session_is_a_partition_with_its_numbers(ui: Ui, page: Page, tmp_path: Path) -> None:
    page.goto(f"{ui.address}/assets/pnl?view=partitions&partition={DAYS[1]}")
    visible(page, "Materialized (5)")
    for name in ("realised", "unrealised", "fees", "net", "equity", "by_symbol"):
        visible(page, re.compile(f"^{name}$"))
    visible(page, f"{ui.checkout.summary['sessions'][1]['realised_pnl']}")
    keep(page, tmp_path, "partition")


@pytest.mark.parametrize("asset", CHECKS)
def test_the_checks_are_green(ui: Ui, page: Page, tmp_path: Path, asset: str) -> None:
    page.goto(f"{ui.address}/assets/{asset}?view=checks")
    for check in CHECKS[asset]:
        page.get_by_text(re.compile(f"^{check}$")).first.click()
        visible(page, "Latest execution")
        keep(page, tmp_path, check)
        # Session by session: a close that is tried in vain leaves its mark on the check, and none on other sessions.
        page.get_by_text("Partitions", exact=True).last.click()
        visible(page, f"Passed ({len(DAYS)})")
        visible(page, re.compile(r"^Failed \(0\)$"))
        keep(page, tmp_path, f"{check}_sessions")


def test_a_schedule_is_switched_on_and_off(ui: Ui, page: Page, tmp_path: Path) -> None:
    page.goto(f"{ui.address}/locations/trading_platform/schedules/market_session_schedule")
    switch = page.get_by_role("checkbox")
    for status in ("RUNNING", "STOPPED"):
        switch.press("Space")
        expect(switch).to_be_checked(checked=status == "RUNNING", timeout=PATIENCE)
        page.reload()
        expect(switch).to_be_checked(checked=status == "RUNNING", timeout=PATIENCE)
        keep(page, tmp_path, status)
        assert schedules(page, ui)["market_session_schedule"] == status


def test_a_tick_on_a_simulated_clock_is_skipped_with_the_reason(ui: Ui, page: Page, tmp_path: Path) -> None:
    page.goto(f"{ui.address}/locations/trading_platform/schedules/market_session_schedule")
    page.get_by_role("button", name="Preview tick result").click()
    page.get_by_role("button", name="Continue").click()
    visible(page, SIMULATED)
    keep(page, tmp_path, "tick")


def schedules(page: Page, ui: Ui) -> dict[str, str]:
    """The state of each schedule."""
    place = '{repositoryName: "__repository__", repositoryLocationName: "trading_platform"}'
    wanted = "... on Schedules {results {name scheduleState {status}}}"
    found = ask(page, ui, f"{{schedulesOrError(repositorySelector: {place}) {{{wanted}}}}}")
    return {one["name"]: one["scheduleState"]["status"] for one in found["schedulesOrError"]["results"]}


def test_a_run_launched_from_the_launchpad_goes_on_with_the_next_minute(ui: Ui, page: Page, tmp_path: Path) -> None:
    before = ui.checkout.cycles(ui.book, NEXT)
    assert launch(page, ui, "market_session") == "Success"
    assert ui.checkout.cycles(ui.book, NEXT) == before + 1
    assert ui.checkout.cycles(ui.book, DAYS[-1]) == MINUTES
    keep(page, tmp_path, "launched")


# Mistakes: the run's page says what was wrong in the platform's own words.


def config(session: str, minute: int) -> str:
    return f'ops: {{fetch_market_data: {{config: {{session: "{session}", minute: {minute}}}}}}}'


def test_a_day_that_is_none_is_refused_in_words(ui: Ui, page: Page, tmp_path: Path) -> None:
    assert launch(page, ui, "market_session", config("2024-06-31", 0)) == "Failure"
    visible(page, "session: '2024-06-31' is no date. Write it as 2013-10-09.")
    keep(page, tmp_path, "no_date")


def test_a_minute_that_is_launched_twice_is_decided_once(ui: Ui, page: Page, tmp_path: Path) -> None:
    due = ui.checkout.cycles(ui.book, NEXT)
    for _ in range(2):
        assert launch(page, ui, "market_session", config(NEXT.isoformat(), due)) == "Success"
        assert ui.checkout.cycles(ui.book, NEXT) == due + 1
    keep(page, tmp_path, "twice")


def test_a_minute_before_its_turn_is_refused_in_words(ui: Ui, page: Page, tmp_path: Path) -> None:
    recorded = ui.checkout.cycles(ui.book, NEXT)
    assert launch(page, ui, "market_session", config(NEXT.isoformat(), 9)) == "Failure"
    visible(page, f"minute: minute 9 of the session {NEXT} is not its turn: {recorded} minutes are recorded.")
    keep(page, tmp_path, "not_its_turn")
    assert ui.checkout.cycles(ui.book, NEXT) == recorded


def test_what_is_no_configuration_is_refused_before_it_runs(ui: Ui, page: Page, tmp_path: Path) -> None:
    page.goto(ui.job("market_session", "/playground"))
    page.get_by_text(re.compile("^ops:")).first.click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text('ops: {fetch_market_data: {config: {day: "2024-06-14"}}}')
    visible(page, re.compile('unexpected config entry "day"'))
    expect(page.get_by_role("button", name="Launch run")).to_be_disabled(timeout=PATIENCE)
    keep(page, tmp_path, "no_configuration")


def test_the_close_of_a_session_that_was_not_traded_is_refused_in_words(ui: Ui, page: Page, tmp_path: Path) -> None:
    page.goto(ui.job("session_close"))
    page.get_by_role("button", name=re.compile("Materialize all")).first.click()
    page.get_by_text("Show all partitions").click()
    partition = page.get_by_role("textbox").last
    partition.fill(NEVER_TRADED)
    partition.press("Enter")
    with page.expect_response(lambda answer: "mutation" in (answer.request.post_data or "")):
        page.get_by_role("button", name="Launch 1 run").click()
    page.goto(ui.job("session_close", "/runs"))
    visible(page, re.compile(f"{NEVER_TRADED}$"))
    page.goto(f"{ui.address}/runs/{run_of(page, ui, 'session_close', NEVER_TRADED, tag='dagster/partition')}")
    assert ended(page) == "Failure"
    visible(page, f"the book '{ui.book}' has not opened the session {NEVER_TRADED}.")
    keep(page, tmp_path, "not_traded")


def test_the_browser_is_told_of_what_is_not_there(ui: Ui, page: Page) -> None:
    # The control of the tests above: what is not on a page is not seen.
    page.goto(f"{ui.address}/runs/{run_of(page, ui, 'market_session', DAYS[0].isoformat())}")
    visible(page, re.compile(f"^{OPS[0]}$"))
    assert page.get_by_text(re.compile("^no_such_op$")).count() == 0
