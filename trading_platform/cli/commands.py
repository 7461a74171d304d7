"""What a person tells the platform to do: recorded in the ledger with who and why, and obeyed from the next minute on."""

import click

from trading_platform.cli.options import book_option, ledger_of, settings_of
from trading_platform.domain.errors import InvalidInput


@click.command()
@click.argument("strategy")
@click.argument("symbol")
@click.option("--reason", required=True, help="Why, for the record.")
@book_option
def enable(*, strategy: str, symbol: str, reason: str, book: str | None) -> None:
    """Let a STRATEGY enter a SYMBOL again that it has entered too often (rule 12)."""
    from trading_platform.domain.clock import SystemClock
    from trading_platform.domain.commands import CommandAction
    from trading_platform.terminal.person import given_reason, user

    reason = given_reason(reason, "--reason")
    ledger = ledger_of(book)
    limit = settings_of({}, book=book).limits.max_entries_per_day
    pair = (strategy, symbol.upper())
    disabled = ledger.disabled(limit)
    if pair not in disabled:
        known = ", ".join(f"{one} {other}" for one, other in sorted(disabled))
        raise InvalidInput(
            f"{pair[0]} {pair[1]} is not disabled",
            where=f"book {ledger.book}",
            mend=f"Disabled are: {known}" if known else "Nothing is: there is nothing to enable",
        )
    done = ledger.append_command(
        CommandAction.ENABLE,
        at=SystemClock().now(),
        who=user(),
        reason=reason,
        strategy=pair[0],
        symbol=pair[1],
    )
    click.echo(f"{pair[0]} may enter {pair[1]} again in book {ledger.book} (command {done.id}, by {done.who}).")
