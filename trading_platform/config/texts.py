"""How a value is written: what a text in a file or a variable means for a field, and how a value is shown.

A file's scalars and a variable's text arrive here unread, so that the field decides what they mean: `09:30` is a time
and never 570, `no` is a name and never false, `0.1` is exact. Bounds belong to the fields.
"""

import re
from collections.abc import Mapping
from datetime import date, time
from pathlib import Path
from types import NoneType
from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel

from trading_platform.config.secrets import HIDDEN, Secret

_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_TIME: Final = re.compile(r"(\d{1,2}):(\d{2})(?::00(?:\.0+)?)?")
_HARMLESS: Final = re.compile(r"[\w .,:+\-/%\[\]]{1,40}")
NO_VALUE: Final = "no value"
_NUMBER: Final = re.compile(r"[+-]?[\d.,_]+")
_NOTHING: Final = frozenset(["none", "null", "~"])


def kind_of(annotation: Any) -> tuple[Any, bool]:
    """The type of a field without None, and whether None is among what it takes."""
    options = get_args(annotation)
    if NoneType not in options:
        return annotation, False
    (kind,) = (one for one in options if one is not NoneType)
    return kind, True


def meaning(value: Any, annotation: Any) -> Any:
    """What `value` means for a field of type `annotation`; what is no text is mostly left as it is.

    Raises ValueError, without repeating the value, for what only a lenient reader would take for one.
    """
    kind, optional = kind_of(annotation)
    if isinstance(value, bool) and kind is not bool:
        raise ValueError("true and false are no values of it")
    if isinstance(value, dict) and get_origin(kind) is dict:
        return {name: _number(one) for name, one in value.items()}
    if not isinstance(value, str):
        if kind in {date, time} and value is not None and not isinstance(value, kind):
            raise ValueError("it is a text")
        return value
    text = value.strip()
    if optional and text.lower() in _NOTHING:
        return None
    if not text or not text.isprintable():
        raise ValueError("an empty text, or one with signs that cannot be seen")
    return _read(text, kind)


def _read(text: str, kind: Any) -> Any:
    if kind is time:
        return _clock_time(text)
    if kind is date:
        if _DATE.fullmatch(text) is None:
            raise ValueError("no date")
        return date.fromisoformat(text)
    if kind is Path:
        try:
            return Path(text).expanduser()
        except RuntimeError:
            raise ValueError("nobody's home") from None
    return text


def _clock_time(text: str) -> time:
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError("no time of day")
    return time(int(found[1]), int(found[2]))


def _number(value: Any) -> Any:
    """A number that stands as text; anything else as it is, for validation to refuse."""
    if isinstance(value, bool):
        raise ValueError("true and false are no numbers")  # noqa: TRY004 (pydantic reads ValueError)
    if not isinstance(value, str):
        return value
    for form in (int, float):
        try:
            return form(value)
        except ValueError:
            continue
    return value


def shown(value: Any) -> str:
    """A setting's value as people read it; a secret is not told."""
    if isinstance(value, Secret):
        return HIDDEN
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, time):
        return f"{value:%H:%M}"
    if isinstance(value, tuple):
        return ", ".join(map(shown, value)) or "none"
    if isinstance(value, BaseModel):
        (_, name), *more = value
        said = ", ".join(f"{field} {shown(one)}" for field, one in more if one)
        return f"{shown(name)} ({said})" if said else shown(name)
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={one}" for name, one in value.items())
    return str(value)


def quoted(given: Any, hidden: tuple[str, ...]) -> str | None:
    """What was given, to repeat in a message; None if it may be a secret or is no short plain value.

    Args:
        given: What stood in the file, the variable or the option.
        hidden: Secrets that are known. A text that holds one of them is not repeated, wherever it was given.
    """
    if isinstance(given, Mapping):
        return "a group of values"
    if isinstance(given, list | tuple):
        return "a list"
    if given is None:
        return NO_VALUE
    text = shown(given)
    told = any(secret in text for secret in hidden)
    if isinstance(given, Secret) or told or "://" in text or _HARMLESS.fullmatch(text) is None:
        return None
    return repr(given) if isinstance(given, str) and _NUMBER.fullmatch(given) is None else text
