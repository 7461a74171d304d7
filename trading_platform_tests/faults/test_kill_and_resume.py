"""A session that is killed and started again trades the same to the cent, and no order is sent twice.

SIGKILL at each passing of each named point, at random moments, of the process and of the database; each time the
session is started again until it ends. The child program is `killed_session`.
"""

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from trading_platform.domain.errors import DatabaseUnavailable
from trading_platform.ledger import append
from trading_platform.ledger.embedded import LEDGER, LocalServer
from trading_platform.ledger.ledger import Ledger
from trading_platform_tests.faults.killed_session import ACTS, POINTS, Points, watched
from trading_platform_tests.sessions.books import (
    REAL_SYMBOLS,
    Book,
    exchange_result,
    repeated_orders,
    run_until,
    traded,
)
from trading_platform_tests.sessions.tape import DAY, LAST_MINUTE, TAPE, write_tape

PROGRAM = Path(__file__).with_name("killed_session.py")
RESULT = Decimal("469.00")
"""What the tape makes, after fees: worked out by hand in test_hand_worked_tape.py."""

REAL_LAST_MINUTE = 60
RANDOM_KILLS = 20
FRESH_KILLS = int(os.environ.get("FRESH_KILLS") or len(POINTS))
"""How many fresh processes are killed: each takes seconds to start. `make faults` kills 50, over all points in turn."""


class Sessions:
    """Books in one database, and a fork server that runs their sessions."""

    def __init__(self, database_url: str, folder: Path) -> None:
        self.folder = folder
        self._database_url = database_url
        self._numbers = count(1)
        self._tape = write_tape(folder / "bars", TAPE)
        self._errors = (folder / "errors.log").open("w")
        self._server = subprocess.Popen(
            [sys.executable, str(PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def book(self, **changes: Any) -> Book:
        name = f"b{next(self._numbers)}"
        made = Book(name=name, database_url=self._database_url, data_folder=self.folder / name, bars=self._tape)
        return replace(made, **changes)

    def request(self, book: Book, last_minute: int = LAST_MINUTE, **more: Any) -> str:
        return json.dumps({"book": asdict(book), "last_minute": last_minute, **more}, default=str)

    def run(self, book: Book, last_minute: int = LAST_MINUTE, **more: Any) -> dict[str, Any]:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(self.request(book, last_minute, **more) + "\n")
        self._server.stdin.flush()
        reply = self._server.stdout.readline()
        said = (self.folder / "errors.log").read_text()[-3000:]
        assert reply, said
        found: dict[str, Any] = json.loads(reply)
        assert found["ended"] or found.get("signal") == signal.SIGKILL, said
        return found

    def run_fresh(self, book: Book, **more: Any) -> int:
        done = subprocess.run(
            [sys.executable, str(PROGRAM), self.request(book, **more)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        return done.returncode

    def traded(self, book: Book) -> list[tuple[Any, ...]]:
        ledger = Ledger(self._database_url, book=book.name)
        try:
            return traded(ledger)
        finally:
            ledger.engine.dispose()

    def close(self) -> None:
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait(60)
        assert self._server.stdout is not None
        self._server.stdout.close()
        self._errors.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Undisturbed:
    """A session that nobody disturbed: what it traded, and how often it passed each point."""

    traded: list[tuple[Any, ...]]
    passings: dict[str, int]


@pytest.fixture(scope="module")
def sessions(postgres_server: LocalServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sessions]:
    name = "killed_sessions"
    made = Sessions(postgres_server.create_database(name), tmp_path_factory.mktemp("killed"))
    # The first request warms the server up, and runs in it: nobody may kill that one.
    made.run(made.book())
    yield made
    made.close()
    postgres_server.drop_database(name)


@pytest.fixture(scope="module")
def undisturbed(sessions: Sessions) -> Undisturbed:
    book = sessions.book()
    reply = sessions.run(book)
    assert exchange_result(book.exchange_file) == RESULT
    return Undisturbed(traded=sessions.traded(book), passings=reply["passings"])


def assert_same(sessions: Sessions, book: Book, undisturbed: Undisturbed) -> None:
    assert sessions.traded(book) == undisturbed.traded
    assert exchange_result(book.exchange_file) == RESULT
    assert repeated_orders(book.exchange_file) == []


def test_the_session_passes_each_named_point_several_times(undisturbed: Undisturbed) -> None:
    assert set(undisturbed.passings) == set(POINTS)
    assert all(passings >= 4 for passings in undisturbed.passings.values()), undisturbed.passings


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_each_passing_of_a_point(sessions: Sessions, undisturbed: Undisturbed, point: str) -> None:
    for passing in range(1, undisturbed.passings[point] + 1):
        book = sessions.book()
        assert not sessions.run(book, point=point, passing=passing)["ended"]
        assert sessions.run(book)["ended"]
        assert_same(sessions, book, undisturbed)


@pytest.mark.parametrize("number", range(FRESH_KILLS))
def test_a_fresh_process_goes_on_where_another_was_killed(
    sessions: Sessions, undisturbed: Undisturbed, number: int
) -> None:
    point, earlier = POINTS[number % len(POINTS)], number // len(POINTS)
    book = sessions.book()
    passing = 1 + earlier % undisturbed.passings[point]
    assert sessions.run_fresh(book, point=point, passing=passing) == -signal.SIGKILL
    assert sessions.run(book)["ended"]
    assert_same(sessions, book, undisturbed)


def test_killed_at_every_start_until_nothing_is_left_to_kill(sessions: Sessions, undisturbed: Undisturbed) -> None:
    book = sessions.book()
    kills = 0
    # The recovery itself is killed too: each start gets one commit further.
    while not sessions.run(book, point="after acknowledgement", passing=1)["ended"]:
        kills += 1
        assert kills <= 100
    assert kills >= undisturbed.passings["after acknowledgement"] // 2
    assert_same(sessions, book, undisturbed)


def test_a_real_session_killed_at_random_moments(sessions: Sessions, lean_data: Path) -> None:
    real = {"bars": lean_data, "symbols": REAL_SYMBOLS, "timed_entry": False}
    reference = sessions.book(**real)
    sessions.run(reference, REAL_LAST_MINUTE)
    expected = sessions.traded(reference)
    assert len(expected) >= 8
    seed = int(os.environ.get("KILL_SEED") or random.SystemRandom().randrange(10**6))
    print(f"KILL_SEED={seed}")  # noqa: T201 (shown with a failure, to run it again)
    chance = random.Random(seed)
    kills = 0
    while kills < RANDOM_KILLS:
        book = sessions.book(**real)
        while True:
            # Some starts are killed before they have reached the session, some in its midst, and some not at all.
            delay = chance.uniform(0, 1.5)
            if sessions.run(book, REAL_LAST_MINUTE, kill_after=delay if kills < RANDOM_KILLS else None)["ended"]:
                break
            kills += 1
        assert sessions.traded(book) == expected, f"KILL_SEED={seed}"
        assert exchange_result(book.exchange_file) == exchange_result(reference.exchange_file)
        assert repeated_orders(book.exchange_file) == []


# Controls: each guard taken out, and what it holds back.


def test_without_the_look_up_a_kill_after_a_send_doubles_the_order(
    sessions: Sessions, undisturbed: Undisturbed
) -> None:
    calm = sessions.book()
    assert sessions.run(calm, without_lookup=True)["ended"]
    assert_same(sessions, calm, undisturbed)

    killed = sessions.book()
    assert not sessions.run(killed, point="after send", without_lookup=True)["ended"]
    assert sessions.run(killed, without_lookup=True)["ended"]
    assert len(repeated_orders(killed.exchange_file)) == 2, "the entry and its attached stop"

    # The same kill with the look-up in its place.
    guarded = sessions.book()
    assert not sessions.run(guarded, point="after send")["ended"]
    assert sessions.run(guarded)["ended"]
    assert_same(sessions, guarded, undisturbed)


def test_the_ledger_refuses_to_book_an_execution_again(sessions: Sessions) -> None:
    book = sessions.book()
    assert not sessions.run(book, point="after booking")["ended"]
    with book.open() as platform:
        ledger, now = platform.ledger, platform.clock.now()
        booked, executions = ledger.fills(), platform.broker.executions(platform.calendar.session(DAY).open)
        assert {one.execution_id for one in executions} == {fill.execution_id for fill in booked}
        again = ledger.book_executions(executions, {}, now)
        assert (again.booked, again.unexplained, ledger.fills()) == ((), (), booked)

        with ledger.engine.connect() as connection, connection.begin() as undone:
            assert append.fills(connection, book.name, booked, now) == frozenset()
            # The control: without the key on (book, execution id) each is booked a second time.
            connection.execute(sa.text("ALTER TABLE fills DROP CONSTRAINT pk_fills CASCADE"))
            assert len(append.fills(connection, book.name, booked, now)) == len(booked) == 2
            undone.rollback()
        assert ledger.fills() == booked


# The database.


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[LocalServer]:
    server = LocalServer(tmp_path / "db", fsync=False)
    server.start()
    yield server
    server.stop()


def kill_database(server: LocalServer) -> None:
    pid = server.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    # Its children end once they notice; until then a session that is open would still be answered.
    for _ in range(200):
        if not children_of(server):
            return
        threading.Event().wait(0.05)
    raise AssertionError("the killed server's children live on")


def children_of(server: LocalServer) -> list[int]:
    cluster = str(server.status().folder)
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and entry.name != str(os.getpid()) and _works_in(entry, cluster)
    ]


def _works_in(process: Path, folder: str) -> bool:
    try:
        return str((process / "cwd").readlink()).startswith(folder)
    except OSError:
        return False


@pytest.mark.parametrize("act", ACTS)
def test_the_database_killed_in_mid_session(
    own_server: LocalServer, tmp_path: Path, undisturbed: Undisturbed, act: str
) -> None:
    book = Book(
        name="tape",
        database_url=own_server.url(LEDGER),
        data_folder=tmp_path / "data",
        bars=write_tape(tmp_path / "bars", TAPE),
    )
    points = Points(f"before {act}", 3, lambda: kill_database(own_server))
    with book.open() as platform, watched(platform, points) as seen:
        with pytest.raises(DatabaseUnavailable, match=r"127\.0\.0\.1:\d+/ledger does not answer"):
            run_until(seen, LAST_MINUTE)
        # While it is down, nothing goes on and nothing is sent.
        orders = platform.broker.open_orders()
        with pytest.raises(DatabaseUnavailable):
            run_until(seen, LAST_MINUTE)
        assert platform.broker.open_orders() == orders

        own_server.start()
        run_until(seen, LAST_MINUTE)
        seen.simulated_session(DAY).finish()
        assert traded(platform.ledger) == undisturbed.traded
    assert exchange_result(book.exchange_file) == RESULT
    assert repeated_orders(book.exchange_file) == []
