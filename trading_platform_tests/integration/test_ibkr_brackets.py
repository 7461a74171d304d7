"""Two brackets of one symbol at once: what protects is exactly what is held, by the venue's own book and by the adapter.

A scale-out is sent so: one bracket for each part, each with a target of its own.
"""

import random
from collections.abc import Iterator

import pytest

from trading_platform.brokers.ibkr_desk import Desk
from trading_platform.brokers.ibkr_orders import TwsOrder
from trading_platform.brokers.ibkr_views import Views
from trading_platform.domain.orders import Accepted, Found, OrderState, Side, Unknown
from trading_platform_tests.contracts.test_broker_port import EARLIEST, buying, selling
from trading_platform_tests.vendors.tws.server import Kind
from trading_platform_tests.vendors.tws.venue import IbkrVenue

PARTS = {"near": 60, "far": 90}
TARGETS = {"near": "10.50", "far": "11.00"}
PRICES = ("9.40", "9.80", "10.00", "10.00", "10.00", "10.60", "11.10")


@pytest.fixture
def venue() -> Iterator[IbkrVenue]:
    venue = IbkrVenue()
    yield venue
    venue.close()


def enter(venue: IbkrVenue) -> None:
    for part, quantity in PARTS.items():
        order = buying(part, quantity, symbol="SPY", limit="10.00", stop="9.50", target=TARGETS[part])
        assert isinstance(venue.broker.submit(order, venue.deadline()), Accepted)


def working(venue: IbkrVenue, name: str) -> int:
    """Shares of an order that may still fill, as the adapter shows it."""
    answer = venue.broker.find(name)
    assert isinstance(answer, Found)
    return 0 if answer.order.state.is_final else answer.order.quantity - answer.order.filled


def test_legs_that_went_with_their_entry_are_not_missed_by_whoever_does_not_place_them_anew(
    venue: IbkrVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def trusting(_desk: Desk, entry: TwsOrder, *_: object) -> Accepted:
        return Accepted(broker_order_id=str(entry.perm_id))

    monkeypatch.setattr(Desk, "_protect", trusting)
    venue.tws.exchange.legs_go_with_entry = True
    enter(venue)
    venue.tws.trade("SPY", "10.00", 10)
    assert isinstance(venue.broker.cancel("near", venue.deadline()), Accepted)
    assert venue.tws.exchange.on_offer("SPY") == 0 < venue.tws.exchange.positions["SPY"]


def test_a_leg_that_was_placed_anew_is_one_order_with_what_it_was(venue: IbkrVenue) -> None:
    venue.tws.exchange.legs_go_with_entry = True
    enter(venue)
    venue.tws.trade("SPY", "10.00", 30)
    venue.tws.trade("SPY", "10.50", 10)
    assert isinstance(venue.broker.cancel("near", venue.deadline()), Accepted)
    assert sorted(one.intent_id for one in venue.broker.open_orders() if "near" in one.intent_id) == [
        "near-stop",
        "near-target",
    ]
    for _ in range(2):
        answer = venue.broker.find("near-target")
        assert isinstance(answer, Found)
        assert (answer.order.filled, answer.order.quantity) == (10, 30)
        venue.restart()
    venue.tws.trade("SPY", "10.50", 100)
    answer = venue.broker.find("near-target")
    assert isinstance(answer, Found)
    assert (answer.order.filled, answer.order.state) == (30, OrderState.FILLED)


def test_legs_that_a_person_cancelled_are_not_placed_anew_with_their_entry(venue: IbkrVenue) -> None:
    venue.tws.exchange.legs_go_with_entry = True
    enter(venue)
    venue.tws.trade("SPY", "10.00", 10)
    assert isinstance(venue.broker.cancel("near-stop", venue.deadline()), Accepted)
    assert isinstance(venue.broker.cancel("near", venue.deadline()), Accepted)
    assert {one.intent_id for one in venue.broker.open_orders()} == {"far", "far-stop", "far-target"}


def left_of(venue: IbkrVenue, part: str) -> int:
    """What a part's entry has bought and its legs have not sold, by the venue's executions."""
    return sum(
        done.shares if done.action == "BUY" else -done.shares
        for done in venue.tws.exchange.executions
        if done.ref in (part, f"{part}-stop", f"{part}-target")
    )


def require_protected(venue: IbkrVenue) -> None:
    held = venue.tws.exchange.positions.get("SPY", 0)
    assert venue.tws.exchange.on_offer("SPY") == held
    for part in PARTS:
        for leg in (f"{part}-stop", f"{part}-target"):
            assert working(venue, leg) == left_of(venue, part), leg
    assert sum(left_of(venue, part) for part in PARTS) == held == venue.broker.positions().get("SPY", 0)


@pytest.mark.parametrize("legs_go", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_what_protects_is_what_is_held(venue: IbkrVenue, seed: int, *, legs_go: bool) -> None:
    """Fills in part, cancelled entries, lost answers, and processes that die in between.

    Where the venue lets the legs go with their entry, and the answer to the cancel is lost, nobody is there to place
    them anew: that is seen by the next reconcile.
    """
    chance = random.Random(seed)
    venue.tws.exchange.legs_go_with_entry = legs_go
    enter(venue)
    require_protected(venue)
    for _ in range(25):
        step = chance.choice(["trade"] * 6 + ["cancel", "die", "drop", *["lose the answer"] * (not legs_go)])
        part = chance.choice(list(PARTS))
        if step == "trade":
            venue.tws.trade("SPY", chance.choice(PRICES), chance.randrange(1, 40))
        elif step == "cancel":
            venue.broker.cancel(part, venue.deadline())
        elif step == "die":
            venue.restart()
        elif step == "drop":
            venue.tws.drop()
            venue.reconnected(venue.broker.connections + 1)
        else:
            venue.tws.fault("cancel", Kind.DROP_AFTER)
            if isinstance(venue.broker.cancel(part, venue.deadline()), Unknown):
                venue.restart()
            venue.tws.faults.clear()
        require_protected(venue)
    for part in PARTS:
        venue.broker.cancel(part, venue.deadline())
    venue.tws.trade("SPY", "9.40", 1000)
    require_protected(venue)
    assert (venue.tws.exchange.positions.get("SPY", 0), venue.tws.exchange.open_orders) == (0, [])
    bought, sold = (sum(one.quantity for one in venue.broker.executions(EARLIEST) if one.side is side) for side in Side)
    assert bought == sold


def test_the_whole_quantity_of_a_leg_is_more_than_it_protects(
    venue: IbkrVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TWS shows a leg with its whole quantity from the start: taken as it is, it would protect what nobody holds."""
    monkeypatch.setattr(Views, "_bought_by_parent", lambda *_: None)
    enter(venue)
    venue.tws.trade("SPY", "10.00", 10)
    with pytest.raises(AssertionError):
        require_protected(venue)


@pytest.mark.parametrize("leg", ["near-stop", "near-target"])
def test_cancelling_a_leg_leaves_the_other_part_as_it_was(venue: IbkrVenue, leg: str) -> None:
    enter(venue)
    venue.tws.trade("SPY", "10.00", 100)
    assert isinstance(venue.broker.cancel(leg, venue.deadline()), Accepted)
    assert {one.intent_id for one in venue.broker.open_orders()} == {"far", "far-stop", "far-target"}
    assert venue.tws.exchange.on_offer("SPY") == working(venue, "far-stop") == 40
    assert isinstance(venue.broker.submit(selling("out", 60, symbol="SPY"), venue.deadline()), Accepted)
    venue.tws.trade("SPY", "10.00", 1000)
    assert venue.tws.exchange.positions == {"SPY": 90}


@pytest.mark.parametrize("lost", ["near-stop", "near-target"])
def test_a_process_that_dies_between_the_legs_of_a_reduction_makes_it_good(venue: IbkrVenue, lost: str) -> None:
    enter(venue)
    venue.tws.trade("SPY", "10.00", 150)
    venue.tws.fault("place", Kind.DROP_BEFORE, ref=lost)
    assert isinstance(venue.broker.reduce("near-stop", 20, venue.deadline()), Unknown)
    assert venue.tws.exchange.on_offer("SPY") == 150
    venue.restart()
    assert isinstance(venue.broker.reduce("near-stop", 20, venue.deadline()), Accepted)
    assert working(venue, "near-stop") == working(venue, "near-target") == 20
    assert venue.tws.exchange.on_offer("SPY") == 110


def test_a_cancelled_entry_ends_with_its_legs_where_it_bought_nothing(venue: IbkrVenue) -> None:
    enter(venue)
    assert isinstance(venue.broker.cancel("near", venue.deadline()), Accepted)
    assert {one.intent_id for one in venue.broker.open_orders()} == {"far", "far-stop", "far-target"}
    for name in ("near", "near-stop", "near-target"):
        answer = venue.broker.find(name)
        assert isinstance(answer, Found)
        assert answer.order.state is OrderState.CANCELLED
