"""Alpaca's account: what it says of itself, what it holds, its clock, and its answers that have several parts.

Here belongs what is about the account as a whole. Orders by intent are `alpaca_view` and `alpaca_changes`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from trading_platform.brokers.alpaca_line import AlpacaLine, NoAnswer, Refusal, Until
from trading_platform.brokers.alpaca_orders import Unreadable, moment, shares
from trading_platform.domain.errors import InvalidInput, TemporaryError
from trading_platform.domain.orders import Accepted, Rejected, Unknown

_WHERE: Final = "Alpaca"
_PAPER: Final = "PA"
"""What the account number of a paper account begins with."""

_KEYS_OF: Final = {"PK": "a paper", "AK": "a live"}
"""What the ids of keys begin with. Alpaca does not promise it: it is said to a person, and nothing else rests on it."""

_BLOCKS: Final = ("account_blocked", "trading_blocked", "trade_suspended_by_user")
_KEYS_REFUSED: Final = frozenset({401, 403})
_DONE: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketClock:
    """The market's clock as Alpaca has it."""

    now: datetime
    is_open: bool
    next_open: datetime
    next_close: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PartAnswer:
    """One element of an answer that has several: what it is about, Alpaca's order id or a symbol, and how it went."""

    about: str
    answer: Accepted | Rejected | Unknown


def require_account(line: AlpacaLine, *, paper: bool, kind_of_key: str | None, until: Until) -> None:
    """Look at the account behind the keys.

    Args:
        line: the line to Alpaca.
        paper: whether a paper account is meant.
        kind_of_key: what the key's id seems to be for (`kind_of`), to say so where it is refused.
        until: the deadline.

    Raises:
        InvalidInput: the keys are refused, the account is blocked, or it is a live one where a paper one was asked for,
            or the reverse.
        TemporaryError: Alpaca does not answer.
    """
    try:
        said = line.call("get", "/account", until=until)
    except Refusal as refusal:
        if refusal.status in _KEYS_REFUSED:
            raise _keys_refused(refusal, kind_of_key, "a paper" if paper else "a live") from None
        raise TemporaryError(f"Alpaca does not show its account: {refusal}") from None
    except NoAnswer as error:
        raise TemporaryError(f"Alpaca's account cannot be seen: {error}", delay=error.delay) from None
    number = said.get("account_number") if isinstance(said, Mapping) else None
    if not isinstance(number, str) or not number:
        raise InvalidInput(
            "Alpaca's account does not tell its number, which says whether it is a paper account",
            where=_WHERE,
            mend="Check that the address is that of Alpaca's trading API",
        )
    if number.startswith(_PAPER) != paper:
        asked, is_one = ("a paper", "a live") if paper else ("a live", "a paper")
        raise InvalidInput(
            f"{asked} account was asked for, and these keys are of {is_one} account",
            where=_WHERE,
            mend="Give the keys and the address of the account that is meant",
        )
    blocked = [name for name in _BLOCKS if said.get(name)]
    if blocked:
        raise InvalidInput(
            f"the account cannot trade ({', '.join(blocked)})", where=_WHERE, mend="Ask Alpaca to have it unblocked"
        )


def kind_of(key: str) -> str | None:
    """What a key's id seems to be for, by how it begins: "a paper" or "a live"; None where that cannot be told."""
    return next((kind for begins, kind in _KEYS_OF.items() if key.startswith(begins)), None)


def _keys_refused(refusal: Refusal, kind: str | None, asked: str) -> InvalidInput:
    if kind is not None and kind != asked:
        return InvalidInput(
            f"Alpaca refuses the keys ({refusal.message}): {asked} account was asked for, and this key seems to be "
            f"{kind} one",
            where=_WHERE,
            mend=f"Give the keys of {asked} account, or say that {kind} one is meant",
        )
    return InvalidInput(
        f"Alpaca refuses the keys ({refusal.message})",
        where=_WHERE,
        mend="Check key and secret, and that they belong to this address: paper and live have keys of their own",
    )


def read_cash(said: Any) -> Decimal:
    """The account's cash in dollars. Raises `Unreadable`."""
    try:
        return Decimal(str(said["cash"]))
    except (KeyError, TypeError, InvalidOperation) as error:
        raise Unreadable(f"the account tells no cash ({error!r})") from None


def read_positions(said: Any) -> dict[str, int]:
    """Shares by symbol; what is held short is negative. Raises `Unreadable`."""
    try:
        held = {str(one["symbol"]): shares(one["qty"]) for one in said}
    except (KeyError, TypeError, InvalidOperation) as error:
        raise Unreadable(f"the positions cannot be read ({error!r})") from None
    return {symbol: quantity for symbol, quantity in held.items() if quantity}


def read_clock(said: Any) -> MarketClock:
    """The market's clock. Raises `Unreadable`."""
    try:
        return MarketClock(
            now=moment(said["timestamp"]),
            is_open=bool(said["is_open"]),
            next_open=moment(said["next_open"]),
            next_close=moment(said["next_close"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Unreadable(f"the clock cannot be read ({error!r})") from None


def read_parts(said: Any) -> tuple[PartAnswer, ...]:
    """Every element of a 207. One that is not clear is unknown. Raises `Unreadable` if it is no list."""
    if not isinstance(said, list):
        raise Unreadable(f"a list was expected, not {type(said).__name__}")
    return tuple(_part(one) for one in said)


def _part(said: Any) -> PartAnswer:
    if not isinstance(said, Mapping):
        return PartAnswer(about="?", answer=Unknown(reason=f"an element that cannot be read: {said}"))
    told = said.get("body")
    body: Mapping[str, Any] = told if isinstance(told, Mapping) else {}
    about = str(said.get("symbol") or said.get("id") or body.get("symbol") or "?")
    status = said.get("status")
    if not isinstance(status, int) or status >= 500:
        return PartAnswer(about=about, answer=Unknown(reason=f"status {status}"))
    if status < _DONE:
        return PartAnswer(about=about, answer=Accepted(broker_order_id=str(said.get("id") or body.get("id") or "")))
    return PartAnswer(about=about, answer=Rejected(reason=str(body.get("message") or f"status {status}")))
