"""The adapter for Interactive Brokers and a local TWS, on one clock that a test moves."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from trading_platform.brokers.ibkr import IbkrBroker
from trading_platform.brokers.ibkr_address import Patience
from trading_platform.brokers.ibkr_budget import MessageBudget
from trading_platform.domain.clock import SimulatedClock
from trading_platform_tests.vendors.tws.server import ACCOUNT, LocalTws

OPEN = datetime(2013, 10, 9, 13, 30, tzinfo=UTC)
CLOSE = datetime(2013, 10, 9, 20, 0, tzinfo=UTC)
NEXT_OPEN = OPEN + timedelta(days=1)
CLIENT = 7
QUICK = Patience(
    connect=timedelta(seconds=5),
    answer=timedelta(seconds=3),
    commissions=timedelta(milliseconds=50),
    first_retry=timedelta(milliseconds=20),
    longest_retry=timedelta(milliseconds=100),
    pulse=timedelta(seconds=30),
)
VOLUME = {"SPY": 100, "IBM": 10_000}
"""Shares of a minute that are for this account's orders."""


class IbkrVenue:
    """`contracts.test_broker_port.Venue` for Interactive Brokers, a minute and three seconds after the open."""

    def __init__(self, *, settle: timedelta = timedelta(0), **settings: Any) -> None:
        self.clock = SimulatedClock(OPEN + timedelta(minutes=1, seconds=3))
        self.tws = LocalTws(self.clock)
        self.price = Decimal(10)
        self.settings = {"settle": settle, "patience": QUICK, **settings}
        self.broker = self.opened()

    def opened(self, **settings: Any) -> IbkrBroker:
        return IbkrBroker(
            **{
                "host": "127.0.0.1",
                "port": self.tws.port,
                "client_id": CLIENT,
                "account": ACCOUNT,
                "paper": True,
                "clock": self.clock,
                # A test's minutes pass at once: a second of the wall holds hundreds of its messages.
                "budget": MessageBudget(most=100_000, for_questions=100_000),
                **self.settings,
                **settings,
            }
        )

    def deadline(self, seconds: float = 4) -> datetime:
        return self.clock.now() + timedelta(seconds=seconds)

    def passed(self) -> datetime:
        return self.clock.now() - timedelta(seconds=1)

    def pass_minutes(self, count: int) -> None:
        for _ in range(count):
            self.clock.advance_to(self.clock.now() + timedelta(minutes=1))
            for symbol, volume in VOLUME.items():
                self.tws.trade(symbol, self.price, volume)

    def crash(self) -> None:
        self.price = Decimal(9)

    def rise(self) -> None:
        self.price = Decimal(11)

    def end_session(self) -> None:
        self.clock.advance_to(CLOSE)
        with self.tws.lock:
            self.tws.exchange.end_of_day()
        self.broker.open_orders()
        with self.tws.lock:
            self.tws.exchange.night()
        self.clock.advance_to(NEXT_OPEN + timedelta(seconds=3))
        self.pass_minutes(1)

    def restart(self) -> None:
        self.broker.close()
        self.broker = self.opened()

    def reconnected(self, times: int) -> None:
        """Wait until the adapter has connected so many times."""
        self.wait_for(lambda: self.broker.connections >= times and self.broker.is_connected)

    def wait_for(self, holds: Callable[[], bool], seconds: float = 10) -> None:
        """Wait until something holds that happens on the adapter's own thread."""
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, "it did not happen"
            time.sleep(0.005)

    def close(self) -> None:
        self.broker.close()
        self.tws.close()
