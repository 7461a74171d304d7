"""What a run came to, in one value: what is printed, written as JSON and set into the tear sheet.

The figures are worked out where they belong (`returns`, `round_trips`, `exposure`); here they are put together, and
made into JSON. How they look to a person is `tearsheet`.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

from trading_platform.domain.money import cents, dollars_from_units
from trading_platform.performance import wording
from trading_platform.performance.drawdown import deepest
from trading_platform.performance.exposure import ExposureFigures, exposure_figures
from trading_platform.performance.returns import (
    MonthlyReturn,
    RelativeFigures,
    ReturnFigures,
    monthly_returns,
    relative_figures,
    return_figures,
)
from trading_platform.performance.round_trips import (
    Row,
    TradeFigures,
    by_hour,
    by_month,
    by_reason,
    by_strategy,
    by_symbol,
    by_weekday,
    trade_figures,
)
from trading_platform.performance.track_record import TrackRecord, with_opening

FEW_SESSIONS: Final = 60
FEW_TRADES: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkFigures:
    """The benchmark held through the run, and the run beside it. `missing` sessions had no close of it."""

    symbol: str
    missing: int
    returns: ReturnFigures
    relative: RelativeFigures


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """What a run came to.

    Attributes:
        first: Its first session.
        last: Its last session.
        sessions: How many.
        opening_equity: Dollars before the first session.
        closing_equity: Dollars at the end.
        profit: Dollars: the one less the other.
        unfinished: Dollars of that profit that belong to no finished trade: what is still held, and what cash has
            moved by beside trades.
        returns: From the equity at each session's close.
        intraday_drawdown: The deepest fall from the end of one minute to that of a later one; a share, not negative.
        benchmark: None where none was given.
        trades: Of all finished trades.
        exposure: Exposure, turnover and fees.
        months: The return of each calendar month.
        by_strategy: Tables of trades by what they have in common; see `round_trips`.
        by_symbol: By name.
        by_month: By the month in which they ended.
        by_weekday: By the day on which they were entered.
        by_hour: By the hour in which they were entered.
        by_reason: By why they ended.
    """

    first: date
    last: date
    sessions: int
    opening_equity: Decimal
    closing_equity: Decimal
    profit: Decimal
    unfinished: Decimal
    returns: ReturnFigures
    intraday_drawdown: float
    benchmark: BenchmarkFigures | None
    trades: TradeFigures
    exposure: ExposureFigures
    months: tuple[MonthlyReturn, ...]
    by_strategy: tuple[Row, ...]
    by_symbol: tuple[Row, ...]
    by_month: tuple[Row, ...]
    by_weekday: tuple[Row, ...]
    by_hour: tuple[Row, ...]
    by_reason: tuple[Row, ...]


def statistics(record: TrackRecord) -> Statistics:
    """What a run came to. Figures that are not defined are None."""
    days = [session.day for session in record.sessions]
    curve = record.by_session
    profit = int(curve[-1]) - record.opening
    trades = trade_figures(record)
    return Statistics(
        first=days[0],
        last=days[-1],
        sessions=len(days),
        opening_equity=dollars_from_units(record.opening),
        closing_equity=dollars_from_units(int(curve[-1])),
        profit=dollars_from_units(profit),
        unfinished=dollars_from_units(profit) - trades.net,
        returns=return_figures(days, curve),
        intraday_drawdown=deepest(with_opening(record)).depth,
        benchmark=_beside(record, days),
        trades=trades,
        exposure=exposure_figures(record),
        months=monthly_returns(days, curve),
        by_strategy=by_strategy(record),
        by_symbol=by_symbol(record),
        by_month=by_month(record),
        by_weekday=by_weekday(record),
        by_hour=by_hour(record),
        by_reason=by_reason(record),
    )


def cautions(figures: Statistics) -> tuple[str, ...]:
    """What a reader must know before trusting the figures, in sentences."""
    found = []
    if figures.sessions < FEW_SESSIONS:
        found.append(
            f"{wording.counted(figures.sessions, 'session')}: what is told by the year (return, volatility, Sharpe, Sortino, "
            f"Calmar, alpha) says little below {FEW_SESSIONS}."
        )
    if figures.trades.trades < FEW_TRADES:
        found.append(
            f"{wording.counted(figures.trades.trades, 'finished trade')}: hit rate, profit factor and expectancy say little "
            f"below {FEW_TRADES}."
        )
    if figures.benchmark is not None and figures.benchmark.missing:
        missing = wording.counted(figures.benchmark.missing, "session")
        found.append(f"The benchmark {figures.benchmark.symbol} has no close in {missing}: its last one stands there.")
    if figures.exposure.mean_exposure is None:
        found.append("The account was ruined: returns have no meaning after that.")
    return tuple(found)


def as_json(figures: Statistics) -> dict[str, Any]:
    """The figures as plain JSON values: shares as they are, dollars to the cent, days as 2024-06-14, null for None.

    A row of a table is its trades' figures and its `name`.
    """
    told = {one.name: _plain(getattr(figures, one.name)) for one in dataclasses.fields(figures)}
    return {**told, "cautions": list(cautions(figures))}


def _beside(record: TrackRecord, days: Sequence[date]) -> BenchmarkFigures | None:
    benchmark = record.benchmark
    if benchmark is None:
        return None
    return BenchmarkFigures(
        symbol=benchmark.symbol,
        missing=benchmark.missing,
        returns=return_figures(days, benchmark.held),
        relative=relative_figures(record.by_session, benchmark.held),
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Row):
        return {"name": value.name, **_plain(value.figures)}
    if dataclasses.is_dataclass(value):
        return {one.name: _plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if isinstance(value, Decimal):
        return float(cents(value))
    if isinstance(value, date):
        return value.isoformat()
    return value
