"""Bar columns made of any provider's bars, as live sessions would have seen them, bit for bit.

Here belongs the making: bars come through `fetch.fetch_bars` and `bars.step_bars`, day records through `day.make_day`,
by the questions that `fetch.open_symbol` asks. What is left out is asking twice: each session's volumes, which up to
twenty later sessions want for their profile, are kept within a bound. Where the columns go is `column_store`'s.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from itertools import islice
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.calendars.sessions import Session
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.records import SESSION_MINUTES, day_t
from trading_platform.domain.reports import DataProblem
from trading_platform.marketdata.bars import SessionBars, session_bars, step_bars
from trading_platform.marketdata.columns import BarColumns, Column
from trading_platform.marketdata.day import DAILY_HISTORY, PROFILE_SESSIONS, make_day
from trading_platform.marketdata.fetch import UNUSABLE, fetch_bars
from trading_platform.marketdata.provider import Provider
from trading_platform.marketdata.quality import is_refusal, judge, judge_daily

COLUMNS: Final = ("open", "high", "low", "close", "volume")
CELL_BYTES: Final = len(COLUMNS) * SESSION_MINUTES * 8 + day_t.itemsize
"""What one symbol's session takes: five columns and the day record."""

VOLUMES_KEPT: Final = 100_000
"""Symbol sessions whose volumes are kept: 350 MB, the profiles of 5,000 symbols. What falls out is read again."""

_NEVER: Final = {"volume": 0.0}
_VOLUME_ONLY: Final = np.dtype([("volume", "i8")])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MadeColumns:
    """Columns, and what was wrong with the bars that they were made of.

    `problems` are bars that were refused and sources that could not be used, as a session reports them. What a day
    record does not know is nan in it, and who has no bar has none: that is to be seen, and not told again.
    """

    columns: BarColumns
    problems: tuple[DataProblem, ...]


class ColumnMaker:
    """Makes columns of one provider's bars. It keeps what it will want again: ask for sessions in the order of time.

    Args:
        provider: where the bars come from.
        calendar: whose sessions they are.
        last: no later session will be asked for.
        volumes_kept: how many symbol sessions' volumes are kept.
    """

    def __init__(
        self, provider: Provider, calendar: ExchangeCalendar, last: date, *, volumes_kept: int = VOLUMES_KEPT
    ) -> None:
        self._provider, self._calendar, self._last = provider, calendar, last
        self._full_sessions = lru_cache(max(1, volumes_kept // PROFILE_SESSIONS))(self._list_full_sessions)
        self._volumes = lru_cache(volumes_kept)(self._read_volumes)

    def make(self, symbols: Sequence[str], sessions: Sequence[Session]) -> MadeColumns:
        """The columns of `symbols`, in rising order, over `sessions`, oldest first.

        A symbol whose source cannot be used in a session has no bars there, or no day record, and is among the
        problems, as in a live session.
        """
        shape = (len(symbols), len(sessions))
        arrays, days = unknown_cells(shape)
        found: Counter[tuple[str, str]] = Counter()
        for place, session in enumerate(sessions):
            bars, problems = fetch_bars(self._provider, symbols, session, session.close)
            _put(arrays, place, bars)
            told = {(one.symbol, one.what): one.count for one in problems if is_refusal(one)}
            # There it is counted by the minutes in which a session meets it.
            told |= {(one.symbol, one.what): 1 for one in problems if one.what.startswith(UNUSABLE)}
            for row, symbol in enumerate(symbols):
                record, more = self._day(symbol, session)
                if record is not None:
                    days[row, place] = record
                told |= {(one.symbol, one.what): one.count for one in more}
            found.update(told)
        return MadeColumns(
            columns=bar_columns(symbols, sessions, arrays, days),
            problems=tuple(
                DataProblem(symbol=symbol, what=what, count=count) for (symbol, what), count in sorted(found.items())
            ),
        )

    def _day(self, symbol: str, session: Session) -> tuple[npt.NDArray[Any] | None, tuple[DataProblem, ...]]:
        """The day record as `fetch.open_session` makes it, and the daily bars that were refused for it."""
        first_closed = session.open + timedelta(minutes=1)
        try:
            morning, _ = judge(symbol, self._provider.minute_bars(symbol, session.day, first_closed), session)
            daily, refused = judge_daily(symbol, self._provider.daily_bars(symbol, session.day, DAILY_HISTORY))
            earlier = self._earlier(symbol, session)
        except InvalidInput as error:
            return None, (DataProblem(symbol=symbol, what=f"{UNUSABLE}: {error}"),)
        previous = self._calendar.previous(session.day)
        record, _ = make_day(symbol, session, previous=previous, morning=morning, daily=daily, earlier=earlier)
        return record, refused

    def _earlier(self, symbol: str, session: Session) -> list[SessionBars]:
        """The newest full sessions before `session` that have bars, oldest first: their volumes alone."""
        days = self._full_sessions(symbol)
        before = (self._volumes(symbol, day) for day in reversed(days[: bisect_left(days, session.day)]))
        return list(islice((bars for bars in before if bars is not None), PROFILE_SESSIONS))[::-1]

    def _list_full_sessions(self, symbol: str) -> tuple[date, ...]:
        """The full sessions of which there are minute bars, oldest first."""
        calendar = self._calendar
        recorded = self._provider.minute_sessions(symbol, self._last + timedelta(days=1))
        sessions = (calendar.session(day) for day in recorded if calendar.is_session(day))
        return tuple(session.day for session in sessions if not session.is_half_day)

    def _read_volumes(self, symbol: str, day: date) -> SessionBars | None:
        """The volumes of a full session, in slots that have nothing else, or None where no bar of the day stands."""
        session = self._calendar.session(day)
        clean, _ = judge(symbol, self._provider.minute_bars(symbol, day, session.close), session)
        if not len(clean):
            return None
        volumes = session_bars(session, (symbol,), (clean,)).bars["volume"].copy()
        return SessionBars(session=session, symbols=(symbol,), bars=volumes.view(_VOLUME_ONLY))


def make_columns(
    provider: Provider, calendar: ExchangeCalendar, symbols: Sequence[str], sessions: Sequence[Session]
) -> MadeColumns:
    """The columns of `symbols` over `sessions`, all in memory: 19 kB a symbol and session.

    Raises `InvalidInput` where there is no symbol or no session.
    """
    if not symbols or not sessions:
        raise InvalidInput(
            "there is no symbol" if not symbols else "there is no session",
            where="columns",
            mend="Name symbols and sessions that the data hold",
        )
    last = max(session.day for session in sessions)
    in_order = sorted(sessions, key=lambda session: session.day)
    return ColumnMaker(provider, calendar, last).make(sorted(set(symbols)), in_order)


def unknown_cells(shape: tuple[int, int]) -> tuple[dict[str, Column], Column]:
    """Columns by name without a bar, and day records that know nothing, of shape [symbols, sessions]."""
    arrays = {name: np.full((*shape, SESSION_MINUTES), _NEVER.get(name, np.nan)) for name in COLUMNS}
    days = np.full(shape[0] * shape[1] * (day_t.itemsize // 8), np.nan).view(day_t).reshape(shape)
    return arrays, days


def bar_columns(
    symbols: Sequence[str], sessions: Sequence[Session], arrays: Mapping[str, Column], days: Column
) -> BarColumns:
    """The columns as one value, which nobody can change any more."""
    for array in (*arrays.values(), days):
        array.flags.writeable = False
    return BarColumns(symbols=tuple(symbols), sessions=tuple(sessions), days=days, **arrays)


def _put(arrays: Mapping[str, Column], place: int, bars: SessionBars) -> None:
    """A session's bars into its place of the columns."""
    rows, minutes = np.nonzero(bars.bars["time"])
    steps = step_bars(bars.session, bars.bars[rows, minutes])
    for name, array in arrays.items():
        array[rows, place, minutes] = steps[name]
