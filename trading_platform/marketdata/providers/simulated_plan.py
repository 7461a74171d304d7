"""The simulated market from day to day: levels, gaps, splits, and which sessions are made for trading.

A symbol's sessions are planned in years of 240 sessions. A year begins and ends at prices that are drawn for
themselves, near the symbol's own level, so any year can be planned without the ones before it and no price runs away;
in between it wanders with the market and on its own. Years begin on other sessions for other symbols. A split happens
where a year begins.

What belongs here: opening and closing prices, the day's volume and its kind. What stays out: minutes.
"""

from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction
from functools import lru_cache
from math import isqrt
from typing import Final

from trading_platform.domain.money import UNITS_PER_CENT
from trading_platform.marketdata.providers.simulated_draws import PPM, Draws

IN_PLAY_EVERY: Final = 4
"""Each symbol is in play every fourth session, so a quarter of them is on any day."""

GAP_WINDOW: Final = 10
"""Each symbol gaps up on one session of so many."""

_YEAR: Final = 240  # sessions; a multiple of both above
_PLACES: Final = _YEAR // IN_PLAY_EVERY
_FLOOR: Final = 10_000  # no price under a dollar
_SWING: Final = 200_000  # parts per million that a year can begin away from the symbol's level
_SPLIT_PERCENT: Final = 40  # of the years that begin with a split
_SPLITS: Final = (Fraction(2), Fraction(3), Fraction(4), Fraction(3, 2), Fraction(4, 5), Fraction(1, 10))
_IN_PLAY_VOLUME: Final = 16  # times the usual; with both frequencies above, 2.7 times the average
_GAP_VOLUME: Final = 13


class Kind(IntEnum):
    """What a symbol's session is made for."""

    QUIET = 0
    """It follows the market, and its own noise."""
    IN_PLAY = 1
    """Sells off below VWAP, and comes back above it."""
    RUNS = 2
    """Breaks the pre-market high and runs."""
    FAILS = 3
    """Breaks it, holds for some minutes, and falls below VWAP."""
    INVALIDATED = 4
    """Breaks it, and is below it again within two bars."""
    FADES = 5
    """Never breaks it."""
    THIN = 6
    """Breaks it, after a pre-market in which next to nothing was traded."""


_GAPS: Final = ((40, Kind.RUNS), (60, Kind.FAILS), (72, Kind.INVALIDATED), (86, Kind.FADES), (100, Kind.THIN))
_GIVEN_BACK: Final = {
    Kind.RUNS: (-10, 40),
    Kind.FAILS: (50, 90),
    Kind.INVALIDATED: (40, 80),
    Kind.FADES: (60, 95),
    Kind.THIN: (40, 80),
}
"""Percent of the gap, from the opening to the close."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketDay:
    """What all symbols share of a session: moves in parts per million, volatility in percent of the usual."""

    night: int
    day: int
    volatility: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DayPlan:
    """What is given of a symbol's session before its minutes.

    Prices are in units and in the scale of the session, `prior` too: the close of the session before. `volume` is in
    shares a minute, `beta` in percent of the market's moves.
    """

    kind: Kind
    prior: int
    opening: int
    close: int
    volume: int
    beta: int
    market: MarketDay


@dataclass(frozen=True, slots=True, kw_only=True)
class _Traits:
    """What a symbol is: its level in units, shares a minute at that price, beta, and where its years begin."""

    level: int
    shares: int
    beta: int
    phase: int


class MarketPlan:
    """The plan of every session of a market, by symbol, the symbol's place in the list, and number of the session."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._year = lru_cache(4_096)(self._make_year)
        self._market_year = lru_cache(256)(self._make_market_year)
        self._traits = lru_cache(None)(self._make_traits)

    def day(self, symbol: str, place: int, number: int) -> DayPlan:
        """The plan of session `number` of `symbol`."""
        year, offset = divmod(number + self._traits(symbol, place).phase, _YEAR)
        return self._year(symbol, place, year)[offset]

    def in_play(self, place: int, number: int) -> bool:
        """Whether the symbol at `place` is in play in session `number`."""
        return (place + number + self._seed) % IN_PLAY_EVERY == 0

    def market_day(self, number: int) -> MarketDay:
        """What all symbols share of session `number`."""
        year, offset = divmod(number, _YEAR)
        return self._market_year(year)[offset]

    def splits(self, symbol: str, place: int, sessions: int) -> tuple[tuple[int, Fraction], ...]:
        """The sessions, among the first `sessions`, that open after a split, and the new shares for an old one."""
        phase = self._traits(symbol, place).phase
        starts = ((year * _YEAR - phase, self._split(symbol, year)) for year in range(1, 2 + sessions // _YEAR))
        return tuple((number, ratio) for number, ratio in starts if ratio != 1 and number < sessions)

    def _make_traits(self, symbol: str, place: int) -> _Traits:
        draws = Draws(self._seed, symbol, "traits")
        return _Traits(
            level=180_000 + draws.below(270_000),
            shares=3_000 + draws.below(12_000),
            beta=70 + draws.below(71),
            # No year begins on a session in play: a split's session has a script of its own.
            phase=IN_PLAY_EVERY * draws.below(_PLACES) + (place + self._seed + 2) % IN_PLAY_EVERY,
        )

    def _make_market_year(self, year: int) -> tuple[MarketDay, ...]:
        draws = Draws(self._seed, "the market", year)
        days = []
        shock = 0
        for _ in range(_YEAR):
            # Unrest comes at once and dies away over some sessions.
            shock = 60 + draws.below(140) if draws.below(25) == 0 else shock * 3 // 4
            volatility = 70 + draws.below(50) + shock
            days.append(
                MarketDay(
                    night=draws.within(5_000) * volatility // 100,
                    day=draws.within(16_000) * volatility // 100,
                    volatility=volatility,
                )
            )
        return tuple(days)

    def _split(self, symbol: str, year: int) -> Fraction:
        draws = Draws(self._seed, symbol, "split", year)
        split = _SPLITS[draws.below(len(_SPLITS))]
        return split if draws.below(100) < _SPLIT_PERCENT and year > 0 else Fraction(1)

    def _boundary(self, symbol: str, level: int, year: int) -> tuple[int, int]:
        """The last close before a year, and the same price in the scale of the year.

        Shares that split many for one have become dear, and those that split one for many cheap.
        """
        ratio = self._split(symbol, year)
        swung = level * (PPM + Draws(self._seed, symbol, "year begins", year).within(_SWING)) // PPM
        before = on_cent(swung * isqrt(PPM * PPM * ratio.numerator // ratio.denominator) // PPM)
        after = (2 * before * ratio.denominator + ratio.numerator) // (2 * ratio.numerator)
        return before, after

    def _make_year(self, symbol: str, place: int, year: int) -> tuple[DayPlan, ...]:
        traits = self._traits(symbol, place)
        draws = Draws(self._seed, symbol, "year", year)
        first = year * _YEAR - traits.phase
        kinds = self._kinds(symbol, place, year, first)
        days = [self.market_day(first + offset) for offset in range(_YEAR)]
        moves = [_moves(kind, day, traits.beta, draws) for kind, day in zip(kinds, days, strict=True)]
        if self._split(symbol, year) != 1:
            # All that a breakout needs but the gap, which only unadjusted prices show; its moves stay those of a
            # quiet session.
            kinds[0] = Kind.RUNS
        _, prior = self._boundary(symbol, traits.level, year)
        end, _ = self._boundary(symbol, traits.level, year + 1)
        plans = []
        for kind, day, (opening, close) in zip(kinds, days, _prices(prior, end, kinds, moves), strict=True):
            busy = _busy(kind) * (75 + day.volatility // 4)
            volume = max(1, traits.shares * traits.level * busy // (100 * opening))
            plans.append(
                DayPlan(
                    kind=kind,
                    prior=prior,
                    opening=opening,
                    close=close,
                    volume=volume,
                    beta=traits.beta,
                    market=day,
                )
            )
            prior = close
        return tuple(plans)

    def _kinds(self, symbol: str, place: int, year: int, first: int) -> list[Kind]:
        """What each session of a year is made for. `first` is the number of its first session."""
        draws = Draws(self._seed, symbol, "script", year)
        kinds = [Kind.IN_PLAY if self.in_play(place, first + offset) else Kind.QUIET for offset in range(_YEAR)]
        for window in range(0, _YEAR, GAP_WINDOW):
            free = [offset for offset in range(window, window + GAP_WINDOW) if kinds[offset] is Kind.QUIET]
            offset, chance = free[draws.below(len(free))], draws.below(100)
            if offset or self._split(symbol, year) == 1:
                kinds[offset] = next(kind for bound, kind in _GAPS if chance < bound)
        return kinds


def on_cent(price: int) -> int:
    """The nearest price on the cent, a dollar at least."""
    return max(_FLOOR, (price + UNITS_PER_CENT // 2) // UNITS_PER_CENT * UNITS_PER_CENT)


def _busy(kind: Kind) -> int:
    """Times the usual volume."""
    if kind is Kind.QUIET:
        return 1
    return _IN_PLAY_VOLUME if kind is Kind.IN_PLAY else _GAP_VOLUME


def _moves(kind: Kind, market: MarketDay, beta: int, draws: Draws) -> tuple[int, int]:
    """The night before a session and the session itself, in parts per million."""
    night = beta * market.night // 100 + draws.within(5_000)
    if kind is Kind.QUIET:
        return night, beta * market.day // 100 + draws.within(12_000) * (50 + market.volatility // 2) // 100
    if kind is Kind.IN_PLAY:
        return night, draws.within(15_000)
    gap = 44_000 + min(draws.below(100_001), draws.below(100_001))
    least, most = _GIVEN_BACK[kind]
    return gap, -gap * (least + draws.below(most - least)) // 100


def _prices(prior: int, end: int, kinds: list[Kind], moves: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Opening and close of each session: the moves one after another, bent so that the last close is `end`.

    Half of a session's share of the bend falls into its night, but for a gap, which is as large as it was drawn.
    """
    level = scale = PPM**2
    raw = []
    for night, day in moves:
        opened = level * (PPM + night) // PPM
        level = opened * (PPM + day) // PPM
        raw.append((opened, level))
    count = 2 * len(moves)

    def bent(value: int, gone: int) -> int:
        return on_cent(value * (prior * (count - gone) * level + end * gone * scale) // (count * scale * level))

    nights = [2 * gone + (kind <= Kind.IN_PLAY) for gone, kind in enumerate(kinds)]
    return [
        (bent(opened, night), bent(closed, 2 * gone + 2))
        for gone, (night, (opened, closed)) in enumerate(zip(nights, raw, strict=True))
    ]
