"""How figures are written for a person: shares as percent, dollars with their sign, a dash for what is not defined.

Numbers alone; words and their places are the tear sheet's.
"""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from itertools import islice
from typing import Any, Final

UNDEFINED: Final = "\N{EN DASH}"
_MINUS: Final = "\N{MINUS SIGN}"
_LISTED: Final = 40


def percent(share: float | None, places: int = 2) -> str:
    """A share as 12.34%."""
    return UNDEFINED if share is None else _signed(f"{share * 100:,.{places}f}%")


def ratio(value: float | None) -> str:
    """A ratio with two places."""
    return UNDEFINED if value is None else _signed(f"{value:,.2f}")


def dollars(amount: Decimal | None) -> str:
    """Dollars and cents as $1,234.50, with a minus sign before them below 0."""
    if amount is None:
        return UNDEFINED
    rounded = f"{abs(amount):,.2f}"
    return f"{_MINUS if amount < 0 and rounded.strip('0.,') else ''}${rounded}"


def count(number: int | None) -> str:
    """A whole number with its thousands apart."""
    return UNDEFINED if number is None else f"{number:,}"


def counted(number: int, noun: str) -> str:
    """A number of things, as 1 session and 1,000 sessions."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def minutes(length: float | None) -> str:
    """A length in minutes; from two hours on as hours and minutes."""
    if length is None:
        return UNDEFINED
    whole = round(length)
    return f"{whole // 60:,} h {whole % 60:02d} min" if whole >= 120 else f"{length:.1f} min"


def day(value: date | None) -> str:
    """A date as 2024-06-14."""
    return UNDEFINED if value is None else value.isoformat()


def setting(value: Any) -> str:
    """A setting's value in one line; of a long list its beginning and how many more there are."""
    if value is None:
        return UNDEFINED
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {setting(one)}" for name, one in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        told = ", ".join(setting(one) for one in islice(value, _LISTED))
        return f"{told} and {len(value) - _LISTED:,} more" if len(value) > _LISTED else told
    return str(value)


def _signed(text: str) -> str:
    if not text.startswith("-"):
        return text
    # What rounds to nothing has no sign.
    return text.replace("-", _MINUS, 1) if text.strip("-0.,%") else text[1:]
