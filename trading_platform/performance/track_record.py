"""What a run left behind, as plain values: what statistics and tear sheets are made of.

Here belong the record of a run, the flat record of a finished trade, the benchmark beside them, and the check that they
fit each other. Who made them (a backtest, a paper or live book) is not known here; what they come to is said by
`statistics`.

A bar's number counts on through the run: session x 390 + minute, whatever the length of the sessions.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trading_platform.calendars.sessions import Session
from trading_platform.domain.decisions import ExitCause
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.records import SESSION_MINUTES

Units = npt.NDArray[np.int64]
"""Amounts in 1/10,000 dollar, or bar numbers."""

trade_t: Final[np.dtype[Any]] = np.dtype(
    [
        ("strategy", "i8"),  # place in the record's strategies
        ("symbol", "i8"),  # place in its symbols
        ("entered", "i8"),  # number of the bar of the first buy
        ("left", "i8"),  # number of the bar of the last sale
        ("quantity", "i8"),  # shares bought
        ("cost", "i8"),  # units paid for them, before fees
        ("proceeds", "i8"),  # units that their sale brought, before fees; dividends and paid-out fractions included
        ("fees", "i8"),  # units, of all its executions
        ("reason", "i8"),  # why the last sale was made: a key of the record's reasons
    ],
    align=True,
)
"""One round trip of one strategy in one symbol, from its first buy to flat again."""

CAUSES: Final[Mapping[int, str]] = MappingProxyType(
    {int(cause): cause.name.lower().replace("_", " ") for cause in ExitCause}
)
"""Names of the exits that the kernel decides. Other reasons need names of their own."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Benchmark:
    """A symbol that was bought before the first session and held.

    Attributes:
        symbol: Its name.
        base: Dollars that it cost: its close before the first session, or that session's open if no earlier close is
            known.
        closes: float64 [sessions], dollars in the scale of `base` (splits, and dividends if they shall count, worked
            in). Where it has none (nan) the last one stands.
    """

    symbol: str
    base: float
    closes: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        if not (np.isfinite(self.base) and self.base > 0) or np.any(self.closes <= 0) or np.any(np.isinf(self.closes)):
            raise InvalidInput(
                "its prices are not all positive numbers",
                where=f"the benchmark {self.symbol}",
                mend="Look at its bars, or take another symbol",
            )

    @property
    def missing(self) -> int:
        """Sessions in which it has no close."""
        return int(np.isnan(self.closes).sum())

    @property
    def held(self) -> npt.NDArray[np.float64]:
        """float64 [1 + sessions], dollars: the base, then each session's close, the last one where it has none."""
        prices = np.concatenate(([self.base], self.closes))
        known = np.maximum.accumulate(np.where(np.isnan(prices), 0, np.arange(prices.size)))
        return np.asarray(prices[known], np.float64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrackRecord:
    """The run of one account over consecutive sessions.

    Attributes:
        sessions: The days, oldest first, at least one.
        opening: Units: the equity before the first session, positive.
        equity: int64 [sessions x 390], units: cash and holdings at the end of each minute. After a half day's close the
            last value is repeated.
        gross: int64 [sessions x 390], units: the market value of all holdings then, 0 where nothing is held.
        trades: `trade_t` [n], the finished ones, in any order.
        strategies: Names, in the order of the configuration.
        symbols: Names.
        traded: Units: the value of all executions, purchases and sales added up.
        fees: Units: of all executions, those of unfinished trades too.
        reasons: What a trade's `reason` is called.
        benchmark: What the run is compared with, if anything.

    Raises `InvalidInput` where they do not fit each other.
    """

    sessions: tuple[Session, ...]
    opening: int
    equity: Units
    gross: Units
    trades: npt.NDArray[Any]
    strategies: tuple[str, ...]
    symbols: tuple[str, ...]
    traded: int
    fees: int
    reasons: Mapping[int, str] = field(default_factory=lambda: CAUSES)
    benchmark: Benchmark | None = None

    def __post_init__(self) -> None:
        slots = len(self.sessions) * SESSION_MINUTES
        if not slots:
            raise _unfit("it has no session", "Take a range with at least one trading day")
        if self.opening <= 0:
            raise _unfit(f"it opens with {self.opening / 10_000:,.2f} dollars", "Give the account a positive amount")
        if self.equity.shape != (slots,) or self.gross.shape != (slots,):
            raise _unfit(
                f"{len(self.sessions)} sessions have {slots} minutes, its equity {self.equity.shape} and gross "
                f"exposure {self.gross.shape}",
                f"Give a value for each of the {SESSION_MINUTES} minutes of each session",
            )
        if self.benchmark is not None and self.benchmark.closes.shape != (len(self.sessions),):
            raise _unfit(
                f"{len(self.sessions)} sessions, and the benchmark's closes are {self.benchmark.closes.shape}",
                "Give a close for each session, nan where there is none",
            )
        self._check_trades(slots)

    def _check_trades(self, slots: int) -> None:
        bounds = {"strategy": len(self.strategies), "symbol": len(self.symbols), "entered": slots, "left": slots}
        for name, bound in bounds.items():
            given = self.trades[name]
            if given.size and (given.min() < 0 or given.max() >= bound):
                raise _unfit(f"the {name} of a trade is not within 0 to {bound - 1}", "Number it as the record does")
        if np.any(self.trades["left"] < self.trades["entered"]):
            raise _unfit("a trade ends before it begins", "Give the bars of its first buy and of its last sale")

    @property
    def session_minutes(self) -> Units:
        """int64 [sessions]: bars of each regular session."""
        return np.array([session.minutes for session in self.sessions], np.int64)

    @property
    def by_session(self) -> Units:
        """int64 [1 + sessions], units: the opening equity, then each session's closing equity."""
        closes = self.equity.reshape(len(self.sessions), SESSION_MINUTES)[:, -1]
        return np.concatenate((np.array([self.opening], np.int64), closes))

    @property
    def traded_minutes(self) -> npt.NDArray[np.bool_]:
        """Whether each of [sessions x 390] minutes belongs to its session; a half day's last ones do not."""
        within: npt.NDArray[np.bool_] = np.arange(SESSION_MINUTES) < self.session_minutes[:, np.newaxis]
        return within.reshape(-1)


def with_opening(record: TrackRecord) -> Units:
    """int64 [1 + sessions x 390], units: the opening equity, then the equity at the end of each minute."""
    return np.concatenate((np.array([record.opening], np.int64), record.equity))


def _unfit(what: str, mend: str) -> InvalidInput:
    return InvalidInput(what, where="the record of the run", mend=mend)
