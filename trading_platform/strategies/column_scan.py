"""Runs a strategy over columns of bars, many symbols over many sessions at once: what a backtest decides on.

What it gives are the outputs that `scan.fold` gives for each symbol and session, bit for bit, as far as they say
anything, in the order of time. One pass over the columns; memory beyond them is for what was said alone.

Belongs here: the checks of the arrays, how the work is shared among threads, and the order of what comes out. What stays
out: the compiled loop (`column_loop`), where columns come from (`marketdata.columns`), and what a signal leads to.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trading_platform.domain.compiled import UNCOMPILED, as_records, empty_records
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.records import SESSION_MINUTES, day_t, out_t, step_bar_t
from trading_platform.strategies.column_loop import (
    Fold,
    count_by_bar,
    fault_t,
    held_in_registers,
    in_arrays,
    place_by_bar,
)
from trading_platform.strategies.contract import Strategy
from trading_platform.strategies.mistakes import place_of
from trading_platform.strategies.scan import fault_text
from trading_platform.strategies.set_aside import cause_of

Column = npt.NDArray[np.float64]
Records = npt.NDArray[Any]

_BARS_A_THREAD: Final = 200_000
"""Less work than this, a thread costs more than it gains."""

_PARTS_A_THREAD: Final = 4
"""A thread that is held up by something else on the machine leaves the other parts to the others."""

_BARS_A_SIGNAL: Final = 16
_BARS_AN_ENTRY: Final = 128
_SESSIONS_A_FAULT: Final = 16
_SESSIONS_AT_FIRST: Final = 4
"""Room is made for so many at first, and for some sessions in full; where more is said, twice as much is made."""

_COLUMNS: Final = ("opens", "highs", "lows", "closes", "volumes")
_PARAMS: Final = 3
"""Where the parameters stand in what a fold is given."""

_READY: Final[dict[tuple[Any, ...], Fold]] = {}
"""The form of the loop in which each step compiles, by the step and its records."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalFault:
    """A strategy was set aside for the symbol of that index, from `bar` to the end of its session.

    `bar` is session x SESSION_MINUTES + minute.
    """

    symbol: int
    bar: int
    what: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Signals:
    """What a strategy said, rising in (bar, symbol), each pair at most once.

    Attributes:
        bars: Int64 [signals]: session x SESSION_MINUTES + minute.
        symbols: Int64 [signals]: indexes of rows of the columns.
        outs: `out_t` [signals].
        faults: Rising in (symbol, bar). From its fault on nothing is said of that symbol in that session.
    """

    bars: npt.NDArray[np.int64]
    symbols: npt.NDArray[np.int64]
    outs: Records
    faults: tuple[SignalFault, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Entries:
    """The same in the form in which it costs least: entries as signals, everything else by its place.

    A step may speak against holding on every other bar: as signals these would outnumber all else. Each grid has the
    shape of the columns and is zero where nothing was said; memory that stays zero is never taken from the machine.

    Attributes:
        signals: The entries alone.
        exits: Uint8 [symbols, sessions, SESSION_MINUTES]: ExitReason bits of every bar.
        invalidates: Int16, the same shape: the set-up that the bit INVALIDATED speaks of.
        levels: Float64, the same shape: the level that the plan trails, from the first entry of a symbol's session on.
            None if it trails none, or levels were not asked for.
    """

    signals: Signals
    exits: npt.NDArray[np.uint8]
    invalidates: npt.NDArray[np.int16]
    levels: Column | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Said:
    """What was kept of consecutive sessions, by symbol, then bar."""

    bars: npt.NDArray[np.int64]
    symbols: npt.NDArray[np.int64]
    outs: Records
    faults: Records
    beyond: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Work:
    """A strategy's fold over columns, and what it is given for any run of sessions."""

    strategy: Strategy
    given: tuple[Any, ...]
    places: int
    bars_a_signal: int

    def ready(self) -> Fold:
        """The faster form of the loop in which the step compiles; compiled here, before threads ask for it."""
        kinds = (self.strategy.step, self.strategy.state_t, self.given[_PARAMS].dtype)
        if kinds not in _READY:
            _READY[kinds] = self._compiled()
        return _READY[kinds]

    def _compiled(self) -> Fold:
        fold = held_in_registers(self.strategy.step)
        try:
            self.run(fold, self.workplace(), (0, 0), 0, 0)
        except Exception:  # noqa: BLE001 (the compiler raises all kinds)
            fold = in_arrays(self.strategy.step)
            self.run(fold, self.workplace(), (0, 0), 0, 0)
        return fold

    def workplace(self) -> tuple[Any, ...]:
        """A state, and the spare records that the loop in arrays works in."""
        kinds = (step_bar_t, day_t, self.given[_PARAMS].dtype, out_t)
        return empty_records(1, self.strategy.state_t), tuple(empty_records(1, kind) for kind in kinds)

    def run(
        self, fold: Fold, workplace: tuple[Any, ...], room: tuple[int, int], first: int, end: int
    ) -> tuple[int, _Said]:
        """Fold as many of the sessions `first` to `end` as there is room for signals and faults; gives the next one."""
        signals, faults = room
        bars, symbols = np.empty(signals, np.int64), np.empty(signals, np.int64)
        outs, failed = as_records(np.empty(signals, out_t)), empty_records(faults, fault_t)
        after, kept, failures, beyond = fold(*self.given, *workplace, (bars, symbols, outs, failed), first, end)
        said = _Said(
            bars=bars[:kept],
            symbols=symbols[:kept],
            outs=outs[:kept],
            faults=failed[:failures],
            beyond=beyond != 0,
        )
        return after, said

    def part(self, fold: Fold, first: int, end: int) -> list[_Said]:
        """The sessions `first` to `end`; whenever the room for what they say is used up, more is made."""
        workplace, told = self.workplace(), list[_Said]()
        while first < end:
            left = end - first
            more = 1 << len(told)
            sessions = min(left, more * (_SESSIONS_AT_FIRST + left // self.bars_a_signal))
            room = SESSION_MINUTES * sessions, min(left, more * (1 + left // _SESSIONS_A_FAULT))
            first, said = self.run(fold, workplace, room, first, end)
            told.append(said)
        return told

    def shared_out(self, threads: int | None) -> list[_Said]:
        """All sessions, in parts that several threads take one after the other."""
        fold = self.ready()
        most = 1 if UNCOMPILED else min(threads or os.cpu_count() or 1, self.places * SESSION_MINUTES // _BARS_A_THREAD)
        if most <= 1:
            return self.part(fold, 0, self.places)
        cuts = np.linspace(0, self.places, most * _PARTS_A_THREAD + 1).astype(int).tolist()
        with ThreadPoolExecutor(most) as pool:
            return [said for part in pool.map(partial(self.part, fold), cuts, cuts[1:]) for said in part]


def scan_columns(
    strategy: Strategy,
    opens: Column,
    highs: Column,
    lows: Column,
    closes: Column,
    volumes: Column,
    days: Records,
    session_minutes: npt.NDArray[np.int64],
    *,
    keep_levels: bool,
    threads: int | None = None,
) -> Signals:
    """Fold the strategy's step over every session of every symbol, each from a zeroed state: all that was said.

    Args:
        strategy: What is run.
        opens: Dollars, float64 [symbols, sessions, SESSION_MINUTES]; contiguous, or else it is copied. May be read-only.
        highs: The same.
        lows: The same.
        closes: The same. Where a close is nan, no bar came.
        volumes: Shares, the same.
        days: `day_t` [symbols, sessions].
        session_minutes: Bars of each session, int64 [sessions], at most SESSION_MINUTES.
        keep_levels: Keep every bar from the first entry of a symbol's session on, not only those that say something:
            for a plan that trails on a level. After a fault there is none.
        threads: How many to use at most; as many as the machine has cores if None. Little work is done on one.

    Raises:
        InvalidInput: Shapes or types do not fit; the step does not compile, or raised.
    """
    columns, rest = _checked(strategy, (opens, highs, lows, closes, volumes), days, session_minutes)
    given = (columns, *rest, _no_grids(), (0, int(keep_levels), 0))
    return _in_order(_said(strategy, given, _BARS_A_SIGNAL, threads), closes.shape[1])


def scan_entries(
    strategy: Strategy,
    opens: Column,
    highs: Column,
    lows: Column,
    closes: Column,
    volumes: Column,
    days: Records,
    session_minutes: npt.NDArray[np.int64],
    *,
    keep_levels: bool,
    threads: int | None = None,
) -> Entries:
    """The same fold, of which entries are signals and all else stands in grids. It takes the same arguments.

    Args:
        strategy: See `scan_columns`, as for all arguments but `keep_levels`.
        opens: The same.
        highs: The same.
        lows: The same.
        closes: The same.
        volumes: The same.
        days: The same.
        session_minutes: The same.
        keep_levels: Keep the level that the strategy's plan trails, if it trails one.
        threads: See `scan_columns`.

    Raises:
        InvalidInput: As `scan_columns`; or exit bits or set-up numbers are too large for their grids.
    """
    columns, rest = _checked(strategy, (opens, highs, lows, closes, volumes), days, session_minutes)
    level = strategy.exit_plan.trail_level if keep_levels else 0
    shape = closes.shape
    exits, invalidates = np.zeros(shape, np.uint8), np.zeros(shape, np.int16)
    levels = np.zeros(shape if level else (0, 0, 0), np.float64)
    given = (columns, *rest, (exits, invalidates, levels), (1, int(level > 0), level))
    said = _said(strategy, given, _BARS_AN_ENTRY, threads)
    if any(part.beyond for part in said):
        raise InvalidInput(
            "the step gives an exit or a set-up number that is too large",
            where=place_of(strategy.step),
            mend="Give exits as bits of ExitReason, and number the set-ups of a session from 1",
        )
    return Entries(
        signals=_in_order(said, shape[1]), exits=exits, invalidates=invalidates, levels=levels if level else None
    )


def _no_grids() -> tuple[Any, ...]:
    return tuple(np.zeros((0, 0, 0), kind) for kind in (np.uint8, np.int16, np.float64))


def _said(strategy: Strategy, given: tuple[Any, ...], bars_a_signal: int, threads: int | None) -> list[_Said]:
    if threads is not None and threads < 1:
        raise InvalidInput(f"{threads} threads", where="scan", mend="Give at least 1")
    symbols, sessions, _ = given[0][0].shape
    work = _Work(strategy=strategy, given=given, places=symbols * sessions, bars_a_signal=bars_a_signal)
    try:
        return work.shared_out(threads)
    except Exception as error:
        raise cause_of(error, strategy) from error


def _in_order(said: list[_Said], sessions: int) -> Signals:
    """A counting sort by bar; within a bar the order of symbols is the one in which the parts come."""
    count = sum(part.bars.size for part in said)
    bars, symbols = np.empty(count, np.int64), np.empty(count, np.int64)
    outs = as_records(np.empty(count, out_t))
    starts = np.zeros(sessions * SESSION_MINUTES + 1, np.int64)
    for part in said:
        count_by_bar(part.bars, starts)
    np.cumsum(starts, out=starts)
    for part in said:
        place_by_bar(part.bars, part.symbols, part.outs, starts, bars, symbols, outs)
    return Signals(bars=bars, symbols=symbols, outs=outs, faults=tuple(_faults(said)))


def _faults(said: list[_Said]) -> Iterator[SignalFault]:
    for part in said:
        for fault in part.faults:
            what = fault_text(int(fault["what"]), int(fault["code"]))
            yield SignalFault(symbol=int(fault["symbol"]), bar=int(fault["bar"]), what=what)


def _checked(
    strategy: Strategy, columns: tuple[Column, ...], days: Records, session_minutes: npt.NDArray[np.int64]
) -> tuple[tuple[Column, ...], tuple[Any, ...]]:
    """The columns, and days, minutes and parameters, in the one form that the loop is compiled for."""
    symbols, sessions = _checked_shape(columns)
    days = _checked_days(days, (symbols, sessions))
    minutes = _checked_minutes(session_minutes, sessions)
    return tuple(_readonly(column) for column in columns), (days, minutes, strategy.parameter_record())


def _checked_shape(columns: tuple[Column, ...]) -> tuple[int, int]:
    shape = columns[0].shape
    for name, column in zip(_COLUMNS, columns, strict=True):
        if column.dtype != np.float64 or column.shape != shape or len(shape) != 3 or shape[-1] != SESSION_MINUTES:
            raise InvalidInput(
                f"{column.shape} of {column.dtype}",
                where=f"column {name}",
                mend=f"Give all columns as float64 [symbols, sessions, {SESSION_MINUTES}]",
            )
    return shape[0], shape[1]


def _readonly(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    ready = np.ascontiguousarray(array).view(np.ndarray)
    ready.flags.writeable = False
    return ready


def _checked_days(days: Records, shape: tuple[int, ...]) -> Records:
    if days.dtype != day_t or days.shape != shape:
        raise InvalidInput(
            f"{days.shape} of {days.dtype}", where="day records", mend=f"Give {shape} of day_t, as the columns have it"
        )
    return as_records(_readonly(days))


def _checked_minutes(session_minutes: npt.NDArray[np.int64], sessions: int) -> npt.NDArray[np.int64]:
    minutes = _readonly(np.asarray(session_minutes))
    if minutes.dtype != np.int64 or minutes.shape != (sessions,):
        raise InvalidInput(
            f"{minutes.shape} of {minutes.dtype}", where="session minutes", mend=f"Give int64 [{sessions}]"
        )
    wrong = minutes[(minutes < 0) | (minutes > SESSION_MINUTES)]
    if wrong.size:
        raise InvalidInput(
            f"{wrong[0]} minutes in one session", where="session minutes", mend=f"Give at most {SESSION_MINUTES}"
        )
    return minutes
