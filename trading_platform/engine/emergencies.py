"""What a person, or a service, does when something is wrong: halt, resume, cancel all, close all, reconnect, reconcile.

Each command is in the ledger, with who gave it and why, before anything is done for it. They work when nothing else
runs: the caller takes the book's shards itself. Where another process owns the book and lives, its cycles obey what is
recorded, and the caller is told so; one that was killed is waited for until its lease is over. Where all that the book
has is at brokers that are not configured here, nothing is touched: whoever trades the book obeys, and where nobody
does, the command is refused. What is sent, and how, is `orders.clearing`; how time passes between two looks is the
caller's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from trading_platform.calendars.sessions import EXCHANGE_ZONE, Session
from trading_platform.domain.clock import Clock, SimulatedClock
from trading_platform.domain.commands import Command, CommandAction
from trading_platform.domain.errors import (
    DatabaseUnavailable,
    InvalidInput,
    NotOwner,
    PermanentError,
    TemporaryError,
)
from trading_platform.domain.reports import Acceptance, Break, ReconcileReport, Subject
from trading_platform.engine.preflight import at_brokers
from trading_platform.engine.recorded import recorded_reconcile
from trading_platform.engine.stages import Stages, session_of
from trading_platform.engine.values import Parts
from trading_platform.ledger.ledger import Ledger
from trading_platform.orders.standing import halted_by

ROUNDS: Final = 400
"""So often at most it is looked whether everything is done: more often than a session has minutes."""

_BETWEEN_MINUTES: Final = timedelta(seconds=90)
"""A job takes the book for a moment each minute: who has given it back so lately will take it again."""

_BETWEEN_SIMULATED_MINUTES: Final = timedelta(seconds=5)
"""The same where one minute follows the other at once."""

Pause = Callable[[tuple[str, ...]], bool]

EVERYTHING: Final = "all"
CASH: Final = "cash"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What has come of a command.

    `obeyed_by` is None where it is done, as the ledger and the brokers both show; else it is who has the book, and
    obeys. `breaks` is what they do not agree on: what only a broker holds was not sold.
    """

    command: Command
    breaks: tuple[Break, ...] = ()
    away: tuple[str, ...] = ()
    obeyed_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Whether a broker answers, and what it says, or why not."""

    venue: str
    answers: bool
    said: str


def halt(ledger: Ledger, clock: Clock, *, who: str, reason: str) -> Command:
    """Enter nothing any more, in whatever session, until it is resumed. Exits go on, and so do protective stops.

    The next cycle cancels entries that are still open. Where it is halted already, that command is returned.
    """
    standing = halted_by(ledger)
    return standing or ledger.append_command(CommandAction.HALT, at=clock.now(), who=who, reason=reason)


def resume(ledger: Ledger, clock: Clock, *, who: str, reason: str) -> Command:
    """End a halt. Raises `InvalidInput` if there is none."""
    if not ledger.halted():
        raise InvalidInput("nothing is halted", where=f"book {ledger.book}", mend="There is nothing to resume")
    return ledger.append_command(CommandAction.RESUME, at=clock.now(), who=who, reason=reason)


def cancel_all(stages: Stages, *, who: str, reason: str, pause: Pause) -> Outcome:
    """Cancel every order that is open, protective ones included, until the brokers work none of them.

    It can be done at any time. It does not halt: the next cycle protects what is held again, and may enter.

    Args:
        stages: The book's.
        who: The person.
        reason: Why.
        pause: Is told what is left, and lets time pass until it is worth looking again; false: it passes no more.

    Raises `PermanentError` with what is left where not everything could be cancelled, and `InvalidInput`, with nothing
    recorded, for a book that has no session, and where nothing of it is within reach and nobody trades it.
    """
    ledger = stages.parts.ledger
    if ledger.last_session() is None:
        raise InvalidInput("no session was ever opened", where=f"book {ledger.book}", mend="There is nothing to cancel")
    day = session_of(stages.parts)
    elsewhere = _elsewhere(stages.parts)
    command = ledger.append_command(
        CommandAction.CANCEL_ALL, at=stages.parts.clock.now(), who=who, reason=reason, session=day
    )
    return Outcome(command=command, obeyed_by=elsewhere) if elsewhere else _until_done(stages, command, day, pause)


def close_all(stages: Stages, *, who: str, reason: str, pause: Pause, halting: bool = False) -> Outcome:
    """Cancel every order that is open and sell every holding at the market, until book and brokers are flat.

    Until then nothing is entered; afterwards only a halt keeps entries away. What a broker holds and the ledger does
    not know is told as a break, and not sold.

    Args:
        stages: The book's.
        who: The person.
        reason: Why.
        pause: Is told what is left, and lets time pass until it is worth looking again; false: it passes no more.
        halting: Whether entries are halted first.

    Raises `PermanentError` with what is left where not everything could be sold, and `InvalidInput`, with nothing
    recorded, while the market is closed, and where nothing of the book is within reach and nobody trades it.
    """
    parts = stages.parts
    if parts.ledger.last_session() is None:
        raise InvalidInput(
            "no session was ever opened", where=f"book {parts.ledger.book}", mend="There is nothing to close"
        )
    session = _open_session(parts)
    elsewhere = _elsewhere(parts)
    if halting:
        halt(parts.ledger, parts.clock, who=who, reason=reason)
    command = parts.ledger.append_command(
        CommandAction.CLOSE_ALL, at=parts.clock.now(), who=who, reason=reason, session=session.day
    )
    if elsewhere:
        return Outcome(command=command, obeyed_by=elsewhere)
    return _until_done(stages, command, session.day, pause)


def reconnect(parts: Parts) -> tuple[Connection, ...]:
    """Ask each broker for its account anew: a connection that was lost is made again by that."""
    found = []
    for broker in parts.routes.brokers:
        try:
            cash, held, working = broker.cash(), broker.positions(), broker.open_orders()
        except DatabaseUnavailable:
            raise
        except TemporaryError as error:
            found.append(Connection(venue=broker.name, answers=False, said=str(error)))
        else:
            said = f"{cash} dollars, {len(held)} positions, {len(working)} open orders"
            found.append(Connection(venue=broker.name, answers=True, said=said))
    missing = ((venue, what) for venue, what in at_brokers(parts.ledger).items() if not parts.routes.has(venue))
    found += [
        Connection(venue=venue, answers=False, said=f"it is not configured here, and the book has {what}")
        for venue, what in missing
    ]
    return tuple(found)


def accept(ledger: Ledger, clock: Clock, breaks: Sequence[Break], *, what: Sequence[str], who: str, reason: str) -> int:
    """Record that a person accepts breaks: they stay as they are, and hold nothing back any more.

    Args:
        ledger: The book's.
        clock: The time.
        breaks: Those that were found.
        what: Which of them: a symbol, an order's or execution's id, `cash`, or `all`.
        who: The person.
        reason: Why.

    Returns how many were accepted. Raises `InvalidInput`, with nothing recorded, for what no break is about.
    """
    chosen: dict[Break, None] = {}
    for one in what:
        meant = [found for found in breaks if _is_about(found, one)]
        if not meant:
            names = sorted({CASH if found.subject is Subject.CASH else found.name for found in breaks})
            raise InvalidInput(
                f"no break is about {one!r}",
                where="--accept",
                mend=f"Breaks are about: {', '.join(names)}"
                if names
                else "There is no break: nothing is to be accepted",
            )
        # Several breaks can be about one order.
        chosen |= dict.fromkeys(meant)
    for found in chosen:
        ledger.accept(
            Acceptance(
                venue=found.venue,
                subject=found.subject,
                name=found.name,
                difference=found.difference,
                who=who,
                reason=reason,
                at=clock.now(),
            )
        )
    return len(chosen)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What ledger and brokers do not agree on. `owned_by`: another process has the book, and its latest cycle found it."""

    report: ReconcileReport
    owned_by: str | None = None


def reconcile(stages: Stages) -> Compared:
    """Compare ledger and brokers now, as a start does; or read what the latest cycle of the book's owner has found.

    Raises `InvalidInput` where nothing of the book is within reach and nobody trades it.
    """
    elsewhere = _elsewhere(stages.parts)
    if elsewhere:
        return Compared(report=recorded_reconcile(stages.parts.ledger), owned_by=elsewhere)
    try:
        return Compared(report=stages.recover().report)
    except NotOwner as error:
        return Compared(report=recorded_reconcile(stages.parts.ledger), owned_by=str(error))
    finally:
        stages.release()


def _until_done(stages: Stages, command: Command, day: date, pause: Pause) -> Outcome:
    left: tuple[str, ...] = ()
    for _ in range(ROUNDS):
        try:
            cleared = stages.clear(day)
        except NotOwner as error:
            # First what is held here: whoever is found then is somebody else.
            stages.release()
            other = _owner(stages.parts.ledger)
            if other is not None:
                return Outcome(command=command, obeyed_by=other)
            left = (str(error),)
        except DatabaseUnavailable:
            raise
        except TemporaryError as error:
            left = (str(error),)
        else:
            if all(one.id != command.id for one in cleared.commands):
                report = cleared.reconciled.report
                return Outcome(command=command, breaks=report.breaks, away=report.away)
            left = cleared.left
            if cleared.out_of_reach:
                break
        finally:
            # Between two looks whoever runs the session's minutes may have the book, and obeys as well.
            stages.release()
        if not pause(left):
            break
    raise PermanentError(
        f"not everything is done: {'; '.join(left)}. The command {command.id} stands, and every cycle of the session "
        f"{day} obeys it: give it again to go on at once, or do at the broker what is left and reconcile"
    )


def _elsewhere(parts: Parts) -> str:
    """Who obeys where all that the book has is at brokers that are not configured here; empty: it is within reach.

    Raises `InvalidInput` if nobody trades the book. To compare it with brokers that it is not at, or to run its minutes
    for them, would only do harm.
    """
    found = at_brokers(parts.ledger)
    if not found or any(parts.routes.has(venue) for venue in found):
        return ""
    venues = ", ".join(found)
    between = _BETWEEN_SIMULATED_MINUTES if isinstance(parts.clock, SimulatedClock) else _BETWEEN_MINUTES
    other = _owner(parts.ledger)
    if other is not None or parts.ledger.idle() < between:
        return f"{other or 'whoever has just had it'}, which trades it at {venues}"
    raise InvalidInput(
        f"it has {'; '.join(found.values())}, and {venues} is not configured here. Nothing is recorded",
        where=f"book {parts.ledger.book}",
        mend="Give the settings that it trades with, or do at the broker what is to be done, and reconcile",
    )


def _owner(ledger: Ledger) -> str | None:
    """Who has the book and lives, so that its cycles obey; None: nobody, or a process that is gone."""
    return next((one.owner for one in ledger.owners() if one.leased and ledger.lives(one.owner)), None)


def _open_session(parts: Parts) -> Session:
    """The session that is on. Raises `InvalidInput`, saying when the next one opens, if none is."""
    now = parts.clock.now()
    session = parts.calendar.session(session_of(parts))
    if session.open <= now < session.close:
        return session
    following = session if now < session.open else parts.calendar.next(session.day)
    raise InvalidInput(
        f"the market is closed, so that nothing can be sold: it is {_exchange_time(now)}",
        where="close all",
        mend=f"It opens at {_exchange_time(following.open)}. Orders can be cancelled at any time: "
        "trading-platform orders cancel --all",
    )


def _exchange_time(moment: datetime) -> str:
    return f"{moment.astimezone(EXCHANGE_ZONE):%Y-%m-%d %H:%M} New York time"


def _is_about(found: Break, what: str) -> bool:
    """Words are small letters and symbols capitals: CASH and ALL are symbols as well."""
    if what == EVERYTHING:
        return True
    if what == CASH:
        return found.subject is Subject.CASH
    return what in (found.name, found.symbol)
