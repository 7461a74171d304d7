"""The strategies that are known by name, and the profiles of each.

A strategy's module holds `STRATEGY` (the defaults) and `PROFILES` (named changes to them). It is imported, and with it
the compiler, only when it is loaded. What a strategy is belongs to `contract`.
"""

from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any, Final, cast

from trading_platform.strategies.contract import Strategy
from trading_platform.strategies.parameters import unknown

_MODULES: Final[Mapping[str, str]] = {
    "vwap_reclaim": "trading_platform.strategies.vwap_reclaim",
}


def names() -> tuple[str, ...]:
    """The known strategies, in alphabetical order."""
    return tuple(sorted(_MODULES))


def load(name: str, profile: str | None = None, overrides: Mapping[str, Any] | None = None) -> Strategy:
    """One strategy with its values set: the defaults, changed by the profile, changed by `overrides`.

    Args:
        name: One of `names()`.
        profile: One of its module's `PROFILES`, or None for the defaults.
        overrides: Values by name, as `Strategy.with_values` takes them.

    Raises:
        InvalidInput: A name is not known (the nearest known one is named), or a value is refused.
    """
    module = _module(name)
    values: dict[str, Any] = {}
    if profile is not None:
        if profile not in module.PROFILES:
            raise unknown("profile", profile, module.PROFILES, where=f"strategy {name}")
        values.update(module.PROFILES[profile])
    values.update(overrides or {})
    return cast("Strategy", module.STRATEGY).with_values(values)


def _module(name: str) -> ModuleType:
    if name not in _MODULES:
        raise unknown("strategy", name, _MODULES, where="active_strategies")
    return import_module(_MODULES[name])
