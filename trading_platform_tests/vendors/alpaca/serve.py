"""The local Alpaca as a program of its own, driven a line at a time: what the demo trades against.

    python trading_platform_tests/vendors/alpaca/serve.py [--cash 100000]

It listens on free ports of 127.0.0.1, prints one line of JSON with `url`, `stream`, `key` and `secret`, and answers each
line of JSON on its standard input with one on its standard output, until its input ends:

    {"clock": "2025-10-09T13:31:00Z"}          the venue's time; it stands still in between, and never goes back
    {"bar": {"symbol": "SPY", "open": "10", "high": "10.2", "low": "9.9", "close": "10.1", "volume": 1000}}
                                               one minute of trading, answered with how many fills it made
    {"end_day": true}                          day orders expire

A symbol can be traded from its first bar on. A line that cannot be done is answered with `error`.
"""

import argparse
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trading_platform.domain.clock import SimulatedClock
    from trading_platform_tests.vendors.alpaca.alpaca_book import AlpacaBook

BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[3]


def serve(cash: Decimal) -> None:
    """Serve until the standard input ends."""
    from trading_platform.domain.clock import SimulatedClock
    from trading_platform_tests.vendors.alpaca.alpaca_book import AlpacaBook
    from trading_platform_tests.vendors.alpaca.alpaca_server import KEY, SECRET, LocalAlpaca

    clock = SimulatedClock(BEGINNING)
    book = AlpacaBook(clock.now, cash=cash)
    server = LocalAlpaca(book)
    try:
        _say({"url": server.url, "stream": server.stream.url, "key": KEY, "secret": SECRET})
        for line in sys.stdin:
            _say(_answer(line, clock, book))
    finally:
        server.close()


def _answer(line: str, clock: "SimulatedClock", book: "AlpacaBook") -> dict[str, Any]:
    acts: dict[str, Callable[[Any], dict[str, Any]]] = {
        "clock": lambda told: _set_clock(told, clock),
        "bar": lambda told: _trade(told, book),
        "end_day": lambda _: _end_day(book),
    }
    try:
        ((name, told),) = json.loads(line).items()
        return acts[name](told)
    except (KeyError, ValueError, TypeError, AttributeError, ArithmeticError) as error:
        return {"error": f"{line.strip()[:200]} cannot be done: {type(error).__name__}: {error}"}


def _set_clock(told: str, clock: "SimulatedClock") -> dict[str, Any]:
    clock.advance_to(datetime.fromisoformat(told))
    return {"clock": clock.now().isoformat()}


def _trade(told: dict[str, Any], book: "AlpacaBook") -> dict[str, Any]:
    from trading_platform_tests.vendors.alpaca.alpaca_market import Minute, MinuteBar

    prices = {name: Decimal(str(told[name])) for name in ("open", "high", "low", "close")}
    bar = MinuteBar(symbol=str(told["symbol"]), volume=int(told["volume"]), **prices)
    return {"fills": Minute(book, bar).trade()}


def _end_day(book: "AlpacaBook") -> dict[str, Any]:
    before = len(book.live())
    book.end_day()
    return {"expired": before - len(book.live())}


def _say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    # The tests are no part of what is installed.
    sys.path.insert(0, str(ROOT))
    parser = argparse.ArgumentParser(description="A local Alpaca.")
    parser.add_argument("--cash", type=Decimal, default=Decimal(100_000), help="dollars in the account")
    serve(parser.parse_args().cash)
