"""The database's fence around intents: past everything else to it, a change of owner, and the fence with a part taken out."""

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Final

import sqlalchemy as sa

from trading_platform.domain.ids import SHARDS, shard_of
from trading_platform.domain.orders import OrderIntent
from trading_platform.ledger import rows, schema
from trading_platform.ledger.ownership import Ownership

SHARD: Final = shard_of("IBM")


def believe(epoch: int, owner: str = "job", book: str = "paper") -> Ownership:
    """An ownership as somebody may believe to have it, of all shards at one epoch."""
    return Ownership(book=book, owner=owner, epochs=dict.fromkeys(range(SHARDS), epoch))


def insert_intent(connection: sa.Connection, intent: OrderIntent, belief: Ownership, session: date) -> None:
    """Insert one intent as its row, past everything but the database's own guard."""
    row = rows.intent_row(intent, belief, session=session, sequence=0, decision=None)
    connection.execute(sa.insert(schema.intents), row)


def change_epoch(engine: sa.Engine, owner: str) -> tuple[int, datetime]:
    """Give `SHARD` to `owner`, and tell the new epoch with a moment at which it was certainly committed."""
    with engine.begin() as connection:
        epoch: int = connection.execute(
            sa.text(
                "UPDATE shards SET epoch = epoch + 1, owner = :owner, state = 'active', "
                "lease_until = clock_timestamp() + interval '1 minute' WHERE shard = :shard RETURNING epoch"
            ),
            {"owner": owner, "shard": SHARD},
        ).scalar_one()
    with engine.begin() as connection:
        moment: datetime = connection.execute(sa.text("SELECT clock_timestamp()")).scalar_one()
    return epoch, moment


def without_row_lock(engine: sa.Engine) -> None:
    """The trigger looks at the shard's row and does not lock it."""
    with engine.begin() as connection:
        text = connection.execute(sa.text("SELECT pg_get_functiondef('fence_intent'::regproc)")).scalar_one()
        weakened, replaced = re.subn(r"\s+FOR KEY SHARE", "", text)
        assert replaced == 1
        connection.exec_driver_sql(weakened.replace("%", "%%"))


def without_unique_epoch(engine: sa.Engine) -> None:
    """A change of the epoch is no change of a key, and does not conflict with the trigger's lock."""
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE shards DROP CONSTRAINT uq_shards_book_shard_epoch"))


WEAKENED: Final[Mapping[str, Callable[[sa.Engine], None]]] = {
    "row-lock": without_row_lock,
    "unique-epoch": without_unique_epoch,
}
"""The ways to weaken the fence, by what is taken out."""
