"""What a person tells the platform to do: a command, recorded once with who gave it, when and why.

A command is a fact and is never taken back; what it leads to is worked out from the record each time. What a command
means for a decision belongs to the rooms that decide, and giving one to `cli`.
"""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum


class CommandAction(StrEnum):
    """What is asked for."""

    ENABLE = "enable"
    """Let a strategy enter a symbol again after rule 12 has disabled the pair."""
    FLATTEN = "flatten"
    """Sell everything that is held, and enter nothing for the rest of a session."""
    HALT = "halt"
    """Enter nothing any more, in whatever session; exits go on."""
    RESUME = "resume"
    """End a HALT."""
    CANCEL_ALL = "cancel_all"
    """Cancel every open order, protective ones included."""
    CLOSE_ALL = "close_all"
    """Cancel every open order and sell every position, now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One recorded command.

    `id` rises with each command of the ledger. `at` is the moment by the clock of the process that took the command,
    `recorded_at` by the database's. ENABLE names `strategy` and `symbol`; FLATTEN, CANCEL_ALL and CLOSE_ALL name
    `session`; HALT and RESUME name neither.
    """

    id: int
    book: str
    at: datetime
    recorded_at: datetime
    who: str
    action: CommandAction
    strategy: str | None
    symbol: str | None
    session: date | None
    reason: str
