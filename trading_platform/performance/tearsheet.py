"""The tear sheet: what a run came to, as one HTML page that needs nothing else, neither a network nor a server.

Here belong the order of the page and the words of its figures. The figures themselves are `statistics`, the plots
`plots`, the page's frame `tearsheet.html.j2`, in which every name is escaped; the page allows itself no request.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from trading_platform.domain.errors import InvalidInput
from trading_platform.performance import plots, wording
from trading_platform.performance.heat_map import MONTHS, heat_map
from trading_platform.performance.returns import ReturnFigures
from trading_platform.performance.round_trips import Row
from trading_platform.performance.statistics import Statistics, cautions
from trading_platform.performance.track_record import TrackRecord

LONGEST_TABLE: Final = 30
"""Rows of a table that are all shown; of a longer one the best and the worst."""

_TEMPLATE: Final = "tearsheet.html.j2"


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What the page says of the run beside its figures.

    Attributes:
        title: Its heading.
        settings: Under each heading names and values: strategies and their parameters, limits, what the venue was
            assumed to do, the range of the data.
        warnings: What the reader must know, in sentences; `statistics.cautions` are added.
    """

    title: str
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    warnings: Sequence[str] = ()


def tear_sheet(record: TrackRecord, figures: Statistics, about: About) -> str:
    """The page.

    Args:
        record: The run.
        figures: What it came to, of the same record.
        about: Its name, settings and warnings.
    """
    import jinja2

    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
    )
    return environment.get_template(_TEMPLATE).render(
        about=about,
        period=_period(figures),
        cards=_cards(figures),
        warnings=[*about.warnings, *cautions(figures)],
        benchmark=figures.benchmark.symbol if figures.benchmark else None,
        returns=_returns(figures),
        relative=_relative(figures),
        months={"names": MONTHS, "years": heat_map(figures.months)},
        trade_list=_trade_list(figures),
        tables=_tables(figures),
        exposure=_exposure(figures),
        settings=[
            (heading, [(name, wording.setting(value)) for name, value in rows.items()])
            for heading, rows in about.settings.items()
        ],
        plots=_plots(record, figures),
        gain=plots.GAIN,
        loss=plots.LOSS,
        script=plots.script(),
    )


def write_tear_sheet(path: Path, record: TrackRecord, figures: Statistics, about: About) -> None:
    """Write the page. Raises `InvalidInput` where that cannot be done."""
    page = tear_sheet(record, figures, about)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise InvalidInput(
            f"the tear sheet cannot be written: {error.strerror}", where=str(path), mend="Name another place"
        ) from error


def _plots(record: TrackRecord, figures: Statistics) -> dict[str, plots.Plot | None]:
    """By name; None where there is nothing to draw."""
    traded = bool(figures.trades.trades)
    return {
        "equity": plots.equity_plot(record, figures),
        "distribution": plots.distribution_plot(record) if traded else None,
        "hours": plots.hours_plot(figures) if traded else None,
        "exposure": plots.exposure_plot(record),
    }


def _period(figures: Statistics) -> str:
    return (
        f"{figures.first} to {figures.last}, {wording.counted(figures.sessions, 'session')}. "
        f"{wording.dollars(figures.opening_equity)} became {wording.dollars(figures.closing_equity)}."
    )


def _cards(figures: Statistics) -> list[dict[str, str]]:
    own, trades = figures.returns, figures.trades
    other = figures.benchmark.returns if figures.benchmark else None

    def card(name: str, value: str, beside: str = "", tone: float | Decimal | None = 0) -> dict[str, str]:
        return {"name": name, "value": value, "beside": beside, "tone": _tone(tone)}

    def against(name: str) -> str:
        if figures.benchmark is None or other is None:
            return ""
        told = getattr(other, name)
        return f"{figures.benchmark.symbol} {wording.ratio(told) if name == 'sharpe' else wording.percent(told)}"

    return [
        card("Total return", wording.percent(own.total_return), against("total_return"), own.total_return),
        card("Annual return", wording.percent(own.annual_return), against("annual_return"), own.annual_return),
        card("Sharpe ratio", wording.ratio(own.sharpe), against("sharpe")),
        card("Deepest drawdown at closes", wording.percent(own.max_drawdown), against("max_drawdown")),
        card(
            "Profit", wording.dollars(figures.profit), f"{wording.dollars(figures.exposure.fees)} fees", figures.profit
        ),
        card("Trades", wording.count(trades.trades), f"{wording.minutes(trades.average_minutes)} held"),
        card("Hit rate", wording.percent(trades.hit_rate, 1), wording.counted(trades.winners, "winner")),
        card("Profit factor", wording.ratio(trades.profit_factor), f"{wording.dollars(trades.expectancy)} a trade"),
    ]


def _returns(figures: Statistics) -> list[tuple[str, str, str]]:
    own = _return_rows(figures.returns)
    other = _return_rows(figures.benchmark.returns) if figures.benchmark else [("", "")] * len(own)
    rows = [(name, value, beside) for (name, value), (_, beside) in zip(own, other, strict=True)]
    return [*rows, ("Deepest drawdown by minute", wording.percent(figures.intraday_drawdown), wording.UNDEFINED)]


def _return_rows(of: ReturnFigures) -> list[tuple[str, str]]:
    fell = of.drawdown_trough is not None
    began = wording.day(of.drawdown_peak) if of.drawdown_peak else "the start"
    ended = wording.day(of.drawdown_recovered) if of.drawdown_recovered else "not yet"
    return [
        ("Total return", wording.percent(of.total_return)),
        ("Annual return", wording.percent(of.annual_return)),
        ("Volatility", wording.percent(of.volatility)),
        ("Sharpe ratio", wording.ratio(of.sharpe)),
        ("Sortino ratio", wording.ratio(of.sortino)),
        ("Calmar ratio", wording.ratio(of.calmar)),
        ("Best session", wording.percent(of.best_session)),
        ("Worst session", wording.percent(of.worst_session)),
        ("Deepest drawdown at closes", wording.percent(of.max_drawdown)),
        ("Its peak", began if fell else wording.UNDEFINED),
        ("Its trough", wording.day(of.drawdown_trough)),
        ("Recovered", ended if fell else wording.UNDEFINED),
        ("Its length, sessions", wording.count(of.drawdown_sessions)),
        ("Longest drawdown, sessions", wording.count(of.longest_drawdown_sessions)),
    ]


def _relative(figures: Statistics) -> list[tuple[str, str]]:
    if figures.benchmark is None:
        return []
    relative = figures.benchmark.relative
    return [
        ("Excess return", wording.percent(relative.excess_return)),
        ("Alpha, by the year", wording.percent(relative.alpha)),
        ("Beta", wording.ratio(relative.beta)),
        ("Correlation", wording.ratio(relative.correlation)),
    ]


def _trade_list(figures: Statistics) -> list[tuple[str, str]]:
    trades = figures.trades
    return [
        ("Trades", wording.count(trades.trades)),
        ("Winners", wording.count(trades.winners)),
        ("Losers", wording.count(trades.losers)),
        ("Hit rate", wording.percent(trades.hit_rate, 1)),
        ("Profit factor", wording.ratio(trades.profit_factor)),
        ("Net profit", wording.dollars(trades.net)),
        ("Average trade", wording.dollars(trades.expectancy)),
        ("Average win", wording.dollars(trades.average_win)),
        ("Average loss", wording.dollars(trades.average_loss)),
        ("Largest win", wording.dollars(trades.largest_win)),
        ("Largest loss", wording.dollars(trades.largest_loss)),
        ("Average time held", wording.minutes(trades.average_minutes)),
        ("Profit outside finished trades", wording.dollars(figures.unfinished)),
    ]


def _exposure(figures: Statistics) -> list[tuple[str, str]]:
    of = figures.exposure
    return [
        ("Time in the market", wording.percent(of.time_in_market, 1)),
        ("Mean gross exposure", wording.percent(of.mean_exposure, 1)),
        ("Highest gross exposure", wording.percent(of.max_exposure, 1)),
        ("Value traded, both ways", wording.dollars(of.traded)),
        ("Turnover, times the mean equity", wording.ratio(of.turnover)),
        ("Turnover a session", wording.ratio(of.turnover_a_session)),
        ("Fees", wording.dollars(of.fees)),
        ("Fees, basis points of the value traded", wording.ratio(of.fees_basis_points)),
    ]


def _tables(figures: Statistics) -> list[dict[str, Any]]:
    return [
        _table("by-strategy", "By strategy", "Strategy", figures.by_strategy),
        _table("by-symbol", "By symbol", "Symbol", figures.by_symbol),
        _table("by-month", "By month", "Month", figures.by_month, "In which the trade ended."),
        _table("by-weekday", "By weekday of entry", "Weekday", figures.by_weekday),
        _table("by-hour", "By hour of entry", "Hour", figures.by_hour, "By the exchange's clock."),
        _table("by-reason", "By reason of the exit", "Reason", figures.by_reason),
    ]


def _table(name: str, heading: str, key: str, rows: Sequence[Row], caption: str = "") -> dict[str, Any]:
    # Months are read in their order, all of them.
    if len(rows) > LONGEST_TABLE and name != "by-month":
        ranked = sorted(rows, key=lambda row: row.figures.net, reverse=True)
        half = LONGEST_TABLE // 2
        rows = [*ranked[:half], *ranked[-half:]]
        caption = f"The {half} best and the {half} worst of {len(ranked):,} by net profit."
    return {"name": name, "heading": heading, "key": key, "caption": caption, "rows": [_row(row) for row in rows]}


def _row(row: Row) -> dict[str, str]:
    figures = row.figures
    return {
        "name": row.name,
        "trades": wording.count(figures.trades),
        "hit_rate": wording.percent(figures.hit_rate, 1),
        "net": wording.dollars(figures.net),
        "average": wording.dollars(figures.expectancy),
        "profit_factor": wording.ratio(figures.profit_factor),
        "held": wording.minutes(figures.average_minutes),
        "fees": wording.dollars(figures.fees),
        "tone": _tone(figures.net),
    }


def _tone(value: float | Decimal | None) -> str:
    if not value:
        return ""
    return "gain" if value > 0 else "loss"
