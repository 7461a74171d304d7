"""What a person sees of a backtest while it runs: nothing of a short one, nothing where nobody looks, else a bar."""

import io
import sys

import pytest

from trading_platform.terminal import backtest_screen
from trading_platform.terminal.backtest_screen import Bar, aligned, money


class Stream(io.StringIO):
    """A stream for errors at which somebody looks, or nobody."""

    def __init__(self, *, looked_at: bool) -> None:
        super().__init__()
        self._looked_at = looked_at

    def isatty(self) -> bool:
        return self._looked_at


def shown(monkeypatch: pytest.MonkeyPatch, *, looked_at: bool, patience: float, compiled: bool = True) -> str:
    monkeypatch.setattr(backtest_screen, "is_kept", lambda _: compiled)
    stream = Stream(looked_at=looked_at)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(backtest_screen, "_PATIENCE", patience)
    # The terminal is said to be one that a bar can be drawn on.
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    with Bar() as bar:
        for done in (21, 42, 63):
            bar.show(done, 250)
    return stream.getvalue()


def test_a_long_run_shows_how_far_it_is_where_somebody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    said = shown(monkeypatch, looked_at=True, patience=-1.0)
    assert "sessions" in said
    assert "63/250" in said


@pytest.mark.parametrize(("looked_at", "patience"), [(False, -1.0), (True, 3_600.0)])
def test_nobody_and_a_short_run_see_no_bar(
    monkeypatch: pytest.MonkeyPatch, *, looked_at: bool, patience: float
) -> None:
    assert shown(monkeypatch, looked_at=looked_at, patience=patience) == ""


def test_somebody_who_waits_for_the_compiler_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    said = shown(monkeypatch, looked_at=True, patience=3_600.0, compiled=False)
    assert said == "Compiling, once for this version: half a minute\n"
    assert shown(monkeypatch, looked_at=False, patience=-1.0, compiled=False) == ""


def test_a_table_has_its_names_to_the_left_and_its_numbers_to_the_right() -> None:
    rows = [("one", "1,234", money(10_005_000)), ("together", "-", money(-49))]
    assert aligned(("", "trades", "net"), rows) == [
        "          trades       net",
        "one        1,234  1,000.50",
        "together       -      0.00",
    ]
