"""The names of intents that a person's command leads to: a pure function of what is done, and of the command's row."""

import inspect
from typing import Any

import pytest

from trading_platform.domain.ids import command_intent_id, intent_id

GIVEN: dict[str, Any] = {
    "book": "paper",
    "command": 7,
    "strategy": "gap_and_go",
    "symbol": "IBM",
    "kind": "exit",
    "leg": 0,
    "attempt": 0,
    "target": "",
}
OTHERS: dict[str, Any] = {
    "book": "live",
    "command": 8,
    "strategy": "vwap_reclaim",
    "symbol": "SPY",
    "kind": "cancel",
    "leg": 1,
    "attempt": 1,
    "target": "tp-1",
}


def test_it_is_the_same_each_time_and_no_longer_than_any_other() -> None:
    name = command_intent_id(**GIVEN)
    assert command_intent_id(**GIVEN) == name
    assert name.startswith("tp-")
    assert len(name) == 29


@pytest.mark.parametrize("part", sorted(GIVEN))
def test_every_part_makes_another_name(part: str) -> None:
    assert command_intent_id(**(GIVEN | {part: OTHERS[part]})) != command_intent_id(**GIVEN)


def test_nothing_but_these_parts_goes_into_it() -> None:
    assert set(inspect.signature(command_intent_id).parameters) == set(GIVEN)
    assert set(inspect.signature(intent_id).parameters) - set(GIVEN) == {"bar_time"}


def test_a_part_with_the_separator_is_refused() -> None:
    with pytest.raises(ValueError, match="control character"):
        command_intent_id(**(GIVEN | {"symbol": "I\x1fBM"}))
