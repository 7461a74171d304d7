"""Five sessions in a row of one book: through Dagster's jobs, and by the cycle alone, to the same cents."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import dagster as dg
import pytest

from trading_platform.ledger.embedded import LEDGER
from trading_platform.ledger.ledger import Ledger
from trading_platform_tests.sessions.books import exchange_result, repeated_orders, traded
from trading_platform_tests.sessions.console import Checkout
from trading_platform_tests.sessions.five import DAYS, MINUTES, write_settings
from trading_platform_tests.sessions.served_five import Ui

JOBS = {"session_open": 5, "market_session": 5 * MINUTES, "session_close": 5}
ASSETS = ("reconciliation", "bars", "signals", "decisions", "orders", "fills", "positions", "pnl", "performance")


@dataclass(frozen=True, slots=True, kw_only=True)
class Five:
    checkout: Checkout
    figures: dict[str, Any]


@pytest.fixture(scope="module")
def five(five_sessions: Ui) -> Five:
    return Five(checkout=five_sessions.checkout, figures=five_sessions.checkout.summary)


@pytest.fixture
def ledger_of(five: Five) -> Iterator[Callable[[str], Ledger]]:
    opened: list[Ledger] = []

    def ledger(book: str) -> Ledger:
        opened.append(Ledger(five.checkout.server.url(LEDGER), book=book))
        return opened[-1]

    yield ledger
    for one in opened:
        one.engine.dispose()


@pytest.fixture
def instance(five: Five, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("TRADING_PLATFORM_DATA", str(five.checkout.data))
    for name in ("DATABASE_URL", "TRADING_PLATFORM_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(five.checkout.folder)
    with dg.DagsterInstance.from_config(str(five.checkout.folder)) as made:
        yield made


def test_each_session_was_opened_run_and_closed_by_its_job(five: Five, instance: dg.DagsterInstance) -> None:
    for job, count in JOBS.items():
        wanted = dg.RunsFilter(
            job_name=job, tags={"trading_platform/book": "demo-1"}, statuses=[dg.DagsterRunStatus.SUCCESS]
        )
        assert instance.get_runs_count(wanted) == count, job
    assert instance.get_runs_count(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE])) == 0
    assert [one["session"] for one in five.figures["sessions"]] == [day.isoformat() for day in DAYS]


def test_each_asset_has_a_partition_for_each_session(instance: dg.DagsterInstance) -> None:
    days = {day.isoformat() for day in DAYS}
    for asset in ASSETS:
        assert set(instance.get_materialized_partitions(dg.AssetKey(asset))) == days


def test_the_profit_of_the_sessions_adds_up_to_the_equity(
    five: Five, instance: dg.DagsterInstance, ledger_of: Callable[[str], Ledger]
) -> None:
    nets: list[Decimal] = []
    equities: list[Decimal] = []
    for day in DAYS:
        (event,) = [
            record.asset_materialization
            for record in instance.fetch_materializations(dg.AssetKey("pnl"), limit=50).records
            if record.partition_key == day.isoformat()
        ]
        assert event is not None
        nets.append(Decimal(str(event.metadata["net"].value)))
        equities.append(Decimal(str(event.metadata["equity"].value)))
    running = Decimal(100_000)
    for net, equity in zip(nets, equities, strict=True):
        running += net
        assert equity == running
    # The exchange's own book, from which nothing here was read, says the same.
    book = five.checkout.data / "paper" / "demo-1.sqlite"
    assert exchange_result(book) == sum(nets) != 0
    assert repeated_orders(book) == []
    assert Decimal(str(five.figures["equity"])) == ledger_of("demo-1").holdings().cash == running
    # They traded on more than one of the days, so that something was carried over.
    assert sum(net != 0 for net in nets) >= 3


def test_the_cycle_alone_trades_the_same(five: Five, ledger_of: Callable[[str], Ledger]) -> None:
    settings = str(write_settings(five.checkout))
    for day in DAYS:
        command = ("session", "run", "--session", day.isoformat(), "--book", "alone")
        done = five.checkout.run(*command, TRADING_PLATFORM_CONFIG=settings)
        assert done.returncode == 0, done.stderr
    assert traded(ledger_of("alone")) == traded(ledger_of("demo-1")) != []


def test_the_demo_knows_that_it_is_finished(five: Five) -> None:
    assert five.checkout.state["finished"]
    assert five.checkout.state["sessions"] == len(DAYS)


def test_the_bars_of_each_session_are_stored_and_trade_the_same(five: Five, ledger_of: Callable[[str], Ledger]) -> None:
    (store,) = (five.checkout.data / "bars").iterdir()
    settings = str(write_settings(five.checkout))
    symbols = ",".join(five.figures["sessions"][0]["symbols"])
    for day in DAYS:
        command = ("session", "run", "--data", f"parquet:{store}", "--symbols", symbols, "--session", day.isoformat())
        done = five.checkout.run(*command, "--book", "stored", TRADING_PLATFORM_CONFIG=settings)
        assert done.returncode == 0, done.stderr
    assert traded(ledger_of("stored")) == traded(ledger_of("demo-1"))
