"""What of Interactive Brokers is a function of its input: quiet windows, budget, numbers, and words on an execution."""

from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from trading_platform.brokers.ibkr_budget import FOR_QUESTIONS, MOST, MessageBudget
from trading_platform.brokers.ibkr_codes import Meaning, meaning_of
from trading_platform.brokers.ibkr_executions import TwsExecution, parted, told
from trading_platform.brokers.ibkr_quiet import Restarts, quiet_until

NEW_YORK = ZoneInfo("America/New_York")


def exchange(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=NEW_YORK).astimezone(UTC)


@pytest.mark.parametrize(
    ("moment", "until"),
    [
        ("2024-03-06 23:39:59", None),
        ("2024-03-06 23:40:00", "2024-03-06 23:55:00"),
        ("2024-03-06 23:54:59", "2024-03-06 23:55:00"),
        ("2024-03-06 23:55:00", None),
        ("2024-03-06 15:59:00", None),
        # Sunday: the login by hand, and the night in which the clock changes.
        ("2024-03-10 00:54:59", None),
        ("2024-03-10 00:55:00", "2024-03-10 03:00:00"),
        ("2024-03-10 03:00:00", None),
        ("2024-03-11 00:55:00", None),
    ],
)
def test_the_quiet_windows_around_restarts(moment: str, until: str | None) -> None:
    assert quiet_until(exchange(moment), Restarts()) == (exchange(until) if until else None)


def test_a_restart_at_midnight_is_quiet_on_both_days() -> None:
    restarts = Restarts(nightly=time(0, 0), zone=ZoneInfo("Europe/Berlin"))
    midnight = datetime(2024, 3, 6, 23, 0, tzinfo=UTC)
    assert quiet_until(midnight - timedelta(minutes=5), restarts) == midnight + timedelta(minutes=10)
    assert quiet_until(midnight + timedelta(minutes=9), restarts) == midnight + timedelta(minutes=10)


@pytest.mark.parametrize(
    ("code", "means"),
    [
        (201, Meaning.REFUSED),
        (110, Meaning.REFUSED),
        (202, Meaning.CANCELLED),
        (103, Meaning.LOOK_UP),
        (99_999, Meaning.LOOK_UP),
        (399, Meaning.NOTE),
        (404, Meaning.NOTE),
        (2104, Meaning.NOTE),
        (2110, Meaning.LINK_LOST),
        (1100, Meaning.LINK_LOST),
        (1101, Meaning.LINK_BACK),
        (1102, Meaning.LINK_BACK),
        (1300, Meaning.CONNECT_AGAIN),
        (326, Meaning.CLIENT_ID_IN_USE),
        (10_197, Meaning.NOTE),
    ],
)
def test_the_table_of_numbers(code: int, means: Meaning) -> None:
    assert meaning_of(code) is means


def test_the_budget_is_four_fifths_of_what_the_vendor_takes_and_leaves_room_for_orders() -> None:
    assert (MOST, FOR_QUESTIONS) == (40, 32)
    budget = MessageBudget()
    budget.spend(32, 0.0)
    assert budget.wait(1, 0.5, urgent=False) == pytest.approx(0.5)
    assert budget.wait(8, 0.5, urgent=True) == 0.0
    budget.spend(8, 0.5)
    assert budget.wait(1, 0.75, urgent=True) == pytest.approx(0.25)
    assert budget.wait(1, 1.0, urgent=True) == 0.0


def test_no_second_holds_more_than_the_budget() -> None:
    budget = MessageBudget(most=5, for_questions=5)
    now, sent = 0.0, []
    for count in [1, 3, 2, 5, 1, 1, 4, 2] * 5:
        now += budget.wait(count, now, urgent=True)
        assert budget.wait(count, now, urgent=True) == pytest.approx(0.0, abs=1e-9)
        budget.spend(count, now)
        sent += [now] * count
        now += 0.05
    for start in sent:
        assert sum(start <= at < start + 1.0 - 1e-9 for at in sent) <= 5


@pytest.mark.parametrize(
    ("execution_id", "parts"),
    [
        ("0000e0d5.52a9b9f3.01.02", ("0000e0d5.52a9b9f3.01", "02")),
        ("0000e0d5", ("0000e0d5", "")),
        ("0000e0d5.x", ("0000e0d5.x", "")),
        ("0000e0d5.", ("0000e0d5.", "")),
    ],
)
def test_only_a_number_after_the_last_point_is_that_of_a_word(execution_id: str, parts: tuple[str, str]) -> None:
    assert parted(execution_id) == parts


def word(revision: str, shares: int = 10) -> TwsExecution:
    moment = exchange("2024-03-06 10:00:00")
    return TwsExecution(
        identity="e",
        revision=revision,
        perm_id=1,
        client_id=7,
        order_id=3,
        order_ref="a",
        symbol="IBM",
        side="BOT",
        shares=shares,
        price=Decimal(50),
        time=moment,
        heard_at=moment,
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([word("")], [("e", None, 10)]),
        ([word("01")], [("e.01", None, 10)]),
        ([word("01"), word("02", 9)], [("e.01", None, 10), ("e.02", "e.01", 9)]),
        ([word("03", 9)], [("e.01", None, 9), ("e.02", "e.01", 9), ("e.03", "e.02", 9)]),
        ([word("01"), word("03", 9)], [("e.01", None, 10), ("e.02", "e.01", 9), ("e.03", "e.02", 9)]),
        ([word("01"), word("02", 0)], [("e.01", None, 10), ("e.02", "e.01", 0)]),
        ([word("03", 0)], [("e.02", "e.01", 0), ("e.03", "e.02", 0)]),
        ([word("01"), word("02", 0), word("03", 9)], [("e.01", None, 10), ("e.02", "e.01", 0), ("e.03", None, 9)]),
    ],
)
def test_every_word_stands_in_the_place_of_the_one_before_it(
    words: list[TwsExecution], says: list[tuple[str, str | None, int]]
) -> None:
    assert [(one.execution_id, one.corrects, one.quantity) for one in told(words, lambda _: Decimal(1))] == says


def test_a_word_that_is_held_back_is_told_with_the_next_ones_figures() -> None:
    fees = {"e.01": None, "e.02": Decimal(1)}
    told_now = list(told([word("01"), word("02", 9)], lambda one: fees[one.execution_id]))
    assert [(one.execution_id, one.quantity, one.fee) for one in told_now] == [
        ("e.01", 9, Decimal(1)),
        ("e.02", 9, Decimal(1)),
    ]
