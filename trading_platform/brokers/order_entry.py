"""How the paper exchange takes, changes and ends orders: the rules on which an order gets into its book.

Here belongs what needs the account, the market or the time: hours, buying power, shares to sell, and what belongs
together. What is wrong with an order by itself is `order_checks`; what fills it is `matching`. Whoever calls has
brought the venue to the clock, and holds the book's transaction.

**Hours.** Orders fill in the regular session alone. An order that arrives outside it waits for the next session's open,
over a night, a weekend or a holiday, and a day order expires at that session's close. In the last minute of a session,
once its grace has passed, a day order is refused: no minute is left to fill it. A gtc order waits for the next open.

**Long only**: all open sales of a symbol together never exceed what is held; a bracket's stop and target count once. A
buy holds buying power at its limit, its stop, or the last close; slippage, fees and gaps come on top, so that cash can
end below zero by as much.

**Attached legs** are orders of their own. Cancelling the entry leaves them with what it has filled; cancelling a stop,
or reducing it to 0, ends it for later fills of the entry as well. A bracket's stop and target go together, as at
Interactive Brokers and Alpaca: cancelling one cancels the other, and reducing one reduces the other by as much.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import numpy.typing as npt

from trading_platform.brokers.broker import Capabilities
from trading_platform.brokers.order_checks import Refused, require_bracket_around, require_well_formed
from trading_platform.brokers.paper_book import BookedOrder, PaperBook
from trading_platform.brokers.working_orders import state_of
from trading_platform.calendars.sessions import Session, exchange_day
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.money import dollars_from_units, units_from_dollars
from trading_platform.domain.orders import Order, OrderState, OrderType, Side, TimeInForce

BarSource = Callable[[str, date, datetime], npt.NDArray[Any]]
"""(symbol, exchange day, until) -> clean `bar_t` records that had closed by `until`, oldest first; empty: none."""

SessionOf = Callable[[date], Session]
"""The session of an exchange day; raises `InvalidInput` for a day without one."""

_MINUTE: Final = 60
_DAYS_AROUND: Final = 10
"""The next and the last session are looked for within so many days: the exchange was never closed for as long."""


class OrderEntry:
    """Takes orders into `book`, changes and ends them. Refusals are raised as `Refused`."""

    def __init__(
        self,
        book: PaperBook,
        *,
        bars: BarSource,
        session_of: SessionOf,
        open_grace: timedelta,
        capabilities: Capabilities,
    ) -> None:
        self._book, self._bars, self._session_of = book, bars, session_of
        self._open_grace, self._capabilities = open_grace, capabilities

    def place(self, order: Order, now: datetime, matched: int) -> int:
        """Take an order and what is attached to it, and return its id in the book.

        `matched` is the start of the first minute that is not over here, in seconds since 1970.
        """
        require_well_formed(order, self._capabilities)
        session, eligible = self._eligibility(order, now, matched)
        reference = self._afford(order, now) if order.side is Side.BUY else self._owned(order)
        placed = BookedOrder(
            id=0,
            intent_id=order.intent_id,
            parent=None,
            symbol=order.symbol,
            side=order.side,
            type=order.type,
            time_in_force=order.time_in_force,
            quantity=order.quantity,
            filled=0,
            value=0,
            limit=units_from_dollars(order.limit_price or 0),
            stop=units_from_dollars(order.stop_price or 0),
            reference=reference,
            triggered=0,
            state=OrderState.ACKNOWLEDGED,
            session=session.day,
            eligible=eligible,
        )
        identity = self._book.add(placed, now)
        leg = replace(placed, parent=identity, side=Side.SELL, quantity=0, limit=0, stop=0, reference=0)
        if (stop := order.attached_stop) is not None:
            price = units_from_dollars(stop.stop_price)
            self._book.add(replace(leg, intent_id=stop.intent_id, type=OrderType.STOP, stop=price), now)
        if (target := order.attached_target) is not None:
            price = units_from_dollars(target.limit_price)
            self._book.add(replace(leg, intent_id=target.intent_id, type=OrderType.LIMIT, limit=price), now)
        return identity

    def leave(self, intent_id: str, quantity: int) -> int:
        """Leave at most `quantity` open of the oldest open order with this id, and of the other leg of its bracket."""
        orders = self._book.orders_of(intent_id)
        if quantity < 0:
            raise Refused(f"{quantity} shares cannot be left open")
        if not orders:
            raise Refused(f"no order {intent_id} is known")
        order = next((order for order in orders if not order.state.is_final), None)
        if order is None:
            raise Refused(f"nothing is left of order {intent_id}: it is {orders[-1].state.value}")
        for one in (order, *self._other_leg(order)):
            if quantity == 0:
                self._end(one)
            elif quantity < one.open_quantity:
                self._book.update(replace(one, quantity=one.filled + quantity))
        return order.id

    def _other_leg(self, order: BookedOrder) -> list[BookedOrder]:
        """The other open order that is attached to the same entry, if there is one."""
        if order.parent is None:
            return []
        return [leg for leg in self._book.open_orders() if leg.parent == order.parent and leg.id != order.id]

    def _end(self, order: BookedOrder) -> None:
        """Cancel an order; what is attached to it stays with what was filled, and goes with it if that is nothing."""
        self._book.update(replace(order, state=OrderState.CANCELLED))
        for leg in self._book.open_orders():
            if leg.parent == order.id:
                self._book.update(replace(leg, state=state_of(leg, growing=False, expired=False)))

    def _eligibility(self, order: Order, now: datetime, matched: int) -> tuple[Session, int]:
        """The first session that an order of `now` works in, and the start of the first minute that may fill it."""
        minute = minute_of(now)
        if now - datetime.fromtimestamp(minute, UTC) > self._open_grace:
            minute += _MINUTE
        for session in self._sessions(exchange_day(now), 1):
            if now >= session.close:
                continue
            if minute < int(session.close.timestamp()):
                break
            if order.time_in_force is TimeInForce.DAY:
                raise Refused("no minute of the session is left to fill a day order")
        else:
            raise Refused(f"the exchange has no session in the {_DAYS_AROUND} days from {exchange_day(now)} on")
        minute = max(minute, int(session.open.timestamp()))
        if minute < matched:
            raise Refused(
                f"the clock, {now.isoformat()}, lies before what is matched already: all minutes up to "
                f"{datetime.fromtimestamp(matched, UTC).isoformat()} are over here"
            )
        return session, minute

    def _sessions(self, day: date, step: int) -> Iterator[Session]:
        """The sessions of `day` and of the days after it; before it, for a `step` of -1."""
        for offset in range(_DAYS_AROUND):
            with contextlib.suppress(InvalidInput):
                yield self._session_of(day + timedelta(days=step * offset))

    def _afford(self, order: Order, now: datetime) -> int:
        """The price at which a buy holds buying power, which must be there."""
        last = self._last_close(order.symbol, now)
        if order.type is OrderType.MARKET:
            require_bracket_around(order, dollars_from_units(last), dollars_from_units(last))
        reference = {
            OrderType.MARKET: last,
            OrderType.LIMIT: units_from_dollars(order.limit_price or 0),
            OrderType.STOP: max(last, units_from_dollars(order.stop_price or 0)),
            OrderType.STOP_LIMIT: units_from_dollars(order.limit_price or 0),
        }[order.type]
        reserved = sum(
            working.open_quantity * working.reference
            for working in self._book.open_orders()
            if working.side is Side.BUY
        )
        free = units_from_dollars(self._book.cash()) - reserved
        if order.quantity * reference > free:
            raise Refused(
                f"buying power: {order.quantity} {order.symbol} need {dollars_from_units(order.quantity * reference)} "
                f"dollars, {dollars_from_units(free)} are free"
            )
        return reference

    def _last_close(self, symbol: str, now: datetime) -> int:
        """The newest close of the session that is on, or of the last one where none is."""
        for session in self._sessions(exchange_day(now), -1):
            if now >= session.open:
                bars = self._bars(symbol, session.day, now)
                if len(bars) != 0:
                    return int(bars[-1]["close"])
                break
        raise Refused(f"{symbol} is not known here, or has not traded in this session: there is no bar of it")

    def _owned(self, order: Order) -> int:
        """0, the buying power that a sale holds, if the shares are held and not on offer already."""
        held = self._book.holdings().get(order.symbol, 0)
        offered = sum(
            working.open_quantity
            for working in self._book.open_orders()
            if working.symbol == order.symbol and working.side is Side.SELL and not working.is_attached_target
        )
        if order.quantity > held - offered:
            raise Refused(
                f"no short sales: {order.quantity} {order.symbol} to sell, {held} held, {offered} of them on offer"
            )
        return 0


def minute_of(moment: datetime) -> int:
    """The start of the minute of `moment`, in seconds since 1970."""
    return int(moment.timestamp()) // _MINUTE * _MINUTE
