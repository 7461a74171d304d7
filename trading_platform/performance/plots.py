"""The tear sheet's interactive plots. The one home of plotly.

Here belong what is drawn and how; the page around it is `tearsheet`, the same without a browser `picture`. Figures leave
as JSON in which nothing can end a script element.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trading_platform.domain.money import UNITS_PER_DOLLAR
from trading_platform.domain.records import SESSION_MINUTES
from trading_platform.performance import time_axis
from trading_platform.performance.drawdown import deepest, underwater
from trading_platform.performance.exposure import exposure
from trading_platform.performance.round_trips import net_profits
from trading_platform.performance.statistics import Statistics
from trading_platform.performance.thinning import thinned
from trading_platform.performance.track_record import TrackRecord, with_opening

GAIN: Final = "#1a7f4b"
LOSS: Final = "#c0392b"
OWN: Final = "#1f5fbf"
OTHER: Final = "#8a8f98"
BINS: Final = 40
LEAST_FALL: Final = 0.005
"""What the axis of the drawdown shows at least."""

_GRID: Final = "#e8eaed"
_OWN_FILL: Final = "rgba(31,95,191,0.15)"
_LOSS_FILL: Final = "rgba(192,57,43,0.15)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A plot: the name of its element, its heading, what it shows, its figure as JSON, and its height in pixels."""

    name: str
    heading: str
    caption: str
    figure: str
    height: int


def script() -> str:
    """Plotly's own script, which draws without a network."""
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


def drawn_places(record: TrackRecord) -> npt.NDArray[np.intp]:
    """The places of the equity curve that are drawn: few, the last and the deepest ones among them."""
    curve = with_opening(record)
    return np.union1d(thinned(curve), deepest(curve).trough)


def equity_plot(record: TrackRecord, figures: Statistics) -> Plot:
    """Equity at the end of each minute with the benchmark beside it, and below it how far it is under its peak."""
    from plotly.subplots import make_subplots

    curve, places = with_opening(record), drawn_places(record)
    along, lowest = _along(record, places), underwater(curve)
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.7, 0.3], vertical_spacing=0.06)
    figure.add_scatter(
        **along,
        y=curve[places] / UNITS_PER_DOLLAR,
        name="equity",
        mode="lines",
        line={"color": OWN, "width": 1.5},
        hovertemplate="%{customdata}: %{y:$,.2f}",
    )
    if record.benchmark is not None and figures.benchmark is not None:
        held = record.benchmark.held
        figure.add_scatter(
            **_along(record, time_axis.closes(record)),
            y=held / held[0] * record.opening / UNITS_PER_DOLLAR,
            name=f"{_text(figures.benchmark.symbol)} held",
            mode="lines",
            line={"color": OTHER, "width": 1.2},
            hovertemplate="%{customdata}: %{y:$,.2f}",
        )
    figure.add_scatter(
        **along,
        y=-lowest[places],
        name="below the peak",
        mode="lines",
        showlegend=False,
        line={"color": LOSS, "width": 1},
        fill="tozeroy",
        fillcolor=_LOSS_FILL,
        hovertemplate="%{customdata}: %{y:.2%}",
        row=2,
        col=1,
    )
    _time(figure, record)
    figure.update_yaxes(tickformat=_dollars(float(curve.max() - curve.min()) / UNITS_PER_DOLLAR), row=1, col=1)
    figure.update_yaxes(
        tickformat=".1%", nticks=4, range=[-1.05 * max(float(lowest.max()), LEAST_FALL), 0], row=2, col=1
    )
    return _plot("equity", "Equity and drawdown", "By the minute, in exchange time. Drag to look closer.", figure, 460)


def distribution_plot(record: TrackRecord) -> Plot:
    """How many trades brought how much."""
    import plotly.graph_objects as go

    edges, counts = distribution(net_profits(record.trades) / UNITS_PER_DOLLAR)
    middles = (edges[:-1] + edges[1:]) / 2
    bars = go.Bar(
        x=middles,
        y=counts,
        width=np.diff(edges) * 0.94,
        customdata=[f"${low:,.2f} to ${high:,.2f}" for low, high in pairwise(edges.tolist())],
        marker={"color": [GAIN if middle > 0 else LOSS for middle in middles]},
        hovertemplate="%{customdata}: %{y} trades<extra></extra>",
    )
    figure = go.Figure(bars)
    figure.update_xaxes(tickformat="$,~f")
    return _plot("distribution", "Distribution of trades", "Trades by their net profit.", figure, 300)


def hours_plot(figures: Statistics) -> Plot:
    """What the trades of each hour of entry brought."""
    import plotly.graph_objects as go

    nets = [float(row.figures.net) for row in figures.by_hour]
    bars = go.Bar(
        x=[row.name for row in figures.by_hour],
        y=nets,
        customdata=[row.figures.trades for row in figures.by_hour],
        marker={"color": [GAIN if net > 0 else LOSS for net in nets]},
        hovertemplate="%{x}: %{y:$,.2f} by %{customdata} trades<extra></extra>",
    )
    figure = go.Figure(bars)
    figure.update_xaxes(type="category")
    figure.update_yaxes(tickformat="$~s")
    return _plot("hours", "Net profit by hour of entry", "By the exchange's clock.", figure, 300)


def exposure_plot(record: TrackRecord) -> Plot | None:
    """Gross exposure over equity, by the minute of a short run and by the session of a long one.

    None where the account was ruined.
    """
    import plotly.graph_objects as go

    shares = exposure(record)
    if shares is None:
        return None
    figure = go.Figure()
    if time_axis.is_short(record):
        caption = "Market value of all holdings over equity, by the minute."
        places = thinned(shares)
        figure.add_scatter(**_along(record, places + 1), y=shares[places], **_area("exposure", shape="hv"))
    else:
        caption = "Market value of all holdings over equity: the highest of each session, and its mean."
        by_session = np.where(record.traded_minutes, shares, np.nan).reshape(-1, SESSION_MINUTES)
        along = _along(record, time_axis.closes(record)[1:])
        figure.add_scatter(**along, y=np.nanmax(by_session, axis=1), **_area("highest", fill="tozeroy", width=0.5))
        figure.add_scatter(**along, y=np.nanmean(by_session, axis=1), **_area("mean", fill=None, width=1.5))
    _time(figure, record)
    figure.update_yaxes(tickformat=".0%", rangemode="tozero")
    return _plot("exposure", "Gross exposure", caption, figure, 260)


def distribution(nets: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Edges [n + 1] and counts [n] of bins of equal and round width, one of whose edges is 0.

    A bin holds what is above its lower edge up to its upper one, so that a trade that brought nothing is no gain.
    """
    low, high = (min(float(nets.min()), 0.0), max(float(nets.max()), 0.0)) if nets.size else (0.0, 0.0)
    width = _round_width((high - low) / BINS) if high > low else 1.0
    # The lowest value lies within the first bin, not on its lower edge.
    first = math.ceil(low / width) - 1
    last = max(math.ceil(high / width), first + 1)
    edges = np.arange(first, last + 1) * width
    places = np.searchsorted(edges, nets, side="left") - 1
    counts = np.bincount(np.clip(places, 0, edges.size - 2), minlength=edges.size - 1)
    return np.asarray(edges, np.float64), np.asarray(counts, np.int64)


def _round_width(width: float) -> float:
    """The next of 1, 2 and 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(width))
    return float(next(factor * power for factor in (1, 2, 5, 10) if factor * power >= width * 0.999_999))


def _along(record: TrackRecord, places: npt.NDArray[Any]) -> dict[str, Any]:
    """Where places of the curve stand along the axis, and what is said of them."""
    moments = time_axis.moments(record, places)
    short = time_axis.is_short(record)
    return {
        "x": time_axis.elapsed(record, places) if short else [moment.isoformat() for moment in moments],
        "customdata": [f"{moment:%Y-%m-%d %H:%M}" for moment in moments],
    }


def _time(figure: Any, record: TrackRecord) -> None:
    if not time_axis.is_short(record):
        figure.update_xaxes(type="date")
        return
    labels = time_axis.labels(record)
    figure.update_xaxes(tickvals=labels.at, ticktext=labels.texts)


def _area(name: str, *, fill: str | None = "tozeroy", width: float = 1.0, shape: str = "linear") -> dict[str, Any]:
    return {
        "name": name,
        "mode": "lines",
        "line": {"color": OWN, "width": width, "shape": shape},
        "fill": fill,
        "fillcolor": _OWN_FILL,
        "hovertemplate": "%{customdata}: %{y:.1%}",
    }


def _dollars(span: float) -> str:
    """How dollars are written along an axis that spans so many."""
    if span >= 20_000:
        return "$~s"
    return "$,.0f" if span >= 20 else "$,.2f"


def _text(name: str) -> str:
    """A name as plotly shows it: it reads a few tags and entities."""
    return name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _plot(name: str, heading: str, caption: str, figure: Any, height: int) -> Plot:
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 58, "r": 12, "t": 8, "b": 30},
        font={"family": "system-ui, sans-serif", "size": 12, "color": "#3c4149"},
        hovermode="closest",
        showlegend=len(figure.data) > 1,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        bargap=0.06,
    )
    figure.update_xaxes(gridcolor=_GRID, linecolor=_GRID, zeroline=False, automargin=True)
    figure.update_yaxes(gridcolor=_GRID, zerolinecolor="#b9bec6", automargin=True)
    return Plot(name=name, heading=heading, caption=caption, figure=figure.to_json(), height=height)
