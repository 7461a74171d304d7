"""Cancel all and close all at Alpaca, on its real client: a partly filled entry with its stop, and answers that get lost.

The local Alpaca's own book is the witness.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from trading_platform.bootstrap import Platform
from trading_platform.brokers.alpaca import AlpacaBroker
from trading_platform.config.secrets import Secret
from trading_platform.domain.clock import SimulatedClock
from trading_platform.domain.orders import IntentKind, OrderType, Side
from trading_platform.engine import emergencies
from trading_platform_tests.sessions.books import Book, pass_time, with_parts
from trading_platform_tests.sessions.desk import Desk
from trading_platform_tests.sessions.tape import DAY, TAPE, write_tape
from trading_platform_tests.vendors.alpaca.alpaca_server import KEY, SECRET, Fault, Kind, LocalAlpaca, local_alpaca


@dataclass(frozen=True, slots=True)
class AtAlpaca:
    """A book whose only broker is the local Alpaca."""

    platform: Platform
    server: LocalAlpaca

    def enter(self, *, filled: int) -> None:
        """An entry of ten shares with its stop, of which so many are filled and booked."""
        with self.platform.ledger.take("job/local") as lease:
            hand = Desk(self.platform, lease)
            entry = hand.intent(IntentKind.ENTRY, Side.BUY)
            stop = hand.intent(IntentKind.STOP, Side.SELL, type=OrderType.STOP, stop_price=Decimal(49), parent=entry.id)
            hand.send(entry, stop, broker=self.platform.stages.parts.routes.primary)
        self.server.book.set_price("AAA", "50", shares=filled)
        self.platform.stages.recover()
        self.platform.stages.release()

    def pause(self, left: tuple[str, ...]) -> bool:
        """The market trades on, and some seconds pass."""
        clock = self.platform.clock
        assert left
        assert isinstance(clock, SimulatedClock)
        self.server.book.set_price("AAA", "50")
        clock.advance_to(clock.now() + timedelta(seconds=5))
        return clock.now() < self.platform.calendar.session(DAY).open + timedelta(minutes=10)

    def close_all(self) -> emergencies.Outcome:
        return emergencies.close_all(self.platform.stages, who="ada", reason="fire", pause=self.pause)

    @property
    def sold(self) -> list[int]:
        """The quantities of every order that ever sold at the market."""
        orders = self.server.book.orders.values()
        return [one.quantity for one in orders if (one.side, one.type) == ("sell", "market")]

    def require_flat(self) -> None:
        assert self.server.book.live() == []
        assert not any(self.server.book.held.values())
        assert not any(one.quantity for one in self.platform.ledger.holdings().positions.values())
        assert self.platform.ledger.open_orders() == ()


@pytest.fixture
def alpaca(tmp_path: Path, fresh_database: Callable[[], str]) -> Iterator[AtAlpaca]:
    bars = write_tape(tmp_path / "bars", TAPE)
    book = Book(name="tape", database_url=fresh_database(), data_folder=tmp_path / "data", bars=bars)
    with book.open() as platform:
        platform.simulated_session(DAY).open()
        platform.stages.release()
        pass_time(platform, 1)
        with local_alpaca(platform.clock.now, cash=platform.ledger.opening_cash()) as server:
            server.book.prices["AAA"] = Decimal(50)
            broker = AlpacaBroker(
                key=Secret(KEY), secret=Secret(SECRET), clock=platform.clock, paper=True, base_url=server.url
            )
            yield AtAlpaca(with_parts(platform, broker=broker), server)
            broker.close()


@pytest.mark.parametrize("filled", [4, 10])
def test_what_an_entry_has_filled_is_sold_once_its_orders_are_gone(alpaca: AtAlpaca, filled: int) -> None:
    alpaca.enter(filled=filled)
    outcome = alpaca.close_all()
    assert (outcome.obeyed_by, outcome.breaks) == (None, ())
    alpaca.require_flat()
    assert alpaca.sold == [filled]


@pytest.mark.parametrize("filled", [4, 10])
def test_every_order_is_cancelled_and_what_is_held_stays(alpaca: AtAlpaca, filled: int) -> None:
    alpaca.enter(filled=filled)
    outcome = emergencies.cancel_all(alpaca.platform.stages, who="ada", reason="fire", pause=alpaca.pause)
    assert (outcome.obeyed_by, outcome.breaks) == (None, ())
    assert alpaca.server.book.live() == []
    assert alpaca.server.book.held == {"AAA": filled}


@pytest.mark.parametrize("kind", [Kind.ACCEPT_THEN_STATUS, Kind.ACCEPT_THEN_DROP, Kind.DROP])
def test_a_sale_whose_answer_is_lost_is_never_a_second_one(alpaca: AtAlpaca, kind: Kind) -> None:
    alpaca.enter(filled=10)
    alpaca.server.arm(Fault(kind=kind, method="POST"))
    alpaca.close_all()
    alpaca.require_flat()
    assert alpaca.sold == [10]


@pytest.mark.parametrize("kind", [Kind.ACCEPT_THEN_STATUS, Kind.ACCEPT_THEN_DROP, Kind.DROP])
def test_a_cancel_whose_answer_is_lost_holds_nothing_up_for_good(alpaca: AtAlpaca, kind: Kind) -> None:
    alpaca.enter(filled=10)
    alpaca.server.arm(Fault(kind=kind, method="DELETE"))
    alpaca.close_all()
    alpaca.require_flat()
    assert alpaca.sold == [10]
