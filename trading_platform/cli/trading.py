"""Commands that trade: the demo, and sessions without a control room."""

from typing import Final

import click

from trading_platform.cli.options import json_option, market_options, print_json, settings_of

_NO_WAY_ON: Final = (
    "Stopped. It cannot go on: its local Alpaca, which kept its orders in memory, has ended with it. Run it again to "
    "begin a fresh one."
)


@click.command()
@market_options
@click.option("--port", type=click.IntRange(1, 65535), default=3000, show_default=True, help="Port of the Dagster UI.")
@click.option("--ui/--no-ui", default=True, help="Serve the Dagster UI afterwards.")
@click.option("--sessions", type=click.IntRange(1, 250), default=1, show_default=True, help="How many in a row.")
@click.option(
    "--broker",
    type=click.Choice(["paper", "alpaca-local"]),
    help="paper: the platform's own exchange (the default). alpaca-local: a local Alpaca.",
)
@click.option("--reset", is_flag=True, help="Leave an unfinished demo behind and start with a fresh book.")
@json_option
def demo(
    *, port: int, ui: bool, sessions: int, broker: str | None, reset: bool, as_json: bool, **market: str | None
) -> None:
    """Trade whole sessions through Dagster, minute by minute, on paper."""
    from rich.console import Console

    from trading_platform.terminal.demo import DemoOptions, run_demo

    console = Console(stderr=as_json)
    options = DemoOptions(reset=reset, port=port if ui else None, sessions=sessions, broker=broker)
    try:
        figures = run_demo(settings_of({**market, "broker": broker}), options, console)
    except KeyboardInterrupt:
        if broker == "alpaca-local":
            raise click.Abort(_NO_WAY_ON) from None
        raise
    if as_json:
        print_json(figures)


@click.group()
def session() -> None:
    """Sessions without a control room."""


@session.command("open")
@market_options
@click.option("--book", help="The account's book; left out, the configured one.")
@json_option
def open_session(*, book: str | None, as_json: bool, **market: str | None) -> None:
    """Look at all that a session needs, open it, and reconcile with the broker."""
    from rich.console import Console

    from trading_platform.terminal import trading_day

    figures = trading_day.open_session(settings_of(market, book=book), Console(stderr=as_json))
    if as_json:
        print_json(figures)


@session.command("close")
@market_options
@click.option("--book", help="The account's book; left out, the configured one.")
@click.option("--flatten", metavar="REASON", help="Sell everything and enter nothing more, whatever the minute.")
@json_option
def close_session(*, book: str | None, flatten: str | None, as_json: bool, **market: str | None) -> None:
    """Close a session that is over: book its last fills, and compare ledger and broker in full."""
    from rich.console import Console

    from trading_platform.terminal import trading_day

    figures = trading_day.close_session(settings_of(market, book=book), Console(stderr=as_json), flatten=flatten)
    if as_json:
        print_json(figures)


@session.command("run")
@market_options
@click.option("--book", help="The account's book; left out, the configured one.")
@json_option
def run_session(*, book: str | None, as_json: bool, **market: str | None) -> None:
    """Run one session on a simulated clock; a session that was begun goes on."""
    from rich.console import Console

    from trading_platform.terminal import session as sessions

    figures = sessions.run_session(settings_of(market, book=book), Console(stderr=as_json))
    if as_json:
        print_json(figures)
