"""The one place that turns settings into objects, and that names concrete adapters."""

from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import numpy.typing as npt

from trading_platform.brokers.broker import Broker
from trading_platform.brokers.fees import fee_schedule
from trading_platform.brokers.paper import PaperExchange
from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.config.settings import MarketData, Settings
from trading_platform.domain.clock import Clock, SimulatedClock
from trading_platform.domain.errors import DatabaseUnavailable, InvalidInput, NotOwner
from trading_platform.domain.ids import is_symbol
from trading_platform.engine.cycle import SimulatedSession
from trading_platform.engine.stages import Stages
from trading_platform.engine.values import Parts
from trading_platform.ledger.connection import open_engine
from trading_platform.ledger.embedded import DatabaseUrls, database_urls
from trading_platform.ledger.ledger import Ledger
from trading_platform.ledger.migrate import upgrade
from trading_platform.ledger.ownership import LeaseTimes
from trading_platform.marketdata.provider import Provider
from trading_platform.marketdata.providers.files import LeanFiles
from trading_platform.marketdata.providers.simulated import SimulatedMarket
from trading_platform.marketdata.quality import judge
from trading_platform.strategies.registry import load as load_strategy

_BASIS_POINTS_PER_PERCENT: Final = 100
_SIMULATED_SYMBOLS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """Everything, built once."""

    settings: Settings
    clock: Clock
    calendar: ExchangeCalendar
    provider: Provider
    broker: Broker
    ledger: Ledger
    stages: Stages
    symbols: tuple[str, ...]

    def simulated_session(self, day: date) -> SimulatedSession:
        """A session on this platform's clock. Raises `InvalidInput` if `day` is none, or the clock is a real one."""
        if not isinstance(self.clock, SimulatedClock):
            raise InvalidInput("a session is simulated on a simulated clock only")
        return SimulatedSession(self.stages, self.clock, day, session_configuration(self.settings))

    def close(self) -> None:
        """Give back the shards and what is held open, whatever becomes of each."""
        with ExitStack() as open_parts:
            open_parts.callback(self.ledger.engine.dispose)
            if isinstance(self.broker, PaperExchange):
                open_parts.callback(self.broker.close)
            # What ends the platform may be that very fault, and says more. A lease ends by itself.
            with suppress(DatabaseUnavailable, NotOwner):
                self.stages.release()


def databases(settings: Settings) -> DatabaseUrls:
    """Where the databases are; starts the local server if none is named. Raises `InvalidInput` if that fails."""
    named = settings.database_url
    return database_urls(settings.data_folder, named.get_secret_value() if named is not None else None)


def open_ledger(settings: Settings) -> Ledger:
    """The ledger of the settings' book, migrated to this version's schema."""
    engine = open_engine(databases(settings).ledger)
    try:
        upgrade(engine)
        return Ledger(engine, book=settings.account.book)
    except BaseException:
        engine.dispose()
        raise


def build(settings: Settings, clock: Clock) -> Platform:
    """Build the platform that `settings` describe, on `clock`.

    Raises:
        InvalidInput: A setting cannot be met: a folder, a symbol, a strategy's parameter.
        DatabaseUnavailable: The ledger does not answer.
    """
    calendar = ExchangeCalendar()
    provider, symbols = _provider(settings.market_data, calendar)
    strategies = tuple(load_strategy(one.name, one.profile, one.parameters) for one in settings.active_strategies)
    if not strategies:
        raise InvalidInput("no strategy is active", where="active_strategies", mend="Name at least one")
    with ExitStack() as made:
        ledger = open_ledger(settings)
        made.callback(ledger.engine.dispose)
        broker = _paper_exchange(settings, calendar, provider, clock)
        made.callback(broker.close)
        parts = Parts(
            ledger=ledger,
            broker=broker,
            provider=provider,
            calendar=calendar,
            clock=clock,
            strategies=strategies,
            symbols=symbols,
            limits=settings.limits,
            opening_cash=settings.account.size,
            owner=f"job/{settings.instance}",
            release=release(),
            lease=_lease_times(settings),
            call_deadline=_seconds(settings.execution.call_deadline_seconds),
        )
        platform = Platform(
            settings=settings,
            clock=clock,
            calendar=calendar,
            provider=provider,
            broker=broker,
            ledger=ledger,
            stages=Stages(parts),
            symbols=symbols,
        )
        # It stands, and is closed by whoever asked for it.
        made.pop_all()
    return platform


def session_configuration(settings: Settings) -> dict[str, Any]:
    """What a session's decisions depend on, as plain JSON values: it stays the same while the session runs."""
    kept = {"account", "limits", "execution", "market_data", "active_strategies"}
    return settings.model_dump(mode="json", include=kept, exclude={"market_data": {"session"}})


def release() -> str:
    """The version that is running."""
    try:
        return version("trading-platform")
    except PackageNotFoundError:
        return "unreleased"


def paper_book(settings: Settings) -> Path:
    """The file that holds the paper exchange's own book."""
    return settings.data_folder / "paper" / f"{settings.account.book}.sqlite"


def _provider(wanted: MarketData, calendar: ExchangeCalendar) -> tuple[Provider, tuple[str, ...]]:
    """The provider, and the symbols to trade, in the order given."""
    wrong = [symbol for symbol in wanted.symbols if not is_symbol(symbol)]
    if wrong:
        raise InvalidInput(
            f"{', '.join(wrong)} cannot be a symbol", where="symbols", mend="Give them in capitals, as SPY,IBM"
        )
    twice = sorted({symbol for symbol in wanted.symbols if wanted.symbols.count(symbol) > 1})
    if twice:
        raise InvalidInput(f"{', '.join(twice)} is named twice", where="symbols", mend="Name each symbol once")
    if wanted.provider == "simulated":
        market = SimulatedMarket(wanted.seed, calendar, _SIMULATED_SYMBOLS)
        if not set(wanted.symbols) <= set(market.symbols):
            # Names of the user's own make a market of their own.
            market = SimulatedMarket(wanted.seed, calendar, wanted.symbols)
        return market, wanted.symbols or tuple(market.symbols)
    if wanted.folder is None:
        raise InvalidInput("no data folder is named", where="data", mend="Give lean:<folder>")
    files = LeanFiles(wanted.folder)
    if not wanted.symbols:
        raise InvalidInput("no symbols are named", where="symbols", mend="Give them as SPY,IBM")
    return files, wanted.symbols


def _paper_exchange(settings: Settings, calendar: ExchangeCalendar, provider: Provider, clock: Clock) -> PaperExchange:
    def bars(symbol: str, day: date, until: datetime) -> npt.NDArray[Any]:
        return judge(symbol, provider.minute_bars(symbol, day, until), calendar.session(day))[0]

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


def _lease_times(settings: Settings) -> LeaseTimes:
    times = settings.ownership
    return LeaseTimes(
        lease=_seconds(times.lease),
        renewal=_seconds(times.renewal),
        margin=_seconds(times.margin),
        quarantine=_seconds(times.quarantine),
    )


def _seconds(seconds: Decimal) -> timedelta:
    return timedelta(seconds=float(seconds))
