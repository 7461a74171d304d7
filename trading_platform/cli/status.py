"""The command that says how everything stands."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from trading_platform.cli.options import book_option, json_option, plain, print_json, settings_of

if TYPE_CHECKING:
    from trading_platform.domain.orders import OrderStatus
    from trading_platform.domain.reports import Break
    from trading_platform.terminal.status import BookStatus, LastCycle, Status


@click.command()
@book_option
@json_option
def status(*, book: str | None, as_json: bool) -> None:
    """How everything stands: database, last minute, account, open orders, owner.

    Nothing is started or changed. The exit code is 1 if the database cannot be read.
    """
    from trading_platform.domain.clock import SystemClock
    from trading_platform.terminal.status import read_status

    found = read_status(settings_of({}, book=book), SystemClock(), book=book)
    if as_json:
        print_json(_figures(found))
    else:
        for name, said in _lines(found):
            click.echo(f"{name:<12}{said}")
    if found.database.fault is not None:
        sys.exit(1)


def _figures(found: "Status") -> dict[str, Any]:
    figures: dict[str, Any] = plain(found)
    book = found.book
    if book is not None:
        del figures["book"]["left"]
        figures["book"] |= {
            "last": None if book.last is None else plain(book.last) | {"mode": book.last.mode.name.lower()},
            "holdings": [plain(one) for one in book.holdings],
            "open_orders": [_order(one, book) for one in book.open_orders],
            "unknown_orders": [one.intent.id for one in book.unknown_orders],
            "unfinished": [plain(one) for one in book.unfinished],
            "breaks": [plain(one) for one in book.breaks],
            "away": list(book.away),
            "oddities": list(book.oddities),
            "disabled": [{"strategy": strategy, "symbol": symbol} for strategy, symbol in book.disabled],
            "owners": [plain(one) for one in book.owners],
        }
    return figures | {"strategies": list(found.strategies)}


def _order(status: "OrderStatus", book: "BookStatus") -> dict[str, Any]:
    intent = status.intent
    left = book.left.get(intent.id)
    return {**plain(intent), "state": status.state.value, "filled": status.filled, "left": left}


def _lines(found: "Status") -> Iterator[tuple[str, str]]:
    """What is said, by name, in the order in which a person wants it."""
    yield "environment", f"{found.environment}, clock: {found.clock}"
    yield "strategies", ", ".join(found.strategies) or "none is active"
    database = found.database
    if not database.running:
        yield "database", f"does not answer: {database.where}: {database.fault}"
        return
    yield "database", f"runs: {database.where}, revision {database.revision or 'none'}"
    if database.fault is not None:
        yield "", database.fault
    elif found.book is None:
        yield "book", f"{found.named_book}: it has not been traded yet"
    else:
        yield from _book_lines(found.book)


def _book_lines(book: "BookStatus") -> Iterator[tuple[str, str]]:
    yield "book", book.book
    yield "session", _session(book)
    if book.last is not None:
        yield from _account_lines(book.last)
    if book.halted is not None:
        yield "halted", f"by {book.halted.who}: {book.halted.reason}; nothing is entered until trading-platform resume"
    if book.unfinished:
        commands = [f"{_words(one.action)} (command {one.id}, by {one.who}: {one.reason})" for one in book.unfinished]
        yield from _listed("not done", commands)
    if book.flatten_wanted:
        yield "flatten", "wanted for this session: everything is sold, nothing is entered"
    held = [f"{one.quantity} {one.symbol} ({one.strategy}), cost {one.cost:,.2f}" for one in book.holdings]
    yield from _listed("positions", held)
    yield from _listed("open orders", [_order_line(one, book) for one in book.open_orders])
    yield from _listed("unknown", [f"{one.intent.id} {one.intent.symbol}" for one in book.unknown_orders])
    yield from _listed("breaks", [f"{one.symbol}: {one.what}{_at(one, book)}" for one in book.breaks])
    if book.away:
        yield from _listed("away", [f"{one} did not answer: what it has is as it was believed" for one in book.away])
    if book.oddities:
        yield from _listed("odd", list(book.oddities))
    yield from _listed("disabled", [f"{strategy} {symbol}" for strategy, symbol in book.disabled])
    owners = [
        f"{one.owner}: {one.shards} shards, lease {'until' if one.leased else 'ran out at'} {one.lease_until:%H:%M:%S} UTC"
        for one in book.owners
    ]
    yield from _listed("owner", owners)


def _order_line(status: "OrderStatus", book: "BookStatus") -> str:
    """What can still be bought or sold comes first: a stop that was reduced protects no more than that."""
    intent = status.intent
    left = book.left.get(intent.id, intent.quantity)
    shares = f"{left}" if left == intent.quantity else f"{left} (of {intent.quantity})"
    order = f"{intent.kind} {intent.side} {shares} {intent.symbol} ({intent.strategy})"
    return f"{order}: {status.state}, {status.filled} filled"


def _words(action: str) -> str:
    return action.replace("_", " ")


def _at(found: "Break", book: "BookStatus") -> str:
    """Which broker a break is with, where the book has orders or breaks at more than one."""
    venues = {one.venue for one in book.breaks} | {one.venue for one in book.open_orders if one.venue is not None}
    return f" ({found.venue})" if len(venues) > 1 else ""


def _session(book: "BookStatus") -> str:
    if book.session is None:
        return "none has been opened"
    finished = book.session.finished_at
    return f"{book.session.session}, {'open' if finished is None else 'finished'}"


def _account_lines(last: "LastCycle") -> Iterator[tuple[str, str]]:
    from trading_platform.calendars.sessions import EXCHANGE_ZONE

    bar, decided = last.bar_time.astimezone(EXCHANGE_ZONE), last.decided_at.astimezone(EXCHANGE_ZONE)
    moment = (
        f"{last.session}, minute {last.minute} (the bar of {bar:%H:%M}), decided at {decided:%H:%M:%S} New York time"
    )
    yield "last minute", f"{moment}, release {last.release}"
    yield "mode", last.mode.name.lower().replace("_", " ")
    yield "equity", f"{last.equity:,.2f} dollars, {last.day_pnl:+,.2f} today; cash {last.cash:,.2f}"


def _listed(name: str, lines: list[str]) -> Iterator[tuple[str, str]]:
    """A name with its lines, or with the word none."""
    for place, line in enumerate(lines or ["none"]):
        yield ("" if place else name), line
