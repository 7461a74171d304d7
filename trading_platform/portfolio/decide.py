"""One minute's decisions as values: wraps the kernel with the conversion of what goes in and what comes out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from trading_platform.brokers.broker import Capabilities
from trading_platform.calendars.sessions import EXCHANGE_ZONE, Session, bar_time
from trading_platform.config.settings import Limits
from trading_platform.domain.compiled import as_records, empty_records
from trading_platform.domain.decisions import (
    Barred,
    Decision,
    DecisionKind,
    ExitCause,
    Rule,
    TradingMode,
    Verdict,
)
from trading_platform.domain.fills import Position
from trading_platform.domain.money import dollars_from_units, units_from_dollars
from trading_platform.domain.records import (
    book_t,
    decision_t,
    entry_t,
    plan_t,
    position_t,
)
from trading_platform.domain.rounding import price_from_float, tick_down
from trading_platform.marketdata.bars import SessionBars
from trading_platform.portfolio.account import AccountView, position_records, untraded
from trading_platform.portfolio.kernel import DECISIONS_PER_HOLDING, decide
from trading_platform.portfolio.legs import EntryLeg, leg_shares, orders_of, resting_targets, target_price
from trading_platform.portfolio.venue import shapes_taken
from trading_platform.risk.limits import to_record
from trading_platform.strategies.contract import Strategy

Records = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Minute:
    """What the market and the strategies said of one decided bar.

    `outs`: for each strategy, `out_t` [symbols]. `days`: `day_t` [symbols]. `set_aside`: strategies, by their place.
    `lateness`: seconds from the bar's end to the decision. `barred`: symbols that must not be entered, and why.
    `clock_skew_ms`: how far this machine's clock is from the database's, in milliseconds.
    """

    bars: SessionBars
    minute: int
    outs: tuple[Records, ...]
    days: Records
    set_aside: tuple[int, ...] = ()
    lateness: int = 0
    barred: Mapping[str, Barred] = field(default_factory=dict)
    clock_skew_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decided:
    """What was decided, and the account as it stood then. Money in dollars.

    `seen` holds the records that the kernel was given, by name, as they were before it wrote to them.
    """

    decisions: tuple[Decision, ...]
    mode: TradingMode
    cash: Decimal
    equity: Decimal
    open_equity: Decimal
    peak_equity: Decimal
    unrealised: Decimal
    seen: Mapping[str, Records]


class DecisionDesk:
    """The kernel set up for one session: strategies in the configuration's order, their plans, and the limits.

    `venue` says which orders the broker takes.
    """

    def __init__(self, strategies: Sequence[Strategy], limits: Limits, session: Session, venue: Capabilities) -> None:
        self._names = tuple(strategy.name for strategy in strategies)
        self._limits = to_record(limits, shapes_taken(venue), venue.lot)
        plans = [
            strategy.plan_record(session_minutes=session.minutes, opens=session.open.astimezone(EXCHANGE_ZONE).time())
            for strategy in strategies
        ]
        self._plans = as_records(np.concatenate(plans)) if plans else empty_records(0, plan_t)
        self._load()

    def _load(self) -> None:
        """Decide nothing once, so that the kernel is compiled, or read from the cache, before it is needed."""
        none = empty_records(0, position_t), empty_records(0, entry_t)
        decide(empty_records(1, book_t), *none, self._plans, empty_records(0, decision_t))

    def decide(self, market: Minute, account: AccountView) -> Decided:
        """Decide one minute: holdings first, then entries by (strategy order, symbol)."""
        entries = self._entries(market, account)
        positions = position_records(account, market.bars, market.minute, self._names, spare=len(entries))
        held = len(positions) - len(entries)
        self._look(market, positions[:held])
        book = self._book(market, account, positions[:held])
        plans = self._plans_of_today(market, account)
        if account.flatten:
            # For the kernel it is past the time by which every plan is flat.
            plans["flat_from"] = 0
        if account.halted:
            # For the kernel the session's last minutes, in which nothing is entered, have begun with its open.
            book["limits"]["closing_minutes"] = book["session_minutes"]
        if account.flatten or account.halted:
            # No entry may work any longer.
            positions["valid_until"] = np.minimum(positions["valid_until"], market.minute)
        out = empty_records(held * DECISIONS_PER_HOLDING + len(entries) + DECISIONS_PER_HOLDING, decision_t)
        given = {"book": book.copy(), "positions": positions.copy(), "entries": entries, "plans": plans.copy()}
        count = decide(book, positions, entries, plans, out)
        row = book[0]
        return Decided(
            decisions=tuple(self._values(market, out[:count])),
            mode=TradingMode(int(row["mode"])),
            cash=account.cash,
            equity=dollars_from_units(row["equity"]),
            open_equity=dollars_from_units(row["open_equity"]),
            peak_equity=dollars_from_units(row["peak_equity"]),
            unrealised=sum(
                (_gain(market, symbol, position) for (_, symbol), position in account.positions.items()), Decimal(0)
            ),
            seen=given,
        )

    def entry_legs(self, decision: Decision) -> tuple[EntryLeg, ...]:
        """The orders that an approved entry of this session is sent as, by its strategy's plan (`legs`).

        One order without a target, unless the plan's targets rest at the broker.
        """
        plan, lot = self._plans[self._names.index(decision.strategy)], int(self._limits[0]["lot"])
        reference = decision.price if decision.limit_price is None else decision.limit_price
        price, stop = units_from_dollars(reference), units_from_dollars(decision.stop_price or 0)
        targets = resting_targets(plan)
        return tuple(
            EntryLeg(
                quantity=leg_shares(leg, decision.quantity, plan, lot),
                target=dollars_from_units(target_price(leg, price, stop, plan)) if leg < targets else None,
            )
            for leg in range(orders_of(decision.quantity, plan, lot))
        )

    def _entries(self, market: Minute, account: AccountView) -> Records:
        found = [
            (index, int(row))
            for index, outs in enumerate(market.outs)
            for row in sorted(np.flatnonzero(outs["entry"]), key=lambda row: market.bars.symbols[row])
        ]
        entries = empty_records(len(found), entry_t)
        for record, (index, row) in zip(entries, found, strict=True):
            out, symbol = market.outs[index][row], market.bars.symbols[row]
            known = market.bars.latest(symbol, market.minute)
            record["strategy"], record["symbol"] = index, row
            record["price"] = known.price if known else 0
            record["age"] = known.age + market.lateness if known else -1
            record["limit"] = tick_down(price_from_float(out["limit"]))
            record["stop"] = tick_down(price_from_float(out["stop"]))
            record["valid_bars"] = out["valid_bars"]
            record["setup"] = out["setup"]
            record["attempts"] = account.attempts.get((self._names[index], symbol), 0)
            record["frozen"] = symbol in account.frozen
            record["barred"] = market.barred.get(symbol, Barred.NO)
            record["entered"] = account.entries_sent.get((self._names[index], symbol), 0)
            record["disabled"] = (self._names[index], symbol) in account.disabled
            average = market.days["average_daily_volume"][row]
            record["average_volume"] = int(average) if np.isfinite(average) else 0
            record["bar_volume"] = market.bars.bars["volume"][row, market.minute]
        return entries

    def _book(self, market: Minute, account: AccountView, positions: Records) -> Records:
        book = empty_records(1, book_t)
        row = book[0]
        row["minute"] = market.minute
        decided = bar_time(market.bars.session, market.minute) + timedelta(minutes=1, seconds=market.lateness)
        row["now"] = int(decided.timestamp())
        row["session_minutes"] = market.bars.session.minutes
        row["cash"] = units_from_dollars(account.cash)
        row["elsewhere"] = units_from_dollars(self._cost_elsewhere(market, account))
        row["mode"] = account.mode
        row["holdings"] = len(positions)
        row["limits"] = self._limits[0]
        row["orders_second"], row["orders_minute"] = account.sent.second, account.sent.minute
        row["orders_day"] = sum(account.sent.session.values())
        row["open_orders"] = account.open_orders
        row["clock_skew"] = abs(market.clock_skew_ms)
        marked = int(row["cash"]) + int(row["elsewhere"]) + int((positions["quantity"] * positions["mark"]).sum())
        row["open_equity"] = marked if account.open_equity is None else units_from_dollars(account.open_equity)
        peak = row["open_equity"] if account.peak_equity is None else units_from_dollars(account.peak_equity)
        row["peak_equity"] = max(int(peak), int(row["open_equity"]))
        return book

    def _cost_elsewhere(self, market: Minute, account: AccountView) -> Decimal:
        keys = untraded(account, market.bars.symbols, self._names)
        return sum((account.positions[key].cost for key in keys), Decimal(0))

    def _look(self, market: Minute, positions: Records) -> None:
        """Write what the decided bar showed of each holding."""
        for position in positions:
            bar = market.bars.bars[position["symbol"], market.minute]
            out = market.outs[position["strategy"]][position["symbol"]]
            seen = position["seen"]
            seen["present"] = bar["time"] != 0
            seen["close"] = bar["close"]
            seen["exit"], seen["invalidates"] = out["exit"], out["invalidates"]
            seen["level1"], seen["level2"] = out["level1"], out["level2"]

    def _plans_of_today(self, market: Minute, account: AccountView) -> Records:
        """The plans with how each strategy's day has gone so far."""
        plans = self._plans.copy()
        result = {name: -account.baseline.get(name, Decimal(0)) for name in self._names}
        for (strategy, symbol), position in account.positions.items():
            if strategy in result:
                result[strategy] += position.realised - position.fees + _gain(market, symbol, position)
        for index, name in enumerate(self._names):
            plans[index]["day"]["day_pnl"] = units_from_dollars(result[name])
            plans[index]["day"]["set_aside"] = index in market.set_aside
            plans[index]["day"]["orders"] = account.sent.session.get(name, 0)
        return plans

    def _values(self, market: Minute, records: Records) -> Iterator[Decision]:
        session, start = market.bars.session, bar_time(market.bars.session, market.minute)
        for sequence, record in enumerate(records):
            kind = DecisionKind(int(record["kind"]))
            ends = session.open + timedelta(minutes=int(record["valid_until"]) + 1)
            yield Decision(
                sequence=sequence,
                strategy=self._names[record["strategy"]],
                symbol=market.bars.symbols[record["symbol"]],
                bar_time=start,
                kind=kind,
                leg=int(record["leg"]),
                cause=ExitCause(int(record["reason"])) if kind is DecisionKind.EXIT else None,
                verdict=Verdict(int(record["verdict"])),
                rule=Rule(int(record["rule"])),
                measure=int(record["measure"]),
                limit=int(record["limit"]),
                quantity=int(record["quantity"]),
                price=dollars_from_units(record["price"]),
                limit_price=dollars_from_units(record["limit_price"]) if record["limit_price"] else None,
                stop_price=dollars_from_units(record["stop_price"]) if record["stop_price"] else None,
                valid_until=min(ends, session.close) if kind is DecisionKind.ENTER else None,
                setup=int(record["setup"]),
            )


def _gain(market: Minute, symbol: str, position: Position) -> Decimal:
    """What a holding has gained at its last known price; none is known: nothing."""
    known = market.bars.latest(symbol, market.minute) if symbol in market.bars.symbols else None
    if known is None or position.quantity == 0:
        return Decimal(0)
    return dollars_from_units(known.price) * position.quantity - position.cost
