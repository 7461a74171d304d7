# ruff: noqa: N802, N803 - the vendor's client calls these methods by its own names.
"""What TWS has said: every message that the vendor's client decodes lands here, and is kept as it was meant.

Here belong the meaning of each message and the answers that are waited for; what is kept is `ibkr_memory`. Nothing is
sent from here, and nothing is concluded: which answer a call gets is `ibkr_desk`'s. It all runs on the connection's loop.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Hashable
from dataclasses import replace
from datetime import datetime
from types import SimpleNamespace
from typing import Any, Final
from zoneinfo import ZoneInfo

from trading_platform.brokers.ibkr_codes import Meaning, meaning_of
from trading_platform.brokers.ibkr_executions import TwsExecution, parted
from trading_platform.brokers.ibkr_memory import Memory, Told, order_from
from trading_platform.brokers.ibkr_orders import TwsOrder, dollars, platform_symbol
from trading_platform.domain.clock import Clock

_log = logging.getLogger("trading_platform.brokers.ibkr")

OPEN_ORDERS: Final = "open orders"
COMPLETED: Final = "completed orders"
POSITIONS: Final = "positions"
TIME: Final = "time"
"""Questions that TWS answers without an id, so that only one of a kind is asked at a time."""

_NO_NUMBER: Final = 1e300
"""TWS sends the largest double where it has no number."""


class NoAnswer(Exception):
    """TWS has answered a question, and the answer is of no use: the port turns it into its own words."""


class RequestRefused(NoAnswer):
    """TWS answered a question with an error."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{text} (TWS {code})")
        self.meaning = meaning_of(code)


class Unreadable(NoAnswer):
    """TWS's answer has a part that cannot be read: nothing is concluded from the rest."""


class Heard(Memory):
    """The receiving end of the vendor's client, in the place of its own.

    Args:
        clock: the time.
        account: what is said of other accounts is left out.
        time_zone: of TWS's times that come without one.
        on_system: called with the number and text of a message that is about no request.
    """

    def __init__(self, *, clock: Clock, account: str, time_zone: str, on_system: Callable[[int, str], None]) -> None:
        # The vendor's decoder asks its receiver for this.
        self.ib = SimpleNamespace(TimezoneTWS=time_zone)
        self._account, self._on_system = account, on_system
        super().__init__(clock)
        self.begin_connection()

    def begin_connection(self) -> None:
        """Forget what was true of the last connection alone: ids of this client, errors, open questions."""
        self.forget_connection()
        self.packets = 0
        self._early: dict[tuple[int, int], tuple[str, int]] = {}
        self._asked: dict[Hashable, tuple[asyncio.Future[list[Any]], list[Any]]] = {}
        self._owed: dict[Hashable, int] = {}
        self._unread: dict[Hashable, str] = {}
        self._news = asyncio.Event()

    # What is asked of it.

    def expect(self, key: Hashable) -> "asyncio.Future[list[Any]]":
        """The answer to the question `key`: what came until the message that ends it."""
        future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._asked[key] = (future, [])
        return future

    def give_up(self, key: Hashable) -> None:
        """Nobody waits for the answer to `key` any more; if it still comes, it is not taken for the next one's."""
        future, _ = self._asked.pop(key, (None, []))
        self._unread.pop(key, None)
        if future is not None and (not future.done() or future.cancelled()):
            self._owed[key] = self._owed.get(key, 0) + 1

    async def news(self) -> None:
        """Return when anything new has come, or the connection is gone."""
        await self._news.wait()

    def fail(self, error: Exception) -> None:
        """The connection is gone: every question ends with `error`."""
        for future, _ in self._asked.values():
            if not future.done():
                future.set_exception(error)
                future.exception()
        self._asked.clear()
        self._wake()

    def could_not_read(self, what: str) -> None:
        """A part of an answer came that could not be read: no question that is open has its whole answer."""
        # Their last messages are still to come, and end them.
        self._unread.update(dict.fromkeys(self._asked, what))

    # What the vendor's client calls.

    def tcpDataArrived(self) -> None:
        """Something came."""
        self.packets += 1

    def tcpDataProcessed(self) -> None:
        """What came is taken in."""
        self._wake()

    def connectAck(self) -> None:
        """TWS has taken the connection."""

    def nextValidId(self, reqId: int) -> None:
        """From this id on all are free, unless TWS has forgotten some."""
        self.highest_id = max(self.highest_id, reqId - 1)

    def setEventsDone(self) -> None:
        """The vendor's own subscriptions end; there are none."""

    def connectionClosed(self) -> None:
        """TWS has gone."""
        self.fail(ConnectionError("the connection was lost"))

    def error(self, reqId: int, errorCode: int, errorString: str, _advanced: str) -> None:
        """A message about a question, an order, or the connection."""
        told = Told(code=errorCode, text=errorString)
        asked = self._asked.get(reqId)
        if asked is not None:
            if told.meaning is not Meaning.NOTE and not asked[0].done():
                asked[0].set_exception(RequestRefused(errorCode, errorString))
            return
        if reqId <= 0:
            self._on_system(errorCode, errorString)
            return
        _log.info("TWS on order %s: %s", reqId, told)
        self.errors.setdefault(reqId, []).append(told)
        for (_, order_id), perm_id in self.perm_ids.items():
            if order_id == reqId and (order := self.orders.get(perm_id)) is not None:
                self.orders[perm_id] = self._with_error(order, told)

    def _with_error(self, order: TwsOrder, told: Told) -> TwsOrder:
        if told.meaning is Meaning.CANCELLED and not order.has_ended:
            return replace(order, status="Cancelled", ended_by=told.text, ended_at=self._clock.now())
        if told.meaning is Meaning.REFUSED:
            return replace(order, refusal=str(told))
        return order

    def openOrder(self, orderId: int, contract: Any, order: Any, orderState: Any) -> None:
        """An order that works, or a change to one."""
        if order.account not in ("", self._account):
            return
        if not order.permId:
            # TWS knows it, and the venue not yet: it will be told again. Until then it is no answer to what is open.
            _require(OPEN_ORDERS not in self._asked, "an open order without a permId")
            return
        key = (order.clientId, orderId)
        self.highest_id = max(self.highest_id, orderId)
        status, filled = self._early.pop(key, (orderState.status, 0))
        known = self.orders.get(order.permId)
        fresh = order_from(contract, order, orderId)
        if known is not None:
            # Messages come in no fixed order: what has ended stays so, and shares that filled stay filled.
            status, filled = (known.status if known.has_ended else status), max(filled, known.filled)
            fresh = replace(fresh, refusal=known.refusal, ended_by=known.ended_by, ended_at=known.ended_at)
        self.keep(replace(fresh, status=status, filled=filled))
        self.perm_ids[key] = order.permId
        if OPEN_ORDERS in self._asked:
            self._asked[OPEN_ORDERS][1].append(order.permId)

    def openOrderEnd(self) -> None:
        """All open orders were told."""
        self._end(OPEN_ORDERS)

    def orderStatus(
        self,
        orderId: int,
        status: str,
        filled: float,
        _remaining: float,
        _average: float,
        permId: int,
        _parent: int,
        _last: float,
        clientId: int,
        _why_held: str,
        _cap: float = 0.0,
    ) -> None:
        """What became of an order; repeated, missing, or ahead of the order itself."""
        key = (clientId, orderId)
        known = self.orders.get(permId)
        if known is None:
            self._early[key] = (status, int(filled))
            return
        self.perm_ids[key] = permId
        if known.has_ended and status != "Filled":
            status = known.status
        self.keep(replace(known, status=status, filled=max(known.filled, int(filled))))

    def completedOrder(self, contract: Any, order: Any, orderState: Any) -> None:
        """An order that ended today. It comes without the client's ids, and a filled one without its quantity."""
        if order.account not in ("", self._account):
            return
        known = self.orders.get(order.permId)
        fresh = order_from(contract, order, 0)
        if known is not None:
            fresh = replace(
                fresh,
                client_id=known.client_id,
                order_id=known.order_id,
                parent_id=known.parent_id,
                total=max(known.total, fresh.total),
                refusal=known.refusal,
                ended_by=known.ended_by,
                ended_at=known.ended_at,
            )
        filled = 0 if order.filledQuantity > _NO_NUMBER else int(order.filledQuantity)
        self.keep(
            replace(
                fresh,
                status=orderState.status,
                filled=max(filled, known.filled if known else 0),
                total=max(fresh.total, filled),
                ended_by=fresh.ended_by or orderState.completedStatus,
                ended_at=fresh.ended_at or self._moment(orderState.completedTime),
            )
        )
        if COMPLETED in self._asked:
            self._asked[COMPLETED][1].append(order.permId)

    def completedOrdersEnd(self) -> None:
        """All of them were told."""
        self._end(COMPLETED)

    def execDetails(self, reqId: int, contract: Any, execution: Any) -> None:
        """An execution, or a later word on one: a change after the last point of its id alone."""
        if execution.acctNumber not in ("", self._account):
            return
        _require(bool(execution.execId and execution.permId), "an execution without an id")
        _require(execution.side in ("BOT", "SLD"), f"an execution that neither bought nor sold: {execution.side!r}")
        _require(not execution.shares or execution.price > 0, f"an execution at {execution.price}")
        self.highest_id = max(self.highest_id, execution.orderId if execution.orderId < 2**31 - 1 else 0)
        identity, revision = parted(execution.execId)
        done = TwsExecution(
            identity=identity,
            revision=revision,
            perm_id=execution.permId,
            client_id=execution.clientId,
            order_id=execution.orderId,
            order_ref=execution.orderRef,
            symbol=platform_symbol(contract.symbol),
            side=execution.side,
            shares=int(execution.shares),
            price=dollars(execution.price),
            time=execution.time,
            heard_at=self._clock.now(),
        )
        self.keep_execution(done)
        if reqId in self._asked:
            self._asked[reqId][1].append(identity)

    def execDetailsEnd(self, reqId: int) -> None:
        """All of today's executions were told; their commissions may still be on their way."""
        self._end(reqId)

    def commissionReport(self, report: Any) -> None:
        """What an execution cost. It comes after its execution, at times much later."""
        if abs(report.commission) < _NO_NUMBER:
            self.commissions[report.execId] = dollars(report.commission)

    def position(self, account: str, contract: Any, size: float, _average: float) -> None:
        """What is held of one contract."""
        if account == self._account and POSITIONS in self._asked:
            self._asked[POSITIONS][1].append((contract, size))

    def positionEnd(self) -> None:
        """All holdings were told."""
        self._end(POSITIONS)

    def accountSummary(self, reqId: int, account: str, tag: str, value: str, currency: str) -> None:
        """One figure of the account."""
        if account == self._account and reqId in self._asked:
            self._asked[reqId][1].append((tag, value, currency))

    def accountSummaryEnd(self, reqId: int) -> None:
        """All figures were told."""
        self._end(reqId)

    def contractDetails(self, reqId: int, details: Any) -> None:
        """One contract that fits."""
        if reqId in self._asked:
            self._asked[reqId][1].append(details)

    def contractDetailsEnd(self, reqId: int) -> None:
        """All that fit were told."""
        self._end(reqId)

    def currentTime(self, seconds: int) -> None:
        """TWS's time: it is alive."""
        if TIME in self._asked:
            self._asked[TIME][1].append(seconds)
        self._end(TIME)

    # What these share.

    def _end(self, key: Hashable) -> None:
        if self._owed.get(key, 0) > 0:
            self._owed[key] -= 1
            self._unread.pop(key, None)
            if key in self._asked:
                self._asked[key][1].clear()
            return
        future, answers = self._asked.pop(key, (None, []))
        unread = self._unread.pop(key, None)
        if future is None or future.done():
            return
        if unread is not None:
            future.set_exception(Unreadable(f"TWS sent {unread} that cannot be read"))
            return
        future.set_result(answers)

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def _moment(self, text: str) -> datetime | None:
        """A time of TWS, with its zone or in TWS's own; None for none, or one in another form."""
        from ib_insync.util import parseIBDatetime

        with contextlib.suppress(ValueError, KeyError):
            moment = parseIBDatetime(text)
            if isinstance(moment, datetime):
                return moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(self.ib.TimezoneTWS))
        return None


def _require(holds: bool, what: str) -> None:  # noqa: FBT001 - the condition is the point
    """Raise `ValueError`, which makes the message one that cannot be read."""
    if not holds:
        raise ValueError(what)
