"""The first ledger: books, sessions, shards, cycles, signals, decisions, intents, order events and fills.

Here are also the triggers that make records append-only, that keep a shard's epoch in step with its owner, and that
fence intents.
"""

from typing import Final

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import BYTEA, JSONB

revision: Final = "0001"
down_revision: Final = None

_MONEY: Final = sa.Numeric(20, 4)
_APPEND_ONLY: Final = ("cycles", "signals", "decisions", "intents", "order_events", "fills")

_REFUSE_CHANGE: Final = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: what is recorded stays as it is', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'TP002';
END
$$;
COMMENT ON FUNCTION refuse_change() IS 'Makes a table append-only.';
"""

_KEEP_EPOCH: Final = """
CREATE FUNCTION keep_epoch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        -- A row that came back would start its epochs again, and old beliefs would be current once more.
        RAISE EXCEPTION 'a shard is never removed' USING ERRCODE = 'TP003';
    END IF;
    IF (NEW.book, NEW.shard) IS DISTINCT FROM (OLD.book, OLD.shard) THEN
        RAISE EXCEPTION 'a shard keeps its book and number' USING ERRCODE = 'TP003';
    END IF;
    IF NEW.epoch = OLD.epoch THEN
        IF (NEW.owner, NEW.state, NEW.lease_margin) IS DISTINCT FROM (OLD.owner, OLD.state, OLD.lease_margin) THEN
            RAISE EXCEPTION 'owner, state and margin of shard % change only together with its epoch', OLD.shard
                USING ERRCODE = 'TP003';
        END IF;
    ELSIF NEW.epoch <> OLD.epoch + 1 THEN
        RAISE EXCEPTION 'the epoch of shard % goes from % to %, not to %',
            OLD.shard, OLD.epoch, OLD.epoch + 1, NEW.epoch USING ERRCODE = 'TP003';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION keep_epoch() IS 'Owner, state and epoch of a shard change in one UPDATE, the epoch by one.';
"""

_FENCE_INTENT: Final = """
CREATE FUNCTION fence_intent() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    held shards%ROWTYPE;
BEGIN
    -- The lock makes a change of the epoch wait until this transaction has ended, and this transaction until a
    -- change under way has ended.
    SELECT * INTO held FROM shards WHERE book = NEW.book AND shard = NEW.shard FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'book % has no shard %', NEW.book, NEW.shard USING ERRCODE = 'TP001';
    END IF;
    IF held.state <> 'active' OR held.owner IS DISTINCT FROM NEW.owner OR held.epoch <> NEW.epoch THEN
        RAISE EXCEPTION 'shard % of book % belongs to % at epoch %, not to % at epoch %',
            NEW.shard, NEW.book, coalesce(held.owner, 'nobody'), held.epoch, NEW.owner, NEW.epoch
            USING ERRCODE = 'TP001';
    END IF;
    IF held.lease_until <= clock_timestamp() + held.lease_margin THEN
        RAISE EXCEPTION 'the lease of % on shard % of book % ends at %, which is less than % away',
            held.owner, NEW.shard, NEW.book, held.lease_until, held.lease_margin
            USING ERRCODE = 'TP001';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION fence_intent() IS 'Refuses an intent unless its maker owns the shard now and for a while yet.';
"""


def upgrade() -> None:
    _create_books()
    _create_cycles()
    _create_orders()
    _make_append_only()
    _guard_shards()


def downgrade() -> None:
    for table in ("fills", "order_events", "intents", "decisions", "signals", "cycles", "shards", "sessions", "books"):
        op.drop_table(table)
    for function in ("fence_intent", "keep_epoch", "refuse_change"):
        op.execute(f"DROP FUNCTION {function}()")


def _create_books() -> None:
    op.create_table(
        "books",
        sa.Column("book", sa.Text(), nullable=False, comment="the platform's own name for the account"),
        sa.Column("opening_cash", _MONEY, nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("book", name=op.f("pk_books")),
        comment="Accounts. A broker's fail-over does not change a book.",
    )
    op.create_table(
        "sessions",
        sa.Column("book", sa.Text(), nullable=False),
        sa.Column("session", sa.Date(), nullable=False, comment="the exchange's day"),
        sa.Column("configuration", JSONB(), nullable=False, comment="every setting that decisions depend on"),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["book"], ["books.book"], name=op.f("fk_sessions_books")),
        sa.PrimaryKeyConstraint("book", "session", name=op.f("pk_sessions")),
        comment="Market sessions that a book has traded, with the configuration in force.",
    )
    op.create_table(
        "shards",
        sa.Column("book", sa.Text(), nullable=False),
        sa.Column(
            "shard", sa.SmallInteger(), autoincrement=False, nullable=False, comment="crc32 of the symbol, modulo 64"
        ),
        sa.Column("epoch", sa.BigInteger(), nullable=False, comment="one more with every change of owner or state"),
        sa.Column("owner", sa.Text(), nullable=True, comment="identity of the process that may trade it; null: nobody"),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=False, comment="by the database's clock"),
        sa.Column(
            "lease_margin", sa.Interval(), nullable=False, comment="an intent needs at least so much of the lease left"
        ),
        sa.Column("desired_color", sa.Text(), nullable=True, comment="the release that shall own it"),
        sa.CheckConstraint("(state = 'active') = (owner IS NOT NULL)", name=op.f("ck_shards_owner")),
        sa.CheckConstraint("lease_margin >= interval '0'", name=op.f("ck_shards_lease_margin")),
        sa.CheckConstraint("state IN ('active', 'idle')", name=op.f("ck_shards_state")),
        sa.CheckConstraint("shard >= 0 AND shard < 64", name=op.f("ck_shards_shard")),
        sa.ForeignKeyConstraint(["book"], ["books.book"], name=op.f("fk_shards_books")),
        sa.PrimaryKeyConstraint("book", "shard", name=op.f("pk_shards")),
        sa.UniqueConstraint("book", "shard", "epoch", name=op.f("uq_shards_book_shard_epoch")),
        comment="Who may trade which share of the symbols. Owner, state and epoch change in one UPDATE.",
    )


def _create_cycles() -> None:
    op.create_table(
        "cycles",
        sa.Column("book", sa.Text(), nullable=False),
        sa.Column("bar_time", sa.DateTime(timezone=True), nullable=False, comment="start of the decided bar"),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("inputs", BYTEA(), nullable=False, comment="what the cycle saw, compressed, for replay"),
        sa.Column("inputs_sha256", sa.Text(), nullable=False, comment="of the column inputs, in hexadecimal"),
        sa.Column("bars", sa.Integer(), nullable=False, comment="bars received"),
        sa.Column("problems", JSONB(), nullable=False, comment="data that was refused or missing"),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("release", sa.Text(), nullable=False, comment="the version that decided"),
        sa.Column("mode", sa.SmallInteger(), nullable=False, comment="domain.decisions.TradingMode"),
        sa.Column("equity", _MONEY, nullable=False),
        sa.Column("peak_equity", _MONEY, nullable=False),
        sa.Column("cash", _MONEY, nullable=False),
        sa.Column("open_equity", _MONEY, nullable=False, comment="at the session's open"),
        sa.Column(
            "decided_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="by the cycle's clock, which may be simulated",
        ),
        sa.CheckConstraint("inputs_sha256 = encode(sha256(inputs), 'hex')", name=op.f("ck_cycles_inputs_sha256")),
        sa.ForeignKeyConstraint(
            ["book", "session"], ["sessions.book", "sessions.session"], name=op.f("fk_cycles_sessions")
        ),
        sa.PrimaryKeyConstraint("book", "bar_time", name=op.f("pk_cycles")),
        comment="One row for each decided bar. Append-only.",
    )
    op.create_index(
        op.f("ix_cycles_book_session"),
        "cycles",
        ["book", "session"],
    )
    op.create_table(
        "signals",
        sa.Column("book", sa.Text(), nullable=False),
        sa.Column("bar_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False, comment="place in the cycle"),
        sa.Column("entry", sa.Boolean(), nullable=False),
        sa.Column("exits", sa.Integer(), nullable=False, comment="domain.signals.ExitReason bits"),
        sa.Column("setup", sa.Integer(), nullable=False),
        sa.Column("valid_bars", sa.Integer(), nullable=False),
        sa.Column("limit_price", sa.Double(), nullable=True, comment="dollars, as the step gave it"),
        sa.Column("stop_price", sa.Double(), nullable=True, comment="dollars, as the step gave it"),
        sa.Column("level1", sa.Double(), nullable=False),
        sa.Column("level2", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["book", "bar_time"], ["cycles.book", "cycles.bar_time"], name=op.f("fk_signals_cycles")
        ),
        sa.PrimaryKeyConstraint("book", "bar_time", "strategy", "symbol", name=op.f("pk_signals")),
        comment="What strategies said of a bar. Append-only.",
    )
    op.create_table(
        "decisions",
        sa.Column("book", sa.Text(), nullable=False),
        sa.Column("bar_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sequence", sa.Integer(), autoincrement=False, nullable=False, comment="place in the cycle"),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False, comment="domain.decisions.DecisionKind"),
        sa.Column("leg", sa.SmallInteger(), nullable=False),
        sa.Column("cause", sa.SmallInteger(), nullable=True, comment="domain.decisions.ExitCause"),
        sa.Column("verdict", sa.SmallInteger(), nullable=False, comment="domain.decisions.Verdict"),
        sa.Column("rule", sa.SmallInteger(), nullable=False, comment="domain.decisions.Rule"),
        sa.Column("measure", sa.BigInteger(), nullable=False, comment="in the rule's unit"),
        sa.Column("limit_value", sa.BigInteger(), nullable=False, comment="in the rule's unit"),
        sa.Column("quantity", sa.BigInteger(), nullable=False, comment="shares"),
        sa.Column("price", _MONEY, nullable=False),
        sa.Column("limit_price", _MONEY, nullable=True),
        sa.Column("stop_price", _MONEY, nullable=True),
        sa.Column("valid_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("setup", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["book", "bar_time"], ["cycles.book", "cycles.bar_time"], name=op.f("fk_decisions_cycles")
        ),
        sa.PrimaryKeyConstraint("book", "bar_time", "sequence", name=op.f("pk_decisions")),
        comment="What was approved, resized or refused, by which rule. Append-only.",
    )
    # It is compressed already.
    op.execute("ALTER TABLE cycles ALTER COLUMN inputs SET STORAGE EXTERNAL")


def _create_orders() -> None:
    _create_intents()
    _create_order_events()
    _create_fills()


def _create_intents() -> None:
    op.create_table(
        "intents",
        sa.Column("id", sa.Text(), nullable=False, comment="a pure function of what was decided"),
        sa.Column("book", sa.Text(), nullable=False),
        sa.Column("session", sa.Date(), nullable=False),
        sa.Column("bar_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False, comment="place among the intents of the same bar"),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("leg", sa.SmallInteger(), nullable=False),
        sa.Column("attempt", sa.SmallInteger(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False, comment="shares"),
        sa.Column("limit_price", _MONEY, nullable=True),
        sa.Column("stop_price", _MONEY, nullable=True),
        sa.Column("parent", sa.Text(), nullable=True, comment="the entry that an attached stop protects"),
        sa.Column("target", sa.Text(), nullable=True, comment="the order that a cancel or reduce acts on"),
        sa.Column("valid_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("setup", sa.Integer(), nullable=False, comment="the set-up that an entry belongs to"),
        sa.Column("shard", sa.SmallInteger(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False, comment="the shard's, when the intent was made"),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("decision_sequence", sa.Integer(), nullable=True, comment="the decision that it comes from"),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="by the database's clock",
        ),
        sa.CheckConstraint("kind IN ('entry', 'exit', 'stop', 'cancel', 'reduce')", name=op.f("ck_intents_kind")),
        sa.CheckConstraint("side IN ('buy', 'sell')", name=op.f("ck_intents_side")),
        sa.CheckConstraint("type IN ('market', 'limit', 'stop')", name=op.f("ck_intents_type")),
        sa.CheckConstraint("quantity >= 0", name=op.f("ck_intents_quantity")),
        sa.ForeignKeyConstraint(
            ["book", "bar_time", "decision_sequence"],
            ["decisions.book", "decisions.bar_time", "decisions.sequence"],
            name=op.f("fk_intents_decisions"),
        ),
        sa.ForeignKeyConstraint(
            ["book", "session"], ["sessions.book", "sessions.session"], name=op.f("fk_intents_sessions")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_intents")),
        sa.UniqueConstraint("book", "bar_time", "sequence", name=op.f("uq_intents_book_bar_time_sequence")),
        comment="Orders and changes to orders, committed before they are sent. Append-only and fenced.",
    )
    op.create_index(
        op.f("ix_intents_book_session"),
        "intents",
        ["book", "session"],
    )


def _create_order_events() -> None:
    op.create_table(
        "order_events",
        sa.Column("intent_id", sa.Text(), nullable=False),
        sa.Column("sequence", sa.Integer(), autoincrement=False, nullable=False, comment="from 1"),
        sa.Column("state", sa.Text(), nullable=False, comment="the state that the order came to"),
        sa.Column("broker_order_id", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "state IN ('intended', 'acknowledged', 'partially_filled', 'unknown', 'filled', 'cancelled', 'expired', 'rejected', 'applied')",
            name=op.f("ck_order_events_state"),
        ),
        sa.ForeignKeyConstraint(["intent_id"], ["intents.id"], name=op.f("fk_order_events_intents")),
        sa.PrimaryKeyConstraint("intent_id", "sequence", name=op.f("pk_order_events")),
        comment="The steps of each order's life. Append-only.",
    )
    op.create_index(
        "ix_order_events_final",
        "order_events",
        ["intent_id"],
        postgresql_where=sa.text("state IN ('filled', 'cancelled', 'expired', 'rejected', 'applied')"),
    )


def _create_fills() -> None:
    op.create_table(
        "fills",
        sa.Column("book", sa.Text(), nullable=False),
        sa.Column("execution_id", sa.Text(), nullable=False, comment="the broker's"),
        sa.Column("serial", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="the order of booking"),
        sa.Column("intent_id", sa.Text(), nullable=False),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False, comment="shares"),
        sa.Column("price", _MONEY, nullable=False),
        sa.Column("fee", _MONEY, nullable=False, comment="what this execution adds to the order's fee"),
        sa.Column("executed_at", sa.DateTime(timezone=True), nullable=False, comment="by the broker"),
        sa.Column("booked_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("side IN ('buy', 'sell')", name=op.f("ck_fills_side")),
        sa.CheckConstraint("price >= 0", name=op.f("ck_fills_price")),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_fills_quantity")),
        sa.ForeignKeyConstraint(["intent_id"], ["intents.id"], name=op.f("fk_fills_intents")),
        sa.PrimaryKeyConstraint("book", "execution_id", name=op.f("pk_fills")),
        comment="Executions, each booked once. Positions and cash are folds of these. Append-only.",
    )
    op.create_index(
        op.f("ix_fills_book_executed_at_serial"),
        "fills",
        ["book", "executed_at", "serial"],
    )
    op.create_index(
        op.f("ix_fills_intent_id"),
        "fills",
        ["intent_id"],
    )


def _make_append_only() -> None:
    op.execute(_REFUSE_CHANGE)
    for table in _APPEND_ONLY:
        for name, event, each in (
            (f"{table}_keep_rows", "UPDATE OR DELETE", "ROW"),
            (f"{table}_keep_all", "TRUNCATE", "STATEMENT"),
        ):
            op.execute(
                f"CREATE TRIGGER {name} BEFORE {event} ON {table} FOR EACH {each} EXECUTE FUNCTION refuse_change()"
            )
            op.execute(f"COMMENT ON TRIGGER {name} ON {table} IS 'Append-only: refuses {event}.'")


def _guard_shards() -> None:
    op.execute(_KEEP_EPOCH)
    op.execute(_FENCE_INTENT)
    for name, event, each, function, comment in (
        ("shards_keep_epoch", "UPDATE OR DELETE ON shards", "ROW", "keep_epoch", "Epochs only ever rise, by one."),
        ("shards_keep_all", "TRUNCATE ON shards", "STATEMENT", "refuse_change", "Epochs are never forgotten."),
        ("intents_fence", "INSERT ON intents", "ROW", "fence_intent", "Only the present owner may order."),
    ):
        op.execute(f"CREATE TRIGGER {name} BEFORE {event} FOR EACH {each} EXECUTE FUNCTION {function}()")
        op.execute(f"COMMENT ON TRIGGER {name} ON {event.rpartition(' ')[2]} IS '{comment}'")
