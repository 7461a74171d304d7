"""Executions in TWS's words, their corrections, and what the port says of them: values and functions of values.

TWS numbers the words that it has on one execution after the last point of its id: `...01` is the first, `...02` stands
in its place. Only part of these may have been heard: a process that starts late may hear of the third word alone, and
whether another has booked the first is not known here. So all words before it are told too, with the figures of the one
that was heard: each names the one before it, and whichever of them is booked ends.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Final

from trading_platform.domain.orders import Execution, Side

_FIRST: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TwsExecution:
    """One word of TWS on one execution; no `shares`: the trade was undone.

    `identity` is TWS's id without the number of the word, and `revision` that number, as it was written; it is empty
    where the id has none.
    """

    identity: str
    revision: str
    perm_id: int
    client_id: int
    order_id: int
    order_ref: str
    symbol: str
    side: str
    shares: int
    price: Decimal
    time: datetime
    heard_at: datetime

    @property
    def execution_id(self) -> str:
        """TWS's whole id, which its commission is told for."""
        return f"{self.identity}.{self.revision}" if self.revision else self.identity

    @property
    def number(self) -> int:
        """Which word on the execution this is, from 1 on."""
        return max(int(self.revision), _FIRST) if self.revision else _FIRST


def parted(execution_id: str) -> tuple[str, str]:
    """TWS's id of an execution as identity and revision; an id without a number at its end is all identity."""
    identity, point, revision = execution_id.rpartition(".")
    return (identity, revision) if point and revision.isdecimal() else (execution_id, "")


def told(words: Sequence[TwsExecution], fee_of: Callable[[TwsExecution], Decimal | None]) -> Iterator[Execution]:
    """What the port says of one execution: every word from the first on, each in the place of the one before it.

    Args:
        words: What was heard of it, in the order of their numbers.
        fee_of: What one of them cost, in dollars; None where that is not known, and it is held back.
    """
    last: Execution | None = None
    number = 0
    for word in words:
        fee = fee_of(word)
        if fee is None:
            continue
        if last is None and word.shares == 0:
            # Of what was undone before it was heard of there is no first word to tell: it had shares.
            number = _FIRST
        while number < word.number:
            number += 1
            last = _execution(_numbered(word, number), fee, _corrected(word, number, last))
            yield last


def _corrected(word: TwsExecution, number: int, last: Execution | None) -> str | None:
    """The id that a word with this number stands in the place of. What follows an undone one stands in nobody's."""
    if number == _FIRST or (word.shares and last is not None and last.quantity == 0):
        return None
    return _numbered(word, number - 1).execution_id


def _execution(word: TwsExecution, fee: Decimal, corrects: str | None) -> Execution:
    return Execution(
        execution_id=word.execution_id,
        broker_order_id=str(word.perm_id),
        intent_id=word.order_ref or f"ibkr-{word.perm_id}",
        symbol=word.symbol,
        side=Side.BUY if word.side == "BOT" else Side.SELL,
        quantity=word.shares,
        price=word.price,
        fee=fee,
        time=word.time,
        corrects=corrects,
    )


def _numbered(word: TwsExecution, number: int) -> TwsExecution:
    return replace(word, revision=f"{number:0{len(word.revision)}d}") if number != word.number else word
