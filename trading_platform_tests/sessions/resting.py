"""Sessions of one strategy whose targets rest at the broker, and the exchange's own word on what protects a holding.

The book trades AAA at 50.00: 100 shares with a stop at 49.00, a quarter to be sold at 1 R (51.00 from the price of the
decision), half at 2 R (52.00), the rest by its stop, the step's reason or the clock.
"""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from trading_platform.domain.signals import ExitReason, TriggerOn
from trading_platform.strategies.contract import ExitPlan, ScaleOut, Strategy
from trading_platform_tests.sessions.scripted import scripted
from trading_platform_tests.sessions.tape import DAY, write_tape

NAME: Final = "first"
TARGETS: Final = (ScaleOut(fraction=0.25, target=1.0), ScaleOut(fraction=0.5, target=2.0))
FLAT: Final = "50.00 50.10 49.90 50.00 10000"
"""A bar in which nothing rests anywhere near."""


def resting(plan: Mapping[str, Any] | None = None, *, quantity: int = 100, **parameters: float) -> Strategy:
    """The strategy: `plan` changes its exit plan, `parameters` its step's."""
    whole: dict[str, Any] = {
        "scale_outs": TARGETS,
        "target_on": TriggerOn.TOUCH,
        "exit_reasons": ExitReason.CUSTOM,
        **(plan or {}),
    }
    values: dict[str, float] = {"valid_bars": 3, "stop_distance": 1.0, **parameters}
    return replace(scripted(NAME, quantity=quantity, **values), exit_plan=ExitPlan(**whole))


def write_minutes(root: Path, bars: Mapping[int, str], last_minute: int) -> Path:
    """The tape of AAA, up to and with `last_minute`: `FLAT` where `bars` says nothing of a minute."""
    return write_tape(root, "\n".join(f"AAA {n} {bars.get(n, FLAT)}" for n in range(last_minute + 1)), DAY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sales:
    """What the exchange's own book has of a symbol: shares held, and what its open sales may still sell.

    `pairs` are the shares that a bracket's stop and its target have open, by the entry.
    """

    held: int
    stops: int
    exits: int
    pairs: tuple[tuple[int, int], ...]

    @property
    def offered(self) -> int:
        """Shares that may be sold: a stop and its target are for the same."""
        return self.stops + self.exits


def sales(path: Path, symbol: str = "AAA") -> Sales:
    """The open sales in the exchange's file, and what they are for."""
    with closing(sqlite3.connect(path)) as connection:
        held = connection.execute("SELECT quantity FROM holdings WHERE symbol = ?", (symbol,)).fetchone()
        rows = connection.execute(
            "SELECT type, parent, quantity - filled FROM orders "
            "WHERE symbol = ? AND side = 'sell' AND state IN ('acknowledged', 'partially_filled')",
            (symbol,),
        ).fetchall()
    stops = {parent: left for kind, parent, left in rows if kind == "stop" and parent is not None}
    targets = {parent: left for kind, parent, left in rows if kind == "limit"}
    return Sales(
        held=held[0] if held else 0,
        stops=sum(left for kind, _, left in rows if kind == "stop"),
        exits=sum(left for kind, _, left in rows if kind == "market"),
        pairs=tuple((stops.get(parent, 0), left) for parent, left in targets.items()),
    )
