"""Profit and loss by strategy and symbol, trades, and the equity curve."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from trading_platform.accounting.average_cost import fold, unrealised
from trading_platform.domain.fills import Fill, Position
from trading_platform.domain.orders import Side

Key = tuple[str, str]
"""Strategy and symbol."""

_NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one strategy made on one symbol, dollars. `net` is realised and unrealised, less fees."""

    strategy: str
    symbol: str
    quantity: int
    cost: Decimal
    realised: Decimal
    unrealised: Decimal
    fees: Decimal
    round_trips: int

    @property
    def net(self) -> Decimal:
        """Realised and unrealised, less fees."""
        return self.realised + self.unrealised - self.fees


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """One round trip of one strategy in one symbol, from its first buy to flat again. Prices are averages."""

    strategy: str
    symbol: str
    opened_at: datetime
    closed_at: datetime
    quantity: int
    entry_price: Decimal
    exit_price: Decimal
    realised: Decimal
    fees: Decimal

    @property
    def net(self) -> Decimal:
        """Realised profit less fees."""
        return self.realised - self.fees


def results(positions: Iterable[Position], marks: Mapping[str, Decimal]) -> tuple[Result, ...]:
    """A result for each position, by strategy and symbol. A holding without a mark is valued at its cost."""
    return tuple(
        Result(
            strategy=one.strategy,
            symbol=one.symbol,
            quantity=one.quantity,
            cost=one.cost,
            realised=one.realised,
            unrealised=unrealised(one, marks[one.symbol]) if one.quantity and one.symbol in marks else _NOTHING,
            fees=one.fees,
            round_trips=one.round_trips,
        )
        for one in sorted(positions, key=lambda one: (one.strategy, one.symbol))
    )


def results_between(
    before: Iterable[Position], after: Iterable[Position], marks: Mapping[str, Decimal]
) -> tuple[Result, ...]:
    """What was made between two states of one book, by strategy and symbol.

    Realised profit, fees and round trips are what `after` has more than `before`, so that those of one period after
    the other add up to the book's. Quantity, cost and the unrealised profit are those of `after`: of all that is held
    then, whenever it was bought. What was neither held at the end nor traded in between is left out.

    Args:
        before: Positions at the beginning.
        after: The same and newer positions at the end.
        marks: Prices at the end in dollars; a holding without one is valued at its cost.
    """
    first = {(one.strategy, one.symbol): one for one in before}
    moved = [one for one in after if one.quantity or one != first.get((one.strategy, one.symbol))]
    return tuple(_since(first.get((one.strategy, one.symbol)), one) for one in results(moved, marks))


def _since(before: Position | None, result: Result) -> Result:
    if before is None:
        return result
    return replace(
        result,
        realised=result.realised - before.realised,
        fees=result.fees - before.fees,
        round_trips=result.round_trips - before.round_trips,
    )


def trades(fills: Iterable[Fill]) -> tuple[Trade, ...]:
    """The finished round trips, in the order in which they ended. `fills` are oldest first."""
    running: dict[Key, list[Fill]] = {}
    held: dict[Key, int] = {}
    done: list[Trade] = []
    for fill in fills:
        key = (fill.strategy, fill.symbol)
        running.setdefault(key, []).append(fill)
        held[key] = held.get(key, 0) + (fill.quantity if fill.side is Side.BUY else -fill.quantity)
        if held[key] == 0:
            done.append(_trade(running.pop(key)))
    return tuple(done)


def _trade(fills: list[Fill]) -> Trade:
    (position,) = fold(fills).values()
    bought = sum(fill.quantity for fill in fills if fill.side is Side.BUY)
    sold = sum((fill.price * fill.quantity for fill in fills if fill.side is Side.SELL), _NOTHING)
    return Trade(
        strategy=position.strategy,
        symbol=position.symbol,
        opened_at=fills[0].time,
        closed_at=fills[-1].time,
        quantity=bought,
        entry_price=position.entry_cost / bought,
        exit_price=sold / bought,
        realised=position.realised,
        fees=position.fees,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Sums over results, dollars."""

    realised: Decimal
    unrealised: Decimal
    fees: Decimal
    round_trips: int

    @property
    def net(self) -> Decimal:
        """Realised and unrealised, less fees."""
        return self.realised + self.unrealised - self.fees


def totals(rows: Iterable[Result]) -> Totals:
    """The account's sums."""
    found = tuple(rows)
    return Totals(
        realised=sum((one.realised for one in found), _NOTHING),
        unrealised=sum((one.unrealised for one in found), _NOTHING),
        fees=sum((one.fees for one in found), _NOTHING),
        round_trips=sum(one.round_trips for one in found),
    )
