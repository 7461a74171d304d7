"""The compiled loops that run a strategy's step: over one symbol's minutes, and over all symbols of one minute.

Each strategy gets loops of its own, in which the step is called directly: a step that is passed as an argument or held
by a closure has no stable name in the compiler's cache, and would be compiled again in every process. The loops below
are therefore ordinary functions whose global name `_step` is bound anew for each strategy, and which are filed in the
cache under that strategy's file and name: a change in the strategy makes new machine code. The step is put into them, and
its output is a record of their own (`local_records`), so that each is written once.

Belongs here: the loops and the judgement of what a step gave. What stays out: arrays, symbols and sessions (`scan`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import FunctionType
from typing import Any, Final, TypeVar, cast

import numpy as np

from trading_platform.domain.compiled import UNCOMPILED, compiled
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.local_records import inlined, own, own_uncompiled, store, store_uncompiled
from trading_platform.strategies.contract import Step
from trading_platform.strategies.mistakes import place_of, source_of

_Loop = TypeVar("_Loop", bound=Callable[..., Any])

_HIGHEST_PRICE: Final = 1e8
"""Dollars. A price beyond it is a fault of the step, and would overflow the kernel's whole units."""

GAVE_UP: Final = 1
BAD_LIMIT: Final = 2
BAD_STOP: Final = 3
BAD_LEVEL: Final = 4

aside_t: Final[np.dtype[Any]] = np.dtype(
    [
        ("what", "i8"),  # 0: not set aside; otherwise one of the four above
        ("minute", "i8"),  # the bar on which it happened
        ("code", "i8"),  # the step's own number, with GAVE_UP
    ],
    align=True,
)
"""Whether a strategy is set aside for one symbol, since when and why."""


@compiled
def clear(out: Any) -> None:
    """Zero every field of an `out_t`."""
    out.entry = 0
    out.valid_bars = 0
    out.setup = 0
    out.exit = 0
    out.invalidates = 0
    out.fault = 0
    out.limit = 0.0
    out.stop = 0.0
    out.level1 = 0.0
    out.level2 = 0.0


@compiled
def _is_price(price: float) -> bool:
    return 0.0 <= price <= _HIGHEST_PRICE


@compiled
def _is_level(price: float, entry: int) -> bool:
    undefined = price != price and entry == 0  # noqa: PLR0124 (only nan differs from itself)
    return undefined or abs(price) <= _HIGHEST_PRICE


@compiled
def judge(out: Any) -> int:
    """What is wrong with a step's output: 0, or GAVE_UP, BAD_LIMIT, BAD_STOP or BAD_LEVEL."""
    if out.fault != 0:
        return GAVE_UP
    if not _is_price(out.limit):
        return BAD_LIMIT
    if not _is_price(out.stop):
        return BAD_STOP
    if not (_is_level(out.level1, out.entry) and _is_level(out.level2, out.entry)):
        return BAD_LEVEL
    return 0


def _step(state: Any, bar: Any, day: Any, params: Any, out: Any) -> None:
    """Stands for a strategy's step in the loops below."""
    raise NotImplementedError


# The names that the loops call, in their uncompiled form.
_own, _store, _judge, _clear = own_uncompiled, store_uncompiled, judge, clear


def _fold(states: Any, bars: Any, present: Any, days: Any, params: Any, outs: Any, asides: Any, spare: Any) -> None:
    """All bars [minutes] of one symbol, whose state, day and aside are arrays of one. `spare` is room for an output."""
    out = _own(spare[0], spare)
    for minute in range(bars.size):
        _clear(out)
        if present[minute] and asides[0].what == 0:
            _step(states[0], bars[minute], days[0], params[0], out)
            what = _judge(out)
            if what != 0:
                _set_aside(asides[0], what, bars[minute].minute, out.fault)
                _clear(out)
        _store(out, outs, minute)


def _each(states: Any, bars: Any, present: Any, days: Any, params: Any, outs: Any, asides: Any, spare: Any) -> None:
    """One bar of every symbol: all arrays but `params` and `spare` are [symbols]."""
    out = _own(spare[0], spare)
    for symbol in range(states.size):
        _clear(out)
        if present[symbol] and asides[symbol].what == 0:
            _step(states[symbol], bars[symbol], days[symbol], params[0], out)
            what = _judge(out)
            if what != 0:
                _set_aside(asides[symbol], what, bars[symbol].minute, out.fault)
                _clear(out)
        _store(out, outs, symbol)


@compiled
def _set_aside(aside: Any, what: int, minute: int, code: int) -> None:
    """After a fault nothing of a step's output stands, and it is not asked again."""
    aside.what = what
    aside.minute = minute
    aside.code = code


@compiled
def first_of_another_minute(bars: Any, present: Any, minute: int) -> int:
    """The place of the first bar [symbols] that came and is not of `minute`; -1: there is none."""
    for symbol in range(bars.size):
        if present[symbol] and bars[symbol].minute != minute:
            return symbol
    return -1


Loop = Callable[[Any, Any, Any, Any, Any, Any, Any, Any], None]
"""`loop(states, bars, present, days, params, outs, asides, spare)`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loops:
    """The two loops of one strategy; both leave the same bits in states, outs and asides."""

    fold: Loop
    each: Loop


@cache
def loops(step: Step) -> Loops:
    """The loops that call `step`.

    Raises:
        InvalidInput: The step is not compiled, or is defined inside another function: then two steps could share a
            name in the cache.
    """
    source = top_level_source(step)
    names: dict[str, Any] = {"_step": step}
    if not UNCOMPILED:
        callees: dict[str, Callable[..., Any]] = {"_store": store, "_judge": judge, "_clear": clear}
        names = {name: inlined(callee) for name, callee in callees.items()} | {"_own": own}
        names["_step"] = inlined(step, within_bounds=True)
    return Loops(
        fold=cast("Loop", quiet(bound(_fold, source, compiled, **names))),
        each=cast("Loop", quiet(bound(_each, source, compiled, **names))),
    )


def top_level_source(step: Step) -> FunctionType:
    """The plain function of a step that loops can be bound to. Raises `InvalidInput` as `loops` does."""
    source = source_of(step)
    if not UNCOMPILED and not hasattr(step, "py_func"):
        raise InvalidInput("the step is not compiled", where=place_of(step), mend="Put @compiled above it")
    if "<" in source.__qualname__:
        raise InvalidInput(
            "the step is not a function of its own at the top of a module",
            where=f"{source.__module__}.{source.__qualname__}",
            mend="Define it with `def` at the top of the module",
        )
    if _prints(source, set()):
        raise InvalidInput(
            "the step prints, which it would do on every bar of every symbol",
            where=place_of(step),
            mend="Take the print out; level1 and level2 are there to be looked at",
        )
    return source


def _prints(function: FunctionType, known: set[FunctionType]) -> bool:
    """Whether a function, or one that it calls, prints."""
    known.add(function)
    names, given = function.__code__.co_names, function.__globals__
    if "print" in names and "print" not in given:
        return True
    called = [source_of(given[name]) for name in names if hasattr(given.get(name), "py_func")]
    return any(_prints(one, known) for one in called if one not in known)


def bound(
    loop: Callable[..., Any], source: FunctionType, compile_it: Callable[[_Loop], _Loop], **names: Any
) -> Callable[..., Any]:
    """`loop` with global `names` bound, compiled, and filed in the cache under the name and file of a step's `source`."""
    assert isinstance(loop, FunctionType)
    name = f"{source.__qualname__}.{loop.__name__}.{source.__code__.co_firstlineno}"
    code = loop.__code__.replace(co_filename=source.__code__.co_filename)
    copy: Any = FunctionType(code, {**loop.__globals__, **names, "__name__": source.__module__}, name)
    copy.__qualname__ = name
    made: Callable[..., Any] = compile_it(copy)
    return made


def quiet(loop: Callable[..., Any]) -> Callable[..., Any]:
    """`loop`, which divides by zero as quietly uncompiled as compiled."""
    return np.errstate(all="ignore")(loop) if UNCOMPILED else loop
