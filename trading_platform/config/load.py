"""The one reader of the environment: from variables and overrides to `Settings`.

Later sources win: defaults, environment variables, then what the caller gives (command-line options).
"""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from trading_platform.config.settings import Settings
from trading_platform.domain.errors import InvalidInput

_VARIABLES: Final = {
    "DATABASE_URL": ("database_url",),
    "TRADING_PLATFORM_DATA": ("data_folder",),
    "TRADING_PLATFORM_ENV": ("environment",),
    "TRADING_PLATFORM_LOG_LEVEL": ("log_level",),
    "TRADING_PLATFORM_BOOK": ("account", "book"),
}


def load(environment: Mapping[str, str], overrides: Mapping[str, Any] | None = None) -> Settings:
    """The settings. `overrides` is a tree of plain values in the shape of `Settings`.

    Raises InvalidInput that lists every field that is wrong, by its path.
    """
    tree: dict[str, Any] = {}
    for variable, path in _VARIABLES.items():
        if environment.get(variable):
            _put(tree, path, environment[variable])
    _merge(tree, overrides or {})
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        # The input is left out of the message: it may be a secret.
        faults = [f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in error.errors()]
        raise InvalidInput("; ".join(faults), where="configuration") from None


def _put(tree: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    for part in path[:-1]:
        tree = tree.setdefault(part, {})
    tree[path[-1]] = value


def _merge(tree: dict[str, Any], overrides: Mapping[str, Any]) -> None:
    for name, value in overrides.items():
        if isinstance(value, Mapping) and isinstance(tree.get(name), dict):
            _merge(tree[name], value)
        else:
            tree[name] = dict(value) if isinstance(value, Mapping) else value
