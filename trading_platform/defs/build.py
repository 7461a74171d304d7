"""Puts the definitions together. Tests hand in resources of their own."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from trading_platform.defs.assets import SPECS
from trading_platform.defs.jobs import market_session
from trading_platform.defs.ops import DESK
from trading_platform.defs.resources import trading_desk


def build_defs(overrides: Mapping[str, Any] | None = None) -> dg.Definitions:
    """The definitions, with `overrides` in the place of resources of the same name."""
    return dg.Definitions(
        assets=list(SPECS),
        jobs=[market_session],
        # All ops of a run share one process, and hand on what lives in it.
        resources={DESK: trading_desk, "io_manager": dg.mem_io_manager, **(overrides or {})},
        executor=dg.in_process_executor,
    )
