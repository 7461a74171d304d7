"""The ledger's tables, as SQLAlchemy metadata: what is stored, in which unit, and what each column means.

Only tables, constraints and comments belong here. The triggers that make records append-only and that fence orders
are part of the migrations, because they are code that a version installs, not something that a query names.
What is written is in `append` and `ownership`, what is read in `queries`.

Money is NUMERIC(20, 4) and Decimal. Enumerations of whole numbers are stored as their numbers (`domain.decisions`),
those of words as their words (`domain.orders`).
"""

from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA, JSONB

from trading_platform.domain.commands import CommandAction
from trading_platform.domain.errors import InvalidInput
from trading_platform.domain.ids import SHARDS
from trading_platform.domain.money import units_from_dollars
from trading_platform.domain.orders import IntentKind, OrderState, OrderType, Side

NOT_CURRENT: Final = "TP001"
"""SQLSTATE of an intent whose maker is not the shard's owner now."""

APPEND_ONLY: Final = "TP002"
"""SQLSTATE of an attempt to change or remove what has been recorded."""

SHARD_RULE: Final = "TP003"
"""SQLSTATE of a change of a shard's row that leaves its epoch behind."""

APPEND_ONLY_TABLES: Final = (
    "cycles",
    "signals",
    "decisions",
    "intents",
    "order_events",
    "fills",
    "fill_voids",
    "overfills",
    "commands",
    "acceptances",
)

metadata: Final = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


class Money(sa.types.TypeDecorator[Decimal]):
    """Dollars with four places. PostgreSQL would round a fifth place silently; this refuses it."""

    impl = sa.Numeric(20, 4)
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: sa.Dialect) -> Decimal | None:
        """The value as it is, if the column can hold it exactly. Raises `InvalidInput` otherwise."""
        del dialect
        if value is not None:
            try:
                units_from_dollars(value)
            except (ValueError, ArithmeticError) as error:
                raise InvalidInput(
                    f"{value} dollars cannot be recorded exactly",
                    where="ledger",
                    mend="amounts have at most four decimal places",
                ) from error
        return value


def _column(name: str, kind: Any, comment: str = "", **options: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=options.pop("nullable", False), comment=comment or None, **options)


def _moment(name: str, comment: str = "", **options: Any) -> sa.Column[Any]:
    return _column(name, sa.DateTime(timezone=True), comment, **options)


def one_of(column: str, words: type[Side | OrderType | IntentKind | OrderState | CommandAction]) -> str:
    """The text of a check that `column` holds one of an enumeration's words."""
    return f"{column} IN ({', '.join(repr(word.value) for word in words)})"


books = sa.Table(
    "books",
    metadata,
    _column("book", sa.Text, "the platform's own name for the account", primary_key=True),
    _column("opening_cash", Money),
    _moment("opened_at"),
    comment="Accounts. A broker's fail-over does not change a book.",
)

sessions = sa.Table(
    "sessions",
    metadata,
    _column("book", sa.Text, primary_key=True),
    _column("session", sa.Date, "the exchange's day", primary_key=True),
    _column("configuration", JSONB, "every setting that decisions depend on"),
    _moment("opened_at"),
    _moment("finished_at", nullable=True),
    sa.ForeignKeyConstraint(["book"], ["books.book"]),
    comment="Market sessions that a book has traded, with the configuration in force.",
)

shards = sa.Table(
    "shards",
    metadata,
    _column("book", sa.Text, primary_key=True),
    _column("shard", sa.SmallInteger, "crc32 of the symbol, modulo 64", primary_key=True, autoincrement=False),
    _column("epoch", sa.BigInteger, "one more with every change of owner or state"),
    _column("owner", sa.Text, "identity of the process that may trade it; null: nobody", nullable=True),
    _column("state", sa.Text),
    _moment("lease_until", "by the database's clock"),
    _column("lease_margin", sa.Interval, "an intent needs at least so much of the lease left"),
    _column("desired_color", sa.Text, "the release that shall own it", nullable=True),
    sa.ForeignKeyConstraint(["book"], ["books.book"]),
    # This is not for looking up: because epoch is in a unique index, a change of it conflicts with FOR KEY SHARE.
    sa.UniqueConstraint("book", "shard", "epoch"),
    sa.CheckConstraint(f"shard >= 0 AND shard < {SHARDS}", name="shard"),
    sa.CheckConstraint("state IN ('active', 'idle')", name="state"),
    sa.CheckConstraint("(state = 'active') = (owner IS NOT NULL)", name="owner"),
    sa.CheckConstraint("lease_margin >= interval '0'", name="lease_margin"),
    comment="Who may trade which share of the symbols. Owner, state and epoch change in one UPDATE.",
)

cycles = sa.Table(
    "cycles",
    metadata,
    _column("book", sa.Text, primary_key=True),
    _moment("bar_time", "start of the decided bar", primary_key=True),
    _column("session", sa.Date),
    _column("inputs", BYTEA, "what the cycle saw, compressed, for replay"),
    _column("inputs_sha256", sa.Text, "of the column inputs, in hexadecimal"),
    _column("bars", sa.Integer, "bars received"),
    _column("problems", JSONB, "data that was refused or missing"),
    _column("owner", sa.Text),
    _column("release", sa.Text, "the version that decided"),
    _column("mode", sa.SmallInteger, "domain.decisions.TradingMode"),
    _column("equity", Money),
    _column("peak_equity", Money),
    _column("cash", Money),
    _column("open_equity", Money, "at the session's open"),
    _moment("decided_at", "by the cycle's clock, which may be simulated"),
    sa.ForeignKeyConstraint(["book", "session"], ["sessions.book", "sessions.session"]),
    sa.CheckConstraint("inputs_sha256 = encode(sha256(inputs), 'hex')", name="inputs_sha256"),
    sa.Index(None, "book", "session"),
    comment="One row for each decided bar. Append-only.",
)

signals = sa.Table(
    "signals",
    metadata,
    _column("book", sa.Text, primary_key=True),
    _moment("bar_time", primary_key=True),
    _column("strategy", sa.Text, primary_key=True),
    _column("symbol", sa.Text, primary_key=True),
    _column("sequence", sa.Integer, "place in the cycle"),
    _column("entry", sa.Boolean),
    _column("exits", sa.Integer, "domain.signals.ExitReason bits"),
    _column("setup", sa.Integer),
    _column("valid_bars", sa.Integer),
    _column("limit_price", sa.Double, "dollars, as the step gave it", nullable=True),
    _column("stop_price", sa.Double, "dollars, as the step gave it", nullable=True),
    _column("level1", sa.Double),
    _column("level2", sa.Double),
    sa.ForeignKeyConstraint(["book", "bar_time"], ["cycles.book", "cycles.bar_time"]),
    comment="What strategies said of a bar. Append-only.",
)

decisions = sa.Table(
    "decisions",
    metadata,
    _column("book", sa.Text, primary_key=True),
    _moment("bar_time", primary_key=True),
    _column("sequence", sa.Integer, "place in the cycle", primary_key=True, autoincrement=False),
    _column("strategy", sa.Text),
    _column("symbol", sa.Text),
    _column("kind", sa.SmallInteger, "domain.decisions.DecisionKind"),
    _column("leg", sa.SmallInteger),
    _column("cause", sa.SmallInteger, "domain.decisions.ExitCause", nullable=True),
    _column("verdict", sa.SmallInteger, "domain.decisions.Verdict"),
    _column("rule", sa.SmallInteger, "domain.decisions.Rule"),
    _column("measure", sa.BigInteger, "in the rule's unit"),
    _column("limit_value", sa.BigInteger, "in the rule's unit"),
    _column("quantity", sa.BigInteger, "shares"),
    _column("price", Money),
    _column("limit_price", Money, nullable=True),
    _column("stop_price", Money, nullable=True),
    _moment("valid_until", nullable=True),
    _column("setup", sa.Integer),
    sa.ForeignKeyConstraint(["book", "bar_time"], ["cycles.book", "cycles.bar_time"]),
    comment="What was approved, resized or refused, by which rule. Append-only.",
)

intents = sa.Table(
    "intents",
    metadata,
    _column("id", sa.Text, "a pure function of what was decided", primary_key=True),
    _column("book", sa.Text),
    _column("session", sa.Date),
    _moment("bar_time"),
    _column("sequence", sa.Integer, "place among the intents of the same bar"),
    _column("strategy", sa.Text),
    _column("symbol", sa.Text),
    _column("kind", sa.Text),
    _column("leg", sa.SmallInteger),
    _column("attempt", sa.SmallInteger),
    _column("side", sa.Text),
    _column("type", sa.Text),
    _column("quantity", sa.BigInteger, "shares"),
    _column("limit_price", Money, nullable=True),
    _column("stop_price", Money, nullable=True),
    _column("parent", sa.Text, "the entry that an attached stop protects", nullable=True),
    _column("target", sa.Text, "the order that a cancel or reduce acts on", nullable=True),
    _moment("valid_until", nullable=True),
    _column("setup", sa.Integer, "the set-up that an entry belongs to"),
    _column("shard", sa.SmallInteger),
    _column("epoch", sa.BigInteger, "the shard's, when the intent was made"),
    _column("owner", sa.Text),
    _column("decision_sequence", sa.Integer, "the decision that it comes from", nullable=True),
    _moment("created_at", "by the database's clock", server_default=sa.text("clock_timestamp()")),
    sa.ForeignKeyConstraint(["book", "session"], ["sessions.book", "sessions.session"]),
    sa.ForeignKeyConstraint(
        ["book", "bar_time", "decision_sequence"],
        ["decisions.book", "decisions.bar_time", "decisions.sequence"],
    ),
    sa.CheckConstraint("quantity >= 0", name="quantity"),
    sa.CheckConstraint(one_of("kind", IntentKind), name="kind"),
    sa.CheckConstraint(one_of("side", Side), name="side"),
    # A venue knows more types; an intent is one of these.
    sa.CheckConstraint("type IN ('market', 'limit', 'stop')", name="type"),
    sa.UniqueConstraint("book", "bar_time", "sequence"),
    sa.Index(None, "book", "session"),
    # The entries of all sessions are counted each minute (rule 12), out of this index alone: each by its first order.
    sa.Index(
        "ix_intents_entries",
        "book",
        "strategy",
        "symbol",
        "session",
        "created_at",
        postgresql_where=sa.text("kind = 'entry' AND leg = 0"),
    ),
    comment="Orders and changes to orders, committed before they are sent. Append-only and fenced.",
)

order_events = sa.Table(
    "order_events",
    metadata,
    _column("intent_id", sa.Text, primary_key=True),
    _column("sequence", sa.Integer, "from 1", primary_key=True, autoincrement=False),
    _column("state", sa.Text, "the state that the order came to"),
    _column("broker_order_id", sa.Text, nullable=True),
    _column("detail", sa.Text),
    _moment("at"),
    _column("venue", sa.Text, "the broker that it is sent to", nullable=True),
    sa.ForeignKeyConstraint(["intent_id"], ["intents.id"]),
    sa.CheckConstraint(one_of("state", OrderState), name="state"),
    sa.Index(
        "ix_order_events_final",
        "intent_id",
        postgresql_where=sa.text(
            f"state IN ({', '.join(repr(state.value) for state in OrderState if state.is_final)})"
        ),
    ),
    comment="The steps of each order's life. Append-only.",
)

fills = sa.Table(
    "fills",
    metadata,
    _column("book", sa.Text, primary_key=True),
    _column("execution_id", sa.Text, "the broker's", primary_key=True),
    _column("serial", sa.BigInteger, "the order of booking", server_default=sa.Identity(always=True)),
    _column("intent_id", sa.Text),
    _column("strategy", sa.Text),
    _column("symbol", sa.Text),
    _column("side", sa.Text),
    _column("quantity", sa.BigInteger, "shares"),
    _column("price", Money),
    _column("fee", Money, "what this execution adds to the order's fee"),
    _moment("executed_at", "by the broker"),
    _moment("booked_at"),
    _column("venue", sa.Text, "the broker that reported it", server_default="paper"),
    sa.ForeignKeyConstraint(["intent_id"], ["intents.id"]),
    sa.CheckConstraint("quantity > 0", name="quantity"),
    sa.CheckConstraint("price >= 0", name="price"),
    sa.CheckConstraint(one_of("side", Side), name="side"),
    sa.Index(None, "intent_id"),
    sa.Index(None, "book", "executed_at", "serial"),
    # When a broker last executed something is asked each minute, of one that never has as well.
    sa.Index(None, "book", "venue", "executed_at"),
    comment="Executions, each booked once. Positions and cash are folds of these. Append-only.",
)

fill_voids = sa.Table(
    "fill_voids",
    metadata,
    _column("book", sa.Text, primary_key=True),
    _column("execution_id", sa.Text, "the fill that does not stand any more", primary_key=True),
    _column("voided_by", sa.Text, "the broker's id of what corrects or busts it"),
    _column("busted", sa.Boolean, "nothing stands in its place"),
    _moment("noted_at"),
    sa.ForeignKeyConstraint(["book", "execution_id"], ["fills.book", "fills.execution_id"]),
    # The view standing_fills is the fills without these: whatever sums fills reads it.
    comment="Fills that a broker has corrected or busted. Append-only.",
)

overfills = sa.Table(
    "overfills",
    metadata,
    _column("intent_id", sa.Text, primary_key=True),
    _column("book", sa.Text),
    _column("filled", sa.BigInteger, "shares executed when it was noted"),
    _moment("noted_at", "by the database's clock", server_default=sa.text("clock_timestamp()")),
    sa.ForeignKeyConstraint(["intent_id"], ["intents.id"]),
    sa.Index(None, "book"),
    # A trigger on fills adds them, so that no booking can leave one out.
    comment="Orders of which more was executed than was intended: breaks that do not pass. Append-only.",
)

commands = sa.Table(
    "commands",
    metadata,
    _column("id", sa.BigInteger, "rises with each command", server_default=sa.Identity(always=True), primary_key=True),
    _column("book", sa.Text),
    _moment("at", "by the clock of the process that took it"),
    _moment("recorded_at", "by the database's clock", server_default=sa.text("clock_timestamp()")),
    _column("who", sa.Text, "the person"),
    _column("action", sa.Text),
    _column("strategy", sa.Text, nullable=True),
    _column("symbol", sa.Text, nullable=True),
    _column("session", sa.Date, "the exchange's day", nullable=True),
    _column("reason", sa.Text),
    sa.ForeignKeyConstraint(["book"], ["books.book"]),
    sa.CheckConstraint(one_of("action", CommandAction), name="action"),
    sa.CheckConstraint(
        "action <> 'enable' OR (strategy IS NOT NULL AND symbol IS NOT NULL AND session IS NULL)", name="enable"
    ),
    sa.CheckConstraint(
        "action <> 'flatten' OR (session IS NOT NULL AND strategy IS NULL AND symbol IS NULL)", name="flatten"
    ),
    sa.CheckConstraint(
        "action NOT IN ('halt', 'resume') OR (session IS NULL AND strategy IS NULL AND symbol IS NULL)", name="halt"
    ),
    sa.CheckConstraint(
        "action NOT IN ('cancel_all', 'close_all') OR (session IS NOT NULL AND strategy IS NULL AND symbol IS NULL)",
        name="emergency",
    ),
    sa.CheckConstraint("who <> '' AND reason <> ''", name="said"),
    sa.Index(None, "book", "action"),
    comment="What persons have told the platform to do. Append-only.",
)

acceptances = sa.Table(
    "acceptances",
    metadata,
    _column("id", sa.BigInteger, server_default=sa.Identity(always=True), primary_key=True),
    _column("book", sa.Text),
    _moment("at", "by the clock of the process that took it"),
    _column("who", sa.Text, "the person"),
    _column("reason", sa.Text),
    _column("venue", sa.Text),
    _column("subject", sa.Text, "domain.reports.Subject"),
    _column("name", sa.Text, "the symbol, order or execution; * for cash"),
    _column("difference", Money, "the broker's less the ledger's, in shares or dollars", nullable=True),
    sa.ForeignKeyConstraint(["book"], ["books.book"]),
    sa.CheckConstraint("who <> '' AND reason <> ''", name="said"),
    sa.Index(None, "book"),
    comment="Differences between ledger and broker that a person has accepted. Append-only.",
)
