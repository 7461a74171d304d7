"""Opening and closing a session by hand: what the jobs session_open and session_close do, without a control room."""

import time
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

from rich.console import Console

from trading_platform.bootstrap import Platform, build
from trading_platform.calendars.sessions import EXCHANGE_ZONE
from trading_platform.config.settings import Settings
from trading_platform.defs.resources import TradingDesk, clock_of
from trading_platform.domain.commands import CommandAction
from trading_platform.domain.errors import NotOwner, PermanentError
from trading_platform.domain.fills import Position
from trading_platform.domain.reports import SessionClose
from trading_platform.engine.cycle import run_cycle
from trading_platform.engine.preflight import preflight, universe
from trading_platform.engine.session import BookSession, PresentSession, SimulatedSession
from trading_platform.terminal.person import given_reason, user
from trading_platform.terminal.screen import break_said, session_progress, show_checks, show_universe


def open_session(settings: Settings, console: Console) -> dict[str, Any]:
    """Look at everything that the session needs, open it, and reconcile. Returns what was found.

    Raises:
        InvalidInput: It is no session, or not the time for it.
        PermanentError: It is not ready; every check that did not pass is shown.
    """
    platform = build(settings, clock_of(settings))
    try:
        session = TradingDesk(platform).due(settings.market_data.session)
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
        console.print(break_said(one), style="red", markup=False)
    return {
        "book": platform.ledger.book,
        "session": session.day.isoformat(),
        "tradable": [one.symbol for one in listed if one.tradable],
        "checks": {one.name: one.detail for one in checks},
        "breaks": [f"{one.symbol}: {one.what}" for one in breaks],
    }


def close_session(settings: Settings, console: Console, *, flatten: str | None) -> dict[str, Any]:
    """Close the session, after selling everything first if `flatten` says why. Returns what is left.

    In the present, selling takes minutes: it ends when nothing is left, and the session is closed after its end.

    Raises `InvalidInput` where there is nothing to close, or the session is not over and nothing is to be sold.
    """
    if flatten is not None:
        given_reason(flatten, "--flatten")
    platform = build(settings, clock_of(settings), strict=False)
    try:
        desk = TradingDesk(platform)
        session = desk.latest(settings.market_data.session or _last_opened(platform))
        if flatten is not None:
            _flatten(platform, session, flatten, console)
        # What is being sold in the present needs some minutes yet; everything else is closed now, or refused.
        closed = None if flatten is not None and not session.is_over() else desk.close(session.day)
        book = platform.ledger.holdings()
    finally:
        platform.close()
    held = [one for one in book.positions.values() if one.quantity]
    _tell(console, session, closed, held)
    return {
        "book": platform.ledger.book,
        "session": session.day.isoformat(),
        "closed": closed is not None,
        "held": {one.symbol: one.quantity for one in held},
        "cash": str(book.cash),
        "breaks": [f"{one.symbol}: {one.what}" for one in closed.reconciled.breaks] if closed is not None else [],
        "unresolved": [one.intent.id for one in closed.unresolved] if closed is not None else [],
    }


def _last_opened(platform: Platform) -> date | None:
    """The book's latest session, whether a minute of it is recorded or not."""
    last = platform.ledger.last_session() if platform.ledger.is_open() else None
    return last.session if last is not None else None


def _flatten(platform: Platform, session: BookSession, reason: str, console: Console) -> None:
    """Record the command first: whatever comes of the rest, every cycle of the book obeys it from then on."""
    if not platform.ledger.is_open():
        # A book that was never traded has nobody who could own it.
        session.open()
    platform.ledger.append_command(
        CommandAction.FLATTEN, at=platform.clock.now(), who=user(), reason=reason, session=session.day
    )
    console.print("Recorded: from its next minute on the session sells all that it holds and enters nothing.")
    try:
        session.open()
        if isinstance(session, SimulatedSession):
            _run_all(platform, session, console)
        elif isinstance(session, PresentSession):
            sell_all(platform, session, console)
    except NotOwner as error:
        console.print(f"Another process trades this book, and obeys from its next minute on: {error}.", markup=False)


def _run_all(platform: Platform, session: SimulatedSession, console: Console) -> None:
    with session_progress(console, session.session.minutes, f"{session.day}") as bar:
        bar.skip(session.recorded())
        for report in session.run(lambda day, minute: run_cycle(platform.stages, day, minute)):
            bar.show(report)


def sell_all(
    platform: Platform, session: PresentSession, console: Console, wait: Callable[[float], None] = time.sleep
) -> None:
    """Run the session's minutes as they come, until what this session trades is sold or the session ends.

    `wait` is given seconds. Raises what the stages raise.
    """
    while (following := session.next_tick()) is not None:
        minute, due = following
        seconds = (due - platform.clock.now()).total_seconds()
        if seconds > 0:
            wait(seconds)
        session.tick(minute)
        report = run_cycle(platform.stages, session.day, minute)
        platform.stages.release()
        left = _watched(platform)
        sold = f"{report.orders_sent} orders sent" if not report.read_back else "decided by another process"
        console.print(f"{due.astimezone(EXCHANGE_ZONE):%H:%M}: {sold}, {left} positions and orders are left")
        if not left:
            return


def _watched(platform: Platform) -> int:
    """Positions that this session's strategies can sell, and orders of the book that may still fill."""
    strategies = {strategy.name for strategy in platform.stages.parts.strategies}
    held = [one for one in platform.ledger.holdings().positions.values() if one.quantity]
    mine = [one for one in held if one.strategy in strategies and one.symbol in platform.symbols]
    return len(mine) + len(platform.ledger.open_orders())


def _tell(console: Console, session: BookSession, closed: SessionClose | None, held: Sequence[Position]) -> None:
    if closed is None:
        console.print(
            f"The session {session.day} enters nothing any more. Close it after its end: trading-platform session close"
        )
        for one in held:
            console.print(f"{one.strategy} still holds {one.quantity} {one.symbol}.", style="yellow")
        return
    console.print(f"The session {session.day} is closed.")
    for one in closed.held:
        console.print(f"[yellow]{one.strategy} still holds {one.quantity} {one.symbol}.[/yellow]")
    for order in closed.unresolved:
        console.print(f"[yellow]The order {order.intent.id} in {order.intent.symbol} is {order.state.value}.[/yellow]")
    for found in closed.reconciled.breaks:
        console.print(break_said(found), style="red", markup=False)
