"""The connection to TWS: a thread with a loop of its own, on which the vendor's client lives, and stays connected.

Here belong connecting and connecting again, what TWS says of the link itself, the room that messages take, and one
question at a time of each kind. What the questions are for is `ibkr_desk`'s.

**Ids.** The fixed client id names this platform at TWS; a second session with it is refused by TWS, and no other id is
tried. Order ids go on above every id that TWS shows as used, whatever TWS says is the next: after a restart it may
give ids anew, and an order under a used id would change the order that has it.

**Time.** Waits are measured by the loop. The injected clock is asked for moments alone.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Hashable, Sequence
from concurrent.futures import CancelledError as CallCancelled
from concurrent.futures import TimeoutError as CallTimedOut
from typing import Any, Final, TypeVar

from trading_platform.brokers.ibkr_address import Address, Patience, require_account
from trading_platform.brokers.ibkr_budget import MessageBudget
from trading_platform.brokers.ibkr_codes import Meaning, meaning_of
from trading_platform.brokers.ibkr_messages import COMPLETED, OPEN_ORDERS, TIME, Heard, NoAnswer
from trading_platform.brokers.ibkr_orders import Placement
from trading_platform.brokers.ibkr_reading import Reader
from trading_platform.domain.clock import Clock
from trading_platform.domain.errors import InvalidInput

_log = logging.getLogger("trading_platform.brokers.ibkr")
_Answer = TypeVar("_Answer")

_CALL_SLACK: Final = 1.0
"""How much longer than the loop a caller waits for it."""


class NotWritten(Exception):
    """Nothing was written to TWS, for certain."""


class Link:
    """Keeps one connection alive on a thread of its own. `heard` is made by it, and lives as long as it does."""

    def __init__(
        self, address: Address, *, clock: Clock, patience: Patience, budget: MessageBudget, time_zone: str
    ) -> None:
        self.address, self.patience = address, patience
        self.clock = clock
        self.heard = Heard(clock=clock, account=address.account, time_zone=time_zone, on_system=self._on_system)
        self.connections = 0
        """How many times the connection was ready."""
        self.ready_since = clock.now()
        self._why_not = "not connected yet"
        self._ready = False
        self._link_lost = False
        self._client: Any = None
        self._next_id = 1
        self._budget = budget
        self._locks: dict[Hashable, asyncio.Lock] = {}
        self._ended = asyncio.Event()
        self._closing = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._first = threading.Event()
        self._refusal: InvalidInput | None = None
        self._refused: InvalidInput | None = None
        self._id_in_use = False
        self._background: set[asyncio.Task[Any]] = set()
        self._thread = threading.Thread(target=self._run_loop, name=f"ibkr-{address.client_id}", daemon=True)

    # From any thread.

    def start(self) -> None:
        """Connect. Returns once connected, or once TWS was found to be away; it is then tried again and again.

        Raises:
            InvalidInput: TWS refuses this client id or does not have this account, or the account is a paper account
                where a live one was meant, or the reverse.
        """
        self._thread.start()
        if not self._first.wait(self.patience.connect.total_seconds() + _CALL_SLACK):
            self._why_not = "TWS has not answered yet"
        if self._refused is not None:
            self.close()
            raise self._refused

    def close(self) -> None:
        """Disconnect and end the thread. Orders stay as they are at TWS."""
        if self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()

    def call(self, make: Callable[[float], Coroutine[Any, Any, _Answer]], seconds: float) -> _Answer:
        """Run `make(limit)` on the loop, and return its answer; `limit` is the loop's time in `seconds`.

        Raises:
            NotWritten: The connection is closed for good; nothing was written.
            TimeoutError: No answer in time. What was written may have had its effect.
        """
        if not self._thread.is_alive() or self._closing.is_set():
            raise NotWritten("the connection is closed")

        async def limited() -> _Answer:
            return await make(self._loop.time() + seconds)

        work = limited()
        try:
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError:
            work.close()
            raise NotWritten("the connection is closed") from None
        try:
            return future.result(seconds + _CALL_SLACK)
        except (CallTimedOut, CallCancelled):
            future.cancel()
            raise TimeoutError("no answer in time") from None

    # On the loop.

    @property
    def is_healthy(self) -> bool:
        """Whether TWS is connected, and reaches the venue."""
        return self._ready and not self._link_lost

    def require_ready(self) -> None:
        """Raise `NotWritten` unless TWS is connected and reaches the venue."""
        if not self.is_healthy:
            raise NotWritten(self.why_not)

    @property
    def why_not(self) -> str:
        """Why it is not healthy."""
        return "TWS has lost its link to the venue" if self._ready else self._why_not

    async def allow(self, count: int, limit: float, *, urgent: bool) -> None:
        """Wait until `count` messages may be sent, and count them. Raises `NotWritten` if that is after `limit`."""
        while True:
            now = self._loop.time()
            wait = self._budget.wait(count, now, urgent=urgent)
            if now + wait >= limit:
                raise NotWritten("the budget of messages has no room before the deadline")
            if wait == 0.0:
                self._budget.spend(count, now)
                return
            await asyncio.sleep(wait)

    def take_ids(self, count: int) -> int:
        """The first of `count` order ids that nobody has used."""
        first = self._next_id
        self._next_id += count
        return first

    def skip_ids(self) -> None:
        """Go on above every id that was heard of."""
        self._next_id = max(self._next_id, self.heard.highest_id + 1)

    def place(self, contract: Any, placements: Sequence[Placement], limit: float) -> None:
        """Write orders, new or changed, at once. Raises `NotWritten` if it is too late, or TWS is not there."""
        self._require_writable(limit)
        for one in placements:
            self._client.placeOrder(one.order_id, contract, one.order)

    def cancel(self, order_ids: Sequence[int], limit: float) -> None:
        """Write cancels. Raises `NotWritten` as `place` does."""
        self._require_writable(limit)
        for order_id in order_ids:
            self._client.cancelOrder(order_id)

    def _require_writable(self, limit: float) -> None:
        self.require_ready()
        if self._loop.time() >= limit:
            raise NotWritten("the deadline had passed")

    async def until(self, known: Callable[[], _Answer | None], limit: float) -> _Answer:
        """What `known` says once it says something, asked again at every message.

        Raises:
            TimeoutError: It said nothing before `limit`.
            ConnectionError: The connection was lost.
        """
        at = self.connections
        async with asyncio.timeout_at(limit):
            while (answer := known()) is None:
                if self.connections != at or not self._ready:
                    raise ConnectionError("the connection was lost")
                await self.heard.news()
        return answer

    async def ask(self, key: Hashable | None, send: Callable[[Any, int], None], limit: float) -> list[Any]:
        """Ask TWS, and return what it tells until the end of its answer.

        `key` names a question that TWS answers without an id; without a key the question gets one, as the second
        argument of `send`.

        Raises:
            NotWritten: There is no connection, or no room for a message before `limit`.
            TimeoutError, ConnectionError: No whole answer came.
            RequestRefused: TWS answered with an error.
            Unreadable: A part of its answer cannot be read.
        """
        async with asyncio.timeout_at(limit), self._asking(key, send, limit) as answer:
            return await answer

    @contextlib.asynccontextmanager
    async def _asking(
        self, key: Hashable | None, send: Callable[[Any, int], None], limit: float
    ) -> AsyncIterator[asyncio.Future[list[Any]]]:
        """A question that is on its way: the answer is waited for inside, and nobody's after that."""
        async with self._locks.setdefault(key, asyncio.Lock()) if key else contextlib.nullcontext():
            await self.allow(1, limit, urgent=False)
            if self._client is None:
                raise NotWritten(self._why_not)
            request_id = self.take_ids(1)
            future = self.heard.expect(key or request_id)
            try:
                send(self._client, request_id)
                yield future
            finally:
                self.heard.give_up(key or request_id)

    async def tell(self, send: Callable[[Any], None], limit: float) -> None:
        """Send what TWS does not answer. Raises as `ask` does."""
        await self.allow(1, limit, urgent=False)
        if self._client is None:
            raise NotWritten(self._why_not)
        send(self._client)

    async def pull(self, limit: float) -> None:
        """Hear of every open order, every order that ended today, and today's executions. Raises as `ask` does.

        They are asked for at once, in this order, and TWS answers in it: an order that ends in between is then told
        twice rather than never.
        """
        async with (
            asyncio.timeout_at(limit),
            self._asking(OPEN_ORDERS, _ask_for_open, limit) as working,
            self._asking(COMPLETED, _ask_for_completed, limit) as ended,
            self._asking(None, _ask_for_executions, limit) as executed,
        ):
            self.open_now = frozenset(await working)
            self.completed_now = frozenset(await ended)
            await executed
        self.skip_ids()

    async def pull_working(self, limit: float) -> None:
        """Hear of every open order of the account and of today's executions. Raises as `ask` does."""
        async with (
            asyncio.timeout_at(limit),
            self._asking(OPEN_ORDERS, _ask_for_open, limit) as working,
            self._asking(None, _ask_for_executions, limit) as executed,
        ):
            self.open_now = frozenset(await working)
            await executed
        self.skip_ids()

    async def pull_executions(self, limit: float) -> None:
        """Hear of today's executions. Raises as `ask` does."""
        await self.ask(None, _ask_for_executions, limit)
        self.skip_ids()

    open_now: frozenset[int] = frozenset()
    """The permIds of the orders that were open at the last pull."""
    completed_now: frozenset[int] = frozenset()
    """The permIds of the orders that TWS listed as ended today at the last pull."""

    # The thread.

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._stay_connected())
        finally:
            self._ready = False
            self._why_not = "the connection is closed"
            self._loop.run_until_complete(_cancel_all())
            asyncio.set_event_loop(None)
            self._loop.close()
            self._first.set()

    async def _stay_connected(self) -> None:
        # The vendor's package binds itself to the loop of the thread that imports it first.
        from ib_insync.client import Client

        # Its own word on each failed try is said by this module, once.
        logging.getLogger("ib_insync.client").setLevel(logging.CRITICAL)
        closing = asyncio.ensure_future(self._closing.wait())
        delay = self.patience.first_retry
        gives_up_at = self._loop.time() + self.patience.connect.total_seconds()
        while not self._closing.is_set():
            tried = asyncio.ensure_future(self._try_to_connect(Client))
            await asyncio.wait({tried, closing}, return_when=asyncio.FIRST_COMPLETED)
            if tried.done() and tried.result():
                delay = self.patience.first_retry
                self._say_how_it_began(gives_up=True)
                await self._until_it_ends(closing)
            tried.cancel()
            await self._drop()
            self._say_how_it_began(gives_up=self._loop.time() + delay.total_seconds() > gives_up_at)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(closing), delay.total_seconds())
            delay = min(2 * delay, self.patience.longest_retry)

    def _say_how_it_began(self, *, gives_up: bool) -> None:
        """Let `start` return. An id in use is tried for a while: TWS may not have noticed yet that its holder died."""
        if self._first.is_set():
            return
        if self._refusal is not None and self._id_in_use and not gives_up:
            return
        self._refused = self._refusal
        self._first.set()

    async def _until_it_ends(self, closing: "asyncio.Future[Any]") -> None:
        ended = asyncio.ensure_future(self._ended.wait())
        pulse = asyncio.ensure_future(self._watch())
        await asyncio.wait({ended, closing, pulse}, return_when=asyncio.FIRST_COMPLETED)
        for task in (ended, pulse):
            task.cancel()
        if not closing.done():
            _log.warning("no longer connected to TWS at %s: %s", self.address, self._why_not)

    async def _try_to_connect(self, make: Callable[[Heard], Any]) -> bool:
        """Connect, or not: whatever goes wrong, the thread lives and tries again. A dead one would be mute for ever."""
        try:
            return await self._connect(make)
        except Exception as error:  # noqa: BLE001 - it is logged whole, and the next try says it again
            self._why_not = f"TWS at {self.address} cannot be used: {error!r}"
            _log.exception("connecting to TWS at %s failed", self.address)
            return False

    async def _connect(self, make: Callable[[Heard], Any]) -> bool:
        """Try once. Whether it is connected, and knows what TWS knows."""
        self._ended.clear()
        self._ready = self._link_lost = False
        self._refusal, self._id_in_use = None, False
        self._why_not = f"connecting to TWS at {self.address}"
        self.heard.begin_connection()
        client = self._client = make(self.heard)
        client.MaxRequests = 0  # its queue would send after a deadline; `allow` limits instead
        client.conn.disconnected += self._on_disconnected
        Reader(client, self.heard)
        limit = self._loop.time() + self.patience.connect.total_seconds()
        try:
            async with asyncio.timeout_at(limit):
                await self._unless_ended(
                    client.connectAsync(self.address.host, self.address.port, self.address.client_id, None)
                )
                require_account(self.address, client.getAccounts())
                # A counter that TWS sets back is not followed: an id that was used changes the order that has it.
                self._next_id = max(self._next_id, client.getReqId())
                await self.pull(limit)
        except (OSError, TimeoutError, ValueError, NotWritten, NoAnswer) as error:
            if self._refusal is None:
                said = str(error) or "TWS did not answer in time"
                self._why_not = f"TWS at {self.address} cannot be used: {said}"
                _log.warning("%s", self._why_not)
            return False
        except InvalidInput as refusal:
            self._refuse(refusal)
            return False
        self.connections += 1
        self.ready_since = self.clock.now()
        self._ready, self._why_not = True, ""
        _log.info("connected to TWS at %s as client %s", self.address, self.address.client_id)
        return True

    async def _unless_ended(self, connecting: Awaitable[Any]) -> None:
        """The vendor's client waits on when TWS hangs up on it; this does not."""
        trying = asyncio.ensure_future(connecting)
        ended = asyncio.ensure_future(self._ended.wait())
        try:
            await asyncio.wait({trying, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not trying.done():
                raise ConnectionError("TWS closed the connection")
            trying.result()
        finally:
            for task in (trying, ended):
                task.cancel()
            await asyncio.gather(trying, ended, return_exceptions=True)

    def _refuse(self, refusal: InvalidInput) -> None:
        self._refusal = refusal
        self._why_not = refusal.what

    async def _watch(self) -> None:
        """End when TWS is mute: it is connected, and does not even say the time."""
        pulse = self.patience.pulse.total_seconds()
        while True:
            before = self.heard.packets
            await asyncio.sleep(pulse)
            if self.heard.packets != before:
                continue
            try:
                limit = self._loop.time() + self.patience.answer.total_seconds()
                await self.ask(TIME, lambda client, _: client.reqCurrentTime(), limit)
            except (TimeoutError, OSError, NotWritten, NoAnswer):
                self._why_not = "TWS is connected and mute"
                return

    def _on_disconnected(self, _text: str) -> None:
        self._ready = False
        if self._refusal is None and not self._why_not:
            self._why_not = "the connection was lost"
        self.heard.fail(ConnectionError("the connection was lost"))
        self._ended.set()

    async def _drop(self) -> None:
        """Let go of the connection at once, whatever is still to be written."""
        self._ready = False
        client, self._client = self._client, None
        self.heard.fail(ConnectionError(self._why_not))
        if client is None:
            return
        if client.conn.transport is not None:
            client.conn.transport.abort()
        client.connState = client.DISCONNECTED
        for _ in range(100):
            if client.conn.transport is None:
                break
            await asyncio.sleep(0)

    def _on_system(self, code: int, text: str) -> None:
        """A message about the link itself."""
        said = meaning_of(code)
        log = _log.debug if said is Meaning.NOTE else _log.warning
        log("TWS: %s (%s)", text, code)
        if said is Meaning.CLIENT_ID_IN_USE:
            self._id_in_use = True
            self._refuse(
                InvalidInput(
                    f"the client id {self.address.client_id} is in use at TWS {self.address}",
                    where="ibkr",
                    mend="Another session of this platform is live there: end it, or configure another client id",
                )
            )
        elif said is Meaning.LINK_LOST:
            self._link_lost = True
        elif said is Meaning.LINK_BACK:
            self._in_background(self._link_is_back())
        elif said is Meaning.CONNECT_AGAIN and self._ready:
            self._why_not = f"{text} (TWS {code})"
            self._ended.set()

    async def _link_is_back(self) -> None:
        """Nothing is sent before orders and executions were pulled again: some may have been missed."""
        try:
            await self.pull(self._loop.time() + self.patience.connect.total_seconds())
        except (TimeoutError, OSError, NotWritten, NoAnswer):
            self._why_not = "TWS did not tell its orders after its link came back"
            self._ended.set()
            return
        self._link_lost = False
        self.ready_since = self.clock.now()

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _ask_for_open(client: Any, _number: int) -> None:
    client.reqAllOpenOrders()


def _ask_for_completed(client: Any, _number: int) -> None:
    client.reqCompletedOrders(False)  # noqa: FBT003 - the vendor's own


def _ask_for_executions(client: Any, number: int) -> None:
    from ib_insync.objects import ExecutionFilter

    client.reqExecutions(number, ExecutionFilter())


async def _cancel_all() -> None:
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
