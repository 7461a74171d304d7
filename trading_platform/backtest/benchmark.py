"""The benchmark of a backtest: a symbol of the same data that was bought before the first session and held.

Here belongs the way from bars to a curve without jumps: a split changes what a share is, and a dividend is put into the
same shares at the close before it.
"""

from collections.abc import Sequence
from datetime import date

import numpy as np
import numpy.typing as npt

from trading_platform.backtest.bar_sources import BarSource
from trading_platform.calendars.sessions import Session
from trading_platform.domain.errors import InvalidInput
from trading_platform.marketdata.actions import CorporateAction
from trading_platform.marketdata.columns import BarColumns
from trading_platform.performance.track_record import Benchmark


def benchmark_of(source: BarSource, symbol: str, sessions: Sequence[Session]) -> Benchmark:
    """What `symbol` did over a run's sessions, dividends put into it again.

    Args:
        source: The run's bars; the symbol need not be among those that are traded.
        symbol: Its name.
        sessions: The run's.

    Raises:
        InvalidInput: There is no bar of it in these sessions.
    """
    own = source.only(symbol)
    places = {session.day: place for place, session in enumerate(sessions)}
    closes = np.full(len(sessions), np.nan)
    base: float | None = None
    for block in own.blocks():
        for place, session in enumerate(block.columns.sessions):
            at = places.get(session.day)
            if at is None or block.counts[0, place] < 1:
                continue
            closes[at] = _last(block.columns.close[0, place])
            base = _before(block.columns, place) if base is None else base
    if base is None:
        raise InvalidInput(
            f"there is no bar of {symbol} in the sessions of the run",
            where="--benchmark",
            mend="Name a symbol that the data have",
        )
    days = [session.day for session in sessions]
    return Benchmark(symbol=symbol, base=base, closes=closes * _growth(own.actions, days, base, closes))


def _before(columns: BarColumns, session: int) -> float:
    """The close before a session, or its open where that is not known."""
    prior = float(columns.days["prior_close"][0, session])
    opens = columns.open[0, session]
    return prior if prior > 0 else float(opens[~np.isnan(opens)][0])


def _last(minutes: npt.NDArray[np.float64]) -> float:
    return float(minutes[~np.isnan(minutes)][-1])


def _growth(
    actions: Sequence[CorporateAction], days: Sequence[date], base: float, closes: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """How many shares one of before the first session has become, by session."""
    growth = np.ones(len(days))
    held = np.concatenate(([base], closes))
    for one in actions:
        place = int(np.searchsorted(np.array(days, "datetime64[D]"), np.datetime64(one.session)))
        if place == len(days):
            continue
        split = float(one.split)
        known = held[: place + 1][~np.isnan(held[: place + 1])]
        # The base is in the scale of the first session, in which a split of that night is worked in.
        before = known[-1] * (split if place == 0 else 1.0)
        shares = 1.0 if place == 0 else split
        growth[place:] *= shares * before / (before - float(one.dividend)) if one.dividend < before else shares
    return growth
