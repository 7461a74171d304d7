"""The platform's logger, at the level that the settings name: plain text on the stream for errors.

Belongs here: how the setting `log_level` takes effect. It is called once by whoever starts the platform: a command, and
Dagster's resource. Nothing in this room logs.
"""

import logging
import sys
from typing import Final

LOGGER: Final = "trading_platform"
_FORM: Final = logging.Formatter("%(levelname)s %(name)s: %(message)s")


class _ErrorStream(logging.Handler):
    """Writes to what is the stream for errors at the moment, which may change in the life of a process."""

    def emit(self, record: logging.LogRecord) -> None:
        print(_FORM.format(record), file=sys.stderr)  # noqa: T201 (this is where logs are written)


def set_up_logging(level: str) -> logging.Logger:
    """The logger that every part's own inherits from, set to `level`. Calling it again changes the level alone."""
    logger = logging.getLogger(LOGGER)
    logger.setLevel(level)
    for earlier in logger.handlers[:]:
        logger.removeHandler(earlier)
    logger.addHandler(_ErrorStream())
    # A database that dies is told in a sentence by whoever asked it; its connections' own ends are tracebacks.
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
    # Dagster gives the root logger a handler of its own: nothing is to be said twice.
    logger.propagate = False
    return logger
