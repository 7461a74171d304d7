"""What holds at the paper exchange whatever is sent to it: random orders of every kind over random bars and sessions.

Run as a script, this file prints what no longer holds without each guard of the exchange.
"""

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from trading_platform.brokers.fees import fee_schedule
from trading_platform.brokers.paper import PaperExchange
from trading_platform.calendars.sessions import Session
from trading_platform.domain.clock import SimulatedClock
from trading_platform.domain.compiled import empty_records
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.orders import (
    Accepted,
    AttachedStop,
    AttachedTarget,
    Execution,
    Found,
    Order,
    OrderState,
    OrderType,
    Side,
    TimeInForce,
)
from trading_platform.domain.records import bar_t
from trading_platform_tests.factories.guards import Guard, without_guards
from trading_platform_tests.factories.venues import brokers_without

EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
OPENING: Final = Decimal(100_000)
DAYS: Final = (date(2013, 10, 10), date(2013, 10, 11), date(2013, 10, 14))
"""A Thursday, a Friday and the Monday after them."""

MINUTE: Final = timedelta(minutes=1)
SESSION: Final = 12 * MINUTE
GRACE: Final = timedelta(seconds=10)
SYMBOLS: Final = ("AAA", "BBB")
SLACK: Final = Decimal("0.04")
"""Slippage of a basis point on some 10 dollars, to the cent, twice: for a stop at what its entry paid."""

GUARDS = {
    "legs": Guard(module="brokers.fill_model", source="orders[order.pair - 1].quantity -= quantity", without="pass"),
    "targets": Guard(
        module="brokers.fill_model",
        source="reference = _reference_after_buy(bar, stop, bought)",
        without="reference = _limit_price(bar, stop) if stop.type == LIMIT else _reference_after_buy(bar, stop, bought)",
    ),
    "volume": Guard(
        module="brokers.fill_model",
        source="quantity = min(left, order.quantity - order.filled)\n            if price",
        without="quantity = order.quantity - order.filled\n            if price",
    ),
    "limits": Guard(
        module="brokers.fill_model",
        source="if order.type == STOP_LIMIT and not _within_limit(price, order):",
        without="if False:",
    ),
    "stops": Guard(
        module="brokers.fill_model",
        source="return stop if order.side * farthest >= order.side * stop else 0",
        without="return stop",
    ),
    "arrival": Guard(module="brokers.fill_model", source="order.eligible > bar.time or ", without=""),
    "day": Guard(
        module="brokers.working_orders",
        source="expired = ended is not None and order.time_in_force is TimeInForce.DAY and order.session <= ended",
        without="expired = False",
    ),
    "gtc": Guard(module="brokers.working_orders", source="order.time_in_force is TimeInForce.DAY and ", without=""),
    "pairs": Guard(
        module="brokers.order_entry",
        source="for one in (order, *self._other_leg(order)):",
        without="for one in (order,):",
    ),
    "offered": Guard(
        module="brokers.order_entry", source="if order.quantity > held - offered:", without="if order.quantity > held:"
    ),
    "cash": Guard(
        module="brokers.paper_book",
        source="- sign * quantity * price - fee",
        without="- sign * quantity * price",
    ),
}
"""By what no longer holds without them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """An order that was taken, or what is attached to one; `limit` and `stop` are its prices."""

    symbol: str
    side: Side
    limit: Decimal | None
    stop: Decimal | None
    time_in_force: TimeInForce
    arrived: datetime
    entry: str | None = None


def session_of(day: date) -> Session:
    if day not in DAYS:
        raise InvalidInput(f"{day} is not a session")
    opening = datetime(day.year, day.month, day.day, 13, 30, tzinfo=UTC)
    return Session(day=day, open=opening, close=opening + SESSION)


class Market:
    """Bars at random: gaps, missing minutes, minutes without volume."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.bars = {(symbol, day): self._session(rng, day) for symbol in SYMBOLS for day in DAYS}

    def __call__(self, symbol: str, day: date, until: datetime) -> npt.NDArray[Any]:
        bars = self.bars.get((symbol, day), empty_records(0, bar_t))
        closed: npt.NDArray[Any] = bars[bars["time"] + 60 <= until.timestamp()]
        return closed

    def _session(self, rng: np.random.Generator, day: date) -> npt.NDArray[Any]:
        opening, cents = int(session_of(day).open.timestamp()), int(rng.integers(960, 1041))
        bars = empty_records(SESSION // MINUTE, bar_t)
        for minute, bar in enumerate(bars):
            first = cents + int(rng.integers(-25, 26)) * int(rng.random() < 0.3)
            low, high = first - int(rng.integers(0, 30)), first + int(rng.integers(0, 30))
            cents = int(rng.integers(low, high + 1))
            volume = int(rng.integers(0, 2_000)) * int(rng.random() < 0.95)
            prices = (100 * price for price in (first, high, low, cents))
            bar["time"] = opening + 60 * minute
            bar["open"], bar["high"], bar["low"], bar["close"] = prices
            bar["volume"] = volume
        kept: npt.NDArray[Any] = bars[(np.arange(len(bars)) == 0) | (rng.random(len(bars)) < 0.9)]
        return kept

    def bar(self, symbol: str, moment: datetime) -> Any:
        bars = self.bars[symbol, moment.date()]
        return bars[np.searchsorted(bars["time"], int(moment.timestamp()))]

    def reached(self, placed: Placed, until: datetime) -> bool:
        """Whether a bar from the order's arrival to that of `until` reached its stop."""
        assert placed.stop is not None
        price = int(placed.stop * 10_000)
        bars = np.concatenate([self.bars[placed.symbol, day] for day in DAYS])
        first, last = (placed.arrived - MINUTE).timestamp(), until.timestamp()
        bars = bars[(bars["time"] > first) & (bars["time"] <= last)]
        return bool((bars["high"] >= price).any() if placed.side is Side.BUY else (bars["low"] <= price).any())


class Run:
    """A random history at one exchange, and what did not hold in it."""

    def __init__(self, seed: int, exchange: Callable[..., PaperExchange], folder: Path) -> None:
        self.rng = np.random.default_rng(seed)
        self.market = Market(self.rng)
        self.clock = SimulatedClock(session_of(DAYS[0]).open + MINUTE)
        self.exchange, self.path = exchange, folder / "paper.sqlite"
        self.broker = self.opened()
        self.placed: dict[str, Placed] = {}
        self.broken: set[str] = set()

    def opened(self) -> PaperExchange:
        return self.exchange(
            self.path,
            clock=self.clock,
            bars=self.market,
            session_of=session_of,
            fees=fee_schedule("ibkr_fixed"),
            opening_cash=OPENING,
            open_grace=GRACE,
        )

    def play(self) -> set[str]:
        """What did not hold."""
        try:
            for moment in self.moments():
                self.clock.advance_to(moment)
                for _ in range(int(self.rng.integers(0, 4))):
                    self.act()
                if self.rng.random() < 0.1:
                    self.broker.close()
                    self.broker = self.opened()
                self.look()
            self.audit()
        except InvalidInput:
            # The book itself would not write down what happened.
            self.broken.add("book")
        finally:
            self.broker.close()
        return self.broken

    def moments(self) -> Iterator[datetime]:
        for day in DAYS:
            session = session_of(day)
            yield session.open - timedelta(hours=1) if day != DAYS[0] else self.clock.now()
            for minute in range(1, SESSION // MINUTE + 1):
                yield session.open + minute * MINUTE + timedelta(seconds=int(self.rng.integers(0, 30)))

    def act(self) -> None:
        deadline = self.clock.now() + timedelta(seconds=4)
        known = list(self.placed)
        choice = self.rng.random()
        if known and choice < 0.15:
            self.broker.cancel(known[int(self.rng.integers(len(known)))], deadline)
        elif known and choice < 0.3:
            self.broker.reduce(known[int(self.rng.integers(len(known)))], int(self.rng.integers(0, 120)), deadline)
        else:
            order = self.order(f"n{len(known)}")
            if isinstance(self.broker.submit(order, deadline), Accepted):
                self.note(order)

    def order(self, name: str) -> Order:
        side = Side.BUY if self.rng.random() < 0.6 else Side.SELL
        kind = list(OrderType)[int(self.rng.integers(len(OrderType)))]
        middle = self.price(960, 1041)
        legs = side is Side.BUY and self.rng.random() < 0.8
        bracket = legs and self.rng.random() < 0.8
        return Order(
            intent_id=name,
            symbol=SYMBOLS[int(self.rng.integers(len(SYMBOLS)))],
            side=side,
            type=kind,
            quantity=int(self.rng.integers(1, 300)),
            limit_price=middle + self.price(-10, 11) if kind in (OrderType.LIMIT, OrderType.STOP_LIMIT) else None,
            stop_price=middle if kind in (OrderType.STOP, OrderType.STOP_LIMIT) else None,
            time_in_force=TimeInForce.GTC if self.rng.random() < 0.5 else TimeInForce.DAY,
            attached_stop=AttachedStop(intent_id=f"{name}-stop", stop_price=middle - self.price(2, 40))
            if legs
            else None,
            attached_target=AttachedTarget(intent_id=f"{name}-target", limit_price=middle + self.price(2, 40))
            if bracket
            else None,
        )

    def price(self, low: int, high: int) -> Decimal:
        """Dollars, from `low` to under `high` cents."""
        return Decimal(int(self.rng.integers(low, high))) / 100

    def note(self, order: Order) -> None:
        common: dict[str, Any] = {
            "symbol": order.symbol,
            "time_in_force": order.time_in_force,
            "arrived": self.clock.now(),
        }
        self.placed[order.intent_id] = Placed(side=order.side, limit=order.limit_price, stop=order.stop_price, **common)
        leg = {"side": Side.SELL, "entry": order.intent_id, **common}
        if (stop := order.attached_stop) is not None:
            self.placed[stop.intent_id] = Placed(limit=None, stop=stop.stop_price, **leg)
        if (target := order.attached_target) is not None:
            self.placed[target.intent_id] = Placed(limit=target.limit_price, stop=None, **leg)

    def hold(self, what: str, *, does: bool) -> None:
        if not does:
            self.broken.add(what)

    def look(self) -> None:
        """What must hold at every moment."""
        now, held = self.clock.now(), self.broker.positions()
        working = {order.intent_id: order for order in self.broker.open_orders()}
        left = {name: order.quantity - order.filled for name, order in working.items()}
        offered: Counter[str] = Counter()
        for name, order in working.items():
            placed = self.placed[name]
            if order.side is Side.SELL and not name.endswith("-target"):
                offered[order.symbol] += left[name]
            if placed.entry is not None and f"{placed.entry}-target" in self.placed:
                both = {left.get(f"{placed.entry}-{leg}") for leg in ("stop", "target")}
                self.hold("pairs", does=len(both) == 1)
            worked = next(day for day in DAYS if placed.arrived < session_of(day).close)
            over = placed.time_in_force is TimeInForce.DAY and now >= session_of(worked).close
            self.hold("day", does=not over)
        self.hold("offered", does=all(offered[symbol] <= held.get(symbol, 0) for symbol in offered))

    def audit(self) -> None:
        """What must hold of all that happened."""
        executions = self.broker.executions(EARLIEST)
        cash, held, taken = OPENING, Counter[str](), Counter[tuple[str, datetime]]()
        for done in executions:
            sign = 1 if done.side is Side.BUY else -1
            cash -= sign * done.quantity * done.price + done.fee
            held[done.symbol] += sign * done.quantity
            taken[done.symbol, _minute(done)] += done.quantity
            self.hold("held", does=held[done.symbol] >= 0)
            self._audit_one(done)
        self.hold("cash", does=cash == self.broker.cash())
        self.hold("held", does=dict(+held) == dict(self.broker.positions()))
        for (symbol, minute), quantity in taken.items():
            self.hold("volume", does=quantity <= int(self.market.bar(symbol, minute)["volume"]) // 10)
        self._audit_legs(executions)
        filled = Counter[str]()
        for done in executions:
            filled[done.intent_id] += done.quantity
        for name, placed in self.placed.items():
            answer = self.broker.find(name)
            assert isinstance(answer, Found)
            self.hold("filled", does=filled[name] == answer.order.filled <= answer.order.quantity)
            expired = answer.order.state is OrderState.EXPIRED
            self.hold("gtc", does=not (expired and placed.time_in_force is TimeInForce.GTC))

    def _audit_one(self, done: Execution) -> None:
        placed, bar = self.placed[done.intent_id], self.market.bar(done.symbol, _minute(done))
        sign = 1 if done.side is Side.BUY else -1
        self.hold("arrival", does=_minute(done) + GRACE >= placed.arrived)
        if placed.limit is not None:
            self.hold("limits", does=sign * done.price <= sign * placed.limit)
        if placed.stop is not None:
            self.hold("stops", does=self.market.reached(placed, done.time))
        low, high = (Decimal(int(bar[name])) / 10_000 for name in ("low", "high"))
        self.hold("prices", does=low - SLACK <= done.price <= high + SLACK)

    def _audit_legs(self, executions: tuple[Execution, ...]) -> None:
        """Legs sell what their entry has bought, and a target what it had bought in earlier minutes."""
        bought, sold = list[Execution](), Counter[str]()
        for done in executions:
            entry = self.placed[done.intent_id].entry
            if entry is None:
                bought.append(done)
                continue
            sold[entry] += done.quantity
            own = [one for one in bought if one.intent_id == entry]
            self.hold("legs", does=sold[entry] <= sum(one.quantity for one in own))
            if done.intent_id.endswith("-target"):
                before = sum(one.quantity for one in own if one.time < done.time)
                self.hold("targets", does=sold[entry] <= before)


def _minute(done: Execution) -> datetime:
    return done.time.replace(second=0)


def broken(seed: int, exchange: Callable[..., PaperExchange]) -> set[str]:
    """What does not hold in the history of `seed`."""
    with tempfile.TemporaryDirectory() as folder:
        return Run(seed, exchange, Path(folder)).play()


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_what_must_hold_holds(seed: int) -> None:
    assert broken(seed, PaperExchange) == set()


def test_control_without_a_guard_what_it_guards_does_not_hold() -> None:
    told = without_guards(__file__)
    assert told.pop("") == []
    assert {name for name, lost in told.items() if name not in lost} == set()
    assert told.keys() == GUARDS.keys()


def _lost(guard: Guard | None) -> list[str]:
    changed = brokers_without(*([] if guard is None else [guard]))
    name = "" if guard is None else next(name for name, one in GUARDS.items() if one is guard)
    lost: set[str] = set()
    for seed in range(60):
        if name in lost or (guard is None and seed == 10):
            break
        lost |= broken(seed, changed["brokers.paper"].PaperExchange)
    return sorted(lost)


if __name__ == "__main__":
    print(json.dumps({"": _lost(None)} | {name: _lost(guard) for name, guard in GUARDS.items()}))  # noqa: T201  # the answer
