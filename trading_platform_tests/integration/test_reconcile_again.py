"""What a reconcile does a second time: sending what may still arrive, going on after a slow broker, changing once only."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from trading_platform.bootstrap import Platform
from trading_platform.domain.errors import NotOwner
from trading_platform.domain.orders import (
    Absent,
    Answer,
    Found,
    IntentKind,
    NotSent,
    Order,
    OrderIntent,
    OrderState,
    Side,
    Unknown,
)
from trading_platform.orders import reconcile
from trading_platform.orders.reconcile import Reconciler
from trading_platform.orders.routing import Routes
from trading_platform_tests.faults.killed_session import Points, watched
from trading_platform_tests.sessions.books import (
    Book,
    exchange_orders,
    go_on_until,
    pass_time,
    run_until,
    with_parts,
)
from trading_platform_tests.sessions.desk import Desk
from trading_platform_tests.sessions.line import Line
from trading_platform_tests.sessions.pair import backup_exchange, backup_file
from trading_platform_tests.sessions.tape import DAY, TAPE, write_tape


@pytest.fixture
def book(tmp_path: Path, fresh_database: Callable[[], str]) -> Book:
    bars = write_tape(tmp_path / "bars", TAPE)
    return Book(name="tape", database_url=fresh_database(), data_folder=tmp_path / "data", bars=bars)


@pytest.fixture
def platform(book: Book) -> Iterator[Platform]:
    with book.open() as made:
        yield made


class ProcessDied(Exception):
    """Stands for the end of the process."""


def die_before_sending(platform: Platform) -> None:
    """The process dies with its entries committed as leaving: nobody can tell whether they have."""

    def die() -> None:
        raise ProcessDied

    with watched(platform, Points("before send", 1, die)) as seen, pytest.raises(ProcessDied):
        run_until(seen, 1)


def states(platform: Platform, kind: IntentKind = IntentKind.ENTRY) -> set[OrderState]:
    return {one.state for one in platform.ledger.orders(DAY) if one.intent.kind is kind}


# A second sending of what may still arrive.


@dataclass(kw_only=True)
class Exhausted(Line):
    """Questions are answered, and no order leaves any more: the requests of this minute are used up."""

    used_up: bool = True

    def submit(self, order: Order, deadline: datetime) -> Answer:
        return NotSent(reason="no request is left") if self.used_up else super().submit(order, deadline)


@pytest.mark.parametrize("settle", [timedelta(minutes=2), timedelta(0)])
def test_what_may_still_arrive_goes_to_no_other_broker(platform: Platform, book: Book, settle: timedelta) -> None:
    die_before_sending(platform)
    line = Exhausted(broker=platform.broker, can={"refuses_repeated_ids": True, "settle": settle})
    with backup_exchange(platform, book) as backup:
        seen = with_parts(platform, routes=Routes(brokers=(line, backup)))
        seen.stages.recover()
        at_backup = {row[0] for row in exchange_orders(backup_file(book)) if row[2] == "buy"}
        # The control: without patience both entries are at the backup, and the first requests are still on their way.
        assert len(at_backup) == (0 if settle else 2)
        if not settle:
            return
        assert states(platform) == {OrderState.UNKNOWN}
        # It arrives, and is found: one order for each decision.
        for one in platform.ledger.orders(DAY):
            if one.intent.kind is IntentKind.ENTRY:
                platform.broker.submit(order_of(one.intent), platform.clock.now() + timedelta(seconds=4))
        seen.stages.recover()
        assert states(platform) == {OrderState.ACKNOWLEDGED}
        assert exchange_orders(backup_file(book)) == []


def order_of(intent: OrderIntent) -> Order:
    return Order(
        intent_id=intent.id,
        symbol=intent.symbol,
        side=intent.side,
        type=intent.type,
        quantity=intent.quantity,
        limit_price=intent.limit_price,
    )


def test_it_ends_as_never_had_once_it_cannot_arrive_any_more(platform: Platform) -> None:
    die_before_sending(platform)
    line = Exhausted(broker=platform.broker, can={"refuses_repeated_ids": True, "settle": timedelta(minutes=2)})
    seen = with_parts(platform, broker=line)
    for minute, then in ((1, OrderState.UNKNOWN), (2, OrderState.UNKNOWN), (3, OrderState.REJECTED)):
        pass_time(platform, minute)
        seen.stages.recover()
        assert states(platform) == {then}


def test_where_an_id_is_taken_once_it_is_sent_again_at_once(platform: Platform, book: Book) -> None:
    die_before_sending(platform)
    line = Line(broker=platform.broker, can={"refuses_repeated_ids": True, "settle": timedelta(minutes=2)})
    assert with_parts(platform, broker=line).stages.recover().report.resent == 2
    assert states(platform) == states(platform, IntentKind.STOP) == {OrderState.ACKNOWLEDGED}
    assert len(exchange_orders(book.exchange_file)) == 4


# A broker that is slow.


@dataclass(kw_only=True)
class Slow(Line):
    """So slow to find orders that the lease has run out meanwhile, and the process is dead after so many."""

    finds: int = 0
    dies_after: int = 99
    seen: list[str] = field(default_factory=list)
    ledger: Any = None
    meanwhile: Callable[[], None] | None = None

    def find(self, intent_id: str) -> Found | Absent | Unknown:
        self.finds += 1
        if self.finds > self.dies_after:
            raise ProcessDied
        if self.ledger is not None:
            with self.ledger.engine.begin() as connection:
                connection.execute(sa.text("UPDATE shards SET lease_until = clock_timestamp()"))
        if self.meanwhile is not None:
            self.meanwhile()
        return super().find(intent_id)


def lost_answers(platform: Platform, line: Line) -> Platform:
    """Two entries and their stops, none of which has an answer, at a broker that has never had them."""
    seen = with_parts(platform, broker=line)
    line.loses = "request"
    run_until(seen, 1)
    line.loses = None
    return seen


@pytest.mark.parametrize(("slow", "recorded"), [(0.0, 2), (1000.0, 0)])
def test_what_is_found_is_recorded_while_it_is_found(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, slow: float, recorded: int
) -> None:
    monkeypatch.setattr(reconcile, "_SLOW", slow)
    line = Slow(broker=platform.broker)
    seen = lost_answers(platform, line)
    line.dies_after = 2
    with pytest.raises(ProcessDied):
        seen.stages.recover()
    ended = [one for one in platform.ledger.orders(DAY) if one.state is OrderState.REJECTED]
    # The control: recorded at the end alone, a broker that is always slow lets no reconcile come to anything.
    assert len(ended) == recorded


@pytest.mark.parametrize("renews", [True, False])
def test_the_lease_is_renewed_while_a_broker_is_asked(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, *, renews: bool
) -> None:
    monkeypatch.setattr(reconcile, "_SLOW", 0.0)
    if not renews:
        run = Reconciler.run
        monkeypatch.setattr(
            Reconciler,
            "run",
            lambda self, held, *, entering, hold: run(self, held, entering=entering),  # noqa: ARG005
        )
    line = Slow(broker=platform.broker)
    seen = lost_answers(platform, line)
    line.ledger = platform.ledger
    if renews:
        seen.stages.recover()
        assert states(platform) == {OrderState.REJECTED}
    else:
        with pytest.raises(NotOwner, match="ends too soon"):
            seen.stages.recover()


def test_a_book_that_was_taken_anew_meanwhile_is_not_known_any_more(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "_SLOW", 0.0)
    line = Slow(broker=platform.broker)
    seen = lost_answers(platform, line)
    line.meanwhile = seen.stages.release
    with pytest.raises(NotOwner, match="was lost while the brokers were asked"):
        seen.stages.recover()
    assert states(platform) == {OrderState.UNKNOWN}


@pytest.mark.parametrize(("slow", "recorded"), [(0.0, 1), (1000.0, 0)])
def test_ends_are_recorded_while_they_are_found(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, slow: float, recorded: int
) -> None:
    monkeypatch.setattr(reconcile, "_SLOW", slow)
    line = Slow(broker=platform.broker)
    seen = with_parts(platform, broker=line)
    run_until(seen, 2)
    closed = len([one for one in platform.ledger.orders(DAY) if one.state.is_final])
    line.ends = {"AAA": OrderState.CANCELLED}
    line.finds, line.dies_after = 0, 1
    with pytest.raises(ProcessDied):
        seen.stages.recover()
    assert len([one for one in platform.ledger.orders(DAY) if one.state.is_final]) == closed + recorded


# Changes of one order that have piled up.


@dataclass(kw_only=True)
class Counting(Line):
    """Counts what it is asked to change."""

    changes: list[tuple[str, int]] = field(default_factory=list)

    def cancel(self, intent_id: str, deadline: datetime) -> Answer:
        self.changes.append((intent_id, 0))
        return super().cancel(intent_id, deadline)

    def reduce(self, intent_id: str, quantity: int, deadline: datetime) -> Answer:
        self.changes.append((intent_id, quantity))
        return super().reduce(intent_id, quantity, deadline)


@pytest.fixture
def desk(platform: Platform) -> Iterator[Desk]:
    platform.simulated_session(DAY).open()
    pass_time(platform, 1)
    platform.stages.release()
    with platform.ledger.take("job/local") as lease:
        yield Desk(platform, lease)


@pytest.mark.parametrize("kind", [IntentKind.CANCEL, IntentKind.REDUCE])
def test_of_changes_that_have_piled_up_the_newest_is_sent(desk: Desk, kind: IntentKind) -> None:
    entry = desk.intent(IntentKind.ENTRY, Side.BUY)
    line = Counting(broker=desk.broker)
    desk.send(entry, broker=line)
    changes = [desk.intent(kind, Side.BUY, quantity=9 - leg, target=entry.id, leg=leg) for leg in range(3)]
    desk.commit(*changes)
    reconciler = Reconciler(
        ledger=desk.ledger,
        routes=Routes(brokers=(line,)),
        clock=desk.platform.clock,
        calendar=desk.platform.calendar,
        outbox=desk.outbox(line),
    )
    assert reconciler.run(desk.lease.ownership).report.resent == 1
    assert line.changes == [(entry.id, 0 if kind is IntentKind.CANCEL else 7)]
    ends = [(desk.last(one).state, desk.last(one).detail) for one in changes]
    assert ends == [(OrderState.EXPIRED, "a later one takes its place")] * 2 + [(OrderState.APPLIED, "")]


def test_while_its_broker_is_away_an_entry_is_cancelled_once(platform: Platform, book: Book) -> None:
    with backup_exchange(platform, book) as backup:
        line = Line(broker=platform.broker)
        # The backup's own cash is no break here.
        seen = with_parts(platform, routes=Routes(brokers=(line, backup)), cash_tolerance=Decimal(100_000))
        run_until(seen, 2)
        line.down = True
        # AAA trickles in; its time is over with minute 4, and its broker does not answer for three minutes more.
        reports = go_on_until(seen, 7)
        assert {report.reconciled.away for report in reports} == {("paper",)}
        cancels = [one for one in platform.ledger.orders(DAY) if one.intent.kind is IntentKind.CANCEL]
        assert [(one.intent.symbol, one.state) for one in cancels] == [("AAA", OrderState.INTENDED)]


# Exits that fit each by itself.


def test_exits_that_do_not_fit_together_are_not_sent_together(desk: Desk) -> None:
    entry = desk.intent(IntentKind.ENTRY, Side.BUY)
    desk.send(entry)
    pass_time(desk.platform, 3)
    fills = desk.broker.executions(desk.platform.calendar.session(DAY).open)
    desk.ledger.book_executions(fills, {}, desk.platform.clock.now())
    sales = [desk.intent(IntentKind.EXIT, Side.SELL, quantity=6, leg=leg) for leg in range(2)]
    desk.commit(*sales)
    reconciler = Reconciler(
        ledger=desk.ledger,
        routes=Routes(brokers=(desk.broker,)),
        clock=desk.platform.clock,
        calendar=desk.platform.calendar,
        outbox=desk.outbox(),
    )
    reconciler.run(desk.lease.ownership)
    assert [desk.life(one)[-1] for one in sales] == [OrderState.ACKNOWLEDGED, OrderState.EXPIRED]
    assert desk.last(sales[1]).detail == "more than is held by now"
