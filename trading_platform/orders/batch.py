"""A batch of calls to the brokers: what is sent together, and what has to be known of it while it is sent.

Here belong the looks at what was decided with what is sent: the other legs of an entry, which are at one broker, and the
changes that an exit waits for. Everything is read from the ledger, once, before the first call; nothing is sent or
recorded here (`outbox`).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from trading_platform.domain.fills import Position
from trading_platform.domain.ids import intent_id
from trading_platform.domain.orders import IntentKind, Order, OrderIntent, OrderState, OrderStatus
from trading_platform.ledger.ledger import Ledger
from trading_platform.orders.conservation import Change
from trading_platform.orders.routing import Key

_Decided = tuple[datetime, str, str]
"""What orders and changes have in common that were decided together: bar, strategy and symbol."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call to a broker: the intents that its answer is about, what is attached last, and what goes out."""

    intents: tuple[OrderIntent, ...]
    goes_out: Order | Change

    @property
    def intent(self) -> OrderIntent:
        """What is not attached to anything."""
        return self.intents[0]

    @property
    def key(self) -> Key:
        """Its strategy and symbol."""
        return self.intent.strategy, self.intent.symbol


class Batch:
    """What is known of the intents that are being sent, of what they act on, and of what was decided with them.

    `doubtful` may have left before, and may still arrive.
    """

    def __init__(
        self, ledger: Ledger, calls: Sequence[Call], doubtful: Collection[str], decided_with: Iterable[OrderIntent]
    ) -> None:
        self._ledger = ledger
        self._calls = {call.intent.id for call in calls}
        self._decided_with: dict[_Decided, list[OrderIntent]] = {}
        for one in decided_with:
            self._decided_with.setdefault(_decided(one), []).append(one)
        siblings = [one for call in calls for one in self._decided_with.get(_decided(call.intent), ())]
        names = {one.id for call in calls for one in call.intents} | {one.id for one in siblings}
        names |= {call.goes_out.target for call in calls if isinstance(call.goes_out, Change)}
        names |= {one.target for one in siblings if one.target is not None}
        self.statuses: Mapping[str, OrderStatus] = ledger.orders_by_id(sorted(names))
        self.doubtful = frozenset(doubtful)
        self.pending: dict[str, OrderState] = {}
        """Orders that wait for a change of theirs, and how that is called."""
        self.withheld: set[str] = set()
        """What does not go out after all."""
        self._homes: dict[str, str] = {}

    def note_home(self, entry: OrderIntent, venue: str) -> None:
        """Note that a broker has an entry, or may have it."""
        self._homes[entry.id] = venue

    def home(self, entry: OrderIntent) -> str | None:
        """The broker that has another leg of the same entry, or may have it: one holding is at one broker."""
        for name in _legs(entry, self._decided_with.get(_decided(entry), ())):
            home = self._homes.get(name) or _whereabouts(self.statuses.get(name))
            if home is not None:
                return home
        return None

    def reductions(self, sale: OrderIntent) -> tuple[OrderStatus, ...]:
        """The reductions that were decided with an exit and are not sent with it, the last attempt at each stop."""
        newest: dict[str | None, OrderIntent] = {}
        for one in self._decided_with.get(_decided(sale), ()):
            if one.kind is IntentKind.REDUCE and one.attempt >= newest.get(one.target, one).attempt:
                newest[one.target] = one
        return tuple(self.statuses[one.id] for one in newest.values() if one.id not in self._calls)

    def target_beside(self, stop: OrderIntent) -> OrderStatus | None:
        """The target that is attached to the same entry as a stop, if there is one."""
        if stop.parent is None:
            return None
        name = _name_of(stop, IntentKind.TARGET, stop.leg)
        return self._ledger.orders_by_id([name]).get(name)

    @cached_property
    def positions(self) -> Mapping[Key, Position]:
        """The book's holdings, read once they are asked for."""
        return self._ledger.holdings().positions


def reduced_before(calls: Sequence[tuple[Call, str]], batch: Batch) -> dict[Key, list[OrderStatus]]:
    """By strategy and symbol, the stops in front of exits that an earlier run has reduced."""
    found: dict[Key, list[OrderStatus]] = {}
    for call, _ in calls:
        if call.intent.kind is IntentKind.EXIT:
            targets = (one.intent.target for one in batch.reductions(call.intent))
            stops = (batch.statuses.get(name) for name in targets if name is not None)
            found.setdefault(call.key, []).extend(stop for stop in stops if stop is not None)
    return found


def exits_after(calls: Sequence[tuple[Call, str]], change: Call, batch: Batch) -> list[Call]:
    """The exits of the same strategy and symbol among these calls that are still to go out."""
    return [
        call
        for call, _ in calls
        if call.intent.kind is IntentKind.EXIT and call.key == change.key
        if call.intent.id not in batch.withheld
    ]


def changed_by(call: Call, batch: Batch) -> OrderStatus | None:
    """The order that a call changes, as it stood before; None for a new order."""
    return batch.statuses.get(call.goes_out.target) if isinstance(call.goes_out, Change) else None


def _decided(intent: OrderIntent) -> _Decided:
    return intent.bar_time, intent.strategy, intent.symbol


def _legs(entry: OrderIntent, decided_with: Iterable[OrderIntent]) -> list[str]:
    """The names of the other orders of the same entry."""
    return [one.id for one in decided_with if one.kind is IntentKind.ENTRY and one.id != entry.id]


def _whereabouts(status: OrderStatus | None) -> str | None:
    """The broker that has an order or what it bought, or may have it; None: nobody has it.

    One that an earlier run was about to send may have left.
    """
    if status is None or status.state is OrderState.INTENDED or (status.state.is_final and not status.filled):
        return None
    return status.venue


def _name_of(intent: OrderIntent, kind: IntentKind, leg: int) -> str:
    """The name of an order of the same decision that is never tried again."""
    return intent_id(
        book=intent.book,
        strategy=intent.strategy,
        symbol=intent.symbol,
        bar_time=intent.bar_time,
        kind=kind.value,
        leg=leg,
        attempt=0,
    )
