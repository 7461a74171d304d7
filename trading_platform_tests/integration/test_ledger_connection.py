"""What the ledger's connection makes of a server that has no room: faults raised by the server itself."""

import psycopg2
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from trading_platform.domain.errors import DatabaseUnavailable
from trading_platform.ledger.connection import transaction, translated
from trading_platform.ledger.ledger import Ledger

RAISE = "DO $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left' USING ERRCODE = '{state}'; END $$"


@pytest.mark.parametrize("state", ["53000", "53100", "53200", "53400"])
def test_a_server_without_disk_or_memory_is_unavailable_with_the_reason(ledger: Ledger, state: str) -> None:
    with (
        pytest.raises(DatabaseUnavailable, match="has no room to work in: could not extend file: No space left"),
        transaction(ledger.engine) as connection,
    ):
        connection.execute(sa.text(RAISE.format(state=state)))


def test_a_sort_that_may_use_no_more_disk_is_one(ledger: Ledger) -> None:
    def sort(room: str) -> None:
        with transaction(ledger.engine) as connection:
            connection.execute(sa.text("SET LOCAL work_mem = '64kB'"))
            connection.execute(sa.text(f"SET LOCAL temp_file_limit = '{room}'"))
            connection.execute(
                sa.text(
                    "SELECT count(*) FROM (SELECT n FROM generate_series(1, 100000) AS n ORDER BY md5(n::text)) AS s"
                )
            )

    sort("1GB")
    with pytest.raises(DatabaseUnavailable, match="temp_file_limit"):
        sort("64kB")


def test_a_connection_that_breaks_while_it_is_set_up_is_told_as_a_dead_database() -> None:
    url = make_url("postgresql+psycopg2://me:hunter2@127.0.0.1:5432/ledger")
    # The driver's own error, which SQLAlchemy hands on as it is when it sets how a connection commits.
    said = r"127\.0\.0\.1:5432/ledger does not answer: server closed"
    with pytest.raises(DatabaseUnavailable, match=said) as told, translated(url):
        raise psycopg2.OperationalError("server closed the connection unexpectedly\n\tprobably")
    assert "probably" not in str(told.value)
    with pytest.raises(ValueError, match="of another kind"), translated(url):
        raise ValueError("a fault of another kind")
