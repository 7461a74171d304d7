"""Interactive Brokers through the vendor's own client, against a local TWS that fails on command."""

from collections.abc import Iterator
from typing import Any

import pytest

from trading_platform_tests.contracts.test_broker_port import BrokerPortContract
from trading_platform_tests.vendors.tws.venue import IbkrVenue

CANNOT_BE = BrokerPortContract.test_what_cannot_be_is_rejected_and_leaves_nothing.pytestmark[0]  # type: ignore[attr-defined]
# TWS takes a bracket on the wrong side of the market and works it, and the adapter sees no prices.
TAKEN_BY_TWS = ("target below the price", "stop above the price")
NOT_TAKEN = [
    pytest.param(case, id=name)
    for case, name in zip(CANNOT_BE.args[1], CANNOT_BE.kwargs["ids"], strict=True)
    if name not in TAKEN_BY_TWS
]


@pytest.fixture
def venue() -> Iterator[IbkrVenue]:
    venue = IbkrVenue()
    yield venue
    venue.close()


class TestIbkr(BrokerPortContract):
    @pytest.fixture
    def venue(self) -> Iterator[Any]:
        venue = IbkrVenue()
        yield venue
        venue.close()

    @pytest.mark.parametrize("order", NOT_TAKEN)
    def test_what_cannot_be_is_rejected_and_leaves_nothing(self, venue: Any, order: Any) -> None:
        super().test_what_cannot_be_is_rejected_and_leaves_nothing(venue, order)
