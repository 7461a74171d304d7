"""The tear sheet in a real browser, opened from a file: nothing is asked for, nothing fails, and the plots are drawn.

Each page is kept as a picture in the test's folder.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, Page, expect

from trading_platform.performance import wording
from trading_platform.performance.statistics import statistics
from trading_platform.performance.tearsheet import About, tear_sheet
from trading_platform.performance.track_record import TrackRecord
from trading_platform_tests.browser.dagster_pages import keep
from trading_platform_tests.factories.track_records import DOLLAR, long_record, record

DESK: Final = (1280, 900)
TELEPHONE: Final = (390, 844)
PLOTS: Final = ("equity", "distribution", "hours", "exposure")
ABOUT: Final = About(
    title="gap_and_go and vwap_reclaim over 56 symbols",
    settings={
        "Strategies": {
            "gap_and_go": {"min_gap": 0.04, "stop": "the low of the first bar"},
            "vwap_reclaim": {"bars": 3},
        },
        "Limits": {"max_positions": 5, "max_daily_loss_pct": 5.0},
        "Venue": {"slippage, basis points": 1, "share of a bar's volume": 0.1},
        "Data": {"symbols": [f"SYMBOL{number}" for number in range(500)]},
    },
    warnings=["AK has no bars in 3 sessions."],
)
# What is drawn in a plot: its lines' and bars' paths that have a length.
_DRAWN: Final = """(plot) => [...plot.querySelectorAll('.scatterlayer path.js-line, .barlayer .point path')]
    .filter(path => path.getTotalLength() > 0).length"""
# Cards and labels whose text is wider than they are.
_CUT: Final = """() => [...document.querySelectorAll('.card b, .card span, dd, dt, h1, h2, h3')]
    .filter(one => one.scrollWidth > one.clientWidth + 1 && one.clientWidth > 0).map(one => one.textContent)"""

# The months and years of the heat map that are within the window: 12 and 2 of the run from June to May.
_MONTHS: Final = """() => [...document.querySelectorAll('.heat td[data-month]:not(.none)')]
    .map(one => one.getBoundingClientRect()).filter(one => one.left >= 0 && one.right <= innerWidth).length"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What a page said and asked for."""

    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def run() -> TrackRecord:
    return long_record(250)


@pytest.fixture(scope="module")
def sheet(run: TrackRecord, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("sheet"), run)


@pytest.fixture(params=[DESK, TELEPHONE], ids=["desk", "telephone"])
def view(browser: Browser, request: pytest.FixtureRequest) -> Iterator[tuple[Page, Heard]]:
    width, height = request.param
    opened = browser.new_page(viewport={"width": width, "height": height})
    yield opened, listening(opened)
    opened.close()


def listening(page: Page) -> Heard:
    heard = Heard()
    page.on("console", lambda message: heard.said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: heard.said.append(str(error)))
    page.on("request", lambda request: heard.asked.append(request.url))
    return heard


def written(folder: Path, run: TrackRecord) -> Path:
    path = folder / "sheet.html"
    path.write_text(tear_sheet(run, statistics(run), ABOUT), encoding="utf-8")
    return path


def test_it_loads_alone_and_shows_figures_and_plots(
    view: tuple[Page, Heard], sheet: Path, run: TrackRecord, tmp_path: Path
) -> None:
    page, heard = view
    page.goto(sheet.as_uri())
    found = statistics(run)
    for said in (
        ABOUT.title,
        wording.percent(found.returns.total_return),
        wording.ratio(found.returns.sharpe),
        wording.dollars(found.profit),
        "AK has no bars in 3 sessions.",
        "and 460 more",
    ):
        expect(page.get_by_text(said).first).to_be_visible()
    for name in PLOTS:
        expect(page.locator(f"#{name} .main-svg").first).to_be_visible()
        assert page.locator(f"#{name}").evaluate(_DRAWN) > 0, name
    assert heard.said == []
    assert [url for url in heard.asked if not url.startswith(("data:", "blob:"))] == [sheet.as_uri()]
    keep(page, tmp_path, "sheet")


def test_nothing_is_wider_than_the_window(view: tuple[Page, Heard], sheet: Path) -> None:
    page, _ = view
    page.goto(sheet.as_uri())
    expect(page.locator("#exposure .main-svg").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    assert page.evaluate(_CUT) == []
    assert page.evaluate(_MONTHS) == 14
    for name in PLOTS:
        plot, svg = (page.locator(one).bounding_box() for one in (f"#{name}", f"#{name} .main-svg >> nth=0"))
        assert plot is not None
        assert svg is not None
        assert svg["width"] <= plot["width"] + 1


def test_the_last_point_of_the_drawn_curve_is_the_equity_at_the_end(page: Page, sheet: Path, run: TrackRecord) -> None:
    page.goto(sheet.as_uri())
    drawn = page.locator("#equity").evaluate("plot => [...plot.calcdata[0]].map(point => point.y)")
    assert drawn[-1] == run.equity[-1] / DOLLAR
    assert len(drawn) < 2_100


def test_the_moment_and_the_value_are_told_where_one_points(page: Page, sheet: Path, tmp_path: Path) -> None:
    page.goto(sheet.as_uri())
    # By force: what hears the mouse is a layer of the plot's above its bars.
    page.locator("#hours .barlayer .point path").first.hover(force=True)
    expect(page.locator("#hours .hoverlayer")).to_contain_text(re.compile(r"09:00: .*\$.* by \d+ trades"))
    keep(page, tmp_path, "pointed")


def test_the_tools_of_a_plot_are_known_ones_and_none_sends_it_away(page: Page, sheet: Path) -> None:
    page.goto(sheet.as_uri())
    page.locator("#equity").hover()
    titles = page.locator("#equity .modebar-btn").evaluate_all("found => found.map(one => one.dataset.title)")
    assert len(titles) == 6
    assert not [title for title in titles if re.search("share|cloud|edit|link|upload", title, re.IGNORECASE)]


@pytest.mark.parametrize(
    ("run_of", "plots"),
    [
        (long_record(3, first="2024-07-02"), PLOTS),
        (record((100_000,)), ("equity", "exposure")),
        (record((60_000, -5.0)), ("equity",)),
    ],
    ids=["half a week", "no trades", "ruined"],
)
def test_short_and_poor_runs_have_a_page_too(
    view: tuple[Page, Heard], tmp_path: Path, run_of: TrackRecord, plots: tuple[str, ...]
) -> None:
    page, heard = view
    page.goto(written(tmp_path, run_of).as_uri())
    for name in plots:
        expect(page.locator(f"#{name} .main-svg").first).to_be_visible()
    assert page.locator(".plot").count() == len(plots)
    assert heard.said == []
    keep(page, tmp_path, "sheet")


# Controls: what must not be there would be seen.


def test_a_page_that_asks_for_something_is_heard_and_gets_nothing(page: Page, sheet: Path, tmp_path: Path) -> None:
    planted = tmp_path / "planted.html"
    asking = "<script>fetch('http://127.0.0.1:9/planted')</script>"
    planted.write_text(sheet.read_text(encoding="utf-8").replace("</main>", f"</main>{asking}"), encoding="utf-8")
    heard = listening(page)
    page.goto(planted.as_uri())
    page.wait_for_timeout(500)
    assert any("Content Security Policy" in said for said in heard.said)
    # Without the page's own policy the request goes out.
    bare = re.sub(r"<meta http-equiv[^>]*>", "", planted.read_text(encoding="utf-8"))
    planted.write_text(bare, encoding="utf-8")
    page.goto(planted.as_uri())
    page.wait_for_timeout(500)
    assert "http://127.0.0.1:9/planted" in heard.asked


def test_a_plot_that_is_not_drawn_and_a_text_that_is_cut_are_seen(page: Page, sheet: Path, tmp_path: Path) -> None:
    planted = tmp_path / "planted.html"
    narrow = "<style>.card { width: 40px; }</style>"
    text = sheet.read_text(encoding="utf-8").replace("Plotly.newPlot(", "void (").replace("</head>", f"{narrow}</head>")
    planted.write_text(text, encoding="utf-8")
    page.goto(planted.as_uri())
    assert page.locator("#equity").evaluate(_DRAWN) == 0
    assert page.evaluate(_CUT) != []
