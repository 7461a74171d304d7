"""The assets of a whole session, made at its close, one partition each: from the bars to the performance.

What is in them is in the ledger and in the store of bars; here it becomes numbers that Dagster plots from session to
session, tables, and checks that stop what comes after them. The first of them closes the session, and every other
comes after it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from trading_platform.calendars.sessions import EXCHANGE_ZONE
from trading_platform.defs import assets, checks
from trading_platform.defs.resources import DESK, TradingDesk
from trading_platform.defs.said import BOOK_TAG, SESSION_TAG, name_run, plain_failures
from trading_platform.domain.errors import InvalidInput

if TYPE_CHECKING:
    from trading_platform.engine.session_result import SessionResult
    from trading_platform.ledger.session_figures import SessionFigures

_ROWS_SHOWN: Final = 200
_PNL_SAID: Final = (
    "The session's profit, dollars, by strategy and symbol; `net` is after fees, and without the unrealised profit that "
    "holdings `brought` from an earlier session, so that the nets of all sessions add up. To plot it from session to session: "
    "Plots, then Events. By partition only the calendar's newest sessions are plotted, which is nothing at all where "
    "only earlier ones were traded."
)

Made = dg.MaterializeResult[Any]
Maker = Callable[[TradingDesk, date], Made]
"""Works one partition of an asset out."""


def session_assets(partitions: dg.PartitionsDefinition[str]) -> list[dg.AssetsDefinition]:
    """Every asset of a session, in the order of lineage."""
    keys = assets
    return [
        _asset(partitions, key, maker, said, deps)
        for key, maker, said, deps in (
            (
                keys.RECONCILIATION,
                _reconciliation,
                "The session closed: last fills booked, expired orders ended, ledger and broker compared in full.",
                [keys.MINUTE_ORDERS],
            ),
            (
                keys.BARS,
                _bars,
                "The session's bars, judged and stored as a file of their own.",
                [keys.MINUTE_BARS, keys.RECONCILIATION],
            ),
            (keys.SIGNALS, _signals, "What each strategy said in the session.", [keys.BARS, keys.MINUTE_SIGNALS]),
            (
                keys.DECISIONS,
                _decisions,
                "What was approved, resized and refused, by rule.",
                [keys.SIGNALS, keys.MINUTE_DECISIONS],
            ),
            (keys.ORDERS, _orders, "The session's orders and how they ended.", [keys.DECISIONS, keys.RECONCILIATION]),
            (keys.FILLS, _fills, "The session's executions, each booked once.", [keys.ORDERS, keys.MINUTE_FILLS]),
            (keys.POSITIONS, _positions, "What is held at the close, at average cost.", [keys.FILLS]),
            (
                keys.PNL,
                _pnl,
                _PNL_SAID,
                [keys.POSITIONS, keys.BARS],
            ),
            (keys.PERFORMANCE, _performance, "The session's trades and its equity.", [keys.PNL, keys.EQUITY]),
        )
    ]


def _asset(
    partitions: dg.PartitionsDefinition[str], key: dg.AssetKey, maker: Maker, said: str, deps: Sequence[dg.AssetKey]
) -> dg.AssetsDefinition:
    specs = [checks.spec(name, partitions) for name, (asset, _) in checks.SPECS.items() if asset == key]

    @dg.asset(
        key=key,
        deps=list(deps),
        partitions_def=partitions,
        group_name=assets.SESSION,
        required_resource_keys={DESK},
        description=said,
        check_specs=specs or None,
    )
    def made(context: dg.AssetExecutionContext) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster knows the bare class
        with plain_failures():
            if key == assets.RECONCILIATION:
                book = getattr(context.resources, DESK).platform.ledger.book
                name_run(context, {BOOK_TAG: book, SESSION_TAG: context.partition_key})
            return maker(getattr(context.resources, DESK), date.fromisoformat(context.partition_key))

    return made


def _reconciliation(desk: TradingDesk, day: date) -> Made:
    closed = desk.close(day)
    return Made(
        metadata={
            "book": desk.platform.ledger.book,
            "booked": closed.reconciled.executions_booked,
            "orders_ended": closed.reconciled.closed,
            "breaks": len(closed.reconciled.breaks),
            "unresolved_orders": len(closed.unresolved),
            "held": len(closed.held),
            "cash": float(closed.ledger_cash),
        },
        check_results=[checks.no_breaks(closed)],
    )


def _bars(desk: TradingDesk, day: date) -> Made:
    from trading_platform.marketdata.store import store_session

    platform = desk.platform
    session, store = platform.calendar.session(day), platform.bar_store
    try:
        stored = store_session(platform.provider, platform.calendar, platform.symbols, session, store)
    except InvalidInput as error:
        # The books do not depend on it, and what was stored when the session was closed first is what it traded on.
        return Made(metadata={"kept": str(error)}, check_results=[checks.bars_stored(str(error))])
    return Made(
        metadata={
            "bars": stored.bars,
            "symbols": len(stored.symbols),
            "refused": stored.refused,
            "without_bars": ", ".join(stored.silent) or "none",
            "file": stored.path.name,
        },
        check_results=[checks.bars_stored(None)],
    )


def _signals(desk: TradingDesk, day: date) -> Made:
    found = _figures(desk, day).signals
    return Made(
        metadata={
            "entries": sum(one.entries for one in found),
            "exits": sum(one.exits for one in found),
            "by_strategy": _table(
                {"strategy": one.strategy, "entries": one.entries, "exits": one.exits} for one in found
            ),
        }
    )


def _decisions(desk: TradingDesk, day: date) -> Made:
    found = _figures(desk, day).decisions
    verdicts = {
        name: sum(one.decisions for one in found if one.verdict.name == name.upper())
        for name in ("approved", "resized", "refused")
    }
    return Made(
        metadata={
            **verdicts,
            "by_rule": _table(
                {
                    "kind": one.kind.name,
                    "verdict": one.verdict.name,
                    "rule": one.rule.name,
                    "decisions": one.decisions,
                }
                for one in found
            ),
        }
    )


def _orders(desk: TradingDesk, day: date) -> Made:
    found = _figures(desk, day).orders
    return Made(
        metadata={
            "orders": sum(one.orders for one in found if one.kind.is_order),
            "changes": sum(one.orders for one in found if not one.kind.is_order),
            "by_state": _table(
                {"kind": one.kind.value, "state": one.state.value, "orders": one.orders, "shares": one.shares}
                for one in found
            ),
        },
        check_results=[checks.orders_resolved(desk.platform, day)],
    )


def _fills(desk: TradingDesk, day: date) -> Made:
    found = _figures(desk, day).fills
    return Made(
        metadata={
            "fills": sum(one.fills for one in found),
            "shares": sum(one.shares for one in found),
            "notional": float(sum(one.notional for one in found)),
            "fees": float(sum(one.fees for one in found)),
            "by_symbol": _table(
                {
                    "strategy": one.strategy,
                    "symbol": one.symbol,
                    "side": one.side.value,
                    "fills": one.fills,
                    "shares": one.shares,
                    "notional": str(one.notional),
                    "fees": str(one.fees),
                }
                for one in found
            ),
        },
        check_results=[checks.ledger_equals_broker(desk.platform, day)],
    )


def _positions(desk: TradingDesk, day: date) -> Made:
    figures = _figures(desk, day)
    return Made(
        metadata={
            "positions": len(figures.positions),
            "cash": float(figures.closing_cash),
            "held": _table(
                {"strategy": one.strategy, "symbol": one.symbol, "shares": one.quantity, "cost": str(one.cost)}
                for one in figures.positions
            ),
        },
        check_results=[
            checks.positions_equal_fills(desk.platform),
            checks.cash_adds_up(desk.platform, figures),
            checks.nothing_held(figures),
        ],
    )


def _pnl(desk: TradingDesk, day: date) -> Made:
    result = _result(desk, day)
    sums = result.totals
    return Made(
        metadata={
            "realised": float(sums.realised),
            "unrealised": float(sums.unrealised),
            "fees": float(sums.fees),
            "brought": float(result.brought),
            "net": float(result.net),
            "equity": float(result.equity),
            "by_symbol": _table(
                {
                    "strategy": one.strategy,
                    "symbol": one.symbol,
                    "realised": str(one.realised),
                    "unrealised": str(one.unrealised),
                    "fees": str(one.fees),
                    "net": str(one.net),
                }
                for one in result.results
            ),
        },
        check_results=[checks.profit_adds_up(result, _figures(desk, day))],
    )


def _performance(desk: TradingDesk, day: date) -> Made:
    from trading_platform.performance.session import session_statistics

    result = _result(desk, day)
    figures = session_statistics(result.trades, [equity for _, equity in result.equity_curve])
    return Made(
        metadata={
            **{name: value for name, value in figures.items() if value is not None},
            "equity_by_half_hour": _table(
                {"time": _clock(at), "equity": str(equity)} for at, equity in result.equity_curve[29::30]
            ),
            "round_trips": _table(
                {
                    "symbol": one.symbol,
                    "in": _clock(one.opened_at),
                    "out": _clock(one.closed_at),
                    "shares": one.quantity,
                    "bought": f"{one.entry_price:.4f}",
                    "sold": f"{one.exit_price:.4f}",
                    "net": str(one.net),
                }
                for one in result.trades
            ),
        }
    )


def _figures(desk: TradingDesk, day: date) -> "SessionFigures":
    return desk.platform.ledger.session_figures(desk.platform.calendar.session(day))


def _result(desk: TradingDesk, day: date) -> "SessionResult":
    from trading_platform.engine.session_result import session_result

    return session_result(desk.platform.stages.parts, day)


def _clock(moment: datetime) -> str:
    return f"{moment.astimezone(EXCHANGE_ZONE):%H:%M}"


def _table(rows: Iterable[Mapping[str, Any]]) -> dg.MetadataValue[Any]:
    """Rows for the UI, the first of them; nothing is cut off without a word."""
    found = list(rows)
    if not found:
        return dg.MetadataValue.text("none")
    shown = [dg.TableRecord(dict(row)) for row in found[:_ROWS_SHOWN]]
    if len(found) > _ROWS_SHOWN:
        first = next(iter(found[0]))
        shown.append(dg.TableRecord({**dict.fromkeys(found[0], ""), first: f"and {len(found) - _ROWS_SHOWN} more"}))
        columns = [dg.TableColumn(name) for name in found[0]]
        return dg.MetadataValue.table(shown, schema=dg.TableSchema(columns=columns))
    return dg.MetadataValue.table(shown)
