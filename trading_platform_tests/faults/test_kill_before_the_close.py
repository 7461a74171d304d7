"""SIGKILL between commit and send in the last cycle that sells, and a start after the close.

The cycle of 15:59 sells what must not be held overnight. What it committed and could not send belongs to a session that
is over: at the exchange, which queues what arrives after the close, it would be the next day's order.

Run as a script, this file is the process that is killed.
"""

import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from trading_platform.calendars.sessions import ticks
from trading_platform.domain.clock import SimulatedClock
from trading_platform.domain.orders import IntentKind, OrderState
from trading_platform.engine.cycle import run_cycle
from trading_platform_tests.faults.killed_session import Points, watched
from trading_platform_tests.sessions.books import Book, exchange_orders
from trading_platform_tests.sessions.scripted import scripted
from trading_platform_tests.sessions.tape import DAY, write_tape

MINUTES = (370, 371, 388)
"""The entry, its fill, and the last minute that sells."""

REDUCTION, EXIT = 2, 3
"""Which call is the one before which the process is killed; the first is the entry's."""


def book_in(folder: Path, database_url: str) -> Book:
    bars = folder / "bars"
    return Book(
        name="late",
        database_url=database_url,
        data_folder=folder / "data",
        bars=bars,
        symbols=("AAA",),
        timed_entry=False,
    )


def run(folder: Path, database_url: str, passing: int) -> None:
    book = book_in(folder, database_url)
    with (
        book.open(strategies=(scripted(minute=MINUTES[0]),)) as platform,
        watched(platform, Points("before send", passing)) as seen,
    ):
        seen.simulated_session(DAY).open()
        moments = ticks(seen.calendar.session(DAY))
        assert isinstance(seen.clock, SimulatedClock)
        for minute in MINUTES:
            seen.clock.advance_to(moments[minute])
            run_cycle(seen.stages, DAY, minute)


@pytest.mark.parametrize(
    ("passing", "after"),
    [
        (REDUCTION, timedelta(seconds=1)),
        (EXIT, timedelta(seconds=1)),
        (EXIT, timedelta(minutes=5)),
    ],
)
def test_nothing_of_a_killed_session_is_left_at_the_exchange_for_the_next_day(
    fresh_database: Callable[[], str], tmp_path: Path, passing: int, after: timedelta
) -> None:
    tape = "\n".join(f"AAA {minute} 50.00 50.00 50.00 50.00 10000" for minute in range(360, 390))
    write_tape(tmp_path / "bars", tape)
    url = fresh_database()
    command = [sys.executable, __file__, str(tmp_path), url, str(passing)]
    killed = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    book = book_in(tmp_path, url)
    with book.open(strategies=(scripted(minute=MINUTES[0]),)) as platform:
        assert isinstance(platform.clock, SimulatedClock)
        platform.clock.advance_to(platform.calendar.session(DAY).close + after)
        unsent = [one.intent for one in platform.ledger.open_orders() if one.state is OrderState.SENDING]
        wanted = [IntentKind.REDUCE, IntentKind.EXIT][passing - REDUCTION :]
        assert [intent.kind for intent in unsent] == wanted

        report = platform.stages.recover().report
        assert (report.resent, report.breaks) == (0, ())
        assert [platform.ledger.events(one.id)[-1].state for one in unsent] == [OrderState.EXPIRED] * len(unsent)
        assert platform.broker.open_orders() == ()
        # Nor does the next morning's start send it.
        platform.clock.advance_to(platform.calendar.next(DAY).open + timedelta(minutes=1))
        assert platform.stages.recover().report.resent == 0
        assert platform.ledger.open_orders() == ()
    # The entry, which has filled, and its stop, which ended with the session or gave way to the exit before.
    ended = "expired" if passing == REDUCTION else "cancelled"
    assert [(row[2], row[5]) for row in exchange_orders(book.exchange_file)] == [("buy", "filled"), ("sell", ended)]


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
