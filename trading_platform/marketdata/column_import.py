"""Bars from any provider into a folder of columns: month by month, some symbols at a time, in bounded memory.

Here belongs what is asked of the provider and what is told of it. The columns are made by `column_maker` and put into
the folder by `column_writer`, which says what may be written over what.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from pathlib import Path
from typing import Final

from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.calendars.sessions import Session
from trading_platform.config.names import did_you_mean
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.reports import DataProblem
from trading_platform.marketdata.actions import CorporateAction, actions_of
from trading_platform.marketdata.column_catalogue import Catalogue
from trading_platform.marketdata.column_maker import CELL_BYTES, ColumnMaker
from trading_platform.marketdata.column_writer import writing
from trading_platform.marketdata.columns import BarColumns
from trading_platform.marketdata.fetch import UNUSABLE
from trading_platform.marketdata.provider import Provider, Source
from trading_platform.marketdata.providers.file_access import checked_symbol

Progress = Callable[[int, int], None]

MEMORY: Final = 512 * 2**20
"""Bytes that an import may take beside what its provider keeps."""

_ROWS_SHARE: Final = 8  # one part in so many is for the rows in hand, the rest for volumes of earlier sessions
_VOLUME_BYTES: Final = 4_000  # of a symbol's session, with what Python takes for it


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What an import did.

    Attributes:
        source: Where the bars came from.
        written: The sessions that were stored, or stored again with other bars or more symbols.
        skipped: The sessions that were there already, with the same bars.
        missing: The exchange's sessions in the range of which the provider has no bars of any symbol.
        symbols: Those of which it has some.
        silent: Those of which it has none.
        problems: Bars that were refused, sources that could not be used, and symbols that may be misspelt.
        actions: The splits and dividends of the range.
    """

    source: Source
    written: tuple[date, ...]
    skipped: tuple[date, ...]
    missing: tuple[date, ...]
    symbols: tuple[str, ...]
    silent: tuple[str, ...]
    problems: tuple[DataProblem, ...]
    actions: tuple[CorporateAction, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Range:
    """What the provider has of the range that is wanted."""

    symbols: tuple[str, ...]
    sessions: tuple[Session, ...]
    missing: tuple[date, ...]
    silent: frozenset[str]
    actions: tuple[CorporateAction, ...]
    problems: tuple[DataProblem, ...]


def import_columns(
    provider: Provider,
    calendar: ExchangeCalendar,
    symbols: Sequence[str],
    first: date,
    last: date,
    folder: Path,
    *,
    progress: Progress | None = None,
    replace_others: bool = False,
    memory: int = MEMORY,
) -> Imported:
    """Store the columns of `symbols` from `first` to `last`, as live sessions would have seen them.

    Args:
        provider: where the bars come from.
        calendar: whose sessions they are.
        symbols: those wanted, in any order.
        first: the first day.
        last: the last day.
        folder: where to; it is made.
        progress: is told how many of how many symbol sessions are done.
        replace_others: whether other bars may take the place of those that are there.
        memory: bytes that may be taken beside what the provider keeps. With less than 90 kB a symbol, the volumes of
            earlier sessions, which make the profile, are read once more for each month.

    Raises:
        InvalidInput: There is no bar of any symbol in the range, the folder holds something else, bars of another
            source or (without `replace_others`) other bars, or it cannot be written or has no room.
    """
    found = _look(provider, calendar, tuple(sorted(set(map(checked_symbol, symbols)))), first, last)
    rows = memory // _ROWS_SHARE
    maker = ColumnMaker(provider, calendar, last, volumes_kept=max(1, (memory - rows) // _VOLUME_BYTES))
    done, total = 0, len(found.symbols) * len(found.sessions)
    problems = Counter({(one.symbol, one.what): one.count for one in found.problems})

    def make(some: Sequence[str], sessions: Sequence[Session]) -> BarColumns:
        nonlocal done
        made = maker.make(some, sessions)
        problems.update({(one.symbol, one.what): one.count for one in made.problems})
        done += len(some) * len(sessions)
        if progress is not None:
            progress(done, total)
        return made.columns

    written: list[date] = []
    with writing(folder, provider.source, calendar, replace_others=replace_others, memory=rows) as writer:
        _require_room(folder, writer.catalogue, found)
        for month, sessions in groupby(found.sessions, key=_month):
            written += writer.take(month, found.symbols, tuple(sessions), make)
        writer.put_actions(found.actions, found.symbols, first, last)
    return Imported(
        source=provider.source,
        written=tuple(written),
        skipped=tuple(session.day for session in found.sessions if session.day not in set(written)),
        missing=found.missing,
        symbols=tuple(symbol for symbol in found.symbols if symbol not in found.silent),
        silent=tuple(sorted(found.silent)),
        problems=tuple(
            DataProblem(symbol=symbol, what=what, count=count) for (symbol, what), count in sorted(problems.items())
        ),
        actions=found.actions,
    )


def _look(provider: Provider, calendar: ExchangeCalendar, symbols: tuple[str, ...], first: date, last: date) -> _Range:
    """Which sessions there are, of whom, and what happened to the shares.

    Raises `InvalidInput` if there is nothing.
    """
    if not symbols:
        raise InvalidInput("there is no symbol to import", where="symbols", mend="Name symbols that the source has")
    sessions = calendar.sessions(first, last)
    recorded: set[date] = set()
    silent: set[str] = set()
    actions: list[CorporateAction] = []
    problems: list[DataProblem] = []
    for symbol in symbols:
        try:
            days = [day for day in provider.minute_sessions(symbol, last + timedelta(days=1)) if day >= first]
            if days:
                actions += actions_of(provider, calendar, symbol, first, last)
        except InvalidInput as error:
            problems.append(DataProblem(symbol=symbol, what=f"{UNUSABLE}: {error}"))
            continue
        recorded.update(days)
        if not days:
            silent.add(symbol)
            problems.append(DataProblem(symbol=symbol, what=f"no minute bars in the range{_guess(provider, symbol)}"))
    stored = tuple(session for session in sessions if session.day in recorded)
    if not stored:
        raise _nothing(provider, symbols, first, last, problems)
    return _Range(
        symbols=symbols,
        sessions=stored,
        missing=tuple(session.day for session in sessions if session.day not in recorded),
        silent=frozenset(silent),
        actions=tuple(actions),
        problems=tuple(problems),
    )


def _guess(provider: Provider, symbol: str) -> str:
    """What may have been meant, where the provider can say which symbols it has."""
    known = getattr(provider, "symbols", ())
    return "." + did_you_mean(symbol, known) if known and symbol not in known else ""


def _nothing(
    provider: Provider, symbols: tuple[str, ...], first: date, last: date, problems: Sequence[DataProblem]
) -> InvalidInput:
    source = provider.source
    told = f" ({problems[0].symbol}: {problems[0].what})" if problems else ""
    return InvalidInput(
        f"{source.provider} {source.feed} has no minute bars of {len(symbols):,} symbol{'' if len(symbols) == 1 else 's'} "
        f"in a session from {first} to {last}{told}",
        mend="Name symbols and days that it has; trading-platform data list shows them",
    )


def _require_room(folder: Path, catalogue: Catalogue, found: _Range) -> None:
    """Raise `InvalidInput` where the disk has no room for the sessions that are not there yet."""
    there = {one.session.day for one in catalogue.sessions}
    fresh = sum(session.day not in there for session in found.sessions)
    needed, free = fresh * len(found.symbols) * CELL_BYTES, shutil.disk_usage(folder).free
    if needed > free:
        raise InvalidInput(
            f"{len(found.symbols):,} symbols over {fresh:,} sessions take {_size(needed)}, and there is room for "
            f"{_size(free)}",
            where=str(folder),
            mend="Make room, name a folder on another disk, or import fewer symbols or sessions",
        )


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 10**9 else f"{count / 1e6:,.1f} MB"


def _month(session: Session) -> str:
    return f"{session.day:%Y-%m}"
