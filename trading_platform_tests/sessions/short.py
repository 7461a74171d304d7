"""A short session: the tape of `TAPE` on a market that is open for 24 minutes, so that a whole day takes a second."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import dagster as dg

from trading_platform.bootstrap import Platform, build
from trading_platform.calendars.exchange import calendar_of
from trading_platform.config.load import load
from trading_platform.config.settings import Settings
from trading_platform.defs.build import build_defs
from trading_platform.defs.resources import DESK, TradingDesk
from trading_platform.domain.clock import SimulatedClock
from trading_platform.engine.cycle import run_cycle
from trading_platform_tests.sessions.books import TAPE_SYMBOLS, with_parts
from trading_platform_tests.sessions.tape import DAY, TAPE, write_tape
from trading_platform_tests.sessions.timed_entry import TIMED_ENTRY

MINUTES: Final = 24


def short_settings(folder: Path, database_url: str, **changes: Any) -> Settings:
    """A book that trades the tape in `folder`."""
    bars = folder / "bars"
    wanted: dict[str, Any] = {
        "data_folder": folder / "data",
        "database_url": database_url,
        "account": {"book": "short"},
        "limits": {"closing_minutes": 1},
        "market_hours": {"calendar": "every_day", "open": "09:30", "close": "09:54"},
        "market_data": {"provider": "lean", "folder": bars, "symbols": TAPE_SYMBOLS, "session": DAY},
    }
    return load({}, wanted | changes)


@dataclass(frozen=True, slots=True)
class Short:
    """The platform of a short session and an instance of Dagster for its jobs."""

    platform: Platform
    instance: dg.DagsterInstance

    def run_minutes(self, upto: int = MINUTES, day: date = DAY) -> None:
        """Run the session's minutes before `upto` without Dagster, which leaves the same rows."""
        session = self.platform.simulated_session(day)
        session.open()
        for minute in range(session.recorded(), upto):
            session.tick(minute)
            run_cycle(self.platform.stages, day, minute)
        self.platform.stages.release()

    def run(self, job: str, *, partition: date | None = None, **config: Any) -> dg.ExecuteInProcessResult:
        """One run of a job, in this process; it may fail."""
        made = build_defs({DESK: TradingDesk(self.platform)}, self.platform.settings)
        return made.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            partition_key=partition.isoformat() if partition is not None else None,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}, **config},
            raise_on_error=False,
        )


@contextmanager
def short_session(folder: Path, database_url: str, tape: str = TAPE, **changes: Any) -> Iterator[Short]:
    """The platform of `short_settings` at the day's beginning, with the strategy that enters on a named minute."""
    write_tape(folder / "bars", tape)
    settings = short_settings(folder, database_url, **changes)
    clock = SimulatedClock(calendar_of(settings.market_hours).session(DAY).premarket_open)
    platform = with_parts(build(settings, clock), strategies=(TIMED_ENTRY,))
    try:
        with dg.DagsterInstance.ephemeral(tempdir=str(folder)) as instance:
            yield Short(platform, instance)
    finally:
        platform.close()


def failures(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    """What each failed step of a run said."""
    found: dict[str, str] = {}
    for event in result.all_events:
        if event.is_step_failure:
            assert event.step_key is not None
            data = event.step_failure_data.user_failure_data
            found[event.step_key] = str(data.description) if data is not None else str(event.step_failure_data.error)
    return found
