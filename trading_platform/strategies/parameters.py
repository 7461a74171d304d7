"""Numbers that a person may set: each with its unit, its default and its bounds, checked where they are given.

Belongs here: the declaration of a parameter, its validation, and the form that compiled code reads. What a parameter
means stays with the dataclass that declares it. Nothing here imports the compiler until a record is asked for.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field, fields, replace
from functools import cache
from typing import Any, Final, TypeVar, get_type_hints

import numpy as np
import numpy.typing as npt

from trading_platform.domain.errors import InvalidInput

_Values = TypeVar("_Values", bound=Any)

_RECORD_FORMS: Final[Mapping[type, str]] = {int: "i8", float: "f8"}


_types: Final[Callable[[type], dict[str, Any]]] = cache(get_type_hints)
"""The types of a dataclass's fields: a sweep makes many of one dataclass, and working them out takes long."""


def parameter(default: float, *, unit: str, low: float, high: float) -> Any:
    """A field of a frozen dataclass that holds a number in [`low`, `high`], in `unit`.

    The field's annotation must be `int` or `float`.
    """
    return field(default=default, metadata={"unit": unit, "low": low, "high": high})


def check(values: Any, *, where: str) -> None:
    """Check every field of `values` that was declared with `parameter`.

    Raises:
        InvalidInput: A value has the wrong type or lies outside its bounds (nan always does).
    """
    types = _types(type(values))
    for item in fields(values):
        if "unit" not in item.metadata:
            continue
        value, low, high, unit = getattr(values, item.name), *(item.metadata[key] for key in ("low", "high", "unit"))
        kinds = (int, float) if types[item.name] is float else (int,)
        if isinstance(value, bool) or not isinstance(value, kinds):
            wanted = "a number" if float in kinds else "a whole number"
            raise InvalidInput(f"{item.name} is {value!r}, which is not {wanted}", where=where, mend=f"Unit: {unit}")
        if not low <= value <= high:
            raise InvalidInput(
                f"{item.name} is {value!r}, outside [{low}, {high}]",
                where=where,
                mend=f"Give a value from {low} to {high} ({unit})",
            )


def check_order(values: Any, *pairs: tuple[str, str]) -> None:
    """Check that of each pair of fields the first is not above the second. For a dataclass's `__post_init__`.

    Raises:
        InvalidInput: Two values contradict each other; both are named.
    """
    for low, high in pairs:
        first, second = getattr(values, low), getattr(values, high)
        if isinstance(first, int | float) and isinstance(second, int | float) and first > second:
            raise InvalidInput(
                f"{low} is {first!r} and {high} is {second!r}: nothing lies between them",
                where="parameters",
                mend=f"Give a {low} that is not above {high}",
            )


def described(values: Any) -> list[dict[str, Any]]:
    """The parameters of a dataclass for people: name, default, low, high and unit of each, as JSON values."""
    return [
        {"name": item.name, "default": item.default, **{key: item.metadata[key] for key in ("low", "high", "unit")}}
        for item in fields(values)
        if "unit" in item.metadata
    ]


def record_type(values: type) -> np.dtype[Any]:
    """The flat record that a step reads its parameters from: one field for each field of the dataclass `values`.

    Raises:
        InvalidInput: A field is neither `int` nor `float`.
    """
    types = _types(values)
    forms: list[tuple[str, str]] = []
    for item in fields(values):
        form = _RECORD_FORMS.get(types[item.name])
        if form is None:
            raise InvalidInput(
                f"{item.name} is declared as {types[item.name]}, which compiled code does not read",
                where=values.__qualname__,
                mend="Declare it as int or float",
            )
        forms.append((item.name, form))
    return np.dtype(forms, align=True)


def to_record(values: Any) -> npt.NDArray[Any]:
    """The parameters as a one-element array of `record_type(type(values))`, for compiled and uncompiled steps."""
    from trading_platform.domain.compiled import empty_records

    record = empty_records(1, record_type(type(values)))
    for item in fields(values):
        record[item.name] = getattr(values, item.name)
    return record


def changed(values: _Values, changes: Mapping[str, Any], *, where: str, others: str = "") -> _Values:
    """`values` with some fields replaced; the dataclass checks itself anew.

    Args:
        values: The dataclass.
        changes: Values by the names of fields.
        where: Whose values they are.
        others: What else may be named in their place, for whoever names what is not known.

    Raises:
        InvalidInput: A name is not a field (the nearest known one is named), or a value is refused.
    """
    known = [item.name for item in fields(values)]
    for name in changes:
        if name not in known:
            raise unknown("parameter", name, known, where=where, others=others)
    return replace(values, **changes)


def unknown(kind: str, name: str, known: Iterable[str], *, where: str, others: str = "") -> InvalidInput:
    """The refusal of a name that nobody knows, with the nearest known one, and what `others` may be named."""
    names = sorted(known)
    nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    guess = f"Did you mean {nearest[0]!r}? " if nearest else ""
    listing = ", ".join(names) if names else "none"
    more = f"; and {others}" if others else ""
    return InvalidInput(f"there is no {kind} {name!r}", where=where, mend=f"{guess}Known: {listing}{more}")
