"""A browser for the tests of this folder, and a page of its own for each."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from trading_platform_tests.browser.dagster_pages import PATIENCE


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
