from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from trading_platform.accounting.average_cost import cash, fold, fold_covered
from trading_platform.brokers.fees import execution_fee, fee_schedule, order_fee
from trading_platform.domain.fills import Fill
from trading_platform.domain.money import dollars_from_units
from trading_platform.domain.orders import Side

OPENING = Decimal(100_000)
T0 = datetime(2013, 10, 9, 13, 31, 59, tzinfo=UTC)

# A sale is of a share of what is held, in thousandths, so that a tape never sells what is not there.
trades = st.lists(
    st.tuples(
        st.sampled_from(["SPY", "IBM"]),
        st.one_of(st.integers(1, 100_000), st.integers(-1000, -1)),
        st.integers(1, 50_000_000),
        st.integers(0, 100_000),
    ),
    max_size=40,
)


@settings(deadline=None)
@given(trades)
def test_cash_and_cost_are_the_opening_cash_and_realised_profit_less_fees(
    tape: list[tuple[str, int, int, int]],
) -> None:
    held = {"SPY": 0, "IBM": 0}
    booked: list[Fill] = []
    for symbol, size, price, fee in tape:
        quantity = size if size > 0 else held[symbol] * -size // 1000
        if quantity == 0:
            continue
        held[symbol] += quantity if size > 0 else -quantity
        booked.append(
            Fill(
                execution_id=str(len(booked)),
                intent_id="i",
                strategy="s",
                symbol=symbol,
                side=Side.BUY if size > 0 else Side.SELL,
                quantity=quantity,
                price=dollars_from_units(price),
                fee=dollars_from_units(fee),
                time=T0,
            )
        )
        positions = fold(booked).values()
        assert all(position.quantity >= 0 and position.cost >= 0 for position in positions)
        assert cash(OPENING, booked) + sum(position.cost for position in positions) == OPENING + sum(
            position.realised - position.fees for position in positions
        )
        assert all(position.cost == 0 for position in positions if position.quantity == 0)
        assert {position.symbol: position.quantity for position in positions if position.quantity} == {
            name: quantity for name, quantity in held.items() if quantity
        }


def told(tape: list[tuple[str, int, int, int]]) -> list[Fill]:
    """Fills as a broker may tell them: of more than is held, and before they can be."""
    return [
        Fill(
            execution_id=f"{number:02}",
            intent_id="i",
            strategy="s",
            symbol=symbol,
            side=Side.BUY if size > 0 else Side.SELL,
            quantity=abs(size),
            price=dollars_from_units(price),
            fee=dollars_from_units(fee),
            time=T0,
        )
        for number, (symbol, size, price, fee) in enumerate(tape)
    ]


anything = st.lists(
    st.tuples(
        st.sampled_from(["SPY", "IBM"]),
        st.integers(-100, 100).filter(bool),
        st.integers(1, 50_000_000),
        st.integers(0, 100_000),
    ),
    max_size=20,
)


@settings(deadline=None)
@given(anything, st.integers(0, 20))
def test_what_is_held_less_what_was_never_held_is_the_sum_of_the_fills_however_they_are_told(
    tape: list[tuple[str, int, int, int]], cut: int
) -> None:
    fills = told(tape)
    found = fold_covered(fills)
    assert fold_covered(fills[cut:], fold_covered(fills[:cut])) == found
    for symbol in ("SPY", "IBM"):
        net = sum(size for name, size, _, _ in tape if name == symbol)
        position = found.positions.get(("s", symbol))
        held = position.quantity if position else 0
        missing = sum(one.quantity for one in found.uncovered if one.symbol == symbol)
        assert (held, missing) == (max(net, 0), max(-net, 0))
    proceeds = sum(one.quantity * one.price for one in found.uncovered)
    positions = found.positions.values()
    assert cash(OPENING, fills) + sum(one.cost for one in positions) == OPENING + proceeds + sum(
        one.realised - one.fees for one in positions
    )


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 10_000), st.integers(1, 5_000_000)), min_size=1, max_size=10))
def test_no_execution_is_paid_for_and_together_they_cost_the_order_fee(executions: list[tuple[int, int]]) -> None:
    schedule = fee_schedule("ibkr_fixed")
    quantity = value = paid = 0
    for executed, price in executions:
        fee = execution_fee(schedule, quantity, value, executed, executed * price)
        assert fee >= 0
        assert fee % 100 == 0
        quantity, value, paid = quantity + executed, value + executed * price, paid + fee
    assert paid == order_fee(schedule, quantity, value)
