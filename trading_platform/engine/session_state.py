"""What a session's bars say, kept in the process from cycle to cycle: a cache, made again where it is not there."""

from typing import Final

import numpy as np

from trading_platform.calendars.sessions import Session
from trading_platform.engine.values import Evaluated, Fetched, Parts, Records
from trading_platform.marketdata.bars import step_bars
from trading_platform.marketdata.fetch import open_session
from trading_platform.portfolio.decide import DecisionDesk
from trading_platform.strategies.scan import SessionFold

FAULTS_TO_SET_ASIDE: Final = 3
"""Symbols on which a strategy may fault before it is set aside whole."""


class SessionState:
    """What a session's bars say, kept in the process: the day records and the folded strategies."""

    def __init__(self, parts: Parts, session: Session) -> None:
        self.session = session
        self.days, self.problems = open_session(parts.provider, parts.calendar, parts.symbols, session)
        self.desk = DecisionDesk(parts.strategies, parts.limits, session)
        self._names = tuple(strategy.name for strategy in parts.strategies)
        self._symbols = parts.symbols
        self._folds = tuple(SessionFold(strategy, self.days) for strategy in parts.strategies)
        self._folded: Records | None = None

    def evaluate(self, fetched: Fetched) -> Evaluated:
        """The outputs of the decided minute, and who is set aside. One step further, or a fold from the open."""
        bars, minute = fetched.bars, fetched.minute
        steps, present = step_bars(self.session, bars.bars), bars.bars["time"] != 0
        # A bar that came late for an earlier minute changes what a fold from the open gives: then it is folded anew.
        late = self._late(bars.bars[:, :minute])
        goes_on = late is not None and late == minute
        outs = tuple(
            fold.step(steps[:, minute], present[:, minute])
            if goes_on and fold.minute == minute
            else fold.catch_up(steps[:, : minute + 1], present[:, : minute + 1])
            for fold in self._folds
        )
        self._folded = bars.bars[:, : minute + 1]
        faults = tuple(
            f"{name} on {self._symbols[fault.symbol]} from minute {fault.minute}: {fault.what}"
            for name, fold in zip(self._names, self._folds, strict=True)
            for fault in fold.faults
        )
        return Evaluated(
            fetched=fetched,
            outs=tuple(out.copy() for out in outs),
            faults=faults,
            first_new=minute if late is None else late,
        )

    def _late(self, before: Records) -> int | None:
        """The first minute that is not as it was folded, or how many were; None if nothing comparable was folded."""
        if self._folded is None or self._folded.shape[1] < before.shape[1]:
            return None
        changed = np.flatnonzero((self._folded[:, : before.shape[1]] != before).any(axis=0))
        return int(changed[0]) if len(changed) else before.shape[1]

    def set_aside(self) -> tuple[int, ...]:
        """The strategies that are set aside whole, because they faulted on several symbols."""
        return tuple(index for index, fold in enumerate(self._folds) if len(fold.faults) >= FAULTS_TO_SET_ASIDE)
