"""Commands for when something is wrong: halt, resume, cancel all, close all, reconnect, reconcile.

They work when nothing else runs. `session close --flatten` is not one of them: it ends a session, by the strategies' own
minutes. These act at once, on everything that the book has.
"""

import sys
from typing import TYPE_CHECKING, Any

import click

from trading_platform.cli.options import (
    book_of,
    book_option,
    json_option,
    ledger_of,
    plain,
    print_json,
    settings_of,
)
from trading_platform.domain.commands import CommandAction
from trading_platform.domain.errors import InvalidInput

if TYPE_CHECKING:
    from trading_platform.config.settings import Settings

_reason = click.option("--reason", required=True, help="Why, for the record.")


def _bars(command: Any) -> Any:
    """What the book trades, where the configuration does not say it."""
    for option in (
        click.option("--data", help="simulated (the default), lean:FOLDER, csv:FOLDER or parquet:FOLDER."),
        click.option("--symbols", help="Symbols, separated by commas."),
        click.option("--profile", help="The profile of the strategy's parameters, such as quiet."),
    ):
        command = option(command)
    return command


@click.command()
@_reason
@book_option
@json_option
def halt(*, reason: str, book: str | None, as_json: bool) -> None:
    """Enter nothing any more, until resume. Exits and protective stops go on."""
    from trading_platform.domain.clock import SystemClock
    from trading_platform.engine import emergencies
    from trading_platform.terminal.person import given_reason, user

    given_reason(reason, "--reason")
    ledger = ledger_of(book)
    before = ledger.halted()
    done = emergencies.halt(ledger, SystemClock(), who=user(), reason=reason)
    if as_json:
        print_json(plain(done))
        return
    said = "Entries were halted already" if before else "Entries are halted"
    click.echo(
        f"{said} in book {ledger.book} (command {done.id}, by {done.who}: {done.reason}). "
        "The next cycle cancels those that are open; exits go on. To end it: trading-platform resume --reason WHY"
    )


@click.command()
@_reason
@book_option
@json_option
def resume(*, reason: str, book: str | None, as_json: bool) -> None:
    """Let entries be made again after a halt."""
    from trading_platform.domain.clock import SystemClock
    from trading_platform.engine import emergencies
    from trading_platform.terminal.person import given_reason, user

    given_reason(reason, "--reason")
    ledger = ledger_of(book)
    done = emergencies.resume(ledger, SystemClock(), who=user(), reason=reason)
    if as_json:
        print_json(plain(done))
    else:
        click.echo(f"Book {ledger.book} may enter again from its next minute on (command {done.id}, by {done.who}).")


@click.command("cancel")
@click.option("--all", "everything", is_flag=True, help="Every open order of the book, protective ones included.")
@_reason
@_bars
@book_option
@json_option
def cancel_orders(*, everything: bool, reason: str, book: str | None, as_json: bool, **market: str | None) -> None:
    """Cancel every open order, at any time, until the brokers work none of them."""
    from trading_platform.terminal.emergencies import require_all

    require_all(everything=everything, what="orders")
    _give(CommandAction.CANCEL_ALL, _settings(book, market), reason, as_json=as_json)


@click.command("close")
@click.option("--all", "everything", is_flag=True, help="Every position of the book.")
@_reason
@click.option("--halt", "halting", is_flag=True, help="Halt entries first, so that none follows.")
@_bars
@book_option
@json_option
def close_positions(
    *, everything: bool, reason: str, halting: bool, book: str | None, as_json: bool, **market: str | None
) -> None:
    """Cancel every open order and sell every position at the market, until book and brokers are flat.

    It acts while the market is open. It does not end the session: that is session close --flatten, which leaves the
    selling to the session's next minutes and enters nothing more in it.
    """
    from trading_platform.terminal.emergencies import require_all

    require_all(everything=everything, what="positions")
    _give(CommandAction.CLOSE_ALL, _settings(book, market), reason, as_json=as_json, halting=halting)


@click.command()
@_bars
@book_option
@json_option
def reconnect(*, book: str | None, as_json: bool, **market: str | None) -> None:
    """Connect to each broker anew and ask for its account. The exit code is 1 if one does not answer.

    No book needs to have been opened.
    """
    from trading_platform.terminal import emergencies

    name, found = emergencies.reconnect(settings_of(market, book=book_of(book)))
    if as_json:
        print_json({"book": name, "brokers": [plain(one) for one in found]})
    else:
        for one in found:
            click.echo(f"{one.venue} {'answers' if one.answers else 'does not answer'}: {one.said}.")
    if not all(one.answers for one in found):
        sys.exit(1)


@click.command()
@click.option(
    "--accept", multiple=True, metavar="WHAT", help="A symbol, an order's id, cash, or all: it stays as it is."
)
@click.option("--reason", help="Why it is accepted, for the record.")
@_bars
@book_option
@json_option
def reconcile(
    *, accept: tuple[str, ...], reason: str | None, book: str | None, as_json: bool, **market: str | None
) -> None:
    """Compare ledger and brokers, and show what they do not agree on.

    Nothing is entered in a symbol with a break, until a person has accepted it. The exit code is 1 while one is left.
    """
    from rich.console import Console

    from trading_platform.terminal import emergencies
    from trading_platform.terminal.person import given_reason

    if accept:
        given_reason(reason or "", "--reason")
    elif reason is not None:
        raise InvalidInput(
            "a reason is given, and nothing is accepted",
            where="--reason",
            mend="Name what stays as it is with --accept (a symbol, an order's id, cash, or all), or leave the reason out",
        )
    figures = emergencies.reconcile(_settings(book, market), accept, reason or "", Console(stderr=as_json))
    if as_json:
        print_json(figures)
    if figures["breaks"]:
        sys.exit(1)


def _settings(book: str | None, market: dict[str, str | None]) -> "Settings":
    """The settings, with the name of a book that is there."""
    return settings_of(market, book=ledger_of(book).book)


def _give(action: CommandAction, settings: "Settings", reason: str, *, as_json: bool, halting: bool = False) -> None:
    from rich.console import Console

    from trading_platform.terminal.emergencies import give
    from trading_platform.terminal.person import given_reason

    console = Console(stderr=as_json)
    figures = give(settings, action, given_reason(reason, "--reason"), console, halting=halting)
    if as_json:
        print_json(figures)
