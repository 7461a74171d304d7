"""The jobs of a trading day: open the session, run its minutes, close it."""

from collections.abc import Sequence
from typing import Any, Final

import dagster as dg

from trading_platform.defs.ops import (
    evaluate_strategies,
    fetch_market_data,
    list_universe,
    place_orders,
    preflight,
    reconcile_and_open,
    validate_risk,
)

SESSION_CLOSE: Final = "session_close"

# A minute that takes longer has lost its point, and so has an opening: run monitoring ends it.
_MINUTE_LIMIT: Final = {"dagster/max_runtime": "120"}
_CLOSE_LIMIT: Final = {"dagster/max_runtime": "1800"}


@dg.job(
    executor_def=dg.in_process_executor,
    tags=_MINUTE_LIMIT,
    description="Before the market opens: the universe, every check of what the session needs, and a reconcile.",
)
def session_open() -> None:
    """List, look, reconcile and open."""
    reconcile_and_open(preflight(list_universe()))


@dg.job(
    executor_def=dg.in_process_executor,
    tags=_MINUTE_LIMIT,
    description="One minute of the market session: fetch data, evaluate strategies, validate risk, place orders.",
)
def market_session() -> None:
    """Fetch, evaluate, validate, place."""
    place_orders(validate_risk(evaluate_strategies(fetch_market_data())))


def session_close_job(made: Sequence[dg.AssetsDefinition]) -> Any:
    """The job that closes a session and makes its assets, with their checks."""
    return dg.define_asset_job(
        SESSION_CLOSE,
        selection=dg.AssetSelection.assets(*made),
        executor_def=dg.in_process_executor,
        tags=_CLOSE_LIMIT,
        description="After the close: the last reconcile, then the session's assets with their checks, one partition.",
    )
