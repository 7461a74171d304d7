"""Commands for the database: the local server, and the ledger's tables."""

import sys
from typing import TYPE_CHECKING, Any

import click

from trading_platform.cli.options import json_option, plain, print_json, settings_of
from trading_platform.domain.errors import InvalidInput

if TYPE_CHECKING:
    from trading_platform.config.settings import Settings


@click.group()
def db() -> None:
    """The database: the local server, and the ledger's tables."""


@db.command("start")
def db_start() -> None:
    """Start the local server, with its databases and tables."""
    from trading_platform.bootstrap import open_ledger

    settings = settings_of({})
    open_ledger(settings)
    click.echo(f"The database runs: {_where(settings)}.")


@db.command("stop")
def db_stop() -> None:
    """Stop the local server. What is committed stays; a running demo is not disturbed."""
    from trading_platform.terminal.demo_book import exclusive

    settings = settings_of({})
    server = _local_server(settings)
    with exclusive(settings.data_folder):
        server.stop()
    click.echo("The local database is stopped.")


@db.command("status")
@json_option
def db_status(*, as_json: bool) -> None:
    """How the database stands. The exit code is 1 if it does not answer."""
    from trading_platform.ledger.addresses import fault

    settings = settings_of({})
    if settings.database_url is None:
        status = _local_server(settings).status()
        running = status.running
        figures = plain(status)
    else:
        from trading_platform.bootstrap import databases

        said = fault(databases(settings).ledger)
        running, figures = said is None, {"running": said is None, "fault": said}
    if as_json:
        print_json(figures)
    else:
        click.echo(f"The database {'runs' if running else 'does not run'}: {_where(settings)}.")
    if not running:
        sys.exit(1)


@db.command("migrate")
def db_migrate() -> None:
    """Bring the ledger's tables to this version."""
    from trading_platform.bootstrap import open_ledger
    from trading_platform.ledger.migrate import current_revision

    ledger = open_ledger(settings_of({}))
    click.echo(f"The ledger is at revision {current_revision(ledger.engine)}.")


def _local_server(settings: "Settings") -> Any:
    from trading_platform.ledger.embedded import LocalServer

    if settings.database_url is not None:
        raise InvalidInput("DATABASE_URL names another server", mend="It is started and stopped where it lives")
    return LocalServer(settings.data_folder / "db")


def _where(settings: "Settings") -> str:
    from trading_platform.ledger.addresses import spoken, sqlalchemy_url

    if settings.database_url is not None:
        return spoken(sqlalchemy_url(settings.database_url.reveal(), where="DATABASE_URL"))
    return f"the local server in {settings.data_folder / 'db'}"
