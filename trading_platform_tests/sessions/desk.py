"""A ledger and a venue at one moment of a session, with the book's shards taken: intents are made and sent by hand."""

from datetime import timedelta
from typing import Any

from trading_platform.bootstrap import Platform
from trading_platform.calendars.sessions import bar_time
from trading_platform.domain.ids import intent_id
from trading_platform.domain.orders import IntentKind, OrderEvent, OrderIntent, OrderState, OrderType, Side
from trading_platform.ledger.ownership import Lease
from trading_platform.orders.outbox import Outbox
from trading_platform.orders.routing import Routes
from trading_platform_tests.sessions.tape import DAY

SOON = timedelta(seconds=4)


class Desk:
    """At the tick of minute 1."""

    def __init__(self, platform: Platform, lease: Lease) -> None:
        self.platform, self.lease = platform, lease
        self.ledger, self.broker = platform.ledger, platform.broker

    def intent(self, kind: IntentKind, side: Side, symbol: str = "AAA", quantity: int = 10, **more: Any) -> OrderIntent:
        start = bar_time(self.platform.calendar.session(DAY), 1)
        leg = more.pop("leg", 0)
        return OrderIntent(
            id=intent_id(
                book=self.ledger.book, strategy="s", symbol=symbol, bar_time=start, kind=kind, leg=leg, attempt=0
            ),
            book=self.ledger.book,
            strategy="s",
            symbol=symbol,
            bar_time=start,
            kind=kind,
            leg=leg,
            attempt=0,
            side=side,
            type=more.pop("type", OrderType.MARKET),
            quantity=quantity,
            **more,
        )

    def commit(self, *intents: OrderIntent) -> None:
        self.ledger.record_intents(DAY, intents, self.lease.ownership)

    def send(self, *intents: OrderIntent, broker: Any = None, backup: Any = None, deadline: timedelta = SOON) -> int:
        """Commit the intents, then send them."""
        self.commit(*intents)
        return self.outbox(broker, deadline, backup=backup).send(intents, self.lease.ownership)

    def outbox(self, broker: Any = None, deadline: timedelta = SOON, *, backup: Any = None) -> Outbox:
        primary = broker or self.broker
        return Outbox(
            ledger=self.ledger,
            routes=Routes(brokers=(primary,) if backup is None else (primary, backup)),
            clock=self.platform.clock,
            calendar=self.platform.calendar,
            deadline=deadline,
        )

    def life(self, intent: OrderIntent) -> list[OrderState]:
        return [event.state for event in self.ledger.events(intent.id)]

    def last(self, intent: OrderIntent) -> OrderEvent:
        return self.ledger.events(intent.id)[-1]
