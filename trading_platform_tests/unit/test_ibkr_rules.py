"""The quiet windows, the budget of messages and the table of numbers of Interactive Brokers: functions of their input."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from trading_platform.brokers.ibkr_budget import FOR_QUESTIONS, MOST, MessageBudget
from trading_platform.brokers.ibkr_codes import Meaning, meaning_of
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
