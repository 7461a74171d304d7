"""The cycle: the four stages of one minute in one go.

Dagster's job calls the same four stages one by one. Whoever drives, the rows that they leave are the same.
"""

from collections.abc import Callable
from datetime import date

from trading_platform.domain.reports import CycleReport
from trading_platform.engine.stages import Stages

RunCycle = Callable[[date, int], CycleReport]
"""Runs the cycle of one minute of a session, by whatever means."""


def run_cycle(stages: Stages, day: date, minute: int) -> CycleReport:
    """Fetch, evaluate, decide, place: one minute of one book."""
    return stages.place(stages.decide(stages.evaluate(stages.fetch(day, minute))))
