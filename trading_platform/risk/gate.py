"""The gate: the order in which the controls speak on an entry. The first that objects is recorded, with its measure.

The calls stand here as plain lines, once: a list of functions would have to be compiled anew in every process. Sizing
has applied the caps before; here they only approve or refuse.
"""

from typing import Final

from trading_platform.domain.compiled import compiled
from trading_platform.domain.decisions import Rule, TradingMode
from trading_platform.domain.records import Record
from trading_platform.risk import rules

_NONE: Final = int(Rule.NONE)
_REFERENCE: Final = int(Rule.REFERENCE)
_ORDER_SIZE: Final = int(Rule.ORDER_SIZE)
_POSITION_SIZE: Final = int(Rule.POSITION_SIZE)
_BUYING_POWER: Final = int(Rule.BUYING_POWER)
_LOSS_LIMIT: Final = int(Rule.LOSS_LIMIT)
_SESSION_WINDOW: Final = int(Rule.SESSION_WINDOW)
_RECONCILIATION: Final = int(Rule.RECONCILIATION)
_POSITIONS: Final = int(Rule.POSITIONS)
_SET_ASIDE: Final = int(Rule.SET_ASIDE)
_NORMAL: Final = int(TradingMode.NORMAL)

_reference_is_unusable = rules.reference_is_unusable
_shares_by_order_size = rules.shares_by_order_size
_shares_by_position_size = rules.shares_by_position_size
_shares_by_buying_power = rules.shares_by_buying_power
_account_loss_limit = rules.account_loss_limit
_drawdown_limit = rules.drawdown_limit
_strategy_loss_limit = rules.strategy_loss_limit
_minutes_to_close = rules.minutes_to_close


@compiled
def _object(decision: Record, rule: int, measure: int, limit: int) -> int:
    decision.measure = measure
    decision.limit = limit
    return rule


@compiled
def _loss_objection(decision: Record, book: Record, limits: Record) -> int:
    """Write the loss that stops the account: the fall from its highest equity where that alone is over its limit."""
    daily, fall = book.open_equity - book.equity, book.peak_equity - book.equity
    if daily < _account_loss_limit(book, limits) and fall >= _drawdown_limit(book, limits):
        return _object(decision, _LOSS_LIMIT, fall, _drawdown_limit(book, limits))
    return _object(decision, _LOSS_LIMIT, daily, _account_loss_limit(book, limits))


@compiled
def market_objection(decision: Record, entry: Record, book: Record, strategy: Record, limits: Record) -> int:
    """The first rule on account, session and data that forbids any entry now, or 0. Writes measure and limit."""
    if book.mode != _NORMAL:
        return _loss_objection(decision, book, limits)
    if strategy.set_aside != 0:
        return _object(decision, _SET_ASIDE, strategy.set_aside, 0)
    if -strategy.day_pnl >= _strategy_loss_limit(book, limits):
        return _object(decision, _LOSS_LIMIT, -strategy.day_pnl, _strategy_loss_limit(book, limits))
    if entry.frozen != 0:
        return _object(decision, _RECONCILIATION, entry.frozen, 0)
    if _minutes_to_close(book) <= limits.closing_minutes:
        return _object(decision, _SESSION_WINDOW, _minutes_to_close(book), limits.closing_minutes)
    if _reference_is_unusable(entry.price, entry.age, limits):
        return _object(decision, _REFERENCE, entry.age, limits.reference_age)
    if book.holdings >= limits.positions:
        return _object(decision, _POSITIONS, book.holdings, limits.positions)
    return _NONE


@compiled
def size_objection(decision: Record, price: int, symbol_value: int, book: Record, limits: Record) -> int:
    """The first rule that forbids an entry of `decision.quantity` shares, or 0. Writes measure and limit."""
    quantity = decision.quantity
    if quantity > _shares_by_order_size(price, limits):
        return _object(decision, _ORDER_SIZE, quantity, _shares_by_order_size(price, limits))
    if quantity > _shares_by_position_size(price, symbol_value, book, limits):
        return _object(decision, _POSITION_SIZE, quantity, _shares_by_position_size(price, symbol_value, book, limits))
    if quantity > _shares_by_buying_power(price, book, limits):
        return _object(decision, _BUYING_POWER, quantity, _shares_by_buying_power(price, book, limits))
    return _NONE
