"""The gate: the order in which the controls speak on an entry. The first that objects is recorded, with its measure.

From the widest to the narrowest, so that what is told is what a person would have to change first:

- the account: its mode, by losses (8) or by orders (9), and the clock (28)
- the strategy: set aside (105), its own losses (8), its own orders (9)
- the symbol: books that do not agree (23), barred (15), too many entries (12)
- the moment: the session's end (16), the reference (2)
- the room: orders of the last second and minute (9), positions (30)
- the order: its price (1), its shape (17); with resting targets, the room for each of its legs (9)
- then, in the kernel, what the strategy's plan says (103, 16, 102, 104), and what the book has in the symbol:
  an opposite order (14), open orders (19)
- the quantity: order (3), liquidity (4), position (5), exposure (6), buying power (7), lots (17), and last the twin of
  an order (11), which has the same quantity

The calls stand here as plain lines, once: a list of functions would have to be compiled anew in every process. Sizing
has applied the caps before; here they only approve or refuse.
"""

from typing import Final

from trading_platform.domain.compiled import compiled
from trading_platform.domain.decisions import Rule, TradingMode
from trading_platform.domain.records import Record
from trading_platform.risk import rules

_NONE: Final = int(Rule.NONE)
_PRICE_COLLAR: Final = int(Rule.PRICE_COLLAR)
_REFERENCE: Final = int(Rule.REFERENCE)
_ORDER_SIZE: Final = int(Rule.ORDER_SIZE)
_LIQUIDITY: Final = int(Rule.LIQUIDITY)
_POSITION_SIZE: Final = int(Rule.POSITION_SIZE)
_EXPOSURE: Final = int(Rule.EXPOSURE)
_BUYING_POWER: Final = int(Rule.BUYING_POWER)
_LOSS_LIMIT: Final = int(Rule.LOSS_LIMIT)
_ORDER_RATE: Final = int(Rule.ORDER_RATE)
_DUPLICATE: Final = int(Rule.DUPLICATE)
_REPEATED_ENTRY: Final = int(Rule.REPEATED_ENTRY)
_SELF_TRADE: Final = int(Rule.SELF_TRADE)
_BARRED: Final = int(Rule.BARRED)
_SESSION_WINDOW: Final = int(Rule.SESSION_WINDOW)
_ORDER_SHAPE: Final = int(Rule.ORDER_SHAPE)
_OPEN_ORDERS: Final = int(Rule.OPEN_ORDERS)
_RECONCILIATION: Final = int(Rule.RECONCILIATION)
_CLOCK_SKEW: Final = int(Rule.CLOCK_SKEW)
_POSITIONS: Final = int(Rule.POSITIONS)
_SET_ASIDE: Final = int(Rule.SET_ASIDE)
_NORMAL: Final = int(TradingMode.NORMAL)

_collar_width = rules.collar_width
_distance_from = rules.distance_from
_reference_is_unusable = rules.reference_is_unusable
_shares_by_order_size = rules.shares_by_order_size
_shares_by_liquidity = rules.shares_by_liquidity
_shares_by_position_size = rules.shares_by_position_size
_shares_by_exposure = rules.shares_by_exposure
_shares_by_buying_power = rules.shares_by_buying_power
_account_loss_limit = rules.account_loss_limit
_drawdown_limit = rules.drawdown_limit
_strategy_loss_limit = rules.strategy_loss_limit
_is_repeat = rules.is_repeat
_entries_left = rules.entries_left
_minutes_to_close = rules.minutes_to_close
_entry_shape = rules.entry_shape
_quantity_shape = rules.quantity_shape


@compiled
def _object(decision: Record, rule: int, measure: int, limit: int) -> int:
    decision.measure = measure
    decision.limit = limit
    return rule


@compiled
def _mode_objection(decision: Record, book: Record, limits: Record) -> int:
    """Write what stopped the account: its loss, the fall from its highest equity, or where neither is over, orders."""
    daily, fall = book.open_equity - book.equity, book.peak_equity - book.equity
    if daily < _account_loss_limit(book, limits) and fall >= _drawdown_limit(book, limits):
        return _object(decision, _LOSS_LIMIT, fall, _drawdown_limit(book, limits))
    if daily < _account_loss_limit(book, limits) and book.orders_day >= limits.orders_day:
        return _object(decision, _ORDER_RATE, book.orders_day, limits.orders_day)
    return _object(decision, _LOSS_LIMIT, daily, _account_loss_limit(book, limits))


@compiled
def account_objection(decision: Record, book: Record, strategy: Record, limits: Record) -> int:
    """The first rule on account and strategy that forbids any entry now, or 0. Writes measure and limit."""
    if book.mode != _NORMAL:
        return _mode_objection(decision, book, limits)
    if book.clock_skew > limits.clock_skew:
        return _object(decision, _CLOCK_SKEW, book.clock_skew, limits.clock_skew)
    if strategy.set_aside != 0:
        return _object(decision, _SET_ASIDE, strategy.set_aside, 0)
    if -strategy.day_pnl >= _strategy_loss_limit(book, limits):
        return _object(decision, _LOSS_LIMIT, -strategy.day_pnl, _strategy_loss_limit(book, limits))
    if strategy.orders >= limits.strategy_orders_day:
        return _object(decision, _ORDER_RATE, strategy.orders, limits.strategy_orders_day)
    return _NONE


@compiled
def symbol_objection(decision: Record, entry: Record, book: Record, limits: Record) -> int:
    """The first rule on symbol and moment that forbids an entry there now, or 0. Writes measure and limit."""
    if entry.frozen != 0:
        return _object(decision, _RECONCILIATION, entry.frozen, 0)
    if entry.barred != 0:
        return _object(decision, _BARRED, entry.barred, 0)
    if _entries_left(entry, limits) == 0:
        # Disabled in an earlier session: none is allowed, whatever this one has entered.
        allowed = limits.entries_day if entry.entered >= limits.entries_day else 0
        return _object(decision, _REPEATED_ENTRY, entry.entered, allowed)
    if _minutes_to_close(book) <= limits.closing_minutes:
        return _object(decision, _SESSION_WINDOW, _minutes_to_close(book), limits.closing_minutes)
    if _reference_is_unusable(entry.price, entry.age, limits):
        return _object(decision, _REFERENCE, entry.age, limits.reference_age)
    return _NONE


@compiled
def order_objection(decision: Record, entry: Record, attached: int, targets: int, book: Record, limits: Record) -> int:
    """The first rule on the room for one more order, and on the order itself with what is attached to it, or 0.

    `attached` and `targets`: whether stops and targets are. Writes measure and limit.
    """
    if book.orders_second >= limits.orders_second:
        return _object(decision, _ORDER_RATE, book.orders_second, limits.orders_second)
    if book.orders_minute >= limits.orders_minute:
        return _object(decision, _ORDER_RATE, book.orders_minute, limits.orders_minute)
    if book.holdings >= limits.positions:
        return _object(decision, _POSITIONS, book.holdings, limits.positions)
    if entry.limit > 0 and _distance_from(entry.price, entry.limit) > _collar_width(entry.price, limits):
        distance = _distance_from(entry.price, entry.limit)
        return _object(decision, _PRICE_COLLAR, distance, _collar_width(entry.price, limits))
    shape = _entry_shape(entry, attached, targets)
    if shape & ~limits.shapes != 0:
        return _object(decision, _ORDER_SHAPE, shape, limits.shapes)
    return _NONE


@compiled
def legs_objection(decision: Record, orders: int, book: Record, strategy: Record, limits: Record) -> int:
    """Rule 9 for an entry that is sent as so many orders, or 0: there must be room for all of them.

    There is room for one: the rules before have looked. Writes measure and limit.
    """
    if book.orders_second + orders > limits.orders_second:
        return _object(decision, _ORDER_RATE, book.orders_second + orders, limits.orders_second)
    if book.orders_minute + orders > limits.orders_minute:
        return _object(decision, _ORDER_RATE, book.orders_minute + orders, limits.orders_minute)
    if book.orders_day + orders > limits.orders_day:
        return _object(decision, _ORDER_RATE, book.orders_day + orders, limits.orders_day)
    if strategy.orders + orders > limits.strategy_orders_day:
        return _object(decision, _ORDER_RATE, strategy.orders + orders, limits.strategy_orders_day)
    return _NONE


@compiled
def crossing_objection(decision: Record, crossing: int) -> int:
    """Rule 14, or 0: `crossing` shares of other strategies could be sold to this entry, or bought from its stop.

    Writes measure and limit.
    """
    if crossing > 0:
        return _object(decision, _SELF_TRADE, crossing, 0)
    return _NONE


@compiled
def open_orders_objection(decision: Record, account: int, side: int, limits: Record) -> int:
    """Rule 19, or 0: so many orders of the account, and of the symbol's fuller side, would be open with this entry.

    Writes measure and limit.
    """
    if account > limits.open_orders:
        return _object(decision, _OPEN_ORDERS, account, limits.open_orders)
    if side > limits.side_orders:
        return _object(decision, _OPEN_ORDERS, side, limits.side_orders)
    return _NONE


@compiled
def size_objection(decision: Record, price: int, symbol_value: int, entry: Record, book: Record) -> int:
    """The first rule that forbids an entry of `decision.quantity` shares, or 0. Writes measure and limit."""
    quantity, limits = decision.quantity, book.limits
    if quantity > _shares_by_order_size(price, limits):
        return _object(decision, _ORDER_SIZE, quantity, _shares_by_order_size(price, limits))
    if quantity > _shares_by_liquidity(entry, limits):
        return _object(decision, _LIQUIDITY, quantity, _shares_by_liquidity(entry, limits))
    if quantity > _shares_by_position_size(price, symbol_value, book, limits):
        return _object(decision, _POSITION_SIZE, quantity, _shares_by_position_size(price, symbol_value, book, limits))
    if quantity > _shares_by_exposure(price, book, limits):
        return _object(decision, _EXPOSURE, quantity, _shares_by_exposure(price, book, limits))
    if quantity > _shares_by_buying_power(price, book, limits):
        return _object(decision, _BUYING_POWER, quantity, _shares_by_buying_power(price, book, limits))
    if _quantity_shape(quantity, limits) & ~limits.shapes != 0:
        return _object(decision, _ORDER_SHAPE, _quantity_shape(quantity, limits), limits.shapes)
    return _NONE


@compiled
def repeat_objection(decision: Record, age: int, limits: Record) -> int:
    """Rule 11, or 0: the newest order like this one was decided `age` seconds ago. Writes measure and limit."""
    if _is_repeat(age, limits):
        return _object(decision, _DUPLICATE, age, limits.duplicate_window)
    return _NONE
