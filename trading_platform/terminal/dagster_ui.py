"""The Dagster UI after a demo: `dagster dev` on the checkout's instance, until Ctrl-C."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from trading_platform.config.variables import CONFIG, without_settings
from trading_platform.domain.errors import InvalidInput

_HOST: Final = "127.0.0.1"
_PATIENCE: Final = 20
_GLANCE: Final = 0.5
# `dagster dev` is what is pinned, and works; that it has a successor is nothing to tell whoever runs a demo.
_SUPERSEDED: Final = "ignore:Function `dev_command` is superseded"


def require_free(port: int) -> None:
    """Raise `InvalidInput` if something listens on the port already."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as error:
            raise InvalidInput(
                f"the port cannot be used: {error.strerror}",
                where=f"port {port}",
                mend="End what uses it, choose another (make demo PORT=3005), or go without the UI (make demo UI=0)",
            ) from error


def serve(checkout: Path, port: int, settings_file: Path, secrets: Mapping[str, str]) -> int:
    """Run the UI until it ends or Ctrl-C; returns its exit code, 0 for Ctrl-C. See `run_until_told`.

    Args:
        checkout: The folder with dagster.yaml and workspace.yaml.
        port: Where the UI listens.
        settings_file: What the UI's processes trade by. Variables that would change it are not handed on to them.
        secrets: What the file leaves out, by variable: the address of a server of the user's own, keys of a broker.
    """
    command = [sys.executable, "-W", _SUPERSEDED, "-m", "dagster", "dev", "-w", "workspace.yaml"]
    options = ["-h", _HOST, "-p", str(port), "--log-level", "warning"]
    environment = os.environ | {"DAGSTER_HOME": str(checkout)}
    environment = told_by_file(environment, settings_file, secrets)
    return run_until_told([*command, *options], folder=checkout, environment=environment)


def told_by_file(environment: Mapping[str, str], settings_file: Path, secrets: Mapping[str, str]) -> dict[str, str]:
    """`environment` without what would change the settings of the file, and with what the file leaves out."""
    return without_settings(environment) | {CONFIG: str(settings_file)} | dict(secrets)


def run_until_told(command: Sequence[str], *, folder: Path, environment: Mapping[str, str]) -> int:
    """Run `command` until it ends or we are told to end it; none of its processes is left behind.

    Returns its exit code, or 0 after Ctrl-C; a second Ctrl-C kills what is still ending. After SIGTERM or SIGHUP this
    process ends by that signal, as whoever sent it expects. It is for the main thread.
    """
    told: list[int] = []
    with _noted(told):
        # A session of its own and the signal's default: whoever started us, Ctrl-C reaches it through us alone.
        process = subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True)  # noqa: S603 (ours)
        try:
            while not told and not _ended(process, _GLANCE):
                pass
        finally:
            _end(process, told)
    if not told:
        return process.returncode
    if told[0] != signal.SIGINT:
        signal.signal(told[0], signal.SIG_DFL)
        signal.raise_signal(told[0])
    return 0


@contextmanager
def _noted(told: list[int]) -> Iterator[None]:
    """Note the signals that tell us to end, instead of obeying them: none can come between the child and its end."""
    before = {sign: signal.getsignal(sign) for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    # One that is ignored, as in the background or under nohup, stays so. Being told to terminate never is: a library
    # gives it the handler of Ctrl-C.
    heeded = {
        sign: handler for sign, handler in before.items() if handler is not signal.SIG_IGN or sign == signal.SIGTERM
    }
    for sign in heeded:
        signal.signal(sign, lambda number, _: told.append(number))
    try:
        yield
    finally:
        for sign, handler in heeded.items():
            signal.signal(sign, handler)


def _end(process: subprocess.Popen[bytes], told: list[int]) -> None:
    """End the child with all of its group: politely, and at once when we are told again."""
    heard = len(told)
    for sign in (signal.SIGINT, signal.SIGTERM):
        if process.poll() is None:
            os.killpg(process.pid, sign)
        for _ in range(int(_PATIENCE / _GLANCE)):
            if _ended(process, _GLANCE) or len(told) > heard:
                break
    # Its own children are left where it was killed, or died.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True
