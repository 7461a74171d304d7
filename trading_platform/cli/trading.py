"""Commands that trade: the demo, and sessions without a control room."""

import click

from trading_platform.cli.options import json_option, market_options, print_json, settings_of


@click.command()
@market_options
@click.option("--port", type=click.IntRange(1, 65535), default=3000, show_default=True, help="Port of the Dagster UI.")
@click.option("--ui/--no-ui", default=True, help="Serve the Dagster UI afterwards.")
@click.option("--reset", is_flag=True, help="Leave an unfinished demo behind and start with a fresh book.")
@json_option
def demo(*, port: int, ui: bool, reset: bool, as_json: bool, **market: str | None) -> None:
    """Trade one whole session through Dagster, minute by minute, on paper."""
    from rich.console import Console

    from trading_platform.terminal.demo import DemoOptions, run_demo

    console = Console(stderr=as_json)
    figures = run_demo(settings_of(market), DemoOptions(reset=reset, port=port if ui else None), console)
    if as_json:
        print_json(figures)


@click.group()
def session() -> None:
    """Sessions without a control room."""


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
