"""Which commands of a person stand: what is still to be done of CANCEL_ALL and CLOSE_ALL, and whether it is halted.

All of it is worked out from the ledger alone. Nothing says of a command that it is done. It is done once none of the
orders is open, and none of the holdings is held, that were there when it was recorded. So a command whose process died
is not forgotten, one that was obeyed does not touch what is bought later, and whoever looks sees the same. How it is
done is `clearing`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from trading_platform.domain.commands import Command, CommandAction
from trading_platform.domain.fills import Position
from trading_platform.domain.orders import IntentKind, OrderStatus, OrderType
from trading_platform.ledger.ledger import Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A session's commands that are not done, oldest first, with the book that they are about.

    `orders` are those that may still fill, `held` the holdings; both are left out where there is no such command.
    `flatten`: the session is to end flat. `committed` says when orders, and the entries that opened holdings, were
    committed, by the clock that commands are recorded by.
    """

    commands: tuple[Command, ...] = ()
    flatten: bool = False
    orders: tuple[OrderStatus, ...] = ()
    held: tuple[Position, ...] = ()
    committed: Mapping[str, datetime]

    @property
    def closing(self) -> bool:
        """Whether holdings are still to be sold."""
        return any(one.action is CommandAction.CLOSE_ALL for one in self.commands)

    def cancelling(self, order: OrderStatus) -> tuple[Command, ...]:
        """The commands that want an order cancelled, oldest first.

        One that closes everything leaves a sale of what is held, and cancels whatever else has come in between.
        """
        return tuple(one for one in self.commands if self._cancels(one, order))

    def selling(self, position: Position) -> tuple[Command, ...]:
        """The commands that want a holding sold, oldest first."""
        return tuple(one for one in self.commands if self._sells(one, position))

    def exiting(self, position: Position) -> int:
        """Shares of a holding that open sales may still sell."""
        return sum(
            one.intent.quantity - one.filled
            for one in self.orders
            if is_sale(one) and (one.intent.strategy, one.intent.symbol) == (position.strategy, position.symbol)
        )

    def wanted(self, command: Command) -> bool:
        """Whether anything is left to do of a command."""
        orders = (one for one in self.orders if self.committed[one.intent.id] <= command.recorded_at)
        return any(self._cancels(command, one) for one in orders) or any(self._sells(command, one) for one in self.held)

    def _cancels(self, command: Command, order: OrderStatus) -> bool:
        if command.action is CommandAction.CANCEL_ALL:
            return self.committed[order.intent.id] <= command.recorded_at
        return not is_sale(order) or self._oversells(order)

    def _sells(self, command: Command, position: Position) -> bool:
        opened = self.committed.get(position.opened_by or "")
        return command.action is CommandAction.CLOSE_ALL and opened is not None and opened <= command.recorded_at

    def _oversells(self, sale: OrderStatus) -> bool:
        """Whether more is on sale than is held: then the sales themselves are too much."""
        mine = (sale.intent.strategy, sale.intent.symbol)
        held = next((one for one in self.held if (one.strategy, one.symbol) == mine), None)
        return held is None or self.exiting(held) > held.quantity


def is_sale(order: OrderStatus) -> bool:
    """Whether an order sells a holding at once, at what is paid."""
    return order.intent.kind is IntentKind.EXIT and order.intent.type is OrderType.MARKET


def standing(ledger: Ledger, day: date) -> Standing:
    """What is still to be done of the commands of the session `day`."""
    commands = ledger.commands(day)
    flatten = any(one.action is CommandAction.FLATTEN for one in commands)
    emergencies = tuple(one for one in commands if one.action in (CommandAction.CANCEL_ALL, CommandAction.CLOSE_ALL))
    if not emergencies:
        return Standing(flatten=flatten, committed={})
    orders = tuple(one for one in ledger.open_orders() if one.intent.kind.is_order)
    held = tuple(one for one in ledger.holdings().positions.values() if one.quantity > 0)
    names = {one.intent.id for one in orders} | {one.opened_by for one in held if one.opened_by is not None}
    committed = ledger.committed_at(sorted(names)) if names else {}
    found = Standing(commands=emergencies, flatten=flatten, orders=orders, held=held, committed=committed)
    left = tuple(one for one in emergencies if found.wanted(one))
    return Standing(commands=left, flatten=flatten, orders=orders, held=held, committed=committed)


def halted_by(ledger: Ledger) -> Command | None:
    """The command by which entries are halted; None if they are not."""
    if not ledger.halted():
        return None
    return next(one for one in reversed(ledger.commands()) if one.action is CommandAction.HALT)
