"""The venues of the fault campaign: each outlives the processes that trade at it, and has a clock of its own.

Here belongs what a venue does as time passes, what a named fault is at it, and what its own book says: the truth that
the ledger is compared with. A venue lives in the campaign's process; `broker` is called in the process that trades.
What must hold at every moment is looked at after each step of the book, whoever caused it.
"""

import contextlib
import sqlite3
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from trading_platform.brokers.broker import Broker
from trading_platform.calendars.sessions import Session
from trading_platform.config.secrets import Secret
from trading_platform.domain.clock import Clock, SimulatedClock
from trading_platform_tests.faults.campaign_schedule import PRICES, Fault, Schedule
from trading_platform_tests.vendors.alpaca import alpaca_server as alpaca
from trading_platform_tests.vendors.alpaca.alpaca_book import AlpacaBook, Refusal
from trading_platform_tests.vendors.tws import server as tws
from trading_platform_tests.vendors.tws.exchange import Exchange, WorkingOrder

CASH: Final = Decimal(100_000)
PATIENCE: Final = timedelta(seconds=0.4)
"""How long a call to a venue may take: real seconds, though the session's are not."""

_LATE: Final = 0.6
_MOMENT: Final = 0.02
_MINUTE: Final = timedelta(minutes=1)
_PRINTS: Final = 4

Deal = tuple[str, str, int, Decimal]
"""Symbol, side, shares and price of an execution."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueBook:
    """What a venue's own book says: its deals, what is held, the cash, and the client's ids of the buys it took."""

    deals: Counter[Deal]
    positions: dict[str, int]
    cash: Decimal
    entries: Counter[str]


@dataclass(kw_only=True)
class World(ABC):
    """One venue in one schedule. `violations` is what was seen that must never be, each once."""

    schedule: Schedule
    session: Session
    now: datetime
    violations: dict[str, None] = field(default_factory=dict)
    struck: Counter[str] = field(default_factory=Counter)
    _minute: int = 0

    def __post_init__(self) -> None:
        self._limits = {wish.symbol: wish.quantity for wish in self.schedule.wishes}
        self._faults = sorted(self.schedule.faults, key=lambda fault: fault.minute)
        self._bars = _bars_of(self.schedule.bars)
        self._begin()

    @abstractmethod
    def _begin(self) -> None: ...

    @abstractmethod
    def broker(self, clock: Clock, exchange: Callable[[Clock], Broker]) -> Broker:
        """The venue as the trading process sees it. `exchange` makes a paper exchange there."""

    @abstractmethod
    def book(self) -> VenueBook:
        """What the venue's own book says now."""

    @abstractmethod
    def _look(self) -> Iterator[tuple[str, int, int, int]]:
        """By symbol: shares held, shares that its open sales offer, and shares that its open buys may still buy."""

    def close(self) -> None:  # noqa: B027 (not every venue has it)
        """End the venue."""

    def advance(self, moment: datetime) -> None:
        """Let time pass: the bars that have closed are traded, and what shall go wrong by then goes wrong."""
        while (
            self._minute < self.session.minutes and (end := self.session.open + (self._minute + 1) * _MINUTE) <= moment
        ):
            self.now = max(self.now, end)
            self._pass_minute()
            for symbol, prints in self._bars[self._minute].items():
                for price, volume in prints:
                    self._trade(symbol, price, volume)
            while self._faults and self._faults[0].minute <= self._minute:
                self._strike(self._faults.pop(0))
            self._minute += 1
            if self._minute == self.session.minutes:
                self._end_day()
        if moment > max(self.now, self.session.close):
            # What a fault holds back for a minute is not held back for ever.
            self.now = moment
            self._pass_minute()
        elif moment > self.now:
            self.now = moment
            self._arrive()
        self.look()

    def look(self) -> None:
        """Note what must never be: more on sale than is held, or more bought and on order than was decided."""
        for symbol, held, offered, buying in self._look():
            if offered > held:
                self._note(f"{symbol}: sales of {offered} shares are open, {held} are held")
            if held + buying > self._limits[symbol]:
                self._note(f"{symbol}: {held} held and {buying} on order, {self._limits[symbol]} were ever wanted")

    def _note(self, violation: str) -> None:
        self.violations[violation] = None

    def _strike(self, fault: Fault) -> None:
        self.struck[fault.name] += 1
        self._go_wrong(fault.name)

    # What a venue in another process is told; the paper exchange's is in the trading process, and acts by itself.

    def _pass_minute(self) -> None: ...  # noqa: B027 (not every venue has it)

    def _arrive(self) -> None:  # noqa: B027 (not every venue has it)
        """What is late arrives: no moments of a session are so close that a request is on its way for longer."""

    def _trade(self, symbol: str, price: Decimal, volume: int) -> None: ...  # noqa: B027 (not every venue has it)

    def _go_wrong(self, name: str) -> None: ...  # noqa: B027 (not every venue has it)

    def _end_day(self) -> None: ...  # noqa: B027 (not every venue has it)

    def disconnect(self) -> None:  # noqa: B027 (not every venue has it)
        """What a machine's death does to its connections."""


@dataclass(kw_only=True)
class PaperWorld(World):
    """The paper exchange: its book is a file, and its faults are those of a `campaign_life.FaultyLine`."""

    path: Path

    def _begin(self) -> None: ...

    def broker(self, clock: Clock, exchange: Callable[[Clock], Broker]) -> Broker:
        return exchange(clock)

    def book(self) -> VenueBook:
        with self._reading() as connection:
            deals = connection.execute("SELECT symbol, side, quantity, price FROM executions").fetchall()
            (cash,) = connection.execute("SELECT cash FROM account").fetchone()
            held = connection.execute("SELECT symbol, quantity FROM holdings WHERE quantity != 0").fetchall()
            entries = connection.execute("SELECT intent_id FROM orders WHERE side = 'buy'").fetchall()
        return VenueBook(
            deals=Counter((one[0], one[1], one[2], Decimal(one[3])) for one in deals),
            positions=dict(held),
            cash=Decimal(cash),
            entries=Counter(name for (name,) in entries),
        )

    def _look(self) -> Iterator[tuple[str, int, int, int]]:
        if not self.path.exists():
            return
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT symbol, side, sum(quantity - filled) FROM orders "
                "WHERE state IN ('acknowledged', 'partially_filled') AND NOT (parent IS NOT NULL AND type = 'limit') "
                "GROUP BY symbol, side"
            ).fetchall()
            held = dict(connection.execute("SELECT symbol, quantity FROM holdings").fetchall())
        left = {(symbol, side): shares for symbol, side, shares in rows}
        for symbol in PRICES:
            yield symbol, held.get(symbol, 0), left.get((symbol, "sell"), 0), left.get((symbol, "buy"), 0)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as connection:
            # One snapshot: the trading process may be writing.
            connection.execute("BEGIN")
            yield connection


@dataclass(kw_only=True)
class AlpacaWorld(World):
    """The local Alpaca, over HTTP, with alpaca-py on the other side."""

    def _begin(self) -> None:
        prices = {symbol: next(iter(self._bars[0][symbol]))[0] for symbol in PRICES}
        self.server = alpaca.LocalAlpaca(AlpacaBook(lambda: self.now, cash=CASH, prices=prices), limit=10**9)
        # What the stream tells comes in the midst of a step: the book is looked at after it.
        for name in ("place", "cancel", "replace", "set_price"):
            setattr(self.server.book, name, self._seen_after(getattr(self.server.book, name)))
        self._on_their_way, hold = 0, self.server.hold

        def held(seconds: float) -> None:
            self._on_their_way += 1
            try:
                hold(seconds)
            finally:
                self._on_their_way -= 1

        self.server.hold = held  # type: ignore[method-assign]

    def _seen_after(self, step: Callable[..., Any]) -> Callable[..., Any]:
        def seen(*arguments: Any) -> Any:
            try:
                return step(*arguments)
            finally:
                self.look()

        return seen

    def broker(self, clock: Clock, exchange: Callable[[Clock], Broker]) -> Broker:
        from trading_platform.brokers.alpaca import AlpacaBroker

        del exchange
        return AlpacaBroker(
            key=Secret(alpaca.KEY),
            secret=Secret(alpaca.SECRET),
            clock=clock,
            paper=True,
            base_url=self.server.url,
            read_timeout=5 * PATIENCE,
        )

    def book(self) -> VenueBook:
        book = self.server.book
        with book.lock:
            return VenueBook(
                deals=Counter(
                    (one["symbol"], one["side"], int(one["qty"]), Decimal(one["price"])) for one in book.fills
                ),
                positions={symbol: shares for symbol, shares in book.held.items() if shares},
                cash=book.cash,
                entries=Counter(
                    one.client_id.split("~")[0]
                    for one in book.orders.values()
                    if one.side == "buy" and one.replaces is None
                ),
            )

    def close(self) -> None:
        self.server.close()

    def _look(self) -> Iterator[tuple[str, int, int, int]]:
        book = self.server.book
        with book.lock:
            for symbol in PRICES:
                buying = sum(one.left for one in book.live(symbol) if one.side == "buy")
                yield symbol, book.held.get(symbol, 0), book.on_offer(symbol), buying

    def _pass_minute(self) -> None:
        # A request is late by moments of the wall's clock, and not by minutes of the session's.
        while self._on_their_way:
            time.sleep(_MOMENT)
            if not self._on_their_way:
                time.sleep(_MOMENT)

    def _trade(self, symbol: str, price: Decimal, volume: int) -> None:
        self.server.book.set_price(symbol, price, volume)

    def _end_day(self) -> None:
        self.server.book.end_day()

    def _go_wrong(self, name: str) -> None:
        self.server.arm(_ALPACA_FAULTS[name])


_KIND: Final = alpaca.Kind
_ALPACA_FAULTS: Final = MappingProxyType(
    {
        "taken, then 504": alpaca.Fault(kind=_KIND.ACCEPT_THEN_STATUS),
        "taken, then dropped": alpaca.Fault(kind=_KIND.ACCEPT_THEN_DROP),
        "taken, answered late": alpaca.Fault(kind=_KIND.ACCEPT_THEN_ANSWER_LATE, seconds=_LATE),
        "taken, answered with babble": alpaca.Fault(kind=_KIND.ACCEPT_THEN_BABBLE),
        "504": alpaca.Fault(kind=_KIND.STATUS),
        "dropped": alpaca.Fault(kind=_KIND.DROP),
        "429": alpaca.Fault(kind=_KIND.STATUS, status=429, bare=True),
        "refused": alpaca.Fault(kind=_KIND.REFUSE, refusal=Refusal(403, 40310000, "insufficient buying power")),
        "arrives late": alpaca.Fault(kind=_KIND.ARRIVE_LATE, seconds=_LATE),
        "no answer to a question": alpaca.Fault(kind=_KIND.DROP, method="GET", path="/v2/"),
        "cancel taken, then 504": alpaca.Fault(kind=_KIND.ACCEPT_THEN_STATUS, method="DELETE"),
        "cancel dropped": alpaca.Fault(kind=_KIND.DROP, method="DELETE"),
        "replace taken, then 504": alpaca.Fault(kind=_KIND.ACCEPT_THEN_STATUS, method="PATCH"),
    }
)


@dataclass(kw_only=True)
class IbkrWorld(World):
    """The local TWS, over its socket protocol, with ib_insync on the other side."""

    def _begin(self) -> None:
        self._clock = SimulatedClock(self.now)
        self.server = tws.LocalTws(self._clock)
        prices = {symbol: next(iter(self._bars[0][symbol]))[0] for symbol in PRICES}
        self.server.exchange = Exchange(self._clock, cash=CASH, prices=prices)
        changed, executed = self.server._changed, self.server._executed

        def told(order: WorkingOrder) -> None:
            changed(order)
            self.look()

        self.server.exchange.listeners.changed = told
        self.server.exchange.listeners.executed = executed
        self._later: list[Callable[[], None]] = []

    def broker(self, clock: Clock, exchange: Callable[[Clock], Broker]) -> Broker:
        from trading_platform.brokers.ibkr import IbkrBroker
        from trading_platform.brokers.ibkr_address import Patience
        from trading_platform.brokers.ibkr_budget import MessageBudget

        del exchange
        return IbkrBroker(
            host="127.0.0.1",
            port=self.server.port,
            client_id=7,
            account=tws.ACCOUNT,
            paper=True,
            clock=clock,
            patience=Patience(
                connect=timedelta(seconds=2),
                answer=PATIENCE,
                first_retry=timedelta(milliseconds=10),
                longest_retry=timedelta(milliseconds=50),
                pulse=timedelta(seconds=30),
            ),
            # A session's minutes pass at once: a second of the wall holds hundreds of its messages.
            budget=MessageBudget(most=100_000, for_questions=100_000),
        )

    def book(self) -> VenueBook:
        with self.server.lock:
            venue = self.server.exchange
            return VenueBook(
                deals=Counter(
                    (one.symbol, "buy" if one.action == "BUY" else "sell", one.shares, one.price)
                    for one in venue.executions
                ),
                positions={symbol: shares for symbol, shares in venue.positions.items() if shares},
                cash=venue.cash,
                entries=Counter(one.ref for one in venue.orders if one.action == "BUY" and one.transmitted),
            )

    def close(self) -> None:
        self.server.close()

    def disconnect(self) -> None:
        self.server.drop()

    def _look(self) -> Iterator[tuple[str, int, int, int]]:
        with self.server.lock:
            venue = self.server.exchange
            for symbol in PRICES:
                buying = sum(
                    one.total - one.filled
                    for one in venue.open_orders
                    if one.symbol == symbol and one.action == "BUY" and one.transmitted
                )
                yield symbol, venue.positions.get(symbol, 0), venue.on_offer(symbol), buying

    def _pass_minute(self) -> None:
        self._clock.advance_to(self.now)
        later, self._later = self._later, []
        for act in later:
            act()
        self._arrive()

    def _arrive(self) -> None:
        self.server.release()

    def _trade(self, symbol: str, price: Decimal, volume: int) -> None:
        self.server.trade(symbol, price, volume)

    def _end_day(self) -> None:
        with self.server.lock:
            self.server.exchange.end_of_day()

    def _go_wrong(self, name: str) -> None:
        if name in _IBKR_FAULTS:
            self.server.faults.append(_IBKR_FAULTS[name])
        elif name == "disconnected":
            self.server.drop()
        elif name == "link lost":
            self.server.say(1100, "Connectivity between IB and Trader Workstation has been lost.")
            self._later.append(lambda: self.server.say(1102, "Connectivity has been restored - data maintained."))
        elif name == "ids go back":
            self.server.restart(next_id=1)
        elif name == "another permId":
            with self.server.lock:
                for order in self.server.exchange.open_orders:
                    order.perm_id = self.server.exchange.next_perm_id()
            self.server.drop()
        elif name == "mute":
            self.server.mute = True
            self._later.append(lambda: setattr(self.server, "mute", False))


def _tws_fault(request: str, kind: tws.Kind, code: int = 0) -> tws.Fault:
    return tws.Fault(request=request, kind=kind, code=code, text="said the venue")


_IBKR_FAULTS: Final = MappingProxyType(
    {
        "dropped before": _tws_fault("place", tws.Kind.DROP_BEFORE),
        "dropped after": _tws_fault("place", tws.Kind.DROP_AFTER),
        "arrives late": _tws_fault("place", tws.Kind.LATE_EFFECT),
        "lost": _tws_fault("place", tws.Kind.LOST),
        "silent": _tws_fault("place", tws.Kind.SILENT),
        "answered late": _tws_fault("place", tws.Kind.HELD),
        "answered twice": _tws_fault("place", tws.Kind.TWICE),
        "answered in reverse": _tws_fault("place", tws.Kind.REVERSED),
        "103 on a live order": _tws_fault("place", tws.Kind.ERROR_AND_LIVE, 103),
        "103": _tws_fault("place", tws.Kind.REFUSED, 103),
        "refused": _tws_fault("place", tws.Kind.REFUSED, 201),
        "cancel lost": _tws_fault("cancel", tws.Kind.LOST),
        "cancel silent": _tws_fault("cancel", tws.Kind.SILENT),
    }
)


def world_of(schedule: Schedule, session: Session, folder: Path) -> World:
    """The schedule's venue, a minute before its session opens."""
    common: dict[str, Any] = {"schedule": schedule, "session": session, "now": session.open - _MINUTE}
    if schedule.broker == "paper":
        return PaperWorld(**common, path=folder / "paper.sqlite")
    return {"alpaca": AlpacaWorld, "ibkr": IbkrWorld}[schedule.broker](**common)


def _bars_of(tape: str) -> dict[int, dict[str, list[tuple[Decimal, int]]]]:
    """By minute and symbol the prices that are traded, in order, each with the shares that are for our orders."""
    found: dict[int, dict[str, list[tuple[Decimal, int]]]] = {}
    for line in tape.splitlines():
        symbol, minute, *rest = line.split()
        opens, high, low, closes = (Decimal(cell) for cell in rest[:4])
        ours = int(rest[4]) // 10
        path = (opens, low, high, closes) if int(minute) % 2 else (opens, high, low, closes)
        found.setdefault(int(minute), {})[symbol] = [(price, max(ours // _PRINTS, 1)) for price in path]
    return found
