"""Runs a session without a control room: the cycle alone, on a simulated clock."""

from typing import Any

from rich.console import Console

from trading_platform.bootstrap import Platform, build, session_configuration
from trading_platform.calendars.exchange import calendar_of
from trading_platform.config.settings import Settings
from trading_platform.domain.clock import SimulatedClock, SystemClock
from trading_platform.domain.errors import InvalidInput
from trading_platform.engine.cycle import run_cycle
from trading_platform.engine.preflight import universe
from trading_platform.engine.session import SimulatedSession
from trading_platform.engine.session_result import session_result
from trading_platform.terminal.recorded_bars import without_bars
from trading_platform.terminal.screen import note_silent, session_progress, show_result, show_universe
from trading_platform.terminal.summary import summary


def run_session(settings: Settings, console: Console) -> dict[str, Any]:
    """Run what is left of the configured session, show its result, and return its figures.

    Of a session that is over there is nothing left, and it is only shown; also after later ones of the same book.

    Raises:
        InvalidInput: No session is named, it is none or has no bars, or it runs with another configuration.
        DatabaseUnavailable: The database went away; run it again to go on.
    """
    named = settings.market_data.session
    if named is None:
        raise InvalidInput("no session is named", where="session", mend="Give it as --session 2013-10-09")
    begun = SystemClock().now()
    session = calendar_of(settings.market_hours).session(named)
    platform = build(settings, SimulatedClock(session.open))
    try:
        note_silent(console, without_bars(platform, session.day))
        listed = universe(platform.stages.parts, session)
        if any(one.lacks for one in listed):
            # What enters nothing all day would end with no word of why.
            show_universe(console, listed)
        simulated = platform.simulated_session(session.day)
        if not _is_past(platform, simulated):
            _run(platform, simulated, console)
        result = session_result(platform.stages.parts, session.day)
        figures = summary(platform, session.day, result, runs=0, seconds=(SystemClock().now() - begun).total_seconds())
    finally:
        platform.close()
    show_result(console, result)
    return figures


def _is_past(platform: Platform, simulated: SimulatedSession) -> bool:
    """Whether every minute is recorded and the book has gone on to a later session.

    Raises `InvalidInput` if the session ran with another configuration than is given now.
    """
    ledger, day = platform.ledger, simulated.day
    newest = ledger.last_cycle()
    if newest is None or newest.session <= day or simulated.next_minute() is not None:
        return False
    ledger.open_session(day, session_configuration(platform.settings), platform.clock.now())
    return True


def _run(platform: Platform, simulated: SimulatedSession, console: Console) -> None:
    minutes = simulated.session.minutes
    with session_progress(console, minutes) as bar:
        first = simulated.next_minute()
        bar.skip(minutes if first is None else first)
        for report in simulated.run(lambda day, minute: run_cycle(platform.stages, day, minute)):
            bar.show(report)
