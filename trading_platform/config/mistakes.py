"""What is wrong with what was given, in the platform's own words: field, value, what is allowed, and where it stands.

The checks are those of `settings`; nothing of their library's texts reaches a person, and no secret does.
"""

from collections.abc import Iterator
from typing import Any, Final, get_args, get_origin

from pydantic import ValidationError

from trading_platform.config.contradictions import Contradictions
from trading_platform.config.given import Given, Steps, found, over, plain, source_at, without
from trading_platform.config.knobs import groups, knobs, takes
from trading_platform.config.names import did_you_mean, nearest, plain_name
from trading_platform.config.secrets import Secret
from trading_platform.config.settings import Group, Settings
from trading_platform.config.texts import NO_VALUE, quoted

CALLER: Final = "the caller"
"""The source of what the platform's own code gives."""
DEFAULT: Final = "default"


def merged(layers: list[Given], mistakes: list[str]) -> Given:
    """The layers in one, later ones over earlier ones. What stands in place of a group is noted and left out."""
    tree = layers[0]
    for layer in layers[1:]:
        kept = layer
        for name in groups():
            inside = found(layer, (name,))
            if inside is not None and not isinstance(inside.value, dict):
                said = "nothing stands below it" if inside.value is None else "it takes no value of its own"
                mistakes.append(f"{name}: {said}: its settings are written below it, by name ({inside.source})")
                kept = without(kept, (name,))
        tree = over(tree, kept)
    return tree


def without_secrets(tree: Given, mistakes: list[str], *, of: str) -> Given:
    """The tree without any secret, each of which is noted: it does not belong into `of`."""
    for knob in knobs().values():
        steps = knob.path.split(".")
        inside = found(tree, steps)
        if knob.secret and inside is not None and inside.value is not None:
            mistakes.append(
                f"{knob.path}: a secret does not belong into {of} ({inside.source}): give it by the variable "
                f"{knob.short_variable or knob.variable}, or by a mounted file that "
                f"{knob.short_variable or knob.variable}_FILE names"
            )
            tree = without(tree, steps)
    return tree


def validated(tree: Given, mistakes: list[str], *, whole: bool) -> tuple[Settings, Given, frozenset[str]]:
    """The settings that the tree gives, the tree without what is wrong, and the groups in which something is.

    What is wrong is noted, and has its default in the settings.

    Args:
        tree: What was given.
        mistakes: Takes a sentence for each mistake.
        whole: Whether all that was given is in the tree. If not, or if its environment is none, contradictions are
            not looked for: one side of them may not be what it will be.
    """
    wrong: list[tuple[str, ...]] = []
    hidden = _secrets(tree)
    while True:
        try:
            settings = Settings.model_validate(plain(tree))
            break
        except ValidationError as error:
            faults = {_known_part(fault["loc"]): fault["type"] for fault in error.errors(include_input=False)}
        mistakes.extend(_spoken(steps, kind, tree, hidden) for steps, kind in faults.items())
        for steps in faults:
            tree = without(tree, steps)
            wrong.append(tuple(map(str, steps)))
    if whole and ("environment",) not in wrong:
        mistakes.extend(_contradictions(settings, tree, wrong))
    return settings, tree, frozenset(steps[0] for steps in wrong)


def source_of(tree: Given, path: str) -> str:
    """Where the value of a knob stands, in words."""
    here = found(tree, path.split("."))
    return here.source if here is not None else DEFAULT


def _contradictions(settings: Settings, tree: Given, wrong: list[tuple[str, ...]]) -> Iterator[str]:
    """Those in which nothing takes part that is wrong by itself, and so unknown."""

    def set_by_hand(path: str) -> bool:
        source = found(tree, path.split("."))
        return source is not None and not source.source.startswith("profile ")

    unknown = {".".join(steps[:end]) for steps in wrong for end in range(1, len(steps) + 1)}
    for paths, said in Contradictions(settings, lambda path: source_of(tree, path), set_by_hand).found():
        if not unknown & set(paths):
            yield said


def _secrets(tree: Given) -> tuple[str, ...]:
    """Every secret in the tree as text, and the password of each that is an address."""
    texts: list[str] = []
    for knob in knobs().values():
        inside = found(tree, knob.path.split("."))
        if knob.secret and inside is not None:
            text = inside.value.reveal() if isinstance(inside.value, Secret) else str(inside.value)
            texts += [text, text.rpartition("@")[0].rpartition(":")[2]]
    return tuple(text for text in texts if text)


def _known_part(steps: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """The way to what was given: pydantic adds the members of a union that it tried."""
    kind: Any = Settings
    for end, part in enumerate(steps):
        if isinstance(kind, type) and issubclass(kind, Group):
            if part not in kind.model_fields:
                return steps[: end + 1]
            kind = kind.model_fields[str(part)].annotation
        elif get_origin(kind) in {tuple, dict}:
            kind = get_args(kind)[0] if get_origin(kind) is tuple else None
        else:
            return steps[:end]
    return steps


def _spoken(steps: Steps, kind: str, tree: Given, hidden: tuple[str, ...]) -> str:
    path = ".".join(plain_name(str(part)) for part in steps)
    source = source_at(tree, steps) or DEFAULT
    if kind == "extra_forbidden":
        return f"{path}: there is no such setting.{_meant(steps)} ({source})"
    if kind == "missing":
        return f"{path}: it is missing ({source})"
    inside = found(tree, steps)
    told = quoted(inside.value, hidden) if inside is not None else NO_VALUE
    said, choices = _allowed(steps)
    guess = did_you_mean(str(inside.value), choices) if inside is not None and told is not None else ""
    if told == NO_VALUE:
        return f"{path}: no value is given: give {said} ({source})"
    return f"{path}: {told or 'what is given'} cannot be used: give {said}{f'.{guess}' if guess else ''} ({source})"


def _allowed(steps: Steps) -> tuple[str, tuple[str, ...]]:
    """What the field takes in words, and the names that it takes if it takes only some."""
    path = ".".join(map(str, steps))
    if path in knobs():
        knob = knobs()[path]
        return f"a text in {knob.short_variable or knob.variable}" if knob.secret else knob.takes, knob.choices
    # Within a list or a group of values by name: the deepest field on the way says it.
    group: Any = Settings
    said = "what its group takes"
    for part in steps:
        if isinstance(group, type) and issubclass(group, Group) and part in group.model_fields:
            field = group.model_fields[str(part)]
            said, group = takes(str(part), field), field.annotation
        elif get_origin(group) is tuple:
            group = get_args(group)[0]
            said = "a name" if group is str else "a group of values with a name"
        else:
            return "a number", ()
    return said, ()


def _meant(steps: Steps) -> str:
    """The nearest name on the same level; else the place where a setting of this very name stands."""
    group: Any = Settings
    for part in steps[:-1]:
        if isinstance(part, str):
            group = group.model_fields[part].annotation
            group = get_args(group)[0] if get_origin(group) is tuple else group
    name = str(steps[-1])
    before = "".join(f"{part}." for part in steps[:-1])
    close = nearest(name, group.model_fields)
    if close is not None:
        return f" Did you mean {before}{close}?"
    elsewhere = nearest(name, {path.rpartition(".")[2] for path in knobs()})
    places = [path for path in knobs() if path.rpartition(".")[2] == elsewhere]
    return f" Did you mean {' or '.join(places)}?" if places else ""
