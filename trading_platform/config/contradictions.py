"""Settings of which each may stand, but not together: both sides are named, with where they stand.

Belongs here: what is wrong with the tree as a whole. A bound of one field belongs to the field.
"""

from collections.abc import Callable, Iterator
from datetime import date, datetime, time
from itertools import pairwise
from typing import Final
from urllib.parse import urlsplit

from trading_platform.config.knobs import unit_of, value_of
from trading_platform.config.settings import Settings
from trading_platform.config.texts import shown
from trading_platform.domain.ids import is_symbol

LONGEST_SESSION: Final = 390
"""Minutes in the longest regular session that can be traded."""
_OF_FILES: Final = ("lean", "csv", "parquet")
_ALPACA_HOSTS: Final = {True: "api.alpaca.markets", False: "paper-api.alpaca.markets"}
"""Alpaca's own hosts, by whether their accounts hold real money."""
_XNYS_HOURS: Final = {"market_hours.open": time(9, 30), "market_hours.close": time(16, 0)}

Found = tuple[tuple[str, ...], str]


class Contradictions:
    """Looks at a whole tree.

    Args:
        settings: What every field by itself allows.
        source: Where the value at a path stands, in words.
        set_by_hand: Whether a person has set the value at a path, rather than a default or a profile.
    """

    def __init__(self, settings: Settings, source: Callable[[str], str], set_by_hand: Callable[[str], bool]) -> None:
        self._settings, self._source, self._set_by_hand = settings, source, set_by_hand

    def found(self) -> Iterator[Found]:
        """Each contradiction: the paths that take part, and a sentence."""
        yield from self._ownership()
        yield from self._money()
        yield from self._made_up_market()
        yield from self._accounts()
        yield from self._backups()
        yield from self._market_hours()
        yield from self._folder()
        yield from self._losses()
        yield from self._names()

    def _side(self, path: str) -> str:
        """A path with its value, unit and source."""
        unit = unit_of(path)
        value = shown(value_of(self._settings, path))
        return f"{path} ({value}{f' {unit}' if unit else ''}; {self._source(path)})"

    def _said(self, sentence: str, *paths: str) -> Found:
        """A contradiction whose sentence has {} where each path stands."""
        return paths, sentence.format(*map(self._side, paths))

    def _ownership(self) -> Iterator[Found]:
        times = self._settings.ownership
        if times.lease <= times.renewal + times.margin:
            yield self._said(
                "{} must be longer than {} and {} together: else the lease ends before it is renewed",
                "ownership.lease",
                "ownership.renewal",
                "ownership.margin",
            )
        # A call begins with at least the margin left of the lease. Were it still under way when a stranger may take
        # the shards, the stranger could not see its order at the broker and would send it again.
        if times.margin + times.quarantine <= self._settings.execution.call_deadline_seconds:
            yield self._said(
                "{} and {} together must be longer than {}: else another owner could take over and send an order again "
                "while the call is under way",
                "ownership.margin",
                "ownership.quarantine",
                "execution.call_deadline_seconds",
            )

    def _money(self) -> Iterator[Found]:
        """Paper and real money are told apart (rule 27)."""
        settings = self._settings
        if settings.live and settings.environment != "prod":
            yield self._said("{} is for production only, and does not go with {}", "live", "environment")
        for path, broker in (
            ("brokers.primary", settings.brokers.primary),
            ("brokers.backup", settings.brokers.backup),
        ):
            if settings.live and broker == "paper":
                yield self._said("{} is real money, and does not go with {}", "live", path)
            if settings.clock == "simulated" and not self._takes_the_past(broker):
                yield self._said(
                    "{} trades sessions of the past, whose orders cannot go to {}: give paper, or the clock system",
                    "clock",
                    path,
                )
        if settings.live and settings.market_data.provider == "simulated":
            yield self._said(
                "{} is real money, and does not go with {}, a market that is made up", "live", "market_data.provider"
            )

    def _made_up_market(self) -> Iterator[Found]:
        """Symbols and prices that are made up must not become orders in an account at a broker, on paper either.

        What stands in for Alpaca on this machine is no such account. Of TWS its address says nothing.
        """
        settings = self._settings
        if settings.live or settings.market_data.provider != "simulated":
            return
        named = (("brokers.primary", settings.brokers.primary), ("brokers.backup", settings.brokers.backup))
        real = [path for path, broker in named if not self._takes_the_past(broker)]
        if real:
            yield self._said(
                f"{{}} is a market that is made up, and does not go with {' and '.join('{}' for _ in real)}: give a "
                "provider of real bars, as csv, or the broker paper",
                "market_data.provider",
                *real,
            )

    def _takes_the_past(self, broker: str | None) -> bool:
        """Whether orders of past sessions may go to a broker. What stands in for Alpaca has a clock of its own.

        TWS runs on the trader's own machine as a rule, so that its address says nothing.
        """
        if broker == "alpaca":
            return self._settings.alpaca.is_stand_in and not self._settings.live
        return broker in {None, "paper"}

    def _accounts(self) -> Iterator[Found]:
        """What is written of an account, against the flag `live`. The broker's own answer is asked for at the start."""
        settings = self._settings
        named = {settings.brokers.primary, settings.brokers.backup}
        account = settings.ibkr.account
        # The accounts of the paper system begin with a D.
        if "ibkr" in named and account is not None and account.startswith("D") == settings.live:
            yield self._other_account("ibkr.account", "a paper account", "an account with real money")
        if "alpaca" in named:
            for path, address in (
                ("alpaca.base_url", settings.alpaca.base_url),
                ("alpaca.stream_url", settings.alpaca.stream_url),
            ):
                if address is not None and urlsplit(address).hostname == _ALPACA_HOSTS[not settings.live]:
                    yield self._other_account(path, "Alpaca's paper trading", "Alpaca's trading with real money")

    def _other_account(self, path: str, paper: str, real: str) -> Found:
        means, other = ("is real money", paper) if self._settings.live else ("is paper trading", real)
        return self._said(f"{{}} {means}, and does not go with {{}}, {other}", "live", path)

    def _backups(self) -> Iterator[Found]:
        settings = self._settings
        if settings.brokers.backup == settings.brokers.primary:
            yield self._said("{} is the same as {}: a backup is another one", "brokers.backup", "brokers.primary")
        if settings.market_data.backup_provider == settings.market_data.provider:
            yield self._said(
                "{} is the same as {}: a backup is another one", "market_data.backup_provider", "market_data.provider"
            )

    def _market_hours(self) -> Iterator[Found]:
        hours = self._settings.market_hours
        if hours.calendar == "XNYS":
            for path, own in _XNYS_HOURS.items():
                if getattr(hours, path.partition(".")[2]) != own:
                    yield self._said(
                        f"{{}} is not the exchange's {own:%H:%M}, which {{}} keeps: leave it out, or give the calendar "
                        "every_day",
                        path,
                        "market_hours.calendar",
                    )
        order = ("premarket", "open", "close", "after_hours")
        for first, then in pairwise(order):
            before, after = getattr(hours, first), getattr(hours, then)
            if before > after or (first == "open" and before == after):
                yield self._said("{} does not come before {}", f"market_hours.{first}", f"market_hours.{then}")
        length = datetime.combine(date.min, hours.close) - datetime.combine(date.min, hours.open)
        if length.total_seconds() > LONGEST_SESSION * 60:
            yield self._said(
                f"from {{}} to {{}} is longer than the {LONGEST_SESSION} minutes that a session may last",
                "market_hours.open",
                "market_hours.close",
            )

    def _folder(self) -> Iterator[Found]:
        data = self._settings.market_data
        wanting = [
            f"market_data.{name}" for name in ("provider", "backup_provider") if getattr(data, name) in _OF_FILES
        ]
        if data.folder is None:
            for path in wanting:
                yield self._said("{} reads files, and {} names no folder", path, "market_data.folder")
        elif not wanting:
            yield self._said(
                "{} is not read by {}: leave it out, or give lean, csv or parquet",
                "market_data.folder",
                "market_data.provider",
            )

    def _losses(self) -> Iterator[Found]:
        limits = self._settings.limits
        by_hand = self._set_by_hand("limits.max_strategy_daily_loss_pct")
        # A default over a tight limit of the account is only never reached; somebody who writes it wants it to be.
        if by_hand and limits.max_strategy_daily_loss_pct > limits.max_daily_loss_pct:
            yield self._said(
                "{} is over {}: the account would stop before the strategy does",
                "limits.max_strategy_daily_loss_pct",
                "limits.max_daily_loss_pct",
            )

    def _names(self) -> Iterator[Found]:
        names = [one.name for one in self._settings.active_strategies]
        # The ids of its intents are made of its name: two of one name would make the same ones.
        for name in sorted({name for name in names if names.count(name) > 1}):
            said = f"active_strategies: {name} is named twice ({self._source('active_strategies')}); name it once"
            yield ("active_strategies",), said
        # What is misspelt would not be restricted.
        wrong = [symbol for symbol in self._settings.limits.restricted_symbols if not is_symbol(symbol)]
        if wrong:
            path = "limits.restricted_symbols"
            told = f"{', '.join(map(repr, wrong))} cannot be a symbol ({self._source(path)})"
            yield (path,), f"{path}: {told}: write it in capitals, as SPY"
