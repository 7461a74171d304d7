"""Whole backtests in this process: the same whatever the blocks, in bounded memory, with what a reader must know."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trading_platform.backtest import bar_sources, memory
from trading_platform.backtest.bar_sources import BarBlock, BarSource, ProvidedBars, StoredBars, blocks_with_bars
from trading_platform.backtest.benchmark import benchmark_of
from trading_platform.backtest.doubts import DataDoubts
from trading_platform.backtest.outcome import BacktestResult
from trading_platform.backtest.results import PassResult
from trading_platform.backtest.run import Terms, run_backtest, venue_of, without_idle_records
from trading_platform.backtest.trades import round_trips
from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.config.settings import Settings
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.reports import DataProblem
from trading_platform.marketdata.actions import CorporateAction
from trading_platform.marketdata.column_import import import_columns
from trading_platform.marketdata.column_maker import CELL_BYTES, make_columns
from trading_platform.marketdata.columns import BarColumns
from trading_platform.marketdata.fetch import UNUSABLE
from trading_platform.marketdata.provider import Provider, Source
from trading_platform.marketdata.providers.lean_files import LeanFiles
from trading_platform.marketdata.providers.simulated import SimulatedMarket
from trading_platform.performance.statistics import statistics
from trading_platform.strategies import registry
from trading_platform_tests.sessions.random_days import AROUND_A_HALF_DAY, write_random_days

CALENDAR = ExchangeCalendar()
UNKNOWN_VOLUME = (
    "the average daily volume is not known, for the data hold no 20 days before them: nothing is entered there."
)
SYMBOLS = ("SIMA", "SIMB", "SIMC", "SIMD")
FIRST, LAST = date(2024, 6, 24), date(2024, 7, 8)
"""Ten sessions of two months, one of them a half day."""


@pytest.fixture(scope="module")
def market() -> SimulatedMarket:
    return SimulatedMarket(7, CALENDAR, 8)


def terms(*names: str, **settings: Any) -> Terms:
    chosen = Settings(**settings)
    strategies = tuple(registry.load(name) for name in names or ("gap_and_go", "vwap_reclaim"))
    return Terms(
        strategies=strategies,
        limits=chosen.limits,
        opening_cash=chosen.account.size,
        venue=venue_of(chosen.execution),
    )


def same(one: BacktestResult, other: BacktestResult) -> None:
    assert one.equity.tobytes() == other.equity.tobytes()
    assert one.cash.tobytes() == other.cash.tobytes()
    assert one.trades.finished.tobytes() == other.trades.finished.tobytes()
    assert (one.tally, one.holdings, one.doubts) == (other.tally, other.holdings, other.doubts)


def test_blocks_of_any_length_from_memory_or_from_disk_give_the_same(
    market: SimulatedMarket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ProvidedBars(market, CALENDAR, SYMBOLS, FIRST, LAST)
    assert [len(block.columns.sessions) for block in source.blocks()] == [5, 5]
    whole = run_backtest(source, terms())
    assert whole.trades.finished.size > 10
    assert whole.tally.executions > whole.trades.finished.size
    in_months = source.own_bytes
    monkeypatch.setattr(bar_sources, "BLOCK_BYTES", 3 * len(SYMBOLS) * CELL_BYTES)
    parts = ProvidedBars(market, CALENDAR, SYMBOLS, FIRST, LAST)
    assert [len(block.columns.sessions) for block in parts.blocks()] == [3, 2, 3, 2]
    assert parts.own_bytes < in_months
    same(run_backtest(parts, terms(), threads=1), whole)
    import_columns(market, CALENDAR, market.symbols, FIRST, LAST, tmp_path)
    stored = StoredBars(tmp_path, SYMBOLS)
    # A run of neighbours over whole blocks is not copied.
    assert (stored.own_bytes, StoredBars(tmp_path, ("SIMA", "SIMC")).own_bytes) == (0, 2 * 5 * CELL_BYTES)
    same(run_backtest(stored, terms()), whole)


def test_progress_counts_sessions_and_the_taker_gets_every_decision(market: SimulatedMarket) -> None:
    seen: list[tuple[int, int]] = []
    taken: list[PassResult] = []
    source = ProvidedBars(market, CALENDAR, SYMBOLS, FIRST, LAST)
    result = run_backtest(
        source,
        terms(),
        progress=lambda done, total: seen.append((done, total)),
        take=lambda block, sessions: taken.append(block) if sessions else None,
    )
    assert seen == [(5, 10), (10, 10)]
    assert sum(block.decisions.size for block in taken) == result.tally.decisions
    # What is kept of a block tells the same trades as all of it, in far fewer records.
    kept = [without_idle_records(block) for block in taken]
    whole = round_trips(taken, strategies=2, symbols=len(SYMBOLS))
    assert whole.finished.tobytes() == result.trades.finished.tobytes()
    assert round_trips(kept, strategies=2, symbols=len(SYMBOLS)).finished.tobytes() == whole.finished.tobytes()
    assert sum(block.decisions.size for block in kept) < result.tally.decisions
    assert sum(block.sent.size for block in kept) < sum(block.sent.size for block in taken)


def test_the_record_of_a_run_adds_up(market: SimulatedMarket) -> None:
    result = run_backtest(ProvidedBars(market, CALENDAR, SYMBOLS, FIRST, LAST), terms())
    record = result.record()
    assert np.array_equal(record.gross, result.equity - result.cash)
    assert record.gross.min() == 0 < record.gross.max()
    assert result.closing - result.opening == int(result.net.sum())
    assert 0 < result.deepest_fall_at_closes <= result.deepest_fall < 1
    figures = statistics(record)
    assert result.deepest_fall == pytest.approx(figures.intraday_drawdown)
    assert result.deepest_fall_at_closes == pytest.approx(figures.returns.max_drawdown)


def test_cash_limits_and_the_venue_are_those_of_the_settings(market: SimulatedMarket) -> None:
    source = ProvidedBars(market, CALENDAR, SYMBOLS, FIRST, LAST)
    plain = run_backtest(source, terms())
    changed = {
        "account": {"size": "5000"},
        "limits": {"max_positions": 1},
        "execution": {"fees": "alpaca", "slippage_bps": 20},
    }
    for name, values in changed.items():
        other = run_backtest(source, terms(**{name: values}))
        assert other.closing != plain.closing, name
    restricted = run_backtest(source, terms(limits={"restricted_symbols": SYMBOLS}))
    assert (restricted.tally.executions, restricted.closing) == (0, restricted.opening)
    assert sum(restricted.tally.refused.values()) == restricted.tally.entries > 0


def test_a_run_that_would_take_too_much_is_refused_before_it_starts(market: SimulatedMarket) -> None:
    source = ProvidedBars(market, CALENDAR, SYMBOLS, FIRST, LAST)
    wanted = memory.needed(source, terms().strategies)
    with pytest.raises(InvalidInput, match=r"memory: 4 symbols over 10 sessions take about .* MB may be taken"):
        run_backtest(source, terms(), memory=wanted - 1, progress=lambda *_: pytest.fail("it has begun"))
    assert run_backtest(source, terms(), memory=wanted).sessions == source.sessions


def test_what_a_market_takes_is_reckoned_by_its_blocks() -> None:
    class Large:
        """Eleven thousand symbols over ten years, mapped month by month."""

        symbols = ("A",) * 11_000
        sessions = (CALENDAR.session(FIRST),) * 2_520
        own_bytes = 0
        longest = 23

    found = memory.needed(Large(), terms("vwap_reclaim").strategies)  # type: ignore[arg-type]  # as much as is asked
    # The grid of what is said against holding, the entries, and the account by minute.
    assert 300e6 < found < 1_200e6


def test_what_is_free_is_bounded_by_machine_and_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine, limit, used = (tmp_path / name for name in ("meminfo", "max", "current"))
    machine.write_text("MemTotal: 9000 kB\nMemAvailable: 5000 kB\n")
    limit.write_text("4096000\n")
    used.write_text("1000000\n")
    monkeypatch.setattr(memory, "_MEMINFO", machine)
    monkeypatch.setattr(memory, "_CONTAINER", ((str(limit), str(used)),))
    assert memory.available() == 3_096_000
    limit.write_text("max\n")
    assert memory.available() == 5_120_000


# ---- what a reader must know ------------------------------------------------------------------------------------------


def test_lean_folders_with_holes_and_missing_days_are_told(tmp_path: Path) -> None:
    write_random_days(tmp_path, ("AAA", "BBB", "CCC"), AROUND_A_HALF_DAY, seed=4)
    days = AROUND_A_HALF_DAY[0], AROUND_A_HALF_DAY[-1]
    source = ProvidedBars(LeanFiles(tmp_path), CALENDAR, ("AAA", "BBB", "CCC", "ZZZ"), *days)
    result = run_backtest(source, terms("vwap_reclaim"))
    said = "\n".join(result.doubts)
    assert result.doubts[0] == "ZZZ is left out: no minute bars in the range."
    assert "ZZZ has no bar in the range." not in said
    assert (result.left_out, result.traded_symbols) == (("ZZZ",), ("AAA", "BBB", "CCC"))
    assert "AAA: bar with crossed prices" in said
    assert "minutes without a bar, more than 10 % of a session." in said
    assert result.tally.bars > 1_000


def test_late_early_absent_and_missing_are_each_told() -> None:
    sessions = tuple(CALENDAR.session(day) for day in CALENDAR.days(date(2024, 6, 3), date(2024, 6, 6)))
    counts = np.array([[390] * 4, [0, 390, 390, 390], [390, 0, 390, 0], [-1] * 4, [390, 340, 351, 390]], np.int16)

    class Told:
        """A source of which nothing but what is lacking matters."""

        symbols = ("ALL", "LATE", "AWAY", "NONE", "THIN")
        problems = (DataProblem(symbol="LATE", what="bar with crossed prices", count=3),)
        missing = (date(2024, 6, 5),)

    source: Any = Told()
    source.sessions = sessions
    doubts = DataDoubts(source)
    days = np.zeros((5, 4), [("average_daily_volume", "f8")])
    days["average_daily_volume"][0, :2] = np.nan
    columns: Any = replace(_columns(sessions), days=days)
    doubts.see(BarBlock(columns=columns, counts=counts, problems=()))
    assert doubts.said() == (
        "LATE: bar with crossed prices (3 times).",
        "NONE has no bar in the range.",
        "LATE (2024-06-04) begins within the range.",
        "AWAY (2024-06-05) ends within the range.",
        "AWAY (1 session) has sessions without a bar in between.",
        "THIN (1 session) has minutes without a bar, more than 10 % of a session.",
        "2024-06-05 is a session of which the data have nothing.",
        f"In 2 sessions of a symbol {UNKNOWN_VOLUME}",
    )


def test_data_that_cannot_be_used_are_told_once_for_each_symbol_and_those_left_out_first() -> None:
    sessions = tuple(CALENDAR.session(day) for day in CALENDAR.days(date(2024, 6, 3), date(2024, 6, 6)))

    class Told:
        """Ten symbols whose bars were refused, three that are left out, and one of which a day cannot be used."""

        symbols = (*(f"A{number}" for number in range(10)), "GONE", "NONE", "ODD", "PART")
        problems = (
            DataProblem(symbol="NONE", what="no minute bars in the range. Did you mean GONE?"),
            DataProblem(symbol="GONE", what=f"{UNUSABLE}: row 7."),
        )
        missing = ()

    source: Any = Told()
    source.sessions = sessions
    doubts = DataDoubts(source)
    counts = np.full((14, 4), 390, np.int16)
    counts[10:13] = 0
    days = np.zeros((14, 4), [("average_daily_volume", "f8")])
    columns: Any = replace(_columns(sessions), days=days)
    problems = (
        DataProblem(symbol="GONE", what=f"{UNUSABLE}: row 7.", count=4),
        DataProblem(symbol="GONE", what=f"{UNUSABLE}: another file", count=4),
        DataProblem(symbol="ODD", what="bar with crossed prices", count=1_560),
        *(DataProblem(symbol=f"A{number}", what="bar with crossed prices", count=2) for number in range(10)),
        DataProblem(symbol="PART", what=f"{UNUSABLE}: row 9"),
    )
    doubts.see(BarBlock(columns=columns, counts=counts, problems=problems))
    assert doubts.left_out == ("GONE", "NONE", "ODD")
    assert doubts.said() == (
        f"GONE is left out: {UNUSABLE}: row 7. Its data cannot be used on 3 more sessions.",
        "NONE is left out: no minute bars in the range. Did you mean GONE?",
        f"PART: {UNUSABLE}: row 9.",
        *(f"A{number}: bar with crossed prices (2 times)." for number in range(10)),
        "There are 1,560 more such problems, in 1 symbol.",
        "ODD has no bar that can be used.",
    )


def test_bars_of_which_none_came_are_refused_after_the_last_block(market: SimulatedMarket) -> None:
    bars = ProvidedBars(market, CALENDAR, ("SIMA",), FIRST, LAST)

    class Silent:
        """The same source, all of whose bars were away."""

        symbols, sessions, problems, source = bars.symbols, bars.sessions, (), bars.source

        def blocks(self) -> Iterator[BarBlock]:
            for block in bars.blocks():
                yield replace(block, counts=np.zeros_like(block.counts))

    silent: Any = Silent()
    assert len(list(blocks_with_bars(bars))) == 2
    with pytest.raises(InvalidInput, match="there is no bar of SIMA in a session from 2024-06-24 to 2024-07-08"):
        list(blocks_with_bars(silent))


def _columns(sessions: Sequence[Any]) -> BarColumns:
    none = np.zeros((0, 0, 0))
    return BarColumns(
        sessions=tuple(sessions), symbols=(), open=none, high=none, low=none, close=none, volume=none, days=none
    )


# ---- the benchmark ----------------------------------------------------------------------------------------------------


class OneSymbol:
    """Bars of one symbol whose closes and actions are given: a close a session, in that session's scale."""

    def __init__(self, days: Sequence[date], closes: Sequence[float], *actions: CorporateAction) -> None:
        self.symbols = ("IDX",)
        self.sessions = tuple(CALENDAR.session(day) for day in days)
        self.actions, self._closes = actions, closes
        self.source = Source(provider="test", feed="test", adjustment="split")

    def only(self, symbol: str) -> "OneSymbol":
        assert symbol == "IDX"
        return self

    def blocks(self) -> Iterator[BarBlock]:
        made = make_columns(
            _Flat(dict(zip(self.sessions, self._closes, strict=True))), CALENDAR, ("IDX",), self.sessions
        )
        counts = np.where(np.isnan(self._closes), 0, 390).astype(np.int16)[np.newaxis]
        yield BarBlock(columns=made.columns, counts=counts, problems=())


class _Flat:
    """A provider whose every bar of a session stands at one price; its close before the first is 50 dollars."""

    def __init__(self, closes: dict[Any, float]) -> None:
        self._closes = {session.day: (session, close) for session, close in closes.items()}
        self.source = Source(provider="test", feed="test", adjustment="split")

    def minute_bars(self, symbol: str, session: date, until: Any) -> Any:
        from trading_platform.domain.records import bar_t

        del symbol
        one, close = self._closes[session]
        bars = np.zeros(0 if np.isnan(close) else one.minutes, bar_t)
        bars["time"] = int(one.open.timestamp()) + 60 * np.arange(bars.size)
        for name in ("open", "high", "low", "close"):
            bars[name] = 0 if np.isnan(close) else round(close * 10_000)
        bars["volume"] = 100
        return bars[bars["time"] + 60 <= until.timestamp()]

    def daily_bars(self, symbol: str, session: date, count: int) -> Any:
        from trading_platform.domain.records import daily_t

        del symbol, count
        bars = np.zeros(1, daily_t)
        bars["day"] = (CALENDAR.previous(session).day - date(1970, 1, 1)).days
        for name in ("open", "high", "low", "close"):
            bars[name] = 500_000
        bars["volume"] = 100
        return bars

    def halted(self, symbol: str, session: date, at: Any) -> bool:
        del symbol, session, at
        return False

    def minute_sessions(self, symbol: str, before: date) -> tuple[date, ...]:
        del symbol
        return tuple(day for day in self._closes if day < before)


DAYS = CALENDAR.days(date(2024, 6, 3), date(2024, 6, 6))


def held(closes: Sequence[float], *actions: CorporateAction) -> list[float]:
    source: Any = OneSymbol(DAYS, closes, *actions)
    return [round(float(one), 6) for one in benchmark_of(source, "IDX", source.sessions).held]


def test_a_benchmark_is_held_through_splits_and_dividends() -> None:
    plain = [51.0, 52.0, 53.0, 54.0]
    assert held(plain) == [50.0, *plain]
    split = CorporateAction(symbol="IDX", session=DAYS[2], split=Fraction(2))
    assert held([51.0, 52.0, 26.5, 27.0], split) == [50.0, *plain]
    # Of the 52 dollars of before, 2 are paid: what is left buys 52 / 50 shares.
    paid = CorporateAction(symbol="IDX", session=DAYS[2], dividend=Decimal(2))
    assert held([51.0, 52.0, 50.0, 50.0], paid) == [50.0, 51.0, 52.0, 52.0, 52.0]
    both = CorporateAction(symbol="IDX", session=DAYS[2], split=Fraction(2), dividend=Decimal(2))
    assert held([51.0, 52.0, 25.0, 25.0], both) == [50.0, 51.0, 52.0, 52.0, 52.0]
    # A split of the first night is in the base already.
    first = CorporateAction(symbol="IDX", session=DAYS[0], split=Fraction(2))
    assert held(plain, first) == [50.0, *plain]
    # Nothing came on the third day, on which it split.
    assert held([51.0, 52.0, float("nan"), 27.0], split) == [50.0, 51.0, 52.0, 52.0, 54.0]


def test_sources_that_hold_nothing_of_what_is_wanted_say_so(market: SimulatedMarket, tmp_path: Path) -> None:
    import_columns(market, CALENDAR, SYMBOLS, FIRST, LAST, tmp_path)

    def refused(made: Any, said: str) -> None:
        with pytest.raises(InvalidInput, match=said):
            made()

    refused(lambda: StoredBars(tmp_path, ("SIMX",)), "there is no SIMX among its 4 symbols. Did you mean SIM")
    refused(lambda: StoredBars(tmp_path, None, date(2020, 1, 1), date(2020, 2, 1)), "holds no session")
    refused(lambda: StoredBars(tmp_path, None, LAST, FIRST), "2024-06-24 is before 2024-07-08")
    refused(lambda: ProvidedBars(market, CALENDAR, (), FIRST, LAST), "there is no symbol")
    weekend = date(2024, 6, 29), date(2024, 6, 30)
    refused(lambda: ProvidedBars(market, CALENDAR, SYMBOLS, *weekend), "there is no bar of SIMA, SIMB, SIMC, SIMD")
    source: BarSource = StoredBars(tmp_path, ("SIMA",))
    assert source.only("SIMB").symbols == ("SIMB",)
    refused(lambda: source.only("SIMX"), "there is no SIMX")
    provider: Provider = market
    assert ProvidedBars(provider, CALENDAR, ("SIMA",), FIRST, LAST).only("SIMB").symbols == ("SIMB",)
