"""The equity curve from fills and closes, worked out by hand."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from trading_platform.domain.fills import Fill
from trading_platform.domain.orders import Side
from trading_platform.performance.equity import equity_curve

OPEN = datetime(2013, 10, 9, 13, 30, tzinfo=UTC)


def ends(minute: int) -> datetime:
    return OPEN + timedelta(minutes=minute + 1)


def fill(number: int, side: Side, quantity: int, price: str, minute: int, fee: str = "1.00") -> Fill:
    return Fill(
        execution_id=f"x{number}",
        intent_id="i",
        strategy="s",
        symbol="SPY",
        side=side,
        quantity=quantity,
        price=Decimal(price),
        fee=Decimal(fee),
        time=OPEN + timedelta(minutes=minute, seconds=59),
    )


def test_cash_and_holdings_at_their_last_close() -> None:
    fills = [fill(1, Side.BUY, 10, "100.00", 1), fill(2, Side.SELL, 10, "102.00", 3)]
    closes = [
        (ends(0), {"SPY": Decimal("99.50")}),
        (ends(1), {"SPY": Decimal("100.50")}),
        (ends(2), {}),
        (ends(3), {"SPY": Decimal("105.00")}),
    ]
    assert [equity for _, equity in equity_curve(Decimal(5000), fills, closes)] == [
        Decimal("5000.00"),
        Decimal("5004.00"),  # 5,000 - 1,000 - 1 + 10 x 100.50
        Decimal("5004.00"),  # no bar: the last close stands
        Decimal("5018.00"),  # 3,999 + 1,020 - 1, and nothing held any more
    ]


def test_a_fill_counts_from_the_minute_that_it_happened_in() -> None:
    curve = equity_curve(Decimal(1000), [fill(1, Side.BUY, 1, "10.00", 1)], [(ends(0), {}), (ends(1), {})])
    assert [equity for _, equity in curve] == [Decimal(1000), Decimal("999.00")]


def test_a_holding_without_a_close_is_worth_its_fill() -> None:
    curve = equity_curve(Decimal(1000), [fill(1, Side.BUY, 2, "10.00", 0)], [(ends(0), {})])
    assert curve == ((ends(0), Decimal("999.00")),)
