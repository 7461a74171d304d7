"""Statistics of one session: its trades, and how its equity moved."""

from collections.abc import Sequence
from decimal import Decimal

from trading_platform.performance.pnl import Trade

_NOTHING = Decimal(0)


def session_statistics(trades: Sequence[Trade], equity: Sequence[Decimal]) -> dict[str, float | int | None]:
    """Numbers of one session, by name; None where one is not defined.

    Args:
        trades: The round trips that ended in it.
        equity: Dollars at the end of each minute, oldest first.

    Returns:
        `return_percent` from the first to the last minute; `max_drawdown_percent`, the deepest fall from the highest
        equity so far, not negative; `trades`, and how many were `winners` (net above 0); `hit_rate_percent`;
        `profit_factor` (net gains over net losses; None without losses); `average_trade` in dollars after fees.
    """
    nets = [one.net for one in trades]
    gains = sum((net for net in nets if net > 0), _NOTHING)
    losses = -sum((net for net in nets if net < 0), _NOTHING)
    winners = sum(net > 0 for net in nets)
    return {
        "return_percent": _percent(equity[-1] / equity[0] - 1) if equity else None,
        "max_drawdown_percent": _percent(_deepest_fall(equity)) if equity else None,
        "trades": len(nets),
        "winners": winners,
        "hit_rate_percent": _percent(Decimal(winners) / len(nets)) if nets else None,
        "profit_factor": round(float(gains / losses), 4) if losses else None,
        "average_trade": round(float(sum(nets, _NOTHING) / len(nets)), 2) if nets else None,
    }


def _deepest_fall(equity: Sequence[Decimal]) -> Decimal:
    """As a share of the highest equity before it."""
    highest, deepest = equity[0], _NOTHING
    for point in equity:
        highest = max(highest, point)
        deepest = max(deepest, 1 - point / highest)
    return deepest


def _percent(share: Decimal) -> float:
    return round(float(share * 100), 4)
