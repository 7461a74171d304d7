"""Columns are scanned in the fast form, bad columns are refused in a sentence, and a step can't harm what it is lent."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trading_platform.domain.compiled import UNCOMPILED, empty_records
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.records import SESSION_MINUTES, day_t, step_bar_t
from trading_platform.strategies import column_loop, column_scan, vwap_reclaim
from trading_platform.strategies.column_loop import held_in_registers, in_arrays
from trading_platform.strategies.column_scan import scan_columns, scan_entries
from trading_platform.strategies.contract import Strategy
from trading_platform.strategies.registry import load
from trading_platform.strategies.set_aside import GuardedFold
from trading_platform_tests.factories.random_columns import RandomColumns, random_columns
from trading_platform_tests.factories.strategy_files import PAST_THE_END, line_of, source, write

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

pytestmark = pytest.mark.skipif(UNCOMPILED, reason="these are about the compiled forms")


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Strategy]:
    def from_text(text: str) -> Strategy:
        return load("mine", file=write(tmp_path / "mine.py", text))

    return from_text


def entries(strategy: Strategy, market: RandomColumns) -> int:
    return int((scan_columns(strategy, *market.arguments, keep_levels=False).outs["entry"] != 0).sum())


def refused(*_: Any) -> Any:
    raise AssertionError("the slower form was asked for")


@pytest.mark.parametrize(
    "strategy",
    [
        load("vwap_reclaim"),
        load("gap_and_go"),
        load("opening_range_breakout", file=EXAMPLES / "opening_range_breakout.py"),
    ],
    ids=lambda strategy: strategy.name,
)
def test_the_strategies_are_held_in_registers(strategy: Strategy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(column_scan, "_READY", {})
    monkeypatch.setattr(column_scan, "in_arrays", refused)
    market = random_columns(1)
    assert scan_columns(strategy, *market.arguments, keep_levels=False).bars.size > 100


def test_control_a_step_that_takes_a_field_as_an_item_is_not(
    written: Callable[..., Strategy], monkeypatch: pytest.MonkeyPatch
) -> None:
    by_item = written(source('state["bars"] += 1\nout.entry = 1 if state["bars"] == params.minute else 0', state=RING))
    market = random_columns(1)
    assert entries(by_item, market) > 0
    monkeypatch.setattr(column_scan, "_READY", {})
    monkeypatch.setattr(column_scan, "in_arrays", refused)
    with pytest.raises(InvalidInput, match="the slower form was asked for"):
        entries(by_item, market)


def test_all_that_a_step_calls_is_part_of_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert vwap_reclaim.__file__ is not None
    # In a file of its own it comes from no cache, so that the machine code can be looked at.
    text = Path(vwap_reclaim.__file__).read_text(encoding="utf-8")
    copied = load("vwap_reclaim", file=write(tmp_path / "copied.py", text))
    entries(copied, random_columns(1))
    assert called_by(held_in_registers(copied.step)) == set()
    # The control: as it is, it is called.
    other = load("vwap_reclaim", file=write(tmp_path / "other.py", text))
    monkeypatch.setattr(column_loop, "inlined", lambda function, **_: function)
    entries(other, random_columns(1))
    assert len(called_by(held_in_registers(other.step))) > 1


def called_by(loop: Any) -> set[str]:
    """The compiled functions that the loop's machine code calls, but for the loop itself."""
    codes = loop.inspect_llvm().values()
    assert len(codes) == 1
    called = {name for code in codes for name in re.findall(r"call [^\n]*?@(_ZN\w+)", code)}
    return {name for name in called if "_columns" not in name}


def test_an_index_outside_of_its_array_is_refused_in_every_form(
    written: Callable[..., Strategy], monkeypatch: pytest.MonkeyPatch
) -> None:
    beyond, market = written(source(PAST_THE_END)), random_columns(1)
    said = "the step uses an index that lies outside of its array: IndexError"
    with pytest.raises(InvalidInput, match=said):
        entries(beyond, market)
    monkeypatch.setattr(column_scan, "_READY", {})
    monkeypatch.setattr(column_scan, "held_in_registers", in_arrays)
    with pytest.raises(InvalidInput, match=said):
        entries(beyond, market)
    bars = empty_records((1, SESSION_MINUTES), step_bar_t)
    bars["minute"], bars["close"] = np.arange(SESSION_MINUTES), 1.0
    live = GuardedFold(beyond, empty_records(1, day_t))
    live.take(bars, np.ones(bars.shape, np.bool_), next_only=False)
    assert live.broken is not None
    assert said in live.broken


@pytest.mark.parametrize("top", ["", "@compiled\ndef told(number):\n    print(number)\n"], ids=["itself", "by another"])
def test_a_step_that_prints_is_refused(written: Callable[..., Strategy], top: str) -> None:
    talks = written(source("print(bar.close)" if not top else "told(bar.close)", top=top))
    with pytest.raises(InvalidInput, match="the step prints"):
        entries(talks, random_columns(1))


RING = '[("bars", "i8"), ("ring", "f8", (4,))]'


@pytest.mark.parametrize(
    "writes",
    ["day.volume_share[bar.minute] = 2.0", "day.prior_close = 2.0", "bar.close = 2.0", "params.minute = 1"],
)
def test_a_step_that_writes_into_what_it_is_lent_changes_nothing_of_it(
    written: Callable[..., Strategy], writes: str
) -> None:
    market = random_columns(2)
    before = [array.tobytes() for array in (*market.columns, market.days)]
    assert entries(written(source(f"{writes}\nout.entry = 1")), market) > 0
    assert [array.tobytes() for array in (*market.columns, market.days)] == before


def test_a_state_that_is_too_large_for_registers_is_folded_all_the_same(written: Callable[..., Strategy]) -> None:
    text = source(
        "state.ring[bar.minute] += 1.0\nout.entry = 1 if state.ring[bar.minute] == 1.0 else 0",
        state='[("bars", "i8"), ("ring", "f8", (500_000,))]',
    )
    market = random_columns(3)
    assert entries(written(text), market) == int((~np.isnan(market.columns[3])).sum())


def test_a_step_that_does_not_compile_is_named_with_its_line(written: Callable[..., Strategy]) -> None:
    text = source("state.bars += 1\nout.entry = state.nothing")
    with pytest.raises(InvalidInput) as error:
        entries(written(text), random_columns(1))
    assert "'nothing', a field that it has not" in error.value.what
    assert error.value.where.endswith(f"mine.py, line {line_of(text, 'state.nothing')}")


@pytest.mark.parametrize("says", ["out.exit = 256", "out.exit = -1", "out.invalidates = 40_000"])
def test_what_a_grid_cannot_hold_is_refused(written: Callable[..., Strategy], says: str) -> None:
    strategy, market = written(source(says)), random_columns(1)
    with pytest.raises(InvalidInput, match="too large"):
        scan_entries(strategy, *market.arguments, keep_levels=False)
    scan_columns(strategy, *market.arguments, keep_levels=False)


def test_levels_that_no_plan_trails_are_not_kept() -> None:
    market = random_columns(1)
    assert scan_entries(load("vwap_reclaim"), *market.arguments, keep_levels=True).levels is None
    gap = load("gap_and_go")
    assert scan_entries(gap, *market.arguments, keep_levels=False).levels is None
    found = scan_entries(gap, *market.arguments, keep_levels=True)
    assert found.levels is not None
    assert found.levels.shape == market.columns[0].shape


@pytest.mark.parametrize(("symbols", "sessions"), [(0, 3), (3, 0)])
def test_nothing_to_scan_says_nothing(symbols: int, sessions: int) -> None:
    columns = [np.zeros((symbols, sessions, SESSION_MINUTES))] * 5
    days = random_columns(1).days[:symbols, :sessions]
    opens, highs, lows, closes, volumes = columns
    minutes = np.full(sessions, SESSION_MINUTES)
    said = scan_columns(load("gap_and_go"), opens, highs, lows, closes, volumes, days, minutes, keep_levels=True)
    assert (said.bars.size, said.symbols.size, said.outs.size, said.faults) == (0, 0, 0, ())


def test_bars_after_the_close_are_not_looked_at(written: Callable[..., Strategy]) -> None:
    market = random_columns(4)
    early = replace(market, session_minutes=np.full(market.session_minutes.size, 20))
    said = scan_columns(written(source("out.entry = 1")), *early.arguments, keep_levels=False)
    assert int((said.bars % SESSION_MINUTES).max()) == 19


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"closes": np.zeros((4, 3, 389))}, "column"),
        ({"volumes": np.zeros((4, 3, SESSION_MINUTES), np.float32)}, "column volumes"),
        ({"days": np.zeros((4, 3))}, "day records"),
        ({"session_minutes": np.full(2, 390)}, "session minutes"),
        ({"session_minutes": np.full(3, 391)}, "391 minutes in one session"),
        ({"session_minutes": np.full(3, -1)}, "-1 minutes in one session"),
        ({"threads": 0}, "0 threads"),
    ],
)
def test_columns_that_do_not_fit_are_refused(change: dict[str, Any], told: str) -> None:
    names = ("opens", "highs", "lows", "closes", "volumes", "days", "session_minutes")
    given = dict(zip(names, random_columns(1).arguments, strict=True)) | change
    with pytest.raises(InvalidInput, match=told):
        scan_columns(load("gap_and_go"), **given, keep_levels=False)
