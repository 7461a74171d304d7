"""Splits and dividends as values: from LEAN's factor files, from a simulated market, and from who knows none."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.domain.errors import InvalidInput
from trading_platform.marketdata.actions import CorporateAction, actions_of
from trading_platform.marketdata.provider import Provider
from trading_platform.marketdata.providers.csv_files import CsvFiles
from trading_platform.marketdata.providers.lean_files import LeanFiles
from trading_platform.marketdata.providers.parquet_files import ParquetFiles
from trading_platform.marketdata.providers.simulated import SimulatedMarket

CALENDAR = ExchangeCalendar()
EVER = (date(1990, 1, 1), date(2050, 12, 31))


def lean_actions(root: Path, *rows: str, within: tuple[date, date] = EVER) -> list[tuple[str, str, str]]:
    home = root / "equity" / "usa"
    (home / "minute").mkdir(parents=True)
    (home / "factor_files").mkdir()
    (home / "factor_files" / "xyz.csv").write_text("\n".join(rows), encoding="ascii")
    found = actions_of(LeanFiles(root), CALENDAR, "XYZ", *within)
    assert {one.symbol for one in found} <= {"XYZ"}
    return [(str(one.session), str(one.split), str(one.dividend)) for one in found]


def test_the_split_of_2014_and_the_dividends_around_it(lean_data: Path) -> None:
    found = actions_of(LeanFiles(lean_data), CALENDAR, "AAPL", date(2014, 2, 1), date(2014, 12, 31))
    assert [(str(one.session), one.split, one.dividend) for one in found] == [
        ("2014-02-06", Fraction(1), Decimal("3.05")),
        ("2014-05-08", Fraction(1), Decimal("3.29")),
        ("2014-06-09", Fraction(7), Decimal(0)),
        ("2014-08-07", Fraction(1), Decimal("0.47")),
        ("2014-11-06", Fraction(1), Decimal("0.47")),
    ]


@pytest.mark.parametrize(
    ("symbol", "day", "split", "dividend"),
    [
        ("AIG", date(2009, 7, 1), Fraction(1, 20), Decimal(0)),
        ("AIG", date(2014, 3, 7), Fraction(1), Decimal("0.125")),
        ("AIG", date(1999, 8, 2), Fraction(5, 4), Decimal(0)),
        ("AAPL", date(2020, 8, 31), Fraction(4), Decimal(0)),
        ("AAPL", date(2020, 11, 6), Fraction(1), Decimal("0.205")),
        ("SPY", date(2018, 12, 21), Fraction(1), Decimal("1.4354")),
        ("BAC", date(2013, 3, 1), Fraction(1), Decimal(0)),
    ],
)
def test_recorded_actions_are_exact(
    lean_data: Path, symbol: str, day: date, split: Fraction, dividend: Decimal
) -> None:
    found = actions_of(LeanFiles(lean_data), CALENDAR, symbol, day, day)
    expected = (CorporateAction(symbol=symbol, session=day, split=split, dividend=dividend),)
    assert found == (expected if split != 1 or dividend else ())


def test_a_split_and_a_dividend_of_one_night_are_one_action(tmp_path: Path) -> None:
    rows = ("20131004,0.49,0.5,50.00", "20131231,0.5,1,10", "20501231,0.5,1,0")
    # 50.00 x (1 - 0.49 / 0.5) = 1.00 on each of the old shares. The Friday is followed by the Monday.
    assert lean_actions(tmp_path, *rows) == [("2013-10-07", "2", "1.00")]


def test_only_the_days_asked_for_are_given(tmp_path: Path) -> None:
    rows = ("20131003,1,0.25,10", "20131004,1,0.5,10", "20131007,1,1,10", "20501231,1,2,0")
    within = (date(2013, 10, 7), date(2013, 10, 7))
    assert lean_actions(tmp_path, *rows, within=within) == [("2013-10-07", "2", "0")]


def test_what_happened_before_the_calendar_begins_is_left_out(tmp_path: Path) -> None:
    assert lean_actions(tmp_path, "19850102,0.9,0.5,10", "20501231,1,1,0") == []


@pytest.mark.parametrize(
    ("factor", "reference", "dividend"),
    [
        ("0.9875000", "10", "0.125"),
        ("0.9917540", "100", "0.8246"),
        # No amount of four places makes this factor: the nearest is taken.
        ("0.9917537", "100", "0.8246"),
        # 0.42 of 592.33, whose factor is 0.99929093...: rounded to seven places it stands for 0.419998.
        ("0.9992909", "592.33", "0.42"),
    ],
)
def test_a_dividend_has_the_fewest_places_that_its_factors_can_stand_for(
    tmp_path: Path, factor: str, reference: str, dividend: str
) -> None:
    rows = (f"20131004,{factor},1,{reference}", "20501231,1,1,0")
    assert lean_actions(tmp_path, *rows) == [("2013-10-07", "1", dividend)]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (("20131004,1,1,10", "20501231,0.9,1,0"), "row 2, column price factor: the price factor falls from 1 to 0.9"),
        (("20131004,x,1,10", "20501231,1,1,0"), "row 1, column price factor: 'x' is not a positive factor"),
        (("20131004,0.9,1", "20501231,1,1,0"), "row 1: a dividend follows, and there is no reference price"),
        (("20131004,0.9,1,0", "20501231,1,1,0"), "row 1, column reference price: '0' is not a positive factor"),
        (("20131004,0.9", "20501231,1,1,0"), "row 1: has 2 cells"),
    ],
)
def test_a_malformed_row_is_named(tmp_path: Path, rows: tuple[str, ...], said: str) -> None:
    with pytest.raises(InvalidInput) as error:
        lean_actions(tmp_path, *rows)
    assert said in str(error.value)
    assert "xyz.csv" in str(error.value)


def test_without_a_factor_file_nothing_is_known_and_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "equity" / "usa" / "minute").mkdir(parents=True)
    with pytest.raises(InvalidInput, match="there is no factor file, so splits are not known"):
        actions_of(LeanFiles(tmp_path), CALENDAR, "XYZ", *EVER)


def test_a_simulated_market_tells_of_its_splits() -> None:
    market = SimulatedMarket(7, CALENDAR, 8)
    known = {symbol: market.splits(symbol) for symbol in market.symbols}
    symbol, splits = next((symbol, splits) for symbol, splits in known.items() if splits)
    day, ratio = splits[0]
    assert actions_of(market, CALENDAR, symbol, day, day) == (CorporateAction(symbol=symbol, session=day, split=ratio),)
    assert actions_of(market, CALENDAR, symbol, *EVER)[0].session == day


SPLITS = ((date(2013, 10, 7), 4.0), (date(2014, 6, 9), 0.1))


def users_files(root: Path, kind: str, splits: Sequence[tuple[date, float]] | None) -> CsvFiles | ParquetFiles:
    """A user's folder of one kind with the splits of XYZ; None: without a file of them."""
    for name in ("minute", "splits"):
        (root / name).mkdir()
    path = root / "splits" / f"XYZ.{kind}"
    if splits is not None and kind == "csv":
        path.write_text("date,ratio\n" + "".join(f"{day},{ratio:g}\n" for day, ratio in splits), encoding="utf-8")
    if splits is not None and kind == "parquet":
        days, ratios = zip(*splits, strict=True)
        pq.write_table(pa.table({"date": days, "ratio": ratios}), path)
    return CsvFiles(root) if kind == "csv" else ParquetFiles(root)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_users_files_tell_of_their_splits(tmp_path: Path, kind: str) -> None:
    files = users_files(tmp_path, kind, SPLITS)
    found = actions_of(files, CALENDAR, "XYZ", date(2013, 10, 7), date(2014, 6, 9))
    assert [(str(one.session), one.split) for one in found] == [
        ("2013-10-07", Fraction(4)),
        ("2014-06-09", Fraction(1, 10)),
    ]
    assert actions_of(files, CALENDAR, "XYZ", date(2013, 10, 8), date(2014, 6, 8)) == ()


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_without_a_file_of_splits_none_is_told(tmp_path: Path, kind: str) -> None:
    assert actions_of(users_files(tmp_path, kind, None), CALENDAR, "XYZ", *EVER) == ()


def test_a_malformed_split_of_a_users_file_is_named(tmp_path: Path) -> None:
    files = users_files(tmp_path, "csv", [(date(2013, 10, 7), 0)])
    with pytest.raises(InvalidInput, match=r"XYZ\.csv, row 2, column ratio: 0 new shares for an old one"):
        actions_of(files, CALENDAR, "XYZ", *EVER)


class Silent:
    """A provider that knows of neither splits nor dividends."""


def test_who_knows_none_gives_none() -> None:
    assert actions_of(cast("Provider", Silent()), CALENDAR, "XYZ", *EVER) == ()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"split": Fraction(0)}, "XYZ on 2013-10-07: 0 new shares"),
        ({"dividend": Decimal("0.00001")}, "XYZ on 2013-10-07: the dividend cannot be"),
        ({"dividend": Decimal("-0.1")}, "XYZ on 2013-10-07: a dividend of -0.1 dollars is negative"),
    ],
)
def test_an_action_that_cannot_be_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        CorporateAction(symbol="XYZ", session=date(2013, 10, 7), **given)
