"""Every knob by its path: what it takes in words, its unit, its variable, its default and its effect.

It is read off `settings`, so that messages, the reference and the names of variables cannot fall behind the tree.
"""

import ast
import functools
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from trading_platform.config import settings as tree
from trading_platform.config.secrets import Secret
from trading_platform.config.texts import kind_of, shown

PREFIX: Final = "TRADING_PLATFORM_"
_SHORT: Final = {
    "environment": "TRADING_PLATFORM_ENVIRONMENT",
    "data_folder": "TRADING_PLATFORM_DATA",
    "database_url": "DATABASE_URL",
    "alpaca.key": "ALPACA_API_KEY",
    "alpaca.secret": "ALPACA_API_SECRET",
    "account.book": "TRADING_PLATFORM_BOOK",
    "market_data.session": "TRADING_PLATFORM_SESSION",
}
_UNITS: Final = {
    "account.size": "dollars",
    "brokers.cash_tolerance": "dollars",
    "limits.max_order_notional": "dollars",
    "limits.max_leverage": "times equity",
    "limits.lot": "shares",
    "limits.max_positions": "positions",
    "limits.max_entries_per_day": "entries",
}
_UNITS_BY_ENDING: Final = (
    ("_pct", "percent"),
    ("_bps", "basis points"),
    ("_seconds", "seconds"),
    ("_minutes", "minutes"),
    ("_ms", "milliseconds"),
    ("_days", "days"),
    ("_shares", "shares"),
)
_FORMS: Final[Mapping[Any, str]] = {
    bool: "true or false",
    str: "a text",
    date: "a date, as 2013-10-09",
    time: "a time of day on a full minute, as 09:30",
    Path: "a path",
    Secret: "a secret, by variable or mounted file only",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Knob:
    """One field of the tree. `unit` is empty for what has none."""

    path: str
    annotation: Any
    default: Any
    takes: str
    unit: str
    effect: str

    @property
    def kind(self) -> Any:
        """Its type, without None."""
        return kind_of(self.annotation)[0]

    @property
    def secret(self) -> bool:
        """Whether its value must not be told."""
        return self.kind is Secret

    @property
    def choices(self) -> tuple[str, ...]:
        """The names that it takes, if it takes nothing but some names."""
        return get_args(self.kind) if get_origin(self.kind) is Literal else ()

    @property
    def variable(self) -> str:
        """The environment variable that sets it by its path."""
        return f"{PREFIX}_{self.path.upper().replace('.', '__')}"

    @property
    def short_variable(self) -> str | None:
        """A shorter name of its variable, where it has one."""
        return _SHORT.get(self.path)


@functools.cache
def knobs() -> Mapping[str, Knob]:
    """Every knob by its path, in the order of the tree; a list is one knob."""
    return {knob.path: knob for knob in _walk(tree.Settings, "")}


@functools.cache
def groups() -> Mapping[str, type[tree.Group]]:
    """The groups of the tree by name."""
    return {name: kind for name, field in tree.Settings.model_fields.items() if (kind := _group(field)) is not None}


def value_of(settings: tree.Settings, path: str) -> Any:
    """The value of the knob at `path`."""
    value: Any = settings
    for part in path.split("."):
        value = getattr(value, part)
    return value


def takes(name: str, field: FieldInfo) -> str:
    """What a field takes, in words, with its bounds and unit."""
    kind, optional = kind_of(field.annotation)
    said = _form(kind, field, unit_of(name))
    return f"{said}, or none" if optional and kind is not Secret else said


def unit_of(path: str) -> str:
    """The unit of the knob at `path`; empty for what has none."""
    if path in _UNITS:
        return _UNITS[path]
    if path.startswith("ownership."):
        return "seconds"
    if "orders" in path:
        return "orders"
    return next((unit for ending, unit in _UNITS_BY_ENDING if path.endswith(ending)), "")


def _walk(group: type[tree.Group], prefix: str) -> Iterator[Knob]:
    for name, field in group.model_fields.items():
        path = prefix + name
        inner = _group(field)
        if inner is not None:
            yield from _walk(inner, f"{path}.")
            continue
        yield Knob(
            path=path,
            annotation=field.annotation,
            default=field.get_default(call_default_factory=True, validated_data={}),
            takes=takes(path, field),
            unit=unit_of(path),
            effect=_effects().get((group.__name__, name), ""),
        )


def _group(field: FieldInfo) -> type[tree.Group] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, tree.Group) else None


def _form(kind: Any, field: FieldInfo, unit: str) -> str:
    if field.description is not None:
        return field.description
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    if kind in {int, Decimal}:
        return f"{'a whole number' if kind is int else 'a number'} {_bounds(field, unit)}".rstrip()
    if kind is str and _of(field, "pattern") is not None:
        return "small letters, digits, _ . and -, 40 at most, a letter or digit first"
    if get_origin(kind) is tuple:
        return "a list of names, as SPY,IBM" if get_args(kind)[0] is str else "a list of strategies, each with its name"
    if get_origin(kind) is dict:
        return "numbers by name"
    return _FORMS[kind]


def _bounds(field: FieldInfo, unit: str) -> str:
    low, above, high, decimals = (_of(field, name) for name in ("ge", "gt", "le", "decimal_places"))
    said = [f"from {low:,}" if low is not None else f"above {above:,}"]
    if high is not None:
        said.append(f"to {high:,}" if low is not None else f"and up to {high:,}")
    if unit:
        said.append(unit)
    if decimals is not None:
        said.append(f"with at most {decimals} decimals")
    return " ".join(said)


def _of(field: FieldInfo, name: str) -> Any:
    return next((getattr(one, name) for one in field.metadata if getattr(one, name, None) is not None), None)


@functools.cache
def _effects() -> Mapping[tuple[str, str], str]:
    """The docstring of each field by (class, name). They are not kept at run time, so they are read off the source."""
    found: dict[tuple[str, str], str] = {}
    for group in ast.parse(inspect.getsource(tree)).body:
        if not isinstance(group, ast.ClassDef):
            continue
        for field, said in zip(group.body, group.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(said, ast.Expr):
                found[group.name, field.target.id] = " ".join(ast.literal_eval(said.value).split())
    return found


def reference() -> str:
    """Every knob as tables of Markdown: path, what it takes, default, effect."""
    lines: list[str] = []
    section: str | None = None
    for knob in sorted(knobs().values(), key=lambda knob: "." in knob.path):
        group = knob.path.partition(".")[0] if "." in knob.path else "the top level"
        if group != section:
            section = group
            lines += [f"\n### {group}\n", "| knob | takes | default | effect |", "|---|---|---|---|"]
        default = "not set" if knob.secret else shown(knob.default)
        short = f" ({knob.short_variable})" if knob.short_variable is not None else ""
        lines.append(f"| `{knob.path}`{short} | {knob.takes} | {default} | {knob.effect.replace('|', '/')} |")
    return "\n".join(lines).strip() + "\n"
