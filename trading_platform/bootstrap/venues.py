"""The brokers that the settings name, made on one clock: what each needs, and what must agree before it is used (Law 12).

Whether an account is paper or real money is said by the flag `live`, with what is written of the account beside it
(`config.contradictions`), and by the broker itself, which its adapter asks. Here the clock is the third: orders of past
sessions go to the paper exchange, and to what stands in for Alpaca on this machine and lives in the past as well.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from trading_platform.brokers.deferred import DeferredBroker, OpenBroker
from trading_platform.brokers.fees import fee_schedule
from trading_platform.brokers.paper import PaperExchange
from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.config.knobs import knobs, value_of
from trading_platform.config.settings import Settings
from trading_platform.domain.clock import Clock, SimulatedClock, SystemClock
from trading_platform.domain.errors import InvalidInput, TemporaryError
from trading_platform.domain.records import bar_t
from trading_platform.marketdata.provider import Provider
from trading_platform.marketdata.quality import judge

if TYPE_CHECKING:
    from trading_platform.brokers.alpaca import AlpacaBroker
    from trading_platform.brokers.alpaca_stream import TradeUpdates
    from trading_platform.brokers.ibkr import IbkrBroker

_BASIS_POINTS_PER_PERCENT: Final = 100
_PRESENT: Final = timedelta(hours=1)
"""A broker whose clock is so near to the machine's trades the present."""
_GATEWAY_PAPER: Final = 4002
_GATEWAY_LIVE: Final = 4001
_NEEDED: Final = {"alpaca": ("alpaca.key", "alpaca.secret"), "ibkr": ("ibkr.account",)}


def lacking(settings: Settings) -> tuple[str, ...]:
    """A sentence for everything that a named broker needs and that is not given. Nothing is asked of a broker."""
    named: dict[str | None, str] = {settings.brokers.primary: "brokers.primary"}
    # Where both name the same one, what it lacks is said once.
    named.setdefault(settings.brokers.backup, "brokers.backup")
    return tuple(
        f"{path}: it is not given, and {by} names {name}. {_how_to_give(path)}."
        for name, by in named.items()
        for path in _NEEDED.get(name or "", ())
        if value_of(settings, path) is None
    )


def _how_to_give(path: str) -> str:
    knob = knobs()[path]
    if not knob.secret:
        return f"Give {knob.takes.removesuffix(', or none')}"
    name = knob.short_variable or knob.variable
    return f"Give it by the variable {name}, or by a mounted file that {name}_FILE names"


def open_brokers(
    settings: Settings, calendar: ExchangeCalendar, provider: Provider, clock: Clock
) -> Iterator[OpenBroker]:
    """The primary, then its backup if one is named, each as it is made: whoever takes them closes them.

    Where there are two, one that does not answer now holds up nothing: it is asked for again and again, and what it
    holds or works stays as it is believed to be (`brokers.deferred`). Where there is one, nothing could be reconciled.

    Raises:
        InvalidInput: A broker cannot be used so: its keys or its account are refused, the account is of another kind
            than is meant, or the clock is one of the past and the broker's is not.
        TemporaryError: The only broker does not answer.
    """
    names = [name for name in (settings.brokers.primary, settings.brokers.backup) if name is not None]
    for name in names:
        _require_its_time(name, settings, clock)
    for name in names:
        if name == "paper":
            yield _paper_exchange(settings, calendar, provider, clock)
        elif name == "ibkr":
            yield _ibkr(settings, clock)
        else:
            yield _alpaca(settings, clock, alone=len(names) == 1)


def trade_updates(settings: Settings) -> "TradeUpdates":
    """The stream of hints of the account at Alpaca, not started. Raises `InvalidInput` if no keys are given."""
    from trading_platform.brokers.alpaca_stream import TradeUpdates

    account = settings.alpaca
    if account.key is None or account.secret is None:
        raise InvalidInput(
            "the keys of Alpaca's account are not given", where="alpaca", mend=_how_to_give("alpaca.key")
        )
    return TradeUpdates(key=account.key, secret=account.secret, paper=not settings.live, url=account.stream_url)


def seconds(number: Decimal) -> timedelta:
    """So many seconds."""
    return timedelta(seconds=float(number))


def paper_book(settings: Settings) -> Path:
    """The file that holds the paper exchange's own book."""
    return settings.data_folder / "paper" / f"{settings.account.book}.sqlite"


def _require_its_time(name: str, settings: Settings, clock: Clock) -> None:
    """Raise `InvalidInput` for a broker that trades the present, on a clock of the past.

    Sessions are run on such a clock by the demo and by `session run`, whatever clock is configured.
    """
    if not isinstance(clock, SimulatedClock) or name == "paper":
        return
    if name != "alpaca" or not settings.alpaca.is_stand_in or settings.live:
        raise InvalidInput(
            f"orders of sessions of the past cannot go to {name}",
            where="brokers",
            mend="Give paper (the option --broker of the demo), or let the schedules run the present session",
        )


def _alpaca(settings: Settings, clock: Clock, *, alone: bool) -> OpenBroker:
    from trading_platform.brokers.alpaca import CAPABILITIES

    def make() -> OpenBroker:
        broker = _made_alpaca(settings, clock)
        try:
            _require_the_past(broker, settings, clock)
        except BaseException:
            broker.close()
            raise
        return broker

    try:
        return make()
    except TemporaryError as error:
        if alone:
            raise
        known = replace(CAPABILITIES, settle=seconds(settings.alpaca.settle_seconds))
        return DeferredBroker("alpaca", known, make, clock, error)


def _made_alpaca(settings: Settings, clock: Clock) -> "AlpacaBroker":
    from trading_platform.brokers.alpaca import AlpacaBroker

    account = settings.alpaca
    assert account.key is not None
    assert account.secret is not None
    return AlpacaBroker(
        key=account.key,
        secret=account.secret,
        clock=clock,
        paper=not settings.live,
        base_url=account.base_url,
        read_timeout=seconds(account.read_timeout_seconds),
        in_flight=seconds(account.settle_seconds),
    )


def _require_the_past(broker: "AlpacaBroker", settings: Settings, clock: Clock) -> None:
    """Raise `InvalidInput` where a stand-in was meant and the present answers, as through a tunnel to Alpaca itself."""
    if not isinstance(clock, SimulatedClock):
        return
    told = broker.market_clock().now
    if abs(told - SystemClock().now()) < _PRESENT:
        raise InvalidInput(
            f"what answers at {settings.alpaca.base_url} says that it is {told.isoformat(timespec='seconds')}, the "
            "present: orders of past sessions cannot go there",
            where="alpaca.base_url",
            mend="Give the clock system, or the broker paper",
        )


def _ibkr(settings: Settings, clock: Clock) -> "IbkrBroker":
    from trading_platform.brokers.ibkr import IbkrBroker
    from trading_platform.brokers.ibkr_address import Patience
    from trading_platform.brokers.ibkr_quiet import Restarts

    account = settings.ibkr
    assert account.account is not None
    gateway = _GATEWAY_LIVE if settings.live else _GATEWAY_PAPER
    return IbkrBroker(
        host=account.host,
        port=account.port or gateway,
        client_id=account.client_id,
        account=account.account,
        paper=not settings.live,
        clock=clock,
        patience=Patience(connect=seconds(account.connect_seconds), answer=seconds(account.read_timeout_seconds)),
        restarts=Restarts(
            nightly=account.nightly_restart,
            zone=ZoneInfo(account.time_zone),
            weekly=account.weekly_login,
            before=timedelta(minutes=account.quiet_before_minutes),
            after=timedelta(minutes=account.quiet_after_restart_minutes),
            after_weekly=timedelta(minutes=account.quiet_after_login_minutes),
        ),
        settle=seconds(account.settle_seconds),
        commission_patience=seconds(account.commission_seconds),
        time_zone=account.time_zone,
    )


def _paper_exchange(settings: Settings, calendar: ExchangeCalendar, provider: Provider, clock: Clock) -> PaperExchange:
    def bars(symbol: str, day: date, until: datetime) -> npt.NDArray[Any]:
        session = calendar.session(day)
        try:
            received = provider.minute_bars(symbol, day, until)
        except InvalidInput:
            # A file that is spoilt in mid-session fills nothing of its own symbol; the others trade on.
            return np.zeros(0, bar_t)
        return judge(symbol, received, session)[0]

    execution = settings.execution
    path = paper_book(settings)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(
            f"the folder cannot be made: {error.strerror}",
            where=str(path.parent),
            mend="Name another data folder with TRADING_PLATFORM_DATA",
        ) from error
    return PaperExchange(
        path,
        clock=clock,
        bars=bars,
        session_of=calendar.session,
        fees=fee_schedule(execution.fees),
        opening_cash=settings.account.size,
        account=settings.account.book,
        slippage=execution.slippage_bps,
        volume_share=int(execution.volume_share_pct * _BASIS_POINTS_PER_PERCENT),
    )
