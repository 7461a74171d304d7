"""The error tree, split by what the caller must do.

A refusal by a risk rule is not an error: it is a `Decision`. An exception is a fault, and its class says
what to do about it. Vendors' errors are wrapped at the edge of the room that talks to them, and chained.
"""


class TradingPlatformError(Exception):
    """The root: everything that the platform raises on purpose."""


class InvalidInput(TradingPlatformError):
    """What a person gave cannot be used: the message says what, where, and how to mend it.

    The command line prints it as it is, without a traceback, and exits with 2.
    """

    def __init__(self, what: str, *, where: str = "", mend: str = "") -> None:
        self.what, self.where, self.mend = what, where, mend
        parts = [f"{where}: {what}" if where else what]
        if mend:
            parts.append(mend)
        super().__init__(". ".join(part.rstrip(".") for part in parts) + ".")


class TemporaryError(TradingPlatformError):
    """It may work later: try again after `delay` seconds."""

    def __init__(self, message: str, *, delay: float = 1.0) -> None:
        super().__init__(message)
        self.delay = delay


class DatabaseUnavailable(TemporaryError):
    """The database does not answer. Nothing is lost: what was committed is there, what was not is made again."""


class PermanentError(TradingPlatformError):
    """Trying again gives the same answer: a person or another part must act."""


class NotOwner(PermanentError):
    """Another process owns this shard now: stop trading it at once."""


class Inconsistent(PermanentError):
    """Two records of one fact differ, or a step of an order's life cannot have happened: nothing is guessed."""


class ConservationBroken(PermanentError):
    """More, or something else, would leave than was decided (rule 13): a fault of the platform itself.

    Nothing of the cycle is sent. Do not go on before a person has found out why.
    """


class OutcomeUnknown(TradingPlatformError):
    """The request may or may not have taken effect: only evidence from the other side ends the doubt."""
