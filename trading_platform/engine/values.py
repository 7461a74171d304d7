"""What the stages work with, and what they hand on: frozen values, one for each stage.

What a stage does is in `stages`; what a cycle leaves behind is in `record`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.config.settings import Limits
from trading_platform.domain.clock import Clock
from trading_platform.domain.decisions import Decision
from trading_platform.domain.orders import OrderIntent
from trading_platform.domain.reports import DataProblem
from trading_platform.domain.signals import Signal
from trading_platform.ledger.ledger import Ledger
from trading_platform.ledger.ownership import LeaseTimes, Ownership
from trading_platform.marketdata.bars import SessionBars
from trading_platform.marketdata.provider import Provider
from trading_platform.orders.reconcile import Reconciled
from trading_platform.orders.routing import Routes
from trading_platform.portfolio.account import AccountView
from trading_platform.portfolio.decide import Decided
from trading_platform.strategies.contract import Strategy

Records = npt.NDArray[Any]


def no_skew() -> int:
    """What a simulated clock differs from the database's by: it is not compared with it."""
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the stages work with; `bootstrap` makes it."""

    ledger: Ledger
    routes: Routes
    provider: Provider
    calendar: ExchangeCalendar
    clock: Clock
    strategies: tuple[Strategy, ...]
    symbols: tuple[str, ...]
    limits: Limits
    opening_cash: Decimal
    owner: str
    release: str
    lease: LeaseTimes
    call_deadline: timedelta
    clock_skew_ms: Callable[[], int] = no_skew
    """How far this machine's clock is from the database's now, in milliseconds (rule 28)."""
    unloaded: tuple[str, ...] = ()
    """Why active strategies did not load, a sentence each: said in every cycle's report."""
    cash_tolerance: Decimal = Decimal(0)
    """Dollars by which a broker's cash may differ from the ledger's."""
    entering: bool = True
    """Whether anything may be entered at all. The minutes that a person's command runs enter nothing."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fetched:
    """After the first stage: the broker reconciled, and the bars as received."""

    session: date
    minute: int
    bar_time: datetime
    ownership: Ownership
    reconciled: Reconciled
    bars: SessionBars
    days: Records
    problems: tuple[DataProblem, ...]

    @property
    def new_bars(self) -> int:
        """How many symbols have a bar of the decided minute."""
        return int(np.count_nonzero(self.bars.bars["time"][:, self.minute]))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evaluated:
    """After the second stage: what each strategy said of the decided minute, `out_t` [symbols] each.

    `first_new` is the earliest minute with a bar that this process had not seen the minute before: the decided one,
    unless a bar came late.
    """

    fetched: Fetched
    outs: tuple[Records, ...]
    faults: tuple[str, ...]
    first_new: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Planned:
    """After the third stage: what was decided, and what shall be sent for it.

    `recorded`: this minute was decided before; then the decisions are read back, and nothing is sent for them here.
    """

    evaluated: Evaluated
    signals: tuple[Signal, ...]
    decided: Decided
    decisions: tuple[Decision, ...]
    intents: tuple[OrderIntent, ...]
    account: AccountView
    strategies: tuple[str, ...]
    recorded: bool
