"""The figures of a session as `summary.json` holds them."""

import json
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from trading_platform.bootstrap import Platform
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.money import cents
from trading_platform.engine.session_result import SessionResult


def summary(platform: Platform, day: date, result: SessionResult, *, runs: int, seconds: float) -> dict[str, Any]:
    """The figures of `summary.json`: the session's own. Dollars to the cent; `realised_pnl` is after fees."""
    counts = result.counts
    return {
        "session": day.isoformat(),
        "broker": platform.trades_at,
        "provider": platform.provider.source.provider,
        "symbols": list(platform.symbols),
        "cycles": counts["cycles"],
        "refused_bars": counts["refused_bars"],
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


def together(figures: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The figures of several sessions of one book: their sums, and those of each under `sessions`."""
    counted = ("cycles", "refused_bars", "runs", "signals", "refused", "orders", "fills", "round_trips")
    dollars = ("realised_pnl", "realised_before_fees", "fees")
    last = figures[-1]
    return {
        **{name: sum(one[name] for one in figures) for name in counted},
        **{name: float(sum(Decimal(str(one[name])) for one in figures)) for name in dollars},
        "unrealised_pnl": last["unrealised_pnl"],
        "equity": last["equity"],
        "seconds": last["seconds"],
        "book": last["book"],
        "broker": last["broker"],
        "sessions": [dict(one) for one in figures],
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
