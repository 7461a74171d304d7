"""Targets that rest at the exchange (target_on touch), through the whole cycle, on tapes worked out by hand.

The book is that of `sessions.resting`: AAA, 100 shares decided on minute 1 at 50.00, with the stop at 49.00, in three
orders: 25 with the target 51.00 (1 R), 50 with the target 52.00 (2 R), and 25 with a stop alone. An entry at the open
of 50.00 pays 1 basis point and the cent: 50.01. A limit sale pays none, a stop at 49.00 brings 48.99. Orders take a
tenth of a bar's volume.

After every minute what may be sold at the exchange is what is held there, to the share: by its own book, not by ours.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest

from trading_platform.bootstrap import Platform
from trading_platform.brokers.broker import Broker, Capabilities
from trading_platform.brokers.paper import PaperExchange
from trading_platform.domain.decisions import DecisionKind, Rule, Verdict
from trading_platform.domain.orders import Answer, IntentKind, Order, OrderState, Side
from trading_platform.domain.reports import CycleReport
from trading_platform.ledger.ledger import Ledger
from trading_platform.orders.outbox import Outbox
from trading_platform.strategies.contract import ScaleOut, Strategy
from trading_platform_tests.sessions.books import (
    Book,
    go_on_until,
    pass_time,
    repeated_orders,
    run_until,
    with_parts,
)
from trading_platform_tests.sessions.resting import resting, sales, write_minutes
from trading_platform_tests.sessions.tape import DAY

Bars = Mapping[int, str]
LAST = 8


@pytest.fixture
def book(tmp_path: Path, fresh_database: Callable[[], str]) -> Callable[[Bars], Book]:
    """A book on the bars that a test gives."""
    url, numbers = fresh_database(), count(1)

    def make(bars: Bars) -> Book:
        name = f"b{next(numbers)}"
        folder = write_minutes(tmp_path / f"bars-{name}", bars, LAST)
        return Book(name=name, database_url=url, data_folder=tmp_path / name, bars=folder, symbols=("AAA",))

    return make


def lines(platform: Platform) -> list[str]:
    """Every fill: minute, side, quantity, price."""
    session = platform.calendar.session(DAY)
    return [
        f"{(fill.time - session.open).seconds // 60} {fill.side} {fill.quantity} {fill.price:.2f}"
        for fill in platform.ledger.fills()
    ]


def decided(reports: list[CycleReport]) -> list[str]:
    """Every decision: minute, kind, quantity, and why an exit."""
    return [
        f"{minute} {one.kind.name.lower()} {one.quantity}" + (f" {one.cause.name}" if one.cause else "")
        for minute, report in enumerate(reports)
        for one in report.decisions
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a session has come to."""

    fills: list[str]
    decisions: list[str]
    protected: list[tuple[int, int]]
    reports: list[CycleReport]


def run(book: Book, strategy: Strategy, last: int = LAST, **parts: Any) -> Ran:
    """Run the session, and hold the exchange's open sales against its holding after each minute."""
    reports: list[CycleReport] = []
    protected: list[tuple[int, int]] = []
    with book.open(strategies=(strategy,), **parts) as platform:
        for minute in range(last + 1):
            reports += run_until(platform, 0) if minute == 0 else go_on_until(platform, minute)
            seen = sales(book.exchange_file)
            assert seen.offered == seen.held, (minute, seen)
            assert all(stop == target for stop, target in seen.pairs), (minute, seen)
            protected.append((seen.held, sum(target for _, target in seen.pairs)))
        assert not any(report.reconciled.breaks for report in reports)
        assert not repeated_orders(book.exchange_file)
        return Ran(fills=lines(platform), decisions=decided(reports), protected=protected, reports=reports)


# ---- what the plan does -------------------------------------------------------------------------------------------


def test_each_target_sells_its_leg_where_it_is_touched_and_the_stop_the_rest(book: Callable[[Bars], Book]) -> None:
    bars = {
        2: "50.00 50.60 49.90 50.50 10000",
        3: "50.50 51.00 50.40 50.60 10000",  # touches 51.00 exactly, and closes below it
        4: "52.20 52.30 51.90 52.00 10000",  # a gap over 52.00: the open is better
        5: "51.00 51.00 49.01 49.50 10000",
        6: "49.20 49.30 48.80 49.10 10000",
    }
    ran = run(book(bars), resting())
    assert ran.fills == [
        "2 buy 25 50.01",
        "2 buy 50 50.01",
        "2 buy 25 50.01",
        "3 sell 25 51.00",
        "4 sell 50 52.20",
        "6 sell 25 48.99",
    ]
    assert ran.decisions == ["1 enter 100"]
    assert ran.protected == [(0, 0), (0, 0), (100, 75), (75, 50), (25, 0), (25, 0), (0, 0), (0, 0), (0, 0)]


def test_a_cent_below_the_target_sells_nothing(book: Callable[[Bars], Book]) -> None:
    ran = run(book({3: "50.50 50.99 50.40 50.60 10000"}), resting())
    assert len(ran.fills) == 3
    assert ran.protected[-1] == (100, 75)


def test_of_a_stop_and_a_target_in_one_bar_the_stop_is_first(book: Callable[[Bars], Book]) -> None:
    ran = run(book({3: "50.00 52.50 48.50 50.00 10000"}), resting())
    assert ran.fills[3:] == ["3 sell 25 48.99", "3 sell 50 48.99", "3 sell 25 48.99"]
    assert ran.protected[3] == (0, 0)


def test_a_target_does_not_sell_what_its_own_bar_has_bought(book: Callable[[Bars], Book]) -> None:
    ran = run(book({2: "50.00 51.50 49.90 50.50 10000"}), resting())
    assert len(ran.fills) == 3


def test_the_target_is_measured_from_the_decision_and_not_from_the_fill(book: Callable[[Bars], Book]) -> None:
    bars = {2: "50.40 50.60 50.30 50.50 10000", 3: "50.50 51.00 50.40 50.60 10000"}
    ran = run(book(bars), resting())
    # Filled at 50.41: 1 R of the fill would be 51.82.
    assert ran.fills[3] == "3 sell 25 51.00"


def test_break_even_goes_by_what_a_target_has_sold(book: Callable[[Bars], Book]) -> None:
    bars = {
        3: "50.50 51.00 50.40 50.60 10000",
        4: "50.60 50.70 50.20 50.30 10000",
        5: "50.30 50.40 49.90 50.01 10000",
    }
    ran = run(book(bars), resting({"breakeven_after": 1}))
    # The average is 50.01, and the close of minute 5 is not above it.
    assert ran.decisions == ["1 enter 100", "5 protect 0", "5 exit 75 BREAK_EVEN"]
    assert ran.fills[3:] == ["3 sell 25 51.00", "6 sell 75 49.99"]
    calm = run(book({5: bars[5]}), resting({"breakeven_after": 1}))
    assert calm.decisions == ["1 enter 100"]


def test_an_exit_by_reason_frees_the_shares_of_every_pair_first(book: Callable[[Bars], Book]) -> None:
    bars = {3: "50.50 51.00 50.40 50.60 10000", 5: "50.00 60.00 49.90 50.00 10000"}
    ran = run(book(bars), resting(leave=4))
    assert ran.decisions == ["1 enter 100", "4 protect 0", "4 exit 75 STEP"]
    # Both targets are gone when minute 5 goes through them.
    assert ran.fills[3:] == ["3 sell 25 51.00", "5 sell 75 49.99"]


def test_the_clock_sells_what_no_target_has(book: Callable[[Bars], Book]) -> None:
    ran = run(book({3: "50.50 51.00 50.40 50.60 10000"}), resting({"time_stop": 4, "time_stop_progress": 1.5}))
    assert ran.decisions == ["1 enter 100", "6 protect 0", "6 exit 75 TIME_STOP"]


def test_a_plan_that_sells_all_by_targets_has_no_order_beside_them(book: Callable[[Bars], Book]) -> None:
    halves = (ScaleOut(fraction=0.5, target=1.0), ScaleOut(fraction=0.5, target=2.0))
    bars = {3: "50.50 52.50 50.40 52.10 10000"}
    ran = run(book(bars), resting({"scale_outs": halves}, quantity=101))
    assert ran.fills == ["2 buy 50 50.01", "2 buy 51 50.01", "3 sell 50 51.00", "3 sell 51 52.00"]


# ---- fills in part ------------------------------------------------------------------------------------------------

TRICKLE: Bars = {
    2: "50.00 50.10 49.90 50.00 300",  # 30: the first leg whole, five of the second
    3: "50.00 51.00 49.90 50.50 400",  # the first target sells its 25; then 15 more are bought
    4: "50.50 52.00 50.40 51.00 100",  # the second target sells 10 of the 20 that its leg has
    5: "51.00 52.10 50.90 52.00 50",  # and five more; the rest of the entry was cancelled on minute 4
    6: "51.00 51.00 48.90 49.00 10000",  # the stop sells the last five
}
TRICKLED = [
    "2 buy 25 50.01",
    "2 buy 5 50.01",
    "3 buy 15 50.01",
    "3 sell 25 51.00",
    "4 sell 10 52.00",
    "5 sell 5 52.00",
    "6 sell 5 48.99",
]


def test_targets_follow_the_fills_of_their_entry_and_stops_those_of_their_targets(book: Callable[[Bars], Book]) -> None:
    ran = run(book(TRICKLE), resting())
    assert ran.fills == TRICKLED
    assert ran.decisions == ["1 enter 100", "4 cancel_entry 55"]
    assert ran.protected == [(0, 0), (0, 0), (30, 30), (20, 20), (10, 10), (5, 5), (0, 0), (0, 0), (0, 0)]


def test_an_exit_while_its_entry_still_fills_cancels_every_leg(book: Callable[[Bars], Book]) -> None:
    ran = run(book(TRICKLE), resting(leave=3))
    assert ran.decisions == ["1 enter 100", "3 cancel_entry 55", "3 protect 0", "3 exit 20 STEP"]
    assert ran.fills[4:] == ["4 sell 10 50.49", "5 sell 5 50.99", "6 sell 5 50.99"]


@pytest.mark.parametrize("follow", [True, False])
def test_where_legs_wait_for_the_whole_entry_what_has_filled_in_part_is_ended_at_once(
    book: Callable[[Bars], Book], *, follow: bool
) -> None:
    with book(TRICKLE).open(strategies=(resting(),)) as platform:
        reports = run_until(on(platform, Narrow(platform.broker, legs_follow_fills=follow)), 3)
        assert decided(reports) == ["1 enter 100", *([] if follow else ["2 cancel_entry 70"])]


# ---- what is lost, refused or in the way ---------------------------------------------------------------------------


def test_a_stop_that_was_lost_comes_back_without_its_target(book: Callable[[Bars], Book]) -> None:
    made = book({5: "51.00 53.00 50.90 52.00 10000"})
    with made.open(strategies=(resting(),)) as platform:
        run_until(platform, 2)
        (stop,) = (
            one.intent
            for one in platform.ledger.orders(DAY)
            if (one.intent.kind, one.intent.leg) == (IntentKind.STOP, 1)
        )
        platform.broker.cancel(stop.id, platform.clock.now())
        assert sales(made.exchange_file).offered == 50
        reports = go_on_until(platform, 3)
        assert [(one.kind, one.quantity) for one in reports[0].decisions] == [(DecisionKind.PROTECT, 100)]
        seen = sales(made.exchange_file)
        assert (seen.held, seen.offered, sum(target for _, target in seen.pairs)) == (100, 100, 25)
        go_on_until(platform, LAST)
        # The target that is left sells its leg; what lost its own stays with its stop.
        assert lines(platform)[3:] == ["5 sell 25 51.00"]
        seen = sales(made.exchange_file)
        assert (seen.held, seen.offered) == (75, 75)


def on(platform: Platform, venue: Any) -> Platform:
    """The platform with another broker in place of its own."""
    return with_parts(platform, broker=cast("Broker", venue))


class Narrow:
    """The paper exchange, which says that it can do less than it does."""

    def __init__(self, whole: Broker, **less: bool) -> None:
        self._whole, self._less = whole, less

    @property
    def capabilities(self) -> Capabilities:
        less: Capabilities = replace(self._whole.capabilities, **self._less)  # type: ignore[arg-type]  # flags alone
        return less

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)


@pytest.mark.parametrize("less", [{"brackets": False}, {"attached_stops": False, "brackets": False}])
def test_a_venue_without_brackets_refuses_the_entry(book: Callable[[Bars], Book], less: dict[str, bool]) -> None:
    with book({}).open(strategies=(resting(),)) as platform:
        reports = run_until(on(platform, Narrow(platform.broker, **less)), 1)
        (entry,) = reports[1].decisions
        assert (entry.verdict, entry.rule) == (Verdict.REFUSED, Rule.ORDER_SHAPE)


class Hasty(Narrow):
    """The paper exchange, at which a minute passes between the look of minute 3 and the first change after it."""

    def __init__(self, platform: Platform) -> None:
        super().__init__(platform.broker)
        self._platform = platform
        self.exits: list[tuple[int, int]] = []

    def reduce(self, intent_id: str, quantity: int, _deadline: datetime) -> Answer:
        if not self.exits:
            pass_time(self._platform, 4)
        return self._whole.reduce(intent_id, quantity, self._platform.clock.now() + timedelta(seconds=4))

    def submit(self, order: Order, deadline: datetime) -> Answer:
        if order.side is Side.SELL:
            self.exits.append((order.quantity, self._whole.positions().get("AAA", 0)))
        return self._whole.submit(order, deadline)


def hurried(book: Book) -> list[tuple[int, int]]:
    """The sales that leave, each with the shares held then: the first target sells behind the back of minute 3."""
    with book.open(strategies=(resting(leave=3),)) as platform:
        venue = Hasty(platform)
        run_until(on(platform, venue), LAST)
        return venue.exits


SOLD_BEHIND: Bars = {4: "50.50 51.00 50.40 50.60 10000"}


def test_a_target_that_sells_between_the_look_and_the_call_holds_the_exit_back_by_a_minute(
    book: Callable[[Bars], Book],
) -> None:
    made = book(SOLD_BEHIND)
    assert hurried(made) == [(75, 75)]
    assert sales(made.exchange_file).held == 0


def test_control_without_that_look_more_leaves_than_is_held(
    book: Callable[[Bars], Book], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Outbox, "_are_booked", lambda *_: True)
    assert hurried(book(SOLD_BEHIND))[0] == (100, 75)


def test_an_entry_counts_once_however_many_orders_it_is_sent_as(book: Callable[[Bars], Book]) -> None:
    with book({}).open(strategies=(resting({"attempts": 2}),)) as platform:
        run_until(platform, 2)
        assert platform.ledger.filled_entries(DAY) == {("first", "AAA"): 1}
        assert platform.ledger.entries_sent(DAY) == {("first", "AAA"): 1}
        assert platform.ledger.disabled(2, None) == frozenset()
        assert sum(platform.ledger.orders_sent(DAY).values()) == 3


# ---- a crash between any two commits ------------------------------------------------------------------------------


class Crash(BaseException):
    """Stands for the end of the process: nothing catches it."""


class Commits:
    """Counts what is committed in the ledger and at the exchange, and ends the process before the n-th of them."""

    def __init__(self, at: int = 0) -> None:
        self.passed, self._at = 0, at

    def step(self) -> None:
        self.passed += 1
        if self.passed == self._at:
            raise Crash


@contextmanager
def crashing(monkeypatch: pytest.MonkeyPatch, commits: Commits) -> Iterator[None]:
    with monkeypatch.context() as patch:
        for home, names in (
            (Ledger, ("record_cycle", "note_sending", "append_events", "book_executions")),
            (PaperExchange, ("submit", "cancel", "reduce")),
        ):
            for name in names:
                patch.setattr(home, name, _stepping(getattr(home, name), commits))
        yield


def _stepping(whole: Callable[..., Any], commits: Commits) -> Callable[..., Any]:
    def call(*given: Any, **named: Any) -> Any:
        # Without events there is nothing to commit.
        if given[1:2] != ([],):
            commits.step()
        return whole(*given, **named)

    return call


@pytest.mark.parametrize("leave", [-1, 3])
def test_a_crash_between_any_two_commits_changes_no_trade_and_oversells_nothing(
    book: Callable[[Bars], Book], monkeypatch: pytest.MonkeyPatch, leave: int
) -> None:
    strategy, last = resting(leave=leave), 6
    calm, commits = book(TRICKLE), Commits()
    with crashing(monkeypatch, commits):
        wanted = run(calm, strategy, last)
    assert commits.passed > 20
    for at in range(1, commits.passed + 1):
        made = replace(book(TRICKLE), bars=calm.bars)
        with pytest.raises(Crash), crashing(monkeypatch, Commits(at)), made.open(strategies=(strategy,)) as platform:
            run_until(platform, last)
        seen = sales(made.exchange_file)
        assert seen.offered <= seen.held, at
        assert all(stop == target for stop, target in seen.pairs), at
        with made.open(strategies=(strategy,)) as platform:
            reports = run_until(platform, last)
            seen = sales(made.exchange_file)
            assert seen.offered == seen.held, at
            assert lines(platform) == wanted.fills, at
            assert not any(report.reconciled.breaks for report in reports), at
            assert not repeated_orders(made.exchange_file), at
            assert not any(one.state is OrderState.UNKNOWN for one in platform.ledger.orders(DAY)), at
