"""How a session of a backtest begins and ends: what is carried over, what begins anew, what is written at its end.

Belongs here: the compiled steps around a session's minutes. What splits and dividends do to what is held is
`corporate_actions`.
"""

from typing import Final

from trading_platform.backtest.loop.arrays import Account, Market, Told
from trading_platform.backtest.loop.codes import DONE, LEVELS, TOLD
from trading_platform.backtest.loop.corporate_actions import adjust
from trading_platform.domain.compiled import compiled_into_callers as compiled
from trading_platform.domain.records import SESSION_MINUTES

NEVER: Final = 1 << 60
"""Later than any minute, and more than any amount."""


@compiled
def open_session(market: Market, account: Account, told: Told) -> int:
    """Begin the next session with what is held. Returns `DONE`, or what is lacking; then nothing was begun."""
    state, book = account.states[0], account.books[0]
    session = state.session
    for k in range(state.active):
        listing = account.listings[account.active[k]]
        place = listing.life
        while place != 0:
            life = account.lives[place - 1]
            if account.sources[life.strategy].levels >= 0 and life.levels_session != state.earlier + session + 1:
                state.asked = place
                return LEVELS
            place = life.next
    if state.adjustments + state.lives > told.adjustments.size or state.changes >= told.changes.size:
        return TOLD
    state.minute = 0
    state.minutes = market.minutes[session]
    state.opens = market.session_opens[session]
    state.plans = market.plan_sets[session]
    for s in range(account.sources.size):
        source = account.sources[s]
        source.net = 0
        source.quiet_cost = 0
        source.orders = 0
        source.set_aside = account.asides[s, session]
        source.muted = account.muted[state.plans, s]
        account.worth[s, :] = 0
    _carry(account)
    adjust(market.actions, account, told)
    mode = book.mode
    book.mode = 0
    book.session_minutes = state.minutes
    book.orders_day = 0
    # With nothing held; else the first minute says.
    book.open_equity = book.cash
    book.peak_equity = book.cash
    told.opened[session] = book.cash
    state.worst_equity = NEVER
    note_mode(mode, account, told)
    return DONE


@compiled
def _carry(account: Account) -> None:
    """Bring what is held over from the session before into this one: what is known of it begins anew."""
    state = account.states[0]
    for k in range(state.active):
        listing = account.listings[account.active[k]]
        if listing.mark != 0:
            listing.prior_mark = listing.mark
        listing.mark = 0
        place = listing.life
        while place != 0:
            life = account.lives[place - 1]
            life.filled_minute = (life.opened_at - state.opens) // 60
            life.valid_until = -1
            life.highest_close = 0
            life.withheld = 0
            place = life.next


@compiled
def close_session(account: Account, told: Told) -> None:
    """Write the account's last word into the minutes that the session does not have, and go to the next session."""
    state, book = account.states[0], account.books[0]
    first = state.session * SESSION_MINUTES
    for bar in range(first + state.minutes, first + SESSION_MINUTES):
        told.equity[bar] = book.equity
        told.cash[bar] = book.cash
    state.session += 1
    state.minute = -1


@compiled
def note_mode(before: int, account: Account, told: Told) -> None:
    """Tell of the account's mode where it is another than before."""
    state, book = account.states[0], account.books[0]
    if book.mode != before:
        change = told.changes[state.changes]
        change.bar = (state.earlier + state.session) * SESSION_MINUTES + state.minute
        change.mode = book.mode
        state.changes += 1
