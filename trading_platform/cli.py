"""The commands. Each is a few lines that read options and call the rooms below.

Exit codes: 0 done; 1 a fault that trying again or another part may mend; 2 something that was given cannot be used.
Rooms are imported by the command that needs them, so that `--help` is quick.
"""

import dataclasses
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from trading_platform.domain.errors import InvalidInput, TradingPlatformError

if TYPE_CHECKING:
    from trading_platform.config.settings import Settings
    from trading_platform.ledger.ledger import Ledger
    from trading_platform.ledger.queries import ProfitAndLoss

FAULT: Final = 1
UNUSABLE: Final = 2
INTERRUPTED: Final = 130

_Command = Callable[..., Any]


def main() -> None:
    """The entry point `trading-platform`: a person's mistake gets a sentence, never a traceback."""
    try:
        sys.exit(commands(standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        sys.exit(UNUSABLE)
    except InvalidInput as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(UNUSABLE)
    except TradingPlatformError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(FAULT)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped. Run it again to go on.", err=True)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # Whoever read the output has read enough. What is left must not be written at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAULT)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="trading-platform", prog_name="trading-platform")
def commands() -> None:
    """Takes a trading strategy from backtest to production."""


def _market_options(command: _Command) -> _Command:
    for option in (
        click.option("--data", help="simulated (the default), or lean:FOLDER for recorded bars."),
        click.option("--session", "session", help="The session's date, as 2013-10-09."),
        click.option("--symbols", help="Symbols, separated by commas."),
        click.option("--profile", help="The profile of the strategy's parameters, such as quiet."),
    ):
        command = option(command)
    return command


def _json_option(command: _Command) -> _Command:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def _book_option(command: _Command) -> _Command:
    said = "The account's book; left out, the configured one if it has been traded, else the latest demo's."
    return click.option("--book", help=said)(command)


@commands.command()
@_market_options
@click.option("--port", type=click.IntRange(1, 65535), default=3000, show_default=True, help="Port of the Dagster UI.")
@click.option("--ui/--no-ui", default=True, help="Serve the Dagster UI afterwards.")
@click.option("--reset", is_flag=True, help="Leave an unfinished demo behind and start with a fresh book.")
@_json_option
def demo(*, port: int, ui: bool, reset: bool, as_json: bool, **market: str | None) -> None:
    """Trade one whole session through Dagster, minute by minute, on paper."""
    from rich.console import Console

    from trading_platform.terminal.demo import DemoOptions, run_demo

    console = Console(stderr=as_json)
    figures = run_demo(_settings(market), DemoOptions(reset=reset, port=port if ui else None), console)
    if as_json:
        _print_json(figures)


@commands.group()
def session() -> None:
    """Sessions without a control room."""


@session.command("run")
@_market_options
@click.option("--book", help="The account's book; left out, the configured one.")
@_json_option
def run_session(*, book: str | None, as_json: bool, **market: str | None) -> None:
    """Run one session on a simulated clock; a session that was begun goes on."""
    from rich.console import Console

    from trading_platform.terminal import session as sessions

    figures = sessions.run_session(_settings(market, book=book), Console(stderr=as_json))
    if as_json:
        _print_json(figures)


@commands.command()
@_book_option
@_json_option
def positions(*, book: str | None, as_json: bool) -> None:
    """What is held, at average cost."""
    ledger = _ledger(book)
    held = [one for one in ledger.holdings().positions.values() if one.quantity]
    shown = ("strategy", "symbol", "quantity", "cost", "opened_at")
    _show(ledger, "Positions", held, shown, as_json=as_json, none="Nothing is held")


@commands.command()
@_book_option
@click.option("--session", "day", help="One session's date; left out, all.")
@_json_option
def orders(*, book: str | None, day: str | None, as_json: bool) -> None:
    """Every order and change that was intended, with where it stands."""
    wanted, ledger = _date(day), _ledger(book)
    rows = [
        {
            **_plain(status.intent),
            "state": status.state.value,
            "filled": status.filled,
            "broker_order_id": status.broker_order_id,
        }
        for status in ledger.orders(wanted)
    ]
    shown = ("bar_time", "strategy", "symbol", "kind", "side", "type", "quantity", "filled", "state")
    _show(ledger, "Orders", rows, shown, as_json=as_json, none="No order was intended")


@commands.command()
@_book_option
@click.option("--session", "day", help="One session's date; left out, all.")
@_json_option
def fills(*, book: str | None, day: str | None, as_json: bool) -> None:
    """Every execution that is booked."""
    shown = ("time", "strategy", "symbol", "side", "quantity", "price", "fee")
    wanted, ledger = _date(day), _ledger(book)
    _show(ledger, "Fills", ledger.fills(wanted), shown, as_json=as_json, none="Nothing was filled")


@commands.command()
@_book_option
@_json_option
def pnl(*, book: str | None, as_json: bool) -> None:
    """Realised and unrealised profit and fees by strategy and symbol, dollars.

    What is held is valued at the price that the latest recorded minute saw; without one, at its cost.
    """
    from trading_platform.terminal.summary import last_marks

    ledger = _ledger(book)
    marks = last_marks(ledger)
    rows = [{**_plain(row), **_plain(_unrealised(row, marks.get(row.symbol)))} for row in ledger.pnl()]
    shown = ("strategy", "symbol", "bought_quantity", "sold_quantity", "realised", "unrealised", "fees", "net")
    _show(ledger, "Profit and loss", rows, shown, as_json=as_json, none="Nothing was traded")


def _unrealised(row: "ProfitAndLoss", mark: Decimal | None) -> dict[str, Decimal | None]:
    held = row.bought_quantity - row.sold_quantity
    open_profit = held * mark - row.cost if held and mark is not None else Decimal("0.0000")
    return {
        "mark": mark if held else None,
        "unrealised": open_profit,
        "net": row.realised + open_profit - row.fees,
    }


@commands.group()
def db() -> None:
    """The database: the local server, and the ledger's tables."""


@db.command("start")
def db_start() -> None:
    """Start the local server, with its databases and tables."""
    from trading_platform.bootstrap import open_ledger

    settings = _settings({})
    open_ledger(settings)
    click.echo(f"The database runs: {_where(settings)}.")


@db.command("stop")
def db_stop() -> None:
    """Stop the local server. What is committed stays; a running demo is not disturbed."""
    from trading_platform.terminal.demo_book import exclusive

    settings = _settings({})
    server = _local_server(settings)
    with exclusive(settings.data_folder):
        server.stop()
    click.echo("The local database is stopped.")


@db.command("status")
@_json_option
def db_status(*, as_json: bool) -> None:
    """How the database stands. The exit code is 1 if it does not answer."""
    from trading_platform.ledger.addresses import fault

    settings = _settings({})
    if settings.database_url is None:
        status = _local_server(settings).status()
        running = status.running
        figures = _plain(status)
    else:
        from trading_platform.bootstrap import databases

        said = fault(databases(settings).ledger)
        running, figures = said is None, {"running": said is None, "fault": said}
    if as_json:
        _print_json(figures)
    else:
        click.echo(f"The database {'runs' if running else 'does not run'}: {_where(settings)}.")
    if not running:
        sys.exit(FAULT)


@db.command("migrate")
def db_migrate() -> None:
    """Bring the ledger's tables to this version."""
    from trading_platform.bootstrap import open_ledger
    from trading_platform.ledger.migrate import current_revision

    ledger = open_ledger(_settings({}))
    click.echo(f"The ledger is at revision {current_revision(ledger.engine)}.")


def _settings(market: Mapping[str, str | None], *, book: str | None = None) -> "Settings":
    """The settings of the environment, with what the options say on top."""
    from trading_platform.config.load import load

    overrides: dict[str, Any] = {}
    data = {name: value for name, value in _market_data(market).items() if value is not None}
    if data:
        overrides["market_data"] = data
    if market.get("profile") is not None:
        overrides["strategies"] = [{"name": "vwap_reclaim", "profile": market["profile"]}]
    if book is not None:
        overrides["account"] = {"book": book}
    return load(os.environ, overrides)


def _market_data(market: Mapping[str, str | None]) -> dict[str, Any]:
    symbols = market.get("symbols")
    found: dict[str, Any] = {
        "symbols": tuple(part.strip().upper() for part in symbols.split(",") if part.strip()) if symbols else None,
        "session": _date(market.get("session")),
    }
    data = market.get("data")
    if data is None:
        return found
    kind, _, folder = data.partition(":")
    if kind == "simulated" and not folder:
        return found | {"provider": "simulated"}
    if kind == "lean" and folder:
        return found | {"provider": "lean", "folder": Path(folder)}
    raise InvalidInput(f"{data!r} names no source of bars", where="--data", mend="Give simulated or lean:FOLDER")


def _date(text: str | None) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"{text!r} is no date", where="--session", mend="Write it as 2013-10-09") from None


def _ledger(book: str | None) -> "Ledger":
    """The ledger of the wanted book, which must be there: the given one, the configured one, or the latest demo's."""
    from trading_platform.bootstrap import open_ledger
    from trading_platform.ledger.ledger import Ledger
    from trading_platform.terminal.demo_book import read_state

    settings = _settings({}, book=book)
    ledger = open_ledger(settings)
    state = read_state(settings.data_folder)
    if book is None and state is not None and not ledger.is_open():
        ledger = Ledger(ledger.engine, book=state.book)
    elif book is None and state is not None:
        click.echo(f"Book {ledger.book} is the configured one; the latest demo's is {state.book} (--book).", err=True)
    if not ledger.is_open():
        latest = f"; the latest demo's is {state.book}" if state is not None else ""
        raise InvalidInput(
            f"there is no book {ledger.book!r}",
            where="--book",
            mend=f"Run make demo or trading-platform session run first, or name another{latest}",
        )
    return ledger


def _local_server(settings: "Settings") -> Any:
    from trading_platform.ledger.embedded import LocalServer

    if settings.database_url is not None:
        raise InvalidInput("DATABASE_URL names another server", mend="It is started and stopped where it lives")
    return LocalServer(settings.data_folder / "db")


def _where(settings: "Settings") -> str:
    from trading_platform.ledger.addresses import spoken, sqlalchemy_url

    if settings.database_url is not None:
        return spoken(sqlalchemy_url(settings.database_url.get_secret_value(), where="DATABASE_URL"))
    return f"the local server in {settings.data_folder / 'db'}"


def _show(
    ledger: "Ledger", title: str, rows: Iterable[Any], columns: tuple[str, ...], *, as_json: bool, none: str
) -> None:
    """Rows of one book, which each answer names: left out, the option may mean the latest demo's."""
    found = [{"book": ledger.book, **_plain(row)} for row in rows]
    if as_json:
        _print_json(found)
        return
    if not found:
        click.echo(f"{none} in book {ledger.book}.")
        return
    from trading_platform.terminal.screen import print_rows

    print_rows(found, columns, f"{title} of book {ledger.book}")


def _plain(value: Any) -> Any:
    """A value of the domain in JSON's terms; money stays exact, as text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: _plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal | Path):
        return str(value)
    return value


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2))
