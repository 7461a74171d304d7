"""The bars that a session's recorded cycles saw: what a process falls back on where a source can no longer be used."""

from typing import Any

import numpy as np
import numpy.typing as npt

from trading_platform.calendars.sessions import Session
from trading_platform.domain.records import bar_t
from trading_platform.engine.inputs import unpack
from trading_platform.ledger.ledger import Ledger


def recorded_bars(ledger: Ledger, session: Session, symbols: tuple[str, ...]) -> npt.NDArray[Any]:
    """The bars as the newest recorded cycle had them: `bar_t` of shape [symbols, minutes], time 0 where none came.

    Each cycle recorded what was new to it, so that later ones stand over earlier ones.
    """
    bars = np.zeros((len(symbols), session.minutes), bar_t)
    for header in ledger.cycles(session.day):
        record = ledger.cycle(header.bar_time)
        if record is None:
            continue
        plain, arrays = unpack(record.inputs)
        first, new = plain["first_minute"], arrays["bars"]
        for row, symbol in enumerate(plain["symbols"]):
            if symbol in symbols:
                bars[symbols.index(symbol), first : first + new.shape[1]] = new[row]
    return bars
