"""The portfolio pass: what strategies said of every bar becomes decisions, orders, fills, fees and cents.

The decision kernel, the fill model, fees and accounting are those of a paper session, called without a Python call in
between, so that a backtest and a paper session over the same bars agree in every decision, fill and cent. Blocks of
sessions may follow each other: what is held, and what was counted, goes on.

Belongs here: the values that go in and come out. The loop is `loop.minutes`; what strategies say comes from `strategies`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time
from decimal import Decimal
from functools import lru_cache
from itertools import islice
from operator import lt
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from trading_platform.backtest.buffers import (
    new_account,
    new_desk,
    new_told,
    roomier_account,
    roomier_desk,
    roomier_told,
)
from trading_platform.backtest.hearing import Place, frozen, hear
from trading_platform.backtest.loop.arrays import Account, Market, Said, Told
from trading_platform.backtest.loop.codes import DONE, HELD, LEVELS, TOLD, WORK
from trading_platform.backtest.loop.minutes import run
from trading_platform.backtest.results import OpenHolding, PassResult
from trading_platform.brokers.broker import Capabilities
from trading_platform.brokers.fees import fee_schedule
from trading_platform.calendars.sessions import EXCHANGE_ZONE, Session
from trading_platform.config.settings import Limits
from trading_platform.domain.compiled import as_records, empty_records
from trading_platform.domain.decisions import Barred
from trading_platform.domain.errors import Inconsistent, InvalidInput
from trading_platform.domain.money import BASIS_POINTS, units_from_dollars
from trading_platform.domain.orders import OrderType, TimeInForce
from trading_platform.domain.records import SESSION_MINUTES, corporate_action_t, fee_schedule_t
from trading_platform.marketdata.columns import BarColumns
from trading_platform.portfolio.venue import shapes_taken
from trading_platform.risk.limits import to_record
from trading_platform.strategies.column_scan import Entries, SignalFault, Signals
from trading_platform.strategies.contract import Strategy
from trading_platform.strategies.stand_in import stand_in

FAULTS_TO_SET_ASIDE: Final = 3
"""Symbols on which a strategy may fault in a session before its entries end there, as in a live session."""

_NEVER: Final = SESSION_MINUTES
_CAPABILITIES: Final = Capabilities(
    refuses_repeated_ids=False,
    attached_stops=True,
    brackets=True,
    order_types=frozenset(OrderType),
    times_in_force=frozenset(TimeInForce),
    extended_hours=False,
    fractions=False,
    lot=1,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperVenue:
    """What the simulated venue takes, fills and charges; by default as a paper session's does.

    Attributes:
        slippage: Basis points on market and stop fills.
        volume_share: Basis points of a bar's volume that its fills may take.
        fees: The name of a fee schedule (`brokers.fees`).
        capabilities: What it can do. What is attached to an entry works from its first fill on here.
    """

    slippage: int = 1
    volume_share: int = 1000
    fees: str = "ibkr_fixed"
    capabilities: Capabilities = _CAPABILITIES

    def __post_init__(self) -> None:
        _within("the slippage", self.slippage, 0, BASIS_POINTS - 1)
        _within("the share of a bar's volume", self.volume_share, 1, BASIS_POINTS)
        fee_schedule(self.fees)
        if not self.capabilities.legs_follow_fills:
            raise InvalidInput(
                "a venue where attached orders wait for the whole entry",
                where="venue",
                mend="Backtest with one where they follow the entry's fills",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class CorporateAction:
    """A split or dividend of a symbol, by its place, at the open of a session of the block, by its place.

    Attributes:
        session: The session.
        symbol: The symbol.
        numerator: So many shares are given
        denominator: for so many; both 1 where there is no split.
        dividend: Dollars a share that was held before the split.
    """

    session: int
    symbol: int
    numerator: int = 1
    denominator: int = 1
    dividend: Decimal = Decimal(0)

    def __post_init__(self) -> None:
        if self.numerator < 1 or self.denominator < 1:
            raise InvalidInput(
                f"a split of {self.numerator} for {self.denominator}",
                where="corporate actions",
                mend="Give whole numbers from 1",
            )
        if self.dividend < 0:
            raise InvalidInput(
                f"a dividend of {self.dividend} dollars", where="corporate actions", mend="Give 0 or more"
            )


class PortfolioPass:
    """One account, traded by strategies under limits, over blocks of sessions that follow each other.

    Args:
        strategies: In the order in which their entries are considered.
        limits: The risk limits.
        opening_cash: Dollars.
        symbols: The symbols of every block, in rising order.
        venue: Where it trades.

    Raises:
        InvalidInput: Symbols do not rise, two strategies have one name, or a number is out of its bounds.
    """

    def __init__(
        self,
        strategies: Sequence[Strategy],
        limits: Limits,
        *,
        opening_cash: Decimal,
        symbols: Sequence[str],
        venue: PaperVenue | None = None,
    ) -> None:
        self._strategies = tuple(strategies)
        self._symbols = tuple(symbols)
        self._venue = venue if venue is not None else PaperVenue()
        self._check()
        self._sets: dict[tuple[int, time], int] = {}
        self._plans: list[Any] = []
        self._muted: list[list[int]] = []
        self._desk = new_desk(len(self._symbols))
        self._last: datetime | None = None
        fees = empty_records(1, fee_schedule_t)
        fees[0] = fee_schedule(self._venue.fees)
        none = np.zeros((0, len(self._strategies)), np.int64)
        self._account = new_account(len(self._symbols), none, none, none.T, fees)
        state, book = self._account.states[0], self._account.books[0]
        state["slippage"], state["volume_share"] = self._venue.slippage, self._venue.volume_share
        book["cash"] = _units(opening_cash)
        taken = self._venue.capabilities
        book["limits"] = to_record(limits, shapes_taken(taken), taken.lot)[0]
        restricted = set(limits.restricted_symbols)
        for place, symbol in enumerate(self._symbols) if restricted else ():
            self._account.listings[place]["barred"] = Barred.RESTRICTED if symbol in restricted else Barred.NO

    def run(
        self, columns: BarColumns, signals: Sequence[Signals | Entries], actions: Sequence[CorporateAction] = ()
    ) -> PassResult:
        """Trade the next sessions.

        Args:
            columns: Their bars, of the account's symbols.
            signals: What each strategy said of them, in the order of strategies. Where a plan trails a level, with the
                levels.
            actions: Corporate actions of these sessions.

        Raises:
            InvalidInput: Symbols or signals are not those of the account, or the sessions do not follow.
        """
        self._check_block(columns, signals)
        market = self._market(columns, actions)
        said, places = hear(self._strategies, signals, *market.closes.shape)
        account = self._begin(signals, places, market)
        told = new_told(len(columns.sessions), said.bars.size)
        while (code := run(market, said, account, self._desk, told)) != DONE:
            if code == LEVELS:
                said = self._give_levels(columns, said, account)
            elif code == TOLD:
                told = roomier_told(told)
            elif code == HELD:
                account = roomier_account(account)
            elif code == WORK:
                self._desk = roomier_desk(self._desk)
            else:
                raise Inconsistent("the backtest sold more than it held")
        self._account = account
        self._last = columns.sessions[-1].open
        return self._result(told, len(columns.sessions))

    def holdings(self) -> tuple[OpenHolding, ...]:
        """What is held after the last block, by strategy, then symbol."""
        found = []
        for symbol, listing in enumerate(self._account.listings):
            place = int(listing["life"])
            while place:
                life = self._account.lives[place - 1]
                mark = int(listing["mark"]) or int(listing["prior_mark"])
                found.append(
                    OpenHolding(
                        strategy=int(life["strategy"]),
                        symbol=symbol,
                        quantity=int(life["holding"]["quantity"]),
                        cost=int(life["holding"]["cost"]),
                        mark=mark,
                        entry_bar=int(life["entry_bar"]),
                    )
                )
                place = int(life["next"])
        return tuple(sorted(found, key=lambda one: (one.strategy, one.symbol)))

    def _check(self) -> None:
        if not self._strategies:
            raise InvalidInput("no strategy is given", where="backtest", mend="Give at least one")
        names = [strategy.name for strategy in self._strategies]
        if len(set(names)) < len(names):
            raise InvalidInput(f"two of the strategies {', '.join(names)} have one name", where="backtest")
        if not all(map(lt, self._symbols, islice(self._symbols, 1, None))):
            raise InvalidInput(
                "the symbols do not rise", where="backtest", mend="Give each symbol once, in the order of the alphabet"
            )

    def _check_block(self, columns: BarColumns, signals: Sequence[Signals | Entries]) -> None:
        if columns.symbols != self._symbols:
            raise InvalidInput("the bars are of other symbols than the account's", where="bars")
        if len(signals) != len(self._strategies):
            raise InvalidInput(
                f"signals of {len(signals)} strategies for an account of {len(self._strategies)}", where="signals"
            )
        days = columns.sessions
        if not days or (self._last is not None and days[0].open <= self._last) or not _times(_Same(days)).rising:
            raise InvalidInput(
                "the sessions do not follow each other", where="bars", mend="Give later sessions, oldest first"
            )

    def _market(self, columns: BarColumns, actions: Sequence[CorporateAction]) -> Market:
        shape = len(columns.symbols), len(columns.sessions) * SESSION_MINUTES
        times = _times(_Same(columns.sessions))
        sets = np.array([self._plan_set(minutes, clock) for minutes, clock in times.kinds], np.int64)
        return Market(
            opens=frozen(columns.open).reshape(shape),
            highs=frozen(columns.high).reshape(shape),
            lows=frozen(columns.low).reshape(shape),
            closes=frozen(columns.close).reshape(shape),
            volumes=frozen(columns.volume).reshape(shape),
            days=as_records(frozen(columns.days)),
            minutes=times.minutes,
            session_opens=times.opens,
            plan_sets=sets[times.kind],
            actions=_action_records(actions, len(columns.sessions), len(columns.symbols)),
        )

    def _plan_set(self, minutes: int, opens: time) -> int:
        """The set of plans for a session of so many bars, from this exchange clock time on."""
        key = (minutes, opens)
        if key not in self._sets:
            self._sets[key] = len(self._plans)
            plans, muted = [], []
            for strategy in self._strategies:
                try:
                    plan, mute = strategy.plan_record(session_minutes=minutes, opens=opens), 0
                except InvalidInput:
                    # A plan that does not fit a session stops its strategy there, and no other.
                    other = stand_in(strategy.name)
                    plan, mute = other.plan_record(session_minutes=minutes, opens=opens), 1
                plans.append(plan)
                muted.append(mute)
            self._plans.append(np.concatenate(plans))
            self._muted.append(muted)
        return self._sets[key]

    def _begin(self, signals: Sequence[Signals | Entries], places: Sequence[Place], market: Market) -> Account:
        sessions = len(market.minutes)
        faults = [(one.signals if isinstance(one, Entries) else one).faults for one in signals]
        account = self._account._replace(
            plans=as_records(np.stack(self._plans)),
            muted=np.array(self._muted, np.int64),
            asides=np.array([_set_aside(some, sessions) for some in faults], np.int64),
        )
        state = account.states[0]
        state["decided"] += state["decisions"]
        state["sent_before"] += state["sent"]
        state["earlier"] += state["session"]
        for name in ("session", "action", "decisions", "sent", "executions", "adjustments", "changes"):
            state[name] = 0
        state["sessions"] = sessions
        state["minute"] = -1
        for source, place in zip(account.sources, places, strict=True):
            source["next"], source["end"] = place.first, place.end
            source["exits"], source["invalidates"] = place.exits, place.invalidates
            source["levels"] = place.levels
        return account

    def _give_levels(self, columns: BarColumns, said: Said, account: Account) -> Said:
        """Work out the level of every bar of the session into which the life that is asked for was carried."""
        from trading_platform.backtest.carried_levels import levels_of_session

        state = account.states[0]
        life = account.lives[int(state["asked"]) - 1]
        place, symbol, session = int(life["strategy"]), int(life["symbol"]), int(state["session"])
        grids = said.levels.copy()
        levels = levels_of_session(self._strategies[place], columns, symbol, session)
        first = session * SESSION_MINUTES
        grids[int(account.sources[place]["levels"]), symbol, first : first + levels.size] = levels
        life["levels_session"] = int(state["earlier"]) + session + 1
        return said._replace(levels=frozen(grids))

    def _result(self, told: Told, sessions: int) -> PassResult:
        state = self._account.states[0]
        closed = told.equity.reshape(sessions, SESSION_MINUTES)[:, -1]
        return PassResult(
            first_session=int(state["earlier"]),
            decisions=_kept(told.decisions, state["decisions"]),
            decision_bars=_kept(told.decision_bars, state["decisions"]),
            sent=_kept(told.sent, state["sent"]),
            executions=_kept(told.executions, state["executions"]),
            adjustments=_kept(told.adjustments, state["adjustments"]),
            modes=_kept(told.changes, state["changes"]),
            equity=_kept(told.equity, told.equity.size),
            cash=_kept(told.cash, told.cash.size),
            open_equity=_kept(told.opened, sessions),
            close_equity=_kept(closed, sessions),
            first_decision=int(state["decided"]),
            first_sent=int(state["sent_before"]),
        )


class _Same:
    """The sessions of a block as a key by which they are the same only as one object: to compare them takes longer."""

    __slots__ = ("sessions",)

    def __init__(self, sessions: tuple[Session, ...]) -> None:
        self.sessions = sessions

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.sessions is other.sessions

    def __hash__(self) -> int:
        return id(self.sessions)


class _Times(NamedTuple):
    """When the sessions of a block are."""

    minutes: npt.NDArray[np.int64]  # bars of each
    opens: npt.NDArray[np.int64]  # seconds since 1970
    kind: npt.NDArray[np.int64]  # of each, its place in:
    kinds: tuple[tuple[int, time], ...]  # bars, and the exchange clock time of the open
    rising: bool


@lru_cache(maxsize=16)
def _times(block: _Same) -> _Times:
    """Worked out once for all accounts of a sweep."""
    kinds: dict[tuple[int, time], int] = {}
    kind = [
        kinds.setdefault((one.minutes, one.open.astimezone(EXCHANGE_ZONE).time()), len(kinds)) for one in block.sessions
    ]
    opens = [one.open for one in block.sessions]
    return _Times(
        minutes=np.array([one.minutes for one in block.sessions], np.int64),
        opens=np.array([int(moment.timestamp()) for moment in opens], np.int64),
        kind=np.array(kind, np.int64),
        kinds=tuple(kinds),
        rising=all(map(lt, opens, islice(opens, 1, None))),
    )


def _kept(array: npt.NDArray[Any], count: int) -> npt.NDArray[Any]:
    view = array[: int(count)]
    view.flags.writeable = False
    return view


def _set_aside(faults: Sequence[SignalFault], sessions: int) -> npt.NDArray[np.int64]:
    """For each session, the minute from which a strategy is set aside that has faulted on several symbols."""
    from_minute = np.full(sessions, _NEVER, np.int64)
    by_session: dict[int, list[int]] = {}
    for bar in sorted(fault.bar for fault in faults):
        by_session.setdefault(bar // SESSION_MINUTES, []).append(bar % SESSION_MINUTES)
    for session, minutes in by_session.items():
        if len(minutes) >= FAULTS_TO_SET_ASIDE:
            from_minute[session] = minutes[FAULTS_TO_SET_ASIDE - 1]
    return from_minute


def _action_records(actions: Sequence[CorporateAction], sessions: int, symbols: int) -> npt.NDArray[Any]:
    records = empty_records(len(actions), corporate_action_t)
    for record, action in zip(records, sorted(actions, key=lambda one: (one.session, one.symbol)), strict=True):
        if not (0 <= action.session < sessions and 0 <= action.symbol < symbols):
            raise InvalidInput(
                f"an action of session {action.session} and symbol {action.symbol}",
                where="corporate actions",
                mend=f"Give sessions below {sessions} and symbols below {symbols}",
            )
        record["session"], record["symbol"] = action.session, action.symbol
        record["numerator"], record["denominator"] = action.numerator, action.denominator
        record["dividend"] = units_from_dollars(action.dividend)
    return records


def _units(dollars: Decimal) -> int:
    try:
        return units_from_dollars(dollars)
    except ValueError as error:
        raise InvalidInput(str(error), where="opening cash", mend="Give whole 1/10,000 dollars") from error


def _within(what: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise InvalidInput(f"{what} is {value} basis points", where="venue", mend=f"Give {low} to {high}")
