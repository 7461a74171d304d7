"""The bars of a session in the slots of their minutes, and the one conversion of bars into what a step sees.

Only the regular session is kept here, and only bars that `quality` let stand.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trading_platform.calendars.sessions import Session
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.money import UNITS_PER_DOLLAR
from trading_platform.domain.records import bar_t, step_bar_t

_MINUTE: Final = 60
_BYTES: Final = np.dtype((np.void, bar_t.itemsize))
_PRICES: Final = ("open", "high", "low", "close")


@dataclass(frozen=True, slots=True, kw_only=True)
class LastClose:
    """The newest close of a symbol at a decision moment: its price in units, its bar, and its age in seconds."""

    price: int
    minute: int
    age: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SessionBars:
    """The regular session's bars: `bars[symbol, minute]` of `bar_t`, read-only; time 0 where no bar came."""

    session: Session
    symbols: tuple[str, ...]
    bars: npt.NDArray[Any]

    def row(self, symbol: str) -> int:
        """The place of `symbol` in `bars`. Raises `InvalidInput` if it is not among them."""
        try:
            return self.symbols.index(symbol)
        except ValueError:
            raise InvalidInput(f"{symbol} is not among the symbols of these bars") from None

    def latest(self, symbol: str, minute: int) -> LastClose | None:
        """What is known of `symbol` when bar `minute` is decided, or None before its first bar.

        Age is counted from the end of the bar, so it is 0 if bar `minute` itself came.
        """
        row = self.bars[self.row(symbol)]
        came = np.flatnonzero(row["time"][: minute + 1])
        if not len(came):
            return None
        newest = int(came[-1])
        return LastClose(price=int(row["close"][newest]), minute=newest, age=(minute - newest) * _MINUTE)

    def came(self, symbol: str) -> npt.NDArray[Any]:
        """The bars of `symbol` that came, oldest first: records of `bar_t`."""
        row = self.bars[self.row(symbol)]
        bars: npt.NDArray[Any] = row[row["time"] != 0]
        return bars


def join(bars: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Arrays of `bar_t`, or all of `daily_t`, at least one, as one.

    They are joined as plain bytes: NumPy would compare the field names of each pair, which for the whole market costs
    more than all else here.
    """
    return np.concatenate([some.view(_BYTES) for some in bars]).view(bars[0].dtype)


def session_bars(session: Session, symbols: Sequence[str], clean: Sequence[npt.NDArray[Any]]) -> SessionBars:
    """Put judged bars into the slots of their minutes; those outside the regular session are left out.

    Args:
        session: the day of the bars.
        symbols: the rows, in this order.
        clean: for each symbol its bars, records of `bar_t` as `quality.judge` returns them.
    """
    slots = np.zeros((len(symbols), session.minutes), bar_t)
    if len(clean):
        counts = [len(bars) for bars in clean]
        together = join(clean)
        minutes = (together["time"] - int(session.open.timestamp())) // _MINUTE
        regular = (minutes >= 0) & (minutes < session.minutes)
        rows = np.repeat(np.arange(len(symbols)), counts)
        slots[rows[regular], minutes[regular]] = together[regular]
    slots.flags.writeable = False
    return SessionBars(session=session, symbols=tuple(symbols), bars=slots)


def step_bars(session: Session, bars: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Bars as a step sees them: prices in float dollars, the minute and how many are left of the session.

    Args:
        session: the day of the bars.
        bars: records of `bar_t` of the regular session, of any shape.

    Returns:
        Records of `step_bar_t` of the same shape; where no bar came, `minute` is -1 and the rest is 0. A price is the
        nearest double to units / 10,000, which is also what `rounding.float_from_price` gives.
    """
    came = bars["time"] != 0
    minutes = (bars["time"] - int(session.open.timestamp())) // _MINUTE
    steps = np.zeros(bars.shape, step_bar_t)
    steps["minute"] = np.where(came, minutes, -1)
    steps["minutes_left"] = np.where(came, session.minutes - 1 - minutes, 0)
    for name in _PRICES:
        steps[name] = bars[name] / UNITS_PER_DOLLAR
    steps["volume"] = bars["volume"]
    return steps
