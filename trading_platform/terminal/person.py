"""Who gives a command, and why: both are recorded with it in the ledger."""

import os
import pwd

from trading_platform.domain.errors import InvalidInput


def user() -> str:
    """The name of the user of the operating system; the environment could say anything."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        # In a container a user may have a number only.
        return f"uid {os.geteuid()}"


def given_reason(reason: str, option: str) -> str:
    """The reason that `option` gives. Raises `InvalidInput` for one that says nothing."""
    if not reason.strip():
        raise InvalidInput("no reason is given", where=option, mend="Say why, for the record")
    return reason
