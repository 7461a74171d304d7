"""Corporate actions as values: what a company did to its shares overnight, apart from what the market did.

Here belong the values and how a provider is asked for them. How a source's files tell of them is that source's own
(`providers.lean_actions`), and what an action does to a position is said by whoever holds one.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Final, Protocol, runtime_checkable

from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.money import units_from_dollars
from trading_platform.marketdata.provider import Provider

NO_SPLIT: Final = Fraction(1)
NO_DIVIDEND: Final = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CorporateAction:
    """What happened to one symbol between the close of the session before `session` and its pre-market.

    A holding of n shares over that night becomes n x `split` shares and is paid n x `dividend`.

    Attributes:
        symbol: Whose shares.
        session: The ex-day: the first session that trades without the dividend and in the new scale.
        split: New shares for each old one, exactly: 7 for 7:1, 1/20 for a reverse split; 1 where there is none.
        dividend: Dollars for each share as it was before that night's split, whole in 1/10,000; 0 where there is none.

    Raises:
        InvalidInput: The split is not positive, or the dividend is negative or finer than 1/10,000 dollar.
    """

    symbol: str
    session: date
    split: Fraction = NO_SPLIT
    dividend: Decimal = NO_DIVIDEND

    def __post_init__(self) -> None:
        where = f"{self.symbol} on {self.session}"
        if self.split <= 0:
            raise InvalidInput(f"{self.split} new shares for an old one are no split", where=where)
        try:
            units = units_from_dollars(self.dividend)
        except ValueError as error:
            raise InvalidInput(f"the dividend cannot be: {error}", where=where) from error
        if units < 0:
            raise InvalidInput(f"a dividend of {self.dividend} dollars is negative", where=where)


@runtime_checkable
class KnowsActions(Protocol):
    """A provider whose source tells of splits and dividends."""

    def corporate_actions(
        self, symbol: str, calendar: ExchangeCalendar, first: date, last: date
    ) -> tuple[CorporateAction, ...]:
        """Those of one symbol whose ex-day is from `first` to `last`, oldest first.

        `calendar` says which session comes after a day that the source names. Raises `InvalidInput` if the source is
        malformed.
        """
        ...


@runtime_checkable
class KnowsSplits(Protocol):
    """A provider whose source tells of splits alone."""

    def splits(self, symbol: str) -> Iterable[tuple[date, Fraction]]:
        """The sessions that `symbol` opens after a split, oldest first, with the new shares for each old one."""
        ...


def actions_of(
    provider: Provider, calendar: ExchangeCalendar, symbol: str, first: date, last: date
) -> tuple[CorporateAction, ...]:
    """The corporate actions of `symbol` from `first` to `last`, oldest first; none of a provider that knows none.

    Raises `InvalidInput` if the source is malformed.
    """
    if isinstance(provider, KnowsActions):
        return provider.corporate_actions(symbol, calendar, first, last)
    if isinstance(provider, KnowsSplits):
        return tuple(
            CorporateAction(symbol=symbol, session=day, split=ratio)
            for day, ratio in provider.splits(symbol)
            if first <= day <= last
        )
    return ()
