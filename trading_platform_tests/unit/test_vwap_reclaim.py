"""vwap_reclaim against a second reading of its definition, and one bar at a time against each of its conditions.

The reference below works on whole lists of bars with slices, and shares nothing with the step but the words.
"""

import csv
import io
import math
import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from trading_platform.domain.compiled import empty_records
from trading_platform.domain.records import SESSION_MINUTES, day_t, step_bar_t
from trading_platform.domain.signals import ExitReason
from trading_platform.strategies.contract import Strategy
from trading_platform.strategies.registry import load
from trading_platform.strategies.scan import fold

OPEN_MS = (9 * 60 + 30) * 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Candle:
    minute: int
    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    average_volume: float
    shares: Sequence[float]


# ---- the second reading ------------------------------------------------------------------------------------------


def vwaps(candles: Sequence[Candle]) -> list[float]:
    result = []
    for end in range(1, len(candles) + 1):
        volume = math.fsum(c.volume for c in candles[:end])
        turnover = 0.0
        for c in candles[:end]:
            turnover += (c.high + c.low + c.close) / 3.0 * c.volume
        result.append(turnover / volume if volume else math.nan)
    return result


def cross_numbers(candles: Sequence[Candle], lines: Sequence[float]) -> list[int]:
    sided = [
        (n, c.close > v) for n, (c, v) in enumerate(zip(candles, lines, strict=True)) if c.close < v or c.close > v
    ]
    return [now[0] for before, now in pairwise(sided) if before[1] is not now[1]]


def reference(candles: Sequence[Candle], day: Day, p: Any) -> list[tuple[int, str, float]]:
    """(minute, 'entry', stop) and (minute, 'exit', 0), in order."""
    lines, said = vwaps(candles), list[tuple[int, str, float]]()
    crosses = cross_numbers(candles, lines)
    for n, (bar, line) in enumerate(zip(candles, lines, strict=True)):
        if bar.close < line:
            said.append((bar.minute, "exit", 0.0))
        before = candles[:n]
        run = list(zip(before, lines[:n], strict=True))[-p.closes_below :]
        windows = ((p.morning_from, p.morning_until), (p.afternoon_from, p.afternoon_until))
        usual = day.average_volume * day.shares[bar.minute]
        wanted = [
            bar.close > line,
            bar.volume > 0,
            any(start <= bar.minute < end for start, end in windows),
            len(run) == p.closes_below and all(c.close < v for c, v in run),
            len(before) >= p.volume_bars and len(before) >= p.stop_bars,
            usual > 0 and sum(c.volume for c in candles[: n + 1]) / usual >= p.relative_volume,
            sum(n - p.cross_bars <= crossed < n for crossed in crosses) < p.crosses,
        ]
        if not all(wanted):
            continue
        mean = sum(c.volume for c in before[-p.volume_bars :]) / p.volume_bars
        stop = min([bar.low, *(c.low for c in before[-p.stop_bars :])])
        if bar.volume >= p.volume_multiple * mean and bar.close * (1 - p.stop_percent / 100) <= stop < bar.close:
            said.append((bar.minute, "entry", stop))
    return said


# ---- the step, in the same form ----------------------------------------------------------------------------------


def records(candles: Sequence[Candle], minutes: int) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    bars, present = empty_records(minutes, step_bar_t), np.zeros(minutes, np.bool_)
    for c in candles:
        bars[c.minute] = (c.minute, minutes - 1 - c.minute, c.open, c.high, c.low, c.close, c.volume)
        present[c.minute] = True
    return bars, present


def day_record(day: Day) -> npt.NDArray[Any]:
    record = empty_records(1, day_t)
    record["average_daily_volume"] = day.average_volume
    record["volume_share"] = day.shares
    return record


def spoken(strategy: Strategy, candles: Sequence[Candle], day: Day) -> list[tuple[int, str, float]]:
    outs, faults = fold(strategy, *records(candles, SESSION_MINUTES), day_record(day))
    assert not faults
    said = list[tuple[int, str, float]]()
    for minute, out in enumerate(outs):
        assert int(out["exit"]) in (0, ExitReason.BELOW_VWAP)
        if out["exit"]:
            said.append((minute, "exit", 0.0))
        if out["entry"]:
            assert (int(out["setup"]), int(out["valid_bars"]), float(out["limit"])) == (1, 1, 0.0)
            said.append((minute, "entry", float(out["stop"])))
    return said


def entries(said: Sequence[tuple[int, str, float]]) -> list[int]:
    return [minute for minute, kind, _ in said if kind == "entry"]


EVEN = tuple((m + 1) / SESSION_MINUTES for m in range(SESSION_MINUTES))


def random_session(seed: int) -> tuple[list[Candle], Day]:
    rng = np.random.default_rng(seed)
    close, candles = float(rng.uniform(5, 200)), []
    step_size = close * 0.001
    for minute in range(SESSION_MINUTES):
        opened = close
        # Whole steps on a coarse grid: closes that equal VWAP, and ties among lows, do occur.
        close = round(max(1.0, opened + step_size * float(rng.integers(-2, 3))), 2)
        high = round(max(opened, close) + step_size * float(rng.integers(0, 2)), 2)
        low = round(min(opened, close) - step_size * float(rng.integers(0, 2)), 2)
        volume = 0.0 if rng.random() < 0.03 else float(rng.integers(1, 5000))
        if rng.random() > 0.05:
            candles.append(Candle(minute=minute, open=opened, high=high, low=low, close=close, volume=volume))
    return candles, Day(average_volume=float(rng.uniform(3e5, 2e6)), shares=EVEN)


LOOSE = {
    "relative_volume": 0.6,
    "closes_below": 3,
    "crosses": 9,
    "cross_bars": 45,
    "volume_multiple": 1.1,
    "stop_percent": 0.8,
}


def test_random_sessions_give_what_the_definition_says() -> None:
    strategy, found = load("vwap_reclaim", overrides=LOOSE), 0
    for seed in range(40):
        candles, day = random_session(seed)
        expected = reference(candles, day, strategy.parameters)
        assert spoken(strategy, candles, day) == expected
        found += len(entries(expected))
    assert found > 20, "the sessions would show nothing without entries"


# ---- one condition at a time --------------------------------------------------------------------------------------


def tape() -> list[Candle]:
    """20 minutes at $100, 20 under VWAP at $99, and at minute 40 a close above it on twice the volume."""

    def candle(minute: int, close: float, volume: float) -> Candle:
        return Candle(minute=minute, open=close, high=close, low=close - 0.1, close=close, volume=volume)

    quiet = [candle(m, 100.0, 1000) for m in range(20)] + [candle(m, 99.0, 1000) for m in range(20, 40)]
    return [*quiet, candle(40, 100.5, 2000)]


USUAL = Day(average_volume=39_000.0, shares=EVEN)
"""Half of the volume that the tape has."""


def with_bar(candles: list[Candle], number: int, **changes: float) -> list[Candle]:
    return [replace(c, **changes) if n == number else c for n, c in enumerate(candles)]  # type: ignore[arg-type]


def test_the_tape_triggers_with_the_defaults() -> None:
    said = spoken(load("vwap_reclaim"), tape(), replace(USUAL, average_volume=190_000.0 / 9.75))
    assert [(minute, kind, stop) for minute, kind, stop in said if kind == "entry"] == [(40, "entry", 98.9)]


@pytest.mark.parametrize(
    ("condition", "change"),
    [
        ("closes above VWAP", lambda t: with_bar(t, 40, close=99.2)),
        ("volume", lambda t: with_bar(t, 40, volume=1499)),
        ("consecutive closes below", lambda t: with_bar(t, 30, close=100.4, high=100.4)),
        ("stop within 3 %", lambda t: with_bar(t, 38, low=97.4)),
        ("stop under the close", lambda t: [replace(c, low=100.5) if c.minute >= 35 else c for c in t]),
        ("window", lambda t: [replace(c, minute=c.minute + 80) for c in t]),
    ],
)
def test_each_condition_is_needed(condition: str, change: Callable[[list[Candle]], list[Candle]]) -> None:
    assert entries(spoken(load("vwap_reclaim"), tape(), USUAL)) == [40]
    assert entries(spoken(load("vwap_reclaim"), change(tape()), USUAL)) == [], condition


def test_the_window_ends_before_its_last_minute_and_opens_again() -> None:
    strategy = load("vwap_reclaim", overrides={"relative_volume": 0.0})
    for shift, wanted in ((79, [119]), (80, []), (199, []), (200, [240]), (319, [359]), (320, [])):
        shifted = [replace(c, minute=c.minute + shift) for c in tape()]
        assert entries(spoken(strategy, shifted, USUAL)) == wanted


def test_unknown_volume_of_a_usual_day_makes_no_entry() -> None:
    unknown = math.nan
    assert entries(spoken(load("vwap_reclaim"), tape(), replace(USUAL, average_volume=unknown))) == []
    assert entries(spoken(load("vwap_reclaim"), tape(), replace(USUAL, shares=[unknown] * SESSION_MINUTES))) == []
    assert entries(spoken(load("vwap_reclaim"), tape(), replace(USUAL, average_volume=0.0))) == []


def test_relative_volume_is_needed() -> None:
    assert entries(spoken(load("vwap_reclaim"), tape(), replace(USUAL, average_volume=250_000.0))) == []


def test_a_bar_without_volume_makes_no_entry() -> None:
    strategy = load("vwap_reclaim", overrides={"volume_multiple": 0.0})
    assert entries(spoken(strategy, with_bar(tape(), 40, volume=1.0), USUAL)) == [40]
    assert entries(spoken(strategy, with_bar(tape(), 40, volume=0.0), USUAL)) == []


def test_the_volume_mean_needs_all_its_bars() -> None:
    twenty_before, nineteen_before = ([c for c in tape() if not first <= c.minute < 25] for first in (5, 4))
    assert entries(spoken(load("vwap_reclaim"), twenty_before, USUAL)) == [40]
    assert entries(spoken(load("vwap_reclaim"), nineteen_before, USUAL)) == []


def test_the_stop_needs_all_its_bars() -> None:
    strategy = load("vwap_reclaim", overrides={"volume_bars": 1, "stop_bars": 25})
    assert entries(spoken(strategy, tape()[15:], USUAL)) == [40]
    assert entries(spoken(strategy, tape()[16:], USUAL)) == []


def test_too_many_crosses_before_the_trigger_stop_it() -> None:
    crossed = tape()
    for number in (4, 6):
        crossed = with_bar(crossed, number, close=99.0)
    # 4 goes down, 5 up, 6 down, 7 up, 20 down: five crosses in the 60 bars before minute 40.
    strategy = load("vwap_reclaim")
    assert entries(spoken(strategy.with_values({"crosses": 5}), crossed, USUAL)) == []
    assert entries(spoken(strategy.with_values({"crosses": 6}), crossed, USUAL)) == [40]
    assert entries(spoken(strategy.with_values({"crosses": 5, "cross_bars": 36}), crossed, USUAL)) == []
    assert entries(spoken(strategy.with_values({"crosses": 5, "cross_bars": 35}), crossed, USUAL)) == [40]


def test_a_close_at_vwap_keeps_the_side() -> None:
    flat = [replace(c, close=100.0, high=100.0, low=100.0) for c in tape()[:20]]
    assert spoken(load("vwap_reclaim"), flat, USUAL) == []


def test_a_close_at_vwap_is_not_above_it() -> None:
    # Whole prices and volumes, so that VWAP is 99 to the last bit.
    levels = [100.0] * 20 + [98.0] * 20
    candles = [Candle(minute=m, open=c, high=c, low=c, close=c, volume=1000) for m, c in enumerate(levels)]
    at = Candle(minute=40, open=99, high=99, low=99, close=99, volume=3000)
    assert entries(spoken(load("vwap_reclaim"), [*candles, at], USUAL)) == []
    above = replace(at, close=99.01, high=99.01)
    assert entries(spoken(load("vwap_reclaim"), [*candles, above], USUAL)) == [40]


def test_the_stop_may_be_just_as_far_as_is_allowed() -> None:
    strategy = load("vwap_reclaim", overrides={"stop_percent": 50.0})
    candles = with_bar(tape(), 40, close=100.0)
    assert entries(spoken(strategy, with_bar(candles, 38, low=50.0), USUAL)) == [40]
    assert entries(spoken(strategy, with_bar(candles, 38, low=49.99), USUAL)) == []


def test_an_entry_is_never_said_twice_for_one_set_up() -> None:
    longer = [*tape(), replace(tape()[-1], minute=41, volume=5000.0)]
    assert entries(spoken(load("vwap_reclaim"), longer, USUAL)) == [40]


def test_below_vwap_stands_on_every_close_below() -> None:
    said = spoken(load("vwap_reclaim"), tape(), USUAL)
    assert [minute for minute, kind, _ in said if kind == "exit"] == list(range(20, 40))


def test_levels_are_vwap_and_the_mean_of_closes() -> None:
    candles, day = random_session(7)
    outs, _ = fold(load("vwap_reclaim"), *records(candles, SESSION_MINUTES), day_record(day))
    average = candles[0].close
    for candle, line in zip(candles, vwaps(candles), strict=True):
        average += 0.2 * (candle.close - average)
        np.testing.assert_equal(float(outs["level1"][candle.minute]), line)
        assert math.isclose(float(outs["level2"][candle.minute]), average, rel_tol=1e-12)


def test_no_level_is_made_up_before_a_share_has_traded() -> None:
    silent = [replace(c, volume=0.0) for c in tape()]
    outs, faults = fold(load("vwap_reclaim"), *records(silent, SESSION_MINUTES), day_record(USUAL))
    assert not faults
    assert np.isnan(outs["level1"][:41]).all()
    assert not outs["entry"].any()


# ---- recorded sessions -------------------------------------------------------------------------------------------


def _rows(path: Path) -> list[list[str]]:
    with zipfile.ZipFile(path) as archive:
        return list(csv.reader(io.StringIO(archive.read(archive.namelist()[0]).decode())))


def recorded(folder: Path, symbol: str, day: str) -> list[Candle]:
    candles = []
    for ms, *prices, volume in _rows(folder / "equity/usa/minute" / symbol / f"{day}_trade.zip"):
        minute = (int(ms) - OPEN_MS) // 60_000
        if 0 <= minute < SESSION_MINUTES:
            o, h, low, c = (float(price) / 10_000 for price in prices)
            candles.append(Candle(minute=minute, open=o, high=h, low=low, close=c, volume=float(volume)))
    return candles


def usual_day(folder: Path, symbol: str, day: str) -> Day:
    volumes = [float(row[5]) for row in _rows(folder / "equity/usa/daily" / f"{symbol}.zip") if row[0][:8] < day][-20:]
    by_minute = np.zeros(SESSION_MINUTES)
    for earlier in ("20131004", "20131007", "20131008"):
        for candle in recorded(folder, symbol, earlier):
            by_minute[candle.minute] += candle.volume
    return Day(average_volume=sum(volumes) / len(volumes), shares=np.cumsum(by_minute) / by_minute.sum())


@pytest.fixture
def lean_data() -> Path:
    folder = os.environ.get("LEAN_DATA")
    if not folder:
        pytest.skip("LEAN_DATA is not set: no recorded sessions")
    return Path(folder)


def test_recorded_sessions_give_what_the_definition_says(lean_data: Path) -> None:
    quiet, usual, found = load("vwap_reclaim", "quiet"), load("vwap_reclaim"), 0
    for symbol in ("spy", "ibm", "bac", "aig"):
        candles, day = recorded(lean_data, symbol, "20131009"), usual_day(lean_data, symbol, "20131009")
        expected = reference(candles, day, quiet.parameters)
        assert spoken(quiet, candles, day) == expected
        assert entries(spoken(usual, candles, day)) == [], "with the defaults nothing triggers on a quiet day"
        found += len(entries(expected))
    assert 4 <= found <= 16
