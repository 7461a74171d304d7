"""A backtest and a paper session over the same bars: the same decisions, orders, fills and cents, minute by minute.

Run as a script in a process that runs uncompiled, this file prints digests of what the pass did over many random trials:
as it is, and with a line of it changed, which must be seen to differ.
"""

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pytest

from trading_platform.backtest import buffers
from trading_platform.domain.decisions import DecisionKind, ExitCause, Rule, TradingMode, Verdict
from trading_platform.domain.orders import IntentKind
from trading_platform.strategies.column_scan import scan_entries
from trading_platform_tests.factories.changed_pass import changed_pass
from trading_platform_tests.factories.guards import Guard, without_guards
from trading_platform_tests.sessions import backtests
from trading_platform_tests.sessions.backtests import Course, by_pass, difference, on_paper
from trading_platform_tests.sessions.random_trials import random_trial

SEEDS: Final = (2, 6, 9, 19, 24, 47, 48, 55, 114, 245)
"""Few trials that show everything; the last test of this part says what that is."""

CHANGES: Final = {
    "fee": Guard(module="backtest.loop.lives", source="fill.quantity * order.reference", without="fill.quantity * 0"),
    "cash": Guard(
        module="backtest.loop.lives",
        source="book.cash -= order.side * value + fee",
        without="book.cash -= order.side * value",
    ),
    "mark": Guard(
        module="backtest.loop.minutes",
        source="        listing.mark = price_from_float(close)\n",
        without="        listing.mark = listing.mark or price_from_float(close)\n",
    ),
    "order of arrival": Guard(
        module="backtest.loop.venue",
        source="        orders[listing.last_order - 1].next = place\n",
        without="        orders[place - 1].next, listing.order = listing.order, place\n        place = listing.order\n",
    ),
    "eligible at once": Guard(
        module="backtest.loop.dispatch", source="60 * (state.minute + 1)", without="60 * (state.minute + 2)"
    ),
    "purchases first": Guard(
        module="backtest.loop.lives",
        source="if order.side != BUY and not _book_sale(fills[k], order, lives, sources):",
        without="if order.side != BUY and fill.order > 0 and not _book_sale(fills[k], order, lives, sources):",
    ),
    "attempts": Guard(
        module="backtest.loop.lives", source="pairs[life.strategy, life.symbol].attempts += 1", without="pass"
    ),
    "the close ends orders": Guard(
        module="backtest.loop.minutes", source="if state.minute == state.minutes - 1:", without="if False:"
    ),
    "the next close": Guard(
        module="backtest.loop.quiet",
        source="closes[bar] <= bottom or closes[bar] >= top",
        without="closes[bar] >= top",
    ),
    "the clock": Guard(
        module="backtest.loop.quiet",
        source="until = min(until, _next_by_clock(state.minute, life, plan))",
        without="pass",
    ),
    "what rests": Guard(module="backtest.loop.quiet", source="if listing.order != 0:", without="if False:"),
    "reasons": Guard(
        module="backtest.loop.quiet", source="if source.muted == 0 and source.exits >= 0:", without="if False:"
    ),
    "trailing": Guard(
        module="backtest.loop.quiet",
        source="if source.muted == 0 and source.levels >= 0 and trails(life, plan):",
        without="if False:",
    ),
    "what is at rest is worth": Guard(
        module="backtest.loop.quiet", source="worth[minute] += shares * mark", without="worth[minute] += 0"
    ),
    "highest close": Guard(
        module="backtest.loop.quiet",
        source="life.highest_close = max(life.highest_close, listing.quiet_high)",
        without="pass",
    ),
    "lowest equity": Guard(
        module="backtest.loop.minutes",
        source="if equity < state.worst_equity or equity > book.peak_equity:",
        without="if equity > book.peak_equity:",
    ),
    "refused at the venue": Guard(
        module="backtest.loop.dispatch",
        source="taken = can_afford(shares, price, book, state)",
        without="taken = True",
    ),
}
"""What is changed, and how, each time a line that only this pass has and the paper session does otherwise."""


@pytest.mark.parametrize("seed", SEEDS)
def test_a_backtest_does_what_paper_sessions_do(seed: int, tmp_path: Path, fresh_database: Callable[[], str]) -> None:
    trial = random_trial(seed, tmp_path / "bars")
    assert difference(on_paper(trial, tmp_path / "data", fresh_database()), by_pass(trial)) == ""


@pytest.mark.parametrize("seed", SEEDS)
def test_sessions_in_blocks_are_sessions_in_one_go(seed: int, tmp_path: Path) -> None:
    trial = random_trial(seed, tmp_path)
    whole = by_pass(trial)
    assert difference(whole, by_pass(trial, (1,) * len(trial.days))) == ""
    assert difference(whole, by_pass(trial, (1, len(trial.days) - 1))) == ""


@pytest.mark.parametrize("seed", SEEDS)
def test_little_room_gives_the_same(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = random_trial(seed, tmp_path)
    whole = by_pass(trial)
    monkeypatch.setattr(buffers, "_FIRST_ROOM", 1)
    monkeypatch.setattr(buffers, "_ORDERS_A_LIFE", 1)
    monkeypatch.setattr(buffers, "_TOLD_A_LIFE", 1)
    assert difference(whole, by_pass(trial)) == ""


@pytest.mark.parametrize("seed", SEEDS)
def test_signals_in_grids_give_the_same(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = random_trial(seed, tmp_path)
    whole = by_pass(trial)
    monkeypatch.setattr(backtests, "scan_columns", scan_entries)
    assert difference(whole, by_pass(trial)) == ""


def test_the_trials_show_the_pass_all_that_it_can_do(tmp_path: Path) -> None:
    told: Counter[str] = Counter()
    for seed in SEEDS:
        trial = random_trial(seed, tmp_path / str(seed))
        course = by_pass(trial)
        told.update(_features(course))
    expected = [*DecisionKind, *Verdict, *TradingMode, *ExitCause]
    expected += [one for one in Rule if one not in _NOT_IN_A_BACKTEST]
    names = [repr(one) for one in expected]
    names += [f"{kind.value} filled" for kind in _FILLED] + [f"{kind.value} refused" for kind in _REFUSED]
    names += ["carried", "in pieces", "cancel", "reduce"]
    assert [name for name in names if told[name] == 0] == []


_NOT_IN_A_BACKTEST: Final = (
    # Nothing of these can be wrong where ledger and broker are one, bars come in time, and there is one clock.
    Rule.RECONCILIATION,
    Rule.CLOCK_SKEW,
    Rule.REFERENCE,
    # Whoever prices and sizes orders puts them on the tick and into whole lots.
    Rule.ORDER_SHAPE,
)
_FILLED: Final = (IntentKind.ENTRY, IntentKind.EXIT, IntentKind.STOP, IntentKind.TARGET)
_REFUSED: Final = (IntentKind.ENTRY, IntentKind.STOP, IntentKind.TARGET)


def _features(course: Course) -> list[str]:
    found = []
    for decision in course.decisions:
        kind, cause = DecisionKind[decision[3]], decision[5]
        found += [repr(kind), repr(Verdict(decision[6])), repr(Rule(decision[7]))]
        found += [repr(ExitCause(cause))] if kind is DecisionKind.EXIT else []
    for order in course.orders:
        found += [f"{order[3]} refused"] if order[-1] else [order[3]]
    for execution in course.executions:
        found.append(f"{execution[3]} filled")
    entries = Counter((row[0], row[1], row[2]) for row in course.executions if row[3] == "entry")
    bars: dict[tuple[int, int], list[int]] = {}
    for bar, strategy, symbol in entries:
        bars.setdefault((strategy, symbol), []).append(bar)
    found += ["in pieces" for some in bars.values() for one, other in pairwise(some) if other == one + 1]
    ends = {minute[0] // 390: minute for minute in course.minutes}
    found += ["carried" for minute in ends.values() if minute[1] != minute[2]]
    return found + [repr(TradingMode(minute[-1])) for minute in course.minutes]


# ---- controls -----------------------------------------------------------------------------------------------------


def digest(course: Course) -> str:
    plain = [course.decisions, course.orders, course.executions, course.minutes]
    return hashlib.sha256(json.dumps(plain).encode()).hexdigest()


def digests(folder: Path, *changes: Guard) -> list[str]:
    """A digest of each trial, with these lines changed; what goes wrong altogether has one of its own."""
    told = []
    for seed in SEEDS:
        trial = random_trial(seed, folder / str(seed))
        if not changes:
            told.append(digest(by_pass(trial)))
            continue
        with changed_pass(*changes):
            try:
                told.append(digest(by_pass(trial)))
            except Exception as error:  # noqa: BLE001 (whatever a changed line brings about)
                told.append(type(error).__name__)
    return told


@pytest.fixture(scope="module")
def uncompiled() -> dict[str, Any]:
    return without_guards(__file__)


def test_compiled_and_uncompiled_do_the_same(uncompiled: dict[str, Any], tmp_path: Path) -> None:
    assert digests(tmp_path) == uncompiled["whole"]


@pytest.mark.parametrize("name", CHANGES)
def test_control_a_changed_line_is_found(name: str, uncompiled: dict[str, Any]) -> None:
    assert uncompiled[name] != uncompiled["whole"]


def test_control_a_paper_session_with_other_fees_is_found(tmp_path: Path, fresh_database: Callable[[], str]) -> None:
    trial = random_trial(0, tmp_path / "bars")
    fees = "alpaca" if trial.execution["fees"] == "ibkr_fixed" else "ibkr_fixed"
    other = replace(trial, execution={**trial.execution, "fees": fees})
    assert difference(on_paper(trial, tmp_path / "data", fresh_database()), by_pass(other)) != ""


if __name__ == "__main__":
    with TemporaryDirectory() as made:
        results = {"whole": digests(Path(made))}
        results |= {name: digests(Path(made), change) for name, change in CHANGES.items()}
    print(json.dumps(results), file=sys.stdout)  # noqa: T201 (read by the tests above)
