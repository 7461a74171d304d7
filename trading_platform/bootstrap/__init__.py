"""The one place that turns settings into objects, and that names concrete adapters."""

import hashlib
import json
import os
from collections.abc import Callable, Collection
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from math import ceil
from pathlib import Path
from typing import Any, Final

from trading_platform.bootstrap.venues import lacking, open_brokers, paper_book, seconds
from trading_platform.brokers.broker import Broker
from trading_platform.brokers.deferred import OpenBroker
from trading_platform.calendars.exchange import ExchangeCalendar, calendar_of
from trading_platform.config.settings import MarketData, Settings
from trading_platform.domain.clock import Clock, SimulatedClock
from trading_platform.domain.errors import DatabaseUnavailable, InvalidInput, NotOwner
from trading_platform.domain.ids import is_symbol
from trading_platform.engine.preflight import unconfigured
from trading_platform.engine.session import BookSession, PresentSession, SimulatedSession
from trading_platform.engine.stages import Stages
from trading_platform.engine.values import Parts, no_skew
from trading_platform.ledger.addresses import sqlalchemy_url
from trading_platform.ledger.connection import open_engine
from trading_platform.ledger.embedded import DatabaseUrls, database_urls
from trading_platform.ledger.ledger import Ledger
from trading_platform.ledger.migrate import upgrade
from trading_platform.ledger.ownership import LeaseTimes
from trading_platform.marketdata.provider import Market, Provider
from trading_platform.marketdata.providers.csv_files import CsvFiles
from trading_platform.marketdata.providers.lean_files import LeanFiles
from trading_platform.marketdata.providers.parquet_files import ParquetFiles
from trading_platform.marketdata.providers.simulated import SimulatedMarket
from trading_platform.marketdata.store import BarStore, store_name
from trading_platform.orders.routing import Routes
from trading_platform.strategies.registry import Loaded, load_all

__all__ = [
    "Platform",
    "build",
    "check",
    "databases",
    "market_of",
    "open_ledger",
    "paper_book",
    "release",
    "session_configuration",
]

_SIMULATED_SYMBOLS: Final = 8
_FILES: Final[dict[str, Callable[[Path], LeanFiles | CsvFiles | ParquetFiles]]] = {
    "lean": LeanFiles,
    "csv": CsvFiles,
    "parquet": ParquetFiles,
}
_PROVIDERS: Final = ("simulated", *_FILES)
_MEND_DATA: Final = "Give lean:<folder>, csv:<folder> or parquet:<folder>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """Everything, built once."""

    settings: Settings
    clock: Clock
    calendar: ExchangeCalendar
    provider: Provider
    brokers: tuple[OpenBroker, ...]
    ledger: Ledger
    stages: Stages
    symbols: tuple[str, ...]

    @property
    def broker(self) -> Broker:
        """The primary."""
        return self.brokers[0]

    @property
    def trades_at(self) -> str:
        """The primary's name; what stands in for Alpaca on this machine is told apart from it."""
        stands_in = self.broker.name == "alpaca" and self.settings.alpaca.is_stand_in
        return "alpaca-local" if stands_in else self.broker.name

    def session(self, day: date) -> BookSession:
        """The session of `day` on this platform's clock. Raises `InvalidInput` if `day` is none."""
        if isinstance(self.clock, SimulatedClock):
            return self.simulated_session(day)
        return PresentSession(self.stages, day, session_configuration(self.settings))

    def simulated_session(self, day: date) -> SimulatedSession:
        """The same where the clock must be a simulated one. Raises `InvalidInput` if `day` is none, or it is not."""
        if not isinstance(self.clock, SimulatedClock):
            raise InvalidInput(
                "a session of the past needs a simulated clock",
                where="clock",
                mend="Set clock to simulated (the profile dev), or let the schedules run the present session",
            )
        return SimulatedSession(self.stages, self.clock, day, session_configuration(self.settings))

    @property
    def bar_store(self) -> BarStore:
        """Where the bars of closed sessions are kept: a folder for each market, for bars of two are never mixed.

        What a market is depends on its settings: which folder, and for the simulation which symbols and which calendar.
        """
        market, hours = self.settings.market_data, self.settings.market_hours
        simulated = market.provider == "simulated"
        parts = self.symbols if simulated else (str(market.folder.resolve() if market.folder else ""),)
        told = json.dumps([*parts, market.seed if simulated else 0, hours.model_dump(mode="json")])
        name = f"{store_name(self.provider.source)}-{hashlib.sha256(told.encode()).hexdigest()[:8]}"
        return BarStore(self.settings.data_folder / "bars" / name)

    def close(self) -> None:
        """Give back the shards and what is held open, whatever becomes of each."""
        with ExitStack() as open_parts:
            open_parts.callback(self.ledger.engine.dispose)
            for broker in self.brokers:
                open_parts.callback(broker.close)
            # What ends the platform may be that very fault, and says more. A lease ends by itself.
            with suppress(DatabaseUnavailable, NotOwner):
                self.stages.release()


def databases(settings: Settings) -> DatabaseUrls:
    """Where the databases are; starts the local server if none is named. Raises `InvalidInput` if that fails."""
    named = settings.database_url
    return database_urls(settings.data_folder, named.reveal() if named is not None else None)


def open_ledger(settings: Settings) -> Ledger:
    """The ledger of the settings' book, migrated to this version's schema."""
    engine = open_engine(databases(settings).ledger)
    try:
        upgrade(engine)
        return Ledger(engine, book=settings.account.book)
    except BaseException:
        engine.dispose()
        raise


def build(settings: Settings, clock: Clock, *, strict: bool = True, entering: bool = True) -> Platform:
    """Build the platform that `settings` describe, on `clock`.

    Args:
        settings: The configuration.
        clock: What tells the time.
        strict: Whether one strategy that does not load or compile stops everything, as a person who starts it wants,
            and so a broker with orders or holdings of the book that is not configured any more. Otherwise they are
            named in every cycle's report, and the others trade: a market session that runs must not end because one
            file is broken.
        entering: Whether its cycles may enter anything.

    Raises:
        InvalidInput: A setting cannot be met: a folder, a symbol, a strategy's parameter, a broker's account; or no
            strategy loads.
        DatabaseUnavailable: The ledger does not answer.
        TemporaryError: The only broker does not answer.
    """
    absent = _absent(settings)
    if absent:
        raise InvalidInput("\n".join(absent))
    calendar = calendar_of(settings.market_hours)
    provider, symbols = _provider(settings.market_data, calendar)
    loaded = _strategies(settings, strict=strict)
    with ExitStack() as made:
        ledger = open_ledger(settings)
        made.callback(ledger.engine.dispose)
        brokers: list[OpenBroker] = []
        for broker in open_brokers(settings, calendar, provider, clock):
            made.callback(broker.close)
            brokers.append(broker)
        if strict:
            _require_configured(ledger, brokers)
        parts = Parts(
            ledger=ledger,
            routes=Routes(brokers=tuple(brokers)),
            provider=provider,
            calendar=calendar,
            clock=clock,
            strategies=loaded.strategies,
            symbols=symbols,
            limits=settings.limits,
            opening_cash=settings.account.size,
            owner=f"job/{settings.instance}",
            release=release(),
            lease=_lease_times(settings),
            call_deadline=seconds(settings.execution.call_deadline_seconds),
            clock_skew_ms=no_skew if isinstance(clock, SimulatedClock) else partial(_clock_skew_ms, ledger, clock),
            cash_tolerance=settings.brokers.cash_tolerance,
            unloaded=tuple(str(failure) for failure in loaded.failures),
            entering=entering,
        )
        platform = Platform(
            settings=settings,
            clock=clock,
            calendar=calendar,
            provider=provider,
            brokers=tuple(brokers),
            ledger=ledger,
            stages=Stages(parts),
            symbols=symbols,
        )
        # It stands, and is closed by whoever asked for it.
        made.pop_all()
    return platform


def check(settings: Settings, doubtful: Collection[str] = ()) -> tuple[str, ...]:
    """What the settings ask for and cannot have, each in a sentence. Nothing is started and nothing written.

    Args:
        settings: What is asked for.
        doubtful: Groups of which not everything is known: whether the market can be had is not looked at then.
    """
    absent = _absent(settings)
    found = [*absent, *(str(failure) for failure in load_all(settings.active_strategies).failures)]
    if not settings.active_strategies:
        found.append("active_strategies: no strategy is active. Name at least one.")

    def look(part: Callable[[], object], where: str = "") -> None:
        try:
            part()
        except InvalidInput as error:
            found.append(f"{where}: {error}" if where else str(error))

    day, address = settings.market_data.session, settings.database_url
    calendar = _calendar_if_any(settings, doubtful)
    if calendar is not None:
        if settings.market_data.provider in _PROVIDERS and "market_data" not in doubtful:
            look(lambda: _provider(settings.market_data, calendar))
        if day is not None:
            look(lambda: calendar.session(day), "market_data.session")
    if address is not None:
        look(lambda: sqlalchemy_url(address.reveal(), where="DATABASE_URL"))
    look(lambda: _require_writable(settings.data_folder), "data_folder")
    return tuple(found)


def _calendar_if_any(settings: Settings, doubtful: Collection[str]) -> ExchangeCalendar | None:
    """None for hours that cannot be: the configuration has told so itself."""
    if "market_hours" in doubtful:
        return None
    with suppress(InvalidInput):
        return calendar_of(settings.market_hours)
    return None


def _absent(settings: Settings) -> tuple[str, ...]:
    """A sentence for each adapter that is named and that this version does not have, or that lacks what it needs."""
    data = settings.market_data
    said = list(lacking(settings))
    if data.provider not in _PROVIDERS:
        said.append(
            f"market_data.provider: this version has no provider {data.provider}. Give one of {', '.join(_PROVIDERS)}."
        )
    if data.backup_provider is not None:
        said.append("market_data.backup_provider: this version does not fail over to another provider. Give none.")
    return tuple(said)


def _require_writable(folder: Path) -> None:
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise InvalidInput(
            f"it cannot be made or written: {there} is {'not to be written' if there.is_dir() else 'no folder'}",
            where=str(folder),
            mend="Name another data folder with TRADING_PLATFORM_DATA",
        )


def _strategies(settings: Settings, *, strict: bool) -> Loaded:
    """The active strategies. Raises `InvalidInput` if none loads, and where it is `strict` if one does not."""
    if not settings.active_strategies:
        raise InvalidInput("no strategy is active", where="active_strategies", mend="Name at least one")
    loaded = load_all(settings.active_strategies)
    if loaded.failures and (strict or len(loaded.failures) == len(loaded.strategies)):
        raise loaded.failures[0].error
    if strict:
        from trading_platform.strategies.set_aside import make_ready

        for strategy in loaded.strategies:
            make_ready(strategy)
    return loaded


def session_configuration(settings: Settings) -> dict[str, Any]:
    """What a session's decisions depend on, as plain JSON values: it stays the same while the session runs."""
    kept = {"account", "limits", "execution", "market_data", "market_hours", "active_strategies"}
    return settings.model_dump(mode="json", include=kept, exclude={"market_data": {"session"}})


def release() -> str:
    """The version that is running."""
    try:
        return version("trading-platform")
    except PackageNotFoundError:
        return "unreleased"


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
    provider = market_of(wanted, calendar)
    if isinstance(provider, SimulatedMarket):
        return provider, wanted.symbols or tuple(provider.symbols)
    if not wanted.symbols:
        raise InvalidInput("no symbols are named", where="symbols", mend="Give them as SPY,IBM")
    return provider, wanted.symbols


def market_of(wanted: MarketData, calendar: ExchangeCalendar) -> Market:
    """The provider that is wanted. Raises `InvalidInput` if none is named, or its folder is not what it should be."""
    if wanted.provider == "simulated":
        market = SimulatedMarket(wanted.seed, calendar, _SIMULATED_SYMBOLS)
        if set(wanted.symbols) <= set(market.symbols):
            return market
        # Names of the user's own make a market of their own.
        return SimulatedMarket(wanted.seed, calendar, wanted.symbols)
    files = _FILES.get(wanted.provider)
    if files is None:
        raise InvalidInput(f"this version has no provider {wanted.provider}", where="data", mend=_MEND_DATA)
    if wanted.folder is None:
        raise InvalidInput("no data folder is named", where="data", mend=_MEND_DATA)
    return files(wanted.folder)


def _require_configured(ledger: Ledger, brokers: Collection[Broker]) -> None:
    """Raise `InvalidInput` if the book has orders or holdings at a broker that is not among these."""
    left = unconfigured(ledger, [one.name for one in brokers])
    if left:
        raise InvalidInput("\n".join(left), where="brokers")


def _lease_times(settings: Settings) -> LeaseTimes:
    times = settings.ownership
    return LeaseTimes(
        lease=seconds(times.lease),
        renewal=seconds(times.renewal),
        margin=seconds(times.margin),
        quarantine=seconds(times.quarantine),
    )


def _clock_skew_ms(ledger: Ledger, clock: Clock) -> int:
    """How far the database's clock is from `clock`; any part of a millisecond counts for a whole one."""
    return ceil(abs(ledger.clock_skew(clock.now())) / timedelta(milliseconds=1))
