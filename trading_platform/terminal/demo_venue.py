"""The broker of a demo where it is not the paper exchange: a local Alpaca, and the market that it is told as time passes.

The local Alpaca is the tests' own: a server that speaks Alpaca's API before a book of its own, kept in memory. It runs
as a process beside the demo and ends with it, however that ends. The platform talks to it through its real adapter; here
belongs what a market would do: the clock, and each minute's bars once they have closed.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, Final, Protocol

import trading_platform
from trading_platform.bootstrap import Platform
from trading_platform.calendars.sessions import exchange_day
from trading_platform.config.secrets import Secret
from trading_platform.config.settings import Brokers, Settings
from trading_platform.domain.clock import SimulatedClock
from trading_platform.domain.errors import InvalidInput, PermanentError
from trading_platform.domain.money import dollars_from_units
from trading_platform.marketdata.quality import judge

PAPER: Final = "paper"
ALPACA_LOCAL: Final = "alpaca-local"
BROKERS: Final = (PAPER, ALPACA_LOCAL)
"""What a demo can be run on."""

_SCRIPT: Final = Path("trading_platform_tests", "vendors", "alpaca", "serve.py")
_SECOND: Final = timedelta(seconds=1)
_MINUTE: Final = timedelta(minutes=1)
_PATIENCE: Final = 10
_PRICES: Final = ("open", "high", "low", "close")


class Feed(Protocol):
    """What is told how far time has come."""

    def __call__(self, before: datetime, now: datetime) -> None:
        """The clock stood at `before` and stands at `now`."""
        ...


class FollowedClock(SimulatedClock):
    """A simulated clock, and what follows it: whoever sets it goes on when that has come to the same moment."""

    def __init__(self, start: datetime) -> None:
        super().__init__(start)
        self._feed: Feed | None = None

    def lead(self, feed: Feed) -> None:
        """Let `feed` follow from now on."""
        self._feed = feed

    def advance_to(self, moment: datetime) -> None:
        """Set the clock, and wait for what follows. Raises ValueError if `moment` is in its past."""
        before = self.now()
        super().advance_to(moment)
        if self._feed is not None and self.now() > before:
            self._feed(before, self.now())


class LocalAlpaca:
    """The process of a local Alpaca. `address` is what its first line says: url, stream, key and secret."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path) -> None:
        self._process, self._log = process, log
        self.address = self._heard()

    def tell(self, **command: Any) -> dict[str, Any]:
        """Give it a command, and return its answer. Raises `PermanentError` if it has ended, or refuses."""
        try:
            _pipe(self._process.stdin).write(json.dumps(command) + "\n")
            _pipe(self._process.stdin).flush()
        except OSError:
            raise self._ended() from None
        answer = self._heard()
        if "error" in answer:
            raise PermanentError(f"the local Alpaca cannot take {', '.join(command)}: {answer['error']}")
        return answer

    def _heard(self) -> dict[str, Any]:
        line = _pipe(self._process.stdout).readline()
        try:
            return dict(json.loads(line))
        except ValueError:
            raise self._ended() from None

    def _ended(self) -> PermanentError:
        return PermanentError(
            f"the local Alpaca has ended by itself; what it said is in {self._log}. Its book was in memory: run the demo "
            "again, and it begins anew"
        )


@contextmanager
def local_alpaca(log: Path, *, cash: Decimal, now: datetime) -> Iterator[LocalAlpaca]:
    """Run a local Alpaca with so many dollars, at that moment. It ends with the block, or with this process.

    Raises:
        InvalidInput: There is no checkout of the sources, which it comes with.
        PermanentError: It does not start.
    """
    root = Path(trading_platform.__file__).resolve().parents[1]
    require_script(root)
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(root / _SCRIPT), "--cash", str(cash)]
    paths = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
    with log.open("w", encoding="utf-8") as said:
        # A session of its own: Ctrl-C is for the demo, which still asks it while it ends.
        process = subprocess.Popen(  # noqa: S603 (ours)
            command,
            cwd=root,
            env=os.environ | {"PYTHONPATH": paths},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            start_new_session=True,
        )
    try:
        venue = LocalAlpaca(process, log)
        venue.tell(clock=now.isoformat())
        yield venue
    finally:
        _end(process)


def require_script(root: Path) -> None:
    """Raise `InvalidInput` where the package was installed without a checkout of its sources."""
    if not (root / _SCRIPT).is_file():
        raise InvalidInput(
            f"the local Alpaca comes with a checkout of the sources, and there is none in {root}",
            where=f"--broker {ALPACA_LOCAL}",
            mend="Run it in a checkout (make demo), or leave --broker out and trade on the paper exchange",
        )


def on_paper(settings: Settings) -> Settings:
    """The same settings, trading on the paper exchange alone."""
    return settings.model_copy(update={"brokers": Brokers()})


def on_local(settings: Settings, venue: LocalAlpaca) -> Settings:
    """The same settings, trading at a local Alpaca alone."""
    told = venue.address
    account = settings.alpaca.model_copy(
        update={
            "key": Secret(told["key"]),
            "secret": Secret(told["secret"]),
            "base_url": told["url"],
            "stream_url": told["stream"],
        }
    )
    return settings.model_copy(update={"brokers": Brokers(primary="alpaca"), "alpaca": account, "live": False})


class MarketFeed:
    """Tells a local Alpaca the time and the bars of a platform's symbols, minute by minute, as its clock moves on."""

    def __init__(self, venue: LocalAlpaca, platform: Platform) -> None:
        self._venue, self._platform = venue, platform
        self._day: date | None = None
        self._bars: dict[datetime, list[dict[str, Any]]] = {}

    def __call__(self, before: datetime, now: datetime) -> None:
        """Tell what has closed between the two moments."""
        for start in sorted(self._of(now)):
            if before < start + _MINUTE <= now:
                # As at the paper exchange: within the minute that it is of, and before whoever sees it closed.
                self._venue.tell(clock=(start + _MINUTE - _SECOND).isoformat())
                for bar in self._bars[start]:
                    self._venue.tell(bar=bar)
        self._venue.tell(clock=now.isoformat())
        if before < self._platform.calendar.session(exchange_day(now)).close <= now:
            self._venue.tell(end_day=True)

    def _of(self, now: datetime) -> dict[datetime, list[dict[str, Any]]]:
        """The bars of the session that `now` lies in, by their start; what is malformed is left out."""
        day = exchange_day(now)
        if day != self._day:
            self._day, self._bars = day, {}
            session = self._platform.calendar.session(day)
            for symbol in self._platform.symbols:
                received = self._platform.provider.minute_bars(symbol, day, session.close)
                for row in judge(symbol, received, session)[0]:
                    start = datetime.fromtimestamp(int(row["time"]), UTC)
                    if start >= session.open:
                        self._bars.setdefault(start, []).append(_bar(symbol, row))
        return self._bars


def _bar(symbol: str, row: Any) -> dict[str, Any]:
    prices = {name: str(dollars_from_units(row[name])) for name in _PRICES}
    return {"symbol": symbol, **prices, "volume": int(row["volume"])}


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def _end(process: "subprocess.Popen[str]") -> None:
    """Close its input, which ends it, and wait."""
    try:
        process.communicate(timeout=_PATIENCE)
    except (subprocess.TimeoutExpired, OSError, ValueError):
        process.kill()
        process.wait()
