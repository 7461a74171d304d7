"""The checks of a session's books at its close, as asset checks. One that blocks stops what comes after its asset.

Every check works the same fact out in two ways that share no code, and says both figures. Pure functions of the
platform's parts; which asset carries which check is said in `session_assets`.
"""

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import dagster as dg

from trading_platform.defs import assets
from trading_platform.domain.fills import Fill, agrees
from trading_platform.domain.orders import Side
from trading_platform.domain.reports import Subject

if TYPE_CHECKING:
    from trading_platform.bootstrap import Platform
    from trading_platform.domain.reports import SessionClose
    from trading_platform.engine.session_result import SessionResult
    from trading_platform.ledger.session_figures import SessionFigures

NO_BREAKS: Final = "no_breaks"
BARS_STORED: Final = "bars_stored"
ORDERS_RESOLVED: Final = "no_order_unresolved"
LEDGER_EQUALS_BROKER: Final = "ledger_equals_broker"
POSITIONS_EQUAL_FILLS: Final = "positions_equal_fills"
CASH_ADDS_UP: Final = "cash_adds_up"
PROFIT_ADDS_UP: Final = "profit_adds_up"
NOTHING_HELD: Final = "nothing_held_overnight"

SPECS: Final[Mapping[str, tuple[dg.AssetKey, str]]] = {
    NO_BREAKS: (assets.RECONCILIATION, "The last reconcile found ledger and broker in agreement."),
    BARS_STORED: (assets.BARS, "The session's bars are in the store, and are those that were stored at first."),
    ORDERS_RESOLVED: (assets.ORDERS, "Every order of the session has come to an end."),
    LEDGER_EQUALS_BROKER: (assets.FILLS, "The session's fills are the broker's executions, one for one, to the cent."),
    POSITIONS_EQUAL_FILLS: (assets.POSITIONS, "What is held is the sum of the fills, as two computations have it."),
    CASH_ADDS_UP: (assets.POSITIONS, "Opening cash, sales, purchases and fees come to the cash of ledger and broker."),
    PROFIT_ADDS_UP: (assets.PNL, "Realised profit and fees are the same by the fold of the fills and by the database."),
    NOTHING_HELD: (assets.POSITIONS, "Every plan came to its end: nothing is held over the night."),
}
"""The checks: by name, their asset and what they say."""

WARNS: Final = frozenset({BARS_STORED, NOTHING_HELD})
"""Those that a person should look at, but that stop nothing: the books are right all the same."""


def spec(name: str, partitions: dg.PartitionsDefinition[str] | None = None) -> dg.AssetCheckSpec:
    """The check `name` of every session.

    With the partitions of its asset a result belongs to its session. Without them Dagster shows each result twice, as
    passed and as skipped.
    """
    asset, said = SPECS[name]
    with warnings.catch_warnings():
        # Dagster's version is pinned, and whoever starts it can do nothing about what is new in it.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return dg.AssetCheckSpec(
            name, asset=asset, description=said, blocking=name not in WARNS, partitions_def=partitions
        )


def no_breaks(closed: "SessionClose") -> dg.AssetCheckResult:
    """Whether the close's reconcile left nothing that a person must look at."""
    found = closed.reconciled.breaks
    return _result(NO_BREAKS, not found, {"breaks": [f"{one.symbol}: {one.what}" for one in found]})


def bars_stored(refused: str | None) -> dg.AssetCheckResult:
    """Whether the store took the bars; `refused` is what it said otherwise."""
    return _result(BARS_STORED, refused is None, {"refused": refused or "nothing"})


def orders_resolved(platform: "Platform", day: date) -> dg.AssetCheckResult:
    """Whether no order of the session is open or unknown."""
    left = [one for one in platform.ledger.orders(day) if not one.state.is_final]
    said = [f"{one.intent.symbol} {one.intent.kind.value} {one.state.value}" for one in left]
    return _result(ORDERS_RESOLVED, not left, {"unresolved": said})


def ledger_equals_broker(platform: "Platform", day: date) -> dg.AssetCheckResult:
    """Whether the session's fills and the broker's executions of that time are the same."""
    from trading_platform.ledger.booking import COVERED

    session = platform.calendar.session(day)
    begins, ends = session.premarket_open, session.after_hours_close
    ours = {fill.execution_id: fill for fill in platform.ledger.fills() if begins <= fill.time < ends}
    told = [one for broker in platform.brokers for one in broker.executions(begins) if one.time < ends]
    # What was corrected counts as it was corrected to, what was taken back not at all, and what is no order of ours, and
    # was accepted, is not the ledger's.
    beside = {one.corrects for one in told}
    accepted = platform.ledger.acceptances()
    beside |= {one.name for one in accepted if one.subject is Subject.EXECUTION}
    # Of a sale of more than was held, what was held stands under a name of its own.
    taken_out = {one.name for one in accepted if one.subject is Subject.SALE}
    beside |= taken_out
    ours = {key: fill for key, fill in ours.items() if key.removesuffix(COVERED) not in taken_out}
    theirs = {one.execution_id: one for one in told if one.quantity and one.execution_id not in beside}
    both = ours.keys() & theirs.keys()
    differing = sorted({key for key in both if not agrees(theirs[key], ours[key])} | (ours.keys() ^ theirs.keys()))
    return _result(
        LEDGER_EQUALS_BROKER,
        not differing,
        {"in_the_ledger": len(ours), "at_the_broker": len(theirs), "differing": differing},
    )


def positions_equal_fills(platform: "Platform") -> dg.AssetCheckResult:
    """Whether the fold of the fills holds what their plain sums in the database say."""
    folded: dict[str, int] = {}
    for one in platform.ledger.holdings().positions.values():
        folded[one.symbol] = folded.get(one.symbol, 0) + one.quantity
    summed: dict[str, int] = {}
    for row in platform.ledger.pnl():
        summed[row.symbol] = summed.get(row.symbol, 0) + row.bought_quantity - row.sold_quantity
    at_broker: Counter[str] = Counter()
    for broker in platform.brokers:
        at_broker.update(broker.positions())
    # A difference that a person has accepted is none.
    for symbol, shares in _accepted(platform, Subject.POSITION):
        at_broker[symbol] -= int(shares)
    differing = sorted(
        symbol
        for symbol in folded.keys() | summed.keys() | at_broker.keys()
        if len({book.get(symbol, 0) for book in (folded, summed, at_broker)}) > 1
    )
    return _result(
        POSITIONS_EQUAL_FILLS,
        not differing,
        {
            "differing": [
                f"{symbol}: fold {folded.get(symbol, 0)}, sum {summed.get(symbol, 0)}, broker {at_broker.get(symbol, 0)}"
                for symbol in differing
            ]
        },
    )


def _accepted(platform: "Platform", subject: Subject) -> list[tuple[str, Decimal]]:
    """What a person has accepted the brokers to have more than the ledger, by name; the newest word for each counts."""
    newest = {(one.venue, one.name): one for one in platform.ledger.acceptances() if one.subject is subject}
    return [(name, one.difference) for (_, name), one in newest.items() if one.difference is not None]


def cash_adds_up(platform: "Platform", figures: "SessionFigures") -> dg.AssetCheckResult:
    """Whether the cash is what the fills leave of the opening cash: at the last minute, now, and at the broker."""
    moved = sum((_moved(fill) for fill in platform.ledger.fills()), Decimal(0))
    summed = platform.ledger.opening_cash() + moved
    folded = platform.ledger.holdings().cash
    at_broker = sum((broker.cash() for broker in platform.brokers), Decimal(0))
    # Such as the cash that lay at a backup before.
    accepted = sum((dollars for _, dollars in _accepted(platform, Subject.CASH)), Decimal(0))
    surplus = at_broker - folded - accepted
    slack = platform.settings.brokers.cash_tolerance * len(platform.brokers)
    return _result(
        CASH_ADDS_UP,
        summed == folded and abs(surplus) <= slack and figures.cash.adds_up,
        {
            "opening_cash_and_fills": str(summed),
            "ledger": str(folded),
            "broker": str(at_broker),
            "last_minute_recorded": str(figures.cash.recorded),
            "last_minute_expected": str(figures.cash.expected),
        },
    )


def profit_adds_up(result: "SessionResult", figures: "SessionFigures") -> dg.AssetCheckResult:
    """Whether what each strategy made on each symbol is the same, worked out from fills and by the database."""
    folded = {(one.strategy, one.symbol): (one.realised, one.fees) for one in result.results}
    summed = {(one.strategy, one.symbol): (one.realised, one.fees) for one in figures.profit}
    nothing = (Decimal(0), Decimal(0))
    differing = sorted(
        key for key in folded.keys() | summed.keys() if folded.get(key, nothing) != summed.get(key, nothing)
    )
    said = [f"{strategy} {symbol}" for strategy, symbol in differing]
    return _result(PROFIT_ADDS_UP, not differing, {"differing": said})


def nothing_held(figures: "SessionFigures") -> dg.AssetCheckResult:
    """Whether all that was bought is sold: an exit may not have filled, or its bars may not have come."""
    return _result(
        NOTHING_HELD,
        not figures.positions,
        {"held": [f"{one.strategy} {one.symbol} {one.quantity}" for one in figures.positions]},
    )


def _moved(fill: Fill) -> Decimal:
    value = fill.price * fill.quantity
    return (value if fill.side is Side.SELL else -value) - fill.fee


def _result(name: str, passed: bool, metadata: Mapping[str, str | int | Iterable[str]]) -> dg.AssetCheckResult:  # noqa: FBT001
    return dg.AssetCheckResult(
        asset_key=SPECS[name][0],
        check_name=name,
        passed=passed,
        severity=dg.AssetCheckSeverity.WARN if name in WARNS else dg.AssetCheckSeverity.ERROR,
        # Dagster hides a list behind a link.
        metadata={
            key: value if isinstance(value, str | int) else "; ".join(value) or "none"
            for key, value in metadata.items()
        },
    )
