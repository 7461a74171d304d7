"""One schedule of the fault campaign: a market, what is traded on it, and what goes wrong. All of it from two numbers.

Here belongs what is drawn, and from which bounds. What a named fault does at a venue is `campaign_worlds`, where a
process crashes is `campaign_life`. The same seed and number give the same schedule on every machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from types import MappingProxyType
from typing import Final

from trading_platform.calendars.exchange import ExchangeCalendar, calendar_of
from trading_platform.config.settings import MarketHours
from trading_platform_tests.faults.killed_session import POINTS

BROKERS: Final = ("paper", "alpaca", "ibkr")
PRICES: Final = MappingProxyType({"AAA": 50.0, "BBB": 20.0, "CCC": 100.0})
"""Each symbol's first price. They stay so far from each other that a price tells the symbol."""

LENGTHS: Final = (8, 9, 10, 12)
"""Minutes of a session."""

FAULTS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "paper": ("request lost", "answer lost", "not sent", "refused", "blind", "stale", "away"),
        "alpaca": (
            "taken, then 504", "taken, then dropped", "taken, answered late", "taken, answered with babble", "504",
            "dropped", "429", "refused", "arrives late", "no answer to a question", "cancel taken, then 504",
            "cancel dropped", "replace taken, then 504",
        ),
        "ibkr": (
            "dropped before", "dropped after", "arrives late", "lost", "silent", "answered late", "answered twice",
            "answered in reverse", "103 on a live order", "103", "refused", "cancel lost", "cancel silent",
            "disconnected", "link lost", "ids go back", "another permId", "mute",
        ),
    }
)  # fmt: skip
"""What can go wrong at each venue, by name."""

STALLS: Final = ("before intent commit", "after intent commit", "before sending commit", "before acknowledgement")
"""Where a process may freeze until another owns the book. Between its last look and its send is not among them: there
the call's deadline, which is shorter than the quarantine, is what stops it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """A process leaves at the n-th passing of a point, or of any if `point` is None; the next starts minutes later.

    `loses_answer`: where the point is one of the ledger's, it lives on, and the database's answer is lost.
    """

    point: str | None
    passing: int
    downtime: int
    loses_answer: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """The first process freezes at a point; another takes the book, and so many minutes later the first goes on."""

    point: str
    passing: int
    minutes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that goes wrong at the venue from a minute on."""

    minute: int
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is traded of one symbol, as `sessions.scripted` takes it; `rests`: its target rests at the venue."""

    symbol: str
    quantity: int
    minute: int
    again: int
    leave: int
    valid_bars: int
    below: float
    stop_distance: float
    half_at: float
    rests: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """What one schedule is made of. `bars` is a tape: symbol, minute, open, high, low, close, volume a line."""

    seed: int
    number: int
    broker: str
    minutes: int
    bars: str
    wishes: tuple[Wish, ...]
    crashes: tuple[Crash, ...]
    stall: Stall | None
    faults: tuple[Fault, ...]

    @property
    def name(self) -> str:
        """The book that it trades."""
        return f"s{self.seed}n{self.number}"


def draw(seed: int, number: int) -> Schedule:
    """The schedule of this number; the brokers take turns."""
    chance = Random(f"{seed}/{number}")
    broker = BROKERS[number % len(BROKERS)]
    minutes = chance.choice(LENGTHS)
    # At Interactive Brokers the client id of a frozen process is in use: whoever comes after it does not start.
    stall = _stall(chance) if chance.random() < 0.1 and broker != "ibkr" else None
    return Schedule(
        seed=seed,
        number=number,
        broker=broker,
        minutes=minutes,
        bars="\n".join(_bars(chance, symbol, price, minutes) for symbol, price in PRICES.items()),
        wishes=tuple(_wish(chance, symbol, price, minutes) for symbol, price in PRICES.items()),
        crashes=() if stall else tuple(_crash(chance) for _ in range(chance.choice((0, 1, 1, 2, 2, 3, 4)))),
        stall=stall,
        faults=tuple(
            Fault(minute=chance.randrange(minutes), name=chance.choice(FAULTS[broker]))
            for _ in range(chance.choice((0, 0, 1, 2, 3)))
        ),
    )


def _stall(chance: Random) -> Stall:
    return Stall(point=chance.choice(STALLS), passing=chance.randint(1, 3), minutes=chance.randint(1, 3))


def _crash(chance: Random) -> Crash:
    anywhere = chance.random() < 0.3
    return Crash(
        point=None if anywhere else chance.choice(POINTS),
        passing=chance.randint(1, 60) if anywhere else chance.choice((1, 1, 1, 2, 2, 3, 4, 6)),
        downtime=chance.choice((0, 0, 0, 0, 1, 2)),
        loses_answer=chance.random() < 0.15,
    )


def _wish(chance: Random, symbol: str, price: float, minutes: int) -> Wish:
    return Wish(
        symbol=symbol,
        quantity=chance.choice((40, 75, 100)),
        minute=chance.randint(0, 3),
        again=chance.choice((1, 2, 3)),
        leave=chance.choice((-1, chance.randint(4, minutes))),
        valid_bars=chance.randint(1, 3),
        below=chance.choice((0.0, 0.0, round(price * chance.uniform(0.001, 0.01), 2))),
        stop_distance=round(price * chance.uniform(0.004, 0.02), 2),
        half_at=chance.choice((0.0, 0.5, 1.0)),
        rests=chance.random() < 0.4,
    )


def _bars(chance: Random, symbol: str, price: float, minutes: int) -> str:
    lines = []
    for minute in range(minutes):
        opens = price * (1 + chance.uniform(-0.002, 0.002))
        closes = opens * (1 + chance.gauss(0, 0.006))
        high = max(opens, closes) * (1 + abs(chance.gauss(0, 0.003)))
        low = min(opens, closes) * (1 - abs(chance.gauss(0, 0.003)))
        # A tenth of it is for our orders: some bars fill them whole, some in part, some hardly.
        volume = chance.choice((80, 300, 700, 2_000, 10_000))
        lines.append(f"{symbol} {minute} {opens:.2f} {high + 0.01:.2f} {low - 0.01:.2f} {closes:.2f} {volume}")
        price = min(max(closes, PRICES[symbol] * 0.8), PRICES[symbol] * 1.2)
    return "\n".join(lines)


def calendar(schedule: Schedule) -> ExchangeCalendar:
    """The calendar of a market that is open for the schedule's minutes."""
    hours = {"calendar": "every_day", "open": "09:30", "close": f"09:{30 + schedule.minutes}"}
    return calendar_of(MarketHours.model_validate(hours))
