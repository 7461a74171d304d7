"""Eight processes with stale beliefs while the owner changes all the time, for some seconds (the long one: make faults)."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trading_platform_tests.factories.fence import WEAKENED

PROGRAM = Path(__file__).with_name("ownership_race.py")
ROOT = PROGRAM.parents[2]


def race(database: str, seconds: float, *more: str) -> tuple[int, dict[str, Any]]:
    """The program's exit status, and what it said."""
    environment = {**os.environ, "SECONDS": str(seconds), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(PROGRAM), "--database", database, *more]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=120)
    assert ended.stderr == ""
    told: dict[str, Any] = json.loads(ended.stdout)
    return ended.returncode, told


def test_no_intent_of_an_old_epoch_is_committed_by_eight_processes(fresh_database: Callable[[], str]) -> None:
    status, told = race(fresh_database(), 10)
    assert (status, told["stale"]) == (0, 0)
    # There was something to see.
    assert told["changes"] > 40
    assert told["committed"] > 40
    assert told["refused"] > 0


@pytest.mark.parametrize("without", sorted(WEAKENED))
def test_a_weakened_fence_lets_them_through(fresh_database: Callable[[], str], without: str) -> None:
    status, told = race(fresh_database(), 5, "--without", without)
    assert status == 1
    assert told["stale"] > 0
