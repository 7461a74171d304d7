"""A purchase that is busted after it was sold stops its own symbol, and nothing else: cycles and emergencies go on.

After minute 4 of the tape 300 AAA are held, and of 320 BBB 160 are sold; then the purchase of BBB is busted.
"""

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from trading_platform.accounting import average_cost
from trading_platform.bootstrap import Platform
from trading_platform.domain.decisions import DecisionKind, Verdict
from trading_platform.domain.errors import Inconsistent
from trading_platform.domain.orders import Execution, Side
from trading_platform.domain.reports import Subject
from trading_platform.engine import emergencies
from trading_platform_tests.sessions.books import Book, go_on_until, run_until, with_parts
from trading_platform_tests.sessions.scripted import scripted
from trading_platform_tests.sessions.tape import DAY, LAST_MINUTE, TAPE, write_tape

SOLD = 160


@pytest.fixture
def book(tmp_path: Path, fresh_database: Callable[[], str]) -> Book:
    bars = write_tape(tmp_path / "bars", TAPE)
    return Book(name="tape", database_url=fresh_database(), data_folder=tmp_path / "data", bars=bars)


@pytest.fixture
def busted(book: Book) -> Iterator[Platform]:
    with book.open() as platform:
        run_until(platform, 4)
        bust(platform)
        yield platform


def bust(platform: Platform) -> None:
    (bought,) = [one for one in platform.ledger.fills() if (one.symbol, one.side) == ("BBB", Side.BUY)]
    word = Execution(
        execution_id="bust",
        broker_order_id="1",
        intent_id=bought.intent_id,
        symbol=bought.symbol,
        side=bought.side,
        quantity=0,
        price=bought.price,
        fee=Decimal(0),
        time=platform.clock.now(),
        corrects=bought.execution_id,
    )
    platform.ledger.book_executions([word], {}, platform.clock.now())


def held(platform: Platform) -> dict[str, int]:
    return {one.symbol: one.quantity for one in platform.ledger.holdings().positions.values() if one.quantity}


def test_the_other_symbols_are_traded_to_their_end(busted: Platform) -> None:
    assert held(busted) == {"AAA": 300}
    reports = go_on_until(busted, LAST_MINUTE)
    for report in reports:
        (found,) = [one for one in report.reconciled.breaks if one.subject is Subject.SALE]
        assert (found.symbol, found.difference) == ("BBB", Decimal(-SOLD))
    exits = {one.symbol for report in reports for one in report.decisions if one.kind is DecisionKind.EXIT}
    assert (exits, held(busted)) == ({"AAA"}, {})


def test_with_a_fold_that_does_without_nothing_they_would_be_stopped_too(
    busted: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = average_cost.fold_covered

    def strict(*given: Any) -> average_cost.Folded:
        found = whole(*given)
        if found.uncovered:
            raise Inconsistent("more is sold than is held")
        return found

    monkeypatch.setattr(average_cost, "fold_covered", strict)
    with pytest.raises(Inconsistent):
        go_on_until(busted, 5)
    with pytest.raises(Inconsistent):
        emergencies.close_all(busted.stages, who="ada", reason="fire", pause=lambda _: False)


def test_nothing_is_entered_in_its_symbol(busted: Platform) -> None:
    eager = (scripted("eager", minute=5, again=1, cheapest=15, stop_distance=5),)
    busted.stages.release()
    # The cash differs as well, by what was busted, and would freeze every symbol.
    platform = with_parts(busted, strategies=eager, cash_tolerance=Decimal(100_000))
    (report,) = go_on_until(platform, 5)
    entries = {one.symbol: one.verdict for one in report.decisions if one.kind is DecisionKind.ENTER}
    assert entries == {"AAA": Verdict.APPROVED, "BBB": Verdict.REFUSED}


def test_everything_else_can_be_closed(busted: Platform) -> None:
    busted.stages.release()

    def minute(left: tuple[str, ...]) -> bool:
        following = busted.simulated_session(DAY).next_minute()
        assert left
        assert following is not None
        go_on_until(busted, following)
        busted.stages.release()
        return following < LAST_MINUTE

    outcome = emergencies.close_all(busted.stages, who="ada", reason="fire", pause=minute)
    assert outcome.obeyed_by is None
    assert Subject.SALE in {one.subject for one in outcome.breaks}
    assert held(busted) == {}
    assert busted.ledger.open_orders() == ()
    assert busted.broker.positions() == {"BBB": SOLD}


def test_a_person_accepts_it_by_name(busted: Platform) -> None:
    (report,) = go_on_until(busted, 5)
    (sale,) = [one for one in report.reconciled.breaks if one.subject is Subject.SALE]
    accepted = emergencies.accept(
        busted.ledger, busted.clock, report.reconciled.breaks, what=[sale.name], who="ada", reason="it was our error"
    )
    assert accepted >= 1
    assert busted.ledger.holdings().uncovered == ()
    (report,) = go_on_until(busted, 6)
    assert Subject.SALE not in {one.subject for one in report.reconciled.breaks}
