"""Average cost: what a fill does to a holding, to realised profit and to cash (Law 9).

Here belong the two compiled folds, `buy` and `sell`, over `holding_t`, and their edge in Python: whole histories of
fills as positions, cash, and the profit that is still open. A holding keeps its total cost, never an average, so that
nothing is lost to rounding: a partial close takes floor(cost x sold / held) of it, and the last share takes the rest.
Realised profit is before fees; fees are added up beside it.

Long only. A sale of more than is held waits for the purchases that it belongs to: brokers tell fills out of order, and a
purchase may be busted after it was sold. What still waits at the end is uncovered: it is no holding and no profit, and its
cash has moved. What an execution costs is `brokers.fees`; where fills are kept is `ledger`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

from trading_platform.domain.compiled import compiled, empty_records
from trading_platform.domain.errors import Inconsistent, InvalidInput
from trading_platform.domain.fills import Fill, Position
from trading_platform.domain.money import dollars_from_units, units_from_dollars
from trading_platform.domain.orders import Side
from trading_platform.domain.records import holding_t
from trading_platform.domain.rounding import share_down

BOOKED: Final = 0
"""The fill has changed the holding."""

OVERSOLD: Final = 1
"""The fill sells more than is held: the holding is as it was."""

NO_QUANTITY: Final = 2
"""The fill is for no shares or fewer: the holding is as it was."""


@compiled
def buy(holding: Any, quantity: int, price: int, fee: int) -> int:
    """Book a buy of `quantity` shares at `price` units with a fee of `fee` units into a `holding_t`.

    The first buy after flat starts `entry_quantity` and `entry_cost` anew. Returns `BOOKED` or `NO_QUANTITY`.
    """
    if quantity <= 0:
        return NO_QUANTITY
    if holding.quantity == 0:
        holding.entry_quantity = 0
        holding.entry_cost = 0
    paid = quantity * price
    holding.quantity += quantity
    holding.cost += paid
    holding.entry_quantity += quantity
    holding.entry_cost += paid
    holding.fees += fee
    return BOOKED


@compiled
def sell(holding: Any, quantity: int, price: int, fee: int) -> int:
    """Book a sale of `quantity` shares at `price` units with a fee of `fee` units into a `holding_t`.

    Returns `BOOKED`, `OVERSOLD` or `NO_QUANTITY`; the latter two change nothing.
    """
    if quantity <= 0:
        return NO_QUANTITY
    if quantity > holding.quantity:
        return OVERSOLD
    taken = share_down(holding.cost, quantity, holding.quantity)
    holding.quantity -= quantity
    holding.cost -= taken
    holding.realised += quantity * price - taken
    holding.fees += fee
    if holding.quantity == 0:
        holding.round_trips += 1
    return BOOKED


@dataclass(slots=True, kw_only=True)
class _Book:
    """One strategy's holding of one symbol while fills are folded into it."""

    holding: Any = field(default_factory=lambda: empty_records(1, holding_t)[0])
    opened_at: datetime | None = None
    opened_by: str | None = None
    venue: str | None = None
    waiting: list[Fill] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """What fills have come to.

    `positions` by (strategy, symbol), flat ones included. `uncovered` are the sales of more than was held, oldest first,
    each with the shares that are left of it and without its fee, which is booked. Whoever has one there holds nothing.
    """

    positions: Mapping[tuple[str, str], Position] = field(default_factory=dict)
    uncovered: tuple[Fill, ...] = ()


def fold(
    fills: Iterable[Fill], before: Mapping[tuple[str, str], Position] = MappingProxyType({})
) -> dict[tuple[str, str], Position]:
    """Positions by (strategy, symbol) from fills in the order in which they happened, flat ones included.

    `before` are the positions that earlier fills have come to: to go on from them is to fold all.
    `opened_at` and `opened_by` are the time and the intent of the first fill of the present holding, None when flat.

    Raises:
        Inconsistent: more is sold than its strategy ever held.
        InvalidInput: a quantity is not positive, or a price or fee is finer than 1/10,000 dollar.
    """
    found = fold_covered(fills, Folded(positions=before))
    if found.uncovered:
        said = (
            f"fill {one.execution_id} sells {one.quantity} {one.symbol} of {one.strategy}" for one in found.uncovered
        )
        raise Inconsistent(f"{', '.join(said)}, which were never held")
    return dict(found.positions)


def fold_covered(fills: Iterable[Fill], before: Folded | None = None) -> Folded:
    """Positions from fills as `fold` has them, and what was sold and never held: one such sale stops no other holding.

    `before` is what earlier fills have come to: to go on from it is to fold all. Raises `InvalidInput` as `fold` does.
    """
    before = before or Folded()
    books = {key: _book(position) for key, position in before.positions.items()}
    for fill in (*before.uncovered, *fills):
        key = (fill.strategy, fill.symbol)
        book = books.get(key)
        if book is None:
            book = books[key] = _Book()
        _book_fill(book, fill)
    waiting = (fill for book in books.values() for fill in book.waiting)
    return Folded(
        positions={key: _position(key, book) for key, book in books.items()},
        uncovered=tuple(sorted(waiting, key=lambda fill: (fill.time, fill.execution_id))),
    )


def cash(opening: Decimal, fills: Iterable[Fill]) -> Decimal:
    """The cash that `opening` dollars have become after `fills` and their fees, exactly.

    Raises:
        InvalidInput: an amount is finer than 1/10,000 dollar.
    """
    total = _units(opening, "the opening cash")
    for fill in fills:
        where = f"fill {fill.execution_id}"
        value = fill.quantity * _units(fill.price, where)
        total += (value if fill.side is Side.SELL else -value) - _units(fill.fee, where)
    return dollars_from_units(total)


def unrealised(position: Position, mark: Decimal) -> Decimal:
    """What the holding would gain over its cost if it were sold at `mark` dollars a share, before fees.

    Raises:
        InvalidInput: the mark is finer than 1/10,000 dollar.
    """
    where = f"the mark of {position.symbol}"
    return dollars_from_units(position.quantity * _units(mark, where) - _units(position.cost, where))


def _book_fill(book: _Book, fill: Fill) -> None:
    where = f"fill {fill.execution_id}"
    price, fee = _units(fill.price, where), _units(fill.fee, where)
    if fill.quantity <= 0:
        raise InvalidInput(
            f"a quantity of {fill.quantity}",
            where=where,
            mend="A fill is for at least one share; its side says which way",
        )
    if fill.side is Side.BUY:
        if book.holding["quantity"] == 0:
            book.opened_at, book.opened_by, book.venue = fill.time, fill.intent_id, fill.venue
        buy(book.holding, fill.quantity, price, fee)
        waiting, book.waiting = book.waiting, []
        for sale in waiting:
            _sell_held(book, sale, _units(sale.price, where), 0)
    else:
        _sell_held(book, fill, price, fee)


def _sell_held(book: _Book, sale: Fill, price: int, fee: int) -> None:
    """Sell what is held of a sale; the rest of it waits."""
    if sell(book.holding, sale.quantity, price, fee) == OVERSOLD:
        held = int(book.holding["quantity"])
        if sell(book.holding, held, price, fee) == NO_QUANTITY:
            book.holding["fees"] += fee
        book.waiting.append(replace(sale, quantity=sale.quantity - held, fee=Decimal(0)))
    if book.holding["quantity"] == 0:
        book.opened_at = book.opened_by = book.venue = None


def _book(position: Position) -> _Book:
    """A book in which a position stands as it was left."""
    book = _Book(opened_at=position.opened_at, opened_by=position.opened_by, venue=position.venue)
    for name in ("quantity", "entry_quantity", "round_trips"):
        book.holding[name] = getattr(position, name)
    for name in ("cost", "realised", "fees", "entry_cost"):
        book.holding[name] = units_from_dollars(getattr(position, name))
    return book


def _position(key: tuple[str, str], book: _Book) -> Position:
    holding = book.holding
    return Position(
        strategy=key[0],
        symbol=key[1],
        quantity=int(holding["quantity"]),
        cost=dollars_from_units(holding["cost"]),
        realised=dollars_from_units(holding["realised"]),
        fees=dollars_from_units(holding["fees"]),
        entry_quantity=int(holding["entry_quantity"]),
        entry_cost=dollars_from_units(holding["entry_cost"]),
        round_trips=int(holding["round_trips"]),
        opened_at=book.opened_at,
        opened_by=book.opened_by,
        venue=book.venue,
    )


def _units(dollars: Decimal, where: str) -> int:
    try:
        return units_from_dollars(dollars)
    except ValueError as error:
        raise InvalidInput(str(error), where=where, mend="Give it in whole 1/10,000 dollars") from error
