"""What is known of a symbol at the open, from small hand-made histories and from the recorded split of 2014."""

import math
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.calendars.sessions import Session
from trading_platform.domain.records import bar_t, daily_t
from trading_platform.domain.reports import DataProblem
from trading_platform.marketdata.bars import SessionBars, session_bars
from trading_platform.marketdata.day import make_day, volume_profile, wilder_atr
from trading_platform.marketdata.fetch import open_session
from trading_platform.marketdata.providers.lean_files import LeanFiles
from trading_platform.marketdata.providers.simulated import SimulatedMarket

CALENDAR = ExchangeCalendar()
SESSION = CALENDAR.session(date(2013, 12, 2))
EPOCH = date(1970, 1, 1)


def daily(count: int, *, until: date = date(2013, 11, 29), volume: int = 1_000) -> npt.NDArray[Any]:
    """Daily bars of the sessions up to `until`: closes at $10.00, ranges of $1."""
    days = CALENDAR.days(until - timedelta(days=200), until)[-count:] if count else ()
    return np.array([((day - EPOCH).days, 100_000, 105_000, 95_000, 100_000, volume) for day in days], daily_t)


def morning(*rows: tuple[int, int, int, int]) -> npt.NDArray[Any]:
    """Bars from rows of (minutes before the open, high, low, volume) that close at their high."""
    start = int(SESSION.open.timestamp())
    return np.array([(start - 60 * early, low, high, low, high, volume) for early, high, low, volume in rows], bar_t)


def earlier(day: date, *volumes: tuple[int, int]) -> SessionBars:
    """A session with the given (minute, volume) and no other bars."""
    session = CALENDAR.session(day)
    start = int(session.open.timestamp())
    bars = np.array([(start + 60 * minute, 1, 1, 1, 1, volume) for minute, volume in volumes], bar_t)
    return session_bars(session, ("XYZ",), (bars,))


def record(**given: Any) -> tuple[npt.NDArray[Any], tuple[DataProblem, ...]]:
    whole: dict[str, Any] = {
        "previous": CALENDAR.previous(SESSION.day),
        "morning": morning((30, 102_000, 101_000, 40), (1, 104_000, 103_000, 60), (0, 103_500, 103_000, 9)),
        "daily": daily(40),
        "earlier": [earlier(date(2013, 11, 27), (0, 30), (389, 70))],
    }
    return make_day("XYZ", SESSION, **(whole | given))


def test_a_whole_history_makes_a_whole_record() -> None:
    day, missing = record()
    assert missing == ()
    assert (float(day["prior_close"]), float(day["average_daily_volume"]), float(day["atr"])) == (10.0, 1000.0, 1.0)
    assert (float(day["premarket_high"]), float(day["premarket_low"])) == (10.4, 10.1)
    assert (float(day["premarket_last"]), float(day["premarket_volume"])) == (10.4, 100.0)
    assert float(day["gap"]) == pytest.approx(0.03)
    assert day["volume_share"][[0, 388, 389]].tolist() == [0.3, 0.3, 1.0]


@pytest.mark.parametrize(
    ("given", "unknown", "what"),
    [
        ({"daily": daily(0)}, ("prior_close", "gap", "atr"), "no close of the previous session"),
        (
            {"daily": daily(40, until=date(2013, 11, 27))},
            ("prior_close", "gap", "average_daily_volume", "atr"),
            "no close of the previous session",
        ),
        (
            {"daily": daily(40, until=date(2013, 11, 27))},
            ("average_daily_volume",),
            "fewer than 20 daily bars up to the previous session for the volume",
        ),
        (
            {"daily": daily(40, until=date(2010, 11, 26))},
            ("atr",),
            "fewer than 15 daily bars up to the previous session for the ATR",
        ),
        (
            {"daily": daily(19)},
            ("average_daily_volume",),
            "fewer than 20 daily bars up to the previous session for the volume",
        ),
        (
            {"daily": daily(40, volume=0)},
            ("average_daily_volume",),
            "fewer than 20 daily bars up to the previous session for the volume",
        ),
        ({"daily": daily(14)}, ("atr",), "fewer than 15 daily bars up to the previous session for the ATR"),
        (
            {"morning": morning((0, 103_500, 103_000, 9))},
            ("premarket_high", "premarket_low", "premarket_last", "premarket_volume"),
            "no pre-market bars",
        ),
        ({"morning": morning((1, 104_000, 103_000, 60))}, ("gap",), "no gap to the prior close"),
        ({"earlier": []}, ("volume_share",), "no earlier minute session for the volume profile"),
    ],
)
def test_what_is_missing_is_nan_and_reported(given: dict[str, Any], unknown: tuple[str, ...], what: str) -> None:
    day, missing = record(**given)
    assert DataProblem(symbol="XYZ", what=what) in missing
    for name in unknown:
        assert np.isnan(day[name]).all(), name


def test_just_enough_history_is_enough() -> None:
    day, missing = record(daily=daily(20))
    assert (missing, float(day["average_daily_volume"])) == ((), 1000.0)
    assert wilder_atr(daily(15)) == 1.0


def test_only_twenty_daily_bars_make_the_average_volume() -> None:
    history = daily(21)
    history["volume"][0] = 10**9
    assert float(record(daily=history)[0]["average_daily_volume"]) == 1000.0


def test_bars_from_the_open_on_are_not_pre_market() -> None:
    bars = morning((1, 104_000, 103_000, 60), (0, 190_000, 189_000, 9_999))
    day, _ = record(morning=bars)
    assert (float(day["premarket_high"]), float(day["premarket_volume"])) == (10.4, 60.0)


def test_bars_after_the_first_of_the_session_change_nothing() -> None:
    known = morning((1, 104_000, 103_000, 60), (0, 103_500, 103_000, 9))
    later = morning((1, 104_000, 103_000, 60), (0, 103_500, 103_000, 9), (-1, 190_000, 189_000, 9_999))
    assert record(morning=later)[0].tobytes() == record(morning=known)[0].tobytes()


def test_wilders_average_counts_the_gap_and_smooths() -> None:
    history = daily(16)
    history["close"][-2] = 120_000  # the last bar's range now reaches up to this close: 12.00 - 9.50
    assert wilder_atr(history) == pytest.approx((1.0 * 13 + 2.5) / 14)


def test_the_profile_is_the_mean_of_the_sessions_shares() -> None:
    profile = volume_profile([earlier(date(2013, 11, 26), (0, 1), (9, 1)), earlier(date(2013, 11, 27), (0, 100))])
    assert profile is not None
    assert profile[[0, 8, 9, 389]].tolist() == [0.75, 0.75, 1.0, 1.0]


def test_half_days_and_days_without_trades_are_left_out_of_the_profile() -> None:
    half, silent = earlier(date(2013, 11, 29), (0, 1)), earlier(date(2013, 11, 26))
    assert volume_profile([half, silent]) is None
    profile = volume_profile([earlier(date(2013, 11, 27), (1, 5)), half, silent])
    assert profile is not None
    assert profile[:2].tolist() == [0.0, 1.0]


def test_only_the_newest_twenty_sessions_make_the_profile() -> None:
    days = CALENDAR.days(date(2013, 10, 1), date(2013, 10, 31))[:21]
    sessions = [earlier(days[0], (0, 1)), *(earlier(day, (389, 1)) for day in days[1:])]
    profile = volume_profile(sessions)
    assert profile is not None
    assert profile[388] == 0.0


def opened(lean_data: Path, symbol: str, day: date) -> tuple[npt.NDArray[Any], tuple[DataProblem, ...]]:
    session: Session = CALENDAR.session(day)
    days, problems = open_session(LeanFiles(lean_data), CALENDAR, (symbol,), session)
    return days[0], problems


def test_the_split_of_2014_is_no_gap(lean_data: Path) -> None:
    day, problems = opened(lean_data, "AAPL", date(2014, 6, 9))
    assert float(day["prior_close"]) == 92.2243
    assert float(day["average_daily_volume"]) == pytest.approx(7 * 9_965_256, rel=1e-6)
    assert float(day["premarket_last"]) == 92.66
    assert float(day["gap"]) == pytest.approx(92.69 / 92.2243 - 1, abs=1e-6)  # +0.505 %; raw it would be -85.6 %
    assert 90 < float(day["premarket_low"]) < float(day["premarket_high"]) < 95
    assert problems == (DataProblem(symbol="AAPL", what="bar with a high over 150 % of its low"),)


@pytest.mark.parametrize(("symbol", "gap"), [("BAC", 0.0137), ("AIG", 0.0119), ("SPY", 0.0106)])
def test_recorded_gaps(lean_data: Path, symbol: str, gap: float) -> None:
    day, problems = opened(lean_data, symbol, date(2013, 10, 10))
    assert problems == ()
    assert float(day["gap"]) == pytest.approx(gap, abs=5e-5)


def test_the_first_recorded_session_has_no_profile(lean_data: Path) -> None:
    day, problems = opened(lean_data, "IBM", date(2013, 10, 4))
    assert [problem.what for problem in problems] == ["no earlier minute session for the volume profile"]
    assert math.isnan(day["volume_share"][0])


def test_rows_follow_the_symbols(lean_data: Path) -> None:
    days, problems = open_session(
        LeanFiles(lean_data), CALENDAR, ("SPY", "NONE", "IBM"), CALENDAR.session(date(2013, 10, 9))
    )
    assert days["prior_close"][[0, 2]].tolist() == [165.48, 178.72]
    assert math.isnan(days["prior_close"][1])
    assert {problem.symbol for problem in problems} == {"NONE"}


class Watched(SimulatedMarket):
    """The simulated market, which notes what it is asked, and which says that it has bars of a Saturday."""

    asked: list[tuple[date, datetime]]

    def minute_bars(self, symbol: str, session: date, until: datetime) -> npt.NDArray[Any]:
        self.asked.append((session, until))
        return super().minute_bars(symbol, session, until)

    def minute_sessions(self, symbol: str, before: date) -> tuple[date, ...]:
        return tuple(sorted({*super().minute_sessions(symbol, before), date(2024, 7, 6)}))


def test_the_record_asks_for_nothing_after_the_first_bar_and_for_full_sessions_before() -> None:
    market = Watched(1, CALENDAR)
    market.asked = []
    session = CALENDAR.session(date(2024, 7, 10))
    open_session(market, CALENDAR, ("SIMA",), session)
    assert market.asked[0] == (session.day, session.open + timedelta(minutes=1))
    days = [day for day, _ in market.asked[1:]]
    full = [day for day in CALENDAR.days(date(2024, 6, 1), date(2024, 7, 9)) if day != date(2024, 7, 3)]
    assert sorted(days) == full[-20:]
