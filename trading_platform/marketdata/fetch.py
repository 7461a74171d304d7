"""Asking a provider for many symbols at once: the day records at the open, and the bars so far.

What comes is judged by `quality` on the way, and a symbol for which nothing comes is reported.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.calendars.sessions import Session
from trading_platform.domain.records import day_t
from trading_platform.domain.reports import DataProblem
from trading_platform.marketdata.bars import SessionBars, session_bars
from trading_platform.marketdata.day import DAILY_HISTORY, PROFILE_SESSIONS, make_day
from trading_platform.marketdata.provider import Provider
from trading_platform.marketdata.quality import judge, judge_all, judge_daily


def fetch_bars(
    provider: Provider, symbols: Sequence[str], session: Session, until: datetime
) -> tuple[SessionBars, tuple[DataProblem, ...]]:
    """The regular session's bars that had closed by `until`, and what was wrong with them.

    The provider is asked for each symbol, and all are judged and placed in one pass. A symbol without a bar in the
    regular session is reported from 09:31 on.
    """
    received = [provider.minute_bars(symbol, session.day, until) for symbol in symbols]
    clean, problems = judge_all(symbols, received, session)
    bars = session_bars(session, symbols, clean)
    if (until - session.open).total_seconds() < 60:
        return bars, problems
    silent = np.flatnonzero(~(bars.bars["time"] != 0).any(axis=1))
    missing = tuple(DataProblem(symbol=symbols[row], what="no bar in the session") for row in silent.tolist())
    return bars, problems + missing


def open_session(
    provider: Provider, calendar: ExchangeCalendar, symbols: Sequence[str], session: Session
) -> tuple[npt.NDArray[Any], tuple[DataProblem, ...]]:
    """The day records of `symbols`, from what is known when the session's first bar has closed.

    Returns `day_t` of shape [symbols], and what is missing. Called earlier, it finds no gap.
    """
    days = np.zeros(len(symbols), day_t)
    problems: list[DataProblem] = []
    for row, symbol in enumerate(symbols):
        record, found = open_symbol(provider, calendar, symbol, session)
        days[row] = record
        problems.extend(found)
    return days, tuple(problems)


def open_symbol(
    provider: Provider, calendar: ExchangeCalendar, symbol: str, session: Session
) -> tuple[npt.NDArray[Any], tuple[DataProblem, ...]]:
    """The day record of one symbol, as `open_session`: `day_t` of shape [], and what is missing."""
    first_closed = session.open + timedelta(minutes=1)
    morning, refused = judge(symbol, provider.minute_bars(symbol, session.day, first_closed), session)
    daily, refused_daily = judge_daily(symbol, provider.daily_bars(symbol, session.day, DAILY_HISTORY))
    earlier, refused_earlier = _earlier(provider, calendar, symbol, session)
    record, missing = make_day(
        symbol, session, previous=calendar.previous(session.day), morning=morning, daily=daily, earlier=earlier
    )
    return record, refused + refused_daily + refused_earlier + missing


def _earlier(
    provider: Provider, calendar: ExchangeCalendar, symbol: str, session: Session
) -> tuple[list[SessionBars], tuple[DataProblem, ...]]:
    """The newest full sessions before `session` for which there are minute bars, oldest first."""
    found: list[SessionBars] = []
    problems: tuple[DataProblem, ...] = ()
    for day in reversed(provider.minute_sessions(symbol, session.day)):
        if len(found) == PROFILE_SESSIONS:
            break
        if not calendar.is_session(day) or (past := calendar.session(day)).is_half_day:
            continue
        clean, refused = judge(symbol, provider.minute_bars(symbol, day, past.after_hours_close), past)
        found.append(session_bars(past, (symbol,), (clean,)))
        problems += tuple(
            DataProblem(symbol=symbol, what=f"{problem.what} in an earlier session", count=problem.count)
            for problem in refused
        )
    return found[::-1], problems
