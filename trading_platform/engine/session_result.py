"""What a session came to, as numbers: from the ledger, so that a resumed session counts whole.

A book may have many sessions. Every figure here is of one: what later sessions did is left out, and so is what earlier
ones made. What they left behind, cash and holdings, is where the session begins.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Final

import numpy as np

from trading_platform.calendars.sessions import Session, ticks
from trading_platform.domain.decisions import DecisionKind, Verdict
from trading_platform.domain.money import dollars_from_units
from trading_platform.engine.inputs import unpack
from trading_platform.engine.values import Parts
from trading_platform.ledger.ledger import Ledger
from trading_platform.ledger.projections import Holdings, holdings
from trading_platform.ledger.rows import CycleHeader
from trading_platform.marketdata.fetch import fetch_bars
from trading_platform.performance.equity import equity_curve
from trading_platform.performance.pnl import Result, Totals, Trade, results_between, totals, trades

_REFUSED_BAR: Final = "bar"
"""How the judge of bars begins what it says of one (`marketdata.quality`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionResult:
    """A session's trades and results, its equity by minute, and the counts of what led to them.

    `trades` ended in the session. `results` are what it made; their quantity, cost and unrealised profit are those of
    all that was held at its close. `equity` is the book's then.
    """

    book: str
    session: date
    trades: tuple[Trade, ...]
    results: tuple[Result, ...]
    totals: Totals
    equity_curve: tuple[tuple[datetime, Decimal], ...]
    equity: Decimal
    counts: Mapping[str, int]


def session_result(parts: Parts, day: date) -> SessionResult:
    """Read the session from the ledger. Holdings are marked at the session's last closes, others stand at their cost."""
    ledger, session = parts.ledger, parts.calendar.session(day)
    cycles, decisions, own = ledger.cycles(day), ledger.decisions(day), ledger.fills(day)
    before = tuple(fill for fill in ledger.fills() if fill.time < session.premarket_open)
    opening_cash = ledger.opening_cash()
    opening, closing = holdings(opening_cash, before), holdings(opening_cash, before + own)
    closes = _closes(parts, session, closing)
    marks = {symbol: price for _, minute in closes for symbol, price in minute.items()}
    rows = results_between(opening.positions.values(), closing.positions.values(), marks)
    sums = totals(rows)
    entries = [one for one in decisions if one.kind is DecisionKind.ENTER]
    return SessionResult(
        book=ledger.book,
        session=day,
        trades=tuple(one for one in trades(before + own) if one.closed_at >= session.premarket_open),
        results=rows,
        totals=sums,
        equity_curve=equity_curve(opening.cash, own, closes[: len(cycles)], held=opening.positions.values()),
        equity=closing.cash + sum((row.cost + row.unrealised for row in rows), Decimal(0)),
        counts={
            "cycles": len(cycles),
            "refused_bars": _refused_bars(cycles),
            "signals": len(entries),
            "refused": sum(one.verdict is Verdict.REFUSED for one in decisions),
            "orders": sum(status.intent.kind.is_order for status in ledger.orders(day)),
            "fills": len(own),
            "round_trips": sums.round_trips,
        },
    )


def last_marks(ledger: Ledger) -> dict[str, Decimal]:
    """The prices in dollars at which the book's latest recorded cycle saw what was held or on order, by symbol.

    Of a symbol that its session does not trade there is none. Raises `Inconsistent` where the cycle's inputs have
    another format.
    """
    last = ledger.last_cycle()
    recorded = ledger.cycle(last.bar_time) if last is not None else None
    if recorded is None:
        return {}
    plain, arrays = unpack(recorded.inputs)
    seen = arrays["positions"]
    known = seen[np.asarray(seen["mark"]) > 0]
    return {plain["symbols"][int(one["symbol"])]: dollars_from_units(int(one["mark"])) for one in known}


def _refused_bars(cycles: Iterable[CycleHeader]) -> int:
    """The bars that were refused. Each cycle tells what is new in its minute, so they add up."""
    problems = (problem for cycle in cycles for problem in cycle.problems)
    return sum(problem.count for problem in problems if problem.what.startswith(_REFUSED_BAR))


def _closes(parts: Parts, session: Session, book: Holdings) -> list[tuple[datetime, dict[str, Decimal]]]:
    """For each minute of the session its end, and the closes of those of its symbols that the book ever held."""
    symbols = tuple(sorted({symbol for _, symbol in book.positions} & set(parts.symbols)))
    bars = fetch_bars(parts.provider, symbols, session, session.close)[0].bars
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
