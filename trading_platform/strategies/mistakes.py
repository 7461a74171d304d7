"""What goes wrong in a strategy's file, as a sentence with the file, the line and the cause.

A compiler's error is a wall of text about types, and some of its errors name no line at all; a traceback shows the
platform's insides. The person who wrote the strategy needs neither. Belongs here: reading them. What stays out: finding
and running the file (`source_files`), and trying the strategy out (`check`).
"""

import ast
import difflib
import re
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FunctionType
from typing import Any, Final, cast

import numpy as np

from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.records import day_t, out_t, step_bar_t

_LONGEST: Final = 240
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
_PIPELINE: Final = re.compile(r"Failed in \w+ mode pipeline \(step: [^)]*\)\n")
_PLACE: Final = re.compile(r'File "([^"]+)", line (\d+)')
_CALL_PLACE: Final = re.compile(r"(?:at|from|defined at) (\S+\.\w+) \((\d+)\)")
_RECORD: Final = re.compile(r"Record\(.*\)", re.DOTALL)
_LITERAL_TEXT: Final = re.compile(r"Literal\[str\]\(([^)]*)\)")
_LITERAL: Final = re.compile(r"Literal\[\w+\]\(([^)]*)\)")

Dtype = np.dtype[Any]

_KEEP_IN_STATE: Final = "Keep what changes in the state record"


def source_of(step: Callable[..., Any]) -> FunctionType:
    """The plain function behind a compiled one."""
    return cast("FunctionType", getattr(step, "py_func", step))


def place_of(function: Callable[..., Any]) -> str:
    """The file and line at which a function is defined."""
    code = source_of(function).__code__
    return f"{code.co_filename}, line {code.co_firstlineno}"


def raised_in(error: BaseException, file: str) -> str:
    """The file, with the last of its lines that the error came through, if it came through any."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f"{file}, line {lines[-1]}" if lines else file


def spoken(error: BaseException) -> str:
    """An error's kind and message in one line."""
    message = " ".join(str(error).split())
    said = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return said if len(said) <= _LONGEST else f"{said[: _LONGEST - 3]}..."


def uncompilable(error: BaseException, step: Callable[..., Any], *, state: Dtype, params: Dtype) -> InvalidInput:
    """Why a step does not compile.

    Args:
        error: What the compiler raised.
        step: The step.
        state: The strategy's state record.
        params: The record of its parameters.
    """
    records = {"state": state, "bar": step_bar_t, "day": day_t, "params": params, "out": out_t}
    file = source_of(step).__code__.co_filename
    text = _COLOUR.sub("", str(error))
    inner = _PIPELINE.split(text)[-1].strip()
    if isinstance(error, KeyError) and error.args and isinstance(error.args[0], str):
        field = error.args[0]
        line = _line_of(file, field, lambda name: name in records and field not in (records[name].names or ()))
        cause, mend = _unknown_field(field, records)
    else:
        line = _line_in(inner, file) or _line_told(error) or _line_in(text, file)
        cause, mend = _cause(inner)
        if line is None and isinstance(error, AttributeError) and error.name:
            names, owner = source_of(step).__globals__, error.obj
            line = _line_of(file, error.name, lambda name: names.get(name) is owner)
    where = f"{file}, line {line}" if line else place_of(step)
    return InvalidInput(f"the step does not compile: {cause}", where=where, mend=mend)


def _line_in(text: str, file: str) -> int | None:
    """The first line of the file that the text names. The compiler writes paths relative to where it runs."""
    for pattern in (_PLACE, _CALL_PLACE):
        for path, line in pattern.findall(text):
            if Path(path).name == Path(file).name:
                return int(line)
    return None


def _line_told(error: BaseException) -> int | None:
    line = getattr(getattr(error, "loc", None), "line", None)
    return line if isinstance(line, int) else None


def _line_of(file: str, attribute: str, is_owner: Callable[[str], bool]) -> int | None:
    """The first line that uses `.attribute` of a name of which `is_owner` holds, else of anything.

    For what a record or a module does not have the compiler tells no place.
    """
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, ValueError, SyntaxError):
        return None
    uses = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == attribute]
    owned = [node for node in uses if isinstance(node.value, ast.Name) and is_owner(node.value.id)]
    return min((node.lineno for node in owned or uses), default=None)


def _unknown_field(field: str, records: Mapping[str, Dtype]) -> tuple[str, str]:
    cause = f"a record is asked for {field!r}, a field that it has not"
    owners: dict[str, list[str]] = {}
    for name, record in records.items():
        for own in record.names or ():
            owners.setdefault(own, []).append(name)
    if field in owners:
        return cause, f"It is a field of {' and of '.join(owners[field])}"
    nearest = difflib.get_close_matches(field, owners, n=1, cutoff=0.5)
    if nearest:
        return cause, f"Did you mean {nearest[0]!r}? It is a field of {' and of '.join(owners[nearest[0]])}"
    return cause, f"Known: {', '.join(sorted(owners))}"


def _cause(text: str) -> tuple[str, str]:
    """The cause in plain words, and how to mend it, from the innermost message of the compiler."""
    for pattern, say in _SAYINGS:
        found = pattern.search(text)
        if found:
            return say(*found.groups())
    first = next((line.strip() for line in text.splitlines() if line.strip()), "the compiler gave no reason")
    first = first.split(" Raised from ")[0]
    return _short(first), "A step does arithmetic, comparisons, sqrt and abs on the fields of its five records"


def _short(text: str) -> str:
    text = _LITERAL.sub(r"\1", _LITERAL_TEXT.sub(r"'\1'", _RECORD.sub("a record", text)))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _global(name: str, kind: str) -> tuple[str, str]:
    if kind == "function":
        return f"it calls {name}, which is not compiled", f"Put @compiled above {name}, in the same file"
    return (
        f"it uses {name}, a {kind}, which compiled code does not read",
        "Use numbers, records and arrays of numbers; a number that may change belongs in the parameters",
    )


def _operation(call: str) -> tuple[str, str]:
    if "readonly array" in call:
        return "it writes to an array outside its records, which compiled code holds constant", _KEEP_IN_STATE
    return f"compiled code does not do {_short(call)}", "Look at the kinds of values in that line"


_Saying = Callable[..., tuple[str, str]]

_SAYINGS: Final[tuple[tuple[re.Pattern[str], _Saying], ...]] = (
    (re.compile(r"Untyped global name '(\w+)':.* type of <class '(?:\w+\.)*(\w+)'>"), _global),
    (re.compile(r"type, assigned to variable '(\w+)' in globals"), lambda name: _global(name, "list")),
    (re.compile(r"Untyped global name '(\w+)': Cannot type empty list"), lambda name: _global(name, "list")),
    (
        re.compile(r"Unknown attribute '(\w+)' of type (?:int|uint|float)\d+"),
        lambda name: (
            f"a number is asked for {name!r}, as if it were a record",
            "A step sees one bar at a time, and the fields of its five records are numbers",
        ),
    ),
    (
        re.compile(r"\(IMPORT_NAME\)"),
        lambda: ("it imports something within the step", "Import it at the top of the file"),
    ),
    (
        re.compile(r"NameError: name '(\w+)' is not defined"),
        lambda name: (f"there is no name {name!r}", "Define it at the top of the file, or mend the spelling"),
    ),
    (re.compile(r"\(STORE_GLOBAL\)"), lambda: ("it changes a global name", _KEEP_IN_STATE)),
    (re.compile(r"No implementation of function .*?>>> ([^\n]*)", re.DOTALL), _operation),
    (
        re.compile(r"Cannot unify (.*?) and (.*?) for '([^'.]+)"),
        lambda one, other, name: (
            f"{name} is {_short(one)} in one place and {_short(other)} in another",
            f"Give {name} one kind of value",
        ),
    ),
    (
        re.compile(r"Cannot bind .* to signature '([^']*)' due to \"TypeError: ([^\"]*)\"", re.DOTALL),
        lambda signature, why: (f"a function that takes {signature} is called with {why}", "Mend the call"),
    ),
    (
        re.compile(r"Cannot cast (.*?) to (\w+):", re.DOTALL),
        lambda one, other: (f"{_short(one)} is put where {_short(other)} belongs", "Name a field of it"),
    ),
)
