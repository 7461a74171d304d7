"""The decision kernel with a guard taken out: the control of a test that shows the guard at work.

A guard is a piece of the kernel's source and what stands there without it. The changed sources run uncompiled, in a
process of their own, so that no compiled function is left over from the whole ones.
"""

import importlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from trading_platform_tests.factories.minutes import Decide

# Each imports only from those before it.
_MODULES = (
    "risk.rules",
    "portfolio.exits",
    "portfolio.legs",
    "portfolio.in_symbol",
    "portfolio.sizing",
    "risk.gate",
    "portfolio.kernel",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """A piece of a module's source that stands there once, and what stands there without it."""

    module: str
    source: str
    without: str


def decide_without(*guards: Guard) -> Decide:
    """The kernel's `decide` with these guards taken out. Only for a process that runs uncompiled."""
    assert os.environ["NUMBA_DISABLE_JIT"] == "1"
    whole = {name: importlib.import_module(f"trading_platform.{name}") for name in _MODULES}
    try:
        for name, module in whole.items():
            _replace(name, _changed(name, module, [guard for guard in guards if guard.module == name]))
        decide: Decide = sys.modules["trading_platform.portfolio.kernel"].decide
        return decide
    finally:
        for name, module in whole.items():
            _replace(name, module)


def without_guards(script: str, *arguments: str) -> dict[str, Any]:
    """What `script` prints as JSON when it is run uncompiled."""
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(root)}
    command = [sys.executable, script, *arguments]
    run = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr
    told: dict[str, Any] = json.loads(run.stdout)
    return told


def _changed(name: str, module: ModuleType, guards: list[Guard]) -> ModuleType:
    assert module.__file__ is not None
    source = Path(module.__file__).read_text(encoding="utf-8")
    for guard in guards:
        assert source.count(guard.source) == 1, f"{name} has {guard.source!r} {source.count(guard.source)} times"
        source = source.replace(guard.source, guard.without)
    changed = ModuleType(module.__name__)
    exec(compile(source, module.__file__, "exec"), changed.__dict__)
    return changed


def _replace(name: str, module: ModuleType) -> None:
    room, leaf = name.split(".")
    sys.modules[f"trading_platform.{name}"] = module
    setattr(sys.modules[f"trading_platform.{room}"], leaf, module)
