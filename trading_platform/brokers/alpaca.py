"""Alpaca behind the broker port, on alpaca-py's trading client.

Here belong the port, and how what may happen on the line becomes its answers: what Alpaca has certainly refused is
`Rejected`, what has certainly not left is `NotSent`, what may have been done is `Unknown` (Law 4), and a question without an
answer is a `TemporaryError`. What is sent is `alpaca_changes`, what is read `alpaca_view`, `alpaca_fills` and
`alpaca_account`, the HTTP call `alpaca_line`, the stream of hints `alpaca_stream`.

alpaca-py takes seconds to import, so that it is imported with the first broker that is made.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from trading_platform.brokers.broker import Capabilities
from trading_platform.brokers.order_checks import Refused, require_well_formed
from trading_platform.config.secrets import Secret
from trading_platform.domain.clock import Clock
from trading_platform.domain.errors import InvalidInput, TemporaryError
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

if TYPE_CHECKING:
    from trading_platform.brokers.alpaca_account import MarketClock, PartAnswer
    from trading_platform.brokers.alpaca_line import RateBudget, Until

CAPABILITIES: Final = Capabilities(
    refuses_repeated_ids=True,
    attached_stops=True,
    brackets=True,
    order_types=frozenset(OrderType),
    times_in_force=frozenset(TimeInForce),
    extended_hours=False,
    fractions=False,
    lot=1,
    legs_follow_fills=False,
)
"""What is used of Alpaca. It trades fractions and extended hours as well; the platform does not."""

PAPER_URL: Final = "https://paper-api.alpaca.markets"
LIVE_URL: Final = "https://api.alpaca.markets"

_LONGEST_GTC: Final = timedelta(days=91)
"""Alpaca cancels what is older than 90 days: no open order was submitted longer ago."""

_T = TypeVar("_T")


class Expectant(Protocol):
    """What wants to know of orders that Alpaca has acknowledged."""

    def expect(self, broker_order_id: str) -> None:
        """Alpaca has acknowledged something about this order."""
        ...


class AlpacaBroker:
    """An account at Alpaca that fulfils `broker.Broker`. May be used by several threads.

    Args:
        key: the key's id.
        secret: the key's secret.
        clock: the time.
        paper: whether a paper account is meant; False is the explicit word for a live one.
        base_url: the trading API's address; Alpaca's own for a paper or live account if it is None.
        updates: the stream (`alpaca_stream.TradeUpdates`), to be told what it must soon report: a mute one is noticed.
        read_timeout: how long a question may take.
        look_back: how far back orders with legs are looked for.
        in_flight: how long what was sent without an answer may still arrive (`Capabilities.settle`).

    Raises:
        InvalidInput: the keys are refused, or are of a live account where a paper one is meant, or the reverse, or the
            account is blocked, or the address is none.
        TemporaryError: Alpaca does not answer.
        PermanentError: alpaca-py's retries cannot be turned off.
    """

    def __init__(
        self,
        *,
        key: Secret,
        secret: Secret,
        clock: Clock,
        paper: bool,
        base_url: str | None = None,
        updates: Expectant | None = None,
        read_timeout: timedelta = timedelta(seconds=4),
        look_back: timedelta = _LONGEST_GTC,
        in_flight: timedelta = timedelta(seconds=30),
    ) -> None:
        from trading_platform.brokers.alpaca_account import kind_of, require_account
        from trading_platform.brokers.alpaca_changes import AlpacaChanges
        from trading_platform.brokers.alpaca_fills import AlpacaFills
        from trading_platform.brokers.alpaca_line import AlpacaLine, Until
        from trading_platform.brokers.alpaca_names import OrderNames
        from trading_platform.brokers.alpaca_view import AlpacaView

        address = base_url or (PAPER_URL if paper else LIVE_URL)
        if not address.startswith(("http://", "https://")):
            raise InvalidInput(f"{address!r} is no address", where="Alpaca", mend=f"Give one like {PAPER_URL}")
        self._clock, self._read_timeout, self._updates = clock, read_timeout, updates
        self._capabilities = replace(CAPABILITIES, settle=in_flight)
        self._line = AlpacaLine(key=key, secret=secret, base_url=address, paper=paper, clock=clock)
        self._fills = AlpacaFills(self._line)
        self._view = AlpacaView(self._line, OrderNames(), self._fills, clock.now() - look_back)
        self._changes = AlpacaChanges(self._line, self._view)
        try:
            until = Until(clock, clock.now() + read_timeout)
            require_account(self._line, paper=paper, kind_of_key=kind_of(key.reveal()), until=until)
        except BaseException:
            self._line.close()
            raise

    @property
    def name(self) -> str:
        """`alpaca`."""
        return "alpaca"

    @property
    def capabilities(self) -> Capabilities:
        """Every type and time in force, OTO and bracket orders whose legs wait for the whole entry; whole shares."""
        return self._capabilities

    @property
    def budget(self) -> "RateBudget | None":
        """How many requests are left, by the newest answer that said so."""
        return self._line.budget

    @property
    def oddities(self) -> tuple[str, ...]:
        """What a person should know of: statuses that the platform does not know, and protection that was lost.

        A status that an order has now is in its `BrokerOrder.said` as well; here are those of ended orders, too.
        """
        return (
            *(f"order {order} has the status {said!r} at alpaca" for order, said in self._view.unlisted.items()),
            *(
                f"the shares of {order} were left unprotected: {why}"
                for order, why in self._changes.unprotected.items()
            ),
        )

    def close(self) -> None:
        """Give the connections back."""
        self._line.close()

    def submit(self, order: Order, deadline: datetime) -> Answer:
        """Send an order once. A client id that Alpaca has already answers with the order that has it."""
        try:
            require_well_formed(order, CAPABILITIES)
        except Refused as refusal:
            return Rejected(reason=str(refusal))
        return self._answer(deadline, lambda until: self._changes.place(order, until))

    def cancel(self, intent_id: str, deadline: datetime) -> Answer:
        """Cancel what is left of an order, and say so once it is certain. What an entry has filled is then protected."""
        return self._answer(deadline, lambda until: self._changes.leave(intent_id, 0, until))

    def reduce(self, intent_id: str, quantity: int, deadline: datetime) -> Answer:
        """Leave at most `quantity` shares open, by a replacement, or by new legs in place of old ones; 0 cancels."""
        return self._answer(deadline, lambda until: self._changes.leave(intent_id, quantity, until))

    def find(self, intent_id: str) -> Found | Absent | Unknown:
        """Look for an order, or for the leg of one, by its intent's id.

        One that was sent without an answer, and is absent, may still arrive for as long as `Capabilities.settle`.
        """

        def look(until: "Until") -> Found | Absent:
            versions = self._view.versions(intent_id, until)
            return Found(order=self._view.reported(intent_id, versions, until)) if versions else Absent()

        try:
            return self._asked(look)
        except TemporaryError as error:
            return Unknown(reason=str(error))

    def open_orders(self) -> tuple[BrokerOrder, ...]:
        """Every order that may still fill, waiting legs included. Raises `TemporaryError`.

        Protection that could not be placed shows as missing from here on, and is whoever's who sees that: it is not
        tried again with later changes.
        """
        self._changes.give_up_protection()
        return self._asked(self._view.open_orders)

    def executions(self, since: datetime) -> tuple[Execution, ...]:
        """Executions at or after `since` from the account's activities, oldest first. Raises `TemporaryError`.

        One that Alpaca has corrected or busted is followed by what says so (`Execution.corrects`).
        Alpaca takes no commission, and books the fees of regulators by day and not by execution: `fee` is 0.
        """
        return self._asked(lambda until: self._view.executions(since, until))

    def positions(self) -> Mapping[str, int]:
        """Shares held by symbol. Raises `TemporaryError`."""
        from trading_platform.brokers.alpaca_account import read_positions

        return self._asked(lambda until: read_positions(self._line.call("get", "/positions", until=until)))

    def cash(self) -> Decimal:
        """The account's cash in dollars. Raises `TemporaryError`."""
        from trading_platform.brokers.alpaca_account import read_cash

        return self._asked(lambda until: read_cash(self._line.call("get", "/account", until=until)))

    def market_clock(self) -> "MarketClock":
        """The market's clock as Alpaca has it. Raises `TemporaryError`."""
        from trading_platform.brokers.alpaca_account import read_clock

        return self._asked(lambda until: read_clock(self._line.call("get", "/clock", until=until)))

    def cancel_all(self, deadline: datetime) -> "tuple[PartAnswer, ...] | Rejected | NotSent | Unknown":
        """Ask to cancel every open order, and give the answer for each. Accepted means asked: look until none is left."""
        return self._in_parts("/orders", {}, deadline)

    def close_all(self, deadline: datetime) -> "tuple[PartAnswer, ...] | Rejected | NotSent | Unknown":
        """Ask to cancel every order and sell every position, and give the answer for each. Look until all is flat.

        Alpaca names the orders that it makes for this: their executions belong to no intent. It is for a person in an
        emergency; exits that the ledger can book are intents.
        """
        return self._in_parts("/positions", {"cancel_orders": "true"}, deadline)

    def _in_parts(
        self, path: str, asked: Mapping[str, str], deadline: datetime
    ) -> "tuple[PartAnswer, ...] | Rejected | NotSent | Unknown":
        from trading_platform.brokers.alpaca_account import read_parts

        return self._done(deadline, lambda until: read_parts(self._line.call("delete", path, asked, until=until)))

    def _answer(self, deadline: datetime, act: "Callable[[Until], Answer]") -> Answer:
        answer = self._done(deadline, act)
        if self._updates is not None and isinstance(answer, Accepted):
            self._updates.expect(answer.broker_order_id)
        return answer

    def _done(self, deadline: datetime, act: "Callable[[Until], _T]") -> "_T | Rejected | NotSent | Unknown":
        """What an act comes to. Without an answer it is unknown, unless nothing that changes anything has left."""
        from trading_platform.brokers.alpaca_line import NoAnswer, Refusal, Until
        from trading_platform.brokers.alpaca_orders import Unreadable

        until = Until(self._clock, deadline)
        try:
            return act(until)
        except (Refused, Refusal) as refusal:
            return Rejected(reason=str(refusal))
        except (NoAnswer, Unreadable) as error:
            return Unknown(reason=str(error)) if until.may_have_left else NotSent(reason=str(error))

    def _asked(self, ask: "Callable[[Until], _T]") -> _T:
        """The answer to a question. Whatever keeps it from being answered, it may be asked again."""
        from trading_platform.brokers.alpaca_line import NoAnswer, Refusal, Until
        from trading_platform.brokers.alpaca_orders import Unreadable

        try:
            return ask(Until(self._clock, self._clock.now() + self._read_timeout))
        except NoAnswer as error:
            raise TemporaryError(str(error), delay=error.delay) from None
        except (Refusal, Unreadable) as error:
            raise TemporaryError(f"Alpaca did not answer the question: {error}") from None
