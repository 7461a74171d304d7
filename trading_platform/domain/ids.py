"""Deterministic names (Law 3), and the map from symbols to shards.

An intent's id is a pure function of what was decided. It holds no version, host, epoch, clock or random number, so two
owners that decide the same thing make the same id, and a second submission can be seen for what it is.
"""

import hashlib
import re
import zlib
from datetime import UTC, datetime
from typing import Final

SHARDS: Final = 64
_SEPARATOR: Final = "\x1f"
_SYMBOL: Final = re.compile(r"[A-Z0-9][A-Z0-9.\-]{0,15}")


def intent_id(*, book: str, strategy: str, symbol: str, bar_time: datetime, kind: str, leg: int, attempt: int) -> str:
    """The name of an order intent, for the ledger and as the broker's client order id: 29 characters.

    `bar_time` is the start of the decided bar, timezone-aware. `attempt` counts earlier intents of this key that
    ended with quantity still to do. Raises ValueError for a field that holds the separator.
    """
    return _named(book, strategy, symbol, minute_stamp(bar_time), kind, str(leg), str(attempt))


def command_intent_id(
    *, book: str, command: int, strategy: str, symbol: str, kind: str, leg: int, attempt: int, target: str = ""
) -> str:
    """The name of an intent that a person's command leads to: the command's row id stands in for the bar's time.

    `target` is the order that a change acts on. Raises ValueError for a field that holds the separator.
    """
    return _named(book, strategy, symbol, f"command {command}", kind, str(leg), str(attempt), target)


def _named(*fields: str) -> str:
    if any(_SEPARATOR in field for field in fields):
        raise ValueError(f"a part of an intent's id holds a control character: {fields!r}")
    digest = hashlib.sha256(_SEPARATOR.join(fields).encode()).hexdigest()
    return f"tp-{digest[:26]}"


def minute_stamp(moment: datetime) -> str:
    """A minute in UTC as text, `20131009T1330Z`: the form in which ids and keys hold it."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no time zone")
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%MZ")


def cycle_id(book: str, bar_time: datetime) -> str:
    """The name of the cycle that decides on the bar that starts at `bar_time`."""
    return f"{book}/{minute_stamp(bar_time)}"


def shard_of(symbol: str) -> int:
    """The shard that owns `symbol`: crc32 modulo 64 (Python's own hash differs by process)."""
    return zlib.crc32(symbol.encode()) % SHARDS


def is_symbol(text: str) -> bool:
    """Whether `text` can be a symbol: capitals, digits, point and hyphen, at most 16."""
    return _SYMBOL.fullmatch(text) is not None
