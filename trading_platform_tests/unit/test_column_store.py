"""Columns on disk: exact, mapped, whole or not at all, never written over in silence, and clear about what is broken."""

import json
import mmap
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.calendars.sessions import Hours
from trading_platform.domain.errors import InvalidInput
from trading_platform.marketdata.actions import CorporateAction
from trading_platform.marketdata.column_catalogue import CATALOGUE, read_catalogue
from trading_platform.marketdata.column_import import Imported, import_columns
from trading_platform.marketdata.column_maker import COLUMNS, make_columns
from trading_platform.marketdata.column_store import open_columns, stored_symbols, verify_columns
from trading_platform.marketdata.columns import BarColumns
from trading_platform.marketdata.provider import Provider
from trading_platform.marketdata.providers.csv_files import CsvFiles
from trading_platform.marketdata.providers.lean_files import LeanFiles
from trading_platform.marketdata.providers.parquet_files import ParquetFiles
from trading_platform.marketdata.providers.simulated import SimulatedMarket
from trading_platform.marketdata.store import BarStore, store_session
from trading_platform_tests.sessions.random_days import AROUND_A_HALF_DAY, same_bits, write_random_days
from trading_platform_tests.sessions.tape import write_rows

CALENDAR = ExchangeCalendar()
DAYS = AROUND_A_HALF_DAY
SESSIONS = tuple(map(CALENDAR.session, DAYS))
SYMBOLS = ("AAA", "BBB", "CCC", "DDD", "EEE")


@pytest.fixture
def lean(tmp_path: Path) -> Path:
    return write_random_days(tmp_path / "lean", SYMBOLS, DAYS, 11)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "columns"


def imported(
    lean: Path,
    folder: Path,
    symbols: Sequence[str] = SYMBOLS,
    days: Sequence[date] = DAYS,
    calendar: ExchangeCalendar = CALENDAR,
    **more: Any,
) -> Imported:
    return import_columns(LeanFiles(lean), calendar, symbols, days[0], days[-1], folder, **more)


def made(provider: Provider, symbols: Sequence[str] = SYMBOLS, days: Sequence[date] = DAYS) -> BarColumns:
    return make_columns(provider, CALENDAR, symbols, [CALENDAR.session(day) for day in days]).columns


def parts(columns: BarColumns, *slices: slice) -> list[BarColumns]:
    return [
        BarColumns(
            sessions=columns.sessions[one],
            symbols=columns.symbols,
            **{name: getattr(columns, name)[:, one] for name in (*COLUMNS, "days")},
        )
        for one in slices
    ]


def require_same(found: Sequence[BarColumns], expected: Sequence[BarColumns]) -> None:
    assert [block.sessions for block in found] == [block.sessions for block in expected]
    assert all(same_bits(one, other) for one, other in zip(found, expected, strict=True))


def is_mapped(array: npt.NDArray[Any]) -> bool:
    holder: Any = array
    while isinstance(holder, np.ndarray):
        holder = holder.base
    return isinstance(holder, mmap.mmap) or (isinstance(holder, memoryview) and isinstance(holder.obj, mmap.mmap))


def state(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file but the lock, by what tells whether it was written again."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def test_what_is_stored_is_what_was_made_month_by_month(lean: Path, folder: Path) -> None:
    told = imported(lean, folder)
    assert (told.written, told.skipped, told.missing, told.silent) == (DAYS, (), (), ())
    require_same(list(open_columns(folder)), parts(made(LeanFiles(lean)), slice(4), slice(4, 5)))


def test_whole_blocks_are_mapped_and_cannot_be_changed(lean: Path, folder: Path) -> None:
    imported(lean, folder)
    for block in open_columns(folder):
        for array in (getattr(block, name) for name in (*COLUMNS, "days")):
            assert is_mapped(array)
            assert array.flags.c_contiguous
            assert array.flags.aligned
            assert not array.flags.writeable


@pytest.mark.parametrize(
    ("wanted", "mapped"), [(("DDD", "BBB", "CCC"), True), (("CCC",), True), (("AAA", "CCC", "EEE"), False)]
)
def test_a_choice_of_symbols_is_copied_only_where_it_must_be(
    lean: Path, folder: Path, wanted: tuple[str, ...], *, mapped: bool
) -> None:
    imported(lean, folder)
    found = list(open_columns(folder, wanted))
    require_same(found, parts(made(LeanFiles(lean), wanted), slice(4), slice(4, 5)))
    assert {is_mapped(array) for block in found for array in (block.close, block.days)} == {mapped}
    assert all(block.close.flags.c_contiguous and not block.close.flags.writeable for block in found)


def test_a_choice_of_days_leaves_the_others_out(lean: Path, folder: Path) -> None:
    imported(lean, folder)
    columns = made(LeanFiles(lean))
    require_same(list(open_columns(folder, first=DAYS[2])), parts(columns, slice(2, 4), slice(4, 5)))
    require_same(
        list(open_columns(folder, first=date(2013, 11, 26), last=date(2013, 11, 28))), parts(columns, slice(1, 3))
    )


def test_the_same_bars_again_change_nothing(lean: Path, folder: Path) -> None:
    imported(lean, folder)
    before = state(folder)
    told = imported(lean, folder)
    assert (told.written, told.skipped) == ((), DAYS)
    assert imported(lean, folder, SYMBOLS[1:3], DAYS[1:2]).skipped == DAYS[1:2]
    assert state(folder) == before


def test_sessions_are_added_to_a_month(lean: Path, folder: Path) -> None:
    imported(lean, folder, days=DAYS[1:2])
    assert imported(lean, folder, days=DAYS[:3]).written == (DAYS[0], DAYS[2])
    assert imported(lean, folder).written == DAYS[3:]
    require_same(list(open_columns(folder)), parts(made(LeanFiles(lean)), slice(4), slice(4, 5)))
    assert len([path for path in folder.iterdir() if path.is_dir()]) == 2


def test_symbols_are_added_and_are_nan_where_they_were_not_imported(lean: Path, folder: Path) -> None:
    imported(lean, folder, ("BBB", "DDD"), DAYS[:2])
    imported(lean, folder, ("AAA", "DDD", "EEE"), DAYS[1:])
    november, december = open_columns(folder)
    assert november.symbols == december.symbols == ("AAA", "BBB", "DDD", "EEE")
    whole = made(LeanFiles(lean), november.symbols)
    for row, places in ((0, (1, 2, 3)), (1, (0, 1)), (2, (0, 1, 2, 3)), (3, (1, 2, 3))):
        for place in range(4):
            if place in places:
                assert november.close[row, place].tobytes() == whole.close[row, place].tobytes()
                assert november.days[row, place].tobytes() == whole.days[row, place].tobytes()
            else:
                assert np.isnan(november.close[row, place]).all()
                assert not november.volume[row, place].any()
                assert np.isnan(november.days["prior_close"][row, place])
                assert np.isnan(november.days["volume_share"][row, place]).all()
    assert np.isnan(december.close[1]).all()
    assert [one.not_imported for one in stored_symbols(folder)] == [1, 3, 0, 1]


def test_other_bars_are_refused_unless_a_replacement_is_asked_for(lean: Path, folder: Path) -> None:
    imported(lean, folder)
    before = state(folder)
    write_rows(lean, "CCC", ["34200000,500000,500000,500000,500000,7"], DAYS[3])
    with pytest.raises(InvalidInput, match=r"other bars.* of CCC on 2013-11-29 are stored .*ask for its replacement"):
        imported(lean, folder)
    assert state(folder) == before
    # One symbol at a time: what comes before the one that differs is taken from the old block.
    assert imported(lean, folder, replace_others=True, memory=1).written == (DAYS[3],)
    require_same(list(open_columns(folder)), parts(made(LeanFiles(lean)), slice(4), slice(4, 5)))
    assert list(verify_columns(folder)) == []


def test_a_reader_keeps_the_block_that_it_has_opened(lean: Path, folder: Path) -> None:
    imported(lean, folder)
    (november, _), before = open_columns(folder), made(LeanFiles(lean))
    write_rows(lean, "CCC", ["34200000,500000,500000,500000,500000,7"], DAYS[3])
    imported(lean, folder, replace_others=True)
    require_same([november], parts(before, slice(4)))


def test_sources_are_not_mixed(lean: Path, folder: Path) -> None:
    imported(lean, folder)
    market = SimulatedMarket(1, CALENDAR, SYMBOLS)
    with pytest.raises(InvalidInput, match=r"holds bars of files lean.*these are of simulated seed 1.*not mixed"):
        import_columns(market, CALENDAR, SYMBOLS, DAYS[0], DAYS[0], folder)
    hours = ExchangeCalendar(hours=Hours(premarket=time(7)))
    with pytest.raises(InvalidInput, match=r"calendar XNYS, in other hours: they are not mixed"):
        imported(lean, folder, calendar=hours)


def test_the_memory_bound_changes_how_often_and_not_what(lean: Path, folder: Path, tmp_path: Path) -> None:
    wide: list[tuple[int, int]] = []
    narrow: list[tuple[int, int]] = []
    imported(lean, folder, progress=lambda *done: wide.append(done))
    imported(lean, tmp_path / "narrow", progress=lambda *done: narrow.append(done), memory=1)
    assert wide == [(20, 25), (25, 25)]
    assert narrow == [(done, 25) for done in (4, 8, 12, 16, 20, 21, 22, 23, 24, 25)]
    assert read_catalogue(folder) == read_catalogue(tmp_path / "narrow")


def test_an_import_that_breaks_off_leaves_whole_months(lean: Path, folder: Path) -> None:
    def stop(done: int, _: int) -> None:
        if done > 22:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        imported(lean, folder, progress=stop, memory=1)
    assert {path.name[:7] for path in folder.iterdir() if path.is_dir()} == {"2013-11"}
    require_same(list(open_columns(folder)), parts(made(LeanFiles(lean)), slice(4)))
    assert imported(lean, folder).written == DAYS[4:]


KILLED = """
import os, signal, sys
from datetime import date
from pathlib import Path
from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.marketdata.column_import import import_columns
from trading_platform.marketdata.providers.lean_files import LeanFiles

def die(done, total):
    if done > 22:
        os.kill(os.getpid(), signal.SIGKILL)

import_columns(
    LeanFiles(Path(sys.argv[1])), ExchangeCalendar(), sys.argv[3].split(), date(2013, 11, 25), date(2013, 12, 2),
    Path(sys.argv[2]), progress=die, memory=1,
)
"""


def test_what_a_killed_import_left_is_removed_by_the_next(lean: Path, folder: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(lean), str(folder), " ".join(SYMBOLS)]
    root = Path(__file__).resolve().parents[2]
    run = subprocess.run(command, check=False, env={**os.environ, "PYTHONPATH": str(root)})
    assert run.returncode == -signal.SIGKILL
    assert (folder / ".2013-12.new").is_dir()
    require_same(list(open_columns(folder)), parts(made(LeanFiles(lean)), slice(4)))
    (folder / "notes").mkdir()
    (folder / "2013-11.0123456789abcdef").mkdir()
    imported(lean, folder)
    left = sorted(path.name.split(".")[0] for path in folder.iterdir() if path.is_dir())
    assert left == ["2013-11", "2013-12", "notes"]
    require_same(list(open_columns(folder)), parts(made(LeanFiles(lean)), slice(4), slice(4, 5)))


def test_the_catalogue_counts_bars_holes_and_what_is_missing(lean: Path, folder: Path) -> None:
    imported(lean, folder, days=DAYS[:2])
    imported(lean, folder, days=DAYS[3:])
    catalogue = read_catalogue(folder)
    columns = made(LeanFiles(lean), days=(*DAYS[:2], *DAYS[3:]))
    came = ~np.isnan(columns.close)
    assert catalogue.missing(CALENDAR) == (DAYS[2],)
    assert catalogue.half_days == (DAYS[3],)
    assert [one.session for one in catalogue.sessions] == list(columns.sessions)
    assert [one.bars for one in catalogue.sessions] == came.sum(axis=(0, 2)).tolist()
    assert [one.silent for one in catalogue.sessions] == (~came.any(axis=2)).sum(axis=0).tolist()
    assert sum(one.silent for one in catalogue.sessions) > 0
    minutes = np.array([one.session.minutes for one in catalogue.sessions])
    holes = np.where(came.any(axis=2), minutes - came.sum(axis=2), 0)
    assert [one.holes for one in catalogue.sessions] == holes.sum(axis=0).tolist()
    by_symbol = stored_symbols(folder)
    assert [(one.symbol, one.bars) for one in by_symbol] == list(zip(SYMBOLS, came.sum(axis=(1, 2)), strict=True))
    assert [one.holes for one in by_symbol] == holes.sum(axis=1).tolist()
    assert [one.sessions + one.silent for one in by_symbol] == [4] * 5
    assert (by_symbol[0].first, by_symbol[0].last) == (DAYS[0], DAYS[4])


def test_sessions_without_a_bar_of_anybody_are_missing(lean_data: Path, folder: Path) -> None:
    provider = LeanFiles(lean_data)
    told = import_columns(provider, CALENDAR, provider.symbols, date(2013, 10, 1), date(2014, 6, 30), folder)
    assert (len(told.written), len(told.missing)) == (9, 179)
    assert date(2013, 10, 14) in told.missing
    assert len(read_catalogue(folder).missing(CALENDAR)) == 161
    split = CorporateAction(symbol="AAPL", session=date(2014, 6, 9), split=told.actions[3].split)
    assert split.split == 7
    assert split in read_catalogue(folder).actions
    paid = [one.dividend for one in read_catalogue(folder).actions if one.symbol == "IBM"]
    assert paid == [Decimal("0.95"), Decimal("0.95"), Decimal("1.10")]


def test_actions_of_other_symbols_and_days_stay(lean_data: Path, folder: Path) -> None:
    provider = LeanFiles(lean_data)
    import_columns(provider, CALENDAR, ["IBM", "AIG"], date(2013, 10, 4), date(2013, 12, 31), folder)
    import_columns(provider, CALENDAR, ["AAPL", "IBM"], date(2014, 6, 5), date(2014, 6, 9), folder)
    import_columns(provider, CALENDAR, ["AIG"], date(2013, 10, 4), date(2013, 10, 11), folder)
    found = [(one.symbol, str(one.session)) for one in read_catalogue(folder).actions]
    assert found == [("IBM", "2013-11-06"), ("AIG", "2013-12-03"), ("AAPL", "2014-06-09")]


def test_a_symbol_that_is_misspelt_or_broken_is_told_and_the_others_go_on(lean: Path, folder: Path) -> None:
    write_rows(lean, "BBB", ["no bar"], DAYS[0])
    told = imported(lean, folder, ("AAA", "AAAA", "BBB"))
    assert (told.symbols, told.silent) == (("AAA", "BBB"), ("AAAA",))
    said = [f"{one.symbol}: {one.what}" for one in told.problems]
    assert "AAAA: no minute bars in the range. Did you mean AAA?" in said
    assert any(one.startswith("BBB: data that cannot be used") and "row 1" in one for one in said)
    assert any(one.startswith("AAA: bar with crossed prices") for one in said)


def test_stored_sessions_and_a_users_own_files_give_the_same_columns(lean: Path, folder: Path, tmp_path: Path) -> None:
    provider = LeanFiles(lean)
    store = BarStore(tmp_path / "store")
    for session in SESSIONS:
        store_session(provider, CALENDAR, SYMBOLS, session, store)
    import_columns(ParquetFiles(store.root), CALENDAR, SYMBOLS, DAYS[0], DAYS[-1], folder)
    require_same(list(open_columns(folder)), parts(made(provider), slice(4), slice(4, 5)))
    own = CsvFiles(write_csv(provider, tmp_path / "csv"))
    import_columns(own, CALENDAR, SYMBOLS, DAYS[0], DAYS[-1], tmp_path / "own")
    require_same(list(open_columns(tmp_path / "own")), parts(made(provider), slice(4), slice(4, 5)))


def write_csv(provider: LeanFiles, root: Path) -> Path:
    for kind in ("minute", "daily", "splits"):
        (root / kind).mkdir(parents=True)
    names = ("open", "high", "low", "close", "volume")
    for symbol in provider.symbols:
        rows = ["time," + ",".join(names)]
        for session in SESSIONS:
            for bar in provider.minute_bars(symbol, session.day, session.after_hours_close):
                stamp = np.datetime64(int(bar["time"]), "s")
                prices = (f"{int(bar[name]) / 10_000:.4f}" for name in names[:4])
                rows.append(f"{stamp}Z,{','.join(prices)},{bar['volume']}")
        (root / "minute" / f"{symbol}.csv").write_text("\n".join(rows))
        rows = ["date," + ",".join(names)]
        for bar in provider.daily_bars(symbol, date(2013, 12, 31), 1_000):
            prices = (f"{int(bar[name]) / 10_000:.4f}" for name in names[:4])
            rows.append(f"{np.datetime64(int(bar['day']), 'D')},{','.join(prices)},{bar['volume']}")
        (root / "daily" / f"{symbol}.csv").write_text("\n".join(rows))
        (root / "splits" / f"{symbol}.csv").write_text("date,ratio\n")
    return root


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"symbols": ["AAB"]}, r"there is no AAB among its 5 symbols. Did you mean AAA\?"),
        ({"symbols": ["Q1", "Q2", "Q3", "Q4", "Q5", "Q6", "Q7"]}, "there is no Q1, Q2, Q3, Q4, Q5 and 2 more among"),
        ({"symbols": []}, "no symbol is wanted"),
        (
            {"first": date(2014, 1, 1)},
            "holds no session from 2014-01-01. Its sessions are from 2013-11-25 to 2013-12-02",
        ),
        ({"first": date(2013, 11, 28), "last": date(2013, 11, 28)}, "holds no session from 2013-11-28 to 2013-11-28"),
    ],
)
def test_what_is_not_there_is_said_at_once(lean: Path, folder: Path, wanted: dict[str, Any], said: str) -> None:
    imported(lean, folder)
    with pytest.raises(InvalidInput, match=said):
        open_columns(folder, **wanted)


def test_a_folder_that_is_none_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"is not a folder of bar columns: it holds no columns.json"):
        open_columns(tmp_path)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InvalidInput, match=r"holds notes.txt and no bar columns"):
        import_columns(SimulatedMarket(1, CALENDAR), CALENDAR, ["SIMA"], DAYS[0], DAYS[0], tmp_path)
    with pytest.raises(InvalidInput, match="it cannot be written: Not a directory"):
        import_columns(SimulatedMarket(1, CALENDAR), CALENDAR, ["SIMA"], DAYS[0], DAYS[0], tmp_path / "notes.txt" / "x")


def test_no_bars_at_all_are_said_before_anything_is_written(lean: Path, folder: Path) -> None:
    with pytest.raises(InvalidInput, match=r"files lean has no minute bars of 1 symbol in a session from 2014-02-03"):
        imported(lean, folder, ["AAA"], [date(2014, 2, 3)])
    with pytest.raises(InvalidInput, match=r"AAB: no minute bars in the range. Did you mean AAA\?"):
        imported(lean, folder, ["AAB"])
    with pytest.raises(InvalidInput, match="'aaa' is not a symbol"):
        imported(lean, folder, ["aaa"])
    with pytest.raises(InvalidInput, match="there is no symbol"):
        imported(lean, folder, [])
    assert not folder.exists()


class Usage(NamedTuple):
    free: int


def test_a_disk_without_room_is_said_before_it_starts(
    lean: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(free=400_000))
    with pytest.raises(InvalidInput, match=r"5 symbols over 5 sessions take 0.5 MB, and there is room for 0.4 MB"):
        imported(lean, folder)
    monkeypatch.undo()
    imported(lean, folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(free=0))
    assert imported(lean, folder).skipped == DAYS


def block_file(folder: Path, name: str) -> Path:
    return folder / read_catalogue(folder).blocks[0].folder / name


def cut_short(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1)


def no_numpy(path: Path) -> None:
    path.write_bytes(b"x" * path.stat().st_size)


def another_shape(path: Path) -> None:
    np.save(path, np.zeros((2, 2)))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (cut_short, r"close.npy: has .* bytes, not .*: it is cut short"),
        (no_numpy, r"close.npy: cannot be read as a NumPy file"),
        (another_shape, r"close.npy: holds an array of \(2, 2\), and the catalogue says \(5, 4, 390\)"),
        (Path.unlink, r"close.npy: is not there, or not any more"),
    ],
)
def test_a_block_that_cannot_be_read_is_named(lean: Path, folder: Path, spoil: Any, said: str) -> None:
    imported(lean, folder)
    spoil(block_file(folder, "close.npy"))
    with pytest.raises(InvalidInput, match=said + r".*Import all symbols and sessions of its month again"):
        list(open_columns(folder))
    (told,) = verify_columns(folder)
    assert "close.npy" in told
    assert len(list(open_columns(folder, first=DAYS[4]))) == 1
    for some, replace_others in ((SYMBOLS, False), (SYMBOLS[1:], True)):
        with pytest.raises(InvalidInput, match=said):
            imported(lean, folder, some, replace_others=replace_others)
    assert imported(lean, folder, replace_others=True).written == DAYS[:4]
    require_same(list(open_columns(folder)), parts(made(LeanFiles(lean)), slice(4), slice(4, 5)))


def test_a_number_that_has_changed_on_the_disk_is_found(lean: Path, folder: Path) -> None:
    imported(lean, folder)
    path, done = block_file(folder, "low.npy"), []
    stored = np.load(path, mmap_mode="r+")
    stored[2, 1, 100] += 0.01
    stored.flush()
    del stored
    told = list(verify_columns(folder, lambda *some: done.append(some)))
    assert told == [f"{path.parent}: CCC on 2013-11-26 is not as it was written."]
    assert done == [(1, 2), (2, 2)]
    for _ in range(2):
        assert imported(lean, folder).written == (DAYS[1],)
        assert list(verify_columns(folder)) == []
        stored = np.load(block_file(folder, "days.npy"), mmap_mode="r+")
        stored["atr"][2, 1] += 1
        stored.flush()
        del stored


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "the catalogue cannot be read"),
        ("[]", "the catalogue cannot be read"),
        ('{"version": 1}', "the catalogue cannot be read"),
        ('{"version": 99}', "is a catalogue of version 99, and this release reads version 1"),
    ],
)
def test_a_catalogue_that_cannot_be_read_is_named(lean: Path, folder: Path, text: str, said: str) -> None:
    imported(lean, folder)
    (folder / CATALOGUE).write_text(text)
    with pytest.raises(InvalidInput, match=said):
        open_columns(folder)
    with pytest.raises(InvalidInput, match=said):
        imported(lean, folder)


def test_a_catalogue_is_read_back_whole_and_names_a_shared_list_of_symbols_once(lean: Path, folder: Path) -> None:
    imported(lean, folder)
    assert (folder / CATALOGUE).read_text().count("CCC") == 1
    said = json.loads((folder / CATALOGUE).read_text())
    assert [block["symbols"] for block in said["blocks"]] == [None, None]
    assert read_catalogue(folder).symbols == SYMBOLS
