"""A person's commands on a book that trades: halt, cancel all, close all, accept; and what is never sent twice by them.

The paper exchange's own book is the witness. What stands when they are given is in `sessions.emergency`.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Literal

import pytest

from trading_platform.domain.commands import CommandAction
from trading_platform.domain.decisions import DecisionKind, Rule, Verdict
from trading_platform.domain.errors import InvalidInput, PermanentError
from trading_platform.domain.orders import (
    IntentKind,
    Order,
    OrderState,
    OrderStatus,
    OrderType,
    Side,
)
from trading_platform.domain.reports import Subject
from trading_platform.engine import emergencies
from trading_platform.orders import clearing, reconcile
from trading_platform.orders.reconcile import Reconciler
from trading_platform.orders.standing import Standing, halted_by, standing
from trading_platform_tests.sessions.books import (
    Book,
    pass_time,
)
from trading_platform_tests.sessions.emergency import HELD, IN_FLIGHT, Desk, Killed, desks
from trading_platform_tests.sessions.scripted import scripted
from trading_platform_tests.sessions.tape import DAY, TAPE, write_tape


@pytest.fixture
def traded(tmp_path: Path, fresh_database: Callable[[], str]) -> Iterator[Callable[[int], Desk]]:
    """Makes the desk of a book that has traded the tape up to a minute."""
    with desks(tmp_path, fresh_database()) as make:
        yield make


@pytest.fixture
def desk(traded: Callable[[int], Desk]) -> Desk:
    return traded(3)


def rounds(count: int) -> Callable[..., bool]:
    """True so many times."""
    left = iter(range(count))
    return lambda *_: next(left, None) is not None


def exits(desk: Desk) -> list[OrderStatus]:
    return [one for one in desk.platform.ledger.orders() if one.intent.kind is IntentKind.EXIT]


# Close all.


def test_everything_is_cancelled_then_sold_and_the_exchange_shows_it(desk: Desk) -> None:
    assert desk.held == HELD
    outcome = desk.close_all()
    assert (outcome.obeyed_by, outcome.breaks, outcome.away) == (None, (), ())
    desk.require_flat()
    # What the cycle was selling is not sold again.
    assert desk.sold == {"AAA": HELD["AAA"], "BBB": HELD["BBB"] - IN_FLIGHT}
    (command,) = desk.platform.ledger.commands()
    assert (command.who, command.reason, command.session) == ("ada", "fire", DAY)
    assert standing(desk.platform.ledger, DAY).commands == ()


def test_without_the_look_at_open_sales_more_would_go_out_than_is_held(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The control of what is seen above: the exchange refuses to sell short, so that it is seen in what was sent.
    monkeypatch.setattr(Standing, "exiting", lambda *_: 0)
    monkeypatch.setattr(clearing, "_on_sale", lambda *_: 0)
    with pytest.raises(PermanentError):
        desk.close_all(pause=lambda _: False)
    assert desk.sold["BBB"] + IN_FLIGHT > HELD["BBB"]


def test_nothing_is_sold_before_the_resting_orders_are_gone(desk: Desk) -> None:
    order: list[str] = []
    watched = desk.line
    cancel, submit = watched.cancel, watched.submit
    watched.cancel = lambda *given: order.append("cancel") or cancel(*given)  # type: ignore[func-returns-value,method-assign]
    watched.submit = lambda *given: order.append("submit") or submit(*given)  # type: ignore[func-returns-value,method-assign]
    desk.close_all()
    assert order == ["cancel"] * 3 + ["submit"] * 2


def test_what_is_held_of_no_strategy_of_this_session_is_sold_too(desk: Desk) -> None:
    restarted = desk.restarted(strategies=(scripted("other", minute=300),), symbols=("AAA",))
    restarted.close_all()
    restarted.require_flat()


def test_it_is_obeyed_by_the_owners_cycles(desk: Desk) -> None:
    desk.record(CommandAction.CLOSE_ALL)
    desk.record(CommandAction.CANCEL_ALL)
    report = desk.cycle()
    # What is on sale already is the sale that the second command finds open, so that it goes out again.
    assert {one.kind for one in report.decisions} <= {DecisionKind.EXIT}
    while desk.held:
        desk.cycle()
    desk.require_flat()
    assert standing(desk.platform.ledger, DAY).commands == ()


def test_a_command_that_is_done_leaves_alone_what_comes_later(desk: Desk) -> None:
    desk.close_all()
    again = desk.restarted(strategies=(scripted("later", minute=6, cheapest=30, stop_distance=20),))
    while (minute := again.platform.simulated_session(DAY).next_minute()) is not None and minute < 9:
        again.cycle()
    assert again.held == {"AAA": 100}
    assert (IntentKind.STOP, "AAA") in again.open_kinds()


def test_nothing_is_entered_before_it_is_done_and_afterwards_a_halt_keeps_entries_away(desk: Desk) -> None:
    eager = desk.restarted(strategies=(scripted("eager", minute=4, again=1, stop_distance=20),))
    eager.line.refuses = True
    command = eager.record(CommandAction.CLOSE_ALL)
    report = eager.cycle()
    entries = [one for one in report.decisions if one.kind is DecisionKind.ENTER]
    assert {(one.verdict, one.rule) for one in entries} == {(Verdict.REFUSED, Rule.SESSION_WINDOW)}
    assert [one.id for one in standing(eager.platform.ledger, DAY).commands] == [command.id]
    eager.line.refuses = False
    emergencies.halt(eager.platform.ledger, eager.platform.clock, who="ada", reason="enough")
    eager.close_all()
    eager.require_flat()
    assert {one.rule for one in eager.cycle().decisions} == {Rule.SESSION_WINDOW}
    emergencies.resume(eager.platform.ledger, eager.platform.clock, who="ada", reason="again")
    assert {one.verdict for one in eager.cycle().decisions} == {Verdict.APPROVED}


# Never twice.


def test_two_persons_at_the_same_moment_make_one_sale_of_each_holding(desk: Desk) -> None:
    other = desk.restarted()
    answers: list[emergencies.Outcome] = []

    def second(left: tuple[str, ...]) -> bool:
        # Between two looks of the first the second has the book.
        if not answers:
            answers.append(other.close_all(who="bob"))
        return bool(left)

    first = desk.close_all(pause=second)
    assert first.command.id < answers[0].command.id
    other.require_flat()
    assert desk.sold + other.sold == {"AAA": HELD["AAA"], "BBB": HELD["BBB"] - IN_FLIGHT}


def test_who_finds_the_book_in_another_process_is_told_and_that_one_obeys(desk: Desk) -> None:
    with desk.platform.ledger.take("job/elsewhere"):
        outcome = desk.close_all()
    assert outcome.obeyed_by is not None
    assert "job/elsewhere" in outcome.obeyed_by
    assert desk.line.submitted == []
    # The second call finds the first command, and its names: both are done by one sale of each.
    again = desk.close_all()
    assert again.command.id > outcome.command.id
    desk.require_flat()
    assert len(exits(desk)) == 3


@pytest.mark.parametrize("what", ["submit", "cancel"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_in_the_middle_and_a_second_call_send_nothing_twice(
    desk: Desk, when: Literal["before", "after"], what: Literal["submit", "cancel"]
) -> None:
    desk.line.dies = (when, what)
    with pytest.raises(Killed):
        desk.close_all()
    again = desk.restarted()
    again.close_all(who="bob")
    again.require_flat()
    assert desk.sold + again.sold == {"AAA": HELD["AAA"], "BBB": HELD["BBB"] - IN_FLIGHT}


def test_with_names_of_its_own_for_each_call_and_no_look_at_what_is_open_the_second_call_doubles(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The control of the test above.
    desk.line.dies = ("after", "submit")
    with pytest.raises(Killed):
        desk.close_all()
    again = desk.restarted()
    monkeypatch.setattr(Standing, "exiting", lambda *_: 0)
    monkeypatch.setattr(clearing, "_on_sale", lambda *_: 0)
    monkeypatch.setattr(Standing, "selling", lambda self, _: self.commands[-1:])
    with pytest.raises(PermanentError):
        again.close_all(who="bob", pause=lambda _: False)
    sent = desk.sold + again.sold
    assert sent["AAA"] > HELD["AAA"] or sent["BBB"] + IN_FLIGHT > HELD["BBB"]


def test_a_sale_without_an_answer_is_not_sold_again_until_its_outcome_is_known(desk: Desk) -> None:
    desk.line.loses, desk.line.loses_sight = "answer", "AAA"
    with pytest.raises(PermanentError, match="250 of them are on sale"):
        desk.close_all(pause=lambda _: False)
    with pytest.raises(PermanentError):
        desk.close_all(pause=lambda _: False)
    assert desk.sold == {"AAA": HELD["AAA"], "BBB": HELD["BBB"] - IN_FLIGHT}
    desk.line.loses, desk.line.loses_sight, desk.line.blind = None, "", False
    desk.close_all()
    desk.require_flat()
    assert desk.sold == {"AAA": HELD["AAA"], "BBB": HELD["BBB"] - IN_FLIGHT}


def test_a_sale_that_never_arrived_is_sold_by_the_next_attempt(desk: Desk) -> None:
    desk.line.loses = "request"
    with pytest.raises(PermanentError):
        desk.close_all(pause=lambda _: False)
    desk.line.loses = None
    desk.close_all()
    desk.require_flat()
    made = [one for one in exits(desk) if one.intent.symbol == "AAA"]
    assert [(one.intent.attempt, one.state) for one in made] == [(0, OrderState.REJECTED), (1, OrderState.FILLED)]


def test_a_refused_sale_is_tried_a_few_times_and_a_newer_command_tries_again(desk: Desk) -> None:
    desk.line.refuses = True
    with pytest.raises(PermanentError, match=r"timed_entry holds 250 AAA \(the broker refuses: the shares are lent\)"):
        desk.close_all(pause=rounds(8))
    assert desk.sold["AAA"] == clearing.ATTEMPTS * HELD["AAA"]
    desk.line.refuses = False
    desk.close_all()
    desk.require_flat()


# What the broker shows otherwise.


def test_what_only_the_broker_holds_is_told_and_not_sold(desk: Desk) -> None:
    desk.line.more = {"AAA": 5, "ZZZ": 7}
    outcome = desk.close_all()
    assert {(one.symbol, one.difference) for one in outcome.breaks} == {("AAA", Decimal(5)), ("ZZZ", Decimal(7))}
    assert desk.sold["AAA"] == HELD["AAA"]
    desk.require_flat()


def test_no_more_is_sold_than_the_broker_shows(desk: Desk) -> None:
    desk.line.more = {"AAA": -50}
    minute = rounds(2)
    with pytest.raises(PermanentError, match=r"timed_entry holds 50 AAA \(paper shows nothing more of it to sell\)"):
        desk.close_all(pause=lambda left: minute() and desk.minutes(left))
    assert desk.sold["AAA"] == HELD["AAA"] - 50


def test_without_the_look_at_what_the_broker_shows_all_that_the_ledger_has_is_sold(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The control.
    desk.line.more = {"AAA": -50}
    everything = clearing._Shown(held=Counter(AAA=1000, BBB=1000), working=())
    monkeypatch.setattr(clearing.Clearing, "_shown", lambda *_: everything)
    desk.close_all(pause=desk.minutes)
    assert desk.sold["AAA"] == HELD["AAA"]


def test_an_order_that_only_the_broker_works_holds_back_the_sale_in_its_symbol(desk: Desk) -> None:
    order = Order(
        intent_id="stray", symbol="AAA", side=Side.BUY, type=OrderType.LIMIT, quantity=10, limit_price=Decimal(1)
    )
    desk.platform.broker.submit(order, desk.platform.clock.now())
    with pytest.raises(PermanentError, match="the order stray works in it at the broker and not in the ledger"):
        desk.close_all(pause=lambda _: False)
    assert "AAA" not in desk.sold
    desk.platform.broker.cancel("stray", desk.platform.clock.now())
    desk.close_all()
    desk.require_flat()


def test_a_broker_that_does_not_answer_is_waited_for(desk: Desk) -> None:
    desk.line.down = True
    with pytest.raises(PermanentError, match="not everything is done"):
        desk.close_all(pause=lambda _: False)
    desk.line.down = False
    desk.close_all()
    desk.require_flat()


# Hours.


@pytest.mark.parametrize(("minute", "opens"), [(389, "2013-10-10 09:30"), (-1, "2013-10-09 09:30")])
def test_outside_of_the_session_nothing_is_recorded_and_it_is_said_when_it_can_be_done(
    tmp_path: Path, fresh_database: Callable[[], str], minute: int, opens: str
) -> None:
    bars = write_tape(tmp_path / "bars", TAPE)
    book = Book(name="tape", database_url=fresh_database(), data_folder=tmp_path / "data", bars=bars)
    with book.open() as platform:
        ledger = platform.ledger
        ledger.open_book(Decimal(100_000), platform.clock.now())
        ledger.open_session(DAY, {}, platform.clock.now())
        if minute >= 0:
            pass_time(platform, minute)
        with pytest.raises(InvalidInput, match=f"the market is closed.*It opens at {opens} New York time"):
            emergencies.close_all(platform.stages, who="ada", reason="fire", pause=lambda _: True)
        assert ledger.commands() == ()
        outcome = emergencies.cancel_all(platform.stages, who="ada", reason="fire", pause=lambda _: True)
        assert outcome.obeyed_by is None


# Cancel all.


def test_every_open_order_is_cancelled_and_what_is_held_stays(desk: Desk) -> None:
    assert len(desk.platform.broker.open_orders()) == 4
    assert desk.cancel_all().obeyed_by is None
    assert desk.platform.broker.open_orders() == ()
    assert desk.held == HELD
    # It does not halt: the next cycle protects what is held again.
    desk.cycle()
    assert (IntentKind.STOP, "AAA") in desk.open_kinds()
    # And the command is done: it does not cancel that.
    desk.cycle()
    assert (IntentKind.STOP, "AAA") in desk.open_kinds()


def test_an_entry_that_was_never_sent_is_ended_and_not_sent_first(desk: Desk) -> None:
    desk.commit_unsent()
    desk.cancel_all()
    assert desk.line.submitted == []
    assert {one.state for one in desk.platform.ledger.orders() if one.intent.symbol == "CCC"} == {OrderState.EXPIRED}


@pytest.mark.parametrize("action", [CommandAction.HALT, CommandAction.FLATTEN, CommandAction.CLOSE_ALL])
def test_what_keeps_entries_away_keeps_one_from_being_sent_by_a_start(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, action: CommandAction
) -> None:
    desk.commit_unsent()
    desk.record(action)
    desk.platform.stages.recover()
    desk.platform.stages.release()
    assert desk.line.submitted == []
    # The control: without the guard a start sends it.
    again = desk.restarted()
    again.commit_unsent(leg=4)
    guarded = Reconciler.run
    monkeypatch.setattr(reconcile.Reconciler, "run", lambda self, ownership, **_: guarded(self, ownership))
    again.platform.stages.recover()
    assert [one.symbol for one in again.line.submitted] == ["CCC"]


# Halt and resume.


def test_a_halt_cancels_a_working_entry_and_lets_exits_go_on(traded: Callable[[int], Desk]) -> None:
    desk = traded(2)
    clock, ledger = desk.platform.clock, desk.platform.ledger
    halt = emergencies.halt(ledger, clock, who="ada", reason="fire")
    assert emergencies.halt(ledger, clock, who="bob", reason="smoke") == halt
    assert halted_by(ledger) == halt
    report = desk.cycle()
    assert (DecisionKind.CANCEL_ENTRY, "AAA") in {(one.kind, one.symbol) for one in report.decisions}
    # BBB goes on by its plan, to its second target.
    while "BBB" in desk.held:
        desk.cycle()
    assert desk.held["AAA"] > 0
    assert (IntentKind.STOP, "AAA") in desk.open_kinds()
    emergencies.resume(ledger, clock, who="ada", reason="over")
    with pytest.raises(InvalidInput, match="nothing is halted"):
        emergencies.resume(ledger, clock, who="ada", reason="over")


def test_without_a_halt_the_same_minute_goes_on_entering(traded: Callable[[int], Desk]) -> None:
    # The control.
    assert DecisionKind.CANCEL_ENTRY not in {one.kind for one in traded(2).cycle().decisions}


# Reconnect, reconcile and accept.


def test_each_broker_is_asked_and_says_why_it_does_not_answer(desk: Desk) -> None:
    (found,) = emergencies.reconnect(desk.platform.stages.parts)
    assert (found.venue, found.answers) == ("paper", True)
    assert "2 positions, 4 open orders" in found.said
    desk.line.down = True
    (found,) = emergencies.reconnect(desk.platform.stages.parts)
    assert not found.answers
    assert found.said


def test_an_accepted_break_lets_entries_be_made_again(desk: Desk) -> None:
    eager = desk.restarted(strategies=(scripted("eager", minute=4, again=1, dearest=30, stop_distance=10),))
    eager.line.more = {"BBB": 5}
    assert {one.rule for one in eager.cycle().decisions} == {Rule.RECONCILIATION}
    clock, ledger = eager.platform.clock, eager.platform.ledger
    breaks = emergencies.reconcile(eager.platform.stages).report.breaks
    assert [(one.subject, one.name, one.difference) for one in breaks] == [(Subject.POSITION, "BBB", Decimal(5))]
    for what in ("AAA", "cash", "bbb"):
        with pytest.raises(InvalidInput, match=f"no break is about '{what}'. Breaks are about: BBB"):
            emergencies.accept(ledger, clock, breaks, what=["BBB", what], who="ada", reason="a gift")
    assert ledger.acceptances() == ()
    assert emergencies.accept(ledger, clock, breaks, what=["BBB", "all"], who="ada", reason="a gift") == 1
    assert [(one.name, one.who, one.reason) for one in ledger.acceptances()] == [("BBB", "ada", "a gift")]
    assert emergencies.reconcile(eager.platform.stages).report.breaks == ()
    assert Rule.RECONCILIATION not in {one.rule for one in eager.cycle().decisions}
    # Another difference is a new break.
    eager.line.more = {"BBB": 6}
    assert [one.difference for one in emergencies.reconcile(eager.platform.stages).report.breaks] == [Decimal(6)]


def test_where_another_process_has_the_book_its_latest_cycles_breaks_are_read(desk: Desk) -> None:
    desk.line.more, desk.line.extra = {"AAA": 5}, Decimal("1.50")
    desk.cycle()
    desk.platform.stages.release()
    own = emergencies.reconcile(desk.platform.stages)
    with desk.platform.ledger.take("job/elsewhere"):
        read = emergencies.reconcile(desk.platform.stages)
    assert own.owned_by is None
    assert "job/elsewhere" in (read.owned_by or "")
    assert read.report.breaks == own.report.breaks
    cash = [one for one in read.report.breaks if one.subject is Subject.CASH]
    assert [one.difference for one in cash] == [Decimal("1.50")]
