"""Dagster's job and the plain cycle leave equal rows: 390 runs of the job and 390 calls of `run_cycle`, row by row."""

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from trading_platform.ledger.connection import reading
from trading_platform.ledger.ledger import Ledger
from trading_platform_tests.acceptance.conftest import LAST_MINUTE

if TYPE_CHECKING:
    from trading_platform_tests.acceptance.conftest import RanSession

# What may differ: who did it at which epoch, and when by the database's clock.
APART = frozenset({"owner", "epoch", "created_at", "serial"})
ORDER = {
    "cycles": "bar_time",
    "signals": "bar_time, sequence",
    "decisions": "bar_time, sequence",
    "intents": "bar_time, sequence",
    "fills": "serial",
    "order_events": "intent_id, sequence",
}


def rows(ledger: Ledger, table: str) -> list[dict[str, Any]]:
    statement = sa.text(f"SELECT * FROM {table} ORDER BY {ORDER[table]}")
    with reading(ledger.engine) as connection:
        found = connection.execute(statement).mappings().all()
    return [{name: _plain(value) for name, value in row.items() if name not in APART} for row in found]


def _plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value


@pytest.mark.parametrize("table", ORDER)
def test_the_rows_are_equal(cycle_session: "RanSession", job_session: "RanSession", table: str) -> None:
    by_cycle, by_job = rows(cycle_session.ledger, table), rows(job_session.ledger, table)
    assert len(by_job) == len(by_cycle) >= 8
    for ours, theirs in zip(by_job, by_cycle, strict=True):
        assert ours == theirs


def test_there_is_a_row_for_each_minute(job_session: "RanSession") -> None:
    assert len(rows(job_session.ledger, "cycles")) == LAST_MINUTE + 1


def test_the_job_gave_the_book_back_after_each_run(job_session: "RanSession", cycle_session: "RanSession") -> None:
    # Taken and released each minute by the job, and once by the cycle: each is a new epoch.
    highest = sa.text("SELECT max(epoch), bool_and(state = 'idle') FROM shards")
    epochs = []
    for ran in (job_session, cycle_session):
        with reading(ran.ledger.engine) as connection:
            epoch, idle = connection.execute(highest).one()
        assert idle
        epochs.append(epoch)
    assert epochs[0] >= 2 * (LAST_MINUTE + 1) > epochs[1]
