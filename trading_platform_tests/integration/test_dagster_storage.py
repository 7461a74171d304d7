"""Dagster on the platform's database: the checkout's dagster.yaml, `dagster dev`, and every process that opens it."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trading_platform.domain.errors import DatabaseUnavailable, InvalidInput
from trading_platform.ledger.addresses import with_database
from trading_platform.ledger.embedded import LocalServer

CHECKOUT = Path(__file__).resolve().parents[2]
ENDED = {"SUCCESS", "FAILURE", "CANCELED"}
DEFINITIONS = """
import dagster as dg

@dg.op
def place(context: dg.OpExecutionContext) -> str:
    print("placed by the probe")
    return context.run_id

@dg.job(executor_def=dg.in_process_executor)
def session() -> None:
    place()

defs = dg.Definitions(jobs=[session])
"""
LAUNCH = """mutation($job: JobOrPipelineSelector!) { launchRun(executionParams: {selector: $job, runConfigData: {}}) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
# Tests may run in the background, where a shell makes children deaf to Ctrl-C.
HEED_INTERRUPTS = """if True:
    import os, signal, sys
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
STATUS = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    """A folder as the checkout is, with its dagster.yaml and small definitions, and a data folder of its own."""
    shutil.copy(CHECKOUT / "dagster.yaml", tmp_path)
    (tmp_path / "probe_definitions.py").write_text(DEFINITIONS)
    yield tmp_path
    LocalServer(tmp_path / "var" / "db").stop()


def environment(**changes: str) -> dict[str, str]:
    """The environment of a user who has set nothing, with `changes`."""
    unset = ("DAGSTER_HOME", "DATABASE_URL", "PYTHONWARNINGS")
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in unset and not name.startswith("TRADING_PLATFORM")
    }
    return kept | {"PYTHONPATH": str(CHECKOUT), "NO_COLOR": "1"} | changes


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(found: Callable[[], Any], *, seconds: int, what: str) -> Any:
    for _ in range(seconds * 5):
        answer = found()
        if answer:
            return answer
        time.sleep(0.2)
    raise AssertionError(f"no {what} within {seconds} s")


@contextlib.contextmanager
def dagster_dev(folder: Path, **changes: str) -> Iterator[str]:
    """`dagster dev` on a free port, as from a shell; ended by Ctrl-C, which must be clean."""
    address = f"http://127.0.0.1:{(port := free_port())}"
    with (folder / "dev.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-c", HEED_INTERRUPTS, "-m", "dagster", "dev", "-m", "probe_definitions", "-p", str(port)],
            cwd=folder,
            env=environment(**changes),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            until(lambda: server_info(address) or server.poll() is not None, seconds=120, what="answer of dagster dev")
            assert server.poll() is None, (folder / "dev.log").read_text()[-3000:]
            yield address
            server.send_signal(signal.SIGINT)
            assert server.wait(60) == 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def server_info(address: str) -> Any:
    try:
        with urllib.request.urlopen(f"{address}/server_info", timeout=5) as answer:
            return json.load(answer)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return None


def graphql(address: str, query: str, **variables: Any) -> Any:
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(f"{address}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)["data"]


def launch(address: str) -> str:
    """Launch the probe's job from the UI's door and return how its run ended."""
    job = {
        "repositoryName": "__repository__",
        "repositoryLocationName": "probe_definitions",
        "jobName": "session",
    }
    launched = graphql(address, LAUNCH, job=job)["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    run = launched["run"]["runId"]

    def ended() -> str | None:
        status = str(graphql(address, STATUS, id=run)["runOrError"]["status"])
        return status if status in ENDED else None

    return str(until(ended, seconds=90, what="end of the run"))


def run_python(folder: Path, code: str, **changes: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=folder,
        env=environment(**changes),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def runs_in(folder: Path) -> int:
    code = "import dagster as dg; print(len(dg.DagsterInstance.get().get_runs()))"
    done = run_python(folder, code, DAGSTER_HOME=str(folder))
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_bare_dagster_dev_runs_a_job_and_keeps_it(checkout: Path) -> None:
    with dagster_dev(checkout) as address:
        assert server_info(address)["dagster_webserver_version"]
        assert launch(address) == "SUCCESS"

    # The instance was a temporary one; what it stored is found by one with a home.
    assert runs_in(checkout) == 1
    assert sorted(path.name for path in checkout.iterdir() if path.name != "__pycache__") == [
        "dagster.yaml",
        "dev.log",
        "probe_definitions.py",
        "var",
    ]
    assert "placed by the probe" in "".join(
        file.read_text() for file in (checkout / "var" / "dagster" / "compute_logs").rglob("*.out")
    )
    password = (checkout / "var" / "db" / "password").read_text()
    assert password not in (checkout / "dev.log").read_text()


def test_dagster_dev_with_a_home_and_a_server_of_the_users_own(
    checkout: Path, fresh_database: Callable[..., str]
) -> None:
    # The database named is the ledger's; Dagster's is `dagster` on the same server.
    changes = {"DAGSTER_HOME": str(checkout), "DATABASE_URL": fresh_database(empty=True)}
    with dagster_dev(checkout, **changes) as address:
        assert launch(address) == "SUCCESS"
    assert not (checkout / "var" / "db").exists()


INSPECT = """if True:
    import json
    import dagster as dg
    from dagster._serdes import serialize_value, deserialize_value

    with dg.DagsterInstance.get() as instance:
        reference = serialize_value(instance.get_ref())
    with dg.DagsterInstance.from_ref(deserialize_value(reference)) as again:
        print(json.dumps({"reference": reference, "telemetry": again.telemetry_enabled,
            "nux": again.nux_enabled, "monitored": again.run_monitoring_enabled,
            "class": again.get_ref().storage_data.class_name}))
"""


def test_another_process_makes_the_same_instance_from_its_reference(checkout: Path) -> None:
    done = run_python(checkout, INSPECT, DAGSTER_HOME=str(checkout))
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["class"] == "LocalPostgresStorage"
    assert not said["telemetry"]
    assert not said["nux"]
    assert said["monitored"]
    assert (checkout / "var" / "db" / "password").read_text() not in said["reference"]


def test_the_file_of_settings_says_where_the_database_is(checkout: Path, fresh_database: Callable[..., str]) -> None:
    settings = checkout / "settings.json"
    settings.write_text(json.dumps({"data_folder": str(checkout / "named")}))
    done = run_python(checkout, INSPECT, DAGSTER_HOME=str(checkout), TRADING_PLATFORM_CONFIG=str(settings))
    LocalServer(checkout / "named" / "db").stop()
    assert done.returncode == 0, done.stderr
    assert (checkout / "named" / "db" / "password").exists()

    # An address may hold a password, so it stands in a file of its own.
    settings.write_text(json.dumps({"data_folder": str(checkout / "other")}))
    (checkout / "database_url").write_text(fresh_database(empty=True))
    named = {"TRADING_PLATFORM_CONFIG": str(settings), "DATABASE_URL_FILE": str(checkout / "database_url")}
    done = run_python(checkout, INSPECT, DAGSTER_HOME=str(checkout), **named)
    assert done.returncode == 0, done.stderr
    assert not (checkout / "other").exists()
    assert not (checkout / "var" / "db").exists()


def test_a_server_that_is_not_there_is_said_at_once(monkeypatch: pytest.MonkeyPatch, fresh_database: Any) -> None:
    from trading_platform.defs.storage import LocalPostgresStorage

    monkeypatch.setenv("DATABASE_URL", "postgresql://me:hunter2@127.0.0.1:1/ledger")
    with pytest.raises(DatabaseUnavailable, match=r"127\.0\.0\.1:1/dagster") as caught:
        LocalPostgresStorage()
    assert "hunter2" not in str(caught.value)
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:hunter2@127.0.0.1:1")
    with pytest.raises(InvalidInput, match="names no database") as bad:
        LocalPostgresStorage()
    assert "hunter2" not in str(bad.value)
    # The control: a server that is there is used.
    monkeypatch.setenv("DATABASE_URL", with_database(fresh_database(empty=True), "ledger"))
    storage = LocalPostgresStorage()
    assert not storage.run_storage.has_run("nobody")
