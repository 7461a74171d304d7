"""Bringing the ledger's tables up to date, with Alembic driven from Python.

The migrations are part of the package, so it works the same in a checkout and installed. What a migration does is in
`migrations/versions`; a migration never breaks the version before it.
"""

from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError

from trading_platform.ledger.connection import not_the_ledgers, transaction

_SCRIPTS: Final = Path(__file__).resolve().parent / "migrations"
_ONE_AT_A_TIME: Final = 5_405_000_001
"""Key of the advisory lock under which one process migrates while others wait."""


def upgrade(engine: sa.Engine, revision: str = "head") -> None:
    """Bring the ledger to `revision`, in one transaction. Does nothing if it is there already.

    Safe to call from several processes at once.

    Raises:
        InvalidInput: Something else than the ledger lives in this database, or the ledger of a later version.
        DatabaseUnavailable: It does not answer.
    """
    with transaction(engine) as connection:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ONE_AT_A_TIME)))
        try:
            command.upgrade(configuration(connection), revision)
        except CommandError as error:
            raise not_the_ledgers(engine.url, unknown_revision(_revisions(connection))) from error


def current_revision(engine: sa.Engine) -> str | None:
    """The revision that the database is at; None for an empty one. Raises `DatabaseUnavailable`."""
    with transaction(engine) as connection:
        return MigrationContext.configure(connection).get_current_revision()


def _revisions(connection: sa.Connection) -> str:
    return ", ".join(MigrationContext.configure(connection).get_current_heads()) or "none"


def head_revision() -> str:
    """The revision that this version of the platform wants."""
    head = ScriptDirectory.from_config(configuration(None)).get_current_head()
    assert head is not None, "the package holds at least one migration"
    return head


def is_behind(revision: str | None) -> bool:
    """Whether a database at `revision` lacks migrations of this version; a newer version's is not behind."""
    return revision is None or revision in _before_head()


def is_known(revision: str | None) -> bool:
    """Whether a database at `revision` is empty, or one of this version or an earlier one."""
    return revision is None or revision == head_revision() or revision in _before_head()


def unknown_revision(revision: str) -> str:
    """What is said of a revision that this version does not know: a later version's, or another program's."""
    return f"its tables are at revision {revision}, which this version does not know"


def _before_head() -> set[str]:
    scripts = ScriptDirectory.from_config(configuration(None))
    return {script.revision for script in scripts.walk_revisions()} - {scripts.get_current_head()}


def configuration(connection: sa.Connection | None) -> Config:
    """What Alembic needs to know; `connection` is the one that it shall work on."""
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
