"""The local Alpaca of a demo: its process ends with whoever started it, and follows the platform's clock."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest

from trading_platform.bootstrap import build
from trading_platform.calendars.exchange import calendar_of
from trading_platform.config.load import load
from trading_platform.domain.errors import InvalidInput, PermanentError
from trading_platform.domain.orders import Side
from trading_platform.domain.reports import CycleReport
from trading_platform.engine.cycle import run_cycle
from trading_platform.ledger.projections import holdings
from trading_platform.terminal import demo
from trading_platform.terminal.dagster_ui import told_by_file
from trading_platform.terminal.demo_venue import (
    FollowedClock,
    LocalAlpaca,
    MarketFeed,
    local_alpaca,
    on_local,
    require_script,
)
from trading_platform_tests.sessions.books import with_parts
from trading_platform_tests.sessions.console import SOURCES
from trading_platform_tests.sessions.short import short_settings
from trading_platform_tests.sessions.tape import DAY, TAPE, write_tape
from trading_platform_tests.sessions.timed_entry import TIMED_ENTRY

CASH: Final = Decimal(100_000)
OPEN = calendar_of(load({}).market_hours).session(date(2024, 7, 3)).open

pytestmark = pytest.mark.timeout(120)


def asked(venue: LocalAlpaca, path: str) -> Any:
    """What the venue's own API says, asked without the platform's adapter."""
    told = venue.address
    keys = {"APCA-API-KEY-ID": told["key"], "APCA-API-SECRET-KEY": told["secret"]}
    with urllib.request.urlopen(urllib.request.Request(f"{told['url']}/v2/{path}", headers=keys), timeout=10) as answer:
        return json.loads(answer.read())


def test_it_has_the_cash_and_the_time_that_it_is_given(tmp_path: Path) -> None:
    with local_alpaca(tmp_path / "demo" / "log", cash=Decimal(5_000), now=OPEN) as venue:
        assert Decimal(asked(venue, "account")["cash"]) == 5_000
        assert asked(venue, "clock")["timestamp"].startswith(f"{OPEN:%Y-%m-%dT%H:%M}")
        with pytest.raises(PermanentError, match=r"the local Alpaca cannot take clock: .*cannot go back"):
            venue.tell(clock=(OPEN - timedelta(minutes=1)).isoformat())


def test_one_that_has_ended_is_said_to_have(tmp_path: Path) -> None:
    with local_alpaca(tmp_path / "log", cash=CASH, now=OPEN) as venue:
        venue._process.kill()
        venue._process.wait()
        with pytest.raises(PermanentError, match=r"has ended by itself; what it said is in .*log.* it begins anew"):
            venue.tell(end_day=True)


STARTED: Final = f"""
import os, sys, time
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from trading_platform.terminal.demo_venue import local_alpaca
with local_alpaca(Path(sys.argv[1]), cash=Decimal(1), now=datetime.fromisoformat({OPEN.isoformat()!r})) as venue:
    print(venue._process.pid, flush=True)
    time.sleep(60)
"""


def test_it_ends_with_a_process_that_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STARTED, str(tmp_path / "log")], stdout=subprocess.PIPE, text=True, cwd=SOURCES
    ) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert is_running(pid)
        process.kill()
    for _ in range(100):
        if not is_running(pid):
            return
        subprocess.run(["sleep", "0.1"], check=True)
    pytest.fail("it runs on")


def is_running(pid: int) -> bool:
    """Whether the process runs; one that has ended and that nobody has asked for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_without_a_checkout_it_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as told:
        require_script(tmp_path)
    assert str(told.value) == (
        f"--broker alpaca-local: the local Alpaca comes with a checkout of the sources, and there is none in {tmp_path}. "
        "Run it in a checkout (make demo), or leave --broker out and trade on the paper exchange."
    )
    # The control: here is one.
    require_script(SOURCES)


def test_the_ui_s_own_processes_trade_there_and_the_keys_stand_in_no_file(tmp_path: Path) -> None:
    with local_alpaca(tmp_path / "log", cash=CASH, now=OPEN) as venue:
        settings = on_local(load({}, {"data_folder": tmp_path}), venue)
        path = tmp_path / "settings.json"
        demo._write_settings(path, settings)
        assert venue.address["key"] not in path.read_text()
        assert "hidden" not in path.read_text()
        # What the user has set of their own account is not theirs to read.
        inherited = {"ALPACA_API_KEY": "PKOTHER", "TRADING_PLATFORM__BROKERS__PRIMARY": "paper"}
        told = told_by_file(inherited, path, demo._secrets(settings))
        assert load(told) == settings


def test_a_session_leaves_the_ledger_equal_to_the_vendor_s_own_book(
    tmp_path: Path, fresh_database: Callable[[], str]
) -> None:
    write_tape(tmp_path / "bars", TAPE)
    settings = short_settings(tmp_path, fresh_database())
    session = calendar_of(settings.market_hours).session(DAY)
    clock = FollowedClock(session.open)
    with local_alpaca(tmp_path / "log", cash=settings.account.size, now=session.open) as venue:
        platform = with_parts(build(on_local(settings, venue), clock), strategies=(TIMED_ENTRY,))
        clock.lead(MarketFeed(venue, platform))
        try:
            reports = list(
                platform.simulated_session(DAY).run(lambda day, minute: run_cycle(platform.stages, day, minute))
            )
            booked, opening = platform.ledger.fills(), platform.ledger.opening_cash()
            states = [one.state for one in platform.ledger.orders(DAY)]
            _agree(venue, reports)
            book = holdings(opening, booked)
            theirs = asked(venue, "account/activities/FILL?direction=asc")
            ours = {(one.execution_id, one.symbol, one.side.value, one.quantity, one.price) for one in booked}
            assert ours == {
                (one["id"], one["symbol"], one["side"], int(one["qty"]), Decimal(one["price"])) for one in theirs
            }
            assert len(theirs) >= 4
            assert {one.side for one in booked} == {Side.BUY, Side.SELL}
            assert Decimal(asked(venue, "account")["cash"]) == book.cash
            held = {one.symbol: one.quantity for one in book.positions.values() if one.quantity}
            assert held == {one["symbol"]: int(one["qty"]) for one in asked(venue, "positions")} == {}
            assert asked(venue, "orders?status=open") == []
            assert all(state.is_final for state in states)
        finally:
            platform.close()


def _agree(venue: LocalAlpaca, reports: list[CycleReport]) -> None:
    assert [one for report in reports for one in report.reconciled.breaks] == []
    # Each order that left has arrived once.
    names = [one["client_order_id"] for one in asked(venue, "orders?status=all&nested=true&limit=500")]
    assert len(names) == len(set(names)) > 0
    assert sum(report.orders_sent for report in reports) >= len(names)
