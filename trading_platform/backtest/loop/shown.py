"""What the kernel is shown of a minute of a backtest: the entries that are proposed, and the positions that are looked at.

The records are those that `portfolio.decide` makes of values in a paper session. Belongs here: how they are written.
What a position is worked out from is `lives`; what is decided is `portfolio.kernel`.
"""

from trading_platform.backtest.loop.arrays import Account, Desk, Market, Said
from trading_platform.backtest.loop.lives import life_of, write_position
from trading_platform.backtest.loop.openings import NEVER
from trading_platform.domain.compiled import compiled_into_callers as compiled
from trading_platform.domain.records import Record
from trading_platform.domain.rounding import price_from_float, tick_down
from trading_platform.portfolio.in_symbol import join


@compiled
def propose(entry: Record, strategy: int, symbol: int, out: Record, market: Market, account: Account, bar: int) -> None:
    """Write a proposed entry, but for what the minute's fills may change."""
    state, limits = account.states[0], account.books[0].limits
    entry.strategy = strategy
    entry.symbol = symbol
    entry.price = price_from_float(market.closes[symbol, bar])
    entry.age = 0
    entry.limit = tick_down(price_from_float(out.limit))
    entry.stop = tick_down(price_from_float(out.stop))
    entry.valid_bars = out.valid_bars
    entry.setup = out.setup
    entry.frozen = 0
    entry.barred = account.listings[symbol].barred
    pair = account.pairs[strategy, symbol]
    session = state.earlier + state.session + 1
    if pair.session != session:
        if pair.entered >= limits.entries_day:
            pair.disabled = 1
        pair.session = session
        pair.entered = 0
        pair.attempts = 0
    entry.entered = pair.entered
    entry.disabled = pair.disabled
    average = market.days[symbol, state.session].average_daily_volume
    entry.average_volume = int(average) if abs(average) < NEVER else 0
    entry.bar_volume = int(market.volumes[symbol, bar])


@compiled
def list_positions(market: Market, said: Said, account: Account, desk: Desk, bar: int) -> int:
    """Write the records of what is looked at, by strategy, then symbol. Returns what it is worth at its marks."""
    state = account.states[0]
    count, net = 0, 0
    for s in range(account.sources.size):
        source = account.sources[s]
        source.gain = 0
        for k in range(state.active):
            listing = account.listings[account.active[k]]
            place = life_of(s, listing, account.lives)
            if place == 0:
                continue
            life, position = account.lives[place - 1], desk.positions[count]
            count += 1
            life.record = count
            write_position(position, place, life, listing, account.orders)
            _write_seen(position.seen, life, listing, market, said, account, bar)
            if listing.record == 0:
                position.next = count
            else:
                join(listing.record, count, desk.positions)
            listing.record = count
            net += position.quantity * position.mark
            if listing.mark != 0:
                source.gain += position.quantity * position.mark - life.holding.cost
    account.books[0].quiet = state.lives - count
    return net


@compiled
def _write_seen(
    seen: Record, life: Record, listing: Record, market: Market, said: Said, account: Account, bar: int
) -> None:
    """Write what the bar showed of a holding."""
    source = account.sources[life.strategy]
    seen.present = 1 if market.closes[life.symbol, bar] > 0.0 else 0
    seen.close = listing.mark if seen.present != 0 else 0
    seen.exit = 0
    seen.invalidates = 0
    seen.level1 = 0.0
    seen.level2 = 0.0
    if source.muted != 0:
        return
    if source.exits >= 0:
        seen.exit = said.exits[source.exits, life.symbol, bar]
    if source.invalidates >= 0:
        seen.invalidates = said.invalidates[source.invalidates, life.symbol, bar]
    if source.levels >= 0:
        # There is but one level that the plan looks at.
        seen.level1 = said.levels[source.levels, life.symbol, bar]
        seen.level2 = seen.level1


@compiled
def link_entries(proposed: int, account: Account, desk: Desk) -> None:
    """Tell each proposed entry where its symbol's records are, and forget those of this minute."""
    for j in range(proposed - 1, -1, -1):
        entry = desk.entries[j]
        listing = account.listings[entry.symbol]
        entry.held = listing.record
        entry.next = listing.entry
        listing.entry = j + 1
        entry.attempts = account.pairs[entry.strategy, entry.symbol].attempts
    for j in range(proposed):
        account.listings[desk.entries[j].symbol].entry = 0
    for k in range(account.states[0].active):
        account.listings[account.active[k]].record = 0
