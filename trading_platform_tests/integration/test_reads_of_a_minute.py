"""What a minute reads of orders does not grow with the book's age, though something is held from the day before.

Two books trade the same two days; one of them has a long past. AAA is bought late on the first day and kept; on the
second day BBB is entered on minute 1, so that an entry asks for leave, and its fill is booked on minute 2.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from trading_platform.bootstrap import Platform
from trading_platform.calendars.sessions import ticks
from trading_platform.domain.clock import SimulatedClock
from trading_platform.domain.ids import intent_id
from trading_platform.domain.orders import IntentKind, OrderEvent, OrderIntent, OrderState, OrderType, Side
from trading_platform.engine.cycle import run_cycle
from trading_platform.ledger.embedded import LocalServer
from trading_platform_tests.sessions.books import Book, with_parts
from trading_platform_tests.sessions.line import Line
from trading_platform_tests.sessions.scripted import scripted
from trading_platform_tests.sessions.tape import DAY, write_tape

DAY_BEFORE, NEXT_DAY = date(2013, 10, 8), date(2013, 10, 10)
PAST = 300
STRATEGIES = (scripted(minute=370, cheapest=30), scripted("second", dearest=30))
FIRST_DAY = "\n".join(f"AAA {minute} 50.00 50.00 50.00 50.00 10000" for minute in range(360, 373))
SECOND_DAY = "\n".join(
    f"{symbol} {minute} {price} {price} {price} {price} 10000"
    for symbol, price in (("AAA", "50.00"), ("BBB", "20.00"))
    for minute in range(4)
)


@contextmanager
def traded(name: str, url: str, folder: Path, *, past: int) -> Iterator[Platform]:
    """A book on the second day's first tick, with so many orders that ended before its holding was opened, and after."""
    bars = write_tape(folder / "bars", FIRST_DAY)
    write_tape(folder / "bars", SECOND_DAY, NEXT_DAY)
    book = Book(name=name, database_url=url, data_folder=folder / name, bars=bars, timed_entry=False)
    with book.open(strategies=STRATEGIES) as platform:
        session = platform.simulated_session(DAY)
        session.open()
        platform.ledger.open_session(DAY_BEFORE, {}, platform.clock.now())
        grow(platform, DAY_BEFORE, past)
        run(platform, DAY, 370, 371)
        grow(platform, DAY, past)
        session.finish()
        yield platform


def grow(platform: Platform, day: date, orders: int) -> None:
    """So many entries of other symbols, in the last minute of a day, that were rejected."""
    start = platform.calendar.session(day).close - timedelta(minutes=1)
    record(platform, day, start, OrderState.REJECTED, *(f"OLD{number}" for number in range(orders)))


def record(platform: Platform, day: date, start: datetime, state: OrderState, *symbols: str) -> None:
    """Entries of the second strategy that no cycle decided, and what has become of them."""
    made = [entry(platform.ledger.book, symbol, start) for symbol in symbols]
    with platform.ledger.take("job/local") as lease:
        platform.ledger.record_intents(day, made, lease.ownership)
    platform.ledger.append_events([OrderEvent(intent_id=one.id, state=state, at=start) for one in made])


def entry(book: str, symbol: str, start: datetime) -> OrderIntent:
    kind, strategy = IntentKind.ENTRY, "second"
    name = intent_id(book=book, strategy=strategy, symbol=symbol, bar_time=start, kind=kind, leg=0, attempt=0)
    return OrderIntent(
        id=name,
        book=book,
        strategy=strategy,
        symbol=symbol,
        bar_time=start,
        kind=kind,
        leg=0,
        attempt=0,
        side=Side.BUY,
        type=OrderType.MARKET,
        quantity=1,
    )


def run(platform: Platform, day: date, *minutes: int) -> None:
    assert isinstance(platform.clock, SimulatedClock)
    for minute in minutes:
        platform.clock.advance_to(ticks(platform.calendar.session(day))[minute])
        run_cycle(platform.stages, day, minute)
    platform.stages.release()


@contextmanager
def reads(platform: Platform) -> Iterator[dict[str, list[tuple[int, dict[str, Any]]]]]:
    """By its name, how many rows each statement gave in each call, and with what it was asked."""
    found: dict[str, list[tuple[int, dict[str, Any]]]] = {}

    def note(_connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        name = re.search(r"/\* (\w+)", statement)
        if name is not None:
            found.setdefault(name[1], []).append((cursor.rowcount, dict(parameters)))

    sa.event.listen(platform.ledger.engine, "after_cursor_execute", note)
    try:
        yield found
    finally:
        sa.event.remove(platform.ledger.engine, "after_cursor_execute", note)


@pytest.fixture(scope="module")
def database(postgres_server: LocalServer) -> Iterator[str]:
    yield postgres_server.create_database("reads_of_a_minute")
    postgres_server.drop_database("reads_of_a_minute")


def read_on_the_second_day(name: str, url: str, folder: Path, *, past: int) -> dict[str, list[tuple[int, Any]]]:
    with traded(name, url, folder, past=past) as platform:
        platform.simulated_session(NEXT_DAY).open()
        with reads(platform) as found:
            run(platform, NEXT_DAY, 0, 1, 2)
        held = {one.symbol: one.quantity for one in platform.ledger.holdings().positions.values()}
    assert held == {"AAA": 100, "BBB": 100}
    return found


def test_a_minute_reads_as_many_rows_of_an_old_book_as_of_a_young_one(database: str, tmp_path: Path) -> None:
    young = read_on_the_second_day("young", database, tmp_path / "young", past=0)
    old = read_on_the_second_day("old", database, tmp_path / "old", past=PAST)
    assert rows(old) == rows(young)
    # What was looked for: the pair that wants to enter; the holding's entry, its stop, and the stop that is sent anew.
    assert [sorted(asked["symbols"]) for _, asked in old["disabled_of"]] == [["BBB"]]
    assert [count for count, _ in old["orders_of_holdings"]] == [2, 3, 3]
    assert "disabled" not in old


def rows(found: Mapping[str, Sequence[tuple[int, Any]]]) -> Counter[str]:
    return Counter({name: sum(count for count, _ in calls) for name, calls in found.items()})


def test_what_is_open_of_before_the_holding_is_not_forgotten(database: str, tmp_path: Path) -> None:
    """An order whose outcome nobody knows keeps its risk reserved, though it is older than what is held."""
    with traded("unknown", database, tmp_path, past=0) as platform:
        long_before = platform.calendar.session(DAY).open
        record(platform, DAY, long_before, OrderState.UNKNOWN, "BBB")
        seen = with_parts(platform, broker=Line(broker=platform.broker, blind=True))
        session = seen.simulated_session(NEXT_DAY)
        session.open()
        session.tick(0)
        planned = seen.stages.decide(seen.stages.evaluate(seen.stages.fetch(NEXT_DAY, 0)))
        seen.stages.release()
    told = [(one.intent.symbol, one.intent.kind.value, one.state.value) for one in planned.account.orders]
    assert told == [("BBB", "entry", "unknown"), ("AAA", "entry", "filled"), ("AAA", "stop", "expired")]
    entering = {int(one["symbol"]): int(one["entering"]) for one in planned.decided.seen["positions"]}
    assert entering == {0: 0, 1: 1}
