"""What a session's bars say, kept in the process from cycle to cycle: a cache, made again where it is not there.

A strategy that cannot go on is set aside here, whole and until the session ends, and is named in every cycle's report.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np

from trading_platform.calendars.sessions import EXCHANGE_ZONE, Session
from trading_platform.domain.errors import InvalidInput
from trading_platform.engine.seen_bars import recorded_bars
from trading_platform.engine.values import Evaluated, Fetched, Parts, Records
from trading_platform.marketdata.bars import step_bars
from trading_platform.marketdata.fetch import open_session
from trading_platform.portfolio.decide import DecisionDesk
from trading_platform.strategies.contract import Strategy
from trading_platform.strategies.set_aside import GuardedFold
from trading_platform.strategies.stand_in import stand_in

FAULTS_TO_SET_ASIDE: Final = 3
"""Symbols on which a strategy may fault before it is set aside whole."""


class SessionState:
    """What a session's bars say, kept in the process: the day records and the folded strategies."""

    def __init__(self, parts: Parts, session: Session) -> None:
        self.session = session
        self.days, self.problems = open_session(parts.provider, parts.calendar, parts.symbols, session)
        found = {strategy.name: _objection(strategy, session) for strategy in parts.strategies}
        self._unfit = {name: why for name, why in found.items() if why is not None}
        self.strategies = tuple(
            stand_in(strategy.name) if strategy.name in self._unfit else strategy for strategy in parts.strategies
        )
        self.desk = DecisionDesk(self.strategies, parts.limits, session, parts.routes.primary.capabilities)
        self._unloaded = parts.unloaded
        self._symbols = parts.symbols
        self._ledger = parts.ledger
        self._folds = tuple(GuardedFold(strategy, self.days) for strategy in self.strategies)
        self._folded: Records | None = None
        self._recorded: Records | None = None

    def evaluate(self, fetched: Fetched) -> Evaluated:
        """The outputs of the decided minute, and who is set aside. One step further, or a fold from the open."""
        bars, minute = fetched.bars, fetched.minute
        steps, present = step_bars(self.session, bars.bars), bars.bars["time"] != 0
        # A bar that came late for an earlier minute changes what a fold from the open gives: then it is folded anew.
        late = self._late(bars.bars[:, :minute])
        goes_on = late is not None and late == minute
        so_far, came = steps[:, : minute + 1], present[:, : minute + 1]
        outs = tuple(fold.take(so_far, came, next_only=goes_on) for fold in self._folds)
        self._folded = bars.bars[:, : minute + 1]
        return Evaluated(
            fetched=fetched,
            outs=outs,
            faults=tuple(self._faults()),
            first_new=minute if late is None else late,
        )

    def _late(self, before: Records) -> int | None:
        """The first minute that is not as it was folded, or how many were; None if nothing comparable was folded."""
        if self._folded is None or self._folded.shape[1] < before.shape[1]:
            return None
        changed = np.flatnonzero((self._folded[:, : before.shape[1]] != before).any(axis=0))
        return int(changed[0]) if len(changed) else before.shape[1]

    def seen(self, symbol: str) -> Records:
        """The session's bars of `symbol` as the minute before saw them: in this process, or as it was recorded."""
        bars = self._folded
        if bars is None:
            bars = self._recorded = (
                recorded_bars(self._ledger, self.session, self._symbols) if self._recorded is None else self._recorded
            )
        row: Records = bars[self._symbols.index(symbol)]
        came: Records = row[row["time"] != 0]
        return came

    def set_aside(self) -> tuple[int, ...]:
        """The strategies that are set aside whole, because they broke or faulted on several symbols."""
        return tuple(
            index
            for index, fold in enumerate(self._folds)
            if fold.broken is not None or len(fold.faults) >= FAULTS_TO_SET_ASIDE
        )

    def _faults(self) -> Iterator[str]:
        """Every strategy that is set aside by now, whole or for a symbol, and why."""
        yield from self._unloaded
        for name, why in self._unfit.items():
            yield f"{name} is set aside for this session: {why}"
        for strategy, fold in zip(self.strategies, self._folds, strict=True):
            if fold.broken is not None:
                yield f"{strategy.name} is set aside for this session: {fold.broken}"
            for fault in fold.faults:
                yield f"{strategy.name} on {self._symbols[fault.symbol]} from minute {fault.minute}: {fault.what}"
            if len(fold.faults) >= FAULTS_TO_SET_ASIDE:
                yield f"{strategy.name} enters no more in this session: it has failed on {len(fold.faults)} symbols"


def _objection(strategy: Strategy, session: Session) -> str | None:
    """Why the strategy's plan does not fit the session, or None. It would stop every strategy at the open."""
    try:
        strategy.plan_record(session_minutes=session.minutes, opens=session.open.astimezone(EXCHANGE_ZONE).time())
    except InvalidInput as error:
        return str(error)
    return None
