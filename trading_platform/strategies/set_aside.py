"""Runs a strategy over a session so that whatever fails in it sets aside this strategy alone, whole and in a sentence.

A step that does not compile, or raises, says nothing from then on: its outputs are zero, so that it enters nothing,
and what it holds is looked after by its exit plan (the resting stop, targets, break-even and the clock). It stays set
aside until the session ends: a strategy that comes and goes would leave a state that nobody can make again.

A step that gives nonsense on one symbol is set aside for that symbol, by the fold itself; on several, its entries end.
"""

import numpy as np

from trading_platform.domain.compiled import UNCOMPILED, empty_records
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.records import day_t, out_t, step_bar_t
from trading_platform.strategies.contract import Strategy
from trading_platform.strategies.mistakes import raised_in, source_of, spoken, uncompilable
from trading_platform.strategies.scan import Mask, Records, SessionFold, StepFault


class GuardedFold:
    """A `SessionFold` that never raises for what its strategy does."""

    def __init__(self, strategy: Strategy, days: Records) -> None:
        self._strategy = strategy
        self._days = days
        self._nothing = empty_records(days.size, out_t)
        self._fold: SessionFold | None = None
        self.broken: str | None = None
        """Why the strategy is set aside whole, by something that it did; None while it runs."""

    @property
    def faults(self) -> tuple[StepFault, ...]:
        """The symbols for which the strategy is set aside, as far as it has come."""
        return self._fold.faults if self._fold is not None else ()

    def take(self, bars: Records, present: Mask, *, next_only: bool) -> Records:
        """The outputs of the last of these minutes, `out_t` [symbols]; all zero once the strategy is broken.

        Args:
            bars: `step_bar_t` [symbols, minutes], all bars so far.
            present: [symbols, minutes].
            next_only: The bars before the last one are those that were taken before.
        """
        if self.broken is not None:
            return self._nothing.copy()
        last = bars.shape[-1] - 1
        try:
            if self._fold is None:
                self._fold = SessionFold(self._strategy, self._days)
            if next_only and self._fold.minute == last:
                return self._fold.step(bars[:, last], present[:, last]).copy()
            return self._fold.catch_up(bars, present).copy()
        except Exception as error:  # noqa: BLE001 (a user's code may raise anything, and must not stop the others)
            self.broken = str(cause_of(error, self._strategy))
            return self._nothing.copy()


def make_ready(strategy: Strategy) -> None:
    """Compile a strategy, or read it from the cache, before its first bar.

    Raises:
        InvalidInput: It does not compile; file, line and cause are named.
    """
    # No bar is present, so no step is taken: only the machine code is made.
    bars, present = empty_records(1, step_bar_t), np.zeros(1, np.bool_)
    fold = SessionFold(strategy, empty_records(1, day_t))
    try:
        fold.catch_up(bars[np.newaxis], present[np.newaxis])
        fold.step(bars, present)
    except Exception as error:
        raise cause_of(error, strategy) from error


def uncompilable_step(strategy: Strategy) -> InvalidInput | None:
    """Why the step does not compile by itself, or None where it does."""
    if UNCOMPILED:
        return None
    import numba

    # A compiler of its own: the step's keeps its first error, and writes into it where else it was met.
    alone = numba.njit(error_model="numpy", fastmath=False)(source_of(strategy.step))
    given = (
        empty_records(1, strategy.state_t)[0],
        empty_records(1, step_bar_t)[0],
        empty_records(1, day_t)[0],
        strategy.parameter_record()[0],
        empty_records(1, out_t)[0],
    )
    try:
        alone.compile(tuple(numba.typeof(one) for one in given))  # type: ignore[no-untyped-call]
    except Exception as error:  # noqa: BLE001 (the compiler raises all kinds, KeyError for an unknown field among them)
        params = strategy.parameter_record().dtype
        return uncompilable(error, strategy.step, state=strategy.state_t, params=params)
    return None


def cause_of(error: Exception, strategy: Strategy) -> InvalidInput:
    """What a strategy did that its loops raised: it does not compile, or its step raised on a bar."""
    if isinstance(error, InvalidInput):
        return error
    objection = uncompilable_step(strategy)
    if objection is not None:
        return objection
    file = source_of(strategy.step).__code__.co_filename
    if isinstance(error, IndexError):
        return InvalidInput(
            f"the step uses an index that lies outside of its array: {spoken(error)}",
            where=raised_in(error, file),
            mend="Keep each index below the array's length; trading-platform strategies check names the line if it meets it",
        )
    return InvalidInput(
        f"the step raised {spoken(error)}",
        where=raised_in(error, file),
        mend="A step does not raise: let it set out.fault instead",
    )
