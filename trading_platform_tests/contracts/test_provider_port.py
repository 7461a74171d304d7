"""What every provider keeps, whatever its source. Each provider's class says only how to make one, and for which day."""

import zipfile
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.calendars.sessions import Session
from trading_platform.domain.records import bar_t, daily_t
from trading_platform.marketdata.provider import Market, Provider, Source
from trading_platform.marketdata.providers.csv_files import CsvFiles
from trading_platform.marketdata.providers.lean_files import LeanFiles
from trading_platform.marketdata.providers.parquet_files import ParquetFiles
from trading_platform.marketdata.providers.simulated import SimulatedMarket
from trading_platform.marketdata.store import BarStore, store_session

CALENDAR = ExchangeCalendar()
EPOCH = date(1970, 1, 1)


class ProviderContract:
    """Subclasses give the fixture `make`, and the symbol and session that their provider has bars of."""

    symbol: str
    session: Session

    def test_it_says_what_its_bars_come_from(self, make: Callable[[], Provider]) -> None:
        source = make().source
        assert isinstance(source, Source)
        assert all((source.provider, source.feed, source.adjustment))

    def test_it_lists_its_symbols(self, make: Callable[[], Market]) -> None:
        symbols = make().symbols
        assert self.symbol in symbols
        assert list(symbols) == sorted(set(symbols))

    def test_bars_are_records_in_rising_order_within_the_day(self, make: Callable[[], Provider]) -> None:
        bars = make().minute_bars(self.symbol, self.session.day, self.session.after_hours_close)
        assert bars.dtype == bar_t
        assert len(bars) > 100
        assert (np.diff(bars["time"]) > 0).all()
        assert bars["time"][0] >= self.session.premarket_open.timestamp()
        assert bars["time"][-1] < self.session.after_hours_close.timestamp()

    def test_it_never_shows_the_future(self, make: Callable[[], Provider]) -> None:
        provider = make()
        whole = provider.minute_bars(self.symbol, self.session.day, self.session.after_hours_close)
        for seconds in (-3_600, 0, 59, 60, 61, 119, 120, 1_800, 23_400, 30_000):
            until = self.session.open + timedelta(seconds=seconds)
            shown = provider.minute_bars(self.symbol, self.session.day, until)
            assert shown.tolist() == whole[whole["time"] + 60 <= until.timestamp()].tolist()
        assert len(provider.minute_bars(self.symbol, self.session.day, self.session.premarket_open)) == 0

    def test_the_future_does_not_depend_on_having_been_asked(self, make: Callable[[], Provider]) -> None:
        early = make()
        until = self.session.open + timedelta(minutes=10)
        first = early.minute_bars(self.symbol, self.session.day, until).tolist()
        late = make()
        late.minute_bars(self.symbol, self.session.day, self.session.close)
        assert late.minute_bars(self.symbol, self.session.day, until).tolist() == first

    def test_what_it_gives_cannot_be_changed_by_the_one_who_asked(self, make: Callable[[], Provider]) -> None:
        provider = make()
        daily = provider.daily_bars(self.symbol, self.session.day, 5)
        before = daily.tolist()
        daily["close"] = 1
        assert provider.daily_bars(self.symbol, self.session.day, 5).tolist() == before
        bars = provider.minute_bars(self.symbol, self.session.day, self.session.close)
        with pytest.raises(ValueError, match="read-only"):
            bars["close"] = 1

    def test_daily_bars_are_of_the_days_before_and_oldest_first(self, make: Callable[[], Provider]) -> None:
        daily = make().daily_bars(self.symbol, self.session.day, 5)
        assert daily.dtype == daily_t
        expected = [CALENDAR.previous(self.session.day, count).day for count in range(len(daily), 0, -1)]
        assert daily["day"].tolist() == [(day - EPOCH).days for day in expected]
        assert 1 <= len(daily) <= 5
        assert make().daily_bars(self.symbol, self.session.day, 1).tolist() == daily[-1:].tolist()
        assert len(make().daily_bars(self.symbol, self.session.day, 0)) == 0

    def test_minute_sessions_are_before_the_day_and_have_bars(self, make: Callable[[], Provider]) -> None:
        provider = make()
        days = provider.minute_sessions(self.symbol, self.session.day)
        assert list(days) == sorted(set(days))
        assert all(day < self.session.day for day in days)
        assert self.session.day in provider.minute_sessions(self.symbol, self.session.day + timedelta(days=1))
        for day in days[-2:]:
            assert len(provider.minute_bars(self.symbol, day, CALENDAR.session(day).close))

    def test_a_symbol_that_it_does_not_have_is_empty(self, make: Callable[[], Provider]) -> None:
        provider = make()
        bars = provider.minute_bars("NOSUCH", self.session.day, self.session.close)
        daily = provider.daily_bars("NOSUCH", self.session.day, 5)
        assert (bars.dtype, len(bars)) == (bar_t, 0)
        assert (daily.dtype, len(daily)) == (daily_t, 0)
        assert provider.minute_sessions("NOSUCH", self.session.day) == ()

    def test_a_halt_is_told_only_where_no_bar_came(self, make: Callable[[], Provider]) -> None:
        provider = make()
        bars = provider.minute_bars(self.symbol, self.session.day, self.session.close)
        for start in bars["time"].tolist():
            assert not provider.halted(self.symbol, self.session.day, datetime.fromtimestamp(start + 60, UTC))
        assert not provider.halted("NOSUCH", self.session.day, self.session.close)

    def test_a_day_without_a_session_is_empty(self, make: Callable[[], Provider]) -> None:
        saturday = self.session.day + timedelta(days=5 - self.session.day.weekday())
        assert len(make().minute_bars(self.symbol, saturday, self.session.close + timedelta(days=9))) == 0


class TestSimulatedMarket(ProviderContract):
    symbol = "SIMF"
    session = CALENDAR.session(date(2024, 5, 9))  # SIMF is halted in it

    @pytest.fixture
    def make(self) -> Callable[[], Provider]:
        return lambda: SimulatedMarket(3, CALENDAR)


class TestLeanFilesMadeHere(ProviderContract):
    symbol = "XYZ"
    session = CALENDAR.session(date(2014, 3, 10))

    @pytest.fixture
    def make(self, tmp_path: Path) -> Callable[[], Provider]:
        home = tmp_path / "equity" / "usa"
        (home / "minute" / "xyz").mkdir(parents=True)
        (home / "daily").mkdir()
        (home / "factor_files").mkdir()
        days = CALENDAR.days(date(2014, 2, 24), self.session.day)
        rows = "".join(f"{minute * 60_000},10000,10200,9900,10100,{minute}\n" for minute in range(240, 1200, 3))
        for day in days:
            with zipfile.ZipFile(home / "minute" / "xyz" / f"{day:%Y%m%d}_trade.zip", "w") as archive:
                archive.writestr("xyz.csv", rows)
        with zipfile.ZipFile(home / "daily" / "xyz.zip", "w") as archive:
            archive.writestr("xyz.csv", "".join(f"{day:%Y%m%d} 00:00,10000,10200,9900,10100,7\n" for day in days))
        (home / "factor_files" / "xyz.csv").write_text("20501231,1,1,0\n")
        return lambda: LeanFiles(tmp_path)


class TestLeanFilesAsRecorded(ProviderContract):
    symbol = "IBM"
    session = CALENDAR.session(date(2013, 10, 9))

    @pytest.fixture
    def make(self, lean_data: Path) -> Callable[[], Provider]:
        return lambda: LeanFiles(lean_data)


def own_bars(session: Session) -> dict[str, list[list[str]]]:
    """Rows of a user's own files: minute bars of two weeks in exchange time, daily bars of the same, no split."""
    days = CALENDAR.days(session.day - timedelta(days=14), session.day)
    clock = [f"{minute // 60:02}:{minute % 60:02}" for minute in range(240, 1200, 3)]
    minutes = [[f"{day} {time}", "1.0", "1.02", "0.99", "1.01", "7"] for day in days for time in clock]
    return {"minute": minutes, "daily": [[str(day), "1.0", "1.02", "0.99", "1.01", "9"] for day in days]}


class TestCsvFiles(ProviderContract):
    symbol = "XYZ"
    session = CALENDAR.session(date(2014, 3, 10))  # the first after a change of the clock

    @pytest.fixture
    def make(self, tmp_path: Path) -> Callable[[], Provider]:
        for folder, rows in {**own_bars(self.session), "splits": []}.items():
            first = {"minute": "time", "daily": "date"}.get(folder)
            header = "date,ratio" if first is None else f"{first},open,high,low,close,volume"
            (tmp_path / folder).mkdir()
            lines = [header, *(",".join(row) for row in rows)]
            (tmp_path / folder / "XYZ.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return lambda: CsvFiles(tmp_path)


class TestParquetFiles(ProviderContract):
    symbol = "XYZ"
    session = CALENDAR.session(date(2014, 3, 10))

    @pytest.fixture
    def make(self, tmp_path: Path) -> Callable[[], Provider]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        when = {"minute": ("time", datetime.fromisoformat), "daily": ("date", date.fromisoformat)}
        for folder, rows in own_bars(self.session).items():
            name, read = when[folder]
            columns = dict(zip((name, "open", "high", "low", "close", "volume"), zip(*rows, strict=True), strict=True))
            table = {
                name: [read(text) for text in columns.pop(name)],
                "volume": [int(text) for text in columns.pop("volume")],
                **{price: [float(text) for text in texts] for price, texts in columns.items()},
            }
            (tmp_path / folder).mkdir()
            pq.write_table(pa.table(table), tmp_path / folder / "XYZ.parquet")
        (tmp_path / "splits").mkdir()
        none = {"date": pa.array([], pa.date32()), "ratio": pa.array([], pa.float64())}
        pq.write_table(pa.table(none), tmp_path / "splits" / "XYZ.parquet")
        return lambda: ParquetFiles(tmp_path)


class TestStoredSessions(ProviderContract):
    symbol = "SIMF"
    session = CALENDAR.session(date(2024, 5, 9))

    @pytest.fixture
    def make(self, tmp_path: Path) -> Callable[[], Provider]:
        market = SimulatedMarket(3, CALENDAR)
        store_session(market, CALENDAR, ("SIMA", "SIMF"), self.session, BarStore(tmp_path))
        return lambda: ParquetFiles(tmp_path)
