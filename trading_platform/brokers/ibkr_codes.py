"""What the numbers mean that TWS sends with its messages: the table, and nothing that acts on it.

The same kind of message tells of a refused order, of a lost link and of a data farm that is well. What is not in the
table is not certain: an order that it is about is looked up, and never taken for refused or cancelled. The vendor's
library marks an order as cancelled at any error that it does not know, while the venue works it; its marks are not
used here.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Meaning(StrEnum):
    """What a number asks of whoever receives it."""

    REFUSED = "refused"
    """The order, or the change to it, was certainly not taken."""
    CHANGE_REFUSED = "change refused"
    """A cancel or a change had no effect; the order is what it was."""
    CANCELLED = "cancelled"
    """The order has ended."""
    LOOK_UP = "look up"
    """Nothing is certain about the order."""
    NOTE = "note"
    """The order stays as it is."""
    LINK_LOST = "link lost"
    """The gateway does not reach the venue: nothing is sent, what is known is kept."""
    LINK_BACK = "link back"
    """It does again: orders and executions are pulled."""
    CONNECT_AGAIN = "connect again"
    """This connection is of no more use."""
    CLIENT_ID_IN_USE = "client id in use"
    """Another session of ours is live."""


_LISTED: Final[Mapping[Meaning, tuple[int, ...]]] = MappingProxyType(
    {
        Meaning.REFUSED: (110, 200, 201, 203, 321),
        Meaning.CHANGE_REFUSED: (104, 105, 135, 161, 10147, 10148),
        Meaning.CANCELLED: (202,),
        Meaning.LOOK_UP: (103,),
        Meaning.NOTE: (165, 329, 399, 404, 434, 492, 10167, 10197),
        Meaning.LINK_LOST: (1100, 2110),
        Meaning.LINK_BACK: (1101, 1102),
        Meaning.CONNECT_AGAIN: (502, 504, 1300),
        Meaning.CLIENT_ID_IN_USE: (326,),
    }
)
_BY_CODE: Final = MappingProxyType({code: meaning for meaning, codes in _LISTED.items() for code in codes})
_FIRST_WARNING, _LAST_WARNING = 2100, 2199


def meaning_of(code: int) -> Meaning:
    """The meaning of a number; `LOOK_UP` for one that is not listed.

    2100 to 2199 are notes on data farms and the like, 2110 apart.
    """
    listed = _BY_CODE.get(code)
    if listed is not None:
        return listed
    return Meaning.NOTE if _FIRST_WARNING <= code <= _LAST_WARNING else Meaning.LOOK_UP
