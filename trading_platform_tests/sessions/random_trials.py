"""Random markets and accounts for `backtests`: a few short sessions of a few symbols, and whims that trade them.

The bars have holes and halts, gaps over stops and targets, and so little volume that orders fill in pieces; sessions end
early; strategies want the same symbols; limits are wide, tight, or trip.
"""

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import numpy as np

from trading_platform_tests.sessions.backtests import Trial
from trading_platform_tests.sessions.tape import DAY, write_tape
from trading_platform_tests.sessions.whims import random_plan, random_sizing, whim

SYMBOLS: Final = ("AAA", "BBB", "CCC", "DDD", "EEE")


def random_trial(seed: int, folder: Path) -> Trial:
    """The trial of that number; its bars are written into `folder`."""
    rng = np.random.default_rng(seed)
    days = tuple(DAY + timedelta(days=number) for number in range(int(rng.integers(2, 4))))
    minutes = int(rng.integers(16, 40))
    short = {days[-1]: int(rng.integers(12, minutes))} if rng.random() < 0.6 else {}
    for day, text in _tapes(rng, days, {day: short.get(day, minutes) for day in days}).items():
        write_tape(folder, text, day)
    # Whoever says little holds for long, and comes into quiet stretches.
    calm = bool(rng.random() < 0.5)
    strategies = tuple(
        whim(
            f"whim{number}",
            random_plan(rng),
            random_sizing(rng),
            seed=int(rng.integers(0, 10**6)),
            entries=int(rng.integers(30, 90) if calm else rng.integers(50, 400)),
            exits=int(rng.integers(0, 12) if calm else rng.integers(0, 150)),
            faults=int(rng.random() < 0.25) * int(rng.integers(1, 60)),
            stop_cents=int(rng.integers(60, 200) if calm else rng.integers(3, 60)),
        )
        for number in range(int(rng.integers(1, 4)))
    )
    return Trial(
        bars=folder,
        symbols=SYMBOLS,
        days=days,
        strategies=strategies,
        limits=_limits(rng),
        execution={
            "fees": str(rng.choice(["ibkr_fixed", "alpaca"])),
            "slippage_bps": int(rng.integers(0, 20)),
            "volume_share_pct": str(int(rng.integers(1, 60))),
        },
        minutes=minutes,
        short=short,
        cash=Decimal(int(rng.choice([4_000, 20_000, 100_000]))),
    )


def _limits(rng: np.random.Generator) -> dict[str, Any]:
    limits: dict[str, Any] = {
        "closing_minutes": int(rng.integers(1, 4)),
        "max_adv_share_pct": "100",
        "max_minute_volume_pct": "2000" if rng.random() < 0.7 else "50",
    }
    loss = rng.random()
    if loss < 0.3:
        limits |= {"max_daily_loss_pct": "0.05", "max_strategy_daily_loss_pct": "0.03"}
    elif loss < 0.5:
        limits |= {"max_drawdown_pct": "0.08"}
    elif loss < 0.8:
        limits |= {"max_strategy_daily_loss_pct": "5"}
    room = rng.random()
    if room < 0.3:
        limits |= {"max_positions": 2}
    elif room < 0.7:
        limits |= {"max_positions": 20, "max_orders_per_second": 100, "max_orders_per_minute": 100}
    tight: dict[str, Any] = {
        "max_orders_per_day": 30,
        "max_entries_per_day": 2,
        "max_open_orders": 4,
        "max_order_age_minutes": 1,
        "restricted_symbols": ("BBB",),
        "lot": 10,
    }
    limits |= {name: value for name, value in tight.items() if rng.random() < 0.25}
    money = rng.random()
    if money < 0.2:
        limits |= {"max_gross_exposure_pct": "30"}
        limits |= {f"price_collar{price}_pct": "0.1" for price in ("", "_mid", "_low")}
    elif money < 0.6:
        limits |= {
            "max_position_size_pct": "100",
            "buying_power_pct": "100",
            "max_order_notional": "1000000",
            "max_gross_exposure_pct": "1000",
            "max_net_exposure_pct": "1000",
            "max_leverage": "10",
        }
    return limits


def _tapes(rng: np.random.Generator, days: tuple[date, ...], minutes: dict[date, int]) -> dict[date, str]:
    prices = {symbol: float(rng.integers(800, 6_000)) / 100 for symbol in SYMBOLS}
    tapes = {}
    for day in days:
        lines: list[str] = []
        for symbol in SYMBOLS:
            halted = range(0)
            if rng.random() < 0.4:
                since = int(rng.integers(2, minutes[day]))
                halted = range(since, since + int(rng.integers(1, 9)))
            for minute in range(minutes[day]):
                if minute in halted or rng.random() < 0.08:
                    continue
                bar, prices[symbol] = _bar(rng, prices[symbol])
                lines.append(f"{symbol} {minute} {bar}")
        tapes[day] = "\n".join(lines)
    return tapes


def _bar(rng: np.random.Generator, price: float) -> tuple[str, float]:
    opens = max(2.0, price + int(rng.integers(-6, 7)) / 100)
    if rng.random() < 0.03:
        opens = max(2.0, opens + int(rng.integers(-40, 41)) / 100)
    closes = max(2.0, opens + int(rng.integers(-12, 13)) / 100)
    high = max(opens, closes) + int(rng.integers(0, 8)) / 100
    low = min(opens, closes) - int(rng.integers(0, 8)) / 100
    volume = int(rng.integers(0, 4_000)) if rng.random() < 0.8 else int(rng.integers(0, 300))
    return f"{opens:.2f} {high:.2f} {low:.2f} {closes:.2f} {volume}", closes
