"""What a run of the fault campaign comes to, in lines for a person."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any


def told_of(seed: int, found: Sequence[dict[str, Any]], seconds: float) -> list[str]:
    """What ran, what crashed where, what went wrong at the venues, and what was violated."""
    return [*_figures(found, seconds), *_counted(found, "crashes"), *_counted(found, "faults"), *_verdict(seed, found)]


def _figures(found: Sequence[dict[str, Any]], seconds: float) -> Iterator[str]:
    yield f"{len(found)} schedules in {seconds:.0f} s"
    for broker in sorted({one["broker"] for one in found}):
        here = [one for one in found if one["broker"] == broker]
        total = {name: sum(one[name] for one in here) for name in ("lives", "orders", "fills", "breaks_on_the_way")}
        crashes = sum(sum(one["crashes"].values()) for one in here)
        faults = sum(sum(one["faults"].values()) for one in here)
        yield (
            f"  {broker}: {len(here)} schedules, {crashes} crashes, {sum(one['stalls'] for one in here)} frozen owners, "
            f"{faults} faults, {total['lives']} processes, {total['orders']} intents, {total['fills']} fills, "
            f"{total['breaks_on_the_way']} breaks on the way, {sum(one['seconds'] for one in here) / len(here):.2f} s each"
        )


def _counted(found: Sequence[dict[str, Any]], what: str) -> Iterator[str]:
    total: Counter[str] = Counter()
    for one in found:
        total.update(one[what])
    yield f"{what}: " + (", ".join(f"{name} {count}" for name, count in sorted(total.items())) or "none")


def _verdict(seed: int, found: Sequence[dict[str, Any]]) -> Iterator[str]:
    violated = [one for one in found if one["violations"]]
    for one in violated:
        yield f"  {one['broker']} {one['number']}: {len(one['violations'])} violations; again: make faults SEED={seed} FIRST={one['number']} SCHEDULES=1"
    yield f"{len(violated)} schedules with a violation" if violated else "nothing was violated"
