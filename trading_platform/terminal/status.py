"""What a person wants to know first: the database, the last minute, the account, what is open, and who owns the book.

Everything is read, nothing is started, migrated or written; and from the ledger alone, so that it can be asked on any
machine while another process trades. Figures of the account are those of the last recorded cycle.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import sqlalchemy as sa

from trading_platform.calendars.exchange import ExchangeCalendar, calendar_of
from trading_platform.calendars.sessions import exchange_day
from trading_platform.config.settings import Settings
from trading_platform.domain.clock import Clock
from trading_platform.domain.commands import Command
from trading_platform.domain.decisions import TradingMode
from trading_platform.domain.errors import DatabaseUnavailable
from trading_platform.domain.orders import OrderState, OrderStatus
from trading_platform.domain.reports import Break
from trading_platform.engine.recorded import recorded_reconcile
from trading_platform.ledger.addresses import fault, spoken, sqlalchemy_url
from trading_platform.ledger.connection import open_engine
from trading_platform.ledger.embedded import LEDGER, LocalServer
from trading_platform.ledger.ledger import Ledger
from trading_platform.ledger.migrate import HEAD, current_revision, is_behind, is_known, unknown_revision
from trading_platform.ledger.queries import Owner, SessionTimes
from trading_platform.ledger.rows import CycleHeader
from trading_platform.orders.standing import halted_by, standing
from trading_platform.terminal.demo_book import read_state
from trading_platform.terminal.open_orders import shares_left

_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseStatus:
    """How the ledger's database stands. `fault` says why it cannot be read, and what to do; None: it can."""

    where: str
    running: bool
    revision: str | None
    wanted: str
    fault: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LastCycle:
    """The latest recorded minute, and the account as it stood then. Dollars; `minute` counts from the open."""

    session: date
    minute: int
    bar_time: datetime
    decided_at: datetime
    release: str
    mode: TradingMode
    equity: Decimal
    cash: Decimal
    day_pnl: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """Shares that a strategy holds of a symbol, and what they cost in dollars."""

    strategy: str
    symbol: str
    quantity: int
    cost: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class BookStatus:
    """One book.

    `halted` is the command by which nothing is entered any more; `unfinished` are those of the latest session that are
    not done yet. `breaks`, `away` (brokers that did not answer) and `oddities` are what the last cycle's reconcile found;
    what a person has accepted since is no break any more from the next cycle on. `disabled` are strategies and symbols.
    `left` holds the shares that each open order may still buy or sell, by its intent's id.
    """

    book: str
    session: SessionTimes | None
    flatten_wanted: bool
    halted: Command | None
    unfinished: tuple[Command, ...]
    last: LastCycle | None
    holdings: tuple[Holding, ...]
    open_orders: tuple[OrderStatus, ...]
    left: Mapping[str, int]
    breaks: tuple[Break, ...]
    away: tuple[str, ...]
    oddities: tuple[str, ...]
    disabled: tuple[tuple[str, str], ...]
    owners: tuple[Owner, ...]

    @property
    def unknown_orders(self) -> tuple[OrderStatus, ...]:
        """Open orders whose outcome is not known."""
        return tuple(one for one in self.open_orders if one.state is OrderState.UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """All of it. `book` is None where the database cannot be read, or the book has not been opened."""

    environment: str
    clock: str
    now: datetime
    strategies: tuple[str, ...]
    database: DatabaseStatus
    named_book: str
    book: BookStatus | None


def read_status(settings: Settings, clock: Clock, *, book: str | None) -> Status:
    """Look at everything, once.

    Args:
        settings: The configuration.
        clock: Tells when it was looked.
        book: The wanted book; None: the configured one if it has been traded, else the latest demo's.
    """
    url, database = _reach(settings)
    named, found = book or settings.account.book, None
    if url is not None:
        engine = open_engine(url)
        try:
            database = _revised(engine, database)
            if database.fault is None and database.revision is not None:
                named = _book(engine, settings, book)
                found = _read_book(
                    Ledger(engine, book=named),
                    settings.limits.max_entries_per_day,
                    calendar_of(settings.market_hours),
                )
        except DatabaseUnavailable as error:
            database = _down(database.where, str(error))
        finally:
            engine.dispose()
    return Status(
        environment=settings.environment,
        clock=settings.clock,
        now=clock.now(),
        strategies=tuple(one.name for one in settings.active_strategies),
        database=database,
        named_book=named,
        book=found,
    )


def _reach(settings: Settings) -> tuple[str | None, DatabaseStatus]:
    """The database's address, if a session on it can be opened."""
    if settings.database_url is not None:
        url = sqlalchemy_url(settings.database_url.reveal(), where="DATABASE_URL")
        said = fault(url)
        place = spoken(url)
        return (None, _down(place, said)) if said is not None else (url, _up(place))
    folder: Path = settings.data_folder / "db"
    server, place = LocalServer(folder), f"the local server in {folder}"
    if not server.is_running():
        return None, _down(place, "it is not running; start it with `trading-platform db start`")
    return server.url(LEDGER), _up(place)


def _up(where: str) -> DatabaseStatus:
    return DatabaseStatus(where=where, running=True, revision=None, wanted=HEAD, fault=None)


def _down(where: str, said: str) -> DatabaseStatus:
    return DatabaseStatus(where=where, running=False, revision=None, wanted=HEAD, fault=said)


def _revised(engine: sa.Engine, database: DatabaseStatus) -> DatabaseStatus:
    """With the revision of its tables. One without any is new: that is no fault."""
    revision = current_revision(engine)
    said = None
    if revision is not None and not is_known(revision):
        said = f"{unknown_revision(revision)}: it is another program's, or a later version's"
    elif revision is not None and is_behind(revision):
        said = (
            f"its tables are at revision {revision} and this version needs {database.wanted}; bring them up to date "
            "with `trading-platform db migrate`"
        )
    return DatabaseStatus(where=database.where, running=True, revision=revision, wanted=database.wanted, fault=said)


def _book(engine: sa.Engine, settings: Settings, book: str | None) -> str:
    if book is not None or Ledger(engine, book=settings.account.book).is_open():
        return book or settings.account.book
    state = read_state(settings.data_folder)
    return state.book if state is not None else settings.account.book


def _read_book(ledger: Ledger, limit: int, calendar: ExchangeCalendar) -> BookStatus | None:
    if not ledger.is_open():
        return None
    session, header, found = ledger.last_session(), ledger.last_cycle(), recorded_reconcile(ledger)
    open_orders = ledger.open_orders()
    return BookStatus(
        book=ledger.book,
        session=session,
        flatten_wanted=session is not None and ledger.flatten_wanted(session.session),
        halted=halted_by(ledger),
        unfinished=() if session is None else standing(ledger, session.session).commands,
        last=None if header is None else _last_cycle(header, calendar),
        holdings=tuple(
            Holding(strategy=one.strategy, symbol=one.symbol, quantity=held, cost=one.cost)
            for one in ledger.pnl()
            if (held := one.bought_quantity - one.sold_quantity)
        ),
        open_orders=open_orders,
        left=_left(ledger, open_orders),
        breaks=found.breaks,
        away=found.away,
        oddities=found.oddities,
        disabled=tuple(sorted(ledger.disabled(limit))),
        owners=ledger.owners(),
    )


def _left(ledger: Ledger, open_orders: tuple[OrderStatus, ...]) -> Mapping[str, int]:
    """What is left of each order. One whose outcome is unknown may be of an earlier session than the others."""
    if not open_orders:
        return {}
    days = sorted({exchange_day(one.intent.bar_time) for one in open_orders})
    known = [one for day in days for one in ledger.orders(day)]
    fills = [one for day in days for one in ledger.fills(day)]
    return shares_left(open_orders, known, fills)


def _last_cycle(header: CycleHeader, calendar: ExchangeCalendar) -> LastCycle:
    return LastCycle(
        session=header.session,
        minute=(header.bar_time - calendar.session(header.session).open) // _MINUTE,
        bar_time=header.bar_time,
        decided_at=header.decided_at,
        release=header.release,
        mode=header.mode,
        equity=header.equity,
        cash=header.cash,
        day_pnl=header.equity - header.open_equity,
    )
