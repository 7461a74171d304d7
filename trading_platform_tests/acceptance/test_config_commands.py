"""`trading-platform config`: what it shows with which source, what it refuses, all at once, and never a secret."""

import json
from pathlib import Path
from typing import Any

import pytest

from trading_platform_tests.sessions.console import Checkout, new_checkout

SECRET = "hunter2"
ACCOUNT = "Give an account's name as TWS shows it, as DU1234567."
BY_VARIABLE = "Give it by the variable {0}, or by a mounted file that {0}_FILE names."
URL = f"postgresql://me:{SECRET}@nowhere:5432/ledger"


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A checkout in which nothing runs: no command here starts a server."""
    return new_checkout(tmp_path)


def shown(checkout: Checkout, *options: str, **variables: str) -> dict[str, Any]:
    """The values of `config show`, by path."""
    done = checkout.run("config", "show", "--json", *options, seconds=60, **variables)
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr
    return {row["path"]: row for row in json.loads(done.stdout)["values"]}


def write(checkout: Checkout, text: str) -> dict[str, str]:
    (checkout.folder / "settings.yaml").write_text(text)
    return {"TRADING_PLATFORM_CONFIG": "settings.yaml"}


def test_each_value_is_shown_with_its_source(checkout: Checkout) -> None:
    named = write(checkout, "environment: staging\nlimits:\n  max_positions: 3\n")
    changes = {"DATABASE_URL": URL, "TRADING_PLATFORM__LIMITS__LOT": "10", **named}
    rows = shown(checkout, "--session", "2024-07-03", "--book", "mine", **changes)
    told = {path: (row["value"], row["source"], row["changed"]) for path, row in rows.items()}
    assert told["limits.max_positions"] == ("3", "settings.yaml line 3", True)
    assert told["limits.lot"] == ("10", "TRADING_PLATFORM__LIMITS__LOT", True)
    assert told["limits.closing_minutes"] == ("15", "default", False)
    assert told["clock"] == ("system", "profile staging", True)
    assert told["market_data.session"] == ("2024-07-03", "--session", True)
    assert told["account.book"] == ("mine", "--book", True)
    assert told["database_url"] == ("set (hidden)", "DATABASE_URL", True)
    assert told["active_strategies"] == ("gap_and_go, vwap_reclaim", "default", False)
    assert not (checkout.data / "db").exists()


def test_only_what_differs_can_be_shown_and_as_a_table(checkout: Checkout) -> None:
    named = write(checkout, "limits:\n  max_positions: 3\n  lot: 1\n")
    assert set(shown(checkout, "--changed", **named)) == {"limits.max_positions", "data_folder"}
    done = checkout.run("config", "show", seconds=60, **named)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["limits.max_positions", "3", "*", "settings.yaml", "line", "2"] in lines
    assert ["limits.lot", "1", "settings.yaml", "line", "3"] in lines
    assert ["database_url", "not", "set", "default"] in lines


def test_a_valid_configuration_is_said_to_be(checkout: Checkout) -> None:
    done = checkout.run("config", "check", seconds=60, **write(checkout, "limits: {max_positions: 3}"))
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "The configuration is valid. Environment dev; 2 values differ from their defaults; file settings.yaml.\n"
    )
    told = json.loads(checkout.run("config", "check", "--json").stdout)
    assert told == {"valid": True, "environment": "dev", "file": None, "changed": 1}
    # It started nothing and wrote nothing.
    assert not checkout.data.exists()


def test_everything_that_is_wrong_is_said_at_once_also_what_only_the_parts_know(checkout: Checkout) -> None:
    text = """
limits:
  max_positions: 0
  max_position: 3
market_data:
  provider: lean
  folder: nowhere
  symbols: [SPY]
active_strategies:
  - name: vwap_reclame
  - name: vwap_reclaim
    profile: quite
brokers:
  backup: ibkr
clock: system
"""
    done = checkout.run("config", "check", seconds=60, **write(checkout, text))
    assert done.returncode == 2
    for said in (
        "limits.max_positions: 0 cannot be used",
        "Did you mean limits.max_positions? (settings.yaml line 4)",
        "there is no strategy 'vwap_reclame'. Did you mean 'vwap_reclaim'",
        "there is no profile 'quite'. Did you mean 'quiet'",
        "ibkr.account: it is not given, and brokers.backup names ibkr",
        "nowhere",
    ):
        assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not checkout.data.exists()
    # The control: the same file, mended, is valid.
    (checkout.folder / "nowhere" / "equity" / "usa" / "minute").mkdir(parents=True)
    mended = text.replace("max_positions: 0", "max_positions: 5").replace("  max_position: 3\n", "")
    mended = (
        mended.replace("  - name: vwap_reclame\n", "").replace("quite", "quiet").replace("backup: ibkr", "backup: none")
    )
    done = checkout.run("config", "check", seconds=60, **write(checkout, mended))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"DATABASE_URL": f"mysql://me:{SECRET}@db/ledger"}, "DATABASE_URL"),
        ({"DATABASE_URL": f"{SECRET}"}, "DATABASE_URL"),
        ({"TRADING_PLATFORM_SESSION": "2024-07-04"}, "market_data.session: 2024-07-04 (Thursday) is not a session"),
        (
            {"TRADING_PLATFORM_DATA": "settings.yaml/data"},
            "data_folder: settings.yaml/data: it cannot be made or written",
        ),
        ({"TRADING_PLATFORM__MARKET_DATA__SYMBOLS": "spy"}, "spy cannot be a symbol"),
        ({"TRADING_PLATFORM__ACTIVE_STRATEGIES": "[]"}, "active_strategies: no strategy is active"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_what_only_a_part_can_tell_is_checked(checkout: Checkout, variables: dict[str, str], said: str) -> None:
    write(checkout, "{}")
    done = checkout.run("config", "check", seconds=60, **variables)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert SECRET not in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", [("config", "check"), ("session", "run", "--session", "2024-07-03")])
def test_what_this_version_has_not_is_said_before_anything_runs(checkout: Checkout, command: tuple[str, ...]) -> None:
    done = checkout.run(*command, TRADING_PLATFORM_ENVIRONMENT="prod")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"Error: ibkr.account: it is not given, and brokers.primary names ibkr. {ACCOUNT}",
        f"alpaca.key: it is not given, and brokers.backup names alpaca. {BY_VARIABLE.format('ALPACA_API_KEY')}",
        f"alpaca.secret: it is not given, and brokers.backup names alpaca. {BY_VARIABLE.format('ALPACA_API_SECRET')}",
        "market_data.provider: this version has no provider polygon. Give one of simulated, lean, csv, parquet.",
    ]
    assert not checkout.data.exists()


def test_the_profile_of_production_can_be_shown(checkout: Checkout) -> None:
    rows = shown(checkout, TRADING_PLATFORM_ENVIRONMENT="prod")
    assert rows["limits.max_daily_loss_pct"]["source"] == "profile prod"


def test_keys_are_hidden_and_a_broker_is_not_asked_by_a_check(checkout: Checkout) -> None:
    wanted = {
        "TRADING_PLATFORM_ENVIRONMENT": "staging",
        "TRADING_PLATFORM__BROKERS__PRIMARY": "alpaca",
        # Nobody listens there: a check that asked would say so.
        "TRADING_PLATFORM__ALPACA__BASE_URL": "http://127.0.0.1:1",
        "ALPACA_API_KEY": f"PK{SECRET}",
        "ALPACA_API_SECRET": SECRET,
    }
    rows = shown(checkout, **wanted)
    told = {path: (rows[path]["value"], rows[path]["source"]) for path in ("alpaca.key", "alpaca.secret")}
    assert told == {
        "alpaca.key": ("set (hidden)", "ALPACA_API_KEY"),
        "alpaca.secret": ("set (hidden)", "ALPACA_API_SECRET"),
    }
    done = checkout.run("config", "check", seconds=60, **wanted)
    assert (done.returncode, done.stderr) == (0, "")
    assert SECRET not in done.stdout
    # The control: without one of them it is said, by its name.
    done = checkout.run("config", "check", seconds=60, **{**wanted, "ALPACA_API_SECRET": ""})
    assert done.returncode == 2
    assert done.stderr.startswith("Error: alpaca.secret: it is not given, and brokers.primary names alpaca.")
    assert SECRET not in done.stderr


def test_an_option_for_the_simulated_market_is_not_held_up_by_the_file_s_folder(checkout: Checkout) -> None:
    named = write(checkout, "market_data: {provider: lean, folder: bars}")
    rows = shown(checkout, "--data", "simulated", **named)
    assert (rows["market_data.folder"]["value"], rows["market_data.provider"]["source"]) == ("none", "--data")


def test_the_level_of_the_logs_takes_effect(checkout: Checkout) -> None:
    assert checkout.run("config", "show").stderr == ""
    told = checkout.run("config", "show", TRADING_PLATFORM__LOG_LEVEL="DEBUG").stderr
    assert told == "DEBUG trading_platform: environment dev, file none\n"


def test_the_reference_is_the_one_of_the_documentation(checkout: Checkout) -> None:
    done = checkout.run("config", "reference")
    page = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"
    assert done.stdout in page.read_text(encoding="utf-8")
