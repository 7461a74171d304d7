"""The direction of imports is held, and the sources name no machine's own folders."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
TEXT = {".py", ".sql", ".toml", ".yaml", ".yml", ".json", ".md", ".mako", ".csv", ""}
# Put together here, so that this file does not name them itself.
MACHINE_FOLDERS = tuple(f"/{name}/" for name in ("work", "root"))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package and its contracts, to plant faults in."""
    shutil.copytree(
        CHECKOUT / "trading_platform", tmp_path / "trading_platform", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(CHECKOUT / "pyproject.toml", tmp_path)
    return tmp_path


def lint_imports(folder: Path) -> "subprocess.CompletedProcess[str]":
    command = "import sys; from importlinter.cli import lint_imports_command as c; sys.argv = ['lint-imports', '--no-cache']; c()"
    return subprocess.run([sys.executable, "-c", command], cwd=folder, capture_output=True, text=True, check=False)


def plant(package: Path, *, importer: str, imported: str) -> None:
    for room in (importer, imported):
        (package / room).mkdir(exist_ok=True)
        (package / room / "__init__.py").touch()
    (package / importer / "planted.py").write_text(f"import trading_platform.{imported}\n")


def test_every_room_imports_only_from_rooms_below_it() -> None:
    done = lint_imports(CHECKOUT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("domain", "engine"),
        ("strategies", "ledger"),
        ("risk", "ledger"),
        ("ledger", "orders"),
        ("performance", "ledger"),
        ("brokers", "marketdata"),
        ("engine", "defs"),
        ("config", "calendars"),
    ],
)
def test_an_import_against_the_direction_is_refused_by_name(copy: Path, importer: str, imported: str) -> None:
    before = lint_imports(copy)
    assert before.returncode == 0, before.stdout

    plant(copy / "trading_platform", importer=importer, imported=imported)

    done = lint_imports(copy)
    assert done.returncode != 0
    assert f"trading_platform.{importer} is not allowed to import trading_platform.{imported}" in one_line(done.stdout)
    assert f"trading_platform.{importer}.planted" in done.stdout


def test_a_room_without_a_row_is_refused(copy: Path) -> None:
    (copy / "trading_platform" / "odds_and_ends").mkdir()
    (copy / "trading_platform" / "odds_and_ends" / "__init__.py").touch()
    done = lint_imports(copy)
    assert done.returncode != 0
    assert "odds_and_ends" in done.stdout


def test_no_source_names_a_machines_own_folder() -> None:
    assert machine_folders_in(sources()) == []


def test_a_machines_own_folder_would_be_found(tmp_path: Path) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text(f"HERE = 'first line'\nDATA = '{MACHINE_FOLDERS[0]}data'\n")
    assert machine_folders_in(iter([planted])) == ["planted.py:2"]


def sources() -> Iterator[Path]:
    for name in ("trading_platform", "trading_platform_tests", "benchmarks", "examples", "docs", ".ci"):
        yield from (path for path in (CHECKOUT / name).rglob("*") if path.is_file() and path.suffix in TEXT)
    for pattern in ("*.toml", "*.yaml", "*.md", "Makefile"):
        yield from CHECKOUT.glob(pattern)


def machine_folders_in(files: Iterator[Path]) -> list[str]:
    return [
        f"{file.name}:{number}"
        for file in files
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if any(folder in line for folder in MACHINE_FOLDERS)
    ]


def one_line(text: str) -> str:
    return " ".join(text.split())
