"""The memory that a backtest takes: worked out before it starts, and refused where there is not so much.

Here belong the reckoning and the question to the machine. Mapped files do not count: the machine lets go of their pages
as soon as it needs them.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from trading_platform.backtest.bar_sources import BarSource
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.records import SESSION_MINUTES, out_t, pair_t
from trading_platform.performance.wording import counted
from trading_platform.strategies.contract import Strategy

_GRID_BYTES: Final = 3
_LEVEL_BYTES: Final = 8
"""What a strategy says of a bar beside entries, and the level that its plan trails."""
_ENTRY_BYTES: Final = 16 + out_t.itemsize
_BARS_AN_ENTRY: Final = 64
"""A strategy is reckoned to enter on one bar in so many; entries are held twice while they are put in order."""
_MINUTE_BYTES: Final = 40
"""Equity and cash of a minute in their block and in the whole, and the exposure made of them."""
_FIXED: Final = 64 * 2**20
"""What the account, the rooms for a minute's work and the trades take at first."""

_MEMINFO: Final = Path("/proc/meminfo")
_CONTAINER: Final = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def needed(source: BarSource, strategies: Sequence[Strategy]) -> int:
    """About so many bytes will a run of these strategies take at its height."""
    block = len(source.symbols) * source.longest * SESSION_MINUTES
    trailing = sum(strategy.exit_plan.trail_level != 0 for strategy in strategies)
    # The grids of several strategies are put together, and so held twice.
    said = block * (len(strategies) * _GRID_BYTES + trailing * _LEVEL_BYTES) * min(len(strategies), 2)
    entries = len(strategies) * block // _BARS_AN_ENTRY * _ENTRY_BYTES * 2
    results = len(source.sessions) * SESSION_MINUTES * _MINUTE_BYTES
    pairs = len(strategies) * len(source.symbols) * pair_t.itemsize
    return _FIXED + source.own_bytes + said + entries + results + pairs


def available() -> int | None:
    """Bytes that may be taken without pressing others out, within the container's bounds; None: it is not known."""
    found = [free for limit, used in _CONTAINER if (free := _within(Path(limit), Path(used))) is not None]
    try:
        lines = _MEMINFO.read_text(encoding="ascii").splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    except (OSError, ValueError):
        pass
    if not found and "SC_AVPHYS_PAGES" in os.sysconf_names:
        found.append(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(found, default=None)


def require(source: BarSource, strategies: Sequence[Strategy], most: int | None) -> None:
    """Raise `InvalidInput` where a run would take more than `most` bytes; None: more than there are."""
    free, wanted = available() if most is None else most, needed(source, strategies)
    if free is None or wanted <= free:
        return
    had = "are free" if most is None else "may be taken"
    raise InvalidInput(
        f"{counted(len(source.symbols), 'symbol')} over {counted(len(source.sessions), 'session')} take about "
        f"{size(wanted)} of memory, and {size(free)} {had}",
        where="memory",
        mend="Name fewer symbols, or import the bars into a folder of columns (trading-platform data import), which is "
        "read where it lies",
    )


def size(count: int) -> str:
    """Bytes as people read them."""
    return f"{count / 1e9:,.1f} GB" if count >= 10**9 else f"{count / 1e6:,.1f} MB"


def _within(limit: Path, used: Path) -> int | None:
    """What a container has left; None where it is not bounded."""
    try:
        return max(0, int(limit.read_text(encoding="ascii")) - int(used.read_text(encoding="ascii")))
    except (OSError, ValueError):
        return None
