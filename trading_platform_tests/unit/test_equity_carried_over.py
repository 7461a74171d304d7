"""The equity curve of a session that begins with holdings, worked out by hand."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from trading_platform.accounting.average_cost import fold
from trading_platform.domain.fills import Fill
from trading_platform.domain.orders import Side
from trading_platform.performance.equity import equity_curve

OPEN = datetime(2013, 10, 9, 13, 30, tzinfo=UTC)


def fill(strategy: str, side: Side, quantity: int, price: str, minute: int) -> Fill:
    return Fill(
        execution_id=f"{strategy}{minute}",
        intent_id="i",
        strategy=strategy,
        symbol="SPY",
        side=side,
        quantity=quantity,
        price=Decimal(price),
        fee=Decimal(0),
        time=OPEN + timedelta(minutes=minute, seconds=30),
    )


# Three shares that cost 100.00, one that cost 33.00: the day before.
BEFORE = [
    fill("a", Side.BUY, 2, "30.00", -900),
    fill("a", Side.BUY, 1, "40.00", -890),
    fill("b", Side.BUY, 1, "33.00", -880),
]
HELD = tuple(fold(BEFORE).values())
ENDS = [OPEN + timedelta(minutes=minute + 1) for minute in range(4)]


def test_holdings_of_the_open_stand_at_their_cost_until_their_first_price() -> None:
    closes = [(ENDS[0], {}), (ENDS[1], {"SPY": Decimal("35.00")}), (ENDS[2], {"SPY": Decimal("36.00")})]
    curve = equity_curve(Decimal(1000), [fill("a", Side.SELL, 3, "35.50", 2)], closes, held=HELD)
    assert [equity for _, equity in curve] == [
        Decimal("1133.00"),  # 1,000 and four shares at their cost
        Decimal("1140.00"),  # 4 x 35.00
        Decimal("1142.50"),  # 1,000 + 3 x 35.50, and one share at 36.00
    ]


def test_a_first_fill_is_a_price_too() -> None:
    closes: list[tuple[datetime, dict[str, Decimal]]] = [(ENDS[0], {}), (ENDS[1], {})]
    curve = equity_curve(Decimal(1000), [fill("a", Side.SELL, 1, "50.00", 1)], closes, held=HELD)
    assert [equity for _, equity in curve] == [Decimal("1133.00"), Decimal("1200.00")]


def test_without_the_holdings_of_the_open_it_would_start_with_the_cash_alone() -> None:
    assert equity_curve(Decimal(1000), [], [(ENDS[0], {"SPY": Decimal(1)})])[0][1] == Decimal(1000)
    flat = fold([*BEFORE[2:], fill("b", Side.SELL, 1, "33.00", -870)]).values()
    assert equity_curve(Decimal(1000), [], [(ENDS[0], {})], held=flat)[0][1] == Decimal(1000)
