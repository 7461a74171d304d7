"""The profit of a real session, worked out from the exchange's own book alone, is what everybody else says it is.

2013-10-09, SPY, IBM, BAC and AIG, minute bars as recorded, the profile `quiet` of vwap_reclaim.
"""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from decimal import Decimal
from typing import TYPE_CHECKING

import sqlalchemy as sa

from trading_platform.ledger.connection import reading
from trading_platform.performance.pnl import trades
from trading_platform_tests.sessions.books import exchange_result, repeated_orders
from trading_platform_tests.sessions.tape import DAY

if TYPE_CHECKING:
    from trading_platform_tests.acceptance.conftest import RanSession

# Nothing is held at the end, so what was sold for, less what was paid, is realised.
PROFIT = """
SELECT sum(CASE side WHEN 'sell' THEN quantity * price ELSE -quantity * price END) AS realised, sum(fee) AS fees,
       sum(CASE side WHEN 'sell' THEN -quantity ELSE quantity END) AS held
FROM fills WHERE book = :book
"""


def test_the_session_makes_at_least_four_round_trips(cycle_session: "RanSession") -> None:
    done = trades(cycle_session.ledger.fills())
    assert len(done) >= 4
    assert {trade.symbol for trade in done} == set(cycle_session.book.symbols)


def test_everybody_has_the_same_profit_to_the_cent(cycle_session: "RanSession") -> None:
    ledger, last = cycle_session.ledger, cycle_session.last
    net = exchange_result(cycle_session.book.exchange_file)
    assert net == net.quantize(Decimal("0.01")) != 0

    with reading(ledger.engine) as connection:
        realised, fees, held = connection.execute(sa.text(PROFIT), {"book": ledger.book}).one()
    assert (realised - fees, held) == (net, 0)
    rows = ledger.pnl()
    assert sum((row.realised - row.fees for row in rows), Decimal(0)) == net
    assert all(row.cost == 0 for row in rows)
    assert last is not None
    assert (last.realised - last.fees, last.unrealised, last.positions) == (net, Decimal(0), 0)
    assert last.cash == last.equity == ledger.holdings().cash == ledger.opening_cash() + net


def test_dagster_shows_that_profit_too(job_session: "RanSession") -> None:
    net = exchange_result(job_session.book.exchange_file)
    shown = job_session.materialized
    assert shown is not None
    rows = job_session.ledger.pnl()
    expected = {
        "realised": sum((row.realised for row in rows), Decimal(0)),
        "fees": sum((row.fees for row in rows), Decimal(0)),
        "net": net,
        "equity": job_session.ledger.opening_cash() + net,
        "unrealised": Decimal(0),
    }
    assert {name: Decimal(str(shown[name])) for name in expected} == expected
    assert shown["bar"] == "2013-10-09T19:59:00+00:00"


def test_the_summary_has_that_profit_too(job_session: "RanSession") -> None:
    file = job_session.book.exchange_file
    figures = job_session.figures
    assert figures is not None
    with closing(sqlite3.connect(file)) as connection:
        executions = connection.execute("SELECT symbol, side, quantity, fee FROM executions ORDER BY rowid").fetchall()
        orders = connection.execute("SELECT count(*) FROM orders").fetchone()[0]
    fees = sum((Decimal(fee) for *_, fee in executions), Decimal(0))
    net = exchange_result(file)
    told = {name: Decimal(str(figures[name])) for name in ("realised_pnl", "realised_before_fees", "fees", "equity")}
    assert told == {
        "realised_pnl": net,
        "realised_before_fees": net + fees,
        "fees": fees,
        "equity": job_session.ledger.opening_cash() + net,
    }
    assert figures["unrealised_pnl"] == 0
    assert figures["round_trips"] == times_flat((symbol, side, quantity) for symbol, side, quantity, _ in executions)
    assert figures["round_trips"] >= 4
    assert (figures["cycles"], figures["runs"]) == (390, 390)
    assert (figures["fills"], figures["orders"]) == (len(executions), orders)
    assert (figures["session"], figures["provider"], figures["book"]) == ("2013-10-09", "files", "real")
    assert figures["symbols"] == list(job_session.book.symbols)


def times_flat(executions: Iterable[tuple[str, str, int]]) -> int:
    """How often a symbol's shares came back to none."""
    held, times = dict[str, int](), 0
    for symbol, side, quantity in executions:
        held[symbol] = held.get(symbol, 0) + (quantity if side == "buy" else -quantity)
        times += held[symbol] == 0
    return times


def test_the_exchange_has_no_order_twice(cycle_session: "RanSession", job_session: "RanSession") -> None:
    for ran in (cycle_session, job_session):
        assert repeated_orders(ran.book.exchange_file) == []


def test_every_fill_leads_back_to_its_decision(cycle_session: "RanSession") -> None:
    lines = cycle_session.ledger.lineage(DAY)
    decisions = cycle_session.ledger.decisions(DAY)
    made = {(one.bar_time, one.sequence): one for one in decisions}
    assert len(lines) == len(cycle_session.ledger.fills())
    for line in lines:
        assert line.decision_sequence is not None
        decision = made[line.bar_time, line.decision_sequence]
        assert (decision.strategy, decision.symbol) == (line.strategy, line.symbol)
        assert line.inputs_sha256
