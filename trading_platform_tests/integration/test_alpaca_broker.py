"""The adapter to Alpaca before a local Alpaca with faults: what it answers, and what the venue's own book holds."""

import pickle
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from trading_platform.brokers.alpaca import AlpacaBroker
from trading_platform.brokers.alpaca_changes import AlpacaChanges
from trading_platform.config.secrets import HIDDEN, Secret
from trading_platform.domain.clock import SimulatedClock, SystemClock
from trading_platform.domain.errors import InvalidInput, PermanentError, TemporaryError
from trading_platform.domain.orders import (
    Absent,
    Accepted,
    Answer,
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
from trading_platform_tests.vendors.alpaca.alpaca_amendments import amend
from trading_platform_tests.vendors.alpaca.alpaca_book import AlpacaBook, Refusal
from trading_platform_tests.vendors.alpaca.alpaca_server import KEY, SECRET, Fault, Kind, LocalAlpaca, local_alpaca

CLOCK = SystemClock()
EARLIEST = datetime.fromisoformat("2000-01-01T00:00:00Z")
BUYING_POWER = 40310000


@pytest.fixture
def server() -> Iterator[LocalAlpaca]:
    with local_alpaca(CLOCK.now) as server:
        yield server


@pytest.fixture
def connect(server: LocalAlpaca) -> Iterator[Callable[..., AlpacaBroker]]:
    """Makes an adapter at each call, as a process that starts does; all are closed after the test."""
    made: list[AlpacaBroker] = []

    def make(**changes: Any) -> AlpacaBroker:
        options: dict[str, Any] = {
            "key": Secret(KEY),
            "secret": Secret(SECRET),
            "clock": CLOCK,
            "paper": True,
            "base_url": server.url,
        }
        made.append(AlpacaBroker(**(options | changes)))
        return made[-1]

    yield make
    for broker in made:
        broker.close()


@pytest.fixture
def broker(connect: Callable[..., AlpacaBroker]) -> AlpacaBroker:
    return connect()


def within(seconds: float = 2.0) -> datetime:
    return CLOCK.now() + timedelta(seconds=seconds)


def buying(intent: str = "a", quantity: int = 100, *, symbol: str = "IBM", legs: str = "", limit: str = "") -> Order:
    """A buy; `legs` is "", "stop" or "bracket"."""
    return Order(
        intent_id=intent,
        symbol=symbol,
        side=Side.BUY,
        type=OrderType.LIMIT if limit else OrderType.MARKET,
        quantity=quantity,
        limit_price=Decimal(limit) if limit else None,
        attached_stop=AttachedStop(intent_id=f"{intent}-stop", stop_price=Decimal("9.50")) if legs else None,
        attached_target=AttachedTarget(intent_id=f"{intent}-target", limit_price=Decimal("10.50"))
        if legs == "bracket"
        else None,
    )


def selling(intent: str, quantity: int, *, stop: str = "") -> Order:
    return Order(
        intent_id=intent,
        symbol="IBM",
        side=Side.SELL,
        type=OrderType.STOP if stop else OrderType.MARKET,
        quantity=quantity,
        stop_price=Decimal(stop) if stop else None,
    )


def accepted(answer: Answer) -> Accepted:
    assert isinstance(answer, Accepted), answer
    return answer


def reason(answer: object) -> str:
    assert isinstance(answer, (Rejected, NotSent, Unknown)), answer
    return answer.reason


def found(broker: AlpacaBroker, intent: str) -> BrokerOrder:
    answer = broker.find(intent)
    assert isinstance(answer, Found), answer
    return answer.order


def held(server: LocalAlpaca, broker: AlpacaBroker, legs: str = "stop") -> None:
    """100 shares of IBM bought, with their legs at work."""
    accepted(broker.submit(buying(legs=legs), within()))
    server.book.set_price("IBM", "10")
    assert server.book.held == {"IBM": 100}


def without(*names: str) -> Callable[[Any], Any]:
    """What an answer looks like without these fields."""
    return lambda said: {name: value for name, value in said.items() if name not in names}


# An order that is sent.


DONE_AND_IN_DOUBT = {
    "504": Fault(kind=Kind.ACCEPT_THEN_STATUS, status=504),
    "500": Fault(kind=Kind.ACCEPT_THEN_STATUS, status=500),
    "429": Fault(kind=Kind.ACCEPT_THEN_STATUS, status=429),
    "408": Fault(kind=Kind.ACCEPT_THEN_STATUS, status=408),
    "redirected": Fault(kind=Kind.ACCEPT_THEN_STATUS, status=307),
    "403 of a gateway, without a code": Fault(kind=Kind.ACCEPT_THEN_STATUS, status=403, bare=True),
    "the socket drops": Fault(kind=Kind.ACCEPT_THEN_DROP),
    "the answer is late": Fault(kind=Kind.ACCEPT_THEN_ANSWER_LATE, seconds=30),
    "the answer trickles": Fault(kind=Kind.ACCEPT_THEN_TRICKLE, seconds=0.1),
    "the answer is no JSON": Fault(kind=Kind.ACCEPT_THEN_BABBLE),
    "the answer has no id": Fault(kind=Kind.ACCEPT_THEN_EDIT, edit=without("id")),
    "the answer has no status": Fault(kind=Kind.ACCEPT_THEN_EDIT, edit=without("status")),
    "the answer is a list": Fault(kind=Kind.ACCEPT_THEN_EDIT, edit=lambda said: [said]),
}
NOT_DONE_AND_IN_DOUBT = {
    "504": Fault(kind=Kind.STATUS, status=504),
    "429": Fault(kind=Kind.STATUS, status=429),
    "the socket drops": Fault(kind=Kind.DROP),
}


@pytest.mark.parametrize("legs", ["", "bracket"])
@pytest.mark.parametrize("fault", DONE_AND_IN_DOUBT.values(), ids=DONE_AND_IN_DOUBT)
def test_an_order_that_was_taken_and_not_answered_is_unknown_and_is_found(
    server: LocalAlpaca, broker: AlpacaBroker, connect: Callable[..., AlpacaBroker], fault: Fault, legs: str
) -> None:
    server.arm(fault)
    began = CLOCK.now()
    assert isinstance(broker.submit(buying(legs=legs), within()), Unknown)
    assert CLOCK.now() - began < timedelta(seconds=10)
    assert (server.count("POST"), len(server.book.named("a"))) == (1, 1)
    # The process that sent it finds it, and so does one that knows nothing.
    for looking in (broker, connect()):
        assert found(looking, "a").broker_order_id == server.book.named("a")[0].id
        assert not legs or found(looking, "a-target").state is OrderState.ACKNOWLEDGED


@pytest.mark.parametrize("fault", NOT_DONE_AND_IN_DOUBT.values(), ids=NOT_DONE_AND_IN_DOUBT)
def test_an_order_that_never_arrived_is_in_doubt_and_absent_and_says_how_long_it_may_arrive(
    server: LocalAlpaca, connect: Callable[..., AlpacaBroker], fault: Fault
) -> None:
    broker = connect(in_flight=timedelta(seconds=7))
    server.arm(fault)
    assert isinstance(broker.submit(buying(legs="stop"), within()), Unknown)
    assert server.book.orders == {}
    assert broker.find("a") == broker.find("a-stop") == Absent()
    assert (broker.capabilities.settle, connect().capabilities.settle) == (timedelta(seconds=7), timedelta(seconds=30))
    accepted(broker.submit(buying(legs="stop"), within()))
    assert len(server.book.named("a")) == 1


def test_what_could_not_leave_is_not_sent(server: LocalAlpaca, broker: AlpacaBroker) -> None:
    accepted(broker.submit(buying("b"), within()))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for nowhere in (f"http://127.0.0.1:{port}", "http://nobody.invalid"):
        broker._line._client._base_url = nowhere
        assert isinstance(broker.submit(buying(), within()), NotSent)
        assert isinstance(broker.cancel("b", within()), NotSent)
        assert isinstance(broker.reduce("b", 1, within()), NotSent)
        assert isinstance(broker.cancel_all(within()), NotSent)
        assert isinstance(broker.find("a"), Unknown)
    broker._line._client._base_url = server.url
    assert broker.find("a") == Absent()
    assert found(broker, "b").quantity == 100


def test_what_is_too_late_is_not_sent(server: LocalAlpaca, broker: AlpacaBroker) -> None:
    assert isinstance(broker.submit(buying(), within(-1)), NotSent)
    assert isinstance(broker.close_all(within(-1)), NotSent)
    assert server.count("POST") == server.count("DELETE", "/v2") == 0


@pytest.mark.parametrize("status", [401, 503])
def test_a_change_whose_order_cannot_be_looked_up_is_not_sent(
    server: LocalAlpaca, broker: AlpacaBroker, connect: Callable[..., AlpacaBroker], status: int
) -> None:
    accepted(broker.submit(buying(), within()))
    fresh = connect()
    server.arm(Fault(kind=Kind.STATUS, method="GET", path="/v2/orders:by_client_order_id", status=status))
    assert isinstance(fresh.cancel("a", within()), NotSent)
    assert len(server.book.live()) == 1


@pytest.mark.parametrize("looks", [True, False], ids=["as it is", "control: the budget is not looked at"])
def test_a_used_up_rate_limit_keeps_an_order_from_leaving(*, looks: bool) -> None:
    clock = SimulatedClock(datetime.fromisoformat("2025-10-09T14:00:00Z"))
    book = AlpacaBook(clock.now, prices={"IBM": Decimal(10)})
    server = LocalAlpaca(book, limit=4, limits=True)
    broker = AlpacaBroker(key=Secret(KEY), secret=Secret(SECRET), clock=clock, paper=True, base_url=server.url)
    soon = clock.now() + timedelta(seconds=4)
    accepted(broker.submit(buying("first"), soon))
    broker.cash()
    broker.cash()
    if not looks:
        broker._line._session.budget = None
    answer = broker.submit(buying(), soon)
    # A 429 may come from anywhere on the way, and leaves a doubt; what never left leaves none.
    assert isinstance(answer, NotSent if looks else Unknown)
    assert (server.count("POST"), len(book.orders)) == (1 if looks else 2, 1)
    with pytest.raises(TemporaryError) as caught:
        broker.cash()
    assert 0 < caught.value.delay <= 60
    clock.advance_to(clock.now() + timedelta(minutes=1))
    accepted(broker.submit(buying(), clock.now() + timedelta(seconds=4)))
    broker.close()
    server.close()


def test_many_threads_that_send_one_order_send_one(server: LocalAlpaca, broker: AlpacaBroker) -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = set(threads.map(lambda _: broker.submit(buying(legs="bracket"), within(10)), range(16)))
    assert answers == {Accepted(broker_order_id=server.book.named("a")[0].id)}


@pytest.mark.parametrize("legs", ["", "stop", "bracket"])
def test_sending_again_what_is_there_already_answers_with_it_and_makes_no_second_order(
    server: LocalAlpaca, broker: AlpacaBroker, connect: Callable[..., AlpacaBroker], legs: str
) -> None:
    server.arm(Fault(kind=Kind.ACCEPT_THEN_STATUS))
    assert isinstance(broker.submit(buying(legs=legs), within()), Unknown)
    answers = {accepted(one.submit(buying(legs=legs), within())).broker_order_id for one in (broker, connect())}
    assert answers == {order.id for order in server.book.named("a")}


def test_an_id_that_is_taken_and_does_not_show_is_unknown(server: LocalAlpaca, broker: AlpacaBroker) -> None:
    accepted(broker.submit(buying(), within()))
    for fault in (
        Fault(kind=Kind.STATUS, method="GET", path="/v2/orders:by_client_order_id", status=503),
        Fault(kind=Kind.REFUSE, method="GET", path="/v2/orders:by", refusal=Refusal(404, 40410000, "order not found")),
        Fault(kind=Kind.REFUSE, method="GET", path="/v2/orders:by", refusal=Refusal(401, 40110000, "not authorized")),
    ):
        server.arm(fault)
        assert isinstance(broker.submit(buying(), within()), Unknown)
    assert len(server.book.named("a")) == 1


def test_another_order_under_the_same_id_is_no_answer_to_this_one(broker: AlpacaBroker) -> None:
    accepted(broker.submit(buying(), within()))
    assert "another order" in reason(broker.submit(buying(symbol="SPY"), within()))


@pytest.mark.parametrize(
    "refusal",
    [
        Refusal(403, BUYING_POWER, "insufficient buying power"),
        Refusal(422, 42210000, "invalid limit_price"),
        Refusal(401, 40110000, "request is not authorized"),
        Refusal(404, 40410000, "endpoint not found"),
    ],
    ids=lambda refusal: str(refusal.status),
)
def test_a_refusal_with_a_code_is_certain_and_says_why(
    server: LocalAlpaca, broker: AlpacaBroker, refusal: Refusal
) -> None:
    server.arm(Fault(kind=Kind.REFUSE, refusal=refusal))
    said = reason(answer := broker.submit(buying(), within()))
    assert isinstance(answer, Rejected)
    assert str(refusal) in said
    assert str(refusal.body["code"]) in said
    assert server.book.orders == {}


def test_shares_that_orders_hold_are_named(server: LocalAlpaca, broker: AlpacaBroker) -> None:
    held(server, broker)
    assert "100 held for orders" in reason(broker.submit(selling("b", 1), within()))


@pytest.mark.parametrize("intent", ["", "a~b", "x" * 129], ids=["empty", "with the joint", "too long"])
def test_an_id_that_cannot_be_a_name_is_refused_before_it_is_sent(
    server: LocalAlpaca, broker: AlpacaBroker, intent: str
) -> None:
    assert isinstance(broker.submit(buying(intent), within()), Rejected)
    assert server.count("POST") == 0


def test_prices_leave_as_they_are(server: LocalAlpaca, broker: AlpacaBroker) -> None:
    server.book.prices["IBM"] = Decimal("0.5")
    accepted(broker.submit(buying(limit="0.1234"), within()))
    accepted(broker.submit(buying("b", limit="0.5000"), within()))
    assert [order.limit for order in server.book.live()] == [Decimal("0.1234"), Decimal("0.5")]


# The vendor's own retries.


@pytest.mark.parametrize("client_id", [None, "a"], ids=["without a client id", "with a client id"])
def test_the_vendors_own_retry_would_make_a_second_order_or_a_false_rejection(
    server: LocalAlpaca, client_id: str | None
) -> None:
    """What is turned off: the client as it comes, with no more than its pauses taken away."""
    from alpaca.common.exceptions import APIError
    from alpaca.trading.client import TradingClient

    client = TradingClient(KEY, SECRET, paper=True, raw_data=True, url_override=server.url)
    client._retry_wait = 0
    order = {"symbol": "IBM", "side": "buy", "type": "market", "qty": "100", "time_in_force": "day"}
    server.arm(Fault(kind=Kind.ACCEPT_THEN_STATUS, status=504))
    try:
        if client_id is None:
            client.post("/orders", order)
            assert len(server.book.live()) == 2
        else:
            with pytest.raises(APIError, match="must be unique"):
                client.post("/orders", order | {"client_order_id": client_id})
            assert len(server.book.live()) == 1
    finally:
        client._session.close()


@pytest.mark.parametrize(("retries", "sent"), [(0, 1), (3, 4)], ids=["as it is", "with the vendor's retries"])
def test_an_order_is_sent_once_however_it_fails(
    server: LocalAlpaca, broker: AlpacaBroker, retries: int, sent: int
) -> None:
    if retries:
        broker._line._client._retry = retries
        broker._line._client._retry_codes = [504]
        broker._line._client._retry_wait = 0
    server.arm(*(Fault(kind=Kind.STATUS, status=504) for _ in range(4)))
    assert isinstance(broker.submit(buying(), within()), Unknown)
    assert server.count("POST") == sent


@pytest.mark.parametrize("retries", [False, True], ids=["as it is", "control: its retries, and their refusal believed"])
def test_an_order_that_was_taken_and_answered_504_is_neither_doubled_nor_refused(
    server: LocalAlpaca, broker: AlpacaBroker, monkeypatch: pytest.MonkeyPatch, *, retries: bool
) -> None:
    if retries:
        broker._line._client._retry, broker._line._client._retry_codes = 3, [504]
        broker._line._client._retry_wait = 0
        refused_as_taken = Rejected(reason="client_order_id must be unique")
        monkeypatch.setattr(AlpacaChanges, "_sent_before", lambda *_: refused_as_taken)
    server.arm(Fault(kind=Kind.ACCEPT_THEN_STATUS, status=504))
    answer = broker.submit(buying(legs="bracket"), within())
    assert isinstance(answer, Rejected if retries else Unknown)
    assert (server.count("POST"), len(server.book.named("a"))) == (2 if retries else 1, 1)
    assert found(broker, "a").state is OrderState.ACKNOWLEDGED


def test_a_vendors_client_whose_retries_cannot_be_turned_off_is_not_used(
    monkeypatch: pytest.MonkeyPatch, connect: Callable[..., AlpacaBroker]
) -> None:
    from trading_platform.brokers import alpaca_line

    class Changed:
        def __init__(self, **_: Any) -> None:
            self._attempts = 3

    monkeypatch.setattr(alpaca_line, "TradingClient", Changed)
    with pytest.raises(PermanentError, match="retries cannot be turned off"):
        connect()


# Cancelling and reducing.


@pytest.mark.parametrize("kind", [Kind.ACCEPT_THEN_STATUS, Kind.ACCEPT_THEN_DROP, Kind.ACCEPT_THEN_BABBLE])
def test_a_cancellation_that_was_done_and_not_answered_shows_in_the_order(
    server: LocalAlpaca, broker: AlpacaBroker, kind: Kind
) -> None:
    accepted(broker.submit(buying(), within()))
    server.arm(Fault(kind=kind, method="DELETE"))
    accepted(broker.cancel("a", within()))
    assert (server.book.live(), server.count("DELETE")) == ([], 1)
    assert found(broker, "a").state is OrderState.CANCELLED
    assert "it is canceled" in reason(broker.cancel("a", within()))


def test_a_cancellation_that_does_not_show_is_unknown_and_is_not_sent_again(
    server: LocalAlpaca, broker: AlpacaBroker
) -> None:
    accepted(broker.submit(buying(), within()))
    server.arm(Fault(kind=Kind.STATUS, method="DELETE"))
    assert "504" in reason(answer := broker.cancel("a", within(1.5)))
    assert isinstance(answer, Unknown)
    assert (len(server.book.live()), server.count("DELETE")) == (1, 1)


def test_a_cancellation_that_a_fill_overtakes_is_refused(
    server: LocalAlpaca, broker: AlpacaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted(broker.submit(buying(), within()))
    monkeypatch.setattr(server.book, "cancel", lambda _: server.book.set_price("IBM", "10"))
    answer = broker.cancel("a", within())
    assert isinstance(answer, Rejected)
    assert "filled" in answer.reason
    assert broker.positions() == {"IBM": 100}


def test_a_cancellation_that_stays_pending_is_unknown(
    server: LocalAlpaca, broker: AlpacaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted(broker.submit(buying(), within()))
    (order,) = server.book.live()
    monkeypatch.setattr(server.book, "cancel", lambda _: setattr(order, "status", "pending_cancel"))
    assert "pending_cancel" in reason(broker.cancel("a", within(0.3)))
    assert found(broker, "a").state is OrderState.ACKNOWLEDGED


def test_a_question_that_is_refused_after_the_change_makes_no_refusal_of_the_change(
    server: LocalAlpaca, broker: AlpacaBroker
) -> None:
    accepted(broker.submit(buying(), within()))
    refusal = Refusal(401, 40110000, "request is not authorized")
    look = Fault(kind=Kind.REFUSE, method="GET", path="/v2/orders/", refusal=refusal)
    server.arm(Fault(kind=Kind.ACCEPT_THEN_EDIT, method="GET", path="/v2/orders/"), *[look] * 20)
    assert isinstance(broker.cancel("a", within(0.4)), Unknown)
    assert server.book.live() == []


def test_a_question_after_the_change_is_asked_again(server: LocalAlpaca, broker: AlpacaBroker) -> None:
    accepted(broker.submit(buying(), within()))
    look = Fault(kind=Kind.STATUS, method="GET", path="/v2/orders/", status=503)
    server.arm(Fault(kind=Kind.ACCEPT_THEN_EDIT, method="GET", path="/v2/orders/"), look, look)
    accepted(broker.cancel("a", within()))


@pytest.mark.parametrize("carries_fills", [True, False])
def test_a_partly_filled_order_is_reduced_whichever_way_alpaca_counts(*, carries_fills: bool) -> None:
    with local_alpaca(CLOCK.now, carries_fills=carries_fills) as server:
        broker = AlpacaBroker(key=Secret(KEY), secret=Secret(SECRET), clock=CLOCK, paper=True, base_url=server.url)
        accepted(broker.submit(buying(quantity=250), within()))
        server.book.set_price("IBM", "10", shares=100)
        accepted(broker.reduce("a", 10, within()))
        (order,) = server.book.live()
        assert order.left == 10
        shown = found(broker, "a")
        assert (shown.quantity, shown.filled, shown.state) == (110, 100, OrderState.PARTIALLY_FILLED)
        assert broker.open_orders() == (shown,)
        server.book.set_price("IBM", "10")
        broker.close()
        again = AlpacaBroker(key=Secret(KEY), secret=Secret(SECRET), clock=CLOCK, paper=True, base_url=server.url)
        assert (found(again, "a").filled, found(again, "a").state) == (110, OrderState.FILLED)
        assert [(one.intent_id, one.quantity) for one in again.executions(EARLIEST)] == [("a", 100), ("a", 10)]
        assert again.positions() == {"IBM": 110}
        again.close()


def test_a_replacement_that_a_fill_overtakes_is_refused(
    server: LocalAlpaca, broker: AlpacaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted(broker.submit(buying(), within()))
    replace = server.book.replace

    def overtaken(order_id: str, body: dict[str, Any]) -> Any:
        new = replace(order_id, body)
        old = server.book.known(order_id)
        old.status, old.replaced_by, new.status = "new", None, "rejected"
        server.book.fill(old, old.quantity, Decimal(10))
        return new

    monkeypatch.setattr(server.book, "replace", overtaken)
    assert "filled before it could be reduced" in reason(broker.reduce("a", 10, within()))
    assert found(broker, "a").state is OrderState.FILLED


def test_a_replacement_on_its_way_does_not_show_as_a_double(server: LocalAlpaca, broker: AlpacaBroker) -> None:
    accepted(broker.submit(buying(), within()))
    (old,) = server.book.live()
    server.book.replace(old.id, {"qty": "60"})
    old.status = "pending_replace"
    (shown,) = broker.open_orders()
    assert (shown.intent_id, shown.quantity) == ("a", 60)


# Legs, and the protection of what an entry has bought.


def test_a_stop_of_its_own_beside_a_working_entry_is_a_wash_trade(server: LocalAlpaca, broker: AlpacaBroker) -> None:
    accepted(broker.submit(buying(legs="stop"), within()))
    server.book.set_price("IBM", "10", shares=40)
    assert "wash trade" in reason(broker.submit(selling("b", 40, stop="9.50"), within()))


@pytest.mark.parametrize("legs", ["stop", "bracket"])
def test_a_partly_filled_entry_is_protected_by_cancelling_its_rest(
    server: LocalAlpaca, broker: AlpacaBroker, connect: Callable[..., AlpacaBroker], legs: str
) -> None:
    accepted(broker.submit(buying(legs=legs), within()))
    server.book.set_price("IBM", "10", shares=40)
    stop = found(broker, "a-stop")
    assert (stop.quantity, stop.state) == (0, OrderState.ACKNOWLEDGED)
    accepted(broker.cancel("a", within()))
    for looking in (broker, connect()):
        assert (found(looking, "a").filled, found(looking, "a").state) == (40, OrderState.CANCELLED)
        stop = found(looking, "a-stop")
        assert (stop.quantity, stop.filled, stop.state) == (40, 0, OrderState.ACKNOWLEDGED)
        assert {order.intent_id for order in looking.open_orders()} == {"a-stop", *(["a-target"] * (legs != "stop"))}
    server.book.set_price("IBM", "9")
    assert server.book.held == {"IBM": 0}
    assert [(one.intent_id, one.quantity) for one in broker.executions(EARLIEST)] == [("a", 40), ("a-stop", 40)]
    assert found(broker, "a-stop").state is OrderState.FILLED


def test_shares_that_are_free_a_moment_later_are_protected_then(server: LocalAlpaca, broker: AlpacaBroker) -> None:
    accepted(broker.submit(buying(legs="stop"), within()))
    server.book.set_price("IBM", "10", shares=40)
    server.arm(Fault(kind=Kind.REFUSE, refusal=Refusal(403, BUYING_POWER, "insufficient qty", held_for_orders="40")))
    accepted(broker.cancel("a", within()))
    assert found(broker, "a-stop").quantity == 40
    assert broker.oddities == ()


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind=Kind.REFUSE, refusal=Refusal(422, 42210000, "invalid stop_price")),
        Fault(kind=Kind.STATUS, status=504),
        Fault(kind=Kind.DROP),
    ],
    ids=["refused", "504", "dropped"],
)
def test_protection_that_is_not_placed_shows_as_missing(
    server: LocalAlpaca, broker: AlpacaBroker, fault: Fault
) -> None:
    accepted(broker.submit(buying(legs="stop"), within()))
    server.book.set_price("IBM", "10", shares=40)
    server.arm(fault)
    accepted(broker.cancel("a", within()))
    assert server.book.live() == []
    stop = found(broker, "a-stop")
    assert (stop.quantity, stop.state) == (0, OrderState.CANCELLED)
    assert "left unprotected" in broker.oddities[0]


def test_protection_that_was_placed_and_not_answered_is_found(server: LocalAlpaca, broker: AlpacaBroker) -> None:
    accepted(broker.submit(buying(legs="stop"), within()))
    server.book.set_price("IBM", "10", shares=40)
    server.arm(Fault(kind=Kind.ACCEPT_THEN_STATUS))
    accepted(broker.cancel("a", within()))
    stop = found(broker, "a-stop")
    assert (stop.quantity, stop.state) == (40, OrderState.ACKNOWLEDGED)
    assert len(server.book.live()) == 1


def test_legs_that_the_answer_does_not_show_are_found(server: LocalAlpaca, broker: AlpacaBroker) -> None:
    server.arm(Fault(kind=Kind.ACCEPT_THEN_EDIT, edit=lambda said: said | {"legs": None}))
    accepted(broker.submit(buying(legs="bracket"), within()))
    assert {order.intent_id for order in broker.open_orders()} == {"a", "a-stop", "a-target"}
    server.book.set_price("IBM", "10")
    accepted(broker.reduce("a-target", 60, within()))
    assert server.book.on_offer("IBM") == 60


def test_a_leg_that_waits_is_not_cancelled_as_its_entry_would_be_too(server: LocalAlpaca, broker: AlpacaBroker) -> None:
    accepted(broker.submit(buying(legs="stop"), within()))
    assert isinstance(broker.cancel("a-stop", within()), Rejected)
    assert isinstance(broker.reduce("a", 50, within()), Rejected)
    assert len(server.book.live()) == 2


@pytest.mark.parametrize("legs", ["stop", "bracket"])
def test_legs_are_reduced_again_and_again(
    server: LocalAlpaca, broker: AlpacaBroker, connect: Callable[..., AlpacaBroker], legs: str
) -> None:
    held(server, broker, legs)
    for left in (60, 30, 10):
        accepted(broker.reduce("a-stop", left, within()))
        assert server.book.on_offer("IBM") == left
        assert found(broker, "a-stop").quantity == found(connect(), "a-stop").quantity == left
        accepted(broker.reduce("a-stop", left + 1, within()))
        assert found(broker, "a-stop").quantity == left
    server.book.set_price("IBM", "9")
    assert server.book.held == {"IBM": 90}
    assert [one.intent_id for one in connect().executions(EARLIEST)] == ["a", "a-stop"]


def test_what_a_leg_has_sold_counts_where_it_is_reduced(server: LocalAlpaca, broker: AlpacaBroker) -> None:
    held(server, broker, "bracket")
    server.book.set_price("IBM", "10.50", shares=30)
    accepted(broker.reduce("a-stop", 50, within()))
    target = found(broker, "a-target")
    assert (target.quantity, target.filled, target.state) == (80, 30, OrderState.PARTIALLY_FILLED)
    assert (found(broker, "a-stop").quantity, server.book.on_offer("IBM")) == (50, 50)
    assert {(order.intent_id, order.quantity - order.filled) for order in broker.open_orders()} == {
        ("a-stop", 50),
        ("a-target", 50),
    }


def test_a_stop_that_fills_while_it_is_reduced_is_not_placed_again(
    server: LocalAlpaca, broker: AlpacaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    held(server, broker, "bracket")
    monkeypatch.setattr(server.book, "cancel", lambda _: server.book.set_price("IBM", "9"))
    assert isinstance(broker.reduce("a-stop", 60, within()), Rejected)
    assert (server.book.held, server.book.live()) == ({"IBM": 0}, [])


def test_no_more_is_placed_anew_than_the_legs_left_unsold(
    server: LocalAlpaca, broker: AlpacaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    held(server, broker, "bracket")
    cancel = server.book.cancel

    def overtaken(order_id: str) -> None:
        server.book.set_price("IBM", "10.50", shares=70)
        cancel(order_id)

    monkeypatch.setattr(server.book, "cancel", overtaken)
    accepted(broker.reduce("a-stop", 60, within()))
    assert (server.book.held, server.book.on_offer("IBM")) == ({"IBM": 30}, 30)
    assert broker.oddities == ()


# What is read.


def test_a_status_that_is_not_known_is_kept_and_reported(server: LocalAlpaca, broker: AlpacaBroker) -> None:
    accepted(broker.submit(buying(), within()))
    (order,) = server.book.live()
    order.status = "quarantined"
    assert found(broker, "a").state is OrderState.ACKNOWLEDGED
    (shown,) = broker.open_orders()
    assert (shown.intent_id, shown.said, found(broker, "a").said) == ("a", "quarantined", "quarantined")
    assert broker.oddities == (f"order {order.id} has the status 'quarantined' at alpaca",)
    order.status = "new"
    assert (found(broker, "a").said, broker.open_orders()[0].said) == ("", "")


def test_fields_that_are_new_are_passed_over(server: LocalAlpaca, broker: AlpacaBroker) -> None:
    accepted(broker.submit(buying(), within()))
    path = f"/v2/orders/{server.book.live()[0].id}"
    server.arm(Fault(kind=Kind.ACCEPT_THEN_EDIT, method="GET", path=path, edit=lambda said: said | {"mood": "good"}))
    assert found(broker, "a").quantity == 100


@pytest.mark.parametrize(
    ("missing", "told", "said"),
    [
        (("type", "order_type"), OrderType.LIMIT, ""),
        (("status",), OrderType.LIMIT, "(none told)"),
        (("time_in_force", "order_class", "legs", "replaces", "replaced_by", "submitted_at"), OrderType.LIMIT, ""),
    ],
    ids=["type", "status", "what can be done without"],
)
def test_fields_that_can_be_done_without_may_be_missing(
    server: LocalAlpaca, broker: AlpacaBroker, missing: tuple[str, ...], told: OrderType, said: str
) -> None:
    accepted(broker.submit(buying(limit="9"), within()))
    edit = without(*missing)
    server.arm(
        Fault(kind=Kind.ACCEPT_THEN_EDIT, method="GET", path="/v2/orders/", edit=edit),
        Fault(kind=Kind.ACCEPT_THEN_EDIT, method="GET", edit=lambda listed: [edit(order) for order in listed]),
    )
    for shown in (found(broker, "a"), broker.open_orders()[0]):
        assert (shown.intent_id, shown.type, shown.state, shown.said) == ("a", told, OrderState.ACKNOWLEDGED, said)


@pytest.mark.parametrize(
    ("called", "prices", "told"),
    [
        ("trailing_stop", {"stop_price": "9.5"}, OrderType.STOP),
        ("peg_mid", {"limit_price": "9"}, OrderType.LIMIT),
        ("algo", {}, OrderType.MARKET),
        ("peg_stop", {"stop_price": "9.5", "limit_price": "9"}, OrderType.STOP_LIMIT),
    ],
)
def test_a_type_that_is_not_known_shows_as_what_it_acts_as(
    server: LocalAlpaca, broker: AlpacaBroker, called: str, prices: dict[str, str], told: OrderType
) -> None:
    accepted(broker.submit(buying(), within()))
    server.arm(
        Fault(
            kind=Kind.ACCEPT_THEN_EDIT,
            method="GET",
            path="/v2/orders/",
            edit=lambda said: said | {"type": called, "order_type": called} | prices,
        )
    )
    assert found(broker, "a").type is told


def test_an_order_of_options_that_a_person_has_is_passed_over(server: LocalAlpaca, broker: AlpacaBroker) -> None:
    accepted(broker.submit(buying(), within()))
    options = {"id": "x", "order_class": "mleg", "symbol": "", "side": "", "qty": "1", "status": "new", "legs": []}
    server.arm(Fault(kind=Kind.ACCEPT_THEN_EDIT, method="GET", edit=lambda listed: [options, *listed]))
    assert [order.intent_id for order in broker.open_orders()] == ["a"]


@pytest.mark.parametrize("field", ["id", "symbol", "side", "filled_qty"])
def test_fields_that_are_missing_make_an_answer_that_is_asked_for_again(
    server: LocalAlpaca, broker: AlpacaBroker, field: str
) -> None:
    accepted(broker.submit(buying(), within()))
    one = Fault(kind=Kind.ACCEPT_THEN_EDIT, method="GET", path="/v2/orders/", edit=without(field))
    listed = Fault(
        kind=Kind.ACCEPT_THEN_EDIT, method="GET", edit=lambda said: [without(field)(order) for order in said]
    )
    server.arm(one)
    assert isinstance(broker.find("a"), Unknown)
    server.arm(listed)
    with pytest.raises(TemporaryError, match=field):
        broker.open_orders()
    assert found(broker, "a").intent_id == "a"


@pytest.mark.parametrize(
    ("path", "ask"),
    [
        ("/v2/orders", lambda broker: broker.open_orders()),
        ("/v2/positions", lambda broker: broker.positions()),
        ("/v2/account", lambda broker: broker.cash()),
        ("/v2/account/activities", lambda broker: broker.executions(EARLIEST)),
        ("/v2/clock", lambda broker: broker.market_clock()),
    ],
    ids=["open orders", "positions", "cash", "executions", "clock"],
)
def test_a_question_that_is_not_answered_may_be_asked_again(
    server: LocalAlpaca, broker: AlpacaBroker, path: str, ask: Callable[[AlpacaBroker], Any]
) -> None:
    def armed(**how: Any) -> None:
        server.arm(Fault(method="GET", path=path, **how))

    armed(kind=Kind.STATUS, status=429, headers=(("Retry-After", "7"),))
    with pytest.raises(TemporaryError, match="429") as caught:
        ask(broker)
    assert caught.value.delay == 7
    for how in (
        {"kind": Kind.DROP},
        {"kind": Kind.ACCEPT_THEN_BABBLE},
        {"kind": Kind.ACCEPT_THEN_EDIT, "edit": lambda _: 7},
        {"kind": Kind.REFUSE, "refusal": Refusal(401, 40110000, "request is not authorized")},
    ):
        armed(**how)
        with pytest.raises(TemporaryError):
            ask(broker)
    ask(broker)


def test_a_question_has_a_time_out(server: LocalAlpaca, connect: Callable[..., AlpacaBroker]) -> None:
    broker = connect(read_timeout=timedelta(seconds=0.3))
    for kind in (Kind.ACCEPT_THEN_ANSWER_LATE, Kind.ACCEPT_THEN_TRICKLE):
        server.arm(Fault(kind=kind, method="GET", path="/v2/account", seconds=0.1 if "TRICKLE" in kind.name else 30))
        began = CLOCK.now()
        with pytest.raises(TemporaryError):
            broker.cash()
        assert CLOCK.now() - began < timedelta(seconds=2)


@pytest.mark.parametrize("stands", [False, True], ids=["as it is", "control: time is not looked at"])
def test_an_answer_that_never_stops_coming_is_given_up(
    server: LocalAlpaca, connect: Callable[..., AlpacaBroker], *, stands: bool
) -> None:
    clock = SimulatedClock(CLOCK.now()) if stands else CLOCK
    broker = connect(clock=clock, read_timeout=timedelta(seconds=0.2))
    server.arm(Fault(kind=Kind.ACCEPT_THEN_TRICKLE, method="GET", path="/v2/account", seconds=0.002))
    if stands:
        assert broker.cash() == Decimal(100_000)
    else:
        with pytest.raises(TemporaryError, match="not complete after"):
            broker.cash()


def test_absent_is_said_only_where_alpaca_has_said_so(server: LocalAlpaca, broker: AlpacaBroker) -> None:
    assert broker.find("a") == Absent()
    for path in ("/v2/orders:by_client_order_id", "/v2/orders"):
        for status in (404, 503):
            server.arm(Fault(kind=Kind.STATUS, method="GET", path=path, status=status, bare=True))
            assert isinstance(broker.find("a"), Unknown)


def test_a_process_that_has_seen_a_new_order_still_looks_for_old_ones() -> None:
    clock = SimulatedClock(datetime.fromisoformat("2025-10-09T14:00:00Z"))
    with local_alpaca(clock.now) as server:
        options: dict[str, Any] = {"key": Secret(KEY), "secret": Secret(SECRET), "clock": clock, "paper": True}
        first = AlpacaBroker(**options, base_url=server.url)
        first.submit(buying(legs="stop"), clock.now() + timedelta(seconds=4))
        first.close()
        clock.advance_to(clock.now() + timedelta(days=60))
        second = AlpacaBroker(**options, base_url=server.url)
        second.submit(buying("b"), clock.now() + timedelta(seconds=4))
        assert found(second, "a-stop").state is OrderState.ACKNOWLEDGED
        assert {order.intent_id for order in second.open_orders()} == {"a", "a-stop", "b"}
        second.close()


def test_many_orders_and_fills_come_page_by_page(server: LocalAlpaca, connect: Callable[..., AlpacaBroker]) -> None:
    body = {"symbol": "IBM", "side": "buy", "type": "market", "qty": "1", "time_in_force": "day"}
    for number in range(1_100):
        server.book.place(body | {"client_order_id": f"n{number}"})
    connect().submit(buying("last", legs="stop"), within())
    fresh = connect()
    assert found(fresh, "last-stop").state is OrderState.ACKNOWLEDGED
    assert len(fresh.open_orders()) == 1_102
    server.book.set_price("IBM", "10")
    executions = fresh.executions(EARLIEST)
    assert [one.intent_id for one in executions] == [*(f"n{number}" for number in range(1_100)), "last"]
    assert len({one.execution_id for one in executions}) == 1_101
    assert fresh.executions(executions[-2].time) == executions[-2:]


def test_a_fill_that_is_listed_twice_is_one_execution(server: LocalAlpaca, broker: AlpacaBroker) -> None:
    accepted(broker.submit(buying(), within()))
    server.book.set_price("IBM", "10", shares=40)
    server.book.set_price("IBM", "10")
    path = "/v2/account/activities"
    server.arm(Fault(kind=Kind.ACCEPT_THEN_EDIT, method="GET", path=path, edit=lambda said: [*reversed(said), *said]))
    assert [one.quantity for one in broker.executions(EARLIEST)] == [40, 60]


@pytest.mark.parametrize("named", ["previous_id", "previous_execution_id"])
def test_a_bust_names_a_fill_that_is_older_than_what_was_asked_for(
    server: LocalAlpaca, broker: AlpacaBroker, named: str
) -> None:
    accepted(broker.submit(buying(), within()))
    server.book.set_price("IBM", "10", shares=40)
    server.book.set_price("IBM", "10", shares=10)
    (first, second) = broker.executions(EARLIEST)
    amend(server.book, server.book.fills[0], named=named)
    (*_, bust) = broker.executions(second.time)
    assert (bust.corrects, bust.quantity, bust.intent_id, bust.side) == (first.execution_id, 0, "a", Side.BUY)
    assert found(broker, "a").filled == 10


def test_a_bust_of_what_alpaca_does_not_show_keeps_the_name_that_it_gives(
    server: LocalAlpaca, broker: AlpacaBroker
) -> None:
    accepted(broker.submit(buying(), within()))
    server.book.set_price("IBM", "10", shares=40)
    amend(server.book, server.book.fills[0], named="previous_execution_id")
    gone = server.book.fills.pop(0)
    (bust,) = broker.executions(EARLIEST)
    assert (str(gone["id"]).endswith(f"::{bust.corrects}"), bust.quantity) == (True, 0)


def test_an_order_of_a_persons_own_shows_under_its_own_name(server: LocalAlpaca, broker: AlpacaBroker) -> None:
    order = server.book.place(
        {"symbol": "IBM", "side": "buy", "type": "limit", "limit_price": "9", "qty": "5", "time_in_force": "gtc"}
    )
    (shown,) = broker.open_orders()
    assert (shown.intent_id, shown.time_in_force, shown.quantity) == (order.client_id, TimeInForce.GTC, 5)
    server.book.set_price("IBM", "9")
    assert [one.intent_id for one in broker.executions(EARLIEST)] == [order.client_id]


def test_a_part_of_a_share_shows_as_more_than_anyone_bought(server: LocalAlpaca, broker: AlpacaBroker) -> None:
    held(server, broker)
    path = "/v2/positions"
    server.arm(
        Fault(
            kind=Kind.ACCEPT_THEN_EDIT,
            method="GET",
            path=path,
            edit=lambda said: [*({**one, "qty": "100.5"} for one in said), {"symbol": "SPY", "qty": "-0.1"}],
        )
    )
    assert broker.positions() == {"IBM": 101, "SPY": -1}


def test_the_rate_budget_is_what_the_newest_answer_said(server: LocalAlpaca, broker: AlpacaBroker) -> None:
    broker.cash()
    assert broker.budget is not None
    assert (broker.budget.limit, broker.budget.remaining) == (200, server.remaining)
    broker.cash()
    assert broker.budget.remaining == server.remaining < 200


def test_the_markets_clock(broker: AlpacaBroker) -> None:
    clock = broker.market_clock()
    assert clock.is_open
    assert abs(clock.now - CLOCK.now()) < timedelta(seconds=5)


# All at once.


def test_every_element_of_a_mixed_answer_is_read(server: LocalAlpaca, broker: AlpacaBroker) -> None:
    held(server, broker, "bracket")
    accepted(broker.submit(buying("b", 10, symbol="SPY", limit="9"), within()))
    mixed = [
        {"symbol": "AAA", "status": 403, "body": {"code": BUYING_POWER, "message": "insufficient qty"}},
        {"symbol": "BBB", "status": 500, "body": {"message": "internal"}},
        {"symbol": "CCC"},
        "nonsense",
    ]
    server.arm(Fault(kind=Kind.ACCEPT_THEN_EDIT, method="DELETE", path="/v2/positions", edit=lambda said: said + mixed))
    parts = broker.close_all(within())
    assert isinstance(parts, tuple)
    (sale,) = server.book.live()
    assert [(part.about, part.answer) for part in parts[:2]] == [
        ("IBM", Accepted(broker_order_id=sale.id)),
        ("AAA", Rejected(reason="insufficient qty")),
    ]
    assert [(part.about, type(part.answer)) for part in parts[2:]] == [
        ("BBB", Unknown),
        ("CCC", Unknown),
        ("?", Unknown),
    ]


def test_cancelling_all_answers_for_each_and_is_unknown_where_it_is(server: LocalAlpaca, broker: AlpacaBroker) -> None:
    for intent in ("a", "b"):
        accepted(broker.submit(buying(intent, 10, limit="9"), within()))
    ids = [order.id for order in server.book.live()]
    parts = broker.cancel_all(within())
    assert isinstance(parts, tuple)
    assert [part.answer for part in parts] == [Accepted(broker_order_id=one) for one in ids]
    assert server.book.live() == []
    server.arm(Fault(kind=Kind.ACCEPT_THEN_DROP, method="DELETE"))
    assert isinstance(broker.cancel_all(within()), Unknown)


# The account, and the keys.


def refused(connect: Callable[..., AlpacaBroker], **changes: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        connect(**changes)
    assert KEY not in str(caught.value)
    assert SECRET not in str(caught.value)
    return str(caught.value)


def test_wrong_keys_are_refused_and_not_shown(connect: Callable[..., AlpacaBroker]) -> None:
    wrong = "a-secret-that-is-wrong"
    said = refused(connect, secret=Secret(wrong))
    assert "refuses the keys" in said
    assert wrong not in said


@pytest.mark.parametrize(("number", "paper"), [("PA3TEST", False), ("123456789", True)])
def test_paper_keys_for_live_trading_and_the_reverse_are_refused(
    server: LocalAlpaca, connect: Callable[..., AlpacaBroker], number: str, *, paper: bool
) -> None:
    server.book.account_number = number
    asked = "a paper account was asked for" if paper else "a live account was asked for"
    assert asked in refused(connect, paper=paper)
    assert connect(paper=not paper).name == "alpaca"


def test_an_account_that_does_not_say_what_it_is_is_refused(
    server: LocalAlpaca, connect: Callable[..., AlpacaBroker]
) -> None:
    server.arm(Fault(kind=Kind.ACCEPT_THEN_EDIT, method="GET", path="/v2/account", edit=without("account_number")))
    assert "does not tell its number" in refused(connect)


@pytest.mark.parametrize("block", ["account_blocked", "trading_blocked", "trade_suspended_by_user"])
def test_a_blocked_account_is_refused(server: LocalAlpaca, connect: Callable[..., AlpacaBroker], block: str) -> None:
    server.book.blocks[block] = True
    assert block in refused(connect)


def test_an_address_that_is_none_is_refused(connect: Callable[..., AlpacaBroker]) -> None:
    assert "is no address" in refused(connect, base_url="paper-api")


def test_an_alpaca_that_does_not_answer_at_the_start_may_later(
    server: LocalAlpaca, connect: Callable[..., AlpacaBroker]
) -> None:
    server.arm(Fault(kind=Kind.STATUS, method="GET", path="/v2/account", status=503))
    with pytest.raises(TemporaryError):
        connect()


def test_an_alpaca_that_cannot_be_reached_is_named_with_why_in_plain_words(
    server: LocalAlpaca, connect: Callable[..., AlpacaBroker]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    told = {
        "http://nobody.invalid": "Alpaca at nobody.invalid cannot be reached: its name is not found",
        f"http://127.0.0.1:{port}": f"Alpaca at 127.0.0.1:{port} cannot be reached: it refuses the connection",
    }
    for address, said in told.items():
        with pytest.raises(TemporaryError) as caught:
            connect(base_url=address)
        assert str(caught.value) == f"Alpaca's account cannot be seen: {said}"
    broker = connect(read_timeout=timedelta(seconds=0.3))
    here = server.url.removeprefix("http://")
    for fault, said in (
        (Fault(kind=Kind.DROP, method="GET", path="/v2/account"), "does not answer: the connection broke off"),
        (
            Fault(kind=Kind.ACCEPT_THEN_ANSWER_LATE, method="GET", path="/v2/account", seconds=30),
            "does not answer within 0.3 s",
        ),
        (Fault(kind=Kind.ACCEPT_THEN_TRICKLE, method="GET", path="/v2/account", seconds=0.1), "does not answer"),
    ):
        server.arm(fault)
        with pytest.raises(TemporaryError) as caught:
            broker.cash()
        assert str(caught.value).startswith(f"Alpaca at {here} {said}")
    server.arm(Fault(kind=Kind.ACCEPT_THEN_BABBLE, method="GET", path="/v2/account"))
    with pytest.raises(TemporaryError) as caught:
        broker.cash()
    assert str(caught.value) == f"Alpaca at {here} gives an answer that cannot be read"


@pytest.mark.parametrize("hides", [True, False], ids=["as it is", "control: nothing is hidden"])
def test_keys_that_alpaca_repeats_are_hidden(server: LocalAlpaca, broker: AlpacaBroker, *, hides: bool) -> None:
    if not hides:
        broker._line._hidden = ()
    server.arm(Fault(kind=Kind.REFUSE, refusal=Refusal(403, BUYING_POWER, f"{KEY} with {SECRET} may not")))
    said = reason(broker.submit(buying(), within()))
    assert (f"{HIDDEN} with {HIDDEN} may not" in said) == hides
    assert (SECRET in said) != hides


def test_the_adapter_is_no_file_to_leave_keys_in(broker: AlpacaBroker) -> None:
    with pytest.raises(TypeError):
        pickle.dumps(broker)
    assert SECRET not in repr(broker)
