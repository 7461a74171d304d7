"""Returns of an account or a price, session by session, and the ratios that are made of them.

The ratios are those of the package empyrical, which has its one home here: 252 sessions a year, a risk-free rate of 0,
sample deviations (n - 1), the downside deviation over all sessions (Sortino and Price, 1994). What is not defined
(too few sessions, no volatility, nothing lost) is None, never nan or infinite. Monthly returns belong here too; what
trades and holdings say is in `round_trips` and `exposure`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from trading_platform.performance.drawdown import deepest

Returns = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnFigures:
    """What a curve by session came to. Returns and deviations are shares: 0.05 is 5 %.

    Attributes:
        total_return: Last value over the first, less 1.
        annual_return: The same growth over 252 sessions, compounded.
        volatility: Deviation of the sessions' returns, times the root of 252.
        sharpe: Mean return over its deviation, times the root of 252.
        sortino: Mean return over the downside deviation, times the root of 252.
        calmar: Annual return over the deepest drawdown.
        max_drawdown: The deepest fall from a session's close (or the opening value) to a later one, not negative.
        drawdown_peak: The session after whose close it began; None: it began before the first, or there was none.
        drawdown_trough: The session with its lowest close; None: there was no fall.
        drawdown_recovered: The session that closed at the peak again; None: it did not, or there was no fall.
        drawdown_sessions: Sessions from its peak to the recovery, or to the end.
        longest_drawdown_sessions: The same of the longest drawdown, which may be another one.
        best_session: The highest return of one session.
        worst_session: The lowest.
    """

    total_return: float
    annual_return: float | None
    volatility: float | None
    sharpe: float | None
    sortino: float | None
    calmar: float | None
    max_drawdown: float
    drawdown_peak: date | None
    drawdown_trough: date | None
    drawdown_recovered: date | None
    drawdown_sessions: int
    longest_drawdown_sessions: int
    best_session: float | None
    worst_session: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RelativeFigures:
    """An account beside its benchmark, from their returns by session.

    Attributes:
        beta: Covariance with the benchmark over the benchmark's variance.
        alpha: Mean of what the return exceeds beta times the benchmark's by, compounded over 252 sessions; a share.
        correlation: Pearson's, -1 to 1.
        excess_return: The account's total return less the benchmark's; a share.
    """

    beta: float | None
    alpha: float | None
    correlation: float | None
    excess_return: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthlyReturn:
    """A calendar month's return, a share; None where nothing was left to lose. The first and last may be parts of one."""

    year: int
    month: int
    total_return: float | None


def session_returns(curve: npt.NDArray[Any]) -> Returns | None:
    """Each session's close over the one before, less 1: [n] of a curve [1 + n]; None where the account was ruined.

    An equity of 0 or less has no return after it.
    """
    if np.any(curve <= 0):
        return None
    return np.asarray(curve[1:] / curve[:-1] - 1.0, np.float64)


def return_figures(days: Sequence[date], curve: npt.NDArray[Any]) -> ReturnFigures:
    """The figures of a curve by session.

    Args:
        days: The sessions, n.
        curve: [1 + n], the value before the first session, which is positive, and at each session's close.
    """
    fall = deepest(curve)
    fell = fall.depth > 0
    end = fall.recovered if fall.recovered is not None else len(days)
    found = session_returns(curve)
    return ReturnFigures(
        total_return=float(curve[-1] / curve[0] - 1.0),
        **_ratios(found),
        max_drawdown=fall.depth,
        drawdown_peak=days[fall.peak - 1] if fell and fall.peak else None,
        drawdown_trough=days[fall.trough - 1] if fell else None,
        drawdown_recovered=days[fall.recovered - 1] if fell and fall.recovered is not None else None,
        drawdown_sessions=end - fall.peak if fell else 0,
        longest_drawdown_sessions=fall.longest,
        best_session=float(found.max()) if found is not None else None,
        worst_session=float(found.min()) if found is not None else None,
    )


def relative_figures(account: npt.NDArray[Any], benchmark: npt.NDArray[Any]) -> RelativeFigures:
    """An account beside a benchmark; both curves are [1 + n] by session."""
    excess = float(account[-1] / account[0] - benchmark[-1] / benchmark[0])
    own, other = session_returns(account), session_returns(benchmark)
    # Equal returns have no variance, whatever is left of it by rounding.
    if own is None or other is None or own.size < 2 or other.max() == other.min():
        return RelativeFigures(beta=None, alpha=None, correlation=None, excess_return=excess)
    import empyrical

    return RelativeFigures(
        beta=_defined(lambda: empyrical.beta_aligned(own, other)),
        alpha=_defined(lambda: empyrical.alpha_aligned(own, other)),
        correlation=_defined(lambda: np.corrcoef(own, other)[0, 1]) if own.max() > own.min() else None,
        excess_return=excess,
    )


def monthly_returns(days: Sequence[date], curve: npt.NDArray[Any]) -> tuple[MonthlyReturn, ...]:
    """The return of each calendar month that has a session: its last close over the last one before it, less 1."""
    months = [(day.year, day.month) for day in days]
    lasts = [place for place, month in enumerate(months, 1) if place == len(months) or months[place] != month]
    begins = [0, *lasts[:-1]]
    return tuple(
        MonthlyReturn(
            year=months[last - 1][0],
            month=months[last - 1][1],
            total_return=float(curve[last] / curve[first] - 1.0) if curve[first] > 0 else None,
        )
        for first, last in zip(begins, lasts, strict=True)
    )


def _ratios(returns: Returns | None) -> dict[str, float | None]:
    names = ("annual_return", "volatility", "sharpe", "sortino", "calmar")
    if returns is None or returns.size < 2:
        return dict.fromkeys(names)
    import empyrical

    formulas: tuple[Callable[[Returns], float], ...] = (
        empyrical.annual_return,
        empyrical.annual_volatility,
        empyrical.sharpe_ratio,
        empyrical.sortino_ratio,
        empyrical.calmar_ratio,
    )
    return {name: _defined(partial(formula, returns)) for name, formula in zip(names, formulas, strict=True)}


def _defined(formula: Callable[[], float]) -> float | None:
    """What a formula comes to; None where that is no finite number."""
    try:
        with np.errstate(all="ignore"):
            value = float(formula())
    except OverflowError:
        return None
    return value if math.isfinite(value) else None
