"""The one reader of the environment: from a file, variables and overrides to `Settings`.

Later sources win: defaults, the JSON file that TRADING_PLATFORM_CONFIG names, environment variables, then what the
caller gives (command-line options).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from trading_platform.config.settings import Settings
from trading_platform.domain.errors import InvalidInput

_VARIABLES: Final = {
    "DATABASE_URL": ("database_url",),
    "TRADING_PLATFORM_DATA": ("data_folder",),
    "TRADING_PLATFORM_BOOK": ("account", "book"),
    "TRADING_PLATFORM_SESSION": ("market_data", "session"),
}
VARIABLES: Final = tuple(_VARIABLES)
"""The environment variables that each set one field, over what a file says of it."""
_MEND: Final = (
    "Mend it where it is set: an option, an environment variable "
    f"({', '.join(sorted(VARIABLES))}) or the file that TRADING_PLATFORM_CONFIG names"
)


def load(environment: Mapping[str, str], overrides: Mapping[str, Any] | None = None) -> Settings:
    """The settings. `overrides` is a tree of plain values in the shape of `Settings`.

    Raises InvalidInput that lists every field that is wrong, by its path.
    """
    tree = _read(environment.get("TRADING_PLATFORM_CONFIG"))
    for variable, path in _VARIABLES.items():
        if environment.get(variable):
            _put(tree, path, environment[variable])
    _merge(tree, overrides or {})
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        # The input is left out of the message: it may be a secret.
        faults = [_spoken(fault["loc"], fault["msg"]) for fault in error.errors()]
        raise InvalidInput("; ".join(faults), where="configuration", mend=_MEND) from None


def _spoken(path: tuple[int | str, ...], said: str) -> str:
    """A fault with the path of its field; one that lies between two groups names its fields itself."""
    place = ".".join(str(part) for part in path)
    return f"{place}: {said}" if place else said


def _read(path: str | None) -> dict[str, Any]:
    if not path:
        return {}
    mend = "TRADING_PLATFORM_CONFIG must name a JSON file with settings, or be unset"
    try:
        tree = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput(f"it cannot be read: {error.strerror}", where=path, mend=mend) from error
    except ValueError as error:
        raise InvalidInput(f"it is not JSON: {error}", where=path, mend=mend) from error
    if not isinstance(tree, dict):
        raise InvalidInput("it does not hold an object", where=path, mend=mend)
    return tree


def _put(tree: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    for part in path[:-1]:
        tree = tree.setdefault(part, {})
        if not isinstance(tree, dict):
            return  # what stands there is no group: validation names it
    tree[path[-1]] = value


def _merge(tree: dict[str, Any], overrides: Mapping[str, Any]) -> None:
    for name, value in overrides.items():
        if isinstance(value, Mapping) and isinstance(tree.get(name), dict):
            _merge(tree[name], value)
        else:
            tree[name] = dict(value) if isinstance(value, Mapping) else value
