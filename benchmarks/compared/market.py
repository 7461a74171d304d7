"""The made-up market of the comparison: minute bars that are a fixed function of a seed, in four sizes.

Prices are whole cents and volumes whole shares, so that trades can be compared to the cent. Nothing but NumPy is needed,
so that engines in other environments make or read the same arrays.
"""

from pathlib import Path

import numpy as np

MINUTES = 390
SIZES = {"a": (1, 250), "b": (100, 20), "c": (1_000, 5), "d": (11_000, 1)}
"""Symbols and sessions of each."""
COLUMNS = ("open", "high", "low", "close", "volume")

_BASE_SEED = 20_240
_SHAPE = np.linspace(-1, 1, MINUTES) ** 2
_BUSY = 0.55 + 1.45 * _SHAPE
_WILD = 0.75 + 0.75 * _SHAPE


def make(size: str) -> dict[str, np.ndarray]:
    """The columns of one size, float64 [symbols, sessions, 390]."""
    symbols, sessions = SIZES[size]
    columns = {name: np.empty((symbols, sessions, MINUTES)) for name in COLUMNS}
    for symbol in range(symbols):
        rng = np.random.Generator(np.random.PCG64([_BASE_SEED + ord(size), symbol]))
        price = float(np.exp(rng.uniform(np.log(12), np.log(400))))
        wildness = rng.uniform(0.0005, 0.0014)
        usual = np.exp(rng.uniform(np.log(8_000), np.log(600_000)))
        for session in range(sessions):
            price = _session(rng, price, wildness, usual, {name: columns[name][symbol, session] for name in COLUMNS})
    return columns


def _session(
    rng: np.random.Generator, price: float, wildness: float, usual: float, into: dict[str, np.ndarray]
) -> float:
    """Write one session's bars; gives the last close before rounding."""
    price = max(5.0, price * np.exp(rng.normal(0, 0.012)))
    shocks = rng.standard_t(5, MINUTES) * 0.775
    closes = price * np.exp(np.cumsum(shocks * wildness * _WILD))
    opens = np.empty(MINUTES)
    opens[0] = price
    opens[1:] = closes[:-1] * np.exp(rng.normal(0, 0.15 * wildness, MINUTES - 1))
    highs = np.maximum(opens, closes) * np.exp(np.abs(rng.normal(0, 0.4 * wildness, MINUTES)))
    lows = np.minimum(opens, closes) * np.exp(-np.abs(rng.normal(0, 0.4 * wildness, MINUTES)))
    noise = rng.normal(0, 0.45, MINUTES) + 0.25 * np.abs(shocks)
    volumes = usual * _BUSY * np.exp(noise) * np.exp(rng.normal(0, 0.25))
    into["open"][:] = np.round(opens * 100) / 100
    into["close"][:] = np.round(closes * 100) / 100
    into["high"][:] = np.maximum(np.ceil(highs * 100) / 100, np.maximum(into["open"], into["close"]))
    into["low"][:] = np.minimum(np.floor(lows * 100) / 100, np.minimum(into["open"], into["close"]))
    into["volume"][:] = np.maximum(1_000.0, np.floor(volumes))
    return float(closes[-1])


def save(columns: dict[str, np.ndarray], folder: Path) -> None:
    for name, column in columns.items():
        np.save(folder / f"{name}.npy", column)


def load(folder: Path) -> dict[str, np.ndarray]:
    return {name: np.load(folder / f"{name}.npy") for name in COLUMNS}
