"""The compiled fold of a strategy's step over columns of bars, and the sort of what it said.

Symbols and sessions are independent of each other: each session begins with a zeroed state. So the fold takes any run of
them, keeps no more than one state, and writes only what was said. State, bar, parameters, day and output are records of
the loop's own (`local_records`), into which the step is compiled: their numbers are held in registers.

A step that does more with a record than read and write its fields does not compile in that form; it is then compiled on
elements of arrays, as everywhere else, and gives the same bits more slowly.

Belongs here: the loops. What stays out: arrays and their checks, threads, and what is handed out (`column_scan`).
"""

from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any, Final

import numpy as np

from trading_platform.domain.compiled import UNCOMPILED, compiled, compiled_for_threads
from trading_platform.domain.local_records import (
    inlined,
    own,
    own_in_array,
    own_readonly,
    own_uncompiled,
    store,
    store_uncompiled,
    zero,
    zero_uncompiled,
)
from trading_platform.domain.records import SESSION_MINUTES
from trading_platform.strategies.contract import Step
from trading_platform.strategies.loops import bound, clear, judge, quiet, top_level_source

fault_t: Final[np.dtype[Any]] = np.dtype(
    [
        ("symbol", "i8"),
        ("bar", "i8"),  # session x SESSION_MINUTES + minute
        ("what", "i8"),  # as in `loops.aside_t`
        ("code", "i8"),
    ],
    align=True,
)
"""A strategy was set aside for the rest of one symbol's session."""


_CLOSES: Final = 3
_EXIT_BITS: Final = 0xFF
_LARGEST_SETUP: Final = 0x7FFF


def _step(state: Any, bar: Any, day: Any, params: Any, out: Any) -> None:
    """Stands for a strategy's step in the loop below."""
    raise NotImplementedError


@compiled
def _load(bar: Any, columns: Any, symbol: int, session: int, minute: int) -> None:
    opens, highs, lows, closes, volumes = columns
    bar.minute = minute
    bar.open = opens[symbol, session, minute]
    bar.high = highs[symbol, session, minute]
    bar.low = lows[symbol, session, minute]
    bar.close = closes[symbol, session, minute]
    bar.volume = volumes[symbol, session, minute]


@compiled
def _note(fault: Any, symbol: int, bar: int, what: int, code: int) -> None:
    fault.symbol = symbol
    fault.bar = bar
    fault.what = what
    fault.code = code


# The names that the loop calls, in their uncompiled form.
_own, _own_readonly, _zero, _store = own_uncompiled, own_uncompiled, zero_uncompiled, store_uncompiled
_judge, _clear = judge, clear


def _columns(
    columns: Any,
    days: Any,
    session_minutes: Any,
    given_params: Any,
    grids: Any,
    keep: Any,
    states: Any,
    spares: Any,
    room: Any,
    first: int,
    end: int,
) -> tuple[int, int, int, int]:
    """Fold the sessions `first` to `end`, counted as symbol x sessions + session, while there is room for what they say.

    Args:
        columns: Opens, highs, lows, closes, volumes: float64 [symbols, sessions, SESSION_MINUTES], nan closes where no
            bar came.
        days: `day_t` [symbols, sessions].
        session_minutes: Bars of each session.
        given_params: The parameters, an array of one.
        grids: Exits (uint8), invalidated set-ups (int16) and one of the levels (float64), each of the columns' shape:
            filled where `keep` says so.
        keep: Three numbers: whether exits go to the grids, so that only entries are signals; whether to keep levels from
            the first entry on, in their grid or else as signals; and the level of the grid, 1 or 2.
        states: A place for a state, an array of one.
        spares: Places for a bar, a day, parameters and an output, each an array of one.
        room: Bars, symbols, outputs and faults, to be filled in this order of sessions.
        first: Where to begin.
        end: Where to end.

    Returns:
        The session that comes next, how many outputs were kept, how many faults there were, and not 0 if an exit or a
        set-up was too large for its grid.
    """
    closes = columns[_CLOSES]
    exits, invalidates, levels = grids
    exits_in_grid, keep_levels, level = keep
    spare_bar, spare_day, spare_params, spare_out = spares
    bars, symbols, outs, faults = room
    sessions = closes.shape[1]
    state = _own(states[0], states)
    bar = _own(spare_bar[0], spare_bar)
    params = _own(given_params[0], spare_params)
    out = _own(spare_out[0], spare_out)
    kept = failed = beyond = 0
    for place in range(first, end):
        symbol = place // sessions
        session = place - symbol * sessions
        if kept + SESSION_MINUTES > bars.size or failed == faults.size:
            return place, kept, failed, beyond
        _zero(state, states)
        day = _own_readonly(days[symbol, session], spare_day)
        entered = False
        for minute in range(session_minutes[session]):
            if np.isnan(closes[symbol, session, minute]):
                continue
            bar.minutes_left = session_minutes[session] - 1 - minute
            _load(bar, columns, symbol, session, minute)
            _clear(out)
            _step(state, bar, day, params, out)
            what = _judge(out)
            if what != 0:
                _note(faults[failed], symbol, session * SESSION_MINUTES + minute, what, out.fault)
                failed += 1
                break
            entered = entered or out.entry != 0
            said = out.entry != 0
            if exits_in_grid:
                exits[symbol, session, minute] = out.exit
                beyond |= out.exit & ~_EXIT_BITS
                if out.invalidates != 0:
                    invalidates[symbol, session, minute] = out.invalidates
                    beyond |= abs(out.invalidates) & ~_LARGEST_SETUP
                if keep_levels and entered:
                    levels[symbol, session, minute] = out.level1 if level == 1 else out.level2
            else:
                said = said or out.exit != 0 or (keep_levels != 0 and entered)
            if said:
                bars[kept] = session * SESSION_MINUTES + minute
                symbols[kept] = symbol
                _store(out, outs, kept)
                kept += 1
    return end, kept, failed, beyond


Fold = Callable[..., tuple[int, int, int, int]]
"""`_columns`, with one step in it."""


@cache
def held_in_registers(step: Step) -> Fold:
    """The loop that holds a step's records in registers. Raises `InvalidInput` as `loops` does."""
    source = top_level_source(step)
    if UNCOMPILED:
        return in_arrays(step)
    callees: dict[str, Callable[..., Any]] = {
        "_store": store,
        "_load": _load,
        "_clear": clear,
        "_judge": judge,
    }
    names: dict[str, Any] = {name: inlined(callee) for name, callee in callees.items()}
    names |= {"_own": own, "_own_readonly": own_readonly, "_zero": zero, "_step": inlined(step, within_bounds=True)}
    return bound(_columns, source, compiled_for_threads, **names)


@cache
def in_arrays(step: Step) -> Fold:
    """The loop that works on elements of arrays, as `loops` do: for a step that does not compile in the other form."""
    names: dict[str, Any] = {"_step": step}
    if not UNCOMPILED:
        names |= {"_own": own_in_array, "_own_readonly": own_in_array, "_zero": zero, "_store": store}
        names["_step"] = inlined(step, within_bounds=True)
    return quiet(bound(_columns_in_arrays(), top_level_source(step), compiled_for_threads, **names))


def _columns_in_arrays() -> Callable[..., Any]:
    """The loop under a second name: in the compiler's cache the two forms must not be taken for each other."""
    assert isinstance(_columns, FunctionType)
    return FunctionType(_columns.__code__, _columns.__globals__, "_columns_in_arrays")


@compiled
def count_by_bar(bars: Any, starts: Any) -> None:
    """Add to `starts[bar + 1]` how often each bar comes in `bars`."""
    for place in range(bars.size):
        starts[bars[place] + 1] += 1


@compiled
def place_by_bar(bars: Any, symbols: Any, outs: Any, starts: Any, to_bars: Any, to_symbols: Any, to_outs: Any) -> None:
    """Put each output where `starts` says that its bar's next one goes, and move that on: what comes first stays first."""
    for place in range(bars.size):
        bar = bars[place]
        to = starts[bar]
        starts[bar] = to + 1
        to_bars[to] = bar
        to_symbols[to] = symbols[place]
        to_outs[to] = outs[place]
