"""A short fault campaign, and the same one with a guard taken out: what each of them holds back.

The whole campaign is `make faults`; docs/reliability.md has its figures.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trading_platform_tests.faults import campaign
from trading_platform_tests.faults.campaign_life import Weakness
from trading_platform_tests.faults.campaign_schedule import BROKERS, draw
from trading_platform_tests.faults.campaign_verdict import is_double_or_loss

CHECKOUT = Path(__file__).resolve().parents[2]
SEED = 20_131_009
SCHEDULES = 24
UNTIL = 600
"""A campaign without a guard ends with the first double or loss, long before so many schedules."""

Campaign = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def run(fresh_database: Callable[[], str], tmp_path: Path) -> Campaign:
    """Runs the schedules of a campaign in a process of its own, and gives what became of each."""
    numbers = iter(range(100))

    def run(schedules: int, *more: str) -> list[dict[str, Any]]:
        command = [sys.executable, "-W", "ignore", "-m", campaign.__name__, "--seed", str(SEED)]
        command += ["--schedules", str(schedules), "--workers", "1", "--folder", str(tmp_path / str(next(numbers)))]
        environment = os.environ | {campaign.DATABASE: fresh_database(), "PYTHONPATH": str(CHECKOUT)}
        done = subprocess.run(
            [*command, *more], capture_output=True, text=True, timeout=400, check=False, env=environment
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


def violated(found: list[dict[str, Any]]) -> list[str]:
    return [f"schedule {one['number']} of {one['broker']}: {said}" for one in found for said in one["violations"]]


def test_a_short_campaign_over_the_three_brokers_violates_nothing(run: Campaign) -> None:
    found = run(SCHEDULES)
    assert violated(found) == []
    assert Counter(one["broker"] for one in found) == dict.fromkeys(BROKERS, SCHEDULES // len(BROKERS))
    # It was worth something: processes died, venues misbehaved, and each venue filled orders all the same.
    assert sum(sum(one["crashes"].values()) for one in found) >= SCHEDULES // 2
    assert sum(sum(one["faults"].values()) for one in found) >= SCHEDULES // 4
    for broker in BROKERS:
        assert sum(one["fills"] for one in found if one["broker"] == broker) >= SCHEDULES


def test_the_same_number_gives_the_same_schedule() -> None:
    assert draw(SEED, 5) == draw(SEED, 5)
    assert draw(SEED, 5) != draw(SEED + 1, 5)


# Controls: the same schedules with a guard taken out.


@pytest.mark.parametrize(
    ("weakness", "of"),
    [
        (Weakness.CHANCE_IDS, ("--broker", "paper")),
        (Weakness.UNKNOWN_IS_REJECTED, ("--broker", "alpaca")),
        (Weakness.NO_LOOK_UP, ("--broker", "paper")),
        (Weakness.NO_RECONCILE, ("--broker", "ibkr")),
        (Weakness.NO_FENCE, ("--broker", "paper", "--frozen")),
    ],
)
def test_the_campaign_finds_what_a_guard_holds_back(run: Campaign, weakness: Weakness, of: tuple[str, ...]) -> None:
    weak = run(UNTIL, "--weakness", weakness.value, "--stop", *of)
    assert any(is_double_or_loss(one) for one in violated(weak)), violated(weak)
    # The schedule that shows it, with the guard in its place.
    assert violated(run(1, "--first", str(weak[-1]["number"]))) == []
