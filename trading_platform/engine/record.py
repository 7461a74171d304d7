"""What a cycle leaves behind: the record that the ledger keeps, and the report that its caller hands on."""

import hashlib
from decimal import Decimal

from trading_platform.domain.decisions import Verdict
from trading_platform.domain.ids import cycle_id
from trading_platform.domain.reports import CycleReport
from trading_platform.engine.inputs import pack
from trading_platform.engine.recorded import plain_break
from trading_platform.engine.values import Parts, Planned
from trading_platform.ledger.rows import CycleHeader, CycleRecord
from trading_platform.portfolio.account import AccountView, untraded
from trading_platform.portfolio.decide import Decided


def cycle_record(planned: Planned, parts: Parts) -> CycleRecord:
    """What is committed of a cycle: everything that it saw, said and decided."""
    fetched, decided = planned.evaluated.fetched, planned.decided
    first = planned.evaluated.first_new
    so_far = fetched.bars.bars[:, : fetched.minute + 1]
    arrays = {"bars": so_far[:, first:], **decided.seen}
    if fetched.minute == 0:
        arrays["days"] = fetched.days
    source = parts.provider.source
    plain = {
        "symbols": list(parts.symbols),
        "strategies": [strategy.name for strategy in parts.strategies],
        # The columns of `bars` are the minutes from `first_minute` on; all bars so far have this digest.
        "first_minute": first,
        "bars_sha256": hashlib.sha256(so_far.tobytes()).hexdigest(),
        "source": [source.provider, source.feed, source.adjustment],
        "broker": {
            "cash": str(fetched.reconciled.view.cash),
            "positions": dict(fetched.reconciled.view.positions),
            "open": {one.intent_id: [one.quantity, one.filled] for one in fetched.reconciled.view.orders.values()},
        },
        "breaks": [plain_break(one) for one in fetched.reconciled.report.breaks],
        "away": list(fetched.reconciled.report.away),
        "oddities": list(fetched.reconciled.report.oddities),
        "faults": list(planned.evaluated.faults),
    }
    header = CycleHeader(
        bar_time=fetched.bar_time,
        session=fetched.session,
        bars=fetched.new_bars,
        problems=fetched.problems,
        owner=parts.owner,
        release=parts.release,
        mode=decided.mode,
        equity=decided.equity,
        peak_equity=decided.peak_equity,
        cash=decided.cash,
        open_equity=decided.open_equity,
        decided_at=parts.clock.now(),
    )
    return CycleRecord(header=header, inputs=pack(plain, arrays), signals=planned.signals, decisions=planned.decisions)


def read_back(recorded: CycleRecord, account: AccountView) -> Decided:
    """A recorded minute's decisions and figures: they are never made again."""
    header = recorded.header
    held = sum((position.cost for position in account.positions.values()), Decimal(0))
    return Decided(
        decisions=recorded.decisions,
        mode=header.mode,
        cash=header.cash,
        equity=header.equity,
        open_equity=header.open_equity,
        peak_equity=header.peak_equity,
        unrealised=header.equity - header.cash - held,
        seen={},
    )


def cycle_report(planned: Planned, book: str, sent: int) -> CycleReport:
    """What a cycle says of itself to whoever drives it. `sent`: how many calls the broker got."""
    fetched, decided = planned.evaluated.fetched, planned.decided
    positions = planned.account.positions.values()
    return CycleReport(
        cycle_id=cycle_id(book, fetched.bar_time),
        book=book,
        session=fetched.session.isoformat(),
        bar_time=fetched.bar_time,
        bars=fetched.new_bars,
        problems=fetched.problems,
        reconciled=fetched.reconciled.report,
        signals=planned.signals,
        decisions=planned.decisions,
        refused=sum(one.verdict is Verdict.REFUSED for one in planned.decisions),
        orders_sent=sent,
        positions=sum(one.quantity > 0 for one in positions),
        cash=decided.cash,
        equity=decided.equity,
        realised=sum((one.realised for one in positions), Decimal(0)),
        unrealised=decided.unrealised,
        fees=sum((one.fees for one in positions), Decimal(0)),
        mode=decided.mode,
        read_back=planned.recorded,
        faults=planned.evaluated.faults + _unwatched(planned),
    )


def _unwatched(planned: Planned) -> tuple[str, ...]:
    """Holdings that nothing in this session would sell: a person must know."""
    fetched = planned.evaluated.fetched
    return tuple(
        f"{strategy} holds {symbol}, which this session does not trade: nothing looks after it"
        for strategy, symbol in untraded(planned.account, fetched.bars.symbols, planned.strategies)
    )
