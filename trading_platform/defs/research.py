"""The research jobs: a backtest with its report, one by month, and a sweep that is shared out among processes or pods.

A backtest is one account over one range of sessions, which nothing can split. What fans out is a sweep, in groups of
combinations, and a long range, in months that each begin with the opening cash and nothing held. Each step imports what it works with only when it runs. What travels between the steps of a sweep are
values, through files that all of them can reach; so can they the bars and the table.

Belongs here: the ops, the jobs, and what their assets tell. Research itself is `backtest`'s, the forms `research_forms`.
"""

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import dagster as dg

from trading_platform.defs.partitions import MONTHS, days_of_month
from trading_platform.defs.processes_or_pods import processes_or_pods
from trading_platform.defs.research_forms import (
    BacktestForm,
    SweepForm,
    bars_of,
    described,
    grid_of,
    settings_of,
    strategies_of,
    strategy_of,
)
from trading_platform.defs.said import plain_failures
from trading_platform.domain.errors import InvalidInput

BACKTEST: Final = dg.AssetKey(["research", "backtest"])
MONTH: Final = dg.AssetKey(["research", "backtest_by_month"])
SWEEP: Final = dg.AssetKey(["research", "sweep"])
SPECS: Final = (
    dg.AssetSpec(
        BACKTEST, description="The newest backtest's figures, with its tear sheet and curve.", group_name="research"
    ),
    dg.AssetSpec(
        MONTH,
        description="A backtest of each month, on an account of its own: the newest one's figures.",
        group_name="research",
        partitions_def=MONTHS,
    ),
    dg.AssetSpec(SWEEP, description="The newest sweep's combinations, the best first.", group_name="research"),
)
"""What the jobs tell; each run adds one materialization."""

_FOLDER: Final = "research"
_LIMIT: Final = {"dagster/max_runtime": "86400"}
_PARTITION: Final = "dagster/partition"
_LARGEST_PICTURE: Final = 150_000
_SHOWN: Final = 20

Group = dict[str, list[float]]
"""A part of a grid that is a grid itself."""


@dg.op(description="Trade the strategies over the bars, and write the report.")
def run_backtest(context: dg.OpExecutionContext, config: BacktestForm) -> None:
    """One account over all sessions, with the decisions of a paper session; its report is an asset.

    In a run of a month the account is one over the sessions of that month.
    """
    from trading_platform.backtest.benchmark import benchmark_of
    from trading_platform.backtest.files import make_folder
    from trading_platform.backtest.look_ahead import ExaminedBars
    from trading_platform.backtest.report import write_report
    from trading_platform.backtest.run import run_backtest as trade
    from trading_platform.backtest.run import terms_of
    from trading_platform.backtest.tables import Recorder

    with plain_failures():
        month = context.partition_key if context.has_partition_key else None
        if month is None and context.job_name == backtest_month.name:
            # Without a partition Dagster runs a job of partitions like any other, over everything and as a success.
            raise InvalidInput(
                "the job backtest_month was launched without a month",
                where="partition",
                mend=f"Choose one, as 2024-06-01 (the tag {_PARTITION}), or launch the job backtest for the whole range",
            )
        settings = settings_of(config)
        terms = terms_of(strategies_of(config, settings), settings)
        if month is not None:
            config = config.within(*days_of_month(month), month)
        source = bars_of(config, settings)
        symbol = config.benchmark.strip().upper()
        if symbol:
            # A benchmark that is not there is told before years are traded.
            source.only(symbol)
        folder = make_folder(Path(config.out or settings.data_folder / _FOLDER / context.run_id).absolute())
        with Recorder(folder) as recorder:
            result = trade(
                ExaminedBars(source, terms.strategies),
                terms,
                take=recorder.take,
                progress=lambda done, total: context.log.info("%d of %d sessions", done, total),
                memory=config.memory_mb * 10**6 or None,
            )
            benchmark = benchmark_of(source, symbol, result.sessions) if symbol else None
            told = write_report(folder, result, recorder, described(terms, settings, source, result, config), benchmark)
    for warning in told["warnings"]:
        context.log.warning("%s", warning)
    key = BACKTEST if month is None else MONTH
    context.log_event(dg.AssetMaterialization(asset_key=key, partition=month, metadata=_said(folder, told)))


@dg.op(
    out={"plan": dg.Out(), "groups": dg.DynamicOut()},
    description="Check the form, and share the combinations out into groups.",
)
def plan_sweep(context: dg.OpExecutionContext, config: SweepForm) -> Iterator[Any]:
    """Groups that scan the same bars differently, as far as they can: a group reads the bars once."""
    from trading_platform.backtest.files import require_file
    from trading_platform.backtest.sweep import variants
    from trading_platform.backtest.sweep_figures import ranked

    with plain_failures():
        settings = settings_of(config)
        bars_of(config, settings)
        grid = grid_of(config)
        count = len(variants(strategy_of(config.strategy), grid))
        ranked([], config.rank_by)
        out = config.out or str((settings.data_folder / _FOLDER / f"{context.run_id}.csv").absolute())
        require_file(Path(out))
        parts = list(shared_out(grid, config.groups))
    context.log.info("%d combinations in %d groups", count, len(parts))
    yield dg.Output({"rank_by": config.rank_by, "out": out, "form": config.model_dump()}, "plan")
    for number, part in enumerate(parts):
        yield dg.DynamicOutput(part, mapping_key=f"group_{number}", output_name="groups")


@dg.op(description="Trade every combination of one group, each on an account of its own, in one pass of the bars.")
def sweep_group(context: dg.OpExecutionContext, plan: Any, group: Any) -> Any:
    """The rows of a group."""
    from trading_platform.backtest.look_ahead import ExaminedBars
    from trading_platform.backtest.run import terms_of
    from trading_platform.backtest.sweep import sweep, to_examine

    form = SweepForm(**plan["form"])
    with plain_failures():
        settings = settings_of(form)
        strategy = strategy_of(form.strategy)
        terms = terms_of((strategy,), settings)
        rows = sweep(
            strategy,
            group,
            ExaminedBars(bars_of(form, settings), to_examine(strategy, group)),
            limits=terms.limits,
            opening_cash=terms.opening_cash,
            venue=terms.venue,
            rank_by=form.rank_by,
            progress=lambda done, total: context.log.info("%d of %d sessions", done, total),
            memory=form.memory_mb * 10**6 or None,
        )
    context.add_output_metadata({"combinations": len(rows)})
    return rows


@dg.op(description="Put the rows of all groups in order, write the table, and say which are best.")
def rank_sweep(context: dg.OpExecutionContext, plan: Any, groups: Any) -> None:
    """All combinations, the best first."""
    from trading_platform.backtest.files import write_rows
    from trading_platform.backtest.sweep_figures import plain, ranked

    with plain_failures():
        found = ranked([row for rows in groups for row in rows], plan["rank_by"])
        rows = [{**row.values, **plain(row.figures)} for row in found]
        out = Path(plan["out"])
        write_rows(out, rows)
    best = found[0]
    metadata: dict[str, Any] = {
        "combinations": len(rows),
        "profit_of_the_best": rows[0]["profit"],
        **{f"best_{name.replace('.', '_')}": float(value) for name, value in best.values.items()},
        "table": dg.MetadataValue.path(str(out)),
        "best": dg.MetadataValue.md(_markdown(rows[:_SHOWN])),
    }
    context.log_event(dg.AssetMaterialization(asset_key=SWEEP, metadata=metadata))


@dg.job(
    executor_def=dg.in_process_executor,
    tags=_LIMIT,
    description="One account over history, with the decisions, fills and cents of a paper session, and its report.",
)
def backtest() -> None:
    """Trade and report."""
    run_backtest()


@dg.job(
    executor_def=dg.in_process_executor,
    partitions_def=MONTHS,
    tags=_LIMIT,
    description="A long range, shared out: a backtest of each month, on an account of its own. A backfill runs many.",
)
def backtest_month() -> None:
    """Trade and report a month."""
    run_backtest()


@dg.job(
    executor_def=processes_or_pods,
    # Steps that share no memory hand on files.
    resource_defs={"io_manager": dg.FilesystemIOManager()},
    tags=_LIMIT,
    description="Every combination of some values, in groups that run in processes of this machine, or in pods.",
)
def backtest_sweep() -> None:
    """Share out, trade, rank."""
    plan, groups = plan_sweep()
    rank_sweep(plan, groups.map(lambda group: sweep_group(plan, group)).collect())


def shared_out(grid: Mapping[str, Sequence[float]], groups: int) -> Iterator[Group]:
    """Grids that together are the grid, at most so many: the values of one name, shared out.

    It is the name that has most values, of those that change what the strategy says if there is one: combinations that
    differ in plan or size alone share a scan, and so stay together.
    """
    from trading_platform.backtest.sweep import SILENT

    speaks = {name: len(values) for name, values in grid.items() if not name.startswith(SILENT)}
    counts = speaks or {name: len(values) for name, values in grid.items()}
    split = max(counts, key=lambda name: counts[name])
    values = list(grid[split])
    parts = min(groups, len(values))
    for number in range(parts):
        some = values[number * len(values) // parts : (number + 1) * len(values) // parts]
        yield {name: some if name == split else list(own) for name, own in grid.items()}


def _said(folder: Path, told: Mapping[str, Any]) -> dict[str, Any]:
    """The headline figures of a report, where its files lie, and its curve."""
    from trading_platform.backtest.report import PICTURE, TEAR_SHEET

    figures = told["statistics"]
    returns, trades = figures["returns"], figures["trades"]
    numbers = {
        "profit": told["profit"],
        "fees": told["fees"],
        "trades": told["trades"],
        "total_return": returns["total_return"],
        "max_drawdown": figures["intraday_drawdown"],
        "sharpe": returns["sharpe"],
        "sortino": returns["sortino"],
        "hit_rate": trades["hit_rate"],
        "profit_factor": trades["profit_factor"],
    }
    said: dict[str, Any] = {name: value for name, value in numbers.items() if value is not None}
    said |= {"run": told["title"], "sessions": told["sessions"], "symbols": told["symbols"], "bars": told["bars"]}
    said["tear_sheet"] = dg.MetadataValue.path(str(folder / TEAR_SHEET))
    said["folder"] = dg.MetadataValue.path(str(folder))
    picture = (folder / PICTURE).read_bytes()
    if len(picture) <= _LARGEST_PICTURE:
        # It is in the event itself: the page of Dagster shows no file of this machine.
        said["equity"] = dg.MetadataValue.md(f"![equity](data:image/png;base64,{b64encode(picture).decode()})")
    return said


def _markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [" | ".join(rows[0]), " | ".join("---" for _ in rows[0])]
    lines += [" | ".join(_cell(value) for value in row.values()) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:,.4g}" if isinstance(value, float) and abs(value) < 1 else f"{value}"
