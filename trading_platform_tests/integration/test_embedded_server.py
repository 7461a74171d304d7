"""The platform's own PostgreSQL server: it starts, survives what happens to servers, and says what is wrong."""

import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trading_platform.domain.errors import DatabaseUnavailable, InvalidInput, TradingPlatformError
from trading_platform.ledger import server_programs
from trading_platform.ledger.addresses import (
    driver_url,
    fault,
    ping,
    spoken,
    sqlalchemy_url,
    wait_until_ready,
    with_database,
)
from trading_platform.ledger.embedded import LocalServer, database_urls

ROOT = os.geteuid() == 0


@pytest.fixture
def new_server(tmp_path: Path) -> Iterator[Callable[[], LocalServer]]:
    made: list[LocalServer] = []

    def make() -> LocalServer:
        server = LocalServer(tmp_path / f"db{len(made)}", fsync=False)
        made.append(server)
        return server

    yield make
    for server in made:
        server.stop()


def in_new_process(code: str, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def query(url: str, statement: str) -> object:
    import psycopg2

    with contextlib.closing(psycopg2.connect(driver_url(url))) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        connection.commit()
        return cursor.fetchone()[0] if cursor.description else None


def test_a_first_start_makes_both_databases(new_server: Callable[[], LocalServer]) -> None:
    server = new_server()
    assert not server.status().initialised
    assert not server.is_running()

    server.ensure_running()

    assert server.status().running
    assert query(server.url("ledger"), "SELECT current_database()") == "ledger"
    assert query(server.url("dagster"), "SELECT current_database()") == "dagster"
    assert query(server.url("ledger"), "SHOW unix_socket_directories") == ""
    assert query(server.url("ledger"), "SHOW listen_addresses") == "127.0.0.1"
    assert query(server.url("ledger"), "SHOW timezone") == "UTC"


def test_only_its_owner_can_read_the_data_and_the_password(new_server: Callable[[], LocalServer]) -> None:
    server = new_server()
    server.start()
    folder = server.status().folder
    assert stat.S_IMODE((folder / "cluster").stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "password").stat().st_mode) == 0o600
    wrong = server.url("ledger").replace((folder / "password").read_text(), "wrong")
    message = fault(wrong)
    assert message is not None
    assert "password authentication failed" in message


def test_parent_folders_keep_their_rights(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    server = LocalServer(closed / "deep" / "db", fsync=False)
    try:
        server.start()
        assert server.is_running()
    finally:
        server.stop()
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert stat.S_IMODE((closed / "deep").stat().st_mode) & 0o077 & ~0o055 == 0
    assert closed.stat().st_uid == os.geteuid()


def test_it_outlives_the_process_that_starts_it_and_stops_from_another(new_server: Callable[[], LocalServer]) -> None:
    server = new_server()
    folder = str(server.status().folder)
    code = "import sys, pathlib; from trading_platform.ledger.embedded import LocalServer as S; "
    starter = in_new_process(code + "S(pathlib.Path(sys.argv[1]), fsync=False).start()", folder)
    # Its pipes close with it: a server that held them would hang this line.
    _, errors = starter.communicate(timeout=60)
    assert starter.returncode == 0, errors
    assert server.is_running()

    stopper = in_new_process(code + "S(pathlib.Path(sys.argv[1])).stop()", folder)
    _, errors = stopper.communicate(timeout=60)
    assert stopper.returncode == 0, errors
    assert not server.is_running()
    with pytest.raises(DatabaseUnavailable, match="not running"):
        server.url("ledger")


def test_two_processes_at_once_start_one_server(new_server: Callable[[], LocalServer]) -> None:
    server = new_server()
    code = """if True:
        import sys, pathlib
        from trading_platform.ledger.embedded import LocalServer
        server = LocalServer(pathlib.Path(sys.argv[1]), fsync=False)
        server.ensure_running()
        print(server.status().pid)"""
    starters = [in_new_process(code, str(server.status().folder)) for _ in range(3)]
    ends = [starter.communicate(timeout=120) for starter in starters]
    assert [starter.returncode for starter in starters] == [0, 0, 0], ends
    assert {printed.strip() for printed, _ in ends} == {str(server.status().pid)}


def test_starting_a_running_server_changes_nothing(new_server: Callable[[], LocalServer]) -> None:
    server = new_server()
    server.start()
    before = server.status()
    server.start()
    server.ensure_running()
    assert server.status() == before


def test_it_comes_back_after_a_kill_with_what_was_committed(new_server: Callable[[], LocalServer]) -> None:
    server = new_server()
    server.start()
    query(server.url("ledger"), "CREATE TABLE kept AS SELECT 7 AS number")
    before = server.status()
    assert before.pid is not None
    os.kill(before.pid, signal.SIGKILL)
    assert (before.folder / "cluster" / "postmaster.pid").exists()

    server.ensure_running()

    after = server.status()
    assert after.pid != before.pid
    assert after.port == before.port
    assert query(server.url("ledger"), "SELECT number FROM kept") == 7


def test_a_stale_pid_that_is_another_process_by_now_is_left_alone(new_server: Callable[[], LocalServer]) -> None:
    server = new_server()
    server.start()
    server.stop()
    bystander = subprocess.Popen(["sleep", "600"])
    try:
        # The kernel shows a new process's command a moment after it was started.
        while not server_programs.command_line(bystander.pid):
            time.sleep(0.01)
        pid_file = server.status().folder / "cluster" / "postmaster.pid"
        pid_file.write_text(f"{bystander.pid}\n{pid_file.parent}\n1\n5432\n\n127.0.0.1\n\nready\n")
        assert not server.is_running()
        server.stop()
        assert bystander.poll() is None
        server.start()
        assert server.is_running()
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_port_that_was_taken_meanwhile_is_changed(new_server: Callable[[], LocalServer]) -> None:
    server = new_server()
    server.start()
    port = server.status().port
    server.stop()
    assert port is not None
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        server.start()
        assert server.status().port != port
    new = server.status().port
    server.stop()
    assert json.loads((server.status().folder / "server.json").read_text()) == {"port": new}
    server.start()
    assert server.status().port == new


def test_a_start_that_was_cut_off_before_its_databases_is_finished(new_server: Callable[[], LocalServer]) -> None:
    server = new_server()
    server.start()
    server.drop_database("dagster")
    server.ensure_running()
    assert ping(server.url("dagster"))


def test_a_set_up_that_was_cut_off_is_begun_again(new_server: Callable[[], LocalServer]) -> None:
    server = new_server()
    rest = server.status().folder / "cluster.new" / "base"
    rest.mkdir(parents=True)
    server.start()
    assert server.is_running()
    assert not rest.exists()


def test_databases_are_made_and_dropped(new_server: Callable[[], LocalServer]) -> None:
    server = new_server()
    server.start()
    url = server.create_database("extra")
    with pytest.raises(InvalidInput, match="exists already"):
        server.create_database("extra")
    server.drop_database("extra")
    server.drop_database("extra")
    assert not ping(url)
    with pytest.raises(InvalidInput, match="cannot name a database"):
        server.create_database('x"; DROP DATABASE ledger; --')


def test_a_file_in_the_folders_place_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "db"):
        with pytest.raises(InvalidInput, match="a file stands where") as caught:
            LocalServer(place).start()
        assert caught.value.where == str(place)
        assert "TRADING_PLATFORM_DATA" in caught.value.mend


def test_a_folder_that_may_not_be_written_is_said(tmp_path: Path) -> None:
    # Root may write everywhere but in the kernel's own file system.
    place = Path("/proc/self/task") if ROOT else tmp_path / "closed"
    if not ROOT:
        place.mkdir(mode=0o500)
    with pytest.raises(InvalidInput, match=r"no right to write|cannot be used") as caught:
        LocalServer(place / "db").start()
    assert caught.value.mend


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB: too small for a cluster."""
    place = tmp_path / "tiny"
    place.mkdir()
    mount = shutil.which("mount")
    command = [str(mount), "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place)]
    if not ROOT or mount is None or subprocess.run(command, check=False).returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.root
def test_a_full_disk_is_said_and_leaves_nothing_half_made(tiny_disk: Path) -> None:
    server = LocalServer(tiny_disk / "db", fsync=False)
    with pytest.raises(InvalidInput, match="no room") as caught:
        server.start()
    assert "Free about" in caught.value.mend
    assert not server.status().initialised
    assert not (tiny_disk / "db" / "cluster.new").exists()

    subprocess.run(["mount", "-o", "remount,size=400m", str(tiny_disk)], check=True)
    server.start()
    assert server.is_running()
    server.stop()


def test_a_set_up_that_fails_leaves_nothing_half_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = LocalServer(tmp_path / "db", fsync=False)
    # A real initdb, made to fail by an option that it does not know.
    plain = server._initdb_options
    with monkeypatch.context() as patched:
        patched.setattr(server, "_initdb_options", lambda cluster: [*plain(cluster), "--no-such-option"])
        with pytest.raises(DatabaseUnavailable, match="no-such-option"):
            server.start()
    assert sorted(path.name for path in (tmp_path / "db").iterdir()) == ["lock", "password"]
    server.start()
    assert server.is_running()
    server.stop()


def test_a_lost_password_is_said(new_server: Callable[[], LocalServer]) -> None:
    server = new_server()
    server.start()
    file = server.status().folder / "password"
    kept = file.read_text()
    file.unlink()
    with pytest.raises(InvalidInput, match="password of the local database server"):
        server.ensure_running()
    file.write_text(kept)
    assert server.is_running()


@pytest.mark.skipif(not ROOT, reason="only root needs setpriv")
@pytest.mark.root
def test_root_without_setpriv_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InvalidInput, match="setpriv") as caught:
        LocalServer(tmp_path / "db").start()
    assert "util-linux" in caught.value.mend


def test_missing_programs_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_programs, "_WHEEL", "no_such_wheel")
    with pytest.raises(InvalidInput, match="not installed"):
        LocalServer(tmp_path / "db").start()


def test_data_of_a_version_that_is_not_there_is_said() -> None:
    newest = server_programs.find_programs().major
    assert server_programs.find_programs(newest).major == newest
    with pytest.raises(InvalidInput, match="written by PostgreSQL 9"):
        server_programs.find_programs(9)


def test_the_server_does_not_inherit_the_callers_secrets(
    new_server: Callable[[], LocalServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKER_API_SECRET", "made-up-secret")
    monkeypatch.setenv("PGPORT", "1")
    server = new_server()
    server.start()
    pid = server.status().pid
    environment = Path(f"/proc/{pid}/environ").read_bytes()
    assert b"PATH=" in environment
    assert b"made-up-secret" not in environment


def test_a_url_names_another_server() -> None:
    urls = database_urls(Path("nowhere"), "postgresql://me:p%40ss@db.example:6432/ledger?sslmode=require")
    assert urls.ledger == "postgresql+psycopg2://me:p%40ss@db.example:6432/ledger?sslmode=require"
    assert urls.dagster == "postgresql+psycopg2://me:p%40ss@db.example:6432/dagster?sslmode=require"
    assert "p%40ss" not in repr(urls)
    assert not Path("nowhere").exists()


def test_without_a_url_the_local_server_is_started(tmp_path: Path) -> None:
    try:
        urls = database_urls(tmp_path, None)
        assert ping(urls.ledger)
        assert ping(urls.dagster)
        assert urls == database_urls(tmp_path, "")
    finally:
        LocalServer(tmp_path / "db").stop()


@pytest.mark.parametrize(
    "url",
    [
        "mysql://me:hunter2@host/ledger",
        "postgresql://me:hunter2@host",
        "postgresql://me:hunter2@host:port/ledger",
        "postgresql://me:hun/ter2@host/ledger",
        "postgresql:///ledger",
        "me:hunter2@host/ledger",
        "postgresql://me:hunter2@[host/ledger",
    ],
)
def test_a_bad_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        sqlalchemy_url(url, where="DATABASE_URL")
    assert str(caught.value).startswith("DATABASE_URL: ")
    assert "hunter2" not in everything_said(caught.value)
    assert "ter2" not in everything_said(caught.value)


def test_a_server_that_is_not_there_is_said_without_the_password() -> None:
    url = with_database("postgresql+psycopg2://me:hunter2@127.0.0.1:1/ledger", "dagster")
    assert spoken(url) == "127.0.0.1:1/dagster"
    assert not ping(url)
    with pytest.raises(DatabaseUnavailable, match=r"127\.0\.0\.1:1/dagster") as caught:
        wait_until_ready(url, seconds=0.2)
    assert "hunter2" not in everything_said(caught.value)


def test_a_foreign_server_on_the_port_is_not_told_the_password() -> None:
    with socket.create_server(("127.0.0.1", 0)) as foreign:
        port = foreign.getsockname()[1]
        code = """if True:
            import sys
            from trading_platform.ledger.addresses import fault
            print(fault(f"postgresql://me:hunter2@127.0.0.1:{sys.argv[1]}/ledger?sslmode=disable", sure_of_scram=True))"""
        asker = in_new_process(code, str(port))
        session, _ = foreign.accept()
        with session:
            session.recv(1000)
            # AuthenticationCleartextPassword of PostgreSQL's protocol: R, length 8, 3.
            session.sendall(b"R" + (8).to_bytes(4, "big") + (3).to_bytes(4, "big"))
            session.settimeout(5)
            assert b"hunter2" not in session.recv(1000)
        said, errors = asker.communicate(timeout=30)
    assert "requested a cleartext password" in said, errors


def test_an_unready_server_is_waited_for(new_server: Callable[[], LocalServer]) -> None:
    server = new_server()
    server.start()
    url = server.url("ledger")
    server.stop()
    waiter = in_new_process(
        "import sys; from trading_platform.ledger.addresses import wait_until_ready as w; w(sys.argv[1], seconds=30)",
        url,
    )
    time.sleep(0.5)
    assert waiter.poll() is None
    server.start()
    _, errors = waiter.communicate(timeout=40)
    assert waiter.returncode == 0, errors


def everything_said(error: TradingPlatformError) -> str:
    """An exception's text and those of everything that it is chained to and shows."""
    said, link = "", error.__cause__
    said = f"{error} {error!r} {error.args}"
    while link is not None:
        said += f" {link} {link!r}"
        link = link.__cause__
    return said
