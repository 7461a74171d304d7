"""Other engines as processes of their own environments: each runs once for every line that it is sent."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    seconds: float
    trades: int
    cents: int
    peak_mb: float


class Peer:
    """One engine over the columns in a folder. Raises `OSError` where it does not start."""

    def __init__(self, python: Path, script: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [str(python), "-W", "ignore", str(HERE / script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        ready = self._line()
        self.name = ready.removeprefix("ready ")

    def run(self) -> Run:
        assert self._process.stdin is not None
        self._process.stdin.write("run\n")
        self._process.stdin.flush()
        seconds, trades, cents, kilobytes = self._line().split()
        peak = _peak(self._process.pid) or int(kilobytes)
        return Run(seconds=float(seconds), trades=int(trades), cents=int(cents), peak_mb=peak / 1024)

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            self._process.wait()
            raise OSError("it ended without an answer")
        return line


def _peak(pid: int) -> int | None:
    """The most memory that a process has had, in kilobytes; None where the machine does not say.

    What a process is told of itself begins with the peak of the one that started it.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), None)


def python_with(package: str, folder: Path | None) -> Path | None:
    """The interpreter of the first virtual environment in the folder that has the package."""
    if folder is None or not folder.is_dir():
        return None
    found = [path for path in sorted(folder.iterdir()) if any(path.glob(f"lib/python3.*/site-packages/{package}"))]
    return found[0] / "bin" / "python" if found else None
