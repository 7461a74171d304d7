"""Walk-forward: chosen on what was known, traded on what followed, and told as one record."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import numpy as np
import pytest

from trading_platform.backtest.bar_sources import BarSource, ProvidedBars
from trading_platform.backtest.portfolio_pass import PaperVenue
from trading_platform.backtest.run import Terms, run_backtest
from trading_platform.backtest.sweep import sweep
from trading_platform.backtest.walk_forward import Lengths, WalkForward, chained, walk_forward, windows
from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.config.settings import Limits
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.money import dollars_from_units
from trading_platform.marketdata.providers.simulated import SimulatedMarket
from trading_platform.performance.statistics import statistics
from trading_platform_tests.sessions.timed_entry import TIMED_ENTRY

CALENDAR = ExchangeCalendar()
SYMBOLS = ("SIMA", "SIMB", "SIMC")
FIRST, LAST = date(2024, 6, 24), date(2024, 7, 8)
"""Ten sessions."""
SESSIONS = CALENDAR.sessions(FIRST, LAST)
LENGTHS = Lengths(train=4, test=2)
GRID = {"minute": (5, 40, 90, 150), "sizing.fixed_quantity": (100, 300)}
MARKETS = SimulatedMarket(7, CALENDAR, 8), SimulatedMarket(8, CALENDAR, 8)


def bars(first: date, last: date, market: SimulatedMarket = MARKETS[0]) -> BarSource:
    return ProvidedBars(market, CALENDAR, SYMBOLS, first, last)


def terms(cash: int = 100_000) -> Terms:
    return Terms(strategies=(TIMED_ENTRY,), limits=Limits(), opening_cash=Decimal(cash), venue=PaperVenue())


@pytest.fixture(scope="module")
def walked() -> WalkForward:
    return walk_forward(bars, SESSIONS, terms(), GRID, LENGTHS, by="profit")


def test_windows_follow_each_other_and_tests_never_overlap() -> None:
    days = [session.day for session in SESSIONS]
    found = windows(SESSIONS, LENGTHS)
    assert [(one.train, one.test) for one in found] == [
        ((days[0], days[3]), (days[4], days[5])),
        ((days[2], days[5]), (days[6], days[7])),
        ((days[4], days[7]), (days[8], days[9])),
    ]
    assert len(windows(SESSIONS, Lengths(train=4, test=2, step=3))) == 2


@pytest.mark.parametrize(
    ("lengths", "said"),
    [
        (Lengths(train=0, test=2), "train is 0 sessions"),
        (Lengths(train=4, test=2, step=1), "days would count twice"),
        (Lengths(train=9, test=2), "there are 10 sessions, and one window takes 11"),
    ],
)
def test_lengths_that_cannot_be_are_refused(lengths: Lengths, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        windows(SESSIONS, lengths)


def test_each_choice_is_the_best_of_its_own_days(walked: WalkForward) -> None:
    cash = Decimal(100_000)
    for step in walked.steps:
        rows = sweep(TIMED_ENTRY, GRID, bars(*step.window.train), limits=Limits(), opening_cash=cash)
        assert step.chosen == rows[0].values
        assert step.figure == rows[0].figures.profit
        assert step.figure == max(row.figures.profit for row in rows) > min(row.figures.profit for row in rows)
        chosen = replace(terms(), strategies=(TIMED_ENTRY.with_values(step.chosen),), opening_cash=cash)
        alone = run_backtest(bars(*step.window.test), chosen)
        assert step.profit == alone.closing - alone.opening
        cash = dollars_from_units(alone.closing)
    assert dollars_from_units(int(walked.record.equity[-1])) == cash


def test_the_tests_make_one_record(walked: WalkForward) -> None:
    record = walked.record
    assert [session.day for session in record.sessions] == [session.day for session in SESSIONS[4:]]
    assert sum(step.profit for step in walked.steps) == int(record.equity[-1]) - record.opening
    figures = statistics(record)
    assert figures.trades.trades == sum(step.trades for step in walked.steps) > 10
    # Each trade lies in the sessions in which it was made.
    assert np.all(record.trades["entered"] <= record.trades["left"])
    assert np.unique(record.trades["entered"] // 390).tolist() == list(range(6))


def test_nothing_of_a_test_is_known_when_it_is_chosen_for(walked: WalkForward) -> None:
    """Other bars from the first test on change no choice that was made before them; the control looks at them."""
    cut = walked.steps[0].window.test[0]
    opened: list[tuple[date, date]] = []

    def others(first: date, last: date) -> BarSource:
        opened.append((first, last))
        return bars(first, last, MARKETS[last >= cut])

    changed = walk_forward(others, SESSIONS, terms(), GRID, LENGTHS, by="profit")
    assert changed.steps[0].chosen == walked.steps[0].chosen
    assert changed.steps[0].trained == walked.steps[0].trained
    assert changed.steps[0].profit != walked.steps[0].profit
    assert opened[:2] == [walked.steps[0].window.train, walked.steps[0].window.test]

    def peeking(first: date, last: date) -> BarSource:
        is_train = (first, last) in {step.window.train for step in walked.steps}
        return others(first, walked.steps[0].window.test[1] if is_train and last < cut else last)

    assert (
        walk_forward(peeking, SESSIONS, terms(), GRID, LENGTHS, by="profit").steps[0].trained != walked.steps[0].trained
    )


def test_what_cannot_be_walked_is_said() -> None:
    with pytest.raises(InvalidInput, match=r"rows cannot be ranked by 'profits'.*Did you mean profit"):
        walk_forward(bars, SESSIONS, terms(), GRID, LENGTHS, by="profits")
    with pytest.raises(InvalidInput, match="its parameters are chosen"):
        walk_forward(bars, SESSIONS, replace(terms(), strategies=()), GRID, LENGTHS)
    with pytest.raises(InvalidInput, match="minute is 500, outside"):
        walk_forward(bars, SESSIONS, terms(), {"minute": (500,)}, LENGTHS)


def test_runs_that_do_not_follow_each_other_make_no_record() -> None:
    one, other = (run_backtest(bars(session.day, session.day), terms()) for session in SESSIONS[:2])
    with pytest.raises(InvalidInput, match="did not open with what the one before had left"):
        chained((one, other))
    follows = run_backtest(
        bars(SESSIONS[1].day, SESSIONS[1].day), replace(terms(), opening_cash=dollars_from_units(one.closing))
    )
    assert chained((one, follows)).trades.size == one.trades.finished.size + follows.trades.finished.size
