"""The research jobs: a backtest and its report as an asset, and a sweep that is shared out among processes."""

import csv
import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, Final

import dagster as dg
import pytest

from trading_platform.backtest.run import terms_of
from trading_platform.backtest.sweep import combinations, sweep
from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.defs.build import build_defs
from trading_platform.defs.processes_or_pods import processes_or_pods
from trading_platform.defs.research import BACKTEST, MONTH, SWEEP, backtest_sweep, shared_out
from trading_platform.defs.research_forms import BacktestForm, SweepForm, bars_of, grid_of, settings_of, strategy_of
from trading_platform.domain.errors import InvalidInput
from trading_platform.marketdata.column_import import import_columns
from trading_platform.marketdata.providers.simulated import SimulatedMarket
from trading_platform_tests.sessions.short import failures

SYMBOLS: Final = ["SIMA", "SIMB", "SIMC"]
QUIET: Final = {"name": "vwap_reclaim", "profile": "quiet"}
LOUD: Final = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@pytest.fixture(scope="module")
def columns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of columns of the simulated market."""
    folder = tmp_path_factory.mktemp("columns")
    calendar = ExchangeCalendar()
    market = SimulatedMarket(7, calendar, 8)
    import_columns(market, calendar, SYMBOLS, date(2024, 6, 26), date(2024, 7, 3), folder)
    return folder


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("TRADING_PLATFORM_DATA", str(tmp_path / "data"))
    for name in ("TRADING_PLATFORM_CONFIG", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    with dg.instance_for_test(temp_dir=str(tmp_path)) as made:
        yield made


def run(
    instance: dg.DagsterInstance, job: str, op: str, month: str | None = None, **form: Any
) -> dg.ExecuteInProcessResult:
    return (
        build_defs()
        .resolve_job_def(job)
        .execute_in_process(
            instance=instance,
            run_config={"ops": {op: {"config": form}}, **LOUD},
            raise_on_error=False,
            partition_key=month,
        )
    )


def told(instance: dg.DagsterInstance, key: dg.AssetKey) -> dict[str, Any]:
    event = instance.get_latest_materialization_event(key)
    assert event is not None
    assert event.asset_materialization is not None
    return {name: value.value for name, value in event.asset_materialization.metadata.items()}


def test_a_backtest_leaves_a_report_and_tells_its_figures(
    instance: dg.DagsterInstance, columns: Path, tmp_path: Path
) -> None:
    out = tmp_path / "report"
    done = run(
        instance,
        "backtest",
        "run_backtest",
        strategies=[QUIET],
        provider="columns",
        folder=str(columns),
        symbols=["sima", "SIMB"],
        first="2024-06-27",
        cash="50000",
        benchmark="SIMC",
        out=str(out),
    )
    assert done.success, failures(done)
    said = told(instance, BACKTEST)
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["opening"], summary["symbols"], summary["first"]) == (50_000, 2, "2024-06-27")
    assert {name: said[name] for name in ("profit", "fees", "trades")} == {
        name: summary[name] for name in ("profit", "fees", "trades")
    }
    assert summary["statistics"]["benchmark"]["symbol"] == "SIMC"
    assert Path(said["tear_sheet"]) == out / "tearsheet.html"
    assert Path(said["tear_sheet"]).is_file()
    assert said["equity"].startswith("![equity](data:image/png;base64,iVBOR")
    assert said["max_drawdown"] == summary["statistics"]["intraday_drawdown"]
    # The words of the report run it again.
    form = json.loads(summary["command"][-1])["ops"]["run_backtest"]["config"]
    again = run(instance, "backtest", "run_backtest", **{**form, "out": ""})
    assert again.success, failures(again)
    folder = Path(told(instance, BACKTEST)["folder"])
    assert folder == tmp_path / "data" / "research" / again.run_id
    assert (folder / "trades.csv").read_bytes() == (out / "trades.csv").read_bytes()


def test_a_month_of_a_long_range_is_a_backtest_of_that_month(
    instance: dg.DagsterInstance, columns: Path, tmp_path: Path
) -> None:
    form: dict[str, Any] = {"strategies": [QUIET], "provider": "columns", "folder": str(columns)}
    out = tmp_path / "months"
    for month in ("2024-06-01", "2024-07-01"):
        done = run(instance, "backtest_month", "run_backtest", month, out=str(out), **form)
        assert done.success, failures(done)
    alone = run(instance, "backtest", "run_backtest", first="2024-07-01", out=str(tmp_path / "july"), **form)
    assert alone.success, failures(alone)
    assert (out / "2024-07-01" / "trades.csv").read_bytes() == (tmp_path / "july" / "trades.csv").read_bytes()
    summaries = [json.loads((folder / "summary.json").read_text()) for folder in sorted(out.iterdir())]
    assert [(one["first"], one["last"]) for one in summaries] == [
        ("2024-06-26", "2024-06-28"),
        ("2024-07-01", "2024-07-03"),
    ]
    assert [one["opening"] for one in summaries] == [100_000, 100_000]
    assert instance.get_materialized_partitions(MONTH) == {"2024-06-01", "2024-07-01"}
    assert told(instance, MONTH)["profit"] == summaries[1]["profit"]


@pytest.mark.parametrize(
    ("month", "changes", "said"),
    [
        ("2024-06-01", {"first": "2024-07-01"}, "first: 2024-06-01 lies outside of the form's days"),
        ("2024-07-01", {"last": "2024-06-28"}, "last: 2024-07-01 lies outside of the form's days"),
        ("2024-08-01", {}, "2024-08"),
    ],
)
def test_a_month_without_a_session_is_told(
    instance: dg.DagsterInstance, columns: Path, month: str, changes: dict[str, Any], said: str
) -> None:
    form = {"strategies": [QUIET], "provider": "columns", "folder": str(columns), **changes}
    (failure,) = failures(run(instance, "backtest_month", "run_backtest", month, **form)).values()
    assert said in failure


def test_a_backtest_by_month_without_a_month_is_refused_before_a_bar_is_read(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: Any) -> None:
        raise AssertionError("bars were asked for")

    monkeypatch.setattr("trading_platform.defs.research.bars_of", read)
    form: dict[str, Any] = {"strategies": [QUIET], "provider": "columns", "folder": "bars"}
    (failure,) = failures(run(instance, "backtest_month", "run_backtest", **form)).values()
    assert "partition: the job backtest_month was launched without a month. Choose one, as 2024-06-01" in failure
    assert "or launch the job backtest for the whole range." in failure


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"strategies": [{"name": "vwap_reclam"}]}, "Did you mean 'vwap_reclaim'?"),
        ({"strategies": [{}]}, "neither a name nor a file is given"),
        ({"strategies": [{**QUIET, "parameters": {"crosses": 99}}]}, r"crosses is 99, outside [1, 16]"),
        ({"first": "June"}, "first: 'June' is no date"),
        ({"folder": ""}, "no folder is named"),
        ({"symbols": ["SIMX"]}, "SIMX"),
        ({"cash": "much"}, "account.size"),
        ({"provider": "simulated", "folder": ""}, "no range of sessions is named. Give first 2024-06-03 and last"),
        ({"provider": "paper"}, "market_data.provider"),
        ({"benchmark": "SPY"}, "SPY"),
        ({"memory_mb": 1}, "of memory"),
    ],
)
def test_a_wrong_form_fails_with_a_sentence(
    instance: dg.DagsterInstance, columns: Path, changes: dict[str, Any], said: str
) -> None:
    form = {"strategies": [QUIET], "provider": "columns", "folder": str(columns), **changes}
    (failure,) = failures(run(instance, "backtest", "run_backtest", **form)).values()
    assert said in failure
    assert "Traceback" not in failure


def test_days_that_are_left_out_are_those_of_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trading_platform_tests.acceptance.test_data_commands import DAYS, csv_folder, minutes

    monkeypatch.delenv("TRADING_PLATFORM_CONFIG", raising=False)
    csv_folder(tmp_path / "bars", "XYZ", {day: minutes() for day in DAYS[-3:]})
    ranges: list[tuple[dict[str, Any], tuple[date, ...]]] = [
        ({}, DAYS[-3:]),
        ({"first": str(DAYS[-2])}, DAYS[-2:]),
        ({"last": str(DAYS[-2])}, DAYS[-3:-1]),
    ]
    for changes, days in ranges:
        form = BacktestForm(provider="csv", folder=str(tmp_path / "bars"), symbols=["XYZ"], **changes)
        assert [session.day for session in bars_of(form, settings_of(form)).sessions] == list(days)


def test_a_field_that_nobody_knows_is_refused_before_a_run_begins(instance: dg.DagsterInstance) -> None:
    with pytest.raises(dg.DagsterInvalidConfigError, match="strategys"):
        run(instance, "backtest", "run_backtest", strategys=[])


def sweep_form(columns: Path, tmp_path: Path) -> dict[str, Any]:
    return {
        "strategy": QUIET,
        "grid": {"closes_below": [2, 5, 15], "sizing.risk_percent": [0.1, 0.5], "volume_multiple": [0.5, 2]},
        "provider": "columns",
        "folder": str(columns),
        "groups": 2,
        "out": str(tmp_path / "table" / "sweep.csv"),
    }


def is_the_sweep(instance: dg.DagsterInstance, form: dict[str, Any]) -> None:
    """What the groups have told together is what one sweep tells."""
    whole = SweepForm(**form)
    settings = settings_of(whole)
    strategy = strategy_of(whole.strategy)
    terms = terms_of((strategy,), settings)
    rows = sweep(
        strategy,
        grid_of(whole),
        bars_of(whole, settings),
        limits=terms.limits,
        opening_cash=terms.opening_cash,
        venue=terms.venue,
    )
    with Path(form["out"]).open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == len(rows) == 12
    expected = {tuple(row.values.values()): row.figures for row in rows}
    assert len({figures.profit for figures in expected.values()}) > 1
    found = {tuple(float(one[name]) for name in form["grid"]): one for one in table}
    for values, figures in expected.items():
        assert float(found[values]["profit"]) == pytest.approx(figures.profit / 10_000, abs=0.005)
        assert int(found[values]["trades"]) == figures.trades
    profits = [float(one["profit"]) for one in table]
    assert profits == sorted(profits, reverse=True)
    said = told(instance, SWEEP)
    assert (said["combinations"], said["profit_of_the_best"]) == (12, profits[0])
    assert said["best_closes_below"] == float(table[0]["closes_below"])
    assert said["best"].startswith("| closes_below | sizing.risk_percent | volume_multiple | profit |")


def test_a_sweep_in_groups_is_the_sweep(instance: dg.DagsterInstance, columns: Path, tmp_path: Path) -> None:
    form = sweep_form(columns, tmp_path)
    done = run(instance, "backtest_sweep", "plan_sweep", **form)
    assert done.success, failures(done)
    steps = {event.step_key for event in done.all_events if event.is_step_success}
    assert steps == {"plan_sweep", "sweep_group[group_0]", "sweep_group[group_1]", "rank_sweep"}
    is_the_sweep(instance, form)


def test_groups_run_in_processes_of_their_own(instance: dg.DagsterInstance, columns: Path, tmp_path: Path) -> None:
    form = sweep_form(columns, tmp_path)
    config = {"ops": {"plan_sweep": {"config": form}}, "execution": {"config": {"max_concurrent": 2}}, **LOUD}
    with dg.execute_job(dg.reconstructable(backtest_sweep), instance=instance, run_config=config) as done:
        assert done.success
        steps = {event.step_key: event.pid for event in done.all_events if event.is_step_start}
    assert len(steps) == 4
    is_the_sweep(instance, form)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"grid": {}}, "nothing is to be varied"),
        ({"grid": {"closes_below": [3, 3]}}, "each once"),
        ({"grid": {"closes_belw": [3, 5]}}, "Did you mean 'closes_below'?"),
        ({"out": "/dev/null/table.csv"}, "/dev/null/table.csv: it cannot be written: Not a directory"),
        ({"rank_by": "profits"}, "Did you mean profit?"),
        ({"strategy": {"name": "gap_and_goo"}}, "Did you mean 'gap_and_go'?"),
        ({"folder": "/nowhere"}, "/nowhere"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused_before_it_is_shared_out(
    instance: dg.DagsterInstance, columns: Path, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    form = {**sweep_form(columns, tmp_path), **changes}
    (failure,) = failures(run(instance, "backtest_sweep", "plan_sweep", **form)).items()
    assert failure[0] == "plan_sweep"
    assert said in failure[1]


@pytest.mark.parametrize("groups", [1, 2, 3, 4, 9])
def test_the_groups_are_the_grid_shared_out_by_what_the_step_says(groups: int) -> None:
    grid = {"exit_plan.time_stop": [1.0, 2, 3, 4, 5, 6], "stop_bars": [3.0, 4, 5, 6], "stop_percent": [1.0, 2]}
    parts = list(shared_out(grid, groups))
    assert len(parts) == min(groups, 4)
    every = [tuple(point.values()) for part in parts for point in combinations(part)]
    assert sorted(every) == sorted(tuple(point.values()) for point in combinations(grid))
    assert {tuple(part["exit_plan.time_stop"]) for part in parts} == {(1, 2, 3, 4, 5, 6)}


# ---- pods -------------------------------------------------------------------------------------------------------------


def executor(instance: dg.DagsterInstance, **config: Any) -> dg.Executor:
    create = processes_or_pods.executor_creation_fn
    assert create is not None
    given = {"max_concurrent": None, "pods": None, **config}
    return create(
        dg.InitExecutorContext(
            job=dg.reconstructable(backtest_sweep),
            executor_def=processes_or_pods,
            executor_config=given,
            instance=instance,
        )
    )


def test_pods_are_started_where_the_runs_config_asks_for_them(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    cluster = tmp_path / "cluster.yaml"
    cluster.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: one\n"
        "contexts: [{name: one, context: {cluster: one, user: me}}]\n"
        "clusters: [{name: one, cluster: {server: 'https://127.0.0.1:1'}}]\nusers: [{name: me, user: {}}]\n"
    )
    pods = {
        "job_image": "registry/trading-platform:1",
        "job_namespace": "research",
        "load_incluster_config": False,
        "kubeconfig_file": str(cluster),
    }
    assert type(executor(instance, pods=pods, max_concurrent=3)).__name__ == "StepDelegatingExecutor"
    assert type(executor(instance, max_concurrent=3)).__name__ == "MultiprocessExecutor"


def test_what_pods_do_not_know_is_said(instance: dg.DagsterInstance) -> None:
    with pytest.raises(InvalidInput, match=r"there is no 'job_imag' Did you mean job_image\?"):
        executor(instance, pods={"job_imag": "registry/trading-platform:1"})


def test_pods_without_dagster_k8s_are_said(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "dagster_k8s", None)
    with pytest.raises(InvalidInput, match="steps in pods need dagster-k8s"):
        executor(instance, pods={})
