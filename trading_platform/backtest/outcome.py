"""What a backtest came to, as values: the account by minute, its trades, and how often what was decided.

Here belong the values and the record of the run that statistics are made of (`performance.track_record`). Who makes them
is `run`; how they are told is `report`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final

import numpy as np
import numpy.typing as npt

from trading_platform.backtest.loop.kinds import CANCEL, REDUCE
from trading_platform.backtest.results import OpenHolding, PassResult
from trading_platform.backtest.trades import REASONS, RoundTrips
from trading_platform.calendars.sessions import Session
from trading_platform.domain.decisions import DecisionKind, Rule, Verdict
from trading_platform.domain.records import SESSION_MINUTES
from trading_platform.performance.drawdown import deepest
from trading_platform.performance.round_trips import net_profits
from trading_platform.performance.track_record import Benchmark, TrackRecord
from trading_platform.strategies.loops import GAVE_UP
from trading_platform.strategies.scan import fault_text

Units = npt.NDArray[np.int64]

_GAVE_UP: Final = fault_text(GAVE_UP, 0).rstrip("0")


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """A strategy said nothing more of a symbol from a minute of a session on, because of what its step gave."""

    strategy: str
    symbol: str
    session: date
    minute: int
    what: str

    @property
    def is_mistake(self) -> bool:
        """Whether the step gave what is no price; else it gave up by itself, as it may."""
        return not self.what.startswith(_GAVE_UP)


@dataclass(slots=True, kw_only=True)
class Tally:
    """How often what happened.

    Attributes:
        bars: Bars of all symbols.
        decisions: All decisions.
        entries: Decisions on entries.
        resized: Those of them that a rule made smaller.
        refused: Refused decisions by the rule that refused.
        orders: Orders that were sent; changes are not among them.
        changes: Changes of orders that were sent: cancels and reductions.
        not_taken: Those of them that the venue refused.
        executions: Fills.
        traded: Units: the value of all of them, purchases and sales added up.
        fees: Units.
    """

    bars: int = 0
    decisions: int = 0
    entries: int = 0
    resized: int = 0
    refused: Counter[Rule] = field(default_factory=Counter)
    orders: int = 0
    changes: int = 0
    not_taken: int = 0
    executions: int = 0
    traded: int = 0
    fees: int = 0

    def count(self, result: PassResult) -> None:
        """Add a block."""
        decisions, sent, executions = result.decisions, result.sent, result.executions
        orders = (sent["kind"] != CANCEL) & (sent["kind"] != REDUCE)
        self.decisions += decisions.size
        self.entries += int((decisions["kind"] == DecisionKind.ENTER).sum())
        self.resized += int((decisions["verdict"] == Verdict.RESIZED).sum())
        rules, times = np.unique(decisions["rule"][decisions["verdict"] == Verdict.REFUSED], return_counts=True)
        self.refused.update({Rule(int(rule)): int(count) for rule, count in zip(rules, times, strict=True)})
        self.orders += int(orders.sum())
        self.changes += int(orders.size - orders.sum())
        self.not_taken += int((sent["refused"][orders] != 0).sum())
        self.executions += executions.size
        self.traded += int((executions["quantity"] * executions["price"]).sum())
        self.fees += int(executions["fee"].sum())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BacktestResult:
    """A backtest. Bars are counted from its first session: session x 390 + minute. Money is in 1/10,000 dollar.

    Attributes:
        strategies: Names, in the order in which their entries were considered.
        symbols: In rising order.
        sessions: Oldest first.
        opening: The cash that it began with.
        equity: Int64 [sessions x 390], as it was decided on in each minute; after a half day's close, its last.
        cash: The same.
        trades: Finished and unfinished round trips.
        holdings: What is held at the end.
        tally: How often what happened.
        set_aside: Where strategies were set aside, by block, strategy and symbol.
        doubts: What a reader must know of the bars, in sentences.
        left_out: Those of the symbols of which not one bar came.
    """

    strategies: tuple[str, ...]
    symbols: tuple[str, ...]
    sessions: tuple[Session, ...]
    opening: int
    equity: Units
    cash: Units
    trades: RoundTrips
    holdings: tuple[OpenHolding, ...]
    tally: Tally
    set_aside: tuple[SetAside, ...]
    doubts: tuple[str, ...]
    left_out: tuple[str, ...]

    @property
    def closing(self) -> int:
        """The equity at the end."""
        return int(self.equity[-1])

    @property
    def deepest_fall(self) -> float:
        """The deepest fall from the end of one minute to that of a later one; a share of the higher one."""
        curve = np.concatenate((np.array([self.opening], np.int64), self.equity))
        highest = np.maximum.accumulate(curve)
        return float(((highest - curve) / highest).max())

    @property
    def deepest_fall_at_closes(self) -> float:
        """The deepest fall from one session's close (or the opening cash) to a later one; a share of the higher one."""
        closes = self.equity[SESSION_MINUTES - 1 :: SESSION_MINUTES]
        return deepest(np.concatenate((np.array([self.opening], np.int64), closes))).depth

    @property
    def traded_symbols(self) -> tuple[str, ...]:
        """The symbols of which a bar came."""
        return tuple(one for one in self.symbols if one not in set(self.left_out))

    @property
    def net(self) -> Units:
        """Int64 [finished trades]: what each brought, less what it cost and its fees."""
        return net_profits(self.trades.finished)

    def record(self, benchmark: Benchmark | None = None) -> TrackRecord:
        """The run as statistics read it. What is held counts at its marks, so it is what equity has over cash."""
        return TrackRecord(
            sessions=self.sessions,
            opening=self.opening,
            equity=self.equity,
            gross=self.equity - self.cash,
            trades=self.trades.finished,
            strategies=self.strategies,
            symbols=self.symbols,
            traded=self.tally.traded,
            fees=self.tally.fees,
            reasons=REASONS,
            benchmark=benchmark,
        )


def moments(sessions: Sequence[Session], bars: Units) -> npt.NDArray[np.datetime64]:
    """The start of each bar, UTC, to the second."""
    opens = np.array([int(session.open.timestamp()) for session in sessions], np.int64)
    session, minute = np.divmod(np.asarray(bars, np.int64), SESSION_MINUTES)
    return np.asarray(opens[session] + 60 * minute).astype("datetime64[s]")
