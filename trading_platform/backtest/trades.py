"""The trades of a backtest, as the statistics read them: what was entered, what it cost and brought, and why it left."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trading_platform.backtest.loop.kinds import EXIT, STOP, TARGET
from trading_platform.backtest.loop.round_trips import BY_CORPORATE_ACTION, fold_round_trips
from trading_platform.backtest.results import PassResult
from trading_platform.domain.compiled import as_records, empty_records
from trading_platform.domain.decisions import ExitCause
from trading_platform.performance.track_record import CAUSES, trade_t

REASONS: Final[Mapping[int, str]] = MappingProxyType({**CAUSES, BY_CORPORATE_ACTION: "corporate action"})
"""What a trade's reason is called. A resting stop is a stop, a resting target a target."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RoundTrips:
    """Trades in the order in which they began, `trade_t`: `finished` ones, and those that still hold something."""

    finished: npt.NDArray[Any]
    unfinished: npt.NDArray[Any]


def round_trips(results: Sequence[PassResult], *, strategies: int, symbols: int) -> RoundTrips:
    """Fold the executions of consecutive blocks, from the run's first, into trades.

    Args:
        results: The blocks, oldest first.
        strategies: How many strategies traded.
        symbols: How many symbols.
    """
    executions = _together([one.executions for one in results])
    adjustments = _together([one.adjustments for one in results])
    causes = np.concatenate([np.zeros(0, np.int64), *(_causes(one) for one in results)])
    trades, held = empty_records(executions.size, trade_t), np.zeros(executions.size, np.int64)
    places = np.zeros((strategies, symbols), np.int64)
    count = fold_round_trips(executions, causes, adjustments, places, trades, held)
    found = np.asarray(trades).view(np.ndarray)[:count]
    done = held[:count] == 0
    if done.all():
        return RoundTrips(finished=found, unfinished=found[:0])
    return RoundTrips(finished=found[done], unfinished=found[~done])


def _together(records: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    whole = np.concatenate([np.asarray(one).view(np.ndarray) for one in records])
    return as_records(whole)


def _causes(result: PassResult) -> npt.NDArray[np.int64]:
    """Why each execution of a block that sells was made; an order of an earlier block is never open in a later one."""
    kinds = np.asarray(result.executions["kind"])
    causes = np.zeros(kinds.size, np.int64)
    causes[kinds == STOP] = ExitCause.STOP
    causes[kinds == TARGET] = ExitCause.TARGET
    sold = kinds == EXIT
    decided = result.sent["decision"][result.executions["sent"][sold] - result.first_sent] - result.first_decision
    causes[sold] = result.decisions["reason"][decided]
    return causes
