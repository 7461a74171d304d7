"""The clock, which is injected: nothing else asks for the time (Law 10).

Times are timezone-aware and in UTC. Exchange time belongs to `calendars`.
"""

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """The present moment, timezone-aware, in UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present moment by the machine's clock."""
        return datetime.now(UTC)


class SimulatedClock:
    """A clock that is set by hand and never goes back."""

    def __init__(self, start: datetime) -> None:
        self._now = _utc(start)

    def now(self) -> datetime:
        """The moment that the clock was last set to."""
        return self._now

    def advance_to(self, moment: datetime) -> None:
        """Set the clock. Raises ValueError if `moment` is in its past."""
        moment = _utc(moment)
        if moment < self._now:
            raise ValueError(f"the clock stands at {self._now.isoformat()} and cannot go back to {moment.isoformat()}")
        self._now = moment


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no time zone")
    return moment.astimezone(UTC)
