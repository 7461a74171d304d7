"""The tear sheet's first page as a PNG: equity, drawdown and the months, made without a browser.

The one home of matplotlib. It is used without its global state, so that processes and threads may draw at once; the same
run makes the same bytes.
"""

import io
from pathlib import Path
from typing import Any, Final

import numpy as np

from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.money import UNITS_PER_DOLLAR
from trading_platform.performance import plots, time_axis, wording
from trading_platform.performance.drawdown import underwater
from trading_platform.performance.heat_map import MONTHS, Cell, heat_map
from trading_platform.performance.statistics import Statistics
from trading_platform.performance.track_record import TrackRecord, with_opening

_WIDTH: Final = 12.0
_DPI: Final = 110
_EQUITY: Final = 4.2
_DRAWDOWN: Final = 1.7
_YEAR: Final = 0.38
_GAP: Final = 0.25
_AROUND: Final = 1.9
"""Title, margins and what lies between: inches, as the others."""

_INK: Final = "#22262c"
_SOFT: Final = "#646b76"
_GRID: Final = "#e8eaed"


def picture(record: TrackRecord, figures: Statistics, *, title: str) -> bytes:
    """The page as a PNG, 1,320 pixels wide.

    Args:
        record: The run.
        figures: What it came to, of the same record.
        title: Its heading.
    """
    from matplotlib.figure import Figure

    rows = heat_map(figures.months)
    heights = [_EQUITY, _DRAWDOWN, _GAP, _YEAR * len(rows)]
    height = sum(heights) + _AROUND
    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, facecolor="white")
    edges = {"left": 0.085, "right": 0.975, "top": 1 - 1.05 / height, "bottom": 0.2 / height, "hspace": 0.08}
    equity, fall, gap, months = figure.subplots(4, 1, height_ratios=heights, gridspec_kw=edges)
    gap.set_visible(False)
    # A name may hold what would be read as a formula.
    figure.text(
        0.025, 1 - 0.42 / height, _cut(title), color=_INK, fontsize=16, fontweight="bold", va="center", parse_math=False
    )
    figure.text(0.025, 1 - 0.78 / height, _headline(figures), color=_SOFT, fontsize=10.5, va="center")
    _draw_equity(equity, record, figures)
    _draw_fall(fall, record)
    _draw_months(months, rows)
    out = io.BytesIO()
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def write_picture(path: Path, record: TrackRecord, figures: Statistics, *, title: str) -> None:
    """Write the page. Raises `InvalidInput` where that cannot be done."""
    page = picture(record, figures, title=title)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(page)
    except OSError as error:
        raise InvalidInput(
            f"the picture cannot be written: {error.strerror}", where=str(path), mend="Name another place"
        ) from error


def _headline(figures: Statistics) -> str:
    told = [
        f"{figures.first} to {figures.last}",
        f"return {wording.percent(figures.returns.total_return)}",
        f"Sharpe {wording.ratio(figures.returns.sharpe)}",
        f"deepest drawdown at closes {wording.percent(figures.returns.max_drawdown)}",
        f"{wording.count(figures.trades.trades)} trades",
        f"profit factor {wording.ratio(figures.trades.profit_factor)}",
    ]
    return "  ·  ".join(told)


def _cut(title: str) -> str:
    """As much of a title as the page has room for."""
    return title if len(title) <= 90 else f"{title[:89]}\N{HORIZONTAL ELLIPSIS}"


def _draw_equity(axes: Any, record: TrackRecord, figures: Statistics) -> None:
    curve, places = with_opening(record), plots.drawn_places(record)
    axes.plot(
        time_axis.elapsed(record, places), curve[places] / UNITS_PER_DOLLAR, color=plots.OWN, lw=1.2, label="equity"
    )
    if record.benchmark is not None and figures.benchmark is not None:
        held = record.benchmark.held
        axes.plot(
            time_axis.elapsed(record, time_axis.closes(record)),
            held / held[0] * record.opening / UNITS_PER_DOLLAR,
            color=plots.OTHER,
            lw=1,
            zorder=1,
            label=f"{figures.benchmark.symbol} held",
        )
    for text in axes.legend(loc="upper left", frameon=False).get_texts():
        text.set_parse_math(False)
    axes.yaxis.set_major_formatter(lambda value, _: f"${value:,.0f}" if value >= 0 else f"-${-value:,.0f}")
    axes.ticklabel_format(axis="x", style="plain")
    _label_time(axes, record)
    axes.tick_params(labelbottom=False)


def _draw_fall(axes: Any, record: TrackRecord) -> None:
    falls, places = underwater(with_opening(record)), plots.drawn_places(record)
    along = time_axis.elapsed(record, places)
    axes.fill_between(along, -falls[places], 0, color=plots.LOSS, alpha=0.18, lw=0)
    axes.plot(along, -falls[places], color=plots.LOSS, lw=0.8)
    axes.set_ylim(-1.05 * max(float(falls.max()), plots.LEAST_FALL), 0)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.1%}")
    _label_time(axes, record)


def _label_time(axes: Any, record: TrackRecord) -> None:
    labels = time_axis.labels(record)
    axes.set_xticks(labels.at, labels.texts)
    axes.set_xlim(0, int(record.session_minutes.sum()))
    axes.tick_params(length=0, colors=_SOFT)
    axes.grid(color=_GRID)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)


def _draw_months(axes: Any, rows: tuple[tuple[str, tuple[Cell, ...]], ...]) -> None:
    from matplotlib.colors import to_rgb

    colours = np.array([[to_rgb(cell.colour) for cell in cells] for _, cells in rows])
    axes.imshow(colours, aspect="auto")
    for row, (_, cells) in enumerate(rows):
        for column, cell in enumerate(cells):
            axes.text(column, row, cell.text, ha="center", va="center", fontsize=9)
    axes.set_xticks(range(len(MONTHS) + 1), (*MONTHS, "Year"))
    axes.set_yticks(range(len(rows)), [year for year, _ in rows])
    axes.tick_params(length=0, colors=_SOFT, labeltop=True, labelbottom=False)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
