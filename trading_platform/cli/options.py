"""What the commands share: their options, the settings that these make, and how an answer is printed."""

import dataclasses
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from trading_platform.domain.errors import InvalidInput

if TYPE_CHECKING:
    from trading_platform.config.load import Configuration
    from trading_platform.config.settings import Settings
    from trading_platform.ledger.ledger import Ledger

_Command = Callable[..., Any]
OPTIONS: Final = {
    "account.book": "--book",
    "active_strategies": "--profile",
    "brokers.primary": "--broker",
    "market_data.folder": "--data",
    "market_data.provider": "--data",
    "market_data.session": "--session",
    "market_data.symbols": "--symbols",
}
"""The option that sets a knob, by the knob's path."""

FILES: Final = ("lean", "csv", "parquet")
"""The kinds of recorded bars that `--data` takes, each with a folder."""

EVERYTHING: Final = "all"
"""What `--symbols` takes for all that the data hold, where many sessions are meant."""

_COLUMNS: Final = "columns:"


def market_options(command: _Command) -> _Command:
    """The options that say what is traded."""
    for option in (
        click.option("--data", help="simulated (the default), lean:FOLDER, csv:FOLDER or parquet:FOLDER."),
        click.option("--session", "session", help="The session's date, as 2013-10-09."),
        click.option("--symbols", help="Symbols, separated by commas, or @FILE that lists them."),
        click.option("--profile", help="The profile of the strategy's parameters, such as quiet."),
    ):
        command = option(command)
    return command


def json_option(command: _Command) -> _Command:
    """`--json`, as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def book_option(command: _Command) -> _Command:
    """`--book`, for commands that read one."""
    said = "The account's book; left out, the configured one if it has been traded, else the latest demo's."
    return click.option("--book", help=said)(command)


def settings_of(market: Mapping[str, str | None], *, book: str | None = None) -> "Settings":
    """The settings of the environment, with what the options say on top. They set the level of the logs."""
    return configuration_of(market, book=book).settings


def configuration_of(market: Mapping[str, str | None], *, book: str | None = None) -> "Configuration":
    """The same settings with the source of each."""
    from trading_platform.config.load import read
    from trading_platform.config.logs import set_up_logging

    found = read(os.environ, overrides_of(market, book=book), OPTIONS)
    set_up_logging(found.settings.log_level).debug(
        "environment %s, file %s", found.settings.environment, found.file or "none"
    )
    return found


def overrides_of(market: Mapping[str, str | None], *, book: str | None = None) -> dict[str, Any]:
    """What the options set, in the shape of the settings."""
    overrides: dict[str, Any] = {}
    data = {name: value for name, value in _market_data(market).items() if value is not None}
    if data.get("provider") == "simulated":
        # A folder that the file names for another provider is not meant.
        data["folder"] = None
    if data:
        overrides["market_data"] = data
    if book is not None:
        overrides["account"] = {"book": book}
    if market.get("broker") is not None:
        # A demo's broker is its own, whatever is configured, and never one with real money.
        overrides |= {"brokers": {"primary": "paper", "backup": None}, "live": False}
    if market.get("profile") is not None:
        overrides["active_strategies"] = _with_profile(market["profile"], overrides)
    return overrides


def _with_profile(profile: str | None, overrides: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The strategies that are active without the option, each with that profile."""
    from trading_platform.config.load import load

    active = load(os.environ, overrides).active_strategies
    return [{**one.model_dump(mode="json"), "profile": profile} for one in active]


def _market_data(market: Mapping[str, str | None]) -> dict[str, Any]:
    symbols = market.get("symbols")
    found: dict[str, Any] = {
        "symbols": None if symbols is None else _symbols_of(symbols),
        "session": date_of(market.get("session")),
    }
    data = market.get("data")
    if data is None:
        return found
    if data.startswith(_COLUMNS):
        raise InvalidInput(
            f"{data!r} is a folder of columns, which backtests read and sessions do not",
            where="--data",
            mend=_sources(FILES),
        )
    return found | _provider(data, FILES)


def _provider(data: str, kinds: Sequence[str]) -> dict[str, Any]:
    """What `--data` names, in the shape of the settings. `kinds` of folders are told to whoever names no source."""
    kind, _, folder = data.partition(":")
    if kind == "simulated" and (not folder or folder.isdecimal()):
        return {"provider": "simulated"} | ({"seed": int(folder)} if folder else {})
    if kind in FILES and folder:
        return {"provider": kind, "folder": Path(folder)}
    raise InvalidInput(f"{data!r} names no source of bars", where="--data", mend=_sources(kinds))


def _sources(kinds: Sequence[str]) -> str:
    return f"Give simulated, or {', '.join(f'{kind}:FOLDER' for kind in kinds)}"


def columns_folder(data: str | None) -> Path | None:
    """The folder of columns that `--data columns:FOLDER` names; None if it names another source.

    Raises `InvalidInput` where it names none at all: a command that asks takes folders of columns too, and says so.
    """
    if data is None:
        return None
    if not data.startswith(_COLUMNS):
        _provider(data, (*FILES, _COLUMNS.removesuffix(":")))
        return None
    folder = data.removeprefix(_COLUMNS)
    if not folder:
        raise InvalidInput("it names no folder of columns", where="--data", mend="Give it as columns:FOLDER")
    return Path(folder)


def _symbols_of(text: str) -> tuple[str, ...]:
    """Not an empty list, which would mean all that the market lists: a variable of the shell may not have been set."""
    if text.startswith("@"):
        return _symbols_in(Path(text[1:]))
    found = tuple(part.strip().upper() for part in text.split(",") if part.strip())
    if not found:
        raise InvalidInput(f"{text!r} names no symbol", where="--symbols", mend="Give them as SPY,IBM, or leave it out")
    return found


def _symbols_in(file: Path) -> tuple[str, ...]:
    """Those that a file lists, separated by commas or white space; each once."""
    try:
        words = file.read_text(encoding="utf-8").replace(",", " ").split()
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InvalidInput(
            f"the list of symbols cannot be read: {said}", where=f"--symbols @{file}", mend="Name a text file"
        ) from error
    if not words:
        raise InvalidInput("it lists no symbol", where=f"--symbols @{file}", mend="Write one on each line")
    return tuple(dict.fromkeys(word.upper() for word in words))


def date_of(text: str | None, option: str = "--session") -> date | None:
    """A date as `option` gives it. Raises `InvalidInput` for what is none."""
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"{text!r} is no date", where=option, mend="Write it as 2013-10-09") from None


def ledger_of(book: str | None) -> "Ledger":
    """The ledger of the wanted book, which must be there: the given one, the configured one, or the latest demo's."""
    ledger, demo_book = _wanted(book)
    if not ledger.is_open():
        latest = f"; the latest demo's is {demo_book}" if demo_book is not None else ""
        raise InvalidInput(
            f"there is no book {ledger.book!r}",
            where="--book",
            mend="Run make demo or trading-platform session run first, or at a real broker trading-platform session "
            f"open; or name another{latest}",
        )
    return ledger


def book_of(book: str | None) -> str:
    """The name of the wanted book, as `ledger_of` finds it, whether it has been opened or not."""
    ledger, _ = _wanted(book)
    try:
        return ledger.book if ledger.is_open() else settings_of({}, book=book).account.book
    finally:
        ledger.engine.dispose()


def _wanted(book: str | None) -> "tuple[Ledger, str | None]":
    """The ledger of the wanted book, and the name of the latest demo's."""
    from trading_platform.bootstrap import open_ledger
    from trading_platform.ledger.ledger import Ledger
    from trading_platform.terminal.demo_book import read_state

    settings = settings_of({}, book=book)
    ledger = open_ledger(settings)
    state = read_state(settings.data_folder)
    if book is None and state is not None and not ledger.is_open():
        ledger = Ledger(ledger.engine, book=state.book)
    elif book is None and state is not None:
        click.echo(f"Book {ledger.book} is the configured one; the latest demo's is {state.book} (--book).", err=True)
    return ledger, None if state is None else state.book


def show(
    ledger: "Ledger", title: str, rows: Iterable[Any], columns: tuple[str, ...], *, as_json: bool, none: str
) -> None:
    """Rows of one book, which each answer names: left out, the option may mean the latest demo's."""
    found = [{"book": ledger.book, **plain(row)} for row in rows]
    if as_json:
        print_json(found)
        return
    if not found:
        click.echo(f"{none} in book {ledger.book}.")
        return
    from trading_platform.terminal.screen import print_rows

    print_rows(found, columns, f"{title} of book {ledger.book}")


def plain(value: Any) -> Any:
    """A value of the domain in JSON's terms; money stays exact, as text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal | Path):
        return str(value)
    return value


def print_json(value: Any) -> None:
    """Print an answer as JSON."""
    click.echo(json.dumps(value, indent=2))
