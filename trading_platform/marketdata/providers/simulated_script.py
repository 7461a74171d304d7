"""What the simulated market's busy sessions are made to show: scripts of phases, minute by minute.

Levels are in parts per million: of VWAP for a session in play, because what a day trader watches there (how long
below, how the reclaim comes, whether it holds) is told relative to VWAP; of the opening price for a session after a
gap. Prices and bars are made of them in `simulated_session`.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from trading_platform.marketdata.providers.simulated_draws import PPM, Draws, Whole
from trading_platform.marketdata.providers.simulated_plan import Kind

_FOLLOWED_THROUGH: Final = 40  # percent of the reclaims
_SURGE: Final = 300  # percent of the usual volume on a reclaim
_MORNING: Final = 150  # percent of the usual volume of a session after a gap, until its story is told
_BREAK_SURGE: Final = 600
_CALM: Final = 110
_REST: Final = 80
_OPENING_MINUTES: Final = 5
_FAR: Final = PPM
_SHORTEST_WITH_HALT: Final = 60
_HALT_FADES: Final = 40  # minutes until the jump of a reopening is gone


@dataclass(frozen=True, slots=True, kw_only=True)
class Halt:
    """Minutes `start` to `end` - 1 have no trading; the price reopens `jump` parts per million away."""

    start: int
    end: int
    jump: int

    def removes(self, minute: int) -> bool:
        """Whether there is no trading in `minute`."""
        return self.start <= minute < self.end


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """For each minute the level of its close, and its volume in percent of the usual; and the halt, if there is one."""

    levels: Whole
    surges: Whole
    halt: Halt | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Phase:
    """A stretch of minutes: the level at its end, the bounds of noise, and volumes in percent: of all, of the first."""

    minutes: int
    target: int
    low: int = -_FAR
    high: int = _FAR
    volume: int = 100
    first: int | None = None


def in_play_script(minutes: int, draws: Draws) -> Script:
    """Sell-offs below VWAP for 20 to 60 minutes, each with its reclaim, until the session ends."""
    phases = [_Phase(minutes=4 + draws.below(8), target=1_500 + draws.below(2_500))]
    used = phases[0].minutes
    while used < minutes:
        cycle = _reclaim(draws)
        phases += cycle
        used += sum(phase.minutes for phase in cycle)
    levels, surges, _, _ = _unrolled(phases, minutes)
    noisy = levels + draws.many_within(500, minutes)
    # Noise may not carry a close across VWAP: the script alone says when it crosses.
    levels = np.where(levels < 0, np.minimum(noisy, -900), np.maximum(noisy, 900))
    return _halted(levels, surges, 5, draws)


def gap_script(kind: Kind, minutes: int, *, high: int, end: int, tick: int, draws: Draws) -> Script:
    """A session after a gap, in parts per million of its opening price.

    Args:
        kind: what it is made for.
        minutes: of the session.
        high: the pre-market high, 0 at least.
        end: the last close.
        tick: a cent.
        draws: where chance comes from.
    """
    phases = _opening_range(high, draws)
    if kind is Kind.FADES:
        phases.append(_Phase(minutes=20 + draws.below(25), target=min(end, -8_000), high=high - 2_500))
    else:
        phases += _breakout(kind, high, min(phase.target for phase in phases), tick, draws)
    used = sum(phase.minutes for phase in phases)
    rest = max(0, minutes - used)
    if rest:
        phases.append(_Phase(minutes=rest, target=end, volume=_REST))
    levels, surges, lows, highs = _unrolled(phases, minutes)
    noise = draws.many_within(600, minutes)
    noise[minutes - rest :] += draws.walk(700, rest, 0)
    return _halted(np.clip(levels + noise, lows, highs), surges, 4, draws)


def _reclaim(draws: Draws) -> list[_Phase]:
    """A sell-off below VWAP, the reclaim on volume, and what comes of it."""
    depth = -6_000 - draws.below(8_000)
    below = [
        _Phase(minutes=5 + draws.below(8), target=depth),
        _Phase(minutes=12 + draws.below(20), target=depth // 2),
        _Phase(minutes=4, target=-1_500),
        _Phase(minutes=1, target=1_800 + draws.below(1_800), first=_SURGE),
    ]
    if draws.below(100) < _FOLLOWED_THROUGH:
        return [
            *below,
            _Phase(minutes=8 + draws.below(14), target=9_000 + draws.below(24_000)),
            _Phase(minutes=5 + draws.below(10), target=2_000),
        ]
    return [*below, _Phase(minutes=1 + draws.below(5), target=1_500 + draws.below(2_000))]


def _opening_range(high: int, draws: Draws) -> list[_Phase]:
    """A dip and its recovery in the first five minutes, then some minutes under the pre-market high."""
    dip = 2 + draws.below(2)
    under = high - 2_500
    return [
        _Phase(minutes=dip, target=-7_000 - draws.below(7_000), high=under, volume=_MORNING),
        _Phase(minutes=_OPENING_MINUTES - dip, target=high - 4_000, high=under, volume=_MORNING),
        _Phase(minutes=1 + draws.below(22), target=high - 3_000 - draws.below(3_000), high=under, volume=_CALM),
    ]


def _breakout(kind: Kind, high: int, low: int, tick: int, draws: Draws) -> list[_Phase]:
    """The break of the pre-market high on volume, and what comes of it; `low` is that of the opening range."""
    entry = high + 3_500 + draws.below(2_500) + 3 * tick
    held = high + 1_200 + tick
    risk = entry - low
    broken = _Phase(minutes=1, target=entry, low=held, first=_BREAK_SURGE)
    if kind is Kind.FAILS:
        return [
            broken,
            _Phase(minutes=3 + draws.below(6), target=held + 1_000, low=held),
            _Phase(minutes=4 + draws.below(7), target=low - 4_000 - draws.below(6_000)),
        ]
    if kind is Kind.INVALIDATED:
        failed = [
            broken,
            _Phase(minutes=1 + draws.below(2), target=high - 4_000, high=high - 1_500 - tick),
            _Phase(minutes=8 + draws.below(12), target=high - 5_000, high=high - 2_500, volume=_CALM),
        ]
        return failed + (_run(broken, held, risk, draws) if draws.below(2) else [])
    return _run(broken, held, risk, draws)


def _run(broken: _Phase, held: int, risk: int, draws: Draws) -> list[_Phase]:
    """To between 1.5 and 4 times the risk, and part of the way back."""
    gained = risk * (150 + draws.below(250)) // 100
    return [
        broken,
        _Phase(minutes=2, target=broken.target + 1_000, low=held),
        _Phase(minutes=8 + draws.below(18), target=broken.target + gained, low=held),
        _Phase(minutes=6 + draws.below(12), target=broken.target + gained * (30 + draws.below(30)) // 100, low=held),
    ]


def _unrolled(phases: list[_Phase], minutes: int) -> tuple[Whole, Whole, Whole, Whole]:
    """Levels, volumes, lowest and highest levels, each of shape [minutes]: straight lines from target to target."""
    levels, volumes, lows, highs = [], [], [], []
    at = 0
    for phase in phases:
        steps = np.arange(1, phase.minutes + 1)
        levels.append(at + (phase.target - at) * steps // phase.minutes)
        volumes.append(np.full(phase.minutes, phase.volume))
        if phase.first is not None:
            volumes[-1][0] = phase.first
        lows.append(np.full(phase.minutes, phase.low))
        highs.append(np.full(phase.minutes, phase.high))
        at = phase.target
    return (
        np.concatenate(levels)[:minutes],
        np.concatenate(volumes)[:minutes],
        np.concatenate(lows)[:minutes],
        np.concatenate(highs)[:minutes],
    )


def _halted(levels: Whole, surges: Whole, one_in: int, draws: Draws) -> Script:
    """The script, with a halt in one of so many: it reopens on volume, further on the way that the price was going."""
    minutes = len(levels)
    chance, start, length, jump = (draws.below(bound) for bound in (one_in, max(1, minutes - 40), 11, 25_000))
    if chance or minutes < _SHORTEST_WITH_HALT:
        return Script(levels=levels, surges=surges, halt=None)
    halt = Halt(start=10 + start, end=15 + start + length, jump=15_000 + jump)
    if levels[halt.end] < levels[halt.start - 1]:
        halt = Halt(start=halt.start, end=halt.end, jump=-halt.jump)
    fading = np.maximum(0, _HALT_FADES - np.arange(minutes - halt.end))
    levels[halt.end :] += halt.jump * fading // _HALT_FADES
    surges[halt.end] = _SURGE
    return Script(levels=levels, surges=surges, halt=halt)
