"""`reconnect` and `reconcile` as they are typed, run in this process: what they need, and what they refuse."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from trading_platform.bootstrap import open_ledger, paper_book
from trading_platform.cli import commands
from trading_platform.config.load import load
from trading_platform.domain.clock import SystemClock
from trading_platform.domain.errors import InvalidInput
from trading_platform_tests.vendors.alpaca.alpaca_server import KEY, SECRET, LocalAlpaca, local_alpaca

Typed = Callable[..., Result]


@pytest.fixture
def alpaca() -> Iterator[LocalAlpaca]:
    with local_alpaca(SystemClock().now) as server:
        yield server


@pytest.fixture
def typed(
    tmp_path: Path, fresh_database: Callable[[], str], alpaca: LocalAlpaca, monkeypatch: pytest.MonkeyPatch
) -> Typed:
    """What a person types in a new installation, with Alpaca configured and a database in which nothing is yet."""
    told = {
        "DATABASE_URL": fresh_database(),
        "TRADING_PLATFORM_DATA": str(tmp_path / "data"),
        "TRADING_PLATFORM_ENVIRONMENT": "staging",
        "TRADING_PLATFORM__BROKERS__PRIMARY": "alpaca",
        "TRADING_PLATFORM__ALPACA__BASE_URL": alpaca.url,
        "ALPACA_API_KEY": KEY,
        "ALPACA_API_SECRET": SECRET,
    }
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    return lambda *words: CliRunner().invoke(commands, words, standalone_mode=False)


def test_brokers_are_asked_before_any_book_is_opened(typed: Typed) -> None:
    answer = typed("reconnect", "--json")
    assert answer.exception is None
    found = json.loads(answer.output)
    assert found["book"] == "staging"
    assert [(one["venue"], one["answers"]) for one in found["brokers"]] == [("alpaca", True)]
    assert json.loads(typed("reconnect", "--json", "--book", "other").output)["book"] == "other"
    # Nothing was begun by it.
    settings = load(os.environ)
    ledger = open_ledger(settings)
    assert not ledger.is_open()
    ledger.engine.dispose()
    assert not paper_book(settings).exists()


def test_what_needs_a_book_says_how_one_is_opened(typed: Typed) -> None:
    error = typed("reconcile").exception
    assert isinstance(error, InvalidInput)
    assert "there is no book 'staging'" in str(error)
    assert "trading-platform session open" in str(error)


def test_a_reason_for_nothing_is_refused(typed: Typed) -> None:
    error = typed("reconcile", "--reason", "looked at it").exception
    assert isinstance(error, InvalidInput)
    assert str(error).startswith("--reason: a reason is given, and nothing is accepted. Name what stays as it is with")
    # The control: it is not looked at where something is accepted, or nothing is said.
    for words in (("--accept", "cash", "--reason", "looked at it"), ()):
        assert "there is no book" in str(typed("reconcile", *words).exception)
