"""Before a session opens: whether what it needs is there, and which symbols it can trade.

Nothing here trades or writes. Every check runs, whatever the others say, so that a person mends all at once.
"""

from collections import Counter
from collections.abc import Callable, Collection

from trading_platform.calendars.sessions import Session
from trading_platform.domain.clock import SimulatedClock
from trading_platform.domain.errors import TemporaryError, TradingPlatformError
from trading_platform.domain.orders import OrderState
from trading_platform.domain.reports import Listing, PreflightCheck
from trading_platform.engine.values import Parts
from trading_platform.ledger.ledger import Ledger
from trading_platform.marketdata.day import ATR_BARS, DAILY_HISTORY, VOLUME_SESSIONS, ends_before
from trading_platform.marketdata.quality import judge_daily

Found = tuple[bool, str]
"""Whether a check passed, and what it found."""


def preflight(parts: Parts, session: Session, universe: tuple[Listing, ...]) -> tuple[PreflightCheck, ...]:
    """Every check of a session, in the order in which a person would mend them."""

    def check(name: str, look: Callable[[], Found]) -> PreflightCheck:
        try:
            passed, detail = look()
        except TradingPlatformError as error:
            passed, detail = False, str(error)
        return PreflightCheck(name=name, passed=passed, detail=detail)

    return (
        check("session", lambda: _session(parts, session)),
        check("database", lambda: _database(parts)),
        check("clock", lambda: _clock(parts)),
        check("broker", lambda: _broker(parts)),
        check("market data", lambda: _market_data(universe)),
        check("strategies", lambda: _strategies(parts)),
    )


def universe(parts: Parts, session: Session) -> tuple[Listing, ...]:
    """The session's symbols, in their order, each with what forbids entries in it and what it misses of its history.

    What is known only after the open (the pre-market, the gap) is not asked for.
    """
    return tuple(_listing(parts, symbol, session) for symbol in parts.symbols)


def _session(parts: Parts, session: Session) -> Found:
    # A simulated clock goes back to any session of the past; the machine's does not.
    if not isinstance(parts.clock, SimulatedClock) and parts.clock.now() >= session.close:
        return False, f"the session {session.day} is over: it closed at {session.close.isoformat()}"
    kind = "a half day" if session.is_half_day else "a full session"
    return True, f"{session.day} is {kind} of {session.minutes} minutes"


def _database(parts: Parts) -> Found:
    last = parts.ledger.last_cycle()
    return (
        True,
        "no minute is recorded yet" if last is None else f"the last recorded bar is {last.bar_time.isoformat()}",
    )


def _clock(parts: Parts) -> Found:
    skew, limit = parts.clock_skew_ms(), parts.limits.max_clock_skew_ms
    said = f"{skew} ms from the database's clock, {limit} ms are allowed"
    return abs(skew) <= limit, said if abs(skew) <= limit else f"{said}: set this machine's clock (NTP)"


def at_brokers(ledger: Ledger) -> dict[str, str]:
    """What the book has at each broker, in words; brokers at which it has nothing are left out."""
    orders = Counter(
        one.venue
        for one in ledger.open_orders()
        if one.intent.kind.is_order and one.venue is not None and one.state is not OrderState.INTENDED
    )
    held: dict[str, set[str]] = {}
    for one in ledger.held():
        if one.quantity:
            held.setdefault(one.venue, set()).add(one.symbol)
    return {
        venue: f"{orders[venue]} open orders at {venue} and holds "
        f"{', '.join(sorted(held.get(venue, ()))) or 'nothing'} there"
        for venue in sorted(orders.keys() | held.keys())
    }


def unconfigured(ledger: Ledger, names: Collection[str]) -> tuple[str, ...]:
    """A sentence for each broker at which the book has open orders or holdings, and which is none of `names`."""
    return tuple(
        f"the book {ledger.book!r} has {what}, and {venue} is not configured: name it as brokers.backup until nothing "
        "is left there"
        for venue, what in at_brokers(ledger).items()
        if venue not in names
    )


def _broker(parts: Parts) -> Found:
    said = list(unconfigured(parts.ledger, [one.name for one in parts.routes.brokers]))
    well = not said
    for broker in parts.routes.brokers:
        try:
            cash, positions = broker.cash(), broker.positions()
        except TemporaryError as error:
            # With a backup that answers, the session can trade.
            well = well and broker is not parts.routes.primary
            said.append(f"{broker.name} does not answer: {error}")
        else:
            said.append(f"{broker.name} answers: {cash} dollars and {len(positions)} positions")
    return well, "; ".join(said)


def _market_data(universe: tuple[Listing, ...]) -> Found:
    tradable = sum(one.tradable for one in universe)
    if tradable:
        return True, f"{tradable} of {len(universe)} symbols can be traded"
    first = universe[0] if universe else None
    why = f"; {first.symbol}: {', '.join(first.lacks)}" if first is not None else ""
    return False, f"no symbol can be traded{why}"


def _strategies(parts: Parts) -> Found:
    if parts.unloaded:
        return False, "; ".join(parts.unloaded)
    return True, ", ".join(strategy.name for strategy in parts.strategies)


def _listing(parts: Parts, symbol: str, session: Session) -> Listing:
    lacks: list[str] = []
    if symbol in parts.limits.restricted_symbols:
        lacks.append("it is on the restricted list")
    try:
        daily, _ = judge_daily(symbol, parts.provider.daily_bars(symbol, session.day, DAILY_HISTORY))
        minutes = parts.provider.minute_sessions(symbol, session.day)
    except TradingPlatformError as error:
        return Listing(symbol=symbol, lacks=(*lacks, str(error)))
    needed = max(VOLUME_SESSIONS, ATR_BARS + 1)
    if not ends_before(daily, parts.calendar.previous(session.day)):
        lacks.append("no daily bar of the session before")
    elif len(daily) < needed:
        lacks.append(f"{len(daily)} daily bars, {needed} are needed")
    misses = () if minutes else ("no earlier session of minute bars, so that no relative volume is known",)
    return Listing(symbol=symbol, lacks=tuple(lacks), misses=misses)
