"""Commands for recorded bars: what is there, whether it can be traded, and storing it as columns for backtests."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from trading_platform.cli.options import (
    EVERYTHING,
    columns_folder,
    date_of,
    json_option,
    plain,
    print_json,
    settings_of,
)
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
        click.option("--symbols", help="A,B or @FILE or all; left out, the configured ones or all."),
        click.option(
            "--data",
            help="simulated[:SEED], lean:FOLDER, csv:FOLDER, parquet:FOLDER or columns:FOLDER; left out, as configured.",
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
    folder = columns_folder(market["data"])
    if folder is not None:
        _list_columns(folder, as_json=as_json)
        return
    provider, _, symbols = _market(market)
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

    folder = columns_folder(market["data"])
    if folder is not None:
        return _check_columns(folder, as_json=as_json)
    settings = _settings({**market, "session": session})
    provider, calendar, symbols = _market({**market, "session": session})
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


def _settings(market: dict[str, str | None]) -> "Settings":
    everything = market["symbols"] == EVERYTHING
    return settings_of({**market, "symbols": None} if everything else market)


def _market(market: dict[str, str | None]) -> tuple["Market", "ExchangeCalendar", tuple[str, ...]]:
    """The provider, the calendar, and the symbols that are meant."""
    from trading_platform.bootstrap import market_of
    from trading_platform.calendars.exchange import calendar_of

    settings = _settings(market)
    calendar = calendar_of(settings.market_hours)
    provider = market_of(settings.market_data, calendar)
    named = () if market["symbols"] == EVERYTHING else settings.market_data.symbols
    return provider, calendar, named or provider.symbols


def _list_columns(folder: Path, *, as_json: bool) -> None:
    from trading_platform.marketdata.column_catalogue import read_catalogue
    from trading_platform.marketdata.column_store import stored_symbols

    catalogue = read_catalogue(folder)
    source, sessions = catalogue.source, catalogue.sessions
    rows = [plain(one) for one in stored_symbols(folder)]
    facts = {
        "sessions": len(sessions),
        "first": str(sessions[0].session.day) if sessions else None,
        "last": str(sessions[-1].session.day) if sessions else None,
        "half_days": [str(day) for day in catalogue.half_days],
        "actions": len(catalogue.actions),
    }
    if as_json:
        print_json({"source": plain(source), **facts, "symbols": rows})
        return
    if not rows:
        click.echo("There are no minute bars.")
        return
    from trading_platform.terminal.screen import print_rows

    print_rows(rows, tuple(rows[0]), f"Columns of {source.provider}, {source.feed}")
    click.echo(
        f"{_counted(len(sessions), 'session')} from {facts['first']} to {facts['last']}, "
        f"{_counted(len(catalogue.half_days), 'half day')}, {_counted(len(catalogue.actions), 'split or dividend', 'splits and dividends')}."
    )


def _check_columns(folder: Path, *, as_json: bool) -> int:
    """Read a whole folder again. 1: sessions are missing between its first and its last; 2: bars are damaged."""
    from trading_platform.calendars.exchange import ExchangeCalendar
    from trading_platform.marketdata.column_catalogue import read_catalogue
    from trading_platform.marketdata.column_store import verify_columns

    catalogue = read_catalogue(folder)
    with _bar("blocks") as bar:
        damaged = list(verify_columns(folder, bar))
    missing = [str(day) for day in catalogue.missing(ExchangeCalendar(catalogue.exchange, catalogue.hours))]
    if as_json:
        print_json({"damaged": damaged, "missing": missing, "half_days": [str(day) for day in catalogue.half_days]})
    else:
        for said in damaged:
            click.echo(said)
        for said in _runs(missing, (str(one.session.day) for one in catalogue.sessions), "the session is not there"):
            click.echo(said)
        bars = sum(one.bars for one in catalogue.sessions)
        click.echo(
            f"{_counted(bars, 'bar')} in {_counted(len(catalogue.sessions), 'session')}: {len(damaged):,} damaged, "
            f"{_counted(len(missing), 'session')} missing between the first and the last."
        )
    if damaged:
        return _UNUSABLE
    return _DOUBTFUL if missing else 0


@data.command("import")
@click.argument("source", metavar="SPEC")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--symbols", help="A,B or @FILE or all; left out, the configured ones or all.")
@click.option("--from", "first", required=True, help="The first day, as 2013-10-07.")
@click.option("--to", "last", required=True, help="The last day.")
@click.option("--replace", is_flag=True, help="Let other bars take the place of those that are there.")
@json_option
def import_data(
    *, source: str, folder: Path, symbols: str | None, first: str, last: str, replace: bool, as_json: bool
) -> int:
    """Store bars of SPEC (lean:, csv:, parquet:FOLDER, simulated[:SEED]) in a FOLDER of columns, for backtests.

    What is there already is left as it is, so that an import that was broken off goes on. Exit code 1 if sessions are
    missing or bars were refused.
    """
    from trading_platform.marketdata.column_import import import_columns

    start, end = date_of(first, "--from"), date_of(last, "--to")
    assert start is not None
    assert end is not None
    provider, calendar, named = _market({"data": source, "symbols": symbols})
    with _bar("symbol sessions") as bar:
        done = import_columns(provider, calendar, named, start, end, folder, progress=bar, replace_others=replace)
    told = plain(done)
    facts = {
        "source": told["source"],
        **{name: [str(day) for day in getattr(done, name)] for name in ("written", "skipped", "missing")},
        "symbols": len(done.symbols),
        "silent": list(done.silent),
        "actions": len(done.actions),
        "problems": [plain(one) for one in done.problems],
    }
    if as_json:
        print_json(facts)
    else:
        for said in _runs(done.missing, (*done.written, *done.skipped), "the source has no bar of any symbol"):
            click.echo(said)
        for problem in done.problems:
            click.echo(f"{problem.symbol}: {problem.what.rstrip('.')} ({problem.count:,}).")
        click.echo(
            f"{_counted(len(done.written), 'session')} of {_counted(len(done.symbols), 'symbol')} written to {folder}, "
            f"{len(done.skipped):,} there already, {len(done.missing):,} missing; "
            f"{_counted(len(done.actions), 'split or dividend', 'splits and dividends')}."
        )
    return _DOUBTFUL if done.missing or done.problems else 0


def _bar(what: str) -> Any:
    """Shows how many of how many are done, where somebody looks; gives None where nobody does."""
    if not sys.stderr.isatty():
        return nullcontext()
    from trading_platform.terminal.counting import counting

    return counting(what)


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
    for said in _findings(found):
        click.echo(said)
    counts = {state: sum(one.state is state for one in found) for state in State}
    symbols, days = len({one.symbol for one in found}), len({one.session for one in found if one.session})
    click.echo(
        f"{_counted(len(found), 'session')} of {_counted(symbols, 'symbol')} on {_counted(days, 'day')}: "
        f"{counts[State.READY]} can be traded, {counts[State.DOUBTFUL]} lack something or are doubtful, "
        f"{counts[State.UNUSABLE]} cannot be used."
    )


def _runs(missing: Sequence[Any], there: Iterable[Any], what: str) -> Iterator[str]:
    """A line for each run of days that are missing with none between them that is there. They come in order."""
    stops = set(there)
    run: list[Any] = []
    # Years of them, a line each, would push the summary and every other finding off the screen.
    for day in sorted({*missing, *stops}):
        if day not in stops:
            run.append(day)
        elif run:
            yield _run(run, what)
            run = []
    if run:
        yield _run(run, what)


def _run(days: Sequence[Any], what: str) -> str:
    return f"{days[0]}: {what}." if len(days) == 1 else f"{days[0]} to {days[-1]}: {what} in {len(days):,} sessions."


def _findings(found: Iterable["Coverage"]) -> Iterator[str]:
    """What is said of each symbol; of sessions in a row that the same is said of, once, where the first of them stands."""
    open_now: dict[str, list[Any]] = {}
    lines: list[tuple[str, str, list[Any]]] = []
    symbol = None
    for one in found:
        if one.symbol != symbol:
            symbol, open_now = one.symbol, {}
        still: dict[str, list[Any]] = {}
        for what in dict.fromkeys(_said(one)):
            days = open_now.get(what)
            if days is None:
                days = []
                lines.append((one.symbol, what, days))
            days.append(one.session)
            still[what] = days
        open_now = still
    for name, what, days in lines:
        at = f" {days[0]}" if days[0] else ""
        yield f"{name}{at}: {what}" if len(days) == 1 else f"{name}{at} to {days[-1]}, {len(days):,} sessions: {what}"


def _said(one: "Coverage") -> Iterator[str]:
    if one.error is not None:
        yield one.error
    for problem in one.refused:
        yield f"refused: {problem.what} ({problem.count})"
    yield from one.lacks
    yield from one.doubts


def _counted(number: int, noun: str, nouns: str | None = None) -> str:
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"
