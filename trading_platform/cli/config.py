"""Commands for the configuration: what is set and by what, what is wrong with it, and what can be set."""

import os
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final

import click

from trading_platform.cli.options import (
    OPTIONS,
    configuration_of,
    json_option,
    market_options,
    overrides_of,
    print_json,
)
from trading_platform.domain.errors import InvalidInput

if TYPE_CHECKING:
    from trading_platform.config.load import Configuration

_WIDE: Final = 200


@click.group()
def config() -> None:
    """The configuration: every value with its source, and everything that is wrong."""


@config.command("show")
@market_options
@click.option("--book", help="The account's book; left out, the configured one.")
@click.option("--changed", is_flag=True, help="Only what differs from its default.")
@json_option
def config_show(*, book: str | None, changed: bool, as_json: bool, **market: str | None) -> None:
    """Each value with the place where it was set. Secrets are not shown."""
    configuration = configuration_of(market, book=book)
    rows = [row for row in _rows(configuration) if row["changed"] or not changed]
    if as_json:
        settings = configuration.settings
        print_json({"environment": settings.environment, "file": configuration.file, "values": rows})
        return
    _print_groups(rows)


@config.command("check")
@market_options
@click.option("--book", help="The account's book; left out, the configured one.")
@json_option
def config_check(*, book: str | None, as_json: bool, **market: str | None) -> None:
    """Everything that is wrong with the configuration, at once. Nothing is started and nothing written.

    The exit code is 2 if anything is wrong.
    """
    from trading_platform.bootstrap import check
    from trading_platform.config.load import examine

    configuration = examine(os.environ, overrides_of(market, book=book), OPTIONS)
    faults = (*configuration.mistakes, *check(configuration.settings, configuration.doubtful))
    if faults:
        raise InvalidInput("\n".join(faults))
    values = sum(row["changed"] for row in _rows(configuration))
    file = configuration.file
    if as_json:
        print_json({"valid": True, "environment": configuration.settings.environment, "file": file, "changed": values})
        return
    click.echo(
        f"The configuration is valid. Environment {configuration.settings.environment}; "
        f"{'1 value differs from its default' if values == 1 else f'{values} values differ from their defaults'}; {f'file {file}' if file is not None else 'no file (TRADING_PLATFORM_CONFIG names none)'}."
    )


@config.command("reference")
def config_reference() -> None:
    """Every knob with what it takes, its default and its effect, as Markdown."""
    from trading_platform.config.knobs import reference

    click.echo(reference(), nl=False)


def _rows(configuration: "Configuration") -> list[dict[str, Any]]:
    from trading_platform.config.knobs import knobs, value_of
    from trading_platform.config.texts import shown

    rows = []
    for path, knob in knobs().items():
        value = value_of(configuration.settings, path)
        rows.append(
            {
                "path": path,
                "value": "not set" if knob.secret and value is None else shown(value),
                "source": configuration.sources[path],
                "changed": value != knob.default,
            }
        )
    return rows


def _print_groups(rows: list[dict[str, Any]]) -> None:
    """One table, the top level first, then a section for each group; what differs from its default is marked."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not rows:
        click.echo("Nothing differs from its default.")
        return
    table = Table("setting", "value", "", "source", box=box.SIMPLE_HEAD, pad_edge=False)
    in_order = sorted(rows, key=lambda row: "." in row["path"])
    for row, following in zip_longest(in_order, in_order[1:]):
        texts = (row["path"], row["value"], "*" if row["changed"] else "", row["source"])
        # As text: a path may hold what rich would read as a style.
        table.add_row(*map(Text, texts), end_section=following is not None and _group(row) != _group(following))
    console = Console()
    Console(width=None if console.is_terminal else _WIDE).print(table)
    click.echo("* differs from its default")


def _group(row: dict[str, Any]) -> str:
    group, point, _ = str(row["path"]).partition(".")
    return group if point else ""
