"""One minute of the decision kernel from plain values, and what it decided as lines of text.

In a scene, amounts as text are dollars; every other number is as the record has it. What a scene does not say is an
ordinary holding of 100 shares at $10.00 with its stop at $9.00, or an ordinary entry at those prices.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trading_platform.config.settings import Limits
from trading_platform.domain.compiled import empty_records
from trading_platform.domain.decisions import DecisionKind, ExitCause, OrderShape, Rule, TradingMode, Verdict
from trading_platform.domain.money import dollars_from_units, units_from_dollars
from trading_platform.domain.records import book_t, decision_t, entry_t, plan_t, position_t, seen_t, strategy_t
from trading_platform.domain.signals import TargetIn, TriggerOn
from trading_platform.portfolio.kernel import DECISIONS_PER_HOLDING
from trading_platform.portfolio.kernel import decide as kernel_decide
from trading_platform.risk.limits import to_record

Values = dict[str, Any]
Decide = Callable[..., int]

NOW = 1_381_329_060
"""The end of the bar of minute 60, on 2013-10-09."""

BOOK: Values = {
    "minute": 60,
    "now": NOW,
    "session_minutes": 390,
    "cash": "100000",
    "open_equity": "100000",
    "peak_equity": "100000",
}
PLAN: Values = {
    "stop_on": TriggerOn.TOUCH,
    "target_in": TargetIn.R,
    "breakeven_after": -1,
    "flat_from": 388,
    "risk": 50,
}
HOLDING: Values = {
    "quantity": 100,
    "entry_quantity": 100,
    "entry_cost": "1000",
    "stop": "9.00",
    "resting_stop": 100,
    "filled_minute": 30,
    "valid_until": 30,
    "mark": "10.00",
    "highest_close": "10.00",
    "setup": 1,
    "ordered": 100,
    "entered_at": NOW - 1_800,
    "stop_orders": 1,
}
SEEN: Values = {"present": 1, "close": "10.00"}
ENTRY: Values = {
    "price": "10.00",
    "stop": "9.00",
    "valid_bars": 1,
    "setup": 1,
    "average_volume": 10_000_000,
    "bar_volume": 1_000_000,
}
SHAPES = OrderShape.MARKET | OrderShape.LIMIT | OrderShape.STOP | OrderShape.DAY | OrderShape.ATTACHED_STOP
"""What an ordinary venue takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What the kernel is given, as changes to the ordinary."""

    book: Values = field(default_factory=dict)
    limits: Values = field(default_factory=dict)
    plans: tuple[Values, ...] = ({},)
    strategies: tuple[Values, ...] = ()
    holdings: tuple[Values, ...] = ()
    seen: tuple[Values, ...] = ()
    entries: tuple[Values, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What the kernel wrote: each decision as a line, and the records."""

    lines: list[str]
    mode: TradingMode
    book: Any
    positions: Any
    decisions: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """The kernel's arguments, with the parts that are nested in them standing apart."""

    book: Any
    positions: Any
    seen: Any
    entries: Any
    plans: Any
    strategies: Any
    limits: Any

    def nest(self) -> None:
        """Put what stands apart here into the records that the kernel takes."""
        self.positions["seen"][: len(self.seen)] = self.seen
        self.plans["day"] = self.strategies
        self.book["limits"] = self.limits

    def decide(self, decide: Decide = kernel_decide) -> Decided:
        """Let `decide` decide on them, once."""
        room = len(self.positions) * DECISIONS_PER_HOLDING + len(self.entries)
        out = empty_records(room, decision_t)
        self.nest()
        count = decide(self.book, self.positions, self.entries, self.plans, out)
        return Decided(
            lines=[line(record) for record in out[:count]],
            mode=TradingMode(int(self.book[0]["mode"])),
            book=self.book[0],
            positions=self.positions[: self.book[0]["holdings"]],
            decisions=out[:count],
        )


def records(scene: Scene) -> Records:
    """The flat records of a scene."""
    limits = to_record(Limits(), SHAPES)
    put(limits[0], scene.limits)
    positions = empty_records(len(scene.holdings) + len(scene.entries), position_t)
    for record, changes in zip(positions, scene.holdings, strict=False):
        put(record, HOLDING, changes)
    book = empty_records(1, book_t)
    put(book[0], BOOK, {"holdings": len(scene.holdings)}, scene.book)
    return Records(
        book=book,
        positions=positions,
        seen=_array(seen_t, SEEN, scene.seen + ({},) * (len(scene.holdings) - len(scene.seen))),
        entries=_array(entry_t, ENTRY, scene.entries),
        plans=_array(plan_t, PLAN, scene.plans),
        strategies=_array(strategy_t, {}, scene.strategies + ({},) * (len(scene.plans) - len(scene.strategies))),
        limits=limits,
    )


def decided(scene: Scene, decide: Decide = kernel_decide) -> Decided:
    """What is decided in a scene."""
    return records(scene).decide(decide)


def put(record: Any, *changes: Values) -> None:
    """Write values into a record, later ones over earlier ones; text is dollars."""
    for some in changes:
        for name, value in some.items():
            if isinstance(value, tuple):
                record[name][: len(value)] = value
            else:
                record[name] = units_from_dollars(value) if isinstance(value, str) else value


def line(record: Any) -> str:
    """A decision as text: `exit 40 TARGET leg 1 resized REDUCE_ONLY 50/40`. A cancel can name the rule that wants it."""
    kind = DecisionKind(int(record["kind"]))
    words = [kind.name.lower(), str(record["quantity"])]
    if kind is DecisionKind.PROTECT and record["stop_price"]:
        words.append(f"at {dollars_from_units(record['stop_price']):.2f}")
    if kind is DecisionKind.EXIT:
        words.append(ExitCause(int(record["reason"])).name)
    if record["leg"]:
        words.append(f"leg {record['leg']}")
    verdict, rule = Verdict(int(record["verdict"])), Rule(int(record["rule"]))
    if verdict is not Verdict.APPROVED:
        words.append(verdict.name.lower())
    if rule is not Rule.NONE:
        words.append(f"{rule.name} {record['measure']}/{record['limit']}")
    return " ".join(words)


def _array(dtype: np.dtype[Any], ordinary: Values, changes: tuple[Values, ...]) -> Any:
    array = empty_records(len(changes), dtype)
    for record, some in zip(array, changes, strict=True):
        put(record, ordinary, some)
    return array
