"""Mistakes in the configuration: what a user reads for each, all of them at once, and never a secret."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from trading_platform.config.load import load, read
from trading_platform.domain.errors import InvalidInput

SECRET = "hunter2"
URL = f"postgresql://user:{SECRET}@db:5432/ledger"
Told = Callable[..., list[str]]


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Told:
    """What is said of a file `settings.yaml` with this text, and of variables: the lines."""
    monkeypatch.chdir(tmp_path)

    def lines(text: str | bytes | None = None, environment: Mapping[str, str] | None = None) -> list[str]:
        named = {}
        if text is not None:
            content = text.encode() if isinstance(text, str) else text
            Path("settings.yaml").write_bytes(content)
            named = {"TRADING_PLATFORM_CONFIG": "settings.yaml"}
        with pytest.raises(InvalidInput) as raised:
            load(named | dict(environment or {}))
        said = str(raised.value)
        assert raised.value.__cause__ is None
        assert SECRET not in said
        # The words are ours.
        assert "input" not in said.lower()
        assert "pydantic" not in said.lower()
        found = said.splitlines()
        assert all(line.startswith("configuration: ") and line.endswith(".") for line in found), found
        return [line.removeprefix("configuration: ").removesuffix(".") for line in found]

    return lines


# ---- one value ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "limits:\n  max_positions: 0",
            "limits.max_positions: 0 cannot be used: give a whole number from 1 to 1,000 positions (settings.yaml line 2)",
        ),
        (
            "limits:\n\n  max_daily_loss_pct: 120",
            (
                "limits.max_daily_loss_pct: 120 cannot be used: give a number above 0 and up to 100 percent with at most 2 "
                "decimals (settings.yaml line 3)"
            ),
        ),
        (
            "limits: {max_positions: many}",
            (
                "limits.max_positions: 'many' cannot be used: give a whole number from 1 to 1,000 positions "
                "(settings.yaml line 1)"
            ),
        ),
        (
            "limits: {max_positions: true}",
            (
                "limits.max_positions: 'true' cannot be used: give a whole number from 1 to 1,000 positions "
                "(settings.yaml line 1)"
            ),
        ),
        (
            "limits: {max_positions: }",
            (
                "limits.max_positions: no value is given: give a whole number from 1 to 1,000 positions "
                "(settings.yaml line 1)"
            ),
        ),
        (
            "limits: {max_positions: [1, 2]}",
            (
                "limits.max_positions: a list cannot be used: give a whole number from 1 to 1,000 positions "
                "(settings.yaml line 1)"
            ),
        ),
        (
            "limits: {max_positions: {at_most: 3}}",
            (
                "limits.max_positions: a group of values cannot be used: give a whole number from 1 to 1,000 positions "
                "(settings.yaml line 1)"
            ),
        ),
        (
            "market_hours: {premarket: 9.30}",
            (
                "market_hours.premarket: 9.30 cannot be used: give a time of day on a full minute, as 09:30 "
                "(settings.yaml line 1)"
            ),
        ),
        (
            "market_data:\n  session: 9 October 2013",
            (
                "market_data.session: '9 October 2013' cannot be used: give a date, as 2013-10-09, or none "
                "(settings.yaml line 2)"
            ),
        ),
        (
            "live: perhaps",
            "live: 'perhaps' cannot be used: give true or false (settings.yaml line 1)",
        ),
        (
            "account: {book: My Book}",
            (
                "account.book: 'My Book' cannot be used: give small letters, digits, _ . and -, 40 at most, a letter or digit "
                "first (settings.yaml line 1)"
            ),
        ),
        (
            "account: 5",
            "account: it takes no value of its own: its settings are written below it, by name (settings.yaml line 1)",
        ),
        (
            "account:\nlive: false",
            "account: nothing stands below it: its settings are written below it, by name (settings.yaml line 1)",
        ),
        (
            "active_strategies:\n- name: vwap_reclaim\n  parameters:\n    crosses: often",
            "active_strategies.0.parameters.crosses: 'often' cannot be used: give a number (settings.yaml line 4)",
        ),
        (
            "active_strategies:\n- profile: quiet",
            "active_strategies.0.name: it is missing (settings.yaml line 2)",
        ),
        (
            "active_strategies: [vwap_reclaim]",
            (
                "active_strategies.0: 'vwap_reclaim' cannot be used: give a group of values with a name "
                "(settings.yaml line 1)"
            ),
        ),
    ],
)
def test_a_value_that_cannot_be_used_is_told_with_what_can(told: Told, text: str, said: str) -> None:
    assert told(text) == [said]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("limit: {}", "limit: there is no such setting. Did you mean limits?"),
        (
            "limits: {max_position: 3}",
            "limits.max_position: there is no such setting. Did you mean limits.max_positions?",
        ),
        ("max_positions: 3", "max_positions: there is no such setting. Did you mean limits.max_positions?"),
        ("Log_Level: INFO", "Log_Level: there is no such setting. Did you mean log_level?"),
        (
            "active_strategies: [{name: a, profil: b}]",
            "active_strategies.0.profil: there is no such setting. Did you mean active_strategies.0.profile?",
        ),
        ("colour: green", "colour: there is no such setting."),
        (
            "environment: production",
            "environment: 'production' cannot be used: give one of dev, staging, prod. Did you mean prod?",
        ),
        (
            "market_data: {provider: poligon}",
            (
                "market_data.provider: 'poligon' cannot be used: give one of simulated, lean, csv, parquet, polygon, yahoo. "
                "Did you mean polygon?"
            ),
        ),
        (
            "market_hours: {calendar: NYSE}",
            "market_hours.calendar: 'NYSE' cannot be used: give one of XNYS, every_day. Did you mean XNYS?",
        ),
        (
            "brokers: {backup: ibk}",
            "brokers.backup: 'ibk' cannot be used: give one of paper, ibkr, alpaca, or none. Did you mean ibkr?",
        ),
        (
            "log_level: debug",
            "log_level: 'debug' cannot be used: give one of DEBUG, INFO, WARNING, ERROR. Did you mean DEBUG?",
        ),
    ],
)
def test_an_unknown_name_is_told_with_the_nearest_known_one(told: Told, text: str, said: str) -> None:
    assert told(text) == [f"{said} (settings.yaml line 1)"]


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("TRADING_PLATFORM_BOOKS", "Did you mean TRADING_PLATFORM_BOOK? "),
        ("TRADING_PLATFORM_LIMITS__LOT", "Did you mean TRADING_PLATFORM__LIMITS__LOT? "),
        ("TRADING_PLATFORM__LIMITS__MAX_POSITION", "Did you mean TRADING_PLATFORM__LIMITS__MAX_POSITIONS? "),
        ("TRADING_PLATFORM_QQQ", ""),
    ],
)
def test_an_unknown_variable_is_told_with_the_nearest_known_one(told: Told, variable: str, said: str) -> None:
    assert told(None, {variable: "1"}) == [f"{variable}: there is no such variable. {said}Mend its name, or unset it"]
    # The control: another's variable is its own affair.
    load({variable.replace("TRADING_PLATFORM", "TRADING"): "1"})


def test_a_mistake_in_a_variable_or_an_option_names_it() -> None:
    environment = {"TRADING_PLATFORM__LIMITS__LOT": "0"}
    with pytest.raises(InvalidInput, match=r"limits\.lot: 0 cannot .*\(TRADING_PLATFORM__LIMITS__LOT\)"):
        load(environment)
    with pytest.raises(InvalidInput, match=r"account\.book: 'No Such' cannot .*\(--book\)"):
        read({}, {"account": {"book": "No Such"}}, {"account.book": "--book"})


def test_everything_that_is_wrong_is_told_at_once(told: Told) -> None:
    text = "limits:\n  lot: 0\n  lots: 1\n  lot: 2\nmarket_hours:\n  open: 9:31\ncolour: green\n"
    said = told(text, {"TRADING_PLATFORM_BOKO": "1", "TRADING_PLATFORM__LIVE": "true"})
    starts = [
        "settings.yaml line 4: lot is given twice, in line 2 and here: keep one",
        "TRADING_PLATFORM_BOKO: there is no such variable",
        "limits.lot: 0 cannot be used",
        "limits.lots: there is no such setting",
        "colour: there is no such setting",
        "live (true; TRADING_PLATFORM__LIVE) is for production only",
        "live (true; TRADING_PLATFORM__LIVE) is real money, and does not go with brokers.primary",
        "live (true; TRADING_PLATFORM__LIVE) is real money, and does not go with market_data.provider",
        "market_hours.open (09:31; settings.yaml line 6) is not the exchange's 09:30",
    ]
    assert len(said) == len(starts)
    for line, start in zip(sorted(said), sorted(starts), strict=True):
        assert line.startswith(start)


# ---- contradictions -----------------------------------------------------------------------------------------------

PROD = "environment: prod\n"


@pytest.mark.parametrize(
    ("wrong", "right", "said"),
    [
        (
            "ownership: {lease: 6}",
            "ownership: {lease: 6.1}",
            (
                "ownership.lease (6 seconds; settings.yaml line 1) must be longer than ownership.renewal (3 seconds; default) "
                "and ownership.margin (3 seconds; default) together: else the lease ends before it is renewed"
            ),
        ),
        (
            "execution: {call_deadline_seconds: 9}",
            "execution: {call_deadline_seconds: 8.9}",
            (
                "ownership.margin (3 seconds; default) and ownership.quarantine (6 seconds; default) together must be longer "
                "than execution.call_deadline_seconds (9 seconds; settings.yaml line 1): else another owner could take over "
                "and send an order again while the call is under way"
            ),
        ),
        (
            "environment: staging\nlive: true\nbrokers: {primary: ibkr}\nmarket_data: {provider: polygon}",
            "environment: prod\nlive: true\nbrokers: {primary: ibkr}",
            (
                "live (true; settings.yaml line 2) is for production only, and does not go with environment (staging; "
                "settings.yaml line 1)"
            ),
        ),
        (
            PROD + "live: true\nbrokers:\n  primary: paper",
            PROD + "live: false\nbrokers:\n  primary: paper",
            (
                "live (true; settings.yaml line 2) is real money, and does not go with brokers.primary (paper; settings.yaml "
                "line 4)"
            ),
        ),
        (
            PROD + "live: true\nbrokers: {backup: paper}",
            PROD + "live: true\nbrokers: {backup: none}",
            (
                "live (true; settings.yaml line 2) is real money, and does not go with brokers.backup (paper; settings.yaml "
                "line 3)"
            ),
        ),
        (
            "brokers: {primary: ibkr}\nmarket_data: {provider: yahoo}",
            "brokers: {primary: paper}\nmarket_data: {provider: yahoo}",
            (
                "clock (simulated; profile dev) trades sessions of the past, whose orders cannot go to brokers.primary (ibkr; "
                "settings.yaml line 1): give paper, or the clock system"
            ),
        ),
        (
            "brokers: {primary: alpaca}\nalpaca: {base_url: 'http://10.0.0.1:80'}\nmarket_data: {provider: yahoo}",
            "brokers: {primary: alpaca}\nalpaca: {base_url: 'http://127.0.0.1:80'}\nmarket_data: {provider: yahoo}",
            (
                "clock (simulated; profile dev) trades sessions of the past, whose orders cannot go to brokers.primary "
                "(alpaca; settings.yaml line 1): give paper, or the clock system"
            ),
        ),
        (
            PROD + "live: true\nclock: simulated\nbrokers: {primary: alpaca, backup: none}\n"
            "alpaca: {base_url: 'http://127.0.0.1:80'}",
            PROD + "live: true\nbrokers: {primary: alpaca, backup: none}\nalpaca: {base_url: 'http://127.0.0.1:80'}",
            (
                "clock (simulated; settings.yaml line 3) trades sessions of the past, whose orders cannot go to "
                "brokers.primary (alpaca; settings.yaml line 4): give paper, or the clock system"
            ),
        ),
        (
            "brokers: {primary: ibkr}\nibkr: {host: 127.0.0.1}\nmarket_data: {provider: yahoo}",
            "brokers: {primary: ibkr}\nibkr: {host: 127.0.0.1}\nmarket_data: {provider: yahoo}\nclock: system",
            (
                "clock (simulated; profile dev) trades sessions of the past, whose orders cannot go to brokers.primary "
                "(ibkr; settings.yaml line 1): give paper, or the clock system"
            ),
        ),
        (
            PROD + "live: true\nmarket_data: {provider: simulated}",
            PROD + "live: false\nmarket_data: {provider: simulated}\nbrokers: {primary: paper, backup: none}",
            (
                "live (true; settings.yaml line 2) is real money, and does not go with market_data.provider (simulated; "
                "settings.yaml line 3), a market that is made up"
            ),
        ),
        *(
            (
                f"environment: {environment}\n{broker}\nclock: system\nmarket_data: {{provider: simulated}}",
                f"environment: {environment}\n{broker}\nclock: system\nmarket_data: {{provider: csv, folder: bars}}",
                (
                    f"market_data.provider (simulated; settings.yaml line 4) is a market that is made up, and does not "
                    f"go with {named}: give a provider of real bars, as csv, or the broker paper"
                ),
            )
            for environment in ("dev", "staging", "prod")
            for broker, named in (
                (
                    "brokers: {primary: ibkr, backup: none}",
                    "brokers.primary (ibkr; settings.yaml line 2)",
                ),
                (
                    "brokers: {primary: paper, backup: alpaca}",
                    "brokers.backup (alpaca; settings.yaml line 2)",
                ),
                (
                    "brokers: {primary: alpaca, backup: ibkr}",
                    "brokers.primary (alpaca; settings.yaml line 2) and brokers.backup (ibkr; settings.yaml line 2)",
                ),
            )
        ),
        (
            "clock: system\nbrokers: {primary: alpaca}\nalpaca: {base_url: 'http://10.0.0.1:80'}",
            "clock: system\nbrokers: {primary: alpaca}\nalpaca: {base_url: 'http://127.0.0.1:80'}",
            (
                "market_data.provider (simulated; profile dev) is a market that is made up, and does not go with "
                "brokers.primary (alpaca; settings.yaml line 2): give a provider of real bars, as csv, or the broker paper"
            ),
        ),
        (
            PROD + "live: true\nibkr: {account: DU1234567}",
            PROD + "live: true\nibkr: {account: U1234567}",
            (
                "live (true; settings.yaml line 2) is real money, and does not go with ibkr.account (DU1234567; "
                "settings.yaml line 3), a paper account"
            ),
        ),
        (
            PROD + "ibkr: {account: U1234567}",
            PROD + "ibkr: {account: DU1234567}",
            (
                "live (false; default) is paper trading, and does not go with ibkr.account (U1234567; settings.yaml line "
                "2), an account with real money"
            ),
        ),
        (
            PROD + "live: true\nalpaca: {base_url: 'https://paper-api.alpaca.markets'}",
            PROD + "live: true\nalpaca: {base_url: 'https://api.alpaca.markets'}",
            (
                "live (true; settings.yaml line 2) is real money, and does not go with alpaca.base_url "
                "(https://paper-api.alpaca.markets; settings.yaml line 3), Alpaca's paper trading"
            ),
        ),
        (
            PROD + "alpaca: {stream_url: 'wss://api.alpaca.markets/stream'}",
            PROD + "alpaca: {stream_url: 'wss://paper-api.alpaca.markets/stream'}",
            (
                "live (false; default) is paper trading, and does not go with alpaca.stream_url "
                "(wss://api.alpaca.markets/stream; settings.yaml line 2), Alpaca's trading with real money"
            ),
        ),
        (
            PROD + "brokers: {primary: alpaca}",
            PROD + "brokers: {primary: alpaca, backup: ibkr}",
            (
                "brokers.backup (alpaca; profile prod) is the same as brokers.primary (alpaca; settings.yaml line 2): a backup "
                "is another one"
            ),
        ),
        (
            "market_data: {backup_provider: simulated}",
            "market_data: {backup_provider: yahoo}",
            (
                "market_data.backup_provider (simulated; settings.yaml line 1) is the same as market_data.provider (simulated; "
                "profile dev): a backup is another one"
            ),
        ),
        (
            "market_hours: {close: 15:00}",
            "market_hours: {close: 15:00, calendar: every_day}",
            (
                "market_hours.close (15:00; settings.yaml line 1) is not the exchange's 16:00, which market_hours.calendar "
                "(XNYS; default) keeps: leave it out, or give the calendar every_day"
            ),
        ),
        (
            "market_hours: {calendar: every_day, open: 10:00, close: 10:00}",
            "market_hours: {calendar: every_day, open: 10:00, close: 10:01}",
            (
                "market_hours.open (10:00; settings.yaml line 1) does not come before market_hours.close (10:00; settings.yaml "
                "line 1)"
            ),
        ),
        (
            "market_hours: {calendar: every_day, open: 09:30, close: 16:01}",
            "market_hours: {calendar: every_day, open: 09:31, close: 16:01}",
            (
                "from market_hours.open (09:30; settings.yaml line 1) to market_hours.close (16:01; settings.yaml line 1) is "
                "longer than the 390 minutes that a session may last"
            ),
        ),
        (
            "market_hours: {premarket: 09:31}",
            "market_hours: {premarket: 09:30}",
            "market_hours.premarket (09:31; settings.yaml line 1) does not come before market_hours.open (09:30; default)",
        ),
        (
            "market_hours: {after_hours: 15:59}",
            "market_hours: {after_hours: 16:00}",
            (
                "market_hours.close (16:00; default) does not come before market_hours.after_hours (15:59; settings.yaml line "
                "1)"
            ),
        ),
        (
            "market_data: {provider: lean}",
            "market_data: {provider: lean, folder: bars}",
            (
                "market_data.provider (lean; settings.yaml line 1) reads files, and market_data.folder (none; default) names no "
                "folder"
            ),
        ),
        (
            "market_data: {folder: bars}",
            "market_data: {folder: bars, backup_provider: csv}",
            (
                "market_data.folder (bars; settings.yaml line 1) is not read by market_data.provider (simulated; profile dev): "
                "leave it out, or give lean, csv or parquet"
            ),
        ),
        (
            "limits: {max_strategy_daily_loss_pct: 6}",
            "limits: {max_strategy_daily_loss_pct: 5}",
            (
                "limits.max_strategy_daily_loss_pct (6 percent; settings.yaml line 1) is over limits.max_daily_loss_pct (5 "
                "percent; default): the account would stop before the strategy does"
            ),
        ),
        (
            "active_strategies: [{name: a}, {name: b}, {name: a}]",
            "active_strategies: [{name: a}, {name: b}]",
            "active_strategies: a is named twice (settings.yaml line 1); name it once",
        ),
        (
            "limits: {restricted_symbols: [SPY, gme]}",
            "limits: {restricted_symbols: [SPY, GME]}",
            "limits.restricted_symbols: 'gme' cannot be a symbol (settings.yaml line 1): write it in capitals, as SPY",
        ),
    ],
)
def test_values_that_contradict_each_other_are_told_with_both_sides(
    told: Told, wrong: str, right: str, said: str
) -> None:
    assert told(wrong) == [said]
    # The control: at the bound, or with the other side changed, they go together.
    Path("settings.yaml").write_text(right)
    load({"TRADING_PLATFORM_CONFIG": "settings.yaml"})


def test_a_default_over_a_tighter_limit_of_the_account_is_no_contradiction() -> None:
    load({"TRADING_PLATFORM__LIMITS__MAX_DAILY_LOSS_PCT": "0.5"})


@pytest.mark.parametrize(
    ("text", "environment"),
    [
        # One side is wrong by itself, so nobody knows whether it contradicts the other.
        ("ownership: {lease: 6, margin: much}", {}),
        ("live: true", {"TRADING_PLATFORM_ENVIRONMENT": "prd"}),
        ("market_hours: {close: 15:00, calendar: every day}", {}),
    ],
)
def test_nothing_is_concluded_from_a_value_that_is_wrong(told: Told, text: str, environment: dict[str, str]) -> None:
    (said,) = told(text, environment)
    assert "cannot be used" in said


def test_all_that_keeps_a_real_broker_from_trading_is_told_at_once(told: Told) -> None:
    said = told("brokers: {primary: alpaca, backup: ibkr}")
    assert [line.partition(" ")[0] for line in said] == ["clock", "clock", "market_data.provider"]


# ---- the file -----------------------------------------------------------------------------------------------------

MUST_NAME = "TRADING_PLATFORM_CONFIG must name a YAML or JSON file with settings, or be unset"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty; write {} where nothing is to be set"),
        (b"# all of it is commented out\n", "it is empty; write {} where nothing is to be set"),
        (b"[]", "it does not hold names with values (as `log_level: INFO`)"),
        (b"7", "it does not hold names with values (as `log_level: INFO`)"),
        (b"null", "it does not hold names with values (as `log_level: INFO`)"),
        (b"live: false\nlimits:\n\tlot: 1", "line 3: a tab stands where the line begins or a value is due: use spaces"),
        (b"a: b: c", "line 1: a colon stands where none may: put the text in quotes, or mend the indentation"),
        (b"limits:\n  lot: 1\n lots: 2", "line 3: the indentation does not fit the lines above"),
        (b"live: false\nlog_level\n", "line 3: a name stands without its colon"),
        (b"{", "line 1: a value is missing"),
        (b"{limits: [1, 2", "line 1: a bracket is not closed, or a comma is missing"),
        (b'log_level: "INFO', "line 1: a quotation mark or a bracket is not closed"),
        (b"live: false\n---\nlive: true\n", "line 2: a second document begins: a file holds one"),
        (b"instance: &own a\naccount: {book: *own}", "line 2: an alias (*) is not read: write the value out"),
        (b"[" * 5_000, "it is not YAML: its groups lie too deep in one another"),
        (b"\x00\x01", "it is not YAML: it holds signs that no text has"),
        (b"#" * (1 << 20) + b"\n", "it is larger than 1 MB"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_with_its_line(told: Told, content: bytes, said: str) -> None:
    assert told(content) == [f"settings.yaml: {said}. {MUST_NAME}"]


def test_a_file_in_another_code_is_told_with_its_line(told: Told) -> None:
    assert told(b"live: false\nlog_level: \xff\xfe") == ["settings.yaml: line 2 is not UTF-8. Save it as UTF-8"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("limits:\n  lot: 1\n  lot: 2", "line 3: lot is given twice, in line 2 and here: keep one"),
        ('{"live": false,\n"live": true}', "line 2: live is given twice, in line 1 and here: keep one"),
        ("limits:\n  <<: {lot: 1}", "line 2: a merge (<<) is not read: write the values out"),
        ("? [a, b]\n: 1", "line 1: a name is due here, as `log_level: INFO`"),
        ("log_level: !!python/name:os.system INFO", "line 1: a tag (!) is not read: write the value alone"),
    ],
)
def test_what_is_not_read_in_a_file_is_told_with_its_line(told: Told, text: str, said: str) -> None:
    assert told(text) == [f"settings.yaml {said}"]


def test_a_file_that_is_not_there_is_told_beside_other_mistakes(told: Told) -> None:
    nowhere = {"TRADING_PLATFORM_CONFIG": "nowhere.yaml", "TRADING_PLATFORM__LIMITS__LOT": "0"}
    first, second = told(None, nowhere)
    assert first == f"nowhere.yaml: it cannot be read: No such file or directory. {MUST_NAME}"
    assert second.startswith("limits.lot: 0 cannot be used")
    assert told(None, {"TRADING_PLATFORM_CONFIG": "."})[0] == f".: it cannot be read: Is a directory. {MUST_NAME}"


# ---- secrets ------------------------------------------------------------------------------------------------------


def test_a_secret_in_a_file_is_refused(told: Told) -> None:
    said = (
        "database_url: a secret does not belong into a file of settings (settings.yaml line 2): give it by the variable "
        "DATABASE_URL, or by a mounted file that DATABASE_URL_FILE names"
    )
    assert told(f"live: false\ndatabase_url: {URL}") == [said]


@pytest.mark.parametrize("name", ["key", "secret"])
def test_a_broker_s_key_in_a_file_is_refused(told: Told, name: str) -> None:
    variable = f"ALPACA_API_{name.upper()}"
    said = (
        f"alpaca.{name}: a secret does not belong into a file of settings (settings.yaml line 1): give it by the variable "
        f"{variable}, or by a mounted file that {variable}_FILE names"
    )
    assert told(f"alpaca: {{{name}: {SECRET}}}") == [said]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "ibkr: {time_zone: New York}",
            "ibkr.time_zone: 'New York' cannot be used: give a time zone, as America/New_York",
        ),
        (
            "ibkr: {account: mine}",
            "ibkr.account: 'mine' cannot be used: give an account's name as TWS shows it, as DU1234567, or none",
        ),
        (
            "alpaca: {base_url: 'http://me:hunter2@localhost'}",
            "alpaca.base_url: what is given cannot be used: give an address, as https://host:port, or none",
        ),
        ("ibkr: {client_id: 0}", "ibkr.client_id: 0 cannot be used: give a whole number from 1 to 999,999"),
    ],
)
def test_what_is_wrong_about_a_broker_is_told_with_what_can_be_given(told: Told, text: str, said: str) -> None:
    assert told(text) == [f"{said} (settings.yaml line 1)"]


def test_accounts_of_brokers_that_are_not_named_contradict_nothing() -> None:
    load({}, {"ibkr": {"account": "U1234567"}, "alpaca": {"base_url": "https://api.alpaca.markets"}})


def test_a_secret_in_an_option_is_refused_and_one_by_the_platform_s_own_code_is_not() -> None:
    overrides = {"database_url": URL}
    with pytest.raises(InvalidInput, match="a secret does not belong into an option") as raised:
        read({}, overrides, {"database_url": "--database"})
    assert SECRET not in str(raised.value)
    assert load({}, overrides).database_url is not None


def test_a_mounted_file_that_holds_no_secret_is_told(told: Told, tmp_path: Path) -> None:
    assert told(None, {"DATABASE_URL_FILE": "none"}) == [
        "DATABASE_URL_FILE: the file that it names cannot be read: No such file or directory"
    ]
    (tmp_path / "empty").write_text("\n")
    assert told(None, {"DATABASE_URL_FILE": "empty"}) == [
        "DATABASE_URL_FILE: nothing stands there. Give the secret, or unset it"
    ]
    (tmp_path / "coded").write_bytes(b"\xff\xfe")
    assert told(None, {"DATABASE_URL_FILE": "coded"}) == ["DATABASE_URL_FILE: the file that it names is not UTF-8"]
    (tmp_path / "one").write_text(URL)
    assert told(None, {"DATABASE_URL_FILE": "one", "DATABASE_URL": URL}) == [
        "DATABASE_URL and DATABASE_URL_FILE both set database_url: unset all but one"
    ]


@pytest.mark.parametrize(
    "text",
    [
        f"data_folder: [{URL}]",
        f"account: {URL}",
        f"limits: {{lot: '{URL}'}}",
        f"limits: {{lot: {SECRET}}}",
        f"execution: {{fees: '{URL}'}}",
        f"active_strategies: '{URL}'",
        f"active_strategies: [{{name: a, parameters: {{x: '{SECRET}'}}}}]",
        f"'{URL}': 1",
        f"limits: {{'{URL}': 1}}",
        f"'{URL}': 1\n'{URL}': 2",
        f"*{SECRET}",
        f"instance: &{SECRET} a\nlog_level: &{SECRET} b",
        f"!{SECRET} a",
        f"%{SECRET}\n",
        f'password: "{URL}',
        f"{URL}\n: {URL}: {URL}",
        f"@{SECRET}",
    ],
)
def test_no_secret_is_told_wherever_it_was_put(told: Told, text: str) -> None:
    # `told` itself looks for it.
    assert told(text, {"DATABASE_URL": URL})


@pytest.mark.parametrize("overrides", [{"database_url": [URL]}, {"database_url": {"url": URL}}, {"database_url": 5}])
def test_what_is_no_secret_is_not_told_either(overrides: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=r"database_url: .*cannot be used: give a text") as raised:
        load({}, overrides)
    assert SECRET not in str(raised.value)
    assert raised.value.__context__ is None
