"""What a person reads where Alpaca cannot be used as it was asked to be: what is wrong, and how to mend it."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, cast

import pytest

from trading_platform.brokers import alpaca
from trading_platform.brokers.alpaca import AlpacaBroker
from trading_platform.config.secrets import Secret
from trading_platform.domain.clock import SystemClock
from trading_platform.domain.errors import InvalidInput, TemporaryError
from trading_platform.domain.orders import Accepted, Order, OrderType, Rejected, Side
from trading_platform_tests.vendors.alpaca.alpaca_book import Refusal
from trading_platform_tests.vendors.alpaca.alpaca_server import KEY, SECRET, Fault, Kind, LocalAlpaca, local_alpaca

CLOCK = SystemClock()
EARLIEST = datetime.fromisoformat("2000-01-01T00:00:00Z")
TICK = "is not on the tick: whole cents from a dollar on, 1/100 cent below"
PARAMETERS = 42210000


@pytest.fixture
def server() -> Iterator[LocalAlpaca]:
    with local_alpaca(CLOCK.now) as server:
        yield server


@pytest.fixture
def connect(server: LocalAlpaca) -> Iterator[Callable[..., AlpacaBroker]]:
    made: list[AlpacaBroker] = []

    def make(key: str = KEY, secret: str = SECRET, *, paper: bool = True) -> AlpacaBroker:
        made.append(AlpacaBroker(key=Secret(key), secret=Secret(secret), clock=CLOCK, paper=paper, base_url=server.url))
        return made[-1]

    yield make
    for broker in made:
        broker.close()


def order(**more: Any) -> Order:
    values: dict[str, Any] = {
        "intent_id": "a",
        "symbol": "IBM",
        "side": Side.BUY,
        "type": OrderType.LIMIT if "limit_price" in more else OrderType.MARKET,
        "quantity": 10,
    }
    return Order(**(values | more))


def refused(broker: AlpacaBroker, what: Order) -> str:
    answer = broker.submit(what, CLOCK.now() + timedelta(seconds=2))
    assert isinstance(answer, Rejected), answer
    return answer.reason


BEFORE_SENDING = {
    "off the tick": (order(limit_price=Decimal("9.999")), f"the price 9.999 {TICK}"),
    "sub-penny below a dollar": (order(limit_price=Decimal("0.12345")), "0.12345"),
    "a price of nothing": (order(limit_price=Decimal(0)), f"the price 0 {TICK}"),
    "no shares": (order(quantity=0), "a quantity of 0"),
    "less than none": (order(quantity=-5), "a quantity of -5"),
    "a part of a share": (order(quantity=cast("int", Decimal("1.5"))), "1.5 shares are no whole lots of 1"),
    "no symbol": (order(symbol="ibm"), "'ibm' is no symbol"),
}


@pytest.mark.parametrize(("what", "said"), BEFORE_SENDING.values(), ids=BEFORE_SENDING)
def test_what_no_venue_could_work_is_refused_before_it_is_sent(
    server: LocalAlpaca, connect: Callable[..., AlpacaBroker], what: Order, said: str
) -> None:
    assert said in refused(connect(), what)
    assert server.count("POST") == 0


BY_ALPACA = {
    "unknown symbol": (order(symbol="NOSUCH"), None, 'asset "NOSUCH" not found'),
    "not held": (order(side=Side.SELL), None, "insufficient qty available for order (requested: 10)"),
    "not shortable": (
        order(side=Side.SELL),
        Refusal(422, PARAMETERS, 'asset "IBM" cannot be sold short'),
        'asset "IBM" cannot be sold short',
    ),
    "too dear": (order(quantity=10_001), None, "insufficient buying power"),
    "blocked meanwhile": (
        order(),
        Refusal(403, 40310000, "new orders are rejected by user request"),
        "new orders are rejected by user request",
    ),
    "below a dollar in all": (
        order(limit_price=Decimal("0.01")),
        Refusal(403, 40310000, "cost basis must be >= minimal amount of order 1"),
        "minimal amount of order 1",
    ),
}


@pytest.mark.parametrize(("what", "refusal", "said"), BY_ALPACA.values(), ids=BY_ALPACA)
def test_what_alpaca_refuses_is_told_in_its_words(
    server: LocalAlpaca, connect: Callable[..., AlpacaBroker], what: Order, refusal: Refusal | None, said: str
) -> None:
    if refusal is not None:
        server.arm(Fault(kind=Kind.REFUSE, refusal=refusal))
    told = refused(connect(), what)
    assert said in told
    assert "Alpaca's code 4" in told
    assert server.book.orders == {}


def test_without_the_own_check_a_sub_penny_price_is_refused_by_alpaca(
    server: LocalAlpaca, connect: Callable[..., AlpacaBroker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alpaca, "require_well_formed", lambda *_: None)
    assert "sub-penny increment" in refused(connect(), order(limit_price=Decimal("9.999")))
    assert server.count("POST") == 1


# The account and its keys.


def not_started(connect: Callable[..., AlpacaBroker], *keys: str, paper: bool = True) -> str:
    with pytest.raises(InvalidInput) as caught:
        connect(*keys, paper=paper)
    said = str(caught.value)
    assert said.startswith("Alpaca: ")
    assert not any(hidden in said for hidden in (KEY, SECRET, *keys))
    return said


def test_wrong_keys_are_said_to_be_wrong_and_not_shown(connect: Callable[..., AlpacaBroker]) -> None:
    for keys in (("PKWRONGKEY", SECRET), (KEY, "a-wrong-secret"), ("whatever", "else")):
        said = not_started(connect, *keys)
        assert "Alpaca refuses the keys (request is not authorized)" in said
        assert "Check key and secret, and that they belong to this address" in said


@pytest.mark.parametrize(
    ("key", "paper", "asked", "seems"),
    [("PKSOMEBODYS", False, "a live", "a paper"), ("AKSOMEBODYS", True, "a paper", "a live")],
    ids=["paper keys, live flag", "live keys, paper flag"],
)
def test_keys_of_the_other_kind_are_told_apart_where_alpaca_refuses_them(
    connect: Callable[..., AlpacaBroker], key: str, asked: str, seems: str, *, paper: bool
) -> None:
    said = not_started(connect, key, "secret", paper=paper)
    assert f"{asked} account was asked for, and this key seems to be {seems} one" in said
    assert f"Give the keys of {asked} account, or say that {seems} one is meant" in said


@pytest.mark.parametrize(
    ("number", "paper", "told"),
    [
        ("PA3TEST", False, "a live account was asked for, and these keys are of a paper account"),
        ("123456789", True, "a paper account was asked for, and these keys are of a live account"),
    ],
    ids=["paper account, live flag", "live account, paper flag"],
)
def test_an_account_of_the_other_kind_is_not_traded(
    server: LocalAlpaca, connect: Callable[..., AlpacaBroker], number: str, told: str, *, paper: bool
) -> None:
    server.book.account_number = number
    said = not_started(connect, paper=paper)
    assert told in said
    assert "Give the keys and the address of the account that is meant" in said


@pytest.mark.parametrize("block", ["account_blocked", "trading_blocked", "trade_suspended_by_user"])
def test_a_blocked_account_is_not_traded(server: LocalAlpaca, connect: Callable[..., AlpacaBroker], block: str) -> None:
    server.book.blocks[block] = True
    said = not_started(connect)
    assert f"the account cannot trade ({block})" in said
    assert "have it unblocked" in said


# Answers with fields missing or new.


def answered(server: LocalAlpaca, path: str, edit: Callable[[Any], Any]) -> None:
    server.arm(Fault(kind=Kind.ACCEPT_THEN_EDIT, method="GET", path=path, edit=edit))


def test_an_account_without_its_number_is_not_traded(server: LocalAlpaca, connect: Callable[..., AlpacaBroker]) -> None:
    answered(server, "/v2/account", lambda said: {name: one for name, one in said.items() if name != "account_number"})
    assert "does not tell its number" in not_started(connect)


@pytest.mark.parametrize(
    ("path", "field", "ask", "said"),
    [
        ("/v2/account", "cash", lambda broker: broker.cash(), "the account tells no cash"),
        ("/v2/positions", "qty", lambda broker: broker.positions(), "the positions cannot be read (KeyError('qty'))"),
        ("/v2/orders", "symbol", lambda broker: broker.open_orders(), "has no symbol"),
        ("/v2/account/activities", "price", lambda broker: broker.executions(EARLIEST), "KeyError('price')"),
        ("/v2/account/activities", "order_id", lambda broker: broker.executions(EARLIEST), "no id or order_id"),
        ("/v2/clock", "is_open", lambda broker: broker.market_clock(), "the clock cannot be read"),
    ],
)
def test_a_field_that_is_missing_is_named_and_asked_for_again(
    server: LocalAlpaca,
    connect: Callable[..., AlpacaBroker],
    path: str,
    field: str,
    ask: Callable[[AlpacaBroker], Any],
    said: str,
) -> None:
    broker = connect()
    for _ in range(2):
        assert isinstance(broker.submit(order(intent_id=f"a{_}"), CLOCK.now() + timedelta(seconds=2)), Accepted)
    server.book.set_price("IBM", "10", shares=15)

    def edit(told: Any) -> Any:
        shown = [told] if isinstance(told, dict) else told
        less = [{name: one for name, one in row.items() if name != field} for row in shown]
        return less[0] if isinstance(told, dict) else less

    whole = ask(broker)
    answered(server, path, edit)
    with pytest.raises(TemporaryError) as caught:
        ask(broker)
    assert said in str(caught.value)
    answered(
        server,
        path,
        lambda told: told | {"mood": {}} if isinstance(told, dict) else [one | {"mood": 1} for one in told],
    )
    again = ask(broker)
    assert again == whole or path == "/v2/clock"
