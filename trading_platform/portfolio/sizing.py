"""Sizing: risk per trade over the stop's distance, capped by the limits, floored to the lot."""

from typing import Final

from trading_platform.domain.compiled import compiled
from trading_platform.domain.decisions import Rule, Verdict
from trading_platform.domain.records import Record
from trading_platform.domain.rounding import basis_points_down
from trading_platform.risk.rules import (
    shares_by_buying_power,
    shares_by_exposure,
    shares_by_liquidity,
    shares_by_order_size,
    shares_by_position_size,
)

_ORDER_SIZE: Final = int(Rule.ORDER_SIZE)
_LIQUIDITY: Final = int(Rule.LIQUIDITY)
_POSITION_SIZE: Final = int(Rule.POSITION_SIZE)
_EXPOSURE: Final = int(Rule.EXPOSURE)
_BUYING_POWER: Final = int(Rule.BUYING_POWER)
_RISK_PER_TRADE: Final = int(Rule.RISK_PER_TRADE)
_APPROVED: Final = int(Verdict.APPROVED)
_RESIZED: Final = int(Verdict.RESIZED)
_REFUSED: Final = int(Verdict.REFUSED)


@compiled
def risk_per_share(price: int, stop: int, plan: Record) -> int:
    """What one share risks down to its stop, in units; not positive where the stop is not below the price."""
    if plan.stop_percent > 0:
        return basis_points_down(price, plan.stop_percent)
    return price - stop if stop > 0 else 0


@compiled
def wanted_shares(price: int, stop: int, book: Record, plan: Record) -> int:
    """The quantity before any cap: fixed, or what loses `plan.risk` of the equity at the stop."""
    if plan.fixed_quantity > 0:
        return plan.fixed_quantity
    return max(0, basis_points_down(book.equity, plan.risk)) // risk_per_share(price, stop, plan)


@compiled
def size(decision: Record, price: int, symbol_value: int, entry: Record, book: Record, plan: Record) -> None:
    """Write quantity and verdict, and where a limit bound it, the rule, the wanted quantity and what was left of it."""
    limits = book.limits
    wanted = wanted_shares(price, entry.stop, book, plan)
    quantity = wanted
    rule = _RISK_PER_TRADE
    cap = shares_by_order_size(price, limits)
    if cap < quantity:
        quantity, rule = cap, _ORDER_SIZE
    cap = shares_by_liquidity(entry, limits)
    if cap < quantity:
        quantity, rule = cap, _LIQUIDITY
    cap = shares_by_position_size(price, symbol_value, book, limits)
    if cap < quantity:
        quantity, rule = cap, _POSITION_SIZE
    cap = shares_by_exposure(price, book, limits)
    if cap < quantity:
        quantity, rule = cap, _EXPOSURE
    cap = shares_by_buying_power(price, book, limits)
    if cap < quantity:
        quantity, rule = cap, _BUYING_POWER
    bound = quantity
    quantity -= quantity % limits.lot
    decision.verdict = _APPROVED
    if quantity < limits.lot:
        decision.verdict = _REFUSED
        quantity = 0
    elif bound < wanted:
        decision.verdict = _RESIZED
    if decision.verdict != _APPROVED:
        decision.rule = rule
        decision.measure = wanted
        decision.limit = bound
    decision.quantity = quantity
