"""What recorded data hold and lack, symbol by symbol and session by session, looked at before anything is traded.

It asks the same questions as a session does (`fetch`, `quality`, `day`), and two more that a session does not: whether
many minutes have no bar, and whether an overnight move looks like a split that the data do not know of.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum
from fractions import Fraction
from typing import Any, Final

import numpy.typing as npt

from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.calendars.sessions import Session
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.money import UNITS_PER_DOLLAR
from trading_platform.domain.reports import DataProblem
from trading_platform.marketdata.bars import session_bars
from trading_platform.marketdata.day import DAILY_HISTORY, ends_before
from trading_platform.marketdata.fetch import open_symbol
from trading_platform.marketdata.provider import Provider
from trading_platform.marketdata.quality import is_refusal, judge, judge_daily

SPARSE_PERCENT: Final = 10
"""More of a session's minutes without a bar are doubtful. Thinly traded stocks have such sessions; so have holes."""

SMALLEST_SPLIT: Final = Fraction(6, 5)
"""An overnight move by less than this factor is taken for one of the market's own."""

_SPLITS: Final = tuple(
    Fraction(new, old)
    for new, old in (
        *((new, 1) for new in (2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 25, 30, 40, 50, 100)),
        *((3, 2), (4, 3), (5, 2), (5, 3), (5, 4)),
    )
)
_SPLIT_TOLERANCE: Final = Fraction(3, 100)
_EPOCH: Final = date(1970, 1, 1)


class State(Enum):
    """Whether a symbol's session can be traded."""

    READY = "ready"
    DOUBTFUL = "doubtful"
    UNUSABLE = "unusable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What there is of one symbol in one session.

    Attributes:
        symbol: Whose it is.
        session: The day; None where not even the recorded days are known.
        bars: Good bars in the regular session.
        missing: Its minutes without one.
        premarket: Good bars before the open.
        refused: Malformed bars of the day, of its daily bars and of earlier sessions, by reason.
        lacks: What the day record does not know, and bars that are not there at all.
        doubts: What may be wrong.
        error: Why the source cannot be used; then nothing else is known.
    """

    symbol: str
    session: date | None
    bars: int = 0
    missing: int = 0
    premarket: int = 0
    refused: tuple[DataProblem, ...] = ()
    lacks: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    error: str | None = None

    @property
    def state(self) -> State:
        """Ready only if nothing is refused, missing or doubtful."""
        if self.error is not None:
            return State.UNUSABLE
        return State.DOUBTFUL if self.refused or self.lacks or self.doubts else State.READY


def coverage(provider: Provider, calendar: ExchangeCalendar, symbol: str, session: Session) -> Coverage:
    """Look at one symbol in one session, and at the days before it that its day record is made of."""
    try:
        return _looked_at(provider, calendar, symbol, session)
    except InvalidInput as error:
        return Coverage(symbol=symbol, session=session.day, error=str(error))


def suspected_split(before: int, after: int) -> Fraction | None:
    """New shares for an old one, if an overnight move from one price to another looks like a split; else None.

    The move is larger than `SMALLEST_SPLIT` and within 3 % of a ratio that companies use. A true move can look so.
    """
    move = Fraction(before, after)
    if SMALLEST_SPLIT > move > 1 / SMALLEST_SPLIT:
        return None
    for ratio in _SPLITS:
        for candidate in (ratio, 1 / ratio):
            if abs(move / candidate - 1) <= _SPLIT_TOLERANCE:
                return candidate
    return None


def _looked_at(provider: Provider, calendar: ExchangeCalendar, symbol: str, session: Session) -> Coverage:
    clean, refused = judge(symbol, provider.minute_bars(symbol, session.day, session.close), session)
    regular = session_bars(session, (symbol,), (clean,)).came(symbol)
    daily, _ = judge_daily(symbol, provider.daily_bars(symbol, session.day, DAILY_HISTORY))
    _, found = open_symbol(provider, calendar, symbol, session)
    missing = session.minutes - len(regular)
    lacks = [problem.what for problem in found if not is_refusal(problem)]
    doubts = list(_splits(daily, regular, calendar.previous(session.day), session))
    if not len(regular):
        lacks.insert(0, "no bar in the session")
    elif missing * 100 > session.minutes * SPARSE_PERCENT:
        doubts.insert(0, f"{missing} of {session.minutes} minutes have no bar")
    # The morning's refused bars are among the day's.
    elsewhere = tuple(
        problem for problem in found if is_refusal(problem) and problem.what not in {one.what for one in refused}
    )
    return Coverage(
        symbol=symbol,
        session=session.day,
        bars=len(regular),
        missing=missing,
        premarket=int((clean["time"] < int(session.open.timestamp())).sum()),
        refused=refused + elsewhere,
        lacks=tuple(lacks),
        doubts=tuple(doubts),
    )


def _splits(daily: npt.NDArray[Any], regular: npt.NDArray[Any], previous: Session, session: Session) -> Iterator[str]:
    """Every overnight move that looks like a split, from the daily bars (in one scale already) to the session's open."""
    days = [_EPOCH + timedelta(days=day) for day in daily["day"].tolist()]
    opens, closes = daily["open"].tolist(), daily["close"].tolist()
    moves = list(zip(days[1:], closes[:-1], opens[1:], strict=True))
    if ends_before(daily, previous) and len(regular):
        moves.append((session.day, closes[-1], int(regular["open"][0])))
    for day, before, after in moves:
        ratio = suspected_split(before, after)
        if ratio is not None:
            yield (
                f"from {before / UNITS_PER_DOLLAR:.2f} to {after / UNITS_PER_DOLLAR:.2f} on {day} looks like a split "
                f"of {ratio.numerator}:{ratio.denominator} that the data do not know of"
            )
