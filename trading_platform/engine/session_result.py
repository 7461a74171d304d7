"""What a session came to, as numbers: from the ledger, so that a resumed session counts whole.

A book may have many sessions. Every figure here is of one: what later sessions did is left out, and so is what earlier
ones made. What they left behind, cash and holdings, is where the session begins.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
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
from trading_platform.performance.pnl import Result, Totals, Trade, results, results_between, totals, trades

_MINUTE: Final = timedelta(minutes=1)
_REFUSED_BAR: Final = "bar"
"""How the judge of bars begins what it says of one (`marketdata.quality`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionResult:
    """A session's trades and results, its equity by minute, and the counts of what led to them.

    `trades` ended in the session. `results` are what it made; their quantity, cost and unrealised profit are those of
    all that was held at its close. `equity` is the book's then. `brought` is the unrealised profit that its holdings
    came with: that of an earlier session's close.
    """

    book: str
    session: date
    trades: tuple[Trade, ...]
    results: tuple[Result, ...]
    totals: Totals
    equity_curve: tuple[tuple[datetime, Decimal], ...]
    equity: Decimal
    brought: Decimal
    counts: Mapping[str, int]

    @property
    def net(self) -> Decimal:
        """What the session made: the nets of a book's sessions add up to what its equity has gained."""
        return self.totals.net - self.brought


def session_result(parts: Parts, day: date) -> SessionResult:
    """Read the session from the ledger. Holdings are marked at the session's last closes, others stand at their cost."""
    ledger, session = parts.ledger, parts.calendar.session(day)
    cycles, decisions, fills = ledger.cycles(day), ledger.decisions(day), ledger.fills()
    before = tuple(fill for fill in fills if fill.time < session.premarket_open)
    # By when they were filled: an order may rest over the night.
    own = tuple(fill for fill in fills if session.premarket_open <= fill.time < session.after_hours_close)
    opening_cash = ledger.opening_cash()
    opening, closing = holdings(opening_cash, before), holdings(opening_cash, before + own)
    closes = _closes(parts, session, closing)
    # On the machine's clock minutes may be missed, the first ones too: the curve ends with the last recorded one.
    ends = cycles[-1].bar_time + _MINUTE if cycles else session.open
    recorded = [close for close in closes if close[0] <= ends]
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
        equity_curve=equity_curve(opening.cash, own, recorded, held=opening.positions.values()),
        equity=closing.cash + sum((row.cost + row.unrealised for row in rows), Decimal(0)),
        brought=_brought(parts, day, opening),
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


def _brought(parts: Parts, day: date, opening: Holdings) -> Decimal:
    """The unrealised profit of what was held before the session, at the closes of the book's session before it."""
    held = [one for one in opening.positions.values() if one.quantity]
    earlier = parts.ledger.session_before(day) if held else None
    if earlier is None:
        return Decimal(0)
    closes = _closes(parts, parts.calendar.session(earlier), opening)
    marks = {symbol: price for _, minute in closes for symbol, price in minute.items()}
    return sum((one.unrealised for one in results(held, marks)), Decimal(0))


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
