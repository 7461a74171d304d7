"""Several brokers: where an order and a fill are, fills that were undone, and differences that a person has accepted.

They are additions: the version before goes on working on these tables until this one has written to the book. Then there
may be states, kinds and commands that it does not know, and cannot read. What it writes is the paper exchange's, the only
venue that it knows.

The checks and indexes are made in the migration's one transaction, so that it happens whole or not at all; meanwhile
nobody else can use the tables. Migrate between sessions.
"""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0004"
down_revision: Final = "0003"

_STATES: Final = (
    "'intended', 'sending', 'acknowledged', 'partially_filled', 'pending_cancel', 'pending_replace', 'unknown', "
    "'filled', 'cancelled', 'replaced', 'expired', 'rejected', 'applied'"
)
_STATES_BEFORE: Final = (
    "'intended', 'acknowledged', 'partially_filled', 'unknown', 'filled', 'cancelled', 'expired', 'rejected', 'applied'"
)
_FINAL: Final = "'filled', 'cancelled', 'replaced', 'expired', 'rejected', 'applied'"
_FINAL_BEFORE: Final = "'filled', 'cancelled', 'expired', 'rejected', 'applied'"
_KINDS: Final = "'entry', 'exit', 'stop', 'target', 'cancel', 'reduce'"
_KINDS_BEFORE: Final = "'entry', 'exit', 'stop', 'cancel', 'reduce'"
_ACTIONS: Final = "'enable', 'flatten', 'halt', 'resume', 'cancel_all', 'close_all'"
_ACTIONS_BEFORE: Final = "'enable', 'flatten'"

_STANDING: Final = """
CREATE VIEW standing_fills AS
SELECT fills.* FROM fills
WHERE NOT EXISTS (
    SELECT FROM fill_voids WHERE fill_voids.book = fills.book AND fill_voids.execution_id = fills.execution_id
);
COMMENT ON VIEW standing_fills IS 'Fills without those that a broker has corrected or busted.';
"""

_NOTE_OVERFILL: Final = """
CREATE OR REPLACE FUNCTION note_overfill() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO overfills (intent_id, book, filled)
    SELECT intents.id, intents.book, sum(found.quantity)
    FROM intents JOIN {fills} AS found ON found.intent_id = intents.id
    WHERE intents.id = NEW.intent_id
    GROUP BY intents.id HAVING sum(found.quantity) > intents.quantity
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
"""


def upgrade() -> None:
    _replace_check("order_events", "state", _STATES)
    _replace_check("intents", "kind", _KINDS)
    _replace_check("commands", "action", _ACTIONS)
    op.create_check_constraint(
        op.f("ck_commands_halt"),
        "commands",
        "action NOT IN ('halt', 'resume') OR (session IS NULL AND strategy IS NULL AND symbol IS NULL)",
    )
    op.create_check_constraint(
        op.f("ck_commands_emergency"),
        "commands",
        "action NOT IN ('cancel_all', 'close_all') OR (session IS NOT NULL AND strategy IS NULL AND symbol IS NULL)",
    )
    _index_final(_FINAL)
    _index_entries("kind = 'entry' AND leg = 0")
    op.add_column("order_events", sa.Column("venue", sa.Text(), nullable=True, comment="the broker that it is sent to"))
    op.add_column(
        "fills",
        sa.Column("venue", sa.Text(), nullable=False, server_default="paper", comment="the broker that reported it"),
    )
    op.create_index("ix_fills_book_venue_executed_at", "fills", ["book", "venue", "executed_at"])
    _create_voids()
    _create_acceptances()
    for table in ("fill_voids", "acceptances"):
        _make_append_only(table)
    op.execute(_STANDING)
    op.execute(_NOTE_OVERFILL.format(fills="standing_fills"))


def downgrade() -> None:
    op.execute(_NOTE_OVERFILL.format(fills="fills"))
    op.execute("DROP VIEW standing_fills")
    op.drop_table("acceptances")
    op.drop_table("fill_voids")
    op.drop_index("ix_fills_book_venue_executed_at", "fills")
    op.drop_column("fills", "venue")
    op.drop_column("order_events", "venue")
    _index_entries("kind = 'entry'")
    _index_final(_FINAL_BEFORE)
    op.drop_constraint(op.f("ck_commands_emergency"), "commands")
    op.drop_constraint(op.f("ck_commands_halt"), "commands")
    _replace_check("commands", "action", _ACTIONS_BEFORE)
    _replace_check("intents", "kind", _KINDS_BEFORE)
    _replace_check("order_events", "state", _STATES_BEFORE)


def _replace_check(table: str, column: str, words: str) -> None:
    op.drop_constraint(op.f(f"ck_{table}_{column}"), table)
    op.create_check_constraint(op.f(f"ck_{table}_{column}"), table, f"{column} IN ({words})")


def _index_final(words: str) -> None:
    op.drop_index("ix_order_events_final", "order_events")
    op.create_index(
        "ix_order_events_final", "order_events", ["intent_id"], postgresql_where=sa.text(f"state IN ({words})")
    )


def _index_entries(counted: str) -> None:
    op.drop_index("ix_intents_entries", "intents")
    op.create_index(
        "ix_intents_entries",
        "intents",
        ["book", "strategy", "symbol", "session", "created_at"],
        postgresql_where=sa.text(counted),
    )


def _create_voids() -> None:
    op.create_table(
        "fill_voids",
        sa.Column("book", sa.Text(), nullable=False),
        sa.Column("execution_id", sa.Text(), nullable=False, comment="the fill that does not stand any more"),
        sa.Column("voided_by", sa.Text(), nullable=False, comment="the broker's id of what corrects or busts it"),
        sa.Column("busted", sa.Boolean(), nullable=False, comment="nothing stands in its place"),
        sa.Column("noted_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["book", "execution_id"], ["fills.book", "fills.execution_id"], name=op.f("fk_fill_voids_fills")
        ),
        sa.PrimaryKeyConstraint("book", "execution_id", name=op.f("pk_fill_voids")),
        comment="Fills that a broker has corrected or busted. Append-only.",
    )


def _create_acceptances() -> None:
    op.create_table(
        "acceptances",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("book", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, comment="by the clock of the process that took it"),
        sa.Column("who", sa.Text(), nullable=False, comment="the person"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("venue", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False, comment="domain.reports.Subject"),
        sa.Column("name", sa.Text(), nullable=False, comment="the symbol, order or execution; * for cash"),
        sa.Column(
            "difference",
            sa.Numeric(20, 4),
            nullable=True,
            comment="the broker's less the ledger's, in shares or dollars",
        ),
        sa.CheckConstraint("who <> '' AND reason <> ''", name=op.f("ck_acceptances_said")),
        sa.ForeignKeyConstraint(["book"], ["books.book"], name=op.f("fk_acceptances_books")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_acceptances")),
        comment="Differences between ledger and broker that a person has accepted. Append-only.",
    )
    op.create_index(op.f("ix_acceptances_book"), "acceptances", ["book"])


def _make_append_only(table: str) -> None:
    for name, event, each in (
        (f"{table}_keep_rows", "UPDATE OR DELETE", "ROW"),
        (f"{table}_keep_all", "TRUNCATE", "STATEMENT"),
    ):
        op.execute(f"CREATE TRIGGER {name} BEFORE {event} ON {table} FOR EACH {each} EXECUTE FUNCTION refuse_change()")
        op.execute(f"COMMENT ON TRIGGER {name} ON {table} IS 'Append-only: refuses {event}.'")
