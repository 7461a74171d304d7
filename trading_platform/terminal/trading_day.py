"""Opening and closing a session by hand: what the jobs session_open and session_close do, without a control room."""

import getpass
from typing import Any

from rich.console import Console

from trading_platform.bootstrap import Platform, build
from trading_platform.config.settings import Settings
from trading_platform.defs.resources import TradingDesk, clock_of
from trading_platform.domain.commands import CommandAction
from trading_platform.domain.errors import PermanentError
from trading_platform.domain.reports import SessionClose
from trading_platform.engine.cycle import run_cycle
from trading_platform.engine.preflight import preflight, universe
from trading_platform.engine.session import BookSession, PresentSession, SimulatedSession
from trading_platform.terminal.screen import session_progress, show_checks, show_universe


def open_session(settings: Settings, console: Console) -> dict[str, Any]:
    """Look at everything that the session needs, open it, and reconcile. Returns what was found.

    Raises:
        InvalidInput: It is no session, or not the time for it.
        PermanentError: It is not ready; every check that did not pass is shown.
    """
    platform = build(settings, clock_of(settings))
    try:
        session = TradingDesk(platform).named(settings.market_data.session)
        listed = universe(platform.stages.parts, session.session)
        checks = preflight(platform.stages.parts, session.session, listed)
        show_universe(console, listed)
        show_checks(console, checks)
        failed = [one.name for one in checks if not one.passed]
        if failed:
            raise PermanentError(f"the session {session.day} is not ready: {', '.join(failed)}")
        found = session.open()
    finally:
        platform.close()
    breaks = found.report.breaks if found is not None else ()
    console.print(f"The session {session.day} of book {platform.ledger.book} is open.")
    for one in breaks:
        console.print(f"[red]{one.symbol}: {one.what}; no entries in it[/red]")
    return {
        "book": platform.ledger.book,
        "session": session.day.isoformat(),
        "tradable": [one.symbol for one in listed if one.tradable],
        "checks": {one.name: one.detail for one in checks},
        "breaks": [f"{one.symbol}: {one.what}" for one in breaks],
    }


def close_session(settings: Settings, console: Console, *, flatten: str | None) -> dict[str, Any]:
    """Close the session, after selling everything first if `flatten` says why. Returns what is left.

    In the present, selling takes minutes: the orders go out at once, and the session is closed after its end.

    Raises `InvalidInput` where there is nothing to close, or the session is not over and nothing is to be sold.
    """
    platform = build(settings, clock_of(settings), strict=False)
    try:
        desk = TradingDesk(platform)
        session = desk.named(settings.market_data.session)
        if flatten is not None:
            _flatten(platform, session, flatten, console)
        # What is being sold in the present needs some minutes yet; everything else is closed now, or refused.
        closed = None if flatten is not None and not session.is_over() else desk.close(session.day)
        book = platform.ledger.holdings()
    finally:
        platform.close()
    held = [one for one in book.positions.values() if one.quantity]
    _tell(console, session, closed)
    return {
        "book": platform.ledger.book,
        "session": session.day.isoformat(),
        "closed": closed is not None,
        "held": {one.symbol: one.quantity for one in held},
        "cash": str(book.cash),
        "breaks": [f"{one.symbol}: {one.what}" for one in closed.reconciled.breaks] if closed is not None else [],
        "unresolved": [one.intent.id for one in closed.unresolved] if closed is not None else [],
    }


def _flatten(platform: Platform, session: BookSession, reason: str, console: Console) -> None:
    """Record the command, and let the cycles obey it: the present one, or all that are left on a simulated clock."""
    session.open()
    platform.ledger.append_command(
        CommandAction.FLATTEN, at=platform.clock.now(), who=getpass.getuser(), reason=reason, session=session.day
    )
    if isinstance(session, SimulatedSession):
        with session_progress(console, session.session.minutes, f"{session.day}") as bar:
            bar.skip(session.recorded())
            for report in session.run(lambda day, minute: run_cycle(platform.stages, day, minute)):
                bar.show(report)
    elif isinstance(session, PresentSession) and session.next_minute() is not None:
        minute = session.due_minute()
        session.tick(minute)
        run_cycle(platform.stages, session.day, minute)


def _tell(console: Console, session: BookSession, closed: SessionClose | None) -> None:
    if closed is None:
        console.print(
            f"Everything that the session {session.day} holds is being sold, and it enters nothing any more. Close it "
            "after its end: trading-platform session close"
        )
        return
    console.print(f"The session {session.day} is closed.")
    for one in closed.held:
        console.print(f"[yellow]{one.strategy} still holds {one.quantity} {one.symbol}.[/yellow]")
    for order in closed.unresolved:
        console.print(f"[yellow]The order {order.intent.id} in {order.intent.symbol} is {order.state.value}.[/yellow]")
    for found in closed.reconciled.breaks:
        console.print(f"[red]{found.symbol}: {found.what}[/red]")
