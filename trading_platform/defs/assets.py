"""The assets by key, and the lineage from the bar to the cent: once for each minute, once for each whole session.

The ones of a minute are said by the ops of `market_session` as they happen. The ones of a session are made at its close
(`session_assets`), partitioned by session, with checks.
"""

from typing import Final

import dagster as dg

INTRADAY: Final = "intraday"
SESSION: Final = "session"


def _intraday(name: str) -> dg.AssetKey:
    return dg.AssetKey([INTRADAY, name])


MINUTE_BARS: Final = _intraday("bars")
MINUTE_SIGNALS: Final = _intraday("signals")
MINUTE_DECISIONS: Final = _intraday("decisions")
MINUTE_ORDERS: Final = _intraday("orders")
MINUTE_FILLS: Final = _intraday("fills")
MINUTE_POSITIONS: Final = _intraday("positions")
MINUTE_PNL: Final = _intraday("pnl")
EQUITY: Final = _intraday("equity")

BARS: Final = dg.AssetKey("bars")
SIGNALS: Final = dg.AssetKey("signals")
DECISIONS: Final = dg.AssetKey("decisions")
ORDERS: Final = dg.AssetKey("orders")
FILLS: Final = dg.AssetKey("fills")
RECONCILIATION: Final = dg.AssetKey("reconciliation")
POSITIONS: Final = dg.AssetKey("positions")
PNL: Final = dg.AssetKey("pnl")
PERFORMANCE: Final = dg.AssetKey("performance")


def _spec(key: dg.AssetKey, said: str, *deps: dg.AssetKey) -> dg.AssetSpec:
    return dg.AssetSpec(key, deps=list(deps), description=said, group_name=INTRADAY)


SPECS: Final = (
    _spec(MINUTE_BARS, "One-minute bars as received, judged: malformed ones are refused and counted."),
    _spec(MINUTE_SIGNALS, "What the strategies said of the bars.", MINUTE_BARS),
    _spec(MINUTE_DECISIONS, "What was approved, resized or refused, and by which rule.", MINUTE_SIGNALS),
    _spec(MINUTE_ORDERS, "Intents committed to the ledger, then sent to the broker.", MINUTE_DECISIONS),
    _spec(MINUTE_FILLS, "Executions of the broker, each booked once.", MINUTE_ORDERS),
    _spec(MINUTE_POSITIONS, "What is held: the fold of the fills at average cost.", MINUTE_FILLS),
    _spec(MINUTE_PNL, "Realised and unrealised profit and fees, dollars.", MINUTE_POSITIONS, MINUTE_BARS),
    _spec(
        EQUITY,
        "Cash and holdings at their last prices, dollars: a point each minute. Plots shows the newest hundred, at the "
        "time at which they were worked out.",
        MINUTE_PNL,
    ),
)
"""Every asset of a minute, in the order of lineage."""
