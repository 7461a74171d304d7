"""Orders of which more was executed than was intended, noted by the database as they are booked.

It is an addition: the version before this one goes on working on these tables, and what it books is noted as well.
What was booked before is looked through once.
"""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0003"
down_revision: Final = "0002"

_NOTE_OVERFILL: Final = """
CREATE FUNCTION note_overfill() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO overfills (intent_id, book, filled)
    SELECT intents.id, intents.book, sum(fills.quantity)
    FROM intents JOIN fills ON fills.intent_id = intents.id
    WHERE intents.id = NEW.intent_id
    GROUP BY intents.id HAVING sum(fills.quantity) > intents.quantity
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION note_overfill() IS 'Notes an order of which more is executed than was intended.';
"""

_LOOK_BACK: Final = """
INSERT INTO overfills (intent_id, book, filled)
SELECT intents.id, intents.book, sum(fills.quantity)
FROM intents JOIN fills ON fills.intent_id = intents.id
GROUP BY intents.id HAVING sum(fills.quantity) > intents.quantity
"""


def upgrade() -> None:
    op.create_table(
        "overfills",
        sa.Column("intent_id", sa.Text(), nullable=False),
        sa.Column("book", sa.Text(), nullable=False),
        sa.Column("filled", sa.BigInteger(), nullable=False, comment="shares executed when it was noted"),
        sa.Column(
            "noted_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="by the database's clock",
        ),
        sa.ForeignKeyConstraint(["intent_id"], ["intents.id"], name=op.f("fk_overfills_intents")),
        sa.PrimaryKeyConstraint("intent_id", name=op.f("pk_overfills")),
        comment="Orders of which more was executed than was intended: breaks that do not pass. Append-only.",
    )
    op.create_index(op.f("ix_overfills_book"), "overfills", ["book"])
    for name, event, each in (
        ("overfills_keep_rows", "UPDATE OR DELETE", "ROW"),
        ("overfills_keep_all", "TRUNCATE", "STATEMENT"),
    ):
        op.execute(
            f"CREATE TRIGGER {name} BEFORE {event} ON overfills FOR EACH {each} EXECUTE FUNCTION refuse_change()"
        )
        op.execute(f"COMMENT ON TRIGGER {name} ON overfills IS 'Append-only: refuses {event}.'")
    op.execute(_NOTE_OVERFILL)
    op.execute("CREATE TRIGGER fills_note_overfill AFTER INSERT ON fills FOR EACH ROW EXECUTE FUNCTION note_overfill()")
    op.execute("COMMENT ON TRIGGER fills_note_overfill ON fills IS 'More than was intended is noted for good.'")
    op.execute(_LOOK_BACK)


def downgrade() -> None:
    op.execute("DROP TRIGGER fills_note_overfill ON fills")
    op.execute("DROP FUNCTION note_overfill()")
    op.drop_table("overfills")
