"""Environment variables of the platform, as a tree of what they give.

Every knob has one, by its path: TRADING_PLATFORM__LIMITS__MAX_POSITIONS sets `limits.max_positions`; some have a short
name beside it. A secret may instead stand in a mounted file, which its variable with _FILE names.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, get_args, get_origin

from trading_platform.config.given import NOTHING, Given, at, given, over
from trading_platform.config.knobs import PREFIX, Knob, knobs
from trading_platform.config.names import nearest, plain_name
from trading_platform.config.secrets import Secret

CONFIG: Final = "TRADING_PLATFORM_CONFIG"
"""The variable that names the file of settings."""
_FILE: Final = "_FILE"
_LARGEST_SECRET: Final = 1 << 16
# What Kubernetes and compose put into the environment for a service whose name begins with the platform's.
_SERVICE_LINK: Final = re.compile(
    PREFIX
    + r"(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)"
)


def from_variables(environment: Mapping[str, str], mistakes: list[str]) -> Given:
    """What the variables give. An empty one gives nothing.

    Args:
        environment: The variables.
        mistakes: Takes a sentence for each variable that cannot be used. No sentence holds a secret.
    """
    tree, known = NOTHING, {CONFIG}
    for knob in knobs().values():
        names = _names(knob)
        known.update(names)
        values = {name: _value(knob, name, environment[name], mistakes) for name in names if environment.get(name)}
        read = {name: value for name, value in values.items() if value is not None}
        if len(read) > 1 and (knob.secret or len(set(map(str, read.values()))) > 1):
            mistakes.append(f"{' and '.join(read)} both set {knob.path}: unset all but one")
        for name, value in read.items():
            tree = over(tree, at(knob.path.split("."), given(value, name)))
    mistakes.extend(_unknown(environment, known))
    return tree


def without_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without any variable that sets a knob or names a file of settings."""
    own = {name for knob in knobs().values() for name in _names(knob)} | {CONFIG}
    return {name: value for name, value in environment.items() if name not in own}


def _names(knob: Knob) -> tuple[str, ...]:
    """Every variable that sets the knob."""
    names = tuple(name for name in (knob.short_variable, knob.variable) if name is not None)
    return (*names, *(name + _FILE for name in names)) if knob.secret else names


def _value(knob: Knob, name: str, text: str, mistakes: list[str]) -> Any:
    if knob.secret:
        return _secret(name, text, mistakes)
    if get_origin(knob.kind) is tuple:
        return _list(knob, name, text, mistakes)
    return text


def _secret(name: str, text: str, mistakes: list[str]) -> Secret | None:
    """The secret that a variable holds, or that the file holds which it names; None if there is none."""
    if name.endswith(_FILE):
        try:
            with Path(text).open("rb") as file:
                text = file.read(_LARGEST_SECRET).decode()
        except OSError as error:
            # What was given may be the secret itself, by mistake.
            mistakes.append(f"{name}: the file that it names cannot be read: {error.strerror}")
            return None
        except UnicodeDecodeError:
            mistakes.append(f"{name}: the file that it names is not UTF-8")
            return None
    if not text.strip():
        mistakes.append(f"{name}: nothing stands there. Give the secret, or unset it")
        return None
    return Secret(text.strip())


def _list(knob: Knob, name: str, text: str, mistakes: list[str]) -> Any:
    """A list: names with commas between them, or YAML in brackets."""
    of_names = get_args(knob.kind)[0] is str
    if text.strip().startswith("["):
        import yaml

        try:
            # Not one scalar is turned into anything: the field decides what a text means.
            return yaml.load(text, yaml.BaseLoader)  # noqa: S506 (it makes lists, dicts and texts only)
        except (yaml.YAMLError, RecursionError):
            mistakes.append(
                f"{name}: the list cannot be read. Write it as {'[SPY, IBM]' if of_names else '[{name: x}]'}"
            )
            return None
    names = [part.strip() for part in text.split(",") if part.strip()]
    return names if of_names else [{"name": one} for one in names]


def _unknown(environment: Mapping[str, str], known: set[str]) -> list[str]:
    wrong = sorted(
        name
        for name in environment
        if name.startswith(PREFIX) and name not in known and _SERVICE_LINK.fullmatch(name) is None
    )
    return [
        f"{plain_name(name)}: there is no such variable.{_meant(name, known)} Mend its name, or unset it"
        for name in wrong
    ]


def _meant(name: str, known: set[str]) -> str:
    """The nearest known variable. The prefix, which most have in common, says nothing of what was meant."""
    found = nearest(name.removeprefix(PREFIX), {one.removeprefix(PREFIX) for one in known})
    return f" Did you mean {found if found in known else PREFIX + found}?" if found is not None else ""
