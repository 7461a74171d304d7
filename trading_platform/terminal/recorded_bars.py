"""Whether a session can be traded: its bars and the days before it are asked for before it is begun.

What is malformed or missing there is found before anything is written down. Providers keep what they have parsed, so
the session itself reads nothing a second time.
"""

from datetime import date

import numpy as np

from trading_platform.bootstrap import Platform
from trading_platform.domain.errors import InvalidInput
from trading_platform.marketdata.fetch import fetch_bars, open_symbol


def without_bars(platform: Platform, day: date) -> tuple[str, ...]:
    """The symbols that have no bar in the session of `day`.

    Raises:
        InvalidInput: None has one (a session without a market would run to its end and show nothing), or a file of
            the session or of the days before it is malformed or missing.
    """
    session = platform.calendar.session(day)
    for symbol in platform.symbols:
        # In the session a file that is malformed would stop its own symbol; before it, a person can still mend it.
        platform.provider.minute_bars(symbol, day, session.close)
    bars, _ = fetch_bars(platform.provider, platform.symbols, session, session.close)
    silent = np.flatnonzero(~(bars.bars["time"] != 0).any(axis=1))
    symbols = tuple(platform.symbols[row] for row in silent.tolist())
    if len(symbols) == len(platform.symbols):
        raise InvalidInput(
            f"the session of {day} has no bar of {', '.join(symbols)}",
            where=str(platform.settings.market_data.folder or "market data"),
            mend="Name a session and symbols (SESSION, SYMBOLS) that are recorded there",
        )
    for symbol in platform.symbols:
        open_symbol(platform.provider, platform.calendar, symbol, session)
    return symbols
