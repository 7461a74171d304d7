"""One decision of the kernel, called from Python: beside an empty compiled call with the same arguments, and in bulk.

The empty call is the floor: what it costs to cross from Python into compiled code with these five record arrays. In
bulk one call decides many entries, as a minute of the whole market does.

    python benchmarks/kernel_decision.py

Goal: under a microsecond a decision.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

from trading_platform.config.settings import Limits
from trading_platform.domain.compiled import compiled, empty_records
from trading_platform.domain.decisions import OrderShape
from trading_platform.domain.records import (
    book_t,
    decision_t,
    entry_t,
    position_t,
)
from trading_platform.portfolio.kernel import DECISIONS_PER_HOLDING, decide
from trading_platform.risk.limits import to_record
from trading_platform.strategies.registry import load

MINUTE, SESSION_MINUTES = 60, 390
BULK, MOST_POSITIONS = 1_000, 5
ROUNDS, CALLS = 15, 20_000


@compiled
def empty_call(books: Any, positions: Any, entries: Any, plans: Any, out: Any) -> int:  # noqa: ARG001
    return entries.size


def arguments(entries: int, positions: int) -> tuple[Any, ...]:
    """A rich book, and proposed entries that are sized, gated and approved until the positions are used up."""
    from datetime import time as clock

    book = empty_records(1, book_t)
    book["minute"], book["session_minutes"], book["now"] = MINUTE, SESSION_MINUTES, 10**9
    book["cash"] = book["open_equity"] = 10**11
    proposed = empty_records(entries, entry_t)
    proposed["price"], proposed["stop"] = 500_000, 495_000
    proposed["symbol"] = range(entries)
    proposed["average_volume"], proposed["bar_volume"] = 10**9, 10**7
    book["limits"] = to_record(Limits(max_positions=MOST_POSITIONS), OrderShape(~0))[0]
    plan = load("vwap_reclaim").plan_record(session_minutes=SESSION_MINUTES, opens=clock(9, 30))
    held = empty_records(positions + entries, position_t)
    out = empty_records(positions * DECISIONS_PER_HOLDING + entries, decision_t)
    return book, held, proposed, plan, out


def empty(book: Any) -> None:
    """As before any decision: nothing held, nothing sent."""
    book["holdings"] = book["open_orders"] = book["mode"] = 0
    book["orders_second"] = book["orders_minute"] = book["orders_day"] = 0


def nanoseconds(call: Callable[..., int], given: tuple[Any, ...], calls: int) -> float:
    """The median round's time for one call; the book is emptied before each."""
    book = given[0][0]
    given[3]["day"]["orders"] = 0
    rounds = []
    for _ in range(ROUNDS):
        begun = time.perf_counter_ns()
        for _ in range(calls):
            empty(book)
            call(*given)
        whole = time.perf_counter_ns() - begun
        begun = time.perf_counter_ns()
        for _ in range(calls):
            empty(book)
        rounds.append((whole - (time.perf_counter_ns() - begun)) / calls)
    return statistics.median(rounds)


def main() -> None:
    one, many = arguments(1, 0), arguments(BULK, 0)
    for given in (one, many):
        assert decide(*given) == len(given[2])
        empty_call(*given)
    floor = nanoseconds(empty_call, one, CALLS)
    single = nanoseconds(decide, one, CALLS)
    bulk = nanoseconds(decide, many, CALLS // BULK + 5) / BULK
    print(f"empty compiled call          {floor:8.0f} ns")
    print(f"one call, one decision       {single:8.0f} ns   {single / floor:.2f} times the empty call")
    print(f"one call, {BULK:,} decisions   {bulk:8.0f} ns a decision")


if __name__ == "__main__":
    main()
