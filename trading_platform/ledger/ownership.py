"""Ownership of a book's shards: taking it, keeping it, giving it back (the fence itself is a trigger in the database).

An owner is known by its identity, which is stable over restarts. While it owns, it holds an advisory lock that belongs
to that identity, on a connection of its own; so a restart of the same identity knows that its predecessor's connection
is gone and takes a new epoch at once. A stranger waits until the lease and a quarantine are over. Leases are told by
the database's real clock and by no other.

Rows of shards are always locked in the order of their numbers, here and where intents are appended, so that a
take-over and an append never wait for each other in a circle.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import perf_counter
from types import MappingProxyType, TracebackType
from typing import Any, Final, Self

import sqlalchemy as sa

from trading_platform.domain.errors import DatabaseUnavailable, InvalidInput, NotOwner
from trading_platform.domain.ids import SHARDS
from trading_platform.ledger.connection import reading, translated

_LOCK_NOT_AVAILABLE: Final = "55P03"

_LOCK_IDENTITY: Final = sa.text("/* lock_identity: held until the connection ends */ SELECT pg_advisory_lock(:key)")

_LOCK_ALL: Final = sa.text("""
/* lock_all_shards: waits for transactions that are appending intents */
SELECT shard, epoch, owner, state, lease_until + :quarantine AS free_at,
       lease_until + :quarantine > clock_timestamp() AS leased
FROM shards WHERE book = :book ORDER BY shard FOR UPDATE
""")

_TAKE: Final = sa.text("""
/* take_shards */
UPDATE shards SET owner = :owner, state = 'active', epoch = epoch + 1,
                  lease_until = clock_timestamp() + :lease, lease_margin = :margin
WHERE book = :book RETURNING shard, epoch
""")

_LOCK_FOR_RENEWAL: Final = sa.text("""
/* lock_shards_for_renewal: does not disturb transactions that are appending intents */
SELECT shard FROM shards WHERE book = :book ORDER BY shard FOR NO KEY UPDATE
""")

_RENEW: Final = sa.text("""
/* renew_leases: of the shards that are still held at the epochs that were taken */
UPDATE shards SET lease_until = clock_timestamp() + :lease
FROM unnest(CAST(:shards AS smallint[]), CAST(:epochs AS bigint[])) AS held(shard, epoch)
WHERE shards.book = :book AND shards.shard = held.shard AND shards.epoch = held.epoch
  AND shards.owner = :owner AND shards.state = 'active'
RETURNING shards.lease_until
""")

_RELEASE: Final = sa.text("""
/* release_shards: what is still held becomes idle, at a new epoch */
UPDATE shards SET owner = NULL, state = 'idle', epoch = shards.epoch + 1, lease_until = clock_timestamp()
FROM unnest(CAST(:shards AS smallint[]), CAST(:epochs AS bigint[])) AS held(shard, epoch)
WHERE shards.book = :book AND shards.shard = held.shard AND shards.epoch = held.epoch
  AND shards.owner = :owner AND shards.state = 'active'
""")

_HOLD: Final = sa.text("""
/* hold_shards: current ownership cannot change before the transaction's end */
WITH first AS MATERIALIZED (SELECT * FROM shards WHERE book = :book AND shard = 0 FOR KEY SHARE)
SELECT array_agg(shard) AS shards, array_agg(epoch) AS epochs,
       bool_and(owner = :owner AND state = 'active' AND lease_until > clock_timestamp() + lease_margin) AS current
FROM (SELECT * FROM first UNION ALL SELECT * FROM shards WHERE book = :book AND shard > 0) AS held
""")

_LOOK: Final = sa.text("""
/* look_at_shards: whether all of them are as they are believed to be */
SELECT array_agg(shard) AS shards, array_agg(epoch) AS epochs,
       bool_and(owner = :owner AND state = 'active' AND lease_until > clock_timestamp() + lease_margin) AS current
FROM shards WHERE book = :book
""")

_SHARDS: Final = sa.text("""
/* shards_as_they_are: which of them is not as it is believed to be */
SELECT shard, epoch, owner, state, lease_until, lease_until > clock_timestamp() + lease_margin AS leased
FROM shards WHERE book = :book ORDER BY shard
""")

# The two halves of an advisory lock's key, as the database shows them.
_LIVES: Final = sa.text("""
/* owner_lives: whether the connection is still there that an identity was locked on */
SELECT EXISTS (
    SELECT FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND (classid::bigint << 32) | objid::bigint = :key
)
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTimes:
    """How long things take around a lease. Raises `InvalidInput` for times that cannot work together."""

    lease: timedelta = timedelta(seconds=15)
    """From a taking or renewal to the lease's end."""
    renewal: timedelta = timedelta(seconds=3)
    """Between two renewals."""
    margin: timedelta = timedelta(seconds=3)
    """What must be left of the lease when an intent is appended, so that it can still be sent."""
    quarantine: timedelta = timedelta(seconds=6)
    """What a stranger waits after the lease's end: longer than a call to a broker takes."""
    predecessor: timedelta = timedelta(seconds=2)
    """What a restart waits for its predecessor's connection to end."""

    def __post_init__(self) -> None:
        zero = timedelta()
        if min(self.renewal, self.predecessor) <= zero or min(self.margin, self.quarantine) < zero:
            raise InvalidInput("a time of the lease is not positive", where="lease times", mend="give seconds above 0")
        if self.lease <= self.renewal + self.margin:
            raise InvalidInput(
                f"a lease of {self.lease.total_seconds()} s ends before it can be renewed",
                where="lease times",
                mend="the lease must be longer than renewal and margin together",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ownership:
    """Shards that an owner has taken, with the epoch of each. It is a belief: the database knows."""

    book: str
    owner: str
    epochs: Mapping[int, int] = field(hash=False)

    def epoch(self, shard: int) -> int:
        """The epoch at which `shard` was taken. Raises `NotOwner` if it was not."""
        try:
            return self.epochs[shard]
        except KeyError:
            raise NotOwner(f"{self.owner} has not taken shard {shard} of book {self.book}") from None

    def __reduce__(self) -> tuple[Any, ...]:
        # A read-only view of a mapping cannot be pickled, and an ownership travels between processes.
        return _ownership, (self.book, self.owner, dict(self.epochs))


def _ownership(book: str, owner: str, epochs: dict[int, int]) -> Ownership:
    return Ownership(book=book, owner=owner, epochs=MappingProxyType(epochs))


class Lease:
    """An ownership that is being held: the connection with the advisory lock, and the means to renew and release.

    Leaving it as a context manager releases it. It is for one thread.
    """

    def __init__(self, *, ownership: Ownership, times: LeaseTimes, connection: sa.Connection) -> None:
        self.ownership = ownership
        self.times = times
        self._connection = connection
        self._renewed = perf_counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del error, trace
        if kind is None:
            self.release()
            return
        try:
            self.release()
        except DatabaseUnavailable:
            # What ended the block says more, and the lease ends by itself.
            self.abandon()

    def renew_if_due(self) -> None:
        """Prolong the lease, unless that was done less than `LeaseTimes.renewal` ago.

        What is appended and sent is held against the database's own row all the same. Raises as `renew` does.
        """
        # A stopwatch, which tells no time.
        if perf_counter() - self._renewed >= self.times.renewal.total_seconds():
            self.renew()

    def renew(self) -> datetime:
        """Prolong the lease from now on, and return its end.

        Raises:
            NotOwner: a shard has another owner or epoch now, or this lease has ended; nothing was prolonged.
            DatabaseUnavailable: the connection that shows that this owner lives is gone: take the shards again.
        """
        begun = perf_counter()
        renewed = self._change(_RENEW, lease=self.times.lease)
        self._renewed = begun
        until: datetime = min(row.lease_until for row in renewed)
        return until

    def release(self) -> None:
        """Give the shards back: anybody can take them at once. Does nothing for shards that others have by now."""
        if not self._is_live():
            return
        try:
            self._change(_RELEASE)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Let go of the connection and leave the lease to run out, as a process does that dies."""
        self._connection.close()

    def _is_live(self) -> bool:
        # SQLAlchemy would open a new connection in place of a lost one, and that has no advisory lock.
        return not (self._connection.closed or self._connection.invalidated)

    def _change(self, statement: sa.TextClause, **more: object) -> list[sa.Row[Any]]:
        held = self.ownership
        if not self._is_live():
            raise NotOwner(f"{held.owner} does not hold book {held.book} any more: it must be taken again")
        with translated(self._connection.engine.url), self._connection.begin():
            self._connection.execute(_LOCK_FOR_RENEWAL, {"book": held.book})
            result = self._connection.execute(
                statement,
                {
                    "book": held.book,
                    "owner": held.owner,
                    "shards": list(held.epochs),
                    "epochs": list(held.epochs.values()),
                    **more,
                },
            )
            rows = list(result) if result.returns_rows else []
            if statement is _RENEW and len(rows) != len(held.epochs):
                raise NotOwner(f"{held.owner} has lost shards of book {held.book}: {len(rows)} are left")
        return rows


def take(engine: sa.Engine, *, book: str, owner: str, times: LeaseTimes | None = None) -> Lease:
    """Take all shards of `book` for `owner`, each at a new epoch.

    The same identity takes over at once, if its predecessor's connection is gone; idle shards go to anybody at once.

    Raises:
        NotOwner: another owner's lease and quarantine are not over, or a process with this identity is running.
        InvalidInput: the book has not been opened.
        DatabaseUnavailable: the database does not answer.
    """
    times = times or LeaseTimes()
    with translated(engine.url):
        connection = engine.connect()
        # It must not go back to a pool, where its lock would live on.
        connection.detach()
        try:
            _lock_identity(connection, book, owner, times)
            with connection.begin():
                epochs = _take_all(connection, book, owner, times)
        except BaseException:
            connection.close()
            raise
    return Lease(ownership=_ownership(book, owner, epochs), times=times, connection=connection)


def hold(connection: sa.Connection, ownership: Ownership) -> None:
    """Make sure of `ownership` until the transaction of `connection` ends. Raises `NotOwner`.

    The first shard's row is locked. Who takes a book takes all of its shards, and waits for that one; to lock each of
    them would be most of what a small transaction costs.
    """
    _compare(connection, _HOLD, ownership)


def lives(connection: sa.Connection, book: str, owner: str) -> bool:
    """Whether the process that has taken `book` as `owner` is still connected. One that was killed is not."""
    return bool(connection.execute(_LIVES, {"key": _identity_key(book, owner)}).scalar_one())


def ensure_current(engine: sa.Engine, ownership: Ownership) -> None:
    """Look whether `ownership` is current and its lease long enough for a call to a broker. Raises `NotOwner`."""
    with reading(engine) as connection:
        _compare(connection, _LOOK, ownership)


def _compare(connection: sa.Connection, statement: sa.TextClause, ownership: Ownership) -> None:
    # One row says that all is well, which is cheaper than all of them; what is wrong is looked for only where it is not.
    found = connection.execute(statement, {"book": ownership.book, "owner": ownership.owner}).one()
    if found.current and dict(zip(found.shards, found.epochs, strict=True)) == ownership.epochs:
        return
    rows = {row.shard: row for row in connection.execute(_SHARDS, {"book": ownership.book})}
    for shard, epoch in ownership.epochs.items():
        row = rows.get(shard)
        if row is None or row.state != "active" or (row.owner, row.epoch) != (ownership.owner, epoch):
            raise NotOwner(
                f"shard {shard} of book {ownership.book} belongs to {row.owner if row else None} at epoch "
                f"{row.epoch if row else None}, not to {ownership.owner} at epoch {epoch}"
            )
        if not row.leased:
            raise NotOwner(
                f"the lease of {ownership.owner} on shard {shard} of book {ownership.book} "
                f"ends too soon, at {row.lease_until.isoformat()}"
            )


def _lock_identity(connection: sa.Connection, book: str, owner: str, times: LeaseTimes) -> None:
    milliseconds = max(1, round(times.predecessor.total_seconds() * 1000))
    try:
        with connection.begin():
            connection.execute(sa.text(f"SET LOCAL lock_timeout = {milliseconds}"))
            connection.execute(_LOCK_IDENTITY, {"key": _identity_key(book, owner)})
    except sa.exc.OperationalError as error:
        if getattr(error.orig, "pgcode", None) != _LOCK_NOT_AVAILABLE:
            raise
        raise NotOwner(
            f"another process is running as {owner} on book {book}: one identity is for one process"
        ) from error


def _identity_key(book: str, owner: str) -> int:
    digest = hashlib.sha256(f"{book}\x1f{owner}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def _take_all(connection: sa.Connection, book: str, owner: str, times: LeaseTimes) -> dict[int, int]:
    rows = list(connection.execute(_LOCK_ALL, {"book": book, "quarantine": times.quarantine}))
    if len(rows) != SHARDS:
        raise InvalidInput(f"there is no book {book!r}", where="ledger", mend="open it first")
    for row in rows:
        if row.state == "active" and row.owner != owner and row.leased:
            raise NotOwner(
                f"book {book} belongs to {row.owner}; {owner} can take it from {row.free_at.isoformat()} on, "
                "or as soon as it is released"
            )
    taken = connection.execute(_TAKE, {"book": book, "owner": owner, "lease": times.lease, "margin": times.margin})
    return dict(sorted((row.shard, row.epoch) for row in taken))
