"""Tapes: orders in order of arrival, then bars (open high low close volume), and after | what each bar must give.

`1: 100 at 10.01` is 100 shares for order 1. A bar of `-` did not come. Slippage is 1 basis point and the share of
volume 10 % unless the tape says otherwise.

Run as a script, this file prints which tapes fail without each guard of the fill model.
"""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from trading_platform.brokers.fill_model import (
    BUY,
    FILLS_PER_ORDER,
    LIMIT,
    MARKET,
    SELL,
    STOP,
    STOP_LIMIT,
    TOO_FEW_FILLS,
    match_bar,
)
from trading_platform.domain.compiled import empty_records
from trading_platform.domain.money import dollars_from_units, units_from_dollars
from trading_platform.domain.records import bar_t, fill_t, venue_order_t
from trading_platform_tests.factories.guards import Guard, without_guards
from trading_platform_tests.factories.venues import brokers_without

_TYPES = {"market": MARKET, "limit": LIMIT, "stop": STOP, "stop-limit": STOP_LIMIT}

TAPES = {
    # Market orders.
    "a market buy fills at the open, slippage rounded up to the cent": """
        buy market 100
        bar 10.00 10.10 9.90 10.05 10000 | 1: 100 at 10.01
    """,
    "a market sale fills at the open, slippage rounded down to the cent": """
        sell market 100
        bar 10.00 10.10 9.90 10.05 10000 | 1: 100 at 9.99
    """,
    "slippage is in basis points of the price": """
        slippage 100
        buy market 100
        sell market 100
        bar 10.00 10.10 9.90 10.05 10000 | 2: 100 at 9.90, 1: 100 at 10.10
    """,
    "without slippage a market order fills at the open itself": """
        slippage 0
        buy market 100
        bar 10.00 10.10 9.90 10.05 10000 | 1: 100 at 10.00
    """,
    "below a dollar the tick is a hundredth of a cent": """
        buy market 100
        sell market 100
        bar 0.5000 0.5100 0.4900 0.5000 10000 | 2: 100 at 0.4999, 1: 100 at 0.5001
    """,
    "a sale never brings nothing": """
        sell market 100
        bar 0.0001 0.0001 0.0001 0.0001 10000 | 1: 100 at 0.0001
    """,
    "an order is not filled by a bar before it is eligible": """
        buy market 100 from 2
        bar 10.00 10.10 9.90 10.05 10000 |
        bar 11.00 11.10 10.90 11.05 10000 | 1: 100 at 11.01
    """,
    # Volume.
    "a bar gives a tenth of its volume, in whole shares, and the rest fills at the next opens": """
        buy market 100
        bar 10.00 10.10 9.90 10.05 599 | 1: 59 at 10.01
        bar 10.20 10.30 10.10 10.25 309 | 1: 30 at 10.21
        bar 10.40 10.50 10.30 10.45 5000 | 1: 11 at 10.41
        bar 10.60 10.70 10.50 10.65 5000 |
    """,
    "the share of the volume can be set": """
        share 5000
        buy market 100
        bar 10.00 10.10 9.90 10.05 100 | 1: 50 at 10.01
    """,
    "all orders of a bar share its volume": """
        buy market 80
        buy market 80
        bar 10.00 10.10 9.90 10.05 1000 | 1: 80 at 10.01, 2: 20 at 10.01
    """,
    "no bar and no volume fill nothing and trigger nothing": """
        buy market 100
        sell stop 100 at 9.95
        bar -
        bar 10.00 10.10 9.90 10.05 0 |
        bar 10.00 10.10 9.96 10.05 10000 | 1: 100 at 10.01
    """,
    "a bar of fewer than ten shares gives none": """
        buy market 100
        bar 10.00 10.10 9.90 10.05 9 |
    """,
    # Limits.
    "a buy limit above the open fills at the open, without slippage": """
        slippage 100
        buy limit 100 at 10.05
        bar 10.00 10.10 9.90 10.05 10000 | 1: 100 at 10.00
    """,
    "a buy limit that the low reaches fills at the limit": """
        slippage 100
        buy limit 100 at 9.90
        bar 10.00 10.10 9.90 10.05 10000 | 1: 100 at 9.90
    """,
    "a buy limit below the low does not fill": """
        buy limit 100 at 9.89
        bar 10.00 10.10 9.90 10.05 10000 |
    """,
    "a sell limit below the open fills at the open, without slippage": """
        slippage 100
        sell limit 100 at 9.95
        bar 10.00 10.10 9.90 10.05 10000 | 1: 100 at 10.00
    """,
    "a sell limit that the high reaches fills at the limit": """
        slippage 100
        sell limit 100 at 10.10
        bar 10.00 10.10 9.90 10.05 10000 | 1: 100 at 10.10
    """,
    "a sell limit above the high does not fill": """
        sell limit 100 at 10.11
        bar 10.00 10.10 9.90 10.05 10000 |
    """,
    "what is left of a limit order waits for its limit again": """
        buy limit 100 at 10.00
        bar 10.00 10.10 9.90 10.05 600 | 1: 60 at 10.00
        bar 10.20 10.30 10.10 10.25 9000 |
        bar 10.20 10.30 9.95 10.25 9000 | 1: 40 at 10.00
    """,
    # Stops.
    "a sell stop that the low reaches fills at the stop less slippage": """
        sell stop 100 at 9.90
        bar 10.00 10.10 9.90 10.05 10000 | 1: 100 at 9.89
    """,
    "a sell stop below the low rests": """
        sell stop 100 at 9.89
        bar 10.00 10.10 9.90 10.05 10000 |
    """,
    "a gap through a sell stop fills at the open less slippage": """
        sell stop 100 at 9.90
        bar 9.50 9.95 9.40 9.90 10000 | 1: 100 at 9.49
    """,
    "a buy stop that the high reaches fills at the stop and slippage": """
        buy stop 100 at 10.10
        bar 10.00 10.10 9.90 10.05 10000 | 1: 100 at 10.11
    """,
    "a buy stop above the high rests": """
        buy stop 100 at 10.11
        bar 10.00 10.10 9.90 10.05 10000 |
    """,
    "a gap through a buy stop fills at the open and slippage": """
        buy stop 100 at 10.10
        bar 10.50 10.60 10.40 10.45 10000 | 1: 100 at 10.51
    """,
    "once triggered, the rest of a stop is a market order, wherever the price goes": """
        sell stop 100 at 9.90
        bar 10.00 10.10 9.90 10.05 600 | 1: 60 at 9.89
        bar 10.50 10.60 10.40 10.45 600 | 1: 40 at 10.49
    """,
    "a stop is triggered also by a bar whose volume others took": """
        sell market 100
        sell stop 50 at 9.90
        bar 10.00 10.10 9.90 10.05 1000 | 1: 100 at 9.99
        bar 10.50 10.60 10.40 10.45 1000 | 2: 50 at 10.49
    """,
    # Stop-limits: as a stop up to the trigger, as a limit from then on.
    "a sell stop-limit that the low reaches fills as its stop would, where that is within its limit": """
        sell stop-limit 100 at 9.90 limit 9.89
        bar 10.00 10.10 9.90 10.05 10000 | 1: 100 at 9.89
    """,
    "a buy stop-limit that the high reaches fills as its stop would, where that is within its limit": """
        buy stop-limit 100 at 10.10 limit 10.11
        bar 10.00 10.10 9.90 10.05 10000 | 1: 100 at 10.11
    """,
    "a stop-limit whose stop is not reached rests, wherever its limit is": """
        sell stop-limit 100 at 9.89 limit 9.50
        buy stop-limit 100 at 10.11 limit 10.50
        bar 10.00 10.10 9.90 10.05 10000 |
        bar 10.00 10.11 9.89 10.05 10000 | 1: 100 at 9.88, 2: 100 at 10.12
    """,
    "a gap through the stop that stays within the limit fills at the open less slippage": """
        sell stop-limit 100 at 9.90 limit 9.80
        bar 9.85 9.95 9.70 9.75 10000 | 1: 100 at 9.84
    """,
    "a gap through stop and limit does not fill until the price comes back to the limit": """
        sell stop-limit 100 at 9.90 limit 9.80
        bar 9.50 9.79 9.40 9.60 10000 |
        bar 9.60 9.70 9.50 9.60 10000 |
        bar 9.60 9.85 9.55 9.70 10000 | 1: 100 at 9.80
    """,
    "a gap through stop and limit fills in the same bar if that comes back: all of it is after the trigger": """
        sell stop-limit 100 at 9.90 limit 9.80
        bar 9.50 9.80 9.40 9.45 10000 | 1: 100 at 9.80
    """,
    "a gap over a buy's stop and limit waits for the limit, and fills in the bar that comes back": """
        buy stop-limit 100 at 10.10 limit 10.20
        buy stop-limit 100 at 10.10 limit 10.30
        bar 10.50 10.60 10.30 10.55 10000 | 2: 100 at 10.30
        bar 10.55 10.60 10.21 10.30 10000 |
        bar 10.15 10.60 10.10 10.30 10000 | 1: 100 at 10.15
    """,
    "a stop-limit that slippage carries past its limit does not fill on a high from before its trigger": """
        sell stop-limit 100 at 9.90 limit 9.90
        bar 10.00 10.10 9.80 9.85 10000 |
    """,
    "a stop-limit that slippage carries past its limit fills at the limit if the close is back": """
        sell stop-limit 100 at 9.90 limit 9.90
        bar 10.00 10.10 9.80 9.90 10000 | 1: 100 at 9.90
    """,
    "a buy stop-limit that slippage carries past its limit fills at the limit if the close is back, and not else": """
        buy stop-limit 100 at 10.10 limit 10.10
        bar 10.00 10.20 9.90 10.11 10000 |
        bar 10.11 10.20 10.10 10.15 10000 | 1: 100 at 10.10
    """,
    "without slippage a stop-limit at one price fills at its stop": """
        slippage 0
        sell stop-limit 100 at 9.90 limit 9.90
        bar 10.00 10.10 9.80 9.85 10000 | 1: 100 at 9.90
    """,
    "a stop-limit that opens at its limit, which slippage passes, is judged by the close too": """
        sell stop-limit 100 at 9.90 limit 9.90
        bar 9.90 10.10 9.80 9.85 10000 |
        bar 9.85 9.89 9.80 9.85 10000 |
        bar 9.85 9.90 9.80 9.85 10000 | 1: 100 at 9.90
    """,
    "a limit above the stop is not filled by a high that may have come before the trigger": """
        sell stop-limit 100 at 9.90 limit 10.00
        bar 10.05 10.10 9.90 9.95 10000 |
        bar 9.95 10.00 9.90 9.95 10000 | 1: 100 at 10.00
    """,
    "a limit above the stop is filled by a close at it": """
        sell stop-limit 100 at 9.90 limit 10.00
        bar 10.05 10.10 9.90 10.00 10000 | 1: 100 at 10.00
    """,
    "once triggered a stop-limit is a limit order, and fills at a better open without slippage": """
        sell stop-limit 100 at 9.90 limit 9.80
        bar 9.50 9.79 9.40 9.60 10000 |
        bar 10.30 10.40 10.20 10.25 10000 | 1: 100 at 10.30
    """,
    "what a bar's volume leaves of a stop-limit rests at its limit": """
        sell stop-limit 100 at 9.90 limit 9.80
        bar 10.00 10.10 9.90 10.05 600 | 1: 60 at 9.89
        bar 9.70 9.79 9.60 9.70 600 |
        bar 9.70 9.90 9.60 9.70 600 | 1: 40 at 9.80
    """,
    "a stop-limit is triggered also by a bar whose volume others took": """
        sell market 100
        sell stop-limit 50 at 9.90 limit 9.80
        bar 10.00 10.10 9.90 10.05 1000 | 1: 100 at 9.99
        bar 10.50 10.60 10.40 10.45 1000 | 2: 50 at 10.50
    """,
    "a stop-limit comes with the stops, and once it is triggered with the targets, as they arrived": """
        sell limit 10 at 10.10
        sell stop-limit 70 at 9.90 limit 9.80
        sell stop 10 at 9.70
        bar 10.00 10.05 9.85 10.00 600 | 2: 60 at 9.89
        bar 10.00 10.20 9.70 10.05 190 | 3: 10 at 9.69, 1: 9 at 10.10
        bar 10.20 10.20 10.10 10.15 190 | 1: 1 at 10.20, 2: 10 at 10.20
    """,
    # Order within one bar.
    "of a stop and a target that are both touched the stop is first": """
        sell limit 50 at 10.10
        sell stop 50 at 9.90
        bar 10.00 10.10 9.90 10.05 600 | 2: 50 at 9.89, 1: 10 at 10.10
    """,
    "sales at the open come before stops, targets before buys, buys as they arrived": """
        buy limit 10 at 10.00
        buy market 10
        sell limit 10 at 10.10
        sell stop 10 at 9.90
        sell market 10
        bar 10.00 10.10 9.90 10.05 450 | 5: 10 at 9.99, 4: 10 at 9.89, 3: 10 at 10.10, 1: 10 at 10.00, 2: 5 at 10.01
    """,
    "the rest of a triggered stop sells with the market orders, before fresh stops": """
        sell stop 50 at 9.80
        sell stop 70 at 9.90
        bar 10.00 10.10 9.90 10.05 600 | 2: 60 at 9.89
        bar 9.70 9.75 9.60 9.65 200 | 2: 10 at 9.69, 1: 10 at 9.69
    """,
    # Attached stops.
    "an attached stop does nothing before its entry fills": """
        buy limit 100 at 9.00
        stop of 1 at 9.90
        bar 10.00 10.10 9.80 10.05 10000 |
    """,
    "an attached stop may fill on the bar in which its entry filled": """
        buy market 100
        stop of 1 at 9.90
        bar 10.00 10.10 9.90 10.05 10000 | 1: 100 at 10.01, 2: 100 at 9.89
    """,
    "an attached stop that the bar does not reach rests": """
        buy market 100
        stop of 1 at 9.89
        bar 10.00 10.10 9.90 10.05 10000 | 1: 100 at 10.01
        bar 10.00 10.10 9.89 10.05 10000 | 2: 100 at 9.88
    """,
    "an entry that opens below its stop is sold at the open again": """
        buy market 100
        stop of 1 at 10.20
        bar 10.00 10.30 9.90 10.05 10000 | 1: 100 at 10.01, 2: 100 at 9.99
    """,
    "a stop above a limit that filled later in the bar sells no higher than the entry paid": """
        buy limit 100 at 9.90
        stop of 1 at 9.95
        bar 10.00 10.10 9.80 10.05 10000 | 1: 100 at 9.90, 2: 100 at 9.89
    """,
    "a stop below a limit that filled later in the bar sells at the stop": """
        buy limit 100 at 9.90
        stop of 1 at 9.85
        bar 10.00 10.10 9.80 10.05 10000 | 1: 100 at 9.90, 2: 100 at 9.84
    """,
    "an attached stop is for exactly what its entry has filled so far": """
        buy market 100
        stop of 1 at 9.90
        bar 10.00 10.10 9.95 10.05 600 | 1: 60 at 10.01
        bar 10.00 10.10 9.95 10.05 300 | 1: 30 at 10.01
        bar 10.00 10.10 9.90 10.05 1000 | 2: 90 at 9.89, 1: 10 at 10.01
        bar 10.00 10.10 9.95 10.05 1000 | 2: 10 at 9.99
    """,
    "old shares and those just bought may both be sold by one bar": """
        buy market 100
        stop of 1 at 9.90
        bar 10.00 10.10 9.95 10.05 600 | 1: 60 at 10.01
        bar 10.00 10.10 9.90 10.05 5000 | 2: 60 at 9.89, 1: 40 at 10.01, 2: 40 at 9.89
    """,
    "what a triggered stop's entry still buys is sold at once, at no price from before": """
        buy limit 100 at 9.80
        stop of 1 at 9.70
        bar 10.00 10.10 9.70 9.75 300 | 1: 30 at 9.80
        bar 9.90 9.95 9.70 9.75 500 | 2: 30 at 9.89, 1: 20 at 9.80
        bar 9.90 9.95 9.75 9.75 4000 | 2: 20 at 9.89, 1: 50 at 9.80, 2: 50 at 9.79
    """,
    # Brackets.
    "a bracket's target sells what its entry has bought, and nothing is left to its stop": """
        buy market 100
        stop of 1 at 9.50
        target of 1 at 10.50
        bar 10.00 10.10 9.90 10.05 10000 | 1: 100 at 10.01
        bar 10.10 10.60 10.00 10.55 10000 | 3: 100 at 10.50
        bar 9.40 9.50 9.30 9.40 10000 |
    """,
    "a bracket's stop sells what its entry has bought, and nothing is left to its target": """
        buy market 100
        stop of 1 at 9.50
        target of 1 at 10.50
        bar 10.00 10.10 9.90 10.05 10000 | 1: 100 at 10.01
        bar 10.00 10.10 9.50 10.05 10000 | 2: 100 at 9.49
        bar 10.60 10.70 10.50 10.60 10000 |
    """,
    "of a bracket's stop and target that are both touched the stop is first, and takes all": """
        buy market 100
        stop of 1 at 9.50
        target of 1 at 10.50
        bar 10.00 10.10 9.90 10.05 10000 | 1: 100 at 10.01
        bar 10.00 10.60 9.40 10.05 10000 | 2: 100 at 9.49
    """,
    "a target cannot fill on the bar in which its entry filled": """
        buy market 100
        stop of 1 at 9.50
        target of 1 at 10.50
        bar 10.00 10.60 9.90 10.55 10000 | 1: 100 at 10.01
        bar 10.55 10.60 10.50 10.55 10000 | 3: 100 at 10.55
    """,
    "a bracket's stop can fill on the bar in which its entry filled, also if that touched the target": """
        buy market 100
        stop of 1 at 9.50
        target of 1 at 10.50
        bar 10.00 10.60 9.40 10.55 10000 | 1: 100 at 10.01, 2: 100 at 9.49
        bar 10.60 10.70 10.50 10.60 10000 |
    """,
    "what a target sells of its shares is taken off the stop": """
        buy market 100
        stop of 1 at 9.50
        target of 1 at 10.50
        bar 10.00 10.10 9.90 10.05 10000 | 1: 100 at 10.01
        bar 10.10 10.60 10.00 10.55 600 | 3: 60 at 10.50
        bar 10.00 10.10 9.50 9.60 10000 | 2: 40 at 9.49
        bar 10.60 10.70 9.40 10.60 10000 |
    """,
    "what a triggered stop has not sold yet leaves at the next open, and not at the target": """
        buy market 100
        stop of 1 at 9.50
        target of 1 at 10.50
        bar 10.00 10.10 9.90 10.05 10000 | 1: 100 at 10.01
        bar 10.00 10.60 9.50 10.05 600 | 2: 60 at 9.49
        bar 10.60 10.70 10.50 10.60 10000 | 2: 40 at 10.59
        bar 10.60 10.70 9.40 10.60 10000 |
    """,
    "a bracket is for exactly what its entry has filled so far": """
        buy market 100
        stop of 1 at 9.50
        target of 1 at 10.50
        bar 10.00 10.10 9.90 10.05 600 | 1: 60 at 10.01
        bar 10.40 10.60 10.30 10.45 700 | 3: 60 at 10.50, 1: 10 at 10.41
        bar 10.40 10.60 9.50 10.45 10000 | 2: 10 at 9.49, 1: 30 at 10.41, 2: 30 at 9.49
        bar 10.60 10.70 10.50 10.60 10000 |
    """,
    "two brackets do not touch each other": """
        buy market 100
        stop of 1 at 9.50
        target of 1 at 10.50
        buy market 50
        stop of 4 at 9.60
        target of 4 at 10.60
        bar 10.00 10.10 9.90 10.05 10000 | 1: 100 at 10.01, 4: 50 at 10.01
        bar 10.00 10.50 9.90 10.05 10000 | 3: 100 at 10.50
        bar 10.00 10.10 9.40 10.05 10000 | 5: 50 at 9.59
    """,
    "the stop of one entry does not grow with another's fills": """
        buy market 10
        buy limit 10 at 9.00
        stop of 2 at 9.95
        bar 10.00 10.10 9.90 10.05 10000 | 1: 10 at 10.01
    """,
}


GUARDS = {
    "of a stop and a target that are both touched the stop is first": Guard(
        module="brokers.fill_model",
        source="_STOPS: Final = 1\n_TARGETS: Final = 2",
        without="_STOPS: Final = 2\n_TARGETS: Final = 1",
    ),
    "what a target sells of its shares is taken off the stop": Guard(
        module="brokers.fill_model", source="orders[order.pair - 1].quantity -= quantity", without="pass"
    ),
    "a bracket is for exactly what its entry has filled so far": Guard(
        module="brokers.fill_model",
        source="orders[index].quantity += bought.quantity",
        without="orders[index].quantity = orders[bought.order].quantity",
    ),
    "what a triggered stop has not sold yet leaves at the next open, and not at the target": Guard(
        module="brokers.fill_model",
        source="if order.type in (STOP, STOP_LIMIT) and order.triggered == 0:\n        return _STOPS",
        without="if order.type == STOP_LIMIT and order.triggered == 0:\n        return _STOPS\n"
        "    if order.type == STOP:\n        return _BUYS",
    ),
    "a target cannot fill on the bar in which its entry filled": Guard(
        module="brokers.fill_model",
        source="reference = _reference_after_buy(bar, stop, bought)",
        without="reference = _limit_price(bar, stop) if stop.type == LIMIT else _reference_after_buy(bar, stop, bought)",
    ),
    "a gap through stop and limit does not fill until the price comes back to the limit": Guard(
        module="brokers.fill_model",
        source="if order.type == STOP_LIMIT and not _within_limit(price, order):",
        without="if False:",
    ),
    "a gap through stop and limit fills in the same bar if that comes back: all of it is after the trigger": Guard(
        module="brokers.fill_model",
        source="if _stop_reference(bar, order) == bar.open and not _within_limit(bar.open, order):",
        without="if False:",
    ),
    "a limit above the stop is not filled by a high that may have come before the trigger": Guard(
        module="brokers.fill_model",
        source="return limit if _within_limit(bar.close, order) else 0",
        without="return _limit_price(bar, order)",
    ),
    "once triggered a stop-limit is a limit order, and fills at a better open without slippage": Guard(
        module="brokers.fill_model", source="(order.type == STOP_LIMIT and earlier)", without="False"
    ),
    "a stop-limit is triggered also by a bar whose volume others took": Guard(
        module="brokers.fill_model",
        source="            _trigger(bar, order)\n",
        without="            if left > 0:\n                _trigger(bar, order)\n",
    ),
    "all orders of a bar share its volume": Guard(
        module="brokers.fill_model",
        source="quantity = min(left, order.quantity - order.filled)\n            if price",
        without="quantity = order.quantity - order.filled\n            if price",
    ),
    "an order is not filled by a bar before it is eligible": Guard(
        module="brokers.fill_model", source="order.eligible > bar.time or ", without=""
    ),
}
"""By the tape that shows it at work."""


@pytest.mark.parametrize("tape", TAPES.values(), ids=TAPES.keys())
def test_tape(tape: str) -> None:
    play(tape, match_bar)


def test_control_without_a_guard_its_tape_fails() -> None:
    failed = without_guards(__file__)
    assert failed.pop("") == []
    assert {name for name, tapes in failed.items() if name not in tapes} == set()
    assert failed.keys() == GUARDS.keys()


def test_whether_a_fill_was_at_the_open_is_said() -> None:
    orders = empty_records(2, venue_order_t)
    _order(orders[0], ["buy", "limit", "10", "at", "10.00"])
    _order(orders[1], ["buy", "limit", "10", "at", "9.90"])
    fills = empty_records(4, fill_t)
    assert match_bar(_bar(["10.00", "10.10", "9.90", "10.05", "1000"], 1), orders, 2, 1, 1000, fills) == 2
    assert fills["at_open"][:2].tolist() == [1, 0]


def test_too_little_room_for_fills_matches_nothing() -> None:
    orders = empty_records(1, venue_order_t)
    _order(orders[0], ["buy", "market", "100"])
    bar = _bar(["10.00", "10.10", "9.90", "10.05", "10000"], 1)
    assert match_bar(bar, orders, 1, 1, 1000, empty_records(1, fill_t)) == TOO_FEW_FILLS
    assert orders[0]["filled"] == 0


def play(tape: str, match: Callable[..., int]) -> None:
    """Assert that each bar of the tape gives what stands after it."""
    settings = {"slippage": 1, "share": 1000}
    orders = empty_records(8, venue_order_t)
    fills = empty_records(8 * FILLS_PER_ORDER, fill_t)
    count = 0
    minute = 0
    for line in filter(None, map(str.strip, tape.splitlines())):
        words = line.split()
        if words[0] in settings:
            settings[words[0]] = int(words[1])
        elif words[0] == "bar":
            minute += 1
            text, _, expected = line.partition("|")
            bar = _bar(text.split()[1:], minute)
            written = match(bar, orders, count, settings["slippage"], settings["share"], fills)
            assert [_said(fill) for fill in fills[:written]] == [
                fill.strip() for fill in expected.split(",") if fill.strip()
            ]
        else:
            _order(orders[count], words)
            if words[0] == "target":
                # It stands right after the stop that it is paired with.
                orders[count - 1]["pair"], orders[count]["pair"] = count + 1, count
            count += 1


def _bar(words: list[str], minute: int) -> Any:
    bar = empty_records(1, bar_t)[0]
    if words != ["-"]:
        bar["time"] = minute
        for name, price in zip(("open", "high", "low", "close"), words, strict=False):
            bar[name] = units_from_dollars(price)
        bar["volume"] = int(words[4])
    return bar


def _order(order: Any, words: list[str]) -> None:
    """`buy limit 100 at 10.00 from 2`, `sell stop-limit 100 at 9.90 limit 9.80`, `stop of 1 at 9.90`, `target of ...`."""
    values = dict(zip(words[3::2], words[4::2], strict=True))
    if words[0] in ("stop", "target"):
        order["side"], order["parent"] = SELL, int(words[2])
        order["type"] = STOP if words[0] == "stop" else LIMIT
    else:
        order["side"] = BUY if words[0] == "buy" else SELL
        order["type"], order["quantity"] = _TYPES[words[1]], int(words[2])
    order["eligible"] = int(values.get("from", "0"))
    price = units_from_dollars(values.get("at", "0"))
    order["limit"] = price if order["type"] == LIMIT else units_from_dollars(values.get("limit", "0"))
    order["stop"] = price if order["type"] in (STOP, STOP_LIMIT) else 0


def _said(fill: Any) -> str:
    price = dollars_from_units(int(fill["price"]))
    shown = price.quantize(Decimal("0.01")) if price >= 1 else price
    return f"{int(fill['order']) + 1}: {int(fill['quantity'])} at {shown}"


def _fails(tape: str, match: Callable[..., int]) -> bool:
    try:
        play(tape, match)
    except AssertionError:
        return True
    return False


def _failed_tapes(guard: Guard | None) -> list[str]:
    changed = brokers_without(*([] if guard is None else [guard]))
    return [name for name, tape in TAPES.items() if _fails(tape, changed["brokers.fill_model"].match_bar)]


if __name__ == "__main__":
    print(json.dumps({"": _failed_tapes(None)} | {name: _failed_tapes(guard) for name, guard in GUARDS.items()}))  # noqa: T201  # the answer
