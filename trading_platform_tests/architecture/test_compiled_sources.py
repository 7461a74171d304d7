"""Machine code is made anew when any source changes that it can come from."""

import ast
from collections.abc import Iterator
from pathlib import Path

import trading_platform
from trading_platform.domain.compiled import COMPILED_FROM

PACKAGE = Path(trading_platform.__file__).resolve().parent


def is_covered(module: str) -> bool:
    path = "/".join(module.split(".")[1:])
    return any(place in (path, f"{path}.py") or path.startswith(f"{place}/") for place in COMPILED_FROM)


def compiled_modules() -> Iterator[tuple[str, ast.Module]]:
    for source in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(source.read_text())
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        marks = [mark for function in functions for mark in function.decorator_list]
        if any(isinstance(mark, ast.Name) and mark.id.startswith("compiled") for mark in marks):
            yield ".".join(("trading_platform", *source.relative_to(PACKAGE).with_suffix("").parts)), tree


def test_every_compiled_function_comes_from_sources_that_the_cache_is_named_by() -> None:
    found = dict(compiled_modules())
    assert len(found) >= 14
    for module, tree in found.items():
        assert is_covered(module), module
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("trading_platform"):
                assert is_covered(node.module or ""), f"{module} imports {node.module}"


def test_a_module_outside_is_seen() -> None:
    assert not is_covered("trading_platform.engine.stages")
    assert not is_covered("trading_platform.brokers.paper")
    assert is_covered("trading_platform.brokers.fees")
