"""Every control of the gate from both sides of its boundary, through the kernel; and each taken out as its control.

Run as a script, uncompiled, this file prints what is decided without each guard.
"""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from trading_platform.domain.decisions import Barred, OrderShape, Rule, TradingMode
from trading_platform.domain.signals import TriggerOn
from trading_platform.portfolio.kernel import decide as kernel_decide
from trading_platform.risk.rules import UNITS
from trading_platform_tests.factories.guards import Guard, decide_without, without_guards
from trading_platform_tests.factories.minutes import NOW, SHAPES, Decide, Scene, Values, decided

FIXED: dict[str, Any] = {"fixed_quantity": 100}
ANOTHER: dict[str, Any] = {"holdings": ({"symbol": 1},)}


def entry(values: Values | None = None, *, plan: Values | None = None, **more: Any) -> Scene:
    return Scene(entries=(values or {},), plans=(plan or {},), **more)


def gate(source: str) -> Guard:
    return Guard(module="risk.gate", source=source, without="if False:")


def sizing(function: str) -> Guard:
    return Guard(module="portfolio.sizing", source=f"cap = {function}", without=f"cap = quantity  # {function}")


def kernel(source: str, without: str) -> Guard:
    return Guard(module="portfolio.kernel", source=source, without=without)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`allowed` and `refused` lie on the two sides of a boundary; `then` is what is decided without the guards.

    What is looked at is the last decision, or all of them where the case is `whole`.
    `by_gate`: what is decided without the first guard only, which is sizing's, so that the gate has to speak.
    """

    allowed: Scene
    says: str
    refused: Scene
    objects: str
    guards: tuple[Guard, ...]
    then: str
    by_gate: str = ""
    whole: bool = False

    def told(self, scene: Scene, decide: Decide = kernel_decide) -> str:
        lines = decided(scene, decide).lines
        return "; ".join(lines) if self.whole else lines[-1]


MODE_BY_LOSSES = kernel("book.mode = mode_by_losses(book, book.limits)", "book.mode = book.mode")
HELD = kernel("if own > 0:", "if False:")
STOP_SIDE = kernel("if needs_stop and risk_per_share(price, entry.stop, plan) <= 0:", "if False:")
WINDOW = gate("if _minutes_to_close(book) <= limits.closing_minutes:")
REFERENCE = gate("if _reference_is_unusable(entry.price, entry.age, limits):")
COLLAR = gate("if entry.limit > 0 and _distance_from(entry.price, entry.limit) > _collar_width(entry.price, limits):")
ORDER_SIZE = (
    sizing("shares_by_order_size(price, limits)"),
    gate("if quantity > _shares_by_order_size(price, limits):"),
)
POSITION_SIZE = (
    sizing("shares_by_position_size(price, symbol_value, book, limits)"),
    gate("if quantity > _shares_by_position_size(price, symbol_value, book, limits):"),
)
BUYING_POWER = (
    sizing("shares_by_buying_power(price, book, limits)"),
    gate("if quantity > _shares_by_buying_power(price, book, limits):"),
)
LIQUIDITY = (
    sizing("shares_by_liquidity(entry, limits)"),
    gate("if quantity > _shares_by_liquidity(entry, limits):"),
)
EXPOSURE = (
    sizing("shares_by_exposure(price, book, limits)"),
    gate("if quantity > _shares_by_exposure(price, book, limits):"),
)
DUPLICATE = gate("if _is_repeat(age, limits):")
REPEATED = gate("if _entries_left(entry, limits) == 0:")
CROSSING = gate("if crossing > 0:")
BOUGHT_BELOW = Guard(module="portfolio.in_symbol", source="if price <= entry.stop:", without="if False:")
ATTACHED = kernel("met += bought_below(entry, positions)", "pass")
ON_CLOSE: Values = {"stop_on": TriggerOn.CLOSE}
BARRED = gate("if entry.barred != 0:")
SHAPE = gate("if shape & ~limits.shapes != 0:")
SIDE = gate("if side > limits.side_orders:")
UNCROSS = Guard(module="portfolio.kernel", source="if managed > 1:", without="if False:")
WHOLE_LOTS = Guard(module="portfolio.sizing", source="quantity -= quantity % limits.lot", without="pass")
LOTS_OF_GATE = gate("if _quantity_shape(quantity, limits) & ~limits.shapes != 0:")
UNEVEN = entry(plan={"fixed_quantity": 350}, limits={"lot": 100})
FEW_DOLLARS = {"cash": "5263.15", "open_equity": "5263.15", "peak_equity": "5263.15"}
JUST_ENOUGH = {"cash": "5263.16", "open_equity": "5263.16", "peak_equity": "5263.16"}
AT_25: Values = {"price": "25.00", "stop": "20.00"}
AT_24_99: Values = {"price": "24.99", "stop": "20.00"}
AT_2_99: Values = {"price": "2.99", "stop": "2.00"}
BY_ANOTHER: Values = {"strategy": 1}
LEAVES: Values = {"flat_from": 60}
STAYS: Values = {"flat_from": 61}
WORKS: Values = {"quantity": 0, "resting_stop": 0, "stop_orders": 0, "entering": 100, "valid_until": 99}
NO_LIMITS = int(SHAPES & ~OrderShape.LIMIT)
NO_STOPS = int(SHAPES & ~OrderShape.ATTACHED_STOP)
HALF: Values = {"legs": 2, "leg_fraction": (5000, 5000), "leg_target": (10_000, 20_000)}


def by_another(
    values: Values | None = None, *, own: Values | None = None, entering: Values | None = None, **more: Any
) -> Scene:
    """An entry of the second strategy, by a plan `entering`; the first holds the symbol, by a plan `own`."""
    plans = (own or {}, FIXED | (entering or {}))
    holdings = more.pop("holdings", ({},))
    return Scene(entries=(BY_ANOTHER | (values or {}),), plans=plans, holdings=holdings, **more)


def both_enter(*, first: Values, second: Values) -> Scene:
    """Two strategies enter one symbol, with orders that differ."""
    return Scene(entries=(first, BY_ANOTHER | second), plans=(FIXED, FIXED))


CASES = {
    "1 from 25 dollars": Case(
        allowed=entry(AT_25 | {"limit": "23.75"}, plan=FIXED),
        says="enter 100",
        refused=entry(AT_25 | {"limit": "23.74"}, plan=FIXED),
        objects="enter 0 refused PRICE_COLLAR 504/500",
        guards=(COLLAR,),
        then="enter 100",
    ),
    "1 above the reference": Case(
        allowed=entry(AT_25 | {"limit": "26.25"}, plan=FIXED),
        says="enter 100",
        refused=entry(AT_25 | {"limit": "26.26"}, plan=FIXED),
        objects="enter 0 refused PRICE_COLLAR 504/500",
        guards=(COLLAR,),
        then="enter 100",
    ),
    "1 under 25 dollars": Case(
        allowed=entry(AT_24_99 | {"limit": "22.50"}, plan=FIXED),
        says="enter 100",
        refused=entry(AT_24_99 | {"limit": "22.49"}, plan=FIXED),
        objects="enter 0 refused PRICE_COLLAR 1001/1000",
        guards=(COLLAR,),
        then="enter 100",
    ),
    "1 from 3 dollars": Case(
        allowed=entry({"price": "3.00", "stop": "2.00", "limit": "2.70"}, plan=FIXED),
        says="enter 100",
        refused=entry({"price": "3.00", "stop": "2.00", "limit": "2.69"}, plan=FIXED),
        objects="enter 0 refused PRICE_COLLAR 1034/1000",
        guards=(COLLAR,),
        then="enter 100",
    ),
    "1 under 3 dollars": Case(
        allowed=entry(AT_2_99 | {"limit": "2.40"}, plan=FIXED),
        says="enter 100",
        refused=entry(AT_2_99 | {"limit": "2.39"}, plan=FIXED),
        objects="enter 0 refused PRICE_COLLAR 2007/2000",
        guards=(COLLAR,),
        then="enter 100",
    ),
    "2 a bar of 90 seconds": Case(
        allowed=entry({"age": 90}),
        says="enter 500",
        refused=entry({"age": 91}),
        objects="enter 0 refused REFERENCE 91/90",
        guards=(REFERENCE,),
        then="enter 500",
    ),
    "2 an age before the bar's end": Case(
        allowed=entry({"age": 0}),
        says="enter 500",
        refused=entry({"age": -1}),
        objects="enter 0 refused REFERENCE -1/90",
        guards=(REFERENCE,),
        then="enter 500",
    ),
    "2 no price": Case(
        allowed=entry({"price": 1, "limit": "10.00"}, plan=FIXED, limits={"collar_low": 10**12}),
        says="enter 100",
        refused=entry({"price": 0, "limit": "10.00"}, plan=FIXED),
        objects="enter 0 refused REFERENCE 0/90",
        guards=(REFERENCE, COLLAR),
        then="enter 100",
    ),
    "3 shares": Case(
        allowed=entry(limits={"order_shares": 500}),
        says="enter 500",
        refused=entry(limits={"order_shares": 499}),
        objects="enter 499 resized ORDER_SIZE 500/499",
        by_gate="enter 0 refused ORDER_SIZE 500/499",
        guards=ORDER_SIZE,
        then="enter 500",
    ),
    "3 dollars": Case(
        allowed=entry(limits={"order_notional": "5000.00"}),
        says="enter 500",
        refused=entry(limits={"order_notional": "4999.99"}),
        objects="enter 499 resized ORDER_SIZE 500/499",
        by_gate="enter 0 refused ORDER_SIZE 500/499",
        guards=ORDER_SIZE,
        then="enter 500",
    ),
    "4 a share of the average daily volume": Case(
        allowed=entry({"average_volume": 50_000}),
        says="enter 500",
        refused=entry({"average_volume": 49_999}),
        objects="enter 499 resized LIQUIDITY 500/499",
        by_gate="enter 0 refused LIQUIDITY 500/499",
        guards=LIQUIDITY,
        then="enter 500",
    ),
    "4 a share of the minute's volume": Case(
        allowed=entry({"bar_volume": 5_000}),
        says="enter 500",
        refused=entry({"bar_volume": 4_999}),
        objects="enter 499 resized LIQUIDITY 500/499",
        by_gate="enter 0 refused LIQUIDITY 500/499",
        guards=LIQUIDITY,
        then="enter 500",
    ),
    "4 an average that is not known": Case(
        allowed=entry({"average_volume": 100}),
        says="enter 1 resized LIQUIDITY 500/1",
        refused=entry({"average_volume": 0}),
        objects="enter 0 refused LIQUIDITY 500/0",
        by_gate="enter 0 refused LIQUIDITY 500/0",
        guards=LIQUIDITY,
        then="enter 500",
    ),
    "4 no bar of the minute": Case(
        allowed=entry({"bar_volume": 10}),
        says="enter 1 resized LIQUIDITY 500/1",
        refused=entry({"bar_volume": 0}),
        objects="enter 0 refused LIQUIDITY 500/0",
        by_gate="enter 0 refused LIQUIDITY 500/0",
        guards=LIQUIDITY,
        then="enter 500",
    ),
    "5 position size": Case(
        allowed=entry(limits={"position_size": 500}),
        says="enter 500",
        refused=entry(limits={"position_size": 499}),
        objects="enter 499 resized POSITION_SIZE 500/499",
        by_gate="enter 0 refused POSITION_SIZE 500/499",
        guards=POSITION_SIZE,
        then="enter 500",
    ),
    "6 gross": Case(
        allowed=entry(limits={"gross": 500}),
        says="enter 500",
        refused=entry(limits={"gross": 499}),
        objects="enter 499 resized EXPOSURE 500/499",
        by_gate="enter 0 refused EXPOSURE 500/499",
        guards=EXPOSURE,
        then="enter 500",
    ),
    "6 net": Case(
        allowed=entry(limits={"net": 500}),
        says="enter 500",
        refused=entry(limits={"net": 499}),
        objects="enter 499 resized EXPOSURE 500/499",
        by_gate="enter 0 refused EXPOSURE 500/499",
        guards=EXPOSURE,
        then="enter 500",
    ),
    "6 leverage": Case(
        allowed=entry(limits={"leverage": 500}),
        says="enter 500",
        refused=entry(limits={"leverage": 499}),
        objects="enter 499 resized EXPOSURE 500/499",
        by_gate="enter 0 refused EXPOSURE 500/499",
        guards=EXPOSURE,
        then="enter 500",
    ),
    "6 with what is held and on order": Case(
        allowed=entry(limits={"gross": 700}, book={"cash": "99000"}, holdings=({"symbol": 1}, WORKS | {"symbol": 2})),
        says="enter 500",
        refused=entry(limits={"gross": 699}, book={"cash": "99000"}, holdings=({"symbol": 1}, WORKS | {"symbol": 2})),
        objects="enter 499 resized EXPOSURE 500/499",
        by_gate="enter 0 refused EXPOSURE 500/499",
        guards=EXPOSURE,
        then="enter 500",
    ),
    "7 buying power": Case(
        allowed=entry(plan={"fixed_quantity": 500}, book=JUST_ENOUGH, limits={"position_size": 10_000}),
        says="enter 500",
        refused=entry(plan={"fixed_quantity": 500}, book=FEW_DOLLARS, limits={"position_size": 10_000}),
        objects="enter 499 resized BUYING_POWER 500/499",
        by_gate="enter 0 refused BUYING_POWER 500/499",
        guards=BUYING_POWER,
        then="enter 500",
    ),
    "8 the account's daily loss": Case(
        allowed=entry(plan=FIXED, book={"cash": "95000.0001"}, limits={"drawdown": 10_000}),
        says="enter 100",
        refused=entry(plan=FIXED, book={"cash": "95000"}, limits={"drawdown": 10_000}),
        objects="enter 0 refused LOSS_LIMIT 50000000/50000000",
        guards=(MODE_BY_LOSSES,),
        then="enter 100",
    ),
    "8 the account's drawdown": Case(
        allowed=entry(plan=FIXED, book={"cash": "95000.0001", "open_equity": "95000"}),
        says="enter 100",
        refused=entry(plan=FIXED, book={"cash": "95000", "open_equity": "95000"}),
        objects="enter 0 refused LOSS_LIMIT 50000000/50000000",
        guards=(MODE_BY_LOSSES,),
        then="enter 100",
    ),
    "8 the strategy's daily loss": Case(
        allowed=entry(plan=FIXED, strategies=({"day_pnl": "-999.9999"},)),
        says="enter 100",
        refused=entry(plan=FIXED, strategies=({"day_pnl": "-1000"},)),
        objects="enter 0 refused LOSS_LIMIT 10000000/10000000",
        guards=(gate("if -strategy.day_pnl >= _strategy_loss_limit(book, limits):"),),
        then="enter 100",
    ),
    "8 a mode from earlier in the session": Case(
        allowed=entry(plan=FIXED, **ANOTHER),
        says="enter 100",
        refused=entry(plan=FIXED, book={"mode": TradingMode.REDUCING_ONLY, "cash": "99000"}, **ANOTHER),
        objects="enter 0 refused LOSS_LIMIT 0/50000000",
        guards=(gate("if book.mode != _NORMAL:"),),
        then="enter 100",
    ),
    "9 orders of the last second": Case(
        allowed=entry(plan=FIXED, book={"orders_second": 4}),
        says="enter 100",
        refused=entry(plan=FIXED, book={"orders_second": 5}),
        objects="enter 0 refused ORDER_RATE 5/5",
        guards=(gate("if book.orders_second >= limits.orders_second:"),),
        then="enter 100",
    ),
    "9 orders of the last minute": Case(
        allowed=entry(plan=FIXED, book={"orders_minute": 59}),
        says="enter 100",
        refused=entry(plan=FIXED, book={"orders_minute": 60}),
        objects="enter 0 refused ORDER_RATE 60/60",
        guards=(gate("if book.orders_minute >= limits.orders_minute:"),),
        then="enter 100",
    ),
    "9 orders of the session": Case(
        allowed=entry(plan=FIXED, book={"orders_day": 499}),
        says="enter 100",
        refused=entry(plan=FIXED, book={"orders_day": 500}),
        objects="enter 0 refused ORDER_RATE 500/500",
        guards=(
            Guard(
                module="risk.rules",
                source="if book.mode == _NORMAL and book.orders_day >= limits.orders_day:",
                without="if False:",
            ),
        ),
        then="enter 100",
    ),
    "9 orders of one strategy": Case(
        allowed=entry(plan=FIXED, strategies=({"orders": 499},)),
        says="enter 100",
        refused=entry(plan=FIXED, strategies=({"orders": 500},)),
        objects="enter 0 refused ORDER_RATE 500/500",
        guards=(gate("if strategy.orders >= limits.strategy_orders_day:"),),
        then="enter 100",
    ),
    "9 an entry of the same minute": Case(
        allowed=Scene(plans=(FIXED,), limits={"orders_second": 2}, entries=({"symbol": 1}, {})),
        says="enter 100",
        refused=Scene(plans=(FIXED,), limits={"orders_second": 1}, entries=({"symbol": 1}, {})),
        objects="enter 0 refused ORDER_RATE 1/1",
        guards=(kernel("_count_orders(book, plan, position.entry_orders)", "pass"),),
        then="enter 100",
    ),
    "9 a stop reduced and an exit in the same minute": Case(
        allowed=by_another({"symbol": 1}, own=LEAVES, limits={"orders_second": 3}),
        says="enter 100",
        refused=by_another({"symbol": 1}, own=LEAVES, limits={"orders_second": 2}),
        objects="enter 0 refused ORDER_RATE 2/2",
        guards=(kernel("_count_orders(book, plan, calls)", "pass"),),
        then="enter 100",
    ),
    "11 the window": Case(
        allowed=by_another(holdings=({"entered_at": NOW - 6},)),
        says="enter 100",
        refused=by_another(holdings=({"entered_at": NOW - 5},)),
        objects="enter 0 refused DUPLICATE 5/5",
        guards=(DUPLICATE,),
        then="enter 100",
    ),
    "11 another quantity": Case(
        allowed=by_another(holdings=({"entered_at": NOW, "ordered": 101},)),
        says="enter 100",
        refused=by_another(holdings=({"entered_at": NOW, "ordered": 100},)),
        objects="enter 0 refused DUPLICATE 0/5",
        guards=(DUPLICATE,),
        then="enter 100",
    ),
    "11 another price": Case(
        allowed=by_another({"limit": "9.99"}, holdings=({"entered_at": NOW, "entry_limit": "9.98"},)),
        says="enter 100",
        refused=by_another({"limit": "9.99"}, holdings=({"entered_at": NOW, "entry_limit": "9.99"},)),
        objects="enter 0 refused DUPLICATE 0/5",
        guards=(DUPLICATE,),
        then="enter 100",
    ),
    "11 two strategies in one minute": Case(
        allowed=Scene(plans=(FIXED, {"fixed_quantity": 101}), entries=({}, BY_ANOTHER)),
        says="enter 101",
        refused=Scene(plans=(FIXED, FIXED), entries=({}, BY_ANOTHER)),
        objects="enter 0 refused DUPLICATE 0/5",
        guards=(DUPLICATE,),
        then="enter 100",
    ),
    "12 entries of the session": Case(
        allowed=entry({"entered": 9}, plan=FIXED),
        says="enter 100",
        refused=entry({"entered": 10}, plan=FIXED),
        objects="enter 0 refused REPEATED_ENTRY 10/10",
        guards=(REPEATED,),
        then="enter 100",
    ),
    "12 until a person enables it": Case(
        allowed=entry(plan=FIXED),
        says="enter 100",
        refused=entry({"disabled": 1}, plan=FIXED),
        objects="enter 0 refused REPEATED_ENTRY 0/0",
        guards=(REPEATED,),
        then="enter 100",
    ),
    "12 the session in which it was disabled": Case(
        allowed=entry({"entered": 9}, plan=FIXED),
        says="enter 100",
        refused=entry({"entered": 10, "disabled": 1}, plan=FIXED),
        objects="enter 0 refused REPEATED_ENTRY 10/10",
        guards=(REPEATED,),
        then="enter 100",
    ),
    "14 an exit that may still fill": Case(
        allowed=by_another(holdings=({"exiting": 0},)),
        says="enter 100",
        refused=by_another(holdings=({"exiting": 100, "resting_stop": 0},)),
        objects="enter 0 refused SELF_TRADE 100/0",
        guards=(CROSSING,),
        then="enter 100",
    ),
    "14 an exit of the same minute": Case(
        allowed=by_another(own=STAYS),
        says="enter 100",
        refused=by_another(own=LEAVES),
        objects="enter 0 refused SELF_TRADE 100/0",
        guards=(CROSSING,),
        then="enter 100",
    ),
    "14 a resting stop at the price": Case(
        allowed=by_another(holdings=({"stop": "9.99"},)),
        says="enter 100",
        refused=by_another(holdings=({"stop": "10.00"},)),
        objects="enter 0 refused SELF_TRADE 100/0",
        guards=(CROSSING,),
        then="enter 100",
    ),
    "14 a resting stop at the limit": Case(
        allowed=by_another({"limit": "9.90"}, holdings=({"stop": "9.89"},)),
        says="enter 100",
        refused=by_another({"limit": "9.90"}, holdings=({"stop": "9.90"},)),
        objects="enter 0 refused SELF_TRADE 100/0",
        guards=(CROSSING,),
        then="enter 100",
    ),
    "14 a stop attached to an entry that works": Case(
        allowed=by_another({"limit": "9.90"}, holdings=(WORKS | {"stop": "9.89", "stop_orders": 1},)),
        says="enter 100",
        refused=by_another({"limit": "9.90"}, holdings=(WORKS | {"stop": "9.90", "stop_orders": 1},)),
        objects="enter 0 refused SELF_TRADE 100/0",
        guards=(CROSSING,),
        then="enter 100",
    ),
    "14 a stop above another strategy's limit": Case(
        allowed=by_another({"stop": "9.49"}, holdings=(WORKS | {"entry_limit": "9.50", "stop": "8.00"},)),
        says="enter 100",
        refused=by_another({"stop": "9.50"}, holdings=(WORKS | {"entry_limit": "9.50", "stop": "8.00"},)),
        objects="enter 0 refused SELF_TRADE 100/0",
        guards=(BOUGHT_BELOW,),
        then="enter 100",
    ),
    "14 a stop above what another strategy buys at the market": Case(
        allowed=by_another({"stop": "9.49"}, holdings=(WORKS | {"mark": "9.50", "stop": "8.00"},)),
        says="enter 100",
        refused=by_another({"stop": "9.50"}, holdings=(WORKS | {"mark": "9.50", "stop": "8.00"},)),
        objects="enter 0 refused SELF_TRADE 100/0",
        guards=(BOUGHT_BELOW,),
        then="enter 100",
    ),
    "14 a stop that is attached": Case(
        allowed=by_another(
            {"stop": "9.90"}, entering=ON_CLOSE, holdings=(WORKS | {"entry_limit": "9.50", "stop": "8.00"},)
        ),
        says="enter 100",
        refused=by_another({"stop": "9.90"}, holdings=(WORKS | {"entry_limit": "9.50", "stop": "8.00"},)),
        objects="enter 0 refused SELF_TRADE 100/0",
        guards=(ATTACHED,),
        then="enter 100",
    ),
    "14 a stop above the limit of the same minute's entry": Case(
        allowed=both_enter(first={"limit": "9.50", "stop": "8.00"}, second={"stop": "9.49"}),
        says="enter 100",
        refused=both_enter(first={"limit": "9.50", "stop": "8.00"}, second={"stop": "9.50"}),
        objects="enter 0 refused SELF_TRADE 100/0",
        guards=(BOUGHT_BELOW,),
        then="enter 100",
    ),
    "14 an entry that works while another strategy leaves": Case(
        allowed=Scene(plans=({}, STAYS), holdings=(WORKS, BY_ANOTHER)),
        says="",
        refused=Scene(plans=({}, LEAVES), holdings=(WORKS, BY_ANOTHER)),
        objects="cancel_entry 100 SELF_TRADE 100/0; protect 0 at 9.00; exit 100 FLAT_BY",
        guards=(UNCROSS,),
        then="protect 0 at 9.00; exit 100 FLAT_BY",
        whole=True,
    ),
    "15 restricted": Case(
        allowed=entry(plan=FIXED),
        says="enter 100",
        refused=entry({"barred": Barred.RESTRICTED}, plan=FIXED),
        objects="enter 0 refused BARRED 1/0",
        guards=(BARRED,),
        then="enter 100",
    ),
    "15 halted": Case(
        allowed=entry(plan=FIXED),
        says="enter 100",
        refused=entry({"barred": Barred.HALTED}, plan=FIXED),
        objects="enter 0 refused BARRED 2/0",
        guards=(BARRED,),
        then="enter 100",
    ),
    "16 the last minutes": Case(
        allowed=entry(plan=FIXED, book={"minute": 373}),
        says="enter 100",
        refused=entry(plan=FIXED, book={"minute": 374}),
        objects="enter 0 refused SESSION_WINDOW 15/15",
        guards=(WINDOW,),
        then="enter 100",
    ),
    "16 the last minutes of a half day": Case(
        allowed=entry(plan=FIXED, book={"minute": 193, "session_minutes": 210}),
        says="enter 100",
        refused=entry(plan=FIXED, book={"minute": 194, "session_minutes": 210}),
        objects="enter 0 refused SESSION_WINDOW 15/15",
        guards=(WINDOW,),
        then="enter 100",
    ),
    "16 the session's last tick": Case(
        allowed=entry(plan=FIXED | {"flat_from": 400}, book={"minute": 388}, limits={"closing_minutes": 0}),
        says="enter 100",
        refused=entry(plan=FIXED | {"flat_from": 400}, book={"minute": 389}, limits={"closing_minutes": 0}),
        objects="enter 0 refused SESSION_WINDOW 0/0",
        guards=(WINDOW,),
        then="enter 100",
    ),
    "16 the plan's own end": Case(
        allowed=entry(plan=FIXED | {"flat_from": 61}),
        says="enter 100",
        refused=entry(plan=FIXED | {"flat_from": 60}),
        objects="enter 0 refused SESSION_WINDOW 60/60",
        guards=(kernel("if book.minute >= plan.flat_from:", "if False:"),),
        then="enter 100",
    ),
    "17 a stop that the venue does not attach": Case(
        allowed=entry(plan=FIXED | {"stop_on": TriggerOn.CLOSE}, limits={"shapes": NO_STOPS}),
        says="enter 100",
        refused=entry(plan=FIXED, limits={"shapes": NO_STOPS}),
        objects="enter 0 refused ORDER_SHAPE 81/23",
        guards=(SHAPE,),
        then="enter 100",
    ),
    "17 a type that the venue does not take": Case(
        allowed=entry(plan=FIXED, limits={"shapes": NO_LIMITS}),
        says="enter 100",
        refused=entry({"limit": "10.00"}, plan=FIXED, limits={"shapes": NO_LIMITS}),
        objects="enter 0 refused ORDER_SHAPE 82/85",
        guards=(SHAPE,),
        then="enter 100",
    ),
    "17 a limit between two ticks": Case(
        allowed=entry({"price": "1.00", "limit": "0.9999", "stop": "0.50"}, plan=FIXED),
        says="enter 100",
        refused=entry({"price": "1.00", "limit": "1.0001", "stop": "0.50"}, plan=FIXED),
        objects="enter 0 refused ORDER_SHAPE 594/87",
        guards=(SHAPE,),
        then="enter 100",
    ),
    "17 a stop between two ticks": Case(
        allowed=entry({"stop": "8.9900"}, plan=FIXED),
        says="enter 100",
        refused=entry({"stop": "8.9950"}, plan=FIXED),
        objects="enter 0 refused ORDER_SHAPE 593/87",
        guards=(SHAPE,),
        then="enter 100",
    ),
    "18 an exit of more than is held": Case(
        allowed=Scene(plans=(HALF,), holdings=({"quantity": 50, "resting_stop": 0},), seen=({"close": "11.00"},)),
        says="exit 50 TARGET leg 1",
        refused=Scene(plans=(HALF,), holdings=({"quantity": 40, "resting_stop": 0},), seen=({"close": "11.00"},)),
        objects="exit 40 TARGET leg 1 resized REDUCE_ONLY 50/40",
        guards=(
            kernel("quantity = reducing_quantity(wanted, position.quantity, position.exiting)", "quantity = wanted"),
        ),
        then="exit 50 TARGET leg 1",
    ),
    "18 with an exit on its way": Case(
        allowed=Scene(plans=(HALF,), holdings=({"exiting": 50, "resting_stop": 0},), seen=({"close": "11.00"},)),
        says="exit 50 TARGET leg 1",
        refused=Scene(plans=(HALF,), holdings=({"exiting": 51, "resting_stop": 0},), seen=({"close": "11.00"},)),
        objects="exit 49 TARGET leg 1 resized REDUCE_ONLY 50/49",
        guards=(
            Guard(
                module="risk.rules",
                source="max(0, min(wanted, held - exiting))",
                without="max(0, min(wanted, held))",
            ),
        ),
        then="exit 50 TARGET leg 1",
    ),
    "19 open orders of the account": Case(
        allowed=entry(plan=FIXED, book={"open_orders": 48}),
        says="enter 100",
        refused=entry(plan=FIXED, book={"open_orders": 49}),
        objects="enter 0 refused OPEN_ORDERS 51/50",
        guards=(gate("if account > limits.open_orders:"),),
        then="enter 100",
    ),
    "19 open orders that buy the symbol": Case(
        allowed=by_another(holdings=({"entry_orders": 19},)),
        says="enter 100",
        refused=by_another(holdings=({"entry_orders": 20},)),
        objects="enter 0 refused OPEN_ORDERS 21/20",
        guards=(SIDE,),
        then="enter 100",
    ),
    "19 open orders that sell the symbol": Case(
        allowed=by_another(holdings=({"stop_orders": 18, "exit_orders": 1},)),
        says="enter 100",
        refused=by_another(holdings=({"stop_orders": 18, "exit_orders": 2},)),
        objects="enter 0 refused OPEN_ORDERS 21/20",
        guards=(SIDE,),
        then="enter 100",
    ),
    "19 an entry that works for long": Case(
        allowed=Scene(holdings=(WORKS | {"entered_at": NOW - 3599},)),
        says="",
        refused=Scene(holdings=(WORKS | {"entered_at": NOW - 3600},)),
        objects="cancel_entry 100 OPEN_ORDERS 60/60",
        guards=(Guard(module="risk.rules", source="return age >= limits.order_age * 60", without="return False"),),
        then="",
        whole=True,
    ),
    "23 books that do not agree": Case(
        allowed=entry(plan=FIXED),
        says="enter 100",
        refused=entry({"frozen": 1}, plan=FIXED),
        objects="enter 0 refused RECONCILIATION 1/0",
        guards=(gate("if entry.frozen != 0:"),),
        then="enter 100",
    ),
    "28 the clock": Case(
        allowed=entry(plan=FIXED, book={"clock_skew": 500}),
        says="enter 100",
        refused=entry(plan=FIXED, book={"clock_skew": 501}),
        objects="enter 0 refused CLOCK_SKEW 501/500",
        guards=(gate("if book.clock_skew > limits.clock_skew:"),),
        then="enter 100",
    ),
    "30 positions": Case(
        allowed=entry(plan=FIXED, holdings=tuple({"symbol": n} for n in range(1, 5))),
        says="enter 100",
        refused=entry(plan=FIXED, holdings=tuple({"symbol": n} for n in range(1, 6))),
        objects="enter 0 refused POSITIONS 5/5",
        guards=(gate("if book.holdings >= limits.positions:"),),
        then="enter 100",
    ),
    "101 risk per trade below one lot": Case(
        allowed=entry(plan={"risk": 1}, limits={"lot": 10}),
        says="enter 10",
        refused=entry(plan={"risk": 1}, limits={"lot": 11}),
        objects="enter 0 refused RISK_PER_TRADE 10/10",
        guards=(Guard(module="portfolio.sizing", source="if quantity < limits.lot:", without="if False:"),),
        then="enter 0",
    ),
    "102 attempts": Case(
        allowed=entry({"attempts": 1}, plan=FIXED | {"attempts": 2}),
        says="enter 100",
        refused=entry({"attempts": 2}, plan=FIXED | {"attempts": 2}),
        objects="enter 0 refused ATTEMPTS 2/2",
        guards=(kernel("if plan.attempts > 0 and entry.attempts >= plan.attempts:", "if False:"),),
        then="enter 100",
    ),
    "103 held already": Case(
        allowed=entry(plan=FIXED, holdings=({"symbol": 1},)),
        says="enter 100",
        refused=entry(plan=FIXED, holdings=({"quantity": 1, "resting_stop": 1},)),
        objects="enter 0 refused ALREADY_HELD 1/0",
        guards=(HELD,),
        then="enter 100",
    ),
    "103 on order already": Case(
        allowed=entry(plan=FIXED, holdings=({"symbol": 1, "quantity": 0, "resting_stop": 0},)),
        says="enter 100",
        refused=entry(plan=FIXED, holdings=({"quantity": 0, "resting_stop": 0, "entering": 7, "valid_until": 61},)),
        objects="enter 0 refused ALREADY_HELD 7/0",
        guards=(HELD,),
        then="enter 100",
    ),
    "103 an exit that may still fill": Case(
        allowed=entry(plan=FIXED, holdings=({"symbol": 1, "quantity": 0, "resting_stop": 0, "exiting": 7},)),
        says="enter 100",
        refused=entry(plan=FIXED, holdings=({"quantity": 0, "resting_stop": 0, "exiting": 7},)),
        objects="enter 0 refused ALREADY_HELD 7/0",
        guards=(
            Guard(
                module="portfolio.in_symbol",
                source="max(other.quantity + other.entering, other.exiting)",
                without="other.quantity + other.entering",
            ),
        ),
        then="enter 100",
    ),
    "104 the stop's side": Case(
        allowed=entry({"stop": "9.99"}, plan=FIXED),
        says="enter 100",
        refused=entry({"stop": "10.00"}, plan=FIXED),
        objects="enter 0 refused STOP_SIDE 100000/100000",
        guards=(STOP_SIDE,),
        then="enter 100",
    ),
    "104 the stop against the limit price": Case(
        allowed=entry({"stop": "9.49", "limit": "9.50"}, plan=FIXED),
        says="enter 100",
        refused=entry({"stop": "9.50", "limit": "9.50"}, plan=FIXED),
        objects="enter 0 refused STOP_SIDE 95000/95000",
        guards=(STOP_SIDE,),
        then="enter 100",
    ),
    "104 no stop": Case(
        allowed=entry({"stop": 1}, plan=FIXED),
        says="enter 100",
        refused=entry({"stop": 0}, plan=FIXED),
        objects="enter 0 refused STOP_SIDE 0/100000",
        guards=(STOP_SIDE,),
        then="enter 100",
    ),
    "105 set aside": Case(
        allowed=entry(plan=FIXED),
        says="enter 100",
        refused=entry(plan=FIXED, strategies=({"set_aside": 1},)),
        objects="enter 0 refused SET_ASIDE 1/0",
        guards=(gate("if strategy.set_aside != 0:"),),
        then="enter 100",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_rule_speaks_on_one_side_of_its_boundary_and_is_silent_on_the_other(name: str) -> None:
    case = CASES[name]
    assert case.told(case.allowed) == case.says
    assert case.told(case.refused) == case.objects


@pytest.fixture(scope="module")
def unguarded() -> dict[str, Any]:
    return without_guards(__file__)


@pytest.mark.parametrize("name", CASES)
def test_control_without_the_rule_it_goes_through(name: str, unguarded: dict[str, Any]) -> None:
    assert unguarded["all"][name] == CASES[name].then


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.by_gate])
def test_the_gate_refuses_what_sizing_let_through(name: str, unguarded: dict[str, Any]) -> None:
    assert unguarded["first"][name] == CASES[name].by_gate


def test_every_rule_has_a_unit_and_every_rule_of_an_entry_has_a_case() -> None:
    assert set(UNITS) == set(Rule)
    spoken = {word for case in CASES.values() for word in case.objects.split()}
    assert spoken >= {rule.name for rule in Rule} - {"NONE"}


def test_a_quantity_is_in_whole_lots_and_the_gate_looks_again(unguarded: dict[str, Any]) -> None:
    assert decided(UNEVEN).lines == ["enter 300"]
    assert unguarded["lots"] == {"sizing": ["enter 0 refused ORDER_SHAPE 256/87"], "both": ["enter 350"]}


def test_the_order_that_reaches_the_sessions_limit_leaves_the_account_only_reducing() -> None:
    told = decided(Scene(plans=(FIXED,), book={"orders_day": 499}, entries=({"symbol": 1}, {"symbol": 2})))
    assert told.lines == ["enter 100", "enter 0 refused ORDER_RATE 500/500"]
    assert told.mode is TradingMode.REDUCING_ONLY
    assert decided(Scene(plans=(FIXED,), book={"orders_day": 499}, entries=({},))).mode is TradingMode.REDUCING_ONLY


def test_a_loss_is_told_before_the_orders_that_stopped_the_account_as_well() -> None:
    scene = entry(plan=FIXED, book={"orders_day": 500, "cash": "94000"}, **ANOTHER)
    assert decided(scene).lines == ["enter 0 refused LOSS_LIMIT 50000000/50000000"]


def test_an_order_that_reduces_several_stops_counts_for_each_call() -> None:
    told = decided(Scene(plans=(LEAVES,), holdings=({"stop_orders": 3},)))
    assert told.lines == ["protect 0 at 9.00", "exit 100 FLAT_BY"]
    assert (told.book["orders_second"], told.book["orders_minute"], told.book["orders_day"]) == (4, 4, 4)


def test_an_entry_that_is_cancelled_already_is_not_cancelled_twice() -> None:
    scene = Scene(plans=({}, LEAVES), holdings=(WORKS | {"valid_until": 60}, BY_ANOTHER))
    assert decided(scene).lines == ["cancel_entry 100", "protect 0 at 9.00", "exit 100 FLAT_BY"]


def test_a_strategys_own_sale_is_none_of_another_strategy() -> None:
    # What it sells and buys itself is rule 103's.
    assert decided(by_another({"strategy": 0}, own=FIXED | LEAVES)).lines[-1].startswith("enter 0 refused ALREADY_HELD")


def test_no_rule_keeps_a_holding_in() -> None:
    # Halted by losses, set aside, no bar, five positions, all orders used up, and a clock that is wrong: it still
    # leaves by the clock.
    scene = Scene(
        plans=({"flat_from": 60},),
        book={
            "mode": TradingMode.HALTED,
            "cash": "1000",
            "orders_second": 999,
            "orders_minute": 999,
            "orders_day": 9_999,
            "open_orders": 999,
            "clock_skew": 99_999,
        },
        limits={"shapes": 0},
        strategies=({"set_aside": 1, "day_pnl": "-50000", "orders": 9_999},),
        holdings=tuple({"symbol": n} for n in range(6)),
        seen=({"present": 0},) * 6,
    )
    assert decided(scene).lines == ["protect 0 at 9.00", "exit 100 FLAT_BY"] * 6


@pytest.mark.parametrize(
    ("start", "cash", "holdings", "mode"),
    [
        (TradingMode.NORMAL, "94000.0001", 1, TradingMode.NORMAL),
        (TradingMode.NORMAL, "94000", 1, TradingMode.REDUCING_ONLY),
        (TradingMode.NORMAL, "95000", 0, TradingMode.HALTED),
        (TradingMode.REDUCING_ONLY, "100000", 1, TradingMode.REDUCING_ONLY),
        (TradingMode.REDUCING_ONLY, "100000", 0, TradingMode.HALTED),
        (TradingMode.HALTED, "100000", 1, TradingMode.HALTED),
    ],
)
def test_a_loss_first_reduces_then_halts_and_is_not_let_go_again(
    start: TradingMode, cash: str, holdings: int, mode: TradingMode
) -> None:
    scene = Scene(book={"mode": start, "cash": cash}, holdings=({},) * holdings)
    assert decided(scene).mode is mode


def test_the_drawdown_is_what_is_told_where_it_alone_is_over() -> None:
    # From 110,000 to 104,000: a fall of 6,000 (limit 5,500), while the day has gained 4,000.
    scene = entry(book={"cash": "104000", "peak_equity": "110000"})
    assert decided(scene).lines == ["enter 0 refused LOSS_LIMIT 60000000/55000000"]


if __name__ == "__main__":
    print(  # noqa: T201 (read by the controls above)
        json.dumps(
            {
                "all": {name: case.told(case.refused, decide_without(*case.guards)) for name, case in CASES.items()},
                "first": {
                    name: case.told(case.refused, decide_without(case.guards[0]))
                    for name, case in CASES.items()
                    if case.by_gate
                },
                "lots": {
                    "sizing": decided(UNEVEN, decide_without(WHOLE_LOTS)).lines,
                    "both": decided(UNEVEN, decide_without(WHOLE_LOTS, LOTS_OF_GATE)).lines,
                },
            }
        )
    )
