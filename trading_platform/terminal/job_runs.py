"""Runs each minute as a run of Dagster's job `market_session`, in this process."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, Final

import dagster as dg

from trading_platform.bootstrap import Platform
from trading_platform.calendars.sessions import EXCHANGE_ZONE, bar_time
from trading_platform.defs.build import build_defs
from trading_platform.defs.jobs import market_session
from trading_platform.defs.ops import DESK
from trading_platform.defs.resources import TradingDesk
from trading_platform.domain.errors import DatabaseUnavailable, InvalidInput, TradingPlatformError
from trading_platform.domain.reports import CycleReport
from trading_platform.engine.cycle import SimulatedSession
from trading_platform.ledger.addresses import fault, spoken

_BOOK_TAG: Final = "trading_platform/book"
# The bar that a run decides, in exchange time: without it the runs of a session look all alike in a list.
_BAR_TAG: Final = "trading_platform/bar"
# A run that is executed in process has no origin; by this tag the job's page lists it all the same.
_REPOSITORY_TAG: Final = {".dagster/repository": "__repository__@trading_platform"}
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


class JobRuns:
    """A driver for a session: one run a minute.

    Args:
        platform: What the ops work on.
        instance: Where runs and events are kept.
        database: The address of Dagster's database, to tell a dead server from a fault in a run.
        session: The session whose minutes are run, if whoever drives has it open; else each day's is opened.
    """

    def __init__(
        self,
        platform: Platform,
        instance: dg.DagsterInstance,
        database: str,
        session: SimulatedSession | None = None,
    ) -> None:
        self._instance = instance
        self._database = database
        self._calendar = platform.calendar
        self._tags = {**_REPOSITORY_TAG, _BOOK_TAG: platform.ledger.book}
        self._job = build_defs({DESK: TradingDesk(platform, session)}).resolve_job_def(market_session.name)

    def __call__(self, day: date, minute: int) -> CycleReport:
        """Run one minute. Raises what the platform raised in it."""
        tick = {"session": day.isoformat(), "minute": minute}
        bar = bar_time(self._calendar.session(day), minute).astimezone(EXCHANGE_ZONE)
        tags = {**self._tags, _BAR_TAG: f"{bar:%Y-%m-%d %H:%M}"}
        config = {"ops": {"fetch_market_data": {"config": tick}}, "loggers": _QUIET}
        try:
            with explained(self._database):
                result = self._job.execute_in_process(run_config=config, instance=self._instance, tags=tags)
        except dg.Failure as failure:
            if isinstance(failure.__cause__, TradingPlatformError):
                raise failure.__cause__ from None
            raise
        except dg.DagsterExecutionInterruptedError:
            # Dagster's word for Ctrl-C in a run; whoever drives knows Python's.
            raise KeyboardInterrupt from None
        report: Any = result.output_for_node("place_orders")
        assert isinstance(report, CycleReport)
        return report

    def finished(self) -> int:
        """How many runs of this book have succeeded. Raises `DatabaseUnavailable`."""
        wanted = dg.RunsFilter(tags={_BOOK_TAG: self._tags[_BOOK_TAG]}, statuses=[dg.DagsterRunStatus.SUCCESS])
        with explained(self._database):
            return self._instance.get_runs_count(wanted)

    def end_abandoned(self) -> None:
        """A process that is killed leaves its run as it was, for ever: mark it failed. Raises `DatabaseUnavailable`."""
        left = dg.RunsFilter(tags={_BOOK_TAG: self._tags[_BOOK_TAG]}, statuses=_UNFINISHED)
        with explained(self._database):
            for run in self._instance.get_runs(left):
                self._instance.report_run_failed(run, "the process that ran it is gone")
