"""Interactive Brokers behind the broker port, over a TWS or IB Gateway that runs somewhere near.

Here belongs the port: what each call answers, and within which time. How orders are worked is `ibkr_desk`, the
connection `ibkr_link`, what TWS says `ibkr_messages` (or says so that it cannot be read, `ibkr_reading`) and what is
kept of it `ibkr_memory`, what is shown of it `ibkr_views`, executions and their corrections `ibkr_executions`, what its
numbers mean `ibkr_codes`. The port is called from any thread; the vendor's client lives on one of its own. A forked
child has no such thread: its parent's broker sends nothing there, and it makes one of its own.

**Answers.** Nothing written, because TWS is away or about to restart, or messages have no room: `NotSent`. Nothing
written, because the order cannot be: `Rejected`. Written, and TWS shows the order: `Accepted`. Refused by TWS with a
number that leaves no doubt: `Rejected`. Everything else is `Unknown`. Questions raise `TemporaryError` while TWS is away,
or when a part of its answer is missing or cannot be read; `find` then answers `Unknown`.

**Ids.** Repeated ids are taken by TWS: the guard against doubles is the platform's.

**What TWS keeps.** It tells executions and ended orders of the current day alone. What this process has heard of it
remembers; after a restart on a later day `find` knows nothing of yesterday's orders.
"""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import ROUND_UP, Decimal, InvalidOperation
from typing import Any, Final, TypeVar

from trading_platform.brokers.broker import Capabilities
from trading_platform.brokers.ibkr_address import Address, Patience
from trading_platform.brokers.ibkr_budget import MessageBudget
from trading_platform.brokers.ibkr_desk import Desk
from trading_platform.brokers.ibkr_link import Link, NotWritten
from trading_platform.brokers.ibkr_messages import POSITIONS, NoAnswer
from trading_platform.brokers.ibkr_orders import platform_symbol
from trading_platform.brokers.ibkr_quiet import Restarts, quiet_until
from trading_platform.brokers.ibkr_views import Views
from trading_platform.brokers.order_checks import Refused, require_well_formed
from trading_platform.domain.clock import Clock
from trading_platform.domain.errors import InvalidInput, TemporaryError
from trading_platform.domain.orders import (
    Absent,
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

_Told = TypeVar("_Told")

CAPABILITIES: Final = Capabilities(
    refuses_repeated_ids=False,
    attached_stops=True,
    brackets=True,
    order_types=frozenset(OrderType),
    times_in_force=frozenset(TimeInForce),
    extended_hours=False,
    fractions=False,
    lot=1,
    forgets_overnight=True,
)
"""What is used of Interactive Brokers, but for how long an order may be on its way."""

_CASH: Final = "TotalCashValue"
_CURRENCY: Final = "USD"
_LAST_PORT: Final = 65535


class IbkrBroker:
    """Interactive Brokers, as `broker.Broker`.

    It connects when it is made, and stays connected. Where TWS is away it is made all the same, and goes on trying.

    Args:
        host, port: where TWS or the gateway listens (7496 and 4001 live, 7497 and 4002 paper, unless set otherwise).
        client_id: this platform's id at TWS, from 1 on; the same at every start, and nobody else's.
        account: the account's name, as TWS gives it.
        paper: whether it is meant to be a paper account; TWS's own word must agree.
        clock: the time.
        patience: how long is waited for what.
        budget: how many messages may go to TWS in a second.
        restarts: when TWS is expected to be away.
        settle: how long what was sent without an answer may still arrive (`ibkr_views`).
        commission_patience: how long an execution is held back for its commission.
        time_zone: TWS's own, for times that it sends without one.

    Raises:
        InvalidInput: an argument is out of its bounds, the client id is in use, or TWS does not manage the account, or
            it is a paper account where a live one was meant, or the reverse.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        client_id: int,
        account: str,
        paper: bool,
        clock: Clock,
        patience: Patience | None = None,
        budget: MessageBudget | None = None,
        restarts: Restarts | None = None,
        settle: timedelta = timedelta(seconds=5),
        commission_patience: timedelta = timedelta(minutes=1),
        time_zone: str = "America/New_York",
    ) -> None:
        _require(0 < port <= _LAST_PORT, f"the port {port} is none", f"Give 1 to {_LAST_PORT}")
        # The id 0 also gets the orders that a person enters by hand.
        _require(client_id > 0, f"the client id is {client_id}", "Give a number from 1 on")
        _require(bool(account), "no account is named", "Give the account's name as TWS shows it, such as DU1234567")
        self._clock, self._restarts = clock, restarts or Restarts()
        self._patience = patience or Patience()
        self._fractions: tuple[str, ...] = ()
        self._commission_patience = commission_patience
        address = Address(host=host, port=port, client_id=client_id, account=account, paper=paper)
        self._link = Link(
            address, clock=clock, patience=self._patience, budget=budget or MessageBudget(), time_zone=time_zone
        )
        self._views = Views(self._link, settle=settle)
        self._desk = Desk(self._link, self._views)
        self._capabilities = replace(CAPABILITIES, settle=settle)
        self._link.start()

    @property
    def name(self) -> str:
        """`ibkr`."""
        return "ibkr"

    @property
    def capabilities(self) -> Capabilities:
        """Every type and time in force, attached stops, brackets; no extended hours, whole shares; one day's memory."""
        return self._capabilities

    @property
    def connections(self) -> int:
        """How many times the connection was made, with everything pulled: for whoever watches it."""
        return self._link.connections

    @property
    def is_connected(self) -> bool:
        """Whether TWS is connected, and reaches the venue."""
        return self._link.is_healthy

    @property
    def oddities(self) -> tuple[str, ...]:
        """Holdings of part of a share, as they were when last told; all else is in its orders, executions and breaks."""
        return self._fractions

    def close(self) -> None:
        """Disconnect. Orders stay as they are."""
        self._link.close()

    def submit(self, order: Order, deadline: datetime) -> Answer:
        """Place an order, with what is attached to it. Not within the quiet windows around TWS's restarts."""
        quiet = quiet_until(self._clock.now(), self._restarts)
        if quiet is not None:
            return NotSent(reason=f"TWS restarts: no new orders until {quiet.isoformat()}")
        try:
            require_well_formed(order, CAPABILITIES)
        except Refused as refused:
            return Rejected(reason=str(refused))
        return self._act(lambda limit: self._desk.submit(order, limit), deadline)

    def cancel(self, intent_id: str, deadline: datetime) -> Answer:
        """Cancel what is left of the oldest open order with this id, and the other leg of its bracket."""
        return self._act(lambda limit: self._desk.leave(intent_id, 0, limit), deadline)

    def reduce(self, intent_id: str, quantity: int, deadline: datetime) -> Answer:
        """Leave at most `quantity` shares of the oldest open order with this id, and of the other leg; 0 cancels.

        A leg that was reduced before its entry had filled stays at that: it does not grow with later fills.
        """
        return self._act(lambda limit: self._desk.leave(intent_id, quantity, limit), deadline)

    def find(self, intent_id: str) -> Found | Absent | Unknown:
        """The order with this id, among open orders, today's ended ones and today's executions."""
        try:
            return self._ask(lambda limit: self._views.find(intent_id, limit))
        except TemporaryError as error:
            return Unknown(reason=str(error))

    def open_orders(self) -> tuple[BrokerOrder, ...]:
        """Every working order of the account, whoever placed it."""
        return self._ask(self._views.open_orders)

    def executions(self, since: datetime) -> tuple[Execution, ...]:
        """Executions at or after `since`, oldest first: today's, and what this process has heard of before."""
        done = self._ask(lambda limit: self._views.executions(self._commission_patience, limit))
        return tuple(one for one in done if one.time >= since)

    def positions(self) -> Mapping[str, int]:
        """Shares held by symbol, as TWS says: to compare with, never to book from.

        Part of a share is made up to a whole one, so that it shows as what was not expected, and is told in `oddities`.
        """
        return self._ask(self._positions)

    def cash(self) -> Decimal:
        """The account's cash in dollars, as TWS says."""
        return self._ask(self._cash)

    async def _positions(self, limit: float) -> dict[str, int]:
        told = await self._link.ask(POSITIONS, lambda client, _: client.reqPositions(), limit)
        await self._link.tell(lambda client: client.cancelPositions(), limit)
        sizes = {
            platform_symbol(contract.symbol): Decimal(str(size))
            for contract, size in told
            if contract.secType == "STK" and size != 0
        }
        held = {symbol: int(size.to_integral_value(rounding=ROUND_UP)) for symbol, size in sizes.items()}
        self._fractions = tuple(
            f"the account at TWS holds {size} {symbol}, shown here as {held[symbol]}: parts of shares are not traded"
            for symbol, size in sizes.items()
            if size != held[symbol]
        )
        return held

    async def _cash(self, limit: float) -> Decimal:
        asked: list[int] = []

        def ask(client: Any, number: int) -> None:
            asked.append(number)
            client.reqAccountSummary(number, "All", _CASH)

        told = await self._link.ask(None, ask, limit)
        await self._link.tell(lambda client: client.cancelAccountSummary(asked[0]), limit)
        for tag, value, currency in told:
            if tag == _CASH and currency == _CURRENCY:
                try:
                    return Decimal(value)
                except InvalidOperation:
                    raise TemporaryError(f"TWS says that the account's cash is {value!r}") from None
        raise TemporaryError(f"TWS does not tell the account's cash in {_CURRENCY}: {told}")

    def _act(self, make: Callable[[float], Coroutine[Any, Any, Answer]], deadline: datetime) -> Answer:
        seconds = (deadline - self._clock.now()).total_seconds()
        if seconds < 0:
            return Unknown(reason=f"the deadline {deadline.isoformat()} had passed")
        try:
            return self._link.call(make, seconds)
        except NotWritten as why:
            return NotSent(reason=str(why))
        except Refused as refused:
            return Rejected(reason=str(refused))
        except (TimeoutError, OSError, NoAnswer) as error:
            return Unknown(reason=str(error) or "no answer before the deadline")

    def _ask(self, make: Callable[[float], Coroutine[Any, Any, _Told]]) -> _Told:
        try:
            return self._link.call(make, self._patience.answer.total_seconds())
        except (NotWritten, TimeoutError, OSError, NoAnswer) as error:
            said = str(error) or "no answer in time"
            raise TemporaryError(f"TWS cannot be asked: {said}") from error


def _require(holds: bool, what: str, mend: str) -> None:  # noqa: FBT001 - the condition is the point
    if not holds:
        raise InvalidInput(what, where="ibkr", mend=mend)
