"""The strategies that are known by name, where each comes from, and the profiles of each.

A strategy comes with the platform, from an installed package that offers a module under the entry point group
`trading_platform.strategies`, or from a file that the configuration names. Its module holds `STRATEGY` (the defaults)
and may hold `PROFILES` (named changes to them). It is imported, and with it the compiler, only when it is loaded. What
a strategy is belongs to `contract`; reading a file to `source_files`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, Final, Literal

from trading_platform.config.settings import ActiveStrategy
from trading_platform.domain.errors import InvalidInput
from trading_platform.strategies.contract import Strategy
from trading_platform.strategies.parameters import unknown
from trading_platform.strategies.source_files import load_file, run

GROUP: Final = "trading_platform.strategies"
"""The entry point group under which an installed package offers the modules of its strategies."""

_MODULES: Final[Mapping[str, str]] = {
    "gap_and_go": "trading_platform.strategies.gap_and_go",
    "vwap_reclaim": "trading_platform.strategies.vwap_reclaim",
}
_OFFERS: Final = "Let it hold STRATEGY, a Strategy, and if wanted PROFILES"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a strategy comes from. `source`: the platform, a package with its version, or a file."""

    name: str
    kind: Literal["built-in", "package", "file"]
    source: str
    module: str = ""

    def __str__(self) -> str:
        return self.source


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a module offers: the strategy with its defaults, and the changes to them by profile."""

    origin: Origin
    strategy: Strategy
    profiles: Mapping[str, Mapping[str, Any]]

    def with_values(self, profile: str | None, overrides: Mapping[str, Any] | None) -> Strategy:
        """The defaults, changed by the profile, changed by `overrides`. Raises `InvalidInput` for what is refused."""
        values: dict[str, Any] = {}
        if profile is not None:
            if profile not in self.profiles:
                raise unknown("profile", profile, self.profiles, where=f"strategy {self.strategy.name}")
            values.update(self.profiles[profile])
        values.update(overrides or {})
        return self.strategy.with_values(values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A strategy that did not load, and why."""

    name: str
    error: InvalidInput

    def __str__(self) -> str:
        return f"{self.name} is set aside, because it does not load: {self.error}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The active strategies in the configuration's order, and those of them that did not load.

    In the place of one that did not load stands one that says nothing, so that what it holds stays looked after.
    """

    strategies: tuple[Strategy, ...]
    failures: tuple[Failure, ...]


def origins() -> tuple[Origin, ...]:
    """Where every strategy that is known by name comes from, by name. A name that is offered twice stands twice."""
    found = [Origin(name=name, kind="built-in", source="the platform", module=_MODULES[name]) for name in _MODULES]
    for point in metadata.entry_points(group=GROUP):
        # An installation that is found by two paths is listed twice.
        offered = Origin(name=point.name, kind="package", source=_package(point), module=point.value)
        if offered not in found:
            found.append(offered)
    return tuple(sorted(found, key=lambda origin: (origin.name, origin.kind, origin.source)))


def names() -> tuple[str, ...]:
    """The known strategies, in alphabetical order."""
    return tuple(sorted({origin.name for origin in origins()}))


def load(
    name: str, profile: str | None = None, overrides: Mapping[str, Any] | None = None, file: Path | None = None
) -> Strategy:
    """One strategy with its values set: the defaults, changed by the profile, changed by `overrides`.

    Args:
        name: One of `names()`, or what the strategy in `file` is called.
        profile: One of its module's `PROFILES`, or None for the defaults.
        overrides: Values by name, as `Strategy.with_values` takes them.
        file: The Python file that holds it, or None.

    Raises:
        InvalidInput: A name is not known (the nearest known one is named) or offered twice, the module does not hold
            such a strategy, or a value is refused.
    """
    return offer(name, file).with_values(profile, overrides)


def load_all(active: Iterable[ActiveStrategy]) -> Loaded:
    """The active strategies. One that does not load is set aside, and the others are not touched by it."""
    strategies: list[Strategy] = []
    failures: list[Failure] = []
    for one in active:
        try:
            strategies.append(load(one.name, one.profile, one.parameters, one.file))
        except InvalidInput as error:
            from trading_platform.strategies.stand_in import stand_in

            failures.append(Failure(name=one.name, error=error))
            strategies.append(stand_in(one.name))
    return Loaded(strategies=tuple(strategies), failures=tuple(failures))


def offer(name: str, file: Path | None = None) -> Offer:
    """What is offered under a name, or by the file that should hold it. Raises `InvalidInput` as `load` does."""
    found = offer_of_file(file) if file is not None else _offer(_origin(name))
    if found.strategy.name != name:
        raise InvalidInput(
            f"its STRATEGY is named {found.strategy.name!r}, and is asked for as {name!r}",
            where=found.origin.source if file is not None else f"strategy {name}, of {found.origin}",
            mend="Give both the same name: signals, orders and the ledger carry it",
        )
    return found


def offer_of_file(file: Path) -> Offer:
    """What a file offers, whatever it is named. Raises `InvalidInput` for a file that holds no strategy."""
    module = load_file(file)
    path = str(module.__file__)
    found = _strategy(vars(module), path)
    origin = Origin(name=found.name, kind="file", source=path, module=module.__name__)
    return Offer(origin=origin, strategy=found, profiles=_profiles(vars(module), path))


def _origin(name: str) -> Origin:
    known = origins()
    found = [origin for origin in known if origin.name == name]
    if not found:
        raise unknown("strategy", name, {origin.name for origin in known}, where="active_strategies")
    if len(found) > 1:
        raise InvalidInput(
            f"{name!r} is offered by {' and by '.join(str(origin) for origin in found)}",
            where="active_strategies",
            mend="Rename one of them, or uninstall a package",
        )
    return found[0]


def _offer(origin: Origin) -> Offer:
    where = f"strategy {origin.name}, of {origin}"
    if origin.kind == "built-in":
        held: object = import_module(origin.module)
    else:
        point = metadata.EntryPoint(name=origin.name, value=origin.module, group=GROUP)
        held = run(point.load, where, f"its entry point {origin.module} does not import")
    content = getattr(held, "__dict__", {})
    return Offer(origin=origin, strategy=_strategy(content, where), profiles=_profiles(content, where))


def _package(point: metadata.EntryPoint) -> str:
    return f"package {point.dist.name} {point.dist.version}" if point.dist is not None else "an unknown package"


def _strategy(content: Mapping[str, Any], where: str) -> Strategy:
    if "STRATEGY" not in content:
        raise InvalidInput("it holds no STRATEGY", where=where, mend=_OFFERS)
    found = content["STRATEGY"]
    if not isinstance(found, Strategy):
        raise InvalidInput(f"its STRATEGY is a {type(found).__name__}, not a Strategy", where=where, mend=_OFFERS)
    return found


def _profiles(content: Mapping[str, Any], where: str) -> Mapping[str, Mapping[str, Any]]:
    found = content.get("PROFILES", {})
    if not isinstance(found, Mapping) or not all(isinstance(values, Mapping) for values in found.values()):
        raise InvalidInput(
            "its PROFILES are no changes by name", where=where, mend='Write them as {"quiet": {"parameter": 1.0}}'
        )
    return found
