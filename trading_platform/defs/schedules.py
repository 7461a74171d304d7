"""The schedules of a trading day: its opening, each of its minutes, and its close.

A cron says when a tick may come; the calendar says whether it is one: a holiday has none, a half day ends early, and
exchange time stays exchange time over the changes of the clock. A tick that comes late is skipped, for its bar is old,
and so is one that finds a cycle running: a queue of minutes would trade on the past. A tick's run key is its minute, so
that it makes one run at most. They run by themselves where sessions run on the machine's clock, and stand still where
they are simulated.
"""

from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from typing import Any, Final

import dagster as dg

from trading_platform.calendars.exchange import EVERY_DAY, ExchangeCalendar
from trading_platform.calendars.sessions import EXCHANGE_ZONE, Session, exchange_day, minute_decided_at
from trading_platform.config.settings import Settings
from trading_platform.defs.jobs import market_session, session_open
from trading_platform.defs.partitions import partition_of
from trading_platform.defs.resources import CLOCK
from trading_platform.defs.said import BAR_TAG, BOOK_TAG, SESSION_TAG

STALE: Final = timedelta(minutes=1)
"""A tick of a minute that comes so late is skipped: the next one is due."""

BEFORE_OPEN: Final = timedelta(minutes=5)
AFTER_CLOSE: Final = timedelta(minutes=5)

_MINUTE: Final = timedelta(minutes=1)
_HALF_DAY_CLOSE: Final = time(13, 0)
_BUSY_FOR: Final = timedelta(minutes=2)
"""A run that has not ended after so long is dead or about to be ended, and holds back no tick any more. If it lives all
the same, it still owns the book, and the next one fails without touching it."""
_UNFINISHED: Final = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]

Tick = dg.RunRequest | dg.SkipReason
Answer = Callable[[dg.ScheduleEvaluationContext, datetime], Tick]


def trading_day_schedules(
    settings: Settings, calendar: ExchangeCalendar, close_job: Any
) -> list[dg.ScheduleDefinition]:
    """The three schedules of the configured book."""
    book = settings.account.book
    hours, days = calendar.hours, "*" if calendar.exchange == EVERY_DAY else "1-5"
    closes = {hours.close} if calendar.exchange == EVERY_DAY else {hours.close, _HALF_DAY_CLOSE}

    def opening(context: dg.ScheduleEvaluationContext, tick: datetime) -> Tick:
        session = _session(calendar, tick)
        if isinstance(session, dg.SkipReason):
            return session
        if _now(context) >= session.close:
            return dg.SkipReason(f"the session {session.day} is over")
        return _request("open", book, session.day, {"ops": {"list_universe": {"config": _named(session.day)}}})

    def minute(context: dg.ScheduleEvaluationContext, tick: datetime) -> Tick:
        return _minute(context, tick, calendar, book)

    def closing(context: dg.ScheduleEvaluationContext, tick: datetime) -> Tick:
        # The session that was over last: one whose own tick was missed is closed with the next one. A run that was
        # made is not made again, for its key is the session.
        day = exchange_day(tick - AFTER_CLOSE)
        session = calendar.session(day) if calendar.is_session(day) else calendar.previous(day)
        if tick < session.close + AFTER_CLOSE:
            session = calendar.previous(session.day)
        partition = partition_of(session.day, today=exchange_day(_now(context)))
        return _request("close", book, session.day, {}, partition=partition)

    return [
        _schedule(
            "session_open_schedule", [_cron(_shifted(hours.open, -BEFORE_OPEN), days)], session_open, opening, settings
        ),
        _schedule(
            "market_session_schedule", minute_crons(hours.open, hours.close, days), market_session, minute, settings
        ),
        _schedule(
            "session_close_schedule",
            sorted(_cron(_shifted(close, AFTER_CLOSE), days) for close in closes),
            close_job,
            closing,
            settings,
        ),
    ]


def minute_crons(opens: time, closes: time, days: str) -> list[str]:
    """Crons for the ticks of a session: from a minute after its open up to its close, both included."""
    first, last = _shifted(opens, _MINUTE), closes
    if first.hour == last.hour:
        return [f"{first.minute}-{last.minute} {first.hour} * * {days}"]
    crons = [f"{first.minute}-59 {first.hour} * * {days}"]
    if last.hour - first.hour > 1:
        crons.append(f"* {first.hour + 1}-{last.hour - 1} * * {days}")
    crons.append(f"0-{last.minute} {last.hour} * * {days}" if last.minute else f"0 {last.hour} * * {days}")
    return crons


def _schedule(name: str, crons: list[str], job: Any, answer: Answer, settings: Settings) -> dg.ScheduleDefinition:
    simulated = settings.clock == "simulated"

    @dg.schedule(
        name=name,
        cron_schedule=crons,
        job=job,
        execution_timezone=EXCHANGE_ZONE.key,
        required_resource_keys={CLOCK},
        default_status=dg.DefaultScheduleStatus.STOPPED if simulated else dg.DefaultScheduleStatus.RUNNING,
    )
    def tick(context: dg.ScheduleEvaluationContext) -> Iterator[Tick]:
        if simulated:
            yield dg.SkipReason("sessions run on a simulated clock here: set clock to system to trade the present one")
        else:
            yield answer(context, context.scheduled_execution_time.astimezone(EXCHANGE_ZONE))

    return tick


def _minute(context: dg.ScheduleEvaluationContext, tick: datetime, calendar: ExchangeCalendar, book: str) -> Tick:
    session = _session(calendar, tick)
    if isinstance(session, dg.SkipReason):
        return session
    minute = minute_decided_at(session, tick)
    if minute is None:
        return dg.SkipReason(f"the session {session.day} is from {_local(session.open)} to {_local(session.close)}")
    late = _now(context) - tick
    if late >= STALE:
        return dg.SkipReason(f"the tick of {_local(tick)} came {int(late.total_seconds())} s late: its bar is stale")
    busy = _busy(context, book)
    if busy is not None:
        return dg.SkipReason(f"the cycle {busy} is still running: {_local(tick)} is skipped, not queued")
    bar = f"{tick - _MINUTE:%Y-%m-%d %H:%M}"
    config = {"ops": {"fetch_market_data": {"config": {**_named(session.day), "minute": minute}}}}
    return _request(f"{tick:%H:%M}", book, session.day, config, tags={BAR_TAG: bar})


def _busy(context: dg.ScheduleEvaluationContext, book: str) -> str | None:
    """Which cycle of this book is still running, in words; None if none is."""
    wanted = dg.RunsFilter(job_name=market_session.name, statuses=_UNFINISHED)
    since = (_now(context) - _BUSY_FOR).timestamp()
    for record in context.instance.get_run_records(wanted):
        tags = record.dagster_run.tags
        begun = record.start_time or record.create_timestamp.timestamp()
        # One that was launched by hand names no book, and may be of this one.
        if tags.get(BOOK_TAG, book) == book and begun > since:
            return f"of the bar {tags[BAR_TAG]}" if BAR_TAG in tags else "that was launched by hand"
    return None


def _request(
    what: str,
    book: str,
    day: date,
    config: dict[str, Any],
    *,
    partition: str | None = None,
    tags: dict[str, str] | None = None,
) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"{book} {day} {what}",
        run_config=config,
        partition_key=partition,
        tags={BOOK_TAG: book, SESSION_TAG: day.isoformat(), **(tags or {})},
    )


def _session(calendar: ExchangeCalendar, tick: datetime) -> Session | dg.SkipReason:
    day = exchange_day(tick)
    if not calendar.is_session(day):
        return dg.SkipReason(f"{day} ({day:%A}) is not a session of {calendar.exchange}")
    return calendar.session(day)


def _now(context: dg.ScheduleEvaluationContext) -> datetime:
    now: datetime = getattr(context.resources, CLOCK).now()
    return now


def _named(day: date) -> dict[str, Any]:
    return {"session": day.isoformat()}


def _shifted(at: time, by: timedelta) -> time:
    return (datetime.combine(date.min + timedelta(days=1), at) + by).time()


def _cron(at: time, days: str) -> str:
    return f"{at.minute} {at.hour} * * {days}"


def _local(moment: datetime) -> str:
    return f"{moment.astimezone(EXCHANGE_ZONE):%H:%M}"
