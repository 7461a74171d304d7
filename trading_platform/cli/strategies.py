"""Commands for strategies: which there are, and whether they may trade."""

import sys
from collections.abc import Mapping, Sequence
from datetime import date
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from trading_platform.cli.options import json_option, print_json, settings_of
from trading_platform.domain.errors import InvalidInput

if TYPE_CHECKING:
    from trading_platform.config.settings import ActiveStrategy
    from trading_platform.marketdata.columns import BarColumns
    from trading_platform.strategies.contract import Strategy

_FAILED: Final = 2


@click.group()
def strategies() -> None:
    """The strategies: those that come with the platform, those of packages, and your own files."""


@strategies.command("list")
@json_option
def list_strategies(*, as_json: bool) -> None:
    """Every known strategy: where it comes from, its profiles, and its parameters with unit, default and bounds.

    A strategy in a file is known if the configuration names it. One that does not load is listed with the reason.
    """
    rows = _known()
    if as_json:
        print_json(rows)
        return
    for row in rows:
        _print_strategy(row)


@strategies.command("check")
@click.argument("named", nargs=-1, metavar="[NAME|FILE ...]")
@json_option
def check_strategies(*, named: tuple[str, ...], as_json: bool) -> None:
    """Compile strategies, run them on made-up bars, and say what is wrong; left out, all active ones.

    One that passes is looked at on the simulated market for whether it sees the future: what it says of a bar must be
    the same whatever comes after it, and whenever it is asked.

    The exit code is 2 if anything is found.
    """
    wanted = list(named) or [one.name for one in _active()]
    if not wanted:
        raise InvalidInput("no strategy is active", where="active_strategies", mend="Name one, or a file")
    rows = [{"strategy": one, "findings": _findings(one)} for one in wanted]
    if as_json:
        print_json(rows)
    else:
        for row in rows:
            _print_findings(row)
    if any(row["findings"] for row in rows):
        sys.exit(_FAILED)


def _active() -> "tuple[ActiveStrategy, ...]":
    return settings_of({}).active_strategies


def _known() -> list[dict[str, Any]]:
    from trading_platform.strategies import registry

    files = {one.name: one.file for one in _active() if one.file is not None}
    rows = [_row(origin.name, origin.kind, origin.source) for origin in registry.origins()]
    return rows + [_row(name, "file", str(file), file=file) for name, file in files.items()]


def _row(name: str, kind: str, source: str, *, file: Path | None = None) -> dict[str, Any]:
    from trading_platform.strategies import registry
    from trading_platform.strategies.parameters import described

    known: dict[str, Any] = {"name": name, "kind": kind, "source": source, "profiles": [], "parameters": []}
    try:
        offer = registry.offer(name, file)
    except InvalidInput as error:
        return known | {"fault": str(error)}
    parameters = described(offer.strategy.parameters)
    return known | {"profiles": sorted(offer.profiles), "parameters": parameters, "fault": None}


def _print_strategy(row: Mapping[str, Any]) -> None:
    click.echo(f"{row['name']}  ({row['kind']}: {row['source']})")
    if row["fault"]:
        click.echo(f"  does not load: {row['fault']}")
        return
    click.echo(f"  profiles: {', '.join(row['profiles']) or 'none'}")
    for one in row["parameters"]:
        click.echo(f"  {one['name']} = {one['default']}  [{one['low']}, {one['high']}]  {one['unit']}")


def _findings(named: str) -> list[str]:
    """What is wrong with the strategy of that name, as it is configured, or in that file."""
    from trading_platform.strategies.check import check_strategy

    try:
        variants = _variants(named)
        found: Sequence[object] = [finding for one in variants for finding in check_strategy(one)]
        if not found:
            # A step that fails on one bar would fail on all of these.
            found = _leaks(variants)
    except InvalidInput as error:
        return [str(error)]
    return list(dict.fromkeys(str(finding) for finding in found))


def _leaks(variants: "Sequence[Strategy]") -> list[object]:
    """Where they see what they should not, on a few sessions of the simulated market."""
    from trading_platform.backtest.look_ahead import look_ahead

    columns = _simulated()
    return [leak for leak in (look_ahead(one, columns) for one in variants) if leak is not None]


@cache
def _simulated() -> "BarColumns":
    """Bars of the simulated market: two whole sessions and a half day."""
    from trading_platform.bootstrap import market_of
    from trading_platform.calendars.exchange import calendar_of
    from trading_platform.config.settings import MarketData, MarketHours
    from trading_platform.marketdata.column_maker import make_columns

    calendar = calendar_of(MarketHours())
    market = market_of(MarketData(provider="simulated"), calendar)
    sessions = [calendar.session(date(2024, 7, day)) for day in (2, 3, 5)]
    return make_columns(market, calendar, market.symbols[:3], sessions).columns


def _variants(named: str) -> "list[Strategy]":
    """The strategy as it trades; of one that is not configured the defaults, and each profile."""
    from trading_platform.strategies import registry

    active = {one.name: one for one in _active()}
    if named in active:
        one = active[named]
        return [registry.load(one.name, one.profile, one.parameters, one.file)]
    offer = registry.offer_of_file(Path(named)) if names_a_file(named) else registry.offer(named)
    return [offer.with_values(profile, None) for profile in (None, *offer.profiles)]


def names_a_file(named: str) -> bool:
    """Whether a file is meant, and not the name of a strategy."""
    from trading_platform.strategies import registry

    # A name holds no point and no slash that a file would have; a folder may by chance be called like a strategy.
    return named.endswith(".py") or "/" in named or (Path(named).is_file() and named not in registry.names())


def _print_findings(row: Mapping[str, Any]) -> None:
    if not row["findings"]:
        click.echo(f"{row['strategy']}: nothing found.")
        return
    click.echo(f"{row['strategy']}:")
    for finding in row["findings"]:
        click.echo(f"  {finding}")
