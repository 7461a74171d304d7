"""The command `demo`: what its broker means beside a configured one, and what a person reads after Ctrl-C."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trading_platform.cli import INTERRUPTED, main
from trading_platform.cli.options import overrides_of
from trading_platform.config.load import load
from trading_platform.domain.errors import InvalidInput
from trading_platform.terminal import demo

REAL = {
    "TRADING_PLATFORM_ENVIRONMENT": "prod",
    "TRADING_PLATFORM__LIVE": "true",
    "TRADING_PLATFORM__IBKR__ACCOUNT": "U1234567",
}


@pytest.mark.parametrize("broker", ["paper", "alpaca-local"])
def test_a_demo_s_broker_is_its_own_on_a_market_that_is_made_up(broker: str) -> None:
    settings = load(REAL, overrides_of({"data": "simulated", "broker": broker}))
    assert (settings.brokers.primary, settings.brokers.backup, settings.live) == ("paper", None, False)
    # The control: at the configured brokers no such market is traded.
    with pytest.raises(InvalidInput, match="a market that is made up"):
        load(REAL, overrides_of({"data": "simulated", "broker": None}))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--broker", "alpaca-local"),
            "Stopped. It cannot go on: its local Alpaca, which kept its orders in memory, has",
        ),
        (("--broker", "paper"), "Stopped. Run it again to go on."),
        ((), "Stopped. Run it again to go on."),
    ],
    ids=["at a local Alpaca", "on paper", "as it is configured"],
)
def test_after_an_interrupt_it_is_said_whether_it_can_go_on(
    words: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "run_demo", interrupted)
    monkeypatch.setattr(sys, "argv", ["trading-platform", "demo", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == INTERRUPTED
    assert capsys.readouterr().err.strip().startswith(said)


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_make_hands_its_words_on_to_the_command() -> None:
    words = "SESSIONS=5 DATA=lean:a\\ folder SESSION=2024-07-03 SYMBOLS=A,B PROFILE=quiet BROKER=alpaca-local PORT=3001 UI=0 RESET=1"
    checkout = Path(__file__).resolve().parents[2]
    # A make that runs these tests hands its own words on in the environment.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        ["make", "--dry-run", "demo", *shlex.split(words)],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    _, _, said = done.stdout.replace("\\\n", " ").rpartition("trading-platform ")
    assert dict(zip(shlex.split(said)[1:-2:2], shlex.split(said)[2:-2:2], strict=True)) == {
        "--data": "lean:a folder",
        "--session": "2024-07-03",
        "--symbols": "A,B",
        "--sessions": "5",
        "--profile": "quiet",
        "--port": "3001",
        "--broker": "alpaca-local",
    }
    assert shlex.split(said)[-2:] == ["--no-ui", "--reset"]
