"""Alpaca's stream as a hint: what it says, how it is noticed to be dead, and that nothing is lost with it."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from trading_platform.brokers.alpaca import AlpacaBroker
from trading_platform.brokers.alpaca_stream import StreamEvent, TradeUpdates, UpdateKind
from trading_platform.config.secrets import HIDDEN, Secret
from trading_platform.domain.clock import SystemClock
from trading_platform.domain.orders import Accepted, Order, OrderType, Side
from trading_platform_tests.vendors.alpaca.alpaca_amendments import amend
from trading_platform_tests.vendors.alpaca.alpaca_server import KEY, SECRET, LocalAlpaca, local_alpaca
from trading_platform_tests.vendors.alpaca.mute_line import MuteLine

CLOCK = SystemClock()
EARLIEST = datetime.fromisoformat("2000-01-01T00:00:00Z")
PATIENCE = 0.4


@pytest.fixture
def server() -> Iterator[LocalAlpaca]:
    with local_alpaca(CLOCK.now) as server:
        yield server


@pytest.fixture
def listen(server: LocalAlpaca) -> Iterator[Callable[..., TradeUpdates]]:
    """Makes and starts a stream at each call; all are stopped after the test."""
    made: list[TradeUpdates] = []

    def make(**changes: Any) -> TradeUpdates:
        options: dict[str, Any] = {
            "key": Secret(KEY),
            "secret": Secret(SECRET),
            "paper": True,
            "url": server.stream.url,
            "patience": PATIENCE,
            "first_pause": 0.05,
            "longest_pause": 0.4,
        }
        made.append(TradeUpdates(**(options | changes)))
        made[-1].start()
        return made[-1]

    yield make
    for updates in made:
        updates.stop()


def connect(server: LocalAlpaca, updates: TradeUpdates | None = None) -> AlpacaBroker:
    return AlpacaBroker(
        key=Secret(KEY), secret=Secret(SECRET), clock=CLOCK, paper=True, base_url=server.url, updates=updates
    )


def buy(broker: AlpacaBroker, intent: str = "a") -> str:
    order = Order(intent_id=intent, symbol="IBM", side=Side.BUY, type=OrderType.MARKET, quantity=100)
    answer = broker.submit(order, CLOCK.now() + timedelta(seconds=2))
    assert isinstance(answer, Accepted)
    return answer.broker_order_id


def the_next(updates: TradeUpdates, kind: UpdateKind) -> StreamEvent:
    """The next event, which must be of this kind; on a busy machine a connection may take several attempts."""
    event = updates.events.get(timeout=10)
    while kind is UpdateKind.CONNECTED and event.kind is UpdateKind.LOST and "TimeoutError" in event.detail:
        event = updates.events.get(timeout=10)
    assert event.kind is kind, event
    return event


def test_what_happens_is_told_with_its_names(server: LocalAlpaca, listen: Callable[..., TradeUpdates]) -> None:
    updates = listen()
    the_next(updates, UpdateKind.CONNECTED)
    broker = connect(server, updates)
    order = buy(broker)
    server.book.set_price("IBM", "10", shares=40)
    server.book.set_price("IBM", "10")
    told = [the_next(updates, UpdateKind.UPDATE) for _ in range(3)]
    assert [(one.event, one.broker_order_id, one.client_order_id) for one in told] == [
        ("new", order, "a"),
        ("partial_fill", order, "a"),
        ("fill", order, "a"),
    ]
    executions = broker.executions(EARLIEST)
    assert [one.execution_id.endswith(str(event.execution_id)) for one, event in zip(executions, told[1:], strict=True)]
    broker.close()


def test_a_fill_while_disconnected_is_asked_for_after_the_reconnect(
    server: LocalAlpaca, listen: Callable[..., TradeUpdates]
) -> None:
    updates = listen(first_pause=0.3)
    the_next(updates, UpdateKind.CONNECTED)
    broker = connect(server)
    buy(broker)
    the_next(updates, UpdateKind.UPDATE)
    server.stream.drop()
    the_next(updates, UpdateKind.LOST)
    server.book.set_price("IBM", "10")
    # The stream says nothing of the fill, but that it is time to ask.
    the_next(updates, UpdateKind.CONNECTED)
    assert [one.quantity for one in broker.executions(EARLIEST)] == [100]
    with pytest.raises(queue.Empty):
        updates.events.get(timeout=0.3)
    broker.close()


@pytest.mark.parametrize("expects", [True, False], ids=["told what to expect", "control: not told"])
def test_a_stream_that_does_not_report_what_alpaca_acknowledged_is_made_anew(
    server: LocalAlpaca, listen: Callable[..., TradeUpdates], *, expects: bool
) -> None:
    updates = listen()
    the_next(updates, UpdateKind.CONNECTED)
    server.stream.mute = True
    broker = connect(server, updates if expects else None)
    buy(broker)
    broker.close()
    if expects:
        assert "mute" in the_next(updates, UpdateKind.LOST).detail
        the_next(updates, UpdateKind.CONNECTED)
    with pytest.raises(queue.Empty):
        updates.events.get(timeout=4 * PATIENCE)


def test_what_was_reported_before_it_is_expected_is_not_missed(
    server: LocalAlpaca, listen: Callable[..., TradeUpdates]
) -> None:
    updates = listen()
    the_next(updates, UpdateKind.CONNECTED)
    broker = connect(server)
    order = buy(broker)
    broker.close()
    the_next(updates, UpdateKind.UPDATE)
    updates.expect(order)
    with pytest.raises(queue.Empty):
        updates.events.get(timeout=4 * PATIENCE)


def test_a_socket_that_is_connected_and_dead_is_noticed(
    server: LocalAlpaca, listen: Callable[..., TradeUpdates]
) -> None:
    line = MuteLine(int(server.stream.url.rsplit(":", 1)[1].split("/")[0]))
    try:
        updates = listen(url=f"ws://127.0.0.1:{line.port}/stream")
        the_next(updates, UpdateKind.CONNECTED)
        with pytest.raises(queue.Empty):
            updates.events.get(timeout=4 * PATIENCE)
        line.mute = True
        the_next(updates, UpdateKind.LOST)
        line.mute = False
        while updates.events.get(timeout=10).kind is not UpdateKind.CONNECTED:
            pass
        updates.stop()
    finally:
        line.close()


def test_a_greeting_that_is_not_answered_does_not_last_for_ever(
    server: LocalAlpaca, listen: Callable[..., TradeUpdates]
) -> None:
    server.stream.deaf = True
    updates = listen()
    assert "TimeoutError" in the_next(updates, UpdateKind.LOST).detail
    server.stream.deaf = False
    while updates.events.get(timeout=10).kind is not UpdateKind.CONNECTED:
        pass


def test_wrong_keys_are_tried_with_growing_pauses_and_not_shown(
    server: LocalAlpaca, listen: Callable[..., TradeUpdates]
) -> None:
    updates = listen(secret=Secret("wrong-secret"), first_pause=0.1, longest_pause=30.0)
    time.sleep(1.0)
    # 0.1 + 0.2 + 0.4 s of pauses: alpaca-py's own would have been many times as many.
    assert 2 <= server.stream.greetings <= 4
    for _ in range(2):
        assert "wrong-secret" not in str(the_next(updates, UpdateKind.LOST))


def test_updates_that_come_twice_and_out_of_order_make_each_execution_once(
    server: LocalAlpaca, listen: Callable[..., TradeUpdates]
) -> None:
    updates = listen()
    the_next(updates, UpdateKind.CONNECTED)
    server.stream.twice = server.stream.reversed = True
    broker = connect(server)
    buy(broker)
    server.book.set_price("IBM", "10")
    server.stream.release()
    told = [the_next(updates, UpdateKind.UPDATE).event for _ in range(4)]
    assert told == ["fill", "fill", "new", "new"]
    assert [one.quantity for one in broker.executions(EARLIEST)] == [100]
    assert broker.cash() == Decimal(99_000)
    broker.close()


def test_what_is_not_understood_is_said_and_ends_nothing(
    server: LocalAlpaca, listen: Callable[..., TradeUpdates]
) -> None:
    updates = listen()
    the_next(updates, UpdateKind.CONNECTED)
    server.stream.send(b"{")
    server.stream.send(b"[1]")
    server.stream.send(b'{"stream": "trade_updates", "data": {"event": "levitated", "order": {"id": "x", "mood": 1}}}')
    server.stream.send(b'{"stream": "trade_updates", "data": {}}')
    the_next(updates, UpdateKind.UNREADABLE)
    the_next(updates, UpdateKind.UNREADABLE)
    assert the_next(updates, UpdateKind.UPDATE) == StreamEvent(
        kind=UpdateKind.UPDATE, event="levitated", broker_order_id="x"
    )
    the_next(updates, UpdateKind.UPDATE)


def test_events_that_nobody_takes_become_one_that_says_to_ask(
    server: LocalAlpaca, listen: Callable[..., TradeUpdates]
) -> None:
    updates = listen(room=2)
    while server.stream.clients == 0:
        time.sleep(0.01)
    for number in range(3):
        server.stream.send(b'{"stream": "trade_updates", "data": {"event": "%d"}}' % number)
    kinds: list[UpdateKind] = []
    give_up = CLOCK.now() + timedelta(seconds=10)
    while UpdateKind.OVERFLOW not in kinds and CLOCK.now() < give_up:
        time.sleep(0.01)
        kinds = [event.kind for event in list(updates.events.queue)]
    assert UpdateKind.OVERFLOW in kinds


def test_keys_in_a_message_are_hidden(listen: Callable[..., TradeUpdates]) -> None:
    updates = listen()
    assert updates._scrub(f"{KEY} and {SECRET}") == f"{HIDDEN} and {HIDDEN}"


def test_it_ends_with_its_thread_and_can_be_started_again(listen: Callable[..., TradeUpdates]) -> None:
    updates = listen()
    the_next(updates, UpdateKind.CONNECTED)
    updates.start()
    updates.stop()
    updates.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "trade updates"]
    updates.start()
    the_next(updates, UpdateKind.CONNECTED)


def test_a_trade_that_is_undone_is_told_as_a_hint(server: LocalAlpaca, listen: Callable[..., TradeUpdates]) -> None:
    updates = listen()
    the_next(updates, UpdateKind.CONNECTED)
    broker = connect(server)
    order = buy(broker)
    server.book.set_price("IBM", "10")
    amend(server.book, amend(server.book, server.book.fills[0], quantity=60))
    told = [the_next(updates, UpdateKind.UPDATE) for _ in range(4)]
    assert [(one.event, one.broker_order_id) for one in told[2:]] == [("trade_correct", order), ("trade_bust", order)]
    first, correction, bust = broker.executions(EARLIEST)
    assert (correction.corrects, bust.corrects) == (first.execution_id, correction.execution_id)
    assert (correction.quantity, bust.quantity, broker.positions()) == (60, 0, {})
    broker.close()
