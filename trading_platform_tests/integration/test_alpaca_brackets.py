"""Resting stops and targets at Alpaca: what protects is for what is held, through partial fills, cancels and restarts.

The witness is the venue's own book. While an entry is partly filled and works on, Alpaca protects nothing of it; from
its end on its protection is for exactly what it bought and has not sold again.
"""

import random
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from trading_platform.brokers.alpaca import AlpacaBroker
from trading_platform.brokers.alpaca_changes import AlpacaChanges
from trading_platform.brokers.alpaca_view import AlpacaView
from trading_platform.config.secrets import Secret
from trading_platform.domain.clock import SystemClock
from trading_platform.domain.orders import (
    Accepted,
    AttachedStop,
    AttachedTarget,
    BrokerOrder,
    Found,
    NotSent,
    Order,
    OrderState,
    OrderType,
    Rejected,
    Side,
)
from trading_platform_tests.vendors.alpaca.alpaca_book import Refusal
from trading_platform_tests.vendors.alpaca.alpaca_server import KEY, SECRET, Fault, Kind, LocalAlpaca, local_alpaca

CLOCK = SystemClock()
EARLIEST = datetime.fromisoformat("2000-01-01T00:00:00Z")
SEEDS = range(24)
STEPS = 30


@pytest.fixture
def server() -> Iterator[LocalAlpaca]:
    with local_alpaca(CLOCK.now) as server:
        yield server


@pytest.fixture
def connect(server: LocalAlpaca) -> Iterator[Callable[[], AlpacaBroker]]:
    """Makes an adapter at each call, as a process that starts does; all are closed after the test."""
    made: list[AlpacaBroker] = []

    def make() -> AlpacaBroker:
        made.append(AlpacaBroker(key=Secret(KEY), secret=Secret(SECRET), clock=CLOCK, paper=True, base_url=server.url))
        return made[-1]

    yield make
    for broker in made:
        broker.close()


def soon() -> datetime:
    return CLOCK.now() + timedelta(seconds=2)


def entry(intent: str, quantity: int = 100, *, target: str | None = "10.50", stop: str = "9.50") -> Order:
    return Order(
        intent_id=intent,
        symbol="IBM",
        side=Side.BUY,
        type=OrderType.MARKET,
        quantity=quantity,
        attached_stop=AttachedStop(intent_id=f"{intent}-stop", stop_price=Decimal(stop)),
        attached_target=AttachedTarget(intent_id=f"{intent}-target", limit_price=Decimal(target)) if target else None,
    )


def sent(broker: AlpacaBroker, *orders: Order) -> None:
    for order in orders:
        assert isinstance(broker.submit(order, soon()), Accepted)


def shown(broker: AlpacaBroker, intent: str) -> BrokerOrder:
    answer = broker.find(intent)
    assert isinstance(answer, Found)
    return answer.order


def open_of(broker: AlpacaBroker) -> dict[str, int]:
    """Open shares of what may sell now, by intent."""
    return {
        order.intent_id: order.quantity - order.filled
        for order in broker.open_orders()
        if order.side is Side.SELL and order.quantity > order.filled
    }


class Account:
    """How much of each entry is held and shall be protected. `given_up`: to how much that was reduced, less what sold."""

    def __init__(self, server: LocalAlpaca, *intents: str) -> None:
        self.book, self.intents = server.book, intents
        self.given_up: dict[str, int] = {}

    def traded(self, intent: str) -> tuple[int, int]:
        """Shares bought by an entry, and sold by its legs and what stands in their place, in the venue's own words."""
        ours = {order.id for order in self.book.orders.values() if intent in self._entries_of(order)}
        fills = [fill for fill in self.book.fills if fill["order_id"] in ours]
        return (
            sum(int(fill["qty"]) for fill in fills if fill["side"] == "buy"),
            sum(int(fill["qty"]) for fill in fills if fill["side"] == "sell"),
        )

    def _entries_of(self, order: Any) -> set[str]:
        top = order.parent or order
        while top.replaces is not None:
            top = self.book.orders[top.replaces]
        return {name.split("-")[0] for name in top.client_id.split("~")}

    def protected(self, intent: str) -> int:
        """Shares of an entry that its legs must offer."""
        bought, sold = self.traded(intent)
        works = any(order.is_open and order.side == "buy" for order in self.book.named(intent))
        if works:
            return 0
        return min(bought - sold, self.given_up.get(intent, bought))

    def check(self, broker: AlpacaBroker) -> None:
        held = self.book.held.get("IBM", 0)
        wanted = {intent: self.protected(intent) for intent in self.intents}
        assert held == sum(bought - sold for bought, sold in map(self.traded, self.intents)) >= 0
        assert self.book.on_offer("IBM") == sum(wanted.values()) <= held
        offered = open_of(broker)
        for intent, quantity in wanted.items():
            # Both of a pair are for the same shares; a stop may stand alone, and a target never does.
            assert offered.get(f"{intent}-stop", 0) == quantity
            assert offered.get(f"{intent}-target", quantity) == quantity


def act(chance: random.Random, account: Account, broker: AlpacaBroker) -> None:
    """One thing that happens: a trade at the venue, a cancellation or a reduction."""
    intent = chance.choice(account.intents)
    happens = chance.randrange(8)
    if happens < 5:
        price = chance.choice(("10", "10", "10.50", "9.40"))
        account.book.set_price("IBM", price, shares=chance.randrange(1, 70))
    elif happens == 5:
        broker.cancel(intent, soon())
    elif happens == 6:
        left = chance.randrange(1, 90)
        before = account.protected(intent)
        if isinstance(broker.reduce(f"{intent}-{chance.choice(('stop', 'target'))}", left, soon()), Accepted):
            bought, _ = account.traded(intent)
            account.given_up[intent] = min(left, before, account.given_up.get(intent, bought))
    elif isinstance(broker.cancel(f"{intent}-stop", soon()), Accepted):
        account.given_up[intent] = 0
    if broker.oddities:
        # The price is beyond the stop, and beside a working entry Alpaca takes no stop alone: that one goes, too.
        assert "wash trade" in broker.oddities[0]
        broker.cancel("b" if intent == "a" else "a", soon())


@pytest.mark.parametrize("seed", SEEDS)
def test_two_brackets_in_one_symbol_protect_what_each_of_them_bought(
    server: LocalAlpaca, connect: Callable[[], AlpacaBroker], seed: int
) -> None:
    chance = random.Random(seed)
    broker, account = connect(), Account(server, "a", "b")
    sent(broker, entry("a"), entry("b", target="10.40", stop="9.45"))
    for _ in range(STEPS):
        sold_before = {intent: account.traded(intent)[1] for intent in account.intents}
        act(chance, account, broker)
        for intent, before in sold_before.items():
            if intent in account.given_up:
                account.given_up[intent] -= account.traded(intent)[1] - before
        if chance.random() < 0.2:
            broker = connect()
        account.check(broker)
    for intent in account.intents:
        broker.cancel(intent, soon())
    account.check(connect())
    free = account.book.held.get("IBM", 0) - sum(map(account.protected, account.intents))
    server.book.set_price("IBM", "9")
    assert server.book.held.get("IBM", 0) == free
    assert broker.oddities == ()


def test_a_partly_filled_target_leaves_its_stop_what_is_held(
    server: LocalAlpaca, connect: Callable[[], AlpacaBroker]
) -> None:
    broker = connect()
    sent(broker, entry("a", 60), entry("b", 40, target="11"))
    server.book.set_price("IBM", "10")
    server.book.set_price("IBM", "10.50", shares=25)
    assert open_of(broker) == {"a-stop": 35, "a-target": 35, "b-stop": 40, "b-target": 40}
    assert (shown(broker, "a-stop").quantity, shown(broker, "a-stop").filled) == (35, 0)
    server.book.set_price("IBM", "9.50")
    assert (server.book.held, server.book.live()) == ({"IBM": 0}, [])
    assert {name: shown(broker, name).state for name in ("a-stop", "a-target", "b-target")} == {
        "a-stop": OrderState.FILLED,
        "a-target": OrderState.CANCELLED,
        "b-target": OrderState.CANCELLED,
    }


def test_a_partly_filled_stop_leaves_its_target_what_is_held(
    server: LocalAlpaca, connect: Callable[[], AlpacaBroker]
) -> None:
    broker = connect()
    sent(broker, entry("a"))
    server.book.set_price("IBM", "10")
    server.book.set_price("IBM", "9.50", shares=70)
    assert open_of(broker) == open_of(connect()) == {"a-stop": 30, "a-target": 30}
    server.book.set_price("IBM", "10.50")
    assert server.book.held == {"IBM": 0}


@pytest.mark.parametrize("tries", [True, False], ids=["as it is", "control: not tried again"])
def test_a_stop_that_another_working_entry_forbids_stands_once_that_entry_is_cancelled(
    server: LocalAlpaca, connect: Callable[[], AlpacaBroker], monkeypatch: pytest.MonkeyPatch, *, tries: bool
) -> None:
    if not tries:
        protect = AlpacaChanges._protect
        monkeypatch.setattr(
            AlpacaChanges, "_protect", lambda self, *how: (self.give_up_protection(), protect(self, *how))
        )
    broker = connect()
    sent(broker, entry("a", target=None), entry("b"))
    server.book.set_price("IBM", "10", shares=40)
    began = CLOCK.now()
    assert isinstance(broker.cancel("a", soon()), Accepted)
    # It is no use to wait for the entry that is cancelled next.
    assert CLOCK.now() - began < timedelta(seconds=1)
    assert "wash trade" in broker.oddities[0]
    assert isinstance(broker.cancel("b", soon()), Accepted)
    assert server.book.on_offer("IBM") == (40 if tries else 0)
    assert open_of(broker) == ({"a-stop": 40} if tries else {})
    assert bool(broker.oddities) != tries


def test_a_stop_that_another_working_entry_forbids_stands_once_that_entry_is_filled(
    server: LocalAlpaca, connect: Callable[[], AlpacaBroker], monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = connect()
    sent(broker, entry("a", target=None), entry("b"))
    server.book.set_price("IBM", "10", shares=40)
    broker.cancel("a", soon())
    monkeypatch.setattr(server.book, "cancel", lambda _: server.book.set_price("IBM", "10"))
    assert isinstance(broker.cancel("b", soon()), Rejected)
    assert open_of(broker) == {"a-stop": 40, "b-stop": 100, "b-target": 100}


@pytest.mark.parametrize("looks", [True, False], ids=["as it is", "control: not looked for"])
def test_a_stop_is_not_reduced_where_another_working_entry_would_leave_none(
    server: LocalAlpaca, connect: Callable[[], AlpacaBroker], monkeypatch: pytest.MonkeyPatch, *, looks: bool
) -> None:
    if not looks:
        monkeypatch.setattr(AlpacaView, "entry_at_work", lambda *_: None)
    broker = connect()
    sent(broker, entry("a", target=None), entry("b"))
    server.book.set_price("IBM", "10", shares=100)
    answer = broker.reduce("a-stop", 60, soon())
    assert isinstance(answer, Rejected if looks else Accepted)
    assert open_of(broker) == ({"a-stop": 100} if looks else {})
    broker.cancel("b", soon())
    if looks:
        assert isinstance(broker.reduce("a-stop", 60, soon()), Accepted)
        assert open_of(broker) == {"a-stop": 60}


def test_protection_that_somebody_has_seen_missing_is_not_placed_any_more(
    server: LocalAlpaca, connect: Callable[[], AlpacaBroker]
) -> None:
    broker = connect()
    sent(broker, entry("a", target=None), entry("b"))
    server.book.set_price("IBM", "10", shares=40)
    broker.cancel("a", soon())
    assert open_of(broker) == {}
    # Who looked has decided on a stop of their own, which would otherwise stand in the way of this one.
    broker.cancel("b", soon())
    stop = Order(
        intent_id="c",
        symbol="IBM",
        side=Side.SELL,
        type=OrderType.STOP,
        quantity=40,
        stop_price=Decimal("9.50"),
    )
    sent(broker, stop)
    assert open_of(broker) == {"c": 40}


def test_a_pair_that_the_price_has_passed_becomes_its_stop(
    server: LocalAlpaca, connect: Callable[[], AlpacaBroker]
) -> None:
    broker = connect()
    sent(broker, entry("a"))
    server.book.set_price("IBM", "10", shares=40)
    server.book.prices["IBM"] = Decimal("9.40")
    assert isinstance(broker.cancel("a", soon()), Accepted)
    assert open_of(broker) == open_of(connect()) == {"a-stop": 40}
    assert shown(connect(), "a-target").state is OrderState.CANCELLED
    assert isinstance(connect().reduce("a-stop", 10, soon()), Accepted)
    assert server.book.on_offer("IBM") == 10
    server.book.set_price("IBM", "9.40")
    assert server.book.held == {"IBM": 30}


class ProcessDied(BaseException):
    """Stands for the end of the process."""


def dying(broker: AlpacaBroker, method: str, *, after: bool) -> None:
    """Let the process end just before or after its next request of this method."""
    call = broker._line.call

    def die(asked: str, *request: Any, **how: Any) -> Any:
        if asked == method and not after:
            raise ProcessDied
        said = call(asked, *request, **how)  # type: ignore[arg-type]
        if asked == method:
            raise ProcessDied
        return said

    broker._line.call = die  # type: ignore[method-assign, assignment]


@pytest.mark.parametrize("heals", [True, False], ids=["as it is", "control: an ended entry is left as it is"])
@pytest.mark.parametrize("target", [None, "10.50"], ids=["stop", "bracket"])
@pytest.mark.parametrize(("method", "after"), [("delete", False), ("delete", True), ("post", False), ("post", True)])
def test_who_cancels_again_after_a_crash_finds_or_places_the_protection(
    server: LocalAlpaca,
    connect: Callable[[], AlpacaBroker],
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    target: str | None,
    *,
    after: bool,
    heals: bool,
) -> None:
    if not heals:
        monkeypatch.setattr(AlpacaChanges, "_protect_what_was_left", lambda *_: None)
    first = connect()
    sent(first, entry("a", target=target))
    server.book.set_price("IBM", "10", shares=40)
    dying(first, method, after=after)
    with pytest.raises(ProcessDied):
        first.cancel("a", soon())
    unplaced = (method, after) in (("delete", True), ("post", False))
    for _ in range(2):
        answer = connect().cancel("a", soon())
        assert isinstance(answer, Accepted | Rejected)
        assert server.book.on_offer("IBM") == (0 if unplaced and not heals else 40)
    assert shown(connect(), "a").state is OrderState.CANCELLED
    server.book.set_price("IBM", "9")
    assert server.book.held == {"IBM": 40 if unplaced and not heals else 0}


def test_protection_that_was_given_up_is_not_placed_again_with_the_entry(
    server: LocalAlpaca, connect: Callable[[], AlpacaBroker]
) -> None:
    broker = connect()
    sent(broker, entry("a"))
    server.book.set_price("IBM", "10", shares=40)
    broker.cancel("a", soon())
    assert isinstance(broker.cancel("a-stop", soon()), Accepted)
    for again in (broker, connect()):
        assert isinstance(again.cancel("a", soon()), Rejected)
        assert server.book.live() == []


def test_a_change_that_did_not_leave_leaves_the_protection_as_it_was(
    server: LocalAlpaca, connect: Callable[[], AlpacaBroker]
) -> None:
    broker = connect()
    sent(broker, entry("a"))
    server.book.set_price("IBM", "10")
    server.arm(Fault(kind=Kind.STATUS, method="GET", status=503))
    assert isinstance(connect().reduce("a-stop", 10, soon()), NotSent)
    assert open_of(broker) == {"a-stop": 100, "a-target": 100}


def test_a_reduction_in_doubt_shows_as_what_it_came_to(
    server: LocalAlpaca, connect: Callable[[], AlpacaBroker]
) -> None:
    broker = connect()
    sent(broker, entry("a"))
    server.book.set_price("IBM", "10")
    server.arm(
        Fault(kind=Kind.ACCEPT_THEN_DROP, method="DELETE"),
        Fault(kind=Kind.REFUSE, refusal=Refusal(403, 40310000, "insufficient qty", held_for_orders="100")),
    )
    assert isinstance(broker.reduce("a-target", 60, soon()), Accepted)
    assert open_of(connect()) == {"a-stop": 60, "a-target": 60}
    assert server.count("DELETE") == 1
