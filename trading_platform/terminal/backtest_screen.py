"""What a person sees of a backtest: how far it has come, what its trades came to, and the figures of the run.

Plain text, made without a library of tables: it is shown before anything heavy is imported. The progress bar needs one,
and is shown only where somebody looks and there is something to wait for.
"""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Final, Self

import numpy as np

from trading_platform.backtest.loop.minutes import run
from trading_platform.backtest.outcome import BacktestResult
from trading_platform.domain.clock import SystemClock
from trading_platform.domain.compiled import is_kept
from trading_platform.domain.money import cents, dollars_from_units
from trading_platform.performance.round_trips import net_profits

_PATIENCE: Final = 0.5
"""Seconds before a bar is shown."""
_NAMED: Final = 4
_DASH: Final = "-"


class Bar:
    """A progress bar with an estimate on the stream for errors, where that is a terminal; and what it waits for at first."""

    def __init__(self) -> None:
        self._clock = SystemClock()
        self._begun = self._clock.now()
        self._stack = ExitStack()
        self._show: Callable[[int, int], None] | None = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty() and not is_kept(run):
            sys.stderr.write("Compiling, once for this version: half a minute\n")
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def show(self, done: int, total: int) -> None:
        """So many sessions of so many are done."""
        if self._show is None:
            waited = (self._clock.now() - self._begun).total_seconds()
            if done == total or waited < _PATIENCE or not sys.stderr.isatty():
                return
            from trading_platform.terminal.counting import counting

            self._show = self._stack.enter_context(counting("sessions"))
        self._show(done, total)


def headline(result: BacktestResult, title: str) -> str:
    """The trades of each strategy, what they brought, and how the account ended."""
    tally = result.tally
    earned = result.closing - result.opening
    reasons = ", ".join(f"{rule.name.lower()} {count:,}" for rule, count in tally.refused.most_common(4))
    counts = (
        _counted(tally.bars, "bar"),
        f"{_counted(tally.entries, 'entry', 'entries')} decided",
        f"{sum(tally.refused.values()):,} refused{f' ({reasons})' if reasons else ''}",
        _counted(tally.orders, "order"),
        _counted(tally.changes, "change of orders", "changes of orders"),
        _counted(tally.executions, "fill"),
        f"{_counted(len(result.holdings), 'position')} held at the end",
    )
    account = (
        f"equity {money(result.opening)} to {money(result.closing)}, {money(earned)} or "
        f"{earned / result.opening:.2%}; {falls_said(result.deepest_fall, result.deepest_fall_at_closes)}"
    )
    table = aligned(("", "trades", "won", "before fees", "fees", "net"), _by_strategy(result))
    return "\n".join([title, "", *table, "", account, ", ".join(counts)])


def symbols_said(symbols: Sequence[str]) -> str:
    """The names of a few symbols; of more, how many there are."""
    return ", ".join(symbols) if len(symbols) <= _NAMED else f"{len(symbols):,} symbols"


def falls_said(by_minute: float, at_closes: float) -> str:
    """The deepest falls by their names: that of all minutes, and that of the closes, which Calmar is over."""
    return f"deepest fall {by_minute:.2%} by minute, {at_closes:.2%} at closes"


def figures_said(figures: Mapping[str, Any]) -> str:
    """The usual ratios of a run, from `summary.json`'s statistics; a dash for what is not defined."""
    own, trades = figures["returns"], figures["trades"]
    ratios = "  ".join(f"{name.capitalize()} {_ratio(own[name])}" for name in ("sharpe", "sortino", "calmar"))
    said = f"{ratios}  volatility {_percent(own['volatility'])}  profit factor {_ratio(trades['profit_factor'])}"
    beside = figures["benchmark"]
    if beside is None:
        return said
    held, excess = beside["returns"]["total_return"], beside["relative"]["excess_return"]
    return f"{said}\n{beside['symbol']} held: {_percent(held)}  excess {_percent(excess)}"


def aligned(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table as lines: the first column to the left, the others to the right."""
    lines = [tuple(heads), *map(tuple, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
        ).rstrip()
        for line in lines
    ]


def money(units: int) -> str:
    """Dollars and cents of so many 1/10,000 dollars; what rounds to nothing has no sign."""
    return f"{cents(dollars_from_units(units)) + 0:,}"


def _by_strategy(result: BacktestResult) -> list[tuple[str, ...]]:
    trades = result.trades.finished
    chosen = [(name, trades[trades["strategy"] == place]) for place, name in enumerate(result.strategies)]
    if len(chosen) > 1:
        chosen.append(("together", trades))
    return [_row(name, some) for name, some in chosen]


def _row(name: str, trades: Any) -> tuple[str, ...]:
    net = net_profits(trades)
    before = int((trades["proceeds"] - trades["cost"]).sum())
    won = f"{np.count_nonzero(net > 0) / trades.size:.1%}" if trades.size else _DASH
    return name, f"{trades.size:,}", won, money(before), money(int(trades["fees"].sum())), money(int(net.sum()))


def _counted(number: int, noun: str, nouns: str | None = None) -> str:
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def _ratio(value: float | None) -> str:
    return _DASH if value is None else f"{value:,.2f}"


def _percent(share: float | None) -> str:
    return _DASH if share is None else f"{share:.2%}"
