"""Every knob of the platform, as one frozen tree with units, defaults and bounds.

What belongs here: values that a person may set, each with a docstring that says its unit and effect. What stays out:
where they come from (`load`), how they are written (`texts`), which of them contradict each other
(`contradictions`), and parameters of a strategy (they are declared by the strategy).
"""

from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from trading_platform.config.secrets import Secret
from trading_platform.config.texts import meaning

_THIS_MACHINE: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class Group(BaseModel):
    """Fields that belong together. Bad values are told by their field, never by what was given."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @field_validator("*", mode="before")
    @classmethod
    def _as_written(cls, value: Any, info: ValidationInfo) -> Any:
        assert info.field_name is not None
        return meaning(value, cls.model_fields[info.field_name].annotation)


class Account(Group):
    """The account that is traded."""

    book: str = Field(default="paper", pattern=r"^[a-z0-9][a-z0-9_.\-]{0,39}$")
    """The platform's own name for the account; a fail-over to another broker does not change it."""
    size: Decimal = Field(default=Decimal(100_000), gt=0, le=Decimal(10**9), decimal_places=4)
    """Opening cash, dollars."""


class Limits(Group):
    """Risk limits. Percentages are percent, not fractions, in whole basis points."""

    max_positions: int = Field(default=5, ge=1, le=1_000)
    """Open positions and working entries together (rule 30)."""
    max_position_size_pct: Decimal = Field(default=Decimal(20), gt=0, le=100, decimal_places=2)
    """Largest position in one symbol, percent of equity, open orders counted (rule 5)."""
    max_daily_loss_pct: Decimal = Field(default=Decimal(5), gt=0, le=100, decimal_places=2)
    """Loss of the account since the open after which it only reduces, percent (rule 8)."""
    max_strategy_daily_loss_pct: Decimal = Field(default=Decimal(1), gt=0, le=100, decimal_places=2)
    """Loss of one strategy since the open after which it enters no more, percent of the account's equity (rule 8)."""
    max_drawdown_pct: Decimal = Field(default=Decimal(5), gt=0, le=100, decimal_places=2)
    """Fall from the highest equity after which the account only reduces, percent (rule 8)."""
    max_order_shares: int = Field(default=5_000, ge=1, le=1_000_000)
    """Largest order, shares (rule 3)."""
    max_order_notional: Decimal = Field(default=Decimal(50_000), gt=0, le=Decimal(10**8), decimal_places=4)
    """Largest order, dollars (rule 3)."""
    buying_power_pct: Decimal = Field(default=Decimal(95), gt=0, le=100, decimal_places=2)
    """Share of the available cash that may be used, percent; the rest is for slippage and fees (rule 7)."""
    reference_age_seconds: int = Field(default=90, ge=60, le=3_600)
    """Oldest bar that an entry may refer to, seconds since its end (rule 2)."""
    closing_minutes: int = Field(default=15, ge=1, le=120)
    """No entries in the last minutes of a session (rule 16)."""
    lot: int = Field(default=1, ge=1, le=1_000)
    """Shares in a lot; quantities are whole lots (rule 17)."""
    price_collar_pct: Decimal = Field(default=Decimal(5), gt=0, le=100, decimal_places=2)
    """How far a limit may lie from the last price, on either side, at $25 and above, percent (rule 1)."""
    price_collar_mid_pct: Decimal = Field(default=Decimal(10), gt=0, le=100, decimal_places=2)
    """The same from $3 to under $25, percent (rule 1)."""
    price_collar_low_pct: Decimal = Field(default=Decimal(20), gt=0, le=100, decimal_places=2)
    """The same under $3, percent (rule 1)."""
    max_adv_share_pct: Decimal = Field(default=Decimal(1), gt=0, le=100, decimal_places=2)
    """Largest order against the average daily volume, percent; where that is not known, nothing is entered (rule 4)."""
    max_minute_volume_pct: Decimal = Field(default=Decimal(10), gt=0, le=10_000, decimal_places=2)
    """Largest order against the volume of the decided minute, percent (rule 4)."""
    max_gross_exposure_pct: Decimal = Field(default=Decimal(100), gt=0, le=1_000, decimal_places=2)
    """Holdings and working entries together, percent of equity (rule 6)."""
    max_net_exposure_pct: Decimal = Field(default=Decimal(100), gt=0, le=1_000, decimal_places=2)
    """Long less short, percent of equity (rule 6)."""
    max_leverage: Decimal = Field(default=Decimal(1), gt=0, le=10, decimal_places=2)
    """Holdings and working entries, whatever their side, over equity (rule 6)."""
    max_orders_per_second: int = Field(default=5, ge=1, le=1_000)
    """Orders within a second, exits and cancels counted; over it an entry waits for a later signal (rule 9)."""
    max_orders_per_minute: int = Field(default=60, ge=1, le=10_000)
    """Orders within 60 seconds, counted alike (rule 9)."""
    max_orders_per_day: int = Field(default=500, ge=1, le=100_000)
    """Orders of the account in one session; over it the account only reduces (rule 9)."""
    max_strategy_orders_per_day: int = Field(default=500, ge=1, le=100_000)
    """Orders of one strategy in one session; over it the strategy enters no more (rule 9)."""
    duplicate_window_seconds: int = Field(default=5, ge=1, le=3_600)
    """Within it a second entry of the same symbol, side, quantity and price is refused (rule 11)."""
    max_entries_per_day: int = Field(default=10, ge=1, le=1_000)
    """Entries of one strategy in one symbol and session; then a person must enable it again (rule 12)."""
    restricted_symbols: tuple[str, ...] = ()
    """What must not be entered (rule 15)."""
    max_open_orders: int = Field(default=50, ge=1, le=10_000)
    """Open orders of the account, attached stops and targets counted (rule 19)."""
    max_open_orders_per_side: int = Field(default=20, ge=1, le=1_000)
    """Open orders of one symbol and side (rule 19)."""
    max_order_age_minutes: int = Field(default=60, ge=1, le=390)
    """An entry that has worked for so long is cancelled (rule 19)."""
    max_clock_skew_ms: int = Field(default=500, ge=1, le=60_000)
    """How far this machine's clock may be from the database's for an entry, milliseconds (rule 28)."""


class Execution(Group):
    """The paper exchange's model of a venue."""

    fees: Literal["ibkr_fixed", "alpaca"] = "ibkr_fixed"
    """Fee schedule."""
    slippage_bps: int = Field(default=1, ge=0, le=500)
    """Adverse slippage of market and stop fills, basis points."""
    volume_share_pct: Decimal = Field(default=Decimal(10), gt=0, le=100, decimal_places=2)
    """Share of a bar's volume that all our fills in it may take, percent."""
    call_deadline_seconds: Decimal = Field(default=Decimal(4), gt=0, le=60)
    """How long one call to a broker may take."""


class Ownership(Group):
    """Times of the lease on the shards, seconds."""

    lease: Decimal = Field(default=Decimal(15), gt=0, le=3_600)
    """From a taking or a renewal to the lease's end."""
    renewal: Decimal = Field(default=Decimal(3), gt=0, le=600)
    """Between two renewals."""
    margin: Decimal = Field(default=Decimal(3), ge=0, le=600)
    """What must be left of the lease when an intent is appended."""
    quarantine: Decimal = Field(default=Decimal(6), ge=0, le=3_600)
    """What a stranger waits after the lease's end."""


class MarketData(Group):
    """Where bars come from."""

    provider: Literal["simulated", "lean", "csv", "parquet", "polygon", "yahoo"] = "simulated"
    """The primary source."""
    backup_provider: Literal["simulated", "lean", "csv", "parquet", "polygon", "yahoo"] | None = None
    """The source when the primary fails."""
    folder: Path | None = None
    """The data folder of the providers `lean`, `csv` and `parquet`."""
    symbols: tuple[str, ...] = ()
    """What is traded; empty: everything that the simulated market lists."""
    seed: int = Field(default=7, ge=0)
    """The simulated market's seed."""
    session: date | None = None
    """The recorded or simulated session to trade; none: the latest one before today."""


class MarketHours(Group):
    """When the market is open, in exchange time (America/New_York)."""

    calendar: Literal["XNYS", "every_day"] = "XNYS"
    """XNYS: the exchange's sessions, with holidays and half days. every_day: each day of the week, for trying out."""
    open: time = time(9, 30)
    """The regular session's open. XNYS has its own."""
    close: time = time(16, 0)
    """The regular session's close, at most 390 minutes after the open. XNYS has its own, half days included."""
    premarket: time = time(4, 0)
    """From when bars count as pre-market."""
    after_hours: time = time(20, 0)
    """Until when bars count as after-hours."""


class Brokers(Group):
    """Where orders go."""

    primary: Literal["paper", "ibkr", "alpaca"] = "paper"
    """Where entries are sent."""
    backup: Literal["paper", "ibkr", "alpaca"] | None = None
    """Where entries go when the primary certainly did not take them."""
    cash_tolerance: Decimal = Field(default=Decimal(0), ge=0, le=1_000, decimal_places=2)
    """By how much a broker's cash may differ from the ledger's before entries stop, for fees that it books by day."""


class Alpaca(Group):
    """The account at Alpaca, where `brokers` names it. Whether it is a paper account is said by `live`."""

    key: Secret | None = None
    """The key's id. Paper and live accounts have keys of their own. A secret."""
    secret: Secret | None = None
    """The key's secret."""
    base_url: str | None = Field(
        default=None, pattern=r"^https?://[^\s/@?#]+(/[^\s@?#]*)?$", description="an address, as https://host:port"
    )
    """Another address of the trading API; none: Alpaca's own for paper or live, as `live` says."""
    stream_url: str | None = Field(
        default=None, pattern=r"^wss?://[^\s/@?#]+(/[^\s@?#]*)?$", description="an address, as wss://host:port/stream"
    )
    """Another address of the stream of trade updates; none: Alpaca's own."""
    read_timeout_seconds: Decimal = Field(default=Decimal(4), gt=0, le=60)
    """How long a question may take; what is sent has execution.call_deadline_seconds."""
    settle_seconds: Decimal = Field(default=Decimal(30), ge=0, le=600)
    """How long an order whose sending was not answered may still arrive: until then nobody calls it absent."""

    @field_validator("base_url", "stream_url")
    @classmethod
    def _an_address(cls, address: str | None) -> str | None:
        # The port and a host in brackets are looked at when they are asked for.
        if address is not None and (not urlsplit(address).hostname or urlsplit(address).port == 0):
            raise ValueError("no address")
        return address

    @property
    def is_stand_in(self) -> bool:
        """Whether its address is on this very machine, where Alpaca is not: what listens there stands in for it."""
        return self.base_url is not None and urlsplit(self.base_url).hostname in _THIS_MACHINE


class Ibkr(Group):
    """The account at Interactive Brokers, where `brokers` names it, behind a TWS or IB Gateway that is logged in."""

    host: str = Field(default="127.0.0.1", pattern=r"^[A-Za-z0-9.:\-]{1,253}$", description="a host's name or address")
    """Where TWS or the gateway runs."""
    port: int | None = Field(default=None, ge=1, le=65_535)
    """Its socket's port; none: the gateway's own, 4002 for paper and 4001 for live. TWS has 7497 and 7496."""
    client_id: int = Field(default=1, ge=1, le=999_999)
    """This platform's id at TWS: the same at every start, and nobody else's."""
    account: str | None = Field(
        default=None, pattern=r"^[A-Z]{1,3}[0-9]{3,12}$", description="an account's name as TWS shows it, as DU1234567"
    )
    """The account that is traded. The names of paper accounts begin with D."""
    connect_seconds: Decimal = Field(default=Decimal(8), gt=0, le=120)
    """How long a connection may take, with all that is pulled at its start."""
    read_timeout_seconds: Decimal = Field(default=Decimal(4), gt=0, le=60)
    """How long a question may take; what is sent has execution.call_deadline_seconds."""
    settle_seconds: Decimal = Field(default=Decimal(5), ge=0, le=600)
    """How long an order must be out of sight, on a connection that stands, before it counts as absent."""
    commission_seconds: Decimal = Field(default=Decimal(60), ge=0, le=3_600)
    """How long an execution is held back for its commission, which TWS tells by itself."""
    time_zone: str = Field(default="America/New_York", description="a time zone, as America/New_York")
    """The time zone of the machine that TWS runs on."""
    nightly_restart: time = time(23, 45)
    """When TWS restarts each night, in its own time zone: around it no new orders are sent."""
    weekly_login: time = time(1, 0)
    """From when TWS asks for a login by hand on Sundays, exchange time: around it no new orders are sent."""
    quiet_before_minutes: int = Field(default=5, ge=0, le=120)
    """How long before both no new orders are sent."""
    quiet_after_restart_minutes: int = Field(default=10, ge=0, le=240)
    """How long after the nightly restart no new orders are sent."""
    quiet_after_login_minutes: int = Field(default=60, ge=0, le=1_440)
    """How long after the weekly login is due no new orders are sent."""

    @field_validator("time_zone")
    @classmethod
    def _known(cls, name: str) -> str:
        # Whatever is wrong with the name: a folder of zones, or one that leads out of theirs, is none either.
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("no time zone") from None
        return name


class ActiveStrategy(Group):
    """One strategy that trades. The order of strategies is the order in which their entries are considered."""

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_.\-]{0,39}$")
    """As its STRATEGY is named."""
    file: Path | None = None
    """The Python file that holds it; none: one that comes with the platform or that a package offers by entry point."""
    profile: str | None = None
    """One of its profiles; none: the defaults."""
    parameters: dict[str, float | int] = Field(default_factory=dict)
    """Values over those of the profile, by name; of a part as exit_plan.attempts or sizing.risk_percent."""


class Settings(Group):
    """The whole configuration."""

    data_folder: Path = Path("var")
    """Where the local database, the paper exchange's book and reports live."""
    database_url: Secret | None = None
    """A PostgreSQL server to use instead of the local one, postgresql://user:password@host:port/ledger. A secret."""
    environment: Literal["dev", "staging", "prod"] = "dev"
    """The profile that the defaults come from."""
    live: bool = False
    """Real money. The profile, the broker's own answer and this flag must agree (rule 27)."""
    clock: Literal["simulated", "system"] = "simulated"
    """simulated: sessions of the past, as fast as the machine. system: the present session, minute by minute."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """What is logged."""
    update_frequency_ms: int = Field(default=1_000, ge=100, le=60_000)
    """Between two looks of the trading service, milliseconds."""
    data_retention_days: int = Field(default=30, ge=1, le=3_650)
    """How long caches, logs and ticks are kept, days; bars, the ledger and what replay needs stay."""
    instance: str = Field(default="local", pattern=r"^[a-z0-9][a-z0-9_.\-]{0,39}$")
    """This installation's name: an owner of shards is known by it, so it is stable over restarts."""
    account: Account = Account()
    limits: Limits = Limits()
    execution: Execution = Execution()
    ownership: Ownership = Ownership()
    market_data: MarketData = MarketData()
    market_hours: MarketHours = MarketHours()
    brokers: Brokers = Brokers()
    alpaca: Alpaca = Alpaca()
    ibkr: Ibkr = Ibkr()
    active_strategies: tuple[ActiveStrategy, ...] = (
        ActiveStrategy(name="gap_and_go"),
        ActiveStrategy(name="vwap_reclaim"),
    )
    """What trades, in the order in which entries are considered: each with name, and perhaps file, profile, parameters."""
