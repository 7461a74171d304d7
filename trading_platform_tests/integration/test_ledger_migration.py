"""The ledger's migrations: from nothing to the metadata, from several processes, and back."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from trading_platform.domain.orders import OrderIntent, OrderState
from trading_platform.ledger import migrate
from trading_platform.ledger.connection import open_engine
from trading_platform.ledger.ledger import Ledger
from trading_platform.ledger.schema import APPEND_ONLY_TABLES, metadata

if TYPE_CHECKING:
    from trading_platform_tests.integration.conftest import LedgerValues

CATALOGUE = {
    "columns": """
        SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
               pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum)
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND c.relname <> 'alembic_version'""",
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'alembic_version'""",
    "indexes": "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'",
    "comments": """
        SELECT relname, obj_description(oid, 'pg_class') FROM pg_class
        WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> 'alembic_version'""",
}


@pytest.fixture
def new_engine(fresh_database: Callable[..., str]) -> Iterator[Callable[[], sa.Engine]]:
    made: list[sa.Engine] = []

    def make() -> sa.Engine:
        made.append(open_engine(fresh_database(empty=True)))
        return made[-1]

    yield make
    for engine in made:
        engine.dispose()


def catalogue(engine: sa.Engine, part: str) -> set[tuple[object, ...]]:
    with engine.connect() as connection:
        return {tuple(row) for row in connection.execute(sa.text(CATALOGUE[part]))}


def test_an_empty_database_comes_to_the_head(new_engine: Callable[[], sa.Engine]) -> None:
    engine = new_engine()
    assert migrate.current_revision(engine) is None
    migrate.upgrade(engine)
    assert migrate.current_revision(engine) == migrate.HEAD
    migrate.upgrade(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, metadata) == []


@pytest.mark.parametrize("part", list(CATALOGUE))
def test_migrated_tables_are_those_of_the_metadata(new_engine: Callable[[], sa.Engine], part: str) -> None:
    migrated, created = new_engine(), new_engine()
    migrate.upgrade(migrated)
    with created.begin() as connection:
        metadata.create_all(connection)
    assert catalogue(migrated, part) == catalogue(created, part)
    assert catalogue(migrated, part)


def test_every_table_and_trigger_says_what_it_is_for(new_engine: Callable[[], sa.Engine]) -> None:
    engine = new_engine()
    migrate.upgrade(engine)
    assert all(comment for _, comment in catalogue(engine, "comments"))
    with engine.connect() as connection:
        triggers = connection.execute(
            sa.text("SELECT tgname, obj_description(oid, 'pg_trigger') FROM pg_trigger WHERE NOT tgisinternal")
        ).all()
    assert all(comment for _, comment in triggers)
    kept = {f"{table}_keep_{what}" for table in APPEND_ONLY_TABLES for what in ("rows", "all")}
    assert {name for name, _ in triggers} == kept | {
        "shards_keep_epoch",
        "shards_keep_all",
        "intents_fence",
        "fills_note_overfill",
    }


def test_several_processes_may_migrate_at_once(new_engine: Callable[[], sa.Engine]) -> None:
    engine = new_engine()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: migrate.upgrade(engine), range(4)))
    assert migrate.current_revision(engine) == migrate.HEAD


WORD = re.compile(r"'(\w+)'::text(?:, )?")


def without_words(found: set[tuple[object, ...]]) -> dict[tuple[object, ...], set[str]]:
    """Each row with the words that it lists left out, and those words."""
    return {tuple(WORD.sub("", str(cell)) for cell in row): set(WORD.findall(str(row[-1]))) for row in found}


@pytest.mark.parametrize("part", ["columns", "constraints", "indexes"])
def test_a_migration_only_adds(new_engine: Callable[[], sa.Engine], part: str) -> None:
    engine = new_engine()
    migrate.upgrade(engine, "0001")
    before = catalogue(engine, part)
    migrate.upgrade(engine)
    after = catalogue(engine, part)
    # A list of permitted words may only grow.
    then, now = without_words(before), without_words(after)
    assert then.keys() < now.keys()
    assert all(words <= now[row] for row, words in then.items())
    if part == "columns":
        tables = {row[0] for row in before}
        new = [row for row in after - before if row[0] in tables]
        # The version before this one does not fill them.
        assert all(default is not None or not not_null for _, _, _, not_null, _, default, _ in new)


def test_what_the_version_before_has_written_stays_and_it_can_go_on_writing(
    new_engine: Callable[[], sa.Engine], values: "LedgerValues"
) -> None:
    engine = new_engine()
    migrate.upgrade(engine, "0001")
    ledger = Ledger(engine, book=values.book)
    ledger.open_book(Decimal(100_000), values.bar(0))
    ledger.open_session(values.session, {}, values.bar(0))
    with ledger.take("job") as lease:
        ledger.record_cycle(values.cycle(0), [values.intent(0)], lease.ownership)
        migrate.upgrade(engine)
        # What follows are the statements of the version before: it knows nothing of commands.
        ledger.record_cycle(values.cycle(1), [values.intent(1)], lease.ownership)
    assert [one.bar_time for one in ledger.cycles(values.session)] == [values.bar(0), values.bar(1)]
    assert ledger.entries_sent(values.session) == {("gap_and_go", "IBM"): 2}


def test_what_was_overfilled_before_the_migration_is_noted_by_it_and_what_the_version_before_books_after_it(
    new_engine: Callable[[], sa.Engine], values: "LedgerValues"
) -> None:
    engine = new_engine()
    migrate.upgrade(engine, "0002")
    ledger = Ledger(engine, book=values.book)
    ledger.open_book(Decimal(100_000), values.bar(0))
    ledger.open_session(values.session, {}, values.bar(0))
    before, whole, after = (values.intent(minute) for minute in range(3))
    with ledger.take("job") as lease:
        ledger.record_intents(values.session, [before, whole, after], lease.ownership)
    book_as_before(engine, values, before, "e1", 101)
    book_as_before(engine, values, whole, "e2", 100)
    migrate.upgrade(engine)
    assert [(one.intent_id, one.filled) for one in ledger.overfilled()] == [(before.id, 101)]
    # No statement of any version names the table: the database adds to it.
    book_as_before(engine, values, after, "e3", 60)
    book_as_before(engine, values, after, "e4", 60)
    assert [(one.intent_id, one.filled) for one in ledger.overfilled()] == [(before.id, 101), (after.id, 120)]


def test_orders_and_fills_of_the_version_before_several_brokers_are_the_paper_exchanges(
    new_engine: Callable[[], sa.Engine], values: "LedgerValues"
) -> None:
    engine = new_engine()
    migrate.upgrade(engine, "0003")
    ledger = Ledger(engine, book=values.book)
    ledger.open_book(Decimal(100_000), values.bar(0))
    ledger.open_session(values.session, {}, values.bar(0))
    first, second = values.intent(0), values.intent(1)
    with ledger.take("job") as lease:
        ledger.record_intents(values.session, [first, second], lease.ownership)
    for intent, number in ((first, 1), (second, 2)):
        with engine.begin() as connection:
            connection.execute(
                sa.text("INSERT INTO order_events VALUES (:id, 1, 'acknowledged', 'b-1', '', now())"), {"id": intent.id}
            )
        book_as_before(engine, values, intent, f"e{number}", 10)
        migrate.upgrade(engine)
    found = [(one.state, one.venue, one.filled) for one in ledger.orders()]
    assert found == [(OrderState.ACKNOWLEDGED, "paper", 10)] * 2
    assert [fill.venue for fill in ledger.fills()] == ["paper", "paper"]
    assert {one.venue for one in ledger.holdings().positions.values()} == {"paper"}


def book_as_before(
    engine: sa.Engine, values: "LedgerValues", intent: OrderIntent, execution: str, quantity: int
) -> None:
    """The statement with which every version before several brokers books a fill."""
    columns = "book, execution_id, intent_id, strategy, symbol, side, quantity, price, fee, executed_at, booked_at"
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                f"INSERT INTO fills ({columns}) SELECT book, :execution, id, strategy, symbol, side, :quantity, "
                "10, 1, :at, :at FROM intents WHERE id = :id"
            ),
            {"execution": execution, "quantity": quantity, "at": values.bar(1), "id": intent.id},
        )


def test_what_is_wanted_is_the_last_migration() -> None:
    assert ScriptDirectory.from_config(migrate.configuration(None)).get_heads() == [migrate.HEAD]


def test_whether_a_database_is_behind() -> None:
    assert [migrate.is_behind(revision) for revision in (None, "0001", migrate.HEAD, "9999")] == [
        True,
        True,
        False,
        False,
    ]


def test_a_migration_can_be_taken_back(new_engine: Callable[[], sa.Engine]) -> None:
    engine = new_engine()
    migrate.upgrade(engine)
    with engine.begin() as connection:
        command.downgrade(migrate.configuration(connection), "base")
    assert migrate.current_revision(engine) is None
    with engine.connect() as connection:
        assert sa.inspect(connection).get_table_names() == ["alembic_version"]
    migrate.upgrade(engine)
    assert migrate.current_revision(engine) == migrate.HEAD
