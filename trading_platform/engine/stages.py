"""The four stages of a cycle: fetch, evaluate, decide, place.

Each takes the value that the stage before it gave, and gives a frozen one. A control room may call them one by one (the
ops of a job) or `cycle` in one go: the rows that they leave are the same. What the stages keep in the process between
cycles (day records, folded states) is a cache of what the session's bars say, and is made again where it is not there.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final

import numpy as np

from trading_platform.calendars.sessions import Session, bar_time, exchange_day
from trading_platform.domain.decisions import Barred
from trading_platform.domain.errors import DatabaseUnavailable, InvalidInput, NotOwner, TemporaryError
from trading_platform.domain.fills import Position
from trading_platform.domain.orders import IntentKind, OrderState, OrderStatus
from trading_platform.domain.reports import CycleReport, DataProblem, ReconcileReport
from trading_platform.domain.signals import ExitReason, Signal, TriggerOn
from trading_platform.engine.record import cycle_record, cycle_report, read_back
from trading_platform.engine.session_state import SessionState
from trading_platform.engine.values import Evaluated, Fetched, Parts, Planned, Records
from trading_platform.ledger.commands import Overtaken
from trading_platform.ledger.ownership import Lease, Ownership
from trading_platform.ledger.projections import CarriedHoldings
from trading_platform.marketdata.bars import SessionBars
from trading_platform.marketdata.fetch import fetch_bars
from trading_platform.orders.breaks import ACCOUNT
from trading_platform.orders.clearing import Cleared, Clearing
from trading_platform.orders.conservation import require_decided
from trading_platform.orders.intents import SessionOrders, make_intents
from trading_platform.orders.outbox import Outbox
from trading_platform.orders.reconcile import Reconciled, Reconciler
from trading_platform.orders.standing import Standing, standing
from trading_platform.portfolio.account import AccountView, Key, OrdersSent
from trading_platform.portfolio.decide import Minute
from trading_platform.strategies.contract import Strategy

_SECOND: Final = timedelta(seconds=1)
_MINUTE: Final = timedelta(minutes=1)


class Stages:
    """The stages of one book, with what they keep between the cycles of a session."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._outbox = Outbox(
            ledger=parts.ledger,
            routes=parts.routes,
            clock=parts.clock,
            calendar=parts.calendar,
            deadline=parts.call_deadline,
        )
        self._reconciler = Reconciler(
            ledger=parts.ledger,
            routes=parts.routes,
            clock=parts.clock,
            calendar=parts.calendar,
            outbox=self._outbox,
            cash_tolerance=parts.cash_tolerance,
        )
        self._clearing = Clearing(
            ledger=parts.ledger,
            routes=parts.routes,
            clock=parts.clock,
            calendar=parts.calendar,
            outbox=self._outbox,
            reconciler=self._reconciler,
        )
        self._lease: Lease | None = None
        # By bar; None: no cycle decided its orders. A cache: what is recorded does not change.
        self._decided_at: dict[datetime, datetime | None] = {}
        self._day: SessionState | None = None
        self._carried = CarriedHoldings(parts.ledger)

    def recover(self) -> Reconciled:
        """Reconcile without a cycle: what a start does first, at the moment of the last recorded decisions."""
        entering = self._entering(standing(self.parts.ledger, session_of(self.parts)))
        return self._reconciler.run(self._hold(), entering=entering, hold=self._hold)

    def clear(self, day: date) -> Cleared:
        """Reconcile without a cycle, and obey the commands of the session `day` that are not done (`orders.clearing`).

        Raises what `fetch` raises.
        """
        reconciled = self._reconciler.run(self._hold(), entering=False, hold=self._hold)
        return self._clearing.obey(day, self._hold, reconciled)

    def release(self) -> None:
        """Give the shards back, where they are held."""
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.release()

    def fetch(self, day: date, minute: int) -> Fetched:
        """Reconcile, then take the session's bars so far.

        Raises:
            InvalidInput: `day` is no session, it has no such minute, or its bar has not closed yet.
            NotOwner: another process owns the book.
            DatabaseUnavailable: the ledger does not answer; nothing is lost.
        """
        session = self.parts.calendar.session(day)
        start = bar_time(session, minute)
        until = start + _MINUTE
        if self.parts.clock.now() < until:
            raise InvalidInput(
                f"the bar of {start.isoformat()} closes at {until.isoformat()}",
                mend=f"It is {self.parts.clock.now().isoformat()} now; wait for it",
            )
        # First what may take long (day records, compiling), then the lease, which runs out.
        state = self._state(session)
        found = standing(self.parts.ledger, day)
        ownership = self._hold()
        reconciled = self._reconciler.run(ownership, entering=self._entering(found), hold=self._hold)
        if found.commands:
            reconciled = self._clearing.obey(day, self._hold, reconciled).reconciled
            self._hold()
        # It may have had to be taken anew in the meantime.
        ownership = self._lease.ownership if self._lease is not None else ownership
        bars, problems = self._fetch_bars(session, start, until, state)
        return Fetched(
            session=day,
            minute=minute,
            bar_time=start,
            ownership=ownership,
            reconciled=reconciled,
            bars=bars,
            days=state.days,
            problems=problems,
        )

    def _fetch_bars(
        self, session: Session, start: datetime, until: datetime, state: SessionState
    ) -> tuple[SessionBars, tuple[DataProblem, ...]]:
        """The session's bars so far, and the problems that were not there a minute ago.

        With the first minute come those of the day records, which have seen the morning's bars already.
        """
        bars, problems = fetch_bars(self.parts.provider, self.parts.symbols, session, until, state.seen)
        if start == session.open:
            return bars, state.problems + _new_problems(problems, state.problems)
        if problems:
            known = fetch_bars(self.parts.provider, self.parts.symbols, session, start, state.seen)[1]
            problems = _new_problems(problems, known)
        return bars, problems

    def evaluate(self, fetched: Fetched) -> Evaluated:
        """Fold the strategies' steps up to the decided minute."""
        return self._state(fetched.bars.session).evaluate(fetched)

    def decide(self, evaluated: Evaluated) -> Planned:
        """Let the kernel decide, unless this minute was decided before: then its decisions are read back."""
        fetched = evaluated.fetched
        account = self._account(evaluated)
        names = tuple(strategy.name for strategy in self.parts.strategies)
        state = self._state(fetched.bars.session)
        market = Minute(
            bars=fetched.bars,
            minute=fetched.minute,
            outs=evaluated.outs,
            days=fetched.days,
            set_aside=state.set_aside(),
            lateness=int((self.parts.clock.now() - fetched.bar_time - _MINUTE).total_seconds()),
            barred=self._barred(evaluated),
            clock_skew_ms=self.parts.clock_skew_ms(),
        )
        recorded = self.parts.ledger.cycle(fetched.bar_time)
        if recorded is not None:
            return Planned(
                evaluated=evaluated,
                signals=recorded.signals,
                decided=read_back(recorded, account),
                decisions=recorded.decisions,
                intents=(),
                account=account,
                strategies=names,
                recorded=True,
            )
        decided = state.desk.decide(market, account)
        working = SessionOrders(statuses=account.orders, at_broker=account.broker_orders)
        resting = {one.name for one in state.strategies if one.exit_plan.stop_on is TriggerOn.TOUCH}
        return Planned(
            evaluated=evaluated,
            signals=tuple(_signals(market, self.parts.strategies, account, fetched.bar_time)),
            decided=decided,
            decisions=decided.decisions,
            intents=make_intents(
                self.parts.ledger.book, decided.decisions, working, resting.__contains__, state.desk.entry_legs
            ),
            account=account,
            strategies=names,
            recorded=False,
        )

    def place(self, planned: Planned) -> CycleReport:
        """Record the cycle with its intents in one commit, then send them.

        Raises:
            NotOwner: The book was lost to another owner: nothing was recorded, or what was is its new owner's to send.
            ConservationBroken: More would go out than was decided (nothing was recorded) or committed (nothing was sent).
            TemporaryError: Everything is recorded, and some of it could certainly not be sent; the next reconcile sends
                what still fits.
        """
        ownership = planned.evaluated.fetched.ownership
        sent = 0
        if not planned.recorded:
            planned = self._recorded(planned, ownership)
            sent = self._outbox.send(planned.intents, ownership)
            if sent < sum(intent.parent is None for intent in planned.intents):
                self._require_left(planned)
        return cycle_report(planned, self.parts.ledger.book, sent)

    def _recorded(self, planned: Planned, ownership: Ownership) -> Planned:
        """Commit what was decided; anew, where a person has given a command since the account was looked at.

        An entry would outlive that command: who cancels or closes everything means what was committed before.
        """
        while not planned.recorded:
            orders = SessionOrders(statuses=planned.account.orders, at_broker=planned.account.broker_orders)
            require_decided(planned.decisions, planned.intents, orders)
            if self._lease is not None:
                # At the epochs that the cycle began with: whoever has lost them since decides nothing.
                self._lease.renew_if_due()
            told = planned.account.told if any(one.kind is IntentKind.ENTRY for one in planned.intents) else None
            try:
                self.parts.ledger.record_cycle(cycle_record(planned, self.parts), planned.intents, ownership, told)
            except Overtaken:
                planned = self.decide(planned.evaluated)
            else:
                break
        return planned

    def _require_left(self, planned: Planned) -> None:
        """Raise `TemporaryError` if intents stand as not sent: what was decided did not happen, and nobody would know.

        Of a broker that the cycle's report says to be away, everybody knows.
        """
        away = planned.evaluated.fetched.reconciled.report.away
        statuses = self.parts.ledger.orders_by_id([one.id for one in planned.intents if one.parent is None])
        left = [
            status.intent
            for status in statuses.values()
            if status.state is OrderState.INTENDED and status.venue not in away
        ]
        if left:
            said = "; ".join(f"{one.kind} {one.symbol}: {self.parts.ledger.events(one.id)[-1].detail}" for one in left)
            raise TemporaryError(f"not sent: {said}. What still fits is sent with the next minute")

    def _barred(self, evaluated: Evaluated) -> dict[str, Barred]:
        """Of the symbols that a strategy wants to enter, those that must not be entered."""
        parts, at = self.parts, self.parts.clock.now()
        barred: dict[str, Barred] = {}
        for symbol in (parts.symbols[row] for row in _wanted(evaluated)):
            if symbol in parts.limits.restricted_symbols:
                barred[symbol] = Barred.RESTRICTED
            elif parts.provider.halted(symbol, evaluated.fetched.session, at):
                barred[symbol] = Barred.HALTED
        return barred

    def _wanting(self, evaluated: Evaluated) -> frozenset[Key]:
        """The strategies that want to enter, each with the symbol."""
        return frozenset(
            (strategy.name, self.parts.symbols[row])
            for strategy, outs in zip(self.parts.strategies, evaluated.outs, strict=True)
            for row in np.flatnonzero(outs["entry"])
        )

    def _entering(self, found: Standing) -> bool:
        """Whether an entry that was committed and has never left may still be sent: no command is against it."""
        return self.parts.entering and not (found.commands or found.flatten or self.parts.ledger.halted())

    def _hold(self) -> Ownership:
        """Renew the lease, or take the shards (anew, if the connection that showed that we live is gone)."""
        if self._lease is not None:
            try:
                self._lease.renew()
            except (NotOwner, DatabaseUnavailable):
                self._lease.abandon()
                self._lease = None
        if self._lease is None:
            self._lease = self.parts.ledger.take(self.parts.owner, self.parts.lease)
        return self._lease.ownership

    def _state(self, session: Session) -> SessionState:
        if self._day is None or self._day.session != session:
            self._day = SessionState(self.parts, session)
        return self._day

    def _account(self, evaluated: Evaluated) -> AccountView:
        fetched = evaluated.fetched
        ledger, session = self.parts.ledger, fetched.bars.session
        before, now = self._carried.at(session.open)
        last, extremes = ledger.last_cycle(fetched.session), ledger.extremes(fetched.session)
        orders = self._orders(fetched.session, now.positions.values())
        # Looked up only where an entry waits for an answer: it is asked of nothing else.
        wanting = self._wanting(evaluated)
        entering = len(wanting) > 0
        # Before what the commands come to: one that is given in between is looked at twice, and never not at all.
        newest = ledger.newest_command() if entering else None
        told = standing(ledger, fetched.session)
        return AccountView(
            cash=now.cash,
            positions=now.positions,
            orders=orders,
            broker_orders=fetched.reconciled.view.orders,
            attempts=ledger.filled_entries(fetched.session),
            mode=extremes.worst_mode,
            open_equity=last.open_equity if last is not None else None,
            peak_equity=extremes.peak_equity,
            baseline=_results(before.positions.values()),
            frozen=self._frozen(fetched.reconciled.report, now.positions.values(), orders),
            flatten=told.flatten,
            halted=told.closing or ledger.halted() or not self.parts.entering,
            told=newest,
            sent=self._sent(fetched.session, entering=entering),
            entries_sent=ledger.entries_sent(fetched.session) if entering else {},
            disabled=ledger.disabled(self.parts.limits.max_entries_per_day, wanting) if entering else frozenset(),
            decided_at=self._decisions_of(orders, session),
            legs_wait_at=frozenset(
                one.name for one in self.parts.routes.brokers if not one.capabilities.legs_follow_fills
            ),
        )

    def _frozen(
        self, report: ReconcileReport, positions: Iterable[Position], orders: Iterable[OrderStatus]
    ) -> frozenset[str]:
        """Symbols that nothing is entered in: those of breaks, and what is held or works at a broker that is away."""
        broken = {found.symbol for found in report.breaks}
        if ACCOUNT in broken or (report.away and self.parts.routes.backup is None):
            return frozenset(self.parts.symbols)
        broken |= {one.symbol for one in positions if one.quantity > 0 and one.venue in report.away}
        broken |= {one.intent.symbol for one in orders if not one.state.is_final and one.venue in report.away}
        return frozenset(broken)

    def _sent(self, day: date, *, entering: bool) -> OrdersSent:
        """What has been sent, by the clock of the cycles that decided it: so a session that is run again counts it too.

        The whole session's count stops the account, whatever is decided; the last second's and minute's hold back
        entries alone.
        """
        ledger, now = self.parts.ledger, self.parts.clock.now()
        session = ledger.orders_sent(day)
        if not session or not entering:
            return OrdersSent(session=session)
        within = [sum(ledger.orders_sent(day, now - window).values()) for window in (_SECOND, _MINUTE)]
        return OrdersSent(second=within[0], minute=within[1], session=session)

    def _decisions_of(self, orders: Iterable[OrderStatus], session: Session) -> dict[datetime, datetime]:
        """When the bars of this session's orders were decided; asked again only when there is an order of a new bar."""
        bars = {one.intent.bar_time for one in orders if one.intent.bar_time >= session.open}
        if not bars <= self._decided_at.keys():
            cycles = self.parts.ledger.cycles(session.day)
            self._decided_at = dict.fromkeys(bars) | {one.bar_time: one.decided_at for one in cycles}
        return {bar: at for bar in bars if (at := self._decided_at[bar]) is not None}

    def _orders(self, day: date, positions: Iterable[Position]) -> tuple[OrderStatus, ...]:
        """The session's orders, what is still open of earlier ones, and all that an older holding has been through."""
        ledger = self.parts.ledger
        orders = ledger.orders(day)
        known = {status.intent.id for status in orders}
        openers = {one.opened_by for one in positions if one.quantity > 0 and one.opened_by is not None} - known
        before = ledger.open_orders() + (ledger.orders_of_holdings(openers) if openers else ())
        older = {one.intent.id: one for one in before if one.intent.id not in known}
        return tuple(sorted(older.values(), key=lambda one: one.intent.bar_time)) + orders


def session_of(parts: Parts) -> date:
    """The session that a command of this moment names: today's, or the next one that opens."""
    day = exchange_day(parts.clock.now())
    return day if parts.calendar.is_session(day) else parts.calendar.next(day).day


def _wanted(evaluated: Evaluated) -> Records:
    """The rows of the symbols that a strategy wants to enter."""
    wanted: Records = np.flatnonzero(np.logical_or.reduce([outs["entry"] != 0 for outs in evaluated.outs]))
    return wanted


def _new_problems(found: Iterable[DataProblem], known: Iterable[DataProblem]) -> tuple[DataProblem, ...]:
    """What is counted in `found` beyond `known`."""
    before: dict[tuple[str, str], int] = {}
    for one in known:
        before[one.symbol, one.what] = before.get((one.symbol, one.what), 0) + one.count
    return tuple(
        DataProblem(symbol=one.symbol, what=one.what, count=more)
        for one in found
        if (more := one.count - before.get((one.symbol, one.what), 0)) > 0
    )


def _results(positions: Iterable[Position]) -> dict[str, Decimal]:
    """Realised profit after fees, by strategy."""
    results: dict[str, Decimal] = {}
    for position in positions:
        results[position.strategy] = results.get(position.strategy, Decimal(0)) + position.realised - position.fees
    return results


def _signals(market: Minute, strategies: Sequence[Strategy], account: AccountView, start: datetime) -> Iterator[Signal]:
    """Every entry, and the exit reasons of what is held: those of others lead to nothing and would fill the ledger."""
    for strategy, outs in zip(strategies, market.outs, strict=True):
        for row in np.flatnonzero((outs["entry"] != 0) | (outs["exit"] != 0)):
            out, symbol = outs[row], market.bars.symbols[row]
            position = account.positions.get((strategy.name, symbol))
            if out["entry"] or (position is not None and position.quantity > 0):
                yield Signal(
                    strategy=strategy.name,
                    symbol=symbol,
                    bar_time=start,
                    entry=bool(out["entry"]),
                    exits=ExitReason(int(out["exit"])),
                    setup=int(out["setup"]),
                    valid_bars=int(out["valid_bars"]),
                    limit=float(out["limit"]) or None,
                    stop=float(out["stop"]) or None,
                    level1=float(out["level1"]),
                    level2=float(out["level2"]),
                )
