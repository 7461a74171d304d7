"""The bars of many sessions that the settings' market has, for whoever trades or studies history.

Here belongs the way from the settings to such bars. What is asked for beside the settings is said by the commands and the
forms. A folder of columns is no market of the settings: it is opened by itself, and needs nothing of this room.
"""

from collections.abc import Sequence
from datetime import date

from trading_platform.backtest.bar_sources import ProvidedBars
from trading_platform.bootstrap import market_of
from trading_platform.calendars.exchange import calendar_of
from trading_platform.config.settings import Settings
from trading_platform.domain.errors import InvalidInput


def provided_bars(
    settings: Settings,
    symbols: Sequence[str],
    first: date | None,
    last: date | None,
    *,
    asked_as: tuple[str, str] = ("--from", "--to"),
) -> ProvidedBars:
    """The bars of the settings' market.

    Args:
        settings: The market and its hours.
        symbols: Those wanted; none: all that the market has.
        first: The first day, or the market's own.
        last: The last day, or the market's own.
        asked_as: What a person calls these days.

    Raises:
        InvalidInput: The market cannot be had, there is no bar of the symbols within these days, or the simulated one,
            which has no range of its own, is not given one.
    """
    market = settings.market_data
    calendar = calendar_of(settings.market_hours)
    provider = market_of(market, calendar)
    if market.provider == "simulated" and (first is None or last is None):
        # It has every session of sixty years.
        raise InvalidInput(
            "no range of sessions is named",
            where=asked_as[0] if first is None else asked_as[1],
            mend=f"Give {asked_as[0]} 2024-06-03 and {asked_as[1]} 2024-06-28",
        )
    return ProvidedBars(provider, calendar, symbols or provider.symbols, first, last)
