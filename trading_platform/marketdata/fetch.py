"""Asking a provider for many symbols at once: the day records at the open, and the bars so far.

What comes is judged by `quality` on the way. A symbol for which nothing comes, or whose source cannot be used, is
reported, and the others go on.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.calendars.sessions import Session
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.records import bar_t, day_t
from trading_platform.domain.reports import DataProblem
from trading_platform.marketdata.bars import SessionBars, session_bars
from trading_platform.marketdata.day import DAILY_HISTORY, PROFILE_SESSIONS, make_day
from trading_platform.marketdata.provider import Provider
from trading_platform.marketdata.quality import judge, judge_all, judge_daily

UNUSABLE: Final = "data that cannot be used"
"""How the problem of a symbol begins whose source cannot be used; what the source said follows."""

_MINUTE: Final = 60


def fetch_bars(
    provider: Provider,
    symbols: Sequence[str],
    session: Session,
    until: datetime,
    seen: Callable[[str], npt.NDArray[Any]] | None = None,
) -> tuple[SessionBars, tuple[DataProblem, ...]]:
    """The regular session's bars that had closed by `until`, and what was wrong with them.

    The provider is asked for each symbol, and all are judged and placed in one pass. A symbol without a bar in the
    regular session is reported from 09:31 on.

    A source that cannot be used for one symbol (a malformed file) stops that symbol and no other: it has no new bars,
    which is reported once for each minute, and so no entries.

    Args:
        provider: where the bars come from.
        symbols: the rows, in this order.
        session: the day.
        until: the moment by which the bars had closed.
        seen: the bars of a symbol that were seen earlier in the session; asked for where its source cannot be used.
    """
    received, unusable = _receive(provider, symbols, session, until, seen)
    clean, problems = judge_all(symbols, received, session)
    bars = session_bars(session, symbols, clean)
    if (until - session.open).total_seconds() < _MINUTE:
        return bars, problems + unusable
    silent = np.flatnonzero(~(bars.bars["time"] != 0).any(axis=1))
    missing = tuple(DataProblem(symbol=symbols[row], what="no bar in the session") for row in silent.tolist())
    return bars, problems + unusable + missing


def open_session(
    provider: Provider, calendar: ExchangeCalendar, symbols: Sequence[str], session: Session
) -> tuple[npt.NDArray[Any], tuple[DataProblem, ...]]:
    """The day records of `symbols`, from what is known when the session's first bar has closed.

    Returns `day_t` of shape [symbols], and what is missing. Called earlier, it finds no gap. Of a symbol whose source
    cannot be used nothing is known, and that is reported.
    """
    days = np.zeros(len(symbols), day_t)
    problems: list[DataProblem] = []
    for row, symbol in enumerate(symbols):
        try:
            record, found = open_symbol(provider, calendar, symbol, session)
        except InvalidInput as error:
            record, found = _unknown_day(), (_unusable(symbol, error),)
        days[row] = record
        problems.extend(found)
    return days, tuple(problems)


def open_symbol(
    provider: Provider, calendar: ExchangeCalendar, symbol: str, session: Session
) -> tuple[npt.NDArray[Any], tuple[DataProblem, ...]]:
    """The day record of one symbol, as `open_session`: `day_t` of shape [], and what is missing.

    Raises `InvalidInput` if its source cannot be used.
    """
    first_closed = session.open + timedelta(minutes=1)
    morning, refused = judge(symbol, provider.minute_bars(symbol, session.day, first_closed), session)
    daily, refused_daily = judge_daily(symbol, provider.daily_bars(symbol, session.day, DAILY_HISTORY))
    earlier, refused_earlier = _earlier(provider, calendar, symbol, session)
    record, missing = make_day(
        symbol, session, previous=calendar.previous(session.day), morning=morning, daily=daily, earlier=earlier
    )
    return record, refused + refused_daily + refused_earlier + missing


def full_sessions_before(
    provider: Provider, calendar: ExchangeCalendar, symbol: str, session: Session
) -> Iterator[Session]:
    """The full sessions before `session` for which there are minute bars of `symbol`, newest first."""
    for day in reversed(provider.minute_sessions(symbol, session.day)):
        if calendar.is_session(day) and not (past := calendar.session(day)).is_half_day:
            yield past


def _earlier(
    provider: Provider, calendar: ExchangeCalendar, symbol: str, session: Session
) -> tuple[list[SessionBars], tuple[DataProblem, ...]]:
    """The newest full sessions before `session` that have bars, oldest first."""
    found: list[SessionBars] = []
    problems: tuple[DataProblem, ...] = ()
    for past in full_sessions_before(provider, calendar, symbol, session):
        if len(found) == PROFILE_SESSIONS:
            break
        clean, refused = judge(symbol, provider.minute_bars(symbol, past.day, past.close), past)
        if len(clean):
            found.append(session_bars(past, (symbol,), (clean,)))
        problems += tuple(
            DataProblem(symbol=symbol, what=f"{problem.what} in an earlier session", count=problem.count)
            for problem in refused
        )
    return found[::-1], problems


def _receive(
    provider: Provider,
    symbols: Sequence[str],
    session: Session,
    until: datetime,
    seen: Callable[[str], npt.NDArray[Any]] | None,
) -> tuple[list[npt.NDArray[Any]], tuple[DataProblem, ...]]:
    """The bars of each symbol as they come, and those whose source cannot be used."""
    received: list[npt.NDArray[Any]] = []
    unusable: list[DataProblem] = []
    for symbol in symbols:
        try:
            bars = provider.minute_bars(symbol, session.day, until)
        except InvalidInput as error:
            bars = np.zeros(0, bar_t) if seen is None else seen(symbol)
            bars = bars[bars["time"] + _MINUTE <= int(until.timestamp())]
            # Counted by the minutes so far: what is new in a minute is one more.
            minutes = int((until - session.open).total_seconds()) // _MINUTE
            unusable.append(_unusable(symbol, error, count=max(1, minutes)))
        received.append(bars)
    return received, tuple(unusable)


def _unknown_day() -> npt.NDArray[Any]:
    record = np.zeros((), day_t)
    for name in day_t.names or ():
        record[name] = np.nan
    return record


def _unusable(symbol: str, error: InvalidInput, count: int = 1) -> DataProblem:
    return DataProblem(symbol=symbol, what=f"{UNUSABLE}: {error}", count=count)
