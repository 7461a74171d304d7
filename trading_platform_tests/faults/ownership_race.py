"""Eight processes write intents with stale beliefs while the owner changes all the time: none with an old epoch gets in.

A program: `python trading_platform_tests/faults/ownership_race.py`, with SECONDS=60 in the environment. It runs on a
database server of its own, or on the empty database that --database names, prints what it saw as one line of JSON, and
exits with 1 if an intent of an old epoch was committed. `--without row-lock` or `--without unique-epoch` takes a part of
the fence out: the control, which then must find some.

How it is judged: for each committed intent a moment of the database's clock before its commit is kept, and for each
epoch a moment after the commit of the change that began it. An intent that is later than the end of its own epoch was
stale beyond doubt. Writers go past all other guards straight to the table: what is shown is the database's own.
"""

import argparse
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, Protocol

import sqlalchemy as sa

from trading_platform.domain.errors import NotOwner
from trading_platform.domain.ids import intent_id
from trading_platform.domain.orders import IntentKind, OrderIntent, OrderType, Side
from trading_platform.ledger import migrate
from trading_platform.ledger.connection import open_engine, transaction
from trading_platform.ledger.ledger import Ledger
from trading_platform_tests.factories.fence import WEAKENED, believe, change_epoch, insert_intent

BOOK: Final = "race"
SESSION: Final = date(2013, 10, 9)
OPEN: Final = datetime(2013, 10, 9, 13, 30, tzinfo=UTC)
WRITERS: Final = 8
OWNERS: Final = ("green", "blue")
CHANGE_SECONDS: Final = 0.03
SLOW_COMMIT_SECONDS: Final = 0.01
"""A commit that is slow, as on a busy disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """What was seen: intents that were committed and refused, changes of owner, and intents of an old epoch."""

    seconds: float
    without: str | None
    committed: int
    refused: int
    changes: int
    stale: int


class Belief(Protocol):
    """The epoch that was last told to the writers, in memory that they share. Its owner is told by it."""

    value: int


def run(database: str, seconds: float, without: str | None) -> Race:
    """The race on an empty database."""
    engine = open_engine(database)
    ledger = Ledger(engine, book=BOOK)
    migrate.upgrade(engine)
    ledger.open_book(Decimal(1), OPEN)
    ledger.open_session(SESSION, {}, OPEN)
    if without is not None:
        WEAKENED[without](engine)
    # A forked process must not share a connection with this one.
    engine.dispose()
    forking = multiprocessing.get_context("fork")
    belief, stop = forking.Value("q", 0), forking.Event()
    writers = []
    for number in range(WRITERS):
        reading, writing = forking.Pipe(duplex=False)
        process = forking.Process(target=_write, args=(number, database, belief, stop, writing))
        process.start()
        writing.close()
        writers.append((process, reading))
    changed = _keep_changing(engine, belief, seconds)
    stop.set()
    told = [reading.recv() for _, reading in writers]
    for process, _ in writers:
        process.join()
    engine.dispose()
    appended = [one for committed, _ in told for one in committed]
    stale = sum(1 for epoch, before in appended if epoch + 1 in changed and before > changed[epoch + 1])
    return Race(
        seconds=seconds,
        without=without,
        committed=len(appended),
        refused=sum(refused for _, refused in told),
        changes=len(changed),
        stale=stale,
    )


def _keep_changing(engine: sa.Engine, belief: Belief, seconds: float) -> dict[int, datetime]:
    """Change the owner until the time is over; by epoch, a moment at which its beginning was certainly committed."""
    changed: dict[int, datetime] = {}
    begun = time.perf_counter()
    while time.perf_counter() - begun < seconds:
        epoch, moment = change_epoch(engine, _owner(belief.value + 1))
        changed[epoch] = moment
        belief.value = epoch
        time.sleep(CHANGE_SECONDS)
    return changed


def _owner(epoch: int) -> str:
    return OWNERS[epoch % 2]


def _write(number: int, database: str, belief: Belief, stop: Any, told: Connection) -> None:
    """Insert intents with the last belief, some of them with an older one, until it is over; then tell of them."""
    engine = open_engine(database)
    draw = random.Random(number)
    committed: list[tuple[int, datetime]] = []
    refused = minute = 0
    kept = 0
    # Without pauses there would always be some writer inside its transaction, and the owner could never change.
    while not stop.wait(draw.uniform(0.02, 0.12)):
        minute += 1
        # Who was paused for long goes on with what it knew before.
        epoch = kept if draw.random() < 0.2 else belief.value
        kept = belief.value
        try:
            with transaction(engine) as connection:
                intent = _intent(OPEN + timedelta(minutes=number * 1_000_000 + minute))
                insert_intent(connection, intent, believe(epoch, _owner(epoch), BOOK), SESSION)
                connection.execute(sa.text("SELECT pg_sleep(:pause)"), {"pause": SLOW_COMMIT_SECONDS})
                before = connection.execute(sa.text("SELECT clock_timestamp()")).scalar_one()
        except NotOwner:
            refused += 1
            continue
        committed.append((epoch, before))
    engine.dispose()
    told.send((committed, refused))
    told.close()


def _intent(bar_time: datetime) -> OrderIntent:
    kind, symbol = IntentKind.ENTRY, "IBM"
    return OrderIntent(
        id=intent_id(book=BOOK, strategy="s", symbol=symbol, bar_time=bar_time, kind=kind, leg=0, attempt=0),
        book=BOOK,
        strategy="s",
        symbol=symbol,
        bar_time=bar_time,
        kind=kind,
        leg=0,
        attempt=0,
        side=Side.BUY,
        type=OrderType.MARKET,
        quantity=100,
    )


@contextmanager
def _database(named: str | None) -> Iterator[str]:
    """The database that was named, or one on a server of its own."""
    if named is not None:
        yield named
        return
    from trading_platform.ledger.embedded import LEDGER, LocalServer

    with tempfile.TemporaryDirectory() as folder:
        server = LocalServer(Path(folder) / "db", fsync=False)
        server.start()
        try:
            yield server.url(LEDGER)
        finally:
            server.stop()


def main() -> int:
    """Run the race, and say what was seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", help="an empty database, as postgresql://...; without it a server is started")
    parser.add_argument("--without", choices=sorted(WEAKENED), help="the part of the fence to take out")
    given = parser.parse_args()
    with _database(given.database) as database:
        race = run(database, float(os.environ.get("SECONDS", "60")), given.without)
    print(json.dumps(asdict(race)))  # noqa: T201 (what a program says)
    return 1 if race.stale else 0


if __name__ == "__main__":
    sys.exit(main())
