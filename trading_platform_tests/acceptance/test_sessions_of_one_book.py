"""Two sessions of one book, the second with a holding of the first: each has figures of its own, to the cent.

`timed_entry` buys 320 shares of each symbol on minute 1, and sells half at 1 R.

AAA trades as `sessions.tape.TAPE` says, on both days: realised 2.50, fees 3.50 (test_hand_worked_tape.py).

BBB on the first day is bought for 6,403.20, fee 1.60; half is sold for 160 x 20.99 = 3,358.40, fee 1.00, realised
3,358.40 - 3,201.60 = 156.80. After its bar of minute 5, which closes at 21.50, nobody trades it any more, so that the
rest is held: unrealised 160 x 21.50 - 3,201.60 = 238.40.
  Realised 159.30, fees 6.10, one round trip. Equity 100,000.00 + 159.30 - 6.10 + 238.40 = 100,391.60

BBB on the second day opens at 21.00 and closes minute 2 at 22.10: the rest leaves on minute 3 at 22.00 - 1 bp =
21.9978, got 21.99, fee 1.00. Realised 160 x 21.99 - 3,201.60 = 316.80.
  Realised 319.30, fees 4.50, two round trips. Equity 100,000.00 + 478.60 - 10.60 = 100,468.00
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from trading_platform.bootstrap import Platform
from trading_platform.config.settings import Settings
from trading_platform.domain.errors import InvalidInput
from trading_platform.engine.cycle import run_cycle
from trading_platform.engine.session_result import SessionResult, last_marks, session_result
from trading_platform.ledger.embedded import LocalServer
from trading_platform.ledger.ledger import Ledger
from trading_platform.performance.pnl import results, totals
from trading_platform.terminal.screen import show_result
from trading_platform.terminal.session import run_session
from trading_platform.terminal.summary import summary
from trading_platform_tests.sessions.books import Book, exchange_result
from trading_platform_tests.sessions.console import Checkout, new_checkout
from trading_platform_tests.sessions.tape import DAY, LAST_MINUTE, TAPE, write_tape

NEXT_DAY = date(2013, 10, 10)
HALF_DAYS = (date(2013, 11, 29), date(2013, 12, 24))
FIRST = "\n".join(line for line in TAPE.splitlines() if not line.startswith("BBB") or int(line.split()[1]) <= 5)
SECOND = (
    "\n".join(line for line in TAPE.splitlines() if line.startswith("AAA"))
    + """
BBB  0  21.00 21.00 21.00 21.00  50000
BBB  1  21.00 21.00 21.00 21.00  50000
BBB  2  21.00 22.20 21.00 22.10  50000
"""
    + "\n".join(f"BBB {minute} 22.00 22.00 22.00 22.00 50000" for minute in range(3, LAST_MINUTE + 1))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """The book after two sessions, with what was said of the first while it was the only one."""

    book: Book
    ledger: Ledger
    results: tuple[SessionResult, SessionResult]
    summaries: tuple[dict[str, Any], dict[str, Any]]
    first_again: SessionResult
    marks: tuple[dict[str, Decimal], dict[str, Decimal]]
    told: tuple[list[dict[str, Any]], list[dict[str, Any]]]
    shown: str


def screen(result: SessionResult) -> str:
    """What is shown of a result."""
    console = Console(width=160, file=StringIO())
    show_result(console, result)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def trade(platform: Platform, day: date) -> None:
    session = platform.simulated_session(day)
    session.open()
    for minute in range(LAST_MINUTE + 1):
        session.tick(minute)
        run_cycle(platform.stages, day, minute)
    session.finish()


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    return new_checkout(tmp_path_factory.mktemp("checkout"))


@pytest.fixture(scope="module")
def ran(postgres_server: LocalServer, tmp_path_factory: pytest.TempPathFactory, checkout: Checkout) -> Iterator[Ran]:
    url = postgres_server.create_database("two_sessions")
    folder = tmp_path_factory.mktemp("two_sessions")
    write_tape(folder / "bars", FIRST)
    write_tape(folder / "bars", SECOND, NEXT_DAY)
    book = Book(name="two", database_url=url, data_folder=folder / "data", bars=folder / "bars")
    ledger = Ledger(url, book=book.name)
    found, figures, marks, told = [], [], [], []
    for day in (DAY, NEXT_DAY):
        with book.open(day) as platform:
            trade(platform, day)
            found.append(session_result(platform.stages.parts, day))
            figures.append(summary(platform, day, found[-1], runs=0, seconds=0))
        marks.append(last_marks(ledger))
        told.append(json.loads(checkout.run("pnl", "--book", "two", "--json", DATABASE_URL=url).stdout))
    with book.open() as platform:
        first_again = session_result(platform.stages.parts, DAY)
    shown = checkout.run("pnl", "--book", "two", DATABASE_URL=url).stdout
    yield Ran(
        book=book,
        ledger=ledger,
        results=(found[0], found[1]),
        summaries=(figures[0], figures[1]),
        first_again=first_again,
        marks=(marks[0], marks[1]),
        told=(told[0], told[1]),
        shown=shown,
    )
    ledger.engine.dispose()
    postgres_server.drop_database("two_sessions")


NAMES = ("cycles", "fills", "round_trips", "realised_pnl", "realised_before_fees", "unrealised_pnl", "fees", "equity")


def test_each_session_has_its_own_figures(ran: Ran) -> None:
    first, second = ([figures[name] for name in NAMES] for figures in ran.summaries)
    assert first == [14, 9, 1, 153.20, 159.30, 238.40, 6.10, 100_391.60]
    assert second == [14, 8, 2, 314.80, 319.30, 0.0, 4.50, 100_468.00]
    assert [figures["session"] for figures in ran.summaries] == ["2013-10-09", "2013-10-10"]


def test_they_add_up_to_the_books(ran: Ran) -> None:
    first, second = ran.results
    whole = totals(results(ran.ledger.holdings().positions.values(), {}))
    for name in ("realised", "fees", "round_trips"):
        assert getattr(first.totals, name) + getattr(second.totals, name) == getattr(whole, name)
    for name, count in (
        ("fills", ran.ledger.fills()),
        ("orders", [it for it in ran.ledger.orders() if it.intent.kind.is_order]),
    ):
        assert first.counts[name] + second.counts[name] == len(count)
    assert len(first.trades) + len(second.trades) == whole.round_trips
    assert second.equity == ran.ledger.holdings().cash
    assert second.equity - ran.ledger.opening_cash() == exchange_result(ran.book.exchange_file)


def test_a_trade_belongs_to_the_session_that_ended_it(ran: Ran) -> None:
    told = [[(one.symbol, one.opened_at.date(), one.closed_at.date()) for one in it.trades] for it in ran.results]
    assert told == [
        [("AAA", DAY, DAY)],
        [("BBB", DAY, NEXT_DAY), ("AAA", NEXT_DAY, NEXT_DAY)],
    ]


def test_the_equity_of_each_minute_is_what_its_cycle_saw(ran: Ran) -> None:
    for one in ran.results:
        seen = [header.equity for header in ran.ledger.cycles(one.session)]
        assert [equity for _, equity in one.equity_curve] == seen
        assert one.equity == seen[-1]
    # The second day begins with the first one's cash, 96,951.60, and with 160 BBB at 21.00.
    assert ran.results[1].equity_curve[0][1] == Decimal("100311.60")


def test_a_session_that_is_shown_again_leaves_out_what_came_later(ran: Ran) -> None:
    assert ran.first_again == ran.results[0]
    assert ran.first_again != ran.results[1]


def test_the_profit_of_the_book_counts_what_is_held_at_its_last_price(ran: Ran) -> None:
    assert ran.marks == ({"BBB": Decimal("21.50")}, {})
    held, sold = ({row["symbol"]: row for row in rows} for rows in ran.told)
    assert {row["book"] for rows in ran.told for row in rows} == {"two"}
    names = ("realised", "mark", "unrealised", "fees", "net")
    # 156.80 + 238.40 - 2.60
    assert [held["BBB"][name] for name in names] == ["156.8000", "21.5000", "238.4000", "2.6000", "392.6000"]
    assert [sold["BBB"][name] for name in names] == ["473.6000", None, "0.0000", "3.6000", "470.0000"]
    assert ran.shown.splitlines()[0].strip() == "Profit and loss of book two"
    assert "unrealised" in ran.shown


def test_the_screen_says_which_book_and_which_day_a_trade_was_opened(ran: Ran) -> None:
    seen = screen(ran.results[1])
    assert "Trades of book two, session 2013-10-10" in seen
    assert "2013-10-09 09:32" in seen


BAD = "BBB {} 22.00 21.00 22.00 22.00 50000"
"""A bar whose high is below its low."""


@pytest.mark.parametrize(
    ("minutes", "said"),
    [
        ((), None),
        ((9,), "1 bar was refused as malformed"),
        ((0, 1, 9), "3 bars were refused as malformed"),
    ],
)
def test_bars_that_were_refused_are_counted_once_and_shown(
    fresh_database: Callable[[], str], tmp_path: Path, minutes: tuple[int, ...], said: str | None
) -> None:
    lines = TAPE.strip().splitlines()
    kept = [line for line in lines if not line.startswith("BBB") or int(line.split()[1]) not in minutes]
    bad = [BAD.format(minute) for minute in minutes]
    write_tape(tmp_path / "bars", "\n".join(sorted(kept + bad, key=lambda line: int(line.split()[1]) if line else 0)))
    book = Book(name="bad", database_url=fresh_database(), data_folder=tmp_path / "data", bars=tmp_path / "bars")
    with book.open() as platform:
        trade(platform, DAY)
        result = session_result(platform.stages.parts, DAY)
        figures = summary(platform, DAY, result, runs=0, seconds=0)
    # Other problems, such as a day without a history, are no bars.
    assert figures["refused_bars"] == len(minutes)
    seen = screen(result)
    assert ("refused as malformed" in seen) == (said is not None)
    assert said is None or said in seen


@pytest.fixture
def run_book(fresh_database: Callable[[], str], tmp_path: Path) -> Settings:
    """A book for `session run`, with two sessions that are over."""
    for day in HALF_DAYS:
        write_tape(tmp_path / "bars", TAPE, day)
    settings = Book(
        name="runs", database_url=fresh_database(), data_folder=tmp_path / "data", bars=tmp_path / "bars"
    ).settings
    for day in HALF_DAYS:
        run(settings, day)
    return settings


def run(settings: Settings, day: date) -> dict[str, Any]:
    market = settings.market_data.model_copy(update={"session": day})
    return run_session(settings.model_copy(update={"market_data": market}), Console(quiet=True))


@pytest.mark.timeout(300)
def test_an_old_session_can_be_shown_but_not_with_another_configuration(run_book: Settings) -> None:
    shown = run(run_book, HALF_DAYS[0])
    assert (shown["session"], shown["cycles"], shown["book"]) == ("2013-11-29", 210, "runs")
    other = run_book.model_copy(update={"limits": run_book.limits.model_copy(update={"max_positions": 2})})
    with pytest.raises(InvalidInput, match="limits: the session 2013-11-29 of book 'runs' runs with another"):
        run(other, HALF_DAYS[0])
    # A session that was never run stays out.
    with pytest.raises(InvalidInput, match="2013-11-27"):
        run(run_book, date(2013, 11, 27))
