"""The rule on skipped tests: in CI one is a failure, unless what it needs is not the machine's to give."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
SKIPS = """
import pytest

{mark}
def test_something() -> None:
    pytest.skip("there is no such thing here")
"""
MODULE_SKIPS = "import pytest\npytest.skip('there is no such thing here', allow_module_level=True)\n"


def run(folder: Path, text: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    shutil.copy(CHECKOUT / "trading_platform_tests" / "conftest.py", folder)
    shutil.copy(CHECKOUT / "pyproject.toml", folder)
    (folder / "test_planted.py").write_text(text)
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "LEAN_DATA")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_planted.py"],
        cwd=folder,
        env=environment | variables,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("text", [SKIPS.format(mark=""), MODULE_SKIPS], ids=["a test", "a module"])
def test_a_skip_is_a_failure_with_its_reason_in_ci_only(tmp_path: Path, text: str) -> None:
    in_ci = run(tmp_path, text, CI="true")
    assert in_ci.returncode not in (0, 5), in_ci.stdout
    assert "not to be skipped in CI. Skipped: there is no such thing here" in in_ci.stdout

    elsewhere = run(tmp_path, text)
    assert elsewhere.returncode in (0, 5), elsewhere.stdout
    assert "1 skipped" in elsewhere.stdout


@pytest.mark.parametrize("name", ["internet", "broker_account"])
def test_what_a_machine_cannot_give_may_be_skipped(tmp_path: Path, name: str) -> None:
    done = run(tmp_path, SKIPS.format(mark=f"@pytest.mark.{name}"), CI="true")
    assert done.returncode == 0, done.stdout
    assert "1 skipped" in done.stdout


def test_a_fixture_that_has_nothing_to_give_is_a_failure_in_ci(tmp_path: Path) -> None:
    text = "def test_bars(lean_data: object) -> None:\n    pass\n"
    assert "LEAN_DATA does not name" in run(tmp_path, text, CI="true").stdout
    assert run(tmp_path, text).returncode == 0
