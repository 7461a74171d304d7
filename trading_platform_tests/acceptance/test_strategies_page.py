"""docs/strategies.md, done as it stands: its files are written, its commands typed one after the other, its answers compared.

A block that begins with `$` holds commands and what they say; `...` stands for what differs from machine to machine. A
block with a name beside its language is a file of that name. A block of `dagster` is the form of a job, and is launched.
"""

import math
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import dagster as dg
import pytest
import yaml

from trading_platform.backtest.trades import REASONS
from trading_platform.domain.compiled import UNCOMPILED, compiled
from trading_platform_tests.sessions.console import SOURCES, Checkout, new_checkout

PAGE: Final = SOURCES / "docs" / "strategies.md"
JOBS: Final = {"run_backtest": "backtest", "plan_sweep": "backtest_sweep"}
BLOCK: Final = re.compile(r"^```(\w+) ?(\S*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.timeout(600)


@dataclass(frozen=True, slots=True)
class Block:
    """A block of the page: its language, the file that it is, if any, and its text."""

    kind: str
    path: str
    text: str


BLOCKS: Final = tuple(Block(*found) for found in BLOCK.findall(PAGE.read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    made = new_checkout(tmp_path_factory.mktemp("page"))
    shutil.copytree(SOURCES / "examples", made.folder / "examples")
    yield made
    made.server.stop()


def commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each command of a block, and the lines that it says."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        first, *said = part.replace("\\\n", " ").splitlines()
        yield first, [line.strip() for line in said if line.strip()]


def typed(checkout: Checkout, command: str) -> str:
    """Type a line of the page; it must succeed. `cp` is the one other program."""
    words = shlex.split(command)
    variables = {"COLUMNS": "200"}
    while "=" in words[0] and words[0].split("=")[0].isupper():
        name, _, value = words.pop(0).partition("=")
        variables[name] = value
    if words[0] == "cp":
        shutil.copy(checkout.folder / words[1], checkout.folder / words[2])
        return ""
    assert words[0] == "trading-platform", command
    done = checkout.run(*words[1:], seconds=300, **variables)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def require_said(command: str, expected: list[str], said: str) -> None:
    """Every line of the page is a line of the answer, in this order; white space between columns does not count."""
    lines = iter([" ".join(line.split()) for line in said.splitlines()])
    for line in expected:
        wanted = re.compile(re.escape(" ".join(line.split())).replace(re.escape("..."), ".*"))
        assert any(wanted.fullmatch(found) for found in lines), f"{command}\n\n{line}\n\nis not said in\n\n{said}"


def test_every_command_of_the_page_says_what_the_page_says(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(checkout.folder)
    monkeypatch.setenv("TRADING_PLATFORM_DATA", str(checkout.data))
    monkeypatch.delenv("TRADING_PLATFORM_CONFIG", raising=False)
    count = 0
    for block in BLOCKS:
        if block.kind == "dagster":
            launch(checkout, block.text)
        elif block.path:
            (checkout.folder / block.path).write_text(block.text, encoding="utf-8")
        elif block.kind == "console":
            for command, expected in commands(block.text):
                require_said(command, expected, typed(checkout, command))
                count += 1
    assert count >= 10


def launch(checkout: Checkout, text: str) -> None:
    """Run the job whose form a block is, in this process; where it says how steps run, they run as it says."""
    from trading_platform.defs.build import build_defs

    config = yaml.safe_load(text)
    (op,) = config["ops"]
    config.pop("execution", None)
    with dg.instance_for_test(temp_dir=str(checkout.folder)) as instance:
        done = build_defs().resolve_job_def(JOBS[op]).execute_in_process(instance=instance, run_config=config)
        assert done.success


def test_the_strategy_of_the_page_is_the_example() -> None:
    (shown,) = [block.text for block in BLOCKS if block.path == "new_high.py"]
    assert shown == (SOURCES / "examples" / "new_high.py").read_text(encoding="utf-8")


def test_every_reason_of_an_exit_is_explained_once() -> None:
    explained = re.findall(r"^\| `([a-z ]+)` \|", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert sorted(explained) == sorted(REASONS.values())


@compiled
def quotients(number: float, whole: int) -> tuple[float, float, float, int, int]:
    return (
        number / 0.0,
        (number - number) / 0.0,
        whole / (whole - whole),
        whole // (whole - whole),
        whole % (whole - whole),
    )


@pytest.mark.skipif(UNCOMPILED, reason="Python's own numbers raise; a step's are NumPy's")
def test_a_division_by_zero_is_what_the_page_says() -> None:
    by_zero, of_zero, of_whole, *whole = quotients(1.0, 3)
    assert (by_zero, math.isnan(of_zero), of_whole, whole) == (math.inf, True, math.inf, [0, 0])


def test_a_page_that_says_something_else_is_found() -> None:
    """The control of the comparison."""
    require_said("one", ["a ... c", "d  e"], "a b c\nx\nd e\n")
    for wrong in (["a c"], ["d e", "a b c"], ["nothing"]):
        with pytest.raises(AssertionError, match="is not said in"):
            require_said("one", wrong, "a b c\nx\nd e\n")
