"""The line to Alpaca: one HTTP call, its limit in time, and the ways in which it can end.

Here belongs all that touches alpaca-py's REST client: its retries are off, every call has a time-out, and the answer's
headers tell the rate budget, which is not overdrawn. What is asked and what an answer means is said by `alpaca_orders`
and `alpaca`.

A call returns what Alpaca said, or raises `Refusal` (Alpaca has certainly not done it) or `NoAnswer` (it may or may not
have been done, if it has left at all: `Until.may_have_left` keeps count). The vendor's exceptions hold the request, and
with it the keys: they are not chained.
"""

import contextlib
import json
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError, NameResolutionError, NewConnectionError, ReadTimeoutError
from urllib3.util import Timeout

from trading_platform.config.secrets import HIDDEN, Secret
from trading_platform.domain.clock import Clock
from trading_platform.domain.errors import PermanentError

with warnings.catch_warnings():
    # alpaca-py's package imports websockets' old client, which announces its end.
    warnings.simplefilter("ignore", DeprecationWarning)
    from alpaca.common.exceptions import APIError
    from alpaca.trading.client import TradingClient

Method = Literal["get", "post", "patch", "delete"]

_CERTAIN: Final = frozenset({400, 401, 403, 404, 405, 422})
"""The statuses that mean: read, understood, and not done. 408, 409 and 429 may come from anywhere on the way."""

_WINDOW: Final = timedelta(minutes=1)
"""What the rate limit counts in: who has used it up need not wait longer, whatever the header's clock says."""

_UNREADABLE: Final = "gives an answer that cannot be read"
_LONGEST_REASON: Final = 300
_CHUNK: Final = 65_536
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 0.5
_TO_ASK: Final = 0.1
"""Seconds that a question is left after a pause."""


class Refusal(Exception):
    """Alpaca has read the request and has not done it. `code` is Alpaca's own, more exact than the HTTP status."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(f"{message} (Alpaca's code {code})")
        self.status, self.code, self.message = status, code, message


class NoAnswer(Exception):
    """There is no answer. `delay`: try again after so many seconds."""

    def __init__(self, reason: str, *, delay: float = 1.0) -> None:
        super().__init__(reason)
        self.delay = delay


@dataclass(frozen=True, slots=True, kw_only=True)
class RateBudget:
    """How many requests the account may make, by the newest answer's headers.

    `resets_at` is when it is full again by Alpaca's clock, `told_at` when the answer came by ours.
    """

    limit: int
    remaining: int
    resets_at: datetime
    told_at: datetime

    def wait(self, now: datetime) -> float:
        """Seconds until there is room for a request; zero or less: there is."""
        if self.remaining > 0:
            return 0.0
        return (min(self.resets_at, self.told_at + _WINDOW) - now).total_seconds()


class Until:
    """A deadline while it runs down, with the pauses between questions until something has happened.

    `may_have_left` says whether a request that changes something may have gone out meanwhile: as long as it is False,
    nothing was done for certain.
    """

    def __init__(self, clock: Clock, deadline: datetime) -> None:
        self.may_have_left = False
        self._clock, self._deadline = clock, deadline
        self._whole = self.seconds
        self._pause, self._paused = _FIRST_PAUSE, 0.0

    @property
    def seconds(self) -> float:
        """What is left; zero or less: it has passed."""
        return (self._deadline - self._clock.now()).total_seconds()

    def pause(self) -> bool:
        """Wait a little, longer each time. False, and no wait, if no time is left for it and a question after it."""
        # A clock that is set by hand stands still meanwhile: the pauses themselves use the time up as well.
        if min(self.seconds, self._whole - self._paused) < self._pause + _TO_ASK:
            return False
        time.sleep(self._pause)
        self._paused += self._pause
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        return True


class AlpacaLine:
    """alpaca-py's trading client, held to one send and one deadline a call.

    Raises:
        PermanentError: this release of alpaca-py keeps its retries elsewhere, so that they cannot be turned off.
    """

    def __init__(self, *, key: Secret, secret: Secret, base_url: str, paper: bool, clock: Clock) -> None:
        self._clock = clock
        self._at = urlsplit(base_url).netloc.rpartition("@")[2]
        self._hidden: tuple[str, ...] = (key.reveal(), secret.reveal())
        self._client = TradingClient(
            api_key=key.reveal(),
            secret_key=secret.reveal(),
            paper=paper,
            raw_data=True,
            url_override=base_url.rstrip("/"),
        )
        if not {"_retry", "_retry_codes", "_session"} <= vars(self._client).keys():
            raise PermanentError("alpaca-py has changed: its retries cannot be turned off, and would send orders twice")
        # Its constructor takes no argument for them. A retried POST makes a second order, or a false refusal.
        self._client._retry = 0  # noqa: SLF001
        self._client._retry_codes = []  # noqa: SLF001
        self._session = _TimedSession(clock)
        self._client._session.close()  # noqa: SLF001
        self._client._session = self._session  # noqa: SLF001

    @property
    def budget(self) -> RateBudget | None:
        """The rate budget as of the newest answer that told it."""
        return self._session.budget

    def close(self) -> None:
        """Give the connections back."""
        self._session.close()

    def call(self, method: Method, path: str, data: Mapping[str, Any] | None = None, *, until: Until) -> Any:
        """One call, sent at most once, answered in time. Returns the decoded JSON; None without a body.

        Raises:
            Refusal: It is certainly not done.
            NoAnswer: It may or may not be done. It has certainly not left where no time or no room in the rate limit
                was left for it, or where there was no connection: `until` then says as much as before.
        """
        seconds, asks = until.seconds, method == "get"
        if seconds <= 0:
            raise NoAnswer(f"no time was left for {method.upper()} {path}, which was not sent")
        wait = 0.0 if self.budget is None else self.budget.wait(self._clock.now())
        if wait > 0:
            raise NoAnswer(f"the rate limit is used up: {method.upper()} {path} was not sent", delay=wait)
        left_before, until.may_have_left = until.may_have_left, until.may_have_left or not asks
        try:
            with self._session.within(seconds):
                return getattr(self._client, method)(path, None if data is None else dict(data))
        except APIError as error:
            raise self._verdict(error) from None
        except (requests.RequestException, HTTPError, OSError) as error:
            if _never_connected(error):
                until.may_have_left = left_before
            raise NoAnswer(f"Alpaca at {self._at} {_why(error, seconds)}") from None
        except ValueError:
            raise NoAnswer(f"Alpaca at {self._at} {_UNREADABLE}") from None

    def scrub(self, text: str) -> str:
        """`text` without the keys, cut to a readable length."""
        for hidden in self._hidden:
            text = text.replace(hidden, HIDDEN)
        return text[:_LONGEST_REASON]

    def _verdict(self, error: APIError) -> Refusal | NoAnswer:
        status = error.status_code
        try:
            said = json.loads(str(error))
        except ValueError:
            said = None
        code = said.get("code") if isinstance(said, dict) else None
        message = self.scrub(str(said.get("message", "")) if isinstance(said, dict) else "")
        if status in _CERTAIN and isinstance(code, int):
            held = f", {said['held_for_orders']} held for orders" if "held_for_orders" in said else ""
            return Refusal(status, code, (message or "no reason given") + held)
        return NoAnswer(f"Alpaca answered {status} {message}".rstrip(), delay=_retry_after(error))


class _Trickled(requests.ReadTimeout):
    """The answer had begun to come, and was not complete in time."""


class _TimedSession(requests.Session):
    """A session in which no request outlives its limit, whatever the other side does."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.budget: RateBudget | None = None
        self._clock = clock
        self._limits = threading.local()

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        self._limits.seconds = seconds
        yield

    def request(self, method: Any, url: Any, *args: Any, **options: Any) -> requests.Response:
        seconds = self._limits.seconds
        until = self._clock.now() + timedelta(seconds=seconds)
        options |= {"timeout": Timeout(total=seconds), "stream": True}
        response = super().request(method, url, *args, **options)
        self._note_budget(response.headers)
        # The time-out starts anew with each piece that is received: a body that trickles in would hold the call.
        pieces = []
        while piece := response.raw.read1(_CHUNK, decode_content=True):
            pieces.append(piece)
            if self._clock.now() > until:
                response.close()
                raise _Trickled
        response._content = b"".join(pieces)  # type: ignore[attr-defined,unused-ignore] # noqa: SLF001
        return response

    def _note_budget(self, headers: Mapping[str, str]) -> None:
        with contextlib.suppress(KeyError, ValueError, OverflowError):
            self.budget = RateBudget(
                limit=int(headers["X-RateLimit-Limit"]),
                remaining=int(headers["X-RateLimit-Remaining"]),
                resets_at=datetime.fromtimestamp(int(headers["X-RateLimit-Reset"]), UTC),
                told_at=self._clock.now(),
            )


def _never_connected(error: Exception) -> bool:
    """Whether there was no connection to send on."""
    return isinstance(error, requests.ConnectTimeout) or isinstance(_reason(error), NewConnectionError)


def _reason(error: Exception) -> object:
    """What urllib3 has given up for, inside an error of requests."""
    return getattr(error.args[0] if error.args else None, "reason", None)


def _why(error: Exception, seconds: float) -> str:
    """What kept Alpaca from answering within `seconds`, in words: the libraries' own texts hold addresses of objects."""
    reason = _reason(error)
    if isinstance(error, requests.exceptions.SSLError):
        return "cannot be reached: no secure connection can be made"
    if isinstance(error, requests.exceptions.ProxyError):
        return "cannot be reached: the proxy that the environment names does not let it through"
    if isinstance(error, requests.ConnectTimeout):
        return f"cannot be reached: no connection within {seconds:.3g} s"
    if isinstance(reason, NameResolutionError):
        return "cannot be reached: its name is not found"
    if isinstance(reason, NewConnectionError):
        refused = isinstance(reason.__cause__, ConnectionRefusedError)
        return f"cannot be reached: {'it refuses the connection' if refused else 'there is no way to it'}"
    if isinstance(error, requests.exceptions.InvalidJSONError):
        return _UNREADABLE
    if isinstance(error, _Trickled):
        return f"does not answer: the answer was not complete after {seconds:.3g} s"
    if isinstance(error, (requests.Timeout, ReadTimeoutError, TimeoutError)):
        return f"does not answer within {seconds:.3g} s"
    return "does not answer: the connection broke off"


def _retry_after(error: APIError) -> float:
    try:
        return max(0.0, float(error.response.headers["Retry-After"]))
    except (AttributeError, KeyError, ValueError):
        return 1.0
