"""A seeded market as a provider: for demos and tests, without a file or a network.

The same seed gives the same bars on every machine and in every process: whole numbers only, drawn from the raw stream
of PCG64 (which NumPy promises to keep) and seeded by a hash of (seed, symbol, session). Every session stands by
itself, so no history has to be played to reach a day, and daily bars are the sums of their minutes.

How a session's prices move is in `simulated_session`; here are the symbols, their levels, and the port.
"""

import hashlib
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.calendars.sessions import Session
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.ids import is_symbol
from trading_platform.domain.records import bar_t, daily_t
from trading_platform.marketdata.provider import Source
from trading_platform.marketdata.providers.simulated_session import Draws, SessionPlan, make_session

IN_PLAY_EVERY: Final = 4
"""Each symbol is in play every fourth session, so a quarter of them is on any day."""

IN_PLAY_VOLUME: Final = 8
"""Times the usual volume. With a quarter of the days in play that is 2.9 times the average."""

_EPOCH: Final = date(1970, 1, 1)
_KNOT: Final = 16  # sessions between two drawn price levels
_SWING: Final = 200_000  # parts per million that a level can lie from the symbol's base
_NIGHT: Final = 8_000  # parts per million that an opening can lie from its level
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
    60 minutes, then a reclaim on volume that is followed through or fails.
    """

    def __init__(
        self, seed: int, calendar: ExchangeCalendar, symbols: int | Sequence[str] = 8, *, kept: int = 12_000
    ) -> None:
        self.seed = seed
        self.symbols = _names(symbols) if isinstance(symbols, int) else _checked(symbols)
        self._places = {symbol: place for place, symbol in enumerate(self.symbols)}
        self._calendar = calendar
        self._bars = lru_cache(kept)(self._make)
        self._daily_bar = lru_cache(10 * kept)(self._make_daily)

    @property
    def source(self) -> Source:
        """The simulation, by its seed. It has no splits to adjust for."""
        return Source(provider="simulated", feed=f"seed {self.seed}", adjustment="split")

    def minute_bars(self, symbol: str, session: date, until: datetime) -> npt.NDArray[Any]:
        """See `Provider.minute_bars`."""
        if symbol not in self._places or not self._calendar.is_session(session):
            return np.zeros(0, bar_t)
        bars = self._bars(symbol, session)
        closed: npt.NDArray[Any] = bars[: np.searchsorted(bars["time"], int(until.timestamp()) - 60, side="right")]
        return closed

    def daily_bars(self, symbol: str, session: date, count: int) -> npt.NDArray[Any]:
        """See `Provider.daily_bars`: the regular sessions' minutes, summed up."""
        days = self._days(symbol, session)[-count:] if count > 0 else ()
        return np.array([self._daily_bar(symbol, day) for day in days], daily_t)

    def minute_sessions(self, symbol: str, before: date) -> tuple[date, ...]:
        """See `Provider.minute_sessions`: every session of the calendar, and none of a symbol of another market."""
        return self._days(symbol, before)

    def in_play(self, symbol: str, session: date) -> bool:
        """Whether `symbol` is in play in `session`."""
        return (self._places[symbol] + self._calendar.index(session) + self.seed) % IN_PLAY_EVERY == 0

    def _days(self, symbol: str, before: date) -> tuple[date, ...]:
        return self._calendar.days(date.min, before - timedelta(days=1)) if symbol in self._places else ()

    def _make(self, symbol: str, day: date) -> npt.NDArray[Any]:
        session = self._calendar.session(day)
        draws = self._draws(symbol, day.isoformat())
        traits = self._draws(symbol, "traits")
        base, usual = 250_000 + traits.below(500_000), 3_000 + traits.below(12_000)
        in_play = self.in_play(symbol, day)
        plan = SessionPlan(
            session=session,
            opening=base * (1_000_000 + self._level(symbol, day) + draws.within(_NIGHT)) // 1_000_000,
            volume=usual * (IN_PLAY_VOLUME if in_play else 1),
            in_play=in_play,
        )
        bars = make_session(plan, draws)
        bars.flags.writeable = False
        return bars

    def _level(self, symbol: str, day: date) -> int:
        """How far the symbol's price lies from its base, in parts per million: lines between drawn knots."""
        knot, along = divmod(self._calendar.index(day), _KNOT)
        start, end = (self._draws(symbol, f"knot {number}").within(_SWING) for number in (knot, knot + 1))
        return start + (end - start) * along // _KNOT

    def _make_daily(self, symbol: str, day: date) -> tuple[int, int, int, int, int, int]:
        session: Session = self._calendar.session(day)
        bars = self._bars(symbol, day)
        regular = bars[bars["time"] >= int(session.open.timestamp())]
        return (
            (day - _EPOCH).days,
            int(regular["open"][0]),
            int(regular["high"].max()),
            int(regular["low"].min()),
            int(regular["close"][-1]),
            int(regular["volume"].sum()),
        )

    def _draws(self, symbol: str, of: str) -> Draws:
        digest = hashlib.sha256(f"{self.seed}\x1f{symbol}\x1f{of}".encode()).digest()
        return Draws(int.from_bytes(digest[:16], "big"))


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
