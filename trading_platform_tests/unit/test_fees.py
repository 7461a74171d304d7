import pytest

from trading_platform.brokers.fees import execution_fee, fee_schedule, order_fee
from trading_platform.domain.errors import InvalidInput

DOLLAR = 10_000
CENT = 100


@pytest.mark.parametrize(
    ("quantity", "price", "fee"),
    [
        (1, 50 * DOLLAR, 50 * CENT),  # the minimum is a dollar, but 1 % of 50 dollars is less
        (10, 50 * DOLLAR, DOLLAR),  # 5 cents by share: the minimum
        (200, 50 * DOLLAR, DOLLAR),  # exactly the minimum
        (201, 50 * DOLLAR, 101 * CENT),  # 1.005 dollars: half up
        (1000, 50 * DOLLAR, 5 * DOLLAR),
        (1000, 30 * CENT, 3 * DOLLAR),  # 5 dollars by share; 1 % of 300 dollars wins
        (100, 10 * CENT, 10 * CENT),  # the maximum wins over the minimum
        (1, 49 * CENT, 0),  # 1 % of 49 cents is under half a cent
        (1, 50 * CENT, CENT),  # and of 50 cents just half a cent
        (0, 50 * DOLLAR, 0),
    ],
)
def test_ibkr_fixed(quantity: int, price: int, fee: int) -> None:
    assert order_fee(fee_schedule("ibkr_fixed"), quantity, quantity * price) == fee


def test_alpaca_charges_nothing() -> None:
    assert order_fee(fee_schedule("alpaca"), 1000, 1000 * 50 * DOLLAR) == 0


def test_executions_pay_what_their_order_comes_to_owe() -> None:
    # At 50 dollars: 100 shares owe 1.00 (the minimum), 250 owe 1.25, 301 owe 1.505, rounded to 1.51.
    schedule = fee_schedule("ibkr_fixed")
    paid, quantity, value = [], 0, 0
    for executed in (100, 150, 51):
        paid.append(execution_fee(schedule, quantity, value, executed, executed * 50 * DOLLAR))
        quantity, value = quantity + executed, value + executed * 50 * DOLLAR
    assert paid == [DOLLAR, 25 * CENT, 26 * CENT]
    assert sum(paid) == order_fee(schedule, quantity, value)


def test_an_unknown_schedule_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match="alpaca, ibkr_fixed"):
        fee_schedule("free")
