"""An entry in several orders at the brokers: each a bracket of its own, all of them at one broker, each answer by itself."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from trading_platform.bootstrap import Platform
from trading_platform.brokers.alpaca import AlpacaBroker
from trading_platform.config.secrets import Secret
from trading_platform.domain.errors import ConservationBroken
from trading_platform.domain.lifecycle import step
from trading_platform.domain.orders import (
    Answer,
    AttachedTarget,
    IntentKind,
    NotSent,
    Order,
    OrderIntent,
    OrderState,
    OrderType,
    Side,
)
from trading_platform.orders import batch
from trading_platform.orders import outbox as sending
from trading_platform.orders.outbox import Outbox
from trading_platform_tests.sessions.books import Book, exchange_orders, go_on_until, pass_time, run_until, with_parts
from trading_platform_tests.sessions.desk import Desk
from trading_platform_tests.sessions.line import Line
from trading_platform_tests.sessions.pair import BACKUP, backup_exchange, backup_file
from trading_platform_tests.sessions.resting import resting, write_minutes
from trading_platform_tests.sessions.tape import DAY
from trading_platform_tests.vendors.alpaca.alpaca_server import KEY, SECRET, LocalAlpaca, local_alpaca

BUY, SELL = Side.BUY, Side.SELL
LAST = 8


@pytest.fixture
def book(tmp_path: Path, fresh_database: Callable[[], str]) -> Book:
    bars = write_minutes(tmp_path / "bars", {}, LAST)
    return Book(name="tape", database_url=fresh_database(), data_folder=tmp_path / "data", bars=bars, symbols=("AAA",))


@pytest.fixture
def desk(book: Book) -> Iterator[Desk]:
    with book.open() as platform:
        platform.simulated_session(DAY).open()
        pass_time(platform, 1)
        with platform.ledger.take("job/local") as lease:
            yield Desk(platform, lease)


@pytest.fixture
def backup(desk: Desk, book: Book) -> Iterator[Line]:
    with backup_exchange(desk.platform, book) as made:
        yield made


def bracket(desk: Desk, leg: int = 0, quantity: int = 10) -> tuple[OrderIntent, OrderIntent, OrderIntent]:
    entry = desk.intent(IntentKind.ENTRY, BUY, quantity=quantity, leg=leg)
    named: dict[str, Any] = {"quantity": quantity, "leg": leg, "parent": entry.id}
    stop = desk.intent(IntentKind.STOP, SELL, type=OrderType.STOP, stop_price=Decimal("49.0000"), **named)
    price = Decimal(51 + leg).quantize(Decimal("0.0001"))
    return entry, stop, desk.intent(IntentKind.TARGET, SELL, type=OrderType.LIMIT, limit_price=price, **named)


# ---- one broker for all legs --------------------------------------------------------------------------------------


class Breaking(Line):
    """A line that breaks after so many orders, and is mended after so many more."""

    taken = 0
    breaks_after = 1
    mends_after = 99

    def submit(self, order: Order, deadline: datetime) -> Answer:
        self.taken += 1
        if self.breaks_after < self.taken <= self.mends_after:
            return NotSent(reason="not connected")
        return super().submit(order, deadline)


def at(path: Path) -> list[str]:
    return [row[0] for row in exchange_orders(path)]


def test_legs_after_one_that_the_primary_has_taken_go_nowhere_else(desk: Desk, book: Book, backup: Line) -> None:
    first, second = bracket(desk), bracket(desk, 1)
    assert desk.send(*first, *second, broker=Breaking(broker=desk.broker), backup=backup) == 1
    assert at(book.exchange_file) == [one.id for one in first]
    assert at(backup_file(book)) == []
    assert [desk.life(one)[-1] for one in second] == [OrderState.INTENDED] * 3
    # They leave for it as soon as it takes them again, in another process, too.
    assert desk.outbox(backup=backup).send(second, desk.lease.ownership) == 1
    assert at(book.exchange_file) == [one.id for one in (*first, *second)]


def test_legs_after_one_that_the_backup_has_taken_go_there(desk: Desk, book: Book, backup: Line) -> None:
    first, second = bracket(desk), bracket(desk, 1)
    mended = Breaking(broker=desk.broker)
    mended.breaks_after, mended.mends_after = 0, 1
    assert desk.send(*first, *second, broker=mended, backup=backup) == 2
    assert at(book.exchange_file) == []
    assert at(backup_file(book)) == [one.id for one in (*first, *second)]
    assert {desk.ledger.events(one.id)[-1].venue or BACKUP for one in second} == {BACKUP}


def test_so_they_do_in_the_next_process(desk: Desk, book: Book, backup: Line) -> None:
    first, second = bracket(desk), bracket(desk, 1)
    assert desk.send(*first, broker=Line(broker=desk.broker, down=True), backup=backup) == 1
    assert desk.send(*second, backup=backup) == 1
    assert (at(book.exchange_file), len(at(backup_file(book)))) == ([], 6)


def test_a_leg_that_nobody_has_taken_goes_to_where_a_later_one_is(desk: Desk, book: Book, backup: Line) -> None:
    first, second = bracket(desk), bracket(desk, 1)
    desk.commit(*first, *second)
    desk.outbox(backup=backup).send(second, desk.lease.ownership)
    # The primary does not take the first leg, now that it has the second: nobody else gets it.
    assert desk.outbox(Line(broker=desk.broker, down=True), backup=backup).send(first, desk.lease.ownership) == 0
    assert (len(at(book.exchange_file)), at(backup_file(book))) == (3, [])
    assert [desk.life(one)[-1] for one in first] == [OrderState.INTENDED] * 3


@pytest.mark.parametrize("arrived", [True, False])
def test_a_leg_that_may_have_left_in_an_earlier_run_keeps_the_others_with_it(
    desk: Desk, book: Book, backup: Line, *, arrived: bool
) -> None:
    first, second = bracket(desk), bracket(desk, 1)
    desk.commit(*first, *second)
    now = desk.platform.clock.now()
    leaving = [step(one.id, OrderState.INTENDED, OrderState.SENDING, at=now, venue="paper") for one in first]
    desk.ledger.note_sending(leaving, desk.lease.ownership)
    if not arrived:
        # The control: it has certainly not.
        never = [step(one.id, OrderState.SENDING, OrderState.INTENDED, at=now) for one in first]
        desk.ledger.append_events(never)
    sent = desk.outbox(Line(broker=desk.broker, down=True), backup=backup).send(second, desk.lease.ownership)
    assert sent == (not arrived)
    assert at(backup_file(book)) == ([] if arrived else [one.id for one in second])
    assert at(book.exchange_file) == []


def test_a_leg_that_may_have_left_goes_to_where_it_may_be_whatever_another_one_has_done(
    desk: Desk, book: Book, backup: Line
) -> None:
    first, second = bracket(desk), bracket(desk, 1)
    desk.commit(*first, *second)
    desk.outbox(backup=backup).send(second, desk.lease.ownership)
    now = desk.platform.clock.now()
    leaving = [step(one.id, OrderState.INTENDED, OrderState.SENDING, at=now, venue=BACKUP) for one in first]
    desk.ledger.note_sending(leaving, desk.lease.ownership)
    names = [one.id for one in first]
    assert desk.outbox(backup=backup).resend(first, desk.lease.ownership, names) == 1
    assert (at(book.exchange_file), at(backup_file(book))) == ([one.id for one in second], names)


@pytest.mark.parametrize("end", [OrderState.REJECTED, OrderState.EXPIRED, OrderState.CANCELLED])
def test_a_leg_that_has_bought_nothing_keeps_no_other_with_it(
    desk: Desk, book: Book, backup: Line, end: OrderState
) -> None:
    first, second = bracket(desk), bracket(desk, 1)
    desk.commit(*first, *second)
    now = desk.platform.clock.now()
    desk.ledger.append_events([step(one.id, OrderState.INTENDED, end, at=now, venue="paper") for one in first])
    assert desk.outbox(Line(broker=desk.broker, down=True), backup=backup).send(second, desk.lease.ownership) == 1
    assert at(backup_file(book)) == [one.id for one in second]


def test_control_without_the_look_at_the_other_legs_a_holding_is_at_two_brokers(
    desk: Desk, book: Book, backup: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "_legs", lambda _entry, _decided_with: [])
    desk.send(*bracket(desk), *bracket(desk, 1), broker=Breaking(broker=desk.broker), backup=backup)
    assert (len(at(book.exchange_file)), len(at(backup_file(book)))) == (3, 3)


def test_another_entry_is_not_held_to_the_broker_of_this_one(desk: Desk, book: Book, backup: Line) -> None:
    other = replace(bracket(desk)[0], id="tp-other", bar_time=bracket(desk)[0].bar_time + timedelta(minutes=1))
    assert desk.send(*bracket(desk), other, broker=Breaking(broker=desk.broker), backup=backup) == 2
    assert (len(at(book.exchange_file)), at(backup_file(book))) == (3, ["tp-other"])


# ---- conservation at the call -------------------------------------------------------------------------------------


def test_a_bracket_leaves_as_it_was_committed(desk: Desk, book: Book) -> None:
    entry, stop, target = bracket(desk)
    assert desk.send(entry, stop, target) == 1
    assert at(book.exchange_file) == [entry.id, stop.id, target.id]


@pytest.mark.parametrize("what", ["price", "another leg's", "the stop's id", "larger"])
def test_a_target_that_is_not_as_it_was_committed_does_not_leave(
    desk: Desk, book: Book, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    (entry, stop, target), other = bracket(desk), bracket(desk, 1)
    if what == "larger":
        target = replace(target, quantity=11)
    legs = [entry, stop, target, *(other if what == "another leg's" else ())]
    desk.commit(entry, stop, target, *other)
    price = Decimal("50.5000") if what == "price" else Decimal("51.0000")
    name = {"another leg's": other[2].id, "the stop's id": stop.id}.get(what, target.id)
    whole = sending._order
    monkeypatch.setattr(
        sending,
        "_order",
        lambda *given: replace(
            whole(*given), attached_target=AttachedTarget(intent_id=name, limit_price=price), attached_stop=None
        ),
    )
    with pytest.raises(
        ConservationBroken, match=r"was not committed as what would be attached|would be attached to an"
    ):
        desk.outbox().send(legs, desk.lease.ownership)
    assert exchange_orders(book.exchange_file) == []


def test_a_target_does_not_leave_by_itself(desk: Desk, book: Book) -> None:
    entry, stop, target = bracket(desk)
    alone = replace(target, parent=None)
    desk.commit(entry, stop, alone)
    with pytest.raises(ConservationBroken, match="would go out as an order of its own"):
        desk.outbox().send((entry, stop, alone), desk.lease.ownership)
    assert exchange_orders(book.exchange_file) == []


# ---- at Alpaca, where legs wait for the whole of their entry -------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AtAlpaca:
    """A platform whose broker is the local Alpaca, at the tick of the minute that decided the entry."""

    platform: Platform
    server: LocalAlpaca

    def trade(self, minute: int, price: str, shares: int | None = None) -> list[str]:
        """Let so many shares trade at a price, and then decide the minute. Returns the decisions."""
        self.server.book.set_price("AAA", price, shares)
        reports = go_on_until(self.platform, minute)
        assert not any(report.reconciled.breaks for report in reports)
        return [f"{one.kind.name.lower()} {one.quantity}" for report in reports for one in report.decisions]

    @property
    def protected(self) -> tuple[int, int]:
        """Shares held at Alpaca, and on offer there."""
        return self.server.book.held.get("AAA", 0), self.server.book.on_offer("AAA")


@contextmanager
def at_alpaca(book: Book, leave: int = -1) -> Iterator[AtAlpaca]:
    with (
        book.open(strategies=(resting(leave=leave),)) as platform,
        local_alpaca(platform.clock.now, cash=Decimal(platform.settings.account.size)) as server,
    ):
        server.book.prices["AAA"] = Decimal(50)
        clock, url = platform.clock, server.url
        broker = AlpacaBroker(key=Secret(KEY), secret=Secret(SECRET), clock=clock, paper=True, base_url=url)
        with closing(broker):
            there = AtAlpaca(platform=with_parts(platform, broker=broker), server=server)
            assert [one.quantity for one in run_until(there.platform, 1)[1].decisions] == [100]
            yield there
            there.platform.stages.release()


def test_each_leg_is_a_bracket_at_alpaca_and_sells_at_its_target(book: Book) -> None:
    with at_alpaca(book) as there:
        assert there.trade(2, "50") == []
        assert there.protected == (100, 100)
        assert there.trade(3, "51") == []
        assert there.protected == (75, 75)
        assert there.trade(4, "52") == []
        assert there.protected == (25, 25)
        assert there.trade(5, "49") == []
        assert there.protected == (0, 0)


def test_a_leg_that_has_filled_in_part_is_cancelled_so_that_its_shares_are_protected(book: Book) -> None:
    with at_alpaca(book) as there:
        # The first leg whole, and five shares of the second, which nothing protects.
        there.server.book.set_price("AAA", "50", 30)
        assert there.protected == (30, 25)
        assert there.trade(2, "50", 0) == ["cancel_entry 70"]
        assert there.protected == (30, 30)
        assert there.trade(3, "50", 0) == []
        assert there.protected == (30, 30)
        # Its target has come with the stop: a pair in place of the legs that ended with the entry.
        there.trade(4, "52")
        assert there.protected == (0, 0)


def test_an_exit_of_that_minute_leaves_one_minute_later(book: Book) -> None:
    with at_alpaca(book, leave=2) as there:
        assert there.trade(2, "50", 30) == ["cancel_entry 70", "exit 30"]
        # The cancel has put up a pair for the same shares: the exit is held back, and decided again.
        assert there.protected == (30, 30)
        assert there.trade(3, "50", 0) == ["protect 0", "exit 30"]
        there.trade(4, "50")
        assert there.protected == (0, 0)


def test_control_without_that_the_exit_of_the_same_minute_is_sent_for_shares_on_offer(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Outbox, "_puts_up_protection", lambda *_: False)
    with at_alpaca(book, leave=2) as there:
        there.trade(2, "50", 30)
        (said,) = [
            there.platform.ledger.events(one.intent.id)[-1].detail
            for one in there.platform.ledger.orders(DAY)
            if one.intent.kind is IntentKind.EXIT
        ]
        assert "insufficient qty" in said


def test_an_exit_frees_every_pair_at_alpaca_and_then_leaves(book: Book) -> None:
    with at_alpaca(book, leave=3) as there:
        there.trade(2, "50")
        assert there.trade(3, "50.50") == ["protect 0", "exit 100"]
        assert [(one.type, one.left) for one in there.server.book.live("AAA")] == [("market", 100)]
        there.trade(4, "50.50")
        assert there.protected == (0, 0)
