"""What one setting of a sweep came to: a few figures, counted block by block so that nothing of a block is held on to.

Belongs here: the figures, how they are counted, and the order of rows by one of them. All figures of one backtest are
`performance`'s; these are the same figures where they have the same name.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from trading_platform.backtest.loop.falls import follow_equity
from trading_platform.backtest.loop.round_trips import fold_round_trips
from trading_platform.backtest.results import PassResult
from trading_platform.config.names import did_you_mean
from trading_platform.domain.compiled import as_records, empty_records
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.money import dollars_to_the_cent
from trading_platform.domain.records import adjustment_t, execution_t
from trading_platform.performance.returns import session_returns
from trading_platform.performance.round_trips import net_profits
from trading_platform.performance.track_record import trade_t

_SESSIONS_A_YEAR: Final = 252


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Money is in units of 1/10,000 dollar.

    Attributes:
        profit: Equity at the end, less the opening cash.
        total_return: The same, a share of the opening cash.
        max_drawdown: The deepest fall of the equity by minute, a share of its highest point before it.
        sharpe: Mean return of a session over its deviation (of a sample), times the root of 252; None where that is not
            defined.
        trades: Finished round trips.
        hit_rate: Those with a net profit above 0, a share; None without trades.
        profit_factor: Net profits of winners over net losses of losers; None where nothing was lost.
        traded: The value of all executions, purchases and sales added up.
        fees: The fees of all executions.
        set_aside: Sessions of a symbol from a minute of which on the strategy was set aside.
    """

    profit: int
    total_return: float
    max_drawdown: float
    sharpe: float | None
    trades: int
    hit_rate: float | None
    profit_factor: float | None
    traded: int
    fees: int
    set_aside: int


RANKS: Final[Mapping[str, Callable[[Figures], float | None]]] = MappingProxyType(
    {
        "profit": lambda one: float(one.profit),
        "max_drawdown": lambda one: -one.max_drawdown,
        "sharpe": lambda one: one.sharpe,
        "hit_rate": lambda one: one.hit_rate,
        "profit_factor": lambda one: one.profit_factor,
        "trades": lambda one: float(one.trades),
    }
)
"""What rows can be ordered by, and of each what is better, the more of it there is."""


class _HasFigures(Protocol):
    @property
    def figures(self) -> Figures: ...


_Row = TypeVar("_Row", bound=_HasFigures)


def ranked(rows: Iterable[_Row], by: str) -> list[_Row]:
    """The rows, the best first, those without the figure last; equal ones stay as they stood.

    Raises:
        InvalidInput: There is no such figure.
    """
    if by not in RANKS:
        raise InvalidInput(
            f"rows cannot be ranked by {by!r}",
            where="ranking",
            mend=f"{did_you_mean(by, RANKS)} Known: {', '.join(RANKS)}".strip(),
        )

    def worth(row: _Row) -> float:
        value = RANKS[by](row.figures)
        return -math.inf if value is None else value

    return sorted(rows, key=worth, reverse=True)


def plain(figures: Figures) -> dict[str, Any]:
    """Figures as tables and JSON have them: dollars to the cent."""
    found = asdict(figures)
    return found | {name: dollars_to_the_cent(found[name]) for name in ("profit", "traded", "fees")}


class Tally:
    """Counts one account's blocks, oldest first.

    Args:
        opening: Its opening cash, units.
        symbols: How many symbols it trades.
    """

    def __init__(self, opening: int, symbols: int) -> None:
        self._opening, self._symbols = opening, symbols
        self._highest, self._deepest = opening, 0.0
        self._closes: list[npt.NDArray[Any]] = []
        self._open_executions = empty_records(0, execution_t)
        self._open_adjustments = empty_records(0, adjustment_t)
        self._won = self._lost = 0
        self._trades = self._winners = 0
        self._traded = self._fees = self._set_aside = 0

    def add(self, result: PassResult, set_aside: int) -> None:
        """One more block. Nothing of it is held on to but its closes and what is still held."""
        self._highest, self._deepest = follow_equity(result.equity, self._highest, self._deepest)
        self._closes.append(np.array(result.close_equity))
        executions = result.executions
        self._traded += int((executions["quantity"] * executions["price"]).sum())
        self._fees += int(executions["fee"].sum())
        self._set_aside += set_aside
        self._fold(result)

    def figures(self) -> Figures:
        """What the account came to so far."""
        curve = np.concatenate([np.array([self._opening], np.int64), *self._closes])
        return Figures(
            profit=int(curve[-1]) - self._opening,
            total_return=float(curve[-1] / curve[0] - 1.0),
            max_drawdown=self._deepest,
            sharpe=_sharpe(curve),
            trades=self._trades,
            hit_rate=self._winners / self._trades if self._trades else None,
            profit_factor=self._won / self._lost if self._lost else None,
            traded=self._traded,
            fees=self._fees,
            set_aside=self._set_aside,
        )

    def _fold(self, result: PassResult) -> None:
        """Count the trades that end in the block, and keep the executions of those that do not."""
        executions = _after(self._open_executions, result.executions)
        adjustments = _after(self._open_adjustments, result.adjustments)
        trades, held = empty_records(executions.size, trade_t), np.zeros(executions.size, np.int64)
        places = np.zeros((1, self._symbols), np.int64)
        count = fold_round_trips(executions, np.zeros(executions.size, np.int64), adjustments, places, trades, held)
        found = np.asarray(trades).view(np.ndarray)[:count]
        ended = held[:count] == 0
        net = net_profits(found[ended])
        self._trades += net.size
        self._winners += int((net > 0).sum())
        self._won += int(net[net > 0].sum())
        self._lost -= int(net[net < 0].sum())
        since = np.full(self._symbols, np.iinfo(np.int64).max)
        since[found["symbol"][~ended]] = found["entered"][~ended]
        self._open_executions = _still_open(executions, since)
        self._open_adjustments = _still_open(adjustments, since)


def _after(kept: npt.NDArray[Any], new: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if not kept.size:
        # Putting nothing before it takes longer than all else here.
        return as_records(np.array(np.asarray(new).view(np.ndarray)))
    return as_records(np.concatenate([np.asarray(one).view(np.ndarray) for one in (kept, new)]))


def _still_open(records: npt.NDArray[Any], since: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """Those of trades that are open, by the bar in which each symbol's began."""
    plain = np.asarray(records).view(np.ndarray)
    if not plain.size:
        return as_records(plain)
    return as_records(plain[plain["bar"] >= since[plain["symbol"]]])


def _sharpe(curve: npt.NDArray[Any]) -> float | None:
    """The Sharpe ratio of a curve by session at a risk-free rate of 0 (W. F. Sharpe, The Sharpe Ratio, 1994)."""
    returns = session_returns(curve)
    if returns is None or returns.size < 2:
        return None
    deviation = float(returns.std(ddof=1))
    return float(returns.mean()) / deviation * math.sqrt(_SESSIONS_A_YEAR) if deviation > 0 else None
