"""Deterministic names, shards, money at its exact edge, and the named roundings."""

import zlib
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from trading_platform.domain.ids import SHARDS, cycle_id, intent_id, is_symbol, minute_stamp, shard_of
from trading_platform.domain.money import cents, dollars_from_units, units_from_dollars
from trading_platform.domain.rounding import (
    basis_points_down,
    cents_half_up,
    float_from_price,
    price_from_float,
    share_down,
    tick_down,
    tick_up,
)

BAR = datetime(2013, 10, 9, 13, 30, tzinfo=UTC)
PARTS: dict[str, Any] = {
    "book": "paper",
    "strategy": "vwap_reclaim",
    "symbol": "SPY",
    "bar_time": BAR,
    "kind": "entry",
    "leg": 0,
    "attempt": 0,
}
OTHERS: dict[str, Any] = {
    "book": "live",
    "strategy": "gap_and_go",
    "symbol": "IBM",
    "bar_time": BAR + timedelta(minutes=1),
    "kind": "exit",
    "leg": 1,
    "attempt": 1,
}


def test_an_id_is_the_same_for_ever() -> None:
    # Written down: an id that changed with the code would be sent a second time.
    assert intent_id(**PARTS) == "tp-427a2340a2a4cc9ab7f0eab91d"
    assert len(intent_id(**PARTS)) == 29


@pytest.mark.parametrize("part", PARTS)
def test_any_part_that_differs_makes_another_id(part: str) -> None:
    assert intent_id(**PARTS | {part: OTHERS[part]}) != intent_id(**PARTS)


def test_parts_do_not_run_into_each_other() -> None:
    one = intent_id(**PARTS | {"strategy": "a", "symbol": "BC"})
    other = intent_id(**PARTS | {"strategy": "aB", "symbol": "C"})
    assert one != other
    with pytest.raises(ValueError, match="control character"):
        intent_id(**PARTS | {"strategy": "a\x1fb"})


def test_a_moment_has_one_name_in_every_zone() -> None:
    exchange = BAR.astimezone(ZoneInfo("America/New_York"))
    assert intent_id(**PARTS | {"bar_time": exchange}) == intent_id(**PARTS)
    assert minute_stamp(exchange) == "20131009T1330Z"
    assert cycle_id("paper", exchange) == "paper/20131009T1330Z"
    with pytest.raises(ValueError, match="has no time zone"):
        minute_stamp(datetime(2013, 10, 9, 9, 30))  # noqa: DTZ001 (what is refused)


def test_symbols_fall_evenly_on_the_shards_by_a_named_hash() -> None:
    assert shard_of("SPY") == zlib.crc32(b"SPY") % SHARDS == 63
    counts = Counter(shard_of(f"S{number}") for number in range(6400))
    assert set(counts) == set(range(SHARDS))
    assert max(counts.values()) < 2 * 100


@pytest.mark.parametrize("text", ["SPY", "BRK.B", "BF-B", "3M", "A" * 16])
def test_symbols(text: str) -> None:
    assert is_symbol(text)


@pytest.mark.parametrize("text", ["", "spy", ".A", "A" * 17, "A B", "SPY\n", "Ü"])
def test_no_symbols(text: str) -> None:
    assert not is_symbol(text)


@pytest.mark.parametrize(
    ("dollars", "units"), [("0.0001", 1), ("-0.0001", -1), ("1", 10_000), ("1000000000.0000", 10**13), (7, 70_000)]
)
def test_dollars_and_units_are_the_same_amount(dollars: str | int, units: int) -> None:
    assert units_from_dollars(dollars) == units
    assert dollars_from_units(units) == Decimal(dollars)


@pytest.mark.parametrize("wrong", ["0.00001", "1.23456", "NaN", "sNaN", "Infinity", "-Infinity", "ten", ""])
def test_what_is_no_whole_number_of_units_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="dollars"):
        units_from_dollars(wrong)


@pytest.mark.parametrize(
    ("dollars", "told"), [("1.0049", "1.00"), ("1.0050", "1.01"), ("-1.0050", "-1.01"), ("2", "2.00")]
)
def test_people_read_cents_half_up(dollars: str, told: str) -> None:
    assert str(cents(Decimal(dollars))) == told


@pytest.mark.parametrize(
    ("price", "down", "up"),
    [
        (9_999, 9_999, 9_999),
        (10_000, 10_000, 10_000),
        (10_001, 10_000, 10_100),
        (10_099, 10_000, 10_100),
        (10_100, 10_100, 10_100),
        (1, 1, 1),
        (0, 0, 0),
    ],
)
def test_prices_are_put_on_the_tick_to_the_side_that_is_asked_for(price: int, down: int, up: int) -> None:
    assert (tick_down(price), tick_up(price)) == (down, up)


@pytest.mark.parametrize(("dollars", "units"), [(1.1, 11_000), (0.00005, 1), (0.000049, 0), (645.57, 6_455_700)])
def test_a_float_price_becomes_the_nearest_unit(dollars: float, units: int) -> None:
    assert price_from_float(dollars) == units


def test_a_price_is_the_nearest_double_and_comes_back() -> None:
    for price in range(1, 2_000_000, 997):
        assert float_from_price(price) == float(Decimal(price) / 10_000)
        assert price_from_float(float_from_price(price)) == price


def test_shares_of_an_amount_are_rounded_down_without_an_overflow() -> None:
    assert share_down(10, 1, 3) == 3
    assert share_down(10**18, 9_999, 10_000) == 10**18 // 10_000 * 9_999
    assert (basis_points_down(19_999, 5_000), basis_points_down(-1, 1)) == (9_999, -1)


@pytest.mark.parametrize(
    ("numerator", "denominator", "units"),
    [(49, 1, 0), (50, 1, 100), (149, 1, 100), (150, 1, 200), (0, 7, 0), (349, 7, 0), (350, 7, 100)],
)
def test_cents_are_rounded_half_up(numerator: int, denominator: int, units: int) -> None:
    assert cents_half_up(numerator, denominator) == units
