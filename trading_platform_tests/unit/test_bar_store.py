"""Bars stored by session: exact, whole or not at all, never written over in silence, and a data folder of their own."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.records import bar_t, daily_t
from trading_platform.marketdata.day import PROFILE_SESSIONS
from trading_platform.marketdata.fetch import fetch_bars, open_session
from trading_platform.marketdata.provider import Source
from trading_platform.marketdata.providers.lean_files import LeanFiles
from trading_platform.marketdata.providers.parquet_files import ParquetFiles
from trading_platform.marketdata.providers.simulated import SimulatedMarket
from trading_platform.marketdata.session_files import DAILY, SYMBOLS_IN_A_GROUP
from trading_platform.marketdata.store import BarStore, store_name, store_session

CALENDAR = ExchangeCalendar()
DAY = date(2024, 6, 12)
SESSION = CALENDAR.session(DAY)
SOURCE = Source(provider="made", feed="by hand", adjustment="split")
ORIGIN: dict[str, Any] = {"source": SOURCE, "calendar": "XNYS"}


def bars_of(first: int, count: int = 3) -> npt.NDArray[Any]:
    bars = np.zeros(count, bar_t)
    bars["time"] = int(SESSION.open.timestamp()) + 60 * np.arange(count)
    for name in ("open", "high", "low", "close"):
        bars[name] = first
    bars["volume"] = 100
    return bars


def listed(bars: dict[str, npt.NDArray[Any]]) -> dict[str, list[Any]]:
    return {symbol: some.tolist() for symbol, some in bars.items()}


@pytest.fixture
def store(tmp_path: Path) -> BarStore:
    return BarStore(tmp_path / "bars")


def test_what_is_stored_is_read_exactly(store: BarStore) -> None:
    given = {"BBB": bars_of(1), "AAA": bars_of(9_007_199_254_740), "CCC": bars_of(12_345_678, 390)}
    assert store.write(DAY, given, **ORIGIN)
    assert store.sessions() == (DAY,)
    assert listed(store.read(DAY)) == listed(dict(sorted(given.items())))
    assert listed(store.read(DAY, ["CCC", "NONE"])) == listed({"CCC": given["CCC"]})
    assert store.read(date(2024, 6, 13)) == {}


def test_other_programs_read_dollars_and_moments(store: BarStore) -> None:
    store.write(DAY, {"AAA": bars_of(501_234, 1)}, **ORIGIN)
    (row,) = pq.read_table(store.path(DAY)).to_pylist()
    assert (row["symbol"], row["time"], str(row["close"]), row["volume"]) == ("AAA", SESSION.open, "50.1234", 100)


def test_the_file_says_what_its_bars_come_from(store: BarStore) -> None:
    store.write(DAY, {"AAA": bars_of(5), "EMPTY": bars_of(5, 0)}, **ORIGIN)
    found = store.contents(DAY)
    assert found is not None
    assert found.header is not None
    assert (found.header.source, found.header.calendar, found.header.session) == (SOURCE, "XNYS", DAY)
    assert found.symbols == ("AAA",)


def test_the_same_bars_again_change_nothing(store: BarStore) -> None:
    store.write(DAY, {"AAA": bars_of(5), "BBB": bars_of(6)}, **ORIGIN)
    before = store.path(DAY).stat()
    assert not store.write(DAY, {"BBB": bars_of(6)}, **ORIGIN)
    assert (store.path(DAY).stat().st_mtime_ns, store.path(DAY).stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_other_bars_are_refused_unless_a_replacement_is_asked_for(store: BarStore) -> None:
    store.write(DAY, {"AAA": bars_of(5), "BBB": bars_of(6)}, **ORIGIN)
    other = bars_of(5)
    other["close"][1] = 4
    with pytest.raises(
        InvalidInput, match=r"other bars of AAA are stored .the first that differs is of 2024-06-12 13:31"
    ):
        store.write(DAY, {"AAA": other, "CCC": bars_of(7)}, **ORIGIN)
    with pytest.raises(InvalidInput, match=r"other bars of AAA are stored .3 bars, not 4"):
        store.write(DAY, {"AAA": bars_of(5, 4)}, **ORIGIN)
    assert listed(store.read(DAY)) == listed({"AAA": bars_of(5), "BBB": bars_of(6)})
    assert store.write(DAY, {"AAA": other}, **ORIGIN, replace=True)
    assert listed(store.read(DAY)) == listed({"AAA": other, "BBB": bars_of(6)})


def test_symbols_are_added_to_a_session(store: BarStore) -> None:
    store.write(DAY, {"BBB": bars_of(6)}, **ORIGIN)
    first = store.contents(DAY)
    assert store.write(DAY, {"AAA": bars_of(5)}, **ORIGIN)
    second = store.contents(DAY)
    assert listed(store.read(DAY)) == listed({"AAA": bars_of(5), "BBB": bars_of(6)})
    assert first is not None
    assert second is not None
    assert first.header != second.header


@pytest.mark.parametrize(
    "other",
    [
        {"source": replace(SOURCE, feed="another"), "calendar": "XNYS"},
        {"source": replace(SOURCE, adjustment="raw"), "calendar": "XNYS"},
        {"source": SOURCE, "calendar": "every_day"},
    ],
)
def test_sources_are_not_mixed(store: BarStore, other: dict[str, Any]) -> None:
    store.write(DAY, {"AAA": bars_of(5)}, **ORIGIN)
    with pytest.raises(InvalidInput, match=r"holds bars of made by hand.* are not mixed.*Give each source a store"):
        store.write(date(2024, 6, 13), {"AAA": bars_of(5)}, **other)
    assert store.sessions() == (DAY,)


def test_a_folder_of_somebody_elses_files_is_not_written_to(store: BarStore) -> None:
    store.path(DAY).parent.mkdir(parents=True)
    pq.write_table(pa.table({"symbol": ["AAA"]}), store.path(DAY))
    with pytest.raises(InvalidInput, match="was not written by the bar store"):
        store.write(date(2024, 6, 13), {"AAA": bars_of(5)}, **ORIGIN)


def test_a_store_is_named_after_its_source() -> None:
    assert store_name(Source(provider="simulated", feed="seed 7", adjustment="split")) == "simulated-seed-7"


def test_a_file_under_another_name_is_refused(store: BarStore) -> None:
    store.write(DAY, {"AAA": bars_of(5)}, **ORIGIN)
    store.path(DAY).rename(store.path(date(2024, 6, 13)))
    with pytest.raises(InvalidInput, match=r"says that it holds the minute bars of 2024-06-12. Give it back the name"):
        ParquetFiles(store.root).minute_bars("AAA", date(2024, 6, 13), SESSION.close)


def test_a_later_releases_file_is_refused(store: BarStore) -> None:
    store.write(DAY, {"AAA": bars_of(5)}, **ORIGIN)
    table = pq.read_table(store.path(DAY))
    said = table.schema.metadata[b"trading_platform"].replace(b'"version": 1', b'"version": 2')
    pq.write_table(table.replace_schema_metadata({b"trading_platform": said}), store.path(DAY))
    with pytest.raises(InvalidInput, match="is a session's file of version 2, and this release reads version 1"):
        BarStore(store.root).read(DAY)


def test_a_spoilt_byte_is_found_or_does_not_matter(store: BarStore) -> None:
    given = {"AAA": bars_of(5, 40), "BBB": bars_of(7, 40)}
    given["AAA"]["close"] = np.arange(40) ** 5 + 1
    store.write(DAY, given, **ORIGIN)
    whole = store.path(DAY).read_bytes()
    said: list[str] = []
    for place in range(4, len(whole), 53):
        spoilt = bytearray(whole)
        spoilt[place] ^= 0x55
        store.path(DAY).write_bytes(spoilt)
        try:
            assert listed(BarStore(store.root).read(DAY)) == listed(given)
        except InvalidInput as error:
            said.append(str(error))
    assert len(said) > 10
    assert all("minute/2024-06-12.parquet" in one for one in said)


WRITE_AND_DIE = """if True:
    import os, sys
    from pathlib import Path
    from trading_platform.marketdata import session_files
    from trading_platform_tests.unit.test_bar_store import DAY, ORIGIN, bars_of
    from trading_platform.marketdata.store import BarStore

    whole = session_files._write_groups
    def half(file, *rest):
        whole(file, *rest)
        file.flush()
        os.kill(os.getpid(), 9)
    session_files._write_groups = half
    BarStore(Path(sys.argv[1])).write(DAY, {"AAA": bars_of(6)}, **ORIGIN, replace=True)
"""


def test_a_writer_that_is_killed_leaves_what_was_there(store: BarStore) -> None:
    store.write(DAY, {"AAA": bars_of(5)}, **ORIGIN)
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-c", WRITE_AND_DIE, str(store.root)], env=environment, check=False)
    assert done.returncode == -9
    assert len(list(store.path(DAY).parent.iterdir())) == 2
    assert store.sessions() == (DAY,)
    assert listed(store.read(DAY)) == listed({"AAA": bars_of(5)})
    assert store.write(DAY, {"AAA": bars_of(6)}, **ORIGIN, replace=True)
    assert [path.name for path in store.path(DAY).parent.iterdir()] == [store.path(DAY).name]


def test_a_store_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(InvalidInput, match="taken: the store cannot be written"):
        BarStore(tmp_path / "taken").write(DAY, {"AAA": bars_of(5)}, **ORIGIN)
    store = BarStore(tmp_path)
    (tmp_path / "minute").write_text("a file")
    with pytest.raises(InvalidInput, match="it cannot be written"):
        store.write(DAY, {"AAA": bars_of(5)}, **ORIGIN)


def test_writers_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    symbols = [f"S{number}" for number in range(12)]
    with ThreadPoolExecutor(4) as pool:
        written = pool.map(lambda symbol: BarStore(tmp_path).write(DAY, {symbol: bars_of(5)}, **ORIGIN), symbols)
        assert all(written)
    assert sorted(BarStore(tmp_path).read(DAY)) == sorted(symbols)


def test_many_symbols_lie_in_several_row_groups(store: BarStore) -> None:
    symbols = [f"S{number:04}" for number in range(3 * SYMBOLS_IN_A_GROUP + 1)]
    store.write(DAY, {symbol: bars_of(number + 1) for number, symbol in enumerate(symbols)}, **ORIGIN)
    found = store.contents(DAY)
    assert found is not None
    assert len(found.groups) == 4
    files = ParquetFiles(store.root)
    for number in (0, SYMBOLS_IN_A_GROUP - 1, SYMBOLS_IN_A_GROUP, 3 * SYMBOLS_IN_A_GROUP):
        assert files.minute_bars(symbols[number], DAY, SESSION.close)["close"].tolist() == [number + 1] * 3


def test_daily_bars_are_kept_for_each_session(store: BarStore) -> None:
    daily = np.array([(19_885, 1, 2, 1, 2, 7), (19_886, 2, 3, 2, 3, 8)], daily_t)
    store.write(DAY, {"AAA": bars_of(5)}, **ORIGIN)
    store.write(DAY, {"AAA": daily}, **ORIGIN, kind=DAILY)
    files = ParquetFiles(store.root)
    assert files.daily_bars("AAA", DAY, 5).tolist() == daily.tolist()
    assert files.daily_bars("AAA", DAY, 1).tolist() == daily[1:].tolist()
    assert len(files.daily_bars("BBB", DAY, 5)) == 0
    assert len(files.daily_bars("AAA", date(2024, 6, 13), 5)) == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A market that has traded and been stored, as it was and as the store has it."""

    market: SimulatedMarket
    store: BarStore

    @property
    def files(self) -> ParquetFiles:
        return ParquetFiles(self.store.root)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    market = SimulatedMarket(7, CALENDAR, 4)
    store = BarStore(tmp_path_factory.mktemp("kept"))
    store_session(market, CALENDAR, market.symbols, SESSION, store)
    return Kept(market=market, store=store)


def test_a_stored_session_gives_the_same_bars_and_day_records(kept: Kept) -> None:
    market, files = kept.market, kept.files
    for provider in (market, files):
        assert provider.source == Source(provider="simulated", feed="seed 7", adjustment="split")
    days, problems = open_session(market, CALENDAR, market.symbols, SESSION)
    days_again, problems_again = open_session(files, CALENDAR, market.symbols, SESSION)
    assert days_again.tobytes() == days.tobytes()
    assert problems_again == problems == ()
    bars, _ = fetch_bars(market, market.symbols, SESSION, SESSION.close)
    bars_again, _ = fetch_bars(files, market.symbols, SESSION, SESSION.close)
    assert bars_again.bars.tobytes() == bars.bars.tobytes()


def test_without_the_profiles_sessions_the_day_records_would_differ(kept: Kept, tmp_path: Path) -> None:
    alone = BarStore(tmp_path)
    bars = {symbol: kept.market.minute_bars(symbol, DAY, SESSION.close) for symbol in kept.market.symbols}
    alone.write(DAY, bars, source=kept.market.source, calendar="XNYS")
    days, _ = open_session(kept.market, CALENDAR, kept.market.symbols, SESSION)
    days_again, problems = open_session(ParquetFiles(tmp_path), CALENDAR, kept.market.symbols, SESSION)
    assert days_again.tobytes() != days.tobytes()
    assert {problem.what for problem in problems} >= {"no earlier minute session for the volume profile"}


def test_the_next_session_brings_only_itself(kept: Kept) -> None:
    following = CALENDAR.next(DAY)
    stored = store_session(kept.market, CALENDAR, kept.market.symbols, following, kept.store)
    assert (stored.changed, stored.earlier, stored.refused, stored.silent) == (True, (), 0, ())
    assert stored.symbols == kept.market.symbols
    assert stored.bars == sum(len(some) for some in kept.store.read(following.day).values())
    again = store_session(kept.market, CALENDAR, kept.market.symbols, following, kept.store)
    assert (again.changed, again.sha256) == (False, stored.sha256)
    days, _ = open_session(kept.market, CALENDAR, kept.market.symbols, following)
    assert open_session(kept.files, CALENDAR, kept.market.symbols, following)[0].tobytes() == days.tobytes()


def test_what_was_refused_is_counted_and_not_stored(tmp_path: Path, lean_data: Path) -> None:
    session = CALENDAR.session(date(2014, 6, 9))
    files, store = LeanFiles(lean_data), BarStore(tmp_path)
    stored = store_session(files, CALENDAR, ("AAPL", "NOPE"), session, store)
    assert (stored.refused, stored.symbols, stored.silent) == (1, ("AAPL",), ("NOPE",))
    # Splits need no file in the store: the daily bars are in the session's scale already.
    days, _ = open_session(files, CALENDAR, ("AAPL",), session)
    assert open_session(ParquetFiles(tmp_path), CALENDAR, ("AAPL",), session)[0].tobytes() == days.tobytes()


def test_a_source_that_cannot_be_used_stores_nothing_of_the_session(
    kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unusable(symbol: str, session: date, _count: int) -> Any:
        raise InvalidInput("cannot be read", where=f"{symbol} {session}", mend="Mend it")

    market = SimulatedMarket(7, CALENDAR, 2)
    monkeypatch.setattr(market, "daily_bars", unusable)
    store = BarStore(tmp_path)
    with pytest.raises(InvalidInput, match="SIMA 2024-06-12: cannot be read"):
        store_session(market, CALENDAR, market.symbols, SESSION, store)
    assert DAY not in store.sessions()
    assert len(kept.files.minute_sessions("SIMA", DAY)) == PROFILE_SESSIONS
