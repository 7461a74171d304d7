"""How many messages may go to TWS in a second: a sliding window, without a clock of its own.

TWS takes 50 messages a second from a client and drops one that sends more. Four fifths of that are used, and a fifth
of those is left for orders: questions never take the room that an exit needs. The vendor's library would queue what is
too much and send it later, after its deadline too; so its own limit is off, and room is taken before anything is
written.
"""

from collections import deque
from typing import Final

VENDOR_LIMIT: Final = 50
"""Messages a second."""

MOST: Final = VENDOR_LIMIT * 80 // 100
FOR_QUESTIONS: Final = MOST * 80 // 100
_WINDOW: Final = 1.0


class MessageBudget:
    """Counts what was sent within the last second. Moments are seconds of any clock that never goes back."""

    def __init__(self, *, most: int = MOST, for_questions: int = FOR_QUESTIONS) -> None:
        self._most, self._for_questions = most, for_questions
        self._sent: deque[float] = deque()

    def wait(self, count: int, now: float, *, urgent: bool) -> float:
        """Seconds until `count` messages have room; 0: they have it now. `urgent` is what orders are."""
        limit = self._most if urgent else self._for_questions
        while self._sent and now - self._sent[0] >= _WINDOW:
            self._sent.popleft()
        too_many = len(self._sent) + count - limit
        if too_many <= 0:
            return 0.0
        return self._sent[min(too_many, len(self._sent)) - 1] + _WINDOW - now if self._sent else _WINDOW

    def spend(self, count: int, now: float) -> None:
        """Note that `count` messages are sent at `now`."""
        self._sent.extend([now] * count)
