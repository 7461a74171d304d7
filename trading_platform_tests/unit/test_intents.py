"""From decisions to intents: what is sent, in which order, under which id, and how attempts are counted (Law 3)."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from trading_platform.domain.decisions import Decision, DecisionKind, Rule, Verdict
from trading_platform.domain.orders import (
    BrokerOrder,
    IntentKind,
    OrderIntent,
    OrderState,
    OrderStatus,
    OrderType,
    Side,
)
from trading_platform.orders.intents import SessionOrders, make_intents
from trading_platform.portfolio.legs import EntryLeg
from trading_platform_tests.factories.orders import BAR, at_broker, decision, status

STOP = Decimal("9.0000")
ENTER = decision(DecisionKind.ENTER, 100, stop_price=STOP)
EXIT = decision(DecisionKind.EXIT, 50, leg=1)
CANCEL = decision(DecisionKind.CANCEL_ENTRY, 40)
ENDED = (OrderState.REJECTED, OrderState.CANCELLED, OrderState.EXPIRED)


def made(
    *decisions: Decision, orders: tuple[OrderStatus, ...] = (), shown: dict[str, BrokerOrder] | None = None
) -> tuple[OrderIntent, ...]:
    working = SessionOrders(statuses=orders, at_broker=shown or {})
    return make_intents("paper", decisions, working, lambda strategy: strategy == "s")


def protect(quantity: int, *, bars_later: int = 1) -> Decision:
    return decision(DecisionKind.PROTECT, quantity, stop_price=STOP, bar_time=BAR + timedelta(minutes=bars_later))


PARTS = (
    EntryLeg(quantity=25, target=Decimal("11.0000")),
    EntryLeg(quantity=50, target=Decimal("12.0000")),
    EntryLeg(quantity=25),
)


def in_legs(entry: Decision = ENTER, parts: tuple[EntryLeg, ...] = PARTS) -> tuple[OrderIntent, ...]:
    working = SessionOrders(statuses=(), at_broker={})
    return make_intents("paper", [entry], working, lambda strategy: strategy == "s", lambda _: parts)


def entered(quantity: int = 100) -> tuple[OrderIntent, OrderIntent]:
    entry, stop = made(replace(ENTER, quantity=quantity))
    return entry, stop


# ---- what is sent -------------------------------------------------------------------------------------------------


def test_an_entry_carries_its_stop() -> None:
    entry, stop = made(ENTER)
    assert (entry.kind, entry.side, entry.type, entry.quantity) == (IntentKind.ENTRY, Side.BUY, OrderType.MARKET, 100)
    assert (entry.limit_price, entry.stop_price, entry.setup) == (None, STOP, 1)
    assert entry.valid_until == BAR + timedelta(minutes=2)
    assert (stop.kind, stop.side, stop.type, stop.quantity) == (IntentKind.STOP, Side.SELL, OrderType.STOP, 100)
    assert (stop.parent, stop.stop_price, stop.limit_price) == (entry.id, STOP, None)


def test_a_limit_entry_has_its_price_and_its_stop_has_none() -> None:
    entry, stop = made(replace(ENTER, limit_price=Decimal("9.9000")))
    assert (entry.type, entry.limit_price, stop.limit_price) == (OrderType.LIMIT, Decimal("9.9000"), None)


@pytest.mark.parametrize(
    "lone", [replace(ENTER, strategy="stops on the close"), replace(ENTER, stop_price=None)], ids=["close", "no stop"]
)
def test_an_entry_whose_stop_does_not_rest_goes_alone(lone: Decision) -> None:
    assert [intent.kind for intent in made(lone)] == [IntentKind.ENTRY]


def test_an_exit_sells_at_the_market() -> None:
    (exit_,) = made(EXIT)
    assert (exit_.kind, exit_.side, exit_.type, exit_.quantity) == (IntentKind.EXIT, Side.SELL, OrderType.MARKET, 50)
    assert (exit_.leg, exit_.valid_until, exit_.stop_price, exit_.target) == (1, None, None, None)


def test_a_refused_decision_sends_nothing_and_a_resized_one_its_quantity() -> None:
    assert made(replace(ENTER, verdict=Verdict.REFUSED, rule=Rule.ATTEMPTS)) == ()
    entry, _ = made(replace(ENTER, verdict=Verdict.RESIZED, rule=Rule.ORDER_SIZE, quantity=7))
    assert entry.quantity == 7


def test_intents_keep_the_order_of_the_decisions() -> None:
    entry, stop = entered()
    decisions = (CANCEL, protect(50, bars_later=0), EXIT, replace(ENTER, symbol="IBM"))
    intents = made(*decisions, orders=(status(entry), status(stop)), shown=at_broker(stop, 100))
    kinds = [IntentKind.CANCEL, IntentKind.REDUCE, IntentKind.EXIT, IntentKind.ENTRY, IntentKind.STOP]
    assert [intent.kind for intent in intents] == kinds


def test_a_cancel_names_the_entry_that_still_works_and_only_that() -> None:
    entry, stop = entered()
    other, _ = made(replace(ENTER, symbol="IBM"))
    later = replace(CANCEL, bar_time=BAR + timedelta(minutes=1))
    (cancel,) = made(
        later,
        orders=(status(entry, OrderState.PARTIALLY_FILLED, filled=60), status(stop), status(other)),
        shown=at_broker(entry, 100, filled=60),
    )
    assert (cancel.kind, cancel.target, cancel.side) == (IntentKind.CANCEL, entry.id, Side.BUY)
    assert cancel.quantity == 40
    assert made(later, orders=(status(entry, OrderState.FILLED, filled=100),)) == ()


@pytest.mark.parametrize(
    ("state", "again"),
    [
        (OrderState.INTENDED, False),
        (OrderState.SENDING, False),
        (OrderState.UNKNOWN, False),
        (OrderState.APPLIED, True),
        (OrderState.REJECTED, True),
    ],
)
def test_a_cancel_that_has_not_been_answered_is_not_made_again(state: OrderState, *, again: bool) -> None:
    entry, stop = entered()
    first, later = (replace(CANCEL, bar_time=BAR + timedelta(minutes=minutes)) for minutes in (1, 2))
    orders = (status(entry), status(stop))
    (cancel,) = made(first, orders=orders)
    assert len(made(later, orders=(*orders, status(cancel, state)))) == again


# ---- resting targets ----------------------------------------------------------------------------------------------


def test_an_entry_with_resting_targets_is_a_bracket_for_each_leg_and_a_stop_for_the_rest() -> None:
    intents = in_legs()
    entry, stop, target = IntentKind.ENTRY, IntentKind.STOP, IntentKind.TARGET
    assert [(one.kind, one.leg, one.quantity) for one in intents] == [
        (entry, 0, 25),
        (stop, 0, 25),
        (target, 0, 25),
        (entry, 1, 50),
        (stop, 1, 50),
        (target, 1, 50),
        (entry, 2, 25),
        (stop, 2, 25),
    ]
    entries = {one.leg: one for one in intents if one.kind is entry}
    for one in intents:
        assert one.parent == (None if one.kind is entry else entries[one.leg].id)
        assert (one.attempt, one.valid_until, one.setup) == (0, ENTER.valid_until, 1)
    assert len({one.id for one in intents}) == len(intents)
    targets = [one for one in intents if one.kind is target]
    assert [(one.side, one.type, one.limit_price, one.stop_price) for one in targets] == [
        (Side.SELL, OrderType.LIMIT, Decimal("11.0000"), None),
        (Side.SELL, OrderType.LIMIT, Decimal("12.0000"), None),
    ]


def test_each_leg_of_a_limit_entry_has_its_limit() -> None:
    limited = in_legs(replace(ENTER, limit_price=Decimal("9.9000")))
    assert {one.limit_price for one in limited if one.kind is IntentKind.ENTRY} == {Decimal("9.9000")}
    assert {one.limit_price for one in limited if one.kind is IntentKind.STOP} == {None}


def test_the_first_leg_has_the_name_that_an_entry_in_one_order_has() -> None:
    assert [one.id for one in in_legs()[:2]] == [one.id for one in made(ENTER)]


def test_a_target_without_a_stop_that_rests_is_not_sent() -> None:
    alone = in_legs(replace(ENTER, strategy="stops on the close"))
    assert [one.kind for one in alone] == [IntentKind.ENTRY] * 3


def test_everything_that_leaves_frees_each_pair_by_its_stop() -> None:
    intents = in_legs()
    shown: dict[str, BrokerOrder] = {}
    for one in intents:
        shown |= at_broker(one, one.quantity)
    changes = made(protect(0), orders=tuple(status(one) for one in intents), shown=shown)
    stops = [one.id for one in intents if one.kind is IntentKind.STOP]
    assert [(one.kind, one.target, one.quantity) for one in changes] == [
        (IntentKind.REDUCE, name, 0) for name in reversed(stops)
    ]


def test_a_cancel_is_one_for_each_leg_that_works() -> None:
    first, second, third = (one for one in in_legs() if one.kind is IntentKind.ENTRY)
    orders = (status(first, OrderState.FILLED, filled=25), status(second, filled=5), status(third))
    shown = at_broker(second, 50, filled=5) | at_broker(third, 25)
    cancels = made(replace(CANCEL, bar_time=BAR + timedelta(minutes=1)), orders=orders, shown=shown)
    assert [(one.target, one.quantity, one.leg) for one in cancels] == [(second.id, 45, 0), (third.id, 25, 1)]


@pytest.mark.parametrize(("sold", "left"), [(0, 20), (15, 5), (20, 0)])
def test_a_stop_that_is_not_shown_counts_for_what_its_target_has_not_sold(sold: int, left: int) -> None:
    entry, stop, target, *_ = in_legs()
    orders = (status(entry, filled=20), status(stop, OrderState.UNKNOWN), status(target, filled=sold))
    working = SessionOrders(statuses=orders, at_broker={})
    assert [working.open_quantity(one) for one in orders[1:]] == [left, left]


def test_a_stop_that_is_restored_has_no_target_beside_it() -> None:
    entry, stop, target, *_ = in_legs()
    orders = (
        status(entry, OrderState.FILLED, filled=25),
        status(stop, OrderState.CANCELLED),
        status(target, OrderState.CANCELLED),
    )
    (again,) = made(protect(25), orders=orders)
    assert (again.kind, again.type, again.parent) == (IntentKind.STOP, OrderType.STOP, None)


# ---- resting stops ------------------------------------------------------------------------------------------------


def test_a_stop_that_protects_too_much_is_reduced() -> None:
    entry, stop = entered()
    (reduce_,) = made(protect(50), orders=(status(entry), status(stop)), shown=at_broker(stop, 100))
    assert (reduce_.kind, reduce_.target, reduce_.quantity) == (IntentKind.REDUCE, stop.id, 50)
    assert reduce_.side is Side.SELL


def test_a_stop_that_protects_too_little_gets_another_for_the_rest() -> None:
    entry, stop = entered()
    (more,) = made(protect(100), orders=(status(entry), status(stop)), shown=at_broker(stop, 60))
    assert (more.kind, more.type, more.quantity) == (IntentKind.STOP, OrderType.STOP, 40)
    assert (more.stop_price, more.parent, more.target, more.valid_until) == (STOP, None, None, None)


def test_stops_that_protect_what_is_held_are_left_alone() -> None:
    entry, stop = entered()
    assert made(protect(100), orders=(status(entry), status(stop)), shown=at_broker(stop, 100)) == ()
    assert made(protect(0)) == ()


@pytest.mark.parametrize(
    ("held", "left"),
    [
        (100, {}),
        (75, {1: 15}),
        (60, {1: 0}),
        (59, {1: 0, 0: 59}),
        (1, {1: 0, 0: 1}),
        (0, {1: 0, 0: 0}),
    ],
)
def test_of_several_stops_the_newest_give_way_first(held: int, left: dict[int, int]) -> None:
    entry, first = entered()
    (second,) = made(protect(100), orders=(status(entry), status(first)), shown=at_broker(first, 60))
    orders = (status(entry, OrderState.FILLED, filled=100), status(first), status(second))
    shown = at_broker(first, 60) | at_broker(second, 40)
    intents = made(protect(held, bars_later=2), orders=orders, shown=shown)
    names = [first.id, second.id]
    assert {names.index(intent.target or ""): intent.quantity for intent in intents} == left
    assert len({intent.id for intent in intents}) == len(left)


def test_a_filled_part_of_a_stop_protects_nothing_any_more() -> None:
    entry, stop = entered()
    partly = at_broker(stop, 100, filled=30)
    orders = (status(entry), status(stop, OrderState.PARTIALLY_FILLED, filled=30))
    assert made(protect(70), orders=orders, shown=partly) == ()
    (reduce_,) = made(protect(20), orders=orders, shown=partly)
    assert reduce_.quantity == 20


def test_an_attached_stop_that_is_not_shown_counts_for_what_its_entry_has_bought() -> None:
    entry, stop = entered()
    orders = (status(entry, OrderState.PARTIALLY_FILLED, filled=60), status(stop, OrderState.UNKNOWN))
    assert made(protect(60), orders=orders) == ()
    (reduce_,) = made(protect(30), orders=orders)
    assert (reduce_.kind, reduce_.quantity) == (IntentKind.REDUCE, 30)


# ---- ids and attempts ---------------------------------------------------------------------------------------------


def test_the_same_decisions_make_the_same_intents() -> None:
    assert made(ENTER, EXIT) == made(ENTER, EXIT)


def test_two_exits_of_one_minute_have_different_ids() -> None:
    exits = made(EXIT, replace(EXIT, leg=2), replace(EXIT, leg=0))
    assert len({intent.id for intent in exits}) == 3


@pytest.mark.parametrize("state", ENDED)
@pytest.mark.parametrize("filled", [0, 49])
def test_an_exit_that_ended_with_quantity_left_can_be_tried_again(state: OrderState, filled: int) -> None:
    (first,) = made(EXIT)
    (second,) = made(EXIT, orders=(status(first, state, filled=filled),))
    (third,) = made(EXIT, orders=(status(first, state, filled=filled), status(second, state)))
    assert [first.attempt, second.attempt, third.attempt] == [0, 1, 2]
    assert len({first.id, second.id, third.id}) == 3


@pytest.mark.parametrize("state", set(OrderState) - set(ENDED))
def test_an_exit_that_works_is_filled_or_is_not_known_keeps_its_id(state: OrderState) -> None:
    (first,) = made(EXIT)
    (again,) = made(EXIT, orders=(status(first, state),))
    assert again.id == first.id


def test_an_exit_that_was_filled_whole_counts_for_nothing_whatever_its_last_state() -> None:
    (first,) = made(EXIT)
    (again,) = made(EXIT, orders=(status(first, OrderState.CANCELLED, filled=50),))
    assert again.id == first.id


@pytest.mark.parametrize(
    "other",
    [
        replace(EXIT, leg=2),
        replace(EXIT, symbol="IBM"),
        replace(EXIT, strategy="t"),
        replace(EXIT, bar_time=BAR + timedelta(minutes=1)),
    ],
    ids=["leg", "symbol", "strategy", "bar"],
)
def test_only_intents_of_the_same_key_count(other: Decision) -> None:
    (first,) = made(EXIT)
    (one,) = made(other, orders=(status(first, OrderState.REJECTED),))
    assert one.attempt == 0


@pytest.mark.parametrize("state", ENDED)
def test_an_entry_is_never_tried_again(state: OrderState) -> None:
    entry, stop = entered()
    again = made(ENTER, orders=(status(entry, state), status(stop, state)))
    assert [intent.id for intent in again] == [entry.id, stop.id]


def test_a_reduction_that_was_refused_is_tried_under_another_id() -> None:
    entry, stop = entered()
    orders = (status(entry), status(stop))
    (first,) = made(protect(50), orders=orders, shown=at_broker(stop, 100))
    (again,) = made(protect(50), orders=(*orders, status(first, OrderState.REJECTED)), shown=at_broker(stop, 100))
    assert (first.attempt, again.attempt) == (0, 1)
    assert first.id != again.id
