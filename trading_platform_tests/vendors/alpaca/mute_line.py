"""A line between a client and a server that a test can make mute: it stays connected, and carries nothing any more."""

import contextlib
import socket
import threading
from collections.abc import Callable
from functools import partial


class MuteLine:
    """Carries every connection to a port of this machine, until it is `mute`."""

    def __init__(self, port: int) -> None:
        self.mute = False
        self._port = port
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._begin(self._accept)

    @property
    def port(self) -> int:
        return int(self._listening.getsockname()[1])

    def close(self) -> None:
        # A thread that waits in accept is woken by this, and not by closing alone.
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for one in (self._listening, *self._sockets):
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(("127.0.0.1", self._port))
                self._sockets += [client, server]
                self._begin(partial(self._carry, client, server))
                self._begin(partial(self._carry, server, client))

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                if not self.mute:
                    sink.sendall(data)
            if not self.mute:
                sink.shutdown(socket.SHUT_RDWR)

    def _begin(self, what: Callable[[], None]) -> None:
        thread = threading.Thread(target=what, daemon=True)
        self._threads.append(thread)
        thread.start()
