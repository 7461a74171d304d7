"""The ops: three that open a session, and the four of each of its minutes.

Each of the four calls one stage, and says what it did as materializations with numbers.

What they work on is imported by the resource when a run begins: a code location that only lists jobs pays for none of
it. Rules of trading stay out.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

import dagster as dg

from trading_platform.calendars.sessions import EXCHANGE_ZONE, bar_time
from trading_platform.defs import assets
from trading_platform.defs.resources import DESK, TradingDesk
from trading_platform.defs.said import BAR_TAG, BOOK_TAG, SESSION_TAG, name_run, plain_failures
from trading_platform.domain.errors import InvalidInput


class Day(dg.Config):
    """Which session to open. Left out: the present one, or on a simulated clock the one that is due."""

    session: str = ""


class Tick(dg.Config):
    """Which minute to run. Left out: the next one that is not recorded."""

    session: str = ""
    minute: int = -1


@dg.op(required_resource_keys={DESK}, description="List the session's symbols, and what entries in each would lack.")
def list_universe(context: dg.OpExecutionContext, config: Day) -> Any:
    """What can be traded in the session: `Listing` for each symbol, with the session."""
    from trading_platform.engine.preflight import universe

    with plain_failures():
        desk = getattr(context.resources, DESK)
        session = desk.due(_day(config.session))
        name_run(context, _tags(desk, session.day))
        found = universe(desk.platform.stages.parts, session.session)
    for one in found:
        if one.lacks + one.misses:
            context.log.warning("%s: %s", one.symbol, ", ".join(one.lacks + one.misses))
    context.add_output_metadata(
        {
            "session": session.day.isoformat(),
            "symbols": len(found),
            "tradable": sum(one.tradable for one in found),
        }
    )
    return session, found


@dg.op(required_resource_keys={DESK}, description="Look at everything that the session needs, before it needs it.")
def preflight(context: dg.OpExecutionContext, universe: Any) -> Any:
    """Fails with every check that did not pass, so that a person mends all of them at once."""
    from trading_platform.engine.preflight import preflight as look

    session, listed = universe
    with plain_failures():
        done = look(getattr(context.resources, DESK).platform.stages.parts, session.session, listed)
    for one in done:
        context.log.log("INFO" if one.passed else "ERROR", "%s: %s", one.name, one.detail)
    context.add_output_metadata({one.name.replace(" ", "_"): one.detail for one in done})
    failed = [f"{one.name}: {one.detail}" for one in done if not one.passed]
    if failed:
        raise dg.Failure(
            description=f"the session {session.day} is not ready. {'. '.join(failed)}.",
            metadata={"failed": len(failed)},
            allow_retries=False,
        )
    return session


@dg.op(required_resource_keys={DESK}, description="Open book and session, and reconcile with the broker.")
def reconcile_and_open(context: dg.OpExecutionContext, session: Any) -> None:
    """The session is ready when this has succeeded. A book is owned only while it runs."""
    with plain_failures():
        desk = getattr(context.resources, DESK)
        try:
            found = session.open()
        finally:
            desk.platform.stages.release()
    breaks = found.report.breaks if found is not None else ()
    for one in breaks:
        context.log.error("%s: %s; no entries in it", one.symbol, one.what)
    context.log.info("the session %s is ready", session.day)
    context.add_output_metadata({"session": session.day.isoformat(), "breaks": len(breaks)})


@dg.op(required_resource_keys={DESK}, description="Reconcile with the broker, then take the session's bars so far.")
def fetch_market_data(context: dg.OpExecutionContext, config: Tick) -> Any:
    """Stage 1."""
    with plain_failures():
        desk = getattr(context.resources, DESK)
        session = desk.session(_day(config.session))
        minute = config.minute if config.minute >= 0 else session.due_minute()
        session.tick(minute)
        bar = bar_time(session.session, minute).astimezone(EXCHANGE_ZONE)
        name_run(context, {**_tags(desk, session.day), BAR_TAG: f"{bar:%Y-%m-%d %H:%M}"})
        fetched = desk.platform.stages.fetch(session.day, minute)
    report = fetched.reconciled.report
    refused = sum(problem.count for problem in fetched.problems)
    _say(
        context,
        assets.MINUTE_BARS,
        fetched.bar_time,
        {"bars": fetched.new_bars, "symbols": len(fetched.bars.symbols), "problems": refused},
    )
    _say(
        context,
        assets.MINUTE_FILLS,
        fetched.bar_time,
        {"booked": report.executions_booked, "looked_up": report.looked_up, "breaks": len(report.breaks)},
    )
    for problem in fetched.problems:
        context.log.warning("%s: %s (%d)", problem.symbol, problem.what, problem.count)
    for found in report.breaks:
        context.log.error("%s: %s; no entries in it", found.symbol, found.what)
    return fetched


@dg.op(required_resource_keys={DESK}, description="Fold the strategies' steps up to the decided bar.")
def evaluate_strategies(context: dg.OpExecutionContext, fetched: Any) -> Any:
    """Stage 2."""
    with plain_failures():
        evaluated = getattr(context.resources, DESK).platform.stages.evaluate(fetched)
    entries = sum(int((outs["entry"] != 0).sum()) for outs in evaluated.outs)
    exits = sum(int((outs["exit"] != 0).sum()) for outs in evaluated.outs)
    _say(
        context,
        assets.MINUTE_SIGNALS,
        fetched.bar_time,
        {"entries": entries, "exit_reasons": exits, "faults": len(evaluated.faults)},
    )
    return evaluated


@dg.op(required_resource_keys={DESK}, description="Let the decision kernel size, gate and decide.")
def validate_risk(context: dg.OpExecutionContext, evaluated: Any) -> Any:
    """Stage 3."""
    with plain_failures():
        planned = getattr(context.resources, DESK).platform.stages.decide(evaluated)
    refused = sum(decision.verdict.name == "REFUSED" for decision in planned.decisions)
    _say(
        context,
        assets.MINUTE_DECISIONS,
        evaluated.fetched.bar_time,
        {
            "decisions": len(planned.decisions),
            "refused": refused,
            "resized": sum(decision.verdict.name == "RESIZED" for decision in planned.decisions),
            "mode": int(planned.decided.mode),
        },
    )
    for decision in planned.decisions:
        context.log.info(
            "%s %s: %s %d, %s %s",
            decision.strategy,
            decision.symbol,
            decision.kind.name,
            decision.quantity,
            decision.verdict.name,
            decision.rule.name,
        )
    return planned


@dg.op(required_resource_keys={DESK}, description="Record the cycle and its intents in one commit, then send them.")
def place_orders(context: dg.OpExecutionContext, planned: Any) -> Any:
    """Stage 4. The job owns the book only while it runs: its shards are given back at the end."""
    with plain_failures():
        desk = getattr(context.resources, DESK)
        report = desk.platform.stages.place(planned)
        desk.settle(planned.evaluated.fetched.minute)
    for fault in report.faults:
        context.log.warning("%s", fault)
    _say(context, assets.MINUTE_ORDERS, report.bar_time, {"sent": report.orders_sent, "intents": len(planned.intents)})
    _say(context, assets.MINUTE_POSITIONS, report.bar_time, {"positions": report.positions, "cash": float(report.cash)})
    _say(
        context,
        assets.MINUTE_PNL,
        report.bar_time,
        {
            "realised": float(report.realised),
            "unrealised": float(report.unrealised),
            "fees": float(report.fees),
            "net": float(report.realised + report.unrealised - report.fees),
        },
    )
    _say(context, assets.EQUITY, report.bar_time, {"equity": float(report.equity)})
    return report


def _tags(desk: TradingDesk, day: date) -> dict[str, str]:
    return {BOOK_TAG: desk.platform.ledger.book, SESSION_TAG: day.isoformat()}


def _say(context: dg.OpExecutionContext, key: dg.AssetKey, bar_time: Any, numbers: Mapping[str, float]) -> None:
    context.log_event(dg.AssetMaterialization(asset_key=key, metadata={"bar": bar_time.isoformat(), **numbers}))


def _day(text: str) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"{text!r} is no date", where="session", mend="Write it as 2013-10-09") from None
