"""Tables in a terminal of 80 columns: words may be broken there, and a figure never."""

from typing import Any

import pytest

from trading_platform.terminal.screen import print_rows

ORDER: dict[str, Any] = {
    "bar_time": "2024-06-12T14:17:00+00:00",
    "strategy": "opening_range_breakout",
    "symbol": "SIMA",
    "kind": "reduce",
    "type": "market",
    "quantity": 12_345,
    "filled": 12_345,
    "price": "1234.5600",
    "state": "cancelled",
}
PROFIT: dict[str, Any] = {
    "strategy": "opening_range_breakout",
    "symbol": "SIMA",
    "bought_quantity": 123_456,
    "sold_quantity": 123_456,
    "realised": "-1143.0400",
    "unrealised": "1234.0000",
    "fees": "15.9600",
    "net": "-1149.0000",
}


@pytest.mark.parametrize("row", [ORDER, PROFIT], ids=["orders", "pnl"])
def test_no_figure_is_cut_or_broken(
    row: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    # As in a terminal, whose width counts.
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    print_rows([row], tuple(row), "Title")
    said = capsys.readouterr().out
    assert max(len(line) for line in said.splitlines()) <= 80
    assert "…" not in said
    figures = [str(value) for name, value in row.items() if name not in ("strategy", "bar_time")]
    shown = said.split()
    for figure in figures:
        assert figure.removesuffix("00") in shown, said
