"""The stream of trade updates of the local Alpaca: a websocket with its greeting, binary frames, and faults on command."""

import contextlib
import json
import threading
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve


class StreamServer:
    """Tells every listening client what happens.

    `mute`: clients are greeted and told nothing. `deaf`: even the greeting is not answered. `twice`: everything is told
    two times. `reversed`: updates are kept, and told in reverse by `release`.
    """

    def __init__(self, key: str, secret: str) -> None:
        self.mute = self.deaf = self.twice = self.reversed = False
        self.greetings = 0
        self._keys = {"key_id": key, "secret_key": secret}
        self._kept: list[dict[str, Any]] = []
        self._clients: list[ServerConnection] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = serve(self._talk, "127.0.0.1", 0, ping_interval=None, close_timeout=0.5)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}/stream"

    @property
    def clients(self) -> int:
        """How many clients listen."""
        with self._lock:
            return len(self._clients)

    def tell(self, data: dict[str, Any]) -> None:
        """Tell all that listen, unless a fault keeps it from them."""
        if self.mute:
            return
        if self.reversed:
            self._kept.append(data)
            return
        for _ in range(2 if self.twice else 1):
            self.send(json.dumps({"stream": "trade_updates", "data": data}).encode())

    def release(self) -> None:
        """Tell what was kept, the newest first."""
        self.reversed = False
        for data in reversed(self._kept):
            self.tell(data)
        self._kept.clear()

    def send(self, frame: bytes) -> None:
        """Send a frame to all that listen."""
        with self._lock:
            clients = list(self._clients)
        for client in clients:
            with contextlib.suppress(ConnectionClosed, OSError):
                client.send(frame)

    def drop(self) -> None:
        """Break every connection, without a word."""
        with self._lock:
            clients = list(self._clients)
        for client in clients:
            client.close_socket()

    def close(self) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self.drop()

    def _talk(self, client: ServerConnection) -> None:
        try:
            for message in client:
                self._answer(client, json.loads(message))
        except (ConnectionClosed, OSError):
            pass
        finally:
            with self._lock:
                if client in self._clients:
                    self._clients.remove(client)

    def _answer(self, client: ServerConnection, said: dict[str, Any]) -> None:
        self.greetings += 1
        if self.deaf:
            return
        if said["action"] == "authenticate":
            right = said["data"] == self._keys
            data = {"status": "authorized" if right else "unauthorized", "action": "authenticate"}
            client.send(json.dumps({"stream": "authorization", "data": data}).encode())
        elif said["action"] == "listen":
            with self._lock:
                self._clients.append(client)
            client.send(json.dumps({"stream": "listening", "data": said["data"]}).encode())
