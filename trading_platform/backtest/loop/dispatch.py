"""Decisions become orders at the venue of a backtest: what `orders.intents` makes of them, sent as the outbox sends it.

Everything is sent in the order in which it was decided, and the venue answers at once: it takes an order or refuses it,
and nothing is ever unknown. Here belong the orders of a decision and the notes of what was sent. Which orders the venue
takes is `venue`; how many an entry has is `portfolio.legs`.
"""

from typing import Final

from trading_platform.backtest.loop.kinds import CANCEL, ENTRY, EXIT, REDUCE, STOP, TARGET
from trading_platform.backtest.loop.lives import add_life, life_of
from trading_platform.backtest.loop.venue import add_order, can_afford, end_order, leave, owns
from trading_platform.brokers.fill_model import BUY, LIMIT, MARKET, SELL
from trading_platform.brokers.fill_model import STOP as AT_STOP
from trading_platform.domain.compiled import compiled_into_callers as compiled
from trading_platform.domain.decisions import DecisionKind, Verdict
from trading_platform.domain.records import Record
from trading_platform.domain.signals import TriggerOn
from trading_platform.portfolio.legs import leg_shares, orders_of, resting_targets, target_price

_ENTER: Final = int(DecisionKind.ENTER)
_EXIT: Final = int(DecisionKind.EXIT)
_CANCEL_ENTRY: Final = int(DecisionKind.CANCEL_ENTRY)
_REFUSED: Final = int(Verdict.REFUSED)
_ON_TOUCH: Final = int(TriggerOn.TOUCH)


@compiled
def send(
    decision: Record,
    bar_number: int,
    state: Record,
    book: Record,
    plan: Record,
    listing: Record,
    lives: Record,
    orders: Record,
    pair: Record,
    sent: Record,
) -> int:
    """Send what a decision stands for. Returns how many calls the venue had: rule 9 counts them."""
    if decision.verdict == _REFUSED:
        return 0
    if decision.kind == _ENTER:
        pair.entered += 1
        return _enter(decision, bar_number, state, book, plan, listing, lives, orders, sent)
    place = life_of(decision.strategy, listing, lives)
    if decision.kind == _EXIT:
        return _exit(decision, bar_number, place, state, listing, lives, orders, sent)
    if decision.kind == _CANCEL_ENTRY:
        return _cancel(decision, bar_number, place, state, listing, orders, sent)
    return _protect(decision, bar_number, place, state, listing, lives, orders, sent)


@compiled
def _note(decision: Record, bar_number: int, kind: int, leg: int, quantity: int, state: Record, sent: Record) -> Record:
    """Note what is sent: a market sale, until the caller says otherwise."""
    note = sent[state.sent]
    state.sent += 1
    note.bar = bar_number
    note.decision = state.decided + state.decisions
    note.strategy = decision.strategy
    note.symbol = decision.symbol
    note.kind = kind
    note.leg = leg
    note.side = SELL
    note.type = MARKET
    note.quantity = quantity
    note.limit = 0
    note.stop = 0
    note.attached = 0
    note.refused = 0
    return note


@compiled
def _work(note: Record, life: int, quantity: int, state: Record, listing: Record, orders: Record) -> int:
    """Put the order that was noted last into the venue's book; it may fill from the next minute on."""
    place = add_order(state, listing, orders)
    order = orders[place - 1]
    order.kind = note.kind
    order.life = life
    order.leg = note.leg
    order.side = note.side
    order.type = note.type
    order.quantity = quantity
    order.limit = note.limit
    order.stop = note.stop
    order.eligible = state.opens + 60 * (state.minute + 1)
    order.sent = state.sent_before + state.sent - 1
    return place


@compiled
def _enter(
    decision: Record,
    bar_number: int,
    state: Record,
    book: Record,
    plan: Record,
    listing: Record,
    lives: Record,
    orders: Record,
    sent: Record,
) -> int:
    price = decision.limit_price if decision.limit_price > 0 else decision.price
    lot = book.limits.lot
    rests = decision.stop_price > 0 and plan.stop_on == _ON_TOUCH
    targets = resting_targets(plan) if rests else 0
    legs = orders_of(decision.quantity, plan, lot)
    for leg in range(legs):
        shares = leg_shares(leg, decision.quantity, plan, lot)
        taken = can_afford(shares, price, book, state)
        note = _note(decision, bar_number, ENTRY, leg, shares, state, sent)
        note.side = BUY
        note.limit = decision.limit_price
        note.type = LIMIT if decision.limit_price > 0 else MARKET
        note.refused = 0 if taken else 1
        life = 0
        entry = 0
        if taken:
            life = life_of(decision.strategy, listing, lives)
            if life == 0:
                life = _begin(decision, bar_number, state, book, listing, lives)
            entry = _work(note, life, shares, state, listing, orders)
            orders[entry - 1].reference = price
            state.reserved += shares * price
        note.stop = decision.stop_price
        if rests:
            target = target_price(leg, price, decision.stop_price, plan) if leg < targets else 0
            _attach(decision, bar_number, leg, target, shares, entry, life, state, listing, orders, sent)
    return legs


@compiled
def _begin(decision: Record, bar_number: int, state: Record, book: Record, listing: Record, lives: Record) -> int:
    place = add_life(decision.strategy, decision.symbol, state, listing, lives)
    life = lives[place - 1]
    life.setup = decision.setup
    life.stop = decision.stop_price
    life.entry_limit = decision.limit_price
    life.ordered = decision.quantity
    life.entered_at = book.now
    life.entry_bar = bar_number
    life.valid_until = min(decision.valid_until, state.minutes - 1)
    return place


@compiled
def _attach(
    decision: Record,
    bar_number: int,
    leg: int,
    target: int,
    shares: int,
    entry: int,
    life: int,
    state: Record,
    listing: Record,
    orders: Record,
    sent: Record,
) -> None:
    """Attach a stop to an entry, and beside it a target where there is one; with no entry they are refused with it."""
    refused = 1 if entry == 0 else 0
    note = _note(decision, bar_number, STOP, leg, shares, state, sent)
    note.type = AT_STOP
    note.stop = decision.stop_price
    note.attached = 1
    note.refused = refused
    stop = 0
    if entry != 0:
        stop = _work(note, life, 0, state, listing, orders)
        orders[stop - 1].parent = entry
    if target == 0:
        return
    note = _note(decision, bar_number, TARGET, leg, shares, state, sent)
    note.type = LIMIT
    note.limit = target
    note.attached = 1
    note.refused = refused
    if entry != 0:
        beside = _work(note, life, 0, state, listing, orders)
        orders[beside - 1].parent = entry
        orders[beside - 1].pair = stop
        orders[stop - 1].pair = beside


@compiled
def _exit(
    decision: Record,
    bar_number: int,
    life: int,
    state: Record,
    listing: Record,
    lives: Record,
    orders: Record,
    sent: Record,
) -> int:
    taken = owns(decision.quantity, listing, lives, orders)
    note = _note(decision, bar_number, EXIT, decision.leg, decision.quantity, state, sent)
    note.refused = 0 if taken else 1
    if decision.leg == 0:
        lives[life - 1].withheld = note.refused
    if taken:
        _work(note, life, decision.quantity, state, listing, orders)
    return 1


@compiled
def _cancel(
    decision: Record, bar_number: int, life: int, state: Record, listing: Record, orders: Record, sent: Record
) -> int:
    calls = 0
    place = listing.order
    while place != 0:
        order = orders[place - 1]
        if order.life == life and order.kind == ENTRY and order.open != 0:
            note = _note(decision, bar_number, CANCEL, calls, order.quantity - order.filled, state, sent)
            note.side = BUY
            note.type = order.type
            end_order(place, state, listing, orders)
            calls += 1
        place = order.next
    return calls


@compiled
def _protect(
    decision: Record,
    bar_number: int,
    life: int,
    state: Record,
    listing: Record,
    lives: Record,
    orders: Record,
    sent: Record,
) -> int:
    """Make the resting stops of a holding add up to the decided quantity: the newest give way first."""
    stops = 0
    surplus = -decision.quantity
    place = listing.order
    while place != 0:
        order = orders[place - 1]
        if order.life == life and order.kind == STOP:
            stops += 1
            surplus += order.quantity - order.filled
        place = order.next
    calls = 0
    for leg in range(stops):
        place = _stop_from_the_end(leg, stops, life, listing, orders)
        order = orders[place - 1]
        less = min(surplus, order.quantity - order.filled)
        if less > 0:
            left = order.quantity - order.filled - less
            note = _note(decision, bar_number, REDUCE, leg, left, state, sent)
            note.type = AT_STOP
            leave(place, left, state, listing, orders)
            surplus -= less
            calls += 1
    if surplus < 0:
        taken = owns(-surplus, listing, lives, orders)
        note = _note(decision, bar_number, STOP, 0, -surplus, state, sent)
        note.type = AT_STOP
        note.stop = decision.stop_price
        note.refused = 0 if taken else 1
        if taken:
            _work(note, life, -surplus, state, listing, orders)
        calls += 1
    return calls


@compiled
def _stop_from_the_end(number: int, stops: int, life: int, listing: Record, orders: Record) -> int:
    """The place, from 1, of a life's stop, counted from 0 at the newest."""
    wanted = stops - number
    place: int = listing.order
    while place != 0:
        order = orders[place - 1]
        if order.life == life and order.kind == STOP:
            wanted -= 1
            if wanted == 0:
                return place
        place = order.next
    return 0
