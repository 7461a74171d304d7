"""What tests of the ledger share: migrated databases with an open book, and makers of the values that it records."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from trading_platform.domain.decisions import Decision, DecisionKind, Rule, TradingMode, Verdict
from trading_platform.domain.ids import intent_id
from trading_platform.domain.orders import Execution, IntentKind, OrderIntent, OrderType, Side
from trading_platform.domain.reports import DataProblem
from trading_platform.domain.signals import ExitReason, Signal
from trading_platform.ledger.ledger import Ledger
from trading_platform.ledger.rows import CycleHeader, CycleRecord

BOOK = "paper"
SESSION = date(2013, 10, 9)
FIRST_BAR = datetime(2013, 10, 9, 13, 30, tzinfo=UTC)


class LedgerValues:
    """Makes plausible values; every field can be replaced."""

    book = BOOK
    session = SESSION

    @staticmethod
    def bar(minute: int) -> datetime:
        return FIRST_BAR + timedelta(minutes=minute)

    def cycle(self, minute: int, **more: Any) -> CycleRecord:
        bar_time = self.bar(minute)
        signals, decisions = more.pop("signals", ()), more.pop("decisions", ())
        header = CycleHeader(
            bar_time=bar_time,
            session=SESSION,
            bars=3,
            problems=(DataProblem(symbol="IBM", what="no bar", count=2),),
            owner="job",
            release="0.1.0",
            mode=TradingMode.NORMAL,
            equity=Decimal("100012.3456"),
            peak_equity=Decimal("100020.0001"),
            cash=Decimal("81234.5"),
            open_equity=Decimal(100_000),
            decided_at=bar_time + timedelta(minutes=1),
        )
        inputs = more.pop("inputs", b"\x00bars\xff")
        return CycleRecord(header=replace(header, **more), inputs=inputs, signals=signals, decisions=decisions)

    def signal(self, minute: int, symbol: str = "IBM", **more: Any) -> Signal:
        made = Signal(
            strategy="gap_and_go",
            symbol=symbol,
            bar_time=self.bar(minute),
            entry=True,
            exits=ExitReason.BELOW_VWAP | ExitReason.REVERSAL,
            setup=1,
            valid_bars=2,
            limit=0.1 + 0.2,
            stop=None,
            level1=182.03999999999999,
            level2=1e-300,
        )
        return replace(made, **more)

    def decision(self, minute: int, sequence: int = 0, symbol: str = "IBM", **more: Any) -> Decision:
        made = Decision(
            sequence=sequence,
            strategy="gap_and_go",
            symbol=symbol,
            bar_time=self.bar(minute),
            kind=DecisionKind.ENTER,
            leg=0,
            cause=None,
            verdict=Verdict.RESIZED,
            rule=Rule.POSITION_SIZE,
            measure=2500,
            limit=2000,
            quantity=109,
            price=Decimal("182.0400"),
            limit_price=Decimal("182.05"),
            stop_price=Decimal("180.0001"),
            valid_until=self.bar(minute + 2),
            setup=1,
        )
        return replace(made, **more)

    def intent(self, minute: int, symbol: str = "IBM", **more: Any) -> OrderIntent:
        kind: IntentKind = more.get("kind", IntentKind.ENTRY)
        strategy: str = more.get("strategy", "gap_and_go")
        bar_time, leg, attempt = self.bar(minute), more.get("leg", 0), more.get("attempt", 0)
        made = OrderIntent(
            id=intent_id(
                book=BOOK, strategy=strategy, symbol=symbol, bar_time=bar_time, kind=kind, leg=leg, attempt=attempt
            ),
            book=BOOK,
            strategy=strategy,
            symbol=symbol,
            bar_time=bar_time,
            kind=kind,
            leg=leg,
            attempt=attempt,
            side=Side.BUY if kind is IntentKind.ENTRY else Side.SELL,
            type=OrderType.MARKET,
            quantity=100,
        )
        return replace(made, **more)

    def execution(self, intent: OrderIntent, name: str, quantity: int, price: str, **more: Any) -> Execution:
        made = Execution(
            execution_id=name,
            broker_order_id=f"b-{intent.id[-4:]}",
            intent_id=intent.id,
            symbol=intent.symbol,
            side=intent.side,
            quantity=quantity,
            price=Decimal(price),
            fee=Decimal("1.00"),
            time=intent.bar_time + timedelta(minutes=1),
        )
        return replace(made, **more)


@pytest.fixture
def values() -> LedgerValues:
    return LedgerValues()


@pytest.fixture
def new_ledger(fresh_database: Callable[[], str]) -> Iterator[Callable[[], Ledger]]:
    """Makes the ledger of a book of 100,000 dollars with one open session, in a database of its own."""
    made: list[Ledger] = []

    def make() -> Ledger:
        ledger = Ledger(fresh_database(), book=BOOK)
        made.append(ledger)
        ledger.open_book(Decimal(100_000), FIRST_BAR)
        ledger.open_session(SESSION, {"max_positions": 5, "risk": 0.005}, FIRST_BAR)
        return ledger

    yield make
    for ledger in made:
        ledger.engine.dispose()


@pytest.fixture
def ledger(new_ledger: Callable[[], Ledger]) -> Ledger:
    return new_ledger()
