"""Where TWS is, who this platform is there, and how long it waits: the values, and whether TWS agrees with them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from trading_platform.domain.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where TWS is, and who this platform is there. `paper` must agree with what TWS says of the account."""

    host: str
    port: int
    client_id: int
    account: str
    paper: bool

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long is waited for what.

    `connect`: for a connection, with all that is pulled at its start. `answer`: for an answer to a question.
    `commissions`: for the commissions of executions, which come right after these as a rule. `first_retry` doubles up to
    `longest_retry`. `pulse`: after so long without a message TWS is asked for the time.
    """

    connect: timedelta = timedelta(seconds=8)
    answer: timedelta = timedelta(seconds=4)
    commissions: timedelta = timedelta(seconds=1)
    first_retry: timedelta = timedelta(seconds=1)
    longest_retry: timedelta = timedelta(seconds=60)
    pulse: timedelta = timedelta(seconds=15)


def require_account(address: Address, accounts: Sequence[str]) -> None:
    """Raise `InvalidInput` unless TWS has the account, and it is of the kind that is meant (Law 12)."""
    wanted, paper = address.account, address.paper
    if wanted not in accounts:
        raise InvalidInput(
            f"TWS at {address} does not manage the account {wanted}, only {', '.join(accounts)}",
            where="ibkr",
            mend="Give one of these, or log TWS in with the user that has the account",
        )
    # The accounts of the paper system begin with a D.
    if wanted.startswith("D") != paper:
        is_paper = "a paper account" if not paper else "a live account"
        raise InvalidInput(
            f"{wanted} is {is_paper}, and {'a paper' if paper else 'a live'} one is configured",
            where="ibkr",
            mend="Make the profile, the account and the port agree; nothing was sent",
        )
