"""A book in mid-session behind a watched line, for what a person does by hand when something is wrong.

After minute 3 of the tape 250 shares of AAA are held and 70 still on order, and 320 of BBB, half of which a sale of the
cycle is about to sell. Stops rest for both.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

from trading_platform.bootstrap import Platform
from trading_platform.domain.clock import SimulatedClock
from trading_platform.domain.commands import Command, CommandAction
from trading_platform.domain.orders import Accepted, Answer, IntentKind, Order, OrderType, Rejected, Side
from trading_platform.domain.reports import CycleReport
from trading_platform.engine import emergencies
from trading_platform_tests.sessions.books import Book, go_on_until, repeated_orders, run_until, with_parts
from trading_platform_tests.sessions.desk import Desk as Hand
from trading_platform_tests.sessions.line import Line
from trading_platform_tests.sessions.tape import DAY, TAPE, write_tape

HELD: Final = {"AAA": 250, "BBB": 320}
IN_FLIGHT: Final = 160
"""Shares of BBB that the cycle of minute 3 is selling."""


class Killed(BaseException):
    """The process is gone."""


@dataclass(kw_only=True)
class Watched(Line):
    """A line that keeps what was submitted and cancelled.

    `refuses`: sales are refused. `loses_sight`: with the next order in this symbol. `dies`: at the next call of this name.
    `deaf`: so many cancels are taken and have no effect. `refused`: so many are refused. `meanwhile` is called after each.
    """

    submitted: list[Order] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    refuses: bool = False
    loses_sight: str = ""
    dies: tuple[Literal["before", "after"], Literal["submit", "cancel"]] | None = None
    deaf: int = 0
    refused: int = 0
    meanwhile: Callable[[], None] = lambda: None

    def submit(self, order: Order, deadline: datetime) -> Answer:
        self._live("before", "submit")
        self.submitted.append(order)
        if self.refuses and order.side is Side.SELL:
            return Rejected(reason="the shares are lent")
        self.blind = self.blind or order.symbol == self.loses_sight
        answer = super().submit(order, deadline)
        self._live("after", "submit")
        return answer

    def cancel(self, intent_id: str, deadline: datetime) -> Answer:
        self._live("before", "cancel")
        self.cancelled.append(intent_id)
        answer = self._answer(intent_id, deadline)
        self.meanwhile()
        self._live("after", "cancel")
        return answer

    def _answer(self, intent_id: str, deadline: datetime) -> Answer:
        if self.refused > 0:
            self.refused -= 1
            return Rejected(reason="not now")
        if self.deaf > 0:
            self.deaf -= 1
            return Accepted(broker_order_id="deaf")
        return super().cancel(intent_id, deadline)

    def _live(self, when: str, what: str) -> None:
        if self.dies == (when, what):
            self.dies = None
            raise Killed


@dataclass(frozen=True, slots=True)
class Desk:
    """A platform behind a line, and how it was made, so that it can be started again."""

    book: Book
    platform: Platform
    line: Watched
    stack: ExitStack

    def restarted(self, **parts: Any) -> "Desk":
        """The book in a new process, at the same moment."""
        made = self.stack.enter_context(self.book.open(**parts))
        assert isinstance(made.clock, SimulatedClock)
        made.clock.advance_to(self.platform.clock.now())
        line = Watched(broker=made.broker)
        return Desk(self.book, with_parts(made, broker=line), line, self.stack)

    def close_all(self, **more: Any) -> emergencies.Outcome:
        pause = more.get("pause", self.minutes)
        return emergencies.close_all(self.platform.stages, who=more.get("who", "ada"), reason="fire", pause=pause)

    def cancel_all(self) -> emergencies.Outcome:
        return emergencies.cancel_all(self.platform.stages, who="ada", reason="fire", pause=lambda _: False)

    def record(self, action: CommandAction) -> Command:
        """A command that nobody has obeyed yet."""
        now = self.platform.clock.now()
        day = None if action is CommandAction.HALT else DAY
        return self.platform.ledger.append_command(action, at=now, who="bob", reason="fire", session=day)

    def commit_unsent(self, leg: int = 3) -> None:
        """Commit an entry, as a process does that dies before it sends it."""
        with self.platform.ledger.take("job/local") as lease:
            hand = Hand(self.platform, lease)
            hand.commit(hand.intent(IntentKind.ENTRY, Side.BUY, symbol="CCC", leg=leg))

    def minutes(self, left: tuple[str, ...]) -> bool:
        """Lets a minute pass, with its cycle. Ends before the tape does."""
        assert left
        minute = self.platform.simulated_session(DAY).next_minute()
        if minute is None or minute > 12:
            return False
        self.cycle()
        self.platform.stages.release()
        return True

    def cycle(self) -> CycleReport:
        minute = self.platform.simulated_session(DAY).next_minute()
        assert minute is not None
        (report,) = go_on_until(self.platform, minute)
        return report

    @property
    def held(self) -> dict[str, int]:
        positions = self.platform.ledger.holdings().positions.values()
        return {one.symbol: one.quantity for one in positions if one.quantity}

    @property
    def sold(self) -> Counter[str]:
        """Shares that were sent to be sold at the market since the line is watched, by symbol."""
        sales = [one for one in self.line.submitted if (one.side, one.type) == (Side.SELL, OrderType.MARKET)]
        return sum((Counter({one.symbol: one.quantity}) for one in sales), Counter())

    def open_kinds(self) -> list[tuple[IntentKind, str]]:
        return sorted((one.intent.kind, one.intent.symbol) for one in self.platform.ledger.open_orders())

    def require_flat(self) -> None:
        """Nothing is held, open or sent twice: not in the ledger, and not in the exchange's own book."""
        assert self.held == {}
        assert self.platform.ledger.open_orders() == ()
        assert dict(self.platform.broker.positions()) == {}
        assert self.platform.broker.open_orders() == ()
        assert repeated_orders(self.book.exchange_file) == []


@contextmanager
def desks(folder: Path, database_url: str) -> Iterator[Callable[[int], Desk]]:
    """Makes the desk of a book that has traded the tape up to a minute."""
    bars = write_tape(folder / "bars", TAPE)
    book = Book(name="tape", database_url=database_url, data_folder=folder / "data", bars=bars)
    with ExitStack() as stack:

        def make(minute: int) -> Desk:
            platform = stack.enter_context(book.open())
            run_until(platform, minute)
            platform.stages.release()
            line = Watched(broker=platform.broker)
            return Desk(book, with_parts(platform, broker=line), line, stack)

        yield make
