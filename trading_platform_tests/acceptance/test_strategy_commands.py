"""`trading-platform strategies list` and `check`, as a person types them: answers, exit codes, and no traceback."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from trading_platform_tests.factories.strategy_files import line_of, source, write
from trading_platform_tests.sessions.console import Checkout, new_checkout

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "opening_range_breakout.py"


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A checkout in which nothing runs: these commands need no database."""
    return new_checkout(tmp_path)


def configured(checkout: Checkout, *active: dict[str, Any]) -> str:
    """A configuration file that names these active strategies."""
    return str(write(checkout.folder / "strategies.yaml", json.dumps({"active_strategies": active})))


def test_list_says_where_each_comes_from_and_what_can_be_set(checkout: Checkout) -> None:
    shutil.copy(EXAMPLE, checkout.folder)
    file = configured(checkout, {"name": "opening_range_breakout", "file": EXAMPLE.name}, {"name": "gap_and_go"})
    done = checkout.run("strategies", "list", "--json", TRADING_PLATFORM_CONFIG=file)
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert list(rows) == ["gap_and_go", "vwap_reclaim", "opening_range_breakout"]
    assert {name: row["kind"] for name, row in rows.items()} == {
        "gap_and_go": "built-in",
        "vwap_reclaim": "built-in",
        "opening_range_breakout": "file",
    }
    assert rows["opening_range_breakout"]["profiles"] == ["patient"]
    assert rows["gap_and_go"]["parameters"][0] == {
        "name": "gap_from",
        "default": 4.0,
        "low": -100,
        "high": 10_000,
        "unit": "percent over the prior close, at least",
    }
    assert not any(row["fault"] for row in rows.values())

    shown = checkout.run("strategies", "list", TRADING_PLATFORM_CONFIG=file).stdout
    assert "gap_and_go  (built-in: the platform)" in shown
    assert "opening_range_breakout  (file: opening_range_breakout.py)" in shown
    assert "  profiles: patient" in shown
    assert "  range_minutes = 15  [1, 120]  minutes of the opening range" in shown


def test_list_shows_a_broken_file_with_its_cause_and_the_others_as_ever(checkout: Checkout) -> None:
    file = write(checkout.folder / "mine.py", "1 +\n")
    done = checkout.run(
        "strategies", "list", TRADING_PLATFORM_CONFIG=configured(checkout, {"name": "mine", "file": str(file)})
    )
    assert done.returncode == 0, done.stderr
    assert f"does not load: {file}, line 1: it is not Python" in done.stdout
    assert "vwap_reclaim  (built-in: the platform)" in done.stdout


def test_check_passes_the_active_ones_where_none_is_named(checkout: Checkout) -> None:
    shutil.copy(EXAMPLE, checkout.folder)
    file = configured(
        checkout,
        {
            "name": "opening_range_breakout",
            "file": EXAMPLE.name,
            "profile": "patient",
            "parameters": {"last_entry": 90},
        },
        {"name": "vwap_reclaim", "profile": "quiet"},
    )
    done = checkout.run("strategies", "check", TRADING_PLATFORM_CONFIG=file)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "opening_range_breakout: nothing found.\nvwap_reclaim: nothing found.\n"


def test_check_names_what_is_wrong_with_line_and_cause_and_exits_with_2(checkout: Checkout) -> None:
    text = source("out.level1 = bar.closing")
    good, bad = write(checkout.folder / "good.py", source()), write(checkout.folder / "bad.py", text)
    done = checkout.run("strategies", "check", str(good), str(bad), "gap_and_go", "--json")
    assert done.returncode == 2
    assert "Traceback" not in done.stdout + done.stderr
    rows = {row["strategy"]: row["findings"] for row in json.loads(done.stdout)}
    assert rows[str(good)] == rows["gap_and_go"] == []
    (finding,) = rows[str(bad)]
    assert finding.startswith(f"{bad}, line {line_of(text, 'bar.closing')}: the step does not compile: ")
    told = checkout.run("strategies", "check", "bad.py")
    assert told.returncode == 2
    assert told.stdout.startswith(f"bad.py:\n  {bad}, line ")


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ("nothing_like_it.py", "there is no such file"),
        ("vwap_reclam", "Did you mean 'vwap_reclaim'"),
        ("./", "it cannot be read"),
    ],
)
def test_check_of_what_is_not_there_says_so(checkout: Checkout, named: str, says: str) -> None:
    done = checkout.run("strategies", "check", named)
    assert done.returncode == 2
    assert says in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_check_tries_every_profile_and_refuses_what_the_configuration_sets_wrongly(checkout: Checkout) -> None:
    text = source().replace('{"minute": 5}', '{"minute": 500}')
    done = checkout.run("strategies", "check", str(write(checkout.folder / "mine.py", text)))
    assert done.returncode == 2
    assert "minute is 500, outside [0, 389]" in done.stdout
    wrong = {"name": "gap_and_go", "parameters": {"gap_from": 60}}
    done = checkout.run("strategies", "check", TRADING_PLATFORM_CONFIG=configured(checkout, wrong))
    assert done.returncode == 2
    assert "gap_from is 60 and gap_to is 50.0: nothing lies between them" in done.stdout


def test_a_session_with_a_broken_file_is_refused_before_anything_runs(checkout: Checkout) -> None:
    file = configured(checkout, {"name": "mine", "file": str(write(checkout.folder / "mine.py", "1 +\n"))})
    done = checkout.run("session", "run", "--session", "2024-07-03", TRADING_PLATFORM_CONFIG=file)
    assert done.returncode == 2
    assert "mine.py, line 1: it is not Python" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not (checkout.data / "db").exists()
