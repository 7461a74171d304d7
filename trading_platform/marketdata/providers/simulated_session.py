"""How one session of the simulated market moves: prices, volumes and the minutes without a trade.

Whole numbers throughout: prices in 1/10,000 dollar, always on the cent, moves in parts per million. A quiet session is
a walk along the market's own; what the others show is told by `simulated_script`. Where the day opens and closes is
given by `simulated_plan`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trading_platform.calendars.sessions import Session
from trading_platform.domain.money import UNITS_PER_CENT
from trading_platform.domain.records import bar_t
from trading_platform.marketdata.providers.simulated_draws import PPM, Draws, Whole
from trading_platform.marketdata.providers.simulated_plan import DayPlan, Kind, MarketDay, on_cent
from trading_platform.marketdata.providers.simulated_script import Halt, Script, gap_script, in_play_script

_FLOOR: Final = 10_000  # no price under a dollar
_STEP: Final = 730  # of the market and of each symbol, a minute; the walk's deviation is this over the root of 6
_MISSING: Final = 120  # one minute in so many has no trade
_BEFORE_OPEN: Final = 6  # one pre-market minute in so many has a trade
_BEFORE_OPEN_BUSY: Final = 2
_AFTER_CLOSE: Final = 12
_STRAIGHT_TO_CLOSE: Final = 30  # minutes in which a session in play finds its close
_HEAVY: Final = 60_000  # shares before the open that a gap has at least
_THIN: Final = 5_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SimulatedDay:
    """A symbol's day: bars of pre-market, session and after-hours in rising order of time, and the halt in it."""

    bars: npt.NDArray[Any]
    halt: Halt | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stretch:
    """Bars of consecutive minutes from `start` on, before those without a trade are left out: shape [minutes] each."""

    start: datetime
    opens: Whole
    closes: Whole
    volumes: Whole


def market_walk(market: MarketDay, minutes: int, draws: Draws) -> Whole:
    """How far the market has gone from its opening by the end of each minute, in parts per million."""
    return draws.walk(_STEP * market.volatility // 100, minutes, market.day)


def make_session(plan: DayPlan, session: Session, market: Whole, draws: Draws) -> SimulatedDay:
    """The bars of a day. `market` is the walk of the market over the session's minutes."""
    before = _premarket(plan, session, draws)
    high = int(before["high"].max()) if len(before) else plan.opening
    regular, halt = _regular(plan, session, market, high, draws)
    bars = np.concatenate([before, regular, _after_hours(plan, session, draws)])
    bars.flags.writeable = False
    return SimulatedDay(bars=bars, halt=halt)


def _premarket(plan: DayPlan, session: Session, draws: Draws) -> npt.NDArray[Any]:
    """From the prior close to the opening price; after a gap at once, on volume, at some moment before the open."""
    minutes = _between(session.premarket_open, session.open)
    if not minutes:
        return np.zeros(0, bar_t)
    steps = np.arange(1, minutes + 1)
    if plan.kind in (Kind.QUIET, Kind.IN_PLAY):
        start, done = plan.prior, PPM * steps // minutes
        busy = _BEFORE_OPEN if plan.kind is Kind.QUIET else _BEFORE_OPEN_BUSY
        keep = draws.many_below(busy, minutes) == 0
        volumes = 1 + plan.volume * (50 + draws.many_below(100, minutes)) // 2_000
    else:
        news = minutes // 2 + draws.below(minutes // 3 + 1)
        # The range before the open has to be wide enough for its top to mean something.
        start = min(plan.prior, plan.opening - plan.opening // 50)
        known = 700_000 + 300_000 * (steps - news) // max(1, minutes - news)
        done = np.where(steps < news, 50_000 * steps // minutes, known)
        keep = draws.many_below(_BEFORE_OPEN_BUSY, minutes) == 0
        keep[-1] = True
        wanted = _shares_before_gap(plan, draws)
        weights = np.where(keep, (50 + draws.many_below(100, minutes)) * np.where(steps < news, 1, 4), 0)
        volumes = 1 + wanted * weights // int(weights.sum())
    levels = start + (plan.opening - start) * done // PPM
    closes = _on_cents(levels + levels * draws.many_within(1_500, minutes) // PPM)
    opens = _opened(on_cent(start), closes, draws)
    return _bars(_Stretch(start=session.premarket_open, opens=opens, closes=closes, volumes=volumes), keep, draws)


def _shares_before_gap(plan: DayPlan, draws: Draws) -> int:
    if plan.kind is Kind.THIN:
        return _THIN + draws.below(5 * _THIN)
    return _HEAVY + draws.below(_HEAVY) + plan.volume * draws.below(5)


def _regular(
    plan: DayPlan, session: Session, market: Whole, high: int, draws: Draws
) -> tuple[npt.NDArray[Any], Halt | None]:
    minutes = session.minutes
    volumes = _volumes(plan.volume, minutes, draws)
    keep = draws.many_below(_MISSING, minutes) != 0
    halt = None
    if plan.kind is Kind.QUIET:
        closes = _quiet(plan, market, draws)
    elif plan.kind is Kind.IN_PLAY:
        script = in_play_script(minutes, draws)
        volumes, halt = volumes * script.surges // 100, script.halt
        closes = _around_vwap(plan, script, volumes)
    else:
        opening = plan.opening
        script = gap_script(
            plan.kind,
            minutes,
            high=max(0, (high - opening) * PPM // opening),
            end=(plan.close - opening) * PPM // opening,
            tick=UNITS_PER_CENT * PPM // opening,
            draws=draws,
        )
        volumes, halt = volumes * script.surges // 100, script.halt
        closes = _on_cents(opening + opening * script.levels // PPM)
    closes[-1] = plan.close
    opens = _opened(plan.opening, closes, draws)
    keep[[0, -1]] = True
    if halt:
        opens[halt.end] = closes[halt.end]
        keep[halt.end] = True
        keep[halt.start : halt.end] = False
    return _bars(_Stretch(start=session.open, opens=opens, closes=closes, volumes=volumes), keep, draws), halt


def _quiet(plan: DayPlan, market: Whole, draws: Draws) -> Whole:
    """The market's walk by the symbol's beta, and a walk of its own that leads to the planned close."""
    shared = plan.beta * market // 100
    end = (plan.close - plan.opening) * PPM // plan.opening
    own = draws.walk(_STEP * (50 + plan.market.volatility // 2) // 100, len(market), end - int(shared[-1]))
    return _on_cents(plan.opening + plan.opening * (shared + own) // PPM)


def _around_vwap(plan: DayPlan, script: Script, volumes: Whole) -> Whole:
    """Each close is set at a distance from the VWAP of the bars before it, as the script says."""
    minutes = len(volumes)
    turnover, shares, last = plan.opening, 1, plan.opening
    closes = []
    for minute, (level, volume) in enumerate(zip(script.levels.tolist(), volumes.tolist(), strict=True)):
        if script.halt and script.halt.removes(minute):
            closes.append(last)
            continue
        last = on_cent(turnover * (PPM + level) // (shares * PPM))
        straight = minute + 1 + _STRAIGHT_TO_CLOSE - minutes
        if straight > 0:
            last = on_cent(last + (plan.close - last) * straight // _STRAIGHT_TO_CLOSE)
        turnover += last * volume
        shares += volume
        closes.append(last)
    return np.array(closes)


def _after_hours(plan: DayPlan, session: Session, draws: Draws) -> npt.NDArray[Any]:
    minutes = _between(session.close, session.after_hours_close)
    if not minutes:
        return np.zeros(0, bar_t)
    keep = draws.many_below(_AFTER_CLOSE, minutes) == 0
    moves = draws.many_within(400, minutes).cumsum()
    closes = _on_cents(plan.close + plan.close * moves // PPM)
    volumes = 1 + plan.volume * (50 + draws.many_below(100, minutes)) // 3_000
    opens = _opened(plan.close, closes, draws)
    return _bars(_Stretch(start=session.close, opens=opens, closes=closes, volumes=volumes), keep, draws)


def _volumes(usual: int, minutes: int, draws: Draws) -> Whole:
    """Shares of each bar: a U over the session (half the mean at its middle, twice at its ends), and noise."""
    from_middle = 2 * np.arange(minutes) - (minutes - 1)
    shares = 50 + 150 * from_middle**2 // max(1, (minutes - 1) ** 2)
    return 1 + usual * shares * (70 + draws.many_below(61, minutes)) // 10_000


def _opened(before: int, closes: Whole, draws: Draws) -> Whole:
    """The first opens where the price stood, each later one within a cent of the close before."""
    opens = np.empty_like(closes)
    opens[0] = before
    opens[1:] = closes[:-1] + UNITS_PER_CENT * draws.many_within(1, len(closes) - 1)
    return np.maximum(_FLOOR, opens)


def _bars(stretch: _Stretch, keep: npt.NDArray[np.bool_], draws: Draws) -> npt.NDArray[Any]:
    count = len(stretch.closes)
    beyond = UNITS_PER_CENT * draws.many_below(3, 2 * count)
    bars = np.zeros(count, bar_t)
    bars["time"] = int(stretch.start.timestamp()) + 60 * np.arange(count)
    bars["open"], bars["close"], bars["volume"] = stretch.opens, stretch.closes, stretch.volumes
    bars["high"] = np.maximum(stretch.opens, stretch.closes) + beyond[:count]
    bars["low"] = np.maximum(_FLOOR, np.minimum(stretch.opens, stretch.closes) - beyond[count:])
    return bars[keep]


def _between(start: datetime, end: datetime) -> int:
    return max(0, (end - start) // timedelta(minutes=1))


def _on_cents(prices: Whole) -> Whole:
    return np.maximum(_FLOOR, (prices + UNITS_PER_CENT // 2) // UNITS_PER_CENT * UNITS_PER_CENT)
