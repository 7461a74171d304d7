"""Emergencies by hand: the platform that a command needs, how its time passes, and what a person is told.

What is done is `engine.emergencies`. On the machine's clock a command looks again every two seconds. On a simulated one
time passes only with the session's cycles, so that it runs the next minute between two looks.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from rich.console import Console

from trading_platform.bootstrap import Platform, build, session_configuration
from trading_platform.config.settings import Settings
from trading_platform.defs.resources import clock_of
from trading_platform.domain.clock import SimulatedClock
from trading_platform.domain.commands import CommandAction
from trading_platform.domain.errors import DatabaseUnavailable, InvalidInput, NotOwner, TemporaryError
from trading_platform.domain.fills import Position
from trading_platform.domain.orders import OrderStatus
from trading_platform.domain.reports import Break
from trading_platform.engine import emergencies
from trading_platform.engine.cycle import run_cycle
from trading_platform.terminal.person import user

SECONDS: Final = 2
"""Between two looks on the machine's clock."""

LOOKS: Final = 90
"""A day order at the market needs no more: the paper exchange shows a fill within two minutes."""


def give(
    settings: Settings, action: CommandAction, reason: str, console: Console, *, halting: bool = False
) -> dict[str, Any]:
    """Cancel everything (CANCEL_ALL), or close everything (CLOSE_ALL), and return what has come of it.

    On a simulated clock the minutes that this runs enter nothing. `halting`: entries are halted before all is closed.

    Raises what `emergencies.cancel_all` and `close_all` raise.
    """
    with _platform(settings, entering=False) as platform:
        pause, anything = pause_of(platform, console), bool(_held(platform) or _working(platform))
        if action is CommandAction.CLOSE_ALL:
            _require_own_configuration(platform)
            outcome = emergencies.close_all(platform.stages, who=user(), reason=reason, pause=pause, halting=halting)
        else:
            outcome = emergencies.cancel_all(platform.stages, who=user(), reason=reason, pause=pause)
        halted = platform.ledger.halted()
        held, working = _held(platform), _working(platform)
    _tell(console, outcome, halted=halted, anything=anything)
    return {
        "book": platform.ledger.book,
        "command": outcome.command.id,
        "action": outcome.command.action.value,
        "done": outcome.obeyed_by is None,
        "obeyed_by": outcome.obeyed_by,
        "held": [{"strategy": one.strategy, "symbol": one.symbol, "quantity": one.quantity} for one in held],
        "open_orders": [one.intent.id for one in working],
        "breaks": [break_figures(one) for one in outcome.breaks],
        "away": list(outcome.away),
    }


def reconnect(settings: Settings) -> tuple[str, tuple[emergencies.Connection, ...]]:
    """The book's name, and whether each of its brokers answers."""
    with _platform(settings) as platform:
        return platform.ledger.book, emergencies.reconnect(platform.stages.parts)


def reconcile(settings: Settings, what: Sequence[str], reason: str, console: Console) -> dict[str, Any]:
    """Compare ledger and brokers, accept the breaks that `what` names, and return those that are left.

    Raises `InvalidInput` for what no break is about.
    """
    with _platform(settings) as platform:
        compared = emergencies.reconcile(platform.stages)
        if compared.owned_by is not None:
            console.print(
                f"Another process trades this book: {compared.owned_by}. What its latest cycle found:", markup=False
            )
        breaks, accepted = compared.report.breaks, 0
        if what:
            accepted = emergencies.accept(platform.ledger, platform.clock, breaks, what=what, who=user(), reason=reason)
            left = emergencies.reconcile(platform.stages).report.breaks if compared.owned_by is None else ()
        else:
            left = breaks
    for one in breaks if what else ():
        console.print(f"{'Left' if one in left else 'Accepted'}: {break_line(one)}", markup=False)
    for one in left if not what else ():
        console.print(break_line(one), style="red", markup=False)
    for venue in compared.report.away:
        console.print(f"{venue} does not answer: what it has is as it was believed.", style="yellow", markup=False)
    for said in compared.report.oddities:
        console.print(said, style="yellow", markup=False)
    if not left and not what:
        console.print(f"Ledger and brokers agree in book {platform.ledger.book}.", markup=False)
    return {
        "book": platform.ledger.book,
        "owned_by": compared.owned_by,
        "accepted": accepted,
        "breaks": [break_figures(one) for one in left],
        "away": list(compared.report.away),
        "oddities": list(compared.report.oddities),
    }


def pause_of(platform: Platform, console: Console, wait: Callable[[float], None] = time.sleep) -> emergencies.Pause:
    """How time passes between two looks. `wait` is given seconds."""
    looks = waits = 0

    def pause(left: tuple[str, ...]) -> bool:
        nonlocal looks, waits
        looks += 1
        if looks == 1:
            for said in left:
                console.print(f"Still to be done: {said}.", markup=False, highlight=False)
        if isinstance(platform.clock, SimulatedClock):
            try:
                return _next_minute(platform)
            except DatabaseUnavailable:
                raise
            except (NotOwner, TemporaryError):
                # While somebody else has the book, or a broker does not answer, only the machine's time helps.
                pass
        wait(SECONDS)
        waits += 1
        return waits < LOOKS

    return pause


def break_line(found: Break) -> str:
    """A break in a line: the broker, what it is about, and the difference."""
    difference = "" if found.difference is None else f" (difference {found.difference:+})"
    return f"{found.venue}, {found.symbol}: {found.what}{difference}"


def break_figures(found: Break) -> dict[str, Any]:
    """A break for JSON."""
    return {
        "venue": found.venue,
        "subject": found.subject.value,
        "name": found.name,
        "symbol": found.symbol,
        "what": found.what,
        "difference": None if found.difference is None else str(found.difference),
    }


@contextmanager
def _platform(settings: Settings, *, entering: bool = True) -> Iterator[Platform]:
    """The book's platform at the moment that the book has come to, whatever strategy does not load."""
    platform = build(settings, clock_of(settings), strict=False, entering=entering)
    try:
        if isinstance(platform.clock, SimulatedClock):
            _reach_present(platform, platform.clock)
        yield platform
    finally:
        platform.close()


def _reach_present(platform: Platform, clock: SimulatedClock) -> None:
    """On a simulated clock the present is where the last cycle, or the latest opening, has left the book."""
    session, cycle = platform.ledger.last_session(), platform.ledger.last_cycle()
    moments = [] if session is None else [platform.calendar.session(session.session).open]
    if cycle is not None:
        moments.append(cycle.decided_at)
    if moments and max(moments) > clock.now():
        clock.advance_to(max(moments))


def _require_own_configuration(platform: Platform) -> None:
    """On a simulated clock the session's own minutes are run, which keep the settings that it began with."""
    last = platform.ledger.last_session()
    if isinstance(platform.clock, SimulatedClock) and last is not None:
        platform.ledger.open_session(last.session, session_configuration(platform.settings), platform.clock.now())


def _next_minute(platform: Platform) -> bool:
    """Run the session's next minute, which obeys the command; false: there is none. Raises what the stages raise."""
    last = platform.ledger.last_session()
    if last is None:
        return False
    session = platform.simulated_session(last.session)
    minute = session.next_minute()
    if minute is None:
        return False
    try:
        session.tick(minute)
        run_cycle(platform.stages, session.day, minute)
    finally:
        platform.stages.release()
    return True


def _held(platform: Platform) -> list[Position]:
    return [one for one in platform.ledger.holdings().positions.values() if one.quantity]


def _working(platform: Platform) -> list[OrderStatus]:
    return [one for one in platform.ledger.open_orders() if one.intent.kind.is_order]


def _tell(console: Console, outcome: emergencies.Outcome, *, halted: bool, anything: bool) -> None:
    closing = outcome.command.action is CommandAction.CLOSE_ALL
    number = outcome.command.id
    if outcome.obeyed_by is not None:
        console.print(
            f"Recorded as command {number}. Another process has the book, and obeys from its next cycle on: "
            f"{outcome.obeyed_by}.",
            markup=False,
        )
        return
    if not anything:
        done = "Nothing was held, and no order was open" if closing else "No order was open"
    else:
        done = "Everything that was held is sold, and no order is open" if closing else "No order is open any more"
    if halted:
        after = "Entries are halted; to end that: trading-platform resume --reason WHY"
        then = "" if closing else "The next cycle protects what is held again. "
    else:
        after = "To keep entries away: trading-platform halt --reason WHY"
        then = f"The next cycle {'may enter' if closing else 'protects what is held'} again. "
    console.print(f"{done} (command {number}). {then}{after}")
    for one in outcome.breaks:
        console.print(f"Not agreed, and left as it is: {break_line(one)}", style="red", markup=False)
    for venue in outcome.away:
        console.print(f"{venue} does not answer; nothing of the book is known to be there.", style="yellow")


def require_all(*, everything: bool, what: str) -> None:
    """Raise `InvalidInput` unless a person has said that all of them are meant."""
    if not everything:
        raise InvalidInput(
            f"it is not said which {what} are meant", where="--all", mend=f"Give --all for all {what} of the book"
        )
