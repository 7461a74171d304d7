"""Commands that read a book of the ledger. Those that act on all its orders or positions are in `emergencies`."""

from decimal import Decimal
from typing import TYPE_CHECKING

import click

from trading_platform.cli.emergencies import cancel_orders, close_positions
from trading_platform.cli.options import book_option, date_of, json_option, ledger_of, plain, show
from trading_platform.domain.errors import InvalidInput

if TYPE_CHECKING:
    from trading_platform.ledger.queries import ProfitAndLoss


@click.group(invoke_without_command=True)
@book_option
@json_option
@click.pass_context
def positions(context: click.Context, *, book: str | None, as_json: bool) -> None:
    """What is held, at average cost; and close, which sells it."""
    if context.invoked_subcommand is not None:
        _require_behind(context, book, as_json)
        return
    ledger = ledger_of(book)
    held = [one for one in ledger.holdings().positions.values() if one.quantity]
    shown = ("strategy", "symbol", "quantity", "cost", "opened_at")
    show(ledger, "Positions", held, shown, as_json=as_json, none="Nothing is held")


@click.group(invoke_without_command=True)
@book_option
@click.option("--session", "day", help="One session's date; left out, all.")
@json_option
@click.pass_context
def orders(context: click.Context, *, book: str | None, day: str | None, as_json: bool) -> None:
    """Every order and change that was intended, with where it stands; and cancel, which cancels what is open."""
    if context.invoked_subcommand is not None:
        _require_behind(context, book, day, as_json)
        return
    from trading_platform.domain.orders import OrderType

    wanted, ledger = date_of(day), ledger_of(book)
    rows = [
        {
            **plain(status.intent),
            "state": status.state.value,
            "filled": status.filled,
            "broker_order_id": status.broker_order_id,
            # What the table shows of the two: the order's type says which it is. A market entry's stop is another order.
            "price": plain(
                status.intent.stop_price if status.intent.type is OrderType.STOP else status.intent.limit_price
            ),
        }
        for status in ledger.orders(wanted)
    ]
    shown = ("bar_time", "strategy", "symbol", "kind", "type", "quantity", "filled", "price", "state")
    show(ledger, "Orders", rows, shown, as_json=as_json, none="No order was intended")


positions.add_command(close_positions)
orders.add_command(cancel_orders)


@click.command()
@book_option
@click.option("--session", "day", help="One session's date; left out, all.")
@json_option
def fills(*, book: str | None, day: str | None, as_json: bool) -> None:
    """Every execution that is booked."""
    shown = ("time", "strategy", "symbol", "side", "quantity", "price", "fee")
    wanted, ledger = date_of(day), ledger_of(book)
    show(ledger, "Fills", ledger.fills(wanted), shown, as_json=as_json, none="Nothing was filled")


@click.command()
@book_option
@json_option
def pnl(*, book: str | None, as_json: bool) -> None:
    """Realised and unrealised profit and fees by strategy and symbol, dollars.

    What is held is valued at the price that the latest recorded minute saw; without one, at its cost.
    """
    from trading_platform.engine.session_result import last_marks

    ledger = ledger_of(book)
    marks = last_marks(ledger)
    rows = [{**plain(row), **plain(_unrealised(row, marks.get(row.symbol)))} for row in ledger.pnl()]
    shown = ("strategy", "symbol", "bought_quantity", "sold_quantity", "realised", "unrealised", "fees", "net")
    show(ledger, "Profit and loss", rows, shown, as_json=as_json, none="Nothing was traded")


def _require_behind(context: click.Context, *given: object) -> None:
    """An option in front of what is to be done would not reach it, and another book would be meant."""
    if any(given):
        raise InvalidInput(
            "an option stands in front of what is to be done",
            where=f"{context.info_name} {context.invoked_subcommand}",
            mend=f"Give it behind: trading-platform {context.info_name} {context.invoked_subcommand} --book BOOK",
        )


def _unrealised(row: "ProfitAndLoss", mark: Decimal | None) -> dict[str, Decimal | None]:
    held = row.bought_quantity - row.sold_quantity
    open_profit = held * mark - row.cost if held and mark is not None else Decimal("0.0000")
    return {
        "mark": mark if held else None,
        "unrealised": open_profit,
        "net": row.realised + open_profit - row.fees,
    }
