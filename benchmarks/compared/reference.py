"""The strategy of the comparison in words, and as a plain loop: what every engine's trades must equal, to the cent.

VWAP reclaim, long only, each symbol and session by itself. VWAP is the sum of typical price x volume over that of volume,
since the open. A bar that closes above it, after at least 5 bars that closed below it, at minute 20 to 387, on more than
1.5 times the mean volume of the 20 bars before, is followed by a purchase of 100 shares at the next bar's open. They are
sold at the open after a bar that closes below VWAP, or 1 % or more under the purchase, or 2 % or more above it, and after
minute 388 at the latest.

Prices are compared as whole cents. Engines that compare floats miss a close that lies exactly at a stop or target where
the product of floats falls beside it, so there is the same loop with floats for them.
"""

import numpy as np
from compared.market import MINUTES

SHARES = 100
CLOSES_BELOW, VOLUME_BARS, VOLUME_MULTIPLE = 5, 20, 1.5
STOP_PERCENT, TARGET_PERCENT = 1, 2
LAST_SIGNAL = MINUTES - 2

Trade = tuple[int, int, int, int, int]
"""Symbol, bar of the purchase, bar of the sale (session x 390 + minute), and what both cost a share, in cents."""


def trades(columns: dict[str, np.ndarray], *, by_floats: bool = False) -> list[Trade]:
    """Every trade, in the order of symbols, then bars."""
    symbols, sessions, _ = columns["close"].shape
    found: list[Trade] = []
    for symbol in range(symbols):
        for session in range(sessions):
            bars = {name: column[symbol, session].tolist() for name, column in columns.items()}
            start = session * MINUTES
            for bought, sold, paid, got in _session(bars, by_floats=by_floats):
                found.append((symbol, start + bought, start + sold, paid, got))
    return found


def _session(bars: dict[str, list[float]], *, by_floats: bool) -> list[tuple[int, int, int, int]]:
    found = []
    price_volume = volume_so_far = 0.0
    below = 0
    paid = bought = None
    order = 0
    volumes = bars["volume"]
    for minute in range(MINUTES):
        opened, close = round(bars["open"][minute] * 100), bars["close"][minute]
        if order > 0:
            paid, bought = opened, minute
        elif order < 0:
            found.append((bought, minute, paid, opened))
            paid = None
        order = 0
        price_volume += (bars["high"][minute] + bars["low"][minute] + close) / 3.0 * volumes[minute]
        volume_so_far += volumes[minute]
        vwap = price_volume / volume_so_far
        cents = round(close * 100)
        if paid is not None:
            beyond = _beyond_in_floats(close, paid / 100) if by_floats else _beyond(cents, paid)
            order = -1 if close < vwap or beyond or minute == LAST_SIGNAL else 0
        elif close > vwap and below >= CLOSES_BELOW and VOLUME_BARS <= minute < LAST_SIGNAL:
            before = sum(volumes[minute - VOLUME_BARS : minute])
            order = 1 if volumes[minute] * VOLUME_BARS > VOLUME_MULTIPLE * before else 0
        below = below + 1 if close < vwap else 0
    return found


def _beyond(close: int, paid: int) -> bool:
    """Whether a close reaches the stop or the target; both in cents."""
    return 100 * close <= (100 - STOP_PERCENT) * paid or 100 * close >= (100 + TARGET_PERCENT) * paid


def _beyond_in_floats(close: float, paid: float) -> bool:
    return close <= paid * (1 - STOP_PERCENT / 100) or close >= paid * (1 + TARGET_PERCENT / 100)


def cents(found: list[Trade]) -> int:
    """What they brought."""
    return sum((got - paid) * SHARES for _, _, _, paid, got in found)
