"""The one reader of the environment: from every source to `Settings`, each value with the place where it stands.

Later sources win: defaults; the profile of the environment (dev, staging, prod); the YAML file that
TRADING_PLATFORM_CONFIG names; environment variables; then what the caller gives (command-line options).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trading_platform.config.given import NOTHING, Given, found, given, over
from trading_platform.config.knobs import knobs
from trading_platform.config.mistakes import CALLER, merged, source_of, validated, without_secrets
from trading_platform.config.profiles import PROFILES
from trading_platform.config.settings import Settings
from trading_platform.config.variables import CONFIG, from_variables
from trading_platform.config.yaml_file import read_file
from trading_platform.domain.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """The settings, and where each comes from.

    `sources` says it in words for the path of every knob; `file` is the file of settings, if one is named. Of a
    configuration that was only examined `mistakes` holds a sentence for everything that is wrong, `doubtful` the groups
    in which it is; a wrong value is replaced by its default.
    """

    settings: Settings
    sources: Mapping[str, str]
    file: str | None
    mistakes: tuple[str, ...] = ()
    doubtful: frozenset[str] = frozenset()


def load(environment: Mapping[str, str], overrides: Mapping[str, Any] | None = None) -> Settings:
    """The settings alone; see `read`."""
    return read(environment, overrides).settings


def read(
    environment: Mapping[str, str],
    overrides: Mapping[str, Any] | None = None,
    options: Mapping[str, str] | None = None,
) -> Configuration:
    """The settings with their sources; see `examine` for what is taken.

    Raises:
        InvalidInput: Something is wrong. It names everything that is, one mistake on a line, and no secret.
    """
    configuration = examine(environment, overrides, options)
    if configuration.mistakes:
        raise InvalidInput("\n".join(configuration.mistakes))
    return configuration


def examine(
    environment: Mapping[str, str],
    overrides: Mapping[str, Any] | None = None,
    options: Mapping[str, str] | None = None,
) -> Configuration:
    """The settings as far as they are right, and what is wrong.

    Args:
        environment: The variables of the process.
        overrides: A tree of plain values in the shape of `Settings`, over every other source.
        options: The command-line option that gave an override, by the override's path.
    """
    mistakes: list[str] = []
    file = environment.get(CONFIG) or None
    in_file, whole = _from_file(file, mistakes)
    asked = _from_caller(overrides or {}, options or {}, mistakes)
    layers = [in_file, from_variables(environment, mistakes), asked]
    tree = merged([NOTHING, _profile(layers), *layers], mistakes)
    settings, tree, doubtful = validated(tree, mistakes, whole=whole)
    return Configuration(
        settings=settings,
        sources={path: source_of(tree, path) for path in knobs()},
        file=file,
        mistakes=tuple(f"configuration: {one.rstrip('.')}." for one in mistakes),
        doubtful=doubtful,
    )


def _from_file(path: str | None, mistakes: list[str]) -> tuple[Given, bool]:
    """What the file gives, and whether all of it could be read."""
    if path is None:
        return NOTHING, True
    try:
        tree = read_file(path, mistakes)
    except InvalidInput as error:
        mistakes.append(str(error))
        return NOTHING, False
    return without_secrets(tree, mistakes, of="a file of settings"), True


def _from_caller(overrides: Mapping[str, Any], options: Mapping[str, str], mistakes: list[str]) -> Given:
    """What the caller gives. Its own code may hand on a secret; an option, which every process list shows, may not."""
    tree = given(overrides, CALLER, options)
    secret_by_option = [knob for knob in knobs().values() if knob.secret and knob.path in options]
    return without_secrets(tree, mistakes, of="an option") if secret_by_option else tree


def _profile(layers: list[Given]) -> Given:
    """The profile of the environment that the layers name. One that nobody knows is refused with the rest."""
    tree = NOTHING
    for layer in layers:
        tree = over(tree, layer)
    named = found(tree, ("environment",))
    name = str(named.value).strip() if named is not None else Settings.model_fields["environment"].default
    return given(PROFILES.get(name, {}), f"profile {name}")
