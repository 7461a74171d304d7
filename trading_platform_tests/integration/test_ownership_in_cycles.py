"""A cycle whose book is taken by somebody else sends nothing, and what it had committed is its new owner's to send."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from trading_platform.bootstrap import Platform
from trading_platform.domain.errors import NotOwner
from trading_platform.domain.orders import OrderState
from trading_platform.ledger.ledger import Ledger
from trading_platform_tests.faults.killed_session import Points, watched
from trading_platform_tests.sessions.books import Book, exchange_orders, exchange_result, repeated_orders, run_until
from trading_platform_tests.sessions.tape import DAY, LAST_MINUTE, TAPE, write_tape

LEASE_SECONDS = 1.5
TIMES = (("lease", str(LEASE_SECONDS)), ("renewal", "0.1"), ("margin", "0.3"), ("quarantine", "0.1"))


@pytest.fixture
def book(tmp_path: Path, fresh_database: Callable[[], str]) -> Book:
    return Book(
        name="tape",
        database_url=fresh_database(),
        data_folder=tmp_path / "data",
        bars=write_tape(tmp_path / "bars", TAPE),
        ownership=TIMES,
        call_deadline="0.2",
    )


@pytest.fixture
def owner(book: Book) -> Iterator[Platform]:
    with book.open() as made:
        yield made


@pytest.fixture
def stranger(book: Book, owner: Platform) -> Iterator[Platform]:
    """Another process's platform on the same book: another owner, the same exchange."""
    with replace(book, instance="stranger").open() as made:
        assert made.stages.parts.owner != owner.stages.parts.owner
        yield made


def wait(seconds: float) -> None:
    # Leases are told by the database's real clock.
    threading.Event().wait(seconds)


def take_over(stranger: Platform) -> None:
    """The lease runs out, and the stranger takes the book."""
    wait(LEASE_SECONDS + 0.2)
    stranger.stages._hold()


def test_while_the_lease_lasts_a_stranger_gets_nothing(book: Book) -> None:
    usual = replace(book, ownership=())
    with usual.open() as owner, replace(usual, instance="stranger").open() as stranger:
        run_until(owner, 0)
        with pytest.raises(NotOwner, match=r"belongs to job/local; job/stranger can take it from"):
            run_until(stranger, 1)
        assert len(owner.ledger.cycles(DAY)) == 1
        # The control: a book that was given back is free at once.
        owner.stages.release()
        run_until(stranger, 1)
        assert len(owner.ledger.cycles(DAY)) == 2


def test_a_book_lost_in_mid_cycle_records_nothing_and_sends_nothing(
    owner: Platform, stranger: Platform, book: Book
) -> None:
    run_until(owner, 0)
    session, stages = owner.simulated_session(DAY), owner.stages
    session.tick(1)
    planned = stages.decide(stages.evaluate(stages.fetch(DAY, 1)))
    assert len(planned.intents) == 4
    take_over(stranger)
    with pytest.raises(NotOwner):
        stages.place(planned)
    assert owner.ledger.orders(DAY) == ()
    assert exchange_orders(book.exchange_file) == []
    # The new owner decides the minute itself, and the session ends as if nothing had happened.
    run_until(stranger, LAST_MINUTE)
    assert str(exchange_result(book.exchange_file)) == "469.0000"


# Where the book is lost, and how what was decided stands then.
BEFORE_SENDING = pytest.mark.parametrize(
    ("point", "stands"),
    [("after intent commit", OrderState.INTENDED), ("after sending commit", OrderState.SENDING)],
)


@BEFORE_SENDING
def test_a_book_lost_between_commit_and_send_leaves_the_intents_to_its_new_owner(
    owner: Platform, stranger: Platform, book: Book, point: str, stands: OrderState
) -> None:
    lost = Points(point, 1, lambda: take_over(stranger))
    with watched(owner, lost) as seen, pytest.raises(NotOwner, match="belongs to job/stranger"):
        run_until(seen, 1)
    assert exchange_orders(book.exchange_file) == []
    assert {one.state for one in owner.ledger.orders(DAY)} == {stands}

    run_until(stranger, LAST_MINUTE)
    assert repeated_orders(book.exchange_file) == []
    assert str(exchange_result(book.exchange_file)) == "469.0000"


@BEFORE_SENDING
def test_a_lease_that_ran_out_between_commit_and_send_sends_nothing(
    owner: Platform, book: Book, point: str, stands: OrderState
) -> None:
    # It froze: nobody else has taken the book, and still it cannot know.
    with watched(owner, Points(point, 1, lambda: wait(LEASE_SECONDS))) as frozen:
        with pytest.raises(NotOwner, match="ends too soon"):
            run_until(frozen, 1)
        assert exchange_orders(book.exchange_file) == []
        assert {one.state for one in owner.ledger.orders(DAY)} == {stands}
        # Once it holds the book again, it sends them itself.
        run_until(frozen, LAST_MINUTE)
    assert str(exchange_result(book.exchange_file)) == "469.0000"


def test_without_the_look_before_the_send_it_would_be_sent(
    owner: Platform, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ledger, "ensure_owner", lambda _self, _ownership: None)
    with watched(owner, Points("after sending commit", 1, lambda: wait(LEASE_SECONDS))) as frozen:
        run_until(frozen, 1)
    assert len(exchange_orders(book.exchange_file)) == 4
