"""The levels of a holding that was carried into a session: its strategy's word on every bar there, not only from an entry on.

Signals keep levels from the first entry of a symbol's session; a holding from the session before trails one from the
open. That is rare, so one session of one symbol is folded again.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from trading_platform.domain.compiled import as_records
from trading_platform.domain.records import step_bar_t
from trading_platform.marketdata.columns import BarColumns
from trading_platform.strategies.contract import Strategy
from trading_platform.strategies.scan import fold


def levels_of_session(strategy: Strategy, columns: BarColumns, symbol: int, session: int) -> npt.NDArray[Any]:
    """The level that its plan trails, in dollars, for each minute of the session; 0 where no bar came."""
    minutes = columns.sessions[session].minutes
    bars = np.zeros(minutes, step_bar_t)
    for name in ("open", "high", "low", "close", "volume"):
        bars[name] = getattr(columns, name)[symbol, session, :minutes]
    present = ~np.isnan(bars["close"])
    bars["minute"] = np.arange(minutes)
    bars["minutes_left"] = minutes - 1 - bars["minute"]
    bars[~present] = np.zeros((), step_bar_t)
    outs, _ = fold(strategy, as_records(bars), present, as_records(columns.days[symbol, session : session + 1].copy()))
    levels: npt.NDArray[Any] = np.asarray(outs[f"level{strategy.exit_plan.trail_level}"])
    return levels
