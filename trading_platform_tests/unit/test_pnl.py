"""Profit and loss of a tape that was worked out by hand, in cents."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from trading_platform.accounting.average_cost import cash, fold
from trading_platform.domain.fills import Fill
from trading_platform.domain.orders import Side
from trading_platform.performance.pnl import Totals, results, results_between, totals, trades

T0 = datetime(2013, 10, 9, 13, 31, tzinfo=UTC)

# Strategy a, SPY: 300 bought for 3,010.00. 150 sold: cost 1,505.00, for 1,575.00: +70.00. 150 sold for 1,500.00 less
# cost 1,505.00: -5.00. Realised 65.00; fees 1.00 + 1.00 + 1.00 + 1.00 = 4.00. Then 10 at 10.20, held: cost 102.00.
# Strategy b, SPY: 50 for 505.00, 50 sold for 504.50: -0.50, fees 2.00.
# Strategy a, IBM: 3 for 555.03, 1 sold: takes 185.01, for 186.00: +0.99, fees 2.00; 2 held, cost 370.02.
TAPE = """
    0  a SPY buy  100 at 10.00  fee 1.00
    1  b SPY buy   50 at 10.10  fee 1.00
    2  a SPY buy  200 at 10.05  fee 1.00
    3  a IBM buy    3 at 185.01 fee 1.00
    5  a SPY sell 150 at 10.50  fee 1.00
    8  b SPY sell  50 at 10.09  fee 1.00
    9  a SPY sell 150 at 10.00  fee 1.00
    11 a IBM sell   1 at 186.00 fee 1.00
    20 a SPY buy   10 at 10.20  fee 0.35
"""
MARKS = {"SPY": Decimal("10.25"), "IBM": Decimal("184.00")}


def tape(text: str) -> list[Fill]:
    """A line for each fill: minute, strategy, symbol, side, quantity, price and fee."""
    fills = []
    for number, words in enumerate(line.split() for line in text.strip().splitlines()):
        minute, strategy, symbol, side, quantity, _, price, _, fee = words
        fills.append(
            Fill(
                execution_id=str(number),
                intent_id=f"i{number}",
                strategy=strategy,
                symbol=symbol,
                side=Side(side),
                quantity=int(quantity),
                price=Decimal(price),
                fee=Decimal(fee),
                time=T0 + timedelta(minutes=int(minute)),
            )
        )
    return fills


def test_results_by_strategy_and_symbol_to_the_cent() -> None:
    found = results(fold(tape(TAPE)).values(), MARKS)
    told = [
        (one.strategy, one.symbol, one.quantity, one.cost, one.realised, one.unrealised, one.fees, one.net)
        for one in found
    ]
    assert told == [
        # 2 x 184.00 - 370.02 = -2.02; 0.99 - 2.02 - 2.00 = -3.03.
        ("a", "IBM", 2, Decimal("370.02"), Decimal("0.99"), Decimal("-2.02"), Decimal("2.00"), Decimal("-3.03")),
        # 10 x 10.25 - 102.00 = 0.50; 65.00 + 0.50 - 4.35 = 61.15.
        ("a", "SPY", 10, Decimal("102.00"), Decimal("65.00"), Decimal("0.50"), Decimal("4.35"), Decimal("61.15")),
        ("b", "SPY", 0, Decimal("0.00"), Decimal("-0.50"), Decimal("0.00"), Decimal("2.00"), Decimal("-2.50")),
    ]
    assert [one.round_trips for one in found] == [0, 1, 1]


def test_totals_are_what_cash_and_holdings_say() -> None:
    fills = tape(TAPE)
    total = totals(results(fold(fills).values(), MARKS))
    assert total == Totals(realised=Decimal("65.49"), unrealised=Decimal("-1.52"), fees=Decimal("8.35"), round_trips=2)
    assert total.net == Decimal("55.62")
    # 2 IBM at 184.00 and 10 SPY at 10.25 are worth 470.50.
    assert cash(Decimal(100_000), fills) + Decimal("470.50") - 100_000 == total.net


def test_a_trade_is_a_round_trip_of_one_strategy_and_they_are_told_as_they_end() -> None:
    first, second = trades(tape(TAPE))
    assert (first.strategy, first.symbol, first.quantity, first.realised) == ("b", "SPY", 50, Decimal("-0.50"))
    assert (first.opened_at, first.closed_at) == (T0 + timedelta(minutes=1), T0 + timedelta(minutes=8))
    assert (second.strategy, second.symbol, second.quantity) == ("a", "SPY", 300)
    assert (second.realised, second.fees, second.net) == (Decimal("65.00"), Decimal("4.00"), Decimal("61.00"))
    # 3,010.00 / 300, and 3,075.00 / 300.
    assert round(second.entry_price, 10) == Decimal("10.0333333333")
    assert second.exit_price == Decimal("10.25")
    assert (second.opened_at, second.closed_at) == (T0, T0 + timedelta(minutes=9))


def test_a_second_round_trip_is_another_trade() -> None:
    found = trades(
        tape("""0 a SPY buy 10 at 10.00 fee 1.00
                1 a SPY sell 10 at 11.00 fee 1.00
                2 a SPY buy 10 at 12.00 fee 1.00
                3 a SPY sell 10 at 11.00 fee 1.00""")
    )
    assert [trade.realised for trade in found] == [Decimal("10.00"), Decimal("-10.00")]


def test_a_holding_without_a_mark_is_valued_at_its_cost() -> None:
    (one,) = results(fold(tape("0 a SPY buy 10 at 10.00 fee 1.00")).values(), {})
    assert (one.unrealised, one.net) == (Decimal(0), Decimal("-1.00"))


def test_nothing_traded_is_nothing_made() -> None:
    assert trades([]) == ()
    assert results([], {}) == ()
    assert totals([]).net == 0


# The tape again, told in two parts: minutes 0 to 8, and 9 to 20. At the cut strategy a holds 150 SPY, which cost
# 1,505.00, and 3 IBM; b is flat for good.
CUT = T0 + timedelta(minutes=9)


def test_the_results_of_one_period_after_the_other_add_up_to_the_books() -> None:
    fills = tape(TAPE)
    at_cut = fold(fill for fill in fills if fill.time < CUT).values()
    at_end = fold(fills).values()
    first = results_between((), at_cut, {"SPY": Decimal("10.20"), "IBM": Decimal("185.00")})
    second = results_between(at_cut, at_end, MARKS)
    assert [(one.strategy, one.symbol, one.realised, one.fees, one.round_trips) for one in first] == [
        ("a", "IBM", Decimal("0.00"), Decimal("1.00"), 0),
        ("a", "SPY", Decimal("70.00"), Decimal("3.00"), 0),
        ("b", "SPY", Decimal("-0.50"), Decimal("2.00"), 1),
    ]
    # Of b nothing is told any more: it neither held nor traded.
    assert [(one.strategy, one.symbol, one.realised, one.fees, one.round_trips) for one in second] == [
        ("a", "IBM", Decimal("0.99"), Decimal("1.00"), 0),
        ("a", "SPY", Decimal("-5.00"), Decimal("1.35"), 1),
    ]
    # 150 x 10.20 - 1,505.00 = 25.00 and 3 x 185.00 - 555.03 = -0.03 at the cut; at the end as without a cut.
    assert totals(first).unrealised == Decimal("24.97")
    assert totals(second).unrealised == Decimal("-1.52")
    whole = totals(results(at_end, MARKS))
    for name in ("realised", "fees", "round_trips"):
        assert getattr(totals(first), name) + getattr(totals(second), name) == getattr(whole, name)


def test_what_is_held_is_told_though_nothing_was_traded() -> None:
    held = fold(tape("0 a SPY buy 10 at 10.00 fee 1.00")).values()
    (one,) = results_between(held, held, {"SPY": Decimal("10.50")})
    assert (one.quantity, one.realised, one.fees, one.unrealised) == (10, Decimal(0), Decimal(0), Decimal("5.00"))
