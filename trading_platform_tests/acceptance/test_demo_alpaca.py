"""The demo on a local Alpaca, as a person types it: broken off, begun anew, and to its end, where the books agree."""

import json
import signal
from collections.abc import Iterator
from typing import Any, Final

import dagster as dg
import pytest

from trading_platform.ledger.embedded import LEDGER
from trading_platform.ledger.ledger import Ledger
from trading_platform_tests.sessions.console import HALF_DAY, Checkout, new_checkout
from trading_platform_tests.sessions.five import FIRST, MINUTES, write_settings

DEMO: Final = ("demo", "--no-ui", "--broker", "alpaca-local")
CHECKS: Final = {"ledger_equals_broker", "positions_equal_fills", "cash_adds_up", "no_breaks", "no_order_unresolved"}

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    made = new_checkout(tmp_path_factory.mktemp("alpaca"))
    yield made
    made.server.stop()


@pytest.fixture(scope="module")
def broken_off(checkout: Checkout) -> tuple[int, str]:
    """A demo of half a day, stopped by Ctrl-C after some minutes."""
    with checkout.started(*DEMO, "--session", HALF_DAY.isoformat()) as process:
        checkout.wait_for_cycles("demo-1", 3, process)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=120)
    return process.returncode, said


@pytest.fixture(scope="module")
def whole(checkout: Checkout, broken_off: tuple[int, str]) -> tuple[dict[str, Any], str]:
    """A shorter one after it, with another configuration, to its end: its figures, and what was said beside them."""
    assert broken_off[0] == 130, broken_off[1]
    done = checkout.run(
        *DEMO, "--json", "--session", FIRST.isoformat(), TRADING_PLATFORM_CONFIG=str(write_settings(checkout))
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def test_it_names_its_broker_and_trades_the_whole_session(whole: tuple[dict[str, Any], str]) -> None:
    figures, said = whole
    assert figures["broker"] == "alpaca-local"
    assert figures["cycles"] == figures["runs"] == MINUTES
    assert figures["fills"] >= 4
    assert figures["round_trips"] >= 2
    assert "on the simulated market, at a local Alpaca" in said
    assert "differs" not in said


def test_one_that_was_broken_off_cannot_go_on_and_says_so(
    checkout: Checkout, broken_off: tuple[int, str], whole: tuple[dict[str, Any], str]
) -> None:
    assert "Stopped. It cannot go on: its local Alpaca" in broken_off[1]
    assert "Run it again to go on" not in broken_off[1]
    said = " ".join(whole[1].split())
    assert (
        f"The demo of {HALF_DAY} (book demo-1) was broken off, and its local Alpaca, which kept its orders in memory, "
        "ended with it: it cannot go on, and a fresh one begins."
    ) in said
    assert whole[0]["book"] == "demo-2"
    assert checkout.cycles("demo-1") < 210


def test_its_fills_are_alpaca_s_and_nothing_is_left(checkout: Checkout, whole: tuple[dict[str, Any], str]) -> None:
    ledger = Ledger(checkout.server.url(LEDGER), book=whole[0]["book"])
    try:
        fills, orders = ledger.fills(), ledger.orders(FIRST)
        held = [one for one in ledger.holdings().positions.values() if one.quantity]
    finally:
        ledger.engine.dispose()
    assert len(fills) == whole[0]["fills"]
    assert {fill.venue for fill in fills} == {"alpaca"}
    assert held == []
    assert all(one.state.is_final for one in orders)
    # The paper exchange has not been made.
    assert not (checkout.data / "paper").exists()


def test_the_books_agreed_at_the_close_and_the_runs_name_the_broker(
    checkout: Checkout, whole: tuple[dict[str, Any], str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRADING_PLATFORM_DATA", str(checkout.data))
        patch.delenv("DATABASE_URL", raising=False)
        patch.chdir(checkout.folder)
        with dg.DagsterInstance.from_config(str(checkout.folder)) as instance:
            wanted = {"trading_platform/book": whole[0]["book"], "trading_platform/broker": "alpaca-local"}
            closes = instance.get_runs(dg.RunsFilter(job_name="session_close", tags=wanted))
            minutes = instance.get_runs_count(dg.RunsFilter(job_name="market_session", tags=wanted))
            (close,) = closes
            events = instance.all_logs(close.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    passed = {
        evaluation.check_name: evaluation.passed
        for event in events
        if event.dagster_event is not None
        for evaluation in (event.dagster_event.asset_check_evaluation_data,)
    }
    assert minutes == MINUTES
    assert passed.keys() >= CHECKS
    assert all(passed[name] for name in CHECKS)
