"""Runs the demo: chooses book and session, drives the job minute by minute, shows the result, serves the UI."""

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from trading_platform.bootstrap import build, databases, session_configuration
from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.config.settings import Settings
from trading_platform.domain.clock import SimulatedClock, SystemClock
from trading_platform.domain.errors import InvalidInput, PermanentError
from trading_platform.engine.cycle import SimulatedSession
from trading_platform.terminal import dagster_ui
from trading_platform.terminal.demo_book import DemoState, choose, demo_folder, exclusive, write_state
from trading_platform.terminal.job_runs import JobRuns, explained, open_instance, require_checkout
from trading_platform.terminal.recorded_bars import without_bars
from trading_platform.terminal.screen import note_silent, session_progress, show_result
from trading_platform.terminal.summary import session_result, summary, write_summary

SESSION: Final = date(2024, 6, 12)
"""The session of the simulated market that is traded unless another is named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """How the demo is run. `port` None: without the UI."""

    reset: bool
    port: int | None


def run_demo(settings: Settings, options: DemoOptions, console: Console) -> dict[str, Any]:
    """Run one session, resuming an unfinished one, and return the figures of `summary.json`.

    Raises:
        InvalidInput: An option cannot be met.
        DatabaseUnavailable: The database went away; run it again to go on.
        TemporaryError: Another demo is running in this data folder.
        PermanentError: The session is done, but the UI ended by itself.
    """
    checkout = Path.cwd()
    require_checkout(checkout)
    if options.port is not None:
        dagster_ui.require_free(options.port)
    day = _session(settings)
    configuration = session_configuration(settings)
    with exclusive(settings.data_folder):
        state = choose(settings, configuration, day, reset=options.reset)
        settings = _for_book(settings, state, day)
        _announce(console, settings, state, day)
        figures = _run(settings, state, day, checkout, console)
        write_state(settings.data_folder, _finished(state))
    if options.port is not None:
        _serve(settings, checkout, options.port, console)
    console.print("The local database keeps running: [bold]trading-platform db stop[/bold] stops it.")
    return figures


def _serve(settings: Settings, checkout: Path, port: int, console: Console) -> None:
    path = demo_folder(settings.data_folder) / "settings.json"
    _write_settings(path, settings)
    console.print(
        f"The Dagster UI is starting on http://127.0.0.1:{port} (Ctrl-C ends it): look at Jobs, market_session, "
        "and at Lineage for the way from bars to pnl."
    )
    named = settings.database_url
    code = dagster_ui.serve(checkout, port, path.resolve(), named.get_secret_value() if named is not None else None)
    if code:
        raise PermanentError(
            f"the Dagster UI ended by itself with code {code}; what it said is above. The session is done. "
            f"`dagster dev -p {port}` in {checkout} starts the UI again"
        )


def _run(settings: Settings, state: DemoState, day: date, checkout: Path, console: Console) -> dict[str, Any]:
    begun = SystemClock().now()
    with console.status("Starting the database, reading the market, compiling (the first time takes half a minute)"):
        platform = build(settings, SimulatedClock(ExchangeCalendar().session(day).open))
    try:
        note_silent(console, without_bars(platform, day))
        # Not before: what cannot be run must not leave an unfinished demo behind.
        write_state(settings.data_folder, state)
        database = databases(settings).dagster
        with explained(database), open_instance(checkout) as instance:
            session = platform.simulated_session(day)
            runs = JobRuns(platform, instance, database, session)
            runs.end_abandoned()
            _drive(session, runs, console)
            result = session_result(platform, day)
            figures = summary(
                platform, day, result, runs=runs.finished(), seconds=(SystemClock().now() - begun).total_seconds()
            )
    finally:
        platform.close()
    write_summary(demo_folder(settings.data_folder) / "summary.json", figures)
    show_result(console, result)
    console.print(f"The figures are in {demo_folder(settings.data_folder) / 'summary.json'}; the book is {state.book}.")
    return figures


def _drive(session: SimulatedSession, runs: JobRuns, console: Console) -> None:
    with session_progress(console, session.session.minutes) as bar:
        first = session.next_minute()
        bar.skip(session.session.minutes if first is None else first)
        for report in session.run(runs):
            bar.show(report)


def _session(settings: Settings) -> date:
    """The named session, which must be one; for the simulated market there is a default."""
    day = settings.market_data.session
    if day is None and settings.market_data.provider != "simulated":
        raise InvalidInput("no session is named", where="session", mend="Give it as SESSION=2013-10-09")
    return ExchangeCalendar().session(day or SESSION).day


def _for_book(settings: Settings, state: DemoState, day: date) -> Settings:
    account = settings.account.model_copy(update={"book": state.book})
    market_data = settings.market_data.model_copy(update={"session": day})
    return settings.model_copy(update={"account": account, "market_data": market_data})


def _finished(state: DemoState) -> DemoState:
    return DemoState(number=state.number, session=state.session, configuration=state.configuration, finished=True)


def _write_settings(path: Path, settings: Settings) -> None:
    """For the UI's own processes. The database's address may hold a password and reaches them by the environment.

    Raises `InvalidInput` if it cannot be written.
    """
    kept = settings.model_dump(mode="json", exclude={"database_url"})
    kept["data_folder"] = str(settings.data_folder.resolve())
    try:
        path.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise InvalidInput(
            f"it cannot be written: {error.strerror}",
            where=str(path),
            mend="Make room, or name another data folder with TRADING_PLATFORM_DATA",
        ) from error


def _announce(console: Console, settings: Settings, state: DemoState, day: date) -> None:
    strategies = ", ".join(one.name + (f" ({one.profile})" if one.profile else "") for one in settings.active_strategies)
    market = settings.market_data
    source = "the simulated market" if market.provider == "simulated" else f"recorded bars in {market.folder}"
    console.print(f"[bold]{strategies}[/bold] on {source}, session {day:%Y-%m-%d}, book {state.book}")
