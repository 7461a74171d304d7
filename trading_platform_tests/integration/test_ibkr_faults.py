"""What the adapter for Interactive Brokers answers when something goes wrong, and what the venue's own book then holds."""

import asyncio
import importlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from trading_platform.brokers.ibkr import IbkrBroker
from trading_platform.brokers.ibkr_address import Patience
from trading_platform.brokers.ibkr_budget import MessageBudget
from trading_platform.brokers.ibkr_link import Link
from trading_platform.domain.errors import InvalidInput, TemporaryError
from trading_platform.domain.orders import (
    Absent,
    Accepted,
    BrokerOrder,
    Found,
    NotSent,
    OrderState,
    OrderType,
    Rejected,
    TimeInForce,
    Unknown,
)
from trading_platform_tests.contracts.test_broker_port import buying, selling
from trading_platform_tests.vendors.tws.exchange import WorkingOrder
from trading_platform_tests.vendors.tws.server import ACCOUNT, Kind
from trading_platform_tests.vendors.tws.venue import CLIENT, OPEN, QUICK, IbkrVenue

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
SOON = 0.4
"""Seconds to the deadline of a call that is expected to reach it."""

Open = Callable[..., IbkrVenue]


@pytest.fixture
def open_venue() -> Iterator[Open]:
    made: list[IbkrVenue] = []

    def make(**settings: Any) -> IbkrVenue:
        made.append(IbkrVenue(**settings))
        return made[-1]

    yield make
    for venue in made:
        venue.close()


@pytest.fixture
def venue(open_venue: Open) -> IbkrVenue:
    return open_venue()


def found(venue: IbkrVenue, intent: str) -> BrokerOrder:
    answer = venue.broker.find(intent)
    assert isinstance(answer, Found), answer
    return answer.order


def submit(venue: IbkrVenue, intent: str, quantity: int = 100, **more: Any) -> Accepted:
    answer = venue.broker.submit(buying(intent, quantity, **more), venue.deadline())
    assert isinstance(answer, Accepted), answer
    return answer


def live(venue: IbkrVenue, ref: str) -> list[WorkingOrder]:
    """What the venue's own book holds of an id, open."""
    return [order for order in venue.tws.exchange.of(ref) if order.is_open and order.transmitted]


# One order, and what can happen to it on its way.


@pytest.mark.parametrize(
    ("kind", "code", "answers", "lives"),
    [
        (Kind.DROP_BEFORE, 0, Unknown, False),
        (Kind.DROP_AFTER, 0, Unknown, True),
        (Kind.LOST, 0, Unknown, False),
        (Kind.SILENT, 0, Unknown, True),
        (Kind.HELD, 0, Unknown, True),
        (Kind.TWICE, 0, Accepted, True),
        (Kind.REVERSED, 0, Accepted, True),
        (Kind.ERROR_AND_LIVE, 103, Accepted, True),
        (Kind.ERROR_AND_LIVE, 399, Unknown, True),
        (Kind.ERROR_AND_LIVE, 54_321, Accepted, True),
        (Kind.ERROR_AND_ANSWER, 110, Accepted, True),
        (Kind.ERROR_AND_ANSWER, 399, Accepted, True),
        (Kind.REFUSED, 103, Unknown, False),
        (Kind.REFUSED, 54_321, Unknown, False),
        (Kind.REFUSED, 110, Rejected, False),
        (Kind.REFUSED, 201, Rejected, False),
        (Kind.REFUSED, 203, Rejected, False),
        (Kind.REFUSED, 321, Rejected, False),
    ],
)
def test_an_order_on_its_way(venue: IbkrVenue, kind: Kind, code: int, answers: type, *, lives: bool) -> None:
    submit(venue, "warm", 1)
    venue.tws.fault("place", kind, code=code, text="said the venue")
    answer = venue.broker.submit(buying("a", 100), venue.deadline(SOON))
    assert isinstance(answer, answers), answer
    assert len(live(venue, "a")) == lives
    venue.tws.release()
    if kind in (Kind.DROP_BEFORE, Kind.DROP_AFTER):
        venue.reconnected(2)
    told = venue.broker.find("a")
    assert isinstance(told, Found if lives else Absent)
    assert len([one for one in venue.broker.open_orders() if one.intent_id == "a"]) == lives
    submit(venue, "b")


def test_an_order_that_arrives_after_its_connection_broke_is_not_absent(open_venue: Open) -> None:
    venue = open_venue(settle=timedelta(seconds=5))
    venue.tws.fault("place", Kind.LATE_EFFECT)
    assert isinstance(venue.broker.submit(buying("a", 100), venue.deadline()), Unknown)
    venue.reconnected(2)
    assert isinstance(venue.broker.find("a"), Unknown)
    venue.tws.release()
    assert found(venue, "a").state is OrderState.ACKNOWLEDGED
    assert len(live(venue, "a")) == 1


def test_without_its_time_to_settle_such_an_order_would_be_called_absent(open_venue: Open) -> None:
    venue = open_venue(settle=timedelta(0))
    venue.tws.fault("place", Kind.LATE_EFFECT)
    venue.broker.submit(buying("a", 100), venue.deadline())
    venue.reconnected(2)
    assert venue.broker.find("a") == Absent()
    venue.tws.release()
    assert len(live(venue, "a")) == 1


def test_what_is_nowhere_is_absent_once_the_connection_has_settled(open_venue: Open) -> None:
    venue = open_venue(settle=timedelta(seconds=5))
    assert isinstance(venue.broker.find("a"), Unknown)
    venue.clock.advance_to(venue.clock.now() + timedelta(seconds=6))
    assert venue.broker.find("a") == Absent()
    venue.tws.fault("place", Kind.LOST)
    venue.broker.submit(buying("a", 100), venue.deadline(SOON))
    assert isinstance(venue.broker.find("a"), Unknown)


def test_the_vendors_own_memory_calls_a_live_order_cancelled(venue: IbkrVenue) -> None:
    """Why the adapter keeps a memory of its own."""
    venue.tws.fault("place", Kind.ERROR_AND_LIVE, code=103, text="Duplicate order id")

    async def place() -> str:
        vendor: Any = importlib.import_module("ib_insync")
        ib = vendor.IB()
        await ib.connectAsync("127.0.0.1", venue.tws.port, clientId=8)
        trade = ib.placeOrder(vendor.Stock("IBM", "SMART", "USD"), vendor.MarketOrder("BUY", 100, orderRef="a"))
        for _ in range(200):
            await asyncio.sleep(0.01)
            if trade.isDone():
                break
        ib.disconnect()
        await asyncio.sleep(0.05)
        return str(trade.orderStatus.status)

    said: list[str] = []
    thread = threading.Thread(target=lambda: said.append(asyncio.run(place())))
    thread.start()
    thread.join()
    assert said == ["Cancelled"]
    assert len(live(venue, "a")) == 1


def test_an_entry_whose_stop_is_refused_is_taken_back(venue: IbkrVenue) -> None:
    venue.tws.fault("place", Kind.REFUSED, ref="a-stop", code=201, text="no stops today")
    answer = venue.broker.submit(buying("a", 100, stop="9.50"), venue.deadline())
    assert isinstance(answer, Rejected)
    assert "no stops today" in answer.reason
    venue.pass_minutes(1)
    assert venue.tws.exchange.open_orders == []
    assert venue.tws.exchange.executions == []


def test_an_entry_whose_target_is_refused_is_taken_back_from_the_book(venue: IbkrVenue) -> None:
    venue.tws.fault("place", Kind.REFUSED, ref="a-target", code=201, text="no targets today")
    answer = venue.broker.submit(buying("a", 100, stop="9.50", target="10.50"), venue.deadline())
    assert isinstance(answer, Rejected)
    venue.pass_minutes(1)
    assert venue.tws.exchange.open_orders == []
    assert venue.tws.exchange.executions == []


def test_tws_works_nothing_of_an_order_before_its_last_leg_has_come(venue: IbkrVenue) -> None:
    venue.tws.fault("place", Kind.DROP_BEFORE, ref="a-stop")
    assert isinstance(venue.broker.submit(buying("a", 100, stop="9.50"), venue.deadline()), Unknown)
    venue.pass_minutes(1)
    assert venue.tws.exchange.executions == []


def test_a_leg_without_an_answer_leaves_the_whole_order_unknown(venue: IbkrVenue) -> None:
    venue.tws.fault("place", Kind.SILENT, ref="a-stop")
    venue.broker.submit(buying("warm", 1), venue.deadline())
    answer = venue.broker.submit(buying("a", 100, stop="9.50"), venue.deadline(SOON))
    assert isinstance(answer, Accepted | Unknown)
    assert found(venue, "a-stop").state is OrderState.ACKNOWLEDGED


# Changes to an order.


@pytest.mark.parametrize(
    ("kind", "code", "answers", "lives"),
    [
        (Kind.DROP_BEFORE, 0, Unknown, True),
        (Kind.DROP_AFTER, 0, Unknown, False),
        (Kind.LOST, 0, Unknown, True),
        (Kind.REVERSED, 0, Accepted, False),
        (Kind.TWICE, 0, Accepted, False),
        (Kind.REFUSED, 161, Rejected, True),
        (Kind.REFUSED, 10_148, Rejected, True),
    ],
)
def test_a_cancel_on_its_way(venue: IbkrVenue, kind: Kind, code: int, answers: type, *, lives: bool) -> None:
    submit(venue, "a", limit="9.50")
    venue.tws.fault("cancel", kind, code=code, text="said the venue")
    answer = venue.broker.cancel("a", venue.deadline(SOON))
    assert isinstance(answer, answers), answer
    assert len(live(venue, "a")) == lives
    if kind in (Kind.DROP_BEFORE, Kind.DROP_AFTER):
        venue.reconnected(2)
    assert found(venue, "a").state is (OrderState.ACKNOWLEDGED if lives else OrderState.CANCELLED)


@pytest.mark.parametrize(
    ("kind", "code", "answers", "left"),
    [
        (Kind.DROP_BEFORE, 0, Unknown, 100),
        (Kind.DROP_AFTER, 0, Unknown, 40),
        (Kind.SILENT, 0, Unknown, 40),
        (Kind.TWICE, 0, Accepted, 40),
        (Kind.ERROR_AND_LIVE, 103, Unknown, 40),
        (Kind.REFUSED, 201, Rejected, 100),
        (Kind.REFUSED, 105, Rejected, 100),
    ],
)
def test_a_reduction_on_its_way(venue: IbkrVenue, kind: Kind, code: int, answers: type, left: int) -> None:
    submit(venue, "a", limit="9.50")
    venue.tws.fault("place", kind, code=code, text="said the venue")
    answer = venue.broker.reduce("a", 40, venue.deadline(SOON))
    assert isinstance(answer, answers), answer
    if kind in (Kind.DROP_BEFORE, Kind.DROP_AFTER):
        venue.reconnected(2)
    assert [order.total for order in live(venue, "a")] == [left]
    assert (found(venue, "a").quantity, found(venue, "a").state) == (left, OrderState.ACKNOWLEDGED)


def test_an_order_of_another_client_is_shown_and_not_touched(venue: IbkrVenue) -> None:
    theirs = venue.opened(client_id=8)
    assert isinstance(theirs.submit(buying("theirs", 5, limit="9.50"), venue.deadline()), Accepted)
    theirs.close()
    assert [order.intent_id for order in venue.broker.open_orders()] == ["theirs"]
    answer = venue.broker.cancel("theirs", venue.deadline())
    assert isinstance(answer, Rejected)
    assert "client id 8" in answer.reason
    assert len(live(venue, "theirs")) == 1


def test_what_is_not_in_the_tables_is_reported_and_not_fatal(venue: IbkrVenue) -> None:
    submit(venue, "a", limit="9.50")
    (order,) = live(venue, "a")
    with venue.tws.lock:
        order.status, order.kind, order.ref = "Pondering", "MIDPRICE", ""
    (shown,) = venue.broker.open_orders()
    assert (shown.intent_id, shown.state) == (f"ibkr-{order.perm_id}", OrderState.ACKNOWLEDGED)
    assert shown.said == "Pondering"
    assert shown.type is OrderType.MARKET


# The connection.


@pytest.mark.parametrize("code", [1100, 2110])
def test_while_the_link_is_lost_nothing_is_sent_and_nothing_is_concluded(venue: IbkrVenue, code: int) -> None:
    submit(venue, "a", limit="9.50")
    venue.tws.say(code, "Connectivity has been lost")
    venue.wait_for(lambda: not venue.broker.is_connected)
    sent = venue.tws.requests.count("place")
    answer = venue.broker.submit(buying("b", 100), venue.deadline())
    assert answer == NotSent(reason="TWS has lost its link to the venue")
    assert isinstance(venue.broker.cancel("a", venue.deadline()), NotSent)
    assert isinstance(venue.broker.reduce("a", 1, venue.deadline()), NotSent)
    assert venue.tws.requests.count("place") == sent
    assert isinstance(venue.broker.find("b"), Unknown)


@pytest.mark.parametrize(("code", "kept"), [(1101, "lost"), (1102, "maintained")])
def test_when_the_link_is_back_everything_is_pulled_before_anything_is_sent(
    venue: IbkrVenue, code: int, kept: str
) -> None:
    submit(venue, "a", 250, symbol="SPY")
    venue.tws.say(1100, "Connectivity has been lost")
    venue.wait_for(lambda: not venue.broker.is_connected)
    venue.tws.mute = True
    venue.pass_minutes(1)
    venue.tws.mute = False
    venue.tws.requests.clear()
    venue.tws.say(code, f"Connectivity has been restored - data {kept}")
    venue.wait_for(lambda: venue.broker.is_connected)
    assert venue.tws.requests == ["all open orders", "completed orders", "executions"]
    assert found(venue, "a").filled == 100
    submit(venue, "b")


def test_notes_on_data_farms_do_not_stop_orders(venue: IbkrVenue) -> None:
    for code in (2103, 2104, 2105, 2106, 2158, 10_197):
        venue.tws.say(code, "Market data farm")
    submit(venue, "a")
    assert venue.broker.connections == 1


@pytest.mark.parametrize("code", [1300, 502, 504])
def test_a_connection_that_tws_disowns_is_made_again(venue: IbkrVenue, code: int) -> None:
    venue.tws.say(code, "Not connected")
    venue.reconnected(2)
    submit(venue, "a")


def test_a_fill_during_a_disconnect_is_found_once(venue: IbkrVenue) -> None:
    submit(venue, "a", 250, symbol="SPY")
    venue.pass_minutes(1)
    venue.tws.stop()
    venue.wait_for(lambda: not venue.broker.is_connected)
    venue.pass_minutes(1)
    for ask in (venue.broker.open_orders, venue.broker.positions, venue.broker.cash):
        with pytest.raises(TemporaryError, match="TWS cannot be asked"):
            ask()
    assert isinstance(venue.broker.find("a"), Unknown)
    venue.tws.restart()
    venue.reconnected(2)
    executions = venue.broker.executions(EARLIEST)
    assert [one.quantity for one in executions] == [100, 100]
    assert found(venue, "a").filled == 200
    assert venue.broker.positions() == venue.tws.exchange.positions == {"SPY": 200}
    assert venue.broker.cash() == venue.tws.exchange.cash


def test_a_mute_tws_is_noticed_and_left(open_venue: Open) -> None:
    patience = Patience(
        connect=timedelta(seconds=1),
        answer=timedelta(milliseconds=300),
        first_retry=QUICK.first_retry,
        longest_retry=QUICK.longest_retry,
        pulse=timedelta(milliseconds=100),
    )
    venue = open_venue(patience=patience)
    venue.tws.mute = True
    venue.wait_for(lambda: not venue.broker.is_connected)
    answer = venue.broker.submit(buying("a", 100), venue.deadline())
    assert isinstance(answer, NotSent)
    venue.tws.mute = False
    venue.reconnected(2)
    assert venue.tws.exchange.orders == []
    submit(venue, "a")


def test_a_tws_that_is_away_at_the_start_is_waited_for(venue: IbkrVenue) -> None:
    venue.broker.close()
    venue.tws.stop()
    venue.broker = venue.opened()
    answer = venue.broker.submit(buying("a", 100), venue.deadline())
    assert isinstance(answer, NotSent)
    assert f"TWS at 127.0.0.1:{venue.tws.port} cannot be used" in answer.reason
    venue.tws.restart()
    venue.reconnected(1)
    submit(venue, "a")


def test_after_the_end_nothing_is_sent(venue: IbkrVenue) -> None:
    venue.broker.close()
    venue.broker.close()
    assert venue.broker.submit(buying("a", 100), venue.deadline()) == NotSent(reason="the connection is closed")
    assert isinstance(venue.broker.find("a"), Unknown)
    assert venue.tws.exchange.orders == []


# Who is who.


def test_a_client_id_in_use_is_refused_and_its_holder_goes_on(venue: IbkrVenue) -> None:
    patience = Patience(connect=timedelta(milliseconds=300), first_retry=timedelta(milliseconds=50))
    with pytest.raises(InvalidInput, match=rf"client id {CLIENT} is in use .*another client id"):
        venue.opened(patience=patience)
    submit(venue, "a")
    assert venue.broker.connections == 1


def test_a_client_id_that_is_free_in_a_moment_is_waited_for(venue: IbkrVenue) -> None:
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(venue.opened)
        venue.wait_for(lambda: venue.tws.requests.count("start") > 1)
        venue.broker.close()
        venue.broker = coming.result(4)
    submit(venue, "a")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"account": "DU9999999"}, f"does not manage the account DU9999999, only {ACCOUNT}"),
        ({"paper": False}, "is a paper account, and a live one is configured"),
        ({"client_id": 0}, "the client id is 0"),
        ({"port": 0}, "the port 0"),
        ({"account": ""}, "no account"),
    ],
)
def test_an_account_that_does_not_agree_is_refused(venue: IbkrVenue, settings: dict[str, Any], says: str) -> None:
    settings = {"client_id": 8, **settings}
    with pytest.raises(InvalidInput, match=says):
        venue.opened(**settings)
    assert venue.tws.exchange.orders == []


def test_a_live_account_where_a_paper_one_is_meant_is_refused(venue: IbkrVenue) -> None:
    venue.tws.accounts = ("U7654321",)
    with pytest.raises(InvalidInput, match="U7654321 is a live account, and a paper one is configured"):
        venue.opened(client_id=8, account="U7654321")


def test_a_new_process_finds_its_orders_by_their_ids(venue: IbkrVenue) -> None:
    submit(venue, "a", 250, symbol="SPY", stop="9.50")
    venue.pass_minutes(1)
    venue.broker.close()
    script = f"""
from datetime import timedelta
from trading_platform.brokers.ibkr import IbkrBroker
from trading_platform.domain.clock import SystemClock
broker = IbkrBroker(host="127.0.0.1", port={venue.tws.port}, client_id={CLIENT}, account="{ACCOUNT}", paper=True,
                    clock=SystemClock(), settle=timedelta(0))
for name in ("a", "a-stop"):
    order = broker.find(name).order
    print(name, order.quantity, order.filled, order.state)
print(broker.find("b"))
broker.close()
"""
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == ["a 250 100 partially_filled", "a-stop 100 0 acknowledged", "Absent()"], (
        done.stderr
    )


def test_a_forked_child_makes_a_broker_of_its_own_and_leaves_its_parents_alone(venue: IbkrVenue) -> None:
    script = f"""
import os
from datetime import timedelta
from trading_platform.brokers.ibkr import IbkrBroker
from trading_platform.domain.clock import SystemClock
from trading_platform_tests.contracts.test_broker_port import buying

clock = SystemClock()

def opened(client_id):
    return IbkrBroker(host="127.0.0.1", port={venue.tws.port}, client_id=client_id, account="{ACCOUNT}", paper=True,
                      clock=clock, settle=timedelta(0))

def sent(broker, name):
    print(type(broker.submit(buying(name, 1), clock.now() + timedelta(seconds=4))).__name__, flush=True)

parents = opened(8)
child = os.fork()
if child == 0:
    sent(parents, "inherited")
    print(type(parents.find("nobody")).__name__, flush=True)
    parents.close()
    own = opened(9)
    sent(own, "child")
    os._exit(0)
os.waitpid(child, 0)
sent(parents, "parent")
print(parents.connections, flush=True)
parents.close()
"""
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["NotSent", "Unknown", "Accepted", "Accepted", "1"], done.stderr
    assert sorted(order.ref for order in venue.tws.exchange.orders) == ["child", "parent"]


# Ids.


def rolled_back(venue: IbkrVenue) -> None:
    """An order rests, TWS gives ids anew, and a new process comes."""
    submit(venue, "a", limit="9.50")
    venue.broker.close()
    venue.tws.restart(next_id=1)
    venue.broker = venue.opened()
    venue.broker.submit(buying("b", 30, limit="9.60"), venue.deadline())


def test_ids_that_roll_back_are_not_given_to_new_orders(venue: IbkrVenue) -> None:
    rolled_back(venue)
    assert [(order.ref, order.total) for order in venue.tws.exchange.open_orders] == [("a", 100), ("b", 30)]
    assert {order.intent_id for order in venue.broker.open_orders()} == {"a", "b"}


def test_an_id_that_is_taken_as_tws_gives_it_changes_the_order_that_has_it(
    venue: IbkrVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Link, "skip_ids", lambda _: None)
    rolled_back(venue)
    assert [order.ref for order in venue.tws.exchange.open_orders] == ["b"]


def test_an_order_that_met_a_used_id_is_not_taken_for_the_one_that_has_it(
    venue: IbkrVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Link, "skip_ids", lambda _: None)
    submit(venue, "a", limit="9.50")
    venue.broker.close()
    venue.tws.restart(next_id=1)
    venue.broker = venue.opened()
    answer = venue.broker.submit(buying("b", 30, symbol="SPY", limit="9.60"), venue.deadline(SOON))
    assert isinstance(answer, Unknown)
    assert [order.ref for order in venue.tws.exchange.open_orders] == ["a"]
    assert venue.broker.find("b") == Absent()


@pytest.mark.parametrize("times", [0, 1])
def test_a_new_process_knows_an_order_by_its_second_perm_id(venue: IbkrVenue, times: int) -> None:
    submit(venue, "a", 250, symbol="SPY")
    venue.pass_minutes(1)
    venue.broker.close()
    with venue.tws.lock:
        (order,) = live(venue, "a")
        order.perm_id = venue.tws.exchange.next_perm_id()
    venue.broker = venue.opened()
    venue.pass_minutes(times)
    shown = found(venue, "a")
    assert (shown.state, shown.quantity, shown.filled) == (OrderState.PARTIALLY_FILLED, 250, 100 + 100 * times)


def test_a_second_perm_id_is_the_same_order(venue: IbkrVenue) -> None:
    submit(venue, "a", 250, symbol="SPY")
    venue.pass_minutes(1)
    venue.tws.stop()
    with venue.tws.lock:
        (order,) = live(venue, "a")
        order.perm_id = venue.tws.exchange.next_perm_id()
    venue.tws.restart()
    venue.reconnected(2)
    venue.pass_minutes(1)
    (shown,) = venue.broker.open_orders()
    assert shown == found(venue, "a")
    assert (shown.filled, shown.quantity, shown.broker_order_id) == (200, 250, str(order.perm_id))
    venue.pass_minutes(1)
    assert (found(venue, "a").filled, found(venue, "a").state) == (250, OrderState.FILLED)
    assert sum(one.quantity for one in venue.broker.executions(EARLIEST)) == 250
    assert {one.intent_id for one in venue.broker.executions(EARLIEST)} == {"a"}


def test_one_id_on_two_orders_shows_twice(venue: IbkrVenue) -> None:
    submit(venue, "a", limit="9.50")
    submit(venue, "a", limit="9.50")
    assert [order.intent_id for order in venue.broker.open_orders()] == ["a", "a"]


# Executions.


def test_an_execution_is_shown_once_its_commission_is_known(venue: IbkrVenue) -> None:
    venue.tws.holds_commissions = True
    submit(venue, "a")
    venue.pass_minutes(1)
    assert found(venue, "a").state is OrderState.FILLED
    assert venue.broker.executions(EARLIEST) == ()
    venue.tws.release_commissions()
    (execution,) = venue.broker.executions(EARLIEST)
    assert execution.fee == venue.tws.exchange.executions[0].commission == Decimal(1)


def test_an_execution_is_not_lost_for_its_commission(venue: IbkrVenue) -> None:
    venue.tws.holds_commissions = True
    submit(venue, "a")
    venue.pass_minutes(1)
    assert venue.broker.executions(EARLIEST) == ()
    venue.clock.advance_to(venue.clock.now() + timedelta(minutes=2))
    (execution,) = venue.broker.executions(EARLIEST)
    assert (execution.quantity, execution.fee) == (100, Decimal(0))


def corrected(venue: IbkrVenue, **changes: Any) -> None:
    """TWS has another word on its newest execution."""
    with venue.tws.lock:
        done = venue.tws.exchange.correct(venue.tws.exchange.executions[-1], **changes)
    venue.tws.tell_again(done)


def test_a_correction_stands_in_the_place_of_what_it_corrects(venue: IbkrVenue) -> None:
    submit(venue, "a")
    venue.pass_minutes(1)
    (before,) = venue.broker.executions(EARLIEST)
    corrected(venue, price=Decimal("9.99"))
    assert venue.broker.executions(EARLIEST) == (
        before,
        replace(
            before, execution_id=f"{before.execution_id[:-2]}02", corrects=before.execution_id, price=Decimal("9.99")
        ),
    )


def test_a_correction_stands_when_the_first_word_comes_again(venue: IbkrVenue) -> None:
    submit(venue, "a")
    venue.pass_minutes(1)
    first = venue.tws.exchange.executions[-1]
    corrected(venue, price=Decimal("9.99"))
    told = venue.broker.executions(EARLIEST)
    venue.tws.tell_again(first)
    assert venue.broker.executions(EARLIEST) == told
    assert [one.price for one in told] == [Decimal(10), Decimal("9.99")]


def test_a_bust_leaves_nothing_of_the_order(venue: IbkrVenue) -> None:
    submit(venue, "a")
    venue.pass_minutes(1)
    (before,) = venue.broker.executions(EARLIEST)
    corrected(venue, shares=0)
    _, bust = venue.broker.executions(EARLIEST)
    assert (bust.quantity, bust.corrects) == (0, before.execution_id)
    assert found(venue, "a").filled == 0


def test_an_order_has_filled_what_stands_of_its_executions(venue: IbkrVenue) -> None:
    submit(venue, "a", 250, symbol="SPY")
    venue.pass_minutes(1)
    corrected(venue, shares=90)
    shown = found(venue, "a")
    assert (shown.filled, shown.quantity, shown.state) == (90, 240, OrderState.PARTIALLY_FILLED)


def test_a_status_that_comes_late_does_not_bring_an_order_back(venue: IbkrVenue) -> None:
    submit(venue, "a", limit="9.50")
    assert isinstance(venue.broker.cancel("a", venue.deadline()), Accepted)
    with venue.tws.lock:
        venue.tws.exchange.night()
        (order,) = venue.tws.exchange.of("a")
        venue.tws.tell_status(order, "Submitted")
    assert found(venue, "a").state is OrderState.CANCELLED


def test_executions_of_yesterday_are_remembered_by_the_process_that_saw_them(venue: IbkrVenue) -> None:
    submit(venue, "a")
    venue.pass_minutes(1)
    (execution,) = venue.broker.executions(EARLIEST)
    venue.end_session()
    assert venue.broker.executions(EARLIEST) == (execution,)
    venue.restart()
    assert venue.broker.executions(EARLIEST) == ()


def test_it_tells_how_far_its_memory_and_its_messages_reach(open_venue: Open) -> None:
    offered = open_venue(settle=timedelta(seconds=9)).broker.capabilities
    assert (offered.settle, offered.forgets_overnight) == (timedelta(seconds=9), True)


# Budget, time, threads.


def test_without_room_for_its_messages_an_order_is_certainly_not_sent(open_venue: Open) -> None:
    venue = open_venue(budget=MessageBudget(most=6, for_questions=6))
    venue.wait_for(lambda: isinstance(venue.broker.submit(buying("a", 1), venue.deadline()), Accepted))
    answer = venue.broker.submit(buying("b", 1, stop="9.50", target="10.50"), venue.deadline(0.05))
    while isinstance(answer, Accepted):
        answer = venue.broker.submit(buying("b", 1, stop="9.50", target="10.50"), venue.deadline(0.05))
    assert answer == NotSent(reason="the budget of messages has no room before the deadline")
    placed = len(venue.tws.exchange.orders)
    assert venue.broker.open_orders() is not None
    assert len(venue.tws.exchange.orders) == placed


class _Sleepy(MessageBudget):
    """The process stands still between its last look at the deadline and its write."""

    def spend(self, count: int, now: float) -> None:
        super().spend(count, now)
        if count == 3:
            time.sleep(0.3)


def test_an_order_whose_deadline_passes_while_the_process_stands_still_is_not_sent(open_venue: Open) -> None:
    venue = open_venue(budget=_Sleepy(most=100, for_questions=100))
    submit(venue, "warm", 1)
    answer = venue.broker.submit(buying("a", 100, stop="9.50", target="10.50"), venue.deadline(0.2))
    assert answer == NotSent(reason="the deadline had passed")
    assert venue.tws.exchange.of("a") == []


def test_no_order_is_sent_around_the_nightly_restart(venue: IbkrVenue) -> None:
    venue.clock.advance_to(OPEN.replace(hour=0, minute=0) + timedelta(days=1, hours=3, minutes=50))
    answer = venue.broker.submit(buying("a", 100, limit="9.50"), venue.deadline())
    assert answer == NotSent(reason="TWS restarts: no new orders until 2013-10-10T03:55:00+00:00")
    assert "place" not in venue.tws.requests


def test_a_late_answer_is_not_taken_for_the_next_questions(open_venue: Open) -> None:
    patience = Patience(connect=timedelta(seconds=5), answer=timedelta(milliseconds=300), pulse=timedelta(seconds=30))
    venue = open_venue(patience=patience)
    venue.tws.fault("all open orders", Kind.HELD)
    with pytest.raises(TemporaryError):
        venue.broker.open_orders()
    submit(venue, "a", limit="9.50")
    venue.tws.fault("all open orders", Kind.HELD)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(venue.broker.open_orders)
        venue.wait_for(lambda: venue.tws.requests.count("all open orders") > 2)
        venue.tws.release()
        assert [order.intent_id for order in asked.result(5)] == ["a"]


def test_many_threads_can_call_at_once(venue: IbkrVenue) -> None:
    submit(venue, "warm", 1)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: venue.broker.submit(buying(f"t{n}", 1), venue.deadline(8)), range(40)))
        states = list(pool.map(lambda n: found(venue, f"t{n}").state, range(8)))
    assert all(isinstance(answer, Accepted) for answer in answers), answers
    assert set(states) == {OrderState.ACKNOWLEDGED}
    assert len({order.order_id for order in venue.tws.exchange.orders}) == 41


def test_a_sale_is_refused_by_the_venue_and_said_so(venue: IbkrVenue) -> None:
    answer = venue.broker.submit(selling("a", 10), venue.deadline())
    assert isinstance(answer, Rejected)
    assert "not available for short sale" in answer.reason


def test_it_closes_with_its_thread(venue: IbkrVenue) -> None:
    broker: IbkrBroker = venue.opened(client_id=9)
    names = {thread.name for thread in threading.enumerate()}
    assert "ibkr-9" in names
    broker.close()
    assert "ibkr-9" not in {thread.name for thread in threading.enumerate()}


def test_a_process_that_runs_for_weeks_forgets_what_ended_long_ago(venue: IbkrVenue) -> None:
    submit(venue, "resting", 5, limit="9.50", time_in_force=TimeInForce.GTC)
    submit(venue, "a")
    venue.pass_minutes(1)
    venue.broker.executions(EARLIEST)
    with venue.tws.lock:
        venue.tws.exchange.night()
    venue.clock.advance_to(venue.clock.now() + timedelta(days=4))
    assert found(venue, "a").state is OrderState.FILLED
    venue.tws.drop()
    venue.reconnected(2)
    assert venue.broker.find("a") == Absent()
    assert venue.broker.executions(EARLIEST) == ()
    assert found(venue, "resting").quantity == 5
