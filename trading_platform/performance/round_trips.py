"""What finished trades came to: all of them, and by strategy, symbol, month, weekday, hour and reason.

Sums are exact, in dollars; equity and holdings are not looked at. A trade belongs to the month in which it ended, for
its profit is realised then, and to the weekday and hour in which it was entered, by the exchange's clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from trading_platform.calendars.sessions import EXCHANGE_ZONE
from trading_platform.domain.money import dollars_from_units
from trading_platform.domain.records import SESSION_MINUTES
from trading_platform.performance.track_record import TrackRecord, Units

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_HOUR = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeFigures:
    """What a number of trades came to. Amounts are dollars after fees unless they say otherwise.

    Attributes:
        trades: How many.
        winners: Those with a net profit above 0.
        losers: Those below 0.
        hit_rate: Winners over all; a share. None without trades.
        net: Sum of the net profits.
        fees: Sum of the fees.
        profit_factor: Net profits of the winners over net losses of the losers; None where nothing was lost.
        average_win: Of the winners.
        average_loss: Of the losers, below 0.
        expectancy: Net profit of the average trade.
        largest_win: None without winners.
        largest_loss: Below 0; None without losers.
        average_minutes: Minutes of trading from the bar of the first buy to the bar of the last sale.
    """

    trades: int
    winners: int
    losers: int
    hit_rate: float | None
    net: Decimal
    fees: Decimal
    profit_factor: float | None
    average_win: Decimal | None
    average_loss: Decimal | None
    expectancy: Decimal | None
    largest_win: Decimal | None
    largest_loss: Decimal | None
    average_minutes: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of a table: the trades that have something in common."""

    name: str
    figures: TradeFigures


def net_profits(trades: npt.NDArray[Any]) -> Units:
    """int64 [n], units: what each trade brought, less what it cost and its fees."""
    found: Units = trades["proceeds"] - trades["cost"] - trades["fees"]
    return found


def trade_figures(record: TrackRecord) -> TradeFigures:
    """The figures of all trades of a run."""
    return _grouped(record, np.zeros(record.trades.size, np.int64), [""])[0].figures


def by_strategy(record: TrackRecord) -> tuple[Row, ...]:
    """A row for each strategy, in the configuration's order, those without trades too."""
    return _grouped(record, record.trades["strategy"], record.strategies)


def by_symbol(record: TrackRecord) -> tuple[Row, ...]:
    """A row for each symbol that was traded, by name."""
    return tuple(sorted(_traded(_grouped(record, record.trades["symbol"], record.symbols)), key=lambda row: row.name))


def by_month(record: TrackRecord) -> tuple[Row, ...]:
    """A row for each month of the run, as 2024-06, by the session in which a trade ended."""
    months = [f"{session.day:%Y-%m}" for session in record.sessions]
    names, months_of = np.unique(months, return_inverse=True)
    return _grouped(record, months_of[record.trades["left"] // SESSION_MINUTES], [str(name) for name in names])


def by_weekday(record: TrackRecord) -> tuple[Row, ...]:
    """A row for each weekday on which trades were entered, Monday first."""
    weekdays = np.array([session.day.weekday() for session in record.sessions])
    return _traded(_grouped(record, weekdays[record.trades["entered"] // SESSION_MINUTES], WEEKDAYS))


def by_hour(record: TrackRecord) -> tuple[Row, ...]:
    """A row for each hour of the exchange's clock in which trades were entered; 09:00 holds the first half hour."""
    opens = [session.open.astimezone(EXCHANGE_ZONE) for session in record.sessions]
    minute_of_day = np.array([_HOUR * local.hour + local.minute for local in opens])
    session, minute = np.divmod(record.trades["entered"], SESSION_MINUTES)
    hours = (minute_of_day[session] + minute) // _HOUR
    return _traded(_grouped(record, hours, [f"{hour:02d}:00" for hour in range(24)]))


def by_reason(record: TrackRecord) -> tuple[Row, ...]:
    """A row for each reason for which trades ended, the most frequent first."""
    numbers, reasons = np.unique(record.trades["reason"], return_inverse=True)
    names = [record.reasons.get(int(number), f"reason {number}") for number in numbers]
    return tuple(sorted(_grouped(record, reasons, names), key=lambda row: (-row.figures.trades, row.name)))


def _traded(rows: Sequence[Row]) -> tuple[Row, ...]:
    return tuple(row for row in rows if row.figures.trades)


def minutes_held(record: TrackRecord) -> Units:
    """int64 [n]: minutes of trading that each trade lasted; nights and the end of a half day do not count."""
    lengths = record.session_minutes
    before = np.cumsum(lengths) - lengths

    def elapsed(bars: Units) -> Units:
        session, minute = np.divmod(bars, SESSION_MINUTES)
        passed: Units = before[session] + minute
        return passed

    return elapsed(record.trades["left"]) - elapsed(record.trades["entered"])


def _grouped(record: TrackRecord, groups: npt.NDArray[Any], names: Sequence[str]) -> tuple[Row, ...]:
    """The figures of each group in one pass over the trades: a market has thousands of symbols."""
    net = net_profits(record.trades)
    count = len(names)

    def added(amounts: npt.NDArray[Any]) -> Units:
        sums = np.zeros(count, np.int64)
        np.add.at(sums, groups, amounts)
        return sums

    largest_win, largest_loss = np.zeros(count, np.int64), np.zeros(count, np.int64)
    np.maximum.at(largest_win, groups, net)
    np.minimum.at(largest_loss, groups, net)
    columns = (
        added(np.ones_like(net)),
        added(net > 0),
        added(net < 0),
        added(np.maximum(net, 0)),
        added(np.minimum(net, 0)),
        added(record.trades["fees"]),
        added(minutes_held(record)),
        largest_win,
        largest_loss,
    )
    return tuple(
        Row(name=name, figures=_figures(*(int(value) for value in values)))
        for name, *values in zip(names, *columns, strict=True)
    )


def _figures(
    trades: int,
    winners: int,
    losers: int,
    gains: int,
    losses: int,
    fees: int,
    minutes: int,
    largest_win: int,
    largest_loss: int,
) -> TradeFigures:
    return TradeFigures(
        trades=trades,
        winners=winners,
        losers=losers,
        hit_rate=winners / trades if trades else None,
        net=dollars_from_units(gains + losses),
        fees=dollars_from_units(fees),
        profit_factor=gains / -losses if losses else None,
        average_win=_average(gains, winners),
        average_loss=_average(losses, losers),
        expectancy=_average(gains + losses, trades),
        largest_win=dollars_from_units(largest_win) if winners else None,
        largest_loss=dollars_from_units(largest_loss) if losers else None,
        average_minutes=minutes / trades if trades else None,
    )


def _average(units: int, count: int) -> Decimal | None:
    return dollars_from_units(units) / count if count else None
