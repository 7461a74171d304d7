"""Records of runs: a small one from a few numbers, and one of any length that looks like a real account's."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final

import numpy as np

from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.calendars.sessions import Session
from trading_platform.domain.records import SESSION_MINUTES
from trading_platform.performance.track_record import Benchmark, TrackRecord, trade_t

DOLLAR: Final = 10_000
_SYMBOLS: Final = tuple(f"{first}{second}" for first in "ABCDEFG" for second in "KLMNOPQR")
_STRATEGIES: Final = ("gap_and_go", "vwap_reclaim")
_WINNERS: Final = 0.55


def sessions(*days: str) -> tuple[Session, ...]:
    """These days' sessions at the exchange."""
    calendar = ExchangeCalendar()
    return tuple(calendar.session(date.fromisoformat(day)) for day in days)


def sessions_from(first: str, count: int) -> tuple[Session, ...]:
    """So many sessions from a day on."""
    calendar = ExchangeCalendar()
    found = [calendar.session(date.fromisoformat(first))]
    while len(found) < count:
        found.append(calendar.next(found[-1].day))
    return tuple(found)


def trades(*rows: Mapping[str, float]) -> np.ndarray[Any, Any]:
    """Finished trades; amounts in dollars or parts of them, 100 shares where nothing is said."""
    made = np.zeros(len(rows), trade_t)
    made["quantity"] = 100
    for place, row in enumerate(rows):
        for name, value in row.items():
            made[place][name] = round(value * DOLLAR) if name in {"cost", "proceeds", "fees"} else value
    return made


def record(
    closes: Sequence[float],
    *,
    days: tuple[Session, ...] | None = None,
    finished: np.ndarray[Any, Any] | None = None,
    **changes: Any,
) -> TrackRecord:
    """An account of 100,000 dollars that stood at each of `closes` dollars all session long, holding nothing."""
    days = days or sessions_from("2024-06-03", len(closes))
    equity = np.repeat(np.round(np.array(closes) * DOLLAR).astype(np.int64), SESSION_MINUTES)
    given: dict[str, Any] = {
        "sessions": days,
        "opening": 100_000 * DOLLAR,
        "equity": equity,
        "gross": np.zeros_like(equity),
        "trades": trades() if finished is None else finished,
        "strategies": _STRATEGIES,
        "symbols": ("AAPL", "IBM", "SPY"),
        "traded": 0,
        "fees": 0,
    }
    return TrackRecord(**{**given, **changes})


def long_record(
    count: int = 250, *, first: str = "2023-06-01", seed: int = 1, trades_a_session: int = 6
) -> TrackRecord:
    """A run of many sessions with trades, holdings and a benchmark, drawn from a seed."""
    draw = np.random.default_rng(seed)
    days = sessions_from(first, count)
    slots = count * SESSION_MINUTES
    finished = _drawn_trades(draw, days, trades_a_session)
    steps = draw.normal(1.0, 120.0, slots) * DOLLAR / 10
    equity = (100_000 * DOLLAR + np.cumsum(steps)).astype(np.int64)
    held = np.zeros(slots, bool)
    for trade in finished:
        held[trade["entered"] : trade["left"]] = True
    gross = np.where(held, equity * draw.uniform(0.05, 0.6, slots), 0).astype(np.int64)
    market = np.asarray(450.0 * np.cumprod(1 + draw.normal(0.0004, 0.009, count)), np.float64)
    return TrackRecord(
        sessions=days,
        opening=100_000 * DOLLAR,
        equity=_after_half_days(equity, days),
        gross=gross,
        trades=finished,
        strategies=_STRATEGIES,
        symbols=_SYMBOLS,
        traded=int(finished["cost"].sum() + finished["proceeds"].sum()),
        fees=int(finished["fees"].sum()),
        benchmark=Benchmark(symbol="SPY", base=450.0, closes=market),
    )


def _drawn_trades(draw: np.random.Generator, days: tuple[Session, ...], a_session: int) -> np.ndarray[Any, Any]:
    size = len(days) * a_session
    made = np.zeros(size, trade_t)
    minute = np.minimum(draw.exponential(70, size).astype(np.int64), 200)
    made["entered"] = np.repeat(np.arange(len(days)), a_session) * SESSION_MINUTES + minute
    made["left"] = made["entered"] + np.minimum(draw.exponential(25, size).astype(np.int64), 209 - minute)
    made["strategy"] = draw.integers(0, len(_STRATEGIES), size)
    made["symbol"] = draw.integers(0, len(_SYMBOLS), size)
    made["quantity"] = draw.integers(1, 20, size) * 10
    made["cost"] = made["quantity"] * draw.integers(20 * DOLLAR, 300 * DOLLAR, size)
    gain = np.where(draw.random(size) < _WINNERS, draw.exponential(0.006, size), -draw.exponential(0.005, size))
    made["proceeds"] = made["cost"] + (made["cost"] * gain).astype(np.int64)
    made["fees"] = 2 * DOLLAR
    made["reason"] = draw.integers(1, 8, size)
    return made


def _after_half_days(values: np.ndarray[Any, Any], days: tuple[Session, ...]) -> np.ndarray[Any, Any]:
    """After a half day's close its last value stands."""
    by_session = values.reshape(len(days), SESSION_MINUTES)
    for row, session in zip(by_session, days, strict=True):
        row[session.minutes :] = row[session.minutes - 1]
    return values
