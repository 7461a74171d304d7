"""Puts the definitions together. Tests hand in settings and resources of their own."""

import os
from collections.abc import Mapping
from typing import Any

import dagster as dg

from trading_platform.calendars.exchange import calendar_of
from trading_platform.config.load import load
from trading_platform.config.settings import Settings
from trading_platform.defs.assets import SPECS
from trading_platform.defs.jobs import market_session, session_close_job, session_open
from trading_platform.defs.partitions import sessions_partitions
from trading_platform.defs.research import SPECS as RESEARCH
from trading_platform.defs.research import backtest, backtest_month, backtest_sweep
from trading_platform.defs.resources import CLOCK, DESK, system_clock, trading_desk
from trading_platform.defs.schedules import trading_day_schedules
from trading_platform.defs.session_assets import session_assets


def build_defs(overrides: Mapping[str, Any] | None = None, settings: Settings | None = None) -> dg.Definitions:
    """The definitions, with `overrides` in the place of resources of the same name.

    Raises `InvalidInput` if no settings are given, and the environment's cannot be read.
    """
    settings = settings if settings is not None else load(os.environ)
    calendar = calendar_of(settings.market_hours)
    made = session_assets(sessions_partitions(calendar))
    close = session_close_job(made)
    return dg.Definitions(
        assets=[*SPECS, *made, *RESEARCH],
        jobs=[session_open, market_session, close, backtest, backtest_month, backtest_sweep],
        schedules=trading_day_schedules(settings, calendar, close),
        # All ops of a run share one process, and hand on what lives in it.
        resources={
            DESK: trading_desk,
            CLOCK: system_clock,
            "io_manager": dg.mem_io_manager,
            **(overrides or {}),
        },
        executor=dg.in_process_executor,
    )
