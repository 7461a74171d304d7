"""What is recorded stays: the database refuses to change or remove it, and does so because of its triggers."""

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from trading_platform.domain.commands import CommandAction
from trading_platform.domain.errors import Inconsistent
from trading_platform.domain.orders import OrderEvent, OrderState
from trading_platform.domain.reports import Acceptance, Subject
from trading_platform.ledger.connection import transaction
from trading_platform.ledger.ledger import Ledger
from trading_platform.ledger.schema import APPEND_ONLY_TABLES

if TYPE_CHECKING:
    from trading_platform_tests.integration.conftest import LedgerValues

# A change of each table that nothing else hangs on.
UPDATES = {
    "cycles": "bars = bars + 1",
    "signals": "setup = setup + 1",
    "decisions": "setup = setup + 1",
    "intents": "attempt = attempt + 1",
    "order_events": "sequence = sequence + 1",
    "fills": "quantity = quantity + 1",
    "fill_voids": "busted = NOT busted",
    "overfills": "filled = filled + 1",
    "commands": "session = session + 1",
    "acceptances": "difference = difference + 1",
}
CHANGES = ("UPDATE {table} SET {update}", "DELETE FROM {table}", "TRUNCATE {table} CASCADE")


@pytest.fixture
def full(ledger: Ledger, values: "LedgerValues") -> Ledger:
    """A ledger with a row in each table."""
    entry = values.intent(0)
    record = values.cycle(0, signals=(values.signal(0),), decisions=(values.decision(0),))
    with ledger.take("job") as lease:
        ledger.record_cycle(record, [entry], lease.ownership)
    at = values.bar(1)
    ledger.append_events([OrderEvent(intent_id=entry.id, state=OrderState.ACKNOWLEDGED, at=at)])
    ledger.book_executions([values.execution(entry, "e1", entry.quantity + 1, "10")], {}, at)
    ledger.book_executions([values.execution(entry, "e1b", 0, "0", corrects="e1")], {}, at)
    ledger.accept(
        Acceptance(
            venue="paper", subject=Subject.CASH, name="*", difference=Decimal(1), who="ada", reason="interest", at=at
        )
    )
    ledger.append_command(CommandAction.FLATTEN, at=at, who="ada", reason="news", session=values.session)
    return ledger


def count(ledger: Ledger, table: str) -> int:
    with ledger.engine.connect() as connection:
        found: int = connection.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar_one()
    return found


def test_every_table_of_records_is_covered() -> None:
    assert set(UPDATES) == set(APPEND_ONLY_TABLES)


def test_records_cannot_be_changed_or_removed(full: Ledger) -> None:
    for table, update in UPDATES.items():
        assert count(full, table) == 1
        for change in CHANGES:
            with pytest.raises(Inconsistent, match="is refused"), transaction(full.engine) as connection:
                connection.execute(sa.text(change.format(table=table, update=update)))
        assert count(full, table) == 1


@pytest.mark.parametrize(("change", "trigger"), list(zip(CHANGES, ("keep_rows", "keep_rows", "keep_all"), strict=True)))
def test_without_its_trigger_a_record_can_be_lost(full: Ledger, change: str, trigger: str) -> None:
    with full.engine.begin() as connection:
        for table, update in UPDATES.items():
            point = connection.begin_nested()
            # Rows of other tables hang on these: only this table's guard is under test.
            connection.execute(sa.text("SET LOCAL session_replication_role = replica"))
            for guarded in UPDATES:
                connection.execute(sa.text(f"ALTER TABLE {guarded} ENABLE ALWAYS TRIGGER {guarded}_{trigger}"))
            if "TRUNCATE" in change:
                # It takes the tables that refer to this one along, and their guards with them.
                for guarded in UPDATES:
                    connection.execute(sa.text(f"DROP TRIGGER {guarded}_{trigger} ON {guarded}"))
            else:
                connection.execute(sa.text(f"DROP TRIGGER {table}_{trigger} ON {table}"))
            before = connection.execute(sa.text(f"SELECT * FROM {table}")).all()
            connection.execute(sa.text(change.format(table=table, update=update)))
            assert connection.execute(sa.text(f"SELECT * FROM {table}")).all() != before
            point.rollback()
