"""Dagster's job `market_session` at its edge: which minute it takes, what it says of it, and how it fails.

The bars are a made-up session in which the simulated market is traded from bar 38 on.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from trading_platform.bootstrap import Platform, build
from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.config.load import load
from trading_platform.defs.build import build_defs
from trading_platform.defs.jobs import market_session
from trading_platform.defs.resources import DESK, TradingDesk
from trading_platform.defs.said import BOOK_TAG
from trading_platform.domain.clock import SimulatedClock
from trading_platform.domain.errors import NotOwner
from trading_platform.engine.cycle import run_cycle
from trading_platform.terminal.job_runs import JobRuns
from trading_platform_tests.sessions.console import HALF_DAY, HALF_DAY_MINUTES, SOURCES

LINEAGE = ("bars", "signals", "decisions", "orders", "fills", "positions", "pnl", "equity")
NUMBERS = {
    "bars": {"bars", "symbols", "problems"},
    "signals": {"entries", "exit_reasons", "faults"},
    "decisions": {"decisions", "refused", "resized", "mode"},
    "orders": {"sent", "intents"},
    "fills": {"booked", "looked_up", "breaks"},
    "positions": {"positions", "cash"},
    "pnl": {"realised", "unrealised", "fees", "net"},
    "equity": {"equity"},
}
NOT_ITS_TURN = (
    "of the session 2024-07-03 is not its turn: 6 minutes are recorded."
    " A session runs forward, minute by minute; leave the minute out to go on with the next."
)
# Importing them costs each run of the job, which is a new process, up to half a second.
HEAVY = (
    "alpaca",
    "exchange_calendars",
    "ib_insync",
    "kubernetes",
    "matplotlib",
    "numba",
    "pandas",
    "plotext",
    "redis",
    "rich",
    "trading_platform.bootstrap",
)


@dataclass(frozen=True, slots=True)
class Job:
    """The job on a platform and an instance of the test's own."""

    platform: Platform
    instance: dg.DagsterInstance

    def run(self, *, fails: bool = False, **tick: Any) -> dg.ExecuteInProcessResult:
        """One run, as one that is launched with `tick` as configuration, or with none."""
        job = build_defs({DESK: TradingDesk(self.platform)}, self.platform.settings).resolve_job_def(
            market_session.name
        )
        config = {"ops": {"fetch_market_data": {"config": tick}}} if tick else {}
        return job.execute_in_process(run_config=config, instance=self.instance, raise_on_error=not fails)

    def reach(self, minute: int) -> None:
        """Run the session up to `minute` without Dagster, which leaves the same rows."""
        session = self.platform.simulated_session(HALF_DAY)
        session.open()
        for earlier in range(minute):
            session.tick(earlier)
            run_cycle(self.platform.stages, HALF_DAY, earlier)
        self.platform.stages.release()

    def minutes(self) -> list[int]:
        """The recorded minutes of the session."""
        opens = self.platform.calendar.session(HALF_DAY).open
        cycles = self.platform.ledger.cycles(HALF_DAY)
        return [int((cycle.bar_time - opens).total_seconds()) // 60 for cycle in cycles]

    def said(self, result: dg.ExecuteInProcessResult, asset: str) -> Mapping[str, Any]:
        """The metadata of the run's materialization of `asset`, of which there is one."""
        events = self.instance.all_logs(result.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
        found = [event.asset_materialization for event in events]
        (mine,) = [one for one in found if one is not None and one.asset_key == dg.AssetKey(["intraday", asset])]
        return {name: value.value for name, value in mine.metadata.items()}


@pytest.fixture
def job(tmp_path: Path, fresh_database: Callable[[], str]) -> Iterator[Job]:
    settings = load(
        {}, {"data_folder": tmp_path, "database_url": fresh_database(), "market_data": {"session": HALF_DAY}}
    )
    platform = build(settings, SimulatedClock(ExchangeCalendar().session(HALF_DAY).open))
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        yield Job(platform, instance)
    platform.close()


def failure(result: dg.ExecuteInProcessResult) -> tuple[str, str]:
    """The op that failed and what it said."""
    (event,) = [event for event in result.all_events if event.is_step_failure]
    assert event.step_key is not None
    data = event.step_failure_data
    assert data.user_failure_data is not None, "it failed with something else than dg.Failure"
    return event.step_key, str(data.user_failure_data.description)


def test_without_configuration_it_goes_on_with_the_next_minute(job: Job) -> None:
    for _ in range(3):
        assert job.run().success
    assert job.minutes() == [0, 1, 2]
    # A new process knows nothing of the minutes before: it asks the ledger.
    assert job.run(session=HALF_DAY.isoformat()).success
    assert job.minutes() == [0, 1, 2, 3]


def test_a_minute_that_is_named_is_run(job: Job) -> None:
    job.reach(7)
    assert job.run(session=HALF_DAY.isoformat(), minute=7).success
    assert job.run(minute=8).success
    assert job.run().success
    assert job.minutes() == list(range(10))


def test_after_the_last_minute_comes_the_next_session(job: Job) -> None:
    job.reach(HALF_DAY_MINUTES - 1)
    job.run(minute=HALF_DAY_MINUTES - 1)
    refused = job.run(fails=True, session=HALF_DAY.isoformat())
    op, said = failure(refused)
    assert op == "fetch_market_data"
    assert said.startswith(f"every minute of the session {HALF_DAY} is recorded")
    job.run()
    last = job.platform.ledger.last_cycle()
    assert last is not None
    assert last.session == job.platform.calendar.next(HALF_DAY).day
    # A book goes forward in time.
    assert "has traded the session 2024-07-05" in failure(job.run(fails=True, session=HALF_DAY.isoformat()))[1]


@pytest.mark.parametrize(
    ("tick", "said"),
    [
        ({"session": "yesterday"}, "session: 'yesterday' is no date. Write it as 2013-10-09."),
        (
            {"session": "2024-07-04"},
            "2024-07-04 (Thursday) is not a session of XNYS. The nearest sessions are 2024-07-03 and 2024-07-05.",
        ),
        ({"minute": 210}, f"minute: minute 210 {NOT_ITS_TURN}"),
        ({"minute": 3}, f"minute: minute 3 {NOT_ITS_TURN}"),
        ({"minute": 9}, f"minute: minute 9 {NOT_ITS_TURN}"),
    ],
)
def test_what_cannot_be_run_fails_with_one_sentence_and_is_not_tried_again(
    job: Job, tick: dict[str, Any], said: str
) -> None:
    job.reach(6)
    result = job.run(fails=True, **tick)
    assert not result.success
    assert failure(result) == ("fetch_market_data", said)
    kinds = [event.event_type for event in result.all_events]
    assert dg.DagsterEventType.STEP_UP_FOR_RETRY not in kinds
    assert kinds.count(dg.DagsterEventType.STEP_START) == 1
    assert job.minutes() == list(range(6))
    # The next run is none the worse for it.
    assert job.run().success


def test_every_asset_is_materialized_with_numbers(job: Job) -> None:
    result = job.run()
    for asset in LINEAGE:
        said = dict(job.said(result, asset))
        assert said.pop("bar") == "2024-07-03T13:30:00+00:00"
        assert set(said) == NUMBERS[asset]
        assert all(type(value) in (int, float) for value in said.values()), said


def test_the_numbers_tell_a_trade_from_signal_to_profit(job: Job) -> None:
    job.reach(34)
    told = {minute: job.run(minute=minute) for minute in range(34, 41)}
    (entered,) = [minute for minute, result in told.items() if job.said(result, "signals")["entries"]]
    decided = told[entered]
    assert job.said(decided, "decisions")["decisions"] >= 1
    assert job.said(decided, "orders")["sent"] >= 1
    assert job.said(decided, "fills")["booked"] == 0
    # It fills at the open of the next bar, whose own cycle books it.
    seen = told[entered + 1]
    assert job.said(seen, "fills")["booked"] == 1
    assert job.said(seen, "positions")["positions"] == 1
    assert job.said(seen, "pnl")["fees"] > 0
    last = job.said(told[40], "pnl")
    assert last["net"] == pytest.approx(last["realised"] + last["unrealised"] - last["fees"])
    assert float(sum(fill.fee for fill in job.platform.ledger.fills())) == last["fees"]


def test_the_book_is_free_between_runs(job: Job) -> None:
    job.run()
    lease = job.platform.ledger.take("somebody/else")
    lease.release()
    assert job.run().success
    # The control: while somebody else holds it, a run fails, and says who.
    lease = job.platform.ledger.take("somebody/else")
    refused = job.run(fails=True)
    assert not refused.success
    assert "somebody/else" in failure(refused)[1]
    lease.release()
    assert job.minutes() == [0, 1]


def test_a_start_ends_the_runs_that_a_killed_process_left(job: Job) -> None:
    runs = JobRuns(job.platform, job.instance, "unused")
    left = [
        job.instance.create_run_for_job(market_session, tags={BOOK_TAG: book}, status=status).run_id
        for book, status in (
            ("paper", dg.DagsterRunStatus.STARTED),
            ("paper", dg.DagsterRunStatus.NOT_STARTED),
            ("paper", dg.DagsterRunStatus.SUCCESS),
            ("another", dg.DagsterRunStatus.STARTED),
        )
    ]

    def states() -> list[str]:
        found = [job.instance.get_run_by_id(run_id) for run_id in left]
        return [one.status.value for one in found if one is not None]

    assert states() == ["STARTED", "NOT_STARTED", "SUCCESS", "STARTED"]
    runs.end_abandoned()
    assert states() == ["FAILURE", "FAILURE", "SUCCESS", "STARTED"]


def test_a_driven_run_is_found_by_its_book_and_its_bar(job: Job) -> None:
    job.reach(35)
    runs = JobRuns(job.platform, job.instance, "unused")
    assert runs(HALF_DAY, 35).positions == 0
    assert runs.finished(HALF_DAY) == 1
    (run,) = job.instance.get_runs(dg.RunsFilter(tags={"trading_platform/bar": "2024-07-03 10:05"}))
    assert run.tags[BOOK_TAG] == "paper"
    # Without its repository the job's page would not list it.
    assert run.tags[".dagster/repository"] == "__repository__@trading_platform"


def test_a_driver_is_told_what_the_platform_raised(job: Job) -> None:
    runs = JobRuns(job.platform, job.instance, "unused")
    runs(HALF_DAY, 0)
    lease = job.platform.ledger.take("somebody/else")
    with pytest.raises(NotOwner, match="somebody/else"):
        runs(HALF_DAY, 1)
    lease.release()
    assert not runs(HALF_DAY, 1).read_back


def python(code: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=SOURCES, capture_output=True, text=True, check=False
    )


def test_the_definitions_load_without_what_only_a_run_needs() -> None:
    code = (
        f"import sys, json, trading_platform.definitions; print(json.dumps([n for n in {HEAVY} if n in sys.modules]))"
    )
    done = python(code)
    assert done.returncode == 0, done.stderr
    # Dagster itself brings some of them; what it brings is no fault of the definitions.
    by_dagster = python(f"import sys, json, dagster; print(json.dumps([n for n in {HEAVY} if n in sys.modules]))")
    assert set(json.loads(done.stdout)) <= set(json.loads(by_dagster.stdout))
    assert not {"numba", "alpaca", "ib_insync", "exchange_calendars", "pandas"} & set(json.loads(done.stdout))
    # The control: what a run imports is seen.
    loaded = python(f"import sys, json, trading_platform.bootstrap; print([n for n in {HEAVY} if n in sys.modules])")
    assert "numba" in loaded.stdout


def test_each_asset_comes_from_the_one_before_it() -> None:
    graph = build_defs().resolve_asset_graph()
    parents = {
        key.to_user_string(): {parent.to_user_string() for parent in graph.get(key).parent_keys}
        for key in graph.get_all_asset_keys()
    }
    minute = [f"intraday/{name}" for name in LINEAGE]
    session = ["reconciliation", *LINEAGE[:-1], "performance"]
    research = {"research/backtest", "research/backtest_by_month", "research/sweep"}
    assert set(parents) == {*minute, *session, *research}
    assert parents["intraday/bars"] == set()
    for chain in (minute, session):
        for asset, source in zip(chain[1:], chain, strict=False):
            assert source in parents[asset]
    # Profit is valued at the bars, so it leads to them twice.
    assert parents["intraday/pnl"] == {"intraday/positions", "intraday/bars"}
    assert parents["pnl"] == {"positions", "bars"}


def test_the_job_has_the_four_ops_in_their_order() -> None:
    assert [node.name for node in market_session.nodes_in_topological_order] == [
        "fetch_market_data",
        "evaluate_strategies",
        "validate_risk",
        "place_orders",
    ]


def test_dagster_finds_the_definitions_of_the_workspace_valid() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "dagster", "definitions", "validate", "-w", "workspace.yaml"],
        cwd=SOURCES,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "trading_platform" in done.stdout + done.stderr
