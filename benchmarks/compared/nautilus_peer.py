"""nautilus_trader beside this platform: the same strategy on its event-driven engine. Run with its own Python.

    PYTHON nautilus_peer.py FOLDER

It reads the columns that lie in the folder, says `ready VERSION`, and for each line that it is sent runs once and answers
with the seconds of the engine's run, the number of trades, what they brought in cents, and its peak memory in kB. Making
the engine and its events is not in these seconds.

An order fills at the open after its signal: each bar's open comes as a trade of its own, one second into the minute, and
orders take longer than that to arrive. The trade of a second instrument, which nobody holds, comes when they have.
Its logging and its risk engine are switched off, which is in its favour.
"""

import resource
import sys
import time
from pathlib import Path
from typing import Any

import nautilus_trader
from market import MINUTES, load
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.backtest.models import LatencyModel
from nautilus_trader.config import LoggingConfig, RiskEngineConfig
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.data import Bar, BarType, TradeTick
from nautilus_trader.model.enums import AccountType, AggressorSide, OmsType, OrderSide
from nautilus_trader.model.identifiers import InstrumentId, Symbol, TradeId, TraderId, Venue
from nautilus_trader.model.instruments import Equity
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.trading.strategy import Strategy

VENUE = Venue("XNAS")
SECOND = 1_000_000_000
FIRST_OPEN = 1_641_220_200 * SECOND
SHARES = Quantity.from_int(100)


class Reclaim:
    """The strategy for one symbol. `paid` is what its position cost a share; None without one."""

    __slots__ = ("below", "minute", "paid", "price_volume", "volume", "volumes", "window")

    def __init__(self) -> None:
        self.paid: float | None = None
        self.begin()

    def begin(self) -> None:
        self.minute = self.below = 0
        self.price_volume = self.volume = self.window = 0.0
        self.volumes = [0.0] * 20

    def order_after(self, high: float, low: float, close: float, volume: float) -> int:
        """1: buy, -1: sell, 0: nothing, each at the next open."""
        if self.minute == MINUTES:
            self.begin()
        minute = self.minute
        self.price_volume += (high + low + close) / 3.0 * volume
        self.volume += volume
        vwap = self.price_volume / self.volume
        order = 0
        if self.paid is not None:
            if close < vwap or close <= self.paid * 0.99 or close >= self.paid * 1.02 or minute == MINUTES - 2:
                order = -1
        elif close > vwap and self.below >= 5 and 20 <= minute < MINUTES - 2 and volume * 20.0 > 1.5 * self.window:
            order = 1
        self.below = self.below + 1 if close < vwap else 0
        self.window += volume - self.volumes[minute % 20]
        self.volumes[minute % 20] = volume
        self.minute = minute + 1
        return order


class Trader(Strategy):
    def __init__(self, bar_types: list[BarType]) -> None:
        super().__init__()
        self.bar_types = bar_types
        self.trades = self.cents = 0

    def on_start(self) -> None:
        self.symbols = {bar_type.instrument_id: Reclaim() for bar_type in self.bar_types}
        for bar_type in self.bar_types:
            self.subscribe_bars(bar_type)

    def on_bar(self, bar: Bar) -> None:
        instrument = bar.bar_type.instrument_id
        one = self.symbols[instrument]
        order = one.order_after(
            bar.high.as_double(), bar.low.as_double(), bar.close.as_double(), bar.volume.as_double()
        )
        if order != 0:
            side = OrderSide.BUY if order > 0 else OrderSide.SELL
            self.submit_order(self.order_factory.market(instrument, side, SHARES))

    def on_order_filled(self, event: Any) -> None:
        one, price = self.symbols[event.instrument_id], event.last_px.as_double()
        if event.order_side == OrderSide.BUY:
            one.paid = price
        else:
            self.trades += 1
            self.cents += round((price - one.paid) * 100) * 100
            one.paid = None


def made(columns: dict[str, Any]) -> tuple[BacktestEngine, Trader]:
    """An engine with all its events, and the strategy in it."""
    engine = BacktestEngine(
        BacktestEngineConfig(
            trader_id=TraderId("T-001"),
            logging=LoggingConfig(bypass_logging=True),
            risk_engine=RiskEngineConfig(bypass=True),
            run_analysis=False,
        )
    )
    engine.add_venue(
        VENUE,
        OmsType.NETTING,
        AccountType.MARGIN,
        base_currency=USD,
        starting_balances=[Money(1e9, USD)],
        bar_execution=False,
        latency_model=LatencyModel(base_latency_nanos=SECOND * 3 // 2),
    )
    symbols, sessions, _ = columns["close"].shape
    starts = [
        FIRST_OPEN + (86_400 * session + 60 * minute) * SECOND
        for session in range(sessions)
        for minute in range(MINUTES)
    ]
    bar_types, events = [], []
    for number in range(symbols):
        bar_type = BarType.from_str(f"{listed(engine, f'S{number:05}')}-1-MINUTE-LAST-EXTERNAL")
        bar_types.append(bar_type)
        events += events_of(bar_type, starts, [columns[name][number].ravel().tolist() for name in columns])
    beside = listed(engine, "BESIDE")
    events += [trade(beside, 1.0, start + 2 * SECOND) for start in starts]
    events.sort(key=lambda event: event.ts_init)
    engine.add_data(events, sort=True)
    trader = Trader(bar_types)
    engine.add_strategy(trader)
    return engine, trader


def listed(engine: BacktestEngine, name: str) -> InstrumentId:
    instrument = InstrumentId(Symbol(name), VENUE)
    engine.add_instrument(Equity(instrument, Symbol(name), USD, 2, Price.from_str("0.01"), Quantity.from_int(1), 0, 0))
    return instrument


def trade(instrument: InstrumentId, price: float, at: int) -> TradeTick:
    return TradeTick(
        instrument, Price(price, 2), Quantity.from_int(1_000), AggressorSide.BUYER, TradeId(str(at)), at, at
    )


def events_of(bar_type: BarType, starts: list[int], columns: list[list[float]]) -> list[Any]:
    events: list[Any] = []
    for start, opened, high, low, close, volume in zip(starts, *columns, strict=True):
        end = start + 60 * SECOND
        prices = (Price(price, 2) for price in (opened, high, low, close))
        events.append(Bar(bar_type, *prices, Quantity(volume, 0), end, end))
        events.append(trade(bar_type.instrument_id, opened, start + SECOND))
    return events


def main() -> None:
    columns = load(Path(sys.argv[1]))
    print(f"ready nautilus_trader {nautilus_trader.__version__}", flush=True)
    for _ in sys.stdin:
        engine, trader = made(columns)
        begun = time.perf_counter()
        engine.run()
        seconds = time.perf_counter() - begun
        print(seconds, trader.trades, trader.cents, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, flush=True)
        engine.dispose()


if __name__ == "__main__":
    main()
