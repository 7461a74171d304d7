"""A market of one-minute bars for the local Alpaca: what a bar gives the orders of its book.

It follows what the paper exchange promises of a bar, as far as this book goes: market sales at the open, then stops (a
gap gives the open), then limit sales, then buys as they came, then the stops of what this bar bought; a target never
sells what was bought in the same bar; all fills take at most a tenth of the volume. There is no slippage and no fee. As
at Alpaca, and not at the paper exchange, legs work only once their entry has filled whole.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from trading_platform_tests.vendors.alpaca.alpaca_book import AlpacaBook, VenueOrder

SHARE_OF_VOLUME = 10


@dataclass(frozen=True, kw_only=True)
class MinuteBar:
    """One minute of trading in a symbol."""

    symbol: str
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: int

    def __post_init__(self) -> None:
        if not 0 < self.low <= min(self.open, self.close) <= max(self.open, self.close) <= self.high:
            raise ValueError(f"a bar of {self.symbol} has prices that cannot be: {self}")


class Minute:
    """One bar while it is traded through."""

    def __init__(self, book: AlpacaBook, bar: MinuteBar) -> None:
        self._book, self._bar = book, bar
        self._left = bar.volume // SHARE_OF_VOLUME
        self.fills = 0

    def trade(self) -> int:
        """Give the bar to the book, and return how many fills it made."""
        with self._book.lock:
            self._book.prices[self._bar.symbol] = self._bar.open
            there = self._working()
            sales, buys = [one for one in there if one.side == "sell"], [one for one in there if one.side == "buy"]
            for turn in (_at_market, self._stopped, self._limited):
                self._fill(sales, turn)
            for buy in buys:
                self._fill([buy], self._bought)
            # Of the legs that work since this bar, only the stops: what came before the purchase is not known.
            self._fill([one for one in self._working() if one not in there], self._stopped)
            self._book.prices[self._bar.symbol] = self._bar.close
        return self.fills

    def _working(self) -> list[VenueOrder]:
        return [one for one in self._book.live(self._bar.symbol) if one.status != "held"]

    def _fill(self, orders: list[VenueOrder], price_of: Callable[[VenueOrder, MinuteBar], Decimal | None]) -> None:
        for order in orders:
            price = price_of(order, self._bar) if order.left else None
            quantity = min(order.left, self._left)
            if price is not None and quantity:
                self._left -= quantity
                self.fills += 1
                self._book.fill(order, quantity, price)

    @staticmethod
    def _stopped(order: VenueOrder, bar: MinuteBar) -> Decimal | None:
        """The price of a sale by a stop: at the open beyond it, else at the stop."""
        if order.stop is None or bar.low > order.stop:
            return None
        order.triggered = True
        price = min(bar.open, order.stop)
        return price if order.limit is None or price >= order.limit else None

    @staticmethod
    def _limited(order: VenueOrder, bar: MinuteBar) -> Decimal | None:
        if order.limit is None or not (order.stop is None or order.triggered) or bar.high < order.limit:
            return None
        return max(bar.open, order.limit)

    @staticmethod
    def _bought(order: VenueOrder, bar: MinuteBar) -> Decimal | None:
        reached = bar.open
        if order.stop is not None and not order.triggered:
            if bar.high < order.stop:
                return None
            order.triggered, reached = True, max(bar.open, order.stop)
        if order.limit is None:
            return reached
        return None if bar.low > order.limit else min(reached, order.limit)


def _at_market(order: VenueOrder, bar: MinuteBar) -> Decimal | None:
    """A market sale, or the rest of a stop that an earlier bar has triggered."""
    return bar.open if order.limit is None and (order.stop is None or order.triggered) else None
