"""What a strategy declares: parameters within bounds, an exit plan in the kernel's units, a step that can be cached."""

import math
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trading_platform import domain
from trading_platform.domain.compiled import UNCOMPILED, compiled, empty_records
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.records import day_t, out_t, step_bar_t
from trading_platform.domain.signals import ExitReason, TargetIn, TriggerOn
from trading_platform.strategies.contract import (
    ExitPlan,
    ScaleOut,
    Sizing,
    Strategy,
    parameter,
    record_type,
    to_record,
)
from trading_platform.strategies.loops import clear, loops
from trading_platform.strategies.registry import load
from trading_platform.strategies.scan import SessionFold, StepFault, fold, scan
from trading_platform.strategies.set_aside import GuardedFold, make_ready

OPENS = time(9, 30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    multiple: float = parameter(1.5, unit="times", low=0, high=10)
    bars: int = parameter(5, unit="bars", low=1, high=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    side: str = "long"


def plan(**values: Any) -> np.void:
    record = ExitPlan(**values).to_record(session_minutes=390, opens=OPENS, sizing=Sizing())
    return record[0]  # type: ignore[no-any-return]


def strategy(parameters: Any, step: Any) -> Strategy:
    return Strategy(
        name="probe",
        parameters=parameters,
        state_t=np.dtype([("bars", "i8")]),
        step=step,
        exit_plan=ExitPlan(),
        level1="none",
        level2="none",
    )


# ---- parameters --------------------------------------------------------------------------------------------------


def test_parameters_become_one_flat_record() -> None:
    record = to_record(Numbers(multiple=2, bars=7))
    assert record.shape == (1,)
    assert record.dtype == record_type(Numbers)
    assert (record["multiple"][0], record["bars"][0]) == (2.0, 7)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"multiple": 10.1}, "multiple is 10.1, outside [0, 10]"),
        ({"multiple": math.nan}, "multiple is nan, outside [0, 10]"),
        ({"bars": 0}, "bars is 0, outside [1, 60]"),
        ({"bars": 5.0}, "bars is 5.0, which is not a whole number"),
        ({"bars": True}, "bars is True, which is not a whole number"),
        ({"multiple": "2"}, "multiple is '2', which is not a number"),
    ],
)
def test_a_parameter_outside_its_bounds_is_refused_with_its_name(values: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        strategy(Numbers(**values), talks)
    assert says in str(refusal.value)
    assert "strategy probe" in str(refusal.value)


def test_a_parameter_that_compiled_code_cannot_read_is_refused() -> None:
    with pytest.raises(InvalidInput, match="side is declared as"):
        strategy(Words(), talks)


# ---- the exit plan -----------------------------------------------------------------------------------------------


def test_the_plan_of_vwap_reclaim_in_the_units_of_the_kernel() -> None:
    record = load("vwap_reclaim").plan_record(session_minutes=390, opens=OPENS)[0]
    legs = int(record["legs"])
    assert record["stop_on"] == TriggerOn.TOUCH
    assert list(record["leg_fraction"][:legs]) == [5_000, 5_000]
    assert list(record["leg_target"][:legs]) == [10_000, 20_000]
    assert record["target_in"] == TargetIn.R
    assert record["breakeven_after"] == 1
    assert record["exit_mask"] == ExitReason.BELOW_VWAP
    assert (record["time_stop"], record["time_stop_progress"]) == (60, 5_000)
    assert (record["attempts"], record["fixed_quantity"], record["risk"]) == (2, 0, 50)
    assert record["flat_from"] == 387


def test_percents_become_basis_points_and_shares_of_the_fill() -> None:
    record = plan(
        stop_on=TriggerOn.CLOSE,
        stop_percent=2.5,
        scale_outs=(ScaleOut(fraction=0.25, target=4),),
        target_in=TargetIn.PERCENT,
    )
    assert (record["stop_percent"], record["leg_fraction"][0], record["leg_target"][0]) == (250, 2_500, 400)
    assert record["breakeven_after"] == -1


@pytest.mark.parametrize(
    ("flat_by", "minutes", "first"),
    [
        (time(11, 0), 390, 88),  # bar 10:58, whose order fills at the open of 10:59
        (1, 390, 387),  # bar 15:57: the last bar but one stays for a remainder
        (1, 210, 207),  # a half day
        (10, 390, 378),
        (time(15, 0), 210, 207),  # a clock time after a half day's close
        (time(16, 0), 390, 387),
        (time(9, 33), 390, 1),
    ],
)
def test_flat_times_become_the_minute_that_decides(flat_by: time | int, minutes: int, first: int) -> None:
    assert ExitPlan(flat_by=flat_by).flat_from(session_minutes=minutes, opens=OPENS) == first


def test_a_flat_time_that_leaves_nothing_to_trade_is_refused() -> None:
    with pytest.raises(InvalidInput, match="leaves no time to trade"):
        ExitPlan(flat_by=time(9, 32)).flat_from(session_minutes=390, opens=OPENS)


HALF, REST = ScaleOut(fraction=0.5, target=1), ScaleOut(fraction=0.5, target=2)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"stop_percent": 51.0, "stop_on": TriggerOn.CLOSE}, "stop_percent is 51.0, outside [0, 50]"),
        ({"stop_percent": 2.0}, "stop_percent is 2.0 with stop_on touch"),
        ({"stop_percent": 0.001, "stop_on": TriggerOn.CLOSE}, "stop_percent has too many decimals"),
        ({"stop_on": 1}, "stop_on is 1"),
        ({"exit_reasons": 1}, "exit_reasons is 1"),
        ({"target_on": TriggerOn.TOUCH, "stop_on": TriggerOn.CLOSE}, "target_on is touch with stop_on close"),
        ({"scale_outs": (HALF,) * 5}, "scale_outs has 5 legs"),
        ({"scale_outs": (ScaleOut(fraction=0.6, target=1), REST)}, "sum to more than 1"),
        ({"scale_outs": (REST, HALF)}, "do not rise"),
        ({"scale_outs": (ScaleOut(fraction=1 / 3, target=1),)}, "fraction has too many decimals"),
        ({"breakeven_after": 2, "scale_outs": (HALF,)}, "breakeven_after is 2, outside [0, 1]"),
        ({"trail_after": 1}, "trail_after is 1, outside [0, 0]"),
        ({"trail_level": 3}, "trail_level is 3, outside [0, 2]"),
        ({"time_stop": 391}, "time_stop is 391, outside [0, 390]"),
        ({"time_stop_progress": -0.5}, "time_stop_progress is -0.5, outside [0, 100]"),
        ({"flat_by": 381}, "flat_by is 381, outside [0, 380]"),
        ({"flat_by": True}, "flat_by is True"),
        ({"flat_by": time(11, 0, 30)}, "flat_by is 11:00:30"),
        ({"flat_by": time(11, 0, tzinfo=UTC)}, "flat_by is 11:00:00"),
        ({"attempts": -1}, "attempts is -1, outside [0, 100]"),
    ],
)
def test_a_plan_that_cannot_be_run_is_refused_with_the_field(values: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        ExitPlan(**values)
    assert says in str(refusal.value)


@pytest.mark.parametrize("fraction", [0.0, 1.5])
def test_a_leg_outside_its_bounds_is_refused(fraction: float) -> None:
    with pytest.raises(InvalidInput, match="fraction is"):
        ScaleOut(fraction=fraction, target=1)


def test_sizing_is_by_risk_or_fixed() -> None:
    fixed = ExitPlan().to_record(session_minutes=390, opens=OPENS, sizing=Sizing(risk_percent=1, fixed_quantity=10))[0]
    assert (fixed["risk"], fixed["fixed_quantity"]) == (100, 10)
    with pytest.raises(InvalidInput, match="risk_percent has too many decimals"):
        Sizing(risk_percent=0.333)


# ---- running a step ----------------------------------------------------------------------------------------------


@compiled
def talks(state: Any, bar: Any, day: Any, params: Any, out: Any) -> None:
    """Says what its bar says: the close is the stop, the high a limit, the low a level, the volume a fault."""
    state.bars += 1
    out.entry = 1
    out.exit = 2
    out.valid_bars = state.bars
    out.setup = int(params.bars)
    out.invalidates = 1
    out.limit = bar.high
    out.stop = bar.close
    out.level1 = bar.low
    out.level2 = day.gap
    out.fault = int(bar.volume)
    if bar.open < 0.0:
        out.entry = 0


TALKS = strategy(Numbers(), talks)


def session(symbols: int, minutes: int) -> tuple[Any, Any, Any]:
    bars = empty_records((symbols, minutes), step_bar_t)
    bars["minute"] = np.arange(minutes)
    for price in ("open", "high", "low", "close"):
        bars[price] = 10.0
    return bars, np.ones((symbols, minutes), np.bool_), empty_records(symbols, day_t)


@pytest.mark.parametrize(
    ("field", "value", "what"),
    [
        ("volume", 7, "the step gave up with number 7"),
        ("close", math.nan, "the stop is not a price"),
        ("close", math.inf, "the stop is not a price"),
        ("close", -1.0, "the stop is not a price"),
        ("close", 1e15, "the stop is not a price"),
        ("high", math.nan, "the limit is not a price"),
        ("low", math.nan, "a level is not a price"),
        ("low", math.inf, "a level is not a price"),
    ],
)
def test_a_step_that_fails_is_set_aside_for_that_symbol_only(field: str, value: float, what: str) -> None:
    bars, present, days = session(3, 6)
    bars[field][1, 2] = value
    expected = (StepFault(symbol=1, minute=2, what=what),)

    scanned = scan(TALKS, bars, present, days)
    assert scanned.faults == expected
    assert [int((scanned.symbols == symbol).sum()) for symbol in range(3)] == [6, 2, 6]
    assert list(scanned.minutes[scanned.symbols == 1]) == [0, 1]

    stepped = SessionFold(TALKS, days)
    for minute in range(6):
        outs = stepped.step(bars[:, minute].copy(), present[:, minute].copy())
        quiet = minute >= 2
        assert [bool(entry) for entry in outs["entry"]] == [True, not quiet, True]
        assert (outs[1].tobytes() == bytes(out_t.itemsize)) is quiet
    assert stepped.faults == expected


def test_a_level_may_be_undefined_only_while_nothing_is_entered() -> None:
    bars, present, days = session(1, 3)
    bars["open"], bars["low"] = -1.0, math.nan
    outs, faults = fold(TALKS, bars[0], present[0], days)
    assert not faults
    assert np.isnan(outs["level1"]).all()
    bars["low"] = math.inf
    assert fold(TALKS, bars[0], present[0], days)[1]


def test_nothing_of_the_bar_before_is_left_in_an_output() -> None:
    out = empty_records(1, out_t)
    for name in out_t.names or ():
        out[name] = 9
    clear(out[0])
    assert out.tobytes() == bytes(out_t.itemsize)


def test_a_minute_without_a_bar_calls_no_step_and_says_nothing() -> None:
    bars, present, days = session(1, 4)
    present[0, 1] = False
    bars[0, 1] = (0, 0, 0, 0, 0, 0, 0)
    outs, _ = fold(TALKS, bars[0], present[0], days)
    assert list(outs["valid_bars"]) == [1, 0, 2, 3]
    assert outs[1].tobytes() == bytes(out_t.itemsize)


def test_bars_out_of_place_are_refused() -> None:
    bars, present, days = session(2, 4)
    running = SessionFold(TALKS, days)
    running.catch_up(bars[:, :2], present[:, :2])
    assert running.minute == 2
    with pytest.raises(InvalidInput, match="a bar of minute 1 stands where minute 2 is next"):
        running.step(bars[:, 1], present[:, 1])
    running.step(bars[:, 2], present[:, 2])
    shuffled = bars[:, ::-1]
    with pytest.raises(InvalidInput, match="a bar of minute 3 stands where minute 0 is next"):
        running.catch_up(shuffled, present)
    with pytest.raises(InvalidInput, match="bar of minute 3 stands"):
        fold(TALKS, shuffled[0], present[0], days[:1])


def test_what_would_read_past_a_record_is_refused() -> None:
    bars, present, days = session(1, 391)
    with pytest.raises(InvalidInput, match="391 minutes in one session"):
        fold(TALKS, bars[0], present[0], days)
    running = SessionFold(TALKS, days)
    running.catch_up(bars[:, :390], present[:, :390])
    with pytest.raises(InvalidInput, match="391 minutes in one session"):
        running.step(bars[:, 390], present[:, 390])
    with pytest.raises(InvalidInput, match="day records"):
        scan(TALKS, bars[:, :2], present[:, :2], empty_records(2, day_t))
    with pytest.raises(InvalidInput, match="present bars"):
        fold(TALKS, bars[0, :2], present[0, :1], days)
    with pytest.raises(InvalidInput, match="bars"):
        fold(TALKS, np.zeros(2), present[0, :2], days)


def test_bars_in_any_layout_run_the_one_compiled_loop() -> None:
    bars, present, days = session(2, 6)
    bars["minute"] //= 2
    halves = bars[0, ::2], present[0, ::2]
    assert fold(TALKS, *halves, days[::2])[0]["valid_bars"].tolist() == [1, 2, 3]
    for array in (bars, present, days):
        array.flags.writeable = False
    assert fold(TALKS, *halves, days[:1])[0]["valid_bars"].tolist() == [1, 2, 3]
    if not UNCOMPILED:
        assert len(loops(talks).fold.signatures) == 1  # type: ignore[attr-defined]


def test_catching_up_again_begins_anew() -> None:
    bars, present, days = session(2, 6)
    bars["close"][1, 1] = math.nan
    running = SessionFold(TALKS, days)
    running.catch_up(bars[:, :3], present[:, :3])
    assert running.faults
    bars["close"][1, 1] = 10.0
    assert running.catch_up(bars[:, :4], present[:, :4])["valid_bars"].tolist() == [4, 4]
    assert (running.minute, running.faults) == (4, ())
    assert running.catch_up(bars[:, :0], present[:, :0])["entry"].tolist() == [0, 0]


def test_a_step_inside_another_function_is_refused() -> None:
    @compiled
    def inner(state: Any, bar: Any, day: Any, params: Any, out: Any) -> None:
        """Has no name of its own."""

    with pytest.raises(InvalidInput, match="not a function of its own"):
        loops(inner)


# ---- set aside whole ---------------------------------------------------------------------------------------------


@compiled
def raises(state: Any, bar: Any, day: Any, params: Any, out: Any) -> None:  # noqa: ARG001 (a step takes these)
    state.bars += 1
    out.entry = 1
    out.stop = bar.close / 2.0
    if bar.volume > 0.0:
        raise ValueError("volume")


def test_a_strategy_that_raises_says_nothing_from_then_on_and_stays_set_aside() -> None:
    bars, present, days = session(2, 6)
    bars["volume"][1, 3] = 100.0
    guarded = GuardedFold(strategy(Numbers(), raises), days)
    for minute in range(3):
        outs = guarded.take(bars[:, : minute + 1], present[:, : minute + 1], next_only=minute > 0)
        assert outs["entry"].tolist() == [1, 1]
    assert guarded.broken is None
    assert not guarded.take(bars[:, :4], present[:, :4], next_only=True).view(np.ndarray).tobytes().strip(b"\0")
    assert guarded.broken is not None
    assert "the step raised ValueError: volume" in guarded.broken
    assert "test_strategy_contract.py" in guarded.broken
    # Even where the bars do not make it raise any more: its state cannot be made again.
    bars["volume"] = 0.0
    assert guarded.take(bars[:, :4], present[:, :4], next_only=False)["entry"].tolist() == [0, 0]


def test_the_guarded_fold_takes_the_next_minute_or_all_of_them_to_the_same_bits() -> None:
    bars, present, days = session(2, 6)
    guarded, anew = GuardedFold(TALKS, days), GuardedFold(TALKS, days)
    for minute in range(6):
        step_by_step = guarded.take(bars[:, : minute + 1], present[:, : minute + 1], next_only=True)
        whole = anew.take(bars[:, : minute + 1], present[:, : minute + 1], next_only=False)
        assert step_by_step.tobytes() == whole.tobytes()
        assert step_by_step["valid_bars"].tolist() == [minute + 1] * 2


def test_what_is_made_ready_compiles() -> None:
    make_ready(TALKS)
    make_ready(strategy(Numbers(), raises))


# ---- the compiler's cache ----------------------------------------------------------------------------------------

USERS_STRATEGY = """
from dataclasses import dataclass
import numpy as np
from trading_platform.domain.compiled import compiled
from trading_platform.strategies.contract import ExitPlan, Strategy, parameter

@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    bars: int = parameter(1, unit="bars", low=1, high=9)

@compiled
def step(state, bar, day, params, out):
    state.bars += 1
    out.level1 = ANSWER

STRATEGY = Strategy(
    name="mine", parameters=Parameters(), state_t=np.dtype([("bars", "i8")]), step=step,
    exit_plan=ExitPlan(), level1="answer", level2="none",
)
"""

RUN = """
import numpy as np
import mine
from trading_platform.domain.compiled import empty_records
from trading_platform.domain.records import day_t, step_bar_t
from trading_platform.strategies.loops import loops
from trading_platform.strategies.scan import SessionFold, fold
bars, present, days = empty_records(1, step_bar_t), np.ones(1, np.bool_), empty_records(1, day_t)
outs, _ = fold(mine.STRATEGY, bars, present, days)
SessionFold(mine.STRATEGY, days).step(bars, present)
made = loops(mine.step)
print(outs["level1"][0], *(sum(loop.stats.cache_misses.values()) for loop in (made.fold, made.each)))
"""


def test_a_new_process_takes_the_machine_code_from_the_cache_and_a_changed_strategy_makes_its_own(
    tmp_path: Path,
) -> None:
    # A copy, because the cache is named by the package's sources, which may be edited while this runs.
    for room in ("domain", "strategies"):
        shutil.copytree(Path(domain.__path__[0]).parent / room, tmp_path / "trading_platform" / room)
    environment = {
        **os.environ,
        "NUMBA_DISABLE_JIT": "0",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "PYTHONPATH": str(tmp_path),
    }

    def run() -> list[str]:
        command = [sys.executable, "-B", "-c", RUN]
        told = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, cwd=tmp_path)
        return told.stdout.split()

    strategy_file = tmp_path / "mine.py"
    strategy_file.write_text(USERS_STRATEGY.replace("ANSWER", "1.0"))
    assert run() == ["1.0", "1", "1"]
    assert run() == ["1.0", "0", "0"]
    strategy_file.write_text(USERS_STRATEGY.replace("ANSWER", "12.0"))
    assert run() == ["12.0", "1", "1"]
