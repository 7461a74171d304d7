"""The Dagster UI after a demo: `dagster dev` on the checkout's instance, until Ctrl-C."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

from trading_platform.domain.errors import InvalidInput

_HOST: Final = "127.0.0.1"
_PATIENCE: Final = 20
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


def serve(checkout: Path, port: int, settings_file: Path) -> int:
    """Run the UI until it ends or Ctrl-C; returns its exit code, 0 for Ctrl-C."""
    command = [sys.executable, "-W", _SUPERSEDED, "-m", "dagster", "dev", "-w", "workspace.yaml"]
    options = ["-h", _HOST, "-p", str(port), "--log-level", "warning"]
    environment = os.environ | {"DAGSTER_HOME": str(checkout), "TRADING_PLATFORM_CONFIG": str(settings_file)}
    # A session of its own and the signal's default: whoever started us, Ctrl-C reaches it through us alone.
    process = subprocess.Popen(  # noqa: S603 (our own interpreter and module)
        [*command, *options], cwd=checkout, env=environment, start_new_session=True
    )
    try:
        return process.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        os.killpg(process.pid, sign)
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            continue
