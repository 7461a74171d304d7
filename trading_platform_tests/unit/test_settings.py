"""Settings: bounds from both sides, where values come from, what is said of a fault, and secrets that are never told."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from trading_platform.config.load import load
from trading_platform.config.settings import Limits, Settings
from trading_platform.domain.errors import InvalidInput
from trading_platform.risk.limits import to_record

SECRET = "hunter2"
URL = f"postgresql://user:{SECRET}@db:5432/ledger"


def one(path: str, value: object) -> dict[str, Any]:
    """`a.b` and 1 as {"a": {"b": 1}}."""
    tree: Any = value
    for part in reversed(path.split(".")):
        tree = {part: tree}
    found: dict[str, Any] = tree
    return found


def value_of(settings: Settings, path: str) -> object:
    found: object = settings
    for part in path.split("."):
        found = getattr(found, part)
    return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "settings.json"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("account.size", 100_000),
        ("limits.max_positions", 5),
        ("limits.max_daily_loss_pct", 5),
        ("limits.max_position_size_pct", 20),
        ("limits.max_order_shares", 5_000),
        ("limits.max_order_notional", 50_000),
        ("limits.buying_power_pct", 95),
        ("limits.max_strategy_daily_loss_pct", 1),
        ("limits.max_drawdown_pct", 5),
        ("limits.closing_minutes", 15),
        ("limits.reference_age_seconds", 90),
        ("execution.slippage_bps", 1),
        ("execution.volume_share_pct", 10),
    ],
)
def test_the_defaults_are_the_ones_that_were_asked_for(path: str, value: int) -> None:
    assert value_of(load({}), path) == value


@pytest.mark.parametrize(
    ("path", "inside", "outside"),
    [
        ("limits.max_positions", 1, 0),
        ("limits.max_positions", 1_000, 1_001),
        ("limits.max_position_size_pct", "0.01", "0"),
        ("limits.max_position_size_pct", "100", "100.01"),
        ("limits.max_position_size_pct", "0.25", "0.251"),
        ("limits.max_daily_loss_pct", "0.01", "0.001"),
        ("limits.max_order_notional", "0.0001", "0.00001"),
        ("limits.reference_age_seconds", 60, 59),
        ("limits.closing_minutes", 1, 0),
        ("limits.closing_minutes", 120, 121),
        ("limits.lot", 1_000, 1_001),
        ("limits.max_daily_loss_pct", "5", "NaN"),
        ("account.size", "0.0001", "0"),
        ("account.size", "1000000000", "1000000000.01"),
        ("account.size", "1", "Infinity"),
        ("account.book", "a" * 40, "a" * 41),
        ("account.book", "paper-2", "Paper"),
        ("execution.slippage_bps", 0, -1),
        ("execution.slippage_bps", 500, 501),
        ("execution.call_deadline_seconds", "8.9", "60.1"),
        ("market_data.session", "2013-10-09", "2013-10-32"),
    ],
)
def test_a_bound_from_both_sides(path: str, inside: object, outside: object) -> None:
    load({}, one(path, inside))
    with pytest.raises(InvalidInput, match=f"configuration: {path}: "):
        load({}, one(path, outside))


def test_every_field_that_is_wrong_is_named_at_once() -> None:
    with pytest.raises(InvalidInput) as told:
        load({}, {"limits": {"lot": 0, "max_positions": "many"}, "colour": "green"})
    for path in ("limits.lot: ", "limits.max_positions: ", "colour: "):
        assert path in str(told.value)


def test_limits_become_whole_units_of_the_kernel() -> None:
    limits = Limits(max_position_size_pct=Decimal("0.25"), max_order_notional=Decimal("0.0001"))
    (record,) = to_record(limits)
    assert (record["position_size"], record["order_notional"], record["daily_loss"]) == (25, 1, 500)
    assert (record["strategy_daily_loss"], record["drawdown"], record["buying_power"]) == (100, 500, 9_500)
    assert (record["reference_age"], record["order_shares"], record["positions"]) == (90, 5_000, 5)
    assert (record["closing_minutes"], record["lot"]) == (15, 1)


def test_settings_cannot_be_changed() -> None:
    settings = load({})
    with pytest.raises(ValidationError):
        settings.limits.lot = 7


def test_a_strategy_is_named_once() -> None:
    once = [{"name": "vwap_reclaim"}, {"name": "gap_and_go"}]
    load({}, {"active_strategies": once})
    with pytest.raises(InvalidInput, match=r"configuration: active_strategies: .*vwap_reclaim is named twice"):
        load({}, {"active_strategies": [*once, {"name": "vwap_reclaim", "profile": "quiet"}]})


def test_a_lease_outlasts_renewal_and_margin() -> None:
    times = {"renewal": "3", "margin": "3"}
    load({}, {"ownership": {"lease": "6.1", **times}})
    with pytest.raises(InvalidInput, match=r"ownership: .*lease of 6 s .* renewal \(3 s\) and margin \(3 s\)"):
        load({}, {"ownership": {"lease": "6", **times}})


def test_a_call_ends_before_a_stranger_may_take_over() -> None:
    times = {"ownership": {"margin": "1", "quarantine": "2"}}
    load({}, {**times, "execution": {"call_deadline_seconds": "2.9"}})
    with pytest.raises(InvalidInput, match=r"ownership\.margin and ownership\.quarantine .*call_deadline_seconds"):
        load({}, {**times, "execution": {"call_deadline_seconds": "3"}})


# ---- where values come from ---------------------------------------------------------------------------------------


def test_later_sources_win(file: Path) -> None:
    def told(settings: Settings) -> str:
        return f"{settings.account.book} {settings.account.size} {settings.data_folder}"

    file.write_text(json.dumps({"account": {"book": "from-file", "size": 5}, "data_folder": "here"}))
    environment = {"TRADING_PLATFORM_CONFIG": str(file)}
    assert told(load(environment)) == "from-file 5 here"
    environment |= {"TRADING_PLATFORM_BOOK": "from-variable", "TRADING_PLATFORM_DATA": "there"}
    assert told(load(environment)) == "from-variable 5 there"
    assert told(load(environment, {"account": {"book": "from-caller"}})) == "from-caller 5 there"


@pytest.mark.parametrize(
    ("variable", "path", "value"),
    [
        ("TRADING_PLATFORM_DATA", "data_folder", Path("elsewhere")),
        ("TRADING_PLATFORM_BOOK", "account.book", "second"),
    ],
)
def test_each_variable_sets_its_field_and_an_empty_one_none(variable: str, path: str, value: object) -> None:
    assert value_of(load({variable: str(value)}), path) == value
    assert load({variable: ""}) == load({})


def test_the_caller_s_tree_is_left_as_it_was(file: Path) -> None:
    file.write_text(json.dumps({"limits": {"lot": 2}}))
    overrides = {"limits": {"max_positions": 3}}
    settings = load({"TRADING_PLATFORM_CONFIG": str(file)}, overrides)
    assert (settings.limits.lot, settings.limits.max_positions) == (2, 3)
    assert overrides == {"limits": {"max_positions": 3}}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{", "it is not JSON"),
        (b"\xff", "it is not JSON"),
        (b"", "it is not JSON"),
        (b"[]", "it does not hold an object"),
        (b"7", "it does not hold an object"),
    ],
)
def test_a_file_that_holds_no_settings_is_named_with_what_to_do(file: Path, content: bytes, told: str) -> None:
    file.write_bytes(content)
    with pytest.raises(InvalidInput, match=told) as raised:
        load({"TRADING_PLATFORM_CONFIG": str(file)})
    assert raised.value.where == str(file)
    assert "TRADING_PLATFORM_CONFIG must name a JSON file" in str(raised.value)


def test_a_file_that_is_not_there_is_named(file: Path) -> None:
    with pytest.raises(InvalidInput, match="it cannot be read: No such file"):
        load({"TRADING_PLATFORM_CONFIG": str(file)})
    with pytest.raises(InvalidInput, match="it cannot be read: Is a directory"):
        load({"TRADING_PLATFORM_CONFIG": str(file.parent)})


@pytest.mark.parametrize("group", [5, "paper", [], None])
def test_a_group_that_is_none_is_named_even_where_a_variable_sets_a_field_of_it(file: Path, group: object) -> None:
    file.write_text(json.dumps({"account": group}))
    for environment in ({}, {"TRADING_PLATFORM_BOOK": "paper"}):
        with pytest.raises(InvalidInput, match="configuration: account: "):
            load({"TRADING_PLATFORM_CONFIG": str(file), **environment})


# ---- secrets ------------------------------------------------------------------------------------------------------


def test_a_secret_is_given_only_to_who_asks_for_it() -> None:
    settings = load({"DATABASE_URL": URL})
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == URL
    for told in (repr(settings), str(settings), settings.model_dump_json(), f"{settings.model_dump()}"):
        assert SECRET not in told


@pytest.mark.parametrize(
    "overrides",
    [
        {"database_url": [URL]},
        {"database_url": {"url": URL}},
        {"account": URL},
        {"limits": {"lot": URL}},
        {"execution": {"fees": URL}},
        {"market_data": {"session": URL}},
        {"active_strategies": URL},
    ],
)
def test_a_value_that_is_refused_is_not_told(overrides: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as raised:
        load({"DATABASE_URL": URL}, overrides)
    assert SECRET not in str(raised.value)
    assert SECRET not in repr(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__
