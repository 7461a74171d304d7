"""The local Alpaca as a process of its own, and what its market gives the orders of its book."""

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from trading_platform.brokers.alpaca import AlpacaBroker
from trading_platform.config.secrets import Secret
from trading_platform.domain.clock import SimulatedClock
from trading_platform.domain.errors import TemporaryError
from trading_platform.domain.orders import Accepted, AttachedStop, AttachedTarget, Order, OrderType, Side
from trading_platform_tests.vendors.alpaca.alpaca_book import AlpacaBook
from trading_platform_tests.vendors.alpaca.alpaca_market import Minute, MinuteBar

PROGRAM = Path(__file__).resolve().parents[1] / "vendors" / "alpaca" / "serve.py"
START = datetime.fromisoformat("2025-10-09T13:31:00Z")
EARLIEST = datetime.fromisoformat("2000-01-01T00:00:00Z")


class Program:
    """The program, and the lines that are exchanged with it."""

    def __init__(self, *options: str) -> None:
        # Nothing is set that says where the project is: a person starts it from anywhere.
        self._process = subprocess.Popen(
            [sys.executable, str(PROGRAM), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={},
            cwd="/",
        )
        self.told: dict[str, Any] = self._heard()

    def say(self, what: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write((what if isinstance(what, str) else json.dumps(what)) + "\n")
        self._process.stdin.flush()
        return self._heard()

    def end(self) -> int:
        """Close its input, and wait for its end."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        code = self._process.wait(20)
        if self._process.stdout is not None:
            self._process.stdout.close()
        return code

    def _heard(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        said: dict[str, Any] = json.loads(self._process.stdout.readline())
        return said


@pytest.fixture
def program() -> Iterator[Program]:
    program = Program("--cash", "50000")
    yield program
    program.end()


def bar(open_: str, high: str, low: str, close: str, volume: int = 100_000, symbol: str = "AAA") -> dict[str, Any]:
    return {"bar": {"symbol": symbol, "open": open_, "high": high, "low": low, "close": close, "volume": volume}}


def test_it_is_traded_against_and_ends_with_its_input(program: Program) -> None:
    clock = SimulatedClock(START)
    told = program.told
    assert told["stream"].startswith("ws://127.0.0.1:")
    broker = AlpacaBroker(
        key=Secret(told["key"]), secret=Secret(told["secret"]), clock=clock, paper=True, base_url=told["url"]
    )
    assert program.say({"clock": START.isoformat()}) == {"clock": START.isoformat()}
    assert program.say(bar("10", "10.1", "9.9", "10")) == {"fills": 0}
    assert (broker.cash(), broker.market_clock().now) == (Decimal(50_000), START)
    bracket = Order(
        intent_id="a",
        symbol="AAA",
        side=Side.BUY,
        type=OrderType.MARKET,
        quantity=100,
        attached_stop=AttachedStop(intent_id="a-stop", stop_price=Decimal("9.50")),
        attached_target=AttachedTarget(intent_id="a-target", limit_price=Decimal(11)),
    )
    assert isinstance(broker.submit(bracket, clock.now() + timedelta(seconds=4)), Accepted)
    program.say({"clock": (START + timedelta(minutes=1)).isoformat()})
    # What is bought in a bar its target does not sell in that bar.
    assert program.say(bar("10.20", "11.50", "10", "10.50")) == {"fills": 1}
    assert broker.positions() == {"AAA": 100}
    assert program.say(bar("10.50", "11.10", "10", "11")) == {"fills": 1}
    assert [(one.intent_id, one.price) for one in broker.executions(EARLIEST)] == [
        ("a", Decimal("10.20")),
        ("a-target", Decimal(11)),
    ]
    assert (broker.positions(), broker.open_orders(), broker.cash()) == ({}, (), Decimal(50_080))
    rest = Order(intent_id="b", symbol="AAA", side=Side.BUY, type=OrderType.LIMIT, limit_price=Decimal(5), quantity=1)
    assert isinstance(broker.submit(rest, clock.now() + timedelta(seconds=4)), Accepted)
    assert program.say({"end_day": True}) == {"expired": 1}
    assert program.end() == 0
    with pytest.raises(TemporaryError):
        broker.cash()
    broker.close()


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        {"dance": 1},
        {"clock": "yesterday"},
        {"clock": "1999-01-01T00:00:00Z"},
        {"bar": {"symbol": "AAA"}},
        bar("10", "9", "9", "10"),
        bar("ten", "9", "9", "10"),
        {"clock": "2025-10-09T13:31:00Z", "end_day": True},
    ],
)
def test_a_line_that_cannot_be_done_is_answered_and_ends_nothing(program: Program, line: Any) -> None:
    assert "cannot be done" in program.say(line)["error"]
    assert program.say({"clock": START.isoformat()}) == {"clock": START.isoformat()}


# What a bar gives.


@pytest.fixture
def book() -> AlpacaBook:
    return AlpacaBook(SimulatedClock(START).now, prices={"AAA": Decimal(10)})


def placed(book: AlpacaBook, kind: str, side: str = "buy", quantity: int = 100, **prices: str) -> str:
    body = {"symbol": "AAA", "side": side, "type": kind, "qty": str(quantity), "time_in_force": "day", **prices}
    return book.place(body).id


def traded(book: AlpacaBook, *prices: str, volume: int = 100_000) -> list[tuple[str, int, str]]:
    """What a bar of open, high, low, close fills: side, shares and price."""
    before = len(book.fills)
    opening, high, low, close = map(Decimal, prices)
    Minute(book, MinuteBar(symbol="AAA", open=opening, high=high, low=low, close=close, volume=volume)).trade()
    return [(fill["side"], int(fill["qty"]), fill["price"]) for fill in book.fills[before:]]


def bought(book: AlpacaBook, quantity: int = 100) -> None:
    placed(book, "market", quantity=quantity)
    assert traded(book, "10", "10", "10", "10") == [("buy", quantity, "10")]


def test_a_market_order_fills_at_the_open_with_a_tenth_of_the_volume(book: AlpacaBook) -> None:
    placed(book, "market")
    assert traded(book, "10.10", "11", "9", "10", volume=700) == [("buy", 70, "10.10")]
    assert traded(book, "10.20", "11", "9", "10", volume=9) == []
    assert traded(book, "10.30", "11", "9", "10") == [("buy", 30, "10.30")]


@pytest.mark.parametrize(
    ("prices", "filled"),
    [
        (("10", "10", "9.51", "10"), None),
        (("10", "10", "9.50", "10"), "9.50"),
        (("9.20", "10", "9", "10"), "9.20"),
    ],
    ids=["not reached", "reached", "gap"],
)
def test_a_stop_fills_at_its_price_or_at_an_open_beyond_it(
    book: AlpacaBook, prices: tuple[str, ...], filled: str | None
) -> None:
    bought(book)
    placed(book, "stop", "sell", stop_price="9.50")
    assert traded(book, *prices) == ([] if filled is None else [("sell", 100, filled)])


@pytest.mark.parametrize(
    ("side", "limit", "prices", "filled"),
    [
        ("buy", "9.80", ("10", "10", "9.81", "10"), None),
        ("buy", "9.80", ("10", "10", "9.80", "10"), "9.80"),
        ("buy", "9.80", ("9.70", "10", "9.60", "10"), "9.70"),
        ("sell", "10.20", ("10", "10.19", "9", "10"), None),
        ("sell", "10.20", ("10", "10.20", "9", "10"), "10.20"),
        ("sell", "10.20", ("10.30", "10.40", "9", "10"), "10.30"),
    ],
)
def test_a_limit_fills_at_its_price_or_at_a_better_open(
    book: AlpacaBook, side: str, limit: str, prices: tuple[str, ...], filled: str | None
) -> None:
    if side == "sell":
        bought(book)
    placed(book, "limit", side, limit_price=limit)
    assert traded(book, *prices) == ([] if filled is None else [(side, 100, filled)])


def test_the_rest_of_a_stop_is_a_market_order_and_a_stop_limit_keeps_its_limit(book: AlpacaBook) -> None:
    bought(book, 200)
    placed(book, "stop", "sell", stop_price="9.50")
    placed(book, "stop_limit", "sell", stop_price="9.50", limit_price="9.40")
    assert traded(book, "10", "10", "9.50", "9.60", volume=300) == [("sell", 30, "9.50")]
    assert traded(book, "9.30", "9.35", "9", "9.20") == [("sell", 70, "9.30")]
    assert traded(book, "9.20", "9.45", "9", "9.20") == [("sell", 100, "9.40")]


def test_of_a_pair_that_is_touched_on_both_sides_the_stop_sells(book: AlpacaBook) -> None:
    bought(book)
    pair = {"order_class": "oco", "take_profit": {"limit_price": "10.50"}, "stop_loss": {"stop_price": "9.50"}}
    book.place({"symbol": "AAA", "side": "sell", "type": "limit", "qty": "100", "time_in_force": "day", **pair})
    assert traded(book, "10", "11", "9", "10") == [("sell", 100, "9.50")]
    assert book.live() == []


@pytest.mark.parametrize(("quantity", "sold"), [(100, [("sell", 100, "9.50")]), (20_000, [])])
def test_the_stop_of_what_a_bar_bought_sells_in_it_once_the_entry_is_whole(
    book: AlpacaBook, quantity: int, sold: list[tuple[str, int, str]]
) -> None:
    book.cash = Decimal(1_000_000)
    legs = {"order_class": "oto", "stop_loss": {"stop_price": "9.50"}}
    book.place({"symbol": "AAA", "side": "buy", "type": "market", "qty": str(quantity), "time_in_force": "day", **legs})
    _, *rest = traded(book, "10", "10.10", "9.40", "9.60")
    assert rest == sold


def test_a_stop_to_buy_fills_beyond_its_price(book: AlpacaBook) -> None:
    placed(book, "stop", stop_price="10.50")
    assert traded(book, "10", "10.49", "9", "10") == []
    assert traded(book, "10", "10.60", "9", "10") == [("buy", 100, "10.50")]
