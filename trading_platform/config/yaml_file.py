"""A file of settings: YAML (and so JSON), read into a tree in which every value knows its line.

Scalars are kept as text: what they mean is decided by the field (`texts`), not by YAML's guesses. Duplicate names,
aliases, merges and tags are refused: a setting stands where it is read, once.
"""

import re
from pathlib import Path
from typing import Any, Final

from trading_platform.config.given import Given
from trading_platform.config.names import plain_name
from trading_platform.domain.errors import InvalidInput

_LARGEST: Final = 1 << 20
_MEND: Final = "TRADING_PLATFORM_CONFIG must name a YAML or JSON file with settings, or be unset"
_NULLS: Final = frozenset(["", "~", "null", "Null", "NULL"])
_TAGS: Final = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "timestamp", "value", "seq", "map")
)
# YAML's own words may repeat what stands in the file; these do not.
_PROBLEMS: Final = (
    ("'\\t'", "a tab stands where the line begins or a value is due: use spaces"),
    (
        "mapping values are not allowed",
        "a colon stands where none may: put the text in quotes, or mend the indentation",
    ),
    ("could not find expected ':'", "a name stands without its colon"),
    ("expected <block end>", "the indentation does not fit the lines above"),
    ("expected ',' or", "a bracket is not closed, or a comma is missing"),
    ("unexpected end of stream", "a quotation mark or a bracket is not closed"),
    ("expected the node content", "a value is missing"),
    ("but found another document", "a second document begins: a file holds one"),
)


def read_file(path: str, mistakes: list[str]) -> Given:
    """The tree that the file holds. Sources are `path line n`.

    Args:
        path: The file.
        mistakes: Takes a sentence for each thing in it that is not read.

    Raises:
        InvalidInput: The file cannot be read, or holds no tree of settings. The text of the file is not repeated.
    """
    text = _text(path)
    if text.lstrip().startswith("{"):
        # JSON may be indented by tabs, YAML may not.
        text = re.sub(r"^\t+", lambda tabs: " " * len(tabs[0]), text, flags=re.MULTILINE)
    root = _composed(text, path)
    if root is None:
        raise InvalidInput("it is empty; write {} where nothing is to be set", where=path, mend=_MEND)
    tree = _Reader(path, mistakes).given(root)
    if not isinstance(tree.value, dict):
        raise InvalidInput("it does not hold names with values (as `log_level: INFO`)", where=path, mend=_MEND)
    return tree


def _text(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise InvalidInput(f"it cannot be read: {error.strerror}", where=path, mend=_MEND) from error
    if len(content) > _LARGEST:
        raise InvalidInput("it is larger than 1 MB", where=path, mend=_MEND)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidInput(f"line {line} is not UTF-8", where=path, mend="Save it as UTF-8") from None


def _composed(text: str, path: str) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """Composes nodes, and refuses what would make one stand in two places."""

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                line = self.peek_event().start_mark.line + 1  # type: ignore[no-untyped-call]
                raise _refused(path, line, "an alias (*) is not read: write the value out")
            return super().compose_node(parent, index)

    try:
        return yaml.compose(text, Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 1
        said = next((words for sign, words in _PROBLEMS if sign in (error.problem or "")), "it is not YAML")
        raise _refused(path, line, said) from None
    except yaml.YAMLError:
        raise InvalidInput("it is not YAML: it holds signs that no text has", where=path, mend=_MEND) from None
    except RecursionError:
        raise InvalidInput("it is not YAML: its groups lie too deep in one another", where=path, mend=_MEND) from None


class _Reader:
    """Turns nodes into `Given`, and notes what is not read."""

    def __init__(self, path: str, mistakes: list[str]) -> None:
        self._path, self._mistakes = path, mistakes

    def given(self, node: Any) -> Given:
        import yaml

        line = node.start_mark.line + 1
        if node.tag not in _TAGS:
            self._note(line, "a tag (!) is not read: write the value alone")
        value: Any
        if isinstance(node, yaml.MappingNode):
            value = self._group(node)
        elif isinstance(node, yaml.SequenceNode):
            value = [self.given(one) for one in node.value]
        else:
            value = None if node.style is None and node.value in _NULLS else node.value
        return Given(value=value, source=self._source(line))

    def _group(self, node: Any) -> dict[str, Given]:
        import yaml

        values: dict[str, Given] = {}
        lines: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.tag == "tag:yaml.org,2002:merge":
                self._note(line, "a merge (<<) is not read: write the values out")
            elif not isinstance(key, yaml.ScalarNode):
                self._note(line, "a name is due here, as `log_level: INFO`")
            elif key.value in values:
                first = lines[key.value]
                self._note(line, f"{plain_name(key.value)} is given twice, in line {first} and here: keep one")
            else:
                # A value's place is its name's: that is where a person looks for it.
                read = self.given(value).value
                values[key.value], lines[key.value] = Given(value=read, source=self._source(line)), line
        return values

    def _note(self, line: int, said: str) -> None:
        self._mistakes.append(f"{self._path} line {line}: {said}")

    def _source(self, line: int) -> str:
        return f"{self._path} line {line}"


def _refused(path: str, line: int, said: str) -> InvalidInput:
    return InvalidInput(f"line {line}: {said}", where=path, mend=_MEND)
