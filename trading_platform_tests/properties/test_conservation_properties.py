"""Conservation over random decisions and working orders: what is made of them passes, and what is more does not."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from trading_platform.domain.decisions import Decision, DecisionKind, Verdict
from trading_platform.domain.errors import ConservationBroken
from trading_platform.domain.orders import BrokerOrder, IntentKind, Order, OrderIntent, OrderState, OrderStatus, Side
from trading_platform.orders.conservation import Change, require_committed, require_decided
from trading_platform.orders.intents import SessionOrders, make_intents
from trading_platform.orders.outbox import _calls
from trading_platform.portfolio.legs import EntryLeg
from trading_platform_tests.factories.orders import at_broker, decision, status

STOP = Decimal("9.0000")
shares = st.integers(1, 5_000)
verdicts = st.sampled_from([Verdict.APPROVED, Verdict.RESIZED, Verdict.REFUSED])
pairs = st.lists(
    st.tuples(st.sampled_from(["s", "t"]), st.sampled_from(["SPY", "IBM", "AIG"])), min_size=1, max_size=4, unique=True
)
Minute = tuple[tuple[Decision, ...], SessionOrders]


def earlier(strategy: str, symbol: str, kind: IntentKind, quantity: int, leg: int) -> OrderIntent:
    """An order of an earlier minute."""
    of = {IntentKind.ENTRY: DecisionKind.ENTER, IntentKind.STOP: DecisionKind.PROTECT}[kind]
    wanted = decision(of, quantity, strategy=strategy, symbol=symbol, stop_price=STOP)
    empty = SessionOrders(statuses=(), at_broker={})
    (made,) = make_intents("paper", [wanted], empty, lambda _: False)
    return replace(made, id=f"{made.id}-{leg}", bar_time=made.bar_time.replace(minute=leg))


@st.composite
def minutes(draw: st.DrawFn) -> Minute:
    """One minute: for some pairs orders that work, and what was decided on them."""
    decisions: list[Decision] = []
    statuses: list[OrderStatus] = []
    shown: dict[str, BrokerOrder] = {}
    for strategy, symbol in draw(pairs):
        for kind in (IntentKind.ENTRY, IntentKind.STOP):
            for leg, quantity in enumerate(draw(st.lists(shares, max_size=3))):
                intent = earlier(strategy, symbol, kind, quantity, leg)
                statuses.append(status(intent, OrderState.ACKNOWLEDGED))
                shown |= at_broker(intent, draw(st.integers(1, quantity)))
        values: dict[str, Any] = {"strategy": strategy, "symbol": symbol, "stop_price": STOP}
        if draw(st.booleans()):
            # What is held is not entered: the kernel decides one or the other.
            decisions.append(decision(DecisionKind.ENTER, draw(shares), verdict=draw(verdicts), **values))
            continue
        choices = [
            decision(DecisionKind.EXIT, draw(shares), leg=leg, verdict=draw(verdicts), **values) for leg in range(3)
        ]
        choices.append(decision(DecisionKind.PROTECT, draw(st.integers(0, 5_000)), **values))
        choices.append(decision(DecisionKind.CANCEL_ENTRY, draw(shares), **values))
        decisions += draw(st.lists(st.sampled_from(choices), unique_by=lambda one: (one.kind, one.leg)))
    return tuple(decisions), SessionOrders(statuses=tuple(statuses), at_broker=shown)


def in_legs(entry: Decision) -> tuple[EntryLeg, ...]:
    """Up to three orders, the first two with a target."""
    first = max(1, entry.quantity // 4)
    second = min(entry.quantity - first, entry.quantity // 2)
    parts = ((first, Decimal(11)), (second, Decimal(12)), (entry.quantity - first - second, None))
    return tuple(EntryLeg(quantity=shares, target=target) for shares, target in parts if shares)


def made_of(minute: Minute) -> tuple[OrderIntent, ...]:
    decisions, working = minute
    return make_intents("paper", decisions, working, lambda strategy: strategy == "s", in_legs)


def sends(intent: OrderIntent) -> bool:
    return intent.kind is not IntentKind.CANCEL


@settings(deadline=None, max_examples=50)
@given(minutes())
def test_what_is_made_of_decisions_passes(minute: Minute) -> None:
    intents = made_of(minute)
    require_decided(minute[0], intents, minute[1])
    committed = {one.id: status(one, OrderState.INTENDED) for one in intents}
    require_committed([call.goes_out for call in _calls(intents)], committed)


MORE: dict[str, Callable[[OrderIntent, int], OrderIntent]] = {
    "doubled": lambda intent, _: replace(intent, quantity=2 * intent.quantity),
    "more": lambda intent, more: replace(intent, quantity=intent.quantity + more),
    "turned round": lambda intent, _: replace(intent, side=Side.SELL if intent.side is Side.BUY else Side.BUY),
    "elsewhere": lambda intent, _: replace(intent, symbol="QQQ"),
    "another's": lambda intent, _: replace(intent, strategy="u"),
    "another minute's": lambda intent, _: replace(intent, bar_time=intent.bar_time.replace(year=2014)),
}


@pytest.mark.parametrize("how", MORE)
@settings(deadline=None, max_examples=50)
@given(minutes(), st.data(), shares)
def test_what_is_more_than_was_decided_is_caught_before_the_commit(
    how: str, minute: Minute, data: st.DataObject, more: int
) -> None:
    intents = made_of(minute)
    growing = how in ("doubled", "more")
    # A reduction that would leave more than is there takes nothing away: that is more than was to be protected, too.
    wanted = [one for one in intents if (sends(one) and one.quantity) or not growing]
    if how == "another minute's":
        wanted = [one for one in wanted if one.parent is None]
    assume(wanted)
    one = data.draw(st.sampled_from(wanted))
    wrong = tuple(MORE[how](it, more) if it is one else it for it in intents)
    with pytest.raises(ConservationBroken):
        require_decided(minute[0], wrong, minute[1])


@settings(deadline=None, max_examples=50)
@given(minutes(), st.data())
def test_what_was_refused_or_not_decided_is_caught_before_the_commit(minute: Minute, data: st.DataObject) -> None:
    intents = made_of(minute)
    assume(intents)
    one = data.draw(st.sampled_from([it for it in intents if it.parent is None]))
    kinds = {
        IntentKind.ENTRY: DecisionKind.ENTER,
        IntentKind.EXIT: DecisionKind.EXIT,
        IntentKind.CANCEL: DecisionKind.CANCEL_ENTRY,
    }
    kind = kinds.get(one.kind, DecisionKind.PROTECT)
    refused = [
        replace(it, verdict=Verdict.REFUSED)
        if (it.strategy, it.symbol, it.kind) == (one.strategy, one.symbol, kind)
        else it
        for it in minute[0]
    ]
    with pytest.raises(ConservationBroken, match="nothing of the kind was decided"):
        require_decided(refused, intents, minute[1])


@settings(deadline=None, max_examples=50)
@given(minutes(), st.data())
def test_what_goes_out_twice_is_caught_before_the_commit(minute: Minute, data: st.DataObject) -> None:
    intents = made_of(minute)
    wanted = [one for one in intents if sends(one) and one.kind is not IntentKind.REDUCE and one.quantity]
    assume(wanted)
    again = data.draw(st.sampled_from(wanted))
    with pytest.raises(ConservationBroken):
        require_decided(minute[0], (*intents, replace(again, id="tp-other", attempt=1)), minute[1])


@settings(deadline=None, max_examples=50)
@given(minutes(), st.data(), shares)
def test_what_is_more_than_was_committed_is_caught_before_the_call(
    minute: Minute, data: st.DataObject, more: int
) -> None:
    intents = made_of(minute)
    committed = {one.id: status(one, OrderState.INTENDED) for one in intents}
    calls = [call.goes_out for call in _calls(intents)]
    assume(calls)
    place = data.draw(st.integers(0, len(calls) - 1))
    one: Order | Change = calls[place]
    wrong = [*calls[:place], replace(one, quantity=one.quantity + more), *calls[place + 1 :]]
    with pytest.raises(ConservationBroken):
        require_committed(wrong, committed)
    with pytest.raises(ConservationBroken, match="twice"):
        require_committed([*calls, one], committed)
    gone = {name: replace(it, state=OrderState.UNKNOWN) for name, it in committed.items()}
    with pytest.raises(ConservationBroken, match="it is unknown"):
        require_committed(calls, gone)
