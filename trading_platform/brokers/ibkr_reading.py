"""Messages of TWS that the vendor's client cannot read, or has no name for: noticed instead of lost.

The vendor's decoder logs such a message and goes on as if it had never come. An order that is told in one would then
look as if it were not there. So the message's kind decides: an answer that something could be missing from is no
answer, and what nothing is concluded from is passed over. Here belongs noticing it; what it does to a question is
`ibkr_link`'s.
"""

import logging
import sys
from typing import Any, Final

from trading_platform.brokers.ibkr_messages import Heard

_log = logging.getLogger("trading_platform.brokers.ibkr")

TELLING: Final = {
    5: "an open order",
    10: "a contract",
    11: "an execution",
    61: "a holding",
    63: "the account's figures",
    101: "an ended order",
}
"""The messages that answers are made of, by their number."""


class Reader:
    """Stands between the vendor's client and its decoder, and is what that decoder logs its failures to."""

    def __init__(self, client: Any, heard: Heard) -> None:
        decoder = client.decoder
        self._heard, self._known, self._interpret = heard, decoder.handlers, decoder.interpret
        self._number = 0
        decoder.interpret, decoder.logger = self._read, self

    def _read(self, fields: list[str]) -> None:
        self._number = int(fields[0]) if fields and fields[0].isdecimal() else 0
        if self._number not in self._known:
            _log.debug("TWS sent a message of an unknown kind: %s", fields[:1])
            return
        self._interpret(fields)

    def exception(self, said: str) -> None:
        """A message could not be read."""
        _log.warning("TWS sent what cannot be read (%r): %s", sys.exc_info()[1], said)
        what = TELLING.get(self._number)
        if what is not None:
            self._heard.could_not_read(what)
