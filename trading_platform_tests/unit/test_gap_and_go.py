"""gap_and_go, one bar at a time against each of its conditions, and against a second reading of its definition.

The tape, worked out by hand (prior close 10.00, gap 5 %, pre-market 10.20 to 10.60, last 10.50):

    minute  open   high   low    close  volume
         0  10.50  10.60  10.40  10.55   10000
         1  10.55  10.62  10.50  10.58   10000
         2  10.58  10.65  10.52  10.60   10000    first five minutes: high 10.65, low 10.40
         3  10.60  10.63  10.50  10.54   10000
         4  10.54  10.60  10.45  10.58   10000
         5  10.58  10.72  10.58  10.70   15000    closes above 10.60 and 10.65 on 1.5 x the mean: the entry, stop 10.40

By minute 5 are done 65,000 shares; usual are 1,000,000 / 64 = 15,625: relative volume 4.16.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from trading_platform.domain.compiled import empty_records
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.records import SESSION_MINUTES, day_t, out_t, step_bar_t
from trading_platform.domain.signals import ExitReason
from trading_platform.strategies.check import check_strategy
from trading_platform.strategies.contract import Strategy
from trading_platform.strategies.registry import load
from trading_platform.strategies.scan import SessionFold, fold, scan

TAPE: Final = """
0  10.50  10.60  10.40  10.55  10000
1  10.55  10.62  10.50  10.58  10000
2  10.58  10.65  10.52  10.60  10000
3  10.60  10.63  10.50  10.54  10000
4  10.54  10.60  10.45  10.58  10000
5  10.58  10.72  10.58  10.70  15000
"""
DAY: Final = {
    "prior_close": 10.0,
    "gap": 0.05,
    "premarket_high": 10.6,
    "premarket_low": 10.2,
    "premarket_last": 10.5,
    "premarket_volume": 60_000.0,
    "average_daily_volume": 1_000_000.0,
    "volume_share": 1.0 / 64.0,
    "atr": 0.3,
}
BELOW_VWAP, INVALIDATED = int(ExitReason.BELOW_VWAP), int(ExitReason.INVALIDATED)
NAMES: Final = ("open", "high", "low", "close", "volume")

Bars = dict[int, tuple[float, ...]]
"""Open, high, low, close, volume by minute."""


def bars_of(text: str) -> Bars:
    rows = [line.split() for line in text.splitlines() if line.strip()]
    return {int(minute): tuple(float(cell) for cell in cells) for minute, *cells in rows}


def tape(*more: str, without: Sequence[int] = (), **changes: Any) -> Bars:
    """The tape, with bars added or put in place of others; `m5={"close": 10.6}` changes bar 5."""
    bars = bars_of(TAPE) | bars_of("\n".join(more))
    for minute, values in ((int(name[1:]), values) for name, values in changes.items()):
        named = dict(zip(NAMES, bars[minute], strict=True)) | values
        bars[minute] = tuple(named[name] for name in NAMES)
    return {minute: bar for minute, bar in bars.items() if minute not in without}


def records(bars: Bars, day: dict[str, Any]) -> tuple[Any, Any, Any]:
    steps, present = empty_records(SESSION_MINUTES, step_bar_t), np.zeros(SESSION_MINUTES, np.bool_)
    for minute, bar in bars.items():
        steps[minute] = (minute, SESSION_MINUTES - 1 - minute, *bar)
        present[minute] = True
    record = empty_records(1, day_t)
    for name, value in day.items():
        record[name] = value
    return steps, present, record


def outs_of(bars: Bars, strategy: Strategy | None = None, **day: Any) -> Any:
    outs, faults = fold(strategy or load("gap_and_go"), *records(bars, DAY | day))
    assert not faults
    return outs


def entries(bars: Bars, strategy: Strategy | None = None, **day: Any) -> list[tuple[int, float, int]]:
    """Minute, stop and set-up of each entry."""
    outs = outs_of(bars, strategy, **day)
    found = np.flatnonzero(outs["entry"])
    assert {(int(out["valid_bars"]), float(out["limit"])) for out in outs[found]} <= {(1, 0.0)}
    return [(int(at), float(outs[at]["stop"]), int(outs[at]["setup"])) for at in found]


def exits(bars: Bars, **day: Any) -> dict[int, int]:
    outs = outs_of(bars, **day)
    return {int(at): int(outs[at]["exit"]) for at in np.flatnonzero(outs["exit"])}


ENTRY: Final = [(5, 10.4, 1)]


# ---- the entry ---------------------------------------------------------------------------------------------------


def test_the_tape_is_entered_on_the_bar_that_breaks_both_highs() -> None:
    assert entries(tape()) == ENTRY


@pytest.mark.parametrize(
    ("inside", "outside"),
    [
        ({"gap": 0.04}, {"gap": 0.0399}),
        ({"gap": 10.4 / 10.0 - 1}, {"gap": 10.39 / 10.0 - 1}),
        ({"gap": 0.50}, {"gap": 0.5001}),
        ({"premarket_volume": 50_000.0}, {"premarket_volume": 49_999.0}),
        ({"premarket_last": 10.48}, {"premarket_last": 10.47}),  # 10.60 - 30 % of 0.40
        ({"average_daily_volume": 500_001.0}, {"average_daily_volume": 500_000.0}),
        # 65,000 shares are twice what is usual where that is 32,500, a 64th of 2,080,000.
        ({"average_daily_volume": 2_080_000.0}, {"average_daily_volume": 2_080_064.0}),
        ({"premarket_high": 10.69, "premarket_last": 10.6}, {"premarket_high": 10.7, "premarket_last": 10.6}),
    ],
)
def test_each_bound_of_the_day_holds_from_both_sides(inside: dict[str, Any], outside: dict[str, Any]) -> None:
    assert entries(tape(), **inside) == ENTRY
    assert entries(tape(), **outside) == []


def test_the_price_that_counts_is_the_first_of_the_session() -> None:
    for low, high, found in ((10.5, 100.0, ENTRY), (10.51, 100.0, []), (2.0, 10.5, ENTRY), (2.0, 10.49, [])):
        bounded = load("gap_and_go", overrides={"price_from": low, "price_to": high})
        assert entries(tape(), bounded) == found
    prices = ("prior_close", "premarket_high", "premarket_low", "premarket_last")
    for factor, minutes in ((5.25, [5]), (5.26, [])):  # opens at 2.00, and at 1.996
        bars = {minute: (*(price / factor for price in bar[:4]), bar[4]) for minute, bar in tape().items()}
        at: dict[str, Any] = {name: DAY[name] / factor for name in prices}
        assert [minute for minute, _, _ in entries(bars, **at)] == minutes


@pytest.mark.parametrize("name", [name for name in DAY if name not in ("prior_close", "atr")])
def test_what_is_not_known_makes_no_entry(name: str) -> None:
    unknown: dict[str, Any] = {name: math.nan}
    assert entries(tape(), **unknown) == []


def test_a_gap_without_its_first_bar_makes_no_entry() -> None:
    four = load("gap_and_go", overrides={"volume_bars": 4})
    low_elsewhere = {"m1": {"low": 10.4}}
    assert entries(tape(without=[0], **low_elsewhere), four) == []
    assert entries(tape(without=[1]), four) == ENTRY


@pytest.mark.parametrize(
    ("inside", "outside"),
    [
        ({"m5": {"volume": 15_000.0}}, {"m5": {"volume": 14_999.0}}),
        ({"m5": {"close": 10.66}}, {"m5": {"close": 10.65}}),  # the high of the first five minutes
        ({"m4": {"high": 10.69}}, {"m4": {"high": 10.70}}),
        ({"m5": {"low": 10.58}, "m2": {"volume": 10_000.0}}, {"m2": {"volume": 10_001.0}}),  # the mean before
    ],
)
def test_each_bound_of_the_bar_holds_from_both_sides(inside: dict[str, Any], outside: dict[str, Any]) -> None:
    assert entries(tape(**inside)) == ENTRY
    assert entries(tape(**outside)) == []


def test_the_close_must_be_above_vwap() -> None:
    # Typical price (11.60 + 10.58 + 10.70) / 3 = 10.96; VWAP (52.77 x 10,000 + 10.96 x 15,000) / 65,000 = 10.648.
    heavy: dict[str, Any] = {"m5": {"high": 11.6}}
    assert entries(tape(**heavy)) == ENTRY
    heavy["m5"] = {"high": 13.0}  # typical price 11.4267: VWAP 10.756, above the close
    assert entries(tape(**heavy)) == []


def quiet_until(last: int) -> list[str]:
    return [f"{minute} 10.58 10.60 10.56 10.58 10000" for minute in range(5, last + 1)]


def test_the_window_ends_with_the_bar_of_10_29() -> None:
    for minute, found in ((59, [(59, 10.4, 1)]), (60, [])):
        bars = tape(*quiet_until(minute - 1), f"{minute} 10.58 10.72 10.58 10.70 15000")
        assert entries(bars) == found


def test_the_window_begins_at_9_35_and_never_within_the_first_minutes() -> None:
    assert entries(tape(), load("gap_and_go", overrides={"entry_from": 6})) == []
    # With an opening range of 6 minutes bar 5 belongs to it, and cannot break it.
    assert entries(tape(), load("gap_and_go", overrides={"opening_minutes": 6})) == []
    early = load("gap_and_go", overrides={"entry_from": 0, "opening_minutes": 3, "volume_bars": 2})
    burst = tape(m3={"close": 10.67, "high": 10.67, "volume": 40_000.0})
    assert entries(burst, early)[0] == (3, 10.4, 1)
    assert entries(burst, early.with_values({"opening_minutes": 4}))[:1] != [(3, 10.4, 1)]


def test_the_volume_mean_needs_all_its_bars() -> None:
    # A minute without a bar is in no mean: with four bars before it there is none, one bar later there is.
    assert entries(tape(without=[3])) == []
    later = tape("6 10.70 10.80 10.70 10.78 20000", without=[3])
    assert entries(later) == [(6, 10.4, 1)]


def test_a_bar_without_volume_makes_no_entry() -> None:
    strategy = load("gap_and_go", overrides={"volume_multiple": 0.0})
    assert entries(tape(m5={"volume": 1.0}), strategy) == ENTRY
    assert entries(tape(m5={"volume": 0.0}), strategy) == []


def test_the_stop_may_be_just_as_far_as_is_allowed() -> None:
    # 5 % under 10.80 is 10.26.
    at = {"close": 10.8, "high": 10.8}
    assert entries(tape(m1={"low": 10.26}, m5=at)) == [(5, 10.26, 1)]
    assert entries(tape(m1={"low": 10.25}, m5=at)) == []


# ---- the edge ----------------------------------------------------------------------------------------------------


def test_one_break_is_said_once_and_again_when_its_conditions_come_together_again() -> None:
    rise = ("6 10.70 10.80 10.70 10.78 40000", "7 10.78 10.80 10.76 10.78 1000", "8 10.78 10.90 10.78 10.88 60000")
    # Bar 6 meets every condition, as bar 5 did; bar 7 has no volume; bar 8 meets all of them again.
    assert entries(tape(*rise)) == [(5, 10.4, 1), (8, 10.4, 2)]


def test_a_break_on_thin_volume_is_said_once_the_volume_is_there() -> None:
    assert entries(tape("6 10.70 10.80 10.70 10.78 20000", m5={"volume": 9_000.0})) == [(6, 10.4, 1)]


# ---- reasons against holding -------------------------------------------------------------------------------------


def after(*closes: float) -> Bars:
    return tape(*(f"{6 + n} {close} {close} {close} {close} 100" for n, close in enumerate(closes)))


@pytest.mark.parametrize(
    ("closes", "invalid_from"),
    [
        ((10.59, 10.65, 10.65), 6),
        ((10.60, 10.59, 10.65), 7),
        ((10.60, 10.60, 10.59), None),  # the third bar is not one of the next two
        ((10.60, 10.60, 10.60), None),  # a close at the pre-market high is not below it
    ],
)
def test_a_close_below_the_premarket_high_on_the_next_two_bars_invalidates(
    closes: tuple[float, ...], invalid_from: int | None
) -> None:
    outs = outs_of(after(*closes))
    said = {minute: bool(outs[minute]["exit"] & INVALIDATED) for minute in range(5, 9)}
    assert said == {minute: invalid_from is not None and minute >= invalid_from for minute in range(5, 9)}
    assert {int(out["invalidates"]) for out in outs if out["exit"] & INVALIDATED} <= {1}


def test_the_next_two_bars_are_those_that_come() -> None:
    bars = tape("6 10.65 10.65 10.65 10.65 100", "9 10.59 10.59 10.59 10.59 100")
    assert exits(bars)[9] & INVALIDATED
    assert not outs_of(bars)["exit"][7:9].any()


def test_an_invalid_set_up_is_named_until_the_next_entry_and_names_no_other() -> None:
    again = ("6 10.58 10.60 10.55 10.58 9000", "7 10.58 10.75 10.58 10.73 40000", "8 10.73 10.73 10.55 10.56 9000")
    outs = outs_of(tape(*again))
    assert [(int(at), int(outs[at]["setup"])) for at in np.flatnonzero(outs["entry"])] == [(5, 1), (7, 2)]
    named = {minute: int(outs[minute]["invalidates"]) for minute in (5, 6, 7, 8)}
    assert named == {5: 0, 6: 1, 7: 0, 8: 2}


def test_below_vwap_stands_on_every_close_below() -> None:
    # Bar 3 closes at 10.54 under a VWAP of 10.56; later VWAP stays near 10.6, because those bars hardly trade.
    assert exits(after(10.65, 10.65, 10.5, 10.5, 10.65, 10.5)) == dict.fromkeys((3, 8, 9, 11), BELOW_VWAP)
    # A quiet symbol that is not in play says it too: a holding may come from another day's filter.
    assert 8 in exits(after(10.65, 10.65, 10.5), gap=math.nan)


def test_levels_are_vwap_and_the_mean_of_closes() -> None:
    outs = outs_of(tape())
    # Typical prices 10.516667 and 10.566667, on equal volumes.
    assert outs["level1"][:2].tolist() == pytest.approx([31.55 / 3, (31.55 + 31.7) / 6], rel=1e-12)
    # 10.55; + 0.2 x 0.03; + 0.2 x (10.60 - 10.556)
    assert outs["level2"][:3].tolist() == pytest.approx([10.55, 10.556, 10.5648], rel=1e-12)
    slower = outs_of(tape(), load("gap_and_go", overrides={"ema_bars": 19}))
    assert slower["level2"][1] == pytest.approx(10.553, rel=1e-12)


def test_no_level_is_made_up_before_a_share_has_traded() -> None:
    outs = outs_of({minute: (*bar[:4], 0.0) for minute, bar in tape().items()})
    assert np.isnan(outs["level1"][:6]).all()
    assert not outs["entry"].any()
    assert not outs["exit"].any()


# ---- the plan, parameters, state ---------------------------------------------------------------------------------


def test_the_plan_is_that_of_the_definition() -> None:
    from datetime import time

    record = load("gap_and_go").plan_record(session_minutes=390, opens=time(9, 30))[0]
    assert (int(record["legs"]), int(record["leg_fraction"][0]), int(record["leg_target"][0])) == (1, 5_000, 20_000)
    assert (record["breakeven_after"], record["trail_level"], record["trail_after"]) == (1, 2, 1)
    assert record["exit_mask"] == BELOW_VWAP | INVALIDATED
    assert (record["flat_from"], record["attempts"]) == (88, 2)  # bar 10:58
    half_day = load("gap_and_go").plan_record(session_minutes=210, opens=time(9, 30))[0]
    assert half_day["flat_from"] == 88


@pytest.mark.parametrize(
    ("low", "high"), [("gap_from", "gap_to"), ("price_from", "price_to"), ("entry_from", "entry_until")]
)
def test_bounds_that_contradict_each_other_are_both_named(low: str, high: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        load("gap_and_go", overrides={low: 90, high: 60})
    assert f"{low} is 90 and {high} is 60" in str(refusal.value)


def test_the_strategy_passes_its_own_trial_with_every_profile() -> None:
    for profile in (None, "quiet"):
        assert check_strategy(load("gap_and_go", profile)) == ()


def test_a_process_that_starts_in_mid_session_is_where_it_would_have_been() -> None:
    bars = tape("6 10.58 10.60 10.55 10.58 9000", "7 10.58 10.75 10.58 10.73 40000", "8 10.73 10.73 10.5 10.5 9000")
    steps, present, day = records(bars, DAY)
    whole, _ = fold(load("gap_and_go"), steps, present, day)
    for start in range(1, 9):
        begun = SessionFold(load("gap_and_go"), day)
        assert (
            begun.catch_up(steps[np.newaxis, :start], present[np.newaxis, :start])[0].tobytes()
            == whole[start - 1].tobytes()
        )
        for minute in range(start, 10):
            out = begun.step(steps[minute : minute + 1].copy(), present[minute : minute + 1].copy())
            assert out[0].tobytes() == whole[minute].tobytes()
    assert whole.dtype == out_t


# ---- a second reading, on random sessions ------------------------------------------------------------------------


@dataclass(slots=True)
class Reader:
    """The definition again, on lists of whole bars; shares nothing with the step but the words."""

    p: Any
    day: dict[str, Any]
    rows: list[tuple[int, float, float, float, float, float]] = field(default_factory=list)
    said: list[tuple[int, str, float]] = field(default_factory=list)
    met_before: bool = False
    last_entry: int | None = None
    is_invalid: bool = False

    def take(self, row: tuple[int, float, float, float, float, float]) -> None:
        self.rows.append(row)
        minute, _, _, _, close, _ = row
        if self.last_entry is not None:
            since = len(self.rows) - 1 - self.last_entry
            self.is_invalid |= 1 <= since <= self.p.trial_bars and close < self.day["premarket_high"]
        met = all(self.conditions())
        if met and not self.met_before:
            opening = [r for r in self.rows if r[0] < self.p.opening_minutes]
            self.said.append((minute, "entry", min(r[3] for r in opening)))
            self.last_entry, self.is_invalid = len(self.rows) - 1, False
        self.met_before = met
        if close < self.vwap():
            self.said.append((minute, "below", 0.0))
        if self.is_invalid:
            self.said.append((minute, "invalid", 0.0))

    def vwap(self) -> float:
        volume = sum(r[5] for r in self.rows)
        turnover = 0.0
        for r in self.rows:
            turnover += (r[2] + r[3] + r[4]) / 3.0 * r[5]
        return turnover / volume if volume else math.nan

    def conditions(self) -> list[bool]:
        p, day, (minute, _, _, _, close, volume) = self.p, self.day, self.rows[-1]
        first = [r[1] for r in self.rows if r[0] == 0]
        opening = [r for r in self.rows if r[0] < p.opening_minutes]
        before = [r[5] for r in self.rows[:-1]][-p.volume_bars :]
        usual = day["average_daily_volume"] * day["volume_share"]
        return [
            p.gap_from / 100 <= day["gap"] <= p.gap_to / 100,
            bool(first) and p.price_from <= first[0] <= p.price_to,
            day["premarket_volume"] >= p.premarket_volume and day["average_daily_volume"] > p.daily_volume,
            p.entry_from <= minute < p.entry_until and minute >= p.opening_minutes,
            bool(opening) and close > max([day["premarket_high"], *(r[2] for r in opening)]),
            close > self.vwap(),
            sum(r[5] for r in self.rows) / usual >= p.relative_volume,
            len(before) == p.volume_bars and volume > 0 and volume >= p.volume_multiple * sum(before) / p.volume_bars,
            bool(opening) and min(r[3] for r in opening) >= close * (1 - p.stop_percent / 100),
        ]


def random_rows(seed: int) -> list[tuple[int, float, float, float, float, float]]:
    rng, close, rows = np.random.default_rng(seed), 10.5, []
    for minute in range(120):
        opened = close
        close = round(opened + 0.02 * float(rng.integers(-3, 5 if minute < 40 else 3)), 2)
        high, low = round(max(opened, close) + 0.02, 2), round(min(opened, close) - 0.02, 2)
        if rng.random() > 0.05:
            volume = 0.0 if rng.random() < 0.03 else float(rng.integers(1, 5000))
            rows.append((minute, opened, high, low, close, volume))
    return rows


def test_random_sessions_give_what_the_definition_says() -> None:
    strategy = load("gap_and_go", overrides={"relative_volume": 0.5, "volume_multiple": 1.1, "stop_percent": 8.0})
    found, invalid = 0, 0
    for seed in range(60):
        rows, day = random_rows(seed), DAY | {"average_daily_volume": 600_000.0}
        reader = Reader(strategy.parameters, day)
        for row in rows:
            reader.take(row)
        outs = outs_of({row[0]: row[1:] for row in rows}, strategy, **day)
        said = list[tuple[int, str, float]]()
        for minute, out in enumerate(outs):
            said += [(minute, "entry", float(out["stop"]))] if out["entry"] else []
            said += [(minute, "below", 0.0)] if out["exit"] & BELOW_VWAP else []
            said += [(minute, "invalid", 0.0)] if out["exit"] & INVALIDATED else []
        assert said == reader.said, seed
        found += sum(what == "entry" for _, what, _ in said)
        invalid += any(what == "invalid" for _, what, _ in said)
    assert found > 60, "the sessions would show nothing without entries"
    assert invalid >= 5


# ---- recorded sessions -------------------------------------------------------------------------------------------


def recorded_entries(folder: Path, day: date, symbols: Sequence[str], strategy: Strategy) -> dict[str, int]:
    """How many entries each symbol has."""
    from trading_platform.calendars.exchange import ExchangeCalendar
    from trading_platform.marketdata.bars import step_bars
    from trading_platform.marketdata.fetch import fetch_bars, open_session
    from trading_platform.marketdata.providers.lean_files import LeanFiles

    calendar, files = ExchangeCalendar(), LeanFiles(folder)
    session = calendar.session(day)
    days, _ = open_session(files, calendar, symbols, session)
    bars, _ = fetch_bars(files, symbols, session, session.close)
    found = scan(strategy, step_bars(session, bars.bars), bars.bars["time"] != 0, days)
    assert not found.faults
    return {symbol: int((found.outs["entry"][found.symbols == row] != 0).sum()) for row, symbol in enumerate(symbols)}


def test_a_quiet_day_is_traded_with_the_profile_and_not_without(lean_data: Path) -> None:
    symbols = ("SPY", "IBM", "BAC", "AIG")
    gapped, calm = date(2013, 10, 10), date(2013, 10, 9)
    assert all(recorded_entries(lean_data, gapped, symbols, load("gap_and_go", "quiet")).values())
    assert not any(recorded_entries(lean_data, gapped, symbols, load("gap_and_go")).values())
    assert not any(recorded_entries(lean_data, calm, symbols, load("gap_and_go", "quiet")).values())
