"""Tries a strategy out on made-up sessions, and says in sentences what is wrong with it before it costs money.

A step that compiles is run as plain Python first: that names the line of a mistake, and stops one that would read past
an array before compiled code does so unseen. Then the compiled step is run: compiled and plain must give the same bits, on
the whole session and on its beginning, and nothing but state and output may have changed.

Belongs here: the trial. What stays out: why something does not load or compile (`registry`, `mistakes`), and whether a
strategy is any good.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trading_platform.domain.compiled import empty_records
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.records import out_t
from trading_platform.domain.signals import ExitReason, TriggerOn
from trading_platform.strategies.contract import Step, Strategy
from trading_platform.strategies.loops import clear, judge
from trading_platform.strategies.made_up import MadeUp, sessions
from trading_platform.strategies.mistakes import place_of, raised_in, source_of, spoken
from trading_platform.strategies.scan import fold
from trading_platform.strategies.set_aside import make_ready, uncompilable_step

Records = npt.NDArray[Any]

_CUTS: Final = (7, 60, 150)
"""Minutes after which a session is cut off: what was said by then must stay."""

_ALL_REASONS: Final = sum(ExitReason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is wrong with a strategy: what, and where (a file and line)."""

    what: str
    where: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """A kind of mistake, and the bar on which it showed; None: it shows on none in particular."""

    what: str
    minute: int | None = None


def check_strategy(strategy: Strategy) -> tuple[Finding, ...]:
    """What is wrong with a strategy; nothing, if it may trade.

    Each kind of mistake is named once, with the first session and bar on which it showed.
    """
    objection = uncompilable_step(strategy)
    if objection is not None:
        return (_finding(objection),)
    trials = tuple(sessions())
    plain = _plain_twin(strategy.step)
    told: list[Records] = []
    for trial in trials:
        try:
            told.append(_fold_plainly(plain, strategy, trial))
        except Exception as error:  # noqa: BLE001 (a user's step may raise anything)
            return (_raised(error, strategy, trial),)
    try:
        make_ready(strategy)
    except InvalidInput as error:
        return (_finding(error),)
    found: dict[str, Finding] = {}
    for trial, expected in zip(trials, told, strict=True):
        for seen in _compare(strategy, trial, expected):
            on = "" if seen.minute is None else f"; first on {trial.name}, minute {seen.minute}"
            found.setdefault(seen.what, Finding(what=f"{seen.what}{on}", where=place_of(strategy.step)))
    return tuple(found.values())


def _compare(strategy: Strategy, trial: MadeUp, expected: Records) -> Iterator[_Seen]:
    """Run the compiled step on one session and say what is wrong with what it gave."""
    bars, day, params = trial.bars.copy(), trial.day.copy(), strategy.parameter_record()
    outs, faults = fold(strategy, bars, trial.present, day, params=params)
    given = (("bar", bars, trial.bars), ("day", day, trial.day), ("params", params, strategy.parameter_record()))
    for name, after, before in given:
        if after.tobytes() != before.tobytes():
            yield _Seen(what=f"the step writes to {name}, which is not its own: what changes belongs in the state")
            return
    for fault in faults:
        yield _Seen(what=fault.what, minute=fault.minute)
        return
    if outs.tobytes() != expected.tobytes():
        what = (
            "the compiled step and the plain one differ: it does more than arithmetic, sqrt, abs and comparisons, "
            "or remembers something outside its state"
        )
        yield _Seen(what=what, minute=_first_difference(outs, expected))
    for cut in (trial.bars.size, *_CUTS):
        again, _ = fold(strategy, trial.bars[:cut], trial.present[:cut], trial.day)
        if again.tobytes() != outs[:cut].tobytes():
            what = "the same bars give other signals the second time: the step remembers something outside its state"
            yield _Seen(what=what, minute=_first_difference(again, outs[:cut]))
            return
    yield from _meaning(strategy, trial, outs)


def _meaning(strategy: Strategy, trial: MadeUp, outs: Records) -> Iterator[_Seen]:
    """Entries that the kernel would refuse, and reasons that nobody knows."""
    plan = strategy.exit_plan
    needs_stop = plan.stop_percent == 0 and (plan.stop_on is TriggerOn.TOUCH or strategy.sizing.fixed_quantity == 0)
    entries = outs["entry"] != 0
    reference = np.where(outs["limit"] > 0, outs["limit"], trial.bars["close"])
    has_stop = (outs["stop"] > 0) & (outs["stop"] < reference)
    wrong = {
        "an entry has no stop below its price, and would be refused": entries & ~has_stop & needs_stop,
        "entry is neither 0 nor 1": entries & (outs["entry"] != 1),
        "an entry names no set-up: number them from 1": entries & (outs["setup"] < 1),
        "an exit reason is none of ExitReason": (outs["exit"] & ~_ALL_REASONS) != 0,
        "an entry stands on ten bars in a row: say it on its edge": _runs_of(entries, 10),
    }
    for what, where in wrong.items():
        for minute in np.flatnonzero(where)[:1]:
            yield _Seen(what=what, minute=int(minute))


def _runs_of(marks: npt.NDArray[np.bool_], length: int) -> npt.NDArray[np.bool_]:
    """Where a run of `length` marks ends."""
    found = np.zeros(marks.size, np.bool_)
    if marks.size >= length:
        found[length - 1 :] = np.lib.stride_tricks.sliding_window_view(marks, length).all(axis=1)
    return found


def _first_difference(some: Records, others: Records) -> int:
    differ = [minute for minute in range(some.size) if some[minute].tobytes() != others[minute].tobytes()]
    return differ[0]


def _finding(error: InvalidInput) -> Finding:
    return Finding(what=". ".join(part for part in (error.what, error.mend) if part), where=error.where)


def _raised(error: Exception, strategy: Strategy, trial: MadeUp) -> Finding:
    file = source_of(strategy.step).__code__.co_filename
    return Finding(what=f"the step raises {spoken(error)}, on {trial.name}", where=raised_in(error, file))


def _fold_plainly(step: Step, strategy: Strategy, trial: MadeUp) -> Records:
    """What the plain step gives on one session, judged as the compiled loops judge it: `out_t` [minutes]."""
    state, params = _plain(empty_records(1, strategy.state_t)), _plain(strategy.parameter_record())
    bars, day, outs = _plain(trial.bars.copy()), _plain(trial.day.copy()), _plain(empty_records(trial.bars.size, out_t))
    wipe, verdict = _plain_twin(clear), _plain_twin(judge)
    with np.errstate(all="ignore"):
        for minute in np.flatnonzero(trial.present):
            step(state[0], bars[minute], day[0], params[0], outs[minute])
            if verdict(outs[minute]) != 0:
                wipe(outs[minute])
                break
    plain: Records = outs.view(np.ndarray)
    return plain


def _plain(records: Records) -> Any:
    """Records whose elements plain Python reads by name."""
    return records.view(np.recarray)


def _plain_twin(function: Any) -> Any:
    """A compiled function as plain Python, and so with it every compiled function that it calls."""
    twins: dict[int, dict[str, Any]] = {}
    return _twin(function, twins)


def _twin(function: Any, namespaces: dict[int, dict[str, Any]]) -> Any:
    source = source_of(function)
    names: Mapping[str, Any] = source.__globals__
    if id(names) not in namespaces:
        # The namespace is known before it is filled: functions that call each other find it.
        namespace = namespaces[id(names)] = dict(names)
        for name, value in names.items():
            if hasattr(value, "py_func"):
                namespace[name] = _twin(value, namespaces)
    twin = FunctionType(
        source.__code__, namespaces[id(names)], source.__name__, source.__defaults__, source.__closure__
    )
    twin.__kwdefaults__ = source.__kwdefaults__
    return twin
