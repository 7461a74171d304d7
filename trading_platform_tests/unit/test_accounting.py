from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from trading_platform.accounting.average_cost import (
    BOOKED,
    NO_QUANTITY,
    OVERSOLD,
    Folded,
    buy,
    cash,
    fold,
    fold_covered,
    sell,
    unrealised,
)
from trading_platform.domain.compiled import empty_records
from trading_platform.domain.errors import Inconsistent, InvalidInput
from trading_platform.domain.fills import Fill
from trading_platform.domain.orders import Side
from trading_platform.domain.records import holding_t

T0 = datetime(2013, 10, 9, 13, 31, 59, tzinfo=UTC)


def fills(tape: str, *, strategy: str = "s", symbol: str = "SPY") -> list[Fill]:
    """A line for each fill: `buy 100 at 10.00 fee 1.00`."""
    lines = [line.split() for line in tape.strip().splitlines()]
    return [
        Fill(
            execution_id=f"{strategy}{symbol}{number}",
            intent_id=f"intent-{number}",
            strategy=strategy,
            symbol=symbol,
            side=Side(words[0]),
            quantity=int(words[1]),
            price=Decimal(words[3]),
            fee=Decimal(words[5]),
            time=T0 + timedelta(minutes=number),
        )
        for number, words in enumerate(lines)
    ]


def test_a_partial_close_takes_its_share_of_the_cost_rounded_down() -> None:
    # Cost of 3 shares: 2 x 10.00 + 1 x 10.01 = 30.01. One share takes floor(30.0100 / 3) = 10.0033 of it.
    # Realised 11.00 - 10.0033 = 0.9967; the cost left is 20.0067.
    position = fold(
        fills("""buy 2 at 10.00 fee 1.00
                 buy 1 at 10.01 fee 0.50
                 sell 1 at 11.00 fee 0.25""")
    )["s", "SPY"]
    assert position.quantity == 2
    assert position.cost == Decimal("20.0067")
    assert position.realised == Decimal("0.9967")
    assert position.fees == Decimal("1.75")
    assert (position.entry_quantity, position.entry_cost) == (3, Decimal("30.01"))
    assert position.round_trips == 0
    assert unrealised(position, Decimal("10.50")) == Decimal("0.9933")


def test_back_to_flat_leaves_no_cost_and_counts_a_round_trip() -> None:
    position = fold(
        fills("""buy 3 at 10.0033 fee 0
                 sell 1 at 10.00 fee 0
                 sell 2 at 10.00 fee 0""")
    )["s", "SPY"]
    assert (position.quantity, position.cost, position.round_trips) == (0, Decimal(0), 1)
    assert position.realised == Decimal("-0.0099")
    assert (position.opened_at, position.opened_by) == (None, None)
    assert unrealised(position, Decimal(99)) == 0


def test_the_next_buy_after_flat_starts_an_entry_anew() -> None:
    position = fold(
        fills("""buy 10 at 10.00 fee 0
                 sell 10 at 11.00 fee 0
                 buy 5 at 12.00 fee 0
                 buy 5 at 13.00 fee 0""")
    )["s", "SPY"]
    assert (position.entry_quantity, position.entry_cost) == (10, Decimal(125))
    assert (position.opened_at, position.opened_by) == (T0 + timedelta(minutes=2), "intent-2")
    assert (position.realised, position.round_trips) == (Decimal(10), 1)


def test_strategies_and_symbols_are_kept_apart() -> None:
    line = "buy 10 at 10.00 fee 0"
    positions = fold([*fills(line), *fills(line, symbol="IBM"), *fills(line, strategy="t")])
    assert {key: position.quantity for key, position in positions.items()} == {
        ("s", "SPY"): 10,
        ("s", "IBM"): 10,
        ("t", "SPY"): 10,
    }


def test_cash_is_exact() -> None:
    # 1000 - 3 x 10.0033 - 1 + 2 x 10.5 - 0.35 = 989.6401
    booked = fills("""buy 3 at 10.0033 fee 1.00
                      sell 2 at 10.50 fee 0.35""")
    assert cash(Decimal(1000), booked) == Decimal("989.6401")


def test_selling_more_than_is_held_is_refused() -> None:
    with pytest.raises(Inconsistent, match="fill sSPY1 sells 1 SPY of s, which were never held"):
        fold(
            fills("""buy 10 at 10.00 fee 0
                     sell 11 at 10.00 fee 0""")
        )


def test_a_sale_that_is_told_before_its_purchase_waits_for_it() -> None:
    told = fills("""sell 6 at 11.00 fee 0.25
                    sell 3 at 12.00 fee 0
                    buy 10 at 10.00 fee 1.00""")
    position = fold(told)["s", "SPY"]
    assert (position.quantity, position.cost, position.realised) == (1, Decimal(10), Decimal(12))
    assert (position.fees, position.opened_by) == (Decimal("1.25"), "intent-2")
    assert fold(told[:2] + told[2:]) == fold([told[2], *told[:2]])


def test_what_was_sold_and_never_held_is_told_and_stops_no_other_holding() -> None:
    oversold = fills("""buy 10 at 10.00 fee 1.00
                        sell 30 at 11.00 fee 0.25
                        buy 5 at 12.00 fee 0""")
    other = fills("buy 7 at 20.00 fee 0", symbol="IBM")
    found = fold_covered([*oversold[:2], *other, *oversold[2:]])
    position = found.positions["s", "SPY"]
    # 10 and then 5 of the 30 were there: 10 x (11 - 10) + 5 x (11 - 12).
    assert (position.quantity, position.realised, position.fees) == (0, Decimal(5), Decimal("1.25"))
    assert (position.opened_at, position.opened_by) == (None, None)
    (sale,) = found.uncovered
    assert (sale.execution_id, sale.quantity, sale.fee) == ("sSPY1", 15, Decimal(0))
    assert found.positions["s", "IBM"].quantity == 7


def test_the_fee_of_a_sale_of_nothing_is_booked_once() -> None:
    (sale,) = fills("sell 10 at 11.00 fee 0.25")
    found = fold_covered([sale])
    again = fold_covered([], found)
    assert found == again
    assert again.positions["s", "SPY"].fees == Decimal("0.25")
    assert fold_covered([], Folded()) == Folded()


def test_a_refused_fill_changes_nothing() -> None:
    holding = empty_records(1, holding_t)[0]
    assert buy(holding, 10, 100_000, 5_000) == BOOKED
    before = holding.tolist()
    assert sell(holding, 11, 100_000, 5_000) == OVERSOLD
    assert sell(holding, 0, 100_000, 5_000) == NO_QUANTITY
    assert buy(holding, -1, 100_000, 5_000) == NO_QUANTITY
    assert holding.tolist() == before


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("buy 0 at 10.00 fee 0", "a quantity of 0"),
        ("buy 1 at 10.00001 fee 0", "10.00001 dollars is not a whole number"),
        ("buy 1 at 10.00 fee NaN", "NaN dollars is not a whole number"),
    ],
)
def test_a_malformed_fill_is_named(line: str, what: str) -> None:
    with pytest.raises(InvalidInput, match=f"fill sSPY0: {what}"):
        fold(fills(line))


def test_large_amounts_do_not_overflow() -> None:
    # 10 million shares at 5,000 dollars: cost times quantity passes 2^63, the share of it does not.
    position = fold(
        fills("""buy 10000000 at 5000.00 fee 0
                 sell 9999999 at 5000.01 fee 0""")
    )["s", "SPY"]
    assert position.cost == Decimal(5000)
    assert position.realised == Decimal("99999.99")
