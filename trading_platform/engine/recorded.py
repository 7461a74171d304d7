"""What the reconcile of a cycle found, as the cycle's record keeps it: read without anything that decides or trades."""

from decimal import Decimal
from typing import Any

from trading_platform.domain.reports import Break, ReconcileReport, Subject
from trading_platform.engine.inputs import unpack
from trading_platform.ledger.ledger import Ledger


def recorded_reconcile(ledger: Ledger) -> ReconcileReport:
    """What the reconcile of the latest recorded cycle found: breaks, brokers that were away, and oddities.

    Nothing where no cycle is recorded. Its counts are not recorded, and are 0.
    """
    header = ledger.last_cycle()
    recorded = None if header is None else ledger.cycle(header.bar_time)
    plain = {} if recorded is None else unpack(recorded.inputs)[0]
    return ReconcileReport(
        executions_booked=0,
        looked_up=0,
        resent=0,
        closed=0,
        breaks=tuple(map(_break_of, plain.get("breaks", ()))),
        away=tuple(plain.get("away", ())),
        oddities=tuple(plain.get("oddities", ())),
    )


def plain_break(found: Break) -> dict[str, Any]:
    """A break as a cycle's inputs keep it, in JSON's terms."""
    return {
        "symbol": found.symbol,
        "what": found.what,
        "venue": found.venue,
        "subject": found.subject.value,
        "name": found.name,
        "difference": None if found.difference is None else str(found.difference),
    }


def _break_of(plain: dict[str, Any] | list[str]) -> Break:
    if isinstance(plain, list):
        # An earlier release recorded the symbol and what was said.
        return Break(symbol=plain[0], what=plain[1])
    difference = plain["difference"]
    return Break(
        symbol=plain["symbol"],
        what=plain["what"],
        venue=plain["venue"],
        subject=Subject(plain["subject"]),
        name=plain["name"],
        difference=None if difference is None else Decimal(difference),
    )
