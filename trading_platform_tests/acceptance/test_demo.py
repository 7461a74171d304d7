"""The demo as a person runs it: whole; killed, cut off and stopped in the middle; again, and with something else.

One demo runs undisturbed. A second one, in a folder of its own, is killed, loses its database and is interrupted, and
is run again after each; what both come to must be equal.
"""

import os
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest

from trading_platform.ledger.embedded import LEDGER
from trading_platform.ledger.ledger import Ledger
from trading_platform_tests.sessions.books import exchange_orders, exchange_result, repeated_orders, traded
from trading_platform_tests.sessions.console import HALF_DAY, HALF_DAY_MINUTES, Checkout, new_checkout

DEMO: Final = ("demo", "--no-ui", "--session", HALF_DAY.isoformat())
INTERRUPTED: Final = 130
# What a start that was broken off may change: how long it took, and the run of the minute in which it broke off.
OF_THE_RUN: Final = ("seconds", "runs")

pytestmark = pytest.mark.timeout(900)

Done = subprocess.CompletedProcess[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """A demo that has run to its end, and what every witness says of it."""

    done: Done
    summary: dict[str, Any]
    exchange_file: Path
    traded: list[tuple[Any, ...]]
    pnl: Done
    materialized: dict[str, Any]
    runs: dict[str, int]


@pytest.fixture(scope="module")
def checkouts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Checkout]]:
    made: list[Checkout] = []

    def make(name: str) -> Checkout:
        made.append(new_checkout(tmp_path_factory.mktemp(name)))
        return made[-1]

    yield make
    for checkout in made:
        checkout.server.stop()


@pytest.fixture(scope="module")
def undisturbed(checkouts: Callable[[str], Checkout]) -> Demo:
    checkout = checkouts("undisturbed")
    return witnessed(checkout, checkout.run(*DEMO, "--json"))


@dataclass(slots=True, kw_only=True)
class Disturbances:
    """A demo that was broken off three times, and what came after it, step by step."""

    recorded: list[int]
    refused: Done
    cut_off: tuple[int, str]
    interrupted: tuple[int, str]
    whole: Demo
    again: dict[str, Any]
    still_refused: Done
    reset: dict[str, Any]
    figures_of_the_first: dict[str, Any]


@pytest.fixture(scope="module")
def disturbed(checkouts: Callable[[str], Checkout]) -> Disturbances:
    checkout = checkouts("disturbed")
    recorded = []

    def broken_off(book: str, count: int, act: Callable[[subprocess.Popen[str]], None], *more: str) -> tuple[int, str]:
        with checkout.started(*DEMO, *more) as process:
            checkout.wait_for_cycles(book, count, process)
            act(process)
            output, _ = process.communicate(timeout=120)
        return process.returncode, output

    broken_off("demo-1", 40, kill)
    recorded.append(checkout.cycles("demo-1"))
    refused = checkout.run(*DEMO, "--profile", "quiet")
    cut_off = broken_off("demo-1", recorded[-1] + 20, lambda _: kill_server(checkout))
    checkout.server.start()
    recorded.append(checkout.cycles("demo-1"))
    checkout.server.stop()
    interrupted = broken_off("demo-1", recorded[-1] + 20, interrupt)
    recorded.append(checkout.cycles("demo-1"))
    whole = witnessed(checkout, checkout.run(*DEMO, "--json"))
    again_interrupted = broken_off("demo-2", 3, interrupt)
    assert again_interrupted[0] == INTERRUPTED, again_interrupted[1]
    again = checkout.state
    still_refused = checkout.run(*DEMO, "--profile", "quiet")
    reset = broken_off("demo-3", 3, kill, "--profile", "quiet", "--reset")
    assert reset[0] == -signal.SIGKILL, reset[1]
    return Disturbances(
        recorded=recorded,
        refused=refused,
        cut_off=cut_off,
        interrupted=interrupted,
        whole=whole,
        again=again,
        still_refused=still_refused,
        reset=checkout.state,
        figures_of_the_first=checkout.summary,
    )


def kill(process: "subprocess.Popen[str]") -> None:
    os.killpg(process.pid, signal.SIGKILL)


def interrupt(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGINT)


def kill_server(checkout: Checkout) -> None:
    pid = checkout.server.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def witnessed(checkout: Checkout, done: Done) -> Demo:
    assert done.returncode == 0, done.stderr
    summary = checkout.summary
    ledger = Ledger(checkout.server.url(LEDGER), book=summary["book"])
    found = Demo(
        done=done,
        summary=summary,
        exchange_file=checkout.data / "paper" / f"{summary['book']}.sqlite",
        traded=traded(ledger),
        pnl=checkout.run("pnl", "--json"),
        materialized=last_materialization(checkout),
        runs=runs_by_status(checkout, summary["book"]),
    )
    ledger.engine.dispose()
    return found


def ask_dagster(checkout: Checkout, question: Callable[[Any], Any]) -> Any:
    """Ask the instance that the checkout's dagster.yaml describes."""
    import dagster as dg

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRADING_PLATFORM_DATA", str(checkout.data))
        patch.delenv("DATABASE_URL", raising=False)
        patch.chdir(checkout.folder)
        with dg.DagsterInstance.from_config(str(checkout.folder)) as instance:
            return question(instance)


def last_materialization(checkout: Checkout) -> dict[str, Any]:
    import dagster as dg

    def last(asset: str) -> dict[str, Any]:
        key = dg.AssetKey(["intraday", asset])
        event = ask_dagster(checkout, lambda instance: instance.get_latest_materialization_event(key))
        assert event is not None
        assert event.asset_materialization is not None
        return {name: value.value for name, value in event.asset_materialization.metadata.items()}

    return last("pnl") | last("equity")


def runs_by_status(checkout: Checkout, book: str) -> dict[str, int]:
    import dagster as dg

    wanted = dg.RunsFilter(job_name="market_session", tags={"trading_platform/book": book})
    found: dict[str, int] = {}
    for run in ask_dagster(checkout, lambda instance: instance.get_runs(wanted)):
        found[run.status.value] = found.get(run.status.value, 0) + 1
    return found


def test_the_summary_counts_the_whole_session(undisturbed: Demo) -> None:
    summary = undisturbed.summary
    assert summary["session"] == HALF_DAY.isoformat()
    assert summary["provider"] == "simulated"
    assert summary["symbols"] == [f"SIM{letter}" for letter in "ABCDEFGH"]
    assert summary["cycles"] == summary["runs"] == HALF_DAY_MINUTES
    assert undisturbed.runs == {"SUCCESS": HALF_DAY_MINUTES}
    assert summary["signals"] > summary["refused"] > 0
    assert summary["round_trips"] >= 2
    assert summary["fills"] == len(undisturbed.traded) >= 4
    # Every fill belongs to an order; stops that rested and were taken away are orders too.
    assert summary["orders"] == len(exchange_orders(undisturbed.exchange_file)) > summary["round_trips"]
    assert 0 < summary["seconds"] < 300
    assert summary["fees"] > 0


def test_the_profit_is_the_same_at_the_exchange_in_the_ledger_and_in_dagster_to_the_cent(undisturbed: Demo) -> None:
    realised = Decimal(str(undisturbed.summary["realised_pnl"]))
    assert realised != 0
    rows = json_of(undisturbed.pnl)
    assert exchange_result(undisturbed.exchange_file) == realised
    assert sum(Decimal(row["net"]) for row in rows) == realised
    assert {row["book"] for row in rows} == {undisturbed.summary["book"]} == {"demo-1"}
    assert sum(Decimal(row["fees"]) for row in rows) == Decimal(str(undisturbed.summary["fees"]))
    told = undisturbed.materialized
    assert round(Decimal(str(told["realised"])) - Decimal(str(told["fees"])), 2) == realised
    assert round(Decimal(str(told["equity"])), 2) == Decimal(str(undisturbed.summary["equity"]))
    # Everything is sold, so what was made is what there is more than at first.
    assert undisturbed.summary["unrealised_pnl"] == 0
    assert Decimal(str(undisturbed.summary["equity"])) - 100_000 == realised


def json_of(done: Done) -> Any:
    import json

    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_json_is_the_summary_and_the_pictures_go_to_the_other_stream(undisturbed: Demo) -> None:
    assert json_of(undisturbed.done) == undisturbed.summary
    seen = undisturbed.done.stderr
    assert f"{HALF_DAY_MINUTES}/{HALF_DAY_MINUTES}" in seen
    assert "━" in seen
    assert f"Trades of book demo-1, session {HALF_DAY}" in seen
    assert f"Profit and loss of book demo-1, session {HALF_DAY}" in seen
    # Nothing was refused, so nothing is said of it.
    assert undisturbed.summary["refused_bars"] == 0
    assert "refused as malformed" not in seen
    assert "Equity, dollars" in seen
    assert "summary.json" in seen
    # Braille marks are the curve.
    assert any("\u2800" < letter <= "\u28ff" for letter in seen)
    for symbol in {fill[0] for fill in undisturbed.traded}:
        assert symbol in seen


def test_a_killed_demo_goes_on_and_comes_to_the_same(undisturbed: Demo, disturbed: Disturbances) -> None:
    assert 40 <= disturbed.recorded[0] < disturbed.recorded[1] < disturbed.recorded[2] < HALF_DAY_MINUTES
    ours, theirs = disturbed.whole, undisturbed
    assert without_run(ours.summary) == without_run(theirs.summary)
    assert ours.traded == theirs.traded
    assert json_of(ours.pnl) == json_of(theirs.pnl)
    assert exchange_orders(ours.exchange_file) == exchange_orders(theirs.exchange_file)
    assert not repeated_orders(ours.exchange_file)
    assert ours.materialized == theirs.materialized


def without_run(summary: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in summary.items() if name not in OF_THE_RUN}


def test_no_minute_is_run_twice_and_no_run_stays_begun(disturbed: Disturbances) -> None:
    assert disturbed.whole.summary["cycles"] == HALF_DAY_MINUTES
    # Each of the three breaks may have caught a run after its minute was recorded, and before it had succeeded.
    assert HALF_DAY_MINUTES - 3 <= disturbed.whole.runs["SUCCESS"] <= HALF_DAY_MINUTES
    assert disturbed.whole.summary["runs"] == disturbed.whole.runs["SUCCESS"]
    assert set(disturbed.whole.runs) <= {"SUCCESS", "FAILURE", "CANCELED"}
    assert sum(disturbed.whole.runs.values()) <= HALF_DAY_MINUTES + 3


def test_another_configuration_is_refused_while_a_demo_is_unfinished(disturbed: Disturbances) -> None:
    for refused in (disturbed.refused, disturbed.still_refused):
        assert refused.returncode == 2
        assert "is not finished, and this one differs in active_strategies" in refused.stderr
        assert "--reset (make demo RESET=1)" in refused.stderr
        assert "Traceback" not in refused.stderr


def test_without_its_database_it_says_how_to_go_on(disturbed: Disturbances) -> None:
    code, output = disturbed.cut_off
    assert code == 1, output
    assert "does not answer" in output
    assert "trading-platform db start" in output
    assert "Traceback" not in output


def test_an_interrupt_ends_it_at_once_and_says_so(disturbed: Disturbances) -> None:
    code, output = disturbed.interrupted
    assert code == INTERRUPTED, output
    assert "Stopped. Run it again to go on." in output
    assert "Traceback" not in output


def test_after_a_finished_demo_a_fresh_book_begins(disturbed: Disturbances) -> None:
    assert disturbed.again["number"] == 2
    assert disturbed.again["finished"] is False


def test_a_reset_leaves_the_unfinished_demo_behind(disturbed: Disturbances) -> None:
    assert disturbed.reset["number"] == 3
    assert disturbed.reset["configuration"]["active_strategies"][0]["profile"] == "quiet"
    assert disturbed.figures_of_the_first["book"] == "demo-1"


def test_each_demo_has_a_book_of_its_own_at_the_exchange(disturbed: Disturbances) -> None:
    books = sorted(disturbed.whole.exchange_file.parent.glob("*.sqlite"))
    assert [path.stem for path in books] == ["demo-1", "demo-2", "demo-3"]
    for path in books:
        with closing(sqlite3.connect(path)) as connection:
            (name,) = connection.execute("SELECT name FROM account").fetchone()
        assert name == path.stem
