"""The decision kernel: one call decides one minute of one account (Law 1).

It reads and writes flat records only, so that paper, live, replay and backtest run these same lines. First every
holding is looked at, in the order given, then every proposed entry. What is decided is written as `decision_t`, and
into the position records, so that a caller that keeps them (a backtest) needs no second bookkeeping; a caller that
makes them anew each minute from the ledger loses nothing.
"""

from typing import Final

from trading_platform.domain.compiled import compiled
from trading_platform.domain.decisions import DecisionKind, ExitCause, Rule, TradingMode, Verdict
from trading_platform.domain.records import Record
from trading_platform.domain.signals import TriggerOn
from trading_platform.portfolio.exits import cause_by_bar, cause_by_clock, leg_quantity, target_reached
from trading_platform.portfolio.sizing import risk_per_share, size
from trading_platform.risk.gate import market_objection, size_objection
from trading_platform.risk.rules import minutes_to_close, mode_by_losses, reducing_quantity

_ENTER: Final = int(DecisionKind.ENTER)
_EXIT: Final = int(DecisionKind.EXIT)
_PROTECT: Final = int(DecisionKind.PROTECT)
_CANCEL_ENTRY: Final = int(DecisionKind.CANCEL_ENTRY)
_APPROVED: Final = int(Verdict.APPROVED)
_RESIZED: Final = int(Verdict.RESIZED)
_REFUSED: Final = int(Verdict.REFUSED)
_TARGET: Final = int(ExitCause.TARGET)
_NORMAL: Final = int(TradingMode.NORMAL)
_ON_TOUCH: Final = int(TriggerOn.TOUCH)
_SESSION_WINDOW: Final = int(Rule.SESSION_WINDOW)
_REDUCE_ONLY: Final = int(Rule.REDUCE_ONLY)
_ATTEMPTS: Final = int(Rule.ATTEMPTS)
_ALREADY_HELD: Final = int(Rule.ALREADY_HELD)
_STOP_SIDE: Final = int(Rule.STOP_SIDE)

DECISIONS_PER_HOLDING: Final = 7
"""The most that one minute can decide on one holding: cancel, protect, and an exit for each leg and one for the rest."""


@compiled
def decide(books: Record, positions: Record, entries: Record, plans: Record, decisions: Record) -> int:
    """Decide one minute. All arguments are record arrays; returns how many of `decisions` were written.

    `books` holds one record, `plans` one per strategy. The first `books[0].holdings` of `positions` are used, and it
    has room for all `entries` besides. Every record of `entries` is considered, in order. `decisions` has room for
    seven a holding and one an entry.
    """
    book = books[0]
    mark(book, positions)
    book.mode = mode_by_losses(book, book.limits)
    count = 0
    # At the session's last tick nothing that is decided can fill any more.
    managed = book.holdings if minutes_to_close(book) > 0 else 0
    for k in range(managed):
        position = positions[k]
        count = _manage(book, position, plans[position.strategy], decisions, count)
    for j in range(entries.size):
        _consider(book, entries[j], positions, plans[entries[j].strategy], decisions[count])
        count += 1
    return count


@compiled
def mark(book: Record, positions: Record) -> None:
    """Write the equity (cash and every holding at its mark), the highest so far, and what working entries reserve."""
    equity = book.cash + book.elsewhere
    reserved = 0
    for k in range(book.holdings):
        position = positions[k]
        equity += position.quantity * position.mark
        price = position.entry_limit if position.entry_limit > 0 else position.mark
        position.entry_reserved = position.entering * price
        reserved += position.entry_reserved
    book.reserved = reserved
    book.equity = equity
    book.peak_equity = max(book.peak_equity, equity)


@compiled
def _write(decision: Record, position: Record, kind: int, quantity: int) -> None:
    decision.strategy = position.strategy
    decision.symbol = position.symbol
    decision.kind = kind
    decision.leg = 0
    decision.reason = 0
    decision.verdict = _APPROVED
    decision.rule = 0
    decision.measure = 0
    decision.limit = 0
    decision.quantity = quantity
    decision.price = position.mark
    decision.limit_price = 0
    decision.stop_price = 0
    decision.valid_until = 0
    decision.setup = position.setup


@compiled
def _exit(decision: Record, position: Record, wanted: int, leg: int, cause: int) -> None:
    """Write an exit; rule 18 sees to it that it only reduces."""
    quantity = reducing_quantity(wanted, position.quantity, position.exiting)
    _write(decision, position, _EXIT, quantity)
    decision.leg = leg
    decision.reason = cause
    if quantity < wanted:
        decision.rule = _REDUCE_ONLY
        decision.measure = wanted
        decision.limit = quantity
        decision.verdict = _RESIZED if quantity > 0 else _REFUSED
    position.exiting += quantity


@compiled
def _manage(book: Record, position: Record, plan: Record, decisions: Record, count: int) -> int:
    """Decide on one holding: cancel what is left of its entry, protect it, let it out."""
    first = count
    seen = position.seen
    left = position.quantity - position.exiting
    if left > 0:
        if seen.present != 0:
            position.highest_close = max(position.highest_close, seen.close)
        # Room is kept for the cancel and the protection, which go out before the exits.
        count = _let_out(book, position, plan, decisions, first + 2) - 2
    exits = count - first
    leaving = exits > 0 or book.mode != _NORMAL or book.minute >= position.valid_until
    cancels = position.entering > 0 and leaving
    protected = max(0, position.quantity - position.exiting)
    # More than is held must give way even where the price to protect at is not known any more: it would sell short.
    misfits = position.resting_stop > protected or (position.resting_stop < protected and position.stop > 0)
    protects = plan.stop_on == _ON_TOUCH and misfits
    count = first
    if cancels:
        _write(decisions[count], position, _CANCEL_ENTRY, position.entering)
        count += 1
    if protects:
        _write(decisions[count], position, _PROTECT, protected)
        decisions[count].stop_price = position.stop
        position.resting_stop = protected
        count += 1
    for i in range(exits):
        decisions[count] = decisions[first + 2 + i]
        count += 1
    return count


@compiled
def _let_out(book: Record, position: Record, plan: Record, decisions: Record, count: int) -> int:
    """Write the exits of one holding of which something is left."""
    seen = position.seen
    left = position.quantity - position.exiting
    cause = cause_by_clock(book.minute, position, plan)
    if cause == 0 and seen.present != 0:
        cause = cause_by_bar(seen, position, plan)
    if cause != 0:
        _exit(decisions[count], position, left, 0, cause)
        return count + 1
    while (
        seen.present != 0
        and left > 0
        and position.legs_done < plan.legs
        and target_reached(seen.close, position.legs_done, position, plan)
    ):
        leg = position.legs_done
        _exit(decisions[count], position, leg_quantity(leg, position, plan, left), leg + 1, _TARGET)
        position.legs_done += 1
        left = position.quantity - position.exiting
        count += 1
    return count


@compiled
def _symbol_value(symbol: int, price: int, book: Record, positions: Record) -> int:
    """What all strategies hold of a symbol, and have on order for it, in units."""
    value = 0
    for k in range(book.holdings):
        if positions[k].symbol == symbol:
            value += positions[k].quantity * price + positions[k].entry_reserved
    return value


@compiled
def _held(entry: Record, book: Record, positions: Record) -> int:
    """Shares that the entry's strategy holds of its symbol, or has on order.

    An exit of more than is held counts too: what is left of it would sell what the new entry buys.
    """
    for k in range(book.holdings):
        if positions[k].symbol == entry.symbol and positions[k].strategy == entry.strategy:
            return max(positions[k].quantity + positions[k].entering, positions[k].exiting)
    return 0


@compiled
def _plan_objection(decision: Record, entry: Record, held: int, book: Record, plan: Record) -> int:
    """What the strategy's own plan has against the entry, or 0."""
    if held > 0:
        decision.measure = held
        return _ALREADY_HELD
    if book.minute >= plan.flat_from:
        decision.measure = book.minute
        decision.limit = plan.flat_from
        return _SESSION_WINDOW
    if plan.attempts > 0 and entry.attempts >= plan.attempts:
        decision.measure = entry.attempts
        decision.limit = plan.attempts
        return _ATTEMPTS
    price = entry.limit if entry.limit > 0 else entry.price
    needs_stop = plan.stop_on == _ON_TOUCH or plan.fixed_quantity == 0
    if needs_stop and risk_per_share(price, entry.stop, plan) <= 0:
        decision.measure = entry.stop
        decision.limit = price
        return _STOP_SIDE
    return 0


@compiled
def _consider(book: Record, entry: Record, positions: Record, plan: Record, decision: Record) -> None:
    """Decide on one proposed entry, and reserve what it may use."""
    decision.strategy = entry.strategy
    decision.symbol = entry.symbol
    decision.kind = _ENTER
    decision.leg = 0
    decision.reason = 0
    decision.measure = 0
    decision.limit = 0
    decision.quantity = 0
    decision.price = entry.price
    decision.limit_price = entry.limit
    decision.stop_price = entry.stop
    decision.valid_until = book.minute + max(1, entry.valid_bars)
    decision.setup = entry.setup
    decision.verdict = _REFUSED
    decision.rule = market_objection(decision, entry, book, plan.day, book.limits)
    if decision.rule == 0:
        decision.rule = _plan_objection(decision, entry, _held(entry, book, positions), book, plan)
    if decision.rule != 0:
        return
    price = entry.limit if entry.limit > 0 else entry.price
    value = _symbol_value(entry.symbol, price, book, positions)
    size(decision, price, entry.stop, value, book, plan, book.limits)
    if decision.verdict == _REFUSED:
        return
    rule = size_objection(decision, price, value, book, book.limits)
    if rule != 0:
        decision.rule = rule
        decision.verdict = _REFUSED
        decision.quantity = 0
        return
    _reserve(book, entry, decision, price, positions)


@compiled
def _reserve(book: Record, entry: Record, decision: Record, price: int, positions: Record) -> None:
    """Take a slot and buying power for an approved entry: both are freed by what happens to it, not before."""
    position = positions[book.holdings]
    position.strategy = entry.strategy
    position.symbol = entry.symbol
    position.quantity = 0
    position.entry_quantity = 0
    position.entry_cost = 0
    position.stop = entry.stop
    position.resting_stop = 0
    position.entering = decision.quantity
    position.exiting = 0
    position.filled_minute = -1
    position.valid_until = decision.valid_until
    position.legs_done = 0
    position.setup = entry.setup
    position.highest_close = 0
    position.mark = entry.price
    position.entry_limit = entry.limit
    position.entry_reserved = decision.quantity * price
    book.reserved += position.entry_reserved
    book.holdings += 1
