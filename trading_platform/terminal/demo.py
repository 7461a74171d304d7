"""Runs the demo: chooses book and sessions, drives the jobs minute by minute, shows the result, serves the UI."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from trading_platform.bootstrap import build, databases, session_configuration
from trading_platform.calendars.exchange import calendar_of
from trading_platform.calendars.sessions import exchange_day
from trading_platform.config.knobs import knobs, value_of
from trading_platform.config.settings import Settings
from trading_platform.defs.partitions import partition_of
from trading_platform.domain.clock import SystemClock
from trading_platform.domain.errors import InvalidInput, PermanentError
from trading_platform.engine.session import SimulatedSession
from trading_platform.engine.session_result import session_result
from trading_platform.terminal import dagster_ui
from trading_platform.terminal.demo_book import (
    DemoState,
    choose,
    demo_folder,
    exclusive,
    left_without_its_broker,
    write_state,
)
from trading_platform.terminal.demo_venue import (
    ALPACA_LOCAL,
    PAPER,
    FollowedClock,
    LocalAlpaca,
    MarketFeed,
    local_alpaca,
    on_local,
    on_paper,
)
from trading_platform.terminal.job_runs import JobRuns, explained, open_instance, require_checkout
from trading_platform.terminal.recorded_bars import without_bars
from trading_platform.terminal.screen import note_silent, session_progress, show_result, show_sessions
from trading_platform.terminal.summary import summary, together, write_summary

SESSION: Final = date(2024, 6, 12)
"""The session of the simulated market that is traded unless another is named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """How the demo is run.

    `port` None: without the UI. `sessions`: how many follow each other, from the first on. `broker`: one of
    `demo_venue.BROKERS`; None: as the settings say, which a real broker refuses.
    """

    reset: bool
    port: int | None
    sessions: int = 1
    broker: str | None = None


def run_demo(settings: Settings, options: DemoOptions, console: Console) -> dict[str, Any]:
    """Run the sessions, resuming an unfinished one, and return the figures of `summary.json`.

    Raises:
        InvalidInput: An option cannot be met.
        DatabaseUnavailable: The database went away; run it again to go on.
        TemporaryError: Another demo is running in this data folder.
        Inconsistent: The checks of a session's books failed at its close.
        PermanentError: The session is done, but the UI ended by itself.
    """
    checkout = Path.cwd()
    require_checkout(checkout)
    if options.port is not None:
        dagster_ui.require_free(options.port)
    if options.broker == PAPER:
        settings = on_paper(settings)
    days = _sessions(settings, options.sessions)
    configuration = session_configuration(settings)
    if options.broker == ALPACA_LOCAL:
        configuration["broker"] = ALPACA_LOCAL
    with ExitStack() as stack:
        with exclusive(settings.data_folder):
            left = left_without_its_broker(settings.data_folder)
            if left is not None:
                _say_left(console, left)
            state = choose(settings, configuration, days[0], reset=options.reset, sessions=len(days))
            # It stays as long as the UI, whose runs ask it too.
            venue = stack.enter_context(_venue(settings, options, days[0]))
            if venue is not None:
                settings = on_local(settings, venue)
            settings = _for_book(settings, state, days[0])
            _announce(console, settings, state, days)
            figures = _run(settings, state, days, checkout, console, venue)
            write_state(settings.data_folder, replace(state, finished=True))
        if options.port is not None:
            _serve(settings, checkout, options.port, console)
    console.print("The local database keeps running: [bold]trading-platform db stop[/bold] stops it.")
    return figures


@contextmanager
def _venue(settings: Settings, options: DemoOptions, day: date) -> Iterator[LocalAlpaca | None]:
    """The local Alpaca, where one is asked for."""
    if options.broker != ALPACA_LOCAL:
        yield None
        return
    opens = calendar_of(settings.market_hours).session(day).open
    log = demo_folder(settings.data_folder) / "alpaca.log"
    with local_alpaca(log, cash=settings.account.size, now=opens) as venue:
        yield venue


def _say_left(console: Console, left: DemoState) -> None:
    console.print(
        f"The demo of {left.session} (book {left.book}) was broken off, and its local Alpaca, which kept its orders in "
        "memory, ended with it: it cannot go on, and a fresh one begins.",
        style="yellow",
        markup=False,
        highlight=False,
    )


def _serve(settings: Settings, checkout: Path, port: int, console: Console) -> None:
    path = demo_folder(settings.data_folder) / "settings.json"
    _write_settings(path, settings)
    console.print(
        f"The Dagster UI is starting on http://127.0.0.1:{port} (Ctrl-C ends it): look at Jobs, market_session, "
        "and at Lineage for the way from bars to pnl."
    )
    code = dagster_ui.serve(checkout, port, path.resolve(), _secrets(settings))
    if code:
        raise PermanentError(
            f"the Dagster UI ended by itself with code {code}; what it said is above. The session is done. "
            f"`dagster dev -p {port}` in {checkout} starts the UI again"
        )


def _secrets(settings: Settings) -> Mapping[str, str]:
    """Every secret that is given, by the variable that it is given by."""
    given = {knob: value_of(settings, knob.path) for knob in knobs().values() if knob.secret}
    return {knob.short_variable or knob.variable: value.reveal() for knob, value in given.items() if value is not None}


def _run(
    settings: Settings,
    state: DemoState,
    days: Sequence[date],
    checkout: Path,
    console: Console,
    venue: LocalAlpaca | None,
) -> dict[str, Any]:
    begun = SystemClock().now()
    with console.status("Starting the database, reading the market, compiling (the first time takes half a minute)"):
        calendar = calendar_of(settings.market_hours)
        clock = FollowedClock(calendar.session(days[0]).open)
        platform = build(settings, clock)
    if venue is not None:
        clock.lead(MarketFeed(venue, platform))
    figures: list[dict[str, Any]] = []
    try:
        for day in days:
            note_silent(console, without_bars(platform, day))
        # Not before: what cannot be run must not leave an unfinished demo behind.
        write_state(settings.data_folder, state)
        database = databases(settings).dagster
        with explained(database), open_instance(checkout) as instance:
            runs = JobRuns(platform, instance, database)
            runs.end_abandoned()
            for day in days:
                _drive(platform.simulated_session(day), runs, console)
                result = session_result(platform.stages.parts, day)
                seconds = (SystemClock().now() - begun).total_seconds()
                figures.append(summary(platform, day, result, runs=runs.finished(day), seconds=seconds))
                show_result(console, result)
    finally:
        platform.close()
    told = figures[0] if len(figures) == 1 else together(figures)
    write_summary(demo_folder(settings.data_folder) / "summary.json", told)
    if len(figures) > 1:
        show_sessions(console, figures)
    console.print(f"The figures are in {demo_folder(settings.data_folder) / 'summary.json'}; the book is {state.book}.")
    return told


def _drive(session: SimulatedSession, runs: JobRuns, console: Console) -> None:
    """Open, run what is left, close: each by the job of its name. What is closed is not touched again."""
    if runs.is_closed(session.day):
        return
    done = session.recorded()
    with session_progress(console, session.session.minutes, f"{session.day}") as bar:
        bar.skip(done)
        if done < session.session.minutes:
            runs.open(session.day)
        for report in session.run(runs):
            bar.show(report)
        looked_at = runs.close(session.day)
    for said in looked_at:
        console.print(f"To look at: {said}.", style="yellow", markup=False)


def _sessions(settings: Settings, count: int) -> tuple[date, ...]:
    """The named session, which must be one, and those after it; for the simulated market there is a default."""
    day = settings.market_data.session
    if day is None and settings.market_data.provider != "simulated":
        raise InvalidInput("no session is named", where="session", mend="Give it as SESSION=2013-10-09")
    calendar = calendar_of(settings.market_hours)
    first = calendar.session(day or SESSION).day
    days = (first, *(calendar.next(first, number).day for number in range(1, count)))
    today = exchange_day(SystemClock().now())
    for one in days:
        partition_of(one, today=today)
    return days


def _for_book(settings: Settings, state: DemoState, day: date) -> Settings:
    account = settings.account.model_copy(update={"book": state.book})
    market_data = settings.market_data.model_copy(update={"session": day})
    return settings.model_copy(update={"account": account, "market_data": market_data})


def _write_settings(path: Path, settings: Settings) -> None:
    """For the UI's own processes. Secrets reach them by the environment.

    Raises `InvalidInput` if it cannot be written.
    """
    kept = settings.model_dump(mode="json", exclude={"database_url": True, "alpaca": {"key", "secret"}})
    # The demo's sessions are simulated, whatever clock the user's own run on: no schedule may go on with its book.
    kept["clock"] = "simulated"
    kept["data_folder"] = str(settings.data_folder.resolve())
    try:
        path.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise InvalidInput(
            f"it cannot be written: {error.strerror}",
            where=str(path),
            mend="Make room, or name another data folder with TRADING_PLATFORM_DATA",
        ) from error


def _announce(console: Console, settings: Settings, state: DemoState, days: Sequence[date]) -> None:
    strategies = ", ".join(
        one.name + (f" ({one.profile})" if one.profile else "") for one in settings.active_strategies
    )
    market = settings.market_data
    sessions = f"session {days[0]}" if len(days) == 1 else f"{len(days)} sessions from {days[0]} to {days[-1]}"
    source = "the simulated market" if market.provider == "simulated" else f"recorded bars in {market.folder}"
    at = ", at a local Alpaca" if settings.brokers.primary == "alpaca" and settings.alpaca.is_stand_in else ""
    console.print(f"[bold]{strategies}[/bold] on {source}{at}, {sessions}, book {state.book}")
