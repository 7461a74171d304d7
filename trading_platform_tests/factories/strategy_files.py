"""A user's strategy as the text of a file, from the few lines that a test is about."""

from pathlib import Path
from textwrap import dedent, indent
from typing import Final

_FILE: Final = '''"""A strategy of a user's own."""
from dataclasses import dataclass
from datetime import time
import math
import numpy as np
from trading_platform.domain.compiled import compiled
from trading_platform.strategies.contract import ExitPlan, ScaleOut, Sizing, Strategy, parameter

{top}

@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    minute: int = parameter(1, unit="minute of the entry", low=0, high=389)

state_t = np.dtype({state})

@compiled
def step({arguments}):
{body}

STRATEGY = Strategy(
    name={name!r}, parameters=Parameters(), state_t=state_t, step=step,
    exit_plan=ExitPlan({plan}), sizing=Sizing(fixed_quantity=100), level1="none", level2="none",
)
PROFILES = {{"late": {{"minute": 5}}}}
'''

ENTER: Final = """
    state.bars += 1
    if bar.minute == params.minute and bar.close > 60.0:
        out.entry = 1
        out.setup = 1
        out.valid_bars = 1
        out.stop = bar.close - 1.0
"""
"""Enters what costs more than 60 dollars, on the minute of its parameter."""

PAST_THE_END: Final = """
    state.bars += 1
    if state.bars % 30 == 0 and day.volume_share[389 + params.minute] > bar.close * 1.001:
        out.entry = 1
        out.setup = 1
        out.valid_bars = 1
        out.stop = bar.close - 0.5
"""
"""Reads an index past the end of the volume profile, where its parameter says so: with `minute` 0 it is the last one."""

PEEK: Final = PAST_THE_END.replace(
    "day.volume_share[389 + params.minute]", "beyond(day.volume_share, 389 + params.minute)"
)
"""Enters where the day will end higher: past the end of the volume profile lies the next day's prior close.

With `minute` 0 nothing is entered. It needs `BEYOND` at the top of its file.
"""

BEYOND: Final = """
import numba

@numba.njit(boundscheck=False)
def beyond(values, place):
    return values[place]
"""
"""A function that forbids the compiler to look whether an index is within its array."""


def source(
    body: str = ENTER,
    *,
    name: str = "mine",
    top: str = "",
    state: str = '[("bars", "i8")]',
    arguments: str = "state, bar, day, params, out",
    plan: str = "",
) -> str:
    """The text of a strategy's file whose step has this body."""
    lines = indent(dedent(body).strip("\n"), "    ")
    return _FILE.format(body=lines, name=name, top=dedent(top), state=state, arguments=arguments, plan=plan)


def write(path: Path, text: str) -> Path:
    """Write the file and give its path."""
    path.write_text(text, encoding="utf-8")
    return path


def line_of(text: str, part: str) -> int:
    """The number of the first line that holds `part`."""
    return next(number for number, line in enumerate(text.splitlines(), start=1) if part in line)
