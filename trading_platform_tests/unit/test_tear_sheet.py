"""The tear sheet as a page and as a picture: what stands in it, what it escapes, and how a long curve is thinned."""

import base64
import io
import json
import re
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.records import SESSION_MINUTES
from trading_platform.performance import time_axis, wording
from trading_platform.performance.heat_map import colour, heat_map
from trading_platform.performance.picture import picture, write_picture
from trading_platform.performance.plots import BINS, distribution
from trading_platform.performance.returns import MonthlyReturn
from trading_platform.performance.statistics import statistics
from trading_platform.performance.tearsheet import About, tear_sheet, write_tear_sheet
from trading_platform.performance.thinning import POINTS, thinned
from trading_platform.performance.track_record import Benchmark, TrackRecord
from trading_platform_tests.factories.track_records import DOLLAR, long_record, record, sessions, trades

DASH, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"
ABOUT = About(title="gap_and_go over 56 symbols")
HOSTILE = "<script>alert('x')</script>&\"<b>"


def page_of(run: TrackRecord, about: About = ABOUT) -> str:
    return tear_sheet(run, statistics(run), about)


def drawn(page: str, name: str) -> dict[str, Any]:
    """A plot's figure as it stands in the page."""
    (told,) = re.findall(rf'<script type="application/json" data-plot="{name}">(.*?)</script>', page, re.DOTALL)
    figure: dict[str, Any] = json.loads(told)
    return figure


def values(column: Any) -> list[float]:
    """The numbers of a plot's column: plain, or packed as plotly packs arrays."""
    if isinstance(column, dict):
        return [float(one) for one in np.frombuffer(base64.b64decode(column["bdata"]), np.dtype(column["dtype"]))]
    return [float(one) for one in column]


def text_of(page: str) -> str:
    """What a person reads, without scripts, styles and tags."""
    bare = re.sub(r"<(script|style).*?</\1>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", bare))


@pytest.fixture(scope="module")
def long() -> TrackRecord:
    return long_record(250)


@pytest.fixture(scope="module")
def page(long: TrackRecord) -> str:
    return page_of(long)


# The page.


def test_the_figures_stand_in_the_page(page: str, long: TrackRecord) -> None:
    found, text = statistics(long), text_of(page)
    assert found.benchmark is not None
    for said in (
        f"Total return {wording.percent(found.returns.total_return)} SPY",
        f"Sharpe ratio {wording.ratio(found.returns.sharpe)} SPY",
        f"Profit {wording.dollars(found.profit)} {wording.dollars(found.exposure.fees)} fees",
        f"Deepest drawdown at closes {wording.percent(found.returns.max_drawdown)} SPY",
        (
            f"Deepest drawdown at closes {wording.percent(found.returns.max_drawdown)} "
            f"{wording.percent(found.benchmark.returns.max_drawdown)}"
        ),
        f"Deepest drawdown by minute {wording.percent(found.intraday_drawdown)}",
        f"Sortino ratio {wording.ratio(found.returns.sortino)} {wording.ratio(found.benchmark.returns.sortino)}",
        f"Beta {wording.ratio(found.benchmark.relative.beta)}",
        f"Time in the market {wording.percent(found.exposure.time_in_market, 1)}",
        "2023-06-01 to 2024-05-29, 250 sessions.",
        "The 15 best and the 15 worst of 56 by net profit.",
    ):
        assert said in text


def test_a_long_curve_is_thinned_and_its_last_point_and_deepest_fall_are_exact(page: str, long: TrackRecord) -> None:
    figure = drawn(page, "equity")
    equity, below = (values(figure["data"][place]["y"]) for place in (0, 2))
    assert 0.5 * POINTS < len(equity) <= POINTS + 3
    assert equity[0] == 100_000
    assert equity[-1] == long.equity[-1] / DOLLAR
    assert (min(equity), max(equity)) == (min(long.equity.min() / DOLLAR, 100_000), long.equity.max() / DOLLAR)
    assert -min(below) == pytest.approx(statistics(long).intraday_drawdown)
    assert figure["data"][0]["x"][-1] == "2024-05-29T16:00:00"


def test_the_benchmark_begins_where_the_account_does(page: str, long: TrackRecord) -> None:
    assert long.benchmark is not None
    held = values(drawn(page, "equity")["data"][1]["y"])
    assert held[0] == 100_000
    assert held[-1] == pytest.approx(100_000 * long.benchmark.closes[-1] / long.benchmark.base)


def test_the_page_asks_for_nothing(page: str) -> None:
    frame = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert "default-src 'none'" in frame
    assert re.findall(r"""(?:src|href)\s*=\s*["'](?!data:)""", frame) == []
    assert "http:" not in frame
    assert "https:" not in frame


def test_the_runs_own_words_stand_in_the_page_and_none_of_them_is_markup() -> None:
    run = replace(
        long_record(5),
        strategies=(HOSTILE, "b"),
        symbols=(HOSTILE, *long_record(5).symbols[1:]),
        reasons={number: f"{HOSTILE}{number}" for number in range(8)},
        benchmark=Benchmark(symbol=HOSTILE, base=1.0, closes=np.ones(5)),
    )
    settings = {HOSTILE: {f"{HOSTILE}2": HOSTILE, "symbols": [HOSTILE]}}
    page = page_of(run, About(title=HOSTILE, settings=settings, warnings=[HOSTILE]))
    assert "<script>alert" not in page
    assert '<b>"' not in page
    assert page.count("&lt;script&gt;alert(") >= 10
    # Within a plot names stand as JSON, which cannot end its element, and plotly takes them for text.
    assert drawn(page, "equity")["data"][1]["name"].startswith("&lt;script&gt;")


def test_settings_warnings_and_cautions_are_told() -> None:
    settings: dict[str, dict[str, object]] = {
        "Limits": {"max_positions": 5, "live": False, "halted": None},
        "Data": {"symbols": list(range(50))},
    }
    text = text_of(page_of(long_record(5), About(title="t", settings=settings, warnings=["AAPL has a hole."])))
    assert "Before you trust this AAPL has a hole. 5 sessions: what is told by the year" in text
    assert f"Limits max_positions 5 live no halted {DASH}" in text
    assert "38, 39 and 10 more" in text


def test_a_run_without_trades_has_a_page_without_their_plots() -> None:
    page = page_of(record((100_000,)))
    assert 'id="equity"' in page
    assert 'id="exposure"' in page
    assert 'id="distribution"' not in page
    assert "By symbol" not in page
    assert f"Annual return {DASH}" in text_of(page)


def test_a_ruined_account_has_a_page_without_exposure() -> None:
    page = page_of(record((50_000, -10.0), finished=trades({"cost": 100, "proceeds": 50})))
    assert 'id="exposure"' not in page
    assert "The account was ruined" in text_of(page)
    assert values(drawn(page, "equity")["data"][0]["y"])[-1] == -10.0


def test_the_picture_says_what_its_drawdown_is_of(long: TrackRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    write_text = Figure.text

    def note(figure: Figure, x: float, y: float, text: str, **options: Any) -> Any:
        said.append(text)
        return write_text(figure, x, y, text, **options)

    monkeypatch.setattr(Figure, "text", note)
    found = statistics(long)
    picture(long, found, title="t")
    assert f"deepest drawdown at closes {wording.percent(found.returns.max_drawdown)}  " in said[1]


@pytest.mark.parametrize("count", [1, 2, 60, 61])
def test_every_length_of_run_has_a_page_and_a_picture(count: int) -> None:
    run = long_record(count)
    assert values(drawn(page_of(run), "equity")["data"][0]["y"])[-1] == run.equity[-1] / DOLLAR
    assert picture(run, statistics(run), title="t").startswith(b"\x89PNG")


# Curves, times and bins.


@pytest.mark.parametrize("size", [1, 2, POINTS, POINTS + 1, 5 * POINTS + 7])
def test_thinning_keeps_ends_peaks_and_falls(size: int) -> None:
    curve = np.random.default_rng(3).normal(size=size).cumsum()
    kept = thinned(curve)
    assert kept.size <= POINTS + 2
    assert (kept[0], kept[-1]) == (0, size - 1)
    assert {int(curve.argmin()), int(curve.argmax())} <= set(kept.tolist())
    assert (np.diff(kept) > 0).all()


def test_a_short_run_is_drawn_by_minutes_of_trading() -> None:
    run = record((100_000,) * 3, days=sessions("2024-07-02", "2024-07-03", "2024-07-05"))
    half = SESSION_MINUTES
    places = np.array([0, 1, half, half + 1, half + 210, 2 * half, 2 * half + 1, 3 * half])
    told = [f"{moment:%d %H:%M}" for moment in time_axis.moments(run, places)]
    assert told == ["02 09:30", "02 09:31", "02 16:00", "03 09:31", "03 13:00", "03 13:00", "05 09:31", "05 16:00"]
    assert time_axis.elapsed(run, places).tolist() == [0, 1, 390, 391, 600, 600, 601, 990]
    assert time_axis.labels(run) == time_axis.Labels(at=(0, 390, 600), texts=("Jul 2", "Jul 3", "Jul 5"))


def test_a_single_session_is_labelled_by_its_hours_and_a_long_run_by_months() -> None:
    assert time_axis.labels(long_record(1)).texts == ("10:00", "11:00", "12:00", "13:00", "14:00", "15:00", "16:00")
    long = time_axis.labels(long_record(250))
    assert long.texts == ("Jul 2023", "Sep 2023", "Nov 2023", "Jan 2024", "Mar 2024", "May 2024")
    # June 2023 had 21 sessions.
    assert long.at[0] == 21 * SESSION_MINUTES


@pytest.mark.parametrize(
    "nets", [[5.0], [-5.0], [0.0], [0.0, 0.0, 10.0], [-3.3, 0.0, 7.1, 7.2, 120.0], [0.004, -0.001]]
)
def test_bins_hold_every_trade_and_none_is_a_gain_that_is_none(nets: list[float]) -> None:
    edges, counts = distribution(np.array(nets))
    assert counts.sum() == len(nets)
    assert edges.size - 1 <= 2 * BINS + 2
    assert 0 in edges
    gains = counts[edges[:-1] >= 0].sum()
    assert gains == sum(net > 0 for net in nets)


def test_months_are_coloured_by_what_they_brought() -> None:
    months = [
        MonthlyReturn(year=2023, month=12, total_return=0.10),
        MonthlyReturn(year=2024, month=1, total_return=None),
    ]
    (_, last), (year, first) = heat_map(months)
    assert (last[11].text, last[12].text, last[0].text) == ("10.0%", "10.0%", "")
    assert last[11].colour == colour(0.10) == colour(0.5)
    assert (year, first[0].text, first[12].text) == ("2024", DASH, DASH)
    two = heat_map([MonthlyReturn(year=2024, month=month, total_return=0.1) for month in (1, 2)])
    assert two[0][1][12].text == "21.0%"
    assert colour(0.0) == "#ffffff"
    green, red = (tuple(bytes.fromhex(colour(share)[1:])) for share in (0.03, -0.03))
    assert green[1] > green[0]
    assert red[0] > red[1]


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (wording.percent(-0.12345), f"{MINUS}12.35%"),
        (wording.percent(-0.00001), "0.00%"),
        (wording.percent(12.5, 1), "1,250.0%"),
        (wording.ratio(-1.234), f"{MINUS}1.23"),
        (wording.ratio(None), DASH),
        (wording.dollars(Decimal("-1234.5")), f"{MINUS}$1,234.50"),
        (wording.dollars(Decimal("-0.001")), "$0.00"),
        (wording.dollars(Decimal(0)), "$0.00"),
        (wording.minutes(9.25), "9.2 min"),
        (wording.minutes(125.4), "2 h 05 min"),
        (wording.minutes(0.0), "0.0 min"),
        (wording.count(1_234_567), "1,234,567"),
        (wording.day(date(2024, 6, 14)), "2024-06-14"),
        (wording.setting({"bars": 3, "at": date(2024, 6, 14)}), "bars 3, at 2024-06-14"),
        (wording.setting([True, None]), f"yes, {DASH}"),
    ],
)
def test_figures_in_words(told: str, said: str) -> None:
    assert told == said


# The picture.


def test_the_picture_is_the_same_each_time_and_shows_the_curve(long: TrackRecord) -> None:
    from matplotlib.image import imread

    found = statistics(long)
    made = picture(long, found, title="$x^2$ and $y_{<b>")
    assert made == picture(long, found, title="$x^2$ and $y_{<b>")
    assert made != picture(long, found, title="$x^2$ and $y_{<c>")
    pixels = np.round(imread(io.BytesIO(made))[:, :, :3] * 255).astype(int)
    assert pixels.shape[1] == 1320
    blue = (np.abs(pixels - np.array([0x1F, 0x5F, 0xBF])).max(axis=2) < 12).any(axis=0)
    # The equity's line goes from the left of the plot to its right.
    assert blue[140:1280].mean() > 0.9


# Where it is written.


def test_page_and_picture_are_written(tmp_path: Path) -> None:
    run = long_record(3)
    write_tear_sheet(tmp_path / "new" / "sheet.html", run, statistics(run), ABOUT)
    write_picture(tmp_path / "other" / "sheet.png", run, statistics(run), title="t")
    assert (tmp_path / "new" / "sheet.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert (tmp_path / "other" / "sheet.png").read_bytes().startswith(b"\x89PNG")


def test_a_place_that_takes_no_file_is_told(tmp_path: Path) -> None:
    run = long_record(3)
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInput, match=r"file/sheet\.html: the tear sheet cannot be written: .*\. Name another"):
        write_tear_sheet(tmp_path / "file" / "sheet.html", run, statistics(run), ABOUT)
    with pytest.raises(InvalidInput, match=r"the picture cannot be written: .*\. Name another place"):
        write_picture(tmp_path, run, statistics(run), title="t")
