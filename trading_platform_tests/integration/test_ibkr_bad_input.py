"""What a person is told of Interactive Brokers when an order, a setting, or TWS's own answer is not as it should be."""

import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from trading_platform.brokers import ibkr_link
from trading_platform.brokers.ibkr_address import Patience
from trading_platform.domain.errors import InvalidInput, TemporaryError
from trading_platform.domain.orders import Absent, Accepted, Found, NotSent, Order, OrderState, Rejected, Unknown
from trading_platform_tests.contracts.test_broker_port import EARLIEST, buying, selling
from trading_platform_tests.vendors.tws.server import ACCOUNT, Kind
from trading_platform_tests.vendors.tws.venue import CLIENT, IbkrVenue


@pytest.fixture
def venue() -> Iterator[IbkrVenue]:
    venue = IbkrVenue()
    yield venue
    venue.close()


def answered(venue: IbkrVenue, order: Order) -> str:
    answer = venue.broker.submit(order, venue.deadline())
    assert isinstance(answer, Rejected), answer
    assert venue.tws.exchange.open_orders == []
    return answer.reason


# Orders.


@pytest.mark.parametrize(
    ("order", "says"),
    [
        (buying("a", 10, limit="9.995"), "the price 9.995 is not on the tick: whole cents from a dollar on"),
        (buying("a", 10, limit="0.12345"), "0.12345"),
        (buying("a", 10, stop="9.501"), "the price 9.501 is not on the tick"),
        (buying("a", 0), "a quantity of 0"),
        (buying("a", 10, symbol="not one"), "'not one' is no symbol"),
    ],
)
def test_what_no_venue_could_work_is_refused_before_tws_hears_of_it(venue: IbkrVenue, order: Order, says: str) -> None:
    assert says in answered(venue, order)
    assert "place" not in venue.tws.requests


def test_a_symbol_that_tws_does_not_have_is_named(venue: IbkrVenue) -> None:
    assert answered(venue, buying("a", 10, symbol="NOSUCH")) == (
        "NOSUCH cannot be traded at TWS: No security definition has been found for the request (TWS 200)"
    )
    assert "place" not in venue.tws.requests


def test_a_contract_that_tws_does_not_tell_now_is_asked_for_again(venue: IbkrVenue) -> None:
    venue.tws.fault("contract", Kind.REFUSED, code=322, text="Error processing request")
    answer = venue.broker.submit(buying("a", 10), venue.deadline())
    assert answer == NotSent(reason="TWS did not tell its contract of IBM: Error processing request (TWS 322)")
    assert isinstance(venue.broker.submit(buying("a", 10), venue.deadline()), Accepted)


@pytest.mark.parametrize(
    ("order", "says"),
    [
        (
            selling("a", 10),
            "Order rejected - reason:The contract is not available for short sale. (TWS 201)",
        ),
        (buying("a", 10_001), "Order rejected - reason:insufficient buying power (TWS 201)"),
    ],
)
def test_what_tws_refuses_is_said_in_its_own_words(venue: IbkrVenue, order: Order, says: str) -> None:
    assert answered(venue, order) == says


def test_a_tick_of_which_only_tws_knows_is_said_in_its_own_words(venue: IbkrVenue) -> None:
    text = "The price does not conform to the minimum price variation for this contract."
    venue.tws.fault("place", Kind.REFUSED, code=110, text=text)
    assert answered(venue, buying("a", 10, limit="9.99")) == f"{text} (TWS 110)"


# Who is who.


def refusal(venue: IbkrVenue, **settings: Any) -> InvalidInput:
    with pytest.raises(InvalidInput) as refused:
        venue.opened(**{"client_id": 8, **settings})
    assert (refused.value.where, venue.tws.exchange.orders) == ("ibkr", [])
    return refused.value


def test_a_paper_account_where_a_live_one_is_meant_is_refused(venue: IbkrVenue) -> None:
    said = refusal(venue, paper=False)
    assert said.what == f"{ACCOUNT} is a paper account, and a live one is configured"
    assert said.mend == "Make the profile, the account and the port agree; nothing was sent"


def test_a_live_account_where_a_paper_one_is_meant_is_refused(venue: IbkrVenue) -> None:
    venue.tws.accounts = ("U7654321",)
    said = refusal(venue, account="U7654321")
    assert said.what == "U7654321 is a live account, and a paper one is configured"


def test_an_account_that_tws_does_not_have_is_refused_with_those_that_it_has(venue: IbkrVenue) -> None:
    venue.tws.accounts = (ACCOUNT, "DU7654321")
    said = refusal(venue, account="DU1111111")
    assert said.what == (
        f"TWS at 127.0.0.1:{venue.tws.port} does not manage the account DU1111111, only {ACCOUNT}, DU7654321"
    )
    assert said.mend == "Give one of these, or log TWS in with the user that has the account"


def test_a_client_id_in_use_is_said_with_what_to_do(venue: IbkrVenue) -> None:
    patience = Patience(connect=timedelta(milliseconds=300), first_retry=timedelta(milliseconds=50))
    said = refusal(venue, client_id=CLIENT, patience=patience)
    assert said.what == f"the client id {CLIENT} is in use at TWS 127.0.0.1:{venue.tws.port}"
    assert said.mend == "Another session of this platform is live there: end it, or configure another client id"
    # Its holder is not pushed out, and nobody took another id.
    assert venue.broker.connections == 1
    assert venue.broker.is_connected


# Answers of TWS that are not as they should be.


def shortened(fields: list[str]) -> list[str]:
    return fields[: len(fields) // 2]


def a_word_for(place: int, word: str) -> Callable[[list[str]], list[str]]:
    return lambda fields: [*fields[:place], word, *fields[place + 1 :]]


@pytest.fixture
def busy(venue: IbkrVenue) -> IbkrVenue:
    """One order has filled, one works and one has ended."""
    for name, limit in (("filled", None), ("resting", "9.50"), ("ended", "9.40")):
        assert isinstance(venue.broker.submit(buying(name, 10, limit=limit), venue.deadline()), Accepted)
    assert isinstance(venue.broker.cancel("ended", venue.deadline()), Accepted)
    venue.pass_minutes(1)
    return venue


@pytest.mark.parametrize(
    ("number", "what", "ask"),
    [
        (5, "an open order", lambda one: one.open_orders()),
        (11, "an execution", lambda one: one.executions(EARLIEST)),
        (61, "a holding", lambda one: one.positions()),
        (63, "the account's figures", lambda one: one.cash()),
    ],
)
def test_an_answer_with_fields_missing_is_no_answer(
    busy: IbkrVenue, number: int, what: str, ask: Callable[[Any], Any]
) -> None:
    whole = ask(busy.broker)
    busy.tws.spoiled[number] = shortened
    with pytest.raises(TemporaryError, match=f"TWS cannot be asked: TWS sent {what} that cannot be read"):
        ask(busy.broker)
    busy.tws.spoiled.clear()
    assert ask(busy.broker) == whole
    assert busy.broker.connections == 1


@pytest.mark.parametrize(("number", "what"), [(5, "an open order"), (11, "an execution"), (101, "an ended order")])
def test_an_order_that_cannot_be_read_is_not_absent(busy: IbkrVenue, number: int, what: str) -> None:
    busy.broker.close()
    busy.tws.spoiled[number] = shortened
    busy.broker = busy.opened()
    assert busy.broker.find("resting") == Unknown(
        reason="TWS cannot be asked: "
        f"TWS at 127.0.0.1:{busy.tws.port} cannot be used: TWS sent {what} that cannot be read"
    )
    assert isinstance(busy.broker.submit(buying("new", 10), busy.deadline()), NotSent)
    busy.tws.spoiled.clear()
    busy.reconnected(1)
    assert {type(busy.broker.find(name)) for name in ("filled", "resting", "ended")} == {Found}
    assert isinstance(busy.broker.submit(buying("new", 10), busy.deadline()), Accepted)


def test_as_the_vendors_client_does_it_such_an_order_would_be_absent(
    busy: IbkrVenue, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ibkr_link, "Reader", lambda *_: None)
    busy.broker.close()
    busy.tws.spoiled[5] = shortened
    busy.broker = busy.opened()
    with caplog.at_level(logging.CRITICAL, "ib_insync"):
        assert busy.broker.find("resting") == Absent()
    assert len(busy.tws.exchange.of("resting")) == 1


@pytest.mark.parametrize(
    ("place", "word"),
    [(14, ""), (18, "GIFT"), (20, ""), (21, "")],
    ids=["no id", "no side", "no price", "no permId"],
)
def test_an_execution_that_makes_no_sense_is_not_booked(busy: IbkrVenue, place: int, word: str) -> None:
    busy.restart()
    busy.tws.spoiled[11] = a_word_for(place, word)
    with pytest.raises(TemporaryError, match="an execution that cannot be read"):
        busy.broker.executions(EARLIEST)
    busy.tws.spoiled.clear()
    assert len(busy.broker.executions(EARLIEST)) == 1


def test_an_order_that_has_no_perm_id_yet_is_not_absent(busy: IbkrVenue) -> None:
    busy.tws.spoiled[5] = a_word_for(25, "0")
    with pytest.raises(TemporaryError, match="an open order that cannot be read"):
        busy.broker.open_orders()
    assert isinstance(busy.broker.find("new"), Unknown)
    busy.tws.spoiled.clear()
    assert [one.intent_id for one in busy.broker.open_orders()] == ["resting"]


def test_messages_and_words_that_are_new_are_passed_over(busy: IbkrVenue) -> None:
    busy.tws.tell(250, 1, "something new")
    busy.tws.tell(4, 2, -1, 99_999, "a number that is new", "")
    busy.tws.spoiled[5] = a_word_for(21, "NEVER")
    (shown,) = busy.broker.open_orders()
    assert (shown.intent_id, shown.state) == ("resting", OrderState.ACKNOWLEDGED)
    assert busy.broker.connections == 1
    assert isinstance(busy.broker.submit(buying("new", 10), busy.deadline()), Accepted)


def test_a_commission_that_cannot_be_read_is_one_that_has_not_come(venue: IbkrVenue) -> None:
    venue.tws.spoiled[59] = shortened
    assert isinstance(venue.broker.submit(buying("a", 10), venue.deadline()), Accepted)
    venue.pass_minutes(1)
    assert venue.broker.executions(EARLIEST) == ()
    venue.tws.spoiled.clear()
    (execution,) = venue.broker.executions(EARLIEST)
    assert execution.fee == Decimal(1)


def test_part_of_a_share_shows_as_a_whole_one_that_nobody_expects_and_is_told(venue: IbkrVenue) -> None:
    venue.tws.exchange.positions["IBM"] = 1
    venue.tws.spoiled[61] = a_word_for(14, "100.5")
    assert venue.broker.positions() == {"IBM": 101}
    assert venue.broker.oddities == (
        "the account at TWS holds 100.5 IBM, shown here as 101: parts of shares are not traded",
    )
    venue.tws.spoiled.clear()
    assert venue.broker.positions() == {"IBM": 1}
    assert not venue.broker.oddities


def test_cash_that_is_no_number_is_said(venue: IbkrVenue) -> None:
    venue.tws.spoiled[63] = a_word_for(5, "much")
    with pytest.raises(TemporaryError, match="the account's cash is 'much'"):
        venue.broker.cash()
    venue.tws.spoiled[63] = a_word_for(6, "EUR")
    with pytest.raises(TemporaryError, match="does not tell the account's cash in USD"):
        venue.broker.cash()
