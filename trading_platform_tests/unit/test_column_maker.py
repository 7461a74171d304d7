"""Columns made of a provider's bars are what live sessions see, bit for bit."""

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.reports import DataProblem
from trading_platform.marketdata.column_maker import ColumnMaker, make_columns
from trading_platform.marketdata.providers.lean_files import LeanFiles
from trading_platform.marketdata.providers.simulated import SimulatedMarket
from trading_platform_tests.sessions.random_days import (
    AROUND_A_HALF_DAY,
    require_as_live,
    same_bits,
    write_random_days,
)
from trading_platform_tests.sessions.tape import write_rows

CALENDAR = ExchangeCalendar()
SESSIONS = tuple(map(CALENDAR.session, AROUND_A_HALF_DAY))
SYMBOLS = ("AAA", "BBB", "CCC")


@pytest.mark.parametrize("seed", range(4))
def test_random_bars_with_holes_and_a_half_day_are_as_live(tmp_path: Path, seed: int) -> None:
    provider = LeanFiles(write_random_days(tmp_path, SYMBOLS, AROUND_A_HALF_DAY, seed))
    made = make_columns(provider, CALENDAR, SYMBOLS, SESSIONS)
    require_as_live(made.columns, provider)
    assert {problem.what for problem in made.problems} == {"bar with crossed prices"}
    assert np.isnan(made.columns.close[:, 3, 210:]).all()
    assert np.isfinite(made.columns.days["volume_share"][0, 1:]).all()


def test_simulated_bars_over_a_half_day_are_as_live() -> None:
    provider = SimulatedMarket(5, CALENDAR, 3)
    sessions = CALENDAR.sessions(date(2024, 6, 28), date(2024, 7, 8))
    made = make_columns(provider, CALENDAR, provider.symbols, sessions)
    require_as_live(made.columns, provider)
    assert made.problems == ()


def test_recorded_bars_over_a_split_are_as_live(lean_data: Path) -> None:
    provider = LeanFiles(lean_data)
    sessions = CALENDAR.sessions(date(2013, 10, 4), date(2013, 10, 11)) + CALENDAR.sessions(
        date(2014, 6, 5), date(2014, 6, 9)
    )
    made = make_columns(provider, CALENDAR, provider.symbols, sessions)
    require_as_live(made.columns, provider)
    assert made.columns.days["prior_close"][0, -1] == 92.2243
    assert DataProblem(symbol="AAPL", what="bar with a high over 150 % of its low") in made.problems


def spoiled_close(close: npt.NDArray[Any]) -> None:
    close[0, 2, np.flatnonzero(~np.isnan(close[0, 2]))[7]] += 1e-12


def spoiled_hole(close: npt.NDArray[Any]) -> None:
    close[0, 2, np.flatnonzero(np.isnan(close[0, 2]))[0]] = 50.0


def spoiled_half_day(close: npt.NDArray[Any]) -> None:
    close[0, 3, 210] = 50.0


@pytest.mark.parametrize("spoil", [spoiled_close, spoiled_hole, spoiled_half_day])
def test_control_the_comparison_sees_a_bar_that_differs(tmp_path: Path, spoil: Any) -> None:
    provider = LeanFiles(write_random_days(tmp_path, SYMBOLS, AROUND_A_HALF_DAY, 1))
    columns = make_columns(provider, CALENDAR, SYMBOLS, SESSIONS).columns
    close = columns.close.copy()
    spoil(close)
    with pytest.raises(AssertionError):
        require_as_live(replace(columns, close=close), provider)


def test_control_the_comparison_sees_a_day_record_that_differs(tmp_path: Path) -> None:
    provider = LeanFiles(write_random_days(tmp_path, SYMBOLS, AROUND_A_HALF_DAY, 1))
    columns = make_columns(provider, CALENDAR, SYMBOLS, SESSIONS).columns
    days = columns.days.copy()
    days["volume_share"][0, 4, 17] += 1e-9
    with pytest.raises(AssertionError, match="day records of 2013-12-02"):
        require_as_live(replace(columns, days=days), provider)


def test_what_is_kept_of_earlier_sessions_changes_nothing(tmp_path: Path) -> None:
    provider = LeanFiles(write_random_days(tmp_path, SYMBOLS, AROUND_A_HALF_DAY, 2))
    maker = ColumnMaker(provider, CALENDAR, AROUND_A_HALF_DAY[-1], volumes_kept=1)
    whole = make_columns(provider, CALENDAR, SYMBOLS, SESSIONS).columns
    assert same_bits(maker.make(SYMBOLS, SESSIONS).columns, whole)


def test_a_profile_reaches_back_before_the_first_session_asked_for(tmp_path: Path) -> None:
    provider = LeanFiles(write_random_days(tmp_path, SYMBOLS, AROUND_A_HALF_DAY, 3))
    whole = make_columns(provider, CALENDAR, SYMBOLS, SESSIONS).columns
    last = make_columns(provider, CALENDAR, SYMBOLS, SESSIONS[-1:]).columns
    assert last.days[:, 0].tobytes() == whole.days[:, -1].tobytes()


class CountedFiles(LeanFiles):
    """LEAN's files, which count how often bars are asked for."""

    asked = 0

    def minute_bars(self, *question: Any) -> npt.NDArray[Any]:
        self.asked += 1
        return super().minute_bars(*question)


def bars_asked_for(root: Path, volumes_kept: int) -> int:
    provider = CountedFiles(root)
    ColumnMaker(provider, CALENDAR, AROUND_A_HALF_DAY[-1], volumes_kept=volumes_kept).make(("AAA",), SESSIONS)
    return provider.asked


def test_volumes_are_read_once_where_there_is_room_to_keep_them(tmp_path: Path) -> None:
    write_random_days(tmp_path, ("AAA",), AROUND_A_HALF_DAY, 1)
    # Each session for its bars and for its morning, and the three full ones before the last for their volumes.
    once = 2 * len(SESSIONS) + 3
    assert bars_asked_for(tmp_path, volumes_kept=1_000) == once
    assert bars_asked_for(tmp_path, volumes_kept=1) > once


def test_a_source_that_cannot_be_used_stops_its_own_symbol(tmp_path: Path) -> None:
    write_random_days(tmp_path, SYMBOLS, AROUND_A_HALF_DAY, 1)
    write_rows(tmp_path, "AAA", ["34200000,1,2,3"], AROUND_A_HALF_DAY[1])
    provider = LeanFiles(tmp_path)
    made = make_columns(provider, CALENDAR, SYMBOLS, SESSIONS)
    require_as_live(made.columns, provider)
    (problem,) = (one for one in made.problems if one.symbol == "AAA" and "cannot be used" in one.what)
    # On its own day, and on the three later ones whose profile needs it.
    assert problem.count == 4
    assert "20131126_trade.zip, row 1" in problem.what
    assert np.isnan(made.columns.close[0, 1]).all()
    assert np.isfinite(made.columns.close[1:]).any()


def test_symbols_and_sessions_come_in_order_and_nobody_can_change_them(tmp_path: Path) -> None:
    provider = LeanFiles(write_random_days(tmp_path, SYMBOLS, AROUND_A_HALF_DAY, 1))
    columns = make_columns(provider, CALENDAR, ("CCC", "AAA", "CCC"), SESSIONS[::-1]).columns
    assert (columns.symbols, columns.sessions) == (("AAA", "CCC"), SESSIONS)
    for array in (columns.open, columns.volume, columns.days):
        assert array.flags.c_contiguous
        assert not array.flags.writeable


def test_nothing_to_make_is_said() -> None:
    provider = SimulatedMarket(1, CALENDAR)
    with pytest.raises(InvalidInput, match="there is no symbol"):
        make_columns(provider, CALENDAR, (), SESSIONS)
    with pytest.raises(InvalidInput, match="there is no session"):
        make_columns(provider, CALENDAR, ("SIMA",), ())
