"""The controls of the risk table, one function each, in the subset of Python that compiles.

A rule that caps a quantity answers with the shares that it allows, so that sizing and gate ask the same function. A
rule that forbids answers whether it does, with what it measured and its limit in the unit of `UNITS`.
"""

from typing import Final

from trading_platform.domain.compiled import compiled
from trading_platform.domain.decisions import Rule, TradingMode
from trading_platform.domain.records import Record
from trading_platform.domain.rounding import basis_points_down

UNITS: Final[dict[Rule, str]] = {
    Rule.NONE: "",
    Rule.REFERENCE: "seconds",
    Rule.ORDER_SIZE: "shares",
    Rule.POSITION_SIZE: "shares",
    Rule.BUYING_POWER: "shares",
    Rule.LOSS_LIMIT: "1/10,000 dollar",
    Rule.SESSION_WINDOW: "minutes",
    Rule.REDUCE_ONLY: "shares",
    Rule.RECONCILIATION: "",
    Rule.POSITIONS: "positions",
    Rule.RISK_PER_TRADE: "shares",
    Rule.ATTEMPTS: "entries",
    Rule.ALREADY_HELD: "shares",
    Rule.STOP_SIDE: "1/10,000 dollar",
    Rule.SET_ASIDE: "",
}
"""The unit of a decision's `measure` and `limit`, by rule."""

_NORMAL: Final = int(TradingMode.NORMAL)
_REDUCING_ONLY: Final = int(TradingMode.REDUCING_ONLY)
_HALTED: Final = int(TradingMode.HALTED)


@compiled
def reference_is_unusable(price: int, age: int, limits: Record) -> bool:
    """Rule 2: no price, or a bar that ended too long ago."""
    return price <= 0 or age < 0 or age > limits.reference_age


@compiled
def shares_by_order_size(price: int, limits: Record) -> int:
    """Rule 3: the largest order, in shares and in dollars."""
    return min(limits.order_shares, limits.order_notional // price)


@compiled
def shares_by_position_size(price: int, symbol_value: int, book: Record, limits: Record) -> int:
    """Rule 5: what the largest position leaves. `symbol_value`: what is held of the symbol and on order for it."""
    return max(0, basis_points_down(book.equity, limits.position_size) - symbol_value) // price


@compiled
def shares_by_buying_power(price: int, book: Record, limits: Record) -> int:
    """Rule 7: what the cash leaves that no working entry has reserved."""
    return max(0, basis_points_down(book.cash - book.reserved, limits.buying_power)) // price


@compiled
def account_loss_limit(book: Record, limits: Record) -> int:
    """Rule 8: the loss since the open from which the account only reduces, in units."""
    return basis_points_down(book.open_equity, limits.daily_loss)


@compiled
def drawdown_limit(book: Record, limits: Record) -> int:
    """Rule 8: the fall from the highest equity from which the account only reduces, in units."""
    return basis_points_down(book.peak_equity, limits.drawdown)


@compiled
def mode_by_losses(book: Record, limits: Record) -> int:
    """Rule 8: the mode that daily loss and drawdown demand. It never lets go of a stricter one.

    A limit that is reached stops entries; once nothing is held or on order any more, the account is halted.
    """
    mode = book.mode
    daily = book.open_equity - book.equity
    fall = book.peak_equity - book.equity
    if mode == _NORMAL and (daily >= account_loss_limit(book, limits) or fall >= drawdown_limit(book, limits)):
        mode = _REDUCING_ONLY
    if mode == _REDUCING_ONLY and book.holdings == 0:
        mode = _HALTED
    return mode


@compiled
def strategy_loss_limit(book: Record, limits: Record) -> int:
    """Rule 8: the loss since the open from which one strategy enters no more, in units."""
    return basis_points_down(book.open_equity, limits.strategy_daily_loss)


@compiled
def minutes_to_close(book: Record) -> int:
    """Rule 16: minutes from the decision, which falls at the bar's end, to the session's close."""
    return book.session_minutes - book.minute - 1


@compiled
def reducing_quantity(wanted: int, held: int, exiting: int) -> int:
    """Rule 18: how much of an exit reduces what is held and not already on its way out; never negative."""
    return max(0, min(wanted, held - exiting))
