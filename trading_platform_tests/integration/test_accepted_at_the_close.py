"""The checks of a session's close where a broker's account differs from the ledger's: tolerated, accepted, or told."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from trading_platform.bootstrap import Platform
from trading_platform.defs import checks
from trading_platform.domain.orders import Execution, Side
from trading_platform.domain.reports import Acceptance, Subject
from trading_platform_tests.sessions.line import Line
from trading_platform_tests.sessions.short import Short, short_session
from trading_platform_tests.sessions.tape import DAY


@pytest.fixture
def traded(tmp_path: Path, fresh_database: Callable[[], str]) -> Iterator[Short]:
    with short_session(tmp_path, fresh_database()) as made:
        made.run_minutes()
        yield made


@dataclass(frozen=True)
class Cash:
    """What the check of the cash reads of a session's figures: that the minutes add up."""

    adds_up: bool = True
    recorded: Decimal = Decimal(0)
    expected: Decimal = Decimal(0)


@dataclass(frozen=True)
class Figures:
    cash: Cash = Cash()


def at(traded: Short, *, tolerance: str = "0", **line: Any) -> Platform:
    """The platform with its broker behind a line, and a tolerance of its cash."""
    settings = traded.platform.settings
    brokers = settings.brokers.model_copy(update={"cash_tolerance": Decimal(tolerance)})
    shown: Any = Line(broker=traded.platform.broker, **line)
    return replace(traded.platform, brokers=(shown,), settings=settings.model_copy(update={"brokers": brokers}))


def accept(traded: Short, subject: Subject, name: str, difference: Decimal | None) -> None:
    traded.platform.ledger.accept(
        Acceptance(
            venue="paper",
            subject=subject,
            name=name,
            difference=difference,
            who="a person",
            reason="it was there before",
            at=datetime(2013, 10, 9, 20, tzinfo=UTC),
        )
    )


def cash_adds_up(platform: Platform) -> bool:
    figures: Any = Figures()
    return checks.cash_adds_up(platform, figures).passed


def test_cash_within_the_tolerance_and_beyond_it(traded: Short) -> None:
    assert cash_adds_up(at(traded))
    assert cash_adds_up(at(traded, extra=Decimal("-1.50"), tolerance="1.50"))
    assert not cash_adds_up(at(traded, extra=Decimal("-1.51"), tolerance="1.50"))
    assert not cash_adds_up(at(traded, extra=Decimal("0.01")))


def test_cash_that_was_accepted_by_the_newest_word(traded: Short) -> None:
    accept(traded, Subject.CASH, "*", Decimal(5))
    accept(traded, Subject.CASH, "*", Decimal(7))
    assert cash_adds_up(at(traded, extra=Decimal(7)))
    assert not cash_adds_up(at(traded, extra=Decimal(5)))


def test_shares_that_were_accepted(traded: Short) -> None:
    differing = at(traded, more={"CCC": 3})
    assert not checks.positions_equal_fills(differing).passed
    accept(traded, Subject.POSITION, "CCC", Decimal(3))
    assert checks.positions_equal_fills(differing).passed
    # The control: what was accepted is so many, and not the symbol.
    assert not checks.positions_equal_fills(at(traded, more={"CCC": 4})).passed


def test_an_execution_that_was_accepted_and_one_that_was_taken_back(traded: Short) -> None:
    session = traded.platform.calendar.session(DAY)
    stray = Execution(
        execution_id="theirs",
        broker_order_id="x",
        intent_id="nobody's",
        symbol="CCC",
        side=Side.BUY,
        quantity=3,
        price=Decimal(10),
        fee=Decimal(0),
        time=session.open + timedelta(minutes=5),
    )
    differing = at(traded, reports=(stray,))
    assert not checks.ledger_equals_broker(differing, DAY).passed
    taken_back = replace(stray, execution_id="theirs.2", quantity=0, corrects="theirs")
    assert checks.ledger_equals_broker(at(traded, reports=(stray, taken_back)), DAY).passed
    accept(traded, Subject.EXECUTION, "theirs", None)
    assert checks.ledger_equals_broker(differing, DAY).passed
