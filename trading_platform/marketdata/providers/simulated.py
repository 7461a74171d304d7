"""A seeded market as a provider: for demos and tests, without a file or a network.

The same seed gives the same bars on every machine and in every process (`simulated_draws`). What a symbol's sessions
are is said by `simulated_plan`, a year at a time, and how one of them moves by `simulated_session`; so no history has
to be played to reach a day, and daily bars are the sums of their minutes. Here are the symbols and the port.

Minute bars are in the scale of their own session, as an exchange prints them: a split shows in them. Daily bars are
adjusted for it.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.ids import is_symbol
from trading_platform.domain.records import bar_t, daily_t
from trading_platform.marketdata.provider import Source
from trading_platform.marketdata.providers.simulated_draws import Draws, Whole
from trading_platform.marketdata.providers.simulated_plan import DayPlan, Kind, MarketPlan
from trading_platform.marketdata.providers.simulated_session import SimulatedDay, make_session, market_walk

_EPOCH: Final = date(1970, 1, 1)
_PRICES: Final = ("open", "high", "low", "close")
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_MOST_SYMBOLS: Final = len(_LETTERS) ** 3


class SimulatedMarket:
    """A made-up market of US equities.

    Args:
        seed: names the market; the same seed is the same market everywhere.
        symbols: their names, or how many to name (SIMA, SIMB, ...).
        calendar: the sessions on which it trades.
        kept: how many symbol days are kept once made.

    Each session a quarter of the symbols is in play: volume several times the average, sell-offs below VWAP for 20 to
    60 minutes, then a reclaim on volume that is followed through or fails. Of the others one in nine gaps up, most of
    them on heavy pre-market volume, and breaks out, or does not. The rest follow the market quietly. Trading in a
    symbol in play or after a gap is now and then halted for 5 to 15 minutes.
    """

    def __init__(
        self, seed: int, calendar: ExchangeCalendar, symbols: int | Sequence[str] = 8, *, kept: int = 12_000
    ) -> None:
        self.seed = seed
        self.symbols = _names(symbols) if isinstance(symbols, int) else _checked(symbols)
        self._places = {symbol: place for place, symbol in enumerate(self.symbols)}
        self._calendar = calendar
        self._plan = MarketPlan(seed)
        self._day = lru_cache(kept)(self._make)
        self._daily_bar = lru_cache(10 * kept)(self._make_daily)
        self._market = lru_cache(kept)(self._make_market)
        self._splits = lru_cache(kept)(self._find_splits)

    @property
    def source(self) -> Source:
        """The simulation, by its seed."""
        return Source(provider="simulated", feed=f"seed {self.seed}", adjustment="split")

    def minute_bars(self, symbol: str, session: date, until: datetime) -> npt.NDArray[Any]:
        """See `Provider.minute_bars`."""
        if not self._trades(symbol, session):
            return np.zeros(0, bar_t)
        bars = self._day(symbol, session).bars
        closed: npt.NDArray[Any] = bars[: np.searchsorted(bars["time"], int(until.timestamp()) - 60, side="right")]
        return closed

    def daily_bars(self, symbol: str, session: date, count: int) -> npt.NDArray[Any]:
        """See `Provider.daily_bars`: the regular sessions' minutes, summed up, half up to the unit and the share."""
        days = self._days(symbol, session)[-count:] if count > 0 else ()
        bars = np.array([self._daily_bar(symbol, day) for day in days], daily_t)
        for place, day in enumerate(days):
            ratio = self.split_ratio(symbol, day, session)
            if ratio == 1:
                continue
            for name in _PRICES:
                bars[name][place] = _half_up(int(bars[name][place]) * ratio)
            bars["volume"][place] = _half_up(int(bars["volume"][place]) / ratio)
        return bars

    def minute_sessions(self, symbol: str, before: date) -> tuple[date, ...]:
        """See `Provider.minute_sessions`: every session of the calendar, and none of a symbol of another market."""
        return self._days(symbol, before)

    def halted(self, symbol: str, session: date, at: datetime) -> bool:
        """See `Provider.halted`: whether trading in `symbol` stood still in the minute that had closed by `at`."""
        if not self._trades(symbol, session):
            return False
        halt = self._day(symbol, session).halt
        minute = (at - self._calendar.session(session).open) // timedelta(minutes=1) - 1
        return halt is not None and halt.removes(minute)

    def in_play(self, symbol: str, session: date) -> bool:
        """Whether `symbol` is in play in `session`."""
        return self._plan.in_play(self._places[symbol], self._calendar.index(session))

    def gap_day(self, symbol: str, session: date) -> bool:
        """Whether `symbol` opens 4 to 15 % above its prior close in `session`."""
        plan = self._day_plan(symbol, session)
        return plan.kind > Kind.IN_PLAY and plan.opening > plan.prior * 103 // 100

    def splits(self, symbol: str) -> tuple[tuple[date, Fraction], ...]:
        """Every session that `symbol` opens after a split, and how many new shares there are for one old share."""
        return self._splits(symbol)

    def split_ratio(self, symbol: str, first: date, last: date) -> Fraction:
        """What a price of session `first` is multiplied by to be in the scale of `last`; a volume is divided by it."""
        ratio = Fraction(1)
        for day, shares in self._splits(symbol):
            if first < day <= last:
                ratio /= shares
        return ratio

    def _trades(self, symbol: str, session: date) -> bool:
        return symbol in self._places and self._calendar.is_session(session)

    def _days(self, symbol: str, before: date) -> tuple[date, ...]:
        return self._calendar.days(date.min, before - timedelta(days=1)) if symbol in self._places else ()

    def _day_plan(self, symbol: str, day: date) -> DayPlan:
        return self._plan.day(symbol, self._places[symbol], self._calendar.index(day))

    def _make(self, symbol: str, day: date) -> SimulatedDay:
        draws = Draws(self.seed, symbol, day.isoformat())
        return make_session(self._day_plan(symbol, day), self._calendar.session(day), self._market(day), draws)

    def _make_market(self, day: date) -> Whole:
        market = self._plan.market_day(self._calendar.index(day))
        return market_walk(market, self._calendar.session(day).minutes, Draws(self.seed, "the market", day.isoformat()))

    def _find_splits(self, symbol: str) -> tuple[tuple[date, Fraction], ...]:
        days = self._calendar.days(date.min, date.max)
        return tuple(
            (days[number], ratio) for number, ratio in self._plan.splits(symbol, self._places[symbol], len(days))
        )

    def _make_daily(self, symbol: str, day: date) -> tuple[int, int, int, int, int, int]:
        session = self._calendar.session(day)
        bars = self._day(symbol, day).bars
        opens, closes = int(session.open.timestamp()), int(session.close.timestamp())
        regular = bars[(bars["time"] >= opens) & (bars["time"] < closes)]
        return (
            (day - _EPOCH).days,
            int(regular["open"][0]),
            int(regular["high"].max()),
            int(regular["low"].min()),
            int(regular["close"][-1]),
            int(regular["volume"].sum()),
        )


def _half_up(value: Fraction) -> int:
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)


def _names(count: int) -> tuple[str, ...]:
    if not 1 <= count <= _MOST_SYMBOLS:
        raise InvalidInput(f"a simulated market of {count} symbols", mend=f"Choose 1 to {_MOST_SYMBOLS}")
    return tuple(f"SIM{_ending(number)}" for number in range(count))


def _ending(number: int) -> str:
    """A, B, ... Z, AA, AB, ...: as spreadsheets name their columns."""
    front, letter = divmod(number, len(_LETTERS))
    return (_ending(front - 1) if front else "") + _LETTERS[letter]


def _checked(symbols: Sequence[str]) -> tuple[str, ...]:
    for symbol in symbols:
        if not is_symbol(symbol):
            raise InvalidInput(f"{symbol!r} is not a symbol", mend="A symbol is capitals and digits, such as SIMA")
    if not symbols or len(set(symbols)) != len(symbols):
        raise InvalidInput("the symbols are none, or one is named twice", mend="Name each symbol once")
    return tuple(symbols)
