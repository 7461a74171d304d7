"""One book for a test: its settings, its platform, how a session is driven, and what is left behind to compare."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from trading_platform.bootstrap import Platform, build, paper_book
from trading_platform.calendars.sessions import exchange_moment, ticks
from trading_platform.config.load import load
from trading_platform.config.settings import Settings
from trading_platform.domain.clock import SimulatedClock
from trading_platform.domain.reports import CycleReport
from trading_platform.engine.cycle import run_cycle
from trading_platform.engine.stages import Stages
from trading_platform.ledger.ledger import Ledger
from trading_platform.orders.routing import Routes
from trading_platform_tests.sessions.tape import DAY

REAL_SYMBOLS: Final = ("SPY", "IBM", "BAC", "AIG")
TAPE_SYMBOLS: Final = ("AAA", "BBB")
QUIET: Final = {"name": "vwap_reclaim", "profile": "quiet"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """Where a book of a test lives, and what it trades. Plain values, so that it can be told to another process."""

    name: str
    database_url: str
    data_folder: Path
    bars: Path
    symbols: tuple[str, ...] = TAPE_SYMBOLS
    instance: str = "local"
    timed_entry: bool = True
    ownership: tuple[tuple[str, str], ...] = ()
    call_deadline: str = "4"

    @property
    def settings(self) -> Settings:
        return load(
            {},
            {
                "data_folder": self.data_folder,
                "database_url": self.database_url,
                "instance": self.instance,
                "account": {"book": self.name},
                "ownership": dict(self.ownership),
                "execution": {"call_deadline_seconds": self.call_deadline},
                # A call to the broker must be over before a stranger may take over: scaled with the lease.
                **({"execution": {"call_deadline_seconds": "0.1"}} if self.ownership else {}),
                "market_data": {"provider": "lean", "folder": self.bars, "symbols": self.symbols},
                "active_strategies": [QUIET],
            },
        )

    @property
    def exchange_file(self) -> Path:
        return paper_book(self.settings)

    def platform(self, day: date = DAY, **parts: Any) -> Platform:
        """The book's platform on a clock that stands at the day's beginning. `parts` replace parts of its stages."""
        made = build(self.settings, SimulatedClock(exchange_moment(day, time())))
        if self.timed_entry:
            from trading_platform_tests.sessions.timed_entry import TIMED_ENTRY

            parts = {"strategies": (TIMED_ENTRY,), **parts}
        return with_parts(made, **parts)

    @contextmanager
    def open(self, day: date = DAY, **parts: Any) -> Iterator[Platform]:
        """`platform`, closed at the end."""
        made = self.platform(day, **parts)
        try:
            yield made
        finally:
            made.close()


def with_parts(platform: Platform, **changes: Any) -> Platform:
    """The same platform, with parts of its stages replaced; `broker` stands for the only one."""
    if "broker" in changes:
        changes["routes"] = Routes(brokers=(changes.pop("broker"),))
    return replace(platform, stages=Stages(replace(platform.stages.parts, **changes)))


def run_until(platform: Platform, last_minute: int) -> list[CycleReport]:
    """Open the session `DAY` as a start does, with a recovery, and run it up to and with `last_minute`."""
    platform.simulated_session(DAY).open()
    return go_on_until(platform, last_minute)


def pass_time(platform: Platform, minute: int) -> None:
    """Let time pass to the tick of `minute`, without a cycle."""
    assert isinstance(platform.clock, SimulatedClock)
    platform.clock.advance_to(ticks(platform.calendar.session(DAY))[minute])


def go_on_until(platform: Platform, last_minute: int) -> list[CycleReport]:
    """Run the open session's next minutes, up to and with `last_minute`."""
    session = platform.simulated_session(DAY)
    first = session.next_minute()
    reports = []
    for minute in range(session.session.minutes if first is None else first, last_minute + 1):
        session.tick(minute)
        reports.append(run_cycle(platform.stages, DAY, minute))
    return reports


def traded(ledger: Ledger) -> list[tuple[Any, ...]]:
    """Every fill without the names that hold the book: what was traded, when, at what price and fee."""
    return [
        (fill.symbol, fill.side.value, fill.quantity, fill.price, fill.fee, fill.time, fill.strategy)
        for fill in ledger.fills()
    ]


def exchange_orders(path: Path) -> list[tuple[str, str, str, int, int, str]]:
    """Client id, symbol, side, quantity, filled and state of every order in the exchange's own book."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(
            "SELECT intent_id, symbol, side, quantity, filled, state FROM orders ORDER BY id"
        ).fetchall()


def repeated_orders(path: Path) -> list[str]:
    """The client ids that more than one order in the exchange's own book has."""
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT intent_id FROM orders GROUP BY intent_id HAVING count(*) > 1")
        return [row[0] for row in found]


def exchange_result(path: Path) -> Decimal:
    """Sales less purchases less fees, from nothing but the executions in the exchange's own book."""
    with closing(sqlite3.connect(path)) as connection:
        executions = connection.execute("SELECT side, quantity, price, fee FROM executions").fetchall()
    return sum(
        (
            (1 if side == "sell" else -1) * quantity * Decimal(price) - Decimal(fee)
            for side, quantity, price, fee in executions
        ),
        Decimal(0),
    )
