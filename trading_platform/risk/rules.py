"""The controls of the risk table, one function each, in the subset of Python that compiles.

A rule that caps a quantity answers with the shares that it allows, so that sizing and gate ask the same function. A
rule that forbids answers whether it does, with what it measured and its limit in the unit of `UNITS`.
"""

from typing import Final

from trading_platform.domain.compiled import compiled
from trading_platform.domain.decisions import OrderShape, Rule, TradingMode
from trading_platform.domain.money import BASIS_POINTS, UNITS_PER_DOLLAR
from trading_platform.domain.records import Record
from trading_platform.domain.rounding import basis_points_down, tick

UNITS: Final[dict[Rule, str]] = {
    Rule.NONE: "",
    Rule.PRICE_COLLAR: "basis points",
    Rule.REFERENCE: "seconds",
    Rule.ORDER_SIZE: "shares",
    Rule.LIQUIDITY: "shares",
    Rule.POSITION_SIZE: "shares",
    Rule.EXPOSURE: "shares",
    Rule.BUYING_POWER: "shares",
    Rule.LOSS_LIMIT: "1/10,000 dollar",
    Rule.ORDER_RATE: "orders",
    Rule.DUPLICATE: "seconds",
    Rule.REPEATED_ENTRY: "entries",
    Rule.SELF_TRADE: "shares",
    Rule.BARRED: "Barred",
    Rule.SESSION_WINDOW: "minutes",
    Rule.ORDER_SHAPE: "OrderShape bits",
    Rule.REDUCE_ONLY: "shares",
    Rule.OPEN_ORDERS: "orders; minutes where an entry is cancelled",
    Rule.RECONCILIATION: "",
    Rule.CLOCK_SKEW: "milliseconds",
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
_MARKET: Final = int(OrderShape.MARKET)
_LIMIT: Final = int(OrderShape.LIMIT)
_DAY: Final = int(OrderShape.DAY)
_ATTACHED_STOP: Final = int(OrderShape.ATTACHED_STOP)
_BRACKET: Final = int(OrderShape.BRACKET)
_ODD_LOT: Final = int(OrderShape.ODD_LOT)
_OFF_TICK: Final = int(OrderShape.OFF_TICK)
_COLLAR_FROM: Final = 25 * UNITS_PER_DOLLAR
_COLLAR_MID_FROM: Final = 3 * UNITS_PER_DOLLAR


@compiled
def collar_width(reference: int, limits: Record) -> int:
    """Rule 1: how far a limit price may lie from the reference on either side, in basis points of it."""
    if reference >= _COLLAR_FROM:
        return limits.collar
    if reference >= _COLLAR_MID_FROM:
        return limits.collar_mid
    return limits.collar_low


@compiled
def distance_from(reference: int, price: int) -> int:
    """Rule 1: how far `price` lies from the reference, in basis points of it, rounded up."""
    return -(-abs(price - reference) * BASIS_POINTS // reference)


@compiled
def reference_is_unusable(price: int, age: int, limits: Record) -> bool:
    """Rule 2: no price, or a bar that ended too long ago."""
    return price <= 0 or age < 0 or age > limits.reference_age


@compiled
def shares_by_order_size(price: int, limits: Record) -> int:
    """Rule 3: the largest order, in shares and in dollars."""
    return min(limits.order_shares, limits.order_notional // price)


@compiled
def shares_by_liquidity(entry: Record, limits: Record) -> int:
    """Rule 4: the largest share of a usual day's volume and of the decided minute's. What is not known allows none."""
    return min(
        basis_points_down(entry.average_volume, limits.day_volume),
        basis_points_down(entry.bar_volume, limits.minute_volume),
    )


@compiled
def shares_by_position_size(price: int, symbol_value: int, book: Record, limits: Record) -> int:
    """Rule 5: what the largest position leaves. `symbol_value`: what is held of the symbol and on order for it."""
    return max(0, basis_points_down(book.equity, limits.position_size) - symbol_value) // price


@compiled
def shares_by_exposure(price: int, book: Record, limits: Record) -> int:
    """Rule 6: what gross exposure, net exposure and leverage leave, working entries counted."""
    gross = basis_points_down(book.equity, min(limits.gross, limits.leverage)) - book.gross
    net = basis_points_down(book.equity, limits.net) - book.net
    return max(0, min(gross, net)) // price


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
def mode_by_orders(book: Record, limits: Record) -> int:
    """Rule 9: the mode that the session's count of orders demands: from the limit on the account only reduces."""
    if book.mode == _NORMAL and book.orders_day >= limits.orders_day:
        return _REDUCING_ONLY
    return book.mode


@compiled
def strategy_loss_limit(book: Record, limits: Record) -> int:
    """Rule 8: the loss since the open from which one strategy enters no more, in units."""
    return basis_points_down(book.open_equity, limits.strategy_daily_loss)


@compiled
def is_repeat(age: int, limits: Record) -> bool:
    """Rule 11: whether an order like this one was decided so many seconds ago, -1 for never, within the window.

    The second half of the rule, an intent's id ever, is the ledger's: it takes an id once.
    """
    return 0 <= age <= limits.duplicate_window


@compiled
def entries_left(entry: Record, limits: Record) -> int:
    """Rule 12: how many more entries of a strategy in a symbol may be sent; none until a person enables them again."""
    return 0 if entry.disabled != 0 else max(0, limits.entries_day - entry.entered)


@compiled
def minutes_to_close(book: Record) -> int:
    """Rule 16: minutes from the decision, which falls at the bar's end, to the session's close."""
    return book.session_minutes - book.minute - 1


@compiled
def entry_shape(entry: Record, attached: int, targets: int) -> int:
    """Rule 17: what an entry with so many attached stops and targets is to a venue, as bits of `OrderShape`."""
    shape = _DAY | (_LIMIT if entry.limit > 0 else _MARKET)
    if attached > 0:
        shape |= _ATTACHED_STOP
    if targets > 0:
        shape |= _BRACKET
    if entry.limit % tick(entry.limit) != 0 or entry.stop % tick(entry.stop) != 0:
        shape |= _OFF_TICK
    return shape


@compiled
def quantity_shape(quantity: int, limits: Record) -> int:
    """Rule 17: the bit of a quantity that is not in whole lots, or 0."""
    return _ODD_LOT if quantity % limits.lot != 0 else 0


@compiled
def is_too_old(age: int, limits: Record) -> bool:
    """Rule 19: whether an entry has worked for as long as it may, by its age in seconds."""
    return age >= limits.order_age * 60


@compiled
def reducing_quantity(wanted: int, held: int, exiting: int) -> int:
    """Rule 18: how much of an exit reduces what is held and not already on its way out; never negative."""
    return max(0, min(wanted, held - exiting))
