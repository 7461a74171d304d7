"""Splits and dividends of what is held overnight, made at the open of the session that they are of.

A dividend is paid in cash on the shares that were held, before a split of the same day. A split changes the shares, the
stop and the shares of the entry; what the holding has cost stays. There are whole shares only: the fraction is paid in
cash, at the last price before the open in shares of after the split. Cash that is paid so counts as realised profit.
Orders are for the day, so none is open to be adjusted.

Here belongs what an action does to the book. The prior close of the day record and the bars are split-adjusted where
they are read (`marketdata`).
"""

from trading_platform.backtest.loop.arrays import Account, Array, Told
from trading_platform.domain.compiled import compiled_into_callers as compiled
from trading_platform.domain.records import SESSION_MINUTES, Record
from trading_platform.domain.rounding import share_down, tick_down


@compiled
def adjust(actions: Array, account: Account, told: Told) -> None:
    """Make the actions of the session that opens now. `actions` are `corporate_action_t` in the order of sessions."""
    state = account.states[0]
    while state.action < actions.size and actions[state.action].session <= state.session:
        action = actions[state.action]
        state.action += 1
        if action.session == state.session:
            _adjust_symbol(action, account, told)


@compiled
def _adjust_symbol(action: Record, account: Account, told: Told) -> None:
    state, book, listing = account.states[0], account.books[0], account.listings[action.symbol]
    before = 0
    place = listing.life
    while place != 0:
        life = account.lives[place - 1]
        after = life.next
        note = told.adjustments[state.adjustments]
        state.adjustments += 1
        note.bar = (state.earlier + state.session) * SESSION_MINUTES
        note.strategy = life.strategy
        note.symbol = life.symbol
        note.entry_bar = life.entry_bar
        note.before = life.holding.quantity
        note.dividend = life.holding.quantity * action.dividend
        note.fraction = _split(action, life, listing.prior_mark)
        note.after = life.holding.quantity
        book.cash += note.dividend + note.fraction
        life.holding.realised += note.dividend + note.fraction
        account.sources[life.strategy].net += note.dividend + note.fraction
        if life.holding.quantity == 0:
            # Not one whole share is left: what it has cost is lost against what was paid for the fraction.
            account.sources[life.strategy].net -= life.holding.cost
            if before == 0:
                listing.life = after
            else:
                account.lives[before - 1].next = after
            life.next = state.free_life
            state.free_life = place
            state.lives -= 1
        else:
            before = place
        place = after
    listing.prior_mark = share_down(listing.prior_mark, action.denominator, action.numerator)
    if listing.life == 0:
        _leave_out(action.symbol, account)


@compiled
def _split(action: Record, life: Record, prior_mark: int) -> int:
    """Change a holding by a split, and return the cash for the fraction of a share, in units, rounded down."""
    if action.numerator == action.denominator:
        return 0
    holding = life.holding
    whole = share_down(holding.quantity, action.numerator, action.denominator)
    rest = holding.quantity * action.numerator - whole * action.denominator
    entered = max(1, share_down(holding.entry_quantity, action.numerator, action.denominator))
    # The average of the entry stays what it was, to the unit, where its shares do not divide.
    holding.entry_cost = share_down(
        holding.entry_cost, entered * action.denominator, holding.entry_quantity * action.numerator
    )
    holding.entry_quantity = entered
    holding.quantity = whole
    life.stop = tick_down(share_down(life.stop, action.denominator, action.numerator))
    life.entry_limit = 0
    return share_down(prior_mark, rest, action.numerator)


@compiled
def _leave_out(symbol: int, account: Account) -> None:
    """Look at a symbol no more of which nothing is held."""
    state = account.states[0]
    kept = 0
    for k in range(state.active):
        if account.active[k] != symbol:
            account.active[kept] = account.active[k]
            kept += 1
    state.active = kept
