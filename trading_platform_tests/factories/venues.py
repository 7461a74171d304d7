"""The paper exchange with a guard taken out: the control of a test that shows the guard at work."""

import importlib
import os
from types import ModuleType

from trading_platform_tests.factories.guards import Guard, _changed, _replace

# Each imports only from those before it.
_MODULES = (
    "brokers.fill_model",
    "brokers.order_checks",
    "brokers.paper_book",
    "brokers.working_orders",
    "brokers.order_entry",
    "brokers.matching",
    "brokers.paper",
)


def brokers_without(*guards: Guard) -> dict[str, ModuleType]:
    """The paper exchange's modules, by name, with these guards taken out. Only for a process that runs uncompiled."""
    assert os.environ["NUMBA_DISABLE_JIT"] == "1"
    whole = {name: importlib.import_module(f"trading_platform.{name}") for name in _MODULES}
    changed: dict[str, ModuleType] = {}
    try:
        for name, module in whole.items():
            changed[name] = _changed(name, module, [guard for guard in guards if guard.module == name])
            _replace(name, changed[name])
        return changed
    finally:
        for name, module in whole.items():
            _replace(name, module)
