"""The compiled loop of a backtest: session by session and minute by minute, as a paper session's cycles follow each other.

One minute is one cycle: what the bar filled is booked, holdings are marked, the kernel decides, and what it decided goes
to the venue, where it may fill from the next bar on. Only symbols that may bring a decision are looked at (`quiet`), and
minutes in which there are none only weigh the account. Nothing here calls Python: where room is lacking the loop stops
before the minute that needs it, with a code that says so, and goes on where it stopped.

Belongs here: the order of things. What is done in each step is in the modules beside it.
"""

from typing import Final

from trading_platform.backtest.loop.arrays import Account, Array, Desk, Market, Said, Told
from trading_platform.backtest.loop.codes import DONE, HELD, OVERSOLD, TOLD, WORK
from trading_platform.backtest.loop.dispatch import send
from trading_platform.backtest.loop.lives import book_fills, end_lives
from trading_platform.backtest.loop.openings import NEVER, close_session, note_mode, open_session
from trading_platform.backtest.loop.quiet import rest, wake
from trading_platform.backtest.loop.shown import link_entries, list_positions, propose
from trading_platform.backtest.loop.venue import clear_ended, end_filled, expire_all, match
from trading_platform.brokers.fill_model import FILLS_PER_ORDER
from trading_platform.domain.compiled import compiled_into_callers as compiled
from trading_platform.domain.records import MAX_LEGS, SESSION_MINUTES
from trading_platform.domain.rounding import price_from_float
from trading_platform.portfolio.kernel import DECISIONS_PER_HOLDING, decide, weigh

ORDERS_PER_ENTRY: Final = 3 * (MAX_LEGS + 1)
"""The most that an entry is sent as: an order for each leg, with its stop and target."""
ORDERS_PER_LIFE: Final = MAX_LEGS + 2
"""The most new orders that one minute sends for a holding: exits and a stop."""
CHANGES_PER_LIFE: Final = 2 * (MAX_LEGS + 2)
"""The most changes: every entry order cancelled, every stop reduced."""


@compiled
def run(market: Market, said: Said, account: Account, desk: Desk, told: Told) -> int:
    """Run the block from where it stands. Returns `DONE`, or why it stopped (`codes`)."""
    state = account.states[0]
    while state.session < state.sessions:
        if state.minute < 0:
            code = open_session(market, account, told)
            if code != DONE:
                return code
        while state.minute < state.minutes:
            minute = _next_minute(said, account)
            if minute > state.minute:
                _pass_quietly(minute, account, told)
                continue
            rows = _rows_of_minute(said, account)
            code = _room(rows, account, desk, told)
            if code != DONE:
                return code
            if not _look(market, said, account, desk, told):
                return OVERSOLD
            state.minute += 1
        close_session(account, told)
    return DONE


@compiled
def _next_minute(said: Said, account: Account) -> int:
    """The next minute of the session that must be looked at; the session's end without one."""
    state = account.states[0]
    minute: int = state.minute
    if state.active > 0:
        return minute
    until: int = state.minutes
    first = state.session * SESSION_MINUTES
    for s in range(account.sources.size):
        source = account.sources[s]
        if source.next < source.end:
            until = min(until, said.bars[source.next] - first)
    if state.lives == 0:
        return max(minute, until)
    while minute < until and account.buckets[minute] == 0:
        minute += 1
    return minute


@compiled
def _rows_of_minute(said: Said, account: Account) -> int:
    """How many entries are proposed on the present bar."""
    state = account.states[0]
    bar = state.session * SESSION_MINUTES + state.minute
    rows = 0
    for s in range(account.sources.size):
        source = account.sources[s]
        row = source.next
        while row < source.end and said.bars[row] == bar:
            row += 1
        rows += row - source.next
    return rows


@compiled
def _room(rows: int, account: Account, desk: Desk, told: Told) -> int:
    """`DONE` where whatever a minute with so many signals may bring finds room; else where room is lacking."""
    state = account.states[0]
    lives: int = state.lives + rows
    working: int = state.open_orders
    orders = rows * ORDERS_PER_ENTRY + state.lives * ORDERS_PER_LIFE
    sent = orders + state.lives * CHANGES_PER_LIFE
    if (
        state.decisions + DECISIONS_PER_HOLDING * (state.lives + 1) + rows > told.decisions.size
        or state.sent + sent > told.sent.size
        or state.executions + FILLS_PER_ORDER * working > told.executions.size
        or state.changes >= told.changes.size
    ):
        return TOLD
    if state.orders_used + orders > account.orders.size or state.lives_used + rows > account.lives.size:
        return HELD
    if lives > desk.positions.size or rows > desk.entries.size or working > desk.matched.size:
        return WORK
    return DONE


@compiled
def _pass_quietly(until: int, account: Account, told: Told) -> None:
    """Weigh the account in the minutes up to `until`, in which there is no decision.

    The mode can only change where the equity is lower than any since its highest, so the rules are asked there alone.
    """
    state, book = account.states[0], account.books[0]
    book.holdings = state.lives
    book.quiet = state.lives
    _count_orders(account)
    if state.lives == 0:
        _stand_still(until, account, told)
        return
    first = state.session * SESSION_MINUTES
    while state.minute < until:
        worth = 0
        for s in range(account.sources.size):
            worth += account.worth[s, state.minute]
        equity = book.cash + worth
        if equity < state.worst_equity or equity > book.peak_equity:
            mode = book.mode
            book.quiet_worth = worth
            weigh(book, 0, 0, 0)
            state.worst_equity = book.equity
            note_mode(mode, account, told)
        told.equity[first + state.minute] = equity
        told.cash[first + state.minute] = book.cash
        book.equity = equity
        state.minute += 1


@compiled
def _stand_still(until: int, account: Account, told: Told) -> None:
    """The same where nothing is held or on order: all these minutes are alike."""
    state, book = account.states[0], account.books[0]
    cash: int = book.cash
    if cash < state.worst_equity or cash > book.peak_equity:
        mode = book.mode
        book.quiet_worth = 0
        weigh(book, 0, 0, 0)
        state.worst_equity = book.equity
        note_mode(mode, account, told)
    first = state.session * SESSION_MINUTES
    for bar in range(first + state.minute, first + until):
        told.equity[bar] = cash
        told.cash[bar] = cash
    book.equity = cash
    state.minute = until


@compiled
def _count_orders(account: Account) -> None:
    book = account.books[0]
    book.orders_day = 0
    for s in range(account.sources.size):
        book.orders_day += account.sources[s].orders


@compiled
def _look(market: Market, said: Said, account: Account, desk: Desk, told: Told) -> bool:
    """One cycle. False where more was sold than is held."""
    state, book = account.states[0], account.books[0]
    bar = state.session * SESSION_MINUTES + state.minute
    desk.touched[1] = _touch_entries(market, said, account, bar)
    _wake_due(market, account, bar)
    proposed = _hear(market, said, account, desk, bar)
    _sort(account.active, state.active)
    desk.touched[0] = _touch_bars(market, account, bar)
    for k in range(state.active):
        if not _take_bar(account.active[k], market, account, desk, told, bar):
            return False
    mode = book.mode
    _decide(proposed, market, said, account, desk, told, bar)
    note_mode(mode, account, told)
    told.equity[bar] = book.equity
    told.cash[bar] = book.cash
    # Whatever came of this minute, the next one asks the rules.
    state.worst_equity = NEVER
    _let_rest(market, said, account, desk)
    return True


@compiled
def _touch_bars(market: Market, account: Account, bar: int) -> float:
    """Read the bars of everything that is looked at, and make a number of them, so that they are read indeed.

    They lie far apart. Read one after the other while nothing waits for any of them, they come together.
    """
    touched = 0.0
    for k in range(account.states[0].active):
        symbol = account.active[k]
        touched += market.closes[symbol, bar]
        if account.listings[symbol].order != 0:
            touched += market.opens[symbol, bar] + market.highs[symbol, bar]
            touched += market.lows[symbol, bar] + market.volumes[symbol, bar]
    return touched


@compiled
def _touch_entries(market: Market, said: Said, account: Account, bar: int) -> float:
    """The same with what is asked of the symbols that are to be entered."""
    touched = 0.0
    for s in range(account.sources.size):
        row = account.sources[s].next
        while row < account.sources[s].end and said.bars[row] == bar:
            symbol = said.symbols[row]
            touched += market.closes[symbol, bar] + market.volumes[symbol, bar] + market.opens[symbol, bar]
            touched += market.highs[symbol, bar] + market.lows[symbol, bar]
            touched += market.days[symbol, account.states[0].session].average_daily_volume
            touched += account.listings[symbol].mark + account.pairs[s, symbol].session
            row += 1
    return touched


@compiled
def _sort(active: Array, count: int) -> None:
    """Put symbols in order. Most stand in it already: those of the minute before do."""
    for k in range(1, count):
        symbol = active[k]
        place = k
        while place > 0 and active[place - 1] > symbol:
            active[place] = active[place - 1]
            place -= 1
        active[place] = symbol


@compiled
def _wake_due(market: Market, account: Account, bar: int) -> None:
    state = account.states[0]
    for k in range(state.active):
        account.listings[account.active[k]].looked_at = bar + 1
    while account.buckets[state.minute] != 0:
        _wake(account.buckets[state.minute] - 1, market, account, bar)


@compiled
def _wake(symbol: int, market: Market, account: Account, bar: int) -> None:
    state = account.states[0]
    wake(
        symbol,
        state,
        account.listings,
        account.lives,
        account.sources,
        account.worth,
        account.buckets,
        market.closes,
    )
    account.listings[symbol].looked_at = bar + 1
    account.active[state.active] = symbol
    state.active += 1


@compiled
def _hear(market: Market, said: Said, account: Account, desk: Desk, bar: int) -> int:
    """Write the entries that are proposed, and look at what is held in their symbols. Returns their number."""
    proposed = 0
    for s in range(account.sources.size):
        source = account.sources[s]
        while source.next < source.end and said.bars[source.next] == bar:
            if source.muted == 0:
                symbol = said.symbols[source.next]
                propose(desk.entries[proposed], s, symbol, said.outs[source.next], market, account, bar)
                proposed += 1
                listing = account.listings[symbol]
                if listing.life != 0 and listing.looked_at != bar + 1:
                    _wake(symbol, market, account, bar)
            source.next += 1
    return proposed


@compiled
def _take_bar(symbol: int, market: Market, account: Account, desk: Desk, told: Told, number: int) -> bool:
    """What the bar does to one symbol: fills and their booking, orders that end, its mark."""
    state, listing, bar = account.states[0], account.listings[symbol], desk.bars[0]
    close = market.closes[symbol, number]
    came = close > 0.0
    if listing.order != 0:
        if came:
            bar.time = state.opens + 60 * state.minute
            bar.open = price_from_float(market.opens[symbol, number])
            bar.high = price_from_float(market.highs[symbol, number])
            bar.low = price_from_float(market.lows[symbol, number])
            bar.close = price_from_float(close)
            bar.volume = int(market.volumes[symbol, number])
            written = match(bar, state, listing, account.orders, desk.matched, desk.places, desk.fills)
            if written > 0 and not book_fills(
                written,
                bar,
                state.earlier * SESSION_MINUTES + number,
                state,
                account.books[0],
                account.fees[0],
                account.orders,
                account.lives,
                account.sources,
                account.pairs,
                desk.places,
                desk.fills,
                told.executions,
            ):
                return False
            end_filled(state, listing, account.orders)
        if state.minute == state.minutes - 1:
            expire_all(state, listing, account.orders)
        clear_ended(state, listing, account.orders)
        end_lives(state, listing, account.lives, account.orders)
    if came:
        listing.mark = price_from_float(close)
        place = listing.life
        while place != 0:
            life = account.lives[place - 1]
            if life.holding.quantity > 0:
                life.highest_close = max(life.highest_close, listing.mark)
            place = life.next
    return True


@compiled
def _decide(proposed: int, market: Market, said: Said, account: Account, desk: Desk, told: Told, bar: int) -> None:
    """Let the kernel decide on the symbols that are looked at and on the proposed entries, and send what it says."""
    state, book = account.states[0], account.books[0]
    plans = account.plans[state.plans]
    book.minute = state.minute
    book.now = state.opens + 60 * (state.minute + 1)
    book.holdings = state.lives
    book.open_orders = state.open_orders
    book.orders_second = 0
    book.orders_minute = 0
    book.linked = 1
    net = list_positions(market, said, account, desk, bar)
    link_entries(proposed, account, desk)
    book.quiet_worth = 0
    _count_orders(account)
    for s in range(account.sources.size):
        source, day = account.sources[s], plans[s].day
        worth = account.worth[s, state.minute]
        book.quiet_worth += worth
        day.orders = source.orders
        day.set_aside = 1 if state.minute >= source.set_aside else 0
        day.day_pnl = source.net + worth - source.quiet_cost + source.gain
    if state.minute == 0:
        book.open_equity = book.cash + net
        book.peak_equity = book.open_equity
        told.opened[state.session] = book.open_equity
    count = decide(account.books, desk.positions, desk.entries[:proposed], plans, told.decisions[state.decisions :])
    number = state.earlier * SESSION_MINUTES + bar
    for _ in range(count):
        decision = told.decisions[state.decisions]
        told.decision_bars[state.decisions] = number
        listing = account.listings[decision.symbol]
        account.sources[decision.strategy].orders += send(
            decision,
            number,
            state,
            book,
            plans[decision.strategy],
            listing,
            account.lives,
            account.orders,
            account.pairs[decision.strategy, decision.symbol],
            told.sent,
        )
        if listing.looked_at != bar + 1 and listing.life != 0:
            listing.looked_at = bar + 1
            listing.mark = decision.price
            account.active[state.active] = decision.symbol
            state.active += 1
        state.decisions += 1


@compiled
def _let_rest(market: Market, said: Said, account: Account, desk: Desk) -> None:
    """Take out what has ended, and put to rest what can be; the others are looked at again in the next minute."""
    state = account.states[0]
    plans = account.plans[state.plans]
    kept = 0
    for k in range(state.active):
        symbol = account.active[k]
        listing = account.listings[symbol]
        clear_ended(state, listing, account.orders)
        end_lives(state, listing, account.lives, account.orders)
        if listing.life == 0:
            continue
        rests = rest(
            symbol,
            state,
            account.listings,
            account.lives,
            desk.positions,
            account.orders,
            plans,
            account.sources,
            account.worth,
            account.buckets,
            market.closes,
            market.lows,
            market.highs,
            said,
        )
        if not rests:
            account.active[kept] = symbol
            kept += 1
    state.active = kept
