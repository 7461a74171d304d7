"""One market and one account, traded twice: by paper sessions, cycle by cycle on a ledger, and by the portfolio pass.

What both have done is told as plain rows, so that they can be compared: decisions, orders and changes with what the
venue answered, executions, and the account in every minute.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from trading_platform import bootstrap
from trading_platform.backtest.loop.kinds import KINDS
from trading_platform.backtest.portfolio_pass import PaperVenue, PortfolioPass
from trading_platform.backtest.results import PassResult
from trading_platform.brokers.fill_model import BUY, LIMIT, MARKET, STOP, STOP_LIMIT
from trading_platform.calendars.exchange import ExchangeCalendar, calendar_of
from trading_platform.calendars.sessions import Session, exchange_moment
from trading_platform.config.load import load
from trading_platform.config.settings import Limits, MarketHours, Settings
from trading_platform.domain.clock import SimulatedClock
from trading_platform.domain.decisions import Decision, DecisionKind
from trading_platform.domain.money import units_from_dollars
from trading_platform.domain.orders import OrderState, OrderStatus, OrderType, Side
from trading_platform.domain.records import SESSION_MINUTES, day_t
from trading_platform.engine.cycle import run_cycle
from trading_platform.ledger.ledger import Ledger
from trading_platform.marketdata.columns import BarColumns
from trading_platform.marketdata.fetch import fetch_bars, open_session
from trading_platform.marketdata.provider import Provider
from trading_platform.strategies.column_scan import Signals, scan_columns
from trading_platform.strategies.contract import Strategy
from trading_platform_tests.sessions.books import with_parts

_TYPES: Final = {
    MARKET: OrderType.MARKET,
    LIMIT: OrderType.LIMIT,
    STOP: OrderType.STOP,
    STOP_LIMIT: OrderType.STOP_LIMIT,
}


class ShortDays(ExchangeCalendar):
    """A calendar on which some days close earlier than the others."""

    def __init__(self, whole: ExchangeCalendar, minutes: Mapping[date, int]) -> None:
        self.__dict__.update(whole.__dict__)
        self._minutes = minutes

    def _at(self, place: int) -> Session:
        session = super()._at(place)
        minutes = self._minutes.get(session.day)
        return session if minutes is None else replace(session, close=session.open + timedelta(minutes=minutes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What is traded, by whom, on which days and under which limits.

    `minutes` is the length of a session, 390 for the exchange's own; `short` are the days that have another.
    """

    bars: Path
    symbols: tuple[str, ...]
    days: tuple[date, ...]
    strategies: tuple[Strategy, ...]
    limits: Mapping[str, Any] = field(default_factory=dict)
    execution: Mapping[str, Any] = field(default_factory=dict)
    cash: Decimal = Decimal(100_000)
    minutes: int = SESSION_MINUTES
    short: Mapping[date, int] = field(default_factory=dict)

    @property
    def hours(self) -> MarketHours:
        if self.minutes == SESSION_MINUTES:
            return MarketHours()
        closes = (datetime(2000, 1, 1, 9, 30) + timedelta(minutes=self.minutes)).time()  # noqa: DTZ001 (a clock time)
        return MarketHours(calendar="every_day", open=time(9, 30), close=closes)

    @property
    def calendar(self) -> ExchangeCalendar:
        return ShortDays(calendar_of(self.hours), self.short)

    def settings(self, folder: Path, database_url: str) -> Settings:
        return load(
            {},
            {
                "data_folder": folder,
                "database_url": database_url,
                "account": {"book": "both", "size": self.cash},
                "limits": dict(self.limits),
                "execution": dict(self.execution),
                "market_hours": self.hours.model_dump(),
                "market_data": {"provider": "lean", "folder": self.bars, "symbols": self.symbols},
            },
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What was done, as rows. Bars are counted as session x 390 + minute; money is in units.

    `minutes` holds, for each minute, the equity, the cash, the highest equity, the equity at the open and the mode.
    """

    decisions: list[tuple[Any, ...]]
    orders: list[tuple[Any, ...]]
    executions: list[tuple[Any, ...]]
    minutes: list[tuple[Any, ...]]


# ---- on paper -----------------------------------------------------------------------------------------------------


def on_paper(trial: Trial, folder: Path, database_url: str) -> Course:
    """Run the sessions, one after the other, and read what they have left."""
    settings = trial.settings(folder, database_url)
    clock = SimulatedClock(exchange_moment(trial.days[0], time()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bootstrap, "calendar_of", lambda _: trial.calendar)
        platform = with_parts(bootstrap.build(settings, clock), strategies=trial.strategies)
    try:
        for day in trial.days:
            session = platform.simulated_session(day)
            for report in session.run(lambda day, minute: run_cycle(platform.stages, day, minute)):
                assert not report.reconciled.breaks
        return left_by(trial, platform.ledger, bootstrap.paper_book(settings))
    finally:
        platform.close()


def left_by(trial: Trial, ledger: Ledger, exchange_file: Path) -> Course:
    """What sessions have left in the ledger, and in the venue's own file."""
    book = _Rows(trial)
    orders = ledger.orders()
    return Course(
        decisions=[book.decision(one) for day in trial.days for one in ledger.decisions(day)],
        orders=[book.order(one) for one in orders],
        executions=book.executions(exchange_file, orders),
        minutes=[book.minute(one) for day in trial.days for one in ledger.cycles(day)],
    )


class _Rows:
    """What the ledger holds as rows, by places of strategies and symbols."""

    def __init__(self, trial: Trial) -> None:
        self._strategies = [strategy.name for strategy in trial.strategies]
        self._symbols = list(trial.symbols)
        calendar = trial.calendar
        self._sessions = [calendar.session(day) for day in trial.days]

    def bar(self, moment: datetime) -> int:
        number, session = next(
            (number, one) for number, one in enumerate(self._sessions) if one.open <= moment < one.close
        )
        return number * SESSION_MINUTES + (moment - session.open) // timedelta(minutes=1)

    def key(self, strategy: str, symbol: str) -> tuple[int, int]:
        return self._strategies.index(strategy), self._symbols.index(symbol)

    def decision(self, one: Decision) -> tuple[Any, ...]:
        return (
            self.bar(one.bar_time),
            *self.key(one.strategy, one.symbol),
            one.kind.name,
            one.leg,
            int(one.cause) if one.cause is not None else 0,
            int(one.verdict),
            int(one.rule),
            one.measure,
            one.limit,
            one.quantity,
            units_from_dollars(one.price),
            units_from_dollars(one.limit_price or 0),
            units_from_dollars(one.stop_price or 0),
            one.setup,
        )

    def order(self, status: OrderStatus) -> tuple[Any, ...]:
        one = status.intent
        return (
            self.bar(one.bar_time),
            *self.key(one.strategy, one.symbol),
            one.kind.value,
            one.leg,
            one.side.value,
            one.type.value,
            one.quantity,
            units_from_dollars(one.limit_price or 0),
            units_from_dollars(one.stop_price or 0),
            one.parent is not None,
            status.state is OrderState.REJECTED,
        )

    def executions(self, path: Path, orders: Sequence[OrderStatus]) -> list[tuple[Any, ...]]:
        """From the venue's own file, in its own order."""
        intents = {status.intent.id: status.intent for status in orders}
        with closing(sqlite3.connect(path)) as connection:
            found = connection.execute(
                "SELECT o.intent_id, e.quantity, e.price, e.fee, e.time "
                "FROM executions AS e JOIN orders AS o ON o.id = e.order_id ORDER BY e.sequence"
            ).fetchall()
        rows = []
        for name, quantity, price, fee, moment in found:
            one = intents[name]
            bar = self.bar(datetime.fromisoformat(moment))
            units = units_from_dollars(price), units_from_dollars(fee)
            named = self.key(one.strategy, one.symbol)
            rows.append((bar, *named, one.kind.value, one.leg, one.side.value, quantity, *units))
        return rows

    def minute(self, header: Any) -> tuple[Any, ...]:
        amounts = (header.equity, header.cash, header.open_equity)
        return self.bar(header.bar_time), *(units_from_dollars(one) for one in amounts), int(header.mode)


# ---- by the pass --------------------------------------------------------------------------------------------------


def by_pass(trial: Trial, blocks: Sequence[int] | None = None) -> Course:
    """The same account over the same bars, in blocks of so many sessions; in one where they are not given."""
    account = PortfolioPass(
        trial.strategies,
        Limits(**trial.limits),
        opening_cash=trial.cash,
        symbols=trial.symbols,
        venue=venue_of(trial),
    )
    course = Course(decisions=[], orders=[], executions=[], minutes=[])
    first, mode = 0, 0
    for count in blocks or (len(trial.days),):
        days = trial.days[first : first + count]
        columns = columns_of(trial, days)
        result = account.run(columns, [signals_of(strategy, columns) for strategy in trial.strategies])
        mode = _add(course, result, columns.sessions, mode)
        first += count
    assert first == len(trial.days)
    return course


def venue_of(trial: Trial) -> PaperVenue:
    settings = Settings(execution=dict(trial.execution))  # type: ignore[arg-type]  # validated into its group
    execution = settings.execution
    return PaperVenue(
        slippage=execution.slippage_bps, volume_share=int(execution.volume_share_pct * 100), fees=execution.fees
    )


def columns_of(trial: Trial, days: Sequence[date]) -> BarColumns:
    """The judged bars and day records of some days, as a paper session's provider gives them."""
    from trading_platform.marketdata.providers.lean_files import LeanFiles

    provider: Provider = LeanFiles(trial.bars)
    calendar = trial.calendar
    sessions = tuple(calendar.session(day) for day in days)
    shape = len(trial.symbols), len(days), SESSION_MINUTES
    columns = {name: np.full(shape, np.nan) for name in ("open", "high", "low", "close")}
    columns["volume"] = np.zeros(shape)
    records = np.zeros(shape[:2], day_t)
    for place, session in enumerate(sessions):
        bars = fetch_bars(provider, trial.symbols, session, session.close)[0].bars
        came = bars["time"] != 0
        for name, column in columns.items():
            scale = 1 if name == "volume" else 10_000
            column[:, place, : session.minutes][came] = (bars[name] / scale)[came]
        records[:, place] = open_session(provider, calendar, trial.symbols, session)[0]
    return BarColumns(sessions=sessions, symbols=trial.symbols, days=records, **columns)


def signals_of(strategy: Strategy, columns: BarColumns) -> Signals:
    """What a strategy says of these bars."""
    return scan_columns(
        strategy,
        columns.open,
        columns.high,
        columns.low,
        columns.close,
        columns.volume,
        columns.days,
        np.array([session.minutes for session in columns.sessions], np.int64),
        keep_levels=strategy.exit_plan.trail_level != 0,
        threads=1,
    )


def _add(course: Course, result: PassResult, sessions: Sequence[Session], mode: int) -> int:
    """Add a block's rows; returns the mode at its end."""
    for bar, one in zip(result.decision_bars, result.decisions, strict=True):
        course.decisions.append((int(bar), *_decided(one)))
    course.orders.extend(_sent(one) for one in result.sent)
    for one in result.executions:
        side = Side.BUY.value if one["side"] == BUY else Side.SELL.value
        numbers = (int(one[name]) for name in ("quantity", "price", "fee"))
        named = (int(one[name]) for name in ("bar", "strategy", "symbol"))
        course.executions.append((*named, KINDS[int(one["kind"])].value, int(one["leg"]), side, *numbers))
    changes = {int(one["bar"]): int(one["mode"]) for one in result.modes}
    for place, session in enumerate(sessions):
        for minute in range(session.minutes):
            here = place * SESSION_MINUTES + minute
            bar = result.first_session * SESSION_MINUTES + here
            mode = changes.get(bar, mode)
            amounts = result.equity[here], result.cash[here], result.open_equity[place]
            course.minutes.append((bar, *map(int, amounts), mode))
    return mode


def _decided(one: Any) -> tuple[Any, ...]:
    kind = DecisionKind(int(one["kind"]))
    names = ("verdict", "rule", "measure", "limit", "quantity", "price", "limit_price", "stop_price", "setup")
    return (
        int(one["strategy"]),
        int(one["symbol"]),
        kind.name,
        int(one["leg"]),
        int(one["reason"]) if kind is DecisionKind.EXIT else 0,
        *(int(one[name]) for name in names),
    )


def _sent(one: Any) -> tuple[Any, ...]:
    return (
        int(one["bar"]),
        int(one["strategy"]),
        int(one["symbol"]),
        KINDS[int(one["kind"])].value,
        int(one["leg"]),
        Side.BUY.value if one["side"] == BUY else Side.SELL.value,
        _TYPES[int(one["type"])].value,
        int(one["quantity"]),
        int(one["limit"]),
        int(one["stop"]),
        bool(one["attached"]),
        bool(one["refused"]),
    )


def difference(paper: Course, backtest: Course) -> str:
    """Where the two part, in words; empty if they are the same."""
    for name in ("decisions", "orders", "executions", "minutes"):
        one, other = getattr(paper, name), getattr(backtest, name)
        for place, (left, right) in enumerate(zip(one, other, strict=False)):
            if left != right:
                return f"{name} {place}: on paper {left}, in the backtest {right}"
        if len(one) != len(other):
            return f"{len(one)} {name} on paper, {len(other)} in the backtest"
    return ""
