"""Building and closing the platform: nothing stays open, whatever fails on the way."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from trading_platform.bootstrap import build, open_ledger, paper_book
from trading_platform.calendars.exchange import ExchangeCalendar
from trading_platform.config.load import load
from trading_platform.config.settings import Settings
from trading_platform.domain.clock import SimulatedClock
from trading_platform.domain.errors import DatabaseUnavailable, InvalidInput
from trading_platform.ledger.embedded import LEDGER, LocalServer
from trading_platform_tests.sessions.console import HALF_DAY

CONNECTIONS = sa.text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


def settings(folder: Path, url: str, **more: Any) -> Settings:
    return load({}, {"data_folder": folder, "database_url": url, "market_data": {"session": HALF_DAY}, **more})


def clock() -> SimulatedClock:
    return SimulatedClock(ExchangeCalendar().session(HALF_DAY).open)


def connections(url: str) -> int:
    """How many other connections to this database there are."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        return int(connection.execute(CONNECTIONS).scalar_one())


def test_a_build_that_fails_late_leaves_no_connection(tmp_path: Path, fresh_database: Callable[[], str]) -> None:
    url = fresh_database()
    platform = build(settings(tmp_path, url), clock())
    # The control: a platform that stands has one.
    assert connections(url) > 0
    platform.close()
    assert connections(url) == 0
    # The paper exchange refuses a book that was opened with other cash, after the ledger is open.
    with pytest.raises(InvalidInput, match="opened for account"):
        build(settings(tmp_path, url, account={"size": 1}), clock())
    assert connections(url) == 0


def test_a_ledger_that_cannot_be_migrated_leaves_no_connection(
    tmp_path: Path, fresh_database: Callable[[], str]
) -> None:
    url = fresh_database()
    wanted = settings(tmp_path, url)
    ledger = open_ledger(wanted)
    with ledger.engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = 'of another world'"))
    ledger.engine.dispose()
    with pytest.raises(Exception, match="of another world"):
        open_ledger(wanted)
    assert connections(url) == 0


def test_without_its_database_a_platform_closes_what_is_left_and_raises_nothing(tmp_path: Path) -> None:
    server = LocalServer(tmp_path / "db", fsync=False)
    server.start()
    wanted = settings(tmp_path, server.url(LEDGER))
    platform = build(wanted, clock())
    try:
        session = platform.simulated_session(HALF_DAY)
        session.open()
        session.tick(0)
        platform.stages.fetch(HALF_DAY, 0)
        assert platform.stages.parts.ledger.is_open()
    finally:
        server.stop()
    platform.close()
    with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
        platform.broker.cash()
    assert platform.ledger.engine.pool.checkedin() == 0  # type: ignore[attr-defined]  # of the pool that is in use
    assert paper_book(wanted).exists()
    # The control: the database is gone indeed.
    with pytest.raises(DatabaseUnavailable):
        platform.ledger.is_open()


def test_recorded_bars_are_traded_by_named_symbols_only(tmp_path: Path) -> None:
    (tmp_path / "equity" / "usa" / "minute").mkdir(parents=True)
    settings = load({}, {"data_folder": tmp_path, "market_data": {"provider": "lean", "folder": tmp_path}})
    with pytest.raises(InvalidInput, match=r"no symbols are named\. Give them as SPY,IBM"):
        build(settings, SimulatedClock(ExchangeCalendar().session(HALF_DAY).open))
