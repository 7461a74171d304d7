"""The fence: only the present owner's intents are committed, however late, however many, and only because of it."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from trading_platform.domain.errors import Inconsistent, InvalidInput, NotOwner
from trading_platform.domain.ids import SHARDS
from trading_platform.ledger import rows, schema
from trading_platform.ledger.connection import open_engine, transaction
from trading_platform.ledger.ledger import Ledger
from trading_platform.ledger.ownership import LeaseTimes, Ownership, take
from trading_platform_tests.factories.fence import (
    SHARD,
    WEAKENED,
    believe,
    change_epoch,
    insert_intent,
    without_row_lock,
    without_unique_epoch,
)

if TYPE_CHECKING:
    from trading_platform_tests.integration.conftest import LedgerValues

SESSION = date(2013, 10, 9)
SHORT = LeaseTimes(
    lease=timedelta(seconds=0.8),
    renewal=timedelta(seconds=0.2),
    margin=timedelta(seconds=0.3),
    quarantine=timedelta(seconds=0.4),
    predecessor=timedelta(seconds=0.2),
)


def append(connection: sa.Connection, values: "LedgerValues", minute: int, belief: Ownership) -> None:
    """Insert one intent as its row, past everything but the database's own guard."""
    insert_intent(connection, values.intent(minute), belief, SESSION)


def without_fence(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TRIGGER intents_fence ON intents"))


# One belief against the row.


def test_the_present_owner_may_order(ledger: Ledger, values: "LedgerValues") -> None:
    with ledger.take("job") as lease, transaction(ledger.engine) as connection:
        append(connection, values, 0, lease.ownership)
    assert len(ledger.orders()) == 1


@pytest.mark.parametrize(
    ("belief", "told"),
    [
        (believe(0), "at epoch 1, not to job at epoch 0"),
        (believe(2), "at epoch 1, not to job at epoch 2"),
        (believe(1, "service"), "belongs to job at epoch 1, not to service at epoch 1"),
        (Ownership(book="live", owner="job", epochs=dict.fromkeys(range(SHARDS), 1)), "book live has no shard"),
    ],
)
def test_a_wrong_belief_is_refused_by_the_fence_alone(
    ledger: Ledger, values: "LedgerValues", belief: Ownership, told: str
) -> None:
    row = rows.intent_row(values.intent(0), belief, session=SESSION, sequence=0, decision=None)
    row["book"] = belief.book
    with ledger.take("job"):
        with pytest.raises(NotOwner, match=told), transaction(ledger.engine) as connection:
            connection.execute(sa.insert(schema.intents), row)
        assert ledger.orders() == ()
        if belief.book == ledger.book:
            without_fence(ledger.engine)
            with transaction(ledger.engine) as connection:
                connection.execute(sa.insert(schema.intents), row)
            assert len(ledger.orders()) == 1


def test_nobody_may_order_on_an_idle_shard(ledger: Ledger, values: "LedgerValues") -> None:
    with ledger.take("job") as lease:
        held = lease.ownership
    for belief in (held, believe(held.epoch(SHARD) + 1)):
        with pytest.raises(NotOwner, match="belongs to nobody at epoch 2"), transaction(ledger.engine) as connection:
            append(connection, values, 0, belief)
    with pytest.raises(NotOwner, match="belongs to None at epoch 2"):
        ledger.ensure_owner(held)
    without_fence(ledger.engine)
    with transaction(ledger.engine) as connection:
        append(connection, values, 0, held)


def test_a_lease_that_is_about_to_end_is_too_short(ledger: Ledger, values: "LedgerValues") -> None:
    lease = ledger.take("job", SHORT)
    ledger.ensure_owner(lease.ownership)
    ledger.record_intents(SESSION, [values.intent(0)], lease.ownership)
    time.sleep((SHORT.lease - SHORT.margin).total_seconds() + 0.05)
    with pytest.raises(NotOwner, match=r"ends at .* less than"), transaction(ledger.engine) as connection:
        append(connection, values, 1, lease.ownership)
    with pytest.raises(NotOwner, match="ends too soon"):
        ledger.ensure_owner(lease.ownership)
    with pytest.raises(NotOwner, match="ends too soon"):
        ledger.record_intents(SESSION, [values.intent(1)], lease.ownership)
    lease.renew()
    ledger.ensure_owner(lease.ownership)
    with transaction(ledger.engine) as connection:
        append(connection, values, 1, lease.ownership)
    time.sleep((SHORT.lease - SHORT.margin).total_seconds() + 0.05)
    without_fence(ledger.engine)
    with transaction(ledger.engine) as connection:
        append(connection, values, 2, lease.ownership)
    lease.release()


# The row of a shard.


@pytest.mark.parametrize(
    "change",
    [
        "owner = 'thief'",
        "owner = NULL, state = 'idle'",
        "epoch = epoch + 2",
        "epoch = epoch - 1",
        "epoch = epoch + 2, owner = 'thief'",
        "lease_margin = interval '0'",
        "shard = shard + 64",
        "book = 'live'",
    ],
)
def test_owner_state_and_epoch_change_together(ledger: Ledger, change: str) -> None:
    statement = sa.text(f"UPDATE shards SET {change} WHERE shard = 63")
    ledger_of_another_book = Ledger(ledger.engine, book="live")
    with ledger.take("job"):
        with pytest.raises(Inconsistent), transaction(ledger.engine) as connection:
            connection.execute(statement)
        with ledger.engine.begin() as connection:
            connection.execute(sa.text("DROP TRIGGER shards_keep_epoch ON shards"))
            connection.execute(sa.text("INSERT INTO books VALUES ('live', 1, now())"))
            connection.execute(sa.text("ALTER TABLE shards DROP CONSTRAINT ck_shards_shard"))
            connection.execute(statement)
    assert ledger_of_another_book.opening_cash() == 1


@pytest.mark.parametrize("change", ["DELETE FROM shards", "TRUNCATE shards"])
def test_epochs_are_never_forgotten(ledger: Ledger, change: str) -> None:
    with pytest.raises(Inconsistent), transaction(ledger.engine) as connection:
        connection.execute(sa.text(change))
    with ledger.engine.begin() as connection:
        connection.execute(sa.text("DROP TRIGGER shards_keep_epoch ON shards"))
        connection.execute(sa.text("DROP TRIGGER shards_keep_all ON shards"))
        connection.execute(sa.text(change))


def test_a_lease_is_renewed_without_a_new_epoch(ledger: Ledger) -> None:
    with ledger.take("job", SHORT) as lease:
        first = lease.renew()
        assert lease.renew() > first
        ledger.ensure_owner(lease.ownership)


def test_a_lease_is_renewed_once_in_its_time(ledger: Ledger) -> None:
    with ledger.take("job", SHORT) as lease:
        (before,) = ledger.owners()
        lease.renew_if_due()
        assert ledger.owners() == (before,)
        time.sleep(SHORT.renewal.total_seconds())
        lease.renew_if_due()
        (after,) = ledger.owners()
        assert after.lease_until > before.lease_until
        lease.renew()
        (renewed,) = ledger.owners()
        lease.renew_if_due()
        assert ledger.owners() == (renewed,)


# Taking.


def test_all_shards_are_taken_at_new_epochs(ledger: Ledger) -> None:
    with ledger.take("job") as lease:
        assert lease.ownership.epochs == dict.fromkeys(range(SHARDS), 1)
    with ledger.take("service") as lease:
        assert lease.ownership.epochs == dict.fromkeys(range(SHARDS), 3)


def test_a_stranger_waits_out_lease_and_quarantine(ledger: Ledger, values: "LedgerValues") -> None:
    first = ledger.take("job", SHORT)
    until = first.renew()
    first.abandon()
    with pytest.raises(NotOwner, match="belongs to job; service can take it from") as caught:
        ledger.take("service", SHORT)
    assert (until + SHORT.quarantine).isoformat()[:22] in str(caught.value)
    time.sleep(SHORT.lease.total_seconds())
    with pytest.raises(NotOwner, match="belongs to job"):
        ledger.take("service", SHORT)
    time.sleep(SHORT.quarantine.total_seconds())
    with ledger.take("service", SHORT) as second:
        with pytest.raises(NotOwner):
            ledger.record_intents(SESSION, [values.intent(0)], first.ownership)
        ledger.record_intents(SESSION, [values.intent(0)], second.ownership)


def test_a_restart_takes_over_at_once(ledger: Ledger, values: "LedgerValues") -> None:
    first = ledger.take("job")
    first.abandon()
    with ledger.take("job") as second:
        with pytest.raises(NotOwner, match="at epoch 2, not to job at epoch 1"):
            ledger.record_intents(SESSION, [values.intent(0)], first.ownership)
        ledger.record_intents(SESSION, [values.intent(0)], second.ownership)


def test_one_identity_is_for_one_process(ledger: Ledger) -> None:
    with ledger.take("job", SHORT) as lease:
        with pytest.raises(NotOwner, match="another process is running as job"):
            ledger.take("job", SHORT)
        lease.renew()
    with ledger.take("job", SHORT):
        pass


def test_a_lost_connection_is_not_replaced_in_silence(ledger: Ledger) -> None:
    lease = ledger.take("job")
    with ledger.engine.begin() as connection:
        connection.execute(
            sa.text("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted")
        )
    with pytest.raises(Exception, match="does not answer"):
        lease.renew()
    with pytest.raises(NotOwner, match="must be taken again"):
        lease.renew()
    lease.release()
    with ledger.take("job") as again:
        again.renew()


def test_who_lost_a_shard_cannot_renew(ledger: Ledger) -> None:
    lease = ledger.take("job")
    with ledger.engine.begin() as connection:
        connection.execute(sa.text("UPDATE shards SET epoch = epoch + 1, owner = 'service' WHERE shard = 5"))
        before = connection.execute(sa.text("SELECT shard, lease_until FROM shards ORDER BY 1")).all()
    with pytest.raises(NotOwner, match="63 are left"):
        lease.renew()
    with ledger.engine.connect() as connection:
        assert connection.execute(sa.text("SELECT shard, lease_until FROM shards ORDER BY 1")).all() == before
    lease.release()
    with ledger.engine.connect() as connection:
        left = connection.execute(sa.text("SELECT shard, owner FROM shards WHERE state = 'active'")).one()
    assert tuple(left) == (5, "service")


@pytest.mark.parametrize("times", [{"lease": 5, "margin": 3, "renewal": 2}, {"renewal": 0}, {"quarantine": -1}])
def test_times_that_cannot_work_are_refused(times: dict[str, int]) -> None:
    with pytest.raises(InvalidInput, match="lease"):
        LeaseTimes(**{name: timedelta(seconds=seconds) for name, seconds in times.items()})


# A take-over while an intent is being committed.


@contextmanager
def running(work: Callable[[], object]) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield thread
    finally:
        thread.join(20)
        assert not thread.is_alive()


def seize(ledger: Ledger) -> None:
    take(ledger.engine, book=ledger.book, owner="job").abandon()


def change(ledger: Ledger) -> None:
    change_epoch(ledger.engine, "service")


@pytest.mark.parametrize("take_over", [seize, change])
def test_a_take_over_waits_for_a_commit_under_way(
    ledger: Ledger, values: "LedgerValues", take_over: Callable[[Ledger], None]
) -> None:
    assert overtaken(ledger, values, take_over) is False


@pytest.mark.parametrize(
    ("take_over", "weaken"),
    # `take` locks the rows before it changes them, so it does not lean on the unique epoch; a bare UPDATE does.
    [(seize, without_row_lock), (change, without_row_lock), (change, without_unique_epoch)],
)
def test_a_weakened_fence_is_overtaken(
    ledger: Ledger,
    values: "LedgerValues",
    take_over: Callable[[Ledger], None],
    weaken: Callable[[sa.Engine], None],
) -> None:
    weaken(ledger.engine)
    assert overtaken(ledger, values, take_over) is True


def overtaken(ledger: Ledger, values: "LedgerValues", take_over: Callable[[Ledger], None]) -> bool:
    """Whether a take-over is done while an intent of the old epoch, already inserted, waits for its commit."""
    first = ledger.take("job")
    first.abandon()
    with ledger.engine.connect() as connection:
        point = connection.begin()
        append(connection, values, 0, first.ownership)
        with running(lambda: take_over(ledger)) as thread:
            thread.join(1)
            done = not thread.is_alive()
            point.commit()
    return done


# Many writers with stale beliefs, and an owner that changes all the time.


@dataclass
class Storm:
    """What writers and the changer saw; each moment is the database's.

    `appended` holds for each committed intent its epoch and a moment before its commit, `changed` for each epoch a
    moment after its commit. So an intent that is later than the end of its epoch was stale beyond doubt.
    """

    engine: sa.Engine
    values: "LedgerValues"
    stop: threading.Event = field(default_factory=threading.Event)
    belief: tuple[int, str] = (0, "")
    appended: list[tuple[int, datetime]] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    changed: dict[int, datetime] = field(default_factory=dict)
    faults: list[BaseException] = field(default_factory=list)

    def run(self, seconds: float, writers: int = 8) -> None:
        self._change(0)
        threads = [threading.Thread(target=self._guarded, args=(self._write, n)) for n in range(writers)]
        threads.append(threading.Thread(target=self._guarded, args=(self._keep_changing,)))
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        self.stop.set()
        for thread in threads:
            thread.join(20)
        assert self.faults == []

    @property
    def stale(self) -> int:
        return sum(
            1 for epoch, before in self.appended if epoch + 1 in self.changed and before > self.changed[epoch + 1]
        )

    def _guarded(self, work: Callable[..., None], *arguments: Any) -> None:
        try:
            work(*arguments)
        except BaseException as error:  # noqa: BLE001 - reported by run
            self.faults.append(error)
            self.stop.set()

    def _keep_changing(self) -> None:
        number = 1
        while not self.stop.wait(0.03):
            self._change(number)
            number += 1

    def _change(self, number: int) -> None:
        owner = "blue" if number % 2 else "green"
        epoch, moment = change_epoch(self.engine, owner)
        self.changed[epoch] = moment
        self.belief = (epoch, owner)

    def _write(self, writer: int) -> None:
        minute = writer * 1_000_000
        draw = random.Random(writer)
        # Without pauses there would always be some writer inside its transaction, and the owner could never change.
        while not self.stop.wait(draw.uniform(0.02, 0.12)):
            epoch, owner = self.belief
            minute += 1
            self._append(minute, believe(epoch, owner))

    def _append(self, minute: int, belief: Ownership) -> None:
        try:
            with transaction(self.engine) as connection:
                append(connection, self.values, minute, belief)
                # A commit that is slow, as on a busy disk.
                connection.execute(sa.text("SELECT pg_sleep(0.01)"))
                before = connection.execute(sa.text("SELECT clock_timestamp()")).scalar_one()
        except NotOwner:
            self.refused.append(belief.epoch(SHARD))
            return
        self.appended.append((belief.epoch(SHARD), before))


@pytest.fixture
def storm(ledger: Ledger, values: "LedgerValues") -> Iterator[Storm]:
    engine = open_engine(ledger.engine.url, pool_size=12)
    yield Storm(engine=engine, values=values)
    engine.dispose()


def test_no_stale_intent_is_committed_in_a_storm(storm: Storm) -> None:
    storm.run(5)
    assert len(storm.changed) > 20
    assert len(storm.appended) > 20
    assert len(storm.refused) > 0
    assert storm.stale == 0


@pytest.mark.parametrize("weaken", WEAKENED.values(), ids=WEAKENED)
def test_a_weakened_fence_lets_stale_intents_through(storm: Storm, weaken: Callable[[sa.Engine], None]) -> None:
    weaken(storm.engine)
    storm.run(3)
    assert storm.stale > 0
