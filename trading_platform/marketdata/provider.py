"""The provider port: where bars come from, in the platform's words.

A provider never shows the future: it is asked for what was closed by a moment. Bars come as the source has them,
malformed ones included; `quality` judges them in one place for every provider.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Protocol

import numpy.typing as npt


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a bar came from. Feeds and adjustments are never mixed within one signal."""

    provider: str
    feed: str
    adjustment: str


class Provider(Protocol):
    """A source of minute and daily bars of US equities."""

    @property
    def source(self) -> Source:
        """What its bars are recorded with."""
        ...

    def minute_bars(self, symbol: str, session: date, until: datetime) -> npt.NDArray[Any]:
        """Bars of one symbol and day, 04:00 to 20:00 exchange time, whose minute had ended by `until`.

        Records of `bar_t` in the source's order, prices in the scale of that session. Empty where the source has
        none. Raises `InvalidInput` if the source is malformed.
        """
        ...

    def daily_bars(self, symbol: str, session: date, count: int) -> npt.NDArray[Any]:
        """At most `count` daily bars of sessions before `session`, oldest first, split-adjusted as of `session`.

        Records of `daily_t`.
        """
        ...

    def halted(self, symbol: str, session: date, at: datetime) -> bool:
        """Whether trading of the symbol was halted at `at`, as far as was known then. False where the source is silent."""
        ...

    def minute_sessions(self, symbol: str, before: date) -> tuple[date, ...]:
        """The days before `before` for which minute bars are there, oldest first."""
        ...


class Market(Provider, Protocol):
    """A provider that can say which symbols it has."""

    @property
    def symbols(self) -> tuple[str, ...]:
        """Those of which there are minute bars."""
        ...
