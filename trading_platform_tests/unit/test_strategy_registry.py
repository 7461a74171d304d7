"""Strategies by name: defaults, profiles, changes, and refusals that name the nearest known name."""

import subprocess
import sys
from importlib import import_module
from typing import Any

import pytest

from trading_platform.domain.errors import InvalidInput
from trading_platform.strategies import registry


def test_every_known_strategy_loads_with_every_profile() -> None:
    for name in registry.names():
        assert registry.load(name).name == name
        profiles = import_module(registry.load(name).step.__module__).PROFILES
        assert profiles
        for profile in profiles:
            assert registry.load(name, profile) != registry.load(name)


def test_overrides_come_after_the_profile() -> None:
    quiet = registry.load("vwap_reclaim", "quiet", {"crosses": 3, "exit_plan.time_stop": 30, "sizing.risk_percent": 1})
    assert (quiet.parameters.relative_volume, quiet.parameters.crosses) == (0.5, 3)
    assert (quiet.exit_plan.time_stop, quiet.sizing.risk_percent) == (30, 1)
    untouched = registry.load("vwap_reclaim")
    assert (untouched.parameters.crosses, untouched.exit_plan.time_stop, untouched.sizing.risk_percent) == (4, 60, 0.5)


@pytest.mark.parametrize(
    ("name", "profile", "overrides", "says"),
    [
        ("vwap_reclam", None, {}, "Did you mean 'vwap_reclaim'"),
        ("martingale", None, {}, "Known: "),
        ("vwap_reclaim", "quite", {}, "Did you mean 'quiet'"),
        ("vwap_reclaim", None, {"relativ_volume": 1.0}, "Did you mean 'relative_volume'"),
        ("vwap_reclaim", None, {"exit_plan.timestop": 1}, "Did you mean 'time_stop'"),
        ("vwap_reclaim", None, {"exits.time_stop": 1}, "Known: exit_plan, sizing"),
        ("vwap_reclaim", None, {"relative_volume": -1.0}, "outside [0, 100]"),
        ("vwap_reclaim", None, {"sizing.risk_percent": 50.0}, "outside [0.01, 10]"),
    ],
)
def test_what_is_not_known_is_refused(name: str, profile: str | None, overrides: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        registry.load(name, profile, overrides)
    assert says in str(refusal.value)


def test_the_compiler_is_not_imported_until_a_strategy_is_loaded() -> None:
    script = """
import sys
from trading_platform.strategies import registry
registry.names()
print("numba" in sys.modules)
registry.load("vwap_reclaim")
print("numba" in sys.modules)
"""
    told = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert told.stdout.split() == ["False", "True"]
