"""The assets that a session makes, and how each comes from the others: from the bar to the cent."""

from typing import Final

import dagster as dg

BARS: Final = dg.AssetKey("bars")
SIGNALS: Final = dg.AssetKey("signals")
DECISIONS: Final = dg.AssetKey("decisions")
ORDERS: Final = dg.AssetKey("orders")
FILLS: Final = dg.AssetKey("fills")
POSITIONS: Final = dg.AssetKey("positions")
PNL: Final = dg.AssetKey("pnl")

SPECS: Final = (
    dg.AssetSpec(BARS, description="One-minute bars as received, judged: malformed ones are refused and counted."),
    dg.AssetSpec(SIGNALS, deps=[BARS], description="What the strategies said of the bars."),
    dg.AssetSpec(DECISIONS, deps=[SIGNALS], description="What was approved, resized or refused, and by which rule."),
    dg.AssetSpec(ORDERS, deps=[DECISIONS], description="Intents committed to the ledger, then sent to the broker."),
    dg.AssetSpec(FILLS, deps=[ORDERS], description="Executions of the broker, each booked once."),
    dg.AssetSpec(POSITIONS, deps=[FILLS], description="What is held: the fold of the fills at average cost."),
    dg.AssetSpec(PNL, deps=[POSITIONS, BARS], description="Realised and unrealised profit, fees and equity, dollars."),
)
"""Every asset of a session, in the order of lineage."""
