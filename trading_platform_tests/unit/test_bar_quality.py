"""The judge of bars, the slots of a session, and the conversion to what a step sees.

Each rule has its control: the same bars with the one fault mended are not refused.
"""

from datetime import date

import numpy as np
import numpy.typing as npt
import pytest

from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.calendars.sessions import Session
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.records import bar_t, daily_t
from trading_platform.domain.reports import DataProblem
from trading_platform.domain.rounding import float_from_price
from trading_platform.marketdata.bars import LastClose, session_bars, step_bars
from trading_platform.marketdata.quality import judge, judge_all, judge_daily

Row = tuple[int, int, int, int, int, int]


@pytest.fixture(scope="module")
def session() -> Session:
    return ExchangeCalendar().session(date(2013, 10, 9))


def bars_at(session: Session, *rows: Row) -> npt.NDArray[np.void]:
    """Bars from rows of (seconds after the open, open, high, low, close, volume)."""
    start = int(session.open.timestamp())
    return np.array([(start + row[0], *row[1:]) for row in rows], bar_t)


GOOD: Row = (60, 100_000, 101_000, 99_000, 100_500, 700)


@pytest.mark.parametrize(
    ("what", "bad", "mended"),
    [
        ("bar with a price that is zero, negative or no number", (60, 100_000, 101_000, 0, 100_500, 700), GOOD),
        ("bar with a price that is zero, negative or no number", (60, -1, 101_000, 99_000, 100_500, 700), GOOD),
        ("bar with crossed prices", (60, 100_000, 99_000, 101_000, 100_500, 700), GOOD),
        ("bar with crossed prices", (60, 101_001, 101_000, 99_000, 100_500, 700), GOOD),
        ("bar with crossed prices", (60, 100_000, 101_000, 99_000, 98_999, 700), GOOD),
        (
            "bar with a high over 150 % of its low",
            (60, 100_000, 150_001, 100_000, 100_500, 700),
            (60, 100_000, 150_000, 100_000, 100_500, 700),
        ),
        (
            "bar with a volume that is negative or no number",
            (60, 100_000, 101_000, 99_000, 100_500, -1),
            (60, 100_000, 101_000, 99_000, 100_500, 0),
        ),
        ("bar off the minute", (61, 100_000, 101_000, 99_000, 100_500, 700), GOOD),
        (
            "bar outside the day",
            (-331 * 60, 100_000, 101_000, 99_000, 100_500, 700),
            (-330 * 60, 100_000, 101_000, 99_000, 100_500, 700),
        ),
        (
            "bar outside the day",
            (630 * 60, 100_000, 101_000, 99_000, 100_500, 700),
            (629 * 60, 100_000, 101_000, 99_000, 100_500, 700),
        ),
    ],
)
def test_a_malformed_bar_is_refused_and_counted(session: Session, what: str, bad: Row, mended: Row) -> None:
    clean, problems = judge("XYZ", bars_at(session, bad), session)
    assert len(clean) == 0
    assert problems == (DataProblem(symbol="XYZ", what=what, count=1),)
    clean, problems = judge("XYZ", bars_at(session, mended), session)
    assert len(clean) == 1
    assert problems == ()


def test_of_a_repeated_minute_the_first_stands(session: Session) -> None:
    bars = bars_at(session, GOOD, (60, 100_000, 101_000, 99_000, 99_900, 5), (120, 1_000, 1_000, 1_000, 1_000, 1))
    clean, problems = judge("XYZ", bars, session)
    assert clean.tolist() == bars[[0, 2]].tolist()
    assert problems == (DataProblem(symbol="XYZ", what="bar with a repeated time", count=1),)


def test_a_bar_that_comes_late_is_refused(session: Session) -> None:
    bars = bars_at(session, (180, *GOOD[1:]), (60, *GOOD[1:]), (120, *GOOD[1:]), (180, *GOOD[1:]), (240, *GOOD[1:]))
    clean, problems = judge("XYZ", bars, session)
    assert clean.tolist() == bars[[0, 4]].tolist()
    assert problems == (
        DataProblem(symbol="XYZ", what="bar out of order", count=2),
        DataProblem(symbol="XYZ", what="bar with a repeated time", count=1),
    )


def test_a_refused_bar_does_not_stand_in_the_way_of_a_good_one(session: Session) -> None:
    bars = bars_at(session, (60, 0, 0, 0, 0, 0), GOOD)
    clean, problems = judge("XYZ", bars, session)
    assert clean.tolist() == bars[[1]].tolist()
    assert [problem.count for problem in problems] == [1]


def test_symbols_judged_together_are_judged_as_alone(session: Session) -> None:
    good = bars_at(session, GOOD, (120, *GOOD[1:]))
    bad = bars_at(session, (120, *GOOD[1:]), (60, *GOOD[1:]), (180, 0, 1, 0, 1, 1))
    none = np.zeros(0, bar_t)
    together, problems = judge_all(("A", "B", "C", "D"), (good, bad, none, good), session)
    alone = [judge(symbol, bars, session) for symbol, bars in zip("ABCD", (good, bad, none, good), strict=True)]
    assert [bars.tolist() for bars in together] == [bars.tolist() for bars, _ in alone]
    assert problems == sum((found for _, found in alone), ())


def test_daily_bars_are_judged_by_the_same_prices_and_a_wider_range() -> None:
    days = [
        (1, 100, 900, 100, 500, 10),
        (2, 100, 1_001, 100, 500, 10),
        (3, 100, 90, 110, 100, 10),
        (3, 100, 110, 90, 100, 10),
        (3, 100, 110, 90, 100, 10),
    ]
    clean, problems = judge_daily("XYZ", np.array(days, daily_t))
    assert clean["day"].tolist() == [1, 3]
    assert [(problem.what, problem.count) for problem in problems] == [
        ("bar with a repeated time", 1),
        ("daily bar with a high over 1000 % of its low", 1),
        ("daily bar with crossed prices", 1),
    ]


def test_bars_lie_in_the_slots_of_their_minutes(session: Session) -> None:
    clean = bars_at(session, (-60, *GOOD[1:]), (0, *GOOD[1:]), (120, *GOOD[1:]), (390 * 60, *GOOD[1:]))
    bars = session_bars(session, ("A", "B"), (clean, clean[:0]))
    assert bars.bars.shape == (2, 390)
    assert np.flatnonzero(bars.bars["time"][0]).tolist() == [0, 2]
    assert not bars.bars["time"][1].any()
    assert bars.came("A").tolist() == clean[1:3].tolist()
    with pytest.raises(ValueError, match="read-only"):
        bars.bars["close"][0, 0] = 1


def test_the_latest_close_has_its_age_from_the_end_of_its_bar(session: Session) -> None:
    clean = bars_at(session, (60, *GOOD[1:]), (180, 100_000, 101_000, 99_000, 99_100, 700))
    bars = session_bars(session, ("A", "B"), (clean, clean[:0]))
    assert bars.latest("A", 0) is None
    assert bars.latest("A", 1) == LastClose(price=100_500, minute=1, age=0)
    assert bars.latest("A", 2) == LastClose(price=100_500, minute=1, age=60)
    assert bars.latest("A", 389) == LastClose(price=99_100, minute=3, age=386 * 60)
    assert bars.latest("B", 389) is None
    with pytest.raises(InvalidInput, match="XYZ"):
        bars.latest("XYZ", 3)


def test_a_step_sees_dollars_and_how_much_of_the_session_is_left(session: Session) -> None:
    slots = session_bars(session, ("A",), (bars_at(session, (0, *GOOD[1:]), (389 * 60, *GOOD[1:])),))
    steps = step_bars(session, slots.bars)
    assert steps.shape == (1, 390)
    assert steps[0, 0].tolist() == (0, 389, 10.0, 10.1, 9.9, 10.05, 700.0)
    assert steps[0, 389].tolist() == (389, 0, 10.0, 10.1, 9.9, 10.05, 700.0)
    assert steps[0, 7].tolist() == (-1, 0, 0.0, 0.0, 0.0, 0.0, 0.0)


def test_a_step_sees_the_same_dollars_as_the_kernel(session: Session) -> None:
    prices = np.arange(1, 200_000, 37)
    bars = np.zeros(len(prices), bar_t)
    bars["time"], bars["close"] = int(session.open.timestamp()), prices
    assert step_bars(session, bars)["close"].tolist() == [float_from_price(int(price)) for price in prices]
