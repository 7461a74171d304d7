"""How ops and assets speak: what the platform raises on purpose, in its own words, and the tags that runs are found by."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import dagster as dg

from trading_platform.domain.errors import TradingPlatformError

BOOK_TAG: Final = "trading_platform/book"
BAR_TAG: Final = "trading_platform/bar"
"""The bar that a run decides, in exchange time: without it the runs of a session look all alike in a list."""
BROKER_TAG: Final = "trading_platform/broker"
SESSION_TAG: Final = "trading_platform/session"


@contextmanager
def plain_failures() -> Iterator[None]:
    """What the platform raises on purpose fails the run with its own sentence. It is never tried again by itself."""
    try:
        yield
    except TradingPlatformError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error


def name_run(context: dg.OpExecutionContext | dg.AssetExecutionContext, tags: Mapping[str, str]) -> None:
    """Give a run the tags that it is found by, where whoever launched it has not: a person in the launchpad names none."""
    lacking = {name: value for name, value in tags.items() if name not in context.run.tags}
    if lacking:
        context.instance.add_run_tags(context.run.run_id, lacking)
