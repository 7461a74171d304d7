"""The paper exchange: a venue of our own that fills orders from one-minute bars, behind the broker port.

Here belong the port, and what its calls do in which order. Which orders are taken is `order_entry`, how time passes is
`matching`, prices and quantities of fills are `fill_model`, the file is `paper_book`. It reads no market data of its
own: bars are injected.

**Time.** Every call first brings the venue to the clock. An order is eligible from the minute in which it arrives if
that is within `open_grace` of its start, else from the next; a fill is seen once its bar has closed. An order for a
minute that is matched already, of a clock that went back, is refused: it would wait for a moment that has passed.

**Ids.** Repeated client ids are taken, as Interactive Brokers does: the guard against doubles is the platform's. `find`
answers with the oldest order of an id; `cancel` and `reduce` act on the oldest that is open.

**Attached legs**: the `quantity` of an attached stop, and of a target beside it, is what their entry has filled so far,
less reductions and what the other leg sold: 0 until the first fill. They stay open while their entry does, even with
nothing left to sell at the moment, and end with what they protected sold.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from trading_platform.brokers.broker import Capabilities
from trading_platform.brokers.matching import Matching
from trading_platform.brokers.order_checks import Refused
from trading_platform.brokers.order_entry import BarSource, OrderEntry, SessionOf
from trading_platform.brokers.paper_book import PaperBook
from trading_platform.domain.clock import Clock
from trading_platform.domain.errors import InvalidInput, OutcomeUnknown, TemporaryError
from trading_platform.domain.money import BASIS_POINTS
from trading_platform.domain.orders import (
    Absent,
    Accepted,
    Answer,
    BrokerOrder,
    Execution,
    Found,
    NotSent,
    Order,
    OrderType,
    Rejected,
    TimeInForce,
    Unknown,
)

CAPABILITIES: Final = Capabilities(
    refuses_repeated_ids=False,
    attached_stops=True,
    brackets=True,
    order_types=frozenset(OrderType),
    times_in_force=frozenset(TimeInForce),
    extended_hours=False,
    fractions=False,
    lot=1,
)
"""What the paper exchange can do."""

_LONGEST_GRACE: Final = 59


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
        session_of: SessionOf,
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
        _within("the grace after a minute's start", int(open_grace.total_seconds()), 0, _LONGEST_GRACE, "seconds")
        _within("the opening cash", opening_cash, 0, 10**11, "dollars")
        self._clock = clock
        self._lock = threading.RLock()
        self._book = PaperBook(path, account=account, opening_cash=opening_cash)
        self._entry = OrderEntry(
            self._book, bars=bars, session_of=session_of, open_grace=open_grace, capabilities=CAPABILITIES
        )
        self._matching = Matching(
            self._book,
            bars=bars,
            session_of=session_of,
            fees=fees,
            slippage=slippage,
            volume_share=volume_share,
            bar_patience=bar_patience,
        )

    @property
    def name(self) -> str:
        """`paper`."""
        return "paper"

    @property
    def capabilities(self) -> Capabilities:
        """Every type and time in force, attached stops, brackets; no extended hours, whole shares."""
        return CAPABILITIES

    @property
    def oddities(self) -> tuple[str, ...]:
        """Nothing: what it does is in its orders, executions and breaks."""
        return ()

    def close(self) -> None:
        """Give the book back."""
        with self._lock:
            self._book.close()

    def submit(self, order: Order, deadline: datetime) -> Answer:
        """Place an order, with what is attached to it. It is in the book before this answers."""
        return self._answer(deadline, lambda now: self._entry.place(order, now, self._matching.matched_until))

    def cancel(self, intent_id: str, deadline: datetime) -> Answer:
        """Cancel what is left of the oldest open order with this id, and the other leg of its bracket."""
        return self._answer(deadline, lambda _: self._entry.leave(intent_id, 0))

    def reduce(self, intent_id: str, quantity: int, deadline: datetime) -> Answer:
        """Leave at most `quantity` shares of the oldest open order with this id, and of the other leg of its bracket.

        0 cancels them.
        """
        return self._answer(deadline, lambda _: self._entry.leave(intent_id, quantity))

    def find(self, intent_id: str) -> Found | Absent | Unknown:
        """The oldest order with this id, open or ended."""
        with self._present():
            orders = self._book.orders_of(intent_id)
            return Found(order=self._book.reported(orders[0])) if orders else Absent()

    def open_orders(self) -> tuple[BrokerOrder, ...]:
        """Every order that may still fill, in order of arrival, what is attached to working entries included."""
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
            self._matching.advance(self._clock.now())
            yield

    def _answer(self, deadline: datetime, act: Callable[[datetime], int]) -> Answer:
        """Do `act` in one transaction at the present moment, and say how it went."""
        with self._lock:
            now = self._clock.now()
            if now > deadline:
                return Unknown(reason=f"the deadline {deadline.isoformat()} had passed")
            try:
                self._matching.advance(now)
                with self._book.change():
                    identity = act(now)
                    self._matching.record()
            except Refused as refusal:
                return Rejected(reason=str(refusal))
            except OutcomeUnknown as error:
                return Unknown(reason=str(error))
            except TemporaryError as error:
                return NotSent(reason=str(error))
            return Accepted(broker_order_id=self._book.order_name(identity))


def _within(what: str, value: Decimal | int, low: int, high: int, unit: str) -> None:
    if not low <= value <= high:
        raise InvalidInput(f"{what} is {value} {unit}", where="paper exchange", mend=f"Give {low} to {high} {unit}")
