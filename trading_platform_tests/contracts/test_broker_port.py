"""What every venue behind the broker port must do. An adapter's test is a subclass with a `Venue` of its own.

The market of these tests stands still: each minute opens, trades and closes at 10.00 dollars, except where `crash` puts
it at 9.00 from then on, or `rise` at 11.00. A minute's volume is 1,000 shares for SPY and 100,000 for IBM.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol, cast

import numpy.typing as npt
import pytest

from trading_platform.brokers.alpaca import AlpacaBroker
from trading_platform.brokers.broker import Broker
from trading_platform.brokers.fees import fee_schedule
from trading_platform.brokers.paper import PaperExchange
from trading_platform.calendars.sessions import Session
from trading_platform.config.secrets import Secret
from trading_platform.domain.clock import SimulatedClock
from trading_platform.domain.compiled import empty_records
from trading_platform.domain.orders import (
    Absent,
    Accepted,
    AttachedStop,
    AttachedTarget,
    BrokerOrder,
    Found,
    NotSent,
    Order,
    OrderState,
    OrderType,
    Rejected,
    Side,
    TimeInForce,
    Unknown,
)
from trading_platform.domain.records import bar_t
from trading_platform_tests.vendors.alpaca.alpaca_server import KEY, SECRET, LocalAlpaca, local_alpaca

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)


class Venue(Protocol):
    """A broker with its market in the test's hands, in a session, an account of 100,000 dollars, holding nothing."""

    @property
    def broker(self) -> Broker: ...

    def deadline(self) -> datetime: ...

    def passed(self) -> datetime:
        """A deadline that has passed before the call: an adapter looks at it before it sends."""
        ...

    def pass_minutes(self, count: int) -> None:
        """Let `count` minutes of trading go by."""
        ...

    def crash(self) -> None:
        """From the next minute on everything trades at 9.00 dollars."""
        ...

    def rise(self) -> None:
        """From the next minute on everything trades at 11.00 dollars."""
        ...

    def end_session(self) -> None:
        """Let the rest of this session go by, and the night, and the first minute of the next session."""
        ...

    def restart(self) -> None:
        """Kill and restart what stands between the test and the venue; `broker` is a new object afterwards."""
        ...


def buying(
    intent: str,
    quantity: int,
    *,
    symbol: str = "IBM",
    stop: str | None = None,
    target: str | None = None,
    limit: str | None = None,
    time_in_force: TimeInForce = TimeInForce.DAY,
) -> Order:
    return Order(
        intent_id=intent,
        symbol=symbol,
        side=Side.BUY,
        type=OrderType.LIMIT if limit else OrderType.MARKET,
        quantity=quantity,
        limit_price=Decimal(limit) if limit else None,
        time_in_force=time_in_force,
        attached_stop=AttachedStop(intent_id=f"{intent}-stop", stop_price=Decimal(stop)) if stop else None,
        attached_target=AttachedTarget(intent_id=f"{intent}-target", limit_price=Decimal(target)) if target else None,
    )


def selling(intent: str, quantity: int, *, symbol: str = "IBM", stop: str | None = None) -> Order:
    return Order(
        intent_id=intent,
        symbol=symbol,
        side=Side.SELL,
        type=OrderType.STOP if stop else OrderType.MARKET,
        quantity=quantity,
        stop_price=Decimal(stop) if stop else None,
    )


def stop_limit(intent: str, side: Side, quantity: int, *, stop: str, limit: str) -> Order:
    return Order(
        intent_id=intent,
        symbol="IBM",
        side=side,
        type=OrderType.STOP_LIMIT,
        quantity=quantity,
        stop_price=Decimal(stop),
        limit_price=Decimal(limit),
    )


def require(venue: Venue, *what: OrderType | TimeInForce) -> None:
    """Skip the test where the venue does not have these."""
    has = venue.broker.capabilities.order_types | venue.broker.capabilities.times_in_force
    if not has.issuperset(what):
        pytest.skip(f"this venue has no {', '.join(sorted(what))} orders")


def require_brackets(venue: Venue) -> None:
    if not venue.broker.capabilities.brackets:
        pytest.skip("this venue has no brackets")


def protected(venue: Venue, entry: str, symbol: str) -> int:
    """The shares that an entry's legs must be working for: what is held, or nothing where they wait for the whole."""
    found = venue.broker.find(entry)
    assert isinstance(found, Found)
    if venue.broker.capabilities.legs_follow_fills or found.order.state is OrderState.FILLED:
        return venue.broker.positions().get(symbol, 0)
    return 0


class BrokerPortContract:
    """The contract. `venue` is given by the subclass."""

    @pytest.fixture
    def venue(self) -> Iterator[Venue]:
        raise NotImplementedError

    def found(self, venue: Venue, intent: str) -> BrokerOrder:
        answer = venue.broker.find(intent)
        assert isinstance(answer, Found)
        return answer.order

    def submit(self, venue: Venue, order: Order) -> Accepted:
        answer = venue.broker.submit(order, venue.deadline())
        assert isinstance(answer, Accepted), answer
        return answer

    def test_an_order_lives_from_taken_to_filled(self, venue: Venue) -> None:
        taken = self.submit(venue, buying("a", 100))
        assert self.found(venue, "a") == BrokerOrder(
            intent_id="a",
            broker_order_id=taken.broker_order_id,
            symbol="IBM",
            side=Side.BUY,
            type=OrderType.MARKET,
            time_in_force=TimeInForce.DAY,
            quantity=100,
            filled=0,
            state=OrderState.ACKNOWLEDGED,
        )
        assert venue.broker.open_orders() == (self.found(venue, "a"),)
        assert venue.broker.executions(EARLIEST) == ()
        venue.pass_minutes(1)
        assert self.found(venue, "a").state is OrderState.FILLED
        assert venue.broker.open_orders() == ()
        (execution,) = venue.broker.executions(EARLIEST)
        assert (execution.intent_id, execution.broker_order_id) == ("a", taken.broker_order_id)
        assert (execution.symbol, execution.side, execution.quantity) == ("IBM", Side.BUY, 100)
        assert venue.broker.positions() == {"IBM": 100}

    def test_cash_and_positions_are_what_the_executions_say(self, venue: Venue) -> None:
        opening = venue.broker.cash()
        self.submit(venue, buying("a", 250, symbol="SPY"))
        self.submit(venue, buying("b", 100))
        venue.pass_minutes(4)
        self.submit(venue, selling("c", 100))
        venue.pass_minutes(1)
        expected, held = opening, {"IBM": 0, "SPY": 0}
        for execution in venue.broker.executions(EARLIEST):
            sign = 1 if execution.side is Side.BUY else -1
            expected -= sign * execution.quantity * execution.price + execution.fee
            held[execution.symbol] += sign * execution.quantity
        assert held == {"IBM": 0, "SPY": 250}
        assert venue.broker.positions() == {"SPY": 250}
        assert venue.broker.cash() == expected

    def test_a_partial_fill_shows(self, venue: Venue) -> None:
        self.submit(venue, buying("a", 250, symbol="SPY"))
        venue.pass_minutes(1)
        order = self.found(venue, "a")
        assert order.state is OrderState.PARTIALLY_FILLED
        assert 0 < order.filled < order.quantity == 250

    def test_executions_have_ids_of_their_own_and_come_by_time(self, venue: Venue) -> None:
        self.submit(venue, buying("a", 250, symbol="SPY"))
        venue.pass_minutes(4)
        executions = venue.broker.executions(EARLIEST)
        assert len(executions) > 1
        assert len({execution.execution_id for execution in executions}) == len(executions)
        assert list(executions) == sorted(executions, key=lambda execution: execution.time)
        assert venue.broker.executions(executions[1].time) == executions[1:]
        assert venue.broker.executions(executions[-1].time + timedelta(microseconds=1)) == ()

    def test_an_unknown_id_is_absent_and_cannot_be_changed(self, venue: Venue) -> None:
        assert venue.broker.find("nobody") == Absent()
        assert isinstance(venue.broker.cancel("nobody", venue.deadline()), Rejected)
        assert isinstance(venue.broker.reduce("nobody", 1, venue.deadline()), Rejected)

    def test_a_cancelled_order_does_not_fill(self, venue: Venue) -> None:
        self.submit(venue, buying("a", 100, limit="9.50"))
        assert isinstance(venue.broker.cancel("a", venue.deadline()), Accepted)
        venue.crash()
        venue.pass_minutes(2)
        assert self.found(venue, "a").state is OrderState.CANCELLED
        assert venue.broker.positions() == {}
        assert isinstance(venue.broker.cancel("a", venue.deadline()), Rejected)

    def test_a_filled_order_cannot_be_cancelled_or_reduced(self, venue: Venue) -> None:
        self.submit(venue, buying("a", 100))
        venue.pass_minutes(1)
        assert isinstance(venue.broker.cancel("a", venue.deadline()), Rejected)
        assert isinstance(venue.broker.reduce("a", 1, venue.deadline()), Rejected)

    def test_reducing_leaves_at_most_that_much_open(self, venue: Venue) -> None:
        self.submit(venue, buying("a", 250, symbol="SPY"))
        venue.pass_minutes(1)
        filled = self.found(venue, "a").filled
        assert isinstance(venue.broker.reduce("a", 10, venue.deadline()), Accepted)
        assert self.found(venue, "a").quantity == filled + 10
        assert isinstance(venue.broker.reduce("a", 20, venue.deadline()), Accepted)
        assert self.found(venue, "a").quantity == filled + 10
        venue.pass_minutes(1)
        assert self.found(venue, "a").state is OrderState.FILLED
        assert venue.broker.positions() == {"SPY": filled + 10}

    def test_reducing_to_nothing_cancels(self, venue: Venue) -> None:
        self.submit(venue, buying("a", 100, limit="9.50"))
        assert isinstance(venue.broker.reduce("a", 0, venue.deadline()), Accepted)
        assert self.found(venue, "a").state is OrderState.CANCELLED

    def test_a_repeated_id_is_the_order_that_has_it_or_makes_a_second_one(self, venue: Venue) -> None:
        first = self.submit(venue, buying("a", 100))
        again = venue.broker.submit(buying("a", 100), venue.deadline())
        venue.pass_minutes(1)
        if venue.broker.capabilities.refuses_repeated_ids:
            # Refused there, and here the answer to the first sending: a rejected intent would be made anew.
            assert again == first
            assert venue.broker.positions() == {"IBM": 100}
        else:
            assert isinstance(again, Accepted)
            assert venue.broker.positions() == {"IBM": 200}

    @pytest.mark.parametrize(
        "order",
        [
            buying("a", 0),
            buying("a", -5),
            buying("a", 10, limit="9.999"),
            buying("a", 10, limit="-1"),
            buying("a", 10_001),
            buying("a", 10, symbol="NOSUCH"),
            selling("a", 1),
            stop_limit("a", Side.BUY, 10, stop="10.50", limit="10.505"),
            replace(stop_limit("a", Side.BUY, 10, stop="10.50", limit="10.60"), limit_price=None),
            replace(buying("a", 10), stop_price=Decimal("10.50")),
            replace(buying("a", 10), time_in_force=cast("TimeInForce", "ioc")),
            replace(buying("a", 10), type=cast("OrderType", "pegged")),
            buying("a", 10, stop="9.50", target="9.90"),
            buying("a", 10, stop="10.10", target="10.50"),
            buying("a", 10, limit="9.80", stop="9.90", target="10.50"),
            buying("a", 10, target="10.50"),
        ],
        ids=[
            "no shares",
            "fewer than none",
            "off the tick",
            "below zero",
            "buying power",
            "unknown symbol",
            "short",
            "stop-limit off the tick",
            "stop-limit without a limit",
            "market order with a stop",
            "unknown time in force",
            "unknown type",
            "target below the price",
            "stop above the price",
            "stop above the limit",
            "target without a stop",
        ],
    )
    def test_what_cannot_be_is_rejected_and_leaves_nothing(self, venue: Venue, order: Order) -> None:
        assert isinstance(venue.broker.submit(order, venue.deadline()), Rejected)
        assert venue.broker.open_orders() == ()

    def test_after_the_deadline_nothing_is_sent_and_nothing_is_refused(self, venue: Venue) -> None:
        assert isinstance(venue.broker.submit(buying("a", 100, stop="9.50"), venue.passed()), NotSent | Unknown)
        assert venue.broker.find("a") == venue.broker.find("a-stop") == Absent()
        assert venue.broker.open_orders() == ()
        self.submit(venue, buying("b", 100))
        assert isinstance(venue.broker.cancel("b", venue.passed()), NotSent | Unknown)
        assert isinstance(venue.broker.reduce("b", 1, venue.passed()), NotSent | Unknown)
        assert self.found(venue, "b").quantity == 100
        venue.pass_minutes(1)
        assert venue.broker.positions() == {"IBM": 100}

    def test_an_attached_stop_protects_exactly_what_its_entry_has_filled(self, venue: Venue) -> None:
        if not venue.broker.capabilities.attached_stops:
            pytest.skip("this venue has no attached stops")
        self.submit(venue, buying("a", 250, symbol="SPY", stop="9.50"))
        assert {order.intent_id for order in venue.broker.open_orders()} == {"a", "a-stop"}
        for _ in range(4):
            stop = self.found(venue, "a-stop")
            assert stop.quantity - stop.filled == protected(venue, "a", "SPY")
            assert stop.state is OrderState.ACKNOWLEDGED
            venue.pass_minutes(1)
        assert self.found(venue, "a").state is OrderState.FILLED
        venue.crash()
        venue.pass_minutes(4)
        assert venue.broker.positions() == {}
        assert self.found(venue, "a-stop").state is OrderState.FILLED
        assert venue.broker.open_orders() == ()

    def test_cancelling_an_entry_leaves_the_stop_of_what_it_filled(self, venue: Venue) -> None:
        if not venue.broker.capabilities.attached_stops:
            pytest.skip("this venue has no attached stops")
        self.submit(venue, buying("a", 250, symbol="SPY", stop="9.50"))
        venue.pass_minutes(1)
        assert isinstance(venue.broker.cancel("a", venue.deadline()), Accepted)
        (stop,) = venue.broker.open_orders()
        assert (stop.intent_id, stop.quantity) == ("a-stop", venue.broker.positions()["SPY"])
        venue.crash()
        venue.pass_minutes(2)
        assert venue.broker.positions() == {}

    def test_a_day_order_ends_with_its_session_and_a_gtc_order_lives_on(self, venue: Venue) -> None:
        require(venue, TimeInForce.GTC)
        self.submit(venue, buying("day", 100, limit="9.50"))
        self.submit(venue, buying("gtc", 100, limit="9.50", time_in_force=TimeInForce.GTC))
        venue.end_session()
        assert self.found(venue, "day").state is OrderState.EXPIRED
        (order,) = venue.broker.open_orders()
        assert (order.intent_id, order.time_in_force, order.state) == ("gtc", TimeInForce.GTC, OrderState.ACKNOWLEDGED)
        venue.crash()
        venue.pass_minutes(1)
        assert venue.broker.positions() == {"IBM": 100}

    def test_a_gtc_order_can_be_cancelled_in_a_later_session(self, venue: Venue) -> None:
        require(venue, TimeInForce.GTC)
        self.submit(venue, buying("a", 100, limit="9.50", time_in_force=TimeInForce.GTC))
        venue.end_session()
        assert isinstance(venue.broker.cancel("a", venue.deadline()), Accepted)
        venue.crash()
        venue.pass_minutes(1)
        assert venue.broker.positions() == {}

    def test_a_stop_limit_waits_for_its_stop_and_then_for_its_limit(self, venue: Venue) -> None:
        require(venue, OrderType.STOP_LIMIT)
        self.submit(venue, buying("a", 200))
        venue.pass_minutes(1)
        self.submit(venue, stop_limit("near", Side.SELL, 100, stop="9.50", limit="9.40"))
        self.submit(venue, stop_limit("far", Side.SELL, 100, stop="9.50", limit="8.90"))
        venue.pass_minutes(2)
        assert venue.broker.positions() == {"IBM": 200}
        venue.crash()
        venue.pass_minutes(2)
        assert self.found(venue, "far").state is OrderState.FILLED
        assert self.found(venue, "near").filled == 0
        venue.rise()
        venue.pass_minutes(2)
        *_, last = venue.broker.executions(EARLIEST)
        assert (last.intent_id, venue.broker.positions()) == ("near", {})
        assert last.price >= Decimal("9.40")

    def test_a_brackets_target_sells_and_its_stop_is_gone(self, venue: Venue) -> None:
        require_brackets(venue)
        self.submit(venue, buying("a", 100, stop="9.50", target="10.50"))
        assert {order.intent_id for order in venue.broker.open_orders()} == {"a", "a-stop", "a-target"}
        venue.pass_minutes(1)
        venue.rise()
        venue.pass_minutes(2)
        assert self.found(venue, "a-target").state is OrderState.FILLED
        assert self.found(venue, "a-stop").state is OrderState.CANCELLED
        assert venue.broker.open_orders() == ()
        venue.crash()
        venue.pass_minutes(2)
        assert venue.broker.positions() == {}
        assert sum(done.quantity for done in venue.broker.executions(EARLIEST) if done.side is Side.SELL) == 100

    def test_a_brackets_stop_sells_and_its_target_is_gone(self, venue: Venue) -> None:
        require_brackets(venue)
        self.submit(venue, buying("a", 100, stop="9.50", target="10.50"))
        venue.pass_minutes(1)
        venue.crash()
        venue.pass_minutes(2)
        assert self.found(venue, "a-stop").state is OrderState.FILLED
        assert self.found(venue, "a-target").state is OrderState.CANCELLED
        assert (venue.broker.open_orders(), venue.broker.positions()) == ((), {})

    def test_a_brackets_legs_never_offer_more_than_is_held(self, venue: Venue) -> None:
        require_brackets(venue)
        self.submit(venue, buying("a", 250, symbol="SPY", stop="9.50", target="10.50"))
        for turn in (venue.rise, venue.crash, venue.rise, venue.crash):
            for leg in ("a-stop", "a-target"):
                order = self.found(venue, leg)
                assert order.quantity - order.filled == protected(venue, "a", "SPY")
            turn()
            venue.pass_minutes(1)
        bought, sold = (
            sum(done.quantity for done in venue.broker.executions(EARLIEST) if done.side is side) for side in Side
        )
        assert bought - sold == venue.broker.positions().get("SPY", 0) >= 0

    @pytest.mark.parametrize("leg", ["a-stop", "a-target"])
    def test_cancelling_one_leg_of_a_bracket_cancels_both(self, venue: Venue, leg: str) -> None:
        require_brackets(venue)
        self.submit(venue, buying("a", 100, stop="9.50", target="10.50"))
        venue.pass_minutes(1)
        assert isinstance(venue.broker.cancel(leg, venue.deadline()), Accepted)
        assert venue.broker.open_orders() == ()
        assert {self.found(venue, name).state for name in ("a-stop", "a-target")} == {OrderState.CANCELLED}
        self.submit(venue, selling("b", 100))

    @pytest.mark.parametrize("leg", ["a-stop", "a-target"])
    def test_reducing_one_leg_of_a_bracket_reduces_both_and_frees_the_shares(self, venue: Venue, leg: str) -> None:
        require_brackets(venue)
        self.submit(venue, buying("a", 100, stop="9.50", target="10.50"))
        venue.pass_minutes(1)
        assert isinstance(venue.broker.submit(selling("b", 1), venue.deadline()), Rejected)
        assert isinstance(venue.broker.reduce(leg, 60, venue.deadline()), Accepted)
        assert {self.found(venue, name).quantity for name in ("a-stop", "a-target")} == {60}
        assert isinstance(venue.broker.submit(selling("b", 41), venue.deadline()), Rejected)
        self.submit(venue, selling("b", 40))

    def test_cancelling_an_entry_leaves_the_bracket_of_what_it_filled(self, venue: Venue) -> None:
        require_brackets(venue)
        self.submit(venue, buying("a", 250, symbol="SPY", stop="9.50", target="10.50"))
        venue.pass_minutes(1)
        assert isinstance(venue.broker.cancel("a", venue.deadline()), Accepted)
        held = venue.broker.positions()["SPY"]
        assert {(order.intent_id, order.quantity) for order in venue.broker.open_orders()} == {
            ("a-stop", held),
            ("a-target", held),
        }

    def test_a_gtc_bracket_protects_over_the_night(self, venue: Venue) -> None:
        require_brackets(venue)
        require(venue, TimeInForce.GTC)
        self.submit(venue, buying("a", 100, stop="9.50", target="10.50", time_in_force=TimeInForce.GTC))
        venue.pass_minutes(1)
        venue.end_session()
        assert {order.intent_id for order in venue.broker.open_orders()} == {"a-stop", "a-target"}
        venue.crash()
        venue.pass_minutes(1)
        assert (venue.broker.open_orders(), venue.broker.positions()) == ((), {})

    def test_shares_on_offer_cannot_be_sold_again_until_the_stop_is_reduced(self, venue: Venue) -> None:
        self.submit(venue, buying("a", 100))
        venue.pass_minutes(1)
        self.submit(venue, selling("b", 100, stop="9.50"))
        assert isinstance(venue.broker.submit(selling("c", 40), venue.deadline()), Rejected)
        assert isinstance(venue.broker.reduce("b", 60, venue.deadline()), Accepted)
        self.submit(venue, selling("c", 40))
        venue.pass_minutes(1)
        assert venue.broker.positions() == {"IBM": 60}

    def test_a_restart_keeps_everything(self, venue: Venue) -> None:
        self.submit(venue, buying("a", 250, symbol="SPY"))
        self.submit(venue, buying("b", 100, limit="9.00"))
        venue.pass_minutes(1)

        def state() -> tuple[Any, ...]:
            broker = venue.broker
            return (
                broker.open_orders(),
                broker.executions(EARLIEST),
                broker.positions(),
                broker.cash(),
                broker.find("a"),
            )

        before = state()
        venue.restart()
        assert state() == before
        venue.pass_minutes(4)
        assert self.found(venue, "a").state is OrderState.FILLED

    def test_time_passes_at_the_venue_while_nobody_asks(self, venue: Venue) -> None:
        self.submit(venue, buying("a", 250, symbol="SPY"))
        venue.restart()
        venue.pass_minutes(4)
        assert venue.broker.positions() == {"SPY": 250}


class PaperVenue:
    """The paper exchange on 2013-10-09, a minute and three seconds after the open."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.session = self.session_of(date(2013, 10, 9))
        self.clock = SimulatedClock(self.session.open + timedelta(minutes=1, seconds=3))
        self.prices = [(self.session.open, 100_000)]
        self.broker = self.opened()

    def session_of(self, day: date) -> Session:
        opening = datetime(day.year, day.month, day.day, 13, 30, tzinfo=UTC)
        return Session(day=day, open=opening, close=opening + timedelta(hours=6, minutes=30))

    def opened(self) -> PaperExchange:
        return PaperExchange(
            self.path,
            clock=self.clock,
            bars=self.bars,
            session_of=self.session_of,
            fees=fee_schedule("ibkr_fixed"),
            opening_cash=Decimal(100_000),
        )

    def bars(self, symbol: str, day: date, until: datetime) -> npt.NDArray[Any]:
        opening = self.session_of(day).open
        count = (until - opening) // timedelta(minutes=1) if symbol in ("SPY", "IBM") else 0
        bars = empty_records(min(count, 390), bar_t)
        for minute in range(len(bars)):
            start = opening + timedelta(minutes=minute)
            price = next(price for since, price in reversed(self.prices) if start >= since)
            bars[minute] = (int(start.timestamp()), *(price,) * 4, 1000 if symbol == "SPY" else 100_000)
        return bars

    def deadline(self) -> datetime:
        return self.clock.now() + timedelta(seconds=4)

    def passed(self) -> datetime:
        return self.clock.now() - timedelta(seconds=1)

    def pass_minutes(self, count: int) -> None:
        self.clock.advance_to(self.clock.now() + timedelta(minutes=count))

    def crash(self) -> None:
        self.prices.append((self.clock.now().replace(second=0), 90_000))

    def rise(self) -> None:
        self.prices.append((self.clock.now().replace(second=0), 110_000))

    def end_session(self) -> None:
        tomorrow = self.session_of(self.clock.now().date() + timedelta(days=1))
        self.clock.advance_to(tomorrow.open + timedelta(minutes=1, seconds=3))

    def restart(self) -> None:
        self.broker.close()
        self.broker = self.opened()


class AlpacaVenue:
    """A local Alpaca whose market trades once a minute, and the adapter before it."""

    def __init__(self, server: LocalAlpaca, clock: SimulatedClock) -> None:
        self.server, self.clock = server, clock
        self.price = Decimal(10)
        self.broker = self.opened()

    def opened(self) -> AlpacaBroker:
        return AlpacaBroker(
            key=Secret(KEY), secret=Secret(SECRET), clock=self.clock, paper=True, base_url=self.server.url
        )

    def deadline(self) -> datetime:
        return self.clock.now() + timedelta(seconds=4)

    def passed(self) -> datetime:
        return self.clock.now() - timedelta(seconds=1)

    def pass_minutes(self, count: int) -> None:
        for _ in range(count):
            self.clock.advance_to(self.clock.now() + timedelta(minutes=1))
            # A tenth of what the market trades.
            self.server.book.set_price("SPY", self.price, shares=100)
            self.server.book.set_price("IBM", self.price, shares=10_000)

    def crash(self) -> None:
        self.price = Decimal(9)

    def rise(self) -> None:
        self.price = Decimal(11)

    def end_session(self) -> None:
        self.server.book.end_day()
        self.clock.advance_to(self.clock.now() + timedelta(hours=24))
        self.pass_minutes(1)

    def restart(self) -> None:
        self.broker.close()
        self.broker = self.opened()


class TestAlpaca(BrokerPortContract):
    @pytest.fixture
    def venue(self) -> Iterator[AlpacaVenue]:
        clock = SimulatedClock(datetime(2025, 10, 9, 13, 31, 3, tzinfo=UTC))
        with local_alpaca(clock.now) as server:
            venue = AlpacaVenue(server, clock)
            yield venue
            venue.broker.close()


class TestPaperExchange(BrokerPortContract):
    @pytest.fixture
    def venue(self, tmp_path: Path) -> Iterator[PaperVenue]:
        venue = PaperVenue(tmp_path / "paper.sqlite")
        yield venue
        venue.broker.close()
