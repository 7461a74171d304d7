"""What a session came to, read for its close: counts by minute, strategy, rule and state, profit, positions and cash.

Each figure is worked out from what is recorded, most of them by the database alone; positions are a fold of the fills
(`projections`), so that profit in SQL and the fold can be held against each other. Nothing is stored. What a figure
should be is judged by whoever asks.

Fills belong to the session in whose hours they were executed, from its pre-market's open to the end of after-hours;
signals, decisions and orders to the session that they were recorded for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa

from trading_platform.calendars.sessions import Session
from trading_platform.domain.decisions import DecisionKind, Rule, Verdict
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.fills import Fill, Position
from trading_platform.domain.orders import IntentKind, OrderState, OrderStatus, Side
from trading_platform.ledger import fill_queries, queries
from trading_platform.ledger.queries import ProfitAndLoss
from trading_platform.ledger.rows import CycleHeader

# What belongs together is read from one snapshot, in whatever order it is asked for.
_ONE_SNAPSHOT: Final = sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")

_SIGNALS: Final = sa.text("""
/* session_signals: entries and reasons against holding, by strategy */
SELECT strategy, count(*) FILTER (WHERE entry) AS entries, count(*) FILTER (WHERE exits <> 0) AS exits
FROM cycles JOIN signals USING (book, bar_time)
WHERE cycles.book = :book AND session = :session GROUP BY strategy ORDER BY strategy
""")

_DECISIONS: Final = sa.text("""
/* session_decision_counts: by kind, verdict and rule */
SELECT kind, verdict, rule, count(*) AS decisions
FROM cycles JOIN decisions USING (book, bar_time)
WHERE cycles.book = :book AND session = :session GROUP BY kind, verdict, rule ORDER BY kind, verdict, rule
""")

_FILLS: Final = sa.text("""
/* session_fill_sums: of executions between two moments, by strategy, symbol and side */
SELECT strategy, symbol, side, count(*) AS fills, sum(quantity)::bigint AS shares,
       sum(quantity * price) AS notional, sum(fee) AS fees
FROM standing_fills WHERE book = :book AND executed_at >= :since AND executed_at < :until
GROUP BY strategy, symbol, side ORDER BY strategy, symbol, side
""")

_CASH: Final = sa.text("""
/* cash_booked: what was bought and sold for, and the fees, of all executions that were booked by a moment */
SELECT coalesce(sum(quantity * price) FILTER (WHERE side = 'buy'), 0::numeric(20, 4)) AS bought,
       coalesce(sum(quantity * price) FILTER (WHERE side = 'sell'), 0::numeric(20, 4)) AS sold,
       coalesce(sum(fee), 0::numeric(20, 4)) AS fees
FROM standing_fills WHERE book = :book AND (CAST(:booked_by AS timestamptz) IS NULL OR booked_at <= :booked_by)
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalCount:
    """How often a strategy said that a symbol is to be entered, and how often that it is not to be held."""

    strategy: str
    entries: int
    exits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionCount:
    """How many decisions of a kind had a verdict by a rule."""

    kind: DecisionKind
    verdict: Verdict
    rule: Rule
    decisions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCount:
    """How many intents of a kind stand in a state, and their shares in all."""

    kind: IntentKind
    state: OrderState
    orders: int
    shares: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FillSum:
    """Executions of one strategy in one symbol on one side. `notional` and `fees` in dollars."""

    strategy: str
    symbol: str
    side: Side
    fills: int
    shares: int
    notional: Decimal
    fees: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionProfit:
    """What one strategy made on one symbol in a session, dollars.

    `realised` (before fees) and `fees` are the session's own. `quantity`, `cost` and `unrealised` are those of all that
    is held at its end, whenever it was bought.
    """

    strategy: str
    symbol: str
    quantity: int
    cost: Decimal
    realised: Decimal
    unrealised: Decimal
    fees: Decimal

    @property
    def net(self) -> Decimal:
        """Realised and unrealised, less fees."""
        return self.realised + self.unrealised - self.fees


@dataclass(frozen=True, slots=True, kw_only=True)
class CashCheck:
    """The cash that the session's last cycle recorded, against the fills that were booked by then. Dollars.

    `opening` is the book's. `recorded` is None where no cycle is recorded; then the sums are those of all fills.
    """

    opening: Decimal
    bought: Decimal
    sold: Decimal
    fees: Decimal
    recorded: Decimal | None

    @property
    def expected(self) -> Decimal:
        """What the fills have made of the opening cash."""
        return self.opening - self.bought + self.sold - self.fees

    @property
    def adds_up(self) -> bool:
        """Whether what was recorded is what the fills say."""
        return self.recorded is None or self.recorded == self.expected


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFigures:
    """A session of one book.

    `minutes` are its cycles, with the bars, equity, cash and mode of each. `unresolved` are its orders without an end.
    `positions` are what is held at its end, and `closing_cash` the cash then, both folds of the fills so far.
    `uncovered` is what had been sold until then and never held (`accounting.average_cost`): `profit` leaves it out.
    """

    session: date
    minutes: tuple[CycleHeader, ...]
    signals: tuple[SignalCount, ...]
    decisions: tuple[DecisionCount, ...]
    orders: tuple[OrderCount, ...]
    unresolved: tuple[OrderStatus, ...]
    fills: tuple[FillSum, ...]
    positions: tuple[Position, ...]
    profit: tuple[SessionProfit, ...]
    closing_cash: Decimal
    cash: CashCheck
    uncovered: tuple[Fill, ...] = ()


def read(connection: sa.Connection, book: str, session: Session, marks: Mapping[str, Decimal]) -> SessionFigures:
    """Read a session in one snapshot, at the beginning of a transaction.

    Args:
        connection: In a transaction that has read nothing yet.
        book: The book's name.
        session: Its day and hours.
        marks: Prices in dollars at its end, by symbol; a holding without one is valued at its cost.

    Raises `InvalidInput` if the book was not opened.
    """
    from trading_platform.ledger import projections

    connection.execute(_ONE_SNAPSHOT)
    opening = queries.opening_cash(connection, book)
    if opening is None:
        raise InvalidInput(f"there is no book {book!r}", where="ledger", mend="Open it first")
    since, until = session.premarket_open, session.after_hours_close
    minutes = queries.cycles(connection, book, session.day)
    orders = queries.orders(connection, book, session.day)
    fills = fill_queries.fills(connection, book, None)
    closing = projections.holdings(opening, (fill for fill in fills if fill.time < until))
    day = {"book": book, "session": session.day}
    hours = {"book": book, "since": since, "until": until}
    return SessionFigures(
        session=session.day,
        minutes=minutes,
        signals=tuple(SignalCount(**row) for row in connection.execute(_SIGNALS, day).mappings()),
        decisions=tuple(map(_decision_count, connection.execute(_DECISIONS, day))),
        orders=_order_counts(orders),
        unresolved=tuple(status for status in orders if not status.state.is_final),
        fills=tuple(map(_fill_sum, connection.execute(_FILLS, hours))),
        positions=tuple(one for _, one in sorted(closing.positions.items()) if one.quantity),
        profit=_profit(queries.pnl(connection, book, since), queries.pnl(connection, book, until), marks),
        closing_cash=closing.cash,
        cash=_cash_check(connection, book, opening, minutes[-1] if minutes else None),
        uncovered=closing.uncovered,
    )


def _decision_count(row: sa.Row[Any]) -> DecisionCount:
    return DecisionCount(
        kind=DecisionKind(row.kind), verdict=Verdict(row.verdict), rule=Rule(row.rule), decisions=row.decisions
    )


def _fill_sum(row: sa.Row[Any]) -> FillSum:
    return FillSum(
        strategy=row.strategy,
        symbol=row.symbol,
        side=Side(row.side),
        fills=row.fills,
        shares=row.shares,
        notional=row.notional,
        fees=row.fees,
    )


def _order_counts(orders: tuple[OrderStatus, ...]) -> tuple[OrderCount, ...]:
    counts: dict[tuple[IntentKind, OrderState], list[int]] = {}
    for status in orders:
        counts.setdefault((status.intent.kind, status.state), []).append(status.intent.quantity)
    return tuple(
        OrderCount(kind=kind, state=state, orders=len(shares), shares=sum(shares))
        for (kind, state), shares in sorted(counts.items())
    )


def _profit(
    before: tuple[ProfitAndLoss, ...], after: tuple[ProfitAndLoss, ...], marks: Mapping[str, Decimal]
) -> tuple[SessionProfit, ...]:
    """What `after` has more than `before`. What was neither traded in between nor held at the end is left out."""
    first = {(one.strategy, one.symbol): one for one in before}
    found = []
    for one in after:
        known = first.get((one.strategy, one.symbol))
        held = one.bought_quantity - one.sold_quantity
        if one == known and not held:
            continue
        mark = marks.get(one.symbol)
        found.append(
            SessionProfit(
                strategy=one.strategy,
                symbol=one.symbol,
                quantity=held,
                cost=one.cost,
                realised=one.realised - (known.realised if known else 0),
                unrealised=held * mark - one.cost if held and mark is not None else Decimal(0),
                fees=one.fees - (known.fees if known else 0),
            )
        )
    return tuple(found)


def _cash_check(connection: sa.Connection, book: str, opening: Decimal, last: CycleHeader | None) -> CashCheck:
    # When a fill was booked, not when it happened, says whether the cycle knew of it.
    booked_by = last.decided_at if last is not None else None
    sums = connection.execute(_CASH, {"book": book, "booked_by": booked_by}).one()
    recorded = last.cash if last is not None else None
    return CashCheck(opening=opening, bought=sums.bought, sold=sums.sold, fees=sums.fees, recorded=recorded)
