"""Alpaca's stream of trade updates: a hint that something has happened, and never the truth about it.

Here belongs the connection: it is made by alpaca-py's stream client, kept up with a growing pause between attempts, and
given up for dead where it is mute. What has happened is asked of Alpaca by REST (`AlpacaBroker`): the stream repeats
nothing, so that after each connection, and wherever an update may be missing, an event says that it is time to ask.

**Mute.** An idle account's stream is silent for hours, so that silence alone says nothing. Two things do: a ping
without an answer, and an order that Alpaca has acknowledged (`expect`) and the stream does not report.
"""

import asyncio
import contextlib
import json
import queue
import threading
import warnings
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from trading_platform.config.secrets import HIDDEN, Secret

with warnings.catch_warnings():
    # alpaca-py imports websockets' old client, which announces its end.
    warnings.simplefilter("ignore", DeprecationWarning)
    from alpaca.trading.stream import TradingStream

PAPER_STREAM: Final = "wss://paper-api.alpaca.markets/stream"
LIVE_STREAM: Final = "wss://api.alpaca.markets/stream"

_REMEMBERED: Final = 1_000
_LOOKS: Final = 4
"""How often within its patience the stream looks at what it waits for, and whether it shall end."""


class UpdateKind(StrEnum):
    """What an event says. After all but UPDATE and LOST it is time to ask Alpaca what has happened.

    CONNECTED: updates come from now on, and what was before was not told. OVERFLOW: nobody took the events, and they
    are gone. UNREADABLE: something came that is not understood.
    """

    CONNECTED = "connected"
    UPDATE = "update"
    LOST = "lost"
    OVERFLOW = "overflow"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamEvent:
    """One event. `event` is Alpaca's own word for an update (new, fill, partial_fill, trade_bust...), known or not."""

    kind: UpdateKind
    event: str = ""
    broker_order_id: str | None = None
    client_order_id: str | None = None
    execution_id: str | None = None
    detail: str = ""


class TradeUpdates:
    """The stream, in a thread of its own between `start` and `stop`.

    Args:
        key: the key's id.
        secret: the key's secret.
        paper: whether it is a paper account's stream.
        url: its address; Alpaca's own if it is None.
        patience: seconds after which a ping without an answer, an unreported order or an unfinished greeting means that
            the stream is dead.
        first_pause: seconds before the first new attempt; each further one waits twice as long.
        longest_pause: seconds that no pause exceeds.
        room: how many events wait to be taken.
    """

    def __init__(
        self,
        *,
        key: Secret,
        secret: Secret,
        paper: bool,
        url: str | None = None,
        patience: float = 10.0,
        first_pause: float = 1.0,
        longest_pause: float = 30.0,
        room: int = 1_000,
    ) -> None:
        self.events: queue.Queue[StreamEvent] = queue.Queue(room)
        self._key, self._secret = key, secret
        self._paper, self._url = paper, url or (PAPER_STREAM if paper else LIVE_STREAM)
        self._patience, self._first_pause, self._longest_pause = patience, first_pause, longest_pause
        self._expected: dict[str, int] = {}
        self._reported: deque[str] = deque(maxlen=_REMEMBERED)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Connect, and stay connected until `stop`. Does nothing if it runs."""
        if self._thread is None:
            self._stopping.clear()
            self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="trade updates", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Disconnect and wait for the thread's end. Does nothing if it does not run."""
        if self._thread is not None:
            self._stopping.set()
            self._thread.join()
            self._thread = None

    def expect(self, broker_order_id: str) -> None:
        """Alpaca has acknowledged something about this order: the stream must report it, or it is mute."""
        with self._lock:
            if broker_order_id not in self._reported:
                self._expected[broker_order_id] = _LOOKS

    async def _run(self) -> None:
        pause = self._first_pause
        while not self._stopping.is_set():
            stream: Any = TradingStream(
                api_key=self._key.reveal(),
                secret_key=self._secret.reveal(),
                paper=self._paper,
                raw_data=True,
                url_override=self._url,
                websocket_params={
                    "ping_interval": self._patience,
                    "ping_timeout": self._patience,
                    "open_timeout": self._patience,
                    "close_timeout": min(1.0, self._patience),
                    "max_queue": 1024,
                },
            )
            try:
                stream.subscribe_trade_updates(_ignore)
                # alpaca-py waits for the answers to its greeting for ever.
                await asyncio.wait_for(stream._start_ws(), self._patience)  # noqa: SLF001
                pause = await self._listen(stream, pause)
            except Exception as error:  # noqa: BLE001 - whatever ends a connection, the next one is tried
                self._put(StreamEvent(kind=UpdateKind.LOST, detail=self._scrub(f"{type(error).__name__}: {error}")))
            finally:
                with contextlib.suppress(Exception):
                    await stream.close()
            await asyncio.to_thread(self._stopping.wait, pause)
            pause = min(2 * pause, self._longest_pause)

    async def _listen(self, stream: Any, pause: float) -> float:
        """Take messages until the connection ends, which is raised, or the stream shall stop."""
        look = self._patience / _LOOKS
        loop = asyncio.get_running_loop()
        looked = loop.time()
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                message = await asyncio.wait_for(stream._ws.recv(), look)  # noqa: SLF001
                if self._take(message):
                    pause = self._first_pause
            if loop.time() - looked >= look:
                looked = loop.time()
                self._require_reported()
        return pause

    def _require_reported(self) -> None:
        with self._lock:
            self._expected = {order: looks - 1 for order, looks in self._expected.items()}
            missing = [order for order, looks in self._expected.items() if looks < 0]
            if missing:
                # After the next connection everything is asked for anyway.
                self._expected.clear()
        if missing:
            raise ConnectionError(f"the stream is mute: it has not reported order {missing[0]}")

    def _take(self, message: str | bytes) -> bool:
        """Make an event of a message. Whether the stream has shown that it works."""
        try:
            said = json.loads(message)
            stream, data = said.get("stream"), said.get("data") or {}
            if stream == "listening":
                self._put(StreamEvent(kind=UpdateKind.CONNECTED))
            elif stream == "trade_updates":
                self._put(self._update(data))
        except (ValueError, AttributeError) as error:
            self._put(StreamEvent(kind=UpdateKind.UNREADABLE, detail=self._scrub(str(error))))
            return False
        return True

    def _update(self, data: Mapping[str, Any]) -> StreamEvent:
        order = data.get("order") or {}
        order_id = order.get("id")
        with self._lock:
            if order_id is not None:
                self._reported.append(order_id)
                self._expected.pop(order_id, None)
        return StreamEvent(
            kind=UpdateKind.UPDATE,
            event=str(data.get("event", "")),
            broker_order_id=order_id,
            client_order_id=order.get("client_order_id"),
            execution_id=data.get("execution_id"),
        )

    def _put(self, event: StreamEvent) -> None:
        try:
            self.events.put_nowait(event)
        except queue.Full:
            # They are hints: one that says to ask Alpaca is worth all of them.
            with contextlib.suppress(queue.Empty):
                while True:
                    self.events.get_nowait()
            self.events.put_nowait(StreamEvent(kind=UpdateKind.OVERFLOW))

    def _scrub(self, text: str) -> str:
        for hidden in (self._key.reveal(), self._secret.reveal()):
            text = text.replace(hidden, HIDDEN)
        return text


async def _ignore(message: Any) -> None:
    """Stands as the subscriber that alpaca-py wants before it subscribes: messages are taken from the socket."""
