"""A second process compiles nothing that a first one has compiled, and what has changed is compiled anew.

The package, a strategy's file and the cache are copies in a folder of the test's own; each run is a process.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trading_platform_tests.factories.strategy_files import source, write

CHECKOUT = Path(__file__).resolve().parents[2]

SCRIPT = """
import json, sys
from pathlib import Path
import numpy as np
from trading_platform.domain.compiled import is_kept
from trading_platform.domain.records import SESSION_MINUTES, day_t
from trading_platform.strategies.column_loop import count_by_bar, held_in_registers
from trading_platform.strategies.column_scan import scan_columns, scan_entries
from trading_platform.strategies.registry import load
from trading_platform.strategies.set_aside import make_ready

strategies = [load("mine", file=Path(sys.argv[1])), load("vwap_reclaim")]
columns = [np.full((2, 1, SESSION_MINUTES), 70.0)] * 5
days, minutes = np.zeros((2, 1), day_t), np.full(1, SESSION_MINUTES)
told, hits, misses, kept = [], 0, 0, is_kept(count_by_bar)
for strategy in strategies:
    make_ready(strategy)
    said = scan_columns(strategy, *columns, days, minutes, keep_levels=False)
    scan_entries(strategy, *columns, days, minutes, keep_levels=False)
    told.append(said.outs["stop"].tolist())
    stats = held_in_registers(strategy.step).stats
    hits += sum(stats.cache_hits.values())
    misses += sum(stats.cache_misses.values())
assert "scipy.linalg" not in sys.modules, "a short command would wait for it"
assert is_kept(count_by_bar)
print(json.dumps({"told": told, "hits": hits, "misses": misses, "kept": kept}))
"""

IMPORTED = """
import sys
from pathlib import Path
import numpy as np
sys.path.insert(0, str(Path(sys.argv[1]).parent))
from trading_platform.domain.records import SESSION_MINUTES, day_t
from trading_platform.strategies.column_scan import scan_columns
from mine import STRATEGY

columns = [np.full((2, 1, SESSION_MINUTES), 70.0)] * 5
said = scan_columns(
    STRATEGY, *columns, np.zeros((2, 1), day_t), np.full(1, SESSION_MINUTES), keep_levels=False
)
assert said.outs["stop"].tolist() == [69.0, 69.0], said
"""


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Scans in a process of its own, with the copies in `tmp_path`."""
    shutil.copytree(
        CHECKOUT / "trading_platform", tmp_path / "trading_platform", ignore=shutil.ignore_patterns("__pycache__")
    )
    write(tmp_path / "mine.py", source())
    # The compiler takes a file's age and size for its identity.
    os.utime(tmp_path / "mine.py", (1, 1))
    environment = {key: value for key, value in os.environ.items() if not key.startswith("NUMBA_")}
    environment |= {"PYTHONPATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}

    def scan(script: str = SCRIPT) -> dict[str, Any]:
        command = [sys.executable, "-c", script, str(tmp_path / "mine.py")]
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        told: dict[str, Any] = json.loads(done.stdout) if done.stdout else {}
        return told

    return scan


def cached(folder: Path) -> dict[str, int]:
    """Every file of the cache, with when it was written."""
    files = (path for path in (folder / "cache").rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in files}


def test_only_what_has_changed_is_compiled_again(tmp_path: Path, run: Callable[..., dict[str, Any]]) -> None:
    first = run()
    assert (first["hits"], first["misses"], first["kept"]) == (0, 2, False)
    after_first = cached(tmp_path)
    assert len([name for name in after_first if "_columns" in name]) > 1

    again = run()
    assert (again["hits"], again["misses"], again["kept"]) == (2, 0, True)
    assert cached(tmp_path) == after_first
    assert again["told"] == first["told"] == [[69.0, 69.0], []]

    # The same file under a name of its own: machine code that names the other module is not taken for its.
    run(IMPORTED)

    write(tmp_path / "mine.py", source().replace("bar.close - 1.0", "bar.close - 3.0"))
    changed = run()
    assert (changed["hits"], changed["misses"]) == (1, 1), "the strategy that changed, and no other"
    assert changed["told"] == [[67.0, 67.0], []]

    judge = tmp_path / "trading_platform" / "strategies" / "loops.py"
    text = judge.read_text(encoding="utf-8")
    assert text.count("_HIGHEST_PRICE: Final = 1e8") == 1
    write(judge, text.replace("_HIGHEST_PRICE: Final = 1e8", "_HIGHEST_PRICE: Final = 66.0"))
    refusing = run()
    assert (refusing["hits"], refusing["misses"]) == (0, 2), "what they call has changed in another file"
    assert refusing["told"] == [[], []]
