"""Money: int64 units of 1/10,000 dollar inside, Decimal at the ledger's edge (Law 9).

Each conversion has one home, here, and a name. Roundings that compiled code needs are in `rounding`.
"""

from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Final

UNITS_PER_DOLLAR: Final = 10_000
UNITS_PER_CENT: Final = 100
BASIS_POINTS: Final = 10_000

_FOUR_PLACES: Final = Decimal("0.0001")
_CENT: Final = Decimal("0.01")


def units_from_dollars(dollars: Decimal | int | str) -> int:
    """Dollars as units, exactly. Raises ValueError for a fraction of a unit or something that is no number."""
    try:
        value = Decimal(dollars) * UNITS_PER_DOLLAR
    except InvalidOperation:
        raise ValueError(f"{dollars!r} is not an amount of dollars") from None
    if not value.is_finite() or value != value.to_integral_value():
        raise ValueError(f"{dollars} dollars is not a whole number of 1/10,000 dollars")
    return int(value)


def dollars_from_units(units: int) -> Decimal:
    """Units as dollars with four decimal places, exactly."""
    return (Decimal(int(units)) / UNITS_PER_DOLLAR).quantize(_FOUR_PLACES)


def whole_units(dollars: Decimal) -> Decimal:
    """Dollars rounded to 1/10,000, half to even: what a broker tells finer than it is recorded here.

    Raises ValueError for something that is no number.
    """
    if not dollars.is_finite():
        raise ValueError(f"{dollars} is not an amount of dollars")
    return dollars.quantize(_FOUR_PLACES)


def dollars_to_the_cent(units: int) -> float:
    """Units as dollars rounded to the cent, half up, as JSON and tables of figures have them."""
    return float(cents(dollars_from_units(units)))


def cents(dollars: Decimal) -> Decimal:
    """Dollars rounded to the cent, half up, for people to read."""
    return dollars.quantize(_CENT, rounding=ROUND_HALF_UP)
