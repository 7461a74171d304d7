"""What a session came to, as numbers: from the ledger, so that a resumed session counts whole."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from trading_platform.bootstrap import Platform
from trading_platform.calendars.sessions import ticks
from trading_platform.domain.decisions import DecisionKind, Verdict
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.fills import Fill
from trading_platform.domain.money import cents, dollars_from_units
from trading_platform.ledger.projections import holdings
from trading_platform.marketdata.fetch import fetch_bars
from trading_platform.performance.equity import equity_curve
from trading_platform.performance.pnl import Result, Totals, Trade, results, totals, trades


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionResult:
    """A session's trades and results, its equity by minute, and the counts of what led to them."""

    trades: tuple[Trade, ...]
    results: tuple[Result, ...]
    totals: Totals
    equity_curve: tuple[tuple[datetime, Decimal], ...]
    equity: Decimal
    counts: Mapping[str, int]


def session_result(platform: Platform, day: date) -> SessionResult:
    """Read the session from the ledger. Holdings are marked at the session's last known prices."""
    ledger = platform.ledger
    cycles, decisions = ledger.cycles(day), ledger.decisions(day)
    fills = ledger.fills()
    opening_cash = ledger.opening_cash()
    book = holdings(opening_cash, fills)
    closes = _closes(platform, day, fills)
    rows = results(book.positions.values(), {one: price for _, minute in closes for one, price in minute.items()})
    sums = totals(rows)
    held = sum((row.cost + row.unrealised for row in rows), Decimal(0))
    entries = [one for one in decisions if one.kind is DecisionKind.ENTER]
    return SessionResult(
        trades=trades(fills),
        results=rows,
        totals=sums,
        equity_curve=equity_curve(opening_cash, fills, closes[: len(cycles)]),
        equity=book.cash + held,
        counts={
            "cycles": len(cycles),
            "signals": len(entries),
            "refused": sum(one.verdict is Verdict.REFUSED for one in decisions),
            "orders": sum(status.intent.kind.is_order for status in ledger.orders(day)),
            "fills": len(fills),
            "round_trips": sums.round_trips,
        },
    )


def _closes(platform: Platform, day: date, fills: tuple[Fill, ...]) -> list[tuple[datetime, dict[str, Decimal]]]:
    """For each minute of the session its end, and the closes of what was traded."""
    session = platform.calendar.session(day)
    symbols = tuple(sorted({fill.symbol for fill in fills}))
    bars = fetch_bars(platform.provider, symbols, session, session.close)[0].bars
    return [
        (
            tick,
            {
                symbol: dollars_from_units(bar["close"])
                for symbol, bar in zip(symbols, bars[:, minute], strict=True)
                if bar["time"]
            },
        )
        for minute, tick in enumerate(ticks(session))
    ]


def summary(platform: Platform, day: date, result: SessionResult, *, runs: int, seconds: float) -> dict[str, Any]:
    """The figures of `summary.json`. Dollars to the cent; `realised_pnl` is after fees."""
    counts = result.counts
    return {
        "session": day.isoformat(),
        "provider": platform.provider.source.provider,
        "symbols": list(platform.symbols),
        "cycles": counts["cycles"],
        "runs": runs,
        "signals": counts["signals"],
        "refused": counts["refused"],
        "orders": counts["orders"],
        "fills": counts["fills"],
        "round_trips": counts["round_trips"],
        "realised_pnl": _dollars(result.totals.realised - result.totals.fees),
        "realised_before_fees": _dollars(result.totals.realised),
        "unrealised_pnl": _dollars(result.totals.unrealised),
        "fees": _dollars(result.totals.fees),
        "equity": _dollars(result.equity),
        "seconds": round(seconds, 1),
        "book": platform.ledger.book,
    }


def write_summary(path: Path, figures: Mapping[str, Any]) -> None:
    """Write the figures as JSON. Raises `InvalidInput` where that cannot be done."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise InvalidInput(
            f"it cannot be written: {error.strerror}",
            where=str(path),
            mend="Make room there and run it again: nothing is traded twice",
        ) from error


def _dollars(amount: Decimal) -> float:
    """Two decimals, exactly as the nearest double prints them."""
    return float(cents(amount))
