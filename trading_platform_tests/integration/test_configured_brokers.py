"""The brokers that the settings name, built: each on the vendor's own client against a local vendor, and what is refused."""

import socket
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from trading_platform.bootstrap import build, paper_book
from trading_platform.bootstrap.venues import lacking, open_brokers, trade_updates
from trading_platform.brokers.alpaca_stream import UpdateKind
from trading_platform.brokers.deferred import DeferredBroker
from trading_platform.brokers.paper import CAPABILITIES
from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.config.load import examine, load
from trading_platform.config.secrets import Secret
from trading_platform.config.settings import Settings
from trading_platform.domain.clock import SimulatedClock, SystemClock
from trading_platform.domain.errors import InvalidInput, TemporaryError
from trading_platform.domain.orders import Absent, NotSent, Order, OrderType, Side, Unknown
from trading_platform.engine.preflight import preflight
from trading_platform_tests.sessions.console import HALF_DAY
from trading_platform_tests.vendors.alpaca.alpaca_server import KEY, SECRET, LocalAlpaca, local_alpaca
from trading_platform_tests.vendors.tws.server import ACCOUNT, LocalTws

CASH = Decimal(100_000)
CONNECTIONS = sa.text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
QUICK = {"connect_seconds": 1, "read_timeout_seconds": 1}


def past() -> SimulatedClock:
    return SimulatedClock(ExchangeCalendar().session(HALF_DAY).open)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def configured(tmp_path: Path, fresh_database: Callable[[], str]) -> Callable[..., Settings]:
    """Settings of a book in a database of its own."""
    url = fresh_database()
    (tmp_path / "bars" / "minute").mkdir(parents=True)

    def settings(**more: Any) -> Settings:
        bars = {"provider": "csv", "folder": tmp_path / "bars", "symbols": ["XYZ"], "session": HALF_DAY}
        common = {"data_folder": tmp_path, "database_url": url, "market_data": bars}
        return load({}, {**common, "instance": "one", **more})

    return settings


def at_alpaca(address: str, *, key: str = KEY, **more: Any) -> dict[str, Any]:
    """Settings of an account there."""
    account = {"key": Secret(key), "secret": Secret(SECRET), "base_url": address, "read_timeout_seconds": 1}
    return {"brokers": {"primary": "alpaca"}, "alpaca": account, **more}


def at_tws(port: int, **more: Any) -> dict[str, Any]:
    return {
        "clock": "system",
        "brokers": {"primary": "ibkr"},
        "ibkr": {"port": port, "account": ACCOUNT, **QUICK},
        **more,
    }


@pytest.fixture
def alpaca() -> Iterator[LocalAlpaca]:
    """A local Alpaca that lives in the past."""
    with local_alpaca(past().now, cash=CASH) as server:
        yield server


def is_connected_to_ledger(settings: Settings) -> bool:
    assert settings.database_url is not None
    engine = sa.create_engine(settings.database_url.reveal(), poolclass=sa.NullPool)
    with engine.connect() as connection:
        return bool(connection.execute(CONNECTIONS).scalar_one())


# ---- Alpaca -------------------------------------------------------------------------------------------------------


def test_alpaca_is_asked_and_the_paper_exchange_is_not_made(
    configured: Callable[..., Settings], alpaca: LocalAlpaca
) -> None:
    settings = configured(**at_alpaca(alpaca.url, brokers={"primary": "alpaca", "cash_tolerance": "1.5"}))
    platform = build(settings, past())
    try:
        assert [broker.name for broker in platform.stages.parts.routes.brokers] == ["alpaca"]
        assert (platform.broker.cash(), platform.broker.positions()) == (CASH, {})
        assert platform.trades_at == "alpaca-local"
        assert platform.stages.parts.cash_tolerance == Decimal("1.5")
        checks = preflight(platform.stages.parts, platform.calendar.session(HALF_DAY), ())
        assert ("broker", True, "alpaca answers: 100000 dollars and 0 positions") in {
            (one.name, one.passed, one.detail) for one in checks
        }
        assert not any(hidden in f"{platform!r} {platform.stages.parts!r}" for hidden in (KEY, SECRET))
    finally:
        platform.close()
    assert not paper_book(settings).exists()


@pytest.mark.parametrize(
    ("account", "said"),
    [
        ({"key": "PKNOTMINE"}, "Alpaca refuses the keys"),
        ({"number": "123456789"}, "a paper account was asked for, and these keys are of a live account"),
        ({"blocked": True}, "the account cannot trade (account_blocked)"),
    ],
    ids=["wrong keys", "a live account", "a blocked account"],
)
def test_an_account_that_may_not_be_used_stops_the_start(
    configured: Callable[..., Settings], alpaca: LocalAlpaca, account: dict[str, Any], said: str
) -> None:
    alpaca.book.account_number = account.get("number", alpaca.book.account_number)
    alpaca.book.blocks = {"account_blocked": True} if "blocked" in account else {}
    settings = configured(**at_alpaca(alpaca.url, key=account.get("key", KEY)))
    with pytest.raises(InvalidInput) as told:
        build(settings, past())
    assert said in str(told.value)
    assert SECRET not in str(told.value)
    assert "PKNOTMINE" not in str(told.value)
    assert not is_connected_to_ledger(settings)


def test_real_money_is_refused_by_a_paper_account(configured: Callable[..., Settings]) -> None:
    with local_alpaca(SystemClock().now) as server:
        wanted = at_alpaca(server.url) | {"environment": "prod", "live": True}
        wanted["brokers"] = {"primary": "alpaca", "backup": None}
        settings = configured(**wanted)
        with pytest.raises(InvalidInput, match="a live account was asked for, and these keys are of a paper account"):
            build(settings, SystemClock())


def test_orders_of_the_past_go_to_no_broker_that_trades_the_present(
    configured: Callable[..., Settings], alpaca: LocalAlpaca
) -> None:
    with local_alpaca(SystemClock().now) as tunnel:
        with pytest.raises(InvalidInput, match="the present: orders of past sessions cannot go there"):
            build(configured(**at_alpaca(tunnel.url)), past())
        # The control: on the machine's clock it is what is wanted.
        build(configured(**at_alpaca(tunnel.url)), SystemClock()).close()
    # Whatever the configured clock: a demo and `session run` bring their own. Nothing is asked of the broker.
    for wanted in (at_alpaca("https://paper-api.alpaca.markets", clock="system"), at_tws(free_port())):
        with pytest.raises(
            InvalidInput, match=r"orders of sessions of the past cannot go to (alpaca|ibkr)\. Give paper"
        ):
            build(configured(**wanted), past())
    assert alpaca.requests == []


def test_the_only_broker_that_does_not_answer_stops_the_start(configured: Callable[..., Settings]) -> None:
    settings = configured(**at_alpaca(f"http://127.0.0.1:{free_port()}"))
    with pytest.raises(TemporaryError, match="Alpaca's account cannot be seen"):
        build(settings, past())
    assert not is_connected_to_ledger(settings)


def test_the_stream_of_updates_is_the_configured_account_s(
    configured: Callable[..., Settings], alpaca: LocalAlpaca
) -> None:
    wanted = at_alpaca(alpaca.url)
    wanted["alpaca"] |= {"stream_url": alpaca.stream.url}
    stream = trade_updates(configured(**wanted))
    stream.start()
    try:
        assert stream.events.get(timeout=10).kind is UpdateKind.CONNECTED
    finally:
        stream.stop()
    with pytest.raises(InvalidInput, match="ALPACA_API_KEY"):
        trade_updates(configured())


# ---- Interactive Brokers ------------------------------------------------------------------------------------------


def test_tws_is_asked_and_disconnected_at_the_end(configured: Callable[..., Settings]) -> None:
    tws = LocalTws(SystemClock())
    try:
        platform = build(configured(**at_tws(tws.port)), SystemClock())
        try:
            assert [broker.name for broker in platform.brokers] == ["ibkr"]
            assert platform.broker.positions() == {}
            assert platform.broker.cash() > 0
            assert platform.broker.capabilities.settle == timedelta(seconds=5)
        finally:
            platform.close()
        with pytest.raises(TemporaryError):
            platform.broker.cash()
        assert not paper_book(platform.settings).exists()
    finally:
        tws.close()


def test_an_account_that_tws_does_not_have_stops_the_start(configured: Callable[..., Settings]) -> None:
    tws = LocalTws(SystemClock(), accounts=("DU7654321",))
    try:
        settings = configured(**at_tws(tws.port))
        with pytest.raises(InvalidInput, match="does not manage the account DU1234567, only DU7654321"):
            build(settings, SystemClock())
        assert not is_connected_to_ledger(settings)
    finally:
        tws.close()


def test_what_a_broker_lacks_is_said_once() -> None:
    both = {"primary": "alpaca", "backup": "alpaca"}
    said = lacking(examine({}, {"brokers": both}).settings)
    assert [one.partition(",")[0] for one in said] == ["alpaca.key: it is not given", "alpaca.secret: it is not given"]
    assert all("brokers.primary names alpaca" in one for one in said)
    # The control: of two brokers each is said.
    assert len(lacking(examine({}, {"brokers": both | {"backup": "ibkr"}}).settings)) == 3


# ---- two brokers --------------------------------------------------------------------------------------------------


def test_a_backup_that_does_not_answer_holds_up_nothing(configured: Callable[..., Settings]) -> None:
    tws = LocalTws(SystemClock())
    try:
        wanted = at_alpaca(f"http://127.0.0.1:{free_port()}")
        both = at_tws(tws.port, alpaca=wanted["alpaca"], brokers={"primary": "ibkr", "backup": "alpaca"})
        platform = build(configured(**both), SystemClock())
        try:
            assert [broker.name for broker in platform.brokers] == ["ibkr", "alpaca"]
            assert platform.broker.cash() > 0
            with pytest.raises(TemporaryError, match="Alpaca's account cannot be seen"):
                platform.brokers[1].cash()
            found = {one.name: one for one in preflight(platform.stages.parts, platform.calendar.session(HALF_DAY), ())}
            assert found["broker"].passed
            assert "alpaca does not answer" in found["broker"].detail
        finally:
            platform.close()
    finally:
        tws.close()


def test_a_primary_that_does_not_answer_leaves_the_backup_to_trade(configured: Callable[..., Settings]) -> None:
    tws = LocalTws(SystemClock())
    try:
        wanted = at_alpaca(f"http://127.0.0.1:{free_port()}")
        both = at_tws(tws.port, alpaca=wanted["alpaca"], brokers={"primary": "alpaca", "backup": "ibkr"})
        platform = build(configured(**both), SystemClock())
        try:
            platform.ledger.open_book(CASH, SystemClock().now())
            assert platform.stages.recover().report.away == ("alpaca",)
        finally:
            platform.close()
    finally:
        tws.close()


# ---- a broker that is not there yet -------------------------------------------------------------------------------


class Made:
    """Makes a paper exchange once it is `there`; counts how often it was asked to."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self.fault: TemporaryError | InvalidInput = TemporaryError("nobody is there")
        self.tried, self.there = 0, False

    def __call__(self) -> Any:
        self.tried += 1
        if not self.there:
            raise self.fault
        return self._make()


@pytest.fixture
def clock() -> SimulatedClock:
    return past()


@pytest.fixture
def made(configured: Callable[..., Settings], clock: SimulatedClock) -> Made:
    settings, calendar = configured(), ExchangeCalendar()

    def exchange() -> Any:
        provider: Any = None  # nothing is matched here
        (broker,) = open_brokers(settings, calendar, provider, clock)
        return broker

    return Made(exchange)


@pytest.fixture
def deferred(made: Made, clock: SimulatedClock) -> Iterator[DeferredBroker]:
    broker = DeferredBroker("paper", CAPABILITIES, made, clock, TemporaryError("nobody was there"))
    yield broker
    broker.close()


def order(quantity: int = 10) -> Order:
    return Order(
        intent_id="one",
        symbol="SIMA",
        side=Side.BUY,
        type=OrderType.LIMIT,
        quantity=quantity,
        limit_price=Decimal(10),
        stop_price=None,
        attached_stop=None,
        attached_target=None,
    )


def soon(clock: SimulatedClock) -> datetime:
    return clock.now() + timedelta(seconds=4)


def test_until_it_is_there_nothing_is_sent_and_nothing_is_known(
    deferred: DeferredBroker, made: Made, clock: SimulatedClock
) -> None:
    asked: list[Callable[[], Any]] = [deferred.cash, deferred.positions, deferred.open_orders]
    asked.append(lambda: deferred.executions(clock.now()))
    for ask in asked:
        with pytest.raises(TemporaryError, match="nobody was there"):
            ask()
    assert isinstance(deferred.submit(order(), soon(clock)), NotSent)
    assert isinstance(deferred.cancel("one", soon(clock)), NotSent)
    assert isinstance(deferred.reduce("one", 1, soon(clock)), NotSent)
    assert isinstance(deferred.find("one"), Unknown)
    # Each attempt may take seconds, and a cycle asks many times.
    assert made.tried == 0
    clock.advance_to(clock.now() + timedelta(minutes=1))
    with pytest.raises(TemporaryError, match="nobody is there"):
        deferred.cash()
    assert isinstance(deferred.find("one"), Unknown)
    assert made.tried == 1


def test_once_it_is_there_everything_goes_to_it(deferred: DeferredBroker, made: Made, clock: SimulatedClock) -> None:
    clock.advance_to(clock.now() + timedelta(minutes=1))
    made.there = True
    assert deferred.cash() == CASH
    assert isinstance(deferred.find("one"), Absent)
    assert (deferred.positions(), deferred.open_orders(), made.tried) == ({}, (), 1)


def test_one_that_may_not_be_used_is_not_used(deferred: DeferredBroker, made: Made, clock: SimulatedClock) -> None:
    made.fault = InvalidInput("these keys are of a live account")
    clock.advance_to(clock.now() + timedelta(minutes=1))
    with pytest.raises(TemporaryError, match="these keys are of a live account"):
        deferred.positions()
    assert deferred.submit(order(), soon(clock)) == NotSent(reason="these keys are of a live account.")
