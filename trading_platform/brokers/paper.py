"""The paper exchange: a venue of our own that fills day orders from one-minute bars, behind the broker port.

Here belong the rules on which an order is taken and how time passes at the venue. Prices and quantities of fills are
`fill_model`, fees are `fees`, the file is `paper_book`. It reads no market data of its own: bars are injected.

**Time.** Every call first brings the venue to the clock: each minute that has ended and is not matched yet is matched,
in order, for all symbols with open orders (by symbol within a minute). An order is eligible from the minute in which it
arrives if that is within `open_grace` of its start, else from the next; a fill is seen once its bar has closed. A
minute without a bar fills nothing; a bar that may only be late is waited for until `bar_patience` after its minute.
An execution's time is 59 seconds after the start of its bar, whether at the open or later: within the minute that
filled it, never before the order arrived, and never earlier than that of an execution before it. An order for a minute
that is matched already, of a clock that went back, is refused: it would wait for a moment that has passed.

**Orders.** Day orders in the regular session alone; what is open expires at the close. Long only: all open sales of a
symbol together never exceed what is held. A buy holds buying power at its limit, its stop, or the last close; slippage,
fees and gaps come on top, so that cash can end below zero by as much. Repeated client ids are taken, as Interactive
Brokers does: the guard against doubles is the platform's. `find` answers with the oldest order of an id; `cancel` and
`reduce` act on the oldest that is open.

**Attached stops** are orders of their own. Their `quantity` is what their entry has filled so far, less reductions: 0
until the first fill. They stay open while their entry does, even with nothing left to sell at the moment, and end with
what they protected sold. Cancelling the entry leaves the stop with what was filled; cancelling the stop, or reducing
it to 0, ends it for later fills of the entry as well.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import numpy.typing as npt

from trading_platform.brokers.broker import Capabilities
from trading_platform.brokers.fees import execution_fee
from trading_platform.brokers.fill_model import match_bar
from trading_platform.brokers.order_checks import Refused, require_well_formed
from trading_platform.brokers.paper_book import BookedOrder, PaperBook
from trading_platform.brokers.working_orders import WorkingOrders, state_of
from trading_platform.calendars.sessions import Session, exchange_day
from trading_platform.domain.clock import Clock
from trading_platform.domain.errors import InvalidInput, OutcomeUnknown, TemporaryError
from trading_platform.domain.money import BASIS_POINTS, dollars_from_units, units_from_dollars
from trading_platform.domain.orders import (
    Absent,
    Accepted,
    BrokerOrder,
    Execution,
    Found,
    Order,
    OrderState,
    OrderType,
    Rejected,
    Side,
    Unknown,
)

BarSource = Callable[[str, date, datetime], npt.NDArray[Any]]
"""(symbol, exchange day, until) -> clean `bar_t` records that had closed by `until`, oldest first; empty: none."""

_MINUTE: Final = 60
_EXECUTION_SECOND: Final = 59


class PaperExchange:
    """A simulated venue that fulfils `broker.Broker`.

    Args:
        path: its book; made if it is not there.
        clock: the time.
        bars: where it gets its bars.
        session_of: the session of an exchange day; raises `InvalidInput` for a day without one.
        fees: a `fee_schedule_t`.
        opening_cash: dollars; must equal what the book was opened with.
        account: names the book, its orders and executions.
        slippage: basis points on market and stop fills.
        volume_share: basis points of a bar's volume that its fills may take.
        open_grace: how late within a minute an order may arrive to be eligible for it.
        bar_patience: how long after its minute a missing bar is waited for.

    Raises:
        InvalidInput: a number is out of its bounds, or the file is no usable book of this account.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock,
        bars: BarSource,
        session_of: Callable[[date], Session],
        fees: Any,
        opening_cash: Decimal,
        account: str = "paper",
        slippage: int = 1,
        volume_share: int = 1000,
        open_grace: timedelta = timedelta(seconds=10),
        bar_patience: timedelta = timedelta(0),
    ) -> None:
        _within("the slippage", slippage, 0, BASIS_POINTS - 1, "basis points")
        _within("the share of a bar's volume", volume_share, 1, BASIS_POINTS, "basis points")
        _within("the grace after a minute's start", int(open_grace.total_seconds()), 0, _MINUTE - 1, "seconds")
        _within("the opening cash", opening_cash, 0, 10**11, "dollars")
        self._clock, self._bars, self._session_of, self._fees = clock, bars, session_of, fees
        self._slippage, self._volume_share = slippage, volume_share
        self._open_grace, self._bar_patience = open_grace, bar_patience
        self._lock = threading.RLock()
        self._matched = 0
        self._book = PaperBook(path, account=account, opening_cash=opening_cash)

    @property
    def name(self) -> str:
        """`paper`."""
        return "paper"

    @property
    def capabilities(self) -> Capabilities:
        """Attached stops; no repeated id is refused, no extended hours, whole shares."""
        return Capabilities(refuses_repeated_ids=False, attached_stops=True, extended_hours=False, fractions=False)

    def close(self) -> None:
        """Give the book back."""
        with self._lock:
            self._book.close()

    def submit(self, order: Order, deadline: datetime) -> Accepted | Rejected | Unknown:
        """Place an order, with its attached stop if it has one. It is in the book before this answers."""
        return self._answer(deadline, lambda now: self._place(order, now))

    def cancel(self, intent_id: str, deadline: datetime) -> Accepted | Rejected | Unknown:
        """Cancel what is left of the oldest open order with this id."""
        return self._answer(deadline, lambda _: self._leave(intent_id, 0))

    def reduce(self, intent_id: str, quantity: int, deadline: datetime) -> Accepted | Rejected | Unknown:
        """Leave at most `quantity` shares of the oldest open order with this id; 0 cancels it."""
        return self._answer(deadline, lambda _: self._leave(intent_id, quantity))

    def find(self, intent_id: str) -> Found | Absent | Unknown:
        """The oldest order with this id, open or ended."""
        with self._present():
            orders = self._book.orders_of(intent_id)
            return Found(order=self._book.reported(orders[0])) if orders else Absent()

    def open_orders(self) -> tuple[BrokerOrder, ...]:
        """Every order that may still fill, in order of arrival, attached stops of working entries included."""
        with self._present():
            return tuple(self._book.reported(order) for order in self._book.open_orders())

    def executions(self, since: datetime) -> tuple[Execution, ...]:
        """Executions at or after `since`, oldest first."""
        with self._present():
            return self._book.executions(since)

    def positions(self) -> Mapping[str, int]:
        """Shares held by symbol."""
        with self._present():
            return self._book.holdings()

    def cash(self) -> Decimal:
        """Cash in dollars, nothing taken off for open orders."""
        with self._present():
            return self._book.cash()

    @contextlib.contextmanager
    def _present(self) -> Iterator[None]:
        """The venue brought to the clock, while it is read. Raises `TemporaryError` if its book cannot be used now."""
        with self._lock, self._book.reading():
            self._advance(self._clock.now())
            yield

    def _answer(self, deadline: datetime, act: Callable[[datetime], int]) -> Accepted | Rejected | Unknown:
        """Do `act` in one transaction at the present moment, and say how it went."""
        with self._lock:
            now = self._clock.now()
            if now > deadline:
                return Unknown(reason=f"the deadline {deadline.isoformat()} had passed")
            try:
                self._advance(now)
                with self._book.change():
                    identity = act(now)
                    self._book.set_matched_until(self._matched)
            except Refused as refusal:
                return Rejected(reason=str(refusal))
            except (TemporaryError, OutcomeUnknown) as error:
                return Unknown(reason=str(error))
            return Accepted(broker_order_id=self._book.order_name(identity))

    # Taking orders.

    def _place(self, order: Order, now: datetime) -> int:
        require_well_formed(order)
        session, eligible = self._eligibility(now)
        reference = self._afford(order, session, now) if order.side is Side.BUY else self._owned(order)
        placed = BookedOrder(
            id=0,
            intent_id=order.intent_id,
            parent=None,
            symbol=order.symbol,
            side=order.side,
            type=order.type,
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
        if order.attached_stop is not None:
            stop = replace(
                placed,
                intent_id=order.attached_stop.intent_id,
                parent=identity,
                side=Side.SELL,
                type=OrderType.STOP,
                quantity=0,
                limit=0,
                stop=units_from_dollars(order.attached_stop.stop_price),
                reference=0,
            )
            self._book.add(stop, now)
        return identity

    def _eligibility(self, now: datetime) -> tuple[Session, int]:
        """The session that `now` is in, and the start of the first minute that an order of now may fill in."""
        outside = "orders are taken in the regular session only, not ahead of it"
        try:
            session = self._session_of(exchange_day(now))
        except InvalidInput as error:
            raise Refused(f"the exchange has no session today; {outside}") from error
        if not session.open <= now < session.close:
            raise Refused(
                f"the exchange is closed at {now.isoformat()} (open {session.open.isoformat()} to "
                f"{session.close.isoformat()}); {outside}"
            )
        minute = _minute(now)
        if now - datetime.fromtimestamp(minute, UTC) > self._open_grace:
            minute += _MINUTE
        if minute >= int(session.close.timestamp()):
            raise Refused("no minute of the session is left to fill a day order")
        matched = max(self._matched, self._book.matched_until())
        if minute < matched:
            raise Refused(
                f"the clock, {now.isoformat()}, lies before what is matched already: all minutes up to "
                f"{datetime.fromtimestamp(matched, UTC).isoformat()} are over here"
            )
        return session, minute

    def _afford(self, order: Order, session: Session, now: datetime) -> int:
        """The price at which a buy holds buying power, which must be there."""
        bars = self._bars(order.symbol, session.day, now)
        if len(bars) == 0:
            raise Refused(f"{order.symbol} is not known here, or has not traded today: there is no bar of it")
        last = int(bars[-1]["close"])
        reference = {
            OrderType.MARKET: last,
            OrderType.LIMIT: units_from_dollars(order.limit_price or 0),
            OrderType.STOP: max(last, units_from_dollars(order.stop_price or 0)),
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

    def _owned(self, order: Order) -> int:
        """0, the buying power that a sale holds, if the shares are held and not on offer already."""
        held = self._book.holdings().get(order.symbol, 0)
        offered = sum(
            working.open_quantity
            for working in self._book.open_orders()
            if working.symbol == order.symbol and working.side is Side.SELL
        )
        if order.quantity > held - offered:
            raise Refused(
                f"no short sales: {order.quantity} {order.symbol} to sell, {held} held, {offered} of them on offer"
            )
        return 0

    def _leave(self, intent_id: str, quantity: int) -> int:
        """Leave at most `quantity` open of the oldest open order with this id."""
        orders = self._book.orders_of(intent_id)
        if quantity < 0:
            raise Refused(f"{quantity} shares cannot be left open")
        if not orders:
            raise Refused(f"no order {intent_id} is known")
        order = next((order for order in orders if not order.state.is_final), None)
        if order is None:
            raise Refused(f"nothing is left of order {intent_id}: it is {orders[-1].state.value}")
        if quantity == 0:
            self._end(order)
        elif quantity < order.open_quantity:
            self._book.update(replace(order, quantity=order.filled + quantity))
        return order.id

    def _end(self, order: BookedOrder) -> None:
        """Cancel an order; its attached stop stays with what was filled, and goes with it if that is nothing."""
        self._book.update(replace(order, state=OrderState.CANCELLED))
        for stop in self._book.open_orders():
            if stop.parent == order.id:
                self._book.update(replace(stop, state=state_of(stop, growing=False, expired=False)))

    # Passing time.

    def _advance(self, now: datetime) -> None:
        """Match every minute that has ended by `now` and has not been matched yet."""
        due = self._book.next_minute()
        matched = self._matched
        if due is None or max(due, matched) + _MINUTE > now.timestamp():
            return
        with self._book.change():
            orders = self._book.open_orders()
            for day in sorted({order.session for order in orders}):
                own = [order for order in orders if order.session == day]
                matched = self._match_session(self._session_of(day), own, matched, now)
        self._matched = matched

    def _match_session(self, session: Session, orders: list[BookedOrder], matched: int, now: datetime) -> int:
        """Match the minutes of a session that follow `matched` and have ended; the first that is still to match."""
        by_symbol = {symbol: [order for order in orders if order.symbol == symbol] for symbol in _symbols(orders)}
        symbols = [WorkingOrders(own, self._bars(symbol, session.day, now)) for symbol, own in by_symbol.items()]
        minute = max(self._book.next_minute() or 0, matched)
        close = int(session.close.timestamp())
        present = int(now.timestamp())
        patience = int(self._bar_patience.total_seconds())
        while minute < close and minute + _MINUTE <= present:
            if present < minute + _MINUTE + patience and any(working.lacks(minute) for working in symbols):
                break
            for working in symbols:
                self._match_minute(working, minute)
            minute += _MINUTE
        changed = [
            after
            for working in symbols
            for before, after in zip(working.before, working.after(expired=minute >= close), strict=True)
            if after != before
        ]
        # Quiet minutes are not written: matching them again with the same orders gives nothing again.
        if changed:
            for order in changed:
                self._book.update(order)
            self._book.set_matched_until(minute)
        return minute

    def _match_minute(self, working: WorkingOrders, minute: int) -> None:
        row = working.row(minute)
        if row is None:
            return
        written = match_bar(
            working.bars[row], working.records, len(working.before), self._slippage, self._volume_share, working.fills
        )
        time = datetime.fromtimestamp(minute + _EXECUTION_SECOND, UTC)
        for fill in working.fills[:written]:
            index, quantity, price = int(fill["order"]), int(fill["quantity"]), int(fill["price"])
            done, value = working.done[index]
            fee = int(execution_fee(self._fees, done, value, quantity, quantity * price))
            working.done[index] = (done + quantity, value + quantity * price)
            self._book.execute(working.before[index], quantity=quantity, price=price, fee=fee, time=time)


def _symbols(orders: list[BookedOrder]) -> list[str]:
    return sorted({order.symbol for order in orders})


def _minute(now: datetime) -> int:
    return int(now.timestamp()) // _MINUTE * _MINUTE


def _within(what: str, value: Decimal | int, low: int, high: int, unit: str) -> None:
    if not low <= value <= high:
        raise InvalidInput(f"{what} is {value} {unit}", where="paper exchange", mend=f"Give {low} to {high} {unit}")
