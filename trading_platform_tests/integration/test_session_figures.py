"""What a session came to, against rows that are worked out by hand.

Day 1: 100 IBM are bought at 180.00 and 40 of them sold at 182.50; each execution costs 1.00.
    realised   40 x (182.50 - 180.00) = 100.00;  60 are left, which cost 10,800.00
    cash       100,000.00 - 18,000.00 - 1.00 + 7,300.00 - 1.00 = 89,298.00
Day 2: the other 60 are sold at 181.00 for 1.00; 10 SPY are bought at 168.25 for 0.35, and stand at 169.00.
    realised   60 x (181.00 - 180.00) = 60.00;   unrealised 10 x (169.00 - 168.25) = 7.50
    cash       89,298.00 + 10,860.00 - 1.00 - 1,682.50 - 0.35 = 98,474.15
"""

from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.calendars.sessions import Session
from trading_platform.domain.decisions import DecisionKind, Rule, TradingMode, Verdict
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.orders import IntentKind, OrderEvent, OrderState, Side
from trading_platform.domain.signals import ExitReason
from trading_platform.ledger.ledger import Ledger
from trading_platform.ledger.session_figures import (
    DecisionCount,
    FillSum,
    OrderCount,
    SessionFigures,
    SessionProfit,
    SignalCount,
)

if TYPE_CHECKING:
    from trading_platform_tests.integration.conftest import LedgerValues

FIRST, SECOND = date(2013, 10, 9), date(2013, 10, 10)
DAY = 1440
"""Minutes from a bar of the first day to the same bar of the second."""
STRATEGY = "gap_and_go"
MARKS = {"SPY": Decimal("169.00")}


@pytest.fixture(scope="module")
def days() -> tuple[Session, Session]:
    calendar = ExchangeCalendar()
    return calendar.session(FIRST), calendar.session(SECOND)


@pytest.fixture
def traded(ledger: Ledger, values: "LedgerValues") -> Ledger:
    """A ledger of the two days."""
    ledger.open_session(SECOND, {}, values.bar(DAY))
    bought = values.intent(0)
    scaled = values.intent(1, kind=IntentKind.EXIT, quantity=40)
    rest = values.intent(DAY, kind=IntentKind.EXIT, quantity=60)
    spy = values.intent(DAY, "SPY", quantity=10)
    lost = values.intent(DAY + 1, "AIG", quantity=5)
    signals = (values.signal(0), values.signal(0, "SPY", entry=False), values.signal(0, "AIG", exits=ExitReason(0)))
    decisions = (
        values.decision(0, 0),
        values.decision(0, 1, "SPY", verdict=Verdict.REFUSED, rule=Rule.LOSS_LIMIT),
        values.decision(0, 2, "AIG", verdict=Verdict.REFUSED, rule=Rule.LOSS_LIMIT),
    )
    with ledger.take("job") as lease:
        own = lease.ownership
        ledger.record_cycle(values.cycle(0, signals=signals, decisions=decisions), [bought], own)
        ledger.record_cycle(values.cycle(1, cash=Decimal("89298.00")), [scaled], own)
        sale = values.decision(DAY, 0, kind=DecisionKind.EXIT, verdict=Verdict.APPROVED, rule=Rule.NONE)
        ledger.record_cycle(values.cycle(DAY, session=SECOND, decisions=(sale,)), [rest, spy], own)
        last = values.cycle(
            DAY + 1, session=SECOND, bars=2, cash=Decimal("98474.15"), mode=TradingMode.REDUCING_ONLY, problems=()
        )
        ledger.record_cycle(last, [lost], own)
    fee = {"fee": Decimal("1.00")}
    first = [
        values.execution(bought, "1", 100, "180.00", **fee),
        values.execution(scaled, "2", 40, "182.50", time=scaled.bar_time, **fee),
    ]
    second = [
        values.execution(rest, "3", 60, "181.00", time=rest.bar_time, **fee),
        values.execution(spy, "4", 10, "168.25", time=rest.bar_time, fee=Decimal("0.35")),
    ]
    ends = {
        "1": OrderEvent(intent_id=bought.id, state=OrderState.FILLED, at=values.bar(1)),
        "2": OrderEvent(intent_id=scaled.id, state=OrderState.FILLED, at=values.bar(2)),
        "3": OrderEvent(intent_id=rest.id, state=OrderState.FILLED, at=values.bar(DAY + 1)),
        "4": OrderEvent(intent_id=spy.id, state=OrderState.FILLED, at=values.bar(DAY + 1)),
    }
    ledger.book_executions(first, ends, values.bar(2))
    ledger.book_executions(second, ends, values.bar(DAY + 2))
    ledger.append_events([OrderEvent(intent_id=lost.id, state=OrderState.UNKNOWN, at=values.bar(DAY + 2))])
    return ledger


def test_the_first_day_by_hand(traded: Ledger, days: tuple[Session, Session], values: "LedgerValues") -> None:
    figures = traded.session_figures(days[0])
    assert figures.session == FIRST
    assert [(one.bar_time, one.bars) for one in figures.minutes] == [(values.bar(0), 3), (values.bar(1), 3)]
    # SPY's signal is no entry, AIG's says nothing against holding.
    assert figures.signals == (SignalCount(strategy=STRATEGY, entries=2, exits=2),)
    assert figures.decisions == (
        DecisionCount(kind=DecisionKind.ENTER, verdict=Verdict.RESIZED, rule=Rule.POSITION_SIZE, decisions=1),
        DecisionCount(kind=DecisionKind.ENTER, verdict=Verdict.REFUSED, rule=Rule.LOSS_LIMIT, decisions=2),
    )
    assert figures.orders == (
        OrderCount(kind=IntentKind.ENTRY, state=OrderState.FILLED, orders=1, shares=100),
        OrderCount(kind=IntentKind.EXIT, state=OrderState.FILLED, orders=1, shares=40),
    )
    assert figures.unresolved == ()
    assert figures.fills == (_sum("IBM", Side.BUY, 100, "18000", "1.00"), _sum("IBM", Side.SELL, 40, "7300", "1.00"))
    assert figures.profit == (_made("IBM", 60, "10800", realised="100.00", fees="2.00"),)
    (held,) = figures.positions
    assert (held.symbol, held.quantity, held.cost, held.realised) == ("IBM", 60, Decimal(10_800), Decimal(100))
    assert figures.closing_cash == Decimal("89298.00")


def test_the_second_day_counts_what_it_made_alone(traded: Ledger, days: tuple[Session, Session]) -> None:
    figures = traded.session_figures(days[1], MARKS)
    assert [(one.bars, one.mode) for one in figures.minutes] == [
        (3, TradingMode.NORMAL),
        (2, TradingMode.REDUCING_ONLY),
    ]
    assert figures.signals == ()
    assert figures.decisions == (
        DecisionCount(kind=DecisionKind.EXIT, verdict=Verdict.APPROVED, rule=Rule.NONE, decisions=1),
    )
    assert figures.fills == (_sum("IBM", Side.SELL, 60, "10860", "1.00"), _sum("SPY", Side.BUY, 10, "1682.50", "0.35"))
    ibm, spy = figures.profit
    assert ibm == _made("IBM", 0, "0", realised="60.00", fees="1.00")
    assert spy == _made("SPY", 10, "1682.50", unrealised="7.50", fees="0.35")
    assert (ibm.net, spy.net) == (Decimal("59.00"), Decimal("7.15"))
    assert [(one.symbol, one.quantity) for one in figures.positions] == [("SPY", 10)]
    assert figures.closing_cash == Decimal("98474.15")
    # The order whose outcome is not known is resolved by nothing but evidence.
    assert [(one.intent.symbol, one.state) for one in figures.unresolved] == [("AIG", OrderState.UNKNOWN)]
    assert OrderCount(kind=IntentKind.ENTRY, state=OrderState.UNKNOWN, orders=1, shares=5) in figures.orders
    assert all(isinstance(one.realised, Decimal) and isinstance(one.unrealised, Decimal) for one in figures.profit)


def test_without_a_mark_a_holding_stands_at_its_cost(traded: Ledger, days: tuple[Session, Session]) -> None:
    assert [one.unrealised for one in traded.session_figures(days[1]).profit] == [0, 0]


def test_profit_in_sql_is_that_of_the_fold(traded: Ledger, days: tuple[Session, Session]) -> None:
    both = [traded.session_figures(day) for day in days]
    realised = sum((one.realised for figures in both for one in figures.profit), Decimal(0))
    assert realised == sum((one.realised for one in traded.holdings().positions.values()), Decimal(0))
    assert both[1].closing_cash == traded.holdings().cash


def test_cash_adds_up_to_the_cent_or_does_not(
    traded: Ledger, days: tuple[Session, Session], values: "LedgerValues"
) -> None:
    check = traded.session_figures(days[1]).cash
    assert (check.opening, check.bought, check.sold) == (Decimal(100_000), Decimal("19682.50"), Decimal(18_160))
    assert (check.fees, check.expected, check.recorded) == (Decimal("3.35"), Decimal("98474.15"), Decimal("98474.15"))
    assert check.adds_up
    # Day 1's last cycle knew of day 1's fills alone: what was booked later is not held against it.
    assert traded.session_figures(days[0]).cash.adds_up
    with traded.take("job") as lease:
        wrong = values.cycle(DAY + 2, session=SECOND, cash=Decimal("98474.16"))
        traded.record_cycle(wrong, [], lease.ownership)
    assert not traded.session_figures(days[1]).cash.adds_up


def test_a_fill_belongs_to_the_hours_in_which_it_was_executed(
    ledger: Ledger, values: "LedgerValues", days: tuple[Session, Session]
) -> None:
    entry = values.intent(0)
    with ledger.take("job") as lease:
        ledger.record_intents(FIRST, [entry], lease.ownership)
    last, first = days[0].after_hours_close, days[1].premarket_open
    fills = [
        values.execution(entry, "late", 1, "10", time=last - timedelta(microseconds=1)),
        values.execution(entry, "early", 1, "10", time=first),
    ]
    ledger.book_executions(fills, {}, first)
    one, other = (ledger.session_figures(day) for day in days)
    assert ([it.fills for it in one.fills], [it.fills for it in other.fills]) == ([1], [1])
    assert ([it.quantity for it in one.positions], [it.quantity for it in other.positions]) == ([1], [2])


def test_a_session_without_a_minute_is_empty(ledger: Ledger, days: tuple[Session, Session]) -> None:
    figures = ledger.session_figures(days[0])
    assert _counts(figures) == (0, 0, 0, 0, 0, 0)
    assert (figures.closing_cash, figures.cash.recorded, figures.cash.adds_up) == (Decimal(100_000), None, True)
    with pytest.raises(InvalidInput, match="there is no book 'live'"):
        Ledger(ledger.engine, book="live").session_figures(days[0])


def test_the_figures_of_a_session_are_of_one_snapshot(
    traded: Ledger, days: tuple[Session, Session], values: "LedgerValues", monkeypatch: pytest.MonkeyPatch
) -> None:
    from trading_platform.ledger import queries

    whole = queries.orders
    spy = next(one.intent for one in traded.orders() if one.intent.symbol == "SPY")
    before = traded.session_figures(days[1])
    booked = iter(range(2))

    def orders(*given: object) -> object:
        # Somebody books an execution while the figures are being read.
        fill = values.execution(spy, f"between {next(booked)}", 1, "168.25", time=spy.bar_time)
        traded.book_executions([fill], {}, values.bar(DAY + 2))
        return whole(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(queries, "orders", orders)
    assert traded.session_figures(days[1]) == before
    # The control: without the snapshot it is half of the one and half of the other.
    monkeypatch.setattr("trading_platform.ledger.session_figures._ONE_SNAPSHOT", queries._CLOCK)
    assert traded.session_figures(days[1]).fills != before.fills


def _counts(figures: SessionFigures) -> tuple[int, ...]:
    parts = (figures.minutes, figures.signals, figures.decisions, figures.orders, figures.fills, figures.profit)
    return tuple(map(len, parts))


def _sum(symbol: str, side: Side, shares: int, notional: str, fees: str) -> FillSum:
    return FillSum(
        strategy=STRATEGY,
        symbol=symbol,
        side=side,
        fills=1,
        shares=shares,
        notional=Decimal(notional),
        fees=Decimal(fees),
    )


def _made(
    symbol: str, quantity: int, cost: str, *, realised: str = "0", unrealised: str = "0", fees: str = "0"
) -> SessionProfit:
    return SessionProfit(
        strategy=STRATEGY,
        symbol=symbol,
        quantity=quantity,
        cost=Decimal(cost),
        realised=Decimal(realised),
        unrealised=Decimal(unrealised),
        fees=Decimal(fees),
    )
