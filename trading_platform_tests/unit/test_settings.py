"""Settings: bounds from both sides, where values come from and what is said of it, and secrets that are never told."""

import copy
import json
import logging
import pickle
import re
from datetime import date, time
from decimal import Decimal
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from trading_platform.bootstrap.venues import lacking
from trading_platform.config.contradictions import LONGEST_SESSION
from trading_platform.config.knobs import knobs, reference, value_of
from trading_platform.config.load import load, read
from trading_platform.config.logs import set_up_logging
from trading_platform.config.profiles import PROFILES
from trading_platform.config.secrets import Secret
from trading_platform.config.settings import Limits, Settings
from trading_platform.domain.decisions import OrderShape
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.records import SESSION_MINUTES
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


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "settings.yaml"


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
        ("update_frequency_ms", 1_000),
        ("data_retention_days", 30),
        ("market_hours.open", time(9, 30)),
        ("market_hours.close", time(16)),
        ("market_hours.premarket", time(4)),
        ("market_hours.after_hours", time(20)),
    ],
)
def test_the_defaults_are_the_ones_that_were_asked_for(path: str, value: object) -> None:
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
        # What only a lenient reader takes for a date, a time or a number.
        ("market_data.session", "none", "1381276800"),
        ("market_hours.premarket", "9:30", "570"),
        ("market_hours.premarket", "09:30:00", "09:30:01"),
        ("market_hours.premarket", "00:00", "24:00"),
        ("limits.max_positions", "3", True),
        ("limits.max_positions", "3", "3.5"),
        ("update_frequency_ms", 100, 99),
        ("data_retention_days", 3_650, 3_651),
        ("log_level", "DEBUG", "debug"),
        ("data_folder", "there", " "),
        ("data_folder", "a b", "a\x00b"),
        ("instance", "blue-1", "Blue"),
        ("brokers.cash_tolerance", "0", "-0.01"),
        ("brokers.cash_tolerance", "1000", "1000.01"),
        ("alpaca.base_url", "http://127.0.0.1:8080", "127.0.0.1:8080"),
        ("alpaca.base_url", "https://paper-api.alpaca.markets", "https://me@paper-api.alpaca.markets"),
        ("alpaca.base_url", "http://[::1]:80", "http://[::1"),
        ("alpaca.stream_url", "wss://127.0.0.1:1/stream", "https://127.0.0.1:1/stream"),
        ("alpaca.stream_url", "ws://localhost:65535/stream", "ws://localhost:65536/stream"),
        ("alpaca.read_timeout_seconds", "0.1", "0"),
        ("alpaca.settle_seconds", "0", "-1"),
        ("ibkr.host", "tws.local", "tws local"),
        ("ibkr.port", "none", 0),
        ("ibkr.port", 65_535, 65_536),
        ("ibkr.client_id", 1, 0),
        ("ibkr.account", "DU1234567", "du1234567"),
        ("ibkr.account", "none", "1234567"),
        ("ibkr.time_zone", "Europe/Berlin", "Europe/Atlantis"),
        ("ibkr.nightly_restart", "23:45", "24:45"),
        ("ibkr.quiet_before_minutes", 0, 121),
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
    (record,) = to_record(limits, OrderShape.DAY)
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
    with pytest.raises(InvalidInput, match=r"configuration: active_strategies: vwap_reclaim is named twice"):
        load({}, {"active_strategies": [*once, {"name": "vwap_reclaim", "profile": "quiet"}]})


def test_a_lease_outlasts_renewal_and_margin() -> None:
    times = {"renewal": "3", "margin": "3"}
    load({}, {"ownership": {"lease": "6.1", **times}})
    with pytest.raises(InvalidInput, match=r"lease \(6 seconds; .*renewal \(3 seconds; .*margin \(3 seconds;"):
        load({}, {"ownership": {"lease": "6", **times}})


def test_a_call_ends_before_a_stranger_may_take_over() -> None:
    times = {"ownership": {"margin": "1", "quarantine": "2"}}
    load({}, {**times, "execution": {"call_deadline_seconds": "2.9"}})
    with pytest.raises(InvalidInput, match=r"ownership\.margin .*ownership\.quarantine .*call_deadline_seconds"):
        load({}, {**times, "execution": {"call_deadline_seconds": "3"}})


def test_the_longest_session_is_the_one_that_the_records_hold() -> None:
    assert LONGEST_SESSION == SESSION_MINUTES


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


@pytest.mark.parametrize("group", [5, "paper", [], None])
def test_a_group_that_is_none_is_named_even_where_a_variable_sets_a_field_of_it(file: Path, group: object) -> None:
    file.write_text(json.dumps({"account": group}))
    for environment in ({}, {"TRADING_PLATFORM_BOOK": "paper"}):
        with pytest.raises(InvalidInput, match="configuration: account: "):
            load({"TRADING_PLATFORM_CONFIG": str(file), **environment})


def test_each_value_knows_its_source(file: Path) -> None:
    file.write_text("environment: staging\n\nlimits:\n  # three\n  max_positions: 3\n  lot: 10\n")
    environment = {
        "TRADING_PLATFORM_CONFIG": str(file),
        "TRADING_PLATFORM__LIMITS__LOT": "5",
        "TRADING_PLATFORM_SESSION": "2013-10-09",
        "DATABASE_URL": URL,
    }
    chosen = {"market_data": {"session": date(2013, 10, 10)}, "instance": "mine"}
    found = read(environment, chosen, {"market_data.session": "--session"})
    told = {path: (value_of(found.settings, path), source) for path, source in found.sources.items()}
    assert told["limits.max_drawdown_pct"] == (5, "default")
    assert told["clock"] == ("system", "profile staging")
    assert told["environment"] == ("staging", f"{file} line 1")
    assert told["limits.max_positions"] == (3, f"{file} line 5")
    assert told["limits.lot"] == (5, "TRADING_PLATFORM__LIMITS__LOT")
    assert told["database_url"] == (Secret(URL), "DATABASE_URL")
    assert told["market_data.session"] == (date(2013, 10, 10), "--session")
    assert told["instance"] == ("mine", "the caller")
    assert set(told) == set(knobs())


PLAIN = {
    "data_folder": "there",
    "environment": "staging",
    "live": "false",
    "clock": "system",
    "instance": "blue",
    "account.book": "second",
    "market_data.provider": "lean",
    "market_data.backup_provider": "csv",
    "market_data.folder": "bars",
    "market_data.symbols": "SPY, IBM",
    "market_data.session": "2013-10-09",
    "market_hours.calendar": "every_day",
    "market_hours.open": "10:00",
    "market_hours.close": "15:00",
    "market_hours.premarket": "5:00",
    "market_hours.after_hours": "19:00",
    "brokers.primary": "alpaca",
    "brokers.backup": "ibkr",
    "limits.restricted_symbols": "[GME, AMC]",
    "execution.fees": "alpaca",
    "log_level": "ERROR",
    "ownership.lease": "20",
    "ownership.margin": "4",
    "active_strategies": "[{name: a, profile: quiet, parameters: {crosses: 3, risk: 0.5}}, {name: b}]",
    "database_url": URL,
    "brokers.cash_tolerance": "1.5",
    "alpaca.key": "PK0",
    "alpaca.secret": "not to be told",
    "alpaca.base_url": "http://127.0.0.1:1",
    "alpaca.stream_url": "ws://127.0.0.1:1/stream",
    "ibkr.host": "tws.local",
    "ibkr.port": "7497",
    "ibkr.account": "DU1234567",
    "ibkr.time_zone": "Europe/Berlin",
    "ibkr.nightly_restart": "23:30",
    "ibkr.weekly_login": "02:00",
}


PRESENT = {"TRADING_PLATFORM__CLOCK": "system", "TRADING_PLATFORM__MARKET_DATA__PROVIDER": "yahoo"}
"""What every real broker needs beside it."""


@pytest.mark.parametrize("path", sorted(knobs()))
def test_every_knob_has_a_variable_of_its_own(path: str) -> None:
    variable = "TRADING_PLATFORM__" + path.upper().replace(".", "__")
    # Beside what it needs, a value that is not the default.
    beside = {
        "brokers.primary": PRESENT,
        "brokers.backup": PRESENT,
        "market_data.folder": {"TRADING_PLATFORM__MARKET_DATA__PROVIDER": "parquet"},
        "market_data.provider": {"TRADING_PLATFORM__MARKET_DATA__FOLDER": "bars"},
        "market_data.backup_provider": {"TRADING_PLATFORM__MARKET_DATA__FOLDER": "bars"},
        "market_hours.open": {"TRADING_PLATFORM__MARKET_HOURS__CALENDAR": "every_day"},
        "market_hours.close": {"TRADING_PLATFORM__MARKET_HOURS__CALENDAR": "every_day"},
        "live": {"TRADING_PLATFORM_ENVIRONMENT": "prod"},
    }.get(path, {})
    knob = knobs()[path]
    text = "true" if path == "live" else PLAIN.get(path) or str(knob.default + (-1 if knob.default > 1 else 1))
    if path.startswith("limits.max_strategy_daily"):
        text = "2"
    configuration = read({variable: text, **beside})
    assert value_of(configuration.settings, path) != knob.default
    assert configuration.sources[path] == variable


def test_a_list_in_a_variable_is_read_as_it_would_be_in_a_file() -> None:
    settings = load({"TRADING_PLATFORM__ACTIVE_STRATEGIES": PLAIN["active_strategies"]})
    first, second = settings.active_strategies
    assert (first.name, first.profile, first.parameters) == ("a", "quiet", {"crosses": 3, "risk": 0.5})
    assert isinstance(first.parameters["crosses"], int)
    assert (second.name, second.profile) == ("b", None)
    assert load({"TRADING_PLATFORM__MARKET_DATA__SYMBOLS": "SPY, IBM"}).market_data.symbols == ("SPY", "IBM")


def test_two_variables_for_one_knob_must_say_the_same() -> None:
    both = {"TRADING_PLATFORM_BOOK": "one", "TRADING_PLATFORM__ACCOUNT__BOOK": "one"}
    assert load(both).account.book == "one"
    said = "TRADING_PLATFORM_BOOK and TRADING_PLATFORM__ACCOUNT__BOOK both set account.book"
    with pytest.raises(InvalidInput, match=said):
        load({**both, "TRADING_PLATFORM_BOOK": "two"})


@pytest.mark.parametrize(
    "name",
    [
        "TRADING_PLATFORM_SERVICE_HOST",
        "TRADING_PLATFORM_SERVICE_PORT",
        "TRADING_PLATFORM_SERVICE_PORT_METRICS",
        "TRADING_PLATFORM_PORT",
        "TRADING_PLATFORM_PORT_8080_TCP_ADDR",
        "TRADING_PLATFORM_DASHBOARD_PORT_8501_TCP",
    ],
)
def test_what_an_orchestrator_adds_for_its_services_is_no_mistake(name: str) -> None:
    assert load({name: "10.0.0.1"}) == load({})


# ---- YAML ---------------------------------------------------------------------------------------------------------


def from_yaml(file: Path, text: str) -> Settings:
    file.write_text(text, encoding="utf-8")
    return load({"TRADING_PLATFORM_CONFIG": str(file)})


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        # YAML 1.1 would read 570 minutes, false, a binary fraction, and a date where a name is meant.
        ("market_hours:\n  premarket: 09:30", "market_hours.premarket", time(9, 30)),
        ("account: {book: no}", "account.book", "no"),
        ("account: {book: 2024-06-12}", "account.book", "2024-06-12"),
        ("limits: {restricted_symbols: [ON, NO, TRUE, Y]}", "limits.restricted_symbols", ("ON", "NO", "TRUE", "Y")),
        ("limits: {max_drawdown_pct: 0.29}", "limits.max_drawdown_pct", Decimal("0.29")),
        ("limits: {lot: 0010}", "limits.lot", 10),
        ("market_data: {session: 2013-10-09}", "market_data.session", date(2013, 10, 9)),
        ("market_data: {session: ~}", "market_data.session", None),
        ("market_data: {session: none}", "market_data.session", None),
        ("live: no", "live", False),
        ("\ufefflog_level: DEBUG", "log_level", "DEBUG"),
        ('{"limits": {\n\t"lot": 7\n}}', "limits.lot", 7),
        ("{}", "limits.lot", 1),
    ],
)
def test_a_scalar_means_what_its_field_takes(file: Path, text: str, path: str, value: object) -> None:
    assert value_of(from_yaml(file, text), path) == value


def test_a_home_folder_is_meant_by_its_sign(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert from_yaml(file, "data_folder: ~/data").data_folder == Path("/home/me/data")


# ---- profiles -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_a_profile_can_be_used_as_it_is(name: str) -> None:
    settings = load({"TRADING_PLATFORM_ENVIRONMENT": name})
    assert settings.environment == name
    assert not settings.live


def test_development_is_the_tree_s_own_defaults() -> None:
    assert load({}) == load({"TRADING_PLATFORM_ENVIRONMENT": "dev"}) == Settings()


def test_production_is_tighter_and_real(file: Path) -> None:
    settings = load({"TRADING_PLATFORM_ENVIRONMENT": "prod", "TRADING_PLATFORM__LIVE": "true"})
    assert [settings.limits.max_position_size_pct, settings.limits.max_daily_loss_pct] == [Decimal(5), Decimal(2)]
    assert (settings.brokers.primary, settings.brokers.backup) == ("ibkr", "alpaca")
    assert (settings.market_data.provider, settings.market_data.backup_provider) == ("polygon", None)
    assert settings.clock == "system"
    # What a person writes goes over it, and the file may name the environment.
    assert from_yaml(file, "environment: prod\nlimits: {max_daily_loss_pct: 1}").limits.max_daily_loss_pct == 1


# ---- the reference, and the level of the logs ---------------------------------------------------------------------


def test_every_knob_says_its_effect_and_every_number_its_unit() -> None:
    without = {"market_data.seed", "ibkr.port", "ibkr.client_id"}
    for knob in knobs().values():
        assert knob.effect, knob.path
        if knob.kind in {int, Decimal}:
            assert knob.unit or knob.path in without, knob.path


@pytest.mark.parametrize("page", ["README.md", "docs/configuration.md"])
def test_every_example_of_settings_can_be_used_with_its_keys(file: Path, page: str) -> None:
    text = (Path(__file__).resolve().parents[2] / page).read_text(encoding="utf-8")
    examples = re.findall(r"^```yaml\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    assert any("brokers:" in one for one in examples)
    for example in examples:
        file.write_text(example)
        keys = {"ALPACA_API_KEY": "PK1", "ALPACA_API_SECRET": "not to be told"}
        settings = load({"TRADING_PLATFORM_CONFIG": str(file), **keys})
        assert lacking(settings) == ()


def test_the_page_on_the_configuration_holds_the_whole_reference() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"
    told = page.read_text(encoding="utf-8")
    assert reference() in told, (
        "put what `trading-platform config reference` prints at the end of docs/configuration.md"
    )


def test_the_level_of_the_logs_is_heeded(capsys: pytest.CaptureFixture[str]) -> None:
    for level in ("WARNING", "INFO", "INFO"):
        set_up_logging(level)
        part = logging.getLogger("trading_platform.part")
        part.info("told at %s", level)
        part.warning("always told")
    assert capsys.readouterr().err.splitlines() == [
        "WARNING trading_platform.part: always told",
        *["INFO trading_platform.part: told at INFO", "WARNING trading_platform.part: always told"] * 2,
    ]


# ---- secrets ------------------------------------------------------------------------------------------------------


def test_a_secret_is_given_only_to_who_asks_for_it() -> None:
    settings = load({"DATABASE_URL": URL})
    assert settings.database_url is not None
    assert settings.database_url.reveal() == URL
    for told in (repr(settings), str(settings), settings.model_dump_json(), f"{settings.model_dump()}"):
        assert SECRET not in told
    assert json.loads(settings.model_dump_json())["database_url"] == "set (hidden)"


def test_a_secret_is_compared_and_copied_and_never_pickled_or_changed() -> None:
    one, same, other = Secret(URL), Secret(URL), Secret(URL + "2")
    assert one == same != other
    assert len({one, same, other}) == 2
    assert one != URL
    assert copy.deepcopy({"of": one}) == {"of": same}
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(one)
    with pytest.raises(AttributeError, match="cannot be changed"):
        one._value = "other"
    assert SECRET not in f"{one} {one!r} {[one]} {one:>3}"


@pytest.mark.parametrize("variable", ["DATABASE_URL_FILE", "TRADING_PLATFORM__DATABASE_URL_FILE"])
def test_a_secret_may_stand_in_a_mounted_file(tmp_path: Path, variable: str) -> None:
    mounted = tmp_path / "database_url"
    mounted.write_text(f"{URL}\n")
    found = read({variable: str(mounted)})
    assert found.settings.database_url == Secret(URL)
    assert found.sources["database_url"] == variable


@pytest.mark.parametrize("name", ["ALPACA_API_KEY", "ALPACA_API_SECRET"])
def test_a_broker_s_keys_are_secrets_of_variables_or_mounted_files(tmp_path: Path, name: str) -> None:
    path = {"ALPACA_API_KEY": "alpaca.key", "ALPACA_API_SECRET": "alpaca.secret"}[name]
    (tmp_path / "mounted").write_text(f"{SECRET}\n")
    for variable, text in ((name, SECRET), (f"{name}_FILE", str(tmp_path / "mounted"))):
        found = read({variable: text})
        assert value_of(found.settings, path) == Secret(SECRET)
        assert found.sources[path] == variable
        assert SECRET not in f"{found.settings!r} {found.settings.model_dump_json()}"


def test_what_a_session_depends_on_holds_no_secret_and_no_broker() -> None:
    from trading_platform.bootstrap import session_configuration

    kept = session_configuration(load({"ALPACA_API_KEY": SECRET, "ALPACA_API_SECRET": SECRET, "DATABASE_URL": URL}))
    assert not {"alpaca", "ibkr", "brokers", "database_url"} & kept.keys()
    assert SECRET not in json.dumps(kept)
    assert "hidden" not in json.dumps(kept)


@pytest.mark.parametrize(
    ("address", "stands_in"),
    [
        ("http://127.0.0.1:8080", True),
        ("http://localhost:1", True),
        ("http://[::1]:1", True),
        ("http://127.0.0.1.example.com", False),
        ("https://paper-api.alpaca.markets", False),
        (None, False),
    ],
)
def test_only_what_is_on_this_machine_stands_in_for_alpaca(address: str | None, *, stands_in: bool) -> None:
    assert load({}, {"alpaca": {"base_url": address}}).alpaca.is_stand_in is stands_in


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
    assert raised.value.__context__ is None


def test_the_settings_that_the_readme_shows_are_taken(tmp_path: Path) -> None:
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    _, _, after = readme.partition("A YAML file, named by `TRADING_PLATFORM_CONFIG`")
    lines = list(dropwhile(lambda line: not line.startswith("    "), after.splitlines()))
    shown = takewhile(lambda line: line.startswith("    "), lines)
    path = tmp_path / "settings.yaml"
    path.write_text("\n".join(line[4:] for line in shown) + "\n", encoding="utf-8")
    found = load({"TRADING_PLATFORM_CONFIG": str(path)})
    assert [one.name for one in found.active_strategies] == ["gap_and_go", "vwap_reclaim"]
    assert found.limits.max_positions == 3
