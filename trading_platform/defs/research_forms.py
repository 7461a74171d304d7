"""The forms of the research jobs, as the launchpad shows them, and what they mean to the platform.

Belongs here: their fields, and the way from them to settings, bars and strategies. What is done with these is
`research`. What is left out of a form is as the environment's settings have it.
"""

import json
import os
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from trading_platform.domain.errors import InvalidInput

if TYPE_CHECKING:
    from trading_platform.backtest.bar_sources import BarSource
    from trading_platform.backtest.outcome import BacktestResult
    from trading_platform.backtest.report import Described
    from trading_platform.backtest.run import Terms
    from trading_platform.config.settings import Settings
    from trading_platform.strategies.contract import Strategy

COLUMNS = "columns"
"""The provider that is a folder of columns, which backtests read where it lies."""


class StrategyForm(dg.Config):
    """One strategy."""

    name: str = Field(default="", description="A known name, or what the strategy in the file is called.")
    file: str = Field(default="", description="The Python file that holds it; left out, it is a known one.")
    profile: str = Field(default="", description="A profile of its parameters, such as quiet.")
    parameters: dict[str, float] = Field(
        default={}, description="Values by name: closes_below, exit_plan.time_stop, sizing.risk_percent."
    )


class BarsForm(dg.Config):
    """Which bars, which account."""

    provider: str = Field(
        default="",
        description="columns, lean, csv or parquet, each with a folder; or simulated. Left out: as configured.",
    )
    folder: str = Field(default="", description="The provider's folder.")
    symbols: list[str] = Field(default=[], description="Left out: the configured ones, or all of a folder of columns.")
    first: str = Field(default="", description="The first day, as 2013-10-07; left out, the data's own.")
    last: str = Field(default="", description="The last day.")
    cash: str = Field(default="", description="Opening cash, dollars; left out, account.size.")
    memory_mb: int = Field(default=0, ge=0, description="Megabytes that the run may take; 0: what is free.")


class BacktestForm(BarsForm):
    """A backtest."""

    strategies: list[StrategyForm] = Field(default=[], description="In their order; left out, the active ones.")
    benchmark: str = Field(default="", description="A symbol of the same data to compare with.")
    out: str = Field(default="", description="The report's folder; left out, one of the run's own in the data folder.")

    def within(self, first: date, last: date, name: str) -> "BacktestForm":
        """The same from `first` to `last`, as far as the form's own days go, its folder one of that name in the form's.

        Raises `InvalidInput` where none of these days is left.
        """
        since, until = day_of(self.first, "first"), day_of(self.last, "last")
        start, end = max(first, since or first), min(last, until or last)
        if end < start:
            raise InvalidInput(
                f"{name} lies outside of the form's days",
                where="first" if since is not None and since > last else "last",
                mend=f"Let first and last leave some of {first} to {last}, or leave them out",
            )
        out = str(Path(self.out) / name) if self.out else ""
        return self.model_copy(update={"first": start.isoformat(), "last": end.isoformat(), "out": out})


class SweepForm(BarsForm):
    """A sweep: every combination of some values, in groups that run beside each other."""

    strategy: StrategyForm = Field(description="What is varied.")
    grid: dict[str, list[float]] = Field(description="The values of each name: {closes_below: [3, 5, 8]}.")
    rank_by: str = Field(default="profit", description="The figure by which combinations are ordered.")
    groups: int = Field(
        default=4, ge=1, le=500, description="How many processes or pods share the combinations, at most."
    )
    out: str = Field(default="", description="The table's file; left out, one of the run's own in the data folder.")


def settings_of(form: BarsForm) -> "Settings":
    """The environment's settings, with what the form says on top. Raises `InvalidInput` for what is refused."""
    from trading_platform.config.load import load

    market: dict[str, Any] = {}
    if form.provider and form.provider != COLUMNS:
        market = {"provider": form.provider, "folder": Path(form.folder) if form.folder else None}
    if form.symbols:
        market["symbols"] = tuple(symbol.strip().upper() for symbol in form.symbols)
    overrides: dict[str, Any] = {"market_data": market} if market else {}
    if form.cash:
        overrides["account"] = {"size": form.cash}
    return load(os.environ, overrides)


def bars_of(form: BarsForm, settings: "Settings") -> "BarSource":
    """The bars that are meant. Raises `InvalidInput` where there are none."""
    from trading_platform.backtest.bar_sources import StoredBars

    first, last = day_of(form.first, "first"), day_of(form.last, "last")
    named = settings.market_data.symbols
    if form.provider == COLUMNS:
        if not form.folder:
            raise InvalidInput("no folder is named", where="folder", mend="Name one that bars were imported to")
        return StoredBars(Path(form.folder), named or None, first, last)
    from trading_platform.bootstrap.bars import provided_bars

    return provided_bars(settings, named, first, last, asked_as=("first", "last"))


def strategies_of(form: BacktestForm, settings: "Settings") -> "tuple[Strategy, ...]":
    """The strategies that the form names, or the active ones. Raises `InvalidInput` for what does not load."""
    from trading_platform.strategies import registry

    if form.strategies:
        return tuple(strategy_of(one) for one in form.strategies)
    active = settings.active_strategies
    if not active:
        raise InvalidInput("no strategy is named or active", where="strategies", mend="Name one")
    return tuple(registry.load(one.name, one.profile, one.parameters, one.file) for one in active)


def strategy_of(form: StrategyForm) -> "Strategy":
    """The strategy of a form. Raises `InvalidInput` as the registry does."""
    from trading_platform.strategies import registry

    if not form.name and not form.file:
        raise InvalidInput("neither a name nor a file is given", where="strategy", mend="Give one of them")
    file = Path(form.file) if form.file else None
    offer = registry.offer(form.name, file) if form.name or file is None else registry.offer_of_file(file)
    return offer.with_values(form.profile or None, {name: _number(value) for name, value in form.parameters.items()})


def described(
    terms: "Terms", settings: "Settings", source: "BarSource", result: "BacktestResult", form: BacktestForm
) -> "Described":
    """What a report says that the run was given."""
    from trading_platform.backtest.report import Described

    tree = settings.model_dump(mode="json", include={"limits", "execution", "market_hours"})
    names = ", ".join(one.name for one in terms.strategies)
    days = source.sessions[0].day, source.sessions[-1].day
    return Described(
        title=f"{names} on {len(result.traded_symbols):,} symbols, {days[0]} to {days[1]}",
        command=("dagster", "job", "launch", "--job", "backtest", "--config-json", json.dumps(_run_config(form))),
        data={
            "provider": source.source.provider,
            "feed": source.source.feed,
            "folder": form.folder or "none",
            "symbols": len(result.traded_symbols),
            "symbols left out": len(result.left_out),
            "sessions": len(source.sessions),
        },
        strategies={one.name: asdict(one.parameters) for one in terms.strategies},
        settings=tree | {"account": {"size": str(settings.account.size)}},
    )


def grid_of(form: SweepForm) -> dict[str, list[float]]:
    """The values of a sweep; whole numbers as such, which parameters that count must be."""
    return {name: [_number(value) for value in values] for name, values in form.grid.items()}


def day_of(text: str, where: str) -> date | None:
    """A day of a form, or None where it is left out. Raises `InvalidInput` for what is none."""
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"{text!r} is no date", where=where, mend="Write it as 2013-10-09") from None


def _run_config(form: BacktestForm) -> dict[str, Any]:
    return {"ops": {"run_backtest": {"config": form.model_dump()}}}


def _number(value: float) -> float:
    """A form's numbers are all floats; 3.0 is meant where a parameter is a whole number."""
    return int(value) if float(value).is_integer() else value
