"""Commands of a person, and the index out of which entries are counted.

Both are additions: the version before this one goes on working on these tables.
"""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0002"
down_revision: Final = "0001"


def upgrade() -> None:
    _create_commands()
    _make_append_only()
    op.create_index(
        "ix_intents_entries",
        "intents",
        ["book", "strategy", "symbol", "session", "created_at"],
        postgresql_where=sa.text("kind = 'entry'"),
    )


def downgrade() -> None:
    op.drop_index("ix_intents_entries", "intents")
    op.drop_table("commands")


def _create_commands() -> None:
    op.create_table(
        "commands",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="rises with each command"),
        sa.Column("book", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, comment="by the clock of the process that took it"),
        sa.Column(
            "recorded_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="by the database's clock",
        ),
        sa.Column("who", sa.Text(), nullable=False, comment="the person"),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("strategy", sa.Text(), nullable=True),
        sa.Column("symbol", sa.Text(), nullable=True),
        sa.Column("session", sa.Date(), nullable=True, comment="the exchange's day"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.CheckConstraint("action IN ('enable', 'flatten')", name=op.f("ck_commands_action")),
        sa.CheckConstraint(
            "action <> 'enable' OR (strategy IS NOT NULL AND symbol IS NOT NULL AND session IS NULL)",
            name=op.f("ck_commands_enable"),
        ),
        sa.CheckConstraint(
            "action <> 'flatten' OR (session IS NOT NULL AND strategy IS NULL AND symbol IS NULL)",
            name=op.f("ck_commands_flatten"),
        ),
        sa.CheckConstraint("who <> '' AND reason <> ''", name=op.f("ck_commands_said")),
        sa.ForeignKeyConstraint(["book"], ["books.book"], name=op.f("fk_commands_books")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_commands")),
        comment="What persons have told the platform to do. Append-only.",
    )
    op.create_index(op.f("ix_commands_book_action"), "commands", ["book", "action"])


def _make_append_only() -> None:
    for name, event, each in (
        ("commands_keep_rows", "UPDATE OR DELETE", "ROW"),
        ("commands_keep_all", "TRUNCATE", "STATEMENT"),
    ):
        op.execute(f"CREATE TRIGGER {name} BEFORE {event} ON commands FOR EACH {each} EXECUTE FUNCTION refuse_change()")
        op.execute(f"COMMENT ON TRIGGER {name} ON commands IS 'Append-only: refuses {event}.'")
