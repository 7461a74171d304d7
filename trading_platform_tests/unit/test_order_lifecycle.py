"""Every pair of states: what can follow what, written out; and the step that cannot be is refused."""

import pytest

from trading_platform.domain.errors import Inconsistent
from trading_platform.domain.lifecycle import STEPS, can_follow, step
from trading_platform.domain.orders import OrderState
from trading_platform_tests.factories.orders import BAR

# Rows: from. Columns: to, in the order of the header. x: can follow.
TABLE = """
                  inten sendi ackno parti pending_c pending_r unkno fille cance repla expir rejec appli
intended            .     x     x     x       .         .       x     x     x     x     x     x     x
sending             x     .     x     x       .         .       x     x     x     x     x     x     x
acknowledged        .     .     .     x       x         x       .     x     x     x     x     x     .
partially_filled    .     .     .     x       x         x       .     x     x     x     x     .     .
pending_cancel      .     .     x     x       x         x       .     x     x     x     x     x     .
pending_replace     .     .     x     x       x         x       .     x     x     x     x     x     .
unknown             .     .     x     x       .         .       .     x     x     x     x     x     x
filled              .     .     .     .       .         .       .     .     .     .     .     .     .
cancelled           .     .     .     .       .         .       .     .     .     .     .     .     .
replaced            .     .     .     .       .         .       .     .     .     .     .     .     .
expired             .     .     .     .       .         .       .     .     .     .     .     .     .
rejected            .     .     .     .       .         .       .     .     .     .     .     .     .
applied             .     .     .     .       .         .       .     .     .     .     .     .     .
"""


def table() -> dict[tuple[OrderState, OrderState], bool]:
    header, *rows = [line.split() for line in TABLE.strip().splitlines()]
    columns = [next(state for state in OrderState if state.value.startswith(name)) for name in header]
    return {
        (OrderState(row[0]), then): mark == "x" for row in rows for then, mark in zip(columns, row[1:], strict=True)
    }


PAIRS = table()


def test_the_table_names_every_pair() -> None:
    assert set(PAIRS) == {(state, then) for state in OrderState for then in OrderState}
    assert set(STEPS) == set(OrderState)


@pytest.mark.parametrize(("state", "then"), PAIRS, ids=lambda state: str(state.value))
def test_a_step_is_taken_or_refused_as_the_table_says(state: OrderState, then: OrderState) -> None:
    assert can_follow(state, then) == PAIRS[state, then]
    if PAIRS[state, then]:
        event = step("tp-1", state, then, at=BAR, broker_order_id="b", detail="why")
        assert (event.intent_id, event.state, event.at) == ("tp-1", then, BAR)
        assert (event.broker_order_id, event.detail) == ("b", "why")
    else:
        with pytest.raises(Inconsistent, match=f"order tp-1 is {state} and cannot become {then}"):
            step("tp-1", state, then, at=BAR)


@pytest.mark.parametrize("state", OrderState)
def test_final_states_are_those_from_which_nothing_follows(state: OrderState) -> None:
    assert state.is_final == (not any(can_follow(state, then) for then in OrderState))


def test_only_what_was_about_to_leave_can_be_intended_again() -> None:
    assert [state for state in OrderState if can_follow(state, OrderState.INTENDED)] == [OrderState.SENDING]


def test_what_is_not_known_is_never_sent_again_and_ends_only_by_evidence() -> None:
    doubtful = {OrderState.INTENDED, OrderState.SENDING, OrderState.UNKNOWN}
    assert doubtful.isdisjoint(STEPS[OrderState.UNKNOWN])
    assert OrderState.REJECTED in STEPS[OrderState.UNKNOWN]


def test_what_has_been_answered_is_not_about_to_leave_any_more() -> None:
    assert [state for state in OrderState if can_follow(state, OrderState.SENDING)] == [OrderState.INTENDED]


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        STEPS[OrderState.FILLED] = frozenset(OrderState)  # type: ignore[index]
