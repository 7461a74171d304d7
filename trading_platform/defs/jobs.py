"""The jobs."""

import dagster as dg

from trading_platform.defs.ops import evaluate_strategies, fetch_market_data, place_orders, validate_risk


@dg.job(
    executor_def=dg.in_process_executor,
    # A minute that takes longer has lost its point: run monitoring ends it.
    tags={"dagster/max_runtime": "300"},
    description="One minute of the market session: fetch data, evaluate strategies, validate risk, place orders.",
)
def market_session() -> None:
    """Fetch, evaluate, validate, place."""
    place_orders(validate_risk(evaluate_strategies(fetch_market_data())))
