"""Strategies by name, by entry point and by file: defaults, profiles, changes, and refusals that name the cause."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trading_platform.config.settings import ActiveStrategy
from trading_platform.domain.compiled import UNCOMPILED, empty_records
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.records import day_t, step_bar_t
from trading_platform.strategies import registry
from trading_platform.strategies.scan import fold
from trading_platform.strategies.set_aside import make_ready
from trading_platform_tests.factories.strategy_files import line_of, source, write


def test_every_known_strategy_loads_with_every_profile() -> None:
    for name in registry.names():
        assert registry.load(name).name == name
        profiles = import_module(registry.load(name).step.__module__).PROFILES
        assert profiles
        for profile in profiles:
            assert registry.load(name, profile) != registry.load(name)


def test_overrides_come_after_the_profile() -> None:
    quiet = registry.load("vwap_reclaim", "quiet", {"crosses": 3, "exit_plan.time_stop": 30, "sizing.risk_percent": 1})
    assert (quiet.parameters.relative_volume, quiet.parameters.crosses) == (0.5, 3)
    assert (quiet.exit_plan.time_stop, quiet.sizing.risk_percent) == (30, 1)
    untouched = registry.load("vwap_reclaim")
    assert (untouched.parameters.crosses, untouched.exit_plan.time_stop, untouched.sizing.risk_percent) == (4, 60, 0.5)


@pytest.mark.parametrize(
    ("name", "profile", "overrides", "says"),
    [
        ("vwap_reclam", None, {}, "Did you mean 'vwap_reclaim'"),
        ("martingale", None, {}, "Known: "),
        ("vwap_reclaim", "quite", {}, "Did you mean 'quiet'"),
        ("vwap_reclaim", None, {"relativ_volume": 1.0}, "Did you mean 'relative_volume'"),
        ("vwap_reclaim", None, {"exit_plan.timestop": 1}, "Did you mean 'time_stop'"),
        ("vwap_reclaim", None, {"exits.time_stop": 1}, "Known: exit_plan, sizing"),
        ("vwap_reclaim", None, {"relative_volume": -1.0}, "outside [0, 100]"),
        ("vwap_reclaim", None, {"sizing.risk_percent": 50.0}, "outside [0.01, 10]"),
    ],
)
def test_what_is_not_known_is_refused(name: str, profile: str | None, overrides: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        registry.load(name, profile, overrides)
    assert says in str(refusal.value)


def test_the_compiler_is_not_imported_until_a_strategy_is_loaded() -> None:
    script = """
import sys
from trading_platform.strategies import registry
registry.names()
print("numba" in sys.modules)
registry.load("vwap_reclaim")
print("numba" in sys.modules)
"""
    told = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert told.stdout.split() == ["False", "True"]


# ---- a file of the user's own ------------------------------------------------------------------------------------


def level_of(file: Path, name: str = "mine") -> float:
    """What the strategy in the file gives as its first level on one bar."""
    outs, faults = fold(
        registry.load(name, file=file), empty_records(1, step_bar_t), np.ones(1, np.bool_), empty_records(1, day_t)
    )
    assert not faults
    return float(outs["level1"][0])


def refusal(file: Path, name: str = "mine") -> str:
    with pytest.raises(InvalidInput) as refused:
        registry.load(name, file=file)
    return str(refused.value)


def test_a_file_is_loaded_with_its_profile_and_overrides(tmp_path: Path) -> None:
    file = write(tmp_path / "anything.py", source())
    assert registry.load("mine", file=file).parameters.minute == 1
    assert registry.load("mine", "late", file=file).parameters.minute == 5
    assert registry.load("mine", "late", {"minute": 7, "exit_plan.attempts": 3}, file).parameters.minute == 7
    with pytest.raises(InvalidInput, match="Did you mean 'late'"):
        registry.load("mine", "lat", file=file)


def test_a_file_may_leave_out_profiles(tmp_path: Path) -> None:
    file = write(tmp_path / "mine.py", source().partition("PROFILES")[0])
    assert registry.load("mine", file=file).name == "mine"
    with pytest.raises(InvalidInput, match="there is no profile 'late'"):
        registry.load("mine", "late", file=file)


def test_two_files_of_one_name_do_not_clash(tmp_path: Path) -> None:
    for folder, level in (("one", "1.0"), ("two", "2.0")):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "mine.py", source(f"out.level1 = {level}"))
    assert level_of(tmp_path / "one" / "mine.py") == 1.0
    assert level_of(tmp_path / "two" / "mine.py") == 2.0
    assert level_of(tmp_path / "one" / "mine.py") == 1.0


def test_a_file_that_changed_is_loaded_anew(tmp_path: Path) -> None:
    file = write(tmp_path / "my strategy.v2.py", source("out.level1 = 1.0"))
    assert level_of(file) == 1.0
    # As long as before, and within the same second: a copy of the bytecode would be taken for current.
    write(file, source("out.level1 = 3.0"))
    assert level_of(file) == 3.0
    assert not (tmp_path / "__pycache__").exists()


def test_a_file_outside_the_package_is_compiled_once_for_all_processes_and_anew_when_it_changes(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
import numpy as np
from trading_platform.domain.compiled import empty_records
from trading_platform.domain.records import day_t, step_bar_t
from trading_platform.strategies import registry
from trading_platform.strategies.loops import loops
from trading_platform.strategies.scan import fold
from trading_platform.strategies.set_aside import make_ready
mine = registry.load("mine", file=Path(sys.argv[1]))
outs, _ = fold(mine, empty_records(1, step_bar_t), np.ones(1, np.bool_), empty_records(1, day_t))
print(outs["level1"][0], sum(loops(mine.step).fold.stats.cache_misses.values()))
"""
    # The package must stay as it is between the runs: the cache is named by its sources.
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "0", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    root = Path(registry.__file__).parents[2]
    shutil.copytree(root / "trading_platform", tmp_path / "copied" / "trading_platform")
    environment["PYTHONPATH"] = str(tmp_path / "copied")

    def run(file: Path) -> list[str]:
        command = [sys.executable, "-B", "-c", script, str(file)]
        told = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, cwd=tmp_path)
        return told.stdout.split()

    file = write(tmp_path / "mine.py", source("out.level1 = 1.0"))
    assert run(file) == ["1.0", "1"]
    assert run(file) == ["1.0", "0"]
    write(file, source("out.level1 = 3.0"))
    assert run(file) == ["3.0", "1"]


MISTAKES: dict[str, tuple[str, str, str]] = {
    # what the file holds, the part of it whose line is named (none: the file alone), and what is said
    "not Python": ("def step(:\n    pass\n", "def step", "it is not Python: "),
    "no text": ("\0\0", "", "it is not Python: "),
    "raises": (source(top="LEVELS = [1]\nLEVELS[3]"), "LEVELS[3]", "it does not import: IndexError: list index"),
    "missing import": (
        source(top="import nowhere_at_all"),
        "import nowhere",
        "it does not import: ModuleNotFoundError",
    ),
    "exits": (source(top="raise SystemExit(3)"), "raise SystemExit", "it does not import: SystemExit: 3"),
    "no strategy": ("ANSWER = 42\n", "", "it holds no STRATEGY. Let it hold STRATEGY, a Strategy"),
    "another thing": ("STRATEGY = 42\n", "", "its STRATEGY is a int, not a Strategy"),
    "wrong profiles": (source() + "PROFILES = ['late']\n", "", "its PROFILES are no changes by name"),
    "another name": (source(name="yours"), "", "its STRATEGY is named 'yours', and is asked for as 'mine'"),
    "impossible name": (source(name="my strategy"), "STRATEGY =", "'my strategy' cannot be a strategy's name"),
    "too few arguments": (source(arguments="state, bar, out"), "STRATEGY =", "its step takes (state, bar, out)"),
    "more arguments": (source(arguments="*given"), "STRATEGY =", "its step takes ()"),
    "state of objects": (source(state='[("bars", "O")]'), "STRATEGY =", "the field 'bars' of object"),
    "state of no record": (source(state='"f8"'), "STRATEGY =", "which is no record type"),
    "impossible plan": (source(plan="flat_by=900"), "STRATEGY =", "flat_by is 900"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_file_is_said_with_file_line_and_cause(tmp_path: Path, mistake: str) -> None:
    text, part, says = MISTAKES[mistake]
    file = write(tmp_path / "mine.py", text)
    said = refusal(file)
    assert says in said
    assert said.startswith(f"{file}, line " if part else str(file))
    assert "Traceback" not in said
    assert "\n" not in said
    if part:
        first = line_of(text, part)
        # A statement of several lines is named by one of them.
        assert any(said.startswith(f"{file}, line {line}: ") for line in range(first, first + 4))


def test_a_file_that_cannot_be_read_is_said_so(tmp_path: Path) -> None:
    assert f"{tmp_path / 'none.py'}: there is no such file" in refusal(tmp_path / "none.py")
    assert "it cannot be read: Is a directory" in refusal(tmp_path)


@pytest.mark.skipif(UNCOMPILED, reason="the compiler is off")
def test_a_step_without_its_decorator_is_refused(tmp_path: Path) -> None:
    text = source().replace("@compiled\ndef step", "def step")
    strategy = registry.load("mine", file=write(tmp_path / "mine.py", text))
    with pytest.raises(InvalidInput, match=r"the step is not compiled\. Put @compiled above it"):
        make_ready(strategy)


# ---- an installed package ----------------------------------------------------------------------------------------


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Installs a package of one module that offers strategies by entry point, as an installer would leave it."""

    def make(package: str, text: str, **offers: str) -> Path:
        site = tmp_path / package
        about = site / f"{package}-1.2.dist-info"
        about.mkdir(parents=True)
        write(about / "METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
        points = "\n".join(f"{name} = {value}" for name, value in offers.items())
        write(about / "entry_points.txt", f"[{registry.GROUP}]\n{points}\n")
        monkeypatch.syspath_prepend(str(site))
        return write(site / f"{package}_module.py", text)

    return make


def test_a_package_offers_a_strategy_by_entry_point(install: Callable[..., Path]) -> None:
    install("fine_pack", source(name="offered"), offered="fine_pack_module")
    assert registry.names() == ("gap_and_go", "offered", "vwap_reclaim")
    assert registry.load("offered", "late").parameters.minute == 5
    (origin,) = (one for one in registry.origins() if one.name == "offered")
    assert (origin.kind, str(origin)) == ("package", "package fine_pack 1.2")
    with pytest.raises(InvalidInput, match="Did you mean 'offered'"):
        registry.load("offred")


def test_a_name_that_two_offer_is_refused_with_both(install: Callable[..., Path]) -> None:
    install("clash_pack", source(name="vwap_reclaim"), vwap_reclaim="clash_pack_module")
    with pytest.raises(InvalidInput) as refused:
        registry.load("vwap_reclaim")
    assert "'vwap_reclaim' is offered by the platform and by package clash_pack 1.2" in str(refused.value)
    assert registry.names() == ("gap_and_go", "vwap_reclaim")
    assert registry.load("gap_and_go").name == "gap_and_go"


def test_a_package_whose_module_is_broken_is_named_with_the_cause(install: Callable[..., Path]) -> None:
    install("broken_pack", "raise RuntimeError('no licence')\n", broken="broken_pack_module")
    install("gone_pack", "", gone="not_there_at_all")
    install("other_pack", source(name="another"), misnamed="other_pack_module")
    for name, says in (
        ("broken", "package broken_pack 1.2: its entry point broken_pack_module does not import: RuntimeError: no lic"),
        ("gone", "its entry point not_there_at_all does not import: ModuleNotFoundError"),
        ("misnamed", "its STRATEGY is named 'another', and is asked for as 'misnamed'"),
    ):
        with pytest.raises(InvalidInput) as refused:
            registry.load(name)
        assert says in str(refused.value)


# ---- all of them -------------------------------------------------------------------------------------------------


def test_one_that_does_not_load_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    good, bad = write(tmp_path / "good.py", source(name="good")), write(tmp_path / "bad.py", "1 +\n")
    active = (
        ActiveStrategy(name="good", file=good, profile="late"),
        ActiveStrategy(name="bad", file=bad),
        ActiveStrategy(name="vwap_reclaim"),
    )
    loaded = registry.load_all(active)
    assert [one.name for one in loaded.strategies] == ["good", "bad", "vwap_reclaim"]
    assert loaded.strategies[0] == registry.load("good", "late", file=good)
    (failure,) = loaded.failures
    assert (
        str(failure)
        == f"bad is set aside, because it does not load: {bad}, line 1: it is not Python: invalid syntax. Mend that line."
    )
    assert registry.load_all(active[:1]).failures == ()
