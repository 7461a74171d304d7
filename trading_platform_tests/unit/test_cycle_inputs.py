"""What a cycle saw, packed and unpacked; and the kernel, given a recorded cycle again, decides the same."""

import json
import zlib
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from trading_platform.brokers.paper import CAPABILITIES
from trading_platform.calendars.sessions import Session
from trading_platform.config.settings import Limits
from trading_platform.domain import records as domain_records
from trading_platform.domain.compiled import as_records, empty_records
from trading_platform.domain.decisions import Decision, DecisionKind, TradingMode, Verdict
from trading_platform.domain.errors import Inconsistent
from trading_platform.domain.fills import Position
from trading_platform.domain.money import dollars_from_units
from trading_platform.domain.orders import IntentKind, OrderIntent, OrderState, OrderType, Side
from trading_platform.domain.records import bar_t, day_t, decision_t, out_t
from trading_platform.domain.signals import ExitReason
from trading_platform.engine.inputs import pack, unpack
from trading_platform.marketdata.bars import SessionBars, session_bars
from trading_platform.orders.intents import SessionOrders, make_intents
from trading_platform.portfolio.account import AccountView, untraded
from trading_platform.portfolio.decide import Decided, DecisionDesk, Minute
from trading_platform.portfolio.kernel import DECISIONS_PER_HOLDING, decide
from trading_platform.strategies.registry import load
from trading_platform_tests.factories.orders import at_broker, status

OPEN = datetime(2013, 10, 9, 13, 30, tzinfo=UTC)
SESSION = Session(day=date(2013, 10, 9), open=OPEN, close=OPEN + timedelta(minutes=390))
SYMBOLS = ("SPY", "IBM", "AIG", "BAC")
STRATEGY = load("vwap_reclaim")
DAYS = np.zeros(len(SYMBOLS), day_t)
DAYS["average_daily_volume"] = 1_000_000
MINUTE = 90
FILLED = 60
TYPES = {name: dtype for name, dtype in vars(domain_records).items() if isinstance(dtype, np.dtype)}
KERNEL_TYPES = {"book": "book_t", "positions": "position_t", "entries": "entry_t", "plans": "plan_t"}


# ---- packing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("shape", [(0,), (1,), (7,), (3, 5), (2, 0)])
def test_records_come_back_as_they_were(name: str, shape: tuple[int, ...]) -> None:
    dtype = TYPES[name]
    size = int(np.prod(shape)) * dtype.itemsize
    array = np.frombuffer(np.random.default_rng(5).bytes(size), dtype).reshape(shape)
    _, arrays = unpack(pack({}, {"one": array, "two": array[::-1]}))
    assert list(arrays) == ["one", "two"]
    for found, given in ((arrays["one"], array), (arrays["two"], array[::-1])):
        assert (found.dtype, found.shape, found.tobytes()) == (dtype, given.shape, given.tobytes())


def test_every_kind_of_record_is_looked_at() -> None:
    assert set(TYPES) >= set(KERNEL_TYPES.values()) | {"bar_t", "day_t", "out_t", "decision_t"}


def test_plain_arrays_and_values_come_back_and_can_be_written_to() -> None:
    plain = {"symbols": ["SPY"], "cash": "1.0000", "open": {"tp-1": [100, 60]}, "none": None, "count": 3}
    floats = np.array([[np.nan, -0.0, np.inf], [0.1, 1e-310, -1.0]])
    found, arrays = unpack(pack(plain, {"floats": floats.T}))
    assert found == plain
    assert arrays["floats"].tobytes() == floats.T.tobytes()
    arrays["floats"][0, 0] = 1.0


def test_the_same_inputs_make_the_same_blob() -> None:
    book = np.zeros(2, TYPES["book_t"])
    assert pack({"a": 1}, {"book": book}) == pack({"a": 1}, {"book": book.copy()})


def test_what_json_cannot_hold_is_refused_when_it_is_packed() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        pack({"equity": float("nan")}, {})


def test_a_blob_of_another_format_is_refused() -> None:
    head, _, body = zlib.decompress(pack({}, {"book": np.zeros(1, TYPES["book_t"])})).partition(b"\n")
    header = json.loads(head)
    header["format"] = 2
    with pytest.raises(Inconsistent, match="have the format 2, not 1"):
        unpack(zlib.compress(json.dumps(header).encode() + b"\n" + body))


# ---- a recorded cycle, decided again ------------------------------------------------------------------------------


def closes() -> SessionBars:
    """Four symbols around 10, 20, 30 and 40 dollars; AIG has no bar of the decided minute."""
    clean = []
    for number, symbol in enumerate(SYMBOLS):
        minutes = [minute for minute in range(MINUTE + 1) if symbol != "AIG" or minute != MINUTE]
        bars = np.zeros(len(minutes), bar_t)
        bars["time"] = [int(OPEN.timestamp()) + 60 * minute for minute in minutes]
        for price in ("open", "high", "low", "close"):
            bars[price] = (number + 1) * 100_000
        bars["volume"] = 10_000
        clean.append(bars)
    # SPY has reached 1 R: half is sold.
    clean[0]["close"][-1] = clean[0]["high"][-1] = 110_000
    return session_bars(SESSION, SYMBOLS, clean)


def outs(**changes: tuple[str, Any]) -> Any:
    """What the strategy said, by symbol: `BAC=("entry", 1)`."""
    told = empty_records(len(SYMBOLS), out_t)
    for symbol, (field, value) in changes.items():
        told[SYMBOLS.index(symbol)][field] = value
    return told


def bought(symbol: str, price: str) -> tuple[Position, OrderIntent]:
    """A position of 100 shares, and the entry that made it."""
    entry = OrderIntent(
        id=f"tp-{symbol}",
        book="paper",
        strategy=STRATEGY.name,
        symbol=symbol,
        bar_time=OPEN + timedelta(minutes=FILLED - 1),
        kind=IntentKind.ENTRY,
        leg=0,
        attempt=0,
        side=Side.BUY,
        type=OrderType.MARKET,
        quantity=100,
        stop_price=Decimal(price) - 1,
        valid_until=OPEN + timedelta(minutes=FILLED + 1),
        setup=1,
    )
    cost = Decimal(price) * 100
    position = Position(
        strategy=STRATEGY.name,
        symbol=symbol,
        quantity=100,
        cost=cost,
        realised=Decimal(0),
        fees=Decimal(1),
        entry_quantity=100,
        entry_cost=cost,
        round_trips=0,
        opened_at=OPEN + timedelta(minutes=FILLED),
        opened_by=entry.id,
    )
    return position, entry


def account() -> AccountView:
    held = [bought("SPY", "10"), bought("IBM", "20"), bought("AIG", "30")]
    return AccountView(
        cash=Decimal("93997.0000"),
        positions={(one.strategy, one.symbol): one for one, _ in held},
        orders=tuple(status(entry, OrderState.FILLED, filled=100) for _, entry in held),
        broker_orders={},
        attempts={(STRATEGY.name, "BAC"): 1},
        open_equity=Decimal("100000.0000"),
        peak_equity=Decimal("100000.0000"),
        mode=TradingMode.NORMAL,
    )


def recorded() -> Decided:
    told = outs(IBM=("exit", int(ExitReason.BELOW_VWAP)), BAC=("entry", 1))
    told["stop"][SYMBOLS.index("BAC")] = 39.00499
    desk = DecisionDesk([STRATEGY], Limits(), SESSION, CAPABILITIES)
    return desk.decide(Minute(bars=closes(), minute=MINUTE, days=DAYS, outs=(told,)), account())


def brief(decisions: tuple[Decision, ...]) -> list[tuple[str, str, int]]:
    return [(one.kind.name, one.symbol, one.quantity) for one in decisions]


def test_a_minute_is_decided_from_values() -> None:
    decided = recorded()
    assert brief(decided.decisions) == [
        ("PROTECT", "SPY", 50),
        ("EXIT", "SPY", 50),
        ("EXIT", "IBM", 100),
        ("PROTECT", "AIG", 100),
        # 0.5 % of 100,097 dollars over 1.00 a share: the stop of 39.00499 is put on the tick, at 39.00.
        ("ENTER", "BAC", 500),
    ]
    entry = decided.decisions[-1]
    assert (entry.verdict, entry.stop_price) == (Verdict.APPROVED, Decimal("39.0000"))
    assert entry.valid_until == OPEN + timedelta(minutes=MINUTE + 2)
    assert entry.bar_time == OPEN + timedelta(minutes=MINUTE)
    assert [one.sequence for one in decided.decisions] == list(range(5))
    assert (decided.equity, decided.peak_equity) == (Decimal("100097.0000"), Decimal("100097.0000"))
    assert decided.unrealised == Decimal("100.0000")


def test_a_recorded_cycle_given_back_to_the_kernel_gives_the_recorded_decisions() -> None:
    decided = recorded()
    _, arrays = unpack(pack({}, decided.seen))
    assert set(arrays) == set(KERNEL_TYPES)
    given = {name: as_records(array.view(TYPES[KERNEL_TYPES[name]])) for name, array in arrays.items()}
    out = empty_records(len(given["positions"]) * DECISIONS_PER_HOLDING + len(given["entries"]), decision_t)
    count = decide(given["book"], given["positions"], given["entries"], given["plans"], out)
    names = (STRATEGY.name,)
    again = [
        (
            names[one["strategy"]],
            SYMBOLS[one["symbol"]],
            one["kind"],
            one["leg"],
            one["verdict"],
            one["rule"],
            one["measure"],
            one["limit"],
            one["quantity"],
            dollars_from_units(one["price"]),
        )
        for one in out[:count]
    ]
    assert again == [
        (
            one.strategy,
            one.symbol,
            one.kind,
            one.leg,
            one.verdict,
            one.rule,
            one.measure,
            one.limit,
            one.quantity,
            one.price,
        )
        for one in decided.decisions
    ]
    assert dollars_from_units(given["book"][0]["equity"]) == decided.equity


def test_what_is_recorded_is_what_was_there_before_the_kernel_wrote_to_it() -> None:
    decided = recorded()
    assert decided.seen["book"]["equity"].tolist() == [0]
    assert decided.seen["positions"]["exiting"].tolist() == [0, 0, 0, 0]
    assert decided.seen["positions"]["entering"].tolist() == [0, 0, 0, 0]


def test_the_same_values_are_decided_the_same_way() -> None:
    assert recorded().decisions == recorded().decisions


def test_a_decision_to_protect_says_at_what_price() -> None:
    protect = next(one for one in recorded().decisions if one.kind is DecisionKind.PROTECT)
    assert protect.stop_price == Decimal("9.0000")


def test_a_stop_that_outlived_its_position_is_taken_back() -> None:
    # The stop could not be reduced before the exit, and the exit has sold everything.
    position, entry = bought("SPY", "10")
    stop = replace(entry, id="tp-stop", kind=IntentKind.STOP, side=Side.SELL, type=OrderType.STOP, parent=entry.id)
    orders = (status(entry, OrderState.FILLED, filled=100), status(stop))
    shown = at_broker(stop, 100)
    flat = replace(position, quantity=0, cost=Decimal(0), opened_at=None, opened_by=None)
    account = AccountView(
        cash=Decimal(100_000),
        positions={(STRATEGY.name, "SPY"): flat},
        orders=orders,
        broker_orders=shown,
        attempts={},
    )
    desk = DecisionDesk([STRATEGY], Limits(), SESSION, CAPABILITIES)
    decisions = desk.decide(Minute(bars=closes(), minute=MINUTE, days=DAYS, outs=(outs(),)), account).decisions
    assert brief(decisions) == [("PROTECT", "SPY", 0)]
    working = SessionOrders(statuses=orders, at_broker=shown)
    (intent,) = make_intents("paper", decisions, working, lambda _: True)
    assert (intent.kind, intent.target, intent.quantity) == (IntentKind.REDUCE, "tp-stop", 0)


def test_a_late_decision_makes_the_reference_older() -> None:
    told = outs(BAC=("entry", 1))
    told["stop"] = 39.0
    desk = DecisionDesk([STRATEGY], Limits(), SESSION, CAPABILITIES)
    verdicts = [
        desk.decide(Minute(bars=closes(), minute=MINUTE, days=DAYS, outs=(told,), lateness=late), account())
        .decisions[-1]
        .verdict
        for late in (90, 91)
    ]
    assert verdicts == [Verdict.APPROVED, Verdict.REFUSED]


def test_entries_are_decided_by_strategy_order_and_then_by_symbol() -> None:
    told = outs(SPY=("entry", 1), IBM=("entry", 1), AIG=("entry", 1), BAC=("entry", 1))
    told["stop"] = 1.0
    empty = AccountView(cash=Decimal(100_000), positions={}, orders=(), broker_orders={}, attempts={})
    desk = DecisionDesk(
        [replace(STRATEGY, name="zeta"), replace(STRATEGY, name="alpha")],
        Limits(max_positions=100, max_orders_per_second=100),
        SESSION,
        CAPABILITIES,
    )
    decided = desk.decide(Minute(bars=closes(), minute=MINUTE, days=DAYS, outs=(told, told)), empty)
    assert [(one.strategy, one.symbol) for one in decided.decisions] == [
        (strategy, symbol) for strategy in ("zeta", "alpha") for symbol in ("AIG", "BAC", "IBM", "SPY")
    ]


def test_a_holding_that_the_session_does_not_trade_is_named_and_counts_at_its_cost() -> None:
    known = account()
    stray, _ = bought("XYZ", "7")
    strayed = replace(
        known,
        cash=known.cash - stray.cost,
        positions={**known.positions, (STRATEGY.name, "XYZ"): stray},
    )
    assert untraded(known, SYMBOLS, (STRATEGY.name,)) == ()
    assert untraded(strayed, SYMBOLS, (STRATEGY.name,)) == ((STRATEGY.name, "XYZ"),)
    desk = DecisionDesk([STRATEGY], Limits(), SESSION, CAPABILITIES)
    decided = desk.decide(Minute(bars=closes(), minute=MINUTE, days=DAYS, outs=(outs(),)), strayed)
    assert decided.equity == recorded().equity
