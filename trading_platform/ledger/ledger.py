"""The ledger as everything above it sees it: one book, its sessions, cycles, orders and fills.

Each method is one transaction or one read, and raises `DatabaseUnavailable` if the database does not answer: nothing
of the method has happened then, or all of it has, and reading tells which. Ownership is taken in `ownership`; what is
written and read is in `append` and `queries`.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from time import perf_counter
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import URL

from trading_platform.calendars.sessions import Session
from trading_platform.domain.commands import Command, CommandAction
from trading_platform.domain.decisions import Decision
from trading_platform.domain.errors import Inconsistent, InvalidInput
from trading_platform.domain.fills import Fill
from trading_platform.domain.orders import Execution, OrderEvent, OrderIntent, OrderStatus
from trading_platform.domain.reports import Acceptance
from trading_platform.ledger import append, booking, commands, fill_queries, openings, queries, session_figures
from trading_platform.ledger import ownership as fence
from trading_platform.ledger.booking import Booking
from trading_platform.ledger.commands import Key
from trading_platform.ledger.connection import open_engine, reading, transaction
from trading_platform.ledger.fill_queries import Held
from trading_platform.ledger.ownership import Lease, LeaseTimes, Ownership
from trading_platform.ledger.queries import Extremes, Lineage, Overfilled, Owner, ProfitAndLoss, SessionTimes
from trading_platform.ledger.rows import CycleHeader, CycleRecord
from trading_platform.ledger.session_figures import SessionFigures

if TYPE_CHECKING:
    from trading_platform.ledger.projections import Holdings


class Ledger:
    """One book in the ledger.

    Args:
        source: The database's address, or an engine of `connection.open_engine` that is shared.
        book: The platform's own name for the account.
    """

    def __init__(self, source: sa.Engine | str | URL, *, book: str) -> None:
        self._engine = source if isinstance(source, sa.Engine) else open_engine(source)
        self.book = book

    @property
    def engine(self) -> sa.Engine:
        """The engine that it works through."""
        return self._engine

    # Books and sessions.

    def open_book(self, opening_cash: Decimal, now: datetime) -> None:
        """Make the book with its opening cash in dollars and its shards; nothing happens if it is there.

        Raises `InvalidInput` if it was opened with other cash.
        """
        with transaction(self._engine) as connection:
            openings.open_book(connection, self.book, opening_cash, now)

    def is_open(self) -> bool:
        """Whether the book is there."""
        with reading(self._engine) as connection:
            return queries.opening_cash(connection, self.book) is not None

    def books(self) -> tuple[str, ...]:
        """The names of all books in the same database, this one among them if it was opened."""
        with reading(self._engine) as connection:
            return queries.books(connection)

    def opening_cash(self) -> Decimal:
        """The cash in dollars that the book was opened with. Raises `InvalidInput` if it was not opened."""
        with reading(self._engine) as connection:
            found = queries.opening_cash(connection, self.book)
        if found is None:
            raise InvalidInput(f"there is no book {self.book!r}", where="ledger", mend="Open it first")
        return found

    def opened_at(self) -> datetime:
        """When the book was opened, by the clock of whoever did. Raises `InvalidInput` if it was not."""
        with reading(self._engine) as connection:
            return queries.opened_at(connection, self.book)

    def open_session(self, session: date, configuration: Mapping[str, Any], now: datetime) -> None:
        """Make a session with the configuration that its decisions depend on; nothing happens if it is there.

        Raises `InvalidInput` if it was opened with another configuration, or if that is not plain JSON.
        """
        with transaction(self._engine) as connection:
            openings.open_session(connection, self.book, session, configuration, now)

    def session_configuration(self, session: date) -> dict[str, Any] | None:
        """The configuration of a session; None if it was not opened."""
        with reading(self._engine) as connection:
            return queries.configuration(connection, self.book, session)

    def finish_session(self, session: date, now: datetime) -> None:
        """Note that a session is over; nothing happens if that is noted. Raises `InvalidInput` if it never began."""
        with transaction(self._engine) as connection:
            openings.finish_session(connection, self.book, session, now)

    def last_session(self) -> SessionTimes | None:
        """The latest session that was opened; None if none was."""
        with reading(self._engine) as connection:
            return queries.last_session(connection, self.book)

    def session_figures(self, session: Session, marks: Mapping[str, Decimal] | None = None) -> SessionFigures:
        """What a session came to, read in one snapshot.

        Args:
            session: Its day and hours.
            marks: Prices in dollars at its end, by symbol; a holding without one is valued at its cost.

        Raises `InvalidInput` if the book was not opened.
        """
        with transaction(self._engine) as connection:
            return session_figures.read(connection, self.book, session, marks or {})

    # Commands.

    def append_command(
        self,
        action: CommandAction,
        *,
        at: datetime,
        who: str,
        reason: str,
        strategy: str | None = None,
        symbol: str | None = None,
        session: date | None = None,
    ) -> Command:
        """Record what a person tells the platform to do, and return it as it was recorded.

        Args:
            action: ENABLE takes `strategy` and `symbol`; FLATTEN, CANCEL_ALL and CLOSE_ALL take `session`; HALT and
                RESUME take none of them, and no action takes more.
            at: The moment by the caller's clock; the database adds its own.
            who: The person. Like `reason`, it cannot be left empty.
            reason: Why, in the person's words.
            strategy: The strategy that is meant.
            symbol: The symbol that is meant.
            session: The session that is meant.

        Raises `Inconsistent` for a command that does not name what its action takes, or of a book that is not open.
        """
        with transaction(self._engine) as connection:
            return commands.append(
                connection,
                self.book,
                at=at,
                who=who.strip(),
                action=action,
                reason=reason.strip(),
                strategy=strategy,
                symbol=symbol,
                session=session,
            )

    def commands(self, session: date | None = None) -> tuple[Command, ...]:
        """All commands, or those that name one session, in the order in which they were recorded."""
        with reading(self._engine) as connection:
            return commands.commands(connection, self.book, session)

    def newest_command(self) -> int:
        """The number of the newest command; 0 where there is none."""
        with reading(self._engine) as connection:
            return commands.newest(connection, self.book)

    def flatten_wanted(self, session: date) -> bool:
        """Whether a person wants everything sold and nothing entered for the rest of this session."""
        with reading(self._engine) as connection:
            return commands.flatten_wanted(connection, self.book, session)

    def halted(self) -> bool:
        """Whether a person has halted entries, and not resumed them since."""
        with reading(self._engine) as connection:
            return commands.halted(connection, self.book)

    def accept(self, accepted: Acceptance) -> None:
        """Record that a person accepts a difference between ledger and broker.

        Shares that were sold and never held are taken out of the book with it: what is left of their sale stands in its
        place. Raises `InvalidInput` if they are not there any more.
        """
        with transaction(self._engine) as connection:
            booking.accept(connection, self.book, accepted)

    def acceptances(self) -> tuple[Acceptance, ...]:
        """The differences that a person has accepted, oldest first."""
        with reading(self._engine) as connection:
            return queries.acceptances(connection, self.book)

    def disabled(self, limit: int, pairs: Collection[Key] | None = None) -> frozenset[Key]:
        """Strategies and symbols that entered `limit` times in any one session since they were last enabled (rule 12).

        They stay disabled over sessions, until a person enables them. Committed entries count, filled or not. With
        `pairs` only these are looked at: each minute asks for those that want to enter, whatever the book's age.
        """
        with reading(self._engine) as connection:
            return commands.disabled(connection, self.book, limit, pairs)

    def entries_sent(self, session: date) -> Mapping[Key, int]:
        """Entries committed in a session since each strategy and symbol were last enabled (rule 12).

        Pairs without one are left out.
        """
        with reading(self._engine) as connection:
            return commands.entries_sent(connection, self.book, session)

    def orders_sent(self, session: date, since: datetime | None = None) -> Mapping[str, int]:
        """Intents of a session that make a broker call of their own, by strategy (rule 9); attached stops make none.

        With `since`, those that were decided after it, by the clock of their cycle.
        """
        with reading(self._engine) as connection:
            return commands.orders_sent(connection, self.book, session, since)

    def clock_skew(self, now: datetime) -> timedelta:
        """How far the database's real clock is ahead of the caller's (rule 28); negative: behind it.

        The database is taken to have looked at its clock in the middle of the question's way to it and back.

        Args:
            now: The present moment by the caller's clock, taken immediately before this call.
        """
        # A stopwatch, which tells no time: the way to the database may take longer than the skew that matters.
        asked = perf_counter()
        with reading(self._engine) as connection:
            sent = perf_counter()
            told = queries.clock(connection)
            answered = perf_counter()
        return told - (now + timedelta(seconds=(sent + answered) / 2 - asked))

    # Ownership.

    def owners(self) -> tuple[Owner, ...]:
        """Who has taken shards of the book, and until when; idle ones are left out."""
        with reading(self._engine) as connection:
            return queries.owners(connection, self.book)

    def idle(self) -> timedelta:
        """How long ago the latest lease on the book has ended, by the database's clock; negative while it lasts."""
        with reading(self._engine) as connection:
            return queries.idle(connection, self.book)

    def lives(self, owner: str) -> bool:
        """Whether the process that has taken the book as `owner` is still connected. One that was killed is not."""
        with reading(self._engine) as connection:
            return fence.lives(connection, self.book, owner)

    def take(self, owner: str, times: LeaseTimes | None = None) -> Lease:
        """Take the book's shards for `owner`. Raises `NotOwner` while somebody else holds them."""
        return fence.take(self._engine, book=self.book, owner=owner, times=times)

    def ensure_owner(self, ownership: Ownership) -> None:
        """Look, before something is sent, whether `ownership` is current and its lease long enough.

        Raises `NotOwner` if not.
        """
        fence.ensure_current(self._engine, ownership)

    # Cycles.

    def record_cycle(
        self, record: CycleRecord, intents: Sequence[OrderIntent], ownership: Ownership, told: int | None = None
    ) -> None:
        """Commit a cycle: what was seen, said and decided, and the intents in their order, all or nothing.

        Args:
            record: The cycle.
            intents: What it sends.
            ownership: Whoever records it owns the book.
            told: The newest command of a person that was taken account of (`newest_command`). A later one is committed
                after the cycle, and so is about its orders, or stops it. None: no command matters to it.

        Raises:
            NotOwner: `ownership` is not current, or its lease is about to end.
            Inconsistent: the bar or an intent is recorded already: read it back (`cycle`, `intents`).
            Overtaken: A person has given a command since `told`.
        """
        self._ensure_own_book(ownership)
        with transaction(self._engine) as connection:
            fence.hold(connection, ownership)
            if told is not None:
                commands.require_newest(connection, self.book, told)
            append.cycle(connection, record, ownership)
            append.intents(connection, intents, ownership, record.header.session, record.decisions)

    def record_intents(self, session: date, intents: Sequence[OrderIntent], ownership: Ownership) -> None:
        """Commit intents that no cycle decided (a person's or an emergency's). Raises as `record_cycle` does."""
        self._ensure_own_book(ownership)
        with transaction(self._engine) as connection:
            fence.hold(connection, ownership)
            append.intents(connection, intents, ownership, session)

    def cycle(self, bar_time: datetime) -> CycleRecord | None:
        """What was recorded of the bar that starts at `bar_time`, equal to what was given; None if nothing was."""
        with reading(self._engine) as connection:
            return queries.cycle(connection, self.book, bar_time)

    def session_before(self, session: date) -> date | None:
        """The book's latest session before `session` that has a recorded minute, or None."""
        with reading(self._engine) as connection:
            return queries.session_before(connection, self.book, session)

    def last_cycle(self, session: date | None = None) -> CycleHeader | None:
        """The latest recorded bar, of one session or of all."""
        with reading(self._engine) as connection:
            return queries.last_cycle(connection, self.book, session)

    def cycles(self, session: date) -> tuple[CycleHeader, ...]:
        """The recorded bars of a session, oldest first."""
        with reading(self._engine) as connection:
            return queries.cycles(connection, self.book, session)

    def decisions(self, session: date) -> tuple[Decision, ...]:
        """The decisions of a session, oldest first."""
        with reading(self._engine) as connection:
            return queries.decisions(connection, self.book, session)

    def extremes(self, session: date) -> Extremes:
        """The worst mode of a session so far, and its highest equity."""
        with reading(self._engine) as connection:
            return queries.extremes(connection, self.book, session)

    # Orders.

    def intents(self, bar_time: datetime) -> tuple[OrderIntent, ...]:
        """The intents of one bar, in the order in which they were recorded."""
        with reading(self._engine) as connection:
            return queries.intents(connection, self.book, bar_time)

    def orders(self, session: date | None = None) -> tuple[OrderStatus, ...]:
        """Every intent with where it stands, of one session or of all, oldest first."""
        with reading(self._engine) as connection:
            return queries.orders(connection, self.book, session)

    def open_orders(self, session: date | None = None) -> tuple[OrderStatus, ...]:
        """The intents whose life has not ended, of one session or of all, oldest first."""
        with reading(self._engine) as connection:
            return queries.open_orders(connection, self.book, session)

    def order(self, intent_id: str) -> OrderStatus | None:
        """One intent with where it stands; None if the book has none of this id."""
        with reading(self._engine) as connection:
            return queries.order(connection, self.book, intent_id)

    def orders_by_id(self, ids: Collection[str]) -> Mapping[str, OrderStatus]:
        """Those of these intents that the book has, with where they stand, by id."""
        with reading(self._engine) as connection:
            return queries.orders_by_id(connection, self.book, ids)

    def committed_at(self, ids: Collection[str]) -> Mapping[str, datetime]:
        """When those of these intents that the book has were committed, by the clock that `Command.recorded_at` has."""
        with reading(self._engine) as connection:
            return queries.committed_at(connection, self.book, ids)

    def orders_of_holdings(self, openers: Collection[str]) -> tuple[OrderStatus, ...]:
        """What holdings have been through, oldest first.

        All intents of each one's strategy and symbol since the entry that opened it. `openers`: those entries' ids.
        """
        with reading(self._engine) as connection:
            return queries.orders_of_holdings(connection, self.book, openers)

    def overfilled(self) -> tuple[Overfilled, ...]:
        """Orders of which more was executed than was intended, however long ago (rule 13)."""
        with reading(self._engine) as connection:
            return queries.overfilled(connection, self.book)

    def events(self, intent_id: str) -> tuple[OrderEvent, ...]:
        """The life of one order, oldest step first."""
        with reading(self._engine) as connection:
            return queries.events(connection, self.book, intent_id)

    def append_events(self, events: Sequence[OrderEvent], ownership: Ownership | None = None) -> None:
        """Add steps to the lives of orders, in their order.

        With `ownership` only if that is current: who has lost the book may have seen a refusal of what its successor
        has sent since.

        Raises:
            Inconsistent: An intent is not there, or a step cannot follow what is recorded.
            NotOwner: `ownership` is not current, or its lease is about to end.
        """
        if not events:
            return
        with transaction(self._engine) as connection:
            if ownership is not None:
                self._ensure_own_book(ownership)
                fence.hold(connection, ownership)
            append.events(connection, events)

    def note_sending(self, events: Sequence[OrderEvent], ownership: Ownership) -> None:
        """Add the steps that say that orders are about to leave, if `ownership` is current and stays so meanwhile.

        What stands as INTENDED afterwards has certainly not left. Raises `NotOwner`, or as `append_events` does.
        """
        self._ensure_own_book(ownership)
        with transaction(self._engine) as connection:
            fence.hold(connection, ownership)
            append.events(connection, events)

    def filled_entries(self, session: date) -> dict[tuple[str, str], int]:
        """How many entries of a session have a fill, by strategy and symbol; pairs without one are left out."""
        with reading(self._engine) as connection:
            return queries.filled_entries(connection, self.book, session)

    # Fills.

    def book_executions(
        self, executions: Sequence[Execution], events: Mapping[str, OrderEvent], now: datetime, venue: str = "paper"
    ) -> Booking:
        """Book what a broker reports, each execution once, together with what it means for its order.

        What corrects an earlier execution takes its place; what busts it leaves nothing there. The earlier fill stays
        recorded, and stands no more.

        Args:
            executions: As the broker reports them, oldest first; those that are booked already are passed over.
            events: By execution id, the step in the order's life; it is added only if its execution is new.
            now: The moment of booking, by the caller's clock.
            venue: The broker that reports them.
        """
        if not executions:
            return Booking(booked=(), unexplained=())
        return booking.book(self._engine, self.book, executions, events, now, venue)

    def fills(self, session: date | None = None) -> tuple[Fill, ...]:
        """The fills of a session's intents, or of all, as they happened."""
        with reading(self._engine) as connection:
            return fill_queries.fills(connection, self.book, session)

    def fills_before(self, moment: datetime) -> tuple[Fill, ...]:
        """The fills before `moment`, as they happened."""
        with reading(self._engine) as connection:
            return fill_queries.fills_before(connection, self.book, moment)

    def fills_since(self, moment: datetime) -> tuple[Fill, ...]:
        """The fills at or after `moment`, as they happened."""
        with reading(self._engine) as connection:
            return fill_queries.fills_since(connection, self.book, moment)

    def count_before(self, moment: datetime) -> tuple[int, int]:
        """How many executions before `moment` are booked, and how many of all were undone since."""
        with reading(self._engine) as connection:
            return fill_queries.count_before(connection, self.book, moment)

    def booked(self, executions: Collection[str]) -> Mapping[str, Fill]:
        """What is booked of these executions, by the broker's id, whether it stands or was corrected."""
        with reading(self._engine) as connection:
            return fill_queries.fills_by_execution(connection, self.book, executions)

    def newest_execution(self, venue: str) -> datetime | None:
        """When a broker last executed something that is booked; None if it never has."""
        with reading(self._engine) as connection:
            return fill_queries.newest_execution(connection, self.book, venue)

    def held(self) -> tuple[Held, ...]:
        """Shares, and dollars moved, by broker, strategy and symbol: what `fills` come to, added up in SQL."""
        with reading(self._engine) as connection:
            return fill_queries.held(connection, self.book)

    def holdings(self) -> "Holdings":
        """Positions and cash now. Raises `InvalidInput` if the book was not opened."""
        from trading_platform.ledger import projections

        return projections.holdings(self.opening_cash(), self.fills())

    def pnl(self, until: datetime | None = None) -> tuple[ProfitAndLoss, ...]:
        """What each strategy made on each symbol by executions before `until`, worked out in SQL."""
        with reading(self._engine) as connection:
            return queries.pnl(connection, self.book, until)

    def lineage(self, session: date) -> tuple[Lineage, ...]:
        """Where each fill of a session's intents comes from, as they happened."""
        with reading(self._engine) as connection:
            return queries.lineage(connection, self.book, session)

    def _ensure_own_book(self, ownership: Ownership) -> None:
        if ownership.book != self.book:
            raise Inconsistent(f"an ownership of book {ownership.book} says nothing of book {self.book}")
