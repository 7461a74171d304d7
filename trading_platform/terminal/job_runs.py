"""Runs a session through Dagster's jobs in this process: its opening, each of its minutes, its close."""

import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import Any, Final

import dagster as dg

from trading_platform.bootstrap import Platform
from trading_platform.calendars.sessions import EXCHANGE_ZONE, bar_time, exchange_day
from trading_platform.defs.build import build_defs
from trading_platform.defs.jobs import SESSION_CLOSE, market_session, session_open
from trading_platform.defs.partitions import partition_of
from trading_platform.defs.resources import DESK, TradingDesk
from trading_platform.defs.said import BAR_TAG, BOOK_TAG, BROKER_TAG, SESSION_TAG
from trading_platform.domain.clock import SystemClock
from trading_platform.domain.errors import (
    DatabaseUnavailable,
    Inconsistent,
    InvalidInput,
    PermanentError,
    TradingPlatformError,
)
from trading_platform.domain.reports import CycleReport
from trading_platform.ledger.addresses import fault, spoken

# A run that is executed in process has no origin; by this tag the job's page lists it all the same.
_REPOSITORY_TAG: Final = {".dagster/repository": "__repository__@trading_platform"}
_SIGNALS_KEPT: Final = 4096
_UNFINISHED: Final = [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
# What a run logs is in the instance; the terminal belongs to the progress bar.
_QUIET: Final = {"console": {"config": {"log_level": "CRITICAL"}}}


def require_checkout(checkout: Path) -> None:
    """Raise `InvalidInput` where there is no dagster.yaml."""
    if not (checkout / "dagster.yaml").exists():
        raise InvalidInput("there is no dagster.yaml here", where=str(checkout), mend="Run it in the checkout's folder")


def open_instance(checkout: Path) -> dg.DagsterInstance:
    """The instance that the checkout's dagster.yaml describes: the one that `dagster dev` opens there."""
    return dg.DagsterInstance.from_config(str(checkout))


@contextmanager
def explained(database: str) -> Iterator[None]:
    """Around what Dagster does with its database: if that is dead, its sentence in the place of any fault of Dagster's.

    Raises `DatabaseUnavailable`, or what was raised within while the database answers.
    """
    try:
        yield
    except (TradingPlatformError, dg.Failure):
        raise
    except Exception as error:
        said = fault(database)
        if said is not None:
            raise DatabaseUnavailable(
                f"the database at {spoken(database)} does not answer: {said}. Start it (trading-platform db start) "
                "and run this again: it goes on where it stopped"
            ) from error
        raise


@contextmanager
def interrupts_are_heard() -> Iterator[None]:
    """Raise at the end a Ctrl-C that something in between has swallowed.

    Dagster takes the signal's handler away for moments and forgets what came meanwhile, and an exception that is raised
    in an object's finalizer is lost; the wake-up pipe hears each signal, whoever handles it.
    """
    heeded = callable(signal.getsignal(signal.SIGINT))
    if not heeded or threading.current_thread() is not threading.main_thread():
        yield
        return
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    os.set_blocking(write_end, False)
    before = signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    try:
        yield
        with suppress(BlockingIOError):
            if signal.SIGINT in os.read(read_end, _SIGNALS_KEPT):
                raise KeyboardInterrupt
    finally:
        signal.set_wakeup_fd(before)
        os.close(read_end)
        os.close(write_end)


class JobRuns:
    """A driver for sessions: a run for the opening, one for each minute, and one for the close.

    Args:
        platform: What the ops work on.
        instance: Where runs and events are kept.
        database: The address of Dagster's database, to tell a dead server from a fault in a run.
    """

    def __init__(self, platform: Platform, instance: dg.DagsterInstance, database: str) -> None:
        self._instance = instance
        self._database = database
        self._calendar = platform.calendar
        self._tags = {**_REPOSITORY_TAG, BOOK_TAG: platform.ledger.book, BROKER_TAG: platform.trades_at}
        self._desk = TradingDesk(platform)
        made = build_defs({DESK: self._desk}, platform.settings)
        self._open, self._minute, self._close = (
            made.resolve_job_def(name) for name in (session_open.name, market_session.name, SESSION_CLOSE)
        )

    def __call__(self, day: date, minute: int) -> CycleReport:
        """Run one minute. Raises what the platform raised in it."""
        bar = bar_time(self._calendar.session(day), minute).astimezone(EXCHANGE_ZONE)
        tick = {"session": day.isoformat(), "minute": minute}
        result = self._run(
            self._minute,
            day,
            tags={BAR_TAG: f"{bar:%Y-%m-%d %H:%M}"},
            run_config={"ops": {"fetch_market_data": {"config": tick}}, "loggers": _QUIET},
        )
        report: Any = result.output_for_node("place_orders")
        assert isinstance(report, CycleReport)
        return report

    def open(self, day: date) -> None:
        """Open the session of `day`. Raises what the platform raised in it, and `PermanentError` if it is not ready."""
        config = {"ops": {"list_universe": {"config": {"session": day.isoformat()}}}, "loggers": _QUIET}
        self._run(self._open, day, run_config=config)

    def close(self, day: date) -> tuple[str, ...]:
        """Close the session of `day` and make its assets. Returns what a person should look at.

        Raises what the platform raised in it, and `Inconsistent` if a check of its books failed.
        """
        result = self._run(
            self._close,
            day,
            partition_key=partition_of(day, today=exchange_day(SystemClock().now())),
            run_config={"loggers": _QUIET},
            raise_on_error=False,
        )
        found = [one for one in result.get_asset_check_evaluations() if not one.passed]
        failed = [one for one in found if one.severity is dg.AssetCheckSeverity.ERROR]
        if failed:
            said = "; ".join(f"{one.check_name}: {_plain(one.metadata)}" for one in failed)
            raise Inconsistent(f"the books of the session {day} do not agree: {said}")
        if not result.success:
            events = [str(event.message) for event in result.all_events if event.is_failure]
            raise PermanentError(f"the close of the session {day} failed: {'; '.join(events)}")
        return tuple(f"{one.check_name}: {_plain(one.metadata)}" for one in found)

    def is_closed(self, day: date) -> bool:
        """Whether the session of `day` of this book has been closed by a run. Raises `DatabaseUnavailable`."""
        wanted = dg.RunsFilter(
            job_name=SESSION_CLOSE,
            tags={BOOK_TAG: self._tags[BOOK_TAG], SESSION_TAG: day.isoformat()},
            statuses=[dg.DagsterRunStatus.SUCCESS],
        )
        with explained(self._database):
            return self._instance.get_runs_count(wanted) > 0

    def _run(self, job: dg.JobDefinition, day: date, *, tags: Mapping[str, str] | None = None, **how: Any) -> Any:
        try:
            with explained(self._database), interrupts_are_heard():
                return job.execute_in_process(
                    instance=self._instance, tags={**self._tags, SESSION_TAG: day.isoformat(), **(tags or {})}, **how
                )
        except dg.Failure as failure:
            if isinstance(failure.__cause__, TradingPlatformError):
                raise failure.__cause__ from None
            raise PermanentError(failure.description or "a run failed") from failure
        except dg.DagsterExecutionInterruptedError:
            # Dagster's word for Ctrl-C in a run; whoever drives knows Python's.
            raise KeyboardInterrupt from None

    def finished(self, day: date) -> int:
        """How many minutes of the session of `day` have been run for this book. Raises `DatabaseUnavailable`."""
        wanted = dg.RunsFilter(
            job_name=market_session.name,
            tags={BOOK_TAG: self._tags[BOOK_TAG], SESSION_TAG: day.isoformat()},
            statuses=[dg.DagsterRunStatus.SUCCESS],
        )
        with explained(self._database):
            return self._instance.get_runs_count(wanted)

    def end_abandoned(self) -> None:
        """A process that is killed leaves its run as it was, for ever: mark it failed. Raises `DatabaseUnavailable`."""
        left = dg.RunsFilter(tags={BOOK_TAG: self._tags[BOOK_TAG]}, statuses=_UNFINISHED)
        with explained(self._database):
            for run in self._instance.get_runs(left):
                self._instance.report_run_failed(run, "the process that ran it is gone")


def _plain(metadata: Mapping[str, dg.MetadataValue[Any]]) -> str:
    return ", ".join(f"{name} {value.value}" for name, value in metadata.items())
