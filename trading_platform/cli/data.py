"""Commands that look at recorded bars before anything is traded on them."""

from collections.abc import Callable, Iterable, Iterator
from datetime import date
from typing import TYPE_CHECKING, Any, Final

import click

from trading_platform.cli.options import date_of, json_option, plain, print_json, settings_of
from trading_platform.domain.errors import InvalidInput

if TYPE_CHECKING:
    from trading_platform.calendars.exchange import ExchangeCalendar
    from trading_platform.config.settings import Settings
    from trading_platform.marketdata.coverage import Coverage
    from trading_platform.marketdata.provider import Market

_DOUBTFUL: Final = 1
_UNUSABLE: Final = 2


def _source_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Which bars, and of whom."""
    for option in (
        click.option("--symbols", help="Symbols, separated by commas; left out, the configured ones or all."),
        click.option(
            "--data", help="simulated, lean:FOLDER, csv:FOLDER or parquet:FOLDER; left out, the configured one."
        ),
    ):
        command = option(command)
    return command


@click.group()
def data() -> None:
    """Recorded bars: what is there, and whether it can be traded."""


@data.command("list")
@_source_options
@json_option
def list_data(*, as_json: bool, **market: str | None) -> None:
    """The symbols of a folder or store, and the sessions of each."""
    provider, _, symbols = _market(settings_of(market))
    rows = []
    for symbol in symbols:
        days = provider.minute_sessions(symbol, date.max)
        first, last = (str(days[0]), str(days[-1])) if days else (None, None)
        rows.append({"symbol": symbol, "sessions": len(days), "first": first, "last": last})
    if as_json:
        print_json({"source": plain(provider.source), "symbols": rows})
        return
    if not rows:
        click.echo("There are no minute bars.")
        return
    from trading_platform.terminal.screen import print_rows

    source = provider.source
    print_rows(rows, ("symbol", "sessions", "first", "last"), f"Minute bars of {source.provider}, {source.feed}")


@data.command("check")
@_source_options
@click.option("--session", "session", help="One session's date, as 2013-10-09.")
@click.option("--from", "first", help="The first of several sessions.")
@click.option("--to", "last", help="The last of several sessions.")
@json_option
def check(*, session: str | None, first: str | None, last: str | None, as_json: bool, **market: str | None) -> int:
    """Look for what is missing, malformed or doubtful, symbol by symbol.

    Without dates every session that is recorded is looked at. Exit code 0: all can be traded; 1: something is missing
    or doubtful; 2: something cannot be used.
    """
    from trading_platform.marketdata.coverage import State

    settings = settings_of({**market, "session": session})
    provider, calendar, symbols = _market(settings)
    days = _days(calendar, session, first, last)
    if days is None and settings.market_data.provider == "simulated":
        # It has every session of sixty years.
        raise InvalidInput("no session is named", where="--session", mend="Give it as --session 2024-06-12")
    found = list(_looked_at(provider, calendar, symbols, days))
    states = [one.state for one in found]
    if as_json:
        refused = ([plain(problem) for problem in one.refused] for one in found)
        print_json(
            [
                {**plain(one), "refused": bars, "state": one.state.value}
                for one, bars in zip(found, refused, strict=True)
            ]
        )
    else:
        _show(found)
    if State.UNUSABLE in states or not found:
        return _UNUSABLE
    return _DOUBTFUL if State.DOUBTFUL in states else 0


def _market(settings: "Settings") -> tuple["Market", "ExchangeCalendar", tuple[str, ...]]:
    """The provider, the calendar, and the symbols that are meant."""
    from trading_platform.bootstrap import market_of
    from trading_platform.calendars.exchange import calendar_of

    calendar = calendar_of(settings.market_hours)
    provider = market_of(settings.market_data, calendar)
    return provider, calendar, settings.market_data.symbols or provider.symbols


def _days(
    calendar: "ExchangeCalendar", session: str | None, first: str | None, last: str | None
) -> tuple[date, ...] | None:
    """The sessions that are named; None if none is."""
    day, start, end = date_of(session), date_of(first, "--from"), date_of(last, "--to")
    if day is not None and (start or end):
        raise InvalidInput(
            "both one session and several are named", where="--session", mend="Leave --from and --to out"
        )
    if day is not None:
        return (calendar.session(day).day,)
    if start is None and end is None:
        return None
    if start is None or end is None:
        missing = "--from" if start is None else "--to"
        raise InvalidInput("only one end of the sessions is named", where=missing, mend="Give --from and --to")
    days = tuple(session.day for session in calendar.sessions(start, end))
    if not days:
        raise InvalidInput(f"there is no session from {start} to {end}", where="--from", mend="Name a longer time")
    return days


def _looked_at(
    provider: "Market", calendar: "ExchangeCalendar", symbols: Iterable[str], days: tuple[date, ...] | None
) -> Iterator["Coverage"]:
    from trading_platform.marketdata.coverage import Coverage, coverage

    for symbol in symbols:
        try:
            own = provider.minute_sessions(symbol, date.max) if days is None else days
        except InvalidInput as error:
            yield Coverage(symbol=symbol, session=None, error=str(error))
            continue
        if not own:
            yield Coverage(symbol=symbol, session=None, lacks=("no session is recorded",))
        for day in own:
            if calendar.is_session(day):
                yield coverage(provider, calendar, symbol, calendar.session(day))
            else:
                yield Coverage(symbol=symbol, session=day, doubts=(f"{day:%A} is no session of {calendar.exchange}",))


def _show(found: list["Coverage"]) -> None:
    from trading_platform.marketdata.coverage import State
    from trading_platform.terminal.screen import print_rows

    rows = [
        {
            "session": one.session,
            "symbol": one.symbol,
            "bars": one.bars,
            "missing": one.missing,
            "pre-market": one.premarket,
            "refused": sum(problem.count for problem in one.refused),
            "state": one.state.value,
        }
        for one in found
    ]
    if rows:
        print_rows(rows, tuple(rows[0]), "Bars")
    for one in found:
        for said in _said(one):
            click.echo(f"{one.symbol} {one.session or ''}".strip() + f": {said}")
    counts = {state: sum(one.state is state for one in found) for state in State}
    symbols, days = len({one.symbol for one in found}), len({one.session for one in found if one.session})
    click.echo(
        f"{_counted(len(found), 'session')} of {_counted(symbols, 'symbol')} on {_counted(days, 'day')}: "
        f"{counts[State.READY]} can be traded, {counts[State.DOUBTFUL]} lack something or are doubtful, "
        f"{counts[State.UNUSABLE]} cannot be used."
    )


def _said(one: "Coverage") -> Iterator[str]:
    if one.error is not None:
        yield one.error
    for problem in one.refused:
        yield f"refused: {problem.what} ({problem.count})"
    yield from one.lacks
    yield from one.doubts


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
