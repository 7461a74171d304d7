"""What the demo shows in the terminal: a progress bar, then trades, positions, profit and the equity curve."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from trading_platform.calendars.sessions import EXCHANGE_ZONE
from trading_platform.domain.money import cents
from trading_platform.domain.reports import Break, CycleReport, Listing, PreflightCheck
from trading_platform.engine.session_result import SessionResult
from trading_platform.marketdata.fetch import UNUSABLE
from trading_platform.orders.breaks import ACCOUNT
from trading_platform.performance.pnl import Result, Trade

_WIDE: Final = 200
_MAY_BREAK: Final = frozenset(["strategy", "bar_time", "time", "opened_at"])
_NUMBERS: Final = frozenset(
    [
        "shares",
        "held",
        "quantity",
        "filled",
        "bought",
        "sold",
        "bought_quantity",
        "sold_quantity",
        "price",
        "cost",
        "fee",
        "realised",
        "unrealised",
        "open",
        "fees",
        "net",
        "trips",
        "signals",
        "orders",
        "equity",
    ]
)


class SessionProgress:
    """Moves the bar with each cycle, and says once what a person must know while it runs."""

    def __init__(self, progress: Progress, minutes: int, name: str) -> None:
        self._progress = progress
        self._task = progress.add_task(name, total=minutes, equity="", clock="")
        self._told: set[str] = set()

    def skip(self, minutes: int) -> None:
        """Minutes that an earlier start has run."""
        self._progress.update(self._task, completed=minutes)

    def show(self, report: CycleReport) -> None:
        """One more cycle."""
        clock = report.bar_time.astimezone(EXCHANGE_ZONE).strftime("%H:%M")
        self._progress.update(
            self._task,
            advance=1,
            clock=clock,
            equity=f"equity {cents(report.equity):,}  positions {report.positions}",
        )
        for said in _to_be_known(report):
            if said not in self._told:
                self._told.add(said)
                self._progress.console.print(f"{clock} {said}", style="yellow", highlight=False, markup=False)


def break_said(found: Break) -> str:
    """A difference between ledger and broker, and what it keeps from being done."""
    if found.symbol == ACCOUNT:
        return f"The account differs: {found.what}. Nothing is entered while it does."
    return f"{found.symbol} differs: {found.what}. Nothing is entered in it while it does."


def _to_be_known(report: CycleReport) -> Iterator[str]:
    """What keeps entries away, in sentences: accounts that differ, strategies set aside, files that cannot be used."""
    yield from map(break_said, report.reconciled.breaks)
    yield from report.faults
    for problem in report.problems:
        if problem.what.startswith(UNUSABLE):
            yield f"{problem.symbol}: {problem.what}"


@contextmanager
def session_progress(console: Console, minutes: int, name: str = "session") -> Iterator[SessionProgress]:
    """A progress bar for a session of so many minutes."""
    columns = (
        TextColumn("{task.description}"),
        TextColumn("{task.fields[clock]:>5}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[equity]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        yield SessionProgress(progress, minutes, name)


def note_silent(console: Console, symbols: Sequence[str]) -> None:
    """Say which symbols have no bars; nothing is said if all have some."""
    if symbols:
        console.print(f"[yellow]There are no bars of {', '.join(symbols)} in this session.[/yellow]")


def show_result(console: Console, result: SessionResult) -> None:
    """Trades, positions and profit of one session as tables, and its equity curve."""
    of = f"book {result.book}, session {result.session}"
    console.print(trades_table(result.trades, of) if result.trades else "No round trip was finished.")
    held = [row for row in result.results if row.quantity]
    console.print(results_table(result.results, of) if result.results else "Nothing was traded.")
    console.print(f"{len(held)} positions are open." if held else "All positions are closed.")
    if len({equity for _, equity in result.equity_curve}) > 1:
        chart = equity_chart(result.equity_curve, width=min(console.width, 100))
        console.print(chart, highlight=False, markup=False)
    sums = result.totals
    console.print(
        f"Realised {cents(sums.realised):,}  open {cents(sums.unrealised):,}  fees {cents(sums.fees):,}  "
        f"[bold]net {cents(sums.net):,}[/bold]  equity {cents(result.equity):,} dollars"
    )
    refused = result.counts["refused_bars"]
    if refused:
        said = "1 bar was" if refused == 1 else f"{refused:,} bars were"
        console.print(f"[yellow]{said} refused as malformed, and nothing was traded on them.[/yellow]")


def show_universe(console: Console, listed: Sequence[Listing]) -> None:
    """How many symbols can be traded, and what the others lack."""
    console.print(f"{sum(one.tradable for one in listed)} of {len(listed)} symbols can be traded.")
    for one in listed:
        if one.lacks + one.misses:
            console.print(f"[yellow]{one.symbol}: {', '.join(one.lacks + one.misses)}[/yellow]", highlight=False)


def show_checks(console: Console, checks: Sequence[PreflightCheck]) -> None:
    """What was looked at before a session, a line each."""
    table = _table("Before the session", "check", "passed", "found")
    table.columns[-1].no_wrap = False
    for one in checks:
        table.add_row(one.name, "yes" if one.passed else "[red]no[/red]", escape(one.detail))
    console.print(table)


def show_sessions(console: Console, figures: Sequence[Mapping[str, Any]]) -> None:
    """Several sessions of one book, a line each."""
    table = _table(f"Sessions of book {figures[0]['book']}", "session", "signals", "orders", "trips", "net", "equity")
    for one in figures:
        counts = (str(one[name]) for name in ("signals", "orders", "round_trips"))
        table.add_row(
            one["session"], *counts, *(_money(Decimal(str(one[name]))) for name in ("realised_pnl", "equity"))
        )
    console.print(table)


def trades_table(rows: Iterable[Trade], of: str) -> Table:
    """Finished round trips of what the title names; times are exchange time, prices averages. Legs of an exit are one row."""
    table = _table(f"Trades of {of}", "symbol", "in", "out", "shares", "bought", "sold", "realised", "fees", "net")
    for row in rows:
        opened, closed = (moment.astimezone(EXCHANGE_ZONE) for moment in (row.opened_at, row.closed_at))
        table.add_row(
            row.symbol,
            f"{opened:%H:%M}" if opened.date() == closed.date() else f"{opened:%Y-%m-%d %H:%M}",
            f"{closed:%H:%M}",
            f"{row.quantity:,}",
            f"{row.entry_price:,.2f}",
            f"{row.exit_price:,.2f}",
            *(_money(amount) for amount in (row.realised, row.fees, row.net)),
        )
    return table


def results_table(rows: Sequence[Result], of: str) -> Table:
    """Profit by strategy and symbol of what the title names."""
    table = _table(f"Profit and loss of {of}", "strategy", "symbol", "held", "realised", "open", "fees", "net", "trips")
    for row in rows:
        table.add_row(
            row.strategy,
            row.symbol,
            f"{row.quantity:,}",
            *(_money(amount) for amount in (row.realised, row.unrealised, row.fees, row.net)),
            str(row.round_trips),
        )
    return table


def print_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], title: str) -> None:
    """Print rows as a table under a title; where nobody looks (a file, a pipe) a line is as wide as it needs to be."""
    table = _table(title, *columns)
    for row in rows:
        table.add_row(*(_cell(row[name]) for name in columns))
    console = Console()
    Console(width=None if console.is_terminal else _WIDE).print(table)


def _cell(value: object) -> str:
    """A value as people read it. Times are exchange time; money is shown to the cent unless it is finer."""
    text = "" if value is None else str(value)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text.removesuffix("00") if re.fullmatch(r"-?\d+\.\d\d00", text) else text
    return f"{moment.astimezone(EXCHANGE_ZONE):%Y-%m-%d %H:%M}" if moment.tzinfo else text


def equity_chart(curve: Sequence[tuple[datetime, Decimal]], *, width: int) -> str:
    """The equity curve as text: one point a minute, the hours in exchange time below."""
    import plotext

    hours = [
        (place, f"{moment.astimezone(EXCHANGE_ZONE):%H:%M}")
        for place, (moment, _) in enumerate(curve, start=1)
        if place == 1 or moment.astimezone(EXCHANGE_ZONE).minute == 0
    ]
    plotext.clear_figure()
    plotext.plotsize(width, 14)
    plotext.title("Equity, dollars")
    plotext.plot([float(value) for _, value in curve], marker="braille")
    plotext.xticks(*(list(part) for part in zip(*hours, strict=True)))
    chart: str = plotext.uncolorize(plotext.build())
    return chart


def _table(title: str, *columns: str) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    for name in columns:
        # In a narrow terminal the longest words are broken, and never a figure.
        table.add_column(
            name.replace("_", "\n"),
            justify="right" if name in _NUMBERS else "left",
            no_wrap=name not in _MAY_BREAK,
            overflow="fold",
        )
    return table


def _money(amount: Decimal) -> str:
    shown = f"{cents(amount):,}"
    return f"[red]{shown}[/red]" if amount < 0 else shown
