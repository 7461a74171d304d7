"""Splits and dividends as events, from a LEAN factor file.

A row holds up to and including its day, so what happened lies between two rows: the price factor changes with a
dividend, the split factor with a split, and the reference price is the close before.
"""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Final

from trading_platform.calendars.exchange import FIRST_DAY, ExchangeCalendar
from trading_platform.domain.errors import InvalidInput
from trading_platform.marketdata.actions import NO_DIVIDEND, CorporateAction
from trading_platform.marketdata.providers.factor_file import (
    MEND_FACTOR_ROW,
    FactorRow,
    positive_factor,
    read_factor_file,
    read_factor_rows,
)

_PRICE_FACTOR: Final = 1
_REFERENCE: Final = 3
_FACTOR_ERROR: Final = Fraction(1, 2 * 10**7)
"""Price factors are written to seven places."""
_PLACES: Final = (2, 3, 4)


def read_actions(
    symbol: str, path: Path, calendar: ExchangeCalendar, first: date, last: date
) -> tuple[CorporateAction, ...]:
    """The actions of `symbol` whose ex-day is from `first` to `last`, oldest first.

    Raises `InvalidInput` naming file, row and column if the file is missing or malformed.
    """
    return tuple(_actions(symbol, path, calendar, first, last))


def _actions(symbol: str, path: Path, calendar: ExchangeCalendar, first: date, last: date) -> Iterator[CorporateAction]:
    scale = read_factor_file(path)
    for row, following in pairwise(read_factor_rows(path)):
        if not FIRST_DAY <= row.day < last:
            continue
        session = calendar.next(row.day).day
        if not first <= session <= last:
            continue
        split = 1 / scale.ratio(row.day, following.day)
        dividend = _dividend(path, row, following)
        if split != 1 or dividend:
            yield CorporateAction(symbol=symbol, session=session, split=split, dividend=dividend)


def _dividend(path: Path, row: FactorRow, following: FactorRow) -> Decimal:
    """What was paid between two rows: reference x (1 - factor / next factor), for the factors are made so.

    The factors are rounded, and so the amount is not exact. Of those that they can stand for it is the one with the
    fewest decimals, as companies declare them; else the nearest 1/10,000 dollar.
    """
    before, after = (
        positive_factor(path, one.number, "price factor", one.cells[_PRICE_FACTOR]) for one in (row, following)
    )
    if before == after:
        return NO_DIVIDEND
    if before > after:
        raise InvalidInput(
            f"the price factor falls from {float(before):g} to {float(after):g}, which would be a negative dividend",
            where=f"{path}, row {following.number}, column price factor",
            mend=MEND_FACTOR_ROW,
        )
    if len(row.cells) <= _REFERENCE:
        raise InvalidInput(
            "a dividend follows, and there is no reference price",
            where=f"{path}, row {row.number}",
            mend=MEND_FACTOR_ROW,
        )
    reference = positive_factor(path, row.number, "reference price", row.cells[_REFERENCE])
    paid = reference * (1 - before / after)
    error = reference * _FACTOR_ERROR * (1 + before / after) / after
    for places in _PLACES:
        declared = round(paid, places)
        if abs(declared - paid) <= error:
            break
    return Decimal(int(declared * 10**places)).scaleb(-places)
