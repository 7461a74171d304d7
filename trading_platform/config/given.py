"""What was given: values in the shape of the settings, each with the place where it stands.

Belongs here: the tree and its arithmetic. Where trees come from is said by `yaml_file`, `variables` and `profiles`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

Steps = Sequence[str | int]
"""The way to a value: names of groups and fields, and numbers within a list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A value, and its source in words: `settings.yaml line 12`, a variable's name, an option.

    `value` is a dict of `Given` by name, a list of `Given`, or a plain value.
    """

    value: Any
    source: str


NOTHING: Final = Given(value={}, source="")
"""A tree in which nothing is given."""


def given(value: Any, source: str, options: Mapping[str, str] | None = None, path: str = "") -> Given:
    """A tree of plain values as one of `Given`, all from `source`.

    Args:
        value: Mappings, lists and plain values.
        source: Where it comes from.
        options: Sources of their own, by the path of a field, such as `market_data.session`.
        path: Of `value` itself.
    """
    source = (options or {}).get(path, source)
    inner: Any = value
    if isinstance(value, Mapping):
        inner = {
            str(name): given(one, source, options, f"{path}.{name}" if path else str(name))
            for name, one in value.items()
        }
    elif isinstance(value, list | tuple):
        inner = [given(one, source) for one in value]
    return Given(value=inner, source=source)


def plain(tree: Given) -> Any:
    """The tree without its sources."""
    if isinstance(tree.value, dict):
        return {name: plain(one) for name, one in tree.value.items()}
    if isinstance(tree.value, list):
        return [plain(one) for one in tree.value]
    return tree.value


def at(path: Steps, value: Given) -> Given:
    """A tree in which nothing but `value` is given, at `path`."""
    for part in reversed(path):
        value = Given(value={str(part): value}, source=value.source)
    return value


def over(below: Given, above: Given) -> Given:
    """Both trees in one: a group is merged with a group; of anything else the value `above` stands."""
    if not isinstance(below.value, dict) or not isinstance(above.value, dict):
        return above
    merged = dict(below.value)
    for name, one in above.value.items():
        merged[name] = over(merged[name], one) if name in merged else one
    return replace(below, value=merged)


def found(tree: Given, path: Steps) -> Given | None:
    """What is given at `path`, or None."""
    for part in path:
        inside = tree.value
        if isinstance(inside, list):
            inside = dict(enumerate(inside))
        if not isinstance(inside, dict) or part not in inside:
            return None
        tree = inside[part]
    return tree


def source_at(tree: Given, path: Steps) -> str | None:
    """The source of what is given at `path`, or of the nearest that holds it; None if nothing of it is given."""
    for end in range(len(path), 0, -1):
        here = found(tree, path[:end])
        if here is not None:
            return here.source
    return None


def without(tree: Given, path: Steps) -> Given:
    """The tree without what is given at `path`; of a list the whole is left out."""
    name = path[0]
    if not isinstance(tree.value, dict) or name not in tree.value:
        return tree
    kept = {key: one for key, one in tree.value.items() if key != name}
    inside = tree.value[name]
    if len(path) > 1 and isinstance(inside.value, dict):
        kept[str(name)] = without(inside, path[1:])
    return replace(tree, value=kept)
