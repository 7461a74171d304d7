"""What tests do on Dagster's pages, as a person does it: read, click, type, and look at a chart.

Text, roles and the columns of a chart's own picture; never Dagster's generated markup.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from playwright.sync_api import Page, Response, expect

from trading_platform_tests.sessions.served_five import Ui

PATIENCE: Final = 60_000
"""A page of Dagster's asks several times for what it shows; on a busy machine it takes a while. Milliseconds."""

Point = tuple[float, float]
_ENDED: Final = re.compile("^(Success|Failure)$")
# The line of a chart is violet and everything else in it grey. Coordinates from the top left, in pixels.
_INK: Final = """canvas => {
    const {width, height} = canvas;
    const data = canvas.getContext('2d').getImageData(0, 0, width, height).data;
    const found = [];
    for (let y = 0; y < height; y++)
        for (let x = 0; x < width; x++) {
            const at = 4 * (y * width + x);
            if (data[at + 3] > 128 && data[at + 2] > data[at] + 60 && data[at + 2] > data[at + 1] + 60) found.push([x, y]);
        }
    return found;
}"""
_RADIUS: Final = 3
_NEAR: Final = 2


def visible(page: Page, text: "str | re.Pattern[str]") -> None:
    """Wait until a text stands on the page."""
    expect(page.get_by_text(text).first).to_be_visible(timeout=PATIENCE)


def keep(page: Page, folder: Path, name: str) -> None:
    """Keep a picture of the page, once it stands still."""
    page.wait_for_timeout(1500)
    page.screenshot(path=folder / f"{name}.png")


def ask(page: Page, ui: Ui, query: str) -> dict[str, Any]:
    """Ask the server what its pages ask it."""
    answer = page.request.post(f"{ui.address}/graphql", data={"query": query}).json()
    assert "errors" not in answer, answer
    return dict(answer["data"])


def run_of(page: Page, ui: Ui, job: str, session: str, *, tag: str = "trading_platform/session") -> str:
    """The id of the newest run of a job for a session, by the tag that the demo gives its runs, or by another."""
    tags = f'[{{key: "{tag}", value: "{session}"}}]'
    wanted = f'{{pipelineName: "{job}", tags: {tags}}}'
    found = ask(page, ui, f"{{runsOrError(filter: {wanted}, limit: 1) {{... on Runs {{results {{runId}}}}}}}}")
    return str(found["runsOrError"]["results"][0]["runId"])


def runs_listed(page: Page) -> set[str]:
    """The runs to which the page leads. It renders as many of the newest as fit."""
    links = page.locator('a[href*="/runs/"]').evaluate_all("found => found.map(one => one.getAttribute('href'))")
    return {match.group() for link in links if (match := re.search(r"/runs/[0-9a-f]{8}-[0-9a-f-]{27}", link))}


def launch(page: Page, ui: Ui, job: str, config: str | None = None) -> str:
    """Launch a run from the launchpad, with `config` typed into it or as it stands; returns how the run ended."""
    page.goto(ui.job(job, "/playground"))
    button = page.get_by_role("button", name="Launch run")
    visible(page, re.compile("^ops:"))
    if config is not None:
        page.get_by_text(re.compile("^ops:")).first.click()
        page.keyboard.press("Control+A")
        page.keyboard.insert_text(config)
        visible(page, config)
    expect(button).to_be_enabled(timeout=PATIENCE)
    button.click()
    page.wait_for_url(re.compile("/runs/[0-9a-f-]{36}"), timeout=PATIENCE)
    return ended(page)


def ended(page: Page) -> str:
    """How the run of this page ended."""
    end = page.get_by_text(_ENDED).first
    expect(end).to_be_visible(timeout=PATIENCE)
    return end.inner_text()


def events_of(answer: Response) -> Iterator[tuple[float, str | None, dict[str, float]]]:
    """Of the answer to a page's question for events: their times in milliseconds, partitions and numbers."""
    for event in answer.json()["data"]["assetOrError"]["assetEventHistory"]["results"]:
        numbers = {entry["label"]: number(entry) for entry in event["metadataEntries"]}
        told = {label: value for label, value in numbers.items() if value is not None}
        yield float(event["timestamp"]), event["partition"], told


def number(entry: dict[str, Any]) -> float | None:
    """The value of an entry that is a number, else None."""
    found = entry.get("floatValue", entry.get("intValue"))
    return float(found) if found is not None else None


def plotted(page: Page, label: str) -> list[tuple[int, int]]:
    """Where the line of the chart below the heading `label` is drawn."""
    chart = page.locator(f"xpath=//*[normalize-space(text())='{label}']/following::canvas[1]").last
    expect(chart).to_be_visible(timeout=PATIENCE)
    page.wait_for_timeout(1500)
    return [(x, y) for x, y in chart.evaluate(_INK)]


def missing(points: Sequence[Point], ink: Sequence[tuple[int, int]]) -> list[Point]:
    """Those of the points (time, value) that are not on the drawn line.

    The drawing itself says which pixel belongs to a point: it begins with the first and ends with the last of them,
    whose values must differ. (Its top and bottom say less: the line shoots past a sharp turn.)
    """
    drawn = set(ink)
    (begins, first), (ends, last) = points[0], points[-1]
    left, right = min(x for x, _ in ink), max(x for x, _ in ink)
    top, bottom = (fmean(y for x, y in ink if x == edge) for edge in (left, right))

    def is_drawn(time: float, value: float) -> bool:
        x = left + _RADIUS + (right - left - 2 * _RADIUS) * (time - begins) / (ends - begins)
        y = top + (bottom - top) * (value - first) / (last - first)
        around = range(-_NEAR, _NEAR + 1)
        return any((round(x) + right_by, round(y) + down_by) in drawn for right_by in around for down_by in around)

    return [(time, value) for time, value in points if not is_drawn(time, value)]
