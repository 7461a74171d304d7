"""What a person has accepted covers one difference: of an order each that was, of a position or of cash the newest."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from trading_platform.domain.reports import Acceptance, Break, Subject
from trading_platform.orders.breaks import Acceptances

AT = datetime(2013, 10, 9, 14, 0, tzinfo=UTC)
PENNY = Decimal("0.01")


def found(subject: Subject, difference: int | str | None, name: str = "x", venue: str = "paper") -> Break:
    more = None if difference is None else Decimal(difference)
    return Break(symbol="AAA", what="", venue=venue, subject=subject, name=name, difference=more)


def accepted(one: Break) -> Acceptance:
    return Acceptance(
        venue=one.venue, subject=one.subject, name=one.name, difference=one.difference, who="ada", reason="known", at=AT
    )


def acceptances(*breaks: Break) -> Acceptances:
    return Acceptances([accepted(one) for one in breaks], PENNY)


@pytest.mark.parametrize(
    ("subject", "covered"),
    [
        (Subject.ORDER, {None: True, 2: True, 3: False}),
        (Subject.EXECUTION, {None: True, 2: True, 3: False}),
        (Subject.POSITION, {None: False, 2: True, 3: False}),
    ],
)
def test_of_an_order_every_difference_counts_and_of_a_position_the_newest(
    subject: Subject, covered: Mapping[int | None, bool]
) -> None:
    known = acceptances(found(subject, None), found(subject, 2))
    assert {more: known.cover(found(subject, more)) for more in covered} == covered


def test_it_is_of_one_broker_subject_and_name() -> None:
    known = acceptances(found(Subject.ORDER, 2))
    assert known.cover(found(Subject.ORDER, 2))
    assert not known.cover(found(Subject.ORDER, 2, venue="backup"))
    assert not known.cover(found(Subject.ORDER, 2, name="y"))
    assert not known.cover(found(Subject.EXECUTION, 2))


@pytest.mark.parametrize(("subject", "covered"), [(Subject.CASH, True), (Subject.POSITION, False)])
def test_cash_alone_has_a_tolerance(subject: Subject, *, covered: bool) -> None:
    assert acceptances(found(subject, 5)).cover(found(subject, "5.01")) is covered
    assert not acceptances(found(subject, 5)).cover(found(subject, "5.02"))


def test_what_differs_no_more_has_ended() -> None:
    gone, other, order = found(Subject.POSITION, 7), found(Subject.CASH, 3, "*"), found(Subject.ORDER, 2)
    known = acceptances(gone, other, order)
    # An order's is kept; a broker that was not asked has not shown that anything is gone.
    assert [one.subject for one in known.ended([other], ["paper"])] == [Subject.POSITION]
    assert list(known.ended([], ["backup"])) == []
    # Another difference is one, too; and what has been noted is not noted again.
    assert list(known.ended([found(Subject.POSITION, 8), other], ["paper"])) == []
    assert list(acceptances(gone, found(Subject.POSITION, 0)).ended([], ["paper"])) == []
