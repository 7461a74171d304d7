"""The real session of 2013-10-09, run once by the cycle and once by Dagster's job; every test here may look at both."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from trading_platform.domain.reports import CycleReport
from trading_platform.engine.session_result import session_result
from trading_platform.ledger.embedded import LocalServer
from trading_platform.ledger.ledger import Ledger
from trading_platform.terminal.summary import summary
from trading_platform_tests.sessions.books import REAL_SYMBOLS, Book, run_until
from trading_platform_tests.sessions.tape import DAY

CHECKOUT = Path(__file__).resolve().parents[2]
LAST_MINUTE = 389


@dataclass(frozen=True, slots=True, kw_only=True)
class RanSession:
    """A session that has run to its close: its book, its ledger, and its driver's last word on the profit.

    `last` is the last cycle's report; `materialized` the metadata of the last materializations of the assets `pnl` and `equity` of a minute;
    `figures` are those of `summary.json`.
    """

    book: Book
    ledger: Ledger
    last: CycleReport | None = None
    materialized: dict[str, Any] | None = None
    figures: dict[str, Any] | None = None


def real_book(database_url: str, folder: Path, bars: Path) -> Book:
    return Book(
        name="real",
        database_url=database_url,
        data_folder=folder,
        bars=bars,
        symbols=REAL_SYMBOLS,
        timed_entry=False,
    )


@pytest.fixture(scope="session")
def cycle_session(
    postgres_server: LocalServer, tmp_path_factory: pytest.TempPathFactory, lean_data: Path
) -> Iterator[RanSession]:
    """The session, driven by `run_cycle`."""
    url = postgres_server.create_database("real_by_cycle")
    book = real_book(url, tmp_path_factory.mktemp("cycle"), lean_data)
    with book.open() as platform:
        reports = run_until(platform, LAST_MINUTE)
        platform.simulated_session(DAY).finish()
    ledger = Ledger(url, book=book.name)
    yield RanSession(book=book, ledger=ledger, last=reports[-1])
    ledger.engine.dispose()
    postgres_server.drop_database("real_by_cycle")


@pytest.fixture(scope="session")
def job_session(
    postgres_server: LocalServer, tmp_path_factory: pytest.TempPathFactory, lean_data: Path
) -> Iterator[RanSession]:
    """The session, driven by 390 runs of the job `market_session` on an instance as the checkout's dagster.yaml says.

    Each run is given the session alone and takes the next minute by itself. They run in this process, one by one.
    """
    url = postgres_server.create_database("real_by_job")
    book = real_book(url, tmp_path_factory.mktemp("job"), lean_data)
    home = tmp_path_factory.mktemp("dagster_home")
    shutil.copy(CHECKOUT / "dagster.yaml", home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", url)
        patch.chdir(home)
        materialized, figures = run_job(book, home)
    ledger = Ledger(url, book=book.name)
    yield RanSession(book=book, ledger=ledger, materialized=materialized, figures=figures)
    ledger.engine.dispose()
    postgres_server.drop_database("real_by_job")


def run_job(book: Book, home: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    import dagster as dg

    from trading_platform.defs.build import build_defs
    from trading_platform.defs.resources import TradingDesk

    config = {"ops": {"fetch_market_data": {"config": {"session": DAY.isoformat()}}}}
    with dg.DagsterInstance.from_config(str(home)) as instance, book.open() as platform:
        job = build_defs({"desk": TradingDesk(platform)}, platform.settings).resolve_job_def("market_session")
        tags = {"book": book.name}
        for _ in range(LAST_MINUTE + 1):
            assert job.execute_in_process(instance=instance, run_config=config, tags=tags).success
        runs = instance.get_runs_count(dg.RunsFilter(tags=tags, statuses=[dg.DagsterRunStatus.SUCCESS]))
        told: dict[str, Any] = {}
        for asset in ("pnl", "equity"):
            event = instance.get_latest_materialization_event(dg.AssetKey(["intraday", asset]))
            assert event is not None
            assert event.asset_materialization is not None
            told |= {name: value.value for name, value in event.asset_materialization.metadata.items()}
        platform.simulated_session(DAY).finish()
        figures = summary(platform, DAY, session_result(platform.stages.parts, DAY), runs=runs, seconds=0)
    return told, figures
