"""How much of an account stood in the market, how much it traded, and what that cost.

Minutes outside a session do not count. Whether it paid is said by `returns` and `round_trips`.
"""

from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from trading_platform.domain.money import BASIS_POINTS, dollars_from_units
from trading_platform.performance.track_record import TrackRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class ExposureFigures:
    """Exposure, turnover and fees of a run.

    Attributes:
        time_in_market: Share of the minutes at whose end something was held.
        mean_exposure: Gross exposure over equity, the mean over all minutes; a share, above 1 on margin. None where the
            account was ruined, as for the next three.
        max_exposure: The highest of them.
        turnover: Value traded, purchases and sales added up, over the mean equity: how often the account was traded,
            each way counted. In times, of the whole run.
        turnover_a_session: The same over the number of sessions.
        traded: Dollars: that value.
        fees: Dollars: of all executions.
        fees_basis_points: Fees over the value traded; None where nothing was traded.
    """

    time_in_market: float
    mean_exposure: float | None
    max_exposure: float | None
    turnover: float | None
    turnover_a_session: float | None
    traded: Decimal
    fees: Decimal
    fees_basis_points: float | None


def exposure(record: TrackRecord) -> npt.NDArray[np.float64] | None:
    """float64 [sessions x 390]: gross exposure over equity at the end of each minute; None where there was no equity."""
    if np.any(record.equity <= 0):
        return None
    return np.asarray(record.gross / record.equity, np.float64)


def exposure_figures(record: TrackRecord) -> ExposureFigures:
    """Exposure, turnover and fees of a run."""
    within = record.traded_minutes
    shares = exposure(record)
    turnover = record.traded / float(record.equity[within].mean()) if shares is not None else None
    return ExposureFigures(
        time_in_market=float((record.gross[within] != 0).mean()),
        mean_exposure=float(shares[within].mean()) if shares is not None else None,
        max_exposure=float(shares[within].max()) if shares is not None else None,
        turnover=turnover,
        turnover_a_session=turnover / len(record.sessions) if turnover is not None else None,
        traded=dollars_from_units(record.traded),
        fees=dollars_from_units(record.fees),
        fees_basis_points=record.fees / record.traded * BASIS_POINTS if record.traded else None,
    )
