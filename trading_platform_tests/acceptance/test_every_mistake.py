"""Every mistake of docs/mistakes.md, made: what the page says that a user reads is what the program says.

A block of the page that begins with `$` is typed as it stands, in a folder that holds the files of the blocks beside it.
What a command needs besides (a book that was traded, a port that is taken) is prepared here, by the mistake's title.
A block that begins with `>` is something that happens in Dagster, and is made to happen here.
"""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import dagster as dg
import pytest
import sqlalchemy as sa
import yaml

from trading_platform.config.load import load
from trading_platform.defs.build import build_defs
from trading_platform.defs.jobs import SESSION_CLOSE, market_session
from trading_platform.defs.said import BAR_TAG, BOOK_TAG
from trading_platform.domain.clock import SimulatedClock
from trading_platform.domain.errors import InvalidInput
from trading_platform.ledger.addresses import wait_until_ready
from trading_platform.ledger.connection import open_engine, transaction
from trading_platform.terminal.demo_book import exclusive, read_state
from trading_platform_tests.factories.strategy_files import ENTER, PAST_THE_END, source, write
from trading_platform_tests.sessions.console import COMMAND, HALF_DAY_MINUTES, Checkout, new_checkout
from trading_platform_tests.sessions.five import FIRST, write_settings
from trading_platform_tests.sessions.short import Short, failures, short_session
from trading_platform_tests.sessions.tape import DAY

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "mistakes.md"
CODE: Final = re.compile(r"\(exit code (\d+)\)")
HEADER: Final = "open,high,low,close,volume"

pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """One mistake of the page. `files` are text by path; `said` are the lines that a user reads."""

    title: str
    command: str
    files: Mapping[str, str]
    said: tuple[str, ...]
    code: int | None


def _mistakes() -> Iterator[Mistake]:
    for section in re.split(r"^### ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        title, _, body = section.partition("\n")
        blocks = re.findall(r"^```(\w+) ?(\S*)\n(.*?)^```$", body, flags=re.MULTILINE | re.DOTALL)
        (text,) = [content for kind, _, content in blocks if kind == "text"]
        command, *said = text.splitlines()
        told = CODE.fullmatch(said[-1]) if said else None
        yield Mistake(
            title=title.strip(),
            command=command,
            files={path: content for kind, path, content in blocks if kind != "text"},
            said=tuple(said[:-1] if told else said),
            code=int(told.group(1)) if told else None,
        )


MISTAKES: Final = tuple(_mistakes())
TYPED: Final = tuple(one for one in MISTAKES if one.command.startswith("$ "))
IN_DAGSTER: Final = tuple(one for one in MISTAKES if one.command.startswith("> "))
BY_TITLE: Final = {one.title: one for one in MISTAKES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A folder of a test's own, on a data folder whose server runs. `variables` are set beside the command's own."""

    checkout: Checkout
    folder: Path
    stack: ExitStack
    variables: dict[str, str] = field(default_factory=dict)

    def run(self, words: list[str], **variables: str) -> "subprocess.CompletedProcess[str]":
        """Type a command in the folder."""
        return subprocess.run(
            [str(COMMAND), *words],
            cwd=self.folder,
            env=self.checkout.environment(**{"COLUMNS": "1000", **variables}),
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    def plain(self, text: str) -> str:
        """What was said, with the names of this machine's folders and ports as the page has them."""
        for path, name in ((self.checkout.data, "FOLDER/var"), (self.folder, "FOLDER")):
            text = text.replace(str(path), name)
        port = self.checkout.server.status().port
        return text.replace(f"127.0.0.1:{port}", "127.0.0.1:5432") if port is not None else text


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A checkout whose server runs, and in which the book `traded` has had one short session."""
    made = new_checkout(tmp_path_factory.mktemp("checkout"))
    settings = str(write_settings(made))
    for book in ("traded", "lost"):
        run = ("session", "run", "--session", FIRST.isoformat(), "--book", book)
        done = made.run(*run, TRADING_PLATFORM_CONFIG=settings)
        assert done.returncode == 0, done.stderr
    yield made
    made.server.stop()


@pytest.fixture
def place(checkout: Checkout, tmp_path: Path) -> Iterator[Place]:
    here = new_checkout(tmp_path)
    write_settings(here).rename(tmp_path / "short.yaml")
    write_bars(tmp_path / "bars")
    with ExitStack() as stack:
        yield Place(checkout=checkout, folder=tmp_path, stack=stack)


def write_bars(root: Path) -> None:
    """A user's CSV files of XYZ: one good minute, and the day before."""
    files = {
        "minute": f"time,{HEADER}\n2024-07-03 09:30,10,10,10,10,500\n",
        "daily": f"date,{HEADER}\n2024-07-02,10,10,10,10,1000000\n",
        "splits": "date,ratio\n",
    }
    for name, text in files.items():
        (root / name).mkdir(parents=True)
        (root / name / "XYZ.csv").write_text(text)


# ---- what a command needs besides the files of the page -------------------------------------------------------------


def a_file_is_gone(place: Place) -> None:
    (place.folder / "bars" / "splits" / "XYZ.csv").unlink()


def a_file_is_no_parquet(place: Place) -> None:
    for name in ("minute", "daily", "splits"):
        (place.folder / "columns" / name).mkdir(parents=True)
    (place.folder / "columns" / "minute" / "XYZ.parquet").write_bytes(b"time,open")


def the_paper_book_is_gone(place: Place) -> None:
    (place.checkout.data / "paper" / "lost.sqlite").unlink()


def a_step_misspells(place: Place) -> None:
    write(place.folder / "mine.py", source("out.level1 = bar.closing"))


def a_step_remembers(place: Place) -> None:
    write(place.folder / "mine.py", source("seen[0] += 1.0", top="seen = np.zeros(1)"))


def a_step_reads_past_the_end(place: Place) -> None:
    write(place.folder / "mine.py", source(PAST_THE_END))


def a_folder_holds_another_market(place: Place) -> None:
    day = ["--from", "2024-07-03", "--to", "2024-07-03"]
    assert place.run(["data", "import", "csv:bars", "columns", "--symbols", "XYZ", *day]).returncode == 0


def a_step_divides_by_nothing(place: Place) -> None:
    write(place.folder / "mine.py", source(f"{ENTER}    out.stop = bar.close / 0.0\n"))


def a_step_raises(place: Place) -> None:
    write(place.folder / "mine.py", source("if bar.minute > 2:\n    raise ValueError('no more')\n"))
    settings = yaml.safe_load((place.folder / "short.yaml").read_text())
    settings["active_strategies"] = [{"name": "mine", "file": "mine.py"}]
    (place.folder / "short.yaml").write_text(yaml.safe_dump(settings))


def another_demo_runs(place: Place) -> None:
    place.stack.enter_context(exclusive(place.checkout.data))


def the_servers_port(place: Place) -> None:
    place.variables["DATABASE_URL"] = BY_TITLE["The password of the database is wrong"].command.split("=")[1].split()[0]
    place.variables["DATABASE_URL"] = place.variables["DATABASE_URL"].replace(
        ":5432", f":{place.checkout.server.status().port}"
    )


def the_servers_account(place: Place) -> None:
    place.variables["DATABASE_URL"] = place.checkout.server.url("nodb")


def another_programs_database(place: Place) -> None:
    url = place.checkout.server.create_database("warehouse")
    engine = open_engine(url)
    with transaction(engine) as connection:
        connection.execute(sa.text("CREATE TABLE alembic_version (version_num varchar(32))"))
        connection.execute(sa.text("INSERT INTO alembic_version VALUES ('29b539ebc72a')"))
    engine.dispose()
    place.variables["DATABASE_URL"] = url


PREPARED: Final[Mapping[str, Callable[[Place], None]]] = {
    "A file that is missing": a_file_is_gone,
    "A Parquet file that is none": a_file_is_no_parquet,
    "The paper exchange's book is lost": the_paper_book_is_gone,
    "A step that does not compile": a_step_misspells,
    "A step whose numbers are not finite": a_step_divides_by_nothing,
    "A backtest of a step that does not compile": a_step_misspells,
    "A backtest of a step that remembers something outside its record": a_step_remembers,
    "A backtest of a step that reads past the end of an array": a_step_reads_past_the_end,
    "A backtest of a step whose numbers are not finite": a_step_divides_by_nothing,
    "Two sources in one folder of columns": a_folder_holds_another_market,
    "A step that raises while a session runs": a_step_raises,
    "Another demo is running": another_demo_runs,
    "The password of the database is wrong": the_servers_port,
    "The database is not there": the_servers_account,
    "The database is another program's": another_programs_database,
}
ELSEWHERE: Final = (
    "The port of the Dagster UI is taken",
    "The database is killed while a session runs",
    "Ctrl-C",
)
"""Those that have a test of their own below."""


def words_of(command: str) -> tuple[dict[str, str], list[str]]:
    """The variables and the words of a command line of the page."""
    words = shlex.split(command.removeprefix("$ "))
    begins = words.index("trading-platform")
    return dict(word.split("=", 1) for word in words[:begins]), words[begins + 1 :]


def is_what_the_page_says(mistake: Mistake, said: str, code: int | None = None) -> None:
    assert mistake.said, said
    lines = [line.strip() for line in said.splitlines()]
    for expected in mistake.said:
        wanted = re.compile(re.escape(expected.strip()).replace(re.escape("..."), ".*"))
        assert any(wanted.fullmatch(line) for line in lines), f"{expected}\n\nis not in\n\n{said}"
    assert code == mistake.code, said
    assert "Traceback" not in said


@pytest.mark.parametrize("mistake", [one for one in TYPED if one.title not in ELSEWHERE], ids=lambda one: one.title)
def test_the_command_says_what_the_page_says(place: Place, mistake: Mistake) -> None:
    for path, content in mistake.files.items():
        (place.folder / path).write_text(content)
    if mistake.title in PREPARED:
        PREPARED[mistake.title](place)
    variables, words = words_of(mistake.command)
    done = place.run(words, **{**variables, **place.variables})
    said = place.plain(done.stdout + done.stderr)
    is_what_the_page_says(mistake, said, done.returncode)
    assert "hunter2" not in said


def test_a_taken_port_is_said_as_on_the_page(place: Place) -> None:
    mistake = BY_TITLE["The port of the Dagster UI is taken"]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = place.run([port if word == "3000" else word for word in words_of(mistake.command)[1]])
    is_what_the_page_says(mistake, done.stderr.replace(port, "3000"), done.returncode)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Checkout]:
    """A checkout with a server of its own, which may be killed."""
    made = new_checkout(tmp_path)
    yield made
    made.server.stop()


def broken_off(checkout: Checkout, title: str, act: Callable[["subprocess.Popen[str]"], None]) -> None:
    """Do something to the page's session while it runs; it says so, and the same command then goes on to the end."""
    mistake = BY_TITLE[title]
    _, words = words_of(mistake.command)
    book = words[-1]
    with checkout.started(*words, COLUMNS="1000") as process:
        checkout.wait_for_cycles(book, 10, process)
        act(process)
        said, _ = process.communicate(timeout=120)
    port = re.search(r"127\.0\.0\.1:(\d+)", said)
    said = said.replace(port.group(1), "5432") if port is not None else said
    is_what_the_page_says(mistake, said, process.returncode)
    again = checkout.run(*words, "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["cycles"] == HALF_DAY_MINUTES
    assert checkout.cycles(book) == HALF_DAY_MINUTES


def test_a_killed_database_is_said_as_on_the_page_and_the_session_goes_on(own: Checkout) -> None:
    def kill_server(_: "subprocess.Popen[str]") -> None:
        pid = own.server.status().pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

    broken_off(own, "The database is killed while a session runs", kill_server)


def test_an_interrupt_is_said_as_on_the_page_and_the_session_goes_on(own: Checkout) -> None:
    broken_off(own, "Ctrl-C", lambda process: process.send_signal(signal.SIGINT))


# ---- what the page does not show --------------------------------------------------------------------------------------


def failed(done: "subprocess.CompletedProcess[str]", *said: str) -> None:
    assert done.returncode == 2, done.stdout + done.stderr
    assert all(words in done.stderr for words in said), done.stderr
    assert "Traceback" not in done.stderr


def test_an_account_without_rights_and_an_option_that_nobody_knows_are_said(place: Place) -> None:
    server = place.checkout.server
    engine = open_engine(server.create_database("closed"))
    with transaction(engine) as connection:
        connection.execute(sa.text("CREATE ROLE guest LOGIN PASSWORD 'hunter2'"))
    engine.dispose()
    address = re.sub(r"//[^@]*@", "//guest:hunter2@", server.url("closed"))
    failed(place.run(["pnl"], DATABASE_URL=address), "this account lacks a right that the ledger needs", "DATABASE_URL")
    option = f"{address}?colour=green"
    failed(place.run(["pnl"], DATABASE_URL=option), "DATABASE_URL: the address cannot be used", '"colour"')


def test_tables_of_another_program_are_said_and_left_as_they_are(place: Place) -> None:
    url = place.checkout.server.create_database("library")
    engine = open_engine(url)
    with transaction(engine) as connection:
        connection.execute(sa.text("CREATE TABLE books (title text)"))
    failed(place.run(["pnl"], DATABASE_URL=url), 'relation "books" already exists', "Name another database")
    assert sa.inspect(engine).get_table_names() == ["books"]
    with transaction(engine) as connection:
        connection.execute(sa.text("CREATE TABLE alembic_version AS SELECT text '29b539ebc72a' AS version_num"))
    engine.dispose()
    status = place.run(["status"], DATABASE_URL=url)
    assert status.returncode == 1
    assert "revision 29b539ebc72a, which this version does not know: it is another program's" in status.stdout


def test_a_database_that_is_not_there_is_not_waited_for(place: Place) -> None:
    begun = time.monotonic()
    with pytest.raises(InvalidInput, match='the server opens no session: database "nodb" does not exist'):
        wait_until_ready(place.checkout.server.url("nodb"), seconds=30)
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize(
    "written",
    [
        "[]",
        "null",
        '{"number": 1}',
        '{"number": "1", "session": "2024-07-03", "configuration": {}, "finished": false}',
        '{"number": 1, "session": "2024-07-03", "configuration": [], "finished": false}',
        '{"number": 1, "session": "2024-07-03", "configuration": {}, "finished": false, "colour": 1}',
    ],
)
def test_what_no_demo_has_written_is_said(tmp_path: Path, written: str) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "state.json").write_text(written)
    with pytest.raises(InvalidInput, match=r"it is not what a demo has written\. Start anew with --reset"):
        read_state(tmp_path)


def test_a_session_runs_on_the_day_that_its_calendar_has(place: Place) -> None:
    # A Saturday, of which the exchange knows nothing.
    run = ["session", "run", "--session", "2024-06-15", "--book", "weekend"]
    assert place.run(run, TRADING_PLATFORM_CONFIG="short.yaml").returncode == 0
    failed(place.run(run), "2024-06-15 (Saturday) is not a session of XNYS")


# ---- in Dagster -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """Dagster on a short session in which five minutes are recorded, and on the exchange's schedules."""

    short: Short

    def launched(self, job: str, *, partition: date | None = None, **op: Any) -> str:
        """What the one failed step of a run said."""
        (said,) = failures(self.short.run(job, partition=partition, **({"ops": op} if op else {}))).values()
        return said

    def tick(self, moment: datetime, *, late: timedelta = timedelta(), busy: bool = False) -> str | None:
        """Why the schedule of the minutes skipped a tick."""
        defs = build_defs(settings=load({}, {"clock": "system"}))
        found = defs.resolve_schedule_def("market_session_schedule")
        assert isinstance(found, dg.ScheduleDefinition)
        with dg.instance_for_test() as instance:
            if busy:
                tags = {BOOK_TAG: "paper", BAR_TAG: "2024-11-27 09:58"}
                instance.create_run_for_job(market_session, tags=tags, status=dg.DagsterRunStatus.STARTED)
            with dg.build_schedule_context(
                instance=instance,
                scheduled_execution_time=moment,
                resources={"clock": SimulatedClock(moment + late)},
                repository_def=defs.get_repository_def(),
            ) as context:
                return found.evaluate_tick(context).skip_message


TICK: Final = datetime(2024, 11, 27, 15, 0, tzinfo=UTC)


def minute_of(**tick: Any) -> dict[str, Any]:
    return {"fetch_market_data": {"config": tick}}


def taken_by_another(control: Control) -> str:
    lease = control.short.platform.ledger.take("job/elsewhere")
    try:
        return control.launched("market_session", **minute_of(session=DAY.isoformat()))
    finally:
        lease.release()


def unknown_partition(control: Control) -> str:
    with pytest.raises(dg.DagsterUnknownPartitionError) as raised:
        control.short.run(SESSION_CLOSE, partition=date(2009, 1, 1))
    return str(raised.value)


HAPPENS: Final[Mapping[str, Callable[[Control], str | None]]] = {
    "market_session is launched for a minute that is not its turn": lambda control: control.launched(
        "market_session", **minute_of(session=DAY.isoformat(), minute=9)
    ),
    "market_session is launched while another process trades the book": taken_by_another,
    "session_open is launched for what is no date": lambda control: control.launched(
        "session_open", list_universe={"config": {"session": "tomorrow"}}
    ),
    "session_close is launched with minutes still to come": lambda control: control.launched(
        SESSION_CLOSE, partition=DAY
    ),
    "session_close is launched for a session that was not opened": lambda control: control.launched(
        SESSION_CLOSE, partition=date(2013, 10, 8)
    ),
    "session_close is launched with a partition that is none": unknown_partition,
    "A tick that comes an hour late": lambda control: control.tick(TICK, late=timedelta(hours=1)),
    "A tick on a holiday": lambda control: control.tick(TICK + timedelta(days=1)),
    "A minute that comes while the one before it still runs": lambda control: control.tick(TICK, busy=True),
}
HOLIDAY: Final = "market_session is launched for a holiday"


@pytest.fixture
def control(tmp_path: Path, fresh_database: Callable[[], str]) -> Iterator[Control]:
    with short_session(tmp_path, fresh_database()) as short:
        short.run_minutes(upto=5)
        yield Control(short=short)


@pytest.mark.parametrize("mistake", [one for one in IN_DAGSTER if one.title != HOLIDAY], ids=lambda one: one.title)
def test_dagster_says_what_the_page_says(control: Control, mistake: Mistake) -> None:
    said = HAPPENS[mistake.title](control)
    assert said is not None
    is_what_the_page_says(mistake, said)


def test_a_holiday_is_said_as_on_the_page(tmp_path: Path, fresh_database: Callable[[], str]) -> None:
    hours = {"calendar": "XNYS"}
    with short_session(tmp_path, fresh_database(), market_hours=hours) as short:
        said = Control(short=short).launched("market_session", **minute_of(session="2024-07-04"))
    is_what_the_page_says(BY_TITLE[HOLIDAY], said)


# ---- the page itself --------------------------------------------------------------------------------------------------


def test_every_mistake_of_the_page_is_made_and_none_is_prepared_in_vain() -> None:
    assert len(BY_TITLE) == len(MISTAKES) == len(TYPED) + len(IN_DAGSTER)
    assert {one.title for one in IN_DAGSTER} == {*HAPPENS, HOLIDAY}
    assert {*PREPARED, *ELSEWHERE} <= {one.title for one in TYPED}
    assert all(one.code is not None for one in TYPED)
    # The wrong sentence would be seen.
    first = MISTAKES[0]
    with pytest.raises(AssertionError):
        is_what_the_page_says(replace(first, said=("What nobody says.",)), "\n".join(first.said), first.code)


def test_an_interrupt_waits_until_something_has_compiled(tmp_path: Path) -> None:
    script = tmp_path / "interrupted.py"
    script.write_text(INTERRUPTED)
    told = {}
    for way in ("guarded", "unguarded"):
        done = subprocess.run(
            [sys.executable, str(script), way],
            env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / way), "NUMBA_DISABLE_JIT": "0"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        told[way] = done.stdout.split()
    assert told == {"guarded": ["interrupted", "compiled"], "unguarded": ["interrupted", "broken"]}


INTERRUPTED: Final = """
import os, signal, sys
from numba.core import event
from trading_platform.domain.compiled import compiled

signal.signal(signal.SIGINT, signal.default_int_handler)
if sys.argv[1] == "unguarded":
    event._registered["numba:compiler_lock"].clear()

class Interrupts(event.Listener):
    def on_start(self, event):
        os.kill(os.getpid(), signal.SIGINT)
    def on_end(self, event):
        pass

event.register("numba:compile", Interrupts())

@compiled
def double(number):
    return number * 2

try:
    double(2)
except KeyboardInterrupt:
    print("interrupted", "compiled" if double.signatures else "broken")
"""
