"""The named roundings of money, in the subset of Python that compiles. All amounts are units of 1/10,000 dollar."""

from typing import Final

from trading_platform.domain.compiled import compiled
from trading_platform.domain.money import BASIS_POINTS, UNITS_PER_CENT, UNITS_PER_DOLLAR

_TICK_FROM_A_DOLLAR: Final = UNITS_PER_CENT
_TICK_BELOW_A_DOLLAR: Final = 1


@compiled
def tick(price: int) -> int:
    """The smallest price step at `price`: a cent from one dollar on, 1/100 cent below (Regulation NMS, rule 612)."""
    if price >= UNITS_PER_DOLLAR:
        return _TICK_FROM_A_DOLLAR
    return _TICK_BELOW_A_DOLLAR


@compiled
def tick_down(price: int) -> int:
    """The price on the tick at or below `price`: for stops, buy limits and what a seller gets."""
    return price - price % tick(price)


@compiled
def tick_up(price: int) -> int:
    """The price on the tick at or above `price`: for sell limits and what a buyer pays."""
    return price + -price % tick(price)


@compiled
def price_from_float(dollars: float) -> int:
    """A strategy's price in float dollars as whole units, half up. The caller puts it on the tick."""
    return int(dollars * UNITS_PER_DOLLAR + 0.5)


@compiled
def float_from_price(price: int) -> float:
    """A price as the float dollars that a step sees: the nearest double, so that $1.10 is 1.1."""
    return price / UNITS_PER_DOLLAR


@compiled
def cents_half_up(numerator: int, denominator: int) -> int:
    """`numerator / denominator` units, rounded half up to whole cents; both positive or zero numerator. In units."""
    per_cent = denominator * UNITS_PER_CENT
    return (2 * numerator + per_cent) // (2 * per_cent) * UNITS_PER_CENT


@compiled
def share_down(amount: int, part: int, whole: int) -> int:
    """floor(amount x part / whole), without an overflow in the product: the cost that a partial close takes."""
    return amount // whole * part + amount % whole * part // whole


@compiled
def basis_points_down(amount: int, points: int) -> int:
    """floor(amount x points / 10,000)."""
    return share_down(amount, points, BASIS_POINTS)
