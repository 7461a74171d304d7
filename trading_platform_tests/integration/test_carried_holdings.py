"""Holdings that are carried over from a moment on are those of the whole fold, whatever comes late or is undone."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from trading_platform.domain.orders import IntentKind, OrderIntent
from trading_platform.ledger.ledger import Ledger
from trading_platform.ledger.projections import CarriedHoldings, Holdings, holdings

if TYPE_CHECKING:
    from trading_platform_tests.integration.conftest import LedgerValues

MINUTES = 60


def whole(ledger: Ledger, moment: datetime) -> tuple[Holdings, Holdings]:
    """What it must be: every fill read, and folded twice."""
    fills, opening = ledger.fills(), ledger.opening_cash()
    return holdings(opening, [fill for fill in fills if fill.time < moment]), holdings(opening, fills)


@contextmanager
def statements(ledger: Ledger) -> Iterator[list[str]]:
    sent: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        sent.append(statement)

    sa.event.listen(ledger.engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        sa.event.remove(ledger.engine, "before_cursor_execute", note)


@pytest.fixture
def bought(ledger: Ledger, values: "LedgerValues") -> list[OrderIntent]:
    """An entry of 100 shares a minute, of which the first is filled."""
    entries = [values.intent(minute, symbol) for minute in range(MINUTES) for symbol in ("IBM", "SPY")]
    exits = [values.intent(minute, kind=IntentKind.EXIT) for minute in range(MINUTES)]
    with ledger.take("job") as lease:
        ledger.record_intents(values.session, [*entries, *exits], lease.ownership)
    return entries


@pytest.mark.parametrize("seed", range(3))
def test_carried_holdings_are_those_of_the_whole_fold(
    ledger: Ledger, values: "LedgerValues", bought: list[OrderIntent], seed: int
) -> None:
    draw = random.Random(seed)
    moment = values.bar(MINUTES // 2)
    carried = CarriedHoldings(ledger)
    booked = []
    for number, entry in enumerate(draw.sample(bought, 40)):
        price = str(Decimal(draw.randint(90_0000, 110_0000)) / 10_000)
        # In any order: what belongs before the moment comes late as well.
        one = values.execution(entry, f"e{number}", draw.randint(1, 100), price, fee=Decimal(number % 7) / 100)
        booked.append(one)
        report = [one]
        if number % 5 == 4:
            wrong = booked.pop(draw.randrange(len(booked) - 1))
            report.append(
                values.execution(
                    next(it for it in bought if it.id == wrong.intent_id),
                    f"c{number}",
                    draw.choice((0, 7)),
                    "100",
                    corrects=wrong.execution_id,
                )
            )
        ledger.book_executions(report, {}, values.bar(0))
        assert carried.at(moment) == whole(ledger, moment)
    assert len(whole(ledger, moment)[0].positions) > 0


def test_a_holding_goes_on_from_where_it_was_left(ledger: Ledger, values: "LedgerValues") -> None:
    entry, first, second = (
        values.intent(0),
        values.intent(1, kind=IntentKind.EXIT),
        values.intent(40, kind=IntentKind.EXIT),
    )
    with ledger.take("job") as lease:
        ledger.record_intents(values.session, [entry, first, second], lease.ownership)
    report = [values.execution(entry, "1", 3, "10.0001"), values.execution(first, "2", 1, "10.01")]
    ledger.book_executions([*report, values.execution(second, "3", 2, "9.99")], {}, values.bar(0))
    moment = values.bar(30)
    before, now = CarriedHoldings(ledger).at(moment)
    assert (before, now) == whole(ledger, moment)
    key = ("gap_and_go", "IBM")
    assert (before.positions[key].quantity, before.positions[key].opened_by) == (2, entry.id)
    assert (now.positions[key].quantity, now.positions[key].realised) == (0, Decimal("-0.0103"))


def test_the_past_is_read_again_only_when_something_has_come_to_it(
    ledger: Ledger, values: "LedgerValues", bought: list[OrderIntent], monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = values.bar(MINUTES // 2)
    carried = CarriedHoldings(ledger)

    def reads() -> int:
        with statements(ledger) as sent:
            assert carried.at(moment) == whole(ledger, moment)
        return sum("fills_before" in one for one in sent)

    early, late = bought[0], bought[-1]
    assert reads() == 1
    ledger.book_executions([values.execution(late, "late", 10, "10")], {}, values.bar(0))
    assert reads() == 0
    ledger.book_executions([values.execution(early, "early", 10, "10")], {}, values.bar(0))
    assert (reads(), reads()) == (1, 0)
    ledger.book_executions([values.execution(early, "bust", 0, "0", corrects="early")], {}, values.bar(0))
    assert (reads(), reads()) == (1, 0)
    # The control: without the count, what comes late is not seen.
    monkeypatch.setattr(Ledger, "count_before", lambda _self, _moment: (0, 0))
    carried.at(moment)
    ledger.book_executions([values.execution(early, "later", 10, "10")], {}, values.bar(0))
    assert carried.at(moment) != whole(ledger, moment)


def test_what_was_never_held_is_carried_over(ledger: Ledger, values: "LedgerValues") -> None:
    first, second = values.intent(0), values.intent(40)
    sales = [values.intent(minute, kind=IntentKind.EXIT) for minute in (1, 41)]
    with ledger.take("job") as lease:
        ledger.record_intents(values.session, [first, second, *sales], lease.ownership)
    report = [values.execution(one, one.id, 10, "10") for one in (first, *sales)]
    ledger.book_executions(report, {}, values.bar(0))
    bust = values.execution(first, "bust", 0, "0", corrects=first.id)
    ledger.book_executions([bust], {}, values.bar(0))
    carried, moment = CarriedHoldings(ledger), values.bar(30)
    before, now = carried.at(moment)
    assert (before, now) == whole(ledger, moment)
    assert [sum(sale.quantity for sale in one.uncovered) for one in (before, now)] == [10, 20]
    ledger.book_executions([values.execution(second, "late", 15, "10")], {}, values.bar(0))
    before, now = carried.at(moment)
    assert (before, now) == whole(ledger, moment)
    assert [(one.execution_id, one.quantity) for one in now.uncovered] == [(sales[1].id, 5)]


def test_another_moment_is_folded_anew(ledger: Ledger, values: "LedgerValues", bought: list[OrderIntent]) -> None:
    report = [values.execution(one, one.id, 1, "10") for one in bought]
    ledger.book_executions(report, {}, values.bar(0))
    carried = CarriedHoldings(ledger)
    for minute in (30, 10, 50):
        assert carried.at(values.bar(minute)) == whole(ledger, values.bar(minute))
