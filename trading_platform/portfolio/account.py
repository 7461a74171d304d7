"""The account as the decision kernel sees it: from values of the ledger and the broker to flat records.

Nothing here remembers anything. What a holding has been through (its first fill, its scale-outs, its highest close) is
worked out anew each minute from fills, orders and bars, so that a process that has just started decides the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import numpy.typing as npt

from trading_platform.calendars.sessions import Session
from trading_platform.domain.compiled import empty_records
from trading_platform.domain.decisions import TradingMode
from trading_platform.domain.fills import Position
from trading_platform.domain.money import units_from_dollars
from trading_platform.domain.orders import BrokerOrder, IntentKind, OrderStatus
from trading_platform.domain.records import position_t
from trading_platform.marketdata.bars import SessionBars

Key = tuple[str, str]
"""Strategy and symbol."""

_MINUTE: Final = timedelta(minutes=1)
_OPEN_QUANTITIES: Final = (
    (IntentKind.ENTRY, "entering", "entry_orders"),
    (IntentKind.EXIT, "exiting", "exit_orders"),
    (IntentKind.STOP, "resting_stop", "stop_orders"),
    (IntentKind.TARGET, "resting_target", "target_orders"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrdersSent:
    """How many calls the broker has had: within the last second and minute, and in this session by strategy."""

    second: int = 0
    minute: int = 0
    session: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountView:
    """What is known of the account when a minute is decided.

    `orders` are this session's intents with their states; `broker_orders` the broker's open orders by intent id.
    `attempts` counts filled entries of this session. `baseline` is each strategy's result, after fees, before this
    session. `open_equity` is None in the session's first cycle: then it is the equity at the present marks.
    `entries_sent` counts entries of this session, filled or not, since a person last enabled their strategy and symbol;
    `disabled` are those that a person has to enable first. `decided_at` says when the bars of this session were
    decided, by their start; a bar that it leaves out counts as decided at its end. `flatten`: a person wants everything
    sold, and nothing entered any more in this session. `halted`: nothing is to be entered; exits go on. `told`: the
    newest command of a person that this takes account of, by its number; None where it was not looked for.
    `legs_wait_at` are the brokers at which what is attached to an entry waits for all of it to fill.
    """

    cash: Decimal
    positions: Mapping[Key, Position]
    orders: tuple[OrderStatus, ...]
    broker_orders: Mapping[str, BrokerOrder]
    attempts: Mapping[Key, int]
    mode: TradingMode = TradingMode.NORMAL
    open_equity: Decimal | None = None
    peak_equity: Decimal | None = None
    baseline: Mapping[str, Decimal] = field(default_factory=dict)
    frozen: frozenset[str] = frozenset()
    sent: OrdersSent = field(default_factory=OrdersSent)
    entries_sent: Mapping[Key, int] = field(default_factory=dict)
    disabled: frozenset[Key] = frozenset()
    decided_at: Mapping[datetime, datetime] = field(default_factory=dict)
    flatten: bool = False
    halted: bool = False
    told: int | None = None
    legs_wait_at: frozenset[str] = frozenset()

    @property
    def open_orders(self) -> int:
        """Orders that may still fill, attached stops and targets included, of whatever strategy and symbol."""
        return sum(status.intent.kind.is_order and not status.state.is_final for status in self.orders)


def position_records(
    account: AccountView, bars: SessionBars, minute: int, strategies: Sequence[str], spare: int
) -> npt.NDArray[Any]:
    """Records of `position_t` for all that is held, on order or protected, by (strategy order, symbol order).

    `spare` unused records follow, for entries to come. Holdings in symbols or strategies that this session does not
    trade are left out: `untraded` names them.
    """
    orders: dict[Key, list[OrderStatus]] = {}
    for status in account.orders:
        orders.setdefault((status.intent.strategy, status.intent.symbol), []).append(status)
    rows = {symbol: row for row, symbol in enumerate(bars.symbols)}
    live = sorted(
        (strategies.index(key[0]), rows[key[1]], key)
        for key in account.positions.keys() | orders.keys()
        if key[1] in rows and key[0] in strategies and _is_live(account.positions.get(key), orders.get(key, ()))
    )
    records = empty_records(len(live) + spare, position_t)
    for place, (strategy, row, key) in enumerate(live):
        record = records[place]
        record["strategy"], record["symbol"] = strategy, row
        _put_orders(record, account, bars.session, orders.get(key, []), account.positions.get(key))
        _put_holding(record, bars, minute, account.positions.get(key))
    return records


def untraded(account: AccountView, symbols: Sequence[str], strategies: Sequence[str]) -> tuple[Key, ...]:
    """Holdings that no strategy of this session looks after."""
    return tuple(
        sorted(
            key
            for key, position in account.positions.items()
            if position.quantity > 0 and (key[0] not in strategies or key[1] not in symbols)
        )
    )


def _is_live(position: Position | None, orders: Sequence[OrderStatus]) -> bool:
    held = position is not None and position.quantity > 0
    return held or any(status.intent.kind.is_order and not status.state.is_final for status in orders)


def _put_holding(record: Any, bars: SessionBars, minute: int, position: Position | None) -> None:
    known = bars.latest(bars.symbols[record["symbol"]], minute)
    record["filled_minute"] = -1
    record["mark"] = known.price if known is not None else 0
    if position is None or position.quantity == 0:
        return
    record["quantity"] = position.quantity
    record["entry_quantity"] = position.entry_quantity
    record["entry_cost"] = units_from_dollars(position.entry_cost)
    if known is None:
        record["mark"] = record["entry_cost"] // record["entry_quantity"]
    filled = 0 if position.opened_at is None else _minute(bars.session, position.opened_at)
    record["filled_minute"] = filled
    since = bars.bars[record["symbol"], max(0, filled) : minute + 1]
    came = since["close"][since["time"] != 0]
    # The kernel raises it by the decided bar's own close; before any bar it starts below every price.
    record["highest_close"] = int(came.max()) if len(came) else 0


def _put_orders(
    record: Any, account: AccountView, session: Session, orders: Sequence[OrderStatus], position: Position | None
) -> None:
    entry = _entry(orders, position)
    if entry is not None:
        intent = entry.intent
        record["setup"] = intent.setup
        record["stop"] = units_from_dollars(intent.stop_price) if intent.stop_price is not None else 0
        record["entry_limit"] = units_from_dollars(intent.limit_price) if intent.limit_price is not None else 0
        legs = [one for one in orders if one.intent.kind is IntentKind.ENTRY and one.intent.bar_time == intent.bar_time]
        record["ordered"] = sum(leg.intent.quantity for leg in legs)
        record["unprotected"] = sum(leg.filled for leg in legs if _waits(leg, account.legs_wait_at))
        decided_at = account.decided_at.get(intent.bar_time, intent.bar_time + _MINUTE)
        record["entered_at"] = int(decided_at.timestamp())
        if intent.valid_until is not None:
            record["valid_until"] = _minute(session, intent.valid_until - _MINUTE)
        exits = [one for one in orders if one.intent.kind is IntentKind.EXIT and one.intent.bar_time > intent.bar_time]
        decided = (one.intent.leg for one in exits if one.filled > 0 or not one.state.is_final)
        record["legs_done"] = max(max(decided, default=0), _sold_targets(orders, legs))
        record["withheld"] = _is_withheld(exits, session)
    unsold = still_held(orders)
    for kind, quantity, count in _OPEN_QUANTITIES:
        still = [status for status in orders if status.intent.kind is kind and not status.state.is_final]
        record[count] = len(still)
        record[quantity] = sum(
            open_quantity(status, account.broker_orders.get(status.intent.id), unsold) for status in still
        )
    _put_targets(record, account, orders)


def _put_targets(record: Any, account: AccountView, orders: Sequence[OrderStatus]) -> None:
    """Write the lowest price of the open targets, and what they will come to sell once their entries have filled."""
    targets = [one.intent for one in orders if one.intent.kind is IntentKind.TARGET and not one.state.is_final]
    entered_for = {target.parent for target in targets}
    entries = [one for one in orders if one.intent.id in entered_for and not one.state.is_final]
    record["resting_target"] += sum(open_quantity(one, account.broker_orders.get(one.intent.id), {}) for one in entries)
    prices = [units_from_dollars(target.limit_price) for target in targets if target.limit_price is not None]
    record["target"] = min(prices, default=0)


def _sold_targets(orders: Sequence[OrderStatus], entry: Sequence[OrderStatus]) -> int:
    """The scale-outs of an entry that their resting targets have sold, or begun to: the price has been there."""
    parents = {leg.intent.id for leg in entry}
    sold = (
        one for one in orders if one.intent.kind is IntentKind.TARGET and one.intent.parent in parents and one.filled
    )
    return max((one.intent.leg + 1 for one in sold), default=0)


def _waits(entry: OrderStatus, venues: frozenset[str]) -> bool:
    """Whether an entry has filled in part, at a venue where what is attached to it waits for the rest."""
    return not entry.state.is_final and entry.venue in venues and 0 < entry.filled < entry.intent.quantity


def _is_withheld(exits: Sequence[OrderStatus], session: Session) -> bool:
    """Whether the session's last exit of everything has ended undone: held back, refused, or never arrived.

    A step says its reason once, on one bar. What has expired with an earlier session is for the plan to decide anew.
    """
    last = [one for one in exits if one.intent.leg == 0 and one.intent.bar_time >= session.open][-1:]
    return any(one.state.is_final and one.filled < one.intent.quantity for one in last)


def _entry(orders: Sequence[OrderStatus], position: Position | None) -> OrderStatus | None:
    """The entry that the present holding came from, or the one that is working."""
    entries = [status for status in orders if status.intent.kind is IntentKind.ENTRY]
    if position is not None and position.quantity > 0:
        return next((status for status in entries if status.intent.id == position.opened_by), None)
    return next((status for status in entries if not status.state.is_final), None)


def still_held(orders: Sequence[OrderStatus]) -> dict[str, int]:
    """By its intent's id, the shares that each order has filled, less those that were sold by what is attached to it."""
    held = {status.intent.id: status.filled for status in orders}
    for status in orders:
        if status.intent.parent in held:
            held[status.intent.parent] -= status.filled
    return held


def open_quantity(status: OrderStatus, at_broker: BrokerOrder | None, unsold: Mapping[str, int]) -> int:
    """Shares of an order that may still fill.

    Of an order that the broker does not show (its outcome is unknown) all that is left may: its risk stays reserved.
    An attached stop or target that is not shown counts for what its entry has bought and neither of the two has sold,
    so that no second one is sent. `unsold` has those shares by the entry's id, as `still_held` gives them.
    """
    if at_broker is not None:
        return at_broker.quantity - at_broker.filled
    if status.intent.parent is not None:
        return max(0, unsold.get(status.intent.parent, 0))
    return max(0, status.intent.quantity - status.filled)


def _minute(session: Session, moment: datetime) -> int:
    """The minute of the session that holds `moment`; negative before its open."""
    return (moment - session.open) // _MINUTE
