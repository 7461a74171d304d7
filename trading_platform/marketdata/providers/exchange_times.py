"""Times of day at the exchange, as files have them, turned into moments in UTC, many at once.

A time that the change of the clock leaves out or repeats stands for no moment, or for two: the caller refuses it.
"""

from datetime import date, datetime, timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trading_platform.calendars.sessions import EXCHANGE_ZONE

FIRST_YEAR: Final = 1970
LAST_YEAR: Final = 2200
"""Times of other years are a mistake of the file's."""

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 (exchange time, without an offset)
_HALF_HOUR: Final = 1_800
_DAY: Final = 86_400
_NONE: Final = np.iinfo(np.int64).min


def from_exchange_time(local: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Moments from times at the exchange.

    Args:
        local: seconds since 1970 as the exchange's own clock and date show them, of any shape.

    Returns:
        Seconds since 1970 in UTC, and which of the times stand for no single moment (their seconds mean nothing).
    """
    # The offset from UTC changes on the hour, so it is asked for once for each half hour that occurs.
    blocks, places = np.unique(local // _HALF_HOUR, return_inverse=True)
    offsets = np.array([_offset(block) for block in blocks.tolist()], np.int64)
    found = offsets[places.reshape(local.shape)] if len(blocks) else np.zeros(local.shape, np.int64)
    unclear = found == _NONE
    return np.where(unclear, 0, local - found), unclear


def exchange_days(moments: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """The exchange's dates, as days since 1970, at `moments` in seconds since 1970 in UTC."""
    blocks, places = np.unique(moments // _HALF_HOUR, return_inverse=True)
    offsets = [
        int(datetime.fromtimestamp(block * _HALF_HOUR, EXCHANGE_ZONE).utcoffset() // timedelta(seconds=1))  # type: ignore[operator]  # a zone with an offset
        for block in blocks.tolist()
    ]
    return np.asarray((moments + np.array(offsets, np.int64)[places]) // _DAY, np.int64)


def day_number(day: date) -> int:
    """A date as days since 1970."""
    return (day - _EPOCH.date()).days


def from_day_number(number: int) -> date:
    """The date that lies so many days after the first of 1970."""
    return _EPOCH.date() + timedelta(days=number)


def _offset(block: int) -> int:
    """Seconds from UTC to the exchange's clock in the half hour; `_NONE` where it is left out or repeated."""
    shown = _EPOCH + timedelta(seconds=block * _HALF_HOUR)
    first, second = (shown.replace(tzinfo=EXCHANGE_ZONE, fold=fold).utcoffset() for fold in (0, 1))
    if first is None or first != second:
        return _NONE
    return int(first / timedelta(seconds=1))
