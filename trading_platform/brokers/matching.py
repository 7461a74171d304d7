"""How time passes at the paper exchange: each minute that has ended is matched once, in order, for all open orders.

Here belongs which minute is matched when, over sessions, and what is written of it. What a bar gives is `fill_model`,
what it costs `fees`; which orders are taken is `order_entry`.

Minutes of the regular sessions alone are matched, for all symbols with open orders, by symbol within a minute. A minute
without a bar fills nothing; a bar that may only be late is waited for until `bar_patience` after its minute. An
execution's time is 59 seconds after the start of its bar, whether at the open or later: within the minute that filled
it, never before the order arrived, and never earlier than that of an execution before it.

At a session's close its day orders expire. A gtc order, and what is attached to it, goes on into the next session as it
stands. Venues adjust or cancel such an order on a split; here neither it nor the shares held are adjusted.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from trading_platform.brokers.fees import execution_fee
from trading_platform.brokers.fill_model import match_bar
from trading_platform.brokers.order_entry import BarSource, SessionOf, minute_of
from trading_platform.brokers.paper_book import BookedOrder, PaperBook
from trading_platform.brokers.working_orders import WorkingOrders
from trading_platform.calendars.sessions import Session, exchange_day
from trading_platform.domain.errors import InvalidInput

_MINUTE: Final = 60
_EXECUTION_SECOND: Final = 59


class Matching:
    """Brings the orders of `book` to a moment."""

    def __init__(
        self,
        book: PaperBook,
        *,
        bars: BarSource,
        session_of: SessionOf,
        fees: Any,
        slippage: int,
        volume_share: int,
        bar_patience: timedelta,
    ) -> None:
        self._book, self._bars, self._session_of, self._fees = book, bars, session_of, fees
        self._slippage, self._volume_share = slippage, volume_share
        self._patience = int(bar_patience.total_seconds())
        self._quiet_until = 0

    @property
    def matched_until(self) -> int:
        """The start of the first minute that is not over here, in seconds since 1970; 0 at first."""
        return max(self._quiet_until, self._book.matched_until())

    def advance(self, now: datetime) -> None:
        """Match every minute that has ended by `now` and has not been matched yet."""
        due = self._book.next_minute()
        if due is None or max(due, self._quiet_until) + _MINUTE > now.timestamp():
            return
        with self._book.change():
            reached = self._match_until(now)
        self._quiet_until = reached

    def record(self) -> None:
        """Write down how far the minutes are matched, within a change of the book: they are not matched again."""
        self._book.set_matched_until(self._quiet_until)

    def _match_until(self, now: datetime) -> int:
        """Match session after session; the first minute that is still to match."""
        reached = max(self._book.next_minute() or 0, self._quiet_until)
        day, today = exchange_day(datetime.fromtimestamp(reached, UTC)), exchange_day(now)
        while day <= today and (orders := self._book.open_orders()):
            session = self._session(day)
            if session is not None and session.open <= now and reached < session.close.timestamp():
                reached = self._match_session(session, orders, reached, now)
                if reached < session.close.timestamp():
                    return reached
            day += timedelta(days=1)
        return minute_of(now)

    def _session(self, day: date) -> Session | None:
        try:
            return self._session_of(day)
        except InvalidInput:
            return None

    def _match_session(self, session: Session, orders: list[BookedOrder], reached: int, now: datetime) -> int:
        """Match the minutes of a session from `reached` on that have ended; the first that is still to match."""
        by_symbol = {symbol: [order for order in orders if order.symbol == symbol] for symbol in _symbols(orders)}
        symbols = [WorkingOrders(own, self._bars(symbol, session.day, now)) for symbol, own in by_symbol.items()]
        minute = max(reached, int(session.open.timestamp()))
        close = int(session.close.timestamp())
        present = int(now.timestamp())
        while minute < close and minute + _MINUTE <= present:
            if present < minute + _MINUTE + self._patience and any(working.lacks(minute) for working in symbols):
                break
            for working in symbols:
                self._match_minute(working, minute)
            minute += _MINUTE
        ended = session.day if minute >= close else None
        changed = [
            after
            for working in symbols
            for before, after in zip(working.before, working.after(ended=ended), strict=True)
            if after != before
        ]
        for order in changed:
            self._book.update(order)
        # Quiet minutes are not written: matching them again with the same orders gives nothing again. Only whole quiet
        # sessions are, so that an order that rests for weeks costs no more than one that rests for a day.
        if changed or ended is not None:
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
