"""vectorbt beside this platform: the same strategy by whole arrays, filled by its Rust engine. Run with its own Python.

    PYTHON vectorbt_peer.py FOLDER [STOPS TARGETS]

It reads the columns that lie in the folder, says `ready VERSION`, and for each line that it is sent runs once and answers
with the seconds of the run, the number of trades and what they brought in cents. With stops and targets, percents
separated by commas, each run is a sweep over all pairs of them.

Orders fill at the open after the signal. vectorbt fills on the bar of the signal, so entries and exits are moved on by
one bar, and the bar that stops are looked for on is made of the close before.
"""

import importlib.metadata
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import vectorbt
from market import MINUTES, load
from vectorbt.portfolio.enums import StopEntryPrice, StopExitPrice

CLOSES_BELOW, WINDOW, MULTIPLE = 5, 20, 1.5


def signals(columns: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Entries and exits on the bar that gives them, [bars, symbols]; columns are [bars, symbols]."""
    bars, symbols = columns["close"].shape
    by_session = {name: column.reshape(bars // MINUTES, MINUTES, symbols) for name, column in columns.items()}
    close, volume = by_session["close"], by_session["volume"]
    typical = (by_session["high"] + by_session["low"] + close) / 3.0
    volume_so_far = np.cumsum(volume, axis=1)
    vwap = np.cumsum(typical * volume, axis=1) / volume_so_far
    below = close < vwap
    long_below = np.zeros_like(below)
    long_below[:, CLOSES_BELOW:] = below[:, : MINUTES - CLOSES_BELOW]
    for back in range(1, CLOSES_BELOW):
        long_below[:, CLOSES_BELOW:] &= below[:, back : MINUTES - CLOSES_BELOW + back]
    before = np.zeros_like(close)
    before[:, WINDOW] = volume_so_far[:, WINDOW - 1]
    before[:, WINDOW + 1 :] = volume_so_far[:, WINDOW:-1] - volume_so_far[:, : MINUTES - WINDOW - 1]
    entries = (close > vwap) & long_below & (volume * WINDOW > MULTIPLE * before)
    entries[:, :WINDOW] = False
    entries[:, MINUTES - 2 :] = False
    below[:, MINUTES - 2] = True
    return entries.reshape(bars, symbols), below.reshape(bars, symbols)


def moved_on(array: np.ndarray, first: float) -> np.ndarray:
    moved = np.empty_like(array)
    moved[0] = first
    moved[1:] = array[:-1]
    return moved


def run(columns: dict[str, np.ndarray], stops: np.ndarray, targets: np.ndarray) -> Any:
    """The orders of one run: of every symbol, or for one symbol of every pair of stop and target."""
    entries, exits = signals(columns)
    before = moved_on(columns["close"], np.nan)
    close = columns["close"]
    if stops.size > 1:
        close, before = (np.broadcast_to(array, (len(array), stops.size)) for array in (close, before))
    portfolio = vectorbt.Portfolio.from_signals(
        close,
        entries=moved_on(entries, first=False),
        exits=moved_on(exits, first=False),
        price=columns["open"],
        size=100.0,
        open=before,
        high=before,
        low=before,
        sl_stop=stops[np.newaxis],
        tp_stop=targets[np.newaxis],
        stop_entry_price=StopEntryPrice.FillPrice,
        stop_exit_price=StopExitPrice.Price,
        direction="longonly",
        init_cash=1e9,
        freq="1min",
        engine="rust",
    )
    return portfolio.order_records


def main() -> None:
    made = load(Path(sys.argv[1]))
    columns = {name: np.ascontiguousarray(one.reshape(one.shape[0], -1).T) for name, one in made.items()}
    stops, targets = np.array([0.01]), np.array([0.02])
    if len(sys.argv) > 2:
        lists = [np.array(text.split(","), float) / 100 for text in sys.argv[2:4]]
        stops, targets = np.repeat(lists[0], lists[1].size), np.tile(lists[1], lists[0].size)
    run({name: column[:MINUTES, :2].copy() for name, column in columns.items()}, stops[:1], targets[:1])
    version = importlib.metadata.version("vectorbt"), importlib.metadata.version("vectorbt-rust")
    print("ready vectorbt {} with vectorbt-rust {}".format(*version), flush=True)
    for _ in sys.stdin:
        begun = time.perf_counter()
        orders = run(columns, stops, targets)
        seconds = time.perf_counter() - begun
        signs = np.where(orders["side"] == 0, -1, 1)
        cents = int(np.round(np.round(orders["price"] * 100) * signs * orders["size"]).sum())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(seconds, len(orders) // 2, cents, peak, flush=True)


if __name__ == "__main__":
    main()
