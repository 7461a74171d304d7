"""The portfolio pass with a line of its source changed: the control of a test that holds it against a paper session.

The changed sources run uncompiled, in a process of their own, as with `guards`.
"""

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Final

from trading_platform.backtest import portfolio_pass
from trading_platform_tests.factories.guards import Guard

# Each imports only from those before it.
_MODULES: Final = (
    "backtest.loop.venue",
    "backtest.loop.lives",
    "backtest.loop.dispatch",
    "backtest.loop.quiet",
    "backtest.loop.corporate_actions",
    "backtest.loop.openings",
    "backtest.loop.shown",
    "backtest.loop.minutes",
)


@contextmanager
def changed_pass(*changes: Guard) -> Iterator[None]:
    """Within, the pass runs with these pieces of source replaced. Only for a process that runs uncompiled."""
    assert os.environ["NUMBA_DISABLE_JIT"] == "1"
    whole = {name: importlib.import_module(f"trading_platform.{name}") for name in _MODULES}
    run = vars(portfolio_pass)["run"]
    try:
        for name, module in whole.items():
            _put(name, _changed(name, module, [one for one in changes if one.module == name]))
        vars(portfolio_pass)["run"] = sys.modules["trading_platform.backtest.loop.minutes"].run
        yield
    finally:
        vars(portfolio_pass)["run"] = run
        for name, module in whole.items():
            _put(name, module)


def _changed(name: str, module: ModuleType, changes: list[Guard]) -> ModuleType:
    assert module.__file__ is not None
    source = Path(module.__file__).read_text(encoding="utf-8")
    for one in changes:
        assert source.count(one.source) == 1, f"{name} has {one.source!r} {source.count(one.source)} times"
        source = source.replace(one.source, one.without)
    changed = ModuleType(module.__name__)
    exec(compile(source, module.__file__, "exec"), changed.__dict__)
    return changed


def _put(name: str, module: ModuleType) -> None:
    room, _, leaf = name.rpartition(".")
    sys.modules[f"trading_platform.{name}"] = module
    setattr(sys.modules[f"trading_platform.{room}"], leaf, module)
