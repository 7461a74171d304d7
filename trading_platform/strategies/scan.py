"""Runs a strategy over bars: the whole session of a symbol (`fold`), of many (`scan`), or minute by minute.

All of them leave the same bits, because all of them call one step from a zeroed state, bar after bar. A step that
gives up, or gives a price that is none, is set aside for that symbol from that bar on, in the same way everywhere.

Belongs here: states, arrays and their checks. What stays out: the compiled loops (`loops`), where bars come from
(`marketdata`), and what a signal leads to (`portfolio`).
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trading_platform.domain.compiled import as_records, empty_records
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.records import SESSION_MINUTES, day_t, out_t, step_bar_t
from trading_platform.strategies.contract import Strategy
from trading_platform.strategies.loops import (
    BAD_LEVEL,
    BAD_LIMIT,
    BAD_STOP,
    GAVE_UP,
    aside_t,
    first_of_another_minute,
    loops,
)

Records = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

_FAULTS: Final = {
    GAVE_UP: "the step gave up with number {code}",
    BAD_LIMIT: "the limit is not a price",
    BAD_STOP: "the stop is not a price",
    BAD_LEVEL: "a level is not a price",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFault:
    """A strategy is set aside for one symbol, by its index, from `minute` of the session on."""

    symbol: int
    minute: int
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """The bars on which a strategy said something: entries and exit reasons, by symbol, then minute.

    `symbols` and `minutes` are indexes, `outs` the records of `out_t` that belong to them.
    """

    symbols: npt.NDArray[np.int64]
    minutes: npt.NDArray[np.int64]
    outs: Records
    faults: tuple[StepFault, ...]


class SessionFold:
    """One strategy over the symbols of one session: folds the bars so far, then takes each new minute.

    Nothing of it is stored. A process that starts in mid-session makes a new one, catches up, and is where it would
    have been.
    """

    def __init__(self, strategy: Strategy, days: Records) -> None:
        """Start before the first bar. `days` are records of `day_t` [symbols]. Raises `InvalidInput` otherwise."""
        self._strategy = strategy
        self._days = _checked(days, day_t, (days.size,), "day records")
        self._params = strategy.parameter_record()
        self._loops = loops(strategy.step)
        self._spare = empty_records(1, out_t)
        self._minute: int = 0
        self._states: Records
        self._outs: Records
        self._asides: Records
        self._reset()

    @property
    def minute(self) -> int:
        """The minute that comes next: how many have been taken."""
        return self._minute

    @property
    def faults(self) -> tuple[StepFault, ...]:
        """The symbols for which the strategy is set aside by now, in the order of symbols."""
        return _faults(self._asides)

    def catch_up(self, bars: Records, present: Mask) -> Records:
        """Begin anew and take the session's bars so far.

        Args:
            bars: `step_bar_t` [symbols, minutes], each bar in its minute.
            present: [symbols, minutes]: where a bar came.

        Returns:
            `out_t` [symbols] of the last of these minutes, zero for a symbol without a bar in it. The array is used
            again by the next call.

        Raises:
            InvalidInput: Shapes or types do not fit, or a bar stands in the place of another minute.
        """
        symbols = self._days.size
        minutes = bars.shape[-1]
        bars, present = _session(bars, present, (symbols, minutes))
        self._reset()
        dense = empty_records(minutes, out_t)
        for symbol in range(symbols):
            one = slice(symbol, symbol + 1)
            self._fold_into(dense, bars[symbol], present[symbol], one)
            if minutes:
                self._outs[symbol] = dense[-1]
        self._minute = minutes
        return self._outs

    def step(self, bars: Records, present: Mask) -> Records:
        """Take the next minute of every symbol.

        Args:
            bars: `step_bar_t` [symbols] of minute `self.minute`.
            present: [symbols]: where a bar came.

        Returns:
            `out_t` [symbols] of this minute. The array is used again by the next call.

        Raises:
            InvalidInput: Shapes or types do not fit, or the bars are of another minute than the next.
        """
        shape = self._days.shape
        _check_end(self._minute + 1)
        bars = _checked(bars, step_bar_t, shape, "bars")
        present = _checked(present, np.dtype(np.bool_), shape, "marks of present bars")
        if first_of_another_minute(bars, present, self._minute) >= 0:
            _check_minutes(bars, present, self._minute)
        self._loops.each(self._states, bars, present, self._days, self._params, self._outs, self._asides, self._spare)
        self._minute += 1
        return self._outs

    def dense(self, symbol: int, bars: Records, present: Mask, first: int = 0) -> Records:
        """Every output of one symbol from minute `first` on, worked out anew from its bars [minutes].

        Leaves the fold where it is. Raises `InvalidInput` as `catch_up` does.
        """
        one = slice(symbol, symbol + 1)
        outs, _ = fold(self._strategy, bars, present, self._days[one])
        return outs[first:]

    def _reset(self) -> None:
        symbols = self._days.size
        self._minute = 0
        self._states = empty_records(symbols, self._strategy.state_t)
        self._outs = empty_records(symbols, out_t)
        self._asides = empty_records(symbols, aside_t)
        for records in (self._states, self._outs, self._asides):
            # The system gives memory when it is first written: better now than on the session's first bar.
            records.view(np.uint8).fill(0)

    def _fold_into(self, outs: Records, bars: Records, present: Mask, one: slice) -> None:
        self._loops.fold(
            self._states[one], bars, present, self._days[one], self._params, outs, self._asides[one], self._spare
        )


def fold(
    strategy: Strategy, bars: Records, present: Mask, day: Records, *, params: Records | None = None
) -> tuple[Records, tuple[StepFault, ...]]:
    """One symbol's session so far, from a fresh state.

    Args:
        strategy: What is run.
        bars: `step_bar_t` [minutes], each bar in its minute.
        present: [minutes]: where a bar came.
        day: `day_t`, one element.
        params: The strategy's `parameter_record()`, for a caller that looks at it afterwards; made where it is None.

    Returns:
        `out_t` [minutes], zero where no bar came; and the fault, if there was one, of symbol 0.

    Raises:
        InvalidInput: Shapes or types do not fit, or a bar stands in the place of another minute.
    """
    bars, present = _session(bars, present, (bars.size,))
    day = _checked(day, day_t, (1,), "day record")
    state = empty_records(1, strategy.state_t)
    aside = empty_records(1, aside_t)
    outs = empty_records(bars.size, out_t)
    params = strategy.parameter_record() if params is None else params
    loops(strategy.step).fold(state, bars, present, day, params, outs, aside, empty_records(1, out_t))
    return outs, _faults(aside)


def scan(strategy: Strategy, bars: Records, present: Mask, days: Records) -> Scan:
    """One session of many symbols: `bars` and `present` [symbols, minutes], `days` [symbols].

    The signals are those of `fold`, bit for bit. Raises `InvalidInput` as `fold` does.
    """
    symbols, minutes = bars.shape
    bars, present = _session(bars, present, (symbols, minutes))
    days = _checked(days, day_t, (symbols,), "day records")
    states = empty_records(symbols, strategy.state_t)
    asides = empty_records(symbols, aside_t)
    dense, spare = empty_records(minutes, out_t), empty_records(1, out_t)
    params = strategy.parameter_record()
    run = loops(strategy.step).fold
    at: list[npt.NDArray[np.int64]] = []
    found: list[Records] = []
    for symbol in range(symbols):
        one = slice(symbol, symbol + 1)
        run(states[one], bars[symbol], present[symbol], days[one], params, dense, asides[one], spare)
        at.append(np.flatnonzero((dense["entry"] != 0) | (dense["exit"] != 0)))
        found.append(dense[at[-1]])
    return Scan(
        symbols=np.repeat(np.arange(symbols), [places.size for places in at]),
        minutes=np.concatenate([np.zeros(0, np.int64), *at]),
        outs=np.concatenate([empty_records(0, out_t), *found]),
        faults=_faults(asides),
    )


def fault_text(what: int, code: int) -> str:
    """Why a strategy was set aside, from the two fields of `loops.aside_t`."""
    return _FAULTS[what].format(code=code)


def _faults(asides: Records) -> tuple[StepFault, ...]:
    return tuple(
        StepFault(
            symbol=int(symbol),
            minute=int(asides["minute"][symbol]),
            what=fault_text(int(asides["what"][symbol]), int(asides["code"][symbol])),
        )
        for symbol in np.flatnonzero(asides["what"])
    )


def _session(bars: Records, present: Mask, shape: tuple[int, ...]) -> tuple[Records, Mask]:
    bars = _checked(bars, step_bar_t, shape, "bars")
    present = _checked(present, np.dtype(np.bool_), shape, "marks of present bars")
    _check_end(shape[-1])
    _check_minutes(bars, present, np.arange(shape[-1]))
    return bars, present


def _check_end(minutes: int) -> None:
    """The volume profile of a day record has a place for each minute of a full session: a step may index it."""
    if minutes > SESSION_MINUTES:
        raise InvalidInput(f"{minutes} minutes in one session", where="bars", mend=f"Give at most {SESSION_MINUTES}")


def _check_minutes(bars: Records, present: Mask, minutes: int | npt.NDArray[np.int64]) -> None:
    """A bar in another's place, or one that comes twice, would be folded into the state and stay there."""
    wrong = present & (bars["minute"] != minutes)
    if np.any(wrong):
        given, expected = bars["minute"][wrong][0], np.broadcast_to(minutes, wrong.shape)[wrong][0]
        raise InvalidInput(
            f"a bar of minute {given} stands where minute {expected} is next",
            where="bars",
            mend="Give each bar once, in the order of minutes",
        )


def _checked(array: npt.NDArray[Any], dtype: np.dtype[Any], shape: tuple[int, ...], what: str) -> npt.NDArray[Any]:
    """`array` in the one form that the loops are compiled for: a copy where it is read-only or not contiguous."""
    if array.dtype != dtype or array.shape != shape:
        raise InvalidInput(
            f"{array.shape} of {array.dtype} instead of {shape} of {dtype}",
            where=what,
            mend="Give one element for each symbol (and minute) in the records of domain.records",
        )
    ready = np.require(array, requirements=["C", "W", "A"])
    return as_records(ready) if dtype.names else ready
