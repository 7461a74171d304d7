"""What strategies said, in the one form that the pass reads: entries one after the other, all else in grids.

Signals come in two forms (`strategies.column_scan`): as a list of all that was said, or as entries with grids already. Of
the grids only those are kept that a plan obeys.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trading_platform.backtest.loop.arrays import Array, Said
from trading_platform.domain.compiled import as_records
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.signals import ExitReason
from trading_platform.strategies.column_scan import Entries, Signals
from trading_platform.strategies.contract import Strategy

_NONE: Final = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one strategy's word stands: its entries from `first` up to `end`, and its grids; -1: it has none."""

    first: int
    end: int
    exits: int
    invalidates: int
    levels: int


def hear(
    strategies: Sequence[Strategy], signals: Sequence[Signals | Entries], symbols: int, bars: int
) -> tuple[Said, tuple[Place, ...]]:
    """Put what strategies said of so many symbols and bars into the form that the pass reads.

    Raises:
        InvalidInput: signals name a bar or symbol that is not there, are out of order, or lack levels.
    """
    exits, invalidates, levels = list[Array](), list[Array](), list[Array]()
    entries = list[Signals]()
    places, first = list[Place](), 0
    for strategy, one in zip(strategies, signals, strict=True):
        mine = _entries(one)
        _check(mine, strategy, symbols, bars)
        obeyed = strategy.exit_plan.exit_reasons
        level = strategy.exit_plan.trail_level
        places.append(
            Place(
                first=first,
                end=first + mine.bars.size,
                exits=_add(exits, bool(obeyed), lambda one=one: _grid(one, "exit", np.uint8, symbols, bars)),  # type: ignore[misc]
                invalidates=_add(
                    invalidates,
                    bool(obeyed & ExitReason.INVALIDATED),
                    lambda one=one: _grid(one, "invalidates", np.int16, symbols, bars),  # type: ignore[misc]
                ),
                levels=_add(
                    levels,
                    level != 0,
                    lambda one=one, level=level: _grid(one, f"level{level}", np.float64, symbols, bars),  # type: ignore[misc]
                ),
            )
        )
        entries.append(mine)
        first += mine.bars.size
    together = entries[0] if len(entries) == 1 else _together(entries)
    said = Said(
        bars=frozen(together.bars),
        symbols=frozen(together.symbols),
        outs=as_records(frozen(np.asarray(together.outs))),
        exits=_stacked(exits, np.uint8),
        invalidates=_stacked(invalidates, np.int16),
        levels=_stacked(levels, np.float64),
    )
    return said, tuple(places)


def frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A read-only view, whether the array is or not: compiled code is made for one of the two."""
    view = np.ascontiguousarray(array).view(np.ndarray)
    view.flags.writeable = False
    return view


def _entries(signals: Signals | Entries) -> Signals:
    if isinstance(signals, Entries):
        return signals.signals
    entering = np.asarray(signals.outs["entry"]) != 0
    return Signals(
        bars=signals.bars[entering],
        symbols=signals.symbols[entering],
        outs=np.asarray(signals.outs).view(np.ndarray)[entering],
        faults=signals.faults,
    )


def _check(entries: Signals, strategy: Strategy, symbols: int, bars: int) -> None:
    """An index that is not there would be read and written beyond the arrays."""
    where = f"signals of {strategy.name}"
    if not entries.bars.size == entries.symbols.size == entries.outs.size:
        raise InvalidInput("bars, symbols and outputs are not of one length", where=where)
    if not entries.bars.size:
        return
    if np.any(entries.bars[1:] < entries.bars[:-1]):
        raise InvalidInput("they are not in the order of bars", where=where, mend="Sort them by bar, then symbol")
    highest = int(entries.symbols.max())
    if entries.bars[0] < 0 or entries.bars[-1] >= bars or entries.symbols.min() < 0 or highest >= symbols:
        raise InvalidInput(
            f"bars {entries.bars[0]} to {entries.bars[-1]} and symbols up to {highest}",
            where=where,
            mend=f"Give bars below {bars} and symbols below {symbols}, as these columns have them",
        )


def _grid(signals: Signals | Entries, field: str, dtype: Any, symbols: int, bars: int) -> Array:
    """One of the grids, [symbols, bars]."""
    if isinstance(signals, Entries):
        grids: dict[str, Array] = {"exit": signals.exits, "invalidates": signals.invalidates}
        found = grids.get(field, signals.levels)
        if found is None or found.size != symbols * bars:
            raise InvalidInput(
                f"the grid of {field}s is not there, or not of {symbols} symbols and {bars} bars",
                where="signals",
                mend="Scan these columns, and keep levels where the plan trails one",
            )
        return found.reshape(symbols, bars)
    grid = np.zeros((symbols, bars), dtype)
    grid[signals.symbols, signals.bars] = signals.outs[field]
    return grid


def _add(grids: list[Array], wanted: bool, make: Callable[[], Array]) -> int:  # noqa: FBT001 (it is no option)
    if not wanted:
        return _NONE
    grids.append(make())
    return len(grids) - 1


def _stacked(grids: list[Array], dtype: Any) -> Array:
    if not grids:
        return frozen(np.zeros((0, 0, 0), dtype))
    return frozen(grids[0][np.newaxis] if len(grids) == 1 else np.stack(grids))


def _together(entries: Sequence[Signals]) -> Signals:
    return Signals(
        bars=np.concatenate([one.bars for one in entries]),
        symbols=np.concatenate([one.symbols for one in entries]),
        outs=np.concatenate([np.asarray(one.outs).view(np.ndarray) for one in entries]),
        faults=(),
    )
