"""The time axis of a run's plots: where each minute of the equity curve stands, and what stands below it.

A place counts along the curve that begins with the opening: 0 is the first session's open, 1 the end of its first minute.
A short run is drawn by minutes of trading, one session beside the next; in a long one nights cannot be seen, and its axis
is the calendar. Times are the exchange's.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trading_platform.calendars.sessions import EXCHANGE_ZONE
from trading_platform.domain.records import SESSION_MINUTES
from trading_platform.performance.track_record import TrackRecord, Units

SHORT: Final = 60
"""Sessions up to which nights are cut out."""

LABELS: Final = 6
"""What fits below a plot on a telephone."""

_MINUTE: Final = timedelta(minutes=1)
_HOUR: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """Labels of an axis by minutes of trading, and where they stand."""

    at: tuple[int, ...]
    texts: tuple[str, ...]


def is_short(record: TrackRecord) -> bool:
    """Whether the run is drawn by minutes of trading."""
    return len(record.sessions) <= SHORT


def moments(record: TrackRecord, places: npt.NDArray[Any]) -> list[datetime]:
    """The exchange's clock at places of the curve, without a zone."""
    opens = [session.open.astimezone(EXCHANGE_ZONE).replace(tzinfo=None) for session in record.sessions]
    sessions, minutes = _session_and_minute(record, places)
    return [
        opens[session] + int(minute) * _MINUTE
        for session, minute in zip(sessions.tolist(), minutes.tolist(), strict=True)
    ]


def elapsed(record: TrackRecord, places: npt.NDArray[Any]) -> Units:
    """Minutes of trading from the run's first open to places of the curve, int64."""
    lengths = record.session_minutes
    before = np.cumsum(lengths) - lengths
    sessions, minutes = _session_and_minute(record, places)
    passed: Units = before[sessions] + minutes
    return passed


def closes(record: TrackRecord) -> Units:
    """int64 [1 + sessions]: the places of the opening and of each session's close."""
    return np.arange(len(record.sessions) + 1, dtype=np.int64) * SESSION_MINUTES


def labels(record: TrackRecord) -> Labels:
    """Days below the sessions' opens, in a long run months below their first sessions; of a single session its hours."""
    if len(record.sessions) == 1:
        return _hours(record)
    short, days = is_short(record), [session.day for session in record.sessions]
    named = [place for place in range(len(days)) if short or (place and days[place].month != days[place - 1].month)]
    chosen = named[:: -(-len(named) // LABELS)]
    lengths = record.session_minutes
    before = np.cumsum(lengths) - lengths
    texts = tuple(f"{days[place]:%b} {days[place].day}" if short else f"{days[place]:%b %Y}" for place in chosen)
    return Labels(at=tuple(before[chosen].tolist()), texts=texts)


def _hours(record: TrackRecord) -> Labels:
    (session,) = record.sessions
    opened = session.open.astimezone(EXCHANGE_ZONE)
    first = -opened.minute % _HOUR
    at = tuple(range(first, session.minutes + 1, _HOUR))
    return Labels(at=at, texts=tuple(f"{opened + minute * _MINUTE:%H:%M}" for minute in at))


def _session_and_minute(record: TrackRecord, places: npt.NDArray[Any]) -> tuple[Units, Units]:
    """The session of each place and its minutes since the open; after a half day's close, the close."""
    sessions = np.maximum(np.asarray(places, np.int64) - 1, 0) // SESSION_MINUTES
    minutes = np.minimum(places - sessions * SESSION_MINUTES, record.session_minutes[sessions])
    return sessions, np.asarray(minutes, np.int64)
