"""From values to the kernel's records: what the gate is told of orders, volume, halts and the venue."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from trading_platform.brokers.paper import CAPABILITIES
from trading_platform.calendars.sessions import Session
from trading_platform.config.settings import Limits
from trading_platform.domain.compiled import empty_records
from trading_platform.domain.decisions import Barred, OrderShape
from trading_platform.domain.fills import Position
from trading_platform.domain.orders import (
    IntentKind,
    OrderIntent,
    OrderState,
    OrderStatus,
    OrderType,
    Side,
    TimeInForce,
)
from trading_platform.domain.records import bar_t, day_t, out_t
from trading_platform.marketdata.bars import SessionBars, session_bars
from trading_platform.portfolio.account import AccountView, OrdersSent
from trading_platform.portfolio.decide import Decided, DecisionDesk, Minute
from trading_platform.portfolio.venue import shapes_taken
from trading_platform.risk.limits import to_record
from trading_platform.strategies.registry import load
from trading_platform_tests.factories.minutes import SHAPES
from trading_platform_tests.factories.orders import status

OPEN = datetime(2013, 10, 9, 13, 30, tzinfo=UTC)
SESSION = Session(day=date(2013, 10, 9), open=OPEN, close=OPEN + timedelta(minutes=390))
STRATEGY = load("vwap_reclaim")
NAME = STRATEGY.name
MINUTE = 10
LATE = 7


def bars(volume: int = 10_000) -> SessionBars:
    """One symbol at 10.00."""
    came = np.zeros(MINUTE + 1, bar_t)
    came["time"] = [int(OPEN.timestamp()) + 60 * minute for minute in range(MINUTE + 1)]
    for price in ("open", "high", "low", "close"):
        came[price] = 100_000
    came["volume"] = volume
    return session_bars(SESSION, ("SPY",), [came])


def order(kind: IntentKind, minute: int, *, parent: str | None = None, quantity: int = 100) -> OrderIntent:
    return OrderIntent(
        id=f"{kind}-{minute}",
        book="paper",
        strategy=NAME,
        symbol="SPY",
        bar_time=OPEN + timedelta(minutes=minute),
        kind=kind,
        leg=0,
        attempt=0,
        side=Side.BUY if kind is IntentKind.ENTRY else Side.SELL,
        type=OrderType.LIMIT if kind is IntentKind.ENTRY else OrderType.STOP,
        quantity=quantity,
        limit_price=Decimal("9.90") if kind is IntentKind.ENTRY else None,
        stop_price=Decimal("9.00"),
        parent=parent,
        valid_until=OPEN + timedelta(minutes=60),
        setup=1,
    )


def seen(
    *orders: OrderStatus, average: float = 1_000_000.0, volume: int = 10_000, more: Any = None, **view: Any
) -> Decided:
    """What the kernel is given when SPY is to be entered, seven seconds late."""
    outs, days = empty_records(1, out_t), np.zeros(1, day_t)
    outs["entry"], outs["stop"], days["average_daily_volume"] = 1, 9.0, average
    values: dict[str, Any] = {"positions": {}, "broker_orders": {}, "attempts": {}, "orders": orders, **view}
    account = AccountView(cash=Decimal(100_000), **values)
    market = Minute(bars=bars(volume), minute=MINUTE, outs=(outs,), days=days, lateness=LATE, **(more or {}))
    return DecisionDesk([STRATEGY], Limits(), SESSION, CAPABILITIES).decide(market, account)


def test_an_entry_that_works_is_told_with_its_size_its_moment_and_its_open_orders() -> None:
    entry = order(IntentKind.ENTRY, 4)
    stop = order(IntentKind.STOP, 4, parent=entry.id)
    late = entry.bar_time + timedelta(seconds=95)
    told = seen(status(entry), status(stop), decided_at={entry.bar_time: late}).seen
    (position, _) = told["positions"]
    assert (position["ordered"], position["entered_at"]) == (100, int(late.timestamp()))
    assert (position["entry_orders"], position["exit_orders"], position["stop_orders"]) == (1, 0, 1)
    assert told["book"]["open_orders"].tolist() == [2]


def legs(minute: int = 4) -> list[OrderIntent]:
    """An entry of a hundred shares in three orders: entry, stop and target of each, the last without a target."""
    found: list[OrderIntent] = []
    for leg, (shares, target) in enumerate(((25, "11.00"), (50, "12.00"), (25, None))):
        entry = replace(order(IntentKind.ENTRY, minute, quantity=shares), id=f"e{leg}", leg=leg)
        stop = replace(order(IntentKind.STOP, minute, parent=entry.id, quantity=shares), id=f"s{leg}", leg=leg)
        found += [entry, stop]
        if target is not None:
            limit: dict[str, Any] = {"limit_price": Decimal(target), "stop_price": None, "type": OrderType.LIMIT}
            found.append(replace(stop, id=f"t{leg}", kind=IntentKind.TARGET, **limit))
    return found


def told_of(*orders: OrderStatus, held: int = 0, **view: Any) -> Any:
    """The record of the position that these orders belong to, of which so many shares are held."""
    positions = {}
    if held:
        at = OPEN + timedelta(minutes=5)
        positions[NAME, "SPY"] = Position(
            strategy=NAME,
            symbol="SPY",
            quantity=held,
            cost=Decimal(10 * held),
            realised=Decimal(0),
            fees=Decimal(0),
            entry_quantity=100,
            entry_cost=Decimal(1000),
            round_trips=0,
            opened_at=at,
            opened_by="e0",
        )
    return seen(*orders, positions=positions, **view).seen["positions"][0]


def test_the_legs_of_an_entry_are_one_order_of_all_their_shares() -> None:
    position = told_of(*(status(one) for one in legs()))
    assert (position["ordered"], position["entering"]) == (100, 100)
    assert (position["entry_orders"], position["stop_orders"], position["target_orders"]) == (3, 3, 2)
    # Nothing is bought yet: what the targets will sell counts all the same.
    assert (position["resting_target"], position["target"], position["legs_done"]) == (75, 110_000, 0)


@pytest.mark.parametrize(("sold", "done"), [({}, 0), ({"t0": 1}, 1), ({"t0": 25}, 1), ({"t0": 25, "t1": 10}, 2)])
def test_scale_outs_are_done_from_the_first_share_that_their_target_sells(sold: dict[str, int], done: int) -> None:
    filled = {"e0": 25, "e1": 50, "e2": 25} | sold
    statuses = [
        status(
            one,
            OrderState.FILLED if one.kind is IntentKind.ENTRY else OrderState.ACKNOWLEDGED,
            filled=filled.get(one.id, 0),
        )
        for one in legs()
    ]
    held = 100 - sum(sold.values())
    position = told_of(*statuses, held=held)
    assert position["legs_done"] == done
    # The broker shows nothing here: stops and targets count for what is bought and not sold.
    assert (position["resting_stop"], position["resting_target"]) == (held, held - 25)


def test_an_exit_of_everything_takes_no_scale_out_back() -> None:
    exit_ = replace(order(IntentKind.EXIT, 8), stop_price=None, type=OrderType.MARKET, quantity=75)
    filled = {"e0": 25, "e1": 50, "e2": 25, "t0": 25}
    statuses = [status(one, OrderState.FILLED, filled=filled.get(one.id, 0)) for one in legs() if one.id in filled]
    assert told_of(*statuses, status(exit_, filled=5), held=70)["legs_done"] == 1


def test_the_targets_of_an_earlier_entry_are_no_scale_outs_of_this_one() -> None:
    earlier = [replace(one, id=f"old-{one.id}", parent=one.parent and f"old-{one.parent}") for one in legs(2)]
    before = [status(one, OrderState.FILLED, filled=one.quantity) for one in earlier]
    now = [
        status(one, OrderState.FILLED if one.parent is None else OrderState.ACKNOWLEDGED, filled=0) for one in legs()
    ]
    assert told_of(*before, *now, held=100)["legs_done"] == 0


@pytest.mark.parametrize(
    ("venue", "state", "filled", "unprotected"),
    [
        ("waits", OrderState.PARTIALLY_FILLED, 5, 5),
        ("follows", OrderState.PARTIALLY_FILLED, 5, 0),
        (None, OrderState.PARTIALLY_FILLED, 5, 0),
        ("waits", OrderState.ACKNOWLEDGED, 0, 0),
        ("waits", OrderState.CANCELLED, 5, 0),
        ("waits", OrderState.PARTIALLY_FILLED, 50, 0),
    ],
)
def test_what_an_entry_has_filled_in_part_is_unprotected_where_its_legs_wait(
    venue: str | None, state: OrderState, filled: int, unprotected: int
) -> None:
    statuses = [
        replace(status(one, state, filled=filled), venue=venue) if one.id == "e1" else status(one) for one in legs()
    ]
    position = told_of(*statuses, legs_wait_at=frozenset({"waits"}))
    assert position["unprotected"] == unprotected


@pytest.mark.parametrize(
    ("state", "filled", "leg", "minute", "withheld"),
    [
        (OrderState.REJECTED, 0, 0, 8, 1),
        (OrderState.EXPIRED, 0, 0, 8, 1),
        (OrderState.CANCELLED, 60, 0, 8, 1),
        (OrderState.FILLED, 100, 0, 8, 0),
        (OrderState.ACKNOWLEDGED, 0, 0, 8, 0),
        (OrderState.REJECTED, 0, 1, 8, 0),
        # An exit that an earlier session's close has ended is for the plan to decide anew.
        (OrderState.EXPIRED, 0, 0, -30, 0),
    ],
)
@pytest.mark.parametrize("targets", [True, False])
def test_an_exit_of_everything_that_has_not_sold_it_is_withheld(
    *, state: OrderState, filled: int, leg: int, minute: int, withheld: int, targets: bool
) -> None:
    exit_ = replace(order(IntentKind.EXIT, minute), leg=leg, stop_price=None, type=OrderType.MARKET)
    entry = [
        status(one, OrderState.FILLED if one.parent is None else OrderState.CANCELLED)
        for one in legs(min(4, minute - 1))
        if targets or one.kind is not IntentKind.TARGET
    ]
    assert told_of(*entry, status(exit_, state, filled=filled), held=100)["withheld"] == withheld


def test_an_order_of_no_recorded_bar_counts_as_decided_at_its_bars_end() -> None:
    entry = order(IntentKind.ENTRY, 4)
    (position, _) = seen(status(entry)).seen["positions"]
    assert position["entered_at"] == int((OPEN + timedelta(minutes=5)).timestamp())


def test_what_has_ended_and_what_is_no_order_is_not_open() -> None:
    entry, cancel = order(IntentKind.ENTRY, 4), order(IntentKind.CANCEL, 5)
    told = seen(status(entry, OrderState.CANCELLED), status(cancel, OrderState.UNKNOWN))
    assert told.seen["book"]["open_orders"].tolist() == [0]


def test_the_moment_of_the_decision_is_the_bars_end_and_its_lateness() -> None:
    assert seen().seen["book"]["now"].tolist() == [int(OPEN.timestamp()) + 60 * (MINUTE + 1) + LATE]


def test_orders_sent_are_told_for_the_account_and_for_each_strategy() -> None:
    told = seen(sent=OrdersSent(second=1, minute=2, session={NAME: 3, "another": 4})).seen
    assert [told["book"][name].tolist() for name in ("orders_second", "orders_minute", "orders_day")] == [[1], [2], [7]]
    assert told["plans"]["day"]["orders"].tolist() == [3]


def test_what_is_recorded_is_from_before_the_kernel_counted_its_own_orders() -> None:
    decided = seen()
    assert [one.quantity for one in decided.decisions] == [500]
    assert decided.seen["plans"]["day"]["orders"].tolist() == [0]
    assert decided.seen["book"]["orders_day"].tolist() == [0]


@pytest.mark.parametrize(("average", "told"), [(1_234.9, 1_234), (np.nan, 0), (np.inf, 0)])
def test_an_average_volume_that_is_not_known_is_none(average: float, told: int) -> None:
    assert seen(average=average).seen["entries"]["average_volume"].tolist() == [told]


def test_an_entry_is_told_with_all_that_is_known_of_its_symbol() -> None:
    key = (NAME, "SPY")
    more = {"barred": {"SPY": Barred.HALTED}, "clock_skew_ms": -12}
    told = seen(volume=777, more=more, entries_sent={key: 3}, disabled=frozenset({key})).seen
    (entry,) = told["entries"]
    assert (entry["bar_volume"], entry["barred"], entry["entered"], entry["disabled"]) == (777, 2, 3, 1)
    assert told["book"]["clock_skew"].tolist() == [12]
    (other,) = seen(entries_sent={("another", "SPY"): 3}, disabled=frozenset({("another", "SPY")})).seen["entries"]
    assert (other["barred"], other["entered"], other["disabled"]) == (0, 0, 0)


def test_a_venue_takes_what_its_capabilities_say() -> None:
    venue = replace(
        CAPABILITIES,
        attached_stops=False,
        brackets=False,
        order_types=frozenset({OrderType.MARKET, OrderType.STOP_LIMIT}),
        times_in_force=frozenset({TimeInForce.DAY}),
    )
    assert shapes_taken(venue) == OrderShape.MARKET | OrderShape.STOP_LIMIT | OrderShape.DAY


def test_no_venue_takes_odd_lots_or_prices_between_two_ticks() -> None:
    never = OrderShape.ODD_LOT | OrderShape.OFF_TICK
    assert shapes_taken(CAPABILITIES) == ~never & OrderShape(~0)


def test_a_quantity_is_in_whole_lots_of_the_venue_and_of_the_settings() -> None:
    assert [int(to_record(Limits(lot=lot), SHAPES, venue)[0]["lot"]) for lot, venue in ((1, 1), (1, 10), (4, 6))] == [
        1,
        10,
        12,
    ]


def test_every_limit_of_the_settings_reaches_the_kernel_by_itself() -> None:
    # The list of symbols alone is no number to it.
    plain = to_record(Limits(), SHAPES)[0]
    for name in set(Limits.model_fields) - {"restricted_symbols"}:
        changed = Limits().model_copy(update={name: getattr(Limits(), name) + 1})
        record = to_record(changed, SHAPES)[0]
        assert sum(record[field] != plain[field] for field in record.dtype.names) == 1, name
