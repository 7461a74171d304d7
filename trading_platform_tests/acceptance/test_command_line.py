"""The installed command in a process of its own: what it prints, its exit codes, and what it says of mistakes.

Exit codes: 0 done; 1 a fault that trying again or another part may mend; 2 something that was given cannot be used.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest

from trading_platform.ledger.embedded import LocalServer
from trading_platform.terminal.demo_book import exclusive
from trading_platform_tests.sessions.books import exchange_result
from trading_platform_tests.sessions.console import COMMAND, HALF_DAY, HALF_DAY_MINUTES, Checkout, new_checkout
from trading_platform_tests.sessions.tape import DAY, TAPE, write_rows, write_tape

BOOK: Final = "mine"
RUN: Final = ("session", "run", "--session", HALF_DAY.isoformat(), "--book", BOOK)
DEMO: Final = ("demo", "--no-ui", "--session", HALF_DAY.isoformat())
NOWHERE: Final = "postgresql://me:hunter2@127.0.0.1:1/ledger"
ROOT: Final = os.geteuid() == 0

Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A checkout whose server runs."""
    made = new_checkout(tmp_path_factory.mktemp("checkout"))
    made.server.start()
    yield made
    made.server.stop()


@pytest.fixture(scope="module")
def session_run(checkout: Checkout) -> Done:
    """A whole session without a control room."""
    return checkout.run(*RUN, "--json")


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Checkout]:
    """A checkout in which nothing has been run."""
    made = new_checkout(tmp_path)
    yield made
    made.server.stop()


def answer(done: Done) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def refused(done: Done, *said: str, code: int = 2) -> None:
    """A person's mistake: sentences on the stream for errors, nothing but them, and the code."""
    assert done.returncode == code, done.stdout + done.stderr
    for words in said:
        assert words in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "hunter2" not in done.stdout + done.stderr


# Results.


def test_a_session_without_a_control_room_tells_its_figures(session_run: Done, checkout: Checkout) -> None:
    figures = answer(session_run)
    assert (figures["session"], figures["cycles"], figures["runs"]) == (HALF_DAY.isoformat(), HALF_DAY_MINUTES, 0)
    assert figures["book"] == BOOK
    result = exchange_result(checkout.data / "paper" / f"{BOOK}.sqlite")
    assert Decimal(str(figures["realised_pnl"])) == result != 0
    assert "Equity, dollars" in session_run.stderr


def test_a_session_that_is_run_again_has_nothing_left_to_do(session_run: Done, checkout: Checkout) -> None:
    again = answer(checkout.run(*RUN, "--json"))
    assert {**again, "seconds": 0} == {**answer(session_run), "seconds": 0}
    other = checkout.run(*RUN, "--profile", "quiet")
    refused(other, "active_strategies", code=2)


def test_every_answer_can_be_had_as_json(session_run: Done, checkout: Checkout) -> None:
    figures = answer(session_run)
    of_book = ("--book", BOOK, "--json")
    assert answer(checkout.run("positions", *of_book)) == []
    fills = answer(checkout.run("fills", *of_book))
    assert len(fills) == figures["fills"]
    orders = answer(checkout.run("orders", *of_book))
    assert sum(order["filled"] for order in orders if order["kind"] != "reduce") == sum(
        one["quantity"] for one in fills
    )
    assert {order["state"] for order in orders} <= {"filled", "cancelled", "applied", "expired"}
    # A market entry has a stop of its own beside it; the price of that is not the entry's.
    assert {order["price"] for order in orders if order["type"] == "market"} == {None}
    stops = [order for order in orders if order["kind"] == "stop"]
    assert stops
    assert all(order["price"] == order["stop_price"] is not None for order in stops)
    profit = answer(checkout.run("pnl", *of_book))
    assert sum(Decimal(row["net"]) for row in profit) == Decimal(str(figures["realised_pnl"]))
    # Money is exact: text, never a binary fraction.
    assert all(isinstance(row[name], str) for row in profit for name in ("realised", "unrealised", "net"))
    assert {row["book"] for row in [*fills, *orders, *profit]} == {BOOK}
    status = answer(checkout.run("db", "status", "--json"))
    assert status["running"] is True
    assert status["port"] == checkout.server.status().port


def test_a_session_narrows_orders_and_fills(session_run: Done, checkout: Checkout) -> None:
    figures = answer(session_run)
    mine, other = ("--session", HALF_DAY.isoformat()), ("--session", "2024-07-05")
    assert len(answer(checkout.run("fills", "--book", BOOK, "--json", *mine))) == figures["fills"]
    assert answer(checkout.run("fills", "--book", BOOK, "--json", *other)) == []
    assert answer(checkout.run("orders", "--book", BOOK, "--json", *other)) == []


def test_tables_show_the_same_for_people(session_run: Done, checkout: Checkout) -> None:
    figures = answer(session_run)
    profit = checkout.run("pnl", "--book", BOOK)
    assert profit.returncode == 0
    shown = re.findall(r"(-?[\d.]+) *$", profit.stdout, re.MULTILINE)
    assert sum(Decimal(number) for number in shown) == Decimal(str(figures["realised_pnl"]))
    fills = checkout.run("fills", "--book", BOOK).stdout
    # Exchange time, to the minute.
    assert f"{HALF_DAY} 10:09" in fills
    # Every answer names its book, which left out is not the one that was meant.
    shown_orders = checkout.run("orders", "--book", BOOK).stdout
    titles = [text.splitlines()[0].strip() for text in (fills, shown_orders, profit.stdout)]
    assert titles == [f"Fills of book {BOOK}", f"Orders of book {BOOK}", f"Profit and loss of book {BOOK}"]
    assert checkout.run("positions", "--book", BOOK).stdout == f"Nothing is held in book {BOOK}.\n"


def test_the_configured_book_is_looked_at_without_an_option(session_run: Done, checkout: Checkout) -> None:
    assert session_run.returncode == 0
    rows = answer(checkout.run("fills", "--json", TRADING_PLATFORM_BOOK=BOOK))
    assert len(rows) == answer(session_run)["fills"]


def test_a_reader_that_has_read_enough_is_no_fault(session_run: Done, checkout: Checkout) -> None:
    assert session_run.returncode == 0
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [str(COMMAND), "orders", "--book", BOOK, "--json"],
        cwd=checkout.folder,
        env=checkout.environment(),
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


# The database.


def test_the_local_database_is_started_and_stopped(fresh: Checkout) -> None:
    down = fresh.run("db", "status")
    assert (down.returncode, down.stderr) == (1, "")
    assert down.stdout.startswith("The database does not run: the local server in ")
    assert fresh.run("db", "stop").returncode == 0

    started = fresh.run("db", "start")
    assert started.returncode == 0, started.stderr
    assert fresh.server.is_running()
    up = fresh.run("db", "status")
    assert (up.returncode, up.stdout) == (0, f"The database runs: the local server in {fresh.data / 'db'}.\n")
    migrated = fresh.run("db", "migrate")
    assert (migrated.returncode, migrated.stdout) == (0, "The ledger is at revision 0004.\n")
    password = (fresh.data / "db" / "password").read_text().strip()
    shown = fresh.run("db", "status", "--json")
    assert password not in started.stdout + up.stdout + shown.stdout

    assert fresh.run("db", "stop").returncode == 0
    assert not fresh.server.is_running()
    assert json.loads(fresh.run("db", "status", "--json").stdout)["running"] is False


def test_a_server_of_ones_own_is_used_and_never_stopped(
    fresh: Checkout, fresh_database: Callable[[], str], postgres_server: LocalServer
) -> None:
    url = fresh_database()
    assert fresh.run("db", "migrate", DATABASE_URL=url).returncode == 0
    assert answer(fresh.run("db", "status", "--json", DATABASE_URL=url)) == {"running": True, "fault": None}
    stopped = fresh.run("db", "stop", DATABASE_URL=url)
    refused(stopped, "DATABASE_URL names another server", "started and stopped where it lives")
    assert postgres_server.is_running()
    assert not (fresh.data / "db").exists()


@pytest.mark.parametrize("command", [("db", "start"), ("db", "migrate"), ("pnl",), DEMO, RUN])
def test_a_database_that_does_not_answer_is_a_fault_of_another_part(fresh: Checkout, command: tuple[str, ...]) -> None:
    refused(fresh.run(*command, DATABASE_URL=NOWHERE), "127.0.0.1:1/ledger does not answer", code=1)
    # Nothing was begun.
    assert not (fresh.data / "demo").exists()


def test_the_status_of_a_database_that_does_not_answer_says_why(fresh: Checkout) -> None:
    done = fresh.run("db", "status", "--json", DATABASE_URL=NOWHERE)
    assert done.returncode == 1
    status = json.loads(done.stdout)
    assert status["running"] is False
    assert "Connection refused" in status["fault"]
    assert "hunter2" not in done.stdout


# Mistakes.


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--session", "2024-07-06"), ("2024-07-06 (Saturday)", "nearest sessions are 2024-07-05 and 2024-07-08")),
        (("--session", "2024-07-04"), ("2024-07-04 (Thursday)", "nearest sessions are 2024-07-03 and 2024-07-05")),
        (("--session", "07/03/2024"), ("--session: '07/03/2024' is no date", "Write it as 2013-10-09")),
        (("--profile", "quite"), ("no profile 'quite'", "Did you mean 'quiet'?")),
        (("--data", "xls:here"), ("--data: 'xls:here' names no source of bars", "Give simulated, or lean:FOLDER, csv")),
        (("--symbols", "SIMA,s/y"), ("symbols: S/Y cannot be a symbol", "in capitals")),
        (("--symbols", "SIMA,SIMA"), ("symbols: SIMA is named twice",)),
        (("--data", "lean:nowhere", "--symbols", "SPY"), ("nowhere: is not a LEAN data folder", "contains equity")),
        (("--data", "lean:."), (".: is not a LEAN data folder", "contains equity")),
        (("--port", "70000"), ("'--port': 70000",)),
        (("--colour",), ("No such option",)),
    ],
    ids=lambda value: " ".join(value) if value and value[0].startswith("--") else "",
)
def test_a_mistake_in_the_demos_options_is_named_with_its_cure(
    checkout: Checkout, options: tuple[str, ...], said: tuple[str, ...]
) -> None:
    named = () if "--session" in options else ("--session", HALF_DAY.isoformat())
    refused(checkout.run("demo", "--no-ui", *named, *options), *said)
    # The next demo, without the mistake, must not be told of an unfinished one.
    assert not (checkout.data / "demo").exists()


def test_recorded_bars_that_are_not_there_end_it_before_it_begins(checkout: Checkout, tmp_path: Path) -> None:
    (tmp_path / "equity" / "usa" / "minute").mkdir(parents=True)
    data = ("--data", f"lean:{tmp_path}", "--symbols", "SPY,IBM")
    refused(checkout.run("demo", "--no-ui", *data), "no session is named", "SESSION=2013-10-09")
    named = (*data, "--session", "2013-10-09")
    for command in (("demo", "--no-ui", *named), ("session", "run", "--book", "empty", *named)):
        refused(checkout.run(*command), str(tmp_path), "the session of 2013-10-09 has no bar of SPY, IBM")
    assert not (checkout.data / "demo").exists()


def test_a_malformed_history_ends_it_before_it_begins(checkout: Checkout, tmp_path: Path) -> None:
    bars = write_tape(tmp_path / "bars", TAPE)
    named = ("--data", f"lean:{bars}", "--symbols", "AAA,BBB", "--session", DAY.isoformat())
    earlier = write_rows(bars, "AAA", ["34200000,1,1,1,1"], date(2013, 10, 8))
    for command in (("demo", "--no-ui", *named), ("session", "run", "--book", "history", *named)):
        refused(checkout.run(*command), str(earlier), "row 1")
    earlier.unlink()
    usa = bars / "equity" / "usa"
    daily = usa / "daily" / "bbb.zip"
    with zipfile.ZipFile(daily, "w") as archive:
        archive.writestr("bbb.csv", "20131008 00:00,200000,200000,200000,200000,1000\n")
    # A daily history without its factor file, which says what was split.
    (usa / "factor_files" / "bbb.csv").unlink()
    refused(checkout.run("demo", "--no-ui", *named), "factor_files", "bbb")
    assert not (checkout.data / "demo").exists()


def test_a_symbol_without_bars_beside_one_that_has_some_is_told(checkout: Checkout, lean_data: Path) -> None:
    named = ("--data", f"lean:{lean_data}", "--symbols", "SPY,NOPE", "--session", "2013-10-09")
    with checkout.started("session", "run", "--book", "half", *named) as process:
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert "There are no bars of NOPE in this session." in output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("positions", "--book", "nobody"), ("--book: there is no book 'nobody'", "Run make demo")),
        (("pnl",), ("there is no book 'paper'", "trading-platform session run first")),
        (("orders", "--session", "soon"), ("--session: 'soon' is no date",)),
        (("fills", "--book", "No Such"), ("configuration: account.book:", "(--book)")),
        (("session", "run"), ("no session is named", "--session 2013-10-09")),
        (("sessions",), ("No such command 'sessions'",)),
    ],
    ids=lambda value: " ".join(value) if len(value) < 4 else None,
)
def test_a_mistake_in_a_question_is_named_with_its_cure(
    checkout: Checkout, arguments: tuple[str, ...], said: tuple[str, ...]
) -> None:
    refused(checkout.run(*arguments), *said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, ("it cannot be read: No such file or directory", "must name a YAML or JSON file")),
        ("{", ("settings.json: line 1: a value is missing",)),
        ("[]", ("it does not hold names with values",)),
        ('{"limits": {"max_positions": 0}}', ("configuration: limits.max_positions:", "from 1 to 1,000 positions")),
        ('{"limit": {}}', ("configuration: limit:",)),
    ],
)
def test_a_mistake_in_the_configuration_is_named_with_its_place(
    fresh: Checkout, text: str | None, said: tuple[str, ...]
) -> None:
    path = fresh.folder / "settings.json"
    if text is not None:
        path.write_text(text)
    refused(fresh.run("db", "status", TRADING_PLATFORM_CONFIG=str(path)), *said)


def test_a_demos_state_that_cannot_be_read_is_named(fresh: Checkout) -> None:
    state = fresh.data / "demo" / "state.json"
    state.parent.mkdir(parents=True)
    state.write_text("{")
    refused(fresh.run(*DEMO), str(state), "it cannot be read", "make demo RESET=1")


def test_a_taken_port_is_said_before_anything_runs(fresh: Checkout) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = fresh.run("demo", "--session", HALF_DAY.isoformat(), "--port", str(port))
    refused(done, f"port {port}: ", "make demo PORT=", "make demo UI=0")
    assert not fresh.data.exists()


def test_two_demos_do_not_run_in_one_data_folder(fresh: Checkout) -> None:
    with exclusive(fresh.data):
        refused(fresh.run(*DEMO), f"another demo is running in {fresh.data}", "TRADING_PLATFORM_DATA", code=1)
    # The control: with the other one gone, it is refused for its own mistake.
    refused(fresh.run(*DEMO, "--profile", "quite"), "no profile 'quite'")


def test_a_folder_that_is_no_checkout_is_said(checkout: Checkout, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    done = subprocess.run(
        [str(COMMAND), *DEMO],
        cwd=tmp_path / "elsewhere",
        env=checkout.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    refused(done, "there is no dagster.yaml here", "Run it in the checkout's folder")
    assert not (checkout.data / "demo").exists()


@pytest.mark.parametrize("command", [("db", "start"), DEMO, RUN, ("pnl",)])
def test_a_data_folder_that_cannot_be_made_is_said(fresh: Checkout, command: tuple[str, ...]) -> None:
    (fresh.folder / "a file").write_text("")
    place = fresh.folder / "a file" / "data"
    refused(fresh.run(*command, TRADING_PLATFORM_DATA=str(place)), str(place), "TRADING_PLATFORM_DATA")


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system without room for a database."""
    place, mount = tmp_path / "tiny", shutil.which("mount")
    place.mkdir()
    if not ROOT or mount is None:
        pytest.skip("a small file system can be mounted by root only")
    if subprocess.run([mount, "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], check=False).returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.root
def test_a_full_disk_is_said(fresh: Checkout, tiny_disk: Path) -> None:
    done = fresh.run(*DEMO, TRADING_PLATFORM_DATA=str(tiny_disk))
    refused(done, str(tiny_disk / "db"), "there is no room for the local database", "TRADING_PLATFORM_DATA")


@pytest.mark.root
def test_a_disk_that_fills_in_mid_session_costs_nothing(
    session_run: Done, fresh: Checkout, tiny_disk: Path, fresh_database: Callable[[], str]
) -> None:
    changes = {"TRADING_PLATFORM_DATA": str(tiny_disk), "DATABASE_URL": fresh_database()}

    def run() -> Done:
        return subprocess.run(
            [str(COMMAND), *RUN, "--json"],
            cwd=fresh.folder,
            env=fresh.environment(**changes),
            capture_output=True,
            text=True,
            check=False,
        )

    resize(tiny_disk, "200k")
    refused(run(), f"the paper book {tiny_disk / 'paper' / BOOK}.sqlite could not be written", "disk is full", code=1)
    resize(tiny_disk, "10m")
    assert {**answer(run()), "seconds": 0} == {**answer(session_run), "seconds": 0}


def resize(disk: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)


def test_help_names_every_command(checkout: Checkout) -> None:
    done = checkout.run("--help")
    assert done.returncode == 0
    for command in ("demo", "session", "positions", "orders", "fills", "pnl", "db"):
        assert f"\n  {command} " in done.stdout
