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
from trading_platform.portfolio.in_symbol import (
    bought_above,
    bought_below,
    crossing,
    held,
    join_entered,
    link,
    open_on_fuller_side,
    twin_age,
    value,
)
from trading_platform.portfolio.legs import leg_shares, most_orders, orders_of, resting_targets, target_price
from trading_platform.portfolio.sizing import risk_per_share, size
from trading_platform.risk.gate import (
    account_objection,
    crossing_objection,
    legs_objection,
    open_orders_objection,
    order_objection,
    repeat_objection,
    size_objection,
    symbol_objection,
)
from trading_platform.risk.rules import (
    is_too_old,
    minutes_to_close,
    mode_by_losses,
    mode_by_orders,
    reducing_quantity,
)

_ENTER: Final = int(DecisionKind.ENTER)
_EXIT: Final = int(DecisionKind.EXIT)
_PROTECT: Final = int(DecisionKind.PROTECT)
_CANCEL_ENTRY: Final = int(DecisionKind.CANCEL_ENTRY)
_APPROVED: Final = int(Verdict.APPROVED)
_RESIZED: Final = int(Verdict.RESIZED)
_REFUSED: Final = int(Verdict.REFUSED)
_TARGET: Final = int(ExitCause.TARGET)
_STEP: Final = int(ExitCause.STEP)
_NORMAL: Final = int(TradingMode.NORMAL)
_ON_TOUCH: Final = int(TriggerOn.TOUCH)
_SESSION_WINDOW: Final = int(Rule.SESSION_WINDOW)
_SELF_TRADE: Final = int(Rule.SELF_TRADE)
_REDUCE_ONLY: Final = int(Rule.REDUCE_ONLY)
_OPEN_ORDERS: Final = int(Rule.OPEN_ORDERS)
_ATTEMPTS: Final = int(Rule.ATTEMPTS)
_ALREADY_HELD: Final = int(Rule.ALREADY_HELD)
_STOP_SIDE: Final = int(Rule.STOP_SIDE)

DECISIONS_PER_HOLDING: Final = 7
"""The most that one minute can decide on one holding: cancel, protect, and an exit for each leg and one for the rest."""


@compiled
def decide(books: Record, positions: Record, entries: Record, plans: Record, decisions: Record) -> int:
    """Decide one minute. All arguments are record arrays; returns how many of `decisions` were written.

    `books` holds one record, `plans` one per strategy. The first `books[0].holdings` of `positions` are used, less those
    that are `quiet` (a caller that knows that a holding can decide nothing leaves it out), and it has room for all
    `entries` besides. Every record of `entries` is considered, in order. `decisions` has room for seven a holding and
    one an entry.
    """
    book = books[0]
    if book.linked == 0:
        link(book, positions, entries)
    mark(book, positions)
    count = 0
    # At the session's last tick nothing that is decided can fill any more.
    managed = listed(book) if minutes_to_close(book) > 0 else 0
    for k in range(managed):
        position = positions[k]
        count = _manage(book, position, plans[position.strategy], decisions, count)
    if managed > 1:
        count = _uncross(book, positions, plans, decisions, count)
    for j in range(entries.size):
        # What was decided before it in this minute counts, exits and cancels too.
        book.mode = mode_by_orders(book, book.limits)
        _consider(book, entries[j], positions, plans[entries[j].strategy], decisions[count])
        if decisions[count].verdict != _REFUSED:
            join_entered(j, listed(book), book, positions, entries)
        count += 1
    book.mode = mode_by_orders(book, book.limits)
    return count


@compiled
def listed(book: Record) -> int:
    """How many of the position records are used."""
    count: int = book.holdings - book.quiet
    return count


@compiled
def mark(book: Record, positions: Record) -> None:
    """Work out what working entries reserve, and what is held at its marks; then `weigh` the account."""
    reserved, gross, net = 0, 0, 0
    for k in range(listed(book)):
        position = positions[k]
        position.cancelled = 0
        price = position.entry_limit if position.entry_limit > 0 else position.mark
        position.entry_reserved = position.entering * price
        reserved += position.entry_reserved
        gross += abs(position.quantity) * position.mark
        net += position.quantity * position.mark
    weigh(book, reserved, gross, net)


@compiled
def weigh(book: Record, reserved: int, gross: int, net: int) -> None:
    """Write the equity (cash and every holding at its mark), the highest so far, the exposure, and the mode they demand.

    The exposure, gross and net: holdings at their marks, quiet ones among them, those elsewhere at cost, and working
    entries. For a minute in which nothing is decided this is all of it.

    Args:
        book: What it is written to.
        reserved: Buying power that working entries hold.
        gross: What the listed holdings are worth at their marks, whatever their side.
        net: The same, long less short.
    """
    kept = book.elsewhere + book.quiet_worth
    book.reserved = reserved
    book.gross = gross + kept + reserved
    book.net = net + kept + reserved
    book.equity = book.cash + net + kept
    book.peak_equity = max(book.peak_equity, book.equity)
    book.mode = mode_by_orders(book, book.limits)
    book.mode = mode_by_losses(book, book.limits)


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
def _cancel(decision: Record, position: Record, rule: int, measure: int, limit: int) -> None:
    """Write that what is left of an entry is cancelled, and the rule that wants it, if one does."""
    _write(decision, position, _CANCEL_ENTRY, position.entering)
    decision.rule = rule
    decision.measure = measure
    decision.limit = limit
    position.cancelled = 1


@compiled
def _count_orders(book: Record, plan: Record, calls: int) -> None:
    """Count what will be sent: rule 9 holds entries back for it, and never an exit, a stop or a cancel."""
    book.orders_second += calls
    book.orders_minute += calls
    book.orders_day += calls
    plan.day.orders += calls


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
    # Where attached stops wait for the whole entry, ending it protects its fills: another stop would sell the same
    # shares. So would an exit in this minute: it is decided, and the outbox holds it back until the next.
    waits = plan.stop_on == _ON_TOUCH and position.unprotected > 0 and position.entering > 0
    if left > 0:
        if seen.present != 0:
            position.highest_close = max(position.highest_close, seen.close)
        # Room is kept for the cancel and the protection, which go out before the exits.
        count = _let_out(book, position, plan, decisions, first + 2) - 2
    exits = count - first
    leaving = exits > 0 or book.mode != _NORMAL or book.minute >= position.valid_until or waits
    worked = book.now - position.entered_at if position.entered_at > 0 else 0
    cancels = position.entering > 0 and (leaving or is_too_old(worked, book.limits))
    protected = max(0, position.quantity - position.exiting)
    # More than is held must give way even where the price to protect at is not known any more: it would sell short.
    misfits = position.resting_stop > protected or (position.resting_stop < protected and position.stop > 0)
    protects = plan.stop_on == _ON_TOUCH and misfits
    if waits:
        protected = max(0, left)
        protects = position.resting_stop > protected
    count = first
    if cancels and leaving:
        _cancel(decisions[count], position, 0, 0, 0)
        count += 1
    elif cancels:
        _cancel(decisions[count], position, _OPEN_ORDERS, worked // 60, book.limits.order_age)
        count += 1
    calls = exits
    if cancels:
        calls += max(1, position.entry_orders)
    if protects:
        _write(decisions[count], position, _PROTECT, protected)
        decisions[count].stop_price = position.stop
        calls += _protecting_calls(book, position, protected)
        position.resting_stop = protected
        # A bracket's stop takes its target with it.
        position.resting_target = min(position.resting_target, protected + position.entering)
        count += 1
    for i in range(exits):
        decisions[count] = decisions[first + 2 + i]
        count += 1
    position.exit_orders += exits
    book.open_orders += exits
    _count_orders(book, plan, calls)
    return count


@compiled
def _protecting_calls(book: Record, position: Record, protected: int) -> int:
    """The most calls that bringing the resting stops to `protected` shares takes: one new stop, or each one reduced."""
    if protected > position.resting_stop:
        position.stop_orders += 1
        book.open_orders += 1
        return 1
    return max(1, position.stop_orders)


@compiled
def _uncross(book: Record, positions: Record, plans: Record, decisions: Record, count: int) -> int:
    """Rule 14: cancel working entries that another strategy's sale could meet, ahead of all that was decided.

    The sale is never held back. What is left to fill of the entry would be bought from ourselves.
    """
    found = 0
    for k in range(listed(book)):
        if _crossing_entry(positions[k], positions) > 0:
            found += 1
    if found == 0:
        return count
    for i in range(count - 1, -1, -1):
        decisions[i + found] = decisions[i]
    place = 0
    for k in range(listed(book)):
        shares = _crossing_entry(positions[k], positions)
        if shares > 0:
            _cancel(decisions[place], positions[k], _SELF_TRADE, shares, 0)
            _count_orders(book, plans[positions[k].strategy], max(1, positions[k].entry_orders))
            place += 1
    return count + found


@compiled
def _crossing_entry(position: Record, positions: Record) -> int:
    """Shares that other strategies sell and that a working entry, which is not cancelled already, could buy."""
    if position.entering == 0 or position.cancelled != 0:
        return 0
    price = position.entry_limit if position.entry_limit > 0 else position.mark
    return crossing(position.strategy, position.next, price, positions)


@compiled
def _let_out(book: Record, position: Record, plan: Record, decisions: Record, count: int) -> int:
    """Write the exits of one holding of which something is left."""
    seen = position.seen
    left = position.quantity - position.exiting
    cause = cause_by_clock(book.minute, position, plan)
    if cause == 0 and seen.present != 0:
        cause = cause_by_bar(seen, position, plan)
    if cause == 0 and position.withheld != 0:
        # It was decided before, and has not left or not sold everything. Reasons are said once.
        cause = _STEP
    if cause != 0:
        _exit(decisions[count], position, left, 0, cause)
        return count + 1
    if plan.target_on == _ON_TOUCH:
        return count
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
def _plan_objection(decision: Record, entry: Record, own: int, book: Record, plan: Record) -> int:
    """What the strategy's own plan has against the entry, or 0. `own`: shares that it holds or has on order."""
    if own > 0:
        decision.measure = own
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
    attached = 1 if plan.stop_on == _ON_TOUCH and entry.stop > 0 else 0
    targets = resting_targets(plan)
    price = entry.limit if entry.limit > 0 else entry.price
    decision.rule = account_objection(decision, book, plan.day, book.limits)
    if decision.rule == 0:
        decision.rule = symbol_objection(decision, entry, book, book.limits)
    if decision.rule == 0:
        decision.rule = order_objection(decision, entry, attached, targets, book, book.limits)
    if decision.rule == 0 and targets > 0:
        decision.rule = legs_objection(decision, most_orders(plan), book, plan.day, book.limits)
    # The positions are handed on only where they are looked at: an array costs more to pass than a rule.
    if decision.rule == 0:
        decision.rule = _objection_by_holdings(decision, entry, price, attached, book, positions, plan)
    if decision.rule != 0:
        return
    worth = value(entry, price, positions)
    size(decision, price, worth, entry, book, plan)
    if decision.verdict == _REFUSED:
        return
    rule = size_objection(decision, price, worth, entry, book)
    if rule == 0:
        rule = repeat_objection(decision, twin_age(entry, decision.quantity, book.now, positions), book.limits)
    if rule != 0:
        decision.rule = rule
        decision.verdict = _REFUSED
        decision.quantity = 0
        return
    position = positions[listed(book)]
    _reserve(book, entry, decision, price, position)
    _set_legs(position, decision, price, plan, book.limits.lot)
    position.stop_orders = attached * position.entry_orders
    # What is attached goes out with its entry, in one call, and is an order of its own from then on.
    book.open_orders += position.entry_orders + position.stop_orders + position.target_orders
    _count_orders(book, plan, position.entry_orders)


@compiled
def _set_legs(position: Record, decision: Record, price: int, plan: Record, lot: int) -> None:
    """Write the orders that an approved entry is sent as, and what its targets will sell."""
    position.entry_orders = orders_of(decision.quantity, plan, lot)
    position.target_orders = min(position.entry_orders, resting_targets(plan))
    position.resting_target = 0
    for leg in range(position.target_orders):
        position.resting_target += leg_shares(leg, decision.quantity, plan, lot)
    position.target = target_price(0, price, decision.stop_price, plan) if position.target_orders > 0 else 0


@compiled
def _objection_by_holdings(
    decision: Record, entry: Record, price: int, attached: int, book: Record, positions: Record, plan: Record
) -> int:
    """The first rule that forbids the entry by what the book has and its own plan says, or 0.

    Writes measure and limit.
    """
    rule = _plan_objection(decision, entry, held(entry, positions), book, plan)
    if rule == 0:
        met = crossing(entry.strategy, entry.held, price, positions)
        if attached > 0:
            met += bought_below(entry, positions)
        if resting_targets(plan) > 0:
            met += bought_above(entry, target_price(0, price, entry.stop, plan), positions)
        rule = crossing_objection(decision, met)
    if rule == 0:
        # How many legs it has is known once it is sized; here they count as the most that it can have.
        buys = most_orders(plan)
        sales = attached * buys + resting_targets(plan)
        side = open_on_fuller_side(entry, buys, sales, positions)
        rule = open_orders_objection(decision, book.open_orders + buys + sales, side, book.limits)
    return rule


@compiled
def _reserve(book: Record, entry: Record, decision: Record, price: int, position: Record) -> None:
    """Take a slot and buying power for an approved entry: both are freed by what happens to it, not before."""
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
    position.ordered = decision.quantity
    position.entered_at = book.now
    position.exit_orders = 0
    position.unprotected = 0
    position.withheld = 0
    position.cancelled = 0
    book.reserved += position.entry_reserved
    book.gross += position.entry_reserved
    book.net += position.entry_reserved
    book.holdings += 1
